//! Sign-in: who a caller is. Every API's auth routes are words around this room.
//!
//! A request's token is checked in this order: signature, time and kind; then the user's state and epoch;
//! then whether the session has ended. What was found out is remembered (see `known`), and forgotten before
//! the change that makes it untrue is answered.

mod authority;
pub mod keys;
mod known;
pub mod passwords;
pub mod proofs;
mod rate_limits;
pub mod sessions;
mod sign_in;
mod throttle;
pub mod tokens;
mod weakness;

use std::sync::{Arc, RwLock};
use std::time::Duration;

use serde_json::Value;
use uuid::Uuid;

pub use self::authority::WriteAs;
use self::keys::Keyring;
use self::known::Known;
use self::passwords::Hasher;
pub use self::rate_limits::RateLimits;
pub use self::sign_in::{SignIn, Tokens};
pub use self::throttle::forget_familiar_addresses;
use self::tokens::{Bad, Claims, Kind, Names};
use super::limits::Limiter;
use super::users::{Role, UserId};
use super::{accounts, letters};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::db::{Change, Db, Room};
use crate::error::{Refusal, Result};

/// How far the clock may be set back while tokens that were just given stay good: their `nbf` is so much before
/// their `iat`. `exp` is exact.
const CLOCK_BACK_SECONDS: i64 = 60;

/// A user who proved who he is with an access token. Only this room makes one.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    id: UserId,
    uuid: Uuid,
    role: Role,
    session: Uuid,
    epoch: i64,
    confirmed: bool,
    must_be_confirmed: bool,
    /// The version of the user's state that all this was read under.
    state_version: u64,
}

impl Caller {
    /// The user's number.
    pub fn id(&self) -> UserId {
        self.id
    }

    /// The user's public id.
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// What the user may.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Whether the user's address is confirmed.
    pub fn is_confirmed(&self) -> bool {
        self.confirmed
    }

    /// The same caller, whose address must be confirmed in whatever follows.
    ///
    /// # Errors
    /// `TokenOfUnconfirmed` when it is not.
    pub fn confirmed_only(self) -> Result<Self> {
        if self.confirmed {
            Ok(Self { must_be_confirmed: true, ..self })
        } else {
            Err(Refusal::TokenOfUnconfirmed.into())
        }
    }

    /// Refuses whoever is no administrator.
    ///
    /// # Errors
    /// `AdminRequired`.
    pub fn require_admin(&self) -> Result<()> {
        match self.role {
            Role::Admin => Ok(()),
            Role::Moderator | Role::User => Err(Refusal::AdminRequired.into()),
        }
    }
}

/// The right to administer users in one transaction: an administrator's, made by [`WriteAs::admin`], or that of
/// whoever runs the binary.
#[derive(Clone, Copy, Debug)]
pub struct Admin(Option<UserId>);

impl Admin {
    /// The operator at the machine, who has the files anyway.
    pub fn operator() -> Self {
        Self(None)
    }

    /// Whether the administrator is this user.
    pub fn is(&self, user: UserId) -> bool {
        self.0 == Some(user)
    }
}

/// The room's state: keys, hashing threads, and what is known of tokens.
#[derive(Debug)]
pub struct Auth {
    clock: Clock,
    settings: config::Auth,
    common_passwords: config::CommonPasswords,
    names: Names,
    keys: Keys,
    hasher: Hasher,
    rate_limits: RateLimits,
    known: Arc<Known>,
}

/// The keyring that is in force, and where it is read from.
#[derive(Debug)]
struct Keys {
    directory: std::path::PathBuf,
    keep: Duration,
    ring: RwLock<(Arc<Keyring>, keys::Stamp)>,
}

impl Auth {
    /// Opens the keyring (its first key is made here) and listens to `db` for what must be forgotten. A
    /// retired key verifies for as long as a token of any API can be good.
    pub fn open(config: &Config, db: &Db, limiter: Limiter, clock: Clock) -> Result<Arc<Self>> {
        let (settings, longest_token) = (&config.auth, config.longest_token());
        let key_directory = &config.keys();
        if !key_directory.exists() {
            Keyring::open(key_directory, &clock, longest_token)?;
        }
        // Before the keyring is read: a rotation that comes between is noticed later.
        let stamp = keys::stamp(key_directory)?;
        let ring = Keyring::open(key_directory, &clock, longest_token)?;
        let known = Arc::new(Known::new(settings.token_cache, &clock.random()));
        let listener = known.clone();
        db.on_change(move |change| match change {
            Change::Keys(users) => users.iter().for_each(|user| listener.forget(*user)),
            Change::Foreign => listener.forget_all(),
        });
        let hasher = Hasher::new(hasher_settings(settings), clock.clone())?;
        Ok(Arc::new(Self {
            names: Names {
                issuer: settings.issuer.clone(),
                audience: settings.audience.clone(),
                leeway_seconds: settings.leeway_seconds.cast_signed(),
            },
            keys: Keys {
                directory: key_directory.to_owned(),
                keep: longest_token,
                ring: RwLock::new((Arc::new(ring), stamp)),
            },
            settings: settings.clone(),
            common_passwords: config.common_passwords(),
            clock,
            hasher,
            rate_limits: RateLimits::new(config, limiter),
            known,
        }))
    }

