//! Origins: which pages in a browser may read answers, what they are told before they ask, and what the log says of the others.

use std::collections::BTreeSet;

use reqwest::Response;
use satchel::config::{Environment, Limit};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::binary::{Place, Serving};
use crate::house::{House, PASSWORD, document};

/// Where the development server of a browser app usually is.
const APP: &str = "http://localhost:5173";
const LISTED: &str = "https://app.example.org";

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

/// The words of a header that is a list, however many lines it takes.
fn words(response: &Response, name: &str) -> BTreeSet<String> {
    let lines = response.headers().get_all(name).iter().map(|value| value.to_str().unwrap());
    lines.flat_map(|line| line.split(',')).map(|word| word.trim().to_ascii_lowercase()).collect()
}

/// What a browser asks before it sends a request of this method.
async fn preflight(house: &House, origin: &str, method: &str, path: &str) -> Response {
    let request = house.request("OPTIONS", path).header("origin", origin);
    let request = request.header("access-control-request-method", method);
    request.header("access-control-request-headers", "authorization,x-anything").send().await.unwrap()
}

/// Says whether a page of this origin may read the answers, before a request and after it.
async fn lets_in(house: &House, origin: &str, expected: bool) {
    let asked = preflight(house, origin, "PATCH", "/v1/todos/1").await;
    let got = house.request("GET", "/v1/todos").header("origin", origin).send().await.unwrap();
    assert_eq!((asked.status().as_u16(), got.status().as_u16()), (204, 401), "{origin}");
    for response in [&asked, &got] {
        assert_eq!(header(response, "access-control-allow-origin"), expected.then_some(origin), "{origin}");
        assert_eq!(
            header(response, "access-control-allow-credentials"),
            expected.then_some("true"),
            "{origin}"
        );
    }
    let told = |name| header(&asked, name).map(str::to_owned);
    let wanted = expected.then(|| String::from("authorization,x-anything"));
    assert_eq!(told("access-control-allow-headers"), wanted, "{origin}");
    assert_eq!(words(&asked, "access-control-allow-methods").contains("patch"), expected, "{origin}");
    assert_eq!(told("access-control-max-age").is_some(), expected, "{origin}");
    if expected {
        assert_eq!(
            told("access-control-expose-headers"),
            None,
            "{origin}: a page reads no answer to a preflight"
        );
    }
    assert_eq!(words(&got, "access-control-expose-headers").contains("retry-after"), expected, "{origin}");
}

fn production(config: &mut satchel::config::Config) {
    config.environment = Environment::Production;
}

#[tokio::test]
async fn in_development_pages_of_the_own_machine_may_call_from_any_port() {
    let house = House::new().await;
    for origin in [
        APP,
        "http://localhost",
        "https://localhost:8443",
        "http://127.0.0.1:3000",
        "http://127.3.2.1",
        "http://[::1]:4200",
        "https://[::1]",
        "http://shop.localhost:5173",
        "http://a.b.localhost",
    ] {
        lets_in(&house, origin, true).await;
    }
}

#[tokio::test]
async fn in_development_no_page_of_another_machine_may_call() {
    let house = House::new().await;
    for origin in [
        "null",
        "*",
        "",
        "localhost:5173",
        "//localhost:5173",
        "http://localhost.evil.example",
        "http://evil-localhost:5173",
        "http://localhost:5173.evil.example",
        "http://localhost@evil.example",
        "http://127.0.0.1.evil.example",
        "http://127.0.0.1.nip.io:5173",
        "http://.localhost",
        "http://192.168.1.7:5173",
        "http://128.0.0.1",
        "http://[::2]",
        "http://[::1].evil.example",
        "http://localhost:5173/",
        "http://localhost:5173/page",
        "http://localhost:5173, https://evil.example",
        "http://localhost:99999",
        "ftp://localhost",
        "chrome-extension://localhost",
        "https://app.example.org",
    ] {
        lets_in(&house, origin, false).await;
    }
}

