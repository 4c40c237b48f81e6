//! identity: paths and methods.

use std::collections::BTreeSet;

use satchel::domain::users::Role;
use serde_json::{Value, json};

use super::{account, account_as, get, send};
use crate::house::{House, answer};

/// Every path with what `Allow` must list.
const PATHS: [(&str, &str); 14] = [
    ("/auth/register", "POST, OPTIONS"),
    ("/auth/login", "POST, OPTIONS"),
    ("/auth/refresh", "POST, OPTIONS"),
    ("/auth/logout", "POST, OPTIONS"),
    ("/auth/change-password", "POST, OPTIONS"),
    ("/auth/me", "GET, HEAD, OPTIONS"),
    ("/users", "GET, HEAD, OPTIONS"),
    ("/users/me", "GET, HEAD, DELETE, OPTIONS"),
    ("/users/profile", "GET, HEAD, PUT, OPTIONS"),
    ("/users/balance", "GET, HEAD, PUT, OPTIONS"),
    ("/users/deleted", "GET, HEAD, OPTIONS"),
    ("/admin/check", "GET, HEAD, OPTIONS"),
    ("/admin/block/1", "POST, OPTIONS"),
    ("/admin/unblock/x", "POST, OPTIONS"),
];

fn set(methods: &str) -> BTreeSet<&str> {
    methods.split(',').map(str::trim).collect()
}

#[tokio::test]
async fn options_answers_the_methods_of_a_path_to_anybody() {
    let house = House::new().await;
    for (path, methods) in PATHS {
        for path in [path, &format!("{path}/")] {
            let answer = answer(house.request("OPTIONS", path)).await;
            assert_eq!((answer.status, &*answer.text), (204, ""), "{path}");
            assert_eq!(set(answer.header("allow")), set(methods), "{path}");
        }
    }
}

#[tokio::test]
async fn another_method_is_refused_with_those_that_there_are_even_to_a_stranger() {
    let house = House::new().await;
    let ada = account(&house, "ada").await;
    for (path, methods) in PATHS {
        for path in [path, &format!("{path}/")] {
            for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"] {
                if set(methods).contains(method) {
                    continue;
                }
                for who in [None, Some(&ada)] {
                    let answer = send(&house, who, method, path, Value::Null).await;
                    answer.refuses(405, "Method Not Allowed");
                    assert_eq!(set(answer.header("allow")), set(methods), "{method} {path}");
                }
            }
            if !set(methods).contains("HEAD") {
                let answer = answer(house.request("HEAD", path)).await;
                assert_eq!((answer.status, &*answer.text), (405, ""), "{path}");
            }
        }
    }
    get(&house, &ada, "/users/me").await.is(200, ada.shown());
}

#[tokio::test]
async fn head_answers_what_get_does_without_the_body() {
    let house = House::new().await;
    let admin = account_as(&house, "root", Role::Admin).await;
    let ada = account(&house, "ada").await;
    for path in [
        "/auth/me",
        "/users",
        "/users/",
        "/users?limit=1",
        "/users?limit=0",
        "/users/me",
        "/users/profile",
        "/users/balance",
        "/users/deleted",
        "/admin/check",
    ] {
        for account in [&admin, &ada] {
            let mut get = get(&house, account, path).await;
            let mut head = send(&house, account, "HEAD", path, Value::Null).await;
            assert_eq!((head.status, &*head.text), (get.status, ""), "{path}");
            for headers in [&mut get.headers, &mut head.headers] {
                for own in ["x-request-id", "x-process-time", "date"] {
                    headers.remove(own);
                }
            }
            assert_eq!(head.headers, get.headers, "{path}");
        }
        let head = send(&house, None, "HEAD", path, Value::Null).await;
        assert_eq!((head.status, head.header("www-authenticate")), (401, "Bearer"), "{path}");
    }
}

#[tokio::test]
async fn what_lies_beside_the_paths_of_identity_is_not_found() {
    let house = House::new().await;
    let admin = account_as(&house, "root", Role::Admin).await;
    for path in [
        "/auth",
        "/auth/",
        "/auth/logout-all",
        "/auth/me/x",
        "/Auth/me",
        "/authx/me",
        "/users/1",
        "/users/me/x",
        "/users/profile/1",
        "/user/me",
        "/usersx",
        "/admin",
        "/admin/",
        "/admin/block",
        "/admin/block/",
        "/admin/block/1/x",
        "/admin/users",
        "/v1/admin/check",
        "/api/v1.0/admin/check",
    ] {
        for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS"] {
            let answer = send(&house, &admin, method, path, Value::Null).await;
            let text = if path.starts_with("/v1") {
                &answer.body["error"]["message"]
            } else {
                &answer.body["detail"]
            };
            // Not the words for whoever may not know that there is something.
            assert_eq!((answer.status, text), (404, &json!("Not Found")), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_refusal_of_identity_is_one_sentence_with_the_id_of_the_request() {
    let house = House::new().await;
    let ada = account(&house, "ada").await;
    for (path, text) in [
        ("/admin/check", r#"{"detail":"Not found"}"#),
        ("/users/profile", r#"{"detail":"Profile incomplete"}"#),
    ] {
        let request = house.request("GET", path).bearer_auth(&ada.access).header("x-request-id", "abc");
        let answer = answer(request).await;
        assert_eq!((answer.text.as_str(), answer.header("x-request-id")), (text, "abc"));
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
}
