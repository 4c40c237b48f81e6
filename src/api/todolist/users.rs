//! todolist, `/users`: the directory, and one's own account.

use salvo::Writer;
use salvo::oapi::{ToSchema, endpoint};
use serde::Serialize;
use serde_json::Value;

use super::{NumberedPage, TAG_USERS};
use crate::api::common::UserChange;
use crate::app::App;
use crate::db::Read;
use crate::domain::auth::passwords::Password;
use crate::domain::auth::{Caller, WriteAs};
use crate::domain::directory;
use crate::domain::emails::Email;
use crate::domain::names;
use crate::domain::users::{self, NewUser, Patch, User};
use crate::http::answer::{Created, Done, Failure, NoContent};
use crate::http::extract::{Address, Visitor};
use crate::http::input::{Fields, Input, Json, Path, Query, Valid};
use crate::http::large::{Large, Room};
use crate::http::rules::{Flag, Name, NewPassword, Rule, integer, name};
use crate::http::validate::Broken;

/// A user. Strangers see neither address nor state.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(example = json!({
    "id": 1, "email": "ada@example.com", "username": "ada", "full_name": "Ada Lovelace", "is_active": true,
    "created_at": "2026-11-21T05:06:39.560803Z", "updated_at": "2026-11-21T05:06:39.560803Z",
})))]
pub struct Account {
    id: i64,
    /// Null to strangers, and where the server says so to other members.
    #[salvo(schema(required = true))]
    email: Option<String>,
    username: String,
    full_name: String,
    /// Null to strangers.
    #[salvo(schema(required = true))]
    is_active: Option<bool>,
    /// In UTC.
    created_at: String,
    /// In UTC.
    updated_at: String,
}

impl Account {
    /// Everything there is to see.
    pub fn whole(user: User) -> Self {
        Self {
            id: user.id.0,
            username: user.shown_username(),
            full_name: user.shown_full_name(),
            email: Some(user.email),
            is_active: Some(user.is_active),
            created_at: user.created_at.utc(),
            updated_at: user.updated_at.utc(),
        }
    }

    /// What this visitor may see.
    fn to(app: &App, visitor: &Visitor, user: User) -> Self {
        let shows_address = |caller| directory::shows_address(app.config.users.addresses, caller, &user);
        let is_address_shown = visitor.0.as_ref().is_some_and(shows_address);
        let whole = Self::whole(user);
        match visitor.0 {
            Some(_) if is_address_shown => whole,
            Some(_) => Self { email: None, ..whole },
            None => Self { email: None, is_active: None, ..whole },
        }
    }
}

/// A page of the users.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(example = json!({
    "users": [{
        "id": 1, "email": "ada@example.com", "username": "ada", "full_name": "Ada Lovelace", "is_active": true,
        "created_at": "2026-11-21T05:06:39.560803Z", "updated_at": "2026-11-21T05:06:39.560803Z",
    }],
    "total": 1, "page": 1, "page_size": 10,
})))]
struct Accounts {
    users: Vec<Account>,
    /// How many there are on all pages.
    total: i64,
    page: i64,
    page_size: i64,
}

/// A username of letters, digits and underscores, at least one of them no underscore.
struct PlainUsername(Name);

fn plain_username() -> PlainUsername {
    PlainUsername(Name::unless(unfit_plain_username, 3, 100, "ada"))
}

fn unfit_plain_username(name: &str) -> Option<&'static str> {
    let is_plain = name.chars().all(|letter| letter.is_alphanumeric() || letter == '_');
    if is_plain && name.contains(char::is_alphanumeric) {
        return names::unfit_username(name);
    }
    Some("Username must be alphanumeric (underscores allowed)")
}

impl Rule for PlainUsername {
    type Out = String;

    fn check(&self, value: &Value) -> Result<String, Broken> {
        self.0.check(value)
    }

    fn schema(&self) -> Value {
        let mut schema = self.0.schema();
        schema["pattern"] = r"^\w*[^\W_]\w*$".into();
        schema["description"] =
            "Letters, digits and `_`; unique without regard to case, width and normal form.".into();
        schema
    }
}

fn full_name() -> impl Rule<Out = String> {
    name(1, 255, "Ada Lovelace")
}

/// A user to be.
#[derive(Debug)]
pub struct AccountCreate {
    email: Email,
    username: String,
    full_name: String,
    password: Password,
}

impl Input for AccountCreate {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let email = fields.required("email", fields.email());
        let username = fields.required("username", plain_username());
        let full_name = fields.required("full_name", full_name());
        let password = fields.required("password", NewPassword);
        let own = [username.as_deref().unwrap_or_default(), email.as_ref().map_or("", Email::as_str)];
        let password = fields.refuse_own_name("password", password, &own);
        Some(Self { email: email?, username: username?, full_name: full_name?, password: password? })
    }
}

