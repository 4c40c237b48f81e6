//! store: when a token is good, and how it ends.

use satchel::domain::users::Patch;
use serde_json::{Value, json};

use super::{NOBODY, add, keeper, path, send, set_blocked, tea, token};
use crate::house::{Guest, House, PASSWORD, answer};

const LOGOUT: &str = "/store-managers/logout";
const INVALID: &str = "Bearer error=\"invalid_token\"";

/// Every route of the API that asks for a token.
fn routes(item: &str) -> [(&'static str, String); 6] {
    [
        ("GET", LOGOUT.into()),
        ("GET", "/items".into()),
        ("POST", "/items".into()),
        ("GET", format!("/items/{item}")),
        ("PATCH", format!("/items/{item}")),
        ("DELETE", format!("/items/{item}")),
    ]
}

/// Says of a dead token, at every route, that it is no good.
async fn is_dead(house: &House, guest: &Guest) {
    for (method, path) in routes(NOBODY) {
        let answer = send(house, guest, method, &path, json!({})).await;
        answer.refuses(401, "Invalid token");
        assert_eq!(answer.header("www-authenticate"), INVALID, "{method} {path}");
    }
}

/// The same user, signed in once more.
async fn again(house: &House, guest: &Guest) -> Guest {
    let signed_in = token(house, &guest.email, PASSWORD).await;
    assert_eq!(signed_in.status, 200, "{}", signed_in.text);
    Guest { access: signed_in.body["access_token"].as_str().unwrap().to_owned(), ..guest.clone() }
}

#[tokio::test]
async fn every_route_for_users_asks_for_a_bearer_token() {
    let house = House::new().await;
    let ada = keeper(&house, "ada").await;
    let ben = house.guest("ben").await;
    for (method, path) in routes(NOBODY) {
        let bare = answer(house.request(method, &path)).await;
        bare.refuses(401, "Not authenticated");
        assert_eq!(bare.header("www-authenticate"), "Bearer", "{method} {path}");
        for header in
            ["", "Bearer", "Bearer ", "jwt x", &format!("jwt {}", ada.access), &ada.access, "Basic YTph"]
        {
            let answer = answer(house.request(method, &path).header("authorization", header)).await;
            answer.refuses(401, "Not authenticated");
            assert_eq!(answer.header("www-authenticate"), "Bearer", "{method} {path} {header:?}");
        }
        for token in ["x", "a.b.c", &ben.refresh, &format!("{}x", ada.access)] {
            let answer = answer(house.request(method, &path).bearer_auth(token)).await;
            answer.refuses(401, "Invalid token");
            assert_eq!(answer.header("www-authenticate"), INVALID, "{method} {path}");
        }
    }
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let header = format!("{scheme} {}", ada.access);
        let answer = answer(house.request("GET", "/items").header("authorization", header)).await;
        answer.is(200, json!({}));
    }
    let query = format!("/items?access_token={0}&token={0}", ada.access);
    house.get(&query).await.refuses(401, "Not authenticated");
}

#[tokio::test]
async fn a_token_is_good_for_24_hours_and_not_a_second_longer() {
    let house = House::new().await;
    let ada = keeper(&house, "ada").await;
    let item = add(&house, &ada, tea()).await;
    house.wait(24 * 3600 - 1);
    send(&house, &ada, "GET", &path(&item), Value::Null).await.is(200, item.clone());
    house.wait(1);
    is_dead(&house, &ada).await;
    let house = house.restart().await;
    is_dead(&house, &ada).await;
    let ada = again(&house, &ada).await;
    send(&house, &ada, "GET", &path(&item), Value::Null).await.is(200, item);
}

#[tokio::test]
async fn how_long_a_token_is_good_can_be_set_for_store_alone() {
    let house = House::with(|config| config.store.access_hours = 1).await;
    let ada = keeper(&house, "ada").await;
    house.wait(3600 - 1);
    assert_eq!(send(&house, &ada, "GET", "/items", Value::Null).await.status, 200);
    house.wait(1);
    is_dead(&house, &ada).await;
}

