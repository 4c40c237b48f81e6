//! Users: what one is, who may change one, and the SQL that keeps the table all five APIs share.

use const_format::concatcp;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Row, named_params};
use serde::Serialize;
use uuid::Uuid;

use super::auth::{Admin, Caller, sessions};
use super::emails::Email;
use crate::clock::Timestamp;
use crate::config::Directory;
use crate::db::{self, Read, Write};
use crate::error::{Act, Error, Refusal, Result, UserKey};

/// A user's number, which some APIs show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UserId(pub i64);

impl ToSql for UserId {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}

impl FromSql for UserId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        i64::column_result(value).map(Self)
    }
}

/// What a user may beyond his own things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything, and the users.
    Admin,
    /// Any book and any item.
    Moderator,
    /// His own things.
    User,
}

impl Role {
    /// Every role by its word on the wire and in the table.
    pub const WORDS: [(&str, Self); 3] =
        [("admin", Self::Admin), ("moderator", Self::Moderator), ("user", Self::User)];

    /// The word on the wire and in the table.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Moderator => "moderator",
            Self::User => "user",
        }
    }
}

impl From<Role> for serde_json::Value {
    fn from(role: Role) -> Self {
        Self::from(role.word())
    }
}

impl ToSql for Role {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.word()))
    }
}

impl FromSql for Role {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let word = value.as_str()?;
        let known = Self::WORDS.iter().find(|(known, _)| *known == word);
        known.map(|(_, role)| *role).ok_or(FromSqlError::InvalidType)
    }
}

/// A user, without the password hash.
#[derive(Clone, Debug)]
pub struct User {
    /// The number.
    pub id: UserId,
    /// The public id.
    pub uuid: Uuid,
    /// The address, unique among users that are not deleted.
    pub email: String,
    /// The name to sign in by, unique.
    pub username: Option<String>,
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// What the user may.
    pub role: Role,
    /// False once deactivated.
    pub is_active: bool,
    /// Since when blocked.
    pub blocked_at: Option<Timestamp>,
    /// Since when deleted.
    pub deleted_at: Option<Timestamp>,
    /// Whether signing in needs a confirmed address.
    pub confirm_required: bool,
    /// Since when the address is confirmed.
    pub email_confirmed_at: Option<Timestamp>,
    /// Tokens of another epoch are dead.
    pub epoch: i64,
    /// Since when.
    pub created_at: Timestamp,
    /// Last change.
    pub updated_at: Timestamp,
}

impl User {
    /// The columns that [`User::from_row`] reads, in its order.
    const COLUMNS: &'static str = "id, uuid, email, username, first_name, last_name, role, is_active, blocked_at, \
         deleted_at, confirm_required, email_confirmed_at, epoch, created_at, updated_at";

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            uuid: row.get(1)?,
            email: row.get(2)?,
            username: row.get(3)?,
            first_name: row.get(4)?,
            last_name: row.get(5)?,
            role: row.get(6)?,
            is_active: row.get(7)?,
            blocked_at: row.get(8)?,
            deleted_at: row.get(9)?,
            confirm_required: row.get(10)?,
            email_confirmed_at: row.get(11)?,
            epoch: row.get(12)?,
            created_at: row.get(13)?,
            updated_at: row.get(14)?,
        })
    }

    /// Why this user may not be signed in, if so. Asked only after a right password or a good token.
    pub fn shut_out(&self, require_confirmed: bool) -> Option<Refusal> {
        if self.deleted_at.is_some() {
            Some(Refusal::UserDeleted)
        } else if self.blocked_at.is_some() {
            Some(Refusal::UserBlocked)
        } else if !self.is_active {
            Some(Refusal::UserInactive)
        } else if (self.confirm_required || require_confirmed) && self.email_confirmed_at.is_none() {
            Some(Refusal::EmailUnconfirmed)
        } else {
            None
        }
    }
}

