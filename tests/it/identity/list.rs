//! identity, `GET /users`: whom an administrator finds, and in which order on the wire.

use satchel::domain::users::Role;
use serde_json::{Value, json};

use super::{Account, BEGINNING_UTC, account, account_as, after, block, delete, get, named, send, tamper};
use crate::house::{Answer, House};

/// The numbers of a page in the order of the wire, keys and values alike.
fn ids(page: &Answer) -> Vec<i64> {
    assert_eq!(page.status, 200, "{}", page.text);
    let entries = page.text.strip_prefix("{\"users\":{").unwrap().strip_suffix("}}").unwrap();
    let number = |text: &str| text.split([',', '"']).next().unwrap().parse().unwrap();
    let values: Vec<i64> = entries.split("{\"user_id\":").skip(1).map(number).collect();
    let keys: Vec<i64> = entries
        .split("\":{\"user_id\":")
        .map(|part| part.rsplit('"').next().unwrap())
        .filter_map(|key| key.parse().ok())
        .collect();
    assert_eq!(keys, values, "{}", page.text);
    assert_eq!(page.body["users"].as_object().unwrap().len(), values.len(), "a key is there twice");
    values
}

/// The address of the next page, if there is one.
fn next(page: &Answer) -> Option<String> {
    let link = page.header("link");
    if link.is_empty() {
        return None;
    }
    Some(link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap().to_owned())
}

/// The users after the administrator: number, names, balance, seconds of the last activity, whether blocked.
type Row = (i64, Option<&'static str>, Option<&'static str>, i64, Option<u64>, bool);

const ROWS: [Row; 12] = [
    (2, Some("Ada"), Some("Lovelace"), 500, Some(50), false),
    (3, Some("Émile"), Some("Zola"), 0, None, true),
    (4, Some("ÉMILIE"), Some("du Châtelet"), 500, Some(10), false),
    (5, Some("Ada 100%"), Some("O'Hara_"), 20, None, false),
    (6, Some("Мария"), Some("Кюри"), 9_007_199_254_740_991, Some(50), true),
    (7, None, None, 0, None, false),
    (8, Some("Grace"), Some("Hopper"), 500, Some(90), false),
    (9, Some("Οδυσσέας"), Some("ΑΝΔΡΕΑΣ"), 7, Some(10), false),
    (10, Some("İlhan"), Some("Groß"), 20, None, false),
    (11, Some("a\\b"), Some("ADA"), 1, Some(1), true),
    (12, Some("🦀"), Some("Rust"), 0, Some(50), false),
    (13, None, Some("Solo"), 3, None, false),
];

/// A house with an administrator, number 1, and these users; and one more who was deleted.
async fn peopled() -> (House, Account) {
    let house = House::new().await;
    let admin = account_as(&house, "root", Role::Admin).await;
    for (id, first, last, balance, active, blocked) in ROWS {
        let text = |name: Option<&str>| {
            name.map_or_else(|| "null".to_owned(), |name| format!("'{}'", name.replace('\'', "''")))
        };
        let active = active.map_or_else(|| "null".to_owned(), |seconds| at(seconds).to_string());
        let blocked = if blocked { at(5).to_string() } else { "null".to_owned() };
        tamper(
            &house,
            format!(
                "insert into users (id, uuid, email, password_hash, created_at, updated_at, first_name, last_name,
                   balance, last_activity_at, blocked_at)
                 values ({id}, randomblob(16), 'user{id}@example.com', '$argon2id$', {0}, {0}, {1}, {2}, {balance},
                   {active}, {blocked})",
                at(0),
                text(first),
                text(last),
            ),
        )
        .await;
    }
    let gone = named(&house, "gone").await;
    delete(&house, &gone).await;
    (house, admin)
}

/// A moment as the database keeps it, so many seconds after the beginning.
fn at(seconds: u64) -> i64 {
    crate::house::BEGINNING.plus(std::time::Duration::from_secs(seconds)).micros()
}

