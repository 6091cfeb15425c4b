//! How many requests ffmpeg works for, so that each takes its share of the processors.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// So long it counts that several were at work together: each of them has pauses in which its copies
/// are sent.
const LATELY: Duration = Duration::from_secs(5);

/// The requests with a run.
#[derive(Debug, Default)]
pub(super) struct Requests {
    count: Mutex<Count>,
    /// One more has come.
    joined: Notify,
}

#[derive(Debug, Default)]
struct Count {
    now: usize,
    /// The most at once, and when that was last.
    most: Option<(usize, Instant)>,
}

impl Requests {
    /// The most that were at work together lately, at least one; `one_more` is about to be.
    pub(super) fn lately(&self, one_more: bool) -> usize {
        let count = self.count();
        let now = count.now + usize::from(one_more);
        let most = count.most.filter(|(_, last)| last.elapsed() < LATELY);
        now.max(most.map_or(1, |(most, _)| most)).max(1)
    }

    /// Waits until one more comes; it may have come before this is awaited.
    pub(super) fn joined(&self) -> Notified<'_> {
        self.joined.notified()
    }

    fn count(&self) -> MutexGuard<'_, Count> {
        // Numbers have no half-made state.
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A run of a request, until this is dropped.
#[derive(Debug)]
pub(super) struct AtWork {
    requests: Arc<Requests>,
    /// All of the request's.
    runs: Arc<AtomicUsize>,
}

impl AtWork {
    pub(super) fn new(requests: &Arc<Requests>, runs: &Arc<AtomicUsize>) -> AtWork {
        let mut count = requests.count();
        if runs.fetch_add(1, Ordering::Relaxed) == 0 {
            count.now += 1;
            requests.joined.notify_waiters();
        }
        let now = (count.now, Instant::now());
        match &mut count.most {
            Some((most, last)) if *most > now.0 && last.elapsed() < LATELY => {}
            most => *most = Some(now),
        }
        drop(count);
        AtWork {
            requests: Arc::clone(requests),
            runs: Arc::clone(runs),
        }
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        let mut count = self.requests.count();
        if self.runs.fetch_sub(1, Ordering::Relaxed) == 1 {
            let now = count.now;
            // It was among the most until now.
            if let Some((most, last)) = &mut count.most
                && *most == now
            {
                *last = Instant::now();
            }
            count.now = now - 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_at_work_together_count_for_a_while() {
        let requests = Arc::<Requests>::default();
        assert_eq!((requests.lately(false), requests.lately(true)), (1, 1));
        let (one, other) = (Arc::default(), Arc::default());
        let first = AtWork::new(&requests, &one);
        assert_eq!((requests.lately(false), requests.lately(true)), (1, 2));
        // Another run of the same is no other request.
        let again = AtWork::new(&requests, &one);
        assert_eq!(requests.lately(false), 1);
        let second = AtWork::new(&requests, &other);
        assert_eq!((requests.lately(false), requests.lately(true)), (2, 3));
        drop((first, second, again));
        assert_eq!(requests.count().now, 0);
        assert_eq!((requests.lately(false), requests.lately(true)), (2, 2));
        let long_ago = Instant::now().checked_sub(LATELY).unwrap();
        requests.count().most = Some((2, long_ago));
        assert_eq!((requests.lately(false), requests.lately(true)), (1, 1));
        // One by one they are never more than one.
        for _ in 0..3 {
            drop(AtWork::new(&requests, &one));
        }
        assert_eq!(requests.lately(true), 1);
    }
}
