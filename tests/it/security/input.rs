//! Input: whatever is sent, the server says what is wrong with it and stays on its feet.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use satchel::domain::users::Role;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::{say, status_of};
use crate::house::{Guest, House, answer, book, contact, document, registration};

/// Every operation as method and path template, but for those that sign out; those that delete come last.
fn operations() -> Vec<(String, String)> {
    let paths = document()["paths"].as_object().unwrap();
    let all = paths.iter().flat_map(|(path, item)| {
        item.as_object().unwrap().keys().map(move |method| (method.to_ascii_uppercase(), path.clone()))
    });
    let mut all: Vec<_> = all.filter(|(_, path)| !path.contains("logout")).collect();
    all.sort_by_key(|(method, _)| method == "DELETE");
    all
}

/// A house with an administrator's token, in a runtime of its own.
pub(super) struct Range {
    pub(super) runtime: Runtime,
    pub(super) house: House,
    pub(super) admin: Guest,
    book: String,
    item: String,
}

impl Drop for Range {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.runtime.block_on(self.house.forget_letters());
        }
    }
}

impl Range {
    pub(super) fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let (house, admin, book, item) = runtime.block_on(async {
            let house = House::with(|config| config.auth.sign_in_delays = false).await;
            // The last administrator cannot take himself away.
            let admin = house.guest_as("root", Role::Admin).await;
            let book = house.book(&admin, "Dune").await["uuid"].as_str().unwrap().to_owned();
            let item = json!({ "name": "Tea", "category": "Grocery", "price_usd": 1, "in_stock": true });
            let item = answer(house.by(&admin, "POST", "/items").json(&item)).await;
            answer(house.by(&admin, "POST", "/v1/todos").json(&json!({ "title": "Read" }))).await;
            house.confirm(&admin).await;
            let contact = contact("Grace Hopper");
            assert_eq!(answer(house.by(&admin, "POST", "/api/contacts").json(&contact)).await.status, 201);
            (house, admin, book, item.body["id"].as_str().unwrap().to_owned())
        });
        Self { runtime, house, admin, book, item }
    }

    fn fill(&self, path: &str, with: Option<&str>) -> String {
        path.replace("{user_uuid}", with.unwrap_or(&self.admin.uuid))
            .replace("{book_uuid}", with.unwrap_or(&self.book))
            .replace("{contact_id}", with.unwrap_or("1"))
            .replace("{id}", with.unwrap_or(&self.item))
            .replace("{user_id}", with.unwrap_or("1"))
            .replace("{todo_id}", with.unwrap_or("1"))
            .replace("{email}", with.unwrap_or("root@example.com"))
    }

    /// Sends it and gives the status, which the house has held against the document.
    pub(super) fn send(
        &self,
        method: &str,
        path: &str,
        dress: impl FnOnce(reqwest::RequestBuilder) -> reqwest::RequestBuilder,
    ) -> u16 {
        let request = self.house.by(&self.admin, method, path);
        self.runtime.block_on(answer(dress(request))).status
    }
}

/// Runs a property over 64 cases that are the same every time.
pub(super) fn check<S: Strategy>(strategy: &S, test: impl Fn(S::Value)) {
    let config = Config { cases: 64, failure_persistence: None, max_shrink_iters: 0, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    runner
        .run(strategy, |value| {
            test(value);
            Ok(())
        })
        .unwrap();
}

const FIELDS: [&str; 34] = [
    "username",
    "email",
    "first_name",
    "last_name",
    "password",
    "role",
    "is_active",
    "refresh_token",
    "current_password",
    "old_password",
    "new_password",
    "title",
    "author",
    "publisher",
    "publish_date",
    "pages",
    "language",
    "full_name",
    "name",
    "password_hash",
    "category",
    "price_usd",
    "in_stock",
    "description",
    "priority",
    "is_completed",
    "amount",
    "fullname",
    "phone_number",
    "birthday",
    "additional",
    "avatar",
    "id",
    "",
];

pub(super) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[a-z]{1,12}@[a-z]{1,8}\\.com".prop_map(Value::from),
        "[0-9]{1,4}-[0-9]{1,2}-[0-9]{1,2}".prop_map(Value::from),
        vec(any::<char>(), 200..300).prop_map(|letters| Value::from(letters.into_iter().collect::<String>())),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(proptest::sample::select(FIELDS.to_vec()), inner, 0..12).prop_map(|fields| fields
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect()),
        ]
    })
}

