//! The test house: a whole server on a real socket and a real file, with a clock that stands still.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use satchel::cli::serve::Server;
use satchel::clock::{Clock, Timestamp};
use satchel::config::{CommonPasswords, Config, Limits};
use satchel::db::{Room, Write};
use satchel::domain::auth::Admin;
use satchel::domain::auth::proofs::Purpose;
use satchel::domain::emails::Email;
use satchel::domain::users::{self, Patch, Role};
use satchel::domain::{letters, removal};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::letters::{Caught, Letter};

/// Where the clock stands at the beginning: 2026-11-21T05:06:39.560803Z.
pub const BEGINNING: Timestamp = Timestamp::from_micros(1_795_237_599_560_803);
/// That moment as bookshelf writes it.
pub const BEGINNING_NAIVE: &str = "2026-11-21T05:06:39.560803";
/// Everybody's password.
pub const PASSWORD: &str = "correct horse battery staple";

/// A server with its data directory. It stops when it is dropped with its runtime.
pub struct House {
    // Looked at first when the house goes, while all is there.
    caught: Caught,
    _dir: TempDir,
    pub clock: Clock,
    pub config: Config,
    pub server: Server,
    client: Client,
}

/// What came back: status, headers, and the body as JSON (`null` when it is empty or none).
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub text: String,
    pub body: Value,
}

/// A registered user who is signed in.
#[derive(Clone, Debug)]
pub struct Guest {
    pub uuid: String,
    pub email: String,
    pub access: String,
    pub refresh: String,
}

impl House {
    /// A house with the default settings, but for cheap password hashes, a free port, no limits, and common passwords
    /// refused, as in production.
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// A house with settings of its own.
    pub async fn with(settle: impl FnOnce(&mut Config)) -> Self {
        let dir = TempDir::new().unwrap();
        let mut config = Config::default();
        config.server.port = 0;
        config.server.data = dir.path().join("data");
        config.server.worker_threads = 2;
        config.auth.hash_memory_kib = 64;
        config.auth.hash_iterations = 1;
        config.auth.common_passwords = Some(CommonPasswords::Refuse);
        config.contactbook.limits = Limits::OFF;
        settle(&mut config);
        let clock = Clock::held(BEGINNING);
        let server = Server::start(config.clone(), clock.clone()).await.unwrap();
        let client =
            Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
        let caught = Caught { database: config.database(), directory: config.mail_directory() };
        Self { caught, _dir: dir, clock, config, server, client }
    }

    /// Stops the server and starts another on the same data.
    pub async fn restart(mut self) -> Self {
        self.server.stop().await.unwrap();
        self.server = Server::start(self.config.clone(), self.clock.clone()).await.unwrap();
        self
    }

    /// The database file.
    pub fn database(&self) -> PathBuf {
        self.config.database()
    }

    /// Puts a letter into the outbox.
    pub async fn post_letter(&self, purpose: Purpose, email: &str) {
        let email = Email::parse(email, true).unwrap();
        self.server.app.db.write(move |db| letters::post(db, purpose, &email)).await.unwrap();
    }

    /// Delivers the letters that are due and takes all that have become files, in the order in which they left.
    /// Each is given once; one that was never taken fails the test.
    pub async fn letters(&self) -> Vec<Letter> {
        self.server.app.mail.deliver_due().await.unwrap();
        self.caught.take()
    }

    /// Delivers the letters that are due and takes those that tell a user what happened.
    pub async fn notices(&self) -> Vec<Letter> {
        self.server.app.mail.deliver_due().await.unwrap();
        self.caught.take_notices()
    }

    /// Delivers the letters that are due and takes the only one there is.
    pub async fn letter(&self) -> Letter {
        let mut letters = self.letters().await;
        assert_eq!(letters.len(), 1, "{letters:?}");
        letters.remove(0)
    }

    /// Throws away the letters that a test leaves, in the outbox and as files.
    pub async fn forget_letters(&self) {
        self.caught.take();
        self.server
            .app
            .db
            .write_in(Room::Reserve, |db| Ok(db.execute("delete from letters", [])?))
            .await
            .unwrap();
    }

    /// The files that letters have become and nobody has taken.
    pub fn letter_files(&self) -> Vec<PathBuf> {
        self.caught.files()
    }

    /// Removes whatever of deleted users there is to remove by now, as the housekeeping does.
    pub async fn purge(&self) {
        let keep = self.config.users.purge_deleted_after();
        while self
            .server
            .app
            .db
            .write_in(Room::Reserve, move |db| removal::purge(db, keep))
            .await
            .unwrap()
            .more
        {}
    }

