//! todolist, `/todos`: the caller's own.

use salvo::Writer;
use salvo::oapi::{RefOr, Schema, ToSchema, endpoint};
use serde::Serialize;

use super::{NumberedPage, TAG_TODOS};
use crate::app::App;
use crate::db::Read;
use crate::domain::auth::Caller;
use crate::domain::quota;
use crate::domain::todos::{self, NewTodo, Patch, Priority, Todo};
use crate::http::answer::{Created, Done, Failure, NoContent};
use crate::http::input::{Fields, Input, Json, Path, Query, Valid, schema};
use crate::http::large::{Large, Room};
use crate::http::rules::{Flag, OneOf, Rule, integer, one_of, text};

/// Something to do, which only its owner sees.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(example = json!({
    "id": 1, "title": "Learn Rust", "description": "Read the book", "priority": "high", "is_completed": false,
    "user_id": 1, "created_at": "2026-11-21T05:06:39.560803Z", "updated_at": "2026-11-21T05:06:39.560803Z",
})))]
pub struct TodoOut {
    /// Identifies the todo in paths; it never changes.
    id: i64,
    /// What is to be done, in a few words.
    title: String,
    /// What is to be done, at length; null if nothing more is said.
    #[salvo(schema(required = true))]
    description: Option<String>,
    #[salvo(schema(schema_with = shown_priority))]
    priority: &'static str,
    /// Whether it is done.
    is_completed: bool,
    /// The owner's number.
    user_id: i64,
    /// When the todo was added, in UTC.
    created_at: String,
    /// When the todo last changed, in UTC.
    updated_at: String,
}

impl From<Todo> for TodoOut {
    fn from(todo: Todo) -> Self {
        Self {
            id: todo.id,
            title: todo.title,
            description: todo.description,
            priority: todo.priority.word(),
            is_completed: todo.is_completed,
            user_id: todo.user_id.0,
            created_at: todo.created_at.utc(),
            updated_at: todo.updated_at.utc(),
        }
    }
}

/// A page of the caller's todos.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(example = json!({
    "todos": [{
        "id": 1, "title": "Learn Rust", "description": "Read the book", "priority": "high",
        "is_completed": false, "user_id": 1, "created_at": "2026-11-21T05:06:39.560803Z",
        "updated_at": "2026-11-21T05:06:39.560803Z",
    }],
    "total": 1, "page": 1, "page_size": 10,
})))]
struct TodoPage {
    /// The todos of this page, newest first.
    todos: Vec<TodoOut>,
    /// How many todos there are on all pages together.
    total: i64,
    /// The number of this page, counted from 1.
    page: i64,
    /// How many todos a page has at most.
    page_size: i64,
}

fn title() -> impl Rule<Out = String> {
    text(1, 255, "Learn Rust").about("What is to be done, in a few words.")
}

fn description() -> impl Rule<Out = Option<String>> {
    text(0, 10_000, "Read the book")
        .or_null()
        .about("What is to be done, at length. Null: nothing more to say.")
}

fn priority() -> OneOf<Priority> {
    one_of(&Priority::WORDS).named("Priority", "How much it matters. Lists are not sorted by it.")
}

fn shown_priority() -> RefOr<Schema> {
    schema(priority().schema())
}

/// A todo to be.
#[derive(Debug)]
struct TodoCreate(NewTodo);

impl Input for TodoCreate {
    const ABOUT: &'static str = "A todo to add. Only the caller sees it.";

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let title = fields.required("title", title());
        let description = fields.optional("description", description());
        let priority = fields.or("priority", priority(), Priority::Medium);
        Some(Self(NewTodo { title: title?, description: description?.flatten(), priority: priority? }))
    }
}

/// What is to change of a todo.
#[derive(Debug)]
struct TodoUpdate(Patch);

