//! Budget: a bound on what many requests hold at one time, such as bytes or places in a queue, shared fairly between client
//! networks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::network::ClientNetwork;

/// Units of something that may be held at one time. While more than half of them is free, one network may hold as much as there is;
/// after that no more than a quarter of the whole, so that others always find room. Clones share it.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    total: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    all: usize,
    by_network: HashMap<ClientNetwork, usize>,
}

/// Units of a budget that are held until this is dropped.
#[derive(Debug)]
pub struct Allotment {
    budget: Budget,
    network: ClientNetwork,
    units: usize,
}

impl Budget {
    /// A budget of `total` units.
    pub fn new(total: usize) -> Self {
        Self(Arc::new(Shared { total, held: Mutex::default() }))
    }

    /// Holds `units` for a client of this network; `None` when there is no room for them.
    pub fn take(&self, network: ClientNetwork, units: usize) -> Option<Allotment> {
        let mut allotment = Allotment { budget: self.clone(), network, units: 0 };
        allotment.grow(units).then_some(allotment)
    }

    /// The units that are held now.
    pub fn held(&self) -> usize {
        self.lock().all
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Allotment {
    /// Holds `more` units besides; whether there was room. Without it nothing changes.
    #[must_use]
    pub fn grow(&mut self, more: usize) -> bool {
        let total = self.budget.0.total;
        let mut held = self.budget.lock();
        let all = held.all.saturating_add(more);
        let own = held.by_network.get(&self.network).copied().unwrap_or(0).saturating_add(more);
        // A first piece is held whatever its share would be: a small budget serves one after the other.
        if all > total || held.all > 0 && all > total / 2 && own > total / 4 {
            return false;
        }
        held.all = all;
        if own > 0 {
            held.by_network.insert(self.network, own);
        }
        self.units += more;
        true
    }

    /// Gives back all but `units`.
    pub fn shrink_to(&mut self, units: usize) {
        let back = self.units.saturating_sub(units);
        let mut held = self.budget.lock();
        held.all -= back;
        if let Some(own) = held.by_network.get_mut(&self.network) {
            *own -= back;
            if *own == 0 {
                held.by_network.remove(&self.network);
            }
        }
        self.units -= back;
    }
}

impl Drop for Allotment {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn network(last: u8) -> ClientNetwork {
        IpAddr::from([192, 0, 2, last]).into()
    }

    #[test]
    fn one_network_may_have_half_and_then_leaves_room_for_others() {
        let budget = Budget::new(1000);
        let greedy = budget.take(network(1), 500).unwrap();
        assert!(budget.take(network(1), 1).is_none());
        let mut other = budget.take(network(2), 200).unwrap();
        assert!(other.grow(50));
        assert!(!other.grow(1), "more than a quarter, and less than half is free");
        let third = budget.take(network(3), 250).unwrap();
        assert!(budget.take(network(4), 1).is_none(), "all is held");
        assert_eq!(budget.held(), 1000);
        drop(third);
        drop(greedy);
        assert!(other.grow(250), "half is free again");
        assert_eq!(budget.held(), 500);
    }

    #[test]
    fn what_was_held_comes_back_whole() {
        let budget = Budget::new(1000);
        let mut taken = budget.take(network(1), 400).unwrap();
        taken.shrink_to(100);
        assert_eq!(budget.held(), 100);
        taken.shrink_to(200);
        assert_eq!(budget.held(), 100);
        drop(taken);
        assert_eq!(budget.held(), 0);
        assert!(budget.lock().by_network.is_empty());
        assert!(budget.take(network(1), 1001).is_none());
        let one = Budget::new(1);
        let held = one.take(network(1), 1).unwrap();
        assert!(one.take(network(2), 1).is_none());
        drop(held);
        assert!(one.take(network(2), 1).is_some());
        assert!(budget.lock().by_network.is_empty(), "a refusal leaves nothing behind");
    }
}
