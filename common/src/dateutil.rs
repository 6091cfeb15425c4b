//! Reads timestamps as people and programs write them: whatever Python's `dateutil` reads, and
//! every form of ISO 8601 (SPEC.md §7). Playlists, options and request parameters pass through it.
//!
//! Two readers share the work. `iso` is strict, allocates nothing and sees every input first:
//! a recorder reads one `EXT-X-PROGRAM-DATE-TIME` per segment. What is not of an ISO shape goes
//! to `general`, which weighs words and numbers as `dateutil` does. Both give a `Reading`, and
//! only the last step, from there to UTC, knows about zones.
//!
//! # What is not in the text
//!
//! A field above the coarsest given one comes from today's date in UTC: `10:30` is today,
//! `15 June` this year, `Saturday` today or the next one. A field below it is at its lowest:
//! `2019-06` and `June 2019` are 2019-06-01, `2019` is 2019-01-01. A two-digit year lies within
//! 50 years of today.
//!
//! # Where we differ from `dateutil` on purpose
//!
//! - Month and day: `dateutil` fills those too from today, so that `2019-06` means another day
//!   tomorrow. ISO 8601 means the first.
//! - More of ISO 8601: week dates (`2019-W24-6`), ordinal dates (`2019-166`), `24:00`, decimal
//!   hours (`T15.5`), times that start with `T` (`T1030` is half past ten, not the year 1030),
//!   and four digits alone are always a year.
//! - Zone names: `dateutil` knows UTC, GMT and Z, and takes every other word of up to five capitals
//!   as no zone at all, with a warning that this will become an error. Here the zones of RFC 2822
//!   (EST, EDT, CST, CDT, MST, MDT, PST, PDT, UT) are converted, and its single military letters
//!   are UTC, as it asks for. Any other name is an error in [`parse`], because a recording filed
//!   some hours off is worse than a message; [`parse_utc_only`], which does not use it, accepts it.
//! - Text that `dateutil` skips without a word (`June of foo`, a number after the seconds of
//!   `1h2m3s4`), digits that are not ASCII, and input of more than 256 bytes are errors.
//!
//! What may surprise but is as in `dateutil`: `06/07/2019` is the 7th of June, `190615` the 19th of
//! June 2015, `UTC+3` has the sign of POSIX (three hours *behind* UTC), the decimals of `15:17.5`
//! are cut to whole seconds, and a weekday that contradicts the date is ignored.

mod general;
mod iso;
mod lexer;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, TimeDelta, Utc};

/// No timestamp that means something is longer; a bound keeps hostile input cheap.
const MAX_BYTES: usize = 256;

/// How much of a refused input its error repeats, in characters after escaping.
const MAX_QUOTED: usize = 100;

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_MINUTE: i64 = 60 * MICROS_PER_SECOND;
const MICROS_PER_HOUR: i64 = 60 * MICROS_PER_MINUTE;

/// Reads `timestamp` and converts it to UTC; without a zone it is UTC.
///
/// A missing fraction, or missing seconds or minutes, is fine; more than six fractional digits are
/// cut to microseconds. See the [module](self) for what is read and what a missing date means.
///
/// # Errors
///
/// What is not a timestamp, names an instant that does not exist (`2019-02-30`, `25:00`, a leap
/// second), has a zone that we cannot convert, or is outside of the years 1 to 9999 in UTC.
///
/// ```
/// use common::dateutil::parse;
///
/// let instant = parse("2019-06-15T15:17:38.5-07:00")?;
/// assert_eq!(instant.to_rfc3339(), "2019-06-15T22:17:38.500+00:00");
/// assert_eq!(parse("Sat, 15 Jun 2019 15:17:38.5 -0700")?, instant);
/// assert_eq!(parse("June 15th, 2019 10:17:38.5 PM")?, instant);
/// assert!(parse("2019-02-30").is_err());
/// # Ok::<(), common::dateutil::ParseError>(())
/// ```
pub fn parse(timestamp: &str) -> Result<DateTime<Utc>, ParseError> {
    read(timestamp, today)
        .and_then(Reading::convert)
        .map_err(|reason| ParseError::new(timestamp, reason))
}

