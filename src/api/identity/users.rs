//! identity, `/users`: the caller's own profile and balance.

use salvo::Writer;
use salvo::oapi::{ToSchema, endpoint};
use serde::Serialize;

use super::{TAG_USERS, active_at, changed_at, is_complete, role_word, shown_role};
use crate::app::App;
use crate::domain::accounts::{self, BALANCE_MAX};
use crate::domain::auth::{Caller, WriteAs};
use crate::domain::users::{self, Patch, User};
use crate::error::Refusal;
use crate::http::answer::{Done, Failure, Message};
use crate::http::input::{Fields, Input, Json, Valid};
use crate::http::rules::{Rule, integer, name};

pub const DELETED: &str = "Account successfully deleted";

/// A user, as the user sees it.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(example = json!({
    "id": 1, "email": "ada@example.com", "first_name": "Ada", "last_name": "Lovelace", "is_blocked": false,
    "balance": 100, "created_at": "2026-11-21T05:06:39.560803Z", "updated_at": "2026-11-21T05:06:39.560803Z",
    "last_activity_at": "2026-11-21T05:06:39.560803Z", "role": "user",
})))]
pub struct UserOut {
    /// A number that identifies the user; it never changes.
    id: i64,
    /// The address for signing in and for letters.
    email: String,
    /// The given name; null until the profile has it.
    #[salvo(schema(required = true))]
    first_name: Option<String>,
    /// The family name; null until the profile has it.
    #[salvo(schema(required = true))]
    last_name: Option<String>,
    /// Whether an administrator has blocked the user from signing in.
    is_blocked: bool,
    /// The user's balance; never below zero.
    balance: i64,
    /// When the user registered, in UTC.
    created_at: String,
    /// When something of the user last changed, in UTC; null until something did.
    #[salvo(schema(required = true))]
    updated_at: Option<String>,
    /// When the user last sent a request, in UTC and to the minute; the time of the registration until then.
    #[salvo(schema(required = true))]
    last_activity_at: Option<String>,
    #[salvo(schema(schema_with = shown_role))]
    role: &'static str,
}

impl From<User> for UserOut {
    fn from(user: User) -> Self {
        let (updated_at, last_activity_at) = (changed_at(&user), active_at(&user));
        Self {
            id: user.id.0,
            email: user.email,
            first_name: user.first_name,
            last_name: user.last_name,
            is_blocked: user.blocked_at.is_some(),
            balance: user.balance,
            created_at: user.created_at.utc(),
            updated_at,
            last_activity_at,
            role: role_word(user.role),
        }
    }
}

/// Both names of a user.
#[derive(Debug)]
struct ProfileUpdate {
    first_name: Option<String>,
    last_name: Option<String>,
}

impl Input for ProfileUpdate {
    const ABOUT: &'static str = "Both names of the user; neither may be left out.";

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let about = [
            "The given name, 1 to 100 characters. Null or empty is refused with 400.",
            "The family name, 1 to 100 characters. Null or empty is refused with 400.",
        ];
        let first_name = fields.required("first_name", name(0, 100, "Ada").or_null().about(about[0]));
        let last_name = fields.required("last_name", name(0, 100, "Lovelace").or_null().about(about[1]));
        Some(Self { first_name: first_name?, last_name: last_name? })
    }
}

/// What is added to a balance.
#[derive(Debug)]
struct BalanceChange {
    amount: i64,
}

impl Input for BalanceChange {
    const ABOUT: &'static str = "A payment in or out.";

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let amount = integer(-BALANCE_MAX, BALANCE_MAX, 100)
            .about("How much is added to the balance; below zero, how much is taken from it.");
        let amount = fields.required("amount", amount);
        Some(Self { amount: amount? })
    }
}

/// The user's balance.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(example = json!({ "balance": 100 })))]
struct Balance {
    /// The balance now; never below zero.
    balance: i64,
}

/// The user's balance after a change.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(example = json!({ "new_balance": 100 })))]
struct NewBalance {
    /// What the user has now, with the change in it; never below zero.
    new_balance: i64,
}

/// Get the current user
///
/// Works before the profile is complete: names that were not given yet are null.
#[endpoint(tags(TAG_USERS))]
pub async fn me(app: App, caller: Caller) -> Result<Done<UserOut>, Failure> {
    let user = app.db.read(|db| users::own(db, &caller))?;
    Ok(Done(user.into()))
}

/// Get the current user's profile
///
/// The same as `GET /users/me`, but 403 until the profile has both names.
#[endpoint(tags(TAG_USERS))]
pub async fn get_profile(app: App, caller: Caller) -> Result<Done<UserOut>, Failure> {
    let user = app.db.read(|db| users::own(db, &caller))?;
    if !is_complete(&user) {
        return Err(Refusal::ProfileIncomplete.into());
    }
    Ok(Done(user.into()))
}

/// Set the current user's names
///
/// Both names at once. From then on the profile is complete, and the balance may change.
#[endpoint(tags(TAG_USERS))]
pub async fn update_profile(
    app: App,
    caller: Caller,
    input: Valid<Json<ProfileUpdate>>,
) -> Result<Done<UserOut>, Failure> {
    let Json(given) = input.0;
    let named = |name: Option<String>| name.filter(|name| !name.is_empty());
    let (Some(first_name), Some(last_name)) = (named(given.first_name), named(given.last_name)) else {
        return Err(Refusal::ProfileRefused.into());
    };
    let patch = Patch { first_name: Some(first_name), last_name: Some(last_name), ..Patch::default() };
    let change = move |db: &WriteAs| users::update(db, &users::own(db, db.caller())?, &patch);
    Ok(Done(app.write_as(caller, change).await?.into()))
}

/// Get the current user's balance
///
/// The balance alone; the profile shows it as well.
#[endpoint(tags(TAG_USERS))]
pub async fn get_balance(app: App, caller: Caller) -> Result<Done<Balance>, Failure> {
    let user = app.db.read(|db| users::own(db, &caller))?;
    Ok(Done(Balance { balance: user.balance }))
}

/// Add to the current user's balance, or take from it
///
/// `amount` is added to the balance and does not replace it. Changes that come at the same time all count.
#[endpoint(tags(TAG_USERS))]
pub async fn add_to_balance(
    app: App,
    caller: Caller,
    input: Valid<Json<BalanceChange>>,
) -> Result<Done<NewBalance>, Failure> {
    let Json(given) = input.0;
    let balance = app.write_as(caller, move |db| accounts::add_to_balance(db, given.amount)).await?;
    Ok(Done(NewBalance { new_balance: balance }))
}

/// Delete the current user
///
/// The address is free at once, and all sessions end. Items, todos and contacts are deleted for good some weeks later; books
/// stay, without an owner.
#[endpoint(tags(TAG_USERS))]
pub async fn delete_me(app: App, caller: Caller) -> Result<Done<Message>, Failure> {
    app.take_away_as(caller, accounts::delete).await?;
    Ok(Done(Message::new(DELETED)))
}
