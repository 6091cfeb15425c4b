//! Which segments have come lately: whoever planned before that to fetch a twin of one need not.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};

use super::key::{Key, Wanted};

/// So many are remembered, the latest ones: more than come while an hour's list is worked on.
/// Of one that is forgotten a twin may be fetched, which costs its room on the disk.
const MOST: usize = 20_000;

/// The latest ones.
#[derive(Debug, Default)]
pub(super) struct Came {
    files: HashMap<Key, (Wanted, PathBuf)>,
    /// Their keys, the oldest first.
    order: VecDeque<Key>,
}

impl Came {
    /// Notes that a segment is here. Nothing else has twins.
    pub(super) fn note(&mut self, wanted: &Wanted, file: &Path) {
        if !matches!(wanted.key, Key::Segment { .. }) {
            return;
        }
        let entry = (wanted.clone(), file.to_owned());
        if self.files.insert(wanted.key.clone(), entry).is_none() {
            self.order.push_back(wanted.key.clone());
        }
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.files.remove(&oldest);
        }
    }

    /// The files that are twins of this one, or the same.
    pub(super) fn twins(&self, wanted: &Wanted) -> Vec<PathBuf> {
        let found = wanted.keys().filter_map(|key| self.files.get(&key));
        let twins = found.filter(|(other, _)| other.is_same(wanted));
        twins.map(|(_, file)| file.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::Item;
    use common::names::{Channel, Quality};
    use common::segment::{Segment, SegmentPath};

    #[test]
    fn the_latest_ones_are_remembered() {
        let mut came = Came::default();
        let wanted = |n: usize| {
            let (minute, second) = (n / 1000, n % 1000);
            let hash = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
            let name = format!("{minute:02}:10.{second:03}-2.0-full-{hash}.ts");
            Wanted::of(&Item::Segment(SegmentPath {
                channel: Channel::new("c").unwrap(),
                quality: Quality::new("source").unwrap(),
                segment: Segment::parse("2026-01-02T03".parse().unwrap(), &name).unwrap(),
            }))
        };
        for n in 0..MOST + 10 {
            came.note(&wanted(n), Path::new("it"));
            came.note(&wanted(n), Path::new("it"));
        }
        assert_eq!((came.files.len(), came.order.len()), (MOST, MOST));
        assert!(came.twins(&wanted(5)).is_empty());
        assert!(!came.twins(&wanted(MOST + 5)).is_empty());
    }
}
