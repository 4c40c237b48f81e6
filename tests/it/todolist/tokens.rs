//! todolist: what each token that is no good is told, on every route that asks for one.

use reqwest::header::AUTHORIZATION;
use satchel::domain::users::{Patch, Role};
use serde_json::{Value, json};

use super::{
    BAD_TOKEN, INACTIVE, Member, NO_TOKEN, OLD_TOKEN, ask, get, member, member_as, send, sign_in, uuid_of,
};
use crate::house::House;

/// Every route that asks for a token, with a body that is no good: the token is looked at first.
const ROUTES: [(&str, &str); 9] = [
    ("GET", "/auth/me"),
    ("POST", "/auth/logout"),
    ("PATCH", "/users/0"),
    ("DELETE", "/users/0"),
    ("POST", "/todos"),
    ("GET", "/todos?page=0"),
    ("GET", "/todos/0"),
    ("PATCH", "/todos/0"),
    ("DELETE", "/todos/x"),
];

/// Every such route refuses this header so.
async fn all_refuse(house: &House, authorization: Option<&str>, sentence: &str) {
    for (method, path) in ROUTES {
        let mut request = house.request(method, &format!("/v1{path}")).body("{ no json");
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let answer = ask(request).await;
        answer.refuses(401, sentence);
        let challenge = if sentence == NO_TOKEN { "Bearer" } else { "Bearer error=\"invalid_token\"" };
        assert_eq!(answer.header("www-authenticate"), challenge, "{method} {path}");
    }
}

fn bearer(member: &Member) -> String {
    format!("Bearer {}", member.access)
}

#[tokio::test]
async fn without_a_token_or_with_another_scheme_nobody_is_authenticated() {
    let house = House::new().await;
    for authorization in [None, Some("Basic YWRhOnNlY3JldA=="), Some("Bearer"), Some("Bearer "), Some("x")] {
        all_refuse(&house, authorization, NO_TOKEN).await;
    }
}

#[tokio::test]
async fn garbage_is_an_invalid_token() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let (head, signature) = ada.access.rsplit_once('.').unwrap();
    let spoilt = format!("{head}.{}", signature.chars().rev().collect::<String>());
    for token in ["garbage", "a.b.c", "null", head, &spoilt, &ada.access[1..]] {
        all_refuse(&house, Some(&format!("Bearer {token}")), BAD_TOKEN).await;
    }
    get(&house, &ada, "/auth/me").await.is(200, ada.shown());
}

#[tokio::test]
async fn a_token_expires_after_24_hours_to_the_second() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    house.wait(86_399);
    get(&house, &ada, "/auth/me").await.is(200, ada.shown());
    house.wait(1);
    all_refuse(&house, Some(&bearer(&ada)), OLD_TOKEN).await;
    let ada = sign_in(&house, "ada", ada.id).await;
    get(&house, &ada, "/auth/me").await.is(200, ada.shown());
}

#[tokio::test]
async fn a_refresh_token_opens_nothing() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    all_refuse(&house, Some(&format!("Bearer {}", ada.refresh)), BAD_TOKEN).await;
    assert_eq!(ask(house.by(&ada, "GET", "/v1/auth/me")).await.status, 200);
}

#[tokio::test]
async fn the_token_of_a_session_that_was_ended_is_invalid() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    send(&house, &ada, "POST", "/auth/logout", Value::Null).await.is_empty();
    all_refuse(&house, Some(&bearer(&ada)), BAD_TOKEN).await;
}

#[tokio::test]
async fn the_token_of_a_user_who_was_deactivated_says_so_and_dies_for_good() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let set = async |is_active| {
        house
            .change(&uuid_of(&house, ada.id), Patch { is_active: Some(is_active), ..Patch::default() })
            .await;
    };
    set(false).await;
    all_refuse(&house, Some(&bearer(&ada)), INACTIVE).await;
    set(true).await;
    all_refuse(&house, Some(&bearer(&ada)), BAD_TOKEN).await;
    let ada = sign_in(&house, "ada", ada.id).await;
    get(&house, &ada, "/auth/me").await.is(200, ada.shown());
}

#[tokio::test]
async fn the_token_of_a_user_who_is_gone_or_has_another_role_is_invalid() {
    let house = House::new().await;
    let (ada, ben) = (member(&house, "ada").await, member(&house, "ben").await);
    send(&house, &ada, "DELETE", &ada.path(), Value::Null).await.is_empty();
    all_refuse(&house, Some(&bearer(&ada)), BAD_TOKEN).await;
    let promotion = Patch { role: Some(Role::Moderator), ..Patch::default() };
    house.change(&uuid_of(&house, ben.id), promotion).await;
    all_refuse(&house, Some(&bearer(&ben)), BAD_TOKEN).await;
}

#[tokio::test]
async fn the_scheme_s_case_does_not_count() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    for scheme in ["bearer", "BEARER", "BeArEr"] {
        let request = house.request("GET", "/v1/auth/me");
        ask(request.header(AUTHORIZATION, format!("{scheme} {}", ada.access))).await.is(200, ada.shown());
    }
}

#[tokio::test]
async fn a_token_of_any_api_is_good_here_and_ours_there() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let made = ask(house.by(&ada, "POST", "/v1/todos").json(&json!({ "title": "x" }))).await;
    assert_eq!(made.status, 201);
    let ben = member(&house, "ben").await;
    let found = ask(house.request("GET", "/api/v1.0/users/me").bearer_auth(&ben.access)).await;
    assert_eq!((found.status, &found.body["email"]), (200, &json!("ben@example.com")));
}

#[tokio::test]
async fn a_token_comes_before_the_input_the_input_before_the_thing_and_the_thing_before_the_right() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let ben = member(&house, "ben").await;
    let admin = member_as(&house, "grace", Role::Admin).await;
    let theirs = super::todo(&house, &ben, "x").await;
    let (own, gone) = (format!("/todos/{}", theirs["id"]), "/todos/999");
    let bad = json!({ "title": "" });
    let short = [("body.title", "String should have at least 1 character", "string_too_short")];
    for path in [&*own, gone] {
        send(&house, None, "PATCH", path, bad.clone()).await.refuses(401, NO_TOKEN);
        for member in [&ada, &admin] {
            send(&house, member, "PATCH", path, bad.clone()).await.invalid(&short);
        }
    }
    let good = json!({ "title": "y" });
    send(&house, &ada, "PATCH", gone, good.clone()).await.refuses(404, "Todo with ID 999 not found");
    let sentence = "You don't have permission to modify this todo";
    send(&house, &ada, "PATCH", &own, good).await.refuses(403, sentence);
    let bad = json!({ "full_name": "" });
    let short = [("body.full_name", "String should have at least 1 character", "string_too_short")];
    for path in [&ben.path(), "/users/999"] {
        send(&house, None, "PATCH", path, bad.clone()).await.refuses(401, NO_TOKEN);
        send(&house, &ada, "PATCH", path, bad.clone()).await.invalid(&short);
    }
    let good = json!({ "full_name": "y" });
    send(&house, &ada, "PATCH", "/users/999", good.clone()).await.refuses(404, "User with ID 999 not found");
    let sentence = "You don't have permission to modify this user";
    send(&house, &ada, "PATCH", &ben.path(), good).await.refuses(403, sentence);
}
