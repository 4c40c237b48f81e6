//! The house's rules that no compiler holds: who may name whom, and what every file has.

use std::fs;
use std::path::{Path, PathBuf};

/// What a room never names, by the beginning of a path.
struct Rule {
    room: &'static str,
    never: &'static [&'static str],
    /// What it may name all the same.
    but: &'static [&'static str],
}

const RULES: &[Rule] = &[
    // Words and wire: what is true lies below. Of the database it has the rights that it passes on.
    Rule {
        room: "api",
        never: &["rusqlite", "crate::db", "crate::cli", "crate::mail"],
        but: &["crate::db::Read", "crate::db::Write", "crate::db::Room"],
    },
    // No API, and no SQL.
    Rule {
        room: "http",
        never: &["rusqlite", "crate::api", "crate::cli", "crate::db", "crate::mail"],
        but: &[],
    },
    // True whatever the wire.
    Rule {
        room: "domain",
        never: &["salvo", "crate::api", "crate::http", "crate::app", "crate::cli", "crate::mail"],
        but: &[],
    },
    // SQLite, and no noun of the product.
    Rule {
        room: "db",
        never: &[
            "salvo",
            "crate::api",
            "crate::http",
            "crate::app",
            "crate::cli",
            "crate::config",
            "crate::domain",
            "crate::mail",
        ],
        but: &[],
    },
    // Letters leave by the outbox: its SQL is the domain's.
    Rule {
        room: "mail",
        never: &["salvo", "rusqlite", "crate::api", "crate::http", "crate::app", "crate::cli"],
        but: &[],
    },
    // The ground that everything stands on.
    Rule {
        room: "error",
        never: &[
            "salvo",
            "rusqlite",
            "crate::api",
            "crate::app",
            "crate::cli",
            "crate::clock",
            "crate::config",
            "crate::db",
            "crate::domain",
            "crate::http",
            "crate::mail",
            "crate::telemetry",
        ],
        but: &[],
    },
    Rule {
        room: "clock",
        never: &[
            "salvo",
            "crate::api",
            "crate::app",
            "crate::cli",
            "crate::db",
            "crate::domain",
            "crate::http",
            "crate::mail",
        ],
        but: &[],
    },
    Rule {
        room: "config",
        never: &[
            "salvo",
            "rusqlite",
            "crate::api",
            "crate::app",
            "crate::cli",
            "crate::db",
            "crate::http",
            "crate::mail",
        ],
        but: &[],
    },
];

/// The product's nouns, as its tables are called.
const NOUNS: [&str; 8] = ["users", "sessions", "tokens", "letters", "books", "items", "todos", "contacts"];

/// A file may have so many lines.
const LINES_MAX: usize = 600;

/// Those that have more, and why they are one file all the same.
const LONG: &[(&str, &str)] = &[
    ("src/domain/auth/keys.rs", "the life of a key file, and the tests that interrupt it"),
    ("src/domain/auth/tokens.rs", "one form of token, and the tests of everything that is not it"),
];

/// A source file: where it lies, from the root of the repository, and what is in it.
struct Source {
    path: String,
    text: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// Without its unit tests, which may name what they like.
    fn product(&self) -> &str {
        self.text.split("#[cfg(test)]\nmod ").next().unwrap_or_default()
    }

    /// Its module, from the crate: `["domain", "auth"]` for `src/domain/auth/mod.rs`.
    fn module(&self) -> Vec<&str> {
        let path = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        path.split('/').filter(|name| !matches!(*name, "mod" | "lib" | "main")).collect()
    }

    /// Every path that its code names, `use` trees spread out, `self` and `super` resolved.
    fn names(&self) -> Vec<String> {
        let module = self.module();
        let code = blank(self.product(), true);
        paths(&tokens(&code)).into_iter().map(|path| resolve(&module, &path)).collect()
    }
}

