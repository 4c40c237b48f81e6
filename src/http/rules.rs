//! Rules: how a value of a body, query, form or path is read. A rule also describes itself in the OpenAPI
//! document, so the two cannot part.

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use strum::EnumMessage;
use uuid::Uuid;

pub use self::names::{Name, name, username};
use super::validate::Broken;
use crate::domain::auth::passwords::{self, Password};
use crate::domain::emails::Email;

mod names;

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

/// A password that is being set: 8 to 256 characters, not a common one. See `Weakness` for the rest.
pub struct NewPassword;

impl Rule for NewPassword {
    type Out = Password;

    fn check(&self, value: &Value) -> Result<Password, Broken> {
        let password = Password::new(string(value)?.to_owned());
        match passwords::weakness(password.as_str(), &[]) {
            Some(weakness) => Err(Broken::password(weakness)),
            None => Ok(password),
        }
    }

    fn schema(&self) -> Value {
        json!({
            "type": "string", "format": "password",
            "minLength": passwords::PASSWORD_LEN_MIN, "maxLength": passwords::PASSWORD_LEN_MAX,
            "examples": ["correct horse battery staple"],
            "description": "None of the most common ones, and not one's own e-mail address or username.",
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
        json!({ "type": "string", "format": "password", "examples": ["correct horse battery staple"] })
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
            "type": "string", "contentMediaType": "application/octet-stream", "examples": ["the bytes of the file"],
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
            "description": "Trimmed; unique without regard to case. An internationalised domain is kept and shown in A-labels (`xn--…`).",
        })
    }
}

/// A whole number from `min` to `max`; the text of one counts.
pub fn integer(min: i64, max: i64, example: i64) -> Integer {
    Integer { min, max, example }
}

/// See [`integer`].
pub struct Integer {
    min: i64,
    max: i64,
    example: i64,
}

impl Rule for Integer {
    type Out = i64;

    fn check(&self, value: &Value) -> Result<i64, Broken> {
        let number = match value {
            Value::Bool(flag) => i128::from(*flag),
            Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
                (Some(whole), ..) => i128::from(whole),
                (None, Some(whole), _) => i128::from(whole),
                (None, None, Some(float)) if float.fract() == 0.0 => whole_float(float),
                _ => {
                    return Err(Broken::new(
                        "int_from_float",
                        "Input should be a valid integer, got a number with a fractional part",
                    ));
                }
            },
            Value::String(text) => whole_number(text).ok_or_else(|| {
                Broken::new(
                    "int_parsing",
                    "Input should be a valid integer, unable to parse string as an integer",
                )
            })?,
            _ => return Err(Broken::new("int_type", "Input should be a valid integer")),
        };
        if number < i128::from(self.min) {
            return Err(Broken::with(
                "greater_than_equal",
                format!("Input should be greater than or equal to {}", self.min),
                json!({ "ge": self.min }),
            ));
        }
        if number > i128::from(self.max) {
            return Err(Broken::with(
                "less_than_equal",
                format!("Input should be less than or equal to {}", self.max),
                json!({ "le": self.max }),
            ));
        }
        Ok(i64::try_from(number).expect("the bounds are within 64 bits"))
    }

    fn schema(&self) -> Value {
        json!({
            "type": "integer", "format": "int64",
            "minimum": self.min, "maximum": self.max, "examples": [self.example],
        })
    }
}

/// A float without a fraction. JSON gives whole numbers beyond 64 bits as one, rounded: to -2^63 many that lie below.
fn whole_float(float: f64) -> i128 {
    const LEAST: f64 = -9_223_372_036_854_775_808.0;
    if float == LEAST { i128::from(i64::MIN) - 1 } else { float as i128 }
}

/// A finite number from `min` to `max`; the text of one counts.
pub fn number(min: f64, max: f64, example: f64) -> Number {
    Number { min, max, example }
}

/// See [`number`].
pub struct Number {
    min: f64,
    max: f64,
    example: f64,
}

impl Rule for Number {
    type Out = f64;

    fn check(&self, value: &Value) -> Result<f64, Broken> {
        let number = match value {
            Value::Bool(flag) => f64::from(u8::from(*flag)),
            Value::Number(number) => number.as_f64().unwrap_or(f64::INFINITY),
            Value::String(text) => real_number(text).ok_or_else(|| {
                Broken::new(
                    "float_parsing",
                    "Input should be a valid number, unable to parse string as a number",
                )
            })?,
            _ => return Err(Broken::new("float_type", "Input should be a valid number")),
        };
        if !number.is_finite() {
            return Err(Broken::new("finite_number", "Input should be a finite number"));
        }
        if number < self.min {
            return Err(Broken::with(
                "greater_than_equal",
                format!("Input should be greater than or equal to {}", self.min),
                json!({ "ge": self.min }),
            ));
        }
        if number > self.max {
            return Err(Broken::with(
                "less_than_equal",
                format!("Input should be less than or equal to {}", self.max),
                json!({ "le": self.max }),
            ));
        }
        // Not the negative zero, which nobody means.
        Ok(number + 0.0)
    }

