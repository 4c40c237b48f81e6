//! Floods: what other clients' reads notice of those who abuse the server, what it answers them, and its memory.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;

use super::load::{BOOK, PASSWORD, ROUNDS, Requests, Server, Until, is_whole, median, request};

/// How long each flood is measured.
const SPAN: Duration = Duration::from_secs(5);

/// Measures the reads of others in calm and in each flood.
pub async fn run() {
    let server = Server::start(&mut super::satchel());
    let token = server.sign_in();
    let signed = format!("Authorization: Bearer {token}\r\n");
    let create = request("POST", "/api/v1.0/books/", &signed, "application/json", BOOK);
    server.drive(&create, Until::Count(1000)).await;
    // A page of a thousand of these is the largest that there is for strangers.
    let long = BOOK.replace(['D', 'F', 'C', 'E'], &"𝄞".repeat(240));
    let create_long = request("POST", "/api/v1.0/books/", &signed, "application/json", &long);
    server.drive(&create_long, Until::Count(1000)).await;
    let get = request("GET", "/v1/auth/me", &signed, "", "");
    server.drive(&get, Until::Time(SPAN)).await;
    println!("{:<40}{:>10}{:>9}{:>8}  answers", "flood", "reads/s", "of calm", "RSS MB");
    let show = |name: &str, reads: f64, share: f64, memory: f64, answers: String| {
        println!("{name:<40}{reads:>10.0}{share:>8.0}%{memory:>8.1}  {answers}");
    };
    let reads = async || server.drive(&get, Until::Time(SPAN)).await.rate;

    let form = format!("username=bench%40example.com&password={}", PASSWORD.replace(' ', "+"));
    let log_in = request("POST", "/api/v1.0/auth/login", "", "application/x-www-form-urlencoded", &form);
    let registrations = |round: u32| -> Requests {
        let one = |n: u32| {
            let user = format!(
                r#"{{"username":"f{round}_{n}","email":"f{round}_{n}@example.com","first_name":"F","last_name":"L","password":"{PASSWORD}"}}"#
            );
            request("POST", "/api/v1.0/auth/register", "", "application/json", &user)[0].clone()
        };
        (0..4000).map(one).collect()
    };
    let (seen, share, answers) = beside(&server, &get, |_| log_in.clone(), 2 * SPAN).await;
    show("log-ins over 32 connections", seen, share, server.memory_mb(), answers);
    let (seen, share, answers) = beside(&server, &get, registrations, 2 * SPAN).await;
    show("registrations over 32 connections", seen, share, server.memory_mb(), answers);

    println!();
    for (connections, name, flood) in [
        (48, "that sign up", registrations(ROUNDS)),
        (200, "with good log-ins", log_in.clone()),
        (2000, "that create books", create),
    ] {
        let (good, tried) = honest_log_ins(&server, connections, flood, &log_in).await;
        println!(
            "log-ins from another address beside {connections} connections {name}: {good} of {tried} are 200 (budget 90 %)"
        );
    }
    println!();

    let half = format!(
        "POST /api/v1.0/auth/register HTTP/1.1\r\nHost: bench\r\nContent-Length: 500000\r\n\r\n{}",
        "x".repeat(450_000)
    );
    let listing = request("GET", "/api/v1.0/books/?limit=1000", "", "", "")[0].repeat(50);
    let head = format!("GET /health HTTP/1.1\r\nHost: bench\r\nX: {}\r\n\r\n", "x".repeat(1_000_000));
    // Over again: what the first time took, the second time finds.
    for _ in 0..2 {
        for (name, count, addresses, sends) in [
            ("200 bodies of 500 KB that do not end", 200, 1, half.as_bytes()),
            ("200 that ask for 4 MB and read nothing", 200, 1, &*listing),
            ("the same from 10 addresses", 200, 10, &listing),
            ("9900 idle connections of 5 addresses", 9_900, 5, &[]),
            ("100 heads of 1 MB", 100, 1, head.as_bytes()),
        ] {
            let before = reads().await;
            let crowd = Crowd::gather(&server, count, addresses, sends).await;
            let flooded = reads().await;
            let memory = server.memory_mb();
            let small = honest(server.address, "?limit=3").await;
            let large = honest(server.address, "?limit=1000").await;
            let answers = crowd.leave().await;
            let calm = f64::midpoint(before, reads().await);
            show(name, flooded, 100.0 * flooded / calm, memory, answers);
            println!("{:40}  pages for others: {small} small ones, {large} large ones", "");
        }
    }
    println!("afterwards: {:.1} MB", server.memory_mb());
    hostile_bodies(&server).await;
}

