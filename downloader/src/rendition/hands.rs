//! Which segments are in whose hands: what both of two workers see is fetched once.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use common::segment::SegmentDuration;
use tokio::time::Instant;

use super::{Rendition, lock};
use crate::getter::Job;
use crate::losses::Losses;
use crate::timeline::Wanted;

/// A segment may be fetched from so many places at once: the old connection's and the new one's.
const MOST_PLACES: usize = 2;

/// So many segments that others have in hand are remembered, the newest.
const MOST_REFUSED: usize = 1000;

/// A segment that others have in hand: asked for again, in case they let go without having got
/// it, by the worker that was refused or one that comes after it.
#[derive(Debug)]
pub(crate) struct Postponed {
    pub(crate) job: Job,
    /// The worker that was refused, by its generation.
    pub(crate) worker: u64,
    /// When it was refused first.
    pub(crate) since: Instant,
}

/// Which segment.
type Which = (DateTime<Utc>, SegmentDuration);

/// Where it is to be had ([`Wanted::place`]).
type Place = u64;

/// Whose hands a segment is in.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    place: Place,
    /// The worker, by its generation.
    worker: u64,
    sequence: u64,
    since: Instant,
    /// True iff it did not come at the first try.
    fails: bool,
    /// The host that wants to be left alone with it.
    refused_by: Option<Box<str>>,
}

/// What is being fetched, and what cannot be had.
#[derive(Debug, Default)]
pub(super) struct Hands {
    held: HashMap<Which, Vec<Held>>,
    /// By which and where.
    lost: Losses,
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
    /// Keeps a segment that is in other hands; of those that a worker was refused by several URLs
    /// the last one, which is good for longest.
    pub(crate) fn postpone(&self, mut postponed: Postponed) {
        let mut refused = lock(&self.refused);
        let which = |it: &Postponed| {
            let wanted = &it.job.wanted;
            let again = wanted.again;
            (
                it.worker,
                wanted.start,
                wanted.duration,
                wanted.sequence,
                again,
            )
        };
        let same = refused.iter().position(|it| which(it) == which(&postponed));
        if let Some(before) = same.and_then(|n| refused.remove(n)) {
            postponed.since = before.since;
        }
        if refused.len() == MOST_REFUSED {
            refused.pop_front();
        }
        refused.push_back(postponed);
    }

    /// All that were postponed, to be asked for again.
    pub(crate) fn postponed(&self) -> VecDeque<Postponed> {
        std::mem::take(&mut *lock(&self.refused))
    }

    /// Takes a segment in hand, for a worker. What it has in hand already is not taken once more by
    /// another URL (signed ones change with every list), unless it fails or is late there.
    pub(crate) fn claim(
        self: &Arc<Rendition>,
        wanted: &Wanted,
        worker: u64,
    ) -> Result<Claim, Refused> {
        let which = (wanted.start, wanted.duration);
        let place = wanted.place;
        let mut hands = self.hands();
        if !wanted.again && hands.lost.has(&(which, place)) {
            return Err(Refused::Lost);
        }
        let held = hands.held.entry(which).or_default();
        let has_it = |held: &Held| {
            let by_another_url = held.worker == worker && held.sequence == wanted.sequence;
            // Another host may have it.
            let may_be_elsewhere =
                held.refused_by.is_some() && held.refused_by.as_deref() != wanted.url.host_str();
            let is_late =
                held.fails || may_be_elsewhere || held.since.elapsed() >= self.timing.head_soft;
            held.place == place || (by_another_url && !is_late && !wanted.again)
        };
        if held.len() >= MOST_PLACES || held.iter().any(has_it) {
            return Err(Refused::Held);
        }
        held.push(Held {
            place,
            worker,
            sequence: wanted.sequence,
            since: Instant::now(),
            fails: false,
            refused_by: None,
        });
        Ok(Claim {
            rendition: Arc::clone(self),
            which,
            place,
        })
    }

    fn hands(&self) -> std::sync::MutexGuard<'_, Hands> {
        lock(&self.hands)
    }
}

impl Claim {
    /// Notes that the segment did not come at once.
    pub(crate) fn fails(&self) {
        self.note(|held| held.fails = true);
    }

    /// Notes that a host wants to be left alone: by another of its URLs it would be no less.
    pub(crate) fn refused_by(&self, host: &str) {
        self.note(|held| held.refused_by = Some(host.into()));
    }

    fn note(&self, note: impl Fn(&mut Held)) {
        let mut hands = self.rendition.hands();
        let held = hands.held.get_mut(&self.which).into_iter().flatten();
        held.filter(|held| held.place == self.place).for_each(note);
    }

    /// Remembers that the segment cannot be had from there.
    pub(crate) fn lost(&self) {
        let loss = (self.which, self.place);
        self.rendition.hands().lost.add(&loss);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut hands = self.rendition.hands();
        if let Some(held) = hands.held.get_mut(&self.which) {
            held.retain(|held| held.place != self.place);
            if held.is_empty() {
                hands.held.remove(&self.which);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use common::http::HttpClient;
    use common::names::{Channel, Quality};
    use common::store::Store;

    use super::*;
    use crate::timing::Timing;

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
        let of_old = rendition.claim(&old, 1).unwrap();
        assert_eq!(rendition.claim(&old, 1).err(), Some(Refused::Held));
        let of_new = rendition.claim(&new, 2).unwrap();
        assert_eq!(rendition.claim(&third, 3).err(), Some(Refused::Held));
        drop(of_new);
        assert!(rendition.claim(&third, 3).is_ok());
        of_old.lost();
        drop(of_old);
        assert_eq!(rendition.claim(&old, 1).err(), Some(Refused::Lost));
        assert!(rendition.claim(&new, 2).is_ok());
        assert!(rendition.hands().held.is_empty());
        // By another URL a worker takes it only if it fails; another segment at once.
        let (signed, other) = (Wanted::of("http://a/1?2"), Wanted::of("http://a/2"));
        let first = rendition.claim(&Wanted::of("http://a/1?1"), 1).unwrap();
        assert_eq!(rendition.claim(&signed, 1).err(), Some(Refused::Held));
        assert!(rendition.claim(&signed, 2).is_ok());
        let other = Wanted {
            sequence: 1,
            ..other
        };
        assert!(rendition.claim(&other, 1).is_ok());
        // … or if its host wants to be left alone, at another one.
        first.refused_by("a");
        assert_eq!(rendition.claim(&signed, 1).err(), Some(Refused::Held));
        assert!(rendition.claim(&Wanted::of("http://b/1?2"), 1).is_ok());
        first.fails();
        assert!(rendition.claim(&signed, 1).is_ok());
        drop(first);
        // When dates begin again it is another segment.
        let again = Wanted {
            again: true,
            ..old.clone()
        };
        assert!(rendition.claim(&again, 1).is_ok());
        // What one worker was refused, the next one to poll asks for, whoever that is.
        let postponed = |wanted: &Wanted, sequence| Postponed {
            job: Job::new(
                Wanted {
                    sequence,
                    ..wanted.clone()
                },
                false,
                Arc::default(),
            ),
            worker: 3,
            since: Instant::now(),
        };
        for n in 0..=MOST_REFUSED {
            rendition.postpone(postponed(&third, n as u64));
        }
        assert_eq!(rendition.postponed().len(), MOST_REFUSED);
        assert!(rendition.postponed().is_empty());
        // Of one segment the last URL.
        rendition.postpone(postponed(&old, 1));
        rendition.postpone(postponed(&new, 1));
        let left = rendition.postponed();
        assert_eq!((left.len(), &left[0].job.wanted.url), (1, &new.url));
    }
}
