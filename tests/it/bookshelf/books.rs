//! bookshelf, `/books`.

use satchel::domain::users::Role;
use serde_json::{Value, json};

use super::{send, with};
use crate::house::{BEGINNING_NAIVE, Guest, House, answer, book};

const NOBODY: &str = "019a9d5e-6c1f-7c3b-8a54-3f0c1f4e2d10";
const LATER: &str = "2026-11-21T05:06:40.560803";

fn path(book: &Value) -> String {
    format!("/books/{}", book["uuid"].as_str().unwrap())
}

#[tokio::test]
async fn create_book_answers_the_whole_book_of_the_caller() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let created = answer(house.by(&ada, "POST", "/api/v1.0/books/").json(&book("Dune"))).await;
    created.is(
        201,
        json!({
            "id": 1, "uuid": created.body["uuid"], "title": "Dune", "author": "Frank Herbert",
            "publisher": "Chilton Books", "publish_date": "1965-08-01", "pages": 412, "language": "English",
            "user_id": 1, "created_at": BEGINNING_NAIVE, "updated_at": BEGINNING_NAIVE,
        }),
    );
    let found = house.get(&format!("/api/v1.0/books/{}", created.body["uuid"].as_str().unwrap())).await;
    found.is(200, created.body);
}

#[tokio::test]
async fn create_book_is_refused_to_a_stranger_and_ignores_whose_it_claims_to_be() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let ben = house.guest("ben").await;
    send(&house, None, "POST", "/books/", book("Dune")).await.refuses(401, "Not authenticated");
    let wish = json!({ "user_id": 1, "id": 77, "uuid": NOBODY, "created_at": "2000-01-01T00:00:00" });
    let made = send(&house, &ben, "POST", "/books", with(book("Emma"), wish)).await;
    assert_ne!(made.body["uuid"], json!(NOBODY));
    let own = json!({
        "id": 1, "uuid": made.body["uuid"], "user_id": 2, "created_at": BEGINNING_NAIVE, "updated_at": BEGINNING_NAIVE,
    });
    made.is(201, with(book("Emma"), own));
    send(&house, &ada, "GET", "/books/my-books", Value::Null).await.is(200, json!([]));
}

#[tokio::test]
async fn list_books_answers_everybodys_newest_first_and_my_books_ones_own() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let ben = house.guest("ben").await;
    send(&house, None, "GET", "/books/", Value::Null).await.is(200, json!([]));
    let one = house.book(&ada, "Dune").await;
    let two = house.book(&ben, "Emma").await;
    let three = house.book(&ada, "Ulysses").await;
    for path in ["/books", "/books/"] {
        send(&house, None, "GET", path, Value::Null).await.is(200, json!([three, two, one]));
        send(&house, &ben, "GET", path, Value::Null).await.is(200, json!([three, two, one]));
    }
    send(&house, &ada, "GET", "/books/my-books", Value::Null).await.is(200, json!([three, one]));
    send(&house, &ben, "GET", "/books/my-books/", Value::Null).await.is(200, json!([two]));
    send(&house, None, "GET", "/books/my-books", Value::Null).await.refuses(401, "Not authenticated");
}

#[tokio::test]
async fn books_that_are_not_there_are_not_found() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let path = format!("/books/{NOBODY}");
    let sentence = format!("Book {NOBODY} not found");
    send(&house, None, "GET", &path, Value::Null).await.refuses(404, &sentence);
    send(&house, &ada, "PATCH", &path, json!({})).await.refuses(404, &sentence);
    send(&house, &ada, "DELETE", &path, Value::Null).await.refuses(404, &sentence);
    send(&house, None, "PATCH", &path, json!({})).await.refuses(401, "Not authenticated");
    send(&house, None, "DELETE", &path, Value::Null).await.refuses(401, "Not authenticated");
}

#[tokio::test]
async fn update_book_changes_what_is_named_and_nothing_else() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let mut expected = house.book(&ada, "Dune").await;
    house.wait(1);
    for change in [
        json!({ "title": "Dune Messiah" }),
        json!({ "author": "F. Herbert" }),
        json!({ "publisher": "Putnam" }),
        json!({ "publish_date": "1969-10-15" }),
        json!({ "pages": 256 }),
        json!({ "language": "Deutsch" }),
        json!({ "title": "Der Herr des Wüstenplaneten", "pages": 100_000 }),
    ] {
        expected = with(with(expected, change.clone()), json!({ "updated_at": LATER }));
        let wish = json!({ "user_id": null, "id": 9, "uuid": NOBODY, "created_at": null });
        let changed = send(&house, &ada, "PATCH", &path(&expected), with(change, wish)).await;
        changed.is(200, expected.clone());
    }
    send(&house, None, "GET", &path(&expected), Value::Null).await.is(200, expected);
}

#[tokio::test]
async fn update_book_is_refused_to_a_stranger_and_to_another_user() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let ben = house.guest("ben").await;
    let dune = house.book(&ada, "Dune").await;
    let change = json!({ "title": "Mine" });
    send(&house, None, "PATCH", &path(&dune), change.clone()).await.refuses(401, "Not authenticated");
    let answer = send(&house, &ben, "PATCH", &path(&dune), change).await;
    answer.refuses(403, "You can only update your own books");
    // Malformed input is told before rights are looked at.
    let answer = send(&house, &ben, "PATCH", &path(&dune), json!({ "pages": 0 })).await;
    let sentence = "Input should be greater than or equal to 1";
    answer.invalid(&[("greater_than_equal", json!(["body", "pages"]), sentence)]);
    send(&house, None, "GET", &path(&dune), Value::Null).await.is(200, dune);
}

