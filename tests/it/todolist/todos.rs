//! todolist, `/todos/{id}`: a todo is its owner's alone, and what may stand in one.

use satchel::domain::users::Role;
use serde_json::{Value, json};

use super::{
    AT_LEAST_ONE, NO_BOOLEAN, NO_INTEGER, NO_STRING, after, get, member, member_as, open_todo, send, todo,
    with,
};
use crate::house::House;

#[tokio::test]
async fn create_answers_the_whole_todo_with_what_was_left_out() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    for (given, expected) in [
        (json!({ "title": "Learn Rust" }), json!({})),
        (json!({ "title": "Learn Rust", "description": null }), json!({})),
        (json!({ "title": "x", "description": "" }), json!({ "title": "x", "description": "" })),
        (
            json!({ "title": "Zoë 🦀", "description": "a\nb", "priority": "high" }),
            json!({ "title": "Zoë 🦀", "description": "a\nb", "priority": "high" }),
        ),
        (json!({ "title": "Learn Rust", "priority": "low" }), json!({ "priority": "low" })),
        (json!({ "title": "Learn Rust", "priority": "medium" }), json!({})),
    ] {
        let made = send(&house, &ada, "POST", "/todos", given).await;
        let expected = with(open_todo(made.id(), ada.id, "Learn Rust"), expected);
        made.is(201, expected.clone());
        assert_eq!(made.header("cache-control"), "no-store");
        get(&house, &ada, &format!("/todos/{}", made.id())).await.is(200, expected);
    }
}

#[tokio::test]
async fn create_ignores_what_nobody_may_give() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let ben = member(&house, "ben").await;
    for is_completed in [json!(true), json!(null), json!("nonsense"), json!({})] {
        let given = json!({
            "title": "x", "is_completed": is_completed, "id": 77, "user_id": ben.id, "owner": ben.id,
            "created_at": "2000-01-01T00:00:00Z", "updated_at": "2000-01-01T00:00:00Z",
        });
        let made = send(&house, &ada, "POST", "/todos", given).await;
        assert_ne!(made.id(), 77);
        made.is(201, open_todo(made.id(), ada.id, "x"));
    }
}

/// What neither a new todo nor a changed one may have, as `(field, value, message, type)`.
fn unfit() -> Vec<(&'static str, Value, &'static str, &'static str)> {
    let short = ("String should have at least 1 character", "string_too_short");
    let words = ("Input should be 'low', 'medium' or 'high'", "enum");
    let nul = ("Value error, Text must not contain NUL characters", "value_error");
    let over = "String should have at most 255 characters";
    let over_long = "String should have at most 10000 characters";
    vec![
        ("title", json!(""), short.0, short.1),
        ("title", json!("é".repeat(256)), over, "string_too_long"),
        ("title", json!(null), NO_STRING, "string_type"),
        ("title", json!(12), NO_STRING, "string_type"),
        ("title", json!("a\0b"), nul.0, nul.1),
        ("description", json!("é".repeat(10_001)), over_long, "string_too_long"),
        ("description", json!(12), NO_STRING, "string_type"),
        ("description", json!(["x"]), NO_STRING, "string_type"),
        ("description", json!("\0"), nul.0, nul.1),
        ("priority", json!("urgent"), words.0, words.1),
        ("priority", json!("HIGH"), words.0, words.1),
        ("priority", json!("Low"), words.0, words.1),
        ("priority", json!(" low"), words.0, words.1),
        ("priority", json!(""), words.0, words.1),
        ("priority", json!(null), words.0, words.1),
        ("priority", json!(1), words.0, words.1),
    ]
}

#[tokio::test]
async fn create_and_update_say_of_each_field_what_is_wrong_with_it() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let first = todo(&house, &ada, "Learn Rust").await;
    send(&house, &ada, "POST", "/todos", json!({})).await.invalid(&[(
        "body.title",
        "Field required",
        "missing",
    )]);
    for (field, value, message, kind) in unfit() {
        let expected = [(&*format!("body.{field}"), message, kind)];
        let given = with(json!({ "title": "x" }), json!({ field: value }));
        send(&house, &ada, "POST", "/todos", given).await.invalid(&expected);
        send(&house, &ada, "PATCH", "/todos/1", json!({ field: value })).await.invalid(&expected);
    }
    for (value, message, kind) in [
        (json!(null), "Input should be a valid boolean", "bool_type"),
        (json!("perhaps"), NO_BOOLEAN, "bool_parsing"),
        (json!(2), NO_BOOLEAN, "bool_parsing"),
    ] {
        let answer = send(&house, &ada, "PATCH", "/todos/1", json!({ "is_completed": value })).await;
        answer.invalid(&[("body.is_completed", message, kind)]);
    }
    get(&house, &ada, "/todos")
        .await
        .is(200, json!({ "todos": [first], "total": 1, "page": 1, "page_size": 10 }));
}

#[tokio::test]
async fn texts_at_their_bounds_come_back_as_they_went() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let (title, description) = ("é".repeat(255), "🦀".repeat(10_000));
    let given = json!({ "title": title, "description": description });
    let made = send(&house, &ada, "POST", "/todos", given.clone()).await;
    made.is(201, with(open_todo(1, ada.id, ""), given.clone()));
    send(&house, &ada, "PATCH", "/todos/1", given.clone()).await.is(200, made.body.clone());
    for title in ["   ", "\t", "<script>alert(1)</script>", "'); drop table todos; --", "\u{202e}"] {
        let answer = send(&house, &ada, "PATCH", "/todos/1", json!({ "title": title })).await;
        assert_eq!((answer.status, &answer.body["title"]), (200, &json!(title)));
    }
}

