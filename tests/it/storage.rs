//! Storage: one writer that groups, readers that see one snapshot, and the lock of the data directory.

mod full;
mod queues;

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, StatementStatus};
use satchel::clock::{Clock, Timestamp};
use satchel::db::{Broken, Change, Db, DirLock, Options, Read, Room, Write, broken, migrate};
use satchel::error::{Error, Refusal, Result};
use tempfile::TempDir;

/// Longer than anything here takes, shorter than anybody's patience.
const SOON: Duration = Duration::from_secs(20);

const BUSY: Refusal = Refusal::Busy(Duration::from_secs(1));

type Answer<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

struct Store {
    dir: TempDir,
    db: Db,
    clock: Clock,
}

fn store() -> Store {
    store_with(|_| {})
}

fn store_with(change: impl FnOnce(&mut Options)) -> Store {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::held(Timestamp::from_seconds(1_795_237_599));
    let mut options = Options::new(dir.path().join("satchel.db"));
    migrate::up(&options.path, &clock, None).unwrap();
    other_process(dir.path())
        .execute_batch(
            "create table notes (
               id     integer primary key,
               text   text    not null unique check (text <> 'bad'),
               parent integer references notes (id) deferrable initially deferred
             ) strict",
        )
        .unwrap();
    change(&mut options);
    let db = Db::open(&options, clock.clone()).unwrap();
    Store { dir, db, clock }
}

/// A connection with nobody's pragmas, as another program would open it.
#[expect(clippy::disallowed_methods, reason = "it stands for another process")]
fn other_process(dir: &Path) -> Connection {
    Connection::open(dir.join("satchel.db")).unwrap()
}

fn note(db: &Write<'_>, id: i64) -> Result<i64> {
    db.execute("insert into notes (id, text) values (?1, ?2)", (id, format!("note {id}")))?;
    db.announce(id);
    Ok(id)
}

fn ids(db: &Read<'_>) -> Result<Vec<i64>> {
    db.all("select id from notes order by id limit 1000", [], |row| row.get(0))
}

impl Store {
    fn ids(&self) -> Vec<i64> {
        self.db.read(ids).unwrap()
    }

    /// Keeps the writer inside a job, which is note 0, until the sender goes.
    fn hold_writer(&self) -> (Sender<()>, thread::JoinHandle<Result<i64>>) {
        let (started, has_started) = channel();
        let (release, released) = channel();
        let db = self.db.clone();
        let held = thread::spawn(move || {
            db.write_blocking(move |db| {
                started.send(()).ok();
                released.recv_timeout(SOON).ok();
                note(db, 0)
            })
        });
        has_started.recv_timeout(SOON).unwrap();
        (release, held)
    }

    /// Puts a job into the queue behind the held writer.
    fn queue<T: Send + 'static>(&self, f: impl Fn(&Write<'_>) -> Result<T> + Send + 'static) -> Answer<T> {
        let db = self.db.clone();
        let mut answer: Answer<T> = Box::pin(async move { db.write(f).await });
        assert!(matches!(poll(&mut answer), Poll::Pending));
        answer
    }

    /// What the listener hears from now on: keys, or nothing for another process.
    fn heard(&self) -> Arc<Mutex<Vec<Option<Vec<i64>>>>> {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ear = Arc::clone(&heard);
        self.db.on_change(move |change| {
            let heard = match change {
                Change::Keys(keys) => Some(keys.to_vec()),
                Change::Foreign => None,
            };
            ear.lock().unwrap().push(heard);
        });
        heard
    }
}

fn poll<T>(answer: &mut Answer<T>) -> Poll<Result<T>> {
    answer.as_mut().poll(&mut std::task::Context::from_waker(Waker::noop()))
}

#[track_caller]
fn refused<T>(outcome: Result<T>) -> Refusal {
    match outcome {
        Err(Error::Refusal(refusal)) => refusal,
        Err(fault) => panic!("a fault: {fault}"),
        Ok(_) => panic!("it was done"),
    }
}

#[track_caller]
fn fault<T>(outcome: Result<T>) -> String {
    match outcome {
        Err(Error::Fault(fault)) => format!("{fault:#}"),
        Err(refusal) => panic!("a refusal: {refusal}"),
        Ok(_) => panic!("it was done"),
    }
}

