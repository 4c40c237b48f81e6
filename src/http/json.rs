//! JSON: reads the object of a body. Of what no field of its type takes, nothing is built but what an answer may show.

use std::fmt;

use salvo::http::HeaderMap;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Value, json};

use super::input::media_type;
use super::shown::{ENTRIES_MAX, Name, NameSeed, ROOM, Shown};
use super::validate::{Broken, Invalid, Loc, hidden};
use super::values::Values;

/// Fills in the fields of a JSON body; what makes it none is added to `faults`.
pub(super) fn object(
    headers: &HeaderMap,
    body: &[u8],
    mut values: Values,
    faults: &mut Vec<Invalid>,
) -> Option<Values> {
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
        match read(body, &mut values) {
            Ok(None) => return Some(values),
            Ok(Some(Value::Null)) => (Broken::missing(), None, Value::Null),
            Ok(Some(other)) => (Broken::not_an_object(), None, other),
            Err(error) => {
                (Broken::not_json(json_fault(&error.to_string())), Some(offset_of(body, &error)), json!({}))
            }
        }
    };
    let loc = [Loc::from("body")].into_iter().chain(offset.map(Loc::Offset)).collect();
    faults.push(broken.at(loc, input));
    None
}

/// Fills in the fields of an object; of anything else, what may be shown of it.
fn read(body: &[u8], values: &mut Values) -> Result<Option<Value>, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = reader.deserialize_any(Body(values))?;
    reader.end()?;
    Ok(read)
}

struct Body<'v>(&'v mut Values);

impl<'de> Visitor<'de> for Body<'_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Option<Value>, A::Error> {
        let Self(values) = self;
        // All that is shown of one body shares this.
        let mut room = ROOM;
        loop {
            let is_shown = values.others.len() < ENTRIES_MAX && room > 0;
            let known = |name: &str| values.number(name);
            let seed = NameSeed { known, is_shown, room: &mut room };
            let Some(name) = fields.next_key_seed(seed)? else { return Ok(None) };
            match name {
                Name::Known(number) => values.set(number, fields.next_value_seed(Shown::scalar(&mut room))?),
                other => {
                    let value = fields.next_value_seed(Shown::field(&other, &mut room))?;
                    if let Name::Shown { name, .. } = other {
                        values.others.insert(name, value);
                    }
                }
            }
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Option<Value>, A::Error> {
        Shown::echo(&mut { ROOM }).visit_seq(items).map(Some)
    }

    fn visit_str<E>(self, _: &str) -> Result<Option<Value>, E> {
        // A text alone may be a token that was sent without its field.
        Ok(Some(hidden()))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Option<Value>, E> {
        Ok(Some(flag.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Option<Value>, E> {
        Ok(Some(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Option<Value>, E> {
        Ok(Some(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Option<Value>, E> {
        Ok(Some(number.into()))
    }

    fn visit_unit<E>(self) -> Result<Option<Value>, E> {
        Ok(Some(Value::Null))
    }
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
