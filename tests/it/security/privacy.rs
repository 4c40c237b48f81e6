//! Privacy: what the log, the files and the headers tell, and what none of them does.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use reqwest::Client;
use satchel::config::Environment;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::{Process, QUICK};
use super::{parts, say, status_of};
use crate::house::{House, answer};

const EMAIL: &str = "ada.private@example.com";
const PASSWORD: &str = "Open-Sesame-4711";
const NEW_PASSWORD: &str = "Close-Sesame-1147";
const WRONG: &str = "Guessed-Sesame-99";
const ADDRESS: &str = "203.0.113.77";

/// Lives a whole life at the server, and gives every text of it that no log may hold.
async fn live(process: &Process) -> Vec<String> {
    let client = Client::builder().no_proxy().build().unwrap();
    let mut secrets: Vec<String> = [
        EMAIL,
        "ada.private",
        PASSWORD,
        NEW_PASSWORD,
        WRONG,
        ADDRESS,
        "127.0.0.1",
        "Private-Title",
        "Augusta-Private",
        "access_token",
        "refresh_token",
        "argon2",
    ]
    .map(str::to_owned)
    .into();
    let url = |path: &str| format!("{}/api/v1.0/{path}", process.url);
    let post = async |path: &str, token: &str, body: Value| {
        let request =
            client.post(url(path)).header("x-forwarded-for", ADDRESS).bearer_auth(token).json(&body);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap_or_default())
    };
    let log_in = async |password: &str| {
        let form = [("username", EMAIL), ("password", password)];
        let request = client.post(url("auth/login")).header("x-forwarded-for", ADDRESS).form(&form);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    let token = |body: &Value, kind: &str| body[kind].as_str().unwrap().to_owned();

    let registration = json!({
        "username": "ada.private", "email": EMAIL, "first_name": "Augusta-Private", "last_name": "L", "password": PASSWORD,
    });
    assert_eq!(post("auth/register", "x", registration.clone()).await.0, 201);
    assert_eq!(post("auth/register", "x", registration).await.0, 400);
    assert_eq!(post("auth/register", "x", json!({ "email": EMAIL, "password": PASSWORD })).await.0, 422);
    assert_eq!(log_in(WRONG).await.0, 401);
    let (status, first) = log_in(PASSWORD).await;
    assert_eq!(status, 200);
    let (status, second) =
        post("auth/refresh", "x", json!({ "refresh_token": first["refresh_token"] })).await;
    assert_eq!(status, 200);
    let access = token(&second, "access_token");
    let book = json!({
        "title": "Private-Title", "author": "A", "publisher": "P", "publish_date": "1965-08-01", "pages": 4, "language": "E",
    });
    assert_eq!(post("books/", &access, book).await.0, 201);
    for path in [format!("users/email/{EMAIL}"), format!("users/me?token={access}"), format!("x/{access}")] {
        client.get(url(&path)).bearer_auth(&access).send().await.unwrap();
    }
    let change = json!({ "current_password": WRONG, "new_password": NEW_PASSWORD });
    assert_eq!(post("users/change-password", &access, change).await.0, 400);
    let (_, other) = log_in(PASSWORD).await;
    assert_eq!(post("auth/logout", &token(&other, "access_token"), json!({})).await.0, 200);
    let change = json!({ "current_password": PASSWORD, "new_password": NEW_PASSWORD });
    assert_eq!(post("users/change-password", &access, change).await.0, 200);
    let (_, last) = log_in(NEW_PASSWORD).await;
    assert_eq!(post("auth/logout-all", &token(&last, "access_token"), json!({})).await.0, 200);
    for _ in 0..6 {
        log_in(WRONG).await;
    }
    assert_eq!(log_in(WRONG).await.0, 429);

    for pair in [first, second, other, last] {
        for kind in ["access_token", "refresh_token"] {
            let token = token(&pair, kind);
            let [_, claims, signature] = parts(&token);
            secrets.extend([claims.to_owned(), signature.to_owned()]);
        }
    }
    secrets
}

