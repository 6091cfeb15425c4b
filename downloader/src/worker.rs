//! Records one rendition from one media playlist (SPEC §5): polls it, and has a getter fetch
//! whatever is new. One loop is the only one that starts getters.

mod downloads;
mod polling;
mod taking;
mod telling;

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use url::Url;

use self::downloads::Downloads;
use crate::debug::Playlists;
use crate::fetch::FetchError;
use crate::metrics::{METRICS, labels};
use crate::playlist::{Problems, Reading};
use crate::rendition::{Rendition, SharedTimeline};
use crate::shared::SharedParts;
use crate::watch::Working;

/// What a worker tells its manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Which worker of its rendition.
    pub generation: u64,
    /// What.
    pub event: Event,
}

/// What can happen to a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Its playlist fails: a fresh URL is wanted, while it goes on with its own.
    WantsSuccessor,
    /// Its playlist answers, and brings nothing new any more: the same, but if there are several
    /// places for this rendition, the next one is wanted.
    WantsAnotherPlace,
    /// Its server wants to be left alone: the same, until [`Event::AnswersAgain`].
    Refused,
    /// Its playlist, which failed, answers again.
    AnswersAgain,
    /// It has seen its first segment that is no advertisement: older workers can go.
    Works,
    /// It polls no more; `worked` iff any poll succeeded. Its getters may go on.
    Ended {
        /// True iff any poll succeeded.
        worked: bool,
    },
}

/// One worker.
pub struct Worker {
    /// What operators see of it.
    pub(crate) working: Working,
    /// What it records.
    pub rendition: Arc<Rendition>,
    /// Its media playlist.
    pub url: Url,
    /// The how-manyeth worker of its rendition it is, from 1.
    pub generation: u64,
    /// Where its reports go.
    pub reports: mpsc::UnboundedSender<(Arc<Rendition>, Report)>,
    /// Set off when a successor works: it polls no more, but finishes what it has.
    pub retired: CancellationToken,
    /// Set off when the process stops.
    pub shutdown: CancellationToken,
    /// True iff a skewed date asks for a successor and makes what follows `suspect` (Twitch).
    pub distrusts_skew: bool,
    /// How many segments it may download at once.
    pub max_getters: usize,
}

type Polled = Result<Reading, FetchError>;

type Poll = Pin<Box<dyn Future<Output = Polled> + Send>>;

/// A worker at work.
struct Run {
    worker: Worker,
    timeline: SharedTimeline,
    downloads: Downloads,
    /// What the segments from here to the next discontinuity share.
    shared: Arc<SharedParts>,
    /// True until it polls no more.
    polling: bool,
    poll: Option<Poll>,
    poll_began: Instant,
    next_poll: Instant,
    /// The newest list's.
    pace: Duration,
    /// True iff any poll has succeeded.
    worked: bool,
    /// Why the last polls failed, a word each; none if the last one did not.
    failing: BTreeSet<String>,
    /// True iff it has told its manager that it works.
    works: bool,
    /// Segments that start from then on are doubtful.
    doubtful_from: Option<DateTime<Utc>>,
    warned_of_clock: bool,
    /// When it last asked for a successor because nothing changed, or else began.
    asked: Instant,
    playlists: Playlists,
    /// What the poll before brought.
    last: Option<Reading>,
    /// So many polls in a row brought nothing new.
    in_vain: u32,
    /// Of the list before: what is wrong with every list is told once.
    problems: Problems,
}

impl Worker {
    /// Records until it is retired, the stream ends, its URL is refused, or the process stops;
    /// returns when all of its getters have ended.
    pub async fn run(self) {
        let rendition = &self.rendition;
        let labels = labels(&rendition.channel, &rendition.quality);
        let generation = i64::try_from(self.generation).unwrap_or(i64::MAX);
        METRICS
            .generation
            .with_label_values(&labels)
            .set(generation);
        let timeline = Arc::new(Mutex::new(rendition.timeline()));
        let run = Run {
            downloads: Downloads::new(
                Arc::clone(rendition),
                self.generation,
                Arc::clone(&self.working.watched),
                Arc::clone(&timeline),
                self.max_getters,
                self.shutdown.clone(),
            ),
            timeline,
            worker: self,
            shared: Arc::default(),
            polling: true,
            poll: None,
            poll_began: Instant::now(),
            next_poll: Instant::now(),
            pace: Duration::ZERO,
            worked: false,
            failing: BTreeSet::new(),
            works: false,
            doubtful_from: None,
            warned_of_clock: false,
            asked: Instant::now(),
            playlists: Playlists::default(),
            last: None,
            in_vain: 0,
            problems: Problems::default(),
        };
        run.run().await;
    }
}

impl Run {
    async fn run(mut self) {
        let shutdown = self.worker.shutdown.clone();
        let retired = self.worker.retired.clone();
        let mut cut_at: Option<Instant> = None;
        loop {
            self.downloads.start();
            self.show();
            if !self.polling && self.downloads.is_empty() {
                return;
            }
            let due = self.downloads.next_due();
            tokio::select! {
                biased;
                () = shutdown.cancelled(), if cut_at.is_none() => {
                    cut_at = Some(Instant::now() + self.worker.rendition.timing.grace);
                    self.downloads.clear();
                    self.end();
                }
                () = sleep_until(cut_at.unwrap_or_else(Instant::now)),
                    if cut_at.is_some() && !self.downloads.is_cut() =>
                {
                    self.downloads.cut();
                }
                () = retired.cancelled(), if self.polling => self.end(),
                outcome = poll_of(&mut self.poll), if self.poll.is_some() => {
                    self.poll = None;
                    match outcome {
                        Ok(reading) => self.take(reading),
                        Err(error) => self.fail(&error),
                    }
                }
                () = sleep_until(self.next_poll), if self.polling && self.poll.is_none() => {
                    self.start_poll();
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
                Some(ended) = self.downloads.next_end() => self.downloads.note(ended),
            }
        }
    }

    /// Shows operators what it is doing.
    fn show(&self) {
        let working = &self.worker.working;
        let queued = self.downloads.queued();
        working.watched.queued.store(queued, Ordering::Relaxed);
        working.state(match (self.polling, &self.poll) {
            (true, Some(_)) => "waiting for the playlist",
            (true, None) => "waiting until the next poll",
            (false, _) => "finishing what is under way",
        });
    }

    /// Polls no more.
    fn end(&mut self) {
        self.poll = None;
        if std::mem::take(&mut self.polling) {
            self.report(Event::Ended {
                worked: self.worked,
            });
        }
    }

    fn report(&self, event: Event) {
        let report = Report {
            generation: self.worker.generation,
            event,
        };
        let rendition = Arc::clone(&self.worker.rendition);
        // The manager goes last; if it is gone, nobody needs to know.
        let _ = self.worker.reports.send((rendition, report));
    }
}

/// The outcome of a poll that is under way; never, if there is none.
async fn poll_of(poll: &mut Option<Poll>) -> Polled {
    match poll {
        Some(poll) => poll.await,
        None => std::future::pending().await,
    }
}

impl Drop for Run {
    /// However it ends: without this, nobody would follow a worker that crashed.
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Its queue is lost: whoever follows takes everything that is listed for new.
            self.worker.rendition.remember(None);
        }
        self.end();
    }
}