/// Reads `timestamp` as UTC: a zone in it is accepted but ignored, not converted.
///
/// This is what times in a request's parameters are (SPEC.md §4). It reads all that [`parse`]
/// reads, and also zones that [`parse`] cannot convert.
///
/// # Errors
///
/// What is not a timestamp, names an instant that does not exist, or is outside of the years 1 to
/// 9999.
///
/// ```
/// use common::dateutil::{parse, parse_utc_only};
///
/// assert_eq!(parse_utc_only("2019-06-15T15:17-07:00")?, parse("2019-06-15T15:17Z")?);
/// # Ok::<(), common::dateutil::ParseError>(())
/// ```
pub fn parse_utc_only(timestamp: &str) -> Result<DateTime<Utc>, ParseError> {
    read(timestamp, today)
        .and_then(|reading| within_years(reading.local))
        .map_err(|reason| ParseError::new(timestamp, reason))
}

/// Why a timestamp was refused: one line that repeats the input, escaped and cut short.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read the timestamp \"{input}\": {reason}")]
pub struct ParseError {
    /// Printable ASCII only: safe in a log line and in an HTTP response.
    input: String,
    reason: Reason,
}

impl ParseError {
    fn new(timestamp: &str, reason: Reason) -> Self {
        let input = quoted(timestamp);
        Self { input, reason }
    }

    /// What is wrong, for a caller that words its own message.
    pub fn reason(&self) -> &Reason {
        &self.reason
    }
}

/// What is wrong with a timestamp.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// Nothing, or nothing but blanks.
    #[error("it is empty")]
    Empty,
    /// More than 256 bytes.
    #[error("it is longer than {MAX_BYTES} bytes")]
    TooLong,
    /// A word, number or character that has no place where it stands.
    #[error("`{0}` has no place in it")]
    Unexpected(String),
    /// The text stops where something has to follow.
    #[error("something is missing at its end")]
    Incomplete,
    /// Only filler such as `,` or `at`.
    #[error("it holds neither a date nor a time")]
    NoDate,
    /// Parts that cannot be true together, such as two names of months.
    #[error("{0}")]
    Contradiction(&'static str),
    /// A field that is too large or too small.
    #[error("{field} {value} is out of range")]
    Range {
        /// `month`, `hour` …
        field: &'static str,
        /// As given; a number of absurd length is cut to the greatest integer.
        value: i64,
    },
    /// A day that its month does not have.
    #[error("{year:04}-{month:02} has no day {day}")]
    NoSuchDay {
        /// 1 to 9999.
        year: i64,
        /// 1 to 12.
        month: i64,
        /// As given.
        day: i64,
    },
    /// A zone of which we do not know the offset.
    #[error("its zone `{0}` is not known, write an offset such as -07:00 or Z")]
    UnknownZone(String),
    /// An offset of a day or more.
    #[error("its offset from UTC is 24 hours or more")]
    Offset,
    /// The date is fine, but its instant in UTC is not.
    #[error("in UTC it is outside of the years 1 to 9999")]
    Years,
}

/// `text` in printable ASCII, cut to [`MAX_QUOTED`] characters.
fn quoted(text: &str) -> String {
    let mut quoted = String::new();
    for character in text.chars() {
        let length = quoted.len();
        match character {
            '"' | '\\' => quoted.extend(character.escape_default()),
            ' '..='~' => quoted.push(character),
            _ => quoted.extend(character.escape_default()),
        }
        if quoted.len() > MAX_QUOTED {
            quoted.truncate(length);
            quoted.push_str("...");
            break;
        }
    }
    quoted
}

/// What a text says, before its zone is applied.
#[derive(Debug, PartialEq, Eq)]
struct Reading {
    local: NaiveDateTime,
    zone: Zone,
}

