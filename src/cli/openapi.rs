//! `satchel openapi`: the OpenAPI document.

use std::io::Write;

use crate::api;
use crate::error::Result;

/// Prints the document, indented.
///
/// # Errors
/// A fault when stdout takes nothing.
pub fn run() -> Result<()> {
    let text = serde_json::to_string_pretty(&api::document()).map_err(anyhow::Error::from)?;
    writeln!(std::io::stdout(), "{text}").map_err(anyhow::Error::from)?;
    Ok(())
}
