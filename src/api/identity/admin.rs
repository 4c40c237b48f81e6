//! identity, `/users/`, `/users/deleted` and `/admin`: the users, for administrators. To anybody else none of it
//! is there.
//!
//! The arguments of these handlers stand in the order of the checks: token, then input, then right.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use salvo::Writer;
use salvo::oapi::{Components, RefOr, Schema, ToSchema, endpoint};
use serde::Serialize;
use serde_json::{Value, json};

use super::users::UserOut;
use super::{TAG_ADMIN, active_at, changed_at, moment, role_word, shown_role};
use crate::api::common::page_of;
use crate::app::App;
use crate::db::Read;
use crate::domain::accounts::{self, Filter, Order, Place, SortBy};
use crate::domain::auth::{Caller, WriteAs};
use crate::domain::users::{self, User};
use crate::http::answer::{Done, Failure, Message, write_json};
use crate::http::extract::Administrator;
use crate::http::input::{Fields, Input, Path, Query, Valid};
use crate::http::large::{Page, Room};
use crate::http::rules::{Cursor, Flag, Rule, integer, one_of, text};
use crate::http::validate::Broken;

/// A user as administrators see one in the list.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(example = json!({
    "user_id": 1, "first_name": "Ada", "last_name": "Lovelace", "created_at": "2026-11-21T05:06:39.560803Z",
    "updated_at": "2026-11-21T05:06:39.560803Z", "last_activity_at": "2026-11-21T05:06:39.560803Z",
    "block": false, "block_at": null, "role": "user", "balance": 100,
})))]
struct ListedUser {
    /// Identifies the user in paths; it never changes.
    user_id: i64,
    /// The given name; null until the profile has it.
    #[salvo(schema(required = true))]
    first_name: Option<String>,
    /// The family name; null until the profile has it.
    #[salvo(schema(required = true))]
    last_name: Option<String>,
    /// When the user registered, in UTC.
    created_at: String,
    /// When something of the user last changed, in UTC; null until something did.
    #[salvo(schema(required = true))]
    updated_at: Option<String>,
    /// When the user last sent a request, in UTC and to the minute; the time of the registration until then.
    #[salvo(schema(required = true))]
    last_activity_at: Option<String>,
    /// Whether an administrator has blocked the user from signing in.
    block: bool,
    /// When the user was blocked, in UTC; null if the user is not.
    #[salvo(schema(required = true))]
    block_at: Option<String>,
    #[salvo(schema(schema_with = shown_role))]
    role: &'static str,
    /// The user's balance; never below zero.
    balance: i64,
}

impl From<User> for ListedUser {
    fn from(user: User) -> Self {
        let (updated_at, last_activity_at) = (changed_at(&user), active_at(&user));
        Self {
            user_id: user.id.0,
            first_name: user.first_name,
            last_name: user.last_name,
            created_at: user.created_at.utc(),
            updated_at,
            last_activity_at,
            block: user.blocked_at.is_some(),
            block_at: moment(user.blocked_at),
            role: role_word(user.role),
            balance: user.balance,
        }
    }
}

/// Users by their numbers, in an order of their own.
#[derive(Debug)]
struct ListedUsers;

impl ToSchema for ListedUsers {
    fn to_schema(components: &mut Components) -> RefOr<Schema> {
        BTreeMap::<String, ListedUser>::to_schema(components)
    }
}

/// One page of the list of users.
#[derive(Debug, ToSchema)]
#[salvo(schema(example = json!({ "users": { "1": {
    "user_id": 1, "first_name": "Ada", "last_name": "Lovelace", "created_at": "2026-11-21T05:06:39.560803Z",
    "updated_at": "2026-11-21T05:06:39.560803Z", "last_activity_at": "2026-11-21T05:06:39.560803Z",
    "block": false, "block_at": null, "role": "user", "balance": 100,
} } })))]
#[expect(dead_code, reason = "its form: it is written row by row")]
struct UserPage {
    /// Each user by their number, in the order that was asked for.
    users: ListedUsers,
}

/// A user who was deleted, and is not gone for good yet.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(example = json!({
    "id": 1, "email": "ada@example.com", "first_name": "Ada", "last_name": "Lovelace", "is_blocked": false,
    "balance": 100, "created_at": "2026-11-21T05:06:39.560803Z", "updated_at": "2026-11-21T05:06:39.560803Z",
    "last_activity_at": "2026-11-21T05:06:39.560803Z", "role": "user",
    "deleted_at": "2026-11-21T05:06:39.560803Z",
})))]
struct DeletedUser {
    #[serde(flatten)]
    #[salvo(schema(inline))]
    user: UserOut,
    /// When the user was deleted, in UTC.
    #[salvo(schema(required = true))]
    deleted_at: Option<String>,
}

