//! Floods: whoever sends too much keeps nobody else from signing in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::future::join_all;
use reqwest::RequestBuilder;
use satchel::config::Config;

use super::pair;
use crate::house::{House, PASSWORD, registration};

/// Where the flood comes from, and somebody else: addresses that no limit holds in development.
const FLOOD: &str = "192.168.0.1";
const HONEST: &str = "192.168.0.2";
/// How many log-ins somebody else tries.
const TRIES: usize = 30;

/// A house in which a hash costs something, behind a proxy that names its clients.
async fn house() -> House {
    House::with(|config: &mut Config| {
        config.server.trusted_proxies.0 = vec!["127.0.0.1".parse().unwrap()];
        config.auth.hash_memory_kib = 4 * 1024;
        config.auth.hash_threads = 1;
    })
    .await
}

fn log_in(house: &House, from: &str, email: &str) -> RequestBuilder {
    let form = [("username", email), ("password", PASSWORD)];
    house.request("POST", "/api/v1.0/auth/login").header("x-forwarded-for", from).form(&form)
}

/// Sends requests over so many connections until somebody else has tried to log in [`TRIES`] times. How many of those
/// log-ins succeeded, and how many requests of the flood.
async fn beside(
    house: &House,
    connections: usize,
    flood: impl Fn(usize) -> RequestBuilder,
) -> (usize, usize) {
    let (over, sent, done) =
        (AtomicBool::new(false), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let flooding = join_all((0..connections).map(async |_| {
        while !over.load(Ordering::Relaxed) {
            let response = flood(sent.fetch_add(1, Ordering::Relaxed)).send().await.unwrap();
            done.fetch_add(usize::from(response.status().is_success()), Ordering::Relaxed);
        }
    }));
    let honest = async {
        // The flood has begun.
        while done.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        let mut succeeded = 0;
        for _ in 0..TRIES {
            let response = log_in(house, HONEST, "ada@example.com").send().await.unwrap();
            succeeded += usize::from(response.status().is_success());
        }
        over.store(true, Ordering::Relaxed);
        succeeded
    };
    let (succeeded, _) = tokio::join!(honest, flooding);
    (succeeded, done.load(Ordering::Relaxed))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forty_eight_connections_that_sign_up_keep_nobody_else_from_signing_in() {
    let house = house().await;
    house.register("ada").await;
    let (succeeded, done) = beside(&house, 48, |n| {
        let request = house.request("POST", "/api/v1.0/auth/register").header("x-forwarded-for", FLOOD);
        request.json(&registration(&format!("flood{n}")))
    })
    .await;
    assert_eq!(succeeded, TRIES);
    assert!(done > 0, "the flood is served as well");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_connections_with_good_log_ins_keep_nobody_else_from_signing_in() {
    let house = house().await;
    house.register("ada").await;
    house.register("mallory").await;
    pair(&house.log_in("mallory@example.com", PASSWORD).await);
    let (succeeded, _) = beside(&house, 200, |_| log_in(&house, FLOOD, "mallory@example.com")).await;
    assert_eq!(succeeded, TRIES);
}
