//! contactbook, `/api/auth/reset_pwd/{token}`: a mailed link sets a new password, and shuts everybody else out.

use futures_util::future::join_all;
use reqwest::multipart;
use satchel::domain::auth::proofs::Purpose;
use serde_json::{Value, json};

use super::auth::{block, confirm, contacts, pair, registration, sign_up};
use super::requests::{REQUEST_EMAIL, RESET, ask};
use super::{log_in, member};
use crate::house::{Answer, Guest, House, PASSWORD, answer, send};

const NEW: &str = "another staple battery";
const TOO_COMMON: &str = "Value error, Password is among the most common ones";
const OWN: &str = "Value error, Password must not be your own e-mail address or username";
const TOO_SHORT: &str = "String should have at least 8 characters";

fn updated() -> Value {
    json!({ "message": "Password updated" })
}

/// Asks for a letter and gives the path of its link.
pub async fn link(house: &House, email: &str) -> String {
    let asked = ask(house, RESET, email).await;
    asked.is(200, json!({ "message": "Check your email for new password." }));
    let letter = house.letter().await;
    assert_eq!((letter.to.as_str(), letter.subject.as_str()), (email, "Set a new password"));
    format!("{RESET}/{}", letter.token())
}

async fn set(house: &House, link: &str, password: &str) -> Answer {
    house.post(link, json!({ "new_password": password })).await
}

/// Whether a pair of tokens opens nothing any more, at any API.
async fn is_dead(house: &House, guest: &Guest) {
    for (method, path) in [
        ("GET", "/api/v1.0/users/me"),
        ("POST", "/items"),
        ("GET", "/v1/auth/me"),
        ("GET", "/auth/me"),
        ("GET", "/api/contacts/"),
    ] {
        let refused = send(house, guest, method, path, json!(null)).await;
        assert_eq!(refused.status, 401, "{path}: {}", refused.text);
    }
    let given = json!({ "refresh_token": guest.refresh });
    for path in ["/api/v1.0/auth/refresh", "/auth/refresh"] {
        assert_eq!(house.post(path, given.clone()).await.status, 401, "{path}");
    }
    let refreshed = answer(house.request("GET", "/api/auth/refresh_token").bearer_auth(&guest.refresh)).await;
    refreshed.refuses(401, "Invalid refresh token");
}

#[tokio::test]
async fn a_reset_ends_the_old_password_and_every_token_of_every_api() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let form = [("username", ada.email.as_str()), ("password", PASSWORD)];
    let mut everywhere = vec![ada.clone()];
    for path in ["/api/v1.0/auth/login", "/store-managers/token", "/auth/login", "/api/auth/login"] {
        let entered = answer(house.request("POST", path).form(&form)).await;
        let token = |kind: &str| entered.body[kind].as_str().unwrap_or("none").to_owned();
        everywhere.push(Guest {
            access: token("access_token"),
            refresh: token("refresh_token"),
            ..ada.clone()
        });
    }
    let at_todolist =
        house.post("/v1/auth/login", json!({ "username": ada.email, "password": PASSWORD })).await;
    let access = at_todolist.body["access_token"].as_str().unwrap().to_owned();
    everywhere.push(Guest { access, ..ada.clone() });
    for guest in &everywhere {
        contacts(&house, &guest.access).await.is(200, json!([]));
    }
    let bystander = member(&house, "ben").await;
    let link = link(&house, "ada@example.com").await;
    let done = set(&house, &link, NEW).await;
    done.is(200, updated());
    assert_eq!((done.header("cache-control"), done.header("content-type")), ("no-store", "application/json"));
    for guest in everywhere.iter().filter(|guest| guest.refresh != "none") {
        is_dead(&house, guest).await;
    }
    for guest in &everywhere {
        contacts(&house, &guest.access).await.refuses(401, "Wrong credentials");
    }
    log_in(&house, "ada@example.com", PASSWORD).await.refuses(401, "Wrong user or password");
    // In the same second, since the clock stands still.
    let (access, _) = pair(&log_in(&house, "ada@example.com", NEW).await);
    contacts(&house, &access).await.is(200, json!([]));
    contacts(&house, &bystander.access).await.is(200, json!([]));
    pair(&log_in(&house, "ben@example.com", PASSWORD).await);
}

#[tokio::test]
async fn a_link_is_used_up_by_the_reset_and_by_nothing_else() {
    let house = House::new().await;
    member(&house, "ada").await;
    let link = link(&house, "ada@example.com").await;
    for _ in 0..2 {
        assert_eq!(house.get(&link).await.status, 200);
    }
    set(&house, &link, "7 chars").await.invalid(&[(
        "string_too_short",
        json!(["body", "new_password"]),
        TOO_SHORT,
    )]);
    set(&house, &link, "ada@example.com").await.invalid(&[(
        "value_error",
        json!(["body", "new_password"]),
        OWN,
    )]);
    set(&house, &link, NEW).await.is(200, updated());
    set(&house, &link, "a third staple battery").await.refuses(400, "Verification error");
    house.get(&link).await.refuses(400, "Verification error");
    answer(house.request("HEAD", &link)).await.is(400, json!(null));
    pair(&log_in(&house, "ada@example.com", NEW).await);
}

