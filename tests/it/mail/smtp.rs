//! Letters that leave through a mail server, and what happens when it does not take them.

use std::path::PathBuf;
use std::time::Duration;

use satchel::config::SmtpTls;
use satchel::domain::auth::proofs::Purpose;
use satchel::domain::letters::{self, State};

use super::server::{MailServer, PASSWORD, USER};
use super::{confirm, deliver, outbox, post_beside, until};
use crate::binary::{Place, Serving};
use crate::house::{House, answer};

/// A house that sends its letters to a server, and a user in it.
async fn house(server: &MailServer) -> House {
    let house = House::with(|config| server.settle(config)).await;
    house.guest("ada").await;
    house
}

/// Posts a letter to the user and delivers it.
async fn post(house: &House) {
    house.post_letter(Purpose::ConfirmEmail, "ada@example.com").await;
    deliver(house).await;
}

/// The only letter in the outbox: how often it was tried, and why it is still there.
fn kept(house: &House) -> (i64, String) {
    let [letter] = &outbox(house)[..] else { panic!("one letter, please: {:?}", outbox(house)) };
    (letter.attempts, letter.last_error.clone().unwrap_or_default())
}

const EVERY_WAY: [SmtpTls; 3] = [SmtpTls::None, SmtpTls::Starttls, SmtpTls::Tls];

#[tokio::test]
async fn a_letter_leaves_protected_as_the_settings_say() {
    for tls in EVERY_WAY {
        let server = MailServer::new(tls);
        let house = house(&server).await;
        post(&house).await;
        let taken = server.taken();
        assert_eq!(taken.len(), 1, "{tls:?}");
        assert_eq!(taken[0].secure, tls != SmtpTls::None, "{tls:?}");
        assert_eq!(
            (taken[0].from.as_str(), &taken[0].to[..]),
            ("post@satchel.example", &["ada@example.com".into()][..])
        );
        assert_eq!(taken[0].letter.to, "ada@example.com");
        assert!(taken[0].user.is_none());
        assert_eq!(server.said()[0], "EHLO satchel.example");
        assert!(outbox(&house).is_empty());
        confirm(&house, taken[0].letter.token()).await.unwrap();
    }
}

#[tokio::test]
async fn credentials_are_shown_where_they_are_asked_for_and_in_tls_alone() {
    for tls in EVERY_WAY {
        let server = MailServer::with_accounts(tls);
        let house = house(&server).await;
        post(&house).await;
        assert_eq!(server.taken()[0].user.as_deref(), Some(USER), "{tls:?}");
        let said = server.said();
        let place = |verb: &str| said.iter().position(|line| line.starts_with(verb));
        if tls == SmtpTls::Starttls {
            assert!(place("STARTTLS") < place("AUTH"), "{said:?}");
        }
    }
}

