//! Letters as they are caught: read out of files or off the wire, and those that a test has forgotten.

use std::fs;
use std::path::PathBuf;

use rusqlite::{Connection, OpenFlags};

/// A letter that has left.
#[derive(Clone, Debug)]
pub struct Letter {
    /// The headers as they came, unfolded.
    pub headers: Vec<(String, String)>,
    /// The one address that it is to.
    pub to: String,
    pub subject: String,
    /// What it is about, from its plain text; "" when it has no link.
    pub link: String,
    pub text: String,
    pub html: String,
}

impl Letter {
    /// Reads a letter, and holds it against the rules for all of ours.
    pub fn read(raw: &str) -> Self {
        assert!(raw.is_ascii() && raw.matches('\n').count() == raw.matches("\r\n").count(), "{raw}");
        assert!(raw.lines().all(|line| line.len() <= 998), "RFC 5322 §2.1.1: {raw}");
        let (headers, body) = part(raw);
        let header = |name: &str| {
            let mut found = headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
            let (Some((_, value)), None) = (found.next(), found.next()) else {
                panic!("one {name}, please: {headers:?}")
            };
            value.clone()
        };
        assert_eq!(header("Auto-Submitted"), "auto-generated");
        assert_eq!(header("MIME-Version"), "1.0");
        assert!(header("Date").ends_with(" +0000"), "{headers:?}");
        assert!(header("Message-ID").starts_with('<') && header("Message-ID").ends_with('>'));
        assert!(header("From").contains('@'));
        let kind = header("Content-Type");
        assert!(kind.starts_with("multipart/alternative;"), "{kind}");
        let boundary = kind.split("boundary=\"").nth(1).unwrap().trim_end_matches('"');
        let delimiter = format!("--{boundary}");
        let parts: Vec<_> = body.split(&delimiter).skip(1).collect();
        let [plain, html, end] = parts[..] else { panic!("two parts, please: {body}") };
        assert_eq!(end.trim(), "--");
        let content = |raw: &str, kind: &str| {
            let (headers, body) = part(raw.strip_prefix("\r\n").unwrap());
            let names: Vec<_> =
                headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone())).collect();
            assert!(names.contains(&(String::from("content-type"), format!("{kind}; charset=utf-8"))));
            assert!(names.contains(&(String::from("content-transfer-encoding"), String::from("7bit"))));
            body.replace("\r\n", "\n")
        };
        let (text, html) = (content(plain, "text/plain"), content(html, "text/html"));
        let mut links = text.lines().filter(|line| line.starts_with("http"));
        // A notice may have none.
        let link = String::from(links.next().unwrap_or_default());
        assert_eq!(links.next(), None, "one link");
        let hrefs = if link.is_empty() { "href=".into() } else { format!("href=\"{link}\"") };
        assert_eq!(html.matches(&hrefs).count(), usize::from(!link.is_empty()), "{html}");
        Self { to: header("To"), subject: header("Subject"), link, text, html, headers: headers.clone() }
    }

    /// The token at the end of the link.
    pub fn token(&self) -> &str {
        self.link.rsplit('/').next().unwrap()
    }
}

/// A part's headers, unfolded, and its body.
fn part(raw: &str) -> (Vec<(String, String)>, &str) {
    let (head, body) = raw.split_once("\r\n\r\n").unwrap();
    let head = head.replace("\r\n ", " ").replace("\r\n\t", " ");
    let header = |line: &str| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.to_owned(), value.trim().to_owned())
    };
    (head.split("\r\n").map(header).collect(), body)
}

/// A house's letters. Those that nobody has looked at fail the test when it ends.
pub struct Caught {
    pub database: PathBuf,
    pub directory: PathBuf,
}

impl Caught {
    /// Takes the letters that are files, in the order in which they left, but for notices.
    pub fn take(&self) -> Vec<Letter> {
        Self::take_out(self.files())
    }

    /// Takes the notices that are files: letters that tell a user what happened. Who looks at none of them need not.
    pub fn take_notices(&self) -> Vec<Letter> {
        let (notices, _) = self.all_files();
        Self::take_out(notices)
    }

    fn take_out(mut files: Vec<PathBuf>) -> Vec<Letter> {
        files.sort_by_key(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let (moment, rest) = name.split_once('-').unwrap();
            (moment.to_owned(), rest.split_once('-').unwrap().0.parse::<i64>().unwrap())
        });
        let read = |path: &PathBuf| {
            let raw = fs::read_to_string(path).unwrap();
            fs::remove_file(path).unwrap();
            Letter::read(&raw)
        };
        files.iter().map(read).collect()
    }

    /// The files that letters have become, but for notices.
    pub fn files(&self) -> Vec<PathBuf> {
        let (_, letters) = self.all_files();
        letters
    }

    /// The notices, and the other letters.
    fn all_files(&self) -> (Vec<PathBuf>, Vec<PathBuf>) {
        let Ok(entries) = fs::read_dir(&self.directory) else { return (Vec::new(), Vec::new()) };
        let is_notice = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap();
            ["-restore_email.eml", "-password_changed.eml"].iter().any(|end| name.ends_with(end))
        };
        entries.map(|entry| entry.unwrap().path()).partition(is_notice)
    }

    /// How many letters wait in the outbox. A test may have made the database unreadable: then none do.
    fn waiting(&self) -> i64 {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        #[expect(clippy::disallowed_methods, reason = "the server may be gone")]
        let count = Connection::open_with_flags(&self.database, flags).and_then(|conn| {
            conn.query_row(
                "select count(*) from letters where state = 'waiting' and user_id is null",
                [],
                |row| row.get(0),
            )
        });
        count.unwrap_or(0)
    }
}

impl Drop for Caught {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        // A letter is a file before it is out of the outbox.
        let waiting = self.waiting();
        let files = self.files();
        assert!(waiting == 0 && files.is_empty(), "letters left over: {waiting} waiting, {files:?}");
    }
}
