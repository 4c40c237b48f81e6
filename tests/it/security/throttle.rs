//! Throttle: whoever guesses waits, longer each time, and nobody else does.

use futures_util::future::join_all;
use satchel::config::Config;
use satchel::domain::auth::proofs::Purpose;
use serde_json::json;

use super::{change_password, look_up, pair};
use crate::house::{Answer, House, PASSWORD, answer};

const WRONG: &str = "not it at all";

fn behind_a_proxy(config: &mut Config) {
    config.server.trusted_proxies.0 = vec!["127.0.0.1".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
}

/// Signs in with these hops in `X-Forwarded-For`.
async fn log_in_from(house: &House, hops: impl AsRef<[u8]>, email: &str, password: &str) -> Answer {
    let form = [("username", email), ("password", password)];
    let hops = reqwest::header::HeaderValue::from_bytes(hops.as_ref()).unwrap();
    answer(house.request("POST", "/api/v1.0/auth/login").header("x-forwarded-for", hops).form(&form)).await
}

async fn fail_from(house: &House, hops: &str, email: &str, times: usize) {
    for _ in 0..times {
        let refused = log_in_from(house, hops, email, WRONG).await;
        assert_eq!(refused.status, 401, "{}", refused.text);
    }
}

async fn fail(house: &House, email: &str, times: usize) {
    for _ in 0..times {
        house.log_in(email, WRONG).await.refuses(401, "Invalid email or password");
    }
}

fn assert_told_to_wait(answer: &Answer, seconds: u64) {
    answer.refuses(429, "Too many failed sign-ins. Please try again later.");
    assert_eq!(answer.header("retry-after"), seconds.to_string());
    assert_eq!(answer.header("ratelimit-limit"), "1");
    assert_eq!(answer.header("ratelimit-remaining"), "0");
    assert_eq!(answer.header("ratelimit-reset"), seconds.to_string());
}

#[tokio::test]
async fn each_failure_after_the_fifth_doubles_the_wait_for_known_and_unknown_alike() {
    for email in ["ada@example.com", "nobody@example.com", "nobody"] {
        let house = House::new().await;
        house.register("ada").await;
        fail(&house, email, 5).await;
        for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900] {
            assert_told_to_wait(&house.log_in(email, WRONG).await, seconds);
            house.wait(seconds - 1);
            assert_told_to_wait(&house.log_in(email, WRONG).await, 1);
            house.wait(1);
            fail(&house, email, 1).await;
        }
    }
}

#[tokio::test]
async fn the_right_password_waits_too_and_then_ends_the_wait() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    fail(&house, &ada.email, 5).await;
    for seconds in [1, 2] {
        house.wait(seconds);
        fail(&house, &ada.email, 1).await;
    }
    assert_told_to_wait(&house.log_in(&ada.email, PASSWORD).await, 4);
    house.wait(4);
    pair(&house.log_in(&ada.email, PASSWORD).await);
    fail(&house, &ada.email, 5).await;
    assert_told_to_wait(&house.log_in(&ada.email, WRONG).await, 1);
}

#[tokio::test]
async fn successful_sign_ins_are_not_counted() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    for _ in 0..60 {
        pair(&house.log_in(&ada.email, PASSWORD).await);
    }
    fail(&house, &ada.email, 4).await;
    pair(&house.log_in(&ada.email, PASSWORD).await);
    fail(&house, &ada.email, 5).await;
}

#[tokio::test]
async fn failures_are_forgotten_a_day_after_the_last() {
    let house = House::new().await;
    fail(&house, "nobody@example.com", 5).await;
    house.wait(86_401);
    fail(&house, "nobody@example.com", 5).await;
    assert_told_to_wait(&house.log_in("nobody@example.com", WRONG).await, 1);
}

#[tokio::test]
async fn another_spelling_of_the_address_is_no_fresh_start() {
    let house = House::new().await;
    for (name, spellings) in [
        (
            "ada",
            ["ada@example.com", "ADA@example.com", " ada@EXAMPLE.com", "Ada@Example.com ", "aDa@example.com"],
        ),
        (
            "nobody",
            ["nobody@example.com", "NOBODY@example.com", " nobody@EXAMPLE.com", "Nobody@x", "nobody@x"],
        ),
    ] {
        if name == "ada" {
            house.register(name).await;
        }
        for spelling in spellings {
            fail(&house, &spelling.replace("@x", "@example.com"), 1).await;
        }
        assert_told_to_wait(&house.log_in(&format!("{name}@example.com"), WRONG).await, 1);
    }
}

#[tokio::test]
async fn a_look_alike_letter_does_not_tell_who_is_registered() {
    let house = House::new().await;
    house.register("kate").await;
    for name in ["kate", "kyle"] {
        // The Kelvin sign is a k in lower case, but not to the table of users.
        fail(&house, &format!("\u{212a}{}@example.com", &name[1..]), 5).await;
        house.log_in(&format!("{name}@example.com"), WRONG).await.refuses(401, "Invalid email or password");
    }
}

