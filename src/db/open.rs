//! Opening: how a connection is made, with which pragmas, and what is said when it cannot be.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::error::{Error, Result};
use crate::files::tighten;
use crate::text;

/// How long a statement waits for another process.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Statements each connection keeps prepared: more than the whole product has on one side.
const STATEMENTS: usize = 256;

/// A function of a text always says the same to the same, and has no side effects.
const TEXT_FLAGS: FunctionFlags = FunctionFlags::SQLITE_UTF8
    .union(FunctionFlags::SQLITE_DETERMINISTIC)
    .union(FunctionFlags::SQLITE_INNOCUOUS);

/// Up to this many bytes a file is checked whole when it is opened: some milliseconds. Larger ones are checked
/// by `satchel db verify`, and page by page when they are read.
const SMALL: u64 = 1 << 20;

/// The writer's connection; `look` may refuse the file before anything in it is changed, were it only that the log
/// is turned on in a database of another program.
///
/// `synchronous = full` syncs the log at each commit: an answered write is on the disk. `secure_delete` overwrites what is
/// deleted, so that an address somebody had removed is not left readable in a free page, for about a tenth of a write's time.
/// The log is moved into the file at 16 MiB, and cut back to 64 MiB when a long read has let it grow.
pub(super) fn writer(
    path: &Path,
    max_pages: Option<u32>,
    look: impl FnOnce(&Connection) -> Result<()>,
) -> Result<Connection> {
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    look(&conn)?;
    for path in [path, &with_suffix(path, "-wal")] {
        // What belongs to another user is the business of that user.
        tighten(path).ok();
    }
    prepare_writer(&conn, max_pages).map_err(|error| explain(path, error))?;
    Ok(conn)
}

fn prepare_writer(conn: &Connection, max_pages: Option<u32>) -> rusqlite::Result<()> {
    use_log(conn)?;
    conn.execute_batch(
        "pragma synchronous = full;
         pragma foreign_keys = on;
         pragma temp_store = memory;
         pragma secure_delete = on;
         pragma cache_size = -16384;
         pragma wal_autocheckpoint = 4096;
         pragma journal_size_limit = 67108864;",
    )?;
    if let Some(pages) = max_pages {
        conn.execute_batch(&format!("pragma max_page_count = {pages}"))?;
    }
    Ok(())
}

/// A connection that reads, and leaves nothing beside a file that nobody else uses: the last one to close a file removes its
/// log, but only when it might have written. A log that is there already is left as it is.
pub(super) fn look(path: &Path) -> Result<Connection> {
    if with_suffix(path, "-wal").exists() {
        return reader(path);
    }
    // A file that may only be read is opened so; what is wrong with any other, the reader says.
    let Ok(conn) = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE) else { return reader(path) };
    conn.execute_batch("pragma temp_store = memory;").map_err(|error| explain(path, error))?;
    Ok(conn)
}

/// The connection of a file that nobody else knows of, nor needs when this process ends early: it keeps no journal beside it.
pub(super) fn copy(path: &Path) -> Result<Connection> {
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    conn.execute_batch(
        "pragma journal_mode = memory; pragma synchronous = full; pragma secure_delete = on;
         pragma temp_store = memory;",
    )
    .map_err(|error| explain(path, error))?;
    Ok(conn)
}

/// Turns the write-ahead log on. Two processes that do so to a new file at once can be told "busy" without a wait.
fn use_log(conn: &Connection) -> rusqlite::Result<()> {
    let deadline = Instant::now() + BUSY_TIMEOUT;
    loop {
        match conn.query_row("pragma journal_mode = wal", [], |_| Ok(())) {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && Instant::now() < deadline =>
            {
                thread::sleep(Duration::from_millis(10));
            }
            outcome => return outcome,
        }
    }
}

/// A connection that can only read.
///
/// Its cache of 4 MiB holds the inner pages of ten million rows; more did not make point reads quicker. The file is read, not
/// mapped: mapping saves 3 of 10 µs on a point read in a million rows and nothing in ten thousand, but then a page that
/// the disk cannot deliver is a signal that ends the process, where a read is an error; and each connection's mapping counts as memory.
pub(super) fn reader(path: &Path) -> Result<Connection> {
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    conn.execute_batch("pragma temp_store = memory; pragma cache_size = -4096;")
        .map_err(|error| explain(path, error))?;
    Ok(conn)
}

