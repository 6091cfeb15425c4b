//! The query's parameters, each read once and by name; what cannot be read is a 400 that names
//! it (SPEC §4). Parameters that a route does not know are ignored.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use common::dateutil::parse_utc_only;
use url::form_urlencoded;

use crate::error::{ApiError, shown};

/// The parameters of one request.
#[derive(Debug, Default)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// Takes a query apart, without the `?`.
    pub(crate) fn parse(query: Option<&str>) -> Params {
        let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        Params(pairs.into_owned().collect())
    }

    /// A parameter that may be there any number of times, in order.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let values = self.0.iter().filter(move |(key, _)| key == name);
        values.map(|(_, value)| value.as_str())
    }

    /// A parameter that may be there once.
    ///
    /// # Errors
    /// 400 if it is given twice.
    pub(crate) fn single(&self, name: &str) -> Result<Option<&str>, ApiError> {
        let mut values = self.0.iter().filter(|(key, _)| key == name);
        let first = values.next().map(|(_, value)| value.as_str());
        match values.next() {
            Some(_) => Err(ApiError::BadRequest(format!("{name} is given twice"))),
            None => Ok(first),
        }
    }

    /// A time: ISO 8601 in UTC, any zone in it ignored.
    ///
    /// # Errors
    /// 400 if it is given twice or cannot be read.
    pub(crate) fn time(&self, name: &str) -> Result<Option<DateTime<Utc>>, ApiError> {
        let text = self.single(name)?;
        text.map(|text| parse_time(name, text)).transpose()
    }

    /// `true` or `false`; false if it is not given.
    ///
    /// # Errors
    /// 400 if it is given twice or is neither.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, ApiError> {
        match self.single(name)? {
            None => Ok(false),
            // Python's clients write `True`.
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(text) => Err(ApiError::BadRequest(format!(
                "{name}: {} is neither true nor false",
                shown(text)
            ))),
        }
    }

    /// `start` and `end`, of which the second must be after the first.
    ///
    /// # Errors
    /// 400 if one cannot be read or they are the wrong way round.
    pub(crate) fn bounds(&self) -> Result<Bounds, ApiError> {
        let (start, end) = (self.time("start")?, self.time("end")?);
        if let (Some(start), Some(end)) = (start, end)
            && end <= start
        {
            let show = |time: DateTime<Utc>| time.to_rfc3339();
            return Err(ApiError::BadRequest(format!(
                "end ({}) is not after start ({})",
                show(end),
                show(start)
            )));
        }
        Ok(Bounds { start, end })
    }
}

/// Reads the time of a parameter: ISO 8601 in UTC, any zone in it ignored.
///
/// # Errors
/// 400 that names the parameter.
pub(crate) fn parse_time(name: &str, text: &str) -> Result<DateTime<Utc>, ApiError> {
    let time = parse_utc_only(&with_plus(text));
    time.map_err(|error| ApiError::BadRequest(format!("{name}: {error}")))
}

/// Puts the `+` back that stands before a zone in `2020-01-02T03:04:05+05:00`: not
/// percent-encoded, it arrives as a blank, and what follows would be read as another time.
fn with_plus(text: &str) -> Cow<'_, str> {
    let text = text.trim();
    let Some((time, zone)) = text.rsplit_once(' ') else {
        return text.into();
    };
    let time = time.trim_end();
    let last = time.rsplit([' ', 'T', 't']).next().unwrap_or_default();
    let is_zone = match zone.contains(':') {
        // Two times of day in a row are none.
        true => is_of(zone, b":") && (is_of(last, b":.,") && last.contains(':') || is_iso(time)),
        // As it is, it could be a year.
        false => is_of(zone, b"") && zone.len() <= 4 && is_iso(time),
    };
    match is_zone {
        true => format!("{time}+{zone}").into(),
        false => text.into(),
    }
}

