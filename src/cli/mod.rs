//! Command line: what can be asked of `satchel`, and how it ends.

pub mod admin;
pub mod check;
pub mod db;
mod housekeeping;
pub mod keys;
pub mod letters;
pub mod migrate;
pub mod openapi;
mod owner;
mod process;
pub mod serve;

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::config::{self, Config, Log, Overrides};
use crate::error::{Error, Refusal, Result, UserKey};
use crate::telemetry;

/// What help says of variables.
const VARIABLES: &str = "\
Environment variables:
Every setting has one, SATCHEL_<SECTION>__<KEY>, which wins over the configuration file; flags win over both.
`satchel config` prints every setting and who gave it. Among them:
SATCHEL_ENVIRONMENT=production         for real users: refuses to start without what they need
SATCHEL_SERVER__PUBLIC_URL=https://…   what links in letters begin with
SATCHEL_SERVER__CORS_ORIGINS=https://… whose pages may call in a browser
SATCHEL_MAIL__TRANSPORT=smtp           how letters leave
SATCHEL_LOG__LEVEL=debug               what is logged
NO_COLOR=1                             a log without colours

Example:
  satchel --port 9000 --data ./data";

/// Satchel: five HTTP APIs, one binary, one SQLite file. Without a command it serves.
#[derive(Debug, Parser)]
#[command(name = "satchel", version, after_help = VARIABLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// What `serve` takes.
    #[command(flatten)]
    pub listen: Listen,
    /// The directory with the database, the keys and the letters [default: ./data] [env: SATCHEL_SERVER__DATA]
    #[arg(long, global = true, value_name = "DIRECTORY")]
    pub data: Option<String>,
    /// The configuration [default: config.toml in the working directory, if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Where to listen.
#[derive(Clone, Debug, Default, Args)]
pub struct Listen {
    /// The address to listen on [default: 127.0.0.1] [env: SATCHEL_SERVER__HOST]
    #[arg(long, value_name = "ADDRESS")]
    pub host: Option<String>,
    /// The port to listen on, 0 for any free one [default: 8000] [env: SATCHEL_SERVER__PORT]
    #[arg(long)]
    pub port: Option<u16>,
}

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serves the APIs until SIGTERM, Ctrl-C or the end of the terminal (also done without a command)
    #[command(after_help = "Example:\n  satchel serve --host 0.0.0.0 --port 9000 --data /var/lib/satchel")]
    Serve(Listen),
    /// Shows the schema's state, or moves it forward or back
    #[command(subcommand, after_help = "Example:\n  satchel migrate status")]
    Migrate(MigrateCommand),
    /// Makes and looks after users; a running server notices at once
    #[command(subcommand, after_help = "Example:\n  satchel admin create --email ada@example.org")]
    Admin(AdminCommand),
    /// Looks after the keys that sign tokens; a running server has taken a change over when the command returns
    #[command(subcommand, after_help = "Example:\n  satchel keys rotate")]
    Keys(KeysCommand),
    /// Backs the database up, brings it back, checks it or throws it away
    #[command(subcommand, after_help = "Example:\n  satchel db backup ./satchel-backup.db")]
    Db(DbCommand),
    /// Shows the letters that have not left, and has them tried again
    #[command(subcommand, after_help = "Example:\n  satchel letters list")]
    Letters(LettersCommand),
    /// Prints the OpenAPI document
    #[command(after_help = "Example:\n  satchel openapi > openapi.json")]
    Openapi,
    /// Reads the configuration and says what would run
    #[command(after_help = "Example:\n  satchel check --config ./config.toml")]
    Check,
    /// Prints every setting in force as TOML, and who gave it; secrets are not shown
    #[command(after_help = "Example:\n  satchel config --config ./config.toml")]
    Config,
}

impl Command {
    /// Whether it may change something in the data directory, or make it.
    fn writes(&self) -> bool {
        match self {
            Self::Serve(_) => true,
            Self::Migrate(command) => *command != MigrateCommand::Status,
            Self::Admin(command) => !matches!(command, AdminCommand::List { .. }),
            Self::Keys(command) => *command != KeysCommand::List,
            Self::Db(DbCommand::Restore { .. } | DbCommand::Drop { .. }) => true,
            Self::Letters(command) => *command != LettersCommand::List,
            Self::Db(DbCommand::Backup { .. } | DbCommand::Verify { .. }) => false,
            Self::Openapi | Self::Check | Self::Config => false,
        }
    }
}

/// What can be asked of the schema.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum MigrateCommand {
    /// Lists the migrations and says which are applied
    #[command(after_help = "Example:\n  satchel migrate status")]
    Status,
    /// Applies the next migrations
    #[command(after_help = "Example:\n  satchel migrate up")]
    Up {
        /// How many [default: all]
        #[arg(value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        steps: Option<u32>,
    },
    /// Takes the last migrations back, with what they hold
    #[command(after_help = "Example:\n  satchel migrate down 1")]
    Down {
        /// How many
        #[arg(value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        steps: u32,
    },
}

