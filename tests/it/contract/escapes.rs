//! Escaped letters in a path: it is the same path, and its API answers in the same words.

use serde_json::{Value, json};

use crate::house::{House, answer};

/// A path of every API, as it is written and with a letter of it escaped.
const SPELLINGS: [(&str, &str); 9] = [
    ("/v1/auth/me", "/%761/auth/me"),
    ("/v1/nothing", "/v%31/n%6fthing"),
    ("/api/v1.0/users/me", "/%61pi/v1%2E0/users/m%65"),
    ("/items", "/%69tems"),
    ("/store-managers/logout", "/store%2Dmanagers/logout"),
    ("/auth/me", "/%61uth/me"),
    ("/admin/check", "/%61dmin/check"),
    ("/api/contacts", "/api/%63ontacts"),
    ("/api/auth/reset_pwd/x", "/api/auth/reset%5Fpwd/x"),
];

#[tokio::test]
async fn an_escaped_letter_in_a_path_is_answered_as_the_plain_one_is() {
    let house = House::new().await;
    let ask = async |method: &str, path: &str, token: &str| {
        let request =
            house.request(method, path).header("x-request-id", "same").header("accept", "text/html");
        let answer = answer(if token.is_empty() { request } else { request.bearer_auth(token) }).await;
        (answer.status, answer.text.clone(), answer.header("content-type").to_owned())
    };
    for (plain, escaped) in SPELLINGS {
        for method in ["GET", "DELETE", "PROPFIND"] {
            for token in ["", "x"] {
                let (wanted, given) = (ask(method, plain, token).await, ask(method, escaped, token).await);
                assert_eq!(given, wanted, "{method} {escaped}");
            }
        }
    }
}

#[tokio::test]
async fn an_escaped_letter_reaches_todolist_with_its_envelope() {
    let house = House::new().await;
    for path in ["/%761/auth/me", "/%76%31/auth/me", "//%761//auth/me"] {
        let answer = house.get(path).await;
        let error = json!({ "status_code": 401, "message": "Not authenticated", "type": "client_error" });
        answer.is(401, json!({ "error": error, "request_id": answer.header("x-request-id") }));
    }
    // What is no escape, and what is one of a slash, names another path.
    for path in ["/%2576%31/auth/me", "/v1%2Fauth%2Fme", "/%FF1/auth/me"] {
        let answer = house.get(path).await;
        assert_eq!((answer.status, &answer.body), (404, &json!({ "detail": "Not Found" })), "{path}");
    }
    assert_eq!(house.get("/%ZZ1/auth/me").await.body["error"], Value::Null);
}
