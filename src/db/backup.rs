//! Backups: taking one while a server writes, looking whether a file is whole, and bringing one back.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process;

use rusqlite::{Connection, TransactionBehavior};

use super::{Write, migrate, open};
use crate::clock::{Clock, Timestamp};
use crate::error::{Error, Result};

/// What follows the database's name in that of a copy that does not have its place yet; then comes the process.
const UNFINISHED: &str = ".restored-";

/// What [`verify`] found in a file that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The schema it has; 0 is none.
    pub schema: u32,
    /// Its size in bytes, as of the last commit.
    pub bytes: u64,
    /// Each table and how many rows it has, by name.
    pub tables: Vec<(String, u64)>,
}

/// Copies the database at `path`, as of its last commit, to the new file `to` (mode 0600).
///
/// A server may go on reading and writing meanwhile. `to` appears when it is complete and on the disk, not before; what was
/// deleted from the database is not in it.
///
/// # Errors
/// A fault with one sentence for a person: `to` exists, cannot be written, or the database cannot be read.
pub fn backup(path: &Path, to: &Path) -> Result<()> {
    if to.symlink_metadata().is_ok() {
        return Err(Error::fault(format!("{} is there already: name a new file", to.display())));
    }
    let conn = open::look(path)?;
    let partial = open::with_suffix(to, &format!(".partial-{}", process::id()));
    let outcome = copy_whole(&conn, path, &partial)
        .and_then(|()| place(&partial, to).map_err(|error| cannot_write(to, error)));
    if outcome.is_err() {
        remove(&partial).ok();
    }
    outcome
}

/// Checks every page, index and foreign key of a database, which may be in use, and counts its rows.
///
/// # Errors
/// A fault with one sentence for a person: the file is no database of ours, newer than this binary, or damaged; its causes tell where.
pub fn verify(path: &Path) -> Result<Verified> {
    let conn = open::look(path)?;
    let schema = migrate::schema(path, &conn)?;
    let (found, tables, bytes) = inspect(&conn).map_err(|error| open::explain(path, error))?;
    match found {
        Some(found) => Err(open::damaged(path, &found)),
        None => Ok(Verified { schema, bytes, tables }),
    }
}

/// What [`restore`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The schema of the copy; this binary's or an older one.
    pub schema: u32,
    /// Where the former file is kept, `satchel.db.before-restore-20261121T050639Z`; `None` when there was none.
    pub kept: Option<PathBuf>,
}

/// Puts a copy of `from` in the place of the database at `path`, after `amend` has changed the copy. Its schema may be
/// an older one. No server may be running.
///
/// At each instant a whole database is at `path`: the former, or the restored as `amend` left it.
///
/// # Errors
/// Those of [`verify`] for `from`, and of `amend`; a fault when a file cannot be written, or another program uses the
/// database.
pub fn restore(
    from: &Path,
    path: &Path,
    clock: &Clock,
    amend: impl FnOnce(&Write<'_>) -> Result<()>,
) -> Result<Restored> {
    if let (Ok(from), Ok(to)) = (from.canonicalize(), path.canonicalize())
        && from == to
    {
        return Err(Error::fault(format!("{} cannot be restored from itself", path.display())));
    }
    let schema = verify(from)?.schema;
    remove_unfinished(path, from).map_err(|error| cannot_write(path, error))?;
    let fresh = open::with_suffix(path, &format!("{UNFINISHED}{}", process::id()));
    let kept = backup(from, &fresh)
        .and_then(|()| change(&fresh, clock.now(), amend))
        .and_then(|()| keep(path, clock.now()))
        .and_then(|kept| place(&fresh, path).map(|()| kept).map_err(|error| cannot_write(path, error)));
    if kept.is_err() {
        remove(&fresh).ok();
    }
    Ok(Restored { schema, kept: kept? })
}

/// Removes the database at `path` with its log and tells whether there was one. No server may be running.
///
/// # Errors
/// A fault when a file cannot be removed.
pub fn drop(path: &Path) -> Result<bool> {
    let removed = || {
        for suffix in ["-wal", "-shm"] {
            remove(&open::with_suffix(path, suffix))?;
        }
        let was_there = remove(path)?;
        open::sync_dir_of(path)?;
        Ok(was_there)
    };
    removed().map_err(|error| open::said(error, format!("cannot remove {}", path.display())))
}

/// A free name next to `path`: its own, what it is for, and the second in UTC.
pub(super) fn beside(path: &Path, what: &str, now: Timestamp) -> PathBuf {
    let second: String = now.utc().chars().take(19).filter(|c| !matches!(c, '-' | ':')).collect();
    let first = open::with_suffix(path, &format!(".{what}-{second}Z"));
    let others = (2..).map(|n| open::with_suffix(path, &format!(".{what}-{second}Z-{n}")));
    std::iter::once(first).chain(others).find(|name| !name.exists()).expect("numbers do not end")
}

/// A copy that was made before a migration, by its name: first the second and the number that [`beside`] gave it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Before<'a> {
    second: &'a str,
    number: u32,
    version: &'a str,
}

