//! Weight: a request costs a small multiple of its size, and others go on being served meanwhile.

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::{read_out, status_of};
use crate::binary::{Place, Serving};
use crate::house::House;

/// Requests of hostile clients have so many bytes.
const HOSTILE_BYTES: usize = 500_000;
const HOSTILE_CLIENTS: usize = 8;
const ROUNDS: usize = 4;
/// What all hostile clients may add to the server's memory: six times what they send at one time.
const ADDED_MAX_KIB: u64 = (6 * HOSTILE_CLIENTS * HOSTILE_BYTES / 1024) as u64;

/// How long the health route may take beside them, in the middle. On a quiet machine it is a tenth of that, which
/// `cargo bench -- floods` measures.
const HEALTH_MAX: Duration = Duration::from_millis(500);

/// A line of `/proc/<id>/status`, in KiB.
fn memory_kib(server: &Serving, line: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let found = status.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(':'));
    found.unwrap().trim().trim_end_matches(" kB").parse().unwrap()
}

/// `before`, then as many of `piece` as there is room for with commas between them, then `after`.
fn filled(before: &str, piece: impl Fn(usize) -> String, between: &str, after: &str) -> String {
    let mut body = before.to_owned();
    let mut n = 0;
    while body.len() < HOSTILE_BYTES {
        body.push_str(&piece(n));
        body.push_str(between);
        n += 1;
    }
    body.truncate(body.len() - between.len());
    body + after
}

/// Requests whose parts are many and tiny: what is sent of a body, its type, and a name for it.
fn hostile() -> Vec<(&'static str, &'static str, &'static str, String)> {
    let json = "application/json";
    let (register, login) = ("/api/v1.0/auth/register", "/api/v1.0/auth/login");
    let many =
        |before: &str, piece: &'static str, after: &str| filled(before, |_| piece.to_owned(), ",", after);
    vec![
        ("an unknown list of objects", register, json, many("{\"x\":[", "{\"\":0}", "]}")),
        ("a known field with a list of objects", register, json, many("{\"email\":[", "{\"\":0}", "]}")),
        ("one field again and again", register, json, many("{", "\"email\":[[],[]]", "}")),
        ("no object", register, json, many("[", "[]", "]")),
        ("unknown fields", register, json, filled("{", |n| format!("\"{n}\":{{}}"), ",", "}")),
        (
            "a form of tiny fields",
            login,
            "application/x-www-form-urlencoded",
            filled("", |n| format!("{n:x}="), "&", ""),
        ),
        (
            "a multipart form of tiny parts",
            login,
            "multipart/form-data; boundary=x",
            filled(
                "",
                |n| format!("--x\r\nContent-Disposition: form-data; name={n}\r\n\r\n"),
                "\r\n",
                "--x--\r\n",
            ),
        ),
    ]
}

#[tokio::test]
async fn hostile_bodies_cost_a_small_multiple_of_their_size_which_is_given_back() {
    let place = Place::new();
    for (name, path, kind, body) in hostile() {
        let server = place.serve().await;
        let post = || server.request("POST", path).header("content-type", kind).body(body.clone());
        assert_eq!(server.get("/health").await.status, 200);
        let calm = memory_kib(&server, "VmRSS");
        let mut senders = JoinSet::new();
        for _ in 0..HOSTILE_CLIENTS {
            let requests: Vec<_> = (0..ROUNDS).map(|_| post()).collect();
            senders.spawn(async move {
                for request in requests {
                    let status = request.send().await.unwrap().status().as_u16();
                    assert!(matches!(status, 400 | 422), "{status}");
                }
            });
        }
        let mut waits = Vec::new();
        while !senders.is_empty() {
            let begun = Instant::now();
            assert_eq!(server.get("/health").await.status, 200);
            waits.push(begun.elapsed());
            tokio::time::sleep(Duration::from_millis(5)).await;
            while let Some(done) = senders.try_join_next() {
                done.unwrap();
            }
        }
        let (peak, after) = (memory_kib(&server, "VmHWM"), memory_kib(&server, "VmRSS"));
        waits.sort();
        let median = waits[waits.len() / 2];
        assert!(peak < calm + ADDED_MAX_KIB, "{name}: {calm} KiB, at most {peak}");
        assert!(after < calm + ADDED_MAX_KIB / 2, "{name}: {calm} KiB, then {after}");
        assert!(median < HEALTH_MAX, "{name}: {median:?}");
        server.stop().await;
    }
}

