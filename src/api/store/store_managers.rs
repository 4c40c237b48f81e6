//! store, `/store-managers`: sign up, sign in, sign out.

use salvo::Writer;
use salvo::oapi::{ToSchema, endpoint};
use serde::Serialize;
use uuid::Uuid;

use super::TAG_MANAGERS;
use crate::api::common::LogIn;
use crate::app::App;
use crate::domain::auth::passwords::Password;
use crate::domain::auth::{Caller, sessions};
use crate::domain::emails::Email;
use crate::domain::users::{NewUser, User};
use crate::http::answer::{Created, Done, Failure, Message};
use crate::http::extract::Address;
use crate::http::forms::Form;
use crate::http::input::{Fields, Input, Json, Valid};
use crate::http::rules::{NewPassword, Rule, name};

pub const LOGGED_OUT: &str = "Logged out successfully";

/// A store manager: a user.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(example = json!({
    "id": "019a9d5e-6c1f-7c3b-8a54-3f0c1f4e2d10", "name": "Ada", "email": "ada@example.com",
})))]
pub struct StoreManager {
    id: Uuid,
    name: String,
    email: String,
}

impl From<User> for StoreManager {
    fn from(user: User) -> Self {
        Self { id: user.uuid, name: user.display_name.unwrap_or_default(), email: user.email }
    }
}

/// A store manager to be.
#[derive(Debug)]
struct StoreManagerCreate {
    name: String,
    email: Email,
    password: Password,
}

impl Input for StoreManagerCreate {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let name = fields.required("name", name(1, 64, "Ada"));
        let email = fields.required("email", fields.email());
        let about =
            "The plain password: this name is what this API's clients send it by. `password` will do, too.";
        let password = fields.either("password_hash", "password", NewPassword.about(about));
        let own = [email.as_ref().map_or("", Email::as_str)];
        let name_of_password = fields.came_by("password_hash", "password");
        let password = fields.refuse_own_name(name_of_password, password, &own);
        Some(Self { name: name?, email: email?, password: password? })
    }
}

/// An access token.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(example = json!({
    "access_token": "eyJ0eXAiOiJhdCtqd3QifQ.eyJ0eXAiOiJhY2Nlc3MifQ.c2lnbmF0dXJl", "token_type": "jwt",
})))]
struct AccessToken {
    /// Opens every API; sent as `Authorization: Bearer …`.
    access_token: String,
    /// Always `jwt`.
    token_type: &'static str,
}

/// Sign up as a store manager
///
/// Makes a user, who may sign in at every API. `password_hash` is the plain password.
#[endpoint(operation_id = "create_store_manager", tags(TAG_MANAGERS))]
pub async fn create_store_manager(
    app: App,
    address: Address,
    input: Valid<Json<StoreManagerCreate>>,
) -> Result<Created<StoreManager>, Failure> {
    let Json(given) = input.0;
    let new = NewUser { display_name: Some(given.name), ..NewUser::new(app.clock.new_id(), given.email) };
    let user = app.auth.sign_up(&app.db, new, given.password, address.0).await?;
    Ok(Created(user.into()))
}

/// Sign in
///
/// Takes a form in which `username` is the e-mail address. The token is sent as `Authorization: Bearer …`,
/// whatever `token_type` says; there is no refresh token.
#[endpoint(operation_id = "create_token", tags(TAG_MANAGERS))]
pub async fn create_token(
    app: App,
    address: Address,
    input: Valid<Form<LogIn>>,
) -> Result<Done<AccessToken>, Failure> {
    let Form(given) = input.0;
    let tokens = app.auth.sign_in(&app.db, given.from(address), app.config.store.lifetimes()).await?;
    Ok(Done(AccessToken { access_token: tokens.access, token_type: "jwt" }))
}

/// Sign out
///
/// Ends the session of the token.
#[endpoint(operation_id = "log_out_store_manager", tags(TAG_MANAGERS))]
pub async fn log_out_store_manager(app: App, caller: Caller) -> Result<Done<Message>, Failure> {
    app.take_away_as(caller, sessions::end).await?;
    Ok(Done(Message::new(LOGGED_OUT)))
}
