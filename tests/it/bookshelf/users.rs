//! bookshelf, `/users`: one's own profile, changing and deleting it.

use satchel::domain::users::{self, Role};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{look_into, send, shown, with};
use crate::house::{Guest, House, PASSWORD, answer};

const NOBODY: &str = "019a9d5e-6c1f-7c3b-8a54-3f0c1f4e2d10";
const ENDED: &str = "Token has been revoked";

fn path(guest: &Guest) -> String {
    format!("/users/{}", guest.uuid)
}

#[tokio::test]
async fn get_own_user_answers_the_profile_with_the_books_newest_first() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let ben = house.guest("ben").await;
    let one = house.book(&ada, "Dune").await;
    house.book(&ben, "Emma").await;
    let two = house.book(&ada, "Ulysses").await;
    let short = |book: &Value| json!({ "uuid": book["uuid"], "title": book["title"], "author": book["author"], "publisher": book["publisher"] });
    let whole = with(shown("ada", &ada.uuid, "user"), json!({ "books": [short(&two), short(&one)] }));
    send(&house, &ada, "GET", "/users/me", Value::Null).await.is(200, whole);
    send(&house, None, "GET", "/users/me", Value::Null).await.refuses(401, "Not authenticated");
}

#[tokio::test]
async fn update_user_changes_what_is_named_and_nothing_else() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let mut expected = shown("ada", &ada.uuid, "user");
    for (n, change) in [
        json!({ "username": "countess" }),
        json!({ "email": " Countess@EXAMPLE.org " }),
        json!({ "first_name": "Augusta" }),
        json!({ "last_name": "King" }),
        json!({ "is_active": "yes" }),
        json!({ "first_name": "Ada", "last_name": "Lovelace", "unknown": [1, 2] }),
    ]
    .into_iter()
    .enumerate()
    {
        house.wait(1);
        expected = with(expected, change.clone());
        if n == 1 {
            expected["email"] = json!("Countess@example.org");
        }
        expected["is_active"] = json!(true);
        expected.as_object_mut().unwrap().remove("unknown");
        expected["updated_at"] = json!(format!("2026-11-21T05:06:{}.560803", 40 + n));
        send(&house, &ada, "PATCH", &path(&ada), change).await.is(200, expected.clone());
    }
    let found = send(&house, &ada, "GET", &path(&ada), Value::Null).await;
    found.is(200, with(expected, json!({ "books": [] })));
    house.forget_letters().await;
}

#[tokio::test]
async fn update_user_ignores_what_is_not_the_users_to_change() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let wish = json!({
        "role": "admin", "id": 99, "uuid": NOBODY, "created_at": "2000-01-01", "balance": 5, "password": "another one",
        "email_confirmed_at": 1, "confirm_required": false, "epoch": 7, "user_id": 3,
    });
    send(&house, &ada, "PATCH", &path(&ada), wish).await.is(200, shown("ada", &ada.uuid, "user"));
    assert_eq!(house.log_in("ada@example.com", PASSWORD).await.status, 200);
    let admin = house.guest_as("grace", Role::Admin).await;
    // The role has a route of its own, for administrators too.
    let answer = send(&house, &admin, "PATCH", &path(&ada), json!({ "role": "admin" })).await;
    answer.is(200, shown("ada", &ada.uuid, "user"));
}

#[tokio::test]
async fn update_user_refuses_null_and_leaves_the_user_as_he_was() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    for (field, kind, msg) in [
        ("username", "string_type", "Input should be a valid string"),
        ("email", "string_type", "Input should be a valid string"),
        ("first_name", "string_type", "Input should be a valid string"),
        ("last_name", "string_type", "Input should be a valid string"),
        ("is_active", "bool_type", "Input should be a valid boolean"),
    ] {
        let answer = send(&house, &ada, "PATCH", &path(&ada), json!({ field: null, "role": null })).await;
        let entry = json!({ "type": kind, "loc": ["body", field], "msg": msg, "input": null });
        answer.is(422, json!({ "detail": [entry] }));
    }
    let whole = with(shown("ada", &ada.uuid, "user"), json!({ "books": [] }));
    send(&house, &ada, "GET", "/users/me", Value::Null).await.is(200, whole);
}

