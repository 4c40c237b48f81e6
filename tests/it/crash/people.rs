//! People of the crash tests: who signs up, in and out in a storm, and who puts money on his account.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use reqwest::RequestBuilder;
use serde_json::json;

use super::{any, whole};
use crate::binary::{Serving, connect};
use crate::house::{Guest, PASSWORD, answer, registration};

/// A client who alone changes his balance.
pub struct Purse {
    pub guest: Guest,
    balance: i64,
    pending: Option<i64>,
    pub answered: u64,
}

impl Purse {
    pub fn new(guest: Guest) -> Self {
        Self { guest, balance: 0, pending: None, answered: 0 }
    }

    /// Adds and takes until the server is gone.
    pub async fn storm(&mut self, serving: &Serving) {
        loop {
            let amount = i64::try_from(1 + any(1_000)).unwrap();
            let amount = if any(3) == 0 && self.balance >= amount { -amount } else { amount };
            let request = serving.by(&self.guest, "PUT", "/users/balance").json(&json!({ "amount": amount }));
            self.pending = Some(amount);
            let Some(said) = whole(request, 200).await else { return };
            self.pending = None;
            self.balance += amount;
            self.answered += 1;
            assert_eq!(said, json!({ "new_balance": self.balance }));
        }
    }

    /// The balance is what was answered for, and at most the one change that was not answered.
    pub async fn check(&mut self, serving: &Serving, round: u64) {
        let found = answer(serving.by(&self.guest, "GET", "/users/balance")).await;
        let kept = found.body["balance"].as_i64().unwrap();
        let pending = self.pending.take().unwrap_or(0);
        let sums = [self.balance, self.balance + pending];
        assert!(sums.contains(&kept), "round {round}: {kept} is none of {sums:?}");
        self.balance = kept;
    }
}

/// Who signs up, at one API after the other.
#[derive(Default)]
pub struct Newcomers {
    told: BTreeSet<String>,
    pending: Option<String>,
    sent: usize,
}

/// The API whose users must confirm their addresses.
const CONTACTBOOK: usize = 4;

impl Newcomers {
    pub fn answered(&self) -> u64 {
        self.told.len() as u64
    }

    /// Signs people up until the server is gone.
    pub async fn storm(&mut self, serving: &Serving) {
        loop {
            self.sent += 1;
            let api = self.sent % 5;
            let name = format!("new{}at{api}", self.sent);
            let email = format!("{name}@example.com");
            let (path, body, status) = match api {
                0 => ("/api/v1.0/auth/register", registration(&name), 201),
                1 => ("/store-managers", json!({ "name": name, "email": email, "password": PASSWORD }), 201),
                2 => {
                    let body =
                        json!({ "email": email, "username": name, "full_name": name, "password": PASSWORD });
                    ("/v1/auth/register", body, 201)
                }
                3 => ("/auth/register", json!({ "email": email, "password": PASSWORD }), 200),
                _ => {
                    let body = json!({ "username": "somebody", "email": email, "password": PASSWORD });
                    ("/api/auth/signup", body, 201)
                }
            };
            self.pending = Some(email.clone());
            if whole(serving.request("POST", path).json(&body), status).await.is_none() {
                return;
            }
            self.pending = None;
            self.told.insert(email);
        }
    }

    /// Who was told that he is a user is one; of the others one may be. Whoever must confirm his address has his letter:
    /// in the outbox, or as a file already.
    pub fn check(&mut self, database: &Path, letters: &Path, round: u64) {
        let conn = connect(database);
        let texts = |sql: &str| -> BTreeSet<String> {
            let mut rows = conn.prepare(sql).unwrap();
            rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
        };
        let mut kept = texts("select email from users where email glob 'new*'");
        if let Some(pending) = self.pending.take()
            && kept.contains(&pending)
        {
            self.told.insert(pending);
        }
        assert_eq!(kept, self.told, "round {round}");

        let mut with_letters = texts("select email from letters where purpose = 'confirm_email'");
        assert!(with_letters.is_subset(&kept), "round {round}: a letter to nobody among {with_letters:?}");
        for file in fs::read_dir(letters).into_iter().flatten() {
            let path = file.unwrap().path();
            // One that was being written when the server was killed lies there under another name.
            if path.extension().is_some_and(|extension| extension == "eml") {
                let text = fs::read_to_string(path).unwrap();
                let to = text.lines().find_map(|line| line.strip_prefix("To: ")).unwrap();
                with_letters.insert(to.to_owned());
            }
        }
        kept.retain(|email| email.ends_with(&format!("at{CONTACTBOOK}@example.com")));
        assert_eq!(with_letters, kept, "round {round}: who must confirm, and who has a letter");
        let confirming = texts("select email from users where confirm_required = 1 and email glob 'new*'");
        assert_eq!(confirming, kept, "round {round}");
    }

