//! Sessions: an end that was answered is an end, for every token, at once and for good.

use satchel::config::Config;
use satchel::domain::users::{Patch, Role};
use serde_json::{Value, json};

use super::process::{Process, QUICK};
use super::{again, change_password, claims_of, log_out, me, pair, refresh, set_blocked};
use crate::house::{Guest, House, PASSWORD, answer};

const NEW_PASSWORD: &str = "quite another battery staple";
const YEAR: u64 = 366 * 86_400;

async fn log_out_everywhere(house: &House, guest: &Guest) {
    answer(house.by(guest, "POST", "/api/v1.0/auth/logout-all"))
        .await
        .is(200, json!({ "message": "Successfully logged out from all devices" }));
}

/// Neither the access token nor the refresh token is good for anything.
async fn assert_dead(house: &House, guest: &Guest, why: &str) {
    assert_eq!(me(house, &guest.access).await, 401, "access token, {why}");
    let refused = refresh(house, &guest.refresh).await;
    assert!((400..=403).contains(&refused.status), "refresh token, {why}: {}", refused.text);
}

#[tokio::test]
async fn log_out_ends_exactly_its_own_session() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let elsewhere = again(&house, &ada).await;
    let bob = house.guest("bob").await;
    assert_eq!(me(&house, &ada.access).await, 200);
    log_out(&house, &ada.access).await.is(200, json!({ "message": "Successfully logged out" }));
    assert_eq!(me(&house, &ada.access).await, 401);
    refresh(&house, &ada.refresh).await.refuses(401, "Refresh token has been revoked");
    log_out(&house, &ada.access).await.refuses(401, "Token has been revoked");
    for guest in [&elsewhere, &bob] {
        assert_eq!(me(&house, &guest.access).await, 200);
        assert_eq!(refresh(&house, &guest.refresh).await.status, 200);
    }
}

#[tokio::test]
async fn log_out_ends_every_access_token_of_the_session_and_the_refresh_token_that_lives() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    house.wait(60);
    let (second_access, second_refresh) = pair(&refresh(&house, &ada.refresh).await);
    assert_eq!(me(&house, &ada.access).await, 200);
    log_out(&house, &ada.access).await;
    assert_eq!(me(&house, &second_access).await, 401);
    assert_eq!(refresh(&house, &second_refresh).await.status, 401);
    assert_eq!(refresh(&house, &ada.refresh).await.status, 401);
}

#[tokio::test]
async fn log_out_everywhere_ends_tokens_of_the_same_second_and_none_that_come_after() {
    let house = House::new().await;
    let mut ada = house.guest("ada").await;
    let bob = house.guest("bob").await;
    for round in 0..6 {
        let others = [again(&house, &ada).await, again(&house, &ada).await];
        for guest in others.iter().chain([&ada]) {
            assert_eq!(me(&house, &guest.access).await, 200, "round {round}");
        }
        log_out_everywhere(&house, &ada).await;
        for guest in others.iter().chain([&ada]) {
            assert_dead(&house, guest, &format!("round {round}")).await;
        }
        ada = again(&house, &ada).await;
        assert_eq!(me(&house, &ada.access).await, 200, "round {round}: a log-in right after");
    }
    assert_eq!(me(&house, &bob.access).await, 200);
}

#[tokio::test]
async fn a_new_password_ends_every_session_and_the_old_password() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let elsewhere = again(&house, &ada).await;
    let bob = house.guest("bob").await;
    assert_eq!(me(&house, &elsewhere.access).await, 200);
    change_password(&house, &ada.access, PASSWORD, NEW_PASSWORD)
        .await
        .is(200, json!({ "message": "Password changed successfully" }));
    assert_dead(&house, &ada, "the one that changed it").await;
    assert_dead(&house, &elsewhere, "another").await;
    house.log_in(&ada.email, PASSWORD).await.refuses(401, "Invalid email or password");
    let (access, _) = pair(&house.log_in(&ada.email, NEW_PASSWORD).await);
    assert_eq!(me(&house, &access).await, 200);
    assert_eq!(me(&house, &bob.access).await, 200);
}

/// What is done to the user, and what his right password gets him then.
const DEEDS: [(&str, u16); 7] = [
    ("deactivated", 400),
    ("deactivated himself", 400),
    ("blocked", 403),
    ("deleted", 401),
    ("deleted himself", 401),
    ("demoted", 200),
    ("promoted", 200),
];

