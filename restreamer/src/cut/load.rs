//! A segment's file as MPEG-TS, whatever it is: fragmented MP4 is put into other packets by
//! ffmpeg, without being decoded unless MPEG-TS cannot hold its pictures; packed audio by us.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;

use common::segment::MAX_BYTES;
use futures::StreamExt as _;

use super::behind::blocking;
use super::fmp4::{self, Pictures};
use super::stretch::{Source, Stretch};
use crate::error::ApiError;
use crate::ffmpeg::{FfmpegError, Input, Job};
use crate::footage::Footage;
use crate::mpegts::packed;
use crate::mpegts::packet::{PACKET, packets};
use crate::mpegts::renumber::program_of;
use crate::mpegts::{Problem, TsError};
use crate::routes::segments::content_type;

/// So much of a file is looked at at once for pictures, in bytes.
const CHUNK: usize = 4096 * PACKET;

/// So many bytes at most are made of one.
pub(super) const MOST_MADE: usize = 2 * MAX_BYTES as usize;

/// How MPEG-TS is made of MP4.
struct How {
    purpose: &'static str,
    arguments: &'static str,
    limit: Duration,
}

/// Nothing is decoded: it takes no longer than reading.
const COPIED: How = How {
    purpose: "remux",
    arguments: "-c copy",
    limit: Duration::from_secs(30),
};

/// For pictures that MPEG-TS cannot hold (AV1), nearly as good as they are, and each at its time.
const CODED: How = How {
    purpose: "transcode",
    arguments: "-c:v libx264 -preset veryfast -crf 16 -bf 0 -pix_fmt yuv420p -fps_mode passthrough \
                -enc_time_base:v 1:90000 -c:a copy",
    limit: Duration::from_secs(120),
};

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
        ) && !self.is_of_process()
    }

    /// True iff ffmpeg was ended by somebody else, for want of memory say.
    fn is_of_process(&self) -> bool {
        let LoadError::Made { error, .. } = self else {
            return false;
        };
        matches!(error, FfmpegError::Failed { status, .. } if status.starts_with("signal"))
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
            // Nothing is broken, and nobody can do it.
            LoadError::Damaged { file, error } if matches!(error.problem, Problem::NoTime(_)) => {
                let name = file.file_name().unwrap_or_default();
                ApiError::NotAcceptable(format!("{}: {error}", name.display()))
            }
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
    let made = async |how: &How| {
        let made = remuxed(job, mp4.clone(), how, is_full).await;
        let made = made.map_err(|error| LoadError::Made {
            file: file.clone(),
            error,
        });
        apart(source, made?).await
    };
    match pictures(&mp4) {
        Some(Pictures::Unknown) => made(&CODED).await,
        _ => made(&COPIED).await,
    }
}

/// Takes packets apart.
async fn apart(source: &Source, bytes: Vec<u8>) -> Result<Loaded, LoadError> {
    let file = source.path.clone();
    let source = source.clone();
    let apart = blocking(move || {
        let apart = source.take_apart(packed::unpacked(&bytes).unwrap_or(bytes));
        apart.map(|(bytes, footage)| Loaded { bytes, footage })
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

/// Stretches without segments at their start which announce pictures and have none (an encoder
/// falters): what is coded anew is made like its first segment. One in which none has any is left as it
/// is.
pub(super) async fn from_first_pictures(stretches: Vec<Stretch>) -> Vec<Stretch> {
    let fallback = stretches.clone();
    let work = blocking(move || {
        let mut stretches = stretches;
        for stretch in &mut stretches {
            let first = stretch.sources.iter().position(|it| !lacks_pictures(it));
            let lacking = stretch.sources.drain(..first.unwrap_or(0));
            stretch.before.extend(lacking);
        }
        stretches
    });
    work.await.unwrap_or(fallback)
}

/// True iff a segment of MPEG-TS announces pictures and no packet of it has any. Of what cannot be read
/// others will tell.
fn lacks_pictures(source: &Source) -> bool {
    File::open(&source.path).is_ok_and(|file| announces_alone(file).unwrap_or(false))
}

/// The same of a file, of which no more is in memory than it takes.
fn announces_alone(mut file: impl Read) -> io::Result<bool> {
    let mut pictures = None;
    loop {
        let mut bytes = Vec::with_capacity(CHUNK);
        file.by_ref().take(CHUNK as u64).read_to_end(&mut bytes)?;
        if bytes.is_empty() {
            return Ok(pictures.is_some());
        }
        // What is in a segment stands at its start.
        let announced = || program_of(&bytes).and_then(|program| program.video());
        let Some(video) = pictures.or_else(announced) else {
            return Ok(false);
        };
        pictures = Some(video);
        let mut packets = packets(&bytes).filter_map(|(_, packet)| packet.ok());
        if packets.any(|packet| packet.pid() == video.pid && packet.has_payload()) {
            return Ok(false);
        }
    }
}

/// What kind of pictures a file of MP4 has, if it has any.
fn pictures(mp4: &Bytes) -> Option<Pictures> {
    let init = fmp4::init_length(mp4.len() as u64, fmp4::reader(mp4)).ok()?;
    fmp4::pictures(&mp4[..init as usize])
}

/// MP4 as MPEG-TS. Of one that is not `is_full` as much as there is.
async fn remuxed(
    job: &Job,
    bytes: Bytes,
    how: &How,
    is_full: bool,
) -> Result<Vec<u8>, FfmpegError> {
    let arguments = format!(
        "-threads {threads} -f mp4 -i pipe:0 -map 0:v:0? -map 0:a:0? {} -threads {threads} -copyts -muxdelay 0 \
         -muxpreload 0 -f mpegts pipe:1",
        how.arguments,
        threads = job.threads(),
    );
    let arguments: Vec<OsString> = arguments.split_whitespace().map(Into::into).collect();
    // Another ffmpeg may wait for this one, and holds a permit meanwhile.
    let mut run = job.help(how.limit, how.purpose, arguments, Input::Bytes(vec![bytes]));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mpegts::demux::Unit;
    use crate::mpegts::mux::Muxer;
    use crate::mpegts::tables::{Codec, Program, Stream};

    #[test]
    fn pictures_are_looked_for_piece_by_piece() {
        let (pid, codec) = (0x100, Codec::H264);
        let mut muxer = Muxer::new(Program::of(Stream { pid, codec }), 0);
        muxer.add(&Unit::new(pid, codec, 0xe0, 0, 0, vec![0, 0, 1, 0x65]));
        let all = muxer.packets();
        let (announced, picture) = all.split_at(2 * PACKET);
        let mut filling = [0xff; PACKET];
        filling[..4].copy_from_slice(&[0x47, 0x1f, 0xff, 0x10]);
        let filling = filling.repeat(4096);
        let announces_alone = |bytes: &[u8]| announces_alone(bytes).unwrap();
        assert!(announces_alone(&[announced, &filling].concat()));
        assert!(!announces_alone(&[announced, &filling, picture].concat()));
        assert!(!announces_alone(&filling) && !announces_alone(&[]));
    }
}
