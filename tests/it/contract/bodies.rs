//! Bodies that are no good: no JSON, no object, no UTF-8, too large. None of them is our fault, none crashes.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::house::{Guest, House, answer, book};

fn not_json(offset: usize, error: &str) -> Value {
    json!({ "detail": [{
        "type": "json_invalid", "loc": ["body", offset], "msg": "JSON decode error", "input": {},
        "ctx": { "error": error },
    }] })
}

async fn post(house: &House, ada: &Guest, body: impl Into<Vec<u8>>) -> crate::house::Answer {
    let request = house.by(ada, "POST", "/api/v1.0/books").header("content-type", "application/json");
    answer(request.body(body.into())).await
}

#[tokio::test]
async fn what_is_no_json_is_told_with_its_place() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let whole = book("Dune").to_string();
    let name = "Expecting property name enclosed in double quotes";
    let mut others = Vec::new();
    for (body, offset, error) in [
        (b"{".to_vec(), 1, name),
        (b"x".to_vec(), 0, "Expecting value"),
        (b"{\"a\": ".to_vec(), 6, "Expecting value"),
        (b"{\"a\": \"b\\\"c\\".to_vec(), 6, "Unterminated string starting at"),
        (b"{\"a\": }".to_vec(), 6, "Expecting value"),
        (b"{\"pages\": NaN}".to_vec(), 10, "Expecting value"),
        (b"{\"pages\": Infinity}".to_vec(), 10, "Expecting value"),
        (b"{'a': 1}".to_vec(), 1, name),
        (b"{\"a\" 1}".to_vec(), 5, "Expecting ':' delimiter"),
        (b"{\"a\": 1 \"b\"}".to_vec(), 8, "Expecting ',' delimiter"),
        (b"{\n\"a\": 1,\n}".to_vec(), 10, "Illegal trailing comma before end of object"),
        (format!("{whole}x").into_bytes(), whole.len(), "Extra data"),
        (format!("{whole}{whole}").into_bytes(), whole.len(), "Extra data"),
        (format!("{whole}\0\0").into_bytes(), whole.len(), "Extra data"),
        (b"title=Dune".to_vec(), 1, "Expecting value"),
    ] {
        let found = post(&house, &ada, body.clone()).await;
        let shown = String::from_utf8_lossy(&body).into_owned();
        if (found.status, &found.body) != (422, &not_json(offset, error)) {
            others.push(format!("{shown}: {}, not {offset} {error}", found.text));
        }
    }
    assert!(others.is_empty(), "{others:#?}");
}

#[tokio::test]
async fn what_no_reader_of_json_can_hold_is_refused_and_breaks_nothing() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let whole = book("Dune").to_string();
    let number = |digits: &str| whole.replace("412", digits).into_bytes();
    let title = |bytes: &[u8]| {
        let (before, after) = whole.split_once("Dune").unwrap();
        [before.as_bytes(), bytes, after.as_bytes()].concat()
    };
    for (body, error) in [
        (number("1e400"), "Number out of range"),
        (number("-1e400"), "Number out of range"),
        (number(&"9".repeat(400)), "Number out of range"),
        (title(b"\xff\xfe"), "Invalid UTF-8"),
        (title(b"\xc0\xaf"), "Invalid UTF-8"),
        (title(b"\xed\xa0\x80"), "Invalid UTF-8"),
        (title(b"\\ud800"), "Invalid \\uXXXX escape"),
        (title(b"\\ud800\\u0041"), "Invalid \\uXXXX escape"),
        (title(b"\\udc00"), "Invalid \\uXXXX escape"),
        (title(b"\\x"), "Invalid \\escape"),
        (title(b"a\nb"), "Invalid control character at"),
        (title(b"a\0b"), "Invalid control character at"),
        ([b"[".repeat(100_000), b"]".repeat(100_000)].concat(), "Nested too deeply"),
        ([b"{\"a\":".repeat(10_000), b"1".to_vec(), b"}".repeat(10_000)].concat(), "Nested too deeply"),
    ] {
        let found = post(&house, &ada, body.clone()).await;
        let offset = found.body["detail"][0]["loc"][1].as_u64().unwrap_or_default();
        let shown = String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned();
        let expected = not_json(usize::try_from(offset).unwrap(), error);
        assert_eq!((found.status, &found.body), (422, &expected), "{shown}");
        assert!(usize::try_from(offset).unwrap() <= body.len());
    }
    for body in [title(b"\\u0000"), title(b"Dune\\u0000\\u0000")] {
        let sentence = "Value error, Text must not contain NUL characters";
        post(&house, &ada, body).await.invalid(&[("value_error", json!(["body", "title"]), sentence)]);
    }
    for digits in ["9223372036854775808", "18446744073709551616", "99999999999999999999999999", "1e30"] {
        let sentence = "Input should be less than or equal to 100000";
        let found = post(&house, &ada, number(digits)).await;
        found.invalid(&[("less_than_equal", json!(["body", "pages"]), sentence)]);
    }
    assert_eq!(post(&house, &ada, whole).await.status, 201);
}

