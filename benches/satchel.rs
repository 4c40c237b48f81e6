//! The bench: starts the server on a fresh data directory, drives its routes over 32 connections, and prints
//! what each costs beside its budget. `cargo bench` runs it in about a minute; `cargo bench -- 10` gives each
//! route 10 seconds instead of 3.
//!
//! CPU time is the server process's own, from `/proc`. Machines differ, and so do hours of one machine: the
//! budgets were set where a bare salvo that says hello costs 9 µs a request, so the run measures one, too, and
//! gives each cost as a multiple of it beside the budget's. Rates and latencies share the machine with this
//! client, which runs on one thread.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream as Blocking};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use salvo::conn::tcp::TcpAcceptor;
use salvo::{Router, handler};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

/// Keep-alive connections of every measurement.
const CONNECTIONS: usize = 32;
/// Rows at least in the lists that are read.
const ROWS: usize = 10_000;
/// Linux counts CPU time in ticks of this many microseconds.
const TICK_US: f64 = 10_000.0;
const PASSWORD: &str = "correct horse battery staple";

/// What a bare hello cost where the budgets were set, in µs.
const HELLO_BUDGET_US: f64 = 9.0;
/// With this in its environment the bench is the bare server.
const BARE: &str = "SATCHEL_BENCH_BARE";

fn main() {
    if std::env::var_os(BARE).is_some() {
        return bare_server();
    }
    let seconds = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(3.0);
    let span = Duration::from_secs_f64(seconds);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    LocalSet::new().block_on(&runtime, bench(span));
}

/// The least that the edge can cost: one route that says what `/health` says, with nothing around it.
fn bare_server() {
    #[handler]
    async fn hello() -> &'static str {
        r#"{"status":"ok"}"#
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        println!("http://{}", listener.local_addr().expect("it is bound"));
        let acceptor = TcpAcceptor::try_from(listener).expect("it listens");
        salvo::Server::new(acceptor).serve(Router::with_path("health").get(hello)).await;
    });
}

