//! contactbook, `/api/contacts/{id}/avatar` and `/api/avatars`: pictures, from the upload to the last look.

use std::collections::BTreeMap;
use std::io::Cursor;

use futures_util::future::join_all;
use image::codecs::jpeg::JpegEncoder;
use image::{
    DynamicImage, ExtendedColorType, GenericImageView, ImageEncoder, ImageFormat, Rgb, RgbImage, Rgba,
    RgbaImage,
};
use reqwest::multipart::{Form, Part};
use satchel::domain::contacts::{self, ContactId};
use satchel::error::{Error, Refusal};
use serde_json::{Value, json};

use super::contacts::{add, all, path};
use super::member;
use crate::binary::connect;
use crate::house::{Answer, Guest, House, answer, contact, send, with};

const RED: [u8; 3] = [255, 0, 0];
const GREEN: [u8; 3] = [0, 255, 0];
const BLUE: [u8; 3] = [0, 0, 255];
const FIVE_MIB: usize = 5 * 1024 * 1024;
/// What stands in an upload and must not stand in a picture.
const SECRET: &[u8] = b"a secret place";

fn file(pixels: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    pixels.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A PNG file of one colour.
fn plain(colour: [u8; 3]) -> Vec<u8> {
    file(RgbImage::from_pixel(40, 30, Rgb(colour)), ImageFormat::Png)
}

/// Sends a form to a path.
async fn send_form(house: &House, who: &Guest, path: &str, form: Form) -> Answer {
    answer(house.by(who, "PATCH", path).multipart(form)).await
}

/// Uploads these bytes as the picture of a contact.
async fn upload(house: &House, who: &Guest, contact: &Value, bytes: impl Into<Vec<u8>>) -> Answer {
    let form = Form::new().part("file", Part::bytes(bytes.into()));
    send_form(house, who, &format!("{}/avatar", path(contact)), form).await
}

/// Uploads a picture that is taken, and gives the contact and where its picture is.
async fn dress(house: &House, who: &Guest, contact: &Value, bytes: impl Into<Vec<u8>>) -> (Value, String) {
    let answer = upload(house, who, contact, bytes).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let address = answer.body["avatar"].as_str().unwrap().to_owned();
    answer.is(200, with(contact.clone(), json!({ "avatar": address })));
    let origin = house.server.app.config.public_url();
    let place = address.strip_prefix(&origin).unwrap_or_else(|| panic!("{address} is not at {origin}"));
    let name = place.strip_prefix("/api/avatars/").unwrap();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    assert!(name.len() == 24 && name.bytes().all(fits), "{name}");
    (answer.body, place.to_owned())
}

/// What a stranger gets of a picture: status, headers, bytes.
async fn look(house: &House, method: &str, place: &str) -> (u16, BTreeMap<String, String>, Vec<u8>) {
    let response = house.request(method, place).send().await.unwrap();
    let header = |value: &reqwest::header::HeaderValue| value.to_str().unwrap().to_owned();
    let headers = response.headers().iter().map(|(name, value)| (name.to_string(), header(value))).collect();
    (response.status().as_u16(), headers, response.bytes().await.unwrap().to_vec())
}

/// The picture as a stranger sees it.
async fn see(house: &House, place: &str) -> DynamicImage {
    let (status, _, bytes) = look(house, "GET", place).await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&bytes));
    image::load_from_memory(&bytes).unwrap()
}

/// Whether the picture is of this colour: JPEG is never quite.
async fn shows(house: &House, place: &str, colour: [u8; 3]) -> bool {
    let pixel = see(house, place).await.get_pixel(125, 125).0;
    (0..3).all(|n| pixel[n].abs_diff(colour[n]) < 16)
}

async fn is_gone(house: &House, place: &str) {
    house.get(place).await.refuses(404, "Avatar was not found");
}

/// How many pictures are kept.
fn kept(house: &House) -> i64 {
    let sql = "select count(*) from avatars";
    house.server.app.db.read(|db| db.one(sql, [], |row| row.get(0))).unwrap().unwrap()
}

/// A house with a member and a contact of hers.
async fn house_with_contact() -> (House, Guest, Value) {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let grace =
        add(&house, &ada, with(contact("Grace Hopper"), json!({ "avatar": "http://x.example/" }))).await;
    (house, ada, grace)
}

