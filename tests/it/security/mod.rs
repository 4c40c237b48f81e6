//! Security: what somebody tries who means no good, and what must hold against it.

mod access;
mod addresses;
mod authority;
mod bodies;
mod connections;
mod extras;
mod floods;
mod framing;
mod heads;
mod input;
mod log;
mod names;
mod numbers;
mod passwords;
mod pictures;
mod privacy;
mod process;
mod proofs;
mod quota;
mod races;
mod refresh;
mod removal;
mod sessions;
mod sign_ups;
mod spelling;
mod throttle;
mod tokens;
mod unread;
mod weight;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::pkcs8::DecodePrivateKey;
use ed25519_dalek::{Signer, SigningKey};
use rusqlite::types::FromSql;
use satchel::db::Write;
use satchel::domain::auth::Admin;
use satchel::domain::{books, users};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::house::{Answer, Guest, House, PASSWORD, answer};

/// Who can sign: with the server's own key, as a thief of it would, or with one of his own.
struct Forger {
    kid: String,
    key: SigningKey,
}

impl Forger {
    /// Takes the newest key out of the data directory.
    fn with_the_key_of(house: &House) -> Self {
        let files = std::fs::read_dir(house.config.keys()).unwrap();
        let mut names: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name.ends_with(".pem") && !name.contains(".retired-"));
        names.sort();
        let name = names.last().unwrap();
        let pem = std::fs::read_to_string(house.config.keys().join(name)).unwrap();
        let kid = name[13..].trim_end_matches(".pem").to_owned();
        Self { kid, key: SigningKey::from_pkcs8_pem(&pem).unwrap() }
    }

    /// Makes up a key.
    fn with_a_key_of_his_own(kid: &str) -> Self {
        Self { kid: kid.to_owned(), key: SigningKey::from_bytes(&[7; 32]) }
    }

    fn header(&self) -> Value {
        json!({ "typ": "at+jwt", "alg": "EdDSA", "kid": self.kid })
    }

    /// A token of these claims under the usual header.
    fn sign(&self, claims: &Value) -> String {
        self.sign_text(&self.header().to_string(), &claims.to_string())
    }

    fn sign_text(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", encode(header), encode(claims));
        let signature = self.key.sign(message.as_bytes());
        format!("{message}.{}", encode(signature.to_bytes()))
    }
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// The three parts of a token, as they stand in it.
fn parts(token: &str) -> [&str; 3] {
    token.split('.').collect::<Vec<_>>().try_into().unwrap()
}

fn header_of(token: &str) -> Value {
    serde_json::from_slice(&decode(parts(token)[0])).unwrap()
}

fn claims_of(token: &str) -> Value {
    serde_json::from_slice(&decode(parts(token)[1])).unwrap()
}

/// What a route for users answers to this token.
async fn me(house: &House, token: &str) -> u16 {
    answer(house.request("GET", "/api/v1.0/users/me").header("authorization", format!("Bearer {token}")))
        .await
        .status
}

async fn refresh(house: &House, token: &str) -> Answer {
    house.post("/api/v1.0/auth/refresh", json!({ "refresh_token": token })).await
}

/// The pair of tokens in an answer.
fn pair(answer: &Answer) -> (String, String) {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let token = |kind: &str| answer.body[kind].as_str().unwrap().to_owned();
    (token("access_token"), token("refresh_token"))
}

async fn log_out(house: &House, token: &str) -> Answer {
    answer(house.request("POST", "/api/v1.0/auth/logout").bearer_auth(token)).await
}

async fn change_password(house: &House, token: &str, current: &str, new: &str) -> Answer {
    let body = json!({ "current_password": current, "new_password": new });
    answer(house.request("POST", "/api/v1.0/users/change-password").bearer_auth(token).json(&body)).await
}

/// Signs the same user in once more.
async fn again(house: &House, guest: &Guest) -> Guest {
    let (access, refresh) = pair(&house.log_in(&guest.email, PASSWORD).await);
    Guest { access, refresh, ..guest.clone() }
}

async fn set_blocked(house: &House, guest: &Guest, blocked: bool) {
    let uuid = guest.uuid.parse().unwrap();
    let db = &house.server.app.db;
    let block =
        move |db: &Write| users::set_blocked(db, &Admin::operator(), &users::by_uuid(db, uuid)?, blocked);
    db.write(block).await.unwrap();
}

/// A book as the domain takes one.
fn new_book() -> books::NewBook {
    books::NewBook {
        title: "Dune".into(),
        author: "Frank Herbert".into(),
        publisher: "Chilton Books".into(),
        publish_date: "1965-08-01".parse().unwrap(),
        pages: 412,
        language: "English".into(),
    }
}

/// One value out of the database.
fn look_up<T: FromSql>(house: &House, sql: &str) -> T {
    house.server.app.db.read(|db| db.one(sql, [], |row| row.get(0))).unwrap().unwrap()
}

/// Every byte of the database: the file and its log.
fn bytes_of_the_database(house: &House) -> Vec<u8> {
    let path = house.database();
    let mut bytes = std::fs::read(&path).unwrap();
    let log = path.with_file_name("satchel.db-wal");
    bytes.extend(std::fs::read(log).unwrap_or_default());
    bytes
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// A connection on which anything may be said.
async fn connect(house: &House) -> TcpStream {
    TcpStream::connect(house.server.address).await.unwrap()
}

/// Reads until the server closes; a connection that it leaves open ends the wait after two seconds, and then
/// the second value is false.
async fn read_out(stream: &mut TcpStream) -> (String, bool) {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    let read = async {
        while let Ok(length @ 1..) = stream.read(&mut piece).await {
            bytes.extend_from_slice(&piece[..length]);
        }
    };
    let closed = tokio::time::timeout(Duration::from_secs(2), read).await.is_ok();
    (String::from_utf8_lossy(&bytes).into_owned(), closed)
}

/// Sends these bytes on a connection of their own and gives what came back, and whether the server closed.
async fn say(house: &House, bytes: impl AsRef<[u8]>) -> (String, bool) {
    let mut stream = connect(house).await;
    // A server that has heard enough may close before everything was said.
    let _ = stream.write_all(bytes.as_ref()).await;
    read_out(&mut stream).await
}

/// The status of the first answer in what came back.
fn status_of(said: &str) -> Option<u16> {
    said.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}
