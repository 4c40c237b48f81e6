//! The lock of a data directory: one server at a time, and words that say who it is.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::process;
use std::thread;
use std::time::Duration;

use super::open::said;
use crate::error::{Error, Result};

const FILE: &str = "satchel.lock";

/// A data directory that is ours until this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct DirLock {
    file: File,
}

impl DirLock {
    /// Takes the directory for `holder`, `satchel serve` for one; makes it (mode 0700) when it is not there.
    ///
    /// # Errors
    /// A fault with one sentence for a person: who holds it, or why it cannot be made or written.
    pub fn acquire(dir: &Path, holder: &str) -> Result<Self> {
        let mut file = open(dir)?;
        if !locked(&file).map_err(|error| cannot_lock(dir, error))? {
            let mut other = String::new();
            // Its holder writes the name right after taking the lock: until then it is nobody known.
            let known = file.read_to_string(&mut other).is_ok() && !other.trim().is_empty();
            let other = if known { other.trim() } else { "another process" };
            return Err(Error::fault(format!("the data directory {} is in use by {other}", dir.display())));
        }
        file.set_len(0)
            .and_then(|()| writeln!(file, "{holder}, process {}", process::id()))
            .map_err(|error| cannot_lock(dir, error))?;
        Ok(Self { file })
    }

    /// Whether somebody holds the directory now.
    pub fn held(dir: &Path) -> bool {
        File::open(dir.join(FILE))
            .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
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
