//! What cannot be had, by a hash: there may be very many.

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

/// So many losses are remembered, so that a segment is not lost twice; the oldest go first. More
/// than the longest list has.
const MOST_LOSSES: usize = 400_000;

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    known: HashSet<u64>,
    /// The same, oldest first.
    order: VecDeque<u64>,
}

impl Losses {
    /// Remembers one; whether it is new.
    pub(crate) fn add(&mut self, loss: &impl Hash) -> bool {
        let loss = hash(loss);
        let is_new = self.known.insert(loss);
        if is_new {
            self.order.push_back(loss);
        }
        if self.order.len() > MOST_LOSSES
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        is_new
    }

    /// True iff it is remembered.
    pub(crate) fn has(&self, loss: &impl Hash) -> bool {
        self.known.contains(&hash(loss))
    }
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
