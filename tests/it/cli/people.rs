//! `satchel admin`: users, with and without a running server.

use serde_json::json;

use crate::binary::{Place, connect};
use crate::house::{PASSWORD, answer};

const ADA: &str = "ada@example.com";

#[tokio::test]
async fn the_first_administrator_may_be_made_before_the_first_start() {
    let place = Place::new();
    place.make_admin(ADA).await;
    let serving = place.serve().await;
    let ada = serving.sign_in(ADA, PASSWORD).await;
    let own = answer(serving.by(&ada, "GET", "/api/v1.0/users/me")).await;
    assert_eq!(own.body["role"], "admin");
}

#[tokio::test]
async fn an_administrator_made_beside_a_server_signs_in_at_once() {
    let place = Place::new();
    let serving = place.serve().await;
    place.make_admin(ADA).await;
    let ada = serving.sign_in(ADA, PASSWORD).await;
    let path = format!("/api/v1.0/users/{}", ada.uuid);
    assert_eq!(answer(serving.by(&ada, "GET", &path)).await.body["role"], "admin");
}

#[tokio::test]
async fn a_username_may_come_with_an_administrator() {
    let place = Place::new();
    let args = ["admin", "create", "--email", ADA, "--username", "Ada", "--password-stdin"];
    place.run_with_input(&args, PASSWORD).await.done();
    let serving = place.serve().await;
    let ada = serving.sign_in(ADA, PASSWORD).await;
    let own = answer(serving.by(&ada, "GET", "/api/v1.0/users/me")).await;
    assert_eq!(own.body["username"], "Ada");
}

#[tokio::test]
async fn a_byte_order_mark_is_no_part_of_the_password() {
    let place = Place::new();
    let serving = place.serve().await;
    let args = ["admin", "create", "--email", ADA, "--password-stdin"];
    place.run_with_input(&args, "\u{feff}späces and ümlauts\r\n").await.done();
    serving.sign_in(ADA, "späces and ümlauts").await;
    let args = ["admin", "set-password", ADA, "--password-stdin"];
    place.run_with_input(&args, "\u{feff}other späces").await.done();
    serving.sign_in(ADA, "other späces").await;
}

/// Only the end of the line is no part of it.
#[tokio::test]
async fn the_password_is_the_first_line_as_it_stands() {
    let place = Place::new();
    let serving = place.serve().await;
    let args = ["admin", "create", "--email", ADA, "--password-stdin"];
    place.run_with_input(&args, "  späces and ümlauts \r\nanother line\n").await.done();
    serving.sign_in(ADA, "  späces and ümlauts ").await;
    assert_eq!(serving.log_in(ADA, "späces and ümlauts").await.status, 401);
}

#[tokio::test]
async fn an_administrator_who_cannot_be_made_leaves_nothing_behind() {
    let check = async |email: &str, more: &[&str], password: &str, expected: &str| {
        let place = Place::new();
        let args = [&["admin", "create", "--email", email, "--password-stdin"], more].concat();
        place.run_with_input(&args, password).await.refuses(expected);
        assert!(place.files().is_empty(), "{:?}", place.files());
    };
    check(ADA, &[], "short\n", "the password has fewer than 8 characters").await;
    check(ADA, &[], "", "the password has fewer than 8 characters").await;
    check(ADA, &[], &"x".repeat(257), "the password has more than 256 characters").await;
    check(ADA, &[], ADA, "the password is the user's own e-mail address or username").await;
    let username = ["--username", "analytical"];
    check(ADA, &username, "Analytical", "the password is the user's own e-mail address or username").await;
    check(ADA, &["--username", "a@b"], PASSWORD, "a username has 3 to 50 characters and no @").await;
    check(ADA, &["--username", "ab"], PASSWORD, "a username has 3 to 50 characters and no @").await;
    check(ADA, &["--username", "ada "], PASSWORD, "Username must not begin or end with a blank").await;
    check(ADA, &["--username", "a\u{200b}da"], PASSWORD, "Username must not contain zero-width characters")
        .await;
}

