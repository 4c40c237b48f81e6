//! Spelling: no way to write a path and no header leads past the rights.

use super::access::everything;
use super::{say, status_of};
use crate::house::{Guest, House, registration};

/// A request as it goes over the wire, for paths that a client would mend.
fn raw(method: &str, path: &str, guest: Option<&Guest>, extra: &str, body: &str) -> String {
    let token = guest.map_or(String::new(), |guest| format!("Authorization: Bearer {}\r\n", guest.access));
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{token}{extra}Content-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn no_spelling_of_a_path_leads_past_the_rights() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let victim = house.guest("victim").await;
    let before = everything(&house);
    let create = registration("made").to_string();
    let base = "/api/v1.0";
    let targets = [
        ("POST", "users/admin/create".to_owned(), create.as_str()),
        ("POST", "admin/users".to_owned(), create.as_str()),
        ("DELETE", format!("users/admin/{}", victim.uuid), ""),
        ("DELETE", format!("users/{}", victim.uuid), ""),
        ("PATCH", format!("users/admin/{}/role?new_role=admin", ada.uuid), ""),
        ("PATCH", format!("admin/users/{}/role?new_role=admin", ada.uuid), ""),
    ];
    for (method, target, body) in &targets {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let dotted = path.replace('/', "/./");
        let encoded = path.replace('/', "%2f");
        let letter = path.replacen('a', "%61", 1);
        let doubled = path.replace('/', "//");
        for path in [
            format!("{base}/{path}"),
            format!("/{base}/{path}"),
            format!("//{base}//{doubled}"),
            format!("{base}/{path}/"),
            format!("{base}/{path}//"),
            format!("{base}/{path}."),
            format!("{base}/{path}/."),
            format!("{base}/{path}/.."),
            format!("{base}/./{dotted}"),
            format!("{base}/books/../{path}"),
            format!("{base}/books/%2e%2e/{path}"),
            format!("{base}/books/..%2f{path}"),
            format!("{base}/books/..\\{path}"),
            format!("{base}/{encoded}"),
            format!("{base}/{letter}"),
            format!("{base}/{}", letter.replace('%', "%25")),
            format!("{base}/{}", path.to_uppercase()),
            format!("{base}/{path};a=b"),
            format!("{base}/{path};.json"),
            format!("{base}/{path}.json"),
            format!("{base}/{path}%20"),
            format!("{base}/{path}%00"),
            format!("{base}/{path}%0d%0a"),
            format!("{base}/{path}\t"),
            format!("{base}/{path}?x#y"),
            format!("http://localhost{base}/{path}"),
            format!("http://127.0.0.1:1{base}/{path}"),
            format!("/api/v1.0/../v1.0/{path}"),
            format!("/api%2fv1.0/{path}"),
        ] {
            let path = if query.is_empty() { path } else { format!("{path}?{query}") };
            for guest in [None, Some(&ada)] {
                let (said, _) = say(&house, raw(method, &path, guest, "", body)).await;
                let status = status_of(&said).unwrap_or(400);
                assert!((400..500).contains(&status), "{method} {path}: {said}");
            }
        }
    }
    assert_eq!(everything(&house), before);
}

#[tokio::test]
async fn no_header_changes_the_method_or_the_path() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let victim = house.guest("victim").await;
    let before = everything(&house);
    let admin = format!("/api/v1.0/users/admin/{}", victim.uuid);
    let own = format!("/api/v1.0/users/{}", ada.uuid);
    for (method, path, headers) in [
        ("GET", own.as_str(), "X-HTTP-Method-Override: DELETE"),
        ("GET", own.as_str(), "X-HTTP-Method: DELETE"),
        ("GET", own.as_str(), "X-Method-Override: DELETE"),
        ("GET", &format!("{own}?_method=DELETE"), "X-Nothing: at all"),
        ("GET", "/health", &format!("X-Original-URL: {admin}")),
        ("GET", "/health", &format!("X-Rewrite-URL: {admin}")),
        ("DELETE", "/health", &format!("X-Original-URL: {admin}")),
        ("DELETE", &admin, "X-Original-URL: /health"),
        ("DELETE", &admin, "X-Forwarded-For: 127.0.0.1"),
        ("DELETE", &admin, "X-Forwarded-Prefix: /api\r\nX-Forwarded-Host: localhost"),
        ("DELETE", &admin, "X-User-Id: 1\r\nX-User: root\r\nX-Role: admin\r\nX-Forwarded-User: root"),
        ("DELETE", &admin, "X-Custom-IP-Authorization: 127.0.0.1"),
    ] {
        let (said, _) = say(&house, raw(method, path, Some(&ada), &format!("{headers}\r\n"), "")).await;
        let status = status_of(&said).unwrap();
        let expected = if method == "GET" {
            200
        } else if path == "/health" {
            405
        } else {
            403
        };
        assert_eq!(status, expected, "{method} {path} {headers}: {said}");
    }
    assert_eq!(everything(&house), before);
}
