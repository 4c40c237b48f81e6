//! The OpenAPI document: what the routes say of themselves, and what each may be refused with.

mod operations;
mod schemas;

use std::fmt::Write;

use salvo::http::StatusCode;
use salvo::oapi::OpenApi;
use serde_json::{Value, json};

use super::{APIS, EXAMPLE_ID, NAME_HOUSE, TAG_STATUS, api_router};

/// What stands at the top of the docs page, before and after the list of APIs.
const DESCRIPTION: [&str; 2] = [
    "Users, books, items, todos and contacts over HTTP, kept in one SQLite file: five APIs, one table of \
     users. **A token of one API is valid on all of them.**",
    "To try a request on this page, sign in under *Authentication*: with an e-mail address and a password \
     (choose a `…_login`), or with an `access_token` that you have (choose `bearer`). The page then sends \
     the token with each request.\n\n\
     Each answer carries `X-Request-ID`; the server's log has a line with the same id. An unknown path is \
     404, a known path with another method is 405 with `Allow`. HEAD works where GET only reads. A path \
     answers with and without its trailing slash.",
];

/// The document of everything this binary answers, as OpenAPI 3.1.
pub fn document() -> Value {
    let generated = OpenApi::new("Satchel", env!("CARGO_PKG_VERSION")).merge_router(&api_router());
    let mut document = serde_json::to_value(generated).expect("the document is JSON");
    schemas::give_plain_names(&mut document);
    let mut components = document["components"].take();
    let logins = operations::complete(&mut document["paths"], &components["schemas"]);
    add_components(&mut components, &logins);
    sort(&mut components["schemas"], |name, _| name.to_owned());
    let tags = tags();
    let place = |item: &Value| {
        let tag = item.as_object()?.values().next()?["tags"].get(0)?;
        tags.iter().position(|known| known["name"] == *tag)
    };
    sort(&mut document["paths"], |_, item| place(item));
    json!({
        "openapi": document["openapi"],
        "info": {
            "title": document["info"]["title"],
            "version": document["info"]["version"],
            "description": description(),
            "contact": { "name": "The operator of this server" },
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "The server that this document comes from." }],
        "tags": tags,
        "x-tagGroups": tag_groups(),
        "paths": document["paths"],
        "components": components,
    })
}

/// Puts the entries of an object in an order; those that are alike in it stay as they stand.
fn sort<K: Ord>(object: &mut Value, key: impl Fn(&str, &Value) -> K) {
    let Value::Object(entries) = object.take() else { return };
    let mut entries: Vec<(String, Value)> = entries.into_iter().collect();
    entries.sort_by_cached_key(|(name, value)| key(name, value));
    *object = Value::Object(entries.into_iter().collect());
}

fn description() -> String {
    let mut list = String::new();
    for api in APIS {
        let all = || api.voices.iter().flat_map(|voice| voice.prefixes);
        let lies_in =
            |path: &str, other: &str| path.strip_prefix(other).is_some_and(|rest| rest.starts_with('/'));
        let outermost = all().filter(|path| !all().any(|other| lies_in(path, other)));
        let prefixes: Vec<String> = outermost.map(|prefix| format!("`{prefix}`")).collect();
        writeln!(list, "- **{}**, {}: {}", api.name, prefixes.join(", "), api.description)
            .expect("a string takes all");
    }
    [DESCRIPTION[0], list.trim_end(), DESCRIPTION[1]].join("\n\n")
}

/// The tags in the order of the page. A tag has the name of its API before it, since no two may be the same; the page
/// shows it without.
fn tags() -> Vec<Value> {
    let of_apis = APIS.iter().flat_map(|api| api.tags.iter().map(|tag| (api.name, *tag)));
    let all = of_apis.chain([(NAME_HOUSE, (TAG_STATUS, "Whether the server is well, and its public keys."))]);
    let told = all.map(|(api, (name, description))| {
        let shown = name.strip_prefix(api).map_or(name, |rest| rest.trim_start_matches('-'));
        json!({ "name": name, "x-displayName": shown, "description": description })
    });
    told.collect()
}

fn tag_groups() -> Value {
    let groups = APIS.iter().map(|api| {
        let tags: Vec<&str> = api.tags.iter().map(|(name, _)| *name).collect();
        json!({ "name": api.name, "tags": tags })
    });
    groups.chain([json!({ "name": NAME_HOUSE, "tags": [TAG_STATUS] })]).collect()
}

