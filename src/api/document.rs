//! The OpenAPI document: what the routes say of themselves, and what each may be refused with.

use std::collections::BTreeMap;
use std::fmt::Write;

use salvo::http::StatusCode;
use salvo::oapi::OpenApi;
use serde_json::{Map, Value, json};

use super::{APIS, Api, EXAMPLE_ID, EXAMPLE_WAIT, TAG_HOUSE, api_router};
use crate::error::Refusal;
use crate::http::answer::{HOUSE, INTERNAL_ERROR, No, Voice, Why, Words};
use crate::http::validate::Invalid;

/// What stands at the top of the docs page, before and after the list of APIs.
const DESCRIPTION: [&str; 2] = [
    "Users, books, items, todos and contacts over HTTP, kept in one SQLite file: five APIs, one table of \
     users. **A token of one API is good on all of them.**",
    "Sign in at any API, put the `access_token` into *Authentication* on this page, and every request below \
     is sent with it.\n\n\
     Every answer carries `X-Request-ID`; the server's log has a line with the same id. An unknown path is \
     404, a known one with another method 405 with `Allow`; HEAD works wherever GET only reads. A path \
     answers with and without its trailing slash.",
];

/// The document of everything this binary answers, as OpenAPI 3.1.
pub fn document() -> Value {
    let generated = OpenApi::new("Satchel", env!("CARGO_PKG_VERSION")).merge_router(&api_router());
    let mut document = serde_json::to_value(generated).expect("the document is JSON");
    document["info"]["description"] = json!(description());
    document["info"]["license"] = json!({ "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" });
    document["tags"] = tags();
    document["x-tagGroups"] = tag_groups();
    shorten_names(&mut document);
    add_components(&mut document["components"]);
    let Value::Object(mut paths) = document["paths"].take() else { return document };
    complete(&mut paths, &document["components"]["schemas"]);
    document["paths"] = paths.into();
    document
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
    [DESCRIPTION[0], &list, DESCRIPTION[1]].join("\n\n")
}

fn tags() -> Value {
    let house = (TAG_HOUSE, "What belongs to no API: whether the server is well, and its public keys.");
    let tags = APIS.iter().flat_map(|api| api.tags.iter().copied()).chain([house]);
    tags.map(|(name, description)| json!({ "name": name, "description": description })).collect()
}

fn tag_groups() -> Value {
    let groups = APIS.iter().map(|api| {
        let tags: Vec<&str> = api.tags.iter().map(|(name, _)| *name).collect();
        json!({ "name": api.name, "tags": tags })
    });
    groups.chain([json!({ "name": TAG_HOUSE, "tags": [TAG_HOUSE] })]).collect()
}

/// Calls `satchel.api.bookshelf.users.ShowUser` `bookshelf.ShowUser`, and what belongs to no API by its last
/// name alone; and writes a `null` beside a reference as it is read most easily.
fn shorten_names(document: &mut Value) {
    let Some(schemas) = document["components"]["schemas"].as_object_mut() else { return };
    let short: BTreeMap<String, String> =
        schemas.keys().map(|long| (long.clone(), short_name(long))).collect();
    let count = schemas.len();
    *schemas = std::mem::take(schemas)
        .into_iter()
        .map(|(long, schema)| (short.get(&long).cloned().unwrap_or(long), schema))
        .collect();
    assert_eq!(schemas.len(), count, "two wire types of one API have the same name");
    tidy(document, &short);
}

fn short_name(long: &str) -> String {
    let last = long.rsplit('.').next().unwrap_or(long);
    let api_of = |part| APIS.iter().find(|api| api.name == part);
    match long.split('.').find_map(api_of) {
        Some(api) => format!("{}.{last}", api.name),
        None => last.to_owned(),
    }
}

fn tidy(value: &mut Value, short: &BTreeMap<String, String>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| tidy(item, short)),
        Value::Object(fields) => {
            if let Some(Value::String(target)) = fields.get_mut("$ref")
                && let Some((room, long)) = target.rsplit_once('/')
                && let Some(name) = short.get(long)
            {
                *target = format!("{room}/{name}");
            }
            // A description is wrapped around a reference; since 2020-12 it may stand beside one.
            if let Some(Value::Array(parts)) = fields.get_mut("allOf")
                && let [_, Value::Object(more)] = parts.as_slice()
                && more.keys().all(|keyword| keyword == "description")
            {
                let mut parts = std::mem::take(parts);
                fields.remove("allOf");
                parts.drain(..).filter_map(object).for_each(|part| fields.extend(part));
            }
            fields.values_mut().for_each(|field| tidy(field, short));
        }
        _ => {}
    }
}

fn object(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(fields) => Some(fields),
        _ => None,
    }
}

