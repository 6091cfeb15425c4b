//! A round at one peer: its hours, then hour by hour what is missing, and the downloads of it.
//! No more than an hour's list is in memory at any time.

use std::collections::BTreeSet;
use std::pin::pin;

use chrono::Utc;
use common::names::{Channel, Quality};
use common::segment::{Hour, Segment, SegmentPath};
use common::store::StoreError;
use futures::StreamExt;
use futures::stream;
use rand::seq::SliceRandom;

use crate::Context;
use crate::claims::Held;
use crate::download::{self, DownloadError, Fetched};
use crate::journal::{Matter, Novelty};
use crate::metrics;
use crate::place::{Place, Target};
use crate::plan::{self, Rules};
use crate::remote::RemoteError;

/// After so many downloads in a row that failed in transport, we ask whether the peer is there
/// at all, rather than wait for the timeouts of an hour's list.
const SUSPICIOUS: usize = 10;

/// So many failures are worth a line of warning in one round; the line at its end has the
/// number of segments that failed.
const MOST_WARNINGS: usize = 20;

/// So many files that another worker has in hand, or that could not be downloaded, are
/// remembered until the end of the round; what is beyond is looked at in the next one.
const MOST_REMEMBERED: usize = 10_000;

/// What a round did.
#[derive(Debug, Default)]
pub struct Report {
    /// Hours gone through.
    pub hours: usize,
    /// Segments downloaded.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Segments that could not be downloaded.
    pub failures: u64,
    /// Which ones those were; of very many only some.
    pub failed: Vec<SegmentPath>,
    /// Why not all listings could be had (the first reason). The peer counts as failing then.
    pub error: Option<RoundError>,
}

/// What stops a round, or a part of it.
#[derive(Debug, thiserror::Error)]
pub enum RoundError {
    /// A listing of the peer.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// A directory here.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No room here.
    #[error("there is no room for more: {0}")]
    DiskFull(DownloadError),
    /// A blocking thread panicked, or the process is ending.
    #[error("a thread that compares listings was lost: {0}")]
    Thread(#[from] tokio::task::JoinError),
}

impl RoundError {
    /// True iff going on would be of no use.
    fn ends_the_round(&self) -> bool {
        match self {
            RoundError::Remote(error) => error.is_silence(),
            RoundError::Store(_) => false,
            RoundError::DiskFull(_) | RoundError::Thread(_) => true,
        }
    }
}

/// Goes once through all that a peer has. `patient`: waits, at the end, for files that other
/// workers have in hand, and takes over if they fail. Dropping the future anywhere leaves no
/// temporary file.
pub async fn run(context: &Context, target: &Target, patient: bool) -> Report {
    let mut round = Round {
        context,
        target,
        report: Report::default(),
        deferred: Vec::new(),
        warnings: 0,
    };
    let ended = match round.every_hour().await {
        Ok(()) => round.deferred(patient).await,
        Err(error) => Err(error),
    };
    if let Err(error) = ended {
        round.failed(error);
    }
    round.report
}

/// A rendition and the hours that the peer has of it.
struct Listed {
    channel: Channel,
    quality: Quality,
    hours: BTreeSet<Hour>,
}

struct Round<'a> {
    context: &'a Context,
    target: &'a Target,
    report: Report,
    /// What other workers had in hand when it was its turn.
    deferred: Vec<(SegmentPath, Held)>,
    warnings: usize,
}

impl<'a> Round<'a> {
    async fn every_hour(&mut self) -> Result<(), RoundError> {
        let listed = self.listed().await?;
        let sets = listed.iter().map(|listed| &listed.hours);
        let hours = plan::hours(sets, &self.rules(), &mut rand::rng());
        for hour in hours {
            for listed in &listed {
                if !listed.hours.contains(&hour) {
                    continue;
                }
                let place = Place {
                    target: self.target.clone(),
                    channel: listed.channel.clone(),
                    quality: listed.quality.clone(),
                    hour,
                };
                match self.hour(&place).await {
                    Err(error) if error.ends_the_round() => return Err(error),
                    Err(error) => self.failed(error),
                    Ok(()) => {}
                }
            }
            self.report.hours += 1;
        }
        Ok(())
    }

    /// The hours of every channel and quality. One whose list is bad does not hide the others.
    async fn listed(&mut self) -> Result<Vec<Listed>, RoundError> {
        let Context { options, .. } = self.context;
        let mut all = Vec::new();
        for channel in &options.channels {
            for quality in &options.qualities {
                match self.hours_of(channel, quality).await {
                    Ok(hours) => all.push(Listed {
                        channel: channel.clone(),
                        quality: quality.clone(),
                        hours,
                    }),
                    Err(error) if error.ends_the_round() => return Err(error),
                    Err(error) => self.failed(error),
                }
            }
        }
        Ok(all)
    }

    async fn hours_of(
        &self,
        channel: &Channel,
        quality: &Quality,
    ) -> Result<BTreeSet<Hour>, RoundError> {
        let listing = self.target.remote.hours(channel, quality).await?;
        let target = self.target.clone();
        let place = format!("{channel}/{quality}");
        let read = move || {
            let mut hours = BTreeSet::new();
            for name in listing.names()? {
                match name.parse::<Hour>() {
                    Ok(hour) => {
                        hours.insert(hour);
                    }
                    Err(error) => target.note_bad_name(&place, &name, &error),
                }
            }
            Ok(hours)
        };
        tokio::task::spawn_blocking(read).await?
    }

