//! Shelves: what one client makes, changes and deletes in a storm at one API, and what he was told of it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{any, whole};
use crate::binary::Serving;
use crate::house::{Guest, answer, book, contact};

/// A kind of thing that an API keeps.
#[derive(Debug)]
pub struct Kind {
    /// Where all of them are; one is at this and its number.
    path: &'static str,
    paging: Paging,
    /// The field with the number.
    id: &'static str,
    change: &'static str,
    deleted: u16,
    /// What is sent to make one, or to change one into it.
    given: fn(&str) -> Value,
}

/// How a list goes on.
#[derive(Debug)]
enum Paging {
    Cursor,
    Number,
    Skip,
}

pub const KINDS: [Kind; 4] = [
    Kind {
        path: "/api/v1.0/books/",
        paging: Paging::Cursor,
        id: "uuid",
        change: "PATCH",
        deleted: 204,
        given: book,
    },
    Kind {
        path: "/items/",
        paging: Paging::Cursor,
        id: "id",
        change: "PATCH",
        deleted: 204,
        given: |name| json!({ "name": name, "category": "Pet", "price_usd": 19.99, "in_stock": true }),
    },
    Kind {
        path: "/v1/todos/",
        paging: Paging::Number,
        id: "id",
        change: "PATCH",
        deleted: 204,
        given: |name| json!({ "title": name, "description": name, "is_completed": !name.ends_with('0') }),
    },
    Kind {
        path: "/api/contacts/",
        paging: Paging::Skip,
        id: "id",
        change: "PUT",
        deleted: 200,
        given: contact,
    },
];

/// What was sent and not answered yet.
enum Deed {
    Make(Value),
    Change(String, Value),
    Delete(String),
}

/// A client with his shelf.
pub struct Shelf {
    kind: &'static Kind,
    guest: Guest,
    /// What the answers say is there, by its number.
    told: BTreeMap<String, Value>,
    pending: Option<Deed>,
    sent: u64,
    /// How many deeds were answered.
    pub answered: u64,
}

impl Shelf {
    pub fn new(kind: &'static Kind, guest: Guest) -> Self {
        Self { kind, guest, told: BTreeMap::new(), pending: None, sent: 0, answered: 0 }
    }

    /// Who it is that signs in again, since tokens do not last through many rounds.
    pub fn guest(&mut self) -> &mut Guest {
        &mut self.guest
    }

    /// Makes, changes and deletes until the server is gone.
    pub async fn storm(&mut self, serving: &Serving) {
        loop {
            self.sent += 1;
            let deed = self.any_deed();
            let (method, path, body, status) = match &deed {
                Deed::Make(body) => ("POST", self.kind.path.to_owned(), Some(body), 201),
                Deed::Change(id, body) => (self.kind.change, self.path(id), Some(body), 200),
                Deed::Delete(id) => ("DELETE", self.path(id), None, self.kind.deleted),
            };
            let request = serving.by(&self.guest, method, &path);
            let request = if let Some(body) = body { request.json(body) } else { request };
            let deed = self.pending.insert(deed);
            let Some(said) = whole(request, status).await else { return };
            match deed {
                Deed::Make(_) => self.told.insert(number(self.kind, &said), said),
                Deed::Change(id, _) => self.told.insert(id.clone(), said),
                Deed::Delete(id) => self.told.remove(id),
            };
            self.pending = None;
            self.answered += 1;
        }
    }

    fn any_deed(&self) -> Deed {
        let mut given = (self.kind.given)(&format!("{}-{}", self.guest.email, self.sent));
        let kept = self.told.len() as u64;
        let chance = any(10);
        if kept == 0 || chance < 5 {
            // A todo is open when it is made, whatever is sent.
            given.as_object_mut().unwrap().remove("is_completed");
            return Deed::Make(given);
        }
        let nth = usize::try_from(any(kept)).unwrap();
        let id = self.told.keys().nth(nth).unwrap().clone();
        if chance < 8 { Deed::Change(id, given) } else { Deed::Delete(id) }
    }

