//! Directory: who may look through the users, and the pages of the list.

use const_format::concatcp;
use rusqlite::named_params;

use super::auth::Caller;
use super::users::{User, UserId};
use crate::config::{AddressReaders, Directory};
use crate::db::Read;
use crate::error::{Refusal, Result};

/// Refuses whoever may not look into the directory: the setting says to whom it is open.
///
/// # Errors
/// `NotAuthenticated`, `AdminRequired`.
pub fn refuse_browsing(directory: Directory, caller: Option<&Caller>) -> Result<()> {
    match (directory, caller) {
        (Directory::Public, _) | (Directory::Members, Some(_)) => Ok(()),
        (Directory::Members | Directory::Admins, None) => Err(Refusal::NotAuthenticated.into()),
        (Directory::Admins, Some(caller)) => caller.require_admin(),
    }
}

/// Whether the caller reads this user's e-mail address: the setting says who reads those of others.
pub fn shows_address(addresses: AddressReaders, caller: &Caller, user: &User) -> bool {
    addresses == AddressReaders::Members || caller.id() == user.id || caller.require_admin().is_ok()
}

const LIST: &str = concatcp!(
    "select ",
    User::COLUMNS,
    " from users where id < :before and deleted_at is null order by id desc limit :limit"
);

/// A page of the users, newest first: those with a number below `before`, at most `limit`.
pub fn list(db: &Read, before: Option<i64>, limit: i64) -> Result<Vec<User>> {
    db.all(LIST, named_params! { ":before": before.unwrap_or(i64::MAX), ":limit": limit }, User::from_row)
}

const LIST_NUMBERED: &str = concatcp!(
    "select ",
    User::COLUMNS,
    " from users where id > 0 and deleted_at is null order by id limit :limit offset :offset"
);

/// How many users there are, and those after the first `offset` of them, oldest first, at most `limit`.
pub fn list_numbered(db: &Read, offset: i64, limit: i64) -> Result<(i64, Vec<User>)> {
    let total = db.one("select users from user_total", [], |row| row.get(0))?.unwrap_or(0);
    if offset >= total {
        return Ok((total, Vec::new()));
    }
    let params = named_params! { ":offset": offset, ":limit": limit };
    Ok((total, db.all(LIST_NUMBERED, params, User::from_row)?))
}

/// Every administrator, oldest first.
pub fn admins(db: &Read) -> Result<Vec<User>> {
    let sql = concatcp!(
        "select ",
        User::COLUMNS,
        " from users where role = 'admin' and deleted_at is null order by id"
    );
    db.all(sql, [], User::from_row)
}

const EVERYBODY: &str =
    concatcp!("select ", User::COLUMNS, " from users where id > :after order by id limit :limit");

/// A page of everybody, the deleted among them, oldest first: those with a number above `after`, at most `limit`.
pub fn everybody(db: &Read, after: UserId, limit: i64) -> Result<Vec<User>> {
    db.all(EVERYBODY, named_params! { ":after": after, ":limit": limit }, User::from_row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::tests::refuse_scan;

    #[test]
    fn a_page_of_the_users_costs_the_same_wherever_it_lies() {
        refuse_scan(LIST);
        refuse_scan(LIST_NUMBERED);
        refuse_scan(EVERYBODY);
    }
}
