//! store: what an item's other fields may be, and what of a body is refused.

use serde_json::{Value, json};

use super::{add, fault, keeper, path, send, send_text, tea, with, without};
use crate::house::{House, answer};

const CATEGORIES: [&str; 8] = [
    "Grocery",
    "Household",
    "Electronics",
    "Stationery",
    "Personal Care",
    "Apparel",
    "Home Improvement",
    "Pet",
];
const EXPECTED: &str = "'Grocery', 'Household', 'Electronics', 'Stationery', 'Personal Care', 'Apparel', \
                        'Home Improvement' or 'Pet'";

#[tokio::test]
async fn every_category_is_taken_and_comes_back_to_the_letter() {
    let house = House::new().await;
    let ada = keeper(&house, "ada").await;
    let item = add(&house, &ada, tea()).await;
    for category in CATEGORIES {
        let given = with(tea(), json!({ "category": category }));
        let made = add(&house, &ada, given.clone()).await;
        assert_eq!(made, with(given, json!({ "id": made["id"], "store_manager_id": ada.uuid })));
        let changed = send(&house, &ada, "PATCH", &path(&item), json!({ "category": category })).await;
        changed.is(200, with(item.clone(), json!({ "category": category })));
    }
}

#[tokio::test]
async fn a_category_that_is_none_is_refused_and_all_that_there_are_are_told() {
    let house = House::new().await;
    let ada = keeper(&house, "ada").await;
    let item = add(&house, &ada, tea()).await;
    for category in [
        json!("Toys"),
        json!("grocery"),
        json!("GROCERY"),
        json!("Grocery "),
        json!(" Pet"),
        json!("PersonalCare"),
        json!("Personal care"),
        json!("personal_care"),
        json!("Home\u{a0}Improvement"),
        json!("Pet\0"),
        json!(""),
        json!(0),
        json!(true),
        json!(["Pet"]),
        json!({}),
        Value::Null,
    ] {
        let msg = format!("Input should be {EXPECTED}");
        let expected = fault("enum", "category", &msg, category.clone(), json!({ "expected": EXPECTED }));
        let given = with(tea(), json!({ "category": category }));
        send(&house, &ada, "POST", "/items", given).await.is(422, expected.clone());
        let change = json!({ "category": category });
        send(&house, &ada, "PATCH", &path(&item), change).await.is(422, expected);
    }
    send(&house, &ada, "GET", &path(&item), Value::Null).await.is(200, item);
}

#[tokio::test]
async fn a_name_has_1_to_64_characters_whatever_their_bytes() {
    let house = House::new().await;
    let ada = keeper(&house, "ada").await;
    let item = add(&house, &ada, tea()).await;
    for name in [
        "x",
        " ",
        "  blanks  stay ",
        "\u{202e} \r\n <b>'; drop table items; --",
        &"x".repeat(64),
        &"é".repeat(64),
        &"🦀".repeat(64),
    ] {
        let given = with(tea(), json!({ "name": name }));
        let made = add(&house, &ada, given.clone()).await;
        assert_eq!(made, with(given, json!({ "id": made["id"], "store_manager_id": ada.uuid })));
        send(&house, &ada, "GET", &path(&made), Value::Null).await.is(200, made);
        let changed = send(&house, &ada, "PATCH", &path(&item), json!({ "name": name })).await;
        changed.is(200, with(item.clone(), json!({ "name": name })));
    }
    let nul = "Value error, Text must not contain NUL characters";
    let long = "String should have at most 64 characters";
    for (name, kind, msg, ctx) in [
        (
            json!(""),
            "string_too_short",
            "String should have at least 1 character",
            json!({ "min_length": 1 }),
        ),
        (json!("x".repeat(65)), "string_too_long", long, json!({ "max_length": 64 })),
        (json!("é".repeat(65)), "string_too_long", long, json!({ "max_length": 64 })),
        (json!("🦀".repeat(65)), "string_too_long", long, json!({ "max_length": 64 })),
        (json!("a\0b"), "value_error", nul, json!({ "error": {} })),
        (json!("\0"), "value_error", nul, json!({ "error": {} })),
        (Value::Null, "string_type", "Input should be a valid string", Value::Null),
        (json!(7), "string_type", "Input should be a valid string", Value::Null),
        (json!(["x"]), "string_type", "Input should be a valid string", Value::Null),
    ] {
        let expected = fault(kind, "name", msg, name.clone(), ctx);
        let given = with(tea(), json!({ "name": name }));
        send(&house, &ada, "POST", "/items", given).await.is(422, expected.clone());
        send(&house, &ada, "PATCH", &path(&item), json!({ "name": name })).await.is(422, expected);
    }
}

