//! A file as a peer sends it, bounded in size and time.

use std::time::Duration;

use bytes::Bytes;
use common::http::{HttpError, next_chunk, shown};
use reqwest::Response;
use tokio::time::{Instant, timeout};

use super::RemoteError;

/// A file's content, piece by piece.
#[derive(Debug)]
pub struct Content {
    pub(super) response: Response,
    pub(super) stall: Duration,
    pub(super) received: u64,
    pub(super) limit: u64,
    /// How long was waited for the peer; what else takes time is not its fault.
    pub(super) waited: Duration,
    pub(super) time_limit: Duration,
}

impl Content {
    /// The next piece; `None` at the proper end.
    ///
    /// # Errors
    /// [`RemoteError`] if it broke off, stood still, or is larger than any file of its kind.
    pub async fn next(&mut self) -> Result<Option<Bytes>, RemoteError> {
        let left = self.time_limit.saturating_sub(self.waited);
        let begun = Instant::now();
        let piece = timeout(self.stall.min(left), next_chunk(&mut self.response)).await;
        self.waited += begun.elapsed();
        let Ok(piece) = piece else {
            let url = shown(self.response.url());
            return Err(match self.waited < self.time_limit {
                true => RemoteError::Stalled {
                    url,
                    after: self.stall,
                },
                false => RemoteError::Slow {
                    url,
                    after: self.time_limit,
                },
            });
        };
        let Some(piece) = piece? else {
            return Ok(None);
        };
        self.received += piece.len() as u64;
        if self.received > self.limit {
            return Err(self.too_large());
        }
        Ok(Some(piece))
    }

    pub(super) fn too_large(&self) -> RemoteError {
        RemoteError::Http(HttpError::TooLarge {
            url: shown(self.response.url()),
            kind: "file",
            limit: self.limit,
        })
    }
}
