//! Keys: the Ed25519 keys that tokens are signed with, the files they lie in, and how one follows another.
//!
//! Each key is a PKCS#8 PEM file (RFC 8410 §7, RFC 5958) whose name tells its life:
//! `<from>-<kid>.pem`, and `<from>-<kid>.retired-<at>.pem` when it signs until `at`. Either moment may be yet to come: a
//! rotation writes both down at once, [`PUBLISHED_FIRST`] ahead, and until then the new key is only published. So
//! nobody has to do anything when the time has come, and a restart changes nothing. A change of state is one rename,
//! so a kill at any instant leaves a ring that opens: at worst two keys that are not retired, of which the newer signs
//! from its time on.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, KeypairBytes};
use jsonwebtoken::{DecodingKey, EncodingKey};
use serde_json::json;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::clock::{Clock, Timestamp};
use crate::error::{Context, Error, Result};
use crate::files::tighten;

/// How long whoever verifies tokens may keep a copy of the published keys.
pub const PUBLISHED_FOR: Duration = Duration::from_secs(300);
/// How long a new key is published before it signs: as long as a copy without it may be kept, and a minute for a running server
/// to notice the key and for clocks that differ.
const PUBLISHED_FIRST: Duration = PUBLISHED_FOR.saturating_add(Duration::from_secs(60));

/// A key file is about 120 bytes; what is longer than this is no key.
const FILE_BYTES_MAX: u64 = 16 * 1024;

/// A key file that was begun and never finished is swept away after this long.
const UNFINISHED_KEEP: Duration = Duration::from_secs(3600);

/// The keys of one directory, as they were when it was opened.
pub struct Keyring {
    /// Newest first.
    keys: Vec<Key>,
}

struct Key {
    name: Name,
    info: KeyInfo,
    /// When it ceases to verify.
    until: Option<Timestamp>,
    x: String,
    signer: EncodingKey,
    verifier: DecodingKey,
}

/// What there is to know about a key without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// The RFC 7638 thumbprint of the public key.
    pub kid: String,
    /// From when it signs.
    pub from: Timestamp,
    /// What it did when the ring was opened.
    pub state: State,
}

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is published and verifies; it will sign.
    Published,
    /// It signs new tokens, and verifies.
    Signing {
        /// When another takes over, if that is known.
        until: Option<Timestamp>,
    },
    /// It verifies, without an end: a rotation was interrupted before this key was retired.
    Verifying,
    /// It verifies what it signed, and nothing from `until` on.
    Retired {
        /// When its last token has expired.
        until: Timestamp,
    },
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.info)).finish()
    }
}

impl Keyring {
    /// Opens the keys of `dir`, and makes the first one when there is none at all.
    ///
    /// `keep` is how long a retired key goes on verifying: the longest lifetime of a token, and a little for the leeway, for
    /// a running server to notice, and for a clock that is set back. A file that cannot be used is a fault whose sentence
    /// names it: going on without it would quietly end every session it signed.
    pub fn open(dir: &Path, clock: &Clock, keep: Duration) -> Result<Self> {
        prepare(dir)?;
        if names(dir)?.is_empty() {
            create(dir, clock.now(), clock)?;
        }
        for name in names(dir)? {
            let path = dir.join(name.to_string());
            match tighten(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(cannot("be kept private", &path, &error));
                }
                _ => {}
            }
        }
        Self::read(dir, clock.now(), keep)
    }

    /// Reads the keys of `dir` and changes nothing; `None` when there is none at all.
    ///
    /// # Errors
    /// Those of [`Keyring::open`].
    pub fn look(dir: &Path, now: Timestamp, keep: Duration) -> Result<Option<Self>> {
        let is_there = dir.try_exists().map_err(|error| cannot("be listed", dir, &error))?;
        if !is_there || names(dir)?.is_empty() {
            return Ok(None);
        }
        Self::read(dir, now, keep).map(Some)
    }

    fn read(dir: &Path, now: Timestamp, keep: Duration) -> Result<Self> {
        // A key that another process renames between the listing and the reading is found at its new name.
        for _ in 0..10 {
            if let Some(ring) = load(dir, now, keep)? {
                return Ok(ring);
            }
        }
        Err(Error::fault(format!("the keys in {} change while they are read: try again", dir.display())))
    }

    /// The public keys as a JWK Set (RFC 7517 §5, RFC 8037 §2), newest first.
    ///
    /// `alg` is `EdDSA`, the name of RFC 8037 that libraries know, and not the `Ed25519` of RFC 9864.
    pub fn jwks(&self) -> serde_json::Value {
        let keys: Vec<_> = self
            .keys
            .iter()
            .map(|Key { info, x, .. }| {
                json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": info.kid, "use": "sig", "alg": "EdDSA"})
            })
            .collect();
        json!({ "keys": keys })
    }

    /// Every key that still verifies, newest first.
    pub fn list(&self) -> Vec<KeyInfo> {
        self.keys.iter().map(|key| key.info.clone()).collect()
    }

    /// The key that signs at this moment, and its `kid`. The content of the key is the 32 bytes of its seed.
    pub(super) fn signer(&self, at: Timestamp) -> (&EncodingKey, &str) {
        let key = signing(&self.keys, |key| &key.name, at).or(self.keys.first());
        let key = key.expect("a ring without any does not open");
        (&key.signer, &key.name.kid)
    }

    /// The key `kid`, unless its time is over. The content of the key is the 32 bytes of its point.
    pub(super) fn verifier(&self, kid: &str, now: Timestamp) -> Option<&DecodingKey> {
        let key = self.keys.iter().find(|key| key.name.kid == kid)?;
        key.until.is_none_or(|until| until > now).then_some(&key.verifier)
    }
}

