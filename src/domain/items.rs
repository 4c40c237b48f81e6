//! Items: what one is, who may change it, and the SQL that keeps it.

use const_format::concatcp;
use rusqlite::types::{FromSql, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Row, named_params};
use uuid::Uuid;

use super::auth::WriteAs;
use super::meaning;
use super::set;
use super::users::{Role, UserId};
use crate::db::Read;
use crate::error::{Act, Refusal, Result};

/// What kind of thing an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// Food and drink.
    Grocery,
    /// For the house.
    Household,
    /// Devices.
    Electronics,
    /// Paper and pens.
    Stationery,
    /// For the body.
    PersonalCare,
    /// Clothes.
    Apparel,
    /// Tools and material.
    HomeImprovement,
    /// For animals.
    Pet,
}

impl Category {
    /// Every category by its word on the wire and in the table.
    pub const WORDS: [(&str, Self); 8] = [
        ("Grocery", Self::Grocery),
        ("Household", Self::Household),
        ("Electronics", Self::Electronics),
        ("Stationery", Self::Stationery),
        ("Personal Care", Self::PersonalCare),
        ("Apparel", Self::Apparel),
        ("Home Improvement", Self::HomeImprovement),
        ("Pet", Self::Pet),
    ];

    /// The word on the wire and in the table.
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, known)| *known == self).map_or("", |(word, _)| *word)
    }
}

impl ToSql for Category {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.word()))
    }
}

impl FromSql for Category {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        meaning(&Self::WORDS, value)
    }
}

/// An item.
#[derive(Clone, Debug)]
pub struct Item {
    /// The number.
    pub id: i64,
    /// The public id.
    pub uuid: Uuid,
    /// 1–64 characters.
    pub name: String,
    /// What kind of thing it is.
    pub category: Category,
    /// US dollars, 0–1e9, as the binary64 nearest to what was given.
    pub price_usd: f64,
    /// Whether it can be had.
    pub in_stock: bool,
    /// Whose it is.
    pub user_id: UserId,
    /// The owner's public id.
    pub user_uuid: Uuid,
}

impl Item {
    const COLUMNS: &'static str =
        "i.id, i.uuid, i.name, i.category, i.price_usd, i.in_stock, i.user_id, u.uuid";

    /// The items with their owners; those of an owner who is being removed are gone.
    const TABLE: &'static str = " from items i join users u on u.id = i.user_id
         left join removals r on r.user_id = i.user_id and r.scope = 'everything'
         where r.user_id is null ";

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            uuid: row.get(1)?,
            name: row.get(2)?,
            category: row.get(3)?,
            price_usd: row.get(4)?,
            in_stock: row.get(5)?,
            user_id: row.get(6)?,
            user_uuid: row.get(7)?,
        })
    }
}

/// What an item says of itself.
#[derive(Debug)]
pub struct NewItem {
    /// 1–64 characters.
    pub name: String,
    /// What kind of thing it is.
    pub category: Category,
    /// US dollars, 0–1e9.
    pub price_usd: f64,
    /// Whether it can be had.
    pub in_stock: bool,
}

/// What is to change; `None` leaves a field as it is.
#[derive(Debug, Default)]
pub struct Patch {
    /// 1–64 characters.
    pub name: Option<String>,
    /// What kind of thing it is.
    pub category: Option<Category>,
    /// US dollars, 0–1e9.
    pub price_usd: Option<f64>,
    /// Whether it can be had.
    pub in_stock: Option<bool>,
}

/// Adds an item to the caller's.
pub fn create(db: &WriteAs, uuid: Uuid, new: &NewItem) -> Result<Item> {
    let caller = db.caller();
    let sql = "insert into items (uuid, name, category, price_usd, in_stock, user_id, created_at, updated_at)
               values (:uuid, :name, :category, :price_usd, :in_stock, :user_id, :now, :now)";
    let params = named_params! {
        ":uuid": uuid, ":name": new.name, ":category": new.category, ":price_usd": new.price_usd,
        ":in_stock": new.in_stock, ":user_id": caller.id(), ":now": db.now,
    };
    Ok(Item {
        id: db.insert(sql, params)?,
        uuid,
        name: new.name.clone(),
        category: new.category,
        price_usd: new.price_usd,
        in_stock: new.in_stock,
        user_id: caller.id(),
        user_uuid: caller.uuid(),
    })
}

/// The item with this public id, whoever's it is.
pub fn by_uuid(db: &Read, uuid: Uuid) -> Result<Item> {
    find(db, uuid)?.ok_or(Refusal::ItemNotFound(Act::Read, uuid).into())
}

fn find(db: &Read, uuid: Uuid) -> Result<Option<Item>> {
    let sql = concatcp!("select ", Item::COLUMNS, Item::TABLE, "and i.uuid = :uuid");
    db.one(sql, named_params! { ":uuid": uuid }, Item::from_row)
}

const LIST: &str =
    concatcp!("select ", Item::COLUMNS, Item::TABLE, "and i.id < :before order by i.id desc limit :limit");

/// A page of everybody's items, newest first: those with a number below `before`, at most `limit`.
pub fn list(db: &Read, before: Option<i64>, limit: i64) -> Result<Vec<Item>> {
    db.all(LIST, named_params! { ":before": before.unwrap_or(i64::MAX), ":limit": limit }, Item::from_row)
}

/// Changes an item: one's own, or any for moderators and administrators.
pub fn update(db: &WriteAs, uuid: Uuid, patch: &Patch) -> Result<Item> {
    let mut item = changeable(db, uuid, Act::Update)?;
    set(&mut item.name, patch.name.as_ref());
    set(&mut item.category, patch.category.as_ref());
    set(&mut item.price_usd, patch.price_usd.as_ref());
    set(&mut item.in_stock, patch.in_stock.as_ref());
    let sql = "update items set name = :name, category = :category, price_usd = :price_usd,
                 in_stock = :in_stock, updated_at = :now
               where id = :id";
    db.execute(
        sql,
        named_params! {
            ":name": item.name, ":category": item.category, ":price_usd": item.price_usd,
            ":in_stock": item.in_stock, ":now": db.now, ":id": item.id,
        },
    )?;
    Ok(item)
}

/// Removes an item: one's own, or any for moderators and administrators.
pub fn delete(db: &WriteAs, uuid: Uuid) -> Result<()> {
    let item = changeable(db, uuid, Act::Delete)?;
    db.execute("delete from items where id = :id", named_params! { ":id": item.id })?;
    Ok(())
}

/// The item, if it is there and the caller may do this to it.
fn changeable(db: &WriteAs, uuid: Uuid, act: Act) -> Result<Item> {
    let caller = db.caller();
    let item = find(db, uuid)?.ok_or(Refusal::ItemNotFound(act, uuid))?;
    if item.user_id == caller.id() || matches!(caller.role(), Role::Moderator | Role::Admin) {
        return Ok(item);
    }
    Err(Refusal::NotYourItem(act).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::tests::refuse_scan;

    #[test]
    fn a_page_of_the_items_costs_the_same_wherever_it_lies() {
        refuse_scan(LIST);
    }
}
