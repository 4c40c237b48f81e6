//! Addresses: a stolen access token is not the account, since the address before can be put back.

use satchel::db::Write;
use satchel::domain::auth::proofs::Purpose;
use serde_json::{Value, json};

use super::{again, log_out, look_up, me, refresh};
use crate::house::{Answer, Guest, House, PASSWORD, answer, registration, send};
use crate::letters::Letter;

const NEW_PASSWORD: &str = "a much longer secret of mine";
const DAY: u64 = 86_400;

/// Changes an address with a token, at bookshelf.
async fn move_to(house: &House, guest: &Guest, email: &str) -> Answer {
    let path = format!("/api/v1.0/users/{}", guest.uuid);
    send(house, guest, "PATCH", &path, json!({ "email": email })).await
}

/// Follows the link of a notice and sets a new password by it.
async fn put_back(house: &House, notice: &Letter) -> Answer {
    let path = format!("/api/email/restore/{}", notice.token());
    house.post(&path, json!({ "new_password": NEW_PASSWORD })).await
}

/// The only notice that is due.
async fn notice(house: &House) -> Letter {
    let mut notices = house.notices().await;
    assert_eq!(notices.len(), 1, "{notices:?}");
    notices.remove(0)
}

async fn ask_for_reset(house: &House, email: &str) {
    let asked = house.post("/api/auth/reset_pwd", json!({ "email": email })).await;
    assert_eq!(asked.status, 200, "{}", asked.text);
}

/// Takes the letter to reset a password, if there is one; where it went.
async fn reset_letter(house: &House) -> Option<Letter> {
    let mut letters = house.letters().await;
    letters.retain(|letter| letter.link.contains("/reset_pwd/"));
    assert!(letters.len() <= 1, "{letters:?}");
    letters.pop()
}

#[tokio::test]
async fn whoever_stole_a_token_does_not_get_the_account_by_changing_its_address() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    house.confirm(&ada).await;
    assert_eq!(move_to(&house, &ada, "thief@example.com").await.status, 200);
    // A reset that the thief asks for goes to the owner.
    ask_for_reset(&house, "thief@example.com").await;
    let reset = reset_letter(&house).await.unwrap();
    assert_eq!(reset.to, "ada@example.com");
    let told = notice(&house).await;
    assert_eq!(
        (told.to.as_str(), told.subject.as_str()),
        ("ada@example.com", "Your e-mail address was changed")
    );
    assert!(told.text.contains("7 days") && !told.text.contains("thief"), "{}", told.text);

    let done = put_back(&house, &told).await;
    done.is(200, json!({ "message": "Address restored" }));
    assert_eq!(me(&house, &ada.access).await, 401);
    assert_eq!(refresh(&house, &ada.refresh).await.status, 401);
    assert_eq!(house.log_in("ada@example.com", PASSWORD).await.status, 401, "the password is void");
    assert_eq!(house.log_in("thief@example.com", NEW_PASSWORD).await.status, 401);
    assert_eq!(house.log_in("ada@example.com", NEW_PASSWORD).await.status, 200);
    assert_eq!(look_up::<i64>(&house, "select email_confirmed_at is not null from users"), 1);
    // Once, and what was mailed before is void.
    put_back(&house, &told).await.refuses(400, "Verification error");
    let spent = format!("/api/auth/reset_pwd/{}", reset.token());
    assert_eq!(house.post(&spent, json!({ "new_password": PASSWORD })).await.status, 400);
    let told = notice(&house).await;
    assert_eq!((told.to.as_str(), told.subject.as_str()), ("ada@example.com", "Your password was changed"));
    assert_eq!(told.link, "");
    house.forget_letters().await;
}

