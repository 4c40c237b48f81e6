//! todolist, `GET /users`: who may look whom up, what he sees, and in which pages.

use satchel::config::{AddressReaders, Directory};
use satchel::domain::users::Role;
use serde_json::{Value, json};

use super::{
    AT_LEAST_ONE, BAD_TOKEN, Member, NO_INTEGER, NO_TOKEN, ask, get, look_into, member, member_as, register,
    send, shown, to_stranger, uuid_of, with,
};
use crate::house::{House, answer};

fn page(users: &[Value], total: i64, page: i64, page_size: i64) -> Value {
    json!({ "users": users, "total": total, "page": page, "page_size": page_size })
}

#[tokio::test]
async fn list_answers_by_id_and_strangers_see_neither_address_nor_state() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let grace = member_as(&house, "grace", Role::Admin).await;
    let all = [ada.shown(), grace.shown()];
    for path in ["/users", "/users/"] {
        for who in [&ada, &grace] {
            get(&house, who, path).await.is(200, page(&all, 2, 1, 10));
        }
        let bare: Vec<Value> = all.iter().map(to_stranger).collect();
        let answer = get(&house, None, path).await;
        answer.is(200, page(&bare, 2, 1, 10));
        assert_eq!(answer.header("cache-control"), "no-store");
    }
}

#[tokio::test]
async fn list_of_nobody_is_empty() {
    let house = House::new().await;
    get(&house, None, "/users").await.is(200, page(&[], 0, 1, 10));
    get(&house, None, "/users?page=5&page_size=7").await.is(200, page(&[], 0, 5, 7));
}

#[tokio::test]
async fn list_goes_on_by_pages_without_gaps() {
    let house = House::new().await;
    let mut all = Vec::new();
    for n in 1..=12 {
        let name = format!("user{n}");
        let id = register(&house, &name).await;
        all.push(to_stranger(&shown(&name, id)));
    }
    for (query, users, number, size) in [
        ("", &all[..10], 1, 10),
        ("?page=2", &all[10..], 2, 10),
        ("?page=3", &[], 3, 10),
        ("?page_size=5", &all[..5], 1, 5),
        ("?page=2&page_size=5", &all[5..10], 2, 5),
        ("?page=3&page_size=5", &all[10..], 3, 5),
        ("?page=12&page_size=1", &all[11..], 12, 1),
        ("?page=13&page_size=1", &[], 13, 1),
        ("?page_size=12", &all[..], 1, 12),
        ("?page_size=100", &all[..], 1, 100),
        ("?page=2&page_size=100", &[], 2, 100),
        ("?page=1000000", &[], 1_000_000, 10),
        ("?page=9223372036854775807", &[], i64::MAX, 10),
        ("?page=9223372036854775807&page_size=100", &[], i64::MAX, 100),
        ("?page=%202%20&skip=3&page_size=1.0", &all[1..2], 2, 1),
        ("?page=7&page=2", &all[10..], 2, 10),
    ] {
        get(&house, None, &format!("/users{query}")).await.is(200, page(users, 12, number, size));
    }
}

#[tokio::test]
async fn list_refuses_a_page_out_of_bounds() {
    let house = House::new().await;
    let low = ("greater_than_equal", AT_LEAST_ONE);
    let high = ("less_than_equal", "Input should be less than or equal to 100");
    let most = ("less_than_equal", "Input should be less than or equal to 9223372036854775807");
    let none = ("int_parsing", NO_INTEGER);
    for (name, value, (kind, message)) in [
        ("page", "0", low),
        ("page", "-1", low),
        ("page", "-99999999999999999999", low),
        ("page", "9223372036854775808", most),
        ("page", "99999999999999999999999", most),
        ("page", "", none),
        ("page", "x", none),
        ("page", "1.5", none),
        ("page_size", "0", low),
        ("page_size", "-5", low),
        ("page_size", "101", high),
        ("page_size", "9223372036854775807", high),
        ("page_size", "ten", none),
    ] {
        let answer = get(&house, None, &format!("/users?{name}={value}")).await;
        answer.invalid(&[(&format!("query.{name}"), message, kind)]);
    }
}

