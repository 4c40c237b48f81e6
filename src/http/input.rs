//! Input: takes path, query, form and JSON body apart, gathers every fault, and describes what is taken.
//!
//! A wire type says once, in [`Input::read`], which fields it has and by which rules they are read. The
//! same lines read a request and write the OpenAPI document.

use std::borrow::Cow;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use salvo::extract::Metadata;
use salvo::http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use salvo::http::{HeaderMap, ParseError, Version};
use salvo::oapi::{
    Components, Content, EndpointArgRegister, Object, Operation, Parameter, ParameterIn, RefOr, RequestBody,
    Schema, schema::SchemaType,
};
use salvo::{Depot, Extractible, Request};
use serde_json::{Map, Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::answer::Failure;
use super::extract::{app_of, ask_again};
use super::rules::{EmailAddress, Rule};
use super::validate::{Broken, Invalid, Loc, echo, hide, is_secret};
use crate::domain::auth::passwords::{Password, weakness};
use crate::error::{Refusal, Result};

/// A wire type that is read field by field. The OpenAPI document knows it by the name of the type.
pub trait Input: Sized {
    /// Reads every field before giving up on any; `None` when one of them was refused.
    fn read(fields: &mut Fields<'_>) -> Option<Self>;
}

/// The fields of one part of a request, or the description of them that is being written.
pub struct Fields<'a> {
    part: &'static str,
    test_domains: bool,
    source: Source<'a>,
}

enum Source<'a> {
    Request { values: &'a Map<String, Value>, whole: bool, faults: &'a mut Vec<Invalid> },
    Document(&'a mut Vec<Property>),
}

/// A field as the OpenAPI document tells it.
struct Property {
    name: &'static str,
    schema: Value,
    required: bool,
    /// Another name under which it may come.
    or: Option<&'static str>,
    /// What is answered to a bad value of it.
    fault: Option<Invalid>,
}

/// Values of which every rule but the widest refuses one, for the examples of a 422.
const UNFIT: [&str; 3] = ["?", "\0", ""];

impl Property {
    fn new<R: Rule>(part: &'static str, name: &'static str, rule: &R, required: bool) -> Self {
        let loc = vec![part.into(), name.into()];
        let fault = if part == "body" && required {
            Some(Broken::missing().at(loc, json!({})))
        } else {
            UNFIT.iter().find_map(|unfit| {
                let value = Value::from(*unfit);
                rule.check(&value).err().map(|broken| broken.at(loc.clone(), shown(name, &value)))
            })
        };
        Self { name, schema: rule.schema(), required, or: None, fault }
    }
}

impl Fields<'_> {
    /// Reads a field that must be there.
    pub fn required<R: Rule>(&mut self, name: &'static str, rule: R) -> Option<R::Out> {
        match &mut self.source {
            Source::Document(properties) => {
                properties.push(Property::new(self.part, name, &rule, true));
                None
            }
            Source::Request { values, whole, faults } => match values.get(name) {
                Some(value) => read_value(self.part, name, value, &rule, faults),
                None => {
                    let input = if *whole { echo(&Value::Object((*values).clone())) } else { Value::Null };
                    faults.push(Broken::missing().at(vec![self.part.into(), name.into()], input));
                    None
                }
            },
        }
    }

    /// Reads a field that may be left out, but is not null: `Some(None)` when it is absent.
    pub fn optional<R: Rule>(&mut self, name: &'static str, rule: R) -> Option<Option<R::Out>> {
        match &mut self.source {
            Source::Document(properties) => {
                properties.push(Property::new(self.part, name, &rule, false));
                None
            }
            Source::Request { values, faults, .. } => match values.get(name) {
                Some(value) => read_value(self.part, name, value, &rule, faults).map(Some),
                None => Some(None),
            },
        }
    }

    /// By which of its two names a field came, if it did; the first counts where both are there.
    pub fn came_by(&self, name: &'static str, other: &'static str) -> &'static str {
        match &self.source {
            Source::Request { values, .. } if !values.contains_key(name) && values.contains_key(other) => {
                other
            }
            _ => name,
        }
    }

    /// Reads a field that must be there, under one name or another; see [`Self::came_by`].
    pub fn either<R: Rule>(&mut self, name: &'static str, other: &'static str, rule: R) -> Option<R::Out> {
        match &mut self.source {
            Source::Document(properties) => {
                let fault = Property::new(self.part, name, &rule, true).fault;
                let of = |name| Property { fault: None, ..Property::new(self.part, name, &rule, false) };
                properties.push(Property { or: Some(other), fault, ..of(name) });
                properties.push(of(other));
                None
            }
            Source::Request { .. } => self.required(self.came_by(name, other), rule),
        }
    }

    /// Reads a field that has a default.
    pub fn or<R: Rule>(&mut self, name: &'static str, rule: R, default: R::Out) -> Option<R::Out>
    where
        R::Out: Clone + Into<Value>,
    {
        if let Source::Document(properties) = &mut self.source {
            let mut property = Property::new(self.part, name, &rule, false);
            property.schema["default"] = default.into();
            properties.push(property);
            return None;
        }
        self.optional(name, rule).map(|given| given.unwrap_or(default))
    }

    /// Refuses a password in this field that is the user's own address or name.
    pub fn refuse_own_name(
        &mut self,
        name: &'static str,
        password: Option<Password>,
        own: &[&str],
    ) -> Option<Password> {
        let password = password?;
        match weakness(password.as_str(), own) {
            Some(weakness) => {
                self.refuse(name, Broken::password(weakness));
                None
            }
            None => Some(password),
        }
    }

    /// The rule for an e-mail address on this server.
    pub fn email(&self) -> EmailAddress {
        EmailAddress { test_domains: self.test_domains }
    }

    /// Refuses a field for a reason that takes several fields to see.
    pub fn refuse(&mut self, name: &'static str, broken: Broken) {
        if let Source::Request { values, faults, .. } = &mut self.source {
            let input = shown(name, values.get(name).unwrap_or(&Value::Null));
            faults.push(broken.at(vec![self.part.into(), name.into()], input));
        }
    }
}

