//! contactbook, `/api/auth`: signing up, and signing in once the address is confirmed.

use futures_util::future::join_all;
use reqwest::multipart;
use satchel::db::Write;
use satchel::domain::auth::Admin;
use satchel::domain::users::{self, Patch};
use serde_json::{Value, json};

use super::{log_in, member};
use crate::house::{Answer, BEGINNING_NAIVE, House, PASSWORD, answer, send, with};

pub const SIGN_UP: &str = "/api/auth/signup";
const LOG_IN: &str = "/api/auth/login";
pub const NOT_CONFIRMED: &str = "Email not confirmed";
const WRONG: &str = "Wrong user or password";
const OWN: &str = "Value error, Password must not be your own e-mail address or username";

/// What `<name>@example.com` signs up with.
pub fn registration(name: &str) -> Value {
    json!({ "username": "somebody", "email": format!("{name}@example.com"), "password": PASSWORD })
}

/// Signs `<name>@example.com` up and gives the token of the letter.
pub async fn sign_up(house: &House, name: &str) -> String {
    let made = house.post(SIGN_UP, registration(name)).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let letter = house.letter().await;
    assert_eq!(letter.to, format!("{name}@example.com"));
    letter.token().to_owned()
}

/// Follows the link to confirm an address, as a program.
pub async fn confirm(house: &House, token: &str) -> Answer {
    house.get(&format!("/api/email/confirm/{token}")).await
}

/// The access and the refresh token in an answer.
pub fn pair(answer: &Answer) -> (String, String) {
    let token = |kind: &str| answer.body[kind].as_str().unwrap_or_default().to_owned();
    let (access, refresh) = (token("access_token"), token("refresh_token"));
    let whole = json!({ "access_token": access, "refresh_token": refresh, "token_type": "bearer" });
    answer.is(200, whole);
    assert!(!access.is_empty() && !refresh.is_empty() && access != refresh, "{}", answer.text);
    assert_eq!(answer.header("cache-control"), "no-store");
    (access, refresh)
}

/// What lists one's contacts answers to this token.
pub async fn contacts(house: &House, access: &str) -> Answer {
    answer(house.request("GET", "/api/contacts/").bearer_auth(access)).await
}

/// Blocks a user.
pub async fn block(house: &House, email: &str) {
    let email = email.to_owned();
    let block = move |db: &Write| {
        users::set_blocked(db, &Admin::operator(), &users::by_email(db, &email)?, true).map(|_| ())
    };
    house.server.app.db.write(block).await.unwrap();
}

/// The public id, which contactbook does not show.
pub fn uuid_of(house: &House, email: &str) -> String {
    house.server.app.db.read(|db| users::by_email(db, email)).unwrap().uuid.to_string()
}

#[tokio::test]
async fn whoever_confirmed_the_address_signs_in_and_lists_contacts() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    send(&house, &ada, "GET", "/api/contacts/", json!(null)).await.is(200, json!([]));
}

#[tokio::test]
async fn sign_up_answers_the_user_and_mails_a_letter_to_the_address() {
    let house = House::new().await;
    let given = json!({ "username": "Ada Lovelace", "email": "  Ada@Example.COM ", "password": PASSWORD });
    let made = house.post(SIGN_UP, given).await;
    let user = json!({
        "id": 1, "username": "Ada Lovelace", "email": "Ada@example.com", "created_at": BEGINNING_NAIVE,
    });
    made.is(201, json!({ "user": user, "detail": "Successfully created" }));
    assert_eq!(made.header("cache-control"), "no-store");
    let letter = house.letter().await;
    assert_eq!(
        (letter.to.as_str(), letter.subject.as_str()),
        ("Ada@example.com", "Confirm your e-mail address")
    );
    assert!(!letter.text.contains("Lovelace"), "{}", letter.text);
    confirm(&house, letter.token()).await.is(200, json!({ "message": "Email confirmed" }));
}

