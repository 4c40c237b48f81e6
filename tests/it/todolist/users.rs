//! todolist, `/users/{id}`: changing and deleting an account, one's own or, for administrators, anybody's.

use futures_util::future::join_all;
use satchel::domain::users::Role;
use serde_json::{Value, json};

use super::{
    BAD_TOKEN, INACTIVE, LAST_ADMIN, NO_STRING, NOT_PLAIN, WRONG, after, get, log_in, look_into, member,
    member_as, register, send, shown, sign_in, todo, with,
};
use crate::house::{House, PASSWORD, answer};

const NOT_YOURS: &str = "You don't have permission to modify this user";
const NOT_YOURS_TO_DELETE: &str = "You don't have permission to delete this user";

#[tokio::test]
async fn update_changes_each_field_alone_and_answers_the_whole_user() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let mut whole = ada.shown();
    for (n, change) in [
        json!({ "email": "augusta@example.org" }),
        json!({ "username": "augusta" }),
        json!({ "full_name": "Augusta Ada King" }),
        json!({ "is_active": true }),
        json!({ "email": "ada@example.com", "username": "ada", "full_name": "Ada" }),
    ]
    .into_iter()
    .enumerate()
    {
        house.wait(1);
        whole = with(whole, change.clone());
        whole["updated_at"] = json!(after(n as u64 + 1));
        send(&house, &ada, "PATCH", &ada.path(), change).await.is(200, whole.clone());
        get(&house, &ada, &ada.path()).await.is(200, whole.clone());
        get(&house, &ada, "/auth/me").await.is(200, whole.clone());
    }
    house.forget_letters().await;
}

#[tokio::test]
async fn a_changed_name_signs_in_and_the_old_one_does_not() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let change = json!({ "username": "Augusta", "email": "augusta@example.org" });
    assert_eq!(send(&house, &ada, "PATCH", &ada.path(), change).await.status, 200);
    for name in ["augusta", "augusta@example.org"] {
        assert_eq!(log_in(&house, name, PASSWORD).await.status, 200);
    }
    for name in ["ada", "ada@example.com"] {
        log_in(&house, name, PASSWORD).await.refuses(401, WRONG);
    }
    // The address can be put back as long.
    house.wait(7 * 86_400);
    register(&house, "ada").await;
    house.forget_letters().await;
}

#[tokio::test]
async fn update_is_refused_to_everybody_but_oneself_and_administrators() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let ben = member(&house, "ben").await;
    let moderator = member_as(&house, "mary", Role::Moderator).await;
    let admin = member_as(&house, "grace", Role::Admin).await;
    let change = json!({ "full_name": "Somebody else" });
    for other in [&ben, &moderator] {
        for change in [&change, &json!({})] {
            send(&house, other, "PATCH", &ada.path(), change.clone()).await.refuses(403, NOT_YOURS);
        }
        send(&house, other, "PATCH", &admin.path(), change.clone()).await.refuses(403, NOT_YOURS);
    }
    get(&house, &ada, &ada.path()).await.is(200, ada.shown());
    send(&house, &admin, "PATCH", &ada.path(), change.clone()).await.is(200, with(ada.shown(), change));
    for who in [&ada, &admin] {
        let answer = send(&house, who, "PATCH", "/users/999", json!({})).await;
        answer.refuses(404, "User with ID 999 not found");
    }
}

#[tokio::test]
async fn update_refuses_what_is_taken_and_takes_one_s_own_again() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    register(&house, "ben").await;
    for (change, sentence) in [
        (json!({ "email": "ben@example.com" }), "Email 'ben@example.com' is already in use"),
        (json!({ "email": " BEN@Example.COM" }), "Email 'BEN@example.com' is already in use"),
        (json!({ "username": "ben" }), "Username 'ben' is already taken"),
        (json!({ "username": "BEN" }), "Username 'BEN' is already taken"),
        (
            json!({ "username": "ben", "email": "ben@example.com", "full_name": "x" }),
            "Email 'ben@example.com' is already in use",
        ),
    ] {
        send(&house, &ada, "PATCH", &ada.path(), change).await.refuses(409, sentence);
    }
    get(&house, &ada, "/auth/me").await.is(200, ada.shown());
    for change in [
        json!({ "email": "ada@example.com" }),
        json!({ "username": "ada" }),
        json!({ "email": "ADA@example.com" }),
        json!({ "username": "ADA" }),
    ] {
        let answer = send(&house, &ada, "PATCH", &ada.path(), change.clone()).await;
        assert_eq!(answer.status, 200, "{change}: {}", answer.text);
    }
}