fn add_components(components: &mut Value) {
    components["securitySchemes"]["bearer"] = json!({
        "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
        "description": "An `access_token` from any API's log-in.",
    });
    components["securitySchemes"]["refresh"] = json!({
        "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
        "description": "A `refresh_token` in the place of an access token.",
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
    for api in APIS {
        // Every status that any API may have an envelope of its own for.
        for status in [StatusCode::UNPROCESSABLE_ENTITY, StatusCode::TOO_MANY_REQUESTS] {
            if let Some((name, schema)) = (api.error_schema)(status) {
                components["schemas"][format!("{}.{name}", api.name)] = schema;
            }
        }
    }
    components["headers"] = headers();
}

/// The headers that every answer has, and those that some have.
fn headers() -> Value {
    let header = |description: &str, schema: Value| json!({ "description": description, "schema": schema });
    let seconds = || json!({ "type": "integer", "minimum": 1, "examples": [1] });
    json!({
        "X-Request-ID": header(
            "The request's own id if it had a sane one, else a new one; the log has it too.",
            json!({ "type": "string", "examples": [EXAMPLE_ID] }),
        ),
        "X-Process-Time": header(
            "How long the answer took, in milliseconds.",
            json!({ "type": "string", "pattern": r"^\d+\.\d{3}$", "examples": ["0.642"] }),
        ),
        "WWW-Authenticate": header(
            "`Bearer`; with `error=\"invalid_token\"` when a token was sent (RFC 6750 §3).",
            json!({ "type": "string", "examples": ["Bearer error=\"invalid_token\""] }),
        ),
        "Retry-After": header("Seconds to wait.", seconds()),
        "RateLimit-Limit": header("Requests that one may send at once.", json!({ "type": "integer", "examples": [1] })),
        "RateLimit-Remaining": header("How many of them are left.", json!({ "type": "integer", "examples": [0] })),
        "RateLimit-Reset": header("Seconds until there are more.", seconds()),
    })
}

/// Adds to each operation what it may be refused with, the headers and examples of its answers, and its id:
/// the API and the handler.
fn complete(paths: &mut Map<String, Value>, schemas: &Value) {
    let mut first_paths = BTreeMap::new();
    let mut aliases = Vec::new();
    for (path, item) in paths.iter_mut() {
        let found =
            APIS.iter().find_map(|api| Some((*api, api.voices.iter().find(|voice| voice.speaks_for(path))?)));
        let (api, voice) = found.map_or((None, &HOUSE), |(api, voice)| (Some(api), voice));
        let is_alias = api.is_some_and(|api| api.aliases.iter().any(|alias| path.starts_with(alias)));
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            // By its type until now, such as `satchel.api.bookshelf.auth.login`.
            let handler = operation["operationId"].as_str().unwrap_or_default();
            let handler = handler.rsplit('.').next().unwrap_or_default().to_owned();
            let id = format!("{}_{handler}", api.map_or(TAG_HOUSE, |api| api.name));
            operation["operationId"] = json!(id);
            if let Some(message) = api.and_then(|api| (api.message)(&handler)) {
                operation["responses"]["200"]["content"]["application/json"]["example"] = json!(message);
            }
            add_examples(operation, schemas);
            let envelope = Envelope::of(api, voice);
            envelope.wrap_invalid(operation);
            for refusal in refusals(api, &handler, method, operation) {
                envelope.add_refusal(operation, envelope.voice.say(&refusal));
            }
            envelope.add_refusal(operation, (StatusCode::INTERNAL_SERVER_ERROR, INTERNAL_ERROR.into()));
            add_headers(operation);
            if is_alias {
                aliases.push((path.clone(), method.clone(), id));
            } else {
                first_paths.insert(id, path.clone());
            }
        }
    }
    for (path, method, id) in aliases {
        let operation = &mut paths[&path][&method];
        let first = first_paths.get(&id).map_or("", String::as_str);
        operation["operationId"] = json!(format!("{id}_alias"));
        let own = operation["description"].as_str().map(|own| format!("{own}\n\n")).unwrap_or_default();
        operation["description"] = json!(format!("{own}The same as `{} {first}`.", method.to_uppercase()));
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
    let Some(api) = api else { return Vec::new() };
    let mut refusals = (api.refusals)(handler);
    if operation["security"] == json!([{ "bearer": [] }]) {
        refusals.extend([Refusal::NotAuthenticated, Refusal::TokenInvalid]);
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
    fn of(api: Option<&'static Api>, voice: &'static Voice) -> Self {
        Self { api, voice }
    }

    /// A reference to the schema of what is said with this status.
    fn schema(&self, status: StatusCode, usual: &str) -> Value {
        let own = self.api.and_then(|api| Some((api.name, (api.error_schema)(status)?.0)));
        let name = own.map_or_else(|| usual.to_owned(), |(api, name)| format!("{api}.{name}"));
        json!({ "$ref": format!("#/components/schemas/{name}") })
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
        content["schema"] = self.schema(StatusCode::UNPROCESSABLE_ENTITY, "Invalid");
        content["example"] = self.example(StatusCode::UNPROCESSABLE_ENTITY, Why::Invalid(&faults));
    }

    fn add_refusal(&self, operation: &mut Value, (status, sentence): Words) {
        let response = &mut operation["responses"][status.as_str()];
        if response.is_null() {
            *response = json!({
                "description": what(status),
                "content": { "application/json": { "schema": self.schema(status, "Refusal"), "examples": {} } },
            });
        }
        let content = &mut response["content"]["application/json"];
        let schema = &mut content["schema"];
        let also = self.schema(status, "Refusal");
        // The operation says something of its own with this status, too.
        if *schema != also && schema.get("anyOf").is_none() {
            *schema = json!({ "anyOf": [schema.take(), also] });
            let own = content["example"].take();
            content["examples"] = json!({ "own": { "value": own } });
            content.as_object_mut().map(|content| content.remove("example"));
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
        StatusCode::UNAUTHORIZED => "Not signed in, or no longer",
        StatusCode::FORBIDDEN => "Not allowed",
        StatusCode::BAD_REQUEST => "Refused",
        StatusCode::NOT_FOUND => "Not there",
        StatusCode::CONFLICT => "Not in this state",
        StatusCode::PAYLOAD_TOO_LARGE => "The body is too large",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "Not of a kind that is taken",
        StatusCode::REQUEST_TIMEOUT => "The request took too long",
        StatusCode::TOO_MANY_REQUESTS => "Too many tries",
        StatusCode::SERVICE_UNAVAILABLE => "Busy: try again",
        StatusCode::INSUFFICIENT_STORAGE => "The disk is full",
        StatusCode::INTERNAL_SERVER_ERROR => "We failed; the log has a line with the request id",
        _ => "Refused",
    }
}