fn read_value<R: Rule>(
    part: &'static str,
    name: &'static str,
    value: &Value,
    rule: &R,
    faults: &mut Vec<Invalid>,
) -> Option<R::Out> {
    rule.check(value)
        .map_err(|broken| faults.push(broken.at(vec![part.into(), name.into()], shown(name, value))))
        .ok()
}

fn shown(name: &str, value: &Value) -> Value {
    if is_secret(name) { hide(value) } else { echo(value) }
}

/// Everything a handler takes from a request besides who asks. Faults of all parts answer in one 422.
pub struct Valid<T>(pub T);

/// The path's parameters.
pub struct Path<T>(pub T);

/// The query's parameters.
pub struct Query<T>(pub T);

/// A JSON body.
pub struct Json<T>(pub T);

/// A part of a request, or several.
pub trait Parts: Sized + Send {
    /// Whether the client may take his time over it.
    const IS_BODY: bool;

    /// Reads the part; its faults are added to `faults`, and then it is `None`.
    fn read(
        request: &mut Request,
        limits: &Limits,
        faults: &mut Vec<Invalid>,
    ) -> impl Future<Output = Result<Option<Self>>> + Send;

    /// Adds the part to the operation's description; some faults it may have, as examples.
    fn describe(components: &mut Components, operation: &mut Operation) -> Vec<Invalid>;
}

/// Room for the bodies that are being received, so that many who send slowly fill no memory. Clones share it.
#[derive(Clone, Debug)]
pub struct Bodies(Arc<Semaphore>);

/// All bodies that are being received take at most so many KiB, but for small ones.
const BODIES_KIB_MAX: usize = 64 * 1024;
/// A body of so many bytes is small: for it there is always room.
const SMALL_BODY_BYTES_MAX: usize = 8 * 1024;

impl Default for Bodies {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(BODIES_KIB_MAX)))
    }
}

impl Bodies {
    /// Room for a body of so many bytes, until the permit is dropped.
    fn take(&self, bytes: usize) -> Result<Option<SemaphorePermit<'_>>> {
        if bytes <= SMALL_BODY_BYTES_MAX {
            return Ok(None);
        }
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        self.0.try_acquire_many(kib).map(Some).map_err(|_| Refusal::Busy(BUSY).into())
    }
}