#[tokio::test]
async fn a_picture_of_each_format_is_shown_as_a_jpeg_of_250_by_250_pixels() {
    let (house, ada, grace) = house_with_contact().await;
    let pixels = RgbImage::from_pixel(300, 200, Rgb(BLUE));
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif, ImageFormat::WebP] {
        let (_, place) = dress(&house, &ada, &grace, file(pixels.clone(), format)).await;
        let (status, headers, bytes) = look(&house, "GET", &place).await;
        assert_eq!((status, headers["content-type"].as_str()), (200, "image/jpeg"), "{format:?}");
        let shown = image::load_from_memory_with_format(&bytes, ImageFormat::Jpeg).unwrap();
        assert_eq!(shown.dimensions(), (250, 250), "{format:?}");
        assert!(shows(&house, &place, BLUE).await, "{format:?}");
    }
    // What shows through stays so.
    let veiled = RgbaImage::from_pixel(20, 20, Rgba([255, 0, 0, 100]));
    let (_, place) = dress(&house, &ada, &grace, file(veiled, ImageFormat::Png)).await;
    let (_, headers, bytes) = look(&house, "GET", &place).await;
    assert_eq!(headers["content-type"], "image/png");
    let shown = image::load_from_memory_with_format(&bytes, ImageFormat::Png).unwrap();
    assert_eq!((shown.dimensions(), shown.get_pixel(125, 125).0), ((250, 250), [255, 0, 0, 100]));
    assert_eq!(kept(&house), 1);
}

