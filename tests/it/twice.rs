//! Twice: text that people type once on one device and again on another, in another form.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use futures_util::future::join_all;
use satchel::clock::{Clock, Timestamp};
use satchel::db::migrate;
use serde_json::{Value, json};

use crate::house::{Answer, Guest, House, PASSWORD, answer, contact, registration, send, with};

const REGISTER: &str = "/api/v1.0/auth/register";
const REGISTER_TODOLIST: &str = "/v1/auth/register";

/// Every route that signs in, and the field of the answer that says so.
const DOORS: [&str; 5] =
    ["/api/v1.0/auth/login", "/store-managers/token", "/v1/auth/login", "/auth/login", "/api/auth/login"];

async fn sign_in(house: &House, door: &str, login: &str, password: &str) -> u16 {
    let request = house.request("POST", door);
    let given = [("username", login), ("password", password)];
    let request = if door.starts_with("/v1") {
        request.json(&json!({ "username": login, "password": password }))
    } else {
        request.form(&given)
    };
    answer(request).await.status
}

/// Signs in by username: todolist's users may.
async fn by_name(house: &House, name: &str) -> u16 {
    sign_in(house, "/v1/auth/login", name, PASSWORD).await
}

async fn register(house: &House, n: usize, username: &str) -> Answer {
    house.post(REGISTER, with(registration(&format!("user{n}")), json!({ "username": username }))).await
}

/// The PHC string of exactly these bytes, as hashes were made before passwords were mapped.
fn raw_hash(password: &str) -> String {
    let salt = [7; 16];
    let mut output = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(64, 1, 1, Some(32)).unwrap())
        .hash_password_into(password.as_bytes(), &salt, &mut output)
        .unwrap();
    let [salt, output] = [&salt[..], &output[..]].map(|bytes| STANDARD_NO_PAD.encode(bytes));
    format!("$argon2id$v=19$m=64,t=1,p=1${salt}${output}")
}

async fn tamper(house: &House, sql: String) {
    house.server.app.db.write(move |db| Ok(db.execute(&sql, [])?)).await.unwrap();
}

fn stored_hash(house: &House) -> String {
    let sql = "select password_hash from users";
    house.server.app.db.read(|db| db.one(sql, [], |row| row.get(0))).unwrap().unwrap()
}

#[tokio::test]
async fn a_password_signs_in_at_every_api_in_either_normal_form_and_with_any_blank() {
    let house = House::new().await;
    for (n, (set, typed)) in [
        ("Caf\u{e9} Zo\u{eb} 9", "Cafe\u{301} Zoe\u{308} 9"),
        ("Cafe\u{301} Zoe\u{308} 9", "Caf\u{e9} Zo\u{eb} 9"),
        ("corre\u{a0}ct horse", "corre ct\u{3000}horse"),
        ("Vi\u{1ec7}t Nam \u{212b}", "Vie\u{302}\u{323}t\u{2003}Nam A\u{30a}"),
        ("\u{ac01}\u{ac02}\u{ac03}\u{ac04} qzx", "\u{1100}\u{1161}\u{11a8}\u{ac02}\u{ac03}\u{ac04} qzx"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("user{n}");
        let email = format!("{name}@example.com");
        let made = house.post(REGISTER, with(registration(&name), json!({ "password": set }))).await;
        assert_eq!(made.status, 201, "{set:?}: {}", made.text);
        for door in DOORS {
            for typed in [set, typed] {
                assert_eq!(sign_in(&house, door, &email, typed).await, 200, "{door}: {typed:?} for {set:?}");
            }
        }
    }
    // Width and case count, and what is no blank.
    let made =
        house.post(REGISTER, with(registration("wide"), json!({ "password": "Qzx 7vkw Straße" }))).await;
    assert_eq!(made.status, 201);
    for typed in
        ["Ｑzx 7vkw Straße", "Qzx 7vkw Strasse", "qzx 7vkw straße", "Qzx\t7vkw Straße", "Qzx7vkw Straße"]
    {
        assert_eq!(sign_in(&house, DOORS[0], "wide@example.com", typed).await, 401, "{typed:?}");
        house.wait(7_200);
    }
}

#[tokio::test]
async fn a_password_that_was_changed_in_one_form_is_proved_in_the_other() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    let change = |current: &str, new: &str| {
        let body = json!({ "current_password": current, "new_password": new });
        house.by(&ada, "POST", "/api/v1.0/users/change-password").json(&body)
    };
    assert_eq!(answer(change(PASSWORD, "Rene\u{301} et Zoe\u{308}")).await.status, 200);
    let again: Guest = Guest {
        access: house.log_in(&ada.email, "Ren\u{e9} et Zo\u{eb}").await.body["access_token"]
            .as_str()
            .unwrap()
            .into(),
        ..ada.clone()
    };
    let body = json!({ "current_password": "Ren\u{e9} et Zo\u{eb}", "new_password": PASSWORD });
    assert_eq!(
        answer(house.by(&again, "POST", "/api/v1.0/users/change-password").json(&body)).await.status,
        200
    );
    house.forget_letters().await;
}