async fn do_to(house: &House, admin: &Guest, guest: &Guest, deed: &str) {
    let path = format!("/api/v1.0/users/{}", guest.uuid);
    let admin_path = format!("/api/v1.0/users/admin/{}", guest.uuid);
    let done = match deed {
        "deactivated" => house.by(admin, "PATCH", &format!("{admin_path}/activate?is_active=false")),
        "deactivated himself" => house.by(guest, "PATCH", &path).json(&json!({ "is_active": false })),
        "deleted" => house.by(admin, "DELETE", &admin_path),
        "deleted himself" => house.by(guest, "DELETE", &path),
        "demoted" => house.by(admin, "PATCH", &format!("{admin_path}/role?new_role=user")),
        "promoted" => house.by(admin, "PATCH", &format!("{admin_path}/role?new_role=admin")),
        _ => return set_blocked(house, guest, true).await,
    };
    let done = answer(done).await;
    assert_eq!(done.status, 200, "{deed}: {}", done.text);
}

#[tokio::test]
async fn whoever_is_shut_out_or_given_another_role_loses_every_token_at_once() {
    let house = House::new().await;
    let admin = house.guest_as("root", Role::Admin).await;
    let bystander = house.guest("bystander").await;
    for (n, (deed, log_in)) in DEEDS.into_iter().enumerate() {
        let guest = house.guest_as(&format!("guest{n}"), Role::Moderator).await;
        let elsewhere = again(&house, &guest).await;
        assert_eq!(me(&house, &guest.access).await, 200);
        do_to(&house, &admin, &guest, deed).await;
        assert_dead(&house, &guest, deed).await;
        assert_dead(&house, &elsewhere, deed).await;
        assert_eq!(house.log_in(&guest.email, PASSWORD).await.status, log_in, "log-in once {deed}");
    }
    assert_eq!(me(&house, &bystander.access).await, 200);
    assert_eq!(me(&house, &admin.access).await, 200);
}

#[tokio::test]
async fn a_demoted_administrator_administers_nothing_with_the_old_token() {
    let house = House::new().await;
    let admin = house.guest_as("root", Role::Admin).await;
    let second = house.guest_as("second", Role::Admin).await;
    let path = format!("/api/v1.0/users/admin/{}/role?new_role=user", second.uuid);
    assert_eq!(answer(house.by(&admin, "PATCH", &path)).await.status, 200);
    let path = format!("/api/v1.0/users/admin/{}", admin.uuid);
    assert_eq!(answer(house.by(&second, "DELETE", &path)).await.status, 401);
    let second = again(&house, &second).await;
    answer(house.by(&second, "DELETE", &path)).await.refuses(403, "Admin access required");
}

#[tokio::test]
async fn whoever_is_let_in_again_does_not_get_the_old_tokens_back() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let bob = house.guest("bob").await;
    for active in [false, true] {
        house.change(&ada.uuid, Patch { is_active: Some(active), ..Patch::default() }).await;
        set_blocked(&house, &bob, !active).await;
    }
    for guest in [&ada, &bob] {
        assert_dead(&house, guest, "let in again").await;
        let guest = again(&house, guest).await;
        assert_eq!(me(&house, &guest.access).await, 200);
    }
}

/// Ends a session in every way there is; the guests are dead, the last one lives.
async fn end_in_every_way(house: &House) -> (Vec<Guest>, Guest) {
    let admin = house.guest_as("root", Role::Admin).await;
    let mut dead = Vec::new();
    for (n, (deed, _)) in DEEDS.into_iter().enumerate() {
        let guest = house.guest_as(&format!("guest{n}"), Role::Moderator).await;
        do_to(house, &admin, &guest, deed).await;
        dead.push(guest);
    }
    let out = house.guest("logged_out").await;
    log_out(house, &out.access).await;
    let out_everywhere = house.guest("logged_out_everywhere").await;
    log_out_everywhere(house, &out_everywhere).await;
    let changed = house.guest("changed_password").await;
    change_password(house, &changed.access, PASSWORD, NEW_PASSWORD).await;
    let reused = house.guest("reused").await;
    let (access, next) = pair(&refresh(house, &reused.refresh).await);
    house.wait(11);
    assert_eq!(refresh(house, &reused.refresh).await.status, 401);
    dead.extend([out, out_everywhere, changed, Guest { access, refresh: next, ..reused.clone() }, reused]);
    (dead, admin)
}

#[tokio::test]
async fn no_restart_gives_an_ended_session_back() {
    let house = House::new().await;
    let (dead, living) = end_in_every_way(&house).await;
    let house = house.restart().await;
    for guest in &dead {
        assert_dead(&house, guest, &format!("{} after a restart", guest.email)).await;
    }
    assert_eq!(me(&house, &living.access).await, 200);
    assert_eq!(refresh(&house, &living.refresh).await.status, 200);
}

#[tokio::test]
async fn a_clock_that_ran_a_year_ahead_and_came_back_reopens_nothing() {
    let house = House::new().await;
    let (dead, _) = end_in_every_way(&house).await;
    let then = house.clock.now();
    house.wait(YEAR);
    house.server.app.auth.purge(&house.server.app.db).await.unwrap();
    for guest in &dead {
        assert_dead(&house, guest, "a year later").await;
    }
    house.clock.set(then);
    for guest in &dead {
        assert_dead(&house, guest, &format!("{} with the clock set back", guest.email)).await;
    }
    let house = house.restart().await;
    for guest in &dead {
        assert_dead(&house, guest, &format!("{} with the clock set back and a restart", guest.email)).await;
    }
    house.guest("late").await;
}

