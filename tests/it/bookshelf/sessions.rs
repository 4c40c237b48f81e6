//! bookshelf, `/auth`: refreshing and signing out.

use satchel::domain::users::Role;
use serde_json::{Value, json};

use super::send;
use crate::house::{Answer, Guest, House, PASSWORD};

const SPENT: &str = "Refresh token has been revoked";
const BAD_TOKEN: &str = "Could not validate credentials";
/// What is said of a token whose session was ended.
const ENDED: &str = "Token has been revoked";

async fn refresh(house: &House, token: &str) -> Answer {
    house.post("/api/v1.0/auth/refresh", json!({ "refresh_token": token })).await
}

async fn me(house: &House, guest: &Guest) -> Answer {
    send(house, guest, "GET", "/users/me", Value::Null).await
}

fn pair(old: &Guest, answer: &Answer) -> Guest {
    let token = |kind: &str| answer.body[kind].as_str().unwrap().to_owned();
    Guest { access: token("access_token"), refresh: token("refresh_token"), ..old.clone() }
}

#[tokio::test]
async fn refresh_answers_a_new_pair_and_spends_the_old_token() {
    let house = House::new().await;
    let old = house.guest("ada").await;
    house.wait(60);
    let answer = refresh(&house, &old.refresh).await;
    let new = pair(&old, &answer);
    answer
        .is(200, json!({ "access_token": new.access, "refresh_token": new.refresh, "token_type": "bearer" }));
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_ne!((&new.access, &new.refresh), (&old.access, &old.refresh));
    assert_eq!(me(&house, &new).await.status, 200);
    house.wait(11);
    let reused = refresh(&house, &old.refresh).await;
    reused.refuses(401, SPENT);
    assert_eq!(reused.header("www-authenticate"), "Bearer error=\"invalid_token\"");
    refresh(&house, &new.refresh).await.refuses(401, SPENT);
    me(&house, &new).await.refuses(401, ENDED);
}

#[tokio::test]
async fn refresh_sent_twice_within_ten_seconds_begins_no_second_line() {
    let house = House::new().await;
    let guest = house.guest("ada").await;
    let first = pair(&guest, &refresh(&house, &guest.refresh).await);
    house.wait(10);
    let again = pair(&guest, &refresh(&house, &guest.refresh).await);
    assert_eq!(again.refresh, first.refresh);
    assert_eq!(refresh(&house, &again.refresh).await.status, 200);
}

#[tokio::test]
async fn ten_refreshes_at_once_leave_one_living_token() {
    let house = House::new().await;
    let guest = house.guest("ada").await;
    let race = (0..10).map(|_| refresh(&house, &guest.refresh));
    let answers = futures_util::future::join_all(race).await;
    let pairs: Vec<Guest> = answers.iter().map(|answer| pair(&guest, answer)).collect();
    assert!(pairs.iter().all(|pair| pair.refresh == pairs[0].refresh));
    for pair in &pairs {
        assert_eq!(me(&house, pair).await.status, 200);
    }
    assert_eq!(refresh(&house, &pairs[0].refresh).await.status, 200);
    house.wait(11);
    refresh(&house, &pairs[0].refresh).await.refuses(401, SPENT);
}

#[tokio::test]
async fn refresh_refuses_what_is_no_living_refresh_token() {
    let house = House::new().await;
    let guest = house.guest("ada").await;
    let (head, tail) = guest.refresh.rsplit_once('.').unwrap();
    for token in
        ["", "x", "a.b.c", head, &format!("{head}.{}", tail.to_lowercase()), &format!("{} ", guest.refresh)]
    {
        let answer = refresh(&house, token).await;
        answer.refuses(401, BAD_TOKEN);
        assert_eq!(answer.header("www-authenticate"), "Bearer error=\"invalid_token\"");
    }
    refresh(&house, &guest.access).await.refuses(401, "Invalid refresh token");
    house.wait(604_799);
    assert_eq!(refresh(&house, &guest.refresh).await.status, 200);
    house.wait(604_800);
    refresh(&house, &guest.refresh).await.refuses(401, BAD_TOKEN);
}

#[tokio::test]
async fn refresh_is_refused_to_an_inactive_user_in_words_of_its_own() {
    let house = House::new().await;
    let admin = house.guest_as("grace", Role::Admin).await;
    let ada = house.guest("ada").await;
    let off = format!("/users/admin/{}/activate?is_active=false", ada.uuid);
    assert_eq!(send(&house, &admin, "PATCH", &off, Value::Null).await.status, 200);
    refresh(&house, &ada.refresh).await.refuses(400, "User account is inactive");
    let on = format!("/users/admin/{}/activate?is_active=true", ada.uuid);
    assert_eq!(send(&house, &admin, "PATCH", &on, Value::Null).await.status, 200);
    refresh(&house, &ada.refresh).await.refuses(401, SPENT);
}

#[tokio::test]
async fn refresh_is_refused_after_the_user_was_deleted() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let gone = send(&house, &ada, "DELETE", &format!("/users/{}", ada.uuid), Value::Null).await;
    assert_eq!(gone.status, 200);
    refresh(&house, &ada.refresh).await.refuses(401, SPENT);
}

