//! Hedged attempts: when an answer is late, a second attempt starts while the first goes on,
//! and the first good answer wins (SPEC §5: soft and hard timeouts).

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};

/// An attempt that brings more than this in [`Hedge::whole`] does not come in drop by drop: what
/// makes it last is its size, or the link.
const DROPS: u64 = 64 * 1024;

/// When to start further attempts, and when to give all of them up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hedge {
    /// When the newest attempt has stood still for so long, another one starts.
    pub soft: Duration,
    /// An attempt that comes in drop by drop is late all the same after so long.
    pub whole: Duration,
    /// After so long all attempts are given up.
    pub hard: Duration,
    /// At most so many attempts at once.
    pub most: usize,
}

/// Why no attempt has succeeded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HedgeError<E> {
    /// All attempts so far have failed; this is the last one's reason.
    #[error(transparent)]
    Failed(E),
    /// The hard timeout.
    #[error("no answer in {0:?}")]
    TimedOut(Duration),
}

/// How far an attempt has come. Clones are the same attempt's.
#[derive(Debug, Clone)]
pub struct Progress {
    begun: Instant,
    came: Arc<Came>,
}

/// What has come of an attempt.
#[derive(Debug, Default)]
struct Came {
    /// When something last did, in microseconds since the attempt began.
    latest: AtomicU64,
    bytes: AtomicU64,
}

impl Default for Progress {
    fn default() -> Progress {
        Progress {
            begun: Instant::now(),
            came: Arc::default(),
        }
    }
}

impl Progress {
    /// Something has come, so many bytes of the body: the attempt does not stand still.
    pub fn note(&self, bytes: usize) {
        let now = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        // At least 1: 0 is nothing yet.
        self.came.latest.store(now.max(1), Ordering::Relaxed);
        self.came.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn has_any(&self) -> bool {
        self.came.latest.load(Ordering::Relaxed) > 0
    }

    /// When it will have stood still for `still`, if nothing more comes.
    fn still_at(&self, still: Duration) -> Instant {
        self.begun + Duration::from_micros(self.came.latest.load(Ordering::Relaxed)) + still
    }

    /// Ends when the attempt has stood still for `still`, or has gone on for `whole`.
    async fn is_late(&self, still: Duration, whole: Duration) {
        let end = self.begun + whole;
        loop {
            let late = end.min(self.still_at(still));
            if Instant::now() >= late {
                return;
            }
            sleep_until(late).await;
        }
    }

    /// True iff it does not stand still, and has not come in drop by drop.
    fn flows(&self, still: Duration, whole: Duration) -> bool {
        let bytes = self.came.bytes.load(Ordering::Relaxed) as f64;
        let drops = DROPS as f64 * self.begun.elapsed().as_secs_f64();
        Instant::now() < self.still_at(still) && bytes * whole.as_secs_f64() >= drops
    }
}

/// The attempts at one thing so far, oldest first.
#[derive(Debug, Clone, Default)]
pub struct Attempts(Vec<Progress>);

impl Attempts {
    /// Another one begins.
    pub fn begin(&mut self) -> Progress {
        let progress = Progress::default();
        self.0.push(progress.clone());
        progress
    }

    /// So many have begun.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// True iff anything has come of any.
    #[must_use]
    pub fn have_any(&self) -> bool {
        self.0.iter().any(Progress::has_any)
    }

