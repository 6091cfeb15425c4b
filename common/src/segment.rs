//! The typed segment: names and paths of SPEC §2, parsed and written exact to the byte.
//! No I/O here, and no general date parser: a listing of a day is 43,200 names.

mod duration;
mod hour;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use uuid::Uuid;

pub use duration::SegmentDuration;
pub use hour::Hour;

use crate::names::{Channel, PathPart, Quality};

/// A segment is no larger, in bytes: one of 20 s at 100 Mbit/s has half of it. What is larger is neither
/// recorded, nor fetched from a peer, nor cut.
pub const MAX_BYTES: u64 = 512 << 20;

/// Characters of a SHA-256 in unpadded base64.
const HASH_CHARACTERS: usize = 43;

/// Microseconds in an hour.
const HOUR_MICROS: u32 = 3_600_000_000;

/// Why a name is not a segment's name (SPEC §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SegmentNameError {
    /// It does not end in `.ts`.
    #[error("it does not end in .ts")]
    Extension,
    /// It has fewer than three `-`.
    #[error("it is not TIME-DURATION-TYPE-HASH")]
    Parts,
    /// The time is not `MM:SS` with 0 to 6 fractional digits.
    #[error("its time is not MM:SS with at most 6 fractional digits")]
    Time,
    /// The duration is not a finite decimal of at least 0.
    #[error("its duration is not a finite decimal of at least 0")]
    Duration,
    /// The type is none of the four.
    #[error("its type is none of full, suspect, partial, temp")]
    Type,
    /// The hash is not a SHA-256 in URL-safe base64 (or a UUID, for `temp`).
    #[error("its hash is neither a SHA-256 in unpadded URL-safe base64 nor, for temp, a UUID")]
    Hash,
    /// The hour is not `YYYY-MM-DDTHH`.
    #[error("its hour is not YYYY-MM-DDTHH")]
    Hour,
    /// The path is not `CHANNEL/QUALITY/HOUR/NAME` with valid parts.
    #[error("its path is not CHANNEL/QUALITY/HOUR/NAME")]
    Path,
}

/// How much a segment can be trusted (SPEC §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SegmentType {
    /// Being written; may vanish at any moment; nobody selects, serves or replicates it.
    Temp,
    /// Known to be cut short.
    Partial,
    /// Looks complete, but there is a reason to doubt it.
    Suspect,
    /// Complete.
    Full,
}

impl SegmentType {
    /// The word in the name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            SegmentType::Full => "full",
            SegmentType::Suspect => "suspect",
            SegmentType::Partial => "partial",
            SegmentType::Temp => "temp",
        }
    }

    fn parse(text: &[u8]) -> Result<SegmentType, SegmentNameError> {
        match text {
            b"full" => Ok(SegmentType::Full),
            b"suspect" => Ok(SegmentType::Suspect),
            b"partial" => Ok(SegmentType::Partial),
            b"temp" => Ok(SegmentType::Temp),
            _ => Err(SegmentNameError::Type),
        }
    }
}

impl fmt::Display for SegmentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The SHA-256 of a file's content; shown as 43 characters of URL-safe base64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentHash([u8; 32]);

impl SegmentHash {
    /// From the digest's 32 bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> SegmentHash {
        SegmentHash(bytes)
    }

    /// The digest's 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn parse(text: &[u8]) -> Result<SegmentHash, SegmentNameError> {
        let mut bytes = [0; 32];
        if text.len() != HASH_CHARACTERS {
            return Err(SegmentNameError::Hash);
        }
        // The engine refuses trailing bits that are not zero, so text and bytes are one to one.
        match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
            Ok(32) => Ok(SegmentHash(bytes)),
            _ => Err(SegmentNameError::Hash),
        }
    }
}

impl FromStr for SegmentHash {
    type Err = SegmentNameError;
    fn from_str(text: &str) -> Result<Self, SegmentNameError> {
        SegmentHash::parse(text.as_bytes())
    }
}

impl fmt::Display for SegmentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; HASH_CHARACTERS];
        match URL_SAFE_NO_PAD.encode_slice(self.0, &mut text) {
            Ok(length) => f.write_str(std::str::from_utf8(&text[..length]).unwrap_or_default()),
            Err(_) => Err(fmt::Error),
        }
    }
}

impl fmt::Debug for SegmentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What the last part of the name says: type and hash belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Content {
    Final(SegmentType, SegmentHash),
    Temp(Uuid),
}

