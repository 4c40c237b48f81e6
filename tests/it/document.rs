//! How the OpenAPI document is written: for those who generate clients from it, and for those who read it.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::house::document;

const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/openapi.json");

/// Every operation of the document, with its method and its path.
fn operations() -> impl Iterator<Item = (String, &'static Map<String, Value>)> {
    let paths = document()["paths"].as_object().unwrap();
    paths.iter().flat_map(|(path, item)| {
        item.as_object().unwrap().iter().map(move |(method, operation)| {
            (format!("{} {path}", method.to_uppercase()), operation.as_object().unwrap())
        })
    })
}

fn schemas() -> &'static Map<String, Value> {
    document()["components"]["schemas"].as_object().unwrap()
}

#[test]
fn the_operations_are_on_the_server_that_the_document_comes_from() {
    assert_eq!(document()["servers"][0]["url"], "/");
}

#[test]
fn the_document_that_is_kept_is_the_one_that_the_code_makes() {
    let kept = std::fs::read_to_string(KEPT).unwrap_or_default();
    let told = serde_json::to_string_pretty(document()).unwrap() + "\n";
    if kept == told {
        return;
    }
    let mut found = Vec::new();
    differences("", &serde_json::from_str(&kept).unwrap_or_default(), document(), &mut found);
    let count = found.len();
    found.truncate(60);
    panic!(
        "assets/openapi.json differs from the document in {count} places. If that is meant, keep the new one:\n\n    \
         cargo run -- openapi > assets/openapi.json\n\n{}\n",
        found.join("\n")
    );
}

/// Gathers what is gone (`-`), what is new (`+`) and what stands in another order (`~`).
fn differences(at: &str, kept: &Value, told: &Value, found: &mut Vec<String>) {
    let shown = |value: &Value| value.to_string().chars().take(160).collect::<String>();
    match (kept, told) {
        (Value::Object(kept), Value::Object(told)) => {
            for (name, value) in kept {
                let at = format!("{at} › {name}");
                match told.get(name) {
                    Some(now) => differences(&at, value, now, found),
                    None => found.push(format!("-{at}: {}", shown(value))),
                }
            }
            let new = told.iter().filter(|(name, _)| !kept.contains_key(*name));
            found.extend(new.map(|(name, value)| format!("+{at} › {name}: {}", shown(value))));
            let names = |object: &Map<String, Value>, other: &Map<String, Value>| {
                object.keys().filter(|name| other.contains_key(*name)).cloned().collect::<Vec<_>>().join(", ")
            };
            if names(kept, told) != names(told, kept) {
                found.push(format!("~{at}: {} were {}", names(told, kept), names(kept, told)));
            }
        }
        (Value::Array(kept), Value::Array(told)) if kept.len() == told.len() => {
            for (number, (kept, told)) in kept.iter().zip(told).enumerate() {
                differences(&format!("{at} › {number}"), kept, told, found);
            }
        }
        _ if kept == told => {}
        _ => found.extend([format!("-{at}: {}", shown(kept)), format!("+{at}: {}", shown(told))]),
    }
}

#[test]
fn the_difference_between_two_documents_is_told_by_its_places() {
    let kept = json!({ "paths": { "/a": { "get": 1 }, "/b": 2 }, "tags": ["x", "y"], "same": 0 });
    let told = json!({ "tags": ["x", "z"], "paths": { "/a": { "post": 1 }, "/b": 2 }, "same": 0 });
    let mut found = Vec::new();
    differences("", &kept, &told, &mut found);
    let expected = [
        "- › paths › /a › get: 1",
        "+ › paths › /a › post: 1",
        "- › tags › 1: \"y\"",
        "+ › tags › 1: \"z\"",
        "~: tags, paths, same were paths, tags, same",
    ];
    assert_eq!(found, expected);
}

/// A generator makes one function of an operation, with one type for its body.
#[test]
fn every_body_is_told_in_one_media_type() {
    for (place, operation) in operations() {
        if let Some(body) = operation.get("requestBody") {
            assert_eq!(body["content"].as_object().unwrap().len(), 1, "{place}");
        }
    }
}

