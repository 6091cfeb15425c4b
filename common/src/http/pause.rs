//! How long a server that is asked too much wants to be left alone (RFC 9110 §10.2.3).

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// Whoever asks for more means no other thing; and times that are added to others stay sums.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The pause that a refusal of 429 or 503 asks for: so many seconds, or until a date. Of other
/// answers it means something else.
#[must_use]
pub fn asked(status: StatusCode, headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let busy = [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::SERVICE_UNAVAILABLE,
    ];
    let value = headers
        .get(RETRY_AFTER)
        .filter(|_| busy.contains(&status))?;
    let value = value.to_str().ok()?.trim();
    let pause = match value.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        // One that is past asks for nothing more.
        Err(_) => (DateTime::parse_from_rfc2822(value).ok()?.to_utc() - now)
            .to_std()
            .unwrap_or_default(),
    };
    Some(pause.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_of_429_and_503() {
        let now = "2026-01-02T03:04:05Z".parse().unwrap();
        for (status, value, seconds) in [
            (429, "7", Some(7)),
            (503, " 0 ", Some(0)),
            (503, "Fri, 02 Jan 2026 03:05:05 GMT", Some(60)),
            (429, "Fri, 02 Jan 2026 03:04:00 GMT", Some(0)),
            (429, "18446744073709551615", Some(24 * 3600)),
            (429, "-1", None),
            (429, "soon", None),
            (500, "7", None),
            (301, "7", None),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]);
            let asked = asked(status, &headers, now).map(|pause| pause.as_secs());
            assert_eq!(asked, seconds, "{status} {value}");
        }
        assert_eq!(
            asked(StatusCode::TOO_MANY_REQUESTS, &HeaderMap::new(), now),
            None
        );
    }
}
