//! Rows: what the tables themselves refuse, and what goes with what.

use super::*;

#[test]
fn items_and_todos_are_held_by_their_rules_and_go_with_their_owner() {
    let file = peopled(2);
    let conn = connect(&file.path);
    conn.execute_batch("pragma foreign_keys = on").unwrap();
    let item = |name: &str, category: &str, price: f64, user: i64| {
        conn.execute(
            "insert into items (uuid, name, category, price_usd, in_stock, user_id, created_at, updated_at)
             values (randomblob(16), ?1, ?2, ?3, 1, ?4, 1, 1)",
            (name, category, price, user),
        )
    };
    for category in satchel::domain::items::Category::WORDS {
        item("Tea", category.0, 19.99, 1).unwrap();
    }
    assert!(item("", "Pet", 1.0, 1).is_err());
    assert!(item(&"x".repeat(65), "Pet", 1.0, 1).is_err());
    assert!(item("Tea", "pet", 1.0, 1).is_err());
    assert!(item("Tea", "Pet", -0.01, 1).is_err());
    assert!(item("Tea", "Pet", 1e9 + 1.0, 1).is_err());
    assert!(item("Tea", "Pet", f64::INFINITY, 1).is_err());
    assert!(item("Tea", "Pet", 1.0, 9).is_err());
    let todo = |title: &str, description: Option<&str>, priority: &str, user: i64| {
        conn.execute(
            "insert into todos (title, description, priority, user_id, created_at, updated_at)
             values (?1, ?2, ?3, ?4, 1, 1)",
            (title, description, priority, user),
        )
    };
    for user in [1, 1, 1, 2] {
        todo("Read", None, "low", user).unwrap();
    }
    assert!(todo("", None, "low", 1).is_err());
    assert!(todo("Read", Some(&"x".repeat(10_001)), "low", 1).is_err());
    assert!(todo("Read", None, "urgent", 1).is_err());
    assert!(todo("Read", None, "low", 9).is_err());
    let totals = || {
        let mut statement =
            conn.prepare("select user_id, open, completed from todo_totals order by 1").unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        rows.collect::<rusqlite::Result<Vec<(i64, i64, i64)>>>().unwrap()
    };
    assert_eq!(totals(), [(1, 3, 0), (2, 1, 0)]);
    conn.execute("update todos set is_completed = 1, title = 'Done' where id in (1, 2)", []).unwrap();
    assert_eq!(totals(), [(1, 1, 2), (2, 1, 0)]);
    conn.execute("update todos set user_id = 2 where id = 1", []).unwrap();
    assert_eq!(totals(), [(1, 1, 1), (2, 1, 1)]);
    conn.execute("delete from todos where id in (1, 3)", []).unwrap();
    assert_eq!(totals(), [(1, 0, 1), (2, 1, 0)]);
    conn.execute("delete from users where id = 1", []).unwrap();
    assert_eq!(totals(), [(2, 1, 0)]);
    let left = |table: &str| {
        conn.query_row(&format!("select count(*) from {table}"), [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!((left("items"), left("todos"), left("users")), (0, 1, 1));
}

#[test]
fn contacts_and_avatars_are_held_by_their_rules_and_go_with_their_owner() {
    let file = peopled(2);
    let conn = connect(&file.path);
    conn.execute_batch("pragma foreign_keys = on").unwrap();
    let contact = |user: i64, fullname: &str, email: &str, birthday: &str, additional: &str, avatar: &str| {
        conn.execute(
            "insert into contacts (user_id, fullname, email, phone_number, birthday, additional, avatar,
               created_at, updated_at)
             values (?1, ?2, ?3, -1, ?4, ?5, ?6, 1, 1)",
            (user, fullname, email, birthday, additional, avatar),
        )
    };
    let named = |user, fullname: &str| contact(user, fullname, "", "1906-12-09", "", "");
    let widest = "𝄞".repeat(150);
    contact(1, &widest, &"é".repeat(200), "9999-12-31", &"é".repeat(500), &"é".repeat(2048)).unwrap();
    for (user, name) in [(1, "Grace"), (1, "grace"), (1, "Grace "), (2, "Grace")] {
        named(user, name).unwrap();
    }
    assert!(named(1, "Grace").is_err(), "the same name twice");
    assert!(named(1, "").is_err());
    assert!(named(1, &"x".repeat(151)).is_err());
    assert!(named(9, "Alan").is_err(), "nobody's");
    assert!(contact(1, "Alan", &"x".repeat(201), "1906-12-09", "", "").is_err());
    assert!(contact(1, "Alan", "", "1906-12-09", &"x".repeat(501), "").is_err());
    assert!(contact(1, "Alan", "", "1906-12-09", "", &"x".repeat(2049)).is_err());
    for birthday in
        ["", "1906-12-9", "06-12-09", "1906-12-09T00:00:00", "1906-22-09", "1906-12-40", "-906-12-09"]
    {
        assert!(contact(1, "Alan", "", birthday, "", "").is_err(), "{birthday}");
    }
    let avatar = |name: &str, contact: i64, media_type: &str, bytes: usize| {
        conn.execute(
            "insert into avatars (name, contact_id, media_type, bytes, created_at) values (?1, ?2, ?3, zeroblob(?4), 1)",
            (name, contact, media_type, bytes as i64),
        )
    };
    let name = |n: u8| format!("{n:024}");
    avatar(&name(1), 1, "image/jpeg", 1).unwrap();
    avatar(&name(2), 2, "image/png", 262_144).unwrap();
    assert!(avatar(&name(3), 1, "image/png", 1).is_err(), "a second one of a contact");
    assert!(avatar(&name(1), 3, "image/png", 1).is_err(), "a name twice");
    assert!(avatar(&name(3), 9, "image/png", 1).is_err(), "nobody's");
    assert!(avatar(&name(3)[1..], 3, "image/png", 1).is_err());
    for media_type in ["image/gif", "image/svg+xml", "text/html", ""] {
        assert!(avatar(&name(3), 3, media_type, 1).is_err(), "{media_type}");
    }
    assert!(avatar(&name(3), 3, "image/png", 0).is_err());
    assert!(avatar(&name(3), 3, "image/png", 262_145).is_err());
    // By number: 5 is the other user's.
    avatar(&name(3), 5, "image/png", 1).unwrap();
    let left = || {
        let sql =
            "select (select group_concat(id) from contacts), (select group_concat(contact_id) from avatars)";
        conn.query_row(sql, [], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))).unwrap()
    };
    assert_eq!(left(), (String::from("1,2,3,4,5"), String::from("1,2,5")));
    conn.execute("delete from contacts where id = 2", []).unwrap();
    assert_eq!(left(), (String::from("1,3,4,5"), String::from("1,5")));
    conn.execute("delete from users where id = 1", []).unwrap();
    assert_eq!(left(), (String::from("5"), String::from("5")));
    // A number is not given again.
    named(2, "Alan").unwrap();
    conn.execute("delete from contacts where fullname = 'Alan'", []).unwrap();
    named(2, "Alan").unwrap();
    let newest: i64 = conn.query_row("select max(id) from contacts", [], |row| row.get(0)).unwrap();
    assert_eq!(newest, conn.last_insert_rowid());
    assert_eq!(left().0, format!("5,{newest}"));
    assert!(newest > 6, "{newest}");
}

