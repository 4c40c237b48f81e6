//! Loading: from the file, the environment and the flags to one checked `Config`, and the sentences for what is wrong.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::Path;

use toml::{Table, Value};

use super::apis::Limits;
use super::sections::{Environment, SmtpTls, Transport};
use super::settings::{self, SETTINGS, is_loopback, nearest, origin};
use super::{Changed, Config, Sources};
use crate::error::{Error, Result};

const FILE: &str = "config.toml";
const PREFIX: &str = "SATCHEL_";

/// What the command line says; it wins over everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--host`
    pub host: Option<String>,
    /// `--port`
    pub port: Option<u16>,
    /// `--data`
    pub data: Option<String>,
}

/// The variables of the process whose names begin with `SATCHEL_`. One that is no Unicode is a fault.
pub fn environment() -> Result<Vec<(String, String)>> {
    let ours = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    ours.filter(|(name, _)| name.starts_with(PREFIX))
        .map(|(name, value)| match value.into_string() {
            Ok(value) => Ok((name, value)),
            Err(_) => Err(Error::fault(format!("{name}: the value is not Unicode"))),
        })
        .collect()
}

pub(super) fn load(
    file: Option<&Path>,
    env: impl Iterator<Item = (String, String)>,
    flags: &Overrides,
) -> Result<Config> {
    let mut loading = Loading { given: Vec::new(), ignored: Vec::new() };
    loading.add_file(file)?;
    loading.add_environment(env)?;
    loading.add_flags(flags)?;

    let default = Value::try_from(Config::default()).map_err(|error| Error::fault(error.to_string()))?;
    let mut config: Config =
        loading.table().try_into().map_err(|error: toml::de::Error| Error::fault(error.to_string()))?;
    config.changed = loading.changed(&default);
    config.ignored = std::mem::take(&mut loading.ignored);
    config.sources = Sources(loading.given.iter().map(|given| (given.key, given.source.clone())).collect());
    if !config.contactbook.limits.enabled {
        config.contactbook.limits = Limits::OFF;
    }
    loading.check_together(&config)?;
    Ok(config)
}

/// A value for a key, and who gave it.
struct Given {
    key: &'static str,
    value: Value,
    source: String,
}

/// What was given so far, every value checked by itself, a later one in the place of an earlier.
struct Loading {
    given: Vec<Given>,
    /// What is to be said of variables that were not taken.
    ignored: Vec<String>,
}

