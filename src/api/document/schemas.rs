//! The names of the document's schemas: plain ones, each of them once.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::api::{APIS, Api};

/// A reference to a schema by its plain name.
pub fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// What an API's own schema is called: `BookshelfBook`.
pub fn name_in(api: &Api, name: &str) -> String {
    let (first, rest) = api.name.split_at(1);
    format!("{}{rest}{name}", first.to_ascii_uppercase())
}

/// Calls `satchel.api.bookshelf.users.UserOut` `BookshelfUser`, and what belongs to no API by its last name alone;
/// gives lists of words that have a name a place of their own; and writes what stands beside a reference as it is
/// read most easily.
///
/// # Panics
/// When two wire types of one API have the same name, or two lists of words.
pub fn give_plain_names(document: &mut Value) {
    let Some(schemas) = document["components"]["schemas"].as_object_mut() else { return };
    let plain: BTreeMap<String, String> =
        schemas.keys().map(|long| (long.clone(), plain_name(long))).collect();
    let count = schemas.len();
    *schemas = std::mem::take(schemas)
        .into_iter()
        .map(|(long, schema)| (plain.get(&long).cloned().unwrap_or(long), schema))
        .collect();
    assert_eq!(schemas.len(), count, "two wire types of one API have the same name");
    let mut lists = Map::new();
    tidy(document, &plain, &mut lists);
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        assert!(lists.keys().all(|name| !schemas.contains_key(name)), "a list of words has a type's name");
        schemas.extend(lists);
    }
}

fn plain_name(long: &str) -> String {
    let last = long.rsplit('.').next().unwrap_or(long);
    let name = last.strip_suffix("Out").unwrap_or(last);
    let api_of = |part| APIS.iter().find(|api| api.name == part);
    long.split('.').find_map(api_of).map_or_else(|| name.to_owned(), |api| name_in(api, name))
}

fn tidy(value: &mut Value, plain: &BTreeMap<String, String>, lists: &mut Map<String, Value>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| tidy(item, plain, lists)),
        Value::Object(fields) => {
            if let Some(Value::String(target)) = fields.get_mut("$ref")
                && let Some((room, long)) = target.rsplit_once('/')
                && let Some(name) = plain.get(long)
            {
                *target = format!("{room}/{name}");
            }
            // A description is wrapped around a reference; since 2020-12 it may stand beside one.
            if let Some(Value::Array(parts)) = fields.get_mut("allOf")
                && let [_, Value::Object(more)] = parts.as_slice()
                && more.keys().all(|keyword| keyword == "description")
            {
                let mut parts = std::mem::take(parts);
                fields.shift_remove("allOf");
                parts.drain(..).filter_map(object).for_each(|part| fields.extend(part));
            }
            move_list(fields, lists);
            fields.values_mut().for_each(|field| tidy(field, plain, lists));
        }
        _ => {}
    }
}

fn object(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(fields) => Some(fields),
        _ => None,
    }
}

/// Moves a list of words with a name to the schemas, and leaves a reference with what belongs to the field.
fn move_list(fields: &mut Map<String, Value>, lists: &mut Map<String, Value>) {
    let (Some(Value::String(name)), true) = (fields.get("title"), fields.contains_key("enum")) else {
        return;
    };
    let name = name.clone();
    let list = json!({
        "type": fields["type"], "enum": fields["enum"],
        "description": fields["$comment"], "examples": fields["examples"],
    });
    let known = lists.entry(name.clone()).or_insert_with(|| list.clone());
    assert_eq!(*known, list, "two lists of words are called {name}");
    for keyword in ["title", "$comment", "type", "enum", "examples"] {
        fields.shift_remove(keyword);
    }
    fields.extend(object(reference(&name)).unwrap_or_default());
}
