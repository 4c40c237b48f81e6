//! todolist, `POST /auth/register` and its twin `POST /users`: how a user comes to be.

use futures_util::future::join_all;
use satchel::domain::users::Role;
use serde_json::{Value, json};

use super::{NO_STRING, NOT_PLAIN, Said, get, log_in, member_as, register, registration, send, shown, with};
use crate::house::{House, PASSWORD};

const DOORS: [&str; 2] = ["/auth/register", "/users"];

async fn post(house: &House, door: &str, body: Value) -> Said {
    send(house, None, "POST", door, body).await
}

#[tokio::test]
async fn both_doors_answer_the_whole_user() {
    let house = House::new().await;
    for (door, name) in DOORS.into_iter().zip(["ada", "ben"]) {
        let made = post(&house, door, registration(name)).await;
        made.is(201, shown(name, made.id()));
        assert_eq!(made.header("cache-control"), "no-store");
        assert_eq!(log_in(&house, name, PASSWORD).await.status, 200);
    }
}

#[tokio::test]
async fn nobody_gives_himself_what_he_may_not_have() {
    let house = House::new().await;
    let grace = member_as(&house, "grace", Role::Admin).await;
    let wish = json!({
        "role": "admin", "is_active": false, "id": 77, "uuid": "019a9d5e-6c1f-7c3b-8a54-3f0c1f4e2d10",
        "created_at": "2000-01-01T00:00:00Z", "balance": 100, "epoch": 9, "first_name": "A",
    });
    for (door, name) in DOORS.into_iter().zip(["ada", "ben"]) {
        let made = post(&house, door, with(registration(name), wish.clone())).await;
        assert_ne!(made.id(), 77);
        made.is(201, shown(name, made.id()));
        let member = super::sign_in(&house, name, made.id()).await;
        let others = send(&house, &member, "DELETE", &grace.path(), Value::Null).await;
        others.refuses(403, "You don't have permission to delete this user");
    }
}

#[tokio::test]
async fn what_is_taken_is_told_and_the_address_is_looked_at_first() {
    let house = House::new().await;
    let first = with(registration("eva"), json!({ "username": "ÉVA" }));
    assert_eq!(post(&house, "/users", first).await.status, 201);
    for door in DOORS {
        for (username, email, sentence) in [
            ("ÉVA", "eva@example.com", "User with email 'eva@example.com' already exists"),
            ("other", "eva@example.com", "User with email 'eva@example.com' already exists"),
            ("other", " EVA@Example.COM ", "User with email 'EVA@example.com' already exists"),
            ("ÉVA", "other@example.com", "Username 'ÉVA' is already taken"),
            ("éva", "other@example.com", "Username 'éva' is already taken"),
        ] {
            let given = with(registration("other"), json!({ "username": username, "email": email }));
            post(&house, door, given).await.refuses(409, sentence);
        }
    }
    register(&house, "other").await;
}

#[tokio::test]
async fn what_another_api_gave_away_is_taken() {
    let house = House::new().await;
    house.register("ada").await;
    let given = with(registration("ada"), json!({ "email": "other@example.com" }));
    post(&house, "/auth/register", given).await.refuses(409, "Username 'ada' is already taken");
    let given = with(registration("other"), json!({ "email": "ada@example.com" }));
    let sentence = "User with email 'ada@example.com' already exists";
    post(&house, "/auth/register", given).await.refuses(409, sentence);
}

#[tokio::test]
async fn of_ten_who_want_one_address_at_once_one_gets_it() {
    let house = House::new().await;
    let race = (0..10).map(|n| {
        let given = with(registration(&format!("ada{n}")), json!({ "email": "ada@example.com" }));
        post(&house, DOORS[n % 2], given)
    });
    let answers = join_all(race).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
    assert_eq!((won.len(), lost.len()), (1, 9));
    lost.iter().for_each(|lost| lost.refuses(409, "User with email 'ada@example.com' already exists"));
    assert_eq!(get(&house, None, "/users").await.body["total"], json!(1));
}

