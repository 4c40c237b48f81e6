//! Passwords: taken as they are typed, kept as nobody can read them, and nobody learns who has one.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use futures_util::future::join_all;
use satchel::domain::users::Role;
use serde_json::{Value, json};

use super::{bytes_of_the_database, change_password, contains, look_up, me, pair};
use crate::house::{Answer, House, PASSWORD, answer, registration};

async fn register(house: &House, name: &str, password: &str) -> Answer {
    let mut body = registration(name);
    body["password"] = json!(password);
    house.post("/api/v1.0/auth/register", body).await
}

const COMMON: &str = "Value error, Password is among the most common ones";
const OWN: &str = "Value error, Password must not be your own e-mail address or username";

#[tokio::test]
async fn a_password_has_eight_to_256_code_points_exactly() {
    let house = House::new().await;
    let long = "lärmz".repeat(51) + "y";
    for (n, (password, expected)) in [
        ("qzx7#vk", Some("String should have at least 8 characters")),
        ("qzx7#vkw", None),
        ("ÄÖÜäöü€", Some("String should have at least 8 characters")),
        ("ÄÖÜßéè€𝄞", None),
        (" \t a \t b", None),
        (long.as_str(), None),
        (&format!("{long}!"), Some("String should have at most 256 characters")),
        (&("𝄞clavs".repeat(42) + "𝄞clv"), None),
        (&"𝄞".repeat(257), Some("String should have at most 256 characters")),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = register(&house, &format!("user{n}"), password).await;
        match expected {
            None => assert_eq!(answer.status, 201, "{password:?}: {}", answer.text),
            Some(sentence) => {
                assert_eq!(answer.status, 422, "{password:?}");
                assert_eq!(answer.body["detail"][0]["msg"], sentence);
                assert!(!answer.text.contains(password), "the password came back");
            }
        }
    }
}

#[tokio::test]
async fn a_password_is_verified_as_it_was_typed_whatever_its_normal_form() {
    let house = House::new().await;
    let long = format!("{}tail", "correct horse battery ".repeat(8));
    for (n, (password, others)) in [
        ("  blanks around  ", vec!["blanks around", "  blanks around", "blanks around  "]),
        (
            "Caf\u{e9} Zo\u{eb} Nin\u{303}o",
            vec!["Cafe Zoe Nino", "CAF\u{c9} ZO\u{cb} NI\u{d1}O", "Caf\u{e9}\u{301} Zo\u{eb} Ni\u{f1}o"],
        ),
        ("CaseCounts!", vec!["casecounts!", "CASECOUNTS!"]),
        ("100%+1&b=c;\"'\\\u{7f}", vec!["100% 1&b=c;\"'\\\u{7f}", "100%+1"]),
        (&long, vec![&long[..72], &long[..long.len() - 1], &format!("{}x", &long[..72])]),
        ("emoji 🔑🔑", vec!["emoji 🔑", "emoji ??"]),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("user{n}");
        assert_eq!(register(&house, &name, password).await.status, 201, "{password:?}");
        let email = format!("{name}@example.com");
        for other in others {
            assert_eq!(house.log_in(&email, other).await.status, 401, "{other:?} for {password:?}");
        }
        pair(&house.log_in(&email, password).await);
    }
    for form in ["Cafe\u{301} Zoe\u{308} Nin\u{303}o", "Caf\u{e9} Zo\u{eb} Ni\u{f1}o"] {
        pair(&house.log_in("user1@example.com", form).await);
    }
}

#[tokio::test]
async fn common_passwords_and_ones_own_name_are_refused_wherever_one_is_set() {
    let house = House::new().await;
    let admin = house.guest_as("root", Role::Admin).await;
    let ada = house.guest("ada_lovelace").await;
    for (password, sentence) in [
        ("password", COMMON),
        ("12345678", COMMON),
        ("PassWord1", COMMON),
        ("iloveyou1", COMMON),
        ("ada_lovelace", OWN),
        ("Ada_Lovelace", OWN),
        ("ada_lovelace@example.com", OWN),
        ("ADA_LOVELACE@EXAMPLE.COM", OWN),
    ] {
        let mut body = registration("ada_lovelace");
        body["password"] = json!(password);
        let admin_create = house.by(&admin, "POST", "/api/v1.0/users/admin/create").json(&body);
        for refused in [
            house.post("/api/v1.0/auth/register", body.clone()).await,
            answer(admin_create).await,
            change_password(&house, &ada.access, PASSWORD, password).await,
        ] {
            assert_eq!(refused.status, 422, "{password}: {}", refused.text);
            assert_eq!(refused.body["detail"][0]["msg"], sentence, "{password}");
        }
    }
    pair(&house.log_in(&ada.email, PASSWORD).await);
}

