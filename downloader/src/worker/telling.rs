//! What operators learn of what a list brought beside segments to record: in the log and in metrics.

use super::{Event, Run};
use crate::metrics::{METRICS, UNREADABLE, labels};
use crate::timeline::News;

impl Run {
    /// Logs and counts what a list brought beside segments to record.
    pub(super) fn tell(&mut self, news: &News) {
        let rendition = &self.worker.rendition;
        let (channel, quality) = (&rendition.channel, &rendition.quality);
        let labels = labels(channel, quality);
        if news.missed > 0 {
            METRICS
                .missed
                .with_label_values(&labels)
                .inc_by(news.missed);
            tracing::warn!(%channel, %quality, missed = news.missed, "segments left the playlist unseen");
        }
        if news.unreadable > 0 {
            let [c, q] = labels;
            let unreadable = METRICS.lost.with_label_values(&[UNREADABLE, c, q]);
            unreadable.inc_by(news.unreadable);
            tracing::warn!(%channel, %quality, count = news.unreadable, "lost segments that the media playlist has bad lines about");
        }
        if news.restarted {
            tracing::info!(%channel, %quality, "the sequence numbers began again: a restarted encoder");
        }
        if !news.gaps.is_empty() {
            METRICS
                .gaps
                .with_label_values(&labels)
                .inc_by(news.gaps.len() as u64);
            tracing::warn!(%channel, %quality, sequences = ?news.gaps, "the origin says that it does not have segments");
        }
        if news.advertisements > 0 {
            let ads = news.advertisements;
            METRICS
                .advertisements
                .with_label_values(&labels)
                .inc_by(ads as u64);
            tracing::debug!(%channel, %quality, ads, "advertisements ignored");
        }
        if news.by_our_clock && !news.wanted.is_empty() && !self.warned_of_clock {
            self.warned_of_clock = true;
            tracing::warn!(%channel, %quality, "the playlist has no EXT-X-PROGRAM-DATE-TIME: this machine's clock stands in, and nodes will not agree on names");
        }
        if let Some(skew) = news.skew {
            METRICS.skew.with_label_values(&labels).inc();
            let ms = skew.difference.num_milliseconds();
            tracing::warn!(%channel, %quality, ms, "a date jumped");
            if self.worker.distrusts_skew {
                self.doubtful_from.get_or_insert(skew.start);
            }
            if self.worker.distrusts_skew && rendition.may_ask_for_skew() {
                self.report(Event::WantsSuccessor);
            }
        }
    }
}
