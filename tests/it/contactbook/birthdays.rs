//! contactbook, `GET /api/contacts/bd`: whose birthday comes next, as the server's calendar has it.

use satchel::clock::Timestamp;
use serde_json::{Value, json};

use super::contacts::{add, again, all, path};
use super::member;
use crate::house::{Answer, Guest, House, contact, send, with};

/// Adds a contact with this birthday, which is its name, too, with something behind it.
async fn born(house: &House, owner: &Guest, birthday: &str, more: &str) -> Value {
    let given = with(contact(&format!("{birthday}{more}")), json!({ "birthday": birthday }));
    add(house, owner, given).await
}

/// Adds a contact for each of these days of a leap year.
async fn born_on(house: &House, owner: &Guest, days: &[&str]) {
    for day in days {
        born(house, owner, &format!("1992-{day}"), "").await;
    }
}

async fn bd(house: &House, who: &Guest, query: &str) -> Answer {
    send(house, who, "GET", &format!("/api/contacts/bd{query}"), Value::Null).await
}

/// The birthdays of a page, without their year.
fn days(page: &Answer) -> Vec<&str> {
    assert_eq!(page.status, 200, "{}", page.text);
    let contacts = page.body.as_array().unwrap().iter();
    contacts.map(|contact| &contact["birthday"].as_str().unwrap()[5..]).collect()
}

fn moment(text: &str) -> Timestamp {
    Timestamp::from_micros(text.parse::<jiff::Timestamp>().unwrap().as_microsecond())
}

/// Moves the clock to this moment, and signs in there.
async fn on(house: &House, guest: &Guest, text: &str) -> Guest {
    house.clock.set(moment(text));
    again(house, guest).await
}

/// The address of the next page, if there is one.
fn next(page: &Answer) -> Option<String> {
    let link = page.header("link");
    if link.is_empty() {
        return None;
    }
    let (address, rest) = link.strip_prefix('<').unwrap().split_once('>').unwrap();
    assert_eq!(rest, "; rel=\"next\"");
    Some(address.to_owned())
}

#[tokio::test]
async fn today_and_the_last_day_of_the_range_are_in_it_and_the_days_beside_them_are_not() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let ben = member(&house, "ben").await;
    born_on(&house, &ada, &["11-20", "11-29", "01-01", "12-31"]).await;
    let last = born(&house, &ada, "1815-11-28", "").await;
    let today = born(&house, &ada, "2030-11-21", "").await;
    let within = born(&house, &ada, "0001-11-24", "").await;
    born_on(&house, &ben, &["11-21", "11-28"]).await;
    for path in ["", "/", "?days_range=7", "?days_range=7.0", "?days_range=%2b7", "?user_id=2"] {
        let page = bd(&house, &ada, path).await;
        page.is(200, json!([today, within, last]));
        assert_eq!(page.header("link"), "");
    }
    bd(&house, &ada, "?days_range=0").await.is(200, json!([today]));
    bd(&house, &ada, "?days_range=6").await.is(200, json!([today, within]));
    assert_eq!(days(&bd(&house, &ada, "?days_range=8").await), ["11-21", "11-24", "11-28", "11-29"]);
    assert_eq!(days(&bd(&house, &ben, "").await), ["11-21", "11-28"]);
}

#[tokio::test]
async fn the_range_ends_with_the_year() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    born_on(&house, &ada, &["12-31", "12-30", "12-27", "12-28", "01-01", "01-02", "11-21", "02-29"]).await;
    for range in [40, 366] {
        let page = bd(&house, &ada, &format!("?days_range={range}")).await;
        assert_eq!(days(&page), ["11-21", "12-27", "12-28", "12-30", "12-31"]);
    }
    assert_eq!(days(&bd(&house, &ada, "?days_range=39").await), ["11-21", "12-27", "12-28", "12-30"]);
    let ada = on(&house, &ada, "2026-12-28T00:00:00Z").await;
    assert_eq!(days(&bd(&house, &ada, "").await), ["12-28", "12-30", "12-31"]);
    let ada = on(&house, &ada, "2026-12-31T23:59:59.999999Z").await;
    for range in [0, 7, 366] {
        assert_eq!(days(&bd(&house, &ada, &format!("?days_range={range}")).await), ["12-31"]);
    }
    let ada = on(&house, &ada, "2027-01-01T00:00:00Z").await;
    assert_eq!(days(&bd(&house, &ada, "").await), ["01-01", "01-02"]);
    let whole = ["01-01", "01-02", "02-29", "11-21", "12-27", "12-28", "12-30", "12-31"];
    for range in [364, 365, 366] {
        assert_eq!(days(&bd(&house, &ada, &format!("?days_range={range}")).await), whole);
    }
    assert_eq!(days(&bd(&house, &ada, "?days_range=363").await), whole[..7]);
}

