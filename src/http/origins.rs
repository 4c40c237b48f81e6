//! Origins: pages of which other origins may read answers (CORS, the Fetch standard's "HTTP CORS protocol"), and a line in the
//! log for those that may not.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use salvo::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HOST, HeaderName, HeaderValue, ORIGIN,
    VARY,
};
use salvo::http::{HeaderMap, Method, StatusCode};
use salvo::{Request, Response};

use crate::config::{Config, is_loopback_origin, page_origin};

/// What a page may ask for, whatever the path: what the path does not have is refused in an answer that it can read.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";
/// The headers of answers that a page may read besides those that the standard lets it.
const EXPOSED: &str = "allow, content-disposition, date, etag, link, location, ratelimit-limit, ratelimit-remaining, \
     ratelimit-reset, retry-after, www-authenticate, x-process-time, x-request-id";
/// How long a browser may remember what it was told before a request, in seconds.
const MAX_AGE: &str = "3600";
/// So many refused origins are told.
const TOLD_MAX: usize = 100;
/// So much of one is told, in characters; no real one is longer.
const TOLD_CHARS_MAX: usize = 300;

static REQUEST_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-request-private-network");
static ALLOW_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");
static SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whose pages may read answers. With their credentials, too: nothing of this server is a cookie.
#[derive(Debug)]
pub struct Origins {
    listed: Vec<String>,
    /// The pages of the machine that the browser runs on may, as well.
    loopback: bool,
    /// Where people find this server, whatever a proxy makes of `Host`.
    own: Option<String>,
    told: Mutex<HashSet<String>>,
}

impl Origins {
    /// What the settings say.
    pub fn of(config: &Config) -> Self {
        Self {
            listed: config.server.cors_origins.iter().filter_map(|origin| page_origin(origin)).collect(),
            loopback: !config.is_production(),
            own: own_origin(&config.public_url()),
            told: Mutex::default(),
        }
    }

    /// Answers the question that a browser asks before a request (a preflight), when the page may read the answer to it.
    pub fn answer_preflight(&self, request: &Request, response: &mut Response) -> bool {
        let asked = request.headers();
        if !is_preflight(request) || !asked.get(ORIGIN).is_some_and(|origin| self.lets_in(origin)) {
            return false;
        }
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
        if let Some(wanted) = asked.get(ACCESS_CONTROL_REQUEST_HEADERS) {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
        }
        if asked.contains_key(&REQUEST_PRIVATE_NETWORK) {
            headers.insert(ALLOW_PRIVATE_NETWORK.clone(), HeaderValue::from_static("true"));
        }
        response.status_code(StatusCode::NO_CONTENT);
        true
    }

    /// Says in an answer whether the page that asked may read it.
    pub fn put_headers(&self, request: &Request, headers: &mut HeaderMap) {
        if self.loopback || !self.listed.is_empty() {
            // Not `insert`: it may depend on other headers, too.
            headers.append(VARY, HeaderValue::from_static("origin"));
        }
        let Some(origin) = request.headers().get(ORIGIN) else { return };
        if !self.lets_in(origin) {
            return self.tell(origin, request.headers());
        }
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        // Of an answer to a preflight the page reads nothing.
        if !is_preflight(request) {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        }
    }

    fn lets_in(&self, origin: &HeaderValue) -> bool {
        let Ok(origin) = origin.to_str() else { return false };
        self.loopback && is_loopback_origin(origin) || self.listed.iter().any(|listed| listed == origin)
    }

    /// Says once of each origin that its pages are refused, and what would let them in.
    fn tell(&self, origin: &HeaderValue, asked: &HeaderMap) {
        if self.is_own(origin, asked) {
            return;
        }
        let origin: String =
            String::from_utf8_lossy(origin.as_bytes()).chars().take(TOLD_CHARS_MAX).collect();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= TOLD_MAX || told.contains(&origin) {
            return;
        }
        if origin == "null" {
            tracing::warn!(
                "a page whose origin is null (a file, or a sandboxed frame) cannot read the answers it asks for: serve it by HTTP, \
                 and name its origin in server.cors_origins"
            );
        } else {
            tracing::warn!(
                "a page of {origin} cannot read the answers it asks for: if it may, name its origin in server.cors_origins"
            );
        }
        told.insert(origin);
    }

    /// Whether the page is this server's own: browsers send an origin there, too, and refuse nothing.
    fn is_own(&self, origin: &HeaderValue, asked: &HeaderMap) -> bool {
        let says = |name: &HeaderName, word: &str| asked.get(name).is_some_and(|value| value == word);
        let authority =
            origin.as_bytes().splitn(2, |byte| *byte == b'/').nth(1).and_then(|rest| rest.strip_prefix(b"/"));
        says(&SEC_FETCH_SITE, "same-origin")
            || says(&SEC_FETCH_MODE, "navigate")
            || authority
                .is_some_and(|authority| asked.get(HOST).is_some_and(|host| host.as_bytes() == authority))
            || self.own.as_deref().is_some_and(|own| own.as_bytes() == origin.as_bytes())
    }
}

/// Whether this is a CORS-preflight request (Fetch Standard).
fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The origin of an address that may have a path.
fn own_origin(url: &str) -> Option<String> {
    let end = url.find("://").map(|at| at + 3)?;
    page_origin(&url[..url[end..].find('/').map_or(url.len(), |at| end + at)])
}
