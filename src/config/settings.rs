//! Settings: the one table of every key and what it may be.

use std::net::IpAddr;

use toml::Value;

use super::values::{Host, Limit, Network};
use crate::clock::Zone;

/// What the value of a key may be.
pub(super) enum Allowed {
    /// `true` or `false`.
    Switch,
    /// A whole number within both bounds.
    Whole(i64, i64),
    /// One of a few words.
    Choice(&'static [&'static str]),
    /// A text that passes the check, which the words describe.
    Text(fn(&str) -> bool, &'static str),
    /// A list of such texts.
    List(fn(&str) -> bool, &'static str),
    /// Any text; it is never shown.
    Secret,
}

use Allowed::{Choice, List, Secret, Switch, Text, Whole};

const ANY: Allowed = Text(is_line, "one line of text");
const NAME: Allowed = Text(is_name, "1 to 255 characters");
const PATH: Allowed = Text(is_path, "the path of a directory");
const LIMIT: Allowed = Text(
    |text| text.parse::<Limit>().is_ok(),
    "\"off\" or a count per second, minute, hour or day, such as \"10/minute\"",
);

/// Every key, in the order of `config.toml`.
pub(super) const SETTINGS: &[(&str, Allowed)] = &[
    ("environment", Choice(&["development", "production"])),
    ("server.host", Text(|text| text.parse::<Host>().is_ok(), "an IP address or \"localhost\"")),
    ("server.port", Whole(0, 65_535)),
    ("server.data", PATH),
    (
        "server.public_url",
        Text(
            |text| text.is_empty() || origin(text).is_some(),
            "\"\" or an address such as \"https://satchel.example.org\"",
        ),
    ),
    (
        "server.trusted_proxies",
        List(
            |text| text.parse::<Network>().is_ok(),
            "a list of addresses and networks such as [\"127.0.0.1\", \"10.0.0.0/8\"]",
        ),
    ),
    ("server.forwarded_header", Choice(&["x-forwarded-for", "forwarded"])),
    ("server.docs", Switch),
    ("server.body_max_bytes", Whole(1_024, 33_554_432)),
    ("server.request_timeout_seconds", Whole(1, 3_600)),
    ("server.shutdown_seconds", Whole(0, 600)),
    ("server.max_connections", Whole(1, 1_000_000)),
    ("server.connections_per_address", Whole(0, 1_000_000)),
    ("server.keep_alive_seconds", Whole(1, 86_400)),
    ("server.worker_threads", Whole(0, 1_024)),
    (
        "server.cors_origins",
        List(|text| page_origin(text).is_some(), "a list of origins such as [\"https://app.example.org\"]"),
    ),
    (
        "server.timezone",
        Text(
            |text| Zone::named(text).is_some(),
            "a name of the IANA time zone database such as \"Europe/Berlin\"",
        ),
    ),
    ("db.migrate_on_start", Switch),
    ("db.queue", Whole(1, 65_536)),
    ("db.group", Whole(1, 65_536)),
    ("db.scan_threads", Whole(1, 64)),
    ("db.max_pages", Whole(64, 4_294_967_294)),
    ("auth.issuer", NAME),
    ("auth.audience", NAME),
    ("auth.leeway_seconds", Whole(0, 5)),
    ("auth.hash_memory_kib", Whole(64, 1_048_576)),
    ("auth.hash_iterations", Whole(1, 64)),
    ("auth.hash_parallelism", Whole(1, 8)),
    ("auth.hash_threads", Whole(0, 64)),
    ("auth.hash_queue", Whole(1, 10_000)),
    ("auth.common_passwords", Choice(&["refuse", "allow"])),
    ("auth.refresh_reuse_seconds", Whole(0, 300)),
    ("auth.require_confirmed_email", Switch),
    ("auth.confirm_token_hours", Whole(1, 8_760)),
    ("auth.reset_token_minutes", Whole(1, 1_440)),
    ("auth.sign_in_delays", Switch),
    ("auth.sign_in_free_failures_account", Whole(1, 100)),
    ("auth.sign_in_free_failures_address", Whole(1, 100_000)),
    ("auth.sign_in_delay_max_seconds", Whole(1, 86_400)),
    ("auth.address_change_needs_password", Switch),
    ("auth.sign_ups_per_address", LIMIT),
    ("auth.sign_ins_per_address", LIMIT),
    ("auth.sessions_per_user", Whole(1, 100_000)),
    ("auth.token_cache", Whole(0, 10_000_000)),
    ("bookshelf.access_minutes", Whole(1, 1_440)),
    ("bookshelf.refresh_days", Whole(1, 365)),
    ("store.access_hours", Whole(1, 168)),
    ("todolist.access_hours", Whole(1, 168)),
    ("identity.access_minutes", Whole(1, 1_440)),
    ("identity.refresh_days", Whole(1, 365)),
    ("identity.rotate_refresh", Switch),
    ("contactbook.access_minutes", Whole(1, 1_440)),
    ("contactbook.refresh_days", Whole(1, 365)),
    ("contactbook.limits.enabled", Switch),
    ("contactbook.limits.signup", LIMIT),
    ("contactbook.limits.login", LIMIT),
    ("contactbook.limits.refresh_token", LIMIT),
    ("contactbook.limits.request_email", LIMIT),
    ("contactbook.limits.request_reset", LIMIT),
    ("contactbook.limits.show_reset", LIMIT),
    ("contactbook.limits.reset_password", LIMIT),
    ("contactbook.limits.confirm_email", LIMIT),
    ("contactbook.limits.list_contacts", LIMIT),
    ("contactbook.limits.create_contact", LIMIT),
    ("contactbook.limits.list_birthdays", LIMIT),
    ("contactbook.limits.find_contact", LIMIT),
    ("contactbook.limits.update_contact", LIMIT),
    ("contactbook.limits.delete_contact", LIMIT),
    ("contactbook.limits.update_avatar", LIMIT),
    ("contactbook.limits.letters", LIMIT),
    ("users.directory", Choice(&["public", "members", "admins"])),
    ("users.addresses", Choice(&["members", "admins"])),
    ("users.quota_mb", Whole(0, 1_048_576)),
    ("users.purge_deleted_after_days", Whole(0, 3_650)),
    ("users.purge_unconfirmed_after_days", Whole(0, 3_650)),
    ("mail.transport", Choice(&["file", "smtp", "off"])),
    ("mail.directory", Text(|text| text.is_empty() || is_path(text), "\"\" or the path of a directory")),
    (
        "mail.from",
        Text(is_sender, "an address, or a name and an address such as \"Satchel <post@example.org>\""),
    ),
    ("mail.smtp_host", Text(|text| text.is_empty() || is_host_name(text), "a host name or an IP address")),
    ("mail.smtp_port", Whole(1, 65_535)),
    ("mail.smtp_user", ANY),
    ("mail.smtp_password", Secret),
    ("mail.smtp_tls", Choice(&["starttls", "tls", "none"])),
    ("mail.smtp_ca_file", Text(|text| text.is_empty() || is_path(text), "\"\" or the path of a file")),
    ("log.format", Choice(&["pretty", "json"])),
    (
        "log.level",
        Text(
            is_level,
            "off, error, warn, info, debug or trace, or directives such as \"info,satchel::db=debug\"",
        ),
    ),
    ("log.access", Switch),
    ("log.addresses", Choice(&["full", "network", "off"])),
];

/// What a key may be, when there is such a key.
pub(super) fn find(key: &str) -> Option<&'static (&'static str, Allowed)> {
    SETTINGS.iter().find(|(name, _)| *name == key)
}

