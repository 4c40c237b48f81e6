//! contactbook's limits: each route lets a caller through so often, and says so.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::RequestBuilder;
use satchel::config::{Config, Limits, Overrides};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::auth::{SIGN_UP, confirm, pair, registration};
use super::log_in;
use crate::house::{Answer, Guest, House, PASSWORD, answer, contact, document, send};

/// A route as it is asked here, in a way that changes nothing, and how often a minute.
struct Route {
    operation: &'static str,
    method: &'static str,
    path: &'static str,
    count: u32,
}

const fn route(operation: &'static str, method: &'static str, path: &'static str, count: u32) -> Route {
    Route { operation, method, path, count }
}

const ROUTES: [Route; 17] = [
    route("register", "POST", "/api/auth/signup", 2),
    route("login", "POST", "/api/auth/login", 10),
    route("refresh", "GET", "/api/auth/refresh_token", 10),
    route("request_confirmation", "POST", "/api/auth/request_email", 2),
    route("request_reset", "POST", "/api/auth/reset_pwd", 2),
    route("show_reset", "GET", "/api/auth/reset_pwd/x", 10),
    route("reset_password", "POST", "/api/auth/reset_pwd/x", 10),
    route("confirm_email", "GET", "/api/email/confirm/x", 10),
    route("show_restore", "GET", "/api/email/restore/x", 10),
    route("restore_email", "POST", "/api/email/restore/x", 10),
    route("list_contacts", "GET", "/api/contacts/", 10),
    route("create_contact", "POST", "/api/contacts/", 2),
    route("list_birthdays", "GET", "/api/contacts/bd", 10),
    route("find_contact", "GET", "/api/contacts/nobody", 10),
    route("update_contact", "PUT", "/api/contacts/1", 10),
    route("delete_contact", "DELETE", "/api/contacts/1", 10),
    route("update_avatar", "PATCH", "/api/contacts/1/avatar", 10),
];

async fn house_with(limits: Limits) -> House {
    House::with(|config| config.contactbook.limits = limits).await
}

/// A house with the limits as they are shipped.
async fn limited() -> House {
    house_with(Limits::default()).await
}

/// A house with limits from a configuration file.
async fn settled(toml: &str) -> House {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.toml");
    std::fs::write(&path, toml).unwrap();
    let config = Config::load(Some(&path), std::iter::empty(), &Overrides::default()).unwrap();
    house_with(config.contactbook.limits).await
}

/// Somebody who is signed in and confirmed, and has used no limited route for that.
async fn user(house: &House, name: &str) -> Guest {
    let guest = house.guest(name).await;
    house.confirm(&guest).await;
    guest
}

impl Route {
    fn demands_token(&self) -> bool {
        self.path.starts_with("/api/contacts/")
    }

    /// A request, with an empty JSON body where the method has one.
    fn request(&self, house: &House, who: Option<&Guest>) -> RequestBuilder {
        let request = house.request(self.method, self.path);
        let request = match who {
            Some(guest) => request.bearer_auth(&guest.access),
            None => request,
        };
        if matches!(self.method, "GET" | "DELETE") { request } else { request.json(&json!({})) }
    }

    async fn ask(&self, house: &House, who: Option<&Guest>) -> Answer {
        answer(self.request(house, who)).await
    }
}

/// What `RateLimit-Limit`, `-Remaining` and `-Reset` say.
fn told(answer: &Answer) -> String {
    ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"].map(|name| answer.header(name)).join(" ")
}

#[track_caller]
fn is_let_through(answer: &Answer, expected: &str) {
    assert_ne!(answer.status, 429, "{}", answer.text);
    assert_eq!((told(answer).as_str(), answer.header("retry-after")), (expected, ""), "{}", answer.text);
}

#[track_caller]
fn is_refused(answer: &Answer, count: u32, wait: u32) {
    answer.is(429, json!({ "error": format!("Rate limit exceeded: {count} per 1 minute") }));
    assert_eq!(told(answer), format!("{count} 0 {wait}"));
    assert_eq!(answer.header("retry-after"), wait.to_string());
    assert_eq!(answer.header("content-type"), "application/json");
}

