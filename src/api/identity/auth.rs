//! identity, `/auth`: register, sign in, refresh, sign out, change the password.

use salvo::Writer;
use salvo::oapi::{ToSchema, endpoint};
use serde::Serialize;

use super::TAG_AUTH;
use crate::api::common::{LogIn, Refresh, TokenPair};
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

/// What somebody registers with.
#[derive(Debug)]
struct EmailRegister {
    email: Email,
    password: Password,
}

impl Input for EmailRegister {
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
    email: String,
}

/// The present and the next password.
#[derive(Debug)]
struct PasswordReplace {
    email: Email,
    old: Password,
    new: Password,
}

impl Input for PasswordReplace {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let email = fields.required("email", fields.email());
        let old = fields.required("old_password", GivenPassword);
        let new = fields.required("new_password", fields.new_password());
        let own = [email.as_ref().map_or("", Email::as_str)];
        let new = fields.refuse_own_name("new_password", new, &own);
        Some(Self { email: email?, old: old?, new: new? })
    }
}

/// Who one is.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(example = json!({ "user_id": "1" })))]
struct OwnNumber {
    /// The user's number, as text.
    user_id: String,
}

/// Register a user
#[endpoint(operation_id = "register_email", tags(TAG_AUTH))]
pub async fn register_email(
    app: App,
    address: Address,
    input: Valid<Json<EmailRegister>>,
) -> Result<Done<Registered>, Failure> {
    let Json(given) = input.0;
    let new = NewUser::new(app.clock.new_id(), given.email);
    let user = app.auth.sign_up(&app.db, new, given.password, address.0).await?;
    Ok(Done(Registered { email: user.email }))
}

/// Sign in
///
/// Takes a form in which `username` is the e-mail address.
#[endpoint(operation_id = "sign_in", tags(TAG_AUTH))]
pub async fn sign_in(
    app: App,
    address: Address,
    input: Valid<Form<LogIn>>,
) -> Result<Done<TokenPair>, Failure> {
    let Form(given) = input.0;
    let tokens = app.auth.sign_in(&app.db, given.from(address), app.config.identity.lifetimes()).await?;
    Ok(Done(tokens.into()))
}

/// Get new tokens for a refresh token
///
/// The refresh token of a session that was begun here stays good; the new one is for those who read it.
#[endpoint(operation_id = "renew_tokens", tags(TAG_AUTH))]
pub async fn renew_tokens(app: App, input: Valid<Json<Refresh>>) -> Result<Done<TokenPair>, Failure> {
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
#[endpoint(operation_id = "sign_out", tags(TAG_AUTH))]
pub async fn sign_out(app: App, caller: Caller) -> Result<Done<Message>, Failure> {
    app.take_away_as(caller, sessions::end).await?;
    Ok(Done(Message::new(LOGGED_OUT)))
}

/// Change the password
///
/// Asks for the present one instead of a token, and counts as a sign-in. Every token of the user dies.
#[endpoint(operation_id = "replace_password", tags(TAG_AUTH))]
pub async fn replace_password(
    app: App,
    address: Address,
    input: Valid<Json<PasswordReplace>>,
) -> Result<Done<Message>, Failure> {
    let Json(given) = input.0;
    let login = Login::Email(given.email.as_str().to_owned());
    let proof = SignIn { login, password: given.old, address: address.0 };
    let unfit = |weakness: Weakness| Failure::at_field("new_password", Broken::password(weakness));
    app.auth.change_password(&app.db, None, proof, given.new, unfit).await?;
    Ok(Done(Message::new(PASSWORD_UPDATED)))
}

/// Get one's own number
#[endpoint(operation_id = "get_own_number", tags(TAG_AUTH))]
pub async fn get_own_number(caller: Caller) -> Result<Done<OwnNumber>, Failure> {
    Ok(Done(OwnNumber { user_id: caller.id().0.to_string() }))
}
