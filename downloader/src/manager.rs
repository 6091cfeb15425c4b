//! Keeps one channel recorded (SPEC §5): finds its media playlists and sees to it that every
//! rendition has a worker that works, or a successor on the way.

mod tending;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use common::http::HttpClient;
use common::names::{Channel, Quality};
use common::store::Store;
use common::tasks::Task;
use common::timing::jitter;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use self::tending::Tended;
use crate::metrics::{self, METRICS, labels};
use crate::provider::{Found, Provider, ProviderError};
use crate::rendition::Rendition;
use crate::timing::{Timing, Window};
use crate::watch::{WatchedChannel, Wishes};
use crate::worker::Report;

/// What a channel's manager needs.
#[derive(Debug, Clone)]
pub struct Manager {
    /// The channel.
    pub channel: Channel,
    /// Expected to be up: looked for more often, and missed louder.
    pub important: bool,
    /// Where its playlists are.
    pub provider: Provider,
    /// What to record of it.
    pub qualities: Vec<Quality>,
    /// For all requests.
    pub client: HttpClient,
    /// Where segments go.
    pub store: Store,
    /// Intervals and timeouts.
    pub timing: Timing,
    /// A URL that is older is replaced, however well it works.
    pub max_age: Option<Duration>,
    /// So many playlists are kept beside each segment that they led to (0: none).
    pub playlist_debug: usize,
}

type Find = Pin<Box<dyn Future<Output = Result<Found, ProviderError>> + Send>>;

/// A manager at work.
struct Run {
    manager: Manager,
    watched: Arc<WatchedChannel>,
    task: Task,
    /// True iff an operator wants a look at once.
    look_now: bool,
    shutdown: CancellationToken,
    tended: BTreeMap<Quality, Tended>,
    workers: JoinSet<()>,
    reports: mpsc::UnboundedSender<(Arc<Rendition>, Report)>,
    find: Option<Find>,
    /// When the last look was over; `None`: there was none.
    found_at: Option<Instant>,
    /// The server that was asked last wants to be left alone for so long.
    pause: Duration,
    /// What makes the next interval longer or shorter.
    spread: f64,
    /// How many looks in a row failed otherwise than by the channel not being live.
    failures: u32,
    /// True iff the last look found nothing; the first of a row is logged.
    offline: Option<bool>,
    /// True iff the last look that could tell said that the channel is live.
    live: bool,
    /// What was missing at the last look; a change is logged.
    missing: Vec<Quality>,
}

impl Manager {
    /// Records the channel until `shutdown`; returns when everything has ended.
    pub async fn run(self, shutdown: CancellationToken) {
        let watched = Arc::new(WatchedChannel::new(None, &shutdown));
        self.run_watched(watched).await;
    }

    /// The same, until somebody wants the channel no more.
    pub(crate) async fn run_watched(self, watched: Arc<WatchedChannel>) {
        let shutdown = watched.stop.clone();
        let task = Task::begin("channel", || self.channel.to_string());
        // Unbounded, but a worker reports a handful of events a poll at most.
        let (reports, received) = mpsc::unbounded_channel();
        let run = Run {
            manager: self,
            watched,
            task,
            look_now: false,
            shutdown,
            tended: BTreeMap::new(),
            workers: JoinSet::new(),
            reports,
            find: None,
            found_at: None,
            pause: Duration::ZERO,
            spread: 1.0,
            failures: 0,
            offline: None,
            live: false,
            missing: Vec::new(),
        };
        run.run(received).await;
    }
}

impl Run {
    async fn run(mut self, mut received: mpsc::UnboundedReceiver<(Arc<Rendition>, Report)>) {
        let shutdown = self.shutdown.clone();
        let watched = Arc::clone(&self.watched);
        for quality in &self.manager.qualities {
            metrics::register(&self.manager.channel, quality);
        }
        self.show_expected();
        while !shutdown.is_cancelled() {
            let needed = self.find_needed_at();
            self.task.state(match (&self.find, needed) {
                (Some(_), _) => "looking for its playlists",
                (None, Some(_)) => "waiting for the next look at where its playlists are",
                (None, None) => "its workers have all they need",
            });
            tokio::select! {
                biased;
                () = shutdown.cancelled() => {}
                Some((rendition, report)) = received.recv() => {
                    self.take_report(&rendition.quality, report);
                    self.show_expected();
                }
                found = found_by(&mut self.find), if self.find.is_some() => {
                    self.find = None;
                    self.take_found(found);
                    self.show_expected();
                }
                () = sleep_until(needed.unwrap_or_else(Instant::now)),
                    if self.find.is_none() && needed.is_some() => self.start_find(),
                wishes = watched.wishes() => self.take_wishes(&wishes),
                Some(outcome) = self.workers.join_next() => {
                    if let Err(error) = outcome {
                        tracing::error!(channel = %self.manager.channel, %error, "a worker crashed");
                    }
                }
            }
        }
        self.task.state("waiting for what is under way");
        while self.workers.join_next().await.is_some() {}
        for tended in self.tended.values() {
            tended.rendition.tell_left();
        }
        if self.watched.is_removed() {
            metrics::expect_nothing(&self.manager.channel, self.tended.keys());
            metrics::expect_nothing(&self.manager.channel, &self.manager.qualities);
        }
    }

    /// Does what an operator wants.
    fn take_wishes(&mut self, wishes: &Wishes) {
        self.look_now |= wishes.look;
        for quality in &wishes.successors {
            if let Some(tended) = self.tended.get_mut(quality) {
                tended.wants_successor = true;
            }
        }
    }

