//! What `serve` cannot work with: one line on stderr, a code that is not 0, and everything as it was.

use std::fs;
use std::net::TcpListener;

use tokio::process::Command;

use crate::binary::{Ended, Place, connect, run};

/// Starts it and compares every file that was there before with what it is afterwards.
async fn refused(place: &Place, command: Command) -> Ended {
    let before = place.files();
    let ended = run(command).await;
    for (path, bytes) in before {
        assert!(fs::read(&path).is_ok_and(|now| now == bytes), "{} is another", path.display());
    }
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(ended.stderr.matches('\n').count(), 1, "{}", ended.stderr);
    assert!(!ended.stderr.contains("panic"), "{}", ended.stderr);
    ended
}

/// The same with flags alone.
async fn serve(place: &Place, args: &[&str]) -> Ended {
    refused(place, place.command(&[&["serve", "--port", "0"], args].concat())).await
}

/// A place with a database, a key, and a user.
async fn lived_in() -> Place {
    let place = Place::new();
    let serving = place.serve().await;
    serving.guest("ada").await;
    assert_eq!(serving.stop().await.code, Some(0));
    place
}

/// The key's name, from the data directory.
fn key(place: &Place) -> String {
    let mut keys = fs::read_dir(place.path("data/keys")).unwrap();
    let key = keys.next().unwrap().unwrap().file_name().into_string().unwrap();
    assert!(keys.next().is_none());
    key
}

#[tokio::test]
async fn a_second_server_is_told_who_holds_the_data() {
    let place = Place::new();
    let serving = place.serve().await;
    let ended = run(place.command(&["serve", "--port", "0"])).await;
    let holder = serving.id();
    let sentence = format!("the data directory ./data is in use by satchel serve, process {holder}");
    ended.refuses(&sentence);
    // The same command again asks for the same port, too: who holds the data is the better reason.
    let port = serving.address().rsplit(':').next().unwrap();
    run(place.command(&["serve", "--port", port])).await.refuses(&sentence);
    assert_eq!(serving.get("/health").await.status, 200);
}

#[tokio::test]
async fn a_server_may_start_where_another_was_killed() {
    let place = Place::new();
    place.serve().await.kill().await;
    assert_eq!(place.serve().await.get("/health").await.status, 200);
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _listener = TcpListener::bind(taken).unwrap();
    let ended = refused(&place, place.command(&["--port", &taken.port().to_string()])).await;
    ended.refuses(&format!(
        "cannot listen on {taken}: address already in use: choose another port with --port"
    ));
    assert!(!place.path("data").exists(), "nothing was made");
}

#[tokio::test]
async fn a_port_that_is_taken_on_one_loopback_address_is_not_one_for_localhost() {
    let place = Place::new();
    let listener = TcpListener::bind("[::1]:0").unwrap();
    let taken = listener.local_addr().unwrap();
    let port = taken.port().to_string();
    let ended = refused(&place, place.command(&["--host", "localhost", "--port", &port])).await;
    ended.refuses(&format!(
        "cannot listen on {taken}: address already in use: choose another port with --port"
    ));
}

#[tokio::test]
async fn an_address_of_another_machine_is_named() {
    let place = Place::new();
    let ended = serve(&place, &["--host", "192.0.2.1"]).await;
    ended.refuses("cannot listen on 192.0.2.1:0: cannot assign requested address");
}

#[tokio::test]
async fn a_wrong_config_is_told_by_key_value_and_what_is_allowed() {
    let check = async |text: &[u8], expected: &str| {
        let place = Place::new();
        place.write("config.toml", text);
        serve(&place, &[]).await.refuses(expected);
        assert!(!place.path("data").exists(), "nothing was made");
    };
    check(b"[server]\nprot = 8000\n", "config.toml: unknown key server.prot (did you mean server.port?)")
        .await;
    check(b"[nothing]\nlike = \"this\"\n", "config.toml: unknown key nothing.like").await;
    check(b"[server]\nport = 70000\n", "config.toml: server.port is 70000, allowed: 0 to 65535").await;
    check(b"[server]\ndocs = \"yes\"\n", "config.toml: server.docs is \"yes\", allowed: true or false").await;
    check(b"\xff\xfe", "config.toml: the file is not UTF-8").await;
    check(b"server = 1\n", "config.toml: server is 1, allowed: a section, [server]").await;
}

