//! The stories that go over several APIs: one user, one table, one session, each API's own words.

use satchel::domain::users::Role;
use serde_json::{Value, json};

use crate::house::{Answer, BEGINNING_NAIVE, Guest, House, PASSWORD, answer, contact, send, with};

const BEGINNING_UTC: &str = "2026-11-21T05:06:39.560803Z";

async fn get(house: &House, who: &Guest, path: &str) -> Answer {
    send(house, who, "GET", path, Value::Null).await
}

/// Signs in at todolist, which takes a username or an e-mail address.
async fn at_todolist(house: &House, name: &str) -> Answer {
    house.post("/v1/auth/login", json!({ "username": name, "password": PASSWORD })).await
}

/// Signs in at store, which takes the e-mail address in a form.
async fn at_store(house: &House, email: &str) -> Answer {
    let form = [("username", email), ("password", PASSWORD)];
    answer(house.request("POST", "/store-managers/token").form(&form)).await
}

/// Whoever got this token.
fn holder(guest: &Guest, signed_in: &Answer) -> Guest {
    assert_eq!(signed_in.status, 200, "{}", signed_in.text);
    let access = signed_in.body["access_token"].as_str().unwrap().to_owned();
    Guest { access, refresh: String::new(), ..guest.clone() }
}

/// A refusal in todolist's envelope.
fn refused_by_todolist(answer: &Answer, status: u16, message: &str) {
    answer.is(
        status,
        json!({
            "error": { "status_code": status, "message": message, "type": "client_error" },
            "request_id": answer.header("x-request-id"),
        }),
    );
}

/// The user as bookshelf shows him to himself, with a summary of his book.
fn at_bookshelf(guest: &Guest, username: &str, names: [&str; 2], book: &Value) -> Value {
    let of_book = |name: &str| book[name].clone();
    let [uuid, title, author, publisher] = ["uuid", "title", "author", "publisher"].map(of_book);
    json!({
        "username": username, "email": guest.email, "first_name": names[0], "last_name": names[1],
        "uuid": guest.uuid, "role": "user", "is_active": true, "created_at": BEGINNING_NAIVE,
        "updated_at": BEGINNING_NAIVE, "books": [{ "uuid": uuid, "title": title, "author": author, "publisher": publisher }],
    })
}

/// The user as todolist shows him to himself.
fn in_todolist(id: i64, email: &str, username: &str, full_name: &str) -> Value {
    json!({
        "id": id, "email": email, "username": username, "full_name": full_name, "is_active": true,
        "created_at": BEGINNING_UTC, "updated_at": BEGINNING_UTC,
    })
}

/// One thing of every API.
struct Things {
    book: Value,
    item: Value,
    todo: Value,
}

/// Keeps one thing at every API, with one token.
async fn keep(house: &House, who: &Guest) -> Things {
    let book = house.book(who, "Dune").await;
    let tea = json!({ "name": "Tea", "category": "Grocery", "price_usd": 19.99, "in_stock": true });
    let item = send(house, who, "POST", "/items", tea.clone()).await;
    let mut whole = tea;
    whole["id"] = item.body["id"].clone();
    whole["store_manager_id"] = json!(who.uuid);
    item.is(201, whole);
    let todo = send(house, who, "POST", "/v1/todos", json!({ "title": "Read" })).await;
    todo.is(
        201,
        json!({
            "id": todo.body["id"], "title": "Read", "description": null, "priority": "medium",
            "is_completed": false, "user_id": book["user_id"],
            "created_at": BEGINNING_UTC, "updated_at": BEGINNING_UTC,
        }),
    );
    Things { book, item: item.body, todo: todo.body }
}

impl Things {
    /// Says that all of them are still there, and are this user's.
    async fn are_there(&self, house: &House, who: &Guest) {
        get(house, who, "/api/v1.0/books/my-books").await.is(200, json!([self.book]));
        get(house, who, "/items").await.is(200, json!({ self.item["id"].as_str().unwrap(): self.item }));
        let todos = json!({ "todos": [self.todo], "total": 1, "page": 1, "page_size": 10 });
        get(house, who, "/v1/todos").await.is(200, todos);
    }
}

