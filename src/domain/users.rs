//! Users: what one is, who may change one, and the SQL that keeps the table all five APIs share.

use const_format::concatcp;
use rusqlite::types::{FromSql, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Row, named_params};
use serde::Serialize;
use uuid::Uuid;

use super::auth::proofs::{self, Purpose};
use super::auth::{Admin, Caller, WriteAs, sessions};
use super::emails::Email;
use super::{addresses, emails, letters, meaning, names, removal};
use crate::audit;
use crate::clock::Timestamp;
use crate::db::{Read, Room, Write};
use crate::error::{Act, Error, Refusal, Result, UserKey};
use crate::text;

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
        meaning(&Self::WORDS, value)
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
    /// The name to be called by, not unique.
    pub display_name: Option<String>,
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// The name in full.
    pub full_name: Option<String>,
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
    /// Since when the present address, if it is not the first.
    pub email_changed_at: Option<Timestamp>,
    /// Tokens of another epoch are dead.
    pub epoch: i64,
    /// Since when.
    pub created_at: Timestamp,
    /// Last change.
    pub updated_at: Timestamp,
    /// 0–2⁵³−1.
    pub balance: i64,
    /// Last seen, to the minute.
    pub last_activity_at: Option<Timestamp>,
}

impl User {
    /// The columns that [`User::from_row`] reads, in its order.
    pub(super) const COLUMNS: &'static str = "id, uuid, email, username, display_name, first_name, last_name, full_name, role, \
         is_active, blocked_at, deleted_at, confirm_required, email_confirmed_at, epoch, created_at, updated_at, \
         balance, last_activity_at, email_changed_at";

    pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            uuid: row.get(1)?,
            email: row.get(2)?,
            username: row.get(3)?,
            display_name: row.get(4)?,
            first_name: row.get(5)?,
            last_name: row.get(6)?,
            full_name: row.get(7)?,
            role: row.get(8)?,
            is_active: row.get(9)?,
            blocked_at: row.get(10)?,
            deleted_at: row.get(11)?,
            confirm_required: row.get(12)?,
            email_confirmed_at: row.get(13)?,
            epoch: row.get(14)?,
            created_at: row.get(15)?,
            updated_at: row.get(16)?,
            balance: row.get(17)?,
            last_activity_at: row.get(18)?,
            email_changed_at: row.get(19)?,
        })
    }

    /// The username that APIs show which must have one: made of the number where none was given.
    pub fn shown_username(&self) -> String {
        self.username.clone().unwrap_or_else(|| format!("user_{}", self.id.0))
    }

    /// The full name that APIs show which must have one: else given and family name, else the username.
    pub fn shown_full_name(&self) -> String {
        if let Some(name) = &self.full_name {
            return name.clone();
        }
        let parts = [&self.first_name, &self.last_name].into_iter().flatten();
        let joined = parts.map(String::as_str).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
        if joined.is_empty() { self.shown_username() } else { joined }
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

/// What a new user is made of, but for the password.
#[derive(Debug)]
pub struct NewUser {
    /// The public id.
    pub uuid: Uuid,
    /// The address.
    pub email: Email,
    /// The name to sign in by.
    pub username: Option<String>,
    /// The name to be called by, at most 255 characters.
    pub display_name: Option<String>,
    /// Given name, at most 100 characters.
    pub first_name: Option<String>,
    /// Family name, at most 100 characters.
    pub last_name: Option<String>,
    /// The name in full, at most 255 characters.
    pub full_name: Option<String>,
    /// Whether the address must be confirmed before anybody signs in.
    pub confirm_required: bool,
}

impl NewUser {
    /// One without a name.
    pub fn new(uuid: Uuid, email: Email) -> Self {
        Self {
            uuid,
            email,
            username: None,
            display_name: None,
            first_name: None,
            last_name: None,
            full_name: None,
            confirm_required: false,
        }
    }
}

/// What is to change; `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct Patch {
    /// The name to sign in by.
    pub username: Option<String>,
    /// The address; a new one is unconfirmed, and gets a letter that asks to confirm it.
    pub email: Option<Email>,
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// The name in full.
    pub full_name: Option<String>,
    /// Whether the user may sign in; false ends every token.
    pub is_active: Option<bool>,
    /// What the user may; another role ends every token. Heeded from administrators alone.
    pub role: Option<Role>,
}

