//! todolist, `/auth`: signing in by either name, who one is, and signing out.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use satchel::domain::users::Patch;
use serde_json::{Value, json};

use super::{
    BAD_TOKEN, INACTIVE, NO_OBJECT, NO_STRING, TOO_MANY, WRONG, ask, get, log_in, look_into, member,
    register, registration, send, sign_in, uuid_of, with,
};
use crate::house::{BEGINNING, House, PASSWORD, answer};

/// The claims of a token, unverified.
fn claims(token: &Value) -> Value {
    let payload = token.as_str().unwrap().split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[tokio::test]
async fn log_in_answers_one_token_for_24_hours() {
    let house = House::new().await;
    let id = register(&house, "ada").await;
    let answer = log_in(&house, "ada", PASSWORD).await;
    let token = &answer.body["access_token"];
    answer.is(200, json!({ "access_token": token, "token_type": "bearer", "expires_in": 86_400 }));
    assert_eq!(answer.header("cache-control"), "no-store");
    let (now, claims) = (BEGINNING.seconds(), claims(token));
    let expected = json!({
        "iss": "satchel", "aud": "satchel", "sub": uuid_of(&house, id), "sid": claims["sid"],
        "jti": claims["jti"], "typ": "access", "epoch": 0, "iat": now, "nbf": now - 60, "exp": now + 86_400,
    });
    assert_eq!(claims, expected);
}

#[tokio::test]
async fn log_in_says_how_long_the_setting_makes_a_token_good() {
    let house = House::with(|config| config.todolist.access_hours = 2).await;
    let ada = member(&house, "ada").await;
    let answer = log_in(&house, "ada", PASSWORD).await;
    let token = &answer.body["access_token"];
    answer.is(200, json!({ "access_token": token, "token_type": "bearer", "expires_in": 7200 }));
    house.wait(7199);
    get(&house, &ada, "/auth/me").await.is(200, ada.shown());
    house.wait(1);
    get(&house, &ada, "/auth/me").await.refuses(401, super::OLD_TOKEN);
}

#[tokio::test]
async fn log_in_knows_username_and_address_in_any_case() {
    let house = House::new().await;
    register(&house, "ada").await;
    let given = with(registration("maria"), json!({ "username": "Мария" }));
    assert_eq!(send(&house, None, "POST", "/users", given).await.status, 201);
    for username in [
        "ada",
        "ADA",
        "aDa",
        "ada@example.com",
        "ADA@EXAMPLE.COM",
        "  Ada@example.com\t",
        "Мария",
        "мария",
        "МАРИЯ",
        "maria@example.com",
    ] {
        let answer = log_in(&house, username, PASSWORD).await;
        assert_eq!(answer.status, 200, "{username}: {}", answer.text);
    }
}

#[tokio::test]
async fn log_in_lets_in_who_registered_elsewhere_by_his_username() {
    let house = House::new().await;
    let given = with(crate::house::registration("ada"), json!({ "username": "a-b c" }));
    assert_eq!(house.post("/api/v1.0/auth/register", given).await.status, 201);
    assert_eq!(log_in(&house, "A-B C", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn log_in_wants_json_and_refuses_a_form() {
    let house = House::new().await;
    register(&house, "ada").await;
    let form = [("username", "ada"), ("password", PASSWORD)];
    let answer = ask(house.request("POST", "/v1/auth/login").form(&form)).await;
    answer.invalid(&[("body", NO_OBJECT, "model_attributes_type")]);
    let multipart = reqwest::multipart::Form::new().text("username", "ada").text("password", PASSWORD);
    let answer = ask(house.request("POST", "/v1/auth/login").multipart(multipart)).await;
    answer.invalid(&[("body", NO_OBJECT, "model_attributes_type")]);
    ask(house.request("POST", "/v1/auth/login")).await.invalid(&[("body", "Field required", "missing")]);
}

#[tokio::test]
async fn log_in_without_a_content_type_counts_as_json() {
    let house = House::new().await;
    register(&house, "ada").await;
    let body = json!({ "username": "ada", "password": PASSWORD }).to_string();
    assert_eq!(ask(house.request("POST", "/v1/auth/login").body(body)).await.status, 200);
}

#[tokio::test]
async fn log_in_says_of_each_field_what_is_wrong_with_it() {
    let house = House::new().await;
    let post = |body| send(&house, None, "POST", "/auth/login", body);
    let missing = ("Field required", "missing");
    let both = [("body.username", missing.0, missing.1), ("body.password", missing.0, missing.1)];
    post(json!({})).await.invalid(&both);
    post(json!({ "email": "ada@example.com", "password": "x" })).await.invalid(&both[..1]);
    post(json!({ "username": "ada" })).await.invalid(&both[1..]);
    let no_text = [("body.username", NO_STRING, "string_type"), ("body.password", NO_STRING, "string_type")];
    post(json!({ "username": null, "password": null })).await.invalid(&no_text);
    post(json!({ "username": 1, "password": [] })).await.invalid(&no_text);
}

#[tokio::test]
async fn log_in_tells_an_unknown_user_from_a_wrong_password_by_nothing() {
    let house = House::with(|config| config.auth.sign_in_delays = false).await;
    register(&house, "ada").await;
    let id = register(&house, "ida").await;
    look_into(&house.database()).execute("update users set is_active = 0 where id = ?1", [id]).unwrap();
    for (username, password) in [
        ("ada", "wrong horse"),
        ("ada", ""),
        ("ada", "nul\0"),
        ("ada", &"x".repeat(100_000)),
        ("ada", &PASSWORD.to_uppercase()),
        ("ada@example.com", "wrong horse"),
        ("nobody", PASSWORD),
        ("nobody", "x"),
        ("nobody@example.com", PASSWORD),
        ("", PASSWORD),
        ("@", PASSWORD),
        ("ada ", PASSWORD),
        ("ad_", PASSWORD),
        ("%", PASSWORD),
        // Inactive, but that is nobody's business without the password.
        ("ida", "wrong horse"),
        ("ida@example.com", "wrong horse"),
    ] {
        let answer = log_in(&house, username, password).await;
        answer.refuses(401, WRONG);
        assert_eq!(answer.header("www-authenticate"), "Bearer", "{username}");
    }
}

#[tokio::test]
async fn log_in_tells_that_a_user_is_inactive_after_the_right_password_alone() {
    let house = House::new().await;
    let id = register(&house, "ada").await;
    house.change(&uuid_of(&house, id), Patch { is_active: Some(false), ..Patch::default() }).await;
    for username in ["ada", "ada@example.com"] {
        log_in(&house, username, "wrong horse").await.refuses(401, WRONG);
        let answer = log_in(&house, username, PASSWORD).await;
        answer.refuses(401, INACTIVE);
        assert!(answer.header("www-authenticate").starts_with("Bearer"));
    }
    house.change(&uuid_of(&house, id), Patch { is_active: Some(true), ..Patch::default() }).await;
    assert_eq!(log_in(&house, "ada", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn log_in_tells_the_blocked_and_the_unconfirmed_after_the_right_password_alone() {
    let house = House::new().await;
    for (name, change, sentence) in [
        ("ada", "blocked_at = 1", "Your account is blocked."),
        ("ben", "confirm_required = 1", "Please verify your email address before logging in"),
    ] {
        let id = register(&house, name).await;
        let sql = format!("update users set {change} where id = ?1");
        look_into(&house.database()).execute(&sql, [id]).unwrap();
        log_in(&house, name, "wrong horse").await.refuses(401, WRONG);
        log_in(&house, name, PASSWORD).await.refuses(403, sentence);
    }
}

#[tokio::test]
async fn failures_by_username_and_by_address_are_counted_apart() {
    let house = House::new().await;
    register(&house, "ada").await;
    for (spellings, other) in
        [(["ada", "ADA"], "ada@example.com"), (["ada@example.com", "Ada@Example.com"], "ada")]
    {
        house.wait(1);
        for spelling in spellings.iter().cycle().take(5) {
            log_in(&house, spelling, "wrong horse").await.refuses(401, WRONG);
        }
        let answer = log_in(&house, spellings[0], PASSWORD).await;
        answer.refuses(429, TOO_MANY);
        assert_eq!(answer.header("retry-after"), "1");
        for header in ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"] {
            assert!(answer.header(header).parse::<u64>().is_ok(), "{header}");
        }
        // The other name does not show that it is the same account's.
        assert_eq!(log_in(&house, other, PASSWORD).await.status, 200);
    }
    assert_eq!(house.log_in("ada@example.com", PASSWORD).await.status, 429, "bookshelf counts the same");
    house.wait(1);
    assert_eq!(log_in(&house, "ada@example.com", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn failures_for_an_unknown_name_are_limited_alike() {
    let house = House::new().await;
    for username in ["nobody", "NOBODY", "nobody", "Nobody", "nobody"] {
        log_in(&house, username, PASSWORD).await.refuses(401, WRONG);
    }
    let answer = log_in(&house, "nobody", PASSWORD).await;
    answer.refuses(429, TOO_MANY);
    assert_eq!(answer.header("retry-after"), "1");
}

#[tokio::test]
async fn me_answers_the_whole_account() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let answer = get(&house, &ada, "/auth/me").await;
    answer.is(200, ada.shown());
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[tokio::test]
async fn log_out_ends_the_session_on_every_api_and_no_other() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let elsewhere = sign_in(&house, "ada", ada.id).await;
    send(&house, &ada, "POST", "/auth/logout", Value::Null).await.is_empty();
    get(&house, &ada, "/auth/me").await.refuses(401, BAD_TOKEN);
    get(&house, &ada, "/todos").await.refuses(401, BAD_TOKEN);
    send(&house, &ada, "POST", "/auth/logout", Value::Null).await.refuses(401, BAD_TOKEN);
    for path in ["/api/v1.0/users/me", "/api/v1.0/books/my-books", "/store-managers/logout"] {
        let gone = answer(house.request("GET", path).bearer_auth(&ada.access)).await;
        assert_eq!(gone.status, 401, "{path}: {}", gone.text);
    }
    get(&house, &elsewhere, "/auth/me").await.is(200, ada.shown());
    let house = house.restart().await;
    get(&house, &ada, "/auth/me").await.refuses(401, BAD_TOKEN);
    get(&house, &elsewhere, "/auth/me").await.is(200, ada.shown());
}

#[tokio::test]
async fn log_out_ends_a_session_of_bookshelf_with_its_refresh_token() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    ask(house.by(&ada, "POST", "/v1/auth/logout")).await.is_empty();
    assert_eq!(answer(house.by(&ada, "GET", "/api/v1.0/users/me")).await.status, 401);
    let spent = house.post("/api/v1.0/auth/refresh", json!({ "refresh_token": ada.refresh })).await;
    spent.refuses(401, "Refresh token has been revoked");
}