#[tokio::test]
async fn a_config_that_is_no_toml_is_told_by_its_line() {
    let place = Place::new();
    place.write("config.toml", "[server]\nport = 8000\nhost = \n");
    let ended = serve(&place, &[]).await;
    assert!(ended.stderr.starts_with("satchel: config.toml: line 3: "), "{}", ended.stderr);
}

#[tokio::test]
async fn a_config_that_cannot_be_read_is_told() {
    let place = Place::new();
    fs::create_dir(place.path("config.toml")).unwrap();
    serve(&place, &[]).await.refuses("config.toml: the file cannot be read: Is a directory");
}

#[tokio::test]
async fn a_named_config_that_is_missing_is_not_passed_over() {
    let place = Place::new();
    serve(&place, &["--config", "other.toml"]).await.refuses("other.toml: there is no such file");
}

#[tokio::test]
async fn an_unknown_variable_is_not_passed_over() {
    let place = Place::new();
    let mut command = place.command(&["--port", "0"]);
    command.env("SATCHEL_SERVER__PROT", "8000");
    let ended = refused(&place, command).await;
    ended.refuses("SATCHEL_SERVER__PROT: unknown variable (did you mean SATCHEL_SERVER__PORT?)");
}

#[tokio::test]
async fn a_variable_with_a_wrong_value_is_told() {
    let place = Place::new();
    let mut command = place.command(&["--port", "0"]);
    command.env("SATCHEL_DB__QUEUE", "none");
    let ended = refused(&place, command).await;
    ended.refuses("SATCHEL_DB__QUEUE: db.queue is \"none\", allowed: 1 to 65536");
}

#[tokio::test]
async fn production_is_refused_with_what_it_lacks() {
    let place = Place::new();
    let mut command = place.command(&["--port", "0"]);
    command.env("SATCHEL_ENVIRONMENT", "production");
    let ended = refused(&place, command).await;
    assert!(ended.stderr.contains("production"), "{}", ended.stderr);
    assert!(!place.path("data").exists(), "nothing was made");
}

#[tokio::test]
async fn a_corrupt_key_is_named_and_kept() {
    let place = lived_in().await;
    let key = format!("data/keys/{}", key(&place));
    let pem = fs::read_to_string(place.path(&key)).unwrap();
    let check = async |content: &[u8], why: &str| {
        fs::write(place.path(&key), content).unwrap();
        let ended = serve(&place, &[]).await;
        let expected = format!("satchel: the key ./{key} is damaged ({why}");
        assert!(ended.stderr.starts_with(&expected), "{}", ended.stderr);
        assert!(
            ended
                .stderr
                .ends_with("): restore it from a backup, or remove it, which ends every token it signed\n")
        );
    };
    check(b"", "it is not a PEM file").await;
    check(b"\xff\xfe\x00", "it is not text").await;
    check(&pem.as_bytes()[..60], "").await;
    check(pem.replace("PRIVATE KEY", "PUBLIC KEY").as_bytes(), "it holds a \"PUBLIC KEY\" instead").await;
    check(pem.replace("MC4CAQAw", "MC4CAQEw").as_bytes(), "").await;

    fs::write(place.path(&key), pem).unwrap();
    assert_eq!(place.serve().await.get("/health").await.status, 200);
}

#[tokio::test]
async fn a_key_under_the_name_of_another_is_told() {
    let place = lived_in().await;
    let key = key(&place);
    let other = format!("{}{}.pem", &key[..13], "A".repeat(43));
    fs::rename(place.path("data/keys").join(&key), place.path("data/keys").join(&other)).unwrap();
    let kid = &key[13..56];
    let expected = format!("./data/keys/{other} holds the key {kid}, not the one it is named for: remove it");
    serve(&place, &[]).await.refuses(&expected);
}

#[tokio::test]
async fn a_file_among_the_keys_that_is_named_like_none_is_told() {
    let place = lived_in().await;
    place.write("data/keys/mine.pem", "secret");
    let expected = "./data/keys/mine.pem does not have the name of a key: move it elsewhere";
    serve(&place, &[]).await.refuses(expected);
}