#[tokio::test]
async fn a_name_far_too_long_is_echoed_only_in_part() {
    let house = House::new().await;
    let ada = keeper(&house, "ada").await;
    let given = with(tea(), json!({ "name": "é".repeat(200_000) }));
    let answer = send(&house, &ada, "POST", "/items", given).await;
    let (long, ctx) = ("String should have at most 64 characters", json!({ "max_length": 64 }));
    let input = json!(format!("{}…", "é".repeat(256)));
    answer.is(422, fault("string_too_long", "name", long, input, ctx));
    let over = with(tea(), json!({ "name": "x".repeat(1_048_576) }));
    send(&house, &ada, "POST", "/items", over).await.refuses(413, "Request body is too large");
}

#[tokio::test]
async fn in_stock_may_be_a_word_or_a_number_and_comes_back_as_a_boolean() {
    let house = House::new().await;
    let ada = keeper(&house, "ada").await;
    let item = add(&house, &ada, tea()).await;
    let yes =
        [json!(true), json!(1), json!(1.0), json!("true"), json!("YES"), json!("on"), json!("t"), json!("1")];
    let no = [
        json!(false),
        json!(0),
        json!(0.0),
        json!("False"),
        json!("no"),
        json!("OFF"),
        json!("n"),
        json!("0"),
    ];
    let words = yes.map(|word| (word, true)).into_iter().chain(no.map(|word| (word, false)));
    for (word, flag) in words {
        let made = add(&house, &ada, with(tea(), json!({ "in_stock": word }))).await;
        assert_eq!(made["in_stock"], json!(flag), "{word}");
        let changed = send(&house, &ada, "PATCH", &path(&item), json!({ "in_stock": word })).await;
        changed.is(200, with(item.clone(), json!({ "in_stock": flag })));
    }
    let unreadable = "Input should be a valid boolean, unable to interpret input";
    for (word, kind, msg) in [
        (json!("maybe"), "bool_parsing", unreadable),
        (json!(""), "bool_parsing", unreadable),
        (json!(2), "bool_parsing", unreadable),
        (json!(-1), "bool_parsing", unreadable),
        (json!([true]), "bool_type", "Input should be a valid boolean"),
        (json!({}), "bool_type", "Input should be a valid boolean"),
        (Value::Null, "bool_type", "Input should be a valid boolean"),
    ] {
        let expected = fault(kind, "in_stock", msg, word.clone(), Value::Null);
        let given = with(tea(), json!({ "in_stock": word }));
        send(&house, &ada, "POST", "/items", given).await.is(422, expected.clone());
        send(&house, &ada, "PATCH", &path(&item), json!({ "in_stock": word })).await.is(422, expected);
    }
}

#[tokio::test]
async fn create_item_misses_every_field_that_is_not_there() {
    let house = House::new().await;
    let ada = keeper(&house, "ada").await;
    let missing = |name: &str, input: &Value| json!({ "type": "missing", "loc": ["body", name], "msg": "Field required", "input": input });
    for name in ["name", "category", "price_usd", "in_stock"] {
        let given = without(tea(), name);
        let answer = send(&house, &ada, "POST", "/items", given.clone()).await;
        answer.is(422, json!({ "detail": [missing(name, &given)] }));
    }
    let all: Vec<Value> = ["name", "category", "price_usd", "in_stock"]
        .map(|name| missing(name, &json!({ "colour": "green" })))
        .into();
    send(&house, &ada, "POST", "/items", json!({ "colour": "green" }))
        .await
        .is(422, json!({ "detail": all }));
    let mixed = json!({ "name": "", "price_usd": "free" });
    send(&house, &ada, "POST", "/items", mixed).await.invalid(&[
        ("string_too_short", json!(["body", "name"]), "String should have at least 1 character"),
        ("missing", json!(["body", "category"]), "Field required"),
        (
            "float_parsing",
            json!(["body", "price_usd"]),
            "Input should be a valid number, unable to parse string as a number",
        ),
        ("missing", json!(["body", "in_stock"]), "Field required"),
    ]);
}

