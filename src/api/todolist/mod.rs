//! todolist: users and their todos under `/v1`, in the words and the envelope its clients know.

mod auth;
mod health;
mod todos;
mod users;

use salvo::Router;
use salvo::http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

use super::Api;
use crate::error::{Act, Refusal, UserKey};
use crate::http::answer::{No, Voice, Why, Words, json_bytes};
use crate::http::input::{Fields, Input};
use crate::http::resource::at;
use crate::http::rules::{Rule, integer};

/// The API as the table of APIs lists it.
pub static API: Api = Api {
    name: "todolist",
    description: "Users and their todos, which nobody else sees. Users sign in with JSON, by username or e-mail \
                  address. Refusals have a form of their own, with the request's id.",
    tags: &[
        (TAG_AUTH, "Register, sign in, sign out."),
        (TAG_USERS, "The directory of users, and changes of a user."),
        (TAG_TODOS, "The user's own todos."),
        (TAG_HEALTH, "Whether the server and its database are well."),
    ],
    voices: &[Voice { prefixes: &["/v1"], words, envelope, page: None }],
    routes,
    aliases: &[],
    refusals,
    message: |_| None,
    error_schema: |_| Some(("ErrorResponse", error_schema())),
};

const TAG_HEALTH: &str = "todolist-health";
const TAG_AUTH: &str = "todolist-auth";
const TAG_USERS: &str = "todolist-users";
const TAG_TODOS: &str = "todolist-todos";

/// Where this API says it otherwise than the house.
fn words(refusal: &Refusal) -> Option<Words> {
    let verb = |act| match act {
        Act::Create | Act::Read => "access",
        Act::Update => "modify",
        Act::Delete => "delete",
    };
    let (status, sentence) = match refusal {
        Refusal::TokenInvalid | Refusal::TokenRevoked => {
            (StatusCode::UNAUTHORIZED, "Invalid authentication token".into())
        }
        Refusal::TokenExpired => (StatusCode::UNAUTHORIZED, "Token has expired".into()),
        Refusal::TokenOfInactive | Refusal::UserInactive => {
            (StatusCode::UNAUTHORIZED, "User account is inactive".into())
        }
        Refusal::WrongCredentials => (StatusCode::UNAUTHORIZED, "Incorrect username or password".into()),
        Refusal::EmailTaken(Act::Create, email) => {
            (StatusCode::CONFLICT, format!("User with email '{email}' already exists").into())
        }
        Refusal::EmailTaken(_, email) => {
            (StatusCode::CONFLICT, format!("Email '{email}' is already in use").into())
        }
        Refusal::UsernameTaken(name) => {
            (StatusCode::CONFLICT, format!("Username '{name}' is already taken").into())
        }
        Refusal::UserNotFound(UserKey::Id(id)) => {
            (StatusCode::NOT_FOUND, format!("User with ID {id} not found").into())
        }
        Refusal::NotYourself(act) => {
            (StatusCode::FORBIDDEN, format!("You don't have permission to {} this user", verb(*act)).into())
        }
        Refusal::TodoNotFound(id) => (StatusCode::NOT_FOUND, format!("Todo with ID {id} not found").into()),
        Refusal::NotYourTodo(act) => {
            (StatusCode::FORBIDDEN, format!("You don't have permission to {} this todo", verb(*act)).into())
        }
        _ => return None,
    };
    Some((status, sentence))
}

/// What a refusal, a fault or a 422 is wrapped in.
#[derive(Serialize)]
struct Envelope<'a> {
    error: ErrorOut<'a>,
    request_id: &'a str,
}

#[derive(Serialize)]
struct ErrorOut<'a> {
    status_code: u16,
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details<'a>>,
}

#[derive(Serialize)]
struct Details<'a> {
    validation_errors: Vec<FieldError<'a>>,
}

#[derive(Serialize)]
struct FieldError<'a> {
    field: String,
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
}

fn envelope(no: &No<'_>) -> Vec<u8> {
    let (message, details) = match no.why {
        Why::Sentence(sentence) => (sentence, None),
        Why::Invalid(faults) => {
            let validation_errors = faults.iter().map(|fault| FieldError {
                field: fault.loc.iter().map(ToString::to_string).collect::<Vec<_>>().join("."),
                message: &fault.msg,
                kind: &fault.kind,
            });
            let details = Details { validation_errors: validation_errors.collect() };
            ("Request validation failed", Some(details))
        }
    };
    let kind = if no.status.is_server_error() { "server_error" } else { "client_error" };
    let error = ErrorOut { status_code: no.status.as_u16(), message, kind, details };
    json_bytes(&Envelope { error, request_id: no.request_id })
}

