//! todolist, `/users`: the directory, and the caller's own account.

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
use crate::http::rules::{Flag, Name, Rule, integer, name};
use crate::http::validate::Broken;

/// A user. To strangers the address and the state are null.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(example = json!({
    "id": 1, "email": "ada@example.com", "username": "ada", "full_name": "Ada Lovelace", "is_active": true,
    "created_at": "2026-11-21T05:06:39.560803Z", "updated_at": "2026-11-21T05:06:39.560803Z",
})))]
pub struct UserOut {
    /// Identifies the user in paths; it never changes.
    id: i64,
    /// Null to strangers. Also null to other users where the server hides addresses.
    #[salvo(schema(required = true))]
    email: Option<String>,
    /// The name that the user chose, or `user_` and the user's number.
    username: String,
    /// The whole name. The username, if the user registered at another API without a name.
    full_name: String,
    /// Whether the user may sign in. Null to strangers.
    #[salvo(schema(required = true))]
    is_active: Option<bool>,
    /// When the user registered, in UTC.
    created_at: String,
    /// When something of the user last changed, in UTC.
    updated_at: String,
}

impl UserOut {
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

/// One page of the directory of users.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(example = json!({
    "users": [{
        "id": 1, "email": "ada@example.com", "username": "ada", "full_name": "Ada Lovelace", "is_active": true,
        "created_at": "2026-11-21T05:06:39.560803Z", "updated_at": "2026-11-21T05:06:39.560803Z",
    }],
    "total": 1, "page": 1, "page_size": 10,
})))]
struct UserPage {
    /// The users of this page, oldest first.
    users: Vec<UserOut>,
    /// How many users there are on all pages together.
    total: i64,
    /// The number of this page, counted from 1.
    page: i64,
    /// How many users a page has at most.
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
            "The name that others see: letters, digits and `_`. Unique without regard to case, width and normal form.".into();
        schema
    }
}

fn full_name() -> impl Rule<Out = String> {
    name(1, 255, "Ada Lovelace").about("The whole name, as everybody sees it in the directory of users.")
}

/// A user to be.
#[derive(Debug)]
pub struct UserCreate {
    email: Email,
    username: String,
    full_name: String,
    password: Password,
}

impl Input for UserCreate {
    const ABOUT: &'static str = "A user who registers.";

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let email = fields.required("email", fields.email());
        let username = fields.required("username", plain_username());
        let full_name = fields.required("full_name", full_name());
        let password = fields.required("password", fields.new_password());
        let own = [username.as_deref().unwrap_or_default(), email.as_ref().map_or("", Email::as_str)];
        let password = fields.refuse_own_name("password", password, &own);
        Some(Self { email: email?, username: username?, full_name: full_name?, password: password? })
    }
}

/// What is to change of a user.
#[derive(Debug)]
struct UserUpdate(UserChange);

impl Input for UserUpdate {
    const ABOUT: &'static str = "What is to change of a user. Fields that are left out stay as they are.";

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let change = UserChange::read(fields, |fields| {
            let email = fields.optional("email", fields.email());
            let username = fields.optional("username", plain_username());
            let full_name = fields.optional("full_name", full_name());
            let is_active = fields.optional(
                "is_active",
                Flag.about("False ends all sessions; the user cannot sign in any more."),
            );
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
struct UserPath {
    id: i64,
}

impl Input for UserPath {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let id = fields
            .required("user_id", integer(1, i64::MAX, 1).about("The user's `id`, as shown in answers."));
        Some(Self { id: id? })
    }
}

/// Adds a user, the same for both routes that do.
pub async fn add(app: &App, address: Address, given: UserCreate) -> Result<Created<UserOut>, Failure> {
    let new = NewUser {
        username: Some(given.username),
        full_name: Some(given.full_name),
        ..NewUser::new(app.clock.new_id(), given.email)
    };
    let user = app.auth.sign_up(&app.db, new, given.password, address.0).await?;
    Ok(Created(UserOut::whole(user)))
}

/// Add a user
///
/// The same as `POST /v1/auth/register`.
#[endpoint(tags(TAG_USERS))]
pub async fn create_user(
    app: App,
    address: Address,
    input: Valid<Json<UserCreate>>,
) -> Result<Created<UserOut>, Failure> {
    let Json(given) = input.0;
    add(&app, address, given).await
}

/// List the users, oldest first
///
/// The directory of users. The server's settings say who may read it: everybody, users or administrators.
#[endpoint(tags(TAG_USERS))]
pub async fn list_users(
    app: App,
    visitor: Visitor,
    room: Room,
    input: Valid<Query<NumberedPage>>,
) -> Result<Large<UserPage>, Failure> {
    let Query(part) = input.0;
    directory::refuse_browsing(app.config.users.directory, visitor.0.as_ref())?;
    let (reach, shows) = (part.reach(), app.clone());
    let read = move |db: &Read| {
        let room = room.take(part.page_size)?;
        let (total, found) = directory::list_numbered(db, part.offset(), part.page_size)?;
        let users = found.into_iter().map(|user| UserOut::to(&shows, &visitor, user)).collect();
        room.write(&UserPage { users, total, page: part.page, page_size: part.page_size })
    };
    Ok(app.db.page(reach, read).await?)
}

/// Get a user
///
/// A page of the directory of users. The server's settings say who may read it: everybody, users or administrators.
#[endpoint(tags(TAG_USERS))]
pub async fn get_user(
    app: App,
    visitor: Visitor,
    input: Valid<Path<UserPath>>,
) -> Result<Done<UserOut>, Failure> {
    let Path(path) = input.0;
    directory::refuse_browsing(app.config.users.directory, visitor.0.as_ref())?;
    let user = app.db.read(|db| users::by_id(db, path.id))?;
    Ok(Done(UserOut::to(&app, &visitor, user)))
}

/// Change a user
///
/// Users change their own account, administrators any account. A new e-mail address is unconfirmed until the link in a letter to it
/// is used. A letter to the old address has a link that puts it back, for seven days.
#[endpoint(tags(TAG_USERS))]
pub async fn update_user(
    app: App,
    caller: Caller,
    from: Address,
    input: Valid<(Path<UserPath>, Json<UserUpdate>)>,
) -> Result<Done<UserOut>, Failure> {
    let (Path(path), Json(UserUpdate(update))) = input.0;
    update.admit(&app, &caller, from, |db| users::by_id(db, path.id)).await?;
    let room = update.patch.room();
    let change = move |db: &WriteAs| users::update(db, &users::by_id(db, path.id)?, &update.patch);
    let user = app.auth.write_as(&app.db, caller, room, change).await?;
    Ok(Done(UserOut::whole(user)))
}

/// Delete a user
///
/// Users delete their own account, administrators any account. The todos are deleted as well.
#[endpoint(tags(TAG_USERS))]
pub async fn delete_user(
    app: App,
    caller: Caller,
    input: Valid<Path<UserPath>>,
) -> Result<NoContent, Failure> {
    let Path(path) = input.0;
    app.take_away_as(caller, move |db| users::delete(db, &users::by_id(db, path.id)?)).await?;
    Ok(NoContent)
}
