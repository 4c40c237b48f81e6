//! Clock: where the time, fresh ids and random bytes come from; a test holds its own.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

/// A moment in UTC, in whole microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Takes microseconds since the Unix epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Takes whole seconds since the Unix epoch.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// Microseconds since the Unix epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down: the `NumericDate` of RFC 7519 §2.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The moment `by` later; it stops at the end of the range.
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }

    /// The moment `by` earlier; it stops at the beginning of the range.
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How long it is from `earlier` to this; zero when `earlier` is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0).max(0).unsigned_abs())
    }

    /// `2026-11-21T05:06:39.560803`: ISO 8601 in UTC with microseconds and without a zone.
    pub fn naive(self) -> String {
        let mut text = self.utc();
        text.pop();
        text
    }

    /// `2026-11-21T05:06:39.560803Z`: RFC 3339 in UTC with microseconds.
    pub fn utc(self) -> String {
        let at = jiff::Timestamp::from_microsecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let at = jiff::tz::Offset::UTC.to_datetime(at);
        let micros = u32::try_from(self.0.rem_euclid(1_000_000)).expect("a second has a million of them");
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        // A page of a list has many of these: the digits are written without a formatter.
        for (place, mut value) in [
            (0..4, u32::from(at.year().unsigned_abs())),
            (5..7, u32::from(at.month().unsigned_abs())),
            (8..10, u32::from(at.day().unsigned_abs())),
            (11..13, u32::from(at.hour().unsigned_abs())),
            (14..16, u32::from(at.minute().unsigned_abs())),
            (17..19, u32::from(at.second().unsigned_abs())),
            (20..26, micros),
        ] {
            for digit in text[place].iter_mut().rev() {
                *digit += u8::try_from(value % 10).expect("it is below ten");
                value /= 10;
            }
        }
        String::from_utf8(text.to_vec()).expect("digits are ASCII")
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.utc())
    }
}

/// A time zone, which says which day a moment is in.
#[derive(Clone, Debug)]
pub struct Zone(jiff::tz::TimeZone);

impl Zone {
    /// The zone that the IANA time zone database has under this name; it is inside the binary.
    pub fn named(name: &str) -> Option<Self> {
        jiff::tz::TimeZone::get(name).ok().map(Self)
    }

    /// Coordinated universal time.
    pub fn utc() -> Self {
        Self(jiff::tz::TimeZone::UTC)
    }

    /// The date in this zone at this moment.
    pub fn date(&self, at: Timestamp) -> jiff::civil::Date {
        let at = jiff::Timestamp::from_microsecond(at.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        self.0.to_datetime(at).date()
    }
}

/// Tells the time and makes ids. Clones share one clock.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Held(Arc<AtomicI64>),
}

impl Clock {
    /// The clock of this machine.
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands at `at` until it is moved by `advance` or `set`.
    pub fn held(at: Timestamp) -> Self {
        Self(Source::Held(Arc::new(AtomicI64::new(at.0))))
    }

    /// The present moment.
    #[expect(clippy::disallowed_methods, reason = "this is the room the time comes from")]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => {
                let micros = match SystemTime::now().duration_since(UNIX_EPOCH) {
                    Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
                    Err(before) => -i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX),
                };
                Timestamp(micros)
            }
            Source::Held(at) => Timestamp(at.load(Ordering::SeqCst)),
        }
    }

    /// Moves a held clock forward; the machine's clock takes no orders.
    pub fn advance(&self, by: Duration) {
        self.set(self.now().plus(by));
    }

    /// Sets a held clock; the machine's clock takes no orders.
    pub fn set(&self, to: Timestamp) {
        if let Source::Held(at) = &self.0 {
            at.store(to.0, Ordering::SeqCst);
        }
    }

    /// A fresh public id: UUID version 7 (RFC 9562 §5.7), with 74 random bits after the milliseconds.
    pub fn new_id(&self) -> Uuid {
        let millis = u64::try_from(self.now().micros().div_euclid(1000)).unwrap_or(0);
        let mut random = [0; 10];
        fill_random(&mut random);
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }

    /// A fresh secret id: UUID version 4 (RFC 9562 §5.4), 122 random bits.
    pub fn new_secret_id(&self) -> Uuid {
        uuid::Builder::from_random_bytes(self.random()).into_uuid()
    }

    /// `N` bytes, at most 1,024, from the operating system's generator.
    pub fn random<const N: usize>(&self) -> [u8; N] {
        const { assert!(N <= RANDOM_STOCK) };
        let mut bytes = [0; N];
        fill_random(&mut bytes);
        bytes
    }
}

/// How many random bytes are asked for at once: a system call costs more than all else about an id.
const RANDOM_STOCK: usize = 1024;

struct Stock {
    bytes: [u8; RANDOM_STOCK],
    used: usize,
}

thread_local! {
    static STOCK: RefCell<Stock> = const { RefCell::new(Stock { bytes: [0; RANDOM_STOCK], used: RANDOM_STOCK }) };
}

/// Takes random bytes from the thread's stock. Each is given once and wiped there.
#[expect(clippy::disallowed_methods, reason = "this is the room randomness comes from")]
fn fill_random(wanted: &mut [u8]) {
    STOCK.with_borrow_mut(|stock| {
        if stock.used + wanted.len() > RANDOM_STOCK {
            getrandom::fill(&mut stock.bytes).expect("the operating system gives random bytes");
            stock.used = 0;
        }
        let given = &mut stock.bytes[stock.used..stock.used + wanted.len()];
        wanted.copy_from_slice(given);
        given.fill(0);
        stock.used += wanted.len();
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_written_with_six_digits_of_a_second() {
        let at = Timestamp::from_micros(1_795_237_599_560_803);
        assert_eq!(at.utc(), "2026-11-21T05:06:39.560803Z");
        assert_eq!(at.naive(), "2026-11-21T05:06:39.560803");
        assert_eq!(Timestamp::from_seconds(0).utc(), "1970-01-01T00:00:00.000000Z");
    }

    #[test]
    fn a_held_clock_moves_only_when_told() {
        let clock = Clock::held(Timestamp::from_seconds(1_000));
        assert_eq!(clock.now(), clock.now());
        clock.advance(Duration::from_secs(5));
        assert_eq!(clock.now(), Timestamp::from_seconds(1_005));
    }

    #[test]
    fn ids_are_of_the_versions_they_claim() {
        let clock = Clock::system();
        assert_eq!(clock.new_id().get_version_num(), 7);
        assert_eq!(clock.new_secret_id().get_version_num(), 4);
    }
}
