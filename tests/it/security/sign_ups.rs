//! Limits that hold over all APIs: so many sign-ups and sign-ins from one address, and so many letters to one mailbox.

use std::sync::mpsc;
use std::time::Duration;

use reqwest::RequestBuilder;
use satchel::config::{Config, Environment, Limit};
use satchel::db::Write;
use satchel::domain::auth::passwords::{Password, Verdict};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::look_up;
use crate::house::{Answer, House, PASSWORD, answer, registration, with};

/// Addresses of strangers (RFC 5737).
const STRANGER: &str = "198.51.100.7";
const OTHER: &str = "203.0.113.5";
const SENTENCE: &str = "Too many requests. Please try again later.";

const fn per_hour(count: u32) -> Limit {
    Limit::Rate { count, per_seconds: 3_600 }
}

/// A house behind a proxy that names its clients.
async fn house(settle: impl FnOnce(&mut Config)) -> House {
    House::with(|config| {
        config.server.trusted_proxies.0 = vec!["127.0.0.1".parse().unwrap()];
        settle(config);
    })
    .await
}

/// Two of each an hour.
fn two(config: &mut Config) {
    config.auth.sign_ups_per_address = per_hour(2);
    config.auth.sign_ins_per_address = per_hour(2);
}

fn post(house: &House, from: &str, path: &str) -> RequestBuilder {
    house.request("POST", path).header("x-forwarded-for", from)
}