async fn bench(span: Duration) {
    let bare =
        Server::start(Command::new(std::env::current_exe().expect("this program has a path")).env(BARE, "1"));
    let hello = bare.drive(&request("GET", "/health", "", "", ""), Until::Time(span)).await;
    drop(bare);
    let server =
        Server::start(Command::new(env!("CARGO_BIN_EXE_satchel")).args(["--port", "0", "--data", "data"]));
    let idle = server.memory_mb();
    let token = server.sign_in();
    let signed = format!("Authorization: Bearer {token}\r\n");
    let book = r#"{"title":"Dune","author":"Frank Herbert","publisher":"Chilton Books","publish_date":"1965-08-01","pages":412,"language":"English"}"#;
    let create = request("POST", "/api/v1.0/books/", &signed, "application/json", book);
    let first = server.once(&create);
    let uuid = first
        .split("\"uuid\":\"")
        .nth(1)
        .and_then(|rest| rest.get(..36))
        .expect("a book has an id")
        .to_owned();
    let path = format!("/api/v1.0/books/{uuid}");
    let log_in = format!("username=bench%40example.com&password={}", PASSWORD.replace(' ', "+"));
    let log_in = request("POST", "/api/v1.0/auth/login", "", "application/x-www-form-urlencoded", &log_in);
    let get_book = request("GET", &path, "", "", "");

    println!(
        "{:<32}{:>9}{:>8}{:>8}{:>11}{:>8}{:>9}{:>8}",
        "work", "req/s", "p50 µs", "p99 µs", "CPU µs/req", "budget", "x hello", "budget"
    );
    let show = |name: &str, found: &Load, budget: Option<f64>| {
        let told =
            |budget: Option<f64>, digits| budget.map_or(String::from("-"), |us| format!("{us:.digits$}"));
        println!(
            "{name:<32}{:>9.0}{:>8}{:>8}{:>11.1}{:>8}{:>9.2}{:>8}",
            found.rate,
            found.p50_us,
            found.p99_us,
            found.cpu_us,
            told(budget, 0),
            found.cpu_us / hello.cpu_us,
            told(budget.map(|budget| budget / HELLO_BUDGET_US), 2),
        );
        if found.refused > 0 {
            println!("  of which answered other than 2xx: {}", found.refused);
        }
    };

    show("a bare salvo's hello", &hello, Some(HELLO_BUDGET_US));
    let health = server.drive(&request("GET", "/health", "", "", ""), Until::Time(span)).await;
    show("health", &health, Some(14.0));
    let calm = server.drive(&get_book, Until::Time(span)).await;
    show("get one book", &calm, Some(28.0));
    let own = request("GET", "/api/v1.0/users/me", &signed, "", "");
    show("get one's profile, signed in", &server.drive(&own, Until::Time(span)).await, None);
    let created = server.drive(&create, Until::Time(span)).await;
    show("create a book, durable", &created, Some(35.0));
    server.drive(&create, Until::Count(ROWS)).await;
    let update = request("PATCH", &path, &signed, "application/json", r#"{"pages":500}"#);
    show("update a book, durable", &server.drive(&update, Until::Time(span)).await, Some(40.0));
    let list = request("GET", "/api/v1.0/books/?limit=20", "", "", "");
    show("list 20 books of 10,000 or more", &server.drive(&list, Until::Time(span)).await, Some(60.0));
    let todo = r#"{"title":"Learn Rust","description":"Read the book","priority":"high"}"#;
    let create = request("POST", "/v1/todos", &signed, "application/json", todo);
    show("create a todo, durable", &server.drive(&create, Until::Time(span)).await, Some(35.0));
    server.drive(&create, Until::Count(ROWS)).await;
    let get = request("GET", "/v1/todos/1", &signed, "", "");
    show("get a todo, owner checked", &server.drive(&get, Until::Time(span)).await, Some(28.0));
    let list = request("GET", "/v1/todos?page_size=20", &signed, "", "");
    show("list 20 todos of 10,000 or more", &server.drive(&list, Until::Time(span)).await, Some(60.0));
    let item = r#"{"name":"Green tea","category":"Grocery","price_usd":19.99,"in_stock":true}"#;
    let create = request("POST", "/items", &signed, "application/json", item);
    server.drive(&create, Until::Count(ROWS)).await;
    let list = request("GET", "/items?limit=20", &signed, "", "");
    show("list 20 items of 10,000 or more", &server.drive(&list, Until::Time(span)).await, Some(60.0));
    let list = request("GET", "/items", &signed, "", "");
    show("list items (100, as unasked)", &server.drive(&list, Until::Time(span)).await, None);
    show("log in", &server.drive(&log_in, Until::Time(span)).await, None);

    let again = server.drive(&get_book, Until::Time(span)).await;
    let (flooded, flood) =
        tokio::join!(server.drive(&get_book, Until::Time(span)), server.drive(&log_in, Until::Time(span)));
    show("get one book, calm, again", &again, None);
    show("get one book in a log-in flood", &flooded, None);
    println!("reads during the flood: {:.0} % of calm (budget 80 %)", 100.0 * flooded.rate / again.rate);
    println!("log-ins in the flood: {:.0}/s, refused as busy: {}", flood.rate, flood.refused);
    println!("first answer: {:.0} ms (budget 50)", server.first_answer.as_secs_f64() * 1e3);
    println!(
        "resident memory: idle {idle:.1} MB (budget 20), after the load {:.1} MB (budget 60)",
        server.memory_mb()
    );
    println!("binary: {:.1} MB (budget 25)", binary_mb());
}

fn binary_mb() -> f64 {
    std::fs::metadata(env!("CARGO_BIN_EXE_satchel")).map_or(0.0, |file| file.len() as f64 / 1e6)
}

fn request(method: &str, path: &str, headers: &str, media_type: &str, body: &str) -> Rc<[u8]> {
    let length = if body.is_empty() {
        String::new()
    } else {
        format!("Content-Type: {media_type}\r\nContent-Length: {}\r\n", body.len())
    };
    format!("{method} {path} HTTP/1.1\r\nHost: bench\r\n{headers}{length}\r\n{body}").into_bytes().into()
}

/// How long to drive.
#[derive(Clone, Copy)]
enum Until {
    Time(Duration),
    Count(usize),
}

/// What driving one request over all connections came to.
struct Load {
    rate: f64,
    p50_us: u128,
    p99_us: u128,
    cpu_us: f64,
    refused: usize,
}

/// The server as a child process on a data directory of its own.
struct Server {
    child: Child,
    address: SocketAddr,
    first_answer: Duration,
    _dir: TempDir,
}

impl Server {
    /// Starts a server that says on its first line where it listens, in a directory of its own.
    fn start(command: &mut Command) -> Self {
        let dir = TempDir::new().expect("a directory can be made");
        let begun = Instant::now();
        let mut child = command
            .current_dir(dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("stdout is piped"))
            .read_line(&mut line)
            .expect("it says where");
        let address =
            line.trim().rsplit("http://").next().and_then(|at| at.parse().ok()).expect("an address");
        let mut server = Self { child, address, first_answer: Duration::ZERO, _dir: dir };
        server.once(&request("GET", "/health", "", "", ""));
        server.first_answer = begun.elapsed();
        server
    }

    /// Registers and signs in; the access token.
    fn sign_in(&self) -> String {
        let user = format!(
            r#"{{"username":"bench","email":"bench@example.com","first_name":"B","last_name":"B","password":"{PASSWORD}"}}"#
        );
        self.once(&request("POST", "/api/v1.0/auth/register", "", "application/json", &user));
        let form = format!("username=bench%40example.com&password={}", PASSWORD.replace(' ', "+"));
        let tokens = self.once(&request(
            "POST",
            "/api/v1.0/auth/login",
            "",
            "application/x-www-form-urlencoded",
            &form,
        ));
        tokens
            .split("\"access_token\":\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next())
            .expect("a token")
            .to_owned()
    }

    /// Sends one request on a connection of its own and gives the whole answer.
    fn once(&self, request: &[u8]) -> String {
        let mut stream = Blocking::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time limit can be set");
        let head = String::from_utf8_lossy(request).replacen("\r\n", "\r\nConnection: close\r\n", 1);
        stream.write_all(head.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        assert!(answer.starts_with("HTTP/1.1 2"), "{answer}");
        answer
    }

    /// Sends the same request over all connections, one at a time on each.
    async fn drive(&self, request: &Rc<[u8]>, until: Until) -> Load {
        let cpu = self.cpu_us();
        let begun = Instant::now();
        let share = match until {
            Until::Time(_) => usize::MAX,
            Until::Count(count) => count.div_ceil(CONNECTIONS),
        };
        let end = match until {
            Until::Time(span) => begun + span,
            Until::Count(_) => begun + Duration::from_secs(60),
        };
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|_| tokio::task::spawn_local(client(self.address, request.clone(), share, end)))
            .collect();
        let (mut times, mut refused) = (Vec::new(), 0);
        for client in clients {
            let (took, no) = client.await.expect("a client ends");
            times.extend(took);
            refused += no;
        }
        let elapsed = begun.elapsed().as_secs_f64();
        let cpu_us = (self.cpu_us() - cpu) / times.len() as f64;
        times.sort_unstable();
        let at =
            |share: f64| times.get((times.len() as f64 * share) as usize).map_or(0, |took| took.as_micros());
        Load { rate: times.len() as f64 / elapsed, p50_us: at(0.5), p99_us: at(0.99), cpu_us, refused }
    }

    /// CPU time that the process has used, in microseconds.
    fn cpu_us(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it runs");
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let ticks =
            |field: usize| fields.get(field).and_then(|ticks| ticks.parse::<f64>().ok()).unwrap_or(0.0);
        (ticks(11) + ticks(12)) * TICK_US
    }

    /// Memory that the process holds, in megabytes.
    fn memory_mb(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0) * 1024.0 / 1e6
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One keep-alive connection: how long each answer took, and how many were no success.
async fn client(
    address: SocketAddr,
    request: Rc<[u8]>,
    share: usize,
    end: Instant,
) -> (Vec<Duration>, usize) {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.set_nodelay(true).expect("a socket takes options");
    let mut buffer = vec![0; 64 * 1024];
    let (mut times, mut refused) = (Vec::new(), 0);
    while times.len() < share && Instant::now() < end {
        let begun = Instant::now();
        stream.write_all(&request).await.expect("it reads");
        let mut filled = 0;
        loop {
            let read = stream.read(&mut buffer[filled..]).await.expect("it answers");
            assert!(read > 0, "the server closed a keep-alive connection");
            filled += read;
            if is_whole(&buffer[..filled]) {
                break;
            }
        }
        times.push(begun.elapsed());
        refused += usize::from(buffer[9] != b'2');
    }
    (times, refused)
}

/// Whether an answer has all the bytes that its head announces.
fn is_whole(answer: &[u8]) -> bool {
    let Some(head) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let announced = answer[..head].split(|byte| *byte == b'\n').find_map(|line| {
        std::str::from_utf8(line).ok()?.strip_prefix("content-length: ")?.trim().parse().ok()
    });
    answer.len() >= head + 4 + announced.unwrap_or(0)
}