    /// When to look for playlists next; `None`: no need to.
    fn find_needed_at(&self) -> Option<Instant> {
        if self.look_now {
            return Some(Instant::now());
        }
        let max_age = self.manager.max_age;
        // Not fixed when the last look ended: whether there was news lately changes.
        let next = match self.found_at {
            Some(at) => at + self.find_interval().mul_f64(self.spread).max(self.pause),
            None => Instant::now(),
        };
        let mut needed: Option<Instant> = self.tended.is_empty().then_some(next);
        for tended in self.tended.values() {
            let at = match tended.live.last() {
                None => Some(next),
                Some(_) if tended.needs_another() => Some(next),
                Some(newest) => max_age.map(|age| next.max(newest.since + age)),
            };
            needed = [needed, at].into_iter().flatten().min();
        }
        // What was not there may come: Twitch's transcodes begin some seconds after the source.
        if let Some(at) = self.found_at.filter(|_| !self.missing.is_empty()) {
            let again = self.manager.timing.find.mul_f64(self.spread);
            let again = at + again.max(self.pause);
            needed = Some(needed.map_or(again, |needed| needed.min(again)));
        }
        needed
    }

    fn start_find(&mut self) {
        self.look_now = false;
        let Manager {
            provider,
            qualities,
            client,
            timing,
            ..
        } = self.manager.clone();
        // Where nothing else keeps the stream alive, an answer is as urgent as a poll's.
        let window = self.tended.values().filter(|t| t.live.is_empty());
        let window = window.filter_map(|tended| tended.rendition.window()).min();
        let hedge = timing.hedge_for(timing.find_hedge, window);
        self.find = Some(Box::pin(async move {
            provider.find(&client, &qualities, hedge).await
        }));
    }

    fn take_found(&mut self, found: Result<Found, ProviderError>) {
        self.found_at = Some(Instant::now());
        let error = found.as_ref().err().map(ToString::to_string);
        self.watched.looked(error);
        self.spread = jitter(Duration::from_secs(1)).as_secs_f64();
        let asked = found.as_ref().err().and_then(ProviderError::retry_after);
        self.pause = asked.map_or(Duration::ZERO, |asked| {
            let Manager {
                timing, important, ..
            } = &self.manager;
            timing.find_pause(*important, asked, self.listed_lately())
        });
        let channel = &self.manager.channel;
        match found {
            Ok(found) => {
                self.failures = 0;
                if self.offline != Some(false) {
                    let qualities = found.sources.iter().map(|s| s.quality.as_str());
                    let qualities: Vec<&str> = qualities.collect();
                    tracing::info!(%channel, ?qualities, "live");
                }
                self.offline = Some(false);
                self.live = true;
                if found.missing != self.missing {
                    self.missing = found.missing;
                    for quality in &self.missing {
                        let there = found.there.join(", ");
                        tracing::warn!(%channel, %quality, there, "a quality is not there");
                    }
                }
                for source in found.sources {
                    self.tend(source);
                }
            }
            Err(error) => {
                self.failures = match error.is_offline() {
                    true => 0,
                    false => self.failures.saturating_add(1),
                };
                // Another error does not tell: the stream may well go on.
                self.live &= !error.is_offline();
                let first = self.offline.replace(true) != Some(true);
                match (first, self.manager.important) {
                    (true, false) if error.is_offline() => {
                        tracing::info!(%channel, %error, "not live");
                    }
                    (true, _) => tracing::warn!(%channel, %error, "cannot find its playlists"),
                    (false, true) => tracing::warn!(%channel, %error, "still not live"),
                    (false, false) => tracing::debug!(%channel, %error, "still not live"),
                }
            }
        }
    }

    /// Of the lists that brought news lately, the one that can wait the least.
    fn listed_lately(&self) -> Option<Window> {
        let lately = self.manager.timing.lately;
        let renditions = self.tended.values().map(|tended| &tended.rendition);
        let live = renditions.filter(|it| it.last_news().is_some_and(|at| at.elapsed() < lately));
        let listed = live.filter_map(|rendition| rendition.listed());
        listed.min_by_key(|it| self.manager.timing.longest_pause(*it))
    }

    /// Shows of each quality whether there ought to be new segments.
    fn show_expected(&self) {
        let manager = &self.manager;
        let tended = self.tended.iter().map(|(quality, tended)| {
            let goes_on = self.live && !tended.rendition.has_ended();
            (quality, goes_on)
        });
        // What is not there yet is missed only where somebody said that it will be.
        let wanted = manager.qualities.iter();
        let wanted = wanted.filter(|quality| !self.tended.contains_key(*quality));
        for (quality, goes_on) in tended.chain(wanted.map(|quality| (quality, false))) {
            let expected = i64::from(manager.important || goes_on);
            let labels = labels(&manager.channel, quality);
            METRICS.expected.with_label_values(&labels).set(expected);
        }
    }

    /// The wait until the next look, if one is needed at all.
    fn find_interval(&self) -> Duration {
        let timing = &self.manager.timing;
        let news = self.tended.values().filter_map(|t| t.rendition.last_news());
        let lately = news.max().is_some_and(|at| at.elapsed() < timing.lately);
        // Where an older worker still works, a failing successor is no reason to hurry.
        let urgent = self.tended.values().any(|tended| tended.live.len() < 2);
        let failed = self.tended.values().map(|tended| tended.failed).max();
        let failures = self.failures.max(failed.unwrap_or(0));
        timing.find_interval(self.manager.important, lately.then_some(urgent), failures)
    }
}

/// The outcome of a look that is under way; never, if there is none.
async fn found_by(find: &mut Option<Find>) -> Result<Found, ProviderError> {
    match find {
        Some(find) => find.await,
        None => std::future::pending().await,
    }
}