#[tokio::test]
async fn a_link_is_good_for_an_hour_and_ends_with_a_newer_one() {
    let house = House::new().await;
    member(&house, "ada").await;
    let first = link(&house, "ada@example.com").await;
    let second = link(&house, "ada@example.com").await;
    set(&house, &first, NEW).await.refuses(400, "Verification error");
    house.wait(3599);
    assert_eq!(house.get(&second).await.status, 200);
    house.wait(1);
    house.get(&second).await.refuses(400, "Verification error");
    set(&house, &second, NEW).await.refuses(400, "Verification error");
    pair(&log_in(&house, "ada@example.com", PASSWORD).await);
}

#[tokio::test]
async fn a_reset_ends_every_other_link_and_confirms_the_address() {
    let house = House::new().await;
    let to_confirm = sign_up(&house, "ada").await;
    let link = link(&house, "ada@example.com").await;
    set(&house, &link, NEW).await.is(200, updated());
    confirm(&house, &to_confirm).await.refuses(400, "Verification error");
    let (access, _) = pair(&log_in(&house, "ada@example.com", NEW).await);
    contacts(&house, &access).await.is(200, json!([]));
    // There is nothing left to confirm.
    ask(&house, REQUEST_EMAIL, "ada@example.com").await;
    assert!(house.letters().await.is_empty());
}

#[tokio::test]
async fn a_change_of_the_password_ends_the_link() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let link = link(&house, "ada@example.com").await;
    let change = json!({ "current_password": PASSWORD, "new_password": "a third staple battery" });
    let changed = send(&house, &ada, "POST", "/api/v1.0/users/change-password", change).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    set(&house, &link, NEW).await.refuses(400, "Verification error");
}

#[tokio::test]
async fn a_change_of_the_password_ends_a_letter_that_has_not_left() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let ben = member(&house, "ben").await;
    let wait =
        |db: &satchel::db::Write| Ok(db.execute("update letters set next_at = next_at + 60000000", [])?);
    for guest in [&ada, &ben] {
        house.post_letter(Purpose::ResetPassword, &guest.email).await;
        house.server.app.db.write(wait).await.unwrap();
    }
    let change = json!({ "current_password": PASSWORD, "new_password": "a third staple battery" });
    let changed = send(&house, &ada, "POST", "/api/v1.0/users/change-password", change).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    house.wait(180);
    assert_eq!(house.letter().await.to, ben.email);
}

#[tokio::test]
async fn whoever_has_the_link_does_not_wait_for_the_failures_of_others() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let link = link(&house, &ada.email).await;
    for _ in 0..6 {
        log_in(&house, &ada.email, "wrong horse").await;
    }
    assert_eq!(log_in(&house, &ada.email, PASSWORD).await.status, 429);
    set(&house, &link, NEW).await.is(200, updated());
    pair(&log_in(&house, &ada.email, NEW).await);
}

#[tokio::test]
async fn a_token_that_is_none_is_refused_like_one_that_is_no_good() {
    let house = House::new().await;
    let unknown = "A".repeat(43);
    for token in ["x", "%20", "%FF", "null", unknown.as_str(), &"x".repeat(5000), "%27%20or%201=1%20--"] {
        let path = format!("{RESET}/{token}");
        house.get(&path).await.refuses(400, "Verification error");
        set(&house, &path, NEW).await.refuses(400, "Verification error");
    }
}

#[tokio::test]
async fn every_way_to_send_the_new_password_is_taken() {
    let house = House::new().await;
    member(&house, "ada").await;
    for n in 0..4 {
        let new = format!("{NEW} {n} + ü&=%");
        let request = house.request("POST", &link(&house, "ada@example.com").await);
        let request = match n {
            0 => request.form(&[("new_password", &new)]),
            1 => request.multipart(multipart::Form::new().text("new_password", new.clone())),
            2 => request.json(&json!({ "new_password": new })),
            _ => request.body(json!({ "new_password": new }).to_string()),
        };
        answer(request).await.is(200, updated());
        pair(&log_in(&house, "ada@example.com", &new).await);
    }
}

