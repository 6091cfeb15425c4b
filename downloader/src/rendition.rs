//! What the workers of one rendition share: a successor goes on where the one before it is, and
//! neither does what the other has in hand.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use common::http::HttpClient;
use common::names::{Channel, Quality};
use common::segment::SegmentDuration;
use common::store::Store;
use tokio::time::Instant;
use url::Url;

use crate::getter::{Getter, Job};
use crate::playlist::ByteRange;
use crate::timeline::{Newest, Timeline, Wanted};
use crate::timing::Timing;

/// A segment may be fetched from so many places at once: the old connection's and the new one's.
const MOST_PLACES: usize = 2;

/// So many segments that others have in hand are remembered, the newest.
const MOST_REFUSED: usize = 1000;

/// So many losses are remembered, so that a segment is not lost twice; the oldest go first. More
/// than the longest list has.
const MOST_LOSSES: usize = 400_000;

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
}

/// What a worker's lists have shown; changed by that worker alone.
pub(crate) type SharedTimeline = Arc<Mutex<Timeline>>;

/// A segment that others have in hand: asked for again, in case they let go without having got
/// it, by the worker that was refused or one that comes after it.
#[derive(Debug)]
pub(crate) struct Postponed {
    pub(crate) job: Job,
    /// When it was refused first.
    pub(crate) since: Instant,
}

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
    /// True iff the end of the stream was told, and nothing new has come since.
    end_told: bool,
}

/// Which segment.
type Which = (DateTime<Utc>, SegmentDuration);

/// Where it is to be had.
type Place = (Url, Option<ByteRange>);

/// What is being fetched, and what cannot be had.
#[derive(Debug, Default)]
struct Hands {
    held: HashMap<Which, Vec<Place>>,
    /// By a hash of which and where: there may be very many.
    lost: HashSet<u64>,
    /// The same, oldest first.
    losses: VecDeque<u64>,
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

/// Why a segment is not to be taken in hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Somebody has it from there, or it is in as many hands as it may be: ask again later.
    Held,
    /// It was lost there before.
    Lost,
}

/// A segment that is in somebody's hands; dropping it lets go.
#[derive(Debug)]
pub struct Claim {
    rendition: Arc<Rendition>,
    which: Which,
    place: Place,
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

    /// Keeps a segment that is in other hands.
    pub(crate) fn postpone(&self, postponed: Postponed) {
        let mut refused = lock(&self.refused);
        if refused.len() == MOST_REFUSED {
            refused.pop_front();
        }
        refused.push_back(postponed);
    }

    /// All that were postponed, to be asked for again.
    pub(crate) fn postponed(&self) -> VecDeque<Postponed> {
        std::mem::take(&mut *lock(&self.refused))
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

    /// Takes a segment in hand.
    pub(crate) fn claim(self: &Arc<Rendition>, wanted: &Wanted) -> Result<Claim, Refused> {
        let which = (wanted.start, wanted.duration);
        let place = (wanted.url.clone(), wanted.range);
        let mut hands = self.hands();
        if !wanted.again && hands.lost.contains(&hash(&(which, &place))) {
            return Err(Refused::Lost);
        }
        let held = hands.held.entry(which).or_default();
        if held.contains(&place) || held.len() >= MOST_PLACES {
            return Err(Refused::Held);
        }
        held.push(place.clone());
        Ok(Claim {
            rendition: Arc::clone(self),
            which,
            place,
        })
    }

    fn seen<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut lock(&self.seen))
    }

    fn hands(&self) -> std::sync::MutexGuard<'_, Hands> {
        lock(&self.hands)
    }
}

/// Every change under these locks leaves things whole; what a worker that crashed had is
/// forgotten ([`Rendition::remember`]).
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

impl Claim {
    /// Remembers that the segment cannot be had from there.
    pub(crate) fn lost(&self) {
        let loss = hash(&(self.which, &self.place));
        let mut hands = self.rendition.hands();
        if hands.lost.insert(loss) {
            hands.losses.push_back(loss);
        }
        if hands.losses.len() > MOST_LOSSES
            && let Some(oldest) = hands.losses.pop_front()
        {
            hands.lost.remove(&oldest);
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut hands = self.rendition.hands();
        if let Some(held) = hands.held.get_mut(&self.which) {
            held.retain(|place| *place != self.place);
            if held.is_empty() {
                hands.held.remove(&self.which);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_segment_is_in_two_hands_at_most_and_lost_once() {
        let rendition = Arc::new(Rendition::new(
            HttpClient::new().unwrap(),
            &Store::new(Path::new("/nonexistent")),
            Channel::new("c").unwrap(),
            Quality::new("source").unwrap(),
            Timing::default(),
            0,
        ));
        let (old, new, third) = (
            Wanted::of("http://a/1"),
            Wanted::of("http://b/1"),
            Wanted::of("http://c/1"),
        );
        let of_old = rendition.claim(&old).unwrap();
        assert_eq!(rendition.claim(&old).err(), Some(Refused::Held));
        let of_new = rendition.claim(&new).unwrap();
        assert_eq!(rendition.claim(&third).err(), Some(Refused::Held));
        drop(of_new);
        assert!(rendition.claim(&third).is_ok());
        of_old.lost();
        drop(of_old);
        assert_eq!(rendition.claim(&old).err(), Some(Refused::Lost));
        assert!(rendition.claim(&new).is_ok());
        assert!(rendition.hands().held.is_empty());
        // When dates begin again it is another segment.
        let again = Wanted {
            again: true,
            ..old.clone()
        };
        assert!(rendition.claim(&again).is_ok());
        // What one worker was refused, the next one to poll asks for, whoever that is.
        let postponed = |wanted: &Wanted| Postponed {
            job: Job::new(wanted.clone(), false, Arc::default()),
            since: Instant::now(),
        };
        for _ in 0..=MOST_REFUSED {
            rendition.postpone(postponed(&third));
        }
        assert_eq!(rendition.postponed().len(), MOST_REFUSED);
        assert!(rendition.postponed().is_empty());
    }
}
