//! identity: the whole table of its contract, route by route.

mod activity;
mod auth;
mod balance;
mod blocking;
mod deletion;
mod list;
mod methods;
mod passwords;
mod profile;
mod refresh;
mod tokens;

use rusqlite::types::FromSql;
use satchel::domain::users::{Patch, Role};
use serde_json::{Value, json};

use crate::house::{Answer, House, PASSWORD, answer, with};

/// Where the clock stands at the beginning, as identity writes it.
const BEGINNING_UTC: &str = "2026-11-21T05:06:39.560803Z";

const NO_TOKEN: &str = "Not authenticated";
const BAD_TOKEN: &str = "Could not validate credentials";
/// The same under `/auth`.
const BAD_TOKEN_AT_AUTH: &str = "Token is invalid or expired";
const BAD_REFRESH: &str = "Refresh token is invalid or expired";
const WRONG: &str = "Invalid credentials";
const BLOCKED: &str = "Your account is blocked.";
const DELETED: &str = "Your account has been deleted.";
const TOO_MANY: &str = "Too many failed sign-ins. Please try again later.";
/// What whoever is no administrator is told on an administrator's route.
const HIDDEN: &str = "Not found";
const NOBODY: &str = "User not found";
const LAST_ADMIN: &str = "The last active administrator must remain";
/// What a 422 shows in the place of a secret.
const SECRET: &str = "**********";

const NO_STRING: &str = "Input should be a valid string";
const NO_INTEGER: &str = "Input should be a valid integer, unable to parse string as an integer";
const NO_OBJECT: &str = "Input should be a valid dictionary or object to extract fields from";

/// A registered user who is signed in.
#[derive(Clone, Debug)]
struct Account {
    id: i64,
    email: String,
    access: String,
    refresh: String,
}

impl Account {
    /// As identity shows one who registered at the beginning, without names; the clock has not moved since.
    fn shown(&self) -> Value {
        json!({
            "id": self.id, "email": self.email, "first_name": null, "last_name": null, "is_blocked": false,
            "balance": 0, "created_at": BEGINNING_UTC, "updated_at": null,
            "last_activity_at": BEGINNING_UTC, "role": "user",
        })
    }

    /// The same with both names.
    fn named(&self) -> Value {
        with(self.shown(), json!({ "first_name": "Ada", "last_name": "Lovelace" }))
    }
}

/// Sends a request; `null` is no body, and without an account it is a stranger's.
async fn send<'a>(
    house: &House,
    who: impl Into<Option<&'a Account>>,
    method: &str,
    path: &str,
    body: Value,
) -> Answer {
    let request = house.request(method, path);
    let request = match who.into() {
        Some(account) => request.bearer_auth(&account.access),
        None => request,
    };
    answer(if body.is_null() { request } else { request.json(&body) }).await
}

async fn get<'a>(house: &House, who: impl Into<Option<&'a Account>>, path: &str) -> Answer {
    send(house, who, "GET", path, Value::Null).await
}

/// What a user registers with.
fn registration(name: &str) -> Value {
    json!({ "email": format!("{name}@example.com"), "password": PASSWORD })
}

async fn register(house: &House, name: &str) {
    let registered = house.post("/auth/register", registration(name)).await;
    registered.is(200, json!({ "email": format!("{name}@example.com") }));
}

async fn log_in(house: &House, email: &str, password: &str) -> Answer {
    answer(house.request("POST", "/auth/login").form(&[("username", email), ("password", password)])).await
}

/// The pair of tokens in an answer that has nothing else.
fn pair(answer: &Answer) -> (String, String) {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let token = |kind: &str| answer.body[kind].as_str().unwrap().to_owned();
    let (access, refresh) = (token("access_token"), token("refresh_token"));
    answer.is(200, json!({ "access_token": access, "refresh_token": refresh, "token_type": "bearer" }));
    assert_eq!(answer.header("cache-control"), "no-store");
    (access, refresh)
}

