//! Names: the keys that usernames are compared by, there and back.

use super::*;

fn keys(path: &Path) -> Vec<(String, String)> {
    let conn = connect(path);
    let mut statement = conn
        .prepare("select username, username_key from users where username is not null order by id")
        .unwrap();
    statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .collect::<rusqlite::Result<_>>()
        .unwrap()
}

#[test]
fn usernames_get_their_key_and_names_their_normal_form_and_the_way_back_is_open() {
    let file = file();
    file.up(Some(15));
    let names = [
        ("Ada", "ada"),
        ("Straße", "strasse"),
        ("STRASSE", "strasse@3"),
        // The one that has the key already is younger.
        ("İnci", "inci"),
        ("inci", "inci@5"),
        ("iNCİ", "inci@6"),
        ("ren\u{e9}", "ren\u{e9}"),
        ("Rene\u{301}", "ren\u{e9}@8"),
        ("Zoe\u{308}", "zo\u{eb}"),
        (&"\u{fb2c}".repeat(99), &"\u{5e9}\u{5bc}\u{5c1}".repeat(99)),
        ("ΑΣ", "ασ"),
        ("a＠1", "a＠1"),
    ];
    let mut conn = connect(&file.path);
    let tx = conn.transaction().unwrap();
    for (n, (name, _)) in names.iter().enumerate() {
        tx.execute(
            "insert into users (uuid, email, username, username_key, first_name, full_name, password_hash, created_at, updated_at)
             values (randomblob(16), ?1, ?2, ?3, 'e\u{301}', ?4, '$argon2id$', 1, 1)",
            (format!("user{n}@example.com"), name, name.to_lowercase(), "\u{fb2c}".repeat(255)),
        )
        .unwrap();
    }
    tx.execute_batch(
        "insert into users (uuid, email, password_hash, created_at, updated_at)
         values (randomblob(16), 'nameless@example.com', '$argon2id$', 1, 1);
         insert into contacts (user_id, fullname, email, phone_number, birthday, additional, avatar, created_at, updated_at)
         select users.id, name.column1, '', 1, '1906-12-09', '', '', 1, 1
         from users, (values ('Rene\u{301}'), ('Ren\u{e9}'), ('Zoe\u{308}')) name where users.id = 1",
    )
    .unwrap();
    tx.commit().unwrap();
    let before = keys(&file.path);
    file.up(Some(1));
    let mut expected: Vec<(String, String)> =
        names.iter().map(|(name, key)| ((*name).to_owned(), (*key).to_owned())).collect();
    // Only what is told apart by its spelling keeps it, and what would be too long.
    expected[8].0 = "Zo\u{eb}".into();
    assert_eq!(keys(&file.path)[..], expected[..]);
    let one = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(one("select first_name from users where id = 1"), "\u{e9}");
    assert_eq!(
        one("select full_name from users where id = 1"),
        "\u{fb2c}".repeat(255),
        "it would be too long"
    );
    let contacts = "select group_concat(fullname, ',') from (select fullname from contacts order by id)";
    assert_eq!(one(contacts), "Rene\u{301},Ren\u{e9},Zo\u{eb}");

    migrate::down(&file.path, &file.clock, 1).unwrap();
    let mut old = before;
    old[8] = ("Zo\u{eb}".into(), "zo\u{eb}".into());
    assert_eq!(keys(&file.path), old);
    file.up(None);
    assert_eq!(keys(&file.path)[..], expected[..]);
}
