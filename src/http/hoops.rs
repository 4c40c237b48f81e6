//! Hoops: what every request passes, outermost first: request id, access log, panic, timeout, headers.
//!
//! They are one hoop, since each one of salvo's costs a boxed future. Limits on size and input are where
//! bodies are read.

use std::net::Ipv6Addr;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use salvo::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use salvo::http::{HeaderMap, Method, ResBody, StatusCode, Version};
use salvo::{Depot, FlowCtrl, Handler, Request, Response, Writer, async_trait};

use super::answer::{Failure, Voice};
use super::extract::{Seen, client_address};
use super::large;
use super::origins::Origins;
use uuid::Uuid;

use crate::app::App;
use crate::config::LogAddresses;
use crate::error::{Error, Refusal};
use crate::scope::Scope;

static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static X_PROCESS_TIME: HeaderName = HeaderName::from_static("x-process-time");
/// Longest request id that is taken over from a client, in bytes.
const REQUEST_ID_MAX: usize = 128;

/// The outermost hoop.
#[derive(Debug)]
pub struct Edge {
    app: App,
    voices: &'static [Voice],
    origins: Origins,
    timeout: Duration,
    log_access: bool,
    log_addresses: LogAddresses,
}

impl Edge {
    /// Serves `app`, in these voices.
    pub fn new(app: App, voices: &'static [Voice]) -> Self {
        let timeout = Duration::from_secs(app.config.server.request_timeout_seconds);
        let log_access = app.config.log.access;
        let log_addresses = app.config.log.addresses;
        let origins = Origins::of(&app.config);
        Self { app, voices, origins, timeout, log_access, log_addresses }
    }

    /// Runs the rest, whatever becomes of it.
    async fn run(
        &self,
        request: &mut Request,
        depot: &mut Depot,
        response: &mut Response,
        ctrl: &mut FlowCtrl,
    ) -> Result<(), Failure> {
        if !names_one_host(request) {
            return Err(Refusal::BadHost.into());
        }
        if self.origins.answer_preflight(request, response) {
            return Ok(());
        }
        let rest = AssertUnwindSafe(ctrl.call_next(request, depot, response)).catch_unwind();
        match tokio::time::timeout(self.timeout, rest).await {
            Ok(Ok(_)) => {}
            Ok(Err(panic)) => return Err(Error::fault(panic_message(&*panic)).into()),
            Err(_) => return Err(Refusal::TimedOut.into()),
        }
        // What no route answered comes with a status alone.
        match response.status_code {
            Some(StatusCode::NOT_FOUND) if response.body.is_none() => Err(Refusal::NoSuchPath.into()),
            Some(StatusCode::METHOD_NOT_ALLOWED) if response.body.is_none() => {
                Err(Refusal::NoSuchMethod.into())
            }
            _ => Ok(large::hold(&self.app.answers, depot, response).await?),
        }
    }
}

#[async_trait]
impl Handler for Edge {
    async fn handle(
        &self,
        request: &mut Request,
        depot: &mut Depot,
        response: &mut Response,
        ctrl: &mut FlowCtrl,
    ) {
        let begun = Instant::now();
        let request_id = request_id(request.headers(), &self.app);
        let client = client_address(request, &self.app);
        let address = self.log_addresses.shown(client);
        let scope = Scope::new(request_id.to_str().unwrap_or_default().to_owned(), client.into(), address);
        depot.insert_typed(Seen::new(self.app.clone(), self.voices, scope.clone(), client));
        let answer = async {
            if let Err(failure) = self.run(request, depot, response, ctrl).await {
                failure.write(request, depot, response).await;
            }
        };
        scope.run(answer).await;
        if request.method() == Method::HEAD {
            put_length(response);
        }
        let took = begun.elapsed();
        put_headers(response.headers_mut(), request_id, took);
        self.origins.put_headers(request, response.headers_mut());
        if self.log_access {
            let seen = Seen::of(depot);
            let status = response.status_code.unwrap_or(StatusCode::OK).as_u16();
            let ms = took.as_micros() as f64 / 1e3;
            tracing::info!(
                target: "access",
                method = request.method().as_str(),
                route = request.matched_path(),
                status,
                ms,
                request.id = seen.map(Seen::request_id),
                user.id = seen.and_then(Seen::user_id),
                client.address = address.map(tracing::field::display),
            );
        }
    }
}

/// The client's id of this request if it is a sane one, else a new one.
fn request_id(headers: &HeaderMap, app: &App) -> HeaderValue {
    let given = headers.get(&X_REQUEST_ID).and_then(|value| value.to_str().ok());
    let is_sane = |id: &&str| {
        (1..=REQUEST_ID_MAX).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
    };
    let id = match given.filter(is_sane) {
        Some(id) => HeaderValue::from_str(id),
        None => {
            HeaderValue::from_str(app.clock.new_id().hyphenated().encode_lower(&mut Uuid::encode_buffer()))
        }
    };
    id.expect("a sane id and a UUID are visible ASCII")
}

fn put_headers(headers: &mut HeaderMap, request_id: HeaderValue, took: Duration) {
    headers.insert(X_REQUEST_ID.clone(), request_id);
    let micros = took.as_micros();
    if let Ok(ms) = HeaderValue::try_from(format!("{}.{:03}", micros / 1000, micros % 1000)) {
        headers.insert(X_PROCESS_TIME.clone(), ms);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Nearly every answer has a user or a token in it; those that may be kept say so themselves.
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

/// Tells HEAD how long the answer to GET is (RFC 9110 §8.6), since the body is dropped before it is counted.
fn put_length(response: &mut Response) {
    let length = match &response.body {
        ResBody::None => 0,
        ResBody::Once(bytes) => bytes.len(),
        // Compressed on the way: GET is not told either.
        _ => return,
    };
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
}

/// Whether a request says in one valid `Host` which host it means (RFC 9112 §3.2). HTTP/1.0 may do without.
fn names_one_host(request: &Request) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    let is_named = match (hosts.next(), hosts.next()) {
        (None, _) => request.version() != Version::HTTP_11,
        (Some(host), None) => is_authority(host.as_bytes()),
        _ => false,
    };
    // Of an absolute target, too.
    is_named && request.uri().authority().is_none_or(|authority| !authority.as_str().contains('@'))
}

/// Whether this is a host and perhaps a port (RFC 3986 §3.2.2): no user, no blanks.
fn is_authority(host: &[u8]) -> bool {
    let is_port = |port: &str| {
        port.is_empty() || port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
    };
    let Ok(host) = std::str::from_utf8(host) else { return false };
    if let Some((address, rest)) = host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        let is_end = rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port);
        return is_end && address.parse::<Ipv6Addr>().is_ok();
    }
    let (name, port) = host.split_once(':').unwrap_or((host, ""));
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte);
    let is_escaped =
        |rest: &str| rest.as_bytes().get(..2).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
    let mut pieces = name.split('%');
    !name.is_empty()
        && is_port(port)
        && pieces.next().is_some_and(|piece| piece.bytes().all(is_plain))
        && pieces.all(|piece| is_escaped(piece) && piece.bytes().all(is_plain))
}

/// What a panic said, for the log.
fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("a handler panicked: {}", text.unwrap_or_default())
}
