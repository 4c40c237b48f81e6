//! Removal: how a user goes, at once for everybody who looks, and piece by piece on the disk.
//!
//! A user may own more rows than one commit can remove in a short time. So a deletion only marks: it frees the names,
//! ends the sessions, and puts the user among the removals, and nothing of the user is shown from then on. The purge
//! removes the rows in bounded pieces, so that other writes wait for one piece at most.

use std::time::Duration;

use rusqlite::named_params;

use super::auth::sessions;
use super::users::{User, UserId};
use super::{addresses, letters};
use crate::audit;
use crate::db::{Read, Write};
use crate::error::Result;

/// How many rows one piece removes at most: some 20 ms where each has 10 KB.
const PIECE_ROWS: usize = 100;
/// How many pictures: each has up to 256 KiB, which are overwritten.
const PIECE_PICTURES: usize = 8;

const PICTURES: &str = "delete from avatars where name in
    (select a.name from contacts c join avatars a on a.contact_id = c.id where c.user_id = :user limit :max)";

/// What a user may have much of. Books stay, without an owner.
const CONTENT: [&str; 6] = [
    "delete from contacts where id in (select id from contacts where user_id = :user limit :max)",
    "delete from todos where id in (select id from todos where user_id = :user limit :max)",
    "delete from items where id in (select id from items where user_id = :user limit :max)",
    "update books set user_id = null where id in (select id from books where user_id = :user limit :max)",
    "delete from sessions where id in (select id from sessions where user_id = :user limit :max)",
    "delete from familiar_addresses where subject in
       (select subject from familiar_addresses where user_id = :user limit :max)",
];

/// That a row of `users` is not of one who was deleted for good.
pub(super) const NOT_GONE: &str =
    "not exists (select 1 from removals where user_id = users.id and scope = 'everything')";

/// Whether a user was deleted for good.
pub(super) fn is_gone(db: &Read, user: UserId) -> Result<bool> {
    let sql = "select 1 from removals where user_id = :user and scope = 'everything'";
    Ok(db.one(sql, named_params! { ":user": user }, |_| Ok(()))?.is_some())
}

/// Deletes a user for good.
pub fn mark(db: &Write, user: &User) -> Result<()> {
    hide(db, user)?;
    let sql = "insert into removals (user_id, scope) values (:id, 'everything')
               on conflict (user_id) do update set scope = excluded.scope";
    db.execute(sql, named_params! { ":id": user.id })?;
    Ok(())
}

/// Deletes a user who may still be looked up by administrators; of the content, the pictures go, which need no token
/// to be seen.
pub fn mark_softly(db: &Write, user: &User) -> Result<()> {
    hide(db, user)?;
    db.execute(
        "insert into removals (user_id, scope) values (:id, 'pictures') on conflict (user_id) do nothing",
        named_params! { ":id": user.id },
    )?;
    Ok(())
}

/// Frees the names, ends every session, and voids what was mailed.
fn hide(db: &Write, user: &User) -> Result<()> {
    let sql = "update users set deleted_at = :now, username = null, username_key = null, epoch = epoch + 1,
                 updated_at = :now
               where id = :id";
    db.execute(sql, named_params! { ":now": db.now, ":id": user.id })?;
    letters::forget(db, &user.email)?;
    letters::forget_notices(db, user.id)?;
    addresses::release(db, user.id)?;
    db.execute("delete from proofs where user_id = :id", named_params! { ":id": user.id })?;
    sessions::forget(db, user.uuid);
    Ok(())
}

const MARKED: &str =
    "select user_id, scope = 'everything' from removals where user_id > 0 order by user_id limit 1";
const EXPIRED: &str = "select id from users where deleted_at < :before order by deleted_at limit 1";

/// Whether somebody was deleted whose rows are not all removed.
pub fn is_due(db: &Read) -> Result<bool> {
    Ok(db.one(MARKED, [], |_| Ok(()))?.is_some())
}

/// What one piece of a purge did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Whether there may be more to do.
    pub more: bool,
    /// The address of a user of whom nothing is left.
    pub email: Option<String>,
}

/// Removes one piece of what a user had who was deleted for good, or longer than `keep` ago.
pub fn purge(db: &Write, keep: Duration) -> Result<Purged> {
    let marked = db.one(MARKED, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let next = match marked {
        Some(marked) => Some(marked),
        None => {
            let params = named_params! { ":before": db.now.minus(keep) };
            db.one(EXPIRED, params, |row| Ok((row.get(0)?, true)))?
        }
    };
    let Some((user, everything)) = next else { return Ok(Purged::default()) };
    let more = Purged { more: true, email: None };
    if remove_some(db, PICTURES, user, PIECE_PICTURES)? {
        return Ok(more);
    }
    if !everything {
        db.execute("delete from removals where user_id = :user", named_params! { ":user": user })?;
        return Ok(more);
    }
    for sql in CONTENT {
        if remove_some(db, sql, user, PIECE_ROWS)? {
            return Ok(more);
        }
    }
    let sql = "delete from users where id = :user returning email";
    let email = db.returning(sql, named_params! { ":user": user }, |row| row.get(0))?;
    db.after_commit(move || audit!(info, user.id = user.0, "deleted user purged"));
    Ok(Purged { more: true, email: Some(email) })
}

/// Runs a statement that removes at most `max` rows of a user's; whether it found any.
fn remove_some(db: &Write, sql: &str, user: UserId, max: usize) -> Result<bool> {
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    Ok(db.execute(sql, named_params! { ":user": user, ":max": max })? > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::tests::refuse_scan;

    #[test]
    fn who_is_to_be_purged_is_found_by_an_index() {
        refuse_scan(MARKED);
        refuse_scan(EXPIRED);
    }
}
