//! Accounts: a user's balance, last activity and soft deletion, and the list that administrators look through.

use std::time::Duration;

use rusqlite::{ToSql, named_params};

use super::auth::{Caller, WriteAs};
use super::removal;
use super::users::{self, Role, User, UserId};
use crate::audit;
use crate::clock::Timestamp;
use crate::db::{Read, Write};
use crate::error::{Refusal, Result};

/// The highest balance: the largest whole number that every JSON reader keeps exactly (RFC 8259 §6).
pub const BALANCE_MAX: i64 = (1 << 53) - 1;

/// How much time lies at least between two notes of a user's activity.
pub const ACTIVITY_EVERY: Duration = Duration::from_secs(60);

/// Adds to the caller's balance, or takes from it, and gives the new one. Administrators have none.
///
/// # Errors
/// `AdminHasNoBalance`; `BalanceRefused` when it would leave 0 to [`BALANCE_MAX`], or a name is missing.
pub fn add_to_balance(db: &WriteAs, amount: i64) -> Result<i64> {
    let caller = db.caller();
    if caller.role() == Role::Admin {
        return Err(Refusal::AdminHasNoBalance.into());
    }
    let sql = "update users set balance = balance + :amount, updated_at = :now
               where id = :id and first_name is not null and last_name is not null
                 and balance + :amount between 0 and :max
               returning balance";
    let params = named_params! {
        ":amount": amount, ":now": db.now, ":id": caller.id(), ":max": BALANCE_MAX,
    };
    match db.returning(sql, params, |row| row.get(0)) {
        Err(rusqlite::Error::QueryReturnedNoRows) => Err(Refusal::BalanceRefused.into()),
        balance => Ok(balance?),
    }
}

/// Deletes the caller softly: the row and the content stay until they are purged, the address and the username are
/// free, every token is dead, and the pictures, which need none to be seen, are shown no more.
///
/// # Errors
/// `AdminDeletesHimself`.
pub fn delete(db: &WriteAs) -> Result<()> {
    let caller = db.caller();
    if caller.role() == Role::Admin {
        return Err(Refusal::AdminDeletesHimself.into());
    }
    let user = users::own(db, caller)?;
    removal::mark_softly(db, &user)?;
    db.after_commit(move || audit!(info, user.id = user.id.0, "user deleted softly"));
    Ok(())
}

/// Notes that these users were there at these moments, for those of whom that was not noted within
/// [`ACTIVITY_EVERY`].
pub fn note_activity(db: &Write, seen: &[(UserId, Timestamp)]) -> Result<()> {
    let sql =
        "update users set last_activity_at = :at where id = :id and coalesce(last_activity_at, 0) <= :before";
    for (id, at) in seen {
        let params = named_params! { ":at": at, ":id": id, ":before": at.minus(ACTIVITY_EVERY) };
        db.execute(sql, params)?;
    }
    Ok(())
}

/// Which users an administrator looks for. What is `None` does not count.
#[derive(Debug, Default)]
pub struct Filter {
    /// The one with this number.
    pub id: Option<i64>,
    /// Those whose given name contains this, without regard to case.
    pub first_name: Option<String>,
    /// Those whose family name contains this, without regard to case.
    pub last_name: Option<String>,
    /// Those who are blocked, or those who are not.
    pub is_blocked: Option<bool>,
}

/// What a list of users is sorted by; equal ones by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortBy {
    /// The number.
    Id,
    /// The balance.
    Balance,
    /// The last activity; the creation of those who never were active.
    LastActivity,
}

impl SortBy {
    /// The expression that its index has.
    const fn key(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Balance => "balance",
            Self::LastActivity => "coalesce(last_activity_at, created_at)",
        }
    }
}

/// The order of a list.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// What it is sorted by.
    pub by: SortBy,
    /// Whether the largest comes first.
    pub descending: bool,
}

impl Order {
    /// Where a user stands in it.
    pub fn place(self, user: &User) -> Place {
        let value = match self.by {
            SortBy::Id => user.id.0,
            SortBy::Balance => user.balance,
            SortBy::LastActivity => user.last_activity_at.unwrap_or(user.created_at).micros(),
        };
        Place { value, id: user.id.0 }
    }
}

/// A place in an order. It stays where it is when the user who stood there moves or goes.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// What the order is sorted by.
    pub value: i64,
    /// The number.
    pub id: i64,
}

/// The statement of a list, from fixed fragments.
fn list_sql(filter: &Filter, order: Order) -> String {
    let key = order.by.key();
    let (sign, direction) = if order.descending { ("<", "desc") } else { (">", "asc") };
    let filters = [
        (filter.id.is_some(), " and id = :filter_id"),
        (filter.first_name.is_some(), " and instr(fold(first_name), fold(:first_name)) > 0"),
        (filter.last_name.is_some(), " and instr(fold(last_name), fold(:last_name)) > 0"),
        (filter.is_blocked == Some(true), " and blocked_at is not null"),
        (filter.is_blocked == Some(false), " and blocked_at is null"),
    ];
    let filters: String = filters.iter().filter(|(wanted, _)| *wanted).map(|(_, sql)| *sql).collect();
    format!(
        "select {} from users
         where deleted_at is null and {key} {sign}= :value and ({key}, id) {sign} (:value, :id){filters}
         order by {key} {direction}, id {direction} limit :limit",
        User::COLUMNS
    )
}

/// A page of the users that pass the filter, in this order: those after this place, at most `limit`.
pub fn list(
    db: &Read,
    caller: &Caller,
    filter: &Filter,
    order: Order,
    after: Option<Place>,
    limit: i64,
) -> Result<Vec<User>> {
    caller.require_admin()?;
    let end = if order.descending { i64::MAX } else { -1 };
    let Place { value, id } = after.unwrap_or(Place { value: end, id: end });
    let mut params: Vec<(&str, &dyn ToSql)> = vec![(":value", &value), (":id", &id), (":limit", &limit)];
    if let Some(id) = &filter.id {
        params.push((":filter_id", id));
    }
    if let Some(name) = &filter.first_name {
        params.push((":first_name", name));
    }
    if let Some(name) = &filter.last_name {
        params.push((":last_name", name));
    }
    db.all(&list_sql(filter, order), params.as_slice(), User::from_row)
}

const LIST_DELETED: &str = const_format::concatcp!(
    "select ",
    User::COLUMNS,
    " from users
     where deleted_at is not null and id < :before and ",
    removal::NOT_GONE,
    " order by id desc limit :limit"
);

/// A page of the users who were deleted and not purged yet, the newest first: those with a number below
/// `before`, at most `limit`.
pub fn list_deleted(db: &Read, caller: &Caller, before: Option<i64>, limit: i64) -> Result<Vec<User>> {
    caller.require_admin()?;
    let params = named_params! { ":before": before.unwrap_or(i64::MAX), ":limit": limit };
    db.all(LIST_DELETED, params, User::from_row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::tests::refuse_scan;

    #[test]
    fn a_page_of_the_accounts_is_found_by_an_index_in_every_order() {
        for by in [SortBy::Id, SortBy::Balance, SortBy::LastActivity] {
            for descending in [false, true] {
                refuse_scan(&list_sql(&Filter::default(), Order { by, descending }));
            }
        }
        refuse_scan(LIST_DELETED);
    }
}