/// How long whoever finds no room is told to wait.
const BUSY: Duration = Duration::from_secs(1);

/// What the server's settings say about input.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Largest body, in bytes.
    pub body_max_bytes: usize,
    /// What all bodies that are being received may take.
    pub bodies: Bodies,
    /// Whether addresses under `.test` are taken.
    pub test_domains: bool,
}

impl<'ex, T: Parts> Extractible<'ex> for Valid<T> {
    fn metadata() -> &'static Metadata {
        static METADATA: Metadata = Metadata::new("Valid");
        &METADATA
    }

    #[allow(refining_impl_trait)]
    async fn extract(request: &'ex mut Request, depot: &'ex mut Depot) -> Result<Self, Failure> {
        let limits = app_of(depot)?.limits();
        let mut faults = Vec::new();
        let read = T::read(request, &limits, &mut faults).await?;
        if T::IS_BODY {
            ask_again(request, depot)?;
        }
        match read {
            Some(parts) if faults.is_empty() => Ok(Self(parts)),
            _ => Err(Failure::Invalid(faults)),
        }
    }
}

impl<T: Parts> EndpointArgRegister for Valid<T> {
    fn register(components: &mut Components, operation: &mut Operation, _arg: &str) {
        let faults = T::describe(components, operation);
        super::answer::describe_invalid(operation, &faults);
    }
}

impl<T: Input + Send> Parts for Path<T> {
    const IS_BODY: bool = false;

    async fn read(request: &mut Request, limits: &Limits, faults: &mut Vec<Invalid>) -> Result<Option<Self>> {
        let values = request
            .params()
            .iter()
            .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
            .collect();
        Ok(read_fields("path", &values, false, limits, faults).map(Self))
    }

    fn describe(_components: &mut Components, operation: &mut Operation) -> Vec<Invalid> {
        describe_parameters::<T>("path", ParameterIn::Path, operation)
    }
}

impl<T: Input + Send> Parts for Query<T> {
    const IS_BODY: bool = false;

    async fn read(request: &mut Request, limits: &Limits, faults: &mut Vec<Invalid>) -> Result<Option<Self>> {
        let values = pairs(request.uri().query().unwrap_or_default().as_bytes());
        Ok(read_fields("query", &values, false, limits, faults).map(Self))
    }

    fn describe(_components: &mut Components, operation: &mut Operation) -> Vec<Invalid> {
        describe_parameters::<T>("query", ParameterIn::Query, operation)
    }
}

impl<T: Input + Send> Parts for Json<T> {
    const IS_BODY: bool = true;

    async fn read(request: &mut Request, limits: &Limits, faults: &mut Vec<Invalid>) -> Result<Option<Self>> {
        let body = body(request, limits, limits.body_max_bytes).await?;
        Ok(json_object(request.headers(), &body, faults)
            .and_then(|values| read_fields("body", &values, true, limits, faults))
            .map(Self))
    }

    fn describe(components: &mut Components, operation: &mut Operation) -> Vec<Invalid> {
        let what = "A JSON object. Fields that are not listed are ignored.";
        describe_body::<T>(what, &["application/json"], components, operation)
    }
}

impl<A: Parts, B: Parts> Parts for (A, B) {
    const IS_BODY: bool = A::IS_BODY || B::IS_BODY;

    async fn read(request: &mut Request, limits: &Limits, faults: &mut Vec<Invalid>) -> Result<Option<Self>> {
        let a = A::read(request, limits, faults).await?;
        let b = B::read(request, limits, faults).await?;
        Ok(a.zip(b))
    }

    fn describe(components: &mut Components, operation: &mut Operation) -> Vec<Invalid> {
        let mut faults = A::describe(components, operation);
        faults.extend(B::describe(components, operation));
        faults
    }
}

pub(super) fn read_fields<T: Input>(
    part: &'static str,
    values: &Map<String, Value>,
    whole: bool,
    limits: &Limits,
    faults: &mut Vec<Invalid>,
) -> Option<T> {
    let source = Source::Request { values, whole, faults };
    T::read(&mut Fields { part, test_domains: limits.test_domains, source })
}

