//! A full disk: what would grow is refused in the words of each API, nothing is half done, and all else goes on.

use futures_util::future::join_all;
use reqwest::RequestBuilder;
use rusqlite::types::FromSql;
use satchel::domain::users::{self, Role};
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

/// Writes everything there is, in turns, until there is no room; how often each write was done. From the first refusal on
/// all of them are refused.
async fn fill(house: &House, ada: &Guest) -> [usize; WRITES.len()] {
    let mut done = [0; WRITES.len()];
    for n in 0.. {
        assert!(n < TOO_MANY, "there is room without end");
        let place = n % WRITES.len();
        let answer = answer(write(house, ada, WRITES[place], done[place])).await;
        if !matches!(answer.status, 200 | 201) {
            is_refused(&answer, WRITES[place]);
            break;
        }
        done[place] += 1;
    }
    for (path, done) in WRITES.iter().zip(done) {
        is_refused(&answer(write(house, ada, path, done)).await, path);
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

/// Writes that come at once share a commit; some of these end sessions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_writes_at_once_on_a_full_disk_those_that_take_away_are_done_and_no_other() {
    let (house, ada) = small_house().await;
    // The first sign of the full disk may come in the middle of such a commit.
    let mut done = [0; WRITES.len()];
    let mut refused = 0;
    for n in 0..40 {
        let mut guests = Vec::new();
        for _ in 0..WRITES.len() {
            let (access, _) = tokens(&house.log_in(&ada.email, PASSWORD).await);
            guests.push(access);
        }
        let grow = WRITES.iter().map(|path| write(&house, &ada, path, n));
        let outs =
            guests.iter().map(|token| house.request("POST", "/api/v1.0/auth/logout").bearer_auth(token));
        let mixed = outs.zip(grow).flat_map(|(out, grows)| [out, grows]);
        for (place, answer) in join_all(mixed.map(answer)).await.iter().enumerate() {
            match (answer.status, place % 2) {
                (200, 0) => {}
                (200 | 201, 1) => done[place / 2] += 1,
                (_, 0) => panic!("a log-out was refused: {}", answer.text),
                _ => {
                    is_refused(answer, WRITES[place / 2]);
                    refused += 1;
                }
            }
        }
        for token in guests {
            assert_eq!(answer(house.request("GET", "/v1/auth/me").bearer_auth(token)).await.status, 401);
        }
    }
    assert!(done[0] > 0 && refused > 0, "{done:?} were done, {refused} refused");
    assert_kept(&house, done);
    assert_letters(&house, done[8]).await;
}

fn tokens(answer: &Answer) -> (String, String) {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let token = |kind: &str| answer.body[kind].as_str().unwrap().to_owned();
    (token("access_token"), token("refresh_token"))
}

#[tokio::test]
async fn on_a_full_disk_owners_still_close_doors() {
    let (house, ada) = small_house().await;
    house.change(&ada.uuid, users::Patch { role: Some(Role::Admin), ..Default::default() }).await;
    let (access, refresh) = tokens(&house.log_in(&ada.email, PASSWORD).await);
    let ada = Guest { access, refresh, ..ada };
    let done = fill(&house, &ada).await;
    let health = house.get("/v1/health").await;
    assert_eq!((health.status, &health.body["status"]), (200, &json!("degraded")));

    // Everybody signs in, refreshes and out, at each API.
    for (method, path) in [
        ("POST", "/api/v1.0/auth/logout"),
        ("GET", "/store-managers/logout"),
        ("POST", "/v1/auth/logout"),
        ("POST", "/auth/logout"),
        ("POST", "/api/v1.0/auth/logout-all"),
    ] {
        let (_, refresh) = tokens(&house.log_in(&ada.email, PASSWORD).await);
        let body = json!({ "refresh_token": refresh });
        let (token, _) = tokens(&house.post("/api/v1.0/auth/refresh", body).await);
        let out = answer(house.request(method, path).bearer_auth(&token)).await;
        assert!(matches!(out.status, 200 | 204), "{path}: {}", out.text);
        assert_eq!(
            answer(house.request("GET", "/v1/auth/me").bearer_auth(&token)).await.status,
            401,
            "{path}"
        );
    }
    house.log_in(&ada.email, "not it at all").await.refuses(401, "Invalid email or password");

    // Administrators block, demote, deactivate and delete; what gives something is refused.
    let (access, _) = tokens(&house.log_in(&ada.email, PASSWORD).await);
    let ada = Guest { access, ..ada };
    let eve: (String, i64) = {
        let sql = "select lower(hex(uuid)), id from users where email = 'name04@example.com'";
        connect(&house.database()).query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    };
    let admin = format!("/api/v1.0/users/admin/{}", eve.0);
    for (method, path, status) in [
        ("POST", format!("/admin/block/{}", eve.1), 200),
        ("PATCH", format!("{admin}/role?new_role=moderator"), 200),
        ("PATCH", format!("{admin}/role?new_role=admin"), 507),
        ("PATCH", format!("{admin}/activate?is_active=false"), 200),
        ("PATCH", format!("{admin}/activate?is_active=true"), 507),
        ("DELETE", admin.clone(), 200),
        ("PUT", "/users/profile".into(), 507),
        ("DELETE", "/v1/todos/1".into(), 204),
    ] {
        let body = if method == "PUT" { json!({ "first_name": "A", "last_name": "B" }) } else { Value::Null };
        let answer = send(&house, &ada, method, &path, body).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
    }
    // A stolen password can be changed.
    let body = json!({ "current_password": PASSWORD, "new_password": "another long secret" });
    let changed = send(&house, &ada, "POST", "/api/v1.0/users/change-password", body).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    assert_eq!(house.log_in(&ada.email, "another long secret").await.status, 200);
    assert_eq!(broken(&house.database()), Vec::<String>::new());
    assert!(done.iter().all(|done| *done > 0), "{done:?}");
    house.forget_letters().await;
}

/// A disk of its own, where the system lets a test have one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new(megabytes: u32) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let size = format!("size={megabytes}m");
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(directory.path())
            .output();
        mounted.is_ok_and(|mounted| mounted.status.success()).then_some(Self(directory))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        std::process::Command::new("umount").arg("-l").arg(self.0.path()).status().ok();
    }
}

