//! Migrations and backups: schemas go up and down without losing data, and a file that is not whole is told in one sentence.

mod names;
mod rows;

use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::ops::RangeInclusive;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension};
use satchel::clock::{Clock, Timestamp};
use satchel::db::migrate::{self, Report};
use satchel::db::{Db, Options, backup};
use satchel::error::{Error, Result};
use tempfile::TempDir;

struct File {
    dir: TempDir,
    path: PathBuf,
    clock: Clock,
}

fn file() -> File {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("satchel.db");
    File { dir, path, clock: Clock::held(Timestamp::from_seconds(1_795_237_599)) }
}

/// A database with the whole schema and `users` rows.
fn peopled(users: u8) -> File {
    let file = file();
    file.up(None);
    file.insert_users(1..=users);
    file
}

#[expect(clippy::disallowed_methods, reason = "it stands for another program")]
fn connect(path: &Path) -> Connection {
    Connection::open(path).unwrap()
}

/// Restores without changing anything in the copy.
fn restore(from: &Path, file: &File) -> Result<backup::Restored> {
    backup::restore(from, &file.path, &file.clock, |_| Ok(()))
}

impl File {
    fn up(&self, limit: Option<usize>) -> Report {
        migrate::up(&self.path, &self.clock, limit).unwrap()
    }

    fn open(&self) -> Result<Db> {
        Db::open(&Options::new(&self.path), self.clock.clone())
    }

    fn insert_users(&self, numbers: RangeInclusive<u8>) {
        let mut conn = connect(&self.path);
        let tx = conn.transaction().unwrap();
        for n in numbers {
            tx.execute(
                "insert into users (uuid, email, password_hash, created_at, updated_at)
                 values (?1, ?2, '$argon2id$', 1, 1)",
                ([n; 16], format!("user{n}@example.com")),
            )
            .unwrap();
        }
        tx.commit().unwrap();
    }

    /// The whole schema as it was written, without SQLite's own tables.
    fn schema(&self) -> String {
        let conn = connect(&self.path);
        let mut statement = conn
            .prepare("select type || ' ' || name || ': ' || coalesce(sql, '') from sqlite_schema where name not like 'sqlite%' order by 1")
            .unwrap();
        let lines = statement.query_map([], |row| row.get(0)).unwrap();
        lines.collect::<rusqlite::Result<Vec<String>>>().unwrap().join("\n")
    }

    /// The names in the directory that begin with the database's and go on with `what`.
    fn beside(&self, what: &str) -> Vec<PathBuf> {
        let begin = format!("satchel.db{what}");
        let names = fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().path());
        names.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&begin)).collect()
    }
}

/// Ends the writing thread of a test, however the test ends.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn users(path: &Path) -> Vec<String> {
    let conn = connect(path);
    let mut statement = conn.prepare("select email from users order by id").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// The one sentence that a person is told.
#[track_caller]
fn sentence<T>(outcome: Result<T>) -> String {
    match outcome {
        Err(Error::Fault(fault)) => {
            let text = fault.to_string();
            assert!(!text.contains('\n') && !text.ends_with('.'), "{text}");
            text
        }
        Err(refusal) => panic!("a refusal: {refusal}"),
        Ok(_) => panic!("it was done"),
    }
}

/// Overwrites pages in the middle of a file.
fn damage(path: &Path) {
    let length = fs::metadata(path).unwrap().len();
    let mut file = OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(length / 4096 / 2 * 4096)).unwrap();
    file.write_all(&[0xA5; 3 * 4096]).unwrap();
}

