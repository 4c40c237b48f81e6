//! Proofs: the tokens in mailed links. Opaque, 256 random bits, kept as SHA-256, good once.
//!
//! A proof is bound to one purpose and to the address it was mailed to. A newer one ends the older of its
//! purpose; a reset or a change of the password ends them all.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use const_format::concatcp;
use rusqlite::named_params;
use rusqlite::types::{FromSql, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use sha2::{Digest, Sha256};

use crate::clock::Timestamp;
use crate::db::{Read, Write};
use crate::domain::meaning;
use crate::domain::users::{self, User};
use crate::error::{Refusal, Result};

/// How many expired proofs one purge removes at most.
const PURGE_MAX: i64 = 500;

/// What a proof is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To confirm the address it was mailed to.
    ConfirmEmail,
    /// To set a new password.
    ResetPassword,
}

impl Purpose {
    /// Every purpose by its word in the tables.
    const WORDS: [(&str, Self); 2] =
        [("confirm_email", Self::ConfirmEmail), ("reset_password", Self::ResetPassword)];

    /// The word in the tables, the log and the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::ConfirmEmail => "confirm_email",
            Self::ResetPassword => "reset_password",
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

/// Makes a proof from 256 random bits and gives the text for the link. An older one of its purpose dies.
pub fn issue(
    db: &Write,
    user: &User,
    purpose: Purpose,
    random: [u8; 32],
    lifetime: Duration,
) -> Result<String> {
    let token = URL_SAFE_NO_PAD.encode(random);
    let sql = "insert into proofs (user_id, purpose, digest, email, expires_at)
               values (:user, :purpose, :digest, :email, :expires)
               on conflict (user_id, purpose) do update set
                 digest = excluded.digest, email = excluded.email, expires_at = excluded.expires_at";
    db.execute(
        sql,
        named_params! {
            ":user": user.id, ":purpose": purpose, ":digest": digest(&token), ":email": user.email,
            ":expires": db.now.plus(lifetime),
        },
    )?;
    Ok(token)
}

/// Whether a text could be a proof: 256 bits in base64url.
pub fn is_well_formed(token: &str) -> bool {
    URL_SAFE_NO_PAD.decode(token).is_ok_and(|bytes| bytes.len() == 32)
}

/// Whose proof this is, if it is good. It stays as it is.
///
/// # Errors
/// `ProofInvalid`.
pub fn holder(db: &Read, purpose: Purpose, token: &str, now: Timestamp) -> Result<User> {
    let sql = concatcp!(
        "select ",
        User::COLUMNS,
        " from users where deleted_at is null and (id, email) =
            (select user_id, email from proofs where digest = :digest and purpose = :purpose and expires_at > :now)"
    );
    let params = named_params! { ":digest": digest(token), ":purpose": purpose, ":now": now };
    db.one(sql, params, User::from_row)?.ok_or(Refusal::ProofInvalid.into())
}

/// Confirms the address that the proof was mailed to; whether it was not confirmed before. The proof does that
/// once: afterwards, until its time is over, it does nothing but say that all is well to whoever follows the link
/// again, or after a program that looks into mails.
///
/// # Errors
/// `ProofInvalid`.
pub fn confirm_email(db: &Write, token: &str) -> Result<bool> {
    let user = holder(db, Purpose::ConfirmEmail, token, db.now)?;
    if user.email_confirmed_at.is_some() {
        return Ok(false);
    }
    users::confirm_email(db, user.id)?;
    Ok(true)
}

/// Sets the password to one of this hash. Whoever reads the mail has the address: it is confirmed, too.
/// Every token and every other proof of the user dies.
///
/// # Errors
/// `ProofInvalid`.
pub fn reset_password(db: &Write, token: &str, password_hash: &str) -> Result<()> {
    let user = holder(db, Purpose::ResetPassword, token, db.now)?;
    users::set_password(db, user.id, password_hash)?;
    users::confirm_email(db, user.id)?;
    Ok(())
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