    /// Ends when another one is worth it: the newest has stood still for `still`, or has gone on for
    /// `whole`. What does not come in drop by drop is joined by one other at most: they share a link,
    /// and each more would make all of them slower.
    pub fn another(&self, still: Duration, whole: Duration) -> impl Future<Output = ()> + use<> {
        let all = self.0.clone();
        async move {
            let Some(newest) = all.last() else { return };
            newest.is_late(still, whole).await;
            let flowing = || all.iter().find(|attempt| attempt.flows(still, whole));
            while all.len() > 1
                && let Some(attempt) = flowing()
            {
                sleep_until(attempt.still_at(still)).await;
            }
        }
    }
}

impl Hedge {
    /// Runs `attempt(0, …)`, `attempt(1, …)` … as the timeouts say, and returns the first
    /// success. An attempt notes its progress, if it has any. If attempts fail, the others go
    /// on; when none is left, the last failure is returned. Dropping the future drops all
    /// attempts.
    ///
    /// # Errors
    /// [`HedgeError`].
    pub async fn run<T, E, F: Future<Output = Result<T, E>>>(
        self,
        mut attempt: impl FnMut(usize, Progress) -> F,
    ) -> Result<T, HedgeError<E>> {
        let give_up = Instant::now() + self.hard;
        let mut attempts = FuturesUnordered::new();
        let mut begun = Attempts::default();
        loop {
            attempts.push(attempt(begun.count(), begun.begin()));
            let late = begun.another(self.soft, self.whole);
            tokio::pin!(late);
            loop {
                tokio::select! {
                    biased;
                    Some(outcome) = attempts.next() => match outcome {
                        Ok(answer) => return Ok(answer),
                        Err(error) if attempts.is_empty() => return Err(HedgeError::Failed(error)),
                        Err(_) => {}
                    },
                    () = sleep_until(give_up) => return Err(HedgeError::TimedOut(self.hard)),
                    () = &mut late, if attempts.len() < self.most => break,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::sleep;

    const HEDGE: Hedge = Hedge {
        soft: Duration::from_secs(5),
        whole: Duration::from_secs(30),
        hard: Duration::from_secs(60),
        most: 3,
    };

    /// After how many seconds an attempt answers, and whether well.
    type Answer = (u64, bool);

    /// Runs attempts that answer after so many seconds; gives the outcome, the second at which
    /// it came, and how many attempts were started.
    async fn run(answers: &[Answer]) -> (Result<usize, HedgeError<usize>>, u64, usize) {
        let start = Instant::now();
        let mut started = 0;
        let outcome = HEDGE
            .run(|n, _| {
                started += 1;
                let (seconds, good) = answers.get(n).copied().unwrap_or((9999, false));
                async move {
                    sleep(Duration::from_secs(seconds)).await;
                    if good { Ok(n) } else { Err(n) }
                }
            })
            .await;
        (outcome, start.elapsed().as_secs(), started)
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_in_is_not_late_unless_it_drips() {
        let hedge = Hedge {
            hard: Duration::from_secs(200),
            ..HEDGE
        };
        // (seconds between pieces, pieces, bytes of each, whether later ones are silent, attempts)
        for (pause, pieces, bytes, silent, attempts) in [
            (4, 3, 100, false, 1),
            (4, 9, 100, false, 2),
            (6, 2, 100, false, 3),
            (4, 30, 100, false, 3),
            // What moves is large, or the link slow: more of it would only make it slower.
            (4, 30, 50_000, false, 2),
            (4, 30, 50_000, true, 2),
            (1, 120, 50_000, false, 2),
            // It moves, and then no more.
            (40, 2, 500_000, false, 3),
        ] {
            let mut started = 0;
            let outcome: Result<(), HedgeError<()>> = hedge
                .run(|n, progress| {
                    started += 1;
                    async move {
                        for _ in 0..pieces {
                            sleep(Duration::from_secs(pause)).await;
                            if n > 0 && silent {
                                std::future::pending::<()>().await;
                            }
                            progress.note(bytes);
                        }
                        Ok(())
                    }
                })
                .await;
            let row = (pause, pieces, bytes, silent);
            assert_eq!((outcome, started), (Ok(()), attempts), "{row:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_good_answer_wins() {
        let timed_out = Err(HedgeError::TimedOut(HEDGE.hard));
        let table: [(&[Answer], _, u64, usize); 7] = [
            (&[(1, true)], Ok(0), 1, 1),
            (&[(1, false)], Err(HedgeError::Failed(0)), 1, 1),
            // Late, and it goes on while the second one tries.
            (&[(7, true)], Ok(0), 7, 2),
            (&[(99, true), (1, true)], Ok(1), 6, 2),
            // A failure beside one that is still running is no end.
            (&[(20, true), (1, false)], Ok(0), 20, 4),
            (&[(6, false), (2, false)], Err(HedgeError::Failed(1)), 7, 2),
            (&[], timed_out, 60, 3),
        ];
        for (answers, outcome, seconds, started) in table {
            assert_eq!(
                run(answers).await,
                (outcome, seconds, started),
                "{answers:?}"
            );
        }
    }
}