#[tokio::test]
async fn total_is_right_after_each_creation_and_deletion_by_whatever_api() {
    let house = House::new().await;
    let total = async || get(&house, None, "/users?page_size=1").await.body["total"].as_i64().unwrap();
    let ada = member(&house, "ada").await;
    assert_eq!(total().await, 1);
    let ben = house.guest("ben").await;
    assert_eq!(total().await, 2);
    let grace = member_as(&house, "grace", Role::Admin).await;
    let given = with(crate::house::registration("eve"), json!({ "is_active": false, "role": "user" }));
    let made = house.request("POST", "/api/v1.0/admin/users").bearer_auth(&grace.access).json(&given);
    let made = answer(made).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(total().await, 4);
    send(&house, &ada, "DELETE", &ada.path(), Value::Null).await.is_empty();
    assert_eq!(total().await, 3);
    let own = format!("/api/v1.0/users/{}", ben.uuid);
    assert_eq!(answer(house.by(&ben, "DELETE", &own)).await.status, 200);
    assert_eq!(total().await, 2);
    // What is refused counts for nothing.
    send(&house, &grace, "DELETE", &grace.path(), Value::Null).await.refuses(409, super::LAST_ADMIN);
    let twice = super::registration("grace");
    assert_eq!(send(&house, None, "POST", "/users", twice).await.status, 409);
    assert_eq!(total().await, 2);
    let eve = to_stranger(&with(shown("eve", 4), json!({ "full_name": "First Last" })));
    let left = [to_stranger(&grace.shown()), eve];
    get(&house, None, "/users").await.is(200, page(&left, 2, 1, 10));
}

#[tokio::test]
async fn a_user_who_is_marked_as_deleted_is_neither_listed_nor_counted_nor_found() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let ben = register(&house, "ben").await;
    let set = |deleted_at: Option<i64>| {
        let sql = "update users set deleted_at = ?1 where id = ?2";
        look_into(&house.database()).execute(sql, rusqlite::params![deleted_at, ben]).unwrap();
    };
    // Not so long ago that the housekeeping would remove the row.
    set(Some(crate::house::BEGINNING.micros()));
    get(&house, &ada, "/users").await.is(200, page(&[ada.shown()], 1, 1, 10));
    let path = format!("/users/{ben}");
    get(&house, &ada, &path).await.refuses(404, &format!("User with ID {ben} not found"));
    set(None);
    get(&house, &ada, "/users").await.is(200, page(&[ada.shown(), shown("ben", ben)], 2, 1, 10));
    get(&house, &ada, &path).await.is(200, shown("ben", ben));
}

#[tokio::test]
async fn get_answers_the_user_and_strangers_see_neither_address_nor_state() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let ben = member(&house, "ben").await;
    for path in [ada.path(), format!("{}/", ada.path()), "/users/+1".into(), "/users/1.0".into()] {
        get(&house, &ada, &path).await.is(200, ada.shown());
        get(&house, &ben, &path).await.is(200, ada.shown());
        let answer = get(&house, None, &path).await;
        answer.is(200, to_stranger(&ada.shown()));
        assert_eq!(answer.header("cache-control"), "no-store");
    }
}

#[tokio::test]
async fn get_says_by_its_number_who_is_not_there_and_what_is_no_number() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    for id in [2, 999, i64::from(i32::MAX) + 1, i64::MAX] {
        let answer = get(&house, &ada, &format!("/users/{id}")).await;
        answer.refuses(404, &format!("User with ID {id} not found"));
    }
    let most = "Input should be less than or equal to 9223372036854775807";
    for (id, message, kind) in [
        ("0", AT_LEAST_ONE, "greater_than_equal"),
        ("-1", AT_LEAST_ONE, "greater_than_equal"),
        ("9223372036854775808", most, "less_than_equal"),
        ("99999999999999999999999999999999999999999999", most, "less_than_equal"),
        ("me", NO_INTEGER, "int_parsing"),
        ("1.5", NO_INTEGER, "int_parsing"),
        ("0x1", NO_INTEGER, "int_parsing"),
        ("1e3", NO_INTEGER, "int_parsing"),
    ] {
        for method in ["GET", "DELETE"] {
            let answer = send(&house, &ada, method, &format!("/users/{id}"), Value::Null).await;
            answer.invalid(&[("path.user_id", message, kind)]);
        }
    }
}

