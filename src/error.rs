//! Errors: a refusal is a fact the caller can mend, a fault is ours. Neither has words of an API.

use std::fmt;
use std::time::Duration;

use uuid::Uuid;

/// What every fallible function of the house returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something was not done.
#[derive(Debug)]
pub enum Error {
    /// The caller may not, or must ask otherwise.
    Refusal(Refusal),
    /// We failed. Logged once with its chain, answered without it.
    Fault(anyhow::Error),
}

/// How somebody named a user that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserKey {
    /// By the number.
    Id(i64),
    /// By the public id.
    Uuid(Uuid),
    /// By the e-mail address, as it was sent.
    Email(String),
}

/// What somebody wanted to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// To make a thing.
    Create,
    /// To see it.
    Read,
    /// To change it.
    Update,
    /// To remove it.
    Delete,
}

/// A fact without words: each API turns it into a status and a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No token came with the request, or its scheme is not Bearer.
    NotAuthenticated,
    /// An access token came, and it is none of ours, or of another kind.
    TokenInvalid,
    /// An access token came, and its time is over.
    TokenExpired,
    /// An access token came, and its session was ended or its user is gone.
    TokenRevoked,
    /// An access token came, and an administrator, or he himself, deactivated the user.
    TokenOfInactive,
    /// An access token came, and the user's e-mail address must be confirmed first.
    TokenOfUnconfirmed,
    /// The user does not exist, or the password is another.
    WrongCredentials,
    /// The password is right, but an administrator deactivated the user.
    UserInactive,
    /// The password is right, but an administrator blocked the user.
    UserBlocked,
    /// The password is right, but the user was deleted.
    UserDeleted,
    /// The password is right, but the e-mail address must be confirmed first.
    EmailUnconfirmed,
    /// Too many failed sign-ins; another may be tried after the wait.
    TooManyAttempts(Duration),
    /// The route was used as often as its limit allows.
    RateLimited {
        /// Requests in one window.
        count: u32,
        /// The window, in seconds.
        per_seconds: u32,
        /// Until the next window begins.
        wait: Duration,
    },
    /// Too many sign-ups, sign-ins or letters: more than the limit that holds over all APIs.
    TooManyRequests {
        /// How many there may be in one window.
        count: u32,
        /// Until the next window begins.
        wait: Duration,
    },
    /// The refresh token cannot be decoded.
    RefreshInvalid,
    /// The refresh token's time is over.
    RefreshExpired,
    /// A token of another kind was sent where a refresh token belongs.
    RefreshWrongKind,
    /// The refresh token was spent, or its session has ended.
    RefreshRevoked,
    /// A mailed token is unknown, spent, superseded or expired.
    ProofInvalid,
    /// A mailed token that never was one.
    ProofMalformed,
    /// Only administrators may.
    AdminRequired,
    /// The last active administrator must remain one.
    LastAdmin,
    /// Administrators cannot block themselves.
    OwnBlock,
    /// The present password was given wrongly.
    WrongPassword,
    /// Another user has this e-mail address: a new user is to have it, or one that changes.
    EmailTaken(Act, String),
    /// Another user has this username.
    UsernameTaken(String),
    /// There is no such user.
    UserNotFound(UserKey),
    /// The user is somebody else.
    NotYourself(Act),
    /// A name must be given first.
    ProfileIncomplete,
    /// A name is empty or null.
    ProfileRefused,
    /// The balance would leave its bounds, or a name must be given first.
    BalanceRefused,
    /// Administrators have no balance.
    AdminHasNoBalance,
    /// Administrators do not delete themselves.
    AdminDeletesHimself,
    /// There is no such book.
    BookNotFound(Uuid),
    /// The book is somebody else's.
    NotYourBook(Act),
    /// There is no such item.
    ItemNotFound(Act, Uuid),
    /// The item is somebody else's.
    NotYourItem(Act),
    /// There is no such todo.
    TodoNotFound(i64),
    /// The todo is somebody else's.
    NotYourTodo(Act),
    /// The caller has no such contact.
    ContactNotFound,
    /// The caller has a contact of this name.
    ContactExists,
    /// There is no such picture.
    AvatarNotFound,
    /// The upload is no picture that we take.
    UnsupportedImage,
    /// No route has this path.
    NoSuchPath,
    /// The route has other methods.
    NoSuchMethod,
    /// The request does not name one host, or not by a name that can be one.
    BadHost,
    /// The body is larger than the route takes.
    BodyTooLarge,
    /// The body broke off, or its framing is wrong.
    BodyUnreadable,
    /// The request took longer than it may.
    TimedOut,
    /// A queue is full; the request may be sent again after the wait.
    Busy(Duration),
    /// The user keeps as much content as one may.
    QuotaExceeded,
    /// The disk is full.
    StorageFull,
}

impl Refusal {
    /// There is no room for this now; it may be sent again after a second.
    pub const BUSY: Self = Self::Busy(Duration::from_secs(1));
}

impl Error {
    /// A fault with a message of our own.
    pub fn fault(message: impl fmt::Display + fmt::Debug + Send + Sync + 'static) -> Self {
        Self::Fault(anyhow::Error::msg(message))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refusal(refusal) => write!(f, "{refusal:?}"),
            Self::Fault(fault) => write!(f, "{fault:#}"),
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

impl From<anyhow::Error> for Error {
    fn from(fault: anyhow::Error) -> Self {
        Self::Fault(fault)
    }
}

/// Says, in the words of the task, what was being done when a fault arose. Refusals pass unchanged.
pub trait Context<T> {
    /// Adds the words.
    fn context(self, doing: &'static str) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for Result<T, E> {
    fn context(self, doing: &'static str) -> Result<T> {
        self.map_err(|error| match error.into() {
            Error::Fault(fault) => Error::Fault(fault.context(doing)),
            refusal => refusal,
        })
    }
}