/// Whether keys begin with `section.`.
pub(super) fn is_section(section: &str) -> bool {
    SETTINGS.iter().any(|(key, _)| key.strip_prefix(section).is_some_and(|rest| rest.starts_with('.')))
}

impl Allowed {
    /// Whether `value` may be.
    pub(super) fn takes(&self, value: &Value) -> bool {
        match (self, value) {
            (Switch, Value::Boolean(_)) | (Secret, Value::String(_)) => true,
            (Whole(least, most), Value::Integer(number)) => (least..=most).contains(&number),
            (Choice(words), Value::String(text)) => words.contains(&text.as_str()),
            (Text(check, _), Value::String(text)) => check(text),
            (List(check, _), Value::Array(items)) => {
                items.iter().all(|item| item.as_str().is_some_and(check))
            }
            _ => false,
        }
    }

    /// What may be, in words that follow "allowed: ".
    pub(super) fn words(&self) -> String {
        match self {
            Switch => String::from("true or false"),
            Whole(least, most) => format!("{least} to {most}"),
            Choice([words @ .., last]) => {
                let words: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
                format!("{} or \"{last}\"", words.join(", "))
            }
            Choice([]) => String::from("nothing"),
            Text(_, words) | List(_, words) => String::from(*words),
            Secret => String::from("a text"),
        }
    }

    /// Reads what stands in an environment variable, where everything is text. What cannot be read stays
    /// a text, which `takes` then refuses.
    pub(super) fn read(&self, text: &str) -> Value {
        let read = match self {
            Switch => text.parse().ok().map(Value::Boolean),
            Whole(..) => text.parse().ok().map(Value::Integer),
            List(..) => Some(list(text)),
            Choice(_) | Text(..) | Secret => None,
        };
        read.unwrap_or_else(|| Value::String(String::from(text)))
    }

    /// The value as it may be shown.
    pub(super) fn show(&self, value: &Value) -> String {
        match self {
            Secret if matches!(value, Value::String(text) if text.is_empty()) => String::from("\"\""),
            Secret => String::from("(hidden)"),
            _ => show(value),
        }
    }
}

