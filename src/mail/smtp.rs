//! SMTP: one letter, one connection to the mail server (RFC 5321), and what an answer means for the letter.
//!
//! The commands are given one by one, since the same code means another thing to each: 550 5.1.1 is about us in answer
//! to `MAIL FROM`, and about the recipient in answer to `RCPT TO`.

use std::fs;
use std::time::Duration;

use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, Certificate, CertificateStore, Tls, TlsParameters,
};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, MailParameter};
use lettre::{Address, Message};
use tokio::time::timeout;

use super::transport::Failure;
use crate::config::{self, SmtpTls};
use crate::error::{Error, Result};

/// How long a mail server may take to be reached.
const REACHED_WITHIN: Duration = Duration::from_secs(20);
/// How long it may take to say goodbye: the letter is its own by then.
const GOODBYE_WITHIN: Duration = Duration::from_secs(5);

/// How a mail server is reached, and as whom.
pub struct MailServer {
    host: String,
    port: u16,
    tls: Tls,
    hello: ClientId,
    credentials: Option<Credentials>,
    from: Address,
}

/// Which command was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Everything before the letter: the greeting, EHLO, STARTTLS, AUTH.
    Hello,
    From,
    To,
    Data,
    Text,
}

impl Step {
    const fn words(self) -> &'static str {
        match self {
            Self::Hello => "",
            Self::From => " to MAIL FROM",
            Self::To => " to RCPT TO",
            Self::Data => " to DATA",
            Self::Text => " to the text",
        }
    }
}

impl MailServer {
    /// The mail server of the settings. It is not asked yet.
    ///
    /// # Errors
    /// A fault of one sentence when the certificates of `mail.smtp_ca_file` cannot be had.
    pub fn new(mail: &config::Mail, from: &Mailbox) -> Result<Self> {
        let credentials = || Credentials::new(mail.smtp_user.clone(), mail.smtp_password.reveal().into());
        Ok(Self {
            host: mail.smtp_host.clone(),
            port: mail.smtp_port,
            tls: match mail.smtp_tls {
                SmtpTls::None => Tls::None,
                SmtpTls::Starttls => Tls::Required(tls(mail)?),
                SmtpTls::Tls => Tls::Wrapper(tls(mail)?),
            },
            hello: ClientId::Domain(String::from(from.email.domain())),
            credentials: (!mail.smtp_user.is_empty()).then(credentials),
            from: from.email.clone(),
        })
    }