fn properties<T: Input>(part: &'static str) -> Vec<Property> {
    let mut properties = Vec::new();
    let source = Source::Document(&mut properties);
    T::read(&mut Fields { part, test_domains: false, source });
    properties
}

fn describe_parameters<T: Input>(
    part: &'static str,
    location: ParameterIn,
    operation: &mut Operation,
) -> Vec<Invalid> {
    let mut faults = Vec::new();
    for mut property in properties::<T>(part) {
        let mut parameter = Parameter::new(property.name).location(location).required(property.required);
        // Where a parameter has a description, readers look there.
        if let Some(Value::String(description)) =
            property.schema.as_object_mut().and_then(|schema| schema.remove("description"))
        {
            parameter = parameter.description(description);
        }
        operation.parameters.insert(parameter.schema(schema(property.schema)));
        faults.extend(property.fault);
    }
    faults
}

pub(super) fn describe_body<T: Input>(
    what: &str,
    media_types: &[&str],
    components: &mut Components,
    operation: &mut Operation,
) -> Vec<Invalid> {
    let properties = properties::<T>("body");
    let required: Vec<&str> =
        properties.iter().filter(|field| field.required).map(|field| field.name).collect();
    let example: Map<String, Value> = properties
        .iter()
        .filter_map(|field| Some((field.name.to_owned(), field.schema["examples"].get(0)?.clone())))
        .collect();
    let mut whole = json!({ "type": "object", "examples": [example] });
    if !required.is_empty() {
        whole["required"] = json!(required);
    }
    for (field, or) in properties.iter().filter_map(|field| Some((field, field.or?))) {
        whole["anyOf"] = json!([{ "required": [field.name] }, { "required": [or] }]);
        if let Some(example) = whole["examples"][0].as_object_mut() {
            example.remove(or);
        }
    }
    let mut faults = Vec::new();
    let mut schemas = Map::new();
    for field in properties {
        // One is enough to show the form.
        faults.extend(field.fault.filter(|_| faults.is_empty()));
        schemas.insert(field.name.to_owned(), field.schema);
    }
    whole["properties"] = schemas.into();
    // The name salvo gives to the types of answers.
    let name = std::any::type_name::<T>().replace("::", ".");
    components.schemas.insert(name.clone(), schema(whole));
    let reference = RefOr::Ref(salvo::oapi::Ref::from_schema_name(name));
    let body = RequestBody::new().description(what).required(salvo::oapi::Required::True);
    operation.request_body = Some(
        media_types
            .iter()
            .fold(body, |body, media_type| body.add_content(*media_type, Content::new(reference.clone()))),
    );
    faults
}

/// A JSON Schema as salvo keeps one: every keyword as it stands.
pub fn schema(keywords: Value) -> RefOr<Schema> {
    let keywords = match keywords {
        Value::Object(keywords) => keywords.into_iter().collect(),
        _ => Default::default(),
    };
    let mut object = Object::with_type(SchemaType::AnyValue);
    object.extensions = keywords;
    RefOr::Type(Schema::Object(Box::new(object)))
}

/// The media type of the body, without its parameters and in lower case: case does not count in it
/// (RFC 9110 §8.3.1).
pub(super) fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

pub(super) async fn body(request: &mut Request, limits: &Limits, max_bytes: usize) -> Result<Bytes> {
    let announced =
        request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|bytes| bytes > max_bytes) {
        return Err(Refusal::BodyTooLarge.into());
    }
    // One that does not say how long it is may become as long as any.
    let is_endless =
        request.headers().contains_key(TRANSFER_ENCODING) || request.version() > Version::HTTP_11;
    let _room = limits.bodies.take(announced.unwrap_or(if is_endless { max_bytes } else { 0 }))?;
    match request.payload_with_max_size(max_bytes).await {
        Ok(bytes) => Ok(bytes.clone()),
        Err(ParseError::PayloadTooLarge) => Err(Refusal::BodyTooLarge.into()),
        Err(_) => Err(Refusal::BodyUnreadable.into()),
    }
}

