//! A segment of a live stream: before it is pushed, and as it was published.

use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::content;

/// A segment to be pushed.
#[derive(Debug, Clone)]
pub struct NewSegment {
    pub(super) duration: String,
    pub(super) content: Bytes,
    pub(super) title: String,
    pub(super) tags: Vec<String>,
    pub(super) discontinuity: bool,
    pub(super) start: Option<DateTime<Utc>>,
    pub(super) name: Option<String>,
    pub(super) served: bool,
}

impl NewSegment {
    /// A segment of a duration, in the very digits that the list shall have.
    #[must_use]
    pub fn new(duration: &str, content: impl Into<Bytes>) -> NewSegment {
        NewSegment {
            duration: duration.to_owned(),
            content: content.into(),
            title: String::new(),
            tags: Vec::new(),
            discontinuity: false,
            start: None,
            name: None,
            served: true,
        }
    }

    /// With a title behind the duration.
    #[must_use]
    pub fn title(mut self, title: &str) -> NewSegment {
        title.clone_into(&mut self.title);
        self
    }

    /// With a line as it stands before it, e.g. `#EXT-X-GAP`.
    #[must_use]
    pub fn tag(mut self, line: &str) -> NewSegment {
        self.tags.push(line.to_owned());
        self
    }

    /// After an `EXT-X-DISCONTINUITY`.
    #[must_use]
    pub fn discontinuity(mut self) -> NewSegment {
        self.discontinuity = true;
        self
    }

    /// Starting then, instead of at the end of the one before it; those after it follow on.
    #[must_use]
    pub fn starting(mut self, start: DateTime<Utc>) -> NewSegment {
        self.start = Some(start);
        self
    }

    /// Under this file name instead of its sequence number.
    #[must_use]
    pub fn named(mut self, name: &str) -> NewSegment {
        self.name = Some(name.to_owned());
        self
    }

    /// Listed, but 404.
    #[must_use]
    pub fn missing(mut self) -> NewSegment {
        self.served = false;
        self
    }
}

/// A segment in the list, or one that was.
#[derive(Debug, Clone)]
pub struct Published {
    /// Its media sequence number.
    pub sequence: u64,
    /// Where it is served.
    pub path: String,
    /// When it starts, by the dates and durations of the list.
    pub start: DateTime<Utc>,
    /// Its duration in the digits of the list.
    pub duration: String,
    /// Its content, without the init section.
    pub content: Bytes,
    /// The init section that applies to it; empty if none.
    pub init: Bytes,
    /// Length and offset within its file, if it is a part of one.
    pub byte_range: Option<(u64, u64)>,
    /// The attributes of the `EXT-X-MAP` that applies to it.
    pub(super) map: Option<String>,
    pub(super) title: String,
    pub(super) tags: Vec<String>,
    pub(super) discontinuity: bool,
    pub(super) jump: bool,
    pub(super) first: bool,
}

impl Published {
    /// What is to be on disk: the init section, then the content.
    #[must_use]
    pub fn stored(&self) -> Bytes {
        [self.init.as_ref(), self.content.as_ref()].concat().into()
    }

    /// Where it is to be, below `CHANNEL/QUALITY/` (SPEC §2): `HOUR/NAME` as a `full` segment.
    #[must_use]
    pub fn file(&self) -> String {
        format!(
            "{}-{}-full-{}.ts",
            self.start.format("%Y-%m-%dT%H/%M:%S%.6f"),
            content::duration_in_name(&self.duration),
            content::sha256_base64(&self.stored())
        )
    }
}