#[tokio::test]
async fn a_job_that_fails_rolls_back_alone() {
    let store = store();
    let (release, held) = store.hold_writer();
    let failing = store.queue(|db| {
        note(db, 1)?;
        Err::<(), _>(Refusal::NotAuthenticated.into())
    });
    let good = store.queue(|db| note(db, 2));
    drop(release);
    assert_eq!(held.join().unwrap().unwrap(), 0);
    assert_eq!(refused(failing.await), Refusal::NotAuthenticated);
    assert_eq!(good.await.unwrap(), 2);
    assert_eq!(store.ids(), [0, 2]);
}

#[tokio::test]
async fn whatever_share_a_commit_each_that_succeeds_is_kept_once_and_nothing_of_those_that_fail() {
    let store = store();
    let heard = store.heard();
    let (release, held) = store.hold_writer();
    // Of three jobs the second is kept; the others fail after a change, and before one.
    let waiting: Vec<_> = (1..=60)
        .map(|id| {
            store.queue(move |db| match id % 3 {
                0 => Err(Refusal::AdminRequired.into()),
                1 => {
                    note(db, id)?;
                    note(db, id + 1000)?;
                    Err(Refusal::NotAuthenticated.into())
                }
                _ => note(db, id),
            })
        })
        .collect();
    drop(release);
    assert_eq!(held.join().unwrap().unwrap(), 0);
    for (answer, id) in waiting.into_iter().zip(1..) {
        match id % 3 {
            0 => assert_eq!(refused(answer.await), Refusal::AdminRequired),
            1 => assert_eq!(refused(answer.await), Refusal::NotAuthenticated),
            _ => assert_eq!(answer.await.unwrap(), id),
        }
    }
    let kept: Vec<i64> = [0].into_iter().chain((2..=60).step_by(3)).collect();
    assert_eq!(store.ids(), kept);
    assert_eq!(*heard.lock().unwrap(), [Some(kept)]);
}

#[tokio::test]
async fn a_job_that_fails_before_it_changed_anything_makes_no_other_be_done_again() {
    let store = store();
    let runs = |failing: fn(&Write<'_>) -> Result<()>| {
        let (release, held) = store.hold_writer();
        let count = Arc::new(AtomicUsize::new(0));
        let counting = count.clone();
        let counted = store.queue(move |_| Ok(counting.fetch_add(1, Ordering::SeqCst)));
        let failing = store.queue(failing);
        drop(release);
        async move {
            held.join().unwrap().ok();
            counted.await.unwrap();
            failing.await.unwrap_err();
            count.load(Ordering::SeqCst)
        }
    };
    assert_eq!(runs(|_| Err(Refusal::NotAuthenticated.into())).await, 1);
    // A statement that breaks a rule undoes itself.
    assert_eq!(runs(|db| note(db, 0).map(drop)).await, 1);
    assert_eq!(
        runs(|db| {
            note(db, 77)?;
            Err(Refusal::NotAuthenticated.into())
        })
        .await,
        2
    );
    assert_eq!(store.ids(), [0]);
}

#[tokio::test]
async fn what_is_done_after_the_commit_is_done_once_and_only_for_what_was_kept() {
    let store = store();
    let (release, held) = store.hold_writer();
    let done = Arc::new(Mutex::new(Vec::new()));
    let job = |id: i64, fails: bool| {
        let done = done.clone();
        store.queue(move |db| {
            let done = done.clone();
            db.after_commit(move || done.lock().unwrap().push(id));
            note(db, id)?;
            if fails { Err(Refusal::NotAuthenticated.into()) } else { Ok(id) }
        })
    };
    // The one that fails has all be done again.
    let answers = [job(1, false), job(2, true), job(3, false)];
    drop(release);
    held.join().unwrap().unwrap();
    for (answer, kept) in answers.into_iter().zip([true, false, true]) {
        assert_eq!(answer.await.is_ok(), kept);
    }
    assert_eq!(*done.lock().unwrap(), [1, 3]);
}

