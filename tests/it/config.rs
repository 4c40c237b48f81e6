//! The configuration: what each source may say, which wins, and the sentence for every slip.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use satchel::config::{
    CommonPasswords, Config, Directory, Environment, ForwardedHeader, Host, Limit, Limits, Network,
    Overrides, Transport,
};

/// Loads `file`, under the name `config.toml`, and `env`, in the form `NAME=value`.
fn load_with(file: &str, env: &[&str], flags: &Overrides) -> Result<Config, String> {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let path = directory.path().join("config.toml");
    std::fs::write(&path, file).expect("a file can be written");
    let env = env.iter().map(|pair| pair.split_once('=').expect("a variable has a value"));
    let env = env.map(|(name, value)| (String::from(name), String::from(value)));
    Config::load(Some(&path), env, flags)
        .map_err(|error| error.to_string().replace(&format!("{}/", directory.path().display()), ""))
}

fn load(file: &str, env: &[&str]) -> Result<Config, String> {
    load_with(file, env, &Overrides::default())
}

#[test]
fn the_shipped_file_says_exactly_the_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.toml");
    let config = Config::load(Some(&path), std::iter::empty(), &Overrides::default()).unwrap();
    assert!(config.source("server.port").is_some());
    assert_eq!(config, Config::default());
}

fn keys(prefix: &str, table: &toml::Table, keys: &mut BTreeSet<String>) {
    for (name, value) in table {
        match value {
            toml::Value::Table(inner) => self::keys(&format!("{prefix}{name}."), inner, keys),
            _ => drop(keys.insert(format!("{prefix}{name}"))),
        }
    }
}

#[test]
fn the_shipped_file_has_every_key_and_a_comment_over_each() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config.toml")).unwrap();
    let (mut shipped, mut known) = (BTreeSet::new(), BTreeSet::new());
    keys("", &text.parse().unwrap(), &mut shipped);
    let toml::Value::Table(default) = toml::Value::try_from(Config::default()).unwrap() else { panic!() };
    keys("", &default, &mut known);
    assert_eq!(shipped, known);

    let lines: Vec<_> = text.lines().collect();
    for pair in lines.windows(2) {
        if pair[1].split_once(" = ").is_some_and(|(key, _)| !key.starts_with('#')) {
            assert!(pair[0].starts_with("# "), "no comment over {}", pair[1]);
        }
    }
}

#[test]
fn every_default_may_be_given_as_a_variable() {
    let toml::Value::Table(default) = toml::Value::try_from(Config::default()).unwrap() else { panic!() };
    let mut known = BTreeSet::new();
    keys("", &default, &mut known);
    for key in known {
        let value =
            key.split('.').fold(&toml::Value::Table(default.clone()), |value, name| &value[name]).clone();
        let text = value.as_str().map_or_else(|| value.to_string(), String::from);
        let variable = format!("SATCHEL_{}={text}", key.replace('.', "__").to_uppercase());
        assert_eq!(load("", &[&variable]), Ok(Config::default()), "{variable}");
    }
}

#[test]
fn a_later_source_wins_and_what_changed_is_told_with_its_source() {
    let flags = Overrides { port: Some(3), ..Overrides::default() };
    let file = "server.port = 1\nserver.docs = false\nlog.level = \"info\"";
    let config =
        load_with(file, &["SATCHEL_SERVER__PORT=2", "SATCHEL_AUTH__LEEWAY_SECONDS=5"], &flags).unwrap();
    assert_eq!(config.server.port, 3);
    let changed: Vec<_> = config.changed.iter().map(|it| (it.key, it.value.as_str())).collect();
    assert_eq!(changed, [("server.port", "3"), ("server.docs", "false"), ("auth.leeway_seconds", "5")]);
    assert_eq!(config.changed[0].source, "--port");
    assert!(config.changed[1].source.ends_with("config.toml"));
    assert_eq!(config.changed[2].source, "SATCHEL_AUTH__LEEWAY_SECONDS");
}

