//! Pictures and contacts under fire: bytes of any kind, forms that lie, and strangers who bring five megabytes.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::Cursor;
use std::time::Duration;

use image::{ImageFormat, Rgb, RgbImage};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::input::{Range, any_json, check};
use super::{connect, log_out, look_up, read_out, say, status_of};
use crate::house::{Guest, House, answer, contact, with};

const AVATAR: &str = "/api/contacts/1/avatar";
const FORM: &str = "multipart/form-data; boundary=x";

fn files() -> Vec<Vec<u8>> {
    let pixels = RgbImage::from_fn(24, 16, |x, y| Rgb([x as u8 * 10, y as u8 * 15, 90]));
    let file = |format| {
        let mut bytes = Cursor::new(Vec::new());
        pixels.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    };
    [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif, ImageFormat::WebP].map(file).into()
}

/// A form of one part with this head and these bytes.
fn form(head: &str, bytes: &[u8]) -> Vec<u8> {
    [b"--x\r\n", head.as_bytes(), b"\r\n\r\n", bytes, b"\r\n--x--\r\n"].concat()
}

const FILE: &str = "Content-Disposition: form-data; name=\"file\"; filename=\"a.png\"";

/// A house with a member who has one contact.
async fn house_with_contact() -> (House, Guest) {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    house.confirm(&ada).await;
    let made = answer(house.by(&ada, "POST", "/api/contacts").json(&contact("Grace Hopper"))).await;
    assert_eq!(made.status, 201, "{}", made.text);
    (house, ada)
}

#[test]
fn no_bytes_in_a_form_for_a_picture_are_answered_with_a_fault() {
    let range = Range::new();
    let head = prop_oneof![
        4 => Just(FILE.to_owned()),
        1 => Just(FILE.replace("form-data", "attachment")),
        1 => "Content-Disposition: form-data; name=\"(file|avatar|)\"; filename=\"[!-~]{0,40}\"",
        1 => "Content-Disposition: [ -~]{0,60}",
        1 => "[!-~]{1,20}: [ -~]{0,40}\r\nContent-Disposition: form-data; name=file",
        1 => "[ -~\r\n]{0,60}",
    ];
    let bytes = prop_oneof![
        vec(any::<u8>(), 0..400),
        proptest::sample::select(files()),
        (proptest::sample::select(files()), vec(any::<u8>(), 0..64)).prop_map(|(mut file, more)| {
            file.truncate(16);
            file.extend(more);
            file
        }),
    ];
    let seen = RefCell::new(BTreeSet::new());
    check(&(head, bytes).no_shrink(), |(head, bytes)| {
        let body = form(&head, &bytes);
        let status = range.send("PATCH", AVATAR, |request| request.header("content-type", FORM).body(body));
        assert!(matches!(status, 200 | 400 | 415 | 422), "{head:?}: {status}");
        seen.borrow_mut().insert(status);
    });
    assert!(seen.borrow().is_superset(&BTreeSet::from([200, 415])), "{seen:?}");
    check(&vec(any::<u8>(), 0..400).no_shrink(), |bytes| {
        let body = [b"--x\r\n".as_slice(), &bytes].concat();
        let status = range.send("PATCH", AVATAR, |request| request.header("content-type", FORM).body(body));
        assert!(matches!(status, 400 | 422), "{status}");
    });
}

#[test]
fn no_picture_with_a_few_bytes_changed_is_answered_with_a_fault() {
    let range = Range::new();
    let changes = vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6);
    for file in files() {
        check(&changes.clone().no_shrink(), |changes| {
            let mut bytes = file.clone();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let body = form(FILE, &bytes);
            let dress = |request: reqwest::RequestBuilder| request.header("content-type", FORM).body(body);
            let status = range.send("PATCH", AVATAR, dress);
            assert!(matches!(status, 200 | 415), "{status}: {bytes:?}");
        });
    }
    let sql = "select count(*) from avatars where length(name) = 24";
    assert_eq!(look_up::<i64>(&range.house, sql), 1);
}

#[test]
fn no_contact_of_any_fields_is_answered_with_a_fault_and_what_is_taken_is_shown_as_it_was_sent() {
    let range = Range::new();
    let names = ["fullname", "email", "phone_number", "birthday", "additional", "avatar", "user_id", "id"];
    let text = any::<String>().prop_map(Value::from);
    let value = prop_oneof![
        2 => text,
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => "[0-9]{4}-[01][0-9]-[0-3][0-9]".prop_map(Value::from),
        1 => any_json(),
    ];
    let changes = btree_map(proptest::sample::select(names.to_vec()), value, 0..4);
    let seen = RefCell::new(BTreeSet::new());
    for (method, path) in [("POST", "/api/contacts/"), ("PUT", "/api/contacts/1")] {
        check(&changes.clone().no_shrink(), |changes| {
            let changes: serde_json::Map<String, Value> =
                changes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            let body = with(contact("Grace Hopper"), changes.into());
            let request = range.house.by(&range.admin, method, path).json(&body);
            let taken = range.runtime.block_on(answer(request));
            assert!(matches!(taken.status, 200 | 201 | 409 | 422), "{method} {body}: {}", taken.text);
            seen.borrow_mut().insert(taken.status);
            if taken.status < 300 {
                for name in ["fullname", "email"] {
                    assert_eq!(taken.body[name], body[name], "{method}");
                }
                let own =
                    format!("select count(*) from contacts where id = {} and user_id = 1", taken.body["id"]);
                assert_eq!(look_up::<i64>(&range.house, &own), 1);
            }
        });
    }
    assert_eq!(*seen.borrow(), BTreeSet::from([200, 201, 409, 422]));
}

