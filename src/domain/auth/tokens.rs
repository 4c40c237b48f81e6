//! Tokens: the signed texts that say who is calling, and the rules by which one is believed.
//!
//! JSON Web Tokens (RFC 7519) in the compact form of RFC 7515, signed with Ed25519 (RFC 8037 §3.1) and
//! checked as RFC 8725 advises. Whether a token was revoked is not known here.

use std::cell::Cell;
use std::sync::{LazyLock, Once};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::signature::{self, Signer, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Validation};
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use super::keys::Keyring;
use crate::clock::Timestamp;
use crate::error::{Context, Error, Result};

/// Ours are about 600 bytes; what is longer than this is not looked at.
const TOKEN_BYTES_MAX: usize = 4096;

/// Which door a token opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum Kind {
    /// It goes with requests.
    Access,
    /// It is traded for the next pair.
    Refresh,
}

impl Kind {
    /// The `typ` of the header: RFC 9068 §2.1 for access tokens.
    const fn header_typ(self) -> &'static str {
        match self {
            Self::Access => "at+jwt",
            Self::Refresh => "JWT",
        }
    }
}

impl TryFrom<String> for Kind {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_str() {
            "access" => Ok(Self::Access),
            "refresh" => Ok(Self::Refresh),
            _ => Err("not a kind of token"),
        }
    }
}

/// What a token says. Every claim is required, each of exactly its type; others are ignored (RFC 7519 §4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who made it.
    pub iss: String,
    /// Whom it is for: one name.
    pub aud: String,
    /// The public id of the user.
    pub sub: Uuid,
    /// The session it belongs to.
    pub sid: Uuid,
    /// The token itself.
    pub jti: Uuid,
    /// Which door it opens.
    pub typ: Kind,
    /// The user's epoch when it was made.
    #[serde(deserialize_with = "not_negative")]
    pub epoch: i64,
    /// When it was made, in Unix seconds.
    #[serde(deserialize_with = "not_negative")]
    pub iat: i64,
    /// When it begins to be good, in Unix seconds.
    #[serde(deserialize_with = "not_negative")]
    pub nbf: i64,
    /// When it is good no longer, in Unix seconds.
    #[serde(deserialize_with = "not_negative")]
    pub exp: i64,
}

/// The names a token must carry to be ours, and the patience with other clocks.
#[derive(Clone, Debug)]
pub struct Names {
    /// The only `iss`.
    pub issuer: String,
    /// The only `aud`.
    pub audience: String,
    /// How far `nbf` and `exp` may be off.
    pub leeway_seconds: i64,
}

/// Why a token is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// It is no token of ours, or not yet good.
    Undecodable,
    /// It is a token of ours with nothing wrong but its age.
    Expired,
}

/// Signs the claims with the key that signs at their `iat`.
///
/// Ed25519 needs no random number (RFC 8032 §5.1.6) and the members are written in one order: the same claims
/// and the same key give the same text, byte for byte. The repeated answer to a repeated refresh relies on it.
pub fn sign(keys: &Keyring, claims: &Claims) -> Result<String> {
    provide_crypto();
    let (key, kid) = keys.signer(Timestamp::from_seconds(claims.iat));
    let header = jsonwebtoken::Header {
        typ: Some(claims.typ.header_typ().to_owned()),
        kid: Some(kid.to_owned()),
        ..jsonwebtoken::Header::new(Algorithm::EdDSA)
    };
    jsonwebtoken::encode(&header, claims, key)
        .map_err(|error| Error::Fault(error.into()))
        .context("signing a token")
}