#[test]
fn variables_take_the_type_of_their_key() {
    let config = load(
        "",
        &[
            "SATCHEL_AUTH__ISSUER=12",
            "SATCHEL_SERVER__HOST=localhost",
            "SATCHEL_SERVER__TRUSTED_PROXIES=127.0.0.1, 10.0.0.0/8",
            "SATCHEL_SERVER__FORWARDED_HEADER=forwarded",
            "SATCHEL_SERVER__CORS_ORIGINS=[\"https://a.example\", 'http://b.example:81']",
            "SATCHEL_CONTACTBOOK__LIMITS__CREATE_CONTACT=off",
            "SATCHEL_CONTACTBOOK__LIMITS__LOGIN=7/hour",
            "SATCHEL_DB__MAX_PAGES=1000",
            "SATCHEL_DB__MIGRATE_ON_START=false",
            "SATCHEL_USERS__DIRECTORY=admins",
            "SATCHEL_MAIL__TRANSPORT=off",
            "PATH=/bin",
            "SATCHEL_BENCH_SECONDS=3",
        ],
    )
    .unwrap();
    assert_eq!(config.auth.issuer, "12");
    assert_eq!(config.server.host, Host::Localhost);
    assert!(config.server.trusted_proxies.contains([10, 200, 0, 1].into()));
    assert!(!config.server.trusted_proxies.contains([11, 0, 0, 1].into()));
    assert_eq!(config.server.forwarded_header, ForwardedHeader::Forwarded);
    assert_eq!(config.server.cors_origins, ["https://a.example", "http://b.example:81"]);
    assert_eq!(config.contactbook.limits.create_contact, Limit::Off);
    assert_eq!(config.contactbook.limits.login, Limit::Rate { count: 7, per_seconds: 3_600 });
    assert_eq!(config.db.max_pages, Some(1_000));
    assert!(!config.db.migrate_on_start);
    assert_eq!(config.users.directory, Directory::Admins);
    assert_eq!(config.mail.transport, Transport::Off);
}

#[test]
fn common_passwords_are_refused_in_production_and_taken_in_development_unless_it_is_said() {
    let check = |environment: Environment, said: &str, expected| {
        let mut config = load(said, &[]).unwrap();
        config.environment = environment;
        assert_eq!(config.common_passwords(), expected, "{environment:?} {said}");
    };
    check(Environment::Development, "", CommonPasswords::Allow);
    check(Environment::Production, "", CommonPasswords::Refuse);
    for environment in [Environment::Development, Environment::Production] {
        check(environment, "auth.common_passwords = \"allow\"", CommonPasswords::Allow);
        check(environment, "auth.common_passwords = \"refuse\"", CommonPasswords::Refuse);
    }
    assert_eq!(
        load("", &["SATCHEL_AUTH__COMMON_PASSWORDS=warn"]).unwrap_err(),
        "SATCHEL_AUTH__COMMON_PASSWORDS: auth.common_passwords is \"warn\", allowed: \"refuse\" or \"allow\""
    );
}