#[test]
fn each_down_undoes_its_up_and_ups_can_be_repeated() {
    let file = file();
    let count = migrate::status(&file.path).unwrap().len();
    assert!(!file.path.exists(), "asking for the status made a file");
    assert_eq!(count, migrate::latest() as usize);
    let mut schemas = Vec::new();
    for n in 1..=count {
        let report = file.up(Some(1));
        assert_eq!((report.steps.len(), report.schema as usize), (1, n));
        schemas.push(file.schema());
    }
    assert_eq!(file.up(None), Report { schema: migrate::latest(), ..Report::default() });
    let whole = schemas.pop().unwrap();
    for n in (1..count).rev() {
        let report = migrate::down(&file.path, &file.clock, 1).unwrap();
        assert_eq!((report.steps.len(), report.schema as usize), (1, n));
        assert_eq!(file.schema(), schemas.pop().unwrap(), "the down of {:?}", report.steps);
    }
    assert_eq!(migrate::down(&file.path, &file.clock, 99).unwrap().schema, 0);
    assert!(migrate::status(&file.path).unwrap().iter().all(|step| step.applied_at.is_none()));
    file.up(None);
    assert_eq!(file.schema(), whole);
    file.open().unwrap();
}

#[test]
fn status_tells_what_is_applied_and_when() {
    let file = file();
    file.up(Some(1));
    let steps = migrate::status(&file.path).unwrap();
    assert_eq!((steps[0].version, steps[0].name.as_str()), (1, "users"));
    assert_eq!(steps[0].applied_at, Some(file.clock.now()));
    assert!(steps[1..].iter().all(|step| step.applied_at.is_none()));
}

#[test]
fn data_stays_while_later_migrations_come_and_go() {
    let file = file();
    file.up(Some(1));
    file.insert_users(1..=1);
    file.up(None);
    assert_eq!(users(&file.path), ["user1@example.com"]);
    migrate::down(&file.path, &file.clock, migrate::latest() as usize - 1).unwrap();
    assert_eq!(users(&file.path), ["user1@example.com"]);
}

#[test]
fn users_that_were_there_before_are_in_the_total() {
    let file = file();
    file.up(Some(4));
    file.insert_users(1..=3);
    connect(&file.path).execute("update users set deleted_at = 1 where id = 2", []).unwrap();
    file.up(Some(1));
    let total =
        |conn: &Connection| conn.query_row("select users from user_total", [], |row| row.get::<_, i64>(0));
    let conn = connect(&file.path);
    assert_eq!(total(&conn).unwrap(), 2);
    conn.execute("update users set deleted_at = null where id = 2", []).unwrap();
    assert_eq!(total(&conn).unwrap(), 3);
    conn.execute("update users set deleted_at = 1", []).unwrap();
    conn.execute("delete from users where id = 1", []).unwrap();
    assert_eq!(total(&conn).unwrap(), 0);
}

#[test]
fn sessions_that_were_there_before_accounts_keep_no_refresh_token_and_outlive_the_way_back() {
    let file = file();
    file.up(Some(8));
    file.insert_users(1..=3);
    let conn = connect(&file.path);
    let session = "insert into sessions (id, user_id, refresh_seq, refreshed_at, created_at, expires_at)
                   values (randomblob(16), 1, 7, 1, 1, 9)";
    conn.execute(session, []).unwrap();
    conn.execute("update users set deleted_at = id, last_activity_at = 5 where id > 1", []).unwrap();
    assert_eq!(file.up(Some(1)).schema, 9);
    let keeps = |conn: &Connection| {
        conn.query_row("select keeps_refresh from sessions", [], |row| row.get::<_, i64>(0))
    };
    assert_eq!(keeps(&conn).unwrap(), 0);
    conn.execute("update sessions set keeps_refresh = 1", []).unwrap();
    assert!(conn.execute("update sessions set keeps_refresh = 2", []).is_err());
    assert!(conn.execute("update sessions set keeps_refresh = null", []).is_err());
    // The addresses of those who were deleted are in the new indexes, those of the others are not.
    let deleted =
        "select group_concat(email) from users indexed by users_deleted_email where deleted_at is not null";
    let balances = "select group_concat(id) from users indexed by users_balance where deleted_at is null";
    let text = |sql| conn.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(text(deleted), "user2@example.com,user3@example.com");
    assert_eq!(text(balances), "1");
    conn.execute("update users set deleted_at = null where id = 3", []).unwrap();
    assert_eq!((text(deleted), text(balances)), ("user2@example.com".into(), "1,3".into()));
    migrate::down(&file.path, &file.clock, 1).unwrap();
    let left = "select refresh_seq from sessions";
    assert_eq!(conn.query_row(left, [], |row| row.get::<_, i64>(0)).unwrap(), 7);
    assert!(keeps(&conn).is_err());
    file.up(None);
    assert_eq!(keeps(&conn).unwrap(), 0);
}

