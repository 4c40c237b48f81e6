//! bookshelf, `/users/admin` and `/admin/users`: the routes of administrators, under both paths.

use satchel::domain::users::Role;
use serde_json::{Value, json};

use super::{look_into, send, shown, with};
use crate::house::{Guest, House, PASSWORD, answer, registration};

const NOBODY: &str = "019a9d5e-6c1f-7c3b-8a54-3f0c1f4e2d10";
const PREFIXES: [&str; 2] = ["/users/admin", "/admin/users"];
const CREATE: [&str; 2] = ["/users/admin/create", "/admin/users"];
const ENDED: &str = "Token has been revoked";

/// Every admin route with input that it would take, for a user.
fn routes(uuid: &str) -> Vec<(&'static str, String, Value)> {
    let mut routes: Vec<_> = CREATE.map(|path| ("POST", path.to_owned(), registration("new"))).into();
    for prefix in PREFIXES {
        routes.extend([
            ("PATCH", format!("{prefix}/{uuid}"), json!({ "first_name": "Augusta" })),
            ("PATCH", format!("{prefix}/{uuid}/role?new_role=admin"), Value::Null),
            ("PATCH", format!("{prefix}/{uuid}/activate?is_active=false"), Value::Null),
            ("DELETE", format!("{prefix}/{uuid}"), Value::Null),
        ]);
    }
    routes
}

#[tokio::test]
async fn admin_routes_are_refused_to_everybody_else() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let mary = house.guest_as("mary", Role::Moderator).await;
    for (method, path, body) in routes(&ada.uuid) {
        send(&house, None, method, &path, body.clone()).await.refuses(401, "Not authenticated");
        for guest in [&ada, &mary] {
            let answer = send(&house, guest, method, &path, body.clone()).await;
            answer.refuses(403, "Admin access required");
        }
    }
    // Who may not, does not learn either who there is.
    for (method, path, body) in routes(NOBODY) {
        send(&house, &mary, method, &path, body).await.refuses(403, "Admin access required");
    }
    let whole = with(shown("ada", &ada.uuid, "user"), json!({ "books": [] }));
    send(&house, &ada, "GET", "/users/me", Value::Null).await.is(200, whole);
}

#[tokio::test]
async fn admin_routes_answer_404_for_a_user_who_is_not_there() {
    let house = House::new().await;
    let admin = house.guest_as("grace", Role::Admin).await;
    for (method, path, body) in routes(NOBODY).into_iter().skip(CREATE.len()) {
        send(&house, &admin, method, &path, body).await.refuses(404, &format!("User {NOBODY} not found"));
    }
}

#[tokio::test]
async fn admin_create_user_makes_a_user_of_any_role_and_state() {
    let house = House::new().await;
    let admin = house.guest_as("grace", Role::Admin).await;
    for (n, (given, role, is_active)) in [
        (json!({}), "user", true),
        (json!({ "role": "moderator" }), "moderator", true),
        (json!({ "role": "ADMIN", "is_active": "on" }), "admin", true),
        (json!({ "role": "User", "is_active": 0 }), "user", false),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("user{n}");
        let path = CREATE[n % 2];
        let created = send(&house, &admin, "POST", path, with(registration(&name), given)).await;
        let uuid = created.body["uuid"].as_str().unwrap().to_owned();
        created.is(201, with(shown(&name, &uuid, role), json!({ "is_active": is_active })));
        let signed_in = house.log_in(&format!("{name}@example.com"), PASSWORD).await;
        assert_eq!(signed_in.status, if is_active { 200 } else { 400 }, "{}", signed_in.text);
    }
}

#[tokio::test]
async fn admin_create_user_refuses_what_is_taken_or_malformed() {
    let house = House::new().await;
    let admin = house.guest_as("grace", Role::Admin).await;
    for path in CREATE {
        let taken = with(registration("ada"), json!({ "email": "GRACE@example.com", "username": "Grace" }));
        send(&house, &admin, "POST", path, taken).await.refuses(400, "Email already registered");
        let taken = with(registration("ada"), json!({ "username": "Grace" }));
        send(&house, &admin, "POST", path, taken).await.refuses(400, "Username already taken");
        let odd =
            with(registration("ada"), json!({ "role": "root", "is_active": "maybe", "password": "short" }));
        send(&house, &admin, "POST", path, odd).await.is(
            422,
            json!({ "detail": [
                {
                    "type": "string_too_short", "loc": ["body", "password"], "input": "**********",
                    "msg": "String should have at least 8 characters", "ctx": { "min_length": 8 },
                },
                {
                    "type": "enum", "loc": ["body", "role"], "input": "root",
                    "msg": "Input should be 'admin', 'moderator' or 'user'",
                    "ctx": { "expected": "'admin', 'moderator' or 'user'" },
                },
                {
                    "type": "bool_parsing", "loc": ["body", "is_active"], "input": "maybe",
                    "msg": "Input should be a valid boolean, unable to interpret input",
                },
            ] }),
        );
    }
}

