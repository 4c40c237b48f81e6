//! Readers: connections that are lent to the calling thread, and threads for reads that may take long.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{Options, Read, caught, open};
use crate::error::{Error, Refusal, Result};
use crate::watch::Watched;

type Scan = Box<dyn FnOnce(&Connection) + Send>;

/// Every connection that reads.
pub(super) struct Readers {
    path: PathBuf,
    keep: usize,
    /// Connections nobody uses; `None` once closed.
    idle: Mutex<Option<Vec<Connection>>>,
    scans: RwLock<Option<SyncSender<Scan>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Readers {
    pub(super) fn open(options: &Options) -> Result<Self> {
        let keep = options.readers.max(1);
        let idle = (0..keep).map(|_| open::reader(&options.path)).collect::<Result<Vec<_>>>()?;
        let (scans, waiting) = sync_channel(options.queue.max(1));
        let waiting = Arc::new(Mutex::new(waiting));
        let threads = (0..options.scan_threads.max(1))
            .map(|n| {
                let watched = options.watch.over("a thread that reads the database");
                start(n, open::reader(&options.path)?, Arc::clone(&waiting), watched)
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            path: options.path.clone(),
            keep,
            idle: Mutex::new(Some(idle)),
            scans: RwLock::new(Some(scans)),
            threads: Mutex::new(threads),
        })
    }

    /// A connection whose closure panics is not given back: unwinding closes it.
    pub(super) fn read<T>(&self, f: impl FnOnce(&Read<'_>) -> Result<T>) -> Result<T> {
        let conn = self.take()?;
        let outcome = snapshot(&conn, f);
        self.give_back(conn);
        outcome
    }

    /// Opens the file anew and reads its schema: a connection that is open already would not see that it is gone.
    pub(super) fn ping(&self) -> Result<()> {
        if self.idle.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
            return Err(Refusal::BUSY.into());
        }
        open::reader(&self.path).map(drop)
    }

    pub(super) async fn scan<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Read<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (sender, answer) = oneshot::channel();
        self.offer(Box::new(move |conn| {
            if sender.is_closed() {
                return;
            }
            if let Err(Err(Error::Fault(fault))) = sender.send(caught(|| snapshot(conn, f))) {
                tracing::error!(error = format!("{fault:#}"), "a read failed after its caller had gone");
            }
        }))?;
        answer.await.unwrap_or_else(|_| Err(Error::fault("the reader thread has ended")))
    }

    /// Lets running scans end and closes every connection that nobody uses; the others close when they come back.
    pub(super) fn close(&self) {
        self.scans.write().unwrap_or_else(PoisonError::into_inner).take();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // The last `Db` may go on a reader thread, inside a closure: a thread cannot wait for itself.
            if thread.thread().id() != thread::current().id() && thread.join().is_err() {
                tracing::error!("a reader thread had panicked");
            }
        }
    }

    fn take(&self) -> Result<Connection> {
        match self.idle.lock().unwrap_or_else(PoisonError::into_inner).as_mut().map(Vec::pop) {
            Some(Some(conn)) => return Ok(conn),
            Some(None) => {}
            None => return Err(Refusal::BUSY.into()),
        }
        open::reader(&self.path)
    }

    fn give_back(&self, conn: Connection) {
        if !conn.is_autocommit() {
            return;
        }
        if let Some(idle) = self.idle.lock().unwrap_or_else(PoisonError::into_inner).as_mut()
            && idle.len() < self.keep
        {
            idle.push(conn);
        }
    }

    fn offer(&self, scan: Scan) -> Result<()> {
        let scans = self.scans.read().unwrap_or_else(PoisonError::into_inner);
        let Some(scans) = scans.as_ref() else { return Err(Refusal::BUSY.into()) };
        scans.try_send(scan).map_err(|error| match error {
            TrySendError::Full(_) => Refusal::BUSY.into(),
            TrySendError::Disconnected(_) => Error::fault("the reader threads have ended"),
        })
    }
}

/// Runs `f` in one transaction, which is one snapshot: it begins at the first read.
pub(super) fn snapshot<T>(conn: &Connection, f: impl FnOnce(&Read<'_>) -> Result<T>) -> Result<T> {
    conn.prepare_cached("begin")?.execute([])?;
    let outcome = f(&Read::new(conn));
    conn.prepare_cached("commit")?.execute([])?;
    outcome
}

fn start(
    n: usize,
    conn: Connection,
    waiting: Arc<Mutex<Receiver<Scan>>>,
    watched: Watched,
) -> Result<JoinHandle<()>> {
    let serve = move || {
        let _watched = watched;
        loop {
            let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(scan) = next else { return };
            scan(&conn);
            if !conn.is_autocommit()
                && let Err(error) = conn.execute_batch("rollback")
            {
                tracing::error!(%error, "a reader could not leave its snapshot");
            }
        }
    };
    let thread = thread::Builder::new().name(format!("db-reader-{n}"));
    thread.spawn(serve).map_err(|error| open::said(error, String::from("cannot start a reader thread")))
}
