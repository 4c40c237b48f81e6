//! Proofs: a mailed token does one thing once, for the address it was mailed to.

use std::time::Duration;

use futures_util::future::join_all;
use satchel::db::Write;
use satchel::domain::auth::proofs::{self, Purpose};
use satchel::domain::emails::Email;
use satchel::domain::users::{self, Patch};
use satchel::error::{Error, Refusal, Result};

use super::{bytes_of_the_database, change_password, contains, look_up, me, refresh};
use crate::house::{Guest, House, PASSWORD};

const HOUR: Duration = Duration::from_secs(3600);
const HASH: &str = "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4";

async fn issue(house: &House, guest: &Guest, purpose: Purpose) -> String {
    let (uuid, random) = (guest.uuid.parse().unwrap(), house.clock.random());
    let db = &house.server.app.db;
    let issue = move |db: &Write| {
        let user = users::by_uuid(db, uuid)?;
        proofs::issue(db, user.id, purpose, &user.email, random, db.now.plus(HOUR))
    };
    db.write(issue).await.unwrap()
}

/// Uses a proof; whether that changed anything.
async fn spend(house: &House, purpose: Purpose, token: &str) -> Result<bool> {
    let token = token.to_owned();
    let spend = move |db: &satchel::db::Write<'_>| match purpose {
        Purpose::ConfirmEmail => proofs::confirm_email(db, &token),
        _ => proofs::reset_password(db, &token, HASH).map(|_| true),
    };
    house.server.app.db.write(spend).await
}

async fn assert_spent(house: &House, purpose: Purpose, token: &str, why: &str) {
    let refused = spend(house, purpose, token).await;
    assert!(matches!(refused, Err(Error::Refusal(Refusal::ProofInvalid))), "{purpose:?} {why}: {refused:?}");
}

const BOTH: [Purpose; 2] = [Purpose::ConfirmEmail, Purpose::ResetPassword];

#[tokio::test]
async fn a_proof_is_spent_once() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    for purpose in BOTH {
        let token = issue(&house, &ada, purpose).await;
        assert!(spend(&house, purpose, &token).await.unwrap());
        assert_eq!(look_up::<i64>(&house, "select email_confirmed_at is not null from users"), 1);
        match purpose {
            // Whoever follows the link again is told that all is well.
            Purpose::ConfirmEmail => assert!(!spend(&house, purpose, &token).await.unwrap()),
            _ => assert_spent(&house, purpose, &token, "a second time").await,
        }
    }
}

#[tokio::test]
async fn a_proof_ends_with_its_time() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    for purpose in BOTH {
        let token = issue(&house, &ada, purpose).await;
        house.wait(3599);
        let last = issue(&house, &house.guest(&format!("{purpose:?}")).await, purpose).await;
        house.wait(1);
        assert_spent(&house, purpose, &token, "after an hour").await;
        spend(&house, purpose, &last).await.unwrap();
    }
}

#[tokio::test]
async fn a_proof_is_good_for_its_purpose_alone_and_a_misuse_does_not_spend_it() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let confirm = issue(&house, &ada, Purpose::ConfirmEmail).await;
    let reset = issue(&house, &ada, Purpose::ResetPassword).await;
    assert_spent(&house, Purpose::ResetPassword, &confirm, "with a token to confirm").await;
    assert_spent(&house, Purpose::ConfirmEmail, &reset, "with a token to reset").await;
    spend(&house, Purpose::ConfirmEmail, &confirm).await.unwrap();
    spend(&house, Purpose::ResetPassword, &reset).await.unwrap();
}

#[tokio::test]
async fn another_address_ends_the_proofs_of_the_old_one() {
    let house = House::new().await;
    for purpose in BOTH {
        let name = format!("{purpose:?}").to_lowercase();
        let ada = house.guest(&name).await;
        let token = issue(&house, &ada, purpose).await;
        let email = Email::parse(&format!("new-{name}@example.com"), false).unwrap();
        house.change(&ada.uuid, Patch { email: Some(email), ..Patch::default() }).await;
        assert_spent(&house, purpose, &token, "after the address changed").await;
        // A letter to reset the password would go to the old address still.
        house.confirm(&ada).await;
        let token = issue(&house, &ada, purpose).await;
        spend(&house, purpose, &token).await.unwrap();
    }
    house.forget_letters().await;
}

