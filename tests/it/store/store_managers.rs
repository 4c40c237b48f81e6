//! store, `/store-managers`: signing up.

use rusqlite::Connection;
use satchel::config::Environment;
use serde_json::{Value, json};

use super::{NOBODY, fault, send, send_text, sign_up, token, with, without};
use crate::house::{Guest, House, PASSWORD, registration};

const MANAGERS: &str = "/store-managers";
const HIDDEN: &str = "**********";

/// Every byte of the database: the file and its log.
fn bytes_of_the_database(house: &House) -> Vec<u8> {
    let mut bytes = std::fs::read(house.database()).unwrap();
    bytes.extend(std::fs::read(house.database().with_file_name("satchel.db-wal")).unwrap_or_default());
    bytes
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// The database file, as another program sees it.
#[expect(clippy::disallowed_methods, reason = "it stands for another program")]
fn look_into(house: &House) -> Connection {
    Connection::open(house.database()).unwrap()
}

#[tokio::test]
async fn create_store_manager_answers_the_whole_manager() {
    let house = House::new().await;
    for (path, name) in [("/store-managers", "ada"), ("/store-managers/", "ben")] {
        let made = house.post(path, sign_up(name)).await;
        let uuid = made.body["id"].as_str().unwrap().to_owned();
        assert_eq!(uuid.as_bytes()[14], b'7', "{uuid} is a UUID of version 7");
        let whole = format!(r#"{{"id":"{uuid}","name":"{name}","email":"{name}@example.com"}}"#);
        assert_eq!((made.status, &made.text), (201, &whole));
        assert_eq!(made.header("content-type"), "application/json");
        assert_eq!(made.header("cache-control"), "no-store");
    }
}

#[tokio::test]
async fn create_store_manager_ignores_what_nobody_may_give_himself() {
    let house = House::new().await;
    let wish = json!({
        "id": NOBODY, "uuid": NOBODY, "role": "admin", "is_active": false, "balance": 100, "epoch": 9,
        "username": "root", "email_confirmed_at": 1, "created_at": "2000-01-01T00:00:00",
    });
    let made = house.post(MANAGERS, with(sign_up("ada"), wish)).await;
    assert_ne!(made.body["id"], json!(NOBODY));
    made.is(201, json!({ "id": made.body["id"], "name": "ada", "email": "ada@example.com" }));
    let signed_in = token(&house, "ada@example.com", PASSWORD).await;
    let access = signed_in.body["access_token"].as_str().unwrap().to_owned();
    let ada = Guest { uuid: String::new(), email: String::new(), access, refresh: String::new() };
    let me = send(&house, &ada, "GET", "/api/v1.0/users/me", Value::Null).await;
    assert_eq!((&me.body["role"], &me.body["is_active"]), (&json!("user"), &json!(true)));
    assert_eq!(me.body["username"], json!("user_1"));
}

#[tokio::test]
async fn the_password_may_come_under_either_name_and_of_both_password_hash_counts() {
    let house = House::with(|config| config.auth.sign_in_delays = false).await;
    let either = without(with(sign_up("ben"), json!({ "password": PASSWORD })), "password_hash");
    let both = json!({ "password_hash": "the first of the two", "password": "the second of the two" });
    let other_is_bad = with(sign_up("cyd"), json!({ "password": "short" }));
    let other_is_null = with(sign_up("dot"), json!({ "password": null }));
    for given in [sign_up("ada"), either, with(sign_up("eve"), both), other_is_bad, other_is_null] {
        let made = house.post(MANAGERS, given).await;
        assert_eq!(made.status, 201, "{}", made.text);
    }
    for name in ["ada", "ben", "cyd", "dot"] {
        assert_eq!(token(&house, &format!("{name}@example.com"), PASSWORD).await.status, 200, "{name}");
    }
    assert_eq!(token(&house, "eve@example.com", "the first of the two").await.status, 200);
    token(&house, "eve@example.com", "the second of the two").await.refuses(401, "Invalid credentials");
    // Null under the name that counts is not made good by the other.
    let null = with(sign_up("fay"), json!({ "password_hash": null, "password": PASSWORD }));
    let expected =
        fault("string_type", "password_hash", "Input should be a valid string", Value::Null, Value::Null);
    house.post(MANAGERS, null).await.is(422, expected);
}

#[tokio::test]
async fn what_looks_like_a_hash_is_a_password_like_any_other() {
    let house = House::new().await;
    let hash = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$WQb4EQBxNQ4dXvUaZ4a9iFzVJzPpEaJbWjTQmSKtNqE";
    let made = house.post(MANAGERS, with(sign_up("ada"), json!({ "password_hash": hash }))).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(token(&house, "ada@example.com", hash).await.status, 200);
    assert!(!holds(&bytes_of_the_database(&house), "WQb4EQBxNQ4dXvUaZ4a9iFzVJzPpEaJbWjTQmSKtNqE"));
}

#[tokio::test]
async fn create_store_manager_misses_every_field_that_is_not_there() {
    let house = House::new().await;
    let missing = |name: &str, input: &Value| json!({ "type": "missing", "loc": ["body", name], "msg": "Field required", "input": input });
    let none = without(sign_up("ada"), "password_hash");
    house.post(MANAGERS, none.clone()).await.is(422, json!({ "detail": [missing("password_hash", &none)] }));
    for name in ["name", "email"] {
        let given = without(sign_up("ada"), name);
        let shown = with(given.clone(), json!({ "password_hash": HIDDEN }));
        house.post(MANAGERS, given).await.is(422, json!({ "detail": [missing(name, &shown)] }));
    }
    let all: Vec<Value> = ["name", "email", "password_hash"].map(|name| missing(name, &json!({}))).into();
    house.post(MANAGERS, json!({})).await.is(422, json!({ "detail": all }));
}

#[tokio::test]
async fn a_name_of_a_manager_has_1_to_64_characters_whatever_their_bytes() {
    let house = House::new().await;
    for (n, name) in ["x", " ", &"x".repeat(64), &"é".repeat(64), &"🦀".repeat(64)].into_iter().enumerate()
    {
        let made = house.post(MANAGERS, with(sign_up(&format!("user{n}")), json!({ "name": name }))).await;
        let email = format!("user{n}@example.com");
        made.is(201, json!({ "id": made.body["id"], "name": name, "email": email }));
    }
    // A name is nobody's own.
    let made = house.post(MANAGERS, with(sign_up("other"), json!({ "name": "x" }))).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let long = "String should have at most 64 characters";
    let nul = "Value error, Text must not contain NUL characters";
    for (name, kind, msg, ctx) in [
        (
            json!(""),
            "string_too_short",
            "String should have at least 1 character",
            json!({ "min_length": 1 }),
        ),
        (json!("x".repeat(65)), "string_too_long", long, json!({ "max_length": 64 })),
        (json!("é".repeat(65)), "string_too_long", long, json!({ "max_length": 64 })),
        (json!("a\0"), "value_error", nul, json!({ "error": {} })),
        (Value::Null, "string_type", "Input should be a valid string", Value::Null),
        (json!(7), "string_type", "Input should be a valid string", Value::Null),
    ] {
        let answer = house.post(MANAGERS, with(sign_up("ada"), json!({ "name": name }))).await;
        answer.is(422, fault(kind, "name", msg, name, ctx));
    }
}

#[tokio::test]
async fn a_password_that_is_no_good_is_refused_under_the_name_it_came_by_and_never_repeated() {
    let house = House::new().await;
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
            json!("nul\0 nul\0"),
            "value_error",
            "Value error, Text must not contain NUL characters",
            json!({ "error": {} }),
        ),
        (json!(12345678), "string_type", "Input should be a valid string", Value::Null),
        (json!(["s3cr3t! s3cr3t!"]), "string_type", "Input should be a valid string", Value::Null),
    ] {
        for name in ["password_hash", "password"] {
            let given = without(sign_up("ada"), "password_hash");
            let answer = house.post(MANAGERS, with(given, json!({ name: password }))).await;
            answer.is(422, fault(kind, name, msg, json!(HIDDEN), ctx.clone()));
        }
    }
}

