//! Sections: the settings of the house, with units and bounds. `settings` checks the bounds.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::values::{Host, Limit, Networks, Secret};
use crate::clock::Zone;

/// What the server is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// A developer's machine: everything has a default.
    #[default]
    Development,
    /// Real users: what they need must have been set, see `Config::load`.
    Production,
}

impl Environment {
    /// The word in the settings.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Development => "development",
            Self::Production => "production",
        }
    }
}

/// Where the server listens, and what one request may cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Where to listen.
    pub host: Host,
    /// The port, 0–65,535; 0 takes any free one.
    pub port: u16,
    /// The directory with the database, the keys and the pictures; a relative one starts where the command was given.
    pub data: PathBuf,
    /// What links in letters begin with; "" stands for `http://host:port`. Read it through `Config::public_url`.
    pub public_url: String,
    /// The peers that are believed when they say for which client they ask.
    pub trusted_proxies: Networks,
    /// The header in which they say it; the other one is not read.
    pub forwarded_header: ForwardedHeader,
    /// Whether `/scalar` and `/openapi.json` are served.
    pub docs: bool,
    /// The largest body that is no upload, in bytes, 1,024–67,108,864.
    pub body_max_bytes: usize,
    /// How long one request may take, in seconds, 1–3,600.
    pub request_timeout_seconds: u64,
    /// How long requests in flight may take to finish at the end, in seconds, 0–600.
    pub shutdown_seconds: u64,
    /// Open connections at one time, 1–1,000,000.
    pub max_connections: usize,
    /// Open connections of one client network, 0–1,000,000; 0 takes a quarter of all. Read it through `connections_per_address`.
    pub connections_per_address: usize,
    /// How long a connection may wait for its next request, in seconds, 1–86,400.
    pub keep_alive_seconds: u64,
    /// Threads that answer requests, 0–1,024; 0 takes one for each core. Read it through `workers`.
    pub worker_threads: usize,
    /// The origins whose pages may read answers (CORS), besides those of the machine itself in development.
    pub cors_origins: Vec<String>,
    /// The time zone that says which day is today, by its IANA name. Read it through `zone`.
    pub timezone: String,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            host: Host::Address(IpAddr::from([127, 0, 0, 1])),
            port: 8000,
            data: PathBuf::from("./data"),
            public_url: String::new(),
            trusted_proxies: Networks::default(),
            forwarded_header: ForwardedHeader::default(),
            docs: true,
            body_max_bytes: 524_288,
            request_timeout_seconds: 30,
            shutdown_seconds: 10,
            max_connections: 10_000,
            connections_per_address: 0,
            keep_alive_seconds: 180,
            worker_threads: 0,
            cors_origins: Vec::new(),
            timezone: String::from("UTC"),
        }
    }
}

impl Server {
    /// How long one request may take.
    pub const fn request_timeout(&self) -> Duration {
        Duration::from_secs(self.request_timeout_seconds)
    }

    /// How long requests in flight may take to finish at the end.
    pub const fn shutdown(&self) -> Duration {
        Duration::from_secs(self.shutdown_seconds)
    }

    /// Open connections of one client network, at least 1.
    pub fn connections_per_address(&self) -> usize {
        if self.connections_per_address == 0 {
            self.max_connections.div_ceil(4)
        } else {
            self.connections_per_address
        }
    }

    /// How long a connection may wait for its next request.
    pub const fn keep_alive(&self) -> Duration {
        Duration::from_secs(self.keep_alive_seconds)
    }

    /// The time zone that says which day is today.
    pub fn zone(&self) -> Zone {
        Zone::named(&self.timezone).unwrap_or_else(Zone::utc)
    }

    /// Threads that answer requests, at least 1.
    pub fn workers(&self) -> usize {
        if self.worker_threads == 0 { cores() } else { self.worker_threads }
    }
}

/// The database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Db {
    /// Whether `serve` applies new migrations itself.
    pub migrate_on_start: bool,
    /// Writes that may wait for the writer, 1–65,536; over it a request is answered 503.
    pub queue: usize,
    /// Writes in one commit at most, 1–65,536.
    pub group: usize,
    /// Threads for reads that may be long, 1–64.
    pub scan_threads: usize,
    /// The size the database may reach, in pages of 4,096 bytes, 64–4,294,967,294; absent: as much as the disk has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_pages: Option<u32>,
}

impl Default for Db {
    fn default() -> Self {
        Self { migrate_on_start: true, queue: 1024, group: 256, scan_threads: 2, max_pages: None }
    }
}

/// What becomes of a new password that is among the most common ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CommonPasswords {
    /// It is refused.
    Refuse,
    /// It is taken, with one warning in the log.
    Allow,
}

