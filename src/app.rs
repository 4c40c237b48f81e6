//! App: the one state that handlers share.

use std::ops::Deref;
use std::sync::Arc;

use crate::clock::Clock;
use crate::config::{Config, Environment};
use crate::db::{self, Db, DirLock, migrate};
use crate::domain::auth::proofs::Purpose;
use crate::domain::auth::{Auth, Caller, WriteAs};
use crate::domain::emails::Email;
use crate::domain::limits::{Limiter, Who};
use crate::domain::pictures::Studio;
use crate::error::Result;
use crate::http::input::{Bodies, Limits};
use crate::mail::Mail;
use crate::watch::Watch;

/// The state. Clones share it.
#[derive(Clone, Debug)]
pub struct App(Arc<State>);

/// What [`App`] derefs to.
#[derive(Debug)]
pub struct State {
    /// The settings.
    pub config: Config,
    /// The time.
    pub clock: Clock,
    /// The database.
    pub db: Db,
    /// Sign-in.
    pub auth: Arc<Auth>,
    /// The way out for letters.
    pub mail: Arc<Mail>,
    /// How often who did what.
    pub limiter: Limiter,
    /// The thread that draws pictures.
    pub studio: Studio,
    /// Room for bodies that are being received.
    pub bodies: Bodies,
    /// Word of what has ended that the server cannot do without.
    pub watch: Watch,
    /// Held as long as the state lives: one server to a data directory.
    lock: DirLock,
}

impl Deref for App {
    type Target = State;

    fn deref(&self) -> &State {
        &self.0
    }
}

impl App {
    /// Takes the data directory, migrates the database if the settings say so, and opens it and the keys.
    pub fn open(config: Config, clock: Clock) -> Result<Self> {
        let lock = DirLock::acquire(&config.server.data, DirLock::SERVER)?;
        let path = config.database();
        if config.db.migrate_on_start {
            migrate::up(&path, &clock, None)?;
        }
        let watch = Watch::default();
        let options = db::Options { watch: watch.clone(), ..database_options(&config) };
        let db = Db::open(&options, clock.clone())?;
        let auth = Auth::open(&config.auth, &config.keys(), config.longest_token(), &db, clock.clone())?;
        let mail = Mail::open(&config, db.clone(), clock.clone())?;
        let (limiter, studio) = (Limiter::new(clock.clone()), Studio::new()?);
        let app = Self(Arc::new(State {
            config,
            clock,
            db,
            auth,
            mail,
            limiter,
            studio,
            bodies: Bodies::default(),
            watch,
            lock,
        }));
        app.lock.note(&app.auth.keys_stamp().to_string())?;
        Ok(app)
    }

    /// Takes a changed keyring over, and says in the lock's file which one is in force.
    ///
    /// # Errors
    /// A fault when the keys cannot be read: then the former ones stay in force.
    pub fn notice_keys(&self) -> Result<()> {
        self.auth.notice_keys()?;
        self.lock.note(&self.auth.keys_stamp().to_string())
    }

    /// Writes for a caller, whose authority is judged in the transaction.
    ///
    /// # Errors
    /// Those of [`Auth::write_as`].
    pub async fn write_as<T: Send + 'static>(
        &self,
        caller: Caller,
        f: impl Fn(&WriteAs<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.auth.write_as(&self.db, caller, f).await
    }

    /// Counts a letter to this mailbox.
    ///
    /// # Errors
    /// `RateLimited` when the mailbox has had enough of them.
    pub fn admit_letter(&self, purpose: Purpose, email: &Email) -> Result<()> {
        let limit = self.config.contactbook.limits.letters;
        self.limiter.take(purpose.word(), Who::mailbox(email), limit).map(drop)
    }

    /// What the settings say about input.
    pub fn limits(&self) -> Limits {
        Limits {
            body_max_bytes: self.config.server.body_max_bytes,
            bodies: self.bodies.clone(),
            test_domains: self.config.environment == Environment::Development,
        }
    }
}

/// How the settings want the database opened.
pub fn database_options(config: &Config) -> db::Options {
    let mut options = db::Options::new(config.database());
    options.readers = config.server.workers();
    options.scan_threads = config.db.scan_threads;
    options.queue = config.db.queue;
    options.group = config.db.group;
    options.max_pages = config.db.max_pages;
    options
}
