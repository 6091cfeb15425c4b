//! The downloads of a round: so many at once, and what becomes of each.

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use rand::Rng;
use tokio::time::Instant;

use super::{Round, RoundError, Task};
use crate::claims::PATIENCE;
use crate::download::{DownloadError, Fetched};
use crate::item::{Item, Place};
use crate::metrics;
use crate::site::Site;

/// After so many downloads in a row that failed, other than by what the file is, we ask whether the
/// peer is there at all, rather than wait for the timeouts of an hour's list. If it is, but sends
/// no files, the hour is left.
pub(super) const SUSPICIOUS: usize = 10;

/// So many files that another worker has in hand, or that could not be downloaded, are
/// remembered until the end of the round; what is beyond is looked at in the next one.
const MOST_REMEMBERED: usize = 10_000;

impl<S: Site, R: Rng> Round<'_, S, R> {
    /// Fetches files, but starts no more when it is time to look at the newest hours. True iff
    /// all were started.
    pub(super) async fn complete(&mut self, mut items: Vec<Item>) -> Result<bool, RoundError> {
        let Task {
            patient, refusals, ..
        } = self.task;
        let now = self.site.now();
        items.retain(|item| patient || !refusals.is_left(item, now));
        let (site, all) = (self.site, items.len());
        let look_again = self.look_again;
        let in_time = move |first: bool| first || look_again.is_none_or(|at| site.now() < at);
        let items = items.into_iter().enumerate();
        let downloads = items
            .take_while(|(n, _)| in_time(*n == 0))
            .map(|(_, item)| async move {
                let outcome = site.fetch(&item).await;
                (item, outcome)
            });
        Ok(self.drain(downloads).await? == all)
    }

    /// Tries once more what other workers had in hand: they may have failed, or be slow.
    pub(super) async fn deferred(&mut self) -> Result<(), RoundError> {
        let (site, patient) = (self.site, self.task.patient);
        // For all of them together: the next round is near.
        let wait = PATIENCE.min(self.task.options.interval);
        let limit = (!patient).then(|| Instant::now() + wait);
        let deferred = std::mem::take(&mut self.deferred);
        let downloads = deferred.into_iter().map(|(item, mut held)| async move {
            loop {
                site.free(&held, limit).await;
                match site.fetch(&item).await {
                    Ok(Fetched::InHand(still)) if patient => held = still,
                    outcome => return (item, outcome),
                }
            }
        });
        self.drain(downloads).await?;
        Ok(())
    }

    /// Completes downloads, as many at once as we were told, and notes what became of each. If
    /// many fail in a row, asks whether the peer is there at all. Gives how many there were.
    async fn drain<D>(&mut self, downloads: impl Iterator<Item = D>) -> Result<usize, RoundError>
    where
        D: Future<Output = (Item, Result<Fetched, DownloadError>)>,
    {
        let mut downloads = downloads.fuse();
        let mut running = FuturesUnordered::new();
        let (mut ended, mut in_a_row, mut refused) = (0, 0, None);
        loop {
            // Each time anew: an operator may have changed it.
            while refused.is_none()
                && running.len() < self.site.at_once(self.task.options)
                && let Some(download) = downloads.next()
            {
                running.push(download);
            }
            let Some((item, outcome)) = running.next().await else {
                return refused.map_or(Ok(ended), Err);
            };
            ended += 1;
            let mut reason = None;
            match &outcome {
                Err(error) if self.is_to_wait(&item, error) => {
                    refused = Some(RoundError::Busy(error.to_string()));
                }
                Err(error) if !error.is_of_the_file() => {
                    in_a_row += 1;
                    reason = (!error.is_transport()).then(|| error.to_string());
                }
                Ok(Fetched::Downloaded { .. }) => (in_a_row, self.refused) = (0, 0),
                Err(_) => in_a_row = 0,
                Ok(_) => {}
            }
            let place = item.place();
            self.note(item, outcome)?;
            if in_a_row >= SUSPICIOUS
                && let Some(place) = place
            {
                in_a_row = 0;
                self.ask(&place).await?;
                if refused.is_none() {
                    refused = reason.map(RoundError::Refused);
                }
            }
        }
    }

    /// True iff the peer has too much to do to send an extra: the next pause is soon enough for it
    /// and all others.
    fn is_to_wait(&self, item: &Item, error: &DownloadError) -> bool {
        !self.task.patient && matches!(item, Item::Extra(_)) && error.come_again().is_some()
    }

    /// Fails if the peer gives no answer.
    async fn ask(&self, place: &Place) -> Result<(), RoundError> {
        match self.site.missing(place, &self.rules()).await {
            Err(RoundError::Remote(error)) if error.is_silence() => Err(RoundError::Gone(error)),
            _ => Ok(()),
        }
    }

    /// Counts and logs what became of a file.
    fn note(
        &mut self,
        item: Item,
        outcome: Result<Fetched, DownloadError>,
    ) -> Result<(), RoundError> {
        let place = item.place();
        let error = match outcome {
            Ok(Fetched::Downloaded { bytes }) => {
                self.task.refusals.forget(&item);
                self.downloaded(&item, place, bytes);
                return Ok(());
            }
            Ok(Fetched::Buried) => {
                tracing::debug!(tombstone = %item, "made a tombstone");
                return Ok(());
            }
            Ok(Fetched::NoLongerMissing) => {
                self.report
                    .no_longer_missing(self.task.peer, place.as_ref());
                return Ok(());
            }
            Ok(Fetched::InHand(held)) => {
                if self.deferred.len() < MOST_REMEMBERED {
                    self.deferred.push((item, held));
                }
                return Ok(());
            }
            Err(error) => error,
        };
        self.report.failed_at(place.as_ref());
        if error.is_of_the_file() {
            let (now, interval) = (self.site.now(), self.task.options.interval);
            self.task.refusals.note(&item, now, interval);
        }
        let mismatch = matches!(error, DownloadError::Mismatch(_));
        match (&place, mismatch) {
            (Some(place), true) => {
                metrics::of(&metrics::HASH_MISMATCHES, self.task.peer, place).inc()
            }
            _ => self.count_error(),
        }
        let name = item.to_string();
        let what = match mismatch {
            true => "discarded a file that is not what its name says",
            false => "cannot fetch a file",
        };
        if self.is_news(&name) {
            tracing::warn!(file = name, %error, "{what}");
        } else {
            tracing::debug!(file = name, %error, "{what}");
        }
        if self.report.failed.len() < MOST_REMEMBERED {
            self.report.failed.push(item);
        }
        if error.is_disk_full() {
            return Err(RoundError::DiskFull(error));
        }
        match error.is_disk_closed() {
            true => Err(RoundError::DiskClosed(error)),
            false => Ok(()),
        }
    }

    /// What is logged and counted is what was downloaded, not what was missing (SPEC §6).
    fn downloaded(&mut self, item: &Item, place: Option<Place>, bytes: u64) {
        tracing::debug!(file = %item, bytes, "downloaded");
        let peer = self.task.peer;
        self.report.downloaded(peer, place.as_ref(), bytes);
        let Some(place) = place else {
            metrics::EXTRAS_BACKFILLED.with_label_values(&[peer]).inc();
            return;
        };
        metrics::of(&metrics::SEGMENTS_BACKFILLED, peer, &place).inc();
        if !self.backfilled.contains(&place) {
            let labels = [peer, place.channel.as_str(), place.quality.as_str()];
            metrics::HOURS_BACKFILLED.with_label_values(&labels).inc();
            self.backfilled.insert(place);
        }
    }
}