/// Signs `<name>@example.com` in.
async fn sign_in(house: &House, name: &str) -> Account {
    let email = format!("{name}@example.com");
    let (access, refresh) = pair(&log_in(house, &email, PASSWORD).await);
    let sql = format!("select id from users where email = '{email}' and deleted_at is null");
    Account { id: look_up(house, &sql), email, access, refresh }
}

/// Signs the same user in once more.
async fn again(house: &House, account: &Account) -> Account {
    let (access, refresh) = pair(&log_in(house, &account.email, PASSWORD).await);
    Account { access, refresh, ..account.clone() }
}

/// Registers `<name>@example.com` and signs in.
async fn account(house: &House, name: &str) -> Account {
    register(house, name).await;
    sign_in(house, name).await
}

/// The same with both names.
async fn named(house: &House, name: &str) -> Account {
    let account = account(house, name).await;
    let names = json!({ "first_name": "Ada", "last_name": "Lovelace" });
    assert_eq!(send(house, &account, "PUT", "/users/profile", names).await.status, 200);
    account
}

/// Registers a user, gives him a role, and signs in.
async fn account_as(house: &House, name: &str, role: Role) -> Account {
    register(house, name).await;
    let sql = format!("select id from users where email = '{name}@example.com'");
    set(house, look_up(house, &sql), Patch { role: Some(role), ..Patch::default() }).await;
    sign_in(house, name).await
}

/// Changes a user as whoever runs the server would.
async fn set(house: &House, id: i64, patch: Patch) {
    house.change(&uuid_of(house, id), patch).await;
}

/// The public id, which identity does not show.
fn uuid_of(house: &House, id: i64) -> String {
    look_up::<uuid::Uuid>(house, &format!("select uuid from users where id = {id}")).to_string()
}

/// One value out of the database.
fn look_up<T: FromSql>(house: &House, sql: &str) -> T {
    house.server.app.db.read(|db| db.one(sql, [], |row| row.get(0))).unwrap().unwrap()
}

/// Changes rows as no API would.
async fn tamper(house: &House, sql: impl Into<String>) {
    let sql = sql.into();
    house.server.app.db.write(move |db| Ok(db.execute(&sql, [])?)).await.unwrap();
}

async fn block(house: &House, admin: &Account, id: i64) {
    let message = json!({ "message": format!("User {id} has been blocked.") });
    send(house, admin, "POST", &format!("/admin/block/{id}"), Value::Null).await.is(200, message);
}

async fn unblock(house: &House, admin: &Account, id: i64) {
    let message = json!({ "message": format!("User {id} has been unblocked.") });
    send(house, admin, "POST", &format!("/admin/unblock/{id}"), Value::Null).await.is(200, message);
}

/// Deletes one's own account, softly.
async fn delete(house: &House, account: &Account) {
    let deleted = send(house, account, "DELETE", "/users/me", Value::Null).await;
    deleted.is(200, json!({ "message": "Account successfully deleted" }));
}

async fn renew(house: &House, token: &str) -> Answer {
    house.post("/auth/refresh", json!({ "refresh_token": token })).await
}

/// Neither token of the account opens or gets anything, at this API or at another.
async fn assert_dead(house: &House, account: &Account) {
    get(house, account, "/users/me").await.refuses(401, BAD_TOKEN);
    get(house, account, "/auth/me").await.refuses(401, BAD_TOKEN_AT_AUTH);
    for path in ["/api/v1.0/users/me", "/items", "/v1/auth/me"] {
        assert_eq!(get(house, account, path).await.status, 401, "{path}");
    }
    renew(house, &account.refresh).await.refuses(401, BAD_REFRESH);
}

/// The time so many seconds after the beginning.
fn after(seconds: u64) -> String {
    crate::house::BEGINNING.plus(std::time::Duration::from_secs(seconds)).utc()
}

/// A whole 422 of one entry; `ctx` of null is none.
fn fault(kind: &str, loc: [&str; 2], msg: &str, input: Value, ctx: Value) -> Value {
    let mut entry = json!({ "type": kind, "loc": loc, "msg": msg, "input": input });
    if !ctx.is_null() {
        entry["ctx"] = ctx;
    }
    json!({ "detail": [entry] })
}
