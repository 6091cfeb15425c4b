//! A peer's HTTP API (SPEC §4), typed. All that comes from there is bounded in size and time,
//! and nothing of it is trusted.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use common::http::{HttpClient, HttpError, next_chunk, read_all, shown};
use common::names::{Channel, Quality};
use reqwest::header::{
    ACCEPT_ENCODING, ETAG, HeaderValue, IF_NONE_MATCH, RETRY_AFTER, TRANSFER_ENCODING,
};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use tokio::time::{Instant, timeout};
use url::Url;

use crate::item::{ExtrasDirectory, Item, Place};

/// The largest listing, unpacked: 250,000 names of segments take 20 MB.
const MAX_LISTING: u64 = 64 * 1024 * 1024;

/// The most names in a listing: an hour of segments of 0.1 s, of seven kinds each.
const MAX_NAMES: usize = 250_000;

/// The largest segment: ten seconds at 200 Mbit/s.
const MAX_SEGMENT: u64 = 256 * 1024 * 1024;

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

/// A peer that has too much to do is asked again after this, at the soonest …
const SHORTEST_RESPITE: Duration = Duration::from_secs(1);

/// … and this is as good as for ever.
const LONGEST_RESPITE: Duration = Duration::from_secs(86_400);

/// How much of a reason is repeated, in characters: it may quote what the peer sent.
const MAX_REASON: usize = 200;

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
            Item::Segment(_) => ("backfill_segment", MAX_SEGMENT, MAX_DOWNLOAD),
            Item::Chat(..) | Item::Tombstone(..) => ("backfill_chat", MAX_SEGMENT, MAX_DOWNLOAD),
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

/// What an answer that is no success means.
fn refusal(url: &Url, response: &Response) -> RemoteError {
    let (url, status) = (shown(url), response.status());
    let is_busy = [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::SERVICE_UNAVAILABLE,
    ]
    .contains(&status);
    let after = response.headers().get(RETRY_AFTER);
    let after = after.and_then(|after| come_again(after.to_str().ok()?, Utc::now()));
    match after.filter(|_| is_busy) {
        Some(after) => RemoteError::Busy { url, status, after },
        None => RemoteError::Http(HttpError::Status { url, status }),
    }
}

/// What `Retry-After` says (RFC 9110 §10.2.3): a number of seconds, or a date.
fn come_again(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    let time = match text.trim().parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = DateTime::parse_from_rfc2822(text.trim()).ok()?;
            let time = date.with_timezone(&Utc) - now;
            time.to_std().unwrap_or_default()
        }
    };
    Some(time.clamp(SHORTEST_RESPITE, LONGEST_RESPITE))
}

/// A listing as it came. Reading it takes a while if it is large: do so on a blocking thread.
#[derive(Debug, Clone)]
pub struct Listing {
    body: Bytes,
    url: Box<str>,
    tag: Option<HeaderValue>,
}

impl Listing {
    /// The entity tag with which to ask whether it has changed; not every peer gives one.
    #[must_use]
    pub fn tag(&self) -> Option<&HeaderValue> {
        self.tag.as_ref()
    }

    /// The list as it came: two that are the same to the byte say the same.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The names in it, which may be anything.
    ///
    /// # Errors
    /// [`RemoteError::NotAList`].
    pub fn names(&self) -> Result<Vec<Cow<'_, str>>, RemoteError> {
        let mut json = serde_json::Deserializer::from_slice(&self.body);
        let names = json.deserialize_seq(Names);
        let names = names.and_then(|names| json.end().map(|()| names));
        names.map_err(|error| RemoteError::NotAList {
            url: self.url.clone(),
            reason: error.to_string().chars().take(MAX_REASON).collect(),
        })
    }
}

/// Reads a bounded list of names, borrowing them where nothing in them is escaped.
struct Names;

impl<'de> Visitor<'de> for Names {
    type Value = Vec<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON array of strings")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut names = Vec::new();
        while let Some(Name(name)) = items.next_element()? {
            if names.len() == MAX_NAMES {
                let message = format_args!("more than {MAX_NAMES} names");
                return Err(A::Error::custom(message));
            }
            names.push(name);
        }
        Ok(names)
    }
}

#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// A file's content, piece by piece.
#[derive(Debug)]
pub struct Content {
    response: Response,
    stall: Duration,
    received: u64,
    limit: u64,
    /// How long was waited for the peer; what else takes time is not its fault.
    waited: Duration,
    time_limit: Duration,
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

    fn too_large(&self) -> RemoteError {
        RemoteError::Http(HttpError::TooLarge {
            url: shown(self.response.url()),
            kind: "file",
            limit: self.limit,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(body: impl Into<Bytes>) -> Listing {
        Listing {
            body: body.into(),
            url: "http://a/files".into(),
            tag: None,
        }
    }

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

    #[test]
    fn a_time_to_come_again_is_seconds_or_a_date_and_bounded() {
        let now = "2026-11-06T08:49:37Z".parse().unwrap();
        let table = [
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("0", Some(1)),
            ("18446744073709551615", Some(86_400)),
            ("Fri, 06 Nov 2026 08:49:57 GMT", Some(20)),
            ("Fri, 06 Nov 2026 08:49:30 GMT", Some(1)),
            ("Fri, 06 Nov 2099 08:49:30 GMT", Some(86_400)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ];
        for (text, seconds) in table {
            let expected = seconds.map(Duration::from_secs);
            assert_eq!(come_again(text, now), expected, "{text}");
        }
    }

    #[test]
    fn names_are_read_and_nothing_else() {
        let good = listing(r#" ["a.ts", "b\/\u00e4", ""] "#);
        assert_eq!(good.names().unwrap(), ["a.ts", "b/ä", ""]);
        assert!(listing("[]").names().unwrap().is_empty());
        let table = [
            ("", "EOF"),
            ("<html>", "expected value"),
            (r#"{"a": "b"}"#, "expected a JSON array of strings"),
            (r#""a""#, "expected a JSON array of strings"),
            (r#"["a", 1]"#, "invalid type: integer"),
            (r#"["a", ["b"]]"#, "invalid type: sequence"),
            (r#"["a", null]"#, "invalid type: null"),
            (r#"["a""#, "EOF"),
            (r#"["a"] x"#, "trailing characters"),
            (r#"["\ud800"]"#, "hex escape"),
        ];
        for (body, reason) in table {
            let error = listing(body).names().unwrap_err().to_string();
            assert!(
                error.starts_with("http://a/files is not a list of names: "),
                "{error}"
            );
            assert!(error.contains(reason), "{body}: {error}");
        }
        assert!(listing(b"[\"\xff\"]".to_vec()).names().is_err());
    }

    #[test]
    fn the_number_of_names_and_the_length_of_an_error_are_bounded() {
        let many = |count: usize| {
            let names = vec!["\"\""; count];
            listing(format!("[{}]", names.join(",")))
        };
        assert_eq!(many(MAX_NAMES).names().unwrap().len(), MAX_NAMES);
        let error = many(MAX_NAMES + 1).names().unwrap_err().to_string();
        assert!(error.contains("more than 250000 names"), "{error}");
        let quoted = listing(format!("\"{}\"", "\\n".repeat(100_000)));
        let error = quoted.names().unwrap_err().to_string();
        assert!(error.len() < 300 && !error.contains('\n'), "{error}");
    }
}