#[test]
fn a_slip_in_the_file_is_one_sentence() {
    let check = |file: &str, expected: &str| {
        assert_eq!(load(file, &[]).unwrap_err(), format!("config.toml: {expected}"), "{file}");
    };
    check("[server]\nport = 70000", "server.port is 70000, allowed: 0 to 65535");
    check("[server]\nport = -1", "server.port is -1, allowed: 0 to 65535");
    check("[server]\nport = \"80\"", "server.port is \"80\", allowed: 0 to 65535");
    check("[server]\nport = 80.5", "server.port is 80.5, allowed: 0 to 65535");
    check("[server]\nport = {}", "server.port is a section, allowed: 0 to 65535");
    check("[server.port]\nnumber = 80", "server.port is a section, allowed: 0 to 65535");
    check("server = 80", "server is 80, allowed: a section, [server]");
    check(
        "contactbook.limits = \"off\"",
        "contactbook.limits is \"off\", allowed: a section, [contactbook.limits]",
    );
    check("[server]\nprot = 80", "unknown key server.prot (did you mean server.port?)");
    check("[sever]\nport = 80", "unknown key sever.port (did you mean server.port?)");
    check("[auth]\npublic_url = \"\"", "unknown key auth.public_url (did you mean server.public_url?)");
    check("colour = 1", "unknown key colour");
    check("[colour]", "unknown key colour");
    check("\"a\\nb\" = 1", "unknown key a\\nb");
    check("enviroment = \"production\"", "unknown key enviroment (did you mean environment?)");
    check(
        "environment = \"staging\"",
        "environment is \"staging\", allowed: \"development\" or \"production\"",
    );
    check("[server]\nhost = \"here\"", "server.host is \"here\", allowed: an IP address or \"localhost\"");
    check("[server]\ndocs = \"yes\"", "server.docs is \"yes\", allowed: true or false");
    check("[server]\ndata = \"\"", "server.data is \"\", allowed: the path of a directory");
    check("[server]\ndata = \"a\\u0000b\"", "server.data is \"a\\0b\", allowed: the path of a directory");
    check(
        "[server]\ntimezone = \"Europe/Atlantis\"",
        "server.timezone is \"Europe/Atlantis\", allowed: a name of the IANA time zone database \
         such as \"Europe/Berlin\"",
    );
    check("[auth]\nleeway_seconds = 60", "auth.leeway_seconds is 60, allowed: 0 to 5");
    check(
        "[auth]\nhash_memory_kib = 64\nhash_parallelism = 8\n[mail]\nsmtp_host = \"mx\"\nsmtp_user = \"u\"\n[log]\nlevel = \"verbose\"",
        "log.level is \"verbose\", allowed: off, error, warn, info, debug or trace, or directives such as \"info,satchel::db=debug\"",
    );
    check(
        "[contactbook.limits]\nlogin = \"10/fortnight\"",
        "contactbook.limits.login is \"10/fortnight\", allowed: \"off\" or a count per second, minute, hour or day, such as \"10/minute\"",
    );
    check(
        "[users]\ndirectory = \"friends\"",
        "users.directory is \"friends\", allowed: \"public\", \"members\" or \"admins\"",
    );
    check(
        "[users]\naddresses = \"public\"",
        "users.addresses is \"public\", allowed: \"members\" or \"admins\"",
    );
    check(
        "[mail]\nfrom = \"a@b.example\\r\\nBcc: c@d.example\"",
        "mail.from is \"a@b.example\\r\\nBcc: c@d.example\", allowed: an address, or a name and an address such as \"Satchel <post@example.org>\"",
    );
    check("[mail]\nsmtp_password = 12345", "mail.smtp_password is (hidden), allowed: a text");
    check("[mail]\nsmtp_password = \"12345\"", "mail.smtp_password is set, which needs mail.smtp_user");
    check("[mail]\ntransport = \"smtp\"", "mail.transport is \"smtp\", which needs mail.smtp_host");
    check(
        "[auth]\nhash_memory_kib = 64\nhash_parallelism = 8\nhash_iterations = 65",
        "auth.hash_iterations is 65, allowed: 1 to 64",
    );
}

#[test]
fn a_wrong_list_is_shown_and_refused_whole() {
    let check = |key: &str, value: &str, words: &str| {
        let error = load(&format!("[server]\n{key} = {value}"), &[]).unwrap_err();
        assert_eq!(error, format!("config.toml: server.{key} is {value}, allowed: {words}"));
    };
    let networks = "a list of addresses and networks such as [\"127.0.0.1\", \"10.0.0.0/8\"]";
    for value in
        ["[\"10.0.0.0/33\"]", "[\"10.0.0.0/+8\"]", "[\"proxy\"]", "[8]", "\"10.0.0.1\"", "[\"::/129\"]"]
    {
        check("trusted_proxies", value, networks);
    }
    let origins = "a list of origins such as [\"https://app.example.org\"]";
    for value in [
        "[\"*\"]",
        "[\"null\"]",
        "[\"https://*.a.example\"]",
        "[\"https://a.example/\"]",
        "[\"app.example\"]",
        "[\"https://a.example:0\"]",
        "[\"file://a\"]",
        "[\"://a\"]",
    ] {
        check("cors_origins", value, origins);
    }
}

