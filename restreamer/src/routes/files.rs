//! `/files…`: what there is, level by level (SPEC §4). Peers copy by it.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use common::segment::Hour;

use super::{blocking, json_names};
use crate::App;
use crate::error::ApiError;
use crate::index::Rendition;
use crate::listing::Names;
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
    blocking(move || {
        let mut parts = parts.into_iter();
        let names = match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (None, ..) => strings(&app.store.channels()?),
            (Some(channel), None, ..) => strings(&app.store.qualities(&channel.into())?),
            (Some(channel), Some(quality), None, _) => {
                strings(&app.store.hours(&channel.into(), &quality.into())?)
            }
            (Some(channel), Some(quality), Some(hour), None) => {
                let (channel, quality) = (channel.into(), quality.into());
                let rendition = Arc::new(Rendition { channel, quality });
                // What is not an hour has no files, like an hour that does not exist.
                if let Ok(hour) = hour.as_str().parse::<Hour>()
                    && let Some(listing) = app.listings.hours(&rendition, &[hour])?.first()
                {
                    let answer = json_names(&request, listing.names(tombstones));
                    app.listings.weigh(&rendition, hour, listing);
                    return Ok(answer);
                }
                Vec::new()
            }
            _ => Vec::new(),
        };
        Ok(json_names(&request, &Names::new(&names)))
    })
    .await
}

fn strings<T: ToString>(items: &[T]) -> Vec<String> {
    items.iter().map(T::to_string).collect()
}
