//! contactbook: the fields of a contact and of its list, their bounds, and the words of what is refused.

use reqwest::multipart;
use serde_json::{Value, json};

use super::contacts::{add, all};
use super::member;
use crate::house::{Answer, House, answer, contact, send, with};

/// One fault: the field, what was sent, type, sentence, and context if there is one.
type Fault = (&'static str, Value, &'static str, String, Value);

fn faults() -> Vec<Fault> {
    let no = Value::Null;
    let string = |field, sent| -> Fault {
        (field, sent, "string_type", "Input should be a valid string".into(), Value::Null)
    };
    let long = |field, sent, max: usize| -> Fault {
        let msg = format!("String should have at most {max} characters");
        (field, sent, "string_too_long", msg, json!({ "max_length": max }))
    };
    let nul = |field| -> Fault {
        let msg = "Value error, Text must not contain NUL characters";
        (field, json!("a\0b"), "value_error", msg.into(), json!({ "error": {} }))
    };
    let number = |kind, sent, rest: &str| -> Fault {
        ("phone_number", sent, kind, format!("Input should be a valid integer{rest}"), Value::Null)
    };
    let unreadable = |sent| number("int_parsing", sent, ", unable to parse string as an integer");
    let fraction = |sent| number("int_from_float", sent, ", got a number with a fractional part");
    let beyond = |sent| -> Fault {
        let msg = format!("Input should be less than or equal to {}", i64::MAX);
        ("phone_number", sent, "less_than_equal", msg, json!({ "le": i64::MAX }))
    };
    let below = |sent| -> Fault {
        let msg = format!("Input should be greater than or equal to {}", i64::MIN);
        ("phone_number", sent, "greater_than_equal", msg, json!({ "ge": i64::MIN }))
    };
    let date = |sent: &str, error: &str| -> Fault {
        let msg = format!("Input should be a valid date or datetime, {error}");
        ("birthday", json!(sent), "date_from_datetime_parsing", msg, json!({ "error": error }))
    };
    let no_date = |sent| -> Fault {
        ("birthday", sent, "date_type", "Input should be a valid date".into(), Value::Null)
    };
    let short = "String should have at least 1 character";
    vec![
        ("fullname", json!(""), "string_too_short", short.into(), json!({ "min_length": 1 })),
        string("fullname", no.clone()),
        string("fullname", json!(12)),
        string("fullname", json!(["Grace"])),
        string("fullname", json!({ "first": "Grace" })),
        nul("fullname"),
        long("fullname", json!("é".repeat(151)), 150),
        string("email", no.clone()),
        string("email", json!(true)),
        nul("email"),
        long("email", json!("𝄞".repeat(201)), 200),
        string("additional", json!(1.5)),
        nul("additional"),
        long("additional", json!("x".repeat(501)), 500),
        string("avatar", json!({})),
        nul("avatar"),
        long("avatar", json!("x".repeat(2049)), 2048),
        number("int_type", no.clone(), ""),
        number("int_type", json!([]), ""),
        number("int_type", json!({}), ""),
        unreadable(json!("")),
        unreadable(json!("many")),
        unreadable(json!("+44 20 7123 4567")),
        unreadable(json!("1\0")),
        unreadable(json!("1e3")),
        fraction(json!(12.5)),
        beyond(json!(9_223_372_036_854_775_808_u64)),
        beyond(json!("9223372036854775808")),
        beyond(json!(1e30)),
        below(json!("-9223372036854775809")),
        below(json!(-1e30)),
        date("", "input is too short"),
        date("yesterday", "input is too short"),
        date("1906-13-09", "month value is outside expected range of 1-12"),
        date("1907-02-29", "day value is outside expected range"),
        date("0000-12-09", "year 0 is out of range"),
        no_date(no),
        no_date(json!(["1906-12-09"])),
        (
            "birthday",
            json!("1906-12-09T00:00:01"),
            "date_from_datetime_inexact",
            "Datetimes provided to dates should have zero time - e.g. be exact dates".into(),
            Value::Null,
        ),
    ]
}

/// What is shown of a value: long texts are cut.
fn shown(sent: &Value) -> Value {
    match sent.as_str() {
        Some(text) if text.chars().count() > 256 => {
            json!(format!("{}…", text.chars().take(256).collect::<String>()))
        }
        _ => sent.clone(),
    }
}

