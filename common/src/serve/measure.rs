//! Counts and times every request served, by route (SPEC §8).

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{self, Poll};

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{MatchedPath, Request};
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use prometheus::{HistogramVec, IntGaugeVec};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::http::InProgress;
use crate::metrics::{self, LATENCY_BUCKETS};
use crate::tasks::Task;

/// How much of a request's target an operator sees, in characters.
const MOST_SHOWN: usize = 400;

/// Whose request it is.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) address: SocketAddr,
    /// Set off to close its connection.
    pub(super) end: CancellationToken,
}

static LATENCY: LazyLock<HistogramVec> = LazyLock::new(|| {
    metrics::histogram(
        "http_request_latency_all",
        "Seconds until the response's body was sent, by route",
        &["endpoint", "method", "status"],
        &LATENCY_BUCKETS,
    )
});

static CONCURRENCY: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    metrics::gauge(
        "http_request_concurrency_all",
        "Requests that are being answered",
        &["endpoint", "method"],
    )
});

/// Counts and times every request of a router's routes.
pub fn with_metrics(router: Router) -> Router {
    router.layer(from_fn(measure))
}

async fn measure(request: Request, next: Next) -> Response {
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let exchange = Exchange::begin(Endpoint(matched.ok_or("none")), &request);
    let response = next.run(request).await;
    exchange.send(response)
}

/// Counts and times an answer that was at hand before a router was asked, as an answer of the route
/// `endpoint`. `began`: when its request was looked at.
pub fn measured(
    endpoint: &'static str,
    began: Instant,
    request: &Request,
    response: Response,
) -> Response {
    let mut exchange = Exchange::begin(Endpoint(Err(endpoint)), request);
    exchange.start = began;
    exchange.send(response)
}

/// A route: as a router knows it, or by name.
struct Endpoint(Result<MatchedPath, &'static str>);

impl Endpoint {
    fn as_str(&self) -> &str {
        self.0
            .as_ref()
            .map_or_else(|name| *name, MatchedPath::as_str)
    }
}

/// A request's method as a label. A method is free text: only those that we serve become labels.
fn label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// A request as an operator sees it.
fn shown(request: &Request) -> String {
    let target = request.uri().path_and_query();
    let target = target.map_or("", |target| target.as_str());
    let target: String = target.chars().take(MOST_SHOWN).collect();
    let method = request.method();
    match client(request) {
        Some(Client { address, .. }) => format!("{method} {target} from {address}"),
        None => format!("{method} {target}"),
    }
}

/// Whose request it is, if it came over a connection.
fn client(request: &Request) -> Option<&Client> {
    let client = request.extensions().get::<Arc<Client>>();
    client.map(|client| &**client)
}

/// A request that is being answered; measured when this is dropped.
struct Exchange {
    start: Instant,
    endpoint: Endpoint,
    method: &'static str,
    /// `None` as long as there is no answer.
    status: Option<StatusCode>,
    _in_progress: InProgress,
    task: Task,
}

impl Exchange {
    fn begin(endpoint: Endpoint, request: &Request) -> Exchange {
        let method = label(request.method());
        let concurrency = CONCURRENCY.with_label_values(&[endpoint.as_str(), method]);
        let task = Task::begin("request", || shown(request));
        if let Some(client) = client(request) {
            task.ends_by(&client.end);
        }
        Exchange {
            start: Instant::now(),
            endpoint,
            method,
            status: None,
            _in_progress: InProgress::new(concurrency),
            task,
        }
    }

    /// The same answer, which ends this when it is sent or given up.
    fn send(mut self, response: Response) -> Response {
        self.status = Some(response.status());
        self.task.state("sending");
        let exchange = self;
        response.map(|body| Body::new(Measured { body, exchange }))
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let status = self.status.as_ref().map_or("error", StatusCode::as_str);
        LATENCY
            .with_label_values(&[self.endpoint.as_str(), self.method, status])
            .observe(self.start.elapsed().as_secs_f64());
    }
}

/// A body that ends its exchange when it is sent or given up.
struct Measured {
    body: Body,
    exchange: Exchange,
}

impl HttpBody for Measured {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(bytes) = frame.data_ref()
        {
            self.exchange.task.add_bytes(bytes.len());
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