#[test]
fn a_change_of_an_existing_schema_is_backed_up_first_and_a_first_one_is_not() {
    let file = file();
    assert_eq!(file.up(Some(1)).backup, None);
    file.insert_users(1..=1);
    let up = file.up(None).backup.unwrap();
    assert_eq!(up.file_name().unwrap(), "satchel.db.before-0002-20261121T050639Z");
    assert_eq!(file.up(None).backup, None, "nothing was changed");
    let down = migrate::down(&file.path, &file.clock, 1).unwrap().backup.unwrap();
    for (path, schema) in [(&up, 1), (&down, migrate::latest())] {
        assert_eq!(backup::verify(path).unwrap().schema, schema);
        assert_eq!(users(path), ["user1@example.com"]);
        assert_eq!(mode(path), 0o600);
    }
    assert_eq!(file.beside(".before-").len(), 2);
    assert_eq!(mode(&file.path), 0o600);
}

#[test]
fn of_the_copies_before_migrations_the_three_newest_are_kept() {
    let file = peopled(1);
    let others = [
        "satchel.db.before-restore-20200101T000000Z",
        "satchel.db.before-drop-1577836800",
        "satchel.db.before-0001-mine",
        "other.db.before-0001-20200101T000000Z",
    ];
    // A copy from a clock that ran ahead, and one that was never finished.
    let (ahead, unfinished) =
        ("satchel.db.before-0002-29990101T000000Z", "satchel.db.before-0002-29990101T000000Z.partial-7");
    for name in others.into_iter().chain([ahead, unfinished]) {
        fs::write(file.dir.path().join(name), "mine").unwrap();
    }
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(migrate::down(&file.path, &file.clock, 1).unwrap().backup.unwrap());
        made.push(file.up(None).backup.unwrap());
        file.clock.advance(Duration::from_secs(1));
    }
    let mut kept: Vec<_> = fs::read_dir(file.dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.display().to_string().contains(".before-"))
        .collect();
    kept.sort();
    let mut expected: Vec<_> =
        others.into_iter().chain([ahead]).map(|name| file.dir.path().join(name)).collect();
    expected.extend_from_slice(&made[4..]);
    expected.sort();
    assert_eq!(kept, expected);
    assert_eq!(backup::verify(&made[5]).unwrap().schema, migrate::latest() - 1);
}

#[test]
fn a_schema_that_is_not_the_binarys_is_refused_in_one_sentence() {
    let file = file();
    let (path, latest) = (file.path.display().to_string(), migrate::latest());
    let missing = format!("there is no database at {path} yet: make it with `satchel migrate up`");
    assert_eq!(sentence(file.open()), missing);
    assert_eq!(sentence(migrate::down(&file.path, &file.clock, 1)), missing);
    assert!(!file.path.exists());
    file.up(Some(1));
    assert_eq!(
        sentence(file.open()),
        format!("the database {path} has schema 1, this binary needs {latest}: run `satchel migrate up`")
    );
    file.up(None);
    connect(&file.path)
        .execute("insert into schema_migrations values (?1, 'later', 0)", [latest + 1])
        .unwrap();
    let newer = format!(
        "the database {path} has schema {}, this binary knows {latest}: use a newer satchel, or restore a backup",
        latest + 1
    );
    assert_eq!(sentence(file.open()), newer);
    assert_eq!(sentence(migrate::up(&file.path, &file.clock, None)), newer);
    assert_eq!(sentence(migrate::down(&file.path, &file.clock, 1)), newer);
    assert_eq!(sentence(migrate::status(&file.path)), newer);
}