/// The text with its comments blanked out and, if wanted, what its string and character literals hold.
fn blank(text: &str, literals: bool) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut code = String::with_capacity(text.len());
    let mut i = 0;
    while i < chars.len() {
        let start = i;
        let mut literal = true;
        match at(i) {
            '/' if at(i + 1) == '/' => {
                literal = false;
                while i < chars.len() && at(i) != '\n' {
                    i += 1;
                }
            }
            '/' if at(i + 1) == '*' => {
                literal = false;
                while i < chars.len() && !(at(i) == '*' && at(i + 1) == '/') {
                    i += 1;
                }
                i += 2;
            }
            'r' if !at(i.wrapping_sub(1)).is_alphanumeric() && matches!(at(i + 1), '"' | '#') => {
                let hashes = (i + 1..).take_while(|i| at(*i) == '#').count();
                if at(i + 1 + hashes) != '"' {
                    code.push('r');
                    i += 1;
                    continue;
                }
                let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
                i += hashes + 2;
                while i < chars.len() && !chars[i..].starts_with(&end) {
                    i += 1;
                }
                i += end.len();
            }
            '"' => {
                i += 1;
                while i < chars.len() && at(i) != '"' {
                    i += if at(i) == '\\' { 2 } else { 1 };
                }
                i += 1;
            }
            // A lifetime has no second quote.
            '\'' if at(i + 1) == '\\' || at(i + 2) == '\'' => {
                i += if at(i + 1) == '\\' { 3 } else { 2 };
                while i < chars.len() && at(i) != '\'' {
                    i += 1;
                }
                i += 1;
            }
            other => {
                code.push(other);
                i += 1;
                continue;
            }
        }
        let whole = chars[start..i.min(chars.len())].iter();
        if literal && !literals {
            code.extend(whole);
        } else {
            code.extend(whole.map(|c| if *c == '\n' { '\n' } else { ' ' }));
        }
    }
    code
}

/// Words, `::`, and every other sign by itself.
fn tokens(code: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut joined = false;
    for c in code.chars() {
        let word = c.is_alphanumeric() || c == '_';
        match tokens.last_mut() {
            Some(last) if joined && word && last.ends_with(|c: char| c.is_alphanumeric() || c == '_') => {
                last.push(c);
            }
            Some(last) if joined && c == ':' && last == ":" => last.push(c),
            _ if c.is_whitespace() => {}
            _ => tokens.push(String::from(c)),
        }
        joined = !c.is_whitespace();
    }
    tokens
}

/// Every path of two segments or more, and every `use` of one, as its segments.
fn paths(tokens: &[String]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        let before = i;
        i = path(tokens, i, &[], &mut found).max(before + 1);
    }
    found.retain(|path| path.len() > 1);
    found
}

/// Reads a path, or a tree of them, at `i`; returns where it ends.
fn path(tokens: &[String], mut i: usize, prefix: &[String], found: &mut Vec<Vec<String>>) -> usize {
    let at = |i: usize| tokens.get(i).map_or("", String::as_str);
    let is_name = |text: &str| text.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let mut segments = prefix.to_vec();
    loop {
        if is_name(at(i)) || at(i) == "*" && !segments.is_empty() {
            segments.push(tokens[i].clone());
            i += 1;
            if at(i) == "::" && (is_name(at(i + 1)) || matches!(at(i + 1), "*" | "{")) {
                i += 1;
                continue;
            }
        } else if at(i) == "{" && !segments.is_empty() {
            i += 1;
            while i < tokens.len() && at(i) != "}" {
                let before = i;
                i = path(tokens, i, &segments, found).max(before + 1);
            }
            return i + 1;
        }
        break;
    }
    if segments.len() > prefix.len() {
        found.push(segments);
    }
    i
}

fn resolve(module: &[&str], path: &[String]) -> String {
    let mut whole: Vec<&str> = Vec::new();
    for (n, segment) in path.iter().enumerate() {
        match segment.as_str() {
            "self" if n == 0 => whole = [&["crate"], module].concat(),
            "super" if n == 0 => {
                let parent = module.split_last().map_or(module, |(_, parent)| parent);
                whole = [&["crate"], parent].concat();
            }
            "super" => drop(whole.pop()),
            "self" => {}
            other => whole.push(other),
        }
    }
    whole.join("::")
}

