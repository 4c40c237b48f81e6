//! Tests of the command line.

use super::*;

fn read(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace()).and_then(Cli::settled)
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

/// Walks every command, so that a new one cannot come without an example, nor with one that does not parse.
#[test]
fn every_command_has_help_with_an_example_that_parses() {
    fn walk(command: &clap::Command, path: &str) {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let examples: Vec<_> = help.lines().filter_map(|line| line.strip_prefix("  ")).collect();
        assert!(!examples.is_empty(), "`{path}` has no example");
        assert!(command.get_about().is_some(), "`{path}` says nothing");
        for example in examples {
            assert!(example.starts_with(path), "`{path}` has the example of another: {example}");
            let line = example.split(['<', '>']).next().unwrap_or(example);
            if let Err(error) = read(line) {
                panic!("{example}: {error}");
            }
        }
        for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
            walk(inner, &format!("{path} {}", inner.get_name()));
        }
    }
    walk(&Cli::command(), "satchel");
}

#[test]
fn no_command_is_serve_and_flags_may_stand_before_or_after() {
    let check = |line: &str, host: Option<&str>, port: Option<u16>, data: Option<&str>| {
        let cli = read(line).unwrap();
        let expected = Overrides { host: host.map(String::from), port, data: data.map(String::from) };
        assert_eq!(cli.overrides(), expected, "{line}");
    };
    check("satchel", None, None, None);
    check("satchel --port 9000 --data d", None, Some(9000), Some("d"));
    check("satchel serve --host ::1 --port 0", Some("::1"), Some(0), None);
    check("satchel --port 1 --host localhost serve --port 2 --data d", Some("localhost"), Some(2), Some("d"));
    check("satchel --data d keys list", None, None, Some("d"));
    check("satchel keys list --data d", None, None, Some("d"));
}

#[test]
fn host_and_port_are_refused_where_nothing_listens() {
    for line in ["satchel --port 1 keys list", "satchel --host ::1 check", "satchel keys list --port 1"] {
        assert_eq!(read(line).unwrap_err().exit_code(), 2, "{line}");
    }
}

#[test]
fn a_reason_has_no_number() {
    let taken = io::Error::from_raw_os_error(rustix::io::Errno::ADDRINUSE.raw_os_error());
    assert_eq!(reason(&taken), "address already in use");
    assert_eq!(reason(&io::Error::other("No")), "no");
}

#[test]
fn a_fault_says_nothing_twice() {
    let check = |causes: &[&str], expected: &str| {
        let innermost = anyhow::Error::msg(causes[0].to_owned());
        let fault = causes[1..].iter().fold(innermost, |fault, cause| fault.context((*cause).to_owned()));
        assert_eq!(sentence(&Error::Fault(fault)), expected);
    };
    check(&["no such thing"], "no such thing");
    check(&["Is a directory (os error 21)", "cannot read a"], "cannot read a: Is a directory");
    check(
        &["Is a directory (os error 21)", "cannot read a: Is a directory (os error 21)"],
        "cannot read a: Is a directory",
    );
    check(
        &["a cannot be listed (No (os error 13)): give it to its owner", "looking at the keys"],
        "looking at the keys: a cannot be listed (No): give it to its owner",
    );
    check(&["Error code 11: malformed", "malformed", "a is damaged"], "a is damaged: malformed");
}

#[test]
fn a_key_id_may_begin_with_a_hyphen() {
    for line in ["satchel keys retire -abc --now", "satchel keys retire --now -abc"] {
        let Some(Command::Keys(command)) = read(line).unwrap().command else { panic!("{line}") };
        assert_eq!(command, KeysCommand::Retire { kid: String::from("-abc"), now: true }, "{line}");
    }
}

#[test]
fn steps_are_at_least_one() {
    for line in ["satchel migrate up 0", "satchel migrate down 0", "satchel migrate down -1"] {
        assert_eq!(read(line).unwrap_err().exit_code(), 2, "{line}");
    }
    let Some(Command::Migrate(down)) = read("satchel migrate down").unwrap().command else { panic!() };
    assert_eq!(down, MigrateCommand::Down { steps: 1 });
}
