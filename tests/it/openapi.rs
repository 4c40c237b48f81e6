//! The OpenAPI document: whole, true to the routes, and what the server really answers.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use salvo::Router;
use salvo::routing::FilterInfo;
use satchel::domain::users::Role;
use serde_json::{Map, Value, json};

use crate::house::{Answer, House, PASSWORD, answer, book, document, operation, registration};

/// Every operation of the document: its method in capitals, its path, and what is said of it.
fn operations() -> impl Iterator<Item = (String, &'static str, &'static Map<String, Value>)> {
    let paths = document()["paths"].as_object().unwrap();
    paths.iter().flat_map(|(path, item)| {
        let item = item.as_object().unwrap();
        item.iter()
            .map(move |(method, told)| (method.to_uppercase(), path.as_str(), told.as_object().unwrap()))
    })
}

/// Every route of a router, as method and path.
fn routes(router: &Router, path: &str, methods: &[String], found: &mut BTreeSet<(String, String)>) {
    let mut path = path.to_owned();
    let mut methods = methods.to_vec();
    for filter in router.filters() {
        match filter.info() {
            FilterInfo::Path(more) => path = format!("{path}/{}", more.trim_matches('/')),
            FilterInfo::Method(method) => methods.push(method.to_string()),
            other => panic!("{path} has a filter that this test does not know: {other:?}"),
        }
    }
    if router.goal.is_some() {
        assert_eq!(methods.len(), 1, "{path} {methods:?}");
        found.insert((methods[0].clone(), path.clone()));
    }
    for child in router.routers() {
        routes(child, &path, &methods, found);
    }
}

#[test]
fn the_document_has_every_route_and_no_other() {
    let mut routed = BTreeSet::new();
    routes(&satchel::api::api_router(), "", &[], &mut routed);
    // Every resource answers OPTIONS with its methods; the document does not repeat that thirty times.
    routed.retain(|(method, _)| method != "OPTIONS");
    let told: BTreeSet<_> = operations().map(|(method, path, _)| (method, path.to_owned())).collect();
    assert_eq!(routed, told);
}

#[tokio::test]
async fn every_operation_of_the_document_answers() {
    let house = House::new().await;
    for (method, path, _) in operations() {
        let uuid = "019a9d5e-6c1f-7c3b-8a54-3f0c1f4e2d10";
        let real = path
            .split('/')
            .map(|part| match part {
                "{email}" => "nobody@example.com",
                part if part.starts_with('{') => uuid,
                part => part,
            })
            .collect::<Vec<_>>()
            .join("/");
        let answer = answer(house.request(&method, &real)).await;
        assert_ne!(answer.status, 405, "{method} {path}");
        assert_ne!(answer.body["detail"], "Not Found", "{method} {path}");
    }
}

#[tokio::test]
async fn the_server_serves_the_document_that_the_command_prints() {
    let house = House::new().await;
    house.get("/openapi.json").await.is(200, satchel::api::document());
    for (takes, encoding) in [("gzip", Some("gzip")), ("gzip;q=0", None), ("br, gzip;q=0.5", Some("gzip"))] {
        let asked = house.request("GET", "/openapi.json").header("accept-encoding", takes);
        let found = asked.send().await.unwrap();
        let said = found.headers().get("content-encoding").map(|said| said.to_str().unwrap().to_owned());
        assert_eq!(said.as_deref(), encoding, "{takes}");
        assert_eq!(found.headers()["vary"], "accept-encoding");
        let length: usize = found.headers()["content-length"].to_str().unwrap().parse().unwrap();
        let bytes = found.bytes().await.unwrap();
        assert_eq!(bytes.len(), length);
        assert!(encoding.is_none() || length < 64 * 1024, "compressed it needs no room: {length}");
    }
}

#[tokio::test]
async fn the_docs_are_off_when_the_settings_say_so() {
    let house = House::with(|config| config.server.docs = false).await;
    for path in ["/", "/scalar", "/openapi.json", "/docs", "/redoc"] {
        house.get(path).await.refuses(404, "Not Found");
    }
}

