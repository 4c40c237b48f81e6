//! Reserve: room that is kept free, so that on a full disk what must not fail still can be written.
//!
//! A written file of 4 MiB lies beside the database. At the first sign of a full disk it is given up, and from then on
//! only those writes are done that may use it: they take something away, and must be done. The file is made again
//! when the disk has room for it twice; until then everything else is refused. A limit on the size of the database
//! counts like the disk: what may use the reserve may go beyond it by as much.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;

/// The size of the reserve, in bytes.
const BYTES: usize = 4 * 1024 * 1024;
/// The same in pages of the database.
const PAGES: u32 = 1024;
/// Free pages below a limit from which there is room again.
const PAGES_FREE: u32 = 8;
/// How often is looked whether there is room again.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How many pages the log may have before it is moved into the file, and while the reserve is in use.
const LOG_PAGES: u32 = 4096;
const LOG_PAGES_IN_USE: u32 = 128;

/// The reserve of one database.
#[derive(Debug)]
pub(super) struct Reserve {
    file: PathBuf,
    max_pages: Option<u32>,
    /// Whether it is in use: then there is no room for anything else. Shared with those who ask.
    in_use: Arc<AtomicBool>,
    looked_at: Instant,
}

impl Reserve {
    pub(super) fn new(database: &Path, max_pages: Option<u32>) -> Self {
        Self {
            file: database.with_extension("reserve"),
            max_pages,
            in_use: Arc::default(),
            looked_at: Instant::now(),
        }
    }

    pub(super) fn in_use(&self) -> bool {
        self.in_use.load(Ordering::Relaxed)
    }

    pub(super) fn shared(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.in_use)
    }

    /// Gives the reserve up, and has the log moved into the file, which may free more.
    pub(super) fn give_up(&mut self, conn: &Connection) {
        tracing::error!(
            "the disk is full: what needs room is refused until there is some; what takes away is still done"
        );
        self.in_use.store(true, Ordering::Relaxed);
        self.looked_at = Instant::now();
        let _ = fs::remove_file(&self.file);
        self.limit(conn);
        // Where it cannot be moved now it can after the next commits.
        let moved = conn.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(()));
        if let Err(error) = moved {
            tracing::warn!(%error, "the write-ahead log cannot be moved into the full disk's database");
        }
    }

    /// Makes the reserve, if it is not there and there is room for it. For when nobody waits.
    pub(super) fn keep(&mut self, conn: &Connection) {
        if self.in_use() {
            self.look(conn);
        } else if self.looked_at.elapsed() >= LOOK_EVERY {
            self.looked_at = Instant::now();
            let _ = self.make();
        }
    }

    /// Looks whether there is room again, but not every time.
    pub(super) fn look(&mut self, conn: &Connection) {
        if !self.in_use() {
            return;
        }
        let has_pages = match self.max_pages {
            None => true,
            Some(max) => pages_used(conn).is_ok_and(|used| used + PAGES_FREE <= max),
        };
        if !has_pages || self.max_pages.is_none() && self.looked_at.elapsed() < LOOK_EVERY {
            return;
        }
        self.looked_at = Instant::now();
        if self.make().is_ok() {
            self.in_use.store(false, Ordering::Relaxed);
            self.limit(conn);
            tracing::warn!("there is room on the disk again");
        }
    }

    /// Sets what the database may take, in pages, and how large its log grows.
    fn limit(&self, conn: &Connection) {
        let (extra, log) = if self.in_use() { (PAGES, LOG_PAGES_IN_USE) } else { (0, LOG_PAGES) };
        let max = self.max_pages.map(|max| format!("pragma max_page_count = {};", max.saturating_add(extra)));
        let sql = format!("{}pragma wal_autocheckpoint = {log};", max.unwrap_or_default());
        if let Err(error) = conn.execute_batch(&sql) {
            tracing::error!(%error, "the limit of the database cannot be set");
        }
    }

    fn is_kept(&self) -> bool {
        fs::metadata(&self.file).is_ok_and(|file| file.len() == BYTES as u64)
    }

    /// Writes the file, so that its room is taken. There must be room for it twice: otherwise it would fill the disk.
    fn make(&self) -> io::Result<()> {
        if self.is_kept() {
            return Ok(());
        }
        let directory = self.file.parent().filter(|directory| !directory.as_os_str().is_empty());
        let disk = rustix::fs::statvfs(directory.unwrap_or(Path::new(".")))?;
        if disk.f_bavail.saturating_mul(disk.f_frsize) < 2 * BYTES as u64 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let write = || {
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&self.file)?;
            let piece = [0xa5; 64 * 1024];
            for _ in 0..BYTES / piece.len() {
                file.write_all(&piece)?;
            }
            file.sync_all()
        };
        write().inspect_err(|_| {
            let _ = fs::remove_file(&self.file);
        })
    }
}

fn pages_used(conn: &Connection) -> rusqlite::Result<u32> {
    let sql = "select page_count - freelist_count from pragma_page_count, pragma_freelist_count";
    conn.prepare_cached(sql)?.query_row([], |row| row.get(0))
}
