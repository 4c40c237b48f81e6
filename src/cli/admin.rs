//! `satchel admin`: users, for whoever has the machine. A running server notices at once.

use std::io::{BufRead, IsTerminal};
use std::time::Duration;

use crate::app::database_options;
use crate::cli::{AdminCommand, say};
use crate::clock::Clock;
use crate::config::{Config, Environment};
use crate::db::{self, Db, DirLock, migrate};
use crate::domain::auth::passwords::{Hasher, Password, Weakness, weakness};
use crate::domain::auth::{Admin, forget_familiar_addresses, hasher_settings};
use crate::domain::directory;
use crate::domain::emails::Email;
use crate::domain::names;
use crate::domain::users::{self, NewUser, Patch, Role, User, UserId};
use crate::error::{Error, Refusal, Result};
use crate::{telemetry, text};

/// How many users are read at once.
const PAGE: i64 = 500;
/// A running server has noticed a change after this long.
const NOTICED_AFTER: Duration = Duration::from_millis(250);

/// Does what is asked of the users. A running server has noticed before this returns.
///
/// # Errors
/// A fault or refusal of one sentence when it cannot be done.
pub fn run(config: &Config, command: AdminCommand) -> Result<()> {
    match command {
        AdminCommand::List { all: false } => return list(config),
        AdminCommand::List { all: true } => return list_everybody(config),
        _ => {}
    }
    let clock = Clock::system();
    let served = DirLock::held(&config.server.data);
    // Looked at before anything is made: a refused command leaves no database behind.
    let new = match &command {
        AdminCommand::Create { email, username, password_stdin } => {
            Some(new_admin(config, &clock, email, username.clone(), *password_stdin)?)
        }
        _ => None,
    };
    if new.is_some() && !served && config.db.migrate_on_start {
        // The first administrator may be made before the first start.
        let _lock = DirLock::acquire(&config.server.data, "satchel admin")?;
        migrate::up(&config.database(), &clock, None)?;
    }
    let db = Db::open(&database_options(config), clock.clone())?;
    let operator = Admin::operator();
    let change = |email: String, patch: Patch, done: &str| -> Result<()> {
        let user = db.write_blocking(move |db| {
            let user = users::by_email(db, &email)?;
            users::update_as_admin(db, &operator, &user, &patch)
        })?;
        told(&user, done)
    };
    match command {
        AdminCommand::Create { .. } => {
            if let Some((new, hash)) = new {
                let user = db.write_blocking(move |db| {
                    let user = users::create_as_admin(db, &operator, &new, Role::Admin, true, &hash)?;
                    users::confirm_email(db, user.id)
                })?;
                told(&user, "is an administrator")?;
            }
        }
        AdminCommand::Promote { email, unconfirmed } => {
            let user = db.write_blocking(move |db| {
                let user = users::by_email(db, &email)?;
                if user.email_confirmed_at.is_none() && !unconfirmed {
                    return Err(Error::fault(format!(
                        "nobody has confirmed the address {email}: the person who typed it at a sign-up would become an administrator. \
                         If you know that this is the right person, run `satchel admin confirm {email}` first, or say --unconfirmed"
                    )));
                }
                let patch = Patch { role: Some(Role::Admin), ..Patch::default() };
                users::update_as_admin(db, &operator, &user, &patch)
            })?;
            told(&user, "is an administrator")?;
        }
        AdminCommand::Demote { email } => {
            change(email, Patch { role: Some(Role::User), ..Patch::default() }, "is a user")?;
        }
        AdminCommand::Block { email } => set_blocked(&db, email, true)?,
        AdminCommand::Unblock { email } => set_blocked(&db, email, false)?,
        AdminCommand::Confirm { email } => {
            let user = db.write_blocking(move |db| {
                let id = users::by_email(db, &email)?.id;
                users::confirm_email(db, id)
            })?;
            told(&user, "has a confirmed address")?;
        }
        AdminCommand::SetPassword { email, password_stdin } => {
            let user = db.read(|db| users::by_email(db, &email))?;
            let own = [user.email.as_str(), user.username.as_deref().unwrap_or_default()];
            let hash = hash(config, &clock, password(password_stdin)?, &own)?;
            db.write_blocking(move |db| {
                users::set_password(db, user.id, &hash)?;
                forget_familiar_addresses(db, user.id)
            })?;
            say(format_args!("{email} has a new password; every session ended"))?;
        }
        // Done above: it opens nothing for writing.
        AdminCommand::List { .. } => {}
    }
    db.close()?;
    if served {
        std::thread::sleep(NOTICED_AFTER);
    }
    Ok(())
}

