//! The lines of one hour's segments in a media playlist, as text and compressed.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use common::names::{Channel, Quality};
use common::segment::{Hour, Segment};
use percent_encoding::utf8_percent_encode;

use super::IN_PATH;
use super::through::Through;
use crate::gzip::Block;

/// So many segments are compressed together: a block's start costs some hundred bytes, and one
/// that is not taken in whole has to be compressed again.
const BLOCK: usize = 128;

/// The best segments of one hour and their lines in a media playlist.
#[derive(Debug)]
pub struct HourLines {
    hour: Hour,
    /// In order of time.
    segments: Vec<Segment>,
    /// The lines of all segments, one segment after the other.
    text: Bytes,
    /// Where each segment's lines end in `text`; as many as there are segments.
    ends: Vec<usize>,
    /// Of `text`: the same iff the text is the same, as good as certainly.
    digest: u64,
    /// How a walk passes through the hour.
    through: Option<Through>,
    /// The lines of `BLOCK` segments each, the last one of what is left; compressed when
    /// somebody first asks for that.
    blocks: Vec<OnceLock<Block>>,
    /// What `blocks` take, in bytes.
    compressed: AtomicUsize,
    /// True iff `compressed` has grown since somebody asked.
    has_grown: AtomicBool,
}

impl HourLines {
    /// Writes the lines of the best segments of an hour, which are in order of time. `before` is
    /// what they were before: where nothing has changed, its lines are taken over.
    #[must_use]
    pub fn new(
        channel: &Channel,
        quality: &Quality,
        hour: Hour,
        segments: Vec<Segment>,
        before: Option<&HourLines>,
    ) -> HourLines {
        let mut blocks = Vec::new();
        let mut text = Vec::new();
        let mut ends = Vec::with_capacity(segments.len());
        if let Some(before) = before {
            let pairs = segments.iter().zip(&before.segments);
            let same = pairs.take_while(|(new, old)| new == old).count();
            ends.extend_from_slice(&before.ends[..same]);
            text.extend_from_slice(&before.text[..before.end(same)]);
            blocks.extend_from_slice(&before.blocks[..same / BLOCK]);
        }
        let writer = Writer::new(channel, quality, hour);
        for segment in &segments[ends.len()..] {
            writer.write(segment, &mut text);
            if ends.is_empty() {
                // The lines of one hour are much alike: two steps of growth instead of twenty.
                text.reserve_exact((text.len() + 8) * segments.len());
            }
            ends.push(text.len());
        }
        text.shrink_to_fit();
        blocks.resize_with(segments.len().div_ceil(BLOCK), OnceLock::new);
        let compressed = blocks.iter().filter_map(OnceLock::get).map(Block::bytes);
        HourLines {
            hour,
            digest: digest(&text),
            compressed: compressed.sum::<usize>().into(),
            has_grown: false.into(),
            through: Through::new(&segments),
            segments,
            text: text.into(),
            ends,
            blocks,
        }
    }

    /// The hour.
    #[must_use]
    pub fn hour(&self) -> Hour {
        self.hour
    }

    /// The segments, in order of time.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// What tells these lines from any others.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// What tells the lines of the segments `from..to` from any others, wherever in their hour
    /// they stand.
    pub(super) fn digest_of(&self, from: usize, to: usize) -> u64 {
        if from == 0 && to == self.segments.len() {
            return self.digest;
        }
        let compute = || digest(&self.text[self.end(from)..self.end(to)]);
        let stretch = self.through.as_ref().and_then(|it| it.stretch(from, to));
        stretch.map_or_else(compute, |stretch| stretch.digest(compute))
    }

    /// What a walk takes of the hour if it takes its first segment and its range ends after all that
    /// it takes; `None` if that is not known.
    pub(super) fn through(&self) -> Option<&Through> {
        self.through.as_ref()
    }

    /// What else decides which bytes these lines are compressed to: where blocks begin in them, and
    /// whether one ends with them.
    pub(super) fn layout(&self, from: usize, to: usize) -> (usize, bool) {
        let ends_block = to.is_multiple_of(BLOCK) || to == self.segments.len();
        (from % BLOCK, ends_block)
    }

