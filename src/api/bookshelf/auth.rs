//! bookshelf, `/auth`: register, sign in, refresh, sign out.

use salvo::Writer;
use salvo::oapi::endpoint;

use super::TAG_AUTH;
use super::users::UserOut;
use crate::api::common::{LoginForm, TokenPair, TokenRefresh};
use crate::app::App;
use crate::domain::auth::passwords::Password;
use crate::domain::auth::{Caller, sessions};
use crate::domain::emails::Email;
use crate::domain::users::NewUser;
use crate::http::answer::{Created, Done, Failure, Message};
use crate::http::extract::Address;
use crate::http::forms::Form;
use crate::http::input::{Fields, Input, Json, Valid};
use crate::http::rules::{Rule, name, username};

pub const LOGGED_OUT: &str = "Successfully logged out";
pub const LOGGED_OUT_EVERYWHERE: &str = "Successfully logged out from all devices";

pub const GIVEN_NAME: &str = "The given name, as everybody sees it in the directory of users.";
pub const FAMILY_NAME: &str = "The family name, as everybody sees it in the directory of users.";

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
    const ABOUT: &'static str = "A user who registers.";

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let username = fields.required("username", username(3, 50));
        let email = fields.required("email", fields.email());
        let first_name = fields.required("first_name", name(1, 100, "Ada").about(GIVEN_NAME));
        let last_name = fields.required("last_name", name(1, 100, "Lovelace").about(FAMILY_NAME));
        let password = fields.required("password", fields.new_password());
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
/// Creates a user with the role `user`, who may sign in at all APIs. The answer has no token: sign in next.
#[endpoint(tags(TAG_AUTH))]
pub async fn register(
    app: App,
    address: Address,
    input: Valid<Json<Register>>,
) -> Result<Created<UserOut>, Failure> {
    let Json(given) = input.0;
    let user = app.auth.sign_up(&app.db, given.new_user(&app), given.password, address.0).await?;
    Ok(Created(UserOut::whole(user)))
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
    let tokens = app.auth.sign_in(&app.db, given.from(address), app.config.bookshelf.lifetimes()).await?;
    Ok(Done(tokens.into()))
}

/// Get new tokens for a refresh token
///
/// A refresh token is valid once. Sent again later, it ends the whole session, since somebody else may have it.
#[endpoint(tags(TAG_AUTH))]
pub async fn refresh(app: App, input: Valid<Json<TokenRefresh>>) -> Result<Done<TokenPair>, Failure> {
    let Json(given) = input.0;
    let lifetimes = app.config.bookshelf.lifetimes();
    let tokens = app.auth.refresh(&app.db, &given.refresh_token, lifetimes).await?;
    Ok(Done(tokens.into()))
}

/// Sign out
///
/// Ends the session: its access token and its refresh token are no longer valid, on any API.
#[endpoint(tags(TAG_AUTH))]
pub async fn logout(app: App, caller: Caller) -> Result<Done<Message>, Failure> {
    app.take_away_as(caller, sessions::end).await?;
    Ok(Done(Message::new(LOGGED_OUT)))
}

/// Sign out everywhere
///
/// Ends all sessions of the user, on all devices and all APIs.
#[endpoint(tags(TAG_AUTH))]
pub async fn logout_all(app: App, caller: Caller) -> Result<Done<Message>, Failure> {
    app.take_away_as(caller, sessions::end_own).await?;
    Ok(Done(Message::new(LOGGED_OUT_EVERYWHERE)))
}
