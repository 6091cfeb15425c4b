//! The choice of segments (SPEC §3): the best of each start time, then a walk over a range
//! that tells segments from holes. Pure: sizes come from a function of the caller's.

#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use chrono::{DateTime, Utc};

use crate::segment::{Segment, SegmentType};

/// Starts this close to the end before them neither overlap nor leave a hole, in µs (SPEC §3).
const TOLERANCE_MICROS: i64 = 10_000;

/// The best candidate of each start time of one hour, in order of time.
///
/// `candidates` are the segments of one hour that no tombstone hides, in any order; those of
/// type `temp` are passed over. `size` gives a file's size in bytes; it is asked only where
/// two candidates differ in nothing that ranks before it.
///
/// ```
/// use common::segment::{Hour, Segment};
/// use common::selection::best_of_hour;
/// let hour: Hour = "2026-01-02T03".parse().unwrap();
/// let name = |start, kind| format!("{start}-2.0-{kind}-47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU.ts");
/// let read = |name: String| Segment::parse(hour, &name).unwrap();
/// let candidates = vec![read(name("00:02.000000", "full")), read(name("00:00.000000", "partial")),
///     read(name("00:00.000000", "full"))];
/// let best = best_of_hour(candidates, |_| 0);
/// assert_eq!(best.len(), 2);
/// assert!(best.iter().all(Segment::is_full));
/// ```
pub fn best_of_hour(
    mut candidates: Vec<Segment>,
    mut size: impl FnMut(&Segment) -> u64,
) -> Vec<Segment> {
    candidates.retain(|segment| segment.kind() != SegmentType::Temp);
    candidates.sort_by_key(Segment::start_micros);
    candidates.dedup_by(|next, best| {
        let same_start = next.start_micros() == best.start_micros();
        if same_start && is_better(next, best, &mut size) {
            std::mem::swap(next, best);
        }
        same_start
    });
    candidates
}

/// Whether one candidate of a start time ranks above another (SPEC §3).
fn is_better(one: &Segment, other: &Segment, size: &mut impl FnMut(&Segment) -> u64) -> bool {
    // full above suspect above partial; among full ones the longest.
    let by_type = one.kind().cmp(&other.kind());
    let by_duration = if one.is_full() && other.is_full() {
        one.duration()
            .as_secs()
            .total_cmp(&other.duration().as_secs())
    } else {
        Ordering::Equal
    };
    by_type
        .then(by_duration)
        .then_with(|| size(one).cmp(&size(other)))
        .then_with(|| one.hash().cmp(&other.hash()))
        .is_gt()
}

/// A stretch of time `[start, end)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeRange {
    /// Its first instant.
    pub start: DateTime<Utc>,
    /// The first instant after it.
    pub end: DateTime<Utc>,
}

/// A stretch that no usable segment covers (SPEC §1).
///
/// Its ends may be equal: after a segment that is cut short or doubtful, nobody knows whether
/// anything is missing before the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hole {
    /// The end of what was taken before it, or the start of the range.
    pub start: DateTime<Utc>,
    /// The start of what was taken after it, or the end of the range.
    pub end: DateTime<Utc>,
}

/// One piece of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A segment to use.
    Segment(&'a Segment),
    /// Time that no segment covers.
    Hole(Hole),
}

/// What there is of a range: segments in order of time, and the holes between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection<'a> {
    pieces: Vec<Piece<'a>>,
}

/// What a caller that cannot use holes gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nothing usable covers {} to {}", .0.start.to_rfc3339(), .0.end.to_rfc3339())]
pub struct HasHole(pub Hole);

impl<'a> Selection<'a> {
    /// Segments and holes in order of time; never two holes in a row.
    #[must_use]
    pub fn pieces(&self) -> &[Piece<'a>] {
        &self.pieces
    }

    /// The segments alone.
    pub fn segments(&self) -> impl Iterator<Item = &'a Segment> + '_ {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Segment(segment) => Some(*segment),
            Piece::Hole(_) => None,
        })
    }

    /// The holes alone.
    pub fn holes(&self) -> impl Iterator<Item = Hole> + '_ {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Segment(_) => None,
            Piece::Hole(hole) => Some(*hole),
        })
    }

    /// True iff it ends with a hole: what would end the range is not there.
    #[must_use]
    pub fn ends_with_hole(&self) -> bool {
        matches!(self.pieces.last(), Some(Piece::Hole(_)))
    }

    /// The segments, if they cover the range without a hole.
    ///
    /// # Errors
    /// [`HasHole`] names the first hole.
    pub fn without_holes(&self) -> Result<Vec<&'a Segment>, HasHole> {
        match self.holes().next() {
            Some(hole) => Err(HasHole(hole)),
            None => Ok(self.segments().collect()),
        }
    }
}

