//! The fields of a time of day, gathered one by one and judged together at the end.

use super::super::lexer::{Half, Number, Unit};
use super::super::{MICROS_PER_SECOND, Reason, checked_clock};

/// A later value of a field replaces an earlier one, as in `dateutil`.
#[derive(Default)]
pub(super) struct Clock {
    /// `Some` is also what makes a sign the start of an offset and a word a zone's name.
    pub(super) hour: Option<i64>,
    pub(super) minute: Option<i64>,
    second: Option<i64>,
    micros: i64,
}

impl Clock {
    pub(super) fn is_empty(&self) -> bool {
        self.hour.or(self.minute).or(self.second).is_none()
    }

    /// `15h`, `17.5m`, `38.5s`.
    pub(super) fn set(&mut self, unit: Unit, number: Number<'_>) {
        match unit {
            Unit::Hour => {
                self.hour = Some(number.value());
                if number.has_remainder() {
                    self.minute = Some(number.remainder(60));
                }
            }
            Unit::Minute => self.set_minute(number),
            Unit::Second => self.set_second(number),
        }
    }

    /// An hour on the 12-hour clock.
    pub(super) fn set_half(&mut self, hour: i64, half: Half) {
        self.hour = Some(match half {
            Half::Afternoon if hour < 12 => hour + 12,
            Half::Morning if hour == 12 => 0,
            _ => hour,
        });
    }

    /// What a fraction of a minute holds below a second is dropped, as in `dateutil`.
    pub(super) fn set_minute(&mut self, number: Number<'_>) {
        self.minute = Some(number.value());
        self.second = number.has_remainder().then(|| number.remainder(60));
    }

    pub(super) fn set_second(&mut self, number: Number<'_>) {
        self.set_whole_second(number.value());
        self.set_fraction(number);
    }

    /// The fraction of the second.
    pub(super) fn set_fraction(&mut self, number: Number<'_>) {
        self.micros = number.remainder(MICROS_PER_SECOND);
    }

    pub(super) fn set_whole_second(&mut self, second: i64) {
        self.second = Some(second);
    }

    /// Microseconds since midnight; a missing field is 0.
    pub(super) fn checked(&self) -> Result<i64, Reason> {
        let whole = checked_clock(
            self.hour.unwrap_or(0),
            self.minute.unwrap_or(0),
            self.second.unwrap_or(0),
            23,
        )?;
        Ok(whole + self.micros)
    }
}
