//! Mail: takes the letters whose time has come out of the outbox, and hands them to the transport.
//!
//! A letter leaves at least once: it is out of the outbox only after the transport has it. Each attempt has a
//! token of its own, and the newest is the one that is good.

mod smtp;
mod templates;
mod transport;

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use futures_util::{FutureExt, StreamExt, stream};
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Body, Mailbox, MultiPart, SinglePart};
use lettre::{Address, Message};
use tokio::sync::{Mutex, Notify};
use tokio::time::MissedTickBehavior;

use self::templates::Words;
use self::transport::{Failure, Transport};
use crate::clock::{Clock, Timestamp};
use crate::config::{self, Config};
use crate::db::{Db, Room};
use crate::domain::auth::proofs::Purpose;
use crate::domain::letters::{self, LetterId, Outgoing, State};
use crate::error::{Error, Result};
use crate::telemetry;

/// How often the outbox is looked into.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long it is left alone after a fault of ours.
const REST_AFTER_FAULT: Duration = Duration::from_secs(5);
/// How long files are kept that letters have become, in production.
const KEEP_FILES: Duration = Duration::from_secs(7 * 86_400);
/// How many letters are on their way at once.
const AT_ONCE: usize = 4;
/// How many are looked up at once.
const BATCH: i64 = 64;

/// The room's state.
pub struct Mail {
    db: Db,
    clock: Clock,
    from: Mailbox,
    public_url: String,
    /// How long a link to confirm an address is good, and one to a new password.
    lifetimes: (Duration, Duration),
    transport: Transport,
    /// Whether the log shows links of letters that become files: only on a developer's machine.
    show_links: bool,
    /// One delivers at a time, so that no letter is in two hands.
    turn: Mutex<()>,
    stopping: AtomicBool,
    bell: Notify,
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mail")
    }
}

impl Mail {
    /// Reads the settings; nothing leaves yet.
    ///
    /// # Errors
    /// A fault of one sentence: the sender is no address, or the certificates for the mail server cannot be had.
    pub fn open(config: &Config, db: Db, clock: Clock) -> Result<Arc<Self>> {
        if config.mail.transport == config::Transport::Off {
            tracing::warn!(
                "mail is off: nobody can confirm an address or reset a password, and no letter tells an owner of a \
                 changed address or password (mail.transport)"
            );
        }
        let from = sender(&config.mail.from)?;
        Ok(Arc::new(Self {
            transport: Transport::new(config, &from)?,
            show_links: !config.is_production(),
            from,
            public_url: config.public_url(),
            lifetimes: (config.auth.confirm_token(), config.auth.reset_token()),
            db,
            clock,
            turn: Mutex::new(()),
            stopping: AtomicBool::new(false),
            bell: Notify::new(),
        }))
    }

