//! The segments that a worker still has to get: new ones, oldest first, and those that have
//! failed and wait for their next try. New ones are not held up by those that fail.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

use crate::debug::Kept;
use crate::getter::Job;
use crate::rendition::Claim;

/// A segment, from when it was listed until it is recorded or lost.
#[derive(Debug)]
pub(crate) struct Queued {
    /// What to get.
    pub(crate) job: Job,
    /// Nobody else gets it from there.
    pub(crate) claim: Claim,
    /// Playlists that are to be kept beside it.
    pub(crate) playlists: Arc<[Arc<Kept>]>,
    /// How often getting it crashed.
    pub(crate) crashes: u32,
    /// When it was tried first.
    pub(crate) tried: Option<Instant>,
    /// Held while a getter tries it again: counts those.
    pub(crate) again: Option<Arc<()>>,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Queue<T = Queued> {
    fresh: VecDeque<T>,
    /// By when they are due, then by the order in which they came.
    waiting: BTreeMap<(Instant, u64), T>,
    count: u64,
    /// Turn by turn, so that neither kind starves the other.
    fresh_was_last: bool,
}

impl<T> Default for Queue<T> {
    fn default() -> Queue<T> {
        Queue {
            fresh: VecDeque::new(),
            waiting: BTreeMap::new(),
            count: 0,
            fresh_was_last: false,
        }
    }
}

impl<T> Queue<T> {
    /// Adds a new one.
    pub(crate) fn push(&mut self, item: T) {
        self.fresh.push_back(item);
    }

    /// Adds one that is to be tried again then.
    pub(crate) fn push_back_until(&mut self, due: Instant, item: T) {
        self.count += 1;
        self.waiting.insert((due, self.count), item);
    }

    /// The next that can be tried at `now`; one that has failed before only if `again`.
    pub(crate) fn pop(&mut self, now: Instant, again: bool) -> Option<T> {
        let due = again
            && self
                .waiting
                .first_key_value()
                .is_some_and(|((due, _), _)| *due <= now);
        let fresh = !self.fresh.is_empty();
        self.fresh_was_last = match (fresh, due) {
            (false, false) => return None,
            (true, true) => !self.fresh_was_last,
            (fresh, _) => fresh,
        };
        if self.fresh_was_last {
            self.fresh.pop_front()
        } else {
            self.waiting.pop_first().map(|(_, item)| item)
        }
    }

    /// When the next one that waits is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|((due, _), _)| *due)
    }

    pub(crate) fn len(&self) -> usize {
        self.fresh.len() + self.waiting.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.fresh.is_empty() && self.waiting.is_empty()
    }

    /// Takes all of them out.
    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = T> {
        let fresh = std::mem::take(&mut self.fresh);
        let waiting = std::mem::take(&mut self.waiting);
        fresh.into_iter().chain(waiting.into_values())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn new_ones_and_due_ones_take_turns_and_nobody_comes_too_early() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut queue = Queue::default();
        for failed in [30, 31, 32] {
            queue.push_back_until(at(failed - 30), failed);
        }
        for fresh in [1, 2, 3, 4] {
            queue.push(fresh);
        }
        let mut taken: Vec<u64> = (0..5).filter_map(|_| queue.pop(at(1), true)).collect();
        assert_eq!(queue.next_due(), Some(at(2)));
        taken.extend((0..3).filter_map(|_| queue.pop(at(1), true)));
        assert_eq!(taken, [1, 30, 2, 31, 3, 4]);
        assert!(!queue.is_empty());
        assert_eq!(queue.pop(at(2), false), None);
        assert_eq!(queue.pop(at(2), true), Some(32));
        assert!(queue.is_empty());
        queue.push(5);
        queue.push_back_until(at(9), 33);
        assert_eq!(queue.take_all().collect::<Vec<_>>(), [5, 33]);
        assert!(queue.is_empty());
    }
}
