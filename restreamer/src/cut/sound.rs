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
use crate::mpegts::time::{TICKS_A_SECOND, micros, unwrap_near, wrap};

/// Some seconds of sound are coded in far less.
const LIMIT: Duration = Duration::from_secs(60);

/// When a segment begins for ffmpeg, in ticks: times near the end of the clock, or before its
/// beginning, would be moved.
const BEGINS: i64 = 10 * TICKS_A_SECOND;

/// No segment is longer; one whose clock jumps may seem to be, in ticks.
const LONGEST: i64 = 60 * TICKS_A_SECOND;

/// So much of the sound before a segment is decoded with it, in ticks: more than frames of MP3 reach back.
const LEAD_IN: i64 = TICKS_A_SECOND / 4;

/// Sound that begins so long after it has ended, or so much sooner, is no other, in ticks.
const MAX_GAP: i64 = TICKS_A_SECOND / 20;

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
enum Wanted {
    /// Its own sound in another form.
    Converted,
    /// Sound where it has none.
    Silence,
}

impl Wanted {
    /// So that a segment has sound of this form, if it must have some: once any `is_heard`, what is
    /// missing is no matter.
    fn of(footage: &Footage, wanted: Form, is_heard: bool) -> Option<Wanted> {
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

/// What was heard of segments, one after the other, which have to sound like one.
#[derive(Debug)]
pub(crate) struct Heard {
    /// What all sound has to be like, if that matters.
    form: Option<Form>,
    /// True iff there was any.
    any: bool,
    /// The last of it as it was.
    last: Vec<Unit>,
}

impl Heard {
    /// Nothing yet.
    pub(crate) fn of(form: Option<Form>) -> Heard {
        Heard {
            form,
            any: false,
            last: Vec::new(),
        }
    }

    /// The next segment, as streams of a program if it has to be made to sound like those before it.
    pub(crate) async fn next(
        &mut self,
        job: &Job,
        source: &Source,
        mut loaded: Loaded,
        program: Option<&Program>,
    ) -> Loaded {
        let last = std::mem::replace(&mut self.last, end_of_sound(&loaded.footage));
        if let (Some(form), Some(to)) = (self.form, program)
            && to.sound().is_some_and(|sound| sound.codec == form.codec)
            && let Some(wanted) = Wanted::of(&loaded.footage, form, self.any)
        {
            let footage = loaded.footage.clone();
            match with_sound(job, source, (footage, last), to.clone(), form, wanted).await {
                Ok(made) => loaded = made,
                // Decoders may make something of it.
                Err(error) => tracing::warn!(%error, "sound is left as it is"),
            }
        }
        self.any |= form(&loaded.footage).is_some();
        loaded
    }
}

/// The last sound of a segment: what decoders need to know for what follows it.
fn end_of_sound(footage: &Footage) -> Vec<Unit> {
    let Some(stream) = footage.media.program.sound() else {
        return Vec::new();
    };
    let last = footage.media.of(stream.pid).map(|unit| unit.pts).max();
    let from = last.unwrap_or(0) - LEAD_IN;
    let units = footage.media.of(stream.pid);
    units.filter(|unit| unit.pts >= from).cloned().collect()
}

/// The same pictures as streams of another program, with sound of this form. It is decoded with what
/// was heard before it.
///
/// # Errors
/// [`LoadError`] names the file.
async fn with_sound(
    job: &Job,
    source: &Source,
    (footage, last): (Footage, Vec<Unit>),
    program: Program,
    form: Form,
    wanted: Wanted,
) -> Result<Loaded, LoadError> {
    let (from, input) = match wanted {
        Wanted::Converted => {
            let packets = sound_of(&footage, last).into();
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

/// A segment's sound alone, with times from `BEGINS` on, and before it the `last` sound of the segment
/// before, if that goes on here: frames of MP3 begin in those before them, and of AAC half of each is
/// in the one before it.
fn sound_of(footage: &Footage, mut last: Vec<Unit>) -> Vec<u8> {
    let Some(stream) = footage.media.program.sound() else {
        return Vec::new();
    };
    let units: Vec<&Unit> = footage.media.of(stream.pid).collect();
    let like = |unit: &Unit| Form::of(unit.codec, unit.payload());
    let ends = last.last().map(heard).zip(units.first());
    let shift = ends.and_then(|(span, first)| {
        let joins = unwrap_near(wrap(span.end), first.pts);
        let goes_on =
            (joins - first.pts).abs() <= MAX_GAP && like(first) == last.first().and_then(like);
        goes_on.then_some(joins - span.end)
    });
    match shift {
        Some(shift) => last.iter_mut().for_each(|unit| unit.pts += shift),
        None => last.clear(),
    }
    let mut muxer = Muxer::new(Program::of(stream), 0);
    for unit in last.iter().chain(units) {
        let mut unit = unit.clone();
        unit.pid = stream.pid;
        unit.pts += BEGINS - footage.shown;
        unit.dts = unit.pts;
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
    let all = units
        .map(heard)
        .reduce(|all, span| all.start.min(span.start)..all.end.max(span.end));
    all.unwrap_or_default()
}

/// From when until when a unit is heard, in ticks.
fn heard(unit: &Unit) -> Range<i64> {
    let frames = frames(unit.codec, unit.payload()).unwrap_or_default();
    let ends = frames.last().map_or(0, |frame| frame.after + frame.ticks);
    unit.pts..unit.pts + ends
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
