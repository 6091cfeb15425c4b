//! Cuts a timestamp into numbers, words and marks, and knows the vocabulary: months, weekdays,
//! units, filler. What the tokens mean together is for `general`.

use chrono::Weekday;

use super::iso::fraction_of;
use super::{Reason, is_blank};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Number(Number<'a>),
    /// ASCII letters.
    Word(&'a str),
    /// Any other character; each blank, of whatever kind, is a `' '` of its own.
    Mark(char),
}

/// ASCII digits, perhaps with a decimal fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number<'a> {
    /// Never empty.
    whole: &'a str,
    /// The digits behind the point; never empty.
    fraction: Option<&'a str>,
}

/// Cuts `text` into tokens.
///
/// A dot is hard to place: it separates in `15.Jun.2019` and is a decimal point in `15:17:38.5`.
/// Hence all that dots connect is looked at as one chunk, and only a chunk of the form `1.5` or
/// `15,5` is one number. A comma behind a single digit never is a decimal point.
pub(super) fn split(text: &str) -> Result<Vec<Token<'_>>, Reason> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if first.is_ascii_alphanumeric() {
            let (chunk, behind) = rest.split_at(chunk_length(rest.as_bytes()));
            split_chunk(chunk, &mut tokens)?;
            rest = behind;
            continue;
        }
        tokens.push(match first {
            '.' | ',' | ';' | ':' | '-' | '+' | '/' | '\'' | '(' | ')' => Token::Mark(first),
            blank if is_blank(blank) => Token::Mark(' '),
            other => {
                return Err(Reason::Unexpected(super::quoted(
                    other.encode_utf8(&mut [0; 4]),
                )));
            }
        });
        rest = rest.split_at(first.len_utf8()).1;
    }
    Ok(tokens)
}

/// How many bytes dots connect to the letter or digit at the start. Digits and letters meet only
/// across a dot, never directly.
fn chunk_length(bytes: &[u8]) -> usize {
    let mut only_digits = true;
    let mut previous = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let belongs = at == 0
            || match byte {
                b'.' => true,
                b',' => only_digits && at >= 2,
                b'0'..=b'9' => matches!(previous, b'0'..=b'9' | b'.' | b','),
                letter if letter.is_ascii_alphabetic() => {
                    previous == b'.' || previous.is_ascii_alphabetic()
                }
                _ => false,
            };
        if !belongs {
            return at;
        }
        only_digits &= byte.is_ascii_digit();
        previous = byte;
    }
    bytes.len()
}

fn split_chunk<'a>(chunk: &'a str, tokens: &mut Vec<Token<'a>>) -> Result<(), Reason> {
    let is_number = chunk.starts_with(|c: char| c.is_ascii_digit())
        && chunk.ends_with(|c: char| c.is_ascii_digit())
        && !chunk.contains(|c: char| c.is_ascii_alphabetic());
    if is_number && let Some((whole, fraction)) = chunk.split_once(['.', ',']) {
        if all_digits(fraction) {
            let fraction = Some(fraction);
            tokens.push(Token::Number(Number { whole, fraction }));
            return Ok(());
        }
        // `12,345.6` is neither one number nor a date.
        if chunk.contains(',') && chunk.matches('.').count() == 1 {
            return Err(Reason::Unexpected(chunk.to_owned()));
        }
    }
    for piece in chunk.split_inclusive(['.', ',']) {
        let text = piece.trim_end_matches(['.', ',']);
        if all_digits(text) {
            let (whole, fraction) = (text, None);
            tokens.push(Token::Number(Number { whole, fraction }));
        } else if !text.is_empty() {
            tokens.push(Token::Word(text));
        }
        tokens.extend(
            piece
                .strip_prefix(text)
                .and_then(|mark| mark.chars().next())
                .map(Token::Mark),
        );
    }
    Ok(())
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl<'a> Number<'a> {
    /// The digits, if there is no fraction.
    pub(super) fn integer(self) -> Option<&'a str> {
        match self.fraction {
            Some(_) => None,
            None => Some(self.whole),
        }
    }

    /// How long it was as written, with its point.
    pub(super) fn width(self) -> usize {
        self.whole.len() + self.fraction.map_or(0, |digits| 1 + digits.len())
    }

    /// The digits in front of the point.
    pub(super) fn whole(self) -> &'a str {
        self.whole
    }

    /// The value without its fraction.
    pub(super) fn value(self) -> i64 {
        value(self.whole)
    }

    pub(super) fn exceeds(self, bound: i64) -> bool {
        self.value() > bound || (self.value() == bound && self.has_remainder())
    }

    /// Whether there is a fraction other than zero.
    pub(super) fn has_remainder(self) -> bool {
        self.fraction
            .is_some_and(|digits| digits.bytes().any(|digit| digit != b'0'))
    }

    /// The fraction in units of `1 / unit`, rounded down.
    pub(super) fn remainder(self, unit: i64) -> i64 {
        self.fraction
            .map_or(0, |digits| fraction_of(digits.as_bytes(), unit))
    }
}

/// The value of ASCII digits; beyond an `i64` the greatest one, which no field accepts.
pub(super) fn value(digits: &str) -> i64 {
    digits.bytes().fold(0_i64, |value, digit| {
        value
            .saturating_mul(10)
            .saturating_add(i64::from(digit.saturating_sub(b'0')))
    })
}

