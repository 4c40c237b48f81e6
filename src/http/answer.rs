//! Answers: the one place where results and errors become responses, in the words of each API.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt::{Debug, Display};

use percent_encoding::percent_decode_str;
use salvo::http::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER, VARY, WWW_AUTHENTICATE};
use salvo::http::{HeaderMap, StatusCode};
use salvo::oapi::{Components, Content, EndpointOutRegister, Operation, Response as Described, ToSchema};
use salvo::{Depot, Request, Response, Writer, async_trait};
use serde::Serialize;
use serde_json::{Value, json};

use super::extract::Seen;
use super::limits;
use super::pages::{put_page, wants_html};
use super::validate::{Broken, Invalid, hide};
use crate::error::{Act, Error, Refusal, UserKey};

/// Why a handler did not do what it was asked for.
#[derive(Debug)]
pub enum Failure {
    /// A refusal or a fault.
    Error(Error),
    /// The request is malformed: one 422 with every fault that it has.
    Invalid(Vec<Invalid>),
}

impl Failure {
    /// A fault of one field of the body that only the handler could see; its value is a secret.
    pub fn at_field(name: &'static str, broken: Broken) -> Self {
        Self::Invalid(vec![broken.at(vec!["body".into(), name.into()], hide(&Value::from("")))])
    }
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

/// How one API says no: the paths it speaks for, its own sentences, and what it wraps them in.
#[derive(Clone, Copy, Debug)]
pub struct Voice {
    /// The paths under which it speaks, without a trailing slash; `*` stands for any one segment.
    pub prefixes: &'static [&'static str],
    /// Its own status and sentence for a refusal; `None` where the default will do.
    pub words: fn(&Refusal) -> Option<Words>,
    /// What it wraps its words in: the JSON body of a refusal, a fault or a 422.
    pub envelope: fn(&No<'_>) -> Vec<u8>,
    /// The same as a page, where people come by a browser.
    pub page: Option<fn(&No<'_>) -> String>,
}

/// A status and a sentence.
pub type Words = (StatusCode, Cow<'static, str>);

/// What is to be said to a request that is not done.
#[derive(Debug)]
pub struct No<'a> {
    /// The status.
    pub status: StatusCode,
    /// Why.
    pub why: Why<'a>,
    /// What the answer carries in `X-Request-ID`.
    pub request_id: &'a str,
}

/// Why a request is not done.
#[derive(Debug)]
pub enum Why<'a> {
    /// A refusal's sentence, or a fault's.
    Sentence(&'a str),
    /// Every fault of a malformed request.
    Invalid(&'a [Invalid]),
}

/// The envelope of most APIs: `{"detail": …}`.
pub fn detail(no: &No<'_>) -> Vec<u8> {
    match no.why {
        Why::Sentence(detail) => json_bytes(&Detail { detail }),
        Why::Invalid(detail) => json_bytes(&Detail { detail }),
    }
}

#[derive(Serialize)]
struct Detail<T> {
    detail: T,
}

impl Voice {
    /// Whether it speaks for this path. A slash may be doubled and a letter escaped, as the routes take it.
    pub fn speaks_for(&self, path: &str) -> bool {
        let mut prefixes = self.prefixes.iter();
        prefixes.any(|prefix| {
            let mut given = segments(path).map(|segment| percent_decode_str(segment).decode_utf8_lossy());
            segments(prefix).all(|wanted| given.next().is_some_and(|given| wanted == "*" || wanted == given))
        })
    }

    /// What it says to a refusal.
    pub fn say(&self, refusal: &Refusal) -> Words {
        (self.words)(refusal).unwrap_or_else(|| default_words(refusal))
    }
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

/// All that is said of a fault.
pub const INTERNAL_ERROR: &str = "Internal Server Error";

/// The voice for paths that belong to no API.
pub static HOUSE: Voice = Voice { prefixes: &[""], words: |_| None, envelope: detail, page: None };

/// What the house says where an API has no words of its own.
fn default_words(refusal: &Refusal) -> Words {
    let (status, sentence) = match refusal {
        Refusal::NotAuthenticated => (StatusCode::UNAUTHORIZED, "Not authenticated"),
        Refusal::TokenInvalid
        | Refusal::TokenExpired
        | Refusal::TokenRevoked
        | Refusal::TokenOfInactive
        | Refusal::RefreshInvalid
        | Refusal::RefreshExpired => (StatusCode::UNAUTHORIZED, "Could not validate credentials"),
        Refusal::WrongCredentials => (StatusCode::UNAUTHORIZED, "Invalid credentials"),
        Refusal::UserInactive => (StatusCode::BAD_REQUEST, "User account is inactive"),
        Refusal::UserBlocked => (StatusCode::FORBIDDEN, "Your account is blocked."),
        Refusal::UserDeleted => (StatusCode::FORBIDDEN, "Your account has been deleted."),
        Refusal::EmailUnconfirmed | Refusal::TokenOfUnconfirmed => {
            (StatusCode::FORBIDDEN, "Please verify your email address before logging in")
        }
        Refusal::TooManyAttempts(_) => {
            (StatusCode::TOO_MANY_REQUESTS, "Too many failed sign-ins. Please try again later.")
        }
        Refusal::TooManyRequests { .. } => {
            (StatusCode::TOO_MANY_REQUESTS, "Too many requests. Please try again later.")
        }
        Refusal::RateLimited { count, per_seconds, .. } => {
            let sentence = format!("Rate limit exceeded: {}", limits::in_words(*count, *per_seconds));
            return (StatusCode::TOO_MANY_REQUESTS, sentence.into());
        }
        Refusal::RefreshWrongKind => (StatusCode::UNAUTHORIZED, "Invalid refresh token"),
        Refusal::RefreshRevoked => (StatusCode::UNAUTHORIZED, "Refresh token has been revoked"),
        Refusal::ProofInvalid => (StatusCode::BAD_REQUEST, "Verification error"),
        Refusal::ProofMalformed => (StatusCode::UNPROCESSABLE_ENTITY, "Invalid token for email verification"),
        Refusal::AdminRequired => (StatusCode::FORBIDDEN, "Admin access required"),
        Refusal::LastAdmin => (StatusCode::CONFLICT, "The last active administrator must remain"),
        Refusal::OwnBlock => (StatusCode::CONFLICT, "Administrators cannot block themselves"),
        Refusal::WrongPassword => (StatusCode::BAD_REQUEST, "Current password is incorrect"),
        Refusal::EmailTaken(..) => (StatusCode::CONFLICT, "Email already registered"),
        Refusal::UsernameTaken(_) => (StatusCode::CONFLICT, "Username already taken"),
        Refusal::UserNotFound(key) => {
            return match key {
                UserKey::Id(id) => not_found("User", id),
                UserKey::Uuid(uuid) => not_found("User", uuid),
                UserKey::Email(email) => not_found("User with email", email),
            };
        }
        Refusal::NotYourself(Act::Delete) => (StatusCode::FORBIDDEN, "You can only delete your own account"),
        Refusal::NotYourself(_) => (StatusCode::FORBIDDEN, "You can only update your own profile"),
        Refusal::ProfileIncomplete => (StatusCode::FORBIDDEN, "Profile incomplete"),
        Refusal::ProfileRefused => (StatusCode::BAD_REQUEST, "Unable to update profile"),
        Refusal::BalanceRefused => (StatusCode::BAD_REQUEST, "Unable to update balance"),
        Refusal::AdminHasNoBalance => (StatusCode::FORBIDDEN, "Admin users cannot have an active balance"),
        Refusal::AdminDeletesHimself => (StatusCode::FORBIDDEN, "Admin cannot delete their own account."),
        Refusal::BookNotFound(uuid) => return not_found("Book", uuid),
        Refusal::NotYourBook(act) => return only_your_own(*act, "books"),
        Refusal::ItemNotFound(_, uuid) => return not_found("Item", uuid),
        Refusal::NotYourItem(act) => return only_your_own(*act, "items"),
        Refusal::TodoNotFound(id) => return not_found("Todo", id),
        Refusal::NotYourTodo(act) => return only_your_own(*act, "todos"),
        Refusal::ContactNotFound => (StatusCode::NOT_FOUND, "Contact was not found"),
        Refusal::AvatarNotFound => (StatusCode::NOT_FOUND, "Avatar was not found"),
        Refusal::ContactExists => (StatusCode::CONFLICT, "Already exists"),
        Refusal::UnsupportedImage => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported image"),
        Refusal::NoSuchPath => (StatusCode::NOT_FOUND, "Not Found"),
        Refusal::NoSuchMethod => (StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed"),
        Refusal::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "Request body is too large"),
        Refusal::BadHost => (StatusCode::BAD_REQUEST, "Invalid Host header"),
        Refusal::BodyUnreadable => (StatusCode::BAD_REQUEST, "There was an error parsing the body"),
        Refusal::TimedOut => (StatusCode::REQUEST_TIMEOUT, "Request Timeout"),
        Refusal::Busy(_) => (StatusCode::SERVICE_UNAVAILABLE, "The server is busy. Please try again."),
        Refusal::QuotaExceeded => (StatusCode::INSUFFICIENT_STORAGE, "Your storage is full"),
        Refusal::StorageFull => (StatusCode::INSUFFICIENT_STORAGE, "The server's storage is full"),
    };
    (status, Cow::Borrowed(sentence))
}

fn not_found(what: &str, key: impl Display) -> Words {
    (StatusCode::NOT_FOUND, format!("{what} {key} not found").into())
}

fn only_your_own(act: Act, what: &str) -> Words {
    let verb = match act {
        Act::Create => "create",
        Act::Read => "see",
        Act::Update => "update",
        Act::Delete => "delete",
    };
    (StatusCode::FORBIDDEN, format!("You can only {verb} your own {what}").into())
}

#[async_trait]
impl Writer for Failure {
    async fn write(self, request: &mut Request, depot: &mut Depot, response: &mut Response) {
        let seen = Seen::of(depot);
        let voice = seen.map_or(&HOUSE, |seen| seen.voice(request.uri().path()));
        let request_id = seen.map_or("", |seen| seen.request_id());
        let page = voice.page.filter(|_| wants_html(request.headers()));
        if voice.page.is_some() {
            response.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
        }
        let mut say = |status, why: Why<'_>| {
            let no = No { status, why, request_id };
            match page {
                Some(page) => put_page(response, status, page(&no)),
                None => put_bytes(response, status, (voice.envelope)(&no)),
            }
        };
        match self {
            Self::Error(Error::Refusal(refusal)) => {
                let (status, sentence) = voice.say(&refusal);
                say(status, Why::Sentence(&sentence));
                add_headers(&refusal, status, response.headers_mut());
            }
            Self::Error(Error::Fault(fault)) => {
                tracing::error!(request.id = request_id, route = request.matched_path(), "{fault:#}");
                say(StatusCode::INTERNAL_SERVER_ERROR, Why::Sentence(INTERNAL_ERROR));
            }
            Self::Invalid(faults) => say(StatusCode::UNPROCESSABLE_ENTITY, Why::Invalid(&faults)),
        }
    }
}

/// The headers that belong to a refusal on every API.
fn add_headers(refusal: &Refusal, status: StatusCode, headers: &mut HeaderMap) {
    match refusal {
        Refusal::TokenInvalid
        | Refusal::TokenExpired
        | Refusal::TokenRevoked
        | Refusal::TokenOfInactive
        | Refusal::TokenOfUnconfirmed
        | Refusal::RefreshInvalid
        | Refusal::RefreshExpired
        | Refusal::RefreshWrongKind
        | Refusal::RefreshRevoked => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer error=\"invalid_token\""));
        }
        Refusal::TooManyAttempts(wait) => limits::refuse(headers, 1, *wait),
        Refusal::RateLimited { count, wait, .. } | Refusal::TooManyRequests { count, wait } => {
            limits::refuse(headers, *count, *wait);
        }
        Refusal::Busy(wait) => {
            headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        _ if status == StatusCode::UNAUTHORIZED => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        _ => {}
    }
}

/// The largest buffer that a thread keeps for the bodies that it writes.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A JSON body.
pub fn json_bytes<T: Serialize + ?Sized>(body: &T) -> Vec<u8> {
    written(|buffer| write_json(buffer, body))
}

/// Writes one value of a body.
pub fn write_json<T: Serialize + ?Sized>(buffer: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(buffer, value).expect("wire types serialize: their keys are strings");
}

/// What is written to the thread's buffer, which has room already and is empty. A short text is copied once its length is known,
/// a long one is the buffer.
pub fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut buffer = BUFFER.take();
    write(&mut buffer);
    if buffer.capacity() > BUFFER_BYTES_MAX {
        buffer.shrink_to_fit();
        return buffer;
    }
    let bytes = buffer.clone();
    buffer.clear();
    BUFFER.set(buffer);
    bytes
}

