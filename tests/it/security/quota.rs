//! Quota: nobody fills the disk of all.

use serde_json::{Value, json};

use super::look_up;
use crate::house::{Answer, Guest, House, answer, book, contact, send};

const OVER: &str = "Your storage is full";

/// A house where a user may keep one MiB.
async fn small_house() -> (House, Guest) {
    let house = House::with(|config| config.users.quota_mb = 1).await;
    let ada = house.guest("ada").await;
    house.confirm(&ada).await;
    (house, ada)
}

async fn add_todo(house: &House, guest: &Guest) -> Answer {
    let body = json!({ "title": "Read", "description": "x".repeat(10_000) });
    send(house, guest, "POST", "/v1/todos", body).await
}

/// Adds todos until the quota is reached; how many there are then.
async fn fill(house: &House, guest: &Guest) -> usize {
    let (mut done, mut refused) = (0, 0);
    while refused < 2 {
        let answer = add_todo(house, guest).await;
        if answer.status == 507 {
            assert_eq!(answer.body["error"]["message"], json!(OVER));
            refused += 1;
            // The rows are looked at again then.
            house.wait(10);
        } else {
            assert_eq!(answer.status, 201, "{}", answer.text);
            (done, refused) = (done + 1, 0);
        }
        assert!(done < 200, "there is no quota");
    }
    done
}

#[tokio::test]
async fn a_user_who_keeps_too_much_is_refused_by_every_api_and_others_are_not() {
    let (house, ada) = small_house().await;
    let kept = fill(&house, &ada).await;
    // Of 10,200 bytes each, but for one more of the largest that is allowed.
    assert!((90..=102).contains(&kept), "{kept} were taken");
    // Rows of other kinds are smaller: a few of them still fit in, until there is no room for the smallest.
    let fill_up = |db: &satchel::db::Write| {
        let sql = "insert into todos (title, description, priority, user_id, created_at, updated_at)
                   with recursive n (n) as (select 1 union all select n + 1 from n where n < 20)
                   select 'Read', printf('%.*c', 10000, 'x'), 'low', 1, 1, 1 from n";
        Ok(db.execute(sql, [])?)
    };
    house.server.app.db.write(fill_up).await.unwrap();
    let house = house.restart().await;
    let item = json!({ "name": "Tea", "category": "Grocery", "price_usd": 1, "in_stock": true });
    for (path, body) in [
        ("/v1/todos", json!({ "title": "More" })),
        ("/api/contacts/", contact("Grace")),
        ("/api/v1.0/books/", book("Dune")),
        ("/items", item.clone()),
    ] {
        let refused = send(&house, &ada, "POST", path, body).await;
        assert_eq!(refused.status, 507, "{path}: {}", refused.text);
        assert!(refused.text.contains(OVER), "{}", refused.text);
    }
    let update =
        send(&house, &ada, "PATCH", "/v1/todos/1", json!({ "description": "y".repeat(10_000) })).await;
    assert_eq!(update.status, 507, "{}", update.text);
    // The rest goes on: reading, signing in and out, changing the profile, deleting.
    for (method, path, body, status) in [
        ("GET", "/v1/todos", Value::Null, 200),
        ("PUT", "/users/profile", json!({ "first_name": "Ada", "last_name": "King" }), 200),
        ("DELETE", "/v1/todos/1", Value::Null, 204),
    ] {
        let answer = send(&house, &ada, method, path, body).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
    }
    let ben = house.guest("ben").await;
    assert_eq!(add_todo(&house, &ben).await.status, 201);
    house.book(&ben, "Dune").await;
    assert_eq!(send(&house, &ben, "POST", "/items", item).await.status, 201);
}

#[tokio::test]
async fn what_was_deleted_counts_no_more() {
    let (house, ada) = small_house().await;
    let kept = fill(&house, &ada).await;
    for id in 1..=20 {
        let gone = send(&house, &ada, "DELETE", &format!("/v1/todos/{id}"), Value::Null).await;
        assert_eq!(gone.status, 204, "{}", gone.text);
    }
    // The rows are looked at again when some time has passed.
    house.wait(10);
    for _ in 0..15 {
        assert_eq!(add_todo(&house, &ada).await.status, 201);
    }
    assert_eq!(look_up::<i64>(&house, "select count(*) from todos"), i64::try_from(kept - 5).unwrap());
}

#[tokio::test]
async fn small_rows_are_not_taken_for_large_ones() {
    let (house, ada) = small_house().await;
    // A hundred todos of the largest size would be four MiB.
    for n in 0..100 {
        let body = json!({ "title": format!("Read {n}") });
        assert_eq!(send(&house, &ada, "POST", "/v1/todos", body).await.status, 201, "{n}");
    }
    assert_eq!(answer(house.by(&ada, "POST", "/api/v1.0/books/").json(&book("Dune"))).await.status, 201);
}

#[tokio::test]
async fn many_small_rows_are_not_taken_for_as_many_of_the_largest() {
    let (house, ada) = small_house().await;
    let add = async |house: &House, n: usize| {
        let body = json!({ "title": format!("Read {n}") });
        assert_eq!(send(house, &ada, "POST", "/v1/todos", body).await.status, 201, "{n}");
    };
    // Of the largest, 25 would fit.
    for n in 0..24 {
        add(&house, n).await;
    }
    let house = house.restart().await;
    for n in 24..60 {
        add(&house, n).await;
    }
}

#[tokio::test]
async fn a_quota_outlives_a_restart_and_zero_is_none() {
    let (mut house, ada) = small_house().await;
    fill(&house, &ada).await;
    house = house.restart().await;
    assert_eq!(add_todo(&house, &ada).await.status, 507);
    house.config.users.quota_mb = 0;
    house = house.restart().await;
    assert_eq!(add_todo(&house, &ada).await.status, 201);
}
