//! The qualities of a master playlist: which can have video in the range, and how many bits of
//! it flow a second.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::sync::Arc;

use chrono::Utc;
use common::names::Channel;
use common::segment::{Hour, Segment, SegmentPath};
use common::store::note_unreadable;

use super::range::last_that_has_come;
use crate::App;
use crate::error::ApiError;
use crate::hls::Variant;
use crate::index::{IndexError, Rendition};
use crate::params::Bounds;

/// The bit rate is that of the largest of so many segments, the newest in the range's last hour.
const SAMPLES: usize = 16;

/// The bit rate of a quality of which nothing is known yet, in bits a second: that of a common
/// 1080p stream. `BANDWIDTH` must be there (RFC 8216 §4.3.4.2).
const UNKNOWN_BANDWIDTH: u64 = 6_000_000;

/// The qualities of a channel that can have video in the range, the largest bit rate first.
///
/// # Errors
/// 404 if there is no such channel, 500 if the disk fails.
pub(super) fn variants(
    app: &App,
    channel: &Channel,
    bounds: Bounds,
) -> Result<Vec<Variant>, ApiError> {
    let qualities = app.store.qualities(channel)?;
    if qualities.is_empty() && !app.store.resolve(channel.as_str())?.is_dir() {
        return Err(ApiError::not_found("channel", channel.as_str()));
    }
    let mut found = Vec::new();
    for quality in qualities.into_iter().filter(|quality| !quality.is_chat()) {
        let rendition = Arc::new(Rendition {
            channel: channel.clone(),
            quality,
        });
        let hours = app.store.hours(channel, &rendition.quality);
        if let Some(hours) = unless_closed(hours.map_err(IndexError::from))? {
            found.push((rendition, hours));
        }
    }
    let now = Utc::now();
    let may_go_on = bounds.end.is_none_or(|end| end > now);
    let all: BTreeSet<Hour> = found.iter().flat_map(|(_, hours)| hours).copied().collect();
    let newest = last_that_has_come(&Vec::from_iter(all), now).filter(|_| may_go_on);
    // From there on are those that go on, one of which may not have come to the newest yet.
    let current = newest.map(|hour| hour.previous());
    let mut variants = Vec::new();
    for (rendition, hours) in found {
        let bandwidth = bandwidth(app, &rendition, &hours, bounds, current);
        if let Some(bandwidth) = unless_closed(bandwidth)?.flatten() {
            variants.push(Variant {
                quality: rendition.quality.clone(),
                bandwidth,
            });
        }
    }
    variants.sort_by_key(|variant| Reverse(variant.bandwidth));
    Ok(variants)
}

/// What was found, if this service may read it: what it may not is none of ours, most likely, and
/// does not hide its siblings.
fn unless_closed<T>(found: Result<T, IndexError>) -> Result<Option<T>, ApiError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            note_unreadable(error.path(), &error);
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// The bit rate of a quality in a range, in bits a second; `None` if it cannot have video there.
/// `hours` are those that it has; it may yet have video if one of them is not before `current`.
fn bandwidth(
    app: &App,
    rendition: &Arc<Rendition>,
    hours: &[Hour],
    bounds: Bounds,
    current: Option<Hour>,
) -> Result<Option<u64>, IndexError> {
    let Bounds { start, end } = bounds;
    let last = hours
        .last()
        .filter(|&&last| current.is_some_and(|current| current <= last));
    let starts_in_range = |hour: &&Hour| {
        start.is_none_or(|start| start < hour.next().start())
            && end.is_none_or(|end| hour.start() < end)
    };
    let (hour, certain) = if let Some(newest) = hours.iter().rev().find(starts_in_range).or(last) {
        (*newest, true)
    } else {
        // The last segment of the hour before may span the start.
        let before = start.map(|start| Hour::of(start).previous());
        match hours.iter().find(|&&hour| Some(hour) == before) {
            Some(before) => (*before, false),
            None => return Ok(None),
        }
    };
    let lines = app.index.hours(rendition, &[hour])?;
    let segments = lines.first().map_or(&[][..], |lines| lines.segments());
    let spans_start = |last: &Segment| start.is_some_and(|start| start < last.end());
    if !certain && !segments.last().is_some_and(spans_start) {
        return Ok(None);
    }
    let rates = segments
        .iter()
        .rev()
        .take(SAMPLES)
        .filter_map(|segment| bit_rate(app, rendition, segment));
    Ok(Some(rates.max().unwrap_or(UNKNOWN_BANDWIDTH)))
}

/// A segment's bits a second; `None` if it has gone, is empty or has no duration.
fn bit_rate(app: &App, rendition: &Rendition, segment: &Segment) -> Option<u64> {
    let path = SegmentPath {
        channel: rendition.channel.clone(),
        quality: rendition.quality.clone(),
        segment: segment.clone(),
    };
    let bytes = fs::metadata(app.store.file(&path)).ok()?.len();
    let micros = u64::try_from(segment.duration().micros()).ok()?;
    let rate = bytes.saturating_mul(8_000_000).checked_div(micros)?;
    (rate > 0).then_some(rate)
}
