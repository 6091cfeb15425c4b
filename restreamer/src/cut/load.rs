//! A segment's file as MPEG-TS, whatever it is: fragmented MP4 is put into other packets by
//! ffmpeg, without being decoded unless MPEG-TS cannot hold its pictures.

use std::ffi::OsString;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;

use futures::StreamExt as _;

use super::behind::blocking;
use super::exact::clip;
use super::fmp4;
use super::stretch::{Source, Stretch};
use crate::error::ApiError;
use crate::ffmpeg::{FfmpegError, Input, Job};
use crate::footage::Footage;
use crate::mpegts::TsError;
use crate::mpegts::audio::{AdtsForm, adts_form, frames};
use crate::mpegts::demux::Unit;
use crate::mpegts::mux::Muxer;
use crate::mpegts::tables::Codec;
use crate::mpegts::time::micros;
use crate::routes::segments::content_type;

/// More than that is no segment of some seconds, in bytes.
const MAX_BYTES: u64 = 512 << 20;

/// So many bytes at most are made of one.
const MOST_MADE: usize = 2 * MAX_BYTES as usize;

/// Nothing is decoded: it takes no longer than reading.
const COPIED: (&str, Duration) = ("-c copy", Duration::from_secs(30));

/// For pictures that MPEG-TS cannot hold (AV1), nearly as good as they are.
const CODED: (&str, Duration) = (
    "-c:v libx264 -preset veryfast -crf 16 -bf 0 -pix_fmt yuv420p -c:a copy",
    Duration::from_secs(120),
);

/// Why a segment cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// It cannot be read.
    #[error("cannot read {}: {error}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// It is no whole MPEG-TS.
    #[error("{}: {error}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        error: TsError,
    },
    /// No picture first appears in what was asked for.
    #[error("there is nothing between the start and the end")]
    Nothing,
    /// ffmpeg cannot make the MPEG-TS of it that is needed.
    #[error("{}: {error}", file.display())]
    Made {
        /// The file.
        file: PathBuf,
        /// What went wrong.
        error: FfmpegError,
    },
}

impl LoadError {
    /// True iff it is the segment's content.
    fn is_of_content(&self) -> bool {
        matches!(
            self,
            LoadError::Damaged { .. }
                | LoadError::Made {
                    error: FfmpegError::Failed { .. },
                    ..
                }
        )
    }
}

impl From<LoadError> for ApiError {
    fn from(error: LoadError) -> ApiError {
        match error {
            LoadError::Made {
                error: error @ (FfmpegError::Busy | FfmpegError::Missing(_)),
                ..
            } => error.into(),
            LoadError::Nothing => ApiError::NotAcceptable(error.to_string()),
            error => ApiError::internal("use a segment", &error),
        }
    }
}

/// A segment.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// Its packets.
    pub(crate) bytes: Vec<u8>,
    /// What is in them.
    pub(crate) footage: Footage,
}

/// Reads a segment and takes it apart. Its end may be missing if its name says so.
///
/// # Errors
/// [`LoadError`] names the file.
pub(crate) async fn load(job: &Job, source: &Source) -> Result<Loaded, LoadError> {
    let file = source.path.clone();
    let read = |error| LoadError::Read {
        file: file.clone(),
        error,
    };
    let path = file.clone();
    let bytes = blocking(move || {
        let length = std::fs::metadata(&path)?.len();
        if length > MAX_BYTES {
            let what = format!("it has {length} bytes, which is too much for a segment");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
        }
        std::fs::read(&path)
    });
    let bytes = bytes.await.map_err(read)?.map_err(read)?;
    if !bytes.first_chunk().is_some_and(content_type::is_mp4) {
        return apart(source, bytes).await;
    }
    let mp4 = Bytes::from(bytes);
    let is_full = source.segment.is_full();
    let made = async |how| {
        let made = remuxed(job, mp4.clone(), how, is_full).await;
        let made = made.map_err(|error| LoadError::Made {
            file: file.clone(),
            error,
        });
        apart(source, made?).await
    };
    let copied = made(COPIED).await;
    let is_lost = |loaded: &Loaded| !loaded.footage.main.codec.is_video();
    if copied
        .as_ref()
        .map_or_else(LoadError::is_of_content, is_lost)
        && has_pictures(&mp4)
    {
        return made(CODED).await;
    }
    copied
}

/// Takes packets apart.
async fn apart(source: &Source, bytes: Vec<u8>) -> Result<Loaded, LoadError> {
    let file = source.path.clone();
    let source = source.clone();
    let apart = blocking(move || {
        let footage = source.take_apart(&bytes);
        footage.map(|footage| Loaded { bytes, footage })
    });
    let apart = apart.await.map_err(|error| LoadError::Read {
        file: file.clone(),
        error,
    })?;
    apart.map_err(|error| LoadError::Damaged { file, error })
}

/// The stretch without its last segment, if that is cut short or doubtful and there is nothing in it
/// that can be used: as though it were not there. `None` if nothing is left. (After such a segment is
/// always a hole.)
///
/// # Errors
/// As [`load`], but for what is in it.
pub(crate) async fn usable(job: &Job, mut stretch: Stretch) -> Result<Option<Stretch>, LoadError> {
    let Some(last) = stretch.sources.pop_if(|last| !last.segment.is_full()) else {
        return Ok(Some(stretch));
    };
    match load(job, &last).await {
        Ok(_) => {
            stretch.sources.push(last);
            return Ok(Some(stretch));
        }
        Err(error) if error.is_of_content() => {
            tracing::warn!(%error, "left out of a cut: nothing of it can be used");
        }
        Err(error) => return Err(error),
    }
    stretch.until = stretch.until.min(last.segment.start());
    stretch.after = None;
    let is_left = !stretch.sources.is_empty() && stretch.from < stretch.until;
    Ok(is_left.then_some(stretch))
}

