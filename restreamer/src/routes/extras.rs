//! `/extras/DIR`: every file below a directory, for peers that replicate more than segments.

use std::io::ErrorKind;
use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use super::{blocking, json_names};
use crate::App;
use crate::error::ApiError;
use crate::listing::Names;
use crate::paths::Parts;

/// A JSON array of paths relative to the directory; `[]` where there is none.
pub(super) async fn tree(
    State(app): State<Arc<App>>,
    parts: Parts,
    request: HeaderMap,
) -> Result<Response, ApiError> {
    let turn = app.families.extras.admit(1.0).await?;
    let directory = app.store.resolve(&parts.joined())?;
    blocking(move || {
        // Goes with the work, not with a client that may hang up before.
        let _turn = turn;
        let files = match app.store.tree(&directory) {
            // A path longer than any that could exist.
            Err(error) if error.kind() == ErrorKind::InvalidFilename => Vec::new(),
            files => files?,
        };
        Ok(json_names(&request, &Names::new(&files)))
    })
    .await
}