impl<'a> Before<'a> {
    /// Reads what follows the database's name: `.before-0003-20261121T050639Z-2`.
    fn parse(suffix: &'a str) -> Option<Self> {
        let (version, rest) = suffix.strip_prefix(".before-")?.split_once('-')?;
        let (second, number) = rest.split_once('-').unwrap_or((rest, "1"));
        let is_version = version.len() == 4 && version.bytes().all(|byte| byte.is_ascii_digit());
        let is_second = second.len() == 16 && second.ends_with('Z');
        (is_version && is_second).then_some(Self { second, number: number.parse().ok()?, version })
    }
}

/// Removes the copies that were made before migrations but for the newest `count`, `made` among them, and what is left of
/// any that was not finished. Copies before a restore or a drop are the operator's.
pub(super) fn keep_newest(path: &Path, made: &Path, count: usize) -> Result<()> {
    let (Some(name), Some(dir)) = (path.file_name().and_then(OsStr::to_str), path.parent()) else {
        return Ok(());
    };
    let list = || -> io::Result<Vec<String>> {
        let names = fs::read_dir(open::or_here(dir))?.map(|entry| Ok(entry?.file_name().into_string().ok()));
        names.filter_map(io::Result::transpose).collect()
    };
    let names = list().map_err(|error| open::said(error, format!("cannot list {}", dir.display())))?;
    let suffixes = names.iter().filter_map(|file| Some((file, file.strip_prefix(name)?)));
    let mut copies: Vec<_> = suffixes
        .filter_map(|(file, suffix)| {
            let whole = suffix.split_once(".partial-").map_or(suffix, |(whole, _)| whole);
            // Unfinished ones are the first to go; the one just made is the last, whatever the clock said before.
            Some((whole == suffix, dir.join(file) == made, Before::parse(whole)?, dir.join(file)))
        })
        .collect();
    copies.sort_unstable();
    let whole = copies.iter().filter(|(is_whole, ..)| *is_whole).count();
    for (.., file) in &copies[..copies.len() - whole.min(count)] {
        remove(file).map_err(|error| open::said(error, format!("cannot remove {}", file.display())))?;
    }
    Ok(())
}

/// `vacuum into` copies one snapshot, leaves out free pages, and stumbles over damage that a copy of bytes would hand on.
fn copy_whole(conn: &Connection, path: &Path, to: &Path) -> Result<()> {
    let Some(name) = to.to_str() else {
        return Err(Error::fault(format!("the name {} is not UTF-8", to.display())));
    };
    remove(to).map_err(|error| cannot_write(to, error))?;
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)
        .map_err(|error| cannot_write(to, error))?;
    conn.prepare_cached("vacuum into ?1")
        .and_then(|mut statement| statement.execute([name]))
        .map_err(|error| open::explain(path, error))?;
    file.sync_all().map_err(|error| cannot_write(to, error))
}

/// What is wrong, if anything is; the tables; the size in bytes.
type Findings = (Option<String>, Vec<(String, u64)>, u64);

