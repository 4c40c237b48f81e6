//! identity, `/auth/change-password`: whoever proves the present password sets the next one, and guesses are counted.

use futures_util::future::join_all;
use satchel::domain::users::{Patch, Role};
use serde_json::{Value, json};

use super::{
    BLOCKED, DELETED, NO_STRING, SECRET, TOO_MANY, WRONG, account, account_as, again, assert_dead, block,
    delete, fault, log_in, look_up, pair, register, set,
};
use crate::house::{Answer, House, PASSWORD, answer, with};

const NEXT: &str = "quite another battery staple";
const INCORRECT: &str = "Old password is incorrect";

fn change_of(email: &str, old: &str) -> Value {
    json!({ "email": email, "old_password": old, "new_password": NEXT })
}

async fn change(house: &House, email: &str, old: &str) -> Answer {
    house.post("/auth/change-password", change_of(email, old)).await
}

#[tokio::test]
async fn a_change_needs_no_token_sets_the_password_and_ends_every_session_of_the_user() {
    let house = House::new().await;
    let ada = account(&house, "ada").await;
    let (elsewhere, ben) = (again(&house, &ada).await, account(&house, "ben").await);
    let done = change(&house, " ADA@Example.com ", PASSWORD).await;
    done.is(200, json!({ "message": "Password updated successfully" }));
    for account in [&ada, &elsewhere] {
        assert_dead(&house, account).await;
    }
    log_in(&house, "ada@example.com", PASSWORD).await.refuses(401, WRONG);
    pair(&log_in(&house, "ada@example.com", NEXT).await);
    super::get(&house, &ben, "/users/me").await.is(200, ben.shown());
    let back = json!({ "email": "ada@example.com", "old_password": NEXT, "new_password": PASSWORD });
    assert_eq!(house.post("/auth/change-password/", back).await.status, 200);
    pair(&log_in(&house, "ada@example.com", PASSWORD).await);
}

#[tokio::test]
async fn an_unknown_address_a_wrong_password_and_every_state_are_told_by_nothing() {
    let house = House::with(|config| config.auth.sign_in_delays = false).await;
    let admin = account_as(&house, "root", Role::Admin).await;
    register(&house, "ada").await;
    let (blocked, deleted) = (account(&house, "ben").await, account(&house, "cyd").await);
    block(&house, &admin, blocked.id).await;
    delete(&house, &deleted).await;
    for email in ["ada@example.com", "nobody@example.com", "ben@example.com", "cyd@example.com"] {
        let answer = change(&house, email, "wrong horse").await;
        answer.refuses(401, INCORRECT);
        assert_eq!(answer.header("www-authenticate"), "Bearer", "{email}");
    }
    change(&house, "nobody@example.com", PASSWORD).await.refuses(401, INCORRECT);
    pair(&log_in(&house, "ada@example.com", PASSWORD).await);
}

#[tokio::test]
async fn the_state_of_a_user_is_told_after_the_right_password_and_nothing_changes() {
    let house = House::new().await;
    let admin = account_as(&house, "root", Role::Admin).await;
    let (blocked, deleted) = (account(&house, "ben").await, account(&house, "cyd").await);
    let inactive = account(&house, "ida").await;
    block(&house, &admin, blocked.id).await;
    delete(&house, &deleted).await;
    set(&house, inactive.id, Patch { is_active: Some(false), ..Patch::default() }).await;
    let hashes = "select group_concat(password_hash) from users";
    let before: String = look_up(&house, hashes);
    change(&house, "ben@example.com", PASSWORD).await.refuses(403, BLOCKED);
    change(&house, "cyd@example.com", PASSWORD).await.refuses(403, DELETED);
    change(&house, "ida@example.com", PASSWORD).await.refuses(400, "User account is inactive");
    assert_eq!(look_up::<String>(&house, hashes), before);
}

#[tokio::test]
async fn guesses_count_as_sign_ins_and_sign_ins_as_guesses() {
    let house = House::new().await;
    register(&house, "ada").await;
    for email in ["ada@example.com", "nobody@example.com"] {
        for _ in 0..3 {
            change(&house, email, "wrong horse").await.refuses(401, INCORRECT);
        }
        for _ in 0..2 {
            log_in(&house, email, "wrong horse").await.refuses(401, WRONG);
        }
        let answer = change(&house, email, PASSWORD).await;
        answer.refuses(429, TOO_MANY);
        assert_eq!(answer.header("retry-after"), "1");
        log_in(&house, email, PASSWORD).await.refuses(429, TOO_MANY);
    }
    house.wait(1);
    assert_eq!(change(&house, "ada@example.com", PASSWORD).await.status, 200);
    // A good one ends the count.
    for _ in 0..5 {
        change(&house, "ada@example.com", "wrong horse").await.refuses(401, INCORRECT);
    }
    change(&house, "ada@example.com", NEXT).await.refuses(429, TOO_MANY);
}

