//! How often a list that may be an old one is looked into.

use super::Wanted;

/// The pause doubles so often: a content network may serve many old lists.
const MOST_DOUBLINGS: u32 = 6;

/// After so many lists without a doubt, one is looked into at once.
const TRUST: u64 = 256;

/// When to look at a segment of a list that is behind.
#[derive(Debug, Clone, Default)]
pub(super) struct Doubts {
    /// What to look at, if the latest list is behind.
    pub(super) list: Option<Wanted>,
    /// So many lists have come.
    lists: u64,
    /// So many looks in a row were in vain.
    in_vain: u32,
    /// The number of the list that was looked into last.
    last: u64,
}

impl Doubts {
    /// What to look at now that a list has come.
    pub(super) fn next(&mut self) -> Option<Wanted> {
        self.lists += 1;
        let wanted = self.list.as_ref()?;
        let since = self.lists - self.last;
        if since > TRUST {
            self.in_vain = 0;
        }
        if self.in_vain > 0 && since < 2_u64.pow(self.in_vain.min(MOST_DOUBLINGS)) {
            return None;
        }
        self.in_vain += 1;
        self.last = self.lists;
        Some(wanted.clone())
    }
}