#[tokio::test]
async fn on_a_disk_that_others_filled_log_outs_are_done_and_content_comes_back_with_the_room() {
    let Some(disk) = SmallDisk::new(24) else {
        eprintln!("skipped: this system gives a test no disk of its own");
        return;
    };
    let data = disk.0.path().join("data");
    let house = House::with(|config| config.server.data = data.clone()).await;
    let ada = house.guest("ada").await;
    let reserve = data.join("satchel.reserve");
    let begun = std::time::Instant::now();
    while !std::fs::metadata(&reserve).is_ok_and(|file| file.len() == 4 * 1024 * 1024) {
        assert!(begun.elapsed().as_secs() < 20, "nothing is kept in reserve");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    // Another program takes all that is left.
    let other = disk.0.path().join("other");
    let mut filler = std::fs::File::create(&other).unwrap();
    while std::io::Write::write_all(&mut filler, &[7; 4096]).is_ok() {}
    drop(filler);

    let mut done = 0;
    loop {
        let answer = answer(write(&house, &ada, "/v1/todos", done)).await;
        if answer.status != 201 {
            is_refused(&answer, "/v1/todos");
            break;
        }
        done += 1;
        assert!(done < TOO_MANY, "the disk is full");
    }
    assert!(!reserve.exists(), "the reserve was given up");
    for _ in 0..20 {
        let (token, _) = tokens(&house.log_in(&ada.email, PASSWORD).await);
        let out = answer(house.request("POST", "/api/v1.0/auth/logout").bearer_auth(&token)).await;
        assert_eq!(out.status, 200, "{}", out.text);
        assert_eq!(answer(house.request("GET", "/v1/auth/me").bearer_auth(&token)).await.status, 401);
    }
    is_refused(&answer(write(&house, &ada, "/v1/todos", done)).await, "/v1/todos");
    assert_eq!(house.get("/v1/health").await.body["status"], json!("degraded"));

    std::fs::remove_file(&other).unwrap();
    let begun = std::time::Instant::now();
    while answer(write(&house, &ada, "/v1/todos", done)).await.status != 201 {
        assert!(begun.elapsed().as_secs() < 20, "content does not come back");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(house.get("/v1/health").await.body["status"], json!("healthy"));
    assert!(reserve.exists(), "the reserve was made again");
    assert_eq!(count::<i64>(&house, "select count(*) from todos"), i64::try_from(done + 1).unwrap());
    assert_eq!(broken(&house.database()), Vec::<String>::new());
    house.server.stop().await.unwrap();
}
