//! `--max-downloads`, and what `--max-rate` bears: a slot for each download at once, of all workers
//! together. A slow peer may have
//! many of them for long, but never those that others may come to want: while some have none,
//! one for each of them is left, up to half of all there are. (The extras of a peer count as a peer of
//! their own, while some are fetched.)

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// The slots.
#[derive(Debug)]
pub struct Slots(Mutex<State>);

#[derive(Debug)]
struct State {
    /// `--max-downloads`.
    most: usize,
    /// As many as get a sensible share of `--max-rate`; each peer has one all the same.
    sensible: usize,
    taken: usize,
    /// Each peer that is expected, or has a slot yet.
    peers: HashMap<Arc<str>, Share>,
    /// Who wants one, first come first.
    waiting: VecDeque<(Arc<str>, oneshot::Sender<()>)>,
}

/// What is known of a peer.
#[derive(Debug, Default)]
struct Share {
    /// How many slots it has.
    held: usize,
    /// How often it is expected: where its URL has changed, the new worker comes before the old one is
    /// gone.
    expected: usize,
}

impl Slots {
    /// So many slots, and no more than are sensible unless there are more peers.
    #[must_use]
    pub fn new(most: usize, sensible: usize) -> Slots {
        Slots(Mutex::new(State {
            most,
            sensible,
            taken: 0,
            peers: HashMap::new(),
            waiting: VecDeque::new(),
        }))
    }

    /// Notes that a peer may want some, until it is forgotten as often: one is left for it.
    pub fn expect(&self, peer: &Arc<str>) {
        let mut state = self.lock();
        state.peers.entry(Arc::clone(peer)).or_default().expected += 1;
        state.grant();
    }

    /// Notes that a peer is gone.
    pub fn forget(&self, peer: &str) {
        let mut state = self.lock();
        state.change(peer, |share| {
            share.expected = share.expected.saturating_sub(1)
        });
        state.grant();
    }

    /// Expects a peer until the guard is dropped.
    pub(crate) fn expected(&self, peer: &Arc<str>) -> Expected<'_> {
        self.expect(peer);
        Expected {
            slots: self,
            peer: Arc::clone(peer),
        }
    }

    /// Waits for a slot. Dropping the future anywhere leaves none taken.
    pub async fn acquire(&self, peer: &Arc<str>) -> Slot<'_> {
        let (granted, wait) = oneshot::channel();
        let mut slot = Slot {
            slots: self,
            peer: Arc::clone(peer),
            wait: Some(wait),
        };
        {
            let mut state = self.lock();
            state.waiting.push_back((Arc::clone(peer), granted));
            state.grant();
        }
        if let Some(wait) = &mut slot.wait {
            // The sender goes with the slots only, which outlive this.
            let _ = wait.await;
        }
        slot.wait = None;
        slot
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is made as a whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// How many there are now.
    fn all(&self) -> usize {
        // Whoever is expected by nobody has one, too.
        self.most.min(self.sensible.max(self.peers.len()).max(1))
    }

    /// Changes what is known of a peer, and forgets it if that is nothing.
    fn change(&mut self, peer: &str, change: impl FnOnce(&mut Share)) {
        if let Some(share) = self.peers.get_mut(peer) {
            change(share);
            if (share.held, share.expected) == (0, 0) {
                self.peers.remove(peer);
            }
        }
    }

    /// Gives what is free to those who wait.
    fn grant(&mut self) {
        let mut next = 0;
        while self.taken < self.all()
            && let Some((peer, _)) = self.waiting.get(next)
        {
            let held = self.peers.get(peer).map_or(0, |share| share.held);
            if held > 0 && self.taken + self.left_for_others() >= self.all() {
                next += 1;
                continue;
            }
            let Some((peer, granted)) = self.waiting.remove(next) else {
                return;
            };
            // Some have stopped waiting.
            if granted.send(()).is_ok() {
                self.taken += 1;
                self.peers.entry(peer).or_default().held += 1;
            }
        }
    }

    fn left_for_others(&self) -> usize {
        let without = self.peers.values().filter(|share| share.held == 0);
        let without = without.count();
        without.min(self.all() / 2)
    }

    fn release(&mut self, peer: &str) {
        self.taken = self.taken.saturating_sub(1);
        self.change(peer, |share| share.held = share.held.saturating_sub(1));
        self.grant();
    }
}

/// A peer that is expected. Forgotten when dropped.
#[derive(Debug)]
pub(crate) struct Expected<'a> {
    slots: &'a Slots,
    peer: Arc<str>,
}

impl Drop for Expected<'_> {
    fn drop(&mut self) {
        self.slots.forget(&self.peer);
    }
}

