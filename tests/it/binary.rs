//! The real binary as a child process: in a directory of its own, without the environment of whoever runs the tests.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use reqwest::{Client, RequestBuilder};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::house::{Answer, Guest, PASSWORD, answer, registration};

/// Nothing here takes longer on a machine that is busy with something else; what does hangs.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A directory to start the binary in; its data lies in `data`.
pub struct Place {
    dir: TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// `None` after a signal.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A running `serve`. It is killed when it is dropped.
pub struct Serving {
    child: Child,
    /// Where it listens: `http://127.0.0.1:4711`.
    pub url: String,
    stdout: JoinHandle<String>,
    stderr: JoinHandle<String>,
    client: Client,
}

impl Place {
    pub fn new() -> Self {
        Self { dir: TempDir::new().unwrap() }
    }

    /// A path in it.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.path("data/satchel.db")
    }

    /// Writes a file, and the directories that it lies in.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// The binary with these arguments, with cheap password hashes.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_satchel"));
        command
            .args(args)
            .current_dir(self.dir.path())
            .env_clear()
            .env("SATCHEL_AUTH__HASH_MEMORY_KIB", "64")
            .env("SATCHEL_AUTH__HASH_ITERATIONS", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs a command to its end.
    pub async fn run(&self, args: &[&str]) -> Ended {
        run(self.command(args)).await
    }

    /// Runs a command to its end, with this on its standard input.
    pub async fn run_with_input(&self, args: &[&str], input: &str) -> Ended {
        let mut command = self.command(args);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // A command that does not read is refused for another reason, which its own words tell.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        let output = timeout(PATIENCE, child.wait_with_output()).await.expect("it ends").unwrap();
        output.into()
    }

    /// Makes an administrator whose password is everybody's.
    pub async fn make_admin(&self, email: &str) {
        let args = ["admin", "create", "--email", email, "--password-stdin"];
        let made = self.run_with_input(&args, &format!("{PASSWORD}\n")).await;
        assert_eq!(made.done(), format!("{email} is an administrator\n"));
    }

    /// Starts a server on any free port.
    pub async fn serve(&self) -> Serving {
        Serving::start(self.command(&["serve", "--port", "0"])).await
    }

    /// Every file and what is in it, by its path, in order.
    pub fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        fn walk(dir: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, files);
                } else {
                    let bytes = fs::read(&path).unwrap();
                    files.push((path, bytes));
                }
            }
        }
        let mut files = Vec::new();
        walk(self.dir.path(), &mut files);
        files.sort();
        files
    }
}

/// Runs a command to its end.
pub async fn run(mut command: Command) -> Ended {
    let child = command.spawn().unwrap();
    timeout(PATIENCE, child.wait_with_output()).await.expect("it ends").unwrap().into()
}

