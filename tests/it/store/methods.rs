//! store: paths and methods.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{NOBODY, add, keeper, path, send, tea};
use crate::house::{House, answer};

/// Every path with what `Allow` must list.
const PATHS: [(&str, &str); 5] = [
    ("/items", "GET, HEAD, POST, OPTIONS"),
    ("/items/{}", "GET, HEAD, PATCH, DELETE, OPTIONS"),
    ("/store-managers", "POST, OPTIONS"),
    ("/store-managers/token", "POST, OPTIONS"),
    ("/store-managers/logout", "GET, OPTIONS"),
];

fn set(methods: &str) -> BTreeSet<&str> {
    methods.split(',').map(str::trim).collect()
}

fn at(path: &str) -> String {
    path.replace("{}", NOBODY)
}

#[tokio::test]
async fn options_answers_the_methods_of_a_path_to_anybody() {
    let house = House::new().await;
    for (path, methods) in PATHS {
        for path in [at(path), format!("{}/", at(path))] {
            let answer = answer(house.request("OPTIONS", &path)).await;
            assert_eq!((answer.status, &*answer.text), (204, ""), "{path}");
            assert_eq!(set(answer.header("allow")), set(methods), "{path}");
        }
    }
}

#[tokio::test]
async fn another_method_is_refused_with_those_that_there_are_even_to_a_stranger() {
    let house = House::new().await;
    let ada = keeper(&house, "ada").await;
    for (path, methods) in PATHS {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"] {
            if set(methods).contains(method) {
                continue;
            }
            for request in [house.request(method, &at(path)), house.by(&ada, method, &at(path))] {
                let answer = answer(request).await;
                answer.refuses(405, "Method Not Allowed");
                assert_eq!(set(answer.header("allow")), set(methods), "{method} {path}");
            }
        }
        if !set(methods).contains("HEAD") {
            for request in [house.request("HEAD", &at(path)), house.by(&ada, "HEAD", &at(path))] {
                let answer = answer(request).await;
                assert_eq!((answer.status, &*answer.text), (405, ""), "{path}");
                assert_eq!(set(answer.header("allow")), set(methods), "{path}");
            }
        }
    }
    // Nobody was signed out by a method that there is not.
    assert_eq!(send(&house, &ada, "GET", "/items", Value::Null).await.status, 200);
}

#[tokio::test]
async fn head_answers_what_get_does_without_the_body() {
    let house = House::new().await;
    let ada = keeper(&house, "ada").await;
    let item = add(&house, &ada, tea()).await;
    add(&house, &ada, tea()).await;
    for path in [
        "/items",
        "/items/",
        "/items?limit=1",
        "/items?limit=0",
        &path(&item),
        &format!("/items/{NOBODY}"),
        "/items/x",
    ] {
        house.head_like_get(&ada, path).await;
    }
    let head = answer(house.request("HEAD", "/items")).await;
    assert_eq!((head.status, head.header("www-authenticate")), (401, "Bearer"));
}

#[tokio::test]
async fn what_lies_beside_the_paths_of_store_is_not_found() {
    let house = House::new().await;
    let ada = keeper(&house, "ada").await;
    for path in [
        "/item",
        "/Items",
        "/itemsx",
        "/items/a/b",
        "/v1/items",
        "/store-managers/x",
        "/store-managers/me",
        "/store-managers/token/x",
        "/store_managers",
        "/store-managersx",
    ] {
        for method in ["GET", "POST", "PATCH", "DELETE", "OPTIONS"] {
            let answer = answer(house.by(&ada, method, path)).await;
            let text = if path.starts_with("/v1") {
                &answer.body["error"]["message"]
            } else {
                &answer.body["detail"]
            };
            assert_eq!((answer.status, text), (404, &json!("Not Found")), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn the_word_for_an_item_that_store_refuses_is_its_own_and_no_other_apis() {
    let house = House::new().await;
    let ada = keeper(&house, "ada").await;
    let answer =
        answer(house.by(&ada, "GET", &format!("/items/{NOBODY}")).header("x-request-id", "abc")).await;
    assert_eq!(answer.text, r#"{"detail":"Item not found"}"#);
    assert_eq!(answer.header("x-request-id"), "abc");
}