#[tokio::test]
async fn a_key_directory_that_is_a_file_is_told() {
    let place = Place::new();
    place.write("data/keys", "");
    let ended = serve(&place, &[]).await;
    assert!(ended.stderr.starts_with("satchel: ./data/keys cannot be "), "{}", ended.stderr);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_told() {
    let place = Place::new();
    place.write("data/satchel.db", "Dear diary,\n".repeat(1000));
    let expected = "./data/satchel.db is not a database: name another file, or bring a backup back with \
                    `satchel db restore FILE`";
    serve(&place, &[]).await.refuses(expected);
}

#[tokio::test]
async fn a_corrupt_database_is_told_and_kept() {
    let place = lived_in().await;
    let mut bytes = fs::read(place.database()).unwrap();
    // Every page but the first, which holds the header and the schema.
    bytes[4096..].fill(0xa5);
    fs::write(place.database(), bytes).unwrap();
    let ended = serve(&place, &[]).await;
    let expected = "satchel: the database ./data/satchel.db is damaged: see how much with `satchel db verify`, \
                    bring a backup back with `satchel db restore FILE`";
    assert!(ended.stderr.starts_with(expected), "{}", ended.stderr);
    assert!(!ended.stderr.contains("Error code"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_database_that_was_cut_short_is_told_and_kept() {
    let place = lived_in().await;
    let bytes = fs::read(place.database()).unwrap();
    fs::write(place.database(), &bytes[..bytes.len() / 2]).unwrap();
    let ended = serve(&place, &[]).await;
    assert!(ended.stderr.contains("./data/satchel.db is damaged"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_database_of_a_newer_satchel_is_told_and_kept() {
    let place = lived_in().await;
    let conn = connect(&place.database());
    let known: u32 =
        conn.query_row("select max(version) from schema_migrations", [], |row| row.get(0)).unwrap();
    let sql = "insert into schema_migrations (version, name, applied_at) values (?1, 'later', 0)";
    for version in known + 1..=99 {
        conn.execute(sql, [version]).unwrap();
    }
    conn.close().unwrap();
    let expected = format!(
        "the database ./data/satchel.db has schema 99, this binary knows {known}: use a newer satchel, or \
         restore a backup"
    );
    serve(&place, &[]).await.refuses(&expected);
}

/// SQLite's own header says how a file is journalled: a refused file must not even change in that.
#[tokio::test]
async fn a_database_of_another_program_is_told_and_kept() {
    for migrate_on_start in ["true", "false"] {
        let place = Place::new();
        fs::create_dir(place.path("data")).unwrap();
        connect(&place.database()).execute_batch("create table recipes (name text)").unwrap();
        let mut command = place.command(&["--port", "0"]);
        command.env("SATCHEL_DB__MIGRATE_ON_START", migrate_on_start);
        let expected = "./data/satchel.db is a database of another program: name another file";
        refused(&place, command).await.refuses(expected);
    }
}

#[tokio::test]
async fn a_database_that_is_a_directory_is_told() {
    let place = Place::new();
    fs::create_dir_all(place.database()).unwrap();
    serve(&place, &[]).await.refuses("./data/satchel.db is not a file");
}

#[tokio::test]
async fn without_migrations_at_start_a_missing_database_is_told() {
    let place = Place::new();
    let mut command = place.command(&["--port", "0"]);
    command.env("SATCHEL_DB__MIGRATE_ON_START", "false");
    let expected = "there is no database at ./data/satchel.db yet: make it with `satchel migrate up`";
    refused(&place, command).await.refuses(expected);
}

/// Below a regular file nobody can make a directory, not even root.
#[tokio::test]
async fn a_data_directory_that_cannot_be_made_is_told() {
    let place = Place::new();
    place.write("file", "in the way");
    let ended = serve(&place, &["--data", "file/data"]).await;
    ended.refuses("cannot make the data directory file/data: Not a directory");
}

#[tokio::test]
async fn a_data_directory_that_is_a_file_is_told() {
    let place = Place::new();
    place.write("data", "in the way");
    let ended = serve(&place, &[]).await;
    ended.refuses("cannot make the data directory ./data: File exists");
}

/// A directory in the place of the lock's file stands for one that cannot be written to, for root as well.
#[tokio::test]
async fn a_data_directory_that_cannot_be_written_to_is_told() {
    let place = Place::new();
    fs::create_dir_all(place.path("data/satchel.lock")).unwrap();
    let ended = serve(&place, &[]).await;
    ended.refuses("cannot write in the data directory ./data: Is a directory");
}