    /// Delivers letters until [`Mail::stop`].
    pub async fn work(&self) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.is_stopping() {
            tokio::select! {
                _ = looks.tick() => {}
                () = self.bell.notified() => break,
            }
            let done = AssertUnwindSafe(self.deliver_due()).catch_unwind().await;
            let done = done.unwrap_or_else(|_| Err(Error::fault("a delivery panicked")));
            if let Err(error) = done {
                tracing::error!("delivering letters: {error}");
                looks.reset_after(REST_AFTER_FAULT);
            }
        }
    }

    /// Has no further letter taken. Those in hand are finished.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.bell.notify_one();
    }

    /// Removes the files that letters to this address have become.
    ///
    /// # Errors
    /// A fault when the directory cannot be read or a file cannot be removed.
    pub async fn forget(&self, email: String) -> Result<()> {
        self.transport.forget(email).await
    }

    /// Removes the files that letters have become more than [`KEEP_FILES`] ago. A developer's are kept.
    ///
    /// # Errors
    /// Those of [`Mail::forget`].
    pub async fn purge(&self) -> Result<()> {
        if self.show_links {
            return Ok(());
        }
        self.transport.forget_before(self.clock.now().minus(KEEP_FILES)).await
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Delivers all that is due now; how many have left. One that cannot leave is no error: it waits in the outbox.
    ///
    /// # Errors
    /// A fault of ours, when the database does not do its part.
    pub async fn deliver_due(&self) -> Result<usize> {
        let _turn = self.turn.lock().await;
        let mut left = 0;
        loop {
            let now = self.clock.now();
            let due = self.db.read(|db| letters::due(db, now, BATCH))?;
            if due.is_empty() || self.is_stopping() {
                return Ok(left);
            }
            let outcomes: Vec<Result<bool>> =
                stream::iter(due).map(|id| self.deliver(id)).buffer_unordered(AT_ONCE).collect().await;
            for outcome in outcomes {
                left += usize::from(outcome?);
            }
        }
    }

    /// Delivers one letter; whether it has left.
    async fn deliver(&self, id: LetterId) -> Result<bool> {
        if self.is_stopping() {
            return Ok(false);
        }
        if matches!(self.transport, Transport::Off) {
            self.db.write_in(Room::Reserve, move |db| letters::remove(db, id)).await?;
            tracing::info!(letter.id = id.0, "letter dropped: mail is off");
            return Ok(false);
        }
        let (random, (confirm, reset)) = (self.clock.random(), self.lifetimes);
        let lifetime = move |purpose| match purpose {
            Purpose::ConfirmEmail => confirm,
            Purpose::ResetPassword => reset,
            // Theirs is not a setting.
            Purpose::RestoreEmail | Purpose::PasswordChanged => Duration::ZERO,
        };
        let Some(letter) =
            self.db.write_in(Room::Reserve, move |db| letters::take(db, id, random, lifetime)).await?
        else {
            tracing::debug!(letter.id = id.0, "letter dropped: it is to nobody, or says nothing new");
            return Ok(false);
        };
        match self.send(&letter).await {
            Ok(words) => {
                self.db.write_in(Room::Reserve, move |db| letters::remove(db, id)).await?;
                self.tell_sent(&letter, &words);
                Ok(true)
            }
            Err(failure) => {
                self.keep(&letter, failure).await?;
                Ok(false)
            }
        }
    }

    async fn send(&self, letter: &Outgoing) -> Result<Words, Failure> {
        let words = templates::words(letter.purpose, &self.public_url, &letter.email, letter.link.as_ref());
        let now = self.clock.now();
        let message = self.message(letter, &words, now)?;
        self.transport.send(letter, message, now).await?;
        Ok(words)
    }

    /// The letter as it goes over the wire (RFC 5322), in plain text and HTML (RFC 2046 §5.1.4).
    fn message(&self, letter: &Outgoing, words: &Words, now: Timestamp) -> Result<Message, Failure> {
        let unfit = |what: &str| Failure::new(format!("the letter cannot be written: {what}"));
        let to: Address = letter.email.parse().map_err(|_| unfit("its address is none"))?;
        let id = format!("<{}@{}>", self.clock.new_secret_id(), self.from.email.domain());
        let at = SystemTime::UNIX_EPOCH + now.since(Timestamp::from_seconds(0));
        // RFC 3834 §5: no machine needs to answer.
        let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
        Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(words.subject)
            .date(at)
            .message_id(Some(id))
            .raw_header(HeaderValue::new(automatic, String::from("auto-generated")))
            .multipart(
                MultiPart::alternative()
                    .singlepart(part(ContentType::TEXT_PLAIN, &words.text))
                    .singlepart(part(ContentType::TEXT_HTML, &words.html)),
            )
            .map_err(|error| unfit(&error.to_string()))
    }

    fn tell_sent(&self, letter: &Outgoing, words: &Words) {
        let (id, user, purpose) = (letter.id.0, letter.user.0, letter.purpose.word());
        match &words.link {
            Some(link) if self.show_links && matches!(self.transport, Transport::File(_)) => {
                tracing::info!(letter.id = id, user.id = user, purpose, %link, "letter written");
            }
            _ => tracing::info!(letter.id = id, user.id = user, purpose, "letter sent"),
        }
    }

    /// Puts a letter that did not leave back, with the reason. A mail server may quote from the letter; the token is
    /// cut out of that.
    async fn keep(&self, letter: &Outgoing, failure: Failure) -> Result<()> {
        let id = letter.id;
        let without_token = |text: &str| match &letter.link {
            Some(link) => telemetry::one_line(&text.replace(&link.token, "…")),
            None => telemetry::one_line(text),
        };
        let (whole, for_good) = (without_token(&failure.whole), failure.for_good);
        let state =
            self.db.write_in(Room::Reserve, move |db| letters::mark_failed(db, id, &whole, for_good)).await?;
        let (user, purpose) = (letter.user.0, letter.purpose.word());
        let why = without_token(&failure.brief);
        match state {
            // Somebody mistyped an address, say: there is nothing to look after.
            Some(State::Dead) if for_good => {
                tracing::warn!(letter.id = id.0, user.id = user, purpose, why, "letter given up");
            }
            Some(State::Dead) => {
                tracing::error!(letter.id = id.0, user.id = user, purpose, why, "letter given up");
            }
            Some(State::Waiting) | None => {
                tracing::warn!(letter.id = id.0, user.id = user, purpose, why, "letter not sent");
            }
        }
        Ok(())
    }
}

/// A part of a letter. As 7bit (RFC 2045 §6.2) whenever it may be: the usual choice for a line as long as the one
/// with the link would be quoted-printable, which breaks it for whoever looks into the file.
fn part(kind: ContentType, text: &str) -> SinglePart {
    const LINE_MAX: usize = 998;
    let part = SinglePart::builder().header(kind);
    let is_plain = text.bytes().all(|byte| byte == b'\n' || (0x20..0x7f).contains(&byte));
    if is_plain && text.lines().all(|line| line.len() <= LINE_MAX) {
        let text = text.replace('\n', "\r\n").into_bytes();
        part.body(Body::dangerous_pre_encoded(text, ContentTransferEncoding::SevenBit))
    } else {
        part.body(String::from(text))
    }
}

/// Reads `mail.from`: an address, or a name and an address in angle brackets.
fn sender(text: &str) -> Result<Mailbox> {
    let (name, address) = match text.strip_suffix('>').and_then(|named| named.split_once('<')) {
        Some((name, address)) => (name.trim().trim_matches('"'), address),
        None => ("", text),
    };
    let address: Address = address
        .trim()
        .parse()
        .map_err(|_| Error::fault(format!("mail.from is {text:?}, which is no address")))?;
    Ok(Mailbox::new((!name.is_empty()).then(|| String::from(name)), address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_an_address_with_or_without_a_name() {
        for (text, expected) in [
            ("Satchel <satchel@localhost>", "Satchel <satchel@localhost>"),
            ("post@example.org", "post@example.org"),
            ("<post@example.org>", "post@example.org"),
            ("\"Satchel, Inc.\" <post@example.org>", "\"Satchel, Inc.\" <post@example.org>"),
            ("Satchel, Inc. <post@example.org>", "\"Satchel, Inc.\" <post@example.org>"),
        ] {
            assert_eq!(sender(text).unwrap().to_string(), expected);
        }
        assert!(sender("nobody").is_err());
    }
}