#[tokio::test]
async fn an_administrator_s_common_password_is_taken_with_a_warning_in_development_and_refused_where_it_is_said()
 {
    let args = ["admin", "create", "--email", ADA, "--password-stdin"];
    let place = Place::new();
    let made = place.run_with_input(&args, "password123\n").await;
    assert_eq!((made.code, &*made.stdout), (Some(0), "ada@example.com is an administrator\n"), "{made:?}");
    assert_eq!(made.stderr.matches("among the most common ones").count(), 1, "{}", made.stderr);
    let place = Place::new();
    place.write("config.toml", "[auth]\ncommon_passwords = \"refuse\"");
    place.run_with_input(&args, "password123\n").await.refuses("the password is among the most common ones");
}

#[tokio::test]
async fn an_address_that_is_none_is_refused() {
    let place = Place::new();
    let args = ["admin", "create", "--email", "ada", "--password-stdin"];
    let ended = place.run_with_input(&args, PASSWORD).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.starts_with("satchel: ada is not a valid email address: "), "{}", ended.stderr);
    assert!(place.files().is_empty());
}

#[tokio::test]
async fn without_a_terminal_the_password_must_be_on_stdin() {
    let place = Place::new();
    let expected = "there is no terminal to ask for the password on: use --password-stdin";
    place.run(&["admin", "create", "--email", ADA]).await.refuses(expected);
    assert!(place.files().is_empty());
    place.make_admin(ADA).await;
    place.run(&["admin", "set-password", ADA]).await.refuses(expected);
}

#[tokio::test]
async fn a_taken_address_and_a_taken_name_are_refused() {
    let place = Place::new();
    place.make_admin(ADA).await;
    let args = ["admin", "create", "--email", "ADA@example.com", "--password-stdin"];
    place.run_with_input(&args, PASSWORD).await.refuses("another user has this e-mail address");
    let create = |email| ["admin", "create", "--email", email, "--username", "grace", "--password-stdin"];
    place.run_with_input(&create("grace@example.com"), PASSWORD).await.done();
    let again = place.run_with_input(&create("grace2@example.com"), PASSWORD).await;
    again.refuses("another user has this username");
}

#[tokio::test]
async fn a_user_who_is_not_there_is_named() {
    let place = Place::new();
    place.make_admin(ADA).await;
    for command in ["promote", "demote", "block", "unblock", "confirm", "set-password"] {
        let ended = place.run_with_input(&["admin", command, "bob@example.com"], PASSWORD).await;
        ended.refuses("no user has the e-mail address bob@example.com");
    }
}

#[tokio::test]
async fn only_create_makes_a_database() {
    let place = Place::new();
    for args in [&["admin", "list"][..], &["admin", "promote", ADA]] {
        let ended = place.run(args).await;
        ended.refuses("there is no database at ./data/satchel.db yet: make it with `satchel migrate up`");
        assert!(place.files().is_empty());
    }
}

#[tokio::test]
async fn the_last_administrator_stays_one() {
    let place = Place::new();
    place.make_admin(ADA).await;
    for command in ["demote", "block"] {
        let ended = place.run(&["admin", command, ADA]).await;
        ended.refuses("the last active administrator must remain one");
    }
    place.make_admin("grace@example.com").await;
    assert_eq!(place.run(&["admin", "demote", ADA]).await.done(), "ada@example.com is a user\n");
}