/// Sign-in: passwords, tokens, and what failures cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    /// The `iss` claim of tokens (RFC 7519 §4.1.1), not empty.
    pub issuer: String,
    /// The `aud` claim of tokens (RFC 7519 §4.1.3), not empty.
    pub audience: String,
    /// How far clocks may differ when a token's times are read, in seconds, 0–5.
    pub leeway_seconds: u64,
    /// Argon2id's memory for one hash, in KiB, 64–1,048,576.
    pub hash_memory_kib: u32,
    /// Argon2id's passes, 1–64.
    pub hash_iterations: u32,
    /// Argon2id's lanes, 1–8.
    pub hash_parallelism: u32,
    /// Threads that hash, 0–64; 0 takes one less than there are cores, at least 1. Read it through `hashers`.
    pub hash_threads: usize,
    /// Hashes that may wait, 1–10,000; over it a request is answered 503.
    pub hash_queue: usize,
    /// Absent: refused in production and taken in development. Read it through `Config::common_passwords`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub common_passwords: Option<CommonPasswords>,
    /// How long a spent refresh token still gets an answer, in seconds, 0–300.
    pub refresh_reuse_seconds: u64,
    /// Whether everybody must confirm the e-mail address before signing in; contactbook's users must in any case.
    pub require_confirmed_email: bool,
    /// How long the link in a letter of confirmation is good, in hours, 1–8,760.
    pub confirm_token_hours: u64,
    /// How long the link to a new password is good, in minutes, 1–1,440.
    pub reset_token_minutes: u64,
    /// Whether failed sign-ins make the next ones wait.
    pub sign_in_delays: bool,
    /// Failures of one account before it waits, 1–100.
    pub sign_in_free_failures_account: u32,
    /// Failures from one address before it waits, 1–100,000.
    pub sign_in_free_failures_address: u32,
    /// The longest such wait, in seconds, 1–86,400.
    pub sign_in_delay_max_seconds: u64,
    /// Whether users need their password, besides a token, to change their own e-mail address.
    pub address_change_needs_password: bool,
    /// Sign-ups, and changes of e-mail addresses, from one address, or from one /64 of IPv6, over all APIs.
    pub sign_ups_per_address: Limit,
    /// Sign-ins from one address, or from one /64 of IPv6, over all APIs, good ones and failed ones.
    pub sign_ins_per_address: Limit,
    /// Sessions of one user at one time, 1–100,000; over it the least recently used one ends.
    pub sessions_per_user: u32,
    /// Verified tokens that are remembered, 0–10,000,000; 0 verifies each anew.
    pub token_cache: u64,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            issuer: String::from("satchel"),
            audience: String::from("satchel"),
            leeway_seconds: 0,
            hash_memory_kib: 19_456,
            hash_iterations: 2,
            hash_parallelism: 1,
            hash_threads: 0,
            hash_queue: 32,
            common_passwords: None,
            refresh_reuse_seconds: 10,
            require_confirmed_email: false,
            confirm_token_hours: 168,
            reset_token_minutes: 60,
            sign_in_delays: true,
            sign_in_free_failures_account: 5,
            sign_in_free_failures_address: 50,
            sign_in_delay_max_seconds: 900,
            address_change_needs_password: false,
            // A lecture hall behind one address signs up within the hour.
            sign_ups_per_address: Limit::Rate { count: 100, per_seconds: 3_600 },
            // Two a second, for hours on end: a campus or a mobile network behind one address.
            sign_ins_per_address: Limit::per_minute(120),
            sessions_per_user: 500,
            token_cache: 10_000,
        }
    }
}

impl Auth {
    /// Threads that hash, at least 1.
    pub fn hashers(&self) -> usize {
        if self.hash_threads == 0 { cores().saturating_sub(1).max(1) } else { self.hash_threads }
    }

    /// How long a spent refresh token still gets an answer.
    pub const fn refresh_reuse(&self) -> Duration {
        Duration::from_secs(self.refresh_reuse_seconds)
    }

    /// How long the link in a letter of confirmation is good.
    pub const fn confirm_token(&self) -> Duration {
        Duration::from_secs(self.confirm_token_hours * HOUR)
    }

    /// How long the link to a new password is good.
    pub const fn reset_token(&self) -> Duration {
        Duration::from_secs(self.reset_token_minutes * MINUTE)
    }

    /// The longest wait after failed sign-ins.
    pub const fn sign_in_delay_max(&self) -> Duration {
        Duration::from_secs(self.sign_in_delay_max_seconds)
    }
}

/// The header in which proxies say for which client they ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// Who may list users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Directory {
    /// Anybody.
    #[default]
    Public,
    /// Whoever is signed in.
    Members,
    /// Administrators.
    Admins,
}

