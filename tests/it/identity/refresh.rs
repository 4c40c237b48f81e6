//! identity, `/auth/refresh`: clients that keep one refresh token, and what becomes of it at the other APIs.

use futures_util::future::join_all;
use satchel::domain::users::{Patch, Role};
use serde_json::{Value, json};

use super::{
    Account, BAD_REFRESH, NO_STRING, SECRET, account, account_as, again, block, delete, get, look_up, pair,
    renew, send, set, tamper,
};
use crate::house::{Answer, House, PASSWORD};

const WEEK: u64 = 7 * 86_400;

/// What is said of a text that is no token of this server's.
const UNREADABLE: &str = "Invalid refresh token";

/// What bookshelf says of a token that was spent or whose session has ended.
const REVOKED: &str = "Refresh token has been revoked";

/// Refreshes at bookshelf.
async fn rotate(house: &House, token: &str) -> Answer {
    house.post("/api/v1.0/auth/refresh", json!({ "refresh_token": token })).await
}

/// Whether an access token opens identity.
async fn opens(house: &House, access: &str) -> bool {
    let account = Account { access: access.to_owned(), id: 0, email: String::new(), refresh: String::new() };
    get(house, &account, "/auth/me").await.status == 200
}

#[tokio::test]
async fn one_refresh_token_is_good_again_and_again_for_7_days_to_the_second() {
    let house = House::new().await;
    let ada = account(&house, "ada").await;
    let mut last = String::new();
    for wait in [0, 0, 5, 11, 900, 86_400, 5 * 86_400] {
        house.wait(wait);
        let (access, newer) = pair(&renew(&house, &ada.refresh).await);
        assert!(opens(&house, &access).await, "after {wait} s more");
        last = newer;
    }
    house.wait(WEEK - (5 + 11 + 900 + 86_400 + 5 * 86_400) - 1);
    pair(&renew(&house, &ada.refresh).await);
    house.wait(1);
    renew(&house, &ada.refresh).await.refuses(401, BAD_REFRESH);
    // Whoever read the newer one goes on, and the session with him.
    house.server.app.auth.purge(&house.server.app.db).await.unwrap();
    let (access, _) = pair(&renew(&house, &last).await);
    assert!(opens(&house, &access).await);
}

#[tokio::test]
async fn an_older_and_a_newer_refresh_token_of_a_session_are_equally_good() {
    let house = House::new().await;
    let ada = account(&house, "ada").await;
    let mut tokens = vec![ada.refresh.clone()];
    for _ in 0..3 {
        house.wait(60);
        tokens.push(pair(&renew(&house, tokens.last().unwrap()).await).1);
    }
    for token in tokens.iter().chain(tokens.iter().rev()) {
        house.wait(20);
        pair(&renew(&house, token).await);
    }
    assert_eq!(look_up::<i64>(&house, "select count(*) from sessions"), 1);
    assert!(opens(&house, &ada.access).await, "refreshing ends no access token");
}

#[tokio::test]
async fn twenty_refreshes_at_once_are_all_answered_and_the_token_stays_good() {
    let house = House::new().await;
    let ada = account(&house, "ada").await;
    for answer in join_all((0..20).map(|_| renew(&house, &ada.refresh))).await {
        let (access, newer) = pair(&answer);
        assert!(opens(&house, &access).await);
        pair(&renew(&house, &newer).await);
    }
    house.wait(60);
    pair(&renew(&house, &ada.refresh).await);
}

#[tokio::test]
async fn a_kept_token_is_good_after_a_restart_and_dead_after_one_when_it_was_before() {
    let house = House::new().await;
    let (ada, ben) = (account(&house, "ada").await, account(&house, "ben").await);
    pair(&renew(&house, &ada.refresh).await);
    send(&house, &ben, "POST", "/auth/logout", Value::Null).await;
    let house = house.restart().await;
    pair(&renew(&house, &ada.refresh).await);
    renew(&house, &ben.refresh).await.refuses(401, BAD_REFRESH);
}

