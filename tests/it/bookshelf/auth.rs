//! bookshelf, `/auth`: registering and signing in.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::multipart;
use satchel::config::Environment;
use satchel::domain::users::Role;
use serde_json::{Value, json};

use super::{send, shown, with};
use crate::house::{BEGINNING, House, PASSWORD, answer, registration};

const REGISTER: &str = "/api/v1.0/auth/register";
const LOGIN: &str = "/api/v1.0/auth/login";

#[tokio::test]
async fn register_user_answers_the_whole_user() {
    let house = House::new().await;
    let created = house.post(REGISTER, registration("ada")).await;
    let uuid = created.body["uuid"].as_str().unwrap().to_owned();
    assert_eq!(uuid.as_bytes()[14], b'7', "{uuid} is a UUID of version 7");
    created.is(201, shown("ada", &uuid, "user"));
    assert_eq!(created.header("content-type"), "application/json");
    assert_eq!(created.header("cache-control"), "no-store");
}

#[tokio::test]
async fn register_user_ignores_what_nobody_may_give_himself() {
    let house = House::new().await;
    let wish = json!({
        "role": "admin", "is_active": false, "id": 7, "uuid": "019a9d5e-6c1f-7c3b-8a54-3f0c1f4e2d10",
        "created_at": "2000-01-01T00:00:00", "email_confirmed_at": 1, "balance": 100, "epoch": 9,
    });
    let created = house.post(REGISTER, with(registration("ada"), wish)).await;
    let uuid = created.body["uuid"].as_str().unwrap().to_owned();
    assert_ne!(uuid, "019a9d5e-6c1f-7c3b-8a54-3f0c1f4e2d10");
    created.is(201, shown("ada", &uuid, "user"));
}

#[tokio::test]
async fn register_user_trims_the_address_and_lowers_its_domain_alone() {
    let house = House::new().await;
    let given = with(registration("ada"), json!({ "email": "  Ada.L+x@EXAMPLE.Com " }));
    let created = house.post(REGISTER, given).await;
    assert_eq!((created.status, &created.body["email"]), (201, &json!("Ada.L+x@example.com")));
}

#[tokio::test]
async fn register_user_refuses_what_is_taken_and_looks_at_the_address_first() {
    let house = House::new().await;
    let first = with(registration("eva"), json!({ "username": "ÉVA" }));
    assert_eq!(house.post(REGISTER, first).await.status, 201);
    for (username, email, sentence) in [
        ("ÉVA", "eva@example.com", "Email already registered"),
        ("other", "eva@example.com", "Email already registered"),
        ("other", " EVA@Example.COM ", "Email already registered"),
        ("ÉVA", "other@example.com", "Username already taken"),
        ("éva", "other@example.com", "Username already taken"),
        ("Éva", "other@example.com", "Username already taken"),
    ] {
        let given = with(registration("any"), json!({ "username": username, "email": email }));
        house.post(REGISTER, given).await.refuses(400, sentence);
    }
    let without_accent = with(registration("other"), json!({ "username": "eva" }));
    assert_eq!(house.post(REGISTER, without_accent).await.status, 201);
}

#[tokio::test]
async fn of_twenty_who_register_one_address_at_once_one_gets_it() {
    let house = House::new().await;
    let names: Vec<String> = (0..20).map(|n| format!("ada{n}")).collect();
    let race = names.iter().map(|name| {
        let email = if name.ends_with('1') { "Ada@Example.com" } else { "ada@example.com" };
        house.post(REGISTER, with(registration(name), json!({ "email": email })))
    });
    let answers = futures_util::future::join_all(race).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
    assert_eq!((won.len(), lost.len()), (1, 19));
    lost.iter().for_each(|answer| answer.refuses(400, "Email already registered"));
}

#[tokio::test]
async fn of_twenty_who_register_one_username_at_once_one_gets_it() {
    let house = House::new().await;
    let names: Vec<String> = (0..20).map(|n| format!("ada{n}")).collect();
    let race = names
        .iter()
        .map(|name| house.post(REGISTER, with(registration(name), json!({ "username": "Augusta" }))));
    let answers = futures_util::future::join_all(race).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
    assert_eq!((won.len(), lost.len()), (1, 19));
    lost.iter().for_each(|answer| answer.refuses(400, "Username already taken"));
}