#[tokio::test]
async fn whoever_typed_an_address_at_a_sign_up_is_not_promoted_by_it() {
    let place = Place::new();
    place.make_admin("grace@example.com").await;
    let serving = place.serve().await;
    let squatter = serving.guest("ada").await;
    let refused = place.run(&["admin", "promote", ADA]).await;
    refused.refuses(
        "nobody has confirmed the address ada@example.com: the person who typed it at a sign-up would become an administrator. \
         If you know that this is the right person, run `satchel admin confirm ada@example.com` first, or say --unconfirmed",
    );
    assert_eq!(serving.own_profile(&squatter).await, 200, "nothing was changed");
    assert!(!place.run(&["admin", "list"]).await.done().contains(ADA));

    let promoted = place.run(&["admin", "promote", ADA, "--unconfirmed"]).await;
    assert_eq!(promoted.done(), "ada@example.com is an administrator\n");
    assert!(place.run(&["admin", "list"]).await.done().contains(ADA));
}

#[tokio::test]
async fn a_promoted_user_is_an_administrator_for_the_server_at_once_and_a_demoted_one_is_none() {
    let place = Place::new();
    place.make_admin("grace@example.com").await;
    let serving = place.serve().await;
    let before = serving.guest("ada").await;
    assert_eq!(serving.own_profile(&before).await, 200);

    place.run(&["admin", "confirm", ADA]).await.done();
    let promoted = place.run(&["admin", "promote", ADA]).await;
    assert_eq!(promoted.done(), "ada@example.com is an administrator\n");
    // A token speaks for the role that it was given for.
    assert_eq!(serving.own_profile(&before).await, 401);
    let admin = serving.sign_in(ADA, PASSWORD).await;
    let set_role = |role| format!("/api/v1.0/admin/users/{}/role?new_role={role}", admin.uuid);
    assert_eq!(answer(serving.by(&admin, "PATCH", &set_role("admin"))).await.status, 200);

    let demoted = place.run(&["admin", "demote", ADA]).await;
    assert_eq!(demoted.done(), "ada@example.com is a user\n");
    assert_eq!(serving.own_profile(&admin).await, 401);
    let user = serving.sign_in(ADA, PASSWORD).await;
    assert_eq!(answer(serving.by(&user, "PATCH", &set_role("admin"))).await.status, 403);
}

#[tokio::test]
async fn a_blocked_users_token_is_refused_as_soon_as_the_command_has_ended() {
    let place = Place::new();
    let serving = place.serve().await;
    let ada = serving.guest("ada").await;
    // The server knows the token by now.
    assert_eq!(serving.own_profile(&ada).await, 200);

    let blocked = place.run(&["admin", "block", ADA]).await;
    assert_eq!(blocked.done(), "ada@example.com is blocked; every session ended\n");
    assert_eq!(serving.own_profile(&ada).await, 401);
    assert_eq!(serving.log_in(ADA, PASSWORD).await.status, 403);

    let unblocked = place.run(&["admin", "unblock", ADA]).await;
    assert_eq!(unblocked.done(), "ada@example.com is let in again\n");
    assert_eq!(serving.own_profile(&ada).await, 401, "an ended session stays ended");
    serving.sign_in(ADA, PASSWORD).await;
}

#[tokio::test]
async fn a_confirmed_address_counts_at_once() {
    let place = Place::new();
    let mut command = place.command(&["--port", "0"]);
    command.env("SATCHEL_AUTH__REQUIRE_CONFIRMED_EMAIL", "true");
    let serving = crate::binary::Serving::start(command).await;
    let body = crate::house::registration("ada");
    let made = answer(serving.request("POST", "/api/v1.0/auth/register").json(&body)).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(serving.log_in(ADA, PASSWORD).await.status, 403);
    let confirmed = place.run(&["admin", "confirm", ADA]).await;
    assert_eq!(confirmed.done(), "ada@example.com has a confirmed address\n");
    serving.sign_in(ADA, PASSWORD).await;
}

