//! contactbook, `GET /api/contacts/{query}`: one of one's own contacts, found by a part of its name or address.

use serde_json::{Value, json};

use super::contacts::{add, path};
use super::member;
use crate::house::{Answer, Guest, House, contact, send, with};

/// Searches for a text, byte for byte percent-encoded.
async fn search(house: &House, who: &Guest, part: &str) -> Answer {
    let encoded: String = part.bytes().map(|byte| format!("%{byte:02X}")).collect();
    send(house, who, "GET", &format!("/api/contacts/{encoded}"), Value::Null).await
}

async fn nobody(house: &House, who: &Guest, part: &str) {
    let answer = search(house, who, part).await;
    assert_eq!(answer.status, 404, "{part:?} found {}", answer.text);
    answer.refuses(404, "Contact was not found");
}

/// Adds a contact with this name and address.
async fn known(house: &House, owner: &Guest, fullname: &str, email: &str) -> Value {
    add(house, owner, with(contact(fullname), json!({ "email": email }))).await
}

#[tokio::test]
async fn a_part_of_the_name_counts_before_one_of_the_address_and_the_lowest_number_before_others() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let by_address = known(&house, &ada, "Alan Turing", "hopper@example.com").await;
    let also_by_address = known(&house, &ada, "Kurt Gödel", "grasshopper@example.org").await;
    let first = known(&house, &ada, "Grace Hopper", "grace@example.com").await;
    let second = known(&house, &ada, "Hopper", "navy@example.com").await;
    for (part, expected) in [
        ("hopper", &first),
        ("Grace Hopper", &first),
        ("e H", &first),
        ("r", &by_address),
        ("turing", &by_address),
        ("grass", &also_by_address),
        ("example", &by_address),
        ("@example.org", &also_by_address),
        ("navy", &second),
        ("hopper@", &by_address),
    ] {
        search(&house, &ada, part).await.is(200, expected.clone());
    }
    for part in ["Hopper Grace", "gracehopper", "1906-12-09", "12025550100", "Arlington", "1", "x"] {
        if part == "x" {
            search(&house, &ada, part).await.is(200, by_address.clone());
        } else {
            nobody(&house, &ada, part).await;
        }
    }
    // What goes is not found any more, and a new name is found at once.
    send(&house, &ada, "DELETE", &path(&first), Value::Null).await.is(200, first);
    search(&house, &ada, "hopper").await.is(200, second.clone());
    let renamed = send(&house, &ada, "PUT", &path(&second), contact("Katherine Johnson")).await.body;
    search(&house, &ada, "hopper").await.is(200, by_address);
    search(&house, &ada, "KATHERINE").await.is(200, renamed);
}

#[tokio::test]
async fn case_does_not_count_in_any_script() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    for (name, parts) in [
        ("José Éluard", &["JOSÉ", "josé", "éLUARD", "É", "é"][..]),
        ("Ärzte Müller", &["ÄRZTE", "ärzte", "MÜLLER", "ü"]),
        ("Лев Толстой", &["ЛЕВ", "лев", "ТОЛСТОЙ", "той"]),
        (
            "ΟΔΥΣΣΕΑΣ ΕΛΥΤΗΣ",
            &[
                "οδυσσέας".trim_end_matches("έας"),
                "ΟΔΥΣΣΕΑΣ",
                "οδυσσεας",
                "Σ",
                "σ",
                "ς",
                "ΟΔΥΣ",
                "οδυς",
                "ελυτησ",
            ],
        ),
        ("Νίκος", &["ΝΊΚΟΣ", "νίκος", "νίκοσ", "ΊΚΟΣ"]),
        ("Groß", &["GROẞ", "groß"]),
        ("𐐀dams", &["𐐨DAMS"]),
    ] {
        let made = add(&house, &ada, contact(name)).await;
        for part in parts {
            let found = search(&house, &ada, part).await;
            assert_eq!((found.status, &found.body), (200, &made), "{part} in {name}");
        }
        send(&house, &ada, "DELETE", &path(&made), Value::Null).await.is(200, made);
    }
    let made = known(&house, &ada, "Somebody", "ÉMILE@EXAMPLE.COM").await;
    for part in ["émile@example.com", "Émile", "EXAMPLE"] {
        search(&house, &ada, part).await.is(200, made.clone());
    }
    // Another letter is another letter.
    for part in ["emile", "ЕMILE", "somebodÿ"] {
        nobody(&house, &ada, part).await;
    }
}

