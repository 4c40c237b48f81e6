//! bookshelf, `/books`.

use serde_json::json;

use crate::house::{BEGINNING_NAIVE, House, answer, book};

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
