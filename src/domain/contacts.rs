//! Contacts: what one is, and the SQL that keeps and finds them. Each is its owner's alone.

use const_format::concatcp;
use jiff::ToSpan;
use jiff::civil::Date;
use rusqlite::types::{FromSql, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Row, named_params};

use super::auth::{Caller, WriteAs};
use super::avatars;
use super::pictures::Picture;
use super::users::UserId;
use crate::db::{self, Read};
use crate::error::{Error, Refusal, Result};

/// A contact's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContactId(pub i64);

impl ToSql for ContactId {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}

impl FromSql for ContactId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        i64::column_result(value).map(Self)
    }
}

/// A person whom somebody knows.
#[derive(Clone, Debug)]
pub struct Contact {
    /// The number.
    pub id: ContactId,
    /// Whose it is.
    pub user_id: UserId,
    /// The full name, unique among the owner's contacts.
    pub fullname: String,
    /// An address, or whatever stands for one.
    pub email: String,
    /// Its digits.
    pub phone_number: i64,
    /// `YYYY-MM-DD`.
    pub birthday: String,
    /// Notes.
    pub additional: String,
    /// What the owner gave as the address of a picture.
    pub avatar: String,
    /// The name of the picture that was uploaded: it counts before `avatar`.
    pub picture: Option<String>,
}

impl Contact {
    /// The columns that [`Contact::from_row`] reads, in its order.
    const COLUMNS: &'static str = "id, user_id, fullname, email, phone_number, birthday, additional, avatar, \
         (select a.name from avatars a where a.contact_id = contacts.id)";

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            user_id: row.get(1)?,
            fullname: row.get(2)?,
            email: row.get(3)?,
            phone_number: row.get(4)?,
            birthday: row.get(5)?,
            additional: row.get(6)?,
            avatar: row.get(7)?,
            picture: row.get(8)?,
        })
    }

    /// Where it stands in the list of birthdays: by the day of the year, then by its number. It says so itself,
    /// so that a page goes on from there when the contact has gone.
    pub fn birthday_place(&self) -> i64 {
        let digits = self.birthday.bytes().skip(5).filter(u8::is_ascii_digit);
        let day = digits.fold(0, |day, digit| day * 10 + i64::from(digit - b'0'));
        day << NUMBER_BITS | self.id.0
    }
}

/// Bits of a [`Contact::birthday_place`] that hold the number; the day, four digits, stands before them.
const NUMBER_BITS: u32 = 48;

/// What a contact says of itself.
#[derive(Debug)]
pub struct NewContact {
    /// 1–150 characters.
    pub fullname: String,
    /// At most 200 characters.
    pub email: String,
    /// Its digits.
    pub phone_number: i64,
    /// From year 1 to 9999.
    pub birthday: Date,
    /// At most 500 characters.
    pub additional: String,
}

/// Adds a contact to the caller's; `avatar` is the address of a picture, at most 2,048 characters.
///
/// # Errors
/// `ContactExists` when the caller has one of this name.
pub fn create(db: &WriteAs, new: &NewContact, avatar: &str) -> Result<Contact> {
    let owner = db.caller().id();
    let sql = "insert into contacts (user_id, fullname, email, phone_number, birthday, additional, avatar,
                                     created_at, updated_at)
               values (:user, :fullname, :email, :phone_number, :birthday, :additional, :avatar, :now, :now)";
    let birthday = new.birthday.to_string();
    let params = named_params! {
        ":user": owner, ":fullname": new.fullname, ":email": new.email,
        ":phone_number": new.phone_number, ":birthday": birthday, ":additional": new.additional,
        ":avatar": avatar, ":now": db.now,
    };
    Ok(Contact {
        id: ContactId(db.insert(sql, params).map_err(name_taken)?),
        user_id: owner,
        fullname: new.fullname.clone(),
        email: new.email.clone(),
        phone_number: new.phone_number,
        birthday,
        additional: new.additional.clone(),
        avatar: avatar.to_owned(),
        picture: None,
    })
}

const LIST: &str = concatcp!(
    "select ",
    Contact::COLUMNS,
    " from contacts where user_id = :user order by id limit :limit offset :skip"
);