#[tokio::test]
async fn signs_that_mean_much_to_others_are_plain_characters() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    known(&house, &ada, "Grace Hopper", "grace at example").await;
    for part in [
        "%",
        "_",
        "*",
        "?",
        "%r",
        "G_ace",
        "G*",
        "gr%pper",
        "'",
        "\"",
        "' or '1'='1",
        "\\",
        ".*",
        "[a-z]",
        "^grace",
        "grace$",
        ";",
        "--",
        "{query}",
        "$1",
        "+",
        "Grace+Hopper",
        "Grace%20Hopper",
        "/",
        "grace/hopper",
        "./..",
        "../",
        "#",
        "&",
        "=",
    ] {
        nobody(&house, &ada, part).await;
    }
    let odd = known(&house, &ada, "50% _off_ 'a' \"b\" *c* \\d\\ e/f ?g #h +i [j] a..b ;--", "").await;
    for part in [
        "%",
        "_",
        "50% _OFF_",
        "'",
        "'a'",
        "\"b\"",
        "*c",
        "\\D\\",
        "e/f",
        "/",
        "?g",
        "#",
        "+i",
        "[j]",
        "a..",
        ";--",
    ] {
        search(&house, &ada, part).await.is(200, odd.clone());
    }
}

#[tokio::test]
async fn a_part_may_be_written_in_the_path_as_browsers_do() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let grace = known(&house, &ada, "Grace Brewster Hopper", "g+h@example.com").await;
    for part in [
        "Grace%20Brewster",
        "grace%20",
        "brewster",
        "brewster/",
        "g+h@example.com",
        "g%2Bh%40example.com",
        "HOPPER?fullname=alan",
        "hopper/?skip=1&limit=0",
    ] {
        let path = format!("/api/contacts/{part}");
        send(&house, &ada, "GET", &path, Value::Null).await.is(200, grace.clone());
    }
    // A blank is a blank, and a slash goes into the next segment.
    for part in ["Grace+Brewster", "Grace%2520Brewster"] {
        let path = format!("/api/contacts/{part}");
        send(&house, &ada, "GET", &path, Value::Null).await.refuses(404, "Contact was not found");
    }
    send(&house, &ada, "GET", "/api/contacts/grace/hopper", Value::Null).await.refuses(404, "Not Found");
}

#[tokio::test]
async fn what_cannot_be_a_part_is_told_by_its_field_and_what_is_no_text_is_not_found() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    add(&house, &ada, contact("Grace Hopper")).await;
    let get =
        async |part: &str| send(&house, &ada, "GET", &format!("/api/contacts/{part}"), Value::Null).await;
    let entry = |kind: &str, msg: &str, input: Value, ctx: Value| {
        let mut entry = json!({ "type": kind, "loc": ["path", "contact_id"], "msg": msg, "input": input });
        if !ctx.is_null() {
            entry["ctx"] = ctx;
        }
        json!({ "detail": [entry] })
    };
    let nul = "Value error, Text must not contain NUL characters";
    get("a%00b").await.is(422, entry("value_error", nul, json!("a\0b"), json!({ "error": {} })));
    for long in ["x".repeat(201), "%C3%A9".repeat(1000)] {
        get(&long).await.refuses(404, "Contact was not found");
    }
    for part in ["%FF", "%C3", "a%F0%9F%A6", "%C0%AF", "%ED%A0%80"] {
        get(part).await.refuses(404, "Contact was not found");
    }
}

#[tokio::test]
async fn bd_is_the_list_of_birthdays_whatever_the_contacts_are_called() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let named = with(contact("bd"), json!({ "email": "bd@example.com", "birthday": "1906-06-09" }));
    let named = add(&house, &ada, named).await;
    for path in
        ["/api/contacts/bd", "/api/contacts/bd/", "/api/contacts/%62d", "/api/contacts/bd?fullname=bd"]
    {
        send(&house, &ada, "GET", path, Value::Null).await.is(200, json!([]));
    }
    for path in ["/api/contacts/b", "/api/contacts/BD", "/api/contacts/bd@", "/api/contacts/D"] {
        send(&house, &ada, "GET", path, Value::Null).await.is(200, named.clone());
    }
}

#[tokio::test]
async fn nobody_finds_anothers_contact() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let ben = member(&house, "ben").await;
    let hers = known(&house, &ada, "Grace Hopper", "grace@example.com").await;
    for part in ["grace", "Grace Hopper", "@", "a", "1", "ada"] {
        nobody(&house, &ben, part).await;
    }
    let his = known(&house, &ben, "Grace Kelly", "kelly@example.com").await;
    search(&house, &ben, "grace").await.is(200, his);
    nobody(&house, &ben, "hopper").await;
    search(&house, &ada, "grace").await.is(200, hers);
    nobody(&house, &ada, "kelly").await;
}
