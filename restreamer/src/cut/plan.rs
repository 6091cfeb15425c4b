//! From a request and what there is of its ranges to a plan: what to copy, where to cut exactly,
//! what to cross-fade, what to code anew. Pure.

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use chrono::{DateTime, TimeDelta, Utc};
use common::segment::Segment;
use common::selection::{Hole, Piece, Selection, TimeRange, select};

use super::request::{CutRequest, CutType, Fade};
use super::stretch::{Source, Stretch};
use crate::error::ApiError;

/// Segments that follow one another closer than that do so without a hole (SPEC §3), in µs.
pub(crate) const TOLERANCE_MICROS: i64 = 10_000;

/// So many segments before a stretch are enough for whatever its first pictures need.
const MAX_BEFORE: usize = 12;

/// What is to be done, in order.
#[derive(Debug)]
pub(crate) struct Plan {
    /// One after the other.
    pub(crate) parts: Vec<Part>,
    /// How much video it gives, at most.
    pub(crate) length: TimeDelta,
}

/// A piece of work.
#[derive(Debug)]
pub(crate) enum Part {
    /// Whole files, as they are.
    Copy(Vec<Source>),
    /// Cut at both ends of each, exact to the picture.
    Exact(Vec<Stretch>),
    /// The end of one clip goes over into the start of another; both are as long as the fade.
    CrossFade {
        /// What is shown first.
        from: Vec<Stretch>,
        /// What is shown last.
        to: Vec<Stretch>,
        /// How the one becomes the other.
        fade: Fade,
    },
    /// All of it is coded anew.
    Encode(Vec<Clip>),
}

/// A range, of which all is coded anew.
#[derive(Debug)]
pub(crate) struct Clip {
    /// What there is of it.
    pub(crate) stretches: Vec<Stretch>,
    /// How it goes over into the next.
    pub(crate) fade: Option<Fade>,
}

/// Why there is no plan. Ranges and transitions are counted from 1, as a person does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlanError {
    /// Something is missing.
    #[error("range {number}: nothing usable covers {} to {}: allow_holes=true leaves it out",
        shown(.hole.start), shown(.hole.end))]
    Hole {
        /// Which range.
        number: usize,
        /// What is missing of it.
        hole: Hole,
    },
    /// Nothing is there.
    #[error("range {number}: there is no video from {} to {}", shown(.range.start), shown(.range.end))]
    Empty {
        /// Which range.
        number: usize,
        /// The range.
        range: TimeRange,
    },
    /// Something is missing that cannot be left out.
    #[error("nothing usable covers {} to {}", shown(.hole.start), shown(.hole.end))]
    Missing {
        /// What is missing.
        hole: Hole,
    },
    /// Nothing is shown.
    #[error("timestamp: there is no video at {}", shown(*.instant))]
    NotThere {
        /// When.
        instant: DateTime<Utc>,
    },
    /// A range is shorter than its transitions.
    #[error(
        "range {range} is too short ({} s) for {which} ({} s)",
        seconds(.length), seconds(.needed)
    )]
    TooShort {
        /// Which range.
        range: usize,
        /// Its length.
        length: TimeDelta,
        /// Its transitions.
        which: String,
        /// How long they are together.
        needed: TimeDelta,
    },
}

