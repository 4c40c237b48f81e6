//! bookshelf, `/users`: who may look whom up, and what he sees.

use satchel::config::{AddressReaders, Directory};
use satchel::domain::users::Role;
use serde_json::{Value, json};

use super::{send, shown, with};
use crate::house::{Guest, House, answer};

const NOBODY: &str = "019a9d5e-6c1f-7c3b-8a54-3f0c1f4e2d10";

/// What a stranger sees of a user.
fn to_stranger(whole: &Value) -> Value {
    with(whole.clone(), json!({ "email": null, "role": null, "is_active": null }))
}

#[tokio::test]
async fn list_users_answers_the_newest_first_and_strangers_see_no_address_role_or_state() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let grace = house.guest_as("grace", Role::Admin).await;
    let all = [shown("grace", &grace.uuid, "admin"), shown("ada", &ada.uuid, "user")];
    for path in ["/users", "/users/"] {
        send(&house, &ada, "GET", path, Value::Null).await.is(200, json!(all));
        let bare: Vec<Value> = all.iter().map(to_stranger).collect();
        let answer = send(&house, None, "GET", path, Value::Null).await;
        assert_eq!(answer.header("cache-control"), "no-store");
        answer.is(200, json!(bare));
    }
}

#[tokio::test]
async fn get_user_answers_the_profile_with_books_and_strangers_see_no_address_role_or_state() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let ben = house.guest("ben").await;
    let dune = house.book(&ada, "Dune").await;
    let books = json!([{
        "uuid": dune["uuid"], "title": "Dune", "author": "Frank Herbert", "publisher": "Chilton Books",
    }]);
    let whole = with(shown("ada", &ada.uuid, "user"), json!({ "books": books }));
    let path = format!("/users/{}", ada.uuid);
    send(&house, &ada, "GET", &path, Value::Null).await.is(200, whole.clone());
    send(&house, &ben, "GET", &path, Value::Null).await.is(200, whole.clone());
    send(&house, None, "GET", &path, Value::Null).await.is(200, to_stranger(&whole));
    let missing = format!("User {NOBODY} not found");
    send(&house, None, "GET", &format!("/users/{NOBODY}"), Value::Null).await.refuses(404, &missing);
}

#[tokio::test]
async fn get_user_takes_every_written_form_of_a_uuid_and_says_it_back_in_one() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let plain = ada.uuid.replace('-', "");
    for form in
        [ada.uuid.to_uppercase(), plain, format!("urn:uuid:{}", ada.uuid), format!("%7B{}%7D", ada.uuid)]
    {
        let found = send(&house, &ada, "GET", &format!("/users/{form}"), Value::Null).await;
        assert_eq!((found.status, &found.body["uuid"]), (200, &json!(ada.uuid)), "{form}");
    }
    let answer = send(&house, &ada, "GET", &format!("/users/{}", NOBODY.to_uppercase()), Value::Null).await;
    answer.refuses(404, &format!("User {NOBODY} not found"));
}

#[tokio::test]
async fn get_user_by_email_shows_a_stranger_the_address_that_he_sent() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let whole = shown("ada", &ada.uuid, "user");
    let bare = with(to_stranger(&whole), json!({ "email": "ada@example.com" }));
    for email in ["ada@example.com", "ADA@Example.COM", "ada%40example.com", "%20ada@example.com%20"] {
        let path = format!("/users/email/{email}");
        send(&house, &ada, "GET", &path, Value::Null).await.is(200, whole.clone());
        send(&house, None, "GET", &path, Value::Null).await.is(200, bare.clone());
    }
    for (sent, said) in [
        ("ben@example.com", "ben@example.com"),
        ("a", "a"),
        ("%25@example.com", "%@example.com"),
        ("a%2Fb@example.com", "a/b@example.com"),
        ("a+b@example.com", "a+b@example.com"),
        ("%C3%A9@example.com", "é@example.com"),
        ("_da@example.com", "_da@example.com"),
    ] {
        let answer = send(&house, None, "GET", &format!("/users/email/{sent}"), Value::Null).await;
        answer.refuses(404, &format!("User with email {said} not found"));
    }
}

#[tokio::test]
async fn get_user_by_email_refuses_what_is_no_text() {
    let house = House::new().await;
    let nul = send(&house, None, "GET", "/users/email/a%00b@example.com", Value::Null).await;
    nul.is(
        422,
        json!({ "detail": [{
            "type": "value_error", "loc": ["path", "email"], "input": "a\0b@example.com",
            "msg": "Value error, Text must not contain NUL characters", "ctx": { "error": {} },
        }] }),
    );
    let long = format!("{}@example.com", "a".repeat(400));
    let answer = send(&house, None, "GET", &format!("/users/email/{long}"), Value::Null).await;
    let entry = ("string_too_long", json!(["path", "email"]), "String should have at most 320 characters");
    answer.invalid(&[entry]);
    let answer = send(&house, None, "GET", "/users/email/%ff@example.com", Value::Null).await;
    assert!(matches!(answer.status, 404 | 422), "{}", answer.text);
}