    /// The memory that it takes now, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.text.len()
            + self.compressed.load(Ordering::Relaxed)
            + self.segments.capacity() * size_of::<Segment>()
            + self.ends.capacity() * size_of::<usize>()
            + self.blocks.capacity() * size_of::<OnceLock<Block>>()
            + self.through.as_ref().map_or(0, Through::bytes)
    }

    /// True iff it takes more memory than when this was last asked.
    pub(crate) fn has_grown(&self) -> bool {
        self.has_grown.load(Ordering::Relaxed) && self.has_grown.swap(false, Ordering::Relaxed)
    }

    /// Where the lines of the first `count` segments end.
    fn end(&self, count: usize) -> usize {
        count.checked_sub(1).map_or(0, |last| self.ends[last])
    }

    /// The lines of the segments `from..to`, without a copy.
    pub(super) fn lines(&self, from: usize, to: usize) -> Bytes {
        self.text.slice(self.end(from)..self.end(to))
    }

    /// The compressed lines of the segments from `from` on, if a block begins there and ends
    /// before `to`; and where it ends.
    pub(super) fn block(&self, from: usize, to: usize) -> Option<(&Block, usize)> {
        let end = (from + BLOCK).min(self.segments.len());
        if !from.is_multiple_of(BLOCK) || from == end || end > to {
            return None;
        }
        let block = self.blocks[from / BLOCK].get_or_init(|| {
            let block = Block::new(&self.lines(from, end));
            self.compressed.fetch_add(block.bytes(), Ordering::Relaxed);
            self.has_grown.store(true, Ordering::Relaxed);
            block
        });
        Some((block, end))
    }

    /// Where the next block begins after `from`.
    pub(super) fn next_block(from: usize) -> usize {
        (from + 1).next_multiple_of(BLOCK)
    }

    /// Where some of the segments `from..to` of `other`, an hour's lines at another time, begin here:
    /// those up to the index given stand here with the same lines, one after the other, or none of
    /// them does.
    pub(super) fn find(&self, other: &HourLines, from: usize, to: usize) -> (Option<usize>, usize) {
        let place = |index: usize| {
            let start = other.segments[index].start_micros();
            self.segments.partition_point(|s| s.start_micros() < start)
        };
        let is_at = |place: usize, index: usize, count: usize| {
            place + count <= self.segments.len()
                && self.lines(place, place + count) == other.lines(index, index + count)
        };
        let first = place(from);
        // Mostly all of them do.
        if is_at(first, from, to - from) {
            return (Some(first), to);
        }
        let is_there = is_at(first, from, 1);
        let mut next = (from + 1..to).skip_while(|&index| match is_there {
            true => is_at(first + (index - from), index, 1),
            false => !is_at(place(index), index, 1),
        });
        (is_there.then_some(first), next.next().unwrap_or(to))
    }

    /// The lines of the segments `from..to` alone, in memory of their own.
    pub(super) fn part(&self, from: usize, to: usize) -> HourLines {
        let (start, end) = (self.end(from), self.end(to));
        let segments = self.segments[from..to].to_vec();
        let text = Bytes::copy_from_slice(&self.text[start..end]);
        let mut blocks = Vec::new();
        blocks.resize_with(segments.len().div_ceil(BLOCK), OnceLock::new);
        HourLines {
            hour: self.hour,
            digest: digest(&text),
            compressed: 0.into(),
            has_grown: false.into(),
            through: Through::new(&segments),
            segments,
            text,
            ends: self.ends[from..to].iter().map(|end| end - start).collect(),
            blocks,
        }
    }
}

pub(super) fn digest(text: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// Writes lines of an hour.
struct Writer {
    hour: Hour,
    hour_name: String,
    /// Of each segment, up to its name.
    path: String,
}

impl Writer {
    fn new(channel: &Channel, quality: &Quality, hour: Hour) -> Writer {
        let hour_name = hour.to_string();
        let path = format!(
            "/segments/{}/{}/{}/",
            utf8_percent_encode(channel.as_str(), IN_PATH),
            utf8_percent_encode(quality.as_str(), IN_PATH),
            utf8_percent_encode(&hour_name, IN_PATH),
        );
        Writer {
            hour,
            hour_name,
            path,
        }
    }

    fn write(&self, segment: &Segment, text: &mut Vec<u8>) {
        let offset = segment.start_micros() - self.hour.start_micros();
        let (seconds, micros) = (offset / 1_000_000, offset % 1_000_000);
        let (minute, second) = (seconds / 60, seconds % 60);
        let millis = millis(segment);
        let (whole, fraction) = (millis / 1000, millis % 1000);
        let mut lines = String::with_capacity(256);
        let name = segment.to_string();
        // Writing to a string cannot fail.
        let _ = writeln!(
            lines,
            "#EXT-X-PROGRAM-DATE-TIME:{}:{minute:02}:{second:02}.{micros:06}Z\n\
             #EXTINF:{whole}.{fraction:03},live\n\
             {}{}",
            self.hour_name,
            self.path,
            utf8_percent_encode(&name, IN_PATH)
        );
        text.extend_from_slice(lines.as_bytes());
    }
}

/// A segment's duration in milliseconds, to the nearest, as `EXTINF` gives it.
pub(super) fn millis(segment: &Segment) -> u64 {
    // A duration is never negative.
    let micros = u64::try_from(segment.duration().micros()).unwrap_or(0);
    (micros + 500) / 1000
}
