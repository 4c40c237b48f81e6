//! bookshelf: the last active administrator stays one, whoever asks and by whatever route.

use satchel::domain::users::Role;
use serde_json::{Value, json};

use super::{send, shown, with};
use crate::house::House;

const SENTENCE: &str = "The last active administrator must remain";

/// Every way to lose an administrator.
fn ways(uuid: &str) -> Vec<(&'static str, String, Value)> {
    let mut ways = vec![
        ("PATCH", format!("/users/{uuid}"), json!({ "is_active": false })),
        ("DELETE", format!("/users/{uuid}"), Value::Null),
    ];
    for prefix in ["/users/admin", "/admin/users"] {
        ways.extend([
            ("PATCH", format!("{prefix}/{uuid}"), json!({ "role": "user" })),
            ("PATCH", format!("{prefix}/{uuid}"), json!({ "is_active": false })),
            ("PATCH", format!("{prefix}/{uuid}"), json!({ "role": "admin", "is_active": false })),
            ("PATCH", format!("{prefix}/{uuid}/role?new_role=moderator"), Value::Null),
            ("PATCH", format!("{prefix}/{uuid}/activate?is_active=false"), Value::Null),
            ("DELETE", format!("{prefix}/{uuid}"), Value::Null),
        ]);
    }
    ways
}

#[tokio::test]
async fn the_last_administrator_cannot_be_lost_by_any_route() {
    let house = House::new().await;
    let grace = house.guest_as("grace", Role::Admin).await;
    // Neither of these counts.
    house.guest_as("mary", Role::Moderator).await;
    let idle = house.guest_as("ida", Role::Admin).await;
    let off = format!("/users/admin/{}/activate?is_active=false", idle.uuid);
    assert_eq!(send(&house, &grace, "PATCH", &off, Value::Null).await.status, 200);
    for (method, path, body) in ways(&grace.uuid) {
        send(&house, &grace, method, &path, body).await.refuses(409, SENTENCE);
    }
    let whole = with(shown("grace", &grace.uuid, "admin"), json!({ "books": [] }));
    send(&house, &grace, "GET", "/users/me", Value::Null).await.is(200, whole);
}

#[tokio::test]
async fn the_last_administrator_may_change_the_rest_of_himself() {
    let house = House::new().await;
    let grace = house.guest_as("grace", Role::Admin).await;
    let change = json!({ "first_name": "Grace", "is_active": true, "role": "admin" });
    let expected = with(shown("grace", &grace.uuid, "admin"), json!({ "first_name": "Grace" }));
    let path = format!("/users/admin/{}", grace.uuid);
    send(&house, &grace, "PATCH", &path, change).await.is(200, expected);
    assert_eq!(send(&house, &grace, "GET", "/users/me", Value::Null).await.status, 200);
}

#[tokio::test]
async fn one_of_two_administrators_may_go_by_every_route() {
    let house = House::new().await;
    let grace = house.guest_as("grace", Role::Admin).await;
    for n in 0..ways("").len() {
        let name = format!("admin{n}");
        let other = house.guest_as(&name, Role::Admin).await;
        let (method, path, body) = ways(&other.uuid).swap_remove(n);
        let by = if n % 2 == 0 { &other } else { &grace };
        let answer = send(&house, by, method, &path, body).await;
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text);
    }
}

#[tokio::test]
async fn two_administrators_who_remove_each_other_at_once_leave_one() {
    let house = House::new().await;
    let grace = house.guest_as("grace", Role::Admin).await;
    let ida = house.guest_as("ida", Role::Admin).await;
    let (by_grace, by_ida) = (format!("/users/admin/{}", ida.uuid), format!("/users/admin/{}", grace.uuid));
    let (one, two) = tokio::join!(
        send(&house, &grace, "DELETE", &by_grace, Value::Null),
        send(&house, &ida, "DELETE", &by_ida, Value::Null),
    );
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert!(matches!(statuses, [200, 401 | 409]), "{statuses:?}");
    let sql = "select count(*) from users where role = 'admin' and is_active and deleted_at is null";
    let left: i64 = super::look_into(&house.database()).query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(left, 1);
}