#[tokio::test]
async fn no_chain_of_changes_takes_the_link_of_the_first_one_away() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    house.confirm(&ada).await;
    assert_eq!(move_to(&house, &ada, "thief@example.com").await.status, 200);
    let owners = notice(&house).await;
    // The thief confirms the new address, changes it again, and sets another password.
    let confirmation = house.letters().await.pop().unwrap();
    assert_eq!(confirmation.to, "thief@example.com");
    assert_eq!(house.get(&format!("/api/email/confirm/{}", confirmation.token())).await.status, 200);
    for email in ["thief2@example.com", "thief3@example.com", "thief@example.com"] {
        assert_eq!(move_to(&house, &ada, email).await.status, 200);
    }
    for told in house.notices().await {
        assert!(told.to.starts_with("thief"), "{told:?}");
        assert_eq!(told.link, "", "a later change makes no link: {}", told.text);
    }
    let body = json!({ "current_password": PASSWORD, "new_password": "the thief's own secret" });
    let changed = send(&house, &ada, "POST", "/api/v1.0/users/change-password", body).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    house.wait(7 * DAY - 60);
    put_back(&house, &owners).await.is(200, json!({ "message": "Address restored" }));
    assert_eq!(house.log_in("ada@example.com", NEW_PASSWORD).await.status, 200);
    assert_eq!(look_up::<String>(&house, "select email from users"), "ada@example.com");
    assert_eq!(look_up::<i64>(&house, "select count(*) from proofs"), 0, "no link of the thief's is left");
    assert_eq!(look_up::<i64>(&house, "select count(*) from address_changes"), 0);
    house.notices().await;
    house.forget_letters().await;
}

#[tokio::test]
async fn the_link_ends_after_seven_days_and_the_address_is_reserved_as_long() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    assert_eq!(move_to(&house, &ada, "new@example.com").await.status, 200);
    let told = notice(&house).await;
    let mut stranger = registration("eve");
    stranger["email"] = json!("ADA@example.com");
    let taken = house.post("/api/v1.0/auth/register", stranger.clone()).await;
    taken.refuses(400, "Email already registered");
    let ben = house.guest("ben").await;
    move_to(&house, &ben, "ada@example.com").await.refuses(400, "Email already registered");
    house.wait(7 * DAY);
    put_back(&house, &told).await.refuses(400, "Verification error");
    assert_eq!(house.post("/api/v1.0/auth/register", stranger).await.status, 201);
    house.forget_letters().await;
}

#[tokio::test]
async fn the_user_may_take_the_old_address_back_without_the_link() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    assert_eq!(move_to(&house, &ada, "typo@example.com").await.status, 200);
    let told = notice(&house).await;
    let back = move_to(&house, &ada, "ada@example.com").await;
    assert_eq!((back.status, &back.body["email"]), (200, &json!("ada@example.com")), "{}", back.text);
    // It still does what it says: it sets another password and ends every session.
    assert_eq!(put_back(&house, &told).await.status, 200);
    assert_eq!(me(&house, &ada.access).await, 401);
    house.forget_letters().await;
}

#[tokio::test]
async fn resets_go_to_the_old_address_until_the_new_one_is_confirmed_or_seven_days_are_over() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    assert_eq!(move_to(&house, &ada, "new@example.com").await.status, 200);
    let confirmation = house.letter().await;
    for asked in ["new@example.com", "ada@example.com"] {
        ask_for_reset(&house, asked).await;
        assert_eq!(reset_letter(&house).await.unwrap().to, "ada@example.com");
    }
    ask_for_reset(&house, "new@example.com").await;
    let early = reset_letter(&house).await.unwrap();
    assert_eq!(house.get(&format!("/api/email/confirm/{}", confirmation.token())).await.status, 200);
    let spent = format!("/api/auth/reset_pwd/{}", early.token());
    let refused = house.post(&spent, json!({ "new_password": NEW_PASSWORD })).await;
    refused.refuses(400, "Verification error");
    ask_for_reset(&house, "ada@example.com").await;
    assert!(reset_letter(&house).await.is_none(), "the new one is confirmed: the old one is nobody's");
    ask_for_reset(&house, "new@example.com").await;
    assert_eq!(reset_letter(&house).await.unwrap().to, "new@example.com");

    let ben = house.guest("ben").await;
    assert_eq!(move_to(&house, &ben, "ben2@example.com").await.status, 200);
    house.letters().await;
    house.wait(7 * DAY);
    ask_for_reset(&house, "ben@example.com").await;
    assert!(reset_letter(&house).await.is_none());
    ask_for_reset(&house, "ben2@example.com").await;
    assert_eq!(reset_letter(&house).await.unwrap().to, "ben2@example.com");
}

