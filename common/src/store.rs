//! A base directory (SPEC §2): what is in it, where a file of it lies, and the one writer that
//! gives a segment its final name. Blocking: call the listings from a blocking thread.

mod deletion;
mod file;
mod leftovers;
mod listing;
mod notes;
mod sink;
mod stamp;
mod tombstones;
mod writer;

use std::collections::HashSet;
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use prometheus::IntCounterVec;

pub use deletion::DeletedHour;
pub use file::FileWriter;
pub use leftovers::{FRESH, Leftovers};
pub use listing::{HourListing, HourNames};
pub use stamp::Stamp;
pub use writer::{CommitError, Committed, SegmentWriter};

use crate::metrics;
use crate::names::{Channel, NameError, PathPart, Quality};
use crate::segment::{Hour, SegmentPath};

/// So many unknown files are remembered as logged; past that, new ones are only counted.
const MAX_REMEMBERED_UNKNOWN: usize = 10_000;

static UNKNOWN_FILES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    metrics::counter(
        "unknown_files",
        "Files below the base directory that are none of ours, each counted once",
        &["channel", "quality"],
    )
});

/// What went wrong with which file or directory.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", .path.display())]
pub struct StoreError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl StoreError {
    fn new(action: &'static str, path: &Path, source: io::Error) -> StoreError {
        StoreError {
            action,
            path: path.to_owned(),
            source,
        }
    }

    /// The file or directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The operating system's word for it.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

/// A base directory. Cheap to clone; clones share what they have logged.
#[derive(Debug, Clone)]
pub struct Store {
    base: Arc<Path>,
    unknown: Arc<Mutex<HashSet<PathBuf>>>,
}

impl Store {
    /// The store below a base directory, which need not exist yet. No I/O.
    #[must_use]
    pub fn new(base: &Path) -> Store {
        Store {
            base: base.into(),
            unknown: Arc::default(),
        }
    }

    /// The base directory.
    #[must_use]
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// Where an hour's files lie.
    #[must_use]
    pub fn hour_directory(&self, channel: &Channel, quality: &Quality, hour: Hour) -> PathBuf {
        let mut path = self.base.join(channel);
        path.push(quality);
        path.push(hour.to_string());
        path
    }

    /// Where a segment's file lies.
    #[must_use]
    pub fn file(&self, path: &SegmentPath) -> PathBuf {
        let SegmentPath {
            channel,
            quality,
            segment,
        } = path;
        let mut file = self.hour_directory(channel, quality, segment.hour());
        file.push(segment.to_string());
        file
    }

    /// Where a path from a request lies: its parts are separated by `/`, already percent-decoded.
    ///
    /// # Errors
    /// [`NameError`] if a part could leave the base or is hidden, or if there is none.
    ///
    /// ```
    /// use std::path::Path;
    /// let store = common::store::Store::new(Path::new("/srv"));
    /// assert_eq!(store.resolve("a/b.ts").unwrap(), Path::new("/srv/a/b.ts"));
    /// assert!(store.resolve("a/../../etc/passwd").is_err());
    /// assert!(store.resolve("/etc/passwd").is_err());
    /// ```
    pub fn resolve(&self, path: &str) -> Result<PathBuf, NameError> {
        let mut file = self.base.to_path_buf();
        for part in path.split('/') {
            file.push(PathPart::new(part)?);
        }
        Ok(file)
    }

    /// Counts and logs an unknown file, once (SPEC §2).
    pub fn note_unknown(&self, file: PathBuf, channel: &str, quality: &str) {
        // A poisoned set is still a set.
        let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        if unknown.contains(&file) {
            return;
        }
        UNKNOWN_FILES.with_label_values(&[channel, quality]).inc();
        if unknown.len() < MAX_REMEMBERED_UNKNOWN {
            // In quotes: whoever made it may have put a line's end into its name.
            tracing::info!(?file, "skipped a file that is none of ours");
            unknown.insert(file);
        }
    }
}

/// Logs a path that cannot be read and is done without, once for each process.
pub fn note_unreadable(path: &Path, error: &dyn Display) {
    static NOTED: LazyLock<Mutex<HashSet<PathBuf>>> = LazyLock::new(Mutex::default);
    // A poisoned set is still a set.
    let mut noted = NOTED.lock().unwrap_or_else(PoisonError::into_inner);
    if noted.len() < MAX_REMEMBERED_UNKNOWN && noted.insert(path.to_owned()) {
        tracing::warn!(?path, %error, "left out what cannot be read");
    }
}
