//! Values: what came in the fields by which a type reads a part of a request. Of other fields only what an answer
//! may show is kept.

use std::borrow::Cow;
use std::cell::OnceCell;

use serde_json::{Map, Value};

use super::shown::echo_object;

/// The values of the fields that a type has.
#[derive(Default)]
pub(super) struct Values {
    known: Vec<(&'static str, Option<Value>)>,
    /// Of other fields: what a 422 shows.
    pub(super) others: Map<String, Value>,
    echoed: OnceCell<Value>,
}

impl Values {
    /// Adds a field that the type has.
    pub(super) fn know(&mut self, name: &'static str) {
        if self.number(name).is_none() {
            self.known.push((name, None));
        }
    }

    /// The number of a field that the type has.
    pub(super) fn number(&self, name: &str) -> Option<usize> {
        self.known.iter().position(|(known, _)| *known == name)
    }

    /// Sets the value of a field by its number: the last one counts.
    pub(super) fn set(&mut self, number: usize, value: Value) {
        self.known[number].1 = Some(value);
    }

    /// The value of a field, if it came.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.known.iter().find(|(known, _)| *known == name)?.1.as_ref()
    }

    /// What an answer shows of the whole.
    pub(super) fn echo(&self) -> Value {
        let known = self.known.iter().filter_map(|(name, value)| Some((*name, value.as_ref()?)));
        let others = self.others.iter().map(|(name, value)| (name.as_str(), value));
        self.echoed.get_or_init(|| echo_object(known.chain(others))).clone()
    }

    /// Reads a query or an URL-encoded form (WHATWG URL §5.1). A value that is no UTF-8 becomes null, which no rule
    /// takes.
    pub(super) fn read_pairs(&mut self, encoded: &[u8]) {
        for pair in encoded.split(|byte| *byte == b'&') {
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let name = halves.next().and_then(decoded).unwrap_or_default();
            if let Some(number) = self.number(&name) {
                self.set(number, decoded(halves.next().unwrap_or_default()).map_or(Value::Null, Value::from));
            }
        }
    }

    /// Takes fields without text for missing.
    pub(super) fn drop_empty(&mut self) {
        for (_, value) in &mut self.known {
            value.take_if(|value| value.as_str() == Some(""));
        }
    }
}

/// One half of a pair, percent-decoded; `None` when it is no UTF-8.
fn decoded(half: &[u8]) -> Option<Cow<'_, str>> {
    if !half.contains(&b'+') {
        return percent_encoding::percent_decode(half).decode_utf8().ok();
    }
    let spaced: Vec<u8> = half.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_encoding::percent_decode(&spaced).decode_utf8().ok().map(|text| Cow::Owned(text.into_owned()))
}
