//! identity, `/admin`: who is an administrator, and blocking.

use futures_util::future::join_all;
use satchel::domain::users::{Patch, Role};
use serde_json::{Value, json};

use super::{
    BLOCKED, HIDDEN, LAST_ADMIN, NO_INTEGER, NO_TOKEN, NOBODY, account, account_as, after, again,
    assert_dead, block, delete, fault, get, log_in, look_up, renew, send, set, sign_in, unblock,
};
use crate::house::{House, PASSWORD};

const OWN: &str = "Administrators cannot block themselves";

#[tokio::test]
async fn an_administrator_is_welcomed_by_his_address() {
    let house = House::new().await;
    let admin = account_as(&house, "root", Role::Admin).await;
    for path in ["/admin/check", "/admin/check/"] {
        get(&house, &admin, path).await.is(200, json!({ "message": "Welcome, admin root@example.com!" }));
    }
}

#[tokio::test]
async fn a_block_kills_every_token_at_once_at_every_api_and_an_unblock_revives_none() {
    let house = House::new().await;
    let admin = account_as(&house, "root", Role::Admin).await;
    let (ada, ben) = (account(&house, "ada").await, account(&house, "ben").await);
    let elsewhere = again(&house, &ada).await;
    let there = house.log_in("ada@example.com", PASSWORD).await;
    let there = there.body["refresh_token"].as_str().unwrap().to_owned();
    // Known, so that what is remembered must be forgotten.
    for account in [&ada, &elsewhere] {
        get(&house, account, "/users/me").await.is(200, ada.shown());
    }
    block(&house, &admin, ada.id).await;
    for account in [&ada, &elsewhere] {
        assert_dead(&house, account).await;
    }
    let refused = house.post("/api/v1.0/auth/refresh", json!({ "refresh_token": there })).await;
    assert_eq!(refused.status, 403, "{}", refused.text);
    log_in(&house, "ada@example.com", PASSWORD).await.refuses(403, BLOCKED);
    house.log_in("ada@example.com", PASSWORD).await.refuses(403, BLOCKED);
    get(&house, &ben, "/users/me").await.is(200, ben.shown());
    let house = house.restart().await;
    assert_dead(&house, &ada).await;
    unblock(&house, &admin, ada.id).await;
    for account in [&ada, &elsewhere] {
        assert_dead(&house, account).await;
    }
    let ada = sign_in(&house, "ada").await;
    get(&house, &ada, "/users/me").await.is(200, ada.shown());
}

#[tokio::test]
async fn a_second_block_leaves_the_time_of_the_first_and_a_second_unblock_is_none() {
    let house = House::new().await;
    let admin = account_as(&house, "root", Role::Admin).await;
    let ada = account(&house, "ada").await;
    unblock(&house, &admin, ada.id).await;
    get(&house, &ada, "/users/me").await.is(200, ada.shown());
    for seconds in [10, 30] {
        house.wait(seconds);
        block(&house, &admin, ada.id).await;
        let listed = get(&house, &admin, "/users?is_blocked=true").await.body;
        let user = &listed["users"][ada.id.to_string()];
        assert_eq!((&user["block"], &user["block_at"]), (&json!(true), &json!(after(10))));
    }
    for _ in 0..2 {
        unblock(&house, &admin, ada.id).await;
        let listed = get(&house, &admin, "/users?is_blocked=false").await.body;
        let user = &listed["users"][ada.id.to_string()];
        assert_eq!((&user["block"], &user["block_at"]), (&json!(false), &Value::Null));
    }
}

#[tokio::test]
async fn nobody_is_blocked_who_is_not_there() {
    let house = House::new().await;
    let admin = account_as(&house, "root", Role::Admin).await;
    let gone = account(&house, "ada").await;
    delete(&house, &gone).await;
    for act in ["block", "unblock"] {
        for id in [gone.id, 999, 0, -1, i64::MAX, i64::MIN] {
            let answer = send(&house, &admin, "POST", &format!("/admin/{act}/{id}"), Value::Null).await;
            answer.refuses(404, NOBODY);
        }
        let bound = format!("Input should be less than or equal to {}", i64::MAX);
        let too_large = ("less_than_equal", &*bound, json!({ "le": i64::MAX }));
        let none = ("int_parsing", NO_INTEGER, Value::Null);
        for (id, (kind, msg, ctx)) in
            [("9223372036854775808", too_large), ("x", none.clone()), ("1.5", none.clone()), ("1e3", none)]
        {
            let answer = send(&house, &admin, "POST", &format!("/admin/{act}/{id}"), Value::Null).await;
            answer.is(422, fault(kind, ["path", "user_id"], msg, json!(id), ctx));
        }
    }
    assert_eq!(look_up::<i64>(&house, "select count(*) from users where blocked_at is not null"), 0);
}

