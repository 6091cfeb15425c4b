//! A peer that is asked for too much says so, with 429 or 503 and `Retry-After` (RFC 9110 §10.2.3):
//! it is left alone for as long as it wishes.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// After so many wishes in a row, with nothing in between that it gave, it is not asked any more in this
/// round.
const MOST: u32 = 3;

/// How long a peer is left alone.
#[derive(Debug, Default)]
pub(crate) struct Respite(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    until: Option<Instant>,
    /// How often it wished that since it gave something. Requests that were under way at once count
    /// as one.
    in_a_row: u32,
}

impl State {
    fn left(&self) -> Option<Instant> {
        self.until.filter(|until| Instant::now() < *until)
    }
}

impl Respite {
    /// Notes that the peer wishes to be left alone for so long. False if it is of no use to wait
    /// once more.
    pub(crate) fn begin(&self, time: Duration) -> bool {
        let mut state = self.lock();
        state.in_a_row += u32::from(state.left().is_none());
        state.until = state.until.max(Some(Instant::now() + time));
        state.in_a_row < MOST
    }

    /// Notes that it gave what it was asked for.
    pub(crate) fn end(&self) {
        self.lock().in_a_row = 0;
    }

    /// True iff it is to be left alone now.
    pub(crate) fn is_on(&self) -> bool {
        self.lock().left().is_some()
    }

    /// Waits until the peer may be asked.
    pub(crate) async fn over(&self) {
        loop {
            let Some(until) = self.lock().left() else {
                return;
            };
            sleep_until(until).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is made as a whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn a_wish_is_heeded_a_longer_one_too_and_many_in_a_row_are_too_many() {
        let second = Duration::from_secs(1);
        let respite = Respite::default();
        respite.over().await;
        for (in_a_row, goes_on) in [true, true, false, false].into_iter().enumerate() {
            // Five requests at once.
            for seconds in [2, 5, 3, 2, 1] {
                assert_eq!(respite.begin(second * seconds), goes_on, "{in_a_row}");
            }
            advance(second * 4).await;
            assert!(respite.is_on() && respite.over().now_or_never().is_none());
            let begun = Instant::now();
            respite.over().await;
            assert_eq!(begun.elapsed(), second);
        }
        respite.end();
        assert!(respite.begin(second) && respite.is_on());
    }
}