impl Patch {
    /// The room that the change may take: what only takes rights away is done on a full disk, too.
    pub fn room(&self) -> Room {
        let Self { username, email, first_name, last_name, full_name, is_active, role } = self;
        let names = [username, first_name, last_name, full_name];
        let takes_away = *role != Some(Role::Admin)
            && *is_active != Some(true)
            && email.is_none()
            && names.iter().all(|name| name.is_none());
        if takes_away { Room::Reserve } else { Room::Free }
    }
}

/// Adds an active user with the role `user` and this password hash, a PHC string.
///
/// # Errors
/// `EmailTaken`, `UsernameTaken`.
pub fn create(db: &Write, new: &NewUser, password_hash: &str) -> Result<User> {
    insert(db, new, Role::User, true, password_hash)
}

/// Adds a user of any role, who may not sign in unless `is_active`.
///
/// # Errors
/// `EmailTaken`, `UsernameTaken`.
pub fn create_as_admin(
    db: &Write,
    _: &Admin,
    new: &NewUser,
    role: Role,
    is_active: bool,
    password_hash: &str,
) -> Result<User> {
    insert(db, new, role, is_active, password_hash)
}

fn insert(db: &Write, new: &NewUser, role: Role, is_active: bool, password_hash: &str) -> Result<User> {
    names::refuse_taken(db, new, db.now)?;
    let sql = concatcp!(
        "insert into users (uuid, email, username, username_key, display_name, first_name, last_name, full_name, \
         password_hash, role, is_active, confirm_required, created_at, updated_at)
         values (:uuid, :email, :username, :username_key, :display_name, :first_name, :last_name, :full_name, \
         :password_hash, :role, :is_active, :confirm_required, :now, :now)
         returning ",
        User::COLUMNS
    );
    let created = db.returning(
        sql,
        named_params! {
            ":uuid": new.uuid, ":email": new.email, ":username": new.username,
            ":username_key": new.username.as_deref().map(names::username_key), ":display_name": new.display_name,
            ":first_name": new.first_name, ":last_name": new.last_name, ":full_name": new.full_name,
            ":password_hash": password_hash, ":role": role, ":is_active": is_active,
            ":confirm_required": new.confirm_required, ":now": db.now,
        },
        User::from_row,
    );
    Ok(created?)
}

/// The user with this number, unless there is none.
pub(super) fn find(db: &Read, id: UserId) -> Result<Option<User>> {
    let sql = concatcp!("select ", User::COLUMNS, " from users where id = :id and deleted_at is null");
    db.one(sql, named_params! { ":id": id }, User::from_row)
}

/// The user with this number.
pub fn by_id(db: &Read, id: i64) -> Result<User> {
    find(db, UserId(id))?.ok_or(Refusal::UserNotFound(UserKey::Id(id)).into())
}

/// The user with this public id.
pub fn by_uuid(db: &Read, uuid: Uuid) -> Result<User> {
    let sql = concatcp!("select ", User::COLUMNS, " from users where uuid = :uuid and deleted_at is null");
    db.one(sql, named_params! { ":uuid": uuid }, User::from_row)?
        .ok_or(Refusal::UserNotFound(UserKey::Uuid(uuid)).into())
}

/// The caller himself.
///
/// # Errors
/// `TokenRevoked` when the user was deleted since the token was looked at.
pub fn own(db: &Read, caller: &Caller) -> Result<User> {
    by_uuid(db, caller.uuid()).map_err(|error| match error {
        Error::Refusal(Refusal::UserNotFound(_)) => Refusal::TokenRevoked.into(),
        other => other,
    })
}