/// The fields of a JSON body; what makes it none is added to `faults`.
fn json_object(headers: &HeaderMap, body: &[u8], faults: &mut Vec<Invalid>) -> Option<Map<String, Value>> {
    let is_json = media_type(headers).is_none_or(|media_type| {
        media_type == "application/json"
            || media_type.starts_with("application/") && media_type.ends_with("+json")
    });
    let (broken, offset, input) = if body.is_empty() {
        (Broken::missing(), None, Value::Null)
    } else if !is_json {
        // What stands in it is not known: it may be a password.
        (Broken::not_an_object(), None, Value::Null)
    } else {
        match serde_json::from_slice(body) {
            Ok(Value::Object(values)) => return Some(values),
            Ok(Value::Null) => (Broken::missing(), None, Value::Null),
            // A text alone may be a token that was sent without its field.
            Ok(text @ Value::String(_)) => (Broken::not_an_object(), None, hide(&text)),
            Ok(other) => (Broken::not_an_object(), None, echo(&other)),
            Err(error) => {
                (Broken::not_json(json_fault(&error.to_string())), Some(offset_of(body, &error)), json!({}))
            }
        }
    };
    let loc = [Loc::from("body")].into_iter().chain(offset.map(Loc::Offset)).collect();
    faults.push(broken.at(loc, input));
    None
}

/// The byte that JSON reading stopped at; of a text without an end, the byte that it starts at.
fn offset_of(body: &[u8], error: &serde_json::Error) -> usize {
    if error.is_eof() {
        let in_text = error.to_string().contains("EOF while parsing a string");
        return if in_text { last_quote(body) } else { body.len() };
    }
    let line_start = body
        .split_inclusive(|byte| *byte == b'\n')
        .take(error.line().saturating_sub(1))
        .map(<[u8]>::len)
        .sum::<usize>();
    (line_start + error.column().saturating_sub(1)).min(body.len())
}

/// The last quotation mark that no backslash escapes.
fn last_quote(body: &[u8]) -> usize {
    let is_bare = |at: &usize| body[..*at].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 0;
    (0..body.len()).rev().filter(|at| body[*at] == b'"').find(is_bare).unwrap_or(body.len())
}

/// Says a JSON fault in the words of the parser that clients of these APIs know.
fn json_fault(fault: &str) -> &'static str {
    const WORDS: [(&str, &str); 15] = [
        ("EOF while parsing a string", "Unterminated string starting at"),
        ("EOF while parsing an object", "Expecting property name enclosed in double quotes"),
        ("EOF while parsing a list", "Expecting ',' delimiter"),
        ("expected `:`", "Expecting ':' delimiter"),
        ("expected `,`", "Expecting ',' delimiter"),
        ("key must be a string", "Expecting property name enclosed in double quotes"),
        ("trailing comma", "Illegal trailing comma before end of object"),
        ("trailing characters", "Extra data"),
        ("control character", "Invalid control character at"),
        ("invalid escape", "Invalid \\escape"),
        ("hex escape", "Invalid \\uXXXX escape"),
        ("surrogate", "Invalid \\uXXXX escape"),
        ("invalid unicode", "Invalid UTF-8"),
        ("number out of range", "Number out of range"),
        ("recursion limit", "Nested too deeply"),
    ];
    WORDS.iter().find(|(ours, _)| fault.contains(ours)).map_or("Expecting value", |(_, theirs)| theirs)
}

/// The pairs of a query or an URL-encoded form (WHATWG URL §5.1); the last of a name counts. A value that is
/// no UTF-8 becomes null, which no rule takes.
pub(super) fn pairs(encoded: &[u8]) -> Map<String, Value> {
    encoded
        .split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let name = decoded(halves.next().unwrap_or_default()).unwrap_or_default();
            (name, decoded(halves.next().unwrap_or_default()).map_or(Value::Null, Value::from))
        })
        .collect()
}

/// One half of a pair, percent-decoded; `None` when it is no UTF-8.
fn decoded(half: &[u8]) -> Option<String> {
    let spaced: Cow<'_, [u8]> = if half.contains(&b'+') {
        half.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect::<Vec<_>>().into()
    } else {
        half.into()
    };
    percent_encoding::percent_decode(&spaced).decode_utf8().ok().map(Cow::into_owned)
}
