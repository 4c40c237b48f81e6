//! bookshelf: lists go on in `Link`, page by page, while others write.

use satchel::domain::users::Role;
use serde_json::{Value, json};

use super::send;
use crate::house::{Answer, House};

/// The address of the next page, if there is one.
fn next(answer: &Answer) -> Option<String> {
    let link = answer.header("link");
    if link.is_empty() {
        return None;
    }
    let (address, rest) = link.strip_prefix('<').unwrap().split_once('>').unwrap();
    assert_eq!(rest, "; rel=\"next\"");
    Some(address.to_owned())
}

fn ids(answer: &Answer) -> Vec<i64> {
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body.as_array().unwrap().iter().map(|book| book["id"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn pages_of_books_have_no_gaps_and_no_repeats_while_books_come_and_go() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    for n in 1..=8 {
        house.book(&ada, &format!("Book {n}")).await;
    }
    for list in ["/api/v1.0/books", "/api/v1.0/books/", "/api/v1.0/books/my-books"] {
        let before = ids(&send(&house, &ada, "GET", "/books?limit=8", Value::Null).await);
        let mut seen = Vec::new();
        let mut address = Some(format!("{list}?limit=3&other=1"));
        let mut pages = 0;
        while let Some(path) = address {
            let page = crate::house::answer(house.by(&ada, "GET", &path)).await;
            seen.extend(ids(&page));
            address = next(&page);
            assert!(address.as_ref().is_none_or(|next| next.contains("limit=3") && next.contains("other=1")));
            pages += 1;
            house.book(&ada, "In between").await;
            if pages == 1 {
                // The one that the cursor stands at goes, and is missed by nobody.
                let last = page.body[2]["uuid"].as_str().unwrap();
                send(&house, &ada, "DELETE", &format!("/books/{last}"), Value::Null).await;
            }
        }
        assert!(pages >= 3);
        assert_eq!(seen[..8], before, "{list}");
        assert!(seen.is_sorted_by(|one, two| one > two));
    }
}

#[tokio::test]
async fn the_last_page_has_no_link_even_when_it_is_full() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    for n in 1..=4 {
        house.book(&ada, &format!("Book {n}")).await;
    }
    for (limit, more) in [(1, true), (3, true), (4, false), (5, false), (1000, false)] {
        let page = send(&house, None, "GET", &format!("/books?limit={limit}"), Value::Null).await;
        assert_eq!((ids(&page).len(), next(&page).is_some()), (limit.min(4), more), "{limit}");
    }
    let page = send(&house, None, "GET", "/books?limit=2", Value::Null).await;
    let page = house.get(&next(&page).unwrap()).await;
    assert_eq!((ids(&page), next(&page)), (vec![2, 1], None));
}

#[tokio::test]
async fn a_page_has_a_hundred_entries_unless_asked_otherwise() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    for n in 1..=101 {
        house.book(&ada, &format!("Book {n}")).await;
    }
    for path in ["/books", "/books/my-books"] {
        let page = send(&house, &ada, "GET", path, Value::Null).await;
        assert_eq!(ids(&page), (2..=101).rev().collect::<Vec<_>>());
        let page = crate::house::answer(house.by(&ada, "GET", &next(&page).unwrap())).await;
        assert_eq!((ids(&page), next(&page)), (vec![1], None));
    }
    let mine = send(&house, &ada, "GET", "/users/me", Value::Null).await;
    assert_eq!(mine.body["books"].as_array().unwrap().len(), 101);
}

#[tokio::test]
async fn pages_of_users_have_no_gaps_and_no_repeats_while_users_come() {
    let house = House::new().await;
    let admin = house.guest_as("grace", Role::Admin).await;
    let mut names = vec![String::from("grace")];
    for n in 0..6 {
        house.register(&format!("user{n}")).await;
        names.push(format!("user{n}"));
    }
    names.reverse();
    let mut seen = Vec::new();
    let mut address = Some(String::from("/api/v1.0/users/?limit=2"));
    while let Some(path) = address {
        let page = crate::house::answer(house.by(&admin, "GET", &path)).await;
        let found = page.body.as_array().unwrap();
        seen.extend(found.iter().map(|user| user["username"].as_str().unwrap().to_owned()));
        address = next(&page);
        house.register(&format!("late{}", seen.len())).await;
    }
    assert_eq!(seen, names);
}

#[tokio::test]
async fn limits_and_cursors_out_of_bounds_are_refused() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let not_a_number = "Input should be a valid integer, unable to parse string as an integer";
    let too_small = "Input should be greater than or equal to 1";
    let too_large = "Input should be less than or equal to 1000";
    for path in ["/books", "/books/my-books", "/users"] {
        for (limit, kind, msg, ctx) in [
            ("0", "greater_than_equal", too_small, json!({ "ge": 1 })),
            ("-1", "greater_than_equal", too_small, json!({ "ge": 1 })),
            (
                "-99999999999999999999999999999999999999999999",
                "greater_than_equal",
                too_small,
                json!({ "ge": 1 }),
            ),
            ("1001", "less_than_equal", too_large, json!({ "le": 1000 })),
            ("9223372036854775808", "less_than_equal", too_large, json!({ "le": 1000 })),
            (
                "99999999999999999999999999999999999999999999",
                "less_than_equal",
                too_large,
                json!({ "le": 1000 }),
            ),
            ("", "int_parsing", not_a_number, Value::Null),
            ("abc", "int_parsing", not_a_number, Value::Null),
            ("1.5", "int_parsing", not_a_number, Value::Null),
            ("1e3", "int_parsing", not_a_number, Value::Null),
            ("0x10", "int_parsing", not_a_number, Value::Null),
            ("NaN", "int_parsing", not_a_number, Value::Null),
            ("Infinity", "int_parsing", not_a_number, Value::Null),
            ("1\0", "int_parsing", not_a_number, Value::Null),
        ] {
            let sent = format!("{path}?limit={}", limit.replace('\0', "%00"));
            let mut entry = json!({ "type": kind, "loc": ["query", "limit"], "msg": msg, "input": limit });
            if !ctx.is_null() {
                entry["ctx"] = ctx;
            }
            send(&house, &ada, "GET", &sent, Value::Null).await.is(422, json!({ "detail": [entry] }));
        }
        for cursor in ["", "1", "abc", "AAAAAAAAAAA", "__________8", "AAAAAAAAAGQ%3D", "%FF", "%00"] {
            let answer = send(&house, &ada, "GET", &format!("{path}?cursor={cursor}"), Value::Null).await;
            let sentence = "Value error, Cursor must come from the Link header of a page";
            answer.invalid(&[("value_error", json!(["query", "cursor"]), sentence)]);
        }
        for limit in ["1", "1000", "%2B5", "5.0", "%205%20", "1_0"] {
            let answer = send(&house, &ada, "GET", &format!("{path}?limit={limit}"), Value::Null).await;
            assert_eq!(answer.status, 200, "{limit}: {}", answer.text);
        }
    }
    let answer = send(&house, None, "GET", "/books?limit=0&cursor=x", Value::Null).await;
    let locs: Vec<&Value> = answer.body["detail"].as_array().unwrap().iter().map(|it| &it["loc"]).collect();
    assert_eq!(locs, [&json!(["query", "limit"]), &json!(["query", "cursor"])]);
}
