//! contactbook, `POST /api/auth/request_email` and `/api/auth/reset_pwd`: whoever asks for a letter learns nothing
//! of the address.

use satchel::config::Limit;
use serde_json::{Value, json};

use super::auth::{NOT_CONFIRMED, block, confirm, contacts, sign_up, told};
use super::{log_in, member};
use crate::house::{Answer, Guest, House, PASSWORD, answer, send};

pub const REQUEST_EMAIL: &str = "/api/auth/request_email";
pub const RESET: &str = "/api/auth/reset_pwd";

/// The two routes and what each answers.
fn routes() -> [(&'static str, Value); 2] {
    [
        (REQUEST_EMAIL, json!({ "message": "Check your email for confirmation." })),
        (RESET, json!({ "message": "Check your email for new password." })),
    ]
}

/// Asks for a letter, as a stranger.
pub async fn ask(house: &House, path: &str, email: &str) -> Answer {
    house.post(path, json!({ "email": email })).await
}

/// Who the letters went to, sorted.
async fn receivers(house: &House) -> Vec<String> {
    let mut to: Vec<String> = house.letters().await.into_iter().map(|letter| letter.to).collect();
    to.sort();
    to
}

/// People in every state: confirmed, unconfirmed, registered elsewhere, blocked, inactive, and deleted twice over.
async fn people(house: &House) -> Guest {
    let confirmed = member(house, "confirmed").await;
    sign_up(house, "unconfirmed").await;
    house.guest("elsewhere").await;
    sign_up(house, "blocked").await;
    block(house, "blocked@example.com").await;
    let idle = house.guest("idle").await;
    let off = satchel::domain::users::Patch { is_active: Some(false), ..Default::default() };
    house.change(&idle.uuid, off).await;
    let left = house.guest("left").await;
    assert_eq!(send(house, &left, "DELETE", "/users/me", json!(null)).await.status, 200);
    let gone = house.guest("gone").await;
    let path = format!("/api/v1.0/users/{}", gone.uuid);
    assert_eq!(send(house, &gone, "DELETE", &path, json!(null)).await.status, 200);
    confirmed
}

const NAMES: [&str; 8] =
    ["confirmed", "unconfirmed", "elsewhere", "blocked", "idle", "left", "gone", "nobody"];

#[tokio::test]
async fn the_answer_is_the_same_for_every_address_and_letters_go_to_the_right_ones_alone() {
    let house = House::new().await;
    people(&house).await;
    for (path, expected) in routes() {
        let mut seen = Vec::new();
        for name in NAMES {
            for email in [format!("{name}@example.com"), format!(" {}@EXAMPLE.com\t", name.to_uppercase())] {
                let answer = ask(&house, path, &email).await;
                answer.is(200, expected.clone());
                seen.push((answer.text.clone(), told(&answer)));
            }
        }
        seen.dedup();
        assert_eq!(seen.len(), 1, "{seen:?}");
        let mut expected = vec!["elsewhere@example.com", "unconfirmed@example.com"];
        if path == RESET {
            expected.insert(0, "confirmed@example.com");
        }
        assert_eq!(receivers(&house).await, expected, "{path}");
    }
}

#[tokio::test]
async fn only_one_self_is_told_that_the_address_is_confirmed() {
    let house = House::new().await;
    let ada = people(&house).await;
    let already = json!({ "message": "Your email is already confirmed" });
    for email in ["confirmed@example.com", " CONFIRMED@Example.com"] {
        send(&house, &ada, "POST", REQUEST_EMAIL, json!({ "email": email })).await.is(200, already.clone());
    }
    let [(path, check), (reset, check_reset)] = routes();
    for name in &NAMES[1..] {
        let email = json!({ "email": format!("{name}@example.com") });
        send(&house, &ada, "POST", path, email).await.is(200, check.clone());
    }
    let own = json!({ "email": ada.email });
    // A refresh token is none to be known by, nor is one that has died.
    let by_refresh = answer(house.request("POST", path).bearer_auth(&ada.refresh).json(&own)).await;
    by_refresh.is(200, check.clone());
    send(&house, &ada, "POST", reset, own.clone()).await.is(200, check_reset);
    assert_eq!(
        receivers(&house).await,
        ["confirmed@example.com", "elsewhere@example.com", "unconfirmed@example.com"]
    );
    house.wait(15 * 60);
    send(&house, &ada, "POST", path, own).await.is(200, check);
    assert!(house.letters().await.is_empty());
}

#[tokio::test]
async fn nothing_changes_before_the_link_is_used_and_looking_at_it_changes_nothing() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let ben = sign_up(&house, "ben").await;
    for email in ["ada@example.com", "ben@example.com"] {
        ask(&house, RESET, email).await;
        ask(&house, REQUEST_EMAIL, email).await;
    }
    for letter in house.letters().await {
        let path = letter.link.split_once("/api/").unwrap().1;
        for method in ["HEAD", "OPTIONS"] {
            let looked = answer(house.request(method, &format!("/api/{path}"))).await;
            assert!(matches!(looked.status, 200 | 204), "{}", looked.status);
        }
        if letter.subject == "Set a new password" {
            assert_eq!(house.get(&format!("/api/{path}")).await.status, 200);
        }
    }
    contacts(&house, &ada.access).await.is(200, json!([]));
    assert_eq!(log_in(&house, "ada@example.com", PASSWORD).await.status, 200);
    log_in(&house, "ben@example.com", PASSWORD).await.refuses(401, NOT_CONFIRMED);
    // A newer letter to confirm ended the one of the sign-up.
    confirm(&house, &ben).await.refuses(400, "Verification error");
}

