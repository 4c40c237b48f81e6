//! Numbers beyond 64 bits: refused in every field, on both sides of zero, in whatever way they are written.

use serde_json::{Value, json};

use crate::house::{House, answer, book, contact};

/// Whole numbers of more than 64 bits with a sign, as JSON and as text; whether they are below zero.
const BEYOND: [(&str, bool); 10] = [
    ("9223372036854775808", false),
    ("18446744073709551615", false),
    ("18446744073709551616", false),
    ("9223372036854775808.0", false),
    ("99999999999999999999999999999999999999999999", false),
    ("-9223372036854775809", true),
    ("-9223372036854775808.5", true),
    ("-9223372036854775809.0", true),
    ("-18446744073709551616", true),
    ("-99999999999999999999999999999999999999999999", true),
];

/// The same by exponents, which are no text of a whole number.
const BEYOND_BY_EXPONENT: [(&str, bool); 5] = [
    ("1e19", false),
    ("9.223372036854775808e18", false),
    ("1e308", false),
    ("-9.223372036854775809e18", true),
    ("-1e19", true),
];

/// `whole` with this number, as it is written, in a field.
fn written(mut whole: Value, field: &str, number: &str) -> String {
    whole[field] = json!("PLACE");
    whole.to_string().replace("\"PLACE\"", number)
}

#[tokio::test]
async fn a_number_beyond_64_bits_is_refused_in_every_field() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    house.confirm(&ada).await;
    let json = async |method: &str, path: &str, body: String| {
        answer(house.by(&ada, method, path).header("content-type", "application/json").body(body)).await
    };
    let kind = |below: bool| if below { "greater_than_equal" } else { "less_than_equal" };
    for (number, below) in BEYOND.into_iter().chain(BEYOND_BY_EXPONENT) {
        for (method, path, field, whole) in [
            ("POST", "/api/contacts", "phone_number", contact("Grace Hopper")),
            ("POST", "/api/v1.0/books", "pages", book("Dune")),
            ("PUT", "/users/balance", "amount", json!({})),
        ] {
            let found = json(method, path, written(whole, field, number)).await;
            let entry = &found.body["detail"][0];
            let expected = (422, json!(["body", field]), json!(kind(below)));
            // A float that is read as it stands may have a fraction yet.
            assert_eq!(
                (found.status, entry["loc"].clone(), entry["type"].clone()),
                expected,
                "{number}: {}",
                found.text
            );
        }
    }
    for (number, below) in BEYOND {
        if number.contains(".5") {
            continue;
        }
        let text = json!(number).to_string();
        let found =
            json("POST", "/api/contacts", written(contact("Grace Hopper"), "phone_number", &text)).await;
        assert_eq!((found.status, &found.body["detail"][0]["type"]), (422, &json!(kind(below))), "{number}");
        for (path, loc) in [
            (format!("/api/v1.0/books?limit={number}"), json!(["query", "limit"])),
            (format!("/api/contacts?skip={number}"), json!(["query", "skip"])),
            (format!("/api/contacts/bd?days_range={number}"), json!(["query", "days_range"])),
        ] {
            let found = answer(house.by(&ada, "GET", &path)).await;
            assert_eq!(
                (found.status, &found.body["detail"][0]["loc"]),
                (422, &loc),
                "{path}: {}",
                found.text
            );
        }
        for (method, path) in [
            ("DELETE", format!("/api/contacts/{number}")),
            ("GET", format!("/v1/todos/{number}")),
            ("GET", format!("/v1/users/{number}")),
            ("GET", format!("/v1/todos?page={number}")),
        ] {
            assert_eq!(answer(house.by(&ada, method, &path)).await.status, 422, "{path}");
        }
    }
}

#[tokio::test]
async fn the_first_and_the_last_number_of_64_bits_are_kept_as_they_are() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    house.confirm(&ada).await;
    for (n, (number, kept)) in [
        ("-9223372036854775808", i64::MIN),
        ("9223372036854775807", i64::MAX),
        ("\"-9223372036854775808\"", i64::MIN),
        ("\"9223372036854775807.0\"", i64::MAX),
        ("-9007199254740991.0", -9_007_199_254_740_991),
        ("-1e18", -1_000_000_000_000_000_000),
        ("-0", 0),
        ("-0.0", 0),
    ]
    .into_iter()
    .enumerate()
    {
        let body = written(contact(&format!("Grace {n}")), "phone_number", number);
        let request = house.by(&ada, "POST", "/api/contacts").header("content-type", "application/json");
        let made = answer(request.body(body)).await;
        assert_eq!((made.status, &made.body["phone_number"]), (201, &json!(kept)), "{number}: {}", made.text);
    }
}
