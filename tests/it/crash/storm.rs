//! The storm: clients of all five APIs write at once, the server is killed, and what it had answered holds.

use std::fs;
use std::time::Duration;

use futures_util::future::join_all;
use rustix::process::Signal;

use super::people::{Newcomers, Purse, Visitor};
use super::shelves::{KINDS, Shelf};
use super::{any, rounds};
use crate::binary::{Place, Serving, broken, connect};
use crate::house::{Guest, PASSWORD};

/// Clients who keep things of one kind, and clients with a purse.
const ALIKE: usize = 2;

/// A server whose users are held up by no limit.
async fn serve(place: &Place) -> Serving {
    let mut command = place.command(&["serve", "--port", "0"]);
    for limit in ["SIGNUP", "LOGIN", "LIST_CONTACTS", "CREATE_CONTACT", "UPDATE_CONTACT", "DELETE_CONTACT"] {
        command.env(format!("SATCHEL_CONTACTBOOK__LIMITS__{limit}"), "off");
    }
    Serving::start(command).await
}

/// A user whose address is confirmed: he may use every API.
async fn member(place: &Place, serving: &Serving, name: &str) -> Guest {
    let guest = serving.guest(name).await;
    place.run(&["admin", "confirm", &guest.email]).await.done();
    guest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answered_write_of_every_api_outlives_a_kill_and_nothing_is_half_done() {
    let place = Place::new();
    let mut serving = serve(&place).await;
    let (mut shelves, mut purses) = (Vec::new(), Vec::new());
    for n in 0..ALIKE {
        for (api, kind) in KINDS.iter().enumerate() {
            shelves.push(Shelf::new(kind, member(&place, &serving, &format!("keeper{n}of{api}")).await));
        }
        purses.push(Purse::new(member(&place, &serving, &format!("saver{n}")).await));
    }
    let mut newcomers = Newcomers::default();
    let mut visitor = Visitor::new(member(&place, &serving, "visitor").await);

    for round in 0..rounds() {
        tokio::join!(
            join_all(shelves.iter_mut().map(|shelf| shelf.storm(&serving))),
            join_all(purses.iter_mut().map(|purse| purse.storm(&serving))),
            newcomers.storm(&serving),
            visitor.storm(&serving),
            async {
                tokio::time::sleep(Duration::from_millis(30 + any(300))).await;
                serving.signal(Signal::KILL);
            }
        );
        assert_eq!(serving.end().await.code, None);

        inspect(&place, &mut newcomers, round);
        serving = serve(&place).await;
        for shelf in &mut shelves {
            shelf.check(&serving, round).await;
        }
        for purse in &mut purses {
            purse.check(&serving, round).await;
        }
        visitor.check(&serving, round).await;
        newcomers.sign_in(&serving).await;
        assert_eq!(broken(&place.database()), Vec::<String>::new(), "round {round}");
        let guests =
            shelves.iter_mut().map(Shelf::guest).chain(purses.iter_mut().map(|purse| &mut purse.guest));
        for guest in guests {
            *guest = serving.sign_in(&guest.email, PASSWORD).await;
        }
    }

    visitor.check_all(&serving).await;
    let written = shelves.iter().map(|shelf| shelf.answered).chain(purses.iter().map(|purse| purse.answered));
    for answered in written.chain([newcomers.answered(), visitor.answered()]) {
        assert!(answered >= rounds(), "the storm was none: {answered} writes of a client");
    }
    assert_eq!(serving.stop().await.code, Some(0));
}

/// Looks at what a killed server has left, before another mends it: in a copy, since whoever opens a database first
/// takes its log in.
fn inspect(place: &Place, newcomers: &mut Newcomers, round: u64) {
    let copy = place.path("copy.db");
    for end in ["", "-wal"] {
        let (from, to) = (format!("data/satchel.db{end}"), format!("copy.db{end}"));
        fs::copy(place.path(from), place.path(to)).unwrap();
    }
    assert_eq!(broken(&copy), Vec::<String>::new(), "round {round}: right after the kill");
    newcomers.check(&copy, &place.path("data/mail"), round);
    let conn = connect(&copy);
    for (what, sql) in [
        (
            "todos are counted wrong",
            "select count(*) from users u left join todo_totals t on t.user_id = u.id
             where coalesce(t.open, 0) <> (select count(*) from todos where user_id = u.id and not is_completed)
                or coalesce(t.completed, 0) <> (select count(*) from todos where user_id = u.id and is_completed)",
        ),
        (
            "users are counted wrong",
            "select users <> (select count(*) from users where deleted_at is null) from user_total",
        ),
        ("a session of nobody", "select count(*) from sessions where user_id not in (select id from users)"),
    ] {
        let found: i64 = conn.query_row(sql, [], |row| row.get(0)).unwrap();
        assert_eq!(found, 0, "round {round}: {what}");
    }
}
