//! Validation: the words of a 422 entry, to the letter of the wire contract, and what of the input it may show.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::auth::passwords::{self, Weakness};

/// What is wrong with one value: the type, sentence and context of a 422 entry.
#[derive(Debug)]
pub struct Broken {
    kind: &'static str,
    message: Cow<'static, str>,
    context: Option<Value>,
}

impl Broken {
    pub(super) fn new(kind: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, message: message.into(), context: None }
    }

    pub(super) fn with(kind: &'static str, message: impl Into<Cow<'static, str>>, context: Value) -> Self {
        Self { kind, message: message.into(), context: Some(context) }
    }

    /// A rule of our own that the value breaks, said in a sentence.
    pub fn rule(sentence: &str) -> Self {
        Self::with("value_error", format!("Value error, {sentence}"), json!({ "error": {} }))
    }

    /// The field is not there.
    pub fn missing() -> Self {
        Self::new("missing", "Field required")
    }

    /// The body is JSON, but no object.
    pub fn not_an_object() -> Self {
        Self::new(
            "model_attributes_type",
            "Input should be a valid dictionary or object to extract fields from",
        )
    }

    /// The body is no JSON.
    pub fn not_json(error: &str) -> Self {
        Self::with("json_invalid", "JSON decode error", json!({ "error": error }))
    }

    /// A password that the house does not take.
    pub fn password(weakness: Weakness) -> Self {
        match weakness {
            Weakness::TooShort => Self::too_short(passwords::PASSWORD_LEN_MIN),
            Weakness::TooLong => Self::too_long(passwords::PASSWORD_LEN_MAX),
            Weakness::Common => Self::rule("Password is among the most common ones"),
            Weakness::OwnName => Self::rule("Password must not be your own e-mail address or username"),
        }
    }

    pub(super) fn too_short(min: usize) -> Self {
        let plural = if min == 1 { "" } else { "s" };
        Self::with(
            "string_too_short",
            format!("String should have at least {min} character{plural}"),
            json!({ "min_length": min }),
        )
    }

    pub(super) fn too_long(max: usize) -> Self {
        let plural = if max == 1 { "" } else { "s" };
        Self::with(
            "string_too_long",
            format!("String should have at most {max} character{plural}"),
            json!({ "max_length": max }),
        )
    }

    /// The whole entry: this, where it was found, and what was found there.
    pub fn at(self, loc: Vec<Loc>, input: Value) -> Invalid {
        Invalid { kind: self.kind.into(), loc, msg: self.message, input, ctx: self.context }
    }
}

/// One step of the way to a value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Loc {
    /// A part of the request, or a field in it.
    Name(Cow<'static, str>),
    /// A byte of the body.
    Offset(usize),
}

impl From<&'static str> for Loc {
    fn from(name: &'static str) -> Self {
        Self::Name(Cow::Borrowed(name))
    }
}

impl fmt::Display for Loc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Offset(offset) => write!(f, "{offset}"),
        }
    }
}

/// One entry of a 422 answer.
#[derive(Debug, Serialize, Deserialize)]
pub struct Invalid {
    /// What is wrong, for programs.
    #[serde(rename = "type")]
    pub kind: Cow<'static, str>,
    /// Where: the part of the request, then the field.
    pub loc: Vec<Loc>,
    /// What is wrong, for people.
    pub msg: Cow<'static, str>,
    /// What was found there; never a password or a token.
    pub input: Value,
    /// The bound or list that the sentence speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ctx: Option<Value>,
}

/// Whether a field of this name holds a password or a token.
pub fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["pass", "pwd", "token", "secret"].iter().any(|word| name.contains(word))
}

/// What is shown in place of a secret.
pub fn hidden() -> Value {
    Value::from("**********")
}

/// The same in place of this one; null stays null.
pub fn hide(value: &Value) -> Value {
    if value.is_null() { Value::Null } else { hidden() }
}
