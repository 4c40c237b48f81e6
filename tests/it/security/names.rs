//! Names: nobody takes the one that somebody else is shown by.

use serde_json::{Value, json};

use super::look_up;
use crate::house::{House, PASSWORD, answer, registration, send};

#[tokio::test]
async fn the_name_made_of_anothers_number_is_taken_while_that_user_has_no_name() {
    let house = House::new().await;
    // Users 1 and 2 have no username, user 3 has one.
    for name in ["nobody", "someone"] {
        let made = house
            .post(
                "/store-managers",
                json!({ "name": name, "email": format!("{name}@example.com"), "password": PASSWORD }),
            )
            .await;
        assert_eq!(made.status, 201, "{}", made.text);
    }
    let ada = house.guest("ada").await;
    assert_eq!(look_up::<i64>(&house, "select id from users where username = 'ada'"), 3);
    let nobody = house.sign_in("nobody", String::new()).await;
    let taken = "Username already taken";
    for name in ["user_1", "USER_1", "User_2", "ｕｓｅｒ_1", "u\u{17f}er_１"] {
        let mut mine = registration("mine");
        mine["username"] = json!(name);
        let refused = house.post("/api/v1.0/auth/register", mine).await;
        assert!(matches!(refused.status, 400 | 409), "{name}: {}", refused.text);
        let account = json!({ "username": name, "email": "mine@example.com", "full_name": "Mine", "password": PASSWORD });
        let refused = house.post("/v1/users", account).await;
        assert!(matches!(refused.status, 400 | 409), "{name}: {}", refused.text);
        let refused = send(
            &house,
            &ada,
            "PATCH",
            &format!("/api/v1.0/users/{}", ada.uuid),
            json!({ "username": name }),
        )
        .await;
        assert!(matches!(refused.status, 400 | 409), "{name}: {}", refused.text);
        assert!(
            refused.text.contains(taken) || refused.text.to_lowercase().contains("username"),
            "{}",
            refused.text
        );
    }
    // Names that nobody is shown by: of a user who has another, of none, and no number as it is written.
    for (n, name) in ["user_3", "user_99", "user_01", "user_+1", "user_", "user_1x", "xuser_1", "user_-1"]
        .iter()
        .enumerate()
    {
        let mut free = registration(&format!("free{n}"));
        free["username"] = json!(name);
        let made = house.post("/api/v1.0/auth/register", free).await;
        assert_eq!(made.status, 201, "{name}: {}", made.text);
    }
    // The user's own.
    let me = answer(house.by(&nobody, "GET", "/api/v1.0/users/me")).await;
    assert_eq!(me.body["username"], "user_1");
    let own = format!("/api/v1.0/users/{}", me.body["uuid"].as_str().unwrap());
    let changed = send(&house, &nobody, "PATCH", &own, json!({ "username": "User_1" })).await;
    assert_eq!((changed.status, &changed.body["username"]), (200, &json!("User_1")), "{}", changed.text);
    // A user who is gone is shown by no name.
    let someone = house.sign_in("someone", String::new()).await;
    assert_eq!(send(&house, &someone, "DELETE", "/users/me", Value::Null).await.status, 200);
    let mut mine = registration("mine");
    mine["username"] = json!("user_2");
    assert_eq!(house.post("/api/v1.0/auth/register", mine).await.status, 201);
}
