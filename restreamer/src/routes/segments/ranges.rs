//! The `Range` header (RFC 9110 §14): which bytes to send. Pure.

use axum::http::{HeaderMap, header};
use uuid::Uuid;

use super::body::Part;

/// More ranges than a player ever asks for at once; a request for more gets the whole file.
const MAX_RANGES: usize = 32;

/// Some bytes of a file: from `start` up to, but not including, `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u64,
    /// Never before `start`; after it iff the span came from a request.
    pub(crate) end: u64,
}

impl Span {
    /// How many bytes.
    pub(super) fn length(self) -> u64 {
        self.end - self.start
    }

    /// The value of `Content-Range` for a file of this length. The span is not empty.
    pub(super) fn content_range(self, length: u64) -> String {
        format!("bytes {}-{}/{length}", self.start, self.end - 1)
    }
}

/// What to send of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ranges {
    /// All of it: no ranges were asked for, or such as a server may ignore.
    Whole,
    /// One range.
    One(Span),
    /// Several, in the order in which they were asked for.
    Many(Vec<Span>),
    /// None of the ranges lies in the file.
    Unsatisfiable,
}

/// Reads a request's `Range` for a file of `length` bytes. A header that is malformed, of
/// another unit, given twice, or asks for too many ranges or more than the file counts as
/// none (RFC 9110 §14.2 leaves that to the server).
pub(super) fn of(request: &HeaderMap, length: u64) -> Ranges {
    let mut values = request.get_all(header::RANGE).into_iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Ranges::Whole;
    };
    let parsed = value.to_str().ok().and_then(|text| parse(text, length));
    parsed.unwrap_or(Ranges::Whole)
}

/// `None` if the text is not a well-formed set of byte ranges that we serve.
fn parse(text: &str, length: u64) -> Option<Ranges> {
    let (unit, set) = text.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let mut spans = Vec::new();
    let mut specs = 0;
    // Empty elements of a list are skipped (RFC 9110 §5.6.1).
    for spec in set.split(',').map(str::trim).filter(|s| !s.is_empty()) {
        specs += 1;
        if specs > MAX_RANGES {
            return None;
        }
        spans.extend(parse_spec(spec, length)?);
    }
    let total: u64 = spans
        .iter()
        .map(|span| span.length())
        .fold(0, u64::saturating_add);
    match spans.as_slice() {
        _ if specs == 0 => None,
        [] => Some(Ranges::Unsatisfiable),
        [span] => Some(Ranges::One(*span)),
        _ if total > length => None,
        _ => Some(Ranges::Many(spans)),
    }
}

/// Reads `FIRST-LAST`, `FIRST-` or `-SUFFIX`. The outer `None`: malformed; the inner: outside of
/// the file.
fn parse_spec(spec: &str, length: u64) -> Option<Option<Span>> {
    let (first, last) = spec.split_once('-')?;
    let (first, last) = (first.trim_end(), last.trim_start());
    let span = if first.is_empty() {
        Span {
            start: length.saturating_sub(number(last)?),
            end: length,
        }
    } else {
        let start = number(first)?;
        let end = match last {
            "" => u64::MAX,
            last => {
                let last = number(last)?;
                if last < start {
                    return None;
                }
                last.saturating_add(1)
            }
        };
        Span {
            start,
            end: end.min(length),
        }
    };
    Some((span.start < span.end).then_some(span))
}

/// Digits alone; a number that does not fit is as good as the largest.
fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX))
}

/// The body of an answer with several ranges, and its content type (RFC 9110 §14.6). `inner` is
/// the file's own content type, `length` its length.
pub(super) fn multipart(spans: &[Span], inner: &str, length: u64) -> (String, Vec<Part>) {
    // Random: no file's content can hold it by accident.
    let boundary = Uuid::new_v4().simple();
    let mut parts = Vec::with_capacity(spans.len() * 2 + 1);
    for span in spans {
        let head = format!(
            "\r\n--{boundary}\r\nContent-Type: {inner}\r\nContent-Range: {}\r\n\r\n",
            span.content_range(length)
        );
        parts.push(Part::Text(head.into()));
        parts.push(Part::File(*span));
    }
    parts.push(Part::Text(format!("\r\n--{boundary}--\r\n").into()));
    (format!("multipart/byteranges; boundary={boundary}"), parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn span(start: u64, end: u64) -> Span {
        Span { start, end }
    }

    #[test]
    fn what_is_asked_for_and_what_is_ignored() {
        let one = |start, end| Some(Ranges::One(span(start, end)));
        let many = |spans: &[(u64, u64)]| {
            Some(Ranges::Many(
                spans.iter().map(|&(s, e)| span(s, e)).collect(),
            ))
        };
        let table = [
            ("bytes=0-0", one(0, 1)),
            ("bytes=0-99", one(0, 100)),
            ("bytes=0-", one(0, 100)),
            ("bytes=99-", one(99, 100)),
            ("bytes=-1", one(99, 100)),
            ("bytes=-1000", one(0, 100)),
            ("bytes=90-1000", one(90, 100)),
            ("bytes=90-99999999999999999999999999", one(90, 100)),
            ("BYTES = 1 - 2 ", one(1, 3)),
            ("bytes=,1-2,,", one(1, 3)),
            ("bytes=0-1,5-6", many(&[(0, 2), (5, 7)])),
            ("bytes=-2, 0-1", many(&[(98, 100), (0, 2)])),
            ("bytes=200-,5-6", one(5, 7)),
            ("bytes=100-", Some(Ranges::Unsatisfiable)),
            ("bytes=-0", Some(Ranges::Unsatisfiable)),
            ("bytes=100-,200-300", Some(Ranges::Unsatisfiable)),
            ("bytes=0-60,40-99", None),
            ("bytes=2-1", None),
            ("bytes=", None),
            ("bytes=-", None),
            ("bytes=a-b", None),
            ("bytes=+1-2", None),
            ("bytes=1", None),
            ("lines=1-2", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text, 100), expected, "{text}");
        }
        assert_eq!(parse("bytes=0-", 0), Some(Ranges::Unsatisfiable));
        let too_many = format!("bytes={}", "0-0,".repeat(MAX_RANGES + 1));
        assert_eq!(parse(&too_many, 1000), None);
    }

    #[test]
    fn a_range_given_twice_counts_as_none() {
        let mut request = HeaderMap::new();
        request.append(header::RANGE, "bytes=0-1".parse().unwrap());
        assert_eq!(of(&request, 9), Ranges::One(span(0, 2)));
        request.append(header::RANGE, "bytes=0-1".parse().unwrap());
        assert_eq!(of(&request, 9), Ranges::Whole);
    }

    proptest! {
        #[test]
        fn every_span_lies_in_the_file(
            text in "bytes=([0-9]{0,3}-?[0-9]{0,3},? ?){0,5}",
            length in 0_u64..1000,
        ) {
            let spans = match parse(&text, length) {
                Some(Ranges::One(span)) => vec![span],
                Some(Ranges::Many(spans)) => spans,
                _ => vec![],
            };
            for span in &spans {
                prop_assert!(span.start < span.end && span.end <= length);
            }
            let total: u64 = spans.iter().map(|span| span.length()).sum();
            prop_assert!(total <= length);
        }
    }
}