#[tokio::test]
async fn wrong_credentials_keep_the_letter() {
    let server = MailServer::with_accounts(SmtpTls::Starttls);
    let house = House::with(|config| {
        server.settle(config);
        config.mail.smtp_user = String::from("somebody");
    })
    .await;
    house.guest("ada").await;
    post(&house).await;
    let (attempts, error) = kept(&house);
    assert!(attempts == 1 && error.contains("535"), "{attempts}: {error}");
    assert!(!error.contains(PASSWORD) && server.taken().is_empty());
    house.forget_letters().await;
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_gets_nothing() {
    for tls in [SmtpTls::Starttls, SmtpTls::Tls] {
        let check = async |server: &MailServer, authority: PathBuf, why: &str| {
            let house = House::with(|config| {
                server.settle(config);
                config.mail.smtp_ca_file = authority;
            })
            .await;
            house.guest("ada").await;
            post(&house).await;
            let (attempts, error) = kept(&house);
            assert!(attempts == 1 && error.contains("certificate"), "{why}: {error}");
            let said = server.said();
            assert!(
                said.iter().all(|line| line.starts_with("EHLO ") || line == "STARTTLS"),
                "{why}: {said:?}"
            );
            house.forget_letters().await;
        };
        let (server, other) = (MailServer::with_accounts(tls), MailServer::new(tls));
        check(&server, other.authority(), "another authority").await;
        check(&server, PathBuf::new(), "the system's authorities").await;
        let other_name = MailServer::closed(tls, true, "mx.example.org");
        other_name.open();
        check(&other_name, other_name.authority(), "another name").await;
    }
}

#[tokio::test]
async fn a_server_without_starttls_gets_nothing_in_the_clear() {
    let server = MailServer::with_accounts(SmtpTls::None);
    let house = House::with(|config| {
        server.settle(config);
        config.mail.smtp_tls = SmtpTls::Starttls;
        config.mail.smtp_ca_file = server.authority();
    })
    .await;
    house.guest("ada").await;
    post(&house).await;
    let (_, error) = kept(&house);
    assert!(error.contains("STARTTLS"), "{error}");
    let said = server.said();
    assert!(!said.iter().any(|line| line.starts_with("AUTH") || line.starts_with("MAIL")), "{said:?}");
    house.forget_letters().await;
}

#[tokio::test]
async fn an_authority_that_is_none_stops_the_start_in_one_sentence() {
    let place = Place::new();
    place.write("empty.pem", "nothing\n");
    for (file, expected) in [
        ("none.pem", "cannot read mail.smtp_ca_file none.pem: No such file or directory"),
        ("empty.pem", "mail.smtp_ca_file empty.pem holds no certificate in PEM"),
    ] {
        let mut command = place.command(&["serve", "--port", "0"]);
        command
            .env("SATCHEL_MAIL__TRANSPORT", "smtp")
            .env("SATCHEL_MAIL__SMTP_HOST", "127.0.0.1")
            .env("SATCHEL_MAIL__SMTP_CA_FILE", file);
        let ended = crate::binary::run(command).await;
        assert_eq!(ended.code, Some(1));
        assert!(ended.stderr.ends_with(&format!("satchel: {expected}\n")), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn a_letter_waits_for_a_server_that_is_down_and_outlives_a_restart() {
    let server = MailServer::closed(SmtpTls::Starttls, false, "127.0.0.1");
    let house = house(&server).await;
    post(&house).await;
    let (attempts, error) = kept(&house);
    assert!(attempts == 1 && error.to_lowercase().contains("connection"), "{error}");
    assert_eq!(
        house.log_in("ada@example.com", crate::house::PASSWORD).await.status,
        200,
        "nobody waits for mail"
    );

    let house = house.restart().await;
    house.wait(29);
    deliver(&house).await;
    assert_eq!(kept(&house).0, 1);
    server.open();
    deliver(&house).await;
    assert_eq!(server.taken().len(), 0, "its time has not come");
    house.wait(1);
    deliver(&house).await;
    assert_eq!(server.taken().len(), 1);
    assert!(outbox(&house).is_empty());
}

#[tokio::test]
async fn a_refused_letter_is_tried_again_with_a_token_of_its_own() {
    for (verb, reply) in [
        ("CONNECT", "421 4.3.2 closing"),
        ("EHLO", "451 4.3.0 later"),
        ("MAIL", "452 4.3.1 full"),
        ("RCPT", "451 4.7.1 greylisted"),
        ("AUTH", "535 5.1.1 who?"),
        ("MAIL", "550 5.1.1 <post@satchel.example>: no such sender"),
        ("MAIL", "553 5.1.8 <post@satchel.example>: bad sender"),
        ("MAIL", "552 5.6.0 no such letters from you"),
        ("RCPT", "550 5.1.7 <post@satchel.example>: bad sender"),
        ("RCPT", "550 5.1.8 <post@satchel.example>: its domain is none"),
        ("RCPT", "550 5.7.1 <ada@example.com>: relaying denied"),
        ("RCPT", "554 5.7.1 <ada@example.com>: access denied"),
        ("RCPT", "552 5.2.2 <ada@example.com>: the mailbox is full"),
        ("RCPT", "450 5.1.1 <ada@example.com>: rather not"),
        // What a mailbox that is not there and a relay that is not ours both answer (RFC 5321 §4.2.3).
        ("RCPT", "550 no such user"),
        ("RCPT", "550 5.1.10x no such user"),
        ("RCPT", "553 mailbox name not allowed"),
        ("DATA", "451 4.3.0 later"),
        (".", "451 4.3.0 later"),
        (".", "554 5.7.1 spam: {link}"),
        (".", "hello?"),
    ] {
        let server = match verb {
            "AUTH" => MailServer::with_accounts(SmtpTls::None),
            _ => MailServer::new(SmtpTls::None),
        };
        server.answer_once(verb, reply);
        let house = house(&server).await;
        post(&house).await;
        assert_eq!(server.taken().len(), 0, "{verb} {reply}");
        let (attempts, error) = kept(&house);
        assert_eq!(attempts, 1);
        if let Some(code) = reply.get(..3).filter(|code| code.parse::<u16>().is_ok()) {
            assert!(error.contains(code), "{verb} {reply}: {error}");
        }
        if reply.contains("{link}") {
            assert!(error.ends_with("/api/email/confirm/…"), "{error}");
        }
        house.wait(30);
        deliver(&house).await;
        let taken = server.taken();
        assert_eq!(taken.len(), 1, "{verb} {reply}");
        confirm(&house, taken[0].letter.token()).await.unwrap();
    }
}

#[tokio::test]
async fn a_letter_whose_recipient_or_text_is_refused_for_good_is_dead_at_once() {
    for (verb, reply, why) in [
        ("RCPT", "550 5.1.1 <ada@example.com>: no such mailbox", "answered 550 5.1.1 to RCPT TO"),
        (
            "RCPT",
            "550-5.1.1 The account that you tried\r\n550-5.1.1 to reach\r\n550 5.1.1 is not there",
            "550 5.1.1",
        ),
        ("RCPT", "553 5.1.3 <ada@example.com>: no address", "answered 553 5.1.3 to RCPT TO"),
        ("RCPT", "556 5.1.10 example.com takes no mail", "answered 556 5.1.10 to RCPT TO"),
        ("RCPT", "550 5.2.1 <ada@example.com>: the mailbox is closed", "answered 550 5.2.1 to RCPT TO"),
        ("DATA", "554 5.1.1 no valid recipients", "answered 554 5.1.1 to DATA"),
        (".", "550 5.1.1 <ada@example.com>: no such mailbox", "answered 550 5.1.1 to the text"),
        (".", "554 5.6.0 {link} is no letter", "answered 554 5.6.0 to the text"),
    ] {
        let server = MailServer::new(SmtpTls::None);
        server.answer_once(verb, reply);
        let house = house(&server).await;
        post(&house).await;
        let letter = outbox(&house).remove(0);
        assert_eq!((letter.attempts, letter.state), (1, State::Dead), "{verb} {reply}");
        assert_eq!(letter.next_at, house.clock.now());
        let error = letter.last_error.unwrap();
        assert!(error.contains(why), "{verb} {reply}: {error}");
        assert!(error.contains(reply.split(' ').next_back().unwrap()), "its own words: {error}");
        assert!(!error.contains("/api/email/confirm/") || error.contains("/confirm/…"), "{error}");
        house.wait(24 * 3600);
        deliver(&house).await;
        assert_eq!(server.taken().len(), 0, "{verb} {reply}");
        // Whoever asks again gets another.
        post(&house).await;
        assert_eq!(server.taken().len(), 1, "{verb} {reply}");
        assert!(outbox(&house).is_empty());
    }
}

#[tokio::test]
async fn a_letter_that_was_taken_has_left_though_the_server_never_says_good_bye() {
    let server = MailServer::new(SmtpTls::None);
    server.answer_once("QUIT", "");
    let house = house(&server).await;
    house.post_letter(Purpose::ConfirmEmail, "ada@example.com").await;
    let delivered = tokio::time::timeout(Duration::from_secs(20), house.server.app.mail.deliver_due());
    delivered.await.expect("nobody waits for it").unwrap();
    assert_eq!(server.taken().len(), 1);
    until("the letter has left", || outbox(&house).is_empty()).await;
}

#[tokio::test]
async fn a_lost_answer_sends_the_letter_twice_and_the_later_link_is_good() {
    let server = MailServer::new(SmtpTls::None);
    let house = house(&server).await;
    // The server has the letter, and nobody understands what it says.
    server.answer_once(".", "2what?");
    post(&house).await;
    let (attempts, error) = kept(&house);
    assert!(attempts == 1 && error.starts_with("response error: "), "{error}");
    house.wait(30);
    deliver(&house).await;
    let taken = server.taken();
    assert_eq!(taken.len(), 2);
    assert!(confirm(&house, taken[0].letter.token()).await.is_err(), "the earlier");
    confirm(&house, taken[1].letter.token()).await.unwrap();
    assert!(outbox(&house).is_empty());
}

#[tokio::test]
async fn a_letter_is_given_up_after_twelve_attempts_and_can_be_revived() {
    let server = MailServer::closed(SmtpTls::None, false, "127.0.0.1");
    let house = house(&server).await;
    house.post_letter(Purpose::ResetPassword, "ada@example.com").await;
    let waits = [30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600, 3600];
    for (n, seconds) in waits.into_iter().enumerate() {
        deliver(&house).await;
        let letter = outbox(&house).remove(0);
        assert_eq!((letter.attempts, letter.state), (n as i64 + 1, State::Waiting));
        assert_eq!(letter.next_at, house.clock.now().plus(Duration::from_secs(seconds)));
        house.wait(seconds);
    }
    deliver(&house).await;
    let letter = outbox(&house).remove(0);
    assert_eq!((letter.attempts, letter.state, letter.next_at), (12, State::Dead, house.clock.now()));
    server.open();
    house.wait(24 * 3600);
    deliver(&house).await;
    assert_eq!(server.taken().len(), 0, "it was given up");

    let db = &house.server.app.db;
    assert!(!db.write(|db| letters::retry(db, letters::LetterId(99))).await.unwrap());
    assert!(db.write(move |db| letters::retry(db, letter.id)).await.unwrap());
    deliver(&house).await;
    assert_eq!(server.taken().len(), 1);
    assert!(outbox(&house).is_empty());
}

#[tokio::test]
async fn who_asks_again_for_a_letter_that_was_given_up_gets_it() {
    let server = MailServer::new(SmtpTls::None);
    let house = house(&server).await;
    let sql = "insert into letters (purpose, email, state, attempts, created_at, next_at)
               values ('confirm_email', 'ADA@example.com', 'dead', 12, 1, 1)";
    house.server.app.db.write(move |db| Ok(db.execute(sql, [])?)).await.unwrap();
    post(&house).await;
    assert_eq!(server.taken().len(), 1);
    assert!(outbox(&house).is_empty());
}

#[tokio::test]
async fn a_letter_asked_for_while_the_older_is_on_its_way_leaves_as_well() {
    let server = MailServer::new(SmtpTls::None);
    let house = house(&server).await;
    server.hold();
    house.post_letter(Purpose::ConfirmEmail, "ada@example.com").await;
    server.received().await;
    house.post_letter(Purpose::ConfirmEmail, "ada@example.com").await;
    server.release();
    server.received().await;
    server.release();
    until("both have left", || outbox(&house).is_empty()).await;
    let taken = server.taken();
    assert_eq!(taken.len(), 2);
    assert!(confirm(&house, taken[0].letter.token()).await.is_err(), "the older");
    confirm(&house, taken[1].letter.token()).await.unwrap();
}

#[tokio::test]
async fn no_request_waits_for_a_mail_server_that_hangs() {
    let server = MailServer::new(SmtpTls::None);
    let house = house(&server).await;
    server.hold();
    house.post_letter(Purpose::ConfirmEmail, "ada@example.com").await;
    server.received().await;
    let bob = house.guest("bob").await;
    house.post_letter(Purpose::ConfirmEmail, "bob@example.com").await;
    assert_eq!(answer(house.by(&bob, "GET", "/api/v1.0/users/me")).await.status, 200);
    server.release();
    server.received().await;
    server.release();
    until("both have left", || outbox(&house).is_empty()).await;
}

#[tokio::test]
async fn the_end_waits_for_the_letter_in_hand_and_takes_no_other() {
    let server = MailServer::new(SmtpTls::None);
    let house = house(&server).await;
    server.hold();
    house.post_letter(Purpose::ConfirmEmail, "ada@example.com").await;
    server.received().await;
    house.guest("bob").await;
    house.post_letter(Purpose::ResetPassword, "ada@example.com").await;
    let address = house.server.address;
    let (house, ()) = tokio::join!(house.restart(), async {
        until("nobody is let in", || std::net::TcpStream::connect(address).is_err()).await;
        server.release();
    });
    // The other one left with the next start.
    server.received().await;
    server.release();
    until("both have left", || outbox(&house).is_empty()).await;
    let subjects: Vec<_> = server.taken().into_iter().map(|taken| taken.letter.subject).collect();
    assert_eq!(subjects, ["Confirm your e-mail address", "Set a new password"]);
}

#[tokio::test]
async fn a_letter_that_is_not_handed_over_before_the_end_is_tried_again_after_it() {
    let server = MailServer::new(SmtpTls::None);
    let house = House::with(|config| {
        server.settle(config);
        config.server.shutdown_seconds = 0;
    })
    .await;
    house.guest("ada").await;
    server.hold();
    house.post_letter(Purpose::ConfirmEmail, "ada@example.com").await;
    server.received().await;
    let house = house.restart().await;
    assert_eq!(kept(&house), (1, String::new()));
    // The first is answered, too late.
    server.release();
    server.release();
    house.wait(30);
    deliver(&house).await;
    assert!(outbox(&house).is_empty());
    confirm(&house, server.taken().last().unwrap().letter.token()).await.unwrap();
}

#[tokio::test]
async fn a_server_that_hangs_is_left_for_now() {
    let server = MailServer::new(SmtpTls::None);
    let house = house(&server).await;
    server.hold();
    house.post_letter(Purpose::ConfirmEmail, "ada@example.com").await;
    server.received().await;
    // The runtime's time leaps whenever there is nothing else to do.
    tokio::time::pause();
    deliver(&house).await;
    tokio::time::resume();
    assert_eq!(kept(&house), (1, String::from("the mail server took too long")));
    house.forget_letters().await;
}

#[tokio::test]
async fn every_one_of_many_letters_leaves_once() {
    let server = MailServer::new(SmtpTls::None);
    let house = house(&server).await;
    let mut expected = vec![String::from("ada@example.com")];
    for n in 0..20 {
        house.register(&format!("user{n}")).await;
        expected.push(format!("user{n}@example.com"));
    }
    for email in &expected {
        house.post_letter(Purpose::ConfirmEmail, email).await;
    }
    deliver(&house).await;
    let mut found: Vec<_> = server.taken().into_iter().map(|taken| taken.letter.to).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_token_rests_neither_in_the_database_nor_in_the_log() {
    let (place, server) = (Place::new(), MailServer::with_accounts(SmtpTls::Starttls));
    server.answer_once(".", "554 5.7.1 <ada@example.com> has no taste for {link}");
    let mut command = place.command(&["serve", "--port", "0"]);
    command
        .env("SATCHEL_LOG__LEVEL", "trace")
        .env("SATCHEL_MAIL__TRANSPORT", "smtp")
        .env("SATCHEL_MAIL__SMTP_HOST", "127.0.0.1")
        .env("SATCHEL_MAIL__SMTP_PORT", server.port.to_string())
        .env("SATCHEL_MAIL__SMTP_USER", USER)
        .env("SATCHEL_MAIL__SMTP_PASSWORD", PASSWORD)
        .env("SATCHEL_MAIL__SMTP_CA_FILE", server.authority());
    let serving = Serving::start(command).await;
    serving.guest("ada").await;
    post_beside(&place.database(), "confirm_email", "ada@example.com");
    server.received().await;
    until("the failure is kept", || {
        let sql = "select last_error is not null from letters";
        crate::binary::connect(&place.database()).query_row(sql, [], |row| row.get(0)).unwrap()
    })
    .await;
    let listed = place.run(&["letters", "list"]).await;
    assert!(listed.done().contains("has no taste for http"), "{}", listed.stdout);
    place.run(&["letters", "retry", "1"]).await.done();
    until("the letter leaves", || !server.taken().is_empty()).await;
    let copies = |token: &str| {
        let holds = |bytes: &[u8]| bytes.windows(token.len()).any(|part| part == token.as_bytes());
        place.files().into_iter().filter(|(_, bytes)| holds(bytes)).count()
    };
    let token = server.taken()[0].letter.token().to_owned();
    assert_eq!(copies(&token), 0);
    assert!(copies("confirm_email") > 0, "the search finds what is there");
    let log = serving.stop().await.stderr;
    assert_eq!(copies(&token), 0);
    for secret in [token.as_str(), PASSWORD, "ada@example.com"] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
    assert!(log.contains("letter not sent letter.id=1 user.id=1 purpose=\"confirm_email\" why=\"the mail server answered 554 5.7.1 to the text\"\n"), "{log}");
    assert!(log.contains("letter sent letter.id=1 user.id=1 purpose=\"confirm_email\"\n"), "{log}");
}
