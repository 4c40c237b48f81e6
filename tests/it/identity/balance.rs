//! identity, `/users/balance`: what is added is added once, and the balance never leaves its bounds.

use std::sync::Arc;

use futures_util::future::join_all;
use satchel::domain::users::Role;
use serde_json::{Value, json};

use super::{
    Account, NO_INTEGER, NO_OBJECT, account, account_as, after, fault, get, look_up, named, send, tamper,
};
use crate::house::{Answer, House, with};

const MAX: i64 = (1 << 53) - 1;
const REFUSED: &str = "Unable to update balance";

async fn add(house: &House, account: &Account, amount: i64) -> Answer {
    send(house, account, "PUT", "/users/balance", json!({ "amount": amount })).await
}

fn new_balance(balance: i64) -> Value {
    json!({ "new_balance": balance })
}

#[tokio::test]
async fn an_amount_is_added_or_taken_and_the_balance_stays() {
    let house = House::new().await;
    let (ada, ben) = (named(&house, "ada").await, named(&house, "ben").await);
    for path in ["/users/balance", "/users/balance/"] {
        get(&house, &ada, path).await.is(200, json!({ "balance": 0 }));
    }
    house.wait(30);
    for (amount, balance) in [(100, 100), (-30, 70), (0, 70), (-70, 0), (1, 1)] {
        add(&house, &ada, amount).await.is(200, new_balance(balance));
        get(&house, &ada, "/users/balance").await.is(200, json!({ "balance": balance }));
    }
    let given = send(&house, &ada, "PUT", "/users/balance/", json!({ "amount": 4 })).await;
    given.is(200, new_balance(5));
    let expected = with(ada.named(), json!({ "balance": 5, "updated_at": after(30) }));
    get(&house, &ada, "/users/me").await.is(200, expected.clone());
    get(&house, &ben, "/users/balance").await.is(200, json!({ "balance": 0 }));
    let house = house.restart().await;
    get(&house, &ada, "/users/me").await.is(200, expected);
}

#[tokio::test]
async fn without_both_names_there_is_a_balance_to_see_and_none_to_change() {
    let house = House::new().await;
    let ada = account(&house, "ada").await;
    for names in ["first_name = null", "first_name = 'Ada'", "first_name = null, last_name = 'King'"] {
        tamper(&house, format!("update users set {names}")).await;
        add(&house, &ada, 100).await.refuses(400, REFUSED);
        add(&house, &ada, 0).await.refuses(400, REFUSED);
        get(&house, &ada, "/users/balance").await.is(200, json!({ "balance": 0 }));
    }
}

