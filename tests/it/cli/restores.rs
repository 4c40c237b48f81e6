//! `satchel db restore`: no token comes back with a copy, whenever the restore is killed and whatever schema the copy has.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use satchel::db::migrate;
use serde_json::json;

use crate::binary::{PATIENCE, Place, Serving, broken, connect};
use crate::house::{Guest, PASSWORD, answer, book};

const RESTORE: [&str; 4] = ["db", "restore", "copy.db", "--yes"];
const MIGRATE_ON_START: &str = "SATCHEL_DB__MIGRATE_ON_START";

/// A place with a stopped server, and `copy.db`, in which the sessions of both guests live. The first has signed out
/// since then, and a book was added.
async fn left() -> (Place, Guest, Guest) {
    let place = Place::new();
    let serving = place.serve().await;
    let stays = serving.guest("ada").await;
    let goes = serving.sign_in(&stays.email, PASSWORD).await;
    place.run(&["db", "backup", "copy.db"]).await.done();
    assert_eq!(answer(serving.by(&goes, "POST", "/api/v1.0/auth/logout")).await.status, 200);
    let made = answer(serving.by(&stays, "POST", "/api/v1.0/books/").json(&book("Later"))).await;
    assert_eq!(made.status, 201);
    assert_eq!(serving.stop().await.code, Some(0));
    (place, goes, stays)
}

async fn is_dead(serving: &Serving, guest: &Guest) -> bool {
    let body = json!({ "refresh_token": guest.refresh });
    let refreshed = answer(serving.request("POST", "/api/v1.0/auth/refresh").json(&body)).await;
    serving.own_profile(guest).await == 401 && refreshed.status == 401
}

fn books(database: &Path) -> i64 {
    connect(database).query_row("select count(*) from books", [], |row| row.get(0)).unwrap()
}

/// Where a restore is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    After(Duration),
    /// As soon as there is a file whose name has this in it.
    Seen(&'static str),
    /// As soon as another file is at the database's place.
    Placed,
}

