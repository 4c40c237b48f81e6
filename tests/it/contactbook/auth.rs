//! contactbook, `/api/auth`: sign up, confirm, sign in.

use serde_json::json;

use super::member;
use crate::house::{House, send};

#[tokio::test]
async fn whoever_confirmed_the_address_signs_in_and_lists_contacts() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    send(&house, &ada, "GET", "/api/contacts/", json!(null)).await.is(200, json!([]));
}
