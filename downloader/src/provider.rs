//! Where a channel's media playlists are to be found.

mod url;

use ::url::Url;
use common::hedge::Hedge;
use common::http::HttpClient;
use common::names::Quality;

use crate::fetch::FetchError;

pub use url::UrlProvider;

/// Why no media playlists were found.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// The answer did not come or made no sense.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The answer lists nothing to record.
    #[error("{url} lists no rendition")]
    Nothing {
        /// What was asked.
        url: Box<str>,
    },
}

impl ProviderError {
    /// True iff the channel is simply not live.
    #[must_use]
    pub fn is_offline(&self) -> bool {
        match self {
            ProviderError::Fetch(error) => error.status().is_some_and(|s| s.as_u16() == 404),
            ProviderError::Nothing { .. } => false,
        }
    }
}

/// A quality that can be recorded now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What it is recorded as.
    pub quality: Quality,
    /// Its media playlist; behind it others with the same content, for when it fails.
    pub urls: Vec<Url>,
}

/// Finds media playlists.
#[derive(Debug, Clone)]
pub enum Provider {
    /// An HLS playlist anywhere.
    Url(UrlProvider),
}

impl Provider {
    /// Asks where the media playlists are now.
    ///
    /// # Errors
    /// [`ProviderError`].
    pub async fn find(
        &self,
        client: &HttpClient,
        hedge: Hedge,
    ) -> Result<Vec<Source>, ProviderError> {
        match self {
            Provider::Url(provider) => provider.find(client, hedge).await,
        }
    }

    /// After so long a URL has to be replaced; `None`: never.
    #[must_use]
    pub fn max_age(&self) -> Option<std::time::Duration> {
        match self {
            Provider::Url(_) => None,
        }
    }

    /// True iff a date that jumps means that the provider's times cannot be trusted (SPEC §5).
    #[must_use]
    pub fn distrusts_skew(&self) -> bool {
        match self {
            Provider::Url(_) => false,
        }
    }
}
