//! identity, `DELETE /users/me` and `/users/deleted`: what a soft delete takes at once, what it keeps, and the purge.

use std::time::Duration;

use futures_util::future::join_all;
use satchel::db::Write;
use satchel::domain::auth::proofs::Purpose;
use satchel::domain::emails::Email;
use satchel::domain::pictures::{MediaType, Picture};
use satchel::domain::users::Role;
use satchel::domain::{accounts, avatars, letters, removal, users};
use satchel::error::{Error, Refusal};
use serde_json::{Value, json};

use super::{
    Account, BAD_TOKEN, DELETED, NOBODY, WRONG, account, account_as, after, again, assert_dead, block,
    delete, fault, get, log_in, look_up, named, register, registration, send, sign_in, tamper, uuid_of,
};
use crate::house::{House, PASSWORD, book, with};

const MONTH: u64 = 30 * 86_400;

/// A book, an item and a todo of somebody's, by their addresses.
struct Things {
    book: String,
    item: String,
    todo: String,
}

impl Things {
    async fn of(house: &House, owner: &Account) -> Self {
        let add = async |path: &str, body: Value| {
            let made = send(house, owner, "POST", path, body).await;
            assert_eq!(made.status, 201, "{}", made.text);
            made.body
        };
        let item = json!({ "name": "Tea", "category": "Grocery", "price_usd": 1, "in_stock": true });
        let item = add("/items", item).await;
        let book = add("/api/v1.0/books/", book("Dune")).await;
        let todo = add("/v1/todos", json!({ "title": "Read" })).await;
        Self {
            book: format!("/api/v1.0/books/{}", book["uuid"].as_str().unwrap()),
            item: format!("/items/{}", item["id"].as_str().unwrap()),
            todo: format!("/v1/todos/{}", todo["id"]),
        }
    }
}

/// As `/users/deleted` shows somebody who registered at the beginning and was deleted so many seconds after it.
fn gone(shown: Value, seconds: u64) -> Value {
    let updated_at = (seconds > 0).then(|| after(seconds));
    with(shown, json!({ "deleted_at": after(seconds), "updated_at": updated_at }))
}

async fn deleted_users(house: &House, admin: &Account) -> Value {
    let answer = get(house, admin, "/users/deleted").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.header("cache-control"), "no-store");
    answer.body["deleted_users"].clone()
}

#[tokio::test]
async fn a_deletion_kills_every_token_at_once_at_every_api() {
    let house = House::new().await;
    let (ada, ben) = (account(&house, "ada").await, account(&house, "ben").await);
    let elsewhere = again(&house, &ada).await;
    let there = house.log_in("ada@example.com", PASSWORD).await;
    let there = there.body["refresh_token"].as_str().unwrap().to_owned();
    // Known, so that what is remembered must be forgotten.
    for account in [&ada, &elsewhere] {
        get(&house, account, "/users/me").await.is(200, ada.shown());
    }
    delete(&house, &ada).await;
    for account in [&ada, &elsewhere] {
        assert_dead(&house, account).await;
    }
    let refused = house.post("/api/v1.0/auth/refresh", json!({ "refresh_token": there })).await;
    refused.refuses(401, "Refresh token has been revoked");
    send(&house, &ada, "DELETE", "/users/me", Value::Null).await.refuses(401, BAD_TOKEN);
    log_in(&house, "ada@example.com", PASSWORD).await.refuses(403, DELETED);
    house.log_in("ada@example.com", PASSWORD).await.refuses(403, DELETED);
    get(&house, &ben, "/users/me").await.is(200, ben.shown());
    let house = house.restart().await;
    assert_dead(&house, &ada).await;
}

