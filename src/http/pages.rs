//! Pages: the few that a person sees who follows the link of a letter. They run no script and load nothing.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use salvo::extract::Metadata;
use salvo::http::header::{ACCEPT, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, VARY};
use salvo::http::{HeaderMap, Method, StatusCode};
use salvo::oapi::{
    Components, Content, EndpointArgRegister, EndpointOutRegister, Operation, Response as Described,
};
use salvo::{Depot, Extractible, Request, Response, Writer, async_trait};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::answer::{Done, Failure, Message, describe};
use super::extract::NOTHING;
use super::input::schema;
use crate::html::escape;

const FRAME: &str = include_str!("../../assets/pages/frame.html");
const STYLE: &str = include_str!("../../assets/pages/style.css");

/// What a page may do: wear its own style, and send its form here. The token stands in the address, so nobody is
/// told where the reader comes from.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let style = STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).expect("it is ASCII")
});

/// A whole page: a title that is its heading, too, and HTML below it.
pub fn page(title: &str, main: &str) -> String {
    FRAME.replace("{{style}}", STYLE).replace("{{title}}", &escape(title)).replace("{{main}}", main)
}

/// Writes a page.
pub fn put_page(response: &mut Response, status: StatusCode, html: String) {
    response.status_code(status);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, POLICY.clone());
    headers.insert(HeaderName::from_static("referrer-policy"), HeaderValue::from_static("no-referrer"));
    headers.insert(VARY, HeaderValue::from_static("accept"));
    response.body(html);
}

/// Whether the client asks for HTML by name (RFC 9110 §12.5.1), and not rather for JSON: browsers do.
pub fn wants_html(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges: Vec<&str> = accepted.flat_map(|value| value.split(',')).collect();
    let weight = |media_type: &str| {
        let mut weights = ranges.iter().filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let is_it = parts.next()?.eq_ignore_ascii_case(media_type);
            let q = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
            is_it.then(|| q.map_or(1.0, |q| q.parse::<f32>().unwrap_or(0.0)))
        });
        weights.next().unwrap_or(0.0)
    };
    let html = weight("text/html");
    html > 0.0 && html >= weight("application/json")
}

/// Who reads the answer to a link, and whether only what it would be was asked.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    /// A person in a browser.
    pub wants_html: bool,
    /// HEAD: a look that changes nothing (RFC 9110 §9.2.1).
    pub only_looks: bool,
}

impl<'ex> Extractible<'ex> for Reader {
    fn metadata() -> &'static Metadata {
        &NOTHING
    }

    #[allow(refining_impl_trait)]
    async fn extract(request: &'ex mut Request, _: &'ex mut Depot) -> Result<Self, Failure> {
        Ok(Self { wants_html: wants_html(request.headers()), only_looks: request.method() == Method::HEAD })
    }
}

impl EndpointArgRegister for Reader {
    fn register(_: &mut Components, _: &mut Operation, _: &str) {}
}

/// 200 with a message, or with a page that says the same to a person.
#[derive(Debug)]
pub enum Told {
    /// For programs.
    Message(Message),
    /// For people.
    Page(String),
}

impl Told {
    /// Says it so that this reader understands it.
    pub fn to(reader: Reader, message: &'static str, page: impl FnOnce() -> String) -> Self {
        if reader.wants_html { Self::Page(page()) } else { Self::Message(Message::new(message)) }
    }
}

#[async_trait]
impl Writer for Told {
    async fn write(self, request: &mut Request, depot: &mut Depot, response: &mut Response) {
        match self {
            Self::Message(message) => {
                response.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
                Done(message).write(request, depot, response).await;
            }
            Self::Page(html) => put_page(response, StatusCode::OK, html),
        }
    }
}

impl EndpointOutRegister for Told {
    fn register(components: &mut Components, operation: &mut Operation) {
        describe::<Message>(
            "200",
            "It was done. For `Accept: text/html` a page says so.",
            components,
            operation,
        );
        if let Some(salvo::oapi::RefOr::Type(done)) = operation.responses.get_mut("200") {
            done.contents.insert("text/html".into(), html_content());
        }
    }
}

/// 200 with a page, for programs as well.
#[derive(Debug)]
pub struct Shown(pub String);

#[async_trait]
impl Writer for Shown {
    async fn write(self, _: &mut Request, _: &mut Depot, response: &mut Response) {
        put_page(response, StatusCode::OK, self.0);
    }
}

impl EndpointOutRegister for Shown {
    fn register(_: &mut Components, operation: &mut Operation) {
        operation.responses.insert(
            "200",
            Described::new("A page for a person's browser.").add_content("text/html", html_content()),
        );
    }
}

fn html_content() -> Content {
    Content::new(schema(json!({ "type": "string", "examples": ["<!doctype html>…"] })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_is_for_those_who_ask_for_it_by_name() {
        for (accept, expected) in [
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true),
            ("text/html", true),
            ("TEXT/HTML; charset=utf-8", true),
            ("text/html;q=0.5, application/json;q=0.4", true),
            ("text/html;q=0.5, application/json", false),
            ("text/html;q=0", false),
            ("text/html;q=nonsense", false),
            ("application/json", false),
            ("*/*", false),
            ("text/*", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(wants_html(&headers), expected, "{accept}");
        }
        assert!(!wants_html(&HeaderMap::new()));
    }
}
