//! Sessions: one a sign-in. A token lives while its session does, its user may sign in, and the epoch is his.
//!
//! A refresh token is a signed statement of a session and a number; the table keeps the number of the living
//! one, and nothing else of it. Taking it adds one. An older number is a token that was spent: its return
//! ends the session, but for the last one within a short grace, which gets the same successor again.

use std::time::Duration;

use const_format::concatcp;
use rusqlite::named_params;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::tokens::Claims;
use super::{Caller, WriteAs, known};
use crate::audit;
use crate::clock::Timestamp;
use crate::config::Lifetimes;
use crate::db::{Read, Write};
use crate::domain::users::{User, UserId};
use crate::error::{Refusal, Result};

/// How many ended sessions one purge removes at most.
const PURGE_MAX: i64 = 500;
/// How long an ended or expired session is kept after its last token expired.
const KEEP_ENDED: Duration = Duration::from_secs(86_400);

/// What the tokens of a session are made from.
#[derive(Clone, Debug)]
pub struct Session {
    /// The session.
    pub id: Uuid,
    /// Whose it is.
    pub user_id: UserId,
    /// Whose it is, by the public id.
    pub user_uuid: Uuid,
    /// The user's epoch.
    pub epoch: i64,
    /// The number of the living refresh token.
    pub refresh_seq: i64,
    /// From when its text counts: since it lives, or anew where it is kept.
    pub refreshed_at: Timestamp,
}

impl Session {
    /// The `jti` of the refresh token with this number.
    pub fn refresh_jti(&self) -> Uuid {
        refresh_jti(self.id, self.refresh_seq)
    }
}

/// A token's id follows from the session and the number, so that the same successor can be made twice. It is
/// no secret: the signature is what cannot be made up.
fn refresh_jti(session: Uuid, seq: i64) -> Uuid {
    let digest = Sha256::new().chain_update(session).chain_update(seq.to_be_bytes()).finalize();
    uuid::Builder::from_custom_bytes(digest[..16].try_into().expect("SHA-256 has 32 bytes")).into_uuid()
}

/// Begins a session that ends by itself when its last token does. Of the user's others the `max - 1` that were begun or
/// refreshed last go on, and the rest ends.
pub fn open(db: &Write, user: &User, id: Uuid, lifetimes: Lifetimes, max: u32) -> Result<Session> {
    let sql = "insert into sessions (id, user_id, refreshed_at, created_at, expires_at, keeps_refresh)
               values (:id, :user, :now, :now, :expires, :keeps)";
    let expires = db.now.plus(lifetimes.session());
    db.execute(
        sql,
        named_params! {
            ":id": id, ":user": user.id, ":now": db.now, ":expires": expires, ":keeps": lifetimes.keeps_refresh,
        },
    )?;
    let ended = db.execute(END_SURPLUS, named_params! { ":user": user.id, ":id": id, ":others": max - 1 })?;
    if ended > 0 {
        forget(db, user.uuid);
    }
    Ok(Session {
        id,
        user_id: user.id,
        user_uuid: user.uuid,
        epoch: user.epoch,
        refresh_seq: 0,
        refreshed_at: db.now,
    })
}

/// Where refreshes spend no token, a session counts from its beginning.
const SURPLUS: &str = "select id from sessions where user_id = :user and ended_at is null and id <> :id
     order by refreshed_at desc limit -1 offset :others";
/// The rows go, so that signing in over and over does not fill the table.
const END_SURPLUS: &str = concatcp!("delete from sessions where id in (", SURPLUS, ")");