/// What its sound is like, as far as decoders have to be set up for it.
pub(crate) fn sound(footage: &Footage) -> Option<AdtsForm> {
    let mut units = footage.media.units.iter();
    let first = units.find(|unit| unit.codec.is_audio())?;
    (first.codec == Codec::Adts)
        .then(|| adts_form(first.payload()))
        .flatten()
}

/// Where sound comes from that a segment does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sound {
    /// From its own, of another form.
    Converted,
    /// From nowhere.
    Silence,
}

/// The same segment with sound of this form.
///
/// # Errors
/// [`LoadError`] names the file.
pub(crate) async fn with_sound(
    job: &Job,
    source: &Source,
    loaded: Loaded,
    form: AdtsForm,
    sound: Sound,
) -> Result<Loaded, LoadError> {
    let AdtsForm { rate, channels } = form;
    let from = match sound {
        Sound::Converted => "-map 0:v:0? -map 0:a:0".to_owned(),
        Sound::Silence => {
            let begins = micros(loaded.footage.shown);
            format!(
                "-itsoffset {begins}us -f lavfi -i anullsrc=r={rate} -map 0:v:0 -map 1:a:0 -shortest"
            )
        }
    };
    let arguments = format!(
        "-copyts -f mpegts -i pipe:0 {from} -c copy -c:a aac -b:a 192k -ar {rate} -ac {channels} \
         -muxdelay 0 -muxpreload 0 -f mpegts pipe:1"
    );
    let packets = Bytes::from(loaded.bytes);
    let bytes = made(job, "sound", &arguments, packets, CODED.1, true).await;
    let bytes = bytes.map_err(|error| LoadError::Made {
        file: source.path.clone(),
        error,
    });
    let alike = apart(source, bytes?).await?;
    if sound == Sound::Silence {
        return Ok(alike);
    }
    let span = sound_span(&loaded.footage);
    let trimmed = blocking(move || trimmed(alike.footage, loaded.footage.shown, span)).await;
    let trimmed = trimmed.map_err(|error| LoadError::Read {
        file: source.path.clone(),
        error,
    });
    apart(source, trimmed?).await
}

/// From when until when there is sound, in ticks.
fn sound_span(footage: &Footage) -> Range<i64> {
    let sound = footage.media.units.iter();
    let spans = sound.filter(|unit| unit.codec.is_audio()).map(|unit| {
        let frames = frames(unit.codec, unit.payload()).unwrap_or_default();
        let ends = frames.last().map_or(0, |frame| frame.after + frame.ticks);
        unit.pts..unit.pts + ends
    });
    let all = spans.reduce(|all, span| all.start.min(span.start)..all.end.max(span.end));
    all.unwrap_or_default()
}

/// Packets without what an encoder puts before and after the sound that it was given: with it, one
/// segment's would reach into the next one's. `shown` and `span` are of the segment as it was.
fn trimmed(mut footage: Footage, shown: i64, span: Range<i64>) -> Vec<u8> {
    footage.follow(shown);
    let units = footage.media.units.iter();
    let units = units.filter_map(|unit| match unit.codec.is_audio() {
        true => clip(unit, span.start, span.end),
        false => Some(unit.clone()),
    });
    let mut units: Vec<Unit> = units.collect();
    units.sort_by_key(|unit| unit.dts);
    let mut muxer = Muxer::new(footage.media.program, footage.media.lead);
    for unit in &units {
        muxer.add(unit);
    }
    muxer.packets()
}

fn has_pictures(mp4: &Bytes) -> bool {
    let read = |at: u64, buffer: &mut [u8]| {
        let rest = mp4.get(usize::try_from(at).unwrap_or(usize::MAX)..);
        let rest = rest.unwrap_or_default();
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    };
    let init = fmp4::init_length(mp4.len() as u64, read);
    init.is_ok_and(|init| fmp4::has_pictures(&mp4[..init as usize]))
}

/// MP4 as MPEG-TS. Of one that is not `is_full` as much as there is.
async fn remuxed(
    job: &Job,
    bytes: Bytes,
    (how, limit): (&str, Duration),
    is_full: bool,
) -> Result<Vec<u8>, FfmpegError> {
    let arguments = format!(
        "-f mp4 -i pipe:0 -map 0:v:0? -map 0:a:0? {how} -copyts -muxdelay 0 -muxpreload 0 -f mpegts pipe:1"
    );
    made(job, "remux", &arguments, bytes, limit, is_full).await
}

/// What ffmpeg makes of a segment; of one that is not `is_full` as much as it can.
async fn made(
    job: &Job,
    purpose: &'static str,
    arguments: &str,
    bytes: Bytes,
    limit: Duration,
    is_full: bool,
) -> Result<Vec<u8>, FfmpegError> {
    let arguments: Vec<OsString> = arguments.split_whitespace().map(Into::into).collect();
    // Another ffmpeg may wait for this one, and holds a permit meanwhile.
    let mut run = job.help(limit, purpose, arguments, Input::Bytes(vec![bytes]));
    let mut made = Vec::new();
    while let Some(chunk) = run.next().await {
        match chunk {
            Ok(chunk) => made.extend_from_slice(&chunk),
            // The last sample is not all there.
            Err(FfmpegError::Failed { .. }) if !is_full && !made.is_empty() => break,
            Err(error) => return Err(error),
        }
        if made.len() > MOST_MADE {
            return Err(FfmpegError::TooMuch { limit: MOST_MADE });
        }
    }
    Ok(made)
}