/// The user with this address, without regard to case, unless there is none.
pub(super) fn find_by_email(db: &Read, email: &str) -> Result<Option<User>> {
    let sql = concatcp!("select ", User::COLUMNS, " from users where email = :email and deleted_at is null");
    db.one(sql, named_params! { ":email": emails::as_kept(email) }, User::from_row)
}

/// The user with this address, without regard to case.
pub fn by_email(db: &Read, email: &str) -> Result<User> {
    find_by_email(db, email)?.ok_or_else(|| Refusal::UserNotFound(UserKey::Email(email.to_owned())).into())
}

/// What somebody says he is when signing in, as it was typed.
#[derive(Clone, Debug)]
pub enum Login {
    /// An e-mail address.
    Email(String),
    /// An e-mail address or a username: the one has an `@`, the other has none.
    EmailOrUsername(String),
}

impl Login {
    /// The text by which tries for an unknown user are counted. It tells two names apart where the table does:
    /// otherwise two spellings that share a counter would show that neither is anybody's.
    pub fn key(&self) -> String {
        let (Self::Email(login) | Self::EmailOrUsername(login)) = self;
        if self.is_username() {
            names::username_key(login)
        } else {
            emails::as_kept(login).to_ascii_lowercase()
        }
    }

    /// Whether it is a username.
    pub fn is_username(&self) -> bool {
        matches!(self, Self::EmailOrUsername(name) if !name.contains('@'))
    }
}

/// A user with the stored password hash, for signing in. One who was deleted is found, too, as long as nobody
/// else has the name.
pub fn with_password(db: &Read, login: &Login) -> Result<Option<(User, String)>> {
    const BY_EMAIL: &str = concatcp!(
        "select ",
        User::COLUMNS,
        ", password_hash from users where email = :key and deleted_at is null"
    );
    const DELETED: &str = concatcp!(
        "select ",
        User::COLUMNS,
        ", password_hash from users
         where email = :key and deleted_at is not null and ",
        removal::NOT_GONE,
        " order by deleted_at desc limit 1"
    );
    const BY_ID: &str = concatcp!("select ", User::COLUMNS, ", password_hash from users where id = :key");
    let find = |sql, key: &dyn ToSql| {
        db.one(sql, named_params! { ":key": key }, |row| Ok((User::from_row(row)?, row.get(20)?)))
    };
    match login {
        Login::EmailOrUsername(name) if login.is_username() => match names::find_by_username(db, name)? {
            Some(id) => find(BY_ID, &id),
            None => Ok(None),
        },
        Login::Email(email) | Login::EmailOrUsername(email) => {
            let email = emails::as_kept(email);
            match find(BY_EMAIL, &email)? {
                None => find(DELETED, &email),
                found => Ok(found),
            }
        }
    }
}

/// Changes a user's profile: oneself, or anybody for an administrator. The role stays as it is.
pub fn update(db: &WriteAs, user: &User, patch: &Patch) -> Result<User> {
    refuse_others(db.caller(), user, Act::Update)?;
    change(db, user, &Patch { role: None, ..patch.clone() })
}

/// Changes anybody's profile, role included.
pub fn update_as_admin(db: &Write, _: &Admin, user: &User, patch: &Patch) -> Result<User> {
    change(db, user, patch)
}

