//! `satchel check`: says what would run, and changes nothing.

use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use crate::config::{Config, Host, SmtpTls, Transport};
use crate::error::Result;

/// Prints what `serve` would run with this configuration, which `Config::load` has found good.
pub fn run(config: &Config) -> Result<()> {
    super::say(report(config).trim_end())
}

/// One line for each subject, then one for each setting that is not its default, then what deserves a look.
fn report(config: &Config) -> String {
    let (server, auth) = (&config.server, &config.auth);
    let mut text = String::new();
    let mut line = |name: &str, what: String| {
        let _ = writeln!(text, "{name:<12} {what}");
    };
    line("environment", format!("{:?}", config.environment).to_lowercase());
    line("listens on", listens(config));
    line("public URL", config.public_url());
    line("docs", if server.docs { format!("{}/scalar", config.public_url()) } else { String::from("off") });
    line("data", format!("{}: {}", server.data.display(), directory(&server.data)));
    line("database", database(&config.database()));
    line("mail", mail(config));
    line(
        "passwords",
        format!(
            "argon2id, memory {} KiB, passes {}, lanes {}, threads {}",
            auth.hash_memory_kib,
            auth.hash_iterations,
            auth.hash_parallelism,
            auth.hashers()
        ),
    );
    line("sign-in", sign_in(config));
    line("directory", format!("{:?}", config.users.directory).to_lowercase());
    line("log", format!("{:?}, {}", config.log.format, config.log.level).to_lowercase());

    if config.changed.is_empty() {
        text.push_str("\nEvery setting is its default.\n");
    } else {
        text.push_str("\nSettings that are not their defaults:\n");
    }
    for changed in &config.changed {
        let _ = writeln!(text, "  {} = {} ({})", changed.key, changed.value, changed.source);
    }
    for note in notes(config) {
        let _ = writeln!(text, "\nNote: {note}");
    }
    text
}

fn listens(config: &Config) -> String {
    let port = config.server.port;
    let at = |ip: IpAddr| {
        if port == 0 { format!("{ip}, any free port") } else { SocketAddr::new(ip, port).to_string() }
    };
    match config.server.host {
        Host::Address(ip) => at(ip),
        Host::Localhost => {
            format!("{} and {}", at(Ipv4Addr::LOCALHOST.into()), at(Ipv6Addr::LOCALHOST.into()))
        }
    }
}

/// What is there, and whether this user could write to it, as far as the permissions tell.
fn directory(path: &Path) -> &'static str {
    match fs::metadata(path) {
        Ok(meta) if !meta.is_dir() => "is not a directory",
        Ok(_) if is_writable(path) => "is there",
        Ok(_) => "is there, but cannot be written to",
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let parents = path.ancestors().skip(1);
            let nearest = parents
                .map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent })
                .find(|parent| parent.exists());
            match nearest {
                Some(parent) if parent.is_dir() && is_writable(parent) => "will be made",
                _ => "is not there and cannot be made",
            }
        }
        Err(_) => "cannot be looked at",
    }
}

fn database(path: &Path) -> String {
    let state = match fs::metadata(path) {
        Ok(meta) if meta.is_file() => format!("{} bytes", meta.len()),
        Ok(_) => String::from("is not a file"),
        Err(error) if error.kind() == ErrorKind::NotFound => String::from("will be made"),
        Err(error) => super::reason(&error),
    };
    format!("{}: {state}", path.display())
}

/// Asks the system, so that nothing has to be written.
fn is_writable(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_ok()
}

fn mail(config: &Config) -> String {
    let mail = &config.mail;
    match mail.transport {
        Transport::Off => String::from("off"),
        Transport::File => {
            let path = config.mail_directory();
            format!("files in {}: {}", path.display(), directory(&path))
        }
        Transport::Smtp => {
            let tls = match mail.smtp_tls {
                SmtpTls::Starttls => "STARTTLS",
                SmtpTls::Tls => "TLS",
                SmtpTls::None => "no TLS",
            };
            let user = if mail.smtp_user.is_empty() { "nobody" } else { &mail.smtp_user };
            format!("{}:{} with {tls}, as {user}, from {}", mail.smtp_host, mail.smtp_port, mail.from)
        }
    }
}