#[expect(clippy::disallowed_methods, reason = "this is the room connections come from")]
fn connect(path: &Path, access: OpenFlags) -> Result<Connection> {
    let connect = || {
        let conn = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        conn.busy_timeout(BUSY_TIMEOUT)?;
        // Plans do not depend on the values that are bound. Otherwise SQLite prepares a statement with a bound
        // limit anew whenever the value changes, which was a fifth of what a page of a list cost.
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        conn.set_prepared_statement_cache_capacity(STATEMENTS);
        // SQLite's own `lower` knows ASCII alone.
        text_function(&conn, "fold", text::key)?;
        // SQLite opens lazily: the first read is what looks at the header and the schema.
        conn.query_row("select count(*) from sqlite_schema", [], |_| Ok(()))?;
        Ok(conn)
    };
    match fs::metadata(path) {
        Ok(file) if file.is_file() => connect().map_err(|error| explain(path, error)),
        Ok(_) => Err(Error::fault(format!("{} is not a file", path.display()))),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(Error::fault(format!(
            "there is no database at {} yet: make it with `satchel migrate up`",
            path.display()
        ))),
        Err(error) => Err(said(error, format!("cannot open the database {}", path.display()))),
    }
}

/// Makes a function of a text known to the connection's statements; of null it is null.
pub(super) fn text_function(
    conn: &Connection,
    name: &str,
    function: impl Fn(&str) -> String + Send + 'static,
) -> rusqlite::Result<()> {
    conn.create_scalar_function(name, 1, TEXT_FLAGS, move |call| {
        Ok(call.get_raw(0).as_str_or_null()?.map(&function))
    })
}

/// Makes an empty file of mode 0600 unless there is one. The log takes its mode from it.
pub(super) fn create(path: &Path) -> Result<()> {
    let failed = |error| said(error, format!("cannot create the database {}", path.display()));
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => sync_dir_of(path).map_err(failed),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

/// The name of a file with something at its end.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// A directory, the working one when its name is empty.
pub(super) fn or_here(dir: &Path) -> &Path {
    if dir.as_os_str().is_empty() { Path::new(".") } else { dir }
}

/// Puts the names in the directory of `path` on the disk: a new name is lost in a power cut otherwise.
pub(super) fn sync_dir_of(path: &Path) -> std::io::Result<()> {
    File::open(or_here(path.parent().unwrap_or(path)))?.sync_all()
}

/// Checks the structure of a file that is small enough to be checked at every opening.
pub(super) fn check_small(path: &Path, conn: &Connection) -> Result<()> {
    if fs::metadata(path).is_ok_and(|file| file.len() > SMALL) {
        return Ok(());
    }
    let found: String = conn
        .query_row("pragma quick_check(1)", [], |row| row.get(0))
        .map_err(|error| explain(path, error))?;
    if found == "ok" { Ok(()) } else { Err(damaged(path, &found)) }
}

/// A fault that says a database is damaged and what to do; `found` is its cause.
pub(super) fn damaged(path: &Path, found: &str) -> Error {
    let found = anyhow::Error::msg(String::from(found));
    Error::Fault(found.context(format!(
        "the database {} is damaged: see how much with `satchel db verify`, bring a backup back with `satchel db restore FILE`",
        path.display()
    )))
}

/// Turns an error of a whole file into a fault with one sentence for a person, the error being its cause.
pub(super) fn explain(path: &Path, error: rusqlite::Error) -> Error {
    let path_shown = path.display();
    let sentence = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt) => return damaged(path, &error.to_string()),
        Some(ErrorCode::NotADatabase) => {
            return Error::fault(format!(
                "{path_shown} is not a database: name another file, or bring a backup back with `satchel db restore FILE`"
            ));
        }
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            format!(
                "cannot open the database {path_shown}: this user may not write the file or its directory"
            )
        }
        Some(ErrorCode::DatabaseBusy) => {
            format!("the database {path_shown} is being written by another process")
        }
        Some(ErrorCode::DiskFull) => format!("the disk that holds {path_shown} is full"),
        _ => format!("the database {path_shown} cannot be used"),
    };
    Error::Fault(anyhow::Error::new(error).context(sentence))
}

/// A fault whose sentence ends in what the operating system said.
pub(super) fn said(error: std::io::Error, sentence: String) -> Error {
    let sentence = format!("{sentence}: {error}");
    Error::Fault(anyhow::Error::new(error).context(sentence))
}