fn add_components(components: &mut Value, logins: &[operations::Login]) {
    components["securitySchemes"] = security_schemes(logins);
    components["schemas"]["ErrorResponse"] = json!({
        "type": "object", "required": ["detail"],
        "description": "Why the request was refused.",
        "properties": { "detail": { "type": "string", "description": "The reason, in one sentence." } },
        "examples": [{ "detail": "Not authenticated" }],
    });
    components["schemas"]["ValidationErrorResponse"] = json!({
        "type": "object", "required": ["detail"],
        "description": "Every fault of a request that is malformed.",
        "properties": { "detail": {
            "type": "array", "items": schemas::reference("ValidationError"),
            "description": "One entry for each fault, in the order of path, query and body.",
        } },
        "examples": [{ "detail": [{
            "type": "missing", "loc": ["body", "title"], "msg": "Field required", "input": {},
        }] }],
    });
    components["schemas"]["ValidationError"] = json!({
        "type": "object", "required": ["type", "loc", "msg", "input"],
        "description": "One fault of a request.",
        "properties": {
            "type": { "type": "string", "description": "The kind of fault, for programs: `missing`, `string_too_long` …" },
            "loc": {
                "type": "array", "items": { "type": ["string", "integer"] },
                "description": "The place of the fault: `path`, `query` or `body`, then the field.",
            },
            "msg": { "type": "string", "description": "What is wrong, for people." },
            "input": { "description": "The value that was sent. Passwords and tokens are never shown." },
            "ctx": { "type": "object", "description": "The bound or the list that `msg` speaks of." },
        },
        "examples": [{ "type": "missing", "loc": ["body", "title"], "msg": "Field required", "input": {} }],
    });
    for api in APIS {
        // Every status that any API may have an envelope of its own for.
        for status in [StatusCode::UNPROCESSABLE_ENTITY, StatusCode::TOO_MANY_REQUESTS] {
            if let Some((name, schema)) = (api.error_schema)(status) {
                components["schemas"][schemas::name_in(api, name)] = schema;
            }
        }
    }
    components["headers"] = headers();
}

/// How a request shows who asks: with a token, which the log-in of each API that takes a form gives for a password
/// (RFC 6749 §4.3).
fn security_schemes(logins: &[operations::Login]) -> Value {
    let mut schemes = json!({
        "bearer": {
            "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
            "description": "An `access_token` from the log-in of any API.",
        },
        "refresh": {
            "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
            "description": "A `refresh_token`, sent in the place of an access token.",
        },
    });
    for login in logins {
        let about = format!(
            "E-mail address (as `username`) and password, at the log-in of {}. The token is valid on all APIs.",
            login.api
        );
        schemes[&login.id] = json!({
            "type": "oauth2", "description": about,
            "flows": { "password": { "tokenUrl": login.path, "scopes": {} } },
        });
    }
    schemes
}

/// The headers that every answer has, and those that some have.
fn headers() -> Value {
    let header = |description: &str, schema: Value| json!({ "description": description, "schema": schema });
    let seconds = || json!({ "type": "integer", "minimum": 1, "examples": [1] });
    json!({
        "X-Request-ID": header(
            "The id that the request came with, if it is a plain one, else a new one. The log has it, too.",
            json!({ "type": "string", "examples": [EXAMPLE_ID] }),
        ),
        "X-Process-Time": header(
            "How long the server worked on the answer, in milliseconds.",
            json!({ "type": "string", "pattern": r"^\d+\.\d{3}$", "examples": ["0.642"] }),
        ),
        "WWW-Authenticate": header(
            "`Bearer`; with `error=\"invalid_token\"` when a token was sent (RFC 6750 §3).",
            json!({ "type": "string", "examples": ["Bearer error=\"invalid_token\""] }),
        ),
        "Retry-After": header("Seconds to wait before the next try.", seconds()),
        "RateLimit-Limit": header(
            "How many requests a client may send at once.",
            json!({ "type": "integer", "examples": [1] }),
        ),
        "RateLimit-Remaining": header("How many of them are left.", json!({ "type": "integer", "examples": [0] })),
        "RateLimit-Reset": header("Seconds until all of them are there again.", seconds()),
    })
}