#[tokio::test]
async fn an_administrator_blocks_another_and_never_himself() {
    let house = House::new().await;
    let root = account_as(&house, "root", Role::Admin).await;
    send(&house, &root, "POST", "/admin/block/1", Value::Null).await.refuses(409, OWN);
    let grace = account_as(&house, "grace", Role::Admin).await;
    let mary = account_as(&house, "mary", Role::Moderator).await;
    send(&house, &root, "POST", "/admin/block/1", Value::Null).await.refuses(409, OWN);
    block(&house, &root, grace.id).await;
    block(&house, &root, mary.id).await;
    assert_dead(&house, &grace).await;
    assert_dead(&house, &mary).await;
    // One may unblock oneself, for what it is worth.
    unblock(&house, &root, root.id).await;
    get(&house, &root, "/admin/check")
        .await
        .is(200, json!({ "message": "Welcome, admin root@example.com!" }));
}

#[tokio::test]
async fn the_last_active_administrator_is_not_deactivated_while_the_others_are_blocked_or_deleted() {
    let house = House::new().await;
    let root = account_as(&house, "root", Role::Admin).await;
    let grace = account_as(&house, "grace", Role::Admin).await;
    block(&house, &root, grace.id).await;
    let path = format!("/api/v1.0/users/{}", super::uuid_of(&house, root.id));
    for (method, body) in [("PATCH", json!({ "is_active": false })), ("DELETE", Value::Null)] {
        send(&house, &root, method, &path, body).await.refuses(409, LAST_ADMIN);
    }
    unblock(&house, &root, grace.id).await;
    assert_eq!(send(&house, &root, "DELETE", &path, Value::Null).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_administrators_who_block_each_other_at_once_leave_one() {
    for _ in 0..5 {
        let house = House::new().await;
        let root = account_as(&house, "root", Role::Admin).await;
        let grace = account_as(&house, "grace", Role::Admin).await;
        let (one, other) = tokio::join!(
            send(&house, &root, "POST", "/admin/block/2", Value::Null),
            send(&house, &grace, "POST", "/admin/block/1", Value::Null),
        );
        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        assert!(matches!(statuses, [200, 401 | 409]), "{statuses:?}");
        for answer in [&one, &other] {
            if answer.status == 409 {
                answer.refuses(409, LAST_ADMIN);
            }
        }
        assert_eq!(look_up::<i64>(&house, "select count(*) from users where blocked_at is not null"), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_block_that_races_the_refreshes_and_changes_of_its_user_leaves_no_token_alive() {
    let house = House::new().await;
    let admin = account_as(&house, "root", Role::Admin).await;
    for round in 0..5 {
        let ada = super::named(&house, &format!("ada{round}")).await;
        let refreshes = join_all((0..10).map(|_| renew(&house, &ada.refresh)));
        let changes =
            join_all((0..10).map(|_| send(&house, &ada, "PUT", "/users/balance", json!({ "amount": 1 }))));
        let (refreshed, changed, ()) = tokio::join!(refreshes, changes, block(&house, &admin, ada.id));
        assert!(changed.iter().all(|answer| matches!(answer.status, 200 | 401)));
        for answer in refreshed {
            if answer.status == 200 {
                let (access, refresh) = super::pair(&answer);
                assert_dead(&house, &super::Account { access, refresh, ..ada.clone() }).await;
            } else {
                answer.refuses(401, super::BAD_REFRESH);
            }
        }
        assert_dead(&house, &ada).await;
    }
}

#[tokio::test]
async fn to_whoever_is_no_administrator_the_routes_are_not_there() {
    let house = House::new().await;
    let admin = account_as(&house, "root", Role::Admin).await;
    let (ada, mary) = (account(&house, "ada").await, account_as(&house, "mary", Role::Moderator).await);
    let routes = [
        ("GET", "/users", "/users?sort_by=x"),
        ("GET", "/users/", "/users/?limit=0"),
        ("GET", "/users/deleted", "/users/deleted?limit=0"),
        ("POST", "/admin/block/1", "/admin/block/x"),
        ("POST", "/admin/unblock/1", "/admin/unblock/x"),
        // Whether there is such a user is nobody's business.
        ("POST", "/admin/block/999", "/admin/block/x"),
        ("GET", "/admin/check", ""),
    ];
    for (method, good, bad) in routes {
        send(&house, None, method, good, Value::Null).await.refuses(401, NO_TOKEN);
        for account in [&ada, &mary] {
            send(&house, account, method, good, Value::Null).await.refuses(404, HIDDEN);
        }
        if !bad.is_empty() {
            send(&house, None, method, bad, Value::Null).await.refuses(401, NO_TOKEN);
            for account in [&ada, &mary, &admin] {
                assert_eq!(send(&house, account, method, bad, Value::Null).await.status, 422, "{bad}");
            }
        }
    }
    assert_eq!(look_up::<i64>(&house, "select count(*) from users where blocked_at is not null"), 0);
}

#[tokio::test]
async fn whoever_was_an_administrator_is_none_from_the_moment_of_his_demotion() {
    let house = House::new().await;
    account_as(&house, "root", Role::Admin).await;
    let grace = account_as(&house, "grace", Role::Admin).await;
    get(&house, &grace, "/admin/check")
        .await
        .is(200, json!({ "message": "Welcome, admin grace@example.com!" }));
    set(&house, grace.id, Patch { role: Some(Role::User), ..Patch::default() }).await;
    assert_dead(&house, &grace).await;
    let grace = sign_in(&house, "grace").await;
    get(&house, &grace, "/admin/check").await.refuses(404, HIDDEN);
}
