//! identity: what each token that is no good is told, on every route that asks for one.

use reqwest::header::AUTHORIZATION;
use satchel::domain::users::{Patch, Role};
use serde_json::{Value, json};

use super::{
    BAD_TOKEN, BAD_TOKEN_AT_AUTH, NO_TOKEN, account, account_as, again, block, delete, fault, get, send, set,
    sign_in, unblock,
};
use crate::house::{House, answer};

/// Every route that asks for a token, with input that is no good: the token is looked at first.
const ROUTES: [(&str, &str); 13] = [
    ("POST", "/auth/logout"),
    ("GET", "/auth/me"),
    ("GET", "/users/me"),
    ("DELETE", "/users/me"),
    ("GET", "/users/profile"),
    ("PUT", "/users/profile"),
    ("GET", "/users/balance"),
    ("PUT", "/users/balance"),
    ("GET", "/users?limit=0"),
    ("GET", "/users/deleted?limit=0"),
    ("GET", "/admin/check"),
    ("POST", "/admin/block/x"),
    ("POST", "/admin/unblock/x"),
];

/// Every such route refuses this header: with these words under `/auth`, and with those elsewhere.
async fn all_refuse(house: &House, authorization: Option<&str>, at_auth: &str, elsewhere: &str) {
    for (method, path) in ROUTES {
        let mut request = house.request(method, path).body("{ no json");
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let answer = answer(request).await;
        answer.refuses(401, if path.starts_with("/auth") { at_auth } else { elsewhere });
        let challenge = if elsewhere == NO_TOKEN { "Bearer" } else { "Bearer error=\"invalid_token\"" };
        assert_eq!(answer.header("www-authenticate"), challenge, "{method} {path}");
    }
}

async fn all_refuse_token(house: &House, token: &str) {
    all_refuse(house, Some(&format!("Bearer {token}")), BAD_TOKEN_AT_AUTH, BAD_TOKEN).await;
}

#[tokio::test]
async fn without_a_token_or_with_another_scheme_nobody_is_authenticated() {
    let house = House::new().await;
    for authorization in [None, Some("Basic YWRhOnNlY3JldA=="), Some("Bearer"), Some("Bearer "), Some("x")] {
        all_refuse(&house, authorization, NO_TOKEN, NO_TOKEN).await;
    }
}

#[tokio::test]
async fn garbage_and_a_refresh_token_open_nothing() {
    let house = House::new().await;
    let ada = account(&house, "ada").await;
    let (head, signature) = ada.access.rsplit_once('.').unwrap();
    let spoilt = format!("{head}.{}", signature.chars().rev().collect::<String>());
    for token in ["garbage", "a.b.c", "null", head, &spoilt, &ada.access[1..], &ada.refresh] {
        all_refuse_token(&house, token).await;
    }
    get(&house, &ada, "/users/me").await.is(200, ada.shown());
}

#[tokio::test]
async fn a_token_expires_after_15_minutes_to_the_second() {
    let house = House::new().await;
    let ada = account(&house, "ada").await;
    house.wait(899);
    get(&house, &ada, "/auth/me").await.is(200, json!({ "user_id": "1" }));
    house.wait(1);
    all_refuse_token(&house, &ada.access).await;
    let ada = again(&house, &ada).await;
    get(&house, &ada, "/auth/me").await.is(200, json!({ "user_id": "1" }));
}

#[tokio::test]
async fn the_setting_says_how_long_a_token_is_good() {
    let house = House::with(|config| config.identity.access_minutes = 2).await;
    let ada = account(&house, "ada").await;
    house.wait(119);
    get(&house, &ada, "/auth/me").await.is(200, json!({ "user_id": "1" }));
    house.wait(1);
    get(&house, &ada, "/auth/me").await.refuses(401, BAD_TOKEN_AT_AUTH);
}

#[tokio::test]
async fn a_token_that_has_died_before_its_time_opens_nothing_whatever_killed_it() {
    let house = House::new().await;
    let admin = account_as(&house, "root", Role::Admin).await;
    for death in ["log-out", "block", "unblock", "deactivation", "promotion", "deletion"] {
        let user = account(&house, death).await;
        get(&house, &user, "/users/me").await.is(200, user.shown());
        match death {
            "log-out" => drop(send(&house, &user, "POST", "/auth/logout", Value::Null).await),
            "block" => block(&house, &admin, user.id).await,
            "unblock" => {
                block(&house, &admin, user.id).await;
                unblock(&house, &admin, user.id).await;
            }
            "deactivation" => {
                set(&house, user.id, Patch { is_active: Some(false), ..Patch::default() }).await;
            }
            "promotion" => {
                set(&house, user.id, Patch { role: Some(Role::Admin), ..Patch::default() }).await;
            }
            _ => delete(&house, &user).await,
        }
        all_refuse_token(&house, &user.access).await;
    }
}

#[tokio::test]
async fn a_token_of_any_api_is_good_here_and_ours_there() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    answer(house.by(&ada, "GET", "/auth/me")).await.is(200, json!({ "user_id": "1" }));
    let form = [("username", "ada@example.com"), ("password", crate::house::PASSWORD)];
    let there = answer(house.request("POST", "/store-managers/token").form(&form)).await;
    let token = there.body["access_token"].as_str().unwrap();
    let found = answer(house.request("GET", "/users/balance").bearer_auth(token)).await;
    found.is(200, json!({ "balance": 0 }));
    let ada = sign_in(&house, "ada").await;
    for path in ["/api/v1.0/users/me", "/items", "/v1/auth/me", "/v1/todos"] {
        assert_eq!(get(&house, &ada, path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn the_scheme_s_case_does_not_count() {
    let house = House::new().await;
    let ada = account(&house, "ada").await;
    for scheme in ["bearer", "BEARER", "BeArEr"] {
        let request = house.request("GET", "/users/me");
        let request = request.header(AUTHORIZATION, format!("{scheme} {}", ada.access));
        answer(request).await.is(200, ada.shown());
    }
}

#[tokio::test]
async fn a_token_comes_before_the_input_the_input_before_the_right_and_the_right_before_the_thing() {
    let house = House::new().await;
    let admin = account_as(&house, "root", Role::Admin).await;
    let ada = account(&house, "ada").await;
    let no_integer = "Input should be a valid integer, unable to parse string as an integer";
    let malformed = fault("int_parsing", ["path", "user_id"], no_integer, json!("x"), Value::Null);
    for act in ["block", "unblock"] {
        let bad = format!("/admin/{act}/x");
        send(&house, None, "POST", &bad, Value::Null).await.refuses(401, NO_TOKEN);
        for account in [&ada, &admin] {
            send(&house, account, "POST", &bad, Value::Null).await.is(422, malformed.clone());
        }
        let nobody = format!("/admin/{act}/999");
        send(&house, None, "POST", &nobody, Value::Null).await.refuses(401, NO_TOKEN);
        send(&house, &ada, "POST", &nobody, Value::Null).await.refuses(404, super::HIDDEN);
        send(&house, &admin, "POST", &nobody, Value::Null).await.refuses(404, super::NOBODY);
    }
}