    fn schema(&self) -> Value {
        json!({
            "type": "number", "format": "double",
            "minimum": self.min, "maximum": self.max, "examples": [self.example],
        })
    }
}

/// Reads `12.5`, ` 12.5 `, `1_000.5`, `1e3`, `inf` and `nan` alike.
fn real_number(text: &str) -> Option<f64> {
    let text = text.trim();
    let underscores_between = !text.starts_with('_') && !text.ends_with('_') && !text.contains("__");
    if underscores_between { text.replace('_', "").parse().ok() } else { None }
}

/// Reads `12`, ` 12 `, `+12`, `1_000` and `12.0` alike; numbers beyond 128 bits stop at the end of the range.
fn whole_number(text: &str) -> Option<i128> {
    let text = text.trim();
    let text = match text.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|digit| digit == b'0') => whole,
        Some(_) => return None,
        None => text,
    };
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits_only = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let underscores_between = !digits.starts_with('_') && !digits.ends_with('_') && !digits.contains("__");
    if digits.is_empty() || !digits_only || !underscores_between {
        return None;
    }
    let magnitude = digits
        .bytes()
        .filter(|byte| *byte != b'_')
        .fold(0_i128, |sum, digit| sum.saturating_mul(10).saturating_add(i128::from(digit - b'0')));
    Some(if negative { -magnitude } else { magnitude })
}

/// True or false, also in the words yes/no, on/off, t/f, y/n, 1/0.
pub struct Flag;

impl Rule for Flag {
    type Out = bool;

    fn check(&self, value: &Value) -> Result<bool, Broken> {
        let unreadable =
            || Broken::new("bool_parsing", "Input should be a valid boolean, unable to interpret input");
        match value {
            Value::Bool(flag) => Ok(*flag),
            Value::Number(number) => match number.as_f64() {
                Some(0.0) => Ok(false),
                Some(1.0) => Ok(true),
                _ => Err(unreadable()),
            },
            Value::String(word) => match word.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "t" | "y" | "1" => Ok(true),
                "false" | "no" | "off" | "f" | "n" | "0" => Ok(false),
                _ => Err(unreadable()),
            },
            _ => Err(Broken::new("bool_type", "Input should be a valid boolean")),
        }
    }

    fn schema(&self) -> Value {
        json!({ "type": "boolean", "examples": [true] })
    }
}

/// A calendar date from year 1 to 9999; a time of day of zero may follow it.
pub struct CalendarDate;

impl Rule for CalendarDate {
    type Out = jiff::civil::Date;

    fn check(&self, value: &Value) -> Result<jiff::civil::Date, Broken> {
        let Value::String(text) = value else {
            return Err(Broken::new("date_type", "Input should be a valid date"));
        };
        let unreadable = |error: &str| {
            Broken::with(
                "date_from_datetime_parsing",
                format!("Input should be a valid date or datetime, {error}"),
                json!({ "error": error }),
            )
        };
        let date = match speedate::Date::parse_str_rfc3339(text) {
            Ok(date) => date,
            Err(_) => match speedate::DateTime::parse_str_rfc3339(text) {
                Ok(moment) if is_midnight(&moment.time) => moment.date,
                Ok(_) => {
                    return Err(Broken::new(
                        "date_from_datetime_inexact",
                        "Datetimes provided to dates should have zero time - e.g. be exact dates",
                    ));
                }
                Err(error) => {
                    return Err(unreadable(error.get_documentation().unwrap_or("invalid date")));
                }
            },
        };
        if date.year == 0 {
            return Err(unreadable("year 0 is out of range"));
        }
        let parts = (i16::try_from(date.year), i8::try_from(date.month), i8::try_from(date.day));
        match parts {
            (Ok(year), Ok(month), Ok(day)) => jiff::civil::Date::new(year, month, day)
                .map_err(|_| unreadable("day value is outside expected range")),
            _ => Err(unreadable("day value is outside expected range")),
        }
    }

    fn schema(&self) -> Value {
        json!({ "type": "string", "format": "date", "examples": ["1965-08-01"] })
    }
}

fn is_midnight(time: &speedate::Time) -> bool {
    time.hour == 0 && time.minute == 0 && time.second == 0 && time.microsecond == 0
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
    OneOf { words, any_case: false }
}

/// See [`one_of`].
pub struct OneOf<T: 'static> {
    words: &'static [(&'static str, T)],
    any_case: bool,
}

impl<T> OneOf<T> {
    /// The same words; upper case is taken for lower case.
    #[must_use]
    pub fn in_any_case(self) -> Self {
        Self { any_case: true, ..self }
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
            Broken::with("enum", format!("Input should be {expected}"), json!({ "expected": expected }))
        })
    }

    fn schema(&self) -> Value {
        let words: Vec<&str> = self.words.iter().map(|(word, _)| *word).collect();
        json!({ "type": "string", "enum": words, "examples": [words[0]] })
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
            "description": "Where to go on: taken from the `Link` header of the page before.",
        })
    }
}