#[tokio::test]
async fn sign_up_keeps_the_username_as_a_name_that_others_may_have_and_nobody_signs_in_by() {
    let house = House::new().await;
    house.register("somebody").await;
    for (name, id) in [("ada", 2), ("ben", 3)] {
        let made = house.post(SIGN_UP, registration(name)).await;
        let user = json!({
            "id": id, "username": "somebody", "email": format!("{name}@example.com"), "created_at": BEGINNING_NAIVE,
        });
        made.is(201, json!({ "user": user, "detail": "Successfully created" }));
        confirm(&house, house.letter().await.token()).await.is(200, json!({ "message": "Email confirmed" }));
        let (access, _) = pair(&log_in(&house, &format!("{name}@example.com"), PASSWORD).await);
        let me = answer(house.request("GET", "/v1/auth/me").bearer_auth(access)).await;
        assert_eq!(me.body["username"], format!("user_{id}"), "{}", me.text);
    }
    log_in(&house, "somebody", PASSWORD).await.refuses(401, WRONG);
}

#[tokio::test]
async fn sign_up_refuses_an_address_that_somebody_has_at_any_api() {
    let house = House::new().await;
    sign_up(&house, "ada").await;
    house.register("ben").await;
    for email in
        ["ada@example.com", "ADA@EXAMPLE.COM", " ada@example.com\n", "ben@example.com", "Ben@example.com"]
    {
        let again = house.post(SIGN_UP, with(registration("x"), json!({ "email": email }))).await;
        again.refuses(409, "Already exists");
    }
    // Whose address is not confirmed keeps it, too; a letter to him is sent when he asks for one.
    assert!(house.letters().await.is_empty());
    let taken = house.post("/api/v1.0/auth/register", crate::house::registration("ada")).await;
    taken.refuses(400, "Email already registered");
}

#[tokio::test]
async fn of_many_who_sign_up_with_one_address_at_once_one_is_made_and_one_letter_sent() {
    let house = House::new().await;
    let made = join_all((0..12).map(|_| house.post(SIGN_UP, registration("ada")))).await;
    assert_eq!(made.iter().filter(|made| made.status == 201).count(), 1);
    for refused in made.iter().filter(|made| made.status != 201) {
        refused.refuses(409, "Already exists");
    }
    assert_eq!(house.letter().await.to, "ada@example.com");
}

#[tokio::test]
async fn sign_up_says_of_each_field_what_is_wrong_with_it() {
    let house = House::new().await;
    let missing = |field: &str| ("missing", json!(["body", field]), "Field required");
    house.post(SIGN_UP, json!({})).await.invalid(&[
        missing("username"),
        missing("email"),
        missing("password"),
    ]);
    let short = "String should have at least 5 characters";
    let long = "String should have at most 16 characters";
    let no_text = "Input should be a valid string";
    let no_at = "value is not a valid email address: An email address must have an @-sign.";
    let reserved = "value is not a valid email address: The part after the @-sign is a special-use or reserved \
                    name that cannot be used with email.";
    let common = "Value error, Password is among the most common ones";
    for (field, value, kind, msg) in [
        ("username", json!("four"), "string_too_short", short),
        ("username", json!(""), "string_too_short", short),
        ("username", json!("seventeen letters"), "string_too_long", long),
        ("username", json!(12345), "string_type", no_text),
        ("username", json!(null), "string_type", no_text),
        ("email", json!("ada"), "value_error", no_at),
        ("email", json!("ada@example.local"), "value_error", reserved),
        ("email", json!(1), "string_type", no_text),
        ("password", json!("7 chars"), "string_too_short", "String should have at least 8 characters"),
        ("password", json!("x".repeat(257)), "string_too_long", "String should have at most 256 characters"),
        ("password", json!("Password1"), "value_error", common),
        ("password", json!(12_345_678), "string_type", no_text),
        ("password", json!("ada@example.com"), "value_error", OWN),
        ("password", json!("ADA@EXAMPLE.COM"), "value_error", OWN),
    ] {
        let refused = house.post(SIGN_UP, with(registration("ada"), json!({ field: value }))).await;
        refused.invalid(&[(kind, json!(["body", field]), msg)]);
        assert!(
            field != "password" || refused.body["detail"][0]["input"] == json!("**********"),
            "{}",
            refused.text
        );
    }
    let own_name = json!({ "username": "Countess-of-L", "password": "countess-OF-l" });
    house.post(SIGN_UP, with(registration("ada"), own_name)).await.invalid(&[(
        "value_error",
        json!(["body", "password"]),
        OWN,
    )]);
    let all = json!({ "username": "ada", "email": "ada", "password": "ada" });
    house.post(SIGN_UP, all).await.invalid(&[
        ("string_too_short", json!(["body", "username"]), short),
        ("value_error", json!(["body", "email"]), no_at),
        ("string_too_short", json!(["body", "password"]), "String should have at least 8 characters"),
    ]);
    answer(house.request("POST", SIGN_UP)).await.invalid(&[("missing", json!(["body"]), "Field required")]);
    assert_eq!(house.register("first").await.len(), 36, "nobody was made before");
}

