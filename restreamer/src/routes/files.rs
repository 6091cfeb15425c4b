//! `/files…`: what there is, level by level (SPEC §4). Peers copy by it.

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use common::names::PathPart;
use common::segment::Hour;
use common::store::Store;

use super::{blocking, json_names};
use crate::App;
use crate::error::ApiError;
use crate::params::Params;
use crate::paths::Parts;

/// Channels, a channel's qualities, a quality's hours or an hour's files: as deep as the path.
pub(super) async fn list(
    State(app): State<App>,
    Parts(parts): Parts,
    RawQuery(query): RawQuery,
    request: HeaderMap,
) -> Result<Response, ApiError> {
    let tombstones = Params::parse(query.as_deref()).flag("tombstones")?;
    let names = blocking(move || names(&app.store, parts, tombstones)).await?;
    json_names(&request, &names)
}

fn names(store: &Store, parts: Vec<PathPart>, tombstones: bool) -> Result<Vec<String>, ApiError> {
    let mut parts = parts.into_iter();
    let Some(channel) = parts.next().map(Into::into) else {
        return Ok(strings(&store.channels()?));
    };
    let Some(quality) = parts.next().map(Into::into) else {
        return Ok(strings(&store.qualities(&channel)?));
    };
    let Some(hour) = parts.next() else {
        return Ok(strings(&store.hours(&channel, &quality)?));
    };
    // What is not an hour has no files, like an hour that does not exist.
    let Ok(hour) = hour.as_str().parse::<Hour>() else {
        return Ok(Vec::new());
    };
    if parts.next().is_some() {
        return Ok(Vec::new());
    }
    let listed = store.hour_names(&channel, &quality, hour)?;
    let mut names = listed.files;
    if tombstones && !listed.tombstones.is_empty() {
        names.extend(listed.tombstones);
        names.sort_unstable();
    }
    Ok(names)
}

fn strings<T: ToString>(items: &[T]) -> Vec<String> {
    items.iter().map(T::to_string).collect()
}
