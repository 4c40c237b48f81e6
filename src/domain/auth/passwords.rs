//! Passwords: how they are kept, and the few slow threads that hash them. Which are good enough: see `weakness`.

use std::fmt;
use std::sync::Arc;

use anyhow::anyhow;
use argon2::password_hash::phc::{Output, ParamsString, Salt};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, PasswordHash, Version};
use zeroize::Zeroizing;

pub use super::weakness::{Weakness, weakness};
use crate::clock::Clock;
use crate::domain::pool::{Pool, Rank};
use crate::error::{Context, Error, Result};
use crate::network::ClientNetwork;

/// In code points.
pub const PASSWORD_LEN_MIN: usize = 8;
/// In code points, of which each has at most four bytes.
pub const PASSWORD_LEN_MAX: usize = 256;

const SALT_BYTES: usize = 16;
const OUTPUT_BYTES: usize = 32;

/// What a stored hash may ask for at most, far above every sensible setting.
const MEMORY_KIB_MAX: u32 = 1024 * 1024;
const ITERATIONS_MAX: u32 = 100;
const PARALLELISM_MAX: u32 = 64;

/// A piece above 32 MiB is mapped on its own by the usual allocators, and so goes back to the system as a whole.
/// What is reserved and never touched costs nothing.
const MAPPED_BLOCKS: usize = 33 * 1024;

/// How passwords are hashed, and by whom.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Memory of one hash.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub iterations: u32,
    /// Lanes.
    pub parallelism: u32,
    /// Hashes at one time.
    pub threads: usize,
    /// Hashes that may wait for a thread.
    pub queue: usize,
}

/// A password as it was typed. It is never printed, and it is wiped when it is dropped.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes it exactly as it is: no trimming, no normal form.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, to be judged by `weakness`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Longer than any that was ever accepted.
    fn is_too_long(&self) -> bool {
        self.0.len() > 4 * PASSWORD_LEN_MAX || self.0.chars().count() > PASSWORD_LEN_MAX
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Whether a password is the one that was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is another, or there is none.
    Wrong,
    /// It is.
    Right {
        /// It was hashed with other settings than today's and should be hashed anew.
        outdated: bool,
    },
}

/// Hashes passwords with Argon2id (RFC 9106), version 19, on threads of its own. Clones share them; they end
/// with the last clone.
#[derive(Clone)]
pub struct Hasher {
    pool: Pool<Vec<Block>>,
    shared: Arc<Shared>,
}

struct Shared {
    clock: Clock,
    params: Params,
    /// Stands in for the hash of a user who does not exist. No password has it: its output is random.
    nobody: Stored,
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher").field("params", &self.shared.params).finish_non_exhaustive()
    }
}

impl Hasher {
    /// Starts the threads.
    pub fn new(settings: Settings, clock: Clock) -> Result<Self> {
        let params = Params::new(
            settings.memory_kib,
            settings.iterations,
            settings.parallelism,
            Some(OUTPUT_BYTES),
        )
        .ok()
        .filter(is_bearable)
        .ok_or_else(|| {
            Error::fault(format!(
                "passwords cannot be hashed with {} KiB, {} iterations and parallelism {}: at most \
                 {MEMORY_KIB_MAX} KiB, {ITERATIONS_MAX} and {PARALLELISM_MAX}, and at least 8 KiB for each lane",
                settings.memory_kib, settings.iterations, settings.parallelism
            ))
        })?;
        let nobody = Stored {
            params: params.clone(),
            salt: clock.random::<SALT_BYTES>().to_vec(),
            output: output(&clock.random::<OUTPUT_BYTES>())?,
        };
        let pool = Pool::new("passwords", settings.threads, settings.queue)?;
        Ok(Self { pool, shared: Arc::new(Shared { clock, params, nobody }) })
    }

    /// Hashes a password into a PHC string with a fresh salt, for a client of `network`. Verifying goes first. Refused as
    /// `Busy` when too many wait, or it waited for 5 s.
    pub async fn hash(&self, password: Password, network: Option<ClientNetwork>) -> Result<String> {
        let shared = Arc::clone(&self.shared);
        self.pool.run(Rank::Second, network, move |memory| shared.hash(&password, memory)).await
    }

    /// Hashes a password on the calling thread, for commands.
    pub fn hash_blocking(&self, password: &Password) -> Result<String> {
        self.shared.hash(password, &mut Vec::new())
    }

    /// Holds a password against the stored PHC string, or against nobody's: that takes as long and is always
    /// `Wrong`, so that the time does not tell who is registered. So is a password that is too long to be
    /// anybody's. Refused as `Busy` when too many wait, or it waited for 5 s.
    ///
    /// `proceed` is asked on the hashing thread right before the hashing, when the wait in the queue is over; its
    /// refusal is the answer. A caller that goes away while waiting is forgotten, and `proceed` never asked.
    pub async fn verify(
        &self,
        password: Password,
        stored: Option<String>,
        network: Option<ClientNetwork>,
        proceed: impl FnOnce() -> Result<()> + Send + 'static,
    ) -> Result<Verdict> {
        let shared = Arc::clone(&self.shared);
        self.pool
            .run(Rank::First, network, move |memory| {
                proceed()?;
                shared.verify(&password, stored.as_deref(), memory)
            })
            .await
    }
}

