//! bookshelf: users, roles and books under `/api/v1.0`, in the words its clients know.

mod admin;
mod auth;
mod books;
mod users;

use salvo::Router;
use salvo::http::StatusCode;

use super::Api;
use crate::error::{Act, Refusal, UserKey};
use crate::http::answer::{Message, Voice, Words, detail};
use crate::http::resource::at;

/// The API as the table of APIs lists it.
pub static API: Api = Api {
    name: "bookshelf",
    description: "Users, roles and books. Users sign in with a form, and keep books that everybody may read.",
    tags: &[
        (TAG_AUTH, "Register, sign in, get new tokens, sign out."),
        (TAG_USERS, "The user's own profile, and the directory of users."),
        (TAG_BOOKS, "Books. Everybody may read them; owners and moderators change them."),
        (TAG_ADMIN, "Users of any role, for administrators."),
    ],
    voices: &[Voice { prefixes: &["/api/v1.0"], words, envelope: detail, page: None }],
    routes,
    aliases: &["/api/v1.0/admin/users"],
    refusals,
    message,
    error_schema: |_| None,
};

const TAG_AUTH: &str = "bookshelf-auth";
const TAG_USERS: &str = "bookshelf-users";
const TAG_ADMIN: &str = "bookshelf-admin";
const TAG_BOOKS: &str = "bookshelf-books";

/// Where this API says it otherwise than the house.
fn words(refusal: &Refusal) -> Option<Words> {
    let (status, sentence) = match refusal {
        Refusal::WrongCredentials => (StatusCode::UNAUTHORIZED, "Invalid email or password"),
        Refusal::TokenRevoked | Refusal::TokenOfInactive => {
            (StatusCode::UNAUTHORIZED, "Token has been revoked")
        }
        Refusal::EmailTaken(..) => (StatusCode::BAD_REQUEST, "Email already registered"),
        Refusal::UsernameTaken(_) => (StatusCode::BAD_REQUEST, "Username already taken"),
        _ => return None,
    };
    Some((status, sentence.into()))
}

fn routes() -> Vec<Router> {
    let admin = |path: &str, create: &str| {
        Router::with_path(path)
            .push(at(create).post(admin::admin_create_user).into())
            .push(at("{user_uuid}").patch(admin::admin_update_user).delete(admin::admin_delete_user).into())
            .push(at("{user_uuid}/role").patch(admin::admin_set_role).into())
            .push(at("{user_uuid}/activate").patch(admin::admin_set_active).into())
    };
    let auth = Router::with_path("auth")
        .push(at("register").post(auth::register).into())
        .push(at("login").post(auth::login).into())
        .push(at("refresh").post(auth::refresh).into())
        .push(at("logout").post(auth::logout).into())
        .push(at("logout-all").post(auth::logout_all).into());
    let users = Router::with_path("users")
        .push(at("me").get(users::me).into())
        .push(at("change-password").post(users::change_password).into())
        .push(at("/").get(users::list_users).into())
        .push(at("email/{email}").get(users::get_user_by_email).into())
        .push(admin("admin", "create"))
        .push(
            at("{user_uuid}")
                .get(users::get_user)
                .patch(users::update_user)
                .delete(users::delete_user)
                .into(),
        );
    let books = Router::with_path("books")
        .push(at("/").get(books::list_books).post(books::create_book).into())
        .push(at("my-books").get(books::list_own_books).into())
        .push(
            at("{book_uuid}")
                .get(books::get_book)
                .patch(books::update_book)
                .delete(books::delete_book)
                .into(),
        );
    // A request tries the branches one after the other: the busiest stand first, and no branch repeats another.
    let api =
        Router::with_path("api/v1.0").push(books).push(users).push(auth).push(admin("admin/users", "/"));
    vec![api]
}

/// What each operation may be refused with, besides what its arguments imply.
fn refusals(handler: &str) -> Vec<Refusal> {
    let user = super::EXAMPLE_ID;
    let no_user = Refusal::UserNotFound(UserKey::Uuid(user));
    let taken = super::example_taken(Act::Create);
    let shut_out = [Refusal::UserInactive, Refusal::UserBlocked, Refusal::UserDeleted];
    match handler {
        "register" => super::example_sign_up_refusals(&taken),
        "login" => super::example_sign_in_refusals(),
        "refresh" => [
            &[Refusal::RefreshInvalid, Refusal::RefreshWrongKind, Refusal::RefreshRevoked][..],
            &[Refusal::EmailUnconfirmed],
            &shut_out,
        ]
        .concat(),
        "change_password" => {
            vec![Refusal::WrongPassword, Refusal::TooManyAttempts(super::EXAMPLE_WAIT)]
        }
        "list_users" => vec![Refusal::NotAuthenticated, Refusal::AdminRequired],
        "get_user" => vec![Refusal::NotAuthenticated, Refusal::AdminRequired, no_user],
        "get_user_by_email" => vec![
            Refusal::NotAuthenticated,
            Refusal::AdminRequired,
            Refusal::UserNotFound(UserKey::Email(super::EXAMPLE_EMAIL.into())),
        ],
        "update_user" => [
            &[no_user, Refusal::NotYourself(Act::Update), Refusal::LastAdmin][..],
            &super::example_change_refusals(),
        ]
        .concat(),
        "delete_user" => vec![no_user, Refusal::NotYourself(Act::Delete), Refusal::LastAdmin],
        "admin_create_user" => [&[Refusal::AdminRequired][..], &taken].concat(),
        "admin_update_user" => {
            [&[Refusal::AdminRequired, no_user, Refusal::LastAdmin][..], &super::example_change_refusals()]
                .concat()
        }
        "admin_delete_user" | "admin_set_role" | "admin_set_active" => {
            vec![Refusal::AdminRequired, no_user, Refusal::LastAdmin]
        }
        "get_book" => vec![Refusal::BookNotFound(user)],
        "create_book" => vec![Refusal::QuotaExceeded],
        "update_book" => {
            vec![Refusal::BookNotFound(user), Refusal::NotYourBook(Act::Update), Refusal::QuotaExceeded]
        }
        "delete_book" => vec![Refusal::BookNotFound(user), Refusal::NotYourBook(Act::Delete)],
        _ => Vec::new(),
    }
}

/// What the operations say that answer with a message.
fn message(handler: &str) -> Option<Message> {
    match handler {
        "logout" => Some(Message::new(auth::LOGGED_OUT)),
        "logout_all" => Some(Message::new(auth::LOGGED_OUT_EVERYWHERE)),
        "change_password" => Some(Message::new(users::PASSWORD_CHANGED)),
        "delete_user" | "admin_delete_user" => Some(users::deleted(super::EXAMPLE_ID)),
        _ => None,
    }
}
