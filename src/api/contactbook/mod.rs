//! contactbook: sign-up with a confirmed address, and contacts with birthdays and pictures, under `/api`, in the
//! words its clients know.

mod auth;
mod contacts;
mod email;
mod pages;

use salvo::Router;
use salvo::http::StatusCode;
use serde_json::{Value, json};

use super::{Api, EXAMPLE_WAIT};
use crate::config::{Config, Limit};
use crate::error::{Act, Refusal};
use crate::http::answer::{Message, No, Voice, Why, Words, detail, json_bytes};
use crate::http::resource::at;

/// The API as the table of APIs lists it.
pub static API: Api = Api {
    name: "contactbook",
    description: "Contacts with birthdays and pictures, which nobody else sees. Users who register here confirm their \
                  e-mail address before they sign in. Each route has a limit.",
    tags: &[
        (TAG_AUTH, "Register, confirm the address, sign in, get new tokens, set a new password."),
        (TAG_CONTACTS, "The user's own contacts and their pictures."),
    ],
    voices: &[
        Voice {
            prefixes: &["/api/email", "/api/auth/reset_pwd/*"],
            words,
            envelope,
            page: Some(pages::refused),
        },
        Voice { prefixes: &["/api/auth", "/api/contacts", "/api/avatars"], words, envelope, page: None },
    ],
    routes,
    aliases: &[],
    refusals,
    message,
    error_schema,
};

const TAG_AUTH: &str = "contactbook-auth";
const TAG_CONTACTS: &str = "contactbook-contacts";

/// Where this API says it otherwise than the house.
fn words(refusal: &Refusal) -> Option<Words> {
    let (status, sentence) = match refusal {
        Refusal::TokenInvalid | Refusal::TokenExpired | Refusal::TokenRevoked | Refusal::TokenOfInactive => {
            (StatusCode::UNAUTHORIZED, "Wrong credentials")
        }
        Refusal::WrongCredentials => (StatusCode::UNAUTHORIZED, "Wrong user or password"),
        Refusal::EmailUnconfirmed | Refusal::TokenOfUnconfirmed => {
            (StatusCode::UNAUTHORIZED, "Email not confirmed")
        }
        Refusal::RefreshInvalid | Refusal::RefreshExpired => (StatusCode::UNAUTHORIZED, "Cannot validate"),
        Refusal::RefreshWrongKind => (StatusCode::UNAUTHORIZED, "Invalid Scope"),
        Refusal::RefreshRevoked => (StatusCode::UNAUTHORIZED, "Invalid refresh token"),
        Refusal::EmailTaken(..) => (StatusCode::CONFLICT, "Already exists"),
        _ => return None,
    };
    Some((status, sentence.into()))
}

/// As most APIs say it, but for a limit: there its clients look for `error`.
fn envelope(no: &No<'_>) -> Vec<u8> {
    match no.why {
        Why::Sentence(error) if no.status == StatusCode::TOO_MANY_REQUESTS => {
            json_bytes(&json!({ "error": error }))
        }
        _ => detail(no),
    }
}

fn error_schema(status: StatusCode) -> Option<(&'static str, Value)> {
    (status == StatusCode::TOO_MANY_REQUESTS).then(|| {
        let schema = json!({
            "type": "object", "required": ["error"],
            "description": "Too many requests in a short time.",
            "properties": { "error": { "type": "string", "description": "The limit that was reached, in one sentence." } },
            "examples": [{ "error": "Rate limit exceeded: 2 per 1 minute" }],
        });
        ("RateLimitResponse", schema)
    })
}

/// The setting that limits a handler.
type Setting = fn(&Config) -> Limit;

/// How often a caller may use each operation: its handler and its setting.
const LIMITS: [(&str, Setting); 18] = [
    ("register", |config| config.contactbook.limits.signup),
    ("login", |config| config.contactbook.limits.login),
    ("refresh", |config| config.contactbook.limits.refresh_token),
    ("request_confirmation", |config| config.contactbook.limits.request_email),
    ("request_reset", |config| config.contactbook.limits.request_reset),
    ("show_reset", |config| config.contactbook.limits.show_reset),
    ("reset_password", |config| config.contactbook.limits.reset_password),
    ("confirm_email", |config| config.contactbook.limits.confirm_email),
    // Counted with the one before.
    ("confirm_email_by_button", |config| config.contactbook.limits.confirm_email),
    ("show_restore", |config| config.contactbook.limits.show_reset),
    ("restore_email", |config| config.contactbook.limits.reset_password),
    ("list_contacts", |config| config.contactbook.limits.list_contacts),
    ("create_contact", |config| config.contactbook.limits.create_contact),
    ("list_birthdays", |config| config.contactbook.limits.list_birthdays),
    ("find_contact", |config| config.contactbook.limits.find_contact),
    ("update_contact", |config| config.contactbook.limits.update_contact),
    ("delete_contact", |config| config.contactbook.limits.delete_contact),
    ("update_avatar", |config| config.contactbook.limits.update_avatar),
];