impl Shared {
    fn hash(&self, password: &Password, memory: &mut Vec<Block>) -> Result<String> {
        let salt: [u8; SALT_BYTES] = self.clock.random();
        let hash = PasswordHash {
            algorithm: ARGON2ID_IDENT,
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(&self.params)
                .map_err(|error| anyhow!("{error}"))
                .context("writing down the parameters of a hash")?,
            salt: Some(
                Salt::new(&salt)
                    .map_err(|error| anyhow!("{error}"))
                    .context("writing down the salt of a hash")?,
            ),
            hash: Some(derive(password.0.as_bytes(), &salt, &self.params, memory)?),
        };
        Ok(hash.to_string())
    }

    fn verify(&self, password: &Password, stored: Option<&str>, memory: &mut Vec<Block>) -> Result<Verdict> {
        let known = stored.map(Stored::parse).transpose()?;
        let against = known.as_ref().unwrap_or(&self.nobody);
        let too_long = password.is_too_long();
        let tried = if too_long { b"stands in for what is too long" } else { password.0.as_bytes() };
        let derived = derive(tried, &against.salt, &against.params, memory)?;
        // `Output` compares in constant time.
        let right = derived == against.output;
        if !right || too_long || known.is_none() {
            return Ok(Verdict::Wrong);
        }
        let outdated = against.params != self.params || against.salt.len() < SALT_BYTES;
        Ok(Verdict::Right { outdated })
    }
}

/// A PHC string taken apart. The algorithm is Argon2id, version 19.
struct Stored {
    params: Params,
    salt: Vec<u8>,
    output: Output,
}

impl Stored {
    fn parse(text: &str) -> Result<Self> {
        // The text is kept out of the fault: it would end up in the log.
        let read = || -> Option<Self> {
            let hash = PasswordHash::new(text).ok()?;
            let params = Params::try_from(&hash).ok().filter(is_bearable)?;
            let ours = hash.algorithm == ARGON2ID_IDENT && hash.version == Some(Version::V0x13.into());
            ours.then_some(Self { params, salt: hash.salt?.to_vec(), output: hash.hash? })
        };
        read().ok_or_else(|| Error::fault("a stored password hash is not an argon2id string of version 19"))
    }
}

fn is_bearable(params: &Params) -> bool {
    params.m_cost() <= MEMORY_KIB_MAX
        && params.t_cost() <= ITERATIONS_MAX
        && params.p_cost() <= PARALLELISM_MAX
}

fn derive(password: &[u8], salt: &[u8], params: &Params, memory: &mut Vec<Block>) -> Result<Output> {
    let blocks = params.block_count();
    if memory.len() < blocks {
        *memory = Vec::with_capacity(blocks.max(MAPPED_BLOCKS));
        memory.resize(blocks, Block::new());
    }
    let mut bytes = [0; Output::MAX_LENGTH];
    let bytes = &mut bytes[..params.output_len().unwrap_or(OUTPUT_BYTES)];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone())
        .hash_password_into_with_memory(password, salt, bytes, memory)
        .map_err(|error| anyhow!("{error}"))
        .context("hashing a password")?;
    output(bytes)
}