#[tokio::test]
async fn no_password_is_refused_by_its_mapping() {
    let house = House::new().await;
    for (n, password) in [
        "tab\tbell\u{7}\u{7f}\u{85}",
        "\u{200b}\u{200d}\u{feff}\u{2060}\u{ad}\u{34f}\u{180e}\u{200e}",
        "\u{202e}right \u{2066}left\u{2069}",
        "\u{378}\u{e000}\u{10ffff}\u{fdd0}\u{a7dd}\u{2ffff} un",
        "\u{301}\u{302}\u{308}\u{30a}\u{327}\u{323}\u{304}\u{301}",
        "\u{3000}\u{3000}\u{a0}\u{a0}\u{2003}\u{2003}\u{3000}x",
        // What becomes longer by it than a password may be.
        &"\u{fb2c}\u{958}\u{959}\u{fb2d}\u{95a}\u{fb1d}\u{95b}\u{fb4b}".repeat(32),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("user{n}");
        let made = house.post(REGISTER, with(registration(&name), json!({ "password": password }))).await;
        assert_eq!(made.status, 201, "{password:?}: {}", made.text);
        assert_eq!(house.log_in(&format!("{name}@example.com"), password).await.status, 200, "{password:?}");
    }
    // The length is that of the password, whatever form it came in.
    let piece = "a\u{323}\u{302}\u{e9}b\u{308}9";
    for (password, sentence) in [
        ("Rene\u{301}e\u{300} 7", "String should have at least 8 characters"),
        ("Ren\u{e9}\u{e8} 7", "String should have at least 8 characters"),
        (&piece.repeat(52), "String should have at most 256 characters"),
    ] {
        let refused =
            house.post(REGISTER, with(registration("other"), json!({ "password": password }))).await;
        assert_eq!(refused.status, 422, "{password:?}");
        assert_eq!(refused.body["detail"][0]["msg"], sentence, "{password:?}");
    }
    let longest = piece.repeat(51);
    let given = with(registration("other"), json!({ "password": longest }));
    assert_eq!(house.post(REGISTER, given).await.status, 201);
    assert_eq!(house.log_in("other@example.com", &longest).await.status, 200);
}