#[test]
fn a_file_that_is_no_database_of_ours_is_refused_and_left_alone() {
    let file = file();
    fs::write(&file.path, "Dear diary, ".repeat(100)).unwrap();
    let expected = format!(
        "{} is not a database: name another file, or bring a backup back with `satchel db restore FILE`",
        file.path.display()
    );
    assert_eq!(sentence(migrate::up(&file.path, &file.clock, None)), expected);
    assert_eq!(sentence(file.open()), expected);
    assert_eq!(sentence(backup::verify(&file.path)), expected);
    assert!(fs::read_to_string(&file.path).unwrap().starts_with("Dear diary"));

    fs::remove_file(&file.path).unwrap();
    connect(&file.path).execute_batch("create table recipes (name text)").unwrap();
    let expected = format!("{} is a database of another program: name another file", file.path.display());
    assert_eq!(sentence(migrate::up(&file.path, &file.clock, None)), expected);
    assert_eq!(sentence(file.open()), expected);

    let below = file.path.join("satchel.db");
    let text = sentence(migrate::up(&below, &file.clock, None));
    assert!(text.starts_with(&format!("cannot create the database {}: ", below.display())), "{text}");
}

#[test]
fn damage_is_found_at_opening_and_by_verify() {
    let file = peopled(200);
    let verified = backup::verify(&file.path).unwrap();
    assert_eq!(verified.schema, migrate::latest());
    assert!(verified.tables.contains(&(String::from("users"), 200)));
    assert_eq!(verified.bytes, fs::metadata(&file.path).unwrap().len());
    let whole = fs::read(&file.path).unwrap();
    let expected = format!(
        "the database {} is damaged: see how much with `satchel db verify`, bring a backup back with `satchel db restore FILE`",
        file.path.display()
    );

    damage(&file.path);
    assert_eq!(sentence(file.open()), expected);
    assert_eq!(sentence(backup::verify(&file.path)), expected);

    fs::write(&file.path, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(sentence(file.open()), expected);
    assert_eq!(sentence(migrate::up(&file.path, &file.clock, None)), expected);

    fs::write(&file.path, &whole).unwrap();
    connect(&file.path).execute_batch("pragma foreign_keys = off; insert into sessions (id, user_id, refreshed_at, created_at, expires_at) values (zeroblob(16), 999, 0, 0, 0)").unwrap();
    assert_eq!(sentence(backup::verify(&file.path)), expected);
}

#[test]
fn migrating_at_once_applies_each_migration_once() {
    for _ in 0..5 {
        let file = file();
        let run = || migrate::up(&file.path, &file.clock, None).unwrap().steps.len();
        let steps: usize = thread::scope(|scope| {
            let runs: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
            runs.into_iter().map(|run| run.join().unwrap()).sum()
        });
        assert_eq!(steps, migrate::latest() as usize);
        file.open().unwrap();
    }
}

#[test]
fn a_backup_under_write_load_is_whole_and_has_every_answered_write() {
    let file = peopled(1);
    let db = file.open().unwrap();
    db.write_blocking(|db| Ok(db.execute("create table pairs (n integer, half integer) strict", [])?))
        .unwrap();
    let (answered, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let _stop = Stop(&stop);
        scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                let n = answered.load(Ordering::SeqCst) as i64;
                db.write_blocking(move |db| {
                    db.execute("insert into pairs values (?1, 1)", [n])?;
                    Ok(db.execute("insert into pairs values (?1, 2)", [n])?)
                })
                .unwrap();
                answered.fetch_add(1, Ordering::SeqCst);
            }
        });
        let deadline = Instant::now() + Duration::from_secs(20);
        for round in 0..5 {
            while answered.load(Ordering::SeqCst) < round * 50 {
                assert!(Instant::now() < deadline, "the writer stands still");
                thread::sleep(Duration::from_millis(1));
            }
            let before = answered.load(Ordering::SeqCst);
            let to = file.dir.path().join(format!("backup-{round}.db"));
            backup::backup(&file.path, &to).unwrap();
            let verified = backup::verify(&to).unwrap();
            let rows = verified.tables.iter().find(|table| table.0 == "pairs").unwrap().1;
            assert!(rows.is_multiple_of(2) && rows / 2 >= before, "{rows} rows, {before} answered before");
            assert_eq!(mode(&to), 0o600);
        }
    });
    assert!(
        file.dir.path().read_dir().unwrap().all(|entry| !entry
            .unwrap()
            .path()
            .to_str()
            .unwrap()
            .contains("partial"))
    );
}