/// The user of this session and epoch as a caller, as things stand now.
///
/// # Errors
/// `TokenRevoked`; `TokenOfInactive` when the user was deactivated.
pub fn caller(db: &Read, user: Uuid, session: Uuid, epoch: i64, require_confirmed: bool) -> Result<Caller> {
    let sql = "select u.id, u.role, u.is_active, u.email_confirmed_at is not null,
                      u.epoch = :epoch and s.ended_at is null and u.deleted_at is null and u.blocked_at is null
                        and (u.email_confirmed_at is not null
                             or u.confirm_required = 0 and not :require_confirmed
                             or coalesce(s.created_at <= u.email_changed_at, 0))
               from sessions s join users u on u.id = s.user_id
               where s.id = :session and u.uuid = :user";
    let params = named_params! {
        ":session": session, ":user": user, ":epoch": epoch, ":require_confirmed": require_confirmed,
    };
    let found = db.one(sql, params, |row| {
        let caller = Caller {
            id: row.get(0)?,
            uuid: user,
            role: row.get(1)?,
            session,
            epoch,
            confirmed: row.get(3)?,
            must_be_confirmed: false,
            state_version: 0,
        };
        Ok((caller, row.get::<_, bool>(2)?, row.get::<_, bool>(4)?))
    })?;
    match found {
        Some((caller, true, true)) => Ok(caller),
        // Deactivation ended the token; whoever has it may know why.
        Some((_, false, _)) => Err(Refusal::TokenOfInactive.into()),
        _ => Err(Refusal::TokenRevoked.into()),
    }
}

/// What became of a refresh token that was handed in.
#[derive(Debug)]
pub enum Rotation {
    /// The session as it goes on; the same again for one who asks again within the grace.
    Goes(Session),
    /// The token was spent before: the session has been ended.
    Reused,
}

/// Spends a refresh token: the next one of its session lives from now on. Where an API's clients keep theirs, and
/// the session was begun there, it is not spent, and lives anew.
pub fn rotate(
    db: &Write,
    claims: &Claims,
    lifetimes: Lifetimes,
    grace: Duration,
    require_confirmed: bool,
) -> Result<Rotation> {
    let user = match crate::domain::users::by_uuid(db, claims.sub) {
        Ok(user) => user,
        Err(crate::error::Error::Refusal(_)) => return Err(Refusal::RefreshRevoked.into()),
        Err(fault) => return Err(fault),
    };
    let sql = "select refresh_seq, refreshed_at, keeps_refresh, created_at from sessions
               where id = :id and user_id = :user and ended_at is null";
    let living = db.one(sql, named_params! { ":id": claims.sid, ":user": user.id }, |row| {
        let created_at: Timestamp = row.get(3)?;
        Ok((row.get::<_, i64>(0)?, row.get::<_, Timestamp>(1)?, row.get::<_, bool>(2)?, created_at))
    })?;
    // A session from before a change of the address goes on, so that a typing mistake can be corrected.
    let is_older = living.is_some_and(|(.., created_at)| Some(created_at) <= user.email_changed_at);
    match user.shut_out(require_confirmed) {
        None => {}
        Some(Refusal::EmailUnconfirmed) if is_older => {}
        Some(refusal) => return Err(refusal.into()),
    }
    let Some((seq, refreshed_at, keeps, _)) = living.filter(|_| user.epoch == claims.epoch) else {
        return Err(Refusal::RefreshRevoked.into());
    };
    let session = Session {
        id: claims.sid,
        user_id: user.id,
        user_uuid: user.uuid,
        epoch: user.epoch,
        refresh_seq: seq,
        refreshed_at,
    };
    if claims.jti == session.refresh_jti() {
        let next = if keeps && lifetimes.keeps_refresh { seq } else { seq + 1 };
        // Where nothing is spent, the grace of the token before that one does not begin anew.
        let sql = "update sessions set refresh_seq = :next, expires_at = :expires,
                     refreshed_at = iif(refresh_seq = :next, refreshed_at, :now)
                   where id = :id and refresh_seq = :seq";
        let expires = db.now.plus(lifetimes.session());
        let params = named_params! {
            ":next": next, ":now": db.now, ":expires": expires, ":id": claims.sid, ":seq": seq,
        };
        db.execute(sql, params)?;
        return Ok(Rotation::Goes(Session { refresh_seq: next, refreshed_at: db.now, ..session }));
    }
    // When the clock was set back by more than the grace there is none: nobody knows how long ago it was. A grace of
    // nothing gives none in the same instant either.
    let apart = db.now.since(refreshed_at).max(refreshed_at.since(db.now));
    let in_grace = !grace.is_zero() && apart <= grace;
    if in_grace && claims.jti == refresh_jti(claims.sid, seq - 1) {
        return Ok(Rotation::Goes(session));
    }
    end_session(db, claims.sid)?;
    forget(db, user.uuid);
    let (user, session) = (user.id.0, claims.sid);
    db.after_commit(move || {
        audit!(warn, user.id = user, session.id = %session, "a spent refresh token came back: session ended");
    });
    Ok(Rotation::Reused)
}

