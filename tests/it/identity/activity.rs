//! identity: `last_activity_at`, which moves at most once a minute.

use std::time::Duration;

use satchel::domain::users::Role;
use serde_json::{Value, json};

use super::{BEGINNING_UTC, account, account_as, after, again, get, register, renew, send, sign_in};
use crate::house::House;

/// Writes down who was seen, as the housekeeping does, and gives when a user was last seen.
async fn last_seen(house: &House, id: i64) -> Option<String> {
    let app = &house.server.app;
    app.auth.note_activity(&app.db).await.unwrap();
    // The housekeeping may be writing down the same at this moment: that comes first.
    app.db.write(|_| Ok(())).await.unwrap();
    let sql = "select last_activity_at from users where id = :id";
    let at = app.db.read(|db| db.one(sql, &[(":id", &id)], |row| row.get::<_, Option<i64>>(0)));
    at.unwrap().unwrap().map(|micros| satchel::clock::Timestamp::from_micros(micros).utc())
}

#[tokio::test]
async fn the_registration_is_shown_as_the_last_activity_until_there_is_one() {
    let house = House::new().await;
    let admin = account_as(&house, "root", Role::Admin).await;
    register(&house, "ada").await;
    house.wait(10);
    assert_eq!(last_seen(&house, 2).await, None);
    let listed = get(&house, &admin, "/users?id=2").await.body;
    assert_eq!(listed["users"]["2"]["last_activity_at"], json!(BEGINNING_UTC));
    let ada = sign_in(&house, "ada").await;
    let expected = crate::house::with(ada.shown(), json!({ "last_activity_at": after(10) }));
    get(&house, &ada, "/users/me").await.is(200, expected);
}

#[tokio::test]
async fn requests_move_it_once_a_minute_whichever_api_they_are_made_to() {
    let house = House::new().await;
    let ada = account(&house, "ada").await;
    let mut now = 0;
    for (wait, path, expected) in [
        (0, "/users/me", 0),
        (59, "/users/balance", 0),
        (1, "/auth/me", 60),
        (40, "/items", 60),
        (19, "/v1/todos", 60),
        (1, "/api/v1.0/users/me", 120),
        (400, "/users/profile", 520),
        (59, "/users/me", 520),
    ] {
        house.wait(wait);
        now += wait;
        get(&house, &ada, path).await;
        assert_eq!(last_seen(&house, ada.id).await, Some(after(expected)), "{now} s: {path}");
    }
}

#[tokio::test]
async fn it_is_not_moved_without_a_request_or_by_one_that_was_refused() {
    let house = House::new().await;
    let (ada, ben) = (account(&house, "ada").await, account(&house, "ben").await);
    send(&house, &ben, "POST", "/auth/logout", Value::Null).await;
    house.wait(120);
    for account in [&ada, &ben] {
        assert_eq!(last_seen(&house, account.id).await.as_deref(), Some(BEGINNING_UTC));
    }
    assert_eq!(get(&house, &ben, "/users/me").await.status, 401);
    assert_eq!(last_seen(&house, ben.id).await.as_deref(), Some(BEGINNING_UTC));
    // A wrong password is not his.
    super::log_in(&house, &ben.email, "wrong horse").await;
    assert_eq!(last_seen(&house, ben.id).await.as_deref(), Some(BEGINNING_UTC));
}

#[tokio::test]
async fn a_sign_in_within_the_minute_does_not_move_it_and_one_after_it_does() {
    let house = House::new().await;
    let ada = account(&house, "ada").await;
    house.wait(59);
    let ada = again(&house, &ada).await;
    assert_eq!(last_seen(&house, ada.id).await.as_deref(), Some(BEGINNING_UTC));
    house.wait(1);
    let ada = again(&house, &ada).await;
    assert_eq!(last_seen(&house, ada.id).await, Some(after(60)));
}

#[tokio::test]
async fn several_tokens_of_one_user_move_it_once_a_minute_too() {
    let house = House::new().await;
    let ada = account(&house, "ada").await;
    for wait in [30, 25] {
        house.wait(wait);
        let (access, _) = super::pair(&renew(&house, &ada.refresh).await);
        let newer = super::Account { access, ..ada.clone() };
        assert_eq!(get(&house, &newer, "/users/me").await.status, 200);
        assert_eq!(last_seen(&house, ada.id).await.as_deref(), Some(BEGINNING_UTC));
    }
    house.wait(5);
    let elsewhere = again(&house, &ada).await;
    house.wait(30);
    for account in [&ada, &elsewhere] {
        assert_eq!(get(&house, account, "/users/me").await.status, 200);
        assert_eq!(last_seen(&house, ada.id).await, Some(after(60)));
    }
}

#[tokio::test]
async fn it_changes_nothing_else_of_the_user() {
    let house = House::new().await;
    let ada = account(&house, "ada").await;
    house.wait(300);
    get(&house, &ada, "/users/me").await;
    assert_eq!(last_seen(&house, ada.id).await, Some(after(300)));
    let expected = crate::house::with(ada.shown(), json!({ "last_activity_at": after(300) }));
    get(&house, &ada, "/users/me").await.is(200, expected);
}

#[tokio::test]
async fn what_was_seen_last_is_written_down_before_the_server_stops() {
    let house = House::new().await;
    let ada = account(&house, "ada").await;
    house.wait(300);
    assert_eq!(get(&house, &ada, "/users/me").await.status, 200);
    let house = house.restart().await;
    let sql = "select last_activity_at from users";
    let at = super::look_up::<i64>(&house, sql);
    assert_eq!(satchel::clock::Timestamp::from_micros(at).utc(), after(300));
    house.wait(30);
    get(&house, &ada, "/users/me").await;
    assert_eq!(last_seen(&house, ada.id).await, Some(after(300)));
}

#[tokio::test]
async fn it_does_not_go_back_with_the_clock() {
    let house = House::new().await;
    house.wait(1000);
    let ada = account(&house, "ada").await;
    house.clock.set(house.clock.now().minus(Duration::from_secs(500)));
    sign_in(&house, "ada").await;
    get(&house, &ada, "/users/me").await;
    assert_eq!(last_seen(&house, ada.id).await, Some(after(1000)));
}