#[tokio::test]
async fn in_production_only_the_pages_that_are_named_may_call() {
    let house = House::with(|config| {
        production(config);
        let origins =
            [LISTED, "https://SHOP.example.org:443", "http://[2001:DB8:0::7]:8080", "capacitor://localhost"];
        config.server.cors_origins = origins.map(String::from).to_vec();
    })
    .await;
    for origin in [LISTED, "https://shop.example.org", "http://[2001:db8::7]:8080", "capacitor://localhost"] {
        lets_in(&house, origin, true).await;
    }
    for origin in [
        APP,
        "http://127.0.0.1:3000",
        "http://[::1]",
        "null",
        "http://app.example.org",
        "https://app.example.org:8443",
        "https://app.example.org.evil.example",
        "https://a.app.example.org",
        "https://example.org",
        "http://shop.example.org",
    ] {
        lets_in(&house, origin, false).await;
    }
}

#[tokio::test]
async fn in_production_without_a_list_no_answer_depends_on_the_origin() {
    let house = House::with(production).await;
    lets_in(&house, APP, false).await;
    let got = house.request("GET", "/health").header("origin", APP).send().await.unwrap();
    assert!(!words(&got, "vary").contains("origin"));
}

/// The network of the page is less private than the server's: Chrome asks that, too.
#[tokio::test]
async fn a_page_that_may_call_may_do_so_from_another_network() {
    let house = House::with(|config| config.server.cors_origins = vec![LISTED.into()]).await;
    for (origin, expected) in [(APP, Some("true")), (LISTED, Some("true")), ("https://evil.example", None)] {
        let asked = house.request("OPTIONS", "/health").header("origin", origin);
        let asked = asked.header("access-control-request-method", "GET");
        let asked = asked.header("access-control-request-private-network", "true").send().await.unwrap();
        assert_eq!(header(&asked, "access-control-allow-private-network"), expected, "{origin}");
    }
}

#[tokio::test]
async fn every_operation_of_the_document_may_be_asked_for_before() {
    let house = House::new().await;
    let mut count = 0;
    for (path, methods) in document()["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let method = method.to_ascii_uppercase();
            let asked = preflight(&house, APP, &method, &path.replace(['{', '}'], "")).await;
            assert_eq!(asked.status().as_u16(), 204, "{method} {path}");
            assert_eq!(header(&asked, "access-control-allow-origin"), Some(APP), "{method} {path}");
            let methods = words(&asked, "access-control-allow-methods");
            assert!(methods.contains(&method.to_ascii_lowercase()), "{method} {path}: {methods:?}");
            assert!(header(&asked, "x-request-id").is_some(), "{method} {path}");
            count += 1;
        }
    }
    assert!(count > 60, "{count} operations");
}