#[tokio::test]
async fn each_fault_of_a_contact_has_its_words_and_nothing_is_kept() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let kept = add(&house, &ada, contact("Alan Turing")).await;
    for (field, sent, kind, msg, ctx) in faults() {
        let mut entry = json!({ "type": kind, "loc": ["body", field], "msg": msg, "input": shown(&sent) });
        if !ctx.is_null() {
            entry["ctx"] = ctx;
        }
        let body = with(contact("Grace Hopper"), json!({ field: sent }));
        for (method, path) in [("POST", "/api/contacts/"), ("PUT", "/api/contacts/1")] {
            send(&house, &ada, method, path, body.clone()).await.is(422, json!({ "detail": [entry] }));
        }
    }
    assert_eq!(all(&house, &ada).await, json!([kept]));
}

#[tokio::test]
async fn every_fault_of_a_contact_is_told_at_once_in_the_order_of_its_fields() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let missing = |field: &str| json!({ "type": "missing", "loc": ["body", field], "msg": "Field required", "input": { "additional": "x" } });
    let required = ["fullname", "email", "phone_number", "birthday"].map(missing);
    let body = json!({ "additional": "x" });
    send(&house, &ada, "POST", "/api/contacts/", body.clone()).await.is(422, json!({ "detail": required }));
    let id = json!({
        "type": "int_parsing", "loc": ["path", "contact_id"], "input": "grace",
        "msg": "Input should be a valid integer, unable to parse string as an integer",
    });
    let both: Vec<Value> = [id].into_iter().chain(required).collect();
    send(&house, &ada, "PUT", "/api/contacts/grace", body).await.is(422, json!({ "detail": both }));
    for body in ["", "null"] {
        let request = house.by(&ada, "POST", "/api/contacts/").header("content-type", "application/json");
        answer(request.body(body)).await.invalid(&[("missing", json!(["body"]), "Field required")]);
    }
    let text = house.by(&ada, "POST", "/api/contacts/").body("[]");
    answer(text).await.invalid(&[(
        "model_attributes_type",
        json!(["body"]),
        "Input should be a valid dictionary or object to extract fields from",
    )]);
}

#[tokio::test]
async fn texts_are_measured_in_characters_up_to_their_bounds() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    for (n, letter) in ["x", "é", "茶", "𝄞"].into_iter().enumerate() {
        let body = with(
            contact(&letter.repeat(150)),
            json!({
                "email": letter.repeat(200), "additional": letter.repeat(500), "avatar": letter.repeat(2048),
            }),
        );
        let expected = with(body.clone(), json!({ "id": n + 1, "user_id": 1 }));
        send(&house, &ada, "POST", "/api/contacts/", body.clone()).await.is(201, expected.clone());
        let path = format!("/api/contacts/{}", n + 1);
        send(&house, &ada, "PUT", &path, body).await.is(200, expected);
    }
}

#[tokio::test]
async fn texts_are_kept_as_they_were_sent_but_names_in_one_normal_form() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    for (n, text) in [
        " ",
        "\t\r\n",
        "Robert'); drop table contacts;--",
        "\"quoted\" \\ 'single'",
        "<script>alert(1)</script>",
        "\u{feff}\u{202e}e\u{301}",
        "👩‍🚀",
        "\u{1}\u{7f}",
        "null",
        "%00",
    ]
    .into_iter()
    .enumerate()
    {
        let body = with(contact(text), json!({ "email": text, "additional": text, "avatar": text }));
        let fullname = text.replace("e\u{301}", "\u{e9}");
        let expected = with(body.clone(), json!({ "id": n + 1, "user_id": 1, "fullname": fullname }));
        send(&house, &ada, "POST", "/api/contacts/", body).await.is(201, expected.clone());
        assert_eq!(all(&house, &ada).await[n], expected);
    }
}