/// It reads in one snapshot.
fn inspect(conn: &Connection) -> rusqlite::Result<Findings> {
    let tx = conn.unchecked_transaction()?;
    let mut check = tx.prepare("pragma integrity_check(20)")?;
    let mut found: Vec<String> =
        check.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
    found.retain(|line| line != "ok");
    if let Some(table) = migrate::dangling(&tx)? {
        found.push(format!("rows in {table} refer to rows that are gone"));
    }
    let mut names = tx.prepare(
        "select name from sqlite_schema where type = 'table' and name not like 'sqlite^_%' escape '^' order by name",
    )?;
    let names = names.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
    let mut tables = Vec::with_capacity(names.len());
    for name in names {
        let quoted = name.replace('"', "\"\"");
        let rows =
            tx.query_row(&format!("select count(*) from \"{quoted}\""), [], |row| row.get::<_, i64>(0))?;
        tables.push((name, rows.unsigned_abs()));
    }
    let bytes: i64 =
        tx.query_row("select page_count * page_size from pragma_page_count, pragma_page_size", [], |row| {
            row.get(0)
        })?;
    Ok(((!found.is_empty()).then(|| found.join("; ")), tables, bytes.unsigned_abs()))
}

/// Changes a copy that nobody else knows of, in one transaction that is on the disk afterwards, without a log beside it.
fn change(path: &Path, now: Timestamp, amend: impl FnOnce(&Write<'_>) -> Result<()>) -> Result<()> {
    let mut conn = open::copy(path)?;
    let tx = conn
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(|error| open::explain(path, error))?;
    amend(&Write::new(&tx, now, &RefCell::default()))?;
    tx.commit().map_err(|error| open::explain(path, error))?;
    conn.close().map_err(|(_, error)| open::explain(path, error))?;
    File::open(path).and_then(|file| file.sync_all()).map_err(|error| cannot_write(path, error))
}

/// Removes what restores that were killed have left next to `path`; not `from`, which may be one of them.
fn remove_unfinished(path: &Path, from: &Path) -> io::Result<()> {
    let (Some(name), Some(dir)) = (path.file_name().and_then(OsStr::to_str), path.parent()) else {
        return Ok(());
    };
    let unfinished = format!("{name}{UNFINISHED}");
    let from = from.canonicalize()?;
    for entry in fs::read_dir(open::or_here(dir))? {
        let entry = entry?;
        let is_one = entry.file_name().to_str().is_some_and(|name| name.starts_with(&unfinished));
        if is_one && entry.path().canonicalize().is_ok_and(|path| path != from) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Gives the file at `path` a second name, with what is in its log, and leaves no log behind for the next file to take for its own.
fn keep(path: &Path, now: Timestamp) -> Result<Option<PathBuf>> {
    if !path.exists() {
        return Ok(None);
    }
    // Opening and closing moves the log into the file. A damaged one may not let itself be opened: then its log is kept, too.
    if let Ok(conn) = open::writer(path, None, |_| Ok(())) {
        let busy = conn.query_row("pragma wal_checkpoint(truncate)", [], |row| row.get::<_, bool>(0));
        conn.close().ok();
        if busy.is_ok_and(|busy| busy) {
            return Err(Error::fault(format!("another program uses the database {}", path.display())));
        }
    }
    keep_file(path, now).map_err(|error| cannot_write(path, error))
}

fn keep_file(path: &Path, now: Timestamp) -> io::Result<Option<PathBuf>> {
    let kept = beside(path, "before-restore", now);
    let log = open::with_suffix(path, "-wal");
    if fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
        let kept_log = open::with_suffix(&kept, "-wal");
        fs::copy(&log, &kept_log)?;
        File::open(&kept_log)?.sync_all()?;
    }
    if fs::hard_link(path, &kept).is_err() {
        // Some file systems have no second names.
        fs::copy(path, &kept)?;
        File::open(&kept)?.sync_all()?;
    }
    open::sync_dir_of(path)?;
    remove(&log)?;
    remove(&open::with_suffix(path, "-shm"))?;
    Ok(Some(kept))
}

fn place(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    open::sync_dir_of(to)
}

fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn cannot_write(path: &Path, error: io::Error) -> Error {
    open::said(error, format!("cannot write {}", path.display()))
}