#[tokio::test]
async fn a_picture_may_be_kept_for_good_and_is_never_taken_for_anything_else() {
    let (house, ada, grace) = house_with_contact().await;
    let (_, place) = dress(&house, &ada, &grace, plain(RED)).await;
    let (status, mut headers, bytes) = look(&house, "GET", &place).await;
    for (name, value) in [
        ("content-type", "image/jpeg"),
        ("content-length", &bytes.len().to_string()),
        ("cache-control", "public, max-age=31536000, immutable"),
        ("content-disposition", "inline"),
        ("content-security-policy", "default-src 'none'; sandbox"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(headers.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(!headers.contains_key("set-cookie"));
    let (head_status, mut head_headers, nothing) = look(&house, "HEAD", &place).await;
    assert_eq!((status, head_status, nothing), (200, 200, Vec::new()));
    for headers in [&mut headers, &mut head_headers] {
        for own in ["x-request-id", "x-process-time", "date"] {
            headers.remove(own);
        }
    }
    assert_eq!(head_headers, headers);
    // A name that is none is not remembered.
    let unknown = house.get("/api/avatars/nobody").await;
    unknown.refuses(404, "Avatar was not found");
    assert_eq!(
        (unknown.header("cache-control"), unknown.header("content-type")),
        ("no-store", "application/json")
    );
    // A token that is no good does not count.
    answer(house.request("GET", &place).bearer_auth("x.y.z")).await;
    let (status, _, again) = look(&house, "GET", &format!("{place}/")).await;
    assert_eq!((status, again), (200, bytes));
}

#[tokio::test]
async fn only_the_whole_name_as_it_is_written_shows_a_picture() {
    let (house, ada, grace) = house_with_contact().await;
    let (_, place) = dress(&house, &ada, &grace, plain(RED)).await;
    let name = place.rsplit('/').next().unwrap();
    let swapped: String = name
        .chars()
        .map(|letter| match letter {
            'a'..='z' => letter.to_ascii_uppercase(),
            _ => letter.to_ascii_lowercase(),
        })
        .collect();
    let long = "a".repeat(255);
    let (short, more, space) = (&name[..23], format!("{name}A"), format!("{name}%20"));
    let any = format!("{}%25", &name[..20]);
    for other in [
        swapped.as_str(),
        short,
        &more,
        &space,
        &any,
        "1",
        "%25",
        "_",
        "________________________",
        "%FF",
        "%27",
        &long,
        "..%2f..%2fsatchel.db",
        "%2e%2e%2fsatchel.db",
        "satchel.db",
    ] {
        is_gone(&house, &format!("/api/avatars/{other}")).await;
    }
    for beside in ["/api/avatars", "/api/avatars/", &format!("{place}/x"), &place.replace("/api", "")] {
        house.get(beside).await.refuses(404, "Not Found");
    }
    assert!(shows(&house, &place, RED).await);
}

#[tokio::test]
async fn the_address_of_an_uploaded_picture_begins_with_the_public_url_and_is_shown_everywhere() {
    let house =
        House::with(|config| config.server.public_url = "https://contacts.example.org/x/".into()).await;
    let ada = member(&house, "ada").await;
    let grace =
        with(contact("Grace Hopper"), json!({ "avatar": "http://x.example/", "birthday": "1906-11-21" }));
    let grace = add(&house, &ada, grace).await;
    let (dressed, place) = dress(&house, &ada, &grace, plain(RED)).await;
    let address = format!("https://contacts.example.org/x{place}");
    assert_eq!(dressed["avatar"], json!(address));
    assert_eq!(all(&house, &ada).await, json!([dressed]));
    send(&house, &ada, "GET", "/api/contacts/bd", Value::Null).await.is(200, json!([dressed]));
    send(&house, &ada, "GET", "/api/contacts/grace", Value::Null).await.is(200, dressed.clone());
    let changed = with(dressed.clone(), json!({ "avatar": "", "additional": "Changed" }));
    let expected = with(changed.clone(), json!({ "avatar": address }));
    send(&house, &ada, "PUT", &path(&grace), changed).await.is(200, expected.clone());
    let taken = send(&house, &ada, "POST", "/api/contacts/", dressed).await;
    taken.refuses(409, "Already exists");
    let house = house.restart().await;
    assert!(shows(&house, &place, RED).await);
    send(&house, &ada, "DELETE", &path(&grace), Value::Null).await.is(200, expected);
}

#[tokio::test]
async fn another_upload_takes_the_place_of_the_picture_and_its_address_is_gone() {
    let (house, ada, grace) = house_with_contact().await;
    let other = add(&house, &ada, contact("Alan Turing")).await;
    let (_, others) = dress(&house, &ada, &other, plain(GREEN)).await;
    let (_, first) = dress(&house, &ada, &grace, plain(RED)).await;
    let (_, second) = dress(&house, &ada, &grace, plain(BLUE)).await;
    is_gone(&house, &first).await;
    assert!(shows(&house, &second, BLUE).await && shows(&house, &others, GREEN).await);
    // The same picture once more is another one.
    let (_, third) = dress(&house, &ada, &grace, plain(BLUE)).await;
    assert_ne!(second, third);
    is_gone(&house, &second).await;
    // One that is refused changes nothing.
    upload(&house, &ada, &grace, b"Dear diary".as_slice()).await.refuses(415, "Unsupported image");
    assert!(shows(&house, &third, BLUE).await);
    assert_eq!(kept(&house), 2);
    assert_eq!(send(&house, &ada, "DELETE", &path(&grace), Value::Null).await.status, 200);
    is_gone(&house, &third).await;
    assert!(shows(&house, &others, GREEN).await);
    upload(&house, &ada, &grace, plain(RED)).await.refuses(404, "Contact was not found");
    assert_eq!(kept(&house), 1);
}

#[tokio::test]
async fn of_uploads_at_once_one_picture_is_left_and_it_is_the_one_that_the_contact_shows() {
    let (house, ada, grace) = house_with_contact().await;
    let answers = join_all((0..8).map(|_| upload(&house, &ada, &grace, plain(RED)))).await;
    assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 503)));
    assert!(answers.iter().any(|answer| answer.status == 200));
    let shown = all(&house, &ada).await[0]["avatar"].as_str().unwrap().to_owned();
    let place = shown.strip_prefix(&house.server.app.config.public_url()).unwrap();
    assert!(shows(&house, place, RED).await);
    assert_eq!(kept(&house), 1);
}

#[tokio::test]
async fn a_contact_that_goes_while_its_picture_is_drawn_leaves_none_behind() {
    let (house, ada, _) = house_with_contact().await;
    let large = file(RgbImage::from_pixel(1500, 1500, Rgb(GREEN)), ImageFormat::Png);
    for n in 0..6 {
        let going = add(&house, &ada, contact(&format!("Going {n}"))).await;
        let path = path(&going);
        let delete = send(&house, &ada, "DELETE", &path, Value::Null);
        let (uploaded, deleted) = tokio::join!(upload(&house, &ada, &going, large.clone()), delete);
        assert_eq!(deleted.status, 200, "{}", deleted.text);
        if uploaded.status != 200 {
            uploaded.refuses(404, "Contact was not found");
        }
        assert_eq!(kept(&house), 0);
    }
}

