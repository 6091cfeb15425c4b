//! The one writer of segments, for downloader and backfiller alike; `sink.rs` has what it shares
//! with the writer of other files.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::sink::Spool;
use super::{Store, StoreError};
use crate::names::{Channel, Quality};
use crate::segment::{FinalType, Hour, Segment, SegmentDuration, SegmentHash};

/// A segment that has its final name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The segment.
    pub segment: Segment,
    /// Its size in bytes.
    pub bytes: u64,
    /// True iff it was there before: the content is the same by construction (SPEC §2).
    pub existed: bool,
}

/// Why a segment did not get its final name.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The disk.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was written is not what the name says.
    #[error("its content has the hash {actual}, not the {expected} of its name")]
    Hash {
        /// The one in the name.
        expected: SegmentHash,
        /// The one of what was written.
        actual: SegmentHash,
    },
    /// The given name is that of a temporary segment.
    #[error("a temporary segment's name is not final")]
    Temp,
}

/// Writes one segment. Dropping it, anywhere, removes what was written.
#[derive(Debug)]
pub struct SegmentWriter {
    spool: Spool,
    start: DateTime<Utc>,
    duration: SegmentDuration,
}

impl SegmentWriter {
    /// Begins a segment: its directory exists afterwards, and a temporary file in it.
    ///
    /// # Errors
    /// If either cannot be made.
    pub async fn create(
        store: &Store,
        channel: &Channel,
        quality: &Quality,
        start: DateTime<Utc>,
        duration: SegmentDuration,
    ) -> Result<SegmentWriter, StoreError> {
        let temp = Segment::temp(start, duration, temporary_id());
        let directory = store.hour_directory(channel, quality, temp.hour());
        Ok(SegmentWriter {
            spool: Spool::create(directory, &temp.to_string(), || Ok(())).await?,
            start,
            duration,
        })
    }

    /// Adds to the segment.
    ///
    /// # Errors
    /// If the disk refused this piece or an earlier one; the segment is lost then.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        self.spool.write(bytes).await
    }

    /// How many bytes it has so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.spool.bytes()
    }

    /// Gives the segment its final name, which says what was written.
    ///
    /// # Errors
    /// If the disk fails; then nothing is left.
    pub async fn commit(self, kind: FinalType) -> Result<Committed, StoreError> {
        let (start, duration) = (self.start, self.duration);
        let named = move |hash| Ok(Segment::new(start, duration, kind, hash));
        match self.finish(named).await {
            Ok(committed) => Ok(committed),
            Err(CommitError::Store(error)) => Err(error),
            // `named` gives no error of its own.
            Err(error) => Err(StoreError::new(
                "name",
                std::path::Path::new(""),
                std::io::Error::other(error),
            )),
        }
    }

    /// Gives the segment the name that a peer gave it, to the byte, if that says its content's
    /// hash. The segment must start in the hour in which this writer was made.
    ///
    /// # Errors
    /// If the hash is another, or the disk fails; then nothing is left.
    pub async fn commit_as(self, segment: Segment) -> Result<Committed, CommitError> {
        let expected = segment.hash().ok_or(CommitError::Temp)?;
        debug_assert_eq!(segment.hour(), Hour::of(self.start));
        self.finish(move |actual| match actual == expected {
            true => Ok(segment),
            false => Err(CommitError::Hash { expected, actual }),
        })
        .await
    }

    /// True iff the same is there in full already; either way nothing is left of what was written.
    ///
    /// # Errors
    /// If the disk fails.
    pub async fn only_compare(self) -> Result<bool, StoreError> {
        let (start, duration) = (self.start, self.duration);
        let named = move |hash| Segment::new(start, duration, FinalType::Full, hash).to_string();
        self.spool.only_compare(named).await
    }

    async fn finish(
        self,
        named: impl FnOnce(SegmentHash) -> Result<Segment, CommitError> + Send + 'static,
    ) -> Result<Committed, CommitError> {
        let bytes = self.bytes();
        let named = move |hash| named(hash).map(|segment| (segment.to_string(), segment));
        let (segment, existed) = self.spool.finish(named).await?;
        Ok(Committed {
            segment,
            bytes,
            existed,
        })
    }
}