#[tokio::test]
async fn a_panic_ends_its_job_and_not_the_writer() {
    let store = store();
    let (release, held) = store.hold_writer();
    let panicking = store.queue(|db| -> Result<()> {
        note(db, 1)?;
        panic!("as this test wants it");
    });
    drop(release);
    assert_eq!(held.join().unwrap().unwrap(), 0);
    assert!(fault(panicking.await).contains("as this test wants it"));
    assert_eq!(store.db.write(|db| note(db, 2)).await.unwrap(), 2);
    assert_eq!(store.ids(), [0, 2]);
}

#[tokio::test]
async fn a_full_queue_refuses_a_write_and_makes_the_command_line_wait() {
    let store = store_with(|options| options.queue = 1);
    let (release, held) = store.hold_writer();
    let queued = store.queue(|db| note(db, 1));
    assert_eq!(refused(store.db.write(|db| note(db, 2)).await), BUSY);
    let db = store.db.clone();
    let waiting = thread::spawn(move || db.write_blocking(|db| note(db, 3)));
    drop(release);
    held.join().unwrap().unwrap();
    queued.await.unwrap();
    waiting.join().unwrap().unwrap();
    assert_eq!(store.ids(), [0, 1, 3]);
}

#[tokio::test]
async fn a_commit_that_fails_fails_every_job_in_it_and_keeps_nothing() {
    let store = store();
    let heard = store.heard();
    let (release, held) = store.hold_writer();
    let dangling = store
        .queue(|db| Ok(db.execute("insert into notes (id, text, parent) values (1, 'an orphan', 99)", [])?));
    let good = store.queue(|db| note(db, 2));
    drop(release);
    for text in [fault(held.join().unwrap()), fault(dangling.await), fault(good.await)] {
        assert!(text.contains("FOREIGN KEY"), "{text}");
    }
    assert!(store.ids().is_empty());
    assert_eq!(store.db.write(|db| note(db, 3)).await.unwrap(), 3);
    assert_eq!(store.ids(), [3]);
    assert_eq!(*heard.lock().unwrap(), [Some(vec![3])]);
}

#[tokio::test]
async fn a_job_that_ends_the_shared_transaction_fails_its_group_and_not_the_next() {
    let store = store();
    let (release, held) = store.hold_writer();
    let ending = store.queue(|db| {
        db.execute("rollback", [])?;
        note(db, 1)
    });
    let next = store.queue(|db| note(db, 2));
    drop(release);
    assert!(fault(held.join().unwrap()).contains("rolled back by an earlier error"));
    assert!(fault(ending.await).contains("rolled back by an earlier error"));
    assert_eq!(next.await.unwrap(), 2);
    assert_eq!(store.ids(), [2]);
}

#[tokio::test]
async fn a_job_is_done_when_its_caller_has_gone() {
    let store = store();
    let (release, held) = store.hold_writer();
    drop(store.queue(|db| note(db, 1)));
    drop(release);
    held.join().unwrap().unwrap();
    store.db.write(|db| note(db, 2)).await.unwrap();
    assert_eq!(store.ids(), [0, 1, 2]);
}

#[tokio::test]
async fn writes_that_wait_share_a_commit_up_to_the_group() {
    let store = store_with(|options| options.group = 16);
    let heard = store.heard();
    let (release, held) = store.hold_writer();
    let waiting: Vec<_> = (1..40).map(|id| store.queue(move |db| note(db, id))).collect();
    drop(release);
    held.join().unwrap().unwrap();
    for (answer, id) in waiting.into_iter().zip(1..) {
        assert_eq!(answer.await.unwrap(), id);
    }
    let keys = |range: std::ops::Range<i64>| Some(range.collect::<Vec<_>>());
    assert_eq!(*heard.lock().unwrap(), [keys(0..16), keys(16..32), keys(32..40)]);
}

#[tokio::test]
async fn closing_finishes_what_is_queued_and_refuses_what_comes_later() {
    let store = store();
    let (release, held) = store.hold_writer();
    let queued: Vec<_> = (1..10).map(|id| store.queue(move |db| note(db, id))).collect();
    let closing = thread::spawn({
        let db = store.db.clone();
        move || db.close()
    });
    drop(release);
    closing.join().unwrap().unwrap();
    held.join().unwrap().unwrap();
    for mut answer in queued {
        assert!(matches!(poll(&mut answer), Poll::Ready(Ok(_))), "closing returned before its answers");
    }
    assert_eq!(refused(store.db.write(|db| note(db, 10)).await), BUSY);
    assert_eq!(refused(store.db.read(ids)), BUSY);
    assert_eq!(refused(store.db.scan(ids).await), BUSY);
    store.db.close().unwrap();
    assert!(!store.dir.path().join("satchel.db-wal").exists(), "the log was not moved into the file");
    let count: i64 = other_process(store.dir.path())
        .query_row("select count(*) from notes", [], |row| row.get(0))
        .unwrap();
    assert_eq!(count, 10);
}

