//! The HTTP client of the services: one pool of connections, bounded bodies, errors of one
//! line without secrets, and the metrics of SPEC §8.

mod connections;
pub mod pause;

use std::error::Error as _;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use prometheus::{HistogramVec, IntGaugeVec};
use reqwest::{RequestBuilder, Response, StatusCode};
use tokio::time::Instant;
use url::Url;

use self::connections::HTTP2_KEEP_ALIVE;
use crate::hedge::Progress;
use crate::metrics::{self, LATENCY_BUCKETS};

static LATENCY: LazyLock<HistogramVec> = LazyLock::new(|| {
    metrics::histogram(
        "http_client_request_latency",
        "Seconds until the response's head, by purpose",
        &["name", "method", "domain", "status"],
        &LATENCY_BUCKETS,
    )
});

static CONCURRENCY: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    metrics::gauge(
        "http_client_request_concurrency",
        "Requests that wait for the response's head",
        &["name", "method", "domain"],
    )
});

/// Why there is no usable answer. One line; passwords in URLs are left out.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The client could not be made.
    #[error("cannot set up the HTTP client: {0}")]
    Setup(String),
    /// No response: refused, reset, no such host …
    #[error("no response from {url}: {reason}")]
    NoResponse {
        /// What was asked.
        url: Box<str>,
        /// The innermost cause.
        reason: String,
    },
    /// A response, but not a good one.
    #[error("{url} answered {status}")]
    Status {
        /// What was asked.
        url: Box<str>,
        /// What it answered.
        status: StatusCode,
        /// The pause that it asks for (`Retry-After` of a 429 or 503).
        retry_after: Option<Duration>,
    },
    /// The body ended early or stood still.
    #[error("the body of {url} broke off: {reason}")]
    Body {
        /// What was asked.
        url: Box<str>,
        /// The innermost cause.
        reason: String,
    },
    /// The body is larger than anything of its kind.
    #[error("{url} is larger than the {limit} bytes allowed for a {kind}")]
    TooLarge {
        /// What was asked.
        url: Box<str>,
        /// What it was taken for.
        kind: &'static str,
        /// In bytes.
        limit: u64,
    },
}

impl HttpError {
    /// The status of the response, if there was one that was not good.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            HttpError::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The pause that the server asks for, if it is asked too much.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            HttpError::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// A client. Cheap to clone; clones share their connections.
#[derive(Debug, Clone)]
pub struct HttpClient {
    pooled: reqwest::Client,
    unpooled: reqwest::Client,
}

impl HttpClient {
    /// A client with a pool of its own.
    ///
    /// # Errors
    /// If the system's certificates cannot be read.
    pub fn new() -> Result<HttpClient, HttpError> {
        let builder = || connections::builder(HTTP2_KEEP_ALIVE);
        let setup = |error: reqwest::Error| HttpError::Setup(innermost(&error));
        Ok(HttpClient {
            pooled: builder().build().map_err(setup)?,
            unpooled: builder().pool_max_idle_per_host(0).build().map_err(setup)?,
        })
    }

    /// A GET on a connection of the pool.
    pub fn get(&self, url: &Url) -> RequestBuilder {
        self.pooled.get(url.clone())
    }

    /// A GET on a connection of its own: a stalled one in the pool cannot delay it.
    pub fn get_fresh(&self, url: &Url) -> RequestBuilder {
        self.unpooled.get(url.clone())
    }

    /// A POST on a connection of the pool.
    pub fn post(&self, url: &Url) -> RequestBuilder {
        self.pooled.post(url.clone())
    }

    /// Sends a request and gives the response, whatever its status. `purpose` names it in the
    /// metrics.
    ///
    /// # Errors
    /// [`HttpError::NoResponse`].
    pub async fn send(
        &self,
        purpose: &str,
        request: RequestBuilder,
    ) -> Result<Response, HttpError> {
        let (client, request) = request.build_split();
        let request = request.map_err(|error| no_response(None, &error))?;
        let url = request.url().clone();
        let method = request.method().clone();
        let domain = domain(&url);
        let labels = [purpose, method.as_str(), domain.as_str()];
        let concurrency = CONCURRENCY.with_label_values(&labels);
        let _in_progress = InProgress::new(concurrency);
        let mut waiting = Waiting {
            labels,
            since: Instant::now(),
            status: None,
        };
        let outcome = client.execute(request).await;
        waiting.status = outcome.as_ref().ok().map(Response::status);
        drop(waiting);
        outcome.map_err(|error| no_response(Some(&url), &error))
    }