#[tokio::test]
async fn no_body_and_null_are_missing_and_what_is_no_object_is_told_so() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let missing = json!({ "detail": [{
        "type": "missing", "loc": ["body"], "msg": "Field required", "input": null,
    }] });
    for body in ["", "null", " null "] {
        post(&house, &ada, body).await.is(422, missing.clone());
    }
    answer(house.by(&ada, "POST", "/api/v1.0/books")).await.is(422, missing);
    // A text alone may be a token that was sent without its field.
    let hidden = (json!("Dune"), json!("**********"));
    let shown = [json!([]), json!([book("Dune")]), json!(12), json!(1.5), json!(true)];
    for (body, input) in shown.into_iter().map(|body| (body.clone(), body)).chain([hidden]) {
        let entry = json!({
            "type": "model_attributes_type", "loc": ["body"], "input": input,
            "msg": "Input should be a valid dictionary or object to extract fields from",
        });
        post(&house, &ada, body.to_string()).await.is(422, json!({ "detail": [entry] }));
    }
}

#[tokio::test]
async fn forms_and_queries_that_are_no_utf8_are_refused_with_their_place() {
    let house = House::new().await;
    let text = "Input should be a valid string";
    let login = async |body: &'static str| {
        let request = house.request("POST", "/api/v1.0/auth/login");
        answer(request.header("content-type", "application/x-www-form-urlencoded").body(body)).await
    };
    login("username=%FF&password=%C0%AF").await.is(
        422,
        json!({ "detail": [
            { "type": "string_type", "loc": ["body", "username"], "msg": text, "input": null },
            { "type": "string_type", "loc": ["body", "password"], "msg": text, "input": null },
        ] }),
    );
    let found = login("username=a%00b&password=x").await;
    found.invalid(&[(
        "value_error",
        json!(["body", "username"]),
        "Value error, Text must not contain NUL characters",
    )]);
    for body in ["username=%zz&password=%", "username=a&password=a&username=b", "username=+&password=+&&=&=x"]
    {
        login(body).await.refuses(401, "Invalid email or password");
    }
    let whole = "Input should be a valid integer";
    house.get("/api/v1.0/books?limit=%FF").await.invalid(&[("int_type", json!(["query", "limit"]), whole)]);
}

#[tokio::test]
async fn a_multipart_form_that_breaks_off_is_unreadable() {
    let house = House::new().await;
    for (kind, body) in [
        ("multipart/form-data", "--x\r\n\r\n"),
        ("multipart/form-data; boundary=", "--\r\n"),
        (
            "multipart/form-data; boundary=x",
            "--x\r\nContent-Disposition: form-data; name=\"username\"\r\n\r\nada",
        ),
        ("multipart/form-data; boundary=x", "nothing"),
    ] {
        let request = house.request("POST", "/api/v1.0/auth/login");
        let found = answer(request.header("content-type", kind).body(body)).await;
        found.refuses(400, "There was an error parsing the body");
    }
}