#[tokio::test]
async fn a_reset_mailed_to_the_old_address_does_not_confirm_the_new_one() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    assert_eq!(move_to(&house, &ada, "new@example.com").await.status, 200);
    ask_for_reset(&house, "new@example.com").await;
    let reset = reset_letter(&house).await.unwrap();
    let path = format!("/api/auth/reset_pwd/{}", reset.token());
    assert_eq!(house.post(&path, json!({ "new_password": NEW_PASSWORD })).await.status, 200);
    assert_eq!(look_up::<i64>(&house, "select email_confirmed_at is null from users"), 1);
    assert_eq!(house.log_in("new@example.com", NEW_PASSWORD).await.status, 200);
    house.forget_letters().await;
}

#[tokio::test]
async fn after_a_typing_mistake_the_session_goes_on_and_the_address_can_be_corrected() {
    let house = House::with(|config| config.auth.require_confirmed_email = true).await;
    let uuid = house.register("ada").await;
    house.letters().await;
    let ada = Guest { uuid, email: "ada@example.com".into(), access: String::new(), refresh: String::new() };
    house.confirm(&ada).await;
    let ada = again(&house, &ada).await;
    house.wait(1);
    assert_eq!(move_to(&house, &ada, "adda@example.com").await.status, 200);
    house.wait(1);
    assert_eq!(me(&house, &ada.access).await, 200);
    let (access, next) = super::pair(&refresh(&house, &ada.refresh).await);
    assert_eq!(refresh(&house, &next).await.status, 200);
    // Nobody signs in anew before the address is confirmed.
    assert_eq!(house.log_in("adda@example.com", PASSWORD).await.status, 403);
    let ada = Guest { access, ..ada };
    assert_eq!(move_to(&house, &ada, "ada@example.com").await.status, 200);
    let letters = house.letters().await;
    let confirmation = letters.iter().find(|letter| letter.to == "ada@example.com").unwrap();
    assert_eq!(house.get(&format!("/api/email/confirm/{}", confirmation.token())).await.status, 200);
    assert_eq!(house.log_in("ada@example.com", PASSWORD).await.status, 200);
    assert_eq!(log_out(&house, &ada.access).await.status, 200);
}

#[tokio::test]
async fn a_change_whose_letters_are_over_their_limit_is_refused_and_changes_nothing() {
    use satchel::config::Limit;
    let limit = Limit::Rate { count: 2, per_seconds: 3_600 };
    let house = House::with(|config| config.contactbook.limits.letters = limit).await;
    let ada = house.guest("ada").await;
    for n in 0..2 {
        assert_eq!(move_to(&house, &ada, &format!("ada{n}@example.com")).await.status, 200);
        assert_eq!(move_to(&house, &ada, "ada@example.com").await.status, 200);
    }
    let refused = move_to(&house, &ada, "ada9@example.com").await;
    refused.refuses(429, "Too many requests. Please try again later.");
    assert_eq!(refused.header("retry-after"), "3600");
    assert_eq!(look_up::<String>(&house, "select email from users"), "ada@example.com");
    // Somebody else who names the address of another uses nothing up.
    let ben = house.guest("ben").await;
    for _ in 0..3 {
        let path = format!("/api/v1.0/users/{}", ada.uuid);
        let refused = send(&house, &ben, "PATCH", &path, json!({ "email": "ben9@example.com" })).await;
        refused.refuses(403, "You can only update your own profile");
    }
    assert_eq!(move_to(&house, &ben, "ben9@example.com").await.status, 200);
    house.forget_letters().await;
}

