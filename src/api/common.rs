//! What several APIs say alike: the form to sign in with, the tokens, and the pages of a list.

use salvo::oapi::ToSchema;
use serde::Serialize;

use crate::app::App;
use crate::domain::auth::passwords::Password;
use crate::domain::auth::proofs::Purpose;
use crate::domain::auth::{Caller, SignIn, Tokens};
use crate::domain::emails::Email;
use crate::domain::users::{Login, Patch, Role, User};
use crate::http::answer::{Failure, Page};
use crate::http::extract::Address;
use crate::http::input::{Fields, Input};
use crate::http::rules::{Cursor, GivenPassword, Rule, Token, integer, text};
use crate::http::validate::Broken;

/// The form that somebody signs in with (RFC 6749 §4.3.2); `username` is the e-mail address.
#[derive(Debug)]
pub struct LogIn {
    username: String,
    password: Password,
}

impl LogIn {
    /// The attempt, from this address.
    pub fn from(self, address: Address) -> SignIn {
        SignIn { login: Login::Email(self.username), password: self.password, address: address.0 }
    }
}

impl Input for LogIn {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let username =
            fields.required("username", text(0, usize::MAX, "ada@example.com").about("The e-mail address."));
        let password = fields.required("password", GivenPassword);
        Some(Self { username: username?, password: password? })
    }
}

/// What is to change of a user, and the password that a change of the address may need.
#[derive(Debug)]
pub struct UserChange {
    pub patch: Patch,
    pub current_password: Option<Password>,
}

impl UserChange {
    /// Reads the password beside the fields of the change.
    pub fn read(
        fields: &mut Fields<'_>,
        patch: impl FnOnce(&mut Fields<'_>) -> Option<Patch>,
    ) -> Option<Self> {
        let patch = patch(fields);
        let about = "The caller's own; needed for another e-mail address where the server asks for it.";
        let current_password = fields.optional("current_password", GivenPassword.about(about));
        Some(Self { patch: patch?, current_password: current_password? })
    }

    /// Sees that the user's address may change, before anything does: that the letters which this causes are within
    /// their limits, so that none of them has to be left out, and that the caller knows the password where that is
    /// asked for.
    pub async fn admit(&self, app: &App, caller: &Caller, from: Address, user: &User) -> Result<(), Failure> {
        let is_own = caller.id() == user.id;
        let new = self.patch.email.as_ref();
        let Some(new) = new.filter(|new| !new.as_str().eq_ignore_ascii_case(&user.email)) else {
            return Ok(());
        };
        if !is_own && caller.role() != Role::Admin {
            // Refused by the change itself, in its own words.
            return Ok(());
        }
        if is_own && app.config.auth.address_change_needs_password {
            let Some(password) = self.current_password.clone() else {
                return Err(Failure::at_field("current_password", Broken::missing()));
            };
            app.auth.confirm_password(&app.db, caller, password, from.0).await?;
        }
        let limits = app.auth.rate_limits();
        if caller.role() != Role::Admin {
            limits.new_email(from.0)?;
        }
        limits.letter(Purpose::ConfirmEmail, new)?;
        if let Ok(old) = Email::parse(&user.email, true) {
            limits.letter(Purpose::RestoreEmail, &old)?;
        }
        Ok(())
    }
}

/// A refresh token.
#[derive(Debug)]
pub struct Refresh {
    pub refresh_token: String,
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
    /// Gets the next pair.
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

/// Which part of a list.
#[derive(Debug)]
pub struct PageQuery {
    pub limit: i64,
    pub cursor: Option<i64>,
}

impl Input for PageQuery {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let limit = fields.or("limit", integer(1, 1000, 20).about("Most entries of the page."), 100);
        let cursor = fields.optional("cursor", Cursor);
        Some(Self { limit: limit?, cursor: cursor? })
    }
}

/// A page of what was found, of which one more than `limit` was asked for.
pub fn page<T, Out>(
    found: Vec<T>,
    limit: i64,
    id: impl Fn(&T) -> i64,
    out: impl FnMut(T) -> Out,
) -> Page<Vec<Out>> {
    page_by(found, limit, |last| Cursor::after(id(last)), out)
}

/// The same with cursors of one's own.
pub fn page_by<T, Out>(
    mut found: Vec<T>,
    limit: i64,
    cursor: impl Fn(&T) -> String,
    out: impl FnMut(T) -> Out,
) -> Page<Vec<Out>> {
    let limit = usize::try_from(limit).expect("a limit is between 1 and 1000");
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(cursor);
    Page { items: found.into_iter().map(out).collect(), next }
}
