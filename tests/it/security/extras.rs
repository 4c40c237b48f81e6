//! Extras: what a body names besides what it is asked for changes nothing.

use satchel::domain::users::Role;
use serde_json::{Map, Value, json};

use super::access::NOBODY;
use super::look_up;
use crate::house::{House, answer, book, contact, registration, with};

/// What a body might try to set.
fn extras() -> Map<String, Value> {
    let extras = json!({
        "role": "admin", "roles": ["admin"], "is_admin": true, "is_superuser": true, "admin": true,
        "is_active": false, "balance": 1_000_000, "confirmed": true, "email_confirmed_at": 1, "is_verified": true,
        "confirm_required": true, "blocked_at": 1, "deleted_at": 1, "epoch": 99,
        "id": 999, "uuid": NOBODY, "user_id": 999, "owner_id": 999,
        "created_at": "2000-01-01T00:00:00", "updated_at": "2000-01-01T00:00:00", "last_activity_at": 1,
        "password_hash": "$argon2id$v=19$m=64,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAA", "hashed_password": "x",
    });
    extras.as_object().unwrap().clone()
}

/// What nobody may set by naming it, of a user.
fn guarded(house: &House, email: &str) -> String {
    look_up(
        house,
        &format!(
            "select concat_ws('|', id, hex(uuid), role, is_active, balance, confirm_required, \
             ifnull(email_confirmed_at, 'never'), ifnull(blocked_at, 'never'), ifnull(deleted_at, 'never'), epoch, \
             created_at, password_hash) from users where email = '{email}'"
        ),
    )
}

#[tokio::test]
async fn a_registration_sets_nothing_that_it_is_not_asked_for() {
    let house = House::new().await;
    let admin = house.guest_as("root", Role::Admin).await;
    let mut body = registration("ada");
    body.as_object_mut().unwrap().extend(extras());
    let registered = house.post("/api/v1.0/auth/register", body.clone()).await;
    assert_eq!(registered.status, 201, "{}", registered.text);
    body["username"] = json!("bob");
    body["email"] = json!("bob@example.com");
    let created = answer(house.by(&admin, "POST", "/api/v1.0/users/admin/create").json(&body)).await;
    assert_eq!(created.status, 201, "{}", created.text);
    assert_eq!((&created.body["role"], &created.body["is_active"]), (&json!("admin"), &json!(false)));
    let now = house.clock.now().micros();
    for (email, id, role, active) in [("ada@example.com", 2, "user", 1), ("bob@example.com", 3, "admin", 0)] {
        let found = guarded(&house, email);
        let fields: Vec<&str> = found.split('|').collect();
        let uuid = fields[1].to_ascii_lowercase();
        assert_ne!(uuid, NOBODY.replace('-', ""));
        let expected = format!("{id}|{}|{role}|{active}|0|0|never|never|never|0|{now}|", fields[1]);
        assert!(found.starts_with(&expected), "{found}");
        assert!(fields[11].starts_with("$argon2id$v=19$m=64,t=1,p=1$") && !fields[11].contains("AAAAAAAA"));
    }
}

#[tokio::test]
async fn a_profile_update_sets_nothing_that_it_is_not_asked_for() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    house.wait(60);
    let before = guarded(&house, &ada.email);
    let mut body = extras();
    body.remove("is_active");
    body.insert("first_name".into(), json!("Augusta"));
    let path = format!("/api/v1.0/users/{}", ada.uuid);
    let updated = answer(house.by(&ada, "PATCH", &path).json(&body)).await;
    assert_eq!((updated.status, &updated.body["first_name"]), (200, &json!("Augusta")));
    assert_eq!(guarded(&house, &ada.email), before);
    let now: i64 = look_up(&house, "select updated_at from users");
    assert_eq!(now, house.clock.now().micros(), "the time of the change is ours");
    assert_eq!(super::me(&house, &ada.access).await, 200);
}