#[tokio::test]
async fn whatever_ends_a_session_ends_its_kept_tokens_old_and_new() {
    let house = House::new().await;
    let admin = account_as(&house, "root", Role::Admin).await;
    let next = "quite another battery staple";
    for end in ["log-out", "block", "block and unblock", "deactivation", "promotion", "password", "deletion"]
    {
        let user = account(&house, &end.replace(' ', "-")).await;
        let (access, newer) = pair(&renew(&house, &user.refresh).await);
        match end {
            "log-out" => {
                assert_eq!(send(&house, &user, "POST", "/auth/logout", Value::Null).await.status, 200)
            }
            "block" => block(&house, &admin, user.id).await,
            "block and unblock" => {
                block(&house, &admin, user.id).await;
                super::unblock(&house, &admin, user.id).await;
            }
            "deactivation" => {
                set(&house, user.id, Patch { is_active: Some(false), ..Patch::default() }).await;
            }
            "promotion" => {
                set(&house, user.id, Patch { role: Some(Role::Moderator), ..Patch::default() }).await;
            }
            "password" => {
                let body = json!({ "email": user.email, "old_password": PASSWORD, "new_password": next });
                assert_eq!(house.post("/auth/change-password", body).await.status, 200);
            }
            _ => delete(&house, &user).await,
        }
        for token in [&user.refresh, &newer] {
            let refused = renew(&house, token).await;
            refused.refuses(401, BAD_REFRESH);
            assert_eq!(refused.header("www-authenticate"), "Bearer error=\"invalid_token\"", "{end}");
        }
        for token in [&user.access, &access] {
            assert!(!opens(&house, token).await, "{end}");
        }
    }
}

#[tokio::test]
async fn the_log_out_of_one_session_leaves_the_kept_token_of_another() {
    let house = House::new().await;
    let ada = account(&house, "ada").await;
    let elsewhere = again(&house, &ada).await;
    send(&house, &ada, "POST", "/auth/logout", Value::Null).await;
    renew(&house, &ada.refresh).await.refuses(401, BAD_REFRESH);
    pair(&renew(&house, &elsewhere.refresh).await);
}

#[tokio::test]
async fn what_is_no_refresh_token_is_refused_and_not_shown() {
    let house = House::new().await;
    let ada = account(&house, "ada").await;
    // One that can be read is told otherwise than one that cannot: of another kind, over, or ended.
    renew(&house, &ada.access).await.refuses(401, BAD_REFRESH);
    for token in ["", "x", "a.b.c", &ada.refresh[1..], &"x".repeat(10_000)] {
        renew(&house, token).await.refuses(401, UNREADABLE);
    }
    let missing =
        json!({ "type": "missing", "loc": ["body", "refresh_token"], "msg": "Field required", "input": {} });
    house.post("/auth/refresh", json!({})).await.is(422, json!({ "detail": [missing] }));
    for (token, input) in
        [(Value::Null, Value::Null), (json!([ada.refresh]), json!(SECRET)), (json!(7), json!(SECRET))]
    {
        let entry = json!({
            "type": "string_type", "loc": ["body", "refresh_token"], "msg": NO_STRING, "input": input,
        });
        let answer = house.post("/auth/refresh", json!({ "refresh_token": token })).await;
        answer.is(422, json!({ "detail": [entry] }));
    }
    pair(&house.post("/auth/refresh/", json!({ "refresh_token": ada.refresh })).await);
    house.wait(WEEK);
    let over = renew(&house, &ada.refresh).await;
    over.refuses(401, BAD_REFRESH);
    assert_eq!(over.header("www-authenticate"), "Bearer error=\"invalid_token\"");
}

#[tokio::test]
async fn with_the_setting_a_refresh_token_is_spent_by_use_as_elsewhere() {
    let house = House::with(|config| config.identity.rotate_refresh = true).await;
    let ada = account(&house, "ada").await;
    let (access, second) = pair(&renew(&house, &ada.refresh).await);
    let (_, same) = pair(&renew(&house, &ada.refresh).await);
    assert_eq!(second, same, "whoever lost the answer gets it again");
    let (_, third) = pair(&renew(&house, &second).await);
    assert_ne!(third, second);
    house.wait(11);
    renew(&house, &second).await.refuses(401, BAD_REFRESH);
    renew(&house, &third).await.refuses(401, BAD_REFRESH);
    assert!(!opens(&house, &access).await, "the session was ended");
}

#[tokio::test]
async fn the_setting_counts_at_the_next_refresh_of_a_session_that_was_begun_without_it() {
    let mut house = House::new().await;
    let ada = account(&house, "ada").await;
    pair(&renew(&house, &ada.refresh).await);
    house.config.identity.rotate_refresh = true;
    let house = house.restart().await;
    house.wait(60);
    let (_, next) = pair(&renew(&house, &ada.refresh).await);
    house.wait(11);
    renew(&house, &ada.refresh).await.refuses(401, BAD_REFRESH);
    renew(&house, &next).await.refuses(401, BAD_REFRESH);
}