/// Which of these, newest first, signs at this moment: the newest whose time has come and is not over.
fn signing<T>(keys: &[T], name: impl Fn(&T) -> &Name, at: Timestamp) -> Option<&T> {
    let at = at.seconds();
    let lives = |key: &&T| name(key).retired.is_none_or(|retired| at < retired);
    let begun = keys.iter().find(|key| lives(key) && name(key).from <= at);
    // When the clock was set back to before all of them, the one that was published first.
    begun.or_else(|| keys.iter().rfind(lives))
}

/// Makes a new key, which is published now and signs as soon as nobody has an older copy of the published keys: until then the
/// present one does. With `at_once` it signs from now on, and so does the first key, and one where no other signs. What was
/// interrupted is brought to its end.
///
/// # Errors
/// A fault when a new key is published already and does not sign yet, unless `at_once`.
pub fn rotate(dir: &Path, at_once: bool, clock: &Clock, keep: Duration) -> Result<KeyInfo> {
    prepare(dir)?;
    let now = clock.now();
    sweep(dir, now, keep)?;
    let old = names(dir)?;
    for name in &old {
        // A damaged one keeps the ring from being opened, and so the new one from being taken over.
        read(dir, name)?;
    }
    let signer = signing(&old, |name| name, now);
    let next = old.iter().find(|name| name.retired.is_none() && name.from > now.seconds());
    match (signer, next) {
        (Some(signer), Some(next)) if !at_once && signer != next => {
            if signer.retired.is_some() {
                return Err(Error::fault(format!(
                    "{} is published already and signs from {} on, when no copy of the published keys lacks it any more: wait \
                     for that, or say `--now`",
                    next.kid,
                    next.at()
                )));
            }
            retire_for(dir, &old, next)?;
            return Ok(KeyInfo { kid: next.kid.clone(), from: next.at(), state: State::Published });
        }
        _ => {}
    }
    let (from, state) = match old.first() {
        // Later than every other, whatever the clock says, because the newest signs.
        Some(newest) if signer.is_some() && !at_once => {
            (now.plus(PUBLISHED_FIRST).max(Timestamp::from_seconds(newest.from + 1)), State::Published)
        }
        _ => (now, State::Signing { until: None }),
    };
    let new = create(dir, from, clock)?;
    retire_for(dir, &old, &new)?;
    Ok(KeyInfo { from: new.at(), kid: new.kid, state })
}

/// Has every other key sign until this one does, and no longer.
fn retire_for(dir: &Path, others: &[Name], new: &Name) -> Result<()> {
    let lives = |name: &&Name| name.retired.is_none_or(|at| at > new.from) && name.kid != new.kid;
    others.iter().filter(lives).try_for_each(|name| set_retired(dir, name, new.at()))
}

/// Retires a key that does not sign; with `at_once` its file is removed, and every token it signed ends.
pub fn retire(dir: &Path, kid: &str, at_once: bool, clock: &Clock, keep: Duration) -> Result<()> {
    let names = names(dir)?;
    let Some(name) = names.iter().find(|name| name.kid == kid) else {
        let text = format!("there is no key {kid:?} in {}: `satchel keys list` shows them", dir.display());
        return Err(Error::fault(text));
    };
    let now = clock.now();
    let successor = |at: i64| Timestamp::from_seconds(at);
    match signing(&names, |name| name, now) {
        Some(Name { retired: Some(at), .. }) if name.retired.is_none() && name.from >= *at => {
            let text = "and none would then: run `satchel keys rotate --now` first";
            return Err(Error::fault(format!("{kid} is to sign from {} on, {text}", successor(*at))));
        }
        Some(Name { kid: signer, retired, .. }) if signer == kid => {
            let first = match retired {
                Some(at) => {
                    format!(" until {}: wait, or run `satchel keys rotate --now` first", successor(*at))
                }
                None => String::from(": run `satchel keys rotate` first"),
            };
            return Err(Error::fault(format!("{kid} is the key that signs{first}")));
        }
        _ => {}
    }
    if at_once {
        return remove(dir, &name.to_string());
    }
    match name.retired {
        None => set_retired(dir, name, now),
        Some(at) => {
            let until = Timestamp::from_seconds(at).plus(keep);
            let text = format!("{kid} is retired already and verifies until {until}: `--now` removes it");
            Err(Error::fault(text))
        }
    }
}

