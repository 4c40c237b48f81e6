//! What several APIs say alike: the form to sign in with, the tokens, and the pages of a list.

use salvo::oapi::ToSchema;
use serde::Serialize;

use crate::domain::auth::passwords::Password;
use crate::domain::auth::{SignIn, Tokens};
use crate::domain::users::Login;
use crate::http::answer::Page;
use crate::http::extract::Address;
use crate::http::input::{Fields, Input};
use crate::http::rules::{Cursor, GivenPassword, Rule, Token, integer, text};

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
#[derive(Debug, Default, Serialize, ToSchema)]
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