#[tokio::test]
async fn the_list_shows_each_user_whole_by_his_number() {
    let house = House::new().await;
    let admin = account_as(&house, "root", Role::Admin).await;
    let ada = named(&house, "ada").await;
    send(&house, &ada, "PUT", "/users/balance", json!({ "amount": 100 })).await;
    account_as(&house, "mary", Role::Moderator).await;
    house.wait(30);
    block(&house, &admin, 3).await;
    let shown = |id: i64, role: &str| {
        json!({
            "user_id": id, "first_name": null, "last_name": null, "created_at": BEGINNING_UTC,
            "updated_at": null, "last_activity_at": BEGINNING_UTC, "block": false, "block_at": null,
            "role": role, "balance": 0,
        })
    };
    let with = crate::house::with;
    let ada = with(shown(2, "user"), json!({ "first_name": "Ada", "last_name": "Lovelace", "balance": 100 }));
    let mary =
        with(shown(3, "user"), json!({ "block": true, "block_at": after(30), "updated_at": after(30) }));
    let expected = json!({ "users": { "1": shown(1, "admin"), "2": ada, "3": mary } });
    for path in ["/users", "/users/", "/users?limit=3", "/users?other=1"] {
        let answer = get(&house, &admin, path).await;
        answer.is(200, expected.clone());
        assert_eq!(ids(&answer), [1, 2, 3]);
        assert_eq!((answer.header("link"), answer.header("cache-control")), ("", "no-store"));
    }
    let expected = format!(
        r#"{{"users":{{"2":{{"user_id":2,"first_name":"Ada","last_name":"Lovelace","created_at":"{0}","updated_at":null,"last_activity_at":"{0}","block":false,"block_at":null,"role":"user","balance":100}}}}}}"#,
        BEGINNING_UTC
    );
    assert_eq!(get(&house, &admin, "/users?id=2").await.text, expected);
}

#[tokio::test]
async fn a_filter_finds_those_that_it_describes_and_nobody_else() {
    let (house, admin) = peopled().await;
    for (query, expected) in [
        ("", vec![1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]),
        ("id=4", vec![4]),
        ("id=14", vec![]),
        ("id=999", vec![]),
        ("id=-1", vec![]),
        ("id=%2B4", vec![4]),
        ("first_name=ada", vec![2, 5]),
        ("first_name=ADA", vec![2, 5]),
        ("first_name=d", vec![2, 5]),
        ("first_name=Ada", vec![2, 5]),
        ("last_name=ada", vec![11]),
        ("first_name=gone", vec![]),
        // Upper and lower case are one in every alphabet.
        ("first_name=%C3%A9mil", vec![3, 4]),
        ("first_name=%C3%89MIL", vec![3, 4]),
        ("first_name=emil", vec![]),
        ("last_name=CH%C3%82TEL", vec![4]),
        ("first_name=%D0%BC%D0%B0%D1%80%D0%B8%D1%8F", vec![6]),
        ("first_name=%D0%9C%D0%90%D0%A0", vec![6]),
        // A sigma is a sigma wherever in the word it stands.
        ("first_name=%CE%9F%CE%94%CE%A5%CE%A3", vec![9]),
        ("first_name=%CE%A3%CE%88%CE%91%CE%A3", vec![9]),
        ("first_name=%CE%B1%CF%82", vec![9]),
        ("last_name=%CE%B1%CF%83", vec![9]),
        ("last_name=%CE%B1%CF%82", vec![9]),
        ("first_name=LHAN", vec![10]),
        ("last_name=gro%C3%9F", vec![10]),
        ("last_name=GROSS", vec![10]),
        ("first_name=%F0%9F%A6%80", vec![12]),
        // No sign means anything but itself.
        ("first_name=%25", vec![5]),
        ("first_name=100%25", vec![5]),
        ("first_name=_", vec![]),
        ("last_name=_", vec![5]),
        ("first_name=%5C", vec![11]),
        ("first_name=*", vec![]),
        ("first_name=a*", vec![]),
        ("first_name=%27", vec![]),
        ("last_name=%27", vec![5]),
        ("last_name=%27%20or%201%3D1--", vec![]),
        ("first_name=a%20d", vec![]),
        // Whoever has no name has none that contains anything.
        ("first_name=", vec![2, 3, 4, 5, 6, 8, 9, 10, 11, 12]),
        ("is_blocked=true", vec![3, 6, 11]),
        ("is_blocked=1", vec![3, 6, 11]),
        ("is_blocked=no", vec![1, 2, 4, 5, 7, 8, 9, 10, 12, 13]),
        ("is_blocked=true&first_name=a", vec![11]),
        ("first_name=a&last_name=o", vec![2, 5, 8, 10]),
        ("id=2&first_name=ada&last_name=love&is_blocked=off", vec![2]),
        ("id=2&is_blocked=on", vec![]),
        ("role=admin&email=user2%40example.com", vec![1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]),
    ] {
        let answer = get(&house, &admin, &format!("/users?{query}")).await;
        assert_eq!(ids(&answer), expected, "{query}");
    }
}