fn change(db: &Write, user: &User, patch: &Patch) -> Result<User> {
    let email = patch.email.as_ref();
    // The user's own name stays as it is: a younger namesake is found by no other spelling.
    let is_other = |name: &&str| user.username.as_deref().map(text::nfc).as_deref() != Some(*name);
    let username = patch.username.as_deref().filter(is_other);
    names::refuse_taken_names(db, Act::Update, email, username, user.id, db.now)?;
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
           email_changed_at =
             case when :email is null or :email = email then email_changed_at
               -- Not before a session that is there already, though the clock was set back since it was begun.
               else max(:now, coalesce((select max(created_at) from sessions where user_id = :id), :now)) end,
           email = coalesce(:email, email),
           first_name = coalesce(:first_name, first_name),
           last_name = coalesce(:last_name, last_name),
           full_name = coalesce(:full_name, full_name),
           role = :role,
           is_active = :is_active,
           epoch = epoch + :ends_tokens,
           updated_at = :now
         where id = :id
         returning ",
        User::COLUMNS
    );
    let changed = db.returning(
        sql,
        named_params! {
            ":username": username, ":username_key": username.map(names::username_key),
            ":email": patch.email, ":first_name": patch.first_name, ":last_name": patch.last_name,
            ":full_name": patch.full_name, ":role": role, ":is_active": is_active,
            ":ends_tokens": ends_tokens, ":now": db.now, ":id": user.id,
        },
        User::from_row,
    )?;
    if let Some(email) =
        patch.email.as_ref().filter(|email| !email.as_str().eq_ignore_ascii_case(&user.email))
    {
        addresses::changed(db, user, email)?;
    }
    sessions::forget(db, user.uuid);
    if ends_tokens {
        let (id, role) = (user.id.0, role.word());
        db.after_commit(move || audit!(info, user.id = id, role, is_active, "role or state changed"));
    }
    Ok(changed)
}

/// Deletes a user for good: the caller, or anybody for an administrator. The user's books stay, ownerless; all else
/// goes.
pub fn delete(db: &WriteAs, user: &User) -> Result<()> {
    refuse_others(db.caller(), user, Act::Delete)?;
    remove(db, user)
}

/// Removes anybody.
pub fn delete_as_admin(db: &Write, _: &Admin, user: &User) -> Result<()> {
    remove(db, user)
}

fn remove(db: &Write, user: &User) -> Result<()> {
    refuse_last_admin(db, user)?;
    removal::mark(db, user)?;
    let id = user.id.0;
    db.after_commit(move || audit!(info, user.id = id, "user deleted"));
    Ok(())
}

/// Blocks or unblocks a user; blocking ends every token at once.
pub fn set_blocked(db: &Write, admin: &Admin, user: &User, blocked: bool) -> Result<User> {
    if blocked {
        if admin.is(user.id) {
            return Err(Refusal::OwnBlock.into());
        }
        refuse_last_admin(db, user)?;
    }
    let sql = concatcp!(
        "update users set
           blocked_at = iif(:blocked, coalesce(blocked_at, :now), null),
           epoch = epoch + :blocked,
           updated_at = :now
         where id = :id
         returning ",
        User::COLUMNS
    );
    let params = named_params! { ":blocked": blocked, ":now": db.now, ":id": user.id };
    let changed = db.returning(sql, params, User::from_row)?;
    sessions::forget(db, user.uuid);
    let (id, done) = (user.id.0, if blocked { "user blocked" } else { "user unblocked" });
    db.after_commit(move || audit!(info, user.id = id, "{done}"));
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

/// Sets the password to one of this hash, tells the owner by a letter, and ends every token, every mailed proof but one
/// that puts an address back, and every letter that would bring one to set another.
pub fn set_password(db: &Write, id: UserId, password_hash: &str) -> Result<()> {
    let sql = concatcp!(
        "update users set password_hash = :hash, updated_at = :now where id = :id returning ",
        User::COLUMNS
    );
    let params = named_params! { ":hash": password_hash, ":now": db.now, ":id": id };
    let user = db.returning(sql, params, User::from_row)?;
    proofs::void(db, id)?;
    let mailbox = addresses::mailbox(db, &user, db.now)?;
    for email in [&user.email, &mailbox] {
        letters::forget_resets(db, email)?;
    }
    letters::post_notice(db, Purpose::PasswordChanged, id, &mailbox)?;
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
