//! `/frame/CHANNEL/QUALITY.png` and `/waveform/CHANNEL/QUALITY.png` (SPEC §4).

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use common::selection::TimeRange;

use super::naming::{rendition, tell_name};
use super::{blocking, of_unknown_length};
use crate::App;
use crate::cut::covered::covered;
use crate::cut::frame::frame;
use crate::cut::plan::{Covered, TOLERANCE_MICROS};
use crate::cut::waveform::{MAX_LENGTH, Size, waveform};
use crate::error::ApiError;
use crate::index::Rendition;
use crate::params::Params;
use crate::paths::Parts;

/// The end of an image's name in the path.
const SUFFIX: &str = ".png";

/// The content type of both.
const PNG: &str = "image/png";

/// Sends the picture that is shown at an instant.
pub(super) async fn of_instant(
    State(app): State<Arc<App>>,
    Parts(parts): Parts,
    RawQuery(query): RawQuery,
    method: Method,
) -> Result<Response, ApiError> {
    let rendition = Arc::new(rendition(&parts, SUFFIX)?);
    let instant = Params::parse(query.as_deref()).time("timestamp")?;
    let instant = instant.ok_or_else(|| missing("timestamp"))?;
    let end = instant + TimeDelta::microseconds(1);
    let range = |start| TimeRange { start, end };
    let covered = look_up(&app, &rendition, range(instant)).await?;
    let stretch = match covered.of_instant(instant) {
        Ok(stretch) => stretch,
        Err(nothing) => {
            // What ended right before it may be what is shown then.
            let start = earlier(instant, TimeDelta::microseconds(TOLERANCE_MICROS));
            let covered = look_up(&app, &rendition, range(start)).await?;
            covered.before_instant(instant).ok_or(nothing)?
        }
    };
    let head = head(&rendition, &[instant]);
    if method == Method::HEAD {
        return Ok((head, of_unknown_length()).into_response());
    }
    let picture = frame(&app.ffmpeg.job(), stretch, instant).await?;
    Ok((head, picture).into_response())
}

/// Sends the waveform of a range.
pub(super) async fn of_sound(
    State(app): State<Arc<App>>,
    Parts(parts): Parts,
    RawQuery(query): RawQuery,
    method: Method,
) -> Result<Response, ApiError> {
    let rendition = Arc::new(rendition(&parts, SUFFIX)?);
    let params = Params::parse(query.as_deref());
    let size = params
        .single("size")?
        .map_or(Ok(Size::DEFAULT), Size::parse)?;
    let bounds = params.bounds()?;
    let range = TimeRange {
        start: bounds.start.ok_or_else(|| missing("start"))?,
        end: bounds.end.ok_or_else(|| missing("end"))?,
    };
    if range.end - range.start > MAX_LENGTH {
        let hours = MAX_LENGTH.num_hours();
        let text = format!("end: a waveform has at most {hours} hours");
        return Err(ApiError::BadRequest(text));
    }
    let covered = look_up(&app, &rendition, range).await?;
    let stretch = covered.of_range(range)?;
    let head = head(&rendition, &[range.start, range.end]);
    if method == Method::HEAD {
        return Ok((head, of_unknown_length()).into_response());
    }
    let image = waveform(&app.ffmpeg.job(), stretch, size).await?;
    Ok((head, Bytes::from(image)).into_response())
}

async fn look_up(
    app: &App,
    rendition: &Arc<Rendition>,
    range: TimeRange,
) -> Result<Covered, ApiError> {
    let (store, index) = (app.store.clone(), app.index.clone());
    let rendition = Arc::clone(rendition);
    let found = blocking(move || covered(&store, &index, &rendition, &[range])).await?;
    let found = found.into_iter().next();
    found.ok_or_else(|| ApiError::NotAcceptable("there is no video".to_owned()))
}

fn head(rendition: &Rendition, times: &[DateTime<Utc>]) -> HeaderMap {
    let mut head = super::changing(PNG);
    let nosniff = HeaderValue::from_static("nosniff");
    head.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    tell_name(&mut head, "inline", rendition, times, "png");
    head
}

/// A time, so much earlier; at the start of time, that.
fn earlier(time: DateTime<Utc>, by: TimeDelta) -> DateTime<Utc> {
    time.checked_sub_signed(by)
        .unwrap_or(DateTime::<Utc>::MIN_UTC)
}

fn missing(name: &str) -> ApiError {
    ApiError::BadRequest(format!("{name} is missing"))
}
