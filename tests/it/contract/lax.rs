//! Lax input that clients rely on.

use serde_json::{Value, json};

use crate::house::{House, answer, book, registration};

#[tokio::test]
async fn a_value_may_be_written_in_several_ways() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    for (field, value, read) in [
        ("pages", json!("12"), json!(12)),
        ("pages", json!("1.0"), json!(1)),
        ("pages", json!("12.000"), json!(12)),
        ("pages", json!(" 12 "), json!(12)),
        ("pages", json!("+12"), json!(12)),
        ("pages", json!("0012"), json!(12)),
        ("pages", json!(12.0), json!(12)),
        ("pages", json!(1e2), json!(100)),
        ("pages", json!(true), json!(1)),
        ("publish_date", json!("2024-01-15"), json!("2024-01-15")),
        ("publish_date", json!("2024-01-15T00:00:00"), json!("2024-01-15")),
        ("publish_date", json!("2024-01-15T00:00:00Z"), json!("2024-01-15")),
        ("publish_date", json!("2024-01-15 00:00:00.000"), json!("2024-01-15")),
        ("publish_date", json!("2024-02-29"), json!("2024-02-29")),
        ("publish_date", json!("0001-01-01"), json!("0001-01-01")),
        ("publish_date", json!("9999-12-31"), json!("9999-12-31")),
        ("title", json!("  blanks  stay "), json!("  blanks  stay ")),
        ("title", json!("🦀 \u{202e} \r\n <b>"), json!("🦀 \u{202e} \r\n <b>")),
    ] {
        let mut given = book("Dune");
        given[field] = value.clone();
        let made = answer(house.by(&ada, "POST", "/api/v1.0/books").json(&given)).await;
        assert_eq!((made.status, &made.body[field]), (201, &read), "{field} {value}: {}", made.text);
    }
}

#[tokio::test]
async fn a_boolean_may_be_a_word_or_a_number_in_a_body() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let path = format!("/api/v1.0/users/{}", ada.uuid);
    for value in [
        json!(true),
        json!(1),
        json!(1.0),
        json!("true"),
        json!("YES"),
        json!("on"),
        json!("t"),
        json!("y"),
        json!("1"),
    ] {
        let found = answer(house.by(&ada, "PATCH", &path).json(&json!({ "is_active": value }))).await;
        assert_eq!((found.status, &found.body["is_active"]), (200, &json!(true)), "{value}");
    }
    let unreadable = "Input should be a valid boolean, unable to interpret input";
    for (value, kind, msg) in [
        (json!("2"), "bool_parsing", unreadable),
        (json!(""), "bool_parsing", unreadable),
        (json!(" true"), "bool_parsing", unreadable),
        (json!(2), "bool_parsing", unreadable),
        (json!(0.5), "bool_type", "Input should be a valid boolean"),
        (json!(1e20), "bool_type", "Input should be a valid boolean"),
        (json!(2.0), "bool_parsing", unreadable),
        (json!([true]), "bool_type", "Input should be a valid boolean"),
        (Value::Null, "bool_type", "Input should be a valid boolean"),
    ] {
        let found = answer(house.by(&ada, "PATCH", &path).json(&json!({ "is_active": value }))).await;
        let entry = json!({ "type": kind, "loc": ["body", "is_active"], "msg": msg, "input": value });
        found.is(422, json!({ "detail": [entry] }));
    }
    let words = [json!(0), json!(0.0), json!("no"), json!("OFF"), json!("f"), json!("n"), json!("0")];
    for (n, value) in words.into_iter().enumerate() {
        let guest = house.guest(&format!("user{n}")).await;
        let path = format!("/api/v1.0/users/{}", guest.uuid);
        let found = answer(house.by(&guest, "PATCH", &path).json(&json!({ "is_active": value }))).await;
        assert_eq!((found.status, &found.body["is_active"]), (200, &json!(false)), "{value}");
    }
}

#[tokio::test]
async fn no_content_type_and_every_kind_of_json_count_as_json() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let body = || book("Dune").to_string();
    let post = || house.by(&ada, "POST", "/api/v1.0/books");
    assert_eq!(answer(post().body(body())).await.status, 201);
    for kind in [
        "application/json",
        "application/json; charset=utf-8",
        "APPLICATION/JSON",
        "application/vnd.api+json",
        "Application/Merge-Patch+JSON",
    ] {
        let made = answer(post().header("content-type", kind).body(body())).await;
        assert_eq!(made.status, 201, "{kind}: {}", made.text);
    }
    let not = json!({ "detail": [{
        "type": "model_attributes_type", "loc": ["body"], "input": null,
        "msg": "Input should be a valid dictionary or object to extract fields from",
    }] });
    for kind in
        ["text/plain", "application/x-www-form-urlencoded", "application/octet-stream", "application/jsonp"]
    {
        answer(post().header("content-type", kind).body(body())).await.is(422, not.clone());
    }
}

#[tokio::test]
async fn unknown_fields_are_ignored_and_of_two_of_one_name_the_last_counts() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let whole = book("Dune").to_string();
    let open = whole.strip_suffix('}').unwrap();
    for (body, title) in [
        (format!("{open},\"isbn\":{{\"deep\":[1,2,{{}}]}},\"__proto__\":1,\"\":null}}"), "Dune"),
        (format!("{open},\"title\":\"Emma\"}}"), "Emma"),
        (format!("{{\"title\":7,{}", &whole[1..]), "Dune"),
        (format!(" \r\n\t{whole}\n "), "Dune"),
    ] {
        let made = answer(house.by(&ada, "POST", "/api/v1.0/books").body(body.clone())).await;
        assert_eq!((made.status, &made.body["title"]), (201, &json!(title)), "{body}: {}", made.text);
    }
    let found = house.get("/api/v1.0/books?limit=1&unknown=1&limit=2&page=-1&skip=x").await;
    assert_eq!((found.status, found.body.as_array().unwrap().len()), (200, 2));
    let mut given = registration("ben");
    given["isbn"] = json!("x");
    assert_eq!(house.post("/api/v1.0/auth/register", given).await.status, 201);
}
