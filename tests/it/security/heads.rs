//! Heads: a host, a token and an origin that are sent twice, wrongly or not at all, and paths that begin with two slashes.

use satchel::config::Environment;
use serde_json::{Value, json};

use super::{say, status_of};
use crate::house::{House, answer};

/// A header of the first answer in what came back, each of its values.
fn headers<'a>(said: &'a str, name: &str) -> Vec<&'a str> {
    let head = said.split("\r\n\r\n").next().unwrap_or_default();
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    fields.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
}

/// What follows the head.
fn body(said: &str) -> Value {
    serde_json::from_str(said.split_once("\r\n\r\n").unwrap_or_default().1).unwrap_or_default()
}

#[tokio::test]
async fn a_host_that_is_missing_sent_twice_or_impossible_is_refused() {
    let house = House::new().await;
    let refused = json!({ "detail": "Invalid Host header" });
    for head in [
        "GET /health HTTP/1.1\r\n",
        "GET http://localhost/health HTTP/1.1\r\n",
        "GET http://a@localhost/health HTTP/1.1\r\nHost: localhost\r\n",
        "GET /health HTTP/1.1\r\nHost: a\r\nHost: a\r\n",
        "GET /health HTTP/1.1\r\nHost: a\r\nhost: b\r\n",
        "GET http://localhost/health HTTP/1.1\r\nHost: a\r\nHost: b\r\n",
        "GET /health HTTP/1.0\r\nHost: a\r\nHost: a\r\n",
        "GET /health HTTP/1.0\r\nHost: a b\r\n",
        "GET /nowhere HTTP/1.1\r\n",
        "OPTIONS /health HTTP/1.1\r\n",
        "POST /api/v1.0/auth/login HTTP/1.1\r\nContent-Length: 0\r\n",
    ] {
        let (said, _) = say(&house, format!("{head}Connection: close\r\n\r\n")).await;
        assert_eq!(
            (status_of(&said.replacen("/1.0", "/1.1", 1)), body(&said)),
            (Some(400), refused.clone()),
            "{head}: {said}"
        );
    }
    for host in [
        "",
        "a b",
        "a\tb",
        "a@b",
        "a:b@c",
        "a:b",
        "a:-1",
        "a:65536",
        "a:80:80",
        "a/b",
        "a?b",
        "a#b",
        "a\\b",
        "http://a",
        "[",
        "[]",
        "[::1",
        "::1",
        "[::1]a",
        "[::1]:x",
        "[1.2.3.4]",
        "[::1%lo]",
        "ä",
        "a,b c",
        "a%2",
        "a%zz",
        ":80",
    ] {
        let (said, _) =
            say(&house, format!("GET /health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await;
        assert_eq!((status_of(&said), body(&said)), (Some(400), refused.clone()), "{host}: {said}");
    }
    let (said, _) = say(&house, "GET /v1/health HTTP/1.1\r\nConnection: close\r\n\r\n").await;
    assert_eq!(body(&said)["error"]["message"], "Invalid Host header", "{said}");
}

#[tokio::test]
async fn any_host_that_can_be_one_is_taken_and_http_1_0_needs_none() {
    let house = House::new().await;
    for head in [
        "GET /health HTTP/1.1\r\nHost: localhost\r\n",
        "GET /health HTTP/1.1\r\nHost:   localhost:80  \r\n",
        "GET /health HTTP/1.1\r\nhost: EXAMPLE.org.\r\n",
        "GET /health HTTP/1.1\r\nHost: localhost:\r\n",
        "GET /health HTTP/1.1\r\nHost: 127.0.0.1:65535\r\n",
        "GET /health HTTP/1.1\r\nHost: [::1]\r\n",
        "GET /health HTTP/1.1\r\nHost: [2001:db8::7]:8080\r\n",
        "GET /health HTTP/1.1\r\nHost: a_b-c~d.example\r\n",
        "GET /health HTTP/1.1\r\nHost: xn--bcher-kva.example\r\n",
        "GET /health HTTP/1.1\r\nHost: b%C3%BCcher.example\r\n",
        "GET http://other.example/health HTTP/1.1\r\nHost: localhost\r\n",
        "GET /health HTTP/1.0\r\n",
        "GET http://localhost/health HTTP/1.0\r\n",
        "GET /health HTTP/1.0\r\nHost: localhost\r\n",
    ] {
        let (said, _) = say(&house, format!("{head}Connection: close\r\n\r\n")).await;
        assert_eq!(
            (status_of(&said.replacen("/1.0", "/1.1", 1)), body(&said)),
            (Some(200), json!({ "status": "ok" })),
            "{head}: {said}"
        );
    }
}

#[tokio::test]
async fn two_tokens_are_none() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let (access, refresh) = (bearer(&ada.access), bearer(&ada.refresh));
    for (path, tokens) in [
        ("/api/v1.0/users/me", access.repeat(2)),
        ("/api/v1.0/users/me", access.clone() + "Authorization: Basic YTpi\r\n"),
        ("/api/v1.0/users/me", String::from("authorization:\r\n") + &access),
        ("/v1/auth/me", access.repeat(2)),
        ("/items", access.repeat(3)),
        ("/auth/me", access.repeat(2)),
        ("/api/contacts", access.repeat(2)),
        ("/api/auth/refresh_token", refresh.repeat(2)),
    ] {
        let (said, _) =
            say(&house, format!("GET {path} HTTP/1.1\r\nHost: x\r\n{tokens}Connection: close\r\n\r\n")).await;
        assert_eq!(status_of(&said), Some(401), "{path}: {said}");
        assert_eq!(headers(&said, "www-authenticate"), ["Bearer error=\"invalid_token\""], "{path}: {said}");
    }
    assert_eq!(super::refresh(&house, &ada.refresh).await.status, 200, "it was not spent");
}

#[tokio::test]
async fn the_next_page_is_always_on_this_server() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    for title in ["Dune", "Ubik"] {
        house.book(&ada, title).await;
    }
    for path in ["/api/v1.0/books", "//api/v1.0/books", "///api//v1.0/books/", "////api/v1.0/books/"] {
        let request = format!(
            "GET {path}?limit=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
            ada.access
        );
        let (said, _) = say(&house, request).await;
        assert_eq!(status_of(&said), Some(200), "{said}");
        let links = headers(&said, "link");
        let next = links[0].strip_prefix('<').unwrap().split('>').next().unwrap();
        assert!(next.starts_with("/api/"), "{path}: {next}");
        let next = answer(house.request("GET", next)).await;
        assert_eq!((next.status, next.body.as_array().unwrap().len()), (200, 1), "{path}");
    }
    for target in
        ["//evil.example/api/v1.0/books", "http://evil.example/api/v1.0/books?limit=1", "/\\evil.example/"]
    {
        let (said, _) =
            say(&house, format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await;
        assert!(!said.contains("evil"), "{target}: {said}");
    }
}

#[tokio::test]
async fn an_answer_that_may_depend_on_the_origin_says_so_even_when_it_is_a_refusal() {
    let own = "https://app.example.com";
    let house = House::with(|config| {
        config.environment = Environment::Production;
        config.server.cors_origins = vec![own.into()];
        config.server.request_timeout_seconds = 1;
    })
    .await;
    let get = |path: &str, more: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n{more}");
    let preflight = "Access-Control-Request-Method: POST\r\n";
    for (request, status) in [
        (get("/health", ""), 200),
        (get("/api/v1.0/books?limit=x", ""), 422),
        (get("/items", ""), 401),
        (get("/nowhere", ""), 404),
        (get("/api/auth/nowhere", ""), 404),
        (get("/api/email/confirm/x", ""), 422),
        (get("/api/email/confirm/x", "Accept: text/html\r\n"), 422),
        (get("/v1/nowhere", ""), 404),
        ("DELETE /health HTTP/1.1\r\nHost: x\r\n".into(), 405),
        ("DELETE /api/auth/login HTTP/1.1\r\nHost: x\r\n".into(), 405),
        ("GET /health HTTP/1.1\r\n".into(), 400),
        ("POST /api/v1.0/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n".into(), 413),
        // Its body does not come.
        ("POST /api/v1.0/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n".into(), 408),
        ("OPTIONS /health HTTP/1.1\r\nHost: x\r\n".into(), 204),
        (format!("OPTIONS /health HTTP/1.1\r\nHost: x\r\n{preflight}"), 204),
        (format!("OPTIONS /nowhere HTTP/1.1\r\nHost: x\r\n{preflight}"), 404),
    ] {
        for origin in [Some(own), Some("https://evil.example"), None] {
            let origin_line = origin.map_or(String::new(), |origin| format!("Origin: {origin}\r\n"));
            let (said, _) = say(&house, format!("{request}{origin_line}Connection: close\r\n\r\n")).await;
            // Who may ask at all is told so, wherever the path leads.
            let status = if request.contains(preflight) && origin == Some(own) { 204 } else { status };
            assert_eq!(status_of(&said), Some(status), "{request}{origin_line}: {said}");
            let varies = headers(&said, "vary").join(",").to_ascii_lowercase();
            assert!(varies.split(',').any(|name| name.trim() == "origin"), "{request}{origin_line}: {said}");
            let allowed = headers(&said, "access-control-allow-origin");
            assert_eq!(
                allowed,
                if origin == Some(own) { vec![own] } else { vec![] },
                "{request}{origin_line}"
            );
            let is_empty = said.split_once("\r\n\r\n").unwrap().1.is_empty();
            assert_eq!(is_empty, status == 204, "{said}");
        }
    }
    let closed = House::with(|config| config.environment = Environment::Production).await;
    let (said, _) =
        say(&closed, get("/health", "Origin: https://app.example.com\r\nConnection: close\r\n\r\n")).await;
    assert_eq!(headers(&said, "vary"), [""; 0], "{said}");
}
