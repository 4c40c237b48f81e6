//! Load: the server as a child process, and the clients that drive it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream as Blocking};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// In how many slices a time is measured, in turn with what it is compared with: the machine's minutes differ.
pub const ROUNDS: u32 = 5;
/// Keep-alive connections of every measurement.
const CONNECTIONS: usize = 32;
/// Linux counts CPU time in ticks of this many microseconds.
const TICK_US: f64 = 10_000.0;
pub const PASSWORD: &str = "correct horse battery staple";
/// A book as it is sent.
pub const BOOK: &str = r#"{"title":"Dune","author":"Frank Herbert","publisher":"Chilton Books","publish_date":"1965-08-01","pages":412,"language":"English"}"#;

/// The middle one.
pub fn median(mut all: Vec<f64>) -> f64 {
    all.sort_unstable_by(f64::total_cmp);
    all[all.len() / 2]
}

/// Requests as they go over the wire; they are sent in turn.
pub type Requests = Rc<[Vec<u8>]>;

/// A request as it goes over the wire.
pub fn request(method: &str, path: &str, headers: &str, media_type: &str, body: &str) -> Requests {
    let length = if body.is_empty() {
        String::new()
    } else {
        format!("Content-Type: {media_type}\r\nContent-Length: {}\r\n", body.len())
    };
    let text = format!("{method} {path} HTTP/1.1\r\nHost: bench\r\n{headers}{length}\r\n{body}").into_bytes();
    [text].into()
}

/// How long to drive.
#[derive(Clone, Copy)]
pub enum Until {
    Time(Duration),
    Count(usize),
}

/// What driving requests over all connections came to.
pub struct Load {
    pub rate: f64,
    pub p50_us: u128,
    pub p99_us: u128,
    pub cpu_us: f64,
    pub refused: usize,
}

/// A route that is driven in slices, in turn with others.
pub struct Work {
    pub name: &'static str,
    requests: Requests,
    rounds: Vec<Load>,
}

impl Work {
    pub fn new(name: &'static str, requests: Requests) -> Self {
        Self { name, requests, rounds: Vec::new() }
    }

    /// Its turn: one slice of the time that it has.
    pub async fn drive(&mut self, server: &Server, span: Duration) {
        self.rounds.push(server.drive(&self.requests, Until::Time(span / ROUNDS)).await);
    }

    pub fn median(&self, of: impl Fn(&Load) -> f64) -> f64 {
        median(self.rounds.iter().map(of).collect())
    }

    /// What it costs as a multiple of another's cost, slice by slice.
    pub fn times(&self, other: &Self) -> f64 {
        median(self.rounds.iter().zip(&other.rounds).map(|(one, other)| one.cpu_us / other.cpu_us).collect())
    }

    pub fn refused(&self) -> usize {
        self.rounds.iter().map(|load| load.refused).sum()
    }
}

/// The server as a child process on a data directory of its own.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    pub first_answer: Duration,
    dir: Rc<TempDir>,
}

impl Server {
    /// Starts a server that says on its first line where it listens, in a new directory.
    pub fn start(command: &mut Command) -> Self {
        Self::start_in(Rc::new(TempDir::new().expect("a directory can be made")), command)
    }

    /// The same in a directory that is there.
    pub fn start_in(dir: Rc<TempDir>, command: &mut Command) -> Self {
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
        let mut server = Self { child, address, first_answer: Duration::ZERO, dir };
        server.once(&request("GET", "/health", "", "", "")[0]);
        server.first_answer = begun.elapsed();
        server
    }

    /// Registers and signs in; the access token.
    pub fn sign_in(&self) -> String {
        let user = format!(
            r#"{{"username":"bench","email":"bench@example.com","first_name":"B","last_name":"B","password":"{PASSWORD}"}}"#
        );
        self.once(&request("POST", "/api/v1.0/auth/register", "", "application/json", &user)[0]);
        let form = format!("username=bench%40example.com&password={}", PASSWORD.replace(' ', "+"));
        let tokens = self.once(
            &request("POST", "/api/v1.0/auth/login", "", "application/x-www-form-urlencoded", &form)[0],
        );
        let token = tokens.split("\"access_token\":\"").nth(1).and_then(|rest| rest.split('"').next());
        token.expect("a token").to_owned()
    }

    /// Ends the server and gives its directory.
    pub fn stop(mut self) -> Rc<TempDir> {
        let told = Command::new("kill").arg(self.child.id().to_string()).status();
        assert!(told.expect("kill starts").success());
        self.child.wait().expect("the server ends");
        self.dir.clone()
    }

    /// Runs another command of the binary in the server's directory.
    pub fn command(&self, arguments: &[&str]) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_satchel"));
        let done = command.current_dir(self.dir.path()).args(arguments).stdout(Stdio::null()).status();
        assert!(done.expect("it starts").success(), "{arguments:?}");
    }

    /// Sends one request on a connection of its own and gives the whole answer.
    pub fn once(&self, request: &[u8]) -> String {
        let mut stream = Blocking::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time limit can be set");
        let head = String::from_utf8_lossy(request).replacen("\r\n", "\r\nConnection: close\r\n", 1);
        stream.write_all(head.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        assert!(answer.starts_with("HTTP/1.1 2"), "{answer}");
        answer
    }

    /// Sends requests over all connections, one at a time on each, and over again.
    pub async fn drive(&self, requests: &Requests, until: Until) -> Load {
        self.drive_over(CONNECTIONS, requests, until).await
    }

    /// The same over so many connections.
    pub async fn drive_over(&self, connections: usize, requests: &Requests, until: Until) -> Load {
        let cpu = self.cpu_us();
        let begun = Instant::now();
        let share = match until {
            Until::Time(_) => usize::MAX,
            Until::Count(count) => count.div_ceil(connections),
        };
        let end = match until {
            Until::Time(span) => begun + span,
            Until::Count(_) => begun + Duration::from_secs(60),
        };
        let clients: Vec<_> = (0..connections)
            .map(|n| tokio::task::spawn_local(client(self.address, requests.clone(), n * 7919, share, end)))
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
    pub fn cpu_us(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it runs");
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let ticks =
            |field: usize| fields.get(field).and_then(|ticks| ticks.parse::<f64>().ok()).unwrap_or(0.0);
        (ticks(11) + ticks(12)) * TICK_US
    }

    /// Memory that the process holds, in megabytes.
    pub fn memory_mb(&self) -> f64 {
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
    requests: Requests,
    mut next: usize,
    share: usize,
    end: Instant,
) -> (Vec<Duration>, usize) {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.set_nodelay(true).expect("a socket takes options");
    let mut buffer = vec![0; 64 * 1024];
    let (mut times, mut refused) = (Vec::new(), 0);
    while times.len() < share && Instant::now() < end {
        let begun = Instant::now();
        stream.write_all(&requests[next % requests.len()]).await.expect("it reads");
        next += 1;
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
pub fn is_whole(answer: &[u8]) -> bool {
    let Some(head) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let announced = answer[..head].split(|byte| *byte == b'\n').find_map(|line| {
        std::str::from_utf8(line).ok()?.strip_prefix("content-length: ")?.trim().parse().ok()
    });
    answer.len() >= head + 4 + announced.unwrap_or(0)
}
