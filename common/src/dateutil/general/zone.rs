//! What a text says of its zone: an offset, a name or both, and the names that we can convert.

use super::super::Zone;
use super::super::lexer::Token;

/// The zones of RFC 2822, 4.3, in seconds east of UTC. Others, such as `IST` or `BST`, mean
/// different things in different countries.
const NAMED: [(&str, i64); 9] = [
    ("UT", 0),
    ("EST", -5 * 3600),
    ("EDT", -4 * 3600),
    ("CST", -6 * 3600),
    ("CDT", -5 * 3600),
    ("MST", -7 * 3600),
    ("MDT", -6 * 3600),
    ("PST", -8 * 3600),
    ("PDT", -7 * 3600),
];

#[derive(Default)]
pub(super) struct ZoneParts<'a> {
    name: Option<&'a str>,
    /// Seconds east of UTC.
    offset: Option<i64>,
}

impl<'a> ZoneParts<'a> {
    /// Whether `word` may be the zone's name at a place where a time has been read.
    pub(super) fn could_be_named(&self, word: &str) -> bool {
        self.offset.is_none() && self.could_be_comment(word)
    }

    /// Whether `word` may be the name of a zone of which the offset is known.
    pub(super) fn could_be_comment(&self, word: &str) -> bool {
        // Python takes `NAN` and `INF` for numbers, and then refuses them.
        let looks_like_one = word.len() <= 5
            && word.bytes().all(|byte| byte.is_ascii_uppercase())
            && !matches!(word, "NAN" | "INF");
        self.name.is_none() && (looks_like_one || word == "z")
    }

    pub(super) fn set_name(&mut self, name: &'a str) {
        self.name = Some(name);
    }

    /// `sign` is 1 for an offset east of UTC, -1 for one west of it.
    pub(super) fn set_offset(&mut self, sign: i64, hours: i64, minutes: i64) {
        let minutes = hours.saturating_mul(60).saturating_add(minutes);
        self.offset = Some(minutes.saturating_mul(60 * sign));
    }

    pub(super) fn resolve(self) -> Zone {
        match (self.name, self.offset) {
            // As dateutil does, even against an offset: `GMT +3`.
            (Some(name), _) if is_utc(name) => Zone::Offset(0),
            (_, Some(offset)) => Zone::Offset(offset),
            // `10:30 ON 15 JUNE 2019`: shouting makes no zone of filler.
            (Some(name), None) if Token::Word(name).is_filler() => Zone::Absent,
            (Some(name), None) => from_name(name),
            (None, None) => Zone::Absent,
        }
    }
}

pub(super) fn is_utc(name: &str) -> bool {
    matches!(name, "UTC" | "GMT" | "Z" | "z")
}

fn from_name(name: &str) -> Zone {
    // RFC 2822: military letters have been used with either sign and say nothing. There is no `J`.
    if name.len() == 1 && name != "J" {
        return Zone::Offset(0);
    }
    match NAMED.iter().find(|(known, _)| *known == name) {
        Some((_, offset)) => Zone::Offset(*offset),
        None => Zone::Unknown(name.to_owned()),
    }
}
