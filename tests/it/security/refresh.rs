//! Refresh tokens: each is spent once, and what comes back later ends its session and no other.

use std::time::Duration;

use futures_util::future::join_all;
use satchel::domain::auth::keys;
use serde_json::json;

use super::{
    again, bytes_of_the_database, claims_of, contains, decode, header_of, look_up, me, pair, parts, refresh,
};
use crate::house::{Guest, House};

const REVOKED: &str = "Refresh token has been revoked";

#[tokio::test]
async fn a_refresh_token_is_spent_once_and_its_successor_goes_on() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let mut token = ada.refresh.clone();
    for _ in 0..5 {
        house.wait(60);
        let (access, next) = pair(&refresh(&house, &token).await);
        assert_ne!(next, token);
        assert_eq!(me(&house, &access).await, 200);
        token = next;
    }
    refresh(&house, &ada.refresh).await.refuses(401, REVOKED);
}

#[tokio::test]
async fn a_spent_token_that_comes_back_ends_its_session_and_no_other() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let elsewhere = again(&house, &ada).await;
    let bob = house.guest("bob").await;
    let (access, next) = pair(&refresh(&house, &ada.refresh).await);
    assert_eq!(me(&house, &access).await, 200);
    house.wait(11);
    refresh(&house, &ada.refresh).await.refuses(401, REVOKED);
    refresh(&house, &next).await.refuses(401, REVOKED);
    for token in [&ada.access, &access] {
        assert_eq!(me(&house, token).await, 401);
    }
    for guest in [&elsewhere, &bob] {
        assert_eq!(me(&house, &guest.access).await, 200);
        assert_eq!(refresh(&house, &guest.refresh).await.status, 200);
    }
}

#[tokio::test]
async fn who_lost_the_answer_gets_the_same_successor_again_for_ten_seconds() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let (_, next) = pair(&refresh(&house, &ada.refresh).await);
    for seconds in [0, 5, 4] {
        house.wait(seconds);
        let (access, same) = pair(&refresh(&house, &ada.refresh).await);
        assert_eq!(same, next, "no second line of descent");
        assert_eq!(me(&house, &access).await, 200);
    }
    assert_eq!(look_up::<i64>(&house, "select count(*) from sessions"), 1);
    assert_eq!(look_up::<i64>(&house, "select refresh_seq from sessions"), 1);
    let (_, third) = pair(&refresh(&house, &next).await);
    assert_ne!(third, next);
}

#[tokio::test]
async fn the_grace_is_for_the_last_spent_token_alone() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let (_, second) = pair(&refresh(&house, &ada.refresh).await);
    let (_, third) = pair(&refresh(&house, &second).await);
    refresh(&house, &ada.refresh).await.refuses(401, REVOKED);
    refresh(&house, &third).await.refuses(401, REVOKED);
}

#[tokio::test]
async fn the_grace_does_not_outlast_a_log_out() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let (access, _) = pair(&refresh(&house, &ada.refresh).await);
    super::log_out(&house, &access).await;
    refresh(&house, &ada.refresh).await.refuses(401, REVOKED);
}

#[tokio::test]
async fn a_clock_set_back_some_seconds_ends_no_session_of_a_client_that_lost_the_answer() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let (_, next) = pair(&refresh(&house, &ada.refresh).await);
    house.clock.set(house.clock.now().minus(Duration::from_secs(10)));
    let (access, same) = pair(&refresh(&house, &ada.refresh).await);
    assert_eq!(same, next);
    assert_eq!(me(&house, &access).await, 200);
    // A token that was made later than it is now can be spent, too.
    pair(&refresh(&house, &next).await);
}

#[tokio::test]
async fn a_clock_set_back_by_more_than_the_grace_gives_none() {
    let house = House::new().await;
    house.wait(100);
    let ada = house.guest("ada").await;
    house.wait(100);
    let (_, next) = pair(&refresh(&house, &ada.refresh).await);
    house.clock.set(house.clock.now().minus(Duration::from_secs(11)));
    refresh(&house, &ada.refresh).await.refuses(401, REVOKED);
    house.wait(11);
    refresh(&house, &next).await.refuses(401, REVOKED);
}

#[tokio::test]
async fn without_a_grace_a_spent_token_ends_its_session_in_the_same_instant() {
    let house = House::with(|config| config.auth.refresh_reuse_seconds = 0).await;
    let ada = house.guest("ada").await;
    let (_, next) = pair(&refresh(&house, &ada.refresh).await);
    refresh(&house, &ada.refresh).await.refuses(401, REVOKED);
    refresh(&house, &next).await.refuses(401, REVOKED);
}