/// Removes the files of keys that verify no more, and of keys that were never finished. Says how many.
pub fn sweep(dir: &Path, now: Timestamp, keep: Duration) -> Result<usize> {
    let mut removed = 0;
    for file in files(dir)? {
        let unfinished = file.strip_prefix('.').and_then(|rest| rest.strip_suffix(".new"));
        let over = match (Name::parse(&file), unfinished.and_then(Name::parse)) {
            (Some(Name { retired: Some(at), .. }), _) => Timestamp::from_seconds(at).plus(keep) <= now,
            (_, Some(begun)) => begun.at().plus(UNFINISHED_KEEP) <= now,
            _ => false,
        };
        if over {
            remove(dir, &file)?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// What changes whenever a key was added, retired or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp(Vec<String>);

/// The fingerprint of a keyring, in one line: the digest of the names of its files, which tell whatever changes.
impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digest = Sha256::digest(self.0.join("\n"));
        write!(f, "keys {}", URL_SAFE_NO_PAD.encode(digest))
    }
}

/// The present stamp of `dir`. When it differs from an earlier one, the ring is to be opened anew. Taken before the
/// ring is opened, it misses no change.
pub fn stamp(dir: &Path) -> Result<Stamp> {
    Ok(Stamp(names(dir)?.iter().map(Name::to_string).collect()))
}

/// The name of a key's file.
#[derive(Debug, PartialEq, Eq)]
struct Name {
    /// From when it signs, in Unix seconds.
    from: i64,
    kid: String,
    /// When it ceases to, in Unix seconds.
    retired: Option<i64>,
}

impl Name {
    fn at(&self) -> Timestamp {
        Timestamp::from_seconds(self.from)
    }

    fn order(&self) -> (i64, bool, &str) {
        (self.from, self.retired.is_none(), &self.kid)
    }

    fn parse(file: &str) -> Option<Self> {
        let (from, rest) = file.strip_suffix(".pem")?.split_at_checked(12)?;
        let (kid, retired) = match rest.strip_prefix('-')?.split_once(".retired-") {
            Some((kid, at)) => (kid, Some(at.parse().ok()?)),
            None => (rest.strip_prefix('-')?, None),
        };
        let name = Self { from: from.parse().ok()?, kid: kid.to_owned(), retired };
        // Exactly the spelling that we write: no sign, no missing zero.
        (kid.len() == 43 && name.to_string() == file).then_some(name)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012}-{}", self.from, self.kid)?;
        if let Some(at) = self.retired {
            write!(f, ".retired-{at}")?;
        }
        f.write_str(".pem")
    }
}

/// The names of the keys in `dir`, newest first.
fn names(dir: &Path) -> Result<Vec<Name>> {
    let mut names = Vec::new();
    for file in files(dir)? {
        match Name::parse(&file) {
            Some(name) => names.push(name),
            None if file.ends_with(".pem") && !file.starts_with('.') => {
                let path = dir.join(file);
                let text = format!("{} does not have the name of a key: move it elsewhere", path.display());
                return Err(Error::fault(text));
            }
            None => {}
        }
    }
    // Of two of the same second, the one that goes on is the newer.
    names.sort_unstable_by(|one, other| other.order().cmp(&one.order()));
    Ok(names)
}

fn files(dir: &Path) -> Result<Vec<String>> {
    let list = || -> io::Result<Vec<String>> {
        let names = fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
        names.filter_map(Result::transpose).collect()
    };
    list().map_err(|error| cannot("be listed", dir, &error))
}

