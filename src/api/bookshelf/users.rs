//! bookshelf, `/users`: profiles and the directory.

use salvo::Writer;
use salvo::oapi::{ToSchema, endpoint};
use serde::Serialize;
use uuid::Uuid;

use super::TAG_USERS;
use crate::api::common::{PageQuery, UserChange, page};
use crate::app::App;
use crate::db::Read;
use crate::domain::auth::passwords::{Password, Weakness};
use crate::domain::auth::{Caller, SignIn, WriteAs};
use crate::domain::books::{self, Book, Shelf};
use crate::domain::directory;
use crate::domain::users::{self, Login, Patch, Role, User};
use crate::error::Result;
use crate::http::answer::{Done, Failure, Message};
use crate::http::extract::{Address, Visitor};
use crate::http::input::{Fields, Input, Json, Path, Query, Valid};
use crate::http::large::{Large, Page, Room};
use crate::http::rules::{Flag, GivenPassword, NewPassword, UuidText, name, text, username};
use crate::http::validate::Broken;

/// Most books shown with their owner; `/books/my-books` has them all, page by page.
const BOOKS_SHOWN_MAX: i64 = 1000;

pub const PASSWORD_CHANGED: &str = "Password changed successfully";

/// A user. Strangers see neither address nor role nor state.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(example = json!({
    "username": "ada", "email": "ada@example.com", "first_name": "Ada", "last_name": "Lovelace",
    "uuid": "019a9d5e-6c1f-7c3b-8a54-3f0c1f4e2d10", "role": "user", "is_active": true,
    "created_at": "2026-11-21T05:06:39.560803", "updated_at": "2026-11-21T05:06:39.560803",
})))]
pub struct ShowUser {
    username: String,
    /// Null to strangers, and where the server says so to other members, unless they named it.
    #[salvo(schema(required = true))]
    email: Option<String>,
    first_name: String,
    last_name: String,
    uuid: Uuid,
    /// Null to strangers.
    #[salvo(schema(required = true))]
    role: Option<RoleOut>,
    /// Null to strangers.
    #[salvo(schema(required = true))]
    is_active: Option<bool>,
    /// UTC, without a zone.
    created_at: String,
    /// UTC, without a zone.
    updated_at: String,
}

/// What a user may.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RoleOut {
    /// Everything, and the users.
    Admin,
    /// Any book and any item.
    Moderator,
    /// His own things.
    User,
}

impl From<Role> for RoleOut {
    fn from(role: Role) -> Self {
        match role {
            Role::Admin => Self::Admin,
            Role::Moderator => Self::Moderator,
            Role::User => Self::User,
        }
    }
}

impl ShowUser {
    /// Everything there is to see.
    pub fn whole(user: User) -> Self {
        Self {
            username: user.shown_username(),
            email: Some(user.email),
            first_name: user.first_name.unwrap_or_default(),
            last_name: user.last_name.unwrap_or_default(),
            uuid: user.uuid,
            role: Some(user.role.into()),
            is_active: Some(user.is_active),
            created_at: user.created_at.naive(),
            updated_at: user.updated_at.naive(),
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
            None => Self { email: None, role: None, is_active: None, ..whole },
        }
    }
}

/// A user with his books, newest first, at most 1,000.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(example = json!({
    "username": "ada", "email": "ada@example.com", "first_name": "Ada", "last_name": "Lovelace",
    "uuid": "019a9d5e-6c1f-7c3b-8a54-3f0c1f4e2d10", "role": "user", "is_active": true,
    "created_at": "2026-11-21T05:06:39.560803", "updated_at": "2026-11-21T05:06:39.560803",
    "books": [{
        "uuid": "019a9d5e-6c1f-7c3b-8a54-3f0c1f4e2d10", "title": "Dune", "author": "Frank Herbert",
        "publisher": "Chilton Books",
    }],
})))]
pub struct UserWithBooks {
    #[serde(flatten)]
    #[salvo(schema(inline))]
    user: ShowUser,
    books: Vec<BookOfUser>,
}

