//! How a live stream's playlist is written.

use chrono::{DateTime, Duration, FixedOffset, Utc};

/// Which segments of a list carry `EXT-X-PROGRAM-DATE-TIME`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dates {
    /// All of them, as ffmpeg and Twitch do.
    Every,
    /// The first of each list, and those after a jump or discontinuity.
    FirstInList,
    /// The first of the stream, and no other once it has left the list.
    FirstOnly,
    /// None.
    Never,
}

/// How a date's zone is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// `Z`.
    Z,
    /// `+0000`, as ffmpeg does.
    PlusZero,
    /// `+00:00`.
    PlusColonZero,
    /// The same instant in local time, `+05:30` for 330 minutes.
    Minutes(i32),
}

/// Whether segments are files of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteRanges {
    /// They are.
    None,
    /// They are parts of one file, each with its offset.
    WithOffset,
    /// They are parts of one file; only the first of a list has an offset, the others follow
    /// on (RFC 8216 §4.3.2.2).
    Implied,
}

/// How segments are named in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uris {
    /// `12.ts`.
    Relative,
    /// `/live/12.ts`.
    Path,
    /// `//127.0.0.1:1234/live/12.ts`.
    SchemeLess,
    /// `http://127.0.0.1:1234/live/12.ts`.
    Full,
}

/// How a live stream's playlist is written. Change what a test is about, keep the rest:
///
/// ```
/// use tests::origin::{Dates, LiveOptions};
/// let options = LiveOptions { dates: Dates::Never, ..LiveOptions::default() };
/// ```
#[derive(Debug, Clone)]
pub struct LiveOptions {
    /// So many segments are in the list.
    pub window: usize,
    /// So many segments that have left the list are still served.
    pub keep: usize,
    /// `EXT-X-VERSION`.
    pub version: u32,
    /// `EXT-X-TARGETDURATION`; `None`: the longest duration in the list, rounded up.
    pub target_duration: Option<u64>,
    /// When the first segment starts.
    pub start: DateTime<Utc>,
    /// Which segments have a date.
    pub dates: Dates,
    /// How the date's zone is written.
    pub zone: Zone,
    /// How many digits its seconds have: 3 as ffmpeg and Twitch write, 6, or 0.
    pub date_digits: usize,
    /// Whether segments are parts of one file.
    pub byte_ranges: ByteRanges,
    /// How segments are named in the list.
    pub uris: Uris,
    /// Put behind every URI, e.g. `?token=x`.
    pub query: String,
    /// The ending of the segments' names.
    pub extension: String,
    /// Lines as they stand, before the first segment.
    pub head_tags: Vec<String>,
    /// Lines as they stand, behind the last segment.
    pub foot_tags: Vec<String>,
    /// Lines end with CR LF.
    pub crlf: bool,
    /// The list begins with a byte-order mark.
    pub byte_order_mark: bool,
}

impl Default for LiveOptions {
    /// Six segments in the list, all served for ever, dated in milliseconds with `Z`, from
    /// 2024-11-08T22:59:50Z, so that an hour ends ten seconds later.
    fn default() -> LiveOptions {
        LiveOptions {
            window: 6,
            keep: usize::MAX,
            version: 4,
            target_duration: None,
            // 1731106790 is in range.
            start: DateTime::from_timestamp(1_731_106_790, 0).unwrap_or_default(),
            dates: Dates::Every,
            zone: Zone::Z,
            date_digits: 3,
            byte_ranges: ByteRanges::None,
            uris: Uris::Relative,
            query: String::new(),
            extension: "ts".to_owned(),
            head_tags: Vec::new(),
            foot_tags: Vec::new(),
            crlf: false,
            byte_order_mark: false,
        }
    }
}

impl LiveOptions {
    /// The text of a date.
    pub(super) fn date(&self, date: DateTime<Utc>) -> String {
        let (offset, zone) = match self.zone {
            Zone::Z => (0, "Z"),
            Zone::PlusZero => (0, "+0000"),
            Zone::PlusColonZero => (0, "+00:00"),
            Zone::Minutes(minutes) => (minutes * 60, "%:z"),
        };
        let fraction = match self.date_digits {
            0 => "",
            3 => "%.3f",
            6 => "%.6f",
            other => panic!("dates with {other} digits are not written here"),
        };
        let offset = FixedOffset::east_opt(offset).expect("an offset of less than a day");
        date.with_timezone(&offset)
            .format(&format!("%Y-%m-%dT%H:%M:%S{fraction}{zone}"))
            .to_string()
    }
}

/// Seconds as exact as SPEC §1 has them.
pub(super) fn microseconds(text: &str) -> Duration {
    let seconds: f64 = text
        .parse()
        .unwrap_or_else(|_| panic!("the duration {text:?} is not a number"));
    Duration::microseconds((seconds * 1e6).round() as i64)
}
