//! Stretches of time without a hole.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use common::segment::{Segment, SegmentType};

use crate::footage::Footage;
use crate::mpegts::TsError;
use crate::mpegts::demux::Damage;
use crate::mpegts::retime::mended;

/// A segment's file.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// What its name says.
    pub(crate) segment: Segment,
}

impl Source {
    /// Takes its content apart. What its name says to be cut short may end anywhere. If its clock jumps in
    /// the middle, content is given that does not, and if pictures in it say no time, content in which all
    /// do.
    ///
    /// # Errors
    /// As [`Footage::read`].
    pub(crate) fn take_apart(&self, mut content: Vec<u8>) -> Result<(Vec<u8>, Footage), TsError> {
        let damage = match self.segment.kind() {
            SegmentType::Full => Damage::Fails,
            _ => Damage::IsSkipped,
        };
        let read = |content: &[u8]| Footage::read(content, self.segment.start(), damage);
        let mut footage = read(&content)?;
        if footage.media.has_given_times {
            content = footage.media.packets();
            footage = read(&content)?;
        }
        Ok(match mended(&content, &footage.media) {
            None => (content, footage),
            Some(mended) => {
                tracing::debug!(file = %self.path.display(), "its clock jumps in the middle");
                let footage = read(&mended)?;
                (mended, footage)
            }
        })
    }
}

/// A stretch of time that segments cover without a hole.
#[derive(Debug, Clone)]
pub(crate) struct Stretch {
    /// The segments, in order of time; at least one.
    pub(crate) sources: Vec<Source>,
    /// The instant from which on pictures are wanted; may be before the first segment.
    pub(crate) from: DateTime<Utc>,
    /// The instant before which they are; may be after the last segment.
    pub(crate) until: DateTime<Utc>,
    /// Segments right before the first one, in order of time, as far as there are any: pictures
    /// may need others before them.
    pub(crate) before: Vec<Source>,
    /// The segment right after the last one: some sound that belongs to the last pictures may be
    /// in it.
    pub(crate) after: Option<Source>,
}