#[tokio::test]
async fn a_strangers_failures_from_another_address_do_not_keep_the_owner_out() {
    let house = House::with(behind_a_proxy).await;
    house.register("ada").await;
    fail_from(&house, "198.51.100.7", "ada@example.com", 5).await;
    assert_told_to_wait(&log_in_from(&house, "198.51.100.7", "ada@example.com", PASSWORD).await, 1);
    pair(&log_in_from(&house, "203.0.113.5", "ada@example.com", PASSWORD).await);
    // The owner's sign-in does not end the wait of the stranger's address.
    assert_told_to_wait(&log_in_from(&house, "198.51.100.7", "ada@example.com", WRONG).await, 1);
}

#[tokio::test]
async fn a_hundred_failures_from_many_addresses_delay_strangers_and_not_a_familiar_address() {
    let house = House::with(behind_a_proxy).await;
    for (name, home) in [("ada", "203.0.113.5"), ("nobody", "")] {
        let email = format!("{name}@example.com");
        if !home.is_empty() {
            house.register(name).await;
            pair(&log_in_from(&house, home, &email, PASSWORD).await);
        }
        for n in 0..25 {
            fail_from(&house, &format!("198.51.100.{n}"), &email, 4).await;
        }
        assert_told_to_wait(&log_in_from(&house, "192.0.2.1", &email, PASSWORD).await, 1);
        if !home.is_empty() {
            pair(&log_in_from(&house, home, &email, PASSWORD).await);
        }
        house.wait(86_401);
    }
}

#[tokio::test]
async fn one_address_guessing_at_many_accounts_waits_at_all_but_those_it_has_signed_in_to() {
    let house = House::with(behind_a_proxy).await;
    house.register("mallory").await;
    house.register("ada").await;
    for n in 0..50 {
        if n == 49 {
            pair(&log_in_from(&house, "198.51.100.7", "mallory@example.com", PASSWORD).await);
        }
        fail_from(&house, "198.51.100.7", &format!("nobody{n}@example.com"), 1).await;
    }
    assert_told_to_wait(&log_in_from(&house, "198.51.100.7", "ada@example.com", WRONG).await, 1);
    pair(&log_in_from(&house, "198.51.100.7", "mallory@example.com", PASSWORD).await);
    assert_told_to_wait(&log_in_from(&house, "198.51.100.7", "ada@example.com", PASSWORD).await, 1);
    pair(&log_in_from(&house, "198.51.100.8", "ada@example.com", PASSWORD).await);
    // At its own account it waits for what it fails there.
    fail_from(&house, "198.51.100.7", "mallory@example.com", 5).await;
    assert_told_to_wait(&log_in_from(&house, "198.51.100.7", "mallory@example.com", PASSWORD).await, 1);
}

#[tokio::test]
async fn failures_by_the_username_do_not_tell_which_address_it_goes_with() {
    let house = House::with(behind_a_proxy).await;
    house.register("ada").await;
    let by_username = async |from: &str| {
        let body = json!({ "username": "ada", "password": WRONG });
        answer(house.request("POST", "/v1/auth/login").header("x-forwarded-for", from).json(&body))
            .await
            .status
    };
    for _ in 0..5 {
        assert_eq!(by_username("198.51.100.7").await, 401);
    }
    assert_eq!(by_username("198.51.100.7").await, 429);
    fail_from(&house, "198.51.100.7", "ada@example.com", 5).await;
    assert_told_to_wait(&log_in_from(&house, "198.51.100.7", "ada@example.com", PASSWORD).await, 1);
    // What an account bears in all is one number for both.
    for n in 0..23 {
        fail_from(&house, &format!("203.0.113.{n}"), "ada@example.com", 2).await;
        for _ in 0..2 {
            by_username(&format!("203.0.113.{n}")).await;
        }
    }
    assert_told_to_wait(&log_in_from(&house, "192.0.2.1", "ada@example.com", PASSWORD).await, 1);
}

