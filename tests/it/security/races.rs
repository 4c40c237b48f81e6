//! Races: whatever the order in which two things happen, what was answered holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use satchel::db::{Db, Options, Write};
use satchel::domain::auth::{Admin, keys, sessions};
use satchel::domain::users::Role;
use satchel::domain::{books, users};
use satchel::error::{Error, Refusal};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{again, connect, header_of, log_out, look_up, me, new_book, read_out, set_blocked, status_of};
use crate::house::{House, answer, book, contact, registration};

/// How long a running server may take to notice what another process did.
const NOTICED_WITHIN: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_cache_fill_that_races_a_log_out_outlives_its_answer() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let mut late = 0;
    for round in 0..300 {
        let token = if round == 0 { ada.access.clone() } else { again(&house, &ada).await.access };
        let app = house.server.app.clone();
        let over = Arc::new(AtomicBool::new(false));
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let (app, token, over) = (app.clone(), token.clone(), over.clone());
                std::thread::spawn(move || {
                    let mut after = 0;
                    while after < 20 {
                        let was_over = over.load(Ordering::SeqCst);
                        let found = app.auth.authenticate(&app.db, &token);
                        assert!(
                            !(was_over && found.is_ok()),
                            "a token was good after its log-out was answered"
                        );
                        after += u32::from(was_over);
                    }
                    after
                })
            })
            .collect();
        let caller = app.auth.authenticate(&app.db, &token).unwrap();
        app.write_as(caller, sessions::end).await.unwrap();
        over.store(true, Ordering::SeqCst);
        for reader in readers {
            late += reader.join().unwrap();
        }
    }
    assert_eq!(late, 300 * 3 * 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn after_the_answer_to_a_log_out_every_request_is_refused() {
    let house = Arc::new(House::new().await);
    let ada = house.guest("ada").await;
    for _ in 0..25 {
        let guest = again(&house, &ada).await;
        let over = Arc::new(AtomicBool::new(false));
        let good = Arc::new(AtomicU32::new(0));
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let (house, token) = (house.clone(), guest.access.clone());
                let (over, good) = (over.clone(), good.clone());
                tokio::spawn(async move {
                    let mut after = 0;
                    while after < 5 {
                        let was_over = over.load(Ordering::SeqCst);
                        let status = me(&house, &token).await;
                        assert!(!was_over || status == 401, "{status} after the log-out was answered");
                        after += u32::from(was_over);
                        good.fetch_add(u32::from(status == 200), Ordering::SeqCst);
                    }
                })
            })
            .collect();
        assert_eq!(log_out(&house, &guest.access).await.status, 200);
        over.store(true, Ordering::SeqCst);
        for reader in readers {
            reader.await.unwrap();
        }
    }
}

