//! What a request for a cut asks for (SPEC §4), as a type: whatever does not make sense is a 400
//! that names the parameter.

#[cfg(test)]
mod tests;

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use common::selection::TimeRange;

use crate::error::{ApiError, shown};
use crate::ffmpeg::{Transition, Transitions};
use crate::params::{Params, parse_time};

/// Who joins more ranges than that does not do it by hand.
pub(crate) const MAX_RANGES: usize = 200;

/// The longest cut, all ranges together, of which most is copied.
const MAX_COPIED: TimeDelta = TimeDelta::hours(48);

/// The longest cut, all ranges together, that is coded anew: it takes a core for about as long.
const MAX_ENCODED: TimeDelta = TimeDelta::hours(12);

/// The longest transition that ffmpeg's xfade makes.
const MAX_TRANSITION_SECONDS: f64 = 60.0;

/// The shortest: less than a picture is no transition.
const MIN_TRANSITION_SECONDS: f64 = 0.001;

/// The types there are, to be named to whoever gives another.
const TYPES: &str = "rough, fast, smart, mpegts or webm";

/// How a cut is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum CutType {
    /// Whole segments, concatenated.
    Rough,
    /// Exact to the picture; nearly all is copied.
    Fast,
    /// The same, with times that go on from 0.
    Smart,
    /// Coded anew as MPEG-TS.
    MpegTs,
    /// Coded anew as VP9 and Opus.
    WebM,
}

impl CutType {
    /// Its name in requests and metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            CutType::Rough => "rough",
            CutType::Fast => "fast",
            CutType::Smart => "smart",
            CutType::MpegTs => "mpegts",
            CutType::WebM => "webm",
        }
    }

    /// True iff all of it is coded anew.
    pub(crate) fn is_encoded(self) -> bool {
        matches!(self, CutType::MpegTs | CutType::WebM)
    }

    fn parse(text: &str) -> Result<CutType, ApiError> {
        let all = [
            CutType::Rough,
            CutType::Fast,
            CutType::Smart,
            CutType::MpegTs,
            CutType::WebM,
        ];
        if text == "mp4" {
            return Err(ApiError::BadRequest(format!(
                "type: mp4 cannot be sent while it is made; there are {TYPES}"
            )));
        }
        all.into_iter()
            .find(|known| known.as_str() == text)
            .ok_or_else(|| {
                ApiError::BadRequest(format!("type: {} is none of {TYPES}", shown(text)))
            })
    }

    fn longest(self) -> TimeDelta {
        if self.is_encoded() {
            MAX_ENCODED
        } else {
            MAX_COPIED
        }
    }
}

impl fmt::Display for CutType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How one range goes over into the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fade {
    /// Its kind.
    pub(crate) transition: Transition,
    /// How long both are shown, exact to the microsecond.
    pub(crate) length: TimeDelta,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CutRequest {
    /// How it is made.
    pub(crate) kind: CutType,
    /// What is shown, one after the other; at least one, none empty.
    pub(crate) ranges: Vec<TimeRange>,
    /// How each range but the last goes over into the next; `None` is a hard cut.
    pub(crate) fades: Vec<Option<Fade>>,
    /// True iff what is not there is left out.
    pub(crate) allow_holes: bool,
}

impl CutRequest {
    /// How a range goes over into the next; `None` is a hard cut. Counted from 0.
    pub(crate) fn fade(&self, range: usize) -> Option<&Fade> {
        self.fades.get(range)?.as_ref()
    }

    /// How the range before it goes over into a range.
    pub(crate) fn fade_before(&self, range: usize) -> Option<&Fade> {
        self.fade(range.checked_sub(1)?)
    }

    /// True iff the parameters name a transition, for which [`CutRequest::parse`] has to know
    /// which there are.
    pub(crate) fn names_transitions(params: &Params) -> bool {
        params.all("transition").any(|text| !text.is_empty())
    }