#[tokio::test]
async fn coming_back_to_the_old_address_revives_no_proof() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let tokens = [issue(&house, &ada, BOTH[0]).await, issue(&house, &ada, BOTH[1]).await];
    for email in ["new@example.com", "ada@example.com"] {
        let email = Some(Email::parse(email, false).unwrap());
        house.change(&ada.uuid, Patch { email, ..Patch::default() }).await;
    }
    for (purpose, token) in BOTH.into_iter().zip(&tokens) {
        assert_spent(&house, purpose, token, "after the address went and came back").await;
    }
    house.forget_letters().await;
}

#[tokio::test]
async fn a_newer_proof_ends_the_older_of_its_purpose_and_of_its_user() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let bob = house.guest("bob").await;
    for purpose in BOTH {
        let of_bob = issue(&house, &bob, purpose).await;
        let old = issue(&house, &ada, purpose).await;
        let new = issue(&house, &ada, purpose).await;
        assert_spent(&house, purpose, &old, "after a newer one").await;
        spend(&house, purpose, &new).await.unwrap();
        spend(&house, purpose, &of_bob).await.unwrap();
    }
}

#[tokio::test]
async fn a_new_password_ends_every_proof_and_a_reset_every_session() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let tokens = [issue(&house, &ada, BOTH[0]).await, issue(&house, &ada, BOTH[1]).await];
    let changed = change_password(&house, &ada.access, PASSWORD, "another staple battery").await;
    assert_eq!(changed.status, 200);
    for (purpose, token) in BOTH.into_iter().zip(&tokens) {
        assert_spent(&house, purpose, token, "after the password was changed").await;
    }

    let bob = house.guest("bob").await;
    assert_eq!(me(&house, &bob.access).await, 200);
    let confirm = issue(&house, &bob, Purpose::ConfirmEmail).await;
    let reset = issue(&house, &bob, Purpose::ResetPassword).await;
    spend(&house, Purpose::ResetPassword, &reset).await.unwrap();
    assert_spent(&house, Purpose::ConfirmEmail, &confirm, "after the password was reset").await;
    assert_eq!(me(&house, &bob.access).await, 401);
    assert_eq!(refresh(&house, &bob.refresh).await.status, 401);
    assert_eq!(house.log_in(&bob.email, PASSWORD).await.status, 401);
}

#[tokio::test]
async fn a_reset_lets_nobody_in_who_was_shut_out() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    super::set_blocked(&house, &ada, true).await;
    let token = issue(&house, &ada, Purpose::ResetPassword).await;
    spend(&house, Purpose::ResetPassword, &token).await.unwrap();
    assert_eq!(look_up::<i64>(&house, "select blocked_at is not null from users"), 1);
    assert_eq!(me(&house, &ada.access).await, 401);
}

#[tokio::test]
async fn a_proof_of_a_deleted_user_does_nothing_for_the_next_owner_of_the_address() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let token = issue(&house, &ada, Purpose::ResetPassword).await;
    let path = format!("/api/v1.0/users/{}", ada.uuid);
    crate::house::answer(house.by(&ada, "DELETE", &path)).await;
    let heir = house.guest("ada").await;
    assert_spent(&house, Purpose::ResetPassword, &token, "by the former owner").await;
    assert_eq!(me(&house, &heir.access).await, 200);
}

#[tokio::test]
async fn a_copy_of_the_database_has_no_proof_in_it_and_a_proof_has_256_random_bits() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let token = issue(&house, &ada, Purpose::ResetPassword).await;
    let raw = super::decode(&token);
    assert_eq!(raw.len(), 32);
    let bytes = bytes_of_the_database(&house);
    let digest: Vec<u8> = look_up(&house, "select digest from proofs");
    assert!(contains(&bytes, &digest), "the search finds what is there");
    assert!(!contains(&bytes, token.as_bytes()));
    assert!(!contains(&bytes, &raw));
    // Nor does what is there open anything.
    assert_spent(&house, Purpose::ResetPassword, &super::encode(&digest), "with the digest").await;
    for token in
        ["", " ", "%", "' or 1=1 --", &format!("{token}="), &format!(" {token}"), &token.to_lowercase()]
    {
        assert_spent(&house, Purpose::ResetPassword, token, token).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_spend_a_proof_at_once_one_gets_it() {
    let house = House::new().await;
    for purpose in BOTH {
        for round in 0..10 {
            let ada = house.guest(&format!("{purpose:?}{round}")).await;
            let token = issue(&house, &ada, purpose).await;
            let spent = join_all((0..8).map(|_| spend(&house, purpose, &token))).await;
            assert_eq!(spent.iter().filter(|spent| matches!(spent, Ok(true))).count(), 1);
        }
    }
}