#[tokio::test]
async fn a_change_with_one_fault_changes_nothing() {
    let house = House::new().await;
    let ada = keeper(&house, "ada").await;
    let item = add(&house, &ada, tea()).await;
    let change = json!({ "name": "Black tea", "category": "Pet", "in_stock": false, "price_usd": -1 });
    assert_eq!(send(&house, &ada, "PATCH", &path(&item), change).await.status, 422);
    let nulls = json!({ "name": null, "category": null, "price_usd": null, "in_stock": null });
    let answer = send(&house, &ada, "PATCH", &path(&item), nulls).await;
    let enumerated = format!("Input should be {EXPECTED}");
    answer.invalid(&[
        ("string_type", json!(["body", "name"]), "Input should be a valid string"),
        ("enum", json!(["body", "category"]), &enumerated),
        ("float_type", json!(["body", "price_usd"]), "Input should be a valid number"),
        ("bool_type", json!(["body", "in_stock"]), "Input should be a valid boolean"),
    ]);
    send(&house, &ada, "GET", &path(&item), Value::Null).await.is(200, item);
}

#[tokio::test]
async fn a_body_that_is_no_object_is_refused_wherever_one_is_read() {
    let house = House::new().await;
    let ada = keeper(&house, "ada").await;
    let item = add(&house, &ada, tea()).await;
    let path = path(&item);
    let not = |input: Value| {
        json!({ "detail": [{
            "type": "model_attributes_type", "loc": ["body"], "input": input,
            "msg": "Input should be a valid dictionary or object to extract fields from",
        }] })
    };
    let missing =
        json!({ "detail": [{ "type": "missing", "loc": ["body"], "msg": "Field required", "input": null }] });
    for (method, path) in [("POST", "/items"), ("PATCH", path.as_str()), ("POST", "/store-managers")] {
        for body in ["[]", "[{}]", "7", "true"] {
            let input: Value = serde_json::from_str(body).unwrap();
            send_text(&house, &ada, method, path, body).await.is(422, not(input));
        }
        // A bare text may be anything, a password, too.
        send_text(&house, &ada, method, path, "\"text\"").await.is(422, not(json!("**********")));
        answer(house.by(&ada, method, path)).await.is(422, missing.clone());
        send_text(&house, &ada, method, path, "").await.is(422, missing.clone());
        for body in ["{", "{ no json", "{\"name\":\"x\",}", "{\"name\":\"\u{0}\"}", "{}{}", "'x'"] {
            let answer = send_text(&house, &ada, method, path, body).await;
            let entry = &answer.body["detail"][0];
            assert_eq!((answer.status, &entry["type"]), (422, &json!("json_invalid")), "{method} {body}");
        }
        for bytes in [&b"{\"name\":\"\xff\"}"[..], b"\xff\xfe{\0}"] {
            let request = house.by(&ada, method, path).header("content-type", "application/json");
            let answer = answer(request.body(bytes)).await;
            assert_eq!(answer.status, 422, "{method} {path}: {}", answer.text);
        }
        for kind in ["text/plain", "application/x-www-form-urlencoded", "application/octet-stream"] {
            let request = house.by(&ada, method, path).header("content-type", kind);
            answer(request.body(tea().to_string())).await.is(422, not(Value::Null));
        }
    }
    let deep = format!("{}1{}", "{\"name\":".repeat(10_000), "}".repeat(10_000));
    assert_eq!(send_text(&house, &ada, "POST", "/items", deep).await.status, 422);
    send(&house, &ada, "GET", "/items", Value::Null).await.is(200, json!({ super::id(&item): item }));
}
