//! contactbook, `/api/email/confirm/{email_token}`: a mailed link confirms an address once, and opens every API.

use serde_json::{Value, json};

use super::auth::{NOT_CONFIRMED, block, confirm, contacts, pair, sign_up, uuid_of};
use super::{log_in, member};
use crate::house::{Answer, Guest, House, PASSWORD, answer, contact, send};

const PLEASE: &str = "Please verify your email address before logging in";

fn confirmed() -> Value {
    json!({ "message": "Email confirmed" })
}

fn already() -> Value {
    json!({ "message": "Your email is already confirmed" })
}

/// Signs in at each of the five APIs, in the order of their pages.
async fn five_doors(house: &House, email: &str, password: &str) -> [Answer; 5] {
    let form = [("username", email), ("password", password)];
    let by_form = async |path: &str| answer(house.request("POST", path).form(&form)).await;
    [
        by_form("/api/v1.0/auth/login").await,
        by_form("/store-managers/token").await,
        house.post("/v1/auth/login", json!({ "username": email, "password": password })).await,
        by_form("/auth/login").await,
        by_form("/api/auth/login").await,
    ]
}

/// What todolist wraps a sentence in.
fn wrapped(answer: &Answer, status: u16, message: &str) -> Value {
    let error = json!({ "status_code": status, "message": message, "type": "client_error" });
    json!({ "error": error, "request_id": answer.header("x-request-id") })
}

#[tokio::test]
async fn nobody_enters_by_any_of_five_doors_before_the_address_is_confirmed_and_then_by_all() {
    let house = House::with(|config| config.auth.sign_in_delays = false).await;
    let token = sign_up(&house, "ada").await;
    let wrong = five_doors(&house, "ada@example.com", "wrong horse").await;
    wrong[0].refuses(401, "Invalid email or password");
    wrong[1].refuses(401, "Invalid credentials");
    wrong[2].is(401, wrapped(&wrong[2], 401, "Incorrect username or password"));
    wrong[3].refuses(401, "Invalid credentials");
    wrong[4].refuses(401, "Wrong user or password");
    let early = five_doors(&house, "ada@example.com", PASSWORD).await;
    early[0].refuses(403, PLEASE);
    early[1].refuses(403, PLEASE);
    early[2].is(403, wrapped(&early[2], 403, PLEASE));
    early[3].refuses(403, PLEASE);
    early[4].refuses(401, NOT_CONFIRMED);
    confirm(&house, &token).await.is(200, confirmed());
    for entered in five_doors(&house, "ada@example.com", PASSWORD).await {
        assert_eq!(entered.status, 200, "{}", entered.text);
        let access = entered.body["access_token"].as_str().unwrap();
        contacts(&house, access).await.is(200, json!([]));
    }
}

#[tokio::test]
async fn changing_the_password_at_another_door_lets_no_unconfirmed_user_in() {
    let house = House::new().await;
    sign_up(&house, "ada").await;
    let change = json!({
        "email": "ada@example.com", "old_password": PASSWORD, "new_password": "another staple battery",
    });
    house.post("/auth/change-password", change).await.refuses(403, PLEASE);
    log_in(&house, "ada@example.com", PASSWORD).await.refuses(401, NOT_CONFIRMED);
}

#[tokio::test]
async fn contacts_are_shut_to_a_token_of_an_unconfirmed_user_until_he_confirms() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let routes = [
        ("GET", "/api/contacts/", json!(null)),
        ("POST", "/api/contacts/", contact("Grace Hopper")),
        ("GET", "/api/contacts/bd", json!(null)),
        ("GET", "/api/contacts/grace", json!(null)),
        ("PUT", "/api/contacts/1", contact("Grace Hopper")),
        ("DELETE", "/api/contacts/1", json!(null)),
        ("PATCH", "/api/contacts/1/avatar", json!(null)),
    ];
    for (method, path, body) in &routes {
        let refused = send(&house, &ada, method, path, body.clone()).await;
        refused.refuses(401, NOT_CONFIRMED);
        assert_eq!(refused.header("www-authenticate"), "Bearer error=\"invalid_token\"");
        // Before the body, which is none at all.
        if !body.is_null() {
            send(&house, &ada, method, path, json!({})).await.refuses(401, NOT_CONFIRMED);
        }
    }
    // Elsewhere it is as good as any.
    assert_eq!(send(&house, &ada, "GET", "/api/v1.0/users/me", json!(null)).await.status, 200);
    let asked = send(&house, &ada, "POST", "/api/auth/request_email", json!({ "email": ada.email })).await;
    asked.is(200, json!({ "message": "Check your email for confirmation." }));
    confirm(&house, house.letter().await.token()).await.is(200, confirmed());
    send(&house, &ada, "GET", "/api/contacts/", json!(null)).await.is(200, json!([]));
    assert_eq!(send(&house, &ada, "POST", "/api/contacts/", contact("Grace Hopper")).await.status, 201);
}

