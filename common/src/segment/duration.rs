//! A segment's duration: the playlist's decimal, kept so that every node writes the same name.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use super::SegmentNameError;

/// Below this many significant digits a decimal is the shortest that reads back to its `f64`.
const ALWAYS_EXACT_DIGITS: usize = 15;

/// Seconds as the playlist gave them: finite and at least 0 (SPEC §2).
///
/// It displays as the shortest decimal that reads back to the same `f64`, always with a
/// fraction and never with an exponent.
///
/// ```
/// use common::segment::SegmentDuration;
/// for (text, written) in [("2", "2.0"), ("1.967", "1.967"), ("2.0021234567", "2.0021234567")] {
///     assert_eq!(text.parse::<SegmentDuration>().unwrap().to_string(), written);
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct SegmentDuration(f64);

// Finite: every value equals itself.
impl Eq for SegmentDuration {}

impl Hash for SegmentDuration {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

impl SegmentDuration {
    /// From seconds; `None` unless they are finite and at least 0.
    #[must_use]
    pub fn from_secs(seconds: f64) -> Option<SegmentDuration> {
        // The sum turns -0.0, which would be written with a sign, into 0.0.
        (seconds.is_finite() && seconds >= 0.0).then_some(SegmentDuration(seconds + 0.0))
    }

    /// Seconds.
    #[must_use]
    pub fn as_secs(self) -> f64 {
        self.0
    }

    /// Microseconds, rounded to the nearest; the largest number there is if they do not fit.
    #[must_use]
    pub fn micros(self) -> i64 {
        // A cast from a float saturates.
        (self.0 * 1e6).round() as i64
    }

    /// Reads a decimal, and says whether it is written as we would write it.
    pub(super) fn parse_noting_form(text: &str) -> Result<(Self, bool), SegmentNameError> {
        let error = SegmentNameError::Duration;
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
            return Err(error);
        }
        let seconds = text.parse().map_err(|_| error)?;
        let duration = SegmentDuration::from_secs(seconds).ok_or(error)?;
        let no_superfluous_zero = (whole == "0" || !whole.starts_with('0'))
            && !whole.is_empty()
            && !fraction.is_empty()
            && (fraction == "0" || !fraction.ends_with('0'));
        let as_written = no_superfluous_zero
            && (whole.len() + fraction.len() <= ALWAYS_EXACT_DIGITS
                || duration.to_string() == text);
        Ok((duration, as_written))
    }
}

impl FromStr for SegmentDuration {
    type Err = SegmentNameError;
    fn from_str(text: &str) -> Result<Self, SegmentNameError> {
        SegmentDuration::parse_noting_form(text).map(|(duration, _)| duration)
    }
}

impl fmt::Display for SegmentDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `Display` of a float is the shortest that reads back, without an exponent, and
        // without a fraction for whole numbers.
        if self.0.fract() == 0.0 {
            write!(f, "{}.0", self.0)
        } else {
            write!(f, "{}", self.0)
        }
    }
}
