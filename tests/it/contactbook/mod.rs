//! contactbook: the whole table of its contract, route by route.

mod auth;
mod avatars;
mod birthdays;
mod confirm;
mod contact_fields;
mod contacts;
mod limits;
mod pages;
mod privacy;
mod refresh;
mod requests;
mod reset;
mod search;
mod unconfirmed;

use serde_json::json;

use crate::house::{Answer, Guest, House, PASSWORD, answer};

/// Signs `<name>@example.com` up, confirms the address by the letter, and signs in.
async fn member(house: &House, name: &str) -> Guest {
    let email = format!("{name}@example.com");
    let body = json!({ "username": "somebody", "email": email, "password": PASSWORD });
    let signed_up = house.post("/api/auth/signup", body).await;
    assert_eq!(signed_up.status, 201, "{}", signed_up.text);
    let letter = house.letter().await;
    house
        .get(&format!("/api/email/confirm/{}", letter.token()))
        .await
        .is(200, json!({ "message": "Email confirmed" }));
    let signed_in = log_in(house, &email, PASSWORD).await;
    assert_eq!(signed_in.status, 200, "{}", signed_in.text);
    let token = |kind: &str| signed_in.body[kind].as_str().unwrap().to_owned();
    let (access, refresh) = (token("access_token"), token("refresh_token"));
    let listed = answer(house.request("GET", "/v1/auth/me").bearer_auth(&access)).await;
    let id = listed.body["id"].to_string();
    Guest { uuid: id, email, access, refresh }
}

/// Signs in.
async fn log_in(house: &House, email: &str, password: &str) -> Answer {
    let form = [("username", email), ("password", password)];
    answer(house.request("POST", "/api/auth/login").form(&form)).await
}
