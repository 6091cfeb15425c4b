//! One attempt at a segment: one request, one temporary file.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::http::{self, HttpError};
use common::segment::FinalType;
use common::store::{Committed, SegmentWriter, StoreError};
use reqwest::StatusCode;
use tokio::time::{Instant, sleep_until, timeout};

use super::{Getter, Segment};
use crate::fetch::Part;

/// A segment of 20 s at 100 Mbit/s has half of it.
const MAX_BYTES: u64 = 512 * 1024 * 1024;

/// Why an attempt did not get the segment in full.
#[derive(Debug, thiserror::Error)]
pub(super) enum AttemptError {
    /// The origin does not have it any more, or does not give it to us.
    #[error("the origin answered {0}")]
    Gone(StatusCode),
    /// Anything else about the origin.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// Too late.
    #[error("no {part} of {url} in {time:?}")]
    TimedOut {
        part: &'static str,
        url: Box<str>,
        time: std::time::Duration,
    },
    /// It came to its end with nothing in it.
    #[error("{0} is empty")]
    Empty(Box<str>),
    /// The disk.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The process is stopping.
    #[error("stopped")]
    Stopped,
}

/// How a body ended.
enum End {
    Proper,
    CutOff(AttemptError),
}

impl Getter {
    /// Makes attempt number `number` (from 0); notes in `has_head` when the head is there.
    pub(super) async fn attempt(
        &self,
        segment: &Segment<'_>,
        number: usize,
        has_head: Arc<AtomicBool>,
    ) -> Result<Committed, AttemptError> {
        let begun = Instant::now();
        let stops = segment.stops;
        let (mut writer, mut part, init_bytes) = tokio::select! {
            opened = self.open(segment, number) => opened?,
            () = stops.cut.cancelled() => return Err(AttemptError::Stopped),
        };
        has_head.store(true, Ordering::Relaxed);
        let end = loop {
            let next = tokio::select! {
                biased;
                () = stops.cut.cancelled() => break End::CutOff(AttemptError::Stopped),
                next = part.next() => next,
                () = sleep_until(begun + self.timing.body_hard) => {
                    break End::CutOff(self.timed_out("end", segment, self.timing.body_hard));
                }
            };
            match next {
                Ok(Some(chunk)) => writer.write(chunk).await?,
                Ok(None) => break End::Proper,
                Err(error) => break End::CutOff(error.into()),
            }
            if writer.bytes() > MAX_BYTES {
                return Err(AttemptError::Http(HttpError::TooLarge {
                    url: http::shown(&segment.wanted.url),
                    kind: "segment",
                    limit: MAX_BYTES,
                }));
            }
        };
        let received = writer.bytes() - init_bytes;
        match end {
            End::Proper if received == 0 => {
                // Kept for whoever looks into it, but there may be more at the next attempt.
                if segment.kept.fetch_max(1, Ordering::Relaxed) == 0 {
                    self.count(&writer.commit(FinalType::Suspect).await?);
                }
                Err(AttemptError::Empty(http::shown(&segment.wanted.url)))
            }
            End::Proper => {
                let committed = writer.commit(self.kind(segment, begun)).await?;
                self.count(&committed);
                Ok(committed)
            }
            End::CutOff(error) => {
                if received > segment.kept.fetch_max(received, Ordering::Relaxed) {
                    self.count(&writer.commit(FinalType::Partial).await?);
                }
                Err(error)
            }
        }
    }

    /// Gets the head of the answer and a file with the init section in it, if there is one;
    /// gives the init section's size as well.
    async fn open(
        &self,
        segment: &Segment<'_>,
        number: usize,
    ) -> Result<(SegmentWriter, Part, u64), AttemptError> {
        let wanted = segment.wanted;
        let init = match &wanted.init {
            Some(init) => {
                let init = self.inits.get(&self.client, init, self.head_hedge());
                Some(init.await?)
            }
            None => None,
        };
        let (url, range) = (&wanted.url, wanted.range);
        let opening = Part::open(&self.client, "segment", url, range, number > 0);
        let part = match timeout(self.timing.head_hard, opening).await {
            Ok(Ok(part)) => part,
            Ok(Err(error)) => {
                return Err(match error.status() {
                    Some(
                        status @ (StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::GONE),
                    ) => AttemptError::Gone(status),
                    _ => error.into(),
                });
            }
            Err(_) => return Err(self.timed_out("head", segment, self.timing.head_hard)),
        };
        let mut writer = SegmentWriter::create(
            &self.store,
            &self.channel,
            &self.quality,
            wanted.start,
            wanted.duration,
        )
        .await?;
        let init_bytes = init.as_ref().map_or(0, |init| init.len() as u64);
        if let Some(init) = init {
            writer.write(init).await?;
        }
        Ok((writer, part, init_bytes))
    }

    fn timed_out(
        &self,
        part: &'static str,
        segment: &Segment<'_>,
        time: std::time::Duration,
    ) -> AttemptError {
        let url = http::shown(&segment.wanted.url);
        AttemptError::TimedOut { part, url, time }
    }
}
