//! A peer that is asked for too much says so, with 429 or 503 and `Retry-After` (RFC 9110 §10.2.3):
//! it is left alone for as long as it wishes.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// So many times one request is made …
pub(crate) const MOST_TRIES: u32 = 3;

/// … and the wish that is the so manieth in a row is not heeded any more: waiting was of no use. What
/// is asked for fails then, as with any other bad answer, and all else goes on without a pause: new
/// footage is not to wait for a file that will never come.
const MOST: u32 = 3;

/// How long a peer is left alone.
#[derive(Debug, Default)]
pub(crate) struct Respite {
    state: Mutex<State>,
    ended: Notify,
}

#[derive(Debug, Default)]
struct State {
    until: Option<Instant>,
    /// How often it wished that, and after that would not give what it was asked for again. Requests
    /// that were under way at once count as one.
    in_a_row: u32,
    /// True iff it wished that in this round.
    wished: bool,
    /// True iff that was told.
    told: bool,
}

impl State {
    fn left(&self) -> Option<Instant> {
        self.until.filter(|until| Instant::now() < *until)
    }
}

impl Respite {
    /// Notes that the peer wishes to be left alone for so long, as the answer to a request that was
    /// begun then. False if it is of no use to wait once more: it is not left alone then.
    pub(crate) fn begin(&self, time: Duration, begun: Instant) -> bool {
        let mut state = self.lock();
        state.wished = true;
        let is_new = state.until.is_none_or(|until| until <= begun);
        if is_new {
            state.in_a_row = (state.in_a_row + 1).min(MOST);
        }
        if state.in_a_row >= MOST {
            return false;
        }
        state.until = state.until.max(Some(Instant::now() + time));
        true
    }

    /// Notes that it gave, after a wait, what it would not give before: that was of use.
    pub(crate) fn was_of_use(&self) {
        self.lock().in_a_row = 0;
    }

    /// Notes that a round is over. After one without such a wish the next wish is heeded again, and told.
    pub(crate) fn round_over(&self) {
        let mut state = self.lock();
        if !std::mem::take(&mut state.wished) {
            (state.in_a_row, state.told) = (0, false);
        }
    }

    /// True for the first wish since all was well.
    pub(crate) fn is_news(&self) -> bool {
        !std::mem::replace(&mut self.lock().told, true)
    }

    /// Forgets all wishes.
    pub(crate) fn end(&self) {
        *self.lock() = State::default();
        self.ended.notify_waiters();
    }

    /// True iff it is to be left alone now.
    pub(crate) fn is_on(&self) -> bool {
        self.lock().left().is_some()
    }

    /// Waits until the peer may be asked.
    pub(crate) async fn over(&self) {
        loop {
            // Before the look: nobody's end is missed.
            let ended = self.ended.notified();
            let Some(until) = self.lock().left() else {
                return;
            };
            tokio::select! {
                () = sleep_until(until) => {}
                () = ended => {}
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is made as a whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use tokio::time::advance;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_wish_is_heeded_a_longer_one_too_and_many_in_a_row_are_not() {
        let respite = Respite::default();
        respite.over().await;
        for in_a_row in 0..2 {
            // Five requests at once.
            let begun = Instant::now();
            for seconds in [2, 5, 3, 2, 1] {
                assert!(respite.begin(SECOND * seconds, begun), "{in_a_row}");
            }
            advance(SECOND * 4).await;
            assert!(respite.is_on() && respite.over().now_or_never().is_none());
            let begun = Instant::now();
            respite.over().await;
            assert_eq!(begun.elapsed(), SECOND);
        }
        // However often: nothing waits any more.
        for _ in 0..10 {
            assert!(!respite.begin(SECOND, Instant::now()) && !respite.is_on());
            respite.round_over();
        }
        // A round without a wish.
        respite.round_over();
        assert!(respite.begin(SECOND, Instant::now()) && respite.is_on());
        respite.over().await;
        respite.was_of_use();
        for goes_on in [true, true, false] {
            assert_eq!(respite.begin(SECOND, Instant::now()), goes_on);
            respite.over().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_under_way_counts_as_one_however_late_it_answers() {
        let respite = Respite::default();
        let begun = Instant::now();
        for _ in 0..10 {
            assert!(respite.begin(SECOND, begun));
            advance(SECOND * 2).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_operator_ends_it_and_it_is_told_once_until_all_was_well() {
        let respite = Respite::default();
        assert!(respite.begin(SECOND * 100, Instant::now()));
        assert!(respite.is_news() && !respite.is_news());
        let mut waiting = Box::pin(respite.over());
        assert!(waiting.as_mut().now_or_never().is_none());
        respite.end();
        assert!(waiting.now_or_never().is_some() && respite.is_news());
        // A round with a wish, and one without.
        respite.begin(SECOND, Instant::now());
        respite.round_over();
        assert!(!respite.is_news());
        respite.round_over();
        assert!(respite.is_news());
    }
}