/// A name with a dot is a module to some generators; two lists of the same words are two types to all of them.
#[test]
fn schemas_have_plain_names_and_every_list_of_words_has_its_own() {
    for name in schemas().keys() {
        let is_plain = name.starts_with(|first: char| first.is_ascii_uppercase())
            && name.chars().all(|letter| letter.is_ascii_alphanumeric());
        assert!(is_plain, "{name}");
    }
    for name in
        ["BookshelfBook", "BookshelfUser", "Category", "IdentityUser", "Priority", "Role", "TodolistTodo"]
    {
        assert!(schemas().contains_key(name), "{name}");
    }
    let mut lists = BTreeSet::new();
    walk(document(), &mut |_, value| {
        if let (Some(Value::Array(words)), Some(_)) = (value.get("enum"), value.get("type")) {
            let words: Vec<String> = words.iter().map(Value::to_string).collect();
            assert!(lists.insert(words.clone()), "{words:?} are listed twice");
        }
    });
    assert!(lists.len() >= 4, "{lists:?}");
}

#[test]
fn no_field_that_may_be_left_out_of_a_change_has_a_default() {
    for (name, schema) in schemas().iter().filter(|(name, _)| name.ends_with("Update")) {
        for (field, told) in schema["properties"].as_object().unwrap() {
            assert!(told.get("default").is_none(), "{name} {field}");
        }
    }
}

#[test]
fn an_operation_is_called_by_its_api_and_one_thing_alike_in_all_of_them() {
    let groups = document()["x-tagGroups"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    for (place, operation) in operations() {
        let id = operation["operationId"].as_str().unwrap();
        let tag = operation["tags"][0].as_str().unwrap();
        let group =
            groups.iter().find(|group| group["tags"].as_array().unwrap().contains(&json!(tag))).unwrap();
        let name = group["name"].as_str().unwrap();
        assert!(id.starts_with(&format!("{name}_")), "{place}: {id}");
        ids.insert(id);
    }
    for api in ["bookshelf", "store", "todolist", "identity", "contactbook"] {
        for handler in ["register", "login"] {
            assert!(ids.contains(&*format!("{api}_{handler}")), "{api}_{handler}");
        }
    }
    for id in ["bookshelf_me", "todolist_me", "identity_me", "bookshelf_refresh", "contactbook_refresh"] {
        assert!(ids.contains(id), "{id}");
    }
}

#[test]
fn every_operation_says_who_may_ask() {
    let mut public = 0;
    for (place, operation) in operations() {
        let ways = operation["security"].as_array().unwrap_or_else(|| panic!("{place} says nothing"));
        public += usize::from(ways.is_empty());
        let may_401 = operation["responses"].get("401").is_some();
        assert!(ways.is_empty() || ways.contains(&json!({})) || may_401, "{place}");
        // Wherever a token does, a sign-in does.
        let does = |way: &str| ways.iter().any(|known| known.get(way).is_some());
        assert_eq!(does("bearer"), does("bookshelf_login"), "{place}");
    }
    assert!(public >= 20, "{public}");
}

#[test]
fn every_password_flow_leads_to_a_log_in_that_takes_a_form() {
    let mut count = 0;
    for (name, scheme) in document()["components"]["securitySchemes"].as_object().unwrap() {
        let Some(flow) = scheme.pointer("/flows/password") else { continue };
        let path = flow["tokenUrl"].as_str().unwrap();
        let login = &document()["paths"][path]["post"];
        assert_eq!(login["operationId"], *name);
        assert!(login["requestBody"]["content"].get("application/x-www-form-urlencoded").is_some(), "{path}");
        count += 1;
    }
    assert_eq!(count, 4, "todolist alone takes no form");
}

#[test]
fn an_operation_under_a_second_path_is_deprecated() {
    for (place, operation) in operations() {
        let is_alias = operation["operationId"].as_str().unwrap().ends_with("_alias");
        assert_eq!(operation.get("deprecated").is_some(), is_alias, "{place}");
    }
}

#[test]
fn the_operations_stand_in_the_order_of_a_story() {
    let ids: Vec<&str> =
        operations().map(|(_, operation)| operation["operationId"].as_str().unwrap()).collect();
    let at = |id: &str| ids.iter().position(|known| *known == id).unwrap_or_else(|| panic!("no {id}"));
    for story in [
        &["bookshelf_register", "bookshelf_login", "bookshelf_refresh", "bookshelf_logout", "bookshelf_me"][..],
        &["bookshelf_me", "bookshelf_list_users", "bookshelf_list_books", "bookshelf_admin_create_user"],
        &["store_register", "store_login", "store_logout", "store_list_items", "store_get_item"],
        &["todolist_register", "todolist_login", "todolist_me", "todolist_list_todos", "todolist_get_health"],
        &[
            "identity_register",
            "identity_login",
            "identity_me",
            "identity_get_balance",
            "identity_list_users",
        ],
        &["contactbook_register", "contactbook_login", "contactbook_refresh", "contactbook_list_contacts"],
        &[
            "bookshelf_register",
            "store_register",
            "todolist_register",
            "identity_register",
            "server_get_health",
        ],
    ] {
        assert!(story.windows(2).all(|pair| at(pair[0]) < at(pair[1])), "{story:?} in {ids:?}");
    }
}

#[test]
fn a_tag_is_shown_without_the_name_of_its_group() {
    let tags = document()["tags"].as_array().unwrap();
    for group in document()["x-tagGroups"].as_array().unwrap() {
        let name = group["name"].as_str().unwrap();
        for tag in group["tags"].as_array().unwrap() {
            let told = tags.iter().find(|known| known["name"] == *tag).unwrap();
            let shown = told["x-displayName"].as_str().unwrap();
            assert!(!shown.is_empty() && !shown.contains(name), "{tag}: {shown}");
        }
    }
}

/// Calls `see` with each place and its value.
fn walk(value: &Value, see: &mut impl FnMut(&str, &Value)) {
    fn deeper(at: &str, value: &Value, see: &mut impl FnMut(&str, &Value)) {
        see(at, value);
        match value {
            Value::Object(fields) => {
                fields.iter().for_each(|(name, field)| deeper(&format!("{at} › {name}"), field, see));
            }
            Value::Array(items) => {
                let numbered = items.iter().enumerate();
                numbered.for_each(|(number, item)| deeper(&format!("{at} › {number}"), item, see));
            }
            _ => {}
        }
    }
    deeper("", value, see);
}

/// Everything that has a name and is to be described: the place, the name, the description.
fn described() -> Vec<(String, String, Option<String>)> {
    let mut found = Vec::new();
    let text = |value: &Value| value["description"].as_str().map(str::to_owned);
    for (place, operation) in operations() {
        let id = operation["operationId"].as_str().unwrap();
        let name = format!("{id} {}", operation["summary"].as_str().unwrap());
        found.push((
            place.clone(),
            name,
            operation.get("description").map(|text| text.as_str().unwrap().into()),
        ));
        for parameter in operation.get("parameters").and_then(Value::as_array).into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap().to_owned();
            found.push((format!("{place} {name}"), name, text(parameter)));
        }
        for (status, response) in operation["responses"].as_object().unwrap() {
            found.push((format!("{place} {status}"), status.clone(), text(response)));
        }
    }
    for (room, things) in document()["components"].as_object().unwrap() {
        for (name, thing) in things.as_object().unwrap() {
            found.push((format!("{room} {name}"), name.clone(), text(thing)));
        }
    }
    for tag in document()["tags"].as_array().unwrap() {
        let name = tag["name"].as_str().unwrap().to_owned();
        found.push((format!("tag {name}"), name, text(tag)));
    }
    walk(&document()["components"]["schemas"], &mut |at, value| {
        for (name, field) in value.get("properties").and_then(Value::as_object).into_iter().flatten() {
            // A type's own description serves where a field says nothing else.
            let of_type = field["$ref"].as_str().and_then(|target| target.rsplit('/').next());
            let description = text(field).or_else(|| of_type.and_then(|name| text(&schemas()[name])));
            found.push((format!("{at} › {name}"), name.clone(), description));
        }
    });
    found
}

