//! Quota: how much content a user may keep.
//!
//! What a user keeps is bounded in memory, not counted in the database, which would cost every write. Each write counts
//! as the largest row of its kind, and only when that bound reaches the quota the rows are looked at: first how many
//! there are, then, where that is not enough, how large they are. What is deleted is seen then as well.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::named_params;
use tokio::sync;

use super::users::UserId;
use crate::clock::{Clock, Timestamp};
use crate::db::{Db, Read};
use crate::error::{Refusal, Result};

/// Of so many users is remembered what they keep at most.
const USERS_MAX: usize = 10_000;
/// How long a user who keeps more than nine tenths of the quota waits until the rows are looked at again: that takes a
/// while, and would be done for each write.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// A kind of row that counts: the most that one takes, in bytes with some 200 of overhead, and the statements that count a
/// user's and add up what they take.
struct Kind {
    row_bytes_max: u64,
    count: &'static str,
    sum: &'static str,
}

/// The largest row of each kind is what its schema allows, of characters of four bytes.
const KINDS: [Kind; 5] = [
    Kind {
        row_bytes_max: BOOK,
        count: "select count(*) from books where user_id = :user",
        sum: "select sum(200 + octet_length(title) + octet_length(author) + octet_length(publisher) + octet_length(language))
              from books where user_id = :user",
    },
    Kind {
        row_bytes_max: ITEM,
        count: "select count(*) from items where user_id = :user",
        sum: "select sum(200 + octet_length(name)) from items where user_id = :user",
    },
    Kind {
        row_bytes_max: TODO,
        count: "select count(*) from todos where user_id = :user",
        sum: "select sum(200 + octet_length(title) + coalesce(octet_length(description), 0)) from todos where user_id = :user",
    },
    Kind {
        row_bytes_max: CONTACT,
        count: "select count(*) from contacts where user_id = :user",
        sum: "select sum(200 + octet_length(fullname) + octet_length(email) + octet_length(additional) + octet_length(avatar))
              from contacts where user_id = :user",
    },
    Kind {
        row_bytes_max: PICTURE,
        count: "select count(*) from contacts c join avatars a on a.contact_id = c.id where c.user_id = :user",
        sum: "select sum(200 + octet_length(a.bytes)) from contacts c join avatars a on a.contact_id = c.id
              where c.user_id = :user",
    },
];

/// What a book takes at most, in bytes.
pub const BOOK: u64 = 200 + 4 * 4 * 255;
/// What an item takes at most, in bytes.
pub const ITEM: u64 = 200 + 4 * 64;
/// What a todo takes at most, in bytes.
pub const TODO: u64 = 200 + 4 * (255 + 10_000);
/// What a contact takes at most without its picture, in bytes.
pub const CONTACT: u64 = 200 + 4 * (150 + 200 + 500 + 2_048);
/// What a picture takes at most, in bytes.
pub const PICTURE: u64 = 200 + 262_144;

/// What users keep at most.
#[derive(Debug)]
pub struct Quotas {
    clock: Clock,
    /// In bytes; `None` is no limit.
    limit: Option<u64>,
    users: Mutex<HashMap<UserId, Arc<sync::Mutex<Option<Kept>>>>>,
}

#[derive(Clone, Copy, Debug)]
struct Kept {
    /// No less than what the user keeps.
    at_most: u64,
    /// When the rows were looked at, and what was found then.
    looked_at: Timestamp,
    found: u64,
}

impl Quotas {
    /// A quota of so many MiB for each user; 0 is none.
    pub fn new(clock: Clock, megabytes: u64) -> Self {
        let limit = (megabytes > 0).then(|| megabytes.saturating_mul(1024 * 1024));
        Self { clock, limit, users: Mutex::default() }
    }

    /// Counts a row of at most `bytes` that a user is about to write.
    ///
    /// # Errors
    /// `QuotaExceeded`; those of [`Db::scan`].
    pub async fn admit(&self, db: &Db, user: UserId, bytes: u64) -> Result<()> {
        let Some(limit) = self.limit else { return Ok(()) };
        // Held while the rows are looked at: the user's other writes wait for what is found.
        let kept = self.of(user);
        let mut kept = kept.lock().await;
        let now = self.clock.now();
        if let Some(kept) = kept.as_mut() {
            if kept.at_most + bytes <= limit {
                kept.at_most += bytes;
                return Ok(());
            }
            let is_near = kept.found > limit - limit / 10;
            if is_near && now >= kept.looked_at && now.since(kept.looked_at) < LOOK_EVERY {
                return Err(Refusal::QuotaExceeded.into());
            }
        }
        let found = db.scan(move |db| kept_at_most(db, user, limit.saturating_sub(bytes))).await?;
        let fits = found + bytes <= limit;
        let at_most = if fits { found + bytes } else { found };
        *kept = Some(Kept { at_most, looked_at: now, found });
        if fits { Ok(()) } else { Err(Refusal::QuotaExceeded.into()) }
    }

    fn of(&self, user: UserId) -> Arc<sync::Mutex<Option<Kept>>> {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if users.len() >= USERS_MAX && !users.contains_key(&user) {
            users.clear();
        }
        Arc::clone(users.entry(user).or_default())
    }
}

/// What a user keeps, or something larger that is not over half of `enough`.
fn kept_at_most(db: &Read, user: UserId, enough: u64) -> Result<u64> {
    let look = |sql: &str| -> Result<u64> {
        let found = db.one(sql, named_params! { ":user": user }, |row| row.get::<_, Option<i64>>(0))?;
        Ok(found.flatten().unwrap_or(0).unsigned_abs())
    };
    let mut bound = 0_u64;
    for kind in &KINDS {
        bound = bound.saturating_add(look(kind.count)?.saturating_mul(kind.row_bytes_max));
    }
    // A bound near the quota is no sign that the user keeps as much.
    if bound <= enough / 2 {
        return Ok(bound);
    }
    KINDS.iter().try_fold(0_u64, |sum, kind| Ok(sum + look(kind.sum)?))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tempfile::TempDir;

    use super::*;
    use crate::db::{Options, migrate};
    use crate::domain::tests::refuse_scan;

    #[tokio::test]
    async fn of_many_writes_at_the_bound_one_looks_at_the_rows() {
        let dir = TempDir::new().unwrap();
        let mut options = Options::new(dir.path().join("satchel.db"));
        migrate::up(&options.path, &Clock::system(), None).unwrap();
        // One read runs, one has room to wait, and a second that waits would be refused.
        (options.scan_threads, options.queue) = (1, 1);
        let db = Db::open(&options, Clock::system()).unwrap();
        let (started, has_started) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let running = tokio::spawn({
            let db = db.clone();
            async move {
                db.scan(move |_| {
                    started.send(()).unwrap();
                    released.recv().ok();
                    Ok(())
                })
                .await
            }
        });
        tokio::task::yield_now().await;
        has_started.recv().unwrap();
        let quotas = Quotas::new(Clock::system(), 1);
        let admitted =
            (0..20).map(|_| async { quotas.admit(&db, UserId(1), ITEM).await.map_err(|_| "refused") });
        let admitted = futures_util::future::join_all(admitted);
        let release = async { release.send(()).unwrap() };
        let (admitted, ()) = tokio::join!(admitted, release);
        assert_eq!(admitted, vec![Ok(()); 20]);
        running.await.unwrap().unwrap();
    }

    #[test]
    fn what_a_user_keeps_is_found_by_an_index() {
        for kind in &KINDS {
            refuse_scan(kind.count);
            refuse_scan(kind.sum);
        }
    }
}