#[tokio::test]
async fn a_balance_goes_from_nothing_to_the_largest_whole_number_and_not_beyond() {
    let house = House::new().await;
    let ada = named(&house, "ada").await;
    add(&house, &ada, -1).await.refuses(400, REFUSED);
    add(&house, &ada, -MAX).await.refuses(400, REFUSED);
    add(&house, &ada, MAX).await.is(200, new_balance(MAX));
    let text = get(&house, &ada, "/users/balance").await.text;
    assert_eq!(text, r#"{"balance":9007199254740991}"#);
    for amount in [1, MAX] {
        add(&house, &ada, amount).await.refuses(400, REFUSED);
    }
    house.wait(30);
    get(&house, &ada, "/users/me").await.is(200, with(ada.named(), json!({ "balance": MAX })));
    add(&house, &ada, -MAX).await.is(200, new_balance(0));
    add(&house, &ada, MAX - 1).await.is(200, new_balance(MAX - 1));
    add(&house, &ada, 2).await.refuses(400, REFUSED);
    add(&house, &ada, 1).await.is(200, new_balance(MAX));
}

#[tokio::test]
async fn an_amount_that_no_balance_can_bear_is_malformed() {
    let house = House::new().await;
    let ada = named(&house, "ada").await;
    add(&house, &ada, 100).await.is(200, new_balance(100));
    let small = format!("Input should be greater than or equal to -{MAX}");
    let large = format!("Input should be less than or equal to {MAX}");
    for (amount, kind, msg, ctx) in [
        (json!(MAX + 1), "less_than_equal", &large, json!({ "le": MAX })),
        (json!(i64::MAX), "less_than_equal", &large, json!({ "le": MAX })),
        (json!(i64::MAX as u64 + 1), "less_than_equal", &large, json!({ "le": MAX })),
        (json!(u64::MAX), "less_than_equal", &large, json!({ "le": MAX })),
        (json!("99999999999999999999999999"), "less_than_equal", &large, json!({ "le": MAX })),
        (json!(-MAX - 1), "greater_than_equal", &small, json!({ "ge": -MAX })),
        (json!(i64::MIN), "greater_than_equal", &small, json!({ "ge": -MAX })),
        (json!("-9223372036854775809"), "greater_than_equal", &small, json!({ "ge": -MAX })),
    ] {
        let answer = send(&house, &ada, "PUT", "/users/balance", json!({ "amount": amount })).await;
        answer.is(422, fault(kind, ["body", "amount"], msg, amount, ctx));
    }
    let no_integer = "Input should be a valid integer";
    let fraction = "Input should be a valid integer, got a number with a fractional part";
    for (amount, kind, msg) in [
        (Value::Null, "int_type", no_integer),
        (json!([1]), "int_type", no_integer),
        (json!({}), "int_type", no_integer),
        (json!(1.5), "int_from_float", fraction),
        (json!("1.5"), "int_parsing", NO_INTEGER),
        (json!("much"), "int_parsing", NO_INTEGER),
        (json!(""), "int_parsing", NO_INTEGER),
    ] {
        let answer = send(&house, &ada, "PUT", "/users/balance", json!({ "amount": amount })).await;
        answer.is(422, fault(kind, ["body", "amount"], msg, amount, Value::Null));
    }
    let missing = json!({
        "type": "missing", "loc": ["body", "amount"], "msg": "Field required", "input": { "balance": 5 },
    });
    let answer = send(&house, &ada, "PUT", "/users/balance", json!({ "balance": 5 })).await;
    answer.is(422, json!({ "detail": [missing] }));
    let answer = send(&house, &ada, "PUT", "/users/balance", json!(5)).await;
    answer.invalid(&[("model_attributes_type", json!(["body"]), NO_OBJECT)]);
    get(&house, &ada, "/users/balance").await.is(200, json!({ "balance": 100 }));
}

#[tokio::test]
async fn the_text_of_a_whole_number_is_one() {
    let house = House::new().await;
    let ada = named(&house, "ada").await;
    for (amount, balance) in [(json!("12"), 12), (json!(8.0), 20), (json!("-5.0"), 15), (json!(true), 16)] {
        let answer = send(&house, &ada, "PUT", "/users/balance", json!({ "amount": amount })).await;
        answer.is(200, new_balance(balance));
    }
}

#[tokio::test]
async fn an_administrator_has_no_balance_to_change() {
    let house = House::new().await;
    let admin = account_as(&house, "root", Role::Admin).await;
    let sentence = "Admin users cannot have an active balance";
    for amount in [100, 0, -1] {
        add(&house, &admin, amount).await.refuses(403, sentence);
    }
    // What is malformed comes before what one may not.
    let answer = send(&house, &admin, "PUT", "/users/balance", json!({ "amount": "x" })).await;
    answer.is(422, fault("int_parsing", ["body", "amount"], NO_INTEGER, json!("x"), Value::Null));
    get(&house, &admin, "/users/balance").await.is(200, json!({ "balance": 0 }));
    let moderator = account_as(&house, "mary", Role::Moderator).await;
    tamper(&house, "update users set first_name = 'Mary', last_name = 'King'").await;
    add(&house, &moderator, 100).await.is(200, new_balance(100));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn changes_at_once_by_several_users_and_clients_add_up_exactly() {
    let house = Arc::new(House::new().await);
    let mut users = Vec::new();
    for n in 0..4 {
        let user = named(&house, &format!("user{n}")).await;
        add(&house, &user, 100_000).await.is(200, new_balance(100_000));
        // Another client of the same user has a session of its own.
        users.push([user.clone(), super::again(&house, &user).await]);
    }
    let amount = |user: usize, n: usize| {
        let size = i64::try_from((user + 1) * 100 + n * n).unwrap();
        if n.is_multiple_of(3) { -size } else { size }
    };
    let mut tasks = Vec::new();
    for n in 0..60 {
        for (user, clients) in users.iter().enumerate() {
            let (house, client) = (house.clone(), clients[n % 2].clone());
            tasks.push(tokio::spawn(async move {
                let answer = add(&house, &client, amount(user, n)).await;
                let balance = answer.body["new_balance"].as_i64().expect("no change was refused");
                answer.is(200, new_balance(balance));
                (user, balance)
            }));
        }
    }
    let mut answered = vec![Vec::new(); users.len()];
    for done in join_all(tasks).await {
        let (user, balance) = done.unwrap();
        answered[user].push(balance);
    }
    for (user, [one, _]) in users.iter().enumerate() {
        let sum = 100_000 + (0..60).map(|n| amount(user, n)).sum::<i64>();
        get(&house, one, "/users/balance").await.is(200, json!({ "balance": sum }));
        assert_eq!(answered[user].len(), 60);
        assert!(answered[user].contains(&sum), "the last change answers what there is now");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_changes_at_once_that_only_one_can_bear_one_is_done() {
    let house = House::new().await;
    for (start, amount, end) in [(100, -100, 0), (150, -100, 50), (MAX - 150, 100, MAX - 50)] {
        let ada = named(&house, &format!("ada{start}")).await;
        add(&house, &ada, start).await.is(200, new_balance(start));
        let answers = join_all((0..20).map(|_| add(&house, &ada, amount))).await;
        let (done, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
        assert_eq!((done.len(), refused.len()), (1, 19), "{start}");
        done[0].is(200, new_balance(end));
        refused.iter().for_each(|answer| answer.refuses(400, REFUSED));
        let sql = format!("select balance from users where id = {}", ada.id);
        assert_eq!(look_up::<i64>(&house, &sql), end);
    }
}