const BEHIND_A_PROXY: [(&str, &str); 4] =
    [QUICK[0], QUICK[1], ("SATCHEL_SERVER__TRUSTED_PROXIES", "127.0.0.1"), ("SATCHEL_LOG__ADDRESSES", "off")];

fn assert_has_none(log: &str, secrets: &[String]) {
    // Where the server itself listens is no secret, and may be where a client is.
    for line in log.lines().filter(|line| !line.contains("listening [")) {
        for secret in secrets {
            assert!(!line.contains(secret), "the log has {secret:?} in it: {line}");
        }
    }
}

#[tokio::test]
async fn the_log_tells_what_happened_and_nothing_that_is_a_secret() {
    let settings = [&BEHIND_A_PROXY[..], &[("SATCHEL_LOG__FORMAT", "json")]].concat();
    let process = Process::start(&settings).await;
    let secrets = live(&process).await;
    let (output, _dir) = process.stop().await;
    assert!(output.status.success());
    let log = String::from_utf8(output.stderr).unwrap();
    assert_has_none(&log, &secrets);
    let mut messages = BTreeSet::new();
    for line in log.lines() {
        let entry: Value =
            serde_json::from_str(line).unwrap_or_else(|_| panic!("not one entry a line: {line}"));
        let at = entry["timestamp"].as_str().unwrap();
        assert!(at.ends_with('Z') && at.parse::<jiff::Timestamp>().is_ok(), "{at}");
        if let Some(message) = entry["message"].as_str() {
            messages.insert(message.to_owned());
        }
    }
    for event in [
        "signed in",
        "sign-in failed: wrong password",
        "sign-in refused: too soon",
        "refresh token rotated",
        "password changed",
        "signed out",
        "every session ended",
    ] {
        assert!(messages.contains(event), "{event:?} is not among {messages:?}");
    }
}

#[tokio::test]
async fn the_log_for_people_has_no_secret_either() {
    let process = Process::start(&BEHIND_A_PROXY).await;
    let secrets = live(&process).await;
    let (output, _dir) = process.stop().await;
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains("signed in"), "{log}");
    assert_has_none(&log, &secrets);
    for line in log.lines() {
        let at = line.split(' ').next().unwrap();
        assert!(at.ends_with('Z') && at.parse::<jiff::Timestamp>().is_ok(), "{line}");
    }
}

fn check_modes(directory: &Path, seen: &mut Vec<String>) {
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(directory), 0o700, "{}", directory.display());
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            check_modes(&path, seen);
        } else {
            assert_eq!(mode(&path), 0o600, "{}", path.display());
            seen.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        }
    }
}

#[tokio::test]
async fn the_files_are_their_owners_alone() {
    let process = Process::start(&BEHIND_A_PROXY).await;
    live(&process).await;
    let mut seen = Vec::new();
    check_modes(&process.data(), &mut seen);
    for name in ["satchel.db", "satchel.db-wal", "satchel.db-shm"] {
        assert!(seen.iter().any(|file| file == name), "{name} is not among {seen:?}");
    }
    assert!(seen.iter().any(|file| file.ends_with(".pem")));
    let (_, dir) = process.stop().await;
    check_modes(&dir.path().join("data"), &mut seen);
}

#[tokio::test]
async fn a_directory_that_others_may_enter_holds_files_that_they_may_not_read() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755)).unwrap();
    let process = Process::start_in(dir, &QUICK).await;
    for entry in std::fs::read_dir(&data).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        let expected = if entry.path().is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode, expected, "{}", entry.path().display());
    }
    process.stop().await;
}

