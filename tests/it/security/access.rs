//! Access: who may do what, asked of every operation that the document tells of.

use std::collections::BTreeSet;

use reqwest::multipart::{Form, Part};
use satchel::domain::users::{Patch, Role};
use serde_json::{Value, json};

use super::{again, log_out, look_up};
use crate::house::{Answer, Guest, House, answer, contact, document};

/// An operation of the document.
struct Operation {
    id: &'static str,
    method: String,
    /// With its parameters in braces.
    path: &'static str,
    query: String,
    /// A good body, if it takes one.
    body: Option<Value>,
    takes_file: bool,
    is_protected: bool,
}

impl Operation {
    fn is_for_admins(&self) -> bool {
        self.id.starts_with("bookshelf_admin_")
    }

    /// Whether it is for administrators and to everybody else not there.
    fn is_hidden(&self) -> bool {
        self.path.starts_with("/admin/") || ["/users", "/users/", "/users/deleted"].contains(&self.path)
    }

    /// The address with these in the place of its parameters.
    fn at(&self, whose: &Things) -> String {
        let mut path = self.path.replace("{email}", "ada@example.com");
        for (parameter, value) in [
            ("{user_uuid}", &whose.user),
            ("{user_id}", &whose.number),
            ("{book_uuid}", &whose.book),
            ("{id}", &whose.item),
            ("{contact_id}", &whose.contact),
            ("{name}", &String::from("x")),
            ("{token}", &String::from("x")),
            ("{email_token}", &String::from("x")),
            ("{todo_id}", &whose.todo),
        ] {
            path = path.replace(parameter, value);
        }
        assert!(!path.contains('{'), "what is {path}?");
        format!("{path}{}", self.query)
    }

    /// Whether it is about a user or his things and not for everybody to see.
    fn is_owned(&self) -> bool {
        let is_private = ["{todo_id}", "{contact_id}"].iter().any(|end| self.path.contains(end));
        is_private || self.path.contains('{') && self.method != "GET" && !self.path.contains("token}")
    }

    /// Whether moderators may do it to anybody's.
    fn is_moderated(&self) -> bool {
        ["{book_uuid}", "{id}"].iter().any(|parameter| self.path.contains(parameter))
    }

    async fn send(&self, house: &House, path: &str, token: Option<&str>) -> Answer {
        let request = house.request(&self.method, path);
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        answer(match &self.body {
            _ if self.takes_file => request.multipart(picture()),
            Some(body) => request.json(body),
            None => request,
        })
        .await
    }
}

/// A form with the smallest GIF there is.
fn picture() -> Form {
    const GIF: &[u8] = b"GIF89a\x01\0\x01\0\x80\0\0\xFF\xFF\xFF\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
    Form::new().part("file", Part::bytes(GIF))
}

/// A user and what is his.
struct Things {
    user: String,
    number: String,
    book: String,
    item: String,
    todo: String,
    contact: String,
}

impl Things {
    /// Those of nobody.
    fn nobodys() -> Self {
        let (uuid, number) = (NOBODY.to_owned(), "999".to_owned());
        Self {
            user: uuid.clone(),
            number: number.clone(),
            book: uuid.clone(),
            item: uuid,
            contact: number.clone(),
            todo: number,
        }
    }

    /// One of each kind, newly made.
    async fn of(house: &House, guest: &Guest) -> Self {
        let item = json!({ "name": "Tea", "category": "Grocery", "price_usd": 1, "in_stock": true });
        let item = answer(house.by(guest, "POST", "/items").json(&item)).await;
        let todo = answer(house.by(guest, "POST", "/v1/todos").json(&json!({ "title": "Read" }))).await;
        house.confirm(guest).await;
        let contact = answer(house.by(guest, "POST", "/api/contacts").json(&contact("Grace Hopper"))).await;
        let avatar = format!("/api/contacts/{}/avatar", contact.body["id"]);
        let dressed = answer(house.by(guest, "PATCH", &avatar).multipart(picture())).await;
        assert_eq!(dressed.status, 200, "{}", dressed.text);
        Self {
            user: guest.uuid.clone(),
            number: todo.body["user_id"].to_string(),
            book: house.book(guest, "Dune").await["uuid"].as_str().unwrap().to_owned(),
            item: item.body["id"].as_str().unwrap().to_owned(),
            todo: todo.body["id"].to_string(),
            contact: contact.body["id"].to_string(),
        }
    }
}

/// The sentence of a refusal, in whichever envelope.
fn sentence(refused: &Answer) -> &str {
    let said = refused.body.get("detail").unwrap_or(&refused.body["error"]["message"]);
    said.as_str().unwrap_or_default()
}