#[tokio::test]
async fn the_directory_is_open_to_whom_the_setting_says() {
    for (directory, stranger, member, admin) in [
        (Directory::Public, 200, 200, 200),
        (Directory::Members, 401, 200, 200),
        (Directory::Admins, 401, 403, 200),
    ] {
        let house = House::with(|config| config.users.directory = directory).await;
        let ada = house.guest("ada").await;
        let mary = house.guest_as("mary", Role::Moderator).await;
        let grace = house.guest_as("grace", Role::Admin).await;
        for path in ["/users/", &format!("/users/{}", grace.uuid), "/users/email/grace@example.com"] {
            let who: [(Option<&Guest>, u16); 4] =
                [(None, stranger), (Some(&ada), member), (Some(&mary), member), (Some(&grace), admin)];
            for (guest, status) in who {
                let answer = send(&house, guest, "GET", path, Value::Null).await;
                match status {
                    401 => answer.refuses(401, "Not authenticated"),
                    403 => answer.refuses(403, "Admin access required"),
                    _ => assert_eq!(answer.status, 200, "{directory:?} {path}: {}", answer.text),
                }
            }
        }
        assert_eq!(send(&house, &ada, "GET", "/users/me", Value::Null).await.status, 200);
    }
}

#[tokio::test]
async fn a_bad_token_makes_a_stranger_where_strangers_may_and_is_told_so_where_not() {
    for (directory, status) in [(Directory::Public, 200), (Directory::Members, 401)] {
        let house = House::with(|config| config.users.directory = directory).await;
        let ada = house.guest("ada").await;
        let spoilt = Guest { access: ada.refresh.clone(), ..ada.clone() };
        let answer = send(&house, &spoilt, "GET", "/users/", Value::Null).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        if status == 200 {
            answer.is(200, json!([to_stranger(&shown("ada", &ada.uuid, "user"))]));
        } else {
            answer.refuses(401, "Could not validate credentials");
            assert_eq!(answer.header("www-authenticate"), "Bearer error=\"invalid_token\"");
        }
    }
}

#[tokio::test]
async fn users_of_other_doors_are_shown_with_names_made_up_for_them() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    super::look_into(&house.database())
        .execute_batch(
            "update users set username = null, username_key = null, first_name = null, last_name = null",
        )
        .unwrap();
    let whole = with(
        shown("ada", &ada.uuid, "user"),
        json!({ "username": "user_1", "first_name": "", "last_name": "", "books": [] }),
    );
    send(&house, &ada, "GET", "/users/me", Value::Null).await.is(200, whole);
}

#[tokio::test]
async fn a_stranger_to_a_closed_directory_is_refused_before_his_query_is_read() {
    let house = House::with(|config| config.users.directory = Directory::Members).await;
    house.get("/api/v1.0/users/?limit=0").await.refuses(401, "Not authenticated");
    house.get("/api/v1.0/users/nonsense").await.refuses(401, "Not authenticated");
    let mary = house.guest("mary").await;
    assert_eq!(answer(house.by(&mary, "GET", "/api/v1.0/users/?limit=0")).await.status, 422);
}

#[tokio::test]
async fn where_only_administrators_read_addresses_other_members_see_null_and_everybody_his_own() {
    let house = House::with(|config| config.users.addresses = AddressReaders::Admins).await;
    let ada = house.guest("ada").await;
    let moderator = house.guest_as("moderator", Role::Moderator).await;
    let admin = house.guest_as("root", Role::Admin).await;
    let whole = shown("ada", &ada.uuid, "user");
    let hidden = with(whole.clone(), json!({ "email": null }));
    let path = format!("/users/{}", ada.uuid);
    let books = |user: &Value| with(user.clone(), json!({ "books": [] }));
    for (who, sees) in [(&ada, &whole), (&moderator, &hidden), (&admin, &whole)] {
        send(&house, who, "GET", &path, Value::Null).await.is(200, books(sees));
        let list = send(&house, who, "GET", "/users/", Value::Null).await;
        assert_eq!((list.status, &list.body[2]), (200, sees), "{}", list.text);
        let own = list.body.as_array().unwrap().iter().find(|user| user["uuid"] == json!(who.uuid));
        assert_eq!(own.unwrap()["email"], json!(who.email));
        // Whoever asks by the address knows it.
        send(&house, who, "GET", "/users/email/ada@example.com", Value::Null).await.is(200, whole.clone());
    }
    send(&house, None, "GET", &path, Value::Null).await.is(200, books(&to_stranger(&whole)));
    assert_eq!(
        send(&house, &moderator, "GET", "/users/me", Value::Null).await.body["email"],
        json!(moderator.email)
    );
}