#[tokio::test]
async fn who_registers_at_bookshelf_is_one_user_at_store_and_todolist() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let things = keep(&house, &ada).await;

    let by_name = at_todolist(&house, "ada").await;
    let access = by_name.body["access_token"].clone();
    by_name.is(200, json!({ "access_token": access, "token_type": "bearer", "expires_in": 86_400 }));
    let by_name = holder(&ada, &by_name);
    let by_email = holder(&ada, &at_todolist(&house, "ADA@example.com").await);
    let of_store = holder(&ada, &at_store(&house, "ada@example.com").await);
    for guest in [&ada, &by_name, &by_email, &of_store] {
        let me = at_bookshelf(&ada, "ada", ["First", "Last"], &things.book);
        get(&house, guest, "/api/v1.0/users/me").await.is(200, me);
        let me = in_todolist(1, "ada@example.com", "ada", "First Last");
        get(&house, guest, "/v1/auth/me").await.is(200, me.clone());
        get(&house, guest, "/v1/users/1").await.is(200, me);
        things.are_there(&house, guest).await;
    }

    // A token of one API changes what was made with another's.
    let path = format!("/items/{}", things.item["id"].as_str().unwrap());
    let change = send(&house, &by_email, "PATCH", &path, json!({ "in_stock": false })).await;
    assert_eq!((change.status, &change.body["in_stock"]), (200, &json!(false)));
    let path = format!("/v1/todos/{}", things.todo["id"]);
    let change = send(&house, &of_store, "PATCH", &path, json!({ "is_completed": true })).await;
    assert_eq!((change.status, &change.body["is_completed"]), (200, &json!(true)));
    let path = format!("/api/v1.0/books/{}", things.book["uuid"].as_str().unwrap());
    let change = send(&house, &by_name, "PATCH", &path, json!({ "pages": 7 })).await;
    assert_eq!((change.status, &change.body["pages"]), (200, &json!(7)));
}

#[tokio::test]
async fn an_address_that_is_changed_at_todolist_is_changed_everywhere() {
    let house = House::with(|config| config.auth.sign_in_delays = false).await;
    let ada = house.guest("ada").await;
    let things = keep(&house, &ada).await;
    let change = json!({ "email": " Lovelace@EXAMPLE.org " });
    let changed = send(&house, &ada, "PATCH", "/v1/users/1", change).await;
    changed.is(200, in_todolist(1, "Lovelace@example.org", "ada", "First Last"));

    at_store(&house, "ada@example.com").await.refuses(401, "Invalid credentials");
    house.log_in("ada@example.com", PASSWORD).await.refuses(401, "Invalid email or password");
    let answer = at_todolist(&house, "ada@example.com").await;
    refused_by_todolist(&answer, 401, "Incorrect username or password");

    assert_eq!(at_todolist(&house, "ada").await.status, 200);
    assert_eq!(house.log_in("lovelace@example.org", PASSWORD).await.status, 200);
    let ada = Guest { email: "Lovelace@example.org".into(), ..ada };
    let of_store = holder(&ada, &at_store(&house, "lovelace@example.org").await);
    let me = get(&house, &of_store, "/api/v1.0/users/me").await;
    me.is(200, at_bookshelf(&ada, "ada", ["First", "Last"], &things.book));
    things.are_there(&house, &of_store).await;

    // The old address is free after seven days, the new one taken, in each API's words.
    let sign_up = |email: &str| json!({ "name": "x", "email": email, "password_hash": PASSWORD });
    let taken = house.post("/store-managers", sign_up("LOVELACE@example.org")).await;
    taken.refuses(409, "Email already registered");
    let reserved = house.post("/store-managers", sign_up("ada@example.com")).await;
    reserved.refuses(409, "Email already registered");
    house.wait(7 * 86_400);
    assert_eq!(house.post("/store-managers", sign_up("ada@example.com")).await.status, 201);
    let of_store = holder(&ada, &at_store(&house, "lovelace@example.org").await);
    let taken = send(&house, &of_store, "PATCH", "/v1/users/1", json!({ "email": "ada@example.com" })).await;
    refused_by_todolist(&taken, 409, "Email 'ada@example.com' is already in use");
    house.forget_letters().await;
}

#[tokio::test]
async fn who_logs_out_at_store_is_out_everywhere_and_finds_everything_when_he_comes_back() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let things = keep(&house, &ada).await;
    let out = get(&house, &ada, "/store-managers/logout").await;
    out.is(200, json!({ "message": "Logged out successfully" }));
    let is_out = async |house: &House| {
        let answer = get(house, &ada, "/api/v1.0/users/me").await;
        answer.refuses(401, "Token has been revoked");
        let answer = get(house, &ada, "/v1/auth/me").await;
        refused_by_todolist(&answer, 401, "Invalid authentication token");
        assert_eq!(answer.header("www-authenticate"), "Bearer error=\"invalid_token\"");
        get(house, &ada, "/items").await.refuses(401, "Invalid token");
        get(house, &ada, "/store-managers/logout").await.refuses(401, "Invalid token");
        let answer = house.post("/api/v1.0/auth/refresh", json!({ "refresh_token": ada.refresh })).await;
        answer.refuses(401, "Refresh token has been revoked");
    };
    is_out(&house).await;
    let house = house.restart().await;
    is_out(&house).await;
    for signed_in in [
        at_store(&house, "ada@example.com").await,
        at_todolist(&house, "ada").await,
        house.log_in("ada@example.com", PASSWORD).await,
    ] {
        things.are_there(&house, &holder(&ada, &signed_in)).await;
    }
}