#[tokio::test]
async fn admin_update_user_changes_everything_that_a_user_is() {
    let house = House::new().await;
    let admin = house.guest_as("grace", Role::Admin).await;
    for (prefix, name) in PREFIXES.into_iter().zip(["ada", "ben"]) {
        let uuid = house.register(name).await;
        let change = json!({
            "username": format!("{name}2"), "email": format!("{name}2@example.com"), "first_name": "F",
            "last_name": "L", "is_active": false, "role": "MODERATOR",
        });
        let changed = with(with(shown(name, &uuid, "user"), change.clone()), json!({ "role": "moderator" }));
        send(&house, &admin, "PATCH", &format!("{prefix}/{uuid}"), change).await.is(200, changed);
        let null = send(&house, &admin, "PATCH", &format!("{prefix}/{uuid}"), json!({ "role": null })).await;
        let sentence = "Input should be 'admin', 'moderator' or 'user'";
        null.invalid(&[("enum", json!(["body", "role"]), sentence)]);
    }
    house.forget_letters().await;
}

#[tokio::test]
async fn admin_delete_user_answers_who_is_gone() {
    let house = House::new().await;
    let admin = house.guest_as("grace", Role::Admin).await;
    for (prefix, name) in PREFIXES.into_iter().zip(["ada", "ben"]) {
        let guest = house.guest(name).await;
        let path = format!("{prefix}/{}", guest.uuid);
        let done = json!({ "message": format!("User {} deleted successfully", guest.uuid) });
        send(&house, &admin, "DELETE", &path, Value::Null).await.is(200, done);
        let gone = format!("User {} not found", guest.uuid);
        send(&house, &admin, "DELETE", &path, Value::Null).await.refuses(404, &gone);
        send(&house, &guest, "GET", "/users/me", Value::Null).await.refuses(401, ENDED);
    }
    house.purge().await;
    let left: i64 = look_into(&house.database())
        .query_row("select count(*) from sessions where user_id <> 1", [], |row| row.get(0))
        .unwrap();
    assert_eq!(left, 0, "their sessions went with them");
}

#[tokio::test]
async fn admin_set_role_takes_the_role_from_the_query_in_any_case_and_ends_the_tokens() {
    let house = House::new().await;
    let admin = house.guest_as("grace", Role::Admin).await;
    let uuid = house.register("ada").await;
    for (prefix, word, role) in [
        (PREFIXES[0], "moderator", "moderator"),
        (PREFIXES[1], "USER", "user"),
        (PREFIXES[0], "Admin", "admin"),
        (PREFIXES[1], "MODERATOR", "moderator"),
    ] {
        let ada = house.sign_in("ada", uuid.clone()).await;
        let path = format!("{prefix}/{uuid}/role?new_role={word}");
        send(&house, &admin, "PATCH", &path, Value::Null).await.is(200, shown("ada", &uuid, role));
        send(&house, &ada, "GET", "/users/me", Value::Null).await.refuses(401, ENDED);
        let spent = house.post("/api/v1.0/auth/refresh", json!({ "refresh_token": ada.refresh })).await;
        spent.refuses(401, "Refresh token has been revoked");
    }
}

#[tokio::test]
async fn admin_set_role_to_what_it_was_ends_no_token() {
    let house = House::new().await;
    let admin = house.guest_as("grace", Role::Admin).await;
    let ada = house.guest("ada").await;
    let path = format!("/users/admin/{}/role?new_role=user", ada.uuid);
    send(&house, &admin, "PATCH", &path, Value::Null).await.is(200, shown("ada", &ada.uuid, "user"));
    assert_eq!(send(&house, &ada, "GET", "/users/me", Value::Null).await.status, 200);
}

