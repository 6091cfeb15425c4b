//! The sound that goes with the pictures that are taken, to the nearest frame.

use crate::mpegts::audio;
use crate::mpegts::demux::Unit;
use crate::mpegts::time::TICKS_A_SECOND;

use super::assembly::Edges;
use super::reel::{Choice, Reel};

/// Sound that is missing for longer than that is looked for, in ticks: 1/90 s, half a frame.
const SOUND_GAP: i64 = TICKS_A_SECOND / 90;

impl Reel {
    /// Whether sound is missing at either edge, which the segments before or after may have.
    pub(super) fn lacks_sound(&self, choice: &Choice, edges: Edges) -> (bool, bool) {
        let (from, until) = self.sound_span(choice, edges);
        let units = self
            .footages
            .iter()
            .flat_map(|footage| &footage.media.units);
        let sound = units.filter(|unit| unit.codec.is_audio());
        let (mut first, mut last) = (None::<i64>, None::<i64>);
        for unit in sound {
            let frames = audio::frames(unit.codec, unit.payload()).unwrap_or_default();
            let ends = frames.last().map_or(0, |frame| frame.after + frame.ticks);
            first = Some(first.map_or(unit.pts, |first| first.min(unit.pts)));
            last = Some(last.map_or(unit.pts + ends, |last| last.max(unit.pts + ends)));
        }
        (
            edges.begins && first.is_some_and(|first| first > from + SOUND_GAP),
            edges.ends && last.is_some_and(|last| last < until - SOUND_GAP),
        )
    }

    /// Whether a segment has sound from before the first picture that is chosen: streams are in
    /// the order of decoding, and pictures may be decoded long before they are shown.
    pub(super) fn has_sound_before(&self, choice: &Choice, footage: usize) -> bool {
        let Some((from, _)) = self.span(choice) else {
            return false;
        };
        let units = &self.footages[footage].media.units;
        let mut sound = units.iter().filter(|unit| unit.codec.is_audio());
        sound.any(|unit| unit.pts < from)
    }

    /// The frame of a stream that is heard in the middle of a span which is shorter than a frame.
    pub(super) fn nearest_sound(&self, pid: u16, from: i64, until: i64) -> Option<Unit> {
        let middle = from.checked_add(until.checked_sub(from)? / 2)?;
        let media = self.footages.iter().map(|footage| &footage.media);
        let mut units = media.flat_map(|media| media.of(pid));
        units.find_map(|unit| {
            let frames = audio::frames(unit.codec, unit.payload())?;
            let mut frames = frames
                .iter()
                .map(|frame| unit.pts + frame.after..unit.pts + frame.after + frame.ticks);
            let heard = frames.find(|heard| heard.contains(&middle))?;
            clip(unit, heard.start, heard.end)
        })
    }

    /// From when until when sound is taken, in ticks.
    pub(super) fn sound_span(&self, choice: &Choice, edges: Edges) -> (i64, i64) {
        let (first, last) = (self.first(), self.last());
        let (mut from, mut until) = match self.pictures.is_empty() {
            true => (first.pts(edges.from), last.pts(edges.until)),
            // Without a picture, nothing is heard either.
            false => self.span(choice).unwrap_or((0, 0)),
        };
        // But for a segment at the edge in which all pictures are missing.
        if first.lacks_pictures() {
            from = first.pts(edges.from);
        }
        if last.lacks_pictures() {
            until = last.pts(edges.until);
        }
        (
            if edges.begins { from } else { i64::MIN },
            if edges.ends { until } else { i64::MAX },
        )
    }
}

/// The part of a unit that is in `from..until`, to the nearest frame of sound. What is not known
/// to consist of frames is taken whole or not at all.
pub(in crate::cut) fn clip(unit: &Unit, from: i64, until: i64) -> Option<Unit> {
    let frames = audio::frames(unit.codec, unit.payload()).unwrap_or_default();
    let is_in = |after: i64, ticks: i64| {
        let middle = unit.pts + after + ticks / 2;
        (from..until).contains(&middle)
    };
    let Some(last) = frames.last() else {
        return is_in(0, 0).then(|| unit.clone());
    };
    let is_first_in = is_in(frames[0].after, frames[0].ticks);
    if is_first_in && is_in(last.after, last.ticks) {
        return Some(unit.clone());
    }
    let mut taken = frames
        .iter()
        .filter(|frame| is_in(frame.after, frame.ticks));
    let first = taken.next()?;
    let end = taken.next_back().unwrap_or(first).range.end;
    let mut clipped = unit.clone();
    clipped.pts += first.after;
    clipped.dts = clipped.pts;
    let bytes = clipped.payload_mut();
    bytes.truncate(end);
    bytes.drain(..first.range.start);
    Some(clipped)
}
