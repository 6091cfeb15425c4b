//! The segments that were listed before. One name may stand in a list several times (a loop),
//! and a restarted encoder uses names again: each is known by its number, and by its date.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};

/// A segment that was in none of so many lists is forgotten. Longer than any content network
/// serves an old list for, at a poll a second.
pub(super) const FORGOTTEN_AFTER: u64 = 120;

/// So many are remembered, unless the two latest lists have more: where every list of a day has
/// names of its own, those of the last minutes would be millions.
pub(super) const MOST_KNOWN: usize = 400_000;

/// Where and which part: what one request would fetch.
type Place = u64;

/// What is remembered of one.
#[derive(Debug, Clone, Copy)]
struct Known {
    start: DateTime<Utc>,
    /// The number of the list that it was last in.
    last_list: u64,
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub(super) struct KnownSegments {
    by_sequence: HashMap<(Place, u64), Known>,
    /// The sequence number by place and start in microseconds since 1970.
    by_start: BTreeMap<(Place, i64), u64>,
}

impl KnownSegments {
    /// The start of the one with this number.
    pub(super) fn by_sequence(&self, place: Place, sequence: u64) -> Option<DateTime<Utc>> {
        Some(self.by_sequence.get(&(place, sequence))?.start)
    }

    /// The number of the latest one that is there.
    pub(super) fn latest_number(&self, place: Place) -> Option<u64> {
        let all = (place, i64::MIN)..=(place, i64::MAX);
        self.by_start.range(all).next_back().map(|(_, n)| *n)
    }

    /// The start of the one with this number, if it was in list number `list`.
    pub(super) fn in_list(&self, place: Place, sequence: u64, list: u64) -> Option<DateTime<Utc>> {
        let known = self.by_sequence.get(&(place, sequence))?;
        (known.last_list == list).then_some(known.start)
    }

    /// The start of the one that starts nearest to `start`, if that is within `most`.
    pub(super) fn nearest(
        &self,
        place: Place,
        start: DateTime<Utc>,
        most: TimeDelta,
    ) -> Option<DateTime<Utc>> {
        let at = start.timestamp_micros();
        let mut before = self.by_start.range((place, i64::MIN)..(place, at));
        let mut after = self.by_start.range((place, at)..=(place, i64::MAX));
        [before.next_back(), after.next()]
            .into_iter()
            .flatten()
            .filter_map(|(_, &sequence)| self.by_sequence(place, sequence))
            .min_by_key(|known| (*known - start).abs())
            .filter(|known| (*known - start).abs() <= most)
    }

    /// Notes that one was in list number `list`; whether it was known.
    pub(super) fn note(
        &mut self,
        place: Place,
        sequence: u64,
        start: DateTime<Utc>,
        list: u64,
    ) -> bool {
        let known = Known {
            start,
            last_list: list,
        };
        let before = self.by_sequence.insert((place, sequence), known);
        if before.is_some_and(|before| before.start == start) {
            return true;
        }
        if let Some(before) = before {
            self.forget_start(place, sequence, before.start);
        }
        self.by_start
            .insert((place, start.timestamp_micros()), sequence);
        before.is_some()
    }

    /// Forgets what was in none of the last lists, `list` being the latest; of fewer lists, if else
    /// more than `most` were left.
    pub(super) fn forget_old(&mut self, list: u64, most: usize) {
        let mut lists = FORGOTTEN_AFTER;
        self.forget_before(list.saturating_sub(lists));
        while self.by_sequence.len() > most && lists > 1 {
            lists /= 2;
            self.forget_before(list.saturating_sub(lists));
        }
    }

    /// Forgets what was in no list since that one.
    fn forget_before(&mut self, oldest: u64) {
        let old = self
            .by_sequence
            .extract_if(|_, known| known.last_list < oldest);
        let old: Vec<_> = old.collect();
        for ((place, sequence), known) in old {
            self.forget_start(place, sequence, known.start);
        }
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.by_sequence.clear();
        self.by_start.clear();
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_sequence.len().max(self.by_start.len())
    }

    fn forget_start(&mut self, place: Place, sequence: u64, start: DateTime<Utc>) {
        let key = (place, start.timestamp_micros());
        // Another number may have taken its place since.
        if self.by_start.get(&key) == Some(&sequence) {
            self.by_start.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_with_names_of_their_own_are_few_in_memory_and_the_two_latest_are_there() {
        let mut known = KnownSegments::default();
        let start = |n: u64| DateTime::from_timestamp(n as i64, 0).unwrap();
        for list in 0..100 {
            for n in 0..300 {
                known.note(list << 32 | n, n, start(n), list);
            }
            known.forget_old(list, 1000);
            assert!(known.len() <= 1000);
            for of in [list.saturating_sub(1), list] {
                assert_eq!(known.in_list(of << 32 | 7, 7, of), Some(start(7)));
            }
        }
        // One list that is longer stays.
        for n in 0..2000 {
            known.note(n, n, start(n), 100);
        }
        known.forget_old(100, 1000);
        assert_eq!(known.len(), 2300);
    }
}
