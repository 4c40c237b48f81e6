//! bookshelf, `/auth`: register, sign in, refresh, sign out.

use salvo::Writer;
use salvo::oapi::{ToSchema, endpoint};
use serde::Serialize;

use super::TAG_AUTH;
use super::users::{ShowUser, add, refuse_own_name};
use crate::app::App;
use crate::domain::auth::passwords::Password;
use crate::domain::auth::{Caller, SignIn, Tokens, sessions};
use crate::domain::emails::Email;
use crate::domain::users::{NewUser, Role};
use crate::http::answer::{Created, Done, Failure, Message};
use crate::http::extract::Address;
use crate::http::input::{Fields, Form, Input, Json, Valid};
use crate::http::rules::{GivenPassword, NewPassword, Rule, Token, text, username};

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
    /// The user to be, with the role `user`, without a password.
    pub fn new_user(&self, app: &App) -> NewUser {
        NewUser {
            uuid: app.clock.new_id(),
            email: self.email.clone(),
            username: Some(self.username.clone()),
            first_name: Some(self.first_name.clone()),
            last_name: Some(self.last_name.clone()),
            password_hash: String::new(),
            role: Role::User,
            is_active: true,
        }
    }
}

impl Input for Register {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let username = fields.required("username", username(3, 50));
        let email = fields.required("email", fields.email());
        let first_name = fields.required("first_name", text(1, 100, "Ada"));
        let last_name = fields.required("last_name", text(1, 100, "Lovelace"));
        let password = fields.required("password", NewPassword);
        let (username, email, password) = refuse_own_name(fields, "password", username, email, password);
        Some(Self {
            username: username?,
            email: email?,
            first_name: first_name?,
            last_name: last_name?,
            password: password?,
        })
    }
}

/// What somebody signs in with; `username` is the e-mail address.
#[derive(Debug)]
struct LogIn {
    username: String,
    password: Password,
}

impl Input for LogIn {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let username =
            fields.required("username", text(0, usize::MAX, "ada@example.com").about("The e-mail address."));
        let password = fields.required("password", GivenPassword);
        Some(Self { username: username?, password: password? })
    }
}

/// A refresh token.
#[derive(Debug)]
struct Refresh {
    refresh_token: String,
}

impl Input for Refresh {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let refresh_token = fields.required("refresh_token", Token);
        Some(Self { refresh_token: refresh_token? })
    }
}

/// The tokens of a session.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(example = json!({
    "access_token": "eyJ0eXAiOiJhdCtqd3QifQ.eyJ0eXAiOiJhY2Nlc3MifQ.c2lnbmF0dXJl",
    "refresh_token": "eyJ0eXAiOiJKV1QifQ.eyJ0eXAiOiJyZWZyZXNoIn0.c2lnbmF0dXJl",
    "token_type": "bearer",
})))]
pub struct TokenPair {
    /// Opens every API; sent as `Authorization: Bearer …`.
    access_token: String,
    /// Gets the next pair, once.
    refresh_token: String,
    /// Always `bearer`.
    token_type: &'static str,
}

impl From<Tokens> for TokenPair {
    fn from(tokens: Tokens) -> Self {
        Self {
            access_token: tokens.access,
            refresh_token: tokens.refresh.unwrap_or_default(),
            token_type: "bearer",
        }
    }
}

/// Register a user
///
/// Makes a user with the role `user`. Whoever registered may sign in at every API.
#[endpoint(operation_id = "register_user", tags(TAG_AUTH))]
pub async fn register_user(app: App, input: Valid<Json<Register>>) -> Result<Created<ShowUser>, Failure> {
    let Json(given) = input.0;
    let user = add(&app, given.new_user(&app), given.password).await?;
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
    let given = SignIn { login: given.username, password: given.password, address: address.0 };
    let tokens = app.auth.sign_in(&app.db, given, app.config.bookshelf.lifetimes()).await?;
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
    app.db.write(move |db| sessions::end(db, &caller)).await?;
    Ok(Done(Message::new(LOGGED_OUT)))
}

/// Sign out everywhere
///
/// Ends every session of the caller, on every API.
#[endpoint(operation_id = "log_out_everywhere", tags(TAG_AUTH))]
pub async fn log_out_everywhere(app: App, caller: Caller) -> Result<Done<Message>, Failure> {
    app.db.write(move |db| sessions::end_all(db, caller.id())).await?;
    Ok(Done(Message::new(LOGGED_OUT_EVERYWHERE)))
}
