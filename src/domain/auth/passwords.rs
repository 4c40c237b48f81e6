//! Passwords: how they are kept, and the few slow threads that hash them. Which are good enough: see `weakness`.

use std::fmt;
use std::sync::Arc;

use anyhow::anyhow;
use argon2::password_hash::phc::{Output, ParamsString, Salt};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, PasswordHash, Version};
use icu_normalizer::ComposingNormalizer;
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

/// A password. It is never printed, and it is wiped when it is dropped.
#[derive(Clone)]
pub struct Password {
    text: Zeroizing<String>,
    /// As it was typed, where that is another text: hashes are of this that are older than the mapping.
    typed: Option<Zeroizing<String>>,
}

impl Password {
    /// Takes a password as it was typed and maps it as OpaqueString does (RFC 8265 §4.2.2): every other blank to a space, the
    /// text to normal form C. Nothing is refused or trimmed, and what would become too long by this stays as it is.
    pub fn new(typed: String) -> Self {
        let typed = Zeroizing::new(typed);
        // What one character is made of takes at most three times its bytes.
        if typed.is_ascii() || typed.len() > 3 * 4 * PASSWORD_LEN_MAX {
            return Self { text: typed, typed: None };
        }
        let mut text = Zeroizing::new(String::with_capacity(3 * typed.len()));
        text.extend(ComposingNormalizer::new_nfc().normalize_iter(typed.chars().map(plain_blank)));
        match (text == typed, is_too_long(&text), is_too_long(&typed)) {
            (true, ..) | (false, true, false) => Self { text: typed, typed: None },
            (false, _, true) => Self { text, typed: None },
            (false, false, false) => Self { text, typed: Some(typed) },
        }
    }

    /// The text that counts, to be judged by `weakness`.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// The space in place of any other character of Unicode's category Zs.
fn plain_blank(c: char) -> char {
    let is_blank = c.is_whitespace() && !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}');
    if is_blank { ' ' } else { c }
}