/// The routes that sign `<name>@example.com` up, with the status of success.
fn sign_ups(name: &str) -> [(&'static str, Value, u16); 6] {
    let email = format!("{name}@example.com");
    let todolist =
        json!({ "email": email, "username": name, "full_name": "First Last", "password": PASSWORD });
    [
        ("/api/v1.0/auth/register", registration(name), 201),
        ("/store-managers/", json!({ "name": name, "email": email, "password_hash": PASSWORD }), 201),
        ("/v1/auth/register", todolist.clone(), 201),
        ("/v1/users", todolist, 201),
        ("/auth/register", json!({ "email": email, "password": PASSWORD }), 200),
        ("/api/auth/signup", json!({ "username": "somebody", "email": email, "password": PASSWORD }), 201),
    ]
}

/// Every way to sign in, or what counts as that.
fn sign_ins(house: &House, from: &str, email: &str) -> Vec<(&'static str, RequestBuilder)> {
    let form = [("username", email), ("password", PASSWORD)];
    let by_form = |path| (path, post(house, from, path).form(&form));
    let json = json!({ "username": email, "password": PASSWORD });
    let change =
        json!({ "email": email, "old_password": PASSWORD, "new_password": "another staple battery" });
    vec![
        by_form("/api/v1.0/auth/login"),
        by_form("/store-managers/token"),
        ("/v1/auth/login", post(house, from, "/v1/auth/login").json(&json)),
        by_form("/auth/login"),
        by_form("/api/auth/login"),
        ("/auth/change-password", post(house, from, "/auth/change-password").json(&change)),
    ]
}

/// Keeps the thread that hashes busy until the sender goes.
fn hold(house: &House) -> (mpsc::Sender<()>, JoinHandle<satchel::error::Result<Verdict>>) {
    let (release, released) = mpsc::channel();
    let hasher = house.server.app.auth.hasher().clone();
    let wait = move || {
        let _ = released.recv();
        Ok(())
    };
    let held = async move { hasher.verify(Password::new(PASSWORD.into()), None, None, wait).await };
    (release, tokio::spawn(held))
}

/// Says that an answer is a 429 in its API's own envelope.
#[track_caller]
fn assert_too_many(path: &str, answer: &Answer, count: u32, wait: u64) {
    assert_eq!(answer.status, 429, "{path}: {}", answer.text);
    let said = if path.starts_with("/v1") {
        assert_eq!(answer.body["error"]["status_code"], 429);
        &answer.body["error"]["message"]
    } else if path.starts_with("/api/auth") {
        &answer.body["error"]
    } else {
        &answer.body["detail"]
    };
    assert_eq!(said, SENTENCE, "{path}: {}", answer.text);
    let headers = ["retry-after", "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"];
    let told = headers.map(|name| answer.header(name).to_owned());
    assert_eq!(told, [wait.to_string(), count.to_string(), "0".into(), wait.to_string()], "{path}");
}

#[tokio::test]
async fn sign_ups_from_one_address_are_counted_over_all_apis_and_refused_with_nothing_hashed_or_stored() {
    let house = house(|config| {
        two(config);
        config.auth.hash_threads = 1;
    })
    .await;
    for (n, (path, body, success)) in sign_ups("ada").into_iter().enumerate() {
        // What is no sign-up is told so, and not counted.
        let invalid = answer(post(&house, STRANGER, path).json(&with(body, json!({ "email": "x" })))).await;
        assert_eq!(invalid.status, 422, "{path}: {}", invalid.text);
        if n < 2 {
            let (_, body, _) = sign_ups(&format!("ada{n}")).into_iter().nth(n).unwrap();
            let made = answer(post(&house, STRANGER, path).json(&body)).await;
            assert_eq!(made.status, success, "{path}: {}", made.text);
        }
    }
    let (release, held) = hold(&house);
    for (path, body, _) in sign_ups("ada2") {
        let sent = answer(post(&house, STRANGER, path).json(&body));
        let refused = tokio::time::timeout(Duration::from_secs(4), sent).await.expect("nothing is hashed");
        assert_too_many(path, &refused, 2, 3_600);
    }
    drop(release);
    held.await.unwrap().unwrap();
    assert_eq!(look_up::<i64>(&house, "select count(*) from users"), 2);
    assert!(house.letters().await.is_empty());
    // Another address has its own, and this one has another when the hour is over.
    let sign_up = async |from, name| {
        let request = post(&house, from, "/api/v1.0/auth/register").json(&registration(name));
        answer(request).await.status
    };
    assert_eq!(
        [sign_up(OTHER, "ben").await, sign_up(OTHER, "joe").await, sign_up(OTHER, "max").await],
        [201, 201, 429]
    );
    house.wait(3_599);
    assert_eq!(sign_up(STRANGER, "eve").await, 429);
    house.wait(1);
    assert_eq!(
        [sign_up(STRANGER, "eve").await, sign_up(STRANGER, "kim").await, sign_up(STRANGER, "lee").await],
        [201, 201, 429]
    );
}

#[tokio::test]
async fn sign_ins_from_one_address_are_counted_over_all_apis_whether_they_succeed_or_not() {
    let house = house(|config| {
        two(config);
        config.auth.hash_threads = 1;
    })
    .await;
    let ada = house.guest("ada").await;
    for (from, email, status) in [(STRANGER, "ada@example.com", 200), (OTHER, "nobody@example.com", 401)] {
        for (path, request) in sign_ins(&house, from, email).into_iter().take(2) {
            assert_eq!(answer(request).await.status, status, "{path}");
        }
        let no_input = answer(post(&house, from, "/v1/auth/login").json(&json!({}))).await;
        assert_eq!(no_input.status, 422, "{}", no_input.text);
        let (release, held) = hold(&house);
        for (path, request) in sign_ins(&house, from, email) {
            let refused = tokio::time::timeout(Duration::from_secs(4), answer(request)).await;
            assert_too_many(path, &refused.expect("nothing is hashed"), 2, 3_600);
        }
        drop(release);
        held.await.unwrap().unwrap();
    }
    // To change the password with a token is no sign-in.
    let body = json!({ "current_password": PASSWORD, "new_password": "another staple battery" });
    let change =
        post(&house, STRANGER, "/api/v1.0/users/change-password").bearer_auth(&ada.access).json(&body);
    assert_eq!(answer(change).await.status, 200);
    house.wait(3_600);
    let (_, request) = sign_ins(&house, OTHER, "nobody@example.com").swap_remove(3);
    assert_eq!(answer(request).await.status, 401);
}

#[tokio::test]
async fn the_addresses_of_one_ipv6_subscriber_share_their_limits() {
    let house = house(two).await;
    let log_in = async |from| {
        let (_, request) = sign_ins(&house, from, "nobody@example.com").swap_remove(0);
        answer(request).await.status
    };
    let [one, another, third] = ["2001:db8:1:2::1", "2001:db8:1:2:ffff::2", "2001:db8:1:2:3:4:5:6"];
    assert_eq!([log_in(one).await, log_in(another).await, log_in(third).await], [401, 401, 429]);
    assert_eq!(log_in("2001:db8:1:3::1").await, 401);
}

#[tokio::test]
async fn only_in_development_are_loopback_and_private_peers_exempt() {
    for environment in [Environment::Development, Environment::Production] {
        let house = house(|config| {
            two(config);
            config.environment = environment;
        })
        .await;
        for from in ["127.0.0.1", "10.1.2.3", "192.168.1.2", "fd00::1"] {
            let mut statuses = Vec::new();
            for (n, (_, request)) in sign_ins(&house, from, "nobody@example.com").into_iter().enumerate() {
                statuses.push(answer(request).await.status);
                let name = format!("u{n}{}", from.replace(['.', ':'], ""));
                let sign_up = post(&house, from, "/api/v1.0/auth/register").json(&registration(&name));
                statuses.push(answer(sign_up).await.status);
            }
            // The five delays after failed ones are not this limit.
            let refused = statuses.iter().filter(|status| **status == 429).count();
            let expected = if environment == Environment::Production { 8 } else { 1 };
            assert_eq!(refused, expected, "{environment:?}, {from}: {statuses:?}");
        }
    }
}

#[tokio::test]
async fn off_is_no_limit() {
    let house = house(|config| {
        config.auth.sign_ups_per_address = Limit::Off;
        config.auth.sign_ins_per_address = Limit::Off;
    })
    .await;
    house.register("ada").await;
    for _ in 0..130 {
        let (path, request) = sign_ins(&house, STRANGER, "ada@example.com").swap_remove(0);
        assert_eq!(answer(request).await.status, 200, "{path}");
    }
}

/// A letter that asks to confirm an address goes out with every sign-up where that is demanded.
#[tokio::test]
async fn a_sign_up_over_its_mailboxs_letters_is_refused_and_stores_nothing() {
    let house = house(|config| {
        config.auth.require_confirmed_email = true;
        config.contactbook.limits.letters = per_hour(2);
    })
    .await;
    let users = || look_up::<i64>(&house, "select count(*) from users");
    for (n, (path, body, success)) in sign_ups("ada").into_iter().enumerate() {
        let made = answer(post(&house, "192.168.0.1", path).json(&body)).await;
        if n < 2 {
            assert_eq!(made.status, success, "{path}: {}", made.text);
            assert_eq!(house.letter().await.to, "ada@example.com");
            // The address is free again.
            let remove = |db: &Write| Ok(db.execute("delete from users", [])?);
            house.server.app.db.write(remove).await.unwrap();
        } else {
            assert_too_many(path, &made, 2, 3_600);
            assert_eq!(users(), 0, "{path}");
            assert!(house.letters().await.is_empty(), "{path}");
        }
    }
    let (path, body, _) = sign_ups("ben").into_iter().next().unwrap();
    assert_eq!(answer(post(&house, "192.168.0.1", path).json(&body)).await.status, 201, "another mailbox");
    assert_eq!(house.letter().await.to, "ben@example.com");
}

#[tokio::test]
async fn one_address_has_letters_sent_to_no_more_strangers_than_it_may_sign_up() {
    let house = house(|config| {
        two(config);
        config.auth.require_confirmed_email = true;
    })
    .await;
    for n in 0..12 {
        let (path, body, _) = sign_ups(&format!("stranger{n}")).into_iter().nth(n % 6).unwrap();
        answer(post(&house, STRANGER, path).json(&body)).await;
    }
    assert_eq!(house.letters().await.len(), 2);
}

#[tokio::test]
async fn one_address_has_no_more_strangers_mailed_by_changing_its_own_address_over_and_over() {
    let house = house(two).await;
    let ada = house.guest("ada").await;
    let mut statuses = Vec::new();
    for n in 0..4 {
        let change = house.by(&ada, "PATCH", &format!("/api/v1.0/users/{}", ada.uuid));
        let change = change.header("x-forwarded-for", STRANGER);
        let body = json!({ "email": format!("stranger{n}@example.com") });
        statuses.push(answer(change.json(&body)).await.status);
    }
    assert_eq!(statuses, [200, 200, 429, 429]);
    house.forget_letters().await;
}