impl Loading {
    fn add_file(&mut self, file: Option<&Path>) -> Result<()> {
        let path = file.unwrap_or(Path::new(FILE));
        let name = path.display().to_string();
        let text = match std::fs::read(path) {
            Ok(bytes) => String::from_utf8(bytes)
                .map_err(|_| Error::fault(format!("{name}: the file is not UTF-8")))?,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return match file {
                    None => Ok(()),
                    Some(_) => Err(Error::fault(format!("{name}: there is no such file"))),
                };
            }
            Err(error) => return Err(Error::fault(format!("{name}: the file cannot be read: {error}"))),
        };
        let table = text.parse::<Table>().map_err(|error| {
            let at = error.span().map_or(0, |span| span.start).min(text.len());
            let line = 1 + text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count();
            let message = error.message().lines().collect::<Vec<_>>().join(", ");
            Error::fault(format!("{name}: line {line}: {message}"))
        })?;
        self.add_table("", table, &name)
    }

    fn add_table(&mut self, section: &str, table: Table, source: &str) -> Result<()> {
        for (name, value) in table {
            let key = if section.is_empty() { name } else { format!("{section}.{name}") };
            match value {
                Value::Table(inner) if settings::find(&key).is_none() => {
                    // A section that is not known but has keys is told by its first key, which can be compared.
                    if inner.is_empty() && !settings::is_section(&key) {
                        return Err(unknown(source, &key));
                    }
                    self.add_table(&key, inner, source)?;
                }
                value if settings::is_section(&key) => {
                    let value = settings::show(&value);
                    return Err(Error::fault(format!(
                        "{source}: {key} is {value}, allowed: a section, [{key}]"
                    )));
                }
                value => self.add(&key, source, |_| value)?,
            }
        }
        Ok(())
    }

    fn add_environment(&mut self, env: impl Iterator<Item = (String, String)>) -> Result<()> {
        let mut ours: Vec<_> = env.filter(|(name, _)| name.starts_with(PREFIX)).collect();
        ours.sort();
        let (mut platforms, variables) = (Vec::new(), SETTINGS.iter().map(|(key, _)| (*key, variable(key))));
        let variables: Vec<_> = variables.collect();
        for (name, text) in ours {
            match variables.iter().find(|(_, variable)| *variable == name) {
                Some((key, _)) => self.add(key, &name, |allowed| allowed.read(&text))?,
                None if is_service_link(&name, &text) => platforms.push(name),
                None => self.ignore(&name, &variables)?,
            }
        }
        if !platforms.is_empty() {
            self.ignored.push(format!(
                "{}: ignored, a container platform sets them by itself for Services of such a name; Satchel's variables \
                 have two underscores after the section ({})",
                platforms.join(", "),
                variable("server.port")
            ));
        }
        Ok(())
    }

    /// Ignores a variable that is not ours, since other programs may use the prefix, and says so. A name that is nearly one of
    /// ours, or has a section, is a slip.
    fn ignore(&mut self, name: &str, variables: &[(&str, String)]) -> Result<()> {
        let most = if name.contains("__") { 4 } else { 2 };
        if let Some(meant) = nearest(name, variables.iter().map(|(_, variable)| variable.as_str()), most) {
            return Err(Error::fault(format!("{name}: unknown variable (did you mean {meant}?)")));
        }
        if name.contains("__") {
            return Err(Error::fault(format!("{name}: unknown variable")));
        }
        let bare = name.strip_prefix(PREFIX).unwrap_or(name);
        let has_name =
            |variable: &str| variable.strip_suffix(bare).is_some_and(|section| section.ends_with("__"));
        let meant: Vec<_> =
            variables.iter().map(|(_, variable)| variable.as_str()).filter(|one| has_name(one)).collect();
        let hint = match meant.is_empty() {
            true => String::new(),
            false => format!(" (did you mean {}?)", meant.join(" or ")),
        };
        self.ignored.push(format!("{name}: ignored, there is no such variable{hint}"));
        Ok(())
    }

    fn add_flags(&mut self, flags: &Overrides) -> Result<()> {
        if let Some(host) = &flags.host {
            self.add("server.host", "--host", |_| Value::String(host.clone()))?;
        }
        if let Some(port) = flags.port {
            self.add("server.port", "--port", |_| Value::Integer(i64::from(port)))?;
        }
        if let Some(data) = &flags.data {
            self.add("server.data", "--data", |_| Value::String(data.clone()))?;
        }
        Ok(())
    }

    fn add(
        &mut self,
        key: &str,
        source: &str,
        value: impl FnOnce(&settings::Allowed) -> Value,
    ) -> Result<()> {
        let Some((key, allowed)) = settings::find(key) else {
            return Err(unknown(source, key));
        };
        let value = value(allowed);
        if !allowed.takes(&value) {
            let (value, words) = (allowed.show(&value), allowed.words());
            return Err(Error::fault(format!("{source}: {key} is {value}, allowed: {words}")));
        }
        self.given.retain(|given| given.key != *key);
        self.given.push(Given { key, value, source: String::from(source) });
        Ok(())
    }

    fn table(&self) -> Table {
        let mut root = Table::new();
        for given in &self.given {
            insert(&mut root, given.key, given.value.clone());
        }
        root
    }

    fn changed(&self, default: &Value) -> Vec<Changed> {
        let differs = |given: &&Given| {
            let default = given.key.split('.').try_fold(default, |value, name| value.get(name));
            default != Some(&given.value)
        };
        let in_order = SETTINGS.iter().filter_map(|(key, allowed)| {
            self.given.iter().find(|given| given.key == *key).filter(differs).map(|given| Changed {
                key,
                value: allowed.show(&given.value),
                source: given.source.clone(),
            })
        });
        in_order.collect()
    }

    /// Who gave `key`; the built-in value's source is called "default".
    fn source(&self, key: &str) -> &str {
        self.given.iter().find(|given| given.key == key).map_or("default", |given| &given.source)
    }

    /// What no value can be blamed for alone.
    fn check_together(&self, config: &Config) -> Result<()> {
        let (mail, auth) = (&config.mail, &config.auth);
        let fault = |key: &str, rest: &str| Err(Error::fault(format!("{}: {key} {rest}", self.source(key))));
        if mail.transport == Transport::Smtp && mail.smtp_host.is_empty() {
            return fault("mail.transport", "is \"smtp\", which needs mail.smtp_host");
        }
        if mail.smtp_user.is_empty() && !mail.smtp_password.is_empty() {
            return fault("mail.smtp_password", "is set, which needs mail.smtp_user");
        }
        if auth.hash_memory_kib < 8 * auth.hash_parallelism {
            let (memory, least) = (auth.hash_memory_kib, 8 * auth.hash_parallelism);
            return fault(
                "auth.hash_memory_kib",
                &format!("is {memory}, allowed: at least 8 for each lane, {least}"),
            );
        }
        let missing = missing_for_production(config);
        if config.environment == Environment::Production && !missing.is_empty() {
            let needs = missing.join("; ");
            return fault("environment", &format!("is \"production\", which needs {needs}"));
        }
        Ok(())
    }
}

