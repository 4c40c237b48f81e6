//! Storage: one SQLite file, one thread that writes, many connections that read. It knows no noun of the product.

pub mod backup;
mod constraint;
mod lock;
pub mod migrate;
mod open;
mod readers;
mod reserve;
mod rights;
mod writer;

use std::any::Any;
use std::fmt;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::available_parallelism;

use tokio::sync::oneshot;

pub use constraint::{Broken, broken};
pub use lock::DirLock;
pub use rights::{Read, Write};

use crate::budget::{Allotment, Budget};
use crate::clock::Clock;
use crate::error::{Error, Refusal, Result};
use crate::scope::{self, Scope};
use crate::watch::Watch;
use readers::Readers;
use writer::Writer;

/// How a database is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// The database file.
    pub path: PathBuf,
    /// Connections kept for [`Db::read`]: one for each async worker thread; at least 1.
    pub readers: usize,
    /// Threads that run [`Db::scan`]; at least 1.
    pub scan_threads: usize,
    /// How many writes may wait, and as many scans; over it they are refused, and of one client network already over half of
    /// it. At least 1.
    pub queue: usize,
    /// How many writes one commit may hold; at least 1.
    pub group: usize,
    /// The largest the file may grow, in pages of 4096 bytes. `None` leaves it to the disk.
    pub max_pages: Option<u32>,
    /// Watches over the threads.
    pub watch: Watch,
}

impl Options {
    /// The defaults for the file at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let readers = available_parallelism().map_or(1, NonZero::get);
        Self {
            path: path.into(),
            readers,
            scan_threads: 2,
            queue: 1024,
            group: 256,
            max_pages: None,
            watch: Watch::default(),
        }
    }
}

/// What the listener of [`Db::on_change`] is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// A commit of ours is on the disk; these keys were announced by the jobs it kept. Never empty.
    Keys(&'a [i64]),
    /// Another process committed: everything remembered may be stale.
    Foreign,
}

/// What a write may take on a full disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// What is free: the write is refused when nothing is.
    Free,
    /// The reserve as well: for writes that take away, such as those that end a session or delete, and that must be done
    /// whatever happens.
    Reserve,
}

/// A page of so many rows takes some 100 µs, no longer than a request may keep its thread.
const INLINE_ROWS_MAX: i64 = 100;

/// An open database. Clones share it; the last one that goes closes it.
#[derive(Clone)]
pub struct Db(Arc<Inner>);

struct Inner {
    readers: Readers,
    writer: Writer,
    scans_waiting: Budget,
    writes_waiting: Budget,
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Db")
    }
}

impl Db {
    /// Opens a file that [`migrate::up`] has made and brought up to date.
    ///
    /// # Errors
    /// A fault whose outermost message is one sentence for a person: there is no file, it is no database or a
    /// damaged one, its schema is older (it names `satchel migrate up`) or newer than this binary's.
    pub fn open(options: &Options, clock: Clock) -> Result<Self> {
        let look = |conn: &rusqlite::Connection| migrate::require_current(&options.path, conn);
        let conn = open::writer(&options.path, options.max_pages, look)?;
        open::check_small(&options.path, &conn)?;
        let readers = Readers::open(options)?;
        let writer = Writer::start(conn, clock, options)?;
        let (scans_waiting, writes_waiting) =
            (Budget::new(options.queue.max(1)), Budget::new(options.queue.max(1)));
        Ok(Self(Arc::new(Inner { readers, writer, scans_waiting, writes_waiting })))
    }

    /// Reads inline, on the calling thread: for point reads and short pages. One closure is one snapshot.
    ///
    /// # Errors
    /// What the closure returns; `Refusal::Busy` after [`Db::close`].
    pub fn read<T>(&self, f: impl FnOnce(&Read<'_>) -> Result<T>) -> Result<T> {
        self.0.readers.read(f)
    }

    /// Reads on a reader thread: for anything that can scan. One closure is one snapshot. It is skipped when
    /// nobody waits for it any more.
    ///
    /// # Errors
    /// What the closure returns; a fault when it panics; `Refusal::Busy` when too many wait, and after [`Db::close`].
    pub async fn scan<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Read<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let place = place(&self.0.scans_waiting, scope::current().as_ref())?;
        self.0
            .readers
            .scan(move |db| {
                let _held = place;
                f(db)
            })
            .await
    }

    /// Reads a page of at most `rows` rows: a short one inline, which is quicker than the hand-over to a reader
    /// thread, a long one there.
    ///
    /// # Errors
    /// Those of [`Db::read`] and [`Db::scan`].
    pub async fn page<T: Send + 'static>(
        &self,
        rows: i64,
        f: impl FnOnce(&Read<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        if rows <= INLINE_ROWS_MAX { self.read(f) } else { self.scan(f).await }
    }

