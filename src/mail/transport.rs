//! Transport: how letters leave: through a mail server, into files, or not at all.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lettre::Message;
use lettre::message::Mailbox;
use tokio::time::timeout;

use super::smtp::MailServer;
use crate::clock::Timestamp;
use crate::config::{self, Config};
use crate::domain::letters::Outgoing;
use crate::error::{Error, Result};

/// How long a mail server may take for a letter, from the connection to the last answer.
const LETTER_WITHIN: Duration = Duration::from_secs(60);

/// How letters leave.
pub enum Transport {
    /// Through a mail server.
    Smtp(MailServer),
    /// A file each, in this directory.
    File(PathBuf),
    /// Not at all.
    Off,
}

/// Why a letter did not leave.
pub struct Failure {
    /// For the log: it names nobody.
    pub brief: String,
    /// For the outbox: with what the mail server said, which may name the recipient.
    pub whole: String,
    /// Whether the recipient or the letter itself was refused, so that another attempt would end alike.
    pub for_good: bool,
}

impl Failure {
    /// One that names nobody, and may have passed at the next attempt.
    pub fn new(text: String) -> Self {
        Self { brief: text.clone(), whole: text, for_good: false }
    }
}

impl Transport {
    /// The transport of the settings. A mail server is not asked yet.
    ///
    /// # Errors
    /// A fault of one sentence when the certificates of `mail.smtp_ca_file` cannot be had.
    pub fn new(config: &Config, from: &Mailbox) -> Result<Self> {
        Ok(match config.mail.transport {
            config::Transport::Off => Self::Off,
            config::Transport::File => Self::File(config.mail_directory()),
            config::Transport::Smtp => Self::Smtp(MailServer::new(&config.mail, from)?),
        })
    }

    /// Hands a letter over. It is the mail server's, or on the disk, when this returns.
    pub async fn send(&self, letter: &Outgoing, message: Message, now: Timestamp) -> Result<(), Failure> {
        match self {
            Self::Off => Ok(()),
            Self::File(directory) => {
                let name = file_name(letter, now);
                let (directory, bytes) = (directory.clone(), message.formatted());
                let written = tokio::task::spawn_blocking(move || write(&directory, &name, &bytes)).await;
                let written = written.unwrap_or_else(|ended| Err(std::io::Error::other(ended)));
                written.map_err(|error| Failure::new(format!("the file cannot be written: {error}")))
            }
            Self::Smtp(server) => timeout(LETTER_WITHIN, server.send(&letter.email, &message))
                .await
                .unwrap_or_else(|_| Err(Failure::new(String::from("the mail server took too long")))),
        }
    }

    /// Removes the files of letters that were written before `before`.
    pub async fn forget_before(&self, before: Timestamp) -> Result<()> {
        let Self::File(directory) = self else { return Ok(()) };
        let directory = directory.clone();
        let removed = tokio::task::spawn_blocking(move || remove_letters_before(&directory, before)).await;
        let removed = removed.unwrap_or_else(|ended| Err(std::io::Error::other(ended)));
        removed.map_err(|error| Error::Fault(anyhow::Error::from(error).context("removing old letters")))
    }

    /// Removes the files of letters to this address.
    pub async fn forget(&self, email: String) -> Result<()> {
        let Self::File(directory) = self else { return Ok(()) };
        let directory = directory.clone();
        let removed = tokio::task::spawn_blocking(move || remove_letters_to(&directory, &email)).await;
        let removed = removed.unwrap_or_else(|ended| Err(std::io::Error::other(ended)));
        removed.map_err(|error| {
            let doing = "removing the letters of a user who is gone";
            Error::Fault(anyhow::Error::from(error).context(doing))
        })
    }
}

/// `20261121T050639Z-17-confirm_email.eml`
fn file_name(letter: &Outgoing, now: Timestamp) -> String {
    format!("{}Z-{}-{}.eml", moment(now), letter.id.0, letter.purpose.word())
}

/// `20261121T050639`
fn moment(at: Timestamp) -> String {
    let mut moment = at.utc().replace(['-', ':'], "");
    moment.truncate(MOMENT);
    moment
}

/// How long the moment in a file's name is.
const MOMENT: usize = "20261121T050639".len();

/// The moment in the name of a letter's file, or of the beginning of one.
fn written_at(name: &str) -> Option<&str> {
    let name = name.strip_prefix('.').map_or(Some(name), |partial| partial.strip_suffix(".partial"))?;
    let (at, rest) = name.split_at_checked(MOMENT)?;
    let (id, purpose) = rest.strip_prefix("Z-")?.split_once('-')?;
    let is_moment =
        at.bytes().enumerate().all(|(n, byte)| if n == 8 { byte == b'T' } else { byte.is_ascii_digit() });
    (is_moment && id.parse::<u64>().is_ok() && purpose.ends_with(".eml")).then_some(at)
}

/// Removes the files of letters that were written before `before`, finished or not; other files are left alone.
fn remove_letters_before(directory: &Path, before: Timestamp) -> std::io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    let before = moment(before);
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_str().and_then(written_at).is_some_and(|at| at < before.as_str()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Removes every file whose `To` (RFC 5322 §3.6.3) is this address, without regard to case.
fn remove_letters_to(directory: &Path, email: &str) -> std::io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    let to = format!("to: {}", email.to_ascii_lowercase());
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "eml") {
            continue;
        }
        let letter = String::from_utf8_lossy(&fs::read(&path)?).to_ascii_lowercase();
        let mut head = letter.lines().take_while(|line| !line.is_empty());
        if head.any(|line| line.trim_end() == to) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Writes a file that is there as a whole or not at all, for its owner alone.
fn write(directory: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let partial = directory.join(format!(".{name}.partial"));
    // One that a crash has left may have another's mode.
    match fs::remove_file(&partial) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&partial, directory.join(name))?;
    fs::File::open(directory)?.sync_all()
}
