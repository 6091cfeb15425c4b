//! Why a peer did not give what it was asked for.

use std::time::Duration;

use chrono::Utc;
use common::http::{HttpError, pause, shown};
use reqwest::{Response, StatusCode};
use url::Url;

/// A peer that has too much to do is asked again after this, at the soonest.
const SHORTEST_RESPITE: Duration = Duration::from_secs(1);

/// Why a peer did not give what it was asked for. One line.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The request failed.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// It has too much to do, and says when to come again.
    #[error("{url} answered {status}, come again in {after:?}")]
    Busy {
        /// What was asked.
        url: Box<str>,
        /// What it answered.
        status: StatusCode,
        /// How long it wants to be left alone.
        after: Duration,
    },
    /// No head came.
    #[error("{url} did not answer in {after:?}")]
    Silent {
        /// What was asked.
        url: Box<str>,
        /// How long was waited.
        after: Duration,
    },
    /// The body stood still.
    #[error("the body of {url} stood still for {after:?}")]
    Stalled {
        /// What was asked.
        url: Box<str>,
        /// How long was waited.
        after: Duration,
    },
    /// The body came, but too slowly.
    #[error("{url} did not end in {after:?}")]
    Slow {
        /// What was asked.
        url: Box<str>,
        /// How long was waited.
        after: Duration,
    },
    /// Not a JSON array of strings.
    #[error("{url} is not a list of names: {reason}")]
    NotAList {
        /// What was asked.
        url: Box<str>,
        /// What was found.
        reason: String,
    },
    /// The body's end is not marked: nobody could tell whether all of it came.
    #[error("{url} does not say where its body ends")]
    NoEnd {
        /// What was asked.
        url: Box<str>,
    },
}

impl RemoteError {
    /// True iff the peer gave no answer at all: it may be down.
    #[must_use]
    pub fn is_silence(&self) -> bool {
        matches!(
            self,
            RemoteError::Silent { .. } | RemoteError::Http(HttpError::NoResponse { .. })
        )
    }

    /// How long the peer wants to be left alone, if that is what it says.
    #[must_use]
    pub fn come_again(&self) -> Option<Duration> {
        match self {
            RemoteError::Busy { after, .. } => Some(*after),
            _ => None,
        }
    }

    /// True iff the peer does not have what it was asked for.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, RemoteError::Http(error) if error.status() == Some(StatusCode::NOT_FOUND))
    }

    /// True iff the connection failed us, before or in the middle of the answer, rather than
    /// the answer itself.
    #[must_use]
    pub fn is_transport(&self) -> bool {
        let in_the_middle = matches!(
            self,
            RemoteError::Stalled { .. }
                | RemoteError::Slow { .. }
                | RemoteError::Http(HttpError::Body { .. })
        );
        in_the_middle || self.is_silence()
    }
}

/// What an answer that is no success means.
pub(super) fn refusal(url: &Url, response: &Response) -> RemoteError {
    let (url, status) = (shown(url), response.status());
    match pause::asked(status, response.headers(), Utc::now()) {
        Some(after) => {
            let after = after.max(SHORTEST_RESPITE);
            RemoteError::Busy { url, status, after }
        }
        None => RemoteError::Http(HttpError::Status {
            url,
            status,
            retry_after: None,
        }),
    }
}