fn words(text: &str) -> BTreeSet<String> {
    let mut spaced = String::new();
    for letter in text.chars() {
        if letter.is_uppercase() {
            spaced.push(' ');
        }
        spaced.push(if letter.is_alphanumeric() { letter } else { ' ' });
    }
    spaced.split_whitespace().map(str::to_lowercase).collect()
}

#[test]
fn every_description_says_more_than_the_name() {
    let fillers = words("a an the of is are it its to in on and or for this that with by");
    let found = described();
    assert!(found.len() > 900, "{}", found.len());
    let mut faults = Vec::new();
    for (place, name, description) in found {
        let new = description.as_deref().map_or(0, |description| {
            let said = &words(description) - &fillers;
            said.difference(&words(&name)).count()
        });
        if new < 2 {
            faults.push(format!("{place}: {description:?}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_document_is_written_in_plain_present_day_english() {
    let odd = words("he his him himself oneself whoever whosoever");
    let mut faults = Vec::new();
    walk(document(), &mut |at, value| {
        let is_prose = ["summary", "description"].iter().any(|name| at.ends_with(&format!("› {name}")));
        if let (true, Some(text)) = (is_prose, value.as_str()) {
            let found: Vec<_> = words(text).intersection(&odd).cloned().collect();
            if !found.is_empty() || text.contains("ne's ") {
                faults.push(format!("{at}: {found:?} in {text}"));
            }
        }
    });
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
