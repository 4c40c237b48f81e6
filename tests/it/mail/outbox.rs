//! The outbox: what is put in, what comes out, and to whom.

use std::time::Duration;

use satchel::config::Transport;
use satchel::domain::auth::Admin;
use satchel::domain::auth::proofs::{self, Purpose};
use satchel::domain::emails::Email;
use satchel::domain::letters;
use satchel::domain::users::{self, Patch};
use satchel::error::{Error, Refusal};

use super::{confirm, deliver, outbox};
use crate::binary::connect;
use crate::house::{House, PASSWORD, answer};

const HASH: &str = "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4";

#[tokio::test]
async fn a_letter_of_confirmation_says_what_to_do_and_its_link_does_it() {
    let house = House::with(|config| config.server.public_url = String::from("https://books.example")).await;
    house.guest("ada").await;
    house.post_letter(Purpose::ConfirmEmail, "ada@example.com").await;
    let letter = house.letter().await;
    let link = format!("https://books.example/api/email/confirm/{}", letter.token());
    let text = format!(
        "Hello,

this is Satchel at https://books.example, writing to ada@example.com.

This address was given to us as somebody's own. If it was you, please
confirm it:

{link}

The link is good for 7 days, once.

If it was not you, you need not do anything: the address stays
unconfirmed.
"
    );
    assert_eq!(letter.text.trim_end(), text.trim_end());
    assert_eq!(
        (letter.to.as_str(), letter.subject.as_str()),
        ("ada@example.com", "Confirm your e-mail address")
    );
    assert_eq!(letter.link, link);
    assert!(letter.html.contains("<p>The link is good for 7 days, once.</p>"), "{}", letter.html);
    assert!(
        letter.headers.contains(&("From".into(), "Satchel <satchel@localhost>".into())),
        "{:?}",
        letter.headers
    );
    assert!(letter.headers.contains(&("Date".into(), "Sat, 21 Nov 2026 05:06:39 +0000".into())));
    house.wait(7 * 24 * 3600 - 1);
    assert!(confirm(&house, letter.token()).await.unwrap());
    assert!(outbox(&house).is_empty());
}

#[tokio::test]
async fn a_letter_for_a_new_password_is_good_for_an_hour() {
    let house = House::new().await;
    house.guest("ada").await;
    for (after, good) in [(3599, true), (3600, false)] {
        house.post_letter(Purpose::ResetPassword, "ada@example.com").await;
        let letter = house.letter().await;
        assert_eq!(letter.subject, "Set a new password");
        assert!(letter.text.contains("The link is good for 1 hour, once."), "{}", letter.text);
        let beginning = format!("http://{}/api/auth/reset_pwd/", house.server.address);
        assert!(letter.link.starts_with(&beginning), "{}", letter.link);
        house.wait(after);
        let token = letter.token().to_owned();
        let reset = house.server.app.db.write(move |db| proofs::reset_password(db, &token, HASH)).await;
        assert_eq!(reset.is_ok(), good, "after {after} s");
    }
}

#[tokio::test]
async fn lifetimes_are_those_of_the_settings() {
    let house = House::with(|config| {
        config.auth.confirm_token_hours = 36;
        config.auth.reset_token_minutes = 90;
    })
    .await;
    house.guest("ada").await;
    house.post_letter(Purpose::ConfirmEmail, "ada@example.com").await;
    assert!(house.letter().await.text.contains("good for 36 hours,"));
    house.post_letter(Purpose::ResetPassword, "ada@example.com").await;
    assert!(house.letter().await.text.contains("good for 90 minutes,"));
}

#[tokio::test]
async fn a_letter_goes_to_the_address_as_its_user_gave_it() {
    let house = House::new().await;
    house.guest("ada").await;
    house.post_letter(Purpose::ResetPassword, "ADA@Example.COM").await;
    assert_eq!(house.letter().await.to, "ada@example.com");
}

