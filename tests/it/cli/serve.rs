//! `satchel serve`: what it says first, and how it ends.

use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::binary::{PATIENCE, Place, Serving, broken, connect, log_size};
use crate::house::{Guest, answer, book};

/// What a first start says.
fn greeting(url: &str, docs: bool, admin: bool) -> String {
    let docs = if docs { format!("  docs  {url}/scalar\n") } else { String::new() };
    let version = env!("CARGO_PKG_VERSION");
    let none = "  There is no administrator yet: satchel admin create --email you@example.org\n";
    let none = if admin { "" } else { none };
    format!("Satchel {version} listens on {url}\n{docs}  data  ./data\n{none}")
}

#[tokio::test]
async fn a_first_start_says_where_everything_is_and_how_to_make_an_administrator() {
    let place = Place::new();
    let serving = place.serve().await;
    let url = serving.url.clone();
    assert_eq!(serving.stop().await.stdout, greeting(&url, true, false));
}

#[tokio::test]
async fn a_start_with_an_administrator_does_not_say_how_to_make_one() {
    let place = Place::new();
    place.make_admin("ada@example.com").await;
    let serving = place.serve().await;
    let url = serving.url.clone();
    assert_eq!(serving.stop().await.stdout, greeting(&url, true, true));
}

#[tokio::test]
async fn a_start_without_docs_names_none() {
    let place = Place::new();
    let mut command = place.command(&["--port", "0"]);
    command.env("SATCHEL_SERVER__DOCS", "false");
    let serving = Serving::start(command).await;
    let url = serving.url.clone();
    assert_eq!(serving.stop().await.stdout, greeting(&url, false, false));
}