/// Longer than any password that was ever accepted.
fn is_too_long(text: &str) -> bool {
    text.len() > 4 * PASSWORD_LEN_MAX || text.chars().count() > PASSWORD_LEN_MAX
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
        /// It was hashed with other settings than today's, or as it was typed, and should be hashed anew.
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
    /// anybody's. One that was typed in another form than it has now is tried in either, which takes twice as long for
    /// anybody. Refused as `Busy` when too many wait, or it waited for 5 s.
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
            hash: Some(derive(password.text.as_bytes(), &salt, &self.params, memory)?),
        };
        Ok(hash.to_string())
    }

    fn verify(&self, password: &Password, stored: Option<&str>, memory: &mut Vec<Block>) -> Result<Verdict> {
        let known = stored.map(Stored::parse).transpose()?;
        let against = known.as_ref().unwrap_or(&self.nobody);
        let too_long = is_too_long(&password.text);
        let tried = if too_long { b"stands in for what is too long" } else { password.text.as_bytes() };
        // `Output` compares in constant time.
        let mut is = |text: &[u8]| -> Result<bool> {
            Ok(derive(text, &against.salt, &against.params, memory)? == against.output)
        };
        let right = is(tried)?;
        let as_typed = match &password.typed {
            Some(typed) if !right => is(typed.as_bytes())?,
            _ => false,
        };
        if !right && !as_typed || too_long || known.is_none() {
            return Ok(Verdict::Wrong);
        }
        let outdated = as_typed || against.params != self.params || against.salt.len() < SALT_BYTES;
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
    #[cfg(test)]
    tests::DERIVED.with(|derived| derived.set(derived.get() + 1));
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
    use std::cell::Cell;
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

    thread_local! {
        /// How many hashes this thread has made.
        pub(super) static DERIVED: Cell<usize> = const { Cell::new(0) };
    }

    /// The password of this very text, as all were before they were mapped.
    fn raw(text: &str) -> Password {
        Password { text: text.to_owned().into(), typed: None }
    }

    #[test]
    fn a_password_is_mapped_as_an_opaque_string_and_never_refused() {
        let blanks = "\u{a0}\u{1680}\u{2000}\u{2001}\u{2002}\u{2003}\u{2004}\u{2005}\u{2006}\u{2007}\u{2008}\u{2009}\
                      \u{200a}\u{202f}\u{205f}\u{3000}";
        let same = "Ａb\tc\nd\u{85}\u{2028}\u{2029}\u{200b}\u{180e}\u{feff}\u{202e}ß ı\u{378}\u{e000}²ﬁ";
        let long = "e\u{301}".repeat(PASSWORD_LEN_MAX);
        for (typed, expected) in [
            ("", ""),
            ("  correct  horse ", "  correct  horse "),
            ("Rene\u{301}", "Ren\u{e9}"),
            ("\u{212b}\u{2126}\u{1e9b}\u{323}", "\u{c5}\u{3a9}\u{1e9b}\u{323}"),
            (blanks, &" ".repeat(16)),
            (same, same),
            (&long, &"\u{e9}".repeat(PASSWORD_LEN_MAX)),
            // What becomes longer than a password may be.
            (&"\u{fb2c}".repeat(86), &"\u{fb2c}".repeat(86)),
            (&"\u{fb2c}".repeat(85), &"\u{5e9}\u{5bc}\u{5c1}".repeat(85)),
        ] {
            let password = password(typed);
            assert_eq!(password.as_str(), expected, "{typed:?}");
            let other = (typed != expected && !is_too_long(typed)).then_some(typed);
            assert_eq!(password.typed.as_ref().map(|typed| typed.as_str()), other, "{typed:?}");
        }
        let hostile = "e\u{301}".repeat(1_000_000);
        assert!(is_too_long(password(&hostile).as_str()));
    }

    #[test]
    fn a_hash_of_the_password_as_it_was_typed_is_right_and_outdated() {
        let hasher = hasher(SMALL);
        let (nfd, nfc) = ("Rene\u{301} Descartes", "Ren\u{e9} Descartes");
        let verify = |typed: &str, stored: &str| {
            hasher.shared.verify(&password(typed), Some(stored), &mut Vec::new()).unwrap()
        };
        let (of_nfd, of_nfc) =
            (hasher.hash_blocking(&raw(nfd)).unwrap(), hasher.hash_blocking(&raw(nfc)).unwrap());
        for (typed, stored, expected) in [
            (nfd, &of_nfd, Verdict::Right { outdated: true }),
            (nfc, &of_nfd, Verdict::Wrong),
            (nfd, &of_nfc, Verdict::Right { outdated: false }),
            (nfc, &of_nfc, Verdict::Right { outdated: false }),
        ] {
            assert_eq!(verify(typed, stored), expected, "{typed:?}");
        }
        let anew = hasher.hash_blocking(&password(nfd)).unwrap();
        assert_eq!(verify(nfc, &anew), Verdict::Right { outdated: false });
    }

    #[test]
    fn as_many_hashes_are_made_for_nobody_as_for_a_user_whatever_was_typed() {
        let hasher = hasher(SMALL);
        let stored = hasher.hash_blocking(&password("a secret of mine")).unwrap();
        let hashes = |typed: &str, stored: Option<&str>| {
            let before = DERIVED.get();
            let verdict = hasher.shared.verify(&password(typed), stored, &mut Vec::new()).unwrap();
            assert_eq!(verdict, Verdict::Wrong, "{typed:?}");
            DERIVED.get() - before
        };
        for (typed, expected) in [
            ("no secret", 1),
            ("n\u{f3} secret", 1),
            ("no\u{301} secret", 2),
            ("no\u{a0}secret", 2),
            (&"\u{fb2c}".repeat(86), 1),
            (&"o\u{301}".repeat(257), 1),
            (&"o\u{301}".repeat(200), 1),
            (&"x".repeat(257), 1),
        ] {
            for stored in [Some(stored.as_str()), None] {
                assert_eq!(hashes(typed, stored), expected, "{typed:?}");
            }
        }
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
