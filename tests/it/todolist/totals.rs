//! todolist: the totals are kept beside the rows, and say what counting would.

use rusqlite::Connection;
use satchel::domain::users::Role;
use serde_json::{Value, json};

use super::{Member, get, look_into, member, member_as, send, uuid_of};
use crate::house::{House, answer};

/// Counters that follow from a seed: the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        // Knuth's MMIX constants; the high bits are the good ones.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

/// How many rows of counters say something else than counting does.
fn wrong(database: &Connection) -> i64 {
    let sql = "
        select (select count(*) from user_total
                where users <> (select count(*) from users where deleted_at is null))
             + (select count(*) <> 1 from user_total)
             + (select count(*) from users u left join todo_totals t on t.user_id = u.id
                where coalesce(t.open, 0)
                        <> (select count(*) from todos where user_id = u.id and is_completed = 0)
                   or coalesce(t.completed, 0)
                        <> (select count(*) from todos where user_id = u.id and is_completed = 1))
             + (select count(*) from todo_totals where user_id not in (select id from users))
             + (select count(*) from todos where user_id not in (select id from users))";
    database.query_row(sql, [], |row| row.get(0)).unwrap()
}

/// The todos of a member as SQL counts them: open and done.
fn counted(database: &Connection, id: i64) -> (i64, i64) {
    let sql = "select coalesce(sum(not is_completed), 0), coalesce(sum(is_completed), 0) from todos
               where user_id = ?1";
    database.query_row(sql, [id], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
}

async fn total(house: &House, member: &Member, query: &str) -> i64 {
    get(house, member, &format!("/todos?page_size=1{query}")).await.body["total"].as_i64().unwrap()
}

#[tokio::test]
async fn the_counters_equal_what_counting_finds_after_any_sequence_of_changes() {
    for seed in [1, 20_261_121] {
        let mut dice = Dice(seed);
        let house = House::new().await;
        let database = look_into(&house.database());
        let admin = member_as(&house, "grace", Role::Admin).await;
        let mut members = vec![member(&house, "first").await];
        let mut last_id = 0;
        for step in 0..250 {
            let who = members[dice.below(members.len())].clone();
            let id = 1 + dice.below(last_id + 1);
            let todo = format!("/todos/{id}");
            match dice.below(12) {
                0 if members.len() < 5 => members.push(member(&house, &format!("user{step}")).await),
                1 if members.len() > 1 => {
                    members.retain(|member| member.id != who.id);
                    let bookshelf = format!("/api/v1.0/users/{}", uuid_of(&house, who.id));
                    let by = if dice.below(2) == 0 { &who } else { &admin };
                    if dice.below(2) == 0 {
                        send(&house, by, "DELETE", &who.path(), Value::Null).await.is_empty();
                    } else {
                        let gone = answer(house.request("DELETE", &bookshelf).bearer_auth(&by.access)).await;
                        assert_eq!(gone.status, 200, "{}", gone.text);
                    }
                }
                2 => {
                    // Marked as deleted, and brought back.
                    for value in ["1", "2", "null", "null"] {
                        let sql = format!("update users set deleted_at = {value} where id = ?1");
                        database.execute(&sql, [who.id]).unwrap();
                        assert_eq!(wrong(&database), 0, "seed {seed}, step {step}");
                    }
                }
                3 => {
                    // Another owner, and perhaps another state, as no route does it yet.
                    let sql = "update todos set user_id = ?1, is_completed = ?2 where id = ?3";
                    database.execute(sql, (who.id, dice.below(2) as i64, id as i64)).unwrap();
                }
                4 | 5 => {
                    let change = json!({ "is_completed": dice.below(2) == 1, "priority": "low" });
                    send(&house, &who, "PATCH", &todo, change).await;
                }
                6 => {
                    send(&house, &who, "DELETE", &todo, Value::Null).await;
                }
                7 => {
                    send(&house, &who, "POST", "/todos", json!({ "title": "" })).await;
                    send(&house, None, "POST", "/users", super::registration("grace")).await;
                }
                _ => {
                    let made = send(&house, &who, "POST", "/todos", json!({ "title": "x" })).await;
                    last_id = usize::try_from(made.id()).unwrap();
                }
            }
            assert_eq!(wrong(&database), 0, "seed {seed}, step {step}");
        }
        for member in &members {
            let member = super::sign_in(&house, &member.name, member.id).await;
            let (open, done) = counted(&database, member.id);
            assert_eq!(total(&house, &member, "").await, open + done);
            assert_eq!(total(&house, &member, "&completed=false").await, open);
            assert_eq!(total(&house, &member, "&completed=true").await, done);
        }
        let users = get(&house, None, "/users").await;
        assert_eq!(users.body["total"], json!(members.len() + 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_write_at_once_leave_the_counters_right() {
    let house = House::new().await;
    let (ada, ben) = (member(&house, "ada").await, member(&house, "ben").await);
    let storm = (0..60).map(async |n: i64| {
        let who = if n % 2 == 0 { &ada } else { &ben };
        let id = send(&house, who, "POST", "/todos", json!({ "title": "x" })).await.id();
        let path = format!("/todos/{id}");
        let done = send(&house, who, "PATCH", &path, json!({ "is_completed": n % 3 == 0 })).await;
        assert_eq!(done.status, 200);
        if n % 5 == 0 {
            send(&house, who, "DELETE", &path, Value::Null).await.is_empty();
        }
    });
    futures_util::future::join_all(storm).await;
    let database = look_into(&house.database());
    assert_eq!(wrong(&database), 0);
    for member in [&ada, &ben] {
        let (open, done) = counted(&database, member.id);
        assert_eq!(open + done, 24);
        assert_eq!(total(&house, member, "").await, 24);
        assert_eq!(total(&house, member, "&completed=true").await, done);
    }
}

#[tokio::test]
async fn a_page_s_total_is_read_from_the_counters() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    send(&house, &ada, "POST", "/todos", json!({ "title": "x" })).await.id();
    look_into(&house.database())
        .execute_batch("update todo_totals set open = 40, completed = 2; update user_total set users = 7")
        .unwrap();
    assert_eq!(total(&house, &ada, "").await, 42);
    assert_eq!(total(&house, &ada, "&completed=false").await, 40);
    assert_eq!(total(&house, &ada, "&completed=true").await, 2);
    assert_eq!(get(&house, None, "/users").await.body["total"], json!(7));
}
