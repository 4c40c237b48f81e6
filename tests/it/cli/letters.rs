//! `satchel letters`: what has not left, and having it tried again.

use crate::binary::{Place, connect};

/// A database with one letter that waits, and two that were given up.
async fn place() -> Place {
    let place = Place::new();
    place.run(&["migrate", "up"]).await.done();
    let sql = "insert into letters (purpose, email, state, attempts, created_at, next_at, last_error) values
                 ('confirm_email', 'ada@example.com', 'waiting', 0, 0, 1000000, null),
                 ('reset_password', 'ada@example.com', 'dead', 12, 0, 2000000, 'permanent error (550): no'),
                 ('reset_password', 'bob@example.com', 'dead', 12, 0, 3000000, 'a' || char(10) || 'b')";
    connect(&place.database()).execute(sql, []).unwrap();
    place
}

fn states(place: &Place) -> Vec<String> {
    let conn = connect(&place.database());
    let mut statement = conn.prepare("select state || ' ' || attempts from letters order by id").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[tokio::test]
async fn list_says_what_has_not_left_and_why() {
    let place = place().await;
    let expected = "\
1  confirm_email  ada@example.com  waiting until 1970-01-01T00:00:01.000000Z, attempts 0
2  reset_password  ada@example.com  dead since 1970-01-01T00:00:02.000000Z, attempts 12: permanent error (550): no
3  reset_password  bob@example.com  dead since 1970-01-01T00:00:03.000000Z, attempts 12: a\\nb
";
    assert_eq!(place.run(&["letters", "list"]).await.done(), expected);
    connect(&place.database()).execute("delete from letters", []).unwrap();
    let none = "every letter has left: none waits, and none was given up\n";
    assert_eq!(place.run(&["letters", "list"]).await.done(), none);
}

#[tokio::test]
async fn retry_takes_one_or_all_that_were_given_up() {
    let place = place().await;
    assert_eq!(place.run(&["letters", "retry", "2"]).await.done(), "letter 2 is tried again\n");
    assert_eq!(states(&place), ["waiting 0", "waiting 0", "dead 12"]);
    assert_eq!(place.run(&["letters", "retry", "--all-dead"]).await.done(), "tried again: 1\n");
    assert_eq!(states(&place), ["waiting 0", "waiting 0", "waiting 0"]);
    assert_eq!(place.run(&["letters", "retry", "--all-dead"]).await.done(), "tried again: 0\n");
}

#[tokio::test]
async fn what_cannot_be_retried_is_told() {
    let place = place().await;
    let ended = place.run(&["letters", "retry", "17"]).await;
    ended.refuses("there is no letter 17: `satchel letters list` shows them");
    for args in
        [&["letters", "retry"][..], &["letters", "retry", "2", "--all-dead"], &["letters", "retry", "x"]]
    {
        assert_eq!(place.run(args).await.code, Some(2), "{args:?}");
    }
    let ended = Place::new().run(&["letters", "list"]).await;
    ended.refuses("there is no database at ./data/satchel.db yet: make it with `satchel migrate up`");
    assert_eq!(states(&place), ["waiting 0", "dead 12", "dead 12"]);
}

#[tokio::test]
async fn a_running_server_tries_at_once_what_is_to_be_tried_again() {
    let place = place().await;
    // What was given up in 1970 is purged at the start.
    let sql = "update letters set next_at = unixepoch() * 1000000";
    connect(&place.database()).execute(sql, []).unwrap();
    let serving = place.serve().await;
    serving.guest("bob").await;
    place.run(&["letters", "retry", "--all-dead"]).await.done();
    crate::mail::until("the letter leaves", || states(&place).is_empty()).await;
    let mail = std::fs::read_dir(place.path("data/mail")).unwrap();
    let names: Vec<_> = mail.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.len() == 1 && names[0].ends_with("-3-reset_password.eml"), "{names:?}");
}
