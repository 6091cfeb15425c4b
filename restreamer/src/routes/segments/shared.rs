//! Files on their way to clients, each opened once however many get it at the same time: ten
//! thousand slow clients of one segment take one descriptor beside their connections.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::SystemTime;

/// So much of a file tells what is in it.
pub(crate) const FIRST_BYTES: usize = 12;

/// The type of a `tmpfs` (statfs(2)).
const TMPFS: rustix::fs::FsWord = 0x0102_1994;

/// What tells a file, in its present state, from any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    length: u64,
    /// Seconds and nanoseconds since 1970.
    changed: (i64, i64),
}

impl Identity {
    pub(super) fn of(metadata: &Metadata) -> Identity {
        Identity {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// The files that are being sent now.
#[derive(Debug)]
pub(crate) struct OpenFiles {
    files: Mutex<HashMap<PathBuf, Weak<SharedFile>>>,
    limit: usize,
}

impl OpenFiles {
    /// None yet, and at most about `limit` of them.
    pub(crate) fn new(limit: usize) -> OpenFiles {
        OpenFiles {
            files: Mutex::default(),
            limit,
        }
    }

    /// True iff no further one should be opened.
    pub(super) fn is_full(&self) -> bool {
        self.files().len() >= self.limit
    }

    /// The open file of that name, if it is still this one.
    pub(super) fn get(&self, path: &Path, identity: Identity) -> Option<Arc<SharedFile>> {
        let file = self.files().get(path)?.upgrade()?;
        (file.identity == identity).then_some(file)
    }

    /// Adds a file that was just opened.
    pub(super) fn add(
        self: &Arc<Self>,
        path: &Path,
        file: File,
        metadata: &Metadata,
        first_bytes: [u8; FIRST_BYTES],
    ) -> Arc<SharedFile> {
        let shared = Arc::new(SharedFile {
            file,
            is_in_tmpfs: OnceLock::new(),
            length: metadata.len(),
            modified: metadata.modified().ok(),
            first_bytes,
            identity: Identity::of(metadata),
            path: path.to_owned(),
            home: Arc::clone(self),
        });
        let mut files = self.files();
        files.insert(path.to_owned(), Arc::downgrade(&shared));
        drop(files);
        shared
    }

    fn files(&self) -> MutexGuard<'_, HashMap<PathBuf, Weak<SharedFile>>> {
        // Every change of it is complete before anything can panic.
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An open file.
#[derive(Debug)]
pub(crate) struct SharedFile {
    file: File,
    /// Known once somebody wanted to know.
    is_in_tmpfs: OnceLock<bool>,
    /// In bytes, when it was opened; no more is sent of a file that grows.
    pub(crate) length: u64,
    /// When it last changed, if the file system knows.
    pub(super) modified: Option<SystemTime>,
    /// Its first bytes; zeros past its end.
    pub(crate) first_bytes: [u8; FIRST_BYTES],
    identity: Identity,
    path: PathBuf,
    home: Arc<OpenFiles>,
}

impl SharedFile {
    /// The file itself.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// True iff it lies in a `tmpfs`: in memory, unless that was too little for all (swap).
    pub(super) fn is_in_tmpfs(&self) -> bool {
        *self.is_in_tmpfs.get_or_init(|| {
            let system = rustix::fs::fstatfs(&self.file);
            system.is_ok_and(|system| system.f_type == TMPFS)
        })
    }
}

impl AsFd for SharedFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for SharedFile {
    fn drop(&mut self) {
        let mut files = self.home.files();
        // Another one of that name may have come since.
        if files
            .get(&self.path)
            .is_some_and(|file| file.strong_count() == 0)
        {
            files.remove(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_is_open_once_until_it_changes_or_nobody_needs_it() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("x");
        std::fs::write(&path, "one").unwrap();
        let files = Arc::new(OpenFiles::new(2));
        let open = || {
            let file = File::open(&path).unwrap();
            let metadata = file.metadata().unwrap();
            let known = files.get(&path, Identity::of(&metadata));
            known.unwrap_or_else(|| files.add(&path, file, &metadata, [0; FIRST_BYTES]))
        };
        let (first, second) = (open(), open());
        assert!(Arc::ptr_eq(&first, &second));
        std::fs::write(&path, "more").unwrap();
        let third = open();
        assert!(!Arc::ptr_eq(&first, &third));
        assert_eq!((first.length, third.length), (3, 4));
        drop((first, second));
        assert!(Arc::ptr_eq(&third, &open()));
        assert!(!files.is_full());
        drop(third);
        assert!(files.files().is_empty());
    }
}