#[tokio::test]
async fn full_name_is_what_was_given_else_both_names_else_the_username_else_the_number() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    for (change, username, full_name) in [
        ("full_name = 'Ada in full'", "ada", "Ada in full"),
        ("full_name = null", "ada", "First Last"),
        ("last_name = null", "ada", "First"),
        ("first_name = '', last_name = 'Last'", "ada", "Last"),
        ("first_name = null, last_name = ''", "ada", "ada"),
        ("username = null, username_key = null", "user_1", "user_1"),
    ] {
        look_into(&house.database()).execute(&format!("update users set {change}"), []).unwrap();
        let names = json!({ "username": username, "full_name": full_name });
        let whole = with(shown("ada", 1), names);
        for path in ["/v1/users/1", "/v1/auth/me"] {
            ask(house.by(&ada, "GET", path)).await.is(200, whole.clone());
        }
        get(&house, None, "/users").await.is(200, page(&[to_stranger(&whole)], 1, 1, 10));
    }
}

#[tokio::test]
async fn the_directory_is_open_to_whom_the_setting_says() {
    for (directory, stranger, member_gets, admin_gets) in [
        (Directory::Public, 200, 200, 200),
        (Directory::Members, 401, 200, 200),
        (Directory::Admins, 401, 403, 200),
    ] {
        let house = House::with(|config| config.users.directory = directory).await;
        let ada = member(&house, "ada").await;
        let mary = member_as(&house, "mary", Role::Moderator).await;
        let grace = member_as(&house, "grace", Role::Admin).await;
        let who: [(Option<&Member>, u16); 4] = [
            (None, stranger),
            (Some(&ada), member_gets),
            (Some(&mary), member_gets),
            (Some(&grace), admin_gets),
        ];
        for path in ["/users", "/users?page=2", "/users/1", "/users/999"] {
            for (member, status) in who {
                let answer = get(&house, member, path).await;
                match status {
                    401 => answer.refuses(401, NO_TOKEN),
                    403 => answer.refuses(403, "Admin access required"),
                    _ if path.ends_with("999") => answer.refuses(404, "User with ID 999 not found"),
                    _ => assert_eq!(answer.status, 200, "{directory:?} {path}: {}", answer.text),
                }
            }
        }
        // One's own account is no directory.
        get(&house, &ada, "/auth/me").await.is(200, ada.shown());
    }
}

#[tokio::test]
async fn a_bad_token_makes_a_stranger_where_strangers_may_and_is_told_so_where_not() {
    for directory in [Directory::Public, Directory::Members, Directory::Admins] {
        let house = House::with(|config| config.users.directory = directory).await;
        let ada = member(&house, "ada").await;
        send(&house, &ada, "POST", "/auth/logout", Value::Null).await.is_empty();
        let answer = get(&house, &ada, "/users/1").await;
        if directory == Directory::Public {
            answer.is(200, to_stranger(&ada.shown()));
        } else {
            answer.refuses(401, BAD_TOKEN);
            // Before the query is read.
            get(&house, None, "/users?page=0").await.refuses(401, NO_TOKEN);
        }
    }
}

#[tokio::test]
async fn numbers_of_users_are_not_given_twice() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    send(&house, &ada, "DELETE", &ada.path(), Value::Null).await.is_empty();
    let again = register(&house, "ada").await;
    assert!(again > ada.id);
    assert!(!uuid_of(&house, again).is_empty());
    get(&house, None, &ada.path()).await.refuses(404, &format!("User with ID {} not found", ada.id));
}

#[tokio::test]
async fn where_only_administrators_read_addresses_other_members_see_null_and_everybody_his_own() {
    let house = House::with(|config| config.users.addresses = AddressReaders::Admins).await;
    let ada = member(&house, "ada").await;
    let ben = member(&house, "ben").await;
    let admin = member_as(&house, "root", Role::Admin).await;
    let hidden = |whole: Value| with(whole, json!({ "email": null }));
    let path = format!("/users/{}", ada.shown()["id"]);
    for (who, sees) in [
        (&ada, [ada.shown(), hidden(ben.shown()), hidden(admin.shown())]),
        (&ben, [hidden(ada.shown()), ben.shown(), hidden(admin.shown())]),
        (&admin, [ada.shown(), ben.shown(), admin.shown()]),
    ] {
        get(&house, who, "/users").await.is(200, page(&sees, 3, 1, 10));
        get(&house, who, &path).await.is(200, sees[0].clone());
    }
    get(&house, None, &path).await.is(200, to_stranger(&ada.shown()));
}