#[tokio::test]
async fn an_address_is_free_at_once_for_a_new_user_who_has_nothing_of_the_old_one() {
    let house = House::new().await;
    let admin = account_as(&house, "root", Role::Admin).await;
    let old = named(&house, "ada").await;
    send(&house, &old, "PUT", "/users/balance", json!({ "amount": 100 }))
        .await
        .is(200, json!({ "new_balance": 100 }));
    let things = Things::of(&house, &old).await;
    delete(&house, &old).await;
    let next = "quite another battery staple";
    let given = json!({ "email": "Ada@Example.com", "password": next });
    house.post("/auth/register", given).await.is(200, json!({ "email": "Ada@example.com" }));
    // The old password is nobody's any more.
    log_in(&house, "ada@example.com", PASSWORD).await.refuses(401, WRONG);
    let (access, refresh) = super::pair(&log_in(&house, "ada@example.com", next).await);
    let new = Account { id: 3, email: "Ada@example.com".into(), access, refresh };
    get(&house, &new, "/users/me").await.is(200, new.shown());
    get(&house, &new, "/users/profile").await.refuses(403, "Profile incomplete");
    get(&house, &new, "/api/v1.0/books/my-books").await.is(200, json!([]));
    let todos = get(&house, &new, "/v1/todos").await;
    assert_eq!((&todos.body["todos"], &todos.body["total"]), (&json!([]), &json!(0)));
    let sentence = "You can only update your own books";
    send(&house, &new, "PATCH", &things.book, json!({ "pages": 1 })).await.refuses(403, sentence);
    for (method, path) in [("DELETE", &things.item), ("GET", &things.todo), ("DELETE", &things.todo)] {
        assert_eq!(send(&house, &new, method, path, Value::Null).await.status, 403, "{method} {path}");
    }
    assert_dead(&house, &old).await;
    let shown = gone(with(old.named(), json!({ "balance": 100 })), 0);
    assert_eq!(deleted_users(&house, &admin).await, json!([shown]));
    // Deleted again, the address is free again, and the newest one's password is the one that counts.
    house.wait(1);
    delete(&house, &new).await;
    log_in(&house, "ada@example.com", next).await.refuses(403, DELETED);
    log_in(&house, "ada@example.com", PASSWORD).await.refuses(401, WRONG);
    register(&house, "ada").await;
    assert_eq!(sign_in(&house, "ada").await.id, 4);
}

#[tokio::test]
async fn a_username_is_free_at_once_too() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let deleted = crate::house::answer(house.by(&ada, "DELETE", "/users/me")).await;
    deleted.is(200, json!({ "message": "Account successfully deleted" }));
    let answer = house.post("/v1/auth/login", json!({ "username": "ada", "password": PASSWORD })).await;
    assert_eq!(answer.status, 401, "{}", answer.text);
    house.guest("ada").await;
}

#[tokio::test]
async fn deleted_users_are_listed_newest_first_and_without_a_hash() {
    let house = House::new().await;
    let admin = account_as(&house, "root", Role::Admin).await;
    assert_eq!(deleted_users(&house, &admin).await, json!([]));
    let (ada, ben) = (named(&house, "ada").await, account(&house, "ben").await);
    let mary = account_as(&house, "mary", Role::Moderator).await;
    house.wait(10);
    delete(&house, &ada).await;
    house.wait(10);
    delete(&house, &mary).await;
    let expected = json!({ "deleted_users": [gone(mary.shown(), 20), gone(ada.named(), 10)] });
    for path in ["/users/deleted", "/users/deleted/"] {
        let answer = get(&house, &admin, path).await;
        answer.is(200, expected.clone());
        assert!(!answer.text.contains("argon2") && !answer.text.contains("password"), "{}", answer.text);
    }
    get(&house, &ben, "/users/me").await.is(200, ben.shown());
}