#[tokio::test]
async fn a_set_password_ends_every_session_and_is_the_only_one() {
    let place = Place::new();
    let serving = place.serve().await;
    let ada = serving.guest("ada").await;
    assert_eq!(serving.own_profile(&ada).await, 200);
    let args = ["admin", "set-password", ADA, "--password-stdin"];
    place.run_with_input(&args, "short").await.refuses("the password has fewer than 8 characters");
    assert_eq!(serving.own_profile(&ada).await, 200);

    let set = place.run_with_input(&args, "another fine staple\n").await;
    assert_eq!(set.done(), "ada@example.com has a new password; every session ended\n");
    assert_eq!(serving.own_profile(&ada).await, 401);
    let refresh = serving.request("POST", "/api/v1.0/auth/refresh");
    let refresh = answer(refresh.json(&json!({ "refresh_token": ada.refresh }))).await;
    assert_eq!(refresh.status, 401, "{}", refresh.text);
    let familiar = || {
        let sql = "select count(*) from familiar_addresses";
        connect(&place.database()).query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(familiar(), 0);
    assert_eq!(serving.log_in(ADA, PASSWORD).await.status, 401);
    serving.sign_in(ADA, "another fine staple").await;
    assert_eq!(familiar(), 1);
}

#[tokio::test]
async fn list_shows_the_administrators_and_nobody_else() {
    let place = Place::new();
    place.make_admin(ADA).await;
    place.make_admin("grace@example.com").await;
    let serving = place.serve().await;
    serving.guest("bob").await;
    place.run(&["admin", "block", ADA]).await.done();
    let listed = place.run(&["admin", "list"]).await;
    let columns: Vec<Vec<&str>> = listed.done().lines().map(|line| line.split("  ").collect()).collect();
    let told: Vec<_> = columns.iter().map(|columns| &columns[1..3]).collect();
    assert_eq!(told, [[ADA, "shut out"], ["grace@example.com", "active"]]);
}

#[tokio::test]
async fn list_all_shows_everybody_with_role_and_state() {
    let place = Place::new();
    assert_eq!(place.run(&["migrate", "up"]).await.code, Some(0));
    let none = "there is no administrator yet: `satchel admin create` makes one\n";
    assert_eq!(place.run(&["admin", "list"]).await.done(), none);
    assert_eq!(place.run(&["admin", "list", "--all"]).await.done(), "there is no user yet\n");
    place.make_admin(ADA).await;
    let serving = place.serve().await;
    for name in ["bob", "eve", "joe", "sue"] {
        serving.guest(name).await;
    }
    let signup = json!({ "username": "Zoë P.", "email": "zoe@example.com", "password": PASSWORD });
    let made = answer(serving.request("POST", "/api/auth/signup").json(&signup)).await;
    assert_eq!(made.status, 201, "{}", made.text);
    place.run(&["admin", "block", "eve@example.com"]).await.done();
    let sql = "update users set is_active = 0 where email = 'joe@example.com';
               update users set deleted_at = 1 where email = 'sue@example.com';
               update users set username = 'bo' || char(27) || 'b' where email = 'bob@example.com'";
    connect(&place.database()).execute_batch(sql).unwrap();
    let listed = place.run(&["admin", "list", "--all"]).await;
    let columns: Vec<Vec<&str>> = listed.done().lines().map(|line| line.split("  ").collect()).collect();
    let told: Vec<_> = columns.iter().map(|columns| [&columns[..1], &columns[2..6]].concat()).collect();
    assert_eq!(
        told,
        [
            ["1", ADA, "-", "admin", "active"],
            ["2", "bob@example.com", "bo\\u001bb", "user", "active"],
            ["3", "eve@example.com", "eve", "user", "blocked"],
            ["4", "joe@example.com", "joe", "user", "deactivated"],
            ["5", "sue@example.com", "sue", "user", "deleted"],
            ["6", "zoe@example.com", "-", "user", "unconfirmed"],
        ]
    );
    assert!(
        columns.iter().all(|columns| columns[1].len() == 36 && columns[6].starts_with("since 2")),
        "{columns:?}"
    );
}
