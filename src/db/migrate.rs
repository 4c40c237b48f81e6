//! Migrations: the SQL files of `migrations/`, inside the binary, and the table that tells which are applied.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, named_params};

use super::{backup, open};
use crate::clock::{Clock, Timestamp};
use crate::error::{Context, Error, Result};
use crate::text;

#[derive(rust_embed::RustEmbed)]
#[folder = "migrations/"]
struct Files;

struct Migration {
    /// From 1, without gaps.
    version: u32,
    name: String,
    up: String,
    down: String,
}

static KNOWN: LazyLock<Vec<Migration>> = LazyLock::new(known);

/// A migration that this binary knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its number, from 1.
    pub version: u32,
    /// The rest of its directory's name: `users` for `0001_users`.
    pub name: String,
    /// When it was applied to this database; `None` when it is not.
    pub applied_at: Option<Timestamp>,
}

/// How many copies that were made before migrations are kept.
const BACKUPS_KEPT: usize = 3;

/// What a run of migrations did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What was applied or undone, in that order; `applied_at` is as it is now.
    pub steps: Vec<Step>,
    /// The schema that the database has now; 0 is none.
    pub schema: u32,
    /// The backup that was made before the first change of a database that had a schema. The newest three are kept.
    pub backup: Option<PathBuf>,
}

#[derive(Clone, Copy)]
enum Direction {
    Up,
    Down,
}

/// The schema this binary works with.
pub fn latest() -> u32 {
    KNOWN.last().map_or(0, |migration| migration.version)
}

/// Every known migration and whether it is applied. A file that is not there has none, and is not made.
///
/// # Errors
/// A fault with one sentence for a person: the file is no database of ours, damaged, or newer than this binary.
pub fn status(path: &Path) -> Result<Vec<Step>> {
    let applied = match path.exists() {
        true => recognise(path, &open::look(path)?)?,
        false => Vec::new(),
    };
    let step = |(n, migration): (usize, &Migration)| migration.step(applied.get(n).copied());
    Ok(KNOWN.iter().enumerate().map(step).collect())
}

/// Applies what is not applied yet, at most `limit` migrations; it makes the file (mode 0600) when there is none.
///
/// Each is one transaction together with its row, and is decided on inside it: processes that do this at once apply
/// each migration once. Before the first change of a database that has a schema a backup is made next to it,
/// `satchel.db.before-0003-20261121T050639Z`.
///
/// # Errors
/// Those of [`status`]; a fault when a statement fails or a foreign key is broken afterwards: then the database is
/// as it was before that migration.
pub fn up(path: &Path, clock: &Clock, limit: Option<usize>) -> Result<Report> {
    open::create(path)?;
    walk(path, clock, limit.unwrap_or(usize::MAX), Direction::Up)
}

/// Undoes the last `n` applied migrations, the newest first, under the rules of [`up`].
///
/// # Errors
/// Those of [`up`], and a fault when there is no file.
pub fn down(path: &Path, clock: &Clock, n: usize) -> Result<Report> {
    walk(path, clock, n, Direction::Down)
}

/// Refuses a database whose schema is not [`latest`].
pub(super) fn require_current(path: &Path, conn: &Connection) -> Result<()> {
    let (schema, latest) = (version(&recognise(path, conn)?), latest());
    if schema == latest {
        return Ok(());
    }
    Err(Error::fault(format!(
        "the database {} has schema {schema}, this binary needs {latest}: run `satchel migrate up`",
        path.display()
    )))
}

/// The schema of a database that may be older than this binary's, but not newer.
pub(super) fn schema(path: &Path, conn: &Connection) -> Result<u32> {
    Ok(version(&recognise(path, conn)?))
}

fn walk(path: &Path, clock: &Clock, limit: usize, direction: Direction) -> Result<Report> {
    let mut conn = open::writer(path, None, |conn| recognise(path, conn).map(drop))?;
    // A table is rebuilt by dropping the old one, which must not take its children along. What is left is checked instead.
    conn.execute_batch("pragma foreign_keys = off").context("preparing the migrations")?;
    // What SQL cannot say, beside `fold`, which every connection knows.
    open::text_function(&conn, "nfc", text::nfc)?;
    open::text_function(&conn, "lower_case", str::to_lowercase)?;
    let mut report = Report::default();
    loop {
        let tx = conn
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| open::explain(path, error))?;
        let applied = recognise(path, &tx)?;
        report.schema = version(&applied);
        let next = match direction {
            Direction::Up => KNOWN.get(applied.len()),
            Direction::Down => applied.len().checked_sub(1).and_then(|last| KNOWN.get(last)),
        };
        let Some(migration) = next.filter(|_| report.steps.len() < limit) else { break };
        if report.backup.is_none() && report.steps.is_empty() && !applied.is_empty() {
            // It reads the last commit through another connection; this transaction keeps writers away until the change is made.
            let to = backup::beside(path, &format!("before-{:04}", migration.version), clock.now());
            backup::backup(path, &to)?;
            report.backup = Some(to);
        }
        let now = clock.now();
        migration.apply(tx, direction, now).map_err(|error| migration.failed(path, error))?;
        report.steps.push(migration.step(matches!(direction, Direction::Up).then_some(now)));
    }
    if let Some(made) = &report.backup
        && let Err(error) = backup::keep_newest(path, made, BACKUPS_KEPT)
    {
        // What was asked for is done.
        tracing::warn!("older backups are not removed: {error}");
    }
    Ok(report)
}