/// So many clients send hostile bodies.
const HOSTILE: usize = 8;

/// Measures how long the health route takes in the middle beside clients whose bodies are full of tiny values, and
/// what of them stays in memory.
async fn hostile_bodies(server: &Server) {
    let health = request("GET", "/health", "", "", "");
    let many = |piece: &str| vec![piece; 500_000 / (piece.len() + 1)].join(",");
    println!(
        "{:<40}{:>14}{:>14}{:>9}{:>11}",
        "8 clients that send 500 KB of", "health p50 us", "sent/s", "RSS MB", "afterwards"
    );
    for (name, path, media_type, body) in [
        ("an unknown field", "register", "application/json", format!("{{\"x\":[{}]}}", many("{\"\":0}"))),
        ("a known field", "register", "application/json", format!("{{\"email\":[{}]}}", many("{\"\":0}"))),
        ("many fields", "register", "application/json", format!("{{{}}}", many("\"\":0"))),
        ("a form", "login", "application/x-www-form-urlencoded", many("a=").replace(',', "&")),
    ] {
        let hostile = request("POST", &format!("/api/v1.0/auth/{path}"), "", media_type, &body);
        let until = Until::Time(SPAN);
        let peak = async {
            let end = Instant::now() + SPAN;
            let mut peak = 0.0_f64;
            while Instant::now() < end {
                peak = peak.max(server.memory_mb());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            peak
        };
        let (health, sent, peak) = tokio::join!(
            server.drive_over(1, &health, until),
            server.drive_over(HOSTILE, &hostile, until),
            peak
        );
        let after = server.memory_mb();
        println!("{name:<40}{:>14}{:>14.0}{peak:>9.1}{after:>11.1}", health.p50_us, sent.rate);
    }
}

/// Drives reads alone and beside a flood, in turn and several times over; the flood is told which time it is. Their rate in the flood, how many percent of the calm one that is,
/// and how the flood was answered.
pub async fn beside(
    server: &Server,
    reads: &Requests,
    flood: impl Fn(u32) -> Requests,
    span: Duration,
) -> (f64, f64, String) {
    let slice = Until::Time(span / ROUNDS);
    let (mut calm, mut flooded, mut rates, mut refused) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for round in 0..ROUNDS {
        calm.push(server.drive(reads, slice).await.rate);
        let flood = flood(round);
        let (read, asked) = tokio::join!(server.drive(reads, slice), server.drive(&flood, slice));
        flooded.push(read.rate);
        rates.push(asked.rate);
        refused += asked.refused;
    }
    let (calm, flooded) = (median(calm), median(flooded));
    (flooded, 100.0 * flooded / calm, format!("{:.0}/s, of which {refused} not 2xx", median(rates)))
}

/// Tries to log in from another address, one time after the other, beside a flood over so many connections: how many of how
/// many tries succeeded.
async fn honest_log_ins(
    server: &Server,
    connections: usize,
    flood: Requests,
    log_in: &Requests,
) -> (usize, usize) {
    let end = Instant::now() + 2 * SPAN;
    let flooding: Vec<_> = (0..connections)
        .map(|n| tokio::task::spawn_local(post_until(server.address, [127, 0, 0, 2], flood.clone(), n, end)))
        .collect();
    // Until the queue is full.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let honest =
        post_until(server.address, [127, 0, 0, 3], log_in.clone(), 0, end - Duration::from_secs(1)).await;
    for one in flooding {
        let _ = one.await;
    }
    honest
}

/// Sends requests on one connection from this address, in turn: how many were answered 2xx, and how many at all.
async fn post_until(
    server: SocketAddr,
    from: [u8; 4],
    requests: Requests,
    first: usize,
    end: Instant,
) -> (usize, usize) {
    let socket = TcpSocket::new_v4().expect("a socket can be made");
    socket.bind((from, 0).into()).expect("every loopback address is ours");
    let mut stream = socket.connect(server).await.expect("it listens");
    let mut buffer = vec![0; 64 * 1024];
    let (mut good, mut all) = (0, 0);
    let mut next = first * 7919;
    while Instant::now() < end {
        stream.write_all(&requests[next % requests.len()]).await.expect("it reads");
        next += 1;
        let mut filled = 0;
        while !is_whole(&buffer[..filled]) {
            let read = stream.read(&mut buffer[filled..]).await.expect("it answers");
            assert!(read > 0, "the server closed a keep-alive connection");
            filled += read;
        }
        all += 1;
        good += usize::from(buffer[9] == b'2');
    }
    (good, all)
}

/// Connections that have sent something and wait.
struct Crowd(Vec<JoinHandle<Option<String>>>);

impl Crowd {
    /// So many, in turn from so many of the machine's own addresses.
    async fn gather(server: &Server, count: usize, addresses: usize, sends: &[u8]) -> Self {
        let sends: Rc<[u8]> = sends.into();
        let mut all = Vec::new();
        for n in 0..count {
            let from = 1 + u8::try_from(n % addresses).expect("they are few");
            all.push(tokio::task::spawn_local(one(server.address, from, sends.clone())));
            if n % 100 == 99 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        // Until the socket buffers of those who read nothing are full, their answers are made.
        tokio::time::sleep(Duration::from_secs(3)).await;
        Self(all)
    }

    /// Goes, and tells what the server has said: each status line and how often it came.
    async fn leave(self) -> String {
        let mut heard = BTreeMap::new();
        for one in self.0 {
            let said = if one.is_finished() {
                one.await.ok().flatten().unwrap_or_else(|| "cut off".into())
            } else {
                one.abort();
                "none yet".into()
            };
            *heard.entry(said).or_insert(0) += 1;
        }
        told(&heard)
    }
}

/// What twenty readers of a page of books hear, from an address that has no part in the flood.
async fn honest(address: SocketAddr, path: &str) -> String {
    let mut heard = BTreeMap::new();
    for _ in 0..20 {
        let mut stream = connect_from(99, address).await.expect("it listens");
        let ask = format!("GET /api/v1.0/books/{path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n");
        stream.write_all(ask.as_bytes()).await.expect("it reads");
        let mut said = Vec::new();
        stream.read_to_end(&mut said).await.expect("it answers");
        let status = String::from_utf8_lossy(said.get(9..12).unwrap_or(b"cut")).into_owned();
        *heard.entry(status).or_insert(0) += 1;
    }
    told(&heard)
}

/// Each thing that was heard and how often.
fn told(heard: &BTreeMap<String, usize>) -> String {
    heard.iter().map(|(said, times)| format!("{times} × {said}")).collect::<Vec<_>>().join(", ")
}

/// A connection from one of the machine's own addresses, `127.0.0.<last>`.
async fn connect_from(last: u8, address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, last], 0)))?;
    socket.connect(address).await
}

