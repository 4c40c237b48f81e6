//! Answers that nobody reads: what they may take of the server's memory, and what others notice of them.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::connections::connect_from;
use crate::binary::{PATIENCE, Place, Serving, connect};
use crate::house::{Guest, answer, book};

/// What the server may hold, in bytes.
const MEMORY_MAX: u64 = 250_000_000;
/// The largest public page that may be asked for.
const LARGEST: &str = "/api/v1.0/books/?limit=1000";
const SMALL: &str = "/api/v1.0/books/?limit=3";

/// A server with a thousand books; each of their four names is `name`, an expression of SQLite's.
async fn library(place: &Place, name: &str) -> (Serving, Guest) {
    let serving = place.serve().await;
    let ada = serving.guest("ada").await;
    let fill = format!(
        "with recursive n (i) as (select 1 union all select i + 1 from n where i < 1000)
         insert into books (uuid, title, author, publisher, publish_date, pages, language, user_id, created_at, updated_at)
         select randomblob(16), {name}, {name}, {name}, '1965-08-01', 412, {name}, 1, 0, 0 from n"
    );
    connect(&place.database()).execute_batch(&fill).unwrap();
    (serving, ada)
}

/// 255 characters of four bytes.
fn long_name() -> String {
    format!("'{}'", "𝄞".repeat(255))
}

/// The most that the server holds from now on until so much time has passed.
async fn peak(serving: &Serving, span: Duration) -> u64 {
    let (begun, mut peak) = (Instant::now(), 0);
    while begun.elapsed() < span {
        let status = std::fs::read_to_string(format!("/proc/{}/status", serving.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        peak = peak.max(kib * 1024);
        sleep(Duration::from_millis(20)).await;
    }
    peak
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n")
}

/// Two hundred clients that ask and read nothing, in turn from these addresses.
async fn crowd(address: SocketAddr, from: &[u8], headers: &str) -> Vec<TcpStream> {
    let mut crowd = Vec::new();
    for n in 0..200 {
        let mut stream = connect_from(from[n % from.len()], address).await;
        // More than one, as a client may that does not wait for answers.
        stream.write_all(get(LARGEST, headers).repeat(3).as_bytes()).await.unwrap();
        crowd.push(stream);
    }
    crowd
}

/// Asks once from an address and reads the whole answer.
async fn ask(address: SocketAddr, from: u8, path: &str) -> String {
    let mut stream = connect_from(from, address).await;
    stream.write_all(get(path, "Connection: close\r\n").as_bytes()).await.unwrap();
    let mut said = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("it answers").unwrap();
    String::from_utf8(said).unwrap()
}

/// Small pages are given to everybody, large ones given or put off, and what is written is never refused for want of room.
async fn others_are_served(serving: &Serving, ada: &Guest, address: SocketAddr) {
    for from in [1, 2, 99] {
        let small = ask(address, from, SMALL).await;
        assert!(small.starts_with("HTTP/1.1 200 "), "{}", &small[..small.len().min(300)]);
    }
    let large = ask(address, 99, LARGEST).await;
    let put_off = large.starts_with("HTTP/1.1 503 ") && large.contains("\r\nretry-after: ");
    assert!(put_off || large.starts_with("HTTP/1.1 200 "), "{}", &large[..large.len().min(300)]);
    for _ in 0..10 {
        let made = answer(serving.by(ada, "POST", "/api/v1.0/books/").json(&book("Written"))).await;
        assert_eq!(made.status, 201, "{}", made.text);
    }
}

#[tokio::test]
async fn two_hundred_who_read_nothing_from_one_address_fill_no_memory_and_keep_nobody_out() {
    let place = Place::new();
    let (serving, ada) = library(&place, &long_name()).await;
    let address = serving.address().parse().unwrap();
    let _crowd = crowd(address, &[1], "").await;
    let peak = peak(&serving, Duration::from_secs(4)).await;
    assert!(peak <= MEMORY_MAX, "{peak}");
    others_are_served(&serving, &ada, address).await;
    let large = ask(address, 99, LARGEST).await;
    assert!(large.starts_with("HTTP/1.1 200 "), "one address leaves room for others: {}", &large[..100]);
}

#[tokio::test]
async fn two_hundred_who_read_nothing_from_ten_addresses_fill_no_memory_and_keep_nobody_out() {
    let place = Place::new();
    let (serving, ada) = library(&place, &long_name()).await;
    let address = serving.address().parse().unwrap();
    let crowd = crowd(address, &[2, 3, 4, 5, 6, 7, 8, 9, 10, 11], "").await;
    let peak = peak(&serving, Duration::from_secs(4)).await;
    assert!(peak <= MEMORY_MAX, "{peak}");
    others_are_served(&serving, &ada, address).await;
    drop(crowd);
    let begun = Instant::now();
    while !ask(address, 99, LARGEST).await.starts_with("HTTP/1.1 200 ") {
        assert!(begun.elapsed() < PATIENCE, "room does not come back");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_is_compressed_is_bounded_as_well() {
    let place = Place::new();
    // Nothing makes these much shorter.
    let (serving, ada) = library(&place, "hex(randomblob(127))").await;
    let address = serving.address().parse().unwrap();
    let _crowd = crowd(address, &[2, 3, 4, 5], "Accept-Encoding: gzip\r\n").await;
    let peak = peak(&serving, Duration::from_secs(6)).await;
    assert!(peak <= MEMORY_MAX, "{peak}");
    others_are_served(&serving, &ada, address).await;
}

#[tokio::test]
async fn a_user_with_a_thousand_books_is_shown_whole() {
    let place = Place::new();
    let (serving, ada) = library(&place, &long_name()).await;
    let own = answer(serving.by(&ada, "GET", "/api/v1.0/users/me")).await;
    assert_eq!(own.status, 200);
    assert_eq!(own.body["books"].as_array().map(Vec::len), Some(1000));
    let zipped = serving.by(&ada, "GET", "/api/v1.0/users/me").header("accept-encoding", "gzip");
    let zipped = zipped.send().await.unwrap();
    assert_eq!(zipped.headers()["content-encoding"], "gzip");
    assert!(zipped.bytes().await.unwrap().len() < 500_000);
    let _: Value = own.body;
}
