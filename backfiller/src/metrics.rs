//! The backfiller's metrics (SPEC §8).

use std::sync::LazyLock;

use common::metrics::{counter, gauge};
use prometheus::{IntCounter, IntCounterVec, IntGaugeVec};

use crate::item::Place;

const PLACE: [&str; 4] = ["remote", "channel", "quality", "hour"];

/// Segments that were downloaded and have their final name.
pub static SEGMENTS_BACKFILLED: LazyLock<IntCounterVec> =
    LazyLock::new(|| counter("segments_backfilled", "Segments downloaded", &PLACE));

/// Hours of which at least one segment was downloaded, counted once a round.
pub static HOURS_BACKFILLED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter(
        "hours_backfilled",
        "Hours of which a round downloaded something",
        &["remote", "channel", "quality"],
    )
});

/// Downloads whose content was not what the name said, and was discarded.
pub static HASH_MISMATCHES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter(
        "hash_mismatches",
        "Downloads discarded because their hash is not the one in their name",
        &PLACE,
    )
});

/// Segments that were not downloaded because a twin is here, each counted once.
pub static SMALL_DIFFERENCE_SEGMENTS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter(
        "small_difference_segments",
        "Segments left out because the same one is here with a start within 1 ms",
        &PLACE,
    )
});

/// Failures at a peer: a listing that could not be had, or a segment that could not be
/// downloaded (mismatches have a counter of their own).
pub static BACKFILL_ERRORS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter(
        "backfill_errors",
        "Listings and segments that could not be had from a peer",
        &["remote"],
    )
});

/// Answers of a peer that has too much to do and says when to come again.
pub static BUSY: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter(
        "backfill_busy",
        "Answers 429 and 503 with Retry-After, which is heeded",
        &["remote"],
    )
});

/// Names that a peer listed and that are neither segments nor hours, each counted once.
pub static BAD_NAMES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter(
        "backfill_bad_names",
        "Names in a peer's listings that no file of ours may have",
        &["remote"],
    )
});

/// Failures to learn who the peers are.
pub static NODE_LIST_ERRORS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter(
        "node_list_errors",
        "Lists of nodes that could not be read",
        &[],
    )
});

/// Bytes of the files that were downloaded.
pub static BYTES: LazyLock<IntCounterVec> =
    LazyLock::new(|| counter("backfill_bytes", "Bytes of downloaded files", &["remote"]));

/// Segments that `--delete-old` has deleted.
pub static SEGMENTS_DELETED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter(
        "segments_deleted",
        "Segments of old hours deleted",
        &["channel", "quality", "hour"],
    )
});

/// Files of `--extras` that were downloaded.
pub static EXTRAS_BACKFILLED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter(
        "extras_backfilled",
        "Files of --extras downloaded",
        &["remote"],
    )
});

/// Files that a peer has and that are still missing here, by hour: see [`crate::missing`].
pub static MISSING_SEGMENTS: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    gauge(
        "backfill_missing_segments",
        "Segments that the peer has and this node has not (yet)",
        &PLACE,
    )
});

/// Downloads that are under way.
pub static IN_FLIGHT: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    gauge(
        "backfill_in_flight",
        "Downloads that are under way",
        &["remote"],
    )
});

/// A counter of an hour at a peer.
#[must_use]
pub fn of(counters: &IntCounterVec, peer: &str, place: &Place) -> IntCounter {
    let hour = place.hour.to_string();
    counters.with_label_values(&[peer, place.channel.as_str(), place.quality.as_str(), &hour])
}

/// Makes the counters of the process visible from its start: a dashboard tells 0 from absent.
pub fn register() {
    NODE_LIST_ERRORS.with_label_values(&[] as &[&str]);
}

/// The same for the counters of a peer.
pub fn register_peer(name: &str) {
    BACKFILL_ERRORS.with_label_values(&[name]);
    BAD_NAMES.with_label_values(&[name]);
    BUSY.with_label_values(&[name]);
    BYTES.with_label_values(&[name]);
    IN_FLIGHT.with_label_values(&[name]);
}