/// What a new user is made of.
#[derive(Debug)]
pub struct NewUser {
    /// The public id.
    pub uuid: Uuid,
    /// The address.
    pub email: Email,
    /// The name to sign in by.
    pub username: Option<String>,
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// PHC string.
    pub password_hash: String,
    /// What the user may.
    pub role: Role,
    /// False for one that may not sign in yet.
    pub is_active: bool,
}

/// What is to change; `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct Patch {
    /// The name to sign in by.
    pub username: Option<String>,
    /// The address; a new one is unconfirmed.
    pub email: Option<Email>,
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// Whether the user may sign in; false ends every token.
    pub is_active: Option<bool>,
    /// What the user may; another role ends every token. Heeded from administrators alone.
    pub role: Option<Role>,
}

/// Adds a user.
pub fn create(db: &Write, new: &NewUser) -> Result<User> {
    refuse_taken(db, new)?;
    let sql = concatcp!(
        "insert into users (uuid, email, username, username_key, first_name, last_name, password_hash, role, \
         is_active, created_at, updated_at)
         values (:uuid, :email, :username, :username_key, :first_name, :last_name, :password_hash, :role, \
         :is_active, :now, :now)
         returning ",
        User::COLUMNS
    );
    db.returning(
        sql,
        named_params! {
            ":uuid": new.uuid, ":email": new.email, ":username": new.username,
            ":username_key": new.username.as_deref().map(username_key),
            ":first_name": new.first_name, ":last_name": new.last_name, ":password_hash": new.password_hash,
            ":role": new.role, ":is_active": new.is_active, ":now": db.now,
        },
        User::from_row,
    )
    .map_err(refusal_of)
}

/// What usernames are compared by: case does not count.
fn username_key(username: &str) -> String {
    username.to_lowercase()
}

/// Refuses the address or name of a user to be that another has; the address is looked at first.
pub fn refuse_taken(db: &Read, new: &NewUser) -> Result<()> {
    refuse_taken_names(db, Some(new.email.as_str()), new.username.as_deref(), None)
}

fn refuse_taken_names(
    db: &Read,
    email: Option<&str>,
    username: Option<&str>,
    own: Option<UserId>,
) -> Result<()> {
    let own = own.map_or(0, |id| id.0);
    if let Some(email) = email {
        let sql = "select 1 from users where email = :email and deleted_at is null and id <> :own";
        if db.one(sql, named_params! { ":email": email, ":own": own }, |_| Ok(()))?.is_some() {
            return Err(Refusal::EmailTaken.into());
        }
    }
    if let Some(username) = username {
        let sql = "select 1 from users where username_key = :key and id <> :own";
        if db.one(sql, named_params! { ":key": username_key(username), ":own": own }, |_| Ok(()))?.is_some() {
            return Err(Refusal::UsernameTaken.into());
        }
    }
    Ok(())
}

/// Turns a broken rule of the table into the refusal it means.
fn refusal_of(error: rusqlite::Error) -> Error {
    match db::broken(&error) {
        Some(db::Broken::Unique("users.email")) => Refusal::EmailTaken.into(),
        Some(db::Broken::Unique("users.username_key")) => Refusal::UsernameTaken.into(),
        _ => error.into(),
    }
}

/// The user with this public id.
pub fn by_uuid(db: &Read, uuid: Uuid) -> Result<User> {
    let sql = concatcp!("select ", User::COLUMNS, " from users where uuid = :uuid and deleted_at is null");
    db.one(sql, named_params! { ":uuid": uuid }, User::from_row)?
        .ok_or(Refusal::UserNotFound(UserKey::Uuid(uuid)).into())
}

/// The user with this address, without regard to case.
pub fn by_email(db: &Read, email: &str) -> Result<User> {
    let sql = concatcp!("select ", User::COLUMNS, " from users where email = :email and deleted_at is null");
    db.one(sql, named_params! { ":email": email.trim() }, User::from_row)?
        .ok_or_else(|| Refusal::UserNotFound(UserKey::Email(email.to_owned())).into())
}

