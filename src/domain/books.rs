//! Books: what one is, who may change it, and the SQL that keeps it.

use const_format::concatcp;
use jiff::civil::Date;
use rusqlite::{Row, named_params};
use uuid::Uuid;

use super::auth::{Caller, WriteAs};
use super::set;
use super::users::{Role, UserId};
use crate::clock::Timestamp;
use crate::db::Read;
use crate::error::{Act, Refusal, Result};

/// A book.
#[derive(Clone, Debug)]
pub struct Book {
    /// The number.
    pub id: i64,
    /// The public id.
    pub uuid: Uuid,
    /// 1–255 characters.
    pub title: String,
    /// 1–255 characters.
    pub author: String,
    /// 1–255 characters.
    pub publisher: String,
    /// `YYYY-MM-DD`.
    pub publish_date: String,
    /// 1–100,000.
    pub pages: i64,
    /// 1–255 characters.
    pub language: String,
    /// Whose it is; nobody's once its owner was deleted.
    pub user_id: Option<UserId>,
    /// Since when.
    pub created_at: Timestamp,
    /// Last change.
    pub updated_at: Timestamp,
}

impl Book {
    const COLUMNS: &'static str = "id, uuid, title, author, publisher, publish_date, pages, language, \
         iif(r.user_id is null, b.user_id, null), created_at, updated_at";

    /// The books, each with the removal of its owner, if there is one: such a book has no owner any more.
    const TABLE: &'static str =
        " from books b left join removals r on r.user_id = b.user_id and r.scope = 'everything' ";

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            uuid: row.get(1)?,
            title: row.get(2)?,
            author: row.get(3)?,
            publisher: row.get(4)?,
            publish_date: row.get(5)?,
            pages: row.get(6)?,
            language: row.get(7)?,
            user_id: row.get(8)?,
            created_at: row.get(9)?,
            updated_at: row.get(10)?,
        })
    }
}

/// What a book says of itself.
#[derive(Debug)]
pub struct NewBook {
    /// 1–255 characters.
    pub title: String,
    /// 1–255 characters.
    pub author: String,
    /// 1–255 characters.
    pub publisher: String,
    /// From year 1 to 9999.
    pub publish_date: Date,
    /// 1–100,000.
    pub pages: i64,
    /// 1–255 characters.
    pub language: String,
}

/// What is to change; `None` leaves a field as it is.
#[derive(Debug, Default)]
pub struct Patch {
    /// 1–255 characters.
    pub title: Option<String>,
    /// 1–255 characters.
    pub author: Option<String>,
    /// 1–255 characters.
    pub publisher: Option<String>,
    /// From year 1 to 9999.
    pub publish_date: Option<Date>,
    /// 1–100,000.
    pub pages: Option<i64>,
    /// 1–255 characters.
    pub language: Option<String>,
}

/// Whose books a list is of.
#[derive(Clone, Copy, Debug)]
pub enum Shelf {
    /// Everybody's.
    All,
    /// One user's.
    Of(UserId),
}

/// Adds a book to the caller's.
pub fn create(db: &WriteAs, uuid: Uuid, new: &NewBook) -> Result<Book> {
    let owner = db.caller().id();
    let sql = "insert into books (uuid, title, author, publisher, publish_date, pages, language, user_id, created_at,
                                  updated_at)
               values (:uuid, :title, :author, :publisher, :publish_date, :pages, :language, :user_id, :now, :now)";
    let publish_date = new.publish_date.to_string();
    let params = named_params! {
        ":uuid": uuid, ":title": new.title, ":author": new.author, ":publisher": new.publisher,
        ":publish_date": publish_date, ":pages": new.pages, ":language": new.language,
        ":user_id": owner, ":now": db.now,
    };
    Ok(Book {
        id: db.insert(sql, params)?,
        uuid,
        title: new.title.clone(),
        author: new.author.clone(),
        publisher: new.publisher.clone(),
        publish_date,
        pages: new.pages,
        language: new.language.clone(),
        user_id: Some(owner),
        created_at: db.now,
        updated_at: db.now,
    })
}

/// The book with this public id.
pub fn by_uuid(db: &Read, uuid: Uuid) -> Result<Book> {
    let sql = concatcp!("select ", Book::COLUMNS, Book::TABLE, "where uuid = :uuid");
    db.one(sql, named_params! { ":uuid": uuid }, Book::from_row)?.ok_or(Refusal::BookNotFound(uuid).into())
}

const LIST_ALL: &str =
    concatcp!("select ", Book::COLUMNS, Book::TABLE, "where id < :before order by id desc limit :limit");

const LIST_OF: &str = concatcp!(
    "select ",
    Book::COLUMNS,
    Book::TABLE,
    "where b.user_id = :user and id < :before order by id desc limit :limit"
);

/// A page of a shelf, newest first: books with a number below `before`, at most `limit`.
pub fn list(db: &Read, shelf: Shelf, before: Option<i64>, limit: i64) -> Result<Vec<Book>> {
    let before = before.unwrap_or(i64::MAX);
    match shelf {
        Shelf::All => db.all(LIST_ALL, named_params! { ":before": before, ":limit": limit }, Book::from_row),
        Shelf::Of(user) => db.all(
            LIST_OF,
            named_params! { ":user": user, ":before": before, ":limit": limit },
            Book::from_row,
        ),
    }
}

/// Changes a book: one's own, or any for moderators and administrators.
pub fn update(db: &WriteAs, uuid: Uuid, patch: &Patch) -> Result<Book> {
    let mut book = by_uuid(db, uuid)?;
    refuse_others(db.caller(), &book, Act::Update)?;
    set(&mut book.title, patch.title.as_ref());
    set(&mut book.author, patch.author.as_ref());
    set(&mut book.publisher, patch.publisher.as_ref());
    set(&mut book.publish_date, patch.publish_date.map(|date| date.to_string()).as_ref());
    set(&mut book.pages, patch.pages.as_ref());
    set(&mut book.language, patch.language.as_ref());
    book.updated_at = db.now;
    let sql = "update books set title = :title, author = :author, publisher = :publisher,
                 publish_date = :publish_date, pages = :pages, language = :language, updated_at = :now
               where id = :id";
    db.execute(
        sql,
        named_params! {
            ":title": book.title, ":author": book.author, ":publisher": book.publisher,
            ":publish_date": book.publish_date, ":pages": book.pages, ":language": book.language,
            ":now": book.updated_at, ":id": book.id,
        },
    )?;
    Ok(book)
}

/// Removes a book: one's own, or any for moderators and administrators.
pub fn delete(db: &WriteAs, uuid: Uuid) -> Result<()> {
    let book = by_uuid(db, uuid)?;
    refuse_others(db.caller(), &book, Act::Delete)?;
    db.execute("delete from books where id = :id", named_params! { ":id": book.id })?;
    Ok(())
}

/// A book that lost its owner can be changed by moderators and administrators alone.
fn refuse_others(caller: &Caller, book: &Book, act: Act) -> Result<()> {
    let is_own = book.user_id == Some(caller.id());
    if is_own || matches!(caller.role(), Role::Moderator | Role::Admin) {
        return Ok(());
    }
    Err(Refusal::NotYourBook(act).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::tests::refuse_scan;

    #[test]
    fn a_page_of_a_shelf_costs_the_same_wherever_it_lies() {
        refuse_scan(LIST_ALL);
        refuse_scan(LIST_OF);
    }
}