fn shown(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

fn seconds(length: &TimeDelta) -> f64 {
    length.as_seconds_f64()
}

impl From<PlanError> for ApiError {
    fn from(error: PlanError) -> ApiError {
        match error {
            PlanError::TooShort { .. } => ApiError::BadRequest(error.to_string()),
            _ => ApiError::NotAcceptable(error.to_string()),
        }
    }
}

/// What there is of a range: stretches, each of which follows a hole unless it is the first.
#[derive(Debug)]
pub(crate) struct Covered {
    runs: Vec<Run>,
    hole: Option<Hole>,
}

/// Segments without a hole between them.
#[derive(Debug)]
struct Run {
    before: Vec<Source>,
    sources: Vec<Source>,
    after: Option<Source>,
}

impl Run {
    /// Those that another one follows without a hole.
    fn followed(&self) -> &[Source] {
        let last = self.sources.len() - usize::from(self.after.is_none());
        &self.sources[..last]
    }
}

impl Covered {
    /// Picks what there is of a range from the best segments of its hours, in order of time.
    /// `locate` says where a segment's file is.
    pub(crate) fn of(
        range: TimeRange,
        best: &[&Segment],
        locate: impl Fn(&Segment) -> PathBuf,
    ) -> Covered {
        let source = |segment: &Segment| Source {
            path: locate(segment),
            segment: segment.clone(),
        };
        let selection = select(range, best.iter().copied());
        let runs = runs(&selection).into_iter().map(|run| Run {
            before: run.first().map_or(Vec::new(), |first| {
                before(first, best).into_iter().map(source).collect()
            }),
            sources: run.iter().map(|segment| source(segment)).collect(),
            after: run.last().and_then(|last| after(last, best)).map(source),
        });
        Covered {
            runs: runs.collect(),
            hole: selection.holes().next(),
        }
    }

    /// What is shown at an instant, of which this is what there is.
    ///
    /// # Errors
    /// [`PlanError`] if nothing is.
    pub(crate) fn of_instant(&self, instant: DateTime<Utc>) -> Result<Stretch, PlanError> {
        let found = self.at(instant);
        found.ok_or(PlanError::NotThere { instant })
    }

    /// What is still shown at an instant, which lies between two segments that are no hole apart: the
    /// first one's last picture.
    pub(crate) fn before_instant(&self, instant: DateTime<Utc>) -> Option<Stretch> {
        let ended = self.runs.iter().flat_map(Run::followed);
        let mut ended = ended.filter(|source| source.segment.end() <= instant);
        self.at(ended.next_back()?.segment.end() - TimeDelta::microseconds(1))
    }

    fn at(&self, instant: DateTime<Utc>) -> Option<Stretch> {
        let end = instant + TimeDelta::microseconds(1);
        self.within(instant, end).into_iter().next()
    }

    /// All of a range, of which this is what there is.
    ///
    /// # Errors
    /// [`PlanError`] if something is missing.
    pub(crate) fn of_range(&self, range: TimeRange) -> Result<Stretch, PlanError> {
        if let Some(hole) = self.hole.filter(|_| !self.runs.is_empty()) {
            return Err(PlanError::Missing { hole });
        }
        let found = self.within(range.start, range.end).into_iter().next();
        found.ok_or(PlanError::Empty { number: 1, range })
    }

    /// What there is of a part of the range.
    fn within(&self, from: DateTime<Utc>, until: DateTime<Utc>) -> Vec<Stretch> {
        let runs = self.runs.iter().filter_map(|run| {
            let is_in =
                |source: &Source| source.segment.end() > from && source.segment.start() < until;
            let first = run.sources.iter().position(is_in)?;
            let last = run.sources.iter().rposition(is_in)?;
            let earlier = run.before.iter().chain(&run.sources[..first]).cloned();
            let mut before: Vec<Source> = earlier.collect();
            before.drain(..before.len().saturating_sub(MAX_BEFORE));
            Some(Stretch {
                sources: run.sources[first..=last].to_vec(),
                from,
                until,
                before,
                after: run.sources.get(last + 1).or(run.after.as_ref()).cloned(),
            })
        });
        runs.collect()
    }
}

/// The segments of a selection, divided at holes.
fn runs<'a>(selection: &Selection<'a>) -> Vec<Vec<&'a Segment>> {
    let mut runs = vec![Vec::new()];
    for piece in selection.pieces() {
        match (piece, runs.last_mut()) {
            (Piece::Segment(segment), Some(run)) => run.push(*segment),
            _ => runs.push(Vec::new()),
        }
    }
    runs.retain(|run| !run.is_empty());
    runs
}

/// True iff the second of two segments follows the first without a hole.
fn follows(one: &Segment, next: &Segment) -> bool {
    let gap = next.start_micros() - one.end_micros();
    gap.abs() <= TOLERANCE_MICROS && one.is_full()
}

fn before<'a>(first: &Segment, best: &[&'a Segment]) -> Vec<&'a Segment> {
    let mut found: Vec<&Segment> = Vec::new();
    let at = best.partition_point(|segment| segment.start_micros() < first.start_micros());
    for earlier in best[..at].iter().rev() {
        let next = found.last().copied().unwrap_or(first);
        if found.len() == MAX_BEFORE
            || earlier.end_micros() + TOLERANCE_MICROS < next.start_micros()
        {
            break;
        }
        if follows(earlier, next) {
            found.push(earlier);
        }
    }
    found.reverse();
    found
}