/// A user with the stored password hash, for signing in.
pub fn with_password(db: &Read, email: &str) -> Result<Option<(User, String)>> {
    let sql = concatcp!(
        "select ",
        User::COLUMNS,
        ", password_hash from users where email = :email and deleted_at is null"
    );
    db.one(sql, named_params! { ":email": email.trim() }, |row| Ok((User::from_row(row)?, row.get(15)?)))
}

/// Whether somebody may look into the directory of users: the setting says to whom it is open.
pub fn refuse_browsing(directory: Directory, caller: Option<&Caller>) -> Result<()> {
    match (directory, caller) {
        (Directory::Public, _) | (Directory::Members, Some(_)) => Ok(()),
        (Directory::Members | Directory::Admins, None) => Err(Refusal::NotAuthenticated.into()),
        (Directory::Admins, Some(caller)) => caller.admin().map(|_| ()),
    }
}

const LIST: &str = concatcp!(
    "select ",
    User::COLUMNS,
    " from users where id < :before and deleted_at is null order by id desc limit :limit"
);

/// A page of the users, newest first: those with a number below `before`, at most `limit`.
pub fn list(db: &Read, before: Option<i64>, limit: i64) -> Result<Vec<User>> {
    db.all(LIST, named_params! { ":before": before.unwrap_or(i64::MAX), ":limit": limit }, User::from_row)
}

/// Every administrator, oldest first.
pub fn admins(db: &Read) -> Result<Vec<User>> {
    let sql = concatcp!(
        "select ",
        User::COLUMNS,
        " from users where role = 'admin' and deleted_at is null order by id"
    );
    db.all(sql, [], User::from_row)
}

/// Changes a user's profile: oneself, or anybody for an administrator. The role stays as it is.
pub fn update(db: &Write, caller: &Caller, uuid: Uuid, patch: &Patch) -> Result<User> {
    let user = by_uuid(db, uuid)?;
    refuse_others(caller, &user, Act::Update)?;
    change(db, &user, &Patch { role: None, ..patch.clone() })
}

/// Changes anybody's profile, role included.
pub fn update_as_admin(db: &Write, _: &Admin, uuid: Uuid, patch: &Patch) -> Result<User> {
    change(db, &by_uuid(db, uuid)?, patch)
}

fn change(db: &Write, user: &User, patch: &Patch) -> Result<User> {
    refuse_taken_names(
        db,
        patch.email.as_ref().map(Email::as_str),
        patch.username.as_deref(),
        Some(user.id),
    )?;
    let role = patch.role.unwrap_or(user.role);
    let is_active = patch.is_active.unwrap_or(user.is_active);
    if role != Role::Admin || !is_active {
        refuse_last_admin(db, user)?;
    }
    let ends_tokens = role != user.role || !is_active && user.is_active;
    let sql = concatcp!(
        "update users set
           username = coalesce(:username, username),
           username_key = coalesce(:username_key, username_key),
           email_confirmed_at =
             case when :email is null or :email = email then email_confirmed_at else null end,
           email = coalesce(:email, email),
           first_name = coalesce(:first_name, first_name),
           last_name = coalesce(:last_name, last_name),
           role = :role,
           is_active = :is_active,
           epoch = epoch + :ends_tokens,
           updated_at = :now
         where id = :id
         returning ",
        User::COLUMNS
    );
    let changed = db
        .returning(
            sql,
            named_params! {
                ":username": patch.username, ":username_key": patch.username.as_deref().map(username_key),
                ":email": patch.email, ":first_name": patch.first_name, ":last_name": patch.last_name,
                ":role": role, ":is_active": is_active, ":ends_tokens": ends_tokens, ":now": db.now,
                ":id": user.id,
            },
            User::from_row,
        )
        .map_err(refusal_of)?;
    if !changed.email.eq_ignore_ascii_case(&user.email) {
        // Mailed to the old address; coming back to it revives none.
        db.execute("delete from proofs where user_id = :id", named_params! { ":id": user.id })?;
    }
    sessions::forget(db, user.uuid);
    if ends_tokens {
        tracing::info!(user.id = user.id.0, role = role.word(), is_active, "role or state changed");
    }
    Ok(changed)
}