#[tokio::test]
async fn pages_of_deleted_users_walk_all_of_them_once() {
    let house = House::new().await;
    let admin = account_as(&house, "root", Role::Admin).await;
    for n in 2..=8 {
        tamper(
            &house,
            format!(
                "insert into users (id, uuid, email, password_hash, created_at, updated_at, deleted_at)
                 values ({n}, randomblob(16), 'user{n}@example.com', '$argon2id$', 1, 1, {})",
                100 - n
            ),
        )
        .await;
    }
    for limit in [1, 3, 7, 8, 1000] {
        let (mut seen, mut path) = (Vec::new(), format!("/users/deleted?limit={limit}"));
        loop {
            let page = get(&house, &admin, &path).await;
            let users = page.body["deleted_users"].as_array().unwrap();
            assert!(users.len() <= limit, "{}", page.text);
            seen.extend(users.iter().map(|user| user["id"].as_i64().unwrap()));
            match page.header("link").strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\""))
            {
                Some(next) => path = next.to_owned(),
                None => break,
            }
        }
        assert_eq!(seen, [8, 7, 6, 5, 4, 3, 2], "{limit}");
    }
    for (query, kind, msg, input, ctx) in [
        (
            "limit=0",
            "greater_than_equal",
            "Input should be greater than or equal to 1",
            "0",
            json!({ "ge": 1 }),
        ),
        (
            "limit=1001",
            "less_than_equal",
            "Input should be less than or equal to 1000",
            "1001",
            json!({ "le": 1000 }),
        ),
        (
            "cursor=x",
            "value_error",
            "Value error, Cursor must come from the Link header of a page",
            "x",
            json!({ "error": {} }),
        ),
    ] {
        let field = query.split('=').next().unwrap();
        let answer = get(&house, &admin, &format!("/users/deleted?{query}")).await;
        answer.is(422, fault(kind, ["query", field], msg, json!(input), ctx));
    }
}

#[tokio::test]
async fn an_administrator_cannot_delete_himself_softly_and_a_moderator_can() {
    let house = House::new().await;
    account_as(&house, "root", Role::Admin).await;
    let admin = account_as(&house, "grace", Role::Admin).await;
    let sentence = "Admin cannot delete their own account.";
    for path in ["/users/me", "/users/me/"] {
        send(&house, &admin, "DELETE", path, Value::Null).await.refuses(403, sentence);
    }
    get(&house, &admin, "/users/me").await.is(200, with(admin.shown(), json!({ "role": "admin" })));
    let moderator = account_as(&house, "mary", Role::Moderator).await;
    delete(&house, &moderator).await;
}

#[tokio::test]
async fn a_deleted_user_is_nowhere_else_to_be_seen() {
    let house = House::new().await;
    let admin = account_as(&house, "root", Role::Admin).await;
    let ben = account(&house, "ben").await;
    let ada = named(&house, "ada").await;
    let uuid = uuid_of(&house, ada.id);
    let things = Things::of(&house, &ada).await;
    let total = async || get(&house, &admin, "/v1/users").await.body["total"].as_i64().unwrap();
    assert_eq!(total().await, 3);
    delete(&house, &ada).await;
    assert_eq!(total().await, 2);
    for who in [None, Some(&ben), Some(&admin)] {
        for list in ["/api/v1.0/users/", "/v1/users"] {
            let answer = get(&house, who, list).await;
            assert_eq!(answer.status, 200, "{list}");
            // "ada" alone may stand in anybody's UUID.
            for trace in ["ada@", "Ada", "Lovelace", "user_3", &uuid] {
                assert!(!answer.text.contains(trace), "{list}: {}", answer.text);
            }
        }
        for path in [
            format!("/api/v1.0/users/{uuid}"),
            "/api/v1.0/users/email/ada@example.com".into(),
            format!("/v1/users/{}", ada.id),
        ] {
            assert_eq!(get(&house, who, &path).await.status, 404, "{path}");
        }
    }
    let listed = get(&house, &admin, "/users?limit=1000").await;
    assert_eq!(listed.body["users"].as_object().unwrap().len(), 2, "{}", listed.text);
    for filter in ["id=3", "first_name=ada", "last_name=lovelace"] {
        get(&house, &admin, &format!("/users?{filter}")).await.is(200, json!({ "users": {} }));
    }
    // Nothing can be done to him either.
    for (method, path, body) in [
        ("PATCH", format!("/api/v1.0/users/admin/{uuid}"), json!({ "is_active": true })),
        ("DELETE", format!("/api/v1.0/users/admin/{uuid}"), Value::Null),
        ("PATCH", format!("/v1/users/{}", ada.id), json!({ "full_name": "Ada" })),
        ("DELETE", format!("/v1/users/{}", ada.id), Value::Null),
    ] {
        let answer = send(&house, &admin, method, &path, body).await;
        assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text);
    }
    for act in ["block", "unblock"] {
        let path = format!("/admin/{act}/{}", ada.id);
        send(&house, &admin, "POST", &path, Value::Null).await.refuses(404, NOBODY);
    }
    // His todos are reached by nobody.
    for account in [&ben, &admin] {
        let sentence = "You don't have permission to access this todo";
        let found = get(&house, account, &things.todo).await;
        assert_eq!((found.status, &found.body["error"]["message"]), (403, &json!(sentence)));
    }
    assert_eq!(get(&house, &ada, &things.todo).await.status, 401);
    // The book and the item stay where they are until the purge.
    assert_eq!(get(&house, &ben, &things.book).await.body["user_id"], json!(ada.id));
    assert_eq!(get(&house, &ben, &things.item).await.body["store_manager_id"], json!(uuid));
}

