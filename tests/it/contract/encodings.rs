//! JSON in the encodings that the originals' parser reads (CPython's `json.detect_encoding`), and where it stops being JSON.

use reqwest::RequestBuilder;
use satchel::network::ClientNetwork;
use serde_json::json;

use crate::house::{Answer, House, PASSWORD, answer, book, contact, with};

const NAME: &str = "Dürrenmatt 𝄞";

/// A text with a mark and without, in every encoding, each with its name.
fn encoded(text: &str) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for (mark, is_marked) in [("", false), ("\u{feff}", true)] {
        let text = format!("{mark}{text}");
        let wide: Vec<u16> = text.encode_utf16().collect();
        let each = |make: fn(u16) -> [u8; 2]| wide.iter().flat_map(|unit| make(*unit)).collect();
        let whole = |make: fn(u32) -> [u8; 4]| text.chars().flat_map(|c| make(c.into())).collect();
        let bytes = [
            ("UTF-8", text.clone().into_bytes()),
            ("UTF-16BE", each(u16::to_be_bytes)),
            ("UTF-16LE", each(u16::to_le_bytes)),
            ("UTF-32BE", whole(u32::to_be_bytes)),
            ("UTF-32LE", whole(u32::to_le_bytes)),
        ];
        all.extend(bytes.map(|(name, bytes)| (format!("{name}, marked: {is_marked}"), bytes)));
    }
    all
}

async fn sent(request: RequestBuilder, body: Vec<u8>) -> Answer {
    answer(request.header("content-type", "application/json").body(body)).await
}

#[tokio::test]
async fn every_api_reads_json_in_every_encoding() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    house.confirm(&ada).await;
    let contact = |n: usize| {
        let own = json!({ "email": format!("grace{n}@example.com"), "phone_number": n + 12_025_550_100 });
        with(contact(&format!("{NAME} {n}")), own)
    };
    for (method, path, given, field) in [
        ("POST", "/api/v1.0/books", Some(book(NAME)), "title"),
        (
            "POST",
            "/items",
            Some(json!({ "name": NAME, "category": "Grocery", "price_usd": 1, "in_stock": true })),
            "name",
        ),
        ("POST", "/v1/todos", Some(json!({ "title": NAME })), "title"),
        ("PUT", "/users/profile", Some(json!({ "first_name": NAME, "last_name": "King" })), "first_name"),
        ("POST", "/api/contacts/", None, "fullname"),
    ] {
        for n in 0..10 {
            let given = given.clone().unwrap_or_else(|| contact(n));
            let (name, body) = encoded(&given.to_string()).swap_remove(n);
            let found = sent(house.by(&ada, method, path), body).await;
            assert!(found.status < 300, "{path} in {name}: {}", found.text);
            assert_eq!(found.body[field], given[field], "{path} in {name}");
        }
    }
    // Where a form may come as well, and where nobody has signed in.
    for (name, body) in encoded(&json!({ "username": ada.email, "password": PASSWORD }).to_string()) {
        let found = sent(house.request("POST", "/v1/auth/login"), body).await;
        assert_eq!(found.status, 200, "{name}: {}", found.text);
    }
}

#[tokio::test]
async fn the_place_of_a_fault_is_counted_in_characters_after_the_mark() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let mut others = Vec::new();
    // As Python's json.loads says it.
    for (text, offset, error) in [
        ("{\"tïtle\": x}", 10, "Expecting value"),
        ("{\"𝄞\": \"é", 6, "Unterminated string starting at"),
        ("{\"é\": \"ü\" 1}", 10, "Expecting ',' delimiter"),
        ("{\"é\": 1}é", 8, "Extra data"),
        ("\n\n{\"é\":\n 1 \"b\"}", 11, "Expecting ',' delimiter"),
        ("{\"é\": \"a\tb\"}", 8, "Invalid control character at"),
        ("{\"é\": \"é\\x\"}", 8, "Invalid \\escape"),
        ("{\"é\": \"é\\u12x4\"}", 9, "Invalid \\uXXXX escape"),
        ("{\"é\" 1}", 5, "Expecting ':' delimiter"),
        ("{\"é\": 1, x}", 9, "Expecting property name enclosed in double quotes"),
        ("{\"é\": ", 6, "Expecting value"),
        ("   ", 3, "Expecting value"),
        ("", 0, "Expecting value"),
    ] {
        for (name, body) in encoded(text) {
            // Of no text, and of one that begins with no ASCII, no zeros tell the encoding.
            if body.is_empty() {
                continue;
            }
            let found = sent(house.by(&ada, "POST", "/api/v1.0/books"), body).await;
            let expected = json!({ "detail": [{
                "type": "json_invalid", "loc": ["body", offset], "msg": "JSON decode error", "input": {},
                "ctx": { "error": error },
            }] });
            if (found.status, &found.body) != (422, &expected) {
                others.push(format!("{text} in {name}: {}, not {offset} {error}", found.text));
            }
        }
    }
    assert!(others.is_empty(), "{others:#?}");
}

#[tokio::test]
async fn what_is_no_character_is_refused_with_its_place() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    for (body, offset, error) in [
        (b"\xfe\xff\0{\0\"\xd8\x00\0\"\0}".as_slice(), 2, "Invalid UTF-16"),
        (b"\xff\xfe{\0\"\0\x34\xd8\x1e\xdd\"", 3, "Invalid UTF-16"),
        (b"{\0\0\0\"\0\0\0\0\0\x11\0", 2, "Invalid UTF-32"),
        (b"\0\0\0{\0\0\xd8\0", 1, "Invalid UTF-32"),
    ] {
        let found = sent(house.by(&ada, "POST", "/api/v1.0/books"), body.to_vec()).await;
        assert_eq!(found.status, 422, "{}", found.text);
        let entry = &found.body["detail"][0];
        assert_eq!(
            (&entry["loc"], &entry["ctx"]["error"]),
            (&json!(["body", offset]), &json!(error)),
            "{body:x?}"
        );
    }
}

#[tokio::test]
async fn the_text_of_another_encoding_takes_room_of_its_own() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let room = &house.server.app.body_room;
    let hold = |last: u8, bytes: usize| {
        room.take(ClientNetwork::from(std::net::IpAddr::from([192, 0, 2, last])), bytes).unwrap()
    };
    // 200,000 bytes are left for everybody.
    let held = (hold(1, 32 << 20), hold(2, 16 << 20), hold(3, (16 << 20) - 200_000));
    let text = json!({ "title": "書".repeat(50_000) }).to_string();
    let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(text.len() < 200_000 && wide.len() < 200_000 && text.len() + wide.len() > 200_000);
    let post = async |body: &[u8]| sent(house.by(&ada, "POST", "/api/v1.0/books"), body.to_vec()).await;
    assert_eq!(post(text.as_bytes()).await.status, 422);
    let refused = post(&wide).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, "1"), "{}", refused.text);
    drop(held);
    assert_eq!(post(&wide).await.status, 422);
}
