//! Tests of connections: the sweeper's rules by a clock that is told, and a small server with little patience.

use bytes::Bytes;
use salvo::{Depot, FlowCtrl, Handler, Request, Response, Router, async_trait};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::task::JoinHandle;

use super::*;
use crate::budget::{Allotment, Budget};

/// Nothing here takes longer on a machine that is busy with something else.
const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(50);
const DISCARD_BYTES_MAX: usize = 1 << 20;

const ISSUED: Patience = Patience {
    head: Duration::from_secs(30),
    idle: Duration::from_secs(180),
    stall: Duration::from_secs(30),
    discard: Duration::from_secs(10),
    settle: Duration::from_millis(100),
    linger: Duration::from_secs(2),
};
const PATIENT: Patience =
    Patience { head: LONG, idle: LONG, stall: LONG, discard: LONG, settle: LONG, linger: LONG };

/// Goes through what the sweeper sees, as `(second, phase, requests, written)`; the first order and its second.
fn first_order(seen: &[(u64, Phase, u64, u64)]) -> Option<(u64, Order)> {
    let begun = Instant::now();
    let mut record = Record::new(begun);
    seen.iter().find_map(|&(second, phase, requests, written)| {
        let look = Look { phase, requests, written };
        Some((second, record.judge(look, begun + Duration::from_secs(second), &ISSUED)?))
    })
}

/// The same look in every second from one to another.
fn seconds(from: u64, to: u64, phase: Phase, requests: u64) -> Vec<(u64, Phase, u64, u64)> {
    (from..=to).map(|second| (second, phase, requests, 0)).collect()
}

#[test]
fn an_idle_connection_lives_for_three_minutes_and_each_request_gives_it_as_many_more() {
    assert_eq!(first_order(&seconds(0, 300, Phase::Idle, 0)), Some((180, Order::Finish)));
    let twice = [seconds(0, 179, Phase::Idle, 0), seconds(180, 500, Phase::Idle, 1)].concat();
    assert_eq!(first_order(&twice), Some((360, Order::Finish)));
}

#[test]
fn a_head_has_thirty_seconds_from_its_first_byte_however_long_the_wait_for_it_was() {
    let late = [seconds(0, 170, Phase::Idle, 3), seconds(171, 300, Phase::Beginning, 3)].concat();
    assert_eq!(first_order(&late), Some((201, Order::Refuse)));
    // Another head than a second ago.
    let many: Vec<_> = (0..300).map(|second| (second, Phase::Beginning, second, 0)).collect();
    assert_eq!(first_order(&many), None);
}

#[test]
fn a_request_that_is_being_answered_is_not_the_sweepers_affair() {
    assert_eq!(first_order(&seconds(0, 4000, Phase::Working, 1)), None);
}

#[test]
fn an_answer_must_move_eight_kilobytes_in_thirty_seconds() {
    let at =
        |rate: u64| -> Vec<_> { (0..200).map(|second| (second, Phase::Sending, 1, second * rate)).collect() };
    assert_eq!(first_order(&at(0)), Some((30, Order::Abort)));
    assert_eq!(first_order(&at(8 * 1024 / 40)), Some((30, Order::Abort)));
    assert_eq!(first_order(&at(8 * 1024 / 20)), None);
    let stuck: Vec<_> =
        (0..200).map(|second| (second, Phase::Sending, 1, (second * 4096).min(409_600))).collect();
    assert_eq!(first_order(&stuck), Some((130, Order::Abort)));
}