#[tokio::test]
async fn each_route_lets_each_caller_through_as_often_as_documented_and_no_more() {
    let house = limited().await;
    let (ada, ben) = (user(&house, "ada").await, user(&house, "ben").await);
    // All within one second: so no route takes from another, and no caller from another.
    for _ in 0..2 {
        for route in &ROUTES {
            // Where nobody needs a token, nobody has more for having one.
            let callers = if route.demands_token() { &[None, Some(&ada), Some(&ben)][..] } else { &[None] };
            for who in callers {
                for left in (0..route.count).rev() {
                    is_let_through(&route.ask(&house, *who).await, &format!("{} {left} 60", route.count));
                }
            }
            for who in [None, Some(&ada), Some(&ben)] {
                is_refused(&route.ask(&house, who).await, route.count, 60);
            }
        }
        house.wait(59);
        for route in &ROUTES {
            is_refused(&route.ask(&house, Some(&ada)).await, route.count, 1);
        }
        house.wait(1);
    }
}

#[tokio::test]
async fn many_accounts_at_one_address_do_not_get_many_windows_where_no_token_is_needed() {
    let house = limited().await;
    for route in ROUTES.iter().filter(|route| !route.demands_token()) {
        let mut let_through = 0;
        for name in ["ada", "ben", "eve"] {
            let guest = match house.log_in(&format!("{name}@example.com"), PASSWORD).await {
                Answer { status: 401, .. } => user(&house, name).await,
                _ => house.sign_in(name, String::new()).await,
            };
            for _ in 0..route.count {
                let_through += u32::from(route.ask(&house, Some(&guest)).await.status != 429);
            }
        }
        assert_eq!(let_through, route.count, "{}", route.operation);
    }
}

#[test]
fn every_operation_of_the_document_that_has_a_limit_is_in_the_table() {
    let mut limited = Vec::new();
    for (path, methods) in document()["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let whole = operation["responses"]["429"].to_string();
            let ours = path.starts_with("/api/") && !path.starts_with("/api/v1.0");
            if ours && whole.contains("Rate limit exceeded") {
                let id = operation["operationId"].as_str().unwrap();
                limited.push((id.strip_prefix("contactbook_").unwrap(), whole.contains("2 per 1 minute")));
            } else {
                assert!(!ours || path == "/api/avatars/{name}", "{method} {path} has no limit");
            }
        }
    }
    limited.sort_unstable();
    let mut expected: Vec<_> = ROUTES.iter().map(|route| (route.operation, route.count == 2)).collect();
    // Counted with the link that shows it.
    expected.push(("confirm_email_by_button", false));
    expected.sort_unstable();
    assert_eq!(limited, expected);
}

#[tokio::test]
async fn pictures_and_other_apis_have_no_such_limit() {
    let house = limited().await;
    let ada = user(&house, "ada").await;
    for path in ["/api/avatars/x", "/api/v1.0/books/", "/v1/auth/me", "/health"] {
        for _ in 0..25 {
            let answer = send(&house, &ada, "GET", path, json!(null)).await;
            assert!(answer.status != 429 && told(&answer) == "  ", "{path}: {}", answer.text);
        }
    }
}

