//! store: items under `/items` and their keepers under `/store-managers`, in the words its clients know.

mod items;
mod store_managers;

use salvo::Router;
use salvo::http::StatusCode;

use super::Api;
use crate::error::{Act, Refusal};
use crate::http::answer::{Message, Voice, Words, detail};
use crate::http::resource::at;

/// The API as the table of APIs lists it.
pub static API: Api = Api {
    name: "store",
    description: "Items and store managers, who are users. They sign in with a form, and keep items that all users may see.",
    tags: &[
        (TAG_MANAGERS, "Store managers, who are users: register, sign in, sign out."),
        (TAG_ITEMS, "Items. All users may see them; owners and moderators change them."),
    ],
    voices: &[Voice { prefixes: &["/items", "/store-managers"], words, envelope: detail, page: None }],
    routes,
    aliases: &[],
    refusals,
    message,
    error_schema: |_| None,
};

const TAG_ITEMS: &str = "store-items";
const TAG_MANAGERS: &str = "store-managers";

/// Where this API says it otherwise than the house.
fn words(refusal: &Refusal) -> Option<Words> {
    match refusal {
        Refusal::TokenInvalid | Refusal::TokenExpired | Refusal::TokenRevoked | Refusal::TokenOfInactive => {
            Some((StatusCode::UNAUTHORIZED, "Invalid token".into()))
        }
        Refusal::ItemNotFound(Act::Read, _) => Some((StatusCode::NOT_FOUND, "Item not found".into())),
        Refusal::ItemNotFound(_, uuid) => {
            Some((StatusCode::NOT_FOUND, format!("Item with id {uuid} not found").into()))
        }
        _ => None,
    }
}

fn routes() -> Vec<Router> {
    let items = Router::with_path("items")
        .push(at("/").get(items::list_items).post(items::create_item).into())
        .push(at("{id}").get(items::get_item).patch(items::update_item).delete(items::delete_item).into());
    let managers = Router::with_path("store-managers")
        .push(at("/").post(store_managers::register).into())
        .push(at("token").post(store_managers::login).into())
        .push(at("logout").get_only(store_managers::logout).into());
    vec![items, managers]
}

/// What each operation may be refused with, besides what its arguments imply.
fn refusals(handler: &str) -> Vec<Refusal> {
    let item = super::EXAMPLE_ID;
    match handler {
        "register" => super::example_sign_up_refusals(&super::example_taken(Act::Create)[..1]),
        "login" => super::example_sign_in_refusals(),
        // The one GET that writes.
        "logout" => vec![Refusal::StorageFull],
        "get_item" => vec![Refusal::ItemNotFound(Act::Read, item)],
        "create_item" => vec![Refusal::QuotaExceeded],
        "update_item" => vec![
            Refusal::ItemNotFound(Act::Update, item),
            Refusal::NotYourItem(Act::Update),
            Refusal::QuotaExceeded,
        ],
        "delete_item" => {
            vec![Refusal::ItemNotFound(Act::Delete, item), Refusal::NotYourItem(Act::Delete)]
        }
        _ => Vec::new(),
    }
}

/// What the operations say that answer with a message.
fn message(handler: &str) -> Option<Message> {
    (handler == "logout").then(|| Message::new(store_managers::LOGGED_OUT))
}
