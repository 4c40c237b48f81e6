//! contactbook, `/api/email`: confirm an address by a mailed link.

use salvo::Writer;
use salvo::oapi::endpoint;

use super::{TAG_AUTH, pages};
use crate::app::App;
use crate::domain::auth::proofs::{self, Purpose};
use crate::error::Refusal;
use crate::http::answer::Failure;
use crate::http::input::{Fields, Input, Path, Valid};
use crate::http::pages::{Reader, Told};
use crate::http::rules::Token;

pub const CONFIRMED: &str = "Email confirmed";
pub const ALREADY_CONFIRMED: &str = "Your email is already confirmed";

/// The token of a link.
#[derive(Debug)]
struct EmailTokenPath {
    token: String,
}

impl Input for EmailTokenPath {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let token = fields.required("email_token", Token);
        Some(Self { token: token? })
    }
}

/// Confirm an e-mail address
///
/// The link of a letter. To a browser (`Accept: text/html`) it answers with a page that says the same. HEAD confirms
/// nothing.
#[endpoint(operation_id = "confirm_email", tags(TAG_AUTH))]
pub async fn confirm_email(
    app: App,
    reader: Reader,
    input: Valid<Path<EmailTokenPath>>,
) -> Result<Told, Failure> {
    let Path(EmailTokenPath { token }) = input.0;
    if !proofs::is_well_formed(&token) {
        return Err(Refusal::ProofMalformed.into());
    }
    let newly = if reader.only_looks {
        let now = app.clock.now();
        let user = app.db.read(|db| proofs::holder(db, Purpose::ConfirmEmail, &token, now))?;
        user.email_confirmed_at.is_none()
    } else {
        app.db.write(move |db| proofs::confirm_email(db, &token)).await?
    };
    let message = if newly { CONFIRMED } else { ALREADY_CONFIRMED };
    Ok(Told::to(reader, message, || pages::email_confirmed(newly)))
}
