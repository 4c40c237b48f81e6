//! Letters that become files: a developer's mail.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use satchel::config::Environment;
use satchel::domain::auth::proofs::Purpose;

use super::{deliver, outbox, post_beside, until};
use crate::binary::{Place, Serving};
use crate::house::House;
use crate::letters::{Caught, Letter};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_letter_is_a_file_for_its_owner_alone() {
    let house = House::new().await;
    house.guest("ada").await;
    house.post_letter(Purpose::ConfirmEmail, "ada@example.com").await;
    deliver(&house).await;
    let files = house.letter_files();
    assert_eq!(files.len(), 1, "{files:?}");
    let name = files[0].file_name().unwrap().to_str().unwrap();
    assert_eq!(name, "20261121T050639Z-1-confirm_email.eml");
    assert_eq!(mode(&files[0]), 0o600);
    assert_eq!(mode(&house.config.mail_directory()), 0o700);
    house.letter().await;
}

#[tokio::test]
async fn a_letter_that_cannot_be_written_waits_until_it_can() {
    let house = House::new().await;
    house.guest("ada").await;
    let directory = house.config.mail_directory();
    fs::write(&directory, "in the way").unwrap();
    house.post_letter(Purpose::ConfirmEmail, "ada@example.com").await;
    deliver(&house).await;
    let error = outbox(&house)[0].last_error.clone().unwrap();
    assert!(error.starts_with("the file cannot be written: "), "{error}");
    fs::remove_file(&directory).unwrap();
    house.wait(29);
    assert_eq!(house.letters().await.len(), 0);
    house.wait(1);
    house.letter().await;
}

#[tokio::test]
async fn a_partial_file_of_a_crash_is_in_nobodys_way() {
    let house = House::new().await;
    house.guest("ada").await;
    let directory = house.config.mail_directory();
    fs::create_dir(&directory).unwrap();
    let partial = directory.join(".20261121T050639Z-1-confirm_email.eml.partial");
    fs::write(&partial, "half a let").unwrap();
    house.post_letter(Purpose::ConfirmEmail, "ada@example.com").await;
    assert_eq!(house.letter().await.to, "ada@example.com");
    assert!(!partial.exists());
}

#[tokio::test]
async fn a_directory_of_its_own_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join("deep/letters");
    let house = House::with(|config| config.mail.directory = own.clone()).await;
    house.guest("ada").await;
    house.post_letter(Purpose::ResetPassword, "ada@example.com").await;
    deliver(&house).await;
    assert_eq!(fs::read_dir(&own).unwrap().count(), 1);
    house.letter().await;
    house.forget_letters().await;
}

#[tokio::test]
async fn letters_that_became_files_are_kept_for_seven_days_in_production_and_for_good_on_a_developers_machine()
 {
    for environment in [Environment::Development, Environment::Production] {
        let house = House::with(|config| config.environment = environment).await;
        house.guest("ada").await;
        house.post_letter(Purpose::ConfirmEmail, "ada@example.com").await;
        deliver(&house).await;
        let directory = house.config.mail_directory();
        let others =
            ["notes.eml", "20200101T000000Z-1-confirm_email.txt", "20200101T000000Z.eml", ".profile"];
        for name in others {
            fs::write(directory.join(name), "mine").unwrap();
        }
        fs::write(directory.join(".20261121T050639Z-1-confirm_email.eml.partial"), "half").unwrap();
        house.wait(7 * 86_400);
        house.server.app.mail.purge().await.unwrap();
        assert_eq!(fs::read_dir(&directory).unwrap().count(), others.len() + 2, "{environment:?}");
        house.wait(1);
        house.server.app.mail.purge().await.unwrap();
        let gone = if environment == Environment::Production { 2 } else { 0 };
        assert_eq!(fs::read_dir(&directory).unwrap().count(), others.len() + 2 - gone, "{environment:?}");
        fs::remove_dir_all(&directory).unwrap();
        house.forget_letters().await;
    }
}

/// Sends a letter from a running binary; the letter, and what the log said until the end.
async fn sent_by(place: &Place, serving: Serving, directory: &str) -> (Letter, String) {
    serving.guest("ada").await;
    post_beside(&place.database(), "reset_password", "ada@example.com");
    let caught = Caught { database: place.database(), directory: place.path(directory) };
    let is_there = || caught.files().iter().any(|file| file.extension().is_some_and(|end| end == "eml"));
    until("the letter is written", is_there).await;
    let letter = caught.take().remove(0);
    let ended = serving.stop().await;
    assert_eq!(ended.code, Some(0));
    (letter, ended.stderr)
}

#[tokio::test]
async fn a_developer_finds_the_link_in_the_log() {
    let place = Place::new();
    let serving = place.serve().await;
    let url = serving.url.clone();
    let (letter, log) = sent_by(&place, serving, "data/mail").await;
    assert_eq!(letter.link, format!("{url}/api/auth/reset_pwd/{}", letter.token()));
    let line = log.lines().find(|line| line.contains("letter written")).unwrap();
    let expected =
        format!("letter written letter.id=1 user.id=1 purpose=\"reset_password\" link={}", letter.link);
    assert!(line.ends_with(&expected), "{line}");
    assert!(!log.contains("ada@example.com"), "{log}");
}

#[tokio::test]
async fn production_logs_no_link() {
    let place = Place::new();
    let mut command = place.command(&["serve", "--port", "0"]);
    command
        .env("SATCHEL_ENVIRONMENT", "production")
        .env("SATCHEL_SERVER__PUBLIC_URL", "https://books.example")
        .env("SATCHEL_MAIL__DIRECTORY", "letters")
        .env("SATCHEL_AUTH__HASH_MEMORY_KIB", "7168")
        .env("SATCHEL_AUTH__HASH_ITERATIONS", "5");
    let (letter, log) = sent_by(&place, Serving::start(command).await, "letters").await;
    assert!(letter.link.starts_with("https://books.example/api/auth/reset_pwd/"), "{}", letter.link);
    assert!(log.contains("letter sent letter.id=1 user.id=1 purpose=\"reset_password\"\n"), "{log}");
    assert!(!log.contains(letter.token()), "{log}");
}
