//! Tokens: only a text that this server signed, for this purpose and this time, says who is calling.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use ed25519_dalek::pkcs8::EncodePublicKey;
use ed25519_dalek::{Signature, VerifyingKey};
use satchel::clock::Timestamp;
use satchel::domain::auth::proofs::{self, Purpose};
use satchel::domain::users;
use satchel::error::{Error, Refusal};
use serde_json::{Value, json};
use sha2::{Digest, Sha256, Sha384, Sha512};

use super::{Forger, claims_of, decode, encode, header_of, log_out, look_up, me, pair, parts, refresh};
use crate::house::{BEGINNING, House, PASSWORD, answer};

/// HMAC of RFC 2104 over any hash.
fn hmac<D: Digest>(block: usize, key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut padded = if key.len() > block { D::digest(key).to_vec() } else { key.to_vec() };
    padded.resize(block, 0);
    let pad = |with: u8| padded.iter().map(|byte| byte ^ with).collect::<Vec<_>>();
    let inner = D::new().chain_update(pad(0x36)).chain_update(message).finalize();
    D::new().chain_update(pad(0x5c)).chain_update(inner).finalize().to_vec()
}

#[tokio::test]
async fn a_token_whose_claims_were_changed_under_its_signature_is_refused() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let bob = house.guest("bob").await;
    let [header, _, signature] = parts(&ada.access);
    for (name, value) in [
        ("sub", json!(bob.uuid)),
        ("exp", json!(4_000_000_000_u64)),
        ("role", json!("admin")),
        ("epoch", json!(1)),
        ("typ", json!("refresh")),
    ] {
        let mut claims = claims_of(&ada.access);
        claims[name] = value;
        let forged = format!("{header}.{}.{signature}", encode(claims.to_string()));
        assert_eq!(me(&house, &forged).await, 401, "{name}");
    }
    let [header, claims, _] = parts(&ada.access);
    let other = parts(&bob.access)[2];
    assert_eq!(me(&house, &format!("{header}.{claims}.{other}")).await, 401);
    assert_eq!(me(&house, &ada.access).await, 200);
}

#[tokio::test]
async fn a_token_without_a_signature_algorithm_is_refused_however_none_is_spelt() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let [_, claims, signature] = parts(&ada.access);
    let kid = &header_of(&ada.access)["kid"];
    for alg in ["none", "None", "NONE", "nOnE", "", " none"] {
        for header in [json!({ "alg": alg, "kid": kid, "typ": "at+jwt" }), json!({ "alg": alg })] {
            let header = encode(header.to_string());
            for signature in ["", signature, "AA"] {
                assert_eq!(me(&house, &format!("{header}.{claims}.{signature}")).await, 401, "{alg:?}");
            }
            assert_eq!(me(&house, &format!("{header}.{claims}")).await, 401, "{alg:?}");
        }
    }
    for header in
        [json!({ "kid": kid }), json!({ "alg": null, "kid": kid }), json!({ "alg": ["EdDSA"], "kid": kid })]
    {
        let header = encode(header.to_string());
        assert_eq!(me(&house, &format!("{header}.{claims}.{signature}")).await, 401);
    }
}

#[tokio::test]
async fn the_public_key_is_no_secret_to_sign_with() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let set = house.get("/.well-known/jwks.json").await.body;
    let x = set["keys"][0]["x"].as_str().unwrap();
    let raw = decode(x);
    let public = VerifyingKey::from_bytes(&raw.clone().try_into().unwrap()).unwrap();
    let der = public.to_public_key_der().unwrap();
    let pem = public.to_public_key_pem(Default::default()).unwrap();
    let hex: String = raw.iter().map(|byte| format!("{byte:02x}")).collect();
    let secrets: [(&str, Vec<u8>); 9] = [
        ("raw", raw.clone()),
        ("DER", der.as_bytes().to_vec()),
        ("PEM", pem.clone().into_bytes()),
        ("PEM without its last line end", pem.trim_end().as_bytes().to_vec()),
        ("base64", STANDARD.encode(&raw).into_bytes()),
        ("base64url", x.as_bytes().to_vec()),
        ("hex", hex.into_bytes()),
        ("the JWK", set["keys"][0].to_string().into_bytes()),
        ("empty", Vec::new()),
    ];
    let claims = parts(&ada.access)[1];
    for (form, secret) in &secrets {
        for alg in ["HS256", "HS384", "HS512", "EdDSA"] {
            let header = json!({ "typ": "at+jwt", "alg": alg, "kid": header_of(&ada.access)["kid"] });
            let message = format!("{}.{claims}", encode(header.to_string()));
            let mac = match alg {
                "HS384" => hmac::<Sha384>(128, secret, message.as_bytes()),
                "HS512" | "EdDSA" => hmac::<Sha512>(128, secret, message.as_bytes()),
                _ => hmac::<Sha256>(64, secret, message.as_bytes()),
            };
            assert_eq!(me(&house, &format!("{message}.{}", encode(mac))).await, 401, "{alg} with {form}");
        }
    }
}

