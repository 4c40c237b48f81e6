//! `satchel migrate`: the schema of a real file, forward and back.

use satchel::db::migrate;

use crate::binary::{Place, connect};

/// The lines of `migrate status`, each without its moment.
async fn status(place: &Place) -> Vec<String> {
    let ended = place.run(&["migrate", "status"]).await;
    let without_moment = |line: &str| line.split(" 20").next().unwrap().to_owned();
    ended.done().lines().map(without_moment).collect()
}

fn names() -> Vec<(u32, String)> {
    let nowhere = std::path::Path::new("/nonexistent/satchel.db");
    migrate::status(nowhere).unwrap().into_iter().map(|step| (step.version, step.name)).collect()
}

fn lines(applied: u32) -> Vec<String> {
    let state = |version| if version <= applied { "applied" } else { "not applied" };
    names().iter().map(|(version, name)| format!("{version:04} {name:<12} {}", state(*version))).collect()
}

#[tokio::test]
async fn status_of_nothing_makes_nothing() {
    let place = Place::new();
    assert_eq!(status(&place).await, lines(0));
    assert!(place.files().is_empty());
}

#[tokio::test]
async fn the_schema_goes_up_and_down_by_steps_and_says_so() {
    let (place, latest) = (Place::new(), migrate::latest());
    let up = place.run(&["migrate", "up", "1"]).await;
    assert_eq!(up.done(), "applied 0001 users\nthe schema is now 1\n");
    assert_eq!(status(&place).await, lines(1));

    let up = place.run(&["migrate", "up"]).await;
    let (backup, rest) = up.done().split_once('\n').unwrap();
    let backup = backup.strip_prefix("backup  ./").expect("a backup was made");
    assert!(place.path(backup).exists());
    assert!(rest.ends_with(&format!("the schema is now {latest}\n")), "{rest}");
    assert_eq!(status(&place).await, lines(latest));

    assert_eq!(place.run(&["migrate", "up"]).await.done(), format!("the schema is now {latest}\n"));

    let down = place.run(&["migrate", "down"]).await;
    assert!(down.done().ends_with(&format!("the schema is now {}\n", latest - 1)), "{}", down.stdout);
    assert_eq!(status(&place).await, lines(latest - 1));

    let down = place.run(&["migrate", "down", "99"]).await;
    assert!(down.done().ends_with("undone 0001 users\nthe schema is now 0\n"), "{}", down.stdout);
    assert_eq!(status(&place).await, lines(0));
    assert_eq!(place.run(&["migrate", "down"]).await.done(), "the schema is now 0\n");
}

#[tokio::test]
async fn what_goes_down_is_in_the_backup() {
    let place = Place::new();
    place.make_admin("ada@example.com").await;
    let down = place.run(&["migrate", "down", "99"]).await;
    let backup = down.done().lines().next().unwrap().strip_prefix("backup  ./").unwrap();
    let email: String =
        connect(&place.path(backup)).query_row("select email from users", [], |row| row.get(0)).unwrap();
    assert_eq!(email, "ada@example.com");
    place.run(&["db", "restore", backup, "--yes"]).await.done();
    assert!(place.run(&["admin", "list"]).await.done().contains("  ada@example.com  active  since "));
}

#[tokio::test]
async fn moving_the_schema_down_where_there_is_none_is_refused() {
    let ended = Place::new().run(&["migrate", "down"]).await;
    ended.refuses("there is no database at ./data/satchel.db yet: make it with `satchel migrate up`");
}

#[tokio::test]
async fn moving_the_schema_beside_a_server_is_refused_and_looking_is_not() {
    let place = Place::new();
    let serving = place.serve().await;
    let expected = format!("the data directory ./data is in use by satchel serve, process {}", serving.id());
    place.run(&["migrate", "up"]).await.refuses(&expected);
    place.run(&["migrate", "down"]).await.refuses(&expected);
    assert_eq!(status(&place).await, lines(migrate::latest()));
    serving.guest("ada").await;
}