#[tokio::test]
async fn asking_for_a_letter_leaves_the_same_trace_whoever_is_asked_for() {
    let house = House::new().await;
    house.guest("ada").await;
    let (ada, bob) = (Email::parse("ada@example.com", false), Email::parse("bob@example.com", false));
    let (ada, bob) = (ada.unwrap(), bob.unwrap());
    // Both in one transaction, so that the worker comes after.
    let rows = house.server.app.db.write(move |db| {
        letters::post(db, Purpose::ResetPassword, &ada)?;
        letters::post(db, Purpose::ResetPassword, &bob)?;
        letters::list(db, letters::LetterId(0), 10)
    });
    let rows = rows.await.unwrap();
    let trace = |row: &letters::Letter| (row.purpose, row.state, row.attempts, row.next_at, row.created_at);
    assert_eq!(rows.len(), 2);
    assert_eq!(trace(&rows[0]), trace(&rows[1]));
    assert_eq!(house.letter().await.to, "ada@example.com");
    assert!(outbox(&house).is_empty());
}

#[tokio::test]
async fn a_letter_that_would_be_to_nobody_or_say_nothing_new_is_dropped() {
    let house = House::new().await;
    let check = async |purpose: Purpose, email: &str, why: &str| {
        house.post_letter(purpose, email).await;
        assert_eq!(house.letters().await.len(), 0, "{why}");
        assert_eq!(outbox(&house).len(), 0, "{why}");
    };
    let both = [Purpose::ConfirmEmail, Purpose::ResetPassword];
    for purpose in both {
        check(purpose, "nobody@example.com", "nobody's").await;
    }
    let ada = house.guest("ada").await;
    house.post_letter(Purpose::ConfirmEmail, "ada@example.com").await;
    confirm(&house, house.letter().await.token()).await.unwrap();
    check(Purpose::ConfirmEmail, "ada@example.com", "confirmed already").await;
    house.post_letter(Purpose::ResetPassword, "ada@example.com").await;
    assert_eq!(house.letters().await.len(), 1, "whoever is confirmed may forget the password all the same");

    house.guest("bob").await;
    let change = async |sql: &'static str| {
        house.server.app.db.write(move |db| Ok(db.execute(sql, [])?)).await.unwrap()
    };
    for (sql, undo) in [
        (
            "update users set blocked_at = 1 where email = 'bob@example.com'",
            "update users set blocked_at = null",
        ),
        ("update users set is_active = 0 where email = 'bob@example.com'", "update users set is_active = 1"),
        (
            "update users set deleted_at = 1 where email = 'bob@example.com'",
            "update users set deleted_at = null",
        ),
    ] {
        change(sql).await;
        for purpose in both {
            check(purpose, "bob@example.com", sql).await;
        }
        change(undo).await;
    }
    answer(house.by(&ada, "DELETE", &format!("/api/v1.0/users/{}", ada.uuid))).await;
    check(Purpose::ResetPassword, "ada@example.com", "gone").await;
}

#[tokio::test]
async fn whoever_must_confirm_before_signing_in_gets_both_letters() {
    let house = House::new().await;
    house.guest("ada").await;
    let sql = "update users set confirm_required = 1";
    house.server.app.db.write(move |db| Ok(db.execute(sql, [])?)).await.unwrap();
    for purpose in [Purpose::ConfirmEmail, Purpose::ResetPassword] {
        house.post_letter(purpose, "ada@example.com").await;
        house.letter().await;
    }
}

#[tokio::test]
async fn letters_to_one_address_for_one_purpose_are_one() {
    let house = House::new().await;
    house.guest("ada").await;
    let email = |text: &str| Email::parse(text, false).unwrap();
    let (lower, upper) = (email("ada@example.com"), email("ADA@example.com"));
    let count = house.server.app.db.write(move |db| {
        for _ in 0..50 {
            letters::post(db, Purpose::ConfirmEmail, &lower)?;
            letters::post(db, Purpose::ConfirmEmail, &upper)?;
            letters::post(db, Purpose::ResetPassword, &lower)?;
        }
        Ok(letters::list(db, letters::LetterId(0), 1000)?.len())
    });
    assert_eq!(count.await.unwrap(), 2);
    let letters = house.letters().await;
    let subjects: Vec<_> = letters.iter().map(|letter| letter.subject.as_str()).collect();
    assert_eq!(subjects, ["Confirm your e-mail address", "Set a new password"]);
}

