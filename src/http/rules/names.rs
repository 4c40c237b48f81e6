//! Names: usernames, and what people are called by. Each is read in one normal form, whichever it was typed in.

use serde_json::{Value, json};

use super::{Rule, Text, string, text};
use crate::domain::names;
use crate::http::validate::Broken;
use crate::text::nfc;

/// A username: `min` to `max` characters without `@`, so that it cannot be taken for an e-mail address.
pub fn username(min: usize, max: usize) -> Username {
    Username(Name::unless(names::unfit_username, min, max, "ada"))
}

/// See [`username`].
pub struct Username(Name);

impl Rule for Username {
    type Out = String;

    fn check(&self, value: &Value) -> Result<String, Broken> {
        self.0.check(value)
    }

    fn schema(&self) -> Value {
        let mut schema = self.0.schema();
        schema["pattern"] = json!("^[^@]*$");
        schema["description"] = json!(
            "The name that others see. Unique without regard to case, width and normal form. Without `@`, control and zero-width characters, \
             characters that set the direction of text, and blanks at either end."
        );
        schema
    }
}

/// A name that somebody is called by, of `min` to `max` characters.
pub fn name(min: usize, max: usize, example: &'static str) -> Name {
    Name::unless(names::unfit_name, min, max, example)
}

/// See [`name`]. The characters are counted in normal form C, which is what is kept.
pub struct Name {
    text: Text,
    unfit: fn(&str) -> Option<&'static str>,
}

impl Name {
    /// A name with a rule of its own, which says in a sentence why a text is none.
    pub fn unless(
        unfit: fn(&str) -> Option<&'static str>,
        min: usize,
        max: usize,
        example: &'static str,
    ) -> Self {
        Self { text: text(min, max, example), unfit }
    }
}

impl Rule for Name {
    type Out = String;

    fn check(&self, value: &Value) -> Result<String, Broken> {
        let typed = string(value)?;
        // One character is made of four at most, each of four bytes at most.
        if typed.len() > 16 * self.text.max {
            return Err(Broken::too_long(self.text.max));
        }
        let name = nfc(typed);
        self.text.fits(&name)?;
        match (self.unfit)(&name) {
            Some(sentence) => Err(Broken::rule(sentence)),
            None => Ok(name),
        }
    }

    fn schema(&self) -> Value {
        self.text.schema()
    }
}
