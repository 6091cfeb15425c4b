//! What has been said about a peer already, so that every oddity is logged once and not every
//! two minutes.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::fmt::Write as _;
use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError};

/// So many things are remembered for each peer; past that, new ones are counted every time
/// and logged never.
const MOST: usize = 10_000;

/// How much of a name a log line repeats, in characters.
const MOST_SHOWN: usize = 120;

/// What can be said about a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Matter {
    /// It is no name of ours.
    BadName,
    /// Its twin is here.
    Twin,
    /// It could not be downloaded.
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

/// What was said about one peer.
#[derive(Debug, Default)]
pub struct Journal {
    hasher: RandomState,
    /// Hashes, because names from a peer may be of any length.
    said: Mutex<HashSet<u64>>,
}

impl Journal {
    /// Notes that something was said about a name in a place (`CHANNEL/QUALITY/HOUR`, say).
    pub fn note(&self, matter: Matter, place: &str, name: &str) -> Novelty {
        let hash = self.hasher.hash_one((matter, place, name));
        // A poisoned set is still a set.
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.contains(&hash) {
            Novelty::Known
        } else if said.len() >= MOST {
            Novelty::Lost
        } else {
            said.insert(hash);
            Novelty::New
        }
    }
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

    #[test]
    fn everything_is_new_once_and_memory_is_bounded() {
        let journal = Journal::default();
        let note = |matter, name: &str| journal.note(matter, "c/source", name);
        assert_eq!(note(Matter::BadName, "x"), Novelty::New);
        assert_eq!(note(Matter::BadName, "x"), Novelty::Known);
        assert_eq!(note(Matter::Twin, "x"), Novelty::New);
        assert_eq!(journal.note(Matter::Twin, "d/source", "x"), Novelty::New);
        for n in 0..MOST {
            note(Matter::BadName, &n.to_string());
        }
        assert_eq!(note(Matter::BadName, "new"), Novelty::Lost);
        assert_eq!(note(Matter::BadName, "x"), Novelty::Known);
    }

    #[test]
    fn what_is_shown_is_one_short_line() {
        assert_eq!(shown("a\n\u{1b}[0mb"), "a\\n\\u{1b}[0mb");
        let long = shown(&"ä".repeat(10_000));
        assert_eq!(long.chars().count(), MOST_SHOWN + 1);
    }
}