/// A body that holds room.
struct Held(Vec<u8>, #[expect(dead_code, reason = "held")] Option<Allotment>);

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Answers 4 MiB that hold room for as long as they are there.
struct Large(Budget);

#[async_trait]
impl Handler for Large {
    async fn handle(&self, request: &mut Request, _: &mut Depot, response: &mut Response, _: &mut FlowCtrl) {
        let bytes = 4 << 20;
        let peer = request.remote_addr().as_ipv4().map(|address| *address.ip()).unwrap();
        let room = self.0.take(IpAddr::from(peer).into(), bytes);
        response.body(Bytes::from_owner(Held(vec![b'x'; bytes], room)));
    }
}

/// Answers after a while.
struct Slow;

#[async_trait]
impl Handler for Slow {
    async fn handle(&self, _: &mut Request, _: &mut Depot, response: &mut Response, _: &mut FlowCtrl) {
        sleep(10 * SHORT).await;
        response.body("done");
    }
}

struct House {
    address: SocketAddr,
    budget: Budget,
    connections: Connections,
    serving: JoinHandle<()>,
}

impl House {
    async fn new(patience: Patience, settle: impl FnOnce(&mut Rules)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        prepare(&listener).unwrap();
        let address = listener.local_addr().unwrap();
        let budget = Budget::new(64 << 20);
        let router = Router::new()
            .push(Router::with_path("large").get(Large(budget.clone())))
            .push(Router::with_path("slow").goal(Slow));
        let mut rules = Rules {
            max: 100,
            max_per_network: 100,
            proxies: Networks::default(),
            discard_bytes_max: DISCARD_BYTES_MAX as u64,
            patience,
        };
        settle(&mut rules);
        let connections = Connections::new(rules);
        let open = connections.clone();
        let serving =
            tokio::spawn(async move { open.serve(vec![listener], Service::new(router), LONG).await });
        Self { address, budget, connections, serving }
    }

    /// A connection from one of the machine's own addresses.
    async fn connect_from(&self, last: u8) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, last], 0))).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !holds(self) {
            assert!(begun.elapsed() < LONG, "it takes too long: {what}");
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// All that comes until the connection is closed.
async fn rest(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    // It may be reset: then what came before counts.
    let _ = timeout(LONG, stream.read_to_end(&mut said)).await.expect("it is closed");
    String::from_utf8(said).unwrap()
}

/// Asks for a path and gives the first line of the answer; what comes later stays unread.
async fn ask(stream: &mut TcpStream, path: &str) -> String {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
    let mut head = [0; 15];
    timeout(LONG, stream.read_exact(&mut head)).await.expect("it answers").unwrap();
    String::from_utf8(head.into()).unwrap()
}

#[tokio::test]
async fn a_connection_that_waits_longer_than_a_head_may_take_is_still_served() {
    let house = House::new(Patience { head: SHORT, idle: LONG, stall: LONG, ..ISSUED }, |_| {}).await;
    let mut stream = house.connect_from(1).await;
    sleep(6 * SHORT).await;
    assert_eq!(ask(&mut stream, "/nowhere").await, "HTTP/1.1 404 No");
    sleep(6 * SHORT).await;
    stream.write_all(b"GET /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    assert!(rest(&mut stream).await.contains("HTTP/1.1 404 "));
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_the_end() {
    let house = House::new(Patience { head: LONG, idle: 10 * SHORT, stall: LONG, ..ISSUED }, |_| {}).await;
    let mut fresh = house.connect_from(1).await;
    assert_eq!(rest(&mut fresh).await, "");
    let mut used = house.connect_from(1).await;
    assert_eq!(ask(&mut used, "/nowhere").await, "HTTP/1.1 404 No");
    rest(&mut used).await;
    house.until("places come back", |house| house.connections.by_network().is_empty()).await;
}

#[tokio::test]
async fn a_head_that_does_not_end_is_told_so_and_closed() {
    let house = House::new(Patience { head: SHORT, idle: LONG, stall: LONG, ..ISSUED }, |_| {}).await;
    let mut stream = house.connect_from(1).await;
    stream.write_all(b"GET /nowhere HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 408 Request Timeout\r\n"));
}

#[tokio::test]
async fn a_long_piece_of_work_is_waited_for() {
    let house = House::new(Patience { head: SHORT, idle: LONG, stall: SHORT, ..ISSUED }, |_| {}).await;
    let mut stream = house.connect_from(1).await;
    assert_eq!(ask(&mut stream, "/slow").await, "HTTP/1.1 200 OK");
}

#[tokio::test]
async fn an_answer_that_nobody_reads_is_cut_off_and_its_room_comes_back() {
    let house = House::new(Patience { head: LONG, idle: LONG, stall: 10 * SHORT, ..ISSUED }, |_| {}).await;
    let mut streams = Vec::new();
    for _ in 0..5 {
        let mut stream = house.connect_from(1).await;
        assert_eq!(ask(&mut stream, "/large").await, "HTTP/1.1 200 OK");
        streams.push(stream);
    }
    house.until("room comes back", |house| house.budget.held() == 0).await;
    house.until("places come back", |house| house.connections.by_network().is_empty()).await;
    for mut stream in streams {
        let mut said = Vec::new();
        let _ = timeout(LONG, stream.read_to_end(&mut said)).await.expect("it is closed");
        assert!(said.len() < 4 << 20, "the answer was cut off");
    }
}

#[tokio::test]
async fn bytes_hold_their_room_until_the_last_of_them_has_left() {
    let house = House::new(PATIENT, |_| {}).await;
    let mut stream = house.connect_from(1).await;
    assert_eq!(ask(&mut stream, "/large").await, "HTTP/1.1 200 OK");
    sleep(SHORT).await;
    assert_eq!(house.budget.held(), 4 << 20);
    let mut read = 15;
    let mut buffer = vec![0; 1 << 16];
    while read < 4 << 20 {
        read += timeout(LONG, stream.read(&mut buffer)).await.expect("it goes on").unwrap();
    }
    house.until("room comes back", |house| house.budget.held() == 0).await;
}

#[tokio::test]
async fn one_address_has_its_share_of_the_connections_and_others_find_room() {
    let house = House::new(PATIENT, |rules| rules.max_per_network = 2).await;
    let (mut first, mut second) = (house.connect_from(2).await, house.connect_from(2).await);
    for stream in [&mut first, &mut second] {
        assert_eq!(ask(stream, "/nowhere").await, "HTTP/1.1 404 No");
    }
    assert_eq!(rest(&mut house.connect_from(2).await).await, "", "closed at once");
    assert_eq!(ask(&mut house.connect_from(3).await, "/nowhere").await, "HTTP/1.1 404 No");
    drop(first);
    house
        .until("a place comes back", |house| {
            house.connections.by_network().get(&IpAddr::from([127, 0, 0, 2]).into()) == Some(&1)
        })
        .await;
    assert_eq!(ask(&mut house.connect_from(2).await, "/nowhere").await, "HTTP/1.1 404 No");
}

#[tokio::test]
async fn a_trusted_proxy_is_not_held_to_the_share_of_an_address() {
    let house = House::new(PATIENT, |rules| {
        rules.max_per_network = 1;
        rules.proxies = Networks(vec!["127.0.0.2".parse().unwrap()]);
    })
    .await;
    let mut open = Vec::new();
    for _ in 0..5 {
        let mut stream = house.connect_from(2).await;
        assert_eq!(ask(&mut stream, "/nowhere").await, "HTTP/1.1 404 No");
        open.push(stream);
    }
}

#[tokio::test]
async fn closing_lets_nobody_in_and_finishes_what_is_in_flight_even_when_all_places_are_taken() {
    let house = House::new(PATIENT, |rules| rules.max = 2).await;
    let _idle = house.connect_from(1).await;
    let mut busy = house.connect_from(1).await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let is_working = |(open, _): &(Weak<Connection>, Record)| {
        open.upgrade().is_some_and(|connection| connection.look().phase == Phase::Working)
    };
    house.until("the request is in", |house| house.connections.open().iter().any(is_working)).await;
    house.connections.close();
    assert!(rest(&mut busy).await.ends_with("done"));
    timeout(LONG, house.serving).await.expect("it ends").unwrap();
    assert!(TcpStream::connect(house.address).await.is_err());
}

/// What a client sends of a body that nobody reads: the head, and pieces that come one after the other.
fn unread(bytes: usize, is_chunked: bool, more: &str) -> (String, Vec<u8>) {
    let framing =
        if is_chunked { "transfer-encoding: chunked".to_owned() } else { format!("content-length: {bytes}") };
    let mut body = vec![b'x'; bytes];
    if is_chunked {
        body = [format!("{bytes:x}\r\n").as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
    }
    (format!("POST /nowhere HTTP/1.1\r\nhost: x\r\n{framing}\r\n{more}\r\n"), body)
}

/// The head of an answer, in lower case; its body is read as well.
async fn next_answer(stream: &mut TcpStream) -> String {
    let mut said = String::new();
    while !said.ends_with("\r\n\r\n") {
        said.push(char::from(timeout(LONG, stream.read_u8()).await.expect("it answers").unwrap()));
    }
    said.make_ascii_lowercase();
    let length =
        said.lines().find_map(|line| line.strip_prefix("content-length: ")).map(|text| text.parse().unwrap());
    stream.read_exact(&mut vec![0; length.unwrap_or(0)]).await.unwrap();
    said
}

#[tokio::test]
async fn a_body_that_nobody_reads_is_thrown_away_and_the_connection_goes_on() {
    let house = House::new(PATIENT, |_| {}).await;
    for is_chunked in [false, true] {
        let mut stream = house.connect_from(1).await;
        for bytes in [1, 64 << 10, DISCARD_BYTES_MAX] {
            let (head, body) = unread(bytes, is_chunked, "");
            stream.write_all(head.as_bytes()).await.unwrap();
            if is_chunked {
                stream.write_all(&body).await.unwrap();
            }
            let answer = next_answer(&mut stream).await;
            assert!(answer.starts_with("http/1.1 404 ") && !answer.contains("connection:"), "{answer}");
            if !is_chunked {
                stream.write_all(&body).await.unwrap();
            }
        }
        // Without waiting for answers, too.
        let (head, body) = unread(64 << 10, is_chunked, "");
        stream.write_all(&[head.as_bytes(), &body].concat().repeat(3)).await.unwrap();
        for _ in 0..3 {
            assert!(next_answer(&mut stream).await.starts_with("http/1.1 404 "));
        }
        assert_eq!(ask(&mut stream, "/slow").await, "HTTP/1.1 200 OK");
    }
}

#[tokio::test]
async fn a_connection_is_as_idle_after_a_body_that_nobody_read_as_after_another() {
    let house = House::new(Patience { head: SHORT, ..PATIENT }, |_| {}).await;
    let mut stream = house.connect_from(1).await;
    let (head, body) = unread(64 << 10, false, "");
    stream.write_all(head.as_bytes()).await.unwrap();
    next_answer(&mut stream).await;
    for piece in body.chunks(8 << 10) {
        sleep(SHORT).await;
        stream.write_all(piece).await.unwrap();
    }
    sleep(6 * SHORT).await;
    assert_eq!(ask(&mut stream, "/slow").await, "HTTP/1.1 200 OK");
    let mut stream = house.connect_from(1).await;
    stream.write_all(&[head.as_bytes(), &body, b"GET "].concat()).await.unwrap();
    next_answer(&mut stream).await;
    sleep(6 * SHORT).await;
    stream.write_all(b"/slow").await.unwrap();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 408 "), "and the next head has its time");
}

#[tokio::test]
async fn a_body_that_is_too_much_ends_the_connection_by_halves_so_that_the_answer_arrives() {
    let house = House::new(PATIENT, |_| {}).await;
    let (head, body) = unread(DISCARD_BYTES_MAX + 1, false, "");
    let mut stream = house.connect_from(1).await;
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = next_answer(&mut stream).await;
    assert!(answer.starts_with("http/1.1 404 ") && answer.contains("\r\nconnection: close\r\n"), "{answer}");
    assert_eq!(rest(&mut stream).await, "", "the answer is all, and its end is told");
    for piece in body.chunks(64 << 10) {
        stream.write_all(piece).await.expect("what is still sent is taken");
        sleep(Duration::from_millis(5)).await;
    }
    stream.shutdown().await.unwrap();
    house.until("places come back", |house| house.connections.by_network().is_empty()).await;
}

#[tokio::test]
async fn an_answer_waits_a_moment_for_the_end_of_a_chunked_body_and_says_whether_the_connection_goes_on() {
    let house = House::new(Patience { settle: SHORT, ..PATIENT }, |_| {}).await;
    for bytes in [64 << 10, 4 * DISCARD_BYTES_MAX] {
        let (head, body) = unread(bytes, true, "");
        let mut stream = house.connect_from(1).await;
        stream.write_all(head.as_bytes()).await.unwrap();
        let answer = next_answer(&mut stream).await;
        assert!(
            answer.starts_with("http/1.1 404 ") && answer.contains("\r\nconnection: close\r\n"),
            "{answer}"
        );
        stream.write_all(&body).await.expect("all of it is taken");
        assert_eq!(rest(&mut stream).await, "");
    }
    house.until("places come back", |house| house.connections.by_network().is_empty()).await;
}

#[tokio::test]
async fn a_client_that_keeps_the_rest_of_its_body_has_its_time_and_no_more() {
    let house =
        House::new(Patience { discard: 10 * SHORT, settle: SHORT, linger: SHORT, ..PATIENT }, |_| {}).await;
    let mut open = Vec::new();
    for (bytes, is_chunked) in
        [(9, false), (9, true), (DISCARD_BYTES_MAX, false), (DISCARD_BYTES_MAX + 1, false)]
    {
        let (head, body) = unread(bytes, is_chunked, "");
        let mut stream = house.connect_from(1).await;
        stream.write_all(&[head.as_bytes(), &body[..5]].concat()).await.unwrap();
        assert!(next_answer(&mut stream).await.starts_with("http/1.1 404 "));
        open.push(stream);
    }
    for stream in &mut open {
        assert_eq!(rest(stream).await, "");
    }
    house.until("places come back", |house| house.connections.by_network().is_empty()).await;
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_is_answered_and_not_asked_for_more() {
    let house = House::new(PATIENT, |_| {}).await;
    for is_chunked in [false, true] {
        let (head, body) = unread(64 << 10, is_chunked, "expect: 100-continue\r\n");
        let mut stream = house.connect_from(1).await;
        stream.write_all(head.as_bytes()).await.unwrap();
        let answer = next_answer(&mut stream).await;
        assert!(
            answer.starts_with("http/1.1 404 ") && answer.contains("\r\nconnection: close\r\n"),
            "{answer}"
        );
        assert_eq!(rest(&mut stream).await, "");
        // Some clients send it all the same.
        stream.write_all(&body).await.unwrap();
    }
}

#[tokio::test]
async fn an_answer_to_a_head_that_is_none_arrives_while_the_client_is_sending() {
    let house = House::new(PATIENT, |_| {}).await;
    for _ in 0..20 {
        let mut stream = house.connect_from(1).await;
        let head = format!("GET /nowhere HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "x".repeat(4 << 20));
        stream.write_all(head.as_bytes()).await.expect("all of it is taken");
        assert!(next_answer(&mut stream).await.starts_with("http/1.1 431 "));
        assert_eq!(rest(&mut stream).await, "");
    }
}

#[tokio::test]
async fn closing_waits_for_no_body_that_nobody_reads() {
    let house = House::new(Patience { discard: 10 * LONG, linger: SHORT, ..PATIENT }, |_| {}).await;
    let (head, body) = unread(64 << 10, false, "");
    let mut stream = house.connect_from(1).await;
    stream.write_all(&[head.as_bytes(), &body[..9]].concat()).await.unwrap();
    next_answer(&mut stream).await;
    let mut slow = house.connect_from(1).await;
    let (head, _) = unread(64 << 10, false, "");
    slow.write_all(head.replace("/nowhere", "/slow").as_bytes()).await.unwrap();
    let is_working = |(open, _): &(Weak<Connection>, Record)| {
        open.upgrade().is_some_and(|connection| connection.is_busy.load(Relaxed))
    };
    house.until("the request is in", |house| house.connections.open().iter().any(is_working)).await;
    house.connections.close();
    assert_eq!(rest(&mut stream).await, "");
    let answer = next_answer(&mut slow).await;
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    assert_eq!(rest(&mut slow).await, "");
    timeout(LONG / 2, house.serving).await.expect("it ends").unwrap();
}