impl Migration {
    fn apply(&self, tx: Transaction<'_>, direction: Direction, now: Timestamp) -> Result<()> {
        match direction {
            Direction::Up => {
                tx.execute_batch(
                    "create table if not exists schema_migrations (
                       version    integer primary key,
                       name       text    not null,
                       applied_at integer not null
                     ) strict",
                )?;
                tx.execute_batch(&self.up)?;
                tx.prepare_cached("insert into schema_migrations (version, name, applied_at) values (:version, :name, :now)")?
                    .execute(named_params! { ":version": self.version, ":name": self.name, ":now": now })?;
            }
            Direction::Down => {
                tx.execute_batch(&self.down)?;
                tx.prepare_cached("delete from schema_migrations where version = :version")?
                    .execute(named_params! { ":version": self.version })?;
            }
        }
        if let Some(table) = dangling(&tx)? {
            return Err(Error::fault(format!("it leaves rows in {table} that refer to rows that are gone")));
        }
        Ok(tx.commit()?)
    }

    fn failed(&self, path: &Path, error: Error) -> Error {
        let cause = match error {
            Error::Fault(fault) => fault,
            Error::Refusal(refusal) => anyhow::Error::msg(format!("{refusal:?}")),
        };
        let (version, name, path) = (self.version, &self.name, path.display());
        Error::Fault(cause.context(format!(
            "migration {version:04}_{name} failed, the database {path} is as it was before it"
        )))
    }

    fn step(&self, applied_at: Option<Timestamp>) -> Step {
        Step { version: self.version, name: self.name.clone(), applied_at }
    }
}

/// A table with a row that refers to one that is not there.
pub(super) fn dangling(conn: &Connection) -> rusqlite::Result<Option<String>> {
    conn.prepare_cached("pragma foreign_key_check")?.query_row([], |row| row.get(0)).optional()
}

/// The moments at which the migrations 1, 2, … were applied; refuses what this binary cannot have made.
fn recognise(path: &Path, conn: &Connection) -> Result<Vec<Timestamp>> {
    let rows = applied(conn).map_err(|error| open::explain(path, error))?;
    let Some(rows) = rows else {
        return Err(Error::fault(format!(
            "{} is a database of another program: name another file",
            path.display()
        )));
    };
    let (newest, latest) = (rows.last().map_or(0, |row| row.0), latest());
    if newest > latest {
        return Err(Error::fault(format!(
            "the database {} has schema {newest}, this binary knows {latest}: use a newer satchel, or restore a backup",
            path.display()
        )));
    }
    if rows.len() != newest as usize {
        return Err(open::damaged(path, "migrations are missing before the newest"));
    }
    Ok(rows.into_iter().map(|row| row.1).collect())
}

/// The rows of `schema_migrations` in order; `None` when there are other tables and not this one.
fn applied(conn: &Connection) -> rusqlite::Result<Option<Vec<(u32, Timestamp)>>> {
    let (ours, any): (bool, bool) = conn.query_row(
        "select count(*) filter (where name = 'schema_migrations') > 0, count(*) > 0 from sqlite_schema where type = 'table'",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    if !ours {
        return Ok((!any).then(Vec::new));
    }
    let mut statement =
        conn.prepare_cached("select version, applied_at from schema_migrations order by version")?;
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>().map(Some)
}

fn version(applied: &[Timestamp]) -> u32 {
    KNOWN.get(applied.len().wrapping_sub(1)).map_or(0, |migration| migration.version)
}

fn known() -> Vec<Migration> {
    let text = |name: &str| {
        let file = Files::get(name).expect("each migration has up.sql and down.sql");
        String::from_utf8(file.data.into_owned()).expect("a migration is UTF-8")
    };
    let mut known: Vec<_> = Files::iter()
        .filter_map(|file| {
            let dir = file.strip_suffix("/up.sql")?;
            let (number, name) = dir.split_once('_').expect("a migration is named NNNN_name");
            Some(Migration {
                version: number.parse().expect("a migration begins with its number"),
                name: String::from(name),
                up: text(&file),
                down: text(&format!("{dir}/down.sql")),
            })
        })
        .collect();
    known.sort_by_key(|migration| migration.version);
    assert!(known.iter().zip(1..).all(|(migration, n)| migration.version == n), "migrations count from 1");
    known
}