async fn one(address: SocketAddr, from: u8, sends: Rc<[u8]>) -> Option<String> {
    let mut stream = connect_from(from, address).await.ok()?;
    if stream.write_all(&sends).await.is_err() && sends.is_empty() {
        return None;
    }
    if sends.starts_with(b"GET /api") {
        // It never reads.
        std::future::pending::<()>().await;
    }
    let mut head = [0; 256];
    let read = stream.read(&mut head).await.ok()?;
    Some(String::from_utf8_lossy(&head[..read]).lines().next()?.to_owned())
}

/// Drives reads and writes of several APIs for so many seconds; the memory must not grow after the first minute.
pub async fn soak(seconds: f64) {
    let server = Server::start(&mut super::satchel());
    let token = server.sign_in();
    let signed = format!("Authorization: Bearer {token}\r\n");
    let json = "application/json";
    let mix: Requests = [
        request("GET", "/health", "", "", ""),
        request("GET", "/v1/auth/me", &signed, "", ""),
        request("POST", "/api/v1.0/books/", &signed, json, BOOK),
        request("GET", "/api/v1.0/books/?limit=20", "", "", ""),
        request("POST", "/v1/todos", &signed, json, r#"{"title":"Learn Rust"}"#),
        request("GET", "/v1/todos?page_size=20", &signed, "", ""),
        request(
            "POST",
            "/items",
            &signed,
            json,
            r#"{"name":"Tea","category":"Grocery","price_usd":1,"in_stock":true}"#,
        ),
        request("GET", "/items?limit=20", &signed, "", ""),
        request("PUT", "/users/balance", &signed, json, r#"{"amount":1}"#),
        request("GET", "/api/v1.0/books/nonsense", "", "", ""),
    ]
    .iter()
    .map(|one| one[0].clone())
    .collect();
    let begun = Instant::now();
    let mut peak = 0.0_f64;
    while begun.elapsed().as_secs_f64() < seconds {
        let load = server.drive(&mix, Until::Time(Duration::from_secs(30))).await;
        peak = peak.max(server.memory_mb());
        println!(
            "{:>5.0} s  {:>8.0} req/s  {:>7.1} MB",
            begun.elapsed().as_secs_f64(),
            load.rate,
            server.memory_mb()
        );
    }
    println!("peak {peak:.1} MB");
}
