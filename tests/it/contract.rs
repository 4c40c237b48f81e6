//! What all APIs share, told on bookshelf's routes: paths and methods, headers, and what belongs to no API.

mod answers;
mod bodies;
mod common_passwords;
mod encodings;
mod escapes;
mod lax;
mod log_in_form;
mod long_pages;
mod words;

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use satchel::domain::users::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::house::{Guest, House, PASSWORD, answer, book, document, registration};

/// Every path of bookshelf with the methods that it has; `{}` is a UUID.
const PATHS: [(&str, &[&str]); 19] = [
    ("auth/register", &["POST"]),
    ("auth/login", &["POST"]),
    ("auth/refresh", &["POST"]),
    ("auth/logout", &["POST"]),
    ("auth/logout-all", &["POST"]),
    ("users", &["GET"]),
    ("users/me", &["GET"]),
    ("users/{}", &["GET", "PATCH", "DELETE"]),
    ("users/email/ada@example.com", &["GET"]),
    ("users/change-password", &["POST"]),
    ("users/admin/create", &["POST"]),
    ("users/admin/{}", &["PATCH", "DELETE"]),
    ("users/admin/{}/role", &["PATCH"]),
    ("users/admin/{}/activate", &["PATCH"]),
    ("admin/users", &["POST"]),
    ("admin/users/{}", &["PATCH", "DELETE"]),
    ("books", &["GET", "POST"]),
    ("books/my-books", &["GET"]),
    ("books/{}", &["GET", "PATCH", "DELETE"]),
];

fn at(path: &str) -> String {
    format!("/api/v1.0/{}", path.replace("{}", "019a9d5e-6c1f-7c3b-8a54-3f0c1f4e2d10"))
}

fn set(methods: &str) -> BTreeSet<String> {
    methods.split(',').map(|method| method.trim().to_owned()).filter(|method| !method.is_empty()).collect()
}

/// The methods as `Allow` must list them.
fn allowed(methods: &[&str]) -> BTreeSet<String> {
    let mut allowed: BTreeSet<String> = methods.iter().map(|method| (*method).to_owned()).collect();
    allowed.insert(String::from("OPTIONS"));
    if allowed.contains("GET") {
        allowed.insert(String::from("HEAD"));
    }
    allowed
}

#[tokio::test]
async fn options_answers_the_methods_of_a_path() {
    let house = House::new().await;
    for (path, methods) in PATHS {
        for path in [at(path), format!("{}/", at(path))] {
            let answer = answer(house.request("OPTIONS", &path)).await;
            assert_eq!((answer.status, &*answer.text), (204, ""), "{path}");
            assert_eq!(set(answer.header("allow")), allowed(methods), "{path}");
        }
    }
}

#[tokio::test]
async fn another_method_is_refused_with_those_that_there_are() {
    let house = House::new().await;
    for (path, methods) in PATHS {
        let shadowed = path.matches('/').count() == 1 && path.starts_with("users/") && !path.contains('{')
            || path == "books/my-books"
            || path == "users/admin/create";
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"] {
            // `users/me` and the like are also words that `users/{uuid}` could be asked for.
            if methods.contains(&method) || shadowed && matches!(method, "GET" | "PATCH" | "DELETE") {
                continue;
            }
            let answer = answer(house.request(method, &at(path))).await;
            answer.refuses(405, "Method Not Allowed");
            let allow = set(answer.header("allow"));
            assert!(allow.is_superset(&allowed(methods)), "{method} {path}: {allow:?}");
            assert!(shadowed || allow == allowed(methods), "{method} {path}: {allow:?}");
            assert!(!allow.contains(method), "{method} {path}: {allow:?}");
        }
        if !methods.contains(&"GET") && !shadowed {
            let answer = answer(house.request("HEAD", &at(path))).await;
            assert_eq!((answer.status, &*answer.text), (405, ""), "HEAD {path}");
            assert_eq!(set(answer.header("allow")), allowed(methods));
        }
    }
}

