//! The form of a log-in, which four APIs take: its `grant_type`.

use serde_json::{Value, json};

use crate::house::{Answer, House, PASSWORD, answer};

const LOG_INS: [&str; 4] =
    ["/api/v1.0/auth/login", "/store-managers/token", "/auth/login", "/api/auth/login"];

async fn log_in(house: &House, path: &str, grant: Option<&str>) -> Answer {
    let mut form = vec![("username", "ada@example.com"), ("password", PASSWORD)];
    form.extend(grant.map(|grant| ("grant_type", grant)));
    answer(house.request("POST", path).form(&form)).await
}

#[tokio::test]
async fn a_grant_that_is_password_or_empty_or_absent_signs_in_and_any_other_is_told() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    house.confirm(&ada).await;
    for path in LOG_INS {
        for grant in [None, Some(""), Some("password")] {
            let answer = log_in(&house, path, grant).await;
            assert_eq!(answer.status, 200, "{path} {grant:?}: {}", answer.text);
        }
        for grant in
            ["refresh_token", "Password", " password", "password\n", "passwords", "client_credentials"]
        {
            let entry = json!({
                "type": "string_pattern_mismatch", "loc": ["body", "grant_type"],
                "msg": "String should match pattern '^password$'", "input": grant,
                "ctx": { "pattern": "^password$" },
            });
            log_in(&house, path, Some(grant)).await.is(422, json!({ "detail": [entry] }));
        }
    }
}

#[tokio::test]
async fn a_bad_grant_is_told_with_what_else_is_wrong_and_in_a_multipart_form_too() {
    let house = House::new().await;
    let missing = |name: &str| json!({ "type": "missing", "loc": ["body", name], "msg": "Field required", "input": null });
    for path in LOG_INS {
        let form = reqwest::multipart::Form::new().text("grant_type", "x").text("username", "");
        let bad = answer(house.request("POST", path).multipart(form)).await;
        let entries = bad.body["detail"].as_array().unwrap();
        assert_eq!(entries[0]["type"], json!("string_pattern_mismatch"), "{path}");
        assert_eq!(entries[1..], [missing("username"), missing("password")], "{path}");
        let twice = house.request("POST", path).header("content-type", "application/x-www-form-urlencoded");
        let bad = answer(twice.body("grant_type=%FF&username=a&password=b")).await;
        assert_eq!((bad.status, &bad.body["detail"][0]["type"]), (422, &json!("string_type")), "{path}");
        assert_eq!(bad.body["detail"][0]["input"], Value::Null, "{path}");
    }
}
