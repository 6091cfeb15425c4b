//! A segment to get, and what is known of it from try to try.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use crate::shared::SharedParts;
use crate::timeline::Wanted;
use crate::watch::Fetching;

/// A segment to get.
#[derive(Debug)]
pub struct Job {
    /// What and where.
    pub wanted: Wanted,
    /// True iff there is reason to doubt it.
    pub doubtful: bool,
    /// What it needs and shares with others.
    pub(crate) shared: Arc<SharedParts>,
    /// When the oldest segment of its list came into it: what was written before that under its
    /// date is another segment, of an encoder that has no clock. `None`: nothing can be said.
    pub(crate) listed_since: Option<SystemTime>,
    /// How much of the stream its list showed; zero if that is not known.
    pub(crate) window: Duration,
    /// True iff it is recorded, and only to be compared with what is.
    pub(crate) is_probe: bool,
    /// Bytes of the longest piece that was kept: a shorter one is not worth a file.
    pub(super) kept: AtomicU64,
    /// What operators see of it; there only if it was tried, since very many may be queued.
    fetching: OnceLock<Arc<Fetching>>,
}

impl Job {
    pub(crate) fn new(wanted: Wanted, doubtful: bool, shared: Arc<SharedParts>) -> Job {
        Job {
            wanted,
            fetching: OnceLock::new(),
            doubtful,
            shared,
            listed_since: None,
            window: Duration::ZERO,
            is_probe: false,
            kept: AtomicU64::new(0),
        }
    }

    /// True iff nothing of it is kept: what is compared with a date that only we gave it would be
    /// at a wrong one if it is something else.
    pub(super) fn only_compares(&self) -> bool {
        self.is_probe && !self.wanted.dated
    }

    /// True iff a piece of it is on the disk.
    pub(crate) fn is_kept_in_part(&self) -> bool {
        self.kept.load(Ordering::Relaxed) > 0
    }

    /// What operators see of it.
    pub(crate) fn fetching(&self) -> &Arc<Fetching> {
        let new = || Arc::new(Fetching::new(&self.wanted));
        self.fetching.get_or_init(new)
    }
}
