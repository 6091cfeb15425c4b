//! What there is of a request's ranges, from the index. Blocking.

use std::sync::Arc;

use common::segment::{Hour, Segment};
use common::selection::TimeRange;
use common::store::Store;

use super::plan::Covered;
use crate::error::ApiError;
use crate::hls::HourLines;
use crate::index::{Index, Rendition};

/// Looks up each range.
///
/// # Errors
/// 404 if there is no such video quality; 500 if its recordings cannot be read.
pub(crate) fn covered(
    store: &Store,
    index: &Index<HourLines>,
    rendition: &Arc<Rendition>,
    ranges: &[TimeRange],
) -> Result<Vec<Covered>, ApiError> {
    let Rendition { channel, quality } = &**rendition;
    let directory = store.resolve(&format!("{channel}/{quality}"))?;
    if quality.is_chat() || !directory.is_dir() {
        let name = format!("{channel}/{quality}");
        return Err(ApiError::not_found("video quality", &name));
    }
    let locate = |segment: &Segment| {
        let mut file = store.hour_directory(channel, quality, segment.hour());
        file.push(segment.to_string());
        file
    };
    let of = |range: &TimeRange| {
        let hours = index.hours(rendition, &hours(*range))?;
        let best: Vec<&Segment> = hours.iter().flat_map(|hour| hour.segments()).collect();
        Ok(Covered::of(*range, &best, locate))
    };
    ranges.iter().map(of).collect()
}

/// The hours that hold a range, what it needs of the time before it, and what goes on after it. A
/// range is no longer than a cut may be.
fn hours(range: TimeRange) -> Vec<Hour> {
    let last = Hour::of(range.end);
    let following = |hour: &Hour| {
        let next = (*hour <= last).then(|| hour.next());
        // At the end of time there is no next one.
        next.filter(|next| next > hour)
    };
    std::iter::successors(Some(Hour::of(range.start).previous()), following).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_around_a_range() {
        let time = |text: &str| common::dateutil::parse_utc_only(text).unwrap();
        let of = |start: &str, end: &str| {
            let range = TimeRange {
                start: time(start),
                end: time(end),
            };
            let hours: Vec<String> = hours(range).iter().map(Hour::to_string).collect();
            hours.join(" ")
        };
        assert_eq!(
            of("2026-01-01T23:59", "2026-01-02T00:01"),
            "2026-01-01T22 2026-01-01T23 2026-01-02T00 2026-01-02T01"
        );
        assert_eq!(
            of("9999-12-31T23:01", "9999-12-31T23:02"),
            "9999-12-31T22 9999-12-31T23"
        );
        assert_eq!(
            of("0001-01-01T00", "0001-01-01T00:00:01"),
            "0001-01-01T00 0001-01-01T01"
        );
    }
}