#[tokio::test]
async fn a_method_override_header_overrides_nothing() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    for header in ["x-http-method-override", "x-method-override", "x-http-method"] {
        let path = format!("/api/v1.0/users/{}", ada.uuid);
        let kept = answer(house.by(&ada, "GET", &path).header(header, "DELETE")).await;
        assert_eq!(kept.status, 200);
        assert_eq!(answer(house.by(&ada, "POST", &path).header(header, "DELETE")).await.status, 405);
    }
    assert_eq!(house.log_in("ada@example.com", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn an_unknown_path_is_not_found_by_any_method() {
    let house = House::new().await;
    for path in [
        "/nothing",
        "/api",
        "/api/v1.0",
        "/api/v1.0/",
        "/api/v1.0/nothing",
        "/api/v1.0/books/a/b",
        "/api/v1.0/books/my-books/x",
        "/API/v1.0/books",
        "/api/v1.0/Books",
        "/api/v1/books",
        "/api/v1.0/admin",
        "/api/v1.0/users/admin/x/nothing",
        "/api/v1.0/books%2Fmy-books",
        "/.well-known",
    ] {
        for method in ["GET", "POST", "PATCH", "DELETE", "OPTIONS"] {
            let answer = answer(house.request(method, path)).await;
            answer.refuses(404, "Not Found");
            assert_eq!(answer.header("allow"), "", "{method} {path}");
        }
    }
}

#[tokio::test]
async fn head_answers_what_get_does_without_the_body() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let dune = house.book(&ada, "Dune").await;
    house.book(&ada, "Emma").await;
    let (user, dune) = (ada.uuid.clone(), dune["uuid"].as_str().unwrap().to_owned());
    for path in [
        String::from("/api/v1.0/users"),
        String::from("/api/v1.0/users/me"),
        format!("/api/v1.0/users/{user}"),
        String::from("/api/v1.0/users/email/ada@example.com"),
        String::from("/api/v1.0/users/email/nobody@example.com"),
        String::from("/api/v1.0/books/"),
        String::from("/api/v1.0/books?limit=1"),
        String::from("/api/v1.0/books?limit=0"),
        String::from("/api/v1.0/books/my-books"),
        format!("/api/v1.0/books/{dune}"),
        String::from("/api/v1.0/nothing"),
        String::from("/"),
        String::from("/docs"),
        String::from("/redoc"),
        String::from("/scalar"),
        String::from("/openapi.json"),
        String::from("/health"),
        String::from("/.well-known/jwks.json"),
    ] {
        let mut get = answer(house.by(&ada, "GET", &path)).await;
        let mut head = answer(house.by(&ada, "HEAD", &path)).await;
        assert_eq!((head.status, &*head.text), (get.status, ""), "{path}");
        for headers in [&mut get.headers, &mut head.headers] {
            for own in ["x-request-id", "x-process-time", "date"] {
                assert!(headers.remove(own).is_some() || own == "date", "{path}: {own}");
            }
        }
        assert_eq!(head.headers, get.headers, "{path}");
    }
    let head = answer(house.request("HEAD", "/api/v1.0/users/me")).await;
    assert_eq!((head.status, head.header("www-authenticate")), (401, "Bearer"));
}

#[tokio::test]
async fn every_path_answers_with_and_without_a_trailing_slash_directly() {
    let house = House::new().await;
    let uuid = house.guest_as("ada", Role::Admin).await.uuid;
    for path in ["auth/logout/", "auth/logout-all/"] {
        let ada = house.sign_in("ada", uuid.clone()).await;
        assert_eq!(answer(house.by(&ada, "POST", &at(path))).await.status, 200);
    }
    let ada = house.sign_in("ada", uuid).await;
    for (path, methods) in PATHS {
        if path.starts_with("auth/logout") {
            continue;
        }
        for method in methods {
            let send = async |path: String| answer(house.by(&ada, method, &path).json(&json!({}))).await;
            let (bare, slash) = (send(at(path)).await, send(format!("{}/", at(path))).await);
            assert_eq!((bare.status, bare.text), (slash.status, slash.text), "{method} {path}");
        }
    }
    assert_eq!(
        answer(house.request("POST", "/api/v1.0/auth/register/").json(&registration("ben"))).await.status,
        201
    );
    assert_eq!(answer(house.by(&ada, "POST", "/api/v1.0/books/").json(&book("Dune"))).await.status, 201);
    assert_eq!(answer(house.by(&ada, "POST", "/api/v1.0/books").json(&book("Dune"))).await.status, 201);
}

#[tokio::test]
async fn a_sane_request_id_is_taken_over_and_another_is_not() {
    let house = House::new().await;
    let longest = "x".repeat(128);
    for id in ["a", "abc-123_4.5:6", "019A9D5E", &longest] {
        for path in ["/api/v1.0/books", "/nothing", "/", "/api/v1.0/users/me"] {
            let answer = answer(house.request("GET", path).header("x-request-id", id)).await;
            assert_eq!(answer.header("x-request-id"), id, "{path}");
        }
    }
    let mut new = BTreeSet::new();
    let too_long = "x".repeat(129);
    for id in ["", " ", "a b", "a\tb", "a;b", "a\"b", "<script>", "a/b", "é", "{}", "%0d%0aX: y", &too_long]
    {
        let answer = answer(house.request("GET", "/api/v1.0/books").header("x-request-id", id)).await;
        assert!(
            answer.header("x-request-id").parse::<Uuid>().is_ok(),
            "{id:?}: {}",
            answer.header("x-request-id")
        );
        new.insert(answer.header("x-request-id").to_owned());
    }
    for _ in 0..3 {
        new.insert(house.get("/api/v1.0/books").await.header("x-request-id").to_owned());
    }
    assert_eq!(new.len(), 15, "each is another");
}

#[tokio::test]
async fn whatever_the_answer_it_is_not_to_be_stored() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    for (method, path, body) in [
        ("GET", "/api/v1.0/users/me", Value::Null),
        ("GET", "/api/v1.0/users", Value::Null),
        ("GET", "/api/v1.0/books", Value::Null),
        ("POST", "/api/v1.0/auth/refresh", json!({ "refresh_token": ada.refresh })),
        ("POST", "/api/v1.0/auth/refresh", json!({ "refresh_token": "x" })),
        ("POST", "/api/v1.0/auth/register", json!({})),
        ("DELETE", "/api/v1.0/books", Value::Null),
        ("GET", "/nothing", Value::Null),
    ] {
        let answer = answer(house.by(&ada, method, path).json(&body)).await;
        assert_eq!(answer.header("cache-control"), "no-store", "{method} {path}");
        assert_eq!(answer.header("content-type"), "application/json", "{method} {path}");
        assert_eq!(answer.header("set-cookie"), "", "{method} {path}");
        assert!(answer.header("x-process-time").parse::<f64>().unwrap() >= 0.0);
    }
}