#[tokio::test]
async fn delete_book_is_refused_to_a_stranger_and_to_another_user() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let ben = house.guest("ben").await;
    let dune = house.book(&ada, "Dune").await;
    send(&house, None, "DELETE", &path(&dune), Value::Null).await.refuses(401, "Not authenticated");
    let answer = send(&house, &ben, "DELETE", &path(&dune), Value::Null).await;
    answer.refuses(403, "You can only delete your own books");
    send(&house, None, "GET", &path(&dune), Value::Null).await.is(200, dune);
}

#[tokio::test]
async fn owner_moderator_and_admin_may_change_and_delete_a_book() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let mary = house.guest_as("mary", Role::Moderator).await;
    let grace = house.guest_as("grace", Role::Admin).await;
    for who in [&ada, &mary, &grace] {
        let dune = house.book(&ada, "Dune").await;
        let change = json!({ "title": "Changed" });
        let changed = send(&house, who, "PATCH", &path(&dune), change.clone()).await;
        changed.is(200, with(dune.clone(), change));
        let gone = send(&house, who, "DELETE", &path(&dune), Value::Null).await;
        assert_eq!((gone.status, &*gone.text, gone.header("content-type")), (204, "", ""));
        let sentence = format!("Book {} not found", dune["uuid"].as_str().unwrap());
        send(&house, None, "GET", &path(&dune), Value::Null).await.refuses(404, &sentence);
        send(&house, who, "DELETE", &path(&dune), Value::Null).await.refuses(404, &sentence);
    }
    send(&house, None, "GET", "/books", Value::Null).await.is(200, json!([]));
}

#[tokio::test]
async fn books_of_a_deleted_user_are_ownerless_and_for_moderators_and_admins_alone() {
    let house = House::new().await;
    let mary = house.guest_as("mary", Role::Moderator).await;
    let grace = house.guest_as("grace", Role::Admin).await;
    let ben = house.guest("ben").await;
    let ada = house.guest("ada").await;
    let dune = house.book(&ada, "Dune").await;
    let emma = house.book(&ada, "Emma").await;
    let done = send(&house, &ada, "DELETE", &format!("/users/{}", ada.uuid), Value::Null).await;
    assert_eq!(done.status, 200);
    let ownerless = |book: &Value| with(book.clone(), json!({ "user_id": null }));
    let all = json!([ownerless(&emma), ownerless(&dune)]);
    send(&house, None, "GET", "/books", Value::Null).await.is(200, all.clone());
    // Neither another user nor the next who takes the name comes into them.
    let next: Guest = house.guest("ada").await;
    for guest in [&ben, &next] {
        let answer = send(&house, guest, "PATCH", &path(&dune), json!({ "title": "Mine" })).await;
        answer.refuses(403, "You can only update your own books");
        let answer = send(&house, guest, "DELETE", &path(&dune), Value::Null).await;
        answer.refuses(403, "You can only delete your own books");
        send(&house, guest, "GET", "/books/my-books", Value::Null).await.is(200, json!([]));
    }
    send(&house, None, "GET", "/books", Value::Null).await.is(200, all);
    let change = json!({ "title": "Kept" });
    let kept = send(&house, &mary, "PATCH", &path(&dune), change.clone()).await;
    kept.is(200, with(ownerless(&dune), change));
    assert_eq!(send(&house, &mary, "DELETE", &path(&dune), Value::Null).await.status, 204);
    assert_eq!(send(&house, &grace, "DELETE", &path(&emma), Value::Null).await.status, 204);
}

#[tokio::test]
async fn update_book_refuses_null_and_what_is_over_its_bound() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let dune = house.book(&ada, "Dune").await;
    for field in ["title", "author", "publisher", "language"] {
        for (value, kind, msg) in [
            (Value::Null, "string_type", "Input should be a valid string"),
            (json!(1965), "string_type", "Input should be a valid string"),
            (json!(""), "string_too_short", "String should have at least 1 character"),
            (json!("é".repeat(256)), "string_too_long", "String should have at most 255 characters"),
            (json!("a\0"), "value_error", "Value error, Text must not contain NUL characters"),
        ] {
            let answer = send(&house, &ada, "PATCH", &path(&dune), json!({ field: value })).await;
            answer.invalid(&[(kind, json!(["body", field]), msg)]);
        }
        let longest = json!({ field: "é".repeat(255) });
        assert_eq!(send(&house, &ada, "PATCH", &path(&dune), longest).await.status, 200);
    }
    for (change, kind, msg) in [
        (json!({ "pages": null }), "int_type", "Input should be a valid integer"),
        (json!({ "publish_date": null }), "date_type", "Input should be a valid date"),
    ] {
        let field = change.as_object().unwrap().keys().next().unwrap().clone();
        let answer = send(&house, &ada, "PATCH", &path(&dune), change).await;
        answer.invalid(&[(kind, json!(["body", field]), msg)]);
    }
    let found = send(&house, None, "GET", &path(&dune), Value::Null).await;
    assert_eq!((&found.body["pages"], &found.body["publish_date"]), (&dune["pages"], &dune["publish_date"]));
}