#[test]
fn closing_moves_the_log_into_the_file_though_another_process_has_it_open() {
    let store = store();
    store.db.write_blocking(|db| note(db, 1)).unwrap();
    let other = other_process(store.dir.path());
    let count = || other.query_row("select count(*) from notes", [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count(), 1);
    store.db.close().unwrap();
    assert_eq!(std::fs::metadata(store.dir.path().join("satchel.db-wal")).unwrap().len(), 0);
    assert_eq!(count(), 1);
}

#[test]
fn an_answered_write_is_seen_by_another_process() {
    let store = store();
    let at = store.db.write_blocking(|db| note(db, 7).map(|_| db.now)).unwrap();
    assert_eq!(at, store.clock.now());
    let seen: i64 =
        other_process(store.dir.path()).query_row("select id from notes", [], |row| row.get(0)).unwrap();
    assert_eq!(seen, 7);
}

#[test]
fn a_closure_reads_one_snapshot_while_others_commit() {
    let store = store();
    let (before, after) = store
        .db
        .read(|db| {
            let before = ids(db)?;
            store.db.write_blocking(|db| note(db, 1))?;
            Ok((before, ids(db)?))
        })
        .unwrap();
    assert_eq!(before, after);
    assert_eq!(store.ids(), [1]);
}

#[tokio::test]
async fn a_read_refuses_what_is_not_a_query() {
    let store = store();
    for sql in [
        "insert into notes (text) values ('x') returning id",
        "delete from notes",
        "commit",
        "pragma query_only = off",
    ] {
        let outcome = store.db.read(|db| db.all(sql, [], |_| Ok(())));
        assert!(fault(outcome).contains("not a query"), "{sql}");
        let outcome = store.db.write(move |db| db.one(sql, [], |_| Ok(()))).await;
        assert!(fault(outcome).contains("not a query"), "{sql} by the right to read of a writer");
    }
}

#[tokio::test]
async fn a_read_that_panics_leaves_the_readers_as_they_were() {
    let store = store_with(|options| (options.readers, options.scan_threads) = (1, 1));
    let failing = |db: &Read<'_>| -> Result<()> {
        ids(db)?;
        panic!("as this test wants it");
    };
    let db = store.db.clone();
    assert!(thread::spawn(move || db.read(failing)).join().is_err());
    assert!(fault(store.db.scan(failing).await).contains("as this test wants it"));
    store.db.write(|db| note(db, 1)).await.unwrap();
    assert_eq!(store.ids(), [1], "an old snapshot is still read");
    assert_eq!(store.db.scan(ids).await.unwrap(), [1], "an old snapshot is still scanned");
}

#[test]
fn a_commit_of_another_process_is_noticed_while_idle() {
    let store = store();
    let (sender, heard) = channel();
    store.db.on_change(move |change| sender.send(change == Change::Foreign).unwrap());
    store.db.write_blocking(|db| note(db, 1)).unwrap();
    assert!(!heard.recv_timeout(SOON).unwrap(), "a commit of ours is not foreign");
    other_process(store.dir.path()).execute("insert into notes (text) values ('theirs')", []).unwrap();
    assert!(heard.recv_timeout(SOON).unwrap());
}

#[test]
fn a_commit_of_another_process_is_told_before_the_next_of_ours() {
    let store = store();
    let heard = store.heard();
    let other = other_process(store.dir.path());
    for id in 1..=20 {
        other.execute("insert into notes (id, text) values (?1, 'theirs ' || ?1)", [id]).unwrap();
        store.db.write_blocking(move |db| note(db, 1000 + id)).unwrap();
    }
    let expected: Vec<_> = (1..=20).flat_map(|id| [None, Some(vec![1000 + id])]).collect();
    assert_eq!(*heard.lock().unwrap(), expected);
}

