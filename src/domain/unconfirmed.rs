//! Unconfirmed: users who signed up with an address that had to be confirmed, and never came. After a while they go, so that
//! whoever has the address, or wanted the username, finds them free.

use std::time::Duration;

use rusqlite::named_params;

use super::removal;
use super::users::{self, User, UserId};
use crate::audit;
use crate::clock::Timestamp;
use crate::db::Write;
use crate::error::Result;

/// How many users one piece looks at.
const PIECE: i64 = 50;

/// Notes that a new user has to confirm the address.
pub fn await_confirmation(db: &Write, user: &User) -> Result<()> {
    let sql = "insert into unconfirmed (user_id, since) values (:user, :now)";
    db.execute(sql, named_params! { ":user": user.id, ":now": db.now })?;
    Ok(())
}

const DUE: &str = "select user_id from unconfirmed where since < :before order by since limit :max";

/// Whether the user ever confirmed an address or had a session: a sign-in notes the activity, and another address than the
/// first can only be given to who was signed in, or by an administrator.
const CAME: &str =
    "select email_confirmed_at is not null or email_changed_at is not null or last_activity_at is not null
       or deleted_at is not null
       or exists (select 1 from sessions where user_id = users.id)
     from users where id = :user";

/// Whether the user owns something, is more than a user or was shut out by an administrator, or has a mailed link that is
/// still good.
const IS_KEPT: &str = "select role <> 'user' or not is_active or blocked_at is not null or balance > 0
       or exists (select 1 from books where user_id = users.id)
       or exists (select 1 from items where user_id = users.id)
       or exists (select 1 from todos where user_id = users.id)
       or exists (select 1 from contacts where user_id = users.id)
       or exists (select 1 from proofs where user_id = users.id and expires_at > :now)
     from users where id = :user";

/// Deletes some of the users for good who signed up longer than `keep` ago, had to confirm the address, and never confirmed one,
/// never had a session, own nothing and have no rights; whether there may be more to look at. Who is kept for what may change is
/// looked at again after `keep`.
pub fn purge(db: &Write, keep: Duration) -> Result<bool> {
    let params = named_params! { ":before": db.now.minus(keep), ":max": PIECE };
    let due: Vec<UserId> = db.all(DUE, params, |row| row.get(0))?;
    for user in &due {
        let now = db.now;
        let params = named_params! { ":user": user };
        let came = db.one(CAME, params, |row| row.get(0))?.unwrap_or(true);
        if !came && is_kept(db, *user, now)? {
            let sql = "update unconfirmed set since = :now where user_id = :user";
            db.execute(sql, named_params! { ":now": now, ":user": user })?;
            continue;
        }
        db.execute("delete from unconfirmed where user_id = :user", params)?;
        if !came {
            removal::mark(db, &users::by_id(db, user.0)?)?;
            let id = user.0;
            db.after_commit(move || {
                audit!(info, user.id = id, "user who never confirmed the address deleted")
            });
        }
    }
    Ok(due.len() == usize::try_from(PIECE).unwrap_or(usize::MAX))
}

fn is_kept(db: &Write, user: UserId, now: Timestamp) -> Result<bool> {
    Ok(db.one(IS_KEPT, named_params! { ":user": user, ":now": now }, |row| row.get(0))?.unwrap_or(true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::tests::refuse_scan;

    #[test]
    fn whom_to_look_at_and_what_is_theirs_is_found_by_an_index() {
        refuse_scan(DUE);
        refuse_scan(CAME);
        refuse_scan(IS_KEPT);
    }
}
