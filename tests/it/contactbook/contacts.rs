//! contactbook, `/api/contacts`: one's own contacts.

use serde_json::json;

use super::member;
use crate::house::{House, contact, send, with};

#[tokio::test]
async fn create_contact_answers_the_whole_contact() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let made = send(&house, &ada, "POST", "/api/contacts/", contact("Grace Hopper")).await;
    made.is(201, with(contact("Grace Hopper"), json!({ "id": 1, "user_id": 1 })));
}
