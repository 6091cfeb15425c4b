//! The lenient reader: weighs numbers, words and marks from left to right and takes each for what
//! Python's `dateutil` takes it for. Its oddities are kept on purpose; those that are not, the head
//! comment of `dateutil.rs` lists.
//!
//! What it finds goes to `clock`, `zone` and `date`, which judge it at the end: only then is it
//! known which of the numbers is the day, the month or the year.

mod clock;
mod date;
mod zone;

use std::borrow::Cow;

use chrono::{Datelike, Days, NaiveDate, Weekday};

use self::clock::Clock;
use self::date::DateParts;
use self::zone::ZoneParts;
use super::lexer::{self, Number, Token, Unit};
use super::{Reading, Reason};

/// What `text` says; what it leaves open comes from `today`.
pub(super) fn read(text: &str, today: NaiveDate) -> Result<Reading, Reason> {
    // As dateutil does: fixed-width fields of binary files are padded with NULs.
    let text = match text.contains('\0') {
        true => Cow::Owned(text.replace('\0', "")),
        false => Cow::Borrowed(text),
    };
    let mut reader = Reader {
        tokens: lexer::split(&text)?,
        date: DateParts::new(today),
        clock: Clock::default(),
        weekday: None,
        zone: ZoneParts::default(),
    };
    let mut at = 0;
    while let Some(&token) = reader.tokens.get(at) {
        at = reader.take(at, token)?;
    }
    reader.finish(today)
}

struct Reader<'a> {
    tokens: Vec<Token<'a>>,
    date: DateParts,
    clock: Clock,
    weekday: Option<Weekday>,
    zone: ZoneParts<'a>,
}

