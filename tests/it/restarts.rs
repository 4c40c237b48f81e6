//! Restarts and clocks: what was ended stays so, and nobody is kept out for longer than he was told.

use futures_util::future::join_all;
use satchel::clock::Timestamp;
use satchel::config::Limits;
use satchel::domain::users::Role;
use serde_json::{Value, json};

use crate::binary::{Place, Serving, broken, connect};
use crate::house::{Answer, Guest, House, PASSWORD, answer, contact, send};

const HOUR: i64 = 3_600;
const WRONG: &str = "not it at all";
const NEW_PASSWORD: &str = "quite another battery staple";

/// Routes for users, one of each API.
const OWN: [&str; 5] = ["/api/v1.0/users/me", "/items", "/v1/auth/me", "/auth/me", "/api/contacts/"];

/// How each API answers this access token, if they agree.
async fn at_all(house: &House, access: &str) -> u16 {
    let mut statuses = Vec::new();
    for path in OWN {
        statuses.push(answer(house.request("GET", path).bearer_auth(access)).await.status);
    }
    assert!(statuses.iter().all(|status| *status == statuses[0]), "the APIs do not agree: {statuses:?}");
    statuses[0]
}

/// Refreshes at each API that does. The token is spent by the first of them that takes it.
async fn refresh_at_all(house: &House, token: &str) -> [Answer; 3] {
    let body = json!({ "refresh_token": token });
    [
        house.post("/auth/refresh", body.clone()).await,
        answer(house.request("GET", "/api/auth/refresh_token").bearer_auth(token)).await,
        house.post("/api/v1.0/auth/refresh", body).await,
    ]
}

/// Neither token of the guest opens or gets anything at any API.
async fn assert_dead(house: &House, guest: &Guest, why: &str) {
    assert_eq!(at_all(house, &guest.access).await, 401, "access token, {why}");
    for refused in refresh_at_all(house, &guest.refresh).await {
        assert!((400..=403).contains(&refused.status), "refresh token, {why}: {}", refused.text);
    }
}

/// Registers somebody whose address is confirmed: he may use every API.
async fn member(house: &House, name: &str) -> Guest {
    let guest = house.guest(name).await;
    house.confirm(&guest).await;
    guest
}

async fn again(house: &House, guest: &Guest) -> Guest {
    house.sign_in(guest.email.split('@').next().unwrap(), guest.uuid.clone()).await
}

/// The number that four of the APIs know a guest by.
async fn id(house: &House, guest: &Guest) -> String {
    send(house, guest, "GET", "/v1/auth/me", Value::Null).await.body["id"].to_string()
}

/// The link of a letter for a new password.
async fn reset_link(house: &House, guest: &Guest) -> String {
    let asked = house.post("/api/auth/reset_pwd", json!({ "email": guest.email })).await;
    assert_eq!(asked.status, 200, "{}", asked.text);
    format!("/api/auth/reset_pwd/{}", house.letter().await.token())
}

/// Every way to end a session from outside.
const WAYS: [&str; 15] = [
    "bookshelf's log-out",
    "store's log-out",
    "todolist's log-out",
    "identity's log-out",
    "the log-out everywhere",
    "a new password at bookshelf",
    "a new password at identity",
    "a reset by mail",
    "a block",
    "a deactivation",
    "a promotion",
    "a soft deletion",
    "a deletion at bookshelf",
    "a deletion at todolist",
    "a spent refresh token",
];

async fn end(house: &House, admin: &Guest, guest: &Guest, way: &str) {
    let by = |who: &Guest, method: &str, path: &str, body: Value| {
        let request = house.by(who, method, path);
        if body.is_null() { request } else { request.json(&body) }
    };
    let (number, user) = (id(house, guest).await, format!("/api/v1.0/users/admin/{}", guest.uuid));
    let request = match way {
        "bookshelf's log-out" => by(guest, "POST", "/api/v1.0/auth/logout", Value::Null),
        "store's log-out" => by(guest, "GET", "/store-managers/logout", Value::Null),
        "todolist's log-out" => by(guest, "POST", "/v1/auth/logout", Value::Null),
        "identity's log-out" => by(guest, "POST", "/auth/logout", Value::Null),
        "the log-out everywhere" => by(guest, "POST", "/api/v1.0/auth/logout-all", Value::Null),
        "a new password at bookshelf" => {
            let body = json!({ "current_password": PASSWORD, "new_password": NEW_PASSWORD });
            by(guest, "POST", "/api/v1.0/users/change-password", body)
        }
        "a new password at identity" => {
            let body =
                json!({ "email": guest.email, "old_password": PASSWORD, "new_password": NEW_PASSWORD });
            house.request("POST", "/auth/change-password").json(&body)
        }
        "a reset by mail" => {
            let link = reset_link(house, guest).await;
            house.request("POST", &link).json(&json!({ "new_password": NEW_PASSWORD }))
        }
        "a block" => by(admin, "POST", &format!("/admin/block/{number}"), Value::Null),
        "a deactivation" => by(admin, "PATCH", &format!("{user}/activate?is_active=false"), Value::Null),
        "a promotion" => by(admin, "PATCH", &format!("{user}/role?new_role=moderator"), Value::Null),
        "a soft deletion" => by(guest, "DELETE", "/users/me", Value::Null),
        "a deletion at bookshelf" => by(admin, "DELETE", &user, Value::Null),
        "a deletion at todolist" => by(guest, "DELETE", &format!("/v1/users/{number}"), Value::Null),
        _ => {
            let body = json!({ "refresh_token": guest.refresh });
            assert_eq!(house.post("/api/v1.0/auth/refresh", body.clone()).await.status, 200);
            house.wait(11);
            assert_eq!(house.post("/api/v1.0/auth/refresh", body).await.status, 401);
            return;
        }
    };
    let done = answer(request).await;
    assert!(matches!(done.status, 200 | 204), "{way}: {}", done.text);
}

