//! `/playlist/…`: which hours a request needs, and the playlists written from them (SPEC §4).

mod body;
mod range;
mod variants;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use common::names::{Channel, Quality};
use tokio::sync::OwnedSemaphorePermit;

use self::body::PiecesBody;
use super::conditions::{self, Validators};
use super::{blocking, changing};
use crate::App;
use crate::error::ApiError;
use crate::hls;
use crate::index::Rendition;
use crate::params::{Bounds, Params};
use crate::paths::Parts;

/// The end of a playlist's name in the path.
const SUFFIX: &str = ".m3u8";

/// The master playlist of a channel.
pub(super) async fn master(
    State(app): State<App>,
    Parts(parts): Parts,
    RawQuery(query): RawQuery,
    request: HeaderMap,
) -> Result<Response, ApiError> {
    let [name] = parts.as_slice() else {
        return Err(no_such_playlist());
    };
    let channel = Channel::new(stem(name.as_str())?)?;
    let bounds = Params::parse(query.as_deref()).bounds()?;
    let turn = app.families.playlists.admit(1.0).await?;
    blocking(move || {
        // Goes with the work, not with a client that may hang up before.
        let _turn = turn;
        let variants = variants::variants(&app, &channel, bounds)?;
        let query = query.as_deref().filter(|query| !query.is_empty());
        let text = hls::master_playlist(&channel, &variants, query);
        let validators = Validators::of_content(&text);
        Ok(respond(&request, &validators, || vec![text.into()]))
    })
    .await
}

/// The media playlist of a quality.
pub(super) async fn media(
    State(app): State<App>,
    Parts(parts): Parts,
    RawQuery(query): RawQuery,
    request: HeaderMap,
) -> Result<Response, ApiError> {
    let [channel, name] = parts.as_slice() else {
        return Err(no_such_playlist());
    };
    let rendition = Arc::new(Rendition {
        channel: channel.clone().into(),
        quality: Quality::new(stem(name.as_str())?)?,
    });
    let bounds = Params::parse(query.as_deref()).bounds()?;
    let turn = admit(&app, bounds).await?;
    blocking(move || {
        // Goes with the work, not with a client that may hang up before.
        let _turn = turn;
        let Rendition { channel, quality } = &*rendition;
        let directory = app.store.resolve(&format!("{channel}/{quality}"))?;
        if quality.is_chat() || !directory.is_dir() {
            let name = format!("{channel}/{quality}");
            return Err(ApiError::not_found("video quality", &name));
        }
        let plan = range::plan(bounds, || Ok(app.store.hours(channel, quality)?))?;
        let hours = app.index.hours(&rendition, &plan.hours)?;
        let validators = Validators::of_content(&(plan.range, hls::digests(&hours)));
        let pieces = || hls::media_playlist(plan.range, &hours);
        Ok(respond(&request, &validators, pieces))
    })
    .await
}

/// Waits until a media playlist's turn has come.
async fn admit(app: &App, bounds: Bounds) -> Result<OwnedSemaphorePermit, ApiError> {
    match bounds.hours() {
        Some(hours) if hours > range::MAX_UNBOUNDED.num_hours() => {
            // A range of ten thousand years holds no more than a playlist may.
            let units = hours.min(range::MAX_HOURS as i64) as f64;
            app.families.long_playlists.admit(units).await
        }
        _ => app.families.playlists.admit(1.0).await,
    }
}

/// The name of a playlist without its end.
fn stem(name: &str) -> Result<&str, ApiError> {
    name.strip_suffix(SUFFIX).ok_or_else(no_such_playlist)
}

fn no_such_playlist() -> ApiError {
    ApiError::NotFound(format!(
        "playlists are CHANNEL{SUFFIX} and CHANNEL/QUALITY{SUFFIX}"
    ))
}

/// The answer with a playlist, which is written only if the client does not have it already.
fn respond(
    request: &HeaderMap,
    validators: &Validators,
    playlist: impl FnOnce() -> Vec<Bytes>,
) -> Response {
    // Replication may add to any range at any moment.
    let mut head = changing(hls::CONTENT_TYPE);
    validators.tell(&mut head);
    match conditions::evaluate(request, validators).status() {
        Some(status) => (status, head).into_response(),
        None => (head, Body::new(PiecesBody::new(playlist()))).into_response(),
    }
}
