//! Hedged attempts: when an answer is late, a second attempt starts while the first goes on,
//! and the first good answer wins (SPEC §5: soft and hard timeouts).

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};

/// An attempt that brings more than this in [`Hedge::whole`] does not come in drop by drop: what
/// makes it last is its size, or the link.
const DROPS: u64 = 64 * 1024;

/// What flows, the one that joins it, and the one that follows if that has failed.
const WITH_REPLACEMENT: usize = 3;

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
    /// So many bytes are to come in all; 0 if nobody said.
    announced: AtomicU64,
    /// True iff the attempt has ended.
    over: AtomicBool,
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

    /// So many bytes of the body are to come in all.
    pub fn announce(&self, bytes: u64) {
        self.came.announced.store(bytes, Ordering::Relaxed);
    }

    /// Runs the attempt, and notes its end.
    pub async fn follow<F: Future>(self, attempt: F) -> F::Output {
        let outcome = attempt.await;
        self.came.over.store(true, Ordering::Relaxed);
        outcome
    }

    fn is_over(&self) -> bool {
        self.came.over.load(Ordering::Relaxed)
    }

    fn bytes(&self) -> u64 {
        self.came.bytes.load(Ordering::Relaxed)
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

    /// So many bytes are still to come, as far as anybody said.
    fn left(&self) -> u64 {
        let announced = self.came.announced.load(Ordering::Relaxed);
        announced.saturating_sub(self.bytes())
    }

    /// How many bytes came a second lately; none if it stands still.
    fn rate(&self, lately: Lately, still: Duration) -> f64 {
        match Instant::now() < self.still_at(still) {
            true => self.bytes().saturating_sub(lately.before) as f64 / lately.time.as_secs_f64(),
            false => 0.0,
        }
    }
}

/// When an attempt is late.
#[derive(Debug, Clone, Copy)]
pub struct Late {
    /// When it has stood still for so long, …
    pub still: Duration,
    /// … or is not at its end after so long.
    pub whole: Duration,
    /// Then all of them are given up.
    pub end: Instant,
}

impl Late {
    /// The first of these attempts, with their rates, of which not only drops come and that will be
    /// at its end in time, at the rate of all of them: they share a link, so that each seems slow.
    fn flowing<'a>(&self, running: &[(&'a Progress, f64)]) -> Option<&'a Progress> {
        let time = self.end.saturating_duration_since(Instant::now());
        let together: f64 = running.iter().map(|(_, rate)| rate).sum();
        let flows = |(attempt, rate): &&(&Progress, f64)| {
            rate * self.whole.as_secs_f64() >= DROPS as f64
                && together * time.as_secs_f64() >= attempt.left() as f64
        };
        running.iter().find(flows).map(|(attempt, _)| *attempt)
    }
}

/// What was seen of an attempt lately.
#[derive(Debug, Clone, Copy)]
struct Lately {
    /// So many bytes had come before that.
    before: u64,
    /// How long that is.
    time: Duration,
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

    /// Ends when another one is worth it: the newest is late. What does not come in drop by drop is
    /// joined by one other at most, and by one more if that has failed (whoever refuses would refuse
    /// the next as well): they share a link, and each more would make all of them slower.
    pub fn another(&self, late: Late) -> impl Future<Output = ()> + use<> {
        let all = self.0.clone();
        async move {
            let Some(newest) = all.last() else { return };
            let mut since = Instant::now();
            let mut before: Vec<u64> = all.iter().map(Progress::bytes).collect();
            newest.is_late(late.still, late.whole).await;
            loop {
                let time = since.elapsed();
                let running = all.iter().zip(&before).filter(|(it, _)| !it.is_over());
                let running: Vec<_> = running
                    .map(|(it, &before)| (it, it.rate(Lately { before, time }, late.still)))
                    .collect();
                let has_company = running.len() > 1 || all.len() >= WITH_REPLACEMENT;
                let flowing = late.flowing(&running).filter(|_| has_company);
                let Some(again) = flowing.map(|it| it.still_at(late.still)) else {
                    return;
                };
                if time >= late.whole {
                    since = Instant::now();
                    before = all.iter().map(Progress::bytes).collect();
                }
                sleep_until(again.min(since + late.whole)).await;
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
            let (number, progress) = (begun.count(), begun.begin());
            attempts.push(progress.clone().follow(attempt(number, progress)));
            let late = begun.another(Late {
                still: self.soft,
                whole: self.whole,
                end: give_up,
            });
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
mod tests;