#[tokio::test]
async fn a_hash_of_the_password_as_it_was_typed_before_signs_in_and_is_made_anew() {
    let house = House::new().await;
    house.register("ada").await;
    let (nfd, nfc) = ("Rene\u{301} Descartes", "Ren\u{e9} Descartes");
    tamper(&house, format!("update users set password_hash = '{}'", raw_hash(nfd))).await;
    let before = stored_hash(&house);
    let log_in = async |password: &str| house.log_in("ada@example.com", password).await.status;
    assert_eq!(log_in("Rene Descartes").await, 401);
    assert_eq!(log_in(nfc).await, 401, "nothing is known of it yet but its digest");
    assert_eq!(stored_hash(&house), before);
    assert_eq!(log_in(nfd).await, 200);
    let after = stored_hash(&house);
    assert_ne!(after, before);
    for typed in [nfc, nfd] {
        assert_eq!(log_in(typed).await, 200, "{typed:?}");
        assert_eq!(stored_hash(&house), after, "once is enough");
    }
    // One that was typed in the form that all have now.
    tamper(&house, format!("update users set password_hash = '{}'", raw_hash(nfc))).await;
    assert_eq!(log_in(nfd).await, 200);
    assert_eq!(stored_hash(&house), raw_hash(nfc));
}

#[tokio::test]
async fn a_username_is_one_name_however_it_is_written() {
    let house = House::new().await;
    for (n, (made, typed)) in [
        ("İnci", &["inci", "INCI", "İNCİ", "i\u{307}nci", "I\u{307}nci", "Inci"][..]),
        ("Ren\u{e9}", &["Rene\u{301}", "RENE\u{301}", "REN\u{c9}", "ren\u{e9}"]),
        ("Zoe\u{308}_Łoś", &["Zo\u{eb}_Łoś", "ZO\u{cb}_ŁOŚ"]),
        ("ＡＤＡ９", &["ada9", "ADA9", "Ａｄａ９"]),
        ("ｶﾞﾝﾀﾞﾑ", &["ガンダム", "カ\u{3099}ンタ\u{3099}ム"]),
        ("Straße", &["STRASSE", "strasse", "STRAẞE"]),
        ("ΟΔΥΣΣΕΥΣ", &["οδυσσευς", "Οδυσσευσ"]),
        ("Вера_1", &["ВЕРА_1"]),
    ]
    .into_iter()
    .enumerate()
    {
        let given = json!({
            "username": made, "email": format!("user{n}@example.com"), "full_name": "X", "password": PASSWORD,
        });
        let first = house.post(REGISTER_TODOLIST, given.clone()).await;
        assert_eq!(first.status, 201, "{made}: {}", first.text);
        let shown = first.body["username"].as_str().unwrap().to_owned();
        for typed in [&[made, &shown][..], typed].concat() {
            assert_eq!(by_name(&house, typed).await, 200, "{typed} for {made}");
            let taken = register(&house, 99, typed).await;
            taken.refuses(400, "Username already taken");
            let other = with(given.clone(), json!({ "username": typed, "email": "other@example.com" }));
            let taken = house.post(REGISTER_TODOLIST, other).await;
            // A dot that stands alone is no letter there.
            let status = if typed.starts_with("i\u{307}") { 422 } else { 409 };
            assert_eq!(taken.status, status, "{typed} for {made}: {}", taken.text);
        }
    }
    // What is only alike is another name.
    for name in ["ınci", "rene", "zoë_łos", "ada８", "Bepa_1"] {
        assert_eq!(by_name(&house, name).await, 401, "{name}");
    }
}

