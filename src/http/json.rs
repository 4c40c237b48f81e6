//! JSON: reads the object of a body. Of what no field of its type takes, nothing is built but what an answer may show.

use std::fmt;

use salvo::http::HeaderMap;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Value, json};

use super::encoding::Encoded;
use super::input::media_type;
use super::shown::{ENTRIES_MAX, Name, NameSeed, ROOM, Shown};
use super::validate::{Broken, Invalid, Loc, hidden};
use super::values::Values;
use crate::budget::Allotment;
use crate::error;

/// Fills in the fields of a JSON body; what makes it none is added to `faults`. One in UTF-16 or UTF-32 takes room for its text.
pub(super) fn object(
    headers: &HeaderMap,
    body: &[u8],
    mut values: Values,
    faults: &mut Vec<Invalid>,
    take_room: impl FnOnce(usize) -> error::Result<Option<Allotment>>,
) -> error::Result<Option<Values>> {
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
        let read = match Encoded::of(body) {
            Encoded::Utf8(text) => read(text, &mut values),
            Encoded::Wide(wide) => match wide.utf8_len() {
                Ok(len) => {
                    let _room = take_room(len)?;
                    wide.to_utf8(len)
                        .map_err(|at| (wide.fault(), at))
                        .and_then(|text| read(text.as_bytes(), &mut values))
                }
                Err(at) => Err((wide.fault(), at)),
            },
        };
        match read {
            Ok(None) => return Ok(Some(values)),
            Ok(Some(Value::Null)) => (Broken::missing(), None, Value::Null),
            Ok(Some(other)) => (Broken::not_an_object(), None, other),
            Err((fault, offset)) => (Broken::not_json(fault), Some(offset), json!({})),
        }
    };
    let loc = [Loc::from("body")].into_iter().chain(offset.map(Loc::Offset)).collect();
    faults.push(broken.at(loc, input));
    Ok(None)
}

/// Fills in the fields of an object; of anything else, what may be shown of it. What is no JSON is told with the number of
/// characters before it.
fn read(text: &[u8], values: &mut Values) -> Result<Option<Value>, (&'static str, usize)> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let read = reader.deserialize_any(Body(values)).and_then(|read| reader.end().map(|()| read));
    read.map_err(|error| {
        let fault = error.to_string();
        let offset = offset_of(text, &fault, &error);
        match text[offset..] {
            // serde_json calls a digit that is none an escape like any other.
            [b'\\', b'u', ..] if fault.contains("escape") => {
                ("Invalid \\uXXXX escape", characters(&text[..=offset]))
            }
            _ => (json_fault(&fault), characters(&text[..offset])),
        }
    })
}

/// How many characters begin in so much of a text.
fn characters(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
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

/// The byte that JSON reading stopped at; of a text without an end, the byte that it starts at; of an escape, its backslash.
fn offset_of(body: &[u8], fault: &str, error: &serde_json::Error) -> usize {
    if error.is_eof() {
        let in_text = fault.contains("EOF while parsing a string");
        return if in_text { last_quote(body) } else { body.len() };
    }
    let line_start = body
        .split_inclusive(|byte| *byte == b'\n')
        .take(error.line().saturating_sub(1))
        .map(<[u8]>::len)
        .sum::<usize>();
    let offset = (line_start + error.column().saturating_sub(1)).min(body.len());
    if fault.contains("escape") {
        return body[..offset].iter().rposition(|byte| *byte == b'\\').unwrap_or(offset);
    }
    offset
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
