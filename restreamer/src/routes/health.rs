//! `/health`: whether this node can do its work, for whoever routes requests to it.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use common::disk::Room;
use serde::Serialize;
use tokio::time::timeout;

use super::blocking;
use crate::App;
use crate::error::ApiError;
use crate::index::{IndexError, Rendition};
use crate::renditions::{readable, videos};

/// A disk that does not answer by then is as good as gone; who asks would wait no longer either.
const MAX_WAIT: Duration = Duration::from_secs(4);

/// The newest segment is looked for in so many of a quality's last hours: the last may have
/// only just begun, or hold nothing but what is being written.
const HOURS: usize = 3;

/// More qualities than any node has; what asks often must not take long.
const MAX_QUALITIES: usize = 200;

/// What a node says of itself.
#[derive(Debug, Serialize)]
struct Health {
    version: &'static str,
    base_directory_readable: bool,
    /// For us, not for root; `null` if the disk does not say.
    free_disk_bytes: Option<u64>,
    /// Of every channel's qualities that have one.
    newest_segments: Vec<Newest>,
}

/// A quality's newest segment.
#[derive(Debug, Serialize)]
struct Newest {
    channel: String,
    quality: String,
    /// In ISO 8601, UTC.
    start: String,
}

impl Default for Health {
    fn default() -> Health {
        Health {
            version: env!("CARGO_PKG_VERSION"),
            base_directory_readable: false,
            free_disk_bytes: None,
            newest_segments: Vec::new(),
        }
    }
}

/// 200, or 503 if the base directory itself is gone, cannot be read or does not answer.
pub(super) async fn health(State(app): State<Arc<App>>) -> Response {
    let looked = timeout(MAX_WAIT, blocking(move || look(&app))).await;
    let health = match looked {
        Ok(Ok(health)) => health,
        Ok(Err(error)) => {
            tracing::warn!(%error, "not healthy");
            Health::default()
        }
        Err(_) => {
            tracing::warn!(
                seconds = MAX_WAIT.as_secs(),
                "the base directory does not answer"
            );
            Health::default()
        }
    };
    let status = if health.base_directory_readable {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    // Texts and numbers alone: they are always JSON.
    let body = serde_json::to_vec(&health).unwrap_or_default();
    (status, headers, body).into_response()
}

fn look(app: &App) -> Result<Health, ApiError> {
    let base = app.store.base();
    let error = |error: std::io::Error| ApiError::internal("read the base directory", &error);
    std::fs::read_dir(base).map_err(error)?;
    let videos = videos(&app.store, MAX_QUALITIES)?;
    let newest = videos
        .iter()
        .filter_map(|video| readable(newest(app, video)));
    Ok(Health {
        base_directory_readable: true,
        free_disk_bytes: Room::at(base).map(|room| room.free),
        newest_segments: newest.collect(),
        ..Health::default()
    })
}

fn newest(app: &App, rendition: &Arc<Rendition>) -> Result<Option<Newest>, IndexError> {
    let Rendition { channel, quality } = &**rendition;
    let hours = app.store.hours(channel, quality)?;
    for &hour in hours.iter().rev().take(HOURS) {
        let lines = app.index.hours(rendition, &[hour])?;
        if let Some(last) = lines.first().and_then(|lines| lines.segments().last()) {
            return Ok(Some(Newest {
                channel: channel.to_string(),
                quality: quality.to_string(),
                start: last.start().format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
            }));
        }
    }
    Ok(None)
}