#[tokio::test]
async fn a_request_without_a_bearer_token_is_not_authenticated() {
    let house = House::new().await;
    let ada: Guest = house.guest("ada").await;
    let me = || house.request("GET", "/api/v1.0/users/me");
    for header in ["", "Bearer", "Bearer ", "Basic YWRhOmFkYQ==", "Token x", &ada.access, "Bearerx y"] {
        let answer = answer(me().header("authorization", header)).await;
        answer.refuses(401, "Not authenticated");
        assert_eq!(answer.header("www-authenticate"), "Bearer", "{header:?}");
    }
    for token in ["x", "a.b.c", &ada.refresh, &format!("{}x", ada.access), "é"] {
        let answer = answer(me().header("authorization", format!("Bearer {token}"))).await;
        if token == "é" && answer.body["detail"] == "Not authenticated" {
            // A header that is no ASCII has no scheme that could be read.
            continue;
        }
        answer.refuses(401, "Could not validate credentials");
        assert_eq!(answer.header("www-authenticate"), "Bearer error=\"invalid_token\"");
    }
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let answer = answer(me().header("authorization", format!("{scheme} {}", ada.access))).await;
        assert_eq!(answer.status, 200, "{scheme}");
    }
    let query = format!("/api/v1.0/users/me?access_token={0}&token={0}", ada.access);
    house.get(&query).await.refuses(401, "Not authenticated");
}