#[tokio::test]
async fn a_first_start_answers_within_two_seconds() {
    let place = Place::new();
    let started = Instant::now();
    let serving = place.serve().await;
    assert_eq!(serving.get("/health").await.status, 200);
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[tokio::test]
async fn an_uneventful_run_logs_no_warning() {
    let place = Place::new();
    let serving = place.serve().await;
    serving.guest("ada").await;
    let ended = serving.stop().await;
    assert!(ended.stderr.contains("stopped"), "{}", ended.stderr);
    for word in ["WARN", "ERROR"] {
        assert!(!ended.stderr.contains(word), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn a_proxy_that_is_not_trusted_is_named_once() {
    for trusted in [false, true] {
        let place = Place::new();
        let mut command = place.command(&["--port", "0"]);
        if trusted {
            command.env("SATCHEL_SERVER__TRUSTED_PROXIES", "127.0.0.1");
        }
        let serving = Serving::start(command).await;
        for _ in 0..3 {
            let request =
                serving.request("POST", "/api/v1.0/auth/login").header("x-forwarded-for", "192.0.2.1");
            let form = [("username", "nobody@example.com"), ("password", "not it at all")];
            assert_eq!(answer(request.form(&form)).await.status, 401);
        }
        let ended = serving.stop().await;
        let warned = ended.stderr.matches("name it in server.trusted_proxies").count();
        assert_eq!(warned, usize::from(!trusted), "{}", ended.stderr);
    }
}

/// How often each of these stands in the log after two requests with each of these headers from a trusted proxy.
async fn told_of_forwarded(believed: &str, headers: &[(&str, &str)], phrases: [&str; 2]) -> [usize; 2] {
    let place = Place::new();
    let mut command = place.command(&["--port", "0"]);
    command.env("SATCHEL_SERVER__TRUSTED_PROXIES", "127.0.0.1");
    command.env("SATCHEL_SERVER__FORWARDED_HEADER", believed);
    let serving = Serving::start(command).await;
    for (name, value) in headers.iter().chain(headers) {
        let request = serving.request("GET", "/health").header(*name, *value);
        assert_eq!(answer(request).await.status, 200);
    }
    let log = serving.stop().await.stderr;
    phrases.map(|phrase| log.matches(phrase).count())
}

#[tokio::test]
async fn a_proxy_that_does_not_tell_its_clients_apart_is_named_once() {
    let phrases = ["names no address: all whose requests", "so all its clients count as one address"];
    let (x, forwarded) = ("x-forwarded-for", "forwarded");
    for (believed, headers, expected) in [
        (x, &[(x, "192.0.2.1:80"), (x, "junk, [2001:db8::1]:443, 127.0.0.1"), (x, "")][..], [0, 0]),
        (x, &[(x, "192.0.2.1, unknown"), (x, "_hidden")], [1, 0]),
        (x, &[(forwarded, "for=192.0.2.1")], [0, 1]),
        (
            forwarded,
            &[(forwarded, "for=192.0.2.1"), (forwarded, "for=\"[2001:db8::1]\";proto=https")],
            [0, 0],
        ),
        (forwarded, &[(forwarded, "for=_hidden"), (forwarded, "proto=https")], [1, 0]),
        (forwarded, &[(x, "192.0.2.1"), (forwarded, "for=192.0.2.1")], [0, 1]),
    ] {
        assert_eq!(told_of_forwarded(believed, headers, phrases).await, expected, "{believed}: {headers:?}");
    }
}

#[tokio::test]
async fn the_log_holds_no_password_and_no_token() {
    let place = Place::new();
    let mut command = place.command(&["--port", "0"]);
    command.env("SATCHEL_LOG__LEVEL", "debug");
    let serving = Serving::start(command).await;
    let ada = serving.guest("ada").await;
    assert_eq!(serving.own_profile(&ada).await, 200);
    assert_eq!(serving.log_in("ada@example.com", "battery horse staple wrong").await.status, 401);
    let log = serving.stop().await.stderr;
    for secret in ["battery", &ada.access, &ada.refresh] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[tokio::test]
async fn a_start_goes_on_when_nobody_reads_what_it_says() {
    let place = Place::new();
    let (port, _listener) = loop {
        // A port that was free a moment ago; another test may take it first.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let mut child = place.command(&["--port", &port.to_string()]).stderr(Stdio::null()).spawn().unwrap();
        drop(child.stdout.take());
        let started = Instant::now();
        while child.try_wait().unwrap().is_none() && started.elapsed() < PATIENCE {
            if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if child.try_wait().unwrap().is_none() {
            break (port, child);
        }
    };
    let found = reqwest::Client::builder().no_proxy().build().unwrap();
    let found = found.get(format!("http://127.0.0.1:{port}/health")).timeout(PATIENCE).send().await.unwrap();
    assert_eq!(found.text().await.unwrap(), r#"{"status":"ok"}"#);
}

/// A request whose handler waits for the rest of the body.
async fn half_a_book(serving: &Serving, guest: &Guest, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(serving.address()).await.unwrap();
    let (token, length) = (&guest.access, body.len());
    let head = format!(
        "POST /api/v1.0/books/ HTTP/1.1\r\nhost: satchel\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\nexpect: 100-continue\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    timeout(PATIENCE, stream.read_exact(&mut go_on)).await.expect("the handler reads").unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream
}

async fn ends_after_what_is_in_flight_is_answered(signal: Signal) {
    let place = Place::new();
    let serving = place.serve().await;
    let ada = serving.guest("ada").await;
    let body = book("In flight").to_string();
    let (first, rest) = body.split_at(20);
    let mut stream = half_a_book(&serving, &ada, &body).await;
    stream.write_all(first.as_bytes()).await.unwrap();

    serving.signal(signal);
    serving.until_deaf().await;
    stream.write_all(rest.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("it answers").unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 Created\r\n"), "{answer}");

    let ended = serving.end().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(log_size(&place.database()), 0);
    assert_eq!(broken(&place.database()), Vec::<String>::new());
    let title: String =
        connect(&place.database()).query_row("select title from books", [], |row| row.get(0)).unwrap();
    assert_eq!(title, "In flight");
}

#[tokio::test]
async fn sigterm_ends_serve_after_what_is_in_flight_is_answered() {
    ends_after_what_is_in_flight_is_answered(Signal::TERM).await;
}

#[tokio::test]
async fn sigint_ends_serve_after_what_is_in_flight_is_answered() {
    ends_after_what_is_in_flight_is_answered(Signal::INT).await;
}

#[tokio::test]
async fn a_request_that_does_not_end_delays_the_end_no_longer_than_the_setting() {
    let place = Place::new();
    let mut command = place.command(&["--port", "0"]);
    command.env("SATCHEL_SERVER__SHUTDOWN_SECONDS", "1");
    let serving = Serving::start(command).await;
    let ada = serving.guest("ada").await;
    let _stream = half_a_book(&serving, &ada, &book("Never whole").to_string()).await;
    let started = Instant::now();
    assert_eq!(serving.stop().await.code, Some(0));
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    assert_eq!(log_size(&place.database()), 0);
}

#[tokio::test]
async fn writes_answered_before_the_end_are_in_the_file() {
    let place = Place::new();
    let serving = place.serve().await;
    let ada = serving.guest("ada").await;
    let mut clients = JoinSet::new();
    for client in 0..8 {
        let (ada, request) = (ada.clone(), serving.request("POST", "/api/v1.0/books/"));
        clients.spawn(async move {
            let request = request.bearer_auth(&ada.access);
            let mut answered = 0;
            for n in 0.. {
                let sent = request.try_clone().unwrap().json(&book(&format!("{client}-{n}"))).send().await;
                match sent {
                    Ok(response) if response.status() == 201 => answered += 1,
                    // It refuses, or hears no more.
                    _ => break,
                }
            }
            answered
        });
    }
    let own = "/api/v1.0/books/my-books?limit=40";
    let started = Instant::now();
    while answer(serving.by(&ada, "GET", own)).await.body.as_array().unwrap().len() < 40 {
        assert!(started.elapsed() < PATIENCE, "books are added");
    }
    assert_eq!(serving.stop().await.code, Some(0));
    let answered: i64 = clients.join_all().await.into_iter().sum();
    assert_eq!(log_size(&place.database()), 0);
    let kept: i64 =
        connect(&place.database()).query_row("select count(*) from books", [], |row| row.get(0)).unwrap();
    // An answer may be lost on the way when a connection is closed, a write may not.
    assert!(kept >= answered && answered >= 40, "{answered} were answered, {kept} are kept");
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart() {
    let place = Place::new();
    let serving = place.serve().await;
    let ada = serving.guest("ada").await;
    let made = answer(serving.by(&ada, "POST", "/api/v1.0/books/").json(&book("Dune"))).await;
    serving.stop().await;
    let serving = place.serve().await;
    let found = serving.get(&format!("/api/v1.0/books/{}", made.body["uuid"].as_str().unwrap())).await;
    found.is(200, made.body);
    assert_eq!(serving.own_profile(&ada).await, 200);
}
