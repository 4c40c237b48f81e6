//! Input: takes path, query, form and JSON body apart, gathers every fault, and describes what is taken.
//!
//! A wire type says once, in [`Input::read`], which fields it has and by which rules they are read. The
//! same lines read a request and write the OpenAPI document.

use std::future::Future;

use salvo::extract::Metadata;
use salvo::http::HeaderMap;
use salvo::http::header::CONTENT_TYPE;
use salvo::oapi::{
    Components, Content, EndpointArgRegister, Object, Operation, Parameter, ParameterIn, RefOr, RequestBody,
    Schema, schema::SchemaType,
};
use salvo::{Depot, Extractible, Request};
use serde_json::{Map, Value, json};

use super::answer::Failure;
use super::body::{receive, room};
use super::extract::{app_of, ask_again};
use super::json;
use super::rules::{EmailAddress, NewPassword, Rule};
use super::shown::echo;
use super::validate::{Broken, Invalid, hide, is_secret};
use super::values::Values;
use crate::app::App;
use crate::config::CommonPasswords;
use crate::domain::auth::passwords::{Password, weakness};
use crate::error::Result;

/// A wire type that is read field by field. The OpenAPI document knows it by the name of the type.
pub trait Input: Sized {
    /// What the document says of it, where it is a body.
    const ABOUT: &'static str = "";

    /// Reads every field before giving up on any; `None` when one of them was refused.
    fn read(fields: &mut Fields<'_>) -> Option<Self>;
}

/// The fields of one part of a request, or the description of them that is being written.
pub struct Fields<'a> {
    part: &'static str,
    test_domains: bool,
    common_passwords: CommonPasswords,
    source: Source<'a>,
}

enum Source<'a> {
    /// Of a missing field the whole part is shown, or nothing.
    Request {
        values: &'a Values,
        shows_whole: bool,
        faults: &'a mut Vec<Invalid>,
    },
    Names(&'a mut Values),
    Document(&'a mut Vec<Property>),
}

/// A field as the OpenAPI document tells it.
struct Property {
    name: &'static str,
    schema: Value,
    required: bool,
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
        Self { name, schema: rule.schema(), required, fault }
    }
}

