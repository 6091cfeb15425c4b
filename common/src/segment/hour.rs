//! The UTC hour that names a directory.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};

use super::{SegmentNameError, from_micros, two_digits};

const MICROS: i64 = 3_600_000_000;
const FIRST: Hour = Hour(-17_259_888); // 0001-01-01T00
const LAST: Hour = Hour(70_389_527); // 9999-12-31T23

/// A UTC hour, written `YYYY-MM-DDTHH`; from year 1 to year 9999.
///
/// ```
/// use common::segment::Hour;
/// let hour: Hour = "2024-02-29T23".parse().unwrap();
/// assert_eq!(hour.next().to_string(), "2024-03-01T00");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(i32);

impl Hour {
    /// The hour in which an instant lies; the first or last hour there is if it lies outside.
    #[must_use]
    pub fn of(instant: DateTime<Utc>) -> Hour {
        let hours = instant.timestamp_micros().div_euclid(MICROS);
        let hours = hours.clamp(i64::from(FIRST.0), i64::from(LAST.0));
        // Clamped just above: it fits.
        Hour(i32::try_from(hours).unwrap_or(0))
    }

    /// Its first instant.
    #[must_use]
    pub fn start(self) -> DateTime<Utc> {
        from_micros(self.start_micros())
    }

    /// Its first instant in microseconds since 1970.
    #[must_use]
    pub fn start_micros(self) -> i64 {
        i64::from(self.0) * MICROS
    }

    /// The hour after it; itself at the end of time.
    #[must_use]
    pub fn next(self) -> Hour {
        Hour(self.0 + 1).min(LAST)
    }

    /// The hour before it; itself at the beginning of time.
    #[must_use]
    pub fn previous(self) -> Hour {
        Hour(self.0 - 1).max(FIRST)
    }
}

impl FromStr for Hour {
    type Err = SegmentNameError;

    fn from_str(text: &str) -> Result<Hour, SegmentNameError> {
        parse(text.as_bytes()).ok_or(SegmentNameError::Hour)
    }
}

fn parse(text: &[u8]) -> Option<Hour> {
    let (13, [c1, c2, y1, y2, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2]) = (text.len(), text)
    else {
        return None;
    };
    let year = two_digits(&[*c1, *c2], 100)? * 100 + two_digits(&[*y1, *y2], 100)?;
    let month = two_digits(&[*m1, *m2], 13)?;
    let day = two_digits(&[*d1, *d2], 32)?;
    let hour = two_digits(&[*h1, *h2], 24)?;
    if year == 0 || month == 0 || day == 0 || day > days_in_month(year, month) {
        return None;
    }
    let hours = days_since_1970(year, month, day) * 24 + i64::from(hour);
    i32::try_from(hours).ok().map(Hour)
}

fn is_leap(year: u32) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_in_month(year: u32, month: u32) -> u32 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01, by counting whole years and months before the date.
fn days_since_1970(year: u32, month: u32, day: u32) -> i64 {
    let before = i64::from(year) - 1;
    let years = before * 365 + before / 4 - before / 100 + before / 400;
    let months: u32 = (1..month).map(|earlier| days_in_month(year, earlier)).sum();
    years + i64::from(months + day) - 719_163
}

impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use chrono::{Datelike, Timelike};
        let start = self.start();
        let (year, month, day) = (start.year(), start.month(), start.day());
        write!(f, "{year:04}-{month:02}-{day:02}T{:02}", start.hour())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_calendar_in_every_hour_of_a_leap_day_and_at_both_ends() {
        let mut hour: Hour = "2023-12-31T00".parse().unwrap();
        while hour < "2024-03-02T00".parse().unwrap() {
            let text = hour.start().format("%Y-%m-%dT%H").to_string();
            assert_eq!(hour.to_string(), text);
            assert_eq!(text.parse::<Hour>().unwrap(), hour);
            assert_eq!(Hour::of(hour.start()), hour);
            assert_eq!(hour.next().previous(), hour);
            hour = hour.next();
        }
        assert_eq!("0001-01-01T00".parse::<Hour>().unwrap(), FIRST);
        assert_eq!("9999-12-31T23".parse::<Hour>().unwrap(), LAST);
        assert_eq!(LAST.next(), LAST);
        assert_eq!(FIRST.previous(), FIRST);
        assert_eq!(Hour::of(DateTime::<Utc>::MAX_UTC), LAST);
        assert_eq!(Hour::of(DateTime::<Utc>::MIN_UTC), FIRST);
    }

    #[test]
    fn refuses_what_is_no_hour() {
        for text in [
            "",
            "2024-02-30T00",
            "2023-02-29T00",
            "1900-02-29T00",
            "2024-13-01T00",
            "2024-00-01T00",
            "2024-01-00T00",
            "2024-01-01T24",
            "2024-01-01 00",
            "2024-01-01T0",
            "2024-01-01T000",
            "0000-01-01T00",
            "+024-01-01T00",
            ".tmp",
            "２024-01-01T00",
        ] {
            assert!(text.parse::<Hour>().is_err(), "{text:?}");
        }
        assert!("2000-02-29T00".parse::<Hour>().is_ok());
    }
}