impl From<User> for DeletedUser {
    fn from(user: User) -> Self {
        Self { deleted_at: moment(user.deleted_at), user: user.into() }
    }
}

/// One page of the list of deleted users.
#[derive(Debug, ToSchema)]
#[salvo(schema(example = json!({ "deleted_users": [{
    "id": 1, "email": "ada@example.com", "first_name": "Ada", "last_name": "Lovelace", "is_blocked": false,
    "balance": 100, "created_at": "2026-11-21T05:06:39.560803Z", "updated_at": "2026-11-21T05:06:39.560803Z",
    "last_activity_at": "2026-11-21T05:06:39.560803Z", "role": "user",
    "deleted_at": "2026-11-21T05:06:39.560803Z",
}] })))]
#[expect(dead_code, reason = "its form: it is written row by row")]
struct DeletedUserPage {
    /// The users of this page, newest first.
    deleted_users: Vec<DeletedUser>,
}

/// Which part of a list, as long as it may be where nothing is said.
#[derive(Debug)]
struct WholeQuery {
    limit: i64,
    cursor: Option<i64>,
}

impl Input for WholeQuery {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let limit = whole_limit(fields);
        let cursor = fields.optional("cursor", Cursor);
        Some(Self { limit: limit?, cursor: cursor? })
    }
}

fn whole_limit(fields: &mut Fields<'_>) -> Option<i64> {
    fields.or("limit", integer(1, 1000, 20).about("How many users the page has at most."), 1000)
}

/// The place in the list of users to go on from, opaque to clients. It holds what the list is sorted by: that of
/// the user who stood there may change before the next page is asked for.
struct PlaceCursor;

impl PlaceCursor {
    fn after(place: Place) -> String {
        URL_SAFE_NO_PAD.encode([place.value.to_be_bytes(), place.id.to_be_bytes()].concat())
    }
}

impl Rule for PlaceCursor {
    type Out = Place;

    fn check(&self, value: &Value) -> Result<Place, Broken> {
        let bytes = URL_SAFE_NO_PAD.decode(value.as_str().unwrap_or_default()).unwrap_or_default();
        let place = bytes.split_first_chunk().and_then(|(value, id)| {
            let id = i64::from_be_bytes(id.try_into().ok()?);
            Some(Place { value: i64::from_be_bytes(*value), id })
        });
        place.ok_or_else(|| Broken::rule("Cursor must come from the Link header of a page"))
    }

    fn schema(&self) -> Value {
        let mut schema = Cursor.schema();
        schema["examples"] = json!([Self::after(Place { value: 500, id: 100 })]);
        schema
    }
}

const SORT_BY: [(&str, SortBy); 3] =
    [("id", SortBy::Id), ("balance", SortBy::Balance), ("last_activity_at", SortBy::LastActivity)];
const SORT_ORDER: [(&str, bool); 2] = [("asc", false), ("desc", true)];

/// Which users, and in which order.
#[derive(Debug)]
struct UserQuery {
    filter: Filter,
    order: Order,
    limit: i64,
    after: Option<Place>,
}

impl Input for UserQuery {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let about =
            ["Part of the given name; case does not count.", "Part of the family name; case does not count."];
        let id =
            fields.optional("id", integer(i64::MIN, i64::MAX, 1).about("Only the user with this number."));
        let first_name = fields.optional("first_name", text(0, 100, "Ada").about(about[0]));
        let last_name = fields.optional("last_name", text(0, 100, "Lovelace").about(about[1]));
        let blocked =
            Flag.about("True: only users who are blocked. False: only those who are not. Left out: all.");
        let is_blocked = fields.optional("is_blocked", blocked);
        let by = fields.optional(
            "sort_by",
            one_of(&SORT_BY).literally().about("What the users are sorted by; `id` if left out."),
        );
        let descending = fields.optional(
            "sort_order",
            one_of(&SORT_ORDER)
                .literally()
                .about("The direction: up (`asc`) or down (`desc`). `asc` if left out."),
        );
        let limit = whole_limit(fields);
        let after = fields.optional("cursor", PlaceCursor);
        let filter =
            Filter { id: id?, first_name: first_name?, last_name: last_name?, is_blocked: is_blocked? };
        let order = Order { by: by?.unwrap_or(SortBy::Id), descending: descending?.unwrap_or(false) };
        Some(Self { filter, order, limit: limit?, after: after? })
    }
}

