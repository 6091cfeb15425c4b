//! One attempt at a segment: one request, one temporary file.

use std::sync::atomic::Ordering;

use common::hedge::Progress;
use common::http::{self, HttpError};
use common::segment::FinalType;
use common::store::{Committed, SegmentWriter, StoreError};
use reqwest::StatusCode;
use tokio::time::{Instant, sleep_until, timeout};

use super::{Getter, Job, Stops};
use crate::decrypt::{DecryptError, Decryptor};
use crate::fetch::{Part, refusal};
use crate::shared::SharedError;

/// Why an attempt did not get the segment in full.
#[derive(Debug, thiserror::Error)]
pub(super) enum AttemptError {
    /// The origin does not have it any more, or does not give it to us.
    #[error("the origin answered {0}")]
    Gone(StatusCode),
    /// Something that it needs is not there, or not there yet.
    #[error("what it needs was answered {0}")]
    Missing(StatusCode),
    /// Anything else about the origin.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// Something that goes with the segment: its init section, its key.
    #[error(transparent)]
    Shared(#[from] SharedError),
    /// The end of the ciphertext is not as it should be.
    #[error("{url}: {source}")]
    Decrypt { url: Box<str>, source: DecryptError },
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

impl AttemptError {
    /// The pause that the server asks for, if it is asked too much.
    pub(super) fn retry_after(&self) -> Option<std::time::Duration> {
        match self {
            AttemptError::Http(error) | AttemptError::Shared(SharedError::Http(error)) => {
                error.retry_after()
            }
            _ => None,
        }
    }
}

/// What became of a body that came to its end.
pub(super) enum Got {
    /// It has its final name.
    Committed(Committed),
    /// It was only compared with what is there: true iff it is the same.
    Compared(bool),
}

/// An answer whose head is there, and the file that it goes to.
struct Opened {
    writer: SegmentWriter,
    part: Part,
    decryptor: Option<Decryptor>,
    /// The size of the init section, which is in the file already.
    init_bytes: u64,
}

/// How a body ended.
enum End {
    Proper,
    CutOff(AttemptError),
}

impl Getter {
    /// Makes attempt number `number` (from 0).
    pub(super) async fn attempt(
        &self,
        job: &Job,
        stops: &Stops,
        number: usize,
        progress: Progress,
    ) -> Result<Got, AttemptError> {
        let begun = Instant::now();
        job.fetching().attempts.fetch_add(1, Ordering::Relaxed);
        let Opened {
            mut writer,
            mut part,
            mut decryptor,
            init_bytes,
        } = tokio::select! {
            opened = self.open(job, number) => opened?,
            () = stops.cut.cancelled() => return Err(AttemptError::Stopped),
        };
        progress.announce(part.announced().unwrap_or(0));
        progress.note(0);
        let end = loop {
            let next = tokio::select! {
                biased;
                () = stops.cut.cancelled() => break End::CutOff(AttemptError::Stopped),
                next = part.next() => next,
                () = sleep_until(begun + self.timing.body_hard) => {
                    break End::CutOff(self.timed_out("end", job, self.timing.body_hard));
                }
            };
            match next {
                Ok(Some(chunk)) => {
                    progress.note(chunk.len());
                    let received = &job.fetching().bytes;
                    received.fetch_add(chunk.len() as u64, Ordering::Relaxed);
                    let chunk = match &mut decryptor {
                        Some(decryptor) => decryptor.update(chunk),
                        None => chunk,
                    };
                    writer.write(chunk).await?;
                }
                Ok(None) => match decryptor.map(Decryptor::finish) {
                    None => break End::Proper,
                    Some(Ok(chunk)) => {
                        writer.write(chunk).await?;
                        break End::Proper;
                    }
                    Some(Err(source)) => {
                        // The key may have changed under its URL.
                        job.shared.forget_keys();
                        let url = http::shown(&job.wanted.url);
                        break End::CutOff(AttemptError::Decrypt { url, source });
                    }
                },
                Err(error) => break End::CutOff(error.into()),
            }
            if writer.bytes() > self.max_bytes {
                return Err(self.too_large(job));
            }
        };
        let received = writer.bytes() - init_bytes;
        match end {
            End::Proper if received == 0 => {
                // Kept for whoever looks into it, but there may be more at the next attempt.
                if !job.only_compares() && job.kept.fetch_max(1, Ordering::Relaxed) == 0 {
                    self.count(&writer.commit(FinalType::Suspect).await?);
                }
                Err(AttemptError::Empty(http::shown(&job.wanted.url)))
            }
            End::Proper if job.only_compares() => Ok(Got::Compared(writer.only_compare().await?)),
            End::Proper => {
                let committed = writer.commit(self.kind(job, begun)).await?;
                self.count(&committed);
                Ok(Got::Committed(committed))
            }
            End::CutOff(error) => {
                // Behind a wrong padding there may be anything but video.
                let is_video = !matches!(error, AttemptError::Decrypt { .. });
                let is_kept = is_video && !job.only_compares();
                if is_kept && received > job.kept.load(Ordering::Relaxed) {
                    self.count(&writer.commit(FinalType::Partial).await?);
                    job.kept.fetch_max(received, Ordering::Relaxed);
                }
                Err(error)
            }
        }
    }

    /// Gets what the segment needs, the head of the answer, and a file with the init section
    /// in it, if there is one.
    async fn open(&self, job: &Job, number: usize) -> Result<Opened, AttemptError> {
        let wanted = &job.wanted;
        let (client, hedge) = (&self.client, self.timing.head_hedge());
        let init = match &wanted.init {
            Some(init) => Some(
                job.shared
                    .init(client, init, hedge)
                    .await
                    .map_err(missing)?,
            ),
            None => None,
        };
        let decryptor = match &wanted.encryption {
            Some(encryption) => {
                // Without an IV it is the sequence number (RFC 8216 §5.2).
                let iv = encryption.iv.unwrap_or(u128::from(wanted.sequence));
                let decryptor = job.shared.decryptor(client, encryption, iv, hedge);
                Some(decryptor.await.map_err(missing)?)
            }
            None => None,
        };
        let (url, range) = (&wanted.url, wanted.range);
        let opening = Part::open(&self.client, "segment", url, range, number > 0);
        let part = match timeout(self.timing.head_hard, opening).await {
            Ok(Ok(part)) => part,
            Ok(Err(error)) => {
                return Err(match refusal(error.status()) {
                    Some(status) => AttemptError::Gone(status),
                    None => error.into(),
                });
            }
            Err(_) => return Err(self.timed_out("head", job, self.timing.head_hard)),
        };
        if part.announced().is_some_and(|bytes| bytes > self.max_bytes) {
            return Err(self.too_large(job));
        }
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
        Ok(Opened {
            writer,
            part,
            decryptor,
            init_bytes,
        })
    }

    pub(super) fn timed_out(
        &self,
        part: &'static str,
        job: &Job,
        time: std::time::Duration,
    ) -> AttemptError {
        let url = http::shown(&job.wanted.url);
        AttemptError::TimedOut { part, url, time }
    }

    fn too_large(&self, job: &Job) -> AttemptError {
        AttemptError::Http(HttpError::TooLarge {
            url: http::shown(&job.wanted.url),
            kind: "segment",
            limit: self.max_bytes,
        })
    }
}

/// What a segment needs may be published a moment after the list that names it.
fn missing(error: SharedError) -> AttemptError {
    match &error {
        SharedError::Http(http) => match refusal(http.status()) {
            Some(status) => AttemptError::Missing(status),
            None => error.into(),
        },
        SharedError::Decrypt { .. } | SharedError::Empty(_) => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::path::Path;
    use std::sync::Arc;

    use common::http::HttpClient;
    use common::names::{Channel, Quality};
    use common::store::Store;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_util::sync::CancellationToken;

    use super::super::{Loss, Outcome};
    use super::*;
    use crate::timeline::Wanted;
    use crate::timing::Timing;

    /// All files below a directory.
    fn files(directory: &Path) -> usize {
        let entries = std::fs::read_dir(directory).into_iter().flatten();
        let count = |entry: std::fs::DirEntry| match entry.path().is_dir() {
            true => files(&entry.path()),
            false => 1,
        };
        entries.map(|entry| count(entry.unwrap())).sum()
    }

    /// Answers one request with chunks without an end, until the client has enough.
    async fn endless(listener: TcpListener) {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 1024];
        let _ = stream.read(&mut head).await;
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let _ = stream.write_all(head).await;
        let chunk = [b"400\r\n".as_slice(), &[7; 0x400], b"\r\n"].concat();
        while stream.write_all(&chunk).await.is_ok() {}
    }

    #[tokio::test]
    async fn a_segment_that_is_too_large_without_a_word_is_lost_and_leaves_nothing() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = tokio::spawn(endless(listener));
        let directory = tempfile::tempdir().unwrap();
        let (channel, quality) = (Channel::new("c").unwrap(), Quality::new("q").unwrap());
        let store = Store::new(directory.path());
        let client = HttpClient::new().unwrap();
        let mut getter = Getter::new(client, store, channel, quality, Timing::default());
        getter.max_bytes = 100_000;
        let wanted = Wanted::of(&format!("http://{address}/0.ts"));
        let stops = Stops {
            shutdown: CancellationToken::new(),
            cut: CancellationToken::new(),
        };
        let job = Job::new(wanted, false, Arc::default());
        let outcome = getter.get(&job, &stops).await;
        let Outcome::Lost(Loss::TooLarge(why)) = outcome else {
            panic!("{outcome:?}");
        };
        assert!(why.contains("100000 bytes allowed for a segment"), "{why}");
        assert_eq!(files(directory.path()), 0);
        served.await.unwrap();
    }
}
