//! The command line beside a data directory of another user: who writes owns it, and who only looks leaves no trace.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::PathBuf;

use rustix::process::geteuid;
use tokio::process::Command;

use crate::binary::{Ended, Place, Serving, run};
use crate::house::PASSWORD;

/// A user who is not the one that runs the tests.
const OTHER: u32 = 65_534;
const ADA: &str = "ada@example.com";

/// Each command that writes.
const WRITING: [&[&str]; 18] = [
    &[],
    &["serve", "--port", "0"],
    &["migrate", "up"],
    &["migrate", "down"],
    &["admin", "create", "--email", "eve@example.com", "--password-stdin"],
    &["admin", "promote", ADA],
    &["admin", "demote", ADA],
    &["admin", "block", ADA],
    &["admin", "unblock", ADA],
    &["admin", "confirm", ADA],
    &["admin", "set-password", ADA, "--password-stdin"],
    &["keys", "rotate"],
    &["keys", "retire", "any"],
    &["letters", "retry", "1"],
    &["letters", "retry", "--all-dead"],
    &["db", "restore", "copy.db", "--yes"],
    &["db", "drop", "--yes"],
    &["db", "drop", "--yes", "--no-backup"],
];

/// Each that only looks, but for `db backup`, which writes where it is told to.
const LOOKING: [&[&str]; 6] = [
    &["keys", "list"],
    &["admin", "list"],
    &["letters", "list"],
    &["migrate", "status"],
    &["db", "verify"],
    &["check"],
];

/// A place whose data belongs to another user; `None`, with the reason told, when only root could make it.
fn others_place() -> Option<Place> {
    if !geteuid().is_root() {
        eprintln!("skipped: only root can run a server as another user");
        return None;
    }
    let place = Place::new();
    fs::set_permissions(place.path(""), PermissionsExt::from_mode(0o755)).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_satchel"), place.path("satchel")).unwrap();
    fs::create_dir(place.path("data")).unwrap();
    chown(place.path("data"), Some(OTHER), Some(OTHER)).unwrap();
    fs::set_permissions(place.path("data"), PermissionsExt::from_mode(0o700)).unwrap();
    Some(place)
}