#[test]
fn items_and_todos_keep_their_numbers_and_totals_when_their_tables_are_rebuilt_either_way() {
    let file = file();
    file.up(Some(9));
    file.insert_users(1..=1);
    let conn = connect(&file.path);
    conn.execute_batch("pragma foreign_keys = on").unwrap();
    let add = || {
        conn.execute_batch(
            "insert into items (uuid, name, category, price_usd, in_stock, user_id, created_at, updated_at)
               values (randomblob(16), 'Tea', 'Pet', 19.99, 0, 1, 5, 6);
             insert into todos (title, description, priority, user_id, created_at, updated_at)
               values ('Read', null, 'medium', 1, 7, 8);",
        )
    };
    let text = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    let whole = || {
        let items = "select json_group_array(json_array(id, hex(uuid), name, category, price_usd, in_stock,
                       user_id, created_at, updated_at)) from items";
        let todos =
            "select json_group_array(json_array(id, title, description, priority, is_completed, user_id,
                       created_at, updated_at)) from todos";
        let totals = "select json_group_array(json_array(user_id, open, completed)) from todo_totals";
        let rest = "select json_group_array(name) from sqlite_schema
                    where tbl_name in ('items', 'todos') and sql is not null order by name";
        [items, todos, totals, rest].map(text)
    };
    let numbers = || text("select json_array((select max(id) from items), (select max(id) from todos))");
    (0..3).for_each(|_| add().unwrap());
    conn.execute_batch("update todos set is_completed = 1 where id = 1").unwrap();
    let remove_last = || conn.execute_batch("delete from items where id > 2; delete from todos where id > 2");
    remove_last().unwrap();
    let before = whole();
    assert_eq!(before[2], "[[1,1,1]]");
    for (go, next) in [(true, 4), (false, 5), (true, 6)] {
        match go {
            true => file.up(Some(1)),
            false => migrate::down(&file.path, &file.clock, 1).unwrap(),
        };
        assert_eq!(whole(), before);
        add().unwrap();
        assert_eq!(numbers(), format!("[{next},{next}]"), "a number is given once");
        remove_last().unwrap();
        assert_eq!(whole(), before);
    }
}

