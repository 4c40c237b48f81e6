//! Rights: what a closure may do with the database, and how moments are stored.

use std::cell::RefCell;
use std::ops::Deref;

use rusqlite::types::{FromSql, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Params, Row, ffi};

use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::scope::{self, Scope};

/// The right to read one snapshot. Only this room makes it.
pub struct Read<'c> {
    conn: &'c Connection,
}

impl<'c> Read<'c> {
    pub(super) fn new(conn: &'c Connection) -> Self {
        Self { conn }
    }

    /// Prepares a query, or takes it from the connection's cache.
    ///
    /// # Errors
    /// A fault when the statement is wrong, could write, or returns no columns (as those do that begin and end transactions).
    pub fn prepare(&self, sql: &str) -> Result<CachedStatement<'_>> {
        let statement = self.conn.prepare_cached(sql)?;
        if !statement.readonly() || statement.column_count() == 0 {
            return Err(Error::fault(format!("a read ran a statement that is not a query: {sql}")));
        }
        Ok(statement)
    }

    /// The first row, if there is any.
    ///
    /// # Errors
    /// A fault when the statement is wrong or the row cannot be decoded.
    pub fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        f: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>> {
        Ok(self.prepare(sql)?.query_row(params, f).optional()?)
    }

    /// Every row, in order. The statement must have a limit, or its table a bound.
    ///
    /// # Errors
    /// A fault when the statement is wrong or a row cannot be decoded.
    pub fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        f: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        Ok(self.prepare(sql)?.query_map(params, f)?.collect::<rusqlite::Result<_>>()?)
    }
}

/// The right to write: what its holder does stays whole or not at all. It reads, too, and sees what it wrote.
///
/// Its errors are SQLite's own, so that a noun can look at them with [`super::broken`]; `?` makes them the house's.
pub struct Write<'c> {
    read: Read<'c>,
    /// The moment of this job.
    pub now: Timestamp,
    effects: &'c RefCell<Effects>,
}

/// What is done after a commit, and for which request.
pub(super) type AfterCommit = (Option<Scope>, Box<dyn FnOnce() + Send>);

/// What the jobs of a transaction want done once it is committed.
#[derive(Default)]
pub(super) struct Effects {
    /// Keys to tell the listener of changes.
    pub announced: Vec<i64>,
    /// What else is done then, such as a line in the log, each for its request.
    pub after: Vec<AfterCommit>,
}

impl<'c> Write<'c> {
    pub(super) fn new(conn: &'c Connection, now: Timestamp, effects: &'c RefCell<Effects>) -> Self {
        Self { read: Read::new(conn), now, effects }
    }

    /// Prepares any statement, or takes it from the connection's cache. Jobs neither begin nor end transactions, and leave the
    /// schema as it is: whether a job must be undone is told by the rows that it changed.
    ///
    /// # Errors
    /// SQLite's, when the statement is wrong or the transaction is gone.
    pub fn prepare(&self, sql: &str) -> rusqlite::Result<CachedStatement<'_>> {
        // SQLite ends the whole transaction at some errors. What came after would be a commit of its own.
        if self.read.conn.is_autocommit() {
            let lost = Some(String::from("the transaction was rolled back by an earlier error"));
            return Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_ABORT_ROLLBACK), lost));
        }
        self.read.conn.prepare_cached(sql)
    }

    /// Runs a statement that returns no rows and tells how many it changed.
    ///
    /// # Errors
    /// SQLite's, broken constraints among them.
    pub fn execute(&self, sql: &str, params: impl Params) -> rusqlite::Result<usize> {
        self.prepare(sql)?.execute(params)
    }

    /// Runs an `insert` of one row and tells its number. Where the row is known it is not worth a `returning`, which
    /// puts the rows into a table of their own first: a tenth of what an insert costs.
    ///
    /// # Errors
    /// SQLite's, broken constraints among them; `StatementChangedRows` when it was not one row.
    pub fn insert(&self, sql: &str, params: impl Params) -> rusqlite::Result<i64> {
        self.prepare(sql)?.insert(params)
    }

    /// Runs an `insert`, `update` or `delete … returning` of one row.
    ///
    /// # Errors
    /// SQLite's, broken constraints among them; `QueryReturnedNoRows` when there was none, and
    /// `QueryReturnedMoreThanOneRow` when there were several.
    pub fn returning<T>(
        &self,
        sql: &str,
        params: impl Params,
        f: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        self.prepare(sql)?.query_one(params, f)
    }

    /// Tells the listener of changes about `key` once this job is committed; never, when it is not.
    pub fn announce(&self, key: i64) {
        self.effects.borrow_mut().announced.push(key);
    }

    /// Does something quick once this job is committed; never, when it is not. A line in the log that tells what
    /// happened belongs there.
    pub fn after_commit(&self, f: impl FnOnce() + Send + 'static) {
        self.effects.borrow_mut().after.push((scope::current(), Box::new(f)));
    }

    /// Whether this job, or one before it in the same transaction, announced `key`.
    pub fn is_announced(&self, key: i64) -> bool {
        self.effects.borrow().announced.contains(&key)
    }
}

impl<'c> Deref for Write<'c> {
    type Target = Read<'c>;

    fn deref(&self) -> &Read<'c> {
        &self.read
    }
}

impl ToSql for Timestamp {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.micros()))
    }
}

impl FromSql for Timestamp {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(Self::from_micros)
    }
}
