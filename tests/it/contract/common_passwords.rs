//! Common passwords: with them the originals' test suites sign up, so a laptop takes them, and production does not.

use satchel::config::{CommonPasswords, Environment};
use satchel::domain::users::Role;
use serde_json::{Value, json};

use crate::binary::Place;
use crate::house::{Answer, House, PASSWORD, answer, registration, with};

const FIXTURE: &str = "password123";
const COMMON: &str = "Value error, Password is among the most common ones";
const OWN: &str = "Value error, Password must not be your own e-mail address or username";
const SHORT: &str = "String should have at least 8 characters";

/// A house with what an environment has as its default.
async fn house_of(environment: Environment) -> House {
    House::with(|config| {
        config.environment = environment;
        config.auth.common_passwords = None;
    })
    .await
}

/// Sets this password by every route that sets one, each for a user whose name begins with `name`.
async fn set_everywhere(house: &House, name: &str, password: &str) -> Vec<(&'static str, Answer)> {
    let email = |of: &str| format!("{name}{of}@example.com");
    let admin = house.guest_as(&format!("{name}root"), Role::Admin).await;
    let registration = |of: &str| with(registration(&format!("{name}{of}")), json!({ "password": password }));
    let account = |of: &str| {
        json!({
            "email": email(of), "username": format!("{name}{of}"), "full_name": "Ada Lovelace",
            "password": password,
        })
    };
    let by_admin = |path: &str, of: &str| answer(house.by(&admin, "POST", path).json(&registration(of)));
    let manager = |field: &str, of: &str| json!({ "name": "Ada", "email": email(of), field: password });
    let contact = json!({ "username": format!("{name}12345"), "email": email("h"), "password": password });
    let mut answers = vec![
        ("register", house.post("/api/v1.0/auth/register", registration("a")).await),
        ("create", by_admin("/api/v1.0/users/admin/create", "b").await),
        ("create alias", by_admin("/api/v1.0/admin/users", "c").await),
        ("store", house.post("/store-managers", manager("password_hash", "d")).await),
        ("store, password", house.post("/store-managers", manager("password", "e")).await),
        ("todolist", house.post("/v1/auth/register", account("f")).await),
        ("todolist users", house.post("/v1/users", account("g")).await),
        ("contactbook", house.post("/api/auth/signup", contact).await),
        (
            "identity",
            house.post("/auth/register", json!({ "email": email("i"), "password": password })).await,
        ),
    ];
    house.forget_letters().await;
    let ada = house.guest(&format!("{name}j")).await;
    let change = json!({ "current_password": PASSWORD, "new_password": password });
    let change = house.by(&ada, "POST", "/api/v1.0/users/change-password").json(&change);
    answers.push(("change", answer(change).await));
    house.register(&format!("{name}k")).await;
    let change = json!({ "email": email("k"), "old_password": PASSWORD, "new_password": password });
    answers.push(("identity change", house.post("/auth/change-password", change).await));
    house.register(&format!("{name}l")).await;
    house.post("/api/auth/reset_pwd", json!({ "email": email("l") })).await;
    let reset = format!("/api/auth/reset_pwd/{}", house.letter().await.token());
    answers.push(("reset", house.post(&reset, json!({ "new_password": password })).await));
    let ada = house.guest(&format!("{name}m")).await;
    let path = format!("/api/v1.0/users/{}", ada.uuid);
    let moved = answer(house.by(&ada, "PATCH", &path).json(&json!({ "email": email("n") }))).await;
    assert_eq!(moved.status, 200, "{}", moved.text);
    let notices = house.notices().await;
    let link = &notices.iter().find(|letter| letter.to == email("m")).unwrap().link;
    let restore = format!("/api/email/restore/{}", link.rsplit('/').next().unwrap());
    answers.push(("restore", house.post(&restore, json!({ "new_password": password })).await));
    house.forget_letters().await;
    answers
}

