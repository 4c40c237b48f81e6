//! identity, `/users/me` and `/users/profile`: what one sees of oneself, and one's names.

use satchel::domain::users::Role;
use serde_json::{Value, json};

use super::{
    NO_OBJECT, NO_STRING, account, account_as, after, fault, get, look_up, named, register, send, set,
};
use crate::house::{House, answer, with};

fn names(first: impl Into<Value>, last: impl Into<Value>) -> Value {
    json!({ "first_name": first.into(), "last_name": last.into() })
}

#[tokio::test]
async fn one_sees_oneself_whole_without_names_and_with_them() {
    let house = House::new().await;
    register(&house, "other").await;
    let ada = account(&house, "ada").await;
    for path in ["/users/me", "/users/me/"] {
        let answer = get(&house, &ada, path).await;
        answer.is(200, ada.shown());
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    send(&house, &ada, "PUT", "/users/profile", names("Ada", "Lovelace")).await.is(200, ada.named());
    get(&house, &ada, "/users/me").await.is(200, ada.named());
}

#[tokio::test]
async fn the_keys_of_a_user_are_in_the_order_of_the_contract() {
    let house = House::new().await;
    let ada = named(&house, "ada").await;
    let expected = format!(
        r#"{{"id":1,"email":"ada@example.com","first_name":"Ada","last_name":"Lovelace","is_blocked":false,"balance":0,"created_at":"{0}","updated_at":null,"last_activity_at":"{0}","role":"user"}}"#,
        super::BEGINNING_UTC
    );
    assert_eq!(get(&house, &ada, "/users/me").await.text, expected);
}

#[tokio::test]
async fn a_profile_is_incomplete_until_both_names_are_given() {
    let house = House::new().await;
    let ada = account(&house, "ada").await;
    for path in ["/users/profile", "/users/profile/"] {
        get(&house, &ada, path).await.refuses(403, "Profile incomplete");
    }
    for column in ["first_name", "last_name"] {
        super::tamper(&house, format!("update users set {column} = 'Ada'")).await;
        get(&house, &ada, "/users/profile").await.refuses(403, "Profile incomplete");
        super::tamper(&house, format!("update users set {column} = null")).await;
    }
    send(&house, &ada, "PUT", "/users/profile/", names("Ada", "Lovelace")).await.is(200, ada.named());
    get(&house, &ada, "/users/profile").await.is(200, ada.named());
}

#[tokio::test]
async fn whoever_gave_his_names_elsewhere_has_a_complete_profile() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let shown = answer(house.by(&ada, "GET", "/users/profile")).await;
    assert_eq!((&shown.body["first_name"], &shown.body["last_name"]), (&json!("First"), &json!("Last")));
    let change = house.by(&ada, "PUT", "/users/profile").json(&names("Ada", "Lovelace"));
    assert_eq!(answer(change).await.status, 200);
    let there = answer(house.by(&ada, "GET", "/api/v1.0/users/me")).await;
    assert_eq!((&there.body["first_name"], &there.body["last_name"]), (&json!("Ada"), &json!("Lovelace")));
}

#[tokio::test]
async fn new_names_change_nothing_but_themselves_and_the_time_of_the_change() {
    let house = House::new().await;
    let ada = named(&house, "ada").await;
    house.wait(30);
    let extras = json!({
        "id": 9, "email": "x@example.com", "role": "admin", "balance": 5, "is_blocked": true,
        "created_at": "2000-01-01T00:00:00Z", "updated_at": null, "last_activity_at": null, "is_active": false,
    });
    let changed = send(&house, &ada, "PUT", "/users/profile", with(names("Augusta", "King"), extras)).await;
    let expected = json!({ "first_name": "Augusta", "last_name": "King", "updated_at": after(30) });
    let expected = with(ada.shown(), expected);
    changed.is(200, expected.clone());
    get(&house, &ada, "/users/profile").await.is(200, expected);
}

#[tokio::test]
async fn the_time_of_the_last_change_is_null_until_something_was_changed() {
    let house = House::new().await;
    let ada = account(&house, "ada").await;
    house.wait(90);
    // Neither being there nor signing in is a change.
    let seen = json!({ "last_activity_at": after(90) });
    let ada = super::again(&house, &ada).await;
    get(&house, &ada, "/users/me").await.is(200, with(ada.shown(), seen.clone()));
    let change = send(&house, &ada, "PUT", "/users/profile", names("Ada", "Lovelace")).await;
    let expected = with(with(ada.named(), seen), json!({ "updated_at": after(90) }));
    change.is(200, expected.clone());
    let house = house.restart().await;
    get(&house, &ada, "/users/me").await.is(200, expected);
}

