//! What is coded anew (`mpegts` and `webm` of SPEC §4, and transitions), exact to the picture.
//!
//! All segments that it takes go into one ffmpeg one after the other, with times of our own
//! making ([`timeline`]): so it is known beforehand which time the first and the last wanted
//! picture will have, and [`graph`] cuts there, joins, and cross-fades.

mod graph;
mod model;
mod pixels;
mod placed;
mod timeline;

use std::ffi::OsString;
use std::io;
use std::time::Duration;

use chrono::DateTime;

use crate::error::ApiError;
use crate::ffmpeg::{FfmpegError, Input, Job, Running};
use crate::footage::Footage;
use crate::mpegts::TsError;
use crate::mpegts::demux::{Damage, Unit};
use crate::mpegts::mux::Muxer;
use crate::mpegts::retime::Start;

use super::behind::blocking;
use super::load::LoadError;
use super::plan::Clip;
use super::request::{CutType, Fade};
use super::stretch::Stretch;

use self::model::{Model, alike, pixels_alike};
use self::timeline::Layout;

/// A minute of 4K is less, in bytes.
const MAX_FADE_BYTES: usize = 512 << 20;

/// How the outcome is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// H.264 and AAC in MPEG-TS.
    MpegTs,
    /// VP9 and Opus in WebM.
    WebM,
    /// As what comes in, in MPEG-TS, to stand between what was copied.
    Alike,
}

impl Target {
    /// What pictures are made of, by ffmpeg's names, of which it takes one.
    fn pixels(self, layout: &Layout) -> &'static str {
        match self {
            Target::MpegTs | Target::WebM => "yuv420p",
            Target::Alike => pixels_alike(layout.model.as_ref()),
        }
    }

    /// The filter that puts sound to speakers where its encoder knows them.
    fn speakers(self) -> &'static str {
        match self {
            // AC-3 has others at the sides.
            Target::WebM => "aformat=channel_layouts=mono|stereo|3.0|quad|5.0|5.1|6.1|7.1",
            Target::MpegTs | Target::Alike => "anull",
        }
    }

    /// Good pictures in about the time that they take to be shown.
    fn arguments(self, layout: &Layout) -> String {
        let (video, audio, format) = match self {
            Target::MpegTs => (
                "-c:v libx264 -preset veryfast -crf 20".to_owned(),
                "-c:a aac -b:a 160k",
                "-f mpegts",
            ),
            Target::WebM => (
                "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -row-mt 1 -tile-columns 2 \
                 -b:v 0 -crf 34 -g 240"
                    .to_owned(),
                "-c:a libopus -b:a 128k",
                "-f webm -cluster_time_limit 2000",
            ),
            Target::Alike => {
                let (video, audio) = alike(layout.model.as_ref());
                (video, audio, "-f mpegts -muxdelay 0 -muxpreload 0")
            }
        };
        let video = if layout.has_video { &*video } else { "" };
        let audio = if layout.has_audio { audio } else { "" };
        format!("{video} {audio} {format}")
    }
}

impl From<CutType> for Target {
    fn from(kind: CutType) -> Target {
        match kind {
            CutType::WebM => Target::WebM,
            _ => Target::MpegTs,
        }
    }
}

/// Starts to code clips anew, one after the other.
///
/// # Errors
/// If a segment at a clip's edge cannot be used.
pub(crate) async fn encode(
    job: &Job,
    target: Target,
    clips: Vec<Clip>,
) -> Result<Running, LoadError> {
    let layout = Layout::of(job, clips).await?;
    Ok(start(job, target, layout))
}

fn start(job: &Job, target: Target, layout: Layout) -> Running {
    let threads = job.threads();
    // Where pictures become larger or smaller, the graph goes on (its first filter sees to it) instead
    // of beginning anew with all its counts of time.
    let goes_on = if layout.has_video {
        "-reinit_filter:v 0"
    } else {
        ""
    };
    let mut arguments: Vec<OsString> = format!(
        "-copyts -flags +output_corrupt -threads {threads} {goes_on} -f mpegts -i pipe:0 -filter_complex"
    )
    .split_whitespace()
    .map(Into::into)
    .collect();
    let pixels = target.pixels(&layout);
    let graph = graph::graph(
        &layout.scenes,
        layout.has_video.then_some(pixels),
        layout.has_audio.then_some(target.speakers()),
    );
    arguments.push(graph.into());
    let mut rest = String::new();
    if layout.has_video {
        rest.push_str("-map [v] -fps_mode passthrough -enc_time_base:v 1:90000 ");
    }
    if layout.has_audio {
        rest.push_str("-map [a] ");
    }
    rest.push_str(&target.arguments(&layout));
    rest.push_str(&format!(" -threads {threads} -flush_packets 1 pipe:1"));
    // The number of threads belongs in front of the format.
    arguments.extend(rest.split_whitespace().map(OsString::from));
    let input = Input::Stream(layout.feed(job.clone()));
    job.run("encode", arguments, input)
}

