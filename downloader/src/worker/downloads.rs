//! The segments that a worker has in hand, from when they are listed until they are recorded or
//! lost: new ones are fetched, oldest first, several at once; those that fail are tried again until
//! they are hopelessly late.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use common::tasks::panic_text;
use common::timing::jitter;
use futures::FutureExt;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::debug::{self, Kept};
use crate::getter::{Job, Loss, Outcome, Stops};
use crate::metrics::{METRICS, labels};
use crate::queue::{Queue, Queued};
use crate::rendition::{Postponed, Refused, Rendition, SharedTimeline, lock};
use crate::timing::Window;
use crate::watch::{Getting, WatchedWorker};

/// A segment that crashes its getter so often would do so again.
const MOST_CRASHES: u32 = 3;

/// How a try has ended.
type Ended = Result<(Queued, Outcome), JoinError>;

/// What a worker has in hand.
pub(super) struct Downloads {
    rendition: Arc<Rendition>,
    /// The worker's generation.
    worker: u64,
    watched: Arc<WatchedWorker>,
    timeline: SharedTimeline,
    queue: Queue,
    /// Cloned for each getter that tries again.
    again: Arc<()>,
    getters: JoinSet<(Queued, Outcome)>,
    /// How many getters run at once.
    most: usize,
    stops: Stops,
}

impl Downloads {
    /// Nothing yet; at most `most` at once later, and none any more after `shutdown`.
    pub(super) fn new(
        rendition: Arc<Rendition>,
        worker: u64,
        watched: Arc<WatchedWorker>,
        timeline: SharedTimeline,
        most: usize,
        shutdown: CancellationToken,
    ) -> Downloads {
        Downloads {
            rendition,
            worker,
            watched,
            timeline,
            queue: Queue::default(),
            again: Arc::default(),
            getters: JoinSet::new(),
            most,
            stops: Stops {
                shutdown,
                cut: CancellationToken::new(),
            },
        }
    }

    /// Queues a segment, unless others have it in hand or it was lost before.
    pub(super) fn take_in_hand(&mut self, job: Job, playlists: &Arc<[Arc<Kept>]>, since: Instant) {
        match self.rendition.claim(&job.wanted, self.worker) {
            Ok(claim) => self.queue.push(Queued {
                job,
                claim,
                playlists: Arc::clone(playlists),
                crashes: 0,
                tried: None,
                again: None,
            }),
            Err(Refused::Held) if !job.is_probe => {
                let worker = self.worker;
                self.rendition.postpone(Postponed { job, worker, since });
            }
            Err(Refused::Held | Refused::Lost) => {}
        }
    }

    /// Queues what others had in hand, in case they have let go of it without getting it.
    pub(super) fn take_postponed(&mut self) {
        for Postponed { job, since, .. } in self.rendition.postponed() {
            if since.elapsed() < self.rendition.timing.segment_give_up {
                self.take_in_hand(job, &Arc::default(), since);
            }
        }
    }

    /// How many are not being fetched yet.
    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// True iff there is nothing left to do.
    pub(super) fn is_empty(&self) -> bool {
        self.getters.is_empty() && self.queue.is_empty()
    }

    /// Lets go of what is not being fetched yet.
    pub(super) fn clear(&mut self) {
        for queued in self.queue.take_all() {
            self.rendition.leaves(&queued.job);
        }
    }

    /// Ends what is being fetched; what there is of it is kept.
    pub(super) fn cut(&self) {
        self.stops.cut.cancel();
    }

    /// True iff what was being fetched has been told to end.
    pub(super) fn is_cut(&self) -> bool {
        self.stops.cut.is_cancelled()
    }

