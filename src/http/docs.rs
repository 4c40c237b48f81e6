//! The docs page: Scalar, served wholly from the binary, and the OpenAPI document it shows.

use std::io::Write;
use std::sync::LazyLock;

use bytes::Bytes;
use flate2::write::GzEncoder;
use rust_embed::RustEmbed;
use salvo::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName,
    HeaderValue, LOCATION, VARY,
};
use salvo::http::{HeaderMap, StatusCode};
use salvo::{Depot, FlowCtrl, Handler, Request, Response, Router, async_trait};

use super::resource::at;

/// The page's own files.
#[derive(RustEmbed)]
#[folder = "assets/docs"]
struct Assets;

/// Scalar's script, made smaller at build time, under a name that changes with its content.
static SCRIPT_BR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/scalar.js.br"));
static SCRIPT_GZ: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/scalar.js.gz"));
const SCRIPT_HASH: &str = include_str!(concat!(env!("OUT_DIR"), "/scalar.hash"));

/// What the page may do: run the scripts from here, ask this server, and nothing else. Scalar adds styles of its
/// own making, as sheets and on elements.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `/scalar` and what it needs, and the ways that lead there. The document is made when it is first asked for: that
/// takes longer, and more memory, than all the rest of a start.
pub fn routes(document: fn() -> Vec<u8>) -> Vec<Router> {
    let to_docs = || Redirect("/scalar");
    vec![
        at("/").get(to_docs()).into(),
        at("/docs").get(to_docs()).into(),
        at("/redoc").get(to_docs()).into(),
        at("/openapi.json").get(Document(LazyLock::new(Box::new(move || Forms::of(document()))))).into(),
        at("/scalar").get(page()).into(),
        at("/scalar/before.js").get(asset("before.js", "text/javascript; charset=utf-8")).into(),
        at("/scalar/start.js").get(asset("start.js", "text/javascript; charset=utf-8")).into(),
        at("/scalar/page.css").get(asset("page.css", "text/css; charset=utf-8")).into(),
        at("/scalar/icon.svg").get(asset("icon.svg", "image/svg+xml")).into(),
        at(format!("/scalar/{SCRIPT_HASH}.js")).get(Script).into(),
    ]
}

/// Leads somewhere else on this server.
struct Redirect(&'static str);

#[async_trait]
impl Handler for Redirect {
    async fn handle(&self, _: &mut Request, _: &mut Depot, response: &mut Response, _: &mut FlowCtrl) {
        response.status_code(StatusCode::FOUND);
        response.headers_mut().insert(LOCATION, HeaderValue::from_static(self.0));
    }
}

/// Bytes that never change while the server runs.
struct Fixed {
    bytes: Bytes,
    headers: Vec<(HeaderName, HeaderValue)>,
}

#[async_trait]
impl Handler for Fixed {
    async fn handle(&self, _: &mut Request, _: &mut Depot, response: &mut Response, _: &mut FlowCtrl) {
        response.status_code(StatusCode::OK);
        response.headers_mut().extend(self.headers.iter().cloned());
        response.body(self.bytes.clone());
    }
}

/// The document, once somebody wants it: all who ask share its bytes, compressed or not.
struct Document(LazyLock<Forms, Box<dyn Fn() -> Forms + Send>>);

struct Forms {
    plain: Bytes,
    gzip: Bytes,
}

impl Forms {
    fn of(plain: Vec<u8>) -> Self {
        let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::best());
        let gzip = gzip.write_all(&plain).and_then(|()| gzip.finish()).expect("memory takes all");
        Self { plain: plain.into(), gzip: gzip.into() }
    }
}

#[async_trait]
impl Handler for Document {
    async fn handle(&self, request: &mut Request, _: &mut Depot, response: &mut Response, _: &mut FlowCtrl) {
        response.status_code(StatusCode::OK);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        if accepts(request.headers(), "gzip") {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            response.body(self.0.gzip.clone());
        } else {
            response.body(self.0.plain.clone());
        }
    }
}

fn page() -> Fixed {
    let html = String::from_utf8(content("index.html")).unwrap_or_default();
    let headers = vec![
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (HeaderName::from_static("referrer-policy"), HeaderValue::from_static("no-referrer")),
    ];
    Fixed { bytes: html.replace("{{script}}", SCRIPT_HASH).into(), headers }
}

fn asset(name: &str, media_type: &'static str) -> Fixed {
    let headers = vec![
        (CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    Fixed { bytes: content(name).into(), headers }
}

fn content(name: &str) -> Vec<u8> {
    Assets::get(name).map(|file| file.data.into_owned()).expect("the file is embedded at build time")
}

/// Scalar's script in the smallest form that the client takes.
struct Script;

#[async_trait]
impl Handler for Script {
    async fn handle(&self, request: &mut Request, _: &mut Depot, response: &mut Response, _: &mut FlowCtrl) {
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        let (encoding, bytes) = if accepts(request.headers(), "br") {
            ("br", SCRIPT_BR)
        } else {
            // Whoever takes no gzip either does not run scripts of this size.
            ("gzip", SCRIPT_GZ)
        };
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
        response.status_code(StatusCode::OK);
        response.body(Bytes::from_static(bytes));
    }
}

/// Whether the client takes this encoding; with a weight of 0 it does not (RFC 9110 §12.4.2).
fn accepts(headers: &HeaderMap, encoding: &str) -> bool {
    headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|offered| {
            let mut parts = offered.split(';').map(str::trim);
            let names_it = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(encoding));
            let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
            names_it && weight.and_then(|weight| weight.parse().ok()) != Some(0.0)
        })
}
