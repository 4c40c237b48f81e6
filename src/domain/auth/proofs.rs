//! Proofs: the tokens in mailed links. Opaque, 256 random bits, kept as SHA-256, spent by use.
//!
//! A proof is bound to one purpose and to the address it was mailed to. A newer one ends the older of its
//! purpose; a reset or a change of the password ends them all.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rusqlite::named_params;
use rusqlite::types::{FromSql, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use sha2::{Digest, Sha256};

use crate::db::Write;
use crate::domain::meaning;
use crate::domain::users::{self, User, UserId};
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

/// Confirms the address that the proof was mailed to.
pub fn confirm_email(db: &Write, token: &str) -> Result<User> {
    let id = spend(db, Purpose::ConfirmEmail, token)?;
    users::confirm_email(db, id)
}

/// Sets the password to one of this hash. Whoever reads the mail has the address: it is confirmed, too.
/// Every token and every other proof of the user dies.
pub fn reset_password(db: &Write, token: &str, password_hash: &str) -> Result<User> {
    let id = spend(db, Purpose::ResetPassword, token)?;
    users::set_password(db, id, password_hash)?;
    users::confirm_email(db, id)
}

/// Spends a proof by one conditional statement: of two who try at once, one gets it.
fn spend(db: &Write, purpose: Purpose, token: &str) -> Result<UserId> {
    let sql = "delete from proofs
               where digest = :digest and purpose = :purpose and expires_at > :now
                 and exists (select 1 from users u where u.id = proofs.user_id and u.email = proofs.email
                             and u.deleted_at is null)
               returning user_id";
    let params = named_params! { ":digest": digest(token), ":purpose": purpose, ":now": db.now };
    match db.returning(sql, params, |row| row.get(0)) {
        Ok(user) => Ok(user),
        Err(rusqlite::Error::QueryReturnedNoRows) => Err(Refusal::ProofInvalid.into()),
        Err(error) => Err(error.into()),
    }
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
