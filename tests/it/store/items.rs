//! store, `/items`: who may see, make, change and delete one.

use satchel::domain::users::Role;
use serde_json::{Value, json};

use super::{NOBODY, add, id, keeper, path, send, send_text, tea, with};
use crate::house::{House, answer};

#[tokio::test]
async fn create_item_answers_the_whole_item_of_the_caller() {
    let house = House::new().await;
    let ada = keeper(&house, "ada").await;
    for path in ["/items", "/items/"] {
        let made = send(&house, &ada, "POST", path, tea()).await;
        let uuid = made.body["id"].as_str().unwrap().to_owned();
        assert_eq!(uuid.as_bytes()[14], b'7', "{uuid} is a UUID of version 7");
        let whole = format!(
            r#"{{"id":"{uuid}","name":"Green tea","category":"Grocery","price_usd":19.99,"in_stock":true,"store_manager_id":"{}"}}"#,
            ada.uuid
        );
        assert_eq!((made.status, &made.text), (201, &whole));
        assert_eq!(made.header("content-type"), "application/json");
        assert_eq!(made.header("cache-control"), "no-store");
        for path in [format!("/items/{uuid}"), format!("/items/{uuid}/")] {
            let found = send(&house, &ada, "GET", &path, Value::Null).await;
            assert_eq!((found.status, &found.text), (200, &whole));
        }
    }
}

#[tokio::test]
async fn create_item_ignores_what_nobody_may_give_and_what_is_not_known() {
    let house = House::new().await;
    let ada = keeper(&house, "ada").await;
    let ben = keeper(&house, "ben").await;
    let wish = json!({
        "id": NOBODY, "uuid": NOBODY, "store_manager_id": ada.uuid, "user_id": 1, "created_at": "2000-01-01",
        "colour": { "deep": [1, {}] },
    });
    let made = send(&house, &ben, "POST", "/items", with(tea(), wish.clone())).await;
    assert_ne!(made.body["id"], json!(NOBODY));
    made.is(201, with(tea(), json!({ "id": made.body["id"], "store_manager_id": ben.uuid })));
    let kept = send(&house, &ben, "PATCH", &path(&made.body), wish).await;
    kept.is(200, made.body.clone());
    let answer = send(&house, &ada, "PATCH", &path(&made.body), json!({})).await;
    answer.refuses(403, "You can only update your own items");
}

#[tokio::test]
async fn get_item_shows_any_managers_item_to_any_user_and_to_no_stranger() {
    let house = House::new().await;
    let ada = keeper(&house, "ada").await;
    let ben = keeper(&house, "ben").await;
    let item = add(&house, &ada, tea()).await;
    send(&house, &ben, "GET", &path(&item), Value::Null).await.is(200, item.clone());
    send(&house, None, "GET", &path(&item), Value::Null).await.refuses(401, "Not authenticated");
}

#[tokio::test]
async fn items_that_are_not_there_are_not_found_in_the_words_of_each_act() {
    let house = House::new().await;
    let ada = keeper(&house, "ada").await;
    let nowhere = format!("/items/{NOBODY}");
    let sentence = format!("Item with id {NOBODY} not found");
    send(&house, &ada, "GET", &nowhere, Value::Null).await.refuses(404, "Item not found");
    send(&house, &ada, "PATCH", &nowhere, json!({})).await.refuses(404, &sentence);
    send(&house, &ada, "PATCH", &nowhere, tea()).await.refuses(404, &sentence);
    send(&house, &ada, "DELETE", &nowhere, Value::Null).await.refuses(404, &sentence);
    // However the id was written, the sentence has its usual form.
    let shouted = format!("/items/{}", NOBODY.to_uppercase());
    send(&house, &ada, "DELETE", &shouted, Value::Null).await.refuses(404, &sentence);
}

#[tokio::test]
async fn update_item_changes_what_is_named_and_nothing_else() {
    let house = House::new().await;
    let ada = keeper(&house, "ada").await;
    let other = add(&house, &ada, tea()).await;
    let mut expected = add(&house, &ada, tea()).await;
    for change in [
        json!({}),
        json!({ "name": "Black tea" }),
        json!({ "category": "Home Improvement" }),
        json!({ "price_usd": 0.1 }),
        json!({ "in_stock": false }),
        json!({ "name": "茶", "category": "Pet", "price_usd": 123456.7891, "in_stock": true }),
    ] {
        expected = with(expected, change.clone());
        send(&house, &ada, "PATCH", &path(&expected), change).await.is(200, expected.clone());
    }
    let slash = format!("{}/", path(&expected));
    expected["name"] = json!("Tea");
    send(&house, &ada, "PATCH", &slash, json!({ "name": "Tea" })).await.is(200, expected.clone());
    send(&house, &ada, "GET", &path(&expected), Value::Null).await.is(200, expected);
    send(&house, &ada, "GET", &path(&other), Value::Null).await.is(200, other);
}

