//! bookshelf, `/auth`: register, sign in, refresh, sign out.

use salvo::Writer;
use salvo::oapi::endpoint;

use super::TAG_AUTH;
use super::users::ShowUser;
use crate::api::common::{LogIn, Refresh, TokenPair};
use crate::app::App;
use crate::domain::auth::passwords::Password;
use crate::domain::auth::{Caller, sessions};
use crate::domain::emails::Email;
use crate::domain::users::NewUser;
use crate::http::answer::{Created, Done, Failure, Message};
use crate::http::extract::Address;
use crate::http::forms::Form;
use crate::http::input::{Fields, Input, Json, Valid};
use crate::http::rules::{NewPassword, name, username};

pub const LOGGED_OUT: &str = "Successfully logged out";
pub const LOGGED_OUT_EVERYWHERE: &str = "Successfully logged out from all devices";

/// What somebody registers with.
#[derive(Debug)]
pub struct Register {
    pub username: String,
    pub email: Email,
    pub first_name: String,
    pub last_name: String,
    pub password: Password,
}

impl Register {
    /// The user to be, with the role `user`.
    pub fn new_user(&self, app: &App) -> NewUser {
        NewUser {
            username: Some(self.username.clone()),
            first_name: Some(self.first_name.clone()),
            last_name: Some(self.last_name.clone()),
            ..NewUser::new(app.clock.new_id(), self.email.clone())
        }
    }
}

impl Input for Register {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let username = fields.required("username", username(3, 50));
        let email = fields.required("email", fields.email());
        let first_name = fields.required("first_name", name(1, 100, "Ada"));
        let last_name = fields.required("last_name", name(1, 100, "Lovelace"));
        let password = fields.required("password", NewPassword);
        let own = [username.as_deref().unwrap_or_default(), email.as_ref().map_or("", Email::as_str)];
        let password = fields.refuse_own_name("password", password, &own);
        Some(Self {
            username: username?,
            email: email?,
            first_name: first_name?,
            last_name: last_name?,
            password: password?,
        })
    }
}

/// Register a user
///
/// Makes a user with the role `user`. Whoever registered may sign in at every API.
#[endpoint(operation_id = "register_user", tags(TAG_AUTH))]
pub async fn register_user(
    app: App,
    address: Address,
    input: Valid<Json<Register>>,
) -> Result<Created<ShowUser>, Failure> {
    let Json(given) = input.0;
    let user = app.auth.sign_up(&app.db, given.new_user(&app), given.password, address.0).await?;
    Ok(Created(ShowUser::whole(user)))
}

/// Sign in
///
/// Takes a form in which `username` is the e-mail address.
#[endpoint(operation_id = "log_in", tags(TAG_AUTH))]
pub async fn log_in(
    app: App,
    address: Address,
    input: Valid<Form<LogIn>>,
) -> Result<Done<TokenPair>, Failure> {
    let Form(given) = input.0;
    let tokens = app.auth.sign_in(&app.db, given.from(address), app.config.bookshelf.lifetimes()).await?;
    Ok(Done(tokens.into()))
}

/// Get new tokens for a refresh token
///
/// The token is spent by this. Sent again later, it ends the whole session.
#[endpoint(operation_id = "refresh_tokens", tags(TAG_AUTH))]
pub async fn refresh_tokens(app: App, input: Valid<Json<Refresh>>) -> Result<Done<TokenPair>, Failure> {
    let Json(given) = input.0;
    let lifetimes = app.config.bookshelf.lifetimes();
    let tokens = app.auth.refresh(&app.db, &given.refresh_token, lifetimes).await?;
    Ok(Done(tokens.into()))
}

/// Sign out
///
/// Ends the session: its access token and its refresh token.
#[endpoint(operation_id = "log_out", tags(TAG_AUTH))]
pub async fn log_out(app: App, caller: Caller) -> Result<Done<Message>, Failure> {
    app.take_away_as(caller, sessions::end).await?;
    Ok(Done(Message::new(LOGGED_OUT)))
}

/// Sign out everywhere
///
/// Ends every session of the caller, on every API.
#[endpoint(operation_id = "log_out_everywhere", tags(TAG_AUTH))]
pub async fn log_out_everywhere(app: App, caller: Caller) -> Result<Done<Message>, Failure> {
    app.take_away_as(caller, sessions::end_own).await?;
    Ok(Done(Message::new(LOGGED_OUT_EVERYWHERE)))
}
