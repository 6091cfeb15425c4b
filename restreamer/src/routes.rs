//! All routes: one file a family, and what they have in common.

mod conditions;
mod cut;
mod encoding;
mod extras;
mod files;
mod health;
mod naming;
mod openapi;
mod picture;
pub(crate) mod playlist;
pub(crate) mod segments;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::future::RouteFuture;
use axum::routing::{MethodRouter, get};
use bytes::Bytes;
use common::serve;
use futures::future::{Either, Ready, ready};
use futures::stream;
use tower::Service;
use tower_http::cors::{Any, CorsLayer};

use self::conditions::Validators;
use self::encoding::Encoding;
use crate::App;
use crate::error::ApiError;
use crate::listing::Names;
use crate::paths::refuse_hidden;

/// Below this length in bytes, an answer fits into one packet as it is.
const COMPRESS_FROM: usize = 1400;

/// Every path and what answers it; `openapi.json` describes them (a test compares both).
fn routes() -> Vec<(&'static str, MethodRouter<Arc<App>>)> {
    vec![
        ("/files", get(files::list)),
        ("/files/", get(files::list)),
        ("/files/{channel}", get(files::list)),
        ("/files/{channel}/{quality}", get(files::list)),
        ("/files/{channel}/{quality}/{hour}", get(files::list)),
        ("/segments/{*path}", get(segments::file)),
        ("/extras/{*directory}", get(extras::tree)),
        ("/playlist/{channel}", get(playlist::master)),
        (playlist::MEDIA, get(playlist::media)),
        ("/cut/{channel}/{quality}", get(cut::cut)),
        ("/frame/{channel}/{quality}", get(picture::of_instant)),
        ("/waveform/{channel}/{quality}", get(picture::of_sound)),
        ("/health", get(health::health)),
        ("/openapi.json", get(openapi::description)),
        ("/metrics", get(serve::metrics_page)),
        ("/metrics/restreamer", get(serve::metrics_page)),
    ]
}

/// All routes, with metrics and open CORS. What is asked again and again is answered before the
/// router is asked, which would take longer than the answer.
#[derive(Debug, Clone)]
pub struct Routes {
    app: Arc<App>,
    router: Router,
}

impl Routes {
    pub(crate) fn new(app: Arc<App>) -> Routes {
        let routes = routes().into_iter();
        let router = routes
            .fold(Router::new(), |router, (path, route)| {
                router.route(path, route)
            })
            .fallback(async || ApiError::NotFound("there is no such route".to_owned()))
            .method_not_allowed_fallback(async || ApiError::Method)
            .with_state(Arc::clone(&app))
            .layer(from_fn(refuse_hidden))
            .layer(cors());
        Routes {
            app,
            router: serve::with_metrics(router),
        }
    }
}

impl Service<Request> for Routes {
    type Response = Response;
    type Error = Infallible;
    type Future = Either<Ready<Result<Response, Infallible>>, RouteFuture<Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request>::poll_ready(&mut self.router, context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        match playlist::again(&self.app, &request) {
            Some(response) => Either::Left(ready(Ok(response))),
            None => Either::Right(self.router.call(request)),
        }
    }
}

/// Any page of any origin may read everything (SPEC §4).
fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST, Method::HEAD])
        .allow_headers(Any)
        .expose_headers(Any)
        // The answer is the same for all: caches need not tell origins apart.
        .vary([])
}

/// The same as [`cors`] for an answer that it does not see.
fn tell_any_origin(head: &mut HeaderMap) {
    let any = HeaderValue::from_static("*");
    head.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any.clone());
    head.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, any);
}

/// Does what blocks (all that touches the disk) where it may.
///
/// A client that hangs up does not end it: others may be waiting for what it finds.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => Err(ApiError::internal("finish this", &error)),
    }
}

/// A JSON array of names, compressed if the client takes that; no body if it has the same
/// already.
fn json_names(request: &HeaderMap, names: &Names) -> Response {
    let encoding = match Encoding::of(request) {
        Encoding::Gzip if names.json().len() >= COMPRESS_FROM => Encoding::Gzip,
        _ => Encoding::Identity,
    };
    let validators = Validators::of_content(&(names.digest(), encoding));
    let mut head = changing("application/json");
    validators.tell(&mut head);
    encoding.tell(&mut head);
    if let Some(status) = conditions::evaluate(request, &validators).status() {
        head.remove(header::CONTENT_ENCODING);
        return without_content(status, head);
    }
    let content = match encoding {
        Encoding::Identity => names.json(),
        Encoding::Gzip => names.gzipped(),
    };
    (head, content.clone()).into_response()
}

/// An answer that has no content because of the request's conditions. It says nothing of a length:
/// a cache would take that for its stored answer's (RFC 9110 §8.6), also if it is of HEAD.
fn without_content(status: StatusCode, mut head: HeaderMap) -> Response {
    if status == StatusCode::NOT_MODIFIED {
        return (status, head, of_unknown_length()).into_response();
    }
    head.remove(header::CACHE_CONTROL);
    (status, head).into_response()
}

/// The body of an answer to HEAD where nobody knows yet how long the one to GET will be: an empty
/// one would say that it has none (RFC 9110 §8.6).
fn of_unknown_length() -> Body {
    Body::from_stream(stream::empty::<Result<Bytes, Infallible>>())
}

/// The head of an answer that may be another at any moment: a cache has to ask each time.
fn changing(content_type: &'static str) -> HeaderMap {
    HeaderMap::from_iter([
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ])
}
