//! Letters: the outbox, what waits in it, and when a letter is tried again or given up.
//!
//! A row holds a purpose and an address, and no token: `take` makes the proof right before the letter leaves, so
//! that the plain token never rests on the disk. Whether the address is anybody's is found out there, too, so
//! that asking for a letter costs the same for an address that is known and one that is not.

use std::time::Duration;

use const_format::concatcp;
use rusqlite::types::{FromSql, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Row, named_params};

use super::auth::proofs::{self, Purpose};
use super::emails::Email;
use super::users::{self, User, UserId};
use super::{addresses, meaning};
use crate::clock::Timestamp;
use crate::db::{Read, Write};
use crate::error::{Refusal, Result};

/// So often a letter is tried before it is given up, which takes five hours.
const ATTEMPTS_MAX: i64 = 12;
/// How long a letter waits after its first failure; the wait doubles with each.
const WAIT_FIRST: Duration = Duration::from_secs(30);
/// The longest wait.
const WAIT_MAX: Duration = Duration::from_secs(3600);
/// How long a dead letter is kept for whoever may want to send it again.
const KEEP_DEAD: Duration = Duration::from_secs(30 * 24 * 3600);
/// How many characters of an error are kept.
const ERROR_LEN_MAX: usize = 300;
/// How many dead letters one purge removes at most.
const PURGE_MAX: i64 = 500;

/// A letter's number. A newer letter to the same address has another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LetterId(pub i64);

impl ToSql for LetterId {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}

impl FromSql for LetterId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        i64::column_result(value).map(Self)
    }
}

/// What becomes of a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is tried when its time has come.
    Waiting,
    /// It was given up.
    Dead,
}

impl State {
    /// Every state by its word in the table.
    const WORDS: [(&str, Self); 2] = [("waiting", Self::Waiting), ("dead", Self::Dead)];
}

impl FromSql for State {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        meaning(&Self::WORDS, value)
    }
}

/// A letter in the outbox.
#[derive(Clone, Debug)]
pub struct Letter {
    /// The number.
    pub id: LetterId,
    /// What it is for.
    pub purpose: Purpose,
    /// The address as it was asked for.
    pub email: String,
    /// Whom it is about, where that is not found by the address.
    pub user: Option<UserId>,
    /// What becomes of it.
    pub state: State,
    /// How often it was tried.
    pub attempts: i64,
    /// Since when it is in the outbox.
    pub created_at: Timestamp,
    /// When it may be tried; once it is dead, when that was found.
    pub next_at: Timestamp,
    /// Why it did not leave.
    pub last_error: Option<String>,
}

impl Letter {
    const COLUMNS: &'static str =
        "id, purpose, email, state, attempts, created_at, next_at, last_error, user_id";

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            purpose: row.get(1)?,
            email: row.get(2)?,
            state: row.get(3)?,
            attempts: row.get(4)?,
            created_at: row.get(5)?,
            next_at: row.get(6)?,
            last_error: row.get(7)?,
            user: row.get(8)?,
        })
    }
}

/// A letter that leaves now.
pub struct Outgoing {
    /// The letter's number.
    pub id: LetterId,
    /// What it is for.
    pub purpose: Purpose,
    /// Whose it is.
    pub user: UserId,
    /// The address, as its user gave it: not as somebody asked for it.
    pub email: String,
    /// What its link is made of, if it has one.
    pub link: Option<Link>,
}

/// What the link in a letter is made of.
pub struct Link {
    /// The token; it is nowhere else.
    pub token: String,
    /// How long it is good.
    pub lifetime: Duration,
}

/// Puts a letter into the outbox that tells a user what happened, for whoever reads this address.
pub fn post_notice(db: &Write, purpose: Purpose, user: UserId, email: &str) -> Result<()> {
    let sql = "insert or replace into letters (purpose, email, user_id, created_at, next_at)
               values (:purpose, :email, :user, :now, :now)";
    let params = named_params! { ":purpose": purpose, ":email": email, ":user": user, ":now": db.now };
    db.execute(sql, params)?;
    Ok(())
}