impl Moment {
    /// Waits for it, or for the end of the restore.
    fn wait(self, place: &Place, former: u64, child: u32) {
        let data = place.path("data");
        let deadline = Instant::now() + PATIENCE;
        let is_over =
            || fs::read_to_string(format!("/proc/{child}/stat")).map_or(true, |stat| stat.contains(") Z "));
        let has_come = || match self {
            Self::After(_) => true,
            Self::Seen(part) => fs::read_dir(&data)
                .unwrap()
                .any(|entry| entry.unwrap().file_name().to_str().is_some_and(|name| name.contains(part))),
            Self::Placed => fs::metadata(place.database()).unwrap().ino() != former,
        };
        if let Self::After(delay) = self {
            std::thread::sleep(delay);
        }
        let mut looks = 0;
        while !has_come() {
            looks += 1;
            if looks % 100 == 0 && (is_over() || Instant::now() > deadline) {
                return;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_killed_at_any_moment_revives_no_token() {
    let (place, goes, stays) = left().await;
    let saved = fs::read(place.database()).unwrap();
    let rounds = |moment: Moment, count: usize| std::iter::repeat_n(moment, count);
    let moments = (0..16_u64)
        .map(|n| Moment::After(Duration::from_millis(n * 2)))
        .chain(rounds(Moment::Seen(".restored-"), 2))
        .chain(rounds(Moment::Seen(".before-restore-"), 4))
        .chain(rounds(Moment::Placed, 6));
    let mut placed = 0;
    for moment in moments {
        fs::remove_dir_all(place.path("data/mail")).ok();
        for entry in fs::read_dir(place.path("data")).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                fs::remove_file(path).unwrap();
            }
        }
        fs::write(place.database(), &saved).unwrap();
        let former = fs::metadata(place.database()).unwrap().ino();
        let mut child = place.command(&RESTORE).spawn().unwrap();
        let id = child.id().unwrap();
        tokio::task::block_in_place(|| moment.wait(&place, former, id));
        tokio::time::timeout(PATIENCE, child.kill()).await.expect("it dies").unwrap();

        assert_eq!(broken(&place.database()), Vec::<String>::new(), "{moment:?}");
        let is_restored = books(&place.database()) == 0;
        placed += usize::from(is_restored);
        let serving = place.serve().await;
        assert!(is_dead(&serving, &goes).await, "{moment:?}: a session that had ended lives");
        assert_eq!(is_dead(&serving, &stays).await, is_restored, "{moment:?}: restored: {is_restored}");
        assert_eq!(serving.stop().await.code, Some(0), "{moment:?}");
    }
    assert!(placed > 0, "no restore was killed after the copy had its place");
}

#[tokio::test]
async fn a_copy_with_an_older_schema_revives_no_token_though_nothing_moves_it_up() {
    let place = Place::new();
    let serving = place.serve().await;
    let stays = serving.guest("ada").await;
    let goes = serving.sign_in(&stays.email, PASSWORD).await;
    serving.stop().await;
    place.run(&["migrate", "down", "1"]).await.done();
    place.run(&["db", "backup", "copy.db"]).await.done();
    place.run(&["migrate", "up"]).await.done();
    let serving = place.serve().await;
    assert_eq!(answer(serving.by(&goes, "POST", "/api/v1.0/auth/logout")).await.status, 200);
    serving.stop().await;

    let mut restore = place.command(&RESTORE);
    restore.env(MIGRATE_ON_START, "false");
    let restored = crate::binary::run(restore).await;
    let latest = migrate::latest();
    let expected =
        format!("the schema is {}, this binary needs {latest}: run `satchel migrate up`\n", latest - 1);
    assert!(restored.done().contains(&expected), "{}", restored.stdout);
    place.run(&["migrate", "up"]).await.done();
    let serving = place.serve().await;
    assert!(is_dead(&serving, &goes).await && is_dead(&serving, &stays).await);
    serving.sign_in(&stays.email, PASSWORD).await;
}

/// The copies before migrations are restored like any other.
#[tokio::test]
async fn a_copy_of_any_older_schema_is_restored_without_what_may_have_ended() {
    let place = Place::new();
    let serving = place.serve().await;
    serving.guest("ada").await;
    serving.stop().await;
    let leave_links = "insert into proofs (user_id, purpose, digest, email, expires_at)
                         values (1, 'reset_password', zeroblob(32), 'ada@example.com', 9000000000000000);
                       insert into letters (purpose, email, created_at, next_at)
                         values ('reset_password', 'ada@example.com', 0, 9000000000000000)";
    connect(&place.database()).execute_batch(leave_links).unwrap();
    for schema in (1..migrate::latest()).rev() {
        place.run(&["migrate", "down", "1"]).await.done();
        fs::remove_file(place.path("copy.db")).ok();
        place.run(&["db", "backup", "copy.db"]).await.done();
        let restored = place.run(&RESTORE).await;
        let latest = migrate::latest();
        let expected =
            format!("the schema is {schema}, this binary needs {latest}: it is moved up at the next start\n");
        assert!(restored.done().contains(&expected), "{}", restored.stdout);
        let conn = connect(&place.database());
        let count = |table: &str| {
            let found = "select count(*) from sqlite_schema where name = ?1";
            match conn.query_row(found, [table], |row| row.get(0)).unwrap() {
                0 => 0,
                _ => conn
                    .query_row(&format!("select count(*) from {table}"), [], |row| row.get::<_, i64>(0))
                    .unwrap(),
            }
        };
        assert_eq!([count("sessions"), count("proofs"), count("letters")], [0; 3], "schema {schema}");
        assert_eq!(count("users"), 1, "schema {schema}");
        let epoch: u32 = conn.query_row("select epoch from users", [], |row| row.get(0)).unwrap();
        assert_eq!(epoch, latest - schema);
    }
    place.serve().await.sign_in("ada@example.com", PASSWORD).await;
}

/// Whoever adds a table decides what a restore does with it, and says so.
#[tokio::test]
async fn a_restore_says_what_of_each_table_has_ended_and_what_is_as_old_as_the_copy() {
    let (place, ..) = left().await;
    let restored = place.run(&RESTORE).await;
    let told: Vec<&str> = restored.done().lines().collect();
    let told = |beginning: &str| *told.iter().find(|line| line.starts_with(beginning)).unwrap();
    let (ended, old) = (told("every session"), told("all else is as old as the copy: "));
    let conn = connect(&place.database());
    let mut tables = conn
        .prepare("select name from sqlite_schema where type = 'table' and name not like 'sqlite%'")
        .unwrap();
    let tables: Vec<String> = tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    for table in tables {
        let (line, word) = match table.as_str() {
            "sessions" => (ended, "session"),
            "proofs" => (ended, "mailed link"),
            "letters" => (ended, "letter"),
            "sign_in_failures" => (old, "failed sign-ins"),
            "familiar_addresses" => (old, "familiar addresses"),
            "avatars" => (old, "pictures"),
            "removals" => (old, "deletions"),
            "address_changes" => (old, "changes of addresses"),
            "unconfirmed" => (old, "confirmed addresses"),
            "users" | "books" | "items" | "todos" | "contacts" => (old, table.as_str()),
            "schema_migrations" | "todo_totals" | "user_total" => continue,
            other => panic!("nothing says what a restore does with {other}"),
        };
        assert!(line.contains(word), "{table}: {line}");
    }
}