#[tokio::test]
async fn a_name_has_1_to_100_characters_whatever_their_bytes() {
    let house = House::new().await;
    let ada = account(&house, "ada").await;
    for name in ["x", " ", "O'Hara; --", &"é".repeat(100), &"🦀".repeat(100)] {
        let expected = with(ada.shown(), names(name, name));
        send(&house, &ada, "PUT", "/users/profile", names(name, name)).await.is(200, expected);
    }
    let before = get(&house, &ada, "/users/me").await.body;
    let long = "String should have at most 100 characters";
    let nul = "Value error, Text must not contain NUL characters";
    for (name, kind, msg, ctx) in [
        (json!("x".repeat(101)), "string_too_long", long, json!({ "max_length": 100 })),
        (json!("a\0"), "value_error", nul, json!({ "error": {} })),
        (json!(7), "string_type", NO_STRING, Value::Null),
        (json!(["Ada"]), "string_type", NO_STRING, Value::Null),
    ] {
        for (field, given) in
            [("first_name", names(name.clone(), "Lovelace")), ("last_name", names("Ada", name.clone()))]
        {
            let answer = send(&house, &ada, "PUT", "/users/profile", given).await;
            answer.is(422, fault(kind, ["body", field], msg, name.clone(), ctx.clone()));
        }
    }
    get(&house, &ada, "/users/me").await.is(200, before);
}

#[tokio::test]
async fn an_empty_name_or_null_is_refused_in_a_sentence_and_a_missing_one_as_malformed() {
    let house = House::new().await;
    let ada = named(&house, "ada").await;
    for given in [
        names("", "King"),
        names("Augusta", ""),
        names(Value::Null, "King"),
        names("Augusta", Value::Null),
        names(Value::Null, ""),
    ] {
        let answer = send(&house, &ada, "PUT", "/users/profile", given).await;
        answer.refuses(400, "Unable to update profile");
    }
    let missing = |field: &str, input: Value| json!({ "type": "missing", "loc": ["body", field], "msg": "Field required", "input": input });
    let both = json!({ "detail": [missing("first_name", json!({})), missing("last_name", json!({}))] });
    send(&house, &ada, "PUT", "/users/profile", json!({})).await.is(422, both);
    let given = json!({ "first_name": "" });
    let answer = send(&house, &ada, "PUT", "/users/profile", given.clone()).await;
    answer.is(422, json!({ "detail": [missing("last_name", given)] }));
    // What is malformed comes first.
    let answer = send(&house, &ada, "PUT", "/users/profile", names(Value::Null, "x".repeat(101))).await;
    let long = "String should have at most 100 characters";
    answer.invalid(&[("string_too_long", json!(["body", "last_name"]), long)]);
    let answer = send(&house, &ada, "PUT", "/users/profile", json!([])).await;
    answer.invalid(&[("model_attributes_type", json!(["body"]), NO_OBJECT)]);
    get(&house, &ada, "/users/me").await.is(200, ada.named());
}

#[tokio::test]
async fn a_moderator_shows_as_a_user_and_an_administrator_as_what_he_is() {
    let house = House::new().await;
    let moderator = account_as(&house, "mary", Role::Moderator).await;
    get(&house, &moderator, "/users/me").await.is(200, moderator.shown());
    let admin = account_as(&house, "grace", Role::Admin).await;
    get(&house, &admin, "/users/me").await.is(200, with(admin.shown(), json!({ "role": "admin" })));
    let given = send(&house, &admin, "PUT", "/users/profile", names("Ada", "Lovelace")).await;
    given.is(200, with(admin.named(), json!({ "role": "admin" })));
    assert_eq!(look_up::<String>(&house, "select role from users where id = 1"), "moderator");
}

#[tokio::test]
async fn a_user_who_is_blocked_and_unblocked_shows_as_not_blocked() {
    let house = House::new().await;
    let admin = account_as(&house, "grace", Role::Admin).await;
    let ada = account(&house, "ada").await;
    super::block(&house, &admin, ada.id).await;
    super::unblock(&house, &admin, ada.id).await;
    let ada = super::again(&house, &ada).await;
    get(&house, &ada, "/users/me").await.is(200, ada.shown());
    set(&house, ada.id, satchel::domain::users::Patch::default()).await;
    get(&house, &ada, "/users/me").await.is(200, ada.shown());
}
