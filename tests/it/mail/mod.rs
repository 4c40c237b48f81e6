//! Mail: the outbox, and how letters leave it.

mod files;
mod outbox;
mod server;
mod smtp;

use std::path::Path;
use std::time::Instant;

use satchel::domain::auth::proofs;
use satchel::domain::letters::{self, Letter, LetterId};
use satchel::error::Result;

use crate::binary::{PATIENCE, connect};
use crate::house::House;

/// What is in the outbox.
fn outbox(house: &House) -> Vec<Letter> {
    house.server.app.db.read(|db| letters::list(db, LetterId(0), 1000)).unwrap()
}

/// Delivers what is due.
async fn deliver(house: &House) {
    house.server.app.mail.deliver_due().await.unwrap();
}

/// Confirms an address by the token of a letter; whether it was not confirmed before.
async fn confirm(house: &House, token: &str) -> Result<bool> {
    let token = token.to_owned();
    house.server.app.db.write(move |db| proofs::confirm_email(db, &token)).await
}

/// Puts a letter into the outbox of a running binary, as another process.
fn post_beside(database: &Path, purpose: &str, email: &str) {
    let sql = "insert into letters (purpose, email, created_at, next_at) values (?1, ?2, 0, 0)";
    connect(database).execute(sql, [purpose, email]).unwrap();
}

/// Waits until something has come true.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}