#[tokio::test]
async fn the_listener_hears_of_kept_jobs_only_and_before_they_are_answered() {
    let store = store();
    let told = Arc::new(Mutex::new(Vec::new()));
    let ear = Arc::clone(&told);
    store.db.on_change(move |change| {
        // An answer that did not wait for the listener would be here first.
        thread::sleep(Duration::from_millis(20));
        let Change::Keys(keys) = change else { panic!("nobody else is here") };
        ear.lock().unwrap().extend_from_slice(keys);
    });
    let failing = store.db.write(|db| {
        db.announce(4);
        Err::<(), _>(Refusal::AdminRequired.into())
    });
    assert_eq!(refused(failing.await), Refusal::AdminRequired);
    assert!(told.lock().unwrap().is_empty());
    store.db.write(|db| note(db, 5)).await.unwrap();
    assert_eq!(*told.lock().unwrap(), [5]);
}

#[test]
fn a_listener_that_panics_does_not_end_the_writer() {
    let store = store();
    store.db.on_change(|_| panic!("as this test wants it"));
    store.db.write_blocking(|db| note(db, 1)).unwrap();
    store.db.write_blocking(|db| note(db, 2)).unwrap();
    assert_eq!(store.ids(), [1, 2]);
}

#[test]
fn a_broken_rule_of_the_schema_is_told_by_its_name() {
    let store = store();
    let check = |sql: &'static str, expected: Option<Broken<'static>>| {
        store
            .db
            .write_blocking(move |db| {
                note(db, 1)?;
                db.execute("pragma defer_foreign_keys = off", [])?;
                let error = db.execute(sql, []).unwrap_err();
                assert_eq!(broken(&error), expected, "{sql}");
                Err::<(), _>(Refusal::AdminRequired.into())
            })
            .unwrap_err();
    };
    check("insert into notes (text) values ('note 1')", Some(Broken::Unique("notes.text")));
    check("insert into notes (id, text) values (1, 'x')", Some(Broken::Unique("notes.id")));
    check("insert into notes (text) values (null)", Some(Broken::NotNull("notes.text")));
    check("insert into notes (text) values ('bad')", Some(Broken::Check("text <> 'bad'")));
    check(
        "insert into books (uuid, title, author, publisher, publish_date, pages, language, user_id, created_at, updated_at)
         values (zeroblob(16), 'a', 'b', 'c', '2026-01-01', 1, 'd', 99, 0, 0)",
        Some(Broken::ForeignKey),
    );
    check("insert into notes (parent) values ('x')", None);
}

#[test]
fn a_second_holder_of_the_data_directory_is_told_who_the_first_is() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    assert!(!DirLock::held(&data));
    let lock = DirLock::acquire(&data, "satchel serve").unwrap();
    assert!(DirLock::held(&data));
    assert_eq!(
        fault(DirLock::acquire(&data, "satchel migrate").map(|_| ())),
        format!(
            "the data directory {} is in use by satchel serve, process {}",
            data.display(),
            std::process::id()
        )
    );
    drop(lock);
    assert!(!DirLock::held(&data));
    assert_eq!(std::fs::read_to_string(data.join("satchel.lock")).unwrap(), "");
    DirLock::acquire(&data, "satchel migrate").unwrap();
}

#[test]
fn a_data_directory_that_cannot_be_made_is_told_in_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let text = match DirLock::acquire(&file.join("data"), "satchel serve") {
        Err(Error::Fault(fault)) => fault.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(text.starts_with(&format!("cannot make the data directory {}/data: ", file.display())), "{text}");
}

#[test]
fn a_statement_is_prepared_once_whatever_is_bound_to_its_limit() {
    let store = store();
    let prepared_again = |limit: i64| {
        let counted = store.db.read(|db| {
            let mut statement = db.prepare("select id from notes where id < ?1 order by id desc limit ?2")?;
            statement.query_map([limit * 10, limit], |_| Ok(()))?.count();
            Ok(statement.get_status(StatementStatus::RePrepare))
        });
        counted.unwrap()
    };
    for limit in [1, 20, 100] {
        assert_eq!(prepared_again(limit), 0, "with a limit of {limit}");
    }
}