#[tokio::test]
async fn log_out_by_get_ends_the_token_everywhere_at_once_and_for_good() {
    let house = House::new().await;
    for path in [LOGOUT, "/store-managers/logout/"] {
        let ada = keeper(&house, if path == LOGOUT { "ada" } else { "ben" }).await;
        let other = again(&house, &ada).await;
        let out = send(&house, &ada, "GET", path, Value::Null).await;
        assert_eq!((out.status, &*out.text), (200, r#"{"message":"Logged out successfully"}"#));
        assert_eq!(out.header("cache-control"), "no-store");
        is_dead(&house, &ada).await;
        let answer = send(&house, &ada, "GET", "/api/v1.0/users/me", Value::Null).await;
        answer.refuses(401, "Token has been revoked");
        let answer = send(&house, &ada, "GET", "/v1/auth/me", Value::Null).await;
        assert_eq!(
            (answer.status, &answer.body["error"]["message"]),
            (401, &json!("Invalid authentication token"))
        );
        // It was that session's alone.
        assert_eq!(send(&house, &other, "GET", "/items", Value::Null).await.status, 200);
    }
    let house = house.restart().await;
    let ada = Guest { email: "ada@example.com".into(), ..keeper(&house, "cyd").await };
    send(&house, &ada, "GET", LOGOUT, Value::Null)
        .await
        .is(200, json!({ "message": "Logged out successfully" }));
    let house = house.restart().await;
    is_dead(&house, &ada).await;
    let ada = again(&house, &ada).await;
    assert_eq!(send(&house, &ada, "GET", "/items", Value::Null).await.status, 200);
}

#[tokio::test]
async fn log_out_at_store_ends_the_refresh_token_of_a_session_that_began_at_bookshelf() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    send(&house, &ada, "GET", LOGOUT, Value::Null)
        .await
        .is(200, json!({ "message": "Logged out successfully" }));
    is_dead(&house, &ada).await;
    let again = json!({ "refresh_token": ada.refresh });
    let answer = house.post("/api/v1.0/auth/refresh", again).await;
    answer.refuses(401, "Refresh token has been revoked");
}

#[tokio::test]
async fn of_twenty_log_outs_at_once_one_is_done_or_more_and_the_token_is_dead_after_any() {
    let house = House::new().await;
    let ada = keeper(&house, "ada").await;
    let race = (0..20).map(|_| send(&house, &ada, "GET", LOGOUT, Value::Null));
    let answers = futures_util::future::join_all(race).await;
    for answer in &answers {
        match answer.status {
            200 => answer.is(200, json!({ "message": "Logged out successfully" })),
            _ => answer.refuses(401, "Invalid token"),
        }
    }
    assert!(answers.iter().any(|answer| answer.status == 200));
    is_dead(&house, &ada).await;
}

#[tokio::test]
async fn a_token_of_a_deactivated_a_blocked_or_a_deleted_user_is_invalid_at_once() {
    let house = House::new().await;
    let ada = keeper(&house, "ada").await;
    let ben = keeper(&house, "ben").await;
    let cyd = keeper(&house, "cyd").await;
    for guest in [&ada, &ben, &cyd] {
        assert_eq!(send(&house, guest, "GET", "/items", Value::Null).await.status, 200);
    }
    house.change(&ada.uuid, Patch { is_active: Some(false), ..Patch::default() }).await;
    is_dead(&house, &ada).await;
    house.change(&ada.uuid, Patch { is_active: Some(true), ..Patch::default() }).await;
    is_dead(&house, &ada).await;
    set_blocked(&house, &ben.uuid, true).await;
    is_dead(&house, &ben).await;
    set_blocked(&house, &ben.uuid, false).await;
    is_dead(&house, &ben).await;
    let gone = send(&house, &cyd, "DELETE", &format!("/api/v1.0/users/{}", cyd.uuid), Value::Null).await;
    assert_eq!(gone.status, 200);
    is_dead(&house, &cyd).await;
    for guest in [&ada, &ben] {
        let guest = again(&house, guest).await;
        assert_eq!(send(&house, &guest, "GET", "/items", Value::Null).await.status, 200);
    }
}

#[tokio::test]
async fn a_changed_password_ends_the_tokens_of_store() {
    let house = House::with(|config| config.auth.sign_in_delays = false).await;
    let ada = keeper(&house, "ada").await;
    let change = json!({ "current_password": PASSWORD, "new_password": "another staple altogether" });
    let done = send(&house, &ada, "POST", "/api/v1.0/users/change-password", change).await;
    assert_eq!(done.status, 200, "{}", done.text);
    is_dead(&house, &ada).await;
    token(&house, &ada.email, PASSWORD).await.refuses(401, "Invalid credentials");
    assert_eq!(token(&house, &ada.email, "another staple altogether").await.status, 200);
}
