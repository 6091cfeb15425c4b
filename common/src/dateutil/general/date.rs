//! The numbers of a text that are a day, a month or a year, and the decision which is which.

use chrono::{Datelike, NaiveDate};

use super::super::lexer::Number;
use super::super::{Reason, checked_date};

/// Up to three numbers in the order of the text.
///
/// A month is known if it has a name. A year is known by its look: above 100, or written with more
/// than two digits. Everything else the places decide, in [`DateParts::roles`].
pub(super) struct DateParts {
    values: Vec<i64>,
    /// Where in `values` the named month is.
    month_at: Option<usize>,
    /// Where in `values` the number is that looks like a year.
    year_at: Option<usize>,
    this_year: i64,
}

/// Year, month and day, as far as they are given.
type Roles = (Option<i64>, Option<i64>, Option<i64>);

impl DateParts {
    pub(super) fn new(today: NaiveDate) -> Self {
        Self {
            values: Vec::new(),
            month_at: None,
            year_at: None,
            this_year: i64::from(today.year()),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.values.len() == 3
    }

    pub(super) fn push_named_month(&mut self, month: i64) -> Result<(), Reason> {
        if self.month_at.is_some() {
            return Err(Reason::Contradiction("it names two months"));
        }
        self.month_at = Some(self.values.len());
        self.push_pair(month)
    }

    pub(super) fn push_year(&mut self, year: i64) -> Result<(), Reason> {
        if self.year_at.is_some() {
            return Err(Reason::Contradiction(
                "it has two numbers that only a year can be",
            ));
        }
        self.year_at = Some(self.values.len());
        self.push_pair(year)
    }

    /// `June of 19`: a year, whatever it looks like.
    pub(super) fn push_year_of_month(&mut self, year: i64) -> Result<(), Reason> {
        self.push_year(self.with_century(year))
    }

    /// A number between date separators: its width tells, so that `0099` is the year 99.
    pub(super) fn push_text(&mut self, number: Number<'_>) -> Result<(), Reason> {
        if number.width() > 2 {
            self.push_year(number.value())
        } else {
            self.push_pair(number.value())
        }
    }

    /// A number on its own: only its value tells, so that `0099` is the year 1999.
    pub(super) fn push_number(&mut self, number: Number<'_>) -> Result<(), Reason> {
        if number.exceeds(100) {
            self.push_year(number.value())
        } else {
            self.push_pair(number.value())
        }
    }

    /// A number of one or two digits.
    pub(super) fn push_pair(&mut self, value: i64) -> Result<(), Reason> {
        if self.is_full() {
            return Err(Reason::Contradiction(
                "it has more numbers than a date and a time can have",
            ));
        }
        self.values.push(value);
        Ok(())
    }

    /// Whether the known month, in the known year or else a leap year, has such a day.
    pub(super) fn could_be_day(&self, number: Number<'_>) -> bool {
        let known = |at: Option<usize>| at.and_then(|at| self.values.get(at)).copied();
        let last = match (known(self.month_at), known(self.year_at)) {
            (None, _) => 31,
            (Some(month), year) => days_in_month(year.unwrap_or(2000), month),
        };
        number.value() >= 1 && !number.exceeds(last)
    }

    /// The date, and whether its day was given.
    pub(super) fn resolve(&self, today: NaiveDate) -> Result<(NaiveDate, bool), Reason> {
        let (year, month, day) = self.roles();
        let year = year.map(|year| match self.year_at {
            Some(_) => year,
            None => self.with_century(year),
        });
        // What is coarser than the coarsest given field is today's, what is finer is the first.
        let date = checked_date(
            year.unwrap_or(self.this_year),
            month.unwrap_or(if year.is_some() {
                1
            } else {
                i64::from(today.month())
            }),
            day.unwrap_or(if year.or(month).is_some() {
                1
            } else {
                i64::from(today.day())
            }),
        )?;
        Ok((date, day.is_some()))
    }

    fn roles(&self) -> Roles {
        match *self.values.as_slice() {
            [only] => match (self.year_at, self.month_at) {
                (Some(_), _) => (Some(only), None, None),
                (_, Some(_)) => (None, Some(only), None),
                _ if only > 31 => (Some(only), None, None),
                _ => (None, None, Some(only)),
            },
            [first, second] => self.roles_of_two(first, second),
            [first, second, third] => {
                let (year, month, day) = self.roles_of_three(first, second, third);
                (Some(year), Some(month), Some(day))
            }
            _ => (None, None, None),
        }
    }

    fn roles_of_two(&self, first: i64, second: i64) -> Roles {
        let (month, other) = match self.month_at {
            Some(0) => (first, second),
            Some(_) => (second, first),
            // No month has a name: month and day, unless one is too large for both.
            None if first > 31 => return (Some(first), Some(second), None),
            None if second > 31 => return (Some(second), Some(first), None),
            None => return (None, Some(first), Some(second)),
        };
        if self.year_at.is_some() || other > 31 {
            (Some(other), Some(month), None)
        } else {
            (None, Some(month), Some(other))
        }
    }

    /// Year, month and day of three numbers.
    fn roles_of_three(&self, first: i64, second: i64, third: i64) -> (i64, i64, i64) {
        match (self.month_at, self.year_at) {
            (Some(0), Some(1)) => (second, first, third),
            (Some(0), Some(_)) => (third, first, second),
            (Some(1), Some(0)) => (first, second, third),
            (Some(1), Some(_)) => (third, second, first),
            (Some(_), Some(0)) => (first, third, second),
            (Some(_), Some(_)) => (second, third, first),
            // Jun-2019-15, and in the American way June 15 19
            (Some(0), None) if second > 31 => (second, first, third),
            (Some(0), None) => (third, first, second),
            // 99-Jun-15; by hand one writes 15-Jun-19.
            (Some(1), None) if first > 31 => (first, second, third),
            (Some(1), None) => (third, second, first),
            (Some(_), None) if second > 31 => (second, third, first),
            (Some(_), None) => (first, third, second),
            // 2019-06-15, 15/06/2019 because there is no month 15, else 06/15/2019
            (None, Some(0)) => (first, second, third),
            (None, _) if first > 31 => (first, second, third),
            (None, _) if first > 12 => (third, second, first),
            (None, _) => (third, first, second),
        }
    }

    /// A year of two digits lies from 50 years ago until less than 50 years ahead.
    fn with_century(&self, year: i64) -> i64 {
        if year >= 100 {
            return year;
        }
        let year = year + self.this_year - self.this_year % 100;
        if year >= self.this_year + 50 {
            year - 100
        } else if year < self.this_year - 50 {
            year + 100
        } else {
            year
        }
    }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}