#[tokio::test]
async fn a_password_that_is_ones_own_address_is_refused_under_the_name_it_came_by() {
    let house = House::new().await;
    let msg = "Value error, Password must not be your own e-mail address or username";
    for name in ["password_hash", "password"] {
        for password in ["ada@example.com", "ADA@Example.com"] {
            let given = without(sign_up("ada"), "password_hash");
            let answer = house.post(MANAGERS, with(given, json!({ name: password }))).await;
            answer.is(422, fault("value_error", name, msg, json!(HIDDEN), json!({ "error": {} })));
        }
    }
    let both = json!({ "password_hash": "ada@example.com", "password": PASSWORD });
    let answer = house.post(MANAGERS, with(sign_up("ada"), both)).await;
    answer.is(422, fault("value_error", "password_hash", msg, json!(HIDDEN), json!({ "error": {} })));
}

#[tokio::test]
async fn an_address_is_trimmed_its_domain_lowered_and_one_that_is_none_refused() {
    let house = House::with(|config| config.environment = Environment::Production).await;
    let given = with(sign_up("ada"), json!({ "email": "  Ada.L+x@EXAMPLE.Com " }));
    let made = house.post(MANAGERS, given).await;
    made.is(201, json!({ "id": made.body["id"], "name": "ada", "email": "Ada.L+x@example.com" }));
    let special =
        "The part after the @-sign is a special-use or reserved name that cannot be used with email.";
    for (email, reason) in [
        ("ada", "An email address must have an @-sign."),
        ("", "An email address must have an @-sign."),
        ("@example.com", "There must be something before the @-sign."),
        ("ada@lovelace.test", special),
        ("ada@box.local", special),
    ] {
        let answer = house.post(MANAGERS, with(sign_up("ada"), json!({ "email": email }))).await;
        let msg = format!("value is not a valid email address: {reason}");
        answer.is(422, fault("value_error", "email", &msg, json!(email), json!({ "reason": reason })));
    }
    for email in ["ada@localhost", "ada@[127.0.0.1]", "\"ada\"@example.com", "a b@example.com"] {
        let answer = house.post(MANAGERS, with(sign_up("ada"), json!({ "email": email }))).await;
        assert_eq!((answer.status, &answer.body["detail"][0]["loc"]), (422, &json!(["body", "email"])));
    }
    for email in [Value::Null, json!(7)] {
        let answer = house.post(MANAGERS, with(sign_up("ada"), json!({ "email": email }))).await;
        let msg = "Input should be a valid string";
        answer.is(422, fault("string_type", "email", msg, email, Value::Null));
    }
    let house = House::with(|config| config.environment = Environment::Development).await;
    let given = with(sign_up("ada"), json!({ "email": "ada@lovelace.test" }));
    assert_eq!(house.post(MANAGERS, given).await.status, 201);
}

