//! contactbook, `/api/contacts`: one's own contacts, made, listed, changed and deleted.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{log_in, member};
use crate::house::{Guest, House, PASSWORD, answer, contact, send, with};

const NOT_FOUND: &str = "Contact was not found";

/// Adds a contact.
pub(super) async fn add(house: &House, owner: &Guest, given: Value) -> Value {
    let made = send(house, owner, "POST", "/api/contacts/", given).await;
    assert_eq!(made.status, 201, "{}", made.text);
    made.body
}

/// The path of a contact.
pub(super) fn path(contact: &Value) -> String {
    format!("/api/contacts/{}", contact["id"])
}

/// All contacts of somebody.
pub(super) async fn all(house: &House, owner: &Guest) -> Value {
    let listed = send(house, owner, "GET", "/api/contacts/?limit=1000", Value::Null).await;
    assert_eq!(listed.status, 200, "{}", listed.text);
    listed.body
}

/// Signs a member in again.
pub(super) async fn again(house: &House, guest: &Guest) -> Guest {
    let signed_in = log_in(house, &guest.email, PASSWORD).await;
    assert_eq!(signed_in.status, 200, "{}", signed_in.text);
    let token = |kind: &str| signed_in.body[kind].as_str().unwrap().to_owned();
    Guest { access: token("access_token"), refresh: token("refresh_token"), ..guest.clone() }
}

/// What a contact becomes in every field that can be changed.
fn changed() -> Value {
    json!({
        "fullname": "Rear Admiral Grace Hopper", "email": "", "phone_number": -7, "birthday": "0001-01-01",
        "additional": "", "user_id": 2, "avatar": "https://example.com/other.png",
    })
}

#[tokio::test]
async fn create_contact_answers_the_whole_contact_with_the_number_and_the_owner_that_it_got() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let ben = member(&house, "ben").await;
    let avatar = json!({ "avatar": "https://example.com/grace.png" });
    for (n, (who, owner, path)) in
        [(&ada, 1, "/api/contacts/"), (&ada, 1, "/api/contacts"), (&ben, 2, "/api/contacts/")]
            .into_iter()
            .enumerate()
    {
        let given = with(contact(&format!("Grace Hopper {n}")), avatar.clone());
        let expected = with(given.clone(), json!({ "id": n + 1, "user_id": owner }));
        let named =
            json!({ "id": 77, "user_id": 2 - n, "owner": 2, "owner_id": 2, "created_at": 1, "picture": "x" });
        send(&house, who, "POST", path, with(given, named)).await.is(201, expected.clone());
        assert_eq!(all(&house, who).await.as_array().unwrap().last(), Some(&expected));
    }
}

#[tokio::test]
async fn a_contact_needs_name_address_number_and_birthday_and_the_rest_is_empty() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let least =
        json!({ "fullname": "Grace", "email": "", "phone_number": 0, "birthday": "1906-12-09T00:00:00" });
    let expected = json!({
        "id": 1, "user_id": 1, "fullname": "Grace", "email": "", "phone_number": 0, "birthday": "1906-12-09",
        "additional": "", "avatar": "",
    });
    send(&house, &ada, "POST", "/api/contacts/", least.clone()).await.is(201, expected.clone());
    let nulls = with(least.clone(), json!({ "fullname": "Null", "additional": null, "avatar": null }));
    let second = with(expected.clone(), json!({ "id": 2, "fullname": "Null" }));
    send(&house, &ada, "POST", "/api/contacts/", nulls).await.is(201, second.clone());
    // A change says the whole contact: what it leaves out is empty afterwards.
    let full = add(&house, &ada, contact("Full")).await;
    let emptied = with(least, json!({ "fullname": "Full" }));
    let third = with(expected.clone(), json!({ "id": 3, "fullname": "Full" }));
    send(&house, &ada, "PUT", &path(&full), emptied).await.is(200, third.clone());
    assert_eq!(all(&house, &ada).await, json!([expected, second, third]));
}