/// Writes a JSON body.
pub fn put_json<T: Serialize + ?Sized>(response: &mut Response, status: StatusCode, body: &T) {
    put_bytes(response, status, json_bytes(body));
}

pub(super) fn put_bytes(response: &mut Response, status: StatusCode, body: Vec<u8>) {
    response.status_code(status);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.body(body);
}

/// 200 with a JSON body.
#[derive(Debug)]
pub struct Done<T>(pub T);

/// 201 with a JSON body.
#[derive(Debug)]
pub struct Created<T>(pub T);

/// 204.
#[derive(Debug)]
pub struct NoContent;

/// 503 with a JSON body, and how long to wait.
#[derive(Debug)]
pub struct Unavailable<T>(pub T);

/// What an answer says in one sentence.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(example = json!({ "message": "Successfully logged out" })))]
pub struct Message {
    /// What was done, in one sentence.
    pub message: Cow<'static, str>,
}

impl Message {
    /// Takes the sentence.
    pub fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into() }
    }
}

#[async_trait]
impl<T: Serialize + Send> Writer for Done<T> {
    async fn write(self, _: &mut Request, _: &mut Depot, response: &mut Response) {
        put_json(response, StatusCode::OK, &self.0);
    }
}

#[async_trait]
impl<T: Serialize + Send> Writer for Created<T> {
    async fn write(self, _: &mut Request, _: &mut Depot, response: &mut Response) {
        put_json(response, StatusCode::CREATED, &self.0);
    }
}

