//! Conditional requests (RFC 9110 §13): does the client have what it would get? Pure.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};

/// A date validates a range only if the file had not changed again within the second that the
/// date can tell (RFC 9110 §8.8.2.2).
const STRONG_AFTER: Duration = Duration::from_secs(2);

/// What tells one state of a file from another.
#[derive(Debug, Clone, Default)]
pub(super) struct Validators {
    /// A strong entity tag, in its quotation marks.
    pub(super) tag: Option<String>,
    /// When it last changed.
    pub(super) modified: Option<SystemTime>,
}

/// What to do with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Send it.
    Send,
    /// 304: the client has it.
    NotModified,
    /// 412: it is not what the client wants.
    Failed,
}

impl Validators {
    /// Of an answer that is worked out anew each time: a tag over all that it is made of.
    pub(super) fn of_content(content: &impl Hash) -> Validators {
        let mut hasher = DefaultHasher::new();
        // Another version may write something else from the same.
        env!("CARGO_PKG_VERSION").hash(&mut hasher);
        content.hash(&mut hasher);
        Validators {
            tag: Some(format!("\"{:016x}\"", hasher.finish())),
            modified: None,
        }
    }

    /// Tells the client, for the next time that it asks.
    pub(super) fn tell(&self, head: &mut HeaderMap) {
        let date = self.modified.and_then(http_date);
        for (name, value) in [
            (header::ETAG, self.tag.clone()),
            (header::LAST_MODIFIED, date),
        ] {
            if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
                head.insert(name, value);
            }
        }
    }
}

/// A time as HTTP writes it, to the second; `None` if it lies outside of HTTP's years.
fn http_date(time: SystemTime) -> Option<String> {
    // The library panics outside of 1970 to 9999.
    let seconds = time.duration_since(UNIX_EPOCH).ok()?.as_secs();
    (seconds < 253_402_300_800).then(|| httpdate::fmt_http_date(time))
}

impl Verdict {
    /// The status of an answer without content; `None` if the content is to be sent.
    pub(super) fn status(self) -> Option<StatusCode> {
        match self {
            Verdict::Send => None,
            Verdict::NotModified => Some(StatusCode::NOT_MODIFIED),
            Verdict::Failed => Some(StatusCode::PRECONDITION_FAILED),
        }
    }
}

/// Evaluates all conditions but `If-Range`, in the order of RFC 9110 §13.2.2.
pub(super) fn evaluate(request: &HeaderMap, validators: &Validators) -> Verdict {
    let tags = |name| {
        let values = request.get_all(name).into_iter();
        let texts: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
        (!texts.is_empty()).then(|| texts.join(","))
    };
    if let Some(wanted) = tags(header::IF_MATCH) {
        if !matches_any(&wanted, validators, false) {
            return Verdict::Failed;
        }
    } else if let Some(date) = date(request, &header::IF_UNMODIFIED_SINCE)
        && validators.modified.is_some_and(|time| whole(time) > date)
    {
        return Verdict::Failed;
    }
    if let Some(known) = tags(header::IF_NONE_MATCH) {
        if matches_any(&known, validators, true) {
            return Verdict::NotModified;
        }
    } else if let Some(date) = date(request, &header::IF_MODIFIED_SINCE)
        && validators.modified.is_some_and(|time| whole(time) <= date)
    {
        return Verdict::NotModified;
    }
    Verdict::Send
}

/// True iff `Range` counts: there is no `If-Range`, or it names what we have (RFC 9110 §13.1.5).
pub(super) fn range_applies(request: &HeaderMap, validators: &Validators) -> bool {
    let Some(condition) = request.get(header::IF_RANGE) else {
        return true;
    };
    let Ok(condition) = condition.to_str() else {
        return false;
    };
    if let Some(tag) = &validators.tag
        && condition == tag
    {
        return true;
    }
    let (Ok(date), Some(modified)) = (httpdate::parse_http_date(condition), validators.modified)
    else {
        return false;
    };
    let age = SystemTime::now().duration_since(modified);
    whole(modified) == date && age.is_ok_and(|age| age > STRONG_AFTER)
}

/// True iff a list of entity tags has ours, or is `*`. Tags marked as weak count only where
/// weak comparison is meant.
fn matches_any(list: &str, validators: &Validators, weak: bool) -> bool {
    if list.trim() == "*" {
        return true;
    }
    let Some(tag) = &validators.tag else {
        return false;
    };
    // Our tags hold no comma: one of theirs that does is not ours, however it is split.
    list.split(',').map(str::trim).any(|theirs| {
        let theirs = match theirs.strip_prefix("W/") {
            Some(theirs) if weak => theirs,
            Some(_) => return false,
            None => theirs,
        };
        theirs == tag
    })
}