#[tokio::test]
async fn a_username_is_letters_digits_and_underscores() {
    let house = House::new().await;
    let good = ["abc", "a_1", "_a_", "123", "zoë", "мария", "李小龙", "Ünal_2", "__x", &"x".repeat(100)];
    for (n, username) in good.into_iter().enumerate() {
        let given = with(registration(&format!("good{n}")), json!({ "username": username }));
        let made = post(&house, DOORS[n % 2], given).await;
        assert_eq!((made.status, &made.body["username"]), (201, &json!(username)), "{}", made.text);
    }
    let short = ("String should have at least 3 characters", "string_too_short");
    let long = ("String should have at most 100 characters", "string_too_long");
    let plain = (NOT_PLAIN, "value_error");
    for door in DOORS {
        for (username, (message, kind)) in [
            (json!(""), short),
            (json!("ab"), short),
            (json!("яя"), short),
            (json!("x".repeat(101)), long),
            (json!("ë".repeat(101)), long),
            (json!("___"), plain),
            (json!("a-b"), plain),
            (json!("a b"), plain),
            (json!(" ada"), plain),
            (json!("ada\n"), plain),
            (json!("a.b"), plain),
            (json!("ada!"), plain),
            (json!("🦀🦀🦀"), plain),
            (json!("abc@"), plain),
            (json!("@@@"), plain),
            (json!("ada@example.com"), plain),
            (json!(null), (NO_STRING, "string_type")),
            (json!(12345), (NO_STRING, "string_type")),
            (json!(["ada"]), (NO_STRING, "string_type")),
        ] {
            let given = with(registration("ada"), json!({ "username": username }));
            post(&house, door, given).await.invalid(&[("body.username", message, kind)]);
        }
        let nul = with(registration("ada"), json!({ "username": "ada\0" }));
        let sentence = "Value error, Text must not contain NUL characters";
        post(&house, door, nul).await.invalid(&[("body.username", sentence, "value_error")]);
    }
}

#[tokio::test]
async fn a_full_name_has_1_to_255_characters_of_any_kind() {
    let house = House::new().await;
    for (n, full_name) in ["x", "Zoë  O'Neill-Łoś, Jr. 🦀", &"é".repeat(255)].into_iter().enumerate() {
        let given = with(registration(&format!("good{n}")), json!({ "full_name": full_name }));
        let made = post(&house, DOORS[n % 2], given).await;
        assert_eq!((made.status, &made.body["full_name"]), (201, &json!(full_name)));
    }
    for (full_name, message, kind) in [
        (json!(""), "String should have at least 1 character", "string_too_short"),
        (json!("é".repeat(256)), "String should have at most 255 characters", "string_too_long"),
        (json!(null), NO_STRING, "string_type"),
        (json!(1), NO_STRING, "string_type"),
    ] {
        let given = with(registration("ada"), json!({ "full_name": full_name }));
        post(&house, "/auth/register", given).await.invalid(&[("body.full_name", message, kind)]);
    }
}

#[tokio::test]
async fn a_password_has_8_to_256_characters_and_is_neither_common_nor_one_s_own_name() {
    let house = House::new().await;
    for (n, password) in ["x y z 12", "🦀x🦀y🦀z🦀!", &("éàüßç".repeat(51) + "!")].into_iter().enumerate()
    {
        let name = format!("good{n}");
        let given = with(registration(&name), json!({ "password": password }));
        assert_eq!(post(&house, DOORS[n % 2], given).await.status, 201);
        assert_eq!(log_in(&house, &name, password).await.status, 200);
    }
    let own = "Value error, Password must not be your own e-mail address or username";
    let common = "Value error, Password is among the most common ones";
    for (password, message, kind) in [
        (json!("s3cr3t!"), "String should have at least 8 characters", "string_too_short"),
        (json!("x".repeat(257)), "String should have at most 256 characters", "string_too_long"),
        (json!("PassWord1"), common, "value_error"),
        (json!("Augusta_Ada"), own, "value_error"),
        (json!("ADA@example.com"), own, "value_error"),
        (json!(12_345_678), NO_STRING, "string_type"),
        (json!(null), NO_STRING, "string_type"),
    ] {
        for door in DOORS {
            let given = with(registration("ada"), json!({ "username": "augusta_ada", "password": password }));
            post(&house, door, given).await.invalid(&[("body.password", message, kind)]);
        }
    }
}

#[tokio::test]
async fn an_address_is_trimmed_and_one_that_is_none_is_told_so() {
    let house = House::new().await;
    let given = with(registration("ada"), json!({ "email": "  Ada.L+x@EXAMPLE.Com " }));
    let made = post(&house, "/auth/register", given).await;
    made.is(201, with(shown("ada", made.id()), json!({ "email": "Ada.L+x@example.com" })));
    for (email, reason) in [
        ("ada", "An email address must have an @-sign."),
        ("ada@localhost", "The part after the @-sign is not valid. It should have a period."),
    ] {
        let given = with(registration("ben"), json!({ "email": email }));
        let sentence = format!("value is not a valid email address: {reason}");
        post(&house, "/users", given).await.invalid(&[("body.email", &sentence, "value_error")]);
    }
    let given = with(registration("ben"), json!({ "email": null }));
    post(&house, "/users", given).await.invalid(&[("body.email", NO_STRING, "string_type")]);
}