#[tokio::test]
async fn sign_up_takes_five_to_sixteen_characters_whatever_they_are() {
    let house = House::new().await;
    for (n, username) in ["fünf5", "sechzehn zeichen", "ἈΔΆΔΑ", "a@b.c", "  x  "].iter().enumerate() {
        let email = format!("user{n}@example.com");
        let made =
            house.post(SIGN_UP, json!({ "username": username, "email": email, "password": PASSWORD })).await;
        let user =
            json!({ "id": n + 1, "username": username, "email": email, "created_at": BEGINNING_NAIVE });
        made.is(201, json!({ "user": user, "detail": "Successfully created" }));
    }
    assert_eq!(house.letters().await.len(), 5);
}

#[tokio::test]
async fn sign_up_ignores_what_is_not_for_the_user_to_say() {
    let house = House::new().await;
    let more = json!({
        "id": 77, "role": "admin", "is_active": false, "balance": 1000, "confirm_required": false, "confirmed": true,
        "email_confirmed_at": "2020-01-01T00:00:00", "created_at": "2020-01-01T00:00:00", "avatar": "x",
    });
    let made = house.post(SIGN_UP, with(registration("ada"), more)).await;
    let user = json!({
        "id": 1, "username": "somebody", "email": "ada@example.com", "created_at": BEGINNING_NAIVE,
    });
    made.is(201, json!({ "user": user, "detail": "Successfully created" }));
    log_in(&house, "ada@example.com", PASSWORD).await.refuses(401, NOT_CONFIRMED);
    confirm(&house, house.letter().await.token()).await.is(200, json!({ "message": "Email confirmed" }));
    let (access, _) = pair(&log_in(&house, "ada@example.com", PASSWORD).await);
    let me = answer(house.request("GET", "/users/me").bearer_auth(&access)).await;
    assert_eq!((&me.body["role"], &me.body["balance"]), (&json!("user"), &json!(0)), "{}", me.text);
}

#[tokio::test]
async fn log_in_takes_a_form_and_says_null_of_what_is_not_in_it() {
    let house = House::new().await;
    member(&house, "ada").await;
    for email in ["ada@example.com", "ADA@EXAMPLE.COM", "  Ada@example.com\t"] {
        pair(&log_in(&house, email, PASSWORD).await);
    }
    let form = multipart::Form::new().text("username", "ada@example.com").text("password", PASSWORD);
    pair(&answer(house.request("POST", LOG_IN).multipart(form)).await);
    let missing = |name: &str| json!({ "type": "missing", "loc": ["body", name], "msg": "Field required", "input": null });
    let both = json!({ "detail": [missing("username"), missing("password")] });
    house
        .post(LOG_IN, json!({ "username": "ada@example.com", "password": PASSWORD }))
        .await
        .is(422, both.clone());
    answer(house.request("POST", LOG_IN)).await.is(422, both.clone());
    log_in(&house, "", "").await.is(422, both);
    log_in(&house, "ada@example.com", "").await.is(422, json!({ "detail": [missing("password")] }));
}