/// Puts a letter into the outbox. One to the same address for the same purpose goes, waiting or dead, so
/// strangers cannot fill the outbox with letters to one address.
pub fn post(db: &Write, purpose: Purpose, email: &Email) -> Result<()> {
    // The row that was there is deleted: what a worker does with a letter in hand means that one alone.
    let sql = "insert or replace into letters (purpose, email, created_at, next_at)
               values (:purpose, :email, :now, :now)";
    db.execute(sql, named_params! { ":purpose": purpose, ":email": email, ":now": db.now })?;
    Ok(())
}

const DUE: &str =
    "select id from letters where state = 'waiting' and next_at <= :now order by next_at limit :limit";

/// The letters whose time has come, those that wait longest first, at most `limit`.
pub fn due(db: &Read, now: Timestamp, limit: i64) -> Result<Vec<LetterId>> {
    db.all(DUE, named_params! { ":now": now, ":limit": limit }, |row| row.get(0))
}

/// Takes a due letter to send it: makes its proof and counts the attempt. If nothing more is heard of it, since
/// the process ended, it is tried again after the wait of a failure. `None` when there is nothing to send: the
/// letter has gone, or it would be to nobody, and then it is dropped.
pub fn take(
    db: &Write,
    id: LetterId,
    random: [u8; 32],
    lifetime: impl FnOnce(Purpose) -> Duration,
) -> Result<Option<Outgoing>> {
    let sql = concatcp!(
        "select ",
        Letter::COLUMNS,
        " from letters where id = :id and state = 'waiting' and next_at <= :now"
    );
    let Some(letter) = db.one(sql, named_params! { ":id": id, ":now": db.now }, Letter::from_row)? else {
        return Ok(None);
    };
    let Some(Recipient { user, email, link }) = recipient(db, &letter, lifetime)? else {
        remove(db, id)?;
        return Ok(None);
    };
    let link = match link {
        Some(expires) => {
            let token = proofs::issue(db, user, letter.purpose, &email, random, expires)?;
            Some(Link { token, lifetime: expires.since(db.now) })
        }
        None => None,
    };
    let attempts = letter.attempts + 1;
    let sql = "update letters set attempts = :attempts, next_at = :next where id = :id";
    db.execute(
        sql,
        named_params! { ":attempts": attempts, ":next": db.now.plus(wait(attempts)), ":id": id },
    )?;
    Ok(Some(Outgoing { id, purpose: letter.purpose, user, email, link }))
}

/// Whom a letter reaches.
struct Recipient {
    user: UserId,
    /// Where it goes.
    email: String,
    /// Until when its link is good, if it has one.
    link: Option<Timestamp>,
}

/// Whom the letter reaches, unless it would be to nobody or say nothing new.
fn recipient(
    db: &Write,
    letter: &Letter,
    lifetime: impl FnOnce(Purpose) -> Duration,
) -> Result<Option<Recipient>> {
    let link = || Some(db.now.plus(lifetime(letter.purpose)));
    let may_sign_in = |user: &User| matches!(user.shut_out(false), None | Some(Refusal::EmailUnconfirmed));
    match letter.purpose {
        Purpose::ConfirmEmail => {
            let found = users::find_by_email(db, &letter.email)?;
            let wanted = found.filter(|user| may_sign_in(user) && user.email_confirmed_at.is_none());
            Ok(wanted.map(|user| Recipient { user: user.id, email: user.email, link: link() }))
        }
        Purpose::ResetPassword => {
            let owner = addresses::owner(db, &letter.email, db.now)?;
            let Some(user) = owner.filter(may_sign_in) else { return Ok(None) };
            let email = addresses::mailbox(db, &user, db.now)?;
            Ok(Some(Recipient { user: user.id, email, link: link() }))
        }
        Purpose::RestoreEmail | Purpose::PasswordChanged => {
            let Some(user) = letter.user else { return Ok(None) };
            let link = match letter.purpose {
                Purpose::RestoreEmail => addresses::restorable_until(db, user, &letter.email, db.now)?,
                _ => None,
            };
            Ok(Some(Recipient { user, email: letter.email.clone(), link }))
        }
    }
}

/// Takes a letter out of the outbox: it has left, or is not to leave.
pub fn remove(db: &Write, id: LetterId) -> Result<()> {
    db.execute("delete from letters where id = :id", named_params! { ":id": id })?;
    Ok(())
}

