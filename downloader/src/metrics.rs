//! The downloader's metrics (SPEC §8).

use std::sync::LazyLock;

use common::metrics::{counter, float_counter, float_gauge, gauge, histogram};
use common::names::{Channel, Quality};
use common::segment::SegmentType;
use prometheus::{CounterVec, GaugeVec, HistogramVec, IntCounterVec, IntGaugeVec};

const TYPED: &[&str] = &["type", "channel", "quality"];
const PLAIN: &[&str] = &["channel", "quality"];

/// Upper bounds in bytes: from sound alone to 20 s of 40 Mbit/s.
const SIZES: [f64; 12] = [1e4, 3e4, 1e5, 2e5, 5e5, 1e6, 2e6, 5e6, 1e7, 2e7, 5e7, 1e8];

/// They are listed in a way that makes no sense, so that nobody can ask for them.
pub(crate) const UNREADABLE: &str = "unreadable";

/// Why segments are mostly lost; there are others.
const LOSS_REASONS: [&str; 4] = ["403", "404", "late", UNREADABLE];

/// All of them.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) segments: IntCounterVec,
    pub(crate) seconds: CounterVec,
    pub(crate) sizes: HistogramVec,
    pub(crate) latest: GaugeVec,
    pub(crate) advertisements: IntCounterVec,
    pub(crate) skew: IntCounterVec,
    pub(crate) missed: IntCounterVec,
    pub(crate) lost: IntCounterVec,
    pub(crate) gaps: IntCounterVec,
    pub(crate) known: IntCounterVec,
    pub(crate) dates_again: IntCounterVec,
    pub(crate) crashes: IntCounterVec,
    pub(crate) poll_failures: IntCounterVec,
    pub(crate) running: IntGaugeVec,
    pub(crate) generation: IntGaugeVec,
    pub(crate) behind: GaugeVec,
    pub(crate) expected: IntGaugeVec,
}

pub(crate) static METRICS: LazyLock<Metrics> = LazyLock::new(|| Metrics {
    segments: counter("segments_downloaded", "Segments recorded", TYPED),
    seconds: float_counter("segment_duration_downloaded", "Seconds recorded", TYPED),
    sizes: histogram("segment_size", "Bytes of recorded segments", TYPED, &SIZES),
    latest: float_gauge(
        "latest_segment",
        "Start of the newest segment recorded, in Unix seconds",
        PLAIN,
    ),
    advertisements: counter("ad_segments_ignored", "Advertisements not recorded", PLAIN),
    skew: counter("suspicious_skew_count", "Dates that jumped", PLAIN),
    missed: counter(
        "segments_missed",
        "Segments that left the playlist before any poll saw them",
        PLAIN,
    ),
    lost: counter(
        "segments_lost",
        "Segments that were listed but could not be recorded in full, by reason",
        &["reason", "channel", "quality"],
    ),
    gaps: counter(
        "segments_gap",
        "Segments the origin says it does not have",
        PLAIN,
    ),
    known: counter(
        "segments_known",
        "Segments listed as new that are there in full already",
        PLAIN,
    ),
    dates_again: counter(
        "segments_date_again",
        "Segments recorded beside another of the same date: encoders without a clock",
        PLAIN,
    ),
    crashes: counter(
        "getters_crashed",
        "Downloads of segments that ended by a fault in this program",
        PLAIN,
    ),
    poll_failures: counter(
        "playlist_fetch_failures",
        "Playlists that could not be fetched, by reason",
        &["reason", "channel", "quality"],
    ),
    running: gauge("getters_running", "Segments being downloaded", PLAIN),
    generation: gauge(
        "worker_generation",
        "How many workers there have been",
        PLAIN,
    ),
    behind: float_gauge(
        "seconds_behind_live",
        "From the end of the newest listed segment to now",
        PLAIN,
    ),
    expected: gauge(
        "recording_expected",
        "1 while there ought to be new segments: the channel is marked with !, or it is live",
        PLAIN,
    ),
});

/// Forgets whether these qualities of a channel ought to have new segments: it is not recorded
/// any more.
pub(crate) fn expect_nothing<'a>(
    channel: &Channel,
    qualities: impl IntoIterator<Item = &'a Quality>,
) {
    for quality in qualities {
        // An error says that nobody knew.
        let _ = METRICS
            .expected
            .remove_label_values(&labels(channel, quality));
        let _ = METRICS
            .behind
            .remove_label_values(&labels(channel, quality));
    }
}

/// The labels of a rendition.
pub(crate) fn labels<'a>(channel: &'a Channel, quality: &'a Quality) -> [&'a str; 2] {
    [channel.as_str(), quality.as_str()]
}

/// Makes what may happen to a rendition visible before it has: Prometheus does not see the first
/// step of a counter that was not there before it.
pub(crate) fn register(channel: &Channel, quality: &Quality) {
    let [channel, quality] = labels(channel, quality);
    for kind in [
        SegmentType::Full,
        SegmentType::Suspect,
        SegmentType::Partial,
    ] {
        let labels = [kind.as_str(), channel, quality];
        METRICS.segments.with_label_values(&labels);
        METRICS.seconds.with_label_values(&labels);
    }
    let counters = [
        &METRICS.advertisements,
        &METRICS.skew,
        &METRICS.missed,
        &METRICS.gaps,
    ];
    for counter in counters {
        counter.with_label_values(&[channel, quality]);
    }
    for reason in LOSS_REASONS {
        METRICS.lost.with_label_values(&[reason, channel, quality]);
    }
}
