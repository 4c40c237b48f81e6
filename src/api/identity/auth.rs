//! identity, `/auth`: register, sign in, refresh, sign out, change the password.

use salvo::Writer;
use salvo::oapi::{ToSchema, endpoint};
use serde::Serialize;

use super::TAG_AUTH;
use crate::api::common::{LoginForm, TokenPair, TokenRefresh};
use crate::app::App;
use crate::domain::auth::passwords::{Password, Weakness};
use crate::domain::auth::{Caller, SignIn, sessions};
use crate::domain::emails::Email;
use crate::domain::users::{Login, NewUser};
use crate::error::{Error, Refusal};
use crate::http::answer::{Done, Failure, Message};
use crate::http::extract::Address;
use crate::http::forms::Form;
use crate::http::input::{Fields, Input, Json, Valid};
use crate::http::rules::GivenPassword;
use crate::http::validate::Broken;

pub const LOGGED_OUT: &str = "Logged out";
pub const PASSWORD_UPDATED: &str = "Password updated successfully";

/// What a user registers with.
#[derive(Debug)]
struct Register {
    email: Email,
    password: Password,
}

impl Input for Register {
    const ABOUT: &'static str = "A user who registers.";

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let email = fields.required("email", fields.email());
        let password = fields.required("password", fields.new_password());
        let own = [email.as_ref().map_or("", Email::as_str)];
        let password = fields.refuse_own_name("password", password, &own);
        Some(Self { email: email?, password: password? })
    }
}

/// The address that was registered.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(example = json!({ "email": "ada@example.com" })))]
struct Registered {
    /// The address as it is kept: without outer blanks, its domain in lower case.
    email: String,
}

/// The present and the next password.
#[derive(Debug)]
struct PasswordChange {
    email: Email,
    old: Password,
    new: Password,
}

impl Input for PasswordChange {
    const ABOUT: &'static str =
        "Who changes the password: the address and the present password stand for a token.";

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let email = fields.required("email", fields.email());
        let old = fields.required("old_password", GivenPassword);
        let new = fields.required("new_password", fields.new_password());
        let own = [email.as_ref().map_or("", Email::as_str)];
        let new = fields.refuse_own_name("new_password", new, &own);
        Some(Self { email: email?, old: old?, new: new? })
    }
}

/// The id of the current user.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(example = json!({ "user_id": "1" })))]
struct OwnId {
    /// The `id` of the caller, as text.
    user_id: String,
}

/// Register a user
///
/// Creates a user, who may sign in at all APIs. The answer has no token: sign in next.
#[endpoint(tags(TAG_AUTH))]
pub async fn register(
    app: App,
    address: Address,
    input: Valid<Json<Register>>,
) -> Result<Done<Registered>, Failure> {
    let Json(given) = input.0;
    let new = NewUser::new(app.clock.new_id(), given.email);
    let user = app.auth.sign_up(&app.db, new, given.password, address.0).await?;
    Ok(Done(Registered { email: user.email }))
}

/// Sign in
///
/// Takes a form in which `username` is the e-mail address, and begins a session: a pair of tokens.
#[endpoint(tags(TAG_AUTH))]
pub async fn login(
    app: App,
    address: Address,
    input: Valid<Form<LoginForm>>,
) -> Result<Done<TokenPair>, Failure> {
    let Form(given) = input.0;
    let tokens = app.auth.sign_in(&app.db, given.from(address), app.config.identity.lifetimes()).await?;
    Ok(Done(tokens.into()))
}

/// Get new tokens for a refresh token
///
/// The refresh token of a session that began here stays valid until the session ends, so a client may keep it. The answer
/// has a new one as well.
#[endpoint(tags(TAG_AUTH))]
pub async fn refresh(app: App, input: Valid<Json<TokenRefresh>>) -> Result<Done<TokenPair>, Failure> {
    let Json(given) = input.0;
    let lifetimes = app.config.identity.lifetimes();
    let tokens =
        app.auth.refresh(&app.db, &given.refresh_token, lifetimes).await.map_err(shut_out_is_revoked)?;
    Ok(Done(tokens.into()))
}

/// Users who are shut out learn the reason when they sign in: here their token is one that is not good, like any other.
fn shut_out_is_revoked(error: Error) -> Error {
    match error {
        Error::Refusal(Refusal::UserInactive | Refusal::UserBlocked | Refusal::EmailUnconfirmed) => {
            Refusal::RefreshRevoked.into()
        }
        other => other,
    }
}

/// Sign out
///
/// Ends the session: its access token and its refresh token are no longer valid, on any API.
#[endpoint(tags(TAG_AUTH))]
pub async fn logout(app: App, caller: Caller) -> Result<Done<Message>, Failure> {
    app.take_away_as(caller, sessions::end).await?;
    Ok(Done(Message::new(LOGGED_OUT)))
}

/// Change the password
///
/// Takes the present password instead of a token, and counts as a sign-in. Ends all sessions of the user.
#[endpoint(tags(TAG_AUTH))]
pub async fn change_password(
    app: App,
    address: Address,
    input: Valid<Json<PasswordChange>>,
) -> Result<Done<Message>, Failure> {
    let Json(given) = input.0;
    let email = Login::Email(given.email.as_str().to_owned());
    let proof = SignIn { login: email, password: given.old, address: address.0 };
    let unfit = |weakness: Weakness| Failure::at_field("new_password", Broken::password(weakness));
    app.auth.change_password(&app.db, None, proof, given.new, unfit).await?;
    Ok(Done(Message::new(PASSWORD_UPDATED)))
}

/// Get the current user's id
///
/// Only the id. `GET /users/me` shows everything.
#[endpoint(tags(TAG_AUTH))]
pub async fn get_own_id(caller: Caller) -> Result<Done<OwnId>, Failure> {
    Ok(Done(OwnId { user_id: caller.id().0.to_string() }))
}