#[tokio::test]
async fn owner_moderator_and_admin_may_change_and_delete_an_item_and_it_stays_the_owners() {
    let house = House::new().await;
    let ada = keeper(&house, "ada").await;
    let mary = house.guest_as("mary", Role::Moderator).await;
    let grace = house.guest_as("grace", Role::Admin).await;
    for who in [&ada, &mary, &grace] {
        let item = add(&house, &ada, tea()).await;
        let change = json!({ "price_usd": 7.5, "store_manager_id": who.uuid });
        let changed = send(&house, who, "PATCH", &path(&item), change).await;
        changed.is(200, with(item.clone(), json!({ "price_usd": 7.5 })));
        let gone = send(&house, who, "DELETE", &path(&item), Value::Null).await;
        assert_eq!((gone.status, &*gone.text, gone.header("content-type")), (204, "", ""));
        let sentence = format!("Item with id {} not found", id(&item));
        send(&house, &ada, "GET", &path(&item), Value::Null).await.refuses(404, "Item not found");
        send(&house, who, "DELETE", &path(&item), Value::Null).await.refuses(404, &sentence);
        send(&house, who, "PATCH", &path(&item), json!({})).await.refuses(404, &sentence);
    }
    send(&house, &ada, "GET", "/items", Value::Null).await.is(200, json!({}));
}

#[tokio::test]
async fn an_item_is_refused_to_strangers_and_other_managers_who_would_change_or_delete_it() {
    let house = House::new().await;
    let ada = keeper(&house, "ada").await;
    let ben = keeper(&house, "ben").await;
    let item = add(&house, &ada, tea()).await;
    let path = path(&item);
    for change in [json!({}), json!({ "name": "Mine" })] {
        send(&house, None, "PATCH", &path, change.clone()).await.refuses(401, "Not authenticated");
        let answer = send(&house, &ben, "PATCH", &path, change).await;
        answer.refuses(403, "You can only update your own items");
    }
    send(&house, None, "DELETE", &path, Value::Null).await.refuses(401, "Not authenticated");
    let answer = send(&house, &ben, "DELETE", &path, Value::Null).await;
    answer.refuses(403, "You can only delete your own items");
    send(&house, &ada, "GET", &path, Value::Null).await.is(200, item);
}

#[tokio::test]
async fn a_moderator_who_is_none_any_more_is_refused_at_once() {
    let house = House::new().await;
    let ada = keeper(&house, "ada").await;
    let mary = house.guest_as("mary", Role::Moderator).await;
    let item = add(&house, &ada, tea()).await;
    assert_eq!(send(&house, &mary, "PATCH", &path(&item), json!({})).await.status, 200);
    let demoted = satchel::domain::users::Patch { role: Some(Role::User), ..Default::default() };
    house.change(&mary.uuid, demoted).await;
    send(&house, &mary, "PATCH", &path(&item), json!({})).await.refuses(401, "Invalid token");
    let mary = house.sign_in("mary", mary.uuid.clone()).await;
    let answer = send(&house, &mary, "DELETE", &path(&item), Value::Null).await;
    answer.refuses(403, "You can only delete your own items");
}

#[tokio::test]
async fn the_token_is_asked_for_first_then_the_input_is_read_then_the_item_is_found_and_rights_come_last() {
    let house = House::new().await;
    let ada = keeper(&house, "ada").await;
    let ben = keeper(&house, "ben").await;
    let item = add(&house, &ada, tea()).await;
    let (theirs, nowhere) = (path(&item), format!("/items/{NOBODY}"));
    let negative = json!({ "price_usd": -1 });
    let too_small: &[_] =
        &[("greater_than_equal", json!(["body", "price_usd"]), "Input should be greater than or equal to 0")];
    for path in [&theirs, &nowhere, "/items/x"] {
        send(&house, None, "GET", path, Value::Null).await.refuses(401, "Not authenticated");
        send(&house, None, "DELETE", path, Value::Null).await.refuses(401, "Not authenticated");
        let request = house.request("PATCH", path).header("content-type", "application/json");
        answer(request.body("{ no json")).await.refuses(401, "Not authenticated");
        let request = house.request("PATCH", path).bearer_auth("a.b.c").json(&negative);
        answer(request).await.refuses(401, "Invalid token");
    }
    let request = house.request("POST", "/items").header("content-type", "application/json");
    answer(request.body("{ no json")).await.refuses(401, "Not authenticated");
    answer(house.request("GET", "/items?limit=0")).await.refuses(401, "Not authenticated");
    for path in [&theirs, &nowhere] {
        send(&house, &ben, "PATCH", path, negative.clone()).await.invalid(too_small);
        assert_eq!(send_text(&house, &ben, "PATCH", path, "{ no json").await.status, 422);
    }
    let sentence = format!("Item with id {NOBODY} not found");
    send(&house, &ben, "PATCH", &nowhere, json!({ "name": "Mine" })).await.refuses(404, &sentence);
    let answer = send(&house, &ben, "PATCH", &theirs, json!({ "name": "Mine" })).await;
    answer.refuses(403, "You can only update your own items");
}

