//! Shown: what an answer may show of the input it refuses. Of what it does not show nothing is built.

use std::fmt;

use serde::de::value::MapDeserializer;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::validate::{hidden, is_secret};

/// Longest text that is shown, in characters.
const CHARS_MAX: usize = 256;
/// Most entries of an object or list that are shown.
pub(super) const ENTRIES_MAX: usize = 32;
/// Objects and lists are shown so deep.
const DEPTH_MAX: usize = 4;
/// Most values and characters that are shown of one body or value, all told.
pub(super) const ROOM: usize = 4096;

/// A copy of a received value that is fit to be sent back: secrets hidden, long texts and lists cut short.
pub(super) fn echo(value: &Value) -> Value {
    Shown::echo(&mut { ROOM }).deserialize(value).unwrap_or_default()
}

/// The same of an object with these fields.
pub(super) fn echo_object<'a>(fields: impl Iterator<Item = (&'a str, &'a Value)>) -> Value {
    let fields = MapDeserializer::<_, serde_json::Error>::new(fields);
    Shown::echo(&mut { ROOM }).deserialize(fields).unwrap_or_default()
}

/// Reads a value and builds what may be shown of it. The rest is read to its end.
pub(super) struct Shown<'r> {
    what: What,
    /// Objects and lists are shown so deep.
    depth: usize,
    /// So many more values and characters are shown.
    room: &'r mut usize,
}

#[derive(Clone, Copy, PartialEq)]
enum What {
    /// A text or number whole; of an object or a list as much as is fit.
    Scalar,
    Fit,
    /// That there is something.
    Hidden,
    Nothing,
}

impl<'r> Shown<'r> {
    /// What is fit to be shown of the value.
    pub(super) fn echo(room: &'r mut usize) -> Self {
        Self { what: What::Fit, depth: DEPTH_MAX, room }
    }

    /// A text or number whole; of an object or a list what is fit to be shown.
    pub(super) fn scalar(room: &'r mut usize) -> Self {
        Self { what: What::Scalar, depth: DEPTH_MAX, room }
    }

    /// What is fit to be shown of an object's field.
    pub(super) fn field(name: &Name, room: &'r mut usize) -> Self {
        Self { what: name.shows(), depth: DEPTH_MAX - 1, room }
    }

    fn inner(&mut self, what: What) -> Shown<'_> {
        Shown { what, depth: self.depth.saturating_sub(1), room: self.room }
    }

    /// Whether another entry is shown of an object or list that shows so many.
    fn has_room(&self, shown: usize) -> bool {
        let opens = matches!(self.what, What::Scalar | What::Fit) && self.depth > 0;
        opens && shown < ENTRIES_MAX && *self.room > 0
    }

    fn put(self, value: impl Into<Value>) -> Value {
        match self.what {
            What::Scalar | What::Fit => value.into(),
            What::Hidden => hidden(),
            What::Nothing => Value::Null,
        }
    }

    fn close(self, shown: impl Into<Value>) -> Value {
        let is_too_deep = self.depth == 0 && self.what != What::Hidden;
        if is_too_deep { Value::Null } else { self.put(shown) }
    }
}