/// Says this on a connection of its own; what came back.
async fn say(house: &House, request: &str) -> String {
    let mut stream = TcpStream::connect(house.server.address).await.unwrap();
    // A server that has heard enough may close before everything was said.
    let _ = stream.write_all(request.as_bytes()).await;
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said).await;
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn a_page_that_may_call_can_read_every_refusal() {
    let house = House::with(|config| {
        config.server.request_timeout_seconds = 1;
        config.contactbook.limits.login = Limit::per_minute(1);
    })
    .await;
    let post =
        "POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    let one_login = format!("{post}Content-Length: 0\r\n");
    let away = house.database().with_file_name("away.db");
    let requests = [
        ("GET /health HTTP/1.1\r\nHost: x\r\n".to_owned(), 200),
        ("OPTIONS /health HTTP/1.1\r\nHost: x\r\n".to_owned(), 204),
        ("GET /scalar HTTP/1.1\r\nHost: x\r\n".to_owned(), 200),
        ("GET / HTTP/1.1\r\nHost: x\r\n".to_owned(), 302),
        ("GET /health HTTP/1.1\r\n".to_owned(), 400),
        ("GET /items HTTP/1.1\r\nHost: x\r\n".to_owned(), 401),
        ("GET /nowhere HTTP/1.1\r\nHost: x\r\n".to_owned(), 404),
        ("DELETE /health HTTP/1.1\r\nHost: x\r\n".to_owned(), 405),
        ("POST /v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n".to_owned(), 408),
        ("POST /v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n".to_owned(), 413),
        (one_login.clone(), 422),
        (one_login, 429),
        ("GET /api/v1.0/books?limit=x HTTP/1.1\r\nHost: x\r\n".to_owned(), 422),
        ("GET /v1/health HTTP/1.1\r\nHost: x\r\n".to_owned(), 503),
        ("GET /api/v1.0/books HTTP/1.1\r\nHost: x\r\n".to_owned(), 500),
    ];
    for (request, status) in requests {
        match status {
            503 => std::fs::rename(house.database(), &away).unwrap(),
            500 => {
                std::fs::rename(&away, house.database()).unwrap();
                let sql = "alter table books rename to shelved";
                house.server.app.db.write(move |db| Ok(db.execute(sql, [])?)).await.unwrap();
            }
            _ => {}
        }
        let said = say(&house, &format!("{request}Origin: {APP}\r\nConnection: close\r\n\r\n")).await;
        assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {said}");
        let head = said.split("\r\n\r\n").next().unwrap().to_ascii_lowercase();
        for line in [
            &*format!("access-control-allow-origin: {APP}"),
            "access-control-allow-credentials: true",
            "vary: origin",
        ] {
            assert_eq!(head.lines().filter(|found| *found == line).count(), 1, "{line}: {request}: {said}");
        }
    }
}

#[tokio::test]
async fn a_page_that_may_call_can_read_every_header_that_is_meant_for_it() {
    let house = House::with(|config| config.contactbook.limits.login = Limit::per_minute(1)).await;
    let ada = house.guest("ada").await;
    for title in ["Dune", "Ubik"] {
        house.book(&ada, title).await;
    }
    // What a browser shows of any answer (Fetch §3.3.4), and what is its own affair.
    let always = [
        "cache-control",
        "content-language",
        "content-length",
        "content-type",
        "expires",
        "last-modified",
        "pragma",
    ];
    let not_for_pages = [
        "connection",
        "content-encoding",
        "content-security-policy",
        "referrer-policy",
        "transfer-encoding",
        "vary",
        "x-content-type-options",
    ];
    let mut seen = BTreeSet::new();
    for (method, path) in [
        ("GET", "/api/v1.0/books?limit=1"),
        ("GET", "/nowhere"),
        ("PUT", "/health"),
        ("GET", "/v1/todos"),
        ("POST", "/api/auth/login"),
        ("POST", "/api/auth/login"),
        ("GET", "/"),
        ("GET", "/openapi.json"),
        ("GET", "/.well-known/jwks.json"),
        ("OPTIONS", "/health"),
    ] {
        let response = house.request(method, path).header("origin", APP).send().await.unwrap();
        let exposed = words(&response, "access-control-expose-headers");
        for name in response.headers().keys().map(|name| name.as_str().to_owned()) {
            if name.starts_with("access-control-")
                || always.contains(&&*name)
                || not_for_pages.contains(&&*name)
            {
                continue;
            }
            assert!(exposed.contains(&name), "{method} {path}: {name}");
            seen.insert(name);
        }
    }
    for name in [
        "link",
        "location",
        "allow",
        "retry-after",
        "ratelimit-remaining",
        "www-authenticate",
        "x-request-id",
    ] {
        assert!(seen.contains(name), "{name} among {seen:?}");
    }
}