#[test]
fn no_json_body_is_answered_with_a_fault() {
    let range = Range::new();
    let seen = RefCell::new(std::collections::BTreeSet::new());
    for (method, path) in operations() {
        let path = range.fill(&path, None);
        check(&any_json().no_shrink(), |body| {
            let status = range.send(&method, &path, |request| request.json(&body));
            assert!(status < 500, "{method} {path} {body}: {status}");
            seen.borrow_mut().insert(status);
        });
    }
    assert!(seen.borrow().contains(&422) && seen.borrow().contains(&200), "{seen:?}");
}

#[test]
fn no_body_of_any_bytes_and_type_is_answered_with_a_fault() {
    let range = Range::new();
    let types = [
        "application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "multipart/form-data",
        "text/plain",
        "application/xml",
        "application/json; charset=utf-16",
        "APPLICATION/JSON",
        "application/vnd.x+json",
        "*/*",
        ";",
        "é",
        "",
    ];
    let bytes = prop_oneof![
        vec(any::<u8>(), 0..200),
        any::<String>().prop_map(String::into_bytes),
        "(username|password|email)=[^&]{0,20}(&[a-z]{0,8}=%?[0-9a-fA-F]{0,3}){0,4}"
            .prop_map(String::into_bytes),
        "--x\r\nContent-Disposition: form-data; name=\"(username|password)\"\r\n\r\n.{0,30}\r\n--x(--)?"
            .prop_map(String::into_bytes),
        any_json().prop_map(|json| json.to_string().into_bytes()),
    ];
    let bodies = (proptest::sample::select(types.to_vec()), bytes);
    for (method, path) in operations() {
        let path = range.fill(&path, None);
        check(&bodies.clone().no_shrink(), |(kind, bytes)| {
            let kind = reqwest::header::HeaderValue::from_bytes(kind.as_bytes()).unwrap();
            let status =
                range.send(&method, &path, |request| request.header("content-type", kind).body(bytes));
            assert!(status < 500, "{method} {path}: {status}");
        });
    }
}

#[test]
fn no_query_is_answered_with_a_fault() {
    let range = Range::new();
    let names = [
        "limit",
        "cursor",
        "new_role",
        "is_active",
        "page",
        "page_size",
        "completed",
        "sort",
        "id",
        "first_name",
        "last_name",
        "is_blocked",
        "sort_by",
        "sort_order",
        "skip",
        "days_range",
        "",
        "%ff",
        "a[b]",
    ];
    let value = prop_oneof![
        any::<String>(),
        any::<i64>().prop_map(|number| number.to_string()),
        "%[0-9a-fA-F]{0,2}.{0,3}",
        Just(String::from("true")),
        Just(String::from("admin")),
    ];
    let query = vec((proptest::sample::select(names.to_vec()), value), 0..5);
    for (method, path) in operations() {
        let path = range.fill(&path, None);
        check(&query.clone().no_shrink(), |pairs| {
            let query: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let status = range.send(&method, &format!("{path}?{}", query.join("&")), |request| request);
            assert!(status < 500, "{method} {path} {query:?}: {status}");
        });
    }
}

#[test]
fn no_path_is_answered_with_a_fault() {
    let range = Range::new();
    let segment = prop_oneof![
        any::<String>().prop_map(|text| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>()),
        vec(any::<u8>(), 1..20)
            .prop_map(|bytes| bytes.iter().map(|byte| format!("%{byte:02X}")).collect::<String>()),
        "[!-~&&[^ #?]]{1,30}",
        any::<i64>().prop_map(|number| number.to_string()),
    ];
    for (method, path) in operations() {
        if !path.contains('{') {
            continue;
        }
        check(&segment.clone().no_shrink(), |segment| {
            let path = range.fill(&path, Some(&segment));
            let token = &range.admin.access;
            let request = format!(
                "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\n\
                 Connection: close\r\n\r\n"
            );
            let (said, _) = range.runtime.block_on(say(&range.house, request));
            // A path that is none at all ends the connection.
            let status = status_of(&said).unwrap_or(400);
            assert!((400..500).contains(&status), "{method} {path}: {said}");
        });
    }
}