#[tokio::test]
async fn a_change_is_told_of_each_field_what_is_wrong_with_it_and_shown_no_password() {
    let house = House::new().await;
    register(&house, "ada").await;
    let good = change_of("ada@example.com", PASSWORD);
    let post = |body: Value| house.post("/auth/change-password", body);
    let missing = |field: &str| json!({ "type": "missing", "loc": ["body", field], "msg": "Field required", "input": {} });
    let all: Vec<Value> = ["email", "old_password", "new_password"].map(missing).into();
    post(json!({})).await.is(422, json!({ "detail": all }));
    for (field, value, kind, msg, ctx) in [
        ("old_password", json!(7), "string_type", NO_STRING, Value::Null),
        ("old_password", Value::Null, "string_type", NO_STRING, Value::Null),
        ("new_password", json!(["secret"]), "string_type", NO_STRING, Value::Null),
        (
            "new_password",
            json!("short"),
            "string_too_short",
            "String should have at least 8 characters",
            json!({ "min_length": 8 }),
        ),
        (
            "new_password",
            json!("x".repeat(257)),
            "string_too_long",
            "String should have at most 256 characters",
            json!({ "max_length": 256 }),
        ),
        (
            "new_password",
            json!("password1"),
            "value_error",
            "Value error, Password is among the most common ones",
            json!({ "error": {} }),
        ),
        (
            "new_password",
            json!("ADA@example.com"),
            "value_error",
            "Value error, Password must not be your own e-mail address or username",
            json!({ "error": {} }),
        ),
    ] {
        // Null is no secret.
        let input = if value.is_null() { Value::Null } else { json!(SECRET) };
        let answer = post(with(good.clone(), json!({ field: value }))).await;
        answer.is(422, fault(kind, ["body", field], msg, input, ctx));
    }
    let answer = post(with(good.clone(), json!({ "email": "ada" }))).await;
    let reason = "An email address must have an @-sign.";
    let msg = format!("value is not a valid email address: {reason}");
    let ctx = json!({ "reason": reason });
    answer.is(422, fault("value_error", ["body", "email"], &msg, json!("ada"), ctx));
    // A malformed request is no guess.
    let failures: i64 = look_up(&house, "select count(*) from sign_in_failures");
    assert_eq!(failures, 0);
    assert_eq!(post(good).await.status, 200);
}

#[tokio::test]
async fn a_username_that_was_given_elsewhere_is_no_password_either() {
    let house = House::new().await;
    let given = with(crate::house::registration("ada"), json!({ "username": "grandmother" }));
    assert_eq!(house.post("/api/v1.0/auth/register", given).await.status, 201);
    let body = with(change_of("ada@example.com", PASSWORD), json!({ "new_password": "GrandMother" }));
    let answer = house.post("/auth/change-password", body).await;
    let msg = "Value error, Password must not be your own e-mail address or username";
    let ctx = json!({ "error": {} });
    answer.is(422, fault("value_error", ["body", "new_password"], msg, json!(SECRET), ctx));
    // Without the present password nobody learns whose name it is.
    let body = with(change_of("ada@example.com", "wrong horse"), json!({ "new_password": "GrandMother" }));
    house.post("/auth/change-password", body).await.refuses(401, INCORRECT);
}

#[tokio::test]
async fn of_ten_changes_at_once_from_one_password_one_is_done() {
    let house = House::with(|config| config.auth.sign_in_delays = false).await;
    register(&house, "ada").await;
    let answers = join_all((0..10).map(|n| {
        let next = json!({ "new_password": format!("another battery staple {n}") });
        let body = with(change_of("ada@example.com", PASSWORD), next);
        answer(house.request("POST", "/auth/change-password").json(&body))
    }))
    .await;
    let (done, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!((done.len(), refused.len()), (1, 9));
    refused.iter().for_each(|answer| answer.refuses(401, INCORRECT));
}