#[tokio::test]
async fn a_purge_takes_what_was_his_after_30_days_and_leaves_the_books_ownerless() {
    let house = House::new().await;
    let admin = account_as(&house, "root", Role::Admin).await;
    let (ada, ben) = (named(&house, "ada").await, account(&house, "ben").await);
    let (hers, his) = (Things::of(&house, &ada).await, Things::of(&house, &ben).await);
    let contact =
        "insert into contacts (user_id, fullname, email, phone_number, birthday, additional, avatar,
                     created_at, updated_at)
                   select id, 'Charles', 'c@example.com', 1, '1791-12-26', '', '', 1, 1 from users";
    tamper(&house, contact).await;
    delete(&house, &ada).await;
    register(&house, "ada").await;
    let new = sign_in(&house, "ada").await;
    house.wait(MONTH);
    house.purge().await;
    let admin = again(&house, &admin).await;
    assert_eq!(deleted_users(&house, &admin).await, json!([gone(ada.named(), 0)]));
    log_in(&house, "ada@example.com", "wrong horse").await.refuses(401, WRONG);
    house.wait(1);
    house.purge().await;
    assert_eq!(deleted_users(&house, &admin).await, json!([]));
    let left = |table: &str| look_up::<String>(&house, &format!("select group_concat(user_id) from {table}"));
    assert_eq!(left("items"), ben.id.to_string());
    assert_eq!(left("todos"), ben.id.to_string());
    assert_eq!(left("todo_totals"), ben.id.to_string());
    assert_eq!(left("contacts"), format!("{},{}", admin.id, ben.id));
    let sql = format!("select count(*) from sessions where user_id = {}", ada.id);
    assert_eq!(look_up::<i64>(&house, &sql), 0);
    let ben = again(&house, &ben).await;
    assert_eq!(get(&house, &ben, &hers.book).await.body["user_id"], Value::Null);
    assert_eq!(get(&house, &ben, &his.book).await.body["user_id"], json!(ben.id));
    for (path, status) in [(&hers.item, 404), (&hers.todo, 404), (&his.item, 200), (&his.todo, 200)] {
        assert_eq!(get(&house, &ben, path).await.status, status, "{path}");
    }
    assert_dead(&house, &ada).await;
    // Whoever has the address now has lost nothing.
    let new = again(&house, &new).await;
    assert_eq!(get(&house, &new, "/users/me").await.body["id"], json!(new.id));
    assert_eq!(get(&house, &new, "/v1/users").await.body["total"], json!(3));
}

