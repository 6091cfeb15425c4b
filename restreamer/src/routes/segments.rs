//! `/segments/PATH`: a file below the base directory, whole or in ranges (SPEC §4, RFC 9110).

mod body;
mod buffers;
mod content_type;
mod open;
mod ranges;

use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use common::segment::SegmentPath;

pub(crate) use self::buffers::Buffers;

use self::body::{FileBody, Part};
use self::open::Opened;
use self::ranges::{Ranges, Span};
use super::blocking;
use super::conditions::{self, Validators};
use crate::App;
use crate::error::{ApiError, shown};
use crate::paths::Parts;

/// Segments with their final names never change: a year is what RFC 9111 calls for ever.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// What a file's name says of the life of its content.
enum Life {
    /// A segment with its final name: this hash for ever.
    Final(String),
    /// A segment that is being written: nothing may be kept of it.
    Temporary,
    /// Anything else: it may change.
    Other,
}

impl Life {
    fn of(path: &str) -> Life {
        match path.parse::<SegmentPath>() {
            Ok(path) => match path.segment.hash() {
                Some(hash) => Life::Final(format!("\"{hash}\"")),
                None => Life::Temporary,
            },
            Err(_) => Life::Other,
        }
    }
}

/// Sends a file.
pub(super) async fn file(
    State(app): State<App>,
    parts: Parts,
    method: Method,
    request: HeaderMap,
) -> Result<Response, ApiError> {
    let path = parts.joined();
    let life = Life::of(&path);
    let file = app.store.resolve(&path)?;
    let opened = blocking(move || open::open(&file)).await?;
    let opened =
        opened.ok_or_else(|| ApiError::NotFound(format!("there is no file {}", shown(&path))))?;

    let mut head = HeaderMap::new();
    head.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    head.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    let validators = validators(life, opened.modified, &mut head);
    if let Some(status) = conditions::evaluate(&request, &validators).status() {
        return Ok((status, head).into_response());
    }
    let content_type = HeaderValue::from_static(content_type::of(&path, &opened.first_bytes));
    head.insert(header::CONTENT_TYPE, content_type);
    // Ranges are defined for GET alone (RFC 9110 §14.2).
    let ranges = if method == Method::GET && conditions::range_applies(&request, &validators) {
        ranges::of(&request, opened.length)
    } else {
        Ranges::Whole
    };
    Ok(send(opened, head, ranges, &method, &app.buffers))
}

/// What conditions are held against, also told to the client.
fn validators(life: Life, modified: Option<SystemTime>, head: &mut HeaderMap) -> Validators {
    let mut validators = Validators::default();
    match life {
        Life::Final(tag) => {
            head.insert(header::CACHE_CONTROL, HeaderValue::from_static(FOR_EVER));
            validators.tag = Some(tag);
            validators.modified = modified;
        }
        Life::Temporary => {}
        Life::Other => validators.modified = modified,
    }
    validators.tell(head);
    validators
}

fn send(
    opened: Opened,
    mut head: HeaderMap,
    ranges: Ranges,
    method: &Method,
    buffers: &Arc<Buffers>,
) -> Response {
    let length = opened.length;
    let mut tell = |name, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            head.insert(name, value);
        }
    };
    let (status, parts) = match ranges {
        Ranges::Whole => {
            let whole = Span {
                start: 0,
                end: length,
            };
            (StatusCode::OK, vec![Part::File(whole)])
        }
        Ranges::Unsatisfiable => {
            tell(header::CONTENT_RANGE, format!("bytes */{length}"));
            tell(header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned());
            head.remove(header::CACHE_CONTROL);
            let text = format!("the file has {length} bytes, none of them in the range\n");
            return (StatusCode::RANGE_NOT_SATISFIABLE, head, text).into_response();
        }
        Ranges::One(span) => {
            tell(header::CONTENT_RANGE, span.content_range(length));
            (StatusCode::PARTIAL_CONTENT, vec![Part::File(span)])
        }
        Ranges::Many(spans) => {
            let inner = head.get(header::CONTENT_TYPE).cloned();
            let inner = inner.as_ref().and_then(|value| value.to_str().ok());
            let (outer, parts) = ranges::multipart(&spans, inner.unwrap_or_default(), length);
            let outer = HeaderValue::try_from(outer);
            if let Ok(outer) = outer {
                head.insert(header::CONTENT_TYPE, outer);
            }
            (StatusCode::PARTIAL_CONTENT, parts)
        }
    };
    let body_length: u64 = parts.iter().map(Part::length).sum();
    head.insert(header::CONTENT_LENGTH, body_length.into());
    if method == Method::HEAD {
        return (status, head).into_response();
    }
    let body = FileBody::new(opened.file, parts, Arc::clone(buffers));
    (status, head, axum::body::Body::new(body)).into_response()
}