/// Every order with the numbers in it; equal ones by number, downwards when the order goes down.
const ORDERS: [(&str, [i64; 13]); 9] = [
    ("", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]),
    ("sort_by=id", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]),
    ("sort_order=asc", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]),
    ("sort_order=desc", [13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]),
    ("sort_by=balance", [1, 3, 7, 12, 11, 13, 9, 5, 10, 2, 4, 8, 6]),
    ("sort_by=balance&sort_order=desc", [6, 8, 4, 2, 10, 5, 9, 13, 11, 12, 7, 3, 1]),
    // Whoever never was there counts from the beginning, as it is shown.
    ("sort_by=last_activity_at", [1, 3, 5, 7, 10, 13, 11, 4, 9, 2, 6, 12, 8]),
    ("sort_by=last_activity_at&sort_order=asc", [1, 3, 5, 7, 10, 13, 11, 4, 9, 2, 6, 12, 8]),
    ("sort_by=last_activity_at&sort_order=desc", [8, 12, 6, 2, 9, 4, 11, 13, 10, 7, 5, 3, 1]),
];

#[tokio::test]
async fn every_order_is_that_of_the_keys_on_the_wire() {
    let (house, admin) = peopled().await;
    for (query, expected) in ORDERS {
        let answer = get(&house, &admin, &format!("/users?{query}")).await;
        assert_eq!(ids(&answer), expected, "{query}");
    }
    let filtered = "/users?is_blocked=true&sort_by=balance&sort_order=desc";
    assert_eq!(ids(&get(&house, &admin, filtered).await), [6, 11, 3]);
}

#[tokio::test]
async fn pages_walk_every_order_once_and_keep_what_was_asked_for() {
    let (house, admin) = peopled().await;
    for (query, expected) in ORDERS {
        for limit in [1, 2, 3, 5, 12, 13, 14] {
            let mut seen = Vec::new();
            let mut address = Some(format!("/users?{query}&limit={limit}"));
            while let Some(path) = address {
                let page = get(&house, &admin, &path).await;
                let found = ids(&page);
                assert!(!found.is_empty() && found.len() <= limit, "{path}: {}", page.text);
                seen.extend(found);
                address = next(&page);
            }
            assert_eq!(seen, expected, "{query}&limit={limit}");
        }
    }
    for (query, expected) in [
        ("first_name=%C3%A9mil&sort_order=desc", vec![4, 3]),
        ("is_blocked=false&sort_by=balance", vec![1, 7, 12, 13, 9, 5, 10, 2, 4, 8]),
    ] {
        let (mut seen, mut address) = (Vec::new(), Some(format!("/users/?limit=1&{query}")));
        while let Some(path) = address {
            assert!(path.starts_with("/users/?") && path.contains(query), "{path}");
            let page = get(&house, &admin, &path).await;
            seen.extend(ids(&page));
            address = next(&page);
        }
        assert_eq!(seen, expected, "{query}");
    }
}

#[tokio::test]
async fn a_page_goes_on_where_the_one_before_ended_whatever_became_of_its_last_user() {
    for (order, expected) in &ORDERS[4..] {
        for change in [
            "update users set balance = 9007199254740991, last_activity_at = 9000000000000000 where id = :id",
            "update users set balance = 0, last_activity_at = null where id = :id",
            "update users set deleted_at = 1 where id = :id",
            "delete from users where id = :id",
        ] {
            let (house, admin) = peopled().await;
            let first = get(&house, &admin, &format!("/users?{order}&limit=5")).await;
            let last = expected[4];
            assert_eq!(ids(&first), expected[..5]);
            if last == admin.id {
                continue;
            }
            tamper(&house, change.replace(":id", &last.to_string())).await;
            let rest = get(&house, &admin, &next(&first).unwrap().replace("limit=5", "limit=1000")).await;
            // He himself may be met again where he stands now; nobody else is lost or met twice.
            let others: Vec<i64> = ids(&rest).into_iter().filter(|id| *id != last).collect();
            assert_eq!(others, expected[5..], "{order}: {change}");
        }
    }
}

#[tokio::test]
async fn a_page_has_a_thousand_users_unless_asked_otherwise() {
    let house = House::new().await;
    let admin = account_as(&house, "root", Role::Admin).await;
    tamper(
        &house,
        "insert into users (uuid, email, password_hash, created_at, updated_at)
         with recursive n (n) as (select 2 union all select n + 1 from n where n < 1001)
         select randomblob(16), 'user' || n || '@example.com', '$argon2id$', 1, 1 from n",
    )
    .await;
    let page = get(&house, &admin, "/users").await;
    assert_eq!(ids(&page), (1..=1000).collect::<Vec<_>>());
    let page = get(&house, &admin, &next(&page).unwrap()).await;
    assert_eq!((ids(&page), next(&page)), (vec![1001], None));
}

