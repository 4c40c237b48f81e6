//! todolist, `GET /todos`: one's own, newest first, by pages, all of them or those that are done or open.

use serde_json::{Value, json};

use super::{AT_LEAST_ONE, Member, NO_BOOLEAN, NO_INTEGER, get, member, send, todo};
use crate::house::House;

fn page(todos: &[Value], total: usize, page: i64, page_size: i64) -> Value {
    json!({ "todos": todos, "total": total, "page": page, "page_size": page_size })
}

/// Adds so many todos; newest first.
async fn add(house: &House, owner: &Member, count: usize) -> Vec<Value> {
    let mut all = Vec::new();
    for n in 0..count {
        all.insert(0, todo(house, owner, &format!("Todo {n}")).await);
    }
    all
}

async fn complete(house: &House, owner: &Member, todo: &mut Value, is_completed: bool) {
    let change = json!({ "is_completed": is_completed });
    *todo = super::with(todo.clone(), change.clone());
    let answer = send(house, owner, "PATCH", &format!("/todos/{}", todo["id"]), change).await;
    answer.is(200, todo.clone());
}

/// Holds all three lists against what there is.
async fn holds(house: &House, owner: &Member, all: &[Value]) {
    let of = |done: bool| all.iter().filter(|todo| todo["is_completed"] == done).cloned().collect::<Vec<_>>();
    for (query, expected) in
        [("", all.to_vec()), ("&completed=true", of(true)), ("&completed=false", of(false))]
    {
        let whole = get(house, owner, &format!("/todos?page_size=100{query}")).await;
        whole.is(200, page(&expected, expected.len(), 1, 100));
        let mut found = Vec::new();
        for number in 1..=expected.len().div_ceil(2) + 1 {
            let answer = get(house, owner, &format!("/todos?page_size=2&page={number}{query}")).await;
            assert_eq!(answer.body["total"], json!(expected.len()));
            found.extend(answer.body["todos"].as_array().unwrap().clone());
        }
        assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn list_answers_one_s_own_newest_first() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let ben = member(&house, "ben").await;
    get(&house, &ada, "/todos").await.is(200, page(&[], 0, 1, 10));
    let mine = add(&house, &ada, 2).await;
    let theirs = add(&house, &ben, 1).await;
    let answer = get(&house, &ada, "/todos").await;
    answer.is(200, page(&mine, 2, 1, 10));
    assert_eq!(answer.header("cache-control"), "no-store");
    get(&house, &ada, "/todos/").await.is(200, page(&mine, 2, 1, 10));
    get(&house, &ben, "/todos").await.is(200, page(&theirs, 1, 1, 10));
}

#[tokio::test]
async fn list_goes_on_by_pages_without_gaps() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let all = add(&house, &ada, 12).await;
    for (query, todos, number, size) in [
        ("", &all[..10], 1, 10),
        ("?page=2", &all[10..], 2, 10),
        ("?page=3", &[], 3, 10),
        ("?page=3&page_size=5", &all[10..], 3, 5),
        ("?page=12&page_size=1", &all[11..], 12, 1),
        ("?page=13&page_size=1", &[], 13, 1),
        ("?page_size=100", &all[..], 1, 100),
        ("?page=1000000", &[], 1_000_000, 10),
        ("?page=9223372036854775807", &[], i64::MAX, 10),
        ("?page=9223372036854775807&page_size=100", &[], i64::MAX, 100),
        ("?page=92233720368547760&page_size=100", &[], 92_233_720_368_547_760, 100),
        ("?limit=1&offset=3", &all[..10], 1, 10),
    ] {
        get(&house, &ada, &format!("/todos{query}")).await.is(200, page(todos, 12, number, size));
        let query = query.replace('?', "&");
        let open = get(&house, &ada, &format!("/todos?completed=false{query}")).await;
        open.is(200, page(todos, 12, number, size));
        let done = get(&house, &ada, &format!("/todos?completed=true{query}")).await;
        done.is(200, page(&[], 0, number, size));
    }
}

