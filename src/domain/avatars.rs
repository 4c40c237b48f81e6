//! Avatars: the pictures of contacts, under names that cannot be guessed, and the SQL that keeps them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rusqlite::named_params;

use super::contacts::ContactId;
use super::pictures::Picture;
use crate::clock::Clock;
use crate::db::{Read, Write};
use crate::error::Result;

/// Random bytes in a name.
const NAME_BYTES: usize = 18;

/// A fresh name: 144 random bits as 24 characters that a URL takes as they are (RFC 4648 §5).
pub fn new_name(clock: &Clock) -> String {
    URL_SAFE_NO_PAD.encode(clock.random::<NAME_BYTES>())
}

/// Keeps the picture of a contact under a [`new_name`]. The one it had before is gone.
pub fn replace(db: &Write, contact: ContactId, name: &str, picture: &Picture) -> Result<()> {
    db.execute("delete from avatars where contact_id = :contact", named_params! { ":contact": contact })?;
    db.execute(
        "insert into avatars (name, contact_id, media_type, bytes, created_at)
         values (:name, :contact, :media_type, :bytes, :now)",
        named_params! {
            ":name": name, ":contact": contact, ":media_type": picture.media_type, ":bytes": picture.bytes,
            ":now": db.now,
        },
    )?;
    Ok(())
}

const BY_NAME: &str = "select a.media_type, a.bytes from avatars a
    join contacts c on c.id = a.contact_id join users u on u.id = c.user_id
    where a.name = :name and u.deleted_at is null";

/// The picture with this name, if there is one and its owner was not deleted.
pub fn by_name(db: &Read, name: &str) -> Result<Option<Picture>> {
    db.one(BY_NAME, named_params! { ":name": name }, |row| {
        Ok(Picture { media_type: row.get(0)?, bytes: row.get(1)? })
    })
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::clock::Timestamp;
    use crate::db::{Db, Options, migrate};
    use crate::domain::pictures::MediaType;
    use crate::domain::tests::refuse_scan;
    use crate::error::Error;

    /// A database with the users 1 and 2 and a contact of each, with the same number.
    fn database() -> (TempDir, Db) {
        let dir = TempDir::new().unwrap();
        let clock = Clock::held(Timestamp::from_seconds(1_795_237_599));
        let options = Options::new(dir.path().join("satchel.db"));
        migrate::up(&options.path, &clock, None).unwrap();
        let db = Db::open(&options, clock).unwrap();
        for id in [1_u8, 2] {
            db.write_blocking(move |db| {
                let sql = "insert into users (id, uuid, email, password_hash, created_at, updated_at)
                           values (:id, :uuid, :email, '$argon2id$', 1, 1)";
                let email = format!("user{id}@example.com");
                db.execute(sql, named_params! { ":id": id, ":uuid": [id; 16], ":email": email })?;
                let sql =
                    "insert into contacts (id, user_id, fullname, email, phone_number, birthday, additional,
                             avatar, created_at, updated_at)
                           values (:id, :id, 'Ada', '', 1, '1815-12-10', '', '', 1, 1)";
                Ok(db.execute(sql, named_params! { ":id": id })?)
            })
            .unwrap();
        }
        (dir, db)
    }

    fn keep(db: &Db, contact: i64, bytes: Vec<u8>) -> Result<String> {
        let name = new_name(&Clock::system());
        let picture = Picture { media_type: MediaType::Png, bytes };
        let given = name.clone();
        db.write_blocking(move |db| replace(db, ContactId(contact), &given, &picture)).map(|()| name)
    }

    fn shown(db: &Db, name: &str) -> Option<Vec<u8>> {
        let picture = db.read(|db| by_name(db, name)).unwrap()?;
        assert_eq!(picture.media_type, MediaType::Png);
        Some(picture.bytes)
    }

    #[test]
    fn a_picture_is_kept_until_another_takes_its_place_and_others_stay() {
        let (_dir, db) = database();
        let (first, anothers) = (keep(&db, 1, vec![1; 40_000]).unwrap(), keep(&db, 2, vec![2]).unwrap());
        assert_eq!(shown(&db, &first), Some(vec![1; 40_000]));
        assert_eq!(shown(&db, &first.to_uppercase()), None);
        let second = keep(&db, 1, vec![3]).unwrap();
        assert_eq!(
            [&first, &second, &anothers].map(|name| shown(&db, name)),
            [None, Some(vec![3]), Some(vec![2])]
        );
    }

    #[test]
    fn pictures_go_with_their_contact_and_their_user_and_no_others() {
        let (_dir, db) = database();
        for delete in ["delete from contacts where id = 1", "delete from users where id = 1"] {
            let (own, anothers) = (keep(&db, 1, vec![1]).unwrap(), keep(&db, 2, vec![1]).unwrap());
            db.write_blocking(move |db| Ok(db.execute(delete, [])?)).unwrap();
            assert_eq!([&own, &anothers].map(|name| shown(&db, name).is_some()), [false, true], "{delete}");
            db.write_blocking(|db| {
                let sql =
                    "insert into contacts (id, user_id, fullname, email, phone_number, birthday, additional,
                             avatar, created_at, updated_at)
                           select 1, 1, 'Ada', '', 1, '1815-12-10', '', '', 1, 1 from users where id = 1";
                Ok(db.execute(sql, [])?)
            })
            .unwrap();
        }
        let anothers = keep(&db, 2, vec![1]).unwrap();
        db.write_blocking(|db| Ok(db.execute("update users set deleted_at = 1 where id = 2", [])?)).unwrap();
        assert!(shown(&db, &anothers).is_none(), "the owner was deleted");
    }

    #[test]
    fn a_picture_of_nothing_or_nobody_is_refused() {
        let (_dir, db) = database();
        assert!(matches!(keep(&db, 3, vec![1]), Err(Error::Fault(_))));
        assert!(matches!(keep(&db, 1, Vec::new()), Err(Error::Fault(_))), "the schema holds the bounds");
    }

    #[test]
    fn a_name_is_long_and_never_the_same() {
        let clock = Clock::held(Timestamp::from_seconds(0));
        let (one, other) = (new_name(&clock), new_name(&clock));
        assert!(one.len() == 24 && other.len() == 24 && one != other);
        assert!(one.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
    }

    #[test]
    fn a_picture_is_found_without_a_scan() {
        refuse_scan(BY_NAME);
    }
}