/// What production needs and `config` has not.
fn missing_for_production(config: &Config) -> Vec<String> {
    // OWASP Password Storage Cheat Sheet, Argon2id: memory in KiB and passes that are equally strong.
    const ARGON2: [(u32, u32); 5] = [(47_104, 1), (19_456, 2), (12_288, 3), (9_216, 4), (7_168, 5)];

    let (server, auth, mail) = (&config.server, &config.auth, &config.mail);
    let mut missing = Vec::new();
    if !origin(&server.public_url).is_some_and(|url| url.secure || url.is_loopback()) {
        let mut what = String::from("server.public_url to begin with https://");
        if !server.public_url.is_empty() {
            let _ = write!(what, ", not {}", server.public_url);
        }
        missing.push(what);
    }
    if server.trusted_proxies.0.iter().any(|network| network.is_everybody()) {
        missing.push(String::from("server.trusted_proxies to name proxies, not everybody"));
    }
    if !ARGON2
        .iter()
        .any(|(memory, passes)| auth.hash_memory_kib >= *memory && auth.hash_iterations >= *passes)
    {
        missing.push(String::from(
            "auth.hash_memory_kib and auth.hash_iterations to be at least 19456 and 2 (or 47104 and 1, 12288 and 3, 9216 and 4, 7168 and 5)",
        ));
    }
    match mail.transport {
        Transport::Off => {}
        Transport::File if !mail.directory.as_os_str().is_empty() => {}
        Transport::File => missing.push(String::from(
            "mail.transport to be \"smtp\" or \"off\" (or \"file\" with a mail.directory)",
        )),
        Transport::Smtp => {
            if mail.from.trim_end_matches('>').ends_with("@localhost") && !is_loopback(&mail.smtp_host) {
                missing.push(String::from("mail.from to be an address that can be answered"));
            }
            if mail.smtp_tls == SmtpTls::None && !mail.smtp_user.is_empty() && !is_loopback(&mail.smtp_host) {
                missing.push(String::from("mail.smtp_tls to be \"starttls\" or \"tls\""));
            }
        }
    }
    missing
}

/// Puts `value` where the dots of `key` lead.
fn insert(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => drop(table.insert(String::from(key), value)),
        Some((section, rest)) => {
            let inner = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

/// `server.port` is set by `SATCHEL_SERVER__PORT`.
fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_ascii_uppercase())
}

/// Whether a container platform sets this variable by itself: Kubernetes does so in every container for every Service of
/// the namespace, in the form of Docker's links as well (`SATCHEL_SERVICE_HOST`, `SATCHEL_PORT_8080_TCP_ADDR`,
/// `SATCHEL_PORT=tcp://…`), so a Service that is called `satchel` or `satchel-server` makes names that are nearly ours.
fn is_service_link(name: &str, value: &str) -> bool {
    const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];
    let is_address = PROTOCOLS.iter().any(|protocol| {
        value.split_once("://").is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case(protocol))
    });
    let words: Vec<_> = name.split('_').collect();
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    let of_port = |at: usize| match &words[at..] {
        ["PORT", number, protocol] => is_number(number) && PROTOCOLS.contains(protocol),
        ["PORT", number, protocol, "PROTO" | "PORT" | "ADDR"] => {
            is_number(number) && PROTOCOLS.contains(protocol)
        }
        ["PORT"] => is_address,
        ["SERVICE", "HOST" | "PORT"] | ["SERVICE", "PORT", ..] => true,
        _ => false,
    };
    !name.contains("__") && (1..words.len()).any(of_port)
}

fn unknown(source: &str, key: &str) -> Error {
    let keys = || SETTINGS.iter().map(|(known, _)| *known);
    let last = |key: &'static str| key.rsplit('.').next().unwrap_or(key);
    let meant = nearest(key, keys(), (key.len() / 4).clamp(2, 4)).or_else(|| {
        // The right name in the wrong section.
        let name = key.rsplit('.').next().unwrap_or(key);
        let mut same = keys().filter(|known| last(known) == name);
        same.next().filter(|_| same.next().is_none())
    });
    let shown: String = key.escape_debug().take(100).collect();
    match meant {
        Some(meant) => Error::fault(format!("{source}: unknown key {shown} (did you mean {meant}?)")),
        None => Error::fault(format!("{source}: unknown key {shown}")),
    }
}
