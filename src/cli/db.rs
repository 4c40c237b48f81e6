//! `satchel db`: backup, restore, verify, drop.

use std::path::Path;

use crate::app::database_options;
use crate::cli::{DbCommand, confirm, say};
use crate::clock::Clock;
use crate::config::Config;
use crate::db::{Db, DirLock, backup, migrate};
use crate::domain::auth::sessions;
use crate::error::{Error, Result};

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
            let kept = backup::restore(&file, &path, &Clock::system())?;
            say(format_args!("restored  {}", path.display()))?;
            end_sessions(config)?;
            say(format_args!(
                "every session has ended: the copy knows nothing of log-outs since it was made"
            ))?;
            if let Some(kept) = kept {
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

/// Ends what a restored database takes for living sessions.
fn end_sessions(config: &Config) -> Result<()> {
    let clock = Clock::system();
    if config.db.migrate_on_start {
        migrate::up(&config.database(), &clock, None)?;
    }
    let db = Db::open(&database_options(config), clock)?;
    db.write_blocking(sessions::end_everybodys)?;
    db.close()
}

fn verify(path: &Path) -> Result<()> {
    let found = backup::verify(path)?;
    say(format_args!("{} is whole: schema {}, {} bytes", path.display(), found.schema, found.bytes))?;
    for (table, rows) in found.tables {
        say(format_args!("  {table:<20} {rows}"))?;
    }
    Ok(())
}