#[tokio::test]
async fn a_picture_that_was_drawn_while_its_owner_was_deleted_is_kept_by_nobody() {
    let (house, ada, made) = house_with_contact().await;
    let app = &house.server.app;
    let caller = app.auth.authenticate(&app.db, &ada.access).unwrap();
    let picture = app.studio.make([127, 0, 0, 1].into(), plain(GREEN)).await.unwrap();
    let id = ContactId(made["id"].as_i64().unwrap());
    assert_eq!(send(&house, &ada, "DELETE", "/users/me", Value::Null).await.status, 200);
    let name = "a".repeat(24);
    let kept_by = app.write_as(caller, move |db| contacts::set_picture(db, id, &name, &picture)).await;
    assert!(matches!(kept_by, Err(Error::Refusal(Refusal::TokenRevoked))), "{kept_by:?}");
    assert_eq!(kept(&house), 0);
}

#[tokio::test]
async fn of_several_files_in_a_form_the_first_counts_and_a_field_of_that_name_is_one() {
    let (house, ada, grace) = house_with_contact().await;
    let path = format!("{}/avatar", path(&grace));
    let part = |colour| Part::bytes(plain(colour)).file_name("a.png");
    let form = Form::new().part("other", part(RED)).part("file", part(BLUE)).part("file", part(GREEN));
    let taken = send_form(&house, &ada, &path, form).await;
    let address = taken.body["avatar"].as_str().unwrap();
    let place = address.strip_prefix(&house.server.app.config.public_url()).unwrap();
    assert!(shows(&house, place, BLUE).await);
    let form = Form::new().text("file", "Dear diary").part("file", part(RED));
    send_form(&house, &ada, &path, form).await.refuses(415, "Unsupported image");
    assert!(shows(&house, place, BLUE).await);
}

