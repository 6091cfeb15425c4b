//! Which segments of a list are advertisements by its tags (SPEC §5): between SCTE-35 marks, or
//! in a date range.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use common::dateutil;
use common::segment::SegmentDuration;

use super::attributes::Attributes;
use super::listed::Listed;

/// The class of date ranges that are advertisements (SPEC §5).
pub(super) const AD_CLASS: &str = "twitch-stitched-ad";

/// Dates of segments and ranges have milliseconds.
const SLACK: TimeDelta = TimeDelta::milliseconds(1);

/// A discontinuity that is later than a range's start by more than this is not where it begins.
const BEGINS: TimeDelta = TimeDelta::milliseconds(500);

/// What the lines so far have said.
#[derive(Debug, Default)]
pub(super) struct Advertisements {
    /// True iff an `EXT-X-SCTE35-OUT` waits for its `-IN`.
    pub(super) in_break: bool,
    /// So many segments stand before the first SCTE-35 mark.
    pub(super) first_mark: Option<usize>,
    /// From when to when.
    ranges: Vec<(DateTime<Utc>, DateTime<Utc>)>,
    /// Those whose end nobody told: they go on to the next discontinuity. Behind how many
    /// segments the line stands, and from when.
    open: Vec<(usize, DateTime<Utc>)>,
}

impl Advertisements {
    /// Takes an SCTE-35 mark behind so many segments.
    pub(super) fn mark_break(&mut self, begins: bool, segments: usize) {
        self.in_break = begins;
        self.first_mark.get_or_insert(segments);
    }

    /// Takes a date range behind so many segments; what is wrong with it.
    pub(super) fn date_range(
        &mut self,
        attributes: Attributes<'_>,
        segments: usize,
    ) -> Result<(), String> {
        if attributes.get("CLASS") != Some(AD_CLASS) {
            return Ok(());
        }
        let date = |name| dateutil::parse(attributes.get(name)?).ok();
        let no_start = || format!("a date range of class {AD_CLASS} has no START-DATE");
        let start = date("START-DATE").ok_or_else(no_start)?;
        let duration = attributes
            .get("DURATION")
            .and_then(|d| d.parse::<SegmentDuration>().ok());
        let after = |duration: SegmentDuration| {
            start.checked_add_signed(TimeDelta::microseconds(duration.micros()))
        };
        match date("END-DATE").or_else(|| duration.and_then(after)) {
            Some(end) => self.ranges.push((start, end)),
            None => self.open.push((segments, start)),
        }
        Ok(())
    }

    /// Marks the segments that date ranges say are advertisements. The ranges may stand anywhere
    /// in the list: they are applied when all are known, to the dates that the list itself gives
    /// or implies.
    pub(super) fn apply(&self, segments: &mut [Arc<Listed>]) {
        if self.ranges.is_empty() && self.open.is_empty() {
            return;
        }
        let starts = starts(segments);
        for (segment, start) in segments.iter_mut().zip(&starts) {
            // What begins in an advertisement is one.
            let is_in = |start: DateTime<Utc>| {
                let is_in = |(from, to): &(_, _)| *from - SLACK <= start && start < *to - SLACK;
                self.ranges.iter().any(is_in)
            };
            if start.is_some_and(is_in) {
                mark(segment);
            }
        }
        for &(line, from) in &self.open {
            for (segment, start) in segments.iter_mut().zip(&starts).skip(line) {
                if segment.discontinuity && start.is_none_or(|start| start > from + BEGINS) {
                    break;
                }
                // What the list shows before the range begins is the show.
                if start.is_none_or(|start| start >= from - SLACK) {
                    mark(segment);
                }
            }
        }
    }
}

fn mark(segment: &mut Arc<Listed>) {
    if !segment.advertisement {
        Arc::make_mut(segment).advertisement = true;
    }
}

/// When each segment starts by the dates before it in the list, if there is one.
fn starts(segments: &[Arc<Listed>]) -> Vec<Option<DateTime<Utc>>> {
    let mut next: Option<DateTime<Utc>> = None;
    let start = |segment: &Arc<Listed>| {
        let start = segment.date.or(next);
        let duration = TimeDelta::microseconds(segment.duration.micros());
        next = start.and_then(|start| start.checked_add_signed(duration));
        start
    };
    segments.iter().map(start).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Playlist, read};
    use super::*;

    #[test]
    fn an_advertisement_that_is_yet_to_come_is_none_yet() {
        let list = |range: &str, discontinuity: usize| {
            let mut text =
                format!("#EXTM3U\n#EXT-X-DATERANGE:CLASS=\"twitch-stitched-ad\",{range}\n");
            for n in 0..6 {
                let second = 2 * n;
                text.push_str(
                    &format!("#EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:00:0{second}Z\n")
                        .replace(":010Z", ":10Z"),
                );
                text.push_str(if n == discontinuity {
                    "#EXT-X-DISCONTINUITY\n"
                } else {
                    ""
                });
                text.push_str(&format!("#EXTINF:2,\n{n}.ts\n"));
            }
            let base = "http://h/index.m3u8".parse().unwrap();
            let Playlist::Media(list) = read(text.as_bytes(), &base).unwrap() else {
                panic!("a master playlist");
            };
            let mark = |s: &Arc<Listed>| if s.advertisement { 'a' } else { '.' };
            list.segments.iter().map(mark).collect::<String>()
        };
        for (start, discontinuity, expected) in [
            // From the segment that starts then; a discontinuity there is where it begins.
            ("03:00:04Z", 9, "..aaaa"),
            ("03:00:04Z", 2, "..aaaa"),
            ("03:00:04Z", 4, "..aa.."),
            ("03:01:00Z", 9, "......"),
            // Long past: to the discontinuity that ended it.
            ("02:59:00Z", 3, "aaa..."),
            ("02:59:00Z", 0, "......"),
        ] {
            let range = format!("START-DATE=\"2026-01-02T{start}\"");
            assert_eq!(
                list(&range, discontinuity),
                expected,
                "{range} {discontinuity}"
            );
            let known = format!("{range},DURATION=4");
            let expected = if start == "03:00:04Z" {
                "..aa.."
            } else {
                "......"
            };
            assert_eq!(list(&known, discontinuity), expected, "{known}");
        }
    }
}
