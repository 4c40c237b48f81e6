//! contactbook, `/api/email`: confirm an address by a mailed link, or put the one before back.

use salvo::Writer;
use salvo::oapi::endpoint;

use super::auth::{PasswordByLink, TokenPath, set_password, show_form};
use super::{TAG_AUTH, pages};
use crate::app::App;
use crate::db::Room;
use crate::domain::auth::proofs::{self, Purpose};
use crate::error::Refusal;
use crate::http::answer::Failure;
use crate::http::extract::Address;
use crate::http::input::{Fields, Input, Path, Valid};
use crate::http::pages::{Reader, Shown, Told};
use crate::http::rules::{Rule, Token};

pub const CONFIRMED: &str = "Email confirmed";
pub const RESTORED: &str = "Address restored";
pub const ALREADY_CONFIRMED: &str = "Your email is already confirmed";

/// The token of a link.
#[derive(Debug)]
struct EmailTokenPath {
    token: String,
}

impl Input for EmailTokenPath {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let token = fields.required("email_token", Token.about("The token in the link of a letter."));
        Some(Self { token: token? })
    }
}

/// Confirm an e-mail address
///
/// The link in a letter leads here. To a browser (`Accept: text/html`) the answer is a page whose button confirms, so that
/// programs which follow links in mails confirm nothing. HEAD confirms nothing either.
#[endpoint(tags(TAG_AUTH))]
pub async fn confirm_email(
    app: App,
    reader: Reader,
    input: Valid<Path<EmailTokenPath>>,
) -> Result<Told, Failure> {
    let Path(EmailTokenPath { token }) = input.0;
    if !reader.only_looks && !reader.wants_html {
        return confirm(&app, reader, token).await;
    }
    let token = well_formed(token)?;
    let now = app.clock.now();
    let (user, _) = app.db.read(|db| proofs::holder(db, Purpose::ConfirmEmail, &token, now))?;
    let is_new = user.email_confirmed_at.is_none();
    Ok(told(reader, is_new, if is_new { pages::confirm_form } else { pages::email_already_confirmed }))
}

/// Confirm an e-mail address by the button of its page
///
/// The button of the page that a browser sees after the link in a letter. To a program the answer says the same.
#[endpoint(tags(TAG_AUTH))]
pub async fn confirm_email_by_button(
    app: App,
    reader: Reader,
    input: Valid<Path<EmailTokenPath>>,
) -> Result<Told, Failure> {
    let Path(EmailTokenPath { token }) = input.0;
    confirm(&app, reader, token).await
}

async fn confirm(app: &App, reader: Reader, token: String) -> Result<Told, Failure> {
    let token = well_formed(token)?;
    let is_new = app.db.write_in(Room::Reserve, move |db| proofs::confirm_email(db, &token)).await?;
    Ok(told(reader, is_new, if is_new { pages::email_confirmed } else { pages::email_already_confirmed }))
}

fn well_formed(token: String) -> Result<String, Refusal> {
    if proofs::is_well_formed(&token) { Ok(token) } else { Err(Refusal::ProofMalformed) }
}

fn told(reader: Reader, is_new: bool, page: fn() -> String) -> Told {
    Told::to(reader, if is_new { CONFIRMED } else { ALREADY_CONFIRMED }, page)
}

/// Show the page that puts an address back
///
/// The link in a letter about a new e-mail address leads here. The page needs no JavaScript, and changes nothing by
/// itself.
#[endpoint(tags(TAG_AUTH))]
pub async fn show_restore(app: App, input: Valid<Path<TokenPath>>) -> Result<Shown, Failure> {
    show_form(&app, Purpose::RestoreEmail, input, pages::restore_form)
}

/// Put an address back and set a new password
///
/// Undoes a change of the e-mail address, within seven days, whatever was changed since. Ends all sessions of the user. To
/// a browser (`Accept: text/html`) the answer is a page that says the same.
#[endpoint(tags(TAG_AUTH))]
pub async fn restore_email(
    app: App,
    reader: Reader,
    address: Address,
    input: PasswordByLink,
) -> Result<Told, Failure> {
    set_password(&app, Purpose::RestoreEmail, address, input).await?;
    Ok(Told::to(reader, RESTORED, pages::email_restored))
}
