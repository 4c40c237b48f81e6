//! A full disk: what would grow is refused in the words of each API, nothing is half done, and all else goes on.

use futures_util::future::join_all;
use reqwest::RequestBuilder;
use rusqlite::types::FromSql;
use serde_json::{Value, json};

use crate::binary::{broken, connect};
use crate::house::{Answer, Guest, House, PASSWORD, answer, book, contact, registration, send, with};

/// So many pages more than an empty database may be filled.
const ROOM: u32 = 60;
/// More writes than go into so much room.
const TOO_MANY: usize = 2_000;

const FULL: &str = "The server's storage is full";

/// What grows the database, the largest first.
const WRITES: [&str; 9] = [
    "/v1/todos",
    "/api/contacts/",
    "/api/v1.0/books/",
    "/items",
    "/api/v1.0/auth/register",
    "/store-managers",
    "/v1/auth/register",
    "/auth/register",
    "/api/auth/signup",
];

/// A house with little room, and somebody who may use every API.
async fn small_house() -> (House, Guest) {
    let mut house = House::new().await;
    let ada = house.guest("ada").await;
    house.confirm(&ada).await;
    house.config.db.max_pages = Some(count::<u32>(&house, "select page_count from pragma_page_count") + ROOM);
    (house.restart().await, ada)
}

fn count<T: FromSql>(house: &House, sql: &str) -> T {
    connect(&house.database()).query_row(sql, [], |row| row.get(0)).unwrap()
}

/// A write that has not been before, as large as may be.
fn write(house: &House, ada: &Guest, path: &str, n: usize) -> RequestBuilder {
    let name = format!("name{n}");
    let email = format!("{name}{}@example.com", WRITES.iter().position(|known| *known == path).unwrap());
    let long = |length: usize| "x".repeat(length);
    let body = match path {
        "/v1/todos" => json!({ "title": name, "description": long(10_000) }),
        "/api/contacts/" => with(contact(&name), json!({ "additional": long(500) })),
        "/api/v1.0/books/" => with(book(&name), json!({ "author": long(255), "publisher": long(255) })),
        "/items" => json!({ "name": long(64), "category": "Pet", "price_usd": 19.99, "in_stock": true }),
        "/api/v1.0/auth/register" => with(registration(&name), json!({ "email": email })),
        "/store-managers" => json!({ "name": name, "email": email, "password": PASSWORD }),
        "/v1/auth/register" => {
            json!({ "email": email, "username": format!("{name}_"), "full_name": name, "password": PASSWORD })
        }
        "/auth/register" => json!({ "email": email, "password": PASSWORD }),
        _ => json!({ "username": "somebody", "email": email, "password": PASSWORD }),
    };
    house.by(ada, "POST", path).json(&body)
}

/// The whole refusal, as the API of this path says it.
#[track_caller]
fn is_refused(answer: &Answer, path: &str) {
    if path.starts_with("/v1/") {
        let error = json!({ "status_code": 507, "message": FULL, "type": "server_error" });
        answer.is(507, json!({ "error": error, "request_id": answer.header("x-request-id") }));
    } else {
        answer.refuses(507, FULL);
    }
}

/// Writes everything there is until there is no room for it; how often each write was done.
async fn fill(house: &House, ada: &Guest) -> [usize; WRITES.len()] {
    let mut done = [0; WRITES.len()];
    for (path, done) in WRITES.iter().zip(&mut done) {
        loop {
            let answer = answer(write(house, ada, path, *done)).await;
            if !matches!(answer.status, 200 | 201) {
                is_refused(&answer, path);
                break;
            }
            *done += 1;
            assert!(*done < TOO_MANY, "{path} finds room without end");
        }
    }
    done
}

/// Reads of all five APIs, by somebody who is signed in.
async fn assert_readable(house: &House, ada: &Guest) {
    for path in [
        "/api/v1.0/books/",
        "/api/v1.0/users/me",
        "/items",
        "/v1/todos",
        "/v1/users",
        "/v1/health",
        "/users/balance",
        "/users/profile",
        "/api/contacts/",
        "/api/contacts/name0",
        "/api/contacts/bd",
    ] {
        let read = send(house, ada, "GET", path, Value::Null).await;
        assert_eq!(read.status, 200, "{path}: {}", read.text);
    }
}

/// As many are there as were answered for: nothing that was refused, and nothing by half.
fn assert_kept(house: &House, done: [usize; WRITES.len()]) {
    let [todos, contacts, books, items, people @ ..] = done;
    // Somebody was there before.
    let users = 1 + people.iter().sum::<usize>();
    for (what, expected) in [
        ("count(*) from todos", todos),
        ("sum(open) from todo_totals", todos),
        ("count(*) from contacts", contacts),
        ("count(*) from books", books),
        ("count(*) from items", items),
        ("count(*) from users", users),
        ("users from user_total", users),
        ("count(*) from users where confirm_required = 1", people[4]),
        ("count(*) from letters where email not in (select email from users)", 0),
    ] {
        assert_eq!(
            count::<i64>(house, &format!("select {what}")),
            i64::try_from(expected).unwrap(),
            "{what}"
        );
    }
    assert_eq!(broken(&house.database()), Vec::<String>::new());
}

/// Each newcomer of contactbook gets his letter, however full it was when he came.
async fn assert_letters(house: &House, newcomers: usize) {
    // The worker may have been refused, and is tried again later then.
    house.wait(3_600);
    let letters = house.letters().await;
    assert!(letters.iter().all(|letter| letter.to.starts_with("name")), "{letters:?}");
    assert_eq!(letters.len(), newcomers);
}

