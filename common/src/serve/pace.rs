//! How much may wait for a client in the kernel, and how much it gets at a time: little, as long as
//! nobody knows that it takes what it is sent.

use std::sync::LazyLock;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

/// So many bytes wait in the kernel for each client beyond what is on its way to it. The
/// default, some MiB, would fill the memory with what ten thousand slow clients have not read
/// yet, and hide from us for minutes whether one reads at all.
///
/// After so many bytes, in a tenth of a millisecond, others have their turn, too: a client that takes
/// all as fast as it comes would otherwise keep a thread for milliseconds.
pub(super) const PORTION: usize = 256 * 1024;

/// The same for a quick client: an hour's playlist goes out in one piece.
const QUICK_PORTION: usize = 1024 * 1024;

/// A client is quick that has taken so many bytes without a long wait: more than what the system
/// takes for one that does not read.
const QUICK_AFTER: usize = 8 * 1024 * 1024;

/// Who needs longer than this to take something is another machine far away, or slow.
const LONG_WAIT: Duration = Duration::from_millis(10);

/// So many clients are quick at once: one may stop reading at any time, and what waits for it
/// stays in memory until it is dropped.
const MOST_QUICK: usize = 128;

static PLACES: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(MOST_QUICK));

/// How fast a client has been.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Bytes taken since its last long wait.
    taken: usize,
    /// Held while it is quick.
    place: Option<SemaphorePermit<'static>>,
}

impl Pace {
    /// How much it gets at a time, and how much may wait for it, in bytes.
    pub(super) fn portion(&self) -> usize {
        if self.place.is_some() {
            QUICK_PORTION
        } else {
            PORTION
        }
    }

    /// Notes that it has taken so many bytes; true iff its portion has changed.
    pub(super) fn took(&mut self, bytes: usize) -> bool {
        self.taken = self.taken.saturating_add(bytes);
        if self.place.is_some() || self.taken < QUICK_AFTER {
            return false;
        }
        self.place = PLACES.try_acquire().ok();
        self.place.is_some()
    }

    /// Notes that it has let us wait for so long; true iff its portion has changed.
    pub(super) fn waited(&mut self, time: Duration) -> bool {
        if time <= LONG_WAIT {
            return false;
        }
        self.taken = 0;
        self.place.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(9);
    const LONG: Duration = Duration::from_millis(11);

    #[test]
    fn who_takes_all_at_once_gets_more_until_the_first_long_wait() {
        let mut pace = Pace::default();
        // What the system takes for one that never reads is not enough.
        assert!(!pace.took(QUICK_AFTER - 1));
        assert!(!pace.waited(LONG));
        assert!(!pace.took(QUICK_AFTER - 1));
        assert_eq!(pace.portion(), PORTION);
        assert!(!pace.waited(SHORT));
        assert!(pace.took(1));
        assert_eq!(pace.portion(), QUICK_PORTION);
        assert!(!pace.took(usize::MAX) && !pace.waited(SHORT));
        assert!(pace.waited(LONG));
        assert_eq!(pace.portion(), PORTION);
        assert!(!pace.waited(LONG) && !pace.took(QUICK_AFTER - 1));
        assert!(pace.took(1));
    }

    #[test]
    fn only_so_many_are_quick_at_once() {
        let mut paces: Vec<Pace> = Vec::new();
        paces.resize_with(MOST_QUICK + 2, Pace::default);
        let quick = paces
            .iter_mut()
            .filter_map(|pace| pace.took(QUICK_AFTER).then_some(()))
            .count();
        // The other test may hold one.
        assert!((MOST_QUICK - 1..=MOST_QUICK).contains(&quick), "{quick}");
        paces.truncate(MOST_QUICK / 2);
        let mut next = Pace::default();
        assert!(next.took(QUICK_AFTER));
    }
}