/// Removes a user: oneself, or anybody for an administrator. The user's books stay, ownerless.
pub fn delete(db: &Write, caller: &Caller, uuid: Uuid) -> Result<()> {
    let user = by_uuid(db, uuid)?;
    refuse_others(caller, &user, Act::Delete)?;
    remove(db, &user)
}

/// Removes anybody.
pub fn delete_as_admin(db: &Write, _: &Admin, uuid: Uuid) -> Result<()> {
    remove(db, &by_uuid(db, uuid)?)
}

fn remove(db: &Write, user: &User) -> Result<()> {
    refuse_last_admin(db, user)?;
    db.execute("delete from users where id = :id", named_params! { ":id": user.id })?;
    sessions::forget(db, user.uuid);
    tracing::info!(user.id = user.id.0, "user deleted");
    Ok(())
}

/// Blocks or unblocks a user; blocking ends every token at once.
pub fn set_blocked(db: &Write, admin: &Admin, uuid: Uuid, blocked: bool) -> Result<User> {
    let user = by_uuid(db, uuid)?;
    if blocked {
        if admin.is(user.id) {
            return Err(Refusal::OwnBlock.into());
        }
        refuse_last_admin(db, &user)?;
    }
    let sql = concatcp!(
        "update users set blocked_at = :blocked_at, epoch = epoch + :ends_tokens, updated_at = :now
         where id = :id
         returning ",
        User::COLUMNS
    );
    let params = named_params! {
        ":blocked_at": blocked.then_some(db.now), ":ends_tokens": blocked, ":now": db.now, ":id": user.id,
    };
    let changed = db.returning(sql, params, User::from_row)?;
    sessions::forget(db, user.uuid);
    tracing::info!(user.id = user.id.0, blocked, "block changed");
    Ok(changed)
}

/// Counts the address as confirmed.
pub fn confirm_email(db: &Write, id: UserId) -> Result<User> {
    let sql = concatcp!(
        "update users set email_confirmed_at = coalesce(email_confirmed_at, :now), updated_at = :now
         where id = :id
         returning ",
        User::COLUMNS
    );
    let confirmed = db.returning(sql, named_params! { ":now": db.now, ":id": id }, User::from_row)?;
    sessions::forget(db, confirmed.uuid);
    Ok(confirmed)
}

/// Sets the password to one of this hash, ends every token and every mailed proof.
pub fn set_password(db: &Write, id: UserId, password_hash: &str) -> Result<()> {
    let sql = "update users set password_hash = :hash, updated_at = :now where id = :id";
    db.execute(sql, named_params! { ":hash": password_hash, ":now": db.now, ":id": id })?;
    db.execute("delete from proofs where user_id = :id", named_params! { ":id": id })?;
    sessions::end_all(db, id)
}

/// Keeps another hash of the same password, made with the present settings.
pub fn replace_hash(db: &Write, id: UserId, password_hash: &str) -> Result<()> {
    db.execute(
        "update users set password_hash = :hash where id = :id",
        named_params! { ":hash": password_hash, ":id": id },
    )?;
    Ok(())
}

fn refuse_others(caller: &Caller, user: &User, act: Act) -> Result<()> {
    if caller.id() == user.id || caller.role() == Role::Admin {
        return Ok(());
    }
    Err(Refusal::NotYourself(act).into())
}

/// Refuses to take the last administrator who can still sign in away.
fn refuse_last_admin(db: &Read, user: &User) -> Result<()> {
    if user.role != Role::Admin || !user.is_active || user.blocked_at.is_some() {
        return Ok(());
    }
    let sql = "select 1 from users
               where role = 'admin' and is_active = 1 and blocked_at is null and deleted_at is null and id <> :id
               limit 1";
    match db.one(sql, named_params! { ":id": user.id }, |_| Ok(()))? {
        Some(()) => Ok(()),
        None => Err(Refusal::LastAdmin.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::tests::refuse_scan;

    #[test]
    fn a_page_of_the_users_costs_the_same_wherever_it_lies() {
        refuse_scan(LIST);
    }
}
