//! contactbook, `/api/auth/refresh_token`: the next pair for a refresh token that comes as a bearer.

use futures_util::future::join_all;
use serde_json::json;

use super::auth::{NOT_CONFIRMED, block, contacts, pair};
use super::{log_in, member};
use crate::house::{Answer, House, PASSWORD, answer, send};

const REFRESH: &str = "/api/auth/refresh_token";
const UNDECODABLE: &str = "Cannot validate";
const OTHER_KIND: &str = "Invalid Scope";
const SPENT: &str = "Invalid refresh token";

async fn refresh(house: &House, token: &str) -> Answer {
    answer(house.request("GET", REFRESH).bearer_auth(token)).await
}

#[tokio::test]
async fn a_refresh_answers_a_new_pair_and_the_chain_goes_on() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let mut token = ada.refresh.clone();
    for _ in 0..3 {
        house.wait(6 * 24 * 3600);
        let (access, next) = pair(&refresh(&house, &token).await);
        assert!(next != token && access != ada.access);
        contacts(&house, &access).await.is(200, json!([]));
        token = next;
    }
    // The first access token lived its quarter of an hour.
    contacts(&house, &ada.access).await.refuses(401, "Wrong credentials");
}

#[tokio::test]
async fn an_access_token_lives_on_after_its_session_was_refreshed() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    pair(&refresh(&house, &ada.refresh).await);
    contacts(&house, &ada.access).await.is(200, json!([]));
}

#[tokio::test]
async fn without_a_bearer_nobody_is_asked_further() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    for header in
        [None, Some(""), Some("Bearer"), Some("Bearer "), Some("Basic YTpi"), Some(ada.refresh.as_str())]
    {
        let request = house.request("GET", REFRESH);
        let request =
            header.into_iter().fold(request, |request, value| request.header("authorization", value));
        let refused = answer(request).await;
        refused.refuses(401, "Not authenticated");
        assert_eq!(refused.header("www-authenticate"), "Bearer");
    }
    // It is taken from no other place.
    let elsewhere = format!("{REFRESH}?refresh_token={0}&access_token={0}&token={0}", ada.refresh);
    house.get(&elsewhere).await.refuses(401, "Not authenticated");
    let cookie = format!("refresh_token={}", ada.refresh);
    answer(house.request("GET", REFRESH).header("cookie", cookie)).await.refuses(401, "Not authenticated");
    let request = house.request("GET", REFRESH).header("authorization", format!("bEaReR   {}", ada.refresh));
    pair(&answer(request).await);
}

#[tokio::test]
async fn what_cannot_be_decoded_is_told_from_another_kind_and_from_a_spent_one() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let (signed, signature) = ada.refresh.rsplit_once('.').unwrap();
    let other = if signature.starts_with('A') { "B" } else { "A" };
    let tampered = format!("{signed}.{other}{}", &signature[1..]);
    let (unsigned, longer) = (format!("{signed}."), format!("{}.x", ada.refresh));
    let long = "x".repeat(20_000);
    for garbage in ["x", "a.b.c", "..", signed, &unsigned, &tampered, &longer, &long] {
        let refused = refresh(&house, garbage).await;
        refused.refuses(401, UNDECODABLE);
        assert_eq!(refused.header("www-authenticate"), "Bearer error=\"invalid_token\"");
    }
    let other = refresh(&house, &ada.access).await;
    other.refuses(401, OTHER_KIND);
    assert_eq!(other.header("www-authenticate"), "Bearer error=\"invalid_token\"");
    // None of that has ended anything.
    contacts(&house, &ada.access).await.is(200, json!([]));
    pair(&refresh(&house, &ada.refresh).await);
}

#[tokio::test]
async fn a_refresh_token_is_good_for_seven_days() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let ben = member(&house, "ben").await;
    house.wait(7 * 24 * 3600 - 1);
    pair(&refresh(&house, &ada.refresh).await);
    house.wait(1);
    refresh(&house, &ben.refresh).await.refuses(401, UNDECODABLE);
}