impl<'a> Reader<'a> {
    fn token(&self, at: usize) -> Option<Token<'a>> {
        self.tokens.get(at).copied()
    }

    /// The token at `at`, where one has to be.
    fn required(&self, at: usize) -> Result<Token<'a>, Reason> {
        self.token(at).ok_or(Reason::Incomplete)
    }

    fn is_mark(&self, at: usize, mark: char) -> bool {
        self.token(at) == Some(Token::Mark(mark))
    }

    /// Takes the token at `at`, and those behind it that belong to it; gives the index behind them.
    fn take(&mut self, at: usize, token: Token<'a>) -> Result<usize, Reason> {
        match token {
            Token::Number(number) => self.take_number(at, number),
            Token::Word(word) => self.take_word(at, word),
            Token::Mark('+') if self.clock.hour.is_some() => self.take_offset(at + 1, 1),
            Token::Mark('-') if self.clock.hour.is_some() => self.take_offset(at + 1, -1),
            Token::Mark(_) if token.is_filler() => Ok(at + 1),
            Token::Mark(_) => Err(token.unexpected()),
        }
    }

    // --- Words ---

    fn take_word(&mut self, at: usize, word: &'a str) -> Result<usize, Reason> {
        let token = Token::Word(word);
        if let Some(weekday) = token.weekday() {
            self.weekday = Some(weekday);
            Ok(at + 1)
        } else if let Some(month) = token.month() {
            self.date.push_named_month(month)?;
            self.take_behind_month(at + 1)
        } else if let Some(half) = token.half() {
            match self.clock.hour {
                Some(hour @ 0..=12) => self.clock.set_half(hour, half),
                _ => return Err(token.unexpected()),
            }
            Ok(at + 1)
        } else if self.clock.hour.is_some() && self.zone.could_be_named(word) {
            self.take_zone_name(at, word)
        } else if token.is_filler() {
            Ok(at + 1)
        } else {
            Err(token.unexpected())
        }
    }

    /// The numbers that cling to a month's name: `Jun-15`, `Jun/15/2019`, `June of 2019`.
    fn take_behind_month(&mut self, at: usize) -> Result<usize, Reason> {
        match self.token(at) {
            Some(separator @ Token::Mark('-' | '/')) => {
                self.push_digits(self.required(at + 1)?)?;
                if self.token(at + 2) != Some(separator) {
                    return Ok(at + 2);
                }
                self.push_digits(self.required(at + 3)?)?;
                Ok(at + 4)
            }
            Some(Token::Mark(' ')) if self.is_mark(at + 2, ' ') => {
                let word = self.token(at + 1).and_then(Token::word);
                let is_of = word.is_some_and(|word| word.eq_ignore_ascii_case("of"));
                match self.token(at + 3) {
                    Some(Token::Number(year)) if is_of && year.integer().is_some() => {
                        self.date.push_year_of_month(year.value())?;
                        Ok(at + 4)
                    }
                    _ => Ok(at),
                }
            }
            _ => Ok(at),
        }
    }

    // --- Zones ---

    fn take_zone_name(&mut self, at: usize, name: &'a str) -> Result<usize, Reason> {
        let sign = match self.token(at + 1) {
            // POSIX: `UTC+3` is where three hours have to be added to get UTC.
            Some(Token::Mark('+')) => -1,
            Some(Token::Mark('-')) => 1,
            _ => {
                self.zone.set_name(name);
                return Ok(at + 1);
            }
        };
        if !zone::is_utc(name) {
            self.zone.set_name(name);
        }
        self.take_offset(at + 2, sign)
    }

    /// `0300`, `03:00`, `3` behind a sign, and perhaps the zone's name in parentheses.
    fn take_offset(&mut self, at: usize, sign: i64) -> Result<usize, Reason> {
        let token = self.required(at)?;
        let Token::Number(number) = token else {
            return Err(token.unexpected());
        };
        let digits = number.integer().ok_or_else(|| token.unexpected())?;
        let mut end = at + 1;
        let (hours, minutes) = if digits.len() == 4 {
            (two_digits(digits, 0), two_digits(digits, 2))
        } else if self.is_mark(at + 1, ':') {
            let minutes = self.required(at + 2)?;
            end = at + 3;
            match minutes {
                Token::Number(n) if n.integer().is_some() => (number.value(), n.value()),
                _ => return Err(minutes.unexpected()),
            }
        } else if digits.len() <= 2 {
            (number.value(), 0)
        } else {
            return Err(token.unexpected());
        };
        self.zone.set_offset(sign, hours, minutes);
        Ok(self.take_zone_comment(end))
    }

    /// `(PDT)`, one blank behind an offset, which says it all.
    fn take_zone_comment(&mut self, at: usize) -> usize {
        if self.token(at).is_some_and(Token::is_filler)
            && self.is_mark(at + 1, '(')
            && self.is_mark(at + 3, ')')
            && let Some(Token::Word(name)) = self.token(at + 2)
            && name.len() >= 3
            && self.zone.could_be_comment(name)
        {
            self.zone.set_name(name);
            return at + 4;
        }
        at
    }

    // --- Numbers ---

    /// The order of these questions is what makes a number a time or a part of a date.
    fn take_number(&mut self, at: usize, number: Number<'a>) -> Result<usize, Reason> {
        if self.take_compact(at, number)? {
            return Ok(at + 1);
        }
        if let Some((unit, end)) = self.unit_of(at)? {
            self.clock.set(unit, number);
            return Ok(end);
        }
        let token = Token::Number(number);
        match self.token(at + 1) {
            Some(Token::Mark(':')) if at + 2 < self.tokens.len() => self.take_clock(at, number),
            Some(Token::Mark(separator @ ('-' | '/' | '.'))) => {
                self.take_separated(at, token, separator)
            }
            Some(next) if !next.is_filler() => {
                if let Some(half) = next.half()
                    && number.value() < 24
                {
                    self.clock.set_half(number.value(), half);
                    return Ok(at + 2);
                }
                if self.date.could_be_day(number) {
                    self.date.push_number(number)?;
                    return Ok(at + 1);
                }
                Err(token.unexpected())
            }
            // The filler goes with the number.
            _ => {
                if let Some(half) = self.token(at + 2).and_then(Token::half) {
                    self.clock.set_half(number.value(), half);
                    return Ok(at + 3);
                }
                self.date.push_number(number)?;
                Ok(at + 2)
            }
        }
    }

    /// Dates and times without separators, told by their width: `15` and `1517` behind a full
    /// date, `190615`, `151738.5`, `20190615`, `201906151517`, `20190615151738`.
    fn take_compact(&mut self, at: usize, number: Number<'a>) -> Result<bool, Reason> {
        let next = self.token(at + 1);
        let is_clock = self.date.is_full()
            && self.clock.hour.is_none()
            && next != Some(Token::Mark(':'))
            && next.and_then(Token::unit).is_none();
        let whole = number.whole();
        let has_fraction = number.integer().is_none();
        match number.width() {
            2 | 4 if is_clock && !has_fraction => {
                self.clock.hour = Some(two_digits(whole, 0));
                if whole.len() == 4 {
                    self.clock.minute = Some(two_digits(whole, 2));
                }
            }
            6 if !has_fraction && self.date.is_empty() => {
                for start in [0, 2, 4] {
                    self.date.push_pair(two_digits(whole, start))?;
                }
            }
            6.. if whole.len() == 6 => {
                self.clock.hour = Some(two_digits(whole, 0));
                self.clock.minute = Some(two_digits(whole, 2));
                self.clock.set_whole_second(two_digits(whole, 4));
                self.clock.set_fraction(number);
            }
            8 | 12 | 14 if !has_fraction => {
                self.date
                    .push_year(two_digits(whole, 0) * 100 + two_digits(whole, 2))?;
                self.date.push_pair(two_digits(whole, 4))?;
                self.date.push_pair(two_digits(whole, 6))?;
                if whole.len() > 8 {
                    self.clock.hour = Some(two_digits(whole, 8));
                    self.clock.minute = Some(two_digits(whole, 10));
                }
                if whole.len() > 12 {
                    self.clock.set_whole_second(two_digits(whole, 12));
                }
            }
            // Of such a width, but cut through by its point.
            4 if is_clock => return Err(Token::Number(number).unexpected()),
            6 | 8 | 12 | 14 => return Err(Token::Number(number).unexpected()),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The unit that the number at `at` has, and the index behind both: the one that follows it,
    /// or else, in `10h36`, the one below that in front of it.
    fn unit_of(&self, at: usize) -> Result<Option<(Unit, usize)>, Reason> {
        let unit = |at: usize| self.token(at).and_then(Token::unit);
        if let Some(unit) = unit(at + 1) {
            return Ok(Some((unit, at + 2)));
        }
        if self.is_mark(at + 1, ' ')
            && let Some(unit) = unit(at + 2)
        {
            return Ok(Some((unit, at + 3)));
        }
        let is_last = at + 1 == self.tokens.len();
        let above = match at {
            0 => None,
            1 => unit(0),
            _ if is_last && self.is_mark(at - 1, ' ') => unit(at - 2),
            _ => unit(at - 1),
        };
        match above {
            None => Ok(None),
            Some(Unit::Hour) => Ok(Some((Unit::Minute, at + 1))),
            Some(Unit::Minute) => Ok(Some((Unit::Second, at + 1))),
            // dateutil drops this number, which may well have been the year.
            Some(Unit::Second) => Err(self.required(at)?.unexpected()),
        }
    }

    /// `15:17`, `15:17.5`, `15:17:38.5`.
    fn take_clock(&mut self, at: usize, hour: Number<'a>) -> Result<usize, Reason> {
        let number = |token: Token<'a>| match token {
            Token::Number(number) => Ok(number),
            other => Err(other.unexpected()),
        };
        self.clock.hour = Some(hour.value());
        self.clock.set_minute(number(self.required(at + 2)?)?);
        if !self.is_mark(at + 3, ':') {
            return Ok(at + 3);
        }
        self.clock.set_second(number(self.required(at + 4)?)?);
        Ok(at + 5)
    }

    /// `15-06-2019`, `15/Jun/2019`, `06-15`, and a number that a lone separator follows.
    fn take_separated(
        &mut self,
        at: usize,
        first: Token<'a>,
        separator: char,
    ) -> Result<usize, Reason> {
        self.push_digits(first)?;
        let Some(second) = self.token(at + 2).filter(|token| !token.is_filler()) else {
            return Ok(at + 2);
        };
        self.push_digits_or_month(second)?;
        if !self.is_mark(at + 3, separator) {
            return Ok(at + 3);
        }
        self.push_digits_or_month(self.required(at + 4)?)?;
        Ok(at + 5)
    }

    fn push_digits_or_month(&mut self, token: Token<'a>) -> Result<(), Reason> {
        match token.month() {
            Some(month) => self.date.push_named_month(month),
            None => self.push_digits(token),
        }
    }

    fn push_digits(&mut self, token: Token<'a>) -> Result<(), Reason> {
        match token {
            Token::Number(number) if number.integer().is_some() => self.date.push_text(number),
            other => Err(other.unexpected()),
        }
    }

    // --- The end ---

    fn finish(self, today: NaiveDate) -> Result<Reading, Reason> {
        if self.date.is_empty() && self.weekday.is_none() && self.clock.is_empty() {
            return Err(Reason::NoDate);
        }
        let (date, has_day) = self.date.resolve(today)?;
        let date = match self.weekday {
            Some(weekday) if !has_day => first_on_or_after(date, weekday)?,
            _ => date,
        };
        let local = super::local(date, self.clock.checked()?)?;
        let zone = self.zone.resolve();
        Ok(Reading { local, zone })
    }
}

fn first_on_or_after(date: NaiveDate, weekday: Weekday) -> Result<NaiveDate, Reason> {
    let ahead = weekday.days_since(date.weekday());
    date.checked_add_days(Days::new(u64::from(ahead)))
        .ok_or(Reason::Years)
}

/// The value of the two digits that start at `start`.
fn two_digits(digits: &str, start: usize) -> i64 {
    digits.get(start..start + 2).map_or(0, lexer::value)
}
