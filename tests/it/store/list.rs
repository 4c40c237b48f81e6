//! store, `GET /items`: an object in an order of its own, page by page.

use serde_json::{Value, json};

use super::{add, id, keeper, owner, path, send, tea, with};
use crate::house::{Answer, Guest, House};

/// What the list must be to the letter: each item as it shows itself, in this order.
async fn to_the_letter(house: &House, who: &Guest, items: impl IntoIterator<Item = &Value>) -> String {
    let mut entries = Vec::new();
    for item in items {
        let found = send(house, who, "GET", &path(item), Value::Null).await;
        assert_eq!(found.status, 200, "{}", found.text);
        entries.push(format!("\"{}\":{}", id(item), found.text));
    }
    format!("{{{}}}", entries.join(","))
}

/// The ids of a page in the order of the wire, keys and values alike.
fn ids(page: &Answer) -> Vec<String> {
    assert_eq!(page.status, 200, "{}", page.text);
    let values: Vec<String> = page
        .text
        .split("{\"id\":\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap().to_owned())
        .collect();
    let keys =
        page.text.trim_start_matches('{').split(",\"").filter_map(|part| part.split_once("\":{\"id\""));
    let keys: Vec<String> = keys.map(|(key, _)| key.trim_start_matches('"').to_owned()).collect();
    assert_eq!(keys, values, "{}", page.text);
    values
}

/// The address of the next page, if there is one.
fn next(page: &Answer) -> Option<String> {
    let link = page.header("link");
    if link.is_empty() {
        return None;
    }
    let (address, rest) = link.strip_prefix('<').unwrap().split_once('>').unwrap();
    assert_eq!(rest, "; rel=\"next\"");
    Some(address.to_owned())
}

/// Adds items by turns of their keepers, the newest first.
async fn stock(house: &House, keepers: &[&Guest], count: usize) -> Vec<Value> {
    let mut items = Vec::new();
    for (n, keeper) in keepers.iter().cycle().take(count).enumerate() {
        items.insert(0, add(house, keeper, with(tea(), json!({ "name": format!("Tea {n}") }))).await);
    }
    items
}

#[tokio::test]
async fn a_store_without_items_is_an_empty_object() {
    let house = House::new().await;
    let ada = keeper(&house, "ada").await;
    for path in ["/items", "/items/", "/items?limit=1"] {
        let page = send(&house, &ada, "GET", path, Value::Null).await;
        assert_eq!((page.status, &*page.text, page.header("link")), (200, "{}", ""), "{path}");
        assert_eq!(page.header("content-type"), "application/json");
    }
    send(&house, None, "GET", "/items", Value::Null).await.refuses(401, "Not authenticated");
    send(&house, None, "GET", "/items/", Value::Null).await.refuses(401, "Not authenticated");
}

#[tokio::test]
async fn list_items_keeps_newest_first_on_the_wire_through_changes_deletions_and_a_restart() {
    let house = House::new().await;
    let ada = keeper(&house, "ada").await;
    let ben = keeper(&house, "ben").await;
    let mut items = stock(&house, &[&ada, &ben], 15).await;
    let sorted = |items: &[Value]| items.is_sorted_by(|one, two| id(one) > id(two));
    assert!(!sorted(&items), "of one moment, fifteen ids do not happen to be in order");
    let whole = to_the_letter(&house, &ada, &items).await;
    for guest in [&ada, &ben] {
        for path in ["/items", "/items/", "/items?limit=15", "/items?other=1"] {
            let page = send(&house, guest, "GET", path, Value::Null).await;
            assert_eq!((page.status, &page.text), (200, &whole), "{path}");
            assert_eq!(page.header("link"), "");
        }
    }
    house.wait(60);
    for n in [14, 7, 0, 3] {
        let owner = owner(&items[n], &[&ada, &ben]);
        let change = json!({ "name": format!("Changed {n}"), "price_usd": 0.1 });
        assert_eq!(send(&house, owner, "PATCH", &path(&items[n]), change).await.status, 200);
    }
    let gone = items.remove(8);
    let owner = owner(&gone, &[&ada, &ben]);
    assert_eq!(send(&house, owner, "DELETE", &path(&gone), Value::Null).await.status, 204);
    items.insert(0, add(&house, &ada, tea()).await);
    let whole = to_the_letter(&house, &ada, &items).await;
    assert_eq!(send(&house, &ben, "GET", "/items", Value::Null).await.text, whole);
    let house = house.restart().await;
    assert_eq!(send(&house, &ben, "GET", "/items", Value::Null).await.text, whole);
}

#[tokio::test]
async fn the_number_of_the_newest_item_is_not_given_again_after_it_went() {
    let house = House::new().await;
    let ada = keeper(&house, "ada").await;
    let items = stock(&house, &[&ada], 4).await;
    let page = send(&house, &ada, "GET", "/items?limit=2", Value::Null).await;
    let rest = next(&page).unwrap();
    for item in &items[..2] {
        assert_eq!(send(&house, &ada, "DELETE", &path(item), Value::Null).await.status, 204);
    }
    stock(&house, &[&ada], 3).await;
    let page = send(&house, &ada, "GET", &rest, Value::Null).await;
    assert_eq!((page.text.as_str(), next(&page)), (&*to_the_letter(&house, &ada, &items[2..]).await, None));
}

#[tokio::test]
async fn pages_of_items_walk_all_of_them_once_and_in_order_while_items_come_and_go() {
    let house = House::new().await;
    let ada = keeper(&house, "ada").await;
    let ben = keeper(&house, "ben").await;
    for start in ["/items", "/items/"] {
        let before: Vec<String> =
            stock(&house, &[&ada, &ben], 13).await.iter().map(|it| id(it).to_owned()).collect();
        let mut seen = Vec::new();
        let mut address = Some(format!("{start}?limit=5&other=1"));
        while let Some(path) = address {
            assert!(
                path.starts_with(start) && path.contains("limit=5") && path.contains("other=1"),
                "{path}"
            );
            let page = send(&house, &ada, "GET", &path, Value::Null).await;
            let found = ids(&page);
            assert!(found.len() <= 5);
            add(&house, &ben, tea()).await;
            if seen.is_empty() {
                // The one that the cursor stands at goes, and is missed by nobody.
                let last = page.body[&found[4]].clone();
                let owner = owner(&last, &[&ada, &ben]);
                assert_eq!(send(&house, owner, "DELETE", &super::path(&last), Value::Null).await.status, 204);
            }
            seen.extend(found);
            address = next(&page);
        }
        assert_eq!(seen[..13], before, "{start}");
        let once: std::collections::BTreeSet<&String> = seen.iter().collect();
        assert_eq!(once.len(), seen.len());
    }
}

#[tokio::test]
async fn the_last_page_of_items_has_no_link_even_when_it_is_full() {
    let house = House::new().await;
    let ada = keeper(&house, "ada").await;
    stock(&house, &[&ada], 4).await;
    for (limit, more) in [(1, true), (3, true), (4, false), (5, false), (1000, false)] {
        let page = send(&house, &ada, "GET", &format!("/items?limit={limit}"), Value::Null).await;
        assert_eq!((ids(&page).len(), next(&page).is_some()), (limit.min(4), more), "{limit}");
    }
}

#[tokio::test]
async fn a_page_has_a_hundred_items_unless_asked_otherwise() {
    let house = House::new().await;
    let ada = keeper(&house, "ada").await;
    let items = stock(&house, &[&ada], 101).await;
    let all: Vec<&str> = items.iter().map(id).collect();
    let page = send(&house, &ada, "GET", "/items", Value::Null).await;
    assert_eq!(ids(&page), all[..100]);
    let page = send(&house, &ada, "GET", &next(&page).unwrap(), Value::Null).await;
    assert_eq!((ids(&page), next(&page)), (vec![all[100].to_owned()], None));
    let page = send(&house, &ada, "GET", "/items?limit=1000", Value::Null).await;
    assert_eq!((ids(&page).len(), next(&page)), (101, None));
}

#[tokio::test]
async fn limits_and_cursors_of_items_out_of_bounds_are_refused() {
    let house = House::new().await;
    let ada = keeper(&house, "ada").await;
    add(&house, &ada, tea()).await;
    let not_a_number = "Input should be a valid integer, unable to parse string as an integer";
    let (small, large) =
        ("Input should be greater than or equal to 1", "Input should be less than or equal to 1000");
    for (limit, kind, msg, ctx) in [
        ("0", "greater_than_equal", small, json!({ "ge": 1 })),
        ("-1", "greater_than_equal", small, json!({ "ge": 1 })),
        ("1001", "less_than_equal", large, json!({ "le": 1000 })),
        ("9223372036854775808", "less_than_equal", large, json!({ "le": 1000 })),
        ("", "int_parsing", not_a_number, Value::Null),
        ("abc", "int_parsing", not_a_number, Value::Null),
        ("1.5", "int_parsing", not_a_number, Value::Null),
    ] {
        let mut entry = json!({ "type": kind, "loc": ["query", "limit"], "msg": msg, "input": limit });
        if !ctx.is_null() {
            entry["ctx"] = ctx;
        }
        let answer = send(&house, &ada, "GET", &format!("/items?limit={limit}"), Value::Null).await;
        answer.is(422, json!({ "detail": [entry] }));
    }
    let sentence = "Value error, Cursor must come from the Link header of a page";
    for (sent, input) in [("", ""), ("1", "1"), ("AAAAAAAAAAA", "AAAAAAAAAAA"), ("x%00", "x\0")] {
        let entry = json!({
            "type": "value_error", "loc": ["query", "cursor"], "msg": sentence, "input": input, "ctx": { "error": {} },
        });
        let answer = send(&house, &ada, "GET", &format!("/items?cursor={sent}"), Value::Null).await;
        answer.is(422, json!({ "detail": [entry] }));
    }
}