#[tokio::test]
async fn what_was_done_counts_as_what_was_refused_does() {
    let house = limited().await;
    let made = house.post(SIGN_UP, registration("ada")).await;
    assert_eq!(made.status, 201, "{}", made.text);
    is_let_through(&made, "2 1 60");
    let again = house.post(SIGN_UP, registration("ada")).await;
    again.refuses(409, "Already exists");
    is_let_through(&again, "2 0 60");
    is_refused(&house.post(SIGN_UP, registration("ben")).await, 2, 60);
    confirm(&house, house.letter().await.token()).await.is(200, json!({ "message": "Email confirmed" }));
    house.wait(60);
    assert_eq!(house.post(SIGN_UP, registration("ben")).await.status, 201);
    assert_eq!(house.letter().await.to, "ben@example.com");
    for _ in 0..10 {
        pair(&log_in(&house, "ada@example.com", PASSWORD).await);
    }
    is_refused(&log_in(&house, "ada@example.com", PASSWORD).await, 10, 60);
    // Who signs in at another door is not counted, and is let through.
    assert_eq!(house.log_in("ada@example.com", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn the_limit_is_asked_before_token_body_and_rights() {
    let house = limited().await;
    let ada = house.guest("ada").await;
    for _ in 0..2 {
        let refused = send(&house, &ada, "POST", "/api/contacts/", contact("Grace Hopper")).await;
        refused.refuses(401, "Email not confirmed");
    }
    is_refused(&send(&house, &ada, "POST", "/api/contacts/", contact("Grace Hopper")).await, 2, 60);
    // A token that is no good makes no new caller: a stranger's are counted together.
    let bad = |token: &str| house.request("POST", "/api/contacts/").bearer_auth(token).json(&json!({}));
    answer(bad("x")).await.refuses(401, "Wrong credentials");
    answer(house.request("POST", "/api/contacts/")).await.refuses(401, "Not authenticated");
    for token in ["y", &ada.refresh, &format!("{}x", ada.access)] {
        is_refused(&answer(bad(token)).await, 2, 60);
    }
}

#[tokio::test]
async fn who_is_over_the_limit_is_answered_before_the_body_has_come() {
    let house = limited().await;
    for route in ROUTES.iter().filter(|route| matches!(route.method, "POST" | "PUT" | "PATCH")) {
        for _ in 0..route.count {
            route.ask(&house, None).await;
        }
        // Nothing is hashed, then: there is no password yet.
        let mut stream = TcpStream::connect(house.server.address).await.unwrap();
        let head = format!(
            "{} {} HTTP/1.1\r\nHost: satchel\r\nContent-Type: application/json\r\nContent-Length: 60\r\n\r\n",
            route.method, route.path
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut said = Vec::new();
        let wanted = format!("{{\"error\":\"Rate limit exceeded: {} per 1 minute\"}}", route.count);
        let listen = async {
            while !said.ends_with(wanted.as_bytes()) {
                assert_ne!(
                    stream.read_buf(&mut said).await.unwrap(),
                    0,
                    "{}",
                    String::from_utf8_lossy(&said)
                );
            }
        };
        tokio::time::timeout(Duration::from_secs(20), listen).await.expect("it waits for the body");
        assert!(said.starts_with(b"HTTP/1.1 429 "), "{}", String::from_utf8_lossy(&said));
    }
}

#[tokio::test]
async fn every_way_to_write_a_path_and_every_contact_share_a_counter() {
    let house =
        settled("[contactbook.limits]\nlist_contacts = \"6/minute\"\nfind_contact = \"4/minute\"").await;
    let ada = user(&house, "ada").await;
    let get = async |method: &str, path: &str| send(&house, &ada, method, path, json!(null)).await;
    let lists =
        ["/api/contacts/", "/api/contacts", "//api/contacts/", "/api//contacts", "/api/contacts?skip=1"];
    for (path, left) in lists.iter().zip((1..6).rev()) {
        is_let_through(&get("GET", path).await, &format!("6 {left} 60"));
    }
    is_let_through(&get("HEAD", "/api/contacts/").await, "6 0 60");
    for path in lists {
        is_refused(&get("GET", path).await, 6, 60);
    }
    assert_eq!(get("HEAD", "/api/contacts/").await.status, 429);
    assert_eq!(get("OPTIONS", "/api/contacts/").await.status, 204);
    for (name, left) in [("a", 3), ("b", 2), ("%C3%BC", 1), ("b%2fd", 0)] {
        is_let_through(&get("GET", &format!("/api/contacts/{name}")).await, &format!("4 {left} 60"));
    }
    is_refused(&get("GET", "/api/contacts/c").await, 4, 60);
}

#[tokio::test]
async fn a_burst_at_once_does_not_slip_through() {
    let house = limited().await;
    let bursts = join_all((0..30).map(|_| log_in(&house, "nobody@example.com", ""))).await;
    assert_eq!(bursts.iter().filter(|answer| answer.status == 422).count(), 10);
    assert_eq!(bursts.iter().filter(|answer| answer.status == 429).count(), 20);
}

#[tokio::test]
async fn a_header_makes_another_client_only_when_a_trusted_proxy_wrote_it() {
    let names =
        ["x-forwarded-for", "x-real-ip", "forwarded", "cf-connecting-ip", "true-client-ip", "x-client-ip"];
    let post = async |house: &House, name: &str, value: &str| {
        answer(house.request("POST", SIGN_UP).header(name, value).json(&json!({}))).await
    };
    let house = limited().await;
    for left in [1, 0] {
        is_let_through(&post(&house, "x-forwarded-for", "192.0.2.1").await, &format!("2 {left} 60"));
    }
    for name in names {
        is_refused(&post(&house, name, "192.0.2.2").await, 2, 60);
    }

    let house = House::with(|config| {
        config.contactbook.limits = Limits::default();
        config.server.trusted_proxies.0 = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    for client in ["192.0.2.1", "192.0.2.2", "2001:db8::1"] {
        // What stands left of the last one was written by the client himself.
        for (before, left) in [("", 1), ("198.51.100.9, ", 0)] {
            let answer = post(&house, "x-forwarded-for", &format!("{before}{client}")).await;
            is_let_through(&answer, &format!("2 {left} 60"));
        }
        is_refused(&post(&house, "x-forwarded-for", &format!("198.51.100.77, {client}")).await, 2, 60);
    }
    for name in &names[1..] {
        let answer = answer(
            house.request("POST", SIGN_UP).header("x-forwarded-for", "192.0.2.1").header(*name, "192.0.2.9"),
        );
        assert_eq!(answer.await.status, 429, "{name}");
    }
}

#[tokio::test]
async fn a_signed_in_user_is_the_same_wherever_he_is_and_whichever_token_he_has() {
    let house = House::with(|config| {
        config.contactbook.limits = Limits::default();
        config.server.trusted_proxies.0 = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let ada = user(&house, "ada").await;
    let again = house.log_in(&ada.email, PASSWORD).await.body["access_token"].as_str().unwrap().to_owned();
    let post = async |from: &str, token: &str| {
        let request = house.request("POST", "/api/contacts/").header("x-forwarded-for", from);
        answer(request.bearer_auth(token).json(&json!({}))).await
    };
    is_let_through(&post("192.0.2.1", &ada.access).await, "2 1 60");
    is_let_through(&post("192.0.2.2", &again).await, "2 0 60");
    is_refused(&post("192.0.2.3", &ada.access).await, 2, 60);
    // His neighbour behind the same address has lost nothing.
    let ben = user(&house, "ben").await;
    is_let_through(&post("192.0.2.1", &ben.access).await, "2 1 60");
}

#[tokio::test]
async fn a_setting_turns_a_limit_off_or_makes_it_another() {
    let house = settled(
        "[contactbook.limits]\ncreate_contact = \"off\"\nsignup = \"3/hour\"\nlogin = \"1/second\"\n\
         confirm_email = \"5/day\"",
    )
    .await;
    let ada = user(&house, "ada").await;
    for n in 0..30 {
        let made = send(&house, &ada, "POST", "/api/contacts/", contact(&format!("Grace {n}"))).await;
        assert_eq!((made.status, told(&made).as_str()), (201, "  "), "{}", made.text);
    }
    let cases: [(&str, &str, u32, &str, u64); 3] = [
        ("POST", SIGN_UP, 3, "3 per 1 hour", 3600),
        ("POST", "/api/auth/login", 1, "1 per 1 second", 1),
        ("GET", "/api/email/confirm/x", 5, "5 per 1 day", 86_400),
    ];
    for (method, path, count, words, seconds) in cases {
        let body = if method == "GET" { Value::Null } else { json!({}) };
        for left in (0..count).rev() {
            let answer = send(&house, None, method, path, body.clone()).await;
            is_let_through(&answer, &format!("{count} {left} {seconds}"));
        }
        let refused = send(&house, None, method, path, body.clone()).await;
        refused.is(429, json!({ "error": format!("Rate limit exceeded: {words}") }));
        assert_eq!(refused.header("retry-after"), seconds.to_string());
        house.wait(seconds);
        assert_ne!(send(&house, None, method, path, body).await.status, 429, "{path}");
    }
    // What is not named keeps its own.
    for _ in 0..2 {
        house.post("/api/auth/reset_pwd", json!({})).await;
    }
    is_refused(&house.post("/api/auth/reset_pwd", json!({})).await, 2, 60);
}