/// A book as its owner's page shows it.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(example = json!({
    "uuid": "019a9d5e-6c1f-7c3b-8a54-3f0c1f4e2d10", "title": "Dune", "author": "Frank Herbert", "publisher": "Chilton Books",
})))]
pub struct BookOfUser {
    uuid: Uuid,
    title: String,
    author: String,
    publisher: String,
}

impl From<Book> for BookOfUser {
    fn from(book: Book) -> Self {
        Self { uuid: book.uuid, title: book.title, author: book.author, publisher: book.publisher }
    }
}

/// The user that a path names.
#[derive(Debug)]
pub struct UserPath {
    pub uuid: Uuid,
}

impl Input for UserPath {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let uuid = fields.required("user_uuid", UuidText);
        Some(Self { uuid: uuid? })
    }
}

/// The address that a path names.
#[derive(Debug)]
struct EmailPath {
    email: String,
}

impl Input for EmailPath {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let email = fields.required("email", text(1, 320, "ada@example.com"));
        Some(Self { email: email? })
    }
}

/// What is to change of a user.
#[derive(Debug)]
pub struct UserUpdate(pub UserChange);

impl UserUpdate {
    /// Reads what users themselves may change.
    pub fn read_profile(fields: &mut Fields<'_>) -> Option<Patch> {
        let username = fields.optional("username", username(3, 50));
        let email = fields.optional("email", fields.email());
        let first_name = fields.optional("first_name", name(1, 100, "Ada"));
        let last_name = fields.optional("last_name", name(1, 100, "Lovelace"));
        let is_active = fields.optional("is_active", Flag);
        Some(Patch {
            username: username?,
            email: email?,
            first_name: first_name?,
            last_name: last_name?,
            is_active: is_active?,
            ..Patch::default()
        })
    }
}

impl Input for UserUpdate {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        UserChange::read(fields, Self::read_profile).map(Self)
    }
}

/// The present and the next password.
#[derive(Debug)]
struct PasswordChange {
    current: Password,
    new: Password,
}

impl Input for PasswordChange {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let current = fields.required("current_password", GivenPassword);
        let new = fields.required("new_password", NewPassword);
        Some(Self { current: current?, new: new? })
    }
}

/// Get one's own profile with one's books
#[endpoint(operation_id = "get_own_user", tags(TAG_USERS))]
pub async fn get_own_user(app: App, caller: Caller, room: Room) -> Result<Large<UserWithBooks>, Failure> {
    let read = move |db: &Read| with_books(db, room, caller.uuid(), ShowUser::whole);
    Ok(app.db.scan(read).await?)
}

fn with_books(
    db: &Read,
    room: Room,
    uuid: Uuid,
    show: impl FnOnce(User) -> ShowUser,
) -> Result<Large<UserWithBooks>> {
    let user = users::by_uuid(db, uuid)?;
    let room = room.take(BOOKS_SHOWN_MAX)?;
    let books = books::list(db, Shelf::Of(user.id), None, BOOKS_SHOWN_MAX)?;
    let books = books.into_iter().map(BookOfUser::from).collect();
    room.write(&UserWithBooks { user: show(user), books })
}

/// List the users, newest first
#[endpoint(operation_id = "list_users", tags(TAG_USERS))]
pub async fn list_users(
    app: App,
    visitor: Visitor,
    room: Room,
    input: Valid<Query<PageQuery>>,
) -> Result<Page<Vec<ShowUser>>, Failure> {
    let Query(PageQuery { limit, cursor }) = input.0;
    directory::refuse_browsing(app.config.users.directory, visitor.0.as_ref())?;
    let shows = app.clone();
    let read = move |db: &Read| {
        let room = room.take(limit)?;
        let found = directory::list(db, cursor, limit + 1)?;
        page(room, found, limit, |user| user.id.0, |user| ShowUser::to(&shows, &visitor, user))
    };
    Ok(app.db.page(limit, read).await?)
}

