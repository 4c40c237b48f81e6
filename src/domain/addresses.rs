//! Addresses: what a change of a user's e-mail address causes, and how the one before is put back.
//!
//! A stolen access token can change the address, and a reset letter to the new one would make the thief the owner.
//! So the address before stays reserved for the account for seven days: it is told of the change with a link that puts
//! it back and sets another password, and letters to reset the password go there as long as the new address is not
//! confirmed. An account has one such address at a time, however often it changes: the link that the first change
//! made is not taken away by a later one, and no later change makes another.

use std::time::Duration;

use rusqlite::named_params;

use super::auth::forget_familiar_addresses;
use super::auth::proofs::{self, Purpose};
use super::emails::Email;
use super::users::{self, User, UserId};
use super::{letters, names};
use crate::audit;
use crate::clock::Timestamp;
use crate::db::{Read, Write};
use crate::error::Result;

/// How long the address before can be put back.
const RESTORABLE_FOR: Duration = Duration::from_secs(7 * 86_400);

/// The address that an account can put back.
struct Reserved {
    email: String,
    was_confirmed: bool,
    expires_at: Timestamp,
}

fn reserved(db: &Read, user: UserId) -> Result<Option<Reserved>> {
    let sql = "select email, was_confirmed, expires_at from address_changes where user_id = :user";
    db.one(sql, named_params! { ":user": user }, |row| {
        Ok(Reserved { email: row.get(0)?, was_confirmed: row.get(1)?, expires_at: row.get(2)? })
    })
}

/// Until when this address can be put back, if it is the one that the account has reserved.
pub fn restorable_until(db: &Read, user: UserId, email: &str, now: Timestamp) -> Result<Option<Timestamp>> {
    let until = |reserved: Reserved| {
        (reserved.expires_at > now && reserved.email.eq_ignore_ascii_case(email))
            .then_some(reserved.expires_at)
    };
    Ok(reserved(db, user)?.and_then(until))
}

/// Whether another account has this address reserved.
pub fn is_reserved(db: &Read, email: &str, own: UserId, now: Timestamp) -> Result<bool> {
    let sql = "select 1 from address_changes where email = :email and expires_at > :now and user_id <> :own";
    let params = named_params! { ":email": email, ":now": now, ":own": own };
    Ok(db.one(sql, params, |_| Ok(()))?.is_some())
}

/// The user to whom a letter to reset a password is meant that was asked for by this address: the one who has it, or
/// who has it reserved and has not confirmed the present one.
pub fn owner(db: &Read, email: &str, now: Timestamp) -> Result<Option<User>> {
    if let Some(user) = users::find_by_email(db, email)? {
        return Ok(Some(user));
    }
    let sql = "select user_id from address_changes where email = :email and expires_at > :now";
    let Some(id) = db.one(sql, named_params! { ":email": email.trim(), ":now": now }, |row| row.get(0))?
    else {
        return Ok(None);
    };
    let user = users::find(db, id)?;
    Ok(user.filter(|user| user.email_confirmed_at.is_none()))
}

/// Where letters go that only the owner of the account may read: the present address, or the reserved one as long as the
/// present one is not confirmed.
pub fn mailbox(db: &Read, user: &User, now: Timestamp) -> Result<String> {
    let trusted = match user.email_confirmed_at {
        Some(_) => None,
        None => reserved(db, user.id)?.filter(|reserved| reserved.expires_at > now),
    };
    Ok(trusted.map_or_else(|| user.email.clone(), |reserved| reserved.email))
}

/// Does what a change of the address causes: links mailed to the old one are void, but for one that puts a reserved
/// address back; the old address is told and reserved, unless one is; the new one is asked to confirm itself.
pub fn changed(db: &Write, before: &User, new: &Email) -> Result<()> {
    proofs::void(db, before.id)?;
    letters::forget_links(db, &before.email)?;
    let last = reserved(db, before.id)?;
    if last.as_ref().is_none_or(|last| last.expires_at <= db.now) {
        // The last address that was confirmed, else the one before this change.
        let last_confirmed = last
            .filter(|last| last.was_confirmed && before.email_confirmed_at.is_none())
            .map(|last| last.email);
        let last_confirmed = match last_confirmed {
            Some(email) if !names::is_email_taken(db, &email, before.id, db.now)? => Some(email),
            _ => None,
        };
        let was_confirmed = last_confirmed.is_some() || before.email_confirmed_at.is_some();
        let email = last_confirmed.as_deref().unwrap_or(&before.email);
        let sql = "insert into address_changes (user_id, email, was_confirmed, expires_at)
                   values (:user, :email, :was_confirmed, :expires)
                   on conflict (user_id) do update set email = excluded.email,
                     was_confirmed = excluded.was_confirmed, expires_at = excluded.expires_at";
        let params = named_params! {
            ":user": before.id, ":email": email, ":was_confirmed": was_confirmed,
            ":expires": db.now.plus(RESTORABLE_FOR),
        };
        db.execute(sql, params)?;
        if last_confirmed.is_some() {
            letters::post_notice(db, Purpose::RestoreEmail, before.id, email)?;
        }
    }
    letters::post_notice(db, Purpose::RestoreEmail, before.id, &before.email)?;
    let id = before.id.0;
    db.after_commit(move || audit!(info, user.id = id, "e-mail address changed"));
    letters::post(db, Purpose::ConfirmEmail, new)
}

/// Puts the address back that this proof was mailed to, confirmed, and sets the password to one of this hash. Every
/// session, every other proof and every familiar address of the account ends. Whose it is.
///
/// # Errors
/// `ProofInvalid`.
pub fn restore(db: &Write, token: &str, password_hash: &str) -> Result<User> {
    let (user, email) = proofs::holder(db, Purpose::RestoreEmail, token, db.now)?;
    letters::forget(db, &user.email)?;
    release(db, user.id)?;
    let sql =
        "update users set email = :email, email_confirmed_at = :now, email_changed_at = :now where id = :id";
    db.execute(sql, named_params! { ":email": email, ":now": db.now, ":id": user.id })?;
    users::set_password(db, user.id, password_hash)?;
    db.execute("delete from proofs where user_id = :id", named_params! { ":id": user.id })?;
    forget_familiar_addresses(db, user.id)?;
    Ok(user)
}

/// Frees the address that an account has reserved.
pub fn release(db: &Write, user: UserId) -> Result<()> {
    db.execute("delete from address_changes where user_id = :user", named_params! { ":user": user })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::domain::tests::refuse_scan;

    #[test]
    fn a_reserved_address_is_found_by_an_index() {
        refuse_scan("select user_id from address_changes where email = :email and expires_at > :now");
    }
}
