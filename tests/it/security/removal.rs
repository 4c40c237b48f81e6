//! Removal: a user who was deleted is nowhere to be seen at once, however much there is, and leaves nothing behind.

use std::time::{Duration, Instant};

use satchel::domain::pictures::{MediaType, Picture};
use satchel::domain::{avatars, contacts, removal};
use serde_json::{Value, json};

use super::authority::{hold_writer, queue_hold};
use super::{bytes_of_the_database, look_up};
use crate::house::{Guest, House, answer, book, contact, document, send};

/// How a user can be deleted for good: by themselves, or by an administrator.
async fn delete_by(house: &House, route: &str, ada: &Guest, admin: &Guest, id: i64) -> u16 {
    let (by, path) = match route {
        "bookshelf" => (ada, format!("/api/v1.0/users/{}", ada.uuid)),
        "bookshelf's administrators" => (admin, format!("/api/v1.0/users/admin/{}", ada.uuid)),
        _ => (ada, format!("/v1/users/{id}")),
    };
    send(house, by, "DELETE", &path, Value::Null).await.status
}

/// What a user left: the paths under which it was, and texts that only that user wrote.
struct Traces {
    book: String,
    item: String,
    todo: String,
    picture: String,
    id: i64,
}

async fn furnish(house: &House, ada: &Guest) -> Traces {
    house.confirm(ada).await;
    let made = house.book(ada, "Dune of ada").await;
    let book = format!("/api/v1.0/books/{}", made["uuid"].as_str().unwrap());
    let item = json!({ "name": "Tea of ada", "category": "Grocery", "price_usd": 1, "in_stock": true });
    let made = send(house, ada, "POST", "/items", item).await.body;
    let item = format!("/items/{}", made["id"].as_str().unwrap());
    let made = send(house, ada, "POST", "/v1/todos", json!({ "title": "Todo of ada" })).await.body;
    let todo = format!("/v1/todos/{}", made["id"]);
    let made = send(house, ada, "POST", "/api/contacts/", contact("Grace of ada")).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let (number, name) = (made.body["id"].as_i64().unwrap(), "a".repeat(24));
    let picture = Picture { media_type: MediaType::Png, bytes: vec![7; 100] };
    let kept = name.clone();
    let db = &house.server.app.db;
    db.write(move |db| avatars::replace(db, contacts::ContactId(number), &kept, &picture)).await.unwrap();
    let picture = format!("/api/avatars/{name}");
    assert_eq!(house.get(&picture).await.status, 200);
    let id = look_up(house, &format!("select id from users where email = '{}'", ada.email));
    Traces { book, item, todo, picture, id }
}

#[tokio::test]
async fn a_deleted_user_is_nowhere_to_be_seen_while_the_purge_has_not_begun() {
    for route in ["bookshelf", "bookshelf's administrators", "todolist"] {
        // Each write has a commit of its own: the writer can be held right behind the deletion.
        let house = House::with(|config| config.db.group = 1).await;
        let admin = house.guest_as("root", satchel::domain::users::Role::Admin).await;
        house.confirm(&admin).await;
        let ada = house.guest("ada").await;
        let traces = furnish(&house, &ada).await;
        let shown = house.get(&traces.book).await;
        assert_eq!(shown.body["user_id"], json!(traces.id));

        let release = hold_writer(&house).await;
        let (ada, id) = (ada, traces.id);
        let deletion = async { delete_by(&house, route, &ada, &admin, id).await };
        let hold_again = async {
            // The deletion is in the queue by now, or comes behind this hold and in front of the purge all the same.
            tokio::time::sleep(Duration::from_millis(100)).await;
            let (again, has_begun) = queue_hold(&house);
            tokio::time::sleep(Duration::from_millis(50)).await;
            drop(release);
            tokio::task::spawn_blocking(move || has_begun.recv().unwrap()).await.unwrap();
            again
        };
        let (status, again) = tokio::join!(deletion, hold_again);
        assert!(matches!(status, 200 | 204), "{route}: {status}");

        assert_eq!(house.get(&traces.book).await.body["user_id"], Value::Null, "{route}");
        assert_eq!(send(&house, &admin, "GET", &traces.item, Value::Null).await.status, 404, "{route}");
        assert_eq!(send(&house, &admin, "GET", &traces.todo, Value::Null).await.status, 404, "{route}");
        assert_eq!(house.get(&traces.picture).await.status, 404, "{route}");
        assert_eq!(send(&house, &ada, "GET", "/v1/auth/me", Value::Null).await.status, 401);
        // Every GET of the document, as an administrator, with what was the user's.
        let mut walked = 0;
        for (template, operations) in document()["paths"].as_object().unwrap() {
            if operations.get("get").is_none() || template.contains("logout") || template.contains("refresh")
            {
                continue;
            }
            let path = template
                .replace("{user_uuid}", &ada.uuid)
                .replace("{user_id}", &id.to_string())
                .replace("{email}", &ada.email)
                .replace("{book_uuid}", traces.book.rsplit('/').next().unwrap())
                .replace("{todo_id}", traces.todo.rsplit('/').next().unwrap())
                .replace("{name}", traces.picture.rsplit('/').next().unwrap())
                .replace("{query}", "Grace")
                .replace("{id}", traces.item.rsplit('/').next().unwrap());
            let path = path.split('{').next().unwrap();
            let seen = answer(house.by(&admin, "GET", path)).await;
            assert!(seen.status < 500, "{path}: {}", seen.text);
            for trace in ["Tea of ada", "Todo of ada", "Grace of ada", &ada.uuid] {
                let not_found = seen.status == 404 || seen.status == 422;
                assert!(
                    not_found || !seen.text.contains(trace),
                    "{route}: {path} shows {trace}: {}",
                    seen.text
                );
            }
            assert!(seen.status != 200 || !seen.text.contains(&ada.email), "{route}: {path}: {}", seen.text);
            if let Some(books) = seen.body.as_array().filter(|_| path.ends_with("/books/")) {
                assert_eq!(books[0]["title"], json!("Dune of ada"));
                assert_eq!(books[0]["user_id"], Value::Null, "{route}: {path}");
            }
            walked += 1;
        }
        assert!(walked > 20, "{walked} routes were walked");
        let listed = send(&house, &admin, "GET", "/v1/users", Value::Null).await;
        assert_eq!(listed.body["total"], json!(1), "{route}");
        drop(again);
        assert_eq!(house.log_in(&ada.email, crate::house::PASSWORD).await.status, 401, "{route}");
        // The names are free at once.
        assert_eq!(house.register("ada").await.len(), 36, "{route}");
    }
}

