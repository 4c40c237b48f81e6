//! identity, `/auth`: registering, signing in and out, and who one is.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use satchel::config::Environment;
use satchel::domain::users::{Patch, Role};
use serde_json::{Value, json};

use super::{
    BAD_TOKEN_AT_AUTH, BLOCKED, DELETED, NO_OBJECT, NO_STRING, SECRET, TOO_MANY, WRONG, account, account_as,
    again, assert_dead, block, delete, fault, get, log_in, look_up, pair, register, registration, send, set,
    sign_in, uuid_of,
};
use crate::house::{self, BEGINNING, House, PASSWORD, answer, with};

/// The claims of a token, unverified.
fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[tokio::test]
async fn register_answers_the_address_alone_and_makes_an_empty_user() {
    let house = House::new().await;
    for path in ["/auth/register", "/auth/register/"] {
        let name = if path.ends_with('/') { "ben" } else { "ada" };
        let email = format!("{name}@example.com");
        house.post(path, registration(name)).await.is(200, json!({ "email": email }));
        let user = sign_in(&house, name).await;
        get(&house, &user, "/users/me").await.is(200, user.shown());
    }
}

#[tokio::test]
async fn register_trims_the_address_and_lowers_its_domain() {
    let house = House::new().await;
    let given = with(registration("ada"), json!({ "email": "  Ada.L+x@EXAMPLE.Com " }));
    house.post("/auth/register", given).await.is(200, json!({ "email": "Ada.L+x@example.com" }));
    pair(&log_in(&house, "ada.l+X@example.com", PASSWORD).await);
}

#[tokio::test]
async fn register_sets_nothing_that_it_is_not_asked_for() {
    let house = House::new().await;
    let extras = json!({
        "id": 999, "uuid": "019a9d5e-6c1f-7c3b-8a54-3f0c1f4e2d10", "role": "admin", "balance": 1_000_000,
        "first_name": "Ada", "last_name": "Lovelace", "is_blocked": true, "is_active": false, "epoch": 7,
        "email_confirmed_at": 1, "deleted_at": 1, "created_at": "2000-01-01T00:00:00Z", "last_activity_at": 1,
    });
    let answer = house.post("/auth/register", with(registration("ada"), extras)).await;
    answer.is(200, json!({ "email": "ada@example.com" }));
    let ada = sign_in(&house, "ada").await;
    assert_eq!(ada.id, 1);
    get(&house, &ada, "/users/me").await.is(200, ada.shown());
    assert_eq!(look_up::<Option<i64>>(&house, "select email_confirmed_at from users"), None);
}

#[tokio::test]
async fn register_refuses_an_address_that_is_taken_at_any_api_in_any_case() {
    let house = House::new().await;
    register(&house, "ada").await;
    house.register("ben").await;
    for email in ["ada@example.com", " ADA@Example.COM ", "ben@example.com"] {
        let answer = house.post("/auth/register", with(registration("x"), json!({ "email": email }))).await;
        answer.refuses(400, "A user with this email already exists");
    }
    let taken = with(house::registration("cyd"), json!({ "email": "ADA@example.com" }));
    house.post("/api/v1.0/auth/register", taken).await.refuses(400, "Email already registered");
    // A malformed field is told before the address is looked up.
    let answer = house.post("/auth/register", with(registration("ada"), json!({ "password": "x" }))).await;
    answer.invalid(&[(
        "string_too_short",
        json!(["body", "password"]),
        "String should have at least 8 characters",
    )]);
}

#[tokio::test]
async fn of_twenty_who_register_one_address_at_once_one_gets_it() {
    let house = House::new().await;
    let answers = join_all((0..20).map(|_| house.post("/auth/register", registration("ada")))).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!((won.len(), lost.len()), (1, 19));
    lost.iter().for_each(|answer| answer.refuses(400, "A user with this email already exists"));
}

