//! contactbook, `/api/auth`: sign up, sign in, refresh, ask for letters, set a new password.

use salvo::Writer;
use salvo::oapi::{ToSchema, endpoint};
use serde::Serialize;

use super::email::ALREADY_CONFIRMED;
use super::{TAG_AUTH, pages};
use crate::api::common::{LoginForm, TokenPair};
use crate::app::App;
use crate::domain::auth::passwords::{Password, Weakness};
use crate::domain::auth::proofs::{self, Purpose};
use crate::domain::emails::Email;
use crate::domain::letters;
use crate::domain::users::{self, NewUser, User};
use crate::error::Error;
use crate::http::answer::{Created, Done, Failure, Message};
use crate::http::extract::{Address, Anybody, BearerRefresh};
use crate::http::forms::{Form, JsonOrForm};
use crate::http::input::{Fields, Input, Json, Path, Valid};
use crate::http::pages::{Reader, Shown, Told};
use crate::http::rules::{Rule, Token, name};
use crate::http::validate::Broken;

pub const CHECK_FOR_CONFIRMATION: &str = "Check your email for confirmation.";
pub const CHECK_FOR_PASSWORD: &str = "Check your email for new password.";
pub const PASSWORD_UPDATED: &str = "Password updated";

/// What a user registers with.
#[derive(Debug)]
struct Register {
    username: String,
    email: Email,
    password: Password,
}

impl Input for Register {
    const ABOUT: &'static str = "A user who registers.";

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let about = "The name to be called by; others may have the same. Users sign in by their address.";
        let username = fields.required("username", name(5, 16, "ada.lovelace").about(about));
        let email = fields.required("email", fields.email());
        let password = fields.required("password", fields.new_password());
        let own = [email.as_ref().map_or("", Email::as_str), username.as_deref().unwrap_or_default()];
        let password = fields.refuse_own_name("password", password, &own);
        Some(Self { username: username?, email: email?, password: password? })
    }
}

/// A user who has just registered.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(example = json!({
    "id": 1, "username": "ada.lovelace", "email": "ada@example.com", "created_at": "2026-11-21T05:06:39.560803",
})))]
struct UserOut {
    /// A number that identifies the user; it never changes.
    id: i64,
    /// The name to be called by; others may have the same.
    username: String,
    /// The address for signing in, to which the letter goes.
    email: String,
    /// When the user registered, in UTC, without a zone.
    created_at: String,
}

impl From<User> for UserOut {
    fn from(user: User) -> Self {
        Self {
            id: user.id.0,
            username: user.display_name.clone().unwrap_or_else(|| user.shown_username()),
            created_at: user.created_at.naive(),
            email: user.email,
        }
    }
}

/// The user who was created.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(example = json!({
    "user": {
        "id": 1, "username": "ada.lovelace", "email": "ada@example.com", "created_at": "2026-11-21T05:06:39.560803",
    },
    "detail": "Successfully created",
})))]
struct Registered {
    user: UserOut,
    /// What was done, in one sentence.
    detail: &'static str,
}

/// An address to send a letter to.
#[derive(Debug)]
struct EmailRequest(Email);

impl Input for EmailRequest {
    const ABOUT: &'static str = "Where the letter goes, if the address is a user's.";

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        fields.required("email", fields.email()).map(Self)
    }
}

/// The token of a link.
#[derive(Debug)]
pub struct TokenPath {
    token: String,
}

impl Input for TokenPath {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let token = fields.required("token", Token.about("The token in the link of a letter."));
        Some(Self { token: token? })
    }
}

/// A password to be set.
#[derive(Debug)]
pub struct PasswordReset(Password);

impl Input for PasswordReset {
    const ABOUT: &'static str = "The password that the user has from now on.";

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        fields.required(pages::NEW_PASSWORD, fields.new_password()).map(Self)
    }
}

/// Register a user
///
/// A letter asks the user to confirm the address. Before that the user cannot sign in, at any API.
#[endpoint(tags(TAG_AUTH))]
pub async fn register(
    app: App,
    address: Address,
    input: Valid<Json<Register>>,
) -> Result<Created<Registered>, Failure> {
    let Json(given) = input.0;
    let new = NewUser {
        display_name: Some(given.username),
        confirm_required: true,
        ..NewUser::new(app.clock.new_id(), given.email)
    };
    let user = app.auth.sign_up(&app.db, new, given.password, address.0).await?;
    Ok(Created(Registered { user: user.into(), detail: "Successfully created" }))
}