#[test]
fn a_public_url_has_a_host_and_neither_user_nor_query() {
    for good in ["", "https://a.example", "http://[::1]:80", "https://a.example:8443/satchel/"] {
        assert!(load(&format!("server.public_url = \"{good}\""), &[]).is_ok(), "{good}");
    }
    for bad in [
        "a.example",
        "ftp://a.example",
        "https://",
        "https://u:p@a.example",
        "https://a.example?x",
        "https://a b",
    ] {
        let error = load(&format!("server.public_url = \"{bad}\""), &[]).unwrap_err();
        assert_eq!(
            error,
            format!(
                "config.toml: server.public_url is \"{bad}\", allowed: \"\" or an address such as \"https://satchel.example.org\""
            )
        );
    }
}

#[test]
fn a_file_that_is_no_toml_is_told_with_its_line() {
    let check = |file: &str, line: usize| {
        let error = load(file, &[]).unwrap_err();
        assert!(error.starts_with(&format!("config.toml: line {line}: ")), "{error}");
        assert!(!error.contains('\n') && !error.contains("hunter2"), "{error}");
    };
    check("[server\nport = 1", 1);
    check("[server]\nport = 1\nport = 2", 3);
    check("\n\nport 80", 3);
    check("[mail]\nsmtp_password = \"hunter2\n", 2);
    check("[mail]\nsmtp_password = hunter2", 2);
}

#[test]
fn a_file_that_was_named_must_be_there_and_be_text() {
    let directory = tempfile::tempdir().unwrap();
    let check = |name: &str, expected: &str| {
        let path = directory.path().join(name);
        let error = Config::load(Some(&path), std::iter::empty(), &Overrides::default()).unwrap_err();
        assert!(error.to_string().starts_with(&format!("{}: {expected}", path.display())), "{error}");
    };
    check("absent.toml", "there is no such file");
    std::fs::write(directory.path().join("binary.toml"), [0xff, 0xfe]).unwrap();
    check("binary.toml", "the file is not UTF-8");
    std::fs::create_dir(directory.path().join("directory.toml")).unwrap();
    check("directory.toml", "the file cannot be read: ");
}

#[test]
fn a_slip_in_a_variable_is_one_sentence() {
    let check = |variable: &str, expected: &str| {
        assert_eq!(load("", &[variable]).unwrap_err(), expected);
    };
    check("SATCHEL_SERVER__PORT=x", "SATCHEL_SERVER__PORT: server.port is \"x\", allowed: 0 to 65535");
    check("SATCHEL_SERVER__PORT=", "SATCHEL_SERVER__PORT: server.port is \"\", allowed: 0 to 65535");
    check(
        "SATCHEL_SERVER__PORT=99999999999999999999",
        "SATCHEL_SERVER__PORT: server.port is \"99999999999999999999\", allowed: 0 to 65535",
    );
    check("SATCHEL_SERVER__DOCS=1", "SATCHEL_SERVER__DOCS: server.docs is \"1\", allowed: true or false");
    check(
        "SATCHEL_SERVER__PROT=1",
        "SATCHEL_SERVER__PROT: unknown variable (did you mean SATCHEL_SERVER__PORT?)",
    );
    check(
        "SATCHEL_SERVER_PORT=1",
        "SATCHEL_SERVER_PORT: unknown variable (did you mean SATCHEL_SERVER__PORT?)",
    );
    check("SATCHEL_ENVIROMENT=x", "SATCHEL_ENVIROMENT: unknown variable (did you mean SATCHEL_ENVIRONMENT?)");
    check("SATCHEL_PAINT__COLOUR=x", "SATCHEL_PAINT__COLOUR: unknown variable");
}

