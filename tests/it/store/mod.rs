//! store: the whole table of its contract, route by route.

mod fields;
mod items;
mod list;
mod methods;
mod prices;
mod sign_in;
mod store_managers;
mod tokens;

use satchel::db::Write;
use satchel::domain::auth::Admin;
use satchel::domain::users;
use serde_json::{Value, json};

use crate::house::{Answer, Guest, House, PASSWORD, answer, send, with};

const NOBODY: &str = "019a9d5e-6c1f-7c3b-8a54-3f0c1f4e2d10";

/// Sends a body as it stands, as JSON.
async fn send_text(house: &House, who: &Guest, method: &str, path: &str, body: impl Into<String>) -> Answer {
    let request = house.by(who, method, path).header("content-type", "application/json");
    answer(request.body(body.into())).await
}

/// `whole` without one field.
fn without(mut whole: Value, name: &str) -> Value {
    whole.as_object_mut().unwrap().remove(name).unwrap();
    whole
}

/// What a store manager signs up with.
fn sign_up(name: &str) -> Value {
    json!({ "name": name, "email": format!("{name}@example.com"), "password_hash": PASSWORD })
}

/// Asks for a token.
async fn token(house: &House, email: &str, password: &str) -> Answer {
    let form = [("username", email), ("password", password)];
    answer(house.request("POST", "/store-managers/token").form(&form)).await
}

/// Signs up as a store manager and signs in; there is no refresh token.
async fn keeper(house: &House, name: &str) -> Guest {
    let made = house.post("/store-managers", sign_up(name)).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let email = format!("{name}@example.com");
    let signed_in = token(house, &email, PASSWORD).await;
    assert_eq!(signed_in.status, 200, "{}", signed_in.text);
    Guest {
        uuid: made.body["id"].as_str().unwrap().to_owned(),
        email,
        access: signed_in.body["access_token"].as_str().unwrap().to_owned(),
        refresh: String::new(),
    }
}

/// An item as it is sent.
fn tea() -> Value {
    json!({ "name": "Green tea", "category": "Grocery", "price_usd": 19.99, "in_stock": true })
}

/// Adds an item.
async fn add(house: &House, owner: &Guest, given: Value) -> Value {
    let made = send(house, owner, "POST", "/items", given).await;
    assert_eq!(made.status, 201, "{}", made.text);
    made.body
}

/// The path of an item.
fn path(item: &Value) -> String {
    format!("/items/{}", id(item))
}

fn id(item: &Value) -> &str {
    item["id"].as_str().unwrap()
}

/// Who of these keeps the item.
fn owner<'a>(item: &Value, keepers: &[&'a Guest]) -> &'a Guest {
    keepers.iter().find(|keeper| item["store_manager_id"] == json!(keeper.uuid)).unwrap()
}

/// A whole 422 of one entry; `ctx` of null is none.
fn fault(kind: &str, field: &str, msg: &str, input: Value, ctx: Value) -> Value {
    let mut entry = json!({ "type": kind, "loc": ["body", field], "msg": msg, "input": input });
    if !ctx.is_null() {
        entry["ctx"] = ctx;
    }
    json!({ "detail": [entry] })
}

async fn set_blocked(house: &House, uuid: &str, blocked: bool) {
    let uuid = uuid.parse().unwrap();
    let block =
        move |db: &Write| users::set_blocked(db, &Admin::operator(), &users::by_uuid(db, uuid)?, blocked);
    house.server.app.db.write(block).await.unwrap();
}