/// Refreshes with one token twenty times at once; the successors that were given out.
async fn race(house: &House, ada: &Guest) -> Vec<String> {
    let answers = join_all((0..20).map(|_| refresh(house, &ada.refresh))).await;
    let (good, bad): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert!(bad.iter().all(|answer| answer.status == 401), "{bad:?}");
    good.into_iter().map(|answer| pair(answer).1).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn twenty_refreshes_at_once_leave_one_successor_that_lives() {
    let house = House::new().await;
    for round in 0..5 {
        let ada = house.guest(&format!("ada{round}")).await;
        let successors = race(&house, &ada).await;
        assert_eq!(successors.len(), 20, "all within the grace");
        assert!(successors.iter().all(|successor| *successor == successors[0]));
        let (_, next) = pair(&refresh(&house, &successors[0]).await);
        house.wait(11);
        assert_eq!(refresh(&house, &successors[1]).await.status, 401);
        assert_eq!(refresh(&house, &next).await.status, 401);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn twenty_refreshes_at_once_without_a_grace_leave_none_that_lives() {
    let house = House::with(|config| config.auth.refresh_reuse_seconds = 0).await;
    let ada = house.guest("ada").await;
    let successors = race(&house, &ada).await;
    assert_eq!(successors.len(), 1, "the token was spent by more than one");
    assert_eq!(refresh(&house, &successors[0]).await.status, 401);
}

#[tokio::test]
async fn what_was_spent_stays_spent_over_a_restart_and_what_was_given_stays_good() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let bob = house.guest("bob").await;
    let (_, next) = pair(&refresh(&house, &ada.refresh).await);
    let (_, successor) = pair(&refresh(&house, &bob.refresh).await);
    let house = house.restart().await;
    pair(&refresh(&house, &next).await);
    house.wait(11);
    refresh(&house, &bob.refresh).await.refuses(401, REVOKED);
    refresh(&house, &successor).await.refuses(401, REVOKED);
}

#[tokio::test]
async fn a_copy_of_the_database_has_nothing_of_a_token() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let (access, next) = pair(&refresh(&house, &ada.refresh).await);
    assert_eq!(me(&house, &access).await, 200);
    let bytes = bytes_of_the_database(&house);
    assert!(contains(&bytes, ada.email.as_bytes()), "the search finds what is there");
    for token in [&ada.access, &ada.refresh, &access, &next] {
        let [_, claims, signature] = parts(token);
        let jti = claims_of(token)["jti"].as_str().unwrap().parse::<uuid::Uuid>().unwrap();
        for part in [
            token.as_bytes(),
            claims.as_bytes(),
            signature.as_bytes(),
            &decode(signature),
            jti.to_string().as_bytes(),
            jti.simple().to_string().as_bytes(),
            jti.as_bytes(),
        ] {
            assert!(!contains(&bytes, part), "{}", String::from_utf8_lossy(part));
        }
    }
}

#[tokio::test]
async fn a_new_signing_key_between_two_refreshes_ends_no_session() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let keep = house.config.longest_token();
    keys::rotate(&house.config.keys(), true, &house.clock, keep).unwrap();
    house.server.app.auth.notice_keys().unwrap();
    assert_eq!(me(&house, &ada.access).await, 200);
    let (access, next) = pair(&refresh(&house, &ada.refresh).await);
    assert_ne!(header_of(&next)["kid"], header_of(&ada.refresh)["kid"]);
    assert_eq!(me(&house, &access).await, 200);
    let set = house.get("/.well-known/jwks.json").await.body;
    assert_eq!(set["keys"].as_array().unwrap().len(), 2);
    let (_, third) = pair(&refresh(&house, &next).await);
    house.wait(11);
    refresh(&house, &next).await.refuses(401, REVOKED);
    refresh(&house, &third).await.refuses(401, REVOKED);
}

#[tokio::test]
async fn a_new_key_signs_when_every_copy_of_the_published_keys_has_it() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let keep = house.config.longest_token();
    let signer = |token: &str| header_of(token)["kid"].as_str().unwrap().to_owned();
    let old = signer(&ada.access);
    let new = keys::rotate(&house.config.keys(), false, &house.clock, keep).unwrap();
    house.server.app.auth.notice_keys().unwrap();
    let set = house.get("/.well-known/jwks.json").await.body;
    assert!(set["keys"].as_array().unwrap().iter().any(|key| key["kid"] == json!(new.kid)));
    house.wait(359);
    // A copy from right before the rotation has been too old for 59 seconds.
    let (access, next) = pair(&refresh(&house, &ada.refresh).await);
    assert_eq!([signer(&access), signer(&next)], [old.clone(), old.clone()]);
    let house = house.restart().await;
    assert_eq!(signer(&pair(&house.log_in(&ada.email, crate::house::PASSWORD).await).0), old);
    house.wait(1);
    // The answer to a repeated refresh is the same text, though another key signs by now.
    let (access, same) = pair(&refresh(&house, &ada.refresh).await);
    assert_eq!((signer(&access), &same), (new.kid.clone(), &next));
    let (access, third) = pair(&refresh(&house, &next).await);
    assert_eq!([signer(&access), signer(&third)], [new.kid.clone(), new.kid.clone()]);
    assert_eq!(me(&house, &access).await, 200);
    // The clock is set back to before the change.
    house.clock.set(house.clock.now().minus(Duration::from_secs(5)));
    assert_eq!(me(&house, &access).await, 200);
    let again = pair(&house.log_in(&ada.email, crate::house::PASSWORD).await).0;
    assert_eq!((signer(&again), me(&house, &again).await), (old, 200));
}

#[tokio::test]
async fn a_body_that_is_no_refresh_token_is_refused_without_an_echo() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    for (body, status) in [
        (json!({ "refresh_token": "" }), 401),
        (json!({ "refresh_token": "x" }), 401),
        (json!({ "refresh_token": "x".repeat(100_000) }), 401),
        (json!({ "refresh_token": null }), 422),
        (json!({ "refresh_token": [ada.refresh] }), 422),
        (json!({ "refresh_token": { "$ne": "" } }), 422),
        (json!({ "refreshToken": ada.refresh }), 422),
        (json!({}), 422),
    ] {
        let refused = house.post("/api/v1.0/auth/refresh", body.clone()).await;
        assert!(refused.status == status || refused.status == 422, "{body}: {}", refused.text);
        assert!(!refused.text.contains(parts(&ada.refresh)[2]), "{}", refused.text);
    }
    assert_eq!(refresh(&house, &ada.refresh).await.status, 200);
}
