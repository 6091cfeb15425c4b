//! The HTTP server of the services: bounded in connections, in the time that a head may take
//! and in the time that a stop may take, with the metrics of SPEC §8.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{self, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{MatchedPath, Request};
use axum::http::header;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use prometheus::{HistogramVec, IntGaugeVec};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::http::InProgress;
use crate::metrics::{self, LATENCY_BUCKETS};

/// A client that has not sent its request's head by then is dropped.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);

/// The longest head: hyper's default of 400 KiB is for browsers full of cookies.
const MAX_HEAD: usize = 64 * 1024;

/// Connections at once; further ones wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 16 * 1024;

/// When no file descriptor is left, accepting more has to wait for others to close.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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

/// The port cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct BindError {
    address: SocketAddr,
    source: io::Error,
}

/// Listens on an address; port 0 takes any free one. Logs the address, which is how an operator
/// (or a test) learns of the port.
///
/// # Errors
/// If the address is taken or not ours.
pub async fn bind(host: IpAddr, port: u16) -> Result<TcpListener, BindError> {
    let address = SocketAddr::new(host, port);
    let error = |source| BindError { address, source };
    let listener = TcpListener::bind(address).await.map_err(error)?;
    let address = listener.local_addr().map_err(error)?;
    tracing::info!(%address, "listening");
    Ok(listener)
}

/// A router that has the page of metrics, at `/metrics`.
pub fn metrics_router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/metrics", get(metrics_page))
}

/// The page of metrics.
pub async fn metrics_page() -> Response {
    let headers = [(header::CONTENT_TYPE, metrics::CONTENT_TYPE)];
    (headers, metrics::page()).into_response()
}

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
    };
    let response = next.run(request).await;
    exchange.status = response.status().as_u16().to_string();
    response.map(|body| {
        Body::new(Measured {
            body,
            _exchange: exchange,
        })
    })
}

/// A request that is being answered; measured when this is dropped.
struct Exchange {
    start: Instant,
    endpoint: String,
    method: String,
    status: String,
    _in_progress: InProgress,
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
    _exchange: Exchange,
}

impl HttpBody for Measured {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Serves a router until `shutdown`; then takes no new connection and no new request, and ends
/// when all answers are out or after `grace`.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: CancellationToken,
    grace: Duration,
) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let service = TowerToHyperService::new(router);
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD);
    builder.http2().timer(TokioTimer::new());
    let accept = async {
        loop {
            let place = Arc::clone(&places).acquire_owned().await;
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::debug!(%error, "cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            // Heads and small answers go out at once.
            let _ = stream.set_nodelay(true);
            let connection = builder
                .serve_connection(TokioIo::new(stream), service.clone())
                .into_owned();
            let connection = graceful.watch(connection);
            tokio::spawn(async move {
                // A client that hangs up or sends nonsense is its own concern.
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection ended early");
                }
                drop(place);
            });
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = accept => {}
    }
    drop(listener);
    if timeout(grace, graceful.shutdown()).await.is_err() {
        tracing::warn!(?grace, "gave up on requests that are still being answered");
    }
}