/// The value on one line that is not too long.
pub(super) fn show(value: &Value) -> String {
    const LONGEST: usize = 80;
    let text = match value {
        Value::Table(_) => String::from("a section"),
        // Debug keeps a text on one line, whatever is in it.
        Value::String(text) => format!("{text:?}"),
        Value::Array(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    };
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// An array in TOML, or texts with commas between them.
fn list(text: &str) -> Value {
    if text.trim_start().starts_with('[')
        && let Ok(mut table) = format!("list = {text}").parse::<toml::Table>()
        && let Some(array @ Value::Array(_)) = table.remove("list")
        && table.is_empty()
    {
        return array;
    }
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    Value::Array(items.map(|item| Value::String(String::from(item))).collect())
}

/// An address of the web, taken apart.
pub(super) struct Origin<'a> {
    /// Whether the scheme is https.
    pub(super) secure: bool,
    /// The host, without brackets and port.
    pub(super) host: &'a str,
    /// The port, when it is named.
    port: Option<u16>,
    /// The path, with its slash; may be empty.
    pub(super) path: &'a str,
}

impl Origin<'_> {
    /// Whether the host is the machine itself; names under `localhost` are (RFC 6761 §6.3).
    pub(super) fn is_loopback(&self) -> bool {
        is_loopback(self.host) || self.host.ends_with(".localhost")
    }
}

/// The origin as a browser writes it: in lower case, without the port that the scheme has anyway (RFC 6454 §6.2). Schemes of
/// apps that are pages inside, such as `capacitor://localhost`, are taken as they stand.
pub fn page_origin(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    if let Some(Origin { secure, host, path: "", port }) = origin(&text) {
        let scheme = if secure { "https" } else { "http" };
        let host =
            host.parse().map_or_else(|_| String::from(host), |ip: std::net::Ipv6Addr| format!("[{ip}]"));
        let port = port.filter(|port| *port != if secure { 443 } else { 80 });
        let port = port.map_or_else(String::new, |port| format!(":{port}"));
        return Some(format!("{scheme}://{host}{port}"));
    }
    let (scheme, rest) = text.split_once("://")?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let is_other = is_scheme && !matches!(scheme, "http" | "https" | "file");
    (is_other && origin(&format!("http://{rest}")).is_some_and(|origin| origin.path.is_empty()))
        .then_some(text)
}

/// Whether a browser that names this origin shows a page of its own machine.
pub fn is_loopback_origin(text: &str) -> bool {
    origin(text).is_some_and(|origin| origin.path.is_empty() && origin.is_loopback())
}

/// Whether the name or address means the machine itself.
pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.to_canonical().is_loopback())
}

/// Takes an http or https address apart that has neither user, query nor fragment (RFC 3986 §3).
pub(super) fn origin(text: &str) -> Option<Origin<'_>> {
    let (secure, rest) = match text.strip_prefix("https://") {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix("http://")?),
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (host, port) = match authority.strip_prefix('[') {
        Some(inner) => {
            let (ip, port) = inner.split_once(']')?;
            ip.parse::<std::net::Ipv6Addr>().ok()?;
            (ip, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
        }
        None => {
            let (host, port) =
                authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
            is_host_name(host).then_some(())?;
            (host, port)
        }
    };
    let port = match port {
        None => None,
        Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
            Some(digits.parse().ok().filter(|port| *port > 0)?)
        }
        Some(_) => return None,
    };
    let path_is_good = path
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'"' | b'<' | b'>' | b'\\'));
    path_is_good.then_some(Origin { secure, host, port, path })
}

fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.parse::<IpAddr>().is_ok() || (text.len() <= 253 && text.split('.').all(is_label))
}

fn is_line(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

fn is_name(text: &str) -> bool {
    is_line(text) && (1..=255).contains(&text.chars().count())
}

fn is_path(text: &str) -> bool {
    !text.trim().is_empty() && is_line(text)
}

fn is_sender(text: &str) -> bool {
    let address = match text.strip_suffix('>') {
        Some(named) => named.split_once('<').map(|(_, address)| address),
        None => Some(text),
    };
    let parts = address.and_then(|address| address.split_once('@'));
    is_line(text)
        && text.len() <= 320
        && parts.is_some_and(|(local, domain)| {
            !local.is_empty()
                && !local.contains(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | ',' | ';' | '"'))
                && is_host_name(domain)
        })
}

/// A bare word is a level: the filter itself would take a misspelt one for the name of a module.
fn is_level(text: &str) -> bool {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let words = || text.split(',').map(str::trim);
    words().all(|word| word.contains(['=', '[']) || LEVELS.contains(&word.to_ascii_lowercase().as_str()))
        && tracing_subscriber::EnvFilter::builder().parse(text).is_ok()
}

/// What somebody probably meant by `name`, when something is near enough.
pub(super) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>, most: usize) -> Option<&'a str> {
    let near = names.map(|known| (distance(name, known), known)).filter(|(far, _)| *far <= most);
    near.min_by_key(|(far, _)| *far).map(|(_, known)| known)
}

/// How many characters must be put in, taken out or replaced to turn one text into the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, c) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, d) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(c != *d);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}