#[tokio::test]
async fn the_housekeeping_of_a_server_that_starts_purges_by_the_setting() {
    let mut house = House::new().await;
    let admin = account_as(&house, "root", Role::Admin).await;
    let ada = account(&house, "ada").await;
    delete(&house, &ada).await;
    house.wait(86_401);
    house.config.users.purge_deleted_after_days = 1;
    let house = house.restart().await;
    let begun = std::time::Instant::now();
    let admin = again(&house, &admin).await;
    while deleted_users(&house, &admin).await != json!([]) {
        assert!(begun.elapsed() < Duration::from_secs(10), "nobody purges");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_purge_goes_user_by_user_oldest_first() {
    let house = House::new().await;
    let keep = house.config.users.purge_deleted_after();
    // In one transaction, so that the housekeeping does not help.
    let purge = move |db: &Write| {
        db.execute(
            "insert into users (id, uuid, email, password_hash, created_at, updated_at, deleted_at)
             with recursive n (n) as (select 1 union all select n + 1 from n where n < 3)
             select n, randomblob(16), 'user' || n || '@example.com', '$argon2id$', 1, 1, 100 - n from n",
            [],
        )?;
        let mut left = Vec::new();
        for _ in 0..4 {
            let purged = removal::purge(db, keep)?;
            let ids = db.all("select id from users order by id", [], |row| row.get::<_, i64>(0))?;
            left.push((purged.more, purged.email, ids));
        }
        Ok(left)
    };
    let left = house.server.app.db.write(purge).await.unwrap();
    let email = |n: u8| Some(format!("user{n}@example.com"));
    let expected = [
        (true, email(3), vec![1, 2]),
        (true, email(2), vec![1]),
        (true, email(1), vec![]),
        (false, None, vec![]),
    ];
    assert_eq!(left, expected);
}

#[tokio::test]
async fn whoever_became_an_administrator_since_the_sign_in_neither_goes_nor_gets_a_balance() {
    let house = House::new().await;
    let ada = named(&house, "ada").await;
    let app = &house.server.app;
    let caller = app.auth.authenticate(&app.db, &ada.access).unwrap();
    let promotion = users::Patch { role: Some(Role::Admin), ..users::Patch::default() };
    house.change(&caller.uuid().to_string(), promotion).await;
    let gone = app.write_as(caller, accounts::delete).await;
    assert!(matches!(gone, Err(Error::Refusal(Refusal::TokenRevoked))), "{gone:?}");
    let added = app.write_as(caller, |db| accounts::add_to_balance(db, 1)).await;
    assert!(matches!(added, Err(Error::Refusal(Refusal::TokenRevoked))), "{added:?}");
    assert_eq!(look_up::<i64>(&house, "select balance from users where deleted_at is null"), 0);
}

#[tokio::test]
async fn letters_links_and_pictures_go_at_once_and_those_of_others_stay() {
    let house = House::new().await;
    let (ada, ben) = (account(&house, "ada").await, account(&house, "ben").await);
    for purpose in [Purpose::ConfirmEmail, Purpose::ResetPassword] {
        house.post_letter(purpose, "ada@example.com").await;
    }
    assert_eq!(house.letters().await.len(), 2);
    assert_eq!(look_up::<i64>(&house, "select count(*) from proofs"), 2, "their links are good for now");
    let app = &house.server.app;
    let wait_with_letters = |db: &Write| {
        for email in ["ADA@example.com", "ben@example.com"] {
            letters::post(db, Purpose::ResetPassword, &Email::parse(email, true).unwrap())?;
        }
        // Not before the deletion.
        Ok(db.execute("update letters set next_at = next_at + 1000000", [])?)
    };
    app.db.write(wait_with_letters).await.unwrap();
    for (user, name) in [(ada.id, "a"), (ben.id, "b")] {
        let picture = Picture { media_type: MediaType::Png, bytes: vec![1] };
        let name = name.repeat(24);
        let add = move |db: &Write| {
            let sql =
                "insert into contacts (user_id, fullname, email, phone_number, birthday, additional, avatar,
                         created_at, updated_at)
                       values (?1, 'Grace', '', 1, '1906-12-09', '', '', 1, 1)
                       returning id";
            let contact = db.returning(sql, [user], |row| row.get(0))?;
            avatars::replace(db, contact, &name, &picture)
        };
        app.db.write(add).await.unwrap();
    }
    delete(&house, &ada).await;
    assert_eq!(look_up::<i64>(&house, "select count(*) from proofs"), 0);
    house.purge().await;
    assert_eq!(look_up::<String>(&house, "select group_concat(name) from avatars"), "b".repeat(24));
    assert_eq!(look_up::<String>(&house, "select group_concat(email) from letters"), "ben@example.com");
    house.wait(1);
    assert_eq!(house.letter().await.to, "ben@example.com");
    // What is posted to the address later reaches nobody, until it is somebody's again.
    house.post_letter(Purpose::ResetPassword, "ada@example.com").await;
    assert!(house.letters().await.is_empty());
    register(&house, "ada").await;
    house.post_letter(Purpose::ResetPassword, "ada@example.com").await;
    assert_eq!(house.letter().await.to, "ada@example.com");
}

#[tokio::test]
async fn a_blocked_user_who_was_deleted_shows_as_both() {
    let house = House::new().await;
    let admin = account_as(&house, "root", Role::Admin).await;
    let ada = account(&house, "ada").await;
    delete(&house, &ada).await;
    tamper(&house, "update users set blocked_at = 1 where deleted_at is not null").await;
    let shown = gone(with(ada.shown(), json!({ "is_blocked": true })), 0);
    assert_eq!(deleted_users(&house, &admin).await, json!([shown]));
    // A blocked one cannot sign in, and so not delete himself.
    let ben = account(&house, "ben").await;
    block(&house, &admin, ben.id).await;
    send(&house, &ben, "DELETE", "/users/me", Value::Null).await.refuses(401, BAD_TOKEN);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_deletions_at_once_one_is_done_and_the_others_are_told_that_the_token_is_dead() {
    let house = House::new().await;
    for round in 0..5 {
        let ada = account(&house, &format!("ada{round}")).await;
        let elsewhere = again(&house, &ada).await;
        let both = [&ada, &elsewhere].into_iter().cycle().take(6);
        let race = both.map(|account| send(&house, account, "DELETE", "/users/me", Value::Null));
        let answers = join_all(race).await;
        let (done, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
        assert_eq!((done.len(), refused.len()), (1, 5));
        refused.iter().for_each(|answer| answer.refuses(401, BAD_TOKEN));
        let sql = format!("select epoch from users where id = {}", ada.id);
        assert_eq!(look_up::<i64>(&house, &sql), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_races_a_deletion_is_done_before_it_or_refused_as_unauthenticated() {
    let house = House::new().await;
    for round in 0..10 {
        let ada = named(&house, &format!("ada{round}")).await;
        let names = json!({ "first_name": "Ada", "last_name": "King" });
        let race = [
            ("GET", "/users/me", Value::Null),
            ("PUT", "/users/profile", names.clone()),
            ("PUT", "/users/balance", json!({ "amount": 1 })),
            ("DELETE", "/users/me", Value::Null),
            ("GET", "/users/profile", Value::Null),
            ("PUT", "/users/balance", json!({ "amount": 1 })),
            ("PUT", "/users/profile", names),
            ("GET", "/users/balance", Value::Null),
            ("POST", "/auth/logout", Value::Null),
        ];
        // The log-out may come first.
        let race = race.map(|(method, path, body)| send(&house, &ada, method, path, body));
        for answer in join_all(race).await {
            assert!(matches!(answer.status, 200 | 401), "{}", answer.text);
        }
    }
}

#[tokio::test]
async fn a_user_deleted_between_authentication_and_write_hears_of_a_dead_token() {
    let house = House::new().await;
    let ada = named(&house, "ada").await;
    let app = &house.server.app;
    let caller = app.auth.authenticate(&app.db, &ada.access).unwrap();
    delete(&house, &ada).await;
    for refused in [
        app.db.read(|db| users::own(db, &caller)).map(drop),
        app.write_as(caller, |db| accounts::add_to_balance(db, 1)).await.map(drop),
        app.write_as(caller, accounts::delete).await,
    ] {
        assert!(matches!(refused, Err(Error::Refusal(Refusal::TokenRevoked))), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_those_who_want_an_address_while_it_is_freed_one_gets_it() {
    let house = House::new().await;
    let ada = account(&house, "ada").await;
    let race = join_all((0..10).map(|_| house.post("/auth/register", registration("ada"))));
    let (answers, ()) = tokio::join!(race, delete(&house, &ada));
    let taken = answers.iter().filter(|answer| answer.status == 200).count();
    assert!(taken <= 1, "{taken}");
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        answer.refuses(400, "A user with this email already exists");
    }
    let sql = "select count(*) from users where email = 'ada@example.com' and deleted_at is null";
    assert_eq!(look_up::<i64>(&house, sql), i64::try_from(taken).unwrap());
}
