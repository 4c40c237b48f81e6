//! Throttle: failed sign-ins delay the next one, longer each time, and lock nobody out.
//!
//! Failures are counted by three subjects: an account from one address, by the kind of name it was called by; an address;
//! and an account from anywhere, which counts only after [`ACCOUNT_FREE`] failures. The last two do not count for an
//! account from an address where it has signed in before: neither strangers to it nor what was tried at other accounts
//! from there keep its owner out. Counts live in the database, hold over a restart, and are forgotten [`FORGET_AFTER`]
//! after the last failure. A good sign-in is not counted.

use std::net::IpAddr;
use std::time::Duration;

use rusqlite::named_params;
use sha2::{Digest, Sha256};

use crate::clock::Timestamp;
use crate::config;
use crate::db::{Read, Write};
use crate::domain::users::UserId;
use crate::error::{Refusal, Result};
use crate::network::ClientNetwork;

/// Failures of an account, from anywhere, before strangers to it must wait (NIST SP 800-63B-4 §3.2.2: at most 100).
const ACCOUNT_FREE: u32 = 100;
/// How long after the last failure its subject is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(86_400);
/// How long an address stays familiar to an account without a sign-in.
const FAMILIAR_FOR: Duration = Duration::from_secs(90 * 86_400);
/// How much later than the moment it is judged by a failure may be, since others fail meanwhile. One that is later
/// still is of a clock that was set back.
const MEANWHILE: Duration = Duration::from_secs(1);
/// How many rows one purge removes at most.
const PURGE_MAX: i64 = 500;

/// What an account was called by.
#[derive(Clone, Copy, Debug)]
pub enum Name {
    /// By its e-mail address.
    Email,
    /// By its username.
    Username,
}

/// One attempt, by the digests that its failures are counted under: no address and no name is stored.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    pair: [u8; 32],
    familiar: [u8; 32],
    address: [u8; 32],
    account: [u8; 32],
}

impl Attempt {
    /// An attempt at an account, named by whatever tells it from the others, from an address, of which the network
    /// counts. It was called by a name of this kind: with one counter for both, failures by the username would show
    /// whose e-mail address it goes with.
    pub fn new(account: &[u8], name: Name, address: IpAddr) -> Self {
        let address = ClientNetwork::from(address).bytes();
        let digest = |kind: &[u8], parts: [&[u8]; 2]| {
            let mut digest = Sha256::new().chain_update(kind);
            for part in parts {
                digest.update((part.len() as u64).to_be_bytes());
                digest.update(part);
            }
            digest.finalize().into()
        };
        Self {
            pair: match name {
                Name::Email => digest(b"pair", [account, &address]),
                Name::Username => digest(b"pair by username", [account, &address]),
            },
            familiar: digest(b"pair", [account, &address]),
            address: digest(b"address", [&address, b""]),
            account: digest(b"account", [account, b""]),
        }
    }
}