/// What is to change of a user.
#[derive(Debug)]
struct AccountUpdate(UserChange);

impl Input for AccountUpdate {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let change = UserChange::read(fields, |fields| {
            let email = fields.optional("email", fields.email());
            let username = fields.optional("username", plain_username());
            let full_name = fields.optional("full_name", full_name());
            let is_active = fields.optional("is_active", Flag);
            Some(Patch {
                email: email?,
                username: username?,
                full_name: full_name?,
                is_active: is_active?,
                ..Patch::default()
            })
        });
        change.map(Self)
    }
}

/// The user that a path names.
#[derive(Debug)]
struct AccountPath {
    id: i64,
}

impl Input for AccountPath {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let id = fields.required("user_id", integer(1, i64::MAX, 1));
        Some(Self { id: id? })
    }
}

/// Adds a user, the same for both routes that do.
pub async fn add(app: &App, address: Address, given: AccountCreate) -> Result<Created<Account>, Failure> {
    let new = NewUser {
        username: Some(given.username),
        full_name: Some(given.full_name),
        ..NewUser::new(app.clock.new_id(), given.email)
    };
    let user = app.auth.sign_up(&app.db, new, given.password, address.0).await?;
    Ok(Created(Account::whole(user)))
}

/// Add a user
///
/// The same as to register.
#[endpoint(operation_id = "create_account", tags(TAG_USERS))]
pub async fn create_account(
    app: App,
    address: Address,
    input: Valid<Json<AccountCreate>>,
) -> Result<Created<Account>, Failure> {
    let Json(given) = input.0;
    add(&app, address, given).await
}

/// List the users, oldest first
#[endpoint(operation_id = "list_accounts", tags(TAG_USERS))]
pub async fn list_accounts(
    app: App,
    visitor: Visitor,
    room: Room,
    input: Valid<Query<NumberedPage>>,
) -> Result<Large<Accounts>, Failure> {
    let Query(part) = input.0;
    directory::refuse_browsing(app.config.users.directory, visitor.0.as_ref())?;
    let (reach, shows) = (part.reach(), app.clone());
    let read = move |db: &Read| {
        let room = room.take(part.page_size)?;
        let (total, found) = directory::list_numbered(db, part.offset(), part.page_size)?;
        let users = found.into_iter().map(|user| Account::to(&shows, &visitor, user)).collect();
        room.write(&Accounts { users, total, page: part.page, page_size: part.page_size })
    };
    Ok(app.db.page(reach, read).await?)
}

/// Get a user
#[endpoint(operation_id = "get_account", tags(TAG_USERS))]
pub async fn get_account(
    app: App,
    visitor: Visitor,
    input: Valid<Path<AccountPath>>,
) -> Result<Done<Account>, Failure> {
    let Path(path) = input.0;
    directory::refuse_browsing(app.config.users.directory, visitor.0.as_ref())?;
    let user = app.db.read(|db| users::by_id(db, path.id))?;
    Ok(Done(Account::to(&app, &visitor, user)))
}

/// Change an account
///
/// The caller's own; anybody's for administrators. A new e-mail address is unconfirmed and is asked to confirm itself by
/// a letter; a letter to the old one has a link that puts it back for seven days.
#[endpoint(operation_id = "update_account", tags(TAG_USERS))]
pub async fn update_account(
    app: App,
    caller: Caller,
    from: Address,
    input: Valid<(Path<AccountPath>, Json<AccountUpdate>)>,
) -> Result<Done<Account>, Failure> {
    let (Path(path), Json(AccountUpdate(update))) = input.0;
    update.admit(&app, &caller, from, |db| users::by_id(db, path.id)).await?;
    let room = update.patch.room();
    let change = move |db: &WriteAs| users::update(db, &users::by_id(db, path.id)?, &update.patch);
    let user = app.auth.write_as(&app.db, caller, room, change).await?;
    Ok(Done(Account::whole(user)))
}

/// Delete an account
///
/// One's own; anybody's for administrators. The todos go, too.
#[endpoint(operation_id = "delete_account", tags(TAG_USERS))]
pub async fn delete_account(
    app: App,
    caller: Caller,
    input: Valid<Path<AccountPath>>,
) -> Result<NoContent, Failure> {
    let Path(path) = input.0;
    app.take_away_as(caller, move |db| users::delete(db, &users::by_id(db, path.id)?)).await?;
    Ok(NoContent)
}
