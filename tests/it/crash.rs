//! Crashes: the server is killed (SIGKILL) in the middle of everything, and what it had answered holds.

mod people;
mod shelves;
mod storm;

use std::time::{Duration, Instant};

use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::binary::{PATIENCE, Place, Serving, broken, connect};
use crate::house::{Guest, PASSWORD, answer};

/// 20, or as many as SATCHEL_CRASH_ROUNDS says.
fn rounds() -> u64 {
    std::env::var("SATCHEL_CRASH_ROUNDS").map_or(20, |text| text.parse().expect("a number"))
}

/// A number below `bound` that nobody chose.
fn any(bound: u64) -> u64 {
    u64::from_le_bytes(satchel::clock::Clock::system().random::<8>()) % bound
}

/// The body of a whole answer, or nothing when the server is gone before that.
async fn whole(request: RequestBuilder, status: u16) -> Option<Value> {
    let response = request.send().await.ok()?;
    let found = response.status().as_u16();
    let text = response.text().await.ok()?;
    assert_eq!(found, status, "{text}");
    Some(serde_json::from_str(&text).unwrap_or_default())
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
    for round in 0..rounds() {
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
    for round in 0..rounds() {
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
