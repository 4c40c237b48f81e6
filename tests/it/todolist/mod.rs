//! todolist: the whole table of its contract, route by route, and the envelope of its refusals.

mod auth;
mod directory;
mod envelope;
mod health;
mod lists;
mod register;
mod todos;
mod tokens;
mod totals;
mod users;

use std::ops::Deref;
use std::path::Path;

use reqwest::RequestBuilder;
use rusqlite::Connection;
use satchel::domain::users::{Patch, Role};
use serde_json::{Value, json};

use crate::house::{self, Answer, BEGINNING, House, PASSWORD, with};

/// Where the clock stands at the beginning, as todolist writes it.
const BEGINNING_UTC: &str = "2026-11-21T05:06:39.560803Z";

const NO_TOKEN: &str = "Not authenticated";
const BAD_TOKEN: &str = "Invalid authentication token";
const OLD_TOKEN: &str = "Token has expired";
const INACTIVE: &str = "User account is inactive";
const WRONG: &str = "Incorrect username or password";
const TOO_MANY: &str = "Too many failed sign-ins. Please try again later.";
const LAST_ADMIN: &str = "The last active administrator must remain";
const NOT_PLAIN: &str = "Value error, Username must be alphanumeric (underscores allowed)";

/// What a 422 entry says of a value that is too small to be a number of something.
const AT_LEAST_ONE: &str = "Input should be greater than or equal to 1";
const NO_INTEGER: &str = "Input should be a valid integer, unable to parse string as an integer";
const NO_BOOLEAN: &str = "Input should be a valid boolean, unable to interpret input";
const NO_STRING: &str = "Input should be a valid string";
const NO_OBJECT: &str = "Input should be a valid dictionary or object to extract fields from";

/// An answer of todolist, whose refusals wear its envelope.
#[derive(Debug)]
struct Said(Answer);

impl Deref for Said {
    type Target = Answer;

    fn deref(&self) -> &Answer {
        &self.0
    }
}

impl Said {
    /// The whole envelope of a refusal of one sentence.
    fn refuses(&self, status: u16, message: &str) {
        self.wraps(status, json!({ "status_code": status, "message": message, "type": kind(status) }));
    }

    /// The whole envelope of a 422; each entry as `(field, message, type)`.
    fn invalid(&self, expected: &[(&str, &str, &str)]) {
        let entry = |(field, message, kind): &(&str, &str, &str)| json!({ "field": field, "message": message, "type": kind });
        let entries: Vec<Value> = expected.iter().map(entry).collect();
        self.wraps(
            422,
            json!({
                "status_code": 422, "message": "Request validation failed", "type": "client_error",
                "details": { "validation_errors": entries },
            }),
        );
    }

    fn wraps(&self, status: u16, error: Value) {
        self.is(status, json!({ "error": error, "request_id": self.header("x-request-id") }));
        assert_eq!(self.header("content-type"), "application/json");
        assert_eq!(self.header("cache-control"), "no-store");
    }

    /// The answer to a deletion or a log-out.
    fn is_empty(&self) {
        assert_eq!((self.status, &*self.text), (204, ""));
    }

    /// The number of what was made or found.
    fn id(&self) -> i64 {
        assert!(matches!(self.status, 200 | 201), "{}", self.text);
        self.body["id"].as_i64().unwrap()
    }
}

/// Whose fault it is.
fn kind(status: u16) -> &'static str {
    if status < 500 { "client_error" } else { "server_error" }
}

/// A registered user who is signed in.
#[derive(Clone, Debug)]
struct Member {
    id: i64,
    name: String,
    access: String,
}

impl Member {
    fn path(&self) -> String {
        format!("/users/{}", self.id)
    }

    /// As todolist shows him to those who may see it all.
    fn shown(&self) -> Value {
        shown(&self.name, self.id)
    }
}

/// Sends a request as it is.
async fn ask(request: RequestBuilder) -> Said {
    Said(house::answer(request).await)
}

/// Sends a request under the API's prefix; `null` is no body, and without a member it is a stranger's.
async fn send<'a>(
    house: &House,
    who: impl Into<Option<&'a Member>>,
    method: &str,
    path: &str,
    body: Value,
) -> Said {
    let request = house.request(method, &format!("/v1{path}"));
    let request = match who.into() {
        Some(member) => request.bearer_auth(&member.access),
        None => request,
    };
    ask(if body.is_null() { request } else { request.json(&body) }).await
}

async fn get<'a>(house: &House, who: impl Into<Option<&'a Member>>, path: &str) -> Said {
    send(house, who, "GET", path, Value::Null).await
}

/// What a user registers with.
fn registration(name: &str) -> Value {
    json!({
        "email": format!("{name}@example.com"), "username": name, "full_name": format!("{name} in full"),
        "password": PASSWORD,
    })
}

/// A user registered at the beginning, as todolist shows one to those who may see it all.
fn shown(name: &str, id: i64) -> Value {
    json!({
        "id": id, "email": format!("{name}@example.com"), "username": name,
        "full_name": format!("{name} in full"), "is_active": true,
        "created_at": BEGINNING_UTC, "updated_at": BEGINNING_UTC,
    })
}

/// What a stranger sees of a user.
fn to_stranger(whole: &Value) -> Value {
    with(whole.clone(), json!({ "email": null, "is_active": null }))
}

async fn register(house: &House, name: &str) -> i64 {
    send(house, None, "POST", "/auth/register", registration(name)).await.id()
}

async fn log_in(house: &House, username: &str, password: &str) -> Said {
    let given = json!({ "username": username, "password": password });
    send(house, None, "POST", "/auth/login", given).await
}

/// Signs a registered user in.
async fn sign_in(house: &House, name: &str, id: i64) -> Member {
    let answer = log_in(house, name, PASSWORD).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let access = answer.body["access_token"].as_str().unwrap().to_owned();
    Member { id, name: name.to_owned(), access }
}

/// Registers `<name>@example.com` and signs in.
async fn member(house: &House, name: &str) -> Member {
    let id = register(house, name).await;
    sign_in(house, name, id).await
}

/// Registers a user, gives him a role, and signs in.
async fn member_as(house: &House, name: &str, role: Role) -> Member {
    let id = register(house, name).await;
    house.change(&uuid_of(house, id), Patch { role: Some(role), ..Patch::default() }).await;
    sign_in(house, name, id).await
}

/// The public id, which todolist does not show.
fn uuid_of(house: &House, id: i64) -> String {
    let sql = "select uuid from users where id = ?1";
    let uuid: uuid::Uuid = look_into(&house.database()).query_row(sql, [id], |row| row.get(0)).unwrap();
    uuid.to_string()
}

/// Adds a todo of which nothing but the title is said.
async fn todo(house: &House, owner: &Member, title: &str) -> Value {
    let made = send(house, owner, "POST", "/todos", json!({ "title": title })).await;
    made.is(201, open_todo(made.id(), owner.id, title));
    made.body.clone()
}

/// A todo made at the beginning of nothing but a title.
fn open_todo(id: i64, owner: i64, title: &str) -> Value {
    json!({
        "id": id, "title": title, "description": null, "priority": "medium", "is_completed": false,
        "user_id": owner, "created_at": BEGINNING_UTC, "updated_at": BEGINNING_UTC,
    })
}

/// The time so many seconds after the beginning.
fn after(seconds: u64) -> String {
    BEGINNING.plus(std::time::Duration::from_secs(seconds)).utc()
}

/// The database file, as another program sees it.
#[expect(clippy::disallowed_methods, reason = "it stands for another program")]
fn look_into(database: &Path) -> Connection {
    Connection::open(database).unwrap()
}
