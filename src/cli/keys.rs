//! `satchel keys`: the keys that sign tokens.

use std::thread;
use std::time::Duration;

use crate::cli::{KeysCommand, say};
use crate::clock::Clock;
use crate::config::Config;
use crate::db::DirLock;
use crate::domain::auth::keys::{self, Keyring, PUBLISHED_FOR, State};
use crate::error::{Error, Result};

/// How long a running server has to take changed keys over, in seconds.
const PATIENCE_SECONDS: u64 = 5;
/// How often is looked whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Does what is asked of the keys. A running server has taken them over before this returns.
///
/// # Errors
/// A fault of one sentence when it cannot be done, or when a running server does not take the keys over.
pub fn run(config: &Config, command: KeysCommand) -> Result<()> {
    let (directory, clock, keep) = (config.keys(), Clock::system(), config.longest_token());
    let is_sudden = matches!(command, KeysCommand::Rotate { now: true });
    let (kid, done, from_now_on) = match command {
        KeysCommand::List => return list(config, &clock),
        KeysCommand::Rotate { now } => {
            let new = keys::rotate(&directory, now, &clock, keep)?;
            match new.state {
                State::Published => (new.kid, format!("is published, and signs from {} on", new.from), ""),
                _ => (new.kid, String::from("signs"), " from now on"),
            }
        }
        KeysCommand::Retire { kid, now } => {
            keys::retire(&directory, &kid, now, &clock, keep)?;
            let done = if now { "is gone" } else { "verifies until its last token has expired" };
            (kid, String::from(done), "")
        }
    };
    let when = match taken_over(config)? {
        Taken::ByNobody => ", beginning at the next start",
        Taken::ByServer => from_now_on,
        Taken::NotBy(server) => {
            return Err(Error::fault(format!(
                "{kid} {done}, but {server} did not take the keys over within {PATIENCE_SECONDS} seconds and goes on with \
                 the former ones: its log says why; when that is mended it takes them over by itself, or at its next start"
            )));
        }
    };
    say(format_args!("{kid} {done}{when}"))?;
    if is_sudden {
        say(format_args!(
            "Verifiers that keep a copy of /.well-known/jwks.json may refuse new tokens until they renew it: for {} minutes at most",
            PUBLISHED_FOR.as_secs() / 60
        ))?;
    }
    Ok(())
}

fn list(config: &Config, clock: &Clock) -> Result<()> {
    let Some(ring) = Keyring::look(&config.keys(), clock.now(), config.longest_token())? else {
        return say("there is no key yet: the first start makes one");
    };
    for key in ring.list() {
        let state = match key.state {
            State::Published => String::from("is published, signs from then on"),
            State::Signing { until: None } => String::from("signs and verifies"),
            State::Signing { until: Some(until) } => format!("signs and verifies, until {until}"),
            State::Verifying => String::from("verifies"),
            State::Retired { until } => format!("retired, verifies until {until}"),
        };
        say(format_args!("{}  from {}  {state}", key.kid, key.from))?;
    }
    Ok(())
}

/// Who works with the keys as they are now.
enum Taken {
    /// Nobody serves the directory.
    ByNobody,
    /// The running server.
    ByServer,
    /// The running server does not; how it calls itself.
    NotBy(String),
}

/// Waits for a running server to say that its keys are those of the directory.
fn taken_over(config: &Config) -> Result<Taken> {
    let mut server = String::from("the server");
    for _ in 0..PATIENCE_SECONDS * 1000 / LOOK_EVERY.as_millis() as u64 {
        let Some(written) = DirLock::holder(&config.server.data) else { return Ok(Taken::ByNobody) };
        let mut lines = written.lines();
        if let Some(holder) = lines.next() {
            if !holder.starts_with(DirLock::SERVER) {
                return Ok(Taken::ByNobody);
            }
            holder.clone_into(&mut server);
        }
        if lines
            .next()
            .is_some_and(|noted| keys::stamp(&config.keys()).is_ok_and(|stamp| stamp.to_string() == noted))
        {
            return Ok(Taken::ByServer);
        }
        thread::sleep(LOOK_EVERY);
    }
    Ok(Taken::NotBy(server))
}
