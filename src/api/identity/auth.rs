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
use crate::http::rules::{GivenPassword, NewPassword};
use crate::http::validate::Broken;

pub const LOGGED_OUT: &str = "Logged out";
pub const PASSWORD_UPDATED: &str = "Password updated successfully";

/// What somebody registers with.
#[derive(Debug)]
struct Register {
    email: Email,
    password: Password,
}

impl Input for Register {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let email = fields.required("email", fields.email());
        let password = fields.required("password", NewPassword);
        let own = [email.as_ref().map_or("", Email::as_str)];
        let password = fields.refuse_own_name("password", password, &own);
        Some(Self { email: email?, password: password? })
    }
}

/// The address that was registered.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(example = json!({ "email": "ada@example.com" })))]
struct Registered {
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
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let email = fields.required("email", fields.email());
        let old = fields.required("old_password", GivenPassword);
        let new = fields.required("new_password", NewPassword);
        let own = [email.as_ref().map_or("", Email::as_str)];
        let new = fields.refuse_own_name("new_password", new, &own);
        Some(Self { email: email?, old: old?, new: new? })
    }
}

/// Who one is.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(example = json!({ "user_id": "1" })))]
struct OwnId {
    /// The user's number, as text.
    user_id: String,
}

/// Register a user
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
/// Takes a form in which `username` is the e-mail address.
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
/// The refresh token of a session that was begun here stays good; the new one is for those who read it.
#[endpoint(tags(TAG_AUTH))]
pub async fn refresh(app: App, input: Valid<Json<TokenRefresh>>) -> Result<Done<TokenPair>, Failure> {
    let Json(given) = input.0;
    let lifetimes = app.config.identity.lifetimes();
    let tokens =
        app.auth.refresh(&app.db, &given.refresh_token, lifetimes).await.map_err(shut_out_is_revoked)?;
    Ok(Done(tokens.into()))
}

/// Why a user is shut out he is told when he signs in: here his token is dead like any other.
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
/// Ends the session: its access token and its refresh token.
#[endpoint(tags(TAG_AUTH))]
pub async fn logout(app: App, caller: Caller) -> Result<Done<Message>, Failure> {
    app.take_away_as(caller, sessions::end).await?;
    Ok(Done(Message::new(LOGGED_OUT)))
}

/// Change the password
///
/// Asks for the present one instead of a token, and counts as a sign-in. Every token of the user dies.
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

/// Get one's own number
#[endpoint(tags(TAG_AUTH))]
pub async fn get_own_id(caller: Caller) -> Result<Done<OwnId>, Failure> {
    Ok(Done(OwnId { user_id: caller.id().0.to_string() }))
}
