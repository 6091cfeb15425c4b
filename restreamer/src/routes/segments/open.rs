//! Opens a file to be sent. Blocking.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::SystemTime;

use rustix::fs::{Mode, OFlags};

use crate::error::ApiError;

/// So much of a file tells what is in it.
const FIRST_BYTES: usize = 12;

/// An open file.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: File,
    /// In bytes, when it was opened; no more is sent of a file that grows.
    pub(super) length: u64,
    /// When it last changed, if the file system knows.
    pub(super) modified: Option<SystemTime>,
    /// Its first bytes; zeros past its end.
    pub(super) first_bytes: [u8; FIRST_BYTES],
}

/// Opens a file; `None` if there is none of that name, if it is not a regular file, or if a
/// tombstone hides it (SPEC §2).
///
/// Symbolic links are followed: operators keep channels on other disks by them.
pub(super) fn open(path: &Path) -> Result<Option<Opened>, ApiError> {
    // A pipe without a writer would keep the thread for ever but for NONBLOCK.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(error) => return not_there(error.into()),
    };
    let error = |error: io::Error| ApiError::internal("read the file", &error);
    let metadata = file.metadata().map_err(error)?;
    if !metadata.is_file() || is_buried(path) {
        return Ok(None);
    }
    let mut first_bytes = [0; FIRST_BYTES];
    let mut filled = 0;
    while filled < FIRST_BYTES {
        match file.read_at(&mut first_bytes[filled..], filled as u64) {
            Ok(0) => break,
            Ok(bytes) => filled += bytes,
            Err(interrupted) if interrupted.kind() == ErrorKind::Interrupted => {}
            Err(source) => return Err(error(source)),
        }
    }
    Ok(Some(Opened {
        length: metadata.len(),
        modified: metadata.modified().ok(),
        file,
        first_bytes,
    }))
}

/// True iff a tombstone says to treat the file as though it did not exist.
fn is_buried(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("ts" | "json")) && path.with_extension("tombstone").exists()
}

/// Tells a path that leads nowhere from a disk that fails.
fn not_there(error: io::Error) -> Result<Option<Opened>, ApiError> {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidFilename => Ok(None),
        // A socket or a device without a driver.
        _ if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => Ok(None),
        _ => Err(ApiError::internal("open the file", &error)),
    }
}
