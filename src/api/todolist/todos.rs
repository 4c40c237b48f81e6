//! todolist, `/todos`: one's own.

use salvo::Writer;
use salvo::oapi::{ToSchema, endpoint};
use serde::Serialize;

use super::{NumberedPage, TAG_TODOS};
use crate::app::App;
use crate::db::Read;
use crate::domain::auth::Caller;
use crate::domain::quota;
use crate::domain::todos::{self, NewTodo, Patch, Priority, Todo};
use crate::http::answer::{Created, Done, Failure, NoContent};
use crate::http::input::{Fields, Input, Json, Path, Query, Valid};
use crate::http::large::{Large, Room};
use crate::http::rules::{Flag, Rule, integer, one_of, text};

/// A todo.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(example = json!({
    "id": 1, "title": "Learn Rust", "description": "Read the book", "priority": "high", "is_completed": false,
    "user_id": 1, "created_at": "2026-11-21T05:06:39.560803Z", "updated_at": "2026-11-21T05:06:39.560803Z",
})))]
pub struct TodoOut {
    id: i64,
    title: String,
    #[salvo(schema(required = true))]
    description: Option<String>,
    priority: &'static str,
    is_completed: bool,
    user_id: i64,
    /// In UTC.
    created_at: String,
    /// In UTC.
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

/// A page of one's todos.
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
    todos: Vec<TodoOut>,
    /// How many there are on all pages.
    total: i64,
    page: i64,
    page_size: i64,
}

fn title() -> impl Rule<Out = String> {
    text(1, 255, "Learn Rust")
}

fn description() -> impl Rule<Out = Option<String>> {
    text(0, 10_000, "Read the book").or_null()
}

/// A todo to be.
#[derive(Debug)]
struct TodoCreate(NewTodo);

impl Input for TodoCreate {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let title = fields.required("title", title());
        let description = fields.optional("description", description());
        let priority = fields.or("priority", one_of(&Priority::WORDS), Priority::Medium);
        Some(Self(NewTodo { title: title?, description: description?.flatten(), priority: priority? }))
    }
}

/// What is to change of a todo.
#[derive(Debug)]
struct TodoUpdate(Patch);

impl Input for TodoUpdate {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let title = fields.optional("title", title());
        let description = fields.optional("description", description().about("Null removes it."));
        let is_completed = fields.optional("is_completed", Flag);
        let priority = fields.optional("priority", one_of(&Priority::WORDS));
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
        let id = fields.required("todo_id", integer(1, i64::MAX, 1));
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
        let completed =
            fields.optional("completed", Flag.about("Only those that are done, or only the others."));
        Some(Self { part: part?, completed: completed? })
    }
}

/// List one's own todos, newest first
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

/// Get one of one's todos
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

/// Change one of one's todos
///
/// What is left out stays as it is; a `description` of null is removed.
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

/// Delete one of one's todos
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
