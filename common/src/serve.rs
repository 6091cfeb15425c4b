//! The HTTP server of the services: bounded in connections, in the size and time of a head, in
//! the time that a client may take nothing and that a stop may take, with the metrics of
//! SPEC §8.

mod connection;
mod files;
mod measure;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown};
use prometheus::{IntCounter, IntGauge};
use rustix::io::Errno;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt as _};

use self::connection::Connection;
use self::measure::Client;
use crate::metrics;

pub use self::files::{FileSender, Sendable};
pub use self::measure::{measured, with_metrics};

/// The longest head: hyper's default of 400 KiB is for browsers full of cookies.
const MAX_HEAD: usize = 64 * 1024;

/// When no file descriptor is left, accepting more has to wait for others to close.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a client is told for whom there is no place.
const NO_PLACE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: text/plain; charset=utf-8\r\ncontent-length: 21\r\nretry-after: 2\r\n\
    access-control-allow-origin: *\r\nconnection: close\r\n\r\ntoo many connections\n";

/// So many clients are told so at once; others find their connection closed.
const MAX_REFUSALS: usize = 64;

/// So long they may take to hear it.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

static CONNECTIONS: LazyLock<IntGauge> = LazyLock::new(|| {
    let gauge = metrics::gauge("http_connections", "Open connections of clients", &[]);
    gauge.with_label_values(&[] as &[&str])
});

static REFUSED: LazyLock<IntCounter> = LazyLock::new(|| {
    let help = "Connections for which there was no place";
    metrics::counter("http_connections_refused", help, &[]).with_label_values(&[] as &[&str])
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
    let listener = listen(host, port).await?;
    let error = |source| BindError {
        address: SocketAddr::new(host, port),
        source,
    };
    let address = listener.local_addr().map_err(error)?;
    tracing::info!(%address, "listening");
    Ok(listener)
}

/// Listens on an address, without a word.
pub(crate) async fn listen(host: IpAddr, port: u16) -> Result<TcpListener, BindError> {
    let address = SocketAddr::new(host, port);
    let listener = TcpListener::bind(address).await;
    listener.map_err(|source| BindError { address, source })
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

/// What a server puts up with.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once; one more is answered with 503 and closed.
    pub connections: usize,
    /// A client that has not sent its request's head by then is dropped; one that has asked
    /// before, too: so long may a connection idle.
    pub head_timeout: Duration,
    /// A client that takes nothing of its answer for so long is dropped.
    pub stall_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 1024,
            head_timeout: Duration::from_secs(15),
            stall_timeout: Duration::from_secs(60),
        }
    }
}

/// Serves a router, or what stands for one, until `shutdown`; then takes no new connection and no
/// new request, and ends when all answers are out or after `grace`. HTTP/1.1, as proxies, players
/// and peers speak it.
pub async fn serve<S>(
    listener: TcpListener,
    routes: S,
    limits: Limits,
    shutdown: CancellationToken,
    grace: Duration,
) where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    let graceful = GracefulShutdown::new();
    let accept = async {
        let places = Arc::new(Semaphore::new(limits.connections));
        let refusals = Arc::new(Semaphore::new(MAX_REFUSALS));
        loop {
            let (stream, address) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::debug!(%error, "cannot accept a connection");
                    if is_out_of_room(&error) {
                        sleep(ACCEPT_PAUSE).await;
                    } else {
                        // That client's concern, e.g. it has gone: others wait.
                        yield_now().await;
                    }
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                REFUSED.inc();
                if let Ok(turn) = Arc::clone(&refusals).try_acquire_owned() {
                    tokio::spawn(async move {
                        refuse(stream).await;
                        drop(turn);
                    });
                }
                continue;
            };
            let end = CancellationToken::new();
            let client = Client {
                address,
                end: end.clone(),
            };
            let connection = connection(stream, client, routes.clone(), &limits);
            let connection = graceful.watch(connection);
            let counted = Counted::new();
            tokio::spawn(async move {
                // A client that hangs up or sends nonsense is its own concern.
                match end.run_until_cancelled(connection).await {
                    Some(Ok(())) => {}
                    Some(Err(error)) => tracing::debug!(%error, "a connection ended early"),
                    None => tracing::debug!(%address, "a connection was ended by an operator"),
                }
                drop((counted, place));
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

/// True iff the system has no room for one more connection, whoever comes.
fn is_out_of_room(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(
        errno,
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
    )
}

/// An open connection, counted as long as this lives.
struct Counted;

impl Counted {
    fn new() -> Counted {
        CONNECTIONS.inc();
        Counted
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        CONNECTIONS.dec();
    }
}

/// Answers a client's requests, one after the other.
fn connection<S>(
    stream: TcpStream,
    client: Client,
    routes: S,
    limits: &Limits,
) -> impl GracefulConnection<Error = hyper::Error> + Send + 'static
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    let files = FileSender::default();
    let connection = Connection::new(stream, limits.stall_timeout, files.clone());
    let client = Arc::new(client);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(files.clone());
        request.extensions_mut().insert(Arc::clone(&client));
        routes.clone().oneshot(request.map(Body::new))
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(connection), service)
}

/// Tells a client that there is no place for it. The answer is lost if the connection is closed
/// while its request is still unread: that is read first, as far as it comes.
async fn refuse(mut stream: TcpStream) {
    let exchange = async {
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).await?;
        stream.write_all(NO_PLACE).await?;
        stream.shutdown().await?;
        while stream.read(&mut request).await? > 0 {}
        Ok::<_, io::Error>(())
    };
    // Whatever becomes of it, it is over.
    let _ = timeout(REFUSAL_TIMEOUT, exchange).await;
}
