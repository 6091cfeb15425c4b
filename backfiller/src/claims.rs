//! Who downloads what: no two workers of this process fetch the same file at once, nor twins of which
//! one is enough.
//!
//! A file is in one hand for as long as its download keeps a sensible pace. One that has been
//! slower loses the file, and ends, when the worker of a quick peer comes for it: a slow peer
//! never delays a quick one (SPEC §6), though it sends a byte now and then. Quick is a peer whose last
//! file came at such a pace: one that fails, or is slow as well (where it is our own link that is slow,
//! all are), takes nothing from anybody. Whoever has lost a file does not take it back out of another
//! hand, so that it cannot go back and forth for ever; if nobody has it any more and it is still
//! missing, it may try again.

mod came;
mod key;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use self::came::Came;
use self::key::Wanted;
use crate::item::Item;

/// Nobody loses a file before it has had it for so long.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Every so many bytes give another second: at this pace a file is never lost.
pub(crate) const SENSIBLE_PACE: u64 = 100_000;

/// A small file takes as long as a request does, at any pace.
const A_REQUEST: Duration = Duration::from_secs(1);

/// The files in hand. Clones are the same set.
#[derive(Debug, Clone, Default)]
pub struct Claims(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    hands: HashMap<key::Key, Arc<Hand>>,
    /// The peers whose last file came at a sensible pace.
    quick: HashSet<Arc<str>>,
    /// What is here by now, though plans that are being worked on know nothing of it.
    came: Came,
}

impl Known {
    /// The hands that have this file, or a twin of it: two that are no twins of one another may.
    fn in_the_way(&self, wanted: &Wanted) -> Vec<Arc<Hand>> {
        let hands = wanted.keys().filter_map(|key| self.hands.get(&key));
        let same = hands.filter(|hand| hand.wanted.is_same(wanted));
        same.cloned().collect()
    }
}

/// Who has a file, and how long it may keep it.
#[derive(Debug)]
struct Hand {
    wanted: Wanted,
    /// The peers that it was to come from, one after the other; the last one has it now.
    peers: Vec<Arc<str>>,
    since: Instant,
    /// What is given in addition to [`PATIENCE`], in microseconds.
    given: AtomicU64,
    lost: CancellationToken,
    released: CancellationToken,
}

impl Hand {
    fn new(wanted: Wanted, peers: Vec<Arc<str>>) -> Arc<Hand> {
        Arc::new(Hand {
            wanted,
            peers,
            since: Instant::now(),
            given: AtomicU64::new(0),
            lost: CancellationToken::new(),
            released: CancellationToken::new(),
        })
    }

    fn may_pass_to(&self, peer: &str) -> bool {
        self.peers.iter().all(|before| **before != *peer)
    }

    /// When it is slow unless more of it comes.
    fn slow_at(&self) -> Instant {
        self.since + PATIENCE + Duration::from_micros(self.given.load(Ordering::Relaxed))
    }

    fn is_slow(&self) -> bool {
        Instant::now() >= self.slow_at()
    }
}

impl Claims {
    /// Takes a file in hand, to fetch it from a peer, until the claim is dropped.
    ///
    /// # Errors
    /// [`Held`] if somebody else has it, or a twin of it, and is not slow, or took it from this peer, or
    /// this one is not known to be quick.
    pub fn claim(&self, item: &Item, peer: &str) -> Result<Claim, Held> {
        let wanted = Wanted::of(item);
        let mut known = self.lock();
        let in_the_way = known.in_the_way(&wanted);
        for hand in &in_the_way {
            let may_pass = hand.may_pass_to(peer);
            if !(may_pass && known.quick.contains(peer) && hand.is_slow()) {
                return Err(Held {
                    hand: Arc::clone(hand),
                    claims: self.clone(),
                    peer: may_pass.then(|| peer.into()),
                });
            }
        }
        let mut peers = Vec::new();
        for hand in in_the_way {
            hand.lost.cancel();
            peers.extend_from_slice(&hand.peers);
            known.hands.remove(&hand.wanted.key);
        }
        peers.push(peer.into());
        let key = wanted.key.clone();
        let hand = Hand::new(wanted, peers);
        known.hands.insert(key, Arc::clone(&hand));
        Ok(Claim {
            claims: self.clone(),
            hand,
        })
    }