#[tokio::test]
async fn a_newer_letter_ends_the_link_of_the_older() {
    let house = House::new().await;
    house.guest("ada").await;
    house.post_letter(Purpose::ConfirmEmail, "ada@example.com").await;
    let older = house.letter().await;
    house.post_letter(Purpose::ConfirmEmail, "ada@example.com").await;
    let newer = house.letter().await;
    let refused = confirm(&house, older.token()).await;
    assert!(matches!(refused, Err(Error::Refusal(Refusal::ProofInvalid))), "{refused:?}");
    confirm(&house, newer.token()).await.unwrap();
}

#[tokio::test]
async fn a_letter_that_its_transaction_gave_up_is_not_sent() {
    let house = House::new().await;
    house.guest("ada").await;
    let posted = house.server.app.db.write(move |db| {
        letters::post(db, Purpose::ConfirmEmail, &Email::parse("ada@example.com", false).unwrap())?;
        Err::<(), _>(Error::from(Refusal::LastAdmin))
    });
    assert!(posted.await.is_err());
    assert_eq!(house.letters().await.len(), 0);
}

#[tokio::test]
async fn a_letter_leaves_by_itself() {
    let house = House::new().await;
    house.guest("ada").await;
    house.post_letter(Purpose::ConfirmEmail, "ada@example.com").await;
    super::until("the letter leaves", || outbox(&house).is_empty()).await;
    assert_eq!(house.letter_files().len(), 1);
    house.letter().await;
}

#[tokio::test]
async fn with_mail_off_letters_are_dropped_and_make_no_token() {
    let house = House::with(|config| config.mail.transport = Transport::Off).await;
    house.guest("ada").await;
    house.post_letter(Purpose::ConfirmEmail, "ada@example.com").await;
    deliver(&house).await;
    assert!(outbox(&house).is_empty());
    let proofs = house.server.app.db.read(|db| db.one("select 1 from proofs", [], |_| Ok(()))).unwrap();
    assert_eq!(proofs, None);
}

#[tokio::test]
async fn letters_given_up_go_with_their_user_with_the_address_and_with_time() {
    let house = House::new().await;
    let give_up = async |email: &str| {
        let email = email.to_owned();
        let sql = "insert into letters (purpose, email, state, attempts, created_at, next_at)
                   values ('reset_password', ?1, 'dead', 12, ?2, ?2)";
        house.server.app.db.write(move |db| Ok(db.execute(sql, (&email, db.now))?)).await.unwrap();
    };
    let ada = house.guest("ada").await;
    let bob = house.guest("bob").await;
    for email in ["ada@example.com", "bob@example.com", "cid@example.com"] {
        give_up(email).await;
    }
    let dead = || outbox(&house).into_iter().filter(|letter| letter.state == letters::State::Dead);
    let addresses = || dead().map(|letter| letter.email).collect::<Vec<_>>();
    answer(house.by(&ada, "DELETE", &format!("/api/v1.0/users/{}", ada.uuid))).await;
    assert_eq!(addresses(), ["bob@example.com", "cid@example.com"]);

    let email = Some(Email::parse("robert@example.com", false).unwrap());
    let patch = Patch { email, ..Patch::default() };
    let change = move |db: &satchel::db::Write<'_>| {
        let user = users::by_email(db, &bob.email)?;
        users::update_as_admin(db, &Admin::operator(), &user, &patch)
    };
    house.server.app.db.write(change).await.unwrap();
    assert_eq!(addresses(), ["cid@example.com"]);

    let app = &house.server.app;
    house.wait(30 * 24 * 3600);
    app.auth.purge(&app.db).await.unwrap();
    assert_eq!(addresses(), ["cid@example.com"]);
    house.clock.advance(Duration::from_micros(1));
    app.auth.purge(&app.db).await.unwrap();
    assert_eq!(addresses(), Vec::<String>::new());
    house.forget_letters().await;
}

