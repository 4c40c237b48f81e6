//! store, `/store-managers/token`: signing in.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::multipart;
use satchel::domain::users::Patch;
use serde_json::{Value, json};

use super::{keeper, set_blocked, sign_up, token};
use crate::house::{BEGINNING, House, PASSWORD, answer};

const TOKEN: &str = "/store-managers/token";

/// The claims of a token, unverified.
fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[tokio::test]
async fn create_token_answers_an_access_token_for_24_hours_and_nothing_to_refresh_it_by() {
    let house = House::new().await;
    let made = house.post("/store-managers", sign_up("ada")).await;
    let signed_in = token(&house, "ada@example.com", PASSWORD).await;
    let access = signed_in.body["access_token"].as_str().unwrap().to_owned();
    let whole = format!(r#"{{"access_token":"{access}","token_type":"jwt"}}"#);
    assert_eq!((signed_in.status, &signed_in.text), (200, &whole));
    assert_eq!(signed_in.header("cache-control"), "no-store");
    let (claims, now) = (claims(&access), BEGINNING.seconds());
    assert_eq!(
        claims,
        json!({
            "iss": "satchel", "aud": "satchel", "sub": made.body["id"], "sid": claims["sid"], "jti": claims["jti"],
            "typ": "access", "epoch": 0, "iat": now, "nbf": now - 60, "exp": now + 86_400,
        })
    );
}

#[tokio::test]
async fn create_token_takes_the_forms_that_clients_send() {
    let house = House::new().await;
    keeper(&house, "ada").await;
    for email in ["ada@example.com", "ADA@EXAMPLE.COM", "  Ada@example.com\t"] {
        assert_eq!(token(&house, email, PASSWORD).await.status, 200, "{email:?}");
    }
    let form = multipart::Form::new().text("username", "ada@example.com").text("password", PASSWORD);
    assert_eq!(answer(house.request("POST", TOKEN).multipart(form)).await.status, 200);
    let form = [
        ("grant_type", "password"),
        ("username", "ada@example.com"),
        ("password", PASSWORD),
        ("scope", ""),
        ("client_id", ""),
    ];
    assert_eq!(answer(house.request("POST", "/store-managers/token/").form(&form)).await.status, 200);
}

#[tokio::test]
async fn create_token_wants_a_form_and_says_null_of_what_is_not_in_it() {
    let house = House::new().await;
    let missing = |name: &str| json!({ "type": "missing", "loc": ["body", name], "msg": "Field required", "input": null });
    let both = json!({ "detail": [missing("username"), missing("password")] });
    house
        .post(TOKEN, json!({ "username": "ada@example.com", "password": PASSWORD }))
        .await
        .is(422, both.clone());
    answer(house.request("POST", TOKEN)).await.is(422, both.clone());
    answer(house.request("POST", TOKEN).form(&[("username", ""), ("password", "")])).await.is(422, both);
    answer(house.request("POST", TOKEN).form(&[("username", "ada@example.com")]))
        .await
        .is(422, json!({ "detail": [missing("password")] }));
    answer(house.request("POST", TOKEN).form(&[("email", "ada@example.com"), ("password", PASSWORD)]))
        .await
        .is(422, json!({ "detail": [missing("username")] }));
    // By the name that signing up has for it, it is not taken.
    answer(
        house.request("POST", TOKEN).form(&[("username", "ada@example.com"), ("password_hash", PASSWORD)]),
    )
    .await
    .is(422, json!({ "detail": [missing("password")] }));
}

#[tokio::test]
async fn create_token_tells_an_unknown_user_from_a_wrong_password_by_nothing() {
    let house = House::with(|config| config.auth.sign_in_delays = false).await;
    let ada = keeper(&house, "ada").await;
    keeper(&house, "ben").await;
    house.change(&ada.uuid, Patch { is_active: Some(false), ..Patch::default() }).await;
    let mut headers = Vec::new();
    for (email, password) in [
        ("ben@example.com", "wrong horse"),
        ("ben@example.com", "x"),
        ("ben@example.com", &"x".repeat(100_000)),
        ("ben@example.com", "nul\0"),
        ("ben@example.com", &PASSWORD.to_uppercase()),
        ("nobody@example.com", PASSWORD),
        ("no address", PASSWORD),
        ("ben", PASSWORD),
        ("ada@example.com", "wrong horse"),
    ] {
        let answer = token(&house, email, password).await;
        answer.refuses(401, "Invalid credentials");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
        headers.push(answer.headers.into_keys().collect::<Vec<_>>());
    }
    headers.dedup();
    assert_eq!(headers.len(), 1, "{headers:?}");
}

#[tokio::test]
async fn create_token_tells_the_state_only_after_the_right_password() {
    let house = House::with(|config| config.auth.sign_in_delays = false).await;
    let ada = keeper(&house, "ada").await;
    let ben = keeper(&house, "ben").await;
    set_blocked(&house, &ada.uuid, true).await;
    house.change(&ben.uuid, Patch { is_active: Some(false), ..Patch::default() }).await;
    for (email, status, sentence) in [
        ("ada@example.com", 403, "Your account is blocked."),
        ("ben@example.com", 400, "User account is inactive"),
    ] {
        token(&house, email, "wrong horse").await.refuses(401, "Invalid credentials");
        token(&house, email, PASSWORD).await.refuses(status, sentence);
    }
    set_blocked(&house, &ada.uuid, false).await;
    assert_eq!(token(&house, "ada@example.com", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn an_address_that_must_be_confirmed_first_is_told_so_only_after_the_right_password() {
    let house = House::with(|config| config.auth.require_confirmed_email = true).await;
    assert_eq!(house.post("/store-managers", sign_up("ada")).await.status, 201);
    token(&house, "ada@example.com", "wrong horse").await.refuses(401, "Invalid credentials");
    let unconfirmed = "Please verify your email address before logging in";
    token(&house, "ada@example.com", PASSWORD).await.refuses(403, unconfirmed);
    assert_eq!(house.letter().await.to, "ada@example.com");
}

#[tokio::test]
async fn a_user_who_was_deleted_cannot_sign_in_and_his_address_is_free() {
    let house = House::new().await;
    let ada = keeper(&house, "ada").await;
    let gone = answer(house.by(&ada, "DELETE", &format!("/api/v1.0/users/{}", ada.uuid))).await;
    assert_eq!(gone.status, 200, "{}", gone.text);
    token(&house, "ada@example.com", PASSWORD).await.refuses(401, "Invalid credentials");
    assert_eq!(house.post("/store-managers", sign_up("ada")).await.status, 201);
    assert_eq!(token(&house, "ada@example.com", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn failures_at_store_and_at_bookshelf_count_together() {
    let house = House::new().await;
    keeper(&house, "ada").await;
    for _ in 0..3 {
        token(&house, "ada@example.com", "wrong horse").await.refuses(401, "Invalid credentials");
    }
    for _ in 0..2 {
        let answer = house.log_in("ada@example.com", "wrong horse").await;
        answer.refuses(401, "Invalid email or password");
    }
    let answer = token(&house, "ada@example.com", PASSWORD).await;
    answer.refuses(429, "Too many failed sign-ins. Please try again later.");
    assert_eq!(answer.header("retry-after"), "1");
    for header in ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"] {
        assert!(answer.header(header).parse::<u64>().is_ok(), "{header}");
    }
    house.wait(1);
    assert_eq!(token(&house, "ada@example.com", PASSWORD).await.status, 200);
}