/// The sentences of a 422, in the envelope of whichever API.
fn sentences(answer: &Answer) -> Vec<&'static str> {
    let of = |entries: &'_ Value, field: &str| -> Vec<String> {
        let entries = entries.as_array().unwrap();
        entries.iter().map(|entry| entry[field].as_str().unwrap().to_owned()).collect()
    };
    let found = match &answer.body["detail"] {
        Value::Null => of(&answer.body["error"]["details"]["validation_errors"], "message"),
        detail => of(detail, "msg"),
    };
    [COMMON, OWN, SHORT].into_iter().filter(|sentence| found.iter().any(|it| it == sentence)).collect()
}

#[tokio::test]
async fn in_development_a_common_password_is_set_by_every_route_that_sets_one_and_signs_in() {
    let house = house_of(Environment::Development).await;
    for (name, password) in [("one", FIXTURE), ("two", "aaaaaaaa")] {
        for (route, answer) in set_everywhere(&house, name, password).await {
            assert!(matches!(answer.status, 200 | 201), "{route}: {}", answer.text);
        }
        for of in ["a", "b", "c", "d", "e", "f", "g", "i", "j", "k", "l", "m"] {
            let email = format!("{name}{of}@example.com");
            assert_eq!(house.log_in(&email, password).await.status, 200, "{email}");
        }
    }
}

#[tokio::test]
async fn in_production_a_common_password_is_refused_by_every_route_that_sets_one() {
    let house = house_of(Environment::Production).await;
    for (route, answer) in set_everywhere(&house, "one", FIXTURE).await {
        assert_eq!((answer.status, sentences(&answer)), (422, vec![COMMON]), "{route}: {}", answer.text);
        assert!(!answer.text.contains(FIXTURE), "{route}");
    }
}

#[tokio::test]
async fn the_setting_wins_over_the_environment() {
    for (environment, said, status) in [
        (Environment::Development, CommonPasswords::Refuse, 422),
        (Environment::Production, CommonPasswords::Allow, 201),
    ] {
        let house = House::with(|config| {
            config.environment = environment;
            config.auth.common_passwords = Some(said);
        })
        .await;
        let given = with(registration("ada"), json!({ "password": FIXTURE }));
        assert_eq!(house.post("/api/v1.0/auth/register", given).await.status, status, "{environment:?}");
    }
}

#[tokio::test]
async fn in_development_a_short_password_and_the_user_s_own_address_stay_refused() {
    let house = house_of(Environment::Development).await;
    for (route, answer) in set_everywhere(&house, "one", "1234567").await {
        assert_eq!((answer.status, sentences(&answer)), (422, vec![SHORT]), "{route}: {}", answer.text);
    }
    let given = with(registration("password123"), json!({ "password": "PASSWORD123" }));
    let refused = house.post("/api/v1.0/auth/register", given).await;
    assert_eq!((refused.status, sentences(&refused)), (422, vec![OWN]), "{}", refused.text);
    let given = json!({ "email": "ada@example.com", "password": "Ada@Example.com" });
    let refused = house.post("/auth/register", given).await;
    assert_eq!((refused.status, sentences(&refused)), (422, vec![OWN]), "{}", refused.text);
}

#[tokio::test]
async fn the_log_has_one_warning_however_many_common_passwords_are_taken() {
    let place = Place::new();
    let serving = place.serve().await;
    for name in ["ada", "ben", "cyd"] {
        let given = with(registration(name), json!({ "password": FIXTURE }));
        let made = answer(serving.request("POST", "/api/v1.0/auth/register").json(&given)).await;
        assert_eq!(made.status, 201, "{}", made.text);
    }
    let log = serving.stop().await.stderr;
    let warnings: Vec<&str> = log.lines().filter(|line| line.contains("auth.common_passwords")).collect();
    assert_eq!(warnings.len(), 1, "{log}");
    assert!(warnings[0].contains("WARN") && !log.contains(FIXTURE), "{log}");
}
