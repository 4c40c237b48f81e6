//! identity: accounts, balances and blocking under `/auth`, `/users` and `/admin`, in the words its clients know.

mod admin;
mod auth;
mod users;

use salvo::Router;
use salvo::http::StatusCode;
use salvo::oapi::{RefOr, Schema};
use serde_json::json;

use super::Api;
use crate::clock::Timestamp;
use crate::domain::users::{Role, User};
use crate::error::{Act, Refusal, UserKey};
use crate::http::answer::{Message, Voice, Words, detail};
use crate::http::input::schema;
use crate::http::resource::at;

/// The API as the table of APIs lists it.
pub static API: Api = Api {
    name: "identity",
    description: "Accounts, balances and blocking. Its clients keep one refresh token, which is valid more than once.",
    tags: &[
        (TAG_AUTH, "Register, sign in, get new tokens, sign out, change the password."),
        (TAG_USERS, "The user's own profile and balance."),
        (TAG_ADMIN, "The list of users and blocking, for administrators. Other users get 404."),
    ],
    voices: &[
        Voice { prefixes: &["/auth"], words: auth_words, envelope: detail, page: None },
        Voice { prefixes: &["/users", "/admin"], words, envelope: detail, page: None },
    ],
    routes,
    aliases: &[],
    refusals,
    message,
    error_schema: |_| None,
};

const TAG_AUTH: &str = "identity-auth";
const TAG_USERS: &str = "identity-users";
const TAG_ADMIN: &str = "identity-admin";

/// Where this API says it otherwise than the house.
fn words(refusal: &Refusal) -> Option<Words> {
    let (status, sentence) = match refusal {
        Refusal::EmailTaken(..) => (StatusCode::BAD_REQUEST, "A user with this email already exists"),
        Refusal::RefreshInvalid => (StatusCode::UNAUTHORIZED, "Invalid refresh token"),
        Refusal::RefreshWrongKind | Refusal::RefreshExpired | Refusal::RefreshRevoked => {
            (StatusCode::UNAUTHORIZED, "Refresh token is invalid or expired")
        }
        Refusal::WrongPassword => (StatusCode::UNAUTHORIZED, "Old password is incorrect"),
        // To whoever may not know them these routes are not there.
        Refusal::AdminRequired => (StatusCode::NOT_FOUND, "Not found"),
        Refusal::UserNotFound(_) => (StatusCode::NOT_FOUND, "User not found"),
        _ => return None,
    };
    Some((status, sentence.into()))
}

/// The same under `/auth`, where a token is spoken of in other words.
fn auth_words(refusal: &Refusal) -> Option<Words> {
    match refusal {
        Refusal::TokenInvalid | Refusal::TokenExpired | Refusal::TokenRevoked | Refusal::TokenOfInactive => {
            Some((StatusCode::UNAUTHORIZED, "Token is invalid or expired".into()))
        }
        _ => words(refusal),
    }
}

fn routes() -> Vec<Router> {
    let auth = Router::with_path("auth")
        .push(at("register").post(auth::register).into())
        .push(at("login").post(auth::login).into())
        .push(at("me").get(auth::get_own_id).into())
        .push(at("refresh").post(auth::refresh).into())
        .push(at("logout").post(auth::logout).into())
        .push(at("change-password").post(auth::change_password).into());
    let users = Router::with_path("users")
        .push(at("/").get(admin::list_users).into())
        .push(at("me").get(users::me).delete(users::delete_me).into())
        .push(at("profile").get(users::get_profile).put(users::update_profile).into())
        .push(at("balance").get(users::get_balance).put(users::add_to_balance).into())
        .push(at("deleted").get(admin::list_deleted_users).into());
    let admin = Router::with_path("admin")
        .push(at("check").get(admin::check_admin).into())
        .push(at("block/{user_id}").post(admin::block_user).into())
        .push(at("unblock/{user_id}").post(admin::unblock_user).into());
    vec![users, auth, admin]
}

/// What each operation may be refused with, besides what its arguments imply.
fn refusals(handler: &str) -> Vec<Refusal> {
    let nobody = Refusal::UserNotFound(UserKey::Id(1));
    match handler {
        "register" => super::example_sign_up_refusals(&super::example_taken(Act::Create)[..1]),
        "login" => super::example_sign_in_refusals(),
        "refresh" => vec![Refusal::RefreshWrongKind, Refusal::RefreshInvalid],
        "change_password" => {
            let mut refusals = super::example_sign_in_refusals();
            refusals[0] = Refusal::WrongPassword;
            refusals
        }
        "get_profile" => vec![Refusal::ProfileIncomplete],
        "update_profile" => vec![Refusal::ProfileRefused],
        "add_to_balance" => vec![Refusal::BalanceRefused, Refusal::AdminHasNoBalance],
        "delete_me" => vec![Refusal::AdminDeletesHimself],
        "list_users" | "list_deleted_users" | "check_admin" => vec![Refusal::AdminRequired],
        "block_user" => {
            vec![Refusal::AdminRequired, nobody, Refusal::OwnBlock, Refusal::LastAdmin]
        }
        "unblock_user" => vec![Refusal::AdminRequired, nobody],
        _ => Vec::new(),
    }
}

/// What the operations say that answer with a message.
fn message(handler: &str) -> Option<Message> {
    match handler {
        "logout" => Some(Message::new(auth::LOGGED_OUT)),
        "change_password" => Some(Message::new(auth::PASSWORD_UPDATED)),
        "delete_me" => Some(Message::new(users::DELETED)),
        "check_admin" => Some(admin::welcome(super::EXAMPLE_EMAIL)),
        "block_user" => Some(admin::blocked(1, true)),
        "unblock_user" => Some(admin::blocked(1, false)),
        _ => None,
    }
}

/// What this API calls the roles: a moderator is a user here.
fn role_word(role: Role) -> &'static str {
    if role == Role::Admin { Role::Admin.word() } else { Role::User.word() }
}

fn shown_role() -> RefOr<Schema> {
    let about = "What a user may do here: an `admin` lists and blocks users. A moderator of the other APIs is a `user`.";
    let words = [Role::Admin, Role::User].map(Role::word);
    schema(json!({
        "title": "IdentityRole", "$comment": about, "type": "string", "enum": words, "examples": ["user"],
    }))
}

/// When something of a user was last changed, if anything was.
fn changed_at(user: &User) -> Option<String> {
    moment(Some(user.updated_at).filter(|at| *at != user.created_at))
}

/// When a user was last there: at the creation, unless later.
fn active_at(user: &User) -> Option<String> {
    moment(Some(user.last_activity_at.unwrap_or(user.created_at)))
}

/// A moment of a user's, if there was one.
fn moment(at: Option<Timestamp>) -> Option<String> {
    at.map(Timestamp::utc)
}

/// Whether a user has both names.
fn is_complete(user: &User) -> bool {
    user.first_name.is_some() && user.last_name.is_some()
}