/// A header's date; one that cannot be read counts as not given.
fn date(request: &HeaderMap, name: &header::HeaderName) -> Option<SystemTime> {
    let text = request.get(name)?.to_str().ok()?;
    httpdate::parse_http_date(text).ok()
}

/// A time without its fraction of a second, which HTTP's dates cannot tell.
fn whole(time: SystemTime) -> SystemTime {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => UNIX_EPOCH + Duration::from_secs(since.as_secs()),
        Err(_) => time,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderName;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|&(name, value)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        });
        pairs.collect()
    }

    fn validators() -> Validators {
        Validators {
            tag: Some("\"abc\"".to_owned()),
            // Sun, 06 Nov 1994 08:49:37.5 GMT
            modified: Some(UNIX_EPOCH + Duration::from_millis(784_111_777_500)),
        }
    }

    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    #[test]
    fn conditions_in_their_order() {
        use Verdict::{Failed, NotModified, Send};
        let table: [(&[(&str, &str)], Verdict); 16] = [
            (&[], Send),
            (&[("if-none-match", "\"abc\"")], NotModified),
            (&[("if-none-match", "W/\"abc\"")], NotModified),
            (&[("if-none-match", "\"x\", \"abc\"")], NotModified),
            (&[("if-none-match", "*")], NotModified),
            (&[("if-none-match", "abc")], Send),
            (&[("if-none-match", "\"x\"")], Send),
            // The tag decides, whatever the date says.
            (
                &[("if-none-match", "\"x\""), ("if-modified-since", SAME)],
                Send,
            ),
            (&[("if-modified-since", SAME)], NotModified),
            (&[("if-modified-since", BEFORE)], Send),
            (&[("if-modified-since", "nonsense")], Send),
            (&[("if-match", "\"abc\"")], Send),
            (&[("if-match", "W/\"abc\"")], Failed),
            (&[("if-match", "\"x\"")], Failed),
            (&[("if-unmodified-since", BEFORE)], Failed),
            (&[("if-unmodified-since", SAME)], Send),
        ];
        for (pairs, verdict) in table {
            let request = headers(pairs);
            assert_eq!(evaluate(&request, &validators()), verdict, "{pairs:?}");
        }
    }

    #[test]
    fn a_file_without_a_tag_goes_by_its_date_alone() {
        let only_date = Validators {
            tag: None,
            ..validators()
        };
        let request = headers(&[("if-none-match", "\"abc\"")]);
        assert_eq!(evaluate(&request, &only_date), Verdict::Send);
        let request = headers(&[("if-modified-since", SAME)]);
        assert_eq!(evaluate(&request, &only_date), Verdict::NotModified);
        let none = Validators::default();
        assert_eq!(evaluate(&request, &none), Verdict::Send);
    }

    #[test]
    fn a_range_counts_only_for_what_the_client_has() {
        let table = [
            ("\"abc\"", true),
            ("W/\"abc\"", false),
            ("\"x\"", false),
            (SAME, true),
            (BEFORE, false),
            ("nonsense", false),
        ];
        for (condition, applies) in table {
            let request = headers(&[("if-range", condition)]);
            let got = range_applies(&request, &validators());
            assert_eq!(got, applies, "{condition}");
        }
        assert!(range_applies(&HeaderMap::new(), &validators()));
        // Just changed: it may change again within the second.
        let now = SystemTime::now();
        let fresh = Validators {
            tag: None,
            modified: Some(now),
        };
        let mut request = HeaderMap::new();
        let date = HeaderValue::try_from(http_date(now).unwrap()).unwrap();
        request.insert(header::IF_RANGE, date);
        assert!(!range_applies(&request, &fresh));
    }

    #[test]
    fn dates_that_http_cannot_write_are_left_out() {
        assert_eq!(http_date(UNIX_EPOCH - Duration::from_secs(1)), None);
        let late = UNIX_EPOCH + Duration::from_secs(253_402_300_800);
        assert_eq!(http_date(late), None);
        assert_eq!(
            http_date(late - Duration::from_secs(1)).as_deref(),
            Some("Fri, 31 Dec 9999 23:59:59 GMT")
        );
    }
}