/// True iff a text is a whole date and a time in figures, as ISO 8601 has them.
fn is_iso(text: &str) -> bool {
    let Some((date, time)) = text.split_once(['T', 't', ' ']) else {
        return false;
    };
    let is_whole = date.matches('-').count() == 2 || date.len() == 8;
    is_whole && is_of(date, b"-") && is_of(time, b":.,")
}

/// True iff there is nothing but figures in a text, and some of `others`.
fn is_of(text: &str, others: &[u8]) -> bool {
    let is_one = |byte: u8| byte.is_ascii_digit() || others.contains(&byte);
    !text.is_empty() && text.bytes().all(is_one)
}

/// What a request says of a range; if both are there, `end` is after `start`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Its first instant.
    pub(crate) start: Option<DateTime<Utc>>,
    /// The first instant after it.
    pub(crate) end: Option<DateTime<Utc>>,
}

impl Bounds {
    /// How many hours lie between them, if both are given.
    pub(crate) fn hours(self) -> Option<i64> {
        let (start, end) = (self.start?, self.end?);
        Some((end - start).num_hours())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(query: &str) -> String {
        let params = Params::parse(Some(query));
        let error = params.bounds().map(drop).and(params.flag("on").map(drop));
        error.unwrap_err().to_string()
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let table: [(&str, &[&str]); 8] = [
            ("start=nonsense", &["start", "nonsense"]),
            ("end=2019-02-30", &["end", "2019-02-30"]),
            ("start=", &["start", "empty"]),
            ("end=%ff%0a", &["end"]),
            ("start=2020-01-01&start=2020-01-01", &["start", "twice"]),
            ("start=2020-01-02&end=2020-01-01", &["end", "not after"]),
            ("start=2020-01-02&end=2020-01-02", &["end", "not after"]),
            ("on=ja%0d%0a", &["on", "ja\\r\\n", "neither"]),
        ];
        for (query, parts) in table {
            let message = message(query);
            assert!(!message.contains(['\n', '\r']), "{message:?}");
            for part in parts {
                assert!(message.contains(part), "{query}: {message}");
            }
        }
    }

    #[test]
    fn times_and_flags() {
        let expected = parse_utc_only("2020-01-02T03:04:05").unwrap();
        for query in [
            "start=2020-01-02T03:04:05",
            "start=2020-01-02T03:04:05Z&other=1&other=2",
            "start=2020-01-02T03%3A04%3A05.000%2B05:00",
            "start=2020-01-02T03:04:05+05:00",
            "start=2020-01-02T03:04:05+0500+",
            "start=2020-01-02+03:04:05+05:00",
            "start=20200102T030405+05",
            "start=20200102T030405+05:00",
            "start=2020-01-02T03:04:05+5:00",
            "start=2020-01-02T03:04:05++05:00",
            "start=2020-01-02+03:04:05++0500",
            "start=2020/01/02+03:04:05+05:00",
            "start=Jan+2+2020+03:04:05+05:00",
            "start=01-02+03:04:05+2020",
            "start=20200102+03:04:05.0+0500",
            "start=2020-01-02T03:04:05+%2B0500",
            "start=2020-01-02T03:04:05+-0500",
            "start=2020-01-02T03:04:05+Z",
            "start=2020-01-02T03:04:05+UTC",
            "start=2020-01-02T03:04:05+AM",
            "start=2020-01-02+03:04:05",
            "start=Jan+2+03:04:05+2020",
            "start=2+Jan+03:04:05+2020",
        ] {
            let bounds = Params::parse(Some(query)).bounds().unwrap();
            assert_eq!(bounds.start, Some(expected), "{query}");
            assert_eq!(bounds.end, None);
        }
        for (query, value) in [
            (None, false),
            (Some("on=false"), false),
            (Some("on=true"), true),
            (Some("on=True"), true),
        ] {
            assert_eq!(Params::parse(query).flag("on").unwrap(), value);
        }
    }
}