#[tokio::test]
async fn a_weak_password_is_refused_by_the_same_rules_as_at_the_sign_up() {
    let house = House::new().await;
    let made = house.post(
        "/api/auth/signup",
        json!({
            "username": "Countess-of-L", "email": "ada@example.com", "password": PASSWORD,
        }),
    );
    assert_eq!(made.await.status, 201);
    house.letter().await;
    let link = link(&house, "ada@example.com").await;
    let at = json!(["body", "new_password"]);
    for (weak, kind, msg) in [
        ("7 chars", "string_too_short", TOO_SHORT),
        (&"x".repeat(257), "string_too_long", "String should have at most 256 characters"),
        ("password1", "value_error", TOO_COMMON),
        ("PASSWORD1", "value_error", TOO_COMMON),
        ("ada@example.com", "value_error", OWN),
        ("ADA@example.COM", "value_error", OWN),
        ("countess-of-l", "value_error", OWN),
    ] {
        let refused = set(&house, &link, weak).await;
        refused.invalid(&[(kind, at.clone(), msg)]);
        assert_eq!(refused.body["detail"][0]["input"], json!("**********"));
        let by_form = answer(house.request("POST", &link).form(&[("new_password", weak)])).await;
        by_form.invalid(&[(kind, at.clone(), msg)]);
    }
    let missing = [("missing", at.clone(), "Field required")];
    house.post(&link, json!({})).await.invalid(&missing);
    house.post(&link, json!({ "password": NEW })).await.invalid(&missing);
    answer(house.request("POST", &link).form(&[("new_password", "")])).await.invalid(&missing);
    answer(house.request("POST", &link)).await.invalid(&[("missing", json!(["body"]), "Field required")]);
    let no_text = [("string_type", at, "Input should be a valid string")];
    house.post(&link, json!({ "new_password": null })).await.invalid(&no_text);
    house.post(&link, json!({ "new_password": 12_345_678 })).await.invalid(&no_text);
    set(&house, &link, NEW).await.is(200, updated());
}

#[tokio::test]
async fn who_is_named_in_the_body_counts_for_nothing() {
    let house = House::new().await;
    member(&house, "ada").await;
    member(&house, "ben").await;
    let link = link(&house, "ada@example.com").await;
    let body = json!({ "new_password": NEW, "email": "ben@example.com", "user_id": 2, "role": "admin" });
    house.post(&link, body).await.is(200, updated());
    pair(&log_in(&house, "ben@example.com", PASSWORD).await);
    pair(&log_in(&house, "ada@example.com", NEW).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_resets_that_race_with_one_link_exactly_one_wins() {
    let house = House::new().await;
    member(&house, "ada").await;
    for round in 0..8 {
        let link = link(&house, "ada@example.com").await;
        let words: Vec<String> = (0..4).map(|n| format!("{NEW} {round} {n}")).collect();
        let outcomes = join_all(words.iter().map(|new| set(&house, &link, new))).await;
        let mut winners = Vec::new();
        for (new, outcome) in words.iter().zip(&outcomes) {
            if outcome.status == 200 {
                outcome.is(200, updated());
                winners.push(new);
            } else {
                outcome.refuses(400, "Verification error");
            }
        }
        assert_eq!(winners.len(), 1, "{winners:?}");
        pair(&log_in(&house, "ada@example.com", winners[0]).await);
    }
}

#[tokio::test]
async fn who_registered_first_with_anothers_address_is_out_when_the_owner_resets() {
    let house = House::with(|config| config.auth.sign_in_delays = false).await;
    let hijacker = house.guest("ada").await;
    let second = answer(
        house
            .request("POST", "/api/auth/login")
            .form(&[("username", "ada@example.com"), ("password", PASSWORD)]),
    )
    .await;
    let (access, refresh) = pair(&second);
    let elsewhere = Guest { access, refresh, ..hijacker.clone() };
    // He has a letter on its way, too, which the owner gets.
    send(&house, &hijacker, "POST", REQUEST_EMAIL, json!({ "email": hijacker.email })).await;
    let to_confirm = house.letter().await.token().to_owned();
    house.post("/api/auth/signup", registration("ada")).await.refuses(409, "Already exists");

    let link = link(&house, "ada@example.com").await;
    set(&house, &link, NEW).await.is(200, updated());
    for guest in [&hijacker, &elsewhere] {
        is_dead(&house, guest).await;
    }
    confirm(&house, &to_confirm).await.refuses(400, "Verification error");
    assert_eq!(house.log_in("ada@example.com", PASSWORD).await.status, 401);
    let (access, _) = pair(&log_in(&house, "ada@example.com", NEW).await);
    contacts(&house, &access).await.is(200, json!([]));
}

#[tokio::test]
async fn who_signed_up_here_with_anothers_address_never_gets_in() {
    let house = House::with(|config| config.auth.sign_in_delays = false).await;
    sign_up(&house, "ada").await;
    log_in(&house, "ada@example.com", PASSWORD).await.refuses(401, "Email not confirmed");
    let link = link(&house, "ada@example.com").await;
    set(&house, &link, NEW).await.is(200, updated());
    log_in(&house, "ada@example.com", PASSWORD).await.refuses(401, "Wrong user or password");
    pair(&log_in(&house, "ada@example.com", NEW).await);
}

#[tokio::test]
async fn a_reset_opens_nothing_to_who_was_blocked_after_he_asked() {
    let house = House::new().await;
    member(&house, "ada").await;
    let link = link(&house, "ada@example.com").await;
    block(&house, "ada@example.com").await;
    set(&house, &link, NEW).await.is(200, updated());
    log_in(&house, "ada@example.com", NEW).await.refuses(403, "Your account is blocked.");
}

#[tokio::test]
async fn a_new_password_outlives_a_restart_and_the_old_tokens_do_not() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let link = link(&house, "ada@example.com").await;
    set(&house, &link, NEW).await.is(200, updated());
    let house = house.restart().await;
    is_dead(&house, &ada).await;
    set(&house, &link, PASSWORD).await.refuses(400, "Verification error");
    pair(&log_in(&house, "ada@example.com", NEW).await);
}