/// Keeps a letter that did not leave, to try it again or, after the last attempt or one that was refused for good, for
/// whoever looks after it. Says what becomes of it; `None` when a newer one has taken its place.
pub fn mark_failed(db: &Write, id: LetterId, error: &str, for_good: bool) -> Result<Option<State>> {
    let sql = "select attempts from letters where id = :id";
    let Some(attempts) = db.one(sql, named_params! { ":id": id }, |row| row.get::<_, i64>(0))? else {
        return Ok(None);
    };
    let dead = for_good || attempts >= ATTEMPTS_MAX;
    let next_at = if dead { db.now } else { db.now.plus(wait(attempts)) };
    let error: String = error.chars().take(ERROR_LEN_MAX).collect();
    let sql = "update letters set state = iif(:dead, 'dead', 'waiting'), next_at = :next, last_error = :error
               where id = :id";
    db.execute(sql, named_params! { ":dead": dead, ":next": next_at, ":error": error, ":id": id })?;
    Ok(Some(if dead { State::Dead } else { State::Waiting }))
}

/// How long a letter waits after so many attempts.
fn wait(attempts: i64) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
    WAIT_FIRST.saturating_mul(1 << doublings).min(WAIT_MAX)
}

/// The outbox, oldest first: letters with a number above `after`, at most `limit`.
pub fn list(db: &Read, after: LetterId, limit: i64) -> Result<Vec<Letter>> {
    let sql =
        concatcp!("select ", Letter::COLUMNS, " from letters where id > :after order by id limit :limit");
    db.all(sql, named_params! { ":after": after, ":limit": limit }, Letter::from_row)
}

/// Has a letter tried at once, with all its attempts before it. False when there is none of this number.
pub fn retry(db: &Write, id: LetterId) -> Result<bool> {
    let sql = "update letters set state = 'waiting', attempts = 0, next_at = :now where id = :id";
    Ok(db.execute(sql, named_params! { ":now": db.now, ":id": id })? > 0)
}

/// Has every dead letter tried again; how many they are.
pub fn retry_dead(db: &Write) -> Result<usize> {
    let sql = "update letters set state = 'waiting', attempts = 0, next_at = :now where state = 'dead'";
    Ok(db.execute(sql, named_params! { ":now": db.now })?)
}

/// Removes what is in the outbox for an address: its user is gone, or has another.
pub fn forget(db: &Write, email: &str) -> Result<()> {
    db.execute("delete from letters where email = :email", named_params! { ":email": email })?;
    Ok(())
}

/// Removes what is in the outbox for an address that another letter would make worthless: all but notices.
pub fn forget_links(db: &Write, email: &str) -> Result<()> {
    let sql = "delete from letters where email = :email and user_id is null";
    db.execute(sql, named_params! { ":email": email })?;
    Ok(())
}

/// Removes what is in the outbox about a user: the user is gone.
pub fn forget_notices(db: &Write, user: UserId) -> Result<()> {
    db.execute("delete from letters where user_id = :user", named_params! { ":user": user })?;
    Ok(())
}

/// Removes what is in the outbox for an address to set a password: it was set.
pub fn forget_resets(db: &Write, email: &str) -> Result<()> {
    let sql = "delete from letters where purpose = :purpose and email = :email";
    db.execute(sql, named_params! { ":purpose": Purpose::ResetPassword, ":email": email })?;
    Ok(())
}

const PURGE: &str = "delete from letters where id in
    (select id from letters where state = 'dead' and next_at < :before order by next_at limit :max)";

/// Removes some letters that have long been dead; whether there may be more.
pub fn purge(db: &Write) -> Result<bool> {
    let removed =
        db.execute(PURGE, named_params! { ":before": db.now.minus(KEEP_DEAD), ":max": PURGE_MAX })?;
    Ok(removed == usize::try_from(PURGE_MAX).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::tests::refuse_scan;

    #[test]
    fn a_look_for_due_letters_costs_the_same_however_many_wait() {
        refuse_scan(DUE);
    }

    #[test]
    fn the_wait_doubles_with_each_attempt_up_to_an_hour() {
        for (attempts, expected) in
            [(1, 30), (2, 60), (3, 120), (7, 1920), (8, 3600), (12, 3600), (i64::MAX, 3600)]
        {
            assert_eq!(wait(attempts), Duration::from_secs(expected), "after {attempts} attempts");
        }
    }
}
