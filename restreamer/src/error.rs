//! The one error of all routes: a status and one line of text (SPEC §4).

use std::fmt::Display;
use std::io::ErrorKind;
use std::path::Path;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use common::names::NameError;
use common::store::{StoreError, note_unreadable};

use crate::index::IndexError;

/// So many characters of a client's text are repeated to it.
const MAX_SHOWN: usize = 100;

/// Who is turned away because others are being served comes again after so many seconds.
const BUSY_SECONDS: u64 = 2;

/// What has to be put right by somebody takes longer.
const UNAVAILABLE_SECONDS: u64 = 60;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// 400: the client's input makes no sense; the text names it.
    #[error("{0}")]
    BadRequest(String),
    /// 403: a part of the path begins with a dot.
    #[error("a part of the path begins with a dot")]
    Hidden,
    /// 403: it is closed to this service.
    #[error("this node may not read that")]
    Closed,
    /// 404: the text says what there is not.
    #[error("{0}")]
    NotFound(String),
    /// 405.
    #[error("this path takes no such method")]
    Method,
    /// 406: what was asked for is not there as it was asked for; the text says why.
    #[error("{0}")]
    NotAcceptable(String),
    /// 503: what it takes is not there; the text says what.
    #[error("{0}")]
    Unavailable(String),
    /// 429: too many of a kind of request that takes much work, in too short a time.
    #[error("too many requests of this kind: come again in {retry_after} s")]
    TooMany {
        /// In seconds, when to come again.
        retry_after: u64,
    },
    /// 503: what it takes is taken by others; the text says what.
    #[error("{0}: come again")]
    Busy(&'static str),
    /// 500: the disk failed us. The client learns what was tried, the log also why.
    #[error("cannot {action}")]
    Internal {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        reason: String,
    },
}

impl ApiError {
    /// The status that goes with it.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            ApiError::BadRequest(_) => StatusCode::BAD_REQUEST,
            ApiError::Hidden | ApiError::Closed => StatusCode::FORBIDDEN,
            ApiError::NotFound(_) => StatusCode::NOT_FOUND,
            ApiError::Method => StatusCode::METHOD_NOT_ALLOWED,
            ApiError::NotAcceptable(_) => StatusCode::NOT_ACCEPTABLE,
            ApiError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            ApiError::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            ApiError::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
            ApiError::Internal { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Something that there is only so much of, and all of it is in use.
    pub(crate) fn busy(what: &'static str) -> ApiError {
        ApiError::Busy(what)
    }

    /// In seconds, when it is worth while to come again.
    fn retry_after(&self) -> Option<u64> {
        match self {
            ApiError::TooMany { retry_after } => Some(*retry_after),
            ApiError::Busy(_) => Some(BUSY_SECONDS),
            ApiError::Unavailable(_) => Some(UNAVAILABLE_SECONDS),
            _ => None,
        }
    }

    /// Nothing of that kind and name.
    pub(crate) fn not_found(kind: &str, name: &str) -> ApiError {
        ApiError::NotFound(format!("there is no {kind} {}", shown(name)))
    }

    /// What is closed to this service. Most likely it is none of ours (`lost+found`): no failure, and
    /// logged once.
    pub(crate) fn closed(path: &Path, error: &dyn Display) -> ApiError {
        note_unreadable(path, error);
        ApiError::Closed
    }

    /// Something that the disk did not let us do.
    pub(crate) fn internal(action: &'static str, reason: &dyn Display) -> ApiError {
        let reason = reason.to_string();
        ApiError::Internal { action, reason }
    }
}

/// A client's text: in quotes, escaped so that it stays on its line, and cut short.
pub(crate) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(MAX_SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

impl From<NameError> for ApiError {
    fn from(error: NameError) -> ApiError {
        match error {
            NameError::Hidden => ApiError::Hidden,
            error => ApiError::BadRequest(format!("a bad part in the path: {error}")),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> ApiError {
        match error.kind() {
            ErrorKind::PermissionDenied => ApiError::closed(error.path(), &error),
            _ => ApiError::internal("read the directory", &error),
        }
    }
}

impl From<IndexError> for ApiError {
    fn from(error: IndexError) -> ApiError {
        match error.kind() {
            ErrorKind::PermissionDenied => ApiError::closed(error.path(), &error),
            _ => ApiError::internal("read the recordings", &error),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if let ApiError::Internal { action, reason } = &self {
            tracing::error!(reason, "cannot {action}");
        }
        let headers = [
            (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
            (header::CACHE_CONTROL, "no-store"),
        ];
        let mut response = (self.status(), headers, format!("{self}\n")).into_response();
        if let Some(seconds) = self.retry_after() {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_text_stays_short_and_on_one_line() {
        assert_eq!(shown("x"), "\"x\"");
        assert_eq!(shown("a\r\nb\"\u{7f}"), r#""a\r\nb\"\u{7f}""#);
        assert_eq!(shown(&"é".repeat(5000)).chars().count(), MAX_SHOWN + 3);
    }
}