fn operations() -> Vec<Operation> {
    let paths = document()["paths"].as_object().unwrap();
    let mut all = Vec::new();
    for (path, item) in paths {
        for (method, operation) in item.as_object().unwrap() {
            let required = operation["parameters"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|parameter| parameter["in"] == "query" && parameter["required"] == true);
            let query: Vec<_> = required
                .map(|parameter| match parameter["name"].as_str().unwrap() {
                    "new_role" => "new_role=admin",
                    "is_active" => "is_active=false",
                    name => panic!("what is {name}?"),
                })
                .collect();
            all.push(Operation {
                id: operation["operationId"].as_str().unwrap(),
                method: method.to_ascii_uppercase(),
                path,
                query: if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) },
                body: operation.get("requestBody").map(example),
                takes_file: operation["operationId"] == "contactbook_update_avatar",
                is_protected: needs_token(&operation["security"]),
            });
        }
    }
    all
}

/// Whether one of the ways to ask is a token, and none is to ask without.
fn needs_token(security: &Value) -> bool {
    let ways = security.as_array();
    ways.is_some_and(|ways| ways.contains(&json!({ "bearer": [] })) && !ways.contains(&json!({})))
}

fn example(body: &Value) -> Value {
    let content = body["content"].as_object().unwrap().values().next().unwrap();
    let name = content["schema"]["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
    document()["components"]["schemas"][name]["examples"][0].clone()
}

pub(super) const NOBODY: &str = "019a9d5e-6c1f-7c3b-8a54-3f0c1f4e2d10";

#[test]
fn what_strangers_may_do_is_on_this_list_and_nothing_else_is() {
    let open: BTreeSet<_> = operations()
        .iter()
        .filter(|operation| !operation.is_protected)
        .map(|operation| operation.id)
        .collect();
    let expected = BTreeSet::from([
        "bookshelf_get_book",
        "bookshelf_get_user",
        "bookshelf_get_user_by_email",
        "bookshelf_list_books",
        "bookshelf_list_users",
        "bookshelf_login",
        "bookshelf_refresh",
        "bookshelf_register",
        "contactbook_confirm_email",
        "contactbook_confirm_email_by_button",
        "contactbook_get_avatar",
        "contactbook_login",
        "contactbook_refresh",
        "contactbook_register",
        "contactbook_request_confirmation",
        "contactbook_request_reset",
        "contactbook_reset_password",
        "contactbook_restore_email",
        "contactbook_show_reset",
        "contactbook_show_restore",
        "identity_change_password",
        "identity_login",
        "identity_refresh",
        "identity_register",
        "server_get_health",
        "server_get_signing_keys",
        "store_login",
        "store_register",
        "todolist_create_user",
        "todolist_get_health",
        "todolist_get_user",
        "todolist_list_users",
        "todolist_login",
        "todolist_register",
    ]);
    assert_eq!(open, expected);
    assert!(operations().iter().filter(|operation| operation.is_for_admins()).count() >= 10);
}

#[tokio::test]
async fn each_protected_operation_refuses_a_stranger_before_it_looks_at_anything() {
    let house = House::new().await;
    for operation in operations().iter().filter(|operation| operation.is_protected) {
        for path in [operation.at(&Things::nobodys()), operation.path.replace(['{', '}'], "")] {
            for body in ["", "{", "null", "\0"] {
                let request =
                    house.request(&operation.method, &path).header("content-type", "application/json");
                let refused = answer(request.body(body)).await;
                assert_eq!(
                    (refused.status, sentence(&refused)),
                    (401, "Not authenticated"),
                    "{}",
                    operation.id
                );
                assert_eq!(refused.header("www-authenticate"), "Bearer", "{}", operation.id);
            }
        }
    }
}

#[tokio::test]
async fn each_protected_operation_refuses_every_token_that_is_no_longer_or_never_was_one() {
    let house = House::new().await;
    house.guest_as("second_root", Role::Admin).await;
    let admin = house.guest_as("root", Role::Admin).await;
    let hers = Things::of(&house, &admin).await;
    let logged_out = again(&house, &admin).await;
    log_out(&house, &logged_out.access).await;
    let inactive = house.guest_as("inactive", Role::Admin).await;
    house.change(&inactive.uuid, Patch { is_active: Some(false), ..Patch::default() }).await;
    let blocked = house.guest_as("blocked", Role::Admin).await;
    super::set_blocked(&house, &blocked, true).await;
    let deleted = house.guest_as("deleted", Role::Admin).await;
    answer(house.by(&deleted, "DELETE", &format!("/api/v1.0/users/{}", deleted.uuid))).await;
    for operation in operations().iter().filter(|operation| operation.is_protected) {
        for (whose, token) in [
            ("a spent token", &logged_out.access),
            ("a refresh token", &admin.refresh),
            ("a deactivated user's", &inactive.access),
            ("a blocked user's", &blocked.access),
            ("a deleted user's", &deleted.access),
            ("nonsense", &String::from("x.y.z")),
        ] {
            let refused = operation.send(&house, &operation.at(&hers), Some(token)).await;
            assert_eq!(refused.status, 401, "{} with {whose}: {}", operation.id, refused.text);
            assert!(refused.header("www-authenticate").contains("invalid_token"), "{}", operation.id);
        }
    }
}

#[tokio::test]
async fn each_operation_for_administrators_refuses_users_and_moderators() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let moderator = house.guest_as("moderator", Role::Moderator).await;
    let before = everything(&house);
    for operation in operations().iter().filter(|operation| operation.is_for_admins()) {
        for guest in [&ada, &moderator] {
            for whom in [&ada.uuid, &moderator.uuid, NOBODY] {
                let path = operation.at(&Things { user: whom.to_owned(), ..Things::nobodys() });
                operation
                    .send(&house, &path, Some(&guest.access))
                    .await
                    .refuses(403, "Admin access required");
            }
        }
    }
    assert_eq!(everything(&house), before);
}