#[tokio::test]
async fn the_docs_page_may_only_ask_its_own_server() {
    let house = House::new().await;
    for path in ["/", "/docs", "/redoc"] {
        let answer = house.get(path).await;
        assert_eq!((answer.status, answer.header("location")), (302, "/scalar"));
    }
    let page = house.get("/scalar").await;
    assert!(page.text.contains("<title>Satchel API</title>"));
    assert!(!page.text.contains("//"), "{}", page.text);
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; "), "{policy}");
    assert!(policy.contains("connect-src 'self'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(!policy.contains("http") && !policy.contains("eval") && !policy.contains('*'), "{policy}");
    // What the page names is there.
    let named = page.text.split(['"']).filter(|part| part.starts_with("/scalar/"));
    let mut count = 0;
    for path in named {
        let answer = house.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        count += 1;
    }
    assert_eq!(count, 6, "icon twice, style, and three scripts");
}

#[test]
fn every_operation_is_told_whole() {
    let tags: BTreeSet<&str> =
        document()["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap()).collect();
    let mut ids = BTreeMap::new();
    for (method, path, told) in operations() {
        let place = format!("{method} {path}");
        assert!(told["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{place}");
        assert!(tags.contains(told["tags"][0].as_str().unwrap()), "{place}");
        let id = told["operationId"].as_str().unwrap();
        assert_eq!(ids.insert(id, place.clone()), None, "{id} at {place}");
        let responses = told["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{place}");
        for (status, response) in responses {
            let kinds: Vec<_> = response["content"].as_object().into_iter().flatten().collect();
            let has_none = matches!(status.as_str(), "204" | "304");
            assert!(kinds.is_empty() == has_none, "{place} {status}: {response}");
            for (_, content) in kinds.iter().filter(|(media_type, _)| *media_type == "application/json") {
                let has_example = ["example", "examples"].iter().any(|one| content.get(one).is_some());
                assert!(has_example, "{place} {status} has no example");
            }
        }
        let ways = told["security"].as_array().unwrap();
        let needs_token = ways.iter().any(|way| way.get("bearer").is_some()) && !ways.contains(&json!({}));
        assert!(!needs_token || responses.contains_key("401"), "{place}");
    }
}

#[test]
fn every_example_fits_its_schema() {
    let mut count = 0;
    for (method, path, told) in operations() {
        for (status, response) in told["responses"].as_object().unwrap() {
            let content = &response["content"]["application/json"];
            let several = content["examples"].as_object().into_iter().flatten();
            let examples = several.map(|(_, example)| &example["value"]).chain(content.get("example"));
            for example in examples {
                fits(&format!("{method} {path} {status}"), &content["schema"], example);
                count += 1;
            }
        }
        for parameter in told.get("parameters").and_then(Value::as_array).into_iter().flatten() {
            let target = parameter["schema"]["$ref"].as_str();
            let schema =
                target.map_or(&parameter["schema"], |target| document().pointer(&target[1..]).unwrap());
            let example = &schema["examples"][0];
            fits(&format!("{method} {path} {}", parameter["name"]), &parameter["schema"], example);
            count += 1;
        }
    }
    assert!(count > 100, "{count}");
}

#[test]
fn every_group_of_the_page_has_tags_that_have_operations() {
    let used: BTreeSet<&str> = operations().map(|(.., told)| told["tags"][0].as_str().unwrap()).collect();
    let groups = document()["x-tagGroups"].as_array().unwrap();
    let grouped: Vec<&str> = groups
        .iter()
        .flat_map(|group| group["tags"].as_array().unwrap())
        .map(|tag| tag.as_str().unwrap())
        .collect();
    assert_eq!(grouped.len(), used.len(), "a tag in two groups, or one without operations");
    assert_eq!(BTreeSet::from_iter(grouped), used);
}

/// The way of a newcomer, and some of its mistakes: every answer has the form that the document gives it.
#[tokio::test]
async fn real_answers_have_the_form_that_the_document_gives_them() {
    let house = House::new().await;
    let told = async |method: &str, path: &str, token: Option<&str>, body: Option<Value>| -> Answer {
        told(&house, method, path, token, body).await
    };

    let api = "/api/v1.0";
    let ada = told("POST", &format!("{api}/auth/register"), None, Some(registration("ada"))).await;
    told("POST", &format!("{api}/auth/register"), None, Some(registration("ada"))).await;
    told("POST", &format!("{api}/auth/register"), None, Some(json!({ "email": 7 }))).await;
    let signed_in = house.log_in("ada@example.com", PASSWORD).await;
    matches_document("POST", &format!("{api}/auth/login"), &signed_in);
    let wrong = house.log_in("ada@example.com", "wrong").await;
    matches_document("POST", &format!("{api}/auth/login"), &wrong);
    let token = signed_in.body["access_token"].as_str();

    let dune = told("POST", &format!("{api}/books/"), token, Some(book("Dune"))).await;
    told("POST", &format!("{api}/books/"), token, Some(book("Children of Dune"))).await;
    told("POST", &format!("{api}/books/"), token, Some(json!({ "title": "", "pages": "many" }))).await;
    told("POST", &format!("{api}/books/"), None, Some(book("Dune"))).await;
    let dune = format!("{api}/books/{}", dune.body["uuid"].as_str().unwrap());
    told("PATCH", &dune, token, Some(json!({ "pages": 500 }))).await;
    told("GET", &dune, None, None).await;
    told("GET", &format!("{api}/books/019a9d5e-6c1f-7c3b-8a54-3f0c1f4e2d10"), None, None).await;
    told("GET", &format!("{api}/books/none"), None, None).await;
    let page = told("GET", &format!("{api}/books/?limit=1"), None, None).await;
    assert!(page.header("link").ends_with("; rel=\"next\""));
    told("GET", &format!("{api}/books/my-books"), token, None).await;

    let uuid = ada.body["uuid"].as_str().unwrap();
    for token in [None, token] {
        told("GET", &format!("{api}/users/"), token, None).await;
        told("GET", &format!("{api}/users/{uuid}"), token, None).await;
        told("GET", &format!("{api}/users/email/ada@example.com"), token, None).await;
        told("GET", &format!("{api}/users/me"), token, None).await;
    }
    told("PATCH", &format!("{api}/users/admin/{uuid}/role?new_role=admin"), token, None).await;
    let pair = json!({ "refresh_token": signed_in.body["refresh_token"] });
    told("POST", &format!("{api}/auth/refresh"), None, Some(pair)).await;
    told("POST", &format!("{api}/auth/refresh"), None, Some(json!({ "refresh_token": "x" }))).await;
    told("DELETE", &dune, token, None).await;
    told("POST", &format!("{api}/auth/logout"), token, None).await;
    told("GET", "/health", None, None).await;
    told("GET", "/.well-known/jwks.json", None, None).await;
}

/// The way of an account of identity, and of the administrator who looks after it.
#[tokio::test]
async fn real_answers_of_identity_have_the_form_that_the_document_gives_them() {
    let house = House::new().await;
    let admin = house.guest_as("root", Role::Admin).await;
    let admin = Some(&*admin.access);
    let given = json!({ "email": "ada@example.com", "password": PASSWORD });
    for _ in 0..2 {
        told(&house, "POST", "/auth/register", None, Some(given.clone())).await;
    }
    let mut tokens = Vec::new();
    for password in [PASSWORD, PASSWORD, "wrong"] {
        let form = [("username", "ada@example.com"), ("password", password)];
        let signed_in = answer(house.request("POST", "/auth/login").form(&form)).await;
        matches_document("POST", "/auth/login", &signed_in);
        tokens.push(signed_in.body);
    }
    for token in [json!(tokens[0]["refresh_token"]), json!(tokens[0]["access_token"]), json!(null)] {
        told(&house, "POST", "/auth/refresh", None, Some(json!({ "refresh_token": token }))).await;
    }
    let ada = tokens[0]["access_token"].as_str();
    house.register("ben").await;
    let names = json!({ "first_name": "Ada", "last_name": "Lovelace" });
    for (method, path, body) in [
        ("GET", "/auth/me", None),
        ("GET", "/users/me", None),
        ("GET", "/users/profile", None),
        ("PUT", "/users/balance", Some(json!({ "amount": 1 }))),
        ("PUT", "/users/profile", Some(json!({ "first_name": null, "last_name": "x" }))),
        ("PUT", "/users/profile", Some(json!({ "first_name": "x" }))),
        ("PUT", "/users/profile", Some(names)),
        ("GET", "/users/profile", None),
        ("PUT", "/users/balance", Some(json!({ "amount": 1 }))),
        ("PUT", "/users/balance", Some(json!({ "amount": "much" }))),
        ("GET", "/users/balance", None),
        ("GET", "/users/?sort_by=balance&limit=1", None),
        ("GET", "/users/?sort_by=name", None),
        ("GET", "/admin/check", None),
        ("POST", "/admin/block/3", None),
        ("POST", "/admin/block/1", None),
        ("POST", "/admin/block/999", None),
        ("POST", "/admin/unblock/x", None),
        ("POST", "/admin/unblock/3", None),
        ("DELETE", "/users/me", None),
        ("GET", "/users/deleted", None),
        ("POST", "/auth/logout", None),
    ] {
        for token in [None, ada, admin] {
            told(&house, method, path, token, body.clone()).await;
        }
    }
    for (old, new) in [("wrong", "quite another battery staple"), (PASSWORD, "x"), (PASSWORD, PASSWORD)] {
        let body = json!({ "email": "ada@example.com", "old_password": old, "new_password": new });
        told(&house, "POST", "/auth/change-password", None, Some(body)).await;
    }
}

/// Sends a request and holds the body of the answer against the document.
async fn told(house: &House, method: &str, path: &str, token: Option<&str>, body: Option<Value>) -> Answer {
    let mut request = house.request(method, path);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if let Some(body) = &body {
        request = request.json(body);
    }
    let answer = answer(request).await;
    matches_document(method, path, &answer);
    answer
}

fn matches_document(method: &str, path: &str, answer: &Answer) {
    let path = path.split('?').next().unwrap();
    let told = operation(&method.parse::<Method>().unwrap(), path).unwrap();
    let response = &told["responses"][answer.status.to_string()];
    assert!(response.is_object(), "{method} {path} answered {}: {}", answer.status, answer.text);
    match response.pointer("/content/application~1json/schema") {
        Some(schema) => {
            let place = format!("{method} {path} {}", answer.status);
            fits(&place, schema, &answer.body);
            stands_in_order(&place, schema, &answer.body);
        }
        None => assert_eq!(answer.text, "", "{method} {path}"),
    }
}

/// Fails when the fields of an answer come in another order than the document has them.
fn stands_in_order(place: &str, schema: &Value, value: &Value) {
    if let Some(target) = schema["$ref"].as_str() {
        return stands_in_order(place, document().pointer(&target[1..]).unwrap(), value);
    }
    for part in ["allOf", "oneOf", "anyOf"].iter().filter_map(|part| schema[part].as_array()).flatten() {
        stands_in_order(place, part, value);
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| stands_in_order(place, &schema["items"], item)),
        Value::Object(fields) => {
            let Some(told) = schema["properties"].as_object() else { return };
            let wire: Vec<&String> = fields.keys().filter(|name| told.contains_key(*name)).collect();
            let here: Vec<&String> = told.keys().filter(|name| fields.contains_key(*name)).collect();
            assert_eq!(wire, here, "{place}");
            told.iter().for_each(|(name, field)| stands_in_order(place, field, &value[name]));
        }
        _ => {}
    }
}

fn fits(place: &str, schema: &Value, value: &Value) {
    let mut whole = schema.clone();
    whole["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    whole["components"] = document()["components"].clone();
    let validator = jsonschema::options().should_validate_formats(true).build(&whole).unwrap();
    let faults: Vec<String> = validator.iter_errors(value).map(|error| error.to_string()).collect();
    assert!(faults.is_empty(), "{place}: {faults:?} in {value}");
}
