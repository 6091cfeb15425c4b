//! `/segments/PATH`: a file below the base directory, whole or in ranges (SPEC §4, RFC 9110).

mod body;
mod buffers;
pub(crate) mod content_type;
mod open;
mod ranges;
mod shared;

use std::sync::Arc;
use std::time::SystemTime;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use common::segment::SegmentPath;
use common::serve::FileSender;

pub(crate) use self::body::{FileBody, Part};
pub(crate) use self::buffers::Buffers;
pub(crate) use self::open::open;
pub(crate) use self::ranges::Span;
pub(crate) use self::shared::{OpenFiles, SharedFile};

use self::ranges::Ranges;
use super::conditions::{self, Validators};
use super::{blocking, without_content};
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
    State(app): State<Arc<App>>,
    parts: Parts,
    sender: Option<Extension<FileSender>>,
    method: Method,
    request: HeaderMap,
) -> Result<Response, ApiError> {
    let path = parts.joined();
    let life = Life::of(&path);
    let file = app.store.resolve(&path)?;
    let files = Arc::clone(&app.files);
    let opened = blocking(move || open::open(&files, &file)).await?;
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
        return Ok(without_content(status, head));
    }
    let content_type = HeaderValue::from_static(content_type::of(&path, &opened.first_bytes));
    head.insert(header::CONTENT_TYPE, content_type);
    // Ranges are defined for GET alone (RFC 9110 §14.2).
    let ranges = if method == Method::GET && conditions::range_applies(&request, &validators) {
        ranges::of(&request, opened.length)
    } else {
        Ranges::Whole
    };
    let Some((status, parts)) = parts_of(ranges, opened.length, &mut head) else {
        let text = format!(
            "the file has {} bytes, none of them in the range\n",
            opened.length
        );
        return Ok((StatusCode::RANGE_NOT_SATISFIABLE, head, text).into_response());
    };
    let length: u64 = parts.iter().map(Part::length).sum();
    head.insert(header::CONTENT_LENGTH, length.into());
    if method == Method::HEAD {
        return Ok((status, head).into_response());
    }
    let sender = sender.map(|Extension(sender)| sender);
    let body = FileBody::new(opened, parts, sender, Arc::clone(&app.buffers));
    Ok((status, head, Body::new(body)).into_response())
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
        Life::Temporary => {
            head.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        Life::Other => {
            // Without a word, browsers guess for how long it stays as it is.
            head.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            validators.modified = modified;
        }
    }
    validators.tell(head);
    validators
}

/// What to send of a file of this length, and what the head says of that; `None` if the ranges
/// lie outside of it.
fn parts_of(ranges: Ranges, length: u64, head: &mut HeaderMap) -> Option<(StatusCode, Vec<Part>)> {
    let mut tell = |name, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            head.insert(name, value);
        }
    };
    match ranges {
        Ranges::Whole => {
            let whole = Span {
                start: 0,
                end: length,
            };
            Some((StatusCode::OK, vec![Part::File(whole)]))
        }
        Ranges::Unsatisfiable => {
            tell(header::CONTENT_RANGE, format!("bytes */{length}"));
            tell(header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned());
            head.remove(header::CACHE_CONTROL);
            None
        }
        Ranges::One(span) => {
            tell(header::CONTENT_RANGE, span.content_range(length));
            Some((StatusCode::PARTIAL_CONTENT, vec![Part::File(span)]))
        }
        Ranges::Many(spans) => {
            let inner = head.get(header::CONTENT_TYPE).cloned();
            let inner = inner.as_ref().and_then(|value| value.to_str().ok());
            let (outer, parts) = ranges::multipart(&spans, inner.unwrap_or_default(), length);
            if let Ok(outer) = HeaderValue::try_from(outer) {
                head.insert(header::CONTENT_TYPE, outer);
            }
            Some((StatusCode::PARTIAL_CONTENT, parts))
        }
    }
}