#[test]
fn no_text_that_is_searched_for_is_answered_with_a_fault() {
    let range = Range::new();
    check(&any::<String>().no_shrink(), |text| {
        let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let status = range.send("GET", &format!("/api/contacts/x{encoded}"), |request| request);
        assert!(matches!(status, 200 | 404 | 422), "{text:?}: {status}");
    });
}

#[tokio::test]
async fn whoever_may_not_upload_is_refused_before_he_sends_anything() {
    let (house, _) = house_with_contact().await;
    let unconfirmed = house.guest("eve").await;
    for (token, expected) in [("", 401), ("a.b.c", 401), (unconfirmed.access.as_str(), 401)] {
        let head = format!(
            "PATCH {AVATAR} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: {FORM}\r\n\
             Content-Length: 5000000\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
        );
        let (said, _) = say(&house, head).await;
        assert_eq!(status_of(&said), Some(expected), "{said}");
        assert_eq!(said.matches("HTTP/1.1 ").count(), 1, "the body was asked for: {said}");
    }
}

#[tokio::test]
async fn an_upload_that_is_announced_as_too_large_is_refused_before_it_comes_and_one_that_grows_is_cut() {
    let (house, ada) = house_with_contact().await;
    let head = |framing: &str| {
        format!(
            "PATCH {AVATAR} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: {FORM}\r\n{framing}\r\n\
             Connection: close\r\n\r\n",
            ada.access
        )
    };
    let (said, _) = say(&house, head("Content-Length: 6000000\r\nExpect: 100-continue")).await;
    assert_eq!(status_of(&said), Some(413), "{said}");
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000)).repeat(96);
    let (said, _) = say(&house, format!("{}{chunk}0\r\n\r\n", head("Transfer-Encoding: chunked"))).await;
    // A client that is still sending may lose the answer with the connection.
    assert!(matches!(status_of(&said), Some(413) | None), "{said}");
    assert_eq!(look_up::<i64>(&house, "select count(*) from avatars"), 0);
}

#[tokio::test]
async fn a_picture_that_comes_after_the_log_out_is_not_kept() {
    let (house, ada) = house_with_contact().await;
    let body = form(FILE, &files()[0]);
    let mut stream = connect(&house).await;
    let head = format!(
        "PATCH {AVATAR} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: {FORM}\r\n\
         Content-Length: {}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n",
        ada.access,
        body.len(),
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server asks for the body when it has seen who sends it.
    let mut go_on = [0; 25];
    let asked = stream.read_exact(&mut go_on);
    tokio::time::timeout(Duration::from_secs(10), asked).await.unwrap().unwrap();
    assert!(go_on.starts_with(b"HTTP/1.1 100 Continue"));
    assert_eq!(log_out(&house, &ada.access).await.status, 200);
    stream.write_all(&body).await.unwrap();
    let (said, _) = read_out(&mut stream).await;
    assert_eq!(status_of(&said), Some(401), "{said}");
    assert_eq!(look_up::<i64>(&house, "select count(*) from avatars"), 0);
}

#[tokio::test]
async fn the_name_of_a_picture_tells_nothing_of_the_next_and_no_list_shows_it_to_others() {
    let (house, ada) = house_with_contact().await;
    let mut names = BTreeSet::new();
    for _ in 0..16 {
        let body = form(FILE, &files()[0]);
        let request = house.by(&ada, "PATCH", AVATAR).header("content-type", FORM).body(body);
        let taken = answer(request).await;
        let address = taken.body["avatar"].as_str().unwrap();
        names.insert(address.rsplit('/').next().unwrap().to_owned());
    }
    assert_eq!(names.len(), 16);
    // 144 random bits: at no place of the name do all agree.
    for place in 0..24 {
        let letters: BTreeSet<_> = names.iter().map(|name| name.as_bytes()[place]).collect();
        assert!(letters.len() > 1, "at {place}: {names:?}");
    }
    let ben = house.guest("ben").await;
    house.confirm(&ben).await;
    for path in ["/api/contacts/", "/api/contacts/bd?days_range=366"] {
        answer(house.by(&ben, "GET", path)).await.is(200, json!([]));
    }
}