#[tokio::test]
async fn register_user_refuses_a_password_that_is_no_good_and_never_repeats_it() {
    let house = House::new().await;
    let (short, long) = ("s3cr3t!", "x".repeat(257));
    let own = "Value error, Password must not be your own e-mail address or username";
    for (password, kind, msg, ctx) in [
        (
            json!(short),
            "string_too_short",
            "String should have at least 8 characters",
            json!({ "min_length": 8 }),
        ),
        (
            json!(long),
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
        (json!("Augusta-Ada"), "value_error", own, json!({ "error": {} })),
        (json!("ADA@example.com"), "value_error", own, json!({ "error": {} })),
        (json!(12345678), "string_type", "Input should be a valid string", Value::Null),
        (json!(["s3cr3t! s3cr3t!"]), "string_type", "Input should be a valid string", Value::Null),
    ] {
        let given = with(registration("ada"), json!({ "username": "augusta-ada", "password": password }));
        let answer = house.post(REGISTER, given).await;
        let mut entry =
            json!({ "type": kind, "loc": ["body", "password"], "msg": msg, "input": "**********" });
        if !ctx.is_null() {
            entry["ctx"] = ctx;
        }
        answer.is(422, json!({ "detail": [entry] }));
    }
    for password in ["x y z 1 2", &("éàüßç".repeat(51) + "!"), "  blanks count  ", "🦀x🦀y🦀z🦀!"]
    {
        let name = format!("user{}", password.len());
        let given = with(registration(&name), json!({ "password": password }));
        assert_eq!(house.post(REGISTER, given).await.status, 201, "{password}");
        assert_eq!(house.log_in(&format!("{name}@example.com"), password).await.status, 200, "{password}");
    }
}

#[tokio::test]
async fn a_password_is_taken_as_it_is_blanks_and_case_included() {
    let house = House::with(|config| config.auth.sign_in_delays = false).await;
    let given = with(registration("ada"), json!({ "password": "  Blanks Count  " }));
    assert_eq!(house.post(REGISTER, given).await.status, 201);
    for other in ["Blanks Count", "  Blanks Count", "  blanks count  ", "  Blanks Count   "] {
        let answer = house.log_in("ada@example.com", other).await;
        answer.refuses(401, "Invalid email or password");
    }
    assert_eq!(house.log_in("ada@example.com", "  Blanks Count  ").await.status, 200);
}

#[tokio::test]
async fn register_user_counts_characters_and_not_bytes() {
    let house = House::new().await;
    for (name, longest) in [("username", 50), ("first_name", 100), ("last_name", 100)] {
        let at_most = json!({ name: "é".repeat(longest) });
        let answer = house.post(REGISTER, with(registration(&format!("ok-{name}")), at_most)).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        let over = json!({ name: "é".repeat(longest + 1) });
        let answer = house.post(REGISTER, with(registration("over"), over)).await;
        let sentence = format!("String should have at most {longest} characters");
        answer.invalid(&[("string_too_long", json!(["body", name]), &sentence)]);
    }
}

#[tokio::test]
async fn register_user_takes_dot_test_in_development_alone() {
    let given = with(registration("ada"), json!({ "email": "ada@lovelace.test" }));
    let house = House::with(|config| config.environment = Environment::Development).await;
    assert_eq!(house.post(REGISTER, given.clone()).await.status, 201);
    let house = House::with(|config| config.environment = Environment::Production).await;
    let reason =
        "The part after the @-sign is a special-use or reserved name that cannot be used with email.";
    house.post(REGISTER, given).await.is(
        422,
        json!({ "detail": [{
            "type": "value_error", "loc": ["body", "email"], "input": "ada@lovelace.test",
            "msg": format!("value is not a valid email address: {reason}"), "ctx": { "reason": reason },
        }] }),
    );
}

/// The claims of a token, unverified.
fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[tokio::test]
async fn log_in_answers_a_pair_of_tokens_for_30_minutes_and_7_days() {
    let house = House::new().await;
    let uuid = house.register("ada").await;
    let answer = house.log_in("ada@example.com", PASSWORD).await;
    let (access, refresh) = (&answer.body["access_token"], &answer.body["refresh_token"]);
    answer.is(200, json!({ "access_token": access, "refresh_token": refresh, "token_type": "bearer" }));
    assert_eq!(answer.header("cache-control"), "no-store");
    let now = BEGINNING.seconds();
    for (token, typ, seconds) in [(access, "access", 1800), (refresh, "refresh", 604_800)] {
        let claims = claims(token.as_str().unwrap());
        assert_eq!(
            claims,
            json!({
                "iss": "satchel", "aud": "satchel", "sub": uuid, "sid": claims["sid"], "jti": claims["jti"],
                "typ": typ, "epoch": 0, "iat": now, "nbf": now - 60, "exp": now + seconds,
            })
        );
    }
    assert_eq!(claims(access.as_str().unwrap())["sid"], claims(refresh.as_str().unwrap())["sid"]);
}

#[tokio::test]
async fn log_in_knows_the_address_in_any_case_and_between_blanks() {
    let house = House::new().await;
    house.register("ada").await;
    for email in ["ada@example.com", "ADA@EXAMPLE.COM", "  Ada@example.com\t", "aDa@eXample.com "] {
        assert_eq!(house.log_in(email, PASSWORD).await.status, 200, "{email:?}");
    }
}

#[tokio::test]
async fn log_in_takes_a_multipart_form_and_the_fields_of_oauth2() {
    let house = House::new().await;
    house.register("ada").await;
    let form = multipart::Form::new().text("username", "ada@example.com").text("password", PASSWORD);
    assert_eq!(answer(house.request("POST", LOGIN).multipart(form)).await.status, 200);
    let form = [
        ("grant_type", "password"),
        ("username", "ada@example.com"),
        ("password", PASSWORD),
        ("scope", ""),
        ("client_id", ""),
        ("client_secret", ""),
    ];
    assert_eq!(answer(house.request("POST", LOGIN).form(&form)).await.status, 200);
}

#[tokio::test]
async fn log_in_knows_a_form_by_its_media_type_in_any_case() {
    let house = House::new().await;
    house.register("ada").await;
    let urlencoded = "username=ada%40example.com&password=correct+horse%20battery+staple";
    let part = |name: &str, value: &str| {
        format!("--Edge\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let multipart =
        format!("{}{}--Edge--\r\n", part("username", "ada@example.com"), part("password", PASSWORD));
    for (kind, body) in [
        ("application/x-www-form-urlencoded", urlencoded),
        ("application/x-www-form-urlencoded; charset=UTF-8", urlencoded),
        ("Application/X-WWW-Form-URLencoded", urlencoded),
        ("multipart/form-data; boundary=Edge", &multipart),
        ("Multipart/Form-Data; boundary=\"Edge\"", &multipart),
    ] {
        let request = house.request("POST", LOGIN).header("content-type", kind).body(body.to_owned());
        let answer = answer(request).await;
        assert_eq!(answer.status, 200, "{kind}: {}", answer.text);
    }
}

#[tokio::test]
async fn log_in_tells_an_unknown_user_from_a_wrong_password_by_nothing() {
    let house = House::with(|config| config.auth.sign_in_delays = false).await;
    let admin = house.guest_as("grace", Role::Admin).await;
    let uuid = house.register("ada").await;
    house.register("ben").await;
    let off =
        send(&house, &admin, "PATCH", &format!("/users/admin/{uuid}/activate?is_active=0"), Value::Null)
            .await;
    assert_eq!(off.status, 200);
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
        let answer = house.log_in(email, password).await;
        answer.refuses(401, "Invalid email or password");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
    }
}

#[tokio::test]
async fn log_in_tells_the_state_only_after_the_right_password() {
    let house = House::with(|config| config.auth.require_confirmed_email = true).await;
    let uuid = house.register("ada").await;
    house.log_in("ada@example.com", "wrong horse").await.refuses(401, "Invalid email or password");
    let unconfirmed = "Please verify your email address before logging in";
    house.log_in("ada@example.com", PASSWORD).await.refuses(403, unconfirmed);
    // It was said to her before.
    assert_eq!(house.letter().await.to, "ada@example.com");
    super::look_into(&house.database())
        .execute("update users set is_active = 0 where uuid = ?1", [uuid::Uuid::parse_str(&uuid).unwrap()])
        .unwrap();
    house.log_in("ada@example.com", PASSWORD).await.refuses(400, "User account is inactive");
}

#[tokio::test]
async fn log_in_wants_a_form_and_says_null_of_what_is_not_in_it() {
    let house = House::new().await;
    let missing = |name: &str| json!({ "type": "missing", "loc": ["body", name], "msg": "Field required", "input": null });
    let both = json!({ "detail": [missing("username"), missing("password")] });
    house
        .post(LOGIN, json!({ "username": "ada@example.com", "password": PASSWORD }))
        .await
        .is(422, both.clone());
    answer(house.request("POST", LOGIN)).await.is(422, both.clone());
    answer(house.request("POST", LOGIN).form(&[("username", ""), ("password", "")])).await.is(422, both);
    answer(house.request("POST", LOGIN).form(&[("username", "ada@example.com")]))
        .await
        .is(422, json!({ "detail": [missing("password")] }));
    answer(house.request("POST", LOGIN).form(&[("password", PASSWORD)]))
        .await
        .is(422, json!({ "detail": [missing("username")] }));
}

#[tokio::test]
async fn a_sixth_failure_must_wait_and_is_told_how_long() {
    let house = House::new().await;
    house.register("ada").await;
    for _ in 0..5 {
        house.log_in("ada@example.com", "wrong horse").await.refuses(401, "Invalid email or password");
    }
    let answer = house.log_in("ada@example.com", PASSWORD).await;
    answer.refuses(429, "Too many failed sign-ins. Please try again later.");
    assert_eq!(answer.header("retry-after"), "1");
    for header in ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"] {
        assert!(answer.header(header).parse::<u64>().is_ok(), "{header}");
    }
    house.wait(1);
    assert_eq!(house.log_in("ada@example.com", PASSWORD).await.status, 200);
}