#[tokio::test]
async fn a_leap_day_is_kept_on_the_28th_in_common_years_and_on_its_own_day_in_leap_years() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    born_on(&house, &ada, &["02-29", "02-27", "02-28", "03-01", "03-07"]).await;
    for (now, range, expected) in [
        ("2027-02-20T12:00:00Z", 7, &["02-27"][..]),
        ("2027-02-21T12:00:00Z", 7, &["02-27", "02-28", "02-29"]),
        ("2027-02-27T12:00:00Z", 0, &["02-27"]),
        ("2027-02-27T12:00:00Z", 1, &["02-27", "02-28", "02-29"]),
        ("2027-02-28T00:00:00Z", 0, &["02-28", "02-29"]),
        ("2027-02-28T23:59:59Z", 1, &["02-28", "02-29", "03-01"]),
        ("2027-02-28T23:59:59Z", 7, &["02-28", "02-29", "03-01", "03-07"]),
        ("2027-03-01T00:00:00Z", 7, &["03-01", "03-07"]),
        ("2028-02-21T12:00:00Z", 7, &["02-27", "02-28"]),
        ("2028-02-28T12:00:00Z", 0, &["02-28"]),
        ("2028-02-28T12:00:00Z", 1, &["02-28", "02-29"]),
        ("2028-02-29T00:00:00Z", 0, &["02-29"]),
        ("2028-02-29T23:59:59Z", 7, &["02-29", "03-01", "03-07"]),
        ("2028-03-01T00:00:00Z", 0, &["03-01"]),
        // A century that is no leap year, and one that is.
        ("2100-02-28T12:00:00Z", 0, &["02-28", "02-29"]),
        ("2400-02-28T12:00:00Z", 0, &["02-28"]),
    ] {
        let ada = on(&house, &ada, now).await;
        let page = bd(&house, &ada, &format!("?days_range={range}")).await;
        assert_eq!(days(&page), expected, "{now} and {range} days");
    }
}

#[tokio::test]
async fn today_is_the_date_in_the_servers_time_zone() {
    for (zone, days_of) in [
        ("UTC", &[("2026-11-21T23:59:59Z", "11-21"), ("2026-11-22T00:00:00Z", "11-22")][..]),
        (
            "Pacific/Kiritimati",
            &[
                ("2026-11-21T09:59:59Z", "11-21"),
                ("2026-11-21T10:00:00Z", "11-22"),
                ("2026-12-31T10:00:00Z", "01-01"),
            ],
        ),
        (
            "Pacific/Pago_Pago",
            &[
                ("2026-11-21T10:59:59Z", "11-20"),
                ("2026-11-21T11:00:00Z", "11-21"),
                ("2027-01-01T10:59:59Z", "12-31"),
            ],
        ),
        (
            "America/New_York",
            &[
                ("2027-03-14T04:59:59Z", "03-13"),
                ("2027-03-14T05:00:00Z", "03-14"),
                // An hour was left out since.
                ("2027-03-15T03:59:59Z", "03-14"),
                ("2027-03-15T04:00:00Z", "03-15"),
                // And given back.
                ("2027-11-07T04:00:00Z", "11-07"),
                ("2027-11-08T04:59:59Z", "11-07"),
                ("2027-11-08T05:00:00Z", "11-08"),
            ],
        ),
        ("Asia/Kathmandu", &[("2026-11-21T18:14:59Z", "11-21"), ("2026-11-21T18:15:00Z", "11-22")]),
    ] {
        let house = House::with(|config| config.server.timezone = zone.into()).await;
        let ada = member(&house, "ada").await;
        let all = ["11-20", "11-21", "11-22", "12-31", "01-01", "03-13", "03-14", "03-15", "11-07", "11-08"];
        born_on(&house, &ada, &all).await;
        for (now, expected) in days_of {
            let ada = on(&house, &ada, now).await;
            assert_eq!(days(&bd(&house, &ada, "?days_range=0").await), [*expected], "{zone} at {now}");
        }
    }
}