#[tokio::test]
async fn two_contacts_of_one_owner_never_have_the_same_name_and_two_owners_may() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let ben = member(&house, "ben").await;
    let grace = add(&house, &ada, contact("Grace Hopper")).await;
    let other = add(&house, &ada, contact("Alan Turing")).await;
    let taken = with(contact("Grace Hopper"), json!({ "email": "else@example.com", "phone_number": 1 }));
    send(&house, &ada, "POST", "/api/contacts/", taken.clone()).await.refuses(409, "Already exists");
    send(&house, &ada, "PUT", &path(&other), taken.clone()).await.refuses(409, "Already exists");
    assert_eq!(all(&house, &ada).await, json!([grace, other]));
    // Its own name is not in its way, and a name in other letters is another.
    let kept = send(&house, &ada, "PUT", &path(&grace), taken.clone()).await;
    kept.is(200, with(grace.clone(), json!({ "email": "else@example.com", "phone_number": 1 })));
    for name in ["grace hopper", "Grace Hopper ", " Grace Hopper", "Grace  Hopper"] {
        add(&house, &ada, contact(name)).await;
    }
    let bens = add(&house, &ben, contact("Grace Hopper")).await;
    let bens_other = add(&house, &ben, contact("Alan")).await;
    assert_eq!(send(&house, &ben, "PUT", &path(&bens_other), contact("Alan Turing")).await.status, 200);
    // Once it has gone the name is free.
    assert_eq!(send(&house, &ada, "DELETE", &path(&grace), Value::Null).await.status, 200);
    assert_eq!(send(&house, &ada, "PUT", &path(&other), taken).await.status, 200);
    assert_eq!(all(&house, &ben).await[0], bens);
}

#[tokio::test]
async fn of_twenty_who_create_one_name_at_once_one_does() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let race = (0..20).map(|_| send(&house, &ada, "POST", "/api/contacts/", contact("Grace Hopper")));
    let answers = join_all(race).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
    assert_eq!((won.len(), lost.len()), (1, 19));
    lost.iter().for_each(|answer| answer.refuses(409, "Already exists"));
    assert_eq!(all(&house, &ada).await, json!([won[0].body]));
}

#[tokio::test]
async fn list_contacts_shows_ones_own_by_number_from_skip_to_limit() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let ben = member(&house, "ben").await;
    let (mut hers, mut his) = (Vec::new(), Vec::new());
    for n in 0..25 {
        hers.push(add(&house, &ada, contact(&format!("Her {}", 25 - n))).await);
        if n % 3 == 0 {
            his.push(add(&house, &ben, contact(&format!("His {n}"))).await);
        }
    }
    // A change moves nobody.
    let renamed = send(&house, &ada, "PUT", &path(&hers[20]), contact("Aaron")).await;
    hers[20] = renamed.body;
    for (query, from, to) in [
        ("", 0, 20),
        ("?", 0, 20),
        ("?skip=0&limit=20", 0, 20),
        ("?limit=1", 0, 1),
        ("?limit=25", 0, 25),
        ("?limit=1000", 0, 25),
        ("?skip=24", 24, 25),
        ("?skip=5&limit=7", 5, 12),
        ("?skip=20&limit=20", 20, 25),
        ("?skip=%2b3&limit=2.0", 3, 5),
        ("?skip=25", 25, 25),
        ("?skip=9223372036854775807&limit=1000", 25, 25),
        ("?limit=1&limit=2", 0, 2),
        ("?user_id=2&owner=2&cursor=x", 0, 20),
    ] {
        for path in ["/api/contacts/", "/api/contacts"] {
            let page = send(&house, &ada, "GET", &format!("{path}{query}"), Value::Null).await;
            page.is(200, json!(hers[from..to]));
        }
    }
    assert_eq!(all(&house, &ben).await, json!(his));
    let mut walked = Vec::new();
    for skip in (0..30).step_by(4) {
        let path = format!("/api/contacts/?skip={skip}&limit=4");
        let page = send(&house, &ada, "GET", &path, Value::Null).await;
        walked.extend(page.body.as_array().unwrap().clone());
    }
    assert_eq!(walked, hers);
    let house = house.restart().await;
    assert_eq!(all(&house, &ada).await, json!(hers));
}

#[tokio::test]
async fn update_contact_changes_every_field_but_the_picture_and_the_owner() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    member(&house, "ben").await;
    let other = add(&house, &ada, contact("Alan Turing")).await;
    let avatar = json!({ "avatar": "https://example.com/grace.png" });
    let grace = add(&house, &ada, with(contact("Grace Hopper"), avatar.clone())).await;
    let expected = with(with(changed(), avatar), json!({ "id": 2, "user_id": 1 }));
    for path in [path(&grace), format!("{}/", path(&grace))] {
        let named = with(changed(), json!({ "id": 1, "owner": 2, "created_at": 1 }));
        send(&house, &ada, "PUT", &path, named).await.is(200, expected.clone());
    }
    assert_eq!(all(&house, &ada).await, json!([other, expected]));
}

