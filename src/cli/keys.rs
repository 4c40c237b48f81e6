//! `satchel keys`: the keys that sign tokens.

use std::time::Duration;

use crate::cli::{KeysCommand, say};
use crate::clock::Clock;
use crate::config::Config;
use crate::db::DirLock;
use crate::domain::auth::keys::{self, Keyring, State};
use crate::error::Result;

/// A running server has noticed a change after this long.
const NOTICED_AFTER: Duration = Duration::from_millis(1500);

/// Does what is asked of the keys. A running server takes them over before this returns.
///
/// # Errors
/// A fault of one sentence when it cannot be done.
pub fn run(config: &Config, command: KeysCommand) -> Result<()> {
    let (directory, clock, keep) = (config.keys(), Clock::system(), config.longest_token());
    match command {
        KeysCommand::List => {
            for key in Keyring::open(&directory, &clock, keep)?.list() {
                let state = match key.state {
                    State::Signing => String::from("signs and verifies"),
                    State::Verifying => String::from("verifies"),
                    State::Retired { until } => format!("retired, verifies until {until}"),
                };
                say(format_args!("{}  made {}  {state}", key.kid, key.created))?;
            }
            return Ok(());
        }
        KeysCommand::Rotate => {
            // A directory without keys gets its first one, which then is the one that is rotated.
            Keyring::open(&directory, &clock, keep)?;
            let key = keys::rotate(&directory, &clock, keep)?;
            say(format_args!("{} signs from now on", key.kid))?;
        }
        KeysCommand::Retire { kid, now } => {
            keys::retire(&directory, &kid, now, &clock, keep)?;
            let until = if now { "is gone" } else { "verifies until its last token has expired" };
            say(format_args!("{kid} {until}"))?;
        }
    }
    if DirLock::held(&config.server.data) {
        std::thread::sleep(NOTICED_AFTER);
    }
    Ok(())
}
