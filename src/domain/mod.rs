//! Domain: what is true whatever the wire. Each noun has its file: who may, what counts, what is stored.

pub mod accounts;
pub mod addresses;
pub mod auth;
pub mod avatars;
pub mod books;
pub mod contacts;
pub mod directory;
pub mod emails;
pub mod items;
pub mod letters;
pub mod limits;
pub mod names;
pub mod pictures;
mod pool;
pub mod quota;
pub mod removal;
pub mod todos;
mod turns;
pub mod unconfirmed;
pub mod users;

use rusqlite::types::{FromSqlError, FromSqlResult, ValueRef};

/// What a stored word means.
fn meaning<T: Copy>(words: &[(&str, T)], value: ValueRef<'_>) -> FromSqlResult<T> {
    let word = value.as_str()?;
    let known = words.iter().find(|(known, _)| *known == word);
    known.map(|(_, meaning)| *meaning).ok_or(FromSqlError::InvalidType)
}

/// Changes a field to what is given, if anything is.
fn set<T: Clone>(field: &mut T, given: Option<&T>) {
    if let Some(given) = given {
        field.clone_from(given);
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use crate::clock::Clock;
    use crate::db::{Db, Options, migrate};

    /// How SQLite would run a statement on the schema of this binary.
    fn plan(sql: &str) -> Vec<String> {
        let dir = TempDir::new().unwrap();
        let options = Options::new(dir.path().join("satchel.db"));
        migrate::up(&options.path, &Clock::system(), None).unwrap();
        let db = Db::open(&options, Clock::system()).unwrap();
        // The plan does not depend on what is bound, so nothing is.
        db.read(|db| {
            let mut statement = db.prepare(&format!("explain query plan {sql}"))?;
            Ok(statement.raw_query().mapped(|row| row.get(3)).collect::<Result<_, _>>()?)
        })
        .unwrap()
    }

    /// Fails unless every step of the statement looks something up, in the order it is asked for.
    pub fn refuse_scan(sql: &str) {
        for step in plan(sql) {
            let looks_up = ["SEARCH ", "LIST SUBQUERY ", "CORRELATED SCALAR SUBQUERY "];
            assert!(looks_up.iter().any(|word| step.starts_with(word)), "{sql}: {step}");
        }
    }

    #[test]
    fn a_scan_and_a_sort_are_seen() {
        for sql in ["select title from books", "select title from books where id > 1 order by title"] {
            let seen = std::panic::catch_unwind(|| refuse_scan(sql));
            assert!(seen.is_err(), "{sql}");
        }
    }
}
