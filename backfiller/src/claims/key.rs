//! What is in a hand: a file, and of a segment its twins as well.

use common::names::{Channel, Quality};

use crate::item::Item;
use crate::twins::{Alike, are_near};

/// Under what a file is found. Segments of one key are twins, or the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// What twins have in common, and the millisecond in which it starts: theirs is the same, or
    /// one beside it.
    Segment {
        channel: Channel,
        quality: Quality,
        alike: Alike,
        millisecond: i64,
    },
    /// By its path: whatever has no twins.
    Other(String),
}

/// A file that is wanted.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) key: Key,
    /// When the segment starts, in microseconds.
    start: i64,
}

impl Wanted {
    pub(super) fn of(item: &Item) -> Wanted {
        if let Item::Segment(path) = item
            && let Some(alike) = Alike::of(&path.segment)
        {
            let start = path.segment.start_micros();
            return Wanted {
                key: Key::Segment {
                    channel: path.channel.clone(),
                    quality: path.quality.clone(),
                    alike,
                    millisecond: start.div_euclid(1000),
                },
                start,
            };
        }
        Wanted {
            key: Key::Other(item.to_string()),
            start: 0,
        }
    }

    /// Its own key, and those that its twins may have.
    pub(super) fn keys(&self) -> impl Iterator<Item = Key> {
        let beside = [-1, 1].into_iter().filter_map(|by| match &self.key {
            Key::Other(_) => None,
            Key::Segment { .. } => {
                let mut key = self.key.clone();
                if let Key::Segment { millisecond, .. } = &mut key {
                    *millisecond += by;
                }
                Some(key)
            }
        });
        std::iter::once(self.key.clone()).chain(beside)
    }

    /// True iff one that is found under one of those keys is the same, or a twin.
    pub(super) fn is_same(&self, other: &Wanted) -> bool {
        are_near(self.start, other.start)
    }
}
