//! Rules: how a value of a body, query, form or path is read. A rule also describes itself in the OpenAPI
//! document, so the two cannot part.

mod dates;
mod names;
mod numbers;

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use uuid::Uuid;

pub use self::dates::CalendarDate;
pub use self::names::{Name, name, username};
pub use self::numbers::{integer, number};
use super::validate::Broken;
use crate::config::CommonPasswords;
use crate::domain::auth::passwords::{self, Password};
use crate::domain::emails::Email;

/// How a value is read and described.
pub trait Rule {
    /// What a good value becomes.
    type Out;

    /// Reads the value, or says what is wrong with it.
    fn check(&self, value: &Value) -> Result<Self::Out, Broken>;

    /// The rule as a JSON Schema (draft 2020-12), with an example.
    fn schema(&self) -> Value;

    /// The same rule, described in the document by a sentence.
    fn about(self, description: &'static str) -> About<Self>
    where
        Self: Sized,
    {
        About { rule: self, description }
    }

    /// The same rule, which also takes null.
    fn or_null(self) -> OrNull<Self>
    where
        Self: Sized,
    {
        OrNull(self)
    }
}

/// See [`Rule::or_null`].
pub struct OrNull<R>(R);

impl<R: Rule> Rule for OrNull<R> {
    type Out = Option<R::Out>;

    fn check(&self, value: &Value) -> Result<Option<R::Out>, Broken> {
        if value.is_null() { Ok(None) } else { self.0.check(value).map(Some) }
    }

    fn schema(&self) -> Value {
        let mut schema = self.0.schema();
        if schema.get("enum").is_some() {
            // A list of words has no null in it.
            return json!({ "oneOf": [{ "type": "null" }, schema] });
        }
        schema["type"] = json!([schema["type"], "null"]);
        schema
    }
}

/// See [`Rule::about`].
pub struct About<R> {
    rule: R,
    description: &'static str,
}

impl<R: Rule> Rule for About<R> {
    type Out = R::Out;

    fn check(&self, value: &Value) -> Result<R::Out, Broken> {
        self.rule.check(value)
    }

    fn schema(&self) -> Value {
        let mut schema = self.rule.schema();
        schema["description"] = json!(self.description);
        schema
    }
}

/// Text of `min` to `max` characters.
pub fn text(min: usize, max: usize, example: &'static str) -> Text {
    Text { min, max, example }
}

/// See [`text`].
pub struct Text {
    min: usize,
    max: usize,
    example: &'static str,
}

impl Text {
    fn fits(&self, text: &str) -> Result<(), Broken> {
        let length = text.chars().count();
        if length < self.min {
            return Err(Broken::too_short(self.min));
        }
        if length > self.max {
            return Err(Broken::too_long(self.max));
        }
        Ok(())
    }
}

impl Rule for Text {
    type Out = String;

    fn check(&self, value: &Value) -> Result<String, Broken> {
        let text = string(value)?;
        self.fits(text)?;
        Ok(text.to_owned())
    }

    fn schema(&self) -> Value {
        let mut schema = json!({ "type": "string", "examples": [self.example] });
        if self.min > 0 {
            schema["minLength"] = json!(self.min);
        }
        if self.max < usize::MAX {
            schema["maxLength"] = json!(self.max);
        }
        schema
    }
}

/// A string without NUL, which SQLite's text functions and many clients would cut at.
fn string(value: &Value) -> Result<&str, Broken> {
    let Value::String(text) = value else {
        return Err(Broken::new("string_type", "Input should be a valid string"));
    };
    if text.contains('\0') {
        return Err(Broken::rule("Text must not contain NUL characters"));
    }
    Ok(text)
}

/// A password that is being set: 8 to 256 characters. See `Weakness` for the rest.
pub struct NewPassword {
    /// What becomes of a common one.
    pub common: CommonPasswords,
}

impl Rule for NewPassword {
    type Out = Password;

    fn check(&self, value: &Value) -> Result<Password, Broken> {
        let password = Password::new(string(value)?.to_owned());
        match passwords::weakness(password.as_str(), &[], self.common) {
            Some(weakness) => Err(Broken::password(weakness)),
            None => Ok(password),
        }
    }

