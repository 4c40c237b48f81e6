//! Configuration: every setting, typed and checked before anything starts.

mod apis;
mod load;
mod sections;
mod settings;
mod shown;
mod values;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use apis::{Bookshelf, Contactbook, Identity, Lifetimes, Limits, Store, Todolist};
pub use load::{Overrides, environment};
pub use sections::{
    AddressReaders, Auth, CommonPasswords, Db, Directory, Environment, ForwardedHeader, Log, LogAddresses,
    LogFormat, Mail, Server, SmtpTls, Transport, Users,
};
pub use settings::{is_loopback_origin, page_origin};
pub use values::{Host, Limit, Network, Networks, Secret};

use crate::error::Result;

/// All settings. The default runs a developer's machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What the server is for.
    pub environment: Environment,
    /// Where the server listens, and what one request may cost.
    pub server: Server,
    /// The database.
    pub db: Db,
    /// Sign-in.
    pub auth: Auth,
    /// bookshelf's tokens.
    pub bookshelf: Bookshelf,
    /// store's tokens.
    pub store: Store,
    /// todolist's tokens.
    pub todolist: Todolist,
    /// identity's tokens.
    pub identity: Identity,
    /// contactbook's tokens and limits.
    pub contactbook: Contactbook,
    /// What holds for users in all five APIs.
    pub users: Users,
    /// Letters.
    pub mail: Mail,
    /// The log.
    pub log: Log,
    /// The settings that differ from their defaults, in the order of `config.toml`.
    #[serde(skip)]
    pub changed: Vec<Changed>,
    /// A sentence for each variable that looks like one of ours and was not taken.
    #[serde(skip)]
    pub ignored: Vec<String>,
    /// Who gave the settings that were given.
    #[serde(skip)]
    pub sources: Sources,
}

/// Who gave a setting, by its key: the file, an environment variable or a flag.
#[derive(Clone, Debug, Default)]
pub struct Sources(BTreeMap<&'static str, String>);

/// Settings are the same whoever gave them.
impl PartialEq for Sources {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// A setting that is not its default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The key, such as `server.port`.
    pub key: &'static str,
    /// The value as it may be shown: a secret is not.
    pub value: String,
    /// The file, the environment variable or the flag that set it.
    pub source: String,
}

impl Config {
    /// Reads `file` (without one `config.toml` in the working directory, if it is there), then the variables
    /// `SATCHEL_<SECTION>__<KEY>` among `env`, then `flags`; the later wins.
    ///
    /// Every fault is one sentence: where it is, the key, the value and what is allowed. With
    /// `environment = "production"` these are faults as well, all of them told at once: a
    /// `server.public_url` that is not https (plain http is good for a loopback host only), letters
    /// into files without a `mail.directory`, a sender at localhost, a mail password without TLS to another
    /// host, argon2 below every set that OWASP's Password Storage Cheat Sheet names, and a trusted proxy
    /// that is everybody.
    pub fn load(
        file: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
        flags: &Overrides,
    ) -> Result<Self> {
        load::load(file, env, flags)
    }

    /// Who gave a setting; `None` when nobody did.
    pub fn source(&self, key: &str) -> Option<&str> {
        self.sources.0.get(key).map(String::as_str)
    }

    /// Every setting in force as TOML, and behind each who gave it. Secrets are not shown.
    pub fn to_toml(&self) -> String {
        shown::to_toml(self)
    }

    /// Whether real users are served.
    pub fn is_production(&self) -> bool {
        self.environment == Environment::Production
    }

    /// What becomes of common passwords: refused in production and taken in development, unless it is said.
    pub fn common_passwords(&self) -> CommonPasswords {
        let usual = if self.is_production() { CommonPasswords::Refuse } else { CommonPasswords::Allow };
        self.auth.common_passwords.unwrap_or(usual)
    }

    /// What links begin with, without a slash at the end. When `server.port` is 0, whoever binds the port must
    /// write it there first.
    pub fn public_url(&self) -> String {
        if !self.server.public_url.is_empty() {
            return String::from(self.server.public_url.trim_end_matches('/'));
        }
        self.local_url()
    }

    /// Where a program on the same machine finds the server.
    pub fn local_url(&self) -> String {
        format!("http://{}:{}", self.server.host.reached_at(), self.server.port)
    }

    /// The database file.
    pub fn database(&self) -> PathBuf {
        self.server.data.join("satchel.db")
    }

    /// The directory with the keys that sign tokens.
    pub fn keys(&self) -> PathBuf {
        self.server.data.join("keys")
    }

    /// How long a token of any API can be good, and a minute for a clock that is set back and a server that notices late: so
    /// long a key that no longer signs must verify.
    pub fn longest_token(&self) -> Duration {
        let apis = [
            self.bookshelf.lifetimes(),
            self.store.lifetimes(),
            self.todolist.lifetimes(),
            self.identity.lifetimes(),
            self.contactbook.lifetimes(),
        ];
        let longest = apis.map(Lifetimes::session).into_iter().max().unwrap_or_default();
        longest + Duration::from_secs(self.auth.leeway_seconds + 60)
    }

    /// Where letters are written when they become files.
    pub fn mail_directory(&self) -> PathBuf {
        if self.mail.directory.as_os_str().is_empty() {
            self.server.data.join("mail")
        } else {
            self.mail.directory.clone()
        }
    }
}
