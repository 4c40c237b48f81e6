//! Authority: what a caller may do is judged in the transaction of the write, not only before it waits.

use std::future::poll_fn;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::Poll;
use std::time::Duration;

use futures_util::future::join_all;
use satchel::db::Write;
use satchel::domain::auth::{Admin, sessions};
use satchel::domain::users::{self, Patch, Role, User};
use satchel::domain::{accounts, books, contacts, items, todos};
use satchel::error::{Error, Refusal};
use serde_json::{Value, json};

use super::{look_up, me, new_book, set_blocked};
use crate::house::{Answer, Guest, House, answer, book, contact, registration, send};

/// How a caller loses authority.
const LOSSES: [&str; 5] = ["log-out", "deactivation", "demotion", "block", "deletion"];

/// The change that takes a user's authority away.
fn take_away(db: &Write, user: &User, how: &str) -> satchel::error::Result<()> {
    let operator = Admin::operator();
    let patch = match how {
        "log-out" => return sessions::end_all(db, user.id),
        "block" => return users::set_blocked(db, &operator, user, true).map(drop),
        "deletion" => return users::delete_as_admin(db, &operator, user),
        "deactivation" => Patch { is_active: Some(false), ..Patch::default() },
        _ => Patch { role: Some(Role::User), ..Patch::default() },
    };
    users::update_as_admin(db, &operator, user, &patch).map(drop)
}

/// Keeps the writer busy until the sender is dropped.
pub async fn hold_writer(house: &House) -> Sender<()> {
    let (release, has_begun) = queue_hold(house);
    tokio::task::spawn_blocking(move || has_begun.recv().unwrap()).await.unwrap();
    release
}

/// Queues what will keep the writer busy until the sender is dropped; the receiver hears when it does.
pub fn queue_hold(house: &House) -> (Sender<()>, Receiver<()>) {
    let (release, released) = channel::<()>();
    let released = std::sync::Mutex::new(released);
    let (begun, has_begun) = channel();
    let db = house.server.app.db.clone();
    tokio::spawn(async move {
        db.write(move |_| {
            begun.send(()).unwrap();
            let _ = released.lock().unwrap().recv();
            Ok(())
        })
        .await
    });
    (release, has_begun)
}