#[tokio::test]
async fn a_mailed_reset_forgets_where_the_account_has_signed_in_before() {
    let house = House::with(behind_a_proxy).await;
    house.register("ada").await;
    for home in ["203.0.113.5", "203.0.113.6"] {
        pair(&log_in_from(&house, home, "ada@example.com", PASSWORD).await);
    }
    // By both names, as others may have tried from where the owner is.
    fail_from(&house, "203.0.113.7", "ada@example.com", 5).await;
    for _ in 0..5 {
        let body = json!({ "username": "ada", "password": WRONG });
        let request = house.request("POST", "/v1/auth/login").header("x-forwarded-for", "203.0.113.7");
        assert_eq!(answer(request.json(&body)).await.status, 401);
    }
    house.post_letter(Purpose::ResetPassword, "ada@example.com").await;
    let path = format!("/api/auth/reset_pwd/{}", house.letter().await.token());
    let body = json!({ "new_password": "another staple battery" });
    let reset = house.request("POST", &path).header("x-forwarded-for", "203.0.113.7").json(&body);
    assert_eq!(answer(reset).await.status, 200);
    assert_eq!(look_up::<i64>(&house, "select count(*) from familiar_addresses"), 1, "where it was reset");
    for name in ["ada", "ada@example.com"] {
        let body = json!({ "username": name, "password": "another staple battery" });
        let request = house.request("POST", "/v1/auth/login").header("x-forwarded-for", "203.0.113.7");
        assert_eq!(answer(request.json(&body)).await.status, 200, "{name}");
    }
}

#[tokio::test]
async fn an_address_that_an_untrusted_peer_tells_is_not_believed() {
    let house = House::new().await;
    for n in 0..5 {
        fail_from(&house, &format!("198.51.100.{n}"), "ada@example.com", 1).await;
    }
    assert_told_to_wait(&log_in_from(&house, "198.51.100.99", "ada@example.com", WRONG).await, 1);
    for name in ["x-real-ip", "forwarded", "cf-connecting-ip", "true-client-ip", "x-client-ip", "client-ip"] {
        let form = [("username", "ada@example.com"), ("password", WRONG)];
        let value = if name == "forwarded" { "for=192.0.2.9" } else { "192.0.2.9" };
        let refused =
            answer(house.request("POST", "/api/v1.0/auth/login").header(name, value).form(&form)).await;
        assert_told_to_wait(&refused, 1);
    }
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_last_hop_that_is_not_trusted_counts() {
    let house = House::with(behind_a_proxy).await;
    for hops in [
        "198.51.100.7",
        "203.0.113.1, 198.51.100.7",
        "203.0.113.2,198.51.100.7,10.1.2.3",
        "127.0.0.1, 10.0.0.1, 198.51.100.7, 10.0.0.2",
        "garbage, ::ffff:198.51.100.7",
    ] {
        fail_from(&house, hops, "ada@example.com", 1).await;
    }
    assert_told_to_wait(
        &log_in_from(&house, "203.0.113.99, 198.51.100.7", "ada@example.com", WRONG).await,
        1,
    );
    fail_from(&house, "198.51.100.8", "ada@example.com", 1).await;
}

#[tokio::test]
async fn bytes_that_are_no_text_before_the_hops_hide_no_address() {
    let house = House::with(behind_a_proxy).await;
    fail_from(&house, "198.51.100.7", "ada@example.com", 5).await;
    let refused = log_in_from(&house, b"\xff\xfe, 198.51.100.7", "ada@example.com", WRONG).await;
    assert_told_to_wait(&refused, 1);
}

#[tokio::test]
async fn a_wait_outlasts_a_restart() {
    let house = House::new().await;
    fail(&house, "ada@example.com", 5).await;
    house.wait(1);
    fail(&house, "ada@example.com", 1).await;
    let house = house.restart().await;
    assert_told_to_wait(&house.log_in("ada@example.com", WRONG).await, 2);
}

#[tokio::test]
async fn guessing_the_present_password_of_a_stolen_session_waits_as_well() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    for _ in 0..5 {
        let refused = change_password(&house, &ada.access, WRONG, "another staple battery").await;
        refused.refuses(400, "Current password is incorrect");
    }
    let refused = change_password(&house, &ada.access, PASSWORD, "another staple battery").await;
    assert_told_to_wait(&refused, 1);
    assert_told_to_wait(&house.log_in(&ada.email, PASSWORD).await, 1);
    house.wait(1);
    let changed = change_password(&house, &ada.access, PASSWORD, "another staple battery").await;
    changed.is(200, json!({ "message": "Password changed successfully" }));
}

#[tokio::test]
async fn without_delays_nobody_waits() {
    let house = House::with(|config| config.auth.sign_in_delays = false).await;
    house.register("ada").await;
    fail(&house, "ada@example.com", 70).await;
    pair(&house.log_in("ada@example.com", PASSWORD).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_guesses_does_not_slip_by() {
    let house = House::with(|config| {
        config.auth.hash_memory_kib = 16 * 1024;
        config.auth.hash_iterations = 2;
        config.auth.hash_threads = 1;
        config.auth.hash_queue = 64;
    })
    .await;
    house.register("ada").await;
    let answers = join_all((0..40).map(|_| house.log_in("ada@example.com", WRONG))).await;
    let tried = answers.iter().filter(|answer| answer.status == 401).count();
    assert!((5..=15).contains(&tried), "{tried} of 40 guesses were tried");
    assert!(answers.iter().all(|answer| matches!(answer.status, 401 | 429)));
}
