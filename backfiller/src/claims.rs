//! Who downloads what: no two workers of this process fetch the same file at once.
//!
//! A file is in one hand for as long as its download keeps a sensible pace. One that has been
//! slower loses the file, and ends, when the worker of a quick peer comes for it: a slow peer
//! never delays a quick one (SPEC §6), though it sends a byte now and then. Quick is a peer whose last
//! file came at such a pace: one that fails, or is slow as well (where it is our own link that is slow,
//! all are), takes nothing from anybody. Whoever has lost a file does not take it back out of another
//! hand, so that it cannot go back and forth for ever; if nobody has it any more and it is still
//! missing, it may try again.

use std::collections::{HashMap, HashSet};
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

/// A small file takes as long as a request does, at any pace.
const A_REQUEST: Duration = Duration::from_secs(1);

/// The files in hand. Clones are the same set.
#[derive(Debug, Clone, Default)]
pub struct Claims(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// By final path.
    hands: HashMap<PathBuf, Arc<Hand>>,
    /// The peers whose last file came at a sensible pace.
    quick: HashSet<Arc<str>>,
}

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
    /// [`Held`] if somebody else has it and is not slow, or took it from this peer, or this one is not
    /// known to be quick.
    pub fn claim(&self, file: &Path, peer: &str) -> Result<Claim, Held> {
        let mut known = self.lock();
        let mut peers = Vec::new();
        if let Some(hand) = known.hands.get(file) {
            let held = Held {
                hand: Arc::clone(hand),
                claims: self.clone(),
                peer: hand.may_pass_to(peer).then(|| peer.into()),
            };
            if !(held.peer.is_some() && known.quick.contains(peer) && hand.is_slow()) {
                return Err(held);
            }
            hand.lost.cancel();
            peers.clone_from(&hand.peers);
        }
        peers.push(peer.into());
        let hand = Hand::new(peers);
        known.hands.insert(file.to_owned(), Arc::clone(&hand));
        Ok(Claim {
            claims: self.clone(),
            file: file.to_owned(),
            hand,
        })
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

    /// Notes that all of it came: what is left to do is our own affair, and nobody takes it any more.
    pub fn has_all(&self) {
        let given = Duration::from_micros(self.hand.given.load(Ordering::Relaxed));
        let is_quick = self.hand.since.elapsed() <= given + A_REQUEST;
        self.tell(is_quick);
        self.hand
            .given
            .store(u64::from(u32::MAX) * 1_000_000, Ordering::Relaxed);
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
            .get(&self.file)
            .is_some_and(|hand| Arc::ptr_eq(hand, &self.hand))
        {
            hands.remove(&self.file);
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

    /// Has a peer fetch another file so fast.
    async fn fetched(claims: &Claims, peer: &str, seconds: u64) {
        let claim = claims.claim(Path::new("another"), peer).unwrap();
        advance(Duration::from_secs(seconds)).await;
        claim.received(100_000, Duration::ZERO);
        claim.has_all();
    }

    #[tokio::test(start_paused = true)]
    async fn only_who_was_quick_takes_anything() {
        let (claims, file) = (Claims::default(), Path::new(FILE));
        let slow = claims.claim(file, "slow").unwrap();
        advance(PATIENCE).await;
        assert!(claims.claim(file, "unknown").is_err());
        fetched(&claims, "slow too", 9).await;
        assert!(claims.claim(file, "slow too").is_err());
        fetched(&claims, "failing", 1).await;
        claims
            .claim(Path::new("another"), "failing")
            .unwrap()
            .failed();
        assert!(claims.claim(file, "failing").is_err());
        assert!(slow.lost().now_or_never().is_none());
        let waiting = claims.claim(file, "quick").unwrap_err();
        assert!(waiting.free().now_or_never().is_none());
        fetched(&claims, "quick", 1).await;
        waiting.free().await;
        // What is there already, and only has to be put in its place, is nobody else's.
        slow.has_all();
        advance(PATIENCE * 9).await;
        assert!(claims.claim(file, "quick").is_err());
        drop(slow);
        let slow = claims.claim(file, "slow").unwrap();
        advance(PATIENCE).await;
        let _quick = claims.claim(file, "quick").unwrap();
        slow.lost().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_one_loses_the_file_when_another_comes_and_does_not_take_it_back() {
        let (claims, file) = (Claims::default(), Path::new(FILE));
        for peer in ["slow", "quick", "third"] {
            fetched(&claims, peer, 1).await;
        }
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
        fetched(&claims, "two", 1).await;
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