#[tokio::test]
async fn delete_contact_answers_what_it_was_and_its_number_is_not_given_again() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let first = add(&house, &ada, contact("Grace Hopper")).await;
    for slash in ["", "/"] {
        let grace = add(&house, &ada, contact("Alan Turing")).await;
        let path = format!("{}{slash}", path(&grace));
        send(&house, &ada, "DELETE", &path, Value::Null).await.is(200, grace);
        send(&house, &ada, "DELETE", &path, Value::Null).await.refuses(404, NOT_FOUND);
        send(&house, &ada, "PUT", &path, contact("Alan Turing")).await.refuses(404, NOT_FOUND);
    }
    assert_eq!(add(&house, &ada, contact("Alan Turing")).await["id"], json!(4));
    assert_eq!(all(&house, &ada).await[0], first);
}

#[tokio::test]
async fn anothers_contact_and_nobodys_are_not_found_alike_and_stay_as_they_are() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let ben = member(&house, "ben").await;
    let hers = add(&house, &ada, contact("Grace Hopper")).await;
    let his = add(&house, &ben, contact("Alan Turing")).await;
    for id in ["1", " 1", "1.0", "0", "-1", "999", "9223372036854775807", "-9223372036854775808"] {
        let path = format!("/api/contacts/{}", id.replace(' ', "%20"));
        send(&house, &ben, "DELETE", &path, Value::Null).await.refuses(404, NOT_FOUND);
        for name in ["Grace Hopper", "Alan Turing", "Mine"] {
            send(&house, &ben, "PUT", &path, contact(name)).await.refuses(404, NOT_FOUND);
        }
    }
    assert_eq!((all(&house, &ada).await, all(&house, &ben).await), (json!([hers]), json!([his])));
}

#[tokio::test]
async fn the_token_is_asked_for_first_then_the_input_is_read_and_then_the_contact_is_found() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let ben = member(&house, "ben").await;
    add(&house, &ada, contact("Grace Hopper")).await;
    for (method, path) in [
        ("GET", "/api/contacts/"),
        ("GET", "/api/contacts?limit=0"),
        ("POST", "/api/contacts/"),
        ("GET", "/api/contacts/bd"),
        ("GET", "/api/contacts/bd?days_range=x"),
        ("GET", "/api/contacts/grace"),
        ("PUT", "/api/contacts/1"),
        ("PUT", "/api/contacts/x"),
        ("DELETE", "/api/contacts/1"),
        ("DELETE", "/api/contacts/999"),
        ("PATCH", "/api/contacts/1/avatar"),
        ("PATCH", "/api/contacts/x/avatar"),
    ] {
        let request = || house.request(method, path).header("content-type", "application/json").body("{ no");
        let stranger = answer(request()).await;
        stranger.refuses(401, "Not authenticated");
        assert_eq!(stranger.header("www-authenticate"), "Bearer");
        let basic = request().header("authorization", "Basic YWRhOnBhc3M=");
        answer(basic).await.refuses(401, "Not authenticated");
        for token in ["a.b.c", &ben.refresh] {
            let refused = answer(request().bearer_auth(token)).await;
            refused.refuses(401, "Wrong credentials");
            assert_eq!(refused.header("www-authenticate"), "Bearer error=\"invalid_token\"");
        }
    }
    let short: &[_] =
        &[("string_too_short", json!(["body", "fullname"]), "String should have at least 1 character")];
    for id in ["1", "999"] {
        let path = format!("/api/contacts/{id}");
        send(&house, &ben, "PUT", &path, contact("")).await.invalid(short);
        send(&house, &ben, "PUT", &path, contact("Grace Hopper")).await.refuses(404, NOT_FOUND);
    }
}

#[tokio::test]
async fn whoever_has_not_confirmed_the_address_is_refused_by_every_route() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    for (method, path) in [
        ("GET", "/api/contacts/"),
        ("GET", "/api/contacts?limit=0"),
        ("POST", "/api/contacts/"),
        ("GET", "/api/contacts/bd"),
        ("GET", "/api/contacts/grace"),
        ("PUT", "/api/contacts/1"),
        ("DELETE", "/api/contacts/x"),
        ("PATCH", "/api/contacts/1/avatar"),
    ] {
        send(&house, &ada, method, path, contact("")).await.refuses(401, "Email not confirmed");
    }
    house.confirm(&ada).await;
    send(&house, &ada, "GET", "/api/contacts/", Value::Null).await.is(200, json!([]));
}

#[tokio::test]
async fn a_member_of_any_api_may_keep_contacts_once_the_address_is_confirmed() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    house.confirm(&ada).await;
    let grace = add(&house, &ada, contact("Grace Hopper")).await;
    assert_eq!(grace, with(contact("Grace Hopper"), json!({ "id": 1, "user_id": 1 })));
}