/// Who reads the e-mail addresses of others in the directory of users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AddressReaders {
    /// Whoever is signed in.
    #[default]
    Members,
    /// Administrators.
    Admins,
}

/// What holds for users in all five APIs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Users {
    /// Who may list users.
    pub directory: Directory,
    /// Who reads the e-mail addresses of others there.
    pub addresses: AddressReaders,
    /// The content that a user may keep, in MiB, 0–1,048,576; 0 is no limit.
    pub quota_mb: u64,
    /// How long a deleted user's row is kept, in days, 0–3,650.
    pub purge_deleted_after_days: u64,
    /// How long a user is kept who never confirmed an address that had to be, in days, 0–3,650; 0 for good. Read it through
    /// `purge_unconfirmed_after`.
    pub purge_unconfirmed_after_days: u64,
}

impl Default for Users {
    fn default() -> Self {
        Self {
            directory: Directory::default(),
            addresses: AddressReaders::default(),
            quota_mb: 1024,
            purge_deleted_after_days: 30,
            purge_unconfirmed_after_days: 30,
        }
    }
}

impl Users {
    /// How long a deleted user's row is kept.
    pub const fn purge_deleted_after(&self) -> Duration {
        Duration::from_secs(self.purge_deleted_after_days * DAY)
    }

    /// How long a user is kept who never confirmed an address that had to be; `None` is for good.
    pub fn purge_unconfirmed_after(&self) -> Option<Duration> {
        let days = self.purge_unconfirmed_after_days;
        (days > 0).then(|| Duration::from_secs(days * DAY))
    }
}

/// How letters leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// A file each.
    #[default]
    File,
    /// Through a mail server.
    Smtp,
    /// Not at all.
    Off,
}

/// How the connection to the mail server is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpTls {
    /// TLS after a plain greeting, demanded (RFC 3207).
    #[default]
    Starttls,
    /// TLS from the first byte (RFC 8314 §3).
    Tls,
    /// Not at all; with a password in production only to a loopback host.
    None,
}

/// Letters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mail {
    /// How letters leave.
    pub transport: Transport,
    /// Where letters are written when `transport` is `file`; "" is `mail` in the data directory. Read it through `Config::mail_directory`.
    pub directory: PathBuf,
    /// Who letters are from: an address, or a name and an address in angle brackets.
    pub from: String,
    /// The mail server's host name or address.
    pub smtp_host: String,
    /// The mail server's port, 1–65,535.
    pub smtp_port: u16,
    /// The name to sign in with at the mail server; "" signs in with none.
    pub smtp_user: String,
    /// The password that goes with it.
    pub smtp_password: Secret,
    /// How the connection is protected.
    pub smtp_tls: SmtpTls,
    /// Certificates in PEM of those who may vouch for the mail server; "" leaves it to the system's.
    pub smtp_ca_file: PathBuf,
}

impl Default for Mail {
    fn default() -> Self {
        Self {
            transport: Transport::default(),
            directory: PathBuf::new(),
            from: String::from("Satchel <satchel@localhost>"),
            smtp_host: String::new(),
            smtp_port: 587,
            smtp_user: String::new(),
            smtp_password: Secret::default(),
            smtp_tls: SmtpTls::default(),
            smtp_ca_file: PathBuf::new(),
        }
    }
}

/// What a log line looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Pretty,
    /// One JSON object a line.
    Json,
}

/// What of clients' addresses is in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogAddresses {
    /// All of it.
    #[default]
    Full,
    /// The first 24 bits of an IPv4 address, the first 48 of an IPv6 one; the rest is zero.
    Network,
    /// Nothing.
    Off,
}

impl LogAddresses {
    /// What of this address is in the log.
    pub fn shown(self, address: IpAddr) -> Option<IpAddr> {
        match (self, address) {
            (Self::Full, address) => Some(address),
            (Self::Network, IpAddr::V4(address)) => {
                Some(IpAddr::from((address.to_bits() & 0xffff_ff00).to_be_bytes()))
            }
            (Self::Network, IpAddr::V6(address)) => {
                Some(IpAddr::from((address.to_bits() >> 80 << 80).to_be_bytes()))
            }
            (Self::Off, _) => None,
        }
    }
}

/// The log, which goes to stderr.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// What a line looks like.
    pub format: LogFormat,
    /// What is logged: a level, or directives such as `info,satchel::db=debug`.
    pub level: String,
    /// Whether each request leaves a line, at the level `info`.
    pub access: bool,
    /// What of clients' addresses is in it.
    pub addresses: LogAddresses,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::default(),
            level: String::from("info"),
            access: true,
            addresses: LogAddresses::default(),
        }
    }
}

pub(super) const MINUTE: u64 = 60;
pub(super) const HOUR: u64 = 60 * MINUTE;
pub(super) const DAY: u64 = 24 * HOUR;

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
