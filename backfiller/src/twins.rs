//! Twins: one segment under two names, because the nodes that recorded it do not agree on its start
//! to the microsecond (SPEC §6). One of them is enough. No I/O.

use std::collections::HashMap;

use common::segment::{Hour, Segment, SegmentDuration, SegmentHash, SegmentType};

/// How far the starts of twins may be apart.
pub(crate) const TWIN_MICROS: u64 = 1000;

/// What twins have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Alike(SegmentHash, SegmentDuration, SegmentType);

impl Alike {
    /// Of a segment that is no temporary one: those have no twins.
    pub(crate) fn of(segment: &Segment) -> Option<Alike> {
        Some(Alike(segment.hash()?, segment.duration(), segment.kind()))
    }
}

/// True iff segments that are alike and start then are twins.
pub(crate) fn are_near(start: i64, other: i64) -> bool {
    start.abs_diff(other) <= TWIN_MICROS
}

/// The segments of an hour, by all that twins have in common.
pub(crate) struct Twins(HashMap<Alike, Vec<i64>>);

impl Twins {
    pub(crate) fn new(hour: Hour, files: &[String]) -> Twins {
        let mut twins: HashMap<_, Vec<i64>> = HashMap::new();
        for file in files {
            if let Ok(segment) = Segment::parse(hour, file)
                && let Some(alike) = Alike::of(&segment)
            {
                twins.entry(alike).or_default().push(segment.start_micros());
            }
        }
        Twins(twins)
    }

    /// True iff one of them is a twin of this one.
    pub(crate) fn has(&self, segment: &Segment) -> bool {
        let starts = Alike::of(segment).and_then(|alike| self.0.get(&alike));
        let is_near = |start: &i64| are_near(*start, segment.start_micros());
        starts.is_some_and(|starts| starts.iter().any(is_near))
    }
}
