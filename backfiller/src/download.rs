//! One file, from a peer to its final name here.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use common::store::{CommitError, FileWriter, SegmentWriter, Store, StoreError};
use tokio::time::Instant;

use crate::Context;
use crate::claims::{Claim, Held};
use crate::item::{Item, Place};
use crate::remote::{Remote, RemoteError};

/// What became of a file that was to be downloaded.
#[derive(Debug)]
pub enum Fetched {
    /// It is here now.
    Downloaded {
        /// Its size.
        bytes: u64,
    },
    /// The tombstone is here now.
    Buried,
    /// It came in another way since it was planned, or a tombstone did; or the peer has merged
    /// a chat batch into another one.
    NoLongerMissing,
    /// Another worker is downloading it.
    InHand(Held),
}

/// Why a file was not downloaded.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The peer.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The content is not what its name says. It was discarded.
    #[error(transparent)]
    Mismatch(CommitError),
    /// The disk here.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl DownloadError {
    /// True iff there is no room here: trying others is of no use.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        matches!(self, DownloadError::Store(error) if full.contains(&error.kind()))
    }

    /// True iff the disk here takes nothing at all: trying others is of no use.
    #[must_use]
    pub fn is_disk_closed(&self) -> bool {
        matches!(self, DownloadError::Store(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem)
    }

    /// True iff it says something of this file only, and nothing of the others.
    #[must_use]
    pub fn is_of_the_file(&self) -> bool {
        match self {
            DownloadError::Remote(error) => error.is_not_found(),
            DownloadError::Mismatch(_) => true,
            DownloadError::Store(_) => false,
        }
    }

    /// How long the peer wants to be left alone, if that is what it says.
    #[must_use]
    pub fn come_again(&self) -> Option<Duration> {
        match self {
            DownloadError::Remote(error) => error.come_again(),
            _ => None,
        }
    }

    /// True iff the connection failed rather than the content or the disk.
    #[must_use]
    pub fn is_transport(&self) -> bool {
        matches!(self, DownloadError::Remote(error) if error.is_transport())
    }
}

/// Downloads a file from the peer of this name, unless it (or a twin) is here or another worker has it
/// in hand; makes a tombstone. Ends early, and says that it is in another hand, when it is slow and
/// another worker has taken it. Dropping the future anywhere leaves no temporary file.
///
/// # Errors
/// [`DownloadError`]; nothing is left then.
pub async fn item(
    context: &Context,
    (peer, remote): (&str, &Remote),
    item: &Item,
) -> Result<Fetched, DownloadError> {
    let Context { store, claims, .. } = context;
    if let Item::Tombstone(place, name) = item {
        return bury(store.clone(), place.clone(), name.clone()).await;
    }
    let file = item.file(store);
    let claim = match claims.claim(item, peer) {
        Ok(claim) => claim,
        Err(held) => return Ok(Fetched::InHand(held)),
    };
    match look(file.clone(), claims.twins(item), item.place().is_some()).await {
        Look::Missing => {}
        Look::Here => {
            claim.came(&file);
            return Ok(Fetched::NoLongerMissing);
        }
        Look::NotWanted => return Ok(Fetched::NoLongerMissing),
    }
    let received = tokio::select! {
        received = receive(context, remote, item, &claim) => received.inspect_err(|_| claim.failed())?,
        () = claim.lost() => {
            tracing::debug!(file = %item, "too slow: another peer is asked for it");
            return Ok(Fetched::InHand(claim.given_up()));
        }
    };
    let Some(writer) = received else {
        return Ok(Fetched::NoLongerMissing);
    };
    claim.has_all();
    let (existed, bytes) = match writer.commit(item).await {
        Ok(committed) => committed,
        Err(CommitError::Store(error)) => return Err(error.into()),
        Err(mismatch) => {
            claim.failed();
            return Err(DownloadError::Mismatch(mismatch));
        }
    };
    claim.came(&file);
    drop(claim);
    Ok(match existed {
        true => Fetched::NoLongerMissing,
        false => Fetched::Downloaded { bytes },
    })
}