#[tokio::test]
async fn of_eight_who_want_one_username_at_once_one_gets_it() {
    let house = House::new().await;
    let mut members = Vec::new();
    for n in 0..8 {
        members.push(member(&house, &format!("user{n}")).await);
    }
    let race = members.iter().map(async |member| {
        send(&house, member, "PATCH", &member.path(), json!({ "username": "wanted" })).await
    });
    let answers = join_all(race).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!((won.len(), lost.len()), (1, 7));
    lost.iter().for_each(|lost| lost.refuses(409, "Username 'wanted' is already taken"));
}

#[tokio::test]
async fn update_refuses_null_and_whatever_registering_refuses() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let no_boolean = "Input should be a valid boolean";
    let no_address = "value is not a valid email address: An email address must have an @-sign.";
    for (field, value, message, kind) in [
        ("email", json!(null), NO_STRING, "string_type"),
        ("email", json!("ada"), no_address, "value_error"),
        ("username", json!(null), NO_STRING, "string_type"),
        ("username", json!("ab"), "String should have at least 3 characters", "string_too_short"),
        ("username", json!("x".repeat(101)), "String should have at most 100 characters", "string_too_long"),
        ("username", json!("a-b"), NOT_PLAIN, "value_error"),
        ("username", json!("a@b"), NOT_PLAIN, "value_error"),
        ("username", json!("___"), NOT_PLAIN, "value_error"),
        ("full_name", json!(null), NO_STRING, "string_type"),
        ("full_name", json!(""), "String should have at least 1 character", "string_too_short"),
        ("full_name", json!("x".repeat(256)), "String should have at most 255 characters", "string_too_long"),
        ("is_active", json!(null), no_boolean, "bool_type"),
        ("is_active", json!([]), no_boolean, "bool_type"),
        ("is_active", json!("maybe"), super::NO_BOOLEAN, "bool_parsing"),
    ] {
        let answer = send(&house, &ada, "PATCH", &ada.path(), json!({ field: value })).await;
        answer.invalid(&[(&format!("body.{field}"), message, kind)]);
    }
    get(&house, &ada, "/auth/me").await.is(200, ada.shown());
}