/// The caller's contacts by number: those after the first `skip` of them, at most `limit`.
pub fn list(db: &Read, caller: &Caller, skip: i64, limit: i64) -> Result<Vec<Contact>> {
    db.all(LIST, named_params! { ":user": caller.id(), ":skip": skip, ":limit": limit }, Contact::from_row)
}

const BY_FULLNAME: &str = concatcp!(
    "select ",
    Contact::COLUMNS,
    " from contacts where user_id = :user and instr(fold(fullname), fold(:part)) > 0 order by id limit 1"
);
const BY_EMAIL: &str = concatcp!(
    "select ",
    Contact::COLUMNS,
    " from contacts where user_id = :user and instr(fold(email), fold(:part)) > 0 order by id limit 1"
);

/// The first of the caller's contacts whose full name contains `part`, else whose address does; case does not
/// count. It looks through all of them.
///
/// # Errors
/// `ContactNotFound`.
pub fn find(db: &Read, caller: &Caller, part: &str) -> Result<Contact> {
    for sql in [BY_FULLNAME, BY_EMAIL] {
        let params = named_params! { ":user": caller.id(), ":part": part };
        if let Some(contact) = db.one(sql, params, Contact::from_row)? {
            return Ok(contact);
        }
    }
    Err(Refusal::ContactNotFound.into())
}

const BIRTHDAYS: &str = concatcp!(
    "select ",
    Contact::COLUMNS,
    " from contacts
     where user_id = :user and substr(birthday, 6) >= :day and substr(birthday, 6) <= :last
       and (substr(birthday, 6), id) > (:day, :after)
     order by substr(birthday, 6), id limit :limit"
);

/// The caller's contacts whose birthday comes within `days` days from `today`, but in this year; the next one
/// first, at most `limit`, those after the [`Contact::birthday_place`] `after`. February 29th counts as the 28th in
/// common years.
pub fn birthdays(
    db: &Read,
    caller: &Caller,
    today: Date,
    days: i64,
    after: Option<i64>,
    limit: i64,
) -> Result<Vec<Contact>> {
    let (first, last) = days_of_year(today, days);
    let (day, after) = match after.map(day_and_number) {
        Some((day, id)) if day >= first => (day, id),
        // The first page, or midnight has passed since the page before.
        _ => (first, 0),
    };
    let params = named_params! {
        ":user": caller.id(), ":day": day, ":last": last, ":after": after, ":limit": limit,
    };
    db.all(BIRTHDAYS, params, Contact::from_row)
}

/// The day `MM-DD` and the number that a [`Contact::birthday_place`] is made of.
fn day_and_number(place: i64) -> (String, i64) {
    let (day, number) = (place >> NUMBER_BITS, place & ((1 << NUMBER_BITS) - 1));
    (format!("{:02}-{:02}", day / 100, day % 100), number)
}

/// The days `MM-DD` that the birthdays lie between, both included.
fn days_of_year(today: Date, days: i64) -> (String, String) {
    let last =
        today.checked_add(days.days()).map_or(today.last_of_year(), |day| day.min(today.last_of_year()));
    let day = |date: Date| date.strftime("%m-%d").to_string();
    let last = match day(last) {
        // Nothing lies between the two.
        last if last == "02-28" && !today.in_leap_year() => "02-29".into(),
        last => last,
    };
    (day(today), last)
}

/// Changes a contact of the caller's; its picture stays.
///
/// # Errors
/// `ContactNotFound`, for another's, too; `ContactExists` when the caller has another of this name.
pub fn update(db: &WriteAs, id: ContactId, new: &NewContact) -> Result<Contact> {
    let sql = concatcp!(
        "update contacts set
           fullname = :fullname,
           email = :email,
           phone_number = :phone_number,
           birthday = :birthday,
           additional = :additional,
           updated_at = :now
         where id = :id and user_id = :user
         returning ",
        Contact::COLUMNS
    );
    let params = named_params! {
        ":fullname": new.fullname, ":email": new.email, ":phone_number": new.phone_number,
        ":birthday": new.birthday.to_string(), ":additional": new.additional, ":now": db.now,
        ":id": id, ":user": db.caller().id(),
    };
    db.returning(sql, params, Contact::from_row).map_err(name_taken)
}

