//! What has been said about a peer already, so that every oddity is logged once and not every
//! two minutes.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::item::Place;

/// So many things are remembered for each peer and matter.
const MOST: usize = 10_000;

/// Of so many hours the number of twins is: those of six years.
const MOST_HOURS: usize = 50_000;

/// How much of a name a log line repeats, in characters.
const MOST_SHOWN: usize = 120;

/// What can be said about a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Matter {
    /// It is no name of ours. Past so many, new ones are counted every time and logged never: a
    /// peer can list any number of them.
    BadName,
    /// It could not be downloaded. When so many were said, all is forgotten: a round says a few, and
    /// it is better said again than never.
    Failed,
}

/// Whether something is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Novelty {
    /// Said for the first time: log and count it.
    New,
    /// Said before.
    Known,
    /// Nobody can tell: too much was said. Count it.
    Lost,
}

/// What was said about one peer: one matter never fills the room of another.
#[derive(Debug, Default)]
pub struct Journal {
    hasher: RandomState,
    /// Hashes, because names from a peer may be of any length.
    bad_names: Mutex<HashSet<u64>>,
    failed: Mutex<HashSet<u64>>,
    /// How many twins were counted in an hour: on a bad stream every segment may be one.
    twins: Mutex<BTreeMap<Place, u64>>,
}

impl Journal {
    /// Notes that something was said about a name in a place (`CHANNEL/QUALITY/HOUR`, say).
    pub fn note(&self, matter: Matter, place: &str, name: &str) -> Novelty {
        let hash = self.hasher.hash_one((place, name));
        let mut said = lock(match matter {
            Matter::BadName => &self.bad_names,
            Matter::Failed => &self.failed,
        });
        if said.contains(&hash) {
            return Novelty::Known;
        }
        if said.len() >= MOST {
            match matter {
                Matter::BadName => return Novelty::Lost,
                Matter::Failed => said.clear(),
            }
        }
        said.insert(hash);
        Novelty::New
    }

    /// Notes how many segments of an hour were left because a twin is here. Gives how many of them
    /// are new: they are the same ones each time, and seldom more.
    pub fn note_twins(&self, place: &Place, twins: u64) -> u64 {
        let mut counted = lock(&self.twins);
        if twins == 0 {
            return 0;
        }
        if counted.len() >= MOST_HOURS && !counted.contains_key(place) {
            // The oldest hour goes, which hardly changes any more, unless it is this one.
            if counted.keys().next().is_some_and(|oldest| place < oldest) {
                return 0;
            }
            counted.pop_first();
        }
        let before = counted.entry(place.clone()).or_default();
        let new = twins.saturating_sub(*before);
        *before += new;
        new
    }
}

fn lock<T>(said: &Mutex<T>) -> MutexGuard<'_, T> {
    // A poisoned set is still a set.
    said.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A text from a peer for a log line: printable, one line, and not long.
#[must_use]
pub fn shown(text: &str) -> String {
    let mut shown = String::new();
    for (index, character) in text.chars().enumerate() {
        if index == MOST_SHOWN {
            shown.push('…');
            break;
        }
        if character.is_control() {
            // Writing to a string cannot fail.
            let _ = write!(shown, "{}", character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::tests::place;

    #[test]
    fn everything_is_new_once_and_memory_is_bounded() {
        let journal = Journal::default();
        let note = |matter, name: &str| journal.note(matter, "c/source", name);
        assert_eq!(note(Matter::BadName, "x"), Novelty::New);
        assert_eq!(note(Matter::BadName, "x"), Novelty::Known);
        assert_eq!(journal.note(Matter::BadName, "d/source", "x"), Novelty::New);
        for n in 0..MOST {
            note(Matter::BadName, &n.to_string());
        }
        assert_eq!(note(Matter::BadName, "new"), Novelty::Lost);
        assert_eq!(note(Matter::BadName, "x"), Novelty::Known);
        // Each matter has its own room.
        assert_eq!(note(Matter::Failed, "x"), Novelty::New);
        assert_eq!(note(Matter::Failed, "x"), Novelty::Known);
        for n in 1..MOST {
            assert_eq!(note(Matter::Failed, &n.to_string()), Novelty::New);
        }
        // A failure is told, however many were told before.
        assert_eq!(note(Matter::Failed, "new"), Novelty::New);
        assert_eq!(lock(&journal.failed).len(), 1);
    }

    #[test]
    fn twins_are_counted_once_however_many_and_whatever_else_is_said() {
        let journal = Journal::default();
        let many = 10 * MOST as u64;
        let rounds = [(0, 0), (many, many), (many, 0), (many + 3, 3), (1, 0)];
        for (twins, new) in rounds {
            assert_eq!(
                journal.note_twins(&place(MOST_HOURS), twins),
                new,
                "{twins}"
            );
        }
        for hour in 1..MOST_HOURS {
            assert_eq!(journal.note_twins(&place(hour), 1), 1);
        }
        // The oldest one makes room for a new one, and is not counted again each round.
        assert_eq!(journal.note_twins(&place(MOST_HOURS + 1), 1), 1);
        for _ in 0..2 {
            assert_eq!(journal.note_twins(&place(1), 1), 0);
            assert_eq!(journal.note_twins(&place(MOST_HOURS), many + 3), 0);
        }
        assert_eq!(lock(&journal.twins).len(), MOST_HOURS);
    }

    #[test]
    fn what_is_shown_is_one_short_line() {
        assert_eq!(shown("a\n\u{1b}[0mb"), "a\\n\\u{1b}[0mb");
        let long = shown(&"ä".repeat(10_000));
        assert_eq!(long.chars().count(), MOST_SHOWN + 1);
    }
}