#[tokio::test]
async fn deleting_a_user_with_40_000_todos_holds_the_writer_for_a_moment() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let ben = house.guest("ben").await;
    let fill = |db: &satchel::db::Write| {
        let sql = "insert into todos (title, description, priority, user_id, created_at, updated_at)
                   with recursive n (n) as (select 1 union all select n + 1 from n where n < 40000)
                   select 'Read', printf('%.*c', 1000, 'x'), 'low', (select id from users where username = 'ada'), 1, 1
                   from n";
        Ok(db.execute(sql, [])?)
    };
    house.server.app.db.write(fill).await.unwrap();
    let begun = Instant::now();
    let gone = send(&house, &ada, "DELETE", &format!("/api/v1.0/users/{}", ada.uuid), Value::Null).await;
    assert_eq!(gone.status, 200, "{}", gone.text);
    let deletion = begun.elapsed();
    let mut waits = Vec::new();
    while look_up::<i64>(&house, "select count(*) from removals") > 0 {
        assert!(begun.elapsed() < Duration::from_secs(120), "nobody purges");
        let asked = Instant::now();
        let made = answer(house.by(&ben, "POST", "/api/v1.0/books/").json(&book("Emma"))).await;
        assert_eq!(made.status, 201, "{}", made.text);
        waits.push(asked.elapsed());
    }
    assert_eq!(look_up::<i64>(&house, "select count(*) from todos"), 0);
    waits.sort();
    // On a machine that does other things as well: the median, not the worst.
    let median = waits.get(waits.len() / 2).copied().unwrap_or_default();
    assert!(median < Duration::from_millis(250), "others waited {median:?} for the writer");
    assert!(deletion < Duration::from_secs(2), "the deletion took {deletion:?}");
}

#[tokio::test]
async fn after_a_deletion_the_address_is_in_no_file_of_the_data_directory() {
    let house = House::with(|config| config.auth.require_confirmed_email = true).await;
    let uuid = house.register("ada").await;
    let email = "ada@example.com";
    let ada = Guest { uuid, email: email.into(), access: String::new(), refresh: String::new() };
    house.register("ben").await;
    house.server.app.mail.deliver_due().await.unwrap();
    house.confirm(&ada).await;
    let ada = house.sign_in("ada", ada.uuid).await;
    let files = |of: &str| {
        let directory = house.config.mail_directory();
        let letters = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        letters.filter(|path| std::fs::read_to_string(path).unwrap().contains(of)).count()
    };
    assert_eq!((files(email), files("ben@example.com")), (1, 1));
    assert!(contains(&bytes_of_the_database(&house), email));
    let path = format!("/api/v1.0/users/{}", ada.uuid);
    assert_eq!(send(&house, &ada, "DELETE", &path, Value::Null).await.status, 200);
    let begun = Instant::now();
    while contains(&bytes_of_the_database(&house), email) || files(email) > 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "the address is still there");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(house.letters().await.len(), 1, "another's letter stays");
    assert!(contains(&bytes_of_the_database(&house), "ben@example.com"));
    assert!(!house.server.app.db.read(removal::is_due).unwrap());
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|part| part.eq_ignore_ascii_case(text.as_bytes()))
}

#[tokio::test]
async fn a_deletion_that_was_answered_goes_on_after_a_restart() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    house.book(&ada, "Dune").await;
    let release = hold_writer(&house).await;
    let uuid = ada.uuid.parse().unwrap();
    let db = house.server.app.db.clone();
    let marked = tokio::spawn(async move {
        let operator = satchel::domain::auth::Admin::operator();
        db.write(move |db| {
            satchel::domain::users::delete_as_admin(
                db,
                &operator,
                &satchel::domain::users::by_uuid(db, uuid)?,
            )
        })
        .await
    });
    drop(release);
    marked.await.unwrap().unwrap();
    let house = house.restart().await;
    let begun = Instant::now();
    while look_up::<i64>(&house, "select count(*) from users") > 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "nobody purges");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(look_up::<i64>(&house, "select count(*) from books where user_id is null"), 1);
}
