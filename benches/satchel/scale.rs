//! Scale: what a point read, a page and a write cost in ten thousand rows, in a million, in ten million.

use std::time::{Duration, Instant};

use rusqlite::Connection;
use satchel::http::rules::Cursor;
use tempfile::TempDir;

use super::load::{BOOK, Load, Requests, Server, Until, request};

/// How long each route is driven.
const SPAN: Duration = Duration::from_secs(3);
/// So many different rows are read in turn.
const DIFFERENT: i64 = 20_000;

/// Measures at each of these numbers of rows; at ten thousand and a million where none is given.
pub async fn run(rows: &[f64]) {
    let rows = if rows.is_empty() { &[1e4, 1e6] } else { rows };
    println!("{:<40}{:>12}{:>9}{:>8}{:>11}", "work", "rows", "req/s", "p99 µs", "CPU µs/req");
    for rows in rows {
        measure(*rows as i64).await;
    }
}

async fn measure(rows: i64) {
    let server = Server::start(&mut super::satchel());
    let token = server.sign_in();
    let dir = server.stop();
    let begun = Instant::now();
    fill(&dir, rows);
    let filled = begun.elapsed();
    let uuids = some_uuids(&dir, rows);
    let server = Server::start_in(dir, &mut super::satchel());
    let first_answer = server.first_answer;
    let signed = format!("Authorization: Bearer {token}\r\n");
    let show = |work: &str, load: &Load| {
        println!("{work:<40}{rows:>12}{:>9.0}{:>8}{:>11.1}", load.rate, load.p99_us, load.cpu_us);
        assert_eq!(load.refused, 0, "{work}");
    };
    let get = |path: &str| request("GET", path, &signed, "", "");
    let books: Vec<_> = uuids.iter().map(|uuid| get(&format!("/api/v1.0/books/{uuid}"))[0].clone()).collect();
    let books: Requests = books.into();
    // The first round brings the pages in.
    server.drive(&books, Until::Count(2 * DIFFERENT as usize)).await;
    show("get a book, another each time", &server.drive(&books, Until::Time(SPAN)).await);
    let todos: Vec<_> =
        (0..DIFFERENT).map(|n| get(&format!("/v1/todos/{}", 1 + n * 7919 % rows))[0].clone()).collect();
    let todos: Requests = todos.into();
    server.drive(&todos, Until::Count(2 * DIFFERENT as usize)).await;
    show("get a todo, another each time", &server.drive(&todos, Until::Time(SPAN)).await);
    let middle = Cursor::after(rows / 2);
    for (work, path) in [
        ("first page of the books", "/api/v1.0/books/?limit=20".to_owned()),
        ("page in the middle, by cursor", format!("/api/v1.0/books/?limit=20&cursor={middle}")),
        ("first page of the todos, with the total", "/v1/todos?page_size=20".to_owned()),
        ("first page of the users, with the total", "/v1/users?page_size=20".to_owned()),
    ] {
        show(work, &server.drive(&get(&path), Until::Time(SPAN)).await);
    }
    let create = request("POST", "/api/v1.0/books/", &signed, "application/json", BOOK);
    show("create a book, durable", &server.drive(&create, Until::Time(SPAN)).await);
    println!(
        "{:<40}{rows:>12}  filled in {:.0} s, first answer after {:.0} ms, {:.1} MB resident",
        "",
        filled.as_secs_f64(),
        first_answer.as_secs_f64() * 1e3,
        server.memory_mb(),
    );
}

#[expect(clippy::disallowed_methods, reason = "the bench stands for another program")]
fn open(dir: &TempDir) -> Connection {
    Connection::open(dir.path().join("data/satchel.db")).expect("the database is there")
}

/// As many books and todos of the first user's, past the API.
fn fill(dir: &TempDir, rows: i64) {
    let conn = open(dir);
    conn.execute_batch(&format!(
        "pragma synchronous = off;
         begin;
         with recursive n (n) as (select 1 union all select n + 1 from n where n < {rows})
         insert into books (uuid, title, author, publisher, publish_date, pages, language, user_id, created_at, updated_at)
         select randomblob(16), 'Dune ' || n, 'Frank Herbert', 'Chilton Books', '1965-08-01', 412, 'English', 1, n, n from n;
         with recursive n (n) as (select 1 union all select n + 1 from n where n < {rows})
         insert into todos (title, priority, user_id, created_at, updated_at) select 'Read ' || n, 'low', 1, n, n from n;
         commit;
         pragma wal_checkpoint(truncate);"
    ))
    .expect("the rows fit");
}

fn some_uuids(dir: &TempDir, rows: i64) -> Vec<uuid::Uuid> {
    let conn = open(dir);
    let mut find = conn.prepare("select uuid from books where id = ?1").expect("it reads");
    let ids = (0..DIFFERENT).map(|n| 1 + n * 7919 % rows);
    ids.map(|id| find.query_row([id], |row| row.get(0)).expect("it is there")).collect()
}
