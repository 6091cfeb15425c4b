//! Writes playlists (SPEC §4, RFC 8216). Pure: what there is comes in, text goes out.
//!
//! The lines of an hour are written once, when it is listed ([`HourLines`]); a playlist is
//! made of slices of them, so that one for a day costs little more than the walk over it.

mod pieces;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use common::names::{Channel, Quality};
use common::segment::{Hour, Segment};
use common::selection::{Piece, TimeRange, select};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use self::pieces::Pieces;

/// The content type of playlists.
pub const CONTENT_TYPE: &str = "application/vnd.apple.mpegurl";

/// The target duration of a list without segments, in seconds: how often a player looks for
/// the first one.
const EMPTY_TARGET_SECONDS: u64 = 2;

/// What a part of a URL's path may hold as it is (RFC 3986 §2.3, the unreserved characters).
/// A `:` could stay too, but not every player tells it from a scheme's.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The best segments of one hour and their lines in a media playlist.
#[derive(Debug)]
pub struct HourLines {
    /// In order of time.
    segments: Vec<Segment>,
    /// The lines of all segments, one segment after the other.
    text: Bytes,
    /// Where each segment's lines end in `text`; as many as there are segments.
    ends: Vec<usize>,
    /// Of `text`: the same iff the text is the same, as good as certainly.
    digest: u64,
}

impl HourLines {
    /// Writes the lines of the best segments of an hour, which are in order of time.
    #[must_use]
    pub fn new(
        channel: &Channel,
        quality: &Quality,
        hour: Hour,
        segments: Vec<Segment>,
    ) -> HourLines {
        let hour_name = hour.to_string();
        let path = format!(
            "/segments/{}/{}/{}/",
            utf8_percent_encode(channel.as_str(), IN_PATH),
            utf8_percent_encode(quality.as_str(), IN_PATH),
            utf8_percent_encode(&hour_name, IN_PATH),
        );
        let mut text = String::new();
        let mut name = String::new();
        let mut ends = Vec::with_capacity(segments.len());
        for segment in &segments {
            let offset = segment.start_micros() - hour.start_micros();
            let (seconds, micros) = (offset / 1_000_000, offset % 1_000_000);
            let (minute, second) = (seconds / 60, seconds % 60);
            let millis = millis(segment);
            let (whole, fraction) = (millis / 1000, millis % 1000);
            name.clear();
            // Writing to a string cannot fail.
            let _ = write!(name, "{segment}");
            let _ = writeln!(
                text,
                "#EXT-X-PROGRAM-DATE-TIME:{hour_name}:{minute:02}:{second:02}.{micros:06}Z\n\
                 #EXTINF:{whole}.{fraction:03},live\n\
                 {path}{}",
                utf8_percent_encode(&name, IN_PATH)
            );
            if ends.is_empty() {
                // The lines of one hour are much alike: two steps of growth instead of twenty.
                text.reserve_exact((text.len() + 8) * segments.len());
            }
            ends.push(text.len());
        }
        text.shrink_to_fit();
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        HourLines {
            digest: hasher.finish(),
            segments,
            text: text.into(),
            ends,
        }
    }

    /// The segments, in order of time.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The memory that it takes, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.text.len()
            + self.segments.capacity() * size_of::<Segment>()
            + self.ends.capacity() * size_of::<usize>()
    }

    /// The lines of the segments `from..to`, without a copy.
    fn lines(&self, from: usize, to: usize) -> Bytes {
        let end = |index: usize| index.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.text.slice(end(from)..end(to))
    }
}

/// A segment's duration in milliseconds, to the nearest, as `EXTINF` gives it.
fn millis(segment: &Segment) -> u64 {
    // A duration is never negative.
    let micros = u64::try_from(segment.duration().micros()).unwrap_or(0);
    (micros + 500) / 1000
}

/// What tells the hours of a playlist from other ones, or from themselves at another time:
/// with the same range and digests, [`media_playlist`] writes the same.
#[must_use]
pub fn digests(hours: &[Arc<HourLines>]) -> Vec<u64> {
    hours.iter().map(|hour| hour.digest).collect()
}

