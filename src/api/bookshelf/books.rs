//! bookshelf, `/books`: read by anyone, changed by their owners and moderators.

use jiff::civil::Date;
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

/// A book with all that is known of it.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(example = json!({
    "id": 1, "uuid": "019a9d5e-6c1f-7c3b-8a54-3f0c1f4e2d10", "title": "Dune", "author": "Frank Herbert",
    "publisher": "Chilton Books", "publish_date": "1965-08-01", "pages": 412, "language": "English",
    "user_id": 1, "created_at": "2026-11-21T05:06:39.560803", "updated_at": "2026-11-21T05:06:39.560803",
})))]
pub struct BookOut {
    /// A number that grows with each new book.
    id: i64,
    /// Identifies the book in paths; it never changes.
    uuid: Uuid,
    /// The title, as on the cover.
    title: String,
    /// Who wrote the book. Several names go into one text.
    author: String,
    /// The house that published the book.
    publisher: String,
    /// The day on which this edition appeared, as `YYYY-MM-DD`.
    #[salvo(schema(format = "date"))]
    publish_date: String,
    /// How many pages this edition has.
    pages: i64,
    /// The language of the text, such as `English`.
    language: String,
    /// The owner's number. Null once the owner was deleted.
    #[salvo(schema(required = true))]
    user_id: Option<i64>,
    /// When the book was added, in UTC, without a zone.
    created_at: String,
    /// When the book last changed, in UTC, without a zone.
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
        let uuid = fields.required("book_uuid", UuidText.about("The book's `uuid`, as shown in answers."));
        Some(Self { uuid: uuid? })
    }
}

fn title() -> impl Rule<Out = String> {
    text(1, 255, "Dune").about("The title, as on the cover.")
}

fn author() -> impl Rule<Out = String> {
    text(1, 255, "Frank Herbert").about("Who wrote the book. Several names go into one text.")
}

fn publisher() -> impl Rule<Out = String> {
    text(1, 255, "Chilton Books").about("The house that published the book.")
}

fn publish_date() -> impl Rule<Out = Date> {
    CalendarDate.about("The day on which this edition appeared, as `YYYY-MM-DD`.")
}

fn pages() -> impl Rule<Out = i64> {
    integer(1, 100_000, 412).about("How many pages this edition has.")
}

fn language() -> impl Rule<Out = String> {
    text(1, 255, "English").about("The language of the text, such as `English`.")
}

/// A book to be.
#[derive(Debug)]
struct BookCreate(NewBook);

impl Input for BookCreate {
    const ABOUT: &'static str = "A book to add. The caller becomes its owner.";

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let title = fields.required("title", title());
        let author = fields.required("author", author());
        let publisher = fields.required("publisher", publisher());
        let publish_date = fields.required("publish_date", publish_date());
        let pages = fields.required("pages", pages());
        let language = fields.required("language", language());
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
    const ABOUT: &'static str = "What is to change of a book. Fields that are left out stay as they are.";

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let title = fields.optional("title", title());
        let author = fields.optional("author", author());
        let publisher = fields.optional("publisher", publisher());
        let publish_date = fields.optional("publish_date", publish_date());
        let pages = fields.optional("pages", pages());
        let language = fields.optional("language", language());
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
///
/// Everybody may read it; no token is needed.
#[endpoint(tags(TAG_BOOKS))]
pub async fn list_books(
    app: App,
    room: Room,
    input: Valid<Query<PageQuery>>,
) -> Result<Page<Vec<BookOut>>, Failure> {
    let Query(query) = input.0;
    list(&app, room, Shelf::All, query).await
}

/// List the current user's books, newest first
///
/// The caller's own, page by page.
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
///
/// Everybody may read it; no token is needed.
#[endpoint(tags(TAG_BOOKS))]
pub async fn get_book(app: App, input: Valid<Path<BookPath>>) -> Result<Done<BookOut>, Failure> {
    let Path(path) = input.0;
    let book = app.db.read(|db| books::by_uuid(db, path.uuid))?;
    Ok(Done(book.into()))
}

/// Add a book
///
/// The caller becomes its owner. It counts towards their quota.
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
/// Owners change their own, moderators and administrators any.
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
/// Owners delete their own, moderators and administrators any.
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
