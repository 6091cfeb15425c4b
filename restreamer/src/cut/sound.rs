//! Sound for what is fed to one ffmpeg, which has to have one form from the start on: what decodes it
//! cannot change, and until the first has come all pictures wait in memory.

use std::ffi::OsString;
use std::ops::Range;
use std::time::Duration;

use super::behind::blocking;
use super::exact::clip;
use super::load::{LoadError, Loaded, MOST_MADE};
use super::stretch::Source;
use crate::ffmpeg::{Input, Job};
use crate::footage::Footage;
use crate::mpegts::audio::{Form, frames};
use crate::mpegts::demux::{Damage, Media, Unit, demux};
use crate::mpegts::mux::Muxer;
use crate::mpegts::tables::{Codec, Program};
use crate::mpegts::time::{TICKS_A_SECOND, micros};

/// Some seconds of sound are coded in far less.
const LIMIT: Duration = Duration::from_secs(60);

/// When a segment begins for ffmpeg, in ticks: times near the end of the clock, or before its
/// beginning, would be moved.
const BEGINS: i64 = 10 * TICKS_A_SECOND;

/// No segment is longer; one whose clock jumps may seem to be, in ticks.
const LONGEST: i64 = 60 * TICKS_A_SECOND;

/// How long the last picture is shown at least: 1/25 s.
const LAST: i64 = TICKS_A_SECOND / 25;

/// What a segment's sound is like, as far as a decoder has to be set up for it.
pub(crate) fn form(footage: &Footage) -> Option<Form> {
    let stream = footage.media.program.sound()?;
    Form::of(stream.codec, footage.media.of(stream.pid).next()?.payload())
}

/// Arguments for sound of a form that lasts until it is decoded: of MP3 each frame by itself.
fn coded(form: Form) -> &'static str {
    match (form.codec, form.layer) {
        (Codec::Ac3, _) => "-c:a ac3 -b:a 448k",
        (Codec::MpegAudio, 3) => "-c:a libmp3lame -b:a 160k -reservoir 0",
        (Codec::MpegAudio, _) => "-c:a mp2 -b:a 160k",
        _ => "-c:a aac -b:a 192k",
    }
}

/// What has to be made for a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Its own sound in another form.
    Converted,
    /// Sound where it has none.
    Silence,
}

impl Wanted {
    /// So that a segment has sound of this form, if it must have some: once any `is_heard`, what is
    /// missing is no matter.
    pub(crate) fn of(footage: &Footage, wanted: Form, is_heard: bool) -> Option<Wanted> {
        match form(footage) {
            Some(found) => (found != wanted).then_some(Wanted::Converted),
            None => {
                let announced = footage.media.program.sound();
                let has_none = announced.is_none_or(|it| footage.media.of(it.pid).next().is_none());
                (has_none && !is_heard).then_some(Wanted::Silence)
            }
        }
    }
}

/// The same pictures as streams of another program, with sound of this form.
///
/// # Errors
/// [`LoadError`] names the file.
pub(crate) async fn with_sound(
    job: &Job,
    source: &Source,
    footage: Footage,
    program: Program,
    form: Form,
    wanted: Wanted,
) -> Result<Loaded, LoadError> {
    let (from, input) = match wanted {
        Wanted::Converted => {
            let packets = sound_of(&footage).into();
            let from = "-copyts -f mpegts -i pipe:0".to_owned();
            (from, Input::Bytes(vec![packets]))
        }
        Wanted::Silence => {
            let micros = micros(length(&footage));
            (format!("-f lavfi -i anullsrc=d={micros}us"), Input::None)
        }
    };
    let Form { rate, channels, .. } = form;
    let coded = coded(form);
    let arguments = format!(
        "{from} -map 0:a:0 {coded} -ar {rate} -ac {channels} -muxdelay 0 -muxpreload 0 -f mpegts pipe:1"
    );
    let arguments = arguments.split_whitespace().map(OsString::from).collect();
    // What it is for waits for it, and holds a permit meanwhile.
    let run = job.help(LIMIT, "sound", arguments, input);
    let made = run.whole(MOST_MADE).await;
    let made = made.map_err(|error| LoadError::Made {
        file: source.path.clone(),
        error,
    })?;
    let joined = blocking(move || {
        Ok(joined(
            footage,
            &demux(&made, Damage::Fails)?,
            program,
            wanted,
        ))
    });
    let joined = joined.await.map_err(|error| LoadError::Read {
        file: source.path.clone(),
        error,
    })?;
    joined.map_err(|error| LoadError::Damaged {
        file: source.path.clone(),
        error,
    })
}

/// A segment's sound alone, with times from `BEGINS` on.
fn sound_of(footage: &Footage) -> Vec<u8> {
    let Some(stream) = footage.media.program.sound() else {
        return Vec::new();
    };
    let mut muxer = Muxer::new(Program::of(stream), 0);
    for unit in footage.media.of(stream.pid) {
        let mut unit = unit.clone();
        unit.pts += BEGINS - footage.shown;
        unit.dts += BEGINS - footage.shown;
        muxer.add(&unit);
    }
    muxer.packets()
}

/// How long a segment is shown, in ticks.
fn length(footage: &Footage) -> i64 {
    let last = footage
        .media
        .of(footage.main.pid)
        .map(|unit| unit.pts)
        .max();
    (last.unwrap_or(footage.shown) - footage.shown + LAST).min(LONGEST)
}

/// From when until when a segment has sound, in ticks.
fn span(footage: &Footage) -> Range<i64> {
    let stream = footage.media.program.sound();
    let units = stream
        .into_iter()
        .flat_map(|stream| footage.media.of(stream.pid));
    let spans = units.map(|unit| {
        let frames = frames(unit.codec, unit.payload()).unwrap_or_default();
        let ends = frames.last().map_or(0, |frame| frame.after + frame.ticks);
        unit.pts..unit.pts + ends
    });
    let all = spans.reduce(|all, span| all.start.min(span.start)..all.end.max(span.end));
    all.unwrap_or_default()
}

/// Puts pictures and the sound that was made together, without what an encoder puts before and after
/// what it was given: with it, one segment's would reach into the next one's.
fn joined(mut footage: Footage, made: &Media, program: Program, wanted: Wanted) -> Loaded {
    let sound = || made.units.iter().filter(|unit| unit.codec.is_audio());
    let begins = match wanted {
        Wanted::Converted => BEGINS,
        Wanted::Silence => sound().map(|unit| unit.pts).min().unwrap_or(0),
    };
    let span = match wanted {
        Wanted::Converted => span(&footage),
        Wanted::Silence => footage.shown..i64::MAX,
    };
    let mut units: Vec<Unit> = Vec::new();
    if let Some(video) = program.video() {
        let pictures = footage.media.units.drain(..);
        let pictures =
            pictures.filter(|unit| unit.pid == footage.main.pid && unit.codec == video.codec);
        units.extend(pictures.map(|mut unit| {
            unit.pid = video.pid;
            unit
        }));
        footage.main = video;
    }
    if let Some(stream) = program.sound() {
        let heard = sound().filter_map(|unit| {
            let mut unit = unit.clone();
            unit.pid = stream.pid;
            unit.pts += footage.shown - begins;
            unit.dts += footage.shown - begins;
            clip(&unit, span.start, span.end)
        });
        units.extend(heard);
    }
    units.sort_by_key(|unit| unit.dts);
    let mut muxer = Muxer::new(program.clone(), footage.media.lead);
    for unit in &units {
        muxer.add(unit);
    }
    footage.media.program = program;
    footage.media.units = units;
    Loaded {
        bytes: muxer.packets(),
        footage,
    }
}
