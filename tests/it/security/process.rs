//! A server in a process of its own, which can be read and killed.

use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

/// Settings for cheap password hashes.
pub const QUICK: [(&str, &str); 2] =
    [("SATCHEL_AUTH__HASH_MEMORY_KIB", "64"), ("SATCHEL_AUTH__HASH_ITERATIONS", "1")];

/// How long it may take to begin and to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running `satchel serve`. It is killed when it is dropped.
pub struct Process {
    child: Child,
    pub url: String,
    dir: TempDir,
    /// Reads what it prints.
    _greeting: JoinHandle<()>,
}

impl Process {
    /// Serves a new data directory.
    pub async fn start(settings: &[(&str, &str)]) -> Self {
        Self::start_in(TempDir::new().unwrap(), settings).await
    }

    /// Serves the directory `data` in this one.
    pub async fn start_in(dir: TempDir, settings: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_satchel"))
            .args(["serve", "--port", "0", "--data"])
            .arg(dir.path().join("data"))
            .current_dir(dir.path())
            .env_clear()
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap();
        let first = first.unwrap().expect("the first line says where it listens");
        let url = first.rsplit(' ').next().unwrap().to_owned();
        let greeting = tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { child, url, dir, _greeting: greeting }
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Asks it to end, and gives what it wrote to stderr and its directory.
    pub async fn stop(self) -> (Output, TempDir) {
        let id = i32::try_from(self.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), Signal::TERM).unwrap();
        let output = tokio::time::timeout(PATIENCE, self.child.wait_with_output()).await.unwrap().unwrap();
        (output, self.dir)
    }

    /// Kills it where it stands, and gives its directory.
    pub async fn kill(mut self) -> TempDir {
        self.child.kill().await.unwrap();
        self.dir
    }
}
