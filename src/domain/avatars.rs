//! Avatars: the pictures of contacts, under names that cannot be guessed, and the SQL that keeps them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rusqlite::named_params;

use super::pictures::Picture;
use super::users::UserId;
use crate::clock::Clock;
use crate::db::{self, Read, Write};
use crate::error::{Refusal, Result};

/// Random bytes in a name.
const NAME_BYTES: usize = 18;

/// A fresh name: 144 random bits as 24 characters that a URL takes as they are (RFC 4648 §5).
pub fn new_name(clock: &Clock) -> String {
    URL_SAFE_NO_PAD.encode(clock.random::<NAME_BYTES>())
}

/// Keeps a picture of a user's under a [`new_name`].
///
/// # Errors
/// `Refusal::TokenInvalid` when there is no such user any more.
pub fn add(db: &Write, user: UserId, name: &str, picture: &Picture) -> Result<()> {
    let added = db.execute(
        "insert into avatars (name, user_id, media_type, bytes, created_at)
         values (:name, :user, :media_type, :bytes, :now)",
        named_params! {
            ":name": name, ":user": user, ":media_type": picture.media_type, ":bytes": picture.bytes,
            ":now": db.now,
        },
    );
    match added {
        Ok(_) => Ok(()),
        Err(error) => Err(match db::broken(&error) {
            // Deleted since the caller was asked who he is.
            Some(db::Broken::ForeignKey) => Refusal::TokenInvalid.into(),
            _ => error.into(),
        }),
    }
}

const BY_NAME: &str = "select media_type, bytes from avatars where name = :name";

/// The picture with this name, if there is one. A point read.
pub fn by_name(db: &Read, name: &str) -> Result<Option<Picture>> {
    db.one(BY_NAME, named_params! { ":name": name }, |row| {
        Ok(Picture { media_type: row.get(0)?, bytes: row.get(1)? })
    })
}

/// Removes the picture with this name; whether there was one.
pub fn remove(db: &Write, name: &str) -> Result<bool> {
    Ok(db.execute("delete from avatars where name = :name", named_params! { ":name": name })? > 0)
}

/// Removes every picture of a user's, who keeps the row of a deleted one; how many there were.
pub fn remove_all(db: &Write, user: UserId) -> Result<usize> {
    Ok(db.execute("delete from avatars where user_id = :user", named_params! { ":user": user })?)
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

    /// A database with the users 1 and 2.
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
                Ok(db.execute(sql, named_params! { ":id": id, ":uuid": [id; 16], ":email": email })?)
            })
            .unwrap();
        }
        (dir, db)
    }

    fn keep(db: &Db, user: i64, bytes: Vec<u8>) -> Result<String> {
        let name = new_name(&Clock::system());
        let picture = Picture { media_type: MediaType::Png, bytes };
        let given = name.clone();
        db.write_blocking(move |db| add(db, UserId(user), &given, &picture)).map(|()| name)
    }

    fn shown(db: &Db, name: &str) -> Option<Vec<u8>> {
        let picture = db.read(|db| by_name(db, name)).unwrap()?;
        assert_eq!(picture.media_type, MediaType::Png);
        Some(picture.bytes)
    }

    #[test]
    fn a_picture_is_kept_until_it_is_removed_and_others_stay() {
        let (_dir, db) = database();
        let (first, second) = (keep(&db, 1, vec![1; 40_000]).unwrap(), keep(&db, 1, vec![2]).unwrap());
        assert_eq!(shown(&db, &first), Some(vec![1; 40_000]));
        assert_eq!(shown(&db, &first.to_uppercase()), None);
        for was_there in [true, false] {
            let name = first.clone();
            assert_eq!(db.write_blocking(move |db| remove(db, &name)).unwrap(), was_there);
        }
        assert_eq!((shown(&db, &first), shown(&db, &second)), (None, Some(vec![2])));
    }

    #[test]
    fn pictures_go_with_their_user_and_no_others() {
        let (_dir, db) = database();
        let [own, own_too, anothers] = [1, 1, 2].map(|user| keep(&db, user, vec![1]).unwrap());
        assert_eq!(db.write_blocking(|db| remove_all(db, UserId(1))).unwrap(), 2);
        assert_eq!([&own, &own_too, &anothers].map(|name| shown(&db, name).is_some()), [false, false, true]);
        db.write_blocking(|db| Ok(db.execute("delete from users where id = 2", [])?)).unwrap();
        assert_eq!(shown(&db, &anothers), None);
    }

    #[test]
    fn a_picture_of_nobody_is_refused() {
        let (_dir, db) = database();
        assert!(matches!(keep(&db, 3, vec![1]), Err(Error::Refusal(Refusal::TokenInvalid))));
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
    fn a_picture_is_found_and_removed_without_a_scan() {
        refuse_scan(BY_NAME);
        // What `remove_all` looks up: the plan of a query alone can be asked for.
        refuse_scan("select name from avatars where user_id = :user");
    }
}
