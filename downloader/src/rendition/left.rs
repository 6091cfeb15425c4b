//! What a stop left unfinished. Several workers may have the same segment in hand.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use common::segment::SegmentDuration;

use super::{Rendition, lock};
use crate::getter::Job;

/// How much there is of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum There {
    Nothing,
    Part,
    All,
}

/// The segments that were in hand at a stop.
#[derive(Debug, Default)]
pub(super) struct Left(HashMap<(DateTime<Utc>, SegmentDuration), There>);

impl Left {
    fn note(&mut self, job: &Job, there: There) {
        let which = (job.wanted.start, job.wanted.duration);
        let most = self.0.entry(which).or_insert(there);
        *most = there.max(*most);
    }

    /// How many are not there in full, and of how many of these there is a part.
    fn count(&self) -> (usize, usize) {
        let unfinished = self.0.values().filter(|there| **there < There::All);
        let in_part = unfinished.clone().filter(|there| **there == There::Part);
        (unfinished.count(), in_part.count())
    }
}

impl Rendition {
    /// Notes that a stop left a segment.
    pub(crate) fn leaves(&self, job: &Job) {
        if job.is_probe {
            return;
        }
        let there = match job.is_kept_in_part() {
            true => There::Part,
            false => There::Nothing,
        };
        lock(&self.left).note(job, there);
    }

    /// Notes that a segment is there in full, whoever else has left it.
    pub(crate) fn has_in_full(&self, job: &Job) {
        lock(&self.left).note(job, There::All);
    }

    /// Says what a stop has left unfinished: the next start gets only what is listed then.
    pub(crate) fn tell_left(&self) {
        let (segments, in_part) = lock(&self.left).count();
        if segments > 0 {
            let (channel, quality) = (&self.channel, &self.quality);
            tracing::warn!(%channel, %quality, segments, in_part, "stopped before these segments were there in full");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::timeline::Wanted;

    #[test]
    fn a_segment_that_several_have_left_counts_once_by_what_there_is_of_it() {
        let mut left = Left::default();
        let job = |seconds| {
            let mut wanted = Wanted::of("http://a/1");
            wanted.start += chrono::TimeDelta::seconds(seconds);
            Job::new(wanted, false, Arc::default())
        };
        for (seconds, there, expected) in [
            (0, There::Nothing, (1, 0)),
            (0, There::Part, (1, 1)),
            (0, There::Nothing, (1, 1)),
            (2, There::Part, (2, 2)),
            (0, There::All, (1, 1)),
            (0, There::Nothing, (1, 1)),
        ] {
            left.note(&job(seconds), there);
            assert_eq!(left.count(), expected, "{seconds} {there:?}");
        }
    }
}