    fn schema(&self) -> Value {
        json!({
            "type": "string", "format": "password",
            "minLength": passwords::PASSWORD_LEN_MIN, "maxLength": passwords::PASSWORD_LEN_MAX,
            "examples": ["correct horse battery staple"],
            "description": "Any characters. Not the user's own e-mail address or username and, in production, not one of the most common passwords.",
        })
    }
}

/// A password that is being proved: any text, since a log-in never checks length.
pub struct GivenPassword;

impl Rule for GivenPassword {
    type Out = Password;

    fn check(&self, value: &Value) -> Result<Password, Broken> {
        match value {
            Value::String(text) => Ok(Password::new(text.clone())),
            _ => Err(Broken::new("string_type", "Input should be a valid string")),
        }
    }

    fn schema(&self) -> Value {
        json!({
            "type": "string", "format": "password", "examples": ["correct horse battery staple"],
            "description": "The user's present password.",
        })
    }
}

/// The `grant_type` of a form that somebody signs in with: `password` (RFC 6749 §4.3.2).
pub struct PasswordGrant;

impl Rule for PasswordGrant {
    type Out = ();

    fn check(&self, value: &Value) -> Result<(), Broken> {
        match string(value)? {
            "password" => Ok(()),
            _ => Err(Broken::with(
                "string_pattern_mismatch",
                "String should match pattern '^password$'",
                json!({ "pattern": "^password$" }),
            )),
        }
    }

    fn schema(&self) -> Value {
        json!({
            "type": "string", "pattern": "^password$", "examples": ["password"],
            "description": "The grant of RFC 6749 §4.3. It may be empty or left out.",
        })
    }
}

/// A token in a body: any text; whether it is good is not a matter of its shape.
pub struct Token;

impl Rule for Token {
    type Out = String;

    fn check(&self, value: &Value) -> Result<String, Broken> {
        string(value).map(str::to_owned)
    }

    fn schema(&self) -> Value {
        json!({ "type": "string", "examples": ["eyJhbGciOiJFZERTQSJ9.eyJ0eXAiOiJyZWZyZXNoIn0.c2lnbmF0dXJl"] })
    }
}

/// A file of a form: it is read as bytes, and no JSON value is one.
pub struct File;

impl Rule for File {
    type Out = ();

    fn check(&self, _: &Value) -> Result<(), Broken> {
        Err(Broken::missing())
    }

    fn schema(&self) -> Value {
        json!({
            "type": "string", "format": "binary", "contentMediaType": "application/octet-stream",
            "examples": ["the bytes of the file"], "description": "The content of the file, byte for byte.",
        })
    }
}

/// An e-mail address, trimmed. `test_domains` lets `.test` in.
pub struct EmailAddress {
    /// Whether the reserved domain `.test` (RFC 2606 §2) may be used: in development it may.
    pub test_domains: bool,
}

impl Rule for EmailAddress {
    type Out = Email;

    fn check(&self, value: &Value) -> Result<Email, Broken> {
        Email::parse(string(value)?, self.test_domains).map_err(|reason| {
            Broken::with(
                "value_error",
                format!("value is not a valid email address: {reason}"),
                json!({ "reason": reason }),
            )
        })
    }

    fn schema(&self) -> Value {
        json!({
            "type": "string", "format": "email", "maxLength": 254, "examples": ["ada@example.com"],
            "description": "The address for signing in and for letters. Outer blanks are dropped; unique without regard to case. An internationalised domain is kept and shown in A-labels (`xn--…`).",
        })
    }
}

/// True or false, also in the words yes/no, on/off, t/f, y/n, 1/0.
pub struct Flag;

impl Rule for Flag {
    type Out = bool;

    fn check(&self, value: &Value) -> Result<bool, Broken> {
        let unreadable =
            || Broken::new("bool_parsing", "Input should be a valid boolean, unable to interpret input");
        let no_flag = || Broken::new("bool_type", "Input should be a valid boolean");
        match value {
            Value::Bool(flag) => Ok(*flag),
            Value::Number(number) => match number.as_f64() {
                Some(0.0) => Ok(false),
                Some(1.0) => Ok(true),
                // Only what could be a whole number is read at all.
                Some(float) if float.fract() != 0.0 || float.abs() > i64::MAX as f64 => Err(no_flag()),
                _ => Err(unreadable()),
            },
            Value::String(word) => match word.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "t" | "y" | "1" => Ok(true),
                "false" | "no" | "off" | "f" | "n" | "0" => Ok(false),
                _ => Err(unreadable()),
            },
            _ => Err(no_flag()),
        }
    }