fn setting(handler: &str) -> Option<Setting> {
    LIMITS.iter().find(|(name, _)| *name == handler).map(|(_, setting)| *setting)
}

fn routes() -> Vec<Router> {
    let limit = |handler| (handler, setting(handler).expect("each limited handler has a setting"));
    let auth = Router::with_path("auth")
        .push(at("signup").post(auth::register).limited(limit("register")).into())
        .push(
            at("request_email")
                .post(auth::request_confirmation)
                .limited(limit("request_confirmation"))
                .into(),
        )
        .push(at("login").post(auth::login).limited(limit("login")).into())
        .push(at("refresh_token").get_only(auth::refresh).limited(limit("refresh")).into())
        .push(at("reset_pwd").post(auth::request_reset).limited(limit("request_reset")).into())
        .push(
            at("reset_pwd/{token}")
                .get(auth::show_reset)
                .limited(limit("show_reset"))
                .post(auth::reset_password)
                .limited(limit("reset_password"))
                .into(),
        );
    let contacts = Router::with_path("contacts")
        .push(
            at("/")
                .get(contacts::list_contacts)
                .limited_by_user(limit("list_contacts"))
                .post(contacts::create_contact)
                .limited_by_user(limit("create_contact"))
                .into(),
        )
        // Before a contact of that name.
        .push(at("bd").get(contacts::list_birthdays).limited_by_user(limit("list_birthdays")).into())
        .push(
            at("{contact_id}")
                .get(contacts::find_contact)
                .limited_by_user(limit("find_contact"))
                .put(contacts::update_contact)
                .limited_by_user(limit("update_contact"))
                .delete(contacts::delete_contact)
                .limited_by_user(limit("delete_contact"))
                .into(),
        )
        .push(
            at("{contact_id}/avatar")
                .patch(contacts::update_avatar)
                .limited_by_user(limit("update_avatar"))
                .into(),
        );
    let email = at("email/confirm/{email_token}")
        .get(email::confirm_email)
        .limited(limit("confirm_email"))
        .post(email::confirm_email_by_button)
        .limited(limit("confirm_email"));
    let restore = at("email/restore/{token}")
        .get(email::show_restore)
        .limited(limit("show_restore"))
        .post(email::restore_email)
        .limited(limit("restore_email"));
    let avatars = at("avatars/{name}").get(contacts::get_avatar);
    vec![
        Router::with_path("api")
            .push(contacts)
            .push(auth)
            .push(avatars.into())
            .push(email.into())
            .push(restore.into()),
    ]
}

/// What each operation may be refused with, besides what its arguments imply.
fn refusals(handler: &str) -> Vec<Refusal> {
    let mut refusals = match handler {
        "register" => super::example_sign_up_refusals(&super::example_taken(Act::Create)[..1]),
        "login" => super::example_sign_in_refusals(),
        "refresh" => vec![
            Refusal::NotAuthenticated,
            Refusal::RefreshInvalid,
            Refusal::RefreshWrongKind,
            Refusal::RefreshRevoked,
            Refusal::EmailUnconfirmed,
            Refusal::UserInactive,
            Refusal::UserBlocked,
            Refusal::StorageFull,
        ],
        "show_reset" | "reset_password" | "show_restore" | "restore_email" => vec![Refusal::ProofInvalid],
        "confirm_email" | "confirm_email_by_button" => {
            vec![Refusal::ProofInvalid, Refusal::ProofMalformed, Refusal::StorageFull]
        }
        "list_contacts" | "list_birthdays" => vec![Refusal::TokenOfUnconfirmed],
        "create_contact" => vec![Refusal::TokenOfUnconfirmed, Refusal::ContactExists, Refusal::QuotaExceeded],
        "update_contact" => {
            vec![
                Refusal::TokenOfUnconfirmed,
                Refusal::ContactNotFound,
                Refusal::ContactExists,
                Refusal::QuotaExceeded,
            ]
        }
        "find_contact" | "delete_contact" => vec![Refusal::TokenOfUnconfirmed, Refusal::ContactNotFound],
        "update_avatar" => {
            vec![
                Refusal::TokenOfUnconfirmed,
                Refusal::ContactNotFound,
                Refusal::UnsupportedImage,
                Refusal::QuotaExceeded,
            ]
        }
        "get_avatar" => vec![Refusal::AvatarNotFound],
        _ => Vec::new(),
    };
    if let Some(Limit::Rate { count, per_seconds }) = setting(handler).map(|limit| limit(&Config::default()))
    {
        refusals.push(Refusal::RateLimited { count, per_seconds, wait: EXAMPLE_WAIT });
    }
    refusals
}

/// What the operations say that answer with a message.
fn message(handler: &str) -> Option<Message> {
    let message = match handler {
        "request_confirmation" => auth::CHECK_FOR_CONFIRMATION,
        "request_reset" => auth::CHECK_FOR_PASSWORD,
        "reset_password" => auth::PASSWORD_UPDATED,
        "restore_email" => email::RESTORED,
        "confirm_email" | "confirm_email_by_button" => email::CONFIRMED,
        _ => return None,
    };
    Some(Message::new(message))
}
