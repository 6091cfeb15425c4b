//! Opens a file to be sent. Blocking.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::shared::{FIRST_BYTES, Identity, OpenFiles, SharedFile};
use crate::error::ApiError;

/// Opens a file, or takes it from those who are being sent it; `None` if there is none of that
/// name, if it is not a regular file, or if a tombstone hides it (SPEC §2).
///
/// Symbolic links are followed: operators keep channels on other disks by them.
///
/// # Errors
/// 503 if too many are open, 500 if the disk fails.
pub(crate) fn open(
    files: &Arc<OpenFiles>,
    path: &Path,
) -> Result<Option<Arc<SharedFile>>, ApiError> {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => return not_there(error),
    };
    if !metadata.is_file() || is_buried(path) {
        return Ok(None);
    }
    if let Some(shared) = files.get(path, Identity::of(&metadata)) {
        return Ok(Some(shared));
    }
    if files.is_full() {
        return Err(ApiError::busy("too many files are being sent"));
    }
    // A pipe without a writer would keep the thread for ever but for NONBLOCK.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::MFILE | Errno::NFILE) => {
            return Err(ApiError::busy("too many files are open"));
        }
        // Once for each file that is there.
        Err(Errno::ACCESS) => return Err(ApiError::closed(path, &Errno::ACCESS)),
        Err(error) => return not_there(error.into()),
    };
    let error = |error: io::Error| ApiError::internal("read the file", &error);
    let metadata = file.metadata().map_err(error)?;
    if !metadata.is_file() {
        return Ok(None);
    }
    let first_bytes = first_bytes(&file).map_err(error)?;
    Ok(Some(files.add(path, file, &metadata, first_bytes)))
}

/// The first bytes of a file; zeros past its end.
fn first_bytes(file: &File) -> io::Result<[u8; FIRST_BYTES]> {
    let mut bytes = [0; FIRST_BYTES];
    let mut filled = 0;
    while filled < FIRST_BYTES {
        match file.read_at(&mut bytes[filled..], filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

/// True iff a tombstone says to treat the file as though it did not exist.
fn is_buried(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("ts" | "json")) && path.with_extension("tombstone").exists()
}

/// Tells a path that leads nowhere from one that is closed and from a disk that fails.
fn not_there<T>(error: io::Error) -> Result<Option<T>, ApiError> {
    // A socket or a device without a driver, and links that lead in a circle.
    const NOWHERE: [Errno; 2] = [Errno::NXIO, Errno::LOOP];
    let leads_nowhere = Errno::from_io_error(&error).is_some_and(|it| NOWHERE.contains(&it));
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidFilename => Ok(None),
        _ if leads_nowhere => Ok(None),
        // A directory on the way; what comes below it is whatever a client may think of.
        ErrorKind::PermissionDenied => Err(ApiError::Closed),
        _ => Err(ApiError::internal("open the file", &error)),
    }
}