/// Polls once, so that a write is queued.
async fn queued<T>(write: impl Future<Output = T> + Send + 'static) -> tokio::task::JoinHandle<T>
where
    T: Send + 'static,
{
    let mut write = Box::pin(write);
    let is_pending = poll_fn(|context| Poll::Ready(write.as_mut().poll(context).is_pending())).await;
    assert!(is_pending, "the writer is held");
    tokio::spawn(write)
}

/// Each write for a caller that the house knows, after the authority went in the queue before it: in the same commit
/// (`group` many), or in the one before (`group` 1).
async fn refuses_all_writes_after(how: &'static str, group: usize) {
    let house = House::with(|config| config.db.group = group).await;
    house.guest_as("boss", Role::Admin).await;
    let ada = house.guest_as("ada", Role::Admin).await;
    let app = house.server.app.clone();
    let caller = app.auth.authenticate(&app.db, &ada.access).unwrap();
    let uuid = caller.uuid();

    let release = hold_writer(&house).await;
    let db = app.db.clone();
    let lost =
        queued(async move { db.write(move |db| take_away(db, &users::by_uuid(db, uuid)?, how)).await }).await;
    let mut writes = Vec::new();
    macro_rules! write {
        ($what:literal, $f:expr) => {
            let app = app.clone();
            writes.push(($what, queued(async move { app.write_as(caller, $f).await.map(drop) }).await));
        };
    }
    let id = house.clock.new_id();
    write!("a book", move |db| books::create(db, id, &new_book()));
    write!("an item", move |db| items::delete(db, id));
    write!("a todo", |db| todos::delete(db, 1));
    write!("a contact", |db| contacts::delete(db, contacts::ContactId(1)));
    write!("a profile", |db| {
        let active = Patch { is_active: Some(true), role: Some(Role::Admin), ..Patch::default() };
        users::update(db, &users::own(db, db.caller())?, &active)
    });
    write!("a role", |db| {
        let promotion = Patch { role: Some(Role::Admin), ..Patch::default() };
        users::update_as_admin(db, &db.admin()?, &users::own(db, db.caller())?, &promotion)
    });
    write!("an unblock", |db| users::set_blocked(db, &db.admin()?, &users::own(db, db.caller())?, false));
    write!("a balance", |db| accounts::add_to_balance(db, 1));
    write!("a deletion", accounts::delete);
    write!("a log-out", sessions::end);
    write!("a log-out everywhere", sessions::end_own);
    drop(release);
    lost.await.unwrap().unwrap();
    for (what, write) in writes {
        let refused = write.await.unwrap();
        let expected = if how == "deactivation" { Refusal::TokenOfInactive } else { Refusal::TokenRevoked };
        assert!(
            matches!(&refused, Err(Error::Refusal(refusal)) if *refusal == expected),
            "{what} after a {how}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn a_write_that_waits_behind_the_loss_of_its_authority_in_the_same_commit_is_refused() {
    for how in LOSSES {
        refuses_all_writes_after(how, 256).await;
    }
}

#[tokio::test]
async fn a_write_that_waits_behind_the_loss_of_its_authority_in_an_earlier_commit_is_refused() {
    for how in LOSSES {
        refuses_all_writes_after(how, 1).await;
    }
}

#[tokio::test]
async fn an_address_that_loses_its_confirmation_before_the_write_keeps_its_user_from_contacts() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    house.confirm(&ada).await;
    let app = house.server.app.clone();
    let caller = app.auth.authenticate(&app.db, &ada.access).unwrap();
    let release = hold_writer(&house).await;
    let db = app.db.clone();
    let uuid = caller.uuid();
    let moved = queued(async move {
        db.write(move |db| {
            let email = satchel::domain::emails::Email::parse("new@example.com", true).unwrap();
            let patch = Patch { email: Some(email), ..Patch::default() };
            users::update_as_admin(db, &Admin::operator(), &users::by_uuid(db, uuid)?, &patch).map(drop)
        })
        .await
    })
    .await;
    let confirmed = caller.confirmed_only().unwrap();
    let delete = app.clone();
    let refused = queued(async move {
        delete.write_as(confirmed, |db| contacts::delete(db, contacts::ContactId(1))).await.map(drop)
    })
    .await;
    let allowed =
        queued(async move { app.write_as(caller, |db| Ok(db.caller().is_confirmed())).await }).await;
    drop(release);
    moved.await.unwrap().unwrap();
    let refused = refused.await.unwrap();
    assert!(matches!(refused, Err(Error::Refusal(Refusal::TokenOfUnconfirmed))), "{refused:?}");
    assert!(!allowed.await.unwrap().unwrap(), "the caller is as the database has the user");
    house.forget_letters().await;
}

#[tokio::test]
async fn an_administrator_demoted_while_a_password_is_hashed_creates_nobody() {
    let house = House::new().await;
    house.guest_as("boss", Role::Admin).await;
    let ada = house.guest_as("ada", Role::Admin).await;
    let release = hold_writer(&house).await;
    let app = house.server.app.clone();
    let uuid = ada.uuid.parse().unwrap();
    let db = app.db.clone();
    let demoted =
        queued(
            async move { db.write(move |db| take_away(db, &users::by_uuid(db, uuid)?, "demotion")).await },
        )
        .await;
    let mut body = registration("eve");
    body["role"] = json!("admin");
    let request = house.by(&ada, "POST", "/api/v1.0/users/admin/create").json(&body);
    let creation = tokio::spawn(answer(request));
    // It waits behind the demotion once its password is hashed; until then nothing is to be seen of it.
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(release);
    demoted.await.unwrap().unwrap();
    creation.await.unwrap().refuses(401, "Token has been revoked");
    assert_eq!(look_up::<i64>(&house, "select count(*) from users where username = 'eve'"), 0);
}

/// Sends a request again and again over several connections until the last one is refused.
async fn insist(
    house: &House,
    by: &Guest,
    connections: usize,
    method: &str,
    path: &str,
    body: &Value,
) -> Vec<Answer> {
    let one = async || {
        let mut last = None;
        for _ in 0..200 {
            let answer = send(house, by, method, path, body.clone()).await;
            let refused = answer.status == 401;
            last = Some(answer);
            if refused {
                break;
            }
        }
        last.unwrap()
    };
    join_all((0..connections).map(|_| one())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_undoes_a_deactivation_a_demotion_or_a_block_by_racing_it() {
    let house = House::new().await;
    let boss = house.guest_as("boss", Role::Admin).await;
    for round in 0..10 {
        let connections = if round % 2 == 0 { 32 } else { 1 };
        let mut ada = house.guest_as(&format!("ada{round}"), Role::Admin).await;
        let id: i64 = look_up(&house, &format!("select id from users where username = 'ada{round}'"));
        let admin = format!("/api/v1.0/users/admin/{}", ada.uuid);
        let cases = [
            (
                "PATCH",
                format!("/api/v1.0/users/{}", ada.uuid),
                json!({ "is_active": true }),
                "activate?is_active=false",
            ),
            ("PATCH", format!("{admin}/role?new_role=admin"), Value::Null, "role?new_role=user"),
            ("POST", format!("/admin/unblock/{id}"), Value::Null, "block"),
        ];
        for (method, path, body, loss) in cases {
            let revoke = async {
                // Somewhere in the middle of what is insisted on.
                for _ in 0..5 {
                    me(&house, &boss.access).await;
                }
                let answer = match loss {
                    "block" => {
                        set_blocked(&house, &ada, true).await;
                        return;
                    }
                    query => send(&house, &boss, "PATCH", &format!("{admin}/{query}"), Value::Null).await,
                };
                assert_eq!(answer.status, 200, "{}", answer.text);
            };
            let (answers, ()) = tokio::join!(insist(&house, &ada, connections, method, &path, &body), revoke);
            for answer in answers {
                assert_eq!(answer.status, 401, "{loss}: {}", answer.text);
            }
            let sql = "select is_active and role = 'admin' and blocked_at is null from users where id = ";
            assert!(!look_up::<bool>(&house, &format!("{sql}{id}")), "{loss} was undone in round {round}");
            // For the next case.
            set_blocked(&house, &ada, false).await;
            let again = Patch { is_active: Some(true), role: Some(Role::Admin), ..Patch::default() };
            house.change(&ada.uuid, again).await;
            ada = house.sign_in(&format!("ada{round}"), ada.uuid.clone()).await;
        }
    }
}

#[tokio::test]
async fn whoever_changes_a_password_with_a_token_that_dies_meanwhile_changes_nothing() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let app = house.server.app.clone();
    let release = hold_writer(&house).await;
    let uuid = ada.uuid.parse().unwrap();
    let db = app.db.clone();
    let lost =
        queued(async move { db.write(move |db| take_away(db, &users::by_uuid(db, uuid)?, "log-out")).await })
            .await;
    let body = json!({ "current_password": crate::house::PASSWORD, "new_password": "another long secret" });
    let request = house.by(&ada, "POST", "/api/v1.0/users/change-password").json(&body);
    let change = tokio::spawn(answer(request));
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(release);
    lost.await.unwrap().unwrap();
    change.await.unwrap().refuses(401, "Token has been revoked");
    assert_eq!(house.log_in(&ada.email, crate::house::PASSWORD).await.status, 200);
}

#[tokio::test]
async fn what_was_asked_for_before_the_loss_and_came_after_it_leaves_no_trace() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    house.confirm(&ada).await;
    let release = hold_writer(&house).await;
    let app = house.server.app.clone();
    let uuid = ada.uuid.parse().unwrap();
    let db = app.db.clone();
    let lost =
        queued(async move { db.write(move |db| take_away(db, &users::by_uuid(db, uuid)?, "block")).await })
            .await;
    let requests = [
        ("/api/v1.0/books/", book("Emma")),
        ("/v1/todos", json!({ "title": "Emma" })),
        ("/items", json!({ "name": "Tea", "category": "Grocery", "price_usd": 1.5, "in_stock": true })),
        ("/api/contacts/", contact("Emma")),
    ];
    let sent: Vec<_> = requests
        .map(|(path, body)| tokio::spawn(answer(house.by(&ada, "POST", path).json(&body))))
        .into_iter()
        .collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(release);
    lost.await.unwrap().unwrap();
    for answer in join_all(sent).await {
        assert_eq!(answer.unwrap().status, 401);
    }
    for table in ["books", "todos", "items", "contacts"] {
        assert_eq!(look_up::<i64>(&house, &format!("select count(*) from {table}")), 0, "{table}");
    }
}