#[tokio::test]
async fn a_phone_number_is_any_64_bit_integer_and_its_text_counts() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    for (n, (sent, kept)) in [
        (json!(0), 0),
        (json!(-1), -1),
        (json!(i64::MAX), i64::MAX),
        (json!(i64::MIN), i64::MIN),
        (json!("9223372036854775807"), i64::MAX),
        (json!(" +442071234567 "), 442_071_234_567),
        (json!("1_000.0"), 1000),
        (json!(5e9), 5_000_000_000),
        (json!(true), 1),
    ]
    .into_iter()
    .enumerate()
    {
        let body = with(contact(&format!("Grace {n}")), json!({ "phone_number": sent }));
        let expected = with(body.clone(), json!({ "id": n + 1, "user_id": 1, "phone_number": kept }));
        send(&house, &ada, "POST", "/api/contacts/", body).await.is(201, expected);
    }
}

#[tokio::test]
async fn a_birthday_is_any_day_from_year_1_to_9999() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    for (n, (sent, kept)) in [
        ("0001-01-01", "0001-01-01"),
        ("9999-12-31", "9999-12-31"),
        ("2000-02-29", "2000-02-29"),
        ("1906-12-09T00:00:00Z", "1906-12-09"),
        ("1906-12-09 00:00", "1906-12-09"),
    ]
    .into_iter()
    .enumerate()
    {
        let body = with(contact(&format!("Grace {n}")), json!({ "birthday": sent }));
        let expected = with(body.clone(), json!({ "id": n + 1, "user_id": 1, "birthday": kept }));
        send(&house, &ada, "POST", "/api/contacts/", body).await.is(201, expected);
    }
}

#[tokio::test]
async fn a_page_of_contacts_is_bounded_and_says_by_which_parameter_it_was_refused() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let get = async |query: &str| -> Answer {
        send(&house, &ada, "GET", &format!("/api/contacts/?{query}"), Value::Null).await
    };
    let unreadable = "Input should be a valid integer, unable to parse string as an integer";
    let at_least = |least: i64| format!("Input should be greater than or equal to {least}");
    let at_most = |most: i64| format!("Input should be less than or equal to {most}");
    for (query, name, kind, msg) in [
        ("skip=-1", "skip", "greater_than_equal", at_least(0)),
        ("skip=-99999999999999999999", "skip", "greater_than_equal", at_least(0)),
        ("skip=9223372036854775808", "skip", "less_than_equal", at_most(i64::MAX)),
        ("skip=", "skip", "int_parsing", unreadable.into()),
        ("skip=x", "skip", "int_parsing", unreadable.into()),
        ("skip=1.5", "skip", "int_parsing", unreadable.into()),
        ("skip=1%00", "skip", "int_parsing", unreadable.into()),
        ("limit=0", "limit", "greater_than_equal", at_least(1)),
        ("limit=-5", "limit", "greater_than_equal", at_least(1)),
        ("limit=1001", "limit", "less_than_equal", at_most(1000)),
        ("limit=x", "limit", "int_parsing", unreadable.into()),
        ("limit=1&limit=5000", "limit", "less_than_equal", at_most(1000)),
        ("limit=%ff", "limit", "int_type", "Input should be a valid integer".into()),
    ] {
        get(query).await.invalid(&[(kind, json!(["query", name]), msg.as_str())]);
    }
    get("skip=-1&limit=0").await.is(
        422,
        json!({ "detail": [
            { "type": "greater_than_equal", "loc": ["query", "skip"], "msg": at_least(0), "input": "-1", "ctx": { "ge": 0 } },
            { "type": "greater_than_equal", "loc": ["query", "limit"], "msg": at_least(1), "input": "0", "ctx": { "ge": 1 } },
        ] }),
    );
}

#[tokio::test]
async fn a_page_s_form_in_which_no_file_was_chosen_has_no_file() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let grace = add(&house, &ada, contact("Grace Hopper")).await;
    let upload = async |file_name: &'static str| {
        let nothing = multipart::Part::bytes(Vec::new()).file_name(file_name);
        let form = multipart::Form::new().part("file", nothing);
        let path = format!("/api/contacts/{}/avatar", grace["id"]);
        answer(house.by(&ada, "PATCH", &path).multipart(form)).await
    };
    upload("").await.invalid(&[("missing", json!(["body", "file"]), "Field required")]);
    upload("empty.png").await.refuses(415, "Unsupported image");
}
