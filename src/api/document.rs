//! The OpenAPI document: what the routes say of themselves, and what each may be refused with.

use std::collections::BTreeSet;

use salvo::http::StatusCode;
use salvo::oapi::OpenApi;
use serde_json::{Map, Value, json};

use super::{APIS, Api, EXAMPLE_WAIT, TAG_HOUSE, api_router};
use crate::error::Refusal;
use crate::http::answer::{HOUSE, INTERNAL_ERROR, Words};

/// What stands at the top of the docs page.
const DESCRIPTION: &str = "Users, books, items, todos and contacts over HTTP, kept in one SQLite file: five APIs, \
     one table of users. **A token of one API is good on all of them.**\n\n\
     Sign in at any API, put the `access_token` into *Authentication* on this page, and every request below \
     is sent with it.\n\n\
     Every answer carries `X-Request-ID`; the server's log has a line with the same id.";

/// The five APIs, in the order of the page.
const GROUPS: [&str; 5] = ["bookshelf", "store", "todolist", "identity", "contactbook"];

/// The document of everything this binary answers, as OpenAPI 3.1.
pub fn document() -> Value {
    let generated = OpenApi::new("Satchel", env!("CARGO_PKG_VERSION")).merge_router(&api_router());
    let mut document = serde_json::to_value(generated).expect("the document is JSON");
    document["info"]["description"] = json!(DESCRIPTION);
    document["info"]["license"] = json!({ "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" });
    document["servers"] = json!([{ "url": "/", "description": "This server" }]);
    document["tags"] = tags();
    document["x-tagGroups"] = tag_groups();
    add_components(&mut document["components"]);
    if let Some(paths) = document["paths"].as_object_mut() {
        complete(paths);
    }
    document
}

fn tags() -> Value {
    let house = (TAG_HOUSE, "What belongs to no API: health and the public keys.");
    let tags = APIS.iter().flat_map(|api| api.tags.iter().copied()).chain([house]);
    tags.map(|(name, description)| json!({ "name": name, "description": description })).collect()
}

fn tag_groups() -> Value {
    let api = |name: &str| APIS.iter().find(|api| api.name == name);
    let groups = GROUPS.iter().filter_map(|name| api(name));
    let groups = groups.map(|api| {
        let tags: Vec<&str> = api.tags.iter().map(|(name, _)| *name).collect();
        json!({ "name": api.name, "description": api.description, "tags": tags })
    });
    groups.chain([json!({ "name": "the house", "tags": [TAG_HOUSE] })]).collect()
}

fn add_components(components: &mut Value) {
    components["securitySchemes"]["bearer"] = json!({
        "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
        "description": "An `access_token` from any API's log-in.",
    });
    components["schemas"]["Refusal"] = json!({
        "type": "object", "required": ["detail"],
        "properties": { "detail": { "type": "string", "description": "Why, in a sentence." } },
        "examples": [{ "detail": "Not authenticated" }],
    });
    components["schemas"]["Invalid"] = json!({
        "type": "object", "required": ["detail"],
        "properties": { "detail": { "type": "array", "items": {
            "type": "object", "required": ["type", "loc", "msg", "input"],
            "properties": {
                "type": { "type": "string", "description": "What is wrong, for programs." },
                "loc": {
                    "type": "array", "items": { "type": ["string", "integer"] },
                    "description": "Where: the part of the request, then the field.",
                },
                "msg": { "type": "string", "description": "What is wrong, for people." },
                "input": { "description": "What was found there; never a password or a token." },
                "ctx": { "type": "object", "description": "The bound or list that the sentence speaks of." },
            },
        } } },
        "examples": [{ "detail": [{
            "type": "missing", "loc": ["body", "title"], "msg": "Field required", "input": {},
        }] }],
    });
}

/// Adds to each operation what it may be refused with, and makes the ids of routes with two paths differ.
fn complete(paths: &mut Map<String, Value>) {
    let mut ids = BTreeSet::new();
    for (path, item) in paths.iter_mut() {
        let api = APIS.iter().find(|api| api.voice.speaks_for(path));
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
            for refusal in refusals(api.copied(), &id, method, operation) {
                let voice = api.map_or(&HOUSE, |api| &api.voice);
                add_refusal(operation, voice.say(&refusal));
            }
            add_refusal(operation, (StatusCode::INTERNAL_SERVER_ERROR, INTERNAL_ERROR.into()));
            if !ids.insert(id.clone()) {
                operation["operationId"] = json!(format!("{id}_too"));
                operation["deprecated"] = json!(false);
            }
        }
    }
}

fn refusals(api: Option<&Api>, id: &str, method: &str, operation: &Value) -> Vec<Refusal> {
    let mut refusals = api.map(|api| (api.refusals)(id)).unwrap_or_default();
    if operation["security"] == json!([{ "bearer": [] }]) {
        refusals.extend([Refusal::NotAuthenticated, Refusal::TokenInvalid]);
    }
    if operation.get("requestBody").is_some() {
        refusals.extend([Refusal::BodyUnreadable, Refusal::BodyTooLarge]);
    }
    if method != "get" {
        refusals.extend([Refusal::TimedOut, Refusal::Busy(EXAMPLE_WAIT), Refusal::StorageFull]);
    }
    refusals
}

fn add_refusal(operation: &mut Value, (status, sentence): Words) {
    let response = &mut operation["responses"][status.as_str()];
    if response.is_null() {
        *response = json!({
            "description": what(status),
            "content": { "application/json": {
                "schema": { "$ref": "#/components/schemas/Refusal" }, "examples": {},
            } },
        });
    }
    if status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE {
        response["headers"]["Retry-After"] =
            json!({ "description": "Seconds to wait.", "schema": { "type": "integer" } });
    }
    let content = &mut response["content"]["application/json"];
    let value = json!({ "detail": sentence });
    // A name of an example takes letters, digits, dots, hyphens and underscores.
    let name = sentence.split(' ').take(6).collect::<Vec<_>>().join("_");
    let name: String =
        name.chars().filter(|letter| letter.is_ascii_alphanumeric() || *letter == '_').collect();
    content["examples"][name] = json!({ "summary": sentence, "value": value });
}

fn what(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "Not signed in, or no longer",
        StatusCode::FORBIDDEN => "Not allowed",
        StatusCode::NOT_FOUND => "Not there",
        StatusCode::PAYLOAD_TOO_LARGE => "The body is too large",
        StatusCode::REQUEST_TIMEOUT => "The request took too long",
        StatusCode::TOO_MANY_REQUESTS => "Too many tries",
        StatusCode::SERVICE_UNAVAILABLE => "Busy: try again",
        StatusCode::INSUFFICIENT_STORAGE => "The disk is full",
        StatusCode::INTERNAL_SERVER_ERROR => "We failed; the log has a line with the request id",
        _ => "Refused",
    }
}