#[tokio::test]
async fn an_address_with_a_header_in_it_gets_no_letter() {
    let house = House::new().await;
    for (n, email) in [
        "a@example.com\r\nBcc: eve@example.com",
        "a@example.com>\r\nRCPT TO:<eve@example.com",
        "a@example.com, eve@example.com",
        "a@example.com\0",
        "<a@example.com>",
    ]
    .into_iter()
    .enumerate()
    {
        // No way into the house takes such an address: it is put there by hand.
        assert!(Email::parse(email, true).is_err());
        house.register(&format!("user{n}")).await;
        let conn = connect(&house.database());
        let sql = "update users set email = ?1 where email = ?2";
        conn.execute(sql, [email, &format!("user{n}@example.com")]).unwrap();
        let sql =
            "insert into letters (purpose, email, created_at, next_at) values ('reset_password', ?1, 0, 0)";
        conn.execute(sql, [email]).unwrap();
        drop(conn);
        assert_eq!(house.letters().await.len(), 0, "{email:?}");
        let left = outbox(&house).pop().unwrap();
        assert_eq!(left.last_error.as_deref(), Some("the letter cannot be written: its address is none"));
    }
    house.forget_letters().await;
}

#[tokio::test]
async fn the_senders_name_is_one_header_whatever_is_in_it() {
    for name in ["J\u{fc}rgen, \"Post\" Amt:;()", &"x".repeat(200), "=?utf-8?q?x?=", "a\u{202e}b"] {
        let from = format!("{name} <post@satchel.example>");
        let house = House::with(|config| config.mail.from = from).await;
        house.guest("ada").await;
        house.post_letter(Purpose::ConfirmEmail, "ada@example.com").await;
        let letter = house.letter().await;
        let (_, from) = letter.headers.iter().find(|(name, _)| name == "From").unwrap();
        assert!(from.ends_with(" <post@satchel.example>"), "{from}");
        assert_eq!(from.matches('@').count(), 1, "{from}");
        assert_eq!(letter.to, "ada@example.com");
    }
}

#[test]
fn the_table_holds_what_may_be_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("satchel.db");
    satchel::db::migrate::up(&path, &satchel::clock::Clock::system(), None).unwrap();
    let conn = connect(&path);
    let insert = |values: &str| {
        let columns = "purpose, email, state, attempts, created_at, next_at, last_error";
        conn.execute(&format!("insert into letters ({columns}) values ({values})"), [])
    };
    insert("'confirm_email', 'ada@example.com', 'waiting', 0, 1, 1, null").unwrap();
    insert("'reset_password', 'ada@example.com', 'dead', 12, 1, 1, 'refused'").unwrap();
    for values in [
        "'confirm_email', 'ADA@example.com', 'waiting', 0, 1, 1, null",
        "'spam', 'bob@example.com', 'waiting', 0, 1, 1, null",
        "'confirm_email', '', 'waiting', 0, 1, 1, null",
        "'confirm_email', 'bob@example.com', 'sent', 0, 1, 1, null",
        "'confirm_email', 'bob@example.com', 'waiting', -1, 1, 1, null",
        "'confirm_email', 'bob@example.com', 'waiting', 0, 1, null, null",
    ] {
        assert!(insert(values).is_err(), "{values}");
    }
}

#[tokio::test]
#[should_panic(expected = "letters left over: 0 waiting, [")]
async fn a_letter_that_nobody_looks_at_fails_its_test() {
    let house = House::new().await;
    house.guest("ada").await;
    house.post_letter(Purpose::ConfirmEmail, "ada@example.com").await;
    deliver(&house).await;
    assert_eq!(house.log_in("ada@example.com", PASSWORD).await.status, 200);
}
