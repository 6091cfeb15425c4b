//! Records one rendition from one media playlist (SPEC §5): polls it, and has a getter fetch
//! whatever is new. One loop is the only one that starts getters.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use reqwest::StatusCode;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::debug::{self, Playlists};
use crate::fetch::{self, FetchError};
use crate::getter::Stops;
use crate::metrics::{METRICS, labels};
use crate::playlist::{MediaPlaylist, Playlist, Problems};
use crate::rendition::Rendition;
use crate::timeline::{News, Timeline, Wanted};

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

/// A list, and as it came.
type Polled = Result<(MediaPlaylist, Bytes), FetchError>;

type Poll = Pin<Box<dyn Future<Output = Polled> + Send>>;

/// A segment that waits for its getter.
struct Queued {
    wanted: Wanted,
    doubtful: bool,
    /// What is to be kept beside it.
    playlists: Vec<(DateTime<Utc>, Bytes)>,
}

/// A worker at work.
struct Run {
    worker: Worker,
    timeline: Timeline,
    /// What is to be recorded, oldest first.
    queue: VecDeque<Queued>,
    getters: JoinSet<()>,
    stops: Stops,
    /// True until it polls no more.
    polling: bool,
    poll: Option<Poll>,
    poll_began: Instant,
    next_poll: Instant,
    /// By the newest list.
    target_duration: Duration,
    /// True iff any poll has succeeded.
    worked: bool,
    /// True iff the last poll failed.
    failing: bool,
    has_show: bool,
    doubtful: bool,
    warned_of_clock: bool,
    playlists: Playlists,
    /// Of the list before: what is wrong with every list is told once.
    problems: Problems,
}

impl Worker {
    /// Records until it is retired, the stream ends, its URL is refused, or the process stops;
    /// returns when all of its getters have ended.
    pub async fn run(self) {
        let stops = Stops {
            shutdown: self.shutdown.clone(),
            cut: CancellationToken::new(),
        };
        let rendition = &self.rendition;
        let labels = labels(&rendition.channel, &rendition.quality);
        let generation = i64::try_from(self.generation).unwrap_or(i64::MAX);
        METRICS
            .generation
            .with_label_values(&labels)
            .set(generation);
        let run = Run {
            worker: self,
            timeline: Timeline::default(),
            queue: VecDeque::new(),
            getters: JoinSet::new(),
            stops,
            polling: true,
            poll: None,
            poll_began: Instant::now(),
            next_poll: Instant::now(),
            target_duration: Duration::ZERO,
            worked: false,
            failing: false,
            has_show: false,
            doubtful: false,
            warned_of_clock: false,
            playlists: Playlists::default(),
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
            self.start_getters();
            if !self.polling && self.getters.is_empty() {
                return;
            }
            tokio::select! {
                biased;
                () = shutdown.cancelled(), if cut_at.is_none() => {
                    cut_at = Some(Instant::now() + self.worker.rendition.timing.grace);
                    self.queue.clear();
                    self.end();
                }
                () = sleep_until(cut_at.unwrap_or_else(Instant::now)),
                    if cut_at.is_some() && !self.stops.cut.is_cancelled() =>
                {
                    self.stops.cut.cancel();
                }
                () = retired.cancelled(), if self.polling => self.end(),
                outcome = poll_of(&mut self.poll), if self.poll.is_some() => {
                    self.poll = None;
                    match outcome {
                        Ok((list, text)) => {
                            let wanted = self.worker.rendition.playlist_debug;
                            self.playlists.keep(wanted, text);
                            self.take(&list);
                        }
                        Err(error) => self.fail(&error),
                    }
                }
                () = sleep_until(self.next_poll), if self.polling && self.poll.is_none() => {
                    self.start_poll();
                }
                Some(outcome) = self.getters.join_next() => {
                    if let Err(error) = outcome {
                        tracing::error!(%error, "a getter crashed");
                    }
                }
            }
        }
    }

    fn start_poll(&mut self) {
        let rendition = Arc::clone(&self.worker.rendition);
        let url = self.worker.url.clone();
        let timing = rendition.timing;
        self.poll_began = Instant::now();
        self.poll = Some(Box::pin(async move {
            let hedge = timing.hedge_for(timing.poll_hedge, rendition.window());
            let fetched = fetch::playlist(&rendition.client, "media_playlist", &url, hedge).await?;
            match fetched.playlist {
                Playlist::Media(list) => Ok((list, fetched.text)),
                Playlist::Master(_) => Err(FetchError::Playlist {
                    url: common::http::shown(&url),
                    source: crate::playlist::PlaylistError::Master,
                }),
            }
        }));
    }

