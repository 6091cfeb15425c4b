//! Counts and times every request served, by route (SPEC §8).

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{self, Poll};

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{MatchedPath, Request};
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
    let matched = request.extensions().get::<MatchedPath>();
    let endpoint = matched.map_or("none", MatchedPath::as_str).to_owned();
    let method = request.method().clone();
    // A method is free text: only those that we serve become labels.
    let method = match method.as_str() {
        method @ ("GET" | "HEAD" | "POST" | "OPTIONS") => method.to_owned(),
        _ => "other".to_owned(),
    };
    let concurrency = CONCURRENCY.with_label_values(&[&endpoint, &method]);
    let mut exchange = Exchange {
        start: Instant::now(),
        endpoint,
        method,
        status: "error".to_owned(),
        _in_progress: InProgress::new(concurrency),
        task: Task::begin("request", || shown(&request)),
    };
    if let Some(client) = request.extensions().get::<Client>() {
        exchange.task.ends_by(&client.end);
    }
    let response = next.run(request).await;
    exchange.status = response.status().as_u16().to_string();
    exchange.task.state("sending");
    response.map(|body| Body::new(Measured { body, exchange }))
}

/// A request as an operator sees it.
fn shown(request: &Request) -> String {
    let target = request.uri().path_and_query();
    let target = target.map_or("", |target| target.as_str());
    let target: String = target.chars().take(MOST_SHOWN).collect();
    let method = request.method();
    match request.extensions().get::<Client>() {
        Some(Client { address, .. }) => format!("{method} {target} from {address}"),
        None => format!("{method} {target}"),
    }
}

/// A request that is being answered; measured when this is dropped.
struct Exchange {
    start: Instant,
    endpoint: String,
    method: String,
    status: String,
    _in_progress: InProgress,
    task: Task,
}

impl Drop for Exchange {
    fn drop(&mut self) {
        LATENCY
            .with_label_values(&[&self.endpoint, &self.method, &self.status])
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