#[tokio::test]
async fn a_hostile_id_in_a_path_is_the_clients_fault() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    house.confirm(&ada).await;
    let long = "9".repeat(8_000);
    for id in [
        "0",
        "-1",
        "99999999999999999999",
        "1e9",
        "NaN",
        "null",
        "undefined",
        "true",
        "%00",
        "%ff%fe",
        "..%2f..%2fetc%2fpasswd",
        "%27%20or%20%271%27=%271",
        "1;drop%20table%20users",
        "%F0%9F%98%80",
        "*",
        "%2a",
        "{{7*7}}",
        "$%7B7*7%7D",
        "00000000-0000-0000-0000-000000000000",
        "019a9d5e-6c1f-7c3b-8a54-3f0c1f4e2d1",
        "urn:uuid:x",
        "%0d%0aX-Injected:1",
        long.as_str(),
    ] {
        for (method, path) in [
            ("GET", "/api/v1.0/books"),
            ("PATCH", "/api/v1.0/books"),
            ("DELETE", "/api/v1.0/books"),
            ("GET", "/api/v1.0/users"),
            ("PATCH", "/api/v1.0/users"),
            ("DELETE", "/api/v1.0/users"),
            ("GET", "/api/v1.0/users/email"),
            ("GET", "/items"),
            ("PATCH", "/items"),
            ("DELETE", "/items"),
            ("GET", "/v1/todos"),
            ("PATCH", "/v1/todos"),
            ("DELETE", "/v1/todos"),
            ("GET", "/v1/users"),
            ("PATCH", "/v1/users"),
            ("DELETE", "/v1/users"),
            ("POST", "/admin/block"),
            ("POST", "/admin/unblock"),
            ("GET", "/api/contacts"),
            ("PUT", "/api/contacts"),
            ("DELETE", "/api/contacts"),
            ("GET", "/api/avatars"),
        ] {
            let request = house.by(&ada, method, &format!("{path}/{id}"));
            let request = if method == "PATCH" { request.json(&json!({})) } else { request };
            let refused = answer(request).await;
            assert!((400..500).contains(&refused.status), "{method} {path} {id}: {}", refused.status);
            assert!(!refused.headers.contains_key("x-injected"));
        }
    }
}

#[tokio::test]
async fn a_hostile_address_of_50_000_characters_is_refused_within_a_second() {
    let house = House::new().await;
    for email in [
        format!("{}@example.com", "a".repeat(50_000)),
        format!("a@{}", "a.".repeat(25_000)),
        format!("a@{}com", "-".repeat(50_000)),
        "@".repeat(50_000),
        ".".repeat(50_000),
        "(".repeat(50_000),
        format!("\"{}\"@example.com", "\\\"".repeat(25_000)),
        format!("a@[{}]", "1.".repeat(25_000)),
        format!("{}a@example.com", " ".repeat(50_000)),
        format!("a@example.com{}", "\u{2003}".repeat(50_000)),
        "ä@ö.".repeat(12_500),
        "a+".repeat(25_000),
    ] {
        let begun = Instant::now();
        let mut body = registration("ada");
        body["email"] = json!(email);
        let registered = house.post("/api/v1.0/auth/register", body).await;
        // One that is an address but for its blanks is one.
        assert!(registered.status == 422 || email.trim().len() < 254, "{}", registered.text);
        let signed_in = house.log_in(&email, "x").await;
        assert!((400..500).contains(&signed_in.status), "{}", signed_in.text);
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        house.wait(86_401);
    }
}

async fn post_raw(house: &House, guest: &Guest, body: impl Into<reqwest::Body>) -> (u16, String) {
    let request = house.by(guest, "POST", "/api/v1.0/books/").header("content-type", "application/json");
    let answer = answer(request.body(body)).await;
    (answer.status, answer.text)
}

#[tokio::test]
async fn what_is_no_json_object_is_refused_whatever_it_is() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let good = book("Dune").to_string();
    for body in [
        "",
        " ",
        "{",
        "}",
        "[]",
        "null",
        "1",
        "\"x\"",
        "true",
        "NaN",
        "{'a':1}",
        "{\"a\":}",
        "{\"title\":NaN}",
        "{\"pages\":Infinity}",
        "\u{feff}",
        &format!("\u{feff}\u{feff}{good}"),
        &format!("{good}x"),
        &format!("{good}{good}"),
        &format!("{good},"),
        "{\"a\":1,}",
        "// x\n{}",
        "{\"title\":\"\\ud800\"}",
        "{\"title\":\"\\x00\"}",
        "{\"title\":\"\n\"}",
    ] {
        let (status, text) = post_raw(&house, &ada, body.to_owned()).await;
        assert!(matches!(status, 400 | 422), "{body:?}: {status} {text}");
    }
    for body in [
        &b"\xff\xfe{\0}\0"[..],
        b"{\"title\":\"\xff\"}",
        b"\0",
        b"{\"\xc0\xaf\":1}",
        b"{\"title\":\"\xed\xa0\x80\"}",
    ] {
        let (status, text) = post_raw(&house, &ada, body.to_vec()).await;
        assert!(matches!(status, 400 | 422), "{body:?}: {status} {text}");
    }
}