#[tokio::test]
async fn each_path_answers_with_and_without_its_slash_and_tells_its_methods() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    add(&house, &ada, contact("Grace Hopper")).await;
    let set = |methods: &str| {
        let mut all: Vec<_> = methods.split(", ").map(str::to_owned).collect();
        all.sort();
        all
    };
    for (path, methods) in [
        ("/api/contacts", "GET, HEAD, POST, OPTIONS"),
        ("/api/contacts/1", "GET, HEAD, PUT, DELETE, OPTIONS"),
        ("/api/contacts/1/avatar", "PATCH, OPTIONS"),
        ("/api/avatars/x", "GET, HEAD, OPTIONS"),
    ] {
        for path in [path.to_owned(), format!("{path}/")] {
            let options = answer(house.request("OPTIONS", &path)).await;
            assert_eq!((options.status, &*options.text), (204, ""), "{path}");
            assert_eq!(set(options.header("allow")), set(methods), "{path}");
            for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"] {
                if set(methods).iter().any(|known| known == method) {
                    continue;
                }
                for request in [house.request(method, &path), house.by(&ada, method, &path)] {
                    let refused = answer(request).await;
                    assert_eq!(refused.status, 405, "{method} {path}: {}", refused.text);
                    refused.refuses(405, "Method Not Allowed");
                    assert_eq!(set(refused.header("allow")), set(methods), "{method} {path}");
                }
            }
        }
    }
    let head = answer(house.by(&ada, "HEAD", "/api/contacts/1/avatar")).await;
    assert_eq!((head.status, &*head.text), (405, ""));
    // The birthdays stand where a number would: nothing of that name is changed or deleted.
    let unreadable = "Input should be a valid integer, unable to parse string as an integer";
    for method in ["PUT", "DELETE"] {
        let refused = send(&house, &ada, method, "/api/contacts/bd", contact("Mine")).await;
        refused.invalid(&[("int_parsing", json!(["path", "contact_id"]), unreadable)]);
    }
    let options = answer(house.request("OPTIONS", "/api/contacts/bd")).await;
    assert_eq!(set(options.header("allow")), set("GET, HEAD, OPTIONS"));
}

#[tokio::test]
async fn head_answers_what_get_does_without_the_body() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    add(&house, &ada, contact("Grace Hopper")).await;
    add(&house, &ada, contact("Alan Turing")).await;
    for path in [
        "/api/contacts",
        "/api/contacts/",
        "/api/contacts/?skip=1",
        "/api/contacts/?skip=-1",
        "/api/contacts/bd?days_range=366&limit=1",
        "/api/contacts/grace",
        "/api/contacts/nobody",
    ] {
        let head = house.head_like_get(&ada, path).await;
        assert_eq!(head.header("cache-control"), "no-store");
    }
}

#[tokio::test]
async fn contacts_go_with_their_owner_at_whichever_api_he_is_deleted() {
    let house = House::new().await;
    let ben = member(&house, "ben").await;
    let bens = add(&house, &ben, contact("Grace Hopper")).await;
    for (method, path) in
        [("DELETE", "/api/v1.0/users/{uuid}"), ("DELETE", "/v1/users/{id}"), ("DELETE", "/users/me")]
    {
        let ada = house.guest("ada").await;
        house.confirm(&ada).await;
        let hers = add(&house, &ada, contact("Alan Turing")).await;
        let path = path.replace("{uuid}", &ada.uuid).replace("{id}", &hers["user_id"].to_string());
        let deleted = send(&house, &ada, method, &path, Value::Null).await;
        assert!(matches!(deleted.status, 200 | 204), "{path}: {}", deleted.text);
        let gone = send(&house, &ada, "GET", "/api/contacts/", Value::Null).await;
        gone.refuses(401, "Wrong credentials");
        // Whoever takes the address comes into nothing.
        let next = house.guest("ada").await;
        house.confirm(&next).await;
        send(&house, &next, "GET", "/api/contacts/", Value::Null).await.is(200, json!([]));
        send(&house, &next, "GET", "/api/contacts/alan", Value::Null).await.refuses(404, NOT_FOUND);
        let own = format!("/api/contacts/{}", hers["id"]);
        send(&house, &next, "PUT", &own, contact("Mine")).await.refuses(404, NOT_FOUND);
        send(&house, &next, "DELETE", &own, Value::Null).await.refuses(404, NOT_FOUND);
        let deleted = send(&house, &next, "DELETE", "/users/me", Value::Null).await;
        assert_eq!(deleted.status, 200, "{}", deleted.text);
    }
    assert_eq!(all(&house, &ben).await, json!([bens]));
}
