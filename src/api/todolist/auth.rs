//! todolist, `/auth`: register, sign in, who one is, sign out.

use salvo::Writer;
use salvo::oapi::{ToSchema, endpoint};
use serde::Serialize;

use super::TAG_AUTH;
use super::users::{UserCreate, UserOut, add};
use crate::app::App;
use crate::domain::auth::passwords::Password;
use crate::domain::auth::{Caller, SignIn, sessions};
use crate::domain::users::{self, Login};
use crate::http::answer::{Created, Done, Failure, NoContent};
use crate::http::extract::Address;
use crate::http::input::{Fields, Input, Json, Valid};
use crate::http::rules::{GivenPassword, Rule, text};

/// What a user signs in with.
#[derive(Debug)]
struct Credentials {
    username: String,
    password: Password,
}

impl Input for Credentials {
    const ABOUT: &'static str = "What a user signs in with.";

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let username = fields
            .required("username", text(0, usize::MAX, "ada").about("The user's username or e-mail address."));
        let password = fields.required("password", GivenPassword);
        Some(Self { username: username?, password: password? })
    }
}

/// A token to send with each request.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(example = json!({
    "access_token": "eyJ0eXAiOiJhdCtqd3QifQ.eyJ0eXAiOiJhY2Nlc3MifQ.c2lnbmF0dXJl",
    "token_type": "bearer", "expires_in": 86400,
})))]
struct AccessToken {
    /// Valid on all APIs; send it as `Authorization: Bearer …`.
    access_token: String,
    /// Always `bearer`: how the token is sent.
    token_type: &'static str,
    /// How many seconds the token is valid, from now on.
    #[salvo(schema(value_type = i64, minimum = 0))]
    expires_in: u64,
}

/// Register a user
///
/// Creates a user, who may sign in at all APIs. The answer has no token: sign in next.
#[endpoint(tags(TAG_AUTH))]
pub async fn register(
    app: App,
    address: Address,
    input: Valid<Json<UserCreate>>,
) -> Result<Created<UserOut>, Failure> {
    let Json(given) = input.0;
    add(&app, address, given).await
}

/// Sign in
///
/// Takes a username or an e-mail address, and begins a session. There is no refresh token.
#[endpoint(tags(TAG_AUTH))]
pub async fn login(
    app: App,
    address: Address,
    input: Valid<Json<Credentials>>,
) -> Result<Done<AccessToken>, Failure> {
    let Json(given) = input.0;
    let name = Login::EmailOrUsername(given.username);
    let given = SignIn { login: name, password: given.password, address: address.0 };
    let lifetimes = app.config.todolist.lifetimes();
    let tokens = app.auth.sign_in(&app.db, given, lifetimes).await?;
    Ok(Done(AccessToken {
        access_token: tokens.access,
        token_type: "bearer",
        expires_in: lifetimes.access.as_secs(),
    }))
}

/// Get the current user
///
/// The caller's own data, with the e-mail address.
#[endpoint(tags(TAG_AUTH))]
pub async fn me(app: App, caller: Caller) -> Result<Done<UserOut>, Failure> {
    let user = app.db.read(|db| users::own(db, &caller))?;
    Ok(Done(UserOut::whole(user)))
}

/// Sign out
///
/// Ends the session: its token is no longer valid, on any API.
#[endpoint(tags(TAG_AUTH))]
pub async fn logout(app: App, caller: Caller) -> Result<NoContent, Failure> {
    app.take_away_as(caller, sessions::end).await?;
    Ok(NoContent)
}
