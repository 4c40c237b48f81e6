//! Proofs: the tokens in mailed links. Opaque, 256 random bits, kept as SHA-256, good once.
//!
//! A proof is bound to one purpose and to the address it was mailed to. A newer one ends the older of its
//! purpose; a reset or a change of the password ends them all.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rusqlite::named_params;
use rusqlite::types::{FromSql, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use sha2::{Digest, Sha256};

use super::forget_familiar_addresses;
use crate::clock::Timestamp;
use crate::db::{Read, Write};
use crate::domain::users::{self, User, UserId};
use crate::domain::{addresses, meaning};
use crate::error::{Refusal, Result};

/// How many expired proofs one purge removes at most.
const PURGE_MAX: i64 = 500;

/// What a letter is for, and what the proof in it is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To confirm the address it was mailed to.
    ConfirmEmail,
    /// To set a new password.
    ResetPassword,
    /// To put the address back that it was mailed to.
    RestoreEmail,
    /// Of a letter that tells of a new password: there is no proof for it.
    PasswordChanged,
}

impl Purpose {
    /// Every purpose by its word in the tables.
    const WORDS: [(&str, Self); 4] = [
        ("confirm_email", Self::ConfirmEmail),
        ("reset_password", Self::ResetPassword),
        ("restore_email", Self::RestoreEmail),
        ("password_changed", Self::PasswordChanged),
    ];

    /// The word in the tables, the log and the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::ConfirmEmail => "confirm_email",
            Self::ResetPassword => "reset_password",
            Self::RestoreEmail => "restore_email",
            Self::PasswordChanged => "password_changed",
        }
    }
}

impl ToSql for Purpose {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.word()))
    }
}

impl FromSql for Purpose {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        meaning(&Self::WORDS, value)
    }
}

/// Makes a proof from 256 random bits, mailed to this address and good until `expires`, and gives the text for the
/// link. An older one of its purpose dies.
pub fn issue(
    db: &Write,
    user: UserId,
    purpose: Purpose,
    email: &str,
    random: [u8; 32],
    expires: Timestamp,
) -> Result<String> {
    let token = URL_SAFE_NO_PAD.encode(random);
    let sql = "insert into proofs (user_id, purpose, digest, email, expires_at)
               values (:user, :purpose, :digest, :email, :expires)
               on conflict (user_id, purpose) do update set
                 digest = excluded.digest, email = excluded.email, expires_at = excluded.expires_at";
    let params = named_params! {
        ":user": user, ":purpose": purpose, ":digest": digest(&token), ":email": email, ":expires": expires,
    };
    db.execute(sql, params)?;
    Ok(token)
}

/// Voids every proof of a user, but for one that puts an address back: only its time ends that, or its use.
pub fn void(db: &Write, user: UserId) -> Result<()> {
    let sql = "delete from proofs where user_id = :user and purpose <> :kept";
    db.execute(sql, named_params! { ":user": user, ":kept": Purpose::RestoreEmail })?;
    Ok(())
}

/// Whether a text could be a proof: 256 bits in base64url.
pub fn is_well_formed(token: &str) -> bool {
    URL_SAFE_NO_PAD.decode(token).is_ok_and(|bytes| bytes.len() == 32)
}

/// Whose proof this is, if it is good, and the address that it was mailed to: the user's, or the one that the account
/// has reserved. It stays as it is.
///
/// # Errors
/// `ProofInvalid`.
pub fn holder(db: &Read, purpose: Purpose, token: &str, now: Timestamp) -> Result<(User, String)> {
    let sql = "select user_id, email from proofs
               where digest = :digest and purpose = :purpose and expires_at > :now";
    let params = named_params! { ":digest": digest(token), ":purpose": purpose, ":now": now };
    let found = db.one(sql, params, |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
    let Some((user, email)) = found else { return Err(Refusal::ProofInvalid.into()) };
    let Some(user) = users::find(db, user)? else { return Err(Refusal::ProofInvalid.into()) };
    let is_good = match purpose {
        Purpose::RestoreEmail => addresses::restorable_until(db, user.id, &email, now)?.is_some(),
        // It was mailed to where such letters still go.
        Purpose::ResetPassword => addresses::mailbox(db, &user, now)?.eq_ignore_ascii_case(&email),
        Purpose::ConfirmEmail | Purpose::PasswordChanged => user.email.eq_ignore_ascii_case(&email),
    };
    if is_good { Ok((user, email)) } else { Err(Refusal::ProofInvalid.into()) }
}

/// Confirms the address that the proof was mailed to; whether it was not confirmed before. The proof does that
/// once: afterwards, until its time is over, it does nothing but say that all is well to whoever follows the link
/// again, or after a program that looks into mails.
///
/// # Errors
/// `ProofInvalid`.
pub fn confirm_email(db: &Write, token: &str) -> Result<bool> {
    let (user, _) = holder(db, Purpose::ConfirmEmail, token, db.now)?;
    if user.email_confirmed_at.is_some() {
        return Ok(false);
    }
    users::confirm_email(db, user.id)?;
    Ok(true)
}

/// Sets the password to one of this hash. Whoever reads the mail has the address: it is confirmed, too.
/// Every token and every other proof of the user dies, and no address is familiar any longer. Whose it is.
///
/// # Errors
/// `ProofInvalid`.
pub fn reset_password(db: &Write, token: &str, password_hash: &str) -> Result<User> {
    let (user, email) = holder(db, Purpose::ResetPassword, token, db.now)?;
    users::set_password(db, user.id, password_hash)?;
    forget_familiar_addresses(db, user.id)?;
    if email.eq_ignore_ascii_case(&user.email) {
        users::confirm_email(db, user.id)?;
    }
    Ok(user)
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Removes some expired proofs; whether there may be more.
pub fn purge(db: &Write) -> Result<bool> {
    let sql = "delete from proofs where digest in
                 (select digest from proofs where expires_at < :now order by expires_at limit :max)";
    let removed = db.execute(sql, named_params! { ":now": db.now, ":max": PURGE_MAX })?;
    Ok(removed == usize::try_from(PURGE_MAX).unwrap_or(usize::MAX))
}