#[tokio::test]
async fn a_good_signature_under_another_name_of_an_algorithm_is_refused() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let forger = Forger::with_the_key_of(&house);
    let claims = claims_of(&ada.access);
    assert_eq!(me(&house, &forger.sign(&claims)).await, 200, "the forger knows how to make a good one");
    for alg in ["eddsa", "EDDSA", "Ed25519", "Ed448", "HS256", "RS256", "ES256", "PS512", "none", "EdDSA "] {
        let header = json!({ "typ": "at+jwt", "alg": alg, "kid": forger.kid });
        assert_eq!(
            me(&house, &forger.sign_text(&header.to_string(), &claims.to_string())).await,
            401,
            "{alg}"
        );
    }
}

#[tokio::test]
async fn a_key_that_a_token_brings_along_is_neither_believed_nor_fetched() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let lure = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    lure.set_nonblocking(true).unwrap();
    let url = format!("http://{}/keys.json", lure.local_addr().unwrap());
    let own = Forger::with_a_key_of_his_own("attacker");
    let jwk = json!({
        "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": own.kid,
        "x": encode(own.key.verifying_key().as_bytes()),
    });
    let claims = claims_of(&ada.access).to_string();
    let real = Forger::with_the_key_of(&house);
    for kid in [json!("attacker"), json!(real.kid), json!(url), Value::Null] {
        for (name, value) in [
            ("jwk", jwk.clone()),
            ("jku", json!(url)),
            ("x5u", json!(url)),
            ("x5c", json!([STANDARD.encode([1; 64])])),
            ("x5t", json!("AA")),
            ("typ", json!("at+jwt")),
        ] {
            let mut header = json!({ "alg": "EdDSA", "typ": "at+jwt" });
            if !kid.is_null() {
                header["kid"] = kid.clone();
            }
            header[name] = value;
            let forged = own.sign_text(&header.to_string(), &claims);
            assert_eq!(me(&house, &forged).await, 401, "{header}");
            assert_eq!(refresh(&house, &forged).await.status, 401, "{header}");
        }
    }
    let tried = lure.accept().unwrap_err();
    assert_eq!(tried.kind(), std::io::ErrorKind::WouldBlock, "the server came to fetch a key");
}

#[tokio::test]
async fn a_key_id_is_nothing_but_a_name_to_compare() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let real = Forger::with_the_key_of(&house);
    let claims = claims_of(&ada.access).to_string();
    for kid in [
        json!(""),
        json!("unknown"),
        json!("../../dev/null"),
        json!("/etc/passwd"),
        json!("' or '1'='1"),
        json!("\u{0}"),
        json!("k".repeat(8_192)),
        json!(format!("{} ", real.kid)),
        json!(real.kid.to_lowercase()),
        json!(7),
        json!(null),
        json!([real.kid]),
        json!({ "kid": real.kid }),
        json!(true),
    ] {
        let header = json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": kid }).to_string();
        assert_eq!(me(&house, &real.sign_text(&header, &claims)).await, 401, "{kid}");
        assert_eq!(
            me(&house, &Forger::with_a_key_of_his_own("x").sign_text(&header, &claims)).await,
            401,
            "{kid}"
        );
    }
}