    fn path(&self, id: &str) -> String {
        format!("{}{id}", self.kind.path)
    }

    /// What was answered is there, as it was answered; what was not is there as a whole or not at all, and nothing else
    /// is.
    pub async fn check(&mut self, serving: &Serving, round: u64) {
        let kept = self.list(serving).await;
        let unheard = |id: &str| kept.get(id).filter(|now| self.told.get(id) != Some(now));
        let mut expected = self.told.clone();
        match self.pending.take() {
            Some(Deed::Make(given)) => {
                let made = kept.iter().find(|(id, _)| !self.told.contains_key(*id));
                if let Some((id, made)) = made {
                    self.assert_shows(made, &given);
                    expected.insert(id.clone(), made.clone());
                }
            }
            Some(Deed::Change(id, given)) => {
                if let Some(changed) = unheard(&id) {
                    self.assert_shows(changed, &given);
                    expected.insert(id, changed.clone());
                }
            }
            Some(Deed::Delete(id)) if !kept.contains_key(&id) => {
                expected.remove(&id);
            }
            Some(Deed::Delete(_)) | None => {}
        }
        assert_eq!(kept, expected, "round {round}: {}", self.kind.path);
        self.told = kept;
    }

    /// Everything of the client's, by its number.
    async fn list(&self, serving: &Serving) -> BTreeMap<String, Value> {
        let (mut own, mut cursor) = (BTreeMap::new(), String::new());
        for page in 0.. {
            let query = match self.kind.paging {
                Paging::Cursor => format!("limit=1000{cursor}"),
                Paging::Number => format!("page_size=100&page={}", page + 1),
                Paging::Skip => format!("limit=1000&skip={}", page * 1000),
            };
            let found = answer(serving.by(&self.guest, "GET", &format!("{}?{query}", self.kind.path))).await;
            assert_eq!(found.status, 200, "{}", found.text);
            let things: Vec<&Value> = match &found.body {
                Value::Array(things) => things.iter().collect(),
                whole => match whole["todos"].as_array() {
                    Some(todos) => todos.iter().collect(),
                    None => whole.as_object().unwrap().values().collect(),
                },
            };
            let own_things = things.iter().filter(|thing| self.is_own(thing));
            own.extend(own_things.map(|thing| (number(self.kind, thing), (*thing).clone())));
            let is_last = match self.kind.paging {
                Paging::Cursor => found.header("link").is_empty(),
                Paging::Number | Paging::Skip => things.is_empty(),
            };
            if is_last {
                let total = found.body["total"].as_u64();
                assert!(total.is_none_or(|total| total == own.len() as u64), "{total:?} of {}", own.len());
                break;
            }
            if let Some((_, next)) = found.header("link").split_once("cursor=") {
                cursor = format!("&cursor={}", next.split('>').next().unwrap());
            }
        }
        own
    }

    /// The lists of books and of items are everybody's.
    fn is_own(&self, thing: &Value) -> bool {
        let name = ["title", "name", "fullname"].iter().find_map(|field| thing[field].as_str());
        name.unwrap().starts_with(&format!("{}-", self.guest.email))
    }

    fn assert_shows(&self, thing: &Value, given: &Value) {
        // A client may send these, and nobody reads them.
        let read = given
            .as_object()
            .unwrap()
            .iter()
            .filter(|(field, _)| !matches!(field.as_str(), "user_id" | "avatar"));
        for (field, value) in read {
            assert_eq!(thing[field], *value, "{}: {field} of {thing}", self.kind.path);
        }
    }
}

fn number(kind: &Kind, thing: &Value) -> String {
    match &thing[kind.id] {
        Value::String(id) => id.clone(),
        id => id.as_u64().expect("it has a number").to_string(),
    }
}
