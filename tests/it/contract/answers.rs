//! Answers whatever they are of: a fault of ours, and long ones that are sent compressed.

use serde_json::json;
use uuid::Uuid;

use crate::house::{House, answer};

/// The database file, as another program sees it.
#[expect(clippy::disallowed_methods, reason = "it stands for another program")]
fn look_into(house: &House) -> rusqlite::Connection {
    rusqlite::Connection::open(house.database()).unwrap()
}

#[tokio::test]
async fn a_fault_of_ours_says_nothing_of_the_inside() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    look_into(&house).execute_batch("alter table books rename to elsewhere").unwrap();
    for (method, path, body) in [
        ("GET", "/api/v1.0/books", json!(null)),
        ("GET", "/api/v1.0/books/019a9d5e-6c1f-7c3b-8a54-3f0c1f4e2d10", json!(null)),
        ("POST", "/api/v1.0/books", crate::house::book("Dune")),
        ("GET", "/api/v1.0/users/me", json!(null)),
    ] {
        let found = answer(house.by(&ada, method, path).json(&body)).await;
        found.refuses(500, "Internal Server Error");
        assert!(found.header("x-request-id").parse::<Uuid>().is_ok());
        assert_eq!(found.header("cache-control"), "no-store");
    }
    look_into(&house).execute_batch("alter table elsewhere rename to books").unwrap();
    house.get("/api/v1.0/books").await.is(200, json!([]));
    assert_eq!(house.get("/health").await.status, 200);
}

#[tokio::test]
async fn long_answers_are_compressed_for_those_who_ask_and_short_ones_are_not() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    for n in 0..10 {
        house.book(&ada, &format!("Book {n}")).await;
    }
    for (path, offer, encoding) in [
        ("/api/v1.0/books", "gzip", "gzip"),
        ("/api/v1.0/books", "identity", ""),
        ("/api/v1.0/books?limit=1", "gzip", ""),
    ] {
        for method in ["GET", "HEAD"] {
            let found = answer(house.request(method, path).header("accept-encoding", offer)).await;
            assert_eq!(found.status, 200);
            if method == "GET" {
                assert_eq!(found.header("content-encoding"), encoding, "{path} {offer}");
            }
            if encoding == "gzip" {
                assert_eq!(found.header("content-length"), "", "{method} {path}");
                assert!(found.header("vary").to_ascii_lowercase().contains("accept-encoding"), "{method}");
            } else {
                assert!(found.header("content-length").parse::<usize>().is_ok_and(|bytes| bytes > 100));
            }
        }
    }
}