#[tokio::test]
async fn header_members_that_change_the_meaning_are_refused_though_well_signed() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let real = Forger::with_the_key_of(&house);
    let claims = claims_of(&ada.access).to_string();
    for (name, value) in [
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("crit", json!(["b64"])),
        ("b64", json!(false)),
        ("b64", json!(true)),
        ("zip", json!("DEF")),
        ("enc", json!("A256GCM")),
        ("cty", json!("JWT")),
        ("typ", json!("JWT")),
        ("typ", json!("dpop+jwt")),
    ] {
        let mut header = real.header();
        header[name] = value;
        assert_eq!(me(&house, &real.sign_text(&header.to_string(), &claims)).await, 401, "{header}");
    }
    // b64:false for real: the claims stand in the token as they are (RFC 7797).
    let header = json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": real.kid, "b64": false, "crit": ["b64"] });
    let message = format!("{}.{}", encode(header.to_string()), claims);
    let signature = ed25519_dalek::Signer::sign(&real.key, message.as_bytes());
    assert_eq!(me(&house, &format!("{message}.{}", encode(signature.to_bytes()))).await, 401);
    // The same member twice.
    let twice = format!(r#"{{"alg":"none","alg":"EdDSA","typ":"at+jwt","kid":"{}"}}"#, real.kid);
    assert_eq!(me(&house, &real.sign_text(&twice, &claims)).await, 401);
}

#[tokio::test]
async fn a_signature_with_a_second_form_of_its_number_is_refused() {
    // The order of the group (RFC 8032 §5.1), little-endian.
    const L: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let [header, claims, signature] = parts(&ada.access);
    let mut bytes = decode(signature);
    let mut carry = 0;
    for (byte, add) in bytes[32..].iter_mut().zip(L) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    assert_eq!(carry, 0, "S + L fits into 32 bytes");
    assert_eq!(me(&house, &format!("{header}.{claims}.{}", encode(&bytes))).await, 401);
    for bytes in [vec![0; 64], bytes[..63].to_vec(), [&bytes[..], &[0]].concat(), Vec::new()] {
        assert_eq!(me(&house, &format!("{header}.{claims}.{}", encode(&bytes))).await, 401);
    }
}

#[tokio::test]
async fn no_other_spelling_of_a_token_outlives_its_log_out() {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let (body, last) = ada.access.split_at(ada.access.len() - 1);
    let value = ALPHABET.iter().position(|letter| *letter == last.as_bytes()[0]).unwrap();
    // 512 bits leave four loose ones in the last letter.
    let mut spellings: Vec<String> = (0..16)
        .map(|loose| format!("{body}{}", char::from(ALPHABET[value & 0b11_0000 | loose])))
        .filter(|spelling| *spelling != ada.access)
        .collect();
    let [header, claims, signature] = parts(&ada.access);
    spellings.extend(["=", "==", ".", "%20", "A"].map(|tail| format!("{}{tail}", ada.access)));
    spellings.push(format!("{header}.{claims}.{}", URL_SAFE.encode(decode(signature))));
    spellings.push(format!("{header}.{claims}.{}", signature.replace('-', "+").replace('_', "/") + "="));
    spellings.push(format!("{header}=.{claims}.{signature}"));
    spellings.push(format!(".{}", ada.access));
    spellings.push(ada.access.replacen('.', "..", 1));
    spellings.push(json!({ "payload": claims, "protected": header, "signature": signature }).to_string());
    assert_eq!(me(&house, &ada.access).await, 200);
    for spelling in &spellings {
        assert_eq!(me(&house, spelling).await, 401, "before the log-out: {spelling}");
    }
    log_out(&house, &ada.access).await.is(200, json!({ "message": "Successfully logged out" }));
    for spelling in spellings.iter().chain([&ada.access]) {
        assert_eq!(me(&house, spelling).await, 401, "after the log-out: {spelling}");
    }
}

#[tokio::test]
async fn a_token_longer_than_four_kilobytes_is_refused_though_well_signed() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let real = Forger::with_the_key_of(&house);
    let mut claims = claims_of(&ada.access);
    claims["pad"] = json!("p".repeat(200));
    assert_eq!(me(&house, &real.sign(&claims)).await, 200);
    claims["pad"] = json!("p".repeat(4_096));
    assert_eq!(me(&house, &real.sign(&claims)).await, 401);
    assert_eq!(me(&house, &"e".repeat(60_000)).await, 401);
    assert_eq!(me(&house, &".".repeat(4_000)).await, 401);
}