/// Believes a token, or says why not. `now` is the only clock it is held against.
///
/// Nothing in a token is used before its signature was checked, but for `kid`, which only chooses among our
/// own keys. Its text is canonical: base64url without padding and without loose bits, so no second text
/// carries the same signature.
pub fn verify(keys: &Keyring, names: &Names, token: &str, now: Timestamp) -> Result<Claims, Bad> {
    provide_crypto();
    if token.len() > TOKEN_BYTES_MAX {
        return Err(Bad::Undecodable);
    }
    let header = Header::of(token).ok_or(Bad::Undecodable)?;
    let key = keys.verifier(&header.kid, now).ok_or(Bad::Undecodable)?;
    let claims =
        jsonwebtoken::decode::<Claims>(token, key, &SIGNATURE_ONLY).map_err(|_| Bad::Undecodable)?.claims;

    let fits = header.typ.is_none_or(|typ| typ == claims.typ.header_typ());
    let ours = claims.iss == names.issuer && claims.aud == names.audience;
    let begun = claims.nbf <= now.seconds().saturating_add(names.leeway_seconds);
    if !(fits && ours && begun) {
        return Err(Bad::Undecodable);
    }
    if claims.exp <= now.seconds().saturating_sub(names.leeway_seconds) {
        return Err(Bad::Expired);
    }
    Ok(claims)
}

/// The header of a token of ours. No other member may stand in it: that refuses `crit` and `b64`, and a `jwk`,
/// `jku`, `x5u` or `x5c` that offers a key of its own. RFC 7515 §4 would let a stranger's members be ignored,
/// but no stranger signs with our keys.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    kid: String,
    typ: Option<String>,
}

impl Header {
    /// Only the one algorithm, in the one spelling (RFC 8725 §3.1).
    fn of(token: &str) -> Option<Self> {
        let (header, _) = token.split_once('.')?;
        let header: Self = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        (header.alg == "EdDSA").then_some(header)
    }
}

fn not_negative<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let number = u64::deserialize(deserializer)?;
    i64::try_from(number).map_err(serde::de::Error::custom)
}

/// The library checks form, algorithm and signature; the claims are checked by `verify`, which knows the time.
static SIGNATURE_ONLY: LazyLock<Validation> = LazyLock::new(|| {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
});

/// Gives the library its cryptography: Ed25519 and nothing else.
fn provide_crypto() {
    static PROVIDER: CryptoProvider = CryptoProvider {
        signer_factory: ed25519_signer,
        verifier_factory: ed25519_verifier,
        key_utils: KeyUtils::new_unimplemented(),
    };
    static ONCE: Once = Once::new();
    ONCE.call_once(|| PROVIDER.install_default().expect("no other room brings a provider"));
}

struct Ed25519Signer(SigningKey);

fn ed25519_signer(
    algorithm: &Algorithm,
    key: &EncodingKey,
) -> jsonwebtoken::errors::Result<Box<dyn JwtSigner>> {
    match (algorithm, key.as_bytes().try_into()) {
        (Algorithm::EdDSA, Ok(seed)) => Ok(Box::new(Ed25519Signer(SigningKey::from_bytes(seed)))),
        _ => Err(ErrorKind::InvalidEddsaKey.into()),
    }
}

impl Signer<Vec<u8>> for Ed25519Signer {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(self.0.sign(message).to_vec())
    }
}

impl JwtSigner for Ed25519Signer {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

struct Ed25519Verifier(VerifyingKey);

fn ed25519_verifier(
    algorithm: &Algorithm,
    key: &DecodingKey,
) -> jsonwebtoken::errors::Result<Box<dyn JwtVerifier>> {
    thread_local! {
        // The library hands over bytes. Finding their point on the curve costs a tenth of a verification, and
        // it is nearly always the same one.
        static LAST: Cell<Option<VerifyingKey>> = const { Cell::new(None) };
    }
    let bytes = match (algorithm, key.try_get_as_bytes()?.try_into()) {
        (Algorithm::EdDSA, Ok(bytes)) => bytes,
        _ => return Err(ErrorKind::InvalidEddsaKey.into()),
    };
    let key = match LAST.get().filter(|last| last.as_bytes() == bytes) {
        Some(last) => last,
        None => VerifyingKey::from_bytes(bytes).map_err(|_| ErrorKind::InvalidEddsaKey)?,
    };
    LAST.set(Some(key));
    Ok(Box::new(Ed25519Verifier(key)))
}

impl Verifier<Vec<u8>> for Ed25519Verifier {
    /// Strict: S below the order of the group (RFC 8032 §5.1.7) and no point of small order.
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let signature = Signature::from_slice(signature).map_err(|_| signature::Error::new())?;
        self.0.verify_strict(message, &signature).map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Ed25519Verifier {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
    use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePublicKey};
    use serde_json::{Value, json};
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::clock::Clock;

