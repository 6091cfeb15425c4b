//! What of a peer's list of an hour is missing here.

use std::borrow::Cow;

use common::segment::SegmentPath;
use common::store::Store;

use super::Target;
use crate::item::{Item, Place};
use crate::metrics;
use crate::plan::{self, Action, Kind, Plan, Rules, Skip};
use crate::remote::Listing;
use crate::round::RoundError;

/// All that it takes to compare an hour there with the one here.
pub(super) struct Compare {
    pub(super) store: Store,
    pub(super) target: Target,
    pub(super) place: Place,
    pub(super) rules: Rules,
}

impl Compare {
    /// What of a listing is missing here, and whether nothing at all is left to be looked at.
    /// Logs and counts what is to be said of the rest. Blocking.
    pub(super) fn missing(&self, listing: &Listing) -> Result<(Vec<Item>, bool), RoundError> {
        let Place {
            channel,
            quality,
            hour,
        } = &self.place;
        let there: Vec<Cow<'_, str>> = listing.names()?;
        let list = |hour| self.store.hour_names(channel, quality, hour);
        let here = list(*hour)?;
        let kind = match quality.is_chat() {
            true => Kind::Chat,
            false => Kind::Video,
        };
        // Counts and logs what is none of ours here (SPEC §2).
        self.store.hour(channel, quality, *hour)?;
        let mut plan = plan::hour(*hour, kind, &here, &there, &self.rules);
        let beside = plan.hours_beside();
        for &beside in &beside {
            plan.leave_twins(beside, &list(beside)?.files);
        }
        let nothing = beside.is_empty()
            && plan
                .actions
                .iter()
                .all(|(_, action)| matches!(action, Action::Skip(skip) if *skip != Skip::Recent));
        Ok((self.sort_out(plan), nothing))
    }

    /// What to fetch, tombstones first. What is to be said of the others is said here.
    fn sort_out(&self, plan: Plan<'_>) -> Vec<Item> {
        let place = self.place.to_string();
        let (mut tombstones, mut files, mut twins) = (Vec::new(), Vec::new(), 0);
        for (name, action) in plan.actions {
            match action {
                Action::Download(segment) => files.push(Item::Segment(SegmentPath {
                    channel: self.place.channel.clone(),
                    quality: self.place.quality.clone(),
                    segment,
                })),
                Action::DownloadBatch(batch) => {
                    files.push(Item::Chat(self.place.clone(), batch));
                }
                Action::Bury(name) => tombstones.push(Item::Tombstone(self.place.clone(), name)),
                Action::Skip(Skip::BadName(error)) => {
                    self.target.note_bad_name(&place, name, &error);
                }
                Action::Skip(Skip::Twin) => twins += 1,
                Action::Skip(_) => {}
            }
        }
        self.note_twins(twins);
        tombstones.append(&mut files);
        tombstones
    }

    /// Counts, once, segments whose twins are here.
    fn note_twins(&self, twins: u64) {
        let new = self.target.journal.note_twins(&self.place, twins);
        if new > 0 {
            let counter = &metrics::SMALL_DIFFERENCE_SEGMENTS;
            metrics::of(counter, &self.target.peer, &self.place).inc_by(new);
            tracing::debug!(place = %self.place, twins, new, "left segments whose twins are here");
        }
    }
}
