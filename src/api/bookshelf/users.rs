//! bookshelf, `/users`: profiles and the directory.

use salvo::Writer;
use salvo::oapi::{RefOr, Schema, ToSchema, endpoint};
use serde::Serialize;
use uuid::Uuid;

use super::TAG_USERS;
use super::auth::{FAMILY_NAME, GIVEN_NAME};
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
use crate::http::input::{Fields, Input, Json, Path, Query, Valid, schema};
use crate::http::large::{Large, Page, Room};
use crate::http::rules::{Flag, GivenPassword, OneOf, Rule, UuidText, name, one_of, text, username};
use crate::http::validate::Broken;

/// Most books shown with their owner; `/books/my-books` has them all, page by page.
const BOOKS_SHOWN_MAX: i64 = 1000;

pub const PASSWORD_CHANGED: &str = "Password changed successfully";

/// A user. To strangers the address, the role and the state are null.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(example = json!({
    "username": "ada", "email": "ada@example.com", "first_name": "Ada", "last_name": "Lovelace",
    "uuid": "019a9d5e-6c1f-7c3b-8a54-3f0c1f4e2d10", "role": "user", "is_active": true,
    "created_at": "2026-11-21T05:06:39.560803", "updated_at": "2026-11-21T05:06:39.560803",
})))]
pub struct UserOut {
    /// The name that the user chose, or `user_` and the user's number.
    username: String,
    /// Null to strangers. Also null to other users where the server hides addresses, unless they searched by this address.
    #[salvo(schema(required = true))]
    email: Option<String>,
    /// Empty if the user registered at another API without one.
    first_name: String,
    /// Empty if the user registered at another API without one.
    last_name: String,
    /// Identifies the user in paths; it never changes.
    uuid: Uuid,
    #[salvo(schema(required = true, schema_with = shown_role))]
    role: Option<&'static str>,
    /// Whether the user may sign in. Null to strangers.
    #[salvo(schema(required = true))]
    is_active: Option<bool>,
    /// When the user registered, in UTC, without a zone.
    created_at: String,
    /// When something of the user last changed, in UTC, without a zone.
    updated_at: String,
}

/// One of the roles, in any case.
pub fn role() -> OneOf<Role> {
    let about = "What a user may change: a `user` what is their own, a `moderator` any book and any item as well, an \
                 `admin` everything, users included.";
    one_of(&Role::WORDS).in_any_case().named("Role", about)
}

fn shown_role() -> RefOr<Schema> {
    schema(role().or_null().about("The user's role. Null to strangers.").schema())
}

impl UserOut {
    /// Everything there is to see.
    pub fn whole(user: User) -> Self {
        Self {
            username: user.shown_username(),
            email: Some(user.email),
            first_name: user.first_name.unwrap_or_default(),
            last_name: user.last_name.unwrap_or_default(),
            uuid: user.uuid,
            role: Some(user.role.word()),
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

/// A user, and the books that they own.
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
    user: UserOut,
    /// The newest 1,000 books of the user, newest first.
    books: Vec<BookSummary>,
}

/// A book, as it is shown with its owner.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(example = json!({
    "uuid": "019a9d5e-6c1f-7c3b-8a54-3f0c1f4e2d10", "title": "Dune", "author": "Frank Herbert", "publisher": "Chilton Books",
})))]
pub struct BookSummary {
    /// Identifies the book in paths; `GET /api/v1.0/books/{book_uuid}` shows all of it.
    uuid: Uuid,
    /// The title, as on the cover.
    title: String,
    /// Who wrote the book. Several names go into one text.
    author: String,
    /// The house that published the book.
    publisher: String,
}

impl From<Book> for BookSummary {
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
        let uuid = fields.required("user_uuid", UuidText.about("The user's `uuid`, as shown in answers."));
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
        let email = fields.required(
            "email",
            text(1, 320, "ada@example.com").about("The whole address. Case does not count."),
        );
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
        let first_name = fields.optional("first_name", name(1, 100, "Ada").about(GIVEN_NAME));
        let last_name = fields.optional("last_name", name(1, 100, "Lovelace").about(FAMILY_NAME));
        let is_active = fields
            .optional("is_active", Flag.about("False ends all sessions; the user cannot sign in any more."));
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
    const ABOUT: &'static str = "What is to change of a user. Fields that are left out stay as they are.";

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
    const ABOUT: &'static str = "The present password, and the one that takes its place.";

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let current = fields.required("current_password", GivenPassword);
        let new = fields.required("new_password", fields.new_password());
        Some(Self { current: current?, new: new? })
    }
}

