//! `satchel letters`: the outbox, for whoever has the machine.

use crate::app::database_options;
use crate::cli::{LettersCommand, say};
use crate::clock::Clock;
use crate::config::Config;
use crate::db::{self, Db};
use crate::domain::letters::{self, Letter, LetterId, State};
use crate::error::{Error, Result};
use crate::telemetry;

/// How many letters are read at once.
const PAGE: i64 = 500;

/// Does what is asked of the outbox. A running server takes notice by itself.
///
/// # Errors
/// A fault of one sentence when it cannot be done.
pub fn run(config: &Config, command: LettersCommand) -> Result<()> {
    let LettersCommand::Retry { id, .. } = command else { return list(config) };
    let db = Db::open(&database_options(config), Clock::system())?;
    if let Some(id) = id {
        if !db.write_blocking(move |db| letters::retry(db, LetterId(id)))? {
            return Err(Error::fault(format!("there is no letter {id}: `satchel letters list` shows them")));
        }
        say(format_args!("letter {id} is tried again"))?;
    } else {
        let count = db.write_blocking(letters::retry_dead)?;
        say(format_args!("tried again: {count}"))?;
    }
    db.close()
}

fn list(config: &Config) -> Result<()> {
    let mut last = LetterId(0);
    loop {
        // The snapshot ends before the page is printed: who reads it may take their time.
        let page = db::look(&config.database(), |db| letters::list(db, last, PAGE))?;
        let Some(newest) = page.last() else {
            return if last == LetterId(0) {
                say("every letter has left: none waits, and none was given up")
            } else {
                Ok(())
            };
        };
        last = newest.id;
        for letter in &page {
            say(line(letter))?;
        }
    }
}

/// `17  reset_password  ada@example.com  waiting until 2026-…Z, attempts 3: connection refused`
fn line(letter: &Letter) -> String {
    let (id, purpose, attempts) = (letter.id.0, letter.purpose.word(), letter.attempts);
    let state = match letter.state {
        State::Waiting => format!("waiting until {}", letter.next_at),
        State::Dead => format!("dead since {}", letter.next_at),
    };
    let why = letter.last_error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
    // A mail server, or an address, must not steer the terminal.
    telemetry::one_line(&format!("{id}  {purpose}  {}  {state}, attempts {attempts}{why}", letter.email))
}