    /// Sends a request and gives the response if its status is one of success.
    ///
    /// # Errors
    /// [`HttpError::NoResponse`] and [`HttpError::Status`].
    pub async fn send_ok(
        &self,
        purpose: &str,
        request: RequestBuilder,
    ) -> Result<Response, HttpError> {
        let response = self.send(purpose, request).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        Err(HttpError::Status {
            url: shown(response.url()),
            status,
            retry_after: pause::asked(status, response.headers(), chrono::Utc::now()),
        })
    }
}

/// A request that waits for its response's head; measured when this is dropped. One that is given up
/// before that (it took too long, another one was quicker) has had no response either.
struct Waiting<'a> {
    /// All but the status.
    labels: [&'a str; 3],
    since: Instant,
    status: Option<StatusCode>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let [name, method, domain] = self.labels;
        let status = self.status.as_ref().map_or("error", StatusCode::as_str);
        LATENCY
            .with_label_values(&[name, method, domain, status])
            .observe(self.since.elapsed().as_secs_f64());
    }
}

/// A gauge that is one higher while this lives.
#[derive(Debug)]
pub struct InProgress(prometheus::IntGauge);

impl InProgress {
    /// Raises the gauge.
    #[must_use]
    pub fn new(gauge: prometheus::IntGauge) -> InProgress {
        gauge.inc();
        InProgress(gauge)
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The next piece of a body; `None` at its proper end.
///
/// # Errors
/// [`HttpError::Body`] if it broke off.
pub async fn next_chunk(response: &mut Response) -> Result<Option<Bytes>, HttpError> {
    let chunk = response.chunk().await;
    chunk.map_err(|error| HttpError::Body {
        url: shown(response.url()),
        reason: innermost(&error),
    })
}

/// All of a body, if it has at most `limit` bytes. `kind` names it in the error.
///
/// # Errors
/// [`HttpError::Body`] and [`HttpError::TooLarge`].
pub async fn read_all(
    response: Response,
    kind: &'static str,
    limit: u64,
) -> Result<Bytes, HttpError> {
    read_all_noting(response, kind, limit, &Progress::default()).await
}

/// The same, noting each piece that comes.
///
/// # Errors
/// As [`read_all`].
pub async fn read_all_noting(
    mut response: Response,
    kind: &'static str,
    limit: u64,
    progress: &Progress,
) -> Result<Bytes, HttpError> {
    progress.note(0);
    // Memory that is not written to costs nothing, should it be announced in vain.
    let announced = response.content_length().unwrap_or(0).min(limit);
    progress.announce(announced);
    let mut body = BytesMut::with_capacity(usize::try_from(announced).unwrap_or(0));
    let too_large = |response: &Response| HttpError::TooLarge {
        url: shown(response.url()),
        kind,
        limit,
    };
    if response
        .content_length()
        .is_some_and(|length| length > limit)
    {
        return Err(too_large(&response));
    }
    while let Some(chunk) = next_chunk(&mut response).await? {
        if (body.len() + chunk.len()) as u64 > limit {
            return Err(too_large(&response));
        }
        progress.note(chunk.len());
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// A URL for a log line or message: without a password, and without its query, in which
/// origins and peers keep their tokens.
#[must_use]
pub fn shown(url: &Url) -> Box<str> {
    let mut shown = url.clone();
    if url.password().is_some() {
        // Fails only for URLs that cannot have a password.
        let _ = shown.set_password(Some("***"));
    }
    if url.query().is_none() {
        return shown.as_str().into();
    }
    shown.set_query(None);
    shown.set_fragment(None);
    format!("{shown}?…").into()
}

/// A text for a log line or message in which every URL is without user, password, query and
/// fragment, whatever else is wrong with it. In doubt more is left out.
#[must_use]
pub fn shown_text(text: &str) -> String {
    let ends_url = |c: char| c.is_control() || "\"'`<>".contains(c);
    let mut shown = String::new();
    let mut rest = text;
    while let Some(found) = rest.find("://") {
        let (before, url) = rest.split_at(found + 3);
        shown.push_str(before);
        let mut end = url.find(ends_url).unwrap_or(url.len());
        // A blank ends it as well, unless it may be one of a password.
        if let Some(blank) = url[..end].find(char::is_whitespace)
            && !url[blank..end].contains('@')
        {
            end = blank;
        }
        let (url, after) = url.split_at(end);
        let cut = url.find(['?', '#']);
        let place = &url[..cut.unwrap_or(url.len())];
        match url.rfind('@') {
            None => shown.push_str(place),
            Some(at) if at < place.len() => shown.extend(["***", &place[at..]]),
            // Of the query, or of a password that should have been encoded.
            Some(_) => shown.push_str("***"),
        }
        if cut.is_some() {
            shown.push_str("?…");
        }
        rest = after;
    }
    shown.push_str(rest);
    shown
}

/// Host and port as the URL gives them.
fn domain(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn no_response(url: Option<&Url>, error: &reqwest::Error) -> HttpError {
    HttpError::NoResponse {
        url: url
            .or_else(|| error.url())
            .map_or_else(|| "?".into(), shown),
        reason: innermost(error),
    }
}

/// The cause at the bottom of an error: `reqwest`'s own words repeat the URL with its secrets.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if error.source().is_some() {
        cause.to_string()
    } else if error.is_timeout() {
        "it took too long".to_owned()
    } else if error.is_redirect() {
        "too many redirects".to_owned()
    } else {
        "the request could not be made".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_has_no_secret_and_the_domain_has_its_port() {
        let url: Url = "http://user:secret@host:8080/a?b=c".parse().unwrap();
        assert_eq!(&*shown(&url), "http://user:***@host:8080/a?…");
        assert_eq!(domain(&url), "host:8080");
        let url: Url = "https://host/a".parse().unwrap();
        assert_eq!(&*shown(&url), "https://host/a");
        assert_eq!(domain(&url), "host");
    }

    #[test]
    fn a_text_is_shown_without_what_its_urls_hide() {
        let table = [
            ("nothing, here: 1//2", "nothing, here: 1//2"),
            (
                "add(\"c:url:http://u:p@h:1/a?t=1\")",
                "add(\"c:url:http://***@h:1/a?…\")",
            ),
            ("http://h/a https://u@g#x", "http://***@g?…"),
            (
                "x http://h/a?b c 'https://u@g#x' b",
                "x http://h/a?… c 'https://***@g?…' b",
            ),
            ("http://u:p,q r@h/a", "http://***@h/a"),
            ("http://u:p?q@h/a", "http://***?…"),
            ("http://h/a?t=s@t", "http://***?…"),
            ("postgres://u:p/w@ä/d", "postgres://***@ä/d"),
            ("://", "://"),
        ];
        for (text, shown) in table {
            assert_eq!(shown_text(text), shown);
        }
    }

    #[tokio::test]
    async fn a_request_that_is_given_up_counts_as_one_without_a_response() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let client = HttpClient::new().unwrap();
        let url: Url = format!("http://{address}/").parse().unwrap();
        let request = client.send("given up", client.get(&url));
        // Nobody ever answers.
        let given_up = tokio::time::timeout(std::time::Duration::from_millis(50), request).await;
        assert!(given_up.is_err());
        let labels = ["given up", "GET", &address.to_string(), "error"];
        let measured = LATENCY.with_label_values(&labels);
        assert_eq!(measured.get_sample_count(), 1);
        assert!(measured.get_sample_sum() > 0.0);
    }

    #[tokio::test]
    async fn an_error_names_url_and_cause_in_one_line() {
        let client = HttpClient::new().unwrap();
        let url: Url = "http://user:secret@127.0.0.1:1/x".parse().unwrap();
        let error = client.send("test", client.get(&url)).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("http://127.0.0.1:1/x"), "{text}");
        assert!(text.contains("refused"), "{text}");
        assert!(!text.contains("secret") && !text.contains('\n'), "{text}");
        let page = String::from_utf8(metrics::page()).unwrap();
        assert!(page.contains(
            "http_client_request_latency_count{domain=\"127.0.0.1:1\",method=\"GET\",name=\"test\",status=\"error\"} 1"
        ), "{page}");
        assert!(page.contains(
            "http_client_request_concurrency{domain=\"127.0.0.1:1\",method=\"GET\",name=\"test\"} 0"
        ), "{page}");
    }
}