#[tokio::test]
async fn a_list_of_nobody_is_an_empty_object() {
    let (house, admin) = peopled().await;
    let page = get(&house, &admin, "/users?first_name=nobody").await;
    assert_eq!((page.text.as_str(), page.header("link")), (r#"{"users":{}}"#, ""));
}

#[tokio::test]
async fn a_query_is_told_of_each_parameter_what_is_wrong_with_it() {
    let house = House::new().await;
    let admin = account_as(&house, "root", Role::Admin).await;
    let no_integer = "Input should be a valid integer, unable to parse string as an integer";
    let no_flag = "Input should be a valid boolean, unable to interpret input";
    let by = "'id', 'balance' or 'last_activity_at'";
    let order = "'asc' or 'desc'";
    let entry = |kind: &str, name: &str, msg: &str, input: &str, ctx: Value| {
        let mut entry = json!({ "type": kind, "loc": ["query", name], "msg": msg, "input": input });
        if !ctx.is_null() {
            entry["ctx"] = ctx;
        }
        entry
    };
    let long = "x".repeat(101);
    let too_long = "String should have at most 100 characters";
    let cursor = "Value error, Cursor must come from the Link header of a page";
    let nul = "Value error, Text must not contain NUL characters";
    let all = [
        ("id=x", entry("int_parsing", "id", no_integer, "x", Value::Null)),
        ("first_name=a%00", entry("value_error", "first_name", nul, "a\0", json!({ "error": {} }))),
        (
            &*format!("last_name={long}"),
            entry("string_too_long", "last_name", too_long, &long, json!({ "max_length": 100 })),
        ),
        ("is_blocked=maybe", entry("bool_parsing", "is_blocked", no_flag, "maybe", Value::Null)),
        (
            "sort_by=email",
            entry(
                "literal_error",
                "sort_by",
                &format!("Input should be {by}"),
                "email",
                json!({ "expected": by }),
            ),
        ),
        (
            "sort_order=ASC",
            entry(
                "literal_error",
                "sort_order",
                &format!("Input should be {order}"),
                "ASC",
                json!({ "expected": order }),
            ),
        ),
        (
            "limit=0",
            entry(
                "greater_than_equal",
                "limit",
                "Input should be greater than or equal to 1",
                "0",
                json!({ "ge": 1 }),
            ),
        ),
        ("cursor=x", entry("value_error", "cursor", cursor, "x", json!({ "error": {} }))),
    ];
    for (query, entry) in &all {
        let answer = get(&house, &admin, &format!("/users?{query}")).await;
        answer.is(422, json!({ "detail": [entry] }));
    }
    let query: Vec<&str> = all.iter().map(|(query, _)| *query).collect();
    let entries: Vec<&Value> = all.iter().map(|(_, entry)| entry).collect();
    let answer = get(&house, &admin, &format!("/users?{}", query.join("&"))).await;
    answer.is(422, json!({ "detail": entries }));
    for query in
        ["id=", "id=1.5", "id=9223372036854775808", "is_blocked=", "sort_by=", "limit=1001", "cursor="]
    {
        let answer = get(&house, &admin, &format!("/users?{query}")).await;
        assert_eq!((answer.status, answer.body["detail"].as_array().unwrap().len()), (422, 1), "{query}");
    }
    for id in ["9223372036854775807", "-9223372036854775808"] {
        get(&house, &admin, &format!("/users?id={id}")).await.is(200, json!({ "users": {} }));
    }
}

#[tokio::test]
async fn a_cursor_of_another_list_is_none_of_this_one() {
    let house = House::new().await;
    let admin = account_as(&house, "root", Role::Admin).await;
    for n in 0..3 {
        account(&house, &format!("user{n}")).await;
    }
    let other = get(&house, &admin, "/api/v1.0/users/?limit=1").await;
    let cursor = next(&other).unwrap().split("cursor=").nth(1).unwrap().to_owned();
    let answer = get(&house, &admin, &format!("/users?cursor={cursor}")).await;
    let sentence = "Value error, Cursor must come from the Link header of a page";
    answer.invalid(&[("value_error", json!(["query", "cursor"]), sentence)]);
}