/// Writes the media playlist of a range, in pieces to be sent one after the other.
///
/// `hours` are those from the hour before the range's start through the hour of its end, in
/// order of time; those that do not exist may be left out.
///
/// There is no `EXT-X-PLAYLIST-TYPE`: replication may still add to the past, so neither `EVENT`
/// nor `VOD` would be true.
#[must_use]
pub fn media_playlist(range: TimeRange, hours: &[Arc<HourLines>]) -> Vec<Bytes> {
    let all = hours.iter().flat_map(|hour| hour.segments.iter());
    let selection = select(range, all);
    let mut body = Body::new(hours);
    let mut after_hole = false;
    for piece in selection.pieces() {
        match piece {
            Piece::Hole(_) => after_hole = true,
            Piece::Segment(segment) => {
                body.take(segment, after_hole);
                after_hole = false;
            }
        }
    }
    body.end(!selection.ends_with_hole())
}

/// The list of segments under way: runs of segments that follow each other in the same hour
/// become one slice of that hour's text.
struct Body<'a> {
    hours: &'a [Arc<HourLines>],
    /// Where the next segment is looked for: an hour, and an index in it.
    at: (usize, usize),
    /// The run's first segment, in the hour of `at`; the run ends before the index of `at`.
    run_start: usize,
    pieces: Pieces,
    longest_millis: u64,
    empty: bool,
}

impl<'a> Body<'a> {
    fn new(hours: &'a [Arc<HourLines>]) -> Body<'a> {
        Body {
            hours,
            at: (0, 0),
            run_start: 0,
            pieces: Pieces::default(),
            longest_millis: 0,
            empty: true,
        }
    }

    /// Adds a segment of `hours`, later than those before it.
    fn take(&mut self, segment: &Segment, after_hole: bool) {
        if after_hole {
            self.flush();
            if !self.empty {
                self.pieces.push_text("#EXT-X-DISCONTINUITY\n");
            }
        }
        while let Some(hour) = self.hours.get(self.at.0) {
            match hour.segments.get(self.at.1) {
                // The selection refers to the very segments that we gave it.
                Some(here) if std::ptr::eq(here, segment) => {
                    self.at.1 += 1;
                    break;
                }
                Some(_) => {
                    self.flush();
                    self.at.1 += 1;
                    self.run_start = self.at.1;
                }
                None => {
                    self.flush();
                    self.at = (self.at.0 + 1, 0);
                    self.run_start = 0;
                }
            }
        }
        self.longest_millis = self.longest_millis.max(millis(segment));
        self.empty = false;
    }

    /// Ends the run.
    fn flush(&mut self) {
        let (hour, index) = self.at;
        if let Some(hour) = self.hours.get(hour)
            && self.run_start < index
        {
            self.pieces.push(hour.lines(self.run_start, index));
            self.run_start = index;
        }
    }

    /// The whole playlist.
    fn end(mut self, complete: bool) -> Vec<Bytes> {
        self.flush();
        if complete {
            self.pieces.push_text("#EXT-X-ENDLIST\n");
        }
        let target = if self.empty {
            EMPTY_TARGET_SECONDS
        } else {
            // At least as long as any segment, and no segment rounds to more (RFC 8216 §4.3.3.1).
            self.longest_millis.div_ceil(1000).max(1)
        };
        let head = format!(
            "#EXTM3U\n\
             #EXT-X-VERSION:3\n\
             #EXT-X-TARGETDURATION:{target}\n\
             #EXT-X-MEDIA-SEQUENCE:0\n"
        );
        self.pieces.after(head)
    }
}

/// One quality in a master playlist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// The quality.
    pub quality: Quality,
    /// Its peak bit rate, in bits a second.
    pub bandwidth: u64,
}

/// Writes the master playlist of a channel: the qualities in the order given, each with the
/// query of the request.
#[must_use]
pub fn master_playlist(channel: &Channel, variants: &[Variant], query: Option<&str>) -> String {
    let mut text = "#EXTM3U\n#EXT-X-VERSION:4\n".to_owned();
    for Variant { quality, bandwidth } in variants {
        // A quoted string cannot hold a quotation mark (RFC 8216 §4.2).
        let name = quality.as_str().replace('"', "'");
        let query = query.map_or_else(String::new, |query| format!("?{query}"));
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "#EXT-X-MEDIA:TYPE=VIDEO,GROUP-ID=\"{name}\",NAME=\"{name}\",AUTOSELECT=YES,DEFAULT=YES\n\
             #EXT-X-STREAM-INF:BANDWIDTH={bandwidth},VIDEO=\"{name}\",NAME=\"{name}\"\n\
             /playlist/{}/{}.m3u8{query}",
            utf8_percent_encode(channel.as_str(), IN_PATH),
            utf8_percent_encode(quality.as_str(), IN_PATH),
        );
    }
    text
}