#[tokio::test]
async fn a_claim_that_is_missing_or_of_another_type_ends_a_well_signed_token() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let real = Forger::with_the_key_of(&house);
    let good = claims_of(&ada.access);
    for name in ["iss", "aud", "sub", "sid", "jti", "typ", "epoch", "iat", "nbf", "exp"] {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(name);
        assert_eq!(me(&house, &real.sign(&claims)).await, 401, "no {name}");
        for value in
            [json!(null), json!(true), json!([good[name]]), json!({ "is": good[name] }), json!(-1), json!("")]
        {
            claims[name] = value.clone();
            assert_eq!(me(&house, &real.sign(&claims)).await, 401, "{name}: {value}");
        }
    }
    for name in ["epoch", "iat", "nbf", "exp"] {
        let mut claims = good.clone();
        claims[name] = json!("PLACE");
        for number in
            ["1e400", "1e18", "4102444800.5", "\"4102444800\"", "99999999999999999999", "-0.0", "NaN"]
        {
            let text = claims.to_string().replace("\"PLACE\"", number);
            let token = real.sign_text(&real.header().to_string(), &text);
            assert_eq!(me(&house, &token).await, 401, "{name}: {number}");
        }
    }
    for claims in ["", "null", "[]", "7", "\"claims\"", "{", "{}", &"[".repeat(2_000)] {
        assert_eq!(me(&house, &real.sign_text(&real.header().to_string(), claims)).await, 401, "{claims}");
    }
}

#[tokio::test]
async fn a_token_of_another_issuer_for_another_audience_or_of_another_session_is_refused() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let bob = house.guest("bob").await;
    let real = Forger::with_the_key_of(&house);
    for (name, value) in [
        ("iss", json!("https://satchel.example.com")),
        ("iss", json!("Satchel")),
        ("aud", json!("other")),
        ("aud", json!(["satchel", "other"])),
        ("epoch", json!(1)),
        ("sid", claims_of(&bob.access)["sid"].clone()),
        ("sid", json!("019a9d5e-6c1f-7c3b-8a54-3f0c1f4e2d10")),
        ("sub", json!(bob.uuid)),
        ("sub", json!("019a9d5e-6c1f-7c3b-8a54-3f0c1f4e2d10")),
    ] {
        let mut claims = claims_of(&ada.access);
        claims[name] = value.clone();
        assert_eq!(me(&house, &real.sign(&claims)).await, 401, "{name}: {value}");
    }
}

#[tokio::test]
async fn a_role_in_a_token_gives_no_right() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let real = Forger::with_the_key_of(&house);
    let mut claims = claims_of(&ada.access);
    for (name, value) in [
        ("role", json!("admin")),
        ("roles", json!(["admin"])),
        ("scope", json!("admin")),
        ("is_admin", json!(true)),
        ("admin", json!(true)),
    ] {
        claims[name] = value;
    }
    let token = real.sign(&claims);
    assert_eq!(me(&house, &token).await, 200);
    let path = format!("/api/v1.0/users/admin/{}/role?new_role=admin", ada.uuid);
    answer(house.request("PATCH", &path).bearer_auth(&token)).await.refuses(403, "Admin access required");
}