    /// Moves the clock.
    pub fn wait(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// A request that is not sent yet.
    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let url = format!("http://{}{path}", self.server.address);
        self.client.request(method.parse::<Method>().unwrap(), url)
    }

    /// A request with a token.
    pub fn by(&self, guest: &Guest, method: &str, path: &str) -> RequestBuilder {
        self.request(method, path).bearer_auth(&guest.access)
    }

    pub async fn get(&self, path: &str) -> Answer {
        answer(self.request("GET", path)).await
    }

    /// Says that HEAD answers as GET does, but for the body; the answer to HEAD.
    pub async fn head_like_get(&self, guest: &Guest, path: &str) -> Answer {
        let mut get = answer(self.by(guest, "GET", path)).await;
        let mut head = answer(self.by(guest, "HEAD", path)).await;
        assert_eq!((head.status, &*head.text), (get.status, ""), "{path}");
        for headers in [&mut get.headers, &mut head.headers] {
            for own in ["x-request-id", "x-process-time", "date"] {
                headers.remove(own);
            }
        }
        assert_eq!(head.headers, get.headers, "{path}");
        head
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        answer(self.request("POST", path).json(&body)).await
    }

    /// Registers at bookshelf.
    pub async fn register(&self, name: &str) -> String {
        let answer = self.post("/api/v1.0/auth/register", registration(name)).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.body["uuid"].as_str().unwrap().to_owned()
    }

    /// Signs in at bookshelf by e-mail and password.
    pub async fn log_in(&self, email: &str, password: &str) -> Answer {
        let form = [("username", email), ("password", password)];
        answer(self.request("POST", "/api/v1.0/auth/login").form(&form)).await
    }

    /// Registers `<name>@example.com` and signs in.
    pub async fn guest(&self, name: &str) -> Guest {
        let uuid = self.register(name).await;
        self.sign_in(name, uuid).await
    }

    /// Signs a registered user in.
    pub async fn sign_in(&self, name: &str, uuid: String) -> Guest {
        let email = format!("{name}@example.com");
        let answer = self.log_in(&email, PASSWORD).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let token = |kind: &str| answer.body[kind].as_str().unwrap().to_owned();
        Guest { uuid, email, access: token("access_token"), refresh: token("refresh_token") }
    }

    /// Registers a user, gives him a role, and signs in.
    pub async fn guest_as(&self, name: &str, role: Role) -> Guest {
        let uuid = self.register(name).await;
        self.change(&uuid, Patch { role: Some(role), ..Patch::default() }).await;
        self.sign_in(name, uuid).await
    }

    /// Changes a user as whoever runs the server would.
    pub async fn change(&self, uuid: &str, patch: Patch) {
        let uuid = uuid.parse().unwrap();
        let change = move |db: &Write| {
            users::update_as_admin(db, &Admin::operator(), &users::by_uuid(db, uuid)?, &patch)
        };
        self.server.app.db.write(change).await.unwrap();
    }

    /// Confirms a user's address, as whoever runs the server would.
    pub async fn confirm(&self, guest: &Guest) {
        let uuid = guest.uuid.parse().unwrap();
        let confirm = move |db: &Write| users::confirm_email(db, users::by_uuid(db, uuid)?.id);
        self.server.app.db.write(confirm).await.unwrap();
    }

    /// Adds a book.
    pub async fn book(&self, owner: &Guest, title: &str) -> Value {
        let answer = answer(self.by(owner, "POST", "/api/v1.0/books/").json(&book(title))).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.body
    }
}

/// Sends a request; `null` is no body, and without a guest it is a stranger's.
pub async fn send<'a>(
    house: &House,
    who: impl Into<Option<&'a Guest>>,
    method: &str,
    path: &str,
    body: Value,
) -> Answer {
    let request = match who.into() {
        Some(guest) => house.by(guest, method, path),
        None => house.request(method, path),
    };
    answer(if body.is_null() { request } else { request.json(&body) }).await
}

/// `whole` with some fields changed.
pub fn with(mut whole: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        whole[name] = value.clone();
    }
    whole
}

/// What a user registers with at bookshelf.
pub fn registration(name: &str) -> Value {
    json!({
        "username": name, "email": format!("{name}@example.com"), "first_name": "First", "last_name": "Last",
        "password": PASSWORD,
    })
}