#[tokio::test]
async fn more_uploads_than_can_wait_are_told_to_come_again_and_change_nothing() {
    let (house, ada, grace) = house_with_contact().await;
    let large = file(RgbImage::from_pixel(2000, 2000, Rgb(GREEN)), ImageFormat::Png);
    let answers = join_all((0..32).map(|_| upload(&house, &ada, &grace, large.clone()))).await;
    let (done, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert!(!done.is_empty() && !refused.is_empty(), "{} of 32 were done", done.len());
    refused.iter().for_each(|answer| answer.refuses(503, "The server is busy. Please try again."));
    assert_eq!(kept(&house), 1);
    dress(&house, &ada, &grace, plain(RED)).await;
}

#[tokio::test]
async fn pictures_go_with_their_owner_at_whichever_api_he_is_deleted() {
    let (house, ben, bens) = house_with_contact().await;
    let (_, bens) = dress(&house, &ben, &bens, plain(GREEN)).await;
    for path in ["/api/v1.0/users/{uuid}", "/v1/users/{id}", "/users/me"] {
        let guest = house.guest("guest").await;
        house.confirm(&guest).await;
        let mut places = Vec::new();
        for name in ["Grace", "Alan"] {
            let contact = add(&house, &guest, contact(name)).await;
            places
                .push((contact["user_id"].to_string(), dress(&house, &guest, &contact, plain(RED)).await.1));
        }
        let path = path.replace("{uuid}", &guest.uuid).replace("{id}", &places[0].0);
        let deleted = send(&house, &guest, "DELETE", &path, Value::Null).await;
        assert!(matches!(deleted.status, 200 | 204), "{path}: {}", deleted.text);
        for (_, place) in &places {
            is_gone(&house, place).await;
        }
        house.purge().await;
        assert_eq!(kept(&house), 1, "{path}");
    }
    assert!(shows(&house, &bens, GREEN).await);
}

#[tokio::test]
async fn an_upload_without_its_file_is_refused_by_its_field() {
    let (house, ada, grace) = house_with_contact().await;
    let path = format!("{}/avatar", path(&grace));
    let missing = json!({ "detail": [
        { "type": "missing", "loc": ["body", "file"], "msg": "Field required", "input": null },
    ] });
    for form in [
        Form::new().text("avatar", "x"),
        Form::new().part("File", Part::bytes(plain(RED))),
        Form::new().part("", Part::bytes(plain(RED)).file_name("file")),
        Form::new().part("file[]", Part::bytes(plain(RED)).file_name("a.png")),
    ] {
        send_form(&house, &ada, &path, form).await.is(422, missing.clone());
    }
    for (kind, body) in [
        ("application/json", br#"{"file":"x"}"#.to_vec()),
        ("application/x-www-form-urlencoded", b"file=x".to_vec()),
        ("image/png", plain(RED)),
        ("application/octet-stream", plain(RED)),
        ("", plain(RED)),
        ("multipart/form-data; boundary=x", b"--x--\r\n".to_vec()),
        (
            "multipart/mixed; boundary=x",
            b"--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nx\r\n--x--\r\n".to_vec(),
        ),
    ] {
        let request = house.by(&ada, "PATCH", &path).header("content-type", kind).body(body);
        answer(request).await.is(422, missing.clone());
    }
    answer(house.by(&ada, "PATCH", &path)).await.is(422, missing.clone());
    // With the fault of the path, both in one.
    let both = send_form(&house, &ada, "/api/contacts/x/avatar", Form::new().text("avatar", "x")).await;
    let unreadable = "Input should be a valid integer, unable to parse string as an integer";
    both.invalid(&[
        ("int_parsing", json!(["path", "contact_id"]), unreadable),
        ("missing", json!(["body", "file"]), "Field required"),
    ]);
    assert_eq!((kept(&house), all(&house, &ada).await), (0, json!([grace])));
}

#[tokio::test]
async fn a_form_that_breaks_off_or_has_no_boundary_is_refused() {
    let (house, ada, grace) = house_with_contact().await;
    let path = format!("{}/avatar", path(&grace));
    let head = b"--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\n\r\n".to_vec();
    let whole = [head.as_slice(), &plain(RED), b"\r\n--x--\r\n"].concat();
    let kind = "multipart/form-data; boundary=x";
    for (kind, body) in [
        ("multipart/form-data", whole.clone()),
        ("multipart/form-data; boundary=", whole.clone()),
        ("multipart/form-data; boundary=y", whole.clone()),
        (kind, Vec::new()),
        (kind, head.clone()),
        (kind, whole[..whole.len() - 9].to_vec()),
        (kind, whole[..40].to_vec()),
        (kind, b"--x\r\n\r\n\r\n".to_vec()),
        (kind, plain(RED)),
    ] {
        let request = house.by(&ada, "PATCH", &path).header("content-type", kind).body(body.clone());
        let refused = answer(request).await;
        let begin = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        assert_eq!(refused.status, 400, "{kind}, {} bytes, {begin:?}: {}", body.len(), refused.text);
        refused.refuses(400, "There was an error parsing the body");
    }
    let request = house.by(&ada, "PATCH", &path).header("content-type", kind).body(whole);
    assert_eq!(answer(request).await.status, 200);
}

#[tokio::test]
async fn an_upload_above_5_mib_is_too_large_and_one_below_is_not() {
    let (house, ada, grace) = house_with_contact().await;
    let mut bytes = plain(RED);
    bytes.resize(FIVE_MIB, 0);
    let (_, place) = dress(&house, &ada, &grace, bytes.clone()).await;
    assert!(shows(&house, &place, RED).await);
    bytes.push(0);
    upload(&house, &ada, &grace, bytes.clone()).await.refuses(413, "Request body is too large");
    // What stands around the file does not count, within reason.
    bytes.pop();
    let around = |len: usize, bytes: Vec<u8>| {
        Form::new().text("note", "x".repeat(len)).part("file", Part::bytes(bytes).file_name("a.png"))
    };
    let path = format!("{}/avatar", path(&grace));
    assert_eq!(send_form(&house, &ada, &path, around(60_000, bytes.clone())).await.status, 200);
    let refused = send_form(&house, &ada, &path, around(70_000, bytes)).await;
    refused.refuses(413, "Request body is too large");
    // Beside a small file there is room for as much as a large one takes.
    let small = send_form(&house, &ada, &path, around(FIVE_MIB, plain(BLUE))).await;
    assert_eq!(small.status, 200, "{}", small.text);
    assert_eq!(kept(&house), 1);
}

#[tokio::test]
async fn the_declared_type_and_the_name_of_a_file_count_for_nothing() {
    let (house, ada, grace) = house_with_contact().await;
    let path = format!("{}/avatar", path(&grace));
    let names = [
        "a.txt",
        "../../../../etc/passwd",
        "..\\satchel.db",
        "/etc/cron.d/x",
        "a.svg",
        "a.png%00.php",
        "",
        "é 茶.png",
        "a\"b.png",
    ];
    for (name, kind) in
        names.into_iter().zip(["text/plain", "image/svg+xml", "text/html", "x/y"].into_iter().cycle())
    {
        let part = Part::bytes(plain(RED)).file_name(name).mime_str(kind).unwrap();
        let taken = send_form(&house, &ada, &path, Form::new().part("file", part)).await;
        assert_eq!(taken.status, 200, "{name:?}: {}", taken.text);
        let address = taken.body["avatar"].as_str().unwrap();
        let place = address.strip_prefix(&house.server.app.config.public_url()).unwrap();
        let (_, headers, bytes) = look(&house, "GET", place).await;
        assert_eq!((&*headers["content-type"], &*headers["content-disposition"]), ("image/jpeg", "inline"));
        assert!(bytes.starts_with(b"\xFF\xD8\xFF"));
        assert_eq!(place.rsplit('/').next().unwrap().len(), 24, "{place}");
    }
    let before = all(&house, &ada).await;
    for (bytes, name, kind) in [
        (&b"Dear diary"[..], "a.png", "image/png"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "a.svg", "image/svg+xml"),
        (b"<!doctype html><script>alert(1)</script>", "a.jpg", "image/jpeg"),
    ] {
        let part = Part::bytes(bytes).file_name(name).mime_str(kind).unwrap();
        let refused = send_form(&house, &ada, &path, Form::new().part("file", part)).await;
        refused.refuses(415, "Unsupported image");
    }
    assert_eq!(all(&house, &ada).await, before);
}

#[tokio::test]
async fn what_is_no_picture_of_a_bearable_size_is_unsupported_and_nothing_is_kept() {
    let (house, ada, grace) = house_with_contact().await;
    let png = plain(RED);
    let gif = file(RgbImage::new(8, 8), ImageFormat::Gif);
    let screen = |size: [u8; 4]| [&gif[..6], &size, &gif[10..]].concat();
    // The sum over the header is not looked at before the size is.
    let promised = |width: u32, height: u32| {
        [&png[..16], &width.to_be_bytes(), &height.to_be_bytes(), &png[24..]].concat()
    };
    for (what, bytes) in [
        ("nothing", Vec::new()),
        ("a text", b"Dear diary".to_vec()),
        ("svg", b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>".to_vec()),
        ("pdf", b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n".to_vec()),
        (
            "bmp",
            [
                b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\x18\0".as_slice(),
                &[0; 32],
            ]
            .concat(),
        ),
        ("a program", b"\x7fELF\x02\x01\x01".to_vec()),
        ("an archive", b"PK\x03\x04\x14\0".to_vec()),
        ("half a PNG", png[..png.len() / 2].to_vec()),
        ("half a JPEG", file(RgbImage::new(64, 64), ImageFormat::Jpeg)[..200].to_vec()),
        ("the first bytes of a GIF", gif[..12].to_vec()),
        ("half a WebP", file(RgbImage::new(64, 64), ImageFormat::WebP)[..30].to_vec()),
        ("too wide", file(RgbImage::new(4097, 1), ImageFormat::Png)),
        ("too high", file(RgbImage::new(1, 4097), ImageFormat::Jpeg)),
        ("a bomb", promised(65_535, 65_535)),
        ("a larger bomb", promised(u32::MAX >> 1, u32::MAX >> 1)),
        ("no pixels", promised(0, 0)),
        ("a GIF bomb", screen([0xFF; 4])),
    ] {
        let refused = upload(&house, &ada, &grace, bytes).await;
        assert_eq!(refused.status, 415, "{what}: {}", refused.text);
        refused.refuses(415, "Unsupported image");
    }
    assert_eq!((kept(&house), all(&house, &ada).await), (0, json!([grace])));
    // The largest that is borne, which unpacks to a thousand times its file.
    let largest = file(image::GrayImage::new(4096, 4096), ImageFormat::Png);
    assert!(largest.len() < 1 << 20);
    dress(&house, &ada, &grace, largest).await;
}

#[tokio::test]
async fn nobody_gives_anothers_contact_a_picture_or_replaces_the_one_it_has() {
    let (house, ada, grace) = house_with_contact().await;
    let other = add(&house, &ada, contact("Alan Turing")).await;
    let (dressed, place) = dress(&house, &ada, &grace, plain(RED)).await;
    let ben = member(&house, "ben").await;
    let nobodys = json!({ "id": 999 });
    for contact in [&grace, &other, &nobodys] {
        // Whether it is a picture is not told of what is not his.
        for bytes in [plain(BLUE), b"Dear diary".to_vec()] {
            upload(&house, &ben, contact, bytes).await.refuses(404, "Contact was not found");
        }
        let missing = &[("missing", json!(["body", "file"]), "Field required")];
        let path = format!("{}/avatar", path(contact));
        send_form(&house, &ben, &path, Form::new().text("x", "x")).await.invalid(missing);
    }
    assert_eq!((kept(&house), all(&house, &ada).await), (1, json!([dressed, other])));
    assert!(shows(&house, &place, RED).await);
}

#[tokio::test]
async fn nothing_of_an_upload_but_its_pixels_is_shown_and_it_stands_upright() {
    let (house, ada, grace) = house_with_contact().await;
    let page = b"<script>alert(1)</script>";
    // Red above blue, taken with the camera lying on its side, at a place that is nobody's business.
    let mut exif = b"MM\0\x2a\0\0\0\x08\0\x02".to_vec();
    exif.extend([0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0]);
    exif.extend([0x01, 0x0E, 0, 2, 0, 0, 0, SECRET.len() as u8, 0, 0, 0, 38, 0, 0, 0, 0]);
    exif.extend(SECRET);
    let lying = RgbImage::from_fn(64, 64, |x, _| Rgb(if x < 32 { RED } else { BLUE }));
    let mut jpeg = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut jpeg, 95);
    encoder.set_exif_metadata(exif).unwrap();
    encoder.set_icc_profile(SECRET.to_vec()).unwrap();
    encoder.write_image(&lying, 64, 64, ExtendedColorType::Rgb8).unwrap();
    jpeg.extend(page);
    // A comment between the header and the pixels; of a text nobody checks the sum.
    let mut png = plain(RED);
    let text = [b"Comment\0".as_slice(), SECRET].concat();
    let sum = [0; 4];
    let chunk = [&(text.len() as u32).to_be_bytes(), b"tEXt".as_slice(), &text, &sum].concat();
    png.splice(33..33, chunk);
    let mut gif = file(RgbImage::from_pixel(9, 9, Rgb(RED)), ImageFormat::Gif);
    gif.extend(page);
    for (what, upload) in [("jpeg", jpeg), ("png", png), ("gif", gif)] {
        let (_, place) = dress(&house, &ada, &grace, upload).await;
        let (_, _, bytes) = look(&house, "GET", &place).await;
        for trace in [SECRET, page, b"Exif", b"ICC_PROFILE", b"tEXt", b"Comment"] {
            assert!(!bytes.windows(trace.len()).any(|window| window == trace), "{what} shows {trace:?}");
        }
        if what == "jpeg" {
            let shown = see(&house, &place).await;
            let (above, below) = (shown.get_pixel(125, 20).0, shown.get_pixel(125, 230).0);
            assert!(above[0] > 200 && below[2] > 200, "{above:?} above {below:?}");
        }
    }
}

#[tokio::test]
async fn a_backup_has_the_pictures() {
    let (house, ada, grace) = house_with_contact().await;
    let (_, place) = dress(&house, &ada, &grace, plain(RED)).await;
    let (_, _, bytes) = look(&house, "GET", &place).await;
    let copy = house.database().with_file_name("copy.db");
    satchel::db::backup::backup(&house.database(), &copy).unwrap();
    let sql = "select a.name, a.bytes, c.fullname from avatars a join contacts c on c.id = a.contact_id";
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let kept: (String, Vec<u8>, String) = connect(&copy).query_row(sql, [], row).unwrap();
    assert_eq!(kept, (place.rsplit('/').next().unwrap().into(), bytes, "Grace Hopper".into()));
}