/// One file of a few seconds of video, known by its name and hour alone.
///
/// It displays as its file name: as it was found on disk or at a peer if it was parsed, in
/// the form of SPEC §2 if it was made here.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Segment {
    hour: Hour,
    /// Microseconds from the hour to the start: below [`HOUR_MICROS`].
    offset: u32,
    duration: SegmentDuration,
    content: Content,
    /// The name as it was found: `Some` iff it is not the one that we would write.
    found_as: Option<Box<str>>,
}

impl Segment {
    /// A segment with its final name.
    ///
    /// `kind` must be a final type: for [`SegmentType::Temp`] there is [`Segment::temp`].
    #[must_use]
    pub fn new(
        start: DateTime<Utc>,
        duration: SegmentDuration,
        kind: FinalType,
        hash: SegmentHash,
    ) -> Segment {
        Segment::with_content(start, duration, Content::Final(kind.into(), hash))
    }

    /// A segment that is being written under a name of its own.
    #[must_use]
    pub fn temp(start: DateTime<Utc>, duration: SegmentDuration, uuid: Uuid) -> Segment {
        Segment::with_content(start, duration, Content::Temp(uuid))
    }

    fn with_content(start: DateTime<Utc>, duration: SegmentDuration, content: Content) -> Segment {
        let hour = Hour::of(start);
        let offset =
            (start.timestamp_micros() - hour.start_micros()).clamp(0, i64::from(HOUR_MICROS) - 1);
        Segment {
            hour,
            // Clamped just above: it fits.
            offset: u32::try_from(offset).unwrap_or(0),
            duration,
            content,
            found_as: None,
        }
    }

    /// Reads the name of a file in an hour's directory.
    ///
    /// # Errors
    /// [`SegmentNameError`] says which part of the name is wrong.
    ///
    /// ```
    /// use common::segment::{Hour, Segment, SegmentType};
    /// let hour: Hour = "2026-01-02T03".parse().unwrap();
    /// let name = "04:05.678000-2.0-full-47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU.ts";
    /// let segment = Segment::parse(hour, name).unwrap();
    /// assert_eq!(segment.kind(), SegmentType::Full);
    /// assert_eq!(segment.start().to_rfc3339(), "2026-01-02T03:04:05.678+00:00");
    /// assert_eq!(segment.to_string(), name);
    /// ```
    pub fn parse(hour: Hour, name: &str) -> Result<Segment, SegmentNameError> {
        let stem = name
            .strip_suffix(".ts")
            .ok_or(SegmentNameError::Extension)?;
        let mut parts = stem.splitn(4, '-');
        let mut part = || parts.next().ok_or(SegmentNameError::Parts);
        let (time, duration, kind, hash) = (part()?, part()?, part()?, part()?);
        let (offset, time_as_written) = parse_time(time.as_bytes())?;
        let (duration, duration_as_written) = SegmentDuration::parse_noting_form(duration)?;
        let content = match SegmentType::parse(kind.as_bytes())? {
            SegmentType::Temp => Content::Temp(parse_uuid(hash)?),
            kind => Content::Final(kind, SegmentHash::parse(hash.as_bytes())?),
        };
        let found_as = (!time_as_written || !duration_as_written).then(|| name.into());
        Ok(Segment {
            hour,
            offset,
            duration,
            content,
            found_as,
        })
    }

    /// The hour in which it starts.
    #[must_use]
    pub fn hour(&self) -> Hour {
        self.hour
    }

    /// When its first picture appears.
    #[must_use]
    pub fn start(&self) -> DateTime<Utc> {
        from_micros(self.start_micros())
    }

    /// `start` plus the duration, to the microsecond.
    #[must_use]
    pub fn end(&self) -> DateTime<Utc> {
        from_micros(self.end_micros())
    }

    /// The start in microseconds since 1970.
    #[must_use]
    pub fn start_micros(&self) -> i64 {
        self.hour.start_micros() + i64::from(self.offset)
    }

    /// The end in microseconds since 1970; the end of time if it lies past it.
    #[must_use]
    pub fn end_micros(&self) -> i64 {
        self.start_micros().saturating_add(self.duration.micros())
    }

    /// How long it is, as its playlist said.
    #[must_use]
    pub fn duration(&self) -> SegmentDuration {
        self.duration
    }

    /// Its type.
    #[must_use]
    pub fn kind(&self) -> SegmentType {
        match self.content {
            Content::Final(kind, _) => kind,
            Content::Temp(_) => SegmentType::Temp,
        }
    }