    /// Plans an hour of a quality and downloads what is missing.
    async fn hour(&mut self, place: &Place) -> Result<(), RoundError> {
        let remote = &self.target.remote;
        let listing = remote
            .hour(&place.channel, &place.quality, place.hour)
            .await?;
        let (store, rules) = (self.context.store.clone(), self.rules());
        let missing = {
            let place = place.clone();
            move || place.missing(&store, &listing, &rules)
        };
        let mut missing = tokio::task::spawn_blocking(missing).await??;
        missing.shuffle(&mut rand::rng());
        self.download(place, missing).await
    }

    async fn download(&mut self, place: &Place, missing: Vec<Segment>) -> Result<(), RoundError> {
        let before = self.report.segments;
        let (context, remote) = (self.context, &self.target.remote);
        let paths = missing.into_iter().map(|segment| place.path(segment));
        let downloads = paths.map(|path| async move {
            let outcome = download::segment(&context.store, &context.claims, remote, &path).await;
            (path, outcome)
        });
        let ended = self.complete(downloads).await;
        if self.report.segments > before {
            let labels = [
                &*self.target.peer,
                place.channel.as_str(),
                place.quality.as_str(),
            ];
            metrics::HOURS_BACKFILLED.with_label_values(&labels).inc();
        }
        ended
    }

    /// Tries once more what other workers had in hand: they may have failed.
    async fn deferred(&mut self, patient: bool) -> Result<(), RoundError> {
        let (context, remote) = (self.context, &self.target.remote);
        let deferred = std::mem::take(&mut self.deferred);
        let downloads = deferred.into_iter().map(|(path, mut held)| async move {
            loop {
                if patient {
                    held.released().await;
                }
                let outcome =
                    download::segment(&context.store, &context.claims, remote, &path).await;
                match outcome {
                    Ok(Fetched::InHand(still)) if patient => held = still,
                    outcome => return (path, outcome),
                }
            }
        });
        self.complete(downloads).await
    }

    /// Completes downloads, as many at once as we were told, and notes what became of each. If
    /// many fail in a row, asks whether the peer is there at all.
    async fn complete<D>(&mut self, downloads: impl Iterator<Item = D>) -> Result<(), RoundError>
    where
        D: Future<Output = (SegmentPath, Result<Fetched, DownloadError>)>,
    {
        let remote = &self.target.remote;
        let at_once = self.context.options.download_concurrency.into();
        let mut downloads = pin!(stream::iter(downloads).buffer_unordered(at_once));
        let mut in_a_row = 0;
        while let Some((path, outcome)) = downloads.next().await {
            match &outcome {
                Err(error) if error.is_transport() => in_a_row += 1,
                Ok(Fetched::NoLongerMissing | Fetched::InHand(_)) => {}
                Ok(Fetched::Downloaded { .. }) | Err(_) => in_a_row = 0,
            }
            let (channel, quality) = (path.channel.clone(), path.quality.clone());
            let hour = path.segment.hour();
            self.note(path, outcome)?;
            if in_a_row >= SUSPICIOUS {
                in_a_row = 0;
                match remote.hour(&channel, &quality, hour).await {
                    Err(error) if error.is_silence() => return Err(error.into()),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Counts and logs what became of a segment.
    fn note(
        &mut self,
        path: SegmentPath,
        outcome: Result<Fetched, DownloadError>,
    ) -> Result<(), RoundError> {
        let hour = path.segment.hour().to_string();
        let SegmentPath {
            channel, quality, ..
        } = &path;
        let labels = [
            &*self.target.peer,
            channel.as_str(),
            quality.as_str(),
            &hour,
        ];
        let error = match outcome {
            Ok(Fetched::Downloaded { bytes }) => {
                self.report.segments += 1;
                self.report.bytes += bytes;
                metrics::SEGMENTS_BACKFILLED
                    .with_label_values(&labels)
                    .inc();
                tracing::debug!(segment = %path, bytes, "downloaded");
                return Ok(());
            }
            Ok(Fetched::NoLongerMissing) => return Ok(()),
            Ok(Fetched::InHand(held)) => {
                if self.deferred.len() < MOST_REMEMBERED {
                    self.deferred.push((path, held));
                }
                return Ok(());
            }
            Err(error) => error,
        };
        self.report.failures += 1;
        match &error {
            DownloadError::Mismatch(_) => metrics::HASH_MISMATCHES.with_label_values(&labels).inc(),
            _ => self.count_error(),
        }
        let name = path.to_string();
        let what = match &error {
            DownloadError::Mismatch(_) => "discarded a segment that is not what its name says",
            _ => "cannot fetch a segment",
        };
        if self.is_news(&name) {
            tracing::warn!(segment = name, %error, "{what}");
        } else {
            tracing::debug!(segment = name, %error, "{what}");
        }
        if self.report.failed.len() < MOST_REMEMBERED {
            self.report.failed.push(path);
        }
        match error.is_disk_full() {
            true => Err(RoundError::DiskFull(error)),
            false => Ok(()),
        }
    }

    /// Notes that a part of the round failed. The line at its end has the first reason.
    fn failed(&mut self, error: RoundError) {
        self.count_error();
        if self.report.error.is_none() {
            self.report.error = Some(error);
            return;
        }
        if self.is_news(&error.to_string()) {
            tracing::warn!(%error, "this failed too");
        } else {
            tracing::debug!(%error, "this failed too");
        }
    }

    /// True iff a failure deserves a warning: it was not said before, and this round has not
    /// said too much already.
    fn is_news(&mut self, what: &str) -> bool {
        let journal = &self.target.journal;
        let news =
            self.warnings < MOST_WARNINGS && journal.note(Matter::Failed, "", what) == Novelty::New;
        self.warnings += usize::from(news);
        news
    }

    fn count_error(&self) {
        let errors = &metrics::BACKFILL_ERRORS;
        errors.with_label_values(&[&*self.target.peer]).inc();
    }

    fn rules(&self) -> Rules {
        Rules::new(&self.context.options, Utc::now())
    }
}
