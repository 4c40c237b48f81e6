//! The writer: one thread that gives many waiting jobs one commit, and answers each when that is on the disk.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::Connection;

use super::reserve::Reserve;
use super::rights::Effects;
use super::{Change, Options, Room, Write, caught, open};
use crate::clock::Clock;
use crate::error::{Context, Error, Refusal, Result};
use crate::scope;

/// How long, with nothing to write, until the writer looks whether another process committed.
const LOOK_ABROAD: Duration = Duration::from_millis(100);

type Listener = Box<dyn Fn(Change<'_>) + Send + Sync>;
type Listening = Arc<RwLock<Option<Listener>>>;

/// The queue to the writer thread.
pub(super) struct Writer {
    /// `None` once closed. The thread drains the queue and ends when the last sender is gone.
    queue: RwLock<Option<SyncSender<Box<dyn Job>>>>,
    thread: Mutex<Option<JoinHandle<Result<()>>>>,
    listening: Listening,
    must_cut_log: Arc<AtomicBool>,
    is_full: Arc<AtomicBool>,
}

impl Writer {
    pub(super) fn start(conn: Connection, clock: Clock, options: &Options) -> Result<Self> {
        let (queue, waiting) = sync_channel(options.queue.max(1));
        let listening = Listening::default();
        let must_cut_log = Arc::new(AtomicBool::new(false));
        let reserve = Reserve::new(&options.path, options.max_pages);
        let is_full = reserve.shared();
        let seen = data_version(&conn)?;
        let desk = Desk {
            conn,
            clock,
            waiting,
            group: options.group.max(1),
            listening: Arc::clone(&listening),
            must_cut_log: Arc::clone(&must_cut_log),
            reserve,
            seen,
            effects: RefCell::default(),
        };
        let watched = options.watch.over("the thread that writes to the database");
        let thread = thread::Builder::new()
            .name(String::from("db-writer"))
            .spawn(move || {
                let _watched = watched;
                desk.serve()
            })
            .map_err(|error| open::said(error, String::from("cannot start the writer thread")))?;
        Ok(Self {
            queue: RwLock::new(Some(queue)),
            thread: Mutex::new(Some(thread)),
            listening,
            must_cut_log,
            is_full,
        })
    }

    /// Queues a job, or refuses when the queue is full. `send` gives an answer back that nobody takes.
    pub(super) fn offer<T, F, A>(&self, room: Room, f: F, send: A) -> Result<()>
    where
        T: Send + 'static,
        F: Fn(&Write<'_>) -> Result<T> + Send + 'static,
        A: FnOnce(Result<T>) -> Option<Result<T>> + Send + 'static,
    {
        let job = Box::new(Waiting { room, f, outcome: None, send });
        let queue = self.queue.read().unwrap_or_else(PoisonError::into_inner);
        let Some(queue) = queue.as_ref() else { return Err(Refusal::BUSY.into()) };
        queue.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => Refusal::BUSY.into(),
            TrySendError::Disconnected(_) => ended(),
        })
    }

    /// Queues a job and waits for room.
    pub(super) fn push<T, F, A>(&self, room: Room, f: F, send: A) -> Result<()>
    where
        T: Send + 'static,
        F: Fn(&Write<'_>) -> Result<T> + Send + 'static,
        A: FnOnce(Result<T>) -> Option<Result<T>> + Send + 'static,
    {
        let queue = self.queue.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(queue) = queue else { return Err(Refusal::BUSY.into()) };
        queue.send(Box::new(Waiting { room, f, outcome: None, send })).map_err(|_| ended())
    }

    pub(super) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    pub(super) fn cut_log(&self) {
        self.must_cut_log.store(true, Ordering::SeqCst);
    }

    pub(super) fn listen(&self, listener: Listener) {
        *self.listening.write().unwrap_or_else(PoisonError::into_inner) = Some(listener);
    }

    /// Takes no more jobs and waits until the queue is drained and the file closed.
    pub(super) fn close(&self) -> Result<()> {
        self.queue.write().unwrap_or_else(PoisonError::into_inner).take();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        match thread {
            // The last `Db` may go on the writer thread, inside a job: a thread cannot wait for itself.
            Some(thread) if thread.thread().id() != thread::current().id() => {
                thread.join().unwrap_or_else(|_| Err(ended()))
            }
            _ => Ok(()),
        }
    }
}

/// The fault of a job that the writer did not live to answer.
pub(super) fn ended() -> Error {
    Error::fault("the writer thread has ended")
}

/// A job in the queue, whatever it answers.
trait Job: Send {
    /// What it may take on a full disk.
    fn room(&self) -> Room;

    /// Refuses it, undone.
    fn refuse(&mut self, refusal: Refusal);

    /// Does it, again if it was done before and undone, and tells why it must be undone, if it must.
    fn run(&mut self, write: &Write<'_>) -> Option<Error>;

    /// Answers it: what it returned, or why its commit was lost.
    fn answer(self: Box<Self>, lost: Option<&Error>);
}

struct Waiting<T, F, A> {
    room: Room,
    f: F,
    outcome: Option<Result<T>>,
    send: A,
}

impl<T, F, A> Job for Waiting<T, F, A>
where
    T: Send,
    F: Fn(&Write<'_>) -> Result<T> + Send,
    A: FnOnce(Result<T>) -> Option<Result<T>> + Send,
{
    fn room(&self) -> Room {
        self.room
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.outcome = Some(Err(refusal.into()));
    }

    fn run(&mut self, write: &Write<'_>) -> Option<Error> {
        let outcome = caught(|| (self.f)(write));
        let failure = outcome.as_ref().err().map(again);
        self.outcome = Some(outcome);
        failure
    }

    fn answer(self: Box<Self>, lost: Option<&Error>) {
        let answer = match (lost, self.outcome) {
            (Some(lost), _) => Err(again(lost)),
            (None, Some(outcome)) => outcome,
            (None, None) => Err(Error::fault("the job was not run")),
        };
        if let Some(Err(Error::Fault(fault))) = (self.send)(answer) {
            tracing::error!(error = format!("{fault:#}"), "a write failed after its caller had gone");
        }
    }
}

/// The same error for another of those who share it.
fn again(error: &Error) -> Error {
    match error {
        Error::Refusal(refusal) => Error::Refusal(refusal.clone()),
        Error::Fault(fault) => Error::fault(format!("{fault:#}")),
    }
}

/// What the writer thread works with.
struct Desk {
    conn: Connection,
    clock: Clock,
    waiting: Receiver<Box<dyn Job>>,
    group: usize,
    listening: Listening,
    must_cut_log: Arc<AtomicBool>,
    reserve: Reserve,
    /// The `data_version` that was seen last; only commits of others move it.
    seen: i64,
    /// What jobs of the running group want done after its commit.
    effects: RefCell<Effects>,
}

impl Desk {
    fn serve(mut self) -> Result<()> {
        loop {
            match self.waiting.recv_timeout(LOOK_ABROAD) {
                Ok(first) => self.commit_group(first),
                Err(RecvTimeoutError::Timeout) => {
                    if let Err(error) = self.look_abroad() {
                        tracing::error!(%error, "the writer cannot see what others committed");
                    }
                    if self.must_cut_log.load(Ordering::SeqCst) {
                        self.try_to_cut_log();
                    }
                    self.reserve.keep(&self.conn);
                }
                Err(RecvTimeoutError::Disconnected) => return self.finish(),
            }
        }
    }

    /// Runs `first` and whatever waits or comes meanwhile, commits once, and answers them all.
    fn commit_group(&mut self, first: Box<dyn Job>) {
        self.reserve.look(&self.conn);
        let mut jobs = Vec::new();
        let mut outcome = self.run_group(first, &mut jobs);
        if matches!(outcome, Err(Error::Refusal(Refusal::StorageFull))) && !self.reserve.in_use() {
            self.undo();
            self.reserve.give_up(&self.conn);
            outcome = self.start_over(&mut jobs).and_then(|()| self.commit());
        }
        let Effects { announced, after } = std::mem::take(self.effects.get_mut());
        match &outcome {
            Ok(()) => {
                if !announced.is_empty() {
                    self.tell(Change::Keys(&announced));
                }
                for (scope, f) in after {
                    scope::within(scope.as_ref(), f);
                }
            }
            Err(error) => {
                tracing::error!(%error, jobs = jobs.len(), "a commit failed, and every write in it");
                self.undo();
            }
        }
        for job in jobs {
            job.answer(outcome.as_ref().err());
        }
    }

    /// An error means that nothing of the group is kept. `jobs` are those to answer.
    ///
    /// Jobs that fail have rarely changed anything by then, and a savepoint copies each page that its job changes:
    /// a third of what an insert costs. So none has one until a job must be undone; then all that were done are
    /// undone and done again, and they and those that come later have one.
    fn run_group(&mut self, first: Box<dyn Job>, jobs: &mut Vec<Box<dyn Job>>) -> Result<()> {
        if let Err(error) = self.begin() {
            jobs.push(first);
            // Whoever waits has waited as long as `first`; the next attempt would keep them as long again.
            jobs.extend(self.waiting.try_iter().take(self.group - 1));
            return Err(error).context("beginning a transaction");
        }
        let mut apart = false;
        let mut next = Some(first);
        while let Some(job) = next {
            jobs.push(job);
            let job = jobs.last_mut().expect("one was pushed");
            if apart {
                self.run_apart(&mut **job)?;
            } else if !self.run(&mut **job)? {
                apart = true;
                self.start_over(jobs)?;
            }
            next = if jobs.len() < self.group { self.waiting.try_recv().ok() } else { None };
        }
        self.commit()
    }

    fn commit(&self) -> Result<()> {
        self.step("commit").context("committing")?;
        Ok(())
    }

    /// Undoes all jobs of the transaction and does each again in a savepoint of its own.
    fn start_over(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<()> {
        *self.effects.get_mut() = Effects::default();
        self.undo();
        self.begin().context("beginning a transaction again")?;
        jobs.iter_mut().try_for_each(|job| self.run_apart(&mut **job))
    }

    /// With the transaction begun nobody else can commit, so this is the time to look whether somebody has.
    fn begin(&mut self) -> rusqlite::Result<()> {
        self.step("begin immediate")?;
        self.look_abroad()
    }

    /// Runs one job; whether it left nothing that must be undone. An error means that the whole transaction is lost.
    fn run(&self, job: &mut dyn Job) -> Result<bool> {
        if self.reserve.in_use() && job.room() == Room::Free {
            job.refuse(Refusal::StorageFull);
            return Ok(true);
        }
        let kept = {
            let effects = self.effects.borrow();
            (effects.announced.len(), effects.after.len())
        };
        // Counts what statements changed that were not undone, with what triggers and foreign keys did.
        let changes = self.conn.total_changes();
        let failure = job.run(&Write::new(&self.conn, self.clock.now(), &self.effects));
        if self.conn.is_autocommit() {
            let lost = || Error::fault("a job ended the transaction that it shares with others");
            return Err(failure.unwrap_or_else(lost));
        }
        match failure {
            None => return Ok(true),
            // The first sign of a full disk: the reserve is given up, and all of this is done again.
            Some(full @ Error::Refusal(Refusal::StorageFull)) if !self.reserve.in_use() => return Err(full),
            Some(_) => {}
        }
        let mut effects = self.effects.borrow_mut();
        effects.announced.truncate(kept.0);
        effects.after.truncate(kept.1);
        Ok(self.conn.total_changes() == changes)
    }

    /// The same in a savepoint, so that nothing stays of a job that fails.
    fn run_apart(&self, job: &mut dyn Job) -> Result<()> {
        self.step("savepoint job")?;
        if !self.run(job)? {
            self.step("rollback to job")?;
        }
        self.step("release job")?;
        Ok(())
    }

    /// Tells the listener when another process has committed since the last look.
    fn look_abroad(&mut self) -> rusqlite::Result<()> {
        let version = data_version(&self.conn)?;
        if version != self.seen {
            self.seen = version;
            self.tell(Change::Foreign);
        }
        Ok(())
    }

    /// Cuts the log unless somebody reads from it, who is not waited for: it is tried again when the queue is empty.
    fn try_to_cut_log(&self) {
        self.must_cut_log.store(false, Ordering::SeqCst);
        let cut = || {
            self.conn.busy_timeout(Duration::ZERO)?;
            let is_busy =
                self.conn.query_row("pragma wal_checkpoint(truncate)", [], |row| row.get::<_, bool>(0));
            // Whatever came of it: writes wait for other processes again.
            self.conn.busy_timeout(open::BUSY_TIMEOUT)?;
            Ok::<_, rusqlite::Error>(!is_busy?)
        };
        match cut() {
            Ok(true) => {}
            Ok(false) => self.must_cut_log.store(true, Ordering::SeqCst),
            Err(error) => tracing::error!(%error, "the write-ahead log cannot be cut"),
        }
    }

    fn tell(&self, change: Change<'_>) {
        let listening = self.listening.read().unwrap_or_else(PoisonError::into_inner);
        let Some(listener) = listening.as_ref() else { return };
        if catch_unwind(AssertUnwindSafe(|| listener(change))).is_err() {
            tracing::error!("the listener of changes panicked: what is remembered may be stale");
        }
    }

    /// Leaves a transaction, if SQLite has not.
    fn undo(&self) {
        if !self.conn.is_autocommit()
            && let Err(error) = self.conn.execute_batch("rollback")
        {
            tracing::error!(%error, "a failed transaction could not be rolled back");
        }
    }

    fn step(&self, sql: &str) -> rusqlite::Result<usize> {
        self.conn.prepare_cached(sql)?.execute([])
    }

    /// Moves the log into the file and closes. Somebody who reads meanwhile only keeps the log from being cut.
    fn finish(self) -> Result<()> {
        self.listening.write().unwrap_or_else(PoisonError::into_inner).take();
        self.conn
            .query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(()))
            .context("moving the write-ahead log into the database")?;
        self.conn.close().map_err(|(_, error)| error).context("closing the database")
    }
}

fn data_version(conn: &Connection) -> rusqlite::Result<i64> {
    conn.prepare_cached("pragma data_version")?.query_row([], |row| row.get(0))
}