#[tokio::test]
async fn where_a_change_needs_the_password_a_token_alone_is_not_enough() {
    let house = House::with(|config| config.auth.address_change_needs_password = true).await;
    let ada = house.guest("ada").await;
    let id: i64 = look_up(&house, "select id from users");
    for path in [format!("/api/v1.0/users/{}", ada.uuid), format!("/v1/users/{id}")] {
        let change = async |body: Value| send(&house, &ada, "PATCH", &path, body).await;
        let missing = change(json!({ "email": "new@example.com" })).await;
        assert_eq!(missing.status, 422, "{}", missing.text);
        assert!(missing.text.contains("current_password") && missing.text.contains("Field required"));
        let wrong = change(json!({ "email": "new@example.com", "current_password": "wrong horse" })).await;
        assert_eq!(wrong.status, 400, "{}", wrong.text);
        assert!(wrong.text.contains("Current password is incorrect"), "{}", wrong.text);
        assert_eq!(change(json!({ "email": "ADA@example.com" })).await.status, 200, "the same address");
        assert_eq!(change(json!({ "full_name": "Ada", "first_name": "Ada" })).await.status, 200);
    }
    // It is throttled like a sign-in.
    let body = json!({ "email": "new@example.com", "current_password": "wrong horse" });
    let mut last = 0;
    for _ in 0..5 {
        last = send(&house, &ada, "PATCH", &format!("/v1/users/{id}"), body.clone()).await.status;
    }
    assert_eq!(last, 429);
    house.wait(3600);
    let ada = again(&house, &ada).await;
    let body = json!({ "email": "new@example.com", "current_password": PASSWORD });
    assert_eq!(send(&house, &ada, "PATCH", &format!("/v1/users/{id}"), body).await.status, 200);
    house.forget_letters().await;
}

#[tokio::test]
async fn the_page_of_the_link_changes_nothing_by_itself_and_works_without_a_script() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    assert_eq!(move_to(&house, &ada, "new@example.com").await.status, 200);
    let told = notice(&house).await;
    let path = format!("/api/email/restore/{}", told.token());
    for method in ["HEAD", "GET", "GET"] {
        let page = answer(house.request(method, &path).header("accept", "text/html")).await;
        assert_eq!(page.status, 200, "{}", page.text);
        assert!(page.header("content-type").starts_with("text/html"));
        assert_eq!(method == "GET", page.text.contains("<form method=\"post\">"));
        assert!(!page.text.contains("<script"));
    }
    assert_eq!(look_up::<String>(&house, "select email from users"), "new@example.com");
    let weak =
        answer(house.request("POST", &path).header("accept", "text/html").form(&[("new_password", "short")]))
            .await;
    assert_eq!(weak.status, 422);
    assert!(weak.text.contains("at least 8 characters"), "{}", weak.text);
    let done = answer(
        house.request("POST", &path).header("accept", "text/html").form(&[("new_password", NEW_PASSWORD)]),
    )
    .await;
    assert_eq!(done.status, 200, "{}", done.text);
    assert!(done.text.contains("Your address is back"));
    assert_eq!(look_up::<String>(&house, "select email from users"), "ada@example.com");
    for wrong in ["x", "%00", &"A".repeat(43)] {
        let refused = house.get(&format!("/api/email/restore/{wrong}")).await;
        assert!(matches!(refused.status, 400 | 422), "{wrong}: {}", refused.text);
    }
    house.forget_letters().await;
}