/// What can be done to users.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum AdminCommand {
    /// Makes an administrator, whose e-mail address counts as confirmed
    #[command(
        after_help = "Examples:\n  satchel admin create --email ada@example.org\n  satchel admin create --email ada@example.org --username ada --password-stdin < password.txt"
    )]
    Create {
        /// The e-mail address to sign in with
        #[arg(long)]
        email: String,
        /// The username [default: none]
        #[arg(long)]
        username: Option<String>,
        /// Takes the first line of the standard input as the password, and asks nothing
        #[arg(long)]
        password_stdin: bool,
    },
    /// Makes a user an administrator, whose e-mail address must be confirmed
    #[command(
        after_help = "Examples:\n  satchel admin promote ada@example.org\n  satchel admin promote ada@example.org --unconfirmed"
    )]
    Promote {
        /// The user's e-mail address
        email: String,
        /// Promotes the user though nobody has confirmed the address: whoever typed it at a sign-up
        #[arg(long)]
        unconfirmed: bool,
    },
    /// Makes an administrator a user
    #[command(after_help = "Example:\n  satchel admin demote ada@example.org")]
    Demote {
        /// The user's e-mail address
        email: String,
    },
    /// Shuts a user out; every session ends
    #[command(after_help = "Example:\n  satchel admin block ada@example.org")]
    Block {
        /// The user's e-mail address
        email: String,
    },
    /// Lets a blocked user in again
    #[command(after_help = "Example:\n  satchel admin unblock ada@example.org")]
    Unblock {
        /// The user's e-mail address
        email: String,
    },
    /// Counts a user's e-mail address as confirmed
    #[command(after_help = "Example:\n  satchel admin confirm ada@example.org")]
    Confirm {
        /// The user's e-mail address
        email: String,
    },
    /// Gives a user a new password; every session ends
    #[command(
        after_help = "Examples:\n  satchel admin set-password ada@example.org\n  satchel admin set-password ada@example.org --password-stdin < password.txt"
    )]
    SetPassword {
        /// The user's e-mail address
        email: String,
        /// Takes the first line of the standard input as the password, and asks nothing
        #[arg(long)]
        password_stdin: bool,
    },
    /// Lists the administrators, or everybody
    #[command(after_help = "Examples:\n  satchel admin list\n  satchel admin list --all")]
    List {
        /// Lists all users, the deleted ones that are not purged yet among them
        #[arg(long)]
        all: bool,
    },
}

/// What can be done to the keys that sign tokens.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum KeysCommand {
    /// Lists the keys and says what each is good for
    #[command(after_help = "Example:\n  satchel keys list")]
    List,
    /// Makes a new key, which is published now and signs six minutes later; the old one then verifies until its last token has expired
    ///
    /// Whoever verifies tokens may keep a copy of the published keys for five minutes: a key that signs sooner makes tokens that
    /// they refuse.
    #[command(after_help = "Examples:\n  satchel keys rotate\n  satchel keys rotate --now")]
    Rotate {
        /// Has the new key sign at once, because the old one has leaked: other verifiers may refuse new tokens for five minutes
        #[arg(long)]
        now: bool,
    },
    /// Retires a key that a broken-off rotation left verifying, or with --now ends any but the signing one
    #[command(
        after_help = "Examples:\n  satchel keys retire 7mQzP3gTn0Jv0mR5mW2cYH9xk1d4uE6sLbB8aVfXo_Q\n  satchel keys retire --now 7mQzP3gTn0Jv0mR5mW2cYH9xk1d4uE6sLbB8aVfXo_Q\n\n`satchel keys list` shows the ids."
    )]
    Retire {
        /// The key's id
        // A thumbprint may begin with a hyphen.
        #[arg(value_name = "KID", allow_hyphen_values = true)]
        kid: String,
        /// Ends it at once, and every token that it signed
        #[arg(long)]
        now: bool,
    },
}

/// What can be done with letters that have not left.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum LettersCommand {
    /// Lists the letters that wait or were given up, and why
    #[command(after_help = "Example:\n  satchel letters list")]
    List,
    /// Has a letter tried at once, or every one that was given up
    #[command(after_help = "Examples:\n  satchel letters retry 17\n  satchel letters retry --all-dead")]
    Retry {
        /// The letter's number
        #[arg(value_name = "ID", required_unless_present = "all_dead")]
        id: Option<i64>,
        /// Takes every letter that was given up
        #[arg(long, conflicts_with = "id")]
        all_dead: bool,
    },
}