    /// Where the twins of a file are that have come since it was planned, or were seen to be here.
    #[must_use]
    pub fn twins(&self, item: &Item) -> Vec<PathBuf> {
        self.lock().came.twins(&Wanted::of(item))
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Poisoned maps are still maps.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file in our hand.
#[derive(Debug)]
pub struct Claim {
    claims: Claims,
    hand: Arc<Hand>,
}

impl Claim {
    /// Notes that so much of it came, and how much time was then lost through no fault of the
    /// peer's.
    pub fn received(&self, bytes: usize, excused: Duration) {
        let earned = bytes as u64 * 1_000_000 / SENSIBLE_PACE;
        let excused = u64::try_from(excused.as_micros()).unwrap_or(u64::MAX);
        let given = earned.saturating_add(excused);
        self.hand.given.fetch_add(given, Ordering::Relaxed);
    }

    /// Notes that all of it came: what is left to do is our own affair, and nobody takes it any more.
    pub fn has_all(&self) {
        let given = Duration::from_micros(self.hand.given.load(Ordering::Relaxed));
        let is_quick = self.hand.since.elapsed() <= given + A_REQUEST;
        self.tell(is_quick);
        self.hand
            .given
            .store(u64::from(u32::MAX) * 1_000_000, Ordering::Relaxed);
    }

    /// Notes that it is here, as this file: its twins are not missing any more.
    pub fn came(&self, file: &Path) {
        self.claims.lock().came.note(&self.hand.wanted, file);
    }

    /// Notes that it could not be had from this peer.
    pub fn failed(&self) {
        self.tell(false);
    }

    /// Notes whether its peer is quick.
    fn tell(&self, is_quick: bool) {
        let Some(peer) = self.hand.peers.last() else {
            return;
        };
        let quick = &mut self.claims.lock().quick;
        if is_quick {
            quick.insert(Arc::clone(peer));
        } else {
            quick.remove(peer);
        }
    }

    /// Waits until somebody else has taken it from us: whatever we do for it is of no use.
    pub async fn lost(&self) {
        self.hand.lost.cancelled().await;
    }

    /// What a claim that was lost becomes: it may be asked for again.
    #[must_use]
    pub fn given_up(self) -> Held {
        Held {
            hand: Arc::clone(&self.hand),
            claims: self.claims.clone(),
            peer: None,
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let hands = &mut self.claims.lock().hands;
        if hands
            .get(&self.hand.wanted.key)
            .is_some_and(|hand| Arc::ptr_eq(hand, &self.hand))
        {
            hands.remove(&self.hand.wanted.key);
        }
        self.hand.released.cancel();
    }
}

/// Somebody else has the file in hand.
#[derive(Debug, Clone)]
pub struct Held {
    hand: Arc<Hand>,
    claims: Claims,
    /// Who we are, if we may have it should they be slow.
    peer: Option<Arc<str>>,
}

impl Held {
    /// Waits until they have it no more, be it downloaded or not.
    pub async fn released(&self) {
        self.hand.released.cancelled().await;
    }

    /// Waits until they have it no more, or are so slow that we may have it.
    pub async fn free(&self) {
        let Some(peer) = &self.peer else {
            return self.released().await;
        };
        loop {
            // More of it may come meanwhile, and we may turn out to be quick.
            let when = match self.hand.is_slow() {
                false => self.hand.slow_at(),
                true if self.claims.lock().quick.contains(peer) => return,
                true => Instant::now() + A_REQUEST,
            };
            tokio::select! {
                () = self.released() => return,
                () = sleep_until(when) => {}
            }
        }
    }
}