#[tokio::test]
async fn a_body_nested_thirty_thousand_deep_is_refused() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    for body in [
        "[".repeat(30_000),
        "{\"title\":".repeat(30_000),
        format!("{}{}", "[".repeat(30_000), "]".repeat(30_000)),
    ] {
        assert_eq!(post_raw(&house, &ada, body).await.0, 422);
    }
}

#[tokio::test]
async fn a_field_outside_its_bounds_is_refused() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    for (name, text) in [
        ("pages", "1e400"),
        ("pages", "-1"),
        ("pages", "0"),
        ("pages", "1.5"),
        ("pages", "9223372036854775808"),
        ("pages", "100001"),
        ("pages", "\"NaN\""),
        ("pages", "\"1e3\""),
        ("pages", "\"0x10\""),
        ("pages", "{}"),
        ("pages", "null"),
        ("publish_date", "\"2026-02-30\""),
        ("publish_date", "\"0000-01-01\""),
        ("publish_date", "\"99999-01-01\""),
        ("publish_date", "\"2026-1-1\""),
        ("publish_date", "\"١٩٦٥-٠٨-٠١\""),
        ("publish_date", "[]"),
        ("title", "\"\""),
        ("title", "\"a\\u0000b\""),
        ("title", "7"),
        ("title", "[\"Dune\"]"),
        ("title", "null"),
    ] {
        let mut body = book("Dune");
        body[name] = json!("PLACE");
        let body = body.to_string().replace("\"PLACE\"", text);
        let (status, text) = post_raw(&house, &ada, body.clone()).await;
        assert_eq!(status, 422, "{body}: {text}");
    }
    for (length, status) in [(255, 201), (256, 422)] {
        assert_eq!(post_raw(&house, &ada, book(&"𝄞".repeat(length)).to_string()).await.0, status);
    }
}

#[tokio::test]
async fn a_page_is_bounded_whatever_is_asked_for() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    for path in [
        "/api/v1.0/users/",
        "/api/v1.0/books/",
        "/api/v1.0/books/my-books",
        "/items",
        "/users",
        "/users/deleted",
    ] {
        for query in [
            "limit=-1",
            "limit=0",
            "limit=1001",
            "limit=1000000000",
            "limit=9223372036854775808",
            "limit=1.5",
            "limit=abc",
            "limit=",
            "limit=1%00",
            "cursor=abc",
            "cursor=-1",
            "cursor=%27",
            "cursor=OQ%3D%3D",
            "limit=1&limit=5000",
        ] {
            let refused = answer(house.by(&ada, "GET", &format!("{path}?{query}"))).await;
            assert_eq!(refused.status, 422, "{path}?{query}: {}", refused.text);
        }
    }
    for path in ["/v1/users", "/v1/todos"] {
        for query in [
            "page=0",
            "page=-1",
            "page=9223372036854775808",
            "page=1.5",
            "page=",
            "page=1%00",
            "page_size=0",
            "page_size=101",
            "page_size=-1",
            "page_size=abc",
            "page=1&page=x",
        ] {
            let refused = answer(house.by(&ada, "GET", &format!("{path}?{query}"))).await;
            assert_eq!(refused.status, 422, "{path}?{query}: {}", refused.text);
        }
        let beyond = format!("{path}?page=9223372036854775807&page_size=100");
        assert_eq!(answer(house.by(&ada, "GET", &beyond)).await.status, 200);
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_with_and_without_an_announced_length() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let mut body = book("Dune");
    body["pad"] = json!("x".repeat(house.config.server.body_max_bytes));
    let refused = answer(house.by(&ada, "POST", "/api/v1.0/books/").json(&body)).await;
    refused.refuses(413, "Request body is too large");
    let form = [("username", "x".repeat(house.config.server.body_max_bytes)), ("password", "x".into())];
    assert_eq!(answer(house.request("POST", "/api/v1.0/auth/login").form(&form)).await.status, 413);
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000)).repeat(20);
    for (path, kind) in [
        ("books/", "application/json"),
        ("auth/login", "application/x-www-form-urlencoded"),
        ("auth/login", "multipart/form-data; boundary=x"),
        ("auth/register", "application/json"),
    ] {
        let head = format!(
            "POST /api/v1.0/{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: {kind}\r\n\
             Transfer-Encoding: chunked\r\n\r\n",
            ada.access
        );
        let (said, _) = say(&house, format!("{head}{chunk}0\r\n\r\n")).await;
        // A client that is still sending may lose the answer with the connection.
        assert!(matches!(status_of(&said), Some(413) | None), "{path}: {said}");
    }
    house.get("/health").await.is(200, json!({ "status": "ok" }));
}
