//! todolist: every refusal under `/v1` wears the envelope, whatever it is of, and none elsewhere does.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{BAD_TOKEN, NO_OBJECT, NO_TOKEN, Said, ask, get, look_into, member, registration, send};
use crate::house::{House, answer};

/// Every path with its methods.
const PATHS: [(&str, &[&str]); 9] = [
    ("/health", &["GET"]),
    ("/auth/register", &["POST"]),
    ("/auth/login", &["POST"]),
    ("/auth/me", &["GET"]),
    ("/auth/logout", &["POST"]),
    ("/users", &["GET", "POST"]),
    ("/users/1", &["GET", "PATCH", "DELETE"]),
    ("/todos", &["GET", "POST"]),
    ("/todos/1", &["GET", "PATCH", "DELETE"]),
];

fn allowed(methods: &[&str]) -> BTreeSet<String> {
    let mut allowed: BTreeSet<String> = methods.iter().map(|method| (*method).to_owned()).collect();
    allowed.insert("OPTIONS".into());
    if methods.contains(&"GET") {
        allowed.insert("HEAD".into());
    }
    allowed
}

fn allow(answer: &Said) -> BTreeSet<String> {
    answer.header("allow").split(',').map(|method| method.trim().to_owned()).collect()
}

#[tokio::test]
async fn an_unknown_path_is_not_found_in_the_envelope() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    for path in [
        "/v1",
        "/v1/",
        "/v1/nope",
        "/v1/nope/",
        "/v1/todos/1/nope",
        "/v1/users/1/nope",
        "/v1/users/1/todos",
        "/v1/auth",
        "/v1/auth/",
        "/v1/auth/refresh",
        "/v1/health/nope",
        "/v1/Todos",
        "/v1/todos%2F1",
    ] {
        for method in ["GET", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"] {
            ask(house.request(method, path)).await.refuses(404, "Not Found");
            ask(house.request(method, path).bearer_auth(&ada.access)).await.refuses(404, "Not Found");
        }
    }
}

#[tokio::test]
async fn a_path_outside_keeps_the_house_s_words() {
    let house = House::new().await;
    for path in
        ["/v10/x", "/v10", "/v1x", "/v1.0/todos", "/V1/todos", "/nope", "/api/v1/todos", "/api/v1.0/x"]
    {
        answer(house.request("GET", path)).await.refuses(404, "Not Found");
    }
    let other = answer(house.request("DELETE", "/health")).await;
    other.refuses(405, "Method Not Allowed");
}

#[tokio::test]
async fn another_method_is_refused_in_the_envelope_with_those_that_there_are() {
    let house = House::new().await;
    for (path, methods) in PATHS {
        for path in [path.to_owned(), format!("{path}/")] {
            for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE"] {
                if methods.contains(&method) {
                    continue;
                }
                let answer = send(&house, None, method, &path, Value::Null).await;
                answer.refuses(405, "Method Not Allowed");
                assert_eq!(allow(&answer), allowed(methods), "{method} {path}");
            }
            let answer = send(&house, None, "OPTIONS", &path, Value::Null).await;
            answer.is_empty();
            assert_eq!(allow(&answer), allowed(methods), "{path}");
        }
    }
}

#[tokio::test]
async fn head_answers_what_get_does_without_the_body() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    for (path, methods) in PATHS {
        let head = send(&house, &ada, "HEAD", path, Value::Null).await;
        assert_eq!(head.text, "");
        if methods.contains(&"GET") {
            let whole = get(&house, &ada, path).await;
            let told = |answer: &Said| (answer.status, answer.header("content-length").to_owned());
            assert_eq!(told(&head), told(&whole), "{path}");
        } else {
            assert_eq!(head.status, 405, "{path}");
        }
    }
}

#[tokio::test]
async fn each_path_answers_with_and_without_a_slash_at_its_end() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    for path in ["/health", "/auth/me", "/users", "/users/1", "/todos", "/todos/7"] {
        let (bare, slash) = (get(&house, &ada, path).await, get(&house, &ada, &format!("{path}/")).await);
        assert_eq!(bare.status, slash.status, "{path}");
        if bare.status == 200 {
            assert_eq!(bare.text, slash.text);
        }
    }
    let made = send(&house, None, "POST", "/users/", registration("ben")).await;
    assert_eq!(made.status, 201);
    assert_eq!(send(&house, &ada, "POST", "/todos/", json!({ "title": "x" })).await.status, 201);
    send(&house, &ada, "POST", "/auth/logout/", Value::Null).await.is_empty();
}

