//! From a request's bounds to a range and the hours that it takes (SPEC §3, §4). Pure.

use chrono::{DateTime, TimeDelta, Utc};
use common::segment::Hour;
use common::selection::TimeRange;

use crate::error::ApiError;
use crate::params::Bounds;

/// The longest range that is answered unless both bounds are given: nobody asks for a week by
/// leaving something out (SPEC §4).
pub(super) const MAX_UNBOUNDED: TimeDelta = TimeDelta::hours(12);

/// Ranges up to so many hours are looked up hour by hour; for longer ones it is cheaper to
/// list which hours there are.
const MAX_LOOKED_UP: usize = 50;

/// The most hours in one playlist: six weeks of video, and half a GiB of text. Who wants more
/// asks for it in parts.
pub(super) const MAX_HOURS: usize = 1000;

/// What a media playlist is made of.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) range: TimeRange,
    /// The hours that may hold its segments, in order of time; some may not exist.
    pub(super) hours: Vec<Hour>,
}

/// Works out what a media playlist is made of. `existing` lists the hours there are, in order;
/// it is asked only where it is needed. `now` is the time: an hour that is yet to come, by an
/// encoder's wrong clock, makes no list longer.
///
/// # Errors
/// 400 if the range is too long, and what `existing` fails with.
pub(super) fn plan(
    bounds: Bounds,
    now: DateTime<Utc>,
    existing: impl FnOnce() -> Result<Vec<Hour>, ApiError>,
) -> Result<Plan, ApiError> {
    if let (Some(start), Some(end)) = (bounds.start, bounds.end) {
        let range = TimeRange { start, end };
        let hours = match looked_up(range) {
            Some(hours) => hours,
            None => among(&existing()?, range)?,
        };
        return Ok(Plan { range, hours });
    }
    let existing = existing()?;
    let last = last_that_has_come(&existing, now);
    let (Some(first), Some(last)) = (existing.first(), last) else {
        // Nothing recorded yet: an empty list, whatever the range.
        let start = bounds.start.or(bounds.end).unwrap_or_default();
        return Ok(Plan {
            range: TimeRange { start, end: start },
            hours: Vec::new(),
        });
    };
    let range = TimeRange {
        start: bounds.start.unwrap_or_else(|| first.start()),
        // One hour past the last one: no segment reaches that far, so the list stays open.
        end: bounds.end.unwrap_or_else(|| last.next().next().start()),
    };
    // The hour past the last one holds no video: it does not count.
    let counted_end = bounds.end.unwrap_or_else(|| last.next().start());
    if counted_end - range.start > MAX_UNBOUNDED {
        return Err(ApiError::BadRequest(format!(
            "more than {} hours ({} to {}) need both start and end",
            MAX_UNBOUNDED.num_hours(),
            shown(range.start),
            shown(counted_end),
        )));
    }
    let hours = among(&existing, range)?;
    Ok(Plan { range, hours })
}

/// The last hour that has begun, or is about to where this clock is behind; the last of all if they
/// are all yet to come.
pub(super) fn last_that_has_come(existing: &[Hour], now: DateTime<Utc>) -> Option<Hour> {
    let count = existing.partition_point(|&hour| hour <= Hour::of(now).next());
    existing[..count].last().or(existing.last()).copied()
}

