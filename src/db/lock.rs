//! The lock of a data directory: one server at a time, and words that say who it is.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::open::said;
use crate::error::{Error, Result};

const FILE: &str = "satchel.lock";

/// A data directory that is ours until this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct DirLock {
    file: File,
    dir: PathBuf,
    /// What is in the file: who holds it in the first line, and what they have to say in a second.
    written: Mutex<String>,
}

impl DirLock {
    /// Who holds the directory that is served.
    pub const SERVER: &str = "satchel serve";

    /// Takes the directory for `holder`, `satchel serve` for one; makes it (mode 0700) when it is not there.
    ///
    /// # Errors
    /// A fault with one sentence for a person: who holds it, or why it cannot be made or written.
    pub fn acquire(dir: &Path, holder: &str) -> Result<Self> {
        let mut file = open(dir)?;
        if !locked(&file).map_err(|error| cannot_lock(dir, error))? {
            let mut other = String::new();
            // Its holder writes the name right after taking the lock: until then it is nobody known.
            let known = file.read_to_string(&mut other).ok().and_then(|_| other.lines().next());
            let other = known.unwrap_or("another process");
            return Err(Error::fault(format!("the data directory {} is in use by {other}", dir.display())));
        }
        file.set_len(0).map_err(|error| cannot_lock(dir, error))?;
        let lock = Self { file, dir: dir.to_owned(), written: Mutex::default() };
        lock.write(format!("{holder}, process {}\n", process::id()))?;
        Ok(lock)
    }

    /// Says something to whoever looks, in one line that takes the place of the last one.
    ///
    /// # Errors
    /// A fault when it cannot be written.
    pub fn note(&self, line: &str) -> Result<()> {
        let holder = self.written().lines().next().map(String::from).unwrap_or_default();
        self.write(format!("{holder}\n{line}\n"))
    }

    fn written(&self) -> std::sync::MutexGuard<'_, String> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// In place: lines of one length take each other's place without an instant in which there is none.
    fn write(&self, text: String) -> Result<()> {
        let mut written = self.written();
        if *written != text {
            self.file
                .write_all_at(text.as_bytes(), 0)
                .and_then(|()| self.file.set_len(text.len() as u64))
                .map_err(|error| cannot_lock(&self.dir, error))?;
            *written = text;
        }
        Ok(())
    }

    /// Whether somebody holds the directory now.
    pub fn held(dir: &Path) -> bool {
        Self::holder(dir).is_some()
    }

    /// What the holder of the directory has written, if somebody holds it now: its name in the first line, and in the second
    /// what was noted. Empty for an instant when the directory has just been taken.
    pub fn holder(dir: &Path) -> Option<String> {
        let mut file = File::open(dir.join(FILE)).ok()?;
        if !matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)) {
            return None;
        }
        let mut written = String::new();
        file.read_to_string(&mut written).ok()?;
        Some(written)
    }
}

impl Drop for DirLock {
    /// The file stays: a lock on a removed file would keep nobody out.
    fn drop(&mut self) {
        self.file.set_len(0).ok();
    }
}

/// Tries a few times: [`DirLock::held`] has the lock for an instant when it looks.
fn locked(file: &File) -> std::io::Result<bool> {
    for _ in 0..5 {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(5)),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(false)
}

fn open(dir: &Path) -> Result<File> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| said(error, format!("cannot make the data directory {}", dir.display())))?;
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(dir.join(FILE))
        .map_err(|error| cannot_lock(dir, error))
}

fn cannot_lock(dir: &Path, error: std::io::Error) -> Error {
    said(error, format!("cannot write in the data directory {}", dir.display()))
}