/// Sign in, once the address is confirmed
///
/// Takes a form in which `username` is the e-mail address, and begins a session: a pair of tokens.
#[endpoint(tags(TAG_AUTH))]
pub async fn login(
    app: App,
    address: Address,
    input: Valid<Form<LoginForm>>,
) -> Result<Done<TokenPair>, Failure> {
    let Form(given) = input.0;
    let tokens = app.auth.sign_in(&app.db, given.from(address), app.config.contactbook.lifetimes()).await?;
    Ok(Done(tokens.into()))
}

/// Get new tokens for a refresh token
///
/// Takes the refresh token as `Authorization: Bearer …`. It is valid once; sent again later, it ends the whole session.
#[endpoint(tags(TAG_AUTH))]
pub async fn refresh(app: App, given: BearerRefresh) -> Result<Done<TokenPair>, Failure> {
    let tokens = app.auth.refresh(&app.db, &given.0, app.config.contactbook.lifetimes()).await?;
    Ok(Done(tokens.into()))
}

/// Ask for a letter to confirm an address
///
/// The answer is the same whether or not the address is a user's. To a user who is signed in and has confirmed it,
/// it says so.
#[endpoint(tags(TAG_AUTH))]
pub async fn request_confirmation(
    app: App,
    who: Anybody,
    input: Valid<Json<EmailRequest>>,
) -> Result<Done<Message>, Failure> {
    let Json(EmailRequest(email)) = input.0;
    if let Some(caller) = who.0.filter(crate::domain::auth::Caller::is_confirmed)
        && app.db.read(|db| users::own(db, &caller))?.email.eq_ignore_ascii_case(email.as_str())
    {
        return Ok(Done(Message::new(ALREADY_CONFIRMED)));
    }
    post(&app, Purpose::ConfirmEmail, email).await?;
    Ok(Done(Message::new(CHECK_FOR_CONFIRMATION)))
}

/// Ask for a letter to set a new password
///
/// The answer is the same whether or not the address is a user's, and nothing changes before the link in the letter is
/// used.
#[endpoint(tags(TAG_AUTH))]
pub async fn request_reset(app: App, input: Valid<Json<EmailRequest>>) -> Result<Done<Message>, Failure> {
    let Json(EmailRequest(email)) = input.0;
    post(&app, Purpose::ResetPassword, email).await?;
    Ok(Done(Message::new(CHECK_FOR_PASSWORD)))
}

/// Posts a letter that somebody asked for, unless the address has been sent enough of them: whoever asks from many
/// places fills nobody's mailbox, and is not told.
async fn post(app: &App, purpose: Purpose, email: Email) -> Result<(), Failure> {
    match app.auth.rate_limits().letter(purpose, &email) {
        Ok(()) => Ok(app.db.write(move |db| letters::post(db, purpose, &email)).await?),
        Err(Error::Refusal(_)) => Ok(()),
        Err(fault) => Err(fault.into()),
    }
}

/// Show the page to set a new password
///
/// The link in a letter leads here. The page needs no JavaScript, and does not use up the link.
#[endpoint(tags(TAG_AUTH))]
pub async fn show_reset(app: App, input: Valid<Path<TokenPath>>) -> Result<Shown, Failure> {
    show_form(&app, Purpose::ResetPassword, input, pages::reset_form)
}

/// Shows the form of a link that is good for this purpose, and uses nothing up.
pub fn show_form(
    app: &App,
    purpose: Purpose,
    input: Valid<Path<TokenPath>>,
    form: fn() -> String,
) -> Result<Shown, Failure> {
    let Path(TokenPath { token }) = input.0;
    let now = app.clock.now();
    app.db.read(|db| proofs::holder(db, purpose, &token, now))?;
    Ok(Shown(form()))
}

/// Set a new password
///
/// Ends all sessions of the user. To a browser (`Accept: text/html`) the answer is a page that says the same.
#[endpoint(tags(TAG_AUTH))]
pub async fn reset_password(
    app: App,
    reader: Reader,
    address: Address,
    input: PasswordByLink,
) -> Result<Told, Failure> {
    set_password(&app, Purpose::ResetPassword, address, input).await?;
    Ok(Told::to(reader, PASSWORD_UPDATED, pages::password_updated))
}

/// A link's token, and the password to be set by it.
pub type PasswordByLink = Valid<(Path<TokenPath>, JsonOrForm<PasswordReset>)>;

/// Sets a password by the link of a letter for this purpose, with what else that does.
pub async fn set_password(
    app: &App,
    purpose: Purpose,
    address: Address,
    input: PasswordByLink,
) -> Result<(), Failure> {
    let (Path(TokenPath { token }), JsonOrForm(PasswordReset(new))) = input.0;
    let unfit = |weakness: Weakness| Failure::at_field(pages::NEW_PASSWORD, Broken::password(weakness));
    app.auth.set_password_by_proof(&app.db, purpose, token, new, address.0, unfit).await
}