#[test]
fn a_variable_that_satchel_does_not_have_is_ignored_and_told() {
    let check = |variables: &[&str], expected: &[&str]| {
        let config = load("", variables).unwrap();
        assert_eq!(config.ignored, expected, "{variables:?}");
        assert_eq!(Config { ignored: Vec::new(), ..config }, Config::default(), "{variables:?}");
    };
    let told = |name: &str, meant: &str| {
        format!("{name}: ignored, there is no such variable (did you mean {meant}?)")
    };
    for (name, meant) in [
        ("SATCHEL_PORT", "SATCHEL_SERVER__PORT"),
        ("SATCHEL_HOST", "SATCHEL_SERVER__HOST"),
        ("SATCHEL_DATA", "SATCHEL_SERVER__DATA"),
        ("SATCHEL_PUBLIC_URL", "SATCHEL_SERVER__PUBLIC_URL"),
        ("SATCHEL_SMTP_PASSWORD", "SATCHEL_MAIL__SMTP_PASSWORD"),
        ("SATCHEL_ISSUER", "SATCHEL_AUTH__ISSUER"),
    ] {
        check(&[&format!("{name}=7")], &[&told(name, meant)]);
    }
    // Two sections have the same name.
    let both = "SATCHEL_ACCESS_MINUTES: ignored, there is no such variable (did you mean \
                SATCHEL_BOOKSHELF__ACCESS_MINUTES or SATCHEL_IDENTITY__ACCESS_MINUTES or \
                SATCHEL_CONTACTBOOK__ACCESS_MINUTES?)";
    check(&["SATCHEL_ACCESS_MINUTES=7"], &[both]);
    let unknown = ["SATCHEL_", "SATCHEL_ENV", "SATCHEL_HOME"];
    let told = unknown.map(|name| format!("{name}: ignored, there is no such variable"));
    check(
        &["SATCHEL_=1", "SATCHEL_ENV=production", "SATCHEL_HOME=/srv"],
        &told.each_ref().map(String::as_str),
    );
}

#[test]
fn what_a_container_platform_sets_is_ignored_whatever_the_service_is_called() {
    for variable in [
        "SATCHEL_SERVER_PORT=tcp://10.0.0.1:8000",
        "SATCHEL_SERVER_PORT=udp://10.0.0.1:8000",
        "SATCHEL_SERVER_SERVICE_HOST=10.0.0.1",
        "SATCHEL_SERVER_PORT_8000_TCP_PORT=8000",
        "SATCHEL_LOG_PORT_514_UDP_PROTO=udp",
        "SATCHEL_DB_SERVICE_PORT_SQL=1",
        "SATCHEL_PORT_53_UDP=udp://10.0.0.1:53",
    ] {
        let config = load("", &[variable]).unwrap();
        let name = variable.split_once('=').unwrap().0;
        assert_eq!(config.ignored.len(), 1, "{variable}");
        assert!(
            config.ignored[0].starts_with(&format!("{name}: ignored, a container platform")),
            "{variable}"
        );
    }
}

#[test]
fn a_slip_in_a_flag_is_one_sentence() {
    let check = |flags: Overrides, expected: &str| {
        assert_eq!(load_with("", &[], &flags).unwrap_err(), expected);
    };
    check(
        Overrides { host: Some(String::from("here")), ..Overrides::default() },
        "--host: server.host is \"here\", allowed: an IP address or \"localhost\"",
    );
    check(
        Overrides { data: Some(String::new()), ..Overrides::default() },
        "--data: server.data is \"\", allowed: the path of a directory",
    );
}

#[test]
fn production_says_everything_that_is_missing_at_once() {
    let check = |rest: &str, expected: Option<&str>| {
        let loaded = load(&format!("environment = \"production\"\n{rest}"), &[]);
        let expected =
            expected.map(|needs| format!("config.toml: environment is \"production\", which needs {needs}"));
        assert_eq!(loaded.err(), expected, "{rest}");
    };
    let url = "server.public_url to begin with https://";
    let mail = "mail.transport to be \"smtp\" or \"off\" (or \"file\" with a mail.directory)";
    let hash = "auth.hash_memory_kib and auth.hash_iterations to be at least 19456 and 2 (or 47104 and 1, 12288 and 3, 9216 and 4, 7168 and 5)";
    let proxies = "server.trusted_proxies to name proxies, not everybody";

    check("", Some(&format!("{url}; {mail}")));
    check(
        "auth.hash_iterations = 1\nserver.trusted_proxies = [\"0.0.0.0/0\"]\nserver.public_url = \"http://a.example\"",
        Some(&format!("{url}, not http://a.example; {proxies}; {hash}; {mail}")),
    );

    let good = "server.public_url = \"https://a.example\"\nmail.transport = \"off\"\n";
    check(good, None);
    check(&format!("{good}auth.hash_memory_kib = 47104\nauth.hash_iterations = 1"), None);
    check(&format!("{good}auth.hash_memory_kib = 7168\nauth.hash_iterations = 5"), None);
    check(&format!("{good}auth.hash_memory_kib = 7167\nauth.hash_iterations = 5"), Some(hash));
    check("server.public_url = \"http://localhost:8000\"\nmail.directory = \"letters\"", None);
    check("server.public_url = \"http://[::1]:8000\"\nmail.directory = \"letters\"", None);

    let smtp = "server.public_url = \"https://a.example\"\n[mail]\ntransport = \"smtp\"\nsmtp_host = \"mx.example\"\n";
    check(smtp, Some("mail.from to be an address that can be answered"));
    let smtp = format!("{smtp}from = \"post@a.example\"\n");
    check(&smtp, None);
    check(
        &format!("{smtp}smtp_user = \"u\"\nsmtp_password = \"p\"\nsmtp_tls = \"none\""),
        Some("mail.smtp_tls to be \"starttls\" or \"tls\""),
    );
}