/// A book as it is sent.
pub fn book(title: &str) -> Value {
    json!({
        "title": title, "author": "Frank Herbert", "publisher": "Chilton Books",
        "publish_date": "1965-08-01", "pages": 412, "language": "English",
    })
}

/// A contact as it is sent.
pub fn contact(fullname: &str) -> Value {
    json!({
        "fullname": fullname, "email": "grace@example.com", "phone_number": 12_025_550_100_i64,
        "birthday": "1906-12-09", "additional": "Met in Arlington.", "user_id": 999, "avatar": "",
    })
}

/// Sends a request and holds the answer against the OpenAPI document and the rules for every response.
pub async fn answer(request: RequestBuilder) -> Answer {
    let (client, request) = request.build_split();
    let request = request.unwrap();
    let (method, path) = (request.method().clone(), request.url().path().to_owned());
    let response = client.execute(request).await.unwrap();
    let answer = read(response).await;
    check(&method, &path, &answer);
    answer
}

async fn read(response: Response) -> Answer {
    let status = response.status().as_u16();
    let mut headers = BTreeMap::<String, String>::new();
    for (name, value) in response.headers() {
        let value = value.to_str().unwrap_or_default();
        // Several lines are one list (RFC 9110 §5.3).
        headers
            .entry(name.to_string())
            .and_modify(|values| *values = format!("{values}, {value}"))
            .or_insert_with(|| value.to_owned());
    }
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Answer { status, headers, text, body }
}

/// What holds of every response of every route.
fn check(method: &Method, path: &str, answer: &Answer) {
    let header = |name: &str| answer.headers.get(name).map(String::as_str);
    assert!(header("x-request-id").is_some_and(|id| !id.is_empty()), "{method} {path} has no request id");
    assert!(header("x-process-time").is_some_and(|ms| ms.parse::<f64>().is_ok()));
    assert_eq!(header("x-content-type-options"), Some("nosniff"));
    assert_eq!(header("server"), None);
    if answer.status == 401 {
        assert!(header("www-authenticate").is_some_and(|scheme| scheme.starts_with("Bearer")));
    }
    if matches!(answer.status, 429 | 503) {
        assert!(header("retry-after").is_some_and(|wait| wait.parse::<u64>().is_ok_and(|wait| wait > 0)));
    }
    if let Some(operation) = operation(method, path) {
        let statuses = operation["responses"].as_object().unwrap();
        assert!(
            statuses.contains_key(&answer.status.to_string()),
            "{method} {path} answered {}, which the document does not tell: {}",
            answer.status,
            answer.text,
        );
    }
}

/// The document's operation for a request, if the path is one of its.
pub fn operation(method: &Method, path: &str) -> Option<&'static Value> {
    let fits = |template: &str| {
        let template = template.trim_matches('/').split('/');
        let path = path.trim_matches('/').split('/');
        template.clone().count() == path.clone().count()
            && template.zip(path).all(|(wanted, given)| wanted.starts_with('{') || wanted == given)
    };
    let paths = document()["paths"].as_object().unwrap();
    // A path that is named wins over one with a parameter.
    let mut found: Vec<_> = paths.iter().filter(|(template, _)| fits(template)).collect();
    found.sort_by_key(|(template, _)| template.matches('{').count());
    found.first()?.1.get(method.as_str().to_ascii_lowercase())
}

/// The OpenAPI document.
pub fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(satchel::api::document)
}

impl Answer {
    /// The answer's status and body, to compare whole.
    pub fn is(&self, status: u16, body: Value) {
        assert_eq!((self.status, &self.body), (status, &body), "{}", self.text);
    }

    /// A refusal of one sentence.
    pub fn refuses(&self, status: u16, sentence: &str) {
        self.is(status, json!({ "detail": sentence }));
    }

    /// A 422; each entry as `(type, loc, msg)`.
    pub fn invalid(&self, expected: &[(&str, Value, &str)]) {
        assert_eq!(self.status, StatusCode::UNPROCESSABLE_ENTITY.as_u16(), "{}", self.text);
        let entries = self.body["detail"].as_array().unwrap();
        let found: Vec<Value> =
            entries.iter().map(|entry| json!([entry["type"], entry["loc"], entry["msg"]])).collect();
        let expected: Vec<Value> = expected.iter().map(|(kind, loc, msg)| json!([kind, loc, msg])).collect();
        assert_eq!(found, expected, "{}", self.text);
    }

    /// A header of the answer.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}