#[tokio::test]
async fn a_range_outside_its_bounds_is_refused() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let unreadable = "Input should be a valid integer, unable to parse string as an integer";
    let (small, large) =
        ("Input should be greater than or equal to 0", "Input should be less than or equal to 366");
    for (query, name, kind, msg) in [
        ("days_range=-1", "days_range", "greater_than_equal", small),
        ("days_range=-99999999999999999999", "days_range", "greater_than_equal", small),
        ("days_range=367", "days_range", "less_than_equal", large),
        ("days_range=9223372036854775807", "days_range", "less_than_equal", large),
        ("days_range=99999999999999999999", "days_range", "less_than_equal", large),
        ("days_range=7.5", "days_range", "int_parsing", unreadable),
        ("days_range=", "days_range", "int_parsing", unreadable),
        ("days_range=week", "days_range", "int_parsing", unreadable),
        ("days_range=7%00", "days_range", "int_parsing", unreadable),
        ("days_range=%ff", "days_range", "int_type", "Input should be a valid integer"),
        ("limit=0", "limit", "greater_than_equal", "Input should be greater than or equal to 1"),
        ("limit=1001", "limit", "less_than_equal", "Input should be less than or equal to 1000"),
        ("cursor=x", "cursor", "value_error", "Value error, Cursor must come from the Link header of a page"),
        ("cursor=", "cursor", "value_error", "Value error, Cursor must come from the Link header of a page"),
    ] {
        bd(&house, &ada, &format!("?{query}")).await.invalid(&[(kind, json!(["query", name]), msg)]);
    }
    bd(&house, &ada, "?days_range=367").await.is(
        422,
        json!({ "detail": [{
            "type": "less_than_equal", "loc": ["query", "days_range"], "msg": large, "input": "367", "ctx": { "le": 366 },
        }] }),
    );
}

#[tokio::test]
async fn the_next_birthday_comes_first_and_of_one_day_the_lowest_number() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let mut made = Vec::new();
    for birthday in ["2000-11-23", "1990-11-22", "1950-11-23", "2026-11-21", "1999-11-22", "1906-11-21"] {
        made.push(born(&house, &ada, birthday, "").await);
    }
    let order = [3, 5, 1, 4, 0, 2].map(|n: usize| made[n].clone());
    bd(&house, &ada, "").await.is(200, json!(order));
    // Whoever changes the day changes the place.
    let moved = with(made[3].clone(), json!({ "birthday": "2026-11-24" }));
    send(&house, &ada, "PUT", &path(&made[3]), moved.clone()).await.is(200, moved.clone());
    let order = [&made[5], &made[1], &made[4], &made[0], &made[2], &moved];
    bd(&house, &ada, "").await.is(200, json!(order));
}

