//! Todos: what one is, that it is its owner's alone, and the SQL that keeps it.

use const_format::concatcp;
use rusqlite::types::{FromSql, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Row, named_params};

use super::auth::{Caller, WriteAs};
use super::meaning;
use super::removal;
use super::set;
use super::users::UserId;
use crate::clock::Timestamp;
use crate::db::Read;
use crate::error::{Act, Refusal, Result};

/// How much a todo matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// It can wait.
    Low,
    /// As usual.
    Medium,
    /// First.
    High,
}

impl Priority {
    /// Every priority by its word on the wire and in the table.
    pub const WORDS: [(&str, Self); 3] = [("low", Self::Low), ("medium", Self::Medium), ("high", Self::High)];

    /// The word on the wire and in the table.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

impl From<Priority> for serde_json::Value {
    fn from(priority: Priority) -> Self {
        Self::from(priority.word())
    }
}

impl ToSql for Priority {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.word()))
    }
}

impl FromSql for Priority {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        meaning(&Self::WORDS, value)
    }
}

/// A todo.
#[derive(Clone, Debug)]
pub struct Todo {
    /// The number.
    pub id: i64,
    /// 1–255 characters.
    pub title: String,
    /// At most 10,000 characters.
    pub description: Option<String>,
    /// How much it matters.
    pub priority: Priority,
    /// Whether it is done.
    pub is_completed: bool,
    /// Whose it is.
    pub user_id: UserId,
    /// Since when.
    pub created_at: Timestamp,
    /// Last change.
    pub updated_at: Timestamp,
}

impl Todo {
    const COLUMNS: &'static str =
        "id, title, description, priority, is_completed, user_id, created_at, updated_at";

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            title: row.get(1)?,
            description: row.get(2)?,
            priority: row.get(3)?,
            is_completed: row.get(4)?,
            user_id: row.get(5)?,
            created_at: row.get(6)?,
            updated_at: row.get(7)?,
        })
    }
}

/// What a todo says of itself.
#[derive(Debug)]
pub struct NewTodo {
    /// 1–255 characters.
    pub title: String,
    /// At most 10,000 characters.
    pub description: Option<String>,
    /// How much it matters.
    pub priority: Priority,
}

/// What is to change; `None` leaves a field as it is.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Patch {
    /// 1–255 characters.
    pub title: Option<String>,
    /// At most 10,000 characters; `Some(None)` removes it.
    pub description: Option<Option<String>>,
    /// How much it matters.
    pub priority: Option<Priority>,
    /// Whether it is done.
    pub is_completed: Option<bool>,
}

/// Adds an open todo to the caller's.
pub fn create(db: &WriteAs, new: &NewTodo) -> Result<Todo> {
    let caller = db.caller();
    let sql = "insert into todos (title, description, priority, user_id, created_at, updated_at)
               values (:title, :description, :priority, :user_id, :now, :now)";
    let params = named_params! {
        ":title": new.title, ":description": new.description, ":priority": new.priority,
        ":user_id": caller.id(), ":now": db.now,
    };
    Ok(Todo {
        id: db.insert(sql, params)?,
        title: new.title.clone(),
        description: new.description.clone(),
        priority: new.priority,
        is_completed: false,
        user_id: caller.id(),
        created_at: db.now,
        updated_at: db.now,
    })
}

/// The caller's todo with this number.
pub fn by_id(db: &Read, caller: &Caller, id: i64) -> Result<Todo> {
    own(db, caller, id, Act::Read)
}

const LIST: &str = concatcp!(
    "select ",
    Todo::COLUMNS,
    " from todos where id in (
        select id from todos where user_id = :user order by id desc limit :limit offset :offset)
      order by id desc"
);

const LIST_IN_STATE: &str = concatcp!(
    "select ",
    Todo::COLUMNS,
    " from todos where id in (
        select id from todos where user_id = :user and is_completed = :completed
        order by id desc limit :limit offset :offset)
      order by id desc"
);

/// How many todos the caller has, and those after the first `offset` of them, newest first, at most `limit`; of
/// those that are `completed`, or not, if that is asked for.
pub fn list(
    db: &Read,
    caller: &Caller,
    completed: Option<bool>,
    offset: i64,
    limit: i64,
) -> Result<(i64, Vec<Todo>)> {
    let sql = "select open, completed from todo_totals where user_id = :user";
    let params = named_params! { ":user": caller.id() };
    let totals = db.one(sql, params, |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
    let (open, done) = totals.unwrap_or_default();
    let total = completed.map_or(open + done, |completed| if completed { done } else { open });
    if offset >= total {
        return Ok((total, Vec::new()));
    }
    let user = caller.id();
    let found = match completed {
        None => {
            let params = named_params! { ":user": user, ":limit": limit, ":offset": offset };
            db.all(LIST, params, Todo::from_row)?
        }
        Some(completed) => {
            let params = named_params! {
                ":user": user, ":completed": completed, ":limit": limit, ":offset": offset,
            };
            db.all(LIST_IN_STATE, params, Todo::from_row)?
        }
    };
    Ok((total, found))
}

/// Changes a todo of the caller's; a patch of nothing leaves it untouched.
pub fn update(db: &WriteAs, id: i64, patch: &Patch) -> Result<Todo> {
    let mut todo = own(db, db.caller(), id, Act::Update)?;
    if *patch == Patch::default() {
        return Ok(todo);
    }
    set(&mut todo.title, patch.title.as_ref());
    set(&mut todo.description, patch.description.as_ref());
    set(&mut todo.priority, patch.priority.as_ref());
    set(&mut todo.is_completed, patch.is_completed.as_ref());
    todo.updated_at = db.now;
    let sql = "update todos set title = :title, description = :description, priority = :priority,
                 is_completed = :is_completed, updated_at = :now
               where id = :id";
    db.execute(
        sql,
        named_params! {
            ":title": todo.title, ":description": todo.description, ":priority": todo.priority,
            ":is_completed": todo.is_completed, ":now": todo.updated_at, ":id": todo.id,
        },
    )?;
    Ok(todo)
}

/// Removes a todo of the caller's.
pub fn delete(db: &WriteAs, id: i64) -> Result<()> {
    own(db, db.caller(), id, Act::Delete)?;
    db.execute("delete from todos where id = :id", named_params! { ":id": id })?;
    Ok(())
}

/// The todo, if it is there and the caller's. Nobody else may, whatever his role.
fn own(db: &Read, caller: &Caller, id: i64, act: Act) -> Result<Todo> {
    let sql = concatcp!("select ", Todo::COLUMNS, " from todos where id = :id");
    let todo = db.one(sql, named_params! { ":id": id }, Todo::from_row)?.ok_or(Refusal::TodoNotFound(id))?;
    if todo.user_id == caller.id() {
        return Ok(todo);
    }
    let refusal = match removal::is_gone(db, todo.user_id)? {
        true => Refusal::TodoNotFound(id),
        false => Refusal::NotYourTodo(act),
    };
    Err(refusal.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::tests::refuse_scan;

    #[test]
    fn a_page_of_the_todos_is_found_by_an_index() {
        refuse_scan(LIST);
        refuse_scan(LIST_IN_STATE);
    }
}