    /// Hands a letter over. It is the mail server's when this returns.
    pub async fn send(&self, to: &str, message: &Message) -> Result<(), Failure> {
        let to: Address =
            to.parse().map_err(|_| Failure::new(String::from("the letter's address is none")))?;
        let mut server = self.connect().await.map_err(|error| failure(Step::Hello, &error))?;
        let sent = self.hand_over(&mut server, to, &message.formatted()).await;
        // Says QUIT and closes. Whether that succeeds changes nothing.
        let _ = timeout(GOODBYE_WITHIN, server.abort()).await;
        sent
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, lettre::transport::smtp::Error> {
        let wrapper = match &self.tls {
            Tls::Wrapper(tls) => Some(tls.clone()),
            _ => None,
        };
        let address = (self.host.as_str(), self.port);
        let mut server =
            AsyncSmtpConnection::connect_tokio1(address, Some(REACHED_WITHIN), &self.hello, wrapper, None)
                .await?;
        if let Tls::Required(tls) = &self.tls {
            server.starttls(tls.clone(), &self.hello).await?;
        }
        if let Some(credentials) = &self.credentials {
            server.auth(DEFAULT_MECHANISMS, credentials).await?;
        }
        Ok(server)
    }

    async fn hand_over(
        &self,
        server: &mut AsyncSmtpConnection,
        to: Address,
        text: &[u8],
    ) -> Result<(), Failure> {
        // An address beyond ASCII (RFC 6531) can only be ours: users have none.
        let parameters = if text.is_ascii() { Vec::new() } else { vec![MailParameter::SmtpUtfEight] };
        let at = |step| move |error| failure(step, &error);
        server.command(Mail::new(Some(self.from.clone()), parameters)).await.map_err(at(Step::From))?;
        server.command(Rcpt::new(to, Vec::new())).await.map_err(at(Step::To))?;
        server.command(Data).await.map_err(at(Step::Data))?;
        server.message(text).await.map_err(at(Step::Text))?;
        Ok(())
    }
}

/// The server's certificate is always verified: against the authorities of the file, or else the system's.
fn tls(mail: &config::Mail) -> Result<TlsParameters> {
    let mut builder = TlsParameters::builder(mail.smtp_host.clone());
    if !mail.smtp_ca_file.as_os_str().is_empty() {
        let path = mail.smtp_ca_file.display();
        let pem = fs::read(&mail.smtp_ca_file).map_err(|error| {
            Error::Fault(anyhow::Error::from(error).context(format!("cannot read mail.smtp_ca_file {path}")))
        })?;
        let no_certificate = || Error::fault(format!("mail.smtp_ca_file {path} holds no certificate in PEM"));
        // A file without any would trust nobody, silently.
        if !pem.windows(BEGIN.len()).any(|part| part == BEGIN) {
            return Err(no_certificate());
        }
        let authorities = Certificate::from_pem(&pem).map_err(|_| no_certificate())?;
        builder = builder.certificate_store(CertificateStore::None).add_root_certificate(authorities);
    }
    let named = "preparing TLS for the mail server";
    builder.build_rustls().map_err(|error| Error::Fault(anyhow::Error::from(error).context(named)))
}

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// What the mail server's refusal is in our words. Its own may repeat the address, so only the outbox has them.
fn failure(step: Step, error: &lettre::transport::smtp::Error) -> Failure {
    let said = causes(error);
    let Some(code) = error.status() else {
        let brief = match () {
            () if error.is_response() => String::from("the mail server's answer cannot be understood"),
            () if error.is_timeout() => String::from("the mail server took too long"),
            // Nothing was said yet that could name anybody.
            () => said.clone(),
        };
        return Failure { brief, whole: said, for_good: false };
    };
    let words = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    let status = Status::read(&words);
    let enhanced = status.map(|Status(class, subject, detail)| format!(" {class}.{subject}.{detail}"));
    let brief = format!("the mail server answered {code}{}{}", enhanced.unwrap_or_default(), step.words());
    let whole = if words.is_empty() { brief.clone() } else { format!("{brief}: {words}") };
    let for_good = error.is_permanent() && status.is_some_and(|status| status.is_for_good(step));
    Failure { brief, whole, for_good }
}

/// An enhanced status code (RFC 3463): class, subject, detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Status(u16, u16, u16);

impl Status {
    /// Reads it from the beginning of what follows the reply code (RFC 2034 §3). It is believed also of a server that did
    /// not announce `ENHANCEDSTATUSCODES`: no sentence begins like that.
    fn read(words: &str) -> Option<Self> {
        let mut parts = words.split_ascii_whitespace().next()?.split('.').map(|part| {
            let is_number = (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| part.parse().ok()).flatten()
        });
        let status = Self(parts.next()??, parts.next()??, parts.next()??);
        parts.next().is_none().then_some(status)
    }

    /// Whether the letter or its recipient is refused, whoever sends it, so that the next attempt would end alike: 5.1.x
    /// (addresses, but for 5.1.7 and 5.1.8, which are the sender's), 5.2.1 (a mailbox that is closed) and 5.6.x (the
    /// content). Anything else may be mended at one of the two servers: relaying, policy, credentials, a full mailbox.
    /// A 550 without such a code may be either (RFC 5321 §4.2.3), so the letter is tried again.
    fn is_for_good(self, step: Step) -> bool {
        let is_about_the_letter = matches!(step, Step::To | Step::Data | Step::Text);
        is_about_the_letter
            && match self {
                Self(5, 1, detail) => !matches!(detail, 7 | 8),
                Self(5, 2, 1) | Self(5, 6, _) => true,
                _ => false,
            }
    }
}

/// An error with its causes, none of them said twice.
fn causes(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !told.contains(&words) {
            told = format!("{told}: {words}");
        }
        next = cause.source();
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_enhanced_code_stands_at_the_beginning_or_nowhere() {
        for (words, expected) in [
            ("5.1.1 no such user", Some(Status(5, 1, 1))),
            ("5.1.10\nno such user", Some(Status(5, 1, 10))),
            ("5.1.1", Some(Status(5, 1, 1))),
            ("", None),
            ("no such user 5.1.1", None),
            ("5.1 no", None),
            ("5.1.1.1 is a version", None),
            ("5.1.1: no", None),
            ("5.+1.1 no", None),
            ("5.1.1000 no", None),
            ("<5.1.1@example.com> no", None),
        ] {
            assert_eq!(Status::read(words), expected, "{words:?}");
        }
    }
}
