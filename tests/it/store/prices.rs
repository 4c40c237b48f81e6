//! store, `price_usd`: comes back as it was sent, and is refused where it is no price.

use serde_json::{Value, json};

use super::{add, fault, keeper, path, send, send_text, tea};
use crate::house::{Guest, House};

/// A price as it is sent, and as it comes back: raw JSON, both.
const PRICES: [(&str, &str); 33] = [
    ("19.99", "19.99"),
    ("19.990", "19.99"),
    ("0.1", "0.1"),
    ("0.01", "0.01"),
    ("0.0001", "0.0001"),
    ("0.1234", "0.1234"),
    ("1.005", "1.005"),
    ("2.675", "2.675"),
    ("4.35", "4.35"),
    ("8.1", "8.1"),
    ("1.1", "1.1"),
    ("33.333333333333336", "33.333333333333336"),
    ("0.30000000000000004", "0.30000000000000004"),
    ("123456.7891", "123456.7891"),
    ("999999999.99", "999999999.99"),
    ("999999999.9999", "999999999.9999"),
    ("20", "20.0"),
    ("20.0", "20.0"),
    ("2e1", "20.0"),
    ("1e9", "1000000000.0"),
    ("1000000000", "1000000000.0"),
    ("0", "0.0"),
    ("0.0", "0.0"),
    ("-0", "0.0"),
    ("-0.0", "0.0"),
    ("\"-0\"", "0.0"),
    ("\"12.5\"", "12.5"),
    ("\" 12.5 \"", "12.5"),
    ("\"19.99\"", "19.99"),
    ("\"1_000.25\"", "1000.25"),
    ("\"1e3\"", "1000.0"),
    ("true", "1.0"),
    ("19.9899999999999999999999999", "19.99"),
];

fn sent(price: &str) -> String {
    format!(r#"{{"name":"Green tea","category":"Grocery","price_usd":{price},"in_stock":true}}"#)
}

fn shown(id: &str, price: &str, owner: &Guest) -> String {
    format!(
        r#"{{"id":"{id}","name":"Green tea","category":"Grocery","price_usd":{price},"in_stock":true,"store_manager_id":"{}"}}"#,
        owner.uuid
    )
}

#[tokio::test]
async fn a_price_comes_back_as_it_was_sent_and_still_does_after_a_restart() {
    let house = House::new().await;
    let ada = keeper(&house, "ada").await;
    let mut made = Vec::new();
    for (price, back) in PRICES {
        let answer = send_text(&house, &ada, "POST", "/items", sent(price)).await;
        let id = answer.body["id"].as_str().unwrap_or_default().to_owned();
        assert_eq!((answer.status, answer.text), (201, shown(&id, back, &ada)), "{price}");
        made.push((id, back));
    }
    let house = house.restart().await;
    for (id, back) in &made {
        let answer = send(&house, &ada, "GET", &format!("/items/{id}"), Value::Null).await;
        assert_eq!((answer.status, answer.text), (200, shown(id, back, &ada)));
    }
    let entries: Vec<String> =
        made.iter().rev().map(|(id, back)| format!("\"{id}\":{}", shown(id, back, &ada))).collect();
    let list = send(&house, &ada, "GET", "/items", Value::Null).await;
    assert_eq!(list.text, format!("{{{}}}", entries.join(",")));
}

#[tokio::test]
async fn a_price_that_is_changed_comes_back_as_it_was_sent() {
    let house = House::new().await;
    let ada = keeper(&house, "ada").await;
    let item = add(&house, &ada, tea()).await;
    let id = item["id"].as_str().unwrap();
    for (price, back) in PRICES {
        let change = format!(r#"{{"price_usd":{price}}}"#);
        let answer = send_text(&house, &ada, "PATCH", &path(&item), change).await;
        assert_eq!((answer.status, answer.text), (200, shown(id, back, &ada)), "{price}");
    }
}

#[tokio::test]
async fn every_price_of_cents_comes_back_to_the_cent() {
    let house = House::new().await;
    let ada = keeper(&house, "ada").await;
    let item = add(&house, &ada, tea()).await;
    // A stride that is prime meets every ending.
    for cents in (1..30_000_u32).step_by(149) {
        let price = format!("{}.{:02}", cents / 100, cents % 100);
        let change = format!(r#"{{"price_usd":{price}}}"#);
        let answer = send_text(&house, &ada, "PATCH", &path(&item), change).await;
        assert_eq!(answer.body["price_usd"], serde_json::from_str::<Value>(&price).unwrap(), "{price}");
    }
}

#[tokio::test]
async fn a_price_that_is_none_is_refused_when_made_and_when_changed() {
    let house = House::new().await;
    let ada = keeper(&house, "ada").await;
    let item = add(&house, &ada, tea()).await;
    let small = ("greater_than_equal", "Input should be greater than or equal to 0", json!({ "ge": 0.0 }));
    let large = ("less_than_equal", "Input should be less than or equal to 1000000000", json!({ "le": 1e9 }));
    let endless = ("finite_number", "Input should be a finite number", Value::Null);
    let text =
        ("float_parsing", "Input should be a valid number, unable to parse string as a number", Value::Null);
    let kind = ("float_type", "Input should be a valid number", Value::Null);
    for (price, (kind, msg, ctx)) in [
        ("-1", &small),
        ("-0.01", &small),
        ("-1e-300", &small),
        ("-1e308", &small),
        ("\"-0.0001\"", &small),
        ("1000000001", &large),
        ("1000000000.01", &large),
        ("1e10", &large),
        ("1e308", &large),
        ("9223372036854775808", &large),
        ("99999999999999999999999999", &large),
        ("\"1e10\"", &large),
        ("\"inf\"", &endless),
        ("\"-inf\"", &endless),
        ("\"+Infinity\"", &endless),
        ("\"nan\"", &endless),
        ("\"NaN\"", &endless),
        ("\"1e999\"", &endless),
        ("\"\"", &text),
        ("\" \"", &text),
        ("\"free\"", &text),
        ("\"12,5\"", &text),
        ("\"$5\"", &text),
        ("\"0x10\"", &text),
        ("\"1__0\"", &text),
        ("\"5\\u0000\"", &text),
        ("null", &kind),
        ("[]", &kind),
        ("[19.99]", &kind),
        ("{}", &kind),
    ] {
        let input: Value = serde_json::from_str(price).unwrap();
        let expected = fault(kind, "price_usd", msg, input, ctx.clone());
        send_text(&house, &ada, "POST", "/items", sent(price)).await.is(422, expected.clone());
        let change = format!(r#"{{"price_usd":{price}}}"#);
        send_text(&house, &ada, "PATCH", &path(&item), change).await.is(422, expected);
    }
    send(&house, &ada, "GET", "/items", Value::Null).await.is(200, json!({ super::id(&item): item }));
}

#[tokio::test]
async fn a_number_that_json_does_not_have_is_no_json() {
    let house = House::new().await;
    let ada = keeper(&house, "ada").await;
    for price in ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "+1", ".5", "5.", "01", "1_0", "0x1"] {
        let answer = send_text(&house, &ada, "POST", "/items", sent(price)).await;
        let entry = &answer.body["detail"][0];
        assert_eq!((answer.status, &entry["type"]), (422, &json!("json_invalid")), "{price}");
        assert_eq!(entry["msg"], json!("JSON decode error"), "{price}");
        assert_eq!(entry["loc"][0], json!("body"), "{price}");
        assert!(entry["loc"][1].is_u64(), "{price}");
    }
    send(&house, &ada, "GET", "/items", Value::Null).await.is(200, json!({}));
}
