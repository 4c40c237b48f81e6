//! store, `/store-managers`: sign up, sign in, sign out.

use salvo::Writer;
use salvo::oapi::{ToSchema, endpoint};
use serde::Serialize;
use uuid::Uuid;

use super::TAG_MANAGERS;
use crate::api::common::LoginForm;
use crate::app::App;
use crate::domain::auth::passwords::Password;
use crate::domain::auth::{Caller, sessions};
use crate::domain::emails::Email;
use crate::domain::users::{NewUser, User};
use crate::http::answer::{Created, Done, Failure, Message};
use crate::http::extract::Address;
use crate::http::forms::Form;
use crate::http::input::{Fields, Input, Json, Valid};
use crate::http::rules::{Rule, name};

pub const LOGGED_OUT: &str = "Logged out successfully";

/// A store manager, who is a user.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(example = json!({
    "id": "019a9d5e-6c1f-7c3b-8a54-3f0c1f4e2d10", "name": "Ada", "email": "ada@example.com",
})))]
pub struct ManagerOut {
    /// The user's UUID, as `store_manager_id` of their items and on the other APIs.
    id: Uuid,
    /// The name to be shown; several may have the same.
    name: String,
    /// The address for signing in and for letters.
    email: String,
}

impl From<User> for ManagerOut {
    fn from(user: User) -> Self {
        Self { id: user.uuid, name: user.display_name.unwrap_or_default(), email: user.email }
    }
}

/// A store manager to be.
#[derive(Debug)]
struct ManagerCreate {
    name: String,
    email: Email,
    password: Password,
}

impl Input for ManagerCreate {
    const ABOUT: &'static str = "A store manager who registers.";

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let name = fields
            .required("name", name(1, 64, "Ada").about("The name to be shown; several may have the same."));
        let email = fields.required("email", fields.email());
        let about =
            "The password in plain text, whatever the field is called. The name `password` is taken as well.";
        let password = fields.either("password_hash", "password", fields.new_password().about(about));
        let own = [email.as_ref().map_or("", Email::as_str)];
        let name_of_password = fields.came_by("password_hash", "password");
        let password = fields.refuse_own_name(name_of_password, password, &own);
        Some(Self { name: name?, email: email?, password: password? })
    }
}

/// A token to send with each request.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(example = json!({
    "access_token": "eyJ0eXAiOiJhdCtqd3QifQ.eyJ0eXAiOiJhY2Nlc3MifQ.c2lnbmF0dXJl", "token_type": "jwt",
})))]
struct AccessToken {
    /// Valid on all APIs; send it as `Authorization: Bearer …`.
    access_token: String,
    /// Always `jwt`, although the token is sent as a bearer token.
    token_type: &'static str,
}

/// Register a store manager
///
/// Creates a user, who may sign in at all APIs. `password_hash` is the password in plain text.
#[endpoint(tags(TAG_MANAGERS))]
pub async fn register(
    app: App,
    address: Address,
    input: Valid<Json<ManagerCreate>>,
) -> Result<Created<ManagerOut>, Failure> {
    let Json(given) = input.0;
    let new = NewUser { display_name: Some(given.name), ..NewUser::new(app.clock.new_id(), given.email) };
    let user = app.auth.sign_up(&app.db, new, given.password, address.0).await?;
    Ok(Created(user.into()))
}

/// Sign in
///
/// Takes a form in which `username` is the e-mail address. Send the token as `Authorization: Bearer …`, although
/// `token_type` says `jwt`. There is no refresh token.
#[endpoint(tags(TAG_MANAGERS))]
pub async fn login(
    app: App,
    address: Address,
    input: Valid<Form<LoginForm>>,
) -> Result<Done<AccessToken>, Failure> {
    let Form(given) = input.0;
    let tokens = app.auth.sign_in(&app.db, given.from(address), app.config.store.lifetimes()).await?;
    Ok(Done(AccessToken { access_token: tokens.access, token_type: "jwt" }))
}

/// Sign out
///
/// Ends the session: its token is no longer valid, on any API.
#[endpoint(tags(TAG_MANAGERS))]
pub async fn logout(app: App, caller: Caller) -> Result<Done<Message>, Failure> {
    app.take_away_as(caller, sessions::end).await?;
    Ok(Done(Message::new(LOGGED_OUT)))
}