#[tokio::test]
async fn whatever_ended_a_session_before_a_restart_it_is_ended_at_every_api_after_it() {
    let house = House::new().await;
    let admin = house.guest_as("root", Role::Admin).await;
    house.confirm(&admin).await;
    let mut dead = Vec::new();
    for (n, way) in WAYS.into_iter().enumerate() {
        let guest = member(&house, &format!("guest{n}")).await;
        // Each API knows the token before.
        assert_eq!(at_all(&house, &guest.access).await, 200, "{way}");
        end(&house, &admin, &guest, way).await;
        dead.push((guest, way));
    }
    let house = house.restart().await;
    for (guest, way) in &dead {
        assert_dead(&house, guest, way).await;
    }
    // Who is let in again does not get his old session back, at once or by another restart.
    for (guest, way) in &dead {
        match *way {
            "a block" => {
                let path = format!("/admin/unblock/{}", number(&house, guest));
                assert_eq!(send(&house, &admin, "POST", &path, Value::Null).await.status, 200);
            }
            "a deactivation" => {
                let path = format!("/api/v1.0/users/admin/{}/activate?is_active=true", guest.uuid);
                assert_eq!(send(&house, &admin, "PATCH", &path, Value::Null).await.status, 200);
            }
            _ => continue,
        }
        assert_dead(&house, guest, way).await;
    }
    let house = house.restart().await;
    for (guest, way) in &dead {
        assert_dead(&house, guest, way).await;
    }
    assert_eq!(at_all(&house, &admin.access).await, 200);
    assert_eq!(refresh_at_all(&house, &admin.refresh).await.map(|answer| answer.status), [200; 3]);
}

