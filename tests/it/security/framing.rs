//! Framing: heads, lengths and methods that no client should send.

use serde_json::json;

use super::{say, status_of};
use crate::house::House;

#[tokio::test]
async fn a_message_with_two_lengths_is_refused_or_ends_its_connection() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let token = &ada.access;
    let smuggled = format!(
        "DELETE /api/v1.0/users/{} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n",
        ada.uuid
    );
    for framing in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 6",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 0x5",
        "Content-Length: 5 6",
        "Content-Length: 99999999999999999999",
        "Content-Length : 5",
        "Content-Length:",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: \x0bchunked",
        "X: y\r\n Content-Length: 5",
        "X: y\nContent-Length: 5\r\nTransfer-Encoding: chunked",
    ] {
        let request =
            format!("POST /api/v1.0/auth/login HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n0\r\n\r\n{smuggled}");
        let (said, closed) = say(&house, request).await;
        let answers = said.matches("HTTP/1.1 ").count();
        assert!(answers <= 1, "{framing:?}: {said}");
        assert!(closed, "{framing:?} leaves the connection open: {said}");
        assert!(status_of(&said).is_none_or(|status| (400..500).contains(&status)), "{framing:?}: {said}");
        assert_eq!(super::me(&house, token).await, 200, "{framing:?}: the second request was heard");
    }
}

#[tokio::test]
async fn a_head_that_is_none_is_refused() {
    let house = House::new().await;
    for head in [
        "GET / HTTP/9.9\r\n\r\n".to_owned(),
        "GET  /  HTTP/1.1\r\n\r\n".to_owned(),
        "GET /health\r\n\r\n".to_owned(),
        "\0\0\0\0\r\n\r\n".to_owned(),
        "GET /health HTTP/1.1\r\nHost: x\r\nBad Name: x\r\n\r\n".to_owned(),
        "GET /health HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n".to_owned(),
        format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(200_000)),
        format!("GET /health HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "a".repeat(200_000)),
        format!("GET /health HTTP/1.1\r\nHost: x\r\n{}\r\n", "X: y\r\n".repeat(5_000)),
    ] {
        let (said, closed) = say(&house, &head).await;
        let status = status_of(&said).unwrap_or(400);
        assert!((400..500).contains(&status) || status == 505, "{:?}: {said}", &head[..head.len().min(60)]);
        assert!(closed, "{:?}", &head[..head.len().min(60)]);
        assert!(!said.to_lowercase().contains("\nserver:"));
    }
    house.get("/health").await.is(200, json!({ "status": "ok" }));
}

#[tokio::test]
async fn methods_that_no_route_has_are_refused_and_those_that_it_has_are_told() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    for (path, allowed) in [
        ("/api/v1.0/books/", &["GET", "HEAD", "POST", "OPTIONS"][..]),
        ("/api/v1.0/auth/login", &["POST", "OPTIONS"]),
        ("/health", &["GET", "HEAD", "OPTIONS"]),
    ] {
        for method in ["TRACE", "PUT", "PROPFIND", "QUERY", "get", "BREW"] {
            let request = format!(
                "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
                ada.access
            );
            let (said, _) = say(&house, request).await;
            assert_eq!(status_of(&said), Some(405), "{method} {path}: {said}");
            let line =
                said.lines().find(|line| line.to_ascii_lowercase().starts_with("allow:")).unwrap_or_default();
            let mut told: Vec<_> = line[6..].split(',').map(str::trim).collect();
            let mut allowed = allowed.to_vec();
            told.sort_unstable();
            allowed.sort_unstable();
            assert_eq!(told, allowed, "{method} {path}");
            assert!(!said.contains(&ada.access), "{method} echoes the token");
        }
    }
    for target in ["example.com:443", "127.0.0.1:22", "/health"] {
        let (said, _) = say(&house, format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n")).await;
        let status = status_of(&said).unwrap_or(400);
        assert!((400..500).contains(&status), "CONNECT {target}: {said}");
    }
}
