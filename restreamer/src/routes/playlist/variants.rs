//! The qualities of a master playlist: which can have video in the range, and how many bits of
//! it flow a second.

use std::cmp::Reverse;
use std::fs;
use std::sync::Arc;

use common::names::Channel;
use common::segment::{Hour, Segment, SegmentPath};

use crate::App;
use crate::error::ApiError;
use crate::hls::Variant;
use crate::index::Rendition;
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
    let mut variants = Vec::new();
    for quality in qualities.into_iter().filter(|quality| !quality.is_chat()) {
        let rendition = Arc::new(Rendition {
            channel: channel.clone(),
            quality,
        });
        if let Some(bandwidth) = bandwidth(app, &rendition, bounds)? {
            variants.push(Variant {
                quality: rendition.quality.clone(),
                bandwidth,
            });
        }
    }
    variants.sort_by_key(|variant| Reverse(variant.bandwidth));
    Ok(variants)
}

/// The bit rate of a quality in a range, in bits a second; `None` if it cannot have video there.
fn bandwidth(
    app: &App,
    rendition: &Arc<Rendition>,
    bounds: Bounds,
) -> Result<Option<u64>, ApiError> {
    let Bounds { start, end } = bounds;
    let hours = app.store.hours(&rendition.channel, &rendition.quality)?;
    let starts_in_range = |hour: &&Hour| {
        start.is_none_or(|start| start < hour.next().start())
            && end.is_none_or(|end| hour.start() < end)
    };
    let (hour, certain) = if let Some(newest) = hours.iter().rev().find(starts_in_range) {
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