#[tokio::test]
async fn admin_queries_are_refused_with_their_place() {
    let house = House::new().await;
    let admin = house.guest_as("grace", Role::Admin).await;
    let ada = house.register("ada").await;
    let role = |input: Value| {
        json!({
            "type": "enum", "loc": ["query", "new_role"], "msg": "Input should be 'admin', 'moderator' or 'user'",
            "input": input, "ctx": { "expected": "'admin', 'moderator' or 'user'" },
        })
    };
    let active = |input: Value| {
        json!({
            "type": "bool_parsing", "loc": ["query", "is_active"], "input": input,
            "msg": "Input should be a valid boolean, unable to interpret input",
        })
    };
    let missing = |name: &str| json!({ "type": "missing", "loc": ["query", name], "msg": "Field required", "input": null });
    for prefix in PREFIXES {
        for (path, entry) in [
            ("role?new_role=root", role(json!("root"))),
            ("role?new_role=", role(json!(""))),
            ("role?new_role=user&new_role=root", role(json!("root"))),
            ("role?new_role=%FF", role(Value::Null)),
            ("role", missing("new_role")),
            ("role?NEW_ROLE=user", missing("new_role")),
            ("activate?is_active=2", active(json!("2"))),
            ("activate?is_active=", active(json!(""))),
            ("activate", missing("is_active")),
        ] {
            let path = format!("{prefix}/{ada}/{path}");
            // A body is nothing to these routes.
            let answer = send(&house, &admin, "PATCH", &path, json!({ "new_role": "user" })).await;
            answer.is(422, json!({ "detail": [entry] }));
        }
        let answer =
            send(&house, &admin, "PATCH", &format!("{prefix}/x/role?new_role=root"), Value::Null).await;
        let locs: Vec<&Value> =
            answer.body["detail"].as_array().unwrap().iter().map(|it| &it["loc"]).collect();
        assert_eq!(locs, [&json!(["path", "user_uuid"]), &json!(["query", "new_role"])]);
    }
}

#[tokio::test]
async fn admin_set_active_reads_every_word_for_true_and_false() {
    let house = House::new().await;
    let admin = house.guest_as("grace", Role::Admin).await;
    let uuid = house.register("ada").await;
    let off = ["false", "no", "off", "f", "n", "0", "FALSE", "No", "F"];
    let on = ["true", "yes", "on", "t", "y", "1", "True", "YES", "T"];
    for ((off, on), prefix) in off.into_iter().zip(on).zip(PREFIXES.into_iter().cycle()) {
        for (word, is_active) in [(off, false), (on, true)] {
            let path = format!("{prefix}/{uuid}/activate?is_active={word}");
            let expected = with(shown("ada", &uuid, "user"), json!({ "is_active": is_active }));
            send(&house, &admin, "PATCH", &path, Value::Null).await.is(200, expected);
        }
    }
}

#[tokio::test]
async fn deactivation_ends_every_token_and_activation_brings_none_back() {
    let house = House::new().await;
    let admin = house.guest_as("grace", Role::Admin).await;
    let ada = house.guest("ada").await;
    let book = house.book(&ada, "Dune").await;
    let switch = async |word: &str| {
        let path = format!("/users/admin/{}/activate?is_active={word}", ada.uuid);
        assert_eq!(send(&house, &admin, "PATCH", &path, Value::Null).await.status, 200);
    };
    let all_refused = async |guest: &Guest| {
        for (method, path) in [
            ("GET", "/users/me"),
            ("GET", "/books/my-books"),
            ("POST", "/auth/logout"),
            ("DELETE", &*format!("/books/{}", book["uuid"].as_str().unwrap())),
        ] {
            send(&house, guest, method, path, Value::Null).await.refuses(401, ENDED);
        }
    };
    assert_eq!(send(&house, &ada, "GET", "/users/me", Value::Null).await.status, 200);
    switch("false").await;
    all_refused(&ada).await;
    house.log_in("ada@example.com", PASSWORD).await.refuses(400, "User account is inactive");
    switch("true").await;
    all_refused(&ada).await;
    let anew = house.sign_in("ada", ada.uuid.clone()).await;
    assert_eq!(send(&house, &anew, "GET", "/users/me", Value::Null).await.status, 200);
}

#[tokio::test]
async fn admin_routes_check_the_token_then_the_input_then_the_right() {
    let house = House::new().await;
    let mary = house.guest("mary").await;
    let path = "/api/v1.0/users/admin/nonsense/role?new_role=king";
    answer(house.request("PATCH", path)).await.refuses(401, "Not authenticated");
    let entries = answer(house.by(&mary, "PATCH", path)).await;
    assert_eq!(entries.status, 422, "{}", entries.text);
    assert_eq!(entries.body["detail"].as_array().unwrap().len(), 2, "{}", entries.text);
    let path = format!("/api/v1.0/users/admin/{}/role?new_role=admin", mary.uuid);
    answer(house.by(&mary, "PATCH", &path)).await.refuses(403, "Admin access required");
}
