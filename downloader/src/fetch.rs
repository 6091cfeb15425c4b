//! What the downloader asks of an origin: playlists, and parts of resources.

use bytes::Bytes;
use common::hedge::{Hedge, HedgeError, Progress};
use common::http::{self, HttpClient, HttpError};
use reqwest::header::{ACCEPT_ENCODING, CONTENT_RANGE, HeaderName, RANGE};
use reqwest::{Response, StatusCode};
use tokio::runtime::RuntimeFlavor;
use url::Url;

use crate::playlist::{self, ByteRange, Playlist, PlaylistError, Reading};

/// A day of 2 s segments with URLs as long as Twitch's is 35 MB.
const MAX_PLAYLIST: u64 = 64 * 1024 * 1024;

/// Reading a larger one would keep everything else on its thread waiting for milliseconds.
const LARGE_PLAYLIST: usize = 1024 * 1024;

/// The status, if it says that the origin does not have it, or not for us (SPEC §5).
pub(crate) fn refusal(status: Option<StatusCode>) -> Option<StatusCode> {
    let refusals = [
        StatusCode::FORBIDDEN,
        StatusCode::NOT_FOUND,
        StatusCode::GONE,
    ];
    status.filter(|status| refusals.contains(status))
}

/// Why there is no playlist.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No good answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// An answer that is no playlist.
    #[error("{url} cannot be read: {source}")]
    Playlist {
        /// What was asked.
        url: Box<str>,
        /// What is wrong with it.
        source: PlaylistError,
    },
    /// No answer in time.
    #[error("no answer from {url} in {time:?}")]
    TimedOut {
        /// What was asked.
        url: Box<str>,
        /// How long.
        time: std::time::Duration,
    },
}

impl FetchError {
    /// The status of the answer, if it was not a good one.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            FetchError::Http(error) => error.status(),
            _ => None,
        }
    }

    /// The pause that the server asks for, if it is asked too much.
    #[must_use]
    pub fn retry_after(&self) -> Option<std::time::Duration> {
        match self {
            FetchError::Http(error) => error.retry_after(),
            _ => None,
        }
    }

    /// A word for metrics.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            FetchError::Http(HttpError::Status { status, .. }) => status.as_str().to_owned(),
            FetchError::Http(HttpError::TooLarge { .. }) => "too_large".to_owned(),
            FetchError::Http(HttpError::Body { .. }) => "broke_off".to_owned(),
            FetchError::Http(_) => "no_response".to_owned(),
            FetchError::Playlist { .. } => "no_playlist".to_owned(),
            FetchError::TimedOut { .. } => "timeout".to_owned(),
        }
    }
}

/// Fetches a playlist. `purpose` names the request in the metrics. Later attempts go over
/// connections of their own.
///
/// # Errors
/// [`FetchError`].
pub async fn playlist(
    client: &HttpClient,
    purpose: &str,
    url: &Url,
    hedge: Hedge,
) -> Result<Playlist, FetchError> {
    playlist_with(client, purpose, url, hedge, &[]).await
}

/// Fetches a media playlist that is polled; `before` is what the poll before brought.
///
/// # Errors
/// [`FetchError`].
pub(crate) async fn media_playlist(
    client: &HttpClient,
    url: &Url,
    hedge: Hedge,
    before: Option<&Reading>,
) -> Result<Reading, FetchError> {
    let read = |body, base: &Url| Reading::read(before, body, base);
    read_with(client, "media_playlist", url, hedge, &[], read).await
}

/// The same with headers.
pub(crate) async fn playlist_with(
    client: &HttpClient,
    purpose: &str,
    url: &Url,
    hedge: Hedge,
    headers: &[(HeaderName, &str)],
) -> Result<Playlist, FetchError> {
    let read = |body: Bytes, base: &Url| playlist::read(&body, base);
    read_with(client, purpose, url, hedge, headers, read).await
}

async fn read_with<T>(
    client: &HttpClient,
    purpose: &str,
    url: &Url,
    hedge: Hedge,
    headers: &[(HeaderName, &str)],
    read: impl Fn(Bytes, &Url) -> Result<T, PlaylistError>,
) -> Result<T, FetchError> {
    let attempt = async |n: usize, progress: Progress| {
        let mut request = match n {
            0 => client.get(url),
            _ => client.get_fresh(url),
        };
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let response = client.send_ok(purpose, request).await?;
        // Relative URIs are relative to where we ended up (RFC 8216 §4.1).
        let base = response.url().clone();
        let body = http::read_all_noting(response, "playlist", MAX_PLAYLIST, &progress).await?;
        let large = body.len() > LARGE_PLAYLIST;
        let read = || read(body, &base);
        let runtime = tokio::runtime::Handle::current();
        let can_step_aside = runtime.runtime_flavor() == RuntimeFlavor::MultiThread;
        let outcome = if large && can_step_aside {
            tokio::task::block_in_place(read)
        } else {
            read()
        };
        outcome.map_err(|source| FetchError::Playlist {
            url: http::shown(&base),
            source,
        })
    };
    hedge.run(attempt).await.map_err(|error| match error {
        HedgeError::Failed(error) => error,
        HedgeError::TimedOut(time) => FetchError::TimedOut {
            url: http::shown(url),
            time,
        },
    })
}