#[tokio::test]
async fn a_full_disk_refuses_what_grows_in_the_words_of_each_api_until_something_is_deleted() {
    let (house, ada) = small_house().await;
    let mut done = fill(&house, &ada).await;
    assert_readable(&house, &ada).await;
    assert_kept(&house, done);
    // What goes makes room for what comes.
    for id in 1..=done[0] {
        let gone = send(&house, &ada, "DELETE", &format!("/v1/todos/{id}"), Value::Null).await;
        assert_eq!((gone.status, gone.text.as_str()), (204, ""), "{id}");
    }
    done[0] = 0;
    for (path, done) in WRITES.iter().zip(&mut done).rev() {
        let answer = answer(write(&house, &ada, path, *done)).await;
        assert!(matches!(answer.status, 200 | 201), "{path}: {}", answer.text);
        *done += 1;
    }
    assert_readable(&house, &ada).await;
    assert_kept(&house, done);
    assert_letters(&house, done[8]).await;
}

#[tokio::test]
async fn a_full_disk_has_room_after_a_start_with_a_larger_limit() {
    let (mut house, ada) = small_house().await;
    let mut done = fill(&house, &ada).await;
    // A start needs no room.
    house = house.restart().await;
    for (path, done) in WRITES.iter().zip(done) {
        is_refused(&answer(write(&house, &ada, path, done)).await, path);
    }
    assert_readable(&house, &ada).await;
    house.config.db.max_pages = house.config.db.max_pages.map(|pages| pages + ROOM);
    house = house.restart().await;
    for (path, done) in WRITES.iter().zip(&mut done) {
        let answer = answer(write(&house, &ada, path, *done)).await;
        assert!(matches!(answer.status, 200 | 201), "{path}: {}", answer.text);
        *done += 1;
    }
    assert_kept(&house, done);
    assert_letters(&house, done[8]).await;
}

/// Writes that come at once share a commit; some of these need no room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_writes_at_once_on_a_full_disk_those_that_were_answered_are_there_and_no_other() {
    let (house, ada) = small_house().await;
    let mut done = fill(&house, &ada).await;
    let (mut balance, mut refused) = (0, 0);
    for n in 0..60 {
        let one_more = || house.by(&ada, "PUT", "/users/balance").json(&json!({ "amount": 1 }));
        let grow = WRITES.iter().map(|path| write(&house, &ada, path, TOO_MANY + n));
        let mixed = grow.flat_map(|grows| [one_more(), grows]);
        for (place, answer) in join_all(mixed.map(answer)).await.iter().enumerate() {
            let path = WRITES[place / 2];
            match (answer.status, place % 2) {
                (200 | 201, 0) => balance += 1,
                (200 | 201, _) => done[place / 2] += 1,
                (_, 0) => is_refused(answer, "/users/balance"),
                _ => {
                    is_refused(answer, path);
                    refused += 1;
                }
            }
        }
    }
    assert!(balance > 0 && refused > 0, "{balance} were done, {refused} refused");
    assert_eq!(send(&house, &ada, "GET", "/users/balance", Value::Null).await.body["balance"], balance);
    assert_kept(&house, done);
    assert_letters(&house, done[8]).await;
}

/// Signing in takes room for a session: without it nobody is signed in, and he is told why. A log-out writes when the
/// session ended, eight bytes into its row: mostly there is room for them in the row's page, and it is done. Otherwise, and
/// whenever a disk does not even take the log, it is refused with 507, and the session goes on: better than a log-out
/// that was answered and did not happen.
#[tokio::test]
async fn on_a_full_disk_whoever_was_told_that_he_is_signed_out_is_and_who_was_refused_is_not() {
    let (house, ada) = small_house().await;
    let done = fill(&house, &ada).await;
    let mut sessions = Vec::new();
    let mut refused = 0;
    // Sessions fall into pages by chance: it takes some refusals until all of those are full.
    while refused < 100 {
        let answer = house.log_in(&ada.email, PASSWORD).await;
        if answer.status == 200 {
            sessions.push(answer.body["access_token"].as_str().unwrap().to_owned());
        } else {
            is_refused(&answer, "/api/v1.0/auth/login");
            refused += 1;
        }
    }
    house.log_in(&ada.email, "not it at all").await.refuses(401, "Invalid email or password");

    let mut outcomes = [0, 0];
    for (n, token) in sessions.iter().enumerate() {
        let (method, path) = [
            ("POST", "/api/v1.0/auth/logout"),
            ("GET", "/store-managers/logout"),
            ("POST", "/v1/auth/logout"),
            ("POST", "/auth/logout"),
        ][n % 4];
        let out = answer(house.request(method, path).bearer_auth(token)).await;
        let own = answer(house.request("GET", "/v1/auth/me").bearer_auth(token)).await;
        if matches!(out.status, 200 | 204) {
            assert_eq!(own.status, 401, "{path}: {}", own.text);
            outcomes[0] += 1;
        } else {
            is_refused(&out, path);
            assert_eq!(own.status, 200, "{path}: {}", own.text);
            outcomes[1] += 1;
        }
    }
    assert!(outcomes.iter().all(|outcome| *outcome > 0), "one of both did not happen: {outcomes:?}");
    assert_kept(&house, done);

    // With room there is a way out for everybody.
    assert_eq!(send(&house, &ada, "DELETE", "/v1/todos/1", Value::Null).await.status, 204);
    for token in &sessions {
        let out = answer(house.request("POST", "/v1/auth/logout").bearer_auth(token)).await;
        assert!(matches!(out.status, 204 | 401), "{}", out.text);
        assert_eq!(answer(house.request("GET", "/v1/auth/me").bearer_auth(token)).await.status, 401);
    }
    assert_eq!(house.log_in(&ada.email, PASSWORD).await.status, 200);
    assert_letters(&house, done[8]).await;
}