/// Refuses an attempt that comes too soon after failed ones.
pub fn refuse_too_soon(db: &Read, now: Timestamp, settings: &config::Auth, attempt: &Attempt) -> Result<()> {
    if !settings.sign_in_delays {
        return Ok(());
    }
    let max = Duration::from_secs(settings.sign_in_delay_max_seconds);
    let wait = |subject: &[u8; 32], free: u32| -> Result<Duration> {
        let sql = "select failures, last_at from sign_in_failures where subject = :subject";
        let failed =
            db.one(sql, named_params! { ":subject": subject }, |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(failed.map_or(Duration::ZERO, |(failures, last)| remaining(now, last, failures, free, max)))
    };
    let by_pair = wait(&attempt.pair, settings.sign_in_free_failures_account)?;
    let by_others = wait(&attempt.address, settings.sign_in_free_failures_address)?
        .max(wait(&attempt.account, ACCOUNT_FREE)?);
    let spared = by_others <= by_pair || is_familiar(db, attempt)?;
    let longest = if spared { by_pair } else { by_others };
    if longest.is_zero() { Ok(()) } else { Err(Refusal::TooManyAttempts(round_up(longest)).into()) }
}

/// How much of the delay is left: 1 s after the last free failure, twice that after each further one. When the clock was
/// set back nobody waits for its return: the next failure counts on from the earlier time.
fn remaining(now: Timestamp, last: Timestamp, failures: u32, free: u32, max: Duration) -> Duration {
    if failures < free || now.since(last) > FORGET_AFTER || last.since(now) > MEANWHILE {
        return Duration::ZERO;
    }
    let delay = Duration::from_secs(1_u64.checked_shl(failures - free).unwrap_or(u64::MAX)).min(max);
    delay.saturating_sub(now.since(last))
}

fn round_up(wait: Duration) -> Duration {
    Duration::from_secs(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
}

fn is_familiar(db: &Read, attempt: &Attempt) -> Result<bool> {
    let sql = "select 1 from familiar_addresses where subject = :subject";
    Ok(db.one(sql, named_params! { ":subject": attempt.familiar }, |_| Ok(()))?.is_some())
}

/// Counts a failure.
pub fn count_failure(db: &Write, attempt: &Attempt) -> Result<()> {
    let sql = "insert into sign_in_failures (subject, failures, last_at) values (:subject, 1, :now)
               on conflict (subject) do update set
                 failures = case when last_at < :forgotten then 1 else min(failures + 1, 1000000) end,
                 last_at = :now";
    for subject in [attempt.pair, attempt.address, attempt.account] {
        let forgotten = db.now.minus(FORGET_AFTER);
        db.execute(sql, named_params! { ":subject": subject, ":now": db.now, ":forgotten": forgotten })?;
    }
    Ok(())
}

/// Forgets the account's failures after a good sign-in and makes its address familiar. The address's own
/// failures stay: an account of one's own is no key to guessing at others.
pub fn forgive(db: &Write, user: UserId, attempt: &Attempt) -> Result<()> {
    let sql = "delete from sign_in_failures where subject in (:pair, :account)";
    db.execute(sql, named_params! { ":pair": attempt.pair, ":account": attempt.account })?;
    let sql = "insert into familiar_addresses (subject, user_id, last_at) values (:subject, :user, :now)
               on conflict (subject) do update set last_at = :now";
    db.execute(sql, named_params! { ":subject": attempt.familiar, ":user": user, ":now": db.now })?;
    Ok(())
}

/// Forgets every address that the account is familiar with.
pub fn forget_familiar_addresses(db: &Write, user: UserId) -> Result<()> {
    db.execute("delete from familiar_addresses where user_id = :user", named_params! { ":user": user })?;
    Ok(())
}

/// Removes some forgotten failures and addresses; whether there may be more.
pub fn purge(db: &Write) -> Result<bool> {
    let failures = db.execute(
        "delete from sign_in_failures where subject in
           (select subject from sign_in_failures where last_at < :before order by last_at limit :max)",
        named_params! { ":before": db.now.minus(FORGET_AFTER), ":max": PURGE_MAX },
    )?;
    let addresses = db.execute(
        "delete from familiar_addresses where subject in
           (select subject from familiar_addresses where last_at < :before order by last_at limit :max)",
        named_params! { ":before": db.now.minus(FAMILIAR_FOR), ":max": PURGE_MAX },
    )?;
    let full = usize::try_from(PURGE_MAX).unwrap_or(usize::MAX);
    Ok(failures == full || addresses == full)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_with_each_failure_up_to_the_maximum() {
        let max = Duration::from_secs(900);
        let last = Timestamp::from_seconds(1_000_000);
        for (failures, after, expected) in [
            (4, 0, 0),
            (5, 0, 1),
            (6, 0, 2),
            (9, 0, 16),
            (9, 10, 6),
            (9, 16, 0),
            (14, 0, 512),
            (15, 0, 900),
            (90, 0, 900),
        ] {
            let now = last.plus(Duration::from_secs(after));
            assert_eq!(
                remaining(now, last, failures, 5, max),
                Duration::from_secs(expected),
                "{failures} failures, {after} s later"
            );
        }
        for (milliseconds, expected) in [(1, 900), (1_000, 900), (1_001, 0), (3_600_000, 0)] {
            let set_back = last.minus(Duration::from_millis(milliseconds));
            let expected = Duration::from_secs(expected);
            assert_eq!(remaining(set_back, last, 90, 5, max), expected, "{milliseconds} ms before");
        }
    }

    #[test]
    fn addresses_of_one_ipv6_subscriber_count_as_one() {
        let attempt = |address: &str| Attempt::new(b"ada", Name::Email, address.parse().unwrap());
        assert_eq!(attempt("2001:db8:1:2::1").pair, attempt("2001:db8:1:2:ffff::9").pair);
        assert_ne!(attempt("2001:db8:1:2::1").pair, attempt("2001:db8:1:3::1").pair);
        assert_eq!(attempt("::ffff:10.0.0.1").address, attempt("10.0.0.1").address);
        assert_ne!(attempt("10.0.0.1").address, attempt("10.0.0.2").address);
    }
}
