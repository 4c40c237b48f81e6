//! Limits: how often one caller may do one thing, counted in memory.
//!
//! The window is a fixed one that begins with a caller's first request, as in the systems whose limits these are:
//! "2 per 1 minute" lets two requests through, however they are spread, and a third when the minute is over; then
//! all of them are free again. A leaky bucket (GCRA) would give them back one by one, and so let through up to 2N−1
//! in the first minute: the sentence would not be true, and a client that waited for one could not send N. Neither
//! ever lets through more than 2N in any span as long as the window.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::emails::Email;
use super::users::UserId;
use crate::clock::{Clock, Timestamp};
use crate::config::Limit;
use crate::error::{Refusal, Result};
use crate::network::ClientNetwork;

/// A caller's window is forgotten at the earliest when so many others have come since his last request; he gets
/// a new one then. Nobody without so many addresses can bring that about, and whoever has them needs no trick.
const GENERATION: usize = 32_768;

/// Whose requests are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// A user, wherever he is.
    User(UserId),
    /// The network that requests come from.
    Network(ClientNetwork),
    /// A mailbox that letters go to, by a digest.
    Mailbox(u64),
}

impl Who {
    /// Whoever reads what is sent to this address; case does not count.
    pub fn mailbox(email: &Email) -> Self {
        let digest = Sha256::digest(email.as_str().to_ascii_lowercase());
        Self::Mailbox(u64::from_be_bytes(digest[..8].try_into().expect("SHA-256 has 32 bytes")))
    }
}

impl From<IpAddr> for Who {
    fn from(address: IpAddr) -> Self {
        Self::Network(address.into())
    }
}

/// What is left of a window after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// Requests in one window.
    pub count: u32,
    /// Those that may still come in this one.
    pub remaining: u32,
    /// Until the next one begins.
    pub reset: Duration,
}

/// Counts requests by what they ask for and who sent them. Clones share the counts. It takes 8 MB at most.
#[derive(Clone, Debug)]
pub struct Limiter {
    clock: Clock,
    windows: Arc<Mutex<Windows>>,
}

