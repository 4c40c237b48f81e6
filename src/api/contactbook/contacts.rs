//! contactbook, `/api/contacts` and `/api/avatars`: the caller's own contacts and their pictures.

use salvo::Writer;
use salvo::http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue,
};
use salvo::oapi::{
    Components, Content, EndpointOutRegister, Operation, Response as Described, ToSchema, endpoint,
};
use salvo::{Depot, Request, Response, async_trait};
use serde::Serialize;
use serde_json::json;

use super::TAG_CONTACTS;
use crate::api::common::page;
use crate::app::App;
use crate::db::Read;
use crate::domain::avatars;
use crate::domain::contacts::{self, Contact, ContactId, NewContact};
use crate::domain::pictures::{MediaType, UPLOAD_BYTES_MAX};
use crate::domain::quota;
use crate::error::Refusal;
use crate::http::answer::{Created, Done, Failure};
use crate::http::extract::{Address, Confirmed};
use crate::http::forms::Upload;
use crate::http::input::{Fields, Input, Json, Path, Query, Valid, schema};
use crate::http::large::{Body, Large, Page, Room};
use crate::http::rules::{CalendarDate, Cursor, Name, Rule, integer, text};

/// A person whom the user knows.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(example = json!({
    "id": 1, "fullname": "Ada Lovelace", "email": "ada@example.com", "phone_number": 442071234567_i64,
    "birthday": "1815-12-10", "additional": "Met at Babbage's.", "user_id": 1,
    "avatar": "http://127.0.0.1:8000/api/avatars/x3Jm0V1tB2Q4c6Z8aK5s7D9f",
})))]
struct ContactOut {
    /// Identifies the contact in paths; it never changes.
    id: i64,
    /// The whole name; no two contacts of a user have the same.
    fullname: String,
    /// The contact's e-mail address, as it was given: it is not checked.
    email: String,
    /// The number with the country code, digits only.
    phone_number: i64,
    /// The day of birth, as `YYYY-MM-DD`.
    birthday: String,
    /// Notes of any kind; may be empty.
    additional: String,
    /// The owner's number.
    user_id: i64,
    /// The URL of the uploaded picture, else the URL that was given; empty if there is neither.
    avatar: String,
}

impl ContactOut {
    fn new(contact: Contact, app: &App) -> Self {
        let url = |name: String| format!("{}/api/avatars/{name}", app.config.public_url());
        Self {
            id: contact.id.0,
            fullname: contact.fullname,
            email: contact.email,
            phone_number: contact.phone_number,
            birthday: contact.birthday,
            additional: contact.additional,
            user_id: contact.user_id.0,
            avatar: contact.picture.map_or(contact.avatar, url),
        }
    }
}

/// A contact to be, or what one is to become.
#[derive(Debug)]
struct ContactWrite {
    new: NewContact,
    avatar: String,
}

impl Input for ContactWrite {
    const ABOUT: &'static str = "All of a contact. A change replaces what is there.";

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let about = "The whole name; no two contacts of a user have the same.";
        let fullname =
            fields.required("fullname", Name::unless(|_| None, 1, 150, "Ada Lovelace").about(about));
        let about = "The contact's e-mail address. It is not checked.";
        let email = fields.required("email", text(0, 200, "ada@example.com").about(about));
        let about = "The number with the country code, digits only.";
        let phone_number = integer(i64::MIN, i64::MAX, 442_071_234_567).about(about);
        let phone_number = fields.required("phone_number", phone_number);
        let about = "The day of birth, as `YYYY-MM-DD`.";
        let birthday = fields.required("birthday", CalendarDate.about(about));
        let about = "Notes of any kind.";
        let additional =
            fields.optional("additional", text(0, 500, "Met at Babbage's.").or_null().about(about));
        let about = "The URL of a picture. Ignored when a contact is changed.";
        let avatar =
            fields.optional("avatar", text(0, 2048, "https://example.com/ada.png").or_null().about(about));
        let new = NewContact {
            fullname: fullname?,
            email: email?,
            phone_number: phone_number?,
            birthday: birthday?,
            additional: additional?.flatten().unwrap_or_default(),
        };
        Some(Self { new, avatar: avatar?.flatten().unwrap_or_default() })
    }
}

