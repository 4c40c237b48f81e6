//! Bodies that are answered before they are read: the answer reaches a client that is still sending.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{connect, read_out, status_of};
use crate::binary::PATIENCE;
use crate::house::{House, registration};

const SIZES: [usize; 3] = [64 * 1024, 6_000_000, 12_000_000];
/// Twice what an upload may have: so much is received and thrown away.
const DISCARDED_MAX: usize = 2 * 5 * 1024 * 1024;

fn post(path: &str, more: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{more}\r\n\r\n")
}

/// A whole request with so many bytes of a body that is no JSON.
fn request(path: &str, bytes: usize, is_chunked: bool) -> Vec<u8> {
    if !is_chunked {
        return [post(path, &format!("Content-Length: {bytes}")).into_bytes(), vec![b'x'; bytes]].concat();
    }
    let mut request = post(path, "Transfer-Encoding: chunked").into_bytes();
    for piece in vec![b'x'; bytes].chunks(60_000) {
        request.extend(format!("{:x}\r\n", piece.len()).into_bytes());
        request.extend(piece);
        request.extend(b"\r\n");
    }
    request.extend(b"0\r\n\r\n");
    request
}

/// Reads one answer to its end.
async fn read_answer(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    let read = async {
        while !said.ends_with(b"\r\n\r\n") {
            said.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(said).unwrap();
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        head + &String::from_utf8(body).unwrap()
    };
    timeout(PATIENCE, read).await.expect("it answers")
}

#[tokio::test]
async fn an_answer_arrives_however_large_the_body_is_that_nobody_read() {
    let house = House::new().await;
    for bytes in SIZES {
        for is_chunked in [false, true] {
            let mut stream = connect(&house).await;
            for (path, status) in
                [("/api/v1.0/books/", 401), ("/nowhere", 404), ("/api/v1.0/auth/register", 413)]
            {
                let status = if status == 413 && bytes < 524_288 { 422 } else { status };
                let what = format!("{path} with {bytes}, chunked: {is_chunked}");
                // All is sent before the first byte of the answer is looked for.
                stream.write_all(&request(path, bytes, is_chunked)).await.expect(&what);
                let said = read_answer(&mut stream).await;
                assert_eq!(status_of(&said), Some(status), "{what}: {said}");
                let closes = said.contains("\r\nconnection: close\r\n");
                if is_chunked {
                    // Nobody has told how long it is: it depends on how much has come when the answer leaves.
                    assert!(closes || bytes < DISCARDED_MAX, "{what}: {said}");
                } else {
                    assert_eq!(closes, bytes > DISCARDED_MAX, "{what}: {said}");
                }
                if closes {
                    assert_eq!(read_out(&mut stream).await, (String::new(), true), "{what}");
                    stream = connect(&house).await;
                }
            }
        }
    }
}

#[tokio::test]
async fn an_answer_to_a_broken_chunk_arrives_though_the_client_goes_on_sending() {
    let house = House::new().await;
    let mut stream = connect(&house).await;
    let mut request = post("/api/v1.0/auth/register", "Transfer-Encoding: chunked").into_bytes();
    request.extend(b"zz\r\n");
    request.extend(vec![b'x'; 12_000_000]);
    stream.write_all(&request).await.unwrap();
    let said = read_answer(&mut stream).await;
    assert_eq!(status_of(&said), Some(400), "{said}");
}

#[tokio::test]
async fn what_is_thrown_away_takes_room_from_nobody() {
    let house = House::new().await;
    let mut open = Vec::new();
    for _ in 0..20 {
        // More than is taken, and less than what is thrown away.
        let mut stream = connect(&house).await;
        stream
            .write_all(post("/api/v1.0/auth/register", "Transfer-Encoding: chunked").as_bytes())
            .await
            .unwrap();
        stream.write_all(b"200000\r\n").await.unwrap();
        stream.write_all(&vec![b'x'; 1_000_000]).await.unwrap();
        assert_eq!(status_of(&read_answer(&mut stream).await), Some(413));
        open.push(stream);
    }
    assert_eq!(house.server.app.body_room.held(), 0);
    for mut stream in open {
        stream.write_all(&vec![b'x'; 0x20_0000 - 1_000_000]).await.unwrap();
        stream.write_all(b"\r\n0\r\n\r\n").await.unwrap();
        assert_eq!(read_out(&mut stream).await, (String::new(), true));
    }
}

#[tokio::test]
async fn who_asks_before_sending_is_told_to_go_on_only_if_the_body_is_wanted() {
    let house = House::new().await;
    let ada = registration("ada").to_string();
    for framing in [format!("Content-Length: {}", ada.len()), "Transfer-Encoding: chunked".to_owned()] {
        let ask = format!("{framing}\r\nExpect: 100-continue");
        let mut stream = connect(&house).await;
        stream.write_all(post("/api/v1.0/books/", &ask).as_bytes()).await.unwrap();
        let said = read_answer(&mut stream).await;
        assert!(said.starts_with("HTTP/1.1 401 ") && said.contains("\r\nconnection: close\r\n"), "{said}");
        assert_eq!(read_out(&mut stream).await, (String::new(), true));

        let mut stream = connect(&house).await;
        stream.write_all(post("/api/v1.0/auth/register", &ask).as_bytes()).await.unwrap();
        let mut told = [0; 25];
        timeout(PATIENCE, stream.read_exact(&mut told)).await.expect("it asks for the body").unwrap();
        assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
        let body = if ask.contains("chunked") {
            format!("{:x}\r\n{ada}\r\n0\r\n\r\n", ada.len())
        } else {
            ada.clone()
        };
        stream.write_all(body.as_bytes()).await.unwrap();
        let said = read_answer(&mut stream).await;
        assert!(matches!(status_of(&said), Some(201 | 400)) && !said.contains("connection:"), "{said}");
    }
}

#[tokio::test]
async fn a_connection_whose_body_stays_away_is_not_kept_for_ever() {
    let house = House::new().await;
    let mut stream = connect(&house).await;
    stream.write_all(post("/api/v1.0/books/", "Content-Length: 9").as_bytes()).await.unwrap();
    assert_eq!(status_of(&read_answer(&mut stream).await), Some(401));
    let mut byte = [0];
    let begun = tokio::time::Instant::now();
    let end = timeout(PATIENCE, stream.read(&mut byte)).await.expect("it is closed").unwrap();
    assert_eq!(end, 0);
    assert!(begun.elapsed() > Duration::from_secs(8), "{:?}", begun.elapsed());
}