/// What is asked for, and by whom.
type Key = (&'static str, Who);

#[derive(Debug)]
struct Window {
    begun: Timestamp,
    used: u32,
}

/// Two generations of windows. A cache that evicts one by one would do, but takes more room, keeps its bound only
/// sooner or later, and by its usual policy does not admit a newcomer in a flood, who would so begin
/// a new window with each request.
#[derive(Debug, Default)]
struct Windows {
    recent: HashMap<Key, Window>,
    /// Those that have not been used since `recent` was begun.
    former: HashMap<Key, Window>,
}

impl Windows {
    /// The window of this key; a new one begins now.
    fn of(&mut self, key: Key, now: Timestamp) -> &mut Window {
        if !self.recent.contains_key(&key) {
            let former = self.former.remove(&key);
            if self.recent.len() >= GENERATION {
                self.former = std::mem::take(&mut self.recent);
            }
            self.recent.insert(key, former.unwrap_or(Window { begun: now, used: 0 }));
        }
        self.recent.get_mut(&key).expect("it is there, or was put there")
    }
}

impl Limiter {
    /// Begins with nobody counted.
    pub fn new(clock: Clock) -> Self {
        Self { clock, windows: Arc::default() }
    }

    /// Counts a request for `what`, and says what is left; `None` where there is no limit. Requests at the same
    /// time are counted one after the other. One that is refused is not counted: waiting always helps.
    ///
    /// # Errors
    /// `Refusal::RateLimited` when the window is used up.
    pub fn take(&self, what: &'static str, who: Who, limit: Limit) -> Result<Option<Left>> {
        let Limit::Rate { count, per_seconds } = limit else { return Ok(None) };
        let length = Duration::from_secs(per_seconds.into());
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock, so that it never seems to go back; when it was set back, nobody waits for its return.
        let now = self.clock.now();
        let window = windows.of((what, who), now);
        if now < window.begun || now.since(window.begun) >= length {
            *window = Window { begun: now, used: 0 };
        }
        let reset = length.saturating_sub(now.since(window.begun));
        if window.used >= count {
            return Err(Refusal::RateLimited { count, per_seconds, wait: reset }.into());
        }
        window.used += 1;
        Ok(Some(Left { count, remaining: count - window.used, reset }))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::thread;

    use super::*;
    use crate::error::Error;

    const TWO: Limit = Limit::per_minute(2);

    fn limiter() -> (Clock, Limiter) {
        let clock = Clock::held(Timestamp::from_seconds(1_795_237_599));
        (clock.clone(), Limiter::new(clock))
    }

    fn at(address: &str) -> Who {
        address.parse::<IpAddr>().unwrap().into()
    }

    fn v4(n: u32) -> Who {
        IpAddr::from(Ipv4Addr::from_bits(n)).into()
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn remembered(limiter: &Limiter) -> usize {
        let windows = limiter.windows.lock().unwrap();
        windows.recent.len() + windows.former.len()
    }

    /// What is left in number, or for how many seconds the caller is told to wait.
    fn take(limiter: &Limiter, what: &'static str, who: Who, limit: Limit) -> Result<u32, u64> {
        match limiter.take(what, who, limit) {
            Ok(Some(left)) => Ok(left.remaining),
            Err(Error::Refusal(Refusal::RateLimited { wait, .. })) => Err(wait.as_secs()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn so_many_are_let_through_and_then_none_until_the_window_is_over() {
        let (clock, limiter) = limiter();
        let ada = Who::User(UserId(1));
        for _ in 0..3 {
            assert_eq!(take(&limiter, "a", ada, TWO), Ok(1));
            clock.advance(seconds(25));
            assert_eq!(take(&limiter, "a", ada, TWO), Ok(0));
            for left in [35, 35, 1] {
                clock.advance(seconds(if left == 1 { 34 } else { 0 }));
                assert_eq!(take(&limiter, "a", ada, TWO), Err(left), "a refused one is not counted");
            }
            clock.advance(seconds(1));
        }
    }

    #[test]
    fn a_window_says_what_is_left_of_it() {
        let (clock, limiter) = limiter();
        let limit = Limit::Rate { count: 10, per_seconds: 3_600 };
        limiter.take("a", at("10.0.0.1"), limit).unwrap();
        clock.advance(Duration::from_millis(600_500));
        let left = Left { count: 10, remaining: 8, reset: Duration::from_millis(2_999_500) };
        assert_eq!(limiter.take("a", at("10.0.0.1"), limit).unwrap(), Some(left));
    }

    #[test]
    fn others_and_other_things_have_windows_of_their_own() {
        let (_, limiter) = limiter();
        let one = Limit::per_minute(1);
        for (what, who) in [
            ("a", at("10.0.0.1")),
            ("b", at("10.0.0.1")),
            ("a", at("10.0.0.2")),
            ("a", at("2001:db8:1:2::1")),
            ("a", at("2001:db8:1:3::1")),
            ("a", Who::User(UserId(1))),
            ("a", Who::User(UserId(0x0A00_0001))),
        ] {
            assert_eq!(take(&limiter, what, who, one), Ok(0), "{what}, {who:?}");
            assert_eq!(take(&limiter, what, who, one), Err(60), "{what}, {who:?}");
        }
        assert_eq!(at("2001:db8:1:2::1"), at("2001:db8:1:2:ffff::9"), "one subscriber");
        assert_eq!(at("::ffff:10.0.0.1"), at("10.0.0.1"));
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        let (_, limiter) = limiter();
        for _ in 0..100 {
            assert_eq!(limiter.take("a", at("10.0.0.1"), Limit::Off).unwrap(), None);
        }
        assert_eq!(remembered(&limiter), 0);
    }

    #[test]
    fn a_clock_that_is_set_back_or_forward_keeps_nobody_waiting() {
        for days in [-400, 400] {
            let (clock, limiter) = limiter();
            let ada = Who::User(UserId(1));
            assert_eq!(take(&limiter, "a", ada, Limit::per_minute(1)), Ok(0));
            clock.set(Timestamp::from_seconds(1_795_237_599 + days * 86_400));
            assert_eq!(take(&limiter, "a", ada, Limit::per_minute(1)), Ok(0));
            assert_eq!(take(&limiter, "a", ada, Limit::per_minute(1)), Err(60));
        }
    }

    #[test]
    fn none_slips_through_when_all_come_at_once() {
        let (_, limiter) = limiter();
        for round in 0..50 {
            let who = v4(round);
            let begin = std::sync::Barrier::new(8);
            let taken: usize = thread::scope(|scope| {
                let run = || {
                    begin.wait();
                    (0..5).filter(|_| take(&limiter, "a", who, Limit::per_minute(7)).is_ok()).count()
                };
                let runs: Vec<_> = (0..8).map(|_| scope.spawn(run)).collect();
                runs.into_iter().map(|run| run.join().unwrap()).sum()
            });
            assert_eq!(taken, 7);
        }
    }

    #[test]
    fn a_million_addresses_take_bounded_memory_and_a_newcomer_is_still_counted() {
        let (_, limiter) = limiter();
        for n in 0..1_000_000 {
            assert_eq!(take(&limiter, "a", v4(n), Limit::per_minute(1)), Ok(0));
            if n % 100_000 == 99_999 {
                let newcomer = IpAddr::from((u128::from(n) << 64).to_be_bytes()).into();
                assert_eq!(take(&limiter, "a", newcomer, Limit::per_minute(1)), Ok(0));
                for _ in 0..100 {
                    assert_eq!(take(&limiter, "a", newcomer, Limit::per_minute(1)), Err(60));
                }
            }
        }
        assert!((GENERATION..=2 * GENERATION).contains(&remembered(&limiter)));
        let windows = limiter.windows.lock().unwrap();
        let room = windows.recent.capacity() + windows.former.capacity();
        assert!(room * size_of::<(Key, Window)>() <= 8 * 1024 * 1024, "{room} windows");
    }

    #[test]
    fn a_caller_is_remembered_until_a_whole_generation_has_come_since() {
        let (_, limiter) = limiter();
        let one = Limit::per_minute(1);
        let mut strangers = (0..).map(v4);
        let mut flood = |times: usize| {
            for stranger in strangers.by_ref().take(times) {
                assert_eq!(take(&limiter, "a", stranger, one), Ok(0));
            }
        };
        let ada = Who::User(UserId(1));
        flood(GENERATION / 2);
        assert_eq!(take(&limiter, "a", ada, one), Ok(0));
        for _ in 0..5 {
            flood(GENERATION);
            assert_eq!(take(&limiter, "a", ada, one), Err(60));
        }
        flood(2 * GENERATION);
        assert_eq!(take(&limiter, "a", ada, one), Ok(0));
    }
}