/// Which part of the contacts.
#[derive(Debug)]
struct SkipQuery {
    skip: i64,
    limit: i64,
}

impl Input for SkipQuery {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let skip = fields.or(
            "skip",
            integer(0, i64::MAX, 20).about("How many contacts are left out at the beginning."),
            0,
        );
        let limit =
            fields.or("limit", integer(1, 1000, 20).about("How many contacts the page has at most."), 20);
        Some(Self { skip: skip?, limit: limit? })
    }
}

/// Which birthdays.
#[derive(Debug)]
struct BirthdayQuery {
    days: i64,
    limit: i64,
    cursor: Option<i64>,
}

impl Input for BirthdayQuery {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let about =
            "How many days to look ahead, from today to the last day of the year at most. 0 is today alone.";
        let days = fields.or("days_range", integer(0, 366, 30).about(about), 7);
        let limit =
            fields.or("limit", integer(1, 1000, 20).about("How many contacts the page has at most."), 1000);
        let cursor = fields.optional("cursor", Cursor);
        Some(Self { days: days?, limit: limit?, cursor: cursor? })
    }
}

/// What to look for.
#[derive(Debug)]
struct PartPath {
    part: String,
}

impl Input for PartPath {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let about = "Part of the whole name, else of the e-mail address; case does not count.";
        let part = fields.required("contact_id", text(1, usize::MAX, "lovelace").about(about));
        Some(Self { part: part? })
    }
}

/// The contact that a path names.
#[derive(Debug)]
struct ContactPath {
    id: ContactId,
}

impl Input for ContactPath {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let id = fields.required(
            "contact_id",
            integer(i64::MIN, i64::MAX, 1).about("The contact's `id`, as shown in answers."),
        );
        Some(Self { id: ContactId(id?) })
    }
}

/// The picture that a path names.
#[derive(Debug)]
struct AvatarPath {
    name: String,
}

impl Input for AvatarPath {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let about = "The last part of a contact's `avatar`.";
        let name = fields.required("name", text(1, usize::MAX, "x3Jm0V1tB2Q4c6Z8aK5s7D9f").about(about));
        Some(Self { name: name? })
    }
}

/// 200 with a picture that may be kept for good: another one has another name.
#[derive(Debug)]
struct PictureOut(MediaType, Body);

#[async_trait]
impl Writer for PictureOut {
    async fn write(self, _: &mut Request, depot: &mut Depot, response: &mut Response) {
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.0.as_str()));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
        headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("inline"));
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
        self.1.put(depot, response);
    }
}

impl EndpointOutRegister for PictureOut {
    fn register(_: &mut Components, operation: &mut Operation) {
        let picture = || Content::new(schema(json!({ "type": "string", "format": "binary" })));
        let described = Described::new(
            "The picture, 250 × 250 pixels. Browsers may keep it for good: another picture has another name.",
        )
        .add_content("image/jpeg", picture())
        .add_content("image/png", picture());
        operation.responses.insert("200", described);
    }
}

/// List the current user's contacts
///
/// In the order in which they were added.
#[endpoint(tags(TAG_CONTACTS))]
pub async fn list_contacts(
    app: App,
    caller: Confirmed,
    room: Room,
    input: Valid<Query<SkipQuery>>,
) -> Result<Large<Vec<ContactOut>>, Failure> {
    let Query(SkipQuery { skip, limit }) = input.0;
    let of = app.clone();
    let read = move |db: &Read| {
        let room = room.take(limit)?;
        let found = contacts::list(db, &caller.0, skip, limit)?;
        room.write(&found.into_iter().map(|contact| ContactOut::new(contact, &of)).collect())
    };
    Ok(app.db.page(skip.saturating_add(limit), read).await?)
}

/// Add a contact
///
/// Only the caller sees it. It counts towards their quota.
#[endpoint(tags(TAG_CONTACTS))]
pub async fn create_contact(
    app: App,
    caller: Confirmed,
    input: Valid<Json<ContactWrite>>,
) -> Result<Created<ContactOut>, Failure> {
    let Json(given) = input.0;
    let contact = app
        .store_as(caller.0, quota::CONTACT, move |db| contacts::create(db, &given.new, &given.avatar))
        .await?;
    Ok(Created(ContactOut::new(contact, &app)))
}