/// A contact of the caller's.
///
/// # Errors
/// `ContactNotFound`, for another's, too.
pub fn by_id(db: &Read, caller: &Caller, id: ContactId) -> Result<Contact> {
    let sql = concatcp!("select ", Contact::COLUMNS, " from contacts where id = :id and user_id = :user");
    db.one(sql, named_params! { ":id": id, ":user": caller.id() }, Contact::from_row)?
        .ok_or(Refusal::ContactNotFound.into())
}

/// Gives a contact of the caller's a picture under this name; the one it had is gone.
///
/// # Errors
/// `ContactNotFound`.
pub fn set_picture(db: &WriteAs, id: ContactId, name: &str, picture: &Picture) -> Result<Contact> {
    by_id(db, db.caller(), id)?;
    avatars::replace(db, id, name, picture)?;
    db.execute(
        "update contacts set updated_at = :now where id = :id",
        named_params! { ":now": db.now, ":id": id },
    )?;
    by_id(db, db.caller(), id)
}

/// Removes a contact of the caller's, with its picture, and gives what it was.
///
/// # Errors
/// `ContactNotFound`, for another's, too.
pub fn delete(db: &WriteAs, id: ContactId) -> Result<Contact> {
    let contact = by_id(db, db.caller(), id)?;
    db.execute("delete from contacts where id = :id", named_params! { ":id": id })?;
    Ok(contact)
}

/// What it means that a contact could not be written.
fn name_taken(error: rusqlite::Error) -> Error {
    match db::broken(&error) {
        Some(db::Broken::Unique(_)) => Refusal::ContactExists.into(),
        _ if matches!(error, rusqlite::Error::QueryReturnedNoRows) => Refusal::ContactNotFound.into(),
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::domain::tests::refuse_scan;

    #[test]
    fn a_page_of_the_contacts_and_of_the_birthdays_is_found_by_an_index() {
        for sql in [LIST, BY_FULLNAME, BY_EMAIL, BIRTHDAYS] {
            refuse_scan(sql);
        }
    }

    #[test]
    fn a_place_among_the_birthdays_is_a_day_and_a_number() {
        for (birthday, number, day) in [
            ("1992-02-29", 1, "02-29"),
            ("0001-01-01", (1 << NUMBER_BITS) - 1, "01-01"),
            ("9999-12-31", 77, "12-31"),
        ] {
            let contact = Contact {
                id: ContactId(number),
                user_id: UserId(1),
                fullname: String::new(),
                email: String::new(),
                phone_number: 1,
                birthday: birthday.into(),
                additional: String::new(),
                avatar: String::new(),
                picture: None,
            };
            assert_eq!(day_and_number(contact.birthday_place()), (day.into(), number));
        }
    }

    #[test]
    fn birthdays_end_with_the_year_and_know_leap_days() {
        for (today, days, first, last) in [
            (date(2026, 11, 21), 0, "11-21", "11-21"),
            (date(2026, 11, 21), 7, "11-21", "11-28"),
            (date(2026, 12, 28), 7, "12-28", "12-31"),
            (date(2026, 12, 31), 366, "12-31", "12-31"),
            (date(2026, 1, 1), 366, "01-01", "12-31"),
            (date(2026, 2, 27), 0, "02-27", "02-27"),
            (date(2026, 2, 27), 1, "02-27", "02-29"),
            (date(2026, 2, 28), 0, "02-28", "02-29"),
            (date(2026, 3, 1), 0, "03-01", "03-01"),
            (date(2028, 2, 28), 0, "02-28", "02-28"),
            (date(2028, 2, 28), 1, "02-28", "02-29"),
            (date(2028, 2, 29), 0, "02-29", "02-29"),
            (date(9999, 12, 31), 7, "12-31", "12-31"),
        ] {
            let found = days_of_year(today, days);
            assert_eq!((found.0.as_str(), found.1.as_str()), (first, last), "{today} and {days} days");
        }
    }
}
