//! Asking for the playlist: when, and what if it does not come or stands still.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::{Event, Run};
use crate::fetch::{self, FetchError};
use crate::metrics::{METRICS, labels};
use crate::playlist::MediaPlaylist;

impl Run {
    /// Asks for the list.
    pub(super) fn start_poll(&mut self) {
        let polls = &self.worker.working.watched.polls;
        polls.fetch_add(1, Ordering::Relaxed);
        let rendition = Arc::clone(&self.worker.rendition);
        let url = self.worker.url.clone();
        let timing = rendition.timing;
        let before = self.last.clone();
        self.poll_began = Instant::now();
        self.poll = Some(Box::pin(async move {
            let hedge = timing.hedge_for(timing.poll_hedge, rendition.window());
            fetch::media_playlist(&rendition.client, &url, hedge, before.as_ref()).await
        }));
    }

    /// A playlist that still answers but does not change any more may be a leftover: another
    /// look for where the stream is costs little. Each further one is later than the one before.
    pub(super) fn look_for_stall(&mut self, list: &MediaPlaylist) {
        let rendition = &self.worker.rendition;
        let patience = rendition
            .timing
            .patience(list.target_duration, rendition.stalls());
        let latest = rendition
            .last_news()
            .map_or(self.asked, |news| news.max(self.asked));
        if latest.elapsed() < patience {
            return;
        }
        if rendition.stalls() == 0 {
            let (channel, quality) = (&rendition.channel, &rendition.quality);
            let seconds = patience.as_secs_f64();
            tracing::warn!(%channel, %quality, seconds, "the media playlist stands still");
        }
        rendition.stalled();
        self.asked = Instant::now();
        self.report(Event::WantsAnotherPlace);
    }

    /// The list did not come.
    pub(super) fn fail(&mut self, error: &FetchError) {
        self.worker.working.watched.failed(error);
        let rendition = &self.worker.rendition;
        let (channel, quality) = (&rendition.channel, &rendition.quality);
        let [c, q] = labels(channel, quality);
        METRICS
            .poll_failures
            .with_label_values(&[error.reason().as_str(), c, q])
            .inc();
        let asked = error.retry_after();
        // Each kind once, as long as it fails: what follows a refusal may be something else.
        if self.failing.contains(&error.reason()) {
            tracing::debug!(%channel, %quality, %error, "the media playlist still fails");
        } else if asked.is_some() {
            tracing::warn!(%channel, %quality, %error, ?asked, "the origin of the media playlist asks for a pause");
        } else {
            tracing::warn!(%channel, %quality, %error, "the media playlist fails");
        }
        self.failing.insert(error.reason());
        // A server that wants to be left alone is, for as long as what it listed allows.
        let pause = asked.map(|asked| rendition.timing.pause(asked, rendition.listed()));
        let retry = rendition.timing.poll_retry(self.pace);
        self.next_poll = Instant::now() + retry.max(pause.unwrap_or_default());
        if pause.is_some() {
            // Whoever works there asks first: if it gets its answer, nobody else is needed.
            let first = if self.worked { retry } else { Duration::ZERO };
            rendition.leave_alone(&self.worker.url, self.next_poll + first);
        }
        let refused = fetch::refusal(error.status()).is_some();
        // There a successor would be refused as well. (That of one that never worked is another
        // place anyway.)
        self.report(match pause.is_some() && self.worked {
            true => Event::Refused,
            false => Event::WantsSuccessor,
        });
        if refused || !self.worked {
            self.end();
        }
    }
}