#[async_trait]
impl Writer for NoContent {
    async fn write(self, _: &mut Request, _: &mut Depot, response: &mut Response) {
        response.status_code(StatusCode::NO_CONTENT);
    }
}

#[async_trait]
impl<T: Serialize + Send> Writer for Unavailable<T> {
    async fn write(self, _: &mut Request, _: &mut Depot, response: &mut Response) {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        put_json(response, StatusCode::SERVICE_UNAVAILABLE, &self.0);
    }
}

/// The request's own address with another cursor, as a relative reference (RFC 3986 §4.2). One that begins with two
/// slashes would name another host.
pub(super) fn next_link(request: &Request, cursor: &str) -> String {
    let uri = request.uri();
    let kept = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty() && pair.split('=').next() != Some("cursor"));
    let query: Vec<&str> = kept.collect();
    let separator = if query.is_empty() { "" } else { "&" };
    let path = uri.path().trim_start_matches('/');
    format!("</{path}?{}{separator}cursor={cursor}>; rel=\"next\"", query.join("&"))
}

pub(super) fn describe<T: ToSchema + 'static>(
    status: &str,
    what: &str,
    components: &mut Components,
    operation: &mut Operation,
) {
    let content = Content::new(T::to_schema(components));
    operation.responses.insert(status, Described::new(what).add_content("application/json", content));
}

