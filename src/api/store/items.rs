//! store, `/items`: seen by every user, changed by their owners and moderators.

use std::collections::BTreeMap;

use salvo::Writer;
use salvo::oapi::{Components, RefOr, Schema, ToSchema, endpoint};
use serde::Serialize;
use uuid::Uuid;

use super::TAG_ITEMS;
use crate::api::common::{PageQuery, page_of};
use crate::app::App;
use crate::db::Read;
use crate::domain::auth::Caller;
use crate::domain::items::{self, Category, Item, NewItem, Patch};
use crate::domain::quota;
use crate::http::answer::{Created, Done, Failure, NoContent, write_json};
use crate::http::input::{Fields, Input, Json, Path, Query, Valid, schema};
use crate::http::large::{Page, Room};
use crate::http::rules::{Cursor, Flag, Rule, UuidText, number, one_of, text};

/// Something that a store has for sale.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(example = json!({
    "id": "019a9d5e-6c1f-7c3b-8a54-3f0c1f4e2d10", "name": "Green tea", "category": "Grocery",
    "price_usd": 19.99, "in_stock": true, "store_manager_id": "019a9d5e-6c1f-7c3b-8a54-3f0c1f4e2d10",
})))]
pub struct ItemOut {
    /// Identifies the item in paths; it never changes.
    id: Uuid,
    /// What the item is called on the shelf.
    name: String,
    #[salvo(schema(schema_with = shown_category))]
    category: &'static str,
    /// The price in US dollars, as it was given.
    price_usd: f64,
    /// Whether there is any of it to sell now.
    in_stock: bool,
    /// The `id` of the store manager whose item it is.
    store_manager_id: Uuid,
}

impl From<Item> for ItemOut {
    fn from(item: Item) -> Self {
        Self {
            id: item.uuid,
            name: item.name,
            category: item.category.word(),
            price_usd: item.price_usd,
            in_stock: item.in_stock,
            store_manager_id: item.user_uuid,
        }
    }
}

/// Items by their ids, in an order of their own.
#[derive(Debug)]
pub struct ItemsOut;

impl ToSchema for ItemsOut {
    fn to_schema(components: &mut Components) -> RefOr<Schema> {
        BTreeMap::<String, ItemOut>::to_schema(components)
    }
}

/// The item that a path names.
#[derive(Debug)]
struct ItemPath {
    uuid: Uuid,
}

impl Input for ItemPath {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let uuid = fields.required("id", UuidText.about("The item's `id`, as shown in answers."));
        Some(Self { uuid: uuid? })
    }
}

fn name() -> impl Rule<Out = String> {
    text(1, 64, "Green tea").about("What the item is called on the shelf.")
}

fn category() -> impl Rule<Out = Category> {
    one_of(&Category::WORDS).named("Category", "The part of the store where the item stands.")
}

fn shown_category() -> RefOr<Schema> {
    schema(category().schema())
}

fn price() -> impl Rule<Out = f64> {
    number(0.0, 1e9, 19.99).about("The price in US dollars. It comes back as it was given.")
}

fn in_stock() -> impl Rule<Out = bool> {
    Flag.about("Whether there is any of it to sell now.")
}

/// An item to be.
#[derive(Debug)]
struct ItemCreate(NewItem);

impl Input for ItemCreate {
    const ABOUT: &'static str = "An item to add. The caller becomes its owner.";

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let name = fields.required("name", name());
        let category = fields.required("category", category());
        let price_usd = fields.required("price_usd", price());
        let in_stock = fields.required("in_stock", in_stock());
        Some(Self(NewItem { name: name?, category: category?, price_usd: price_usd?, in_stock: in_stock? }))
    }
}

/// What is to change of an item.
#[derive(Debug)]
struct ItemUpdate(Patch);

impl Input for ItemUpdate {
    const ABOUT: &'static str = "What is to change of an item. Fields that are left out stay as they are.";

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let name = fields.optional("name", name());
        let category = fields.optional("category", category());
        let price_usd = fields.optional("price_usd", price());
        let in_stock = fields.optional("in_stock", in_stock());
        Some(Self(Patch { name: name?, category: category?, price_usd: price_usd?, in_stock: in_stock? }))
    }
}

/// List all items, newest first
///
/// The answer is an object, not an array: each item by its `id`, in order.
#[endpoint(tags(TAG_ITEMS))]
pub async fn list_items(
    app: App,
    _caller: Caller,
    room: Room,
    input: Valid<Query<PageQuery>>,
) -> Result<Page<ItemsOut>, Failure> {
    let Query(PageQuery { limit, cursor }) = input.0;
    let put = |json: &mut Vec<u8>, item: Item| {
        write_json(json, &item.uuid);
        json.push(b':');
        write_json(json, &ItemOut::from(item));
    };
    let read = move |db: &Read| {
        let room = room.take(limit)?;
        let found = items::list(db, cursor, limit + 1)?;
        page_of(room, found, limit, ["{", "}"], (|item: &Item| item.id, Cursor::after), put)
    };
    Ok(app.db.page(limit, read).await?)
}

/// Get an item
///
/// Any item, of any owner.
#[endpoint(tags(TAG_ITEMS))]
pub async fn get_item(
    app: App,
    _caller: Caller,
    input: Valid<Path<ItemPath>>,
) -> Result<Done<ItemOut>, Failure> {
    let Path(path) = input.0;
    let item = app.db.read(|db| items::by_uuid(db, path.uuid))?;
    Ok(Done(item.into()))
}

/// Add an item
///
/// The caller becomes its owner. It counts towards their quota.
#[endpoint(tags(TAG_ITEMS))]
pub async fn create_item(
    app: App,
    caller: Caller,
    input: Valid<Json<ItemCreate>>,
) -> Result<Created<ItemOut>, Failure> {
    let Json(given) = input.0;
    let uuid = app.clock.new_id();
    let item = app.store_as(caller, quota::ITEM, move |db| items::create(db, uuid, &given.0)).await?;
    Ok(Created(item.into()))
}

/// Change an item
///
/// Owners change their own, moderators and administrators any.
#[endpoint(tags(TAG_ITEMS))]
pub async fn update_item(
    app: App,
    caller: Caller,
    input: Valid<(Path<ItemPath>, Json<ItemUpdate>)>,
) -> Result<Done<ItemOut>, Failure> {
    let (Path(path), Json(update)) = input.0;
    let item = app.store_as(caller, quota::ITEM, move |db| items::update(db, path.uuid, &update.0)).await?;
    Ok(Done(item.into()))
}

/// Delete an item
///
/// Owners delete their own, moderators and administrators any.
#[endpoint(tags(TAG_ITEMS))]
pub async fn delete_item(
    app: App,
    caller: Caller,
    input: Valid<Path<ItemPath>>,
) -> Result<NoContent, Failure> {
    let Path(path) = input.0;
    app.take_away_as(caller, move |db| items::delete(db, path.uuid)).await?;
    Ok(NoContent)
}