#[test]
fn production_set_by_a_variable_is_told_with_the_variable() {
    let error = load("", &["SATCHEL_ENVIRONMENT=production"]).unwrap_err();
    assert!(error.starts_with("SATCHEL_ENVIRONMENT: environment is \"production\", which needs "), "{error}");
    let config = load(
        "",
        &[
            "SATCHEL_ENVIRONMENT=production",
            "SATCHEL_SERVER__PUBLIC_URL=https://a.example",
            "SATCHEL_MAIL__TRANSPORT=off",
        ],
    );
    assert_eq!(config.unwrap().environment, Environment::Production);
}

#[test]
fn a_secret_is_shown_nowhere() {
    let config = load("", &["SATCHEL_MAIL__SMTP_USER=u", "SATCHEL_MAIL__SMTP_PASSWORD=hunter2"]).unwrap();
    assert_eq!(config.mail.smtp_password.reveal(), "hunter2");
    assert!(!format!("{config:?}").contains("hunter2"));
    assert!(!toml::to_string(&config).unwrap().contains("hunter2"));
}

#[test]
fn a_network_holds_the_addresses_of_its_prefix_only() {
    let check = |network: &str, ip: &str, expected: bool| {
        let network: Network = network.parse().unwrap();
        assert_eq!(network.contains(ip.parse().unwrap()), expected, "{network} {ip}");
    };
    check("10.1.2.3", "10.1.2.3", true);
    check("10.1.2.3", "10.1.2.4", false);
    check("10.1.2.3", "::ffff:10.1.2.3", true);
    check("::ffff:10.1.2.0/120", "10.1.2.77", true);
    check("10.0.0.0/8", "10.255.255.255", true);
    check("10.0.0.0/8", "11.0.0.0", false);
    check("0.0.0.0/0", "203.0.113.9", true);
    check("0.0.0.0/0", "2001:db8::1", false);
    check("2001:db8::/32", "2001:db8:ffff::1", true);
    check("2001:db8::/32", "2001:db9::1", false);
    check("::/0", "2001:db8::1", true);
    check("::1", "::1", true);
}

#[test]
fn the_public_url_is_made_from_host_and_port_unless_it_is_set() {
    let check = |file: &str, expected: &str| {
        assert_eq!(load(file, &[]).unwrap().public_url(), expected, "{file}");
    };
    check("", "http://127.0.0.1:8000");
    check("server.host = \"0.0.0.0\"\nserver.port = 9000", "http://127.0.0.1:9000");
    check("server.host = \"::\"", "http://[::1]:8000");
    check("server.host = \"localhost\"", "http://localhost:8000");
    check("server.host = \"[2001:db8::1]\"", "http://[2001:db8::1]:8000");
    check("server.public_url = \"https://a.example/satchel/\"", "https://a.example/satchel");
}

