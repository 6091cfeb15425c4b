//! The strict reader: ISO 8601 in all its forms, in one pass over the bytes, without allocation.
//! It says nothing (`None`) about a text of another shape, which is then the general reader's.
//!
//! Where `dateutil` reads a text of an ISO shape it reads the same from it; the exceptions are in
//! the head comment of `dateutil.rs`.

use chrono::{NaiveDate, Weekday};

use super::{MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND, Reading, Reason, Zone};

/// What a text of an ISO shape says, or why it cannot be so; `None` if its shape is not ISO's.
pub(super) fn read(text: &str, today: fn() -> NaiveDate) -> Option<Result<Reading, Reason>> {
    let mut rest = Cursor(text.as_bytes());
    let date = match rest.any(b"Tt") {
        Some(_) => None,
        None => Some(Date::read(&mut rest)?),
    };
    let (time, zone) = match &date {
        Some(_) if rest.0.is_empty() => (None, Zone::Absent),
        Some(date) => {
            // A time needs a day: `2019-06T10` is not ISO, and `2019-06 15` is something else.
            if !date.is_a_day() {
                return None;
            }
            let separator = rest.any(b"Tt ")?;
            (Some(Time::read(&mut rest, separator)?), zone(&mut rest)?)
        }
        None => (Some(Time::read(&mut rest, b'T')?), zone(&mut rest)?),
    };
    if rest.0.is_empty() {
        Some(reading(date, time, zone, today))
    } else {
        None
    }
}

fn reading(
    date: Option<Date>,
    time: Option<Time>,
    zone: Zone,
    today: fn() -> NaiveDate,
) -> Result<Reading, Reason> {
    let date = match date {
        Some(date) => date.checked()?,
        None => today(),
    };
    let micros = match time {
        Some(time) => time.checked()?,
        None => 0,
    };
    let local = super::local(date, micros)?;
    Ok(Reading { local, zone })
}

/// A date as written, not yet known to exist.
enum Date {
    Year(i64),
    Month(i64, i64),
    Day(i64, i64, i64),
    Ordinal(i64, i64),
    Week(i64, i64),
    WeekDay(i64, i64, i64),
}

impl Date {
    fn read(rest: &mut Cursor<'_>) -> Option<Self> {
        match rest.leading_digits() {
            4 => {
                let year = rest.number(4)?;
                let extended = rest.any(b"-").is_some();
                if rest.any(b"Ww").is_some() {
                    Self::read_week(rest, year, extended)
                } else if extended {
                    Self::read_extended(rest, year)
                } else {
                    Some(Self::Year(year))
                }
            }
            7 => Some(Self::Ordinal(rest.number(4)?, rest.number(3)?)),
            8 => Some(Self::Day(rest.number(4)?, rest.number(2)?, rest.number(2)?)),
            _ => None,
        }
    }

    /// What follows `YYYY-`.
    fn read_extended(rest: &mut Cursor<'_>, year: i64) -> Option<Self> {
        if rest.leading_digits() == 3 {
            return Some(Self::Ordinal(year, rest.number(3)?));
        }
        let month = rest.whole_number(2)?;
        if rest.any(b"-").is_none() {
            return Some(Self::Month(year, month));
        }
        Some(Self::Day(year, month, rest.whole_number(2)?))
    }

    /// What follows `YYYY-W` or `YYYYW`.
    fn read_week(rest: &mut Cursor<'_>, year: i64, extended: bool) -> Option<Self> {
        let week = rest.number(2)?;
        let has_day = if extended {
            rest.any(b"-").is_some()
        } else {
            rest.leading_digits() > 0
        };
        if has_day {
            Some(Self::WeekDay(year, week, rest.whole_number(1)?))
        } else {
            Some(Self::Week(year, week))
        }
    }

    fn is_a_day(&self) -> bool {
        matches!(self, Self::Day(..) | Self::Ordinal(..) | Self::WeekDay(..))
    }

    fn checked(self) -> Result<NaiveDate, Reason> {
        match self {
            Self::Year(year) => super::checked_date(year, 1, 1),
            Self::Month(year, month) => super::checked_date(year, month, 1),
            Self::Day(year, month, day) => super::checked_date(year, month, day),
            Self::Ordinal(year, day) => checked_ordinal(year, day),
            Self::Week(year, week) => checked_week(year, week, 1),
            Self::WeekDay(year, week, day) => checked_week(year, week, day),
        }
    }
}

fn checked_ordinal(year: i64, day: i64) -> Result<NaiveDate, Reason> {
    let year = i32::try_from(super::in_range("year", year, 9999)?);
    let of_year = u32::try_from(day);
    year.ok()
        .zip(of_year.ok())
        .and_then(|(year, day)| NaiveDate::from_yo_opt(year, day))
        .ok_or(Reason::Range {
            field: "day of the year",
            value: day,
        })
}

fn checked_week(year: i64, week: i64, day: i64) -> Result<NaiveDate, Reason> {
    let year = i32::try_from(super::in_range("year", year, 9999)?);
    let weekday = match super::in_range("day of the week", day, 7)? {
        1 => Weekday::Mon,
        2 => Weekday::Tue,
        3 => Weekday::Wed,
        4 => Weekday::Thu,
        5 => Weekday::Fri,
        6 => Weekday::Sat,
        _ => Weekday::Sun,
    };
    let of_year = u32::try_from(week);
    year.ok()
        .zip(of_year.ok())
        .and_then(|(year, week)| NaiveDate::from_isoywd_opt(year, week, weekday))
        .ok_or(Reason::Range {
            field: "week",
            value: week,
        })
}

