//! Files that a peer lists and has not, or gives wrong: it is asked for them again, but not in
//! every round. Answers that say nothing of the file (5xx, 429) are none of these: what it did not give
//! in a bad hour of its own is not to wait when it is well again.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::item::Item;

/// So many are remembered; what is beyond is asked for in every round.
const MOST: usize = 10_000;

/// Nothing is left alone for longer, unless rounds are further apart: somebody may have mended it.
const LONGEST: Duration = Duration::from_secs(3600);

/// What one peer refused.
#[derive(Debug, Default)]
pub struct Refusals {
    hasher: RandomState,
    files: Mutex<HashMap<u64, Refused>>,
}

#[derive(Debug, Clone, Copy)]
struct Refused {
    times: u32,
    at: DateTime<Utc>,
    /// How long it is left alone from then on.
    wait: TimeDelta,
}

impl Refused {
    /// A clock that was set back keeps nothing waiting.
    fn is_left(&self, now: DateTime<Utc>) -> bool {
        (self.at..self.at + self.wait).contains(&now)
    }
}

impl Refusals {
    /// Notes that a file was refused: the next round asks for it once more, those after it less and
    /// less often.
    pub fn note(&self, item: &Item, now: DateTime<Utc>, interval: Duration) {
        let mut files = self.lock();
        let key = self.hasher.hash_one(item);
        if files.len() >= MOST && !files.contains_key(&key) {
            files.retain(|_, refused| refused.is_left(now));
            if files.len() >= MOST {
                return;
            }
        }
        let times = files.get(&key).map_or(0, |refused| refused.times);
        let intervals = 2_u32.saturating_pow(times) - 1;
        let wait = interval
            .saturating_mul(intervals)
            .min(LONGEST.max(interval));
        let refused = Refused {
            times: times + 1,
            at: now,
            wait: TimeDelta::from_std(wait).unwrap_or_default(),
        };
        files.insert(key, refused);
    }

    /// True iff it is not yet time to ask for it again.
    #[must_use]
    pub fn is_left(&self, item: &Item, now: DateTime<Utc>) -> bool {
        let files = self.lock();
        let refused = files.get(&self.hasher.hash_one(item));
        refused.is_some_and(|refused| refused.is_left(now))
    }

    /// Notes that a file is here.
    pub fn forget(&self, item: &Item) {
        self.lock().remove(&self.hasher.hash_one(item));
    }

    /// Has all of them asked for again.
    pub fn forget_all(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Refused>> {
        // A poisoned map is still a map.
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::ExtraPath;

    fn file(n: usize) -> Item {
        let directory = "x".parse().unwrap();
        Item::Extra(ExtraPath::parse(&directory, &n.to_string()).unwrap())
    }

    #[test]
    fn a_file_is_asked_for_in_the_next_round_and_then_less_and_less_often() {
        // (interval, for how many seconds it is left after each refusal)
        let table = [
            (120, [0, 120, 360, 840, 1800, 3600, 3600]),
            (1, [0, 1, 3, 7, 15, 31, 63]),
            (7200, [0, 7200, 7200, 7200, 7200, 7200, 7200]),
        ];
        let second = TimeDelta::seconds(1);
        for (interval, waits) in table {
            let refusals = Refusals::default();
            let mut now = DateTime::UNIX_EPOCH + TimeDelta::days(1);
            for wait in waits {
                refusals.note(&file(1), now, Duration::from_secs(interval));
                assert!(!refusals.is_left(&file(2), now));
                if wait > 0 {
                    let last = now + TimeDelta::seconds(wait) - second;
                    assert!(refusals.is_left(&file(1), now), "{interval} {wait}");
                    assert!(refusals.is_left(&file(1), last), "{interval} {wait}");
                    assert!(!refusals.is_left(&file(1), now - second));
                }
                now += TimeDelta::seconds(wait);
                assert!(!refusals.is_left(&file(1), now), "{interval} {wait}");
            }
            // However often.
            for _ in 0..100 {
                refusals.note(&file(1), now, Duration::from_secs(interval));
            }
            assert!(refusals.is_left(&file(1), now));
            refusals.forget(&file(1));
            assert!(!refusals.is_left(&file(1), now));
        }
    }

    #[test]
    fn memory_is_bounded_and_old_ones_make_room() {
        let refusals = Refusals::default();
        let now = DateTime::UNIX_EPOCH;
        let note = |n, now| {
            for _ in 0..2 {
                refusals.note(&file(n), now, Duration::from_secs(60));
            }
        };
        for n in 0..MOST + 1 {
            note(n, now);
        }
        assert!(refusals.is_left(&file(0), now) && !refusals.is_left(&file(MOST), now));
        let later = now + TimeDelta::seconds(60);
        note(MOST, later);
        assert!(refusals.is_left(&file(MOST), later));
        assert_eq!(refusals.lock().len(), 1);
        refusals.forget_all();
        assert!(!refusals.is_left(&file(MOST), later));
    }
}