#[tokio::test]
async fn who_logs_out_at_todolist_or_bookshelf_is_out_at_store() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let one = holder(&ada, &at_store(&house, "ada@example.com").await);
    let two = holder(&ada, &at_store(&house, "ada@example.com").await);
    let three = holder(&ada, &at_store(&house, "ada@example.com").await);
    let out = send(&house, &one, "POST", "/v1/auth/logout", Value::Null).await;
    assert_eq!((out.status, &*out.text), (204, ""));
    get(&house, &one, "/items").await.refuses(401, "Invalid token");
    get(&house, &two, "/items").await.is(200, json!({}));
    assert_eq!(send(&house, &two, "POST", "/api/v1.0/auth/logout", Value::Null).await.status, 200);
    get(&house, &two, "/items").await.refuses(401, "Invalid token");
    assert_eq!(send(&house, &ada, "POST", "/api/v1.0/auth/logout-all", Value::Null).await.status, 200);
    get(&house, &three, "/items").await.refuses(401, "Invalid token");
    let answer = get(&house, &three, "/v1/auth/me").await;
    refused_by_todolist(&answer, 401, "Invalid authentication token");
}

#[tokio::test]
async fn a_user_deleted_at_todolist_takes_items_and_todos_along_and_leaves_the_books_ownerless() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let ben = house.guest("ben").await;
    let adas = keep(&house, &ada).await;
    let bens = keep(&house, &ben).await;
    let gone = send(&house, &ada, "DELETE", "/v1/users/1", Value::Null).await;
    assert_eq!((gone.status, &*gone.text), (204, ""));

    let is_gone = async |house: &House| {
        let answer = get(house, &ada, "/v1/auth/me").await;
        refused_by_todolist(&answer, 401, "Invalid authentication token");
        get(house, &ada, "/items").await.refuses(401, "Invalid token");
        get(house, &ada, "/api/v1.0/users/me").await.refuses(401, "Token has been revoked");
        let path = format!("/items/{}", adas.item["id"].as_str().unwrap());
        get(house, &ben, &path).await.refuses(404, "Item not found");
        let answer = get(house, &ben, &format!("/v1/todos/{}", adas.todo["id"])).await;
        let sentence = format!("Todo with ID {} not found", adas.todo["id"]);
        refused_by_todolist(&answer, 404, &sentence);
        let mut ownerless = adas.book.clone();
        ownerless["user_id"] = Value::Null;
        house.get("/api/v1.0/books").await.is(200, json!([bens.book, ownerless]));
        bens.are_there(house, &ben).await;
    };
    is_gone(&house).await;
    at_store(&house, "ada@example.com").await.refuses(401, "Invalid credentials");
    refused_by_todolist(&at_todolist(&house, "ada").await, 401, "Incorrect username or password");
    let house = house.restart().await;
    is_gone(&house).await;
}

#[tokio::test]
async fn who_signs_up_at_store_signs_in_at_bookshelf_and_todolist_by_the_address() {
    let house = House::new().await;
    let given = json!({ "name": "Ada Lovelace", "email": "ada@example.com", "password_hash": PASSWORD });
    let made = house.post("/store-managers", given).await;
    made.is(201, json!({ "id": made.body["id"], "name": "Ada Lovelace", "email": "ada@example.com" }));
    let nobody = Guest {
        uuid: made.body["id"].as_str().unwrap().into(),
        email: "ada@example.com".into(),
        access: String::new(),
        refresh: String::new(),
    };
    let of_store = holder(&nobody, &at_store(&house, "ada@example.com").await);
    let of_bookshelf = holder(&nobody, &house.log_in("ada@example.com", PASSWORD).await);
    let of_todolist = holder(&nobody, &at_todolist(&house, "ada@example.com").await);
    let things = keep(&house, &of_store).await;
    for guest in [&of_store, &of_bookshelf, &of_todolist] {
        // He has no username, so each API makes one up, the same, and shows no name that it was not given.
        let me = at_bookshelf(&nobody, "user_1", ["", ""], &things.book);
        get(&house, guest, "/api/v1.0/users/me").await.is(200, me);
        let me = in_todolist(1, "ada@example.com", "user_1", "user_1");
        get(&house, guest, "/v1/auth/me").await.is(200, me);
        things.are_there(&house, guest).await;
    }
    // Neither the name that is shown nor the one that was made up signs anybody in.
    for name in ["Ada Lovelace", "user_1"] {
        refused_by_todolist(&at_todolist(&house, name).await, 401, "Incorrect username or password");
    }
    let house = house.restart().await;
    things.are_there(&house, &of_todolist).await;

    // Once he gives himself a username, it does.
    let changed = send(&house, &of_todolist, "PATCH", "/v1/users/1", json!({ "username": "countess" })).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    let by_name = holder(&nobody, &at_todolist(&house, "Countess").await);
    things.are_there(&house, &by_name).await;
}

