//! `satchel migrate`: the schema's state, and moving it.

use crate::cli::{MigrateCommand, say};
use crate::clock::Clock;
use crate::config::Config;
use crate::db::DirLock;
use crate::db::migrate::{self, Report, Step};
use crate::error::Result;

/// Does what is asked of the schema.
///
/// # Errors
/// A fault of one sentence when it cannot be done.
pub fn run(config: &Config, command: MigrateCommand) -> Result<()> {
    let path = config.database();
    let clock = Clock::system();
    match command {
        MigrateCommand::Status => {
            for Step { version, name, applied_at } in migrate::status(&path)? {
                let state = applied_at.map_or(String::from("not applied"), |at| format!("applied {at}"));
                say(format_args!("{version:04} {name:<12} {state}"))?;
            }
            Ok(())
        }
        MigrateCommand::Up { steps } => {
            let _lock = DirLock::acquire(&config.server.data, "satchel migrate")?;
            let limit = steps.and_then(|steps| usize::try_from(steps).ok());
            told("applied", &migrate::up(&path, &clock, limit)?)
        }
        MigrateCommand::Down { steps } => {
            let _lock = DirLock::acquire(&config.server.data, "satchel migrate")?;
            told("undone", &migrate::down(&path, &clock, usize::try_from(steps).unwrap_or(usize::MAX))?)
        }
    }
}

fn told(done: &str, report: &Report) -> Result<()> {
    if let Some(backup) = &report.backup {
        say(format_args!("backup  {}", backup.display()))?;
    }
    for step in &report.steps {
        say(format_args!("{done} {:04} {}", step.version, step.name))?;
    }
    say(format_args!("the schema is now {}", report.schema))
}
