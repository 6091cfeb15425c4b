//! An hour of a quality at a peer: what of it is missing here, and what is to be said of the
//! names that are left.

use std::borrow::Cow;
use std::fmt::Display;
use std::sync::Arc;

use common::names::{Channel, Quality};
use common::segment::{Hour, Segment, SegmentPath};
use common::store::Store;

use crate::journal::{Journal, Matter, Novelty, shown};
use crate::metrics;
use crate::plan::{self, Action, Plan, Rules, Skip};
use crate::remote::{Listing, Remote};
use crate::round::RoundError;

/// The peer of a round, and what is known of it.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its name.
    pub peer: Arc<str>,
    /// Its API.
    pub remote: Remote,
    /// What was said about it.
    pub journal: Arc<Journal>,
}

/// An hour of a quality at a peer.
#[derive(Debug, Clone)]
pub struct Place {
    /// The peer.
    pub target: Target,
    /// The stream.
    pub channel: Channel,
    /// The rendition.
    pub quality: Quality,
    /// The hour.
    pub hour: Hour,
}

impl Place {
    /// Where a segment of it belongs.
    #[must_use]
    pub fn path(&self, segment: Segment) -> SegmentPath {
        SegmentPath {
            channel: self.channel.clone(),
            quality: self.quality.clone(),
            segment,
        }
    }

    /// What of a listing is missing here. Logs and counts what is to be said of the rest.
    /// Blocking.
    ///
    /// # Errors
    /// If the listing is none, or a directory here cannot be read.
    pub fn missing(
        &self,
        store: &Store,
        listing: &Listing,
        rules: &Rules,
    ) -> Result<Vec<Segment>, RoundError> {
        let there: Vec<Cow<'_, str>> = listing.names()?;
        let list = |hour| store.hour_names(&self.channel, &self.quality, hour);
        let here = list(self.hour)?;
        let mut plan = plan::hour(self.hour, &here, &there, rules);
        for beside in plan.hours_beside() {
            plan.leave_twins(beside, &list(beside)?.files);
        }
        Ok(self.sort_out(plan))
    }

    /// The segments to download. What is to be said of the others is said here.
    fn sort_out(&self, plan: Plan<'_>) -> Vec<Segment> {
        let hour = self.hour.to_string();
        let place = format!("{}/{}/{hour}", self.channel, self.quality);
        let mut missing = Vec::new();
        for (name, action) in plan.actions {
            match action {
                Action::Download(segment) => missing.push(segment),
                Action::Skip(Skip::BadName(error)) => {
                    self.target.note_bad_name(&place, name, &error);
                }
                Action::Skip(Skip::Twin) => {
                    let journal = &self.target.journal;
                    if journal.note(Matter::Twin, &place, name) != Novelty::Known {
                        let (channel, quality) = (self.channel.as_str(), self.quality.as_str());
                        metrics::SMALL_DIFFERENCE_SEGMENTS
                            .with_label_values(&[&*self.target.peer, channel, quality, &hour])
                            .inc();
                        tracing::debug!(place, name, "left a segment whose twin is here");
                    }
                }
                Action::Skip(_) => {}
            }
        }
        missing
    }
}

impl Target {
    /// Logs and counts, once, a name that is none of ours.
    pub fn note_bad_name(&self, place: &str, name: &str, error: &dyn Display) {
        let novelty = self.journal.note(Matter::BadName, place, name);
        if novelty != Novelty::Known {
            metrics::BAD_NAMES.with_label_values(&[&*self.peer]).inc();
        }
        if novelty == Novelty::New {
            let name = shown(name);
            tracing::warn!(peer = &*self.peer, place, name, %error, "left a bad name");
        }
    }
}
