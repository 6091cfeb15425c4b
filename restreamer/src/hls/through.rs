//! What a walk takes of a whole hour, worked out once, so that a playlist of a week is not a walk
//! over 300,000 segments.

use std::sync::OnceLock;

use common::segment::Segment;
use common::selection::{Step, TimeRange, Walk};

use super::lines::millis;

/// What a walk takes of an hour once it takes its first segment, wherever it comes from, if its
/// range ends after all of them.
#[derive(Debug)]
pub(super) struct Through {
    /// In order of time; at least one.
    stretches: Vec<Stretch>,
    /// The end of those that end last, in µs since 1970.
    latest_end: i64,
    longest_millis: u64,
}

/// Segments that are taken one after the other without a hole.
#[derive(Debug)]
pub(super) struct Stretch {
    /// The first one's index in the hour.
    pub(super) from: usize,
    /// The index after the last one's; more than `from`.
    pub(super) to: usize,
    /// True iff a hole lies before it, as far as its hour tells.
    pub(super) after_hole: bool,
    digest: OnceLock<u64>,
}

impl Stretch {
    fn new(at: usize, after_hole: bool) -> Stretch {
        Stretch {
            from: at,
            to: at + 1,
            after_hole,
            digest: OnceLock::new(),
        }
    }

    /// The digest of its lines, which is computed when somebody first asks.
    pub(super) fn digest(&self, compute: impl FnOnce() -> u64) -> u64 {
        *self.digest.get_or_init(compute)
    }
}

impl Through {
    /// Walks through an hour's best segments, which are in order of time; `None` if there is none.
    pub(super) fn new(segments: &[Segment]) -> Option<Through> {
        let first = segments.first()?;
        let mut walk = Walk::new(TimeRange {
            start: first.end(),
            end: chrono::DateTime::<chrono::Utc>::MAX_UTC,
        });
        walk.resume(first);
        let mut stretches = vec![Stretch::new(0, false)];
        let (mut latest_end, mut longest_millis) = (first.end_micros(), millis(first));
        for (at, segment) in segments.iter().enumerate().skip(1) {
            match walk.step(segment) {
                Step::Pass => continue,
                // One seems to last as long as time does: no range ends after it.
                Step::Stop => break,
                Step::Take(hole) => match stretches.last_mut() {
                    Some(last) if hole.is_none() && last.to == at => last.to += 1,
                    _ => stretches.push(Stretch::new(at, hole.is_some())),
                },
            }
            latest_end = latest_end.max(segment.end_micros());
            longest_millis = longest_millis.max(millis(segment));
        }
        stretches.shrink_to_fit();
        Some(Through {
            stretches,
            latest_end,
            longest_millis,
        })
    }

    /// True iff a range ends after all of them.
    pub(super) fn ends_before(&self, range: TimeRange) -> bool {
        self.latest_end < range.end.timestamp_micros()
    }

    pub(super) fn stretches(&self) -> &[Stretch] {
        &self.stretches
    }

    /// The stretch of exactly these segments.
    pub(super) fn stretch(&self, from: usize, to: usize) -> Option<&Stretch> {
        let at = self.stretches.binary_search_by_key(&from, |it| it.from);
        self.stretches.get(at.ok()?).filter(|it| it.to == to)
    }

    /// The last of them; `segments` are the hour's.
    pub(super) fn last_of<'a>(&self, segments: &'a [Segment]) -> &'a Segment {
        &segments[self.stretches[self.stretches.len() - 1].to - 1]
    }

    /// The longest of them, in milliseconds.
    pub(super) fn longest_millis(&self) -> u64 {
        self.longest_millis
    }

    /// The memory that it takes beside itself, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.stretches.capacity() * size_of::<Stretch>()
    }
}