/// A connection from `127.0.0.<last>`.
async fn connect_from(house: &House, last: u8) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, last], 0))).unwrap();
    socket.connect(house.server.address).await.unwrap()
}

/// The head of a sign-up whose body comes in this framing, and of the whole connection.
fn head(framing: &str) -> String {
    format!(
        "POST /api/v1.0/auth/register HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Connection: close\r\n{framing}\r\n\r\n"
    )
}

/// The status of a sign-up with a body of so many bytes that is none, from `127.0.0.<last>`.
async fn post_from(house: &House, last: u8, bytes: usize, chunked: bool) -> Option<u16> {
    let mut stream = connect_from(house, last).await;
    let body = format!("{{\"x\":\"{}\"}}", "x".repeat(bytes - 8));
    let request = if chunked {
        format!("{}{bytes:x}\r\n{body}\r\n0\r\n\r\n", head("Transfer-Encoding: chunked"))
    } else {
        head(&format!("Content-Length: {bytes}")) + &body
    };
    let _ = stream.write_all(request.as_bytes()).await;
    status_of(&read_out(&mut stream).await.0)
}

/// Connections from `127.0.0.<last>` that have sent this and wait; what the server says to them.
async fn crowd(house: &House, last: u8, count: usize, sends: &[u8]) -> JoinSet<String> {
    let mut waiting = JoinSet::new();
    for _ in 0..count {
        let mut stream = connect_from(house, last).await;
        let sends = sends.to_vec();
        waiting.spawn(async move {
            let _ = stream.write_all(&sends).await;
            let mut buffer = [0; 1024];
            let read = stream.read(&mut buffer).await.unwrap_or(0);
            String::from_utf8_lossy(&buffer[..read]).to_ascii_lowercase()
        });
    }
    waiting
}

#[tokio::test]
async fn sockets_that_announce_a_large_body_and_send_a_byte_of_it_shut_nobody_out() {
    let house = House::new().await;
    for sends in [head("Content-Length: 524288") + "{", head("Transfer-Encoding: chunked") + "1\r\n{\r\n"] {
        let mut waiting = crowd(&house, 2, 80, sends.as_bytes()).await;
        for last in [3, 2] {
            assert_eq!(post_from(&house, last, 100_000, false).await, Some(422));
            assert_eq!(post_from(&house, last, 30, true).await, Some(422));
            assert_eq!(post_from(&house, last, 100_000, true).await, Some(422));
        }
        assert!(waiting.try_join_next().is_none(), "they wait");
    }
}

#[tokio::test]
async fn bodies_that_are_sent_by_halves_leave_room_for_other_addresses_and_for_small_ones() {
    let house = House::new().await;
    for framing in ["Content-Length: 524288", "Transfer-Encoding: chunked"] {
        let start = if framing.contains("chunked") { "80000\r\n" } else { "" };
        let sends = head(framing) + start + &"x".repeat(400_000);
        let mut waiting = crowd(&house, 2, 100, sends.as_bytes()).await;
        // Half of the room is 32 MiB, and each of them takes 400,000 bytes or up to 512 KiB.
        for _ in 84..100 {
            let said = waiting.join_next().await.unwrap().unwrap();
            assert!(said.starts_with("http/1.1 503 ") && said.contains("\r\nretry-after: 1\r\n"), "{said}");
        }
        assert_eq!(post_from(&house, 3, 300_000, false).await, Some(422));
        assert_eq!(post_from(&house, 3, 300_000, true).await, Some(422));
        assert_eq!(
            post_from(&house, 2, 8_192, false).await,
            Some(422),
            "for a small one there is always room"
        );
        // They hang up.
        waiting.shutdown().await;
        let freed = tokio::time::timeout(Duration::from_secs(20), async {
            while house.server.app.body_room.held() > 0 {
                tokio::task::yield_now().await;
            }
        });
        freed.await.expect("the room is free again");
        assert_eq!(post_from(&house, 2, 500_000, false).await, Some(422));
    }
}