/// The command, given by the other user.
fn as_other(place: &Place, args: &[&str]) -> Command {
    let mut command = Command::new(place.path("satchel"));
    let given = place.command(args);
    let given = given.as_std();
    command
        .args(given.get_args())
        .current_dir(place.path(""))
        .env_clear()
        .envs(given.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .uid(OTHER)
        .gid(OTHER)
        .kill_on_drop(true);
    command
}

async fn serve_as_other(place: &Place) -> Serving {
    Serving::start(as_other(place, &["serve", "--port", "0"])).await
}

/// Every file and directory below `data`, whose it is, its mode, when it was changed, and what is in it.
fn everything(place: &Place) -> Vec<(PathBuf, u32, u32, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![place.path("data")];
    while let Some(path) = open.pop() {
        let meta = fs::metadata(&path).unwrap();
        let bytes = if meta.is_dir() { Vec::new() } else { fs::read(&path).unwrap() };
        if meta.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        found.push((path, meta.uid(), meta.mode(), bytes));
    }
    found.sort();
    found
}

fn refuses(ended: &Ended, args: &[&str]) {
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{args:?}: {}", ended.stderr);
    let beginning = "satchel: the data directory ./data belongs to ";
    assert!(ended.stderr.starts_with(beginning), "{args:?}: {}", ended.stderr);
    assert!(ended.stderr.contains(", and this is root: nothing was done; run `sudo -u "), "{}", ended.stderr);
    let words = args.iter().map(|word| format!(" {word}")).collect::<String>();
    assert!(ended.stderr.ends_with(&format!("satchel{words}`\n")), "{args:?}: {}", ended.stderr);
    assert_eq!(ended.stderr.matches('\n').count(), 1, "{args:?}: {}", ended.stderr);
}

#[tokio::test]
async fn a_command_that_writes_is_refused_to_root_beside_another_users_server_and_changes_nothing() {
    let Some(place) = others_place() else { return };
    let serving = serve_as_other(&place).await;
    let ada = serving.guest("ada").await;
    let list = |ended: Ended| ended.done().to_owned();
    let before = list(place.run(&["keys", "list"]).await);
    for args in WRITING {
        refuses(&place.run_with_input(args, &format!("{PASSWORD}\n")).await, args);
    }
    assert_eq!(list(place.run(&["keys", "list"]).await), before);
    assert!(everything(&place).iter().all(|(_, owner, ..)| *owner == OTHER));
    assert_eq!(serving.own_profile(&ada).await, 200);

    // What the line says does what was asked for.
    let rotated = run(as_other(&place, &["keys", "rotate"])).await;
    assert!(rotated.done().contains(" is published, and signs from "), "{}", rotated.stdout);
    serving.sign_in(ADA, PASSWORD).await;
    assert_eq!(serving.stop().await.code, Some(0));

    let before = everything(&place);
    for args in WRITING {
        refuses(&place.run_with_input(args, &format!("{PASSWORD}\n")).await, args);
    }
    assert_eq!(everything(&place), before);
    serve_as_other(&place).await.sign_in(ADA, PASSWORD).await;
}

#[tokio::test]
async fn root_may_look_at_another_users_data_and_leaves_it_as_it_was() {
    let Some(place) = others_place() else { return };
    let serving = serve_as_other(&place).await;
    serving.guest("ada").await;
    for args in LOOKING {
        place.run(args).await.done();
    }
    place.run(&["db", "backup", "while-it-runs.db"]).await.done();
    assert!(everything(&place).iter().all(|(_, owner, ..)| *owner == OTHER));
    assert_eq!(serving.stop().await.code, Some(0));

    let before = everything(&place);
    for args in LOOKING {
        place.run(args).await.done();
        assert_eq!(everything(&place), before, "{args:?}");
    }
    place.run(&["db", "backup", "while-it-rests.db"]).await.done();
    assert_eq!(everything(&place), before);
    serve_as_other(&place).await.sign_in(ADA, PASSWORD).await;
}

#[tokio::test]
async fn commands_that_only_look_make_nothing() {
    let place = Place::new();
    let listed = place.run(&["keys", "list"]).await;
    assert_eq!(listed.done(), "there is no key yet: the first start makes one\n");
    for args in LOOKING.into_iter().chain([&["db", "backup", "copy.db"][..]]) {
        place.run(args).await;
        assert_eq!(fs::read_dir(place.path("")).unwrap().count(), 0, "{args:?} made something");
    }
    place.make_admin(ADA).await;
    let before = place.files();
    for args in LOOKING {
        place.run(args).await.done();
        assert_eq!(place.files(), before, "{args:?} made or changed something");
    }
}

#[tokio::test]
async fn a_directory_that_is_not_there_yet_belongs_to_whoever_makes_it() {
    let Some(place) = others_place() else { return };
    fs::remove_dir(place.path("data")).unwrap();
    let made = place.run_with_input(WRITING[4], &format!("{PASSWORD}\n")).await;
    assert_eq!(made.done(), "eve@example.com is an administrator\n");
    let owner = geteuid().as_raw();
    assert!(everything(&place).iter().all(|(_, found, ..)| *found == owner));
    // The other way round it holds as well: who does not own the directory does not get to its files.
    fs::set_permissions(place.path("data"), PermissionsExt::from_mode(0o777)).unwrap();
    let before = everything(&place);
    let refused = run(as_other(&place, &["serve", "--port", "0"])).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("belongs to root, and this is "), "{}", refused.stderr);
    assert_eq!(everything(&place), before);
}

#[tokio::test]
async fn modes_of_what_lies_open_are_closed_by_the_owner_at_the_start() {
    let place = Place::new();
    place.serve().await.stop().await;
    let key = fs::read_dir(place.path("data/keys")).unwrap().next().unwrap().unwrap().path();
    let mode = |path: &PathBuf| fs::metadata(path).unwrap().mode() & 0o777;
    let set = |path: &PathBuf, mode| fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    let (keys, database) = (place.path("data/keys"), place.database());
    set(&keys, 0o755);
    set(&key, 0o644);
    set(&database, 0o644);
    place.run(&["keys", "list"]).await.done();
    place.run(&["db", "verify"]).await.done();
    assert_eq!([mode(&keys), mode(&key), mode(&database)], [0o755, 0o644, 0o644], "a look changes nothing");
    place.serve().await.stop().await;
    assert_eq!([mode(&keys), mode(&key), mode(&database)], [0o700, 0o600, 0o600]);
}
