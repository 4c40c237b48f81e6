//! Shown: every setting in force as TOML, and who gave it.

use std::fmt::Write as _;

use toml::Value;

use super::Config;
use super::settings::{Allowed, SETTINGS};
use crate::telemetry::one_line;

/// What a value is called that nobody gave.
const DEFAULT: &str = "default";

/// One line for each setting, in the order of `config.toml`. Read back it makes the same settings, but for secrets.
pub(super) fn to_toml(config: &Config) -> String {
    let whole = Value::try_from(config).expect("settings are texts, numbers and lists");
    let (mut text, mut section) = (String::new(), "");
    for (key, allowed) in SETTINGS {
        let (of, name) = key.rsplit_once('.').unwrap_or(("", key));
        if of != section {
            let _ = writeln!(text, "\n[{of}]");
            section = of;
        }
        let value = key.split('.').try_fold(&whole, |value, name| value.get(name));
        let _ = match (allowed, value) {
            (Allowed::Secret, Some(Value::String(secret))) if !secret.is_empty() => {
                write!(text, "# {name} is set, and not shown")
            }
            (_, Some(value)) => write!(text, "{name} = {value}"),
            (_, None) => write!(text, "# {name} is not set"),
        };
        let _ = writeln!(text, "  # {}", one_line(source(config, key)));
    }
    text
}

fn source<'a>(config: &'a Config, key: &str) -> &'a str {
    // One switch for all of its section.
    let is_overruled = key.starts_with("contactbook.limits.") && !config.contactbook.limits.enabled;
    config.source(if is_overruled { "contactbook.limits.enabled" } else { key }).unwrap_or(DEFAULT)
}