#[tokio::test]
async fn names_are_shown_as_they_were_typed_but_in_one_normal_form() {
    let house = House::new().await;
    let given = json!({
        "username": "Rene\u{301}", "email": "rene@example.com", "first_name": "Rene\u{301}",
        "last_name": "Ｄe\u{301}scartes ＆ Co", "password": PASSWORD,
    });
    let made = house.post(REGISTER, given).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let shown =
        |answer: &Answer| ["username", "first_name", "last_name"].map(|name| answer.body[name].clone());
    let composed = ["Ren\u{e9}", "Ren\u{e9}", "Ｄ\u{e9}scartes ＆ Co"].map(Value::from);
    assert_eq!(shown(&made), composed);
    let rene = house.sign_in("rene", made.body["uuid"].as_str().unwrap().to_owned()).await;
    let path = format!("/api/v1.0/users/{}", rene.uuid);
    let changed = send(&house, &rene, "PATCH", &path, json!({ "username": "RENE\u{301}" })).await;
    assert_eq!((changed.status, &changed.body["username"]), (200, &json!("REN\u{c9}")));
    let changed = send(
        &house,
        &rene,
        "PUT",
        "/users/profile",
        json!({ "first_name": "A\u{30a}", "last_name": "e\u{323}\u{302}" }),
    )
    .await;
    assert_eq!(changed.body["first_name"], json!("\u{c5}"), "{}", changed.text);
    let made = house
        .post(
            "/api/auth/signup",
            json!({ "username": "Zoe\u{308} Zoe\u{308}", "email": "zoe@example.com", "password": PASSWORD }),
        )
        .await;
    assert_eq!(made.body["user"]["username"], "Zo\u{eb} Zo\u{eb}", "{}", made.text);
    let made = house
        .post(
            "/store-managers",
            json!({ "name": "Zoe\u{308}", "email": "zoe2@example.com", "password": PASSWORD }),
        )
        .await;
    assert_eq!(made.body["name"], "Zo\u{eb}", "{}", made.text);
    // Lengths are those of what is shown.
    for (name, status) in
        [("e\u{301}".repeat(50), 201), ("e\u{301}".repeat(51), 422), ("e\u{301}e".into(), 422)]
    {
        assert_eq!(register(&house, 1, &name).await.status, status, "{name}");
    }
    house.forget_letters().await;
}

#[tokio::test]
async fn a_username_has_nothing_that_cannot_be_seen() {
    let house = House::new().await;
    let control = "Value error, Username must not contain control characters";
    let unseen = "Value error, Username must not contain zero-width characters";
    let turning = "Value error, Username must not contain characters that set the direction of text";
    let outer = "Value error, Username must not begin or end with a blank";
    let at = "Value error, Username must not contain '@'";
    for (username, sentence) in [
        ("ada\n", control),
        ("a\tda", control),
        ("ada\u{7f}", control),
        ("a\u{85}da", control),
        ("a\u{2028}da", control),
        ("a\u{200b}da", unseen),
        ("a\u{200c}da", unseen),
        ("a\u{200d}da", unseen),
        ("a\u{2060}da", unseen),
        ("\u{feff}ada", unseen),
        ("a\u{ad}da", unseen),
        ("ada\u{34f}", unseen),
        ("ada\u{3164}", unseen),
        ("ada\u{ffa0}", unseen),
        ("ada\u{fe0f}", unseen),
        ("ada\u{e0061}", unseen),
        ("a\u{200e}da", turning),
        ("a\u{200f}da", turning),
        ("a\u{61c}da", turning),
        ("a\u{202e}da", turning),
        ("a\u{2066}da\u{2069}", turning),
        (" ada", outer),
        ("ada ", outer),
        ("ada\u{a0}", outer),
        ("\u{3000}ada", outer),
        ("a@b", at),
        ("a＠b", at),
    ] {
        let refused = register(&house, 1, username).await;
        refused.invalid(&[("value_error", json!(["body", "username"]), sentence)]);
        // todolist's are letters, digits and underscores, and it says so.
        let given =
            json!({ "username": username, "email": "x@example.com", "full_name": "X", "password": PASSWORD });
        let refused = house.post(REGISTER_TODOLIST, given).await;
        assert_eq!(refused.status, 422, "{username:?}: {}", refused.text);
    }
    for (n, username) in [
        "Ada L. King",
        "ada+1",
        "★ada★",
        "❤\u{fe0f} ada",
        "a_b-c/d\\e",
        "<b>",
        "' or 1=1",
        "علي رضا",
        "🦀🦀🦀",
        "ada\u{20dd}",
    ]
    .into_iter()
    .enumerate()
    {
        let made = register(&house, n + 2, username).await;
        assert_eq!((made.status, &made.body["username"]), (201, &json!(username)), "{}", made.text);
        assert_eq!(by_name(&house, username).await, 200, "{username}");
    }
}

