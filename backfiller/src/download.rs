//! One segment, from a peer to its final name here.

use std::io;
use std::path::PathBuf;

use common::segment::SegmentPath;
use common::store::{CommitError, SegmentWriter, Store, StoreError};
use tokio::time::timeout;

use crate::claims::{Claims, Held};
use crate::remote::{Content, Remote, RemoteError};

/// What became of a segment that was to be downloaded.
#[derive(Debug)]
pub enum Fetched {
    /// It is here now.
    Downloaded {
        /// Its size.
        bytes: u64,
    },
    /// It came in another way since it was planned, or a tombstone did.
    NoLongerMissing,
    /// Another worker is downloading it.
    InHand(Held),
}

/// Why a segment was not downloaded.
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

    /// True iff the connection failed rather than the content or the disk.
    #[must_use]
    pub fn is_transport(&self) -> bool {
        matches!(self, DownloadError::Remote(error) if error.is_transport())
    }
}

/// Downloads a segment, unless it is here or another worker has it in hand. Dropping the future
/// anywhere leaves no temporary file.
///
/// # Errors
/// [`DownloadError`]; nothing is left then.
pub async fn segment(
    store: &Store,
    claims: &Claims,
    remote: &Remote,
    path: &SegmentPath,
) -> Result<Fetched, DownloadError> {
    let file = store.file(path);
    let claim = match claims.claim(&file) {
        Ok(claim) => claim,
        Err(held) => return Ok(Fetched::InHand(held)),
    };
    if !is_missing(file).await {
        return Ok(Fetched::NoLongerMissing);
    }
    let mut content = remote.segment(path).await?;
    let SegmentPath {
        channel,
        quality,
        segment,
    } = path;
    let mut writer =
        SegmentWriter::create(store, channel, quality, segment.start(), segment.duration()).await?;
    match timeout(Content::time_limit(), receive(&mut content, &mut writer)).await {
        Ok(received) => received?,
        Err(_) => return Err(content.slow().into()),
    }
    let committed = match writer.commit_as(segment.clone()).await {
        Ok(committed) => committed,
        Err(CommitError::Store(error)) => return Err(error.into()),
        Err(mismatch) => return Err(DownloadError::Mismatch(mismatch)),
    };
    drop(claim);
    Ok(match committed.existed {
        true => Fetched::NoLongerMissing,
        false => Fetched::Downloaded {
            bytes: committed.bytes,
        },
    })
}

async fn receive(content: &mut Content, writer: &mut SegmentWriter) -> Result<(), DownloadError> {
    while let Some(piece) = content.next().await? {
        writer.write(piece).await?;
    }
    Ok(())
}

/// True iff neither the file nor its tombstone is here: an hour's list may be minutes old when
/// the last of it is downloaded.
async fn is_missing(file: PathBuf) -> bool {
    let look = tokio::task::spawn_blocking(move || {
        !file.exists() && !file.with_extension("tombstone").exists()
    });
    // In doubt it is downloaded: that an existing file is replaced cannot happen.
    look.await.unwrap_or(true)
}