/// A time of day as written, not yet known to exist.
struct Time {
    hour: i64,
    minute: i64,
    second: i64,
    /// What the decimal fraction of the last field adds, in microseconds.
    fraction: i64,
}

impl Time {
    /// `separator` is what stood in front of it.
    fn read(rest: &mut Cursor<'_>, separator: u8) -> Option<Self> {
        // `15.30` behind a blank is somebody's half past three, not 15.3 hours: the decimal forms
        // that only ISO has need its `T`.
        let decimals = separator != b' ';
        let mut time = Self {
            hour: 0,
            minute: 0,
            second: 0,
            fraction: 0,
        };
        let digits = rest.leading_digits();
        if !matches!(digits, 2 | 4 | 6) {
            return None;
        }
        time.hour = rest.number(2)?;
        if digits == 2 && rest.any(b":").is_some() {
            time.minute = rest.whole_number(2)?;
            if rest.any(b":").is_some() {
                time.second = rest.whole_number(2)?;
                time.fraction = rest.fraction(MICROS_PER_SECOND)?;
            } else {
                // The one such form that `dateutil` reads, and it drops what is below a second.
                let fraction = rest.fraction(MICROS_PER_MINUTE)?;
                time.fraction = fraction - fraction % MICROS_PER_SECOND;
            }
            return Some(time);
        }
        if digits >= 4 {
            time.minute = rest.number(2)?;
        }
        if digits == 6 {
            time.second = rest.number(2)?;
            time.fraction = rest.fraction(MICROS_PER_SECOND)?;
        } else if decimals {
            time.fraction = rest.fraction(match digits {
                4 => MICROS_PER_MINUTE,
                _ => MICROS_PER_HOUR,
            })?;
        }
        Some(time)
    }

    /// Microseconds since midnight: a day's worth for `24:00`.
    fn checked(self) -> Result<i64, Reason> {
        let whole = super::checked_clock(self.hour, self.minute, self.second, 24)?;
        let micros = whole + self.fraction;
        if micros > 24 * MICROS_PER_HOUR {
            return Err(Reason::Range {
                field: "hour",
                value: self.hour,
            });
        }
        Ok(micros)
    }
}

/// Nothing, `Z`, `±HH`, `±HHMM` or `±HH:MM`.
fn zone(rest: &mut Cursor<'_>) -> Option<Zone> {
    if rest.0.is_empty() {
        return Some(Zone::Absent);
    }
    if rest.any(b"Zz").is_some() {
        return Some(Zone::Offset(0));
    }
    let east = rest.any(b"+-")? == b'+';
    let digits = rest.leading_digits();
    if !matches!(digits, 2 | 4) {
        return None;
    }
    let hours = rest.number(2)?;
    let minutes = if digits == 4 || rest.any(b":").is_some() {
        rest.whole_number(2)?
    } else {
        0
    };
    let seconds = (hours * 60 + minutes) * 60;
    Some(Zone::Offset(if east { seconds } else { -seconds }))
}

/// The bytes that are still to be read.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn leading_digits(&self) -> usize {
        self.0.iter().take_while(|b| b.is_ascii_digit()).count()
    }

    /// The next byte, if it is one of `wanted`.
    fn any(&mut self, wanted: &[u8]) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        if !wanted.contains(&first) {
            return None;
        }
        self.0 = rest;
        Some(first)
    }

    /// A number of `digits` digits, at most four; more may follow it.
    fn number(&mut self, digits: usize) -> Option<i64> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        let mut value = 0;
        for byte in number {
            if !byte.is_ascii_digit() {
                return None;
            }
            value = value * 10 + i64::from(byte - b'0');
        }
        self.0 = rest;
        Some(value)
    }

    /// A number of exactly `digits` digits.
    fn whole_number(&mut self, digits: usize) -> Option<i64> {
        if self.leading_digits() == digits {
            self.number(digits)
        } else {
            None
        }
    }

    /// A decimal fraction of `unit` microseconds, cut to whole ones; 0 where none follows.
    fn fraction(&mut self, unit: i64) -> Option<i64> {
        if self.any(b".,").is_none() {
            return Some(0);
        }
        let digits = self.leading_digits();
        let (fraction, rest) = self.0.split_at_checked(digits)?;
        if fraction.is_empty() {
            return None;
        }
        self.0 = rest;
        Some(fraction_of(fraction, unit))
    }
}

/// `unit` times the decimal fraction with these ASCII digits, rounded down.
pub(super) fn fraction_of(digits: &[u8], unit: i64) -> i64 {
    // 16 digits resolve less than a microsecond of an hour, and 10^16 * 3.6 * 10^9 fits an i128.
    let mut numerator = 0_i128;
    let mut denominator = 1_i128;
    for digit in digits.iter().take(16) {
        numerator = numerator * 10 + i128::from(digit.saturating_sub(b'0'));
        denominator *= 10;
    }
    // Less than `unit`, hence an i64.
    i64::try_from(numerator * i128::from(unit) / denominator).unwrap_or(0)
}