    /// Reads the parameters. `known` are the transitions there are; without them there are none.
    ///
    /// # Errors
    /// 400 with a text that names the parameter.
    pub(crate) fn parse(
        params: &Params,
        known: Option<&Transitions>,
    ) -> Result<CutRequest, ApiError> {
        let kind = params
            .single("type")?
            .map_or(Ok(CutType::Fast), CutType::parse)?;
        let allow_holes = params.flag("allow_holes")?;
        let ranges = ranges(params)?;
        let total: TimeDelta = ranges.iter().map(|range| range.end - range.start).sum();
        if total > kind.longest() {
            return Err(ApiError::BadRequest(format!(
                "the cut would have more than the {} hours that there may be of type {kind}",
                kind.longest().num_hours()
            )));
        }
        let mut fades = Vec::new();
        for text in params.all("transition") {
            fades.push(fade(text, known)?);
            if fades.len() >= ranges.len() {
                return Err(ApiError::BadRequest(format!(
                    "transition: {} are given, and there are {} ranges: at most one fewer makes sense",
                    params.all("transition").count(),
                    ranges.len()
                )));
            }
        }
        if kind == CutType::Rough && fades.iter().any(Option::is_some) {
            return Err(ApiError::BadRequest(
                "transition: a rough cut has none, since it decodes nothing".to_owned(),
            ));
        }
        fades.resize(ranges.len() - 1, None);
        Ok(CutRequest {
            kind,
            ranges,
            fades,
            allow_holes,
        })
    }
}

/// The ranges: `start` and `end`, or any number of `range`.
fn ranges(params: &Params) -> Result<Vec<TimeRange>, ApiError> {
    let bounds = params.bounds()?;
    let given = params.all("range").count();
    if given == 0 {
        let needed = |name: &str, value: Option<DateTime<Utc>>| {
            value.ok_or_else(|| ApiError::BadRequest(format!("{name} is missing")))
        };
        return Ok(vec![TimeRange {
            start: needed("start", bounds.start)?,
            end: needed("end", bounds.end)?,
        }]);
    }
    if bounds.start.is_some() || bounds.end.is_some() {
        return Err(ApiError::BadRequest(
            "range: give either start and end, or ranges".to_owned(),
        ));
    }
    if given > MAX_RANGES {
        return Err(ApiError::BadRequest(format!(
            "range: {given} are given, at most {MAX_RANGES} may be"
        )));
    }
    params.all("range").map(range).collect()
}

fn range(text: &str) -> Result<TimeRange, ApiError> {
    let Some((start, end)) = text.split_once(',') else {
        return Err(ApiError::BadRequest(format!(
            "range: {} is not START,END",
            shown(text)
        )));
    };
    let range = TimeRange {
        start: parse_time("range", start)?,
        end: parse_time("range", end)?,
    };
    if range.end <= range.start {
        return Err(ApiError::BadRequest(format!(
            "range: the end of {} is not after its start",
            shown(text)
        )));
    }
    Ok(range)
}

fn fade(text: &str, known: Option<&Transitions>) -> Result<Option<Fade>, ApiError> {
    if text.is_empty() {
        return Ok(None);
    }
    let Some((name, seconds)) = text.split_once(',') else {
        return Err(ApiError::BadRequest(format!(
            "transition: {} is not TYPE,SECONDS",
            shown(text)
        )));
    };
    let Some(transition) = known.and_then(|known| known.get(name)) else {
        let names = known.map_or_else(String::new, Transitions::names);
        return Err(ApiError::BadRequest(format!(
            "transition: there is no {}; there are {names}",
            shown(name)
        )));
    };
    let allowed = MIN_TRANSITION_SECONDS..=MAX_TRANSITION_SECONDS;
    let seconds: Option<f64> = seconds.trim().parse().ok();
    let Some(seconds) = seconds.filter(|seconds| allowed.contains(seconds)) else {
        return Err(ApiError::BadRequest(format!(
            "transition: the seconds of {} are no number from {MIN_TRANSITION_SECONDS} to \
             {MAX_TRANSITION_SECONDS}",
            shown(text)
        )));
    };
    Ok(Some(Fade {
        transition,
        // At most 60 s: it fits.
        length: TimeDelta::microseconds((seconds * 1e6).round() as i64),
    }))
}