#[test]
fn lifetimes_are_the_documented_ones() {
    let config = Config::default();
    let (minute, hour, day) = (60, 3_600, 86_400);
    let lifetimes = [
        (config.bookshelf.lifetimes().access, 30 * minute),
        (config.bookshelf.lifetimes().session(), 7 * day),
        (config.store.lifetimes().access, 24 * hour),
        (config.todolist.lifetimes().access, 24 * hour),
        (config.identity.lifetimes().access, 15 * minute),
        (config.identity.lifetimes().session(), 7 * day),
        (config.contactbook.lifetimes().access, 15 * minute),
        (config.contactbook.lifetimes().session(), 7 * day),
        // And a minute, in which the key that signed it still verifies.
        (config.longest_token(), 7 * day + minute),
        (config.auth.confirm_token(), 7 * day),
        (config.auth.reset_token(), hour),
        (config.auth.refresh_reuse(), 10),
        (config.users.purge_deleted_after(), 30 * day),
        (config.users.purge_unconfirmed_after().unwrap(), 30 * day),
    ];
    for (lifetime, seconds) in lifetimes {
        assert_eq!(lifetime, Duration::from_secs(seconds));
    }
    assert_eq!(config.store.lifetimes().refresh, None);
    assert_eq!(config.todolist.lifetimes().refresh, None);
}

#[test]
fn the_letters_lie_in_the_data_directory_unless_told_otherwise() {
    assert_eq!(Config::default().mail_directory(), Path::new("./data/mail"));
    let config = load("mail.directory = \"letters\"", &[]).unwrap();
    assert_eq!(config.mail_directory(), Path::new("letters"));
}

#[test]
fn the_settings_in_force_are_told_with_who_gave_them_and_read_back_as_they_are() {
    let file = "environment = \"development\"\n[server]\ntrusted_proxies = [\"10.0.0.0/8\"]\n[mail]\nsmtp_user = \"a \\\"b\\\"\"";
    let env = [
        "SATCHEL_SERVER__HOST=localhost",
        "SATCHEL_MAIL__SMTP_PASSWORD=hunter2",
        "SATCHEL_DB__MAX_PAGES=1000",
    ];
    let flags = Overrides { port: Some(9000), ..Overrides::default() };
    let config = load_with(file, &env, &flags).unwrap();
    let told = config.to_toml();
    for line in [
        "[server]",
        "host = \"localhost\"  # SATCHEL_SERVER__HOST",
        "port = 9000  # --port",
        "data = \"./data\"  # default",
        "max_pages = 1000  # SATCHEL_DB__MAX_PAGES",
        "# smtp_password is set, and not shown  # SATCHEL_MAIL__SMTP_PASSWORD",
        "[contactbook.limits]",
        "signup = \"2/minute\"  # default",
    ] {
        assert!(told.lines().any(|found| found == line), "{line}:\n{told}");
    }
    assert!(told.contains("trusted_proxies = [\"10.0.0.0/8\"]  # ") && !told.contains("hunter2"), "{told}");
    let mut known = BTreeSet::new();
    let toml::Value::Table(default) = toml::Value::try_from(Config::default()).unwrap() else { panic!() };
    keys("", &default, &mut known);
    let mut table = BTreeSet::new();
    keys("", &told.parse().unwrap(), &mut table);
    known.remove("mail.smtp_password");
    known.insert("db.max_pages".into());
    assert_eq!(table, known);
    let plain = |config: Config| Config { changed: Vec::new(), ..config };
    let again = load(&told, &["SATCHEL_MAIL__SMTP_PASSWORD=hunter2"]).unwrap();
    assert_eq!(plain(again), plain(config));
}

#[test]
fn one_switch_turns_every_limit_of_contactbook_off() {
    let file = "[contactbook.limits]\nenabled = false\nsignup = \"3/hour\"";
    let config = load(file, &[]).unwrap();
    assert_eq!(config.contactbook.limits, Limits::OFF);
    assert!(
        config.to_toml().contains("signup = \"off\"  # config.toml\n")
            || config.to_toml().contains("/config.toml\n")
    );
    let config = load("", &["SATCHEL_CONTACTBOOK__LIMITS__ENABLED=false"]).unwrap();
    assert_eq!(config.contactbook.limits, Limits::OFF);
    assert!(config.to_toml().contains("letters = \"off\"  # SATCHEL_CONTACTBOOK__LIMITS__ENABLED\n"));
    assert_eq!(
        load("[contactbook.limits]\nenabled = true", &[]).unwrap().contactbook.limits,
        Limits::default()
    );
}