#[tokio::test]
async fn register_says_of_each_field_what_is_wrong_with_it() {
    let house = House::with(|config| config.environment = Environment::Production).await;
    let post = |body: Value| house.post("/auth/register", body);
    let missing = |field: &str, input: Value| json!({ "type": "missing", "loc": ["body", field], "msg": "Field required", "input": input });
    post(json!({}))
        .await
        .is(422, json!({ "detail": [missing("email", json!({})), missing("password", json!({}))] }));
    let given = json!({ "email": "ada@example.com" });
    post(given.clone()).await.is(422, json!({ "detail": [missing("password", given)] }));
    let given = json!({ "password": PASSWORD });
    let shown = json!({ "password": SECRET });
    post(given).await.is(422, json!({ "detail": [missing("email", shown)] }));
    for (password, kind, msg, ctx) in [
        (
            json!("s3cr3t!"),
            "string_too_short",
            "String should have at least 8 characters",
            json!({ "min_length": 8 }),
        ),
        (
            json!("x".repeat(257)),
            "string_too_long",
            "String should have at most 256 characters",
            json!({ "max_length": 256 }),
        ),
        (
            json!("PassWord1"),
            "value_error",
            "Value error, Password is among the most common ones",
            json!({ "error": {} }),
        ),
        (
            json!("Ada@Example.com"),
            "value_error",
            "Value error, Password must not be your own e-mail address or username",
            json!({ "error": {} }),
        ),
        (json!(12345678), "string_type", NO_STRING, Value::Null),
        (Value::Null, "string_type", NO_STRING, Value::Null),
    ] {
        // Null is no secret.
        let input = if password.is_null() { Value::Null } else { json!(SECRET) };
        let answer = post(with(registration("ada"), json!({ "password": password }))).await;
        answer.is(422, fault(kind, ["body", "password"], msg, input, ctx));
    }
    for (email, reason) in [
        ("ada", "An email address must have an @-sign."),
        (
            "ada@lovelace.test",
            "The part after the @-sign is a special-use or reserved name that cannot be used with email.",
        ),
    ] {
        let answer = post(with(registration("ada"), json!({ "email": email }))).await;
        let msg = format!("value is not a valid email address: {reason}");
        let ctx = json!({ "reason": reason });
        answer.is(422, fault("value_error", ["body", "email"], &msg, json!(email), ctx));
    }
    for email in [Value::Null, json!(7)] {
        let answer = post(with(registration("ada"), json!({ "email": email }))).await;
        answer.is(422, fault("string_type", ["body", "email"], NO_STRING, email, Value::Null));
    }
    let form = house.request("POST", "/auth/register").form(&registration("ada"));
    answer(form).await.invalid(&[("model_attributes_type", json!(["body"]), NO_OBJECT)]);
    let none = house.request("POST", "/auth/register");
    answer(none).await.invalid(&[("missing", json!(["body"]), "Field required")]);
    let broken = house.request("POST", "/auth/register").header("content-type", "application/json").body("{");
    let expected = json!({ "detail": [{
        "type": "json_invalid", "loc": ["body", 1], "msg": "JSON decode error", "input": {},
        "ctx": { "error": "Expecting property name enclosed in double quotes" },
    }] });
    answer(broken).await.is(422, expected);
    assert_eq!(look_up::<i64>(&house, "select count(*) from users"), 0);
}

#[tokio::test]
async fn log_in_answers_a_pair_for_15_minutes_and_7_days() {
    let house = House::new().await;
    register(&house, "ada").await;
    for path in ["/auth/login", "/auth/login/"] {
        let form = [("username", "ada@example.com"), ("password", PASSWORD)];
        let (access, refresh) = pair(&answer(house.request("POST", path).form(&form)).await);
        let (access, refresh) = (claims(&access), claims(&refresh));
        let now = BEGINNING.seconds();
        let expected = |kind: &str, jti: &Value, seconds: i64| {
            json!({
                "iss": "satchel", "aud": "satchel", "sub": uuid_of(&house, 1), "sid": access["sid"], "jti": jti,
                "typ": kind, "epoch": 0, "iat": now, "nbf": now - 60, "exp": now + seconds,
            })
        };
        assert_eq!(access, expected("access", &access["jti"], 900));
        assert_eq!(refresh, expected("refresh", &refresh["jti"], 604_800));
    }
}

#[tokio::test]
async fn log_in_changes_nothing_but_the_time_of_the_last_activity() {
    let house = House::new().await;
    register(&house, "ada").await;
    house.wait(100);
    let ada = sign_in(&house, "ada").await;
    let expected = with(ada.shown(), json!({ "last_activity_at": super::after(100) }));
    get(&house, &ada, "/users/me").await.is(200, expected);
    // The original gave 100 at every log-in.
    get(&house, &ada, "/users/balance").await.is(200, json!({ "balance": 0 }));
}

#[tokio::test]
async fn log_in_knows_the_address_in_any_case_and_a_multipart_form_too() {
    let house = House::new().await;
    register(&house, "ada").await;
    for email in ["ada@example.com", "ADA@EXAMPLE.COM", "  Ada@example.com\t"] {
        pair(&log_in(&house, email, PASSWORD).await);
    }
    let form = reqwest::multipart::Form::new().text("username", "ada@example.com").text("password", PASSWORD);
    pair(&answer(house.request("POST", "/auth/login").multipart(form)).await);
}

#[tokio::test]
async fn log_in_says_which_fields_of_the_form_are_missing() {
    let house = House::new().await;
    let missing = |field: &str| json!({ "type": "missing", "loc": ["body", field], "msg": "Field required", "input": null });
    let (username, password) = (missing("username"), missing("password"));
    let post = |form: &[(&str, &str)]| answer(house.request("POST", "/auth/login").form(form));
    post(&[]).await.is(422, json!({ "detail": [username, password] }));
    post(&[("username", "ada@example.com"), ("password", "")]).await.is(422, json!({ "detail": [password] }));
    post(&[("email", "ada@example.com"), ("password", "x")]).await.is(422, json!({ "detail": [username] }));
    let body = json!({ "username": "ada@example.com", "password": PASSWORD });
    house.post("/auth/login", body).await.is(422, json!({ "detail": [username, password] }));
}