#[tokio::test]
async fn each_hidden_operation_is_not_there_for_users_and_moderators() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let moderator = house.guest_as("moderator", Role::Moderator).await;
    let admin = house.guest_as("root", Role::Admin).await;
    house.register("bob").await;
    let before = everything(&house);
    let all = operations();
    let hidden: Vec<_> = all.iter().filter(|operation| operation.is_hidden()).collect();
    let ids: BTreeSet<_> =
        hidden.iter().filter_map(|operation| operation.id.strip_prefix("identity_")).collect();
    let expected =
        BTreeSet::from(["block_user", "check_admin", "list_deleted_users", "list_users", "unblock_user"]);
    assert_eq!(ids, expected);
    for operation in hidden {
        for number in ["1", "2", "3", "4", "999"] {
            let path = operation.at(&Things { number: number.to_owned(), ..Things::nobodys() });
            for guest in [&ada, &moderator] {
                operation.send(&house, &path, Some(&guest.access)).await.refuses(404, "Not found");
            }
        }
        assert_eq!(everything(&house), before, "{}", operation.id);
    }
    for operation in all.iter().filter(|operation| operation.is_hidden()) {
        let path = operation.at(&Things { number: "4".to_owned(), ..Things::nobodys() });
        assert_eq!(operation.send(&house, &path, Some(&admin.access)).await.status, 200, "{}", operation.id);
    }
}

/// All that could have been changed.
pub(super) fn everything(house: &House) -> String {
    look_up(
        house,
        "select (select group_concat(concat_ws('|', id, hex(uuid), email, username, first_name, last_name, password_hash, role,
                  is_active, blocked_at, deleted_at, confirm_required, email_confirmed_at, balance, epoch, created_at, updated_at))
                 from users)
           || coalesce((select group_concat(concat_ws('|', id, hex(uuid), title, author, publisher, publish_date, pages, language,
                  user_id, created_at, updated_at)) from books), '')
           || coalesce((select group_concat(concat_ws('|', id, hex(uuid), name, category, price_usd, in_stock, user_id,
                  updated_at)) from items), '')
           || coalesce((select group_concat(concat_ws('|', id, title, ifnull(description, 'none'), priority, is_completed,
                  user_id, updated_at)) from todos), '')
           || coalesce((select group_concat(concat_ws('|', id, fullname, email, phone_number, birthday, additional, avatar,
                  user_id, updated_at)) from contacts), '')
           || coalesce((select group_concat(name) from avatars), '')",
    )
}

#[tokio::test]
async fn no_operation_on_what_belongs_to_somebody_changes_it_for_somebody_else() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let hers = Things::of(&house, &ada).await;
    let mallory = house.guest("mallory").await;
    let moderator = house.guest_as("moderator", Role::Moderator).await;
    for guest in [&mallory, &moderator] {
        house.confirm(guest).await;
    }
    let before = everything(&house);
    let mut tried = 0;
    for operation in operations().iter().filter(|operation| operation.is_owned()) {
        for guest in [&mallory, &moderator].into_iter().take(if operation.is_moderated() { 1 } else { 2 }) {
            let refused = operation.send(&house, &operation.at(&hers), Some(&guest.access)).await;
            assert!(
                matches!(refused.status, 403 | 404),
                "{} by {}: {}",
                operation.id,
                guest.email,
                refused.text
            );
            tried += 1;
        }
    }
    assert!(tried >= 30, "{tried}");
    assert_eq!(everything(&house), before);
}