fn output(bytes: &[u8]) -> Result<Output> {
    Output::new(bytes).map_err(|error| anyhow!("{error}")).context("writing down a hash")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Timestamp;
    use crate::error::Refusal;

    const SMALL: Settings = Settings { memory_kib: 64, iterations: 1, parallelism: 1, threads: 1, queue: 4 };

    fn hasher(settings: Settings) -> Hasher {
        Hasher::new(settings, Clock::held(Timestamp::from_seconds(0))).unwrap()
    }

    fn password(text: &str) -> Password {
        Password::new(text.to_owned())
    }

    #[test]
    fn a_password_is_not_printed() {
        assert_eq!(format!("{:?}", password("a secret of mine")), "Password(…)");
    }

    #[tokio::test]
    async fn a_hash_is_a_phc_string_with_the_settings_and_a_salt_of_its_own() {
        let settings = Settings { memory_kib: 19_456, iterations: 2, ..SMALL };
        let hasher = hasher(settings);
        let one = hasher.hash(password("a secret of mine"), None).await.unwrap();
        let other = hasher.hash_blocking(&password("a secret of mine")).unwrap();
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{one}");
        assert_ne!(one, other);
        let parts: Vec<_> = one.split('$').map(str::len).collect();
        assert_eq!(parts[4..], [22, 43], "16 bytes of salt and 32 of output in base64");
        for stored in [one, other] {
            let verdict =
                hasher.verify(password("a secret of mine"), Some(stored.clone()), None, || Ok(())).await;
            assert_eq!(verdict.unwrap(), Verdict::Right { outdated: false });
            let verdict = hasher.verify(password("a secret of mine "), Some(stored), None, || Ok(())).await;
            assert_eq!(verdict.unwrap(), Verdict::Wrong);
        }
    }

    #[tokio::test]
    async fn a_hash_of_another_maker_is_verified_with_its_own_parameters() {
        // From the reference implementation's own tests.
        let stored = "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc";
        let verdict =
            hasher(SMALL).verify(password("password"), Some(stored.to_owned()), None, || Ok(())).await;
        assert_eq!(verdict.unwrap(), Verdict::Right { outdated: true });
    }

    #[tokio::test]
    async fn a_hash_is_outdated_when_a_setting_has_changed() {
        let stored = hasher(SMALL).hash(password("a secret of mine"), None).await.unwrap();
        for (settings, outdated) in [
            (SMALL, false),
            (Settings { memory_kib: 128, ..SMALL }, true),
            (Settings { iterations: 2, ..SMALL }, true),
            (Settings { memory_kib: 64, parallelism: 2, ..SMALL }, true),
            (Settings { threads: 2, queue: 9, ..SMALL }, false),
        ] {
            let verdict = hasher(settings)
                .verify(password("a secret of mine"), Some(stored.clone()), None, || Ok(()))
                .await;
            assert_eq!(verdict.unwrap(), Verdict::Right { outdated });
        }
    }

    #[tokio::test]
    async fn a_damaged_hash_is_a_fault_that_does_not_repeat_it() {
        let hasher = hasher(SMALL);
        let good = hasher.hash(password("a secret of mine"), None).await.unwrap();
        for bad in [
            String::new(),
            String::from("plain text"),
            good.replace("argon2id", "argon2i"),
            good.replace("v=19", "v=16"),
            good.replace("$v=19", ""),
            good.replace("m=64", "m=4294967295"),
            good.replace("t=1", "t=4294967295"),
            good.replace("t=1", "t=0"),
            good.rsplit_once('$').unwrap().0.to_owned(),
            format!("{good}$"),
        ] {
            match hasher.verify(password("a secret of mine"), Some(bad.clone()), None, || Ok(())).await {
                Err(Error::Fault(fault)) => {
                    let text = format!("{fault:#}");
                    assert_eq!(
                        text, "a stored password hash is not an argon2id string of version 19",
                        "{bad}"
                    );
                }
                other => panic!("{bad}: {other:?}"),
            }
        }
    }

    #[test]
    fn nobody_and_a_password_too_long_take_the_same_work() {
        let hasher = hasher(SMALL);
        let stored = hasher.hash_blocking(&password("a secret of mine")).unwrap();
        let long = "x".repeat(257);
        for (typed, stored) in [
            ("a secret of mine", Some(stored.as_str())),
            ("a secret of mine", None),
            (&long, Some(stored.as_str())),
            (&"x".repeat(1_000_000), None),
        ] {
            let mut memory = Vec::new();
            hasher.shared.verify(&password(typed), stored, &mut memory).unwrap();
            assert_eq!(memory.len(), 64);
            assert!(
                memory.iter().all(|block| block.as_ref().iter().any(|word| *word != 0)),
                "all of it was filled"
            );
        }
    }

    #[test]
    fn a_password_too_long_is_wrong_even_where_its_substitute_was_stored() {
        let hasher = hasher(SMALL);
        let stored = hasher.hash_blocking(&password("stands in for what is too long")).unwrap();
        let typed = password(&"x".repeat(257));
        assert_eq!(hasher.shared.verify(&typed, Some(&stored), &mut Vec::new()).unwrap(), Verdict::Wrong);
    }

    #[tokio::test]
    async fn a_refusal_to_proceed_is_the_answer() {
        let hasher = hasher(SMALL);
        let wait = Refusal::TooManyAttempts(Duration::from_secs(7));
        let refusal = wait.clone();
        match hasher.verify(password("a secret of mine"), None, None, move || Err(refusal.into())).await {
            Err(Error::Refusal(refusal)) => assert_eq!(refusal, wait),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn settings_that_cannot_work_are_a_fault_that_names_them() {
        for (settings, named) in [
            (Settings { memory_kib: 7, ..SMALL }, "7 KiB"),
            (Settings { memory_kib: 2_000_000, ..SMALL }, "2000000 KiB"),
            (Settings { iterations: 0, ..SMALL }, "0 iterations"),
            (Settings { parallelism: 9, ..SMALL }, "parallelism 9"),
        ] {
            match Hasher::new(settings, Clock::system()) {
                Err(Error::Fault(fault)) => assert!(fault.to_string().contains(named), "{fault}"),
                _ => panic!("{named} was taken"),
            }
        }
    }
}
