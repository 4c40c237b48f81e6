//! Crashes: the server is killed (SIGKILL) in the middle of everything, and what it had answered holds.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::binary::{PATIENCE, Place, Serving, broken, connect};
use crate::house::{Guest, PASSWORD, answer, book};

const CLIENTS: usize = 6;

/// 5, or as many as SATCHEL_CRASH_ROUNDS says.
fn rounds() -> u64 {
    std::env::var("SATCHEL_CRASH_ROUNDS").map_or(5, |text| text.parse().expect("a number"))
}

/// A number below `bound` that nobody chose.
fn any(bound: u64) -> u64 {
    u64::from_le_bytes(satchel::clock::Clock::system().random::<8>()) % bound
}

/// Adds books until the server is gone; returns those it answered for, by their id.
async fn storm(request: reqwest::RequestBuilder, client: usize) -> BTreeMap<String, Value> {
    let mut answered = BTreeMap::new();
    for n in 0.. {
        let sent = request.try_clone().unwrap().json(&book(&format!("{client}-{n}"))).send().await;
        let Ok(response) = sent else { break };
        // What comes before the whole answer is no answer.
        let (201, Ok(book)) = (response.status().as_u16(), response.json::<Value>().await) else { break };
        answered.insert(book["uuid"].as_str().unwrap().to_owned(), book);
    }
    answered
}