#[tokio::test]
async fn a_spent_token_that_comes_back_after_the_grace_ends_its_session() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let (other_access, other_refresh) = pair(&log_in(&house, &ada.email, PASSWORD).await);
    let (access, next) = pair(&refresh(&house, &ada.refresh).await);
    house.wait(10);
    let (_, same) = pair(&refresh(&house, &ada.refresh).await);
    assert_eq!(same, next, "within the grace there is one line of descent");
    house.wait(1);
    let refused = refresh(&house, &ada.refresh).await;
    refused.refuses(401, SPENT);
    assert_eq!(refused.header("www-authenticate"), "Bearer error=\"invalid_token\"");
    refresh(&house, &next).await.refuses(401, SPENT);
    for token in [&ada.access, &access] {
        contacts(&house, token).await.refuses(401, "Wrong credentials");
    }
    contacts(&house, &other_access).await.is(200, json!([]));
    pair(&refresh(&house, &other_refresh).await);
}

#[tokio::test]
async fn many_who_refresh_at_once_get_one_successor() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let answers = join_all((0..10).map(|_| refresh(&house, &ada.refresh))).await;
    let mut successors: Vec<String> = answers.iter().map(|answer| pair(answer).1).collect();
    successors.dedup();
    assert_eq!(successors.len(), 1, "{successors:?}");
    pair(&refresh(&house, &successors[0]).await);
}

#[tokio::test]
async fn a_token_of_another_api_is_taken_and_the_other_way_round() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let (access, next) = pair(&refresh(&house, &ada.refresh).await);
    assert_eq!(answer(house.request("GET", "/api/v1.0/users/me").bearer_auth(&access)).await.status, 200);
    contacts(&house, &access).await.refuses(401, NOT_CONFIRMED);
    let elsewhere = house.post("/api/v1.0/auth/refresh", json!({ "refresh_token": next })).await;
    let (_, third) = pair(&elsewhere);
    pair(&refresh(&house, &third).await);
    // identity's clients keep theirs, but not here.
    let form = [("username", ada.email.as_str()), ("password", PASSWORD)];
    let (_, kept) = pair(&answer(house.request("POST", "/auth/login").form(&form)).await);
    pair(&refresh(&house, &kept).await);
    house.wait(11);
    refresh(&house, &kept).await.refuses(401, SPENT);
}

#[tokio::test]
async fn the_token_of_whoever_left_or_was_shut_out_gets_nothing() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    assert_eq!(send(&house, &ada, "POST", "/api/v1.0/auth/logout", json!(null)).await.status, 200);
    refresh(&house, &ada.refresh).await.refuses(401, SPENT);
    let ben = member(&house, "ben").await;
    block(&house, &ben.email).await;
    refresh(&house, &ben.refresh).await.refuses(403, "Your account is blocked.");
    let eve = member(&house, "eve").await;
    assert_eq!(send(&house, &eve, "DELETE", "/users/me", json!(null)).await.status, 200);
    refresh(&house, &eve.refresh).await.refuses(401, SPENT);
}

#[tokio::test]
async fn asking_by_another_method_spends_no_token() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let options = answer(house.request("OPTIONS", REFRESH).bearer_auth(&ada.refresh)).await;
    assert_eq!((options.status, options.header("allow")), (204, "GET, OPTIONS"));
    answer(house.request("POST", REFRESH).bearer_auth(&ada.refresh)).await.refuses(405, "Method Not Allowed");
    let head = answer(house.request("HEAD", REFRESH).bearer_auth(&ada.refresh)).await;
    assert_eq!((head.status, &*head.text), (405, ""));
    let mut allowed: Vec<_> = head.header("allow").split(", ").collect();
    allowed.sort();
    assert_eq!(allowed, ["GET", "OPTIONS"]);
    house.wait(11);
    pair(&refresh(&house, &ada.refresh).await);
}