    const NOW: i64 = 1_800_000_000;
    const LEEWAY: i64 = 5;

    /// A ring, and what its thief could do: the key of its file.
    struct Ring {
        dir: tempfile::TempDir,
        clock: Clock,
        keys: Keyring,
        key: SigningKey,
        kid: String,
        names: Names,
    }

    fn ring() -> Ring {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::held(Timestamp::from_seconds(NOW));
        let keys = Keyring::open(dir.path(), &clock, Duration::from_secs(1_000)).unwrap();
        let file = fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path();
        let key = SigningKey::from_pkcs8_pem(&fs::read_to_string(file).unwrap()).unwrap();
        let kid = keys.signer(clock.now()).1.to_owned();
        let names =
            Names { issuer: "satchel".into(), audience: "satchel-api".into(), leeway_seconds: LEEWAY };
        Ring { dir, clock, keys, key, kid, names }
    }

    fn claims(typ: Kind) -> Claims {
        Claims {
            iss: "satchel".into(),
            aud: "satchel-api".into(),
            sub: Uuid::from_u128(1),
            sid: Uuid::from_u128(2),
            jti: Uuid::from_u128(3),
            typ,
            epoch: 4,
            iat: NOW,
            nbf: NOW,
            exp: NOW + 900,
        }
    }

    fn b64(bytes: impl AsRef<[u8]>) -> String {
        URL_SAFE_NO_PAD.encode(bytes)
    }

    impl Ring {
        fn header(&self) -> Value {
            json!({"alg": "EdDSA", "kid": self.kid, "typ": "at+jwt"})
        }

        /// Signs whatever it is given with the ring's own key.
        fn forge(&self, header: &str, claims: &str) -> String {
            let message = format!("{}.{}", b64(header), b64(claims));
            let signature = b64(self.key.sign(message.as_bytes()).to_bytes());
            format!("{message}.{signature}")
        }

        fn forge_header(&self, header: &Value) -> String {
            self.forge(&header.to_string(), &good_claims().to_string())
        }

        fn forge_claims(&self, claims: &str) -> String {
            self.forge(&self.header().to_string(), claims)
        }

        fn verify_at(&self, token: &str, seconds: i64) -> Result<Claims, Bad> {
            verify(&self.keys, &self.names, token, Timestamp::from_seconds(seconds))
        }

        fn verify(&self, token: &str) -> Result<Claims, Bad> {
            self.verify_at(token, NOW)
        }

        #[track_caller]
        fn refuses(&self, token: &str) {
            assert_eq!(self.verify(token), Err(Bad::Undecodable), "{token}");
        }
    }

    fn good_claims() -> Value {
        serde_json::to_value(claims(Kind::Access)).unwrap()
    }

    #[test]
    fn what_was_signed_is_believed_and_has_the_header_of_its_kind() {
        let ring = ring();
        for (kind, typ) in [(Kind::Access, "at+jwt"), (Kind::Refresh, "JWT")] {
            let token = sign(&ring.keys, &claims(kind)).unwrap();
            assert_eq!(ring.verify(&token), Ok(claims(kind)));
            let part = |n| -> Value {
                let part = token.split('.').nth(n).unwrap();
                serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
            };
            assert_eq!(part(0), json!({"alg": "EdDSA", "kid": ring.kid, "typ": typ}));
            assert_eq!(part(1)["typ"], if kind == Kind::Access { "access" } else { "refresh" });
            assert!(token.len() < 700, "{}", token.len());
        }
    }

    #[test]
    fn the_same_claims_and_key_give_the_same_text() {
        let ring = ring();
        let again = Keyring::open(ring.dir.path(), &ring.clock, Duration::ZERO).unwrap();
        let token = sign(&ring.keys, &claims(Kind::Refresh)).unwrap();
        assert_eq!(sign(&again, &claims(Kind::Refresh)).unwrap(), token);
    }