#[tokio::test]
async fn list_refuses_a_page_out_of_bounds_and_a_state_that_is_none() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let high = "Input should be less than or equal to 100";
    let most = "Input should be less than or equal to 9223372036854775807";
    for (name, value, message, kind) in [
        ("page", "0", AT_LEAST_ONE, "greater_than_equal"),
        ("page", "-1", AT_LEAST_ONE, "greater_than_equal"),
        ("page", "9223372036854775808", most, "less_than_equal"),
        ("page", "x", NO_INTEGER, "int_parsing"),
        ("page_size", "0", AT_LEAST_ONE, "greater_than_equal"),
        ("page_size", "101", high, "less_than_equal"),
        ("page_size", "", NO_INTEGER, "int_parsing"),
        ("completed", "", NO_BOOLEAN, "bool_parsing"),
        ("completed", "garbage", NO_BOOLEAN, "bool_parsing"),
        ("completed", "2", NO_BOOLEAN, "bool_parsing"),
        ("completed", "null", NO_BOOLEAN, "bool_parsing"),
    ] {
        let answer = get(&house, &ada, &format!("/todos?{name}={value}")).await;
        answer.invalid(&[(&format!("query.{name}"), message, kind)]);
    }
}

#[tokio::test]
async fn completed_is_read_in_every_word_for_it_and_absent_means_both() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let mut all = add(&house, &ada, 3).await;
    complete(&house, &ada, &mut all[1], true).await;
    let (done, open) = ([all[1].clone()], [all[0].clone(), all[2].clone()]);
    for word in ["true", "True", "yes", "on", "t", "y", "1"] {
        get(&house, &ada, &format!("/todos?completed={word}")).await.is(200, page(&done, 1, 1, 10));
    }
    for word in ["false", "FALSE", "no", "off", "f", "n", "0"] {
        get(&house, &ada, &format!("/todos?completed={word}")).await.is(200, page(&open, 2, 1, 10));
    }
    get(&house, &ada, "/todos").await.is(200, page(&all, 3, 1, 10));
}

#[tokio::test]
async fn lists_and_totals_are_right_after_each_change() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let ben = member(&house, "ben").await;
    let theirs = add(&house, &ben, 3).await;
    let mut all = add(&house, &ada, 5).await;
    holds(&house, &ada, &all).await;
    for (n, is_completed) in
        [(0, true), (4, true), (4, true), (2, true), (0, false), (0, false), (1, true), (3, true), (0, true)]
    {
        complete(&house, &ada, &mut all[n], is_completed).await;
        holds(&house, &ada, &all).await;
    }
    complete(&house, &ada, &mut all[2], false).await;
    // The first, an open one and the last.
    for n in [0, 1, 2] {
        let gone = all.remove(n);
        send(&house, &ada, "DELETE", &format!("/todos/{}", gone["id"]), Value::Null).await.is_empty();
        holds(&house, &ada, &all).await;
    }
    // What is refused moves nothing.
    let path = format!("/todos/{}", all[0]["id"]);
    assert_eq!(send(&house, &ben, "DELETE", &path, Value::Null).await.status, 403);
    assert_eq!(send(&house, &ben, "PATCH", &path, json!({ "is_completed": true })).await.status, 403);
    holds(&house, &ada, &all).await;
    holds(&house, &ben, &theirs).await;
}

#[tokio::test]
async fn the_order_is_that_of_making_and_no_change_moves_a_todo() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let all = add(&house, &ada, 3).await;
    house.wait(60);
    let change = json!({ "title": "Changed", "priority": "high" });
    assert_eq!(send(&house, &ada, "PATCH", "/todos/1", change).await.status, 200);
    let found = get(&house, &ada, "/todos").await;
    let ids: Vec<&Value> = found.body["todos"].as_array().unwrap().iter().map(|todo| &todo["id"]).collect();
    assert_eq!(ids, all.iter().map(|todo| &todo["id"]).collect::<Vec<_>>());
}
