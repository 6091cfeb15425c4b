//! What the workers of one rendition share: a successor goes on where the one before it is, and
//! neither does what the other has in hand.

mod hands;
mod left;
mod pauses;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use common::http::HttpClient;
use common::names::{Channel, Quality};
use common::store::Store;
use tokio::time::Instant;

pub use self::hands::Claim;
use self::hands::Hands;
pub(crate) use self::hands::{Postponed, Refused};
use self::left::Left;
use self::pauses::Pauses;
use crate::getter::Getter;
use crate::timeline::{Newest, Timeline, Wanted};
use crate::timing::{Timing, Window};

/// A quality of a channel, for as long as the process lives.
#[derive(Debug)]
pub struct Rendition {
    /// The channel.
    pub channel: Channel,
    /// The quality.
    pub quality: Quality,
    /// For playlists.
    pub client: HttpClient,
    /// Intervals and timeouts.
    pub timing: Timing,
    /// Where everything goes.
    pub store: Store,
    /// For segments.
    pub getter: Getter,
    /// So many playlists are kept beside each segment that they led to.
    pub playlist_debug: usize,
    seen: Mutex<Seen>,
    hands: Mutex<Hands>,
    /// What the lists so far have shown, for the next worker.
    memory: Mutex<Option<SharedTimeline>>,
    /// What nobody may take in hand now: asked for again by whoever polls.
    refused: Mutex<VecDeque<Postponed>>,
    pauses: Mutex<Pauses>,
    left: Mutex<Left>,
}

/// What a worker's lists have shown; changed by that worker alone.
pub(crate) type SharedTimeline = Arc<Mutex<Timeline>>;

/// What the newest playlists showed.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    window: Option<Duration>,
    news: Option<Instant>,
    newest: Option<Newest>,
    newest_start: Option<DateTime<Utc>>,
    /// How often in a row a playlist was found to stand still.
    stalls: u32,
    /// When a jump of dates last asked for a successor.
    skew_asked: Option<Instant>,
    /// When the newest playlist came.
    listed: Option<Instant>,
    /// True iff the end of the stream was told, and nothing new has come since.
    end_told: bool,
}

/// What one playlist showed.
#[derive(Debug)]
pub(crate) struct Shown<'a> {
    /// How much time it lists.
    pub(crate) window: Duration,
    /// What is new in it.
    pub(crate) wanted: &'a [Wanted],
    /// The newest segment.
    pub(crate) newest: Option<Newest>,
    /// True iff it is its worker's first.
    pub(crate) first: bool,
    /// True iff its worker works.
    pub(crate) works: bool,
}

impl Rendition {
    /// One of which nothing has been seen yet.
    #[must_use]
    pub fn new(
        client: HttpClient,
        store: &Store,
        channel: Channel,
        quality: Quality,
        timing: Timing,
        playlist_debug: usize,
    ) -> Rendition {
        let getter = Getter::new(
            client.clone(),
            store.clone(),
            channel.clone(),
            quality.clone(),
            timing,
        );
        Rendition {
            channel,
            quality,
            client,
            timing,
            store: store.clone(),
            getter,
            playlist_debug,
            seen: Mutex::default(),
            hands: Mutex::default(),
            memory: Mutex::default(),
            refused: Mutex::default(),
            pauses: Mutex::default(),
            left: Mutex::default(),
        }
    }

    /// A timeline for a new worker, which goes on where the one before it was.
    pub(crate) fn timeline(&self) -> Timeline {
        let memory = lock(&self.memory).clone();
        let timeline = memory.map(|timeline| lock(&timeline).clone());
        timeline.unwrap_or_default().for_successor()
    }

    /// Keeps what a worker's lists have shown; `None` forgets it, so that the next worker takes
    /// everything that is listed for new.
    pub(crate) fn remember(&self, timeline: Option<SharedTimeline>) {
        *lock(&self.memory) = timeline;
    }

    /// True iff a jump of dates may ask for a successor: now and then, not at every jump.
    pub(crate) fn may_ask_for_skew(&self) -> bool {
        let pause = self.timing.lately;
        self.seen(|seen| {
            let may = seen.skew_asked.is_none_or(|at| at.elapsed() >= pause);
            if may {
                seen.skew_asked = Some(Instant::now());
            }
            may
        })
    }

    /// How much time the newest playlist listed; `None`: there was none.
    #[must_use]
    pub fn window(&self) -> Option<Duration> {
        self.seen(|seen| seen.window)
    }

    /// The same, and how long ago that playlist came.
    pub(crate) fn listed(&self) -> Option<Window> {
        self.seen(|seen| {
            Some(Window {
                shown: seen.window?,
                since: seen.listed?.elapsed(),
            })
        })
    }

    /// When a playlist last listed something that none before it had.
    #[must_use]
    pub fn last_news(&self) -> Option<Instant> {
        self.seen(|seen| seen.news)
    }

    /// The newest segment that any worker has seen.
    #[must_use]
    pub fn newest(&self) -> Option<Newest> {
        self.seen(|seen| seen.newest)
    }

    /// How often in a row a playlist was found to stand still.
    #[must_use]
    pub fn stalls(&self) -> u32 {
        self.seen(|seen| seen.stalls)
    }

    /// Notes that a playlist stands still.
    pub(crate) fn stalled(&self) {
        self.seen(|seen| seen.stalls = seen.stalls.saturating_add(1));
    }

    /// True iff the end of the stream was told, and nothing new has come since.
    pub(crate) fn has_ended(&self) -> bool {
        self.seen(|seen| seen.end_told)
    }

    /// True iff the end of the stream has to be told: once, until something new comes.
    pub(crate) fn tells_end(&self) -> bool {
        self.seen(|seen| !std::mem::replace(&mut seen.end_told, true))
    }

    /// Notes what a playlist showed. What a successor's first list has under other URLs is no
    /// news, unless it is later than all that was seen. A worker that works has the last word on
    /// what is newest: dates may have been wrong.
    pub(crate) fn note(&self, shown: &Shown<'_>) {
        let latest = shown.wanted.iter().map(|wanted| wanted.start).max();
        self.seen(|seen| {
            seen.window = (!shown.window.is_zero()).then_some(shown.window);
            seen.listed = Some(Instant::now());
            if latest.is_some() && (latest > seen.newest_start || !shown.first) {
                seen.news = Some(Instant::now());
                seen.stalls = 0;
                seen.end_told = false;
            }
            if latest.is_some() && (latest > seen.newest_start || shown.works) {
                seen.newest_start = latest;
            }
            let later = |new: Newest| seen.newest.is_none_or(|old| old.end < new.end);
            if shown.newest.is_some_and(|new| shown.works || later(new)) {
                seen.newest = shown.newest;
            }
        });
    }

    fn seen<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut lock(&self.seen))
    }
}

/// Every change under these locks leaves things whole; what a worker that crashed had is
/// forgotten ([`Rendition::remember`]).
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