#[tokio::test]
async fn pages_of_birthdays_walk_all_of_them_once_and_in_order() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let ben = member(&house, "ben").await;
    for n in 0..24 {
        let (day, more) = (21 + n * 7 % 5, format!(" {n}"));
        born(&house, &ada, &format!("19{n:02}-11-{day}"), &more).await;
        born(&house, &ben, &format!("19{n:02}-11-{day}"), &more).await;
    }
    let whole = bd(&house, &ada, "?days_range=3").await;
    let expected = whole.body.as_array().unwrap().clone();
    assert_eq!((expected.len(), whole.header("link")), (19, ""));
    let all = all(&house, &ada).await;
    let mut sorted: Vec<Value> = all.as_array().unwrap().clone();
    sorted.retain(|contact| contact["birthday"].as_str().unwrap()[5..] <= *"11-24");
    sorted.sort_by_key(|contact| contact["birthday"].as_str().unwrap()[5..].to_owned());
    assert_eq!(expected, sorted);
    for start in ["/api/contacts/bd", "/api/contacts/bd/"] {
        for limit in [1, 2, 5, 18, 19] {
            let mut at = Some(format!("{start}?days_range=3&limit={limit}"));
            let mut walked = Vec::new();
            while let Some(address) = at {
                let page = send(&house, &ada, "GET", &address, Value::Null).await;
                let contacts = page.body.as_array().unwrap_or_else(|| panic!("{}", page.text));
                walked.extend(contacts.clone());
                at = next(&page);
                assert_eq!(at.is_some(), walked.len() < 19, "{address}");
                assert!(
                    at.iter()
                        .all(|at| at.starts_with(&format!("{start}?days_range=3&limit={limit}&cursor=")))
                );
            }
            assert_eq!(walked, expected, "{start} by {limit}");
        }
    }
}

#[tokio::test]
async fn a_page_of_birthdays_goes_on_where_the_one_before_ended_whatever_came_or_went_meanwhile() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    for (day, more) in [("11-21", " a"), ("11-22", " a"), ("11-22", " b"), ("11-23", " a"), ("11-24", " a")] {
        born(&house, &ada, &format!("1990-{day}"), more).await;
    }
    let contacts = all(&house, &ada).await;
    let first = bd(&house, &ada, "?limit=2").await;
    first.is(200, json!([contacts[0], contacts[1]]));
    let rest = next(&first).unwrap();
    // One comes before and one on the same day; the last that was seen goes, and one before and one after it.
    born(&house, &ada, "1990-11-21", " late").await;
    let same_day = born(&house, &ada, "1990-11-22", " late").await;
    for gone in [&contacts[0], &contacts[1], &contacts[3]] {
        assert_eq!(send(&house, &ada, "DELETE", &path(gone), Value::Null).await.status, 200);
    }
    let second = send(&house, &ada, "GET", &rest, Value::Null).await;
    second.is(200, json!([contacts[2], same_day]));
    // The last that was seen gets another day.
    let moved = with(same_day.clone(), json!({ "birthday": "1990-11-28" }));
    send(&house, &ada, "PUT", &path(&same_day), moved.clone()).await.is(200, moved.clone());
    let third = send(&house, &ada, "GET", &next(&second).unwrap(), Value::Null).await;
    third.is(200, json!([contacts[4], moved]));
    assert_eq!(next(&third), None);
}

#[tokio::test]
async fn a_page_of_birthdays_shows_none_that_has_passed_since_the_page_before() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    for (day, more) in [("11-21", " a"), ("11-21", " b"), ("11-21", " c"), ("11-22", " a"), ("11-29", " a")] {
        born(&house, &ada, &format!("1990-{day}"), more).await;
    }
    let rest = next(&bd(&house, &ada, "?limit=1").await).unwrap();
    assert_eq!(days(&send(&house, &ada, "GET", &rest, Value::Null).await), ["11-21"]);
    let ada = on(&house, &ada, "2026-11-22T00:00:00Z").await;
    let page = send(&house, &ada, "GET", &rest, Value::Null).await;
    assert_eq!(days(&page), ["11-22"]);
    let page = send(&house, &ada, "GET", &next(&page).unwrap(), Value::Null).await;
    assert_eq!((days(&page), next(&page)), (vec!["11-29"], None));
}

#[tokio::test]
async fn a_cursor_of_anothers_list_shows_nothing_of_it() {
    let house = House::new().await;
    let ada = member(&house, "ada").await;
    let ben = member(&house, "ben").await;
    born_on(&house, &ada, &["11-21", "11-23"]).await;
    born_on(&house, &ben, &["11-22", "11-24"]).await;
    let hers = next(&bd(&house, &ada, "?limit=1").await).unwrap();
    let page = send(&house, &ben, "GET", &hers, Value::Null).await;
    let shown = days(&page);
    assert!(shown.iter().all(|day| ["11-22", "11-24"].contains(day)), "{shown:?}");
}