/// What can be done to the database as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum DbCommand {
    /// Writes a consistent copy, also while the server runs
    #[command(after_help = "Example:\n  satchel db backup ./satchel-backup.db")]
    Backup {
        /// The file to write; there must be none of this name yet
        file: PathBuf,
    },
    /// Puts a copy in the database's place, without its sessions, mailed links and letters; the server must not run
    #[command(after_help = "Example:\n  satchel db restore ./satchel-backup.db --yes")]
    Restore {
        /// The copy
        file: PathBuf,
        /// Asks nothing
        #[arg(long)]
        yes: bool,
    },
    /// Checks the database, or a copy, from end to end
    #[command(after_help = "Examples:\n  satchel db verify\n  satchel db verify ./satchel-backup.db")]
    Verify {
        /// The copy [default: the database itself]
        file: Option<PathBuf>,
    },
    /// Throws the database away, after a backup; the server must not run
    #[command(after_help = "Example:\n  satchel db drop --yes --no-backup")]
    Drop {
        /// Asks nothing
        #[arg(long)]
        yes: bool,
        /// Makes no backup before
        #[arg(long)]
        no_backup: bool,
    },
}

/// Does what the command line asks. The exit code is 0 when it was done, 1 after one sentence on stderr when not,
/// and 2 when the command line itself is wrong.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse().and_then(Cli::settled) {
        Ok(cli) => cli,
        Err(error) => {
            // A closed pipe must not make `--help` fail in another way.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let done = run(cli);
    telemetry::flush();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let sentence = telemetry::one_line(&sentence(&error));
            // When stderr is gone, the exit code is all there is to say it with.
            let _ = writeln!(io::stderr(), "satchel: {sentence}");
            ExitCode::FAILURE
        }
    }
}

impl Cli {
    /// Takes `--host` and `--port` from before `serve`, too; other commands do not know them.
    pub fn settled(mut self) -> Result<Self, clap::Error> {
        let before = std::mem::take(&mut self.listen);
        let listen = match &self.command {
            None => before,
            Some(Command::Serve(listen)) => {
                Listen { host: listen.host.clone().or(before.host), port: listen.port.or(before.port) }
            }
            Some(_) if before.host.is_none() && before.port.is_none() => before,
            Some(_) => {
                let message = "--host and --port belong to `satchel serve`";
                return Err(Self::command().error(ErrorKind::ArgumentConflict, message));
            }
        };
        self.listen = listen;
        Ok(self)
    }

    fn overrides(&self) -> Overrides {
        Overrides { host: self.listen.host.clone(), port: self.listen.port, data: self.data.clone() }
    }
}

fn run(cli: Cli) -> Result<()> {
    let config = Config::load(cli.config.as_deref(), config::environment()?.into_iter(), &cli.overrides())?;
    let repeated = repeated(cli.config.as_deref(), &config);
    let command = cli.command.unwrap_or(Command::Serve(cli.listen));
    match &command {
        Command::Serve(_) => telemetry::init(&config.log)?,
        // A command says on stdout what it did; its log is for what went wrong.
        _ => telemetry::init(&Log { level: String::from("warn"), ..config.log.clone() })?,
    }
    for ignored in &config.ignored {
        tracing::warn!("{ignored}");
    }
    process::forbid_core_dumps();
    if command.writes() {
        owner::require(&config.server.data)?;
    }
    match command {
        Command::Serve(_) => serve::run(config, &repeated),
        Command::Migrate(command) => migrate::run(&config, command),
        Command::Admin(command) => admin::run(&config, command),
        Command::Keys(command) => keys::run(&config, command),
        Command::Db(command) => db::run(&config, command),
        Command::Letters(command) => letters::run(&config, command),
        Command::Openapi => openapi::run(),
        Command::Check => check::run(&config),
        Command::Config => say(config.to_toml().trim_end()),
    }
}

/// The flags with which another command finds the same data, each with a blank before it: those of this command line, and
/// `--data` for a variable that another terminal does not have.
fn repeated(file: Option<&Path>, config: &Config) -> String {
    let mut flags = String::new();
    if config.source("server.data").is_some_and(|source| source == "--data" || source.starts_with("SATCHEL_"))
    {
        flags = format!(" --data {}", owner::quoted(&config.server.data.to_string_lossy()));
    }
    if let Some(file) = file {
        flags = format!("{flags} --config {}", owner::quoted(&file.to_string_lossy()));
    }
    flags
}