fn shown(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The first and last hour whose segments a range may need: a segment may span its start.
fn hours_of(range: TimeRange) -> (Hour, Hour) {
    (Hour::of(range.start).previous(), Hour::of(range.end))
}

/// The range of a request whose answer is worth keeping, and every hour that it may need: one that
/// means the same when somebody asks again, and that is cheap to compare.
pub(super) fn asked_again(bounds: Bounds) -> Option<(TimeRange, Vec<Hour>)> {
    let range = TimeRange {
        start: bounds.start?,
        end: bounds.end?,
    };
    Some((range, looked_up(range)?))
}

/// Every hour that a range may need, there or not; `None` if they are too many.
fn looked_up(range: TimeRange) -> Option<Vec<Hour>> {
    let (first, last) = hours_of(range);
    let following = |hour: &Hour| (*hour < last).then(|| hour.next());
    let hours: Vec<Hour> = std::iter::successors(Some(first), following)
        .take(MAX_LOOKED_UP + 1)
        .collect();
    (hours.len() <= MAX_LOOKED_UP).then_some(hours)
}

/// Those of the existing hours that a range may need.
fn among(existing: &[Hour], range: TimeRange) -> Result<Vec<Hour>, ApiError> {
    let (first, last) = hours_of(range);
    let wanted = existing.iter().filter(|&&h| first <= h && h <= last);
    let hours: Vec<Hour> = wanted.copied().collect();
    if hours.len() > MAX_HOURS {
        return Err(ApiError::BadRequest(format!(
            "between start and end lie {} recorded hours; one playlist has at most {MAX_HOURS}",
            hours.len()
        )));
    }
    Ok(hours)
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::dateutil::parse;

    fn time(text: &str) -> DateTime<Utc> {
        parse(text).unwrap()
    }

    fn hours(texts: &[&str]) -> Vec<Hour> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn planned(start: Option<&str>, end: Option<&str>, existing: &[&str]) -> Result<Plan, String> {
        let bounds = Bounds {
            start: start.map(time),
            end: end.map(time),
        };
        plan(bounds, time("2026-01-05"), || Ok(hours(existing))).map_err(|error| error.to_string())
    }

    /// A row of the table: start, end, hours there are; the range and the hours looked at.
    type Row<'a> = (
        Option<&'a str>,
        Option<&'a str>,
        &'a [&'a str],
        (&'a str, &'a str),
        &'a [&'a str],
    );

    #[test]
    fn ranges_and_their_hours() {
        let day = ["2026-01-02T03", "2026-01-02T04", "2026-01-02T09"];
        let table: [Row<'_>; 7] = [
            // Both bounds: looked up one by one, there or not.
            (
                Some("2026-01-02T03:30"),
                Some("2026-01-02T04:00"),
                &[],
                ("2026-01-02T03:30", "2026-01-02T04:00"),
                &["2026-01-02T02", "2026-01-02T03", "2026-01-02T04"],
            ),
            // Very far apart: only those there are.
            (
                Some("0001-01-01T00"),
                Some("9999-12-31T23:59"),
                &day,
                ("0001-01-01T00", "9999-12-31T23:59"),
                &day,
            ),
            (
                None,
                None,
                &day,
                ("2026-01-02T03:00", "2026-01-02T11:00"),
                &day,
            ),
            (
                Some("2026-01-02T04:10"),
                None,
                &day,
                ("2026-01-02T04:10", "2026-01-02T11:00"),
                &day,
            ),
            (
                None,
                Some("2026-01-02T04:10"),
                &day,
                ("2026-01-02T03:00", "2026-01-02T04:10"),
                &day[..2],
            ),
            // Nothing recorded since, but a player already waits.
            (
                Some("2026-01-05T00"),
                None,
                &day,
                ("2026-01-05T00", "2026-01-02T11:00"),
                &[],
            ),
            (
                Some("2026-01-05T00"),
                None,
                &[],
                ("2026-01-05T00", "2026-01-05T00"),
                &[],
            ),
        ];
        for (start, end, existing, (first, last), looked_at) in table {
            let plan = planned(start, end, existing).unwrap();
            let range = TimeRange {
                start: time(first),
                end: time(last),
            };
            assert_eq!(plan.range, range, "{start:?} {end:?}");
            assert_eq!(plan.hours, hours(looked_at), "{start:?} {end:?}");
        }
    }

    #[test]
    fn what_is_worth_keeping() {
        // (start, end, how many hours are compared)
        let table = [
            (Some("2026-01-02T03:30"), Some("2026-01-02T04:00"), Some(3)),
            (Some("2026-01-02T03:30"), Some("2026-01-04T03:00"), Some(50)),
            (Some("2026-01-02T03:30"), Some("2026-01-04T04:00"), None),
            (None, Some("2026-01-02T04:00"), None),
            (Some("2026-01-02T03:30"), None, None),
        ];
        for (start, end, hours) in table {
            let bounds = Bounds {
                start: start.map(time),
                end: end.map(time),
            };
            let kept = asked_again(bounds).map(|(_, hours)| hours.len());
            assert_eq!(kept, hours, "{start:?} {end:?}");
        }
    }

    #[test]
    fn both_ends_of_time() {
        let plan = planned(Some("0001-01-01T00"), Some("0001-01-01T01"), &[]).unwrap();
        assert_eq!(plan.hours, hours(&["0001-01-01T00", "0001-01-01T01"]));
        let end = "9999-12-31T23";
        let plan = planned(Some(end), None, &[end]).unwrap();
        assert_eq!(plan.hours, hours(&[end]));
    }

    #[test]
    fn more_than_twelve_hours_only_if_both_bounds_are_given() {
        let existing = ["2026-01-02T00", "2026-01-02T11", "2026-01-02T12"];
        // The last hour counts in full, the one past it does not.
        assert!(planned(None, None, &existing[..2]).is_ok());
        let error = planned(None, None, &existing).unwrap_err();
        assert!(error.contains("12 hours"), "{error}");
        let (early, late) = ("2026-01-02T00:59:59", "2026-01-02T12:00:01");
        assert!(planned(Some(early), None, &existing).is_err());
        assert!(planned(Some("2026-01-02T01"), None, &existing).is_ok());
        assert!(planned(None, Some(late), &existing).is_err());
        assert!(planned(None, Some("2026-01-02T12"), &existing).is_ok());
        assert!(planned(Some(early), Some("2026-01-05"), &existing).is_ok());
        // What is yet to come does not count, as long as something has come: the clock is at
        // 2026-01-05T00.
        let (recorded, wrong) = ("2026-01-04T13", "2026-01-06T12");
        assert!(planned(Some(recorded), None, &[recorded, "2026-01-05T01", wrong]).is_err());
        assert!(planned(Some(recorded), None, &[recorded, "2026-01-05T00", wrong]).is_ok());
        assert!(planned(Some(recorded), None, &[wrong]).is_err());
    }

    #[test]
    fn a_playlist_has_a_bounded_number_of_hours() {
        let mut hour: Hour = "2026-01-01T00".parse().unwrap();
        let mut existing = Vec::new();
        for _ in 0..=MAX_HOURS {
            existing.push(hour.to_string());
            hour = hour.next();
        }
        let existing: Vec<&str> = existing.iter().map(String::as_str).collect();
        let (start, end) = (Some("2026-01-01T00"), Some("2027-01-01T00"));
        assert!(planned(start, end, &existing[1..]).is_ok());
        let error = planned(start, end, &existing).unwrap_err();
        assert!(error.contains("1001 recorded hours"), "{error}");
    }
}