/// Signs in at identity or contactbook, which take the e-mail address in a form.
async fn by_form(house: &House, path: &str, email: &str) -> Answer {
    let form = [("username", email), ("password", PASSWORD)];
    answer(house.request("POST", path).form(&form)).await
}

#[tokio::test]
async fn who_signs_up_at_contactbook_is_one_user_on_all_five() {
    let house = House::new().await;
    let given = json!({ "username": "Ada L.", "email": "ada@example.com", "password": PASSWORD });
    let made = house.post("/api/auth/signup", given).await;
    let user =
        json!({ "id": 1, "username": "Ada L.", "email": "ada@example.com", "created_at": BEGINNING_NAIVE });
    made.is(201, json!({ "user": user, "detail": "Successfully created" }));
    let link = format!("/api/email/confirm/{}", house.letter().await.token());
    house.get(&link).await.is(200, json!({ "message": "Email confirmed" }));

    let nobody = Guest {
        uuid: String::new(),
        email: "ada@example.com".into(),
        access: String::new(),
        refresh: String::new(),
    };
    let signed_in = [
        by_form(&house, "/api/auth/login", "ada@example.com").await,
        by_form(&house, "/auth/login", "ada@example.com").await,
        house.log_in("ada@example.com", PASSWORD).await,
        at_store(&house, "ada@example.com").await,
        at_todolist(&house, "ada@example.com").await,
    ];
    let adas = signed_in.map(|signed_in| holder(&nobody, &signed_in));
    let uuid = get(&house, &adas[0], "/api/v1.0/users/me").await.body["uuid"].as_str().unwrap().to_owned();
    let adas = adas.map(|ada| Guest { uuid: uuid.clone(), ..ada });

    // Each thing is made with another API's token.
    let things = keep(&house, &adas[0]).await;
    let made = send(&house, &adas[3], "POST", "/api/contacts/", contact("Grace Hopper")).await;
    let grace = with(contact("Grace Hopper"), json!({ "id": 1, "user_id": 1 }));
    made.is(201, grace.clone());
    let names = json!({ "first_name": "Ada", "last_name": "Lovelace" });
    assert_eq!(send(&house, &adas[4], "PUT", "/users/profile", names).await.status, 200);
    let added = send(&house, &adas[2], "PUT", "/users/balance", json!({ "amount": 100 })).await;
    added.is(200, json!({ "new_balance": 100 }));
    let house = house.restart().await;
    for ada in &adas {
        things.are_there(&house, ada).await;
        get(&house, ada, "/api/contacts").await.is(200, json!([grace]));
        get(&house, ada, "/users/balance").await.is(200, json!({ "balance": 100 }));
        get(&house, ada, "/auth/me").await.is(200, json!({ "user_id": "1" }));
        let me = at_bookshelf(ada, "user_1", ["Ada", "Lovelace"], &things.book);
        get(&house, ada, "/api/v1.0/users/me").await.is(200, me);
        get(&house, ada, "/v1/auth/me")
            .await
            .is(200, in_todolist(1, "ada@example.com", "user_1", "Ada Lovelace"));
    }

    // Blocked at identity, she is out everywhere.
    let admin = house.guest_as("root", Role::Admin).await;
    let blocked = send(&house, &admin, "POST", "/admin/block/1", Value::Null).await;
    blocked.is(200, json!({ "message": "User 1 has been blocked." }));
    for ada in &adas {
        get(&house, ada, "/items").await.refuses(401, "Invalid token");
        get(&house, ada, "/api/contacts").await.refuses(401, "Wrong credentials");
        get(&house, ada, "/users/balance").await.refuses(401, "Could not validate credentials");
        get(&house, ada, "/auth/me").await.refuses(401, "Token is invalid or expired");
    }
    by_form(&house, "/api/auth/login", "ada@example.com").await.refuses(403, "Your account is blocked.");
}
