//! A peer that is asked for too much says so, with 429 or 503 and `Retry-After` (RFC 9110 §10.2.3):
//! it is left alone for as long as it wishes.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// So many times one thing is asked for, with a pause in between.
const MOST_TRIES: u32 = 3;

/// So many things are remembered that were not given so often.
const MOST_IN_VAIN: usize = 10_000;

/// How long a peer is left alone.
#[derive(Debug, Default)]
pub(crate) struct Respite {
    state: Mutex<State>,
    ended: Notify,
}

#[derive(Debug, Default)]
struct State {
    until: Option<Instant>,
    /// What it did not give after all pauses: new footage is not to wait for that once more.
    in_vain: HashSet<u64>,
    /// True iff it wished to be left alone in this round.
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
    /// Notes that the peer, asked for a thing (a hash of it) for the so manieth time, wishes to be left
    /// alone for so long: all requests wait. False if it is not to be asked for that thing again now.
    pub(crate) fn begin(&self, thing: u64, tries: u32, time: Duration) -> bool {
        let mut state = self.lock();
        state.wished = true;
        if state.in_vain.contains(&thing) {
            return false;
        }
        let is_last = tries >= MOST_TRIES;
        if is_last && state.in_vain.len() < MOST_IN_VAIN {
            state.in_vain.insert(thing);
        }
        state.until = state.until.max(Some(Instant::now() + time));
        !is_last
    }

    /// Notes that it gave a thing.
    pub(crate) fn gave(&self, thing: u64) {
        self.lock().in_vain.remove(&thing);
    }

    /// Notes that a round is over. After one without such a wish the next one is told again, and heeded
    /// for whatever it is.
    pub(crate) fn round_over(&self) {
        let mut state = self.lock();
        if !std::mem::take(&mut state.wished) {
            state.told = false;
            state.in_vain.clear();
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
    async fn a_wish_is_heeded_a_longer_one_too_but_not_for_what_never_comes() {
        let respite = Respite::default();
        respite.over().await;
        for tries in 1..=MOST_TRIES {
            // Five requests at once.
            for (thing, seconds) in (0..).zip([2, 5, 3, 2, 1]) {
                let again = respite.begin(thing, tries, SECOND * seconds);
                assert_eq!(again, tries < MOST_TRIES, "{thing} {tries}");
            }
            advance(SECOND * 4).await;
            assert!(respite.is_on() && respite.over().now_or_never().is_none());
            let begun = Instant::now();
            respite.over().await;
            assert_eq!(begun.elapsed(), SECOND);
        }
        // Nothing waits for them any more, but for others.
        for thing in 0..5 {
            assert!(!respite.begin(thing, 1, SECOND) && !respite.is_on());
        }
        assert!(respite.begin(5, 1, SECOND) && respite.is_on());
        respite.over().await;
        // Of one that has come, and of all after a round without a wish.
        respite.gave(0);
        assert!(respite.begin(0, 1, SECOND));
        respite.over().await;
        respite.round_over();
        assert!(!respite.begin(1, 1, SECOND));
        respite.round_over();
        respite.round_over();
        assert!(respite.begin(1, 1, SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded() {
        let respite = Respite::default();
        for thing in 0..2 * MOST_IN_VAIN as u64 {
            respite.begin(thing, MOST_TRIES, SECOND);
        }
        assert_eq!(respite.lock().in_vain.len(), MOST_IN_VAIN);
    }

    #[tokio::test(start_paused = true)]
    async fn an_operator_ends_it_and_it_is_told_once_until_all_was_well() {
        let respite = Respite::default();
        assert!(respite.begin(0, 1, SECOND * 100));
        assert!(respite.is_news() && !respite.is_news());
        let mut waiting = Box::pin(respite.over());
        assert!(waiting.as_mut().now_or_never().is_none());
        respite.end();
        assert!(waiting.now_or_never().is_some() && respite.is_news());
        // A round with a wish, and one without.
        respite.begin(0, 1, SECOND);
        respite.round_over();
        assert!(!respite.is_news());
        respite.round_over();
        assert!(respite.is_news());
    }
}