#[tokio::test]
async fn a_name_to_be_called_by_has_no_controls_and_turns_no_text() {
    let house = House::new().await;
    let control = "Value error, Name must not contain control characters";
    let turning = "Value error, Name must not contain characters that set the direction of text";
    let sign_up =
        |username: &str| json!({ "username": username, "email": "zoe@example.com", "password": PASSWORD });
    for (name, sentence) in [
        ("Zoe\nZoe", control),
        ("Zoe\u{1b}[2J", control),
        ("Zoe\u{85}Zoe", control),
        ("\u{202e}Zoe Zoe", turning),
        ("Zoe\u{2066}Zoe", turning),
        ("Zoe\u{200f}Zoe", turning),
    ] {
        let value_error = |field: &str| [("value_error", json!(["body", field]), sentence)];
        house.post("/api/auth/signup", sign_up(name)).await.invalid(&value_error("username"));
        let manager = json!({ "name": name, "email": "zoe@example.com", "password": PASSWORD });
        house.post("/store-managers", manager).await.invalid(&value_error("name"));
        for field in ["first_name", "last_name"] {
            let given = with(registration("ada"), json!({ field: name }));
            house.post(REGISTER, given).await.invalid(&value_error(field));
        }
        let given =
            json!({ "username": "zoe", "email": "zoe@example.com", "full_name": name, "password": PASSWORD });
        let refused = house.post(REGISTER_TODOLIST, given).await;
        assert_eq!(refused.status, 422, "{name:?}");
        assert!(refused.text.contains(sentence), "{}", refused.text);
    }
    let fit = [" Zoe ", "علی\u{200c}رضا", "👩\u{200d}👧 Zoe", "Zoe\u{ad}Zoe"];
    for (n, name) in fit.into_iter().enumerate() {
        let given = with(sign_up(name), json!({ "email": format!("user{n}@example.com") }));
        let made = house.post("/api/auth/signup", given).await;
        assert_eq!((made.status, &made.body["user"]["username"]), (201, &json!(name)), "{}", made.text);
    }
    house.forget_letters().await;
}

#[tokio::test]
async fn of_many_who_want_one_name_in_many_spellings_one_gets_it() {
    let house = House::new().await;
    let spellings = ["Straße", "STRASSE", "strasse", "STRAẞE", "Ｓtrasse", "straſſe", "ſtrasse", "StraSSe"];
    let race = spellings.iter().enumerate().map(|(n, name)| register(&house, n, name));
    let answers = join_all(race).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
    assert_eq!((won.len(), lost.len()), (1, 7));
    lost.iter().for_each(|lost| lost.refuses(400, "Username already taken"));
}