impl<'a> Token<'a> {
    pub(super) fn word(self) -> Option<&'a str> {
        match self {
            Self::Word(word) => Some(word),
            _ => None,
        }
    }

    /// The token as an error names it.
    pub(super) fn unexpected(self) -> Reason {
        Reason::Unexpected(match self {
            Self::Number(Number { whole, fraction }) => match fraction {
                Some(fraction) => format!("{whole}.{fraction}"),
                None => whole.to_owned(),
            },
            Self::Word(word) => word.to_owned(),
            Self::Mark(mark) => mark.to_string(),
        })
    }

    /// Whether it may stand between the parts of a timestamp without a meaning of its own: `t` from
    /// ISO, `m` from `a.m.`, ordinal endings.
    pub(super) fn is_filler(self) -> bool {
        match self {
            Self::Number(_) => false,
            Self::Word(word) => among(
                word,
                &[
                    "at", "on", "and", "ad", "m", "t", "of", "st", "nd", "rd", "th",
                ],
            ),
            Self::Mark(mark) => matches!(mark, ' ' | '.' | ',' | ';' | '-' | '/' | '\''),
        }
    }

    pub(super) fn unit(self) -> Option<Unit> {
        let word = self.word()?;
        [
            (Unit::Hour, ["h", "hour", "hours"]),
            (Unit::Minute, ["m", "minute", "minutes"]),
            (Unit::Second, ["s", "second", "seconds"]),
        ]
        .into_iter()
        .find_map(|(unit, names)| among(word, &names).then_some(unit))
    }

    /// Which half of the day it names.
    pub(super) fn half(self) -> Option<Half> {
        let word = self.word()?;
        if among(word, &["am", "a"]) {
            Some(Half::Morning)
        } else if among(word, &["pm", "p"]) {
            Some(Half::Afternoon)
        } else {
            None
        }
    }

    /// 1 to 12, from a month's English name or its first three letters.
    pub(super) fn month(self) -> Option<i64> {
        const MONTHS: [&str; 12] = [
            "january",
            "february",
            "march",
            "april",
            "may",
            "june",
            "july",
            "august",
            "september",
            "october",
            "november",
            "december",
        ];
        let word = self.word()?;
        if word.eq_ignore_ascii_case("sept") {
            return Some(9);
        }
        (1..)
            .zip(MONTHS)
            .find_map(|(number, name)| is_name(word, name).then_some(number))
    }

    pub(super) fn weekday(self) -> Option<Weekday> {
        let word = self.word()?;
        [
            (Weekday::Mon, "monday"),
            (Weekday::Tue, "tuesday"),
            (Weekday::Wed, "wednesday"),
            (Weekday::Thu, "thursday"),
            (Weekday::Fri, "friday"),
            (Weekday::Sat, "saturday"),
            (Weekday::Sun, "sunday"),
        ]
        .into_iter()
        .find_map(|(weekday, name)| is_name(word, name).then_some(weekday))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Hour,
    Minute,
    Second,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Half {
    Morning,
    Afternoon,
}

/// Whether `word` is `name`, or its first three letters.
fn is_name(word: &str, name: &str) -> bool {
    word.eq_ignore_ascii_case(name) || name.get(..3).is_some_and(|n| word.eq_ignore_ascii_case(n))
}

fn among(word: &str, names: &[&str]) -> bool {
    names.iter().any(|name| word.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tokens, numbers with `.` for whatever their point was, joined with `|`.
    fn tokens(text: &str) -> String {
        let show = |token: Token<'_>| match token {
            Token::Number(n) => n
                .fraction
                .map_or(n.whole.to_owned(), |f| format!("{}.{f}", n.whole)),
            Token::Word(word) => word.to_owned(),
            Token::Mark(mark) => mark.to_string(),
        };
        let tokens: Vec<_> = split(text).unwrap().into_iter().map(show).collect();
        tokens.join("|")
    }

    #[test]
    fn dots_are_decimal_points_only_in_lone_pairs_of_numbers() {
        assert_eq!(tokens("15:17:38.5Z"), "15|:|17|:|38.5|Z");
        assert_eq!(tokens("38,25 38,"), "38.25| |38|,");
        assert_eq!(tokens("8,25"), "8|,|25");
        assert_eq!(tokens("15.06.2019"), "15|.|06|.|2019");
        assert_eq!(tokens("15.Jun.2019"), "15|.|Jun|.|2019");
        assert_eq!(tokens("15,06.07.2019"), "15|,|06|.|07|.|2019");
        assert_eq!(tokens("a.m..5"), "a|.|m|.|.|5");
        assert_eq!(tokens("38."), "38|.");
        assert!(split("12,345.6").is_err());
    }

    #[test]
    fn digits_and_letters_part_by_themselves() {
        assert_eq!(tokens("10h36m"), "10|h|36|m");
        assert_eq!(tokens("15JUN2019"), "15|JUN|2019");
        assert_eq!(tokens("10\u{202f}\tPM"), "10| | |PM");
        assert!(split("10\u{e9}").is_err());
    }

    #[test]
    fn numbers_of_any_length_have_a_value() {
        assert_eq!(value("0019"), 19);
        assert_eq!(value(&"9".repeat(256)), i64::MAX);
    }
}
