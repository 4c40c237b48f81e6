//! README: what a newcomer copies from it does what it says, and shows it when it does not.

use std::process::Stdio;

use tokio::process::Command;

use crate::binary::{Ended, Place, Serving, run};

const README: &str = include_str!("../../README.md");
/// Where README's server listens.
const ADDRESS: &str = "http://127.0.0.1:8000";

/// The shell blocks between two headings.
fn blocks<'a>(from: &str, to: &str) -> Vec<&'a str> {
    let begin = README.find(&format!("\n## {from}\n")).expect("the heading is there");
    let end = README.find(&format!("\n## {to}\n")).expect("the heading is there");
    let pieces = README[begin..end].split("```sh\n").skip(1);
    pieces.map(|piece| piece.split("```").next().unwrap()).collect()
}

/// What the reader does in the other terminal.
fn tour() -> Vec<&'static str> {
    blocks("Books", "Limits")
}

/// Runs these lines in a shell, in the place where the server was started, as somebody who copies them.
async fn shell(place: &Place, serving: &Serving, script: &str) -> Ended {
    let mut command = Command::new("sh");
    let script = script.replace(ADDRESS, &serving.url);
    command
        .args(["-c", &script])
        .current_dir(place.path("."))
        .env("NO_PROXY", "127.0.0.1")
        .stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    run(command).await
}

#[tokio::test]
async fn every_block_of_the_readme_does_what_it_says_one_after_the_other() {
    let place = Place::new();
    let serving = place.serve().await;
    let tour = tour();
    assert!(tour.len() > 20, "{} blocks", tour.len());
    // Each says that it was done; the first that is not ends the shell.
    let script: Vec<_> =
        tour.iter().map(|block| format!("{{ {block} }} || exit\necho '=== done'\n")).collect();
    let ended = shell(&place, &serving, &script.concat()).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{}", ended.stdout);
    let said: Vec<_> = ended.stdout.split("=== done\n").collect();
    assert_eq!(said.len(), tour.len() + 1, "{}", ended.stdout);
    for (block, said) in tour.iter().zip(said) {
        assert!(!said.contains("detail\":[") && !said.contains("\"error\""), "{block}: {said}");
        assert_eq!(said.is_empty(), block.starts_with("sign_in"), "{block}: {said}");
    }
}

/// Without those before it a block has no token, or nobody of that name signs in.
#[tokio::test]
async fn a_block_of_the_readme_that_is_refused_shows_why_and_fails() {
    let place = Place::new();
    let serving = place.serve().await;
    let tour = tour();
    let function = tour.iter().find(|block| block.starts_with("sign_in()")).expect("it is defined");
    let mut count = 0;
    for block in
        tour.iter().filter(|block| block.contains("Bearer $TOKEN") || block.starts_with("sign_in http"))
    {
        let ended = shell(&place, &serving, &format!("{function}\n{block}")).await;
        assert!(!matches!(ended.code, Some(0)), "{block}: {ended:?}");
        let (said, why) = (&ended.stdout, &ended.stderr);
        assert!(said.contains("\"detail\"") || said.contains("\"error\""), "{block}: {said}");
        assert!(why.contains("The requested URL returned error: 4"), "{block}: {why}");
        count += 1;
    }
    assert!(count > 12, "{count} blocks");
    for block in tour.iter().filter(|block| block.starts_with("curl") || block.starts_with("sign_in http")) {
        let deaf = block.replace(ADDRESS, "http://127.0.0.1:9");
        let ended = shell(&place, &serving, &format!("{function}\n{deaf}")).await;
        assert!(!matches!(ended.code, Some(0)) && !ended.stderr.is_empty(), "{block}: {ended:?}");
    }
}

/// What is copied by a click is one command: the first of two would never end.
#[test]
fn a_block_that_starts_the_server_has_nothing_else_in_it() {
    let all: Vec<_> =
        README.split("```sh\n").skip(1).map(|piece| piece.split("```").next().unwrap()).collect();
    let starts: Vec<_> = all.iter().filter(|block| block.starts_with("satchel\n")).collect();
    assert_eq!(starts, [&"satchel\n"]);
}

#[test]
fn every_file_that_the_readme_links_to_is_there() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let links: Vec<_> = README.split("](").skip(1).map(|piece| piece.split(')').next().unwrap()).collect();
    assert!(links.contains(&"LICENSE-MIT") && links.contains(&"LICENSE-APACHE"), "{links:?}");
    for link in links.iter().filter(|link| !link.contains("://")) {
        assert!(root.join(link).is_file(), "{link}");
    }
}