#[tokio::test]
async fn a_new_password_takes_the_present_one_and_no_other_way() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let refused = change_password(&house, &ada.access, "not it at all", "another staple battery").await;
    refused.refuses(400, "Current password is incorrect");
    let extras = json!({
        "password": "another staple battery", "new_password": "another staple battery",
        "password_hash": "$argon2id$v=19$m=64,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAA", "hashed_password": "x",
    });
    let path = format!("/api/v1.0/users/{}", ada.uuid);
    assert_eq!(answer(house.by(&ada, "PATCH", &path).json(&extras)).await.status, 200);
    assert_eq!(house.log_in(&ada.email, "another staple battery").await.status, 401);
    assert_eq!(me(&house, &ada.access).await, 200);
    pair(&house.log_in(&ada.email, PASSWORD).await);
}

#[tokio::test]
async fn the_database_keeps_argon2id_with_a_salt_of_its_own_for_each() {
    let defaults = satchel::config::Auth::default();
    let house = House::with(|config| {
        config.auth.hash_memory_kib = defaults.hash_memory_kib;
        config.auth.hash_iterations = defaults.hash_iterations;
    })
    .await;
    house.register("ada").await;
    house.register("bob").await;
    let mut seen = Vec::new();
    for name in ["ada", "bob"] {
        let sql = format!("select password_hash from users where username = '{name}'");
        let hash: String = look_up(&house, &sql);
        let parts: Vec<&str> = hash.split('$').collect();
        assert_eq!(parts[..4], ["", "argon2id", "v=19", "m=19456,t=2,p=1"], "{hash}");
        assert_eq!(STANDARD_NO_PAD.decode(parts[4]).unwrap().len(), 16);
        assert_eq!(STANDARD_NO_PAD.decode(parts[5]).unwrap().len(), 32);
        assert!(
            contains(&bytes_of_the_database(&house), hash.as_bytes()),
            "what is on the disk is what is read"
        );
        seen.extend([parts[4].to_owned(), parts[5].to_owned()]);
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 4, "two users of one password share nothing");
    assert!(!contains(&bytes_of_the_database(&house), PASSWORD.as_bytes()));
}

#[tokio::test]
async fn a_log_in_hashes_anew_when_the_settings_grew() {
    let mut house = House::new().await;
    let ada = house.guest("ada").await;
    house.config.auth.hash_iterations = 3;
    let house = house.restart().await;
    let hash = || look_up::<String>(&house, "select password_hash from users");
    assert!(hash().contains("m=64,t=1,p=1"));
    assert_eq!(house.log_in(&ada.email, "not it at all").await.status, 401);
    assert!(hash().contains("t=1"), "a wrong password changes nothing");
    pair(&house.log_in(&ada.email, PASSWORD).await);
    assert!(hash().contains("m=64,t=3,p=1"), "{}", hash());
    assert_eq!(me(&house, &ada.access).await, 200, "another hash of the same password ends no session");
    let now = hash();
    pair(&house.log_in(&ada.email, PASSWORD).await);
    assert_eq!(hash(), now, "once is enough");
}

#[tokio::test]
async fn a_password_of_a_megabyte_is_refused_quickly() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    for huge in ["x".repeat(1_040_000), "é".repeat(500_000), "x".repeat(3_000_000)] {
        let begun = Instant::now();
        let log_in = house.log_in(&ada.email, &huge).await;
        assert!(matches!(log_in.status, 401 | 413), "{}", log_in.status);
        let registered = register(&house, "bob", &huge).await;
        assert!(matches!(registered.status, 413 | 422), "{}", registered.status);
        let changed = change_password(&house, &ada.access, &huge, "another staple battery").await;
        assert!(matches!(changed.status, 400 | 413), "{}", changed.status);
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    }
    pair(&house.log_in(&ada.email, PASSWORD).await);
}

/// An answer without what differs between any two.
fn comparable(answer: &Answer) -> (u16, Vec<(String, String)>, Value) {
    let unlike = ["x-request-id", "x-process-time", "date"];
    let headers = answer.headers.clone().into_iter().filter(|(name, _)| !unlike.contains(&name.as_str()));
    (answer.status, headers.collect(), answer.body.clone())
}

