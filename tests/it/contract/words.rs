//! The words of 422 entries: bodies and the exact entries that they get.

use serde_json::{Value, json};

use crate::house::{House, PASSWORD, answer, book, registration};

fn entry(kind: &str, loc: Value, msg: &str, input: Value, ctx: Value) -> Value {
    let mut entry = json!({ "type": kind, "loc": loc, "msg": msg, "input": input });
    if !ctx.is_null() {
        entry["ctx"] = ctx;
    }
    entry
}

#[tokio::test]
async fn each_fault_of_a_book_has_its_words() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let text = "Input should be a valid string";
    let whole = "Input should be a valid integer";
    let unreadable = "Input should be a valid integer, unable to parse string as an integer";
    let fraction = "Input should be a valid integer, got a number with a fractional part";
    let small = "Input should be greater than or equal to 1";
    let large = "Input should be less than or equal to 100000";
    let date = |error: &str| format!("Input should be a valid date or datetime, {error}");
    let because = |error: &str| json!({ "error": error });
    let no = Value::Null;
    let short = "input is too short";
    let (month, day) =
        ("month value is outside expected range of 1-12", "day value is outside expected range");
    let table: Vec<(&str, Value, &str, String, Value)> = vec![
        (
            "title",
            json!(""),
            "string_too_short",
            "String should have at least 1 character".into(),
            json!({ "min_length": 1 }),
        ),
        ("title", json!(12), "string_type", text.into(), no.clone()),
        ("title", json!(1.5), "string_type", text.into(), no.clone()),
        ("title", json!(true), "string_type", text.into(), no.clone()),
        ("title", json!(["Dune"]), "string_type", text.into(), no.clone()),
        ("title", json!({ "en": "Dune" }), "string_type", text.into(), no.clone()),
        ("title", no.clone(), "string_type", text.into(), no.clone()),
        (
            "title",
            json!("a\0b"),
            "value_error",
            "Value error, Text must not contain NUL characters".into(),
            json!({ "error": {} }),
        ),
        ("pages", json!("many"), "int_parsing", unreadable.into(), no.clone()),
        ("pages", json!("12.5"), "int_parsing", unreadable.into(), no.clone()),
        ("pages", json!(""), "int_parsing", unreadable.into(), no.clone()),
        ("pages", json!("1\0"), "int_parsing", unreadable.into(), no.clone()),
        ("pages", json!("NaN"), "int_parsing", unreadable.into(), no.clone()),
        ("pages", json!("Infinity"), "int_parsing", unreadable.into(), no.clone()),
        ("pages", json!(12.5), "int_from_float", fraction.into(), no.clone()),
        ("pages", json!(-0.5), "int_from_float", fraction.into(), no.clone()),
        ("pages", no.clone(), "int_type", whole.into(), no.clone()),
        ("pages", json!([1]), "int_type", whole.into(), no.clone()),
        ("pages", json!({}), "int_type", whole.into(), no.clone()),
        ("pages", json!(0), "greater_than_equal", small.into(), json!({ "ge": 1 })),
        ("pages", json!("-5"), "greater_than_equal", small.into(), json!({ "ge": 1 })),
        ("pages", json!(false), "greater_than_equal", small.into(), json!({ "ge": 1 })),
        ("pages", json!(i64::MIN), "greater_than_equal", small.into(), json!({ "ge": 1 })),
        ("pages", json!(-1e300), "greater_than_equal", small.into(), json!({ "ge": 1 })),
        ("pages", json!(100_001), "less_than_equal", large.into(), json!({ "le": 100_000 })),
        ("pages", json!(i64::MAX), "less_than_equal", large.into(), json!({ "le": 100_000 })),
        ("pages", json!(u64::MAX), "less_than_equal", large.into(), json!({ "le": 100_000 })),
        ("pages", json!(1e300), "less_than_equal", large.into(), json!({ "le": 100_000 })),
        ("pages", json!("9".repeat(60)), "less_than_equal", large.into(), json!({ "le": 100_000 })),
        ("publish_date", json!("tomorrow"), "date_from_datetime_parsing", date(short), because(short)),
        ("publish_date", json!(""), "date_from_datetime_parsing", date(short), because(short)),
        ("publish_date", json!("2024-13-01"), "date_from_datetime_parsing", date(month), because(month)),
        ("publish_date", json!("2024-02-30"), "date_from_datetime_parsing", date(day), because(day)),
        ("publish_date", json!("2023-02-29"), "date_from_datetime_parsing", date(day), because(day)),
        (
            "publish_date",
            json!("2024-01-15T10:30:00"),
            "date_from_datetime_inexact",
            "Datetimes provided to dates should have zero time - e.g. be exact dates".into(),
            no.clone(),
        ),
        ("publish_date", no.clone(), "date_type", "Input should be a valid date".into(), no.clone()),
        ("publish_date", json!([2024]), "date_type", "Input should be a valid date".into(), no.clone()),
    ];
    for (field, value, kind, msg, ctx) in table {
        let mut given = book("Dune");
        given[field] = value.clone();
        let expected = json!({ "detail": [entry(kind, json!(["body", field]), &msg, value.clone(), ctx)] });
        answer(house.by(&ada, "POST", "/api/v1.0/books/").json(&given)).await.is(422, expected.clone());
        let path = "/api/v1.0/books/019a9d5e-6c1f-7c3b-8a54-3f0c1f4e2d10";
        let patch = json!({ field: value });
        answer(house.by(&ada, "PATCH", path).json(&patch)).await.is(422, expected);
    }
}