#[tokio::test]
async fn the_request_id_of_the_client_is_in_the_envelope_if_it_is_a_sane_one() {
    let house = House::new().await;
    for id in ["abc-123", "A.b:c_9", &"x".repeat(128)] {
        for path in ["/v1/nope", "/v1/todos", "/v1/users/0"] {
            let answer = ask(house.request("GET", path).header("x-request-id", id)).await;
            assert_eq!(answer.body["request_id"], json!(id));
            assert_eq!(answer.header("x-request-id"), id);
        }
    }
    for id in ["", "a b", "\"},{\"", &"x".repeat(129)] {
        let answer = ask(house.request("GET", "/v1/todos").header("x-request-id", id)).await;
        answer.refuses(401, NO_TOKEN);
        assert_ne!(answer.header("x-request-id"), id);
        assert!(uuid::Uuid::parse_str(answer.header("x-request-id")).is_ok());
    }
    let (one, two) = (get(&house, None, "/nope").await, get(&house, None, "/nope").await);
    assert_ne!(one.body["request_id"], two.body["request_id"]);
}

#[tokio::test]
async fn what_is_no_json_is_told_with_its_place() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let post = |path: &str, body: &'static str| {
        let request = house.request("POST", path).bearer_auth(&ada.access);
        ask(request.header("content-type", "application/json").body(body))
    };
    for path in ["/v1/todos", "/v1/users", "/v1/auth/register", "/v1/auth/login"] {
        for (body, field) in [
            ("{", "body.1"),
            ("x", "body.0"),
            ("{\"title\": ", "body.10"),
            ("{'title': 1}", "body.1"),
            ("{\"title\": \"x\"} x", "body.15"),
        ] {
            post(path, body).await.invalid(&[(field, "JSON decode error", "json_invalid")]);
        }
        for body in ["", "null"] {
            post(path, body).await.invalid(&[("body", "Field required", "missing")]);
        }
        for body in ["[]", "[{}]", "12", "true", "\"text\""] {
            post(path, body).await.invalid(&[("body", NO_OBJECT, "model_attributes_type")]);
        }
    }
}

#[tokio::test]
async fn every_fault_of_path_and_body_stands_in_one_envelope() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    send(&house, None, "POST", "/users", json!({})).await.invalid(&[
        ("body.email", "Field required", "missing"),
        ("body.username", "Field required", "missing"),
        ("body.full_name", "Field required", "missing"),
        ("body.password", "Field required", "missing"),
    ]);
    let change = json!({ "title": "", "is_completed": "maybe", "priority": "urgent" });
    send(&house, &ada, "PATCH", "/todos/0", change).await.invalid(&[
        ("path.todo_id", super::AT_LEAST_ONE, "greater_than_equal"),
        ("body.title", "String should have at least 1 character", "string_too_short"),
        ("body.is_completed", super::NO_BOOLEAN, "bool_parsing"),
        ("body.priority", "Input should be 'low', 'medium' or 'high'", "enum"),
    ]);
    get(&house, &ada, "/todos?page=0&page_size=x&completed=perhaps").await.invalid(&[
        ("query.page", super::AT_LEAST_ONE, "greater_than_equal"),
        ("query.page_size", super::NO_INTEGER, "int_parsing"),
        ("query.completed", super::NO_BOOLEAN, "bool_parsing"),
    ]);
}