fn after<'a>(last: &Segment, best: &[&'a Segment]) -> Option<&'a Segment> {
    let at = best.partition_point(|segment| segment.start_micros() <= last.start_micros());
    let mut later = best[at..].iter().copied();
    later.find(|segment| follows(last, segment))
}

/// Plans a cut. `covered` says what there is of each range, in order.
///
/// # Errors
/// [`PlanError`] with the first range that cannot be cut as it was asked for.
pub(crate) fn plan(request: &CutRequest, covered: &[Covered]) -> Result<Plan, PlanError> {
    for number in 0..request.ranges.len() {
        fits(request, number)?;
    }
    for (number, (range, covered)) in request.ranges.iter().zip(covered).enumerate() {
        let number = number + 1;
        if covered.runs.is_empty() {
            let range = *range;
            return Err(PlanError::Empty { number, range });
        }
        if let Some(hole) = covered.hole.filter(|_| !request.allow_holes) {
            return Err(PlanError::Hole { number, hole });
        }
    }
    let parts = match request.kind {
        CutType::Rough => {
            let runs = covered.iter().flat_map(|covered| &covered.runs);
            let sources = runs.flat_map(|run| run.sources.iter().cloned());
            vec![Part::Copy(sources.collect())]
        }
        CutType::MpegTs | CutType::WebM => {
            let ranges = request.ranges.iter().zip(covered).enumerate();
            let clips = ranges.map(|(number, (range, covered))| Clip {
                stretches: covered.within(range.start, range.end),
                fade: request.fade(number).cloned(),
            });
            vec![Part::Encode(clips.collect())]
        }
        CutType::Fast | CutType::Smart => exact(request, covered)?,
    };
    let lengths = request.ranges.iter().map(|range| range.end - range.start);
    let shared = request.fades.iter().flatten().map(|fade| fade.length);
    Ok(Plan {
        parts,
        length: lengths.sum::<TimeDelta>() - shared.sum::<TimeDelta>(),
    })
}

/// Copies what can be copied; transitions overlap the ranges on both sides.
fn exact(request: &CutRequest, covered: &[Covered]) -> Result<Vec<Part>, PlanError> {
    let mut parts = Vec::new();
    // A side of a transition.
    let side = |number: usize, start: DateTime<Utc>, end: DateTime<Utc>| {
        let stretches = covered[number].within(start, end);
        let empty = PlanError::Empty {
            number: number + 1,
            range: TimeRange { start, end },
        };
        (!stretches.is_empty()).then_some(stretches).ok_or(empty)
    };
    for (number, range) in request.ranges.iter().enumerate() {
        let (before, next) = (request.fade_before(number), request.fade(number));
        let from = before.map_or(range.start, |fade| range.start + fade.length);
        let until = next.map_or(range.end, |fade| range.end - fade.length);
        let stretches = covered[number].within(from, until);
        if from < until && !stretches.is_empty() {
            parts.push(Part::Exact(stretches));
        }
        if let Some(fade) = next {
            let start = request.ranges[number + 1].start;
            parts.push(Part::CrossFade {
                from: side(number, until, range.end)?,
                to: side(number + 1, start, start + fade.length)?,
                fade: fade.clone(),
            });
        }
    }
    Ok(parts)
}

/// Whether a range is as long as its transitions.
fn fits(request: &CutRequest, number: usize) -> Result<(), PlanError> {
    let range = request.ranges[number];
    let fades = [request.fade_before(number), request.fade(number)];
    let numbered = fades.into_iter().zip([number, number + 1]);
    let named = numbered.filter_map(|(fade, number)| {
        let fade = fade?;
        Some(format!(
            "transition {number} ({})",
            fade.transition.as_str()
        ))
    });
    let needed = fades.into_iter().flatten().map(|fade| fade.length).sum();
    let length = range.end - range.start;
    if length < needed {
        return Err(PlanError::TooShort {
            range: number + 1,
            length,
            which: named.collect::<Vec<String>>().join(" and "),
            needed,
        });
    }
    Ok(())
}