#[tokio::test]
async fn an_access_token_opens_nothing_after_30_minutes() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    house.wait(1799);
    assert_eq!(me(&house, &ada).await.status, 200);
    house.wait(1);
    let answer = me(&house, &ada).await;
    answer.refuses(401, BAD_TOKEN);
    assert_eq!(answer.header("www-authenticate"), "Bearer error=\"invalid_token\"");
}

#[tokio::test]
async fn log_out_ends_this_session_and_no_other() {
    let house = House::new().await;
    let here = house.guest("ada").await;
    let there = house.sign_in("ada", here.uuid.clone()).await;
    let done = send(&house, &here, "POST", "/auth/logout", Value::Null).await;
    done.is(200, json!({ "message": "Successfully logged out" }));
    me(&house, &here).await.refuses(401, ENDED);
    send(&house, &here, "POST", "/auth/logout", Value::Null).await.refuses(401, ENDED);
    refresh(&house, &here.refresh).await.refuses(401, SPENT);
    assert_eq!(me(&house, &there).await.status, 200);
    let house = house.restart().await;
    me(&house, &here).await.refuses(401, ENDED);
    assert_eq!(refresh(&house, &there.refresh).await.status, 200);
}

#[tokio::test]
async fn log_out_everywhere_ends_every_session_of_the_same_second() {
    let house = House::new().await;
    let here = house.guest("ada").await;
    let there = house.sign_in("ada", here.uuid.clone()).await;
    let ben = house.guest("ben").await;
    let done = send(&house, &here, "POST", "/auth/logout-all", Value::Null).await;
    done.is(200, json!({ "message": "Successfully logged out from all devices" }));
    for guest in [&here, &there] {
        me(&house, guest).await.refuses(401, ENDED);
        refresh(&house, &guest.refresh).await.refuses(401, SPENT);
    }
    assert_eq!(me(&house, &ben).await.status, 200);
    let anew = house.sign_in("ada", here.uuid.clone()).await;
    assert_eq!(me(&house, &anew).await.status, 200);
}

#[tokio::test]
async fn a_token_is_told_to_be_revoked_by_whatever_ended_it_and_one_that_never_was_good_is_not() {
    let house = House::new().await;
    let admin = house.guest_as("grace", Role::Admin).await;
    let next = json!({ "current_password": PASSWORD, "new_password": "quite another battery staple" });
    for (end, method, path, body) in [
        ("log-out", "POST", "/api/v1.0/auth/logout", Value::Null),
        ("log-out-all", "POST", "/api/v1.0/auth/logout-all", Value::Null),
        ("password", "POST", "/api/v1.0/users/change-password", next),
        ("role", "PATCH", "/api/v1.0/users/admin/{}/role?new_role=moderator", Value::Null),
        ("activation", "PATCH", "/api/v1.0/users/admin/{}/activate?is_active=false", Value::Null),
        ("block", "POST", "/admin/block/{}", Value::Null),
        ("deletion", "DELETE", "/api/v1.0/users/admin/{}", Value::Null),
    ] {
        let ada = house.guest(end).await;
        let is_by_admin = path.contains("{}");
        let id: i64 = house
            .server
            .app
            .db
            .read(|db| db.one("select max(id) from users", [], |row| row.get(0)))
            .unwrap()
            .unwrap();
        let key = if end == "block" { id.to_string() } else { ada.uuid.clone() };
        let by = if is_by_admin { &admin } else { &ada };
        let done = crate::house::send(&house, by, method, &path.replace("{}", &key), body).await;
        assert_eq!(done.status, 200, "{end}: {}", done.text);
        let answer = me(&house, &ada).await;
        answer.refuses(401, ENDED);
        assert_eq!(answer.header("www-authenticate"), "Bearer error=\"invalid_token\"", "{end}");
        let book = json!({ "title": "x" });
        send(&house, &ada, "POST", "/books/", book).await.refuses(401, ENDED);
        // Of a good token of another kind, and of one that is over, this is not said.
        let mixed = Guest { access: ada.refresh.clone(), ..ada.clone() };
        me(&house, &mixed).await.refuses(401, BAD_TOKEN);
    }
    let ada = house.guest("ada").await;
    send(&house, &ada, "POST", "/auth/logout", Value::Null).await;
    house.wait(1800);
    me(&house, &ada).await.refuses(401, BAD_TOKEN);
}

#[tokio::test]
async fn signing_out_is_refused_to_a_stranger() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let mixed = Guest { access: ada.refresh.clone(), ..ada.clone() };
    for path in ["/auth/logout", "/auth/logout-all"] {
        let answer = send(&house, None, "POST", path, Value::Null).await;
        answer.refuses(401, "Not authenticated");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
        send(&house, &mixed, "POST", path, Value::Null).await.refuses(401, BAD_TOKEN);
    }
    assert_eq!(house.log_in("ada@example.com", PASSWORD).await.status, 200);
    assert_eq!(me(&house, &ada).await.status, 200);
}