#[test]
fn letters_and_proofs_keep_their_rows_and_numbers_when_their_tables_are_rebuilt_either_way() {
    let file = file();
    file.up(Some(11));
    file.insert_users(1..=1);
    let conn = connect(&file.path);
    conn.execute_batch(
        "insert into letters (purpose, email, created_at, next_at) values ('confirm_email', 'a@example.com', 1, 2);
         insert into letters (purpose, email, created_at, next_at) values ('reset_password', 'a@example.com', 1, 2);
         delete from letters where id = 2;
         insert into proofs (user_id, purpose, digest, email, expires_at)
         values (1, 'confirm_email', zeroblob(32), 'a@example.com', 9);",
    )
    .unwrap();
    let left = |conn: &Connection| {
        let sql = "select (select group_concat(id || purpose || email || next_at) from letters),
                          (select group_concat(user_id || purpose || email || expires_at) from proofs),
                          (select seq from sqlite_sequence where name = 'letters')";
        conn.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
    };
    let before: (String, String, i64) = left(&conn).unwrap();
    assert_eq!(before, ("1confirm_emaila@example.com2".into(), "1confirm_emaila@example.com9".into(), 2));
    file.up(Some(1));
    assert_eq!(left(&conn).unwrap(), before);
    conn.execute_batch(
        "pragma foreign_keys = on;
         insert into letters (purpose, email, user_id, created_at, next_at)
         values ('restore_email', 'a@example.com', 1, 1, 2), ('password_changed', 'a@example.com', 1, 1, 2);
         insert into proofs (user_id, purpose, digest, email, expires_at)
         values (1, 'restore_email', randomblob(32), 'a@example.com', 9);
         insert into address_changes (user_id, email, was_confirmed, expires_at) values (1, 'a@example.com', 1, 9);
         update users set email_changed_at = 5;",
    )
    .unwrap();
    for refused in [
        "insert into letters (purpose, email, created_at, next_at) values ('love', 'b@example.com', 1, 2)",
        "insert into letters (purpose, email, user_id, created_at, next_at)
         values ('restore_email', 'b@example.com', 9, 1, 2)",
        "insert into proofs (user_id, purpose, digest, email, expires_at)
         values (1, 'password_changed', randomblob(32), 'a@example.com', 9)",
        "insert into address_changes (user_id, email, was_confirmed, expires_at) values (9, 'a@example.com', 1, 9)",
        "update address_changes set was_confirmed = 2",
        "insert into removals (user_id, scope) values (1, 'nothing')",
        "insert into removals (user_id, scope) values (9, 'everything')",
    ] {
        assert!(conn.execute(refused, []).is_err(), "{refused}");
    }
    migrate::down(&file.path, &file.clock, 1).unwrap();
    let (letters, proofs, last): (String, String, i64) = left(&conn).unwrap();
    assert_eq!(
        (letters, proofs),
        (before.0, before.1),
        "what the former schema knows no purpose for is gone"
    );
    assert_eq!(last, 4);
    file.up(None);
    conn.execute_batch(
        "pragma foreign_keys = on;
         insert into removals (user_id, scope) values (1, 'everything');
         insert into letters (purpose, email, user_id, created_at, next_at)
         values ('restore_email', 'a@example.com', 1, 1, 2);
         delete from users;",
    )
    .unwrap();
    let rest =
        "select (select count(*) from removals) + (select count(*) from letters where user_id is not null)";
    assert_eq!(conn.query_row(rest, [], |row| row.get::<_, i64>(0)).unwrap(), 0, "they went with their user");
}

#[test]
fn of_the_users_who_were_there_before_those_who_never_came_are_among_the_unconfirmed() {
    let file = file();
    file.up(Some(12));
    file.insert_users(1..=6);
    connect(&file.path)
        .execute_batch(
            "update users set confirm_required = 1 where id > 1;
             update users set email_confirmed_at = 2 where id = 2;
             update users set email_changed_at = 2 where id = 3;
             update users set last_activity_at = 2 where id = 4;
             update users set deleted_at = 2 where id = 5;",
        )
        .unwrap();
    file.up(None);
    let conn = connect(&file.path);
    let row =
        conn.query_row("select user_id, since from unconfirmed", [], |row| Ok((row.get(0)?, row.get(1)?)));
    assert_eq!(row.unwrap(), (6_i64, 1_i64));
    conn.execute_batch("pragma foreign_keys = on; delete from users where id = 6").unwrap();
    let left: i64 = conn.query_row("select count(*) from unconfirmed", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0);
}

#[test]
fn users_are_found_by_their_last_activity_or_registration_and_the_former_order_comes_back() {
    let file = file();
    file.up(Some(14));
    let before = file.schema();
    file.insert_users(1..=3);
    let conn = connect(&file.path);
    conn.execute_batch(
        "update users set created_at = 30 where id = 1;
         update users set last_activity_at = 20 where id = 2;
         update users set created_at = 10 where id = 3;",
    )
    .unwrap();
    file.up(None);
    let mut statement = conn
        .prepare(
            "select id from users indexed by users_activity where deleted_at is null
             order by coalesce(last_activity_at, created_at), id",
        )
        .unwrap();
    let ids: Vec<i64> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(ids, [3, 2, 1]);
    drop(statement);
    while migrate::status(&file.path).unwrap()[14].applied_at.is_some() {
        migrate::down(&file.path, &file.clock, 1).unwrap();
    }
    assert_eq!(file.schema(), before);
}
