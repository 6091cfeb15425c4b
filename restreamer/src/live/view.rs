//! One live list: what it has said, and what it says next. Pure.

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use common::segment::{Hour, Segment};
use common::selection::{Piece, TimeRange, select, select_after};
use tokio::time::Instant;

use crate::hls::{HourLines, MediaPlaylist, Run, longest_millis, runs, target_seconds};

/// What follows a hole that is younger is held back: the other node's copy, or the next try,
/// may still fill it, and nothing can be put in later.
const HOLD_BACK: TimeDelta = TimeDelta::seconds(15);

/// So long it has been awaited too: where segments are long, or an origin's dates lag behind the
/// clock, a hole is old by its dates when it is first seen, and filled a second later.
const PATIENCE: Duration = Duration::from_secs(15);

/// The most that a live list holds (SPEC §4: more needs both bounds). What is older slides out.
const MAX_LENGTH: TimeDelta = TimeDelta::hours(12);

/// Nobody makes longer segments.
const LIKELY_LENGTH: TimeDelta = TimeDelta::minutes(1);

/// A live list.
#[derive(Debug)]
pub(crate) struct View {
    /// What is in it.
    runs: VecDeque<Run>,
    /// What it said last; `Some` iff it ever said anything, even if nothing of it is left.
    last: Option<Segment>,
    /// Where it begins.
    start: DateTime<Utc>,
    /// In milliseconds, the longest segment that it was ever made from.
    longest: u64,
    /// The target duration that it said last, in seconds; 0 if it has said nothing yet.
    target: u64,
    /// The number of the first segment in it: so many were let go of.
    media_sequence: u64,
    /// How many discontinuities were let go of.
    discontinuity_sequence: u64,
    /// What it holds back for, in order of time.
    awaited: Vec<Awaited>,
}

/// A hole that may yet be filled, or a segment that is cut short or doubtful and may yet come in
/// full.
#[derive(Debug, Clone, Copy)]
struct Awaited {
    start: DateTime<Utc>,
    end: DateTime<Utc>,
    /// When it was first seen.
    since: Instant,
}

impl View {
    /// A list that begins at an instant and says nothing yet.
    pub(crate) fn new(start: DateTime<Utc>) -> View {
        View {
            runs: VecDeque::new(),
            last: None,
            start,
            longest: 0,
            target: 0,
            media_sequence: 0,
            discontinuity_sequence: 0,
            awaited: Vec::new(),
        }
    }

    /// Where to look for what comes next: hours from that before this instant on.
    pub(crate) fn next(&self) -> DateTime<Utc> {
        self.last.as_ref().map_or(self.start, Segment::start)
    }

    /// The hours of which it says something, in order of time.
    pub(crate) fn hours(&self) -> impl Iterator<Item = Hour> {
        let mut last = None;
        let hours = self.runs.iter().map(|run| run.lines.hour());
        hours.filter(move |&hour| last.replace(hour) != Some(hour))
    }

    /// Adds what has come since. `hours` are those from the hour before [`View::next`] on, in order
    /// of time; `now` and `instant` are the time, once as dates have it and once for what takes
    /// time.
    pub(crate) fn extend(
        &mut self,
        hours: &[Arc<HourLines>],
        now: DateTime<Utc>,
        instant: Instant,
    ) {
        self.renew(hours);
        let segments = || hours.iter().flat_map(|hour| hour.segments());
        let selection = match &self.last {
            Some(last) => select_after(last, DateTime::<Utc>::MAX_UTC, segments()),
            None => {
                // The duration that all lists of the rendition have lately had; what is as long as
                // nobody makes segments counts if it is listed.
                self.longest = longest_millis(segments().filter(|it| is_likely(it)));
                let range = TimeRange {
                    start: self.start,
                    end: DateTime::<Utc>::MAX_UTC,
                };
                select(range, segments())
            }
        };
        let pieces = selection.pieces();
        // Who has just begun to look cannot know for how long something has been missing.
        let is_first = self.last.is_none();
        let (count, awaited) = certain(pieces, is_first, &self.awaited, now, instant);
        let new = runs(hours, pieces[..count].iter().copied());
        self.awaited = awaited;
        for run in new {
            self.push(run);
        }
    }

