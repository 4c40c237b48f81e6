//! Turns: the order in which waiting jobs are begun, so that no client network keeps others from theirs.

use std::collections::VecDeque;

use crate::network::ClientNetwork;

/// Which jobs go first. While jobs of both ranks wait, four of the first are begun and then one of the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// What others wait for.
    First,
    /// What can wait a little longer.
    Second,
}

/// So many jobs of the first rank are begun before one of the second.
const FIRST_IN_TURN: u32 = 4;

/// A job's number in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// A bounded queue in which each network has a line of its own. The lines of a rank are served in turn, a job each. One
/// network may fill the whole queue; once it is full, the longest line makes room for others.
#[derive(Debug)]
pub struct Turns<J> {
    limit: usize,
    len: usize,
    next: u64,
    /// Jobs of the first rank begun since one of the second was, while some waited.
    in_turn: u32,
    first: VecDeque<Line<J>>,
    second: VecDeque<Line<J>>,
}

/// The jobs of one network, oldest first; at least one.
#[derive(Debug)]
struct Line<J> {
    network: Option<ClientNetwork>,
    jobs: VecDeque<(Ticket, J)>,
}

impl<J> Turns<J> {
    /// A queue for at most `limit` jobs.
    pub fn new(limit: usize) -> Self {
        Self { limit, len: 0, next: 0, in_turn: 0, first: VecDeque::new(), second: VecDeque::new() }
    }

    /// Adds a job to the line of its network; jobs without one share a line. When that is one too many, gives back the
    /// job that has to leave: of the rank that has more than its share, the youngest in the longest line. It may be the
    /// new one.
    pub fn push(&mut self, rank: Rank, network: Option<ClientNetwork>, job: J) -> (Ticket, Option<J>) {
        let ticket = Ticket(self.next);
        self.next += 1;
        let lines = self.lines(rank);
        match lines.iter_mut().find(|line| line.network == network) {
            Some(line) => line.jobs.push_back((ticket, job)),
            None => lines.push_back(Line { network, jobs: [(ticket, job)].into() }),
        }
        self.len += 1;
        let left = if self.len > self.limit { self.drop_one() } else { None };
        (ticket, left)
    }

    /// The job whose turn it is.
    pub fn pop(&mut self) -> Option<J> {
        let second_waits = !self.second.is_empty();
        let second = second_waits && (self.first.is_empty() || self.in_turn >= FIRST_IN_TURN);
        self.in_turn = if second_waits && !second { self.in_turn + 1 } else { 0 };
        let lines = if second { &mut self.second } else { &mut self.first };
        let mut line = lines.pop_front()?;
        let (_, job) = line.jobs.pop_front()?;
        if !line.jobs.is_empty() {
            lines.push_back(line);
        }
        self.len -= 1;
        Some(job)
    }

    /// Takes a job out of the queue, if it still waits.
    pub fn remove(&mut self, ticket: Ticket) -> Option<J> {
        for lines in [&mut self.first, &mut self.second] {
            for n in 0..lines.len() {
                if let Ok(place) = lines[n].jobs.binary_search_by_key(&ticket, |(ticket, _)| *ticket) {
                    let (_, job) = lines[n].jobs.remove(place)?;
                    if lines[n].jobs.is_empty() {
                        lines.remove(n);
                    }
                    self.len -= 1;
                    return Some(job);
                }
            }
        }
        None
    }