#[tokio::test]
async fn a_book_gets_its_owner_number_and_times_from_the_server() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let mut body = book("Dune");
    body.as_object_mut().unwrap().extend(extras());
    let created = answer(house.by(&ada, "POST", "/api/v1.0/books/").json(&body)).await;
    assert_eq!(created.status, 201, "{}", created.text);
    let path = format!("/api/v1.0/books/{}", created.body["uuid"].as_str().unwrap());
    let updated = answer(house.by(&ada, "PATCH", &path).json(&extras())).await;
    for answer in [&created, &updated] {
        assert_eq!((&answer.body["id"], &answer.body["user_id"]), (&json!(1), &json!(1)));
        assert_ne!(answer.body["uuid"], json!(NOBODY));
        assert_eq!(answer.body["created_at"], json!(crate::house::BEGINNING_NAIVE));
        assert_eq!(answer.body["updated_at"], json!(crate::house::BEGINNING_NAIVE));
    }
}

#[tokio::test]
async fn a_contact_gets_its_owner_number_times_and_picture_from_the_server() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let ben = house.guest("ben").await;
    for guest in [&ada, &ben] {
        house.confirm(guest).await;
    }
    answer(house.by(&ada, "POST", "/api/contacts/").json(&contact("Hers"))).await;
    let guarded = |id: i64| {
        let sql = format!(
            "select concat_ws('|', id, user_id, created_at, updated_at) from contacts where id = {id}"
        );
        look_up::<String>(&house, &sql)
    };
    let mut body = contact("His");
    body.as_object_mut().unwrap().extend(extras());
    let named = json!({ "id": 1, "user_id": 1, "owner": 1, "contact_id": 1, "picture": "x", "name": "x", "user": { "id": 1 } });
    let body = with(body, named);
    let expected = with(contact("His"), json!({ "id": 2, "user_id": 2 }));
    answer(house.by(&ben, "POST", "/api/contacts/").json(&body)).await.is(201, expected.clone());
    let begun = house.clock.now().micros();
    assert_eq!(guarded(2), format!("2|2|{begun}|{begun}"));
    house.wait(60);
    let body = with(body, json!({ "avatar": "https://example.com/else.png" }));
    answer(house.by(&ben, "PUT", "/api/contacts/2").json(&body)).await.is(200, expected);
    assert_eq!(guarded(2), format!("2|2|{begun}|{}", house.clock.now().micros()));
    assert_eq!(guarded(1), format!("1|1|{begun}|{begun}"));
    assert_eq!(look_up::<i64>(&house, "select count(*) from avatars"), 0);
}

#[tokio::test]
async fn a_key_said_twice_has_one_meaning() {
    let house = House::new().await;
    let text = registration("ada").to_string();
    let twice = text.replacen('{', r#"{"email":"victim@example.com","username":"victim","#, 1);
    let request = house.request("POST", "/api/v1.0/auth/register").header("content-type", "application/json");
    let registered = answer(request.body(twice)).await;
    if registered.status == 201 {
        assert_eq!(
            (&registered.body["email"], &registered.body["username"]),
            (&json!("ada@example.com"), &json!("ada")),
            "the last one counts"
        );
    }
    assert_eq!(look_up::<i64>(&house, "select count(*) from users where email like 'victim%'"), 0);
}

#[tokio::test]
async fn an_account_of_identity_sets_nothing_that_it_is_not_asked_for() {
    let house = House::new().await;
    let mut body = extras();
    body.insert("email".into(), json!("ada@example.com"));
    body.insert("password".into(), json!(crate::house::PASSWORD));
    let registered = house.post("/auth/register", Value::from(body)).await;
    registered.is(200, json!({ "email": "ada@example.com" }));
    let now = house.clock.now().micros();
    let before = guarded(&house, "ada@example.com");
    assert!(!before.contains("AAAAAAAA") && before.starts_with("1|"), "{before}");
    assert!(before.contains(&format!("|user|1|0|0|never|never|never|0|{now}|$argon2id$")), "{before}");
    let uuid = look_up::<uuid::Uuid>(&house, "select uuid from users").to_string();
    let ada = house.sign_in("ada", uuid).await;
    let mut names = extras();
    names.insert("first_name".into(), json!("Ada"));
    names.insert("last_name".into(), json!("Lovelace"));
    let mut amount = extras();
    amount.insert("amount".into(), json!(0));
    for (path, body) in [("/users/profile", names), ("/users/balance", amount)] {
        let changed = answer(house.by(&ada, "PUT", path).json(&body)).await;
        assert_eq!(changed.status, 200, "{}", changed.text);
        assert_eq!(guarded(&house, "ada@example.com"), before, "{path}");
    }
}
