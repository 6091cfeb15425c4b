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

/// What the lists so far said of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Counted {
    /// So many stand before the newest segment, if the lists count them.
    pub(super) newest: Option<u64>,
    /// The sequence number of the latest segment before which one stands by its number alone.
    untagged: Option<u64>,
}

impl Counted {
    /// True iff a discontinuity stands before this new segment of a list that begins at `first`,
    /// up to which so many stand: by its tag, or by another number than the newest segment has.
    /// The latter but once in what a list shows: what follows has its tag in the list, unless the
    /// number means nothing (some packagers count segments with it).
    pub(super) fn is_behind_one(
        &mut self,
        listed: &Listed,
        number: Option<u64>,
        first: u64,
    ) -> bool {
        if listed.discontinuity {
            return true;
        }
        let differs = number.zip(self.newest).is_some_and(|(is, was)| is != was);
        let shown = first..listed.sequence;
        if !differs || self.untagged.is_some_and(|before| shown.contains(&before)) {
            return false;
        }
        self.untagged = Some(listed.sequence);
        true
    }
}