    /// Writes, on the writer thread. It answers after the commit that holds the job is on the disk; the job is
    /// done, too, when nobody waits for it any more. It may be undone and done again, when another that shares its
    /// transaction fails: what it does besides writing belongs into [`Write::after_commit`].
    ///
    /// # Errors
    /// What the closure returns: then nothing of it stays. A fault when it panics or the commit fails,
    /// `Refusal::StorageFull` when the disk is full, `Refusal::Busy` when too many wait, another process holds
    /// the database for longer than five seconds, or after [`Db::close`].
    pub async fn write<T: Send + 'static>(
        &self,
        f: impl Fn(&Write<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.write_in(Room::Free, f).await
    }

    /// The same for a write that may use this room on a full disk.
    ///
    /// # Errors
    /// Those of [`Db::write`]; with [`Room::Reserve`], `Refusal::StorageFull` only when the reserve is used up as well.
    pub async fn write_in<T: Send + 'static>(
        &self,
        room: Room,
        f: impl Fn(&Write<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (sender, answer) = oneshot::channel();
        let scope = scope::current();
        let place = place(&self.0.writes_waiting, scope.as_ref())?;
        let f = move |db: &Write<'_>| {
            let _held = &place;
            scope::within(scope.as_ref(), || f(db))
        };
        self.0.writer.offer(room, f, move |outcome| sender.send(outcome).err())?;
        answer.await.unwrap_or_else(|_| Err(writer::ended()))
    }

    /// Whether the disk is full, so that only what may use the reserve is written.
    pub fn is_full(&self) -> bool {
        self.0.writer.is_full()
    }

    /// [`Db::write_in`] with [`Room::Reserve`] for callers without a runtime: the operator's writes. It waits for room
    /// in the queue; a job must not call it.
    ///
    /// # Errors
    /// Those of [`Db::write`], except that a full queue is waited for.
    pub fn write_blocking<T: Send + 'static>(
        &self,
        f: impl Fn(&Write<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (sender, answer) = sync_channel(1);
        self.0
            .writer
            .push(Room::Reserve, f, move |outcome| sender.send(outcome).err().map(|unsent| unsent.0))?;
        answer.recv().unwrap_or_else(|_| Err(writer::ended()))
    }

    /// Has the write-ahead log moved into the file and cut to nothing, once nobody writes: what was overwritten or
    /// deleted stands in it until then.
    pub fn cut_log(&self) {
        self.0.writer.cut_log();
    }

    /// Sees whether the file can be opened and read, in some 100 µs.
    ///
    /// # Errors
    /// A fault when it cannot; `Refusal::Busy` after [`Db::close`].
    pub fn ping(&self) -> Result<()> {
        self.0.readers.ping()
    }

    /// Sets the one listener of changes. It is called on the writer thread, after a commit and before its
    /// answers, so it must be quick and must not wait for a write.
    pub fn on_change(&self, listener: impl Fn(Change<'_>) + Send + Sync + 'static) {
        self.0.writer.listen(Box::new(listener));
    }

    /// Finishes what is queued, moves the write-ahead log into the file and closes. Whatever comes later is
    /// refused as `Refusal::Busy`. Closing twice is no error.
    ///
    /// # Errors
    /// A fault when the log could not be moved; nothing is lost then, the next opening reads it.
    pub fn close(&self) -> Result<()> {
        self.0.close()
    }
}

impl Inner {
    /// The readers go first, and only then may the writer: the last connection to close is the one that may remove the log,
    /// and those that only read cannot.
    fn close(&self) -> Result<()> {
        self.readers.close();
        self.writer.close()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "the database was not closed cleanly");
        }
    }
}

/// Reads one snapshot of the database at `path`, which a server may be using, and leaves nothing beside it: for whoever only
/// looks.
///
/// # Errors
/// Those of [`Db::open`], and what the closure returns.
pub fn look<T>(path: &Path, f: impl FnOnce(&Read<'_>) -> Result<T>) -> Result<T> {
    let conn = open::look(path)?;
    migrate::require_current(path, &conn)?;
    readers::snapshot(&conn, f)
}

/// A place in a queue for a client's request. What is done for no client, such as the operator's writes, needs none.
fn place(queue: &Budget, scope: Option<&Scope>) -> Result<Option<Allotment>> {
    let place = scope.map(|scope| queue.take(scope.network(), 1).ok_or(Refusal::BUSY));
    Ok(place.transpose()?)
}

/// Runs a closure of the domain; its panic becomes a fault.
fn caught<T>(f: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(f))
        .unwrap_or_else(|panic| Err(Error::fault(format!("a database closure panicked: {}", words(&*panic)))))
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without words")
}
