//! App: the one state that handlers share.

use std::ops::Deref;
use std::sync::Arc;

use crate::budget::Budget;
use crate::clock::Clock;
use crate::config::{Config, Environment};
use crate::db::{self, Db, DirLock, Room, migrate};
use crate::domain::auth::{Auth, Caller, WriteAs};
use crate::domain::limits::Limiter;
use crate::domain::pictures::Studio;
use crate::domain::quota::Quotas;
use crate::error::Result;
use crate::http::body;
use crate::http::large::Answers;
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
    /// How much content each user may keep.
    pub quotas: Quotas,
    /// The thread that draws pictures.
    pub studio: Studio,
    /// Room for the bodies of requests that are not answered yet.
    pub body_room: Budget,
    /// Room for large answers that are being sent.
    pub answers: Answers,
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
        let limiter = Limiter::new(clock.clone());
        let auth = Auth::open(&config, &db, limiter.clone(), clock.clone())?;
        let mail = Mail::open(&config, db.clone(), clock.clone())?;
        let answers = Answers::new(config.server.workers());
        let studio = Studio::new()?;
        let quotas = Quotas::new(clock.clone(), config.users.quota_mb);
        let app = Self(Arc::new(State {
            config,
            clock,
            db,
            auth,
            mail,
            limiter,
            quotas,
            studio,
            body_room: Budget::new(body::ROOM_BYTES),
            answers,
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
        self.auth.write_as(&self.db, caller, Room::Free, f).await
    }

    /// The same for content of at most `bytes`, which counts towards the caller's quota.
    ///
    /// # Errors
    /// Those of [`Auth::write_as`]; `QuotaExceeded`.
    pub async fn store_as<T: Send + 'static>(
        &self,
        caller: Caller,
        bytes: u64,
        f: impl Fn(&WriteAs<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.quotas.admit(&self.db, caller.id(), bytes).await?;
        self.write_as(caller, f).await
    }

    /// The same for a write that takes away: that ends a session, takes a right, or deletes. It is done on a full disk, too.
    ///
    /// # Errors
    /// Those of [`Auth::write_as`].
    pub async fn take_away_as<T: Send + 'static>(
        &self,
        caller: Caller,
        f: impl Fn(&WriteAs<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.auth.write_as(&self.db, caller, Room::Reserve, f).await
    }

    /// Whether addresses under the reserved domain `.test` are taken.
    pub fn takes_test_domains(&self) -> bool {
        self.config.environment == Environment::Development
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
