//! todolist, `/health`: whether the server and its database are well.

use std::io::{Seek, Write};

use satchel::config::Environment;
use serde_json::{Value, json};

use super::{BEGINNING_UTC, Said, after, ask, get, look_into, member};
use crate::house::House;

fn healthy(environment: &str, now: &str) -> Value {
    json!({
        "status": "healthy", "version": env!("CARGO_PKG_VERSION"), "environment": environment,
        "timestamp": now, "database": { "status": "connected", "current_time": now },
    })
}

fn is_unhealthy(answer: &Said) {
    answer.is(
        503,
        json!({
            "status": "unhealthy", "version": env!("CARGO_PKG_VERSION"), "environment": "development",
            "timestamp": BEGINNING_UTC, "database": { "status": "disconnected" },
        }),
    );
    assert_eq!(answer.header("retry-after"), "1");
}

#[tokio::test]
async fn health_tells_the_version_the_environment_and_the_time() {
    for (environment, word) in
        [(Environment::Development, "development"), (Environment::Production, "production")]
    {
        let house = House::with(|config| config.environment = environment).await;
        get(&house, None, "/health").await.is(200, healthy(word, BEGINNING_UTC));
        house.wait(90);
        get(&house, None, "/health/").await.is(200, healthy(word, &after(90)));
    }
}

#[tokio::test]
async fn health_asks_for_no_token_and_minds_none() {
    let house = House::new().await;
    for scheme in ["Bearer garbage", "Basic YTpi", "Bearer "] {
        let request = house.request("GET", "/v1/health").header("authorization", scheme);
        ask(request).await.is(200, healthy("development", BEGINNING_UTC));
    }
}

#[tokio::test]
async fn health_writes_nothing() {
    let house = House::new().await;
    member(&house, "ada").await;
    let log = house.database().with_file_name("satchel.db-wal");
    let bytes = || (std::fs::read(house.database()).unwrap(), std::fs::read(&log).unwrap());
    let before = bytes();
    for _ in 0..20 {
        get(&house, None, "/health").await.is(200, healthy("development", BEGINNING_UTC));
    }
    assert!(bytes() == before, "the database was written to");
}

#[tokio::test]
async fn health_is_503_while_the_database_file_is_gone() {
    let house = House::new().await;
    let (file, away) = (house.database(), house.database().with_file_name("away.db"));
    for _ in 0..2 {
        std::fs::rename(&file, &away).unwrap();
        is_unhealthy(&get(&house, None, "/health").await);
        assert!(!file.exists(), "nobody makes another");
        std::fs::rename(&away, &file).unwrap();
        get(&house, None, "/health").await.is(200, healthy("development", BEGINNING_UTC));
    }
}

#[tokio::test]
async fn health_is_503_while_a_directory_stands_where_the_database_was() {
    let house = House::new().await;
    let (file, away) = (house.database(), house.database().with_file_name("away.db"));
    std::fs::rename(&file, &away).unwrap();
    std::fs::create_dir(&file).unwrap();
    is_unhealthy(&get(&house, None, "/health").await);
    std::fs::remove_dir(&file).unwrap();
    std::fs::rename(&away, &file).unwrap();
    get(&house, None, "/health").await.is(200, healthy("development", BEGINNING_UTC));
}

#[tokio::test]
async fn health_is_503_while_the_file_is_no_database() {
    let house = House::new().await;
    // What stands in the log is read instead of the file.
    let moved = look_into(&house.database())
        .query_row("pragma wal_checkpoint(truncate)", [], |row| row.get::<_, i64>(0))
        .unwrap();
    assert_eq!(moved, 0, "the log could not be moved");
    let header = std::fs::read(house.database()).unwrap()[..100].to_vec();
    let mut file = std::fs::OpenOptions::new().write(true).open(house.database()).unwrap();
    let mut begin_with = |bytes: &[u8]| {
        file.rewind().unwrap();
        file.write_all(bytes).unwrap();
    };
    begin_with(&[b'x'; 100]);
    is_unhealthy(&get(&house, None, "/health").await);
    begin_with(&header);
    get(&house, None, "/health").await.is(200, healthy("development", BEGINNING_UTC));
}