#[tokio::test]
async fn log_in_tells_an_unknown_user_a_wrong_password_and_every_state_by_nothing() {
    let house = House::with(|config| config.auth.sign_in_delays = false).await;
    let admin = account_as(&house, "root", Role::Admin).await;
    register(&house, "ada").await;
    let (blocked, deleted) = (account(&house, "ben").await, account(&house, "cyd").await);
    block(&house, &admin, blocked.id).await;
    delete(&house, &deleted).await;
    let inactive = account(&house, "ida").await;
    set(&house, inactive.id, Patch { is_active: Some(false), ..Patch::default() }).await;
    let first = log_in(&house, "ada@example.com", "wrong horse").await;
    for (email, password) in [
        ("ada@example.com", &*PASSWORD.to_uppercase()),
        ("ada@example.com", &"x".repeat(100_000)),
        ("nobody@example.com", PASSWORD),
        ("ada", PASSWORD),
        ("@", PASSWORD),
        ("%", PASSWORD),
        ("ad_@example.com", PASSWORD),
        ("ben@example.com", "wrong horse"),
        ("cyd@example.com", "wrong horse"),
        ("ida@example.com", "wrong horse"),
    ] {
        let answer = log_in(&house, email, password).await;
        answer.refuses(401, WRONG);
        assert_eq!((&answer.text, answer.header("www-authenticate")), (&first.text, "Bearer"), "{email}");
    }
}

#[tokio::test]
async fn log_in_tells_the_state_of_a_user_after_the_right_password() {
    let house = House::new().await;
    let admin = account_as(&house, "root", Role::Admin).await;
    let (blocked, deleted) = (account(&house, "ben").await, account(&house, "cyd").await);
    let inactive = account(&house, "ida").await;
    block(&house, &admin, blocked.id).await;
    delete(&house, &deleted).await;
    set(&house, inactive.id, Patch { is_active: Some(false), ..Patch::default() }).await;
    log_in(&house, "ben@example.com", PASSWORD).await.refuses(403, BLOCKED);
    log_in(&house, "cyd@example.com", PASSWORD).await.refuses(403, DELETED);
    log_in(&house, "ida@example.com", PASSWORD).await.refuses(400, "User account is inactive");
    let sessions: i64 = look_up(&house, "select count(*) from sessions where user_id > 1");
    assert_eq!(sessions, 3, "no session was begun for any of them");
    // Whoever is both was deleted, and nothing else matters.
    let both = account(&house, "eve").await;
    delete(&house, &both).await;
    super::tamper(&house, format!("update users set blocked_at = 1 where id = {}", both.id)).await;
    log_in(&house, "eve@example.com", PASSWORD).await.refuses(403, DELETED);
}

#[tokio::test]
async fn log_in_waits_for_a_confirmed_address_where_the_setting_says_so() {
    let mut house = House::new().await;
    register(&house, "ada").await;
    house.config.auth.require_confirmed_email = true;
    let house = house.restart().await;
    let sentence = "Please verify your email address before logging in";
    log_in(&house, "ada@example.com", PASSWORD).await.refuses(403, sentence);
    log_in(&house, "ada@example.com", "wrong horse").await.refuses(401, WRONG);
}

#[tokio::test]
async fn log_in_is_delayed_after_five_failures_whether_there_is_such_a_user_or_not() {
    let house = House::new().await;
    register(&house, "ada").await;
    for email in ["ada@example.com", "nobody@example.com"] {
        for _ in 0..5 {
            log_in(&house, email, "wrong horse").await.refuses(401, WRONG);
        }
        let answer = log_in(&house, email, PASSWORD).await;
        answer.refuses(429, TOO_MANY);
        assert_eq!(answer.header("retry-after"), "1");
    }
    house.wait(1);
    pair(&log_in(&house, "ada@example.com", PASSWORD).await);
}

#[tokio::test]
async fn log_out_ends_its_own_session_and_no_other() {
    let house = House::new().await;
    let ada = account(&house, "ada").await;
    let elsewhere = again(&house, &ada).await;
    for (account, path) in [(&ada, "/auth/logout"), (&elsewhere, "/auth/logout/")] {
        get(&house, account, "/auth/me").await.is(200, json!({ "user_id": "1" }));
        let done = send(&house, account, "POST", path, Value::Null).await;
        done.is(200, json!({ "message": "Logged out" }));
        assert_dead(&house, account).await;
        send(&house, account, "POST", path, Value::Null).await.refuses(401, BAD_TOKEN_AT_AUTH);
    }
    sign_in(&house, "ada").await;
}

#[tokio::test]
async fn ones_own_number_is_text() {
    let house = House::new().await;
    register(&house, "other").await;
    let ada = account(&house, "ada").await;
    for path in ["/auth/me", "/auth/me/"] {
        let answer = get(&house, &ada, path).await;
        answer.is(200, json!({ "user_id": "2" }));
        assert_eq!(answer.header("cache-control"), "no-store");
    }
}
