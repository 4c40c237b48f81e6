//! `satchel serve`: what it says first, and how it ends.

use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::binary::{PATIENCE, Place, Serving, broken, connect, log_size};
use crate::house::{Guest, PASSWORD, answer, book};

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
async fn the_hint_for_an_administrator_repeats_the_flags_so_that_it_finds_the_same_data() {
    let hint = async |args: &[&str], variable: Option<&str>| {
        let place = Place::new();
        place.write("it's.toml", "");
        let mut command = place.command(&[&["--port", "0"], args].concat());
        command.envs(variable.map(|data| ("SATCHEL_SERVER__DATA", data)));
        let said = Serving::start(command).await.stop().await.stdout;
        said.split("There is no administrator yet: ").nth(1).unwrap().trim_end().to_owned()
    };
    let create = "satchel admin create --email you@example.org";
    assert_eq!(hint(&[], None).await, create);
    assert_eq!(hint(&["--data", "./my data"], None).await, format!("{create} --data './my data'"));
    let both = &["serve", "--config", "it's.toml", "--data", "d"];
    assert_eq!(hint(both, None).await, format!("{create} --data d --config 'it'\\''s.toml'"));
    assert_eq!(hint(&[], Some("elsewhere")).await, format!("{create} --data elsewhere"));
}

