//! Known tokens: remembers whom a token was found to speak for, so that a warm request asks nobody.
//!
//! An entry holds two versions that were current before the facts behind it were looked up: of the keyring,
//! and of the user's state. Whoever changes the facts raises the version after the commit and before the
//! answer. So it does not matter in which order a change and a fill happen: a fill that read old facts
//! carries an old version and is never believed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use moka::sync::Cache;
use siphasher::sip128::SipHasher24;
use uuid::Uuid;

use super::Caller;
use super::tokens::Claims;
use crate::clock::Timestamp;
use crate::domain::accounts::ACTIVITY_EVERY;
use crate::domain::users::UserId;

/// How many counters stand for all users. Two users that share one only read the database more often.
const STATE_VERSIONS: usize = 4096;

/// The cache and its versions.
#[derive(Debug)]
pub struct Known {
    tokens: Cache<u128, Arc<Entry>>,
    /// Makes digests that nobody else can: its key is this process's own.
    hasher: SipHasher24,
    keys_version: AtomicU64,
    state_versions: Box<[AtomicU64]>,
    /// Who was seen since it was last written down, and when last.
    seen: Mutex<HashMap<UserId, Timestamp>>,
}

#[derive(Debug)]
struct Entry {
    claims: Arc<Claims>,
    caller: Caller,
    keys_version: u64,
    state_version: u64,
    /// When the caller was last noted as seen, in seconds since the Unix epoch.
    noted_at: AtomicI64,
}

/// What is known of a token.
#[derive(Debug)]
pub enum Found {
    /// Whom it speaks for.
    Caller(Caller),
    /// That its signature is good under this version of the keyring; the user's state may have changed.
    Claims(Arc<Claims>, u64),
    /// Nothing.
    Nothing,
}

/// What the users' state is announced by.
pub fn key_of(user: Uuid) -> i64 {
    user.as_u64_pair().1.cast_signed()
}

impl Known {
    /// Remembers at most `capacity` tokens, by digests under this secret key.
    pub fn new(capacity: u64, key: &[u8; 16]) -> Self {
        Self {
            tokens: Cache::new(capacity),
            hasher: SipHasher24::new_with_key(key),
            keys_version: AtomicU64::new(0),
            state_versions: (0..STATE_VERSIONS).map(|_| AtomicU64::new(0)).collect(),
            seen: Mutex::default(),
        }
    }

    /// What a token is remembered by, so that none lies in memory: 128 bits of SipHash-2-4, which nobody can aim at
    /// without the key. SHA-256 takes more than a tenth of a request on a processor that has no instructions for it.
    pub fn digest(&self, token: &str) -> u128 {
        self.hasher.hash(token.as_bytes()).as_u128()
    }

    /// What is known of the token with this digest at this time.
    pub fn find(&self, digest: u128, at: Timestamp, leeway_seconds: i64) -> Found {
        let Some(entry) = self.tokens.get(&digest) else { return Found::Nothing };
        let now = at.seconds();
        let in_time = now < entry.claims.exp.saturating_add(leeway_seconds)
            && now >= entry.claims.nbf.saturating_sub(leeway_seconds);
        if !in_time || entry.keys_version != self.keys_version() {
            return Found::Nothing;
        }
        if entry.state_version != self.state_version(entry.claims.sub) {
            return Found::Claims(entry.claims.clone(), entry.keys_version);
        }
        let noted_at = entry.noted_at.load(Ordering::Relaxed);
        if now.abs_diff(noted_at) >= ACTIVITY_EVERY.as_secs()
            && entry.noted_at.compare_exchange(noted_at, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            self.note(entry.caller.id, at);
        }
        Found::Caller(entry.caller)
    }

    fn note(&self, user: UserId, at: Timestamp) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(user, at);
    }

    /// Puts back what was taken and could not be written down; who was seen since then, was seen later.
    pub fn keep_seen(&self, taken: &[(UserId, Timestamp)]) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for (user, at) in taken {
            seen.entry(*user).or_insert(*at);
        }
    }

    /// Takes who was seen since this was last asked.
    pub fn take_seen(&self) -> Vec<(UserId, Timestamp)> {
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner)).into_iter().collect()
    }

    /// Remembers at this moment whom a token speaks for, as of versions taken before that was looked up.
    pub fn remember(
        &self,
        digest: u128,
        claims: Arc<Claims>,
        caller: Caller,
        keys_version: u64,
        state_version: u64,
        at: Timestamp,
    ) {
        self.note(caller.id, at);
        let noted_at = AtomicI64::new(at.seconds());
        let entry = Entry { claims, caller, keys_version, state_version, noted_at };
        self.tokens.insert(digest, Arc::new(entry));
    }

    /// The keyring's version.
    pub fn keys_version(&self) -> u64 {
        self.keys_version.load(Ordering::SeqCst)
    }

    /// The version of a user's state.
    pub fn state_version(&self, user: Uuid) -> u64 {
        self.counter(key_of(user)).load(Ordering::SeqCst)
    }

    /// Disbelieves what was known of a user, named by [`key_of`].
    pub fn forget(&self, key: i64) {
        self.counter(key).fetch_add(1, Ordering::SeqCst);
    }

    /// Disbelieves what was known of every user.
    pub fn forget_all(&self) {
        for version in &self.state_versions {
            version.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Disbelieves every signature.
    pub fn keys_changed(&self) {
        self.keys_version.fetch_add(1, Ordering::SeqCst);
        self.tokens.invalidate_all();
    }

    fn counter(&self, key: i64) -> &AtomicU64 {
        let index = key.cast_unsigned() % STATE_VERSIONS as u64;
        &self.state_versions[usize::try_from(index).expect("the index is below 4096")]
    }
}