    #[test]
    fn the_signature_is_that_of_rfc_8037() {
        provide_crypto();
        let seed = URL_SAFE_NO_PAD.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
        let message = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let key = EncodingKey::from_ed_der(&seed);
        let signature = jsonwebtoken::crypto::sign(message, &key, Algorithm::EdDSA).unwrap();
        assert_eq!(
            signature,
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
        );
        let x = DecodingKey::from_ed_components("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
        assert!(jsonwebtoken::crypto::verify(&signature, message, &x, Algorithm::EdDSA).unwrap());
    }

    #[test]
    fn a_foreign_library_spelling_the_header_its_own_way_is_understood() {
        let ring = ring();
        let header = format!(" {{\n\"kid\" : \"{}\", \"alg\":\"EdDSA\" }} ", ring.kid);
        assert_eq!(ring.verify(&ring.forge(&header, &good_claims().to_string())), Ok(claims(Kind::Access)));
    }

    #[test]
    fn no_change_survives_the_signature() {
        let ring = ring();
        let token = sign(&ring.keys, &claims(Kind::Access)).unwrap();
        let parts: Vec<_> = token.split('.').collect();
        let other = b64(serde_json::to_vec(&Claims { exp: NOW + 9_000, ..claims(Kind::Access) }).unwrap());
        ring.refuses(&format!("{}.{other}.{}", parts[0], parts[2]));
        let other = b64(json!({"alg": "EdDSA", "kid": ring.kid}).to_string());
        ring.refuses(&format!("{other}.{}.{}", parts[1], parts[2]));
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            ring.refuses(&String::from_utf8(bytes).unwrap());
        }
    }

    #[test]
    fn another_form_of_the_text_is_refused() {
        let ring = ring();
        let token = sign(&ring.keys, &claims(Kind::Access)).unwrap();
        let parts: Vec<_> = token.split('.').collect();
        for text in [
            String::new(),
            String::from("."),
            String::from(".."),
            String::from("a.b.c"),
            String::from("\u{1F511}.\u{1F511}.\u{1F511}"),
            parts[..2].join("."),
            format!("{}.{}.", parts[0], parts[1]),
            format!("{token}."),
            format!(".{token}"),
            format!("{token}.{}", parts[2]),
            format!("{token}="),
            format!("{token}=="),
            format!("{token} "),
            format!(" {token}"),
            format!("{token}\n"),
            format!("{}=.{}.{}", parts[0], parts[1], parts[2]),
            format!("{}.{}==.{}", parts[0], parts[1], parts[2]),
            format!("Bearer {token}"),
            // A JWE has five parts; the JSON serialisation has none.
            format!("{}.{}.{}.{}.{}", parts[0], parts[0], parts[1], parts[2], parts[2]),
            json!({"payload": parts[1], "protected": parts[0], "signature": parts[2]}).to_string(),
            format!("{}.{}.{}", parts[0], parts[1], "A".repeat(5_000)),
        ] {
            ring.refuses(&text);
        }
        // The last character of 64 bytes carries four bits that mean nothing.
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let (rest, last) = token.split_at(token.len() - 1);
        for other in alphabet.chars().filter(|other| !last.starts_with(*other)) {
            ring.refuses(&format!("{rest}{other}"));
        }
    }

    #[test]
    fn a_token_is_measured_before_it_is_read() {
        let ring = ring();
        let mut long = good_claims();
        long["more"] = json!("x".repeat(2_500));
        let token = ring.forge_claims(&long.to_string());
        assert!(token.len() < TOKEN_BYTES_MAX);
        assert_eq!(ring.verify(&token), Ok(claims(Kind::Access)));
        long["more"] = json!("x".repeat(3_000));
        let token = ring.forge_claims(&long.to_string());
        assert!(token.len() > TOKEN_BYTES_MAX);
        ring.refuses(&token);
    }