impl<T: ToSchema + 'static> EndpointOutRegister for Done<T> {
    fn register(components: &mut Components, operation: &mut Operation) {
        describe::<T>("200", "The request succeeded.", components, operation);
    }
}

impl<T: ToSchema + 'static> EndpointOutRegister for Created<T> {
    fn register(components: &mut Components, operation: &mut Operation) {
        describe::<T>("201", "It was created, as the body shows it.", components, operation);
    }
}

impl EndpointOutRegister for NoContent {
    fn register(_: &mut Components, operation: &mut Operation) {
        operation.responses.insert("204", Described::new("It was done; the answer has no body."));
    }
}

impl<T: ToSchema + 'static> EndpointOutRegister for Unavailable<T> {
    fn register(components: &mut Components, operation: &mut Operation) {
        describe::<T>("503", "The server cannot do this now.", components, operation);
    }
}

/// What an operation may be refused with is told where the words are: in the document of all APIs.
impl EndpointOutRegister for Failure {
    fn register(_: &mut Components, _: &mut Operation) {}
}

/// Adds the 422 of an operation that takes input, with an answer that has these faults.
pub fn describe_invalid(operation: &mut Operation, faults: &[Invalid]) {
    let reference = salvo::oapi::RefOr::Ref(salvo::oapi::Ref::from_schema_name("ValidationErrorResponse"));
    let example = json!({ "detail": faults });
    operation.responses.insert(
        "422",
        Described::new("The request is malformed; the answer lists every fault.")
            .add_content("application/json", Content::new(reference).example(example)),
    );
}

/// Marks an answer with the methods that its path has (RFC 9110 §10.2.1).
pub fn allow(response: &mut Response, methods: &str) {
    if let Ok(methods) = HeaderValue::try_from(methods) {
        response.headers_mut().insert(ALLOW, methods);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voice_speaks_for_its_paths_however_many_slashes_they_have_and_for_no_other() {
        let voice = Voice { prefixes: &["/api/auth", "/v1", "/of/*/x"], ..HOUSE };
        for path in [
            "/api/auth",
            "/api/auth/",
            "/api/auth/x",
            "//api/auth",
            "/api//auth/x",
            "/v1",
            "//v1//x",
            "/of/any/x",
            "/of/any/x/more",
            "/%761",
            "//%76%31/x",
            "/api/a%75th",
            "/%6ff/%2F/x",
        ] {
            assert!(voice.speaks_for(path), "{path}");
        }
        for path in [
            "/",
            "",
            "/api",
            "/api/authx",
            "/api/x/auth",
            "/v10",
            "/x/v1",
            "/v/1",
            "/of/x",
            "/of//x",
            "/of/any",
            "/%2576%31",
            "/v1%2Fx",
            "/%FF1",
        ] {
            assert!(!voice.speaks_for(path), "{path}");
            assert!(HOUSE.speaks_for(path), "{path}");
        }
    }
}