/// Receives a file's content; `None` if it has been merged away since it was listed (SPEC §6).
async fn receive(
    context: &Context,
    remote: &Remote,
    item: &Item,
    claim: &Claim,
) -> Result<Option<Writer>, DownloadError> {
    let mut content = match remote.content(item).await {
        Ok(content) => content,
        Err(error) if error.is_not_found() && matches!(item, Item::Chat(..)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut writer = Writer::create(&context.store, item).await?;
    while let Some(piece) = content.next().await? {
        let (bytes, arrived) = (piece.len(), Instant::now());
        context.rate.take(bytes).await;
        writer.write(piece).await?;
        claim.received(bytes, arrived.elapsed());
    }
    Ok(Some(writer))
}

async fn bury(
    store: Store,
    place: Place,
    name: common::names::PathPart,
) -> Result<Fetched, DownloadError> {
    let work = move || store.bury(&place.channel, &place.quality, place.hour, &name);
    match tokio::task::spawn_blocking(work).await {
        Ok(new) => Ok(match new? {
            true => Fetched::Buried,
            false => Fetched::NoLongerMissing,
        }),
        // The process is ending: the next one makes it.
        Err(_) => Ok(Fetched::NoLongerMissing),
    }
}

/// The writer of a file, by its kind.
#[derive(Debug)]
enum Writer {
    Segment(SegmentWriter),
    File(FileWriter),
}

impl Writer {
    async fn create(store: &Store, item: &Item) -> Result<Writer, StoreError> {
        Ok(match item {
            Item::Segment(path) => {
                let (start, duration) = (path.segment.start(), path.segment.duration());
                let (channel, quality) = (&path.channel, &path.quality);
                let writer = SegmentWriter::create(store, channel, quality, start, duration);
                Writer::Segment(writer.await?)
            }
            Item::Chat(place, batch) => {
                let (channel, quality) = (&place.channel, &place.quality);
                let writer = FileWriter::in_hour(store, channel, quality, place.hour, batch.name());
                Writer::File(writer.await?)
            }
            Item::Tombstone(place, name) => {
                let (channel, quality) = (&place.channel, &place.quality);
                let writer = FileWriter::in_hour(store, channel, quality, place.hour, name);
                Writer::File(writer.await?)
            }
            Item::Extra(path) => {
                let writer = FileWriter::below(store, path.directory.parts(), &path.below);
                Writer::File(writer.await?)
            }
        })
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        match self {
            Writer::Segment(writer) => writer.write(bytes).await,
            Writer::File(writer) => writer.write(bytes).await,
        }
    }

    /// Whether it was there before, and its size.
    async fn commit(self, item: &Item) -> Result<(bool, u64), CommitError> {
        match (self, item) {
            (Writer::Segment(writer), Item::Segment(path)) => {
                let committed = writer.commit_as(path.segment.clone()).await?;
                Ok((committed.existed, committed.bytes))
            }
            (Writer::Segment(_), _) => Err(CommitError::Temp),
            (Writer::File(writer), item) => {
                let hash = match item {
                    Item::Chat(_, batch) => Some(batch.hash()),
                    _ => None,
                };
                let bytes = writer.bytes();
                Ok((writer.commit(hash).await?, bytes))
            }
        }
    }
}

/// How things are with a file that was missing when its hour was planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// It still is.
    Missing,
    /// It has come.
    Here,
    /// One of its twins has come, or its tombstone.
    NotWanted,
}

/// Looks at a file again: an hour's list may be minutes old when the last of it is downloaded.
async fn look(file: PathBuf, twins: Vec<PathBuf>, can_be_buried: bool) -> Look {
    let look = tokio::task::spawn_blocking(move || {
        let is_buried = |file: &PathBuf| file.with_extension("tombstone").exists();
        if file.exists() {
            return Look::Here;
        }
        let is_twin_here = || twins.iter().any(|twin| twin.exists() && !is_buried(twin));
        match (can_be_buried && is_buried(&file)) || is_twin_here() {
            true => Look::NotWanted,
            false => Look::Missing,
        }
    });
    // In doubt it is downloaded: that an existing file is replaced cannot happen.
    look.await.unwrap_or(Look::Missing)
}
