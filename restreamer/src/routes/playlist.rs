//! `/playlist/…`: which hours a request needs, and the playlists written from them (SPEC §4).

mod answers;
mod body;
mod question;
mod range;
mod variants;

use std::sync::{Arc, PoisonError};

use axum::extract::{RawQuery, Request, State};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use common::names::Channel;
use common::segment::Hour;
use common::serve;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

pub(crate) use self::answers::Answers;
pub(crate) use self::question::Questions;

use self::answers::{Answer, Takes};
use self::question::{Question, today};
use super::conditions::{self, Validators};
use super::encoding::Encoding;
use super::{blocking, changing, without_content};
use crate::App;
use crate::error::ApiError;
use crate::hls::{self, MediaPlaylist};
use crate::index::Rendition;
use crate::live::View;
use crate::params::{Bounds, Params};
use crate::paths::Parts;

/// The route of media playlists.
pub(super) const MEDIA: &str = "/playlist/{channel}/{quality}";

/// The end of a playlist's name in the path.
const SUFFIX: &str = ".m3u8";

/// The master playlist of a channel.
pub(super) async fn master(
    State(app): State<Arc<App>>,
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
        // Replication may add to any range at any moment.
        let mut head = changing(hls::CONTENT_TYPE);
        validators.tell(&mut head);
        match conditions::evaluate(&request, &validators).status() {
            Some(status) => Ok(without_content(status, head)),
            None => Ok((head, text).into_response()),
        }
    })
    .await
}

/// The media playlist of a quality.
pub(super) async fn media(
    State(app): State<Arc<App>>,
    Parts(parts): Parts,
    uri: Uri,
    request: HeaderMap,
) -> Result<Response, ApiError> {
    let question = Arc::new(Question::read(&parts, uri.query())?);
    let encoding = Encoding::of(&request);
    if let Some(answer) = question.known(&app, encoding) {
        app.questions.note(target(&uri), &question);
        let takes = Takes::Own(&app.families.own_bodies);
        if let Ok(response) = answer.respond(&request, question.is_past(), takes) {
            return Ok(response);
        }
    }
    let turn = admit(&app, &question).await?;
    blocking(move || {
        // Goes with the work, not with a client that may hang up before.
        let _turn = turn;
        let (rendition, bounds) = (&question.rendition, question.bounds);
        let Rendition { channel, quality } = &**rendition;
        let directory = app.store.resolve(&format!("{channel}/{quality}"))?;
        if quality.is_chat() || !directory.is_dir() {
            let name = format!("{channel}/{quality}");
            return Err(ApiError::not_found("video quality", &name));
        }
        let made_of = |playlist: &MediaPlaylist| {
            let answer = Arc::new(Answer::new(playlist, encoding));
            for run in playlist.runs.iter().filter(|run| run.lines.has_grown()) {
                app.index.weigh(rendition, run.lines.hour(), &run.lines);
            }
            answer
        };
        let takes = match question.is_long() {
            true => Takes::All(&app.families.long_bodies),
            false => Takes::Own(&app.families.own_bodies),
        };
        let past = question.is_past();
        let answer = match bounds.end {
            None => made_of(&live(&app, rendition, bounds, Utc::now())?),
            Some(_) => {
                let existing = || Ok(app.store.hours(channel, quality)?);
                let plan = range::plan(bounds, Utc::now(), existing)?;
                let hours = app.index.hours(rendition, &plan.hours)?;
                // Those for whom no thread could look at once.
                if let Some(kept) = question.kept(&app, encoding, &hours)
                    && let Ok(response) = kept.respond(&request, past, takes)
                {
                    return Ok(response);
                }
                let key = (Arc::clone(rendition), plan.range, encoding);
                app.answers.turn(&key).answer(&hours, || {
                    let answer = made_of(&MediaPlaylist::of_range(plan.range, &hours));
                    if let Some(key) = question.key(encoding) {
                        app.answers.keep(&key, &hours, &answer);
                    }
                    answer
                })
            }
        };
        answer.respond(&request, past, takes)
    })
    .await
}

/// The same as [`media`] where the same target was asked before and nothing has changed since, for
/// next to nothing.
pub(super) fn again(app: &App, request: &Request) -> Option<Response> {
    if request.method() != Method::GET {
        return None;
    }
    let began = Instant::now();
    let question = app.questions.get(target(request.uri()), today())?;
    let answer = question.known(app, Encoding::of(request.headers()))?;
    let takes = Takes::Own(&app.families.own_bodies);
    let response = answer.respond(request.headers(), question.is_past(), takes);
    let response = response.ok()?;
    Some(serve::measured(MEDIA, began, request, response))
}

/// What a request asks for, as it was sent.
fn target(uri: &Uri) -> &str {
    uri.path_and_query().map_or("", PathAndQuery::as_str)
}

/// The live playlist, brought up to date.
fn live(
    app: &App,
    rendition: &Arc<Rendition>,
    bounds: Bounds,
    now: DateTime<Utc>,
) -> Result<MediaPlaylist, ApiError> {
    let existing = || Ok(app.store.hours(&rendition.channel, &rendition.quality)?);
    let start = bounds.start;
    let slot = match app.views.polled(rendition, start) {
        Some(slot) => slot,
        // Nobody knows yet where it will begin.
        None if start.is_none() && existing()?.is_empty() => return Ok(View::new(now).playlist()),
        None => app.views.view(rendition, start, || {
            let plan = range::plan(bounds, now, existing)?;
            Ok(View::new(plan.range.start))
        })?,
    };
    // One that panicked left the list as it was or with more in it, which is right too.
    let mut view = slot.lock().unwrap_or_else(PoisonError::into_inner);
    let existing = existing()?;
    let first = Hour::of(view.next()).previous();
    let needed: Vec<Hour> = existing
        .iter()
        .copied()
        .filter(|&hour| hour >= first)
        .collect();
    // Of those before, what somebody else has listed again since.
    let before = view.hours().filter(|&hour| hour < first);
    let before = before.filter_map(|hour| app.index.held_hour(rendition, hour));
    let before: Vec<_> = before.collect();
    view.renew(&before);
    view.extend(&app.index.hours(rendition, &needed)?, now, Instant::now());
    view.slide(
        existing
            .first()
            .map_or(DateTime::<Utc>::MAX_UTC, |hour| hour.start()),
    );
    Ok(view.playlist())
}

/// Waits until a media playlist's turn has come.
async fn admit(app: &App, question: &Question) -> Result<OwnedSemaphorePermit, ApiError> {
    match question.bounds.hours() {
        Some(hours) if question.is_long() => {
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