#[tokio::test]
async fn links_begin_with_the_public_url_whatever_the_request_says() {
    for (public_url, begins) in [
        ("https://satchel.example", "https://satchel.example/api/"),
        ("https://example.org/satchel/", "https://example.org/satchel/api/"),
    ] {
        let house = House::with(|config| {
            config.server.public_url = String::from(public_url);
            config.server.trusted_proxies.0 = vec!["127.0.0.0/8".parse().unwrap()];
        })
        .await;
        sign_up(&house, "ada").await;
        for path in [REQUEST_EMAIL, RESET] {
            for (name, value) in [
                ("host", "evil.example"),
                ("x-forwarded-host", "evil.example"),
                ("x-forwarded-server", "evil.example"),
                ("x-host", "evil.example"),
                ("x-original-host", "evil.example"),
                ("forwarded", "for=192.0.2.1;host=evil.example;proto=http"),
                ("x-forwarded-proto", "gopher"),
                ("x-forwarded-port", "6666"),
                ("x-forwarded-prefix", "/evil.example"),
                ("x-original-url", "http://evil.example/"),
                ("referer", "http://evil.example/"),
                ("origin", "http://evil.example"),
            ] {
                let request = house.request("POST", path).header(name, value);
                let asked = answer(request.json(&json!({ "email": "ada@example.com" }))).await;
                assert_eq!(asked.status, 200, "{}", asked.text);
                let letter = house.letter().await;
                assert!(letter.link.starts_with(begins), "{name}: {}", letter.link);
                for part in [&letter.text, &letter.html, &format!("{:?}", letter.headers)] {
                    assert!(!part.contains("evil") && !part.contains("gopher"), "{name}: {part}");
                }
            }
        }
    }
}

#[tokio::test]
async fn an_address_with_a_line_break_or_a_second_receiver_is_refused() {
    let house = House::new().await;
    sign_up(&house, "ada").await;
    for (path, _) in routes() {
        for email in [
            "ada@example.com\r\nBcc: eve@example.com",
            "ada@example.com\nBcc: eve@example.com",
            "ada\r\n@example.com",
            "ada@exam\rple.com",
            "ada@example.com%0d%0aBcc:eve@example.com",
            "ada@example.com, eve@example.com",
            "ada@example.com;eve@example.com",
            "ada@example.com eve@example.com",
            "<ada@example.com>",
            "Ada <ada@example.com>",
            "ada@example.com\0",
            "ada@example.com\u{2028}x",
        ] {
            let refused = ask(&house, path, email).await;
            assert_eq!(refused.status, 422, "{email:?}: {}", refused.text);
            assert_eq!(refused.body["detail"][0]["loc"], json!(["body", "email"]));
        }
    }
    // A blank or a break at the end is no part of it.
    assert_eq!(ask(&house, RESET, "ada@example.com\r\n").await.status, 200);
    assert_eq!(receivers(&house).await, ["ada@example.com"]);
}

#[tokio::test]
async fn what_is_no_address_is_refused_with_the_reason() {
    let house = House::new().await;
    let email = json!(["body", "email"]);
    let no_at = "value is not a valid email address: An email address must have an @-sign.";
    for (path, _) in routes() {
        house.post(path, json!({})).await.invalid(&[("missing", email.clone(), "Field required")]);
        ask(&house, path, "ada").await.invalid(&[("value_error", email.clone(), no_at)]);
        for (value, kind) in [(json!(null), "string_type"), (json!(["ada@example.com"]), "string_type")] {
            let refused = house.post(path, json!({ "email": value })).await;
            refused.invalid(&[(kind, email.clone(), "Input should be a valid string")]);
        }
        let none = answer(house.request("POST", path)).await;
        none.invalid(&[("missing", json!(["body"]), "Field required")]);
        let form = answer(house.request("POST", path).form(&[("email", "ada@example.com")])).await;
        let no_object = "Input should be a valid dictionary or object to extract fields from";
        form.invalid(&[("model_attributes_type", json!(["body"]), no_object)]);
    }
}

#[tokio::test]
async fn asking_often_fills_neither_the_outbox_nor_the_mailbox() {
    let house = House::new().await;
    sign_up(&house, "ada").await;
    for _ in 0..5 {
        ask(&house, RESET, "ada@example.com").await;
        ask(&house, RESET, "nobody@example.com").await;
    }
    assert_eq!(receivers(&house).await, ["ada@example.com"]);
}

#[tokio::test]
async fn many_who_ask_for_letters_to_one_address_fill_no_mailbox_and_are_not_told() {
    let house = House::with(|config| {
        config.contactbook.limits.letters = Limit::Rate { count: 3, per_seconds: 3_600 };
        config.server.trusted_proxies.0 = vec!["127.0.0.1".parse().unwrap()];
    })
    .await;
    sign_up(&house, "ada").await;
    sign_up(&house, "ben").await;
    house.forget_letters().await;
    for (path, sentence) in routes() {
        let mut sent = 0;
        for n in 0..6 {
            let request = house.request("POST", path).header("x-forwarded-for", format!("192.0.2.{n}"));
            let spelled = ["ada@example.com", "ADA@example.COM"][n % 2];
            answer(request.json(&json!({ "email": spelled }))).await.is(200, sentence.clone());
            sent += house.letters().await.len();
        }
        // The letter that asked to confirm the address at the sign-up was one of them.
        assert_eq!(sent, if path == REQUEST_EMAIL { 2 } else { 3 }, "{path}");
        // Neither another's letters nor those of another kind are kept back.
        ask(&house, path, "ben@example.com").await;
        assert_eq!(receivers(&house).await, ["ben@example.com"]);
    }
    house.wait(3_600);
    ask(&house, RESET, "ada@example.com").await;
    assert_eq!(receivers(&house).await, ["ada@example.com"]);
}
