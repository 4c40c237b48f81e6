//! The APIs in one table, the routes that belong to none of them, and the OpenAPI document of all.

mod bookshelf;
mod common;
mod contactbook;
mod document;
mod identity;
mod store;
mod todolist;

use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use salvo::http::header::{CACHE_CONTROL, ETAG, HeaderValue, IF_NONE_MATCH};
use salvo::http::{HeaderMap, StatusCode};
use salvo::oapi::{Components, EndpointOutRegister, Operation, Response as Described, ToSchema, endpoint};
use salvo::{Depot, Request, Response, Router, Service, Writer, async_trait};
use salvo_compression::{Compression, CompressionLevel};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

pub use self::document::document;
use crate::app::App;
use crate::domain::auth::keys::PUBLISHED_FOR;
use crate::error::{Act, Refusal};
use crate::http::answer::{Done, Failure, Message, Voice};
use crate::http::docs;
use crate::http::hoops::Edge;
use crate::http::resource::at;

/// One API: its routes, its words, and how the document tells of it.
#[derive(Debug)]
pub struct Api {
    name: &'static str,
    description: &'static str,
    tags: &'static [(&'static str, &'static str)],
    /// How it says no: usually one voice.
    voices: &'static [Voice],
    routes: fn() -> Vec<Router>,
    /// Paths under which operations answer that have another, first one.
    aliases: &'static [&'static str],
    /// What an operation, named by its handler, may be refused with, besides what its arguments imply.
    refusals: fn(handler: &str) -> Vec<Refusal>,
    /// What an operation says that answers with a message.
    message: fn(handler: &str) -> Option<Message>,
    /// The schema of its envelope at a status and what the document calls it, where it is one of its own.
    error_schema: fn(StatusCode) -> Option<(&'static str, Value)>,
}

/// Every API.
static APIS: [&Api; 5] = [&bookshelf::API, &store::API, &todolist::API, &identity::API, &contactbook::API];

static VOICES: LazyLock<Vec<Voice>> =
    LazyLock::new(|| APIS.iter().flat_map(|api| api.voices.iter().copied()).collect());

/// An id as the examples show one.
const EXAMPLE_ID: Uuid = Uuid::from_u128(0x019a_9d5e_6c1f_7c3b_8a54_3f0c_1f4e_2d10);
/// An address as the examples show one.
const EXAMPLE_EMAIL: &str = "ada@example.com";
/// A wait as the examples show one.
const EXAMPLE_WAIT: Duration = Duration::from_secs(1);

/// Answers of fewer bytes are sent as they are.
const COMPRESS_MIN_BYTES: usize = 1024;

/// What belongs to no API is called by this, as by the name of one.
const NAME_HOUSE: &str = "server";
const TAG_STATUS: &str = "server-status";

/// What somebody may be refused with who wants a name to be his.
fn example_taken(act: Act) -> [Refusal; 2] {
    [Refusal::EmailTaken(act, EXAMPLE_EMAIL.into()), Refusal::UsernameTaken("ada".into())]
}

/// What somebody may be refused with who changes a user: names that are taken, too many letters to an address, and a
/// password that was asked for and is another.
fn example_change_refusals() -> Vec<Refusal> {
    let limited = Refusal::TooManyRequests { count: 10, wait: EXAMPLE_WAIT };
    [&example_taken(Act::Update)[..], &[limited, Refusal::WrongPassword]].concat()
}

/// What a stranger may be refused with who signs up.
fn example_sign_up_refusals(taken: &[Refusal]) -> Vec<Refusal> {
    [taken, &[Refusal::TooManyRequests { count: 100, wait: EXAMPLE_WAIT }]].concat()
}

/// What somebody may be refused with who signs in.
fn example_sign_in_refusals() -> Vec<Refusal> {
    vec![
        Refusal::WrongCredentials,
        Refusal::EmailUnconfirmed,
        Refusal::UserInactive,
        Refusal::UserBlocked,
        Refusal::UserDeleted,
        Refusal::TooManyAttempts(EXAMPLE_WAIT),
        Refusal::TooManyRequests { count: 120, wait: EXAMPLE_WAIT },
    ]
}

