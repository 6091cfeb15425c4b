//! What the dates and durations of one list say.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use common::segment::SegmentDuration;

use super::{Newest, Skew};
use crate::playlist::{Listed, MediaPlaylist};

/// A date that differs by more from what was expected is skew (SPEC §5).
const SKEW: TimeDelta = TimeDelta::milliseconds(10);

/// A date that is earlier than expected by less than this, but by more than half a segment, is
/// one that was cut to the whole second.
pub(super) const ROUNDED: TimeDelta = TimeDelta::milliseconds(1000);

/// Dates of a list that ends so many target durations before what was seen have begun again, if
/// nothing in it is known.
const BACK_TARGETS: u32 = 3;

/// A list with what is known of its segments.
pub(super) struct Dated<'a> {
    pub(super) list: &'a MediaPlaylist,
    /// The start of each that was listed before.
    pub(super) known: Vec<Option<DateTime<Utc>>>,
    /// The start of each by the dates of this list; none if it has no date.
    pub(super) implied: Option<Vec<DateTime<Utc>>>,
    pub(super) now: DateTime<Utc>,
}

impl Dated<'_> {
    /// True iff the list's own dates end so long before what was seen that they have begun again.
    pub(super) fn is_before(&self, newest: Newest) -> bool {
        let ends = self.list.segments.last().zip(self.implied.as_deref());
        let slack = TimeDelta::from_std(self.list.target_duration * BACK_TARGETS);
        ends.zip(slack.ok()).is_some_and(|((last, starts), slack)| {
            let end = starts.last().map(|start| after(*start, last.duration));
            end.is_some_and(|end| end < earlier_by(newest.end, slack))
        })
    }
}

/// How long a segment is on average, in seconds.
pub(super) fn mean(list: &MediaPlaylist) -> f64 {
    list.total().as_secs_f64() / list.segments.len().max(1) as f64
}

pub(super) fn seconds(delta: TimeDelta) -> f64 {
    delta
        .num_microseconds()
        .map_or(f64::MAX, |micros| micros as f64 / 1e6)
}

/// When each segment starts by the dates of its list alone: its own, or that of the nearest one
/// before it, else after it, and the durations between; none if no segment has a date.
pub(super) fn implied(segments: &[Arc<Listed>]) -> Option<Vec<DateTime<Utc>>> {
    let anchor = segments.iter().position(|listed| listed.date.is_some())?;
    let before = segments[..anchor]
        .iter()
        .rev()
        .map(|listed| listed.duration);
    let mut next = before.fold(segments[anchor].date?, earlier);
    let mut starts = Vec::with_capacity(segments.len());
    let mut previous: Option<&Listed> = None;
    for listed in segments {
        // Dates to the whole second give several short segments the same one. One with a part of
        // a second is no such date, but that of a clock that was set back.
        let rounded = previous.zip(listed.date).is_some_and(|(previous, date)| {
            let half = TimeDelta::microseconds(previous.duration.micros() / 2);
            let is_whole = date.timestamp_subsec_nanos() == 0 && !listed.discontinuity;
            is_whole && date <= next && next - date > half && next - date < ROUNDED
        });
        let start = listed.date.filter(|_| !rounded).unwrap_or(next);
        next = after(start, listed.duration);
        starts.push(start);
        previous = Some(listed);
    }
    Some(starts)
}

/// The first jump of a date at a new segment: its own against where the one before it ends.
/// A discontinuity announces a jump. Where all dates are whole seconds they are cut, and a jump of
/// less than one is none.
pub(super) fn skew(
    segments: &[Arc<Listed>],
    matching: &[Option<DateTime<Utc>>],
    starts: &[DateTime<Utc>],
) -> Option<Skew> {
    (1..segments.len())
        .filter(|&n| matching[n].is_none() && !segments[n].discontinuity)
        .filter(|&n| segments[n].advertisement == segments[n - 1].advertisement)
        .find_map(|n| {
            let expected = after(starts[n - 1], segments[n - 1].duration);
            let start = segments[n].date?;
            let difference = start - expected;
            let is_cut = || difference.abs() < ROUNDED && are_whole(segments);
            (difference.abs() > SKEW && !is_cut()).then_some(Skew { start, difference })
        })
}

fn are_whole(segments: &[Arc<Listed>]) -> bool {
    let mut dates = segments.iter().filter_map(|listed| listed.date);
    dates.all(|date| date.timestamp_subsec_nanos() == 0)
}

pub(super) fn after(start: DateTime<Utc>, duration: SegmentDuration) -> DateTime<Utc> {
    start
        .checked_add_signed(TimeDelta::microseconds(duration.micros()))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

pub(crate) fn earlier_by(end: DateTime<Utc>, delta: TimeDelta) -> DateTime<Utc> {
    end.checked_sub_signed(delta)
        .unwrap_or(DateTime::<Utc>::MIN_UTC)
}

pub(super) fn earlier(end: DateTime<Utc>, duration: SegmentDuration) -> DateTime<Utc> {
    earlier_by(end, TimeDelta::microseconds(duration.micros()))
}