    /// Where an hour was listed again, takes what it said from the new lines: the old ones need no
    /// longer be kept for this list's sake.
    pub(crate) fn renew(&mut self, hours: &[Arc<HourLines>]) {
        let newer = |run: &Run| {
            let new = hours.iter().find(|new| new.hour() == run.lines.hour());
            new.filter(|new| !Arc::ptr_eq(new, &run.lines))
        };
        let Some(at) = self.runs.iter().position(|run| newer(run).is_some()) else {
            return;
        };
        for run in self.runs.split_off(at) {
            match newer(&run) {
                Some(new) => run
                    .renewed(new)
                    .into_iter()
                    .for_each(|run| self.append(run)),
                None => self.append(run),
            }
        }
    }

    /// Says a run, after all others.
    fn push(&mut self, run: Run) {
        self.longest = self.longest.max(longest_millis(run.segments()));
        if self.last.is_some() && self.runs.is_empty() && run.after_hole {
            // All that was before it has gone, and its tag with it: nothing is above a list's first
            // segment.
            self.discontinuity_sequence += 1;
        }
        if let Some(last) = run.segments().last() {
            self.last = Some(last.clone());
        }
        self.append(run);
    }

    fn append(&mut self, run: Run) {
        match self.runs.back_mut() {
            Some(back)
                if !run.after_hole
                    && back.to == run.from
                    && Arc::ptr_eq(&back.lines, &run.lines) =>
            {
                back.to = run.to;
            }
            _ => self.runs.push_back(run),
        }
    }

    /// Lets go of what is no longer there, in hours before `first`, and of what is older than a
    /// live list may be.
    pub(crate) fn slide(&mut self, first: DateTime<Utc>) {
        let Some(last) = &self.last else { return };
        // From its start: one that seems to last for years would let go of all.
        let first = first.max(last.start() - MAX_LENGTH);
        while let Some(run) = self.runs.front_mut() {
            let gone = run
                .segments()
                .partition_point(|segment| segment.start() < first);
            self.media_sequence += gone as u64;
            run.from += gone;
            if run.from < run.to {
                return;
            }
            self.runs.pop_front();
            // The next run's tag goes with it: nothing is above a list's first segment.
            if self.runs.front().is_some_and(|next| next.after_hole) {
                self.discontinuity_sequence += 1;
            }
        }
    }

    /// The list as it is now.
    pub(crate) fn playlist(&mut self) -> MediaPlaylist {
        self.target = self.target.max(target_seconds(self.longest));
        MediaPlaylist {
            runs: self.runs.iter().cloned().collect(),
            target: self.target,
            media_sequence: self.media_sequence,
            discontinuity_sequence: self.discontinuity_sequence,
            is_live: true,
            is_complete: false,
        }
    }
}

/// True iff a segment is as long as somebody makes them.
fn is_likely(segment: &Segment) -> bool {
    segment.end() - segment.start() <= LIKELY_LENGTH
}

/// How many pieces of a selection will not change any more: those before the first that is
/// awaited; and what is, `before` what was when the list was last brought up to date. `is_first`
/// says that nothing was said yet: then dates alone decide, and what lies before the first segment
/// is not told.
fn certain(
    pieces: &[Piece<'_>],
    is_first: bool,
    before: &[Awaited],
    now: DateTime<Utc>,
    instant: Instant,
) -> (usize, Vec<Awaited>) {
    let mut count = pieces.len();
    let mut awaited = Vec::new();
    for (index, piece) in pieces.iter().enumerate() {
        let (start, end) = match piece {
            // After the newest: nothing is missing yet.
            Piece::Hole(hole) if hole.end == DateTime::<Utc>::MAX_UTC => continue,
            Piece::Hole(hole) if !(is_first && index == 0) => (hole.start, hole.end),
            Piece::Segment(segment) if !segment.is_full() => (segment.start(), segment.end()),
            _ => continue,
        };
        let since = awaited_since(before, start).unwrap_or(instant);
        let is_patient = !is_first && instant.saturating_duration_since(since) < PATIENCE;
        if now - end < HOLD_BACK || is_patient {
            count = count.min(index);
        }
        if count < pieces.len() {
            // Those after the first wait at the same time, not one after the other.
            awaited.push(Awaited { start, end, since });
        }
    }
    (count, awaited)
}

/// Since when what begins there is awaited: it is what is left of something larger, or that
/// itself.
fn awaited_since(awaited: &[Awaited], start: DateTime<Utc>) -> Option<Instant> {
    let after = awaited.partition_point(|a| a.start <= start);
    let last = awaited.get(after.checked_sub(1)?)?;
    (start == last.start || start < last.end).then_some(last.since)
}