#[test]
fn a_backup_never_overwrites_and_leaves_nothing_when_it_fails() {
    let file = peopled(1);
    let to = file.dir.path().join("mine");
    fs::write(&to, "mine").unwrap();
    assert_eq!(
        sentence(backup::backup(&file.path, &to)),
        format!("{} is there already: name a new file", to.display())
    );
    assert_eq!(fs::read_to_string(&to).unwrap(), "mine");
    let nowhere = file.dir.path().join("nowhere/copy.db");
    assert!(sentence(backup::backup(&file.path, &nowhere)).starts_with("cannot write "));
    damage(&file.path);
    sentence(backup::backup(&file.path, &file.dir.path().join("copy.db")));
    assert!(
        file.dir.path().read_dir().unwrap().all(|entry| !entry
            .unwrap()
            .path()
            .to_str()
            .unwrap()
            .contains("copy"))
    );
}

#[test]
fn what_was_deleted_is_not_readable_in_the_file() {
    let file = peopled(3);
    let db = file.open().unwrap();
    db.write_blocking(|db| Ok(db.execute("delete from users where id = 2", [])?)).unwrap();
    db.close().unwrap();
    let bytes = fs::read(&file.path).unwrap();
    let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(has("user1@example.com"));
    assert!(!has("user2@example.com"));
}

#[test]
fn restore_brings_a_backup_back_and_keeps_the_former_file_with_its_log() {
    let file = peopled(1);
    let saved = file.dir.path().join("saved");
    backup::backup(&file.path, &saved).unwrap();
    // A copy taken while a connection is open has its newest row in the log alone.
    let crashed = peopled(1);
    let conn = connect(&file.path);
    conn.query_row("select count(*) from users", [], |_| Ok(())).unwrap();
    file.insert_users(2..=2);
    for suffix in ["", "-wal"] {
        let name = |file: &File| format!("{}{suffix}", file.path.display());
        fs::copy(name(&file), name(&crashed)).unwrap();
    }
    assert!(fs::metadata(&crashed.beside("-wal")[0]).unwrap().len() > 0);

    let kept = restore(&saved, &crashed).unwrap().kept.unwrap();
    assert_eq!(kept.file_name().unwrap(), "satchel.db.before-restore-20261121T050639Z");
    assert_eq!(users(&crashed.path), ["user1@example.com"]);
    assert_eq!(users(&kept), ["user1@example.com", "user2@example.com"]);
    assert_eq!(mode(&crashed.path), 0o600);
    crashed.open().unwrap();

    // With its header gone the file cannot be opened, and its log is kept as it is.
    let log = crashed.path.with_extension("db-wal");
    fs::write(&crashed.path, "not a database any more, whatever was in it before").unwrap();
    fs::copy(file.path.with_extension("db-wal"), &log).unwrap();
    let kept = restore(&saved, &crashed).unwrap().kept.unwrap();
    let kept_log = PathBuf::from(format!("{}-wal", kept.display()));
    assert_eq!(fs::read(kept_log).unwrap(), fs::read(file.path.with_extension("db-wal")).unwrap());
    assert!(!log.exists(), "the restored file would take the log for its own");
    assert_eq!(users(&crashed.path), ["user1@example.com"]);
}

