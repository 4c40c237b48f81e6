//! The bench: starts the server on a fresh data directory, drives its routes over 32 connections, and prints
//! what each costs beside its budget. `cargo bench` runs it in about a minute; `cargo bench -- 10` gives each
//! route 10 seconds instead of 3. `cargo bench -- scale 10000 1000000` fills so many rows and shows what grows with
//! them; `cargo bench -- floods` shows what others notice of those who abuse the server, and what it costs in memory;
//! `cargo bench -- soak 600` drives all routes for ten minutes and watches the memory.
//!
//! CPU time is the server process's own, from `/proc`. Machines differ, and so do hours of one machine: the
//! budgets were set where a bare salvo that says hello costs 9 µs a request, so the run measures one, too, and
//! gives each cost as a multiple of it beside the budget's. Rates and latencies share the machine with this
//! client, which runs on one thread.

mod floods;
mod load;
mod scale;

use std::process::Command;
use std::time::Duration;

use salvo::conn::tcp::TcpAcceptor;
use salvo::{Router, handler};
use tokio::task::LocalSet;

use self::load::{BOOK, Load, PASSWORD, Server, Until, request};

/// Rows at least in the lists that are read.
const ROWS: usize = 10_000;

/// What a bare hello cost where the budgets were set, in µs.
const HELLO_BUDGET_US: f64 = 9.0;
/// With this in its environment the bench is the bare server.
const BARE: &str = "SATCHEL_BENCH_BARE";

fn main() {
    if std::env::var_os(BARE).is_some() {
        return bare_server();
    }
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let numbers: Vec<f64> = words.iter().filter_map(|word| word.parse().ok()).collect();
    let span = Duration::from_secs_f64(numbers.first().copied().unwrap_or(3.0));
    let says = |word: &str| words.iter().any(|said| said == word);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    LocalSet::new().block_on(&runtime, async {
        if says("scale") {
            scale::run(&numbers).await;
        } else if says("floods") {
            floods::run().await;
        } else if says("soak") {
            floods::soak(numbers.first().copied().unwrap_or(600.0)).await;
        } else {
            bench(span).await;
        }
    });
}

/// The command that starts the server, without the limits that one user would soon reach.
fn satchel() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_satchel"));
    command.args(["--port", "0", "--data", "data"]);
    for limit in ["CREATE_CONTACT", "LIST_CONTACTS", "UPDATE_AVATAR", "SIGNUP"] {
        command.env(format!("SATCHEL_CONTACTBOOK__LIMITS__{limit}"), "off");
    }
    command
}

/// The least that the edge can cost: one route that says what `/health` says, with nothing around it.
fn bare_server() {
    #[handler]
    async fn hello() -> &'static str {
        r#"{"status":"ok"}"#
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        println!("http://{}", listener.local_addr().expect("it is bound"));
        let acceptor = TcpAcceptor::try_from(listener).expect("it listens");
        salvo::Server::new(acceptor).serve(Router::with_path("health").get(hello)).await;
    });
}

