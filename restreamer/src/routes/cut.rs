//! `/cut/CHANNEL/QUALITY.ts`: ranges of video as one file (SPEC §4).

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use common::serve::FileSender;

use super::naming::{rendition, tell_name};
use super::segments::content_type;
use super::{blocking, of_unknown_length};
use crate::App;
use crate::cut::covered::covered;
use crate::cut::plan::{Part, Plan, plan};
use crate::cut::request::{CutRequest, CutType};
use crate::cut::rough::{Files, RoughBody};
use crate::cut::run;
use crate::cut::running::Running;
use crate::error::{ApiError, shown};
use crate::index::Rendition;
use crate::params::Params;
use crate::paths::Parts;

/// The end of a cut's name in the path, whatever is in it.
const SUFFIX: &str = ".ts";

/// Sends a cut.
pub(super) async fn cut(
    State(app): State<Arc<App>>,
    Parts(parts): Parts,
    RawQuery(query): RawQuery,
    sender: Option<Extension<FileSender>>,
    method: Method,
) -> Result<Response, ApiError> {
    let rendition = Arc::new(rendition(&parts, SUFFIX)?);
    let params = Params::parse(query.as_deref());
    let known = if CutRequest::names_transitions(&params) {
        Some(app.ffmpeg.transitions().await?)
    } else {
        None
    };
    let request = CutRequest::parse(&params, known)?;
    let turn = app.families.cuts.admit(1.0).await?;
    let (kind, head) = (request.kind, head(&rendition, &request));
    let plan = planned(&app, &rendition, request).await?;
    if method == Method::HEAD {
        return Ok((head, of_unknown_length()).into_response());
    }
    let Rendition { channel, quality } = &*rendition;
    let what = format!("{channel}/{quality}?{}", query.unwrap_or_default());
    let running = Running::begin(shown(&what), kind, plan.length, turn);
    let files = Files {
        open: Arc::clone(&app.files),
        buffers: Arc::clone(&app.buffers),
        sender: sender.map(|Extension(sender)| sender),
    };
    let (body, content_type) = made(&app, kind, plan, files).await?;
    let mut head = head;
    head.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    Ok((head, Body::new(running.body(body))).into_response())
}

/// What there is of the ranges, and what to do with it.
async fn planned(
    app: &App,
    rendition: &Arc<Rendition>,
    request: CutRequest,
) -> Result<Plan, ApiError> {
    let (store, index) = (app.store.clone(), app.index.clone());
    let rendition = Arc::clone(rendition);
    blocking(move || {
        let covered = covered(&store, &index, &rendition, &request.ranges)?;
        Ok(plan(&request, &covered)?)
    })
    .await
}

/// The body and its content type, as soon as its first bytes are there: until then, whatever
/// fails has a status.
async fn made(
    app: &App,
    kind: CutType,
    plan: Plan,
    files: Files,
) -> Result<(Body, &'static str), ApiError> {
    let mut parts = plan.parts;
    if let [Part::Copy(sources)] = parts.as_mut_slice() {
        let (body, content_type) = RoughBody::open(files, std::mem::take(sources)).await?;
        return Ok((Body::new(body), content_type));
    }
    let stream = run(app.ffmpeg.job(), kind, parts).await?;
    let content_type = match kind {
        CutType::WebM => content_type::WEBM,
        _ => content_type::TS,
    };
    Ok((Body::from_stream(stream), content_type))
}

/// What can be said of a cut before it is made.
fn head(rendition: &Rendition, request: &CutRequest) -> HeaderMap {
    let (content_type, extension) = match request.kind {
        CutType::WebM => (content_type::WEBM, "webm"),
        _ => (content_type::TS, "ts"),
    };
    let mut head = super::changing(content_type);
    let nosniff = HeaderValue::from_static("nosniff");
    head.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    let (first, last) = (request.ranges.first(), request.ranges.last());
    let times: Vec<_> = first
        .map(|range| range.start)
        .into_iter()
        .chain(last.map(|range| range.end))
        .collect();
    tell_name(&mut head, "attachment", rendition, &times, extension);
    head
}