/// Walks the best segments over a range (SPEC §3).
///
/// `best` holds the best segments from the hour before the range's start through the hour of
/// its end, in order of time: [`best_of_hour`] of each, one after the other. More of them on
/// either side change nothing. A range that is empty or ends before it starts is one hole.
///
/// Where SPEC §3 is silent: a segment that begins at or past the range's end is taken only if
/// it joins on to the last one; across a hole it lies outside the range.
pub fn select<'a>(range: TimeRange, best: impl IntoIterator<Item = &'a Segment>) -> Selection<'a> {
    Walk::new(range).over(best)
}

/// Walks on from a segment that was taken before, which is not taken again: what can follow it up
/// to `end`, which lies past its end, under the rules of [`select`].
///
/// `best` are as for [`select`], from the hour of `last` on; more of them change nothing.
pub fn select_after<'a>(
    last: &'a Segment,
    end: DateTime<Utc>,
    best: impl IntoIterator<Item = &'a Segment>,
) -> Selection<'a> {
    // One of next to no length would follow itself.
    let later = |segment: &&Segment| segment.start_micros() > last.start_micros();
    let mut walk = Walk::new(TimeRange {
        start: last.end(),
        end,
    });
    walk.resume(last);
    walk.over(best.into_iter().filter(later))
}

/// What a walk does at a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Leaves it out.
    Pass,
    /// Takes it; the hole lies before it, if one does.
    Take(Option<Hole>),
    /// Leaves it and all that follow out: the range is over.
    Stop,
}

/// A walk over a range, a segment at a time: what [`select`] does at once, for who knows already
/// what a walk takes of some hours.
///
/// All that it does next depends on its range and on the segment that it took last.
#[derive(Debug)]
pub struct Walk<'a> {
    range: TimeRange,
    /// The range's ends in µs.
    start: i64,
    end: i64,
    /// The segment taken last.
    last: Option<&'a Segment>,
}

impl<'a> Walk<'a> {
    /// Stands before the first segment.
    #[must_use]
    pub fn new(range: TimeRange) -> Walk<'a> {
        Walk {
            range,
            start: range.start.timestamp_micros(),
            end: range.end.timestamp_micros(),
            last: None,
        }
    }

    /// Goes to the next segment in order of time.
    pub fn step(&mut self, segment: &'a Segment) -> Step {
        let hole = match self.last {
            _ if self.is_over() => return Step::Stop,
            None if segment.start_micros() <= self.start => {
                if segment.end_micros() <= self.start {
                    return Step::Pass;
                }
                None
            }
            None if segment.start_micros() >= self.end => return Step::Stop,
            None => Some(self.hole_until(segment.start())),
            Some(last) => {
                let gap = segment.start_micros().saturating_sub(last.end_micros());
                if gap < -TOLERANCE_MICROS {
                    return Step::Pass;
                }
                if gap > TOLERANCE_MICROS || !last.is_full() {
                    if segment.start_micros() >= self.end {
                        return Step::Stop;
                    }
                    Some(self.hole_until(segment.start()))
                } else {
                    None
                }
            }
        };
        self.last = Some(segment);
        Step::Take(hole)
    }

    /// Goes on from a segment that is known to be taken, whatever came before it.
    pub fn resume(&mut self, last: &'a Segment) {
        self.last = Some(last);
    }

    /// True if the range is empty or the segment taken last reaches its end: nothing more is taken.
    fn is_over(&self) -> bool {
        let reaches_end = |last: &Segment| last.end_micros() >= self.end;
        self.start >= self.end || self.last.is_some_and(reaches_end)
    }

    /// The hole at the range's end, if there is one.
    #[must_use]
    pub fn finish(self) -> Option<Hole> {
        let is_whole = |last: &Segment| last.is_full() && last.end_micros() >= self.end;
        let is_whole = self.start < self.end && self.last.is_some_and(is_whole);
        (!is_whole).then(|| self.hole_until(self.range.end))
    }

    fn over(mut self, best: impl IntoIterator<Item = &'a Segment>) -> Selection<'a> {
        let mut pieces = Vec::new();
        for segment in best {
            match self.step(segment) {
                Step::Pass => {}
                Step::Take(hole) => {
                    pieces.extend(hole.map(Piece::Hole));
                    pieces.push(Piece::Segment(segment));
                }
                Step::Stop => break,
            }
        }
        pieces.extend(self.finish().map(Piece::Hole));
        Selection { pieces }
    }

    fn hole_until(&self, end: DateTime<Utc>) -> Hole {
        let start = self.last.map_or(self.range.start, Segment::end);
        // What follows a doubtful segment may begin up to the tolerance before its end.
        Hole {
            start: start.min(end),
            end,
        }
    }
}
