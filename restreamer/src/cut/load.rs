//! A segment's file as MPEG-TS, whatever it is: fragmented MP4 is put into other packets by
//! ffmpeg, without being decoded.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;

use super::behind::blocking;
use super::stretch::Source;
use crate::error::ApiError;
use crate::ffmpeg::{FfmpegError, Input, Job};
use crate::footage::Footage;
use crate::mpegts::TsError;
use crate::routes::segments::content_type;

/// More than that is no segment of some seconds, in bytes.
const MAX_BYTES: u64 = 512 << 20;

/// Nothing is decoded: it takes no longer than reading.
const LIMIT: Duration = Duration::from_secs(30);

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
    /// It is MP4, and ffmpeg cannot make MPEG-TS of it.
    #[error("{}: {error}", file.display())]
    Mp4 {
        /// The file.
        file: PathBuf,
        /// What went wrong.
        error: FfmpegError,
    },
}

impl From<LoadError> for ApiError {
    fn from(error: LoadError) -> ApiError {
        match error {
            LoadError::Mp4 {
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
    let mut bytes = bytes.await.map_err(read)?.map_err(read)?;
    if bytes.first_chunk().is_some_and(content_type::is_mp4) {
        let made = remuxed(job, bytes.into()).await;
        bytes = made
            .map_err(|error| LoadError::Mp4 {
                file: file.clone(),
                error,
            })?
            .into();
    }
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

async fn remuxed(job: &Job, bytes: Bytes) -> Result<Bytes, FfmpegError> {
    let arguments = "-f mp4 -i pipe:0 -map 0:v:0? -map 0:a:0? -c copy -copyts -muxdelay 0 -muxpreload 0 \
                     -f mpegts pipe:1";
    let arguments: Vec<OsString> = arguments.split_whitespace().map(Into::into).collect();
    // Another ffmpeg may wait for this one, and holds a permit meanwhile.
    let run = job.help(LIMIT, "remux", arguments, Input::Bytes(vec![bytes]));
    run.whole(2 * MAX_BYTES as usize).await
}
