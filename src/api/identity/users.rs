//! identity, `/users`: one's own profile and balance.

use salvo::Writer;
use salvo::oapi::{ToSchema, endpoint};
use serde::Serialize;

use super::{RoleOut, TAG_USERS, is_complete, moment};
use crate::app::App;
use crate::domain::accounts::{self, BALANCE_MAX};
use crate::domain::auth::{Caller, WriteAs};
use crate::domain::users::{self, Patch, User};
use crate::error::Refusal;
use crate::http::answer::{Done, Failure, Message};
use crate::http::input::{Fields, Input, Json, Valid};
use crate::http::rules::{Rule, integer, name};

pub const DELETED: &str = "Account successfully deleted";

/// A user.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(example = json!({
    "id": 1, "email": "ada@example.com", "first_name": "Ada", "last_name": "Lovelace", "is_blocked": false,
    "balance": 100, "created_at": "2026-11-21T05:06:39.560803Z", "updated_at": "2026-11-21T05:06:39.560803Z",
    "last_activity_at": "2026-11-21T05:06:39.560803Z", "role": "user",
})))]
pub struct UserOut {
    id: i64,
    email: String,
    #[salvo(schema(required = true))]
    first_name: Option<String>,
    #[salvo(schema(required = true))]
    last_name: Option<String>,
    is_blocked: bool,
    balance: i64,
    /// In UTC.
    created_at: String,
    /// In UTC.
    #[salvo(schema(required = true))]
    updated_at: Option<String>,
    /// In UTC, to the minute; null before the first sign-in.
    #[salvo(schema(required = true))]
    last_activity_at: Option<String>,
    role: RoleOut,
}

impl From<User> for UserOut {
    fn from(user: User) -> Self {
        Self {
            id: user.id.0,
            email: user.email,
            first_name: user.first_name,
            last_name: user.last_name,
            is_blocked: user.blocked_at.is_some(),
            balance: user.balance,
            created_at: user.created_at.utc(),
            updated_at: moment(Some(user.updated_at)),
            last_activity_at: moment(user.last_activity_at),
            role: user.role.into(),
        }
    }
}

/// Both names of a user.
#[derive(Debug)]
struct ProfileReplace {
    first_name: Option<String>,
    last_name: Option<String>,
}

impl Input for ProfileReplace {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let about = "1 to 100 characters; null or nothing is answered with 400.";
        let first_name = fields.required("first_name", name(0, 100, "Ada").or_null().about(about));
        let last_name = fields.required("last_name", name(0, 100, "Lovelace").or_null().about(about));
        Some(Self { first_name: first_name?, last_name: last_name? })
    }
}

/// What is added to a balance.
#[derive(Debug)]
struct BalanceChange {
    amount: i64,
}

impl Input for BalanceChange {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let amount =
            integer(-BALANCE_MAX, BALANCE_MAX, 100).about("What is added; below zero, what is taken.");
        let amount = fields.required("amount", amount);
        Some(Self { amount: amount? })
    }
}

/// A balance.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(example = json!({ "balance": 100 })))]
struct Balance {
    balance: i64,
}

/// A balance after a change.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(example = json!({ "new_balance": 100 })))]
struct NewBalance {
    new_balance: i64,
}

/// Get what there is of oneself
///
/// Names that were never given are null.
#[endpoint(operation_id = "get_own_details", tags(TAG_USERS))]
pub async fn get_own_details(app: App, caller: Caller) -> Result<Done<UserOut>, Failure> {
    let user = app.db.read(|db| users::own(db, &caller))?;
    Ok(Done(user.into()))
}

/// Get one's own profile, once it has both names
#[endpoint(operation_id = "get_own_profile", tags(TAG_USERS))]
pub async fn get_own_profile(app: App, caller: Caller) -> Result<Done<UserOut>, Failure> {
    let user = app.db.read(|db| users::own(db, &caller))?;
    if !is_complete(&user) {
        return Err(Refusal::ProfileIncomplete.into());
    }
    Ok(Done(user.into()))
}

/// Set one's own names
#[endpoint(operation_id = "replace_own_profile", tags(TAG_USERS))]
pub async fn replace_own_profile(
    app: App,
    caller: Caller,
    input: Valid<Json<ProfileReplace>>,
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

/// Get one's own balance
#[endpoint(operation_id = "get_own_balance", tags(TAG_USERS))]
pub async fn get_own_balance(app: App, caller: Caller) -> Result<Done<Balance>, Failure> {
    let user = app.db.read(|db| users::own(db, &caller))?;
    Ok(Done(Balance { balance: user.balance }))
}

/// Add to one's own balance, or take from it
///
/// Changes at the same time all count.
#[endpoint(operation_id = "add_to_own_balance", tags(TAG_USERS))]
pub async fn add_to_own_balance(
    app: App,
    caller: Caller,
    input: Valid<Json<BalanceChange>>,
) -> Result<Done<NewBalance>, Failure> {
    let Json(given) = input.0;
    let balance = app.write_as(caller, move |db| accounts::add_to_balance(db, given.amount)).await?;
    Ok(Done(NewBalance { new_balance: balance }))
}

/// Delete one's own account
///
/// The address is free at once. Items, todos and contacts go for good some weeks later; books stay, ownerless.
#[endpoint(operation_id = "delete_own_user", tags(TAG_USERS))]
pub async fn delete_own_user(app: App, caller: Caller) -> Result<Done<Message>, Failure> {
    app.take_away_as(caller, accounts::delete).await?;
    Ok(Done(Message::new(DELETED)))
}