#[tokio::test]
async fn nothing_of_the_servers_own_files_is_there_over_http() {
    let house = House::new().await;
    let key = std::fs::read_dir(house.config.keys()).unwrap().next().unwrap().unwrap().file_name();
    let key = format!("keys/{}", key.into_string().unwrap());
    let place = house.config.server.data.to_str().unwrap().to_owned();
    for name in [
        "satchel.db",
        "satchel.db-wal",
        "keys",
        "keys/",
        &key,
        "config.toml",
        "Cargo.toml",
        "etc/passwd",
        ".env",
        ".git/HEAD",
    ] {
        for prefix in [
            "/",
            "//",
            "/data/",
            "/../",
            "/../../../../../../",
            "/%2e%2e/",
            "/..%2f",
            "/scalar/",
            "/scalar/../",
            "/scalar/%2e%2e/",
            "/scalar/..%2f..%2f",
            "/scalar//",
            "/static/",
            "/assets/../",
            "/api/v1.0/../../",
            &format!("{place}/"),
            "/scalar/....//",
            "/scalar/..;/",
        ] {
            let path = format!("{prefix}{name}");
            let (said, _) =
                say(&house, format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await;
            assert!(matches!(status_of(&said), Some(400 | 404)), "{path}: {said}");
            for inside in ["PRIVATE KEY", "SQLite format", "root:", "[package]", "Index of", &place] {
                assert!(!said.contains(inside), "{path} shows {inside}");
            }
        }
    }
}

#[tokio::test]
async fn no_answer_names_the_software_or_its_version() {
    let house = House::new().await;
    for (method, path) in [
        ("GET", "/health"),
        ("GET", "/nowhere"),
        ("PUT", "/health"),
        ("GET", "/scalar"),
        ("GET", "/"),
        ("POST", "/api/v1.0/auth/login"),
        ("GET", "/api/v1.0/users/x"),
        ("OPTIONS", "/api/v1.0/books/"),
    ] {
        let shown = answer(house.request(method, path)).await;
        for name in ["server", "x-powered-by", "via", "x-aspnet-version", "x-runtime"] {
            assert!(!shown.headers.contains_key(name), "{method} {path} has {name}");
        }
        let headers = format!("{:?}", shown.headers).to_lowercase();
        for word in ["salvo", "hyper", "rust", "sqlite", env!("CARGO_PKG_VERSION")] {
            assert!(
                !headers.replace(house.config.server.data.to_str().unwrap(), "").contains(word),
                "{word}: {headers}"
            );
        }
    }
}

#[tokio::test]
async fn pages_of_other_origins_may_not_call_unless_they_are_configured() {
    let production = |origins: &[&str]| {
        let origins = origins.iter().map(|origin| String::from(*origin)).collect();
        House::with(move |config| {
            config.environment = Environment::Production;
            config.server.cors_origins = origins;
        })
    };
    let (closed, open) = (production(&[]).await, production(&["https://app.example.com"]).await);
    for (house, origin, expected) in [
        (&closed, "https://app.example.com", None),
        (&closed, "null", None),
        (&open, "https://app.example.com", Some("https://app.example.com")),
        (&open, "https://evil.example.com", None),
        (&open, "https://app.example.com.evil.example", None),
        (&open, "http://app.example.com", None),
        (&open, "null", None),
        (&open, "https://APP.example.com:8443", None),
    ] {
        let get = house.request("GET", "/api/v1.0/books/").header("origin", origin);
        let preflight = house
            .request("OPTIONS", "/api/v1.0/books/")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization");
        for request in [get, preflight] {
            let response = request.send().await.unwrap();
            let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap());
            assert_eq!(header("access-control-allow-origin"), expected, "{origin}");
            assert_eq!(header("access-control-allow-credentials"), expected.map(|_| "true"), "{origin}");
        }
    }
}

#[tokio::test]
async fn an_error_says_nothing_of_the_inside() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    house.server.app.db.write(|db| Ok(db.execute("alter table books rename to shelved", [])?)).await.unwrap();
    let failed = answer(house.by(&ada, "GET", "/api/v1.0/books/my-books")).await;
    failed.is(500, json!({ "detail": "Internal Server Error" }));
    assert!(!failed.header("x-request-id").is_empty());
}