#[tokio::test]
async fn the_root_and_the_old_docs_pages_lead_to_scalar() {
    let house = House::new().await;
    for path in ["/", "/docs", "/redoc", "/docs/", "/redoc/"] {
        let answer = house.get(path).await;
        assert_eq!((answer.status, answer.header("location")), (302, "/scalar"), "{path}");
    }
    let page = house.get("/scalar").await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    let found = house.get("/openapi.json").await;
    found.is(200, document().clone());
    let allow = answer(house.request("POST", "/")).await;
    allow.refuses(405, "Method Not Allowed");
    assert_eq!(set(allow.header("allow")), allowed(&["GET"]));
}

#[tokio::test]
async fn every_path_of_the_table_is_in_the_document_with_its_methods() {
    for (path, methods) in PATHS {
        for method in methods {
            let method: Method = method.parse().unwrap();
            assert!(crate::house::operation(&method, &at(path)).is_some(), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn the_signing_keys_may_be_kept_for_five_minutes_and_asked_for_again_cheaply() {
    let house = House::new().await;
    let path = "/.well-known/jwks.json";
    let found = house.get(path).await;
    assert_eq!(found.header("cache-control"), "public, max-age=300");
    let tag = found.header("etag").to_owned();
    assert!(tag.starts_with("W/\"") && tag.ends_with('"') && tag.len() > 20, "{tag}");
    let again = async |known: &str| answer(house.request("GET", path).header("if-none-match", known)).await;
    let strong = tag.strip_prefix("W/").unwrap();
    for known in [&tag, strong, "*", &format!("\"other\", {tag}"), &format!("\"a, b\",{strong}")] {
        let same = again(known).await;
        assert_eq!((same.status, same.text.as_str()), (304, ""), "{known}");
        assert_eq!((same.header("etag"), same.header("cache-control")), (&*tag, "public, max-age=300"));
    }
    for known in ["", "\"other\"", "W/\"\"", "x"] {
        assert_eq!(again(known).await.text, found.text, "{known}");
    }
    let head = answer(house.request("HEAD", path)).await;
    assert_eq!((head.status, head.header("etag")), (200, &*tag));
    assert_eq!(head.header("content-length"), found.text.len().to_string());

    let keep = house.config.longest_token();
    satchel::domain::auth::keys::rotate(&house.config.keys(), false, &house.clock, keep).unwrap();
    house.server.app.auth.notice_keys().unwrap();
    let changed = again(&tag).await;
    assert_eq!((changed.status, changed.body["keys"].as_array().unwrap().len()), (200, 2));
    assert_ne!(changed.header("etag"), tag);
}

#[tokio::test]
async fn the_signing_keys_are_public_and_nothing_else_of_them() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let found = house.get("/.well-known/jwks.json").await;
    let key = &found.body["keys"][0];
    let (kid, x) = (key["kid"].as_str().unwrap(), key["x"].as_str().unwrap());
    assert_eq!(URL_SAFE_NO_PAD.decode(x).unwrap().len(), 32);
    let head = URL_SAFE_NO_PAD.decode(ada.access.split('.').next().unwrap()).unwrap();
    let head: Value = serde_json::from_slice(&head).unwrap();
    assert_eq!((&head["kid"], &head["alg"]), (&json!(kid), &json!("EdDSA")));
    let key = json!({ "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": kid, "x": x });
    found.is(200, json!({ "keys": [key] }));
}
