//! Records one rendition from one media playlist (SPEC §5): polls it, and has a getter fetch
//! whatever is new. One loop is the only one that starts getters.

mod downloads;
mod telling;

use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use url::Url;

use self::downloads::Downloads;
use crate::debug::Playlists;
use crate::fetch::{self, FetchError};
use crate::getter::Job;
use crate::metrics::{METRICS, labels};
use crate::playlist::{MediaPlaylist, Problems, Reading};
use crate::rendition::{Rendition, SharedTimeline, Shown, lock};
use crate::shared::SharedParts;
use crate::timeline::{Newest, News, earlier_by};
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

/// A segment is in the list for as long as the list shows, and for so much longer at most: a
/// list from a content network or one that stood still for a while.
const LINGERS: Duration = Duration::from_secs(10 * 60);

/// So many pauses in a row that a server asks for are waited for before another place is looked for.
const PATIENT_PAUSES: u32 = 3;

/// A list whose end is so many target durations behind what was seen elsewhere is an old one.
const STALE_TARGETS: u32 = 3;

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
    /// True iff the last poll failed.
    failing: bool,
    /// So many polls in a row were answered with the wish for a pause.
    pauses: u32,
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
            failing: false,
            pauses: 0,
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
                self.downloads.tell_left();
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

    fn start_poll(&mut self) {
        let polls = &self.worker.working.watched.polls;
        polls.fetch_add(1, Ordering::Relaxed);
        let rendition = Arc::clone(&self.worker.rendition);
        let url = self.worker.url.clone();
        let timing = rendition.timing;
        let before = self.last.clone();
        self.poll_began = Instant::now();
        self.poll = Some(Box::pin(async move {
            let hedge = timing.hedge_for(timing.poll_hedge, rendition.window());
            fetch::media_playlist(&rendition.client, &url, hedge, before.as_ref()).await
        }));
    }

    /// Takes a list: what is new in it is queued.
    fn take(&mut self, reading: Reading) {
        let list = &*Arc::clone(&reading.list);
        let is_same = |last: &Reading| Arc::ptr_eq(&last.list, &reading.list);
        let unchanged = self.last.as_ref().is_some_and(is_same);
        let rendition = Arc::clone(&self.worker.rendition);
        let timing = rendition.timing;
        let (channel, quality) = (&rendition.channel, &rendition.quality);
        if std::mem::take(&mut self.failing) {
            tracing::info!(%channel, %quality, "the media playlist answers again");
        }
        self.pauses = 0;
        let first = !std::mem::replace(&mut self.worked, true);
        if list.problems != self.problems {
            for problem in list.problems.since(&self.problems) {
                tracing::warn!(%channel, %quality, "the media playlist has a bad line: {problem}");
            }
            self.problems = list.problems.clone();
        }
        let now = Utc::now();
        let mut timeline = lock(&self.timeline);
        let newest_before = timeline.newest();
        let news = match unchanged {
            true => timeline.update_unchanged(list, now),
            false => timeline.update(list, now),
        };
        let newest = timeline.newest();
        drop(timeline);
        // Its URLs may change with every poll, and nothing else.
        self.in_vain = match newest == newest_before {
            true => self.in_vain.saturating_add(1),
            false => 0,
        };
        self.pace = list.pace(self.in_vain);
        // Counted from when the poll began (RFC 8216 §6.3.4).
        self.next_poll = self.poll_began + timing.poll_interval(self.pace);
        if !unchanged {
            self.playlists.keep(rendition.playlist_debug, &reading.text);
        }
        self.last = Some(reading);
        let before = rendition.newest();
        rendition.note(&Shown {
            window: list.total(),
            wanted: &news.wanted,
            newest,
            first,
            works: self.works,
        });
        rendition.remember(Some(Arc::clone(&self.timeline)));
        self.tell(&news);
        if let Some(newest) = newest {
            let behind = (now - newest.end).num_milliseconds() as f64 / 1000.0;
            let labels = labels(channel, quality);
            METRICS.behind.with_label_values(&labels).set(behind);
        }
        // A list from a while ago relieves nobody. Its own end counts, not the newest segment of
        // all lists: a successor knows that one from the worker before it.
        let slack = TimeDelta::from_std(list.target_duration * STALE_TARGETS).unwrap_or_default();
        let is_current = |end| before.is_none_or(|b: Newest| end >= earlier_by(b.end, slack));
        if news.has_show && news.end.is_some_and(is_current) && !self.works {
            self.works = true;
            self.report(Event::Works);
        }
        self.enqueue(news, list);
        if list.ended && self.polling {
            if rendition.tells_end() {
                tracing::info!(%channel, %quality, "the stream has ended");
            }
            self.report(Event::WantsAnotherPlace);
            self.end();
        } else {
            self.look_for_stall(list);
        }
    }

    /// Queues what is to be recorded, but for what others have in hand.
    fn enqueue(&mut self, news: News, list: &MediaPlaylist) {
        let playlists = self.playlists.all();
        // An ended list may be looked at again and again, for ever.
        let shown = list.total().saturating_add(LINGERS);
        let listed_since = SystemTime::now().checked_sub(shown).filter(|_| !list.ended);
        for wanted in news.wanted {
            if wanted.discontinuity {
                self.shared = Arc::default();
            }
            let doubtful = self.doubtful_from.is_some_and(|from| wanted.start >= from);
            let mut job = Job::new(wanted, doubtful, Arc::clone(&self.shared));
            job.listed_since = listed_since;
            job.window = list.total();
            self.downloads.take_in_hand(job, &playlists, Instant::now());
        }
        if let Some(doubted) = news.doubted {
            let mut job = Job::new(doubted, false, Arc::default());
            job.is_probe = true;
            self.downloads
                .take_in_hand(job, &Arc::default(), Instant::now());
        }
        self.downloads.take_postponed();
    }

    /// A playlist that still answers but does not change any more may be a leftover: another
    /// look for where the stream is costs little. Each further one is later than the one before.
    fn look_for_stall(&mut self, list: &MediaPlaylist) {
        let rendition = &self.worker.rendition;
        let patience = rendition
            .timing
            .patience(list.target_duration, rendition.stalls());
        let latest = rendition
            .last_news()
            .map_or(self.asked, |news| news.max(self.asked));
        if latest.elapsed() < patience {
            return;
        }
        if rendition.stalls() == 0 {
            let (channel, quality) = (&rendition.channel, &rendition.quality);
            let seconds = patience.as_secs_f64();
            tracing::warn!(%channel, %quality, seconds, "the media playlist stands still");
        }
        rendition.stalled();
        self.asked = Instant::now();
        self.report(Event::WantsAnotherPlace);
    }

    fn fail(&mut self, error: &FetchError) {
        self.worker.working.watched.failed(error);
        let rendition = &self.worker.rendition;
        let (channel, quality) = (&rendition.channel, &rendition.quality);
        let [c, q] = labels(channel, quality);
        METRICS
            .poll_failures
            .with_label_values(&[error.reason().as_str(), c, q])
            .inc();
        let asked = error.retry_after();
        if self.failing {
            tracing::debug!(%channel, %quality, %error, "the media playlist still fails");
        } else if asked.is_some() {
            tracing::warn!(%channel, %quality, %error, ?asked, "the origin of the media playlist asks for a pause");
        } else {
            tracing::warn!(%channel, %quality, %error, "the media playlist fails");
        }
        self.failing = true;
        self.next_poll = Instant::now() + rendition.timing.poll_retry(self.pace);
        if let Some(asked) = asked {
            self.pause(asked);
            return;
        }
        let refused = fetch::refusal(error.status()).is_some();
        self.report(Event::WantsSuccessor);
        if refused || !self.worked {
            self.end();
        }
    }

    /// Leaves the server alone for a while, as it asks. Whoever follows at once would be refused as
    /// well, so that nobody is called, but now and then: what is asked may be too long for a live
    /// stream, or never end.
    fn pause(&mut self, asked: Duration) {
        let rendition = &self.worker.rendition;
        let pause = rendition.timing.pause(asked, rendition.window());
        self.next_poll = self.next_poll.max(Instant::now() + pause.time);
        self.pauses = self.pauses.saturating_add(1);
        let is_hopeless = pause.is_short || self.pauses >= PATIENT_PAUSES;
        if is_hopeless && rendition.may_ask_elsewhere() {
            self.report(Event::WantsAnotherPlace);
        }
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
