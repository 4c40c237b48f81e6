//! The bench: starts the server on a fresh data directory, drives its routes over 32 connections, and prints
//! what each costs beside its budget. `cargo bench` runs it in about a minute; `cargo bench -- 10` gives each
//! route 10 seconds instead of 3, in five slices. `cargo bench -- scale 10000 1000000` fills so many rows and shows what grows with
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

use self::load::{BOOK, PASSWORD, ROUNDS, Server, Until, Work, request};

/// Rows at least in the lists that are read.
const ROWS: usize = 10_000;

/// What a bare hello cost where the budgets were set, in µs.
const HELLO_BUDGET_US: f64 = 9.0;
/// What the health route may cost there, in µs.
const HEALTH_BUDGET_US: f64 = 14.0;
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
    command.env("SATCHEL_CONTACTBOOK__LIMITS__ENABLED", "false");
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

/// Prints what a route cost, as a multiple of the two beside it as well, with what it may.
fn print(work: &Work, budget: Option<f64>, hello: &Work, health: &Work) {
    let told = |budget: Option<f64>, digits| budget.map_or(String::from("-"), |us| format!("{us:.digits$}"));
    println!(
        "{:<32}{:>9.0}{:>8.0}{:>8.0}{:>11.1}{:>8}{:>9.2}{:>8}{:>10.2}{:>8}",
        work.name,
        work.median(|load| load.rate),
        work.median(|load| load.p50_us as f64),
        work.median(|load| load.p99_us as f64),
        work.median(|load| load.cpu_us),
        told(budget, 0),
        work.times(hello),
        told(budget.map(|us| us / HELLO_BUDGET_US), 2),
        work.times(health),
        told(budget.map(|us| us / HEALTH_BUDGET_US), 2),
    );
    let refused = work.refused();
    if refused > 0 {
        println!("  of which answered other than 2xx: {refused}");
    }
}

async fn bench(span: Duration) {
    let bare =
        Server::start(Command::new(std::env::current_exe().expect("this program has a path")).env(BARE, "1"));
    let server = Server::start(&mut satchel());
    let idle = server.memory_mb();
    let token = server.sign_in();
    let signed = format!("Authorization: Bearer {token}\r\n");
    let json = "application/json";
    let get = |path: &str| request("GET", path, &signed, "", "");
    let create_book = request("POST", "/api/v1.0/books/", &signed, json, BOOK);
    let first = server.once(&create_book[0]);
    let uuid = first.split("\"uuid\":\"").nth(1).and_then(|rest| rest.get(..36)).expect("a book has an id");
    let book = format!("/api/v1.0/books/{uuid}");
    let todo = r#"{"title":"Learn Rust","description":"Read the book","priority":"high"}"#;
    let create_todo = request("POST", "/v1/todos", &signed, json, todo);
    let item = r#"{"name":"Green tea","category":"Grocery","price_usd":19.99,"in_stock":true}"#;
    let create_item = request("POST", "/items", &signed, json, item);
    server.command(&["admin", "confirm", "--data", "data", "bench@example.com"]);
    for create in [&create_book, &create_todo, &create_item] {
        server.drive(create, Until::Count(ROWS)).await;
    }
    for n in 0..25 {
        let contact = format!(
            r#"{{"fullname":"Grace {n}","email":"g@example.com","phone_number":1,"birthday":"1906-12-09"}}"#
        );
        server.once(&request("POST", "/api/contacts", &signed, json, &contact)[0]);
    }
    let get_book = request("GET", &book, "", "", "");
    let health = || request("GET", "/health", "", "", "");
    let asks = "Origin: http://localhost:5173\r\nAccess-Control-Request-Method: POST\r\n\
                Access-Control-Request-Headers: authorization,content-type\r\n";
    let mut works: [(Work, Option<f64>); 17] = [
        (Work::new("a bare salvo's hello", health()), Some(HELLO_BUDGET_US)),
        (Work::new("health", health()), Some(HEALTH_BUDGET_US)),
        (Work::new("OPTIONS", request("OPTIONS", "/v1/todos", "", "", "")), Some(HEALTH_BUDGET_US)),
        (
            Work::new("OPTIONS of a browser", request("OPTIONS", "/v1/todos", asks, "", "")),
            Some(HEALTH_BUDGET_US),
        ),
        (Work::new("get one book", get_book.clone()), Some(28.0)),
        (Work::new("get one's profile, signed in", get("/v1/auth/me")), None),
        (Work::new("get a todo, owner checked", get("/v1/todos/1")), Some(28.0)),
        (Work::new("list 20 books of 10,000 or more", get("/api/v1.0/books/?limit=20")), Some(60.0)),
        (Work::new("list 20 todos of 10,000 or more", get("/v1/todos?page_size=20")), Some(60.0)),
        (Work::new("list 20 items of 10,000 or more", get("/items?limit=20")), Some(60.0)),
        (Work::new("list 20 contacts", get("/api/contacts?limit=20")), Some(60.0)),
        (Work::new("list items (100, as unasked)", get("/items")), None),
        (Work::new("create a book, durable", create_book), Some(35.0)),
        (Work::new("create a todo, durable", create_todo), Some(35.0)),
        (Work::new("create an item, durable", create_item), Some(35.0)),
        (
            Work::new("update a book, durable", request("PATCH", &book, &signed, json, r#"{"pages":500}"#)),
            Some(40.0),
        ),
        (
            Work::new(
                "add to a balance, durable",
                request("PUT", "/users/balance", &signed, json, r#"{"amount":1}"#),
            ),
            Some(40.0),
        ),
    ];
    for _ in 0..ROUNDS {
        for (n, (work, _)) in works.iter_mut().enumerate() {
            let asked = if n == 0 { &bare } else { &server };
            work.drive(asked, span).await;
        }
    }
    drop(bare);
    println!(
        "{:<32}{:>9}{:>8}{:>8}{:>11}{:>8}{:>9}{:>8}{:>10}{:>8}",
        "work",
        "req/s",
        "p50 µs",
        "p99 µs",
        "CPU µs/req",
        "budget",
        "x hello",
        "budget",
        "x health",
        "budget"
    );
    let [(hello, _), (health, _), ..] = &works;
    works.iter().for_each(|(work, budget)| print(work, *budget, hello, health));

    let log_in = format!("username=bench%40example.com&password={}", PASSWORD.replace(' ', "+"));
    let log_in = request("POST", "/api/v1.0/auth/login", "", "application/x-www-form-urlencoded", &log_in);
    let (_, share, answers) = floods::beside(&server, &get_book, |_| log_in.clone(), span).await;
    println!("reads during a log-in flood: {share:.0} % of calm (budget 80 %); the log-ins: {answers}");
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