/// The user that a path names.
#[derive(Debug)]
struct NumberPath {
    id: i64,
}

impl Input for NumberPath {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let id = fields.required(
            "user_id",
            integer(i64::MIN, i64::MAX, 1).about("The user's number: `user_id` in the list of users."),
        );
        Some(Self { id: id? })
    }
}

/// What an administrator is greeted with.
pub fn welcome(email: &str) -> Message {
    Message::new(format!("Welcome, admin {email}!"))
}

/// What is said of a user who was blocked or unblocked.
pub fn blocked(id: i64, blocked: bool) -> Message {
    Message::new(format!("User {id} has been {}.", if blocked { "blocked" } else { "unblocked" }))
}

/// List users
///
/// Filtered and sorted by the query. `users` is an object, not an array: each user by their number, in that order.
/// Deleted users are left out.
#[endpoint(tags(TAG_ADMIN))]
pub async fn list_users(
    app: App,
    _caller: Caller,
    room: Room,
    input: Valid<Query<UserQuery>>,
    admin: Administrator,
) -> Result<Page<UserPage>, Failure> {
    let Query(UserQuery { filter, order, limit, after }) = input.0;
    let put = |json: &mut Vec<u8>, user: User| {
        write_json(json, &user.id.0.to_string());
        json.push(b':');
        write_json(json, &ListedUser::from(user));
    };
    let place = move |user: &User| order.place(user);
    let read = move |db: &Read| {
        let room = room.take(limit)?;
        let found = accounts::list(db, &admin.0, &filter, order, after, limit + 1)?;
        page_of(room, found, limit, ["{\"users\":{", "}}"], (place, PlaceCursor::after), put)
    };
    Ok(app.db.scan(read).await?)
}

/// List deleted users, newest first
///
/// A deleted user is removed for good after some weeks. Until then the user is listed here.
#[endpoint(tags(TAG_ADMIN))]
pub async fn list_deleted_users(
    app: App,
    _caller: Caller,
    room: Room,
    input: Valid<Query<WholeQuery>>,
    admin: Administrator,
) -> Result<Page<DeletedUserPage>, Failure> {
    let Query(WholeQuery { limit, cursor }) = input.0;
    let put = |json: &mut Vec<u8>, user| write_json(json, &DeletedUser::from(user));
    let read = move |db: &Read| {
        let room = room.take(limit)?;
        let found = accounts::list_deleted(db, &admin.0, cursor, limit + 1)?;
        let number = |user: &User| user.id.0;
        page_of(room, found, limit, ["{\"deleted_users\":[", "]}"], (number, Cursor::after), put)
    };
    Ok(app.db.page(limit, read).await?)
}

/// See whether the current user is an administrator
///
/// Administrators get a greeting. Other users get 404.
#[endpoint(tags(TAG_ADMIN))]
pub async fn check_admin(app: App, caller: Caller, _admin: Administrator) -> Result<Done<Message>, Failure> {
    let user = app.db.read(|db| users::own(db, &caller))?;
    Ok(Done(welcome(&user.email)))
}

/// Block a user
///
/// Ends all sessions of the user at once. A blocked user cannot sign in, at any API.
#[endpoint(tags(TAG_ADMIN))]
pub async fn block_user(
    app: App,
    _caller: Caller,
    input: Valid<Path<NumberPath>>,
    admin: Administrator,
) -> Result<Done<Message>, Failure> {
    let Path(path) = input.0;
    set_blocked(&app, admin, path.id, true).await
}

/// Unblock a user
///
/// The user may sign in again. Sessions that were ended stay ended.
#[endpoint(tags(TAG_ADMIN))]
pub async fn unblock_user(
    app: App,
    _caller: Caller,
    input: Valid<Path<NumberPath>>,
    admin: Administrator,
) -> Result<Done<Message>, Failure> {
    let Path(path) = input.0;
    set_blocked(&app, admin, path.id, false).await
}

async fn set_blocked(
    app: &App,
    Administrator(caller): Administrator,
    id: i64,
    block: bool,
) -> Result<Done<Message>, Failure> {
    let change = move |db: &WriteAs| users::set_blocked(db, &db.admin()?, &users::by_id(db, id)?, block);
    app.take_away_as(caller, change).await?;
    Ok(Done(blocked(id, block)))
}
