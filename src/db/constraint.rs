//! Constraints: which rule of the schema a statement broke, and what SQLite's other errors are to the house.

use rusqlite::{ErrorCode, ffi};

use crate::error::{Error, Refusal};

/// A rule of the schema that a statement broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken<'a> {
    /// These columns must be unique: `users.email`, or `t.a, t.b`, or `index 'name'` for one over expressions.
    Unique(&'a str),
    /// A row refers to one that is not there, or would be left behind by one that goes.
    ForeignKey,
    /// A `check` by its name, or by its expression when it has none.
    Check(&'a str),
    /// This column must have a value: `users.email`.
    NotNull(&'a str),
}

/// The rule that was broken, when that is what `error` says.
pub fn broken(error: &rusqlite::Error) -> Option<Broken<'_>> {
    let rusqlite::Error::SqliteFailure(failure, Some(message)) = error else { return None };
    let subject = message.split_once("constraint failed: ").map_or("", |(_, subject)| subject);
    match failure.extended_code {
        ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID => {
            Some(Broken::Unique(subject))
        }
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => Some(Broken::ForeignKey),
        ffi::SQLITE_CONSTRAINT_CHECK => Some(Broken::Check(subject)),
        ffi::SQLITE_CONSTRAINT_NOTNULL => Some(Broken::NotNull(subject)),
        _ => None,
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Refusal::StorageFull.into(),
            Some(ErrorCode::DatabaseBusy) => Refusal::BUSY.into(),
            _ => Self::Fault(error.into()),
        }
    }
}