#[tokio::test]
async fn each_fault_of_a_registration_has_its_words() {
    let house = House::new().await;
    let reserved =
        "The part after the @-sign is a special-use or reserved name that cannot be used with email.";
    let too_long = format!("{}@example.com", "a".repeat(250));
    let emails = [
        ("ada", "An email address must have an @-sign."),
        ("", "An email address must have an @-sign."),
        ("@example.com", "There must be something before the @-sign."),
        ("ada@", "There must be something after the @-sign."),
        ("ada@localhost", "The part after the @-sign is not valid. It should have a period."),
        ("ada@x.local", reserved),
        ("ada@x.invalid", reserved),
        ("ada@x.localhost", reserved),
        ("\"a b\"@example.com", "The part before the @-sign must not be quoted."),
        ("ada@[127.0.0.1]", "A bracketed IP address after the @-sign is not allowed here."),
        (
            "ada@127.0.0.1",
            "The part after the @-sign is not valid. It is not within a valid top-level domain.",
        ),
        ("a d a@example.com", "The email address contains invalid characters before the @-sign."),
        ("ada@exa mple.com", "The part after the @-sign contains invalid characters or empty parts."),
        (&too_long, "The email address is too long."),
    ];
    let mut table: Vec<(&str, Value, &str, String, Value)> = emails
        .into_iter()
        .map(|(email, reason)| {
            let msg = format!("value is not a valid email address: {reason}");
            ("email", json!(email), "value_error", msg, json!({ "reason": reason }))
        })
        .collect();
    let nul = "Value error, Text must not contain NUL characters";
    let at = "Value error, Username must not contain '@'";
    table.extend([
        ("email", json!(7), "string_type", "Input should be a valid string".into(), Value::Null),
        ("email", json!("a\0@example.com"), "value_error", nul.into(), json!({ "error": {} })),
        (
            "username",
            json!("ad"),
            "string_too_short",
            "String should have at least 3 characters".into(),
            json!({ "min_length": 3 }),
        ),
        (
            "username",
            json!("éé"),
            "string_too_short",
            "String should have at least 3 characters".into(),
            json!({ "min_length": 3 }),
        ),
        (
            "username",
            json!("a".repeat(51)),
            "string_too_long",
            "String should have at most 50 characters".into(),
            json!({ "max_length": 50 }),
        ),
        ("username", json!("ada@home"), "value_error", at.into(), json!({ "error": {} })),
        ("username", json!(123), "string_type", "Input should be a valid string".into(), Value::Null),
        (
            "first_name",
            json!(""),
            "string_too_short",
            "String should have at least 1 character".into(),
            json!({ "min_length": 1 }),
        ),
        (
            "last_name",
            json!("a".repeat(101)),
            "string_too_long",
            "String should have at most 100 characters".into(),
            json!({ "max_length": 100 }),
        ),
        ("last_name", json!("\0"), "value_error", nul.into(), json!({ "error": {} })),
    ]);
    for (field, value, kind, msg, ctx) in table {
        let mut given = registration("ada");
        given[field] = value.clone();
        let expected =
            json!({ "detail": [entry(kind, json!(["body", field]), &msg, shortened(value), ctx)] });
        house.post("/api/v1.0/auth/register", given).await.is(422, expected);
    }
}

/// Long text is echoed in part.
fn shortened(value: Value) -> Value {
    match value.as_str() {
        Some(text) if text.len() > 256 => json!(format!("{}…", &text[..256])),
        _ => value,
    }
}

#[tokio::test]
async fn a_malformed_uuid_is_told_with_its_place() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    for (uuid, error) in [
        ("1", "invalid length"),
        ("nonsense", "invalid character"),
        ("019a9d5e-6c1f-7c3b-8a54-3f0c1f4e2d1", "invalid group length in group 4"),
        ("1%00", "invalid character"),
    ] {
        for (path, name) in [("books", "book_uuid"), ("users", "user_uuid")] {
            let found = answer(house.by(&ada, "GET", &format!("/api/v1.0/{path}/{uuid}"))).await;
            // The reason is in the words of the library that reads it: they change with its version.
            let said = found.body["detail"][0]["ctx"]["error"].as_str().unwrap_or_default().to_owned();
            assert!(said.starts_with(error), "{uuid}: {said}");
            let msg = format!("Input should be a valid UUID, {said}");
            let loc = json!(["path", name]);
            let expected =
                entry("uuid_parsing", loc, &msg, json!(uuid.replace("%00", "\0")), json!({ "error": said }));
            found.is(422, json!({ "detail": [expected] }));
        }
    }
}