#[tokio::test]
async fn a_422_repeats_nothing_of_what_was_sent() {
    let house = House::new().await;
    let given =
        json!({ "email": "s3cr3t", "username": "s3cr3t s3cr3t", "password": "s3cr3t", "full_name": 1 });
    let answer = send(&house, None, "POST", "/users", given).await;
    assert_eq!(answer.status, 422);
    assert!(!answer.text.contains("s3cr3t"), "{}", answer.text);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_in_the_envelope() {
    let house = House::with(|config| config.server.body_max_bytes = 200).await;
    let ada = member(&house, "ada").await;
    let large = json!({ "title": "x".repeat(250) });
    for (method, path) in [("POST", "/todos"), ("PATCH", "/todos/1"), ("POST", "/auth/login")] {
        let answer = send(&house, &ada, method, path, large.clone()).await;
        answer.refuses(413, "Request body is too large");
    }
    send(&house, None, "POST", "/todos", large).await.refuses(401, NO_TOKEN);
    assert_eq!(send(&house, &ada, "POST", "/todos", json!({ "title": "x" })).await.status, 201);
}

/// Sends a head, and never the body that it announces: the answer's status, its request id and its body.
async fn never_ends(house: &House, path: &str) -> (u16, String, Value) {
    let mut stream = TcpStream::connect(house.server.address).await.unwrap();
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while !text.ends_with('}') {
        let read = stream.read(&mut buffer).await.unwrap();
        assert_ne!(read, 0, "the connection ended without an answer: {text}");
        text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let id = head.lines().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap();
    (head[9..12].parse().unwrap(), id.to_owned(), serde_json::from_str(body).unwrap())
}

#[tokio::test]
async fn a_body_that_never_comes_is_a_408_in_the_envelope() {
    let house = House::with(|config| config.server.request_timeout_seconds = 1).await;
    // The clock on the wall must be waited for here: once, for all of them.
    let all = (0..8).map(|_| never_ends(&house, "/v1/auth/login"));
    for (status, id, body) in futures_util::future::join_all(all).await {
        let error = json!({ "status_code": 408, "message": "Request Timeout", "type": "client_error" });
        assert_eq!((status, body), (408, json!({ "error": error, "request_id": id })));
    }
}

#[tokio::test]
async fn a_server_that_cannot_take_more_says_so_in_the_envelope() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    house.server.app.db.close().unwrap();
    let answer = get(&house, &ada, "/todos/1").await;
    answer.refuses(503, "The server is busy. Please try again.");
    assert_eq!(answer.header("retry-after"), "1");
    let answer = send(&house, &ada, "POST", "/todos", json!({ "title": "x" })).await;
    answer.refuses(503, "The server is busy. Please try again.");
    assert_eq!(get(&house, None, "/health").await.status, 503);
}

#[tokio::test]
async fn a_fault_of_ours_is_a_bare_500_that_tells_nothing_of_the_inside() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let first = super::todo(&house, &ada, "Learn Rust").await;
    look_into(&house.database()).execute_batch("drop table todo_totals").unwrap();
    let title = json!({ "title": "x" });
    for (method, path, body) in
        [("GET", "/todos", Value::Null), ("POST", "/todos", title), ("DELETE", "/todos/1", Value::Null)]
    {
        let request = house.request(method, &format!("/v1{path}")).header("x-request-id", "the-fault");
        let request = request.bearer_auth(&ada.access);
        let answer = ask(if body.is_null() { request } else { request.json(&body) }).await;
        let error = json!({ "status_code": 500, "message": "Internal Server Error", "type": "server_error" });
        answer.is(500, json!({ "error": error, "request_id": "the-fault" }));
        assert_eq!(answer.header("x-request-id"), "the-fault");
        for inside in ["todo_totals", "no such table", "select", "sqlite", "src/"] {
            assert!(!answer.text.contains(inside), "{}", answer.text);
        }
    }
    // The rest goes on.
    get(&house, &ada, "/todos/1").await.is(200, first);
    get(&house, &ada, "/auth/me").await.is(200, ada.shown());
}

#[tokio::test]
async fn a_refused_token_is_a_challenge_in_the_header() {
    let house = House::new().await;
    let none = get(&house, None, "/todos").await;
    none.refuses(401, NO_TOKEN);
    assert_eq!(none.header("www-authenticate"), "Bearer");
    let bad = ask(house.request("GET", "/v1/todos").bearer_auth("garbage")).await;
    bad.refuses(401, BAD_TOKEN);
    assert_eq!(bad.header("www-authenticate"), "Bearer error=\"invalid_token\"");
}