/// Ends the caller's session: its access tokens and its refresh token.
pub fn end(db: &WriteAs) -> Result<()> {
    let caller = db.caller();
    end_session(db, caller.session)?;
    forget(db, caller.uuid);
    let (user, session) = (caller.id.0, caller.session);
    db.after_commit(move || audit!(info, user.id = user, session.id = %session, "signed out"));
    Ok(())
}

fn end_session(db: &Write, id: Uuid) -> Result<()> {
    let sql = "update sessions set ended_at = coalesce(ended_at, :now) where id = :id";
    db.execute(sql, named_params! { ":now": db.now, ":id": id })?;
    Ok(())
}

/// Ends every session of the caller.
pub fn end_own(db: &WriteAs) -> Result<()> {
    end_all(db, db.caller().id)
}

/// Ends every session of a user: the next token is of another epoch.
pub fn end_all(db: &Write, user: UserId) -> Result<()> {
    let sql = "update users set epoch = epoch + 1 where id = :id returning uuid";
    let uuid = db.returning(sql, named_params! { ":id": user }, |row| row.get::<_, Uuid>(0))?;
    let sql = "update sessions set ended_at = :now where user_id = :user and ended_at is null";
    db.execute(sql, named_params! { ":now": db.now, ":user": user })?;
    forget(db, uuid);
    db.after_commit(move || audit!(info, user.id = user.0, "every session ended"));
    Ok(())
}

/// What [`end_everybodys`] does, where the table is there.
const EVERYBODYS: [(&str, &str); 4] = [
    ("sessions", "delete from sessions"),
    ("users", "update users set epoch = epoch + 1"),
    ("proofs", "delete from proofs"),
    ("letters", "delete from letters"),
];

/// Ends every session and every mailed link of everybody, and takes back every letter: a copy of the database does not
/// know which ones were ended or used since it was made, nor which letters have left. The schema may be an older one.
pub fn end_everybodys(db: &Write) -> Result<()> {
    for (table, sql) in EVERYBODYS {
        let found = "select 1 from sqlite_schema where type = 'table' and name = :table";
        if db.one(found, named_params! { ":table": table }, |_| Ok(()))?.is_some() {
            db.execute(sql, [])?;
        }
    }
    Ok(())
}

/// Has whatever is remembered of a user looked up again once this transaction is on the disk.
pub fn forget(db: &Write, user: Uuid) {
    db.announce(known::key_of(user));
}

/// Removes some sessions whose last token has long expired; whether there may be more. A session that is
/// gone is an ended one, so a clock that runs ahead and comes back reopens nothing.
pub fn purge(db: &Write) -> Result<bool> {
    let sql = "delete from sessions
               where id in (select id from sessions where expires_at < :before order by expires_at limit :max)";
    let before = db.now.minus(KEEP_ENDED);
    let removed = db.execute(sql, named_params! { ":before": before, ":max": PURGE_MAX })?;
    Ok(removed == usize::try_from(PURGE_MAX).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::tests::refuse_scan;

    #[test]
    fn a_sign_in_looks_at_no_sessions_but_those_of_its_user_that_live() {
        refuse_scan(SURPLUS);
    }
}