#[tokio::test]
async fn nobody_changes_by_naming_it_what_is_not_his_to_change() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let grace = member_as(&house, "grace", Role::Admin).await;
    let ben = register(&house, "ben").await;
    let wish = json!({
        "role": "admin", "id": 77, "uuid": "019a9d5e-6c1f-7c3b-8a54-3f0c1f4e2d10", "password": "another one here",
        "created_at": "2000-01-01T00:00:00Z", "updated_at": "2000-01-01T00:00:00Z", "balance": 100, "epoch": 9,
        "email_confirmed_at": 1, "deleted_at": 1, "blocked_at": 1, "first_name": "A",
    });
    send(&house, &ada, "PATCH", &ada.path(), wish.clone()).await.is(200, ada.shown());
    send(&house, &grace, "PATCH", &format!("/users/{ben}"), wish).await.is(200, shown("ben", ben));
    let path = format!("/users/{ben}");
    send(&house, &ada, "DELETE", &path, Value::Null).await.refuses(403, NOT_YOURS_TO_DELETE);
    let sql = "select count(*) from users where role = 'user' and epoch = 0 and balance = 0
               and email_confirmed_at is null and first_name is null";
    let untouched: i64 = look_into(&house.database()).query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(untouched, 2);
    assert_eq!(log_in(&house, "ada", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn who_deactivates_himself_is_signed_out_everywhere() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let elsewhere = sign_in(&house, "ada", ada.id).await;
    let off = json!({ "is_active": false });
    send(&house, &ada, "PATCH", &ada.path(), off.clone()).await.is(200, with(ada.shown(), off));
    for member in [&ada, &elsewhere] {
        get(&house, member, "/auth/me").await.refuses(401, INACTIVE);
        let back = send(&house, member, "PATCH", &ada.path(), json!({ "is_active": true })).await;
        back.refuses(401, INACTIVE);
        let there = answer(house.request("GET", "/api/v1.0/users/me").bearer_auth(&member.access)).await;
        assert_eq!(there.status, 401);
    }
    log_in(&house, "ada", PASSWORD).await.refuses(401, INACTIVE);
    // Whoever is inactive is still listed, and strangers do not see that he is.
    let answer = get(&house, None, &ada.path()).await;
    answer.is(200, super::to_stranger(&ada.shown()));
}

#[tokio::test]
async fn an_administrator_deactivates_and_activates_others() {
    let house = House::new().await;
    let admin = member_as(&house, "grace", Role::Admin).await;
    let ada = member(&house, "ada").await;
    for (word, is_active) in [(json!("no"), false), (json!(1), true), (json!(false), false)] {
        let answer = send(&house, &admin, "PATCH", &ada.path(), json!({ "is_active": word })).await;
        answer.is(200, with(ada.shown(), json!({ "is_active": is_active })));
    }
    get(&house, &ada, "/auth/me").await.refuses(401, INACTIVE);
    assert_eq!(send(&house, &admin, "PATCH", &ada.path(), json!({ "is_active": "yes" })).await.status, 200);
    get(&house, &ada, "/auth/me").await.refuses(401, BAD_TOKEN);
    assert_eq!(log_in(&house, "ada", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn the_last_administrator_stays_one() {
    let house = House::new().await;
    let grace = member_as(&house, "grace", Role::Admin).await;
    // Neither of these counts.
    member_as(&house, "mary", Role::Moderator).await;
    let idle = member_as(&house, "ida", Role::Admin).await;
    let off = json!({ "is_active": false });
    assert_eq!(send(&house, &grace, "PATCH", &idle.path(), off.clone()).await.status, 200);
    send(&house, &grace, "PATCH", &grace.path(), off.clone()).await.refuses(409, LAST_ADMIN);
    send(&house, &grace, "DELETE", &grace.path(), Value::Null).await.refuses(409, LAST_ADMIN);
    let change = json!({ "full_name": "Grace", "is_active": true });
    let expected = with(grace.shown(), json!({ "full_name": "Grace" }));
    send(&house, &grace, "PATCH", &grace.path(), change).await.is(200, expected);
    // With another beside him he may go.
    assert_eq!(send(&house, &grace, "PATCH", &idle.path(), json!({ "is_active": true })).await.status, 200);
    assert_eq!(send(&house, &grace, "PATCH", &grace.path(), off).await.status, 200);
    let ida = sign_in(&house, "ida", idle.id).await;
    send(&house, &ida, "DELETE", &ida.path(), Value::Null).await.refuses(409, LAST_ADMIN);
    send(&house, &ida, "DELETE", &grace.path(), Value::Null).await.is_empty();
}

#[tokio::test]
async fn two_administrators_who_remove_each_other_at_once_leave_one() {
    let house = House::new().await;
    let grace = member_as(&house, "grace", Role::Admin).await;
    let ida = member_as(&house, "ida", Role::Admin).await;
    let (one, two) = (ida.path(), grace.path());
    let (one, two) = tokio::join!(
        send(&house, &grace, "DELETE", &one, Value::Null),
        send(&house, &ida, "DELETE", &two, Value::Null),
    );
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert!(matches!(statuses, [204, 401 | 409]), "{statuses:?}");
}

#[tokio::test]
async fn delete_is_refused_to_everybody_but_oneself_and_administrators() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let ben = member(&house, "ben").await;
    let moderator = member_as(&house, "mary", Role::Moderator).await;
    let admin = member_as(&house, "grace", Role::Admin).await;
    for other in [&ben, &moderator] {
        send(&house, other, "DELETE", &ada.path(), Value::Null).await.refuses(403, NOT_YOURS_TO_DELETE);
        let answer = send(&house, other, "DELETE", "/users/999", Value::Null).await;
        answer.refuses(404, "User with ID 999 not found");
    }
    for (who, whom) in [(&ada, &ada), (&admin, &ben)] {
        send(&house, who, "DELETE", &whom.path(), Value::Null).await.is_empty();
        let gone = format!("User with ID {} not found", whom.id);
        get(&house, None, &whom.path()).await.refuses(404, &gone);
        send(&house, &admin, "DELETE", &whom.path(), Value::Null).await.refuses(404, &gone);
        send(&house, &admin, "PATCH", &whom.path(), json!({})).await.refuses(404, &gone);
        get(&house, whom, "/auth/me").await.refuses(401, BAD_TOKEN);
        log_in(&house, &whom.name, PASSWORD).await.refuses(401, WRONG);
    }
}

#[tokio::test]
async fn the_todos_go_with_their_owner_whatever_api_deletes_him() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let ben = house.guest("ben").await;
    let kept = todo(&house, &ada, "Stays").await;
    let eve = member(&house, "eve").await;
    for n in 0..3 {
        todo(&house, &eve, &format!("Goes {n}")).await;
    }
    let body = json!({ "title": "Goes, too" });
    assert_eq!(answer(house.by(&ben, "POST", "/v1/todos").json(&body)).await.status, 201);
    send(&house, &eve, "DELETE", &eve.path(), Value::Null).await.is_empty();
    let own = format!("/api/v1.0/users/{}", ben.uuid);
    assert_eq!(answer(house.by(&ben, "DELETE", &own)).await.status, 200);
    for id in 2..=5 {
        get(&house, &ada, &format!("/todos/{id}"))
            .await
            .refuses(404, &format!("Todo with ID {id} not found"));
    }
    house.purge().await;
    let left = |table: &str| -> i64 {
        let sql = format!("select count(*) from {table}");
        look_into(&house.database()).query_row(&sql, [], |row| row.get(0)).unwrap()
    };
    assert_eq!((left("todos"), left("todo_totals")), (1, 1));
    get(&house, &ada, "/todos/1").await.is(200, kept);
}
