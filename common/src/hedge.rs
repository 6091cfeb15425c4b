//! Hedged attempts: when an answer is late, a second attempt starts while the first goes on,
//! and the first good answer wins (SPEC §5: soft and hard timeouts).

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};

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
    /// When something last came, in microseconds since it began.
    latest: Arc<AtomicU64>,
}

impl Default for Progress {
    fn default() -> Progress {
        Progress {
            begun: Instant::now(),
            latest: Arc::default(),
        }
    }
}

impl Progress {
    /// Something has come: the attempt does not stand still.
    pub fn note(&self) {
        let now = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        // At least 1: 0 is nothing yet.
        self.latest.store(now.max(1), Ordering::Relaxed);
    }

    /// True iff anything has come.
    #[must_use]
    pub fn has_any(&self) -> bool {
        self.latest.load(Ordering::Relaxed) > 0
    }

    /// Ends when the attempt has stood still for `still`, or has gone on for `whole`.
    pub async fn is_late(&self, still: Duration, whole: Duration) {
        let end = self.begun + whole;
        loop {
            let latest = Duration::from_micros(self.latest.load(Ordering::Relaxed));
            let late = end.min(self.begun + latest + still);
            if Instant::now() >= late {
                return;
            }
            sleep_until(late).await;
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
        let mut started = 0;
        loop {
            let progress = Progress::default();
            attempts.push(attempt(started, progress.clone()));
            started += 1;
            let late = progress.is_late(self.soft, self.whole);
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
        // (seconds between pieces, pieces, attempts)
        for (pause, pieces, attempts) in [(4, 3, 1), (4, 9, 2), (6, 2, 3)] {
            let mut started = 0;
            let outcome: Result<(), HedgeError<()>> = HEDGE
                .run(|_, progress| {
                    started += 1;
                    async move {
                        for _ in 0..pieces {
                            sleep(Duration::from_secs(pause)).await;
                            progress.note();
                        }
                        Ok(())
                    }
                })
                .await;
            assert_eq!((outcome, started), (Ok(()), attempts), "{pause} {pieces}");
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
