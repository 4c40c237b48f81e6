//! bookshelf, `/books`: read by anyone, changed by their owners and moderators.

use salvo::Writer;
use salvo::oapi::{ToSchema, endpoint};
use serde::Serialize;
use uuid::Uuid;

use super::TAG_BOOKS;
use crate::api::common::{PageQuery, page};
use crate::app::App;
use crate::db::Read;
use crate::domain::auth::Caller;
use crate::domain::books::{self, Book, NewBook, Patch, Shelf};
use crate::domain::quota;
use crate::http::answer::{Created, Done, Failure, NoContent};
use crate::http::input::{Fields, Input, Json, Path, Query, Valid};
use crate::http::large::{Page, Room};
use crate::http::rules::{CalendarDate, Rule, UuidText, integer, text};

/// A book.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(example = json!({
    "id": 1, "uuid": "019a9d5e-6c1f-7c3b-8a54-3f0c1f4e2d10", "title": "Dune", "author": "Frank Herbert",
    "publisher": "Chilton Books", "publish_date": "1965-08-01", "pages": 412, "language": "English",
    "user_id": 1, "created_at": "2026-11-21T05:06:39.560803", "updated_at": "2026-11-21T05:06:39.560803",
})))]
pub struct BookOut {
    id: i64,
    uuid: Uuid,
    title: String,
    author: String,
    publisher: String,
    /// `YYYY-MM-DD`
    #[salvo(schema(format = "date"))]
    publish_date: String,
    pages: i64,
    language: String,
    /// Null once the owner was deleted.
    #[salvo(schema(required = true))]
    user_id: Option<i64>,
    /// UTC, without a zone.
    created_at: String,
    /// UTC, without a zone.
    updated_at: String,
}

impl From<Book> for BookOut {
    fn from(book: Book) -> Self {
        Self {
            id: book.id,
            uuid: book.uuid,
            title: book.title,
            author: book.author,
            publisher: book.publisher,
            publish_date: book.publish_date,
            pages: book.pages,
            language: book.language,
            user_id: book.user_id.map(|user| user.0),
            created_at: book.created_at.naive(),
            updated_at: book.updated_at.naive(),
        }
    }
}

/// The book that a path names.
#[derive(Debug)]
struct BookPath {
    uuid: Uuid,
}

impl Input for BookPath {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let uuid = fields.required("book_uuid", UuidText);
        Some(Self { uuid: uuid? })
    }
}

/// A short text of a book, 1–255 characters.
fn words(example: &'static str) -> impl Rule<Out = String> {
    text(1, 255, example)
}

/// How many pages a book may have.
fn pages() -> impl Rule<Out = i64> {
    integer(1, 100_000, 412)
}

/// A book to be.
#[derive(Debug)]
struct BookCreate(NewBook);

impl Input for BookCreate {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let title = fields.required("title", words("Dune"));
        let author = fields.required("author", words("Frank Herbert"));
        let publisher = fields.required("publisher", words("Chilton Books"));
        let publish_date = fields.required("publish_date", CalendarDate);
        let pages = fields.required("pages", pages());
        let language = fields.required("language", words("English"));
        Some(Self(NewBook {
            title: title?,
            author: author?,
            publisher: publisher?,
            publish_date: publish_date?,
            pages: pages?,
            language: language?,
        }))
    }
}

/// What is to change of a book.
#[derive(Debug)]
struct BookUpdate(Patch);

impl Input for BookUpdate {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let title = fields.optional("title", words("Dune"));
        let author = fields.optional("author", words("Frank Herbert"));
        let publisher = fields.optional("publisher", words("Chilton Books"));
        let publish_date = fields.optional("publish_date", CalendarDate);
        let pages = fields.optional("pages", pages());
        let language = fields.optional("language", words("English"));
        Some(Self(Patch {
            title: title?,
            author: author?,
            publisher: publisher?,
            publish_date: publish_date?,
            pages: pages?,
            language: language?,
        }))
    }
}

/// List all books, newest first
#[endpoint(tags(TAG_BOOKS))]
pub async fn list_books(
    app: App,
    room: Room,
    input: Valid<Query<PageQuery>>,
) -> Result<Page<Vec<BookOut>>, Failure> {
    let Query(query) = input.0;
    list(&app, room, Shelf::All, query).await
}

/// List one's own books, newest first
#[endpoint(tags(TAG_BOOKS))]
pub async fn list_own_books(
    app: App,
    caller: Caller,
    room: Room,
    input: Valid<Query<PageQuery>>,
) -> Result<Page<Vec<BookOut>>, Failure> {
    let Query(query) = input.0;
    list(&app, room, Shelf::Of(caller.id()), query).await
}

async fn list(
    app: &App,
    room: Room,
    shelf: Shelf,
    PageQuery { limit, cursor }: PageQuery,
) -> Result<Page<Vec<BookOut>>, Failure> {
    let read = move |db: &Read| {
        let room = room.take(limit)?;
        page(room, books::list(db, shelf, cursor, limit + 1)?, limit, |book| book.id, BookOut::from)
    };
    Ok(app.db.page(limit, read).await?)
}

/// Get a book
#[endpoint(tags(TAG_BOOKS))]
pub async fn get_book(app: App, input: Valid<Path<BookPath>>) -> Result<Done<BookOut>, Failure> {
    let Path(path) = input.0;
    let book = app.db.read(|db| books::by_uuid(db, path.uuid))?;
    Ok(Done(book.into()))
}

/// Add a book
#[endpoint(tags(TAG_BOOKS))]
pub async fn create_book(
    app: App,
    caller: Caller,
    input: Valid<Json<BookCreate>>,
) -> Result<Created<BookOut>, Failure> {
    let Json(given) = input.0;
    let uuid = app.clock.new_id();
    let book = app.store_as(caller, quota::BOOK, move |db| books::create(db, uuid, &given.0)).await?;
    Ok(Created(book.into()))
}

/// Change a book
///
/// One's own; any for moderators and administrators.
#[endpoint(tags(TAG_BOOKS))]
pub async fn update_book(
    app: App,
    caller: Caller,
    input: Valid<(Path<BookPath>, Json<BookUpdate>)>,
) -> Result<Done<BookOut>, Failure> {
    let (Path(path), Json(update)) = input.0;
    let book = app.store_as(caller, quota::BOOK, move |db| books::update(db, path.uuid, &update.0)).await?;
    Ok(Done(book.into()))
}

/// Delete a book
///
/// One's own; any for moderators and administrators.
#[endpoint(tags(TAG_BOOKS))]
pub async fn delete_book(
    app: App,
    caller: Caller,
    input: Valid<Path<BookPath>>,
) -> Result<NoContent, Failure> {
    let Path(path) = input.0;
    app.take_away_as(caller, move |db| books::delete(db, path.uuid)).await?;
    Ok(NoContent)
}