async fn bench(span: Duration) {
    let bare =
        Server::start(Command::new(std::env::current_exe().expect("this program has a path")).env(BARE, "1"));
    let hello = bare.drive(&request("GET", "/health", "", "", ""), Until::Time(span)).await;
    drop(bare);
    let server = Server::start(&mut satchel());
    let idle = server.memory_mb();
    let token = server.sign_in();
    let signed = format!("Authorization: Bearer {token}\r\n");
    let create = request("POST", "/api/v1.0/books/", &signed, "application/json", BOOK);
    let first = server.once(&create[0]);
    let uuid = first
        .split("\"uuid\":\"")
        .nth(1)
        .and_then(|rest| rest.get(..36))
        .expect("a book has an id")
        .to_owned();
    let path = format!("/api/v1.0/books/{uuid}");
    let log_in = format!("username=bench%40example.com&password={}", PASSWORD.replace(' ', "+"));
    let log_in = request("POST", "/api/v1.0/auth/login", "", "application/x-www-form-urlencoded", &log_in);
    let get_book = request("GET", &path, "", "", "");

    println!(
        "{:<32}{:>9}{:>8}{:>8}{:>11}{:>8}{:>9}{:>8}",
        "work", "req/s", "p50 µs", "p99 µs", "CPU µs/req", "budget", "x hello", "budget"
    );
    let show = |name: &str, found: &Load, budget: Option<f64>| {
        let told =
            |budget: Option<f64>, digits| budget.map_or(String::from("-"), |us| format!("{us:.digits$}"));
        println!(
            "{name:<32}{:>9.0}{:>8}{:>8}{:>11.1}{:>8}{:>9.2}{:>8}",
            found.rate,
            found.p50_us,
            found.p99_us,
            found.cpu_us,
            told(budget, 0),
            found.cpu_us / hello.cpu_us,
            told(budget.map(|budget| budget / HELLO_BUDGET_US), 2),
        );
        if found.refused > 0 {
            println!("  of which answered other than 2xx: {}", found.refused);
        }
    };

    show("a bare salvo's hello", &hello, Some(HELLO_BUDGET_US));
    let health = server.drive(&request("GET", "/health", "", "", ""), Until::Time(span)).await;
    show("health", &health, Some(14.0));
    let calm = server.drive(&get_book, Until::Time(span)).await;
    show("get one book", &calm, Some(28.0));
    let own = request("GET", "/api/v1.0/users/me", &signed, "", "");
    show("get one's profile, signed in", &server.drive(&own, Until::Time(span)).await, None);
    let created = server.drive(&create, Until::Time(span)).await;
    show("create a book, durable", &created, Some(35.0));
    server.drive(&create, Until::Count(ROWS)).await;
    let update = request("PATCH", &path, &signed, "application/json", r#"{"pages":500}"#);
    show("update a book, durable", &server.drive(&update, Until::Time(span)).await, Some(40.0));
    let list = request("GET", "/api/v1.0/books/?limit=20", "", "", "");
    show("list 20 books of 10,000 or more", &server.drive(&list, Until::Time(span)).await, Some(60.0));
    let todo = r#"{"title":"Learn Rust","description":"Read the book","priority":"high"}"#;
    let create = request("POST", "/v1/todos", &signed, "application/json", todo);
    show("create a todo, durable", &server.drive(&create, Until::Time(span)).await, Some(35.0));
    server.drive(&create, Until::Count(ROWS)).await;
    let get = request("GET", "/v1/todos/1", &signed, "", "");
    show("get a todo, owner checked", &server.drive(&get, Until::Time(span)).await, Some(28.0));
    let list = request("GET", "/v1/todos?page_size=20", &signed, "", "");
    show("list 20 todos of 10,000 or more", &server.drive(&list, Until::Time(span)).await, Some(60.0));
    let item = r#"{"name":"Green tea","category":"Grocery","price_usd":19.99,"in_stock":true}"#;
    let create = request("POST", "/items", &signed, "application/json", item);
    server.drive(&create, Until::Count(ROWS)).await;
    let list = request("GET", "/items?limit=20", &signed, "", "");
    show("list 20 items of 10,000 or more", &server.drive(&list, Until::Time(span)).await, Some(60.0));
    let list = request("GET", "/items", &signed, "", "");
    show("list items (100, as unasked)", &server.drive(&list, Until::Time(span)).await, None);
    server.command(&["admin", "confirm", "--data", "data", "bench@example.com"]);
    let balance = request("PUT", "/users/balance", &signed, "application/json", r#"{"amount":1}"#);
    show("add to a balance, durable", &server.drive(&balance, Until::Time(span)).await, Some(40.0));
    for n in 0..25 {
        let contact = format!(
            r#"{{"fullname":"Grace {n}","email":"g@example.com","phone_number":1,"birthday":"1906-12-09"}}"#
        );
        server.once(&request("POST", "/api/contacts", &signed, "application/json", &contact)[0]);
    }
    let list = request("GET", "/api/contacts?limit=20", &signed, "", "");
    show("list 20 contacts", &server.drive(&list, Until::Time(span)).await, Some(60.0));
    show("log in", &server.drive(&log_in, Until::Time(span)).await, None);

    let again = server.drive(&get_book, Until::Time(span)).await;
    let (flooded, flood) =
        tokio::join!(server.drive(&get_book, Until::Time(span)), server.drive(&log_in, Until::Time(span)));
    show("get one book, calm, again", &again, None);
    show("get one book in a log-in flood", &flooded, None);
    println!("reads during the flood: {:.0} % of calm (budget 80 %)", 100.0 * flooded.rate / again.rate);
    println!("log-ins in the flood: {:.0}/s, refused as busy: {}", flood.rate, flood.refused);
    println!("first answer: {:.0} ms (budget 50)", server.first_answer.as_secs_f64() * 1e3);
    println!(
        "resident memory: idle {idle:.1} MB (budget 20), after the load {:.1} MB (budget 60)",
        server.memory_mb()
    );
    println!("binary: {:.1} MB (budget 25)", binary_mb());
}

fn binary_mb() -> f64 {
    std::fs::metadata(env!("CARGO_BIN_EXE_satchel")).map_or(0.0, |file| file.len() as f64 / 1e6)
}