#[tokio::test]
async fn an_address_that_is_registered_at_any_api_is_taken_in_any_case() {
    let house = House::new().await;
    assert_eq!(house.post(MANAGERS, sign_up("ada")).await.status, 201);
    house.register("ben").await;
    for email in ["ada@example.com", " ADA@Example.COM ", "ben@example.com", "Ben@example.com"] {
        let answer = house.post(MANAGERS, with(sign_up("other"), json!({ "email": email }))).await;
        answer.refuses(409, "Email already registered");
    }
    // A malformed field is told before the address is looked up.
    let answer = house.post(MANAGERS, with(sign_up("ada"), json!({ "name": "" }))).await;
    let sentence = "String should have at least 1 character";
    answer.invalid(&[("string_too_short", json!(["body", "name"]), sentence)]);
    let taken = with(registration("cyd"), json!({ "email": "ADA@example.com" }));
    house.post("/api/v1.0/auth/register", taken).await.refuses(400, "Email already registered");
}

#[tokio::test]
async fn of_twenty_who_sign_up_with_one_address_at_once_one_gets_it() {
    let house = House::new().await;
    let race = (0..20).map(|_| house.post(MANAGERS, sign_up("ada")));
    let answers = futures_util::future::join_all(race).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
    assert_eq!((won.len(), lost.len()), (1, 19));
    lost.iter().for_each(|answer| answer.refuses(409, "Email already registered"));
}

#[tokio::test]
async fn a_password_is_nowhere_in_the_database_and_in_no_answer() {
    let house = House::with(|config| config.auth.sign_in_delays = false).await;
    let (right, wrong, weak) = ("Open-Sesame-4711", "Guessed-Sesame-99", "S3same!");
    let given = |password: &str| with(sign_up("ada"), json!({ "password_hash": password }));
    let mut answers = vec![
        house.post(MANAGERS, given(weak)).await,
        house.post(MANAGERS, without(given(right), "name")).await,
        house.post(MANAGERS, with(given(right), json!({ "email": "x", "password": wrong }))).await,
        house.post(MANAGERS, given(right)).await,
        house.post(MANAGERS, given(right)).await,
        token(&house, "ada@example.com", wrong).await,
        token(&house, "nobody@example.com", right).await,
        house.post("/store-managers/token", json!({ "username": "ada", "password": right })).await,
    ];
    assert_eq!(
        answers.iter().map(|it| it.status).collect::<Vec<_>>(),
        [422, 422, 422, 201, 409, 401, 401, 422]
    );
    let signed_in = token(&house, "ada@example.com", right).await;
    let access = signed_in.body["access_token"].as_str().unwrap().to_owned();
    let ada =
        Guest { uuid: String::new(), email: String::new(), access: access.clone(), refresh: String::new() };
    let doubled = json!(given(right).to_string()).to_string();
    answers.push(send_text(&house, &ada, "POST", MANAGERS, doubled).await);
    answers.push(signed_in);
    for answer in &answers {
        for secret in [right, wrong, weak, "argon2"] {
            assert!(!answer.text.contains(secret), "{secret}: {}", answer.text);
        }
    }
    let bytes = bytes_of_the_database(&house);
    assert!(holds(&bytes, "ada@example.com"));
    for secret in [right, wrong, weak, &access] {
        assert!(!holds(&bytes, secret), "{secret}");
    }
    let hash: String =
        look_into(&house).query_row("select password_hash from users", [], |row| row.get(0)).unwrap();
    assert!(hash.starts_with("$argon2id$"), "{hash}");
}