#[tokio::test]
async fn a_proof_of_another_purpose_does_not_put_an_address_back() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    assert_eq!(move_to(&house, &ada, "new@example.com").await.status, 200);
    let told = notice(&house).await;
    ask_for_reset(&house, "ada@example.com").await;
    let letters = house.letters().await;
    for letter in &letters {
        put_back(&house, letter).await.refuses(400, "Verification error");
    }
    assert_eq!(letters.len(), 2);
    let reset = format!("/api/auth/reset_pwd/{}", told.token());
    let refused = house.post(&reset, json!({ "new_password": NEW_PASSWORD })).await;
    refused.refuses(400, "Verification error");
    assert_eq!(house.get(&format!("/api/email/confirm/{}", told.token())).await.status, 400);
    assert_eq!(look_up::<String>(&house, "select email from users"), "new@example.com");
}

#[tokio::test]
async fn a_deletion_frees_the_reserved_address_and_voids_the_link() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    assert_eq!(move_to(&house, &ada, "new@example.com").await.status, 200);
    let told = notice(&house).await;
    house.forget_letters().await;
    let path = format!("/api/v1.0/users/{}", ada.uuid);
    assert_eq!(send(&house, &ada, "DELETE", &path, Value::Null).await.status, 200);
    put_back(&house, &told).await.refuses(400, "Verification error");
    assert_eq!(house.register("ada").await.len(), 36);
}

#[tokio::test]
async fn the_last_address_that_was_confirmed_can_be_put_back_after_a_later_change_as_well() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    house.confirm(&ada).await;
    assert_eq!(move_to(&house, &ada, "thief@example.com").await.status, 200);
    house.notices().await;
    house.letters().await;
    house.wait(8 * DAY);
    let ada = Guest { email: "thief@example.com".into(), ..ada };
    let ada = again(&house, &ada).await;
    assert_eq!(move_to(&house, &ada, "thief2@example.com").await.status, 200);
    let notices = house.notices().await;
    let owners = notices.iter().find(|told| told.to == "ada@example.com").unwrap();
    let thiefs = notices.iter().find(|told| told.to == "thief@example.com").unwrap();
    assert_eq!((owners.link.is_empty(), thiefs.link.is_empty()), (false, true));
    put_back(&house, owners).await.is(200, json!({ "message": "Address restored" }));
    assert_eq!(look_up::<String>(&house, "select email from users"), "ada@example.com");
    house.forget_letters().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_put_an_address_back_at_once_one_sets_the_password() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    assert_eq!(move_to(&house, &ada, "new@example.com").await.status, 200);
    let told = notice(&house).await;
    let path = format!("/api/email/restore/{}", told.token());
    let tries = (0..10).map(|n| house.post(&path, json!({ "new_password": format!("{NEW_PASSWORD} {n}") })));
    let answers = futures_util::future::join_all(tries).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.status == 400).count(), 9);
    house.forget_letters().await;
}

#[tokio::test]
async fn every_way_to_a_new_password_is_told_to_the_owner() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let body = json!({ "current_password": PASSWORD, "new_password": NEW_PASSWORD });
    assert_eq!(send(&house, &ada, "POST", "/api/v1.0/users/change-password", body).await.status, 200);
    assert_eq!(notice(&house).await.subject, "Your password was changed");
    house.post_letter(Purpose::ResetPassword, "ada@example.com").await;
    let reset = house.letter().await;
    let path = format!("/api/auth/reset_pwd/{}", reset.token());
    assert_eq!(house.post(&path, json!({ "new_password": PASSWORD })).await.status, 200);
    let told = notice(&house).await;
    assert_eq!((told.to.as_str(), told.link.as_str()), ("ada@example.com", ""));
    let blocked = |db: &Write| Ok(db.execute("update users set blocked_at = 1", [])?);
    house.server.app.db.write(blocked).await.unwrap();
}

#[tokio::test]
async fn a_session_from_before_confirmation_was_required_is_refused_without_a_fault() {
    let mut house = House::new().await;
    let ada = house.guest("ada").await;
    house.config.auth.require_confirmed_email = true;
    let house = house.restart().await;
    assert_eq!(me(&house, &ada.access).await, 401);
    let refused = refresh(&house, &ada.refresh).await;
    assert!(matches!(refused.status, 401 | 403), "{}", refused.text);
}