    /// Takes a list: what is new in it is queued.
    fn take(&mut self, list: &MediaPlaylist) {
        let rendition = Arc::clone(&self.worker.rendition);
        let timing = rendition.timing;
        let (channel, quality) = (&rendition.channel, &rendition.quality);
        if std::mem::take(&mut self.failing) {
            tracing::info!(%channel, %quality, "the media playlist answers again");
        }
        self.worked = true;
        self.target_duration = list.target_duration;
        // Counted from when the poll began (RFC 8216 §6.3.4).
        self.next_poll = self.poll_began + timing.poll_interval(list.target_duration);
        if list.problems != self.problems {
            for problem in list.problems.lines() {
                tracing::warn!(%channel, %quality, "the media playlist has a bad line: {problem}");
            }
            self.problems = list.problems.clone();
        }
        let now = Utc::now();
        let news = self.timeline.update(list, now);
        rendition.note(list.total(), !news.wanted.is_empty());
        self.tell(&news);
        if let Some(newest) = news.wanted.last() {
            let behind = (now - newest.end()).num_milliseconds() as f64 / 1000.0;
            let labels = labels(channel, quality);
            METRICS.behind.with_label_values(&labels).set(behind);
        }
        let playlists = &self.playlists;
        let doubtful = self.doubtful;
        self.queue
            .extend(news.wanted.into_iter().map(|wanted| Queued {
                wanted,
                doubtful,
                playlists: playlists.all(),
            }));
        if news.has_show && !std::mem::replace(&mut self.has_show, true) {
            self.report(Event::Works);
        }
        if list.ended && self.polling {
            tracing::info!(%channel, %quality, "the stream has ended");
            self.report(Event::WantsSuccessor);
            self.end();
        }
    }

    /// Logs and counts what a list brought beside segments to record.
    fn tell(&mut self, news: &News) {
        let rendition = &self.worker.rendition;
        let (channel, quality) = (&rendition.channel, &rendition.quality);
        let labels = labels(channel, quality);
        if news.missed > 0 {
            METRICS
                .missed
                .with_label_values(&labels)
                .inc_by(news.missed);
            tracing::warn!(%channel, %quality, missed = news.missed, "segments left the playlist unseen");
        }
        if news.restarted {
            tracing::info!(%channel, %quality, "the sequence numbers began again: a restarted encoder");
        }
        if !news.gaps.is_empty() {
            METRICS
                .gaps
                .with_label_values(&labels)
                .inc_by(news.gaps.len() as u64);
            tracing::warn!(%channel, %quality, sequences = ?news.gaps, "the origin says that it does not have segments");
        }
        if news.advertisements > 0 {
            let ads = news.advertisements;
            METRICS
                .advertisements
                .with_label_values(&labels)
                .inc_by(ads as u64);
            tracing::debug!(%channel, %quality, ads, "advertisements ignored");
        }
        if news.by_our_clock && !news.wanted.is_empty() && !self.warned_of_clock {
            self.warned_of_clock = true;
            tracing::warn!(%channel, %quality, "the playlist has no EXT-X-PROGRAM-DATE-TIME: this machine's clock stands in, and nodes will not agree on names");
        }
        if let Some(skew) = news.skew {
            METRICS.skew.with_label_values(&labels).inc();
            let ms = skew.num_milliseconds();
            tracing::warn!(%channel, %quality, ms, "a date jumped");
            if self.worker.distrusts_skew {
                self.doubtful = true;
                self.report(Event::WantsSuccessor);
            }
        }
    }

    fn fail(&mut self, error: &FetchError) {
        let rendition = &self.worker.rendition;
        let (channel, quality) = (&rendition.channel, &rendition.quality);
        let [c, q] = labels(channel, quality);
        METRICS
            .poll_failures
            .with_label_values(&[error.reason().as_str(), c, q])
            .inc();
        if self.failing {
            tracing::debug!(%channel, %quality, %error, "the media playlist still fails");
        } else {
            tracing::warn!(%channel, %quality, %error, "the media playlist fails");
        }
        self.failing = true;
        let refused = matches!(
            error.status(),
            Some(StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::GONE)
        );
        self.next_poll = Instant::now() + rendition.timing.poll_retry(self.target_duration);
        self.report(Event::WantsSuccessor);
        if refused || !self.worked {
            self.end();
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

    /// Starts as many getters as may run, oldest segment first: it goes first at the origin.
    fn start_getters(&mut self) {
        while self.getters.len() < self.worker.max_getters
            && let Some(queued) = self.queue.pop_front()
        {
            let rendition = Arc::clone(&self.worker.rendition);
            let stops = self.stops.clone();
            self.getters.spawn(async move {
                let Queued {
                    wanted,
                    doubtful,
                    playlists,
                } = queued;
                let getting = rendition.getter.get(&wanted, doubtful, &stops);
                tokio::join!(getting, debug::write(&rendition, &wanted, playlists));
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
