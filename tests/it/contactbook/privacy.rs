//! contactbook and the log: a token in a link reaches no line of it, though it stands in the path.

use serde_json::json;

use crate::binary::{Place, Serving};
use crate::house::answer;
use crate::letters::{Caught, Letter};
use crate::mail::until;

const PRIVATE: &str = "ada.private@example.com";
const PASSWORD: &str = "Open-Sesame-4711";
const NEW: &str = "Close-Sesame-1147";

#[tokio::test]
async fn the_log_of_a_whole_life_has_no_token_address_or_password_in_it() {
    let place = Place::new();
    let mut command = place.command(&["serve", "--port", "0"]);
    command
        .env("SATCHEL_ENVIRONMENT", "production")
        .env("SATCHEL_SERVER__PUBLIC_URL", "https://books.example")
        .env("SATCHEL_MAIL__DIRECTORY", "letters")
        .env("SATCHEL_LOG__LEVEL", "debug")
        .env("SATCHEL_LOG__ADDRESSES", "off")
        .env("SATCHEL_AUTH__HASH_MEMORY_KIB", "7168")
        .env("SATCHEL_AUTH__HASH_ITERATIONS", "5");
    let serving = Serving::start(command).await;
    let caught = Caught { database: place.database(), directory: place.path("letters") };
    let letter = async || -> Letter {
        let is_there = || caught.files().iter().any(|file| file.extension().is_some_and(|end| end == "eml"));
        until("the letter is written", is_there).await;
        caught.take().remove(0)
    };
    let post = async |path: &str, body| answer(serving.request("POST", path).json(&body)).await.status;
    let log_in = async |password: &str| {
        let form = [("username", PRIVATE), ("password", password)];
        answer(serving.request("POST", "/api/auth/login").form(&form)).await
    };

    let given = json!({ "username": "Augusta-P", "email": PRIVATE, "password": PASSWORD });
    assert_eq!(post("/api/auth/signup", given).await, 201);
    let to_confirm = letter().await.token().to_owned();
    let path = format!("/api/email/confirm/{to_confirm}");
    for (method, status) in [("HEAD", 200), ("OPTIONS", 204), ("PUT", 405), ("GET", 200)] {
        assert_eq!(answer(serving.request(method, &path)).await.status, status, "{method}");
    }
    let pair = log_in(PASSWORD).await.body;
    let refresh = pair["refresh_token"].as_str().unwrap();
    let refreshed = answer(serving.request("GET", "/api/auth/refresh_token").bearer_auth(refresh)).await;
    assert_eq!(refreshed.status, 200);
    assert_eq!(post("/api/auth/reset_pwd", json!({ "email": PRIVATE })).await, 200);
    let to_reset = letter().await.token().to_owned();
    let path = format!("/api/auth/reset_pwd/{to_reset}");
    assert_eq!(answer(serving.request("GET", &path)).await.status, 200);
    assert_eq!(answer(serving.request("GET", &format!("/{path}?x={to_reset}"))).await.status, 200);
    assert_eq!(answer(serving.request("GET", &format!("{path}/{to_reset}"))).await.status, 404);
    for (new, status) in [("short", 422), (NEW, 200), (NEW, 400)] {
        assert_eq!(post(&path, json!({ "new_password": new })).await, status);
    }
    assert_eq!(log_in(NEW).await.status, 200);

    let ended = serving.stop().await;
    assert_eq!(ended.code, Some(0));
    let log = ended.stderr;
    for event in ["letter sent", "password reset", "signed in", "api/auth/reset_pwd/{token}"] {
        assert!(log.contains(event), "{event:?} is not in {log}");
    }
    let signature = refresh.rsplit('.').next().unwrap();
    for secret in
        [&to_confirm, &to_reset, signature, "ada.private", "Augusta", PASSWORD, NEW, "127.0.0.1", "argon2"]
    {
        // Where the server itself listens is no secret, and may be where a client is.
        let line = log.lines().find(|line| line.contains(secret) && !line.contains("listening"));
        assert_eq!(line, None, "the log has {secret:?} in it");
    }
}