/// Whether `path` is `beginning` or lies in it.
fn lies_in(path: &str, beginning: &str) -> bool {
    path.strip_prefix(beginning).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// What a file names against the rules, APIs being those of `apis`.
fn forbidden(source: &Source, apis: &[&str]) -> Vec<String> {
    let module = source.module();
    let names = source.names();
    let mut found: Vec<String> = Vec::new();
    for rule in RULES.iter().filter(|rule| module.first() == Some(&rule.room)) {
        let breaks = |name: &&String| {
            rule.never.iter().any(|never| lies_in(name, never))
                && !rule.but.iter().any(|but| lies_in(name, but))
        };
        found.extend(names.iter().filter(breaks).cloned());
    }
    if let ["api", own, ..] = module[..]
        && apis.contains(&own)
    {
        let others = apis.iter().filter(|api| **api != own).map(|api| format!("crate::api::{api}"));
        for other in others {
            found.extend(names.iter().filter(|name| lies_in(name, &other)).cloned());
        }
    }
    found
}

/// The product's nouns in a file's code and literals.
fn nouns(source: &Source) -> Vec<String> {
    let code = blank(source.product(), false);
    tokens(&code).into_iter().filter(|word| NOUNS.contains(&word.as_str())).collect()
}

/// The handlers of a file: each name, and whether its arguments take a token after they take input.
fn handlers(source: &Source) -> Vec<(String, bool)> {
    let code = blank(source.product(), true);
    let mut found = Vec::new();
    for part in code.split("#[endpoint").skip(1) {
        let Some((_, function)) = part.split_once(" fn ") else { continue };
        let Some((name, rest)) = function.split_once('(') else { continue };
        let mut depth = 1_i32;
        let end = rest.find(|c| {
            depth += match c {
                '(' => 1,
                ')' => -1,
                _ => 0,
            };
            depth == 0
        });
        let arguments = tokens(&rest[..end.unwrap_or(rest.len())]);
        let place = |wanted: &[&str]| arguments.iter().position(|word| wanted.contains(&word.as_str()));
        let (token, input) = (place(&["Caller", "Administrator", "Visitor"]), place(&["Valid"]));
        found.push((name.to_owned(), matches!((token, input), (Some(token), Some(input)) if token > input)));
    }
    found
}

/// The functions that take the bare right to write and a caller, whose authority nobody has judged then.
fn unjudged(source: &Source) -> Vec<String> {
    let code = blank(source.product(), true);
    let signatures = code.split("fn ").skip(1).filter_map(|function| function.split(['{', ';']).next());
    let unjudged = signatures.filter(|signature| {
        let names = tokens(signature);
        let has = |name: &str| names.iter().any(|word| word == name);
        has("Write") && has("Caller")
    });
    unjudged.filter_map(|signature| signature.split(['(', '<']).next()).map(str::to_owned).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below a directory of the repository.
fn sources(directory: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = vec![root().join(directory)];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push(Source::new(path.strip_prefix(root()).unwrap().to_str().unwrap(), &text));
            }
        }
    }
    assert!(!found.is_empty(), "{directory} has no sources");
    found
}

/// The APIs: the directories of `src/api`.
fn apis() -> Vec<String> {
    let entries = fs::read_dir(root().join("src/api")).unwrap().map(Result::unwrap);
    entries
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect()
}

#[test]
fn no_room_names_what_it_must_not_know() {
    let apis = apis();
    let apis: Vec<&str> = apis.iter().map(String::as_str).collect();
    for source in sources("src") {
        assert_eq!(forbidden(&source, &apis), Vec::<String>::new(), "{}", source.path);
    }
}

#[test]
fn the_database_room_names_no_noun_of_the_product() {
    for source in sources("src/db") {
        assert_eq!(nouns(&source), Vec::<String>::new(), "{}", source.path);
    }
}