    #[test]
    fn a_signature_with_the_order_added_to_its_scalar_is_refused() {
        let ring = ring();
        let token = sign(&ring.keys, &claims(Kind::Access)).unwrap();
        let (message, signature) = token.rsplit_once('.').unwrap();
        let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let order = [
            0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
        ];
        let mut carry = 0;
        for (byte, add) in bytes[32..].iter_mut().zip(order) {
            let sum = u16::from(*byte) + add + carry;
            *byte = sum.to_le_bytes()[0];
            carry = sum >> 8;
        }
        ring.refuses(&format!("{message}.{}", b64(bytes)));
    }

    #[test]
    fn a_good_signature_under_another_name_of_its_algorithm_is_refused() {
        let ring = ring();
        for alg in [
            json!("none"),
            json!("None"),
            json!("nOnE"),
            json!(""),
            json!("HS256"),
            json!("HS384"),
            json!("HS512"),
            json!("RS256"),
            json!("PS256"),
            json!("ES256"),
            json!("eddsa"),
            json!("EDDSA"),
            json!("EdDSA "),
            json!("Ed25519"),
            json!("Ed448"),
            json!(null),
            json!(1),
            json!(true),
            json!(["EdDSA"]),
            json!({"EdDSA": null}),
        ] {
            let mut header = ring.header();
            header["alg"] = alg;
            let token = ring.forge_header(&header);
            ring.refuses(&token);
            ring.refuses(&token[..=token.rfind('.').unwrap()]);
        }
        let mut header = ring.header();
        header.as_object_mut().unwrap().remove("alg");
        ring.refuses(&ring.forge_header(&header));
    }

    #[test]
    fn the_public_key_is_no_secret_of_an_hmac() {
        let ring = ring();
        let public = ring.key.verifying_key();
        let der = public.to_public_key_der().unwrap();
        let pem = public.to_public_key_pem(LineEnding::LF).unwrap();
        let hex: String = public.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let jwks = ring.keys.jwks().to_string();
        for secret in [
            &public.as_bytes()[..],
            der.as_bytes(),
            pem.as_bytes(),
            pem.trim_end().as_bytes(),
            hex.as_bytes(),
            b64(public.as_bytes()).as_bytes(),
            ring.kid.as_bytes(),
            jwks.as_bytes(),
            b"",
        ] {
            for alg in ["HS256", "EdDSA"] {
                let mut header = ring.header();
                header["alg"] = json!(alg);
                let message = format!("{}.{}", b64(header.to_string()), b64(good_claims().to_string()));
                ring.refuses(&format!("{message}.{}", b64(hmac_sha256(secret, message.as_bytes()))));
            }
        }
    }

    fn hmac_sha256(secret: &[u8], message: &[u8]) -> Vec<u8> {
        let mut key = if secret.len() > 64 { Sha256::digest(secret).to_vec() } else { secret.to_vec() };
        key.resize(64, 0);
        let pad = |with: u8| key.iter().map(|byte| byte ^ with).collect::<Vec<u8>>();
        let inner = Sha256::digest([&pad(0x36)[..], message].concat());
        Sha256::digest([&pad(0x5c)[..], &inner[..]].concat()).to_vec()
    }

    #[test]
    fn a_key_that_comes_with_the_token_is_not_used() {
        let ring = ring();
        let own = SigningKey::from_bytes(&[7; 32]);
        let x = b64(own.verifying_key().as_bytes());
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": x, "alg": "EdDSA", "use": "sig"});
        for (name, value) in [
            ("jwk", jwk),
            ("jku", json!("http://127.0.0.1:9/jwks.json")),
            ("x5u", json!("http://127.0.0.1:9/cert.pem")),
            ("x5c", json!([x])),
        ] {
            let mut header = ring.header();
            header[name] = value;
            let message = format!("{}.{}", b64(header.to_string()), b64(good_claims().to_string()));
            ring.refuses(&format!("{message}.{}", b64(own.sign(message.as_bytes()).to_bytes())));
            // Not even beside a good signature.
            ring.refuses(&ring.forge_header(&header));
        }
    }

