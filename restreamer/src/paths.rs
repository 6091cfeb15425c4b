//! What a request's path may say: nothing hidden, and only parts that can be names (SPEC §4).

use axum::extract::{FromRequestParts, RawPathParams, Request};
use axum::http::request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use common::names::{NameError, PathPart};
use percent_encoding::percent_decode_str;

use crate::error::ApiError;

/// Answers 403 where a part of the path, once percent-decoded, begins with a dot: `..` too.
/// An encoded `/` separates parts like any other.
pub(crate) async fn refuse_hidden(request: Request, next: Next) -> Response {
    if is_hidden(request.uri().path()) {
        return ApiError::Hidden.into_response();
    }
    next.run(request).await
}

fn is_hidden(path: &str) -> bool {
    let decoded: Vec<u8> = percent_decode_str(path).collect();
    let mut parts = decoded.split(|&byte| byte == b'/');
    parts.any(|part| part.starts_with(b"."))
}

/// The parts that a route's pattern took from the path, percent-decoded.
#[derive(Debug)]
pub(crate) struct Parts(pub(crate) Vec<PathPart>);

impl Parts {
    /// The parts with `/` between them.
    pub(crate) fn joined(&self) -> String {
        let parts: Vec<&str> = self.0.iter().map(PathPart::as_str).collect();
        parts.join("/")
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Parts {
    type Rejection = ApiError;

    async fn from_request_parts(
        request: &mut request::Parts,
        state: &S,
    ) -> Result<Self, Self::Rejection> {
        let params = RawPathParams::from_request_parts(request, state)
            .await
            .map_err(|_| ApiError::BadRequest("the path is not UTF-8".to_owned()))?;
        let texts = params.iter().flat_map(|(_, value)| value.split('/'));
        let parts = texts.map(|text| match PathPart::new(text) {
            Ok(part) => Ok(part),
            Err(NameError::Empty) => Err(ApiError::NotFound(
                "there is nothing with an empty name".to_owned(),
            )),
            Err(error) => Err(error.into()),
        });
        parts.collect::<Result<_, _>>().map(Parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_in_front_of_any_part_hides() {
        let table = [
            ("/files", false),
            ("/files/a.b/c..", false),
            ("/files/..%2f..", true),
            ("/files/a%2F.b", true),
            ("/segments/../x", true),
            ("/segments/./x", true),
            ("/segments/%2e%2E/x", true),
            ("/segments/a/.hidden/x", true),
            ("/.hidden", true),
            ("/files/%252e%252e", false),
        ];
        for (path, hidden) in table {
            assert_eq!(is_hidden(path), hidden, "{path}");
        }
    }
}
