//! The operations of the document: their ids, who may ask, and every answer they may give.

use std::collections::BTreeMap;

use salvo::http::StatusCode;
use serde_json::{Value, json};

use super::schemas::{name_in, reference};
use super::sort;
use crate::api::{APIS, Api, EXAMPLE_ID, EXAMPLE_WAIT, NAME_HOUSE};
use crate::error::Refusal;
use crate::http::answer::{HOUSE, INTERNAL_ERROR, No, Voice, Why, Words};
use crate::http::forms::URL_ENCODED;
use crate::http::validate::Invalid;

/// A log-in that takes a form: what RFC 6749 calls the token endpoint.
pub struct Login {
    /// The id of the operation.
    pub id: String,
    pub api: &'static str,
    pub path: String,
}

/// Adds to each operation its id, who may ask, what it may be refused with, and the headers and examples of its answers.
/// Gives the log-ins that take a form.
pub fn complete(paths: &mut Value, schemas: &Value) -> Vec<Login> {
    let (mut first_paths, mut logins, mut aliases) = (BTreeMap::new(), Vec::new(), Vec::new());
    for (path, method, operation) in each(paths) {
        let found =
            APIS.iter().find_map(|api| Some((*api, api.voices.iter().find(|voice| voice.speaks_for(path))?)));
        let (api, voice) = found.map_or((None, &HOUSE), |(api, voice)| (Some(api), voice));
        // The name of its type until now, such as `satchel.api.bookshelf.auth.login`.
        let handler = operation["operationId"].as_str().unwrap_or_default();
        let handler = handler.rsplit('.').next().unwrap_or_default().to_owned();
        let api_name = api.map_or(NAME_HOUSE, |api| api.name);
        let id = format!("{api_name}_{handler}");
        operation["operationId"] = json!(id);
        if let Some(message) = api.and_then(|api| (api.message)(&handler)) {
            operation["responses"]["200"]["content"]["application/json"]["example"] = json!(message);
        }
        add_examples(operation, schemas);
        let envelope = Envelope { api, voice };
        envelope.wrap_invalid(operation);
        for refusal in refusals(api, &handler, method, operation) {
            envelope.add_refusal(operation, envelope.voice.say(&refusal));
        }
        envelope.add_refusal(operation, (StatusCode::INTERNAL_SERVER_ERROR, INTERNAL_ERROR.into()));
        add_headers(operation);
        sort(&mut operation["responses"], |status, _| status.to_owned());
        if handler == "login" && operation["requestBody"]["content"].get(URL_ENCODED).is_some() {
            logins.push(Login { id: id.clone(), api: api_name, path: path.to_owned() });
        }
        if api.is_some_and(|api| api.aliases.iter().any(|alias| path.starts_with(alias))) {
            aliases.push((path.to_owned(), method.to_owned(), id));
        } else {
            first_paths.insert(id, path.to_owned());
        }
    }
    for (path, method, id) in aliases {
        let operation = &mut paths[&path][&method];
        let first = first_paths.get(&id).map_or("", String::as_str);
        operation["operationId"] = json!(format!("{id}_alias"));
        operation["deprecated"] = json!(true);
        let own = operation["description"].as_str().unwrap_or_default();
        let method = method.to_uppercase();
        operation["description"] = json!(format!("{own}\n\nThe same as `{method} {first}`: use that one."));
    }
    each(paths).for_each(|(.., operation)| add_logins(operation, &logins));
    logins
}