/// Waits until the token is refused.
async fn assert_dies_soon(house: &House, token: &str, why: &str) {
    let begun = Instant::now();
    while me(house, token).await == 200 {
        assert!(begun.elapsed() < NOTICED_WITHIN, "{why}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_block_by_another_process_is_noticed_by_the_running_server() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let bob = house.guest("bob").await;
    let uuid = ada.uuid.parse().unwrap();
    for blocked in [true, false] {
        let guest = again(&house, &bob).await;
        assert_eq!(me(&house, &guest.access).await, 200);
        assert_eq!(me(&house, &ada.access).await, if blocked { 200 } else { 401 });
        let other = Db::open(&Options::new(house.database()), house.clock.clone()).unwrap();
        let block =
            move |db: &Write| users::set_blocked(db, &Admin::operator(), &users::by_uuid(db, uuid)?, blocked);
        other.write(block).await.unwrap();
        assert_dies_soon(&house, &ada.access, "a blocked user's token lives").await;
        assert_eq!(me(&house, &guest.access).await, 200, "nobody else's token dies of it");
    }
}

#[tokio::test]
async fn a_removed_key_takes_every_token_it_signed_along() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let keep = house.config.longest_token();
    let directory = house.config.keys();
    assert_eq!(me(&house, &ada.access).await, 200);
    keys::rotate(&directory, true, &house.clock, keep).unwrap();
    house.server.app.auth.notice_keys().unwrap();
    let new = again(&house, &ada).await;
    assert_eq!(me(&house, &ada.access).await, 200, "a retired key verifies");
    let kid = header_of(&ada.access)["kid"].as_str().unwrap().to_owned();
    keys::retire(&directory, &kid, true, &house.clock, keep).unwrap();
    house.server.app.auth.notice_keys().unwrap();
    assert_eq!(me(&house, &ada.access).await, 401);
    assert_eq!(super::refresh(&house, &ada.refresh).await.status, 401);
    assert_eq!(me(&house, &new.access).await, 200);
    let set = house.get("/.well-known/jwks.json").await;
    assert!(!set.text.contains(&kid));
}

#[tokio::test]
async fn a_removed_key_is_noticed_without_being_told() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let keep = house.config.longest_token();
    assert_eq!(me(&house, &ada.access).await, 200);
    keys::rotate(&house.config.keys(), true, &house.clock, keep).unwrap();
    let kid = header_of(&ada.access)["kid"].as_str().unwrap().to_owned();
    keys::retire(&house.config.keys(), &kid, true, &house.clock, keep).unwrap();
    assert_dies_soon(&house, &ada.access, "the token of a removed key lives").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_twenty_registrations_of_one_address_one_is_taken() {
    let house = House::new().await;
    let answers = join_all((0..20).map(|n| {
        let mut body = registration(&format!("user{n}"));
        body["email"] = json!(if n % 2 == 0 { "ada@example.com" } else { "Ada@Example.com" });
        house.post("/api/v1.0/auth/register", body)
    }))
    .await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        answer.refuses(400, "Email already registered");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_twenty_registrations_of_one_name_one_is_taken() {
    let house = House::new().await;
    let answers = join_all((0..20).map(|n| {
        let mut body = registration(if n % 2 == 0 { "ada" } else { "ADA" });
        body["email"] = json!(format!("ada{n}@example.com"));
        house.post("/api/v1.0/auth/register", body)
    }))
    .await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        answer.refuses(400, "Username already taken");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_twenty_deletions_of_one_book_one_succeeds() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let book = house.book(&ada, "Dune").await;
    let path = format!("/api/v1.0/books/{}", book["uuid"].as_str().unwrap());
    let answers = join_all((0..20).map(|_| answer(house.by(&ada, "DELETE", &path)))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 204).count(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.status == 404).count(), 19);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_administrators_who_demote_each_other_leave_one() {
    for _ in 0..5 {
        let house = House::new().await;
        let ada = house.guest_as("ada", Role::Admin).await;
        let bob = house.guest_as("bob", Role::Admin).await;
        let demote = |by: &crate::house::Guest, whom: &crate::house::Guest| {
            let path = format!("/api/v1.0/users/admin/{}/role?new_role=user", whom.uuid);
            answer(house.by(by, "PATCH", &path))
        };
        let (one, other) = tokio::join!(demote(&ada, &bob), demote(&bob, &ada));
        assert!([one.status, other.status].contains(&200));
        assert_eq!(look_up::<i64>(&house, "select count(*) from users where role = 'admin'"), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn log_outs_that_race_each_other_and_a_deletion_are_no_fault() {
    let house = House::new().await;
    for round in 0..10 {
        let ada = house.guest(&format!("ada{round}")).await;
        let out = "/api/v1.0/auth/logout";
        let user = format!("/api/v1.0/users/{}", ada.uuid);
        let requests = (0..4).flat_map(|_| {
            [
                house.by(&ada, "POST", out),
                house.by(&ada, "POST", "/api/v1.0/auth/logout-all"),
                house.by(&ada, "DELETE", &user),
                house.by(&ada, "POST", "/api/v1.0/books/").json(&book("Dune")),
            ]
        });
        for done in join_all(requests.map(answer)).await {
            assert!(matches!(done.status, 200 | 201 | 401 | 404), "{}: {}", done.status, done.text);
        }
    }
}

#[tokio::test]
async fn whoever_was_deleted_between_the_question_and_the_deed_is_refused_without_a_fault() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let app = &house.server.app;
    let caller = app.auth.authenticate(&app.db, &ada.access).unwrap();
    answer(house.by(&ada, "DELETE", &format!("/api/v1.0/users/{}", ada.uuid))).await;
    let uuid = house.clock.new_id();
    let added = app.write_as(caller, move |db| books::create(db, uuid, &new_book()).map(drop)).await;
    let ended = app.write_as(caller, sessions::end_own).await;
    for refused in [added, ended, app.write_as(caller, sessions::end).await] {
        assert!(matches!(refused, Err(Error::Refusal(Refusal::TokenRevoked))), "{refused:?}");
    }
}

#[tokio::test]
async fn a_body_that_comes_after_a_log_out_a_block_a_deactivation_or_a_demotion_does_nothing() {
    let house = House::new().await;
    let admin = house.guest_as("root", Role::Admin).await;
    let ada = house.guest("ada").await;
    house.confirm(&ada).await;
    let own = house.book(&ada, "Dune").await;
    let update = format!("PATCH /api/v1.0/books/{}", own["uuid"].as_str().unwrap());
    let promote = format!("PATCH /api/v1.0/users/admin/{}", ada.uuid);
    let todo = json!({ "title": "Emma" });
    for (request, body, end) in [
        ("POST /api/v1.0/books/", book("Emma"), "log-out"),
        (update.as_str(), json!({ "title": "Emma" }), "log-out"),
        ("PUT /users/balance", json!({ "amount": 1 }), "log-out"),
        ("PUT /users/balance", json!({ "amount": 1 }), "block"),
        ("POST /v1/todos", todo.clone(), "block"),
        ("POST /v1/todos", todo, "deactivation"),
        ("POST /api/contacts/", contact("Emma"), "block"),
        (promote.as_str(), json!({ "role": "admin" }), "demotion"),
    ] {
        let guest = again(&house, if end == "demotion" { &admin } else { &ada }).await;
        let body = body.to_string();
        let mut stream = connect(&house).await;
        let head = format!(
            "{request} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n",
            guest.access,
            body.len(),
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // The server asks for the body when it has seen who sends it.
        let mut go_on = [0; 25];
        tokio::time::timeout(NOTICED_WITHIN, stream.read_exact(&mut go_on)).await.unwrap().unwrap();
        assert!(go_on.starts_with(b"HTTP/1.1 100 Continue"));
        let active = |is_active| users::Patch { is_active: Some(is_active), ..Default::default() };
        match end {
            "log-out" => assert_eq!(log_out(&house, &guest.access).await.status, 200),
            // He is let in again before the body comes: that does not revive what he began.
            "block" => {
                set_blocked(&house, &ada, true).await;
                set_blocked(&house, &ada, false).await;
            }
            "deactivation" => {
                house.change(&ada.uuid, active(false)).await;
                house.change(&ada.uuid, active(true)).await;
            }
            _ => {
                let second = house.guest_as("second", Role::Admin).await;
                assert_eq!(me(&house, &second.access).await, 200);
                let demotion = users::Patch { role: Some(Role::User), ..Default::default() };
                house.change(&admin.uuid, demotion).await;
            }
        }
        stream.write_all(body.as_bytes()).await.unwrap();
        let (said, _) = read_out(&mut stream).await;
        assert_eq!(status_of(&said), Some(401), "{request}, {end}: {said}");
    }
    assert_eq!(look_up::<i64>(&house, "select count(*) from books where title = 'Dune'"), 1);
    assert_eq!(look_up::<i64>(&house, "select count(*) from books"), 1);
    for table in ["todos", "contacts"] {
        assert_eq!(look_up::<i64>(&house, &format!("select count(*) from {table}")), 0);
    }
    assert_eq!(look_up::<i64>(&house, "select sum(balance) from users"), 0);
    assert_eq!(look_up::<String>(&house, "select role from users where username = 'ada'"), "user");
}