/// Get the current user
///
/// The caller's profile with their books.
#[endpoint(tags(TAG_USERS))]
pub async fn me(app: App, caller: Caller, room: Room) -> Result<Large<UserWithBooks>, Failure> {
    let read = move |db: &Read| with_books(db, room, caller.uuid(), UserOut::whole);
    Ok(app.db.scan(read).await?)
}

fn with_books(
    db: &Read,
    room: Room,
    uuid: Uuid,
    show: impl FnOnce(User) -> UserOut,
) -> Result<Large<UserWithBooks>> {
    let user = users::by_uuid(db, uuid)?;
    let room = room.take(BOOKS_SHOWN_MAX)?;
    let books = books::list(db, Shelf::Of(user.id), None, BOOKS_SHOWN_MAX)?;
    let books = books.into_iter().map(BookSummary::from).collect();
    room.write(&UserWithBooks { user: show(user), books })
}

/// List the users, newest first
///
/// The directory of users. The server's settings say who may read it: everybody, users or administrators.
#[endpoint(tags(TAG_USERS))]
pub async fn list_users(
    app: App,
    visitor: Visitor,
    room: Room,
    input: Valid<Query<PageQuery>>,
) -> Result<Page<Vec<UserOut>>, Failure> {
    let Query(PageQuery { limit, cursor }) = input.0;
    directory::refuse_browsing(app.config.users.directory, visitor.0.as_ref())?;
    let shows = app.clone();
    let read = move |db: &Read| {
        let room = room.take(limit)?;
        let found = directory::list(db, cursor, limit + 1)?;
        page(room, found, limit, |user| user.id.0, |user| UserOut::to(&shows, &visitor, user))
    };
    Ok(app.db.page(limit, read).await?)
}

/// Get a user with their books
///
/// A page of the directory of users. The server's settings say who may read it: everybody, users or administrators.
#[endpoint(tags(TAG_USERS))]
pub async fn get_user(
    app: App,
    visitor: Visitor,
    room: Room,
    input: Valid<Path<UserPath>>,
) -> Result<Large<UserWithBooks>, Failure> {
    let Path(path) = input.0;
    directory::refuse_browsing(app.config.users.directory, visitor.0.as_ref())?;
    let shows = app.clone();
    let read = move |db: &Read| with_books(db, room, path.uuid, |user| UserOut::to(&shows, &visitor, user));
    Ok(app.db.scan(read).await?)
}

/// Find a user by e-mail address
///
/// Shows the same as the directory, without the books. The case of the address does not count.
#[endpoint(tags(TAG_USERS))]
pub async fn get_user_by_email(
    app: App,
    visitor: Visitor,
    input: Valid<Path<EmailPath>>,
) -> Result<Done<UserOut>, Failure> {
    let Path(path) = input.0;
    directory::refuse_browsing(app.config.users.directory, visitor.0.as_ref())?;
    let user = app.db.read(|db| users::by_email(db, &path.email))?;
    // Whoever asked knows the address.
    let email = Some(user.email.clone());
    Ok(Done(UserOut { email, ..UserOut::to(&app, &visitor, user) }))
}

/// Change a profile
///
/// Users change their own, administrators any. A new e-mail address is unconfirmed until the link in a letter to it is
/// used. A letter to the old address has a link that puts it back, for seven days.
#[endpoint(tags(TAG_USERS))]
pub async fn update_user(
    app: App,
    caller: Caller,
    from: Address,
    input: Valid<(Path<UserPath>, Json<UserUpdate>)>,
) -> Result<Done<UserOut>, Failure> {
    let (Path(path), Json(UserUpdate(update))) = input.0;
    update.admit(&app, &caller, from, |db| users::by_uuid(db, path.uuid)).await?;
    let room = update.patch.room();
    let change = move |db: &WriteAs| users::update(db, &users::by_uuid(db, path.uuid)?, &update.patch);
    let user = app.auth.write_as(&app.db, caller, room, change).await?;
    Ok(Done(UserOut::whole(user)))
}

/// Delete a user
///
/// Users delete their own account, administrators any account. The books stay, without an owner.
#[endpoint(tags(TAG_USERS))]
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

/// Change the password
///
/// Ends all sessions of the user, this one included: sign in again with the new password.
#[endpoint(tags(TAG_USERS))]
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
