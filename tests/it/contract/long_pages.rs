//! Pages with a cursor whose rows are long: they end early, and the next one goes on from the last row shown.

use std::collections::BTreeSet;

use satchel::domain::users::Role;
use serde_json::Value;

use crate::binary::connect;
use crate::house::{Guest, House, answer};

/// A page may have so many bytes.
const PAGE_BYTES_MAX: usize = 512 * 1024;

/// A house whose one administrator has written as much into everything as may be; control characters are six bytes each in JSON.
async fn full_house() -> (House, Guest) {
    let house = House::new().await;
    let ada = house.guest_as("ada", Role::Admin).await;
    house.confirm(&ada).await;
    let text = |length: usize| format!("'{}'", "\u{1}".repeat(length));
    let (short, long) = (text(64), text(255));
    let (name, extra, picture) = (text(100), text(500), text(2048));
    let fill = format!(
        "create temp table n as with recursive n (i) as (select 1 union all select i + 1 from n where i < 1500) select i from n;
         insert into books (uuid, title, author, publisher, publish_date, pages, language, user_id, created_at, updated_at)
           select randomblob(16), {long}, {long}, {long}, '1965-08-01', 412, {long}, 1, 0, 0 from n where i <= 300;
         insert into items (uuid, name, category, price_usd, in_stock, user_id, created_at, updated_at)
           select randomblob(16), {short}, 'Grocery', 1.0, 1, 1, 0, 0 from n;
         insert into contacts (user_id, fullname, email, phone_number, birthday, additional, avatar, created_at, updated_at)
           select 1, i || {name}, 'g@example.com', 1, '1906-12-09', {extra}, {picture}, 0, 0 from n where i <= 100;
         insert into users (uuid, email, username, username_key, first_name, last_name, password_hash, deleted_at, created_at,
                            updated_at)
           select randomblob(16), i || '@example.com', i || 'x', i || 'x', {name}, {name}, '$argon2id$', iif(i % 2, null, 1), 0, 0
             from n;"
    );
    connect(&house.database()).execute_batch(&fill).unwrap();
    (house, ada)
}

/// What each entry of a page is known by: where it is an object, by its key.
fn names(body: &Value, id: &str) -> Vec<String> {
    match body {
        Value::Array(entries) => entries.iter().map(|entry| entry[id].to_string()).collect(),
        Value::Object(entries) => entries.keys().cloned().collect(),
        other => panic!("no list: {other}"),
    }
}

#[tokio::test]
async fn a_page_ends_early_when_its_rows_are_long_and_the_next_ones_have_the_rest() {
    let (house, ada) = full_house().await;
    for (path, inside, id, count) in [
        ("/api/v1.0/books/?limit=1000", "", "id", 300),
        ("/api/v1.0/books/my-books?limit=1000", "", "id", 300),
        ("/api/v1.0/users/?limit=1000", "", "uuid", 751),
        ("/items?limit=1000", "", "id", 1500),
        ("/users?limit=1000", "/users", "id", 751),
        ("/users?limit=1000&sort_by=balance&sort_order=desc", "/users", "id", 751),
        ("/users/deleted?limit=1000", "/deleted_users", "id", 750),
        ("/api/contacts/bd?days_range=366&limit=1000", "", "id", 100),
    ] {
        let (mut seen, mut pages, mut next) = (Vec::new(), 0, Some(path.to_owned()));
        while let Some(address) = next {
            let page = answer(house.by(&ada, "GET", &address)).await;
            assert_eq!(page.status, 200, "{address}: {}", page.text);
            assert!(page.text.len() <= PAGE_BYTES_MAX, "{address}: {}", page.text.len());
            let entries = names(page.body.pointer(inside).unwrap(), id);
            let link = page.header("link");
            next = link.strip_prefix('<').map(|link| link.split_once('>').unwrap().0.to_owned());
            if next.is_some() && entries.len() < 1000 {
                assert!(page.text.len() > PAGE_BYTES_MAX - 16 * 1024, "{address}: {}", page.text.len());
            }
            seen.extend(entries);
            pages += 1;
        }
        assert!(pages > 1, "{path}");
        assert_eq!(seen.len(), count, "{path}");
        assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), count, "{path}: rows come twice");
    }
}
