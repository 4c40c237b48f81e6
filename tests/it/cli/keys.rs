//! `satchel keys`: the signing keys beside a running server.

use rustix::process::Signal;

use crate::binary::{Place, Serving};
use crate::house::PASSWORD;

/// The ids that `keys list` shows with what each does, newest first.
async fn list(place: &Place) -> Vec<(String, String)> {
    let ended = place.run(&["keys", "list"]).await;
    let key = |line: &str| {
        let columns: Vec<_> = line.split("  ").collect();
        (columns[0].to_owned(), columns[2].split([',', ' ']).next().unwrap().to_owned())
    };
    ended.done().lines().map(key).collect()
}

/// The ids that the server publishes, newest first.
async fn published(serving: &Serving) -> Vec<String> {
    let set = serving.get("/.well-known/jwks.json").await;
    set.body["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

/// What `rotate --now` costs.
const COST: &str = "Verifiers that keep a copy of /.well-known/jwks.json may refuse new tokens until they renew it: for 5 minutes at \
     most\n";

/// The id of the new key.
async fn rotate_now(place: &Place) -> String {
    let rotated = place.run(&["keys", "rotate", "--now"]).await;
    let said = rotated.done().strip_suffix(COST).expect("it says what it costs");
    said.strip_suffix(" signs from now on\n").expect("it says what signs").to_owned()
}

/// The id of the key that a token is signed with.
fn signer(token: &str) -> String {
    use base64::Engine;
    let head = token.split('.').next().unwrap();
    let head = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(head).unwrap();
    let head: serde_json::Value = serde_json::from_slice(&head).unwrap();
    head["kid"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_servers_key_is_the_one_that_is_listed_and_published() {
    let place = Place::new();
    let serving = place.serve().await;
    let keys = list(&place).await;
    assert_eq!(keys.len(), 1);
    assert_eq!(keys[0].1, "signs");
    assert_eq!(published(&serving).await, [keys[0].0.clone()]);
}

#[tokio::test]
async fn a_rotation_keeps_old_tokens_good_and_signs_new_ones_with_the_new_key() {
    let place = Place::new();
    let serving = place.serve().await;
    let before = serving.guest("ada").await;
    let old = published(&serving).await.remove(0);

    let new = rotate_now(&place).await;
    assert_eq!(published(&serving).await, [new.clone(), old.clone()]);
    let state = |kid: &String, state: &str| (kid.clone(), String::from(state));
    assert_eq!(list(&place).await, [state(&new, "signs"), state(&old, "retired")]);
    assert_eq!(serving.own_profile(&before).await, 200);
    let after = serving.sign_in(&before.email, PASSWORD).await;
    assert_eq!(serving.own_profile(&after).await, 200);

    let gone = place.run(&["keys", "retire", "--now", &old]).await;
    assert_eq!(gone.done(), format!("{old} is gone\n"));
    assert_eq!(published(&serving).await, std::slice::from_ref(&new));
    assert_eq!(serving.own_profile(&before).await, 401, "signed by the old key");
    assert_eq!(serving.own_profile(&after).await, 200, "signed by the new key");

    assert_eq!(serving.stop().await.code, Some(0));
    let serving = place.serve().await;
    assert_eq!(published(&serving).await, [new]);
    assert_eq!(serving.own_profile(&before).await, 401);
    assert_eq!(serving.own_profile(&after).await, 200);
}

#[tokio::test]
async fn a_rotation_publishes_the_new_key_first_and_goes_on_with_the_old_one() {
    let place = Place::new();
    let serving = place.serve().await;
    let before = serving.guest("ada").await;
    let old = published(&serving).await.remove(0);
    let rotated = place.run(&["keys", "rotate"]).await;
    let (new, from) = rotated.done().split_once(" is published, and signs from ").unwrap();
    let from = from.strip_suffix(" on\n").unwrap();
    let wait = from.parse::<jiff::Timestamp>().unwrap().as_second()
        - satchel::clock::Clock::system().now().seconds();
    assert!((340..=360).contains(&wait), "{wait} s");
    let states = [(new.to_owned(), String::from("is")), (old.clone(), String::from("signs"))];
    assert_eq!(list(&place).await, states);
    assert_eq!(published(&serving).await, [new.to_owned(), old.clone()]);
    assert_eq!(signer(&serving.sign_in(&before.email, PASSWORD).await.access), old);

    // Another does not come before.
    let again = place.run(&["keys", "rotate"]).await;
    let expected = format!("satchel: {new} is published already and signs from {from} on, when no copy");
    assert!(again.stderr.starts_with(&expected) && again.code == Some(1), "{}", again.stderr);
    assert!(again.stderr.ends_with(": wait for that, or say `--now`\n"), "{}", again.stderr);

    // A restart changes nothing.
    assert_eq!(serving.stop().await.code, Some(0));
    let serving = place.serve().await;
    assert_eq!(published(&serving).await, [new.to_owned(), old.clone()]);
    let after = serving.sign_in(&before.email, PASSWORD).await;
    assert_eq!(signer(&after.access), old);

    // One that has leaked.
    let urgent = rotate_now(&place).await;
    assert_eq!(signer(&serving.sign_in(&before.email, PASSWORD).await.access), urgent);
    assert_eq!(serving.own_profile(&after).await, 200, "it verifies");
}

#[tokio::test]
async fn keys_that_cannot_be_retired_are_told() {
    let place = Place::new();
    let serving = place.serve().await;
    let kid = published(&serving).await.remove(0);
    for now in [&["--now"][..], &[]] {
        let ended = place.run(&[&["keys", "retire", &kid], now].concat()).await;
        ended.refuses(&format!("{kid} is the key that signs: run `satchel keys rotate` first"));
        let ended = place.run(&[&["keys", "retire", "nothing"], now].concat()).await;
        ended.refuses("there is no key \"nothing\" in ./data/keys: `satchel keys list` shows them");
    }
    rotate_now(&place).await;
    let ended = place.run(&["keys", "retire", &kid]).await;
    let expected = format!("satchel: {kid} is retired already and verifies until 20");
    assert!(ended.stderr.starts_with(&expected), "{}", ended.stderr);
    assert!(ended.stderr.ends_with(": `--now` removes it\n"), "{}", ended.stderr);
    assert_eq!(published(&serving).await.len(), 2);
}

#[tokio::test]
async fn a_rotation_before_the_first_start_leaves_a_ring_that_signs() {
    let place = Place::new();
    let rotated = place.run(&["keys", "rotate"]).await;
    let kid = rotated.done().strip_suffix(" signs, beginning at the next start\n").expect("it says when");
    let serving = place.serve().await;
    assert_eq!(published(&serving).await[0], kid);
    serving.guest("ada").await;
}

#[tokio::test]
async fn without_a_server_a_change_of_the_keys_is_told_to_begin_at_the_next_start() {
    let place = Place::new();
    let serving = place.serve().await;
    let old = published(&serving).await.remove(0);
    serving.stop().await;
    let rotated = place.run(&["keys", "rotate"]).await;
    assert!(rotated.done().contains(" is published, and signs from "), "{}", rotated.stdout);
    assert!(rotated.done().ends_with(" on, beginning at the next start\n"), "{}", rotated.stdout);
    let rotated = place.run(&["keys", "rotate", "--now"]).await;
    let next =
        list(&place).await.into_iter().find(|(kid, state)| state == "retired" && *kid != old).unwrap().0;
    assert_eq!(
        place.run(&["keys", "retire", "--now", &next]).await.done(),
        format!("{next} is gone, beginning at the next start\n")
    );
    let new = rotated
        .done()
        .strip_suffix(COST)
        .unwrap()
        .strip_suffix(" signs, beginning at the next start\n")
        .expect("it says when")
        .to_owned();
    let gone = place.run(&["keys", "retire", "--now", &old]).await;
    assert_eq!(gone.done(), format!("{old} is gone, beginning at the next start\n"));
    assert_eq!(published(&place.serve().await).await, [new]);
}

#[tokio::test]
async fn a_rotation_that_a_running_server_does_not_take_over_says_so_and_fails() {
    let place = Place::new();
    let serving = place.serve().await;
    let old = published(&serving).await.remove(0);
    serving.signal(Signal::STOP);
    let ended = place.run(&["keys", "rotate", "--now"]).await;
    serving.signal(Signal::CONT);
    let new = list(&place).await.into_iter().find(|(_, state)| state == "signs").unwrap().0;
    ended.refuses(&format!(
        "{new} signs, but satchel serve, process {} did not take the keys over within 5 seconds and goes on with the former \
         ones: its log says why; when that is mended it takes them over by itself, or at its next start",
        serving.id()
    ));
    let gone = place.run(&["keys", "retire", "--now", &old]).await;
    assert_eq!(gone.done(), format!("{old} is gone\n"));
    assert_eq!(published(&serving).await, [new]);
}

#[tokio::test]
async fn a_damaged_key_beside_a_server_is_told_and_the_server_goes_on() {
    let place = Place::new();
    let serving = place.serve().await;
    let ada = serving.guest("ada").await;
    place.write("data/keys/mine.pem", "secret");
    let ended = place.run(&["keys", "list"]).await;
    ended.refuses("./data/keys/mine.pem does not have the name of a key: move it elsewhere");
    assert_eq!(serving.own_profile(&ada).await, 200);
}