/// What names a temporary file of ours: a UUID of the version that says that its writer holds a
/// lock on it (`leftovers.rs`).
pub(super) fn temporary_id() -> Uuid {
    Uuid::new_v8(*Uuid::new_v4().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::sink::{PIECE, Sink};
    use super::*;
    use crate::segment::SegmentType;
    use sha2::{Digest, Sha256};
    use std::path::PathBuf;
    use std::{fs, io};
    use tempfile::TempDir;

    struct Place {
        base: TempDir,
        store: Store,
        channel: Channel,
        quality: Quality,
    }

    impl Place {
        fn new() -> Place {
            let base = TempDir::new().unwrap();
            let store = Store::new(base.path());
            Place {
                base,
                store,
                channel: Channel::new("c").unwrap(),
                quality: Quality::new("source").unwrap(),
            }
        }

        async fn writer(&self) -> Result<SegmentWriter, StoreError> {
            let start = "2026-01-02T03".parse::<Hour>().unwrap().start();
            let duration = SegmentDuration::from_secs(2.0).unwrap();
            SegmentWriter::create(&self.store, &self.channel, &self.quality, start, duration).await
        }

        fn directory(&self) -> PathBuf {
            self.base.path().join("c/source/2026-01-02T03")
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(self.directory()).into_iter().flatten();
            entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect()
        }
    }

    /// Pieces of all sizes around the one at which they go to the disk.
    fn pieces() -> Vec<Bytes> {
        [1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 7]
            .iter()
            .enumerate()
            .map(|(n, &size)| Bytes::from(vec![n as u8; size]))
            .collect()
    }

    #[tokio::test]
    async fn the_final_name_says_what_was_written() {
        let place = Place::new();
        let mut writer = place.writer().await.unwrap();
        assert_eq!(place.names().len(), 1);
        assert!(place.names()[0].contains("-temp-"));
        for piece in pieces() {
            writer.write(piece).await.unwrap();
        }
        let content = pieces().concat();
        assert_eq!(writer.bytes(), content.len() as u64);
        let committed = writer.commit(FinalType::Full).await.unwrap();
        assert_eq!(committed.bytes, content.len() as u64);
        assert!(!committed.existed);
        let digest: [u8; 32] = Sha256::digest(&content).into();
        assert_eq!(
            committed.segment.hash(),
            Some(SegmentHash::from_bytes(digest))
        );
        assert_eq!(committed.segment.kind(), SegmentType::Full);
        assert_eq!(place.names(), [committed.segment.to_string()]);
        let file = place.directory().join(committed.segment.to_string());
        assert_eq!(fs::read(file).unwrap(), content);

        // What is only compared leaves nothing.
        for (content, same) in [(content.as_slice(), true), (b"other", false)] {
            let mut writer = place.writer().await.unwrap();
            writer.write(Bytes::copy_from_slice(content)).await.unwrap();
            assert_eq!(writer.only_compare().await.unwrap(), same);
            assert_eq!(place.names(), [committed.segment.to_string()]);
        }

        // The same again: already there is success, and the temporary file goes.
        let mut writer = place.writer().await.unwrap();
        for piece in pieces() {
            writer.write(piece).await.unwrap();
        }
        let again = writer.commit(FinalType::Full).await.unwrap();
        assert!(again.existed);
        assert_eq!(place.names(), [again.segment.to_string()]);
    }

    #[tokio::test]
    async fn a_peers_name_is_kept_to_the_byte_if_it_tells_the_truth() {
        let place = Place::new();
        let hash = SegmentHash::from_bytes(Sha256::digest("abc").into());
        let hour = "2026-01-02T03".parse().unwrap();
        let name = format!("00:00.0-2.00-full-{hash}.ts");
        for (content, truth) in [("abd", false), ("abc", true)] {
            let mut writer = place.writer().await.unwrap();
            writer
                .write(Bytes::from_static(content.as_bytes()))
                .await
                .unwrap();
            let segment = Segment::parse(hour, &name).unwrap();
            let outcome = writer.commit_as(segment).await;
            assert_eq!(outcome.is_ok(), truth, "{outcome:?}");
            let expected = if truth { vec![name.clone()] } else { vec![] };
            assert_eq!(place.names(), expected);
        }
    }

    #[tokio::test]
    async fn dropped_anywhere_it_leaves_nothing() {
        let place = Place::new();
        let (one, other) = (place.writer().await.unwrap(), place.writer().await.unwrap());
        drop(one);
        assert_eq!(place.names().len(), 1);
        drop(other);
        // An hour without anything in it is none.
        assert!(!place.directory().exists());
        // Between pieces, with a blocking thread at work: the thread removes the file.
        for sent in 1..=pieces().len() {
            let mut writer = place.writer().await.unwrap();
            for piece in pieces().into_iter().take(sent) {
                writer.write(piece).await.unwrap();
            }
            drop(writer);
        }
        // In the middle of a write and of a commit.
        for polls in 0..4 {
            let writer = place.writer().await.unwrap();
            let write = async {
                let mut writer = writer;
                for piece in pieces() {
                    writer.write(piece).await.unwrap();
                }
                writer.commit(FinalType::Full).await
            };
            let mut write = Box::pin(write);
            for _ in 0..polls {
                assert!(futures::poll!(write.as_mut()).is_pending());
            }
        }
        // The threads that are still at work end by themselves.
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
        while place.names().iter().any(|name| name.contains("-temp-")) {
            assert!(
                tokio::time::Instant::now() < deadline,
                "{:?}",
                place.names()
            );
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    #[test]
    fn whoever_gives_up_takes_no_directory_from_who_begins() {
        let base = TempDir::new().unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let directory = base.path().join("c/source/2026-01-02T03");
                scope.spawn(move || {
                    for _ in 0..200 {
                        let path = directory.join(thread.to_string());
                        drop(Sink::create(directory.clone(), path).unwrap());
                    }
                });
            }
        });
        assert!(!base.path().join("c/source/2026-01-02T03").exists());
    }

    #[tokio::test]
    async fn an_error_names_the_path() {
        let place = Place::new();
        fs::write(place.base.path().join("c"), "a file in the way").unwrap();
        let error = place.writer().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
        let text = error.to_string();
        assert!(text.contains("c/source/2026-01-02T03"), "{text}");
    }

    #[tokio::test]
    async fn a_vanished_directory_fails_the_commit_and_nothing_else() {
        let place = Place::new();
        let mut writer = place.writer().await.unwrap();
        writer.write(Bytes::from_static(b"x")).await.unwrap();
        fs::remove_dir_all(place.directory()).unwrap();
        let error = writer.commit(FinalType::Full).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