#[test]
fn every_handler_looks_at_the_token_before_the_input() {
    let mut count = 0;
    for source in sources("src/api") {
        for (name, input_first) in handlers(&source) {
            assert!(!input_first, "{}: {name} takes its input before the token", source.path);
            count += 1;
        }
    }
    assert!(count > 20, "{count} handlers were found");
}

#[test]
fn nothing_is_written_for_a_caller_whose_authority_was_not_judged_in_the_transaction() {
    for source in sources("src") {
        // The one place that judges it.
        if source.path != "src/domain/auth/authority.rs" {
            assert_eq!(unjudged(&source), Vec::<String>::new(), "{}", source.path);
        }
    }
}

#[test]
fn the_right_of_an_administrator_is_made_by_the_authority_and_by_the_operator_alone() {
    let holders = |directory: &str, words_of: [&str; 2], gap: usize| -> Vec<String> {
        let holds = |source: &Source| {
            let code = blank(source.product(), true);
            let words = tokens(&code);
            words.windows(gap + 1).any(|found| found[0] == words_of[0] && found[gap] == words_of[1])
        };
        let mut found: Vec<_> =
            sources(directory).into_iter().filter(holds).map(|source| source.path).collect();
        found.sort();
        found
    };
    // Its field is private to this room: where it is declared with the operator's, and where a caller's is made.
    let made = holders("src/domain/auth", ["Admin", "("], 1);
    assert_eq!(made, ["src/domain/auth/authority.rs", "src/domain/auth/mod.rs"]);
    assert_eq!(holders("src", ["Admin", "operator"], 2), ["src/cli/admin.rs"]);
}

#[test]
fn a_function_that_writes_for_an_unjudged_caller_is_seen() {
    let found = |text: &str| unjudged(&Source::new("src/domain/books.rs", text));
    assert_eq!(found("pub fn update(db: &Write, caller: &Caller) -> Result<()> { x() }"), ["update"]);
    assert_eq!(found("fn a(db: &WriteAs) { }\nfn b(db: &Read, caller: &Caller) { }"), Vec::<String>::new());
}

#[test]
fn every_file_begins_with_what_it_is() {
    for directory in ["src", "tests", "benches"] {
        for Source { path, text } in sources(directory) {
            let first = text.lines().next().unwrap_or_default();
            assert!(first.starts_with("//! ") && first.len() > 10, "{path} begins with {first:?}");
        }
    }
}

#[test]
fn no_file_is_long_without_a_reason() {
    let sources: Vec<_> = sources("src").into_iter().chain(sources("tests")).collect();
    for Source { path, text } in &sources {
        let (lines, listed) = (text.lines().count(), LONG.iter().any(|(long, _)| long == path));
        assert!(lines <= LINES_MAX || listed, "{path} has {lines} lines");
        assert!(lines > LINES_MAX || !listed, "{path} has {lines} lines and needs no reason any more");
    }
    for (long, _) in LONG {
        assert!(sources.iter().any(|source| source.path == *long), "{long} is gone");
    }
}

