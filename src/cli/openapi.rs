//! `satchel openapi`: the OpenAPI document.

use crate::api;
use crate::error::Result;

/// Prints the document, indented.
///
/// # Errors
/// A fault when stdout takes nothing.
pub fn run() -> Result<()> {
    let text = serde_json::to_string_pretty(&api::document()).map_err(anyhow::Error::from)?;
    super::say(text)
}