#[tokio::test]
async fn a_page_signs_in_and_works_with_its_token() {
    let house = House::new().await;
    house.guest("ada").await;
    let by_page = |method: &str, path: &str| house.request(method, path).header("origin", APP);
    let body = json!({ "username": "ada", "password": PASSWORD });
    let signed_in = by_page("POST", "/v1/auth/login").json(&body).send().await.unwrap();
    assert_eq!(header(&signed_in, "access-control-allow-origin"), Some(APP));
    let signed_in: Value = signed_in.json().await.unwrap();
    let token = signed_in["access_token"].as_str().unwrap();
    let made = by_page("POST", "/v1/todos")
        .bearer_auth(token)
        .json(&json!({ "title": "Read" }))
        .send()
        .await
        .unwrap();
    assert_eq!((made.status().as_u16(), header(&made, "access-control-allow-origin")), (201, Some(APP)));
}

/// What the log says of these requests, each a method and its headers.
async fn logged(settings: &[(&str, &str)], requests: Vec<Vec<(&str, String)>>) -> Vec<String> {
    let place = Place::new();
    let mut command = place.command(&["--port", "0"]);
    command.envs(settings.iter().copied());
    let serving = Serving::start(command).await;
    for headers in requests {
        let mut request = serving.request("GET", "/health");
        for (name, value) in headers {
            request = request.header(name, value.replace("{address}", serving.address()));
        }
        assert_eq!(request.send().await.unwrap().status(), 200);
    }
    let log = serving.stop().await.stderr;
    log.lines().filter(|line| line.contains("server.cors_origins")).map(str::to_owned).collect()
}

fn origin(text: &str) -> Vec<(&str, String)> {
    vec![("origin", text.to_owned())]
}

#[tokio::test]
async fn a_refused_origin_is_one_line_in_the_log_that_names_the_setting() {
    let evil = "https://evil.example";
    let told = logged(&[], vec![origin(evil), origin(evil), origin("null"), origin(APP), origin(evil)]).await;
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(told[0].contains("WARN") && told[0].contains(evil), "{told:#?}");
    assert!(told[1].contains("null"), "{told:#?}");
}

#[tokio::test]
async fn in_production_a_refused_loopback_page_is_told() {
    let settings = [
        ("SATCHEL_ENVIRONMENT", "production"),
        ("SATCHEL_SERVER__PUBLIC_URL", "https://books.example.org/satchel"),
        ("SATCHEL_SERVER__CORS_ORIGINS", LISTED),
        ("SATCHEL_MAIL__TRANSPORT", "off"),
        ("SATCHEL_AUTH__HASH_MEMORY_KIB", "19456"),
        ("SATCHEL_AUTH__HASH_ITERATIONS", "2"),
    ];
    let requests = vec![origin(LISTED), origin("https://books.example.org"), origin(APP)];
    let told = logged(&settings, requests).await;
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].contains(APP), "{told:#?}");
}

/// Browsers send an origin to the page's own server, too: `null` with a form of a page that keeps its address to itself.
#[tokio::test]
async fn the_servers_own_pages_are_not_told_as_refused() {
    let told = logged(
        &[],
        vec![
            vec![("origin", "http://{address}".into())],
            vec![("origin", "https://books.example.org".into()), ("host", "books.example.org".into())],
            vec![("origin", "null".into()), ("sec-fetch-site", "same-origin".into())],
            vec![("origin", "null".into()), ("sec-fetch-mode", "navigate".into())],
        ],
    )
    .await;
    assert!(told.is_empty(), "{told:#?}");
}

#[tokio::test]
async fn a_hundred_refused_origins_are_told_at_most_each_on_one_short_line() {
    let long = format!("https://{}.example", "a".repeat(5_000));
    let mut requests = vec![origin(&long), origin("https://\tevil")];
    let others: Vec<String> = (0..120).map(|n| format!("https://{n}.example")).collect();
    requests.extend(others.iter().map(|text| origin(text)));
    let told = logged(&[], requests).await;
    assert_eq!(told.len(), 100, "{told:#?}");
    assert!(told.iter().all(|line| line.len() < 600), "{told:#?}");
    assert!(told[1].contains("https://\\tevil"), "{}", told[1]);
}
