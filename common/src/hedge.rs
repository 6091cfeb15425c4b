//! Hedged attempts: when an answer is late, a second attempt starts while the first goes on,
//! and the first good answer wins (SPEC §5: soft and hard timeouts).

use std::future::Future;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};

/// When to start further attempts, and when to give all of them up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hedge {
    /// After so long without an answer another attempt starts, and again after as long.
    pub soft: Duration,
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

impl Hedge {
    /// Runs `attempt(0)`, `attempt(1)` … as the timeouts say, and returns the first success.
    /// If attempts fail, the others go on; when none is left, the last failure is returned.
    /// Dropping the future drops all attempts.
    ///
    /// # Errors
    /// [`HedgeError`].
    pub async fn run<T, E, F: Future<Output = Result<T, E>>>(
        self,
        mut attempt: impl FnMut(usize) -> F,
    ) -> Result<T, HedgeError<E>> {
        let start = Instant::now();
        let give_up = start + self.hard;
        let mut next = start + self.soft;
        let mut started = 1;
        let mut attempts = FuturesUnordered::from_iter([attempt(0)]);
        loop {
            tokio::select! {
                biased;
                Some(outcome) = attempts.next() => match outcome {
                    Ok(answer) => return Ok(answer),
                    Err(error) if attempts.is_empty() => return Err(HedgeError::Failed(error)),
                    Err(_) => {}
                },
                () = sleep_until(give_up) => return Err(HedgeError::TimedOut(self.hard)),
                () = sleep_until(next), if attempts.len() < self.most => {
                    attempts.push(attempt(started));
                    started += 1;
                    next = Instant::now() + self.soft;
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
            .run(|n| {
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