fn sign_in(config: &Config) -> String {
    let auth = &config.auth;
    let confirmed = if auth.require_confirmed_email { "everybody" } else { "contactbook's users" };
    let delays = if auth.sign_in_delays {
        format!(
            "failures are free {} times an account and {} times an address",
            auth.sign_in_free_failures_account, auth.sign_in_free_failures_address
        )
    } else {
        String::from("failures are always free")
    };
    format!("{delays}; {confirmed} must confirm the e-mail address")
}

/// What is allowed, and yet may not be meant.
fn notes(config: &Config) -> Vec<&'static str> {
    let mut notes = Vec::new();
    if config.public_url().starts_with("https://") && config.server.trusted_proxies.0.is_empty() {
        notes.push(
            "server.public_url is https, so a proxy stands in front, but server.trusted_proxies is empty: all clients share the proxy's address.",
        );
    }
    if config.is_production() && !config.auth.sign_in_delays {
        notes.push("auth.sign_in_delays is off: passwords can be guessed as fast as they are hashed.");
    }
    if config.is_production() && !config.contactbook.limits.enabled {
        notes.push("contactbook.limits.enabled is false: anybody may have as many letters sent to an address as they like.");
    }
    if config.mail.transport == Transport::Off {
        notes.push("mail.transport is \"off\": nobody can confirm an e-mail address or reset a password.");
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Overrides;

    fn report_of(pairs: &[(&str, &str)]) -> String {
        let env = pairs.iter().map(|(name, value)| (String::from(*name), String::from(*value)));
        let file = tempfile::NamedTempFile::new().unwrap();
        report(&Config::load(Some(file.path()), env, &Overrides::default()).unwrap())
    }

    #[test]
    fn the_report_says_what_would_run() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("deep/data");
        let data = data.to_str().unwrap();
        let text = report_of(&[("SATCHEL_SERVER__DATA", data), ("SATCHEL_SERVER__PORT", "9000")]);
        let expected = format!(
            "environment  development
listens on   127.0.0.1:9000
public URL   http://127.0.0.1:9000
docs         http://127.0.0.1:9000/scalar
data         {data}: will be made
database     {data}/satchel.db: will be made
mail         files in {data}/mail: will be made
"
        );
        assert!(text.starts_with(&expected), "{text}");
        let changed = format!(
            "
Settings that are not their defaults:
  server.port = 9000 (SATCHEL_SERVER__PORT)
  server.data = {data:?} (SATCHEL_SERVER__DATA)
"
        );
        assert!(text.ends_with(&changed), "{text}");
        assert!(!Path::new(data).exists());
    }

    #[test]
    fn the_report_hides_secrets() {
        let text = report_of(&[("SATCHEL_MAIL__SMTP_USER", "u"), ("SATCHEL_MAIL__SMTP_PASSWORD", "hunter2")]);
        assert!(text.contains("  mail.smtp_password = (hidden) (SATCHEL_MAIL__SMTP_PASSWORD)\n"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }

    #[test]
    fn a_file_in_the_place_of_the_data_is_told() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(directory(file.path()), "is not a directory");
        assert_eq!(directory(file.path().parent().unwrap()), "is there");
    }

    #[test]
    fn the_report_notes_what_may_not_be_meant() {
        let text = report_of(&[
            ("SATCHEL_SERVER__PUBLIC_URL", "https://satchel.example.org"),
            ("SATCHEL_MAIL__TRANSPORT", "off"),
        ]);
        assert_eq!(text.matches("\nNote: ").count(), 2, "{text}");
    }
}