#[tokio::test]
async fn another_address_must_be_confirmed_anew() {
    let house = House::new().await;
    let elsewhere = house.guest("ben").await;
    house.confirm(&elsewhere).await;
    let ada = member(&house, "ada").await;
    let ada = Guest { uuid: uuid_of(&house, &ada.email), ..ada };
    for guest in [&ada, &elsewhere] {
        let email = format!("new-{}", guest.email);
        contacts(&house, &guest.access).await.is(200, json!([]));
        let path = format!("/api/v1.0/users/{}", guest.uuid);
        let changed = send(&house, guest, "PATCH", &path, json!({ "email": email })).await;
        assert_eq!(changed.status, 200, "{}", changed.text);
        contacts(&house, &guest.access).await.refuses(401, NOT_CONFIRMED);
        house.post("/api/auth/request_email", json!({ "email": email })).await;
        let letter = house.letter().await;
        assert_eq!(letter.to, email);
        confirm(&house, letter.token()).await.is(200, confirmed());
        contacts(&house, &guest.access).await.is(200, json!([]));
    }
}

#[tokio::test]
async fn who_must_confirm_another_address_enters_by_none_of_five_doors() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let path = format!("/api/v1.0/users/{}", uuid_of(&house, &ada.email));
    send(&house, &ada, "PATCH", &path, json!({ "email": "new@example.com" })).await;
    for refused in five_doors(&house, "new@example.com", PASSWORD).await {
        assert!(matches!(refused.status, 401 | 403), "{}", refused.text);
    }
    let refreshed = answer(house.request("GET", "/api/auth/refresh_token").bearer_auth(&ada.refresh)).await;
    assert_eq!(refreshed.status, 200, "the session goes on, so that a mistake can be corrected");
    // The letter is on its way without being asked for.
    let letter = house.letter().await;
    assert_eq!(letter.to, "new@example.com");
    confirm(&house, letter.token()).await.is(200, confirmed());
    for entered in five_doors(&house, "new@example.com", PASSWORD).await {
        assert_eq!(entered.status, 200, "{}", entered.text);
    }
}

#[tokio::test]
async fn a_session_goes_on_after_a_change_of_the_address_though_the_clock_was_set_back_before_it() {
    let house = House::with(|config| config.auth.require_confirmed_email = true).await;
    let ada = member(&house, "ada").await;
    house.clock.set(house.clock.now().minus(std::time::Duration::from_secs(5)));
    let path = format!("/api/v1.0/users/{}", uuid_of(&house, &ada.email));
    let change =
        async |email: &str| send(&house, &ada, "PATCH", &path, json!({ "email": email })).await.status;
    assert_eq!(change("typing-mistake@example.com").await, 200);
    assert_eq!(change("new@example.com").await, 200, "the mistake can be corrected");
    house.forget_letters().await;
}

#[tokio::test]
async fn a_link_confirms_once_and_then_says_that_all_is_well_until_its_time_is_over() {
    let house = House::new().await;
    let token = sign_up(&house, "ada").await;
    let first = confirm(&house, &token).await;
    first.is(200, confirmed());
    assert_eq!(first.header("cache-control"), "no-store");
    assert_eq!(first.header("content-type"), "application/json");
    for _ in 0..2 {
        confirm(&house, &token).await.is(200, already());
    }
    house.wait(7 * 24 * 3600);
    confirm(&house, &token).await.refuses(400, "Verification error");
    pair(&log_in(&house, "ada@example.com", PASSWORD).await);
}

#[tokio::test]
async fn a_link_is_good_for_seven_days_and_not_a_second_longer() {
    let house = House::new().await;
    let ada = sign_up(&house, "ada").await;
    let ben = sign_up(&house, "ben").await;
    house.wait(7 * 24 * 3600 - 1);
    confirm(&house, &ada).await.is(200, confirmed());
    house.wait(1);
    confirm(&house, &ben).await.refuses(400, "Verification error");
    log_in(&house, "ben@example.com", PASSWORD).await.refuses(401, NOT_CONFIRMED);
}

#[tokio::test]
async fn what_never_was_a_token_is_told_from_one_that_is_no_good() {
    let house = House::new().await;
    let token = sign_up(&house, "ada").await;
    let malformed = [
        "x",
        "null",
        "%20",
        "%FF",
        "%E2%82%AC",
        "..%2F..%2Fetc",
        "%27%20or%201=1%20--",
        &token[1..],
        &format!("{token}A"),
        &format!("{token}="),
        &format!("%20{token}"),
        &format!("{token}%0D%0A"),
        &"A".repeat(42),
        &"A".repeat(5000),
        // 258 bits: no encoder writes it.
        &format!("{}B", "A".repeat(42)),
    ];
    for token in malformed {
        confirm(&house, token).await.refuses(422, "Invalid token for email verification");
    }
    let nul = confirm(&house, "%00").await;
    let no_nul = "Value error, Text must not contain NUL characters";
    nul.invalid(&[("value_error", json!(["path", "email_token"]), no_nul)]);
    let other = if token.starts_with('A') { "B" } else { "A" };
    for unknown in ["A".repeat(43), format!("{other}{}", &token[1..])] {
        confirm(&house, &unknown).await.refuses(400, "Verification error");
    }
    confirm(&house, &token).await.is(200, confirmed());
}

