//! What operators learn of segments: in the log and in metrics.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use common::store::{Committed, StoreError};
use tokio::time::Instant;

use super::{Getter, Loss};
use crate::metrics::{METRICS, labels};
use crate::recorded::Since;
use crate::timeline::Wanted;

/// A full disk fails every segment: one line a minute says it.
const SELDOM: Duration = Duration::from_secs(60);

/// No clock is ahead of ours by more seconds, unless one of the two is wrong.
const AHEAD: f64 = 60.0;

/// Something that is said once a minute at most.
#[derive(Debug, Default)]
pub(super) struct Seldom(Mutex<Option<Instant>>);

impl Seldom {
    /// True iff it is to be said now.
    pub(super) fn is_due(&self) -> bool {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = said.is_none_or(|at| at.elapsed() >= SELDOM);
        if due {
            *said = Some(Instant::now());
        }
        due
    }
}

impl Getter {
    /// Logs and counts a segment that cannot be had; once, by how many URLs ever it was asked for.
    pub(crate) fn lose(&self, wanted: &Wanted, loss: &Loss) {
        let (channel, quality) = (&self.channel, &self.quality);
        let which = (wanted.start, wanted.duration, wanted.sequence);
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = lost.add(&which);
        drop(lost);
        if !is_new && !wanted.again {
            tracing::debug!(%channel, %quality, start = %wanted.start, "lost once more: {loss}");
            return;
        }
        let [c, q] = labels(channel, quality);
        METRICS.lost.with_label_values(&[loss.reason(), c, q]).inc();
        let start = wanted.start.to_rfc3339();
        let url = common::http::shown(&wanted.url);
        tracing::warn!(%channel, %quality, start, %url, "lost a segment: {loss}");
    }

    /// Counts a segment that has got its final name.
    pub(super) fn count(&self, committed: &Committed) {
        self.recorded.add(&committed.segment);
        let [channel, quality] = labels(&self.channel, &self.quality);
        let latest = METRICS.latest.with_label_values(&[channel, quality]);
        let start = committed.segment.start_micros() as f64 / 1e6;
        let now = chrono::Utc::now().timestamp_micros() as f64 / 1e6;
        latest.set(latest.get().max(believable(start, now)));
        if committed.existed {
            return;
        }
        let labels = [committed.segment.kind().as_str(), channel, quality];
        METRICS.segments.with_label_values(&labels).inc();
        let seconds = committed.segment.duration().as_secs();
        METRICS.seconds.with_label_values(&labels).inc_by(seconds);
        METRICS
            .sizes
            .with_label_values(&labels)
            .observe(committed.bytes as f64);
    }

    /// Says once a minute that the disk does not take what we have.
    pub(super) fn complain(&self, error: &StoreError) {
        if self.complaint.is_due() {
            tracing::error!(channel = %self.channel, quality = %self.quality, %error, "cannot store segments; trying again");
        }
    }

    /// Counts a segment that was recorded beside another of its date, and says so once a minute.
    pub(super) fn tell_date_again(&self, wanted: &Wanted) {
        let (channel, quality) = (&self.channel, &self.quality);
        METRICS
            .dates_again
            .with_label_values(&labels(channel, quality))
            .inc();
        if self.dates_told.is_due() {
            let start = wanted.start.to_rfc3339();
            tracing::warn!(%channel, %quality, start, "the origin uses dates again (an encoder without a clock?): what is recorded of them stays, and the new segments are kept beside it");
        }
    }

    /// Counts a segment that was listed as new and is there. After a restart of ours, and at a
    /// hand-over, that is as it should be; where only our clock dates segments, it may be that we took
    /// new ones for old ones. With signed URLs it is all that is listed, at every poll: no news.
    pub(super) fn tell_known(&self, wanted: &Wanted, there: Since) {
        let (channel, quality) = (&self.channel, &self.quality);
        METRICS
            .known
            .with_label_values(&labels(channel, quality))
            .inc();
        if there == Since::Now && !wanted.dated && self.known_told.is_due() {
            let start = wanted.start.to_rfc3339();
            let url = common::http::shown(&wanted.url);
            tracing::debug!(%channel, %quality, start, %url, "a playlist without dates lists under another name what is recorded; not fetched");
        }
    }
}

/// A start for `latest_segment`, in seconds since 1970: one wrong date would hide for years that
/// nothing is recorded any more, so that one from the future is now.
fn believable(start: f64, now: f64) -> f64 {
    if start > now + AHEAD { now } else { start }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_from_the_future_hides_no_silence() {
        for (start, shown) in [(900.0, 900.0), (1059.0, 1059.0), (1e9, 1000.0)] {
            assert!((believable(start, 1000.0) - shown).abs() < 1e-9, "{start}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_said_seldom_is_said_again_after_a_minute() {
        let seldom = Seldom::default();
        let second = Duration::from_secs(1);
        assert!(seldom.is_due());
        for _ in 0..59 {
            tokio::time::advance(second).await;
            assert!(!seldom.is_due());
        }
        tokio::time::advance(second).await;
        assert!(seldom.is_due() && !seldom.is_due());
    }
}
