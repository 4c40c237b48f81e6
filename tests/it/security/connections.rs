//! Connections: which protocol they speak, and how many one address may have.

use std::net::SocketAddr;

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use super::{read_out, say, status_of};
use crate::house::{House, answer};

/// A connection from one of the machine's own addresses, `127.0.0.<last>`.
pub async fn connect_from(last: u8, address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, last], 0))).unwrap();
    socket.connect(address).await.unwrap()
}

/// A client of HTTP/2 that takes windows of 0 and sends a PING now and then held the answers that it asked for, for ever.
#[tokio::test]
async fn http_2_without_tls_is_not_spoken() {
    let house = House::new().await;
    let settings = b"\0\0\0\x04\0\0\0\0\0";
    let (said, closed) =
        say(&house, [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), settings].concat()).await;
    assert!(closed, "{said:?}");
    assert!(status_of(&said).is_none_or(|status| status == 400), "{said:?}");
    assert!(!said.starts_with("\0\0"), "it answers with a frame: {said:?}");
}

#[tokio::test]
async fn an_upgrade_to_http_2_is_not_taken_and_the_request_is_answered() {
    let house = House::new().await;
    let upgrade =
        "Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__";
    let (said, _) = say(&house, format!("GET /health HTTP/1.1\r\nHost: x\r\n{upgrade}\r\n\r\n")).await;
    assert_eq!(status_of(&said), Some(200), "{said}");
    assert!(said.ends_with(r#"{"status":"ok"}"#), "{said}");
}

#[tokio::test]
async fn an_address_that_holds_its_share_of_the_connections_leaves_room_for_others() {
    let house = House::with(|config| config.server.max_connections = 8).await;
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(connect_from(2, house.server.address).await);
    }
    answer(house.request("GET", "/health")).await.is(200, json!({ "status": "ok" }));
    let mut refused = 0;
    for stream in &mut held {
        // What is closed already takes nothing.
        let asked = stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        let (said, closed) = read_out(stream).await;
        assert!(closed);
        refused += usize::from(asked.is_err() || said.is_empty());
    }
    assert_eq!(refused, 18, "a quarter of eight are let in");
}
