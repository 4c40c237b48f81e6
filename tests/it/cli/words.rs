//! What commands print: the document, the check, and what happens when nobody reads it.

use std::fs::OpenOptions;
use std::process::Stdio;

use serde_json::Value;

use crate::binary::{Ended, Place, run};
use crate::house::PASSWORD;

#[tokio::test]
async fn openapi_prints_the_document_that_is_served() {
    let place = Place::new();
    let serving = place.serve().await;
    let printed = place.run(&["openapi"]).await;
    let printed: Value = serde_json::from_str(printed.done()).unwrap();
    assert_eq!(printed, serving.get("/openapi.json").await.body);
}

#[tokio::test]
async fn openapi_needs_and_makes_no_data() {
    let place = Place::new();
    place.run(&["openapi"]).await.done();
    assert!(place.files().is_empty());
}

#[tokio::test]
async fn check_says_what_would_run_and_makes_nothing() {
    let place = Place::new();
    place.write("config.toml", "[server]\nport = 9000\n");
    let checked = place.run(&["check"]).await;
    for line in [
        "listens on   127.0.0.1:9000\n",
        "data         ./data: will be made\n",
        "  server.port = 9000 (config.toml)\n",
    ] {
        assert!(checked.done().contains(line), "{}", checked.stdout);
    }
    assert_eq!(place.files().len(), 1);
}

#[tokio::test]
async fn config_prints_the_settings_in_force_and_makes_nothing() {
    let place = Place::new();
    place.write("config.toml", "[server]\nport = 9000\n");
    let mut command = place.command(&["config", "--data", "d"]);
    command.env("SATCHEL_MAIL__SMTP_USER", "u").env("SATCHEL_MAIL__SMTP_PASSWORD", "hunter2");
    let printed = run(command).await;
    for line in [
        "environment = \"development\"  # default\n",
        "\n[server]\nhost = \"127.0.0.1\"  # default\nport = 9000  # config.toml\ndata = \"d\"  # --data\n",
        "hash_memory_kib = 64  # SATCHEL_AUTH__HASH_MEMORY_KIB\n",
        "\n# smtp_password is set, and not shown  # SATCHEL_MAIL__SMTP_PASSWORD\n",
    ] {
        assert!(printed.done().contains(line), "{line}:\n{}", printed.stdout);
    }
    assert!(!printed.stdout.contains("hunter2"));
    assert_eq!(place.files().len(), 1);
    // What it prints can be given back.
    place.write("config.toml", printed.done());
    let again = place.run(&["config"]).await;
    assert!(
        again.done().contains("port = 9000  # config.toml\ndata = \"d\"  # config.toml\n"),
        "{}",
        again.stdout
    );
}

#[tokio::test]
async fn help_names_the_variables() {
    let place = Place::new();
    let help = place.run(&["--help"]).await;
    for name in [
        "SATCHEL_<SECTION>__<KEY>",
        "[env: SATCHEL_SERVER__HOST]",
        "[env: SATCHEL_SERVER__PORT]",
        "[env: SATCHEL_SERVER__DATA]",
        "SATCHEL_ENVIRONMENT=",
    ] {
        assert!(help.done().contains(name), "{name}: {}", help.stdout);
    }
    // Those it names are read.
    for word in help.done().split_whitespace().filter_map(|word| word.strip_prefix("SATCHEL_")) {
        let Some((name, value)) = word.split_once('=') else { continue };
        let mut command = place.command(&["check"]);
        command.env(format!("SATCHEL_{name}"), value.replace('…', "a.example"));
        let checked = run(command).await;
        assert!(!checked.stderr.contains("unknown variable"), "{word}: {}", checked.stderr);
    }
}

#[tokio::test]
async fn every_command_refuses_a_wrong_config() {
    let place = Place::new();
    place.write("config.toml", "[server]\nport = -1\n");
    let before = place.files();
    for args in [&["check"][..], &["migrate", "up"], &["keys", "list"], &["db", "verify"], &["openapi"]] {
        let expected = "config.toml: server.port is -1, allowed: 0 to 65535";
        place.run(args).await.refuses(expected);
    }
    assert_eq!(place.files(), before);
}

#[tokio::test]
async fn a_command_line_that_is_wrong_ends_with_2() {
    let place = Place::new();
    for args in [&["fly"][..], &["serve", "--port", "much"], &["admin", "create"], &["db", "restore"]] {
        let ended = place.run(args).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{}", ended.stderr);
        assert!(ended.stderr.starts_with("error: "), "{}", ended.stderr);
    }
    assert!(place.files().is_empty());
}

#[tokio::test]
async fn the_version_is_that_of_the_package() {
    let printed = Place::new().run(&["--version"]).await;
    assert_eq!(printed.done(), format!("satchel {}\n", env!("CARGO_PKG_VERSION")));
}

/// Each command that prints, in an order in which all of them can be done.
const PRINTING: [&[&str]; 16] = [
    &["--help"],
    &["check"],
    &["config"],
    &["openapi"],
    &["migrate", "up"],
    &["migrate", "status"],
    &["admin", "create", "--email", "ada@example.com", "--password-stdin"],
    &["admin", "confirm", "ada@example.com"],
    &["admin", "list"],
    &["admin", "list", "--all"],
    &["keys", "rotate"],
    &["keys", "list"],
    &["letters", "retry", "--all-dead"],
    &["db", "backup", "copy.db"],
    &["db", "verify"],
    &["db", "drop", "--yes"],
];

/// Does all of them with a stdout of their own each.
async fn print(place: &Place, stdout: impl Fn() -> Stdio) -> Vec<Ended> {
    place.write("password", PASSWORD);
    let mut ended = Vec::new();
    for args in PRINTING {
        let mut command = place.command(args);
        command.stdin(std::fs::File::open(place.path("password")).unwrap()).stdout(stdout());
        ended.push(run(command).await);
    }
    ended
}

#[tokio::test]
async fn a_command_does_its_work_when_nobody_reads_what_it_says() {
    let place = Place::new();
    let ended = print(&place, || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer.into()
    })
    .await;
    for (args, ended) in PRINTING.iter().zip(ended) {
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{args:?}");
    }
    assert!(place.path("copy.db").exists() && !place.database().exists());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_command_that_cannot_print_says_so() {
    let ended =
        print(&Place::new(), || OpenOptions::new().write(true).open("/dev/full").unwrap().into()).await;
    for (args, ended) in PRINTING.iter().zip(ended).skip(1) {
        let expected = "satchel: cannot print: no space left on device\n";
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), expected), "{args:?}");
    }
}