impl From<std::process::Output> for Ended {
    fn from(output: std::process::Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("it speaks UTF-8");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Ended {
    /// What it said on stdout; it did what was asked of it, and complained of nothing.
    pub fn done(&self) -> &str {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{}", self.stdout);
        &self.stdout
    }

    /// It did nothing, and said why in one line.
    pub fn refuses(&self, sentence: &str) {
        assert_eq!((self.code, self.stdout.as_str()), (Some(1), ""), "{}", self.stderr);
        assert_eq!(self.stderr, format!("satchel: {sentence}\n"));
    }
}

impl Serving {
    /// Starts it, and waits until it has said where it listens.
    pub async fn start(command: Command) -> Self {
        Self::try_start(command).await.unwrap_or_else(|told| panic!("it does not serve: {told}"))
    }

    /// The same for one that may not: then it is what it said on stderr.
    pub async fn try_start(mut command: Command) -> Result<Self, String> {
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut err = child.stderr.take().unwrap();
        let stderr = tokio::spawn(async move {
            let mut text = String::new();
            err.read_to_string(&mut text).await.unwrap();
            text
        });
        let mut said = String::new();
        timeout(PATIENCE, out.read_line(&mut said)).await.expect("it says something").unwrap();
        let Some((_, url)) = said.trim_end().split_once(" listens on ") else {
            return Err(format!("{said}{}", stderr.await.unwrap()));
        };
        let url = url.to_owned();
        let stdout = tokio::spawn(async move {
            out.read_to_string(&mut said).await.unwrap();
            said
        });
        let client = Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        Ok(Self { child, url, stdout, stderr, client })
    }

    /// `127.0.0.1:4711`
    pub fn address(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    pub fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    pub fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(self.id().try_into().unwrap()).unwrap();
        kill_process(id, signal).unwrap();
    }

    /// Waits for its end.
    pub async fn end(mut self) -> Ended {
        let status = timeout(PATIENCE, self.child.wait()).await.expect("it ends").unwrap();
        Ended { code: status.code(), stdout: self.stdout.await.unwrap(), stderr: self.stderr.await.unwrap() }
    }

    /// Ends it as an operator does.
    pub async fn stop(self) -> Ended {
        self.signal(Signal::TERM);
        self.end().await
    }

    /// Ends it as a power cut does.
    pub async fn kill(self) {
        self.signal(Signal::KILL);
        assert_eq!(self.end().await.code, None);
    }

    /// Waits until nobody is let in any more.
    pub async fn until_deaf(&self) {
        let started = Instant::now();
        while tokio::net::TcpStream::connect(self.address()).await.is_ok() {
            assert!(started.elapsed() < Duration::from_secs(5), "it goes on listening");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// A request that is not sent yet.
    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        self.client.request(method.parse().unwrap(), format!("{}{path}", self.url))
    }

    /// A request with a token.
    pub fn by(&self, guest: &Guest, method: &str, path: &str) -> RequestBuilder {
        self.request(method, path).bearer_auth(&guest.access)
    }

    pub async fn get(&self, path: &str) -> Answer {
        answer(self.request("GET", path)).await
    }

    /// The status of a request to see one's own profile.
    pub async fn own_profile(&self, guest: &Guest) -> u16 {
        answer(self.by(guest, "GET", "/api/v1.0/users/me")).await.status
    }

    /// Registers `<name>@example.com` and signs in.
    pub async fn guest(&self, name: &str) -> Guest {
        let made = answer(self.request("POST", "/api/v1.0/auth/register").json(&registration(name))).await;
        assert_eq!(made.status, 201, "{}", made.text);
        self.sign_in(&format!("{name}@example.com"), PASSWORD).await
    }

    /// Tries to sign in.
    pub async fn log_in(&self, email: &str, password: &str) -> Answer {
        let form = [("username", email), ("password", password)];
        answer(self.request("POST", "/api/v1.0/auth/login").form(&form)).await
    }

    /// Signs in.
    pub async fn sign_in(&self, email: &str, password: &str) -> Guest {
        let tokens = self.log_in(email, password).await;
        assert_eq!(tokens.status, 200, "{}", tokens.text);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mut guest = Guest {
            uuid: String::new(),
            email: email.to_owned(),
            access: text(&tokens.body["access_token"]),
            refresh: text(&tokens.body["refresh_token"]),
        };
        let own = answer(self.by(&guest, "GET", "/api/v1.0/users/me")).await;
        guest.uuid = text(&own.body["uuid"]);
        guest
    }
}

/// The extension that the write-ahead log adds to a database's name, and its size; 0 when there is none.
pub fn log_size(database: &Path) -> u64 {
    let mut name = database.as_os_str().to_owned();
    name.push(OsStr::new("-wal"));
    fs::metadata(PathBuf::from(name)).map_or(0, |file| file.len())
}

/// What SQLite finds wrong with a file: its pages, its indexes, and rows that refer to none.
pub fn broken(database: &Path) -> Vec<String> {
    let conn = connect(database);
    let mut found: Vec<String> = conn
        .prepare("pragma integrity_check")
        .and_then(|mut check| check.query_map([], |row| row.get(0))?.collect())
        .unwrap();
    found.retain(|line| line != "ok");
    let dangling: Vec<String> = conn
        .prepare("pragma foreign_key_check")
        .and_then(|mut check| check.query_map([], |row| row.get(0))?.collect())
        .unwrap();
    found.extend(dangling);
    found
}

#[expect(clippy::disallowed_methods, reason = "it stands for another program")]
pub fn connect(path: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(path).unwrap()
}
