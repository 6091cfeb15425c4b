//! Who downloads what: no two workers of this process fetch the same file at once.
//!
//! A file is in one hand for as long as its download keeps a sensible pace. One that has been
//! slower loses the file, and ends, when the worker of another peer comes for it: a slow peer
//! never delays a quick one (SPEC §6), though it sends a byte now and then. Whoever has lost a file
//! does not take it back out of another hand, so that slow peers cannot take it from one another
//! for ever; if nobody has it any more and it is still missing, it may try again.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// Nobody loses a file before it has had it for so long.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Every so many bytes give another second: at this pace a file is never lost.
const SENSIBLE_PACE: u64 = 100_000;

/// The files in hand, by final path. Clones are the same set.
#[derive(Debug, Clone, Default)]
pub struct Claims(Arc<Mutex<HashMap<PathBuf, Arc<Hand>>>>);

/// Who has a file, and how long it may keep it.
#[derive(Debug)]
struct Hand {
    /// The peers that it was to come from, one after the other; the last one has it now.
    peers: Vec<Arc<str>>,
    since: Instant,
    /// What is given in addition to [`PATIENCE`], in microseconds.
    given: AtomicU64,
    lost: CancellationToken,
    released: CancellationToken,
}

impl Hand {
    fn new(peers: Vec<Arc<str>>) -> Arc<Hand> {
        Arc::new(Hand {
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
    /// [`Held`] if somebody else has it and is not slow, or took it from this peer.
    pub fn claim(&self, file: &Path, peer: &str) -> Result<Claim, Held> {
        let mut held = self.lock();
        let mut peers = Vec::new();
        if let Some(hand) = held.get(file) {
            let passes = hand.may_pass_to(peer);
            if !(passes && hand.is_slow()) {
                return Err(Held {
                    hand: Arc::clone(hand),
                    passes,
                });
            }
            hand.lost.cancel();
            peers.clone_from(&hand.peers);
        }
        peers.push(peer.into());
        let hand = Hand::new(peers);
        held.insert(file.to_owned(), Arc::clone(&hand));
        Ok(Claim {
            claims: self.clone(),
            file: file.to_owned(),
            hand,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PathBuf, Arc<Hand>>> {
        // A poisoned map is still a map.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file in our hand.
#[derive(Debug)]
pub struct Claim {
    claims: Claims,
    file: PathBuf,
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

    /// Waits until somebody else has taken it from us: whatever we do for it is of no use.
    pub async fn lost(&self) {
        self.hand.lost.cancelled().await;
    }

    /// What a claim that was lost becomes: it may be asked for again.
    #[must_use]
    pub fn given_up(self) -> Held {
        Held {
            hand: Arc::clone(&self.hand),
            passes: false,
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut held = self.claims.lock();
        if held
            .get(&self.file)
            .is_some_and(|hand| Arc::ptr_eq(hand, &self.hand))
        {
            held.remove(&self.file);
        }
        self.hand.released.cancel();
    }
}

/// Somebody else has the file in hand.
#[derive(Debug, Clone)]
pub struct Held {
    hand: Arc<Hand>,
    /// True iff we may have it if they are slow.
    passes: bool,
}

impl Held {
    /// Waits until they have it no more, be it downloaded or not.
    pub async fn released(&self) {
        self.hand.released.cancelled().await;
    }

    /// Waits until they have it no more, or are so slow that we may have it.
    pub async fn free(&self) {
        if !self.passes {
            return self.released().await;
        }
        // More of it may come meanwhile.
        while !self.hand.is_slow() {
            tokio::select! {
                () = self.released() => return,
                () = sleep_until(self.hand.slow_at()) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use tokio::time::advance;

    const FILE: &str = "f";

    #[tokio::test(start_paused = true)]
    async fn one_at_a_time_and_the_next_after_it() {
        let claims = Claims::default();
        let (a, b) = (Path::new("a"), Path::new("b"));
        let first = claims.claim(a, "one").unwrap();
        let held = claims.clone().claim(a, "two").unwrap_err();
        let _other = claims.claim(b, "two").unwrap();
        assert!(held.released().now_or_never().is_none());
        assert!(held.free().now_or_never().is_none());
        drop(first);
        held.released().await;
        held.free().await;
        drop(claims.claim(a, "two").unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_one_loses_the_file_when_another_comes_and_does_not_take_it_back() {
        let (claims, file) = (Claims::default(), Path::new(FILE));
        let first = claims.claim(file, "slow").unwrap();
        let waiting = claims.claim(file, "quick").unwrap_err();
        let begun = Instant::now();
        waiting.free().await;
        assert_eq!(begun.elapsed(), PATIENCE);
        // Nobody takes it from itself, and without anybody else it keeps it.
        assert!(claims.claim(file, "slow").is_err());
        assert!(first.lost().now_or_never().is_none());
        let second = claims.claim(file, "quick").unwrap();
        first.lost().await;
        let lost = first.given_up();
        lost.free().await;
        // The first one's end has not set the file free.
        let again = claims.claim(file, "slow").unwrap_err();
        advance(PATIENCE * 2).await;
        assert!(again.free().now_or_never().is_none());
        assert!(claims.claim(file, "slow").is_err());
        assert!(second.lost().now_or_never().is_none());
        let third = claims.claim(file, "third").unwrap();
        drop(second);
        assert!(claims.claim(file, "slow").is_err());
        drop(third);
        drop(claims.claim(file, "slow").unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_sensible_pace_and_our_own_delays_give_more_time() {
        let (claims, file) = (Claims::default(), Path::new(FILE));
        let first = claims.claim(file, "one").unwrap();
        for _ in 0..100 {
            advance(Duration::from_secs(1)).await;
            first.received(100_000, Duration::ZERO);
            assert!(claims.claim(file, "two").is_err());
        }
        first.received(0, Duration::from_secs(5));
        let waiting = claims.claim(file, "two").unwrap_err();
        let begun = Instant::now();
        waiting.free().await;
        assert_eq!(begun.elapsed(), PATIENCE + Duration::from_secs(5));
        drop(claims.claim(file, "two").unwrap());
    }
}
