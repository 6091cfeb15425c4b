//! `/files…`: what there is, level by level (SPEC §4). Peers copy by it.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use common::names::PathPart;
use common::segment::Hour;

use super::{blocking, json_names};
use crate::App;
use crate::error::ApiError;
use crate::index::Rendition;
use crate::listing::{Listing, Names};
use crate::params::Params;
use crate::paths::Parts;

/// Channels, a channel's qualities, a quality's hours or an hour's files: as deep as the path.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Parts(parts): Parts,
    RawQuery(query): RawQuery,
    request: HeaderMap,
) -> Result<Response, ApiError> {
    let tombstones = Params::parse(query.as_deref()).flag("tombstones")?;
    let parts: Vec<PathPart> = match <[PathPart; 3]>::try_from(parts) {
        // The level that peers ask for again and again, and that has most to say.
        Ok([channel, quality, hour]) => {
            return of_hour(app, channel, quality, &hour, tombstones, request).await;
        }
        Err(parts) => parts,
    };
    blocking(move || {
        let mut parts = parts.into_iter();
        let names = match (parts.next(), parts.next(), parts.next()) {
            (None, ..) => strings(&app.store.channels()?),
            (Some(channel), None, _) => strings(&app.store.qualities(&channel.into())?),
            (Some(channel), Some(quality), None) => {
                strings(&app.store.hours(&channel.into(), &quality.into())?)
            }
            _ => Vec::new(),
        };
        Ok(json_names(&request, &Names::new(&names)))
    })
    .await
}

/// An hour's files.
async fn of_hour(
    app: Arc<App>,
    channel: PathPart,
    quality: PathPart,
    hour: &PathPart,
    tombstones: bool,
    request: HeaderMap,
) -> Result<Response, ApiError> {
    let (channel, quality) = (channel.into(), quality.into());
    let rendition = Arc::new(Rendition { channel, quality });
    let Ok(hour) = hour.as_str().parse::<Hour>() else {
        // What is not an hour has no files, like an hour that does not exist.
        return Ok(json_names(&request, &Names::new::<&str>(&[])));
    };
    let listed = Listed {
        rendition,
        hour,
        tombstones,
    };
    if let Some(listing) = app.listings.known_hour(&listed.rendition, hour) {
        return Ok(listed.answer(&app, &listing, &request));
    }
    blocking(move || {
        let listings = app.listings.hours(&listed.rendition, &[hour])?;
        Ok(match listings.first() {
            Some(listing) => listed.answer(&app, listing, &request),
            None => json_names(&request, &Names::new::<&str>(&[])),
        })
    })
    .await
}

/// An hour that was asked for.
struct Listed {
    rendition: Arc<Rendition>,
    hour: Hour,
    tombstones: bool,
}

impl Listed {
    fn answer(&self, app: &App, listing: &Arc<Listing>, request: &HeaderMap) -> Response {
        let names = listing.names(self.tombstones);
        let was_compressed = names.is_compressed();
        let answer = json_names(request, names);
        if !was_compressed && names.is_compressed() {
            app.listings.weigh(&self.rendition, self.hour, listing);
        }
        answer
    }
}

fn strings<T: ToString>(items: &[T]) -> Vec<String> {
    items.iter().map(T::to_string).collect()
}
