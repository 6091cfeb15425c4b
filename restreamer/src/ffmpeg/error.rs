//! Why ffmpeg did not do what it was for.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::ApiError;

/// Why ffmpeg did not do what it was for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FfmpegError {
    /// As many as may run or wait do.
    #[error("too many requests wait for ffmpeg")]
    Busy,
    /// There is no such program.
    #[error("there is no program {}: install ffmpeg, or name it by --ffmpeg", .0.display())]
    Missing(PathBuf),
    /// It could not be started, or not be read.
    #[error("cannot run ffmpeg: {0}")]
    Run(io::Error),
    /// What it was to read could not be had.
    #[error("cannot read what ffmpeg needs: {0}")]
    Input(io::Error),
    /// It says that it failed.
    #[error("ffmpeg ended with {status}: {lines}")]
    Failed {
        /// Its exit code, or the signal that ended it.
        status: String,
        /// What it said last.
        lines: String,
    },
    /// It ran longer than it may.
    #[error("ffmpeg took longer than {} s", .0.as_secs())]
    TooLong(Duration),
    /// It neither wrote anything nor ended.
    #[error("ffmpeg stood still for {} s", .0.as_secs())]
    StoodStill(Duration),
    /// It wrote more than anybody would want.
    #[error("ffmpeg wrote more than {limit} bytes")]
    TooMuch {
        /// What it may write.
        limit: usize,
    },
}

impl From<FfmpegError> for ApiError {
    fn from(error: FfmpegError) -> ApiError {
        match error {
            FfmpegError::Busy => ApiError::busy("too many requests wait for ffmpeg"),
            FfmpegError::Missing(_) => ApiError::Unavailable(error.to_string()),
            error => ApiError::internal("decode or encode this with ffmpeg", &error),
        }
    }
}

impl From<FfmpegError> for io::Error {
    fn from(error: FfmpegError) -> io::Error {
        io::Error::other(error.to_string())
    }
}