    /// Whether no job waits.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn lines(&mut self, rank: Rank) -> &mut VecDeque<Line<J>> {
        match rank {
            Rank::First => &mut self.first,
            Rank::Second => &mut self.second,
        }
    }

    /// Makes room for one.
    fn drop_one(&mut self) -> Option<J> {
        // With one job too many, exactly one rank has more than its share.
        let share_of_second = self.limit / (FIRST_IN_TURN as usize + 1);
        let second: usize = self.second.iter().map(|line| line.jobs.len()).sum();
        let rank = if second > share_of_second { Rank::Second } else { Rank::First };
        let youngest = |line: &Line<J>| line.jobs.back().map(|(ticket, _)| *ticket);
        let longest = self.lines(rank).iter().max_by_key(|line| (line.jobs.len(), youngest(line)))?;
        let ticket = youngest(longest)?;
        self.remove(ticket)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::Rank::{First, Second};
    use super::*;

    fn from(last: u8) -> Option<ClientNetwork> {
        (last > 0).then(|| IpAddr::from([192, 0, 2, last]).into())
    }

    /// A queue into which jobs are put that all find room.
    fn queue(limit: usize, jobs: &[(Rank, u8, &'static str)]) -> Turns<&'static str> {
        let mut turns = Turns::new(limit);
        for &(rank, network, job) in jobs {
            assert_eq!(turns.push(rank, from(network), job).1, None, "{job}");
        }
        turns
    }

    fn all(mut turns: Turns<&'static str>) -> Vec<&'static str> {
        let jobs = std::iter::from_fn(|| turns.pop()).collect();
        assert_eq!(turns.len, 0);
        jobs
    }

    #[test]
    fn networks_take_turns_and_a_line_is_served_in_its_order() {
        let turns = queue(
            10,
            &[
                (First, 1, "a1"),
                (First, 1, "a2"),
                (First, 1, "a3"),
                (First, 2, "b1"),
                (First, 0, "nobody's"),
                (First, 2, "b2"),
            ],
        );
        assert_eq!(all(turns), ["a1", "b1", "nobody's", "a2", "b2", "a3"]);
    }

    #[test]
    fn a_newcomer_waits_for_one_job_of_each_line_at_most() {
        let mut turns = queue(10, &[(First, 1, "a1"), (First, 1, "a2"), (First, 1, "a3"), (First, 1, "a4")]);
        assert_eq!(turns.pop(), Some("a1"));
        turns.push(First, from(2), "b1");
        assert_eq!(all(turns), ["a2", "b1", "a3", "a4"]);
    }

    #[test]
    fn one_network_alone_may_fill_the_queue_and_is_then_refused() {
        let mut turns = queue(3, &[(First, 1, "a1"), (First, 1, "a2"), (First, 1, "a3")]);
        assert_eq!(turns.push(First, from(1), "a4").1, Some("a4"));
        assert_eq!(all(turns), ["a1", "a2", "a3"]);
    }

    #[test]
    fn when_the_queue_is_full_the_longest_line_loses_its_youngest() {
        let mut turns = queue(
            5,
            &[(First, 1, "a1"), (First, 2, "b1"), (First, 1, "a2"), (First, 1, "a3"), (First, 2, "b2")],
        );
        assert_eq!(turns.push(First, from(3), "c1").1, Some("a3"));
        // Two lines are longest: the youngest of both goes.
        assert_eq!(turns.push(First, from(3), "c2").1, Some("c2"));
        assert_eq!(turns.push(First, from(4), "d1").1, Some("b2"));
        assert_eq!(turns.push(First, from(5), "e1").1, Some("a2"));
        // Nobody has two: there is no room to give.
        assert_eq!(turns.push(First, from(6), "f1").1, Some("f1"));
        assert_eq!(all(turns), ["a1", "b1", "c1", "d1", "e1"]);
    }

    #[test]
    fn four_of_the_first_rank_are_begun_before_one_of_the_second() {
        let mut jobs = vec![(Second, 1, "s"); 3];
        jobs.extend([(First, 1, "f"); 10]);
        assert_eq!(all(queue(20, &jobs)).concat(), "ffffsffffsffs");
        // Those of the first rank that found nobody waiting do not count.
        let mut turns = queue(20, &[(First, 1, "f"); 9]);
        for _ in 0..4 {
            turns.pop();
        }
        turns.push(Second, from(1), "s");
        assert_eq!(all(turns).concat(), "ffffsf");
    }

    #[test]
    fn a_full_queue_keeps_room_for_each_rank() {
        let mut turns = queue(10, &[(Second, 1, "s"); 10]);
        for _ in 0..8 {
            assert_eq!(turns.push(First, from(2), "f").1, Some("s"));
        }
        assert_eq!(turns.push(First, from(2), "last").1, Some("last"));
        assert_eq!(turns.push(First, from(3), "g").1, Some("f"));
        assert_eq!(turns.push(Second, from(1), "last").1, Some("last"));
        assert_eq!(turns.push(Second, from(4), "t").1, Some("s"));
        let mut turns = queue(10, &[(First, 1, "f"); 10]);
        for expected in ["f", "f", "s"] {
            assert_eq!(turns.push(Second, from(2), "s").1, Some(expected));
        }
    }

    #[test]
    fn a_job_that_leaves_makes_room_and_its_line_keeps_its_turn() {
        let mut turns = Turns::new(3);
        let (gone, _) = turns.push(First, from(1), "a1");
        turns.push(First, from(1), "a2");
        let (also_gone, _) = turns.push(First, from(2), "b1");
        assert_eq!(turns.remove(gone), Some("a1"));
        assert_eq!(turns.remove(gone), None);
        turns.push(First, from(3), "c1");
        assert_eq!(turns.remove(also_gone), Some("b1"));
        assert_eq!(all(turns), ["a2", "c1"]);
    }
}