#[tokio::test]
async fn each_kind_of_token_opens_its_own_door_only() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let db = &house.server.app.db;
    let id = ada.uuid.parse().unwrap();
    let [confirm, reset] =
        [Purpose::ConfirmEmail, Purpose::ResetPassword].map(|purpose| (purpose, house.clock.random()));
    let issue = async |(purpose, random): (Purpose, [u8; 32])| {
        db.write(move |db| {
            let user = users::by_uuid(db, id)?;
            let expires = db.now.plus(std::time::Duration::from_secs(600));
            proofs::issue(db, user.id, purpose, &user.email, random, expires)
        })
        .await
        .unwrap()
    };
    let (confirm, reset) = (issue(confirm).await, issue(reset).await);
    for token in [&ada.refresh, &confirm, &reset] {
        assert_eq!(me(&house, token).await, 401, "as an access token");
    }
    refresh(&house, &ada.access).await.refuses(401, "Invalid refresh token");
    for token in [&confirm, &reset] {
        refresh(&house, token).await.refuses(401, "Could not validate credentials");
    }
    for token in [ada.access.clone(), ada.refresh.clone(), reset] {
        let refused = db.write(move |db| proofs::confirm_email(db, &token)).await.unwrap_err();
        assert!(matches!(refused, Error::Refusal(Refusal::ProofInvalid)), "{refused}");
    }
    for token in [ada.access.clone(), ada.refresh.clone(), confirm] {
        let refused =
            db.write(move |db| proofs::reset_password(db, &token, "$argon2id$x")).await.unwrap_err();
        assert!(matches!(refused, Error::Refusal(Refusal::ProofInvalid)), "{refused}");
    }
    let real = Forger::with_the_key_of(&house);
    for kind in ["confirm", "reset", "Access", "ACCESS", "id", "at+jwt", ""] {
        let mut claims = claims_of(&ada.access);
        claims["typ"] = json!(kind);
        assert_eq!(me(&house, &real.sign(&claims)).await, 401, "{kind}");
    }
    // A refresh token's claims under an access token's header, and the other way round.
    assert_eq!(me(&house, &real.sign(&claims_of(&ada.refresh))).await, 401);
    let header = json!({ "typ": "JWT", "alg": "EdDSA", "kid": real.kid }).to_string();
    assert_eq!(me(&house, &real.sign_text(&header, &claims_of(&ada.access).to_string())).await, 401);
    assert_eq!(look_up::<i64>(&house, "select count(*) from proofs"), 2, "no proof was spent");
    assert_eq!(me(&house, &ada.access).await, 200);
}

#[tokio::test]
async fn a_token_counts_in_the_authorization_header_alone() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let token = &ada.access;
    let path = "/api/v1.0/users/me";
    for query in ["access_token", "token", "authorization", "bearer", "Authorization"] {
        house.get(&format!("{path}?{query}={token}")).await.refuses(401, "Not authenticated");
        house.get(&format!("{path}?{query}=Bearer%20{token}")).await.refuses(401, "Not authenticated");
    }
    for (name, value) in [
        ("cookie", format!("access_token={token}; token={token}; Authorization=Bearer {token}")),
        ("x-access-token", token.clone()),
        ("x-auth-token", token.clone()),
        ("x-authorization", format!("Bearer {token}")),
        ("proxy-authorization", format!("Bearer {token}")),
        ("authorization", token.clone()),
        ("authorization", format!("Basic {token}")),
        ("authorization", format!("Basic {}", STANDARD.encode(format!("{}:{PASSWORD}", ada.email)))),
        ("authorization", format!("Token {token}")),
        ("authorization", format!("JWT {token}")),
        ("authorization", String::from("Bearer")),
        ("authorization", String::from("Bearer ")),
    ] {
        let refused = answer(house.request("GET", path).header(name, value)).await;
        refused.refuses(401, "Not authenticated");
        assert_eq!(refused.header("www-authenticate"), "Bearer", "nothing was sent: no error code");
    }
    let form = [("access_token", token.as_str())];
    answer(house.request("POST", "/api/v1.0/books/").form(&form)).await.refuses(401, "Not authenticated");
    let body = json!({ "access_token": token, "token": token });
    house.post("/api/v1.0/books/", body).await.refuses(401, "Not authenticated");
}

#[tokio::test]
async fn the_scheme_is_bearer_in_any_case() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        let request = house.request("GET", "/api/v1.0/users/me");
        let found = answer(request.header("authorization", format!("{scheme} {}", ada.access))).await;
        assert_eq!(found.status, 200, "{scheme}");
    }
}

#[tokio::test]
async fn a_bad_token_is_told_as_one_and_a_missing_one_as_nothing() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let nothing = house.get("/api/v1.0/users/me").await;
    assert_eq!((nothing.status, nothing.header("www-authenticate")), (401, "Bearer"));
    log_out(&house, &ada.access).await;
    for (token, sentence) in [
        ("x", "Could not validate credentials"),
        ("a.b.c", "Could not validate credentials"),
        (&ada.access, "Token has been revoked"),
        (&ada.refresh, "Could not validate credentials"),
    ] {
        let bad = answer(house.request("GET", "/api/v1.0/users/me").bearer_auth(token)).await;
        bad.refuses(401, sentence);
        assert!(bad.header("www-authenticate").starts_with("Bearer "));
        assert!(bad.header("www-authenticate").contains("error=\"invalid_token\""));
    }
}