impl<'de> DeserializeSeed<'de> for Shown<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<Value, D::Error> {
        if self.what == What::Fit {
            *self.room = self.room.saturating_sub(1);
        }
        // Whatever is not shown is read in the same way, so that it is refused for the same reasons.
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Shown<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(self.put(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(self.put(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(self.put(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(self.put(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(match self.what {
            What::Fit if holds_secret(text) => hidden(),
            What::Fit => Value::from(cut(text, self.room)),
            _ => self.put(text),
        })
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Value, A::Error> {
        let mut shown = Vec::new();
        loop {
            let is_shown = self.has_room(shown.len());
            let what = if is_shown { What::Fit } else { What::Nothing };
            let Some(item) = items.next_element_seed(self.inner(what))? else { break };
            if is_shown {
                shown.push(item);
            }
        }
        Ok(self.close(shown))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<Value, A::Error> {
        let mut shown = Map::new();
        loop {
            let is_shown = self.has_room(shown.len());
            let seed = NameSeed { known: |_: &str| None, is_shown, room: self.room };
            let Some(name) = fields.next_key_seed(seed)? else { break };
            let value = fields.next_value_seed(self.inner(name.shows()))?;
            if let Name::Shown { name, .. } = name {
                shown.insert(name, value);
            }
        }
        Ok(self.close(shown))
    }
}

/// The name of a field.
pub(super) enum Name {
    /// One that the reader knows, by its number.
    Known(usize),
    /// Another: as much of it as is shown, and whether it holds a secret.
    Shown { name: String, is_secret: bool },
    /// One that is not shown.
    Skipped,
}

impl Name {
    fn shows(&self) -> What {
        match self {
            Self::Shown { is_secret: true, .. } => What::Hidden,
            Self::Shown { .. } => What::Fit,
            Self::Known(_) | Self::Skipped => What::Nothing,
        }
    }
}

/// Reads the name of a field.
pub(super) struct NameSeed<'r, F> {
    /// The number of a known name.
    pub(super) known: F,
    /// Whether another is shown.
    pub(super) is_shown: bool,
    /// So many more values and characters are shown.
    pub(super) room: &'r mut usize,
}

impl<'de, F: Fn(&str) -> Option<usize>> DeserializeSeed<'de> for NameSeed<'_, F> {
    type Value = Name;

    fn deserialize<D: Deserializer<'de>>(self, name: D) -> Result<Name, D::Error> {
        name.deserialize_str(self)
    }
}

impl<F: Fn(&str) -> Option<usize>> Visitor<'_> for NameSeed<'_, F> {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Name, E> {
        Ok(match (self.known)(name) {
            Some(number) => Name::Known(number),
            None if self.is_shown => Name::Shown { is_secret: is_secret(name), name: cut(name, self.room) },
            None => Name::Skipped,
        })
    }
}

/// As much of a text as there is room for.
fn cut(text: &str, room: &mut usize) -> String {
    let max = CHARS_MAX.min(*room);
    match text.char_indices().nth(max) {
        Some((end, _)) => {
            *room -= max;
            format!("{}…", &text[..end])
        }
        None => {
            *room -= text.chars().count();
            text.to_owned()
        }
    }
}

/// Whether a text is an object that was encoded twice, or a form, with a secret in it.
fn holds_secret(text: &str) -> bool {
    text.contains(['{', '=']) && is_secret(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(value: Value, expected: Value) {
        assert_eq!(echo(&value), expected);
        // What is fit to be shown stays so.
        assert_eq!(echo(&expected), expected);
    }

    #[test]
    fn secrets_are_hidden_at_any_depth_and_long_things_are_cut() {
        check(json!({ "a": 1, "Password": "x" }), json!({ "a": 1, "Password": "**********" }));
        check(json!({ "token": null }), json!({ "token": null }));
        check(json!({ "token": [1, { "a": 2 }] }), json!({ "token": "**********" }));
        check(json!({ "token": [[[[[]]]]] }), json!({ "token": "**********" }));
        check(json!([{ "pwd": 1 }]), json!([{ "pwd": "**********" }]));
        check(json!("{\"password\":1}"), json!("**********"));
        check(json!("password"), json!("password"));
        check(json!("ä".repeat(256)), json!("ä".repeat(256)));
        check(json!("ä".repeat(257)), json!(format!("{}…", "ä".repeat(256))));
        check(json!(vec![0; 33]), json!(vec![0; 32]));
        check(json!([[[[[1]]]]]), json!([[[[null]]]]));
        check(json!([1.5, true, -1, u64::MAX, null]), json!([1.5, true, -1, u64::MAX, null]));
    }

    #[test]
    fn all_that_is_shown_has_a_bound() {
        let text = json!("x".repeat(256));
        let shown = echo(&json!([vec![text.clone(); 32], vec![text; 32]])).to_string();
        assert!((ROOM..ROOM + 200).contains(&shown.len()), "{}", shown.len());
    }
}