    fn schema(&self) -> Value {
        json!({ "type": "boolean", "examples": [true] })
    }
}

/// A UUID (RFC 9562) in any of its written forms.
pub struct UuidText;

impl Rule for UuidText {
    type Out = Uuid;

    fn check(&self, value: &Value) -> Result<Uuid, Broken> {
        let Value::String(text) = value else {
            return Err(Broken::new("uuid_type", "UUID input should be a string, bytes or UUID object"));
        };
        Uuid::from_str(text).map_err(|error| {
            let error = error.to_string();
            Broken::with(
                "uuid_parsing",
                format!("Input should be a valid UUID, {error}"),
                json!({ "error": error }),
            )
        })
    }

    fn schema(&self) -> Value {
        json!({ "type": "string", "format": "uuid", "examples": ["019a9d5e-6c1f-7c3b-8a54-3f0c1f4e2d10"] })
    }
}

/// One of a few words, to the letter.
pub fn one_of<T: Copy + 'static>(words: &'static [(&'static str, T)]) -> OneOf<T> {
    OneOf { words, any_case: false, kind: "enum", name: None }
}

/// See [`one_of`].
pub struct OneOf<T: 'static> {
    words: &'static [(&'static str, T)],
    any_case: bool,
    kind: &'static str,
    /// Its name in the document, and what it means.
    name: Option<(&'static str, &'static str)>,
}

impl<T> OneOf<T> {
    /// The same words, where the original has them as a `Literal` and not as an `Enum`: another word is a
    /// `literal_error`.
    #[must_use]
    pub fn literally(self) -> Self {
        Self { kind: "literal_error", ..self }
    }

    /// The same words; upper case is taken for lower case.
    #[must_use]
    pub fn in_any_case(self) -> Self {
        Self { any_case: true, ..self }
    }

    /// The same words, as a schema that the document has once, under this name and with this description.
    #[must_use]
    pub fn named(self, name: &'static str, description: &'static str) -> Self {
        Self { name: Some((name, description)), ..self }
    }
}

impl<T: Copy + 'static> Rule for OneOf<T> {
    type Out = T;

    fn check(&self, value: &Value) -> Result<T, Broken> {
        let given = value.as_str().unwrap_or_default();
        let is_given =
            |word: &str| if self.any_case { word.eq_ignore_ascii_case(given) } else { word == given };
        let known = self.words.iter().find(|(word, _)| is_given(word));
        known.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let quoted: Vec<String> = self.words.iter().map(|(word, _)| format!("'{word}'")).collect();
            let expected = match quoted.split_last() {
                Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
                _ => quoted.concat(),
            };
            Broken::with(self.kind, format!("Input should be {expected}"), json!({ "expected": expected }))
        })
    }

    fn schema(&self) -> Value {
        let words: Vec<&str> = self.words.iter().map(|(word, _)| *word).collect();
        let mut schema = json!({ "type": "string", "enum": words, "examples": [words[0]] });
        if let Some((name, description)) = self.name {
            // The document moves it to its place by the title.
            schema["title"] = json!(name);
            schema["$comment"] = json!(description);
        }
        schema
    }
}

/// The place in a list to go on from: opaque to clients, a row's number to us.
pub struct Cursor;

impl Cursor {
    /// The cursor that goes on after the row with this number.
    pub fn after(id: i64) -> String {
        URL_SAFE_NO_PAD.encode(id.to_be_bytes())
    }
}

impl Rule for Cursor {
    type Out = i64;

    fn check(&self, value: &Value) -> Result<i64, Broken> {
        let bytes = URL_SAFE_NO_PAD.decode(value.as_str().unwrap_or_default()).unwrap_or_default();
        let id = bytes.try_into().map(i64::from_be_bytes).ok().filter(|id| *id > 0);
        id.ok_or_else(|| Broken::rule("Cursor must come from the Link header of a page"))
    }

    fn schema(&self) -> Value {
        json!({
            "type": "string", "examples": [Self::after(100)],
            "description": "Where the page begins: take it from the `Link` header of the page before. Left out: the first page.",
        })
    }
}