#[tokio::test]
async fn log_in_answers_tokens_for_a_quarter_of_an_hour_and_for_a_week() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    house.wait(15 * 60 - 1);
    assert_eq!(contacts(&house, &ada.access).await.status, 200);
    house.wait(1);
    contacts(&house, &ada.access).await.refuses(401, "Wrong credentials");
    house.wait(7 * 24 * 3600 - 15 * 60 - 1);
    let refreshed = answer(house.request("GET", "/api/auth/refresh_token").bearer_auth(&ada.refresh)).await;
    let (access, _) = pair(&refreshed);
    contacts(&house, &access).await.is(200, json!([]));
}

#[tokio::test]
async fn log_in_tells_an_unknown_user_from_a_wrong_password_and_from_any_state_by_nothing() {
    let house = House::with(|config| config.auth.sign_in_delays = false).await;
    member(&house, "ada").await;
    sign_up(&house, "unconfirmed").await;
    let blocked = member(&house, "blocked").await;
    block(&house, &blocked.email).await;
    let gone = member(&house, "gone").await;
    assert_eq!(send(&house, &gone, "DELETE", "/users/me", json!(null)).await.status, 200);
    let mut seen = Vec::new();
    for (email, password) in [
        ("ada@example.com", "wrong horse"),
        ("ada@example.com", "x"),
        ("ada@example.com", &"x".repeat(100_000)),
        ("ada@example.com", &PASSWORD.to_uppercase()),
        ("nobody@example.com", PASSWORD),
        ("no address", PASSWORD),
        ("unconfirmed@example.com", "wrong horse"),
        ("blocked@example.com", "wrong horse"),
        ("gone@example.com", "wrong horse"),
    ] {
        let refused = log_in(&house, email, password).await;
        refused.refuses(401, WRONG);
        seen.push(told(&refused));
    }
    seen.dedup();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(seen[0].iter().find(|(name, _)| name == "www-authenticate").unwrap().1, "Bearer");
}

/// The headers of an answer, but for those that differ from one to the next whatever it says.
pub fn told(answer: &Answer) -> Vec<(String, String)> {
    let differ = |name: &str| ["date", "x-request-id", "x-process-time"].contains(&name);
    let headers = answer.headers.iter().filter(|(name, _)| !differ(name));
    headers.map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[tokio::test]
async fn log_in_tells_the_state_after_the_right_password_alone() {
    let house = House::new().await;
    let blocked = member(&house, "blocked").await;
    block(&house, &blocked.email).await;
    let idle = member(&house, "idle").await;
    let inactive = Patch { is_active: Some(false), ..Patch::default() };
    house.change(&uuid_of(&house, &idle.email), inactive).await;
    let gone = member(&house, "gone").await;
    assert_eq!(send(&house, &gone, "DELETE", "/users/me", json!(null)).await.status, 200);
    sign_up(&house, "unconfirmed").await;
    for (name, status, sentence) in [
        ("blocked", 403, "Your account is blocked."),
        ("idle", 400, "User account is inactive"),
        ("gone", 403, "Your account has been deleted."),
        ("unconfirmed", 401, NOT_CONFIRMED),
    ] {
        let email = format!("{name}@example.com");
        log_in(&house, &email, "wrong horse").await.refuses(401, WRONG);
        log_in(&house, &email, PASSWORD).await.refuses(status, sentence);
    }
}

#[tokio::test]
async fn failures_here_and_at_another_api_count_together() {
    let house = House::new().await;
    member(&house, "ada").await;
    for _ in 0..3 {
        log_in(&house, "ada@example.com", "wrong horse").await.refuses(401, WRONG);
    }
    for _ in 0..2 {
        house.log_in("ada@example.com", "wrong horse").await.refuses(401, "Invalid email or password");
    }
    let refused = log_in(&house, "ada@example.com", PASSWORD).await;
    refused.is(429, json!({ "error": "Too many failed sign-ins. Please try again later." }));
    assert_eq!(refused.header("retry-after"), "1");
    house.wait(1);
    pair(&log_in(&house, "ada@example.com", PASSWORD).await);
}