/// Sends bytes as they are, and no more; the answer's first line and what follows its head.
async fn raw(house: &House, bytes: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(house.server.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut found = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).await.unwrap();
        found.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&found).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok()
            });
            if read == 0 || length.is_some_and(|length| body.len() >= length) {
                assert!(head.to_ascii_lowercase().contains("x-request-id: "), "{head}");
                return (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned());
            }
        }
        assert_ne!(read, 0, "the connection ended without an answer: {text}");
    }
}

fn head(path: &str, token: &str, rest: &str) -> String {
    let token = if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{token}{rest}\r\n\r\n"
    )
}

const TOO_LARGE: &str = r#"{"detail":"Request body is too large"}"#;
const LARGEST: usize = 524_288;

#[tokio::test]
async fn a_body_over_512_kibibytes_is_too_large_whether_announced_or_not() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let books = "/api/v1.0/books";
    let announced = head(books, &ada.access, &format!("Content-Length: {}", LARGEST + 1));
    assert_eq!(raw(&house, announced.as_bytes()).await, (413, TOO_LARGE.into()));
    let huge = head(books, &ada.access, "Content-Length: 99999999999999");
    assert_eq!(raw(&house, huge.as_bytes()).await, (413, TOO_LARGE.into()));
    let mut chunked = head(books, &ada.access, "Transfer-Encoding: chunked").into_bytes();
    chunked.extend_from_slice(format!("{:x}\r\n", LARGEST + 1).as_bytes());
    chunked.extend(vec![b' '; LARGEST + 1]);
    assert_eq!(raw(&house, &chunked).await, (413, TOO_LARGE.into()));
    for path in ["/api/v1.0/auth/register", "/api/v1.0/auth/login", "/api/v1.0/auth/refresh"] {
        let announced = head(path, "", &format!("Content-Length: {}", LARGEST + 1));
        assert_eq!(raw(&house, announced.as_bytes()).await, (413, TOO_LARGE.into()), "{path}");
    }
}

#[tokio::test]
async fn a_body_of_512_kibibytes_is_read() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let mut body = book("Dune").to_string();
    body.extend(std::iter::repeat_n(' ', LARGEST - body.len()));
    assert_eq!(post(&house, &ada, body.clone()).await.status, 201);
    let mut chunked = head("/api/v1.0/books", &ada.access, "Transfer-Encoding: chunked").into_bytes();
    chunked.extend_from_slice(format!("{LARGEST:x}\r\n{body}\r\n0\r\n\r\n").as_bytes());
    assert_eq!(raw(&house, &chunked).await.0, 201);
}

#[tokio::test]
async fn who_has_no_token_is_told_so_before_the_body_is_read() {
    let house = House::new().await;
    let not = (401, String::from(r#"{"detail":"Not authenticated"}"#));
    for path in ["/api/v1.0/books", "/api/v1.0/users/change-password", "/api/v1.0/users/admin/create"] {
        for rest in ["Content-Length: 5", "Content-Length: 99999999999999", "Transfer-Encoding: chunked"] {
            // The body never comes.
            assert_eq!(raw(&house, head(path, "", rest).as_bytes()).await, not, "{path} {rest}");
        }
        let request = house.request("POST", path).header("content-type", "application/json");
        answer(request.body("{ no json")).await.refuses(401, "Not authenticated");
    }
    let found = answer(house.request("PATCH", "/api/v1.0/books/x").body("{ no json")).await;
    found.refuses(401, "Not authenticated");
    let found = answer(house.request("PATCH", "/api/v1.0/users/admin/x/role?new_role=x")).await;
    found.refuses(401, "Not authenticated");
}
