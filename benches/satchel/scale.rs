//! Scale: what a point read, a page and a write cost in ten thousand rows, in a million, in ten million.

use std::time::{Duration, Instant};

use rusqlite::Connection;
use satchel::http::rules::Cursor;
use tempfile::TempDir;

use super::load::{BOOK, ROUNDS, Requests, Server, Until, Work, request};

/// How long each route is driven, all told.
const SPAN: Duration = Duration::from_secs(5);
/// So many different rows are read in turn.
const DIFFERENT: i64 = 20_000;

/// A server on so many rows, and what is asked of it.
struct Place {
    rows: i64,
    server: Server,
    works: Vec<Work>,
    /// How the rows came in, and how it started on them.
    told: String,
}

/// Measures at each of these numbers of rows, in turn; at ten thousand and a million where none is given.
pub async fn run(rows: &[f64]) {
    let rows = if rows.is_empty() { &[1e4, 1e6] } else { rows };
    let mut places = Vec::new();
    for rows in rows {
        places.push(prepare(*rows as i64).await);
    }
    let count = places[0].works.len();
    for _ in 0..ROUNDS {
        for n in 0..count {
            for place in &mut places {
                place.works[n].drive(&place.server, SPAN).await;
            }
        }
    }
    println!("{:<40}{:>12}{:>9}{:>8}{:>11}{:>9}", "work", "rows", "req/s", "p99 µs", "CPU µs/req", "x first");
    for n in 0..count {
        for place in &places {
            let work = &place.works[n];
            assert_eq!(work.refused(), 0, "{}", work.name);
            println!(
                "{:<40}{:>12}{:>9.0}{:>8.0}{:>11.1}{:>9.2}",
                work.name,
                place.rows,
                work.median(|load| load.rate),
                work.median(|load| load.p99_us as f64),
                work.median(|load| load.cpu_us),
                work.times(&places[0].works[n]),
            );
        }
    }
    for Place { rows, server, told, .. } in &places {
        println!("{rows:>12} rows: {told}, {:.1} MB resident", server.memory_mb());
    }
}

async fn prepare(rows: i64) -> Place {
    let server = Server::start(&mut super::satchel());
    let token = server.sign_in();
    let dir = server.stop();
    let begun = Instant::now();
    fill(&dir, rows);
    let filled = begun.elapsed().as_secs_f64();
    let uuids = some_uuids(&dir, rows);
    let server = Server::start_in(dir, &mut super::satchel());
    let told = format!(
        "filled in {filled:.0} s, first answer after {:.0} ms",
        server.first_answer.as_secs_f64() * 1e3
    );
    let signed = format!("Authorization: Bearer {token}\r\n");
    let get = |path: &str| request("GET", path, &signed, "", "");
    let books: Vec<_> = uuids.iter().map(|uuid| get(&format!("/api/v1.0/books/{uuid}"))[0].clone()).collect();
    let books: Requests = books.into();
    let todos: Vec<_> =
        (0..DIFFERENT).map(|n| get(&format!("/v1/todos/{}", 1 + n * 7919 % rows))[0].clone()).collect();
    let todos: Requests = todos.into();
    for different in [&books, &todos] {
        // This brings the pages in.
        server.drive(different, Until::Count(2 * DIFFERENT as usize)).await;
    }
    let middle = format!("/api/v1.0/books/?limit=20&cursor={}", Cursor::after(rows / 2));
    let create = request("POST", "/api/v1.0/books/", &signed, "application/json", BOOK);
    let works = vec![
        Work::new("get a book, another each time", books),
        Work::new("get a todo, another each time", todos),
        Work::new("first page of the books", get("/api/v1.0/books/?limit=20")),
        Work::new("page in the middle, by cursor", get(&middle)),
        Work::new("first page of the todos, with the total", get("/v1/todos?page_size=20")),
        Work::new("first page of the users, with the total", get("/v1/users?page_size=20")),
        Work::new("create a book, durable", create),
    ];
    Place { rows, server, works, told }
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