/// What a person at the terminal reads. A refusal has the words of the command line here, as it has those of
/// an API there.
fn sentence(error: &Error) -> String {
    let refusal = match error {
        Error::Fault(fault) => return told_once(fault),
        Error::Refusal(refusal) => refusal,
    };
    match refusal {
        Refusal::UserNotFound(UserKey::Email(email)) => format!("no user has the e-mail address {email}"),
        Refusal::UserNotFound(UserKey::Id(id)) => format!("there is no user {id}"),
        Refusal::UserNotFound(UserKey::Uuid(uuid)) => format!("there is no user {uuid}"),
        Refusal::EmailTaken(..) => String::from("another user has this e-mail address"),
        Refusal::UsernameTaken(_) => String::from("another user has this username"),
        Refusal::LastAdmin => String::from("the last active administrator must remain one"),
        Refusal::UserBlocked => String::from("the user is blocked"),
        Refusal::UserDeleted => String::from("the user was deleted"),
        Refusal::UserInactive => String::from("the user is not active"),
        Refusal::Busy(_) => String::from("the database is busy, please try again"),
        Refusal::QuotaExceeded => String::from("the user's storage is full"),
        Refusal::StorageFull => String::from("the disk is full"),
        // The rest is about requests, tokens and things. All are named, so that a new refusal gets its words here.
        Refusal::NotAuthenticated
        | Refusal::TokenInvalid
        | Refusal::TokenOfInactive
        | Refusal::TokenOfUnconfirmed
        | Refusal::TokenExpired
        | Refusal::TokenRevoked
        | Refusal::WrongCredentials
        | Refusal::EmailUnconfirmed
        | Refusal::TooManyAttempts(_)
        | Refusal::TooManyRequests { .. }
        | Refusal::RefreshInvalid
        | Refusal::RefreshExpired
        | Refusal::RefreshWrongKind
        | Refusal::RefreshRevoked
        | Refusal::ProofInvalid
        | Refusal::AdminRequired
        | Refusal::OwnBlock
        | Refusal::WrongPassword
        | Refusal::NotYourself(_)
        | Refusal::BookNotFound(_)
        | Refusal::NotYourBook(_)
        | Refusal::ItemNotFound(..)
        | Refusal::ProfileIncomplete
        | Refusal::ProfileRefused
        | Refusal::BalanceRefused
        | Refusal::AdminHasNoBalance
        | Refusal::AdminDeletesHimself
        | Refusal::ProofMalformed
        | Refusal::ContactNotFound
        | Refusal::ContactExists
        | Refusal::AvatarNotFound
        | Refusal::NotYourItem(_)
        | Refusal::TodoNotFound(_)
        | Refusal::NotYourTodo(_)
        | Refusal::NoSuchPath
        | Refusal::NoSuchMethod
        | Refusal::BadHost
        | Refusal::BodyTooLarge
        | Refusal::BodyUnreadable
        | Refusal::TimedOut
        | Refusal::UnsupportedImage
        | Refusal::RateLimited { .. } => String::from("this cannot be done from the command line"),
    }
}

/// A fault and its causes. A cause that says what was said before it is left out, and so are the numbers that
/// systems have for their errors.
fn told_once(fault: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in fault.chain() {
        let cause = without_number(&cause.to_string());
        if told.is_empty() {
            told = cause;
        } else if !told.contains(&cause) {
            told = format!("{told}: {cause}");
        }
    }
    told
}

/// `text` without SQLite's `Error code 26: ` in front and the system's ` (os error 20)`, wherever that stands.
fn without_number(text: &str) -> String {
    let text = match text.strip_prefix("Error code ").and_then(|rest| rest.split_once(": ")) {
        Some((_, words)) => words,
        None => text,
    };
    let mut pieces = text.split(" (os error ");
    let first = String::from(pieces.next().unwrap_or_default());
    pieces.fold(first, |words, piece| words + piece.split_once(')').map_or("", |(_, rest)| rest))
}

/// Asks a person at the terminal for a yes, unless `yes` was said on the command line already.
///
/// # Errors
/// A fault when the answer is anything else, or when there is nobody to ask.
pub fn confirm(yes: bool, question: &str) -> Result<()> {
    if yes {
        return Ok(());
    }
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err(Error::fault("there is no terminal to ask on: say --yes"));
    }
    let mut answer = String::new();
    let asked = write!(io::stderr(), "{question} [y/N] ").and_then(|()| stdin.read_line(&mut answer));
    match asked {
        Ok(_) if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") => Ok(()),
        _ => Err(Error::fault("nothing was done")),
    }
}

/// Prints a line, or some. When nobody reads them any more, what was asked for is done all the same.
///
/// # Errors
/// A fault when stdout takes nothing for another reason: it is a file on a full disk, say.
pub fn say(lines: impl Display) -> Result<()> {
    match writeln!(io::stdout(), "{lines}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::fault(format!("cannot print: {}", reason(&error))))
        }
        _ => Ok(()),
    }
}

/// Why the system did not do something, without its number for it.
pub fn reason(error: &io::Error) -> String {
    let words = without_number(&error.to_string());
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

#[cfg(test)]
mod tests;
