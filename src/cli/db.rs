//! `satchel db`: backup, restore, verify, drop.

use std::path::Path;

use crate::cli::{DbCommand, confirm, say};
use crate::clock::Clock;
use crate::config::Config;
use crate::db::{DirLock, backup, migrate};
use crate::domain::auth::sessions;
use crate::error::{Error, Result};

/// What a restore ends.
const ENDED: &str = "every session and every mailed link has ended, and no letter waits: the copy knows nothing of what was ended, used or sent since it was made";
/// What a restore brings back.
const AS_OLD: &str = "all else is as old as the copy: users with their passwords, roles, blocks, deletions, confirmed addresses and changes of addresses, failed sign-ins and familiar addresses, books, items, todos, contacts and pictures";

/// Does what is asked of the database as a whole.
///
/// # Errors
/// A fault of one sentence when it cannot be done.
pub fn run(config: &Config, command: DbCommand) -> Result<()> {
    let path = config.database();
    let lock = || DirLock::acquire(&config.server.data, "satchel db");
    match command {
        DbCommand::Backup { file } => {
            backup::backup(&path, &file)?;
            say(format_args!("backup  {}", file.display()))?;
        }
        DbCommand::Verify { file } => verify(file.as_deref().unwrap_or(&path))?,
        DbCommand::Restore { file, yes } => {
            let _lock = lock()?;
            confirm(yes, &format!("Put {} in the place of {}?", file.display(), path.display()))?;
            let restored = backup::restore(&file, &path, &Clock::system(), sessions::end_everybodys)?;
            say(format_args!("restored  {}", path.display()))?;
            say(ENDED)?;
            say(AS_OLD)?;
            if restored.schema != migrate::latest() {
                let up = if config.db.migrate_on_start {
                    "it is moved up at the next start"
                } else {
                    "run `satchel migrate up`"
                };
                let (schema, latest) = (restored.schema, migrate::latest());
                say(format_args!("the schema is {schema}, this binary needs {latest}: {up}"))?;
            }
            if let Some(kept) = restored.kept {
                say(format_args!("the former database is  {}", kept.display()))?;
            }
        }
        DbCommand::Drop { yes, no_backup } => {
            let _lock = lock()?;
            if !path.exists() {
                return Err(Error::fault(format!("there is no database at {}", path.display())));
            }
            confirm(yes, &format!("Throw {} away?", path.display()))?;
            if !no_backup {
                let stamp = Clock::system().now().seconds();
                let file = config.server.data.join(format!("satchel.db.before-drop-{stamp}"));
                backup::backup(&path, &file)?;
                say(format_args!("backup  {}", file.display()))?;
            }
            backup::drop(&path)?;
            say(format_args!("dropped  {}", path.display()))?;
        }
    }
    Ok(())
}

fn verify(path: &Path) -> Result<()> {
    let found = backup::verify(path)?;
    say(format_args!("{} is whole: schema {}, {} bytes", path.display(), found.schema, found.bytes))?;
    for (table, rows) in found.tables {
        say(format_args!("  {table:<20} {rows}"))?;
    }
    Ok(())
}