    /// The threads that hash passwords.
    pub fn hasher(&self) -> &Hasher {
        &self.hasher
    }

    /// The limits that hold over all APIs.
    pub fn rate_limits(&self) -> &RateLimits {
        &self.rate_limits
    }

    /// Says who sent this access token. Costs a signature check and a point read once, a look-up afterwards.
    pub fn authenticate(&self, db: &Db, token: &str) -> Result<Caller> {
        let now = self.clock.now();
        let digest = self.known.digest(token);
        let found = self.known.find(digest, now, self.names.leeway_seconds);
        if let known::Found::Caller(caller) = found {
            return Ok(caller);
        }
        let (claims, keys_version) = match found {
            known::Found::Claims(claims, version) => (claims, version),
            _ => {
                let version = self.known.keys_version();
                let claims =
                    tokens::verify(&self.ring(), &self.names, token, now).map_err(|bad| match bad {
                        Bad::Expired => Refusal::TokenExpired,
                        Bad::Undecodable => Refusal::TokenInvalid,
                    })?;
                (Arc::new(claims), version)
            }
        };
        if claims.typ != Kind::Access {
            return Err(Refusal::TokenInvalid.into());
        }
        // The version is taken before the state is read: a change that comes between makes it stale.
        let state_version = self.known.state_version(claims.sub);
        let require_confirmed = self.settings.require_confirmed_email;
        let caller =
            db.read(|db| sessions::caller(db, claims.sub, claims.sid, claims.epoch, require_confirmed))?;
        let caller = Caller { state_version, ..caller };
        self.known.remember(digest, claims, caller, keys_version, state_version, now);
        Ok(caller)
    }

    /// The public keys as a JWK set (RFC 7517 §5).
    pub fn jwks(&self) -> Value {
        self.ring().jwks()
    }

    fn ring(&self) -> Arc<Keyring> {
        self.keys.ring.read().unwrap_or_else(|poisoned| poisoned.into_inner()).0.clone()
    }

    /// Reads the keyring again if its directory has changed, and drops what the old one vouched for.
    pub fn notice_keys(&self) -> Result<()> {
        let stamp = keys::stamp(&self.keys.directory)?;
        if self.keys.ring.read().unwrap_or_else(|poisoned| poisoned.into_inner()).1 == stamp {
            return Ok(());
        }
        let ring = Keyring::open(&self.keys.directory, &self.clock, self.keys.keep)?;
        *self.keys.ring.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = (Arc::new(ring), stamp);
        self.known.keys_changed();
        tracing::info!("signing keys read again");
        Ok(())
    }

    /// The fingerprint of the keyring that is in force.
    pub fn keys_stamp(&self) -> keys::Stamp {
        self.keys.ring.read().unwrap_or_else(|poisoned| poisoned.into_inner()).1.clone()
    }

    /// Writes down who was seen since this was last done. What cannot be written now is kept for the next time.
    pub async fn note_activity(&self, db: &Db) -> Result<()> {
        let seen = Arc::new(self.known.take_seen());
        if seen.is_empty() {
            return Ok(());
        }
        let noted = seen.clone();
        db.write(move |db| accounts::note_activity(db, &noted))
            .await
            .inspect_err(|_| self.known.keep_seen(&seen))
    }

    /// Removes what time has made worthless: ended sessions, old failures, expired proofs, letters
    /// that were given up long ago, retired keys.
    pub async fn purge(&self, db: &Db) -> Result<()> {
        keys::sweep(&self.keys.directory, self.clock.now(), self.keys.keep)?;
        while db.write_in(Room::Reserve, purge_some).await? {}
        Ok(())
    }
}

/// Removes a bounded number of rows of each kind; whether there may be more.
fn purge_some(db: &crate::db::Write) -> Result<bool> {
    Ok(sessions::purge(db)? | throttle::purge(db)? | proofs::purge(db)? | letters::purge(db)?)
}

/// The hashing settings as the hashing threads take them.
pub fn hasher_settings(settings: &config::Auth) -> passwords::Settings {
    passwords::Settings {
        memory_kib: settings.hash_memory_kib,
        iterations: settings.hash_iterations,
        parallelism: settings.hash_parallelism,
        threads: settings.hashers(),
        queue: settings.hash_queue,
    }
}

/// The claims of a token that is being made.
fn claims(
    names: &Names,
    kind: Kind,
    session: &sessions::Session,
    jti: Uuid,
    from: i64,
    lifetime: Duration,
) -> Claims {
    Claims {
        iss: names.issuer.clone(),
        aud: names.audience.clone(),
        sub: session.user_uuid,
        sid: session.id,
        jti,
        typ: kind,
        epoch: session.epoch,
        iat: from,
        nbf: from.saturating_sub(CLOCK_BACK_SECONDS),
        exp: from.saturating_add(i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX)),
    }
}
