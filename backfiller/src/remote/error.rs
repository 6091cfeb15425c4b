//! Why a peer did not give what it was asked for.

use std::time::Duration;

use chrono::{DateTime, Utc};
use common::http::{HttpError, shown};
use reqwest::header::RETRY_AFTER;
use reqwest::{Response, StatusCode};
use url::Url;

/// A peer that has too much to do is asked again after this, at the soonest …
const SHORTEST_RESPITE: Duration = Duration::from_secs(1);

/// … and this is as good as for ever.
const LONGEST_RESPITE: Duration = Duration::from_secs(86_400);

/// Why a peer did not give what it was asked for. One line.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The request failed.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// It has too much to do, and says when to come again.
    #[error("{url} answered {status}, come again in {after:?}")]
    Busy {
        /// What was asked.
        url: Box<str>,
        /// What it answered.
        status: StatusCode,
        /// How long it wants to be left alone.
        after: Duration,
    },
    /// No head came.
    #[error("{url} did not answer in {after:?}")]
    Silent {
        /// What was asked.
        url: Box<str>,
        /// How long was waited.
        after: Duration,
    },
    /// The body stood still.
    #[error("the body of {url} stood still for {after:?}")]
    Stalled {
        /// What was asked.
        url: Box<str>,
        /// How long was waited.
        after: Duration,
    },
    /// The body came, but too slowly.
    #[error("{url} did not end in {after:?}")]
    Slow {
        /// What was asked.
        url: Box<str>,
        /// How long was waited.
        after: Duration,
    },
    /// Not a JSON array of strings.
    #[error("{url} is not a list of names: {reason}")]
    NotAList {
        /// What was asked.
        url: Box<str>,
        /// What was found.
        reason: String,
    },
    /// The body's end is not marked: nobody could tell whether all of it came.
    #[error("{url} does not say where its body ends")]
    NoEnd {
        /// What was asked.
        url: Box<str>,
    },
}

impl RemoteError {
    /// True iff the peer gave no answer at all: it may be down.
    #[must_use]
    pub fn is_silence(&self) -> bool {
        matches!(
            self,
            RemoteError::Silent { .. } | RemoteError::Http(HttpError::NoResponse { .. })
        )
    }

    /// How long the peer wants to be left alone, if that is what it says.
    #[must_use]
    pub fn come_again(&self) -> Option<Duration> {
        match self {
            RemoteError::Busy { after, .. } => Some(*after),
            _ => None,
        }
    }

    /// True iff the peer does not have what it was asked for.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, RemoteError::Http(error) if error.status() == Some(StatusCode::NOT_FOUND))
    }

    /// True iff the connection failed us, before or in the middle of the answer, rather than
    /// the answer itself.
    #[must_use]
    pub fn is_transport(&self) -> bool {
        let in_the_middle = matches!(
            self,
            RemoteError::Stalled { .. }
                | RemoteError::Slow { .. }
                | RemoteError::Http(HttpError::Body { .. })
        );
        in_the_middle || self.is_silence()
    }
}

/// What an answer that is no success means.
pub(super) fn refusal(url: &Url, response: &Response) -> RemoteError {
    let (url, status) = (shown(url), response.status());
    let is_busy = [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::SERVICE_UNAVAILABLE,
    ]
    .contains(&status);
    let after = response.headers().get(RETRY_AFTER);
    let after = after.and_then(|after| come_again(after.to_str().ok()?, Utc::now()));
    match after.filter(|_| is_busy) {
        Some(after) => RemoteError::Busy { url, status, after },
        None => RemoteError::Http(HttpError::Status { url, status }),
    }
}

/// What `Retry-After` says (RFC 9110 §10.2.3): a number of seconds, or a date.
fn come_again(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    let time = match text.trim().parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = DateTime::parse_from_rfc2822(text.trim()).ok()?;
            let time = date.with_timezone(&Utc) - now;
            time.to_std().unwrap_or_default()
        }
    };
    Some(time.clamp(SHORTEST_RESPITE, LONGEST_RESPITE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_come_again_is_seconds_or_a_date_and_bounded() {
        let now = "2026-11-06T08:49:37Z".parse().unwrap();
        let table = [
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("0", Some(1)),
            ("18446744073709551615", Some(86_400)),
            ("Fri, 06 Nov 2026 08:49:57 GMT", Some(20)),
            ("Fri, 06 Nov 2026 08:49:30 GMT", Some(1)),
            ("Fri, 06 Nov 2099 08:49:30 GMT", Some(86_400)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ];
        for (text, seconds) in table {
            let expected = seconds.map(Duration::from_secs);
            assert_eq!(come_again(text, now), expected, "{text}");
        }
    }
}