fn each(paths: &mut Value) -> impl Iterator<Item = (&str, &str, &mut Value)> {
    let paths = paths.as_object_mut().into_iter().flatten();
    paths.flat_map(|(path, item)| {
        let item = item.as_object_mut().into_iter().flatten();
        item.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

/// Says that nobody is asked for anything where nothing is said; and that a log-in will do wherever a token does.
fn add_logins(operation: &mut Value, logins: &[Login]) {
    if operation["security"].is_null() {
        operation["security"] = json!([]);
    }
    if let Value::Array(ways) = &mut operation["security"]
        && ways.iter().any(|way| way.get("bearer").is_some())
    {
        ways.extend(logins.iter().map(|login| json!({ &login.id: [] })));
    }
}

/// Shows an answer in full where only the parts of its schema have examples.
fn add_examples(operation: &mut Value, schemas: &Value) {
    for (_, response) in operation["responses"].as_object_mut().into_iter().flatten() {
        let Some(content) = response.pointer_mut("/content/application~1json") else { continue };
        if content.get("example").is_none()
            && let Some(example) = example(&content["schema"], schemas)
        {
            content["example"] = example;
        }
    }
}

fn example(schema: &Value, schemas: &Value) -> Option<Value> {
    if let Some(items) = schema.get("items") {
        return example(items, schemas).map(|item| json!([item]));
    }
    if let Some(entries) = schema.get("additionalProperties") {
        return example(entries, schemas).map(|entry| json!({ EXAMPLE_ID.to_string(): entry }));
    }
    let name = schema["$ref"].as_str()?.rsplit('/').next()?;
    schemas[name]["examples"].get(0).cloned()
}

fn refusals(api: Option<&'static Api>, handler: &str, method: &str, operation: &Value) -> Vec<Refusal> {
    let Some(api) = api else { return vec![Refusal::BadHost, Refusal::TimedOut] };
    let mut refusals = (api.refusals)(handler);
    if operation["security"] == json!([{ "bearer": [] }]) {
        refusals.extend([Refusal::NotAuthenticated, Refusal::TokenInvalid, Refusal::TokenRevoked]);
    }
    if operation.get("requestBody").is_some() {
        refusals.extend([Refusal::BodyUnreadable, Refusal::BodyTooLarge]);
    }
    refusals.extend([Refusal::BadHost, Refusal::TimedOut, Refusal::Busy(EXAMPLE_WAIT)]);
    if method != "get" {
        refusals.push(Refusal::StorageFull);
    }
    refusals
}

/// How the answers of an API look that say no.
struct Envelope {
    api: Option<&'static Api>,
    voice: &'static Voice,
}

impl Envelope {
    /// A reference to the schema of what is said with this status.
    fn schema(&self, status: StatusCode, usual: &str) -> Value {
        let own = self.api.and_then(|api| Some(name_in(api, (api.error_schema)(status)?.0)));
        reference(own.as_deref().unwrap_or(usual))
    }

    fn example(&self, status: StatusCode, why: Why<'_>) -> Value {
        let no = No { status, why, request_id: &EXAMPLE_ID.to_string() };
        serde_json::from_slice(&(self.voice.envelope)(&no)).expect("an envelope is JSON")
    }

    /// Wraps the faults that `Valid` gave as an example.
    fn wrap_invalid(&self, operation: &mut Value) {
        let Some(content) = operation.pointer_mut("/responses/422/content/application~1json") else { return };
        let faults = content["example"]["detail"].take();
        let faults: Vec<Invalid> = serde_json::from_value(faults).expect("the example has its entries");
        content["schema"] = self.schema(StatusCode::UNPROCESSABLE_ENTITY, "ValidationErrorResponse");
        content["example"] = self.example(StatusCode::UNPROCESSABLE_ENTITY, Why::Invalid(&faults));
    }

    fn add_refusal(&self, operation: &mut Value, (status, sentence): Words) {
        let response = &mut operation["responses"][status.as_str()];
        if response.is_null() {
            *response = json!({
                "description": what(status),
                "content": { "application/json": { "schema": self.schema(status, "ErrorResponse"), "examples": {} } },
            });
        }
        let content = &mut response["content"]["application/json"];
        let schema = &mut content["schema"];
        let also = self.schema(status, "ErrorResponse");
        // The operation says something of its own with this status, too.
        if *schema != also && schema.get("anyOf").is_none() {
            *schema = json!({ "anyOf": [schema.take(), also] });
            let own = content["example"].take();
            content["examples"] = json!({ "own": { "value": own } });
            content.as_object_mut().map(|content| content.shift_remove("example"));
        }
        // A name of an example takes letters, digits, dots, hyphens and underscores.
        let name = sentence.split(' ').take(6).collect::<Vec<_>>().join("_");
        let name: String =
            name.chars().filter(|letter| letter.is_ascii_alphanumeric() || *letter == '_').collect();
        let value = self.example(status, Why::Sentence(&sentence));
        content["examples"][name] = json!({ "summary": sentence, "value": value });
    }
}

fn add_headers(operation: &mut Value) {
    for (status, response) in operation["responses"].as_object_mut().into_iter().flatten() {
        let more: &[&str] = match status.as_str() {
            "401" => &["WWW-Authenticate"],
            "429" => &["Retry-After", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"],
            "503" => &["Retry-After"],
            _ => &[],
        };
        for name in ["X-Request-ID", "X-Process-Time"].iter().chain(more) {
            response["headers"][*name] = json!({ "$ref": format!("#/components/headers/{name}") });
        }
    }
}

fn what(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "The credentials are missing, wrong or no longer valid.",
        StatusCode::FORBIDDEN => "The user may not do this.",
        StatusCode::NOT_FOUND => "There is no such thing, or the caller may not see it.",
        StatusCode::CONFLICT => "It conflicts with something that exists already.",
        StatusCode::PAYLOAD_TOO_LARGE => "The body is larger than the server takes.",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "The file is not of a kind that is taken.",
        StatusCode::REQUEST_TIMEOUT => "The request took too long.",
        StatusCode::TOO_MANY_REQUESTS => "There were too many requests; `Retry-After` says how long to wait.",
        StatusCode::SERVICE_UNAVAILABLE => "The server is busy; the same request may succeed in a moment.",
        StatusCode::INSUFFICIENT_STORAGE => "The user's storage or the server's disk is full.",
        StatusCode::INTERNAL_SERVER_ERROR => "The server failed; its log has a line with the request id.",
        _ => "The request was refused; `detail` says why.",
    }
}
