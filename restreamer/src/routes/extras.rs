//! `/extras/DIR`: every file below a directory, for peers that replicate more than segments.

use std::io::ErrorKind;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use super::{blocking, json_names};
use crate::App;
use crate::error::ApiError;
use crate::paths::Parts;

/// A JSON array of paths relative to the directory; `[]` where there is none.
pub(super) async fn tree(
    State(app): State<App>,
    parts: Parts,
    request: HeaderMap,
) -> Result<Response, ApiError> {
    let directory = app.store.resolve(&parts.joined())?;
    let files = blocking(move || match app.store.tree(&directory) {
        // A path longer than any that could exist.
        Err(error) if error.kind() == ErrorKind::InvalidFilename => Ok(Vec::new()),
        files => Ok(files?),
    })
    .await?;
    json_names(&request, &files)
}