#[tokio::test]
async fn update_user_is_refused_to_everybody_but_oneself_and_administrators() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let ben = house.guest("ben").await;
    let moderator = house.guest_as("mary", Role::Moderator).await;
    let admin = house.guest_as("grace", Role::Admin).await;
    let change = json!({ "first_name": "Augusta" });
    send(&house, None, "PATCH", &path(&ada), change.clone()).await.refuses(401, "Not authenticated");
    for other in [&ben, &moderator] {
        let answer = send(&house, other, "PATCH", &path(&ada), change.clone()).await;
        answer.refuses(403, "You can only update your own profile");
        let answer = send(&house, other, "PATCH", &format!("/users/{NOBODY}"), change.clone()).await;
        answer.refuses(404, &format!("User {NOBODY} not found"));
    }
    let changed = with(shown("ada", &ada.uuid, "user"), change.clone());
    send(&house, &admin, "PATCH", &path(&ada), change).await.is(200, changed);
}

#[tokio::test]
async fn update_user_refuses_what_another_has_but_not_ones_own() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let eva = house.register("eva").await;
    let admin = house.guest_as("grace", Role::Admin).await;
    let named = json!({ "username": "ÉVA" });
    assert_eq!(send(&house, &admin, "PATCH", &format!("/users/{eva}"), named).await.status, 200);
    for (change, sentence) in [
        (json!({ "email": "eva@example.com" }), "Email already registered"),
        (json!({ "email": "EVA@example.com" }), "Email already registered"),
        (json!({ "email": "eva@example.com", "username": "éva" }), "Email already registered"),
        (json!({ "username": "éva" }), "Username already taken"),
        (json!({ "username": "Éva", "email": "ada@example.com" }), "Username already taken"),
    ] {
        send(&house, &ada, "PATCH", &path(&ada), change.clone()).await.refuses(400, sentence);
        send(&house, &admin, "PATCH", &path(&ada), change.clone()).await.refuses(400, sentence);
        let both = format!("/users/admin/{}", ada.uuid);
        send(&house, &admin, "PATCH", &both, change).await.refuses(400, sentence);
    }
    let own = json!({ "username": "ADA", "email": "ADA@example.com" });
    let changed = with(shown("ada", &ada.uuid, "user"), own.clone());
    send(&house, &ada, "PATCH", &path(&ada), own).await.is(200, changed);
}

#[tokio::test]
async fn of_many_who_take_one_name_at_once_one_gets_it() {
    let house = House::new().await;
    for (field, values, sentence) in [
        ("email", ["new@example.com", "NEW@example.com"], "Email already registered"),
        ("username", ["Émile", "émile"], "Username already taken"),
    ] {
        let mut guests = Vec::new();
        for n in 0..8 {
            guests.push(house.guest(&format!("{field}{n}")).await);
        }
        let race = guests.iter().zip(values.iter().cycle()).map(async |(guest, value)| {
            send(&house, guest, "PATCH", &path(guest), json!({ field: value })).await
        });
        let answers = futures_util::future::join_all(race).await;
        let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
        assert_eq!((won.len(), lost.len()), (1, 7));
        lost.iter().for_each(|answer| answer.refuses(400, sentence));
    }
    house.forget_letters().await;
}

#[tokio::test]
async fn a_new_address_is_unconfirmed_and_the_same_in_other_case_is_not_new() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let uuid: Uuid = ada.uuid.parse().unwrap();
    let confirm = move |db: &satchel::db::Write| users::confirm_email(db, users::by_uuid(db, uuid)?.id);
    house.server.app.db.write(confirm).await.unwrap();
    let confirmed = || -> Option<i64> {
        let sql = "select email_confirmed_at from users where uuid = ?1";
        look_into(&house.database()).query_row(sql, [uuid], |row| row.get(0)).unwrap()
    };
    for (change, stays) in [
        (json!({ "first_name": "Augusta" }), true),
        (json!({ "email": "ada@example.com" }), true),
        (json!({ "email": "ADA@Example.com" }), true),
        (json!({ "email": "ada@example.org" }), false),
    ] {
        assert_eq!(send(&house, &ada, "PATCH", &path(&ada), change.clone()).await.status, 200);
        assert_eq!(confirmed().is_some(), stays, "{change}");
    }
    house.server.app.db.write(confirm).await.unwrap();
    let admin = house.guest_as("grace", Role::Admin).await;
    let change = json!({ "email": "ada@example.net" });
    let answer = send(&house, &admin, "PATCH", &format!("/admin/users/{}", ada.uuid), change).await;
    assert_eq!((answer.status, confirmed()), (200, None));
    house.forget_letters().await;
}