/// Everything this server answers.
pub fn service(app: &App) -> Service {
    let mut router = api_router();
    if app.config.server.docs {
        let document = || serde_json::to_vec(&document()).expect("the document is JSON");
        router = router.append(&mut docs::routes(document));
    }
    let service = Service::new(router).hoop(Edge::new(app.clone(), VOICES.as_slice()));
    let gzip = Compression::new().disable_all().enable_gzip(CompressionLevel::Fastest);
    service.hoop(gzip.min_length(COMPRESS_MIN_BYTES))
}

/// The routes that the document tells of: all but the docs page itself.
pub fn api_router() -> Router {
    let house =
        vec![at("/health").get(get_health).into(), at("/.well-known/jwks.json").get(get_signing_keys).into()];
    APIS.iter().fold(Router::new().append(&mut { house }), |router, api| router.append(&mut (api.routes)()))
}

/// Says that the process answers.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(example = json!({ "status": "ok" })))]
struct Health {
    /// Always `ok`: a server that is not well does not answer.
    status: &'static str,
}

/// See whether the server answers
///
/// For load balancers and monitors. It does not look at the database; `GET /v1/health` does.
#[endpoint(tags(TAG_STATUS))]
async fn get_health() -> Done<Health> {
    Done(Health { status: "ok" })
}

/// A JSON Web Key Set (RFC 7517 §5).
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(example = json!({ "keys": [{
    "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA",
    "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
}] })))]
struct KeySet {
    /// The keys that tokens are signed with now, and those that earlier tokens were signed with.
    #[salvo(schema(value_type = Vec<salvo::oapi::Object>))]
    keys: Value,
}

/// The set, which may be kept for a while, or that it is still the one that was sent before.
struct PublishedKeys(KeySet);

#[async_trait]
impl Writer for PublishedKeys {
    async fn write(self, request: &mut Request, depot: &mut Depot, response: &mut Response) {
        let digest = Sha256::digest(self.0.keys.to_string());
        // Weak, since the answer may be compressed (RFC 9110 §8.8.1).
        let tag = format!("W/\"{}\"", URL_SAFE_NO_PAD.encode(&digest[..16]));
        let max_age = format!("public, max-age={}", PUBLISHED_FOR.as_secs());
        let is_known = knows(request.headers(), &tag);
        for (name, value) in [(ETAG, tag), (CACHE_CONTROL, max_age)] {
            response.headers_mut().insert(name, HeaderValue::try_from(value).expect("it is ASCII"));
        }
        if is_known {
            response.status_code(StatusCode::NOT_MODIFIED);
        } else {
            Done(self.0).write(request, depot, response).await;
        }
    }
}

impl EndpointOutRegister for PublishedKeys {
    fn register(components: &mut Components, operation: &mut Operation) {
        Done::<KeySet>::register(components, operation);
        operation.responses.insert("304", Described::new("The keys are those of the tag in `If-None-Match`"));
    }
}

/// Whether the client has what this weak tag is of (RFC 9110 §13.1.2).
fn knows(headers: &HeaderMap, tag: &str) -> bool {
    let opaque = tag.trim_start_matches("W/");
    let values = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    // A comma within another tag cuts that into pieces, none of which is this one.
    values
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == opaque)
}

/// Get the public signing keys
///
/// Other services verify tokens with them, without asking this server: EdDSA over Ed25519 (RFC 8037). They may keep a copy for
/// five minutes: a new key is published for longer than that before it signs.
#[endpoint(tags(TAG_STATUS))]
async fn get_signing_keys(app: App) -> Result<PublishedKeys, Failure> {
    let mut set = app.auth.jwks();
    Ok(PublishedKeys(KeySet { keys: set["keys"].take() }))
}
