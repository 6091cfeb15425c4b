//! `--max-rate`: a bound on what all downloads together receive, bytes a second.

use std::num::NonZeroU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// What was not used is saved up for so long: the pieces of a body are large beside a small
/// rate, and do not come evenly.
const SAVED: Duration = Duration::from_millis(250);

/// A bucket of tokens, one a byte.
#[derive(Debug)]
pub struct Rate {
    /// `None`: no bound.
    per_second: Option<NonZeroU64>,
    /// When all bytes let through so far will have been paid for.
    paid: Mutex<Instant>,
}

impl Rate {
    /// So many bytes a second; `None`: as many as come.
    #[must_use]
    pub fn new(per_second: Option<NonZeroU64>) -> Rate {
        Rate {
            per_second,
            paid: Mutex::new(Instant::now()),
        }
    }

    /// Waits until so many bytes more may have been received. Whoever asks first goes first.
    /// Bytes asked for count even if the future is dropped: they were received.
    pub async fn take(&self, bytes: usize) {
        let Some(per_second) = self.per_second else {
            return;
        };
        let cost = Duration::from_secs_f64(bytes as f64 / per_second.get() as f64);
        let until = {
            // A poisoned instant is still an instant.
            let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let saved = now.checked_sub(SAVED).unwrap_or(now);
            *paid = (*paid).max(saved) + cost;
            *paid
        };
        sleep_until(until).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::future::join_all;

    #[tokio::test(start_paused = true)]
    async fn all_together_keep_to_the_rate_and_nobody_starves() {
        let rate = Rate::new(NonZeroU64::new(1_000_000));
        let begun = Instant::now();
        let downloads = (0..10).map(|_| async {
            for _ in 0..20 {
                rate.take(50_000).await;
            }
            begun.elapsed()
        });
        // 10 MB.
        let ended = join_all(downloads).await;
        let seconds = begun.elapsed().as_secs_f64();
        assert!((9.7..10.1).contains(&seconds), "{seconds}");
        assert!(ended.iter().all(|end| end.as_secs_f64() > 9.0), "{ended:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_used_is_saved_for_a_moment_only() {
        let rate = Rate::new(NonZeroU64::new(1000));
        tokio::time::sleep(Duration::from_secs(60)).await;
        let begun = Instant::now();
        rate.take(250).await;
        assert!(begun.elapsed() < Duration::from_millis(5));
        rate.take(1000).await;
        let seconds = begun.elapsed().as_secs_f64();
        assert!((0.99..1.01).contains(&seconds), "{seconds}");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_bound_nothing_waits() {
        let begun = Instant::now();
        Rate::new(None).take(usize::MAX).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}
