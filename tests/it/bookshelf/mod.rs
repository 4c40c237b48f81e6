//! bookshelf: the whole table of its contract, route by route.

mod admin;
mod auth;
mod books;
mod directory;
mod last_admin;
mod pages;
mod sessions;
mod users;

use std::path::Path;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::house::{self, Answer, BEGINNING_NAIVE, Guest, House, with};

/// Sends a request under the API's prefix; `null` is no body, and without a guest it is a stranger's.
async fn send<'a>(
    house: &House,
    who: impl Into<Option<&'a Guest>>,
    method: &str,
    path: &str,
    body: Value,
) -> Answer {
    house::send(house, who, method, &format!("/api/v1.0{path}"), body).await
}

/// A registered user as bookshelf shows one to those who may see it all.
fn shown(name: &str, uuid: &str, role: &str) -> Value {
    json!({
        "username": name, "email": format!("{name}@example.com"), "first_name": "First", "last_name": "Last",
        "uuid": uuid, "role": role, "is_active": true,
        "created_at": BEGINNING_NAIVE, "updated_at": BEGINNING_NAIVE,
    })
}

/// The database file, as another program sees it.
#[expect(clippy::disallowed_methods, reason = "it stands for another program")]
fn look_into(database: &Path) -> Connection {
    Connection::open(database).unwrap()
}
