//! What a media playlist holds.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use common::segment::SegmentDuration;
use url::Url;

use super::Problems;

/// A list that brought nothing new so many times may be a leftover: what little it shows is no
/// reason to look at it several times a second for ever (RFC 8216 §6.3.4).
const STANDS_STILL: u32 = 10;

/// Part of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ByteRange {
    /// The first byte.
    pub offset: u64,
    /// So many bytes; at least one.
    pub length: u64,
}

/// What has to go in front of a segment (`EXT-X-MAP`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct InitSection {
    /// Where it is.
    pub url: Url,
    /// Which part of it.
    pub range: Option<ByteRange>,
    /// How it is encrypted: by the `EXT-X-KEY` that stands before it.
    pub encryption: Option<Arc<Encryption>>,
}

/// How a segment is encrypted (`EXT-X-KEY`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Encryption {
    /// `AES-128`, `SAMPLE-AES` …
    pub method: String,
    /// Where the key is.
    pub key: Option<Url>,
    /// The initialization vector, if it is not the sequence number.
    pub iv: Option<u128>,
    /// `identity` or another format.
    pub format: String,
}

/// A segment in the list.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// Its media sequence number.
    pub sequence: u64,
    /// Where it is; shared with whoever fetches it.
    pub url: Arc<Url>,
    /// Which part of it.
    pub range: Option<ByteRange>,
    /// A hash of the two: what one request would fetch. Made once, since it is compared often.
    pub place: u64,
    /// How long it is, exactly as the list says.
    pub duration: SegmentDuration,
    /// When it starts, if the list says so at this segment.
    pub date: Option<DateTime<Utc>>,
    /// True iff `EXT-X-DISCONTINUITY` stands before it.
    pub discontinuity: bool,
    /// True iff the origin says that it does not have it (`EXT-X-GAP`).
    pub gap: bool,
    /// True iff it stands between SCTE-35 marks.
    pub in_break: bool,
    /// True iff it is an advertisement by its title, by a date range, or between SCTE-35 marks.
    pub advertisement: bool,
    /// What goes in front of it.
    pub init: Option<Arc<InitSection>>,
    /// How it is encrypted; `None`: it is not.
    pub encryption: Option<Arc<Encryption>>,
}

/// A media playlist.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MediaPlaylist {
    /// At least as long as every segment, by the origin's word; 0 if it does not say.
    pub target_duration: Duration,
    /// So many discontinuities stood before the first segment, if it says.
    pub discontinuities: Option<u64>,
    /// The segments, oldest first. Lists that follow one another share them.
    pub segments: Vec<Arc<Listed>>,
    /// True iff nothing will be added any more (`EXT-X-ENDLIST`).
    pub ended: bool,
    /// Lines that made no sense.
    pub problems: Problems,
    /// The sequence numbers of segments that are listed in a way that makes no sense, in order.
    pub unreadable: Vec<u64>,
    /// So many segments stand before the first SCTE-35 mark; `None`: there is none. What those
    /// are only an earlier list can say.
    pub first_mark: Option<usize>,
    /// True iff a break between SCTE-35 marks has not ended by the end of the list.
    pub in_break: bool,
    /// How much time it lists.
    pub(super) total: Duration,
}

impl MediaPlaylist {
    /// How much time it lists.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.total
    }

    /// How often it has to be looked at, when it brought nothing new so many times in a row: its
    /// target duration, or what it shows if that is less; 0 if neither is known.
    #[must_use]
    pub fn pace(&self, in_vain: u32) -> Duration {
        let shown = (in_vain < STANDS_STILL).then_some(self.total);
        let known = [Some(self.target_duration), shown];
        let known = known.into_iter().flatten().filter(|time| !time.is_zero());
        known.min().unwrap_or_default()
    }
}

/// A hash of where something is, and which part of it.
pub(crate) fn place(url: &Url, range: Option<ByteRange>) -> u64 {
    let mut hasher = DefaultHasher::new();
    (url.as_str(), range).hash(&mut hasher);
    hasher.finish()
}