#[test]
fn restore_changes_the_copy_and_leaves_the_backup_as_it_was_and_no_unfinished_file() {
    let file = peopled(2);
    let saved = file.dir.path().join("saved");
    backup::backup(&file.path, &saved).unwrap();
    let before = fs::read(&saved).unwrap();
    // What a restore that was killed has left.
    for suffix in ["77", "77.partial-77", "77-journal"] {
        fs::write(file.dir.path().join(format!("satchel.db.restored-{suffix}")), "half").unwrap();
    }
    let restored = backup::restore(&saved, &file.path, &file.clock, |db| {
        db.execute("delete from users where id = 2", [])?;
        Ok(())
    });
    assert_eq!(restored.unwrap().schema, migrate::latest());
    assert_eq!(users(&file.path), ["user1@example.com"]);
    assert_eq!(fs::read(&saved).unwrap(), before);
    assert_eq!(file.beside(".restored-"), Vec::<PathBuf>::new());

    let refused = backup::restore(&saved, &file.path, &file.clock, |db| {
        db.execute("delete from users", [])?;
        Err(Error::fault("not this one"))
    });
    assert_eq!(sentence(refused), "not this one");
    assert_eq!(users(&file.path), ["user1@example.com"]);
    assert_eq!(file.beside(".before-restore").len(), 1);
    assert_eq!(file.beside(".restored-"), Vec::<PathBuf>::new());
}

#[test]
fn restore_is_refused_while_another_program_reads_what_it_would_replace() {
    let file = peopled(1);
    let saved = file.dir.path().join("saved");
    backup::backup(&file.path, &saved).unwrap();
    let mut reader = connect(&file.path);
    let snapshot = reader.transaction().unwrap();
    snapshot.query_row("select count(*) from users", [], |_| Ok(())).unwrap();
    file.insert_users(2..=2);
    let told = sentence(restore(&saved, &file));
    assert_eq!(told, format!("another program uses the database {}", file.path.display()));
    drop(snapshot);
    drop(reader);
    assert_eq!(users(&file.path), ["user1@example.com", "user2@example.com"]);
}

#[test]
fn restore_heals_a_damaged_file_and_takes_no_backup_that_is_damaged_or_foreign() {
    let file = peopled(200);
    let saved = file.dir.path().join("saved");
    backup::backup(&file.path, &saved).unwrap();
    damage(&file.path);
    let damaged = fs::read(&file.path).unwrap();
    let kept = restore(&saved, &file).unwrap().kept.unwrap();
    assert_eq!(fs::read(&kept).unwrap(), damaged);
    assert_eq!(users(&file.path).len(), 200);

    damage(&saved);
    assert!(sentence(restore(&saved, &file)).contains("saved is damaged"));
    assert!(sentence(restore(&file.path, &file)).contains("from itself"));
    let recipes = file.dir.path().join("recipes");
    connect(&recipes).execute_batch("create table recipes (name text)").unwrap();
    assert!(sentence(restore(&recipes, &file)).contains("another program"));
    assert_eq!(users(&file.path).len(), 200);
    assert_eq!(file.beside(".before-restore").len(), 1);
    assert!(file.beside(".restored").is_empty());
}

#[test]
fn drop_removes_the_database_and_its_log_and_no_backup() {
    let file = peopled(1);
    let saved = file.dir.path().join("satchel.db.saved");
    backup::backup(&file.path, &saved).unwrap();
    let conn = connect(&file.path);
    let row: Option<i64> = conn.query_row("select id from users", [], |row| row.get(0)).optional().unwrap();
    assert_eq!(row, Some(1));
    assert_eq!(file.beside("-").len(), 2, "a log and its index");
    assert!(backup::drop(&file.path).unwrap());
    assert_eq!(file.beside(""), [saved]);
    assert!(!backup::drop(&file.path).unwrap());
}
