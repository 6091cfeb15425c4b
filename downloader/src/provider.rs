//! Where a channel's media playlists are to be found.

mod token_file;
mod twitch;
mod url;
mod youtube;

use std::time::Duration;

use ::url::Url;
use common::hedge::Hedge;
use common::http::{HttpClient, HttpError};
use common::names::Quality;

use crate::fetch::FetchError;

pub use token_file::TokenFile;
pub use twitch::{TwitchHosts, TwitchProvider};
pub use url::UrlProvider;
pub use youtube::YoutubeProvider;

/// Why no media playlists were found. One line, without secrets.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// The playlist did not come or made no sense.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// Something before the playlist did not come.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The channel is not live.
    #[error("it is not live")]
    Offline,
    /// The service does not know the channel.
    #[error("there is no channel of that name")]
    NoChannel,
    /// The service answered something else than it should.
    #[error("{what}: {problem}")]
    Answer {
        /// What was asked for.
        what: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// None of the wanted qualities is there.
    #[error("none of the qualities wanted is there, only {}", .0.join(", "))]
    Qualities(Vec<String>),
    /// Which one is the source is not clear.
    #[error("{} variants are called (source): {}", .0.len(), .0.join(", "))]
    Sources(Vec<String>),
    /// A program that is needed did not do its work.
    #[error("{program}: {problem}")]
    Program {
        /// Which.
        program: String,
        /// What it said.
        problem: String,
    },
}

impl ProviderError {
    /// True iff the channel is simply not live.
    #[must_use]
    pub fn is_offline(&self) -> bool {
        match self {
            ProviderError::Offline => true,
            ProviderError::Fetch(error) => error.status().is_some_and(|s| s.as_u16() == 404),
            _ => false,
        }
    }

    /// The pause that the server asks for, if it is asked too much.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            ProviderError::Fetch(error) => error.retry_after(),
            ProviderError::Http(error) => error.retry_after(),
            _ => None,
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

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// What can be recorded now.
    pub sources: Vec<Source>,
    /// Wanted, but not there.
    pub missing: Vec<Quality>,
    /// The names of all that is there.
    pub there: Vec<String>,
}

/// The one quality of what has no others (SPEC §5).
const SOURCE: &str = "source";

/// Of the qualities wanted, [`SOURCE`].
fn only_source(qualities: &[Quality]) -> Result<Quality, ProviderError> {
    let source = qualities.iter().find(|quality| quality.as_str() == SOURCE);
    let none = || ProviderError::Qualities(vec![SOURCE.to_owned()]);
    source.cloned().ok_or_else(none)
}

/// Finds media playlists.
#[derive(Debug, Clone)]
pub enum Provider {
    /// An HLS playlist anywhere.
    Url(UrlProvider),
    /// A channel of Twitch's.
    Twitch(TwitchProvider),
    /// A live video of YouTube's.
    Youtube(YoutubeProvider),
}

/// How many getters a worker may run at once (SPEC §5).
const MAX_GETTERS: usize = 64;

/// YouTube answers 429 to more (SPEC §5).
const MAX_GETTERS_YOUTUBE: usize = 4;

/// Twitch's URLs are good for 24 h (SPEC §5).
const MAX_AGE_TWITCH: Duration = Duration::from_secs(20 * 3600);

/// YouTube's URLs are good for 6 h (SPEC §5).
const MAX_AGE_YOUTUBE: Duration = Duration::from_secs(5 * 3600);

impl Provider {
    /// Asks where the media playlists of these qualities are now.
    ///
    /// # Errors
    /// [`ProviderError`].
    pub async fn find(
        &self,
        client: &HttpClient,
        qualities: &[Quality],
        hedge: Hedge,
    ) -> Result<Found, ProviderError> {
        match self {
            Provider::Url(provider) => provider.find(client, qualities, hedge).await,
            Provider::Twitch(provider) => provider.find(client, qualities, hedge).await,
            Provider::Youtube(provider) => provider.find(qualities, hedge.hard).await,
        }
    }

    /// True iff a quality may be there at some time: what cannot is not worth a look.
    #[must_use]
    pub fn can_have(&self, quality: &Quality) -> bool {
        let name = quality.as_str();
        match self {
            Provider::Twitch(_) => true,
            Provider::Youtube(_) => name == SOURCE,
            // Sound of its own, too, which is recorded without being asked for.
            Provider::Url(_) => name == SOURCE || url::is_audio_of(SOURCE, name),
        }
    }

    /// After so long a URL has to be replaced; `None`: never.
    #[must_use]
    pub fn max_age(&self) -> Option<Duration> {
        match self {
            Provider::Url(_) => None,
            Provider::Twitch(_) => Some(MAX_AGE_TWITCH),
            Provider::Youtube(_) => Some(MAX_AGE_YOUTUBE),
        }
    }

    /// True iff a date that jumps means that the provider's times cannot be trusted (SPEC §5).
    #[must_use]
    pub fn distrusts_skew(&self) -> bool {
        matches!(self, Provider::Twitch(_))
    }

    /// How many segments of a rendition may be downloaded at once.
    #[must_use]
    pub fn max_getters(&self) -> usize {
        match self {
            Provider::Youtube(_) => MAX_GETTERS_YOUTUBE,
            Provider::Url(_) | Provider::Twitch(_) => MAX_GETTERS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::names::Channel;

    /// SPEC §5: Twitch 20 h, YouTube 5 h, and four segments of YouTube's at once.
    #[test]
    fn what_each_provider_allows() {
        let url: Url = "http://h/x.m3u8".parse().unwrap();
        let twitch = Provider::Twitch(TwitchProvider {
            channel: Channel::new("c").unwrap(),
            hosts: TwitchHosts::default(),
            token_file: TokenFile::default(),
        });
        let youtube = Provider::Youtube(YoutubeProvider {
            url: url.clone(),
            program: "yt-dlp".to_owned(),
        });
        let anywhere = Provider::Url(UrlProvider { url });
        for (provider, hours, getters, distrusts, qualities) in [
            (twitch, Some(20), 64, true, [true, true, true]),
            (youtube, Some(5), 4, false, [true, false, false]),
            (anywhere, None, 64, false, [true, false, true]),
        ] {
            let names = ["source", "720p60", "source-audio-English"];
            let can_have = names.map(|name| provider.can_have(&Quality::new(name).unwrap()));
            assert_eq!(can_have, qualities, "{provider:?}");

            let age = provider.max_age().map(|age| age.as_secs());
            assert_eq!(age, hours.map(|hours| hours * 3600), "{provider:?}");
            assert_eq!(provider.max_getters(), getters, "{provider:?}");
            assert_eq!(provider.distrusts_skew(), distrusts, "{provider:?}");
        }
    }
}