    /// True iff its type is `full`.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.kind() == SegmentType::Full
    }

    /// Its content's hash; `None` while it is being written.
    #[must_use]
    pub fn hash(&self) -> Option<SegmentHash> {
        match self.content {
            Content::Final(_, hash) => Some(hash),
            Content::Temp(_) => None,
        }
    }

    /// The UUID of a segment that is being written.
    #[must_use]
    pub fn uuid(&self) -> Option<Uuid> {
        match self.content {
            Content::Final(..) => None,
            Content::Temp(uuid) => Some(uuid),
        }
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.found_as {
            return f.write_str(name);
        }
        let seconds = self.offset / 1_000_000;
        let (minute, second, micros) = (seconds / 60, seconds % 60, self.offset % 1_000_000);
        write!(
            f,
            "{minute:02}:{second:02}.{micros:06}-{}-{}-",
            self.duration,
            self.kind()
        )?;
        match &self.content {
            Content::Final(_, hash) => fmt::Display::fmt(hash, f)?,
            Content::Temp(uuid) => fmt::Display::fmt(&uuid.hyphenated(), f)?,
        }
        f.write_str(".ts")
    }
}

/// The types that a file can end up with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FinalType {
    /// Complete.
    Full,
    /// Looks complete, but there is a reason to doubt it.
    Suspect,
    /// Known to be cut short.
    Partial,
}

impl From<FinalType> for SegmentType {
    fn from(kind: FinalType) -> SegmentType {
        match kind {
            FinalType::Full => SegmentType::Full,
            FinalType::Suspect => SegmentType::Suspect,
            FinalType::Partial => SegmentType::Partial,
        }
    }
}

/// A segment and where it belongs: `CHANNEL/QUALITY/HOUR/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SegmentPath {
    /// The stream.
    pub channel: Channel,
    /// The rendition.
    pub quality: Quality,
    /// The segment, which knows its hour and name.
    pub segment: Segment,
}

impl FromStr for SegmentPath {
    type Err = SegmentNameError;

    fn from_str(text: &str) -> Result<Self, SegmentNameError> {
        let mut parts = text.split('/');
        let mut part = || {
            let text = parts.next().ok_or(SegmentNameError::Path)?;
            PathPart::new(text).map_err(|_| SegmentNameError::Path)
        };
        let (channel, quality, hour, name) = (part()?, part()?, part()?, part()?);
        if parts.next().is_some() {
            return Err(SegmentNameError::Path);
        }
        Ok(SegmentPath {
            channel: channel.into(),
            quality: quality.into(),
            segment: Segment::parse(hour.as_str().parse()?, name.as_str())?,
        })
    }
}

impl fmt::Display for SegmentPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SegmentPath {
            channel,
            quality,
            segment,
        } = self;
        write!(f, "{channel}/{quality}/{}/{segment}", segment.hour())
    }
}

/// Two ASCII digits below `limit`.
fn two_digits(text: &[u8], limit: u32) -> Option<u32> {
    let &[tens @ b'0'..=b'9', ones @ b'0'..=b'9'] = text else {
        return None;
    };
    let value = u32::from(tens - b'0') * 10 + u32::from(ones - b'0');
    (value < limit).then_some(value)
}

/// Reads `MM:SS[.f{0,6}]`: microseconds into the hour, and whether we would write it so.
pub(crate) fn parse_time(text: &[u8]) -> Result<(u32, bool), SegmentNameError> {
    let error = SegmentNameError::Time;
    let (whole, fraction) = match text.len() {
        5 => (text, None),
        6..=12 if text[5] == b'.' => (&text[..5], Some(&text[6..])),
        _ => return Err(error),
    };
    if whole[2] != b':' {
        return Err(error);
    }
    let minute = two_digits(&whole[..2], 60).ok_or(error)?;
    let second = two_digits(&whole[3..], 60).ok_or(error)?;
    let digits = fraction.unwrap_or_default();
    let mut micros = 0;
    for place in 0..6 {
        let digit = match digits.get(place) {
            Some(digit @ b'0'..=b'9') => u32::from(digit - b'0'),
            Some(_) => return Err(error),
            None => 0,
        };
        micros = micros * 10 + digit;
    }
    Ok((
        (minute * 60 + second) * 1_000_000 + micros,
        digits.len() == 6,
    ))
}

/// A UUID in its usual form of 36 lower-case characters, so that text and value are one to one.
fn parse_uuid(text: &str) -> Result<Uuid, SegmentNameError> {
    let usual_form = text.len() == 36 && !text.bytes().any(|byte| byte.is_ascii_uppercase());
    match Uuid::try_parse(text) {
        Ok(uuid) if usual_form => Ok(uuid),
        _ => Err(SegmentNameError::Hash),
    }
}

/// The instant of a number of microseconds since 1970; the end of time if it lies past it.
fn from_micros(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or(if micros < 0 {
        DateTime::<Utc>::MIN_UTC
    } else {
        DateTime::<Utc>::MAX_UTC
    })
}