#[tokio::test]
async fn a_stranger_cannot_tell_an_unknown_user_from_a_wrong_password() {
    let house = House::new().await;
    house.guest("ada").await;
    let wrong = house.log_in("ada@example.com", "not it at all").await;
    wrong.refuses(401, "Invalid email or password");
    for (email, password) in [
        ("nobody@example.com", "not it at all"),
        ("nobody@example.com", PASSWORD),
        ("nobody", "x"),
        ("ada", PASSWORD),
        ("ada@example.com", "x"),
        ("ada@example.com", &"x".repeat(5_000)),
        ("ADA@EXAMPLE.COM ", "not it at all"),
        ("' or 1=1 --", "' or 1=1 --"),
    ] {
        assert_eq!(
            comparable(&house.log_in(email, password).await),
            comparable(&wrong),
            "{email} {password}"
        );
        house.wait(7_200);
    }
    // Whoever is shut out is told so only with the right password.
    let ada = house.sign_in("ada", String::new()).await;
    house.server.app.db.write(|db| Ok(db.execute("update users set is_active = 0", [])?)).await.unwrap();
    assert_eq!(comparable(&house.log_in(&ada.email, "not it at all").await), comparable(&wrong));
    house.log_in(&ada.email, PASSWORD).await.refuses(400, "User account is inactive");
}

#[tokio::test]
async fn an_unknown_user_costs_as_much_hashing_as_a_wrong_password() {
    let house = House::with(|config| {
        config.auth.hash_memory_kib = 32 * 1024;
        config.auth.hash_iterations = 2;
        config.auth.sign_in_delays = false;
    })
    .await;
    house.register("ada").await;
    let mut quickest = [Duration::MAX; 5];
    for _ in 0..6 {
        for (quickest, (email, password)) in quickest.iter_mut().zip([
            ("ada@example.com", "not it at all".to_owned()),
            ("nobody@example.com", "not it at all".to_owned()),
            ("ada@example.com", "x".repeat(2_000)),
            // Tried in either form.
            ("ada@example.com", "no\u{301}t it at all".to_owned()),
            ("nobody@example.com", "no\u{301}t it at all".to_owned()),
        ]) {
            let begun = Instant::now();
            assert_eq!(house.log_in(email, &password).await.status, 401);
            *quickest = begun.elapsed().min(*quickest);
        }
    }
    let [wrong, unknown, too_long, wrong_twice, unknown_twice] = quickest;
    // Without the hash they would differ by a factor of fifty.
    for other in [unknown, too_long] {
        assert!(other * 3 > wrong && wrong * 3 > other, "{quickest:?}");
    }
    assert!(wrong_twice < unknown_twice * 3 / 2 && unknown_twice < wrong_twice * 3 / 2, "{quickest:?}");
}

#[tokio::test]
async fn one_address_is_one_user_whatever_its_case_and_blanks() {
    let house = House::new().await;
    house.register("ada").await;
    for email in ["ADA@example.com", "ada@EXAMPLE.com", "  Ada@Example.Com\t"] {
        let mut body = registration("other");
        body["email"] = json!(email);
        house.post("/api/v1.0/auth/register", body).await.refuses(400, "Email already registered");
        pair(&house.log_in(email, PASSWORD).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_log_ins_is_bounded_and_keeps_nobody_else_waiting() {
    let house = House::with(|config| {
        config.auth.hash_memory_kib = 19_456;
        config.auth.hash_iterations = 2;
        config.auth.hash_threads = 1;
        config.auth.hash_queue = 8;
        config.auth.sign_in_delays = false;
    })
    .await;
    house.register("ada").await;
    let flood = join_all((0..120).map(|_| house.log_in("ada@example.com", "not it at all")));
    let calm = async {
        let mut longest = Duration::ZERO;
        for _ in 0..20 {
            let begun = Instant::now();
            assert_eq!(house.get("/api/v1.0/books/").await.status, 200);
            longest = longest.max(begun.elapsed());
        }
        longest
    };
    let (answers, longest) = tokio::join!(flood, calm);
    assert!(answers.iter().all(|answer| matches!(answer.status, 401 | 503)));
    // One that is hashed and eight that wait, and those that came as a place was free.
    assert!(answers.iter().any(|answer| answer.status == 503), "nobody was refused");
    assert!(longest < Duration::from_secs(2), "{longest:?}");
    assert_eq!(house.log_in("ada@example.com", PASSWORD).await.status, 200);
}