#[tokio::test]
async fn an_administrator_neither_sees_nor_changes_anybodys_todo_or_contact() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let hers = Things::of(&house, &ada).await;
    let admin = house.guest_as("root", Role::Admin).await;
    house.confirm(&admin).await;
    let before = everything(&house);
    for (part, status, count) in [("{todo_id}", 403, 3), ("{contact_id}", 404, 4)] {
        let all = operations();
        let about: Vec<_> = all.iter().filter(|operation| operation.path.contains(part)).collect();
        assert!(about.len() >= count, "{part}");
        for operation in about {
            let refused = operation.send(&house, &operation.at(&hers), Some(&admin.access)).await;
            assert_eq!(refused.status, status, "{}: {}", operation.id, refused.text);
        }
    }
    assert_eq!(everything(&house), before);
}

#[tokio::test]
async fn an_ownerless_book_is_changed_by_moderators_and_administrators_alone() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let path = format!("/api/v1.0/books/{}", house.book(&ada, "Dune").await["uuid"].as_str().unwrap());
    answer(house.by(&ada, "DELETE", &format!("/api/v1.0/users/{}", ada.uuid))).await;
    // Neither a stranger nor whoever gets the next number or the same address owns it.
    for name in ["ada", "bob"] {
        let guest = house.guest(name).await;
        let update = house.by(&guest, "PATCH", &path).json(&json!({ "title": "Mine" }));
        answer(update).await.refuses(403, "You can only update your own books");
        answer(house.by(&guest, "DELETE", &path)).await.refuses(403, "You can only delete your own books");
        let own = answer(house.by(&guest, "GET", "/api/v1.0/books/my-books")).await;
        own.is(200, json!([]));
    }
    let moderator = house.guest_as("moderator", Role::Moderator).await;
    let update = house.by(&moderator, "PATCH", &path).json(&json!({ "title": "Ours" }));
    let updated = answer(update).await;
    assert_eq!((updated.status, &updated.body["user_id"]), (200, &Value::Null));
    let admin = house.guest_as("root", Role::Admin).await;
    assert_eq!(answer(house.by(&admin, "DELETE", &path)).await.status, 204);
}

#[tokio::test]
async fn ones_own_lists_show_nothing_of_anybody_else() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let bob = house.guest("bob").await;
    house.book(&ada, "Dune").await;
    let his = house.book(&bob, "Emma").await;
    for query in ["", "?user_id=1", "?limit=1000&cursor=", "?owner=1&user=1"] {
        let own = answer(house.by(&bob, "GET", &format!("/api/v1.0/books/my-books{query}"))).await;
        assert!(own.status == 422 || own.body == json!([his]), "{query}: {}", own.text);
    }
    Things::of(&house, &ada).await;
    for query in ["", "?user_id=1", "?page_size=100&owner=1", "?completed=false", "?user=1"] {
        let own = answer(house.by(&bob, "GET", &format!("/v1/todos{query}"))).await;
        assert_eq!(
            (own.status, &own.body["todos"], &own.body["total"]),
            (200, &json!([]), &json!(0)),
            "{query}"
        );
    }
    house.confirm(&bob).await;
    for query in
        ["", "?user_id=1", "?skip=0&limit=1000&owner=1", "bd?days_range=366&user=1", "bd?cursor=AAAAAAAAAAE"]
    {
        answer(house.by(&bob, "GET", &format!("/api/contacts/{query}"))).await.is(200, json!([]));
    }
    for part in ["Grace", "grace@example.com", "@", "1"] {
        let found = answer(house.by(&bob, "GET", &format!("/api/contacts/{part}?user_id=1"))).await;
        found.refuses(404, "Contact was not found");
    }
}

#[tokio::test]
async fn no_answer_shows_a_password_or_its_hash() {
    let house = House::new().await;
    let admin = house.guest_as("root", Role::Admin).await;
    let hers = Things::of(&house, &admin).await;
    // Those that end the session come last.
    let mut all = operations();
    all.sort_by_key(|operation| {
        let ends = [
            "log_out",
            "sign_out",
            "delete_user",
            "delete_account",
            "delete_own_user",
            "update_user",
            "change_password",
            "replace_password",
        ];
        ends.iter().any(|end| operation.id.starts_with(end))
    });
    for operation in all {
        for token in [Some(admin.access.as_str()), None] {
            let shown = operation.send(&house, &operation.at(&hers), token).await;
            for secret in ["argon2", "password_hash", "hashed_password", crate::house::PASSWORD, "epoch"] {
                assert!(!shown.text.contains(secret), "{} shows {secret}: {}", operation.id, shown.text);
            }
        }
    }
    house.forget_letters().await;
}