/// List the contacts whose birthday comes next
///
/// The next one first. Today is the date at the server, in its time zone. February 29 counts as February 28 in years that
/// do not have it.
#[endpoint(tags(TAG_CONTACTS))]
pub async fn list_birthdays(
    app: App,
    caller: Confirmed,
    room: Room,
    input: Valid<Query<BirthdayQuery>>,
) -> Result<Page<Vec<ContactOut>>, Failure> {
    let Query(BirthdayQuery { days, limit, cursor }) = input.0;
    let today = app.config.server.zone().date(app.clock.now());
    let of = app.clone();
    let read = move |db: &Read| {
        let room = room.take(limit)?;
        let found = contacts::birthdays(db, &caller.0, today, days, cursor, limit + 1)?;
        page(room, found, limit, Contact::birthday_place, |contact| ContactOut::new(contact, &of))
    };
    Ok(app.db.page(limit, read).await?)
}

/// Find a contact
///
/// The first contact whose whole name has the text in it, else the first whose e-mail address has it.
#[endpoint(tags(TAG_CONTACTS))]
pub async fn find_contact(
    app: App,
    caller: Confirmed,
    input: Valid<Path<PartPath>>,
) -> Result<Done<ContactOut>, Failure> {
    let Path(PartPath { part }) = input.0;
    let contact = app.db.scan(move |db| contacts::find(db, &caller.0, &part)).await?;
    Ok(Done(ContactOut::new(contact, &app)))
}

/// Change a contact
///
/// Replaces all but the picture.
#[endpoint(tags(TAG_CONTACTS))]
pub async fn update_contact(
    app: App,
    caller: Confirmed,
    input: Valid<(Path<ContactPath>, Json<ContactWrite>)>,
) -> Result<Done<ContactOut>, Failure> {
    let (Path(path), Json(given)) = input.0;
    let contact =
        app.store_as(caller.0, quota::CONTACT, move |db| contacts::update(db, path.id, &given.new)).await?;
    Ok(Done(ContactOut::new(contact, &app)))
}

/// Delete a contact
///
/// Its picture is deleted as well. The answer shows what the contact was.
#[endpoint(tags(TAG_CONTACTS))]
pub async fn delete_contact(
    app: App,
    caller: Confirmed,
    input: Valid<Path<ContactPath>>,
) -> Result<Done<ContactOut>, Failure> {
    let Path(path) = input.0;
    let contact = app.take_away_as(caller.0, move |db| contacts::delete(db, path.id)).await?;
    Ok(Done(ContactOut::new(contact, &app)))
}

/// Give a contact a picture
///
/// Takes PNG, JPEG, GIF or WebP of at most 5 MiB and 4,096 × 4,096 pixels. The square in the middle is drawn anew, upright
/// and 250 × 250 pixels large; nothing else of the upload is kept.
#[endpoint(tags(TAG_CONTACTS))]
pub async fn update_avatar(
    app: App,
    caller: Confirmed,
    address: Address,
    input: Valid<(Path<ContactPath>, Upload<UPLOAD_BYTES_MAX>)>,
) -> Result<Done<ContactOut>, Failure> {
    let (Path(ContactPath { id }), Upload(file)) = input.0;
    // Before it is drawn for nothing.
    app.db.read(|db| contacts::by_id(db, &caller.0, id))?;
    let picture = app.studio.make(address.0, file).await?;
    let name = avatars::new_name(&app.clock);
    let contact = app
        .store_as(caller.0, quota::PICTURE, move |db| contacts::set_picture(db, id, &name, &picture))
        .await?;
    Ok(Done(ContactOut::new(contact, &app)))
}

/// Get a picture
///
/// Everybody who has the URL may see it; nobody can guess it.
#[endpoint(tags(TAG_CONTACTS))]
pub async fn get_avatar(app: App, room: Room, input: Valid<Path<AvatarPath>>) -> Result<PictureOut, Failure> {
    let Path(path) = input.0;
    let picture = app.db.read(|db| avatars::by_name(db, &path.name))?.ok_or(Refusal::AvatarNotFound)?;
    Ok(PictureOut(picture.media_type, room.take(1)?.hold(picture.bytes)?))
}