#[tokio::test]
async fn update_changes_each_field_alone_and_answers_the_whole_todo() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let mut whole = todo(&house, &ada, "Learn Rust").await;
    for (n, change) in [
        json!({ "title": "Learn more Rust" }),
        json!({ "description": "Read the book" }),
        json!({ "priority": "high" }),
        json!({ "is_completed": true }),
        json!({ "description": null }),
        json!({ "is_completed": false, "priority": "low", "title": "x", "description": "" }),
        json!({ "description": null, "title": "y" }),
        // As it is already: that, too, is a change.
        json!({ "title": "y" }),
    ]
    .into_iter()
    .enumerate()
    {
        house.wait(1);
        whole = with(whole, change.clone());
        whole["updated_at"] = json!(after(n as u64 + 1));
        send(&house, &ada, "PATCH", "/todos/1", change).await.is(200, whole.clone());
        get(&house, &ada, "/todos/1").await.is(200, whole.clone());
    }
}

#[tokio::test]
async fn update_with_nothing_changes_nothing() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let given = json!({ "title": "x", "description": "Read the book", "priority": "high" });
    let whole = send(&house, &ada, "POST", "/todos", given).await.body.clone();
    house.wait(60);
    for nothing in [
        json!({}),
        json!({ "unknown": 1 }),
        json!({ "id": 9, "user_id": 9, "created_at": null, "updated_at": "2000-01-01T00:00:00Z" }),
    ] {
        send(&house, &ada, "PATCH", "/todos/1", nothing).await.is(200, whole.clone());
    }
    get(&house, &ada, "/todos/1").await.is(200, whole);
}

#[tokio::test]
async fn is_completed_is_read_in_every_word_for_it() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let whole = todo(&house, &ada, "x").await;
    for (yes, no) in [
        (json!(true), json!(false)),
        (json!("true"), json!("FALSE")),
        (json!("yes"), json!("no")),
        (json!("on"), json!("off")),
        (json!("t"), json!("f")),
        (json!("Y"), json!("n")),
        (json!("1"), json!("0")),
        (json!(1), json!(0)),
    ] {
        for (word, is_completed) in [(yes, true), (no, false)] {
            let answer = send(&house, &ada, "PATCH", "/todos/1", json!({ "is_completed": word })).await;
            answer.is(200, with(whole.clone(), json!({ "is_completed": is_completed })));
        }
    }
}

#[tokio::test]
async fn a_todo_is_its_owner_s_alone_whatever_the_role() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let whole = todo(&house, &ada, "Learn Rust").await;
    let ben = member(&house, "ben").await;
    let moderator = member_as(&house, "mary", Role::Moderator).await;
    let admin = member_as(&house, "grace", Role::Admin).await;
    for other in [&ben, &moderator, &admin] {
        for (method, body, verb) in [
            ("GET", Value::Null, "access"),
            ("PATCH", json!({ "is_completed": true }), "modify"),
            ("PATCH", json!({}), "modify"),
            ("DELETE", Value::Null, "delete"),
        ] {
            let answer = send(&house, other, method, "/todos/1", body).await;
            answer.refuses(403, &format!("You don't have permission to {verb} this todo"));
        }
        let empty = json!({ "todos": [], "total": 0, "page": 1, "page_size": 10 });
        get(&house, other, "/todos").await.is(200, empty);
    }
    get(&house, &ada, "/todos/1").await.is(200, whole);
}

#[tokio::test]
async fn delete_removes_the_todo_and_its_number_is_not_given_again() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    todo(&house, &ada, "Goes").await;
    send(&house, &ada, "DELETE", "/todos/1", Value::Null).await.is_empty();
    for (method, body) in [("GET", Value::Null), ("PATCH", json!({ "title": "x" })), ("DELETE", Value::Null)]
    {
        let answer = send(&house, &ada, method, "/todos/1", body).await;
        answer.refuses(404, "Todo with ID 1 not found");
    }
    assert_eq!(todo(&house, &ada, "Comes").await["id"], json!(2));
}

#[tokio::test]
async fn a_number_that_is_nobody_s_is_not_found_and_what_is_none_is_told_so() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let most = "Input should be less than or equal to 9223372036854775807";
    for (method, body) in [("GET", Value::Null), ("PATCH", json!({})), ("DELETE", Value::Null)] {
        for id in ["1", "2147483648", "9223372036854775807"] {
            let answer = send(&house, &ada, method, &format!("/todos/{id}"), body.clone()).await;
            answer.refuses(404, &format!("Todo with ID {id} not found"));
        }
        for (id, message, kind) in [
            ("0", AT_LEAST_ONE, "greater_than_equal"),
            ("-1", AT_LEAST_ONE, "greater_than_equal"),
            ("9223372036854775808", most, "less_than_equal"),
            ("x", NO_INTEGER, "int_parsing"),
            ("1.5", NO_INTEGER, "int_parsing"),
            ("%31x", NO_INTEGER, "int_parsing"),
        ] {
            let answer = send(&house, &ada, method, &format!("/todos/{id}"), body.clone()).await;
            answer.invalid(&[("path.todo_id", message, kind)]);
        }
    }
}