#[tokio::test]
async fn who_deactivates_himself_is_signed_out() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let answer = send(&house, &ada, "PATCH", &path(&ada), json!({ "is_active": false })).await;
    answer.is(200, with(shown("ada", &ada.uuid, "user"), json!({ "is_active": false })));
    send(&house, &ada, "GET", "/users/me", Value::Null).await.refuses(401, ENDED);
    let back = send(&house, &ada, "PATCH", &path(&ada), json!({ "is_active": true })).await;
    back.refuses(401, ENDED);
    house.log_in("ada@example.com", PASSWORD).await.refuses(400, "User account is inactive");
}

#[tokio::test]
async fn delete_user_is_refused_to_everybody_but_oneself_and_administrators() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let ben = house.guest("ben").await;
    let moderator = house.guest_as("mary", Role::Moderator).await;
    let admin = house.guest_as("grace", Role::Admin).await;
    send(&house, None, "DELETE", &path(&ada), Value::Null).await.refuses(401, "Not authenticated");
    for other in [&ben, &moderator] {
        let answer = send(&house, other, "DELETE", &path(&ada), Value::Null).await;
        answer.refuses(403, "You can only delete your own account");
        let answer = send(&house, other, "DELETE", &format!("/users/{NOBODY}"), Value::Null).await;
        answer.refuses(404, &format!("User {NOBODY} not found"));
    }
    for (who, whom) in [(&ada, &ada), (&admin, &ben)] {
        let done = json!({ "message": format!("User {} deleted successfully", whom.uuid) });
        send(&house, who, "DELETE", &path(whom), Value::Null).await.is(200, done);
        let gone = format!("User {} not found", whom.uuid);
        send(&house, None, "GET", &path(whom), Value::Null).await.refuses(404, &gone);
        send(&house, &admin, "DELETE", &path(whom), Value::Null).await.refuses(404, &gone);
        send(&house, whom, "GET", "/users/me", Value::Null).await.refuses(401, ENDED);
        house.log_in(&whom.email, PASSWORD).await.refuses(401, "Invalid email or password");
    }
    assert_ne!(house.register("ada").await, ada.uuid, "the name is free again");
}

#[tokio::test]
async fn change_password_ends_every_token_and_the_old_password() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let elsewhere = house.sign_in("ada", ada.uuid.clone()).await;
    let ben = house.guest("ben").await;
    let change = json!({ "current_password": PASSWORD, "new_password": "a quite different one" });
    let done = send(&house, &ada, "POST", "/users/change-password", change).await;
    done.is(200, json!({ "message": "Password changed successfully" }));
    for guest in [&ada, &elsewhere] {
        send(&house, guest, "GET", "/users/me", Value::Null).await.refuses(401, ENDED);
        let spent = house.post("/api/v1.0/auth/refresh", json!({ "refresh_token": guest.refresh })).await;
        spent.refuses(401, "Refresh token has been revoked");
    }
    house.log_in("ada@example.com", PASSWORD).await.refuses(401, "Invalid email or password");
    assert_eq!(house.log_in("ada@example.com", "a quite different one").await.status, 200);
    assert_eq!(send(&house, &ben, "GET", "/users/me", Value::Null).await.status, 200);
}

#[tokio::test]
async fn change_password_refuses_a_wrong_one_and_a_weak_one() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let change = |current: &str, new: &str| {
        let body = json!({ "current_password": current, "new_password": new });
        answer(house.by(&ada, "POST", "/api/v1.0/users/change-password/").json(&body))
    };
    change("wrong horse", "a quite different one").await.refuses(400, "Current password is incorrect");
    change("", "a quite different one").await.refuses(400, "Current password is incorrect");
    for (new, kind, msg, ctx) in [
        ("short", "string_too_short", "String should have at least 8 characters", json!({ "min_length": 8 })),
        (
            "iloveyou",
            "value_error",
            "Value error, Password is among the most common ones",
            json!({ "error": {} }),
        ),
        (
            "Ada@example.com",
            "value_error",
            "Value error, Password must not be your own e-mail address or username",
            json!({ "error": {} }),
        ),
    ] {
        let entry = json!({
            "type": kind, "loc": ["body", "new_password"], "msg": msg, "input": "**********", "ctx": ctx,
        });
        change(PASSWORD, new).await.is(422, json!({ "detail": [entry] }));
    }
    let body = json!({ "current_password": PASSWORD, "new_password": "a quite different one" });
    send(&house, None, "POST", "/users/change-password", body).await.refuses(401, "Not authenticated");
    assert_eq!(send(&house, &ada, "GET", "/users/me", Value::Null).await.status, 200);
    assert_eq!(house.log_in("ada@example.com", PASSWORD).await.status, 200);
}