/// A resource or a part of it, as it comes in.
#[derive(Debug)]
pub struct Part {
    response: Response,
    /// So many bytes come before the part: the origin does not do ranges.
    skip: u64,
    /// So many bytes are still to come; `None`: up to the end.
    left: Option<u64>,
}

impl Part {
    /// Asks for a resource, and returns when the head of the answer is there.
    ///
    /// # Errors
    /// [`HttpError`], also if another range comes than was asked for.
    pub async fn open(
        client: &HttpClient,
        purpose: &str,
        url: &Url,
        range: Option<ByteRange>,
        fresh: bool,
    ) -> Result<Part, HttpError> {
        let request = if fresh {
            client.get_fresh(url)
        } else {
            client.get(url)
        };
        // Video does not shrink, and a length that is known shows when a body ends early.
        let mut request = request.header(ACCEPT_ENCODING, "identity");
        if let Some(ByteRange { offset, length }) = range {
            request = request.header(RANGE, format!("bytes={offset}-{}", offset + length - 1));
        }
        let response = client.send_ok(purpose, request).await?;
        let partial = response.status() == StatusCode::PARTIAL_CONTENT;
        let sent = response.headers().get(CONTENT_RANGE);
        let sent = sent.and_then(|range| range.to_str().ok()).unwrap_or("");
        let skip = match range {
            // Nobody asked for a part: one that is not the whole must not pass for it. What may be the
            // whole is rather kept than lost.
            None if partial && is_but_a_part(sent) => {
                return Err(broken(
                    &response,
                    "it sent a part without being asked for one",
                ));
            }
            None => 0,
            Some(range) if !partial => range.offset,
            Some(range) if begins_at(sent, range.offset) => 0,
            Some(_) => {
                return Err(broken(
                    &response,
                    "it sent another range than was asked for",
                ));
            }
        };
        Ok(Part {
            response,
            skip,
            left: range.map(|range| range.length),
        })
    }

    /// So many bytes are to come, if the origin or the list says.
    #[must_use]
    pub fn announced(&self) -> Option<u64> {
        self.left.or_else(|| self.response.content_length())
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// [`HttpError::Body`] if it broke off.
    pub async fn next(&mut self) -> Result<Option<Bytes>, HttpError> {
        loop {
            if self.left == Some(0) {
                return Ok(None);
            }
            let Some(mut chunk) = http::next_chunk(&mut self.response).await? else {
                return match self.left {
                    Some(_) => Err(broken(&self.response, "it ended before its range did")),
                    None => Ok(None),
                };
            };
            let skipped = self.skip.min(chunk.len() as u64);
            self.skip -= skipped;
            chunk = chunk.split_off(usize::try_from(skipped).unwrap_or(usize::MAX));
            if let Some(left) = &mut self.left {
                chunk.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= chunk.len() as u64;
            }
            if !chunk.is_empty() {
                return Ok(Some(chunk));
            }
        }
    }
}

/// Whether a `Content-Range` (`bytes FIRST-LAST/SIZE`) begins where it should.
fn begins_at(range: &str, offset: u64) -> bool {
    first_and_rest(range).is_some_and(|(first, _)| first == offset)
}

/// True iff a `Content-Range` says that it is not all of it: it does not begin at the start, or ends
/// before the end. One that does not know the size, or makes no sense, says nothing.
fn is_but_a_part(range: &str) -> bool {
    let Some((first, rest)) = first_and_rest(range) else {
        return false;
    };
    let ends = rest.split_once('/');
    let ends = ends.and_then(|(last, size)| Some((number(last)?.checked_add(1), number(size)?)));
    first != 0 || ends.is_some_and(|(end, size)| end != Some(size))
}

fn first_and_rest(range: &str) -> Option<(u64, &str)> {
    let (first, rest) = range.trim().strip_prefix("bytes ")?.split_once('-')?;
    Some((number(first)?, rest))
}

fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

fn broken(response: &Response, reason: &str) -> HttpError {
    HttpError::Body {
        url: http::shown(response.url()),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_nobody_asked_for_says_that_it_is_one() {
        for (range, is_part) in [
            ("bytes 0-99/100", false),
            ("bytes 0-99/5000", true),
            ("bytes 1-99/100", true),
            ("bytes 1-99/*", true),
            ("bytes 0-99/*", false),
            ("bytes */100", false),
            ("bytes 0-18446744073709551615/0", true),
            ("nonsense", false),
            ("", false),
        ] {
            assert_eq!(is_but_a_part(range), is_part, "{range}");
        }
        assert!(begins_at(" bytes 7-9/*", 7) && !begins_at("bytes 7-9/*", 0));
    }
}