    /// The last of each API signs in there, or is told to confirm his address.
    pub async fn sign_in(&self, serving: &Serving) {
        for api in 0..5 {
            let mut of_api =
                self.told.iter().filter(|email| email.ends_with(&format!("at{api}@example.com")));
            let Some(email) = of_api.next_back() else { continue };
            let status = answer(sign_in(serving, api, email)).await.status;
            assert_eq!(status, if api == CONTACTBOOK { 401 } else { 200 }, "{email}");
        }
    }
}

/// One who signs in at every API, and out again.
pub struct Visitor {
    guest: Guest,
    /// Tokens whose sessions were not ended, in this round.
    open: Vec<String>,
    /// Tokens whose log-out was answered, in this round.
    ended: Vec<String>,
    pending: Option<String>,
    /// Those of every round before.
    ended_before: Vec<String>,
    visits: usize,
}

impl Visitor {
    pub fn new(guest: Guest) -> Self {
        Self {
            guest,
            open: Vec::new(),
            ended: Vec::new(),
            pending: None,
            ended_before: Vec::new(),
            visits: 0,
        }
    }

    pub fn answered(&self) -> u64 {
        self.ended_before.len() as u64
    }

    /// Signs in and out until the server is gone; one session in four goes on.
    pub async fn storm(&mut self, serving: &Serving) {
        loop {
            self.visits += 1;
            let Some(said) = whole(sign_in(serving, self.visits % 5, &self.guest.email), 200).await else {
                return;
            };
            let token = said["access_token"].as_str().unwrap().to_owned();
            if any(4) == 0 {
                self.open.push(token);
                continue;
            }
            // By the way out of any API that has one.
            let (method, path, status) = [
                ("POST", "/api/v1.0/auth/logout", 200),
                ("GET", "/store-managers/logout", 200),
                ("POST", "/v1/auth/logout", 204),
                ("POST", "/auth/logout", 200),
            ][self.visits % 4];
            let request = serving.request(method, path).bearer_auth(&token);
            self.pending = Some(token);
            if whole(request, status).await.is_none() {
                return;
            }
            self.ended.extend(self.pending.take());
        }
    }

    /// A session that was answered for is open until its end was: then it is closed for good.
    pub async fn check(&mut self, serving: &Serving, round: u64) {
        for (tokens, status) in [(&self.open, 200), (&self.ended, 401)] {
            for token in tokens {
                assert_eq!(me(serving, token).await, status, "round {round}");
            }
        }
        if let Some(token) = self.pending.take()
            && me(serving, &token).await == 401
        {
            self.ended.push(token);
        }
        self.open.clear();
        self.ended_before.append(&mut self.ended);
    }

    /// What was ended in any round is.
    pub async fn check_all(&self, serving: &Serving) {
        for token in &self.ended_before {
            assert_eq!(me(serving, token).await, 401);
        }
    }
}

async fn me(serving: &Serving, token: &str) -> u16 {
    answer(serving.request("GET", "/api/v1.0/users/me").bearer_auth(token)).await.status
}

/// Signs in at one of the five.
fn sign_in(serving: &Serving, api: usize, email: &str) -> RequestBuilder {
    let paths =
        ["/api/v1.0/auth/login", "/store-managers/token", "/v1/auth/login", "/auth/login", "/api/auth/login"];
    let request = serving.request("POST", paths[api]);
    match api {
        2 => request.json(&json!({ "username": email, "password": PASSWORD })),
        _ => request.form(&[("username", email), ("password", PASSWORD)]),
    }
}