#[derive(Debug, PartialEq, Eq)]
enum Zone {
    /// None is given: the time is UTC.
    Absent,
    /// Seconds east of UTC, of any size: only [`Reading::convert`] judges it, since
    /// [`parse_utc_only`] ignores zones that make no sense, too.
    Offset(i64),
    /// A name that looks like a zone's.
    Unknown(String),
}

impl Reading {
    fn convert(self) -> Result<DateTime<Utc>, Reason> {
        let seconds = match self.zone {
            Zone::Absent => 0,
            Zone::Offset(seconds) if (-86_399..=86_399).contains(&seconds) => seconds,
            Zone::Offset(_) => return Err(Reason::Offset),
            Zone::Unknown(name) => return Err(Reason::UnknownZone(name)),
        };
        self.local
            .checked_sub_signed(TimeDelta::seconds(seconds))
            .ok_or(Reason::Years)
            .and_then(within_years)
    }
}

/// The clock, apart from the readers so that tests bring their own.
fn today() -> NaiveDate {
    Utc::now().date_naive()
}

fn read(timestamp: &str, today: fn() -> NaiveDate) -> Result<Reading, Reason> {
    if timestamp.len() > MAX_BYTES {
        return Err(Reason::TooLong);
    }
    let trimmed = timestamp.trim_matches(is_blank);
    if trimmed.is_empty() {
        return Err(Reason::Empty);
    }
    match iso::read(trimmed, today) {
        Some(outcome) => outcome,
        // Untrimmed: a blank behind a number decides what `dateutil` takes it for.
        None => general::read(timestamp, today()),
    }
}

/// What Python's `str.isspace` holds for white space; the separators U+001C to U+001F are not so in
/// Unicode. JavaScript writes U+202F before AM and PM.
fn is_blank(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

/// The one place that keeps to what Python and four-digit years can express.
fn within_years(instant: NaiveDateTime) -> Result<DateTime<Utc>, Reason> {
    if (1..=9999).contains(&instant.year()) {
        Ok(instant.and_utc())
    } else {
        Err(Reason::Years)
    }
}

fn checked_date(year: i64, month: i64, day: i64) -> Result<NaiveDate, Reason> {
    let to_year = i32::try_from(in_range("year", year, 9999)?);
    let to_month = u32::try_from(in_range("month", month, 12)?);
    let no_such_day = Reason::NoSuchDay { year, month, day };
    match (to_year, to_month, u32::try_from(day)) {
        (Ok(y), Ok(m), Ok(d)) => NaiveDate::from_ymd_opt(y, m, d).ok_or(no_such_day),
        _ => Err(no_such_day),
    }
}

/// `value` if it is one of 1 to `last`.
fn in_range(field: &'static str, value: i64, last: i64) -> Result<i64, Reason> {
    if (1..=last).contains(&value) {
        Ok(value)
    } else {
        Err(Reason::Range { field, value })
    }
}

/// Microseconds since midnight, without the fraction; `last_hour` is 24 where `24:00` is the end of
/// the day. A leap second is refused, as Python does: no `DateTime` on our disks could hold it.
fn checked_clock(hour: i64, minute: i64, second: i64, last_hour: i64) -> Result<i64, Reason> {
    for (field, value, last) in [
        ("hour", hour, last_hour),
        ("minute", minute, 59),
        ("second", second, 59),
    ] {
        if !(0..=last).contains(&value) {
            return Err(Reason::Range { field, value });
        }
    }
    Ok(hour * MICROS_PER_HOUR + minute * MICROS_PER_MINUTE + second * MICROS_PER_SECOND)
}

fn local(date: NaiveDate, micros: i64) -> Result<NaiveDateTime, Reason> {
    date.and_time(chrono::NaiveTime::MIN)
        .checked_add_signed(TimeDelta::microseconds(micros))
        .ok_or(Reason::Years)
}