/// Starts to decode the sound of clips: two channels of 16 bits, so many samples a second. `None`
/// if there is none.
///
/// # Errors
/// If a segment at an edge cannot be used.
pub(crate) async fn sound(
    job: &Job,
    limit: Duration,
    clips: Vec<Clip>,
    rate: u32,
) -> Result<Option<Running>, EncodeError> {
    let layout = Layout::of_sound(job, clips).await?;
    if !layout.has_audio {
        return Ok(None);
    }
    let mut arguments: Vec<OsString> = "-copyts -f mpegts -i pipe:0 -filter_complex"
        .split_whitespace()
        .map(Into::into)
        .collect();
    arguments.push(graph::graph(&layout.scenes, None, Some("anull")).into());
    let rest = format!("-map [a] -ac 2 -ar {rate} -c:a pcm_s16le -f s16le pipe:1");
    arguments.extend(rest.split_whitespace().map(OsString::from));
    let input = Input::Stream(layout.feed(job.clone()));
    Ok(Some(job.run_for(Some(limit), "waveform", arguments, input)))
}

/// Cross-fades two clips, both as long as the fade: packets like those around them, and where
/// their times begin.
///
/// # Errors
/// If a segment cannot be used, or ffmpeg fails.
pub(crate) async fn cross_fade(
    job: &Job,
    from: Vec<Stretch>,
    to: Vec<Stretch>,
    fade: Fade,
) -> Result<Option<(Start, Vec<u8>)>, EncodeError> {
    let first = Clip {
        stretches: from,
        fade: Some(fade),
    };
    let last = Clip {
        stretches: to,
        fade: None,
    };
    let mut layout = match Layout::of(job, vec![first, last]).await {
        // Of neither side is anything left that can be used.
        Err(LoadError::Nothing) => return Ok(None),
        layout => layout?,
    };
    let Some(model) = layout.model.clone() else {
        return Ok(None);
    };
    // Other sound would not be understood between what is copied.
    layout.has_audio &= model.knows_sound();
    if !layout.has_video && !layout.has_audio {
        return Ok(None);
    }
    let made = start(job, Target::Alike, layout)
        .whole(MAX_FADE_BYTES)
        .await?;
    let like = move || like(&made, &model);
    Ok(Some(blocking(like).await??))
}

/// Puts what was made into streams like the model's.
fn like(made: &[u8], model: &Model) -> Result<(Start, Vec<u8>), EncodeError> {
    let footage = Footage::read(made, DateTime::UNIX_EPOCH, Damage::Fails)?;
    let (video, sound) = (model.program.video(), model.sound());
    let units = footage.media.units.into_iter();
    let mut units: Vec<Unit> = units
        .filter_map(|mut unit| {
            let stream = if unit.codec.is_video() { video } else { sound };
            unit.pid = stream?.pid;
            Some(unit)
        })
        .collect();
    units.sort_by_key(|unit| unit.dts);
    let start = Start {
        shown: footage.shown,
        lowest: units.first().map_or(footage.shown, |unit| unit.dts),
        lead: footage.media.lead,
    };
    let mut muxer = Muxer::new(model.program.clone(), footage.media.lead);
    for unit in &units {
        muxer.add(unit);
    }
    Ok((start, muxer.packets()))
}

/// Why something could not be coded anew.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EncodeError {
    /// A segment cannot be used.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// ffmpeg did not do it.
    #[error(transparent)]
    Ffmpeg(#[from] FfmpegError),
    /// What it made cannot be read.
    #[error("cannot read what ffmpeg made: {0}")]
    Made(#[from] TsError),
    /// We did not do it.
    #[error(transparent)]
    Crashed(#[from] io::Error),
}

impl From<EncodeError> for ApiError {
    fn from(error: EncodeError) -> ApiError {
        match error {
            EncodeError::Load(error) => error.into(),
            EncodeError::Ffmpeg(error) => error.into(),
            error => ApiError::internal("code this anew", &error),
        }
    }
}