#[tokio::test]
async fn the_hint_for_an_administrator_works_as_it_stands() {
    let place = Place::new();
    let serving = Serving::start(place.command(&["--port", "0", "--data", "my data"])).await;
    let args = ["admin", "create", "--email", "you@example.org", "--data", "my data", "--password-stdin"];
    place.run_with_input(&args, PASSWORD).await.done();
    assert_eq!(serving.log_in("you@example.org", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn a_start_on_every_address_names_one_that_a_browser_opens() {
    for (host, shown) in [("0.0.0.0", "127.0.0.1"), ("::", "[::1]")] {
        let place = Place::new();
        let mut command = place.command(&["--host", host, "--port", "0"]);
        command.env("SATCHEL_ENVIRONMENT", "development");
        let serving = Serving::start(command).await;
        assert!(serving.url.starts_with(&format!("http://{shown}:")), "{}", serving.url);
        assert_eq!(serving.get("/health").await.status, 200);
        let url = serving.url.clone();
        let ended = serving.stop().await;
        let also =
            format!("listens on {url}\n  also  every other address of this machine\n  docs  {url}/scalar\n");
        assert!(ended.stdout.contains(&also), "{}", ended.stdout);
        assert!(!ended.stderr.contains("WARN"), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn a_start_beyond_this_machine_warns_once_of_what_development_leaves_open_unless_it_was_asked_for() {
    for (args, environment, expected) in [
        (&["--host", "0.0.0.0"][..], None, 1),
        (&["--host", "::"], None, 1),
        (&["--host", "0.0.0.0"], Some("development"), 0),
        (&["--host", "localhost"], None, 0),
        (&["--host", "127.0.0.2"], None, 0),
        (&[], None, 0),
    ] {
        let place = Place::new();
        let mut command = place.command(&[&["--port", "0"], args].concat());
        command.envs(environment.map(|word| ("SATCHEL_ENVIRONMENT", word)));
        let log = Serving::start(command).await.stop().await.stderr;
        assert_eq!(log.matches("WARN").count(), expected, "{args:?}: {log}");
        assert_eq!(log.matches("common passwords are taken, ").count(), expected, "{args:?}: {log}");
        assert_eq!(log.matches("`environment` is not set").count(), expected, "{args:?}: {log}");
    }
}

#[tokio::test]
async fn localhost_is_both_loopback_addresses() {
    let place = Place::new();
    let serving = Serving::start(place.command(&["--host", "localhost", "--port", "0"])).await;
    let port = serving.url.strip_prefix("http://localhost:").expect("it is called so").to_owned();
    for address in ["127.0.0.1", "[::1]"] {
        let mut stream = TcpStream::connect(format!("{address}:{port}")).await.unwrap();
        let request = format!("GET /health HTTP/1.1\r\nHost: {address}:{port}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut said = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut said)).await.expect("it answers").unwrap();
        assert!(said.starts_with("HTTP/1.1 200 "), "{address}: {said}");
    }
    assert_eq!(serving.stop().await.code, Some(0));
}

#[tokio::test]
async fn a_start_and_the_first_requests_leave_no_line_of_a_library_in_the_log() {
    let place = Place::new();
    let serving = place.serve().await;
    serving.guest("ada").await;
    for path in ["/", "/scalar", "/openapi.json", "/nowhere", "/v1/health"] {
        serving.get(path).await;
    }
    let log = serving.stop().await.stderr;
    for line in log.lines() {
        let target = line.split_whitespace().nth(2).unwrap_or_default();
        assert!(target.starts_with("satchel::") || target == "access:", "{line}");
    }
    assert!(log.lines().count() > 6, "{log}");
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
async fn a_terminal_that_hangs_up_ends_the_server_as_an_operator_does() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let place = Place::new();
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let stdin = std::fs::OpenOptions::new().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    let mut command = place.command(&["--port", "0"]);
    command.stdin(stdin);
    let serving = Serving::start(command).await;
    serving.signal(Signal::HUP);
    let ended = serving.end().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.ends_with(": stopped\n"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_hang_up_without_a_terminal_is_a_line_in_the_log_each_time() {
    let place = Place::new();
    let serving = place.serve().await;
    serving.signal(Signal::HUP);
    tokio::time::sleep(Duration::from_millis(100)).await;
    serving.signal(Signal::HUP);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(serving.get("/health").await.status, 200);
    let ended = serving.stop().await;
    assert_eq!(ended.code, Some(0));
    assert_eq!(ended.stderr.matches("SIGHUP").count(), 2, "{}", ended.stderr);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_hang_up_that_was_to_be_ignored_stays_ignored() {
    let place = Place::new();
    let inner = place.command(&["--port", "0"]);
    // As nohup does.
    let mut command = tokio::process::Command::new("/bin/sh");
    command.args(["-c", "trap '' HUP; exec \"$0\" \"$@\""]).arg(inner.as_std().get_program());
    command
        .args(inner.as_std().get_args())
        .current_dir(inner.as_std().get_current_dir().unwrap())
        .env_clear();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let serving = Serving::start(command).await;
    serving.signal(Signal::HUP);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(serving.get("/health").await.status, 200);
    let ended = serving.stop().await;
    assert!(!ended.stderr.contains("SIGHUP"), "{}", ended.stderr);
}

/// What Kubernetes sets in every container beside Services that are called `satchel` and `satchel-server`.
const SERVICE_LINKS: [(&str, &str); 9] = [
    ("SATCHEL_PORT", "tcp://10.96.0.7:8080"),
    ("SATCHEL_PORT_8080_TCP", "tcp://10.96.0.7:8080"),
    ("SATCHEL_PORT_8080_TCP_ADDR", "10.96.0.7"),
    ("SATCHEL_PORT_8080_TCP_PORT", "8080"),
    ("SATCHEL_PORT_8080_TCP_PROTO", "tcp"),
    ("SATCHEL_SERVER_PORT", "tcp://10.96.0.8:80"),
    ("SATCHEL_SERVER_SERVICE_PORT_HTTP", "80"),
    ("SATCHEL_SERVICE_HOST", "10.96.0.7"),
    ("SATCHEL_SERVICE_PORT", "8080"),
];

#[tokio::test]
async fn variables_of_a_container_platform_do_not_stop_the_start_and_are_told() {
    let place = Place::new();
    let mut command = place.command(&["--port", "0"]);
    command.envs(SERVICE_LINKS);
    let ended = Serving::start(command).await.stop().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.stderr.matches("WARN").count(), 1, "{}", ended.stderr);
    let names = SERVICE_LINKS.map(|(name, _)| name).join(", ");
    let expected = format!(
        "{names}: ignored, a container platform sets them by itself for Services of such a name; Satchel's variables have \
         two underscores after the section (SATCHEL_SERVER__PORT)\n"
    );
    assert!(ended.stderr.contains(&expected), "{}", ended.stderr);
}

#[tokio::test]
async fn a_variable_that_satchel_does_not_have_is_told_with_the_right_name_if_there_is_one() {
    let place = Place::new();
    let mut command = place.command(&["--port", "0"]);
    command.env("SATCHEL_PORT", "9000").env("SATCHEL_BENCH_SECONDS", "3");
    let ended = Serving::start(command).await.stop().await;
    assert_eq!(ended.stderr.matches("WARN").count(), 2, "{}", ended.stderr);
    for expected in [
        "SATCHEL_BENCH_SECONDS: ignored, there is no such variable\n",
        "SATCHEL_PORT: ignored, there is no such variable (did you mean SATCHEL_SERVER__PORT?)\n",
    ] {
        assert!(ended.stderr.contains(expected), "{}", ended.stderr);
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
