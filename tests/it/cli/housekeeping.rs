//! What a running server does by itself, and what the system lets it do.

use std::fs;
use std::future::pending;
use std::sync::mpsc::channel;
use std::task::{Context, Waker};
use std::time::Duration;

use satchel::cli::serve::Server;
use satchel::clock::Clock;
use satchel::config::Config;
use tempfile::TempDir;
use tokio::process::Command;

use crate::binary::{PATIENCE, Place, Serving, connect};
use crate::house::PASSWORD;

/// Panics wherever it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("as the test wants it");
    }
}

/// An answer that nobody waits for any more is dropped by the writer.
#[tokio::test]
async fn a_thread_that_ends_early_ends_the_server_with_a_fault_that_names_it() {
    let dir = TempDir::new().unwrap();
    let mut config = Config::default();
    config.server.port = 0;
    config.server.data = dir.path().join("data");
    config.auth.hash_memory_kib = 64;
    let server = Server::start(config, Clock::system()).await.unwrap();
    let db = server.app.db.clone();
    let (release, released) = channel::<()>();
    let hold = move |_: &satchel::db::Write<'_>| {
        released.recv_timeout(PATIENCE).ok();
        Ok(())
    };
    let mut held = Box::pin(db.write(hold));
    let mut left = Box::pin(db.write(|_| Ok(Bomb)));
    for pending in [
        held.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending(),
        left.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending(),
    ] {
        assert!(pending);
    }
    drop(left);
    drop(release);
    held.await.unwrap();
    let ended = tokio::time::timeout(PATIENCE, server.run_until(pending())).await.expect("it ends");
    let expected = "the thread that writes to the database has ended, and the server cannot go on without it";
    assert_eq!(ended.unwrap_err().to_string(), expected);
}

#[tokio::test]
async fn keys_are_noticed_while_a_purge_waits_for_its_turn() {
    let place = Place::new();
    let serving = place.serve().await;
    serving.guest("ada").await;
    let conn = connect(&place.database());
    conn.busy_timeout(PATIENCE).unwrap();
    conn.execute_batch(
        "begin immediate;
         with recursive numbers (n) as (select 1 union all select n + 1 from numbers where n < 3000)
         insert into todos (title, priority, user_id, created_at, updated_at) select 'more', 'low', 1, 1, 1 from numbers;
         update users set deleted_at = 1, username = null, username_key = null;
         insert into removals (user_id, scope) values (1, 'everything');
         commit;
         begin immediate;",
    )
    .unwrap();
    // It is looked for every second.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let rotated = place.run(&["keys", "rotate"]).await;
    assert!(rotated.done().contains(" is published, and signs from "), "{}", rotated.stdout);
    let left: i64 = conn.query_row("select count(*) from todos", [], |row| row.get(0)).unwrap();
    assert!(left > 0, "the purge was over before");
    conn.execute_batch("rollback").unwrap();
    serving.stop().await;
}

/// A limit of a process: the soft and the hard one.
fn limit(serving: &Serving, name: &str) -> (String, String) {
    let limits = fs::read_to_string(format!("/proc/{}/limits", serving.id())).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix(name)).expect("it is there");
    let mut words = line.split_whitespace().map(String::from);
    (words.next().unwrap(), words.next().unwrap())
}

/// The server, started by a shell with this limit of open files.
fn limited(place: &Place, limit: &str) -> Command {
    let given = place.command(&[]);
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("ulimit {limit}; exec \"$0\" --port 0"), env!("CARGO_BIN_EXE_satchel")])
        .current_dir(place.path(""))
        .env_clear()
        .envs(given.as_std().get_envs().filter_map(|(name, value)| Some((name, value?))))
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true);
    command
}

#[tokio::test]
async fn a_server_leaves_no_image_of_its_memory_and_opens_as_many_files_as_it_may() {
    let place = Place::new();
    let serving = Serving::start(limited(&place, "-Sn 200")).await;
    assert_eq!(limit(&serving, "Max core file size"), (String::from("0"), String::from("0")));
    let (soft, hard) = limit(&serving, "Max open files");
    assert_eq!(soft, hard);
    serving.guest("ada").await;
    serving.stop().await;
}

#[tokio::test]
async fn a_low_limit_of_open_files_takes_fewer_connections_and_is_told_once() {
    let place = Place::new();
    let serving = Serving::start(limited(&place, "-n 200")).await;
    serving.guest("ada").await;
    let mut held = Vec::new();
    // More than are taken, and fewer than the system keeps waiting besides.
    for _ in 0..190 {
        held.extend(tokio::net::TcpStream::connect(serving.address()).await);
    }
    // With every connection taken it has files left for its own work.
    let made = place
        .run_with_input(&["admin", "create", "--email", "eve@example.com", "--password-stdin"], PASSWORD);
    assert_eq!(made.await.done(), "eve@example.com is an administrator\n");
    drop(held);
    serving.sign_in("ada@example.com", PASSWORD).await;
    let ended = serving.stop().await;
    assert_eq!(ended.code, Some(0));
    let told: Vec<&str> = ended.stderr.lines().filter(|line| line.contains("files open")).collect();
    assert_eq!(told.len(), 1, "{}", ended.stderr);
    assert!(told[0].contains("this process may have 200 files open: it takes "), "{}", told[0]);
    assert!(told[0].contains(" and not the 10000 of server.max_connections"), "{}", told[0]);
    assert!(!ended.stderr.to_lowercase().contains("too many open files"), "{}", ended.stderr);
}