#[tokio::test]
async fn looking_at_a_link_changes_nothing() {
    let house = House::new().await;
    let token = sign_up(&house, "ada").await;
    let path = format!("/api/email/confirm/{token}");
    for accept in ["application/json", "text/html"] {
        let head = answer(house.request("HEAD", &path).header("accept", accept)).await;
        assert_eq!((head.status, head.text.as_str()), (200, ""));
        let options = answer(house.request("OPTIONS", &path).header("accept", accept)).await;
        assert_eq!((options.status, options.header("allow")), (204, "GET, HEAD, POST, OPTIONS"));
    }
    for method in ["PUT", "PATCH", "DELETE"] {
        answer(house.request(method, &path)).await.refuses(405, "Method Not Allowed");
    }
    log_in(&house, "ada@example.com", PASSWORD).await.refuses(401, NOT_CONFIRMED);
    let head = answer(house.request("HEAD", &path)).await;
    let get = confirm(&house, &token).await;
    get.is(200, confirmed());
    for name in ["content-length", "content-type", "vary", "cache-control"] {
        assert_eq!(head.header(name), get.header(name), "{name}");
    }
    let after = answer(house.request("HEAD", &path)).await;
    assert_eq!(after.header("content-length"), confirm(&house, &token).await.header("content-length"));
}

#[tokio::test]
async fn a_token_is_good_for_its_purpose_alone_and_no_bearer() {
    let house = House::new().await;
    let to_confirm = sign_up(&house, "ada").await;
    house.post("/api/auth/reset_pwd", json!({ "email": "ada@example.com" })).await;
    let to_reset = house.letter().await.token().to_owned();
    confirm(&house, &to_reset).await.refuses(400, "Verification error");
    let reset = format!("/api/auth/reset_pwd/{to_confirm}");
    house.get(&reset).await.refuses(400, "Verification error");
    let new = json!({ "new_password": "another staple battery" });
    house.post(&reset, new).await.refuses(400, "Verification error");
    for token in [&to_confirm, &to_reset] {
        contacts(&house, token).await.refuses(401, "Wrong credentials");
        let refreshed = answer(house.request("GET", "/api/auth/refresh_token").bearer_auth(token)).await;
        refreshed.refuses(401, "Cannot validate");
    }
    // None of that has spent them.
    assert_eq!(house.get(&format!("/api/auth/reset_pwd/{to_reset}")).await.status, 200);
    confirm(&house, &to_confirm).await.is(200, confirmed());
}

#[tokio::test]
async fn no_token_of_a_session_confirms_or_resets() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    for token in [&ada.access, &ada.refresh] {
        confirm(&house, token).await.refuses(422, "Invalid token for email verification");
        house.get(&format!("/api/auth/reset_pwd/{token}")).await.refuses(400, "Verification error");
    }
}

#[tokio::test]
async fn a_newer_letter_ends_the_link_of_the_older() {
    let house = House::new().await;
    let older = sign_up(&house, "ada").await;
    let asked = house.post("/api/auth/request_email", json!({ "email": "ADA@example.com" })).await;
    asked.is(200, json!({ "message": "Check your email for confirmation." }));
    let newer = house.letter().await;
    assert_eq!(newer.to, "ada@example.com");
    confirm(&house, &older).await.refuses(400, "Verification error");
    confirm(&house, newer.token()).await.is(200, confirmed());
}

#[tokio::test]
async fn whoever_deletes_the_account_ends_its_link() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    house.post("/api/auth/request_email", json!({ "email": ada.email })).await;
    let token = house.letter().await.token().to_owned();
    assert_eq!(send(&house, &ada, "DELETE", "/users/me", json!(null)).await.status, 200);
    confirm(&house, &token).await.refuses(400, "Verification error");
    // Nor does it confirm the next owner of the address.
    let of_the_heir = sign_up(&house, "ada").await;
    confirm(&house, &token).await.refuses(400, "Verification error");
    log_in(&house, "ada@example.com", PASSWORD).await.refuses(401, NOT_CONFIRMED);
    confirm(&house, &of_the_heir).await.is(200, confirmed());
}

#[tokio::test]
async fn confirming_lets_nobody_in_who_is_blocked() {
    let house = House::new().await;
    let token = sign_up(&house, "ada").await;
    block(&house, "ada@example.com").await;
    confirm(&house, &token).await.is(200, confirmed());
    log_in(&house, "ada@example.com", PASSWORD).await.refuses(403, "Your account is blocked.");
}