/// Every book, by its id.
async fn shelf(serving: &Serving) -> BTreeMap<String, Value> {
    let mut books = BTreeMap::new();
    let mut path = String::from("/api/v1.0/books/?limit=1000");
    loop {
        let page = serving.get(&path).await;
        assert_eq!(page.status, 200, "{}", page.text);
        for book in page.body.as_array().unwrap() {
            books.insert(book["uuid"].as_str().unwrap().to_owned(), book.clone());
        }
        match page.header("link").split_once("cursor=") {
            Some((_, rest)) => {
                let cursor = rest.split(['&', '>', ';']).next().unwrap();
                path = format!("/api/v1.0/books/?limit=1000&cursor={cursor}");
            }
            None => return books,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answered_write_outlives_a_kill_in_a_storm_of_writes() {
    let place = Place::new();
    let mut serving = place.serve().await;
    let mut guest = serving.guest("ada").await;
    let mut answered = BTreeMap::new();
    for round in 0..rounds() {
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            clients.spawn(storm(serving.by(&guest, "POST", "/api/v1.0/books/"), client));
        }
        tokio::time::sleep(Duration::from_millis(30 + any(300))).await;
        serving.kill().await;
        for books in clients.join_all().await {
            answered.extend(books);
        }

        serving = place.serve().await;
        let kept = shelf(&serving).await;
        for (uuid, book) in &answered {
            assert_eq!(kept.get(uuid), Some(book), "round {round}");
        }
        // Not one more than clients were waiting for in each round.
        let unheard = kept.len() - answered.len();
        let most = CLIENTS * usize::try_from(round + 1).unwrap();
        assert!(unheard <= most, "round {round}: {unheard} books that nobody was told of");
        for book in kept.values() {
            let title = book["title"].as_str().unwrap();
            assert_eq!(book["user_id"], 1, "round {round}: {title}");
            assert_eq!(book["pages"], 412, "round {round}: {title}");
        }
        assert_eq!(broken(&place.database()), Vec::<String>::new(), "round {round}");
        guest = serving.sign_in(&guest.email, PASSWORD).await;
    }
    assert!(answered.len() >= CLIENTS, "the storm was none: {}", answered.len());
    assert_eq!(serving.stop().await.code, Some(0));
}

#[tokio::test]
async fn an_answered_log_out_outlives_a_kill() {
    let place = Place::new();
    let mut serving = place.serve().await;
    let stays = serving.guest("ada").await;
    for _ in 0..3 {
        let goes = serving.sign_in(&stays.email, PASSWORD).await;
        let out = answer(serving.by(&goes, "POST", "/api/v1.0/auth/logout")).await;
        serving.kill().await;
        assert_eq!(out.status, 200);

        serving = place.serve().await;
        assert_eq!(serving.own_profile(&goes).await, 401);
        assert_eq!(refresh(&serving, &goes).await, 401);
        assert_eq!(serving.own_profile(&stays).await, 200);
    }
}

#[tokio::test]
async fn an_answered_change_of_password_outlives_a_kill() {
    let place = Place::new();
    let mut serving = place.serve().await;
    let mut password = PASSWORD.to_owned();
    let mut ada = serving.guest("ada").await;
    for round in 0..3 {
        let next = format!("another battery staple {round}");
        let change = json!({ "current_password": password, "new_password": next });
        let path = "/api/v1.0/users/change-password";
        let changed = answer(serving.by(&ada, "POST", path).json(&change)).await;
        serving.kill().await;
        assert_eq!(changed.status, 200, "{}", changed.text);

        serving = place.serve().await;
        assert_eq!(serving.own_profile(&ada).await, 401);
        assert_eq!(refresh(&serving, &ada).await, 401);
        assert_eq!(serving.log_in(&ada.email, &password).await.status, 401);
        ada = serving.sign_in(&ada.email, &next).await;
        password = next;
    }
}

#[tokio::test]
async fn a_spent_refresh_token_stays_spent_after_a_kill() {
    let place = Place::new();
    let serving = place.serve().await;
    let ada = serving.guest("ada").await;
    let body = json!({ "refresh_token": ada.refresh });
    let next = answer(serving.request("POST", "/api/v1.0/auth/refresh").json(&body)).await;
    serving.kill().await;
    assert_eq!(next.status, 200);
    let serving = place.serve().await;
    let next = Guest { refresh: next.body["refresh_token"].as_str().unwrap().to_owned(), ..ada };
    assert_eq!(refresh(&serving, &next).await, 200, "the new token was answered for");
    assert_eq!(refresh(&serving, &next).await, 200, "a client may not have heard the answer");
    let rows: i64 =
        connect(&place.database()).query_row("select count(*) from sessions", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 1);
}

async fn refresh(serving: &Serving, guest: &Guest) -> u16 {
    let body = json!({ "refresh_token": guest.refresh });
    answer(serving.request("POST", "/api/v1.0/auth/refresh").json(&body)).await.status
}

/// Keys, schema and lock are made in the first milliseconds.
#[tokio::test]
async fn a_first_start_killed_at_any_moment_leaves_a_directory_that_starts() {
    let place = Place::new();
    let started = Instant::now();
    place.serve().await.kill().await;
    let whole = u64::try_from(started.elapsed().as_micros()).unwrap().clamp(1_000, 500_000);
    let mut unfinished = 0;
    for round in 0..3 * rounds() {
        let place = Place::new();
        let mut child = place.command(&["serve", "--port", "0"]).spawn().unwrap();
        let moment = Duration::from_micros(any(whole));
        tokio::time::sleep(moment).await;
        tokio::time::timeout(PATIENCE, child.kill()).await.expect("it dies").unwrap();
        unfinished += usize::from(!place.path("data/keys").exists());

        let serving = place.serve().await;
        assert_eq!(serving.guest("ada").await.email, "ada@example.com", "round {round}, {moment:?}");
        let ended = serving.stop().await;
        assert_eq!(ended.code, Some(0), "round {round}, {moment:?}: {}", ended.stderr);
        assert_eq!(broken(&place.database()), Vec::<String>::new(), "round {round}, {moment:?}");
    }
    assert!(unfinished > 0, "no start was killed before it had made its keys");
}

#[tokio::test]
async fn a_migration_killed_at_any_moment_leaves_what_was_there() {
    for round in 0..3 * rounds() {
        let place = Place::new();
        place.make_admin("ada@example.com").await;
        for direction in ["down", "up"] {
            let mut child = place.command(&["migrate", direction]).spawn().unwrap();
            let moment = Duration::from_micros(any(20_000));
            tokio::time::sleep(moment).await;
            tokio::time::timeout(PATIENCE, child.kill()).await.expect("it dies").unwrap();
            assert_eq!(broken(&place.database()), Vec::<String>::new(), "round {round}, {moment:?}");
        }
        place.serve().await.sign_in("ada@example.com", PASSWORD).await;
    }
}
