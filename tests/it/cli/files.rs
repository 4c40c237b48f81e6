//! `satchel db`: copies taken, checked, brought back, and the database thrown away.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use tokio::task::JoinSet;

use crate::binary::{PATIENCE, Place, broken, connect};
use crate::house::{PASSWORD, answer, book};

const ADA: &str = "ada@example.com";

fn books(database: &std::path::Path) -> i64 {
    connect(database).query_row("select count(*) from books", [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_backup_under_load_is_whole_and_holds_what_was_answered_before() {
    let place = Place::new();
    let serving = place.serve().await;
    let ada = serving.guest("ada").await;
    let mut clients = JoinSet::new();
    for client in 0..4 {
        let request = serving.request("POST", "/api/v1.0/books/").bearer_auth(&ada.access);
        clients.spawn(async move {
            for n in 0.. {
                let request = request.try_clone().unwrap().json(&book(&format!("{client}-{n}")));
                assert_eq!(request.send().await.unwrap().status(), 201);
            }
        });
    }
    let answered = async || {
        let own = serving.by(&ada, "GET", "/api/v1.0/books/my-books?limit=1000");
        i64::try_from(answer(own).await.body.as_array().unwrap().len()).unwrap()
    };
    let started = Instant::now();
    while answered().await < 20 {
        assert!(started.elapsed() < PATIENCE, "books are added");
    }
    let before = answered().await;
    assert_eq!(place.run(&["db", "backup", "copy.db"]).await.done(), "backup  copy.db\n");
    clients.abort_all();
    while clients.join_next().await.is_some_and(|ended| ended.is_err_and(|error| error.is_cancelled())) {}

    let copy = place.path("copy.db");
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    let kept = books(&copy);
    assert!(kept >= before, "{before} were answered, {kept} are in the backup");
    assert_eq!(broken(&copy), Vec::<String>::new());
    let verified = place.run(&["db", "verify", "copy.db"]).await;
    let expected = format!("  {:<20} {kept}\n", "books");
    assert!(verified.done().starts_with("copy.db is whole: schema "), "{}", verified.stdout);
    assert!(verified.done().contains(&expected), "{}", verified.stdout);
}

#[tokio::test]
async fn a_backup_takes_no_others_place() {
    let place = Place::new();
    place.make_admin(ADA).await;
    place.write("copy.db", "precious");
    let ended = place.run(&["db", "backup", "copy.db"]).await;
    ended.refuses("copy.db is there already: name a new file");
    assert_eq!(fs::read(place.path("copy.db")).unwrap(), b"precious");
    let ended = place.run(&["db", "backup", "no/such/directory/copy.db"]).await;
    ended.refuses(&format!(
        "cannot write no/such/directory/copy.db.partial-{}: No such file or directory",
        ended.stderr.split("partial-").nth(1).unwrap().split(':').next().unwrap()
    ));
}

#[tokio::test]
async fn a_backup_of_nothing_is_refused() {
    let place = Place::new();
    let ended = place.run(&["db", "backup", "copy.db"]).await;
    ended.refuses("there is no database at ./data/satchel.db yet: make it with `satchel migrate up`");
    assert!(place.files().is_empty());
}

#[tokio::test]
async fn a_restore_brings_back_what_was_and_keeps_what_is() {
    let place = Place::new();
    let serving = place.serve().await;
    let ada = serving.guest("ada").await;
    let early = serving.sign_in(ADA, PASSWORD).await;
    assert_eq!(answer(serving.by(&early, "POST", "/api/v1.0/auth/logout")).await.status, 200);
    let leave_links =
        "insert into proofs values (1, 'reset_password', zeroblob(32), 'ada@example.com', 9000000000000000);
                       insert into letters (purpose, email, created_at, next_at)
                       values ('reset_password', 'ada@example.com', 0, 9000000000000000)";
    connect(&place.database()).execute_batch(leave_links).unwrap();
    place.run(&["db", "backup", "copy.db"]).await.done();
    let made = answer(serving.by(&ada, "POST", "/api/v1.0/books/").json(&book("Later"))).await;
    assert_eq!(made.status, 201);
    assert_eq!(answer(serving.by(&ada, "POST", "/api/v1.0/auth/logout")).await.status, 200);

    let ended = place.run(&["db", "restore", "copy.db", "--yes"]).await;
    let holder = serving.id();
    ended.refuses(&format!("the data directory ./data is in use by satchel serve, process {holder}"));
    assert_eq!(serving.stop().await.code, Some(0));
    let ended = place.run(&["db", "restore", "copy.db"]).await;
    ended.refuses("there is no terminal to ask on: say --yes");
    assert_eq!(books(&place.database()), 1, "nothing was done");

    let restored = place.run(&["db", "restore", "copy.db", "--yes"]).await;
    let kept = restored.done().lines().last().unwrap().strip_prefix("the former database is  ./").unwrap();
    assert_eq!(books(&place.database()), 0);
    assert_eq!(books(&place.path(kept)), 1);
    let links = "select (select count(*) from proofs) + (select count(*) from letters)";
    let links: i64 = connect(&place.database()).query_row(links, [], |row| row.get(0)).unwrap();
    assert_eq!(links, 0, "a link that was used after the backup is dead");
    let serving = place.serve().await;
    assert_eq!(serving.own_profile(&ada).await, 401, "a log-out after the backup holds");
    assert_eq!(serving.own_profile(&early).await, 401, "a backup keeps what was revoked");
    let again = serving.sign_in(ADA, PASSWORD).await;
    assert_eq!(serving.own_profile(&again).await, 200);
}

#[tokio::test]
async fn a_damaged_copy_is_told_by_verify_and_refused_by_restore() {
    let place = Place::new();
    place.make_admin(ADA).await;
    place.run(&["db", "backup", "copy.db"]).await.done();
    let mut bytes = fs::read(place.path("copy.db")).unwrap();
    bytes[4096..].fill(0xa5);
    fs::write(place.path("copy.db"), bytes).unwrap();
    let before = fs::read(place.database()).unwrap();
    for args in [&["db", "verify", "copy.db"][..], &["db", "restore", "copy.db", "--yes"]] {
        let ended = place.run(args).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{}", ended.stderr);
        assert!(ended.stderr.starts_with("satchel: the database copy.db is damaged: "), "{}", ended.stderr);
        assert_eq!(ended.stderr.matches('\n').count(), 1, "{}", ended.stderr);
    }
    assert_eq!(fs::read(place.database()).unwrap(), before);
    place.run(&["db", "verify"]).await.done();
}

#[tokio::test]
async fn a_file_that_is_no_copy_is_refused() {
    let place = Place::new();
    place.make_admin(ADA).await;
    place.write("notes.txt", "Dear diary,\n".repeat(1000));
    connect(&place.path("other.db")).execute_batch("create table recipes (name text)").unwrap();
    let before = place.files();
    let check = async |file: &str, expected: &str| {
        place.run(&["db", "verify", file]).await.refuses(expected);
        place.run(&["db", "restore", file, "--yes"]).await.refuses(expected);
    };
    let none = "name another file, or bring a backup back with `satchel db restore FILE`";
    check("notes.txt", &format!("notes.txt is not a database: {none}")).await;
    check("other.db", "other.db is a database of another program: name another file").await;
    check("none.db", "there is no database at none.db yet: make it with `satchel migrate up`").await;
    assert_eq!(place.files(), before);
}

#[tokio::test]
async fn a_drop_asks_makes_a_backup_and_leaves_the_keys() {
    let place = Place::new();
    let serving = place.serve().await;
    serving.guest("ada").await;
    let holder = serving.id();
    let ended = place.run(&["db", "drop", "--yes"]).await;
    ended.refuses(&format!("the data directory ./data is in use by satchel serve, process {holder}"));
    serving.stop().await;
    place.run(&["db", "drop"]).await.refuses("there is no terminal to ask on: say --yes");
    assert!(place.database().exists());

    let dropped = place.run(&["db", "drop", "--yes"]).await;
    let (backup, rest) = dropped.done().split_once('\n').unwrap();
    assert_eq!(rest, "dropped  ./data/satchel.db\n");
    let backup = backup.strip_prefix("backup  ./").unwrap();
    assert!(!place.database().exists());
    place.run(&["db", "restore", backup, "--yes"]).await.done();
    place.serve().await.sign_in(ADA, PASSWORD).await;
}

#[tokio::test]
async fn a_drop_without_a_backup_leaves_no_copy() {
    let place = Place::new();
    place.make_admin(ADA).await;
    let dropped = place.run(&["db", "drop", "--yes", "--no-backup"]).await;
    assert_eq!(dropped.done(), "dropped  ./data/satchel.db\n");
    let left: Vec<_> = place.files().into_iter().map(|(path, _)| path).collect();
    assert_eq!(left, [place.path("data/satchel.lock")]);
    let again = place.run(&["db", "drop", "--yes"]).await;
    again.refuses("there is no database at ./data/satchel.db");
}
