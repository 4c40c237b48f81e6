//! Sections of the five APIs: how long their tokens are good, and the limits of their routes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::sections::{DAY, HOUR, MINUTE};
use super::values::Limit;

/// How long the tokens of one API are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// An access token.
    pub access: Duration,
    /// A refresh token, where the API has such.
    pub refresh: Option<Duration>,
    /// Whether a refresh token stays good when it is used, as this API's clients keep theirs.
    pub keeps_refresh: bool,
}

impl Lifetimes {
    /// A session: as long as its longest token.
    pub fn session(self) -> Duration {
        self.refresh.map_or(self.access, |refresh| refresh.max(self.access))
    }
}

/// bookshelf's tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bookshelf {
    /// How long an access token is good, in minutes, 1–1,440.
    pub access_minutes: u64,
    /// How long a refresh token is good, in days, 1–365.
    pub refresh_days: u64,
}

impl Default for Bookshelf {
    fn default() -> Self {
        Self { access_minutes: 30, refresh_days: 7 }
    }
}

impl Bookshelf {
    /// How long its tokens are good.
    pub const fn lifetimes(&self) -> Lifetimes {
        Lifetimes {
            access: Duration::from_secs(self.access_minutes * MINUTE),
            refresh: Some(Duration::from_secs(self.refresh_days * DAY)),
            keeps_refresh: false,
        }
    }
}

/// store's tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// How long an access token is good, in hours, 1–168.
    pub access_hours: u64,
}

impl Default for Store {
    fn default() -> Self {
        Self { access_hours: 24 }
    }
}

impl Store {
    /// How long its tokens are good.
    pub const fn lifetimes(&self) -> Lifetimes {
        Lifetimes {
            access: Duration::from_secs(self.access_hours * HOUR),
            refresh: None,
            keeps_refresh: false,
        }
    }
}

/// todolist's tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Todolist {
    /// How long an access token is good, in hours, 1–168.
    pub access_hours: u64,
}

impl Default for Todolist {
    fn default() -> Self {
        Self { access_hours: 24 }
    }
}

impl Todolist {
    /// How long its tokens are good.
    pub const fn lifetimes(&self) -> Lifetimes {
        Lifetimes {
            access: Duration::from_secs(self.access_hours * HOUR),
            refresh: None,
            keeps_refresh: false,
        }
    }
}

/// identity's tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Identity {
    /// How long an access token is good, in minutes, 1–1,440.
    pub access_minutes: u64,
    /// How long a refresh token is good, in days, 1–365.
    pub refresh_days: u64,
    /// Whether a refresh spends the token, as it does everywhere else; identity's clients keep theirs.
    pub rotate_refresh: bool,
}

impl Default for Identity {
    fn default() -> Self {
        Self { access_minutes: 15, refresh_days: 7, rotate_refresh: false }
    }
}

impl Identity {
    /// How long its tokens are good.
    pub const fn lifetimes(&self) -> Lifetimes {
        Lifetimes {
            access: Duration::from_secs(self.access_minutes * MINUTE),
            refresh: Some(Duration::from_secs(self.refresh_days * DAY)),
            keeps_refresh: !self.rotate_refresh,
        }
    }
}

/// contactbook's tokens and the limits of its routes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Contactbook {
    /// How long an access token is good, in minutes, 1–1,440.
    pub access_minutes: u64,
    /// How long a refresh token is good, in days, 1–365.
    pub refresh_days: u64,
    /// How often a caller may use each route.
    pub limits: Limits,
}

impl Default for Contactbook {
    fn default() -> Self {
        Self { access_minutes: 15, refresh_days: 7, limits: Limits::default() }
    }
}

impl Contactbook {
    /// How long its tokens are good.
    pub const fn lifetimes(&self) -> Lifetimes {
        Lifetimes {
            access: Duration::from_secs(self.access_minutes * MINUTE),
            refresh: Some(Duration::from_secs(self.refresh_days * DAY)),
            keeps_refresh: false,
        }
    }
}

/// How often a caller (the user, else the client's address) may use each of contactbook's routes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Whether any of them holds: without it all are off.
    pub enabled: bool,
    /// `POST /api/auth/signup`.
    pub signup: Limit,
    /// `POST /api/auth/login`.
    pub login: Limit,
    /// `GET /api/auth/refresh_token`.
    pub refresh_token: Limit,
    /// `POST /api/auth/request_email`.
    pub request_email: Limit,
    /// `POST /api/auth/reset_pwd`.
    pub request_reset: Limit,
    /// `GET /api/auth/reset_pwd/{token}`.
    pub show_reset: Limit,
    /// `POST /api/auth/reset_pwd/{token}`.
    pub reset_password: Limit,
    /// `GET /api/email/confirm/{email_token}`.
    pub confirm_email: Limit,
    /// `GET /api/contacts/`.
    pub list_contacts: Limit,
    /// `POST /api/contacts/`.
    pub create_contact: Limit,
    /// `GET /api/contacts/bd`.
    pub list_birthdays: Limit,
    /// `GET /api/contacts/{query}`.
    pub find_contact: Limit,
    /// `PUT /api/contacts/{contact_id}`.
    pub update_contact: Limit,
    /// `DELETE /api/contacts/{contact_id}`.
    pub delete_contact: Limit,
    /// `PATCH /api/contacts/{contact_id}/avatar`.
    pub update_avatar: Limit,
    /// Letters of a kind to one address, whoever asks; who asks for more is not told.
    pub letters: Limit,
}

impl Limits {
    /// None holds.
    pub const OFF: Self = Self {
        enabled: false,
        signup: Limit::Off,
        login: Limit::Off,
        refresh_token: Limit::Off,
        request_email: Limit::Off,
        request_reset: Limit::Off,
        show_reset: Limit::Off,
        reset_password: Limit::Off,
        confirm_email: Limit::Off,
        list_contacts: Limit::Off,
        create_contact: Limit::Off,
        list_birthdays: Limit::Off,
        find_contact: Limit::Off,
        update_contact: Limit::Off,
        delete_contact: Limit::Off,
        update_avatar: Limit::Off,
        letters: Limit::Off,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            enabled: true,
            signup: Limit::per_minute(2),
            login: Limit::per_minute(10),
            refresh_token: Limit::per_minute(10),
            request_email: Limit::per_minute(2),
            request_reset: Limit::per_minute(2),
            show_reset: Limit::per_minute(10),
            reset_password: Limit::per_minute(10),
            confirm_email: Limit::per_minute(10),
            list_contacts: Limit::per_minute(10),
            create_contact: Limit::per_minute(2),
            list_birthdays: Limit::per_minute(10),
            find_contact: Limit::per_minute(10),
            update_contact: Limit::per_minute(10),
            delete_contact: Limit::per_minute(10),
            update_avatar: Limit::per_minute(10),
            letters: Limit::Rate { count: 10, per_seconds: 3_600 },
        }
    }
}
