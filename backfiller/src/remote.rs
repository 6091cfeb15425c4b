//! A peer's HTTP API (SPEC §4), typed. All that comes from there is bounded in size and time,
//! and nothing of it is trusted.

mod content;
mod error;
mod listing;

use std::time::Duration;

use common::http::{HttpClient, read_all, shown};
use common::names::{Channel, Quality};
use common::segment;
use reqwest::header::{ACCEPT_ENCODING, ETAG, HeaderValue, IF_NONE_MATCH, TRANSFER_ENCODING};
use reqwest::{RequestBuilder, Response, StatusCode};
use tokio::time::timeout;
use url::Url;

pub use self::content::Content;
pub use self::error::RemoteError;
use self::error::refusal;
pub use self::listing::Listing;
use crate::item::{ExtrasDirectory, Item, Place};

/// The largest listing, unpacked: 250,000 names of segments take 20 MB.
const MAX_LISTING: u64 = 64 * 1024 * 1024;

/// The largest batch of chat.
const MAX_CHAT: u64 = 256 * 1024 * 1024;

/// The largest file of `--extras`.
const MAX_EXTRA: u64 = 16 * 1024 * 1024 * 1024;

/// The longest entity tag that is kept, in bytes.
const MAX_TAG: usize = 200;

/// So many stall timeouts are enough for a whole listing.
const LISTING_STALLS: u32 = 4;

/// No segment takes so long, even over a poor link: whoever sends a byte now and then must not
/// hold a slot for ever. Time spent waiting for `--max-rate` is not counted.
const MAX_DOWNLOAD: Duration = Duration::from_secs(600);

/// The same for a file of `--extras`.
const MAX_EXTRA_DOWNLOAD: Duration = Duration::from_secs(4 * 3600);

/// A peer's API.
#[derive(Debug, Clone)]
pub struct Remote {
    client: HttpClient,
    base: Url,
    stall: Duration,
}

impl Remote {
    /// The API at a URL. A request is given up after `stall` without a byte.
    #[must_use]
    pub fn new(client: HttpClient, base: Url, stall: Duration) -> Remote {
        Remote {
            client,
            base,
            stall,
        }
    }

    /// The hours of a quality.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn hours(
        &self,
        channel: &Channel,
        quality: &Quality,
    ) -> Result<Listing, RemoteError> {
        let url = self.url(&["files", channel.as_str(), quality.as_str()]);
        self.list("list_hours", url).await
    }

    /// The files of an hour and its tombstones, without what those hide; `None` if the peer
    /// says that nothing has changed since it gave this entity tag.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn hour(
        &self,
        place: &Place,
        known: Option<&HeaderValue>,
    ) -> Result<Option<Listing>, RemoteError> {
        let Place {
            channel,
            quality,
            hour,
        } = place;
        let hour = hour.to_string();
        let mut url = self.url(&["files", channel.as_str(), quality.as_str(), &hour]);
        url.set_query(Some("tombstones=true"));
        let mut request = self.client.get(&url);
        if let Some(tag) = known {
            request = request.header(IF_NONE_MATCH, tag);
        }
        let purpose = "list_segments";
        let sent = timeout(self.stall, self.client.send(purpose, request)).await;
        let response = sent.map_err(|_| self.silent(&url))??;
        match response.status() {
            StatusCode::NOT_MODIFIED if known.is_some() => Ok(None),
            status if status.is_success() => self.read_listing(&url, response).await.map(Some),
            _ => Err(refusal(&url, &response)),
        }
    }

    /// The files below a directory of extras, relative to it.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn extras(&self, directory: &ExtrasDirectory) -> Result<Listing, RemoteError> {
        let parts = directory.parts().iter().map(|part| part.as_str());
        let parts: Vec<&str> = std::iter::once("extras").chain(parts).collect();
        self.list("list_extras", self.url(&parts)).await
    }

    /// Asks for a file's content; its head has come when this returns.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn content(&self, item: &Item) -> Result<Content, RemoteError> {
        // The path of a file below the base directory is that of its URL, on every node.
        let path = item.to_string();
        let parts: Vec<&str> = std::iter::once("segments").chain(path.split('/')).collect();
        let url = self.url(&parts);
        // Video does not shrink, and its declared length is worth more.
        let request = self.client.get(&url).header(ACCEPT_ENCODING, "identity");
        let (purpose, limit, time_limit) = match item {
            Item::Segment(_) => ("backfill_segment", segment::MAX_BYTES, MAX_DOWNLOAD),
            Item::Chat(..) | Item::Tombstone(..) => ("backfill_chat", MAX_CHAT, MAX_DOWNLOAD),
            Item::Extra(_) => ("backfill_extra", MAX_EXTRA, MAX_EXTRA_DOWNLOAD),
        };
        let response = self.head(purpose, &url, request).await?;
        let content = Content {
            stall: self.stall,
            received: 0,
            limit,
            waited: Duration::ZERO,
            time_limit,
            response,
        };
        let length = content.response.content_length();
        let has_end =
            length.is_some() || content.response.headers().contains_key(TRANSFER_ENCODING);
        if matches!(item, Item::Extra(_)) && !has_end {
            // No hash tells either.
            return Err(RemoteError::NoEnd { url: shown(&url) });
        }
        match length {
            Some(length) if length > limit => Err(content.too_large()),
            _ => Ok(content),
        }
    }

    /// The URL of a path below the peer's own; parts are percent-encoded.
    fn url(&self, parts: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            // Always so: a peer's URL is http or https.
            path.pop_if_empty().extend(parts);
        }
        url
    }

    async fn head(
        &self,
        purpose: &str,
        url: &Url,
        request: RequestBuilder,
    ) -> Result<Response, RemoteError> {
        let sent = timeout(self.stall, self.client.send(purpose, request)).await;
        let response = sent.map_err(|_| self.silent(url))??;
        match response.status().is_success() {
            true => Ok(response),
            false => Err(refusal(url, &response)),
        }
    }

    fn silent(&self, url: &Url) -> RemoteError {
        RemoteError::Silent {
            url: shown(url),
            after: self.stall,
        }
    }

    async fn list(&self, purpose: &str, url: Url) -> Result<Listing, RemoteError> {
        let response = self.head(purpose, &url, self.client.get(&url)).await?;
        self.read_listing(&url, response).await
    }

    async fn read_listing(&self, url: &Url, response: Response) -> Result<Listing, RemoteError> {
        let url = shown(url);
        let after = self.stall * LISTING_STALLS;
        let tag = response.headers().get(ETAG).cloned();
        match timeout(after, read_all(response, "listing", MAX_LISTING)).await {
            Ok(body) => Ok(Listing {
                body: body?,
                url,
                tag: tag.filter(|tag| tag.len() <= MAX_TAG),
            }),
            Err(_) => Err(RemoteError::Slow { url, after }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_encoded_and_put_behind_the_peers_own_path() {
        let client = HttpClient::new().unwrap();
        let channel = Channel::new("a b").unwrap();
        let quality = Quality::new("ü%?#x").unwrap();
        for (base, begin) in [
            ("http://h:1", "http://h:1/"),
            ("http://h/x/y", "http://h/x/y/"),
            ("http://h/x/y/", "http://h/x/y/"),
        ] {
            let remote = Remote::new(client.clone(), base.parse().unwrap(), Duration::ZERO);
            let url = remote.url(&["files", channel.as_str(), quality.as_str()]);
            assert_eq!(url.as_str(), format!("{begin}files/a%20b/%C3%BC%25%3F%23x"));
        }
    }
}