#[tokio::test]
async fn an_id_that_is_no_uuid_is_refused_together_with_the_faults_of_the_body() {
    let house = House::new().await;
    let ada = keeper(&house, "ada").await;
    for method in ["GET", "PATCH", "DELETE"] {
        for id in ["x", "1", "019a9d5e-6c1f-7c3b-8a54-3f0c1f4e2d1", "%00", "%FF", "%F0%9F%A6%80"] {
            let answer = send(&house, &ada, method, &format!("/items/{id}"), json!({})).await;
            let entry = &answer.body["detail"][0];
            assert_eq!((answer.status, &entry["type"]), (422, &json!("uuid_parsing")), "{method} {id}");
            assert_eq!(entry["loc"], json!(["path", "id"]), "{method} {id}");
            assert_eq!(answer.body["detail"].as_array().unwrap().len(), 1);
            let error = entry["ctx"]["error"].as_str().unwrap();
            assert_eq!(entry["msg"], json!(format!("Input should be a valid UUID, {error}")));
        }
    }
    let answer = send(&house, &ada, "PATCH", "/items/x", json!({ "name": "", "price_usd": null })).await;
    let locs: Vec<&Value> = answer.body["detail"].as_array().unwrap().iter().map(|it| &it["loc"]).collect();
    let all = [json!(["path", "id"]), json!(["body", "name"]), json!(["body", "price_usd"])];
    assert_eq!(locs, all.iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn any_user_may_keep_items_whichever_api_he_signed_up_at() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let item = add(&house, &ada, tea()).await;
    assert_eq!(item, with(tea(), json!({ "id": item["id"], "store_manager_id": ada.uuid })));
    let changed = send(&house, &ada, "PATCH", &path(&item), json!({ "in_stock": false })).await;
    changed.is(200, with(item.clone(), json!({ "in_stock": false })));
    assert_eq!(send(&house, &ada, "DELETE", &path(&item), Value::Null).await.status, 204);
}

#[tokio::test]
async fn items_of_a_deleted_user_go_and_those_of_others_stay() {
    let house = House::new().await;
    let ada = keeper(&house, "ada").await;
    let ben = keeper(&house, "ben").await;
    let bens = add(&house, &ben, tea()).await;
    let mut gone = Vec::new();
    for _ in 0..3 {
        gone.push(add(&house, &ada, tea()).await);
    }
    let also_bens = add(&house, &ben, tea()).await;
    let done = send(&house, &ada, "DELETE", &format!("/api/v1.0/users/{}", ada.uuid), Value::Null).await;
    assert_eq!(done.status, 200, "{}", done.text);
    for item in &gone {
        send(&house, &ben, "GET", &path(item), Value::Null).await.refuses(404, "Item not found");
    }
    let rest = json!({ id(&bens): bens, id(&also_bens): also_bens });
    send(&house, &ben, "GET", "/items", Value::Null).await.is(200, rest.clone());
    // Whoever takes the name and the address comes into nothing.
    let next = keeper(&house, "ada").await;
    assert_ne!(next.uuid, ada.uuid);
    send(&house, &next, "GET", "/items", Value::Null).await.is(200, rest.clone());
    let house = house.restart().await;
    send(&house, &next, "GET", "/items", Value::Null).await.is(200, rest);
}

#[tokio::test]
async fn of_twenty_who_delete_one_item_at_once_one_does() {
    let house = House::new().await;
    let ada = keeper(&house, "ada").await;
    let item = add(&house, &ada, tea()).await;
    let path = path(&item);
    let race = (0..20).map(|_| send(&house, &ada, "DELETE", &path, Value::Null));
    let answers = futures_util::future::join_all(race).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 204);
    assert_eq!((won.len(), lost.len()), (1, 19));
    let sentence = format!("Item with id {} not found", id(&item));
    lost.iter().for_each(|answer| answer.refuses(404, &sentence));
}