#[tokio::test]
async fn a_user_deleted_and_registered_again_is_somebody_else() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    answer(house.by(&ada, "DELETE", &format!("/api/v1.0/users/{}", ada.uuid))).await;
    let heir = house.guest("ada").await;
    assert_ne!(heir.uuid, ada.uuid);
    assert_ne!(claims_of(&heir.access)["sid"], claims_of(&ada.access)["sid"]);
    assert_dead(&house, &ada, "the address has a new owner").await;
    assert_eq!(me(&house, &heir.access).await, 200);
}

/// One request to a server in another process.
async fn ask(process: &Process, method: &str, path: &str, token: &str, body: Value) -> (u16, Value) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/api/v1.0/{path}", process.url);
    let request = client.request(method.parse().unwrap(), url).bearer_auth(token);
    let request = match path {
        "auth/login" => request.form(&body),
        _ if method == "GET" => request,
        _ => request.json(&body),
    };
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap_or_default())
}

#[tokio::test]
async fn no_kill_right_after_the_answer_gives_a_session_back() {
    let mut process = Process::start(&QUICK).await;
    let registration = crate::house::registration("ada");
    assert_eq!(ask(&process, "POST", "auth/register", "x", registration).await.0, 201);
    let log_in = json!({ "username": "ada@example.com", "password": PASSWORD });
    for deed in ["auth/logout", "auth/logout-all", "auth/refresh", "users/change-password"] {
        let password = if deed == "users/change-password" { NEW_PASSWORD } else { PASSWORD };
        let (status, pair) = ask(&process, "POST", "auth/login", "x", log_in.clone()).await;
        assert_eq!(status, 200);
        let token = |kind: &str| pair[kind].as_str().unwrap().to_owned();
        let (access, spent) = (token("access_token"), token("refresh_token"));
        let body = json!({
            "refresh_token": spent, "current_password": PASSWORD, "new_password": password,
        });
        let (status, answer) = ask(&process, "POST", deed, &access, body.clone()).await;
        assert_eq!(status, 200, "{deed}: {answer}");
        process = Process::start_in(process.kill().await, &[&QUICK[..], &NO_GRACE].concat()).await;
        if deed == "auth/refresh" {
            let next = json!({ "refresh_token": answer["refresh_token"] });
            assert_eq!(ask(&process, "POST", deed, "x", next).await.0, 200, "what was given is good");
        } else {
            assert_eq!(ask(&process, "GET", "users/me", &access, Value::Null).await.0, 401, "{deed}");
        }
        assert_eq!(ask(&process, "POST", "auth/refresh", "x", body).await.0, 401, "{deed}");
    }
    assert_eq!(ask(&process, "POST", "auth/login", "x", log_in).await.0, 401, "the old password");
}

const NO_GRACE: [(&str, &str); 1] = [("SATCHEL_AUTH__REFRESH_REUSE_SECONDS", "0")];

#[tokio::test]
async fn over_the_bound_the_session_ends_that_was_used_least_recently() {
    assert_eq!(Config::default().auth.sessions_per_user, 500);
    let house = House::with(|config| config.auth.sessions_per_user = 3).await;
    let (ada, ben) = (house.guest("ada").await, house.guest("ben").await);
    let mut sessions = vec![ada.clone()];
    for _ in 0..2 {
        house.wait(60);
        sessions.push(again(&house, &ada).await);
    }
    house.wait(60);
    // The second is refreshed, so the third was used less recently, once the first is gone.
    let (access, refreshed) = pair(&refresh(&house, &sessions[1].refresh).await);
    sessions[1] = Guest { access, refresh: refreshed, ..ada.clone() };
    let living = async |sessions: &[Guest]| {
        let mut living = Vec::new();
        for session in sessions {
            living.push(me(&house, &session.access).await == 200);
        }
        living
    };
    assert_eq!(living(&sessions).await, [true, true, true]);
    sessions.push(again(&house, &ada).await);
    assert_eq!(living(&sessions).await, [false, true, true, true], "it had just been seen to be good");
    assert_eq!(refresh(&house, &sessions[0].refresh).await.status, 401);
    house.wait(1);
    sessions.push(again(&house, &ada).await);
    assert_eq!(living(&sessions).await, [false, true, false, true, true]);
    // A session that was ended leaves room; another's are not touched.
    assert_eq!(log_out(&house, &sessions[3].access).await.status, 200);
    sessions.push(again(&house, &ada).await);
    assert_eq!(living(&sessions).await, [false, true, false, false, true, true]);
    assert_eq!(me(&house, &ben.access).await, 200);
}