impl Input for TodoUpdate {
    const ABOUT: &'static str = "What is to change of a todo. Fields that are left out stay as they are.";

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let title = fields.optional("title", title());
        let description = fields
            .optional("description", description().about("What is to be done, at length. Null removes it."));
        let is_completed = fields.optional("is_completed", Flag.about("Whether it is done."));
        let priority = fields.optional("priority", priority());
        Some(Self(Patch {
            title: title?,
            description: description?,
            priority: priority?,
            is_completed: is_completed?,
        }))
    }
}

/// The todo that a path names.
#[derive(Debug)]
struct TodoPath {
    id: i64,
}

impl Input for TodoPath {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let id = fields
            .required("todo_id", integer(1, i64::MAX, 1).about("The todo's `id`, as shown in answers."));
        Some(Self { id: id? })
    }
}

/// Which part of one's todos.
#[derive(Debug)]
struct TodoQuery {
    part: NumberedPage,
    completed: Option<bool>,
}

impl Input for TodoQuery {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let part = NumberedPage::read(fields);
        let completed = fields.optional(
            "completed",
            Flag.about("True: only todos that are done. False: only those that are not. Left out: all."),
        );
        Some(Self { part: part?, completed: completed? })
    }
}

/// List the current user's todos, newest first
///
/// All of them, or only those that are done or not done. `total` counts all that match.
#[endpoint(tags(TAG_TODOS))]
pub async fn list_todos(
    app: App,
    caller: Caller,
    room: Room,
    input: Valid<Query<TodoQuery>>,
) -> Result<Large<TodoPage>, Failure> {
    let Query(TodoQuery { part, completed }) = input.0;
    let reach = part.reach();
    let read = move |db: &Read| {
        let room = room.take(part.page_size)?;
        let (total, found) = todos::list(db, &caller, completed, part.offset(), part.page_size)?;
        let todos = found.into_iter().map(TodoOut::from).collect();
        room.write(&TodoPage { todos, total, page: part.page, page_size: part.page_size })
    };
    Ok(app.db.page(reach, read).await?)
}

/// Get a todo
///
/// The caller's own: another user's is 403.
#[endpoint(tags(TAG_TODOS))]
pub async fn get_todo(
    app: App,
    caller: Caller,
    input: Valid<Path<TodoPath>>,
) -> Result<Done<TodoOut>, Failure> {
    let Path(path) = input.0;
    let todo = app.db.read(|db| todos::by_id(db, &caller, path.id))?;
    Ok(Done(todo.into()))
}

/// Add a todo
///
/// Only the caller sees it. It counts towards their quota.
#[endpoint(tags(TAG_TODOS))]
pub async fn create_todo(
    app: App,
    caller: Caller,
    input: Valid<Json<TodoCreate>>,
) -> Result<Created<TodoOut>, Failure> {
    let Json(given) = input.0;
    let todo = app.store_as(caller, quota::TODO, move |db| todos::create(db, &given.0)).await?;
    Ok(Created(todo.into()))
}

/// Change a todo
///
/// The caller's own. Fields that are left out stay as they are; a `description` of null is removed.
#[endpoint(tags(TAG_TODOS))]
pub async fn update_todo(
    app: App,
    caller: Caller,
    input: Valid<(Path<TodoPath>, Json<TodoUpdate>)>,
) -> Result<Done<TodoOut>, Failure> {
    let (Path(path), Json(update)) = input.0;
    let todo = app.store_as(caller, quota::TODO, move |db| todos::update(db, path.id, &update.0)).await?;
    Ok(Done(todo.into()))
}

/// Delete a todo
///
/// The caller's own, for good.
#[endpoint(tags(TAG_TODOS))]
pub async fn delete_todo(
    app: App,
    caller: Caller,
    input: Valid<Path<TodoPath>>,
) -> Result<NoContent, Failure> {
    let Path(path) = input.0;
    app.take_away_as(caller, move |db| todos::delete(db, path.id)).await?;
    Ok(NoContent)
}