impl<'a> Fields<'a> {
    /// The fields as they are described: as of a server in production.
    fn described(part: &'static str, source: Source<'a>) -> Self {
        Self { part, test_domains: false, common_passwords: CommonPasswords::Refuse, source }
    }
    /// Reads a field that must be there.
    pub fn required<R: Rule>(&mut self, name: &'static str, rule: R) -> Option<R::Out> {
        match &mut self.source {
            Source::Document(properties) => {
                properties.push(Property::new(self.part, name, &rule, true));
                None
            }
            Source::Names(values) => {
                values.know(name);
                None
            }
            Source::Request { values, shows_whole, faults } => match values.get(name) {
                Some(value) => read_value(self.part, name, value, &rule, faults),
                None => {
                    let input = if *shows_whole { values.echo() } else { Value::Null };
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
            Source::Names(values) => {
                values.know(name);
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
            Source::Request { values, .. } if values.get(name).is_none() && values.get(other).is_some() => {
                other
            }
            _ => name,
        }
    }

    /// Reads a field that must be there, under one name or another; see [`Self::came_by`].
    pub fn either<R: Rule>(&mut self, name: &'static str, other: &'static str, rule: R) -> Option<R::Out> {
        match &mut self.source {
            Source::Names(values) => {
                values.know(name);
                values.know(other);
                None
            }
            // The document has the first name alone: a generated client has to choose one.
            Source::Request { .. } | Source::Document(_) => self.required(self.came_by(name, other), rule),
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
        match weakness(password.as_str(), own, self.common_passwords) {
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

    /// The rule for a new password on this server.
    pub fn new_password(&self) -> NewPassword {
        NewPassword { common: self.common_passwords }
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
        app: &App,
        faults: &mut Vec<Invalid>,
    ) -> impl Future<Output = Result<Option<Self>>> + Send;

    /// Adds the part to the operation's description; some faults it may have, as examples.
    fn describe(components: &mut Components, operation: &mut Operation) -> Vec<Invalid>;
}

impl<'ex, T: Parts> Extractible<'ex> for Valid<T> {
    fn metadata() -> &'static Metadata {
        static METADATA: Metadata = Metadata::new("Valid");
        &METADATA
    }

    #[allow(refining_impl_trait)]
    async fn extract(request: &'ex mut Request, depot: &'ex mut Depot) -> Result<Self, Failure> {
        let mut faults = Vec::new();
        let read = T::read(request, app_of(depot)?, &mut faults).await?;
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

    async fn read(request: &mut Request, app: &App, faults: &mut Vec<Invalid>) -> Result<Option<Self>> {
        let mut values = values::<T>();
        for (name, value) in request.params().iter() {
            if let Some(number) = values.number(name) {
                values.set(number, Value::from(value.as_str()));
            }
        }
        Ok(read_fields("path", &values, false, app, faults).map(Self))
    }

    fn describe(_components: &mut Components, operation: &mut Operation) -> Vec<Invalid> {
        describe_parameters::<T>("path", ParameterIn::Path, operation)
    }
}

impl<T: Input + Send> Parts for Query<T> {
    const IS_BODY: bool = false;

    async fn read(request: &mut Request, app: &App, faults: &mut Vec<Invalid>) -> Result<Option<Self>> {
        let values = match request.uri().query() {
            Some(query) => {
                let mut values = values::<T>();
                values.read_pairs(query.as_bytes());
                values
            }
            None => Values::default(),
        };
        Ok(read_fields("query", &values, false, app, faults).map(Self))
    }

    fn describe(_components: &mut Components, operation: &mut Operation) -> Vec<Invalid> {
        describe_parameters::<T>("query", ParameterIn::Query, operation)
    }
}

impl<T: Input + Send> Parts for Json<T> {
    const IS_BODY: bool = true;

    async fn read(request: &mut Request, app: &App, faults: &mut Vec<Invalid>) -> Result<Option<Self>> {
        let body = receive(request, app, app.config.server.body_max_bytes).await?;
        let take_room = |bytes| room(request, app, bytes);
        Ok(json::object(request.headers(), &body, values::<T>(), faults, take_room)?
            .and_then(|values| read_fields("body", &values, true, app, faults))
            .map(Self))
    }

    fn describe(components: &mut Components, operation: &mut Operation) -> Vec<Invalid> {
        let what = "A JSON object. Fields that are not listed are ignored.";
        describe_body::<T>(what, "application/json", components, operation)
    }
}

impl<A: Parts, B: Parts> Parts for (A, B) {
    const IS_BODY: bool = A::IS_BODY || B::IS_BODY;

    async fn read(request: &mut Request, app: &App, faults: &mut Vec<Invalid>) -> Result<Option<Self>> {
        let a = A::read(request, app, faults).await?;
        let b = B::read(request, app, faults).await?;
        Ok(a.zip(b))
    }

    fn describe(components: &mut Components, operation: &mut Operation) -> Vec<Invalid> {
        let mut faults = A::describe(components, operation);
        faults.extend(B::describe(components, operation));
        faults
    }
}

/// A place for the value of each field that the type has.
pub(super) fn values<T: Input>() -> Values {
    let mut values = Values::default();
    T::read(&mut Fields::described("", Source::Names(&mut values)));
    values
}

pub(super) fn read_fields<T: Input>(
    part: &'static str,
    values: &Values,
    shows_whole: bool,
    app: &App,
    faults: &mut Vec<Invalid>,
) -> Option<T> {
    let source = Source::Request { values, shows_whole, faults };
    let (test_domains, common_passwords) = (app.takes_test_domains(), app.config.common_passwords());
    T::read(&mut Fields { part, test_domains, common_passwords, source })
}

fn properties<T: Input>(part: &'static str) -> Vec<Property> {
    let mut properties = Vec::new();
    T::read(&mut Fields::described(part, Source::Document(&mut properties)));
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
            property.schema.as_object_mut().and_then(|schema| schema.shift_remove("description"))
        {
            parameter = parameter.description(description);
        }
        operation.parameters.insert(parameter.schema(schema(property.schema)));
        faults.extend(property.fault);
    }
    faults
}

/// Describes a body by one media type, even where others are taken: a generated client has to choose one.
pub(super) fn describe_body<T: Input>(
    what: &str,
    media_type: &str,
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
    let mut whole = json!({ "type": "object", "description": T::ABOUT, "examples": [example] });
    if !required.is_empty() {
        whole["required"] = json!(required);
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
    operation.request_body = Some(body.add_content(media_type, Content::new(reference)));
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