#[tokio::test]
async fn what_has_a_token_or_a_user_in_it_is_never_stored() {
    let house = House::new().await;
    let registered = house.post("/api/v1.0/auth/register", crate::house::registration("ada")).await;
    let signed_in = house.log_in("ada@example.com", PASSWORD).await;
    let (access, token) = pair(&signed_in);
    let refreshed = refresh(&house, &token).await;
    let me = answer(house.request("GET", "/api/v1.0/users/me").bearer_auth(&access)).await;
    for answer in [registered, signed_in, refreshed, me] {
        assert_eq!(answer.header("cache-control"), "no-store", "{}", answer.text);
    }
}

#[tokio::test]
async fn a_token_is_good_to_its_last_second_and_a_minute_before_its_first() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    for known in ["", ", though it was seen to be good"] {
        house.clock.set(Timestamp::from_seconds(BEGINNING.seconds() - 61));
        assert_eq!(me(&house, &ada.access).await, 401, "before nbf{known}");
        house.clock.set(Timestamp::from_seconds(BEGINNING.seconds() - 60));
        assert_eq!(me(&house, &ada.access).await, 200, "the clock was set back{known}");
    }
    house.clock.set(BEGINNING);
    house.wait(30 * 60 - 1);
    assert_eq!(me(&house, &ada.access).await, 200);
    house.wait(1);
    assert_eq!(me(&house, &ada.access).await, 401, "at exp");
    house.wait(7 * 86_400 - 30 * 60 - 1);
    let (_, next) = pair(&refresh(&house, &ada.refresh).await);
    house.wait(7 * 86_400);
    refresh(&house, &next).await.refuses(401, "Could not validate credentials");
}

#[tokio::test]
async fn a_token_says_what_the_contract_tells_and_nothing_of_the_person() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let now = BEGINNING.seconds();
    for (token, typ, kind, lifetime) in
        [(&ada.access, "at+jwt", "access", 30 * 60), (&ada.refresh, "JWT", "refresh", 7 * 86_400)]
    {
        let claims = claims_of(token);
        assert_eq!(
            claims,
            json!({
                "iss": "satchel", "aud": "satchel", "sub": ada.uuid, "sid": claims["sid"], "jti": claims["jti"],
                "typ": kind, "epoch": 0, "iat": now, "nbf": now - 60, "exp": now + lifetime,
            })
        );
        let header = header_of(token);
        assert_eq!(header, json!({ "typ": typ, "alg": "EdDSA", "kid": header["kid"] }));
    }
}

#[tokio::test]
async fn no_two_tokens_are_the_same_though_no_time_passes() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let mut seen = std::collections::BTreeSet::new();
    let mut sessions = std::collections::BTreeSet::new();
    for _ in 0..10 {
        let (access, refresh) = pair(&house.log_in(&ada.email, PASSWORD).await);
        sessions.insert(claims_of(&access)["sid"].to_string());
        for token in [access, refresh] {
            assert!(seen.insert(claims_of(&token)["jti"].to_string()), "a jti came twice");
        }
    }
    assert_eq!(sessions.len(), 10);
}

#[tokio::test]
async fn the_published_keys_verify_a_token_offline() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let set = house.get("/.well-known/jwks.json").await.body;
    let keys = set["keys"].as_array().unwrap();
    let key = keys.iter().find(|key| key["kid"] == header_of(&ada.access)["kid"]).unwrap();
    assert_eq!(
        *key,
        json!({ "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": key["kid"], "x": key["x"] }),
        "the public members and no other"
    );
    let x = key["x"].as_str().unwrap();
    let thumbprint = Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#));
    assert_eq!(key["kid"], json!(encode(thumbprint)), "RFC 7638");
    let public = VerifyingKey::from_bytes(&decode(x).try_into().unwrap()).unwrap();
    for token in [&ada.access, &ada.refresh] {
        let (message, signature) = token.rsplit_once('.').unwrap();
        let signature = Signature::from_slice(&decode(signature)).unwrap();
        public.verify_strict(message.as_bytes(), &signature).unwrap();
    }
}
