//! The log: who did what to whom, from where, once it is done.

use serde_json::{Value, json};

use crate::binary::{Place, Serving};
use crate::house::{Guest, PASSWORD, answer};

/// A life in which something goes wrong and something is done; what was logged of it.
async fn logged(addresses: &str, format: &str) -> (Vec<String>, Guest, Guest) {
    let place = Place::new();
    place.make_admin("root@example.com").await;
    let mut command = place.command(&["serve", "--port", "0"]);
    command
        .env("SATCHEL_LOG__ADDRESSES", addresses)
        .env("SATCHEL_LOG__FORMAT", format)
        .env("SATCHEL_SERVER__TRUSTED_PROXIES", "127.0.0.1");
    let serving = Serving::start(command).await;
    let root = serving.sign_in("root@example.com", PASSWORD).await;
    let ada = serving.guest("ada").await;
    let from = |request: reqwest::RequestBuilder| request.header("x-forwarded-for", "203.0.113.77");
    let form = [("username", "ada@example.com"), ("password", "not it at all")];
    let wrong = serving.request("POST", "/api/v1.0/auth/login").form(&form);
    let wrong = answer(from(wrong).header("x-request-id", "wrong-one")).await;
    assert_eq!(wrong.status, 401);
    let own = serving.by(&root, "POST", "/admin/block/1").header("x-request-id", "refused-one");
    assert_eq!(answer(own).await.status, 409);
    let block = serving.by(&root, "POST", "/admin/block/2").header("x-request-id", "block-one");
    assert_eq!(answer(from(block)).await.status, 200);
    let out = serving.by(&root, "POST", "/api/v1.0/auth/logout").header("x-request-id", "out-one");
    assert_eq!(answer(from(out)).await.status, 200);
    let ended = serving.stop().await;
    assert_eq!(ended.code, Some(0));
    (ended.stderr.lines().map(str::to_owned).collect(), root, ada)
}

/// The lines about one request, but for that of the access log.
fn about<'l>(lines: &'l [String], request: &str) -> Vec<&'l String> {
    lines.iter().filter(|line| line.contains(request) && !line.contains("access")).collect()
}

#[tokio::test]
async fn who_blocked_whom_and_who_failed_to_sign_in_can_be_read_from_where() {
    let (lines, ..) = logged("full", "pretty").await;
    let wrong = about(&lines, "wrong-one");
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    // As a program like fail2ban looks for it.
    assert!(wrong[0].contains("client.address=203.0.113.77"), "{}", wrong[0]);
    assert!(
        wrong[0].contains("sign-in failed: wrong password") && wrong[0].contains("user.id=2"),
        "{}",
        wrong[0]
    );
    let block = about(&lines, "block-one");
    assert_eq!(block.len(), 1, "{block:?}");
    for part in
        ["user blocked", "actor.id=1", "user.id=2", "request.id=\"block-one\"", "client.address=203.0.113.77"]
    {
        assert!(block[0].contains(part), "{part}: {}", block[0]);
    }
    assert_eq!(about(&lines, "refused-one"), Vec::<&String>::new(), "nothing was done");
    let out = about(&lines, "out-one");
    assert!(out.len() == 1 && out[0].contains("signed out") && out[0].contains("actor.id=1"), "{out:?}");
    let access = lines.iter().find(|line| line.contains("block-one") && line.contains("access")).unwrap();
    assert!(access.contains("client.address=203.0.113.77"), "{access}");
}

#[tokio::test]
async fn addresses_are_logged_as_far_as_the_setting_says() {
    let (lines, ..) = logged("network", "json").await;
    let all = lines.join("\n");
    assert!(!all.contains("203.0.113.77"), "{all}");
    let entry: Value = serde_json::from_str(about(&lines, "block-one")[0]).unwrap();
    assert_eq!(entry["client.address"], json!("203.0.113.0"));
    assert_eq!((&entry["actor.id"], &entry["user.id"]), (&json!(1), &json!(2)));
    let (lines, ..) = logged("off", "pretty").await;
    let all = lines.join("\n");
    assert!(!all.contains("203.0.113.") && !all.contains("client.address"), "{all}");
}