/// Get a user with his books
#[endpoint(operation_id = "get_user", tags(TAG_USERS))]
pub async fn get_user(
    app: App,
    visitor: Visitor,
    room: Room,
    input: Valid<Path<UserPath>>,
) -> Result<Large<UserWithBooks>, Failure> {
    let Path(path) = input.0;
    directory::refuse_browsing(app.config.users.directory, visitor.0.as_ref())?;
    let shows = app.clone();
    let read = move |db: &Read| with_books(db, room, path.uuid, |user| ShowUser::to(&shows, &visitor, user));
    Ok(app.db.scan(read).await?)
}

/// Find a user by e-mail address
///
/// The address is compared without regard to case.
#[endpoint(operation_id = "get_user_by_email", tags(TAG_USERS))]
pub async fn get_user_by_email(
    app: App,
    visitor: Visitor,
    input: Valid<Path<EmailPath>>,
) -> Result<Done<ShowUser>, Failure> {
    let Path(path) = input.0;
    directory::refuse_browsing(app.config.users.directory, visitor.0.as_ref())?;
    let user = app.db.read(|db| users::by_email(db, &path.email))?;
    // Whoever asked knows the address.
    let email = Some(user.email.clone());
    Ok(Done(ShowUser { email, ..ShowUser::to(&app, &visitor, user) }))
}

/// Change a profile
///
/// The caller's own; anybody's for administrators. A new e-mail address is unconfirmed and is asked to confirm itself by
/// a letter; a letter to the old one has a link that puts it back for seven days.
#[endpoint(operation_id = "update_user", tags(TAG_USERS))]
pub async fn update_user(
    app: App,
    caller: Caller,
    from: Address,
    input: Valid<(Path<UserPath>, Json<UserUpdate>)>,
) -> Result<Done<ShowUser>, Failure> {
    let (Path(path), Json(UserUpdate(update))) = input.0;
    update.admit(&app, &caller, from, |db| users::by_uuid(db, path.uuid)).await?;
    let room = update.patch.room();
    let change = move |db: &WriteAs| users::update(db, &users::by_uuid(db, path.uuid)?, &update.patch);
    let user = app.auth.write_as(&app.db, caller, room, change).await?;
    Ok(Done(ShowUser::whole(user)))
}

/// Delete an account
///
/// One's own; anybody's for administrators. The books stay, ownerless.
#[endpoint(operation_id = "delete_user", tags(TAG_USERS))]
pub async fn delete_user(
    app: App,
    caller: Caller,
    input: Valid<Path<UserPath>>,
) -> Result<Done<Message>, Failure> {
    let Path(path) = input.0;
    app.take_away_as(caller, move |db| users::delete(db, &users::by_uuid(db, path.uuid)?)).await?;
    Ok(Done(deleted(path.uuid)))
}

/// What is said of a user who is gone.
pub fn deleted(uuid: Uuid) -> Message {
    Message::new(format!("User {uuid} deleted successfully"))
}

/// Change one's password
///
/// Every token of the user dies with the old password, the one used here included.
#[endpoint(operation_id = "change_password", tags(TAG_USERS))]
pub async fn change_password(
    app: App,
    caller: Caller,
    address: Address,
    input: Valid<Json<PasswordChange>>,
) -> Result<Done<Message>, Failure> {
    let Json(given) = input.0;
    let unfit = |weakness: Weakness| Failure::at_field("new_password", Broken::password(weakness));
    let email = app.db.read(|db| users::own(db, &caller))?.email;
    let proof = SignIn { login: Login::Email(email), password: given.current, address: address.0 };
    app.auth.change_password(&app.db, Some(caller), proof, given.new, unfit).await?;
    Ok(Done(Message::new(PASSWORD_CHANGED)))
}