#[tokio::test]
async fn a_domain_may_be_international_and_is_shown_in_ascii() {
    let house = House::new().await;
    let made = house
        .post(REGISTER, with(registration("ada"), json!({ "email": " Ada@B\u{fc}cher.example " })))
        .await;
    assert_eq!(
        (made.status, &made.body["email"]),
        (201, &json!("Ada@xn--bcher-kva.example")),
        "{}",
        made.text
    );
    let spellings = [
        "ada@bücher.example",
        "ADA@BU\u{308}CHER.Example",
        "ada@bücher。example",
        "ada@XN--BCHER-KVA.example",
        "ada@bｕ\u{308}cher.example",
    ];
    for typed in spellings {
        for door in DOORS {
            assert_eq!(sign_in(&house, door, typed, PASSWORD).await, 200, "{door}: {typed}");
        }
        let taken = house.post(REGISTER, with(registration("other"), json!({ "email": typed }))).await;
        taken.refuses(400, "Email already registered");
        let path = format!("/api/v1.0/users/email/{typed}");
        let found = house.get(&path).await;
        assert_eq!((found.status, &found.body["uuid"]), (200, &made.body["uuid"]), "{typed}");
    }
    for email in [
        "ada@b\u{fc}cher",
        "ada@xn--a.example",
        "ada@\u{fc}.test\u{200d}.example",
        "ada@B\u{fc}cher..example",
        "\u{e4}da@example.com",
        "ada@\u{661}a.example",
    ] {
        let refused = house.post(REGISTER, with(registration("other"), json!({ "email": email }))).await;
        assert_eq!(refused.status, 422, "{email}: {}", refused.text);
        let message = refused.body["detail"][0]["msg"].as_str().unwrap();
        assert!(message.starts_with("value is not a valid email address: "), "{message}");
    }
    let ada = house.log_in("ada@bücher.example", PASSWORD).await;
    let guest = Guest {
        uuid: made.body["uuid"].as_str().unwrap().into(),
        email: String::new(),
        access: ada.body["access_token"].as_str().unwrap().into(),
        refresh: String::new(),
    };
    let path = format!("/v1/users/{}", 1);
    let changed = send(&house, &guest, "PATCH", &path, json!({ "email": "ada@例え.jp" })).await;
    assert_eq!(
        (changed.status, &changed.body["email"]),
        (200, &json!("ada@xn--r8jz45g.jp")),
        "{}",
        changed.text
    );
    assert_eq!(house.letter().await.to, "ada@xn--r8jz45g.jp");
    assert_eq!(house.notices().await[0].to, "Ada@xn--bcher-kva.example");
}

#[tokio::test]
async fn a_contact_is_one_name_and_found_in_either_form() {
    let house = House::new().await;
    let ada = house.guest("ada").await;
    house.confirm(&ada).await;
    let add = |name: &str| house.by(&ada, "POST", "/api/contacts/").json(&contact(name));
    let made = answer(add("Rene\u{301} İnci Straße ＡＢＣ")).await;
    assert_eq!(
        (made.status, &made.body["fullname"]),
        (201, &json!("Ren\u{e9} İnci Straße ＡＢＣ")),
        "{}",
        made.text
    );
    answer(add("Ren\u{e9} İnci Straße ＡＢＣ")).await.refuses(409, "Already exists");
    for part in
        ["ren\u{e9}", "RENE\u{301}", "inci", "İNCİ", "i\u{307}nci", "STRASSE", "straße", "abc", "ａｂｃ"]
    {
        let found = answer(house.by(&ada, "GET", &format!("/api/contacts/{part}"))).await;
        assert_eq!((found.status, &found.body), (200, &made.body), "{part}");
    }
    for part in ["rene", "ınci"] {
        let found = answer(house.by(&ada, "GET", &format!("/api/contacts/{part}"))).await;
        assert_eq!(found.status, 404, "{part}");
    }
}

/// A house over a database of the schema before names had their present key, with a user for each name, numbered from 1.
async fn house_with_old_names(names: &[(&str, &str)]) -> House {
    House::with(|config| {
        config.auth.sign_in_delays = false;
        std::fs::create_dir_all(&config.server.data).unwrap();
        let clock = Clock::held(Timestamp::from_seconds(1));
        migrate::up(&config.database(), &clock, Some(14)).unwrap();
        #[expect(clippy::disallowed_methods, reason = "it stands for an older binary")]
        let conn = rusqlite::Connection::open(config.database()).unwrap();
        for (n, (name, email)) in names.iter().enumerate() {
            conn.execute(
                "insert into users (uuid, email, username, username_key, password_hash, created_at, updated_at)
                 values (randomblob(16), ?1, ?2, ?3, ?4, 1, 1)",
                (email, name, name.to_lowercase(), raw_hash(&format!("{PASSWORD} {}", n + 1))),
            )
            .unwrap();
        }
    })
    .await
}