    /// When the next one that has failed may be tried again, if there is room for it.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let due = self.queue.next_due();
        due.filter(|_| self.has_room() && self.may_try_again())
    }

    /// Starts as many getters as may run, oldest segment first: it goes first at the origin.
    pub(super) fn start(&mut self) {
        let now = Instant::now();
        while self.has_room()
            && let Some(mut queued) = self.queue.pop(now, self.may_try_again())
        {
            let rendition = Arc::clone(&self.rendition);
            queued.again = queued.tried.map(|_| Arc::clone(&self.again));
            queued.tried.get_or_insert(now);
            let playlists = std::mem::take(&mut queued.playlists);
            let stops = self.stops.clone();
            let shown = Getting::begin(&self.watched, queued.job.fetching());
            self.getters.spawn(async move {
                let _shown = shown;
                let outcome = {
                    let getting = rendition.getter.get(&queued.job, &stops);
                    let noting = debug::write(&rendition, &queued.job.wanted, playlists);
                    unless_it_crashes(async { tokio::join!(getting, noting).0 }).await
                };
                (queued, outcome)
            });
        }
    }

    /// How the next try ends; `None` if none is under way. Nothing is lost if this is dropped.
    pub(super) async fn next_end(&mut self) -> Option<Ended> {
        self.getters.join_next().await
    }

    /// A try has ended: what failed is tried again, until it is hopelessly late.
    pub(super) fn note(&mut self, ended: Ended) {
        let (mut queued, outcome) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                tracing::error!(%error, "a getter crashed");
                return;
            }
        };
        queued.again = None;
        let is_probe = queued.job.is_probe;
        match outcome {
            Outcome::Recorded(_) => {
                self.watched.recorded(queued.job.fetching());
                self.rendition_has(&queued.job);
            }
            Outcome::Known => self.rendition_has(&queued.job),
            Outcome::Beside | Outcome::Other if is_probe => lock(&self.timeline).begin_again(),
            Outcome::Beside | Outcome::Other => {}
            // The getter has told it.
            Outcome::Lost(_) if !is_probe => queued.claim.lost(),
            Outcome::Stopped | Outcome::Lost(_) => self.rendition.leaves(&queued.job),
            _ if is_probe || self.stops.shutdown.is_cancelled() => {
                self.rendition.leaves(&queued.job);
            }
            Outcome::NotStored => {
                // The time for which our disk was full is not the origin's.
                queued.tried = None;
                let retry = jitter(self.rendition.timing.segment_retry);
                self.queue.push_back_until(Instant::now() + retry, queued);
            }
            Outcome::Crashed => {
                let labels = labels(&self.rendition.channel, &self.rendition.quality);
                METRICS.crashes.with_label_values(&labels).inc();
                queued.crashes += 1;
                let patience = match queued.crashes < MOST_CRASHES {
                    true => self.rendition.timing.segment_give_up,
                    false => Duration::ZERO,
                };
                self.try_again(queued, &Loss::Crashed, patience, None);
            }
            Outcome::Missing(status) => {
                let patience = self.rendition.timing.lately;
                self.try_again(queued, &Loss::Gone(status), patience, None);
            }
            Outcome::Failed { why, pause } => {
                let patience = self.rendition.timing.segment_give_up;
                self.try_again(queued, &Loss::Late(why), patience, pause);
            }
        }
    }

    /// At a stop, others may have let go of what is there.
    fn rendition_has(&self, job: &Job) {
        if self.stops.shutdown.is_cancelled() {
            self.rendition.has_in_full(job);
        }
    }

    /// Queues what has failed, unless it is hopelessly late; later, if its server asks for a pause.
    fn try_again(
        &mut self,
        queued: Queued,
        loss: &Loss,
        patience: Duration,
        asked: Option<Duration>,
    ) {
        let (timing, job) = (&self.rendition.timing, &queued.job);
        // It slides out of its list at the latest when all of that has.
        let window = Window {
            shown: job.window,
            since: queued.tried.map_or(Duration::ZERO, |tried| tried.elapsed()),
        };
        let pause = asked.map(|asked| timing.pause(asked, Some(window)));
        let retry = timing.segment_retry(job.window);
        let due = Instant::now() + retry.max(pause.unwrap_or_default());
        if queued.tried.is_some_and(|tried| due >= tried + patience) {
            self.rendition.getter.lose(&job.wanted, loss);
            queued.claim.lost();
            return;
        }
        match job.wanted.url.host_str().filter(|_| pause.is_some()) {
            Some(host) => queued.claim.refused_by(host),
            None => queued.claim.fails(),
        }
        self.queue.push_back_until(due, queued);
    }

    /// True iff another getter may run.
    fn has_room(&self) -> bool {
        self.getters.len() < self.most
    }

    /// True iff another getter may try what has failed before: half of them at most do, so that
    /// what is new always has a place.
    fn may_try_again(&self) -> bool {
        let running = Arc::strong_count(&self.again) - 1;
        running < (self.most / 2).max(1)
    }
}

/// The outcome of a try that may panic. What it shares with others is behind locks and atomics
/// that a panic leaves whole.
async fn unless_it_crashes(getting: impl Future<Output = Outcome>) -> Outcome {
    match AssertUnwindSafe(getting).catch_unwind().await {
        Ok(outcome) => outcome,
        Err(cause) => {
            let cause = panic_text(&*cause).unwrap_or_default();
            tracing::error!(cause, "a getter crashed");
            Outcome::Crashed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_try_that_panics_is_an_outcome() {
        let fine = unless_it_crashes(async { Outcome::Known }).await;
        assert!(matches!(fine, Outcome::Known));
        let crashed = unless_it_crashes(async { panic!("a test") }).await;
        assert!(matches!(crashed, Outcome::Crashed));
    }
}