#[tokio::test]
async fn a_session_that_rotates_from_its_beginning_goes_on_rotating_without_the_setting() {
    let mut house = House::with(|config| config.identity.rotate_refresh = true).await;
    let ada = account(&house, "ada").await;
    house.config.identity.rotate_refresh = false;
    let house = house.restart().await;
    let (_, next) = pair(&renew(&house, &ada.refresh).await);
    house.wait(11);
    renew(&house, &ada.refresh).await.refuses(401, BAD_REFRESH);
    renew(&house, &next).await.refuses(401, BAD_REFRESH);
}

#[tokio::test]
async fn a_token_of_bookshelf_is_spent_wherever_it_is_used() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let mut token = ada.refresh.clone();
    for round in 0..6 {
        house.wait(60);
        let answer = if round % 2 == 0 { renew(&house, &token).await } else { rotate(&house, &token).await };
        let (access, next) = pair(&answer);
        assert_ne!(next, token, "round {round}");
        assert_eq!(look_up::<i64>(&house, "select refresh_seq from sessions"), round + 1);
        assert!(opens(&house, &access).await);
        token = next;
    }
    // The first one was spent at identity, and its return ends the session there, too.
    renew(&house, &ada.refresh).await.refuses(401, BAD_REFRESH);
    renew(&house, &token).await.refuses(401, BAD_REFRESH);
    rotate(&house, &token).await.refuses(401, REVOKED);
}

#[tokio::test]
async fn a_token_of_bookshelf_that_was_used_at_identity_once_ends_its_session_when_it_comes_back() {
    let house = House::new().await;
    for name in ["ada", "ben"] {
        let guest = house.guest(name).await;
        let (access, next) = pair(&renew(&house, &guest.refresh).await);
        house.wait(11);
        if name == "ada" {
            renew(&house, &guest.refresh).await.refuses(401, BAD_REFRESH);
        } else {
            rotate(&house, &guest.refresh).await.refuses(401, REVOKED);
        }
        renew(&house, &next).await.refuses(401, BAD_REFRESH);
        assert!(!opens(&house, &access).await && !opens(&house, &guest.access).await);
    }
}

#[tokio::test]
async fn a_token_of_bookshelf_that_was_spent_there_is_no_good_at_identity() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let (_, next) = pair(&rotate(&house, &ada.refresh).await);
    house.wait(11);
    renew(&house, &ada.refresh).await.refuses(401, BAD_REFRESH);
    renew(&house, &next).await.refuses(401, BAD_REFRESH);
}

#[tokio::test]
async fn a_kept_token_is_spent_by_its_use_at_bookshelf_and_its_successor_is_kept_at_identity() {
    let house = House::new().await;
    let ada = account(&house, "ada").await;
    pair(&renew(&house, &ada.refresh).await);
    let (_, second) = pair(&rotate(&house, &ada.refresh).await);
    for _ in 0..3 {
        house.wait(60);
        pair(&renew(&house, &second).await);
    }
    renew(&house, &ada.refresh).await.refuses(401, BAD_REFRESH);
    renew(&house, &second).await.refuses(401, BAD_REFRESH);
    rotate(&house, &second).await.refuses(401, REVOKED);
}

#[tokio::test]
async fn a_refresh_that_spends_nothing_gives_the_token_before_it_no_longer_grace() {
    let house = House::new().await;
    let ada = account(&house, "ada").await;
    let (_, second) = pair(&rotate(&house, &ada.refresh).await);
    house.wait(8);
    pair(&renew(&house, &second).await);
    // Eight seconds after that refresh, sixteen after the token was spent.
    house.wait(8);
    rotate(&house, &ada.refresh).await.refuses(401, REVOKED);
    renew(&house, &second).await.refuses(401, BAD_REFRESH);
}

#[tokio::test]
async fn a_spent_token_within_its_grace_gets_the_successor_that_lives_at_either_api() {
    let house = House::new().await;
    let ada = account(&house, "ada").await;
    let (_, second) = pair(&rotate(&house, &ada.refresh).await);
    house.wait(5);
    for answer in [rotate(&house, &ada.refresh).await, renew(&house, &ada.refresh).await] {
        assert_eq!(pair(&answer).1, second);
    }
    assert_eq!(look_up::<i64>(&house, "select refresh_seq from sessions"), 1);
}

#[tokio::test]
async fn a_session_of_a_user_who_must_confirm_his_address_is_not_renewed() {
    let mut house = House::new().await;
    let ada = account(&house, "ada").await;
    house.config.auth.require_confirmed_email = true;
    let house = house.restart().await;
    renew(&house, &ada.refresh).await.refuses(401, BAD_REFRESH);
    tamper(&house, "update users set email_confirmed_at = 1").await;
    pair(&renew(&house, &ada.refresh).await);
}