#[tokio::test]
async fn a_stranger_sees_no_address_role_or_state_in_the_directory() {
    let house = House::new().await;
    let ada = house.guest_as("ada", Role::Admin).await;
    let dead = again(&house, &ada).await;
    log_out(&house, &dead.access).await;
    for path in [
        "/api/v1.0/users/".to_owned(),
        format!("/api/v1.0/users/{}", ada.uuid),
        "/v1/users".to_owned(),
        "/v1/users/1".to_owned(),
    ] {
        for request in [house.request("GET", &path), house.by(&dead, "GET", &path)] {
            let shown = answer(request).await;
            assert_eq!(shown.status, 200);
            assert!(
                !["ada@example.com", "admin", "true"].iter().any(|word| shown.text.contains(word)),
                "{}",
                shown.text
            );
        }
        assert!(answer(house.by(&ada, "GET", &path)).await.text.contains("ada@example.com"));
    }
}

#[tokio::test]
async fn a_closed_directory_is_closed() {
    use satchel::config::Directory;
    for (directory, stranger, member) in [(Directory::Members, 401, 200), (Directory::Admins, 401, 403)] {
        let house = House::with(|config| config.users.directory = directory).await;
        let ada = house.guest("ada").await;
        let admin = house.guest_as("root", Role::Admin).await;
        for path in [
            "/api/v1.0/users/".to_owned(),
            format!("/api/v1.0/users/{}", admin.uuid),
            "/api/v1.0/users/email/root@example.com".to_owned(),
            "/api/v1.0/users/email/nobody@example.com".to_owned(),
            "/v1/users".to_owned(),
            "/v1/users/1".to_owned(),
            "/v1/users/999".to_owned(),
        ] {
            let found = if path.contains("nobody") || path.contains("999") { 404 } else { 200 };
            assert_eq!(house.get(&path).await.status, stranger, "{path}");
            let expected = if member == 200 { found } else { member };
            assert_eq!(answer(house.by(&ada, "GET", &path)).await.status, expected, "{path}");
            assert_eq!(answer(house.by(&admin, "GET", &path)).await.status, found, "{path}");
        }
        assert_eq!(answer(house.by(&ada, "GET", "/api/v1.0/users/me")).await.status, 200);
    }
}

#[tokio::test]
async fn the_last_active_administrator_remains() {
    let house = House::new().await;
    let admin = house.guest_as("root", Role::Admin).await;
    let second = house.guest_as("second", Role::Admin).await;
    house.change(&second.uuid, Patch { is_active: Some(false), ..Patch::default() }).await;
    let user = format!("/api/v1.0/users/{}", admin.uuid);
    let as_admin = format!("/api/v1.0/users/admin/{}", admin.uuid);
    let account = "/v1/users/1";
    for request in [
        house.by(&admin, "DELETE", account),
        house.by(&admin, "PATCH", account).json(&json!({ "is_active": false })),
        house.by(&admin, "DELETE", &user),
        house.by(&admin, "DELETE", &as_admin),
        house.by(&admin, "PATCH", &user).json(&json!({ "is_active": false })),
        house.by(&admin, "PATCH", &as_admin).json(&json!({ "role": "user" })),
        house.by(&admin, "PATCH", &as_admin).json(&json!({ "is_active": false })),
        house.by(&admin, "PATCH", &format!("{as_admin}/role?new_role=moderator")),
        house.by(&admin, "PATCH", &format!("{as_admin}/activate?is_active=false")),
    ] {
        let refused = answer(request).await;
        assert_eq!((refused.status, sentence(&refused)), (409, "The last active administrator must remain"));
    }
    assert_eq!(super::me(&house, &admin.access).await, 200);
}

#[tokio::test]
async fn a_role_is_one_of_three_words() {
    let house = House::new().await;
    let admin = house.guest_as("root", Role::Admin).await;
    let ada = house.guest("ada").await;
    for role in ["root", "superuser", "", "admin%00", "admin,user", "0", "user&new_role=root"] {
        let path = format!("/api/v1.0/users/admin/{}/role?new_role={role}", ada.uuid);
        let refused = answer(house.by(&admin, "PATCH", &path)).await;
        assert_eq!(refused.status, 422, "{role}");
    }
    assert_eq!(look_up::<String>(&house, "select role from users where username = 'ada'"), "user");
}