#[tokio::test]
async fn a_missing_field_shows_the_whole_object_but_no_secret_in_it() {
    let house = House::new().await;
    let secrets = json!({
        "username": "ada", "password": PASSWORD, "Password2": "a", "new_password": null, "refresh_token": "b",
        "client_secret": "c", "deep": { "passwd": ["d"], "list": [{ "accessToken": "e", "n": 1 }] }, "pwd": "f",
        "passphrase": "g",
    });
    let shown = json!({
        "username": "ada", "password": "**********", "Password2": "**********", "new_password": null,
        "refresh_token": "**********", "client_secret": "**********",
        "deep": { "passwd": "**********", "list": [{ "accessToken": "**********", "n": 1 }] },
        "pwd": "**********", "passphrase": "**********",
    });
    let missing =
        |name: &str| entry("missing", json!(["body", name]), "Field required", shown.clone(), Value::Null);
    house
        .post("/api/v1.0/auth/register", secrets)
        .await
        .is(422, json!({ "detail": [missing("email"), missing("first_name"), missing("last_name")] }));
}

#[tokio::test]
async fn no_fault_of_a_secret_field_repeats_it() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let secret = "hunter2-hunter2";
    let odd =
        [json!([secret]), json!({ "value": secret }), json!({ secret: 1 }), json!(format!("{secret}\0"))];
    for value in odd {
        for (path, body) in [
            ("auth/register", json!({ "password": value })),
            ("auth/refresh", json!({ "refresh_token": value })),
            ("users/change-password", json!({ "current_password": value, "new_password": value })),
            ("users/change-password", json!({ "current_password": value })),
            ("users/change-password", json!({ "new_password": value })),
        ] {
            let found = answer(house.by(&ada, "POST", &format!("/api/v1.0/{path}")).json(&body)).await;
            assert!(matches!(found.status, 401 | 422), "{path}: {}", found.text);
            assert!(!found.text.contains("hunter2"), "{path} {body}: {}", found.text);
        }
    }
    // An object that was made JSON twice is a text with a password in it.
    let twice = json!(json!({ "email": "ada@example.com", "password": secret }).to_string());
    for body in [twice.clone(), json!([twice])] {
        for path in ["auth/register", "users/change-password"] {
            let found = answer(house.by(&ada, "POST", &format!("/api/v1.0/{path}")).json(&body)).await;
            assert_eq!(found.status, 422);
            assert!(!found.text.contains("hunter2"), "{path}: {}", found.text);
        }
    }
    for broken in [format!("{{\"password\": \"{secret}"), format!("password={secret}"), secret.to_owned()] {
        let request = house.request("POST", "/api/v1.0/auth/register");
        let found = answer(request.header("content-type", "application/json").body(broken)).await;
        assert!(found.status == 422 && !found.text.contains("hunter2"), "{}", found.text);
    }
    let form = answer(house.request("POST", "/api/v1.0/auth/register").form(&[("password", secret)])).await;
    assert!(form.status == 422 && !form.text.contains("hunter2"), "{}", form.text);
}

#[tokio::test]
async fn every_fault_of_path_query_and_body_is_in_one_answer() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let given = json!({ "title": "", "pages": "x", "publish_date": "x", "language": null });
    let found = answer(house.by(&ada, "PATCH", "/api/v1.0/books/x").json(&given)).await;
    let locs: Vec<&Value> = found.body["detail"].as_array().unwrap().iter().map(|it| &it["loc"]).collect();
    assert_eq!(
        locs,
        [
            &json!(["path", "book_uuid"]),
            &json!(["body", "title"]),
            &json!(["body", "publish_date"]),
            &json!(["body", "pages"]),
            &json!(["body", "language"]),
        ]
    );
    let request = house.by(&ada, "PATCH", "/api/v1.0/books/x").header("content-type", "application/json");
    let found = answer(request.body("{")).await;
    let kinds: Vec<&Value> = found.body["detail"].as_array().unwrap().iter().map(|it| &it["type"]).collect();
    assert_eq!(kinds, [&json!("uuid_parsing"), &json!("json_invalid")]);
    let empty = answer(house.by(&ada, "POST", "/api/v1.0/books").json(&json!({}))).await;
    let expected: Vec<Value> = ["title", "author", "publisher", "publish_date", "pages", "language"]
        .map(|name| entry("missing", json!(["body", name]), "Field required", json!({}), Value::Null))
        .into();
    empty.is(422, json!({ "detail": expected }));
}

#[tokio::test]
async fn the_echo_of_a_huge_object_is_bounded() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let wide: Vec<Value> = (0..20).map(|_| json!(vec!["x".repeat(250); 30])).collect();
    for body in [
        json!({ "a": "x".repeat(500_000) }),
        json!({ "a": wide.clone() }),
        json!({ "a": wide.clone(), "b": wide.clone(), "c": wide }),
        json!({ "a".repeat(500_000): 1 }),
        json!({ "title": vec![json!([[[[1]]]]); 40_000] }),
    ] {
        let found = answer(house.by(&ada, "POST", "/api/v1.0/books").json(&body)).await;
        assert_eq!(found.status, 422);
        assert!(found.text.len() < 64 * 1024, "{} bytes came back", found.text.len());
    }
}