/// A slot, or the wish for one. Free again when dropped.
#[derive(Debug)]
pub struct Slot<'a> {
    slots: &'a Slots,
    peer: Arc<str>,
    /// Until it was granted.
    wait: Option<oneshot::Receiver<()>>,
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        // Under the lock nobody grants it.
        let mut state = self.slots.lock();
        let granted = self
            .wait
            .take()
            .is_none_or(|mut wait| wait.try_recv().is_ok());
        match granted {
            true => state.release(&self.peer),
            false => state.waiting.retain(|(_, granted)| !granted.is_closed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn take<'a>(slots: &'a Slots, peer: &str) -> Option<Slot<'a>> {
        slots.acquire(&peer.into()).now_or_never()
    }

    #[test]
    fn a_peer_leaves_one_for_each_of_the_others_and_the_bound_holds() {
        let slots = Slots::new(4, usize::MAX);
        for peer in ["slow", "quick", "third"] {
            slots.expect(&peer.into());
        }
        let mut slow: Vec<Slot> = std::iter::from_fn(|| take(&slots, "slow")).collect();
        assert_eq!(slow.len(), 2);
        let quick = take(&slots, "quick").unwrap();
        let third = take(&slots, "third").unwrap();
        for peer in ["slow", "quick", "third", "unknown"] {
            assert!(take(&slots, peer).is_none(), "{peer}");
        }
        drop(quick);
        // It is kept for who has none.
        assert!(take(&slots, "slow").is_none() && take(&slots, "third").is_none());
        let quick = take(&slots, "quick").unwrap();
        drop((quick, third));
        slots.forget("quick");
        slots.forget("third");
        slow.extend(std::iter::from_fn(|| take(&slots, "slow")));
        assert_eq!(slow.len(), 4);
    }

    #[test]
    fn few_slots_for_many_peers_go_to_all_in_turn_and_a_dropped_wish_takes_none() {
        for most in [1, 2] {
            let slots = Slots::new(most, usize::MAX);
            let [one, two]: [Arc<str>; 2] = ["one", "two"].map(Into::into);
            for peer in ["a", "b", "c", "d"] {
                slots.expect(&peer.into());
            }
            let first: Vec<Slot> = (0..most)
                .map(|n| take(&slots, &n.to_string()).unwrap())
                .collect();
            let mut waiting = Box::pin(slots.acquire(&one));
            let mut next = Box::pin(slots.acquire(&two));
            assert!(waiting.as_mut().now_or_never().is_none());
            assert!(next.as_mut().now_or_never().is_none());
            drop(first);
            // Granted, and nobody looks.
            drop(waiting);
            drop(next.as_mut().now_or_never().unwrap());
            drop(next);
            assert_eq!(slots.lock().taken, 0);
        }
    }

    #[test]
    fn a_low_rate_is_shared_by_few_downloads_and_each_peer_has_one() {
        // (--max-downloads, sensible, peers, slots)
        let table = [(100, 4, 3, 4), (100, 1, 3, 3), (2, 1, 3, 2), (2, 4, 1, 2)];
        for (most, sensible, peers, all) in table {
            let slots = Slots::new(most, sensible);
            let names: Vec<String> = (0..peers).map(|n| n.to_string()).collect();
            names
                .iter()
                .for_each(|peer| slots.expect(&peer.as_str().into()));
            let wishes = names.iter().chain(&names).chain(&names).chain(&names);
            let taken: Vec<Slot> = wishes.filter_map(|peer| take(&slots, peer)).collect();
            assert_eq!(taken.len(), all, "{most} {sensible} {peers}");
        }
    }

    #[test]
    fn a_peer_whose_new_worker_comes_before_the_old_one_goes_is_still_expected() {
        for sensible in [0, 1] {
            let slots = Slots::new(100, sensible);
            slots.expect(&"elsewhere".into());
            let old = take(&slots, "elsewhere").unwrap();
            slots.expect(&"elsewhere".into());
            drop(old);
            slots.forget("elsewhere");
            assert_eq!(slots.lock().peers.len(), 1, "{sensible}");
            let slot = take(&slots, "elsewhere").unwrap();
            // Gone for good, and its download comes to an end.
            slots.forget("elsewhere");
            drop(slot);
            assert_eq!(slots.lock().peers.len(), 0, "{sensible}");
            // Nobody expected it.
            assert!(take(&slots, "unknown").is_some(), "{sensible}");
        }
    }

    #[test]
    fn extras_keep_a_slot_from_others_only_while_some_are_fetched() {
        let slots = Slots::new(4, usize::MAX);
        let a: Arc<str> = "a".into();
        slots.expect(&a);
        let extras = slots.expected(&"a (extras)".into());
        let mut taken: Vec<Slot> = std::iter::from_fn(|| take(&slots, "a")).collect();
        assert_eq!(taken.len(), 3);
        let mut last = Box::pin(slots.acquire(&a));
        assert!(last.as_mut().now_or_never().is_none());
        drop(extras);
        taken.push(last.now_or_never().unwrap());
        assert_eq!(slots.lock().taken, 4);
        drop(taken);
    }
}
