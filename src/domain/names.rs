//! Names: what no two users share, an address and a username, and what usernames are compared by.

use rusqlite::named_params;

use super::addresses;
use super::emails::Email;
use super::users::{NewUser, UserId};
use crate::clock::Timestamp;
use crate::db::Read;
use crate::error::{Act, Refusal, Result};

/// What usernames are compared by: case does not count.
pub(super) fn username_key(username: &str) -> String {
    username.to_lowercase()
}

/// Refuses the address or name of a user to be that another has; the address is looked at first.
pub fn refuse_taken(db: &Read, new: &NewUser, now: Timestamp) -> Result<()> {
    refuse_taken_names(db, Act::Create, Some(&new.email), new.username.as_deref(), UserId(0), now)
}

/// Whether another than `own` has this address, or has it reserved.
pub(super) fn is_email_taken(db: &Read, email: &str, own: UserId, now: Timestamp) -> Result<bool> {
    let sql = "select 1 from users where email = :email and deleted_at is null and id <> :own";
    let params = named_params! { ":email": email, ":own": own };
    Ok(db.one(sql, params, |_| Ok(()))?.is_some() || addresses::is_reserved(db, email, own, now)?)
}

/// Refuses names that another than `own` has. Nobody else writes while a transaction looks, so that the table's
/// own rules are never broken.
pub(super) fn refuse_taken_names(
    db: &Read,
    act: Act,
    email: Option<&Email>,
    username: Option<&str>,
    own: UserId,
    now: Timestamp,
) -> Result<()> {
    if let Some(email) = email
        && is_email_taken(db, email.as_str(), own, now)?
    {
        return Err(Refusal::EmailTaken(act, email.as_str().to_owned()).into());
    }
    if let Some(username) = username {
        let key = username_key(username);
        let sql = "select 1 from users where username_key = :key and id <> :own
            union all select 1 from users where id = :id and id <> :own and username is null and deleted_at is null";
        let params = named_params! { ":key": key, ":id": id_in_shown_username(&key), ":own": own };
        if db.one(sql, params, |_| Ok(()))?.is_some() {
            return Err(Refusal::UsernameTaken(username.to_owned()).into());
        }
    }
    Ok(())
}

/// The number of the user who is shown by this name while there is no other: see `User::shown_username`.
fn id_in_shown_username(key: &str) -> Option<i64> {
    key.strip_prefix("user_")?.parse().ok().filter(|id| key == format!("user_{id}"))
}