fn list(config: &Config) -> Result<()> {
    let admins = db::look(&config.database(), directory::admins)?;
    if admins.is_empty() {
        return say("there is no administrator yet: `satchel admin create` makes one");
    }
    for user in admins {
        let state = if user.shut_out(false).is_some() { "shut out" } else { "active" };
        say(format_args!("{}  {}  {state}  since {}", user.uuid, user.email, user.created_at))?;
    }
    Ok(())
}

fn list_everybody(config: &Config) -> Result<()> {
    let mut last = UserId(0);
    loop {
        // The snapshot ends before the page is printed: who reads it may take their time.
        let page = db::look(&config.database(), |db| directory::everybody(db, last, PAGE))?;
        let Some(newest) = page.last() else {
            return if last == UserId(0) { say("there is no user yet") } else { Ok(()) };
        };
        last = newest.id;
        for user in &page {
            say(line(user, config.auth.require_confirmed_email))?;
        }
    }
}

/// `7  019a9d5e-…  ada@example.com  ada  user  active  since 2026-…Z`
fn line(user: &User, require_confirmed: bool) -> String {
    let state = match user.shut_out(require_confirmed) {
        None => "active",
        Some(Refusal::UserDeleted) => "deleted",
        Some(Refusal::UserBlocked) => "blocked",
        Some(Refusal::EmailUnconfirmed) => "unconfirmed",
        Some(_) => "deactivated",
    };
    let (id, uuid, email, role, since) =
        (user.id.0, user.uuid, &user.email, user.role.word(), user.created_at);
    let username = user.username.as_deref().unwrap_or("-");
    // Whoever chose the name must not steer the terminal.
    telemetry::one_line(&format!("{id}  {uuid}  {email}  {username}  {role}  {state}  since {since}"))
}

/// An administrator to be with the hash of his password, if all that is given of him is good.
fn new_admin(
    config: &Config,
    clock: &Clock,
    email: &str,
    username: Option<String>,
    password_stdin: bool,
) -> Result<(NewUser, String)> {
    let test_domains = config.environment == Environment::Development;
    let email = Email::parse(email, test_domains)
        .map_err(|reason| Error::fault(format!("{email} is not a valid email address: {reason}")))?;
    let username = username.map(|name| text::nfc(&name));
    if let Some(name) = &username {
        if name.contains('@') || !(3..=50).contains(&name.chars().count()) {
            return Err(Error::fault("a username has 3 to 50 characters and no @"));
        }
        if let Some(sentence) = names::unfit_username(name) {
            return Err(Error::fault(sentence));
        }
    }
    let own = [email.as_str(), username.as_deref().unwrap_or_default()];
    let password_hash = hash(config, clock, password(password_stdin)?, &own)?;
    let new = NewUser { username, ..NewUser::new(clock.new_id(), email) };
    Ok((new, password_hash))
}

fn set_blocked(db: &Db, email: String, blocked: bool) -> Result<()> {
    let user = db.write_blocking(move |db| {
        let user = users::by_email(db, &email)?;
        users::set_blocked(db, &Admin::operator(), &user, blocked)
    })?;
    told(&user, if blocked { "is blocked; every session ended" } else { "is let in again" })
}

fn told(user: &User, done: &str) -> Result<()> {
    say(format_args!("{} {done}", user.email))
}

fn hash(config: &Config, clock: &Clock, password: Password, own: &[&str]) -> Result<String> {
    if let Some(weakness) = weakness(password.as_str(), own, config.common_passwords()) {
        return Err(Error::fault(match weakness {
            Weakness::TooShort => "the password has fewer than 8 characters",
            Weakness::TooLong => "the password has more than 256 characters",
            Weakness::Common => "the password is among the most common ones",
            Weakness::OwnName => "the password is the user's own e-mail address or username",
        }));
    }
    Hasher::new(hasher_settings(&config.auth), clock.clone())?.hash_blocking(&password)
}

/// The first line of stdin without a byte order mark, which editors leave in files; a person at a terminal is asked for it.
fn password(from_stdin: bool) -> Result<Password> {
    let stdin = std::io::stdin();
    if !from_stdin {
        if !stdin.is_terminal() {
            return Err(Error::fault(
                "there is no terminal to ask for the password on: use --password-stdin",
            ));
        }
        let typed = rpassword::prompt_password("Password: ").map_err(anyhow::Error::from)?;
        let again = rpassword::prompt_password("The same again: ").map_err(anyhow::Error::from)?;
        if typed != again {
            return Err(Error::fault("the two passwords differ"));
        }
        return Ok(Password::new(typed));
    }
    let mut line = String::new();
    stdin.lock().read_line(&mut line).map_err(anyhow::Error::from)?;
    let line = line.strip_prefix('\u{feff}').unwrap_or(&line);
    let line = line.strip_suffix('\n').unwrap_or(line);
    Ok(Password::new(line.strip_suffix('\r').unwrap_or(line).to_owned()))
}
