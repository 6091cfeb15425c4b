//! Discontinuities by their numbers (RFC 8216 §6.2.2): of one whose tag has slid out unseen, the
//! number that the list begins with still tells.

use crate::playlist::{Listed, MediaPlaylist};

/// Counts along one list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Discontinuities(Option<u64>);

impl Discontinuities {
    pub(super) fn of(list: &MediaPlaylist) -> Discontinuities {
        Discontinuities(list.discontinuities)
    }

    /// So many stand before this segment and the one itself, if the list counts them.
    pub(super) fn up_to(&mut self, listed: &Listed) -> Option<u64> {
        self.0 = self
            .0
            .map(|n| n.saturating_add(u64::from(listed.discontinuity)));
        self.0
    }
}

/// True iff both are known and not the same.
pub(super) fn differ(one: Option<u64>, other: Option<u64>) -> bool {
    one.zip(other).is_some_and(|(one, other)| one != other)
}
