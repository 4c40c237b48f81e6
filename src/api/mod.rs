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

use salvo::http::StatusCode;
use salvo::oapi::{ToSchema, endpoint};
use salvo::{Router, Service, Writer};
use salvo_compression::{Compression, CompressionLevel};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

pub use self::document::document;
use crate::app::App;
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
    /// What an operation may be refused with, besides what its arguments imply.
    refusals: fn(operation: &str) -> Vec<Refusal>,
    /// What an operation says that answers with a message.
    message: fn(operation: &str) -> Option<Message>,
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

const TAG_HOUSE: &str = "server";

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

/// That the process answers.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(example = json!({ "status": "ok" })))]
struct Health {
    status: &'static str,
}

/// See whether the process answers
///
/// Asks nothing of the database.
#[endpoint(operation_id = "get_health", tags(TAG_HOUSE))]
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
    #[salvo(schema(value_type = Vec<salvo::oapi::Object>))]
    keys: Value,
}

/// Get the public signing keys
///
/// Whoever has them can verify a token without asking this server: EdDSA over Ed25519 (RFC 8037).
#[endpoint(operation_id = "get_signing_keys", tags(TAG_HOUSE))]
async fn get_signing_keys(app: App) -> Result<Done<KeySet>, Failure> {
    let mut set = app.auth.jwks();
    Ok(Done(KeySet { keys: set["keys"].take() }))
}