#[test]
fn every_migration_goes_up_and_down() {
    let mut names: Vec<String> = fs::read_dir(root().join("migrations"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    for (name, number) in names.iter().zip(1..) {
        assert!(name.starts_with(&format!("{number:04}_")), "{name} is out of order");
        for file in ["up.sql", "down.sql"] {
            let sql = fs::read_to_string(root().join("migrations").join(name).join(file)).unwrap_or_default();
            assert!(sql.contains(';'), "migrations/{name}/{file} does nothing");
        }
    }
}

#[test]
fn a_broken_import_rule_is_seen_however_it_is_written() {
    let check = |path: &str, text: &str, expected: &[&str]| {
        let found = forbidden(&Source::new(path, text), &["bookshelf", "store"]);
        assert_eq!(found, expected, "{text}");
    };
    check("src/api/bookshelf/books.rs", "use rusqlite::Connection;", &["rusqlite::Connection"]);
    check("src/api/bookshelf/books.rs", "use crate::db::{Read, Write};", &[]);
    check("src/api/bookshelf/books.rs", "use crate::db::{Read, migrate::up};", &["crate::db::migrate::up"]);
    check("src/api/bookshelf/books.rs", "use crate::{app::App, db::open as o};", &["crate::db::open"]);
    check(
        "src/api/bookshelf/books.rs",
        "fn f() { crate::db::backup::backup() }",
        &["crate::db::backup::backup"],
    );
    check("src/api/bookshelf/books.rs", "use crate::api::store::Item;", &["crate::api::store::Item"]);
    check("src/api/bookshelf/books.rs", "use super::super::store::Item;", &["crate::api::store::Item"]);
    check("src/api/bookshelf/mod.rs", "use super::{Api, store};", &["crate::api::store"]);
    check("src/api/bookshelf/books.rs", "use super::users::PageQuery; use crate::api::bookshelf::X;", &[]);
    check("src/api/mod.rs", "mod store; static APIS: [&Api; 1] = [&store::API];", &[]);
    check("src/http/input.rs", "use crate::api;", &["crate::api"]);
    check("src/http/input.rs", "use crate::\n    api\n    ::document;", &["crate::api::document"]);
    check("src/http/input.rs", "use crate::apiary::Bees;", &[]);
    check("src/domain/books.rs", "fn f(r: &salvo::Request) {}", &["salvo::Request"]);
    check("src/domain/auth/mod.rs", "use super::super::http::answer;", &["crate::http::answer"]);
    check("src/domain/auth/mod.rs", "use super::users::{Role, UserId};", &[]);
    check("src/domain/auth/mod.rs", "use self::tokens::*; use crate::{cli::*};", &["crate::cli::*"]);
    check("src/db/mod.rs", "use crate::{error::Result, config};", &["crate::config"]);
    check("src/error.rs", "use crate::clock::Clock;", &["crate::clock::Clock"]);
    check("src/cli/serve.rs", "use crate::api; use salvo::Server;", &[]);
    check("src/mail/transport.rs", "use crate::app::App; use lettre::Message;", &["crate::app::App"]);
    check("src/domain/letters.rs", "use crate::mail::Mail;", &["crate::mail::Mail"]);
    check("src/domain/books.rs", "// use salvo::Request;\n/* salvo::Request */\nlet a = \"salvo::x\";", &[]);
    check("src/domain/books.rs", "let a = ('\"', r#\"\"\"#, '\\''); salvo::x(\"\\\"\")", &["salvo::x"]);
    check("src/domain/books.rs", "fn f<'a>(a: &'a str) { salvo::x(a) }", &["salvo::x"]);
    check("src/domain/books.rs", "fn f() {}\n#[cfg(test)]\nmod tests {\n    use salvo::test;\n}", &[]);
}

#[test]
fn a_noun_is_seen_in_code_and_in_sql_and_not_in_a_comment() {
    let found = |text: &str| nouns(&Source::new("src/db/mod.rs", text));
    assert_eq!(found("// the users\nlet sql = \"select 1 from users\"; books(1)"), ["users", "books"]);
    assert_eq!(found("let user = superusers;"), Vec::<String>::new());
}

#[test]
fn a_handler_that_takes_its_input_first_is_seen() {
    let text =
        "#[endpoint(tags(A))]\npub async fn good(app: App, caller: Caller, input: Valid<Json<A>>) -> B {}
                #[endpoint]\npub async fn bad(input: Valid<(Path<A>, Json<B>)>, admin: Administrator) -> B {}
                #[endpoint]\nasync fn open(input: Valid<Json<A>>) { Caller::new() }";
    let found = handlers(&Source::new("src/api/a.rs", text));
    let expected = [("good", false), ("bad", true), ("open", false)];
    assert_eq!(found, expected.map(|(name, input_first)| (name.to_owned(), input_first)));
}