/// The same for whoever cannot sign in.
fn number(house: &House, guest: &Guest) -> i64 {
    let sql = "select id from users where email = ?1";
    connect(&house.database()).query_row(sql, [&guest.email], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn the_grace_of_a_spent_token_goes_on_over_a_restart_and_does_not_begin_anew() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let refresh = async |house: &House, token: &str| {
        house.post("/api/v1.0/auth/refresh", json!({ "refresh_token": token })).await
    };
    let next = refresh(&house, &ada.refresh).await.body["refresh_token"].clone();
    house.wait(6);
    let house = house.restart().await;
    let same = refresh(&house, &ada.refresh).await;
    assert_eq!((same.status, &same.body["refresh_token"]), (200, &next));
    house.wait(5);
    let house = house.restart().await;
    assert_eq!(refresh(&house, &ada.refresh).await.status, 401);
    assert_eq!(refresh(&house, next.as_str().unwrap()).await.status, 401, "the session has ended");
}

/// They are counted in memory, and hold for a minute: who restarts the server gives everybody a new one.
#[tokio::test]
async fn contactbooks_limits_are_forgotten_with_a_restart() {
    let house = House::with(|config| config.contactbook.limits = Limits::default()).await;
    let ada = member(&house, "ada").await;
    let write = async |house: &House, name: &str| {
        answer(house.by(&ada, "POST", "/api/contacts/").json(&contact(name))).await.status
    };
    let mut statuses = Vec::new();
    for name in ["a", "b", "c"] {
        statuses.push(write(&house, name).await);
    }
    let house = house.restart().await;
    for name in ["c", "d", "e"] {
        statuses.push(write(&house, name).await);
    }
    assert_eq!(statuses, [201, 201, 429, 201, 201, 429]);
}

/// The free failures as well as the waits: a restart is no fresh start for who guesses.
#[tokio::test]
async fn failed_sign_ins_are_counted_on_after_a_restart_whichever_api_they_are_at() {
    let mut house = House::new().await;
    house.register("ada").await;
    let ada = "ada@example.com";
    let guess = async |house: &House, n: usize| {
        let form = [("username", ada), ("password", WRONG)];
        let request = match n {
            0 => house.request("POST", "/api/v1.0/auth/login").form(&form),
            1 => house.request("POST", "/store-managers/token").form(&form),
            2 => house.request("POST", "/v1/auth/login").json(&json!({ "username": ada, "password": WRONG })),
            3 => house.request("POST", "/auth/login").form(&form),
            _ => house.request("POST", "/api/auth/login").form(&form),
        };
        answer(request).await.status
    };
    for n in 0..5 {
        assert_eq!(guess(&house, n).await, 401);
        house = house.restart().await;
    }
    for n in 0..5 {
        assert_eq!(guess(&house, n).await, 429, "at API {n}");
    }
    house.wait(1);
    house = house.restart().await;
    assert_eq!(house.log_in(ada, PASSWORD).await.status, 200);
}

/// Sets the clock so many seconds after the beginning, or before it.
fn set(house: &House, seconds: i64) {
    let beginning = crate::house::BEGINNING.seconds();
    house.clock.set(Timestamp::from_seconds(beginning + seconds));
}

#[tokio::test]
async fn what_was_ended_while_the_clock_ran_an_hour_ahead_stays_ended_and_the_rest_goes_on() {
    let house = House::new().await;
    set(&house, 0);
    let admin = house.guest_as("root", Role::Admin).await;
    house.confirm(&admin).await;
    let stays = member(&house, "stays").await;
    let mut dead = Vec::new();
    for (n, way) in WAYS.into_iter().enumerate() {
        dead.push((member(&house, &format!("guest{n}")).await, way));
    }
    set(&house, HOUR);
    assert_eq!(at_all(&house, &stays.access).await, 401, "it is good for half an hour");
    let admin = again(&house, &admin).await;
    for (guest, way) in &dead {
        let ahead = again(&house, guest).await;
        end(&house, &admin, &ahead, way).await;
        assert_eq!(at_all(&house, &ahead.access).await, 401, "{way}");
    }
    set(&house, 0);
    for (guest, way) in &dead {
        // A log-out ends its own session; the other ways end all.
        let own_alone = way.ends_with("'s log-out") || *way == "a spent refresh token";
        if own_alone {
            assert_eq!(at_all(&house, &guest.access).await, 200, "{way}");
        } else {
            assert_dead(&house, guest, way).await;
        }
    }
    assert_eq!(at_all(&house, &stays.access).await, 200, "its half hour is not over");
    assert_eq!(refresh_at_all(&house, &stays.refresh).await[0].status, 200);
}

#[tokio::test]
async fn a_token_from_a_clock_that_ran_ahead_is_good_when_its_time_has_come_and_nobody_waits_for_that() {
    let house = House::new().await;
    set(&house, HOUR);
    let ahead = member(&house, "ada").await;
    let out = again(&house, &ahead).await;
    assert_eq!(at_all(&house, &ahead.access).await, 200);
    let log_out = send(&house, &out, "POST", "/auth/logout", Value::Null).await;
    assert_eq!(log_out.status, 200);
    set(&house, 0);
    assert_eq!(at_all(&house, &ahead.access).await, 401, "remembered, and of no time yet");
    for refused in refresh_at_all(&house, &ahead.refresh).await {
        assert_eq!(refused.status, 401, "{}", refused.text);
    }
    let now = again(&house, &ahead).await;
    assert_eq!(at_all(&house, &now.access).await, 200, "signed in at once");
    assert_eq!(refresh_at_all(&house, &now.refresh).await[0].status, 200);
    // The token that came too early was not spent by that, and what was ended is.
    set(&house, HOUR);
    assert_eq!(at_all(&house, &ahead.access).await, 200);
    assert_eq!(refresh_at_all(&house, &ahead.refresh).await[0].status, 200);
    assert_dead(&house, &out, "logged out").await;
}

#[tokio::test]
async fn a_link_that_was_used_while_the_clock_ran_ahead_is_used_up_when_it_is_back() {
    let house = House::new().await;
    set(&house, 0);
    let (ada, ben) = (member(&house, "ada").await, member(&house, "ben").await);
    let (link, of_ben) = (reset_link(&house, &ada).await, reset_link(&house, &ben).await);
    let body = |n: u32| json!({ "new_password": format!("{NEW_PASSWORD} {n}") });
    set(&house, HOUR - 1);
    assert_eq!(house.post(&link, body(1)).await.status, 200);
    set(&house, HOUR);
    assert_eq!(house.post(&of_ben, body(1)).await.status, 400, "an hour is over");
    set(&house, 0);
    assert_eq!(house.post(&link, body(2)).await.status, 400);
    assert_eq!(house.log_in(&ada.email, &format!("{NEW_PASSWORD} 1")).await.status, 200);
    // One that nobody used has its time back.
    assert_eq!(house.post(&of_ben, body(2)).await.status, 200);
    set(&house, -HOUR);
    assert_eq!(house.post(&of_ben, body(3)).await.status, 400);
}

#[tokio::test]
async fn a_clock_set_back_keeps_nobody_waiting_for_longer_than_he_was_told() {
    let house = House::new().await;
    set(&house, HOUR);
    house.register("ada").await;
    let log_in = async |password: &str| house.log_in("ada@example.com", password).await;
    for _ in 0..5 {
        assert_eq!(log_in(WRONG).await.status, 401);
    }
    assert_eq!(log_in(PASSWORD).await.header("retry-after"), "1");
    // An hour earlier one guess is free; then the wait goes on where it was.
    set(&house, 0);
    assert_eq!(log_in(WRONG).await.status, 401);
    for _ in 0..3 {
        let refused = log_in(PASSWORD).await;
        assert_eq!((refused.status, refused.header("retry-after")), (429, "2"));
    }
    house.wait(2);
    assert_eq!(log_in(PASSWORD).await.status, 200);
}

#[tokio::test]
async fn a_clock_set_forward_ends_the_waits_that_are_over_by_then_and_forgets_no_failure() {
    let house = House::new().await;
    set(&house, 0);
    house.register("ada").await;
    let log_in = async |password: &str| house.log_in("ada@example.com", password).await;
    for _ in 0..5 {
        assert_eq!(log_in(WRONG).await.status, 401);
    }
    set(&house, HOUR);
    assert_eq!(log_in(WRONG).await.status, 401);
    assert_eq!(log_in(PASSWORD).await.header("retry-after"), "2");
}

#[tokio::test]
async fn contactbooks_limits_count_anew_after_a_jump_of_the_clock_either_way() {
    let house = House::with(|config| config.contactbook.limits = Limits::default()).await;
    let ada = member(&house, "ada").await;
    for (n, seconds) in [0, -HOUR, 1, HOUR].into_iter().enumerate() {
        set(&house, seconds);
        let ada = again(&house, &ada).await;
        for (name, status) in [("a", 201), ("b", 201), ("c", 429)] {
            let request = house.by(&ada, "POST", "/api/contacts/").json(&contact(&format!("{name}{n}")));
            assert_eq!(answer(request).await.status, status, "{seconds}");
        }
    }
}

#[tokio::test]
async fn a_letter_from_a_clock_that_ran_ahead_leaves_in_an_hour_or_when_it_is_asked_for_again() {
    let house = House::new().await;
    set(&house, 0);
    let (ada, ben) = (member(&house, "ada").await, member(&house, "ben").await);
    // Somebody's mail server is down: nothing leaves yet.
    std::fs::write(house.config.mail_directory(), "").unwrap();
    set(&house, HOUR);
    for guest in [&ada, &ben] {
        house.post("/api/auth/reset_pwd", json!({ "email": guest.email })).await;
    }
    set(&house, 0);
    std::fs::remove_file(house.config.mail_directory()).unwrap();
    house.post("/api/auth/reset_pwd", json!({ "email": ada.email })).await;
    assert_eq!(house.letter().await.to, ada.email);
    set(&house, HOUR + 60);
    assert_eq!(house.letter().await.to, ben.email);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_servers_and_migrations_that_start_at_once_on_a_new_directory_one_has_it_and_the_others_say_who() {
    for round in 0..5 {
        let place = Place::new();
        let serve = || Serving::try_start(place.command(&["serve", "--port", "0"]));
        let migrate = || place.run(&["migrate", "up"]);
        let (servers, migrations) =
            tokio::join!(join_all((0..3).map(|_| serve())), join_all((0..3).map(|_| migrate())));
        let (serving, refused): (Vec<_>, Vec<_>) = servers.into_iter().partition(Result::is_ok);
        assert!(serving.len() <= 1, "round {round}: {} serve one directory", serving.len());
        let mut told: Vec<String> = refused.into_iter().filter_map(Result::err).collect();
        let migrated = migrations.iter().filter(|ended| ended.code == Some(0)).count();
        assert!(serving.len() + migrated > 0, "round {round}: each kept the others out: {told:?}");
        told.extend(migrations.into_iter().filter(|ended| ended.code != Some(0)).map(|ended| ended.stderr));
        for told in told {
            let who = "satchel: the data directory ./data is in use by ";
            assert!(told.starts_with(who) && told.lines().count() == 1, "round {round}: {told}");
        }
        let serving = match serving.into_iter().next() {
            Some(serving) => serving.unwrap(),
            None => place.serve().await,
        };
        serving.guest("ada").await;
        assert_eq!(serving.stop().await.code, Some(0), "round {round}");
        assert_eq!(broken(&place.database()), Vec::<String>::new(), "round {round}");
    }
}