    #[test]
    fn a_kid_only_chooses_among_our_keys() {
        let ring = ring();
        let traversal = format!("../keys/{}", ring.kid);
        let long = "k".repeat(8_192);
        for kid in [
            json!(""),
            json!("../../dev/null"),
            json!(traversal),
            json!("' or 1=1 --"),
            json!(long),
            json!("\u{0}"),
            json!(ring.kid.to_lowercase()),
            json!(format!("{} ", ring.kid)),
            json!(null),
            json!(1),
            json!(true),
            json!([ring.kid]),
            json!({"kid": ring.kid}),
        ] {
            let mut header = ring.header();
            header["kid"] = kid;
            ring.refuses(&ring.forge_header(&header));
        }
        let mut header = ring.header();
        header.as_object_mut().unwrap().remove("kid");
        ring.refuses(&ring.forge_header(&header));
    }

    #[test]
    fn a_header_that_asks_for_more_is_refused() {
        let ring = ring();
        for (name, value) in [
            ("crit", json!(["exp"])),
            ("crit", json!(["b64"])),
            ("crit", json!([])),
            ("crit", json!(null)),
            ("b64", json!(false)),
            ("b64", json!(true)),
            ("b64", json!(null)),
            ("zip", json!("DEF")),
            ("enc", json!("A128GCM")),
            ("typ", json!("JWT")),
            ("typ", json!("AT+JWT")),
            ("typ", json!("JOSE")),
            ("typ", json!("")),
            ("typ", json!(1)),
        ] {
            let mut header = ring.header();
            header[name] = value;
            ring.refuses(&ring.forge_header(&header));
        }
        let refresh = serde_json::to_string(&claims(Kind::Refresh)).unwrap();
        ring.refuses(&ring.forge_claims(&refresh));
        let good = good_claims().to_string();
        for header in [
            String::new(),
            String::from("null"),
            String::from("[]"),
            String::from("\"EdDSA\""),
            format!("{}x", ring.header()),
            format!("\u{feff}{}", ring.header()),
            "[".repeat(900),
            format!(r#"{{"alg":"EdDSA","alg":"EdDSA","kid":"{}"}}"#, ring.kid),
            format!(r#"{{"alg":"none","alg":"EdDSA","kid":"{}"}}"#, ring.kid),
        ] {
            ring.refuses(&ring.forge(&header, &good));
        }
    }

    #[test]
    fn every_claim_must_be_there_and_of_its_type() {
        let ring = ring();
        assert_eq!(ring.verify(&ring.forge_claims(&good_claims().to_string())), Ok(claims(Kind::Access)));
        let names: Vec<_> = good_claims().as_object().unwrap().keys().cloned().collect();
        assert_eq!(names.len(), 10);
        for name in &names {
            let mut without = good_claims();
            without.as_object_mut().unwrap().remove(name);
            ring.refuses(&ring.forge_claims(&without.to_string()));
            for value in [
                "null",
                "true",
                "\"\"",
                "\"x\"",
                "[]",
                "{}",
                "-1",
                "-9223372036854775808",
                "1.5",
                "1800000000.0",
                "18e8",
                "9223372036854775808",
                "18446744073709551616",
                "1e400",
                "\"1800000900\"",
                "[1800000900]",
                "{\"access\":null}",
                "\"other\"",
                "\"Access\"",
            ] {
                let mut text = good_claims();
                text[name] = json!("PLACE");
                let text = text.to_string().replace("\"PLACE\"", value);
                ring.refuses(&ring.forge_claims(&text));
            }
        }
    }

    #[test]
    fn claims_of_others_and_claims_said_twice_are_refused() {
        let ring = ring();
        for (name, value) in [
            ("iss", json!("satchel ")),
            ("iss", json!("Satchel")),
            ("iss", json!(["satchel"])),
            ("aud", json!("satchel")),
            ("aud", json!(["satchel-api"])),
            ("aud", json!(["satchel-api", "other"])),
            ("typ", json!("confirm")),
            ("sub", json!("00000000-0000-0000-0000-00000000000")),
        ] {
            let mut claims = good_claims();
            claims[name] = value;
            ring.refuses(&ring.forge_claims(&claims.to_string()));
        }
        let good = good_claims().to_string();
        for twice in [
            "\"sub\":\"00000000-0000-0000-0000-000000000009\"",
            "\"exp\":1900000000",
            "\"\\u0065xp\":1900000000",
        ] {
            ring.refuses(&ring.forge_claims(&good.replacen('{', &format!("{{{twice},"), 1)));
            ring.refuses(&ring.forge_claims(&format!("{},{twice}}}", good.trim_end_matches('}'))));
        }
        for text in ["", "null", "[]", "\"\"", "{", &format!("{good}{good}"), &"[".repeat(2_000)] {
            ring.refuses(&ring.forge_claims(text));
        }
        let mut claims = good_claims();
        claims["role"] = json!("admin");
        assert_eq!(ring.verify(&ring.forge_claims(&claims.to_string())), Ok(self::claims(Kind::Access)));
    }

    #[test]
    fn a_token_is_good_from_nbf_to_exp_and_the_leeway_around_them() {
        let ring = ring();
        let token = sign(&ring.keys, &claims(Kind::Access)).unwrap();
        for (at, expected) in [
            (NOW - LEEWAY - 1, Err(Bad::Undecodable)),
            (NOW - LEEWAY, Ok(())),
            (NOW + 899, Ok(())),
            (NOW + 900 + LEEWAY - 1, Ok(())),
            (NOW + 900 + LEEWAY, Err(Bad::Expired)),
            (i64::MAX / 1_000_000, Err(Bad::Expired)),
            (i64::MIN / 1_000_000, Err(Bad::Undecodable)),
        ] {
            assert_eq!(ring.verify_at(&token, at).map(drop), expected, "{at}");
        }
        let forever = Claims { exp: i64::MAX, nbf: 0, ..claims(Kind::Access) };
        assert_eq!(ring.verify(&sign(&ring.keys, &forever).unwrap()), Ok(forever));
    }

    #[test]
    fn only_a_token_with_no_other_fault_is_called_expired() {
        let ring = ring();
        let late = NOW + 2_000;
        let token = sign(&ring.keys, &claims(Kind::Access)).unwrap();
        assert_eq!(ring.verify_at(&token, late), Err(Bad::Expired));
        let foreign = Claims { iss: "other".into(), ..claims(Kind::Access) };
        for token in [
            sign(&ring.keys, &foreign).unwrap(),
            sign(&ring.keys, &Claims { nbf: late + 100, ..claims(Kind::Access) }).unwrap(),
            ring.forge_claims(&serde_json::to_string(&claims(Kind::Refresh)).unwrap()),
            format!("{token}="),
            token.replacen('.', ".e", 1),
        ] {
            assert_eq!(ring.verify_at(&token, late), Err(Bad::Undecodable), "{token}");
        }
    }

    #[test]
    fn a_retired_key_is_believed_to_its_end_and_a_removed_one_not_at_all() {
        let mut ring = ring();
        let keep = Duration::from_secs(1_000);
        let old = sign(&ring.keys, &Claims { exp: NOW + 9_000, ..claims(Kind::Access) }).unwrap();
        super::super::keys::rotate(ring.dir.path(), true, &ring.clock, keep).unwrap();
        ring.keys = Keyring::open(ring.dir.path(), &ring.clock, keep).unwrap();
        let new = sign(&ring.keys, &claims(Kind::Access)).unwrap();
        assert_ne!(old.split('.').next(), new.split('.').next());
        assert_eq!(ring.verify(&new).map(drop), Ok(()));
        assert_eq!(ring.verify_at(&old, NOW + 999).map(drop), Ok(()));
        assert_eq!(ring.verify_at(&old, NOW + 1_000), Err(Bad::Undecodable));

        super::super::keys::retire(ring.dir.path(), &ring.kid, true, &ring.clock, keep).unwrap();
        ring.keys = Keyring::open(ring.dir.path(), &ring.clock, keep).unwrap();
        ring.refuses(&old);
        assert_eq!(ring.verify(&new).map(drop), Ok(()));
    }
}
