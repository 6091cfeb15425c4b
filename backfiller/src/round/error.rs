//! Why a round, or a part of it, is over.

use common::store::StoreError;

use super::fetching::SUSPICIOUS;
use crate::download::DownloadError;
use crate::remote::RemoteError;

/// What stops a round, or a part of it.
#[derive(Debug, thiserror::Error)]
pub enum RoundError {
    /// A listing of the peer.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The peer failed us again and again, and then did not even list an hour.
    #[error("it has stopped answering: {0}")]
    Gone(RemoteError),
    /// A directory here.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The peer lists an hour, and sends no file.
    #[error("{SUSPICIOUS} files in a row could not be had, the last one because {0}")]
    Refused(String),
    /// The peer wants to be left alone, and these are only extras.
    #[error("it has too much to do: {0}")]
    Busy(String),
    /// Nothing can be written here.
    #[error("nothing can be written here: {0}")]
    DiskClosed(DownloadError),
    /// No room here.
    #[error("there is no room for more: {0}")]
    DiskFull(DownloadError),
    /// A blocking thread panicked, or the process is ending.
    #[error("a thread that compares listings was lost: {0}")]
    Thread(#[from] tokio::task::JoinError),
}

impl RoundError {
    /// True iff the peer does not have what it was asked for.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, RoundError::Remote(error) if error.is_not_found())
    }

    /// True iff there was no answer.
    pub(super) fn is_silence(&self) -> bool {
        matches!(self, RoundError::Remote(error) if error.is_silence())
    }

    /// True iff going on would be of no use.
    pub(super) fn ends_the_round(&self) -> bool {
        match self {
            RoundError::Remote(_) | RoundError::Store(_) | RoundError::Refused(_) => false,
            RoundError::Gone(_)
            | RoundError::Busy(_)
            | RoundError::DiskFull(_)
            | RoundError::DiskClosed(_)
            | RoundError::Thread(_) => true,
        }
    }
}