/// The number of the user whom this username and that user's own password sign in.
async fn who_is(house: &House, name: &str, users: usize) -> Option<usize> {
    for n in 1..=users {
        if sign_in(house, "/v1/auth/login", name, &format!("{PASSWORD} {n}")).await == 200 {
            return Some(n);
        }
    }
    None
}

#[tokio::test]
async fn users_whose_names_became_one_all_sign_in_and_the_older_keeps_it() {
    let users = [
        ("Straße", "1@example.com"),
        ("STRASSE", "2@example.com"),
        ("ren\u{e9}", "3@example.com"),
        ("Rene\u{301}", "4@example.com"),
        ("ada", "5@example.com"),
        ("straſſe", "6@example.com"),
        (" İnci\u{200b}", "7@example.com"),
        ("a＠b", "8@example.com"),
        ("strasse＠2", "9@example.com"),
        ("ｇrace", "10@example.com"),
        ("grace", "11@example.com"),
    ];
    let house = house_with_old_names(&users).await;
    for (name, expected) in [
        ("Straße", 1),
        ("straße", 1),
        ("strasse", 1),
        ("STRASSE", 2),
        ("straſſe", 6),
        ("ren\u{e9}", 3),
        ("REN\u{c9}", 3),
        ("RENE\u{301}", 3),
        ("Ren\u{e9}", 4),
        ("Rene\u{301}", 4),
        ("ADA", 5),
        (" inci\u{200b}", 7),
        ("A＠B", 8),
        ("strasse＠2", 9),
        ("ＧRACE", 10),
        ("Grace", 10),
        ("grace", 11),
    ] {
        assert_eq!(who_is(&house, name, users.len()).await, Some(expected), "{name:?}");
    }
    for name in ["strasse@2", "strasse@6", "@2"] {
        assert_eq!(who_is(&house, name, users.len()).await, None, "{name:?}");
    }
    // Nobody new takes a name that any of them has.
    for name in ["STRASSE", "Strasse", "René", "GRACE"] {
        register(&house, 99, name).await.refuses(400, "Username already taken");
    }
}

#[tokio::test]
async fn a_user_with_an_older_namesake_changes_the_profile_and_gets_the_name_when_it_is_free() {
    let house = house_with_old_names(&[("Straße", "1@example.com"), ("STRASSE", "2@example.com")]).await;
    let sign_in = async |n: usize| {
        let answer = house.log_in(&format!("{n}@example.com"), &format!("{PASSWORD} {n}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let access = answer.body["access_token"].as_str().unwrap().to_owned();
        Guest { uuid: String::new(), email: String::new(), access, refresh: String::new() }
    };
    let (older, younger) = (sign_in(1).await, sign_in(2).await);
    let change = async |who: &Guest, n: usize, name: &str| {
        let changed =
            send(&house, who, "PATCH", &format!("/v1/users/{n}"), json!({ "username": name })).await;
        changed.status
    };
    assert_eq!(change(&younger, 2, "STRASSE").await, 200, "it is no change");
    assert_eq!(change(&younger, 2, "strasse").await, 409);
    assert_eq!(change(&older, 1, "STRASSE").await, 409);
    assert_eq!(change(&older, 1, "strasse").await, 409, "only case tells it from the younger's");
    assert_eq!(change(&older, 1, "STRAẞE").await, 200, "the older has the name in every other spelling");
    assert_eq!(who_is(&house, "STRASSE", 2).await, Some(2));
    assert_eq!(who_is(&house, "Straße", 2).await, Some(1));
    assert_eq!(change(&older, 1, "avenue").await, 200);
    assert_eq!(who_is(&house, "straße", 2).await, Some(2), "nobody else has it");
    register(&house, 9, "Straße").await.refuses(400, "Username already taken");
    assert_eq!(change(&younger, 2, "Straße").await, 200);
    assert_eq!(who_is(&house, "STRASSE", 2).await, Some(2));
}