/// The envelope as the document describes it.
fn error_schema() -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    json!({
        "type": "object", "required": ["error", "request_id"],
        "description": "Why the request was refused.",
        "properties": {
            "error": {
                "type": "object", "required": ["status_code", "message", "type"],
                "description": "The refusal itself.",
                "properties": {
                    "status_code": { "type": "integer", "description": "The HTTP status, once more." },
                    "message": text("The reason, in one sentence."),
                    "type": {
                        "type": "string", "enum": ["client_error", "server_error"],
                        "description": "Who can mend it: the sender of the request (`client_error`) or the operator of the server.",
                    },
                    "details": {
                        "type": "object", "required": ["validation_errors"],
                        "description": "Only for a malformed request: all its faults.",
                        "properties": { "validation_errors": {
                            "type": "array", "description": "One entry for each fault.", "items": {
                            "type": "object", "required": ["field", "message", "type"],
                            "description": "One fault of the request.",
                            "properties": {
                                "field": text("The place of the fault: `path`, `query` or `body`, then the field."),
                                "message": text("What is wrong, for people."),
                                "type": text("The kind of fault, for programs: `missing`, `string_too_long` …"),
                            },
                        } } },
                    },
                },
            },
            "request_id": text("The same id as in the header `X-Request-ID`."),
        },
    })
}

fn routes() -> Vec<Router> {
    let todos =
        Router::with_path("todos").push(at("/").get(todos::list_todos).post(todos::create_todo).into()).push(
            at("{todo_id}").get(todos::get_todo).patch(todos::update_todo).delete(todos::delete_todo).into(),
        );
    let users =
        Router::with_path("users").push(at("/").get(users::list_users).post(users::create_user).into()).push(
            at("{user_id}").get(users::get_user).patch(users::update_user).delete(users::delete_user).into(),
        );
    let auth = Router::with_path("auth")
        .push(at("register").post(auth::register).into())
        .push(at("login").post(auth::login).into())
        .push(at("me").get(auth::me).into())
        .push(at("logout").post(auth::logout).into());
    let health = at("health").get(health::get_health);
    vec![Router::with_path("v1").push(todos).push(users).push(auth).push(health.into())]
}

/// What each operation may be refused with, besides what its arguments imply.
fn refusals(handler: &str) -> Vec<Refusal> {
    let no_user = Refusal::UserNotFound(UserKey::Id(1));
    let no_todo = Refusal::TodoNotFound(1);
    let browsing = [Refusal::NotAuthenticated, Refusal::AdminRequired];
    let state = [Refusal::TokenExpired, Refusal::TokenOfInactive];
    let others = match handler {
        "register" | "create_user" => {
            return super::example_sign_up_refusals(&super::example_taken(Act::Create));
        }
        "login" => return super::example_sign_in_refusals(),
        "list_users" => return browsing.to_vec(),
        "get_user" => return [&browsing[..], &[no_user]].concat(),
        "get_health" => return Vec::new(),
        "update_user" => [
            &[no_user, Refusal::NotYourself(Act::Update), Refusal::LastAdmin][..],
            &super::example_change_refusals(),
        ]
        .concat(),
        "delete_user" => vec![no_user, Refusal::NotYourself(Act::Delete), Refusal::LastAdmin],
        "get_todo" => vec![no_todo, Refusal::NotYourTodo(Act::Read)],
        "create_todo" => vec![Refusal::QuotaExceeded],
        "update_todo" => vec![no_todo, Refusal::NotYourTodo(Act::Update), Refusal::QuotaExceeded],
        "delete_todo" => vec![no_todo, Refusal::NotYourTodo(Act::Delete)],
        _ => Vec::new(),
    };
    [&others[..], &state].concat()
}

/// Which part of a list: pages of a size, counted from 1.
#[derive(Debug)]
struct NumberedPage {
    page: i64,
    page_size: i64,
}

impl NumberedPage {
    /// How many entries lie before the page.
    fn offset(&self) -> i64 {
        (self.page - 1).saturating_mul(self.page_size)
    }

    /// How many entries reading the page may touch.
    fn reach(&self) -> i64 {
        self.offset().saturating_add(self.page_size)
    }
}

impl Input for NumberedPage {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let page =
            fields.or("page", integer(1, i64::MAX, 1).about("The number of the page, counted from 1."), 1);
        let page_size =
            fields.or("page_size", integer(1, 100, 10).about("How many entries a page has at most."), 10);
        Some(Self { page: page?, page_size: page_size? })
    }
}