fn load(dir: &Path, now: Timestamp, keep: Duration) -> Result<Option<Keyring>> {
    let mut names = names(dir)?;
    let until = |name: &Name| name.retired.map(|at| Timestamp::from_seconds(at).plus(keep));
    names.retain(|name| until(name).is_none_or(|until| until > now));
    let Some(signer) = signing(&names, |name| name, now).map(|name| name.kid.clone()) else {
        let text = format!("no key in {} signs: run `satchel keys rotate` to make one", dir.display());
        return Err(Error::fault(text));
    };
    let mut keys = Vec::new();
    for name in names {
        let Some(key) = read(dir, &name)? else { return Ok(None) };
        let until = until(&name);
        let state = match until {
            _ if name.kid == signer => State::Signing { until: name.retired.map(Timestamp::from_seconds) },
            Some(until) => State::Retired { until },
            None if name.at() > now => State::Published,
            None => State::Verifying,
        };
        let public = key.verifying_key();
        keys.push(Key {
            info: KeyInfo { kid: name.kid.clone(), from: name.at(), state },
            until,
            x: URL_SAFE_NO_PAD.encode(public.as_bytes()),
            signer: EncodingKey::from_ed_der(key.as_bytes()),
            verifier: DecodingKey::from_ed_der(public.as_bytes()),
            name,
        });
    }
    Ok(Some(Keyring { keys }))
}

/// Reads a key; none when its file has meanwhile gone.
fn read(dir: &Path, name: &Name) -> Result<Option<SigningKey>> {
    let path = dir.join(name.to_string());
    let read = || -> io::Result<Zeroizing<Vec<u8>>> {
        let file = File::open(&path)?;
        // Large enough never to grow, which would leave copies of the key behind in memory.
        let mut bytes = Zeroizing::new(Vec::with_capacity(1024));
        file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = match read() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|error| cannot("be read", &path, &error))?,
    };
    let key = match parse(&bytes) {
        Ok(key) => key,
        Err(why) => {
            let text = format!(
                "the key {} is damaged ({why}): restore it from a backup, or remove it, which ends every \
                 token it signed",
                path.display()
            );
            return Err(Error::fault(text));
        }
    };
    let kid = thumbprint(&key);
    if kid != name.kid {
        let text = format!("{} holds the key {kid}, not the one it is named for: remove it", path.display());
        return Err(Error::fault(text));
    }
    Ok(Some(key))
}

fn parse(bytes: &[u8]) -> Result<SigningKey, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| String::from("it is not text"))?;
    let label =
        text.lines().find_map(|line| line.strip_prefix("-----BEGIN ")?.trim_end().strip_suffix("-----"));
    match label {
        Some("PRIVATE KEY") => SigningKey::from_pkcs8_pem(text).map_err(|error| error.to_string()),
        Some(label) => Err(format!("it holds a {label:?} instead of a \"PRIVATE KEY\"")),
        None => Err(String::from("it is not a PEM file")),
    }
}

/// The `kid` of a key: its JWK thumbprint (RFC 7638 §3, RFC 8037 §2) with SHA-256, in base64url.
fn thumbprint(key: &SigningKey) -> String {
    let x = URL_SAFE_NO_PAD.encode(key.verifying_key().as_bytes());
    URL_SAFE_NO_PAD.encode(Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)))
}

/// Makes the directory when it is missing, and closes it to others when it is open.
fn prepare(dir: &Path) -> Result<()> {
    let make = || -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        tighten(dir)
    };
    make().map_err(|error| cannot("be made a private directory", dir, &error))
}

/// Makes a key under a name that does not count yet, and gives it its own once it is on the disk.
fn create(dir: &Path, from: Timestamp, clock: &Clock) -> Result<Name> {
    let seed = Zeroizing::new(clock.random::<32>());
    let kid = thumbprint(&SigningKey::from_bytes(&seed));
    let name = Name { from: from.seconds(), kid, retired: None };
    // Without the public half, as in RFC 8410 §7: the form that every tool reads.
    let pem = KeypairBytes { secret_key: *seed, public_key: None }
        .to_pkcs8_pem(LineEnding::LF)
        .map_err(|error| Error::fault(error.to_string()))
        .context("writing down a new key")?;
    let path = dir.join(name.to_string());
    let unfinished = dir.join(format!(".{name}.new"));
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
        file.write_all(pem.as_bytes())?;
        file.sync_all()?;
        fs::rename(&unfinished, &path)?;
        sync(dir)
    };
    write().map_err(|error| {
        // What stays behind holds an unused secret; `sweep` is the second chance.
        let _ = fs::remove_file(&unfinished);
        cannot("be written", &path, &error)
    })?;
    Ok(name)
}

fn set_retired(dir: &Path, name: &Name, at: Timestamp) -> Result<()> {
    let retired = Name { kid: name.kid.clone(), retired: Some(at.seconds().max(0)), ..*name };
    let path = dir.join(name.to_string());
    let rename = || fs::rename(&path, dir.join(retired.to_string())).and_then(|()| sync(dir));
    rename().map_err(|error| cannot("be renamed", &path, &error))
}

