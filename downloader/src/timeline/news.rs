//! What a list brings.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use common::segment::SegmentDuration;
use url::Url;

use super::dates::after;
use crate::playlist::{ByteRange, Encryption, InitSection};

/// A segment to be recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// Its media sequence number, as its list has it.
    pub sequence: u64,
    /// Where it is.
    pub url: Arc<Url>,
    /// Which part of it.
    pub range: Option<ByteRange>,
    /// A hash of the two, for those who only compare: very many are held, with long URLs.
    pub place: u64,
    /// When it starts.
    pub start: DateTime<Utc>,
    /// How long it is.
    pub duration: SegmentDuration,
    /// What goes in front of it.
    pub init: Option<Arc<InitSection>>,
    /// How it is encrypted.
    pub encryption: Option<Arc<Encryption>>,
    /// True iff a discontinuity or a restart of the encoder is between it and what was wanted
    /// before, or nobody saw what is: what it needs may have changed under its name.
    pub discontinuity: bool,
    /// True iff its list has a date: else it is only near [`Wanted::start`], by what came before.
    pub dated: bool,
    /// True iff the dates have begun again: what is recorded of this date may be another segment.
    pub again: bool,
}

#[cfg(test)]
impl Wanted {
    /// A plain one of 2 s, there.
    pub(crate) fn of(url: &str) -> Wanted {
        let url = Arc::new(url.parse().unwrap());
        Wanted {
            sequence: 0,
            place: crate::playlist::place(&url, None),
            url,
            range: None,
            start: DateTime::UNIX_EPOCH,
            duration: SegmentDuration::from_secs(2.0).unwrap(),
            init: None,
            encryption: None,
            discontinuity: false,
            dated: true,
            again: false,
        }
    }
}

impl Wanted {
    /// When it ends; the end of time if that lies past it.
    #[must_use]
    pub fn end(&self) -> DateTime<Utc> {
        after(self.start, self.duration)
    }
}

/// What a list brought.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct News {
    /// Segments to record, oldest first.
    pub wanted: Vec<Wanted>,
    /// New advertisements, which are not recorded.
    pub advertisements: usize,
    /// New segments that the origin says it does not have (`EXT-X-GAP`), by sequence number.
    pub gaps: Vec<u64>,
    /// So many new segments are listed in a way that makes no sense.
    pub unreadable: u64,
    /// So many segments left the list between this one and the one before: nobody saw them.
    pub missed: u64,
    /// The sequence numbers began again: the encoder was restarted.
    pub restarted: bool,
    /// The first date that jumped, and by how much; none in a first list.
    pub skew: Option<Skew>,
    /// No date was ever seen: this machine's clock stands in, and other nodes will not agree.
    pub by_our_clock: bool,
    /// True iff the list holds a segment, new or not, that is no advertisement and no gap.
    pub has_show: bool,
    /// When the last segment of the list ends, new or not.
    pub end: Option<DateTime<Utc>>,
    /// The list is behind, with names and dates that were there before: an old one, or one of an
    /// encoder that has begun again with both. What this segment holds now tells which; if it is
    /// something else, [`super::Timeline::begin_again`] is to be told.
    pub doubted: Option<Wanted>,
}

/// A date that differs from what was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skew {
    /// The date.
    pub start: DateTime<Utc>,
    /// By how much it is later than expected.
    pub difference: TimeDelta,
}

/// The newest segment of all lists so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Newest {
    /// Its media sequence number.
    pub sequence: u64,
    /// When it ends.
    pub end: DateTime<Utc>,
}
