//! What several APIs say alike: the form to sign in with, the tokens, and the pages of a list.

use salvo::oapi::ToSchema;
use serde::Serialize;

use crate::app::App;
use crate::db::Read;
use crate::domain::auth::passwords::Password;
use crate::domain::auth::proofs::Purpose;
use crate::domain::auth::{Caller, SignIn, Tokens};
use crate::domain::emails::Email;
use crate::domain::users::{Login, Patch, Role, User};
use crate::error::Result;
use crate::http::answer::{Failure, write_json, written};
use crate::http::extract::Address;
use crate::http::input::{Fields, Input};
use crate::http::large::{PAGE_BYTES_MAX, Page, Taken};
use crate::http::rules::{Cursor, GivenPassword, PasswordGrant, Rule, Token, integer, text};
use crate::http::validate::Broken;

/// The form that somebody signs in with (RFC 6749 §4.3.2); `username` is the e-mail address.
#[derive(Debug)]
pub struct LoginForm {
    username: String,
    password: Password,
}

impl LoginForm {
    /// The attempt, from this address.
    pub fn from(self, address: Address) -> SignIn {
        SignIn { login: Login::Email(self.username), password: self.password, address: address.0 }
    }
}

impl Input for LoginForm {
    const ABOUT: &'static str = "What a user signs in with (RFC 6749 §4.3.2).";

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let grant = fields.optional("grant_type", PasswordGrant);
        let username = fields.required(
            "username",
            text(0, usize::MAX, "ada@example.com")
                .about("The user's e-mail address, whatever the field is called."),
        );
        let password = fields.required("password", GivenPassword);
        grant?;
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
        let about =
            "The caller's own password. Needed for another e-mail address, where the server asks for it.";
        let current_password = fields.optional("current_password", GivenPassword.about(about));
        Some(Self { patch: patch?, current_password: current_password? })
    }

    /// Sees that the address of the user may change, before anything does: that the letters which this causes are within
    /// their limits, so that none of them has to be left out, and that the caller knows the password where that is
    /// asked for.
    pub async fn admit(
        &self,
        app: &App,
        caller: &Caller,
        from: Address,
        user: impl FnOnce(&Read) -> Result<User>,
    ) -> Result<(), Failure> {
        let Some(new) = &self.patch.email else { return Ok(()) };
        let user = app.db.read(|db| user(db))?;
        if new.as_str().eq_ignore_ascii_case(&user.email) {
            return Ok(());
        }
        let is_own = caller.id() == user.id;
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
pub struct TokenRefresh {
    pub refresh_token: String,
}

impl Input for TokenRefresh {
    const ABOUT: &'static str = "The refresh token to be exchanged for new tokens.";

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let refresh_token =
            fields.required("refresh_token", Token.about("The newest `refresh_token` of the session."));
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
    /// Valid on all APIs for a short time; send it as `Authorization: Bearer …`.
    access_token: String,
    /// Gets the next pair of tokens, once the access token has expired.
    refresh_token: String,
    /// Always `bearer`: how the access token is sent.
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
        let limit =
            fields.or("limit", integer(1, 1000, 20).about("How many entries the page has at most."), 100);
        let cursor = fields.optional("cursor", Cursor);
        Some(Self { limit: limit?, cursor: cursor? })
    }
}

/// A page of what was found, of which one more than `limit` was asked for: a list. It ends early rather than be longer than
/// 512 KiB.
///
/// # Errors
/// `Busy` when there is no room for it.
pub fn page<T, Out: Serialize>(
    room: Taken,
    found: Vec<T>,
    limit: i64,
    id: impl Fn(&T) -> i64,
    mut out: impl FnMut(T) -> Out,
) -> Result<Page<Vec<Out>>> {
    let put = |json: &mut Vec<u8>, row| write_json(json, &out(row));
    page_of(room, found, limit, ["[", "]"], (id, Cursor::after), put)
}

/// The same, but with text before and after the rows other than a list's, and cursors made of the place of a row. `put` writes
/// a row.
///
/// # Errors
/// `Busy` when there is no room for it.
pub fn page_of<T, Place: Copy, Whole>(
    room: Taken,
    found: Vec<T>,
    limit: i64,
    [open, close]: [&str; 2],
    (place, cursor): (impl Fn(&T) -> Place, impl FnOnce(Place) -> String),
    mut put: impl FnMut(&mut Vec<u8>, T),
) -> Result<Page<Whole>> {
    let limit = usize::try_from(limit).expect("a limit is between 1 and 1000");
    let count = found.len();
    let (mut shown, mut last) = (0, None);
    let json = written(|json| {
        json.extend_from_slice(open.as_bytes());
        for row in found.into_iter().take(limit) {
            let (end, at) = (json.len(), place(&row));
            if shown > 0 {
                json.push(b',');
            }
            put(json, row);
            if shown > 0 && json.len() + close.len() > PAGE_BYTES_MAX {
                json.truncate(end);
                break;
            }
            (shown, last) = (shown + 1, Some(at));
        }
        json.extend_from_slice(close.as_bytes());
    });
    let next = last.filter(|_| count > shown).map(cursor);
    Ok(Page::new(room.hold(json)?, next))
}
