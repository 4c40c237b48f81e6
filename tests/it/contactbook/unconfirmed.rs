//! Users who signed up, had to confirm the address, and never came: what lets them go, and what keeps each.

use satchel::domain::unconfirmed;

use super::auth::{confirm, sign_up};
use super::log_in;
use crate::binary::connect;
use crate::house::{House, PASSWORD};

const DAY: u64 = 86_400;

/// What keeps a user, each by itself, and the change to the row that makes it so.
const KEEPS: [(&str, &str); 15] = [
    ("confirmed", "update users set email_confirmed_at = 1 where id = :id"),
    ("readdressed", "update users set email_changed_at = 1 where id = :id"),
    ("active", "update users set last_activity_at = 1 where id = :id"),
    (
        "session",
        "insert into sessions (id, user_id, refreshed_at, created_at, expires_at)
         values (randomblob(16), :id, 1, 1, 9000000000000000)",
    ),
    (
        "link",
        "insert into proofs (user_id, purpose, digest, email, expires_at)
         values (:id, 'reset_password', randomblob(32), 'link@example.com', 9000000000000000)",
    ),
    ("admin", "update users set role = 'admin' where id = :id"),
    ("moderator", "update users set role = 'moderator' where id = :id"),
    ("blocked", "update users set blocked_at = 1 where id = :id"),
    ("inactive", "update users set is_active = 0 where id = :id"),
    ("balance", "update users set balance = 1 where id = :id"),
    ("optional", "delete from unconfirmed where user_id = :id"),
    (
        "book",
        "insert into books (uuid, title, author, publisher, publish_date, pages, language, user_id, created_at, updated_at)
         values (randomblob(16), 'a', 'b', 'c', '2000-01-01', 1, 'd', :id, 1, 1)",
    ),
    (
        "item",
        "insert into items (uuid, name, category, price_usd, in_stock, user_id, created_at, updated_at)
         values (randomblob(16), 'a', 'Pet', 1.0, 1, :id, 1, 1)",
    ),
    (
        "todo",
        "insert into todos (title, priority, user_id, created_at, updated_at) values ('a', 'low', :id, 1, 1)",
    ),
    (
        "contact",
        "insert into contacts (user_id, fullname, email, phone_number, birthday, additional, avatar, created_at, updated_at)
         values (:id, 'a', 'a@example.com', 1, '2000-01-01', '', '', 1, 1)",
    ),
];

/// Does what the housekeeping does every hour.
async fn purge(house: &House) {
    if let Some(keep) = house.config.users.purge_unconfirmed_after() {
        while house.server.app.db.write(move |db| unconfirmed::purge(db, keep)).await.unwrap() {}
    }
    house.purge().await;
}

/// The names of all users, in order.
fn left(house: &House) -> Vec<String> {
    let conn = connect(&house.database());
    let mut names =
        conn.prepare("select substr(email, 1, instr(email, '@') - 1) from users order by 1").unwrap();
    names.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[tokio::test]
async fn who_never_confirmed_never_came_and_owns_nothing_goes_after_thirty_days_and_any_other_stays() {
    let house = House::new().await;
    sign_up(&house, "nobody").await;
    for (name, sql) in KEEPS {
        sign_up(&house, name).await;
        let find = format!("select id from users where email = '{name}@example.com'");
        house
            .server
            .app
            .db
            .write(move |db| {
                let id: i64 = db.one(&find, [], |row| row.get(0))?.unwrap();
                assert_eq!(db.execute(sql, &[(":id", &id)])?, 1, "{name}");
                Ok(())
            })
            .await
            .unwrap();
    }
    let mut kept: Vec<String> = KEEPS.iter().map(|(name, _)| String::from(*name)).collect();
    kept.sort();
    let mut all = [kept.clone(), vec![String::from("nobody")]].concat();
    all.sort();
    house.wait(30 * DAY);
    purge(&house).await;
    assert_eq!(left(&house), all, "not before thirty days are over");
    house.wait(1);
    purge(&house).await;
    assert_eq!(left(&house), kept);

    // Who is kept for what they own or may is looked at again after as long a time, and then it is gone.
    let give_up = "delete from todos; delete from proofs; update users set role = 'user', blocked_at = null;
                   update users set is_active = 1, balance = 0";
    connect(&house.database()).execute_batch(give_up).unwrap();
    purge(&house).await;
    assert_eq!(left(&house), kept);
    house.wait(30 * DAY + 1);
    purge(&house).await;
    let gone = ["todo", "link", "admin", "moderator", "blocked", "inactive", "balance"];
    kept.retain(|name| !gone.contains(&name.as_str()));
    assert_eq!(left(&house), kept);
    // The address and the name are free.
    sign_up(&house, "nobody").await;
    house.forget_letters().await;
}

#[tokio::test]
async fn who_confirmed_and_changed_nothing_else_is_there_after_a_year() {
    let house = House::new().await;
    let token = sign_up(&house, "ada").await;
    assert_eq!(confirm(&house, &token).await.status, 200);
    house.wait(365 * DAY);
    purge(&house).await;
    assert_eq!(log_in(&house, "ada@example.com", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn with_0_days_nobody_goes_and_where_every_api_asks_for_a_confirmation_its_users_go_as_well() {
    let house = House::with(|config| config.users.purge_unconfirmed_after_days = 0).await;
    sign_up(&house, "ada").await;
    house.wait(3_650 * DAY);
    purge(&house).await;
    assert_eq!(left(&house), ["ada"]);

    // Whoever did not have to confirm stays, though they never came.
    let house = House::new().await;
    house.register("ben").await;
    house.wait(31 * DAY);
    purge(&house).await;
    assert_eq!(left(&house), ["ben"]);
    let house = House::with(|config| config.auth.require_confirmed_email = true).await;
    house.register("ada").await;
    house.letter().await;
    house.wait(30 * DAY + 1);
    purge(&house).await;
    assert_eq!(left(&house), Vec::<String>::new());
}

#[tokio::test]
async fn more_than_one_piece_of_them_goes_at_once_and_the_housekeeping_does_it() {
    let house = House::new().await;
    house
        .server
        .app
        .db
        .write(|db| {
            db.execute(
                "insert into users (id, uuid, email, password_hash, confirm_required, created_at, updated_at)
                 with recursive n (n) as (select 1 union all select n + 1 from n where n < 120)
                 select n, randomblob(16), 'user' || n || '@example.com', '$argon2id$', 1, 1, 1 from n",
                [],
            )?;
            Ok(db.execute("insert into unconfirmed (user_id, since) select id, 1 from users", [])?)
        })
        .await
        .unwrap();
    let house = house.restart().await;
    let begun = std::time::Instant::now();
    while !left(&house).is_empty() {
        assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{} are left", left(&house).len());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let rows = "select count(*) from unconfirmed";
    let rows: i64 = connect(&house.database()).query_row(rows, [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 0);
}