fn remove(dir: &Path, file: &str) -> Result<()> {
    let path = dir.join(file);
    let remove = || match fs::remove_file(&path) {
        // Another process was quicker.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.and_then(|()| sync(dir)),
    };
    remove().map_err(|error| cannot("be removed", &path, &error))
}

/// Makes the names in a directory survive a power cut.
fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn cannot(doing: &str, path: &Path, error: &io::Error) -> Error {
    let remedy = match error.kind() {
        io::ErrorKind::PermissionDenied => ": give it to the user that Satchel runs as",
        io::ErrorKind::StorageFull => ": make room on the disk",
        _ => "",
    };
    Error::fault(format!("{} cannot {doing} ({error}){remedy}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;

    const KEEP: Duration = Duration::from_secs(1_000);

    /// The key of RFC 8037 appendix A.
    const RFC_SEED: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
    const RFC_X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    const RFC_KID: &str = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";
    const RFC_PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
        -----END PRIVATE KEY-----\n";

    struct Place {
        _temp: tempfile::TempDir,
        dir: PathBuf,
        clock: Clock,
    }

    fn place() -> Place {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("data/keys");
        Place { _temp: temp, dir, clock: Clock::held(Timestamp::from_seconds(1_800_000_000)) }
    }

    impl Place {
        fn open(&self) -> Result<Keyring> {
            Keyring::open(&self.dir, &self.clock, KEEP)
        }

        fn rotate(&self) -> KeyInfo {
            rotate(&self.dir, false, &self.clock, KEEP).unwrap()
        }

        fn rotate_now(&self) -> KeyInfo {
            rotate(&self.dir, true, &self.clock, KEEP).unwrap()
        }

        /// Who signs now, in a ring that is opened now.
        fn signer(&self) -> String {
            self.open().unwrap().signer(self.clock.now()).1.to_owned()
        }

        fn files(&self) -> Vec<String> {
            let mut files = files(&self.dir).unwrap();
            files.sort();
            files
        }

        fn fault(&self) -> String {
            match self.open() {
                Err(Error::Fault(fault)) => format!("{fault:#}"),
                Err(refusal) => panic!("{refusal}"),
                Ok(_) => panic!("it opened"),
            }
        }
    }

    fn states(ring: &Keyring) -> Vec<(String, State)> {
        ring.list().into_iter().map(|info| (info.kid, info.state)).collect()
    }

    #[test]
    fn the_key_of_rfc_8037_has_the_thumbprint_and_the_jwk_given_there() {
        let place = place();
        prepare(&place.dir).unwrap();
        fs::write(place.dir.join(format!("000000000001-{RFC_KID}.pem")), RFC_PEM).unwrap();
        let ring = place.open().unwrap();
        let jwk =
            json!({"kty": "OKP", "crv": "Ed25519", "x": RFC_X, "kid": RFC_KID, "use": "sig", "alg": "EdDSA"});
        assert_eq!(ring.jwks(), json!({"keys": [jwk]}));
        let (signer, kid) = ring.signer(place.clock.now());
        assert_eq!(URL_SAFE_NO_PAD.encode(signer.as_bytes()), RFC_SEED);
        assert_eq!(kid, RFC_KID);
    }

    #[test]
    fn the_first_start_makes_one_private_file_and_the_second_finds_it() {
        let place = place();
        let ring = place.open().unwrap();
        let list = ring.list();
        assert_eq!(list.len(), 1);
        assert_eq!(list[0].from, place.clock.now());
        assert_eq!(list[0].state, State::Signing { until: None });
        assert_eq!(place.files(), [format!("001800000000-{}.pem", list[0].kid)]);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&place.dir), 0o700);
        assert_eq!(mode(&place.dir.join(&place.files()[0])), 0o600);
        place.clock.advance(Duration::from_secs(5));
        assert_eq!(place.open().unwrap().list(), list);
    }

    #[test]
    fn what_others_could_read_is_closed_to_them() {
        let place = place();
        place.open().unwrap();
        let file = place.dir.join(&place.files()[0]);
        fs::set_permissions(&place.dir, Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        place.open().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&place.dir), mode(&file)), (0o700, 0o600));
    }

    #[test]
    fn a_rotated_key_verifies_until_its_tokens_have_expired() {
        let place = place();
        let old = place.open().unwrap().list().remove(0).kid;
        let before = stamp(&place.dir).unwrap();
        place.clock.advance(Duration::from_secs(100));
        let retired = place.clock.now();
        let new = place.rotate_now();
        assert_ne!(stamp(&place.dir).unwrap(), before);
        assert_eq!((new.from, new.state), (retired, State::Signing { until: None }));

        let ring = place.open().unwrap();
        let until = retired.plus(KEEP);
        let both =
            [(new.kid.clone(), State::Signing { until: None }), (old.clone(), State::Retired { until })];
        assert_eq!(states(&ring), both);
        assert_eq!(place.signer(), new.kid);
        assert_eq!(ring.jwks()["keys"].as_array().unwrap().len(), 2);
        assert!(ring.verifier(&old, until.minus(Duration::from_micros(1))).is_some());
        assert!(ring.verifier(&old, until).is_none());
        assert!(ring.verifier(&new.kid, until).is_some());

        place.clock.set(until.minus(Duration::from_secs(1)));
        assert_eq!(sweep(&place.dir, place.clock.now(), KEEP).unwrap(), 0);
        assert_eq!(states(&place.open().unwrap()), both);
        place.clock.set(until);
        assert_eq!(states(&place.open().unwrap()), both[..1]);
        assert_eq!(sweep(&place.dir, place.clock.now(), KEEP).unwrap(), 1);
        assert_eq!(place.files(), [format!("{:012}-{}.pem", new.from.seconds(), new.kid)]);
        assert_eq!(stamp(&place.dir).unwrap(), stamp(&place.dir).unwrap());
    }

    #[test]
    fn a_new_key_is_published_at_once_and_signs_when_no_copy_lacks_it() {
        let place = place();
        let old = place.signer();
        let new = place.rotate();
        let (now, from) = (place.clock.now(), place.clock.now().plus(PUBLISHED_FIRST));
        assert!(from.since(now) > PUBLISHED_FOR);
        assert_eq!((new.from, new.state), (from, State::Published));
        let ring = place.open().unwrap();
        let expected =
            [(new.kid.clone(), State::Published), (old.clone(), State::Signing { until: Some(from) })];
        assert_eq!(states(&ring), expected);
        assert_eq!(ring.jwks()["keys"].as_array().unwrap().len(), 2);
        assert!(ring.verifier(&new.kid, now).is_some());
        // One ring, opened before: nothing is read again when the time has come. It comes again when the clock is set back.
        let second = Duration::from_secs(1);
        for (at, signer) in [
            (now, &old),
            (from.minus(second), &old),
            (from, &new.kid),
            (from.plus(second), &new.kid),
            (from.minus(second), &old),
            (now.minus(Duration::from_secs(86_400)), &old),
            (from.plus(KEEP), &new.kid),
        ] {
            assert_eq!(ring.signer(at).1, signer, "{at}");
        }
        let until = from.plus(KEEP);
        assert!(ring.verifier(&old, until.minus(second)).is_some() && ring.verifier(&old, until).is_none());
        // The same after a restart.
        for (at, signer) in [(from.minus(second), &old), (from, &new.kid), (from.minus(second), &old)] {
            place.clock.set(at);
            assert_eq!(place.signer(), *signer, "{at}");
        }
        place.clock.set(from);
        let expected =
            [(new.kid, State::Signing { until: None }), (old, State::Retired { until: from.plus(KEEP) })];
        assert_eq!(states(&place.open().unwrap()), expected);
    }

    #[test]
    fn no_second_new_key_is_made_while_one_is_published_and_does_not_sign() {
        let place = place();
        let old = place.signer();
        let new = place.rotate();
        let before = place.files();
        let Err(Error::Fault(fault)) = rotate(&place.dir, false, &place.clock, KEEP) else { panic!() };
        let expected = format!("{} is published already and signs from {} on, when", new.kid, new.from);
        assert!(fault.to_string().starts_with(&expected), "{fault}");
        assert_eq!(place.files(), before);

        // A key that has leaked does not wait: neither the old one signs any more nor the one that was to come.
        let now = place.clock.now();
        let urgent = place.rotate_now();
        let until = now.plus(KEEP);
        let states = states(&place.open().unwrap());
        assert_eq!(states.len(), 3);
        assert!(states.contains(&(urgent.kid.clone(), State::Signing { until: None })));
        assert!(states.contains(&(old, State::Retired { until })));
        assert!(states.contains(&(new.kid, State::Retired { until })));
        place.clock.set(new.from.plus(Duration::from_secs(1)));
        assert_eq!(place.signer(), urgent.kid);
    }

    #[test]
    fn the_first_key_and_one_where_no_other_signs_need_not_wait() {
        let place = place();
        let first = place.rotate();
        assert_eq!((first.from, first.state), (place.clock.now(), State::Signing { until: None }));
        assert_eq!(place.signer(), first.kid);
        set_retired(&place.dir, &names(&place.dir).unwrap()[0], place.clock.now()).unwrap();
        let second = place.rotate();
        assert_eq!((second.from, second.state), (place.clock.now(), State::Signing { until: None }));
        assert_eq!(place.signer(), second.kid);
    }

    #[test]
    fn there_is_always_one_that_signs_though_the_clock_stands_still_or_goes_back() {
        let place = place();
        place.open().unwrap();
        for back in [0, 0, 500] {
            place.clock.set(place.clock.now().minus(Duration::from_secs(back)));
            let new = place.rotate_now();
            let ring = place.open().unwrap();
            assert_eq!(place.signer(), new.kid);
            let others = ring.list().into_iter().filter(|key| key.kid != new.kid);
            assert!(others.into_iter().all(|key| matches!(key.state, State::Retired { .. })));
        }
        // A rotation after the clock was set back waits for as long as the clock needs to return.
        let signer = place.signer();
        place.clock.set(place.clock.now().minus(Duration::from_secs(5_000)));
        assert_eq!(place.signer(), signer);
        let new = place.rotate();
        assert_eq!((place.signer(), new.state), (signer, State::Published));
        place.clock.set(new.from);
        assert_eq!(place.signer(), new.kid);
    }

    #[test]
    fn after_an_interrupted_rotation_the_newest_signs_and_the_other_verifies() {
        let place = place();
        let old = place.signer();
        let from = place.clock.now().plus(PUBLISHED_FIRST);
        let new = create(&place.dir, from, &place.clock).unwrap();
        let ring = place.open().unwrap();
        let signs = State::Signing { until: None };
        assert_eq!(states(&ring), [(new.kid.clone(), State::Published), (old.clone(), signs)]);
        place.clock.set(from);
        let ring = place.open().unwrap();
        assert_eq!(states(&ring), [(new.kid.clone(), signs), (old.clone(), State::Verifying)]);
        assert!(ring.verifier(&old, Timestamp::from_micros(i64::MAX)).is_some());

        let newest = place.rotate();
        let until = newest.from;
        let expected = [
            (newest.kid, State::Published),
            (new.kid, State::Signing { until: Some(until) }),
            (old, State::Retired { until: until.plus(KEEP) }),
        ];
        assert_eq!(states(&place.open().unwrap()), expected);
    }

    #[test]
    fn a_rotation_that_was_interrupted_is_brought_to_its_end_by_the_next() {
        let place = place();
        let old = place.signer();
        let from = place.clock.now().plus(PUBLISHED_FIRST);
        let new = create(&place.dir, from, &place.clock).unwrap();
        place.clock.advance(Duration::from_secs(10));
        let rotated = place.rotate();
        assert_eq!((rotated.kid.as_str(), rotated.from), (new.kid.as_str(), from));
        let expected = [(new.kid, State::Published), (old, State::Signing { until: Some(from) })];
        assert_eq!(states(&place.open().unwrap()), expected);
    }

    /// What the versions before this one, which knew no key that is yet to sign, have made and make of it.
    #[test]
    fn the_names_of_files_are_those_that_older_versions_write_and_read() {
        let place = place();
        let old = place.signer();
        let new = place.rotate();
        let (made, from) = (place.clock.now().seconds(), new.from.seconds());
        let expected =
            [format!("{made:012}-{old}.retired-{from}.pem"), format!("{from:012}-{}.pem", new.kid)];
        assert_eq!(place.files(), expected);
    }

    #[test]
    fn a_key_is_retired_only_where_another_signs() {
        let place = place();
        let old = place.signer();
        let retire = |kid: &str, now| match retire(&place.dir, kid, now, &place.clock, KEEP) {
            Ok(()) => String::from("done"),
            Err(error) => error.to_string(),
        };
        let signs = format!("{old} is the key that signs: run `satchel keys rotate` first");
        assert_eq!(retire(&old, false), signs);
        assert_eq!(retire(&old, true), signs);
        assert!(retire("../../etc/passwd", true).starts_with("there is no key \"../../etc/passwd\" in "));

        let next = place.rotate();
        for now in [false, true] {
            let signs = format!(
                "{old} is the key that signs until {}: wait, or run `satchel keys rotate --now` first",
                next.from
            );
            assert_eq!(retire(&old, now), signs);
            let next = format!(
                "{} is to sign from {} on, and none would then: run `satchel keys rotate --now` first",
                next.kid, next.from
            );
            assert_eq!(retire(&next[..43], now), next);
        }
        fs::remove_file(place.dir.join(&place.files()[1])).unwrap();
        let there = names(&place.dir).unwrap().remove(0);
        fs::rename(
            place.dir.join(there.to_string()),
            place.dir.join(Name { retired: None, ..there }.to_string()),
        )
        .unwrap();

        let new = create(&place.dir, place.clock.now().plus(Duration::from_secs(1)), &place.clock).unwrap();
        place.clock.advance(Duration::from_secs(1));
        assert_eq!(retire(&old, false), "done");
        let until = place.clock.now().plus(KEEP);
        assert_eq!(states(&place.open().unwrap())[1], (old.clone(), State::Retired { until }));
        let already = format!("{old} is retired already and verifies until {until}: `--now` removes it");
        assert_eq!(retire(&old, false), already);
        assert_eq!(retire(&old, true), "done");
        assert_eq!(states(&place.open().unwrap()), [(new.kid, State::Signing { until: None })]);
        assert!(retire(&old, true).starts_with("there is no key"));
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named_in_one_sentence() {
        let public = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n\
            -----END PUBLIC KEY-----\n";
        let x25519 = RFC_PEM.replace("K2Vw", "K2Vu");
        for (content, expected) in [
            ("", "is damaged (it is not a PEM file): restore it from a backup, or remove it"),
            ("\u{0}\u{1}", "is damaged (it is not a PEM file)"),
            (public, "is damaged (it holds a \"PUBLIC KEY\" instead of a \"PRIVATE KEY\")"),
            (&RFC_PEM[..60], "is damaged ("),
            (&RFC_PEM.replace("MC4C", "MC5C"), "is damaged ("),
            (&x25519, "is damaged ("),
            (&RFC_PEM.replace("rn9g", "rn9h"), "not the one it is named for"),
            (&format!("{RFC_PEM}{}", "x".repeat(1_000_000)), "is damaged ("),
        ] {
            let place = place();
            prepare(&place.dir).unwrap();
            let path = place.dir.join(format!("000000000001-{RFC_KID}.pem"));
            fs::write(&path, content).unwrap();
            let fault = place.fault();
            assert!(
                fault.contains(path.to_str().unwrap()) && fault.contains(expected),
                "{content:.80}: {fault}"
            );
            assert!(!fault.contains('\n'), "{fault}");
        }
    }

    #[test]
    fn the_seed_of_a_damaged_file_is_not_in_the_fault() {
        let place = place();
        prepare(&place.dir).unwrap();
        let damaged = RFC_PEM.replace("MC4C", "MC5C");
        fs::write(place.dir.join(format!("000000000001-{RFC_KID}.pem")), damaged).unwrap();
        assert!(!place.fault().contains("nWGx") && !place.fault().contains("J1hs"));
    }

    #[test]
    fn a_name_that_is_no_keys_is_refused_and_other_files_are_left_alone() {
        let place = place();
        place.open().unwrap();
        fs::write(place.dir.join("README"), "mine").unwrap();
        place.open().unwrap();
        for name in [
            "key.pem".to_owned(),
            format!("1-{RFC_KID}.pem"),
            format!("+00000000001-{RFC_KID}.pem"),
            format!("000000000001-{RFC_KID}.retired-.pem"),
            format!("000000000001-{RFC_KID}.retired-007.pem"),
            String::from("000000000001-short.pem"),
            String::from("ääääääääääää.pem"),
        ] {
            fs::write(place.dir.join(&name), RFC_PEM).unwrap();
            let fault = place.fault();
            assert!(fault.contains(&name) && fault.contains("move it elsewhere"), "{fault}");
            fs::remove_file(place.dir.join(&name)).unwrap();
        }
    }

    #[test]
    fn a_ring_in_which_no_key_signs_says_how_to_get_one() {
        let place = place();
        place.open().unwrap();
        set_retired(&place.dir, &names(&place.dir).unwrap()[0], place.clock.now()).unwrap();
        assert!(place.fault().ends_with("signs: run `satchel keys rotate` to make one"), "{}", place.fault());
        let new = place.rotate();
        assert_eq!(place.signer(), new.kid);
    }

    #[test]
    fn an_unfinished_file_does_not_count_and_is_swept_away_in_the_end() {
        let place = place();
        let ring = place.open().unwrap();
        let before = stamp(&place.dir).unwrap();
        fs::write(place.dir.join(format!(".001800000000-{RFC_KID}.pem.new")), &RFC_PEM[..30]).unwrap();
        assert_eq!(place.open().unwrap().list(), ring.list());
        assert_eq!(stamp(&place.dir).unwrap(), before);
        place.clock.advance(Duration::from_secs(3_599));
        assert_eq!(sweep(&place.dir, place.clock.now(), KEEP).unwrap(), 0);
        place.clock.advance(Duration::from_secs(1));
        assert_eq!(sweep(&place.dir, place.clock.now(), KEEP).unwrap(), 1);
        assert_eq!(place.open().unwrap().list(), ring.list());
    }
}
