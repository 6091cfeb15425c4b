//! A file on its way to its final name, whatever it holds: a temporary file, hashed while it is
//! written, on disk before it gets its final name, gone if anything goes wrong.
//!
//! Writing and hashing happen on a blocking thread, one piece at a time, while the next piece
//! comes in from the network. Whoever holds the file also holds a guard that removes it: be it
//! the writer or, when a future was dropped in the middle, the blocking thread.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use tokio::task::JoinHandle;

use super::{CommitError, StoreError};
use crate::segment::SegmentHash;

/// Pieces go to the disk when they add up to so many bytes: few hand-overs between threads,
/// and at most twice this much memory for each file being written.
pub(super) const PIECE: usize = 512 * 1024;

/// A file that is being written. Dropping it, anywhere, removes what was written.
#[derive(Debug)]
pub(super) struct Spool {
    state: State,
    pending: Vec<Bytes>,
    pending_bytes: usize,
    bytes: u64,
}

/// Who has the file.
#[derive(Debug)]
enum State {
    Idle(Sink),
    /// A blocking thread, which gives it back.
    Busy(JoinHandle<Result<Sink, StoreError>>),
    /// Nobody: writing failed and the file is gone.
    Failed,
}

impl Spool {
    /// Begins a file: `directory` exists afterwards, and the file `temp` in it. `check` looks at
    /// the directory before anything is made.
    pub(super) async fn create(
        directory: PathBuf,
        temp: &str,
        check: impl FnOnce() -> Result<(), StoreError> + Send + 'static,
    ) -> Result<Spool, StoreError> {
        let path = directory.join(temp);
        let create = {
            let path = path.clone();
            move || {
                check()?;
                Sink::create(directory, path)
            }
        };
        let sink = blocking(path, create).await?;
        Ok(Spool {
            state: State::Idle(sink),
            pending: Vec::new(),
            pending_bytes: 0,
            bytes: 0,
        })
    }

    /// Adds to the file.
    pub(super) async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        self.bytes += bytes.len() as u64;
        self.pending_bytes += bytes.len();
        self.pending.push(bytes);
        if self.pending_bytes >= PIECE {
            self.flush().await?;
        }
        Ok(())
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives the file the name that `named` makes of its content's hash. Also gives what else
    /// `named` made, and whether a file of that name was there before.
    pub(super) async fn finish<T: Send + 'static>(
        mut self,
        named: impl FnOnce(SegmentHash) -> Result<(String, T), CommitError> + Send + 'static,
    ) -> Result<(T, bool), CommitError> {
        let mut sink = self.sink().await?;
        let pending = std::mem::take(&mut self.pending);
        let path = sink.temp.path.clone();
        let committed = blocking(path, move || {
            sink.write_all(&pending)?;
            Ok(sink.commit(named))
        });
        committed.await?
    }

    /// True iff there is a file of the name that `named` makes of the content's hash; either way
    /// nothing is left of what was written.
    pub(super) async fn only_compare(
        mut self,
        named: impl FnOnce(SegmentHash) -> String + Send + 'static,
    ) -> Result<bool, StoreError> {
        let mut sink = self.sink().await?;
        let pending = std::mem::take(&mut self.pending);
        let path = sink.temp.path.clone();
        let look = move || {
            sink.write_all(&pending)?;
            let hash = sink.hash();
            let path = sink.directory.join(named(hash));
            let there = path.try_exists();
            there.map_err(|error| StoreError::new("look for", &path, error))
        };
        blocking(path, look).await
    }

    /// Hands what is pending to a blocking thread, once the one before is done.
    async fn flush(&mut self) -> Result<(), StoreError> {
        let mut sink = self.sink().await?;
        let pending = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        self.state = State::Busy(tokio::task::spawn_blocking(move || {
            sink.write_all(&pending)?;
            Ok(sink)
        }));
        Ok(())
    }

    /// The file, once nobody else has it. Dropping the future in the middle loses nothing: the
    /// handle stays in the state until it has answered.
    async fn sink(&mut self) -> Result<Sink, StoreError> {
        if let State::Busy(handle) = &mut self.state {
            let outcome = handle.await;
            self.state = State::Failed;
            let sink = outcome.map_err(|error| lost(Path::new(""), error))?;
            return sink;
        }
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Idle(sink) => Ok(sink),
            _ => Err(lost(Path::new(""), "an earlier write failed")),
        }
    }
}

fn lost(path: &Path, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::new("write", path, io::Error::other(why))
}

async fn blocking<T: Send + 'static>(
    path: PathBuf,
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        // The runtime is shutting down, or `work` panicked.
        Err(error) => Err(lost(&path, error)),
    }
}

/// So often a directory is made that another writer, who had to give up, removes again at once.
const ATTEMPTS: usize = 100;

/// Makes a file, and its directory if there is none. Whoever gives up a file removes the directory
/// if that is empty then, which may be just before we make ours in it.
pub(super) fn create_new(directory: &Path, path: &Path) -> Result<File, StoreError> {
    let mut attempts = 0;
    loop {
        match File::create_new(path) {
            // As a rule the directory is there.
            Err(error) if error.kind() == io::ErrorKind::NotFound && attempts < ATTEMPTS => {
                attempts += 1;
                match fs::create_dir_all(directory) {
                    // It was there, and was gone when it was looked at.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    made => made
                        .map_err(|error| StoreError::new("make the directory", directory, error))?,
                }
            }
            made => return made.map_err(|error| StoreError::new("make the file", path, error)),
        }
    }
}

/// A file that goes when this is dropped, unless it was kept; an hour of which nothing could be had is
/// no hour that we have, so that a directory goes with the last file in it.
#[derive(Debug)]
struct TempFile {
    path: PathBuf,
    kept: bool,
}

impl Drop for TempFile {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(file = %self.path.display(), %error, "cannot remove a temporary file");
        } else if let Some(directory) = self.path.parent() {
            // As a rule there is something else in it.
            let _ = fs::remove_dir(directory);
        }
    }
}

/// An open temporary file and the hash of what is in it.
#[derive(Debug)]
pub(super) struct Sink {
    // Dropped in this order: the name goes before the lock on the open file does.
    temp: TempFile,
    file: File,
    hasher: Sha256,
    directory: PathBuf,
}

impl Sink {
    pub(super) fn create(directory: PathBuf, path: PathBuf) -> Result<Sink, StoreError> {
        let file = create_new(&directory, &path)?;
        let temp = TempFile { path, kept: false };
        // Tells `remove_leftovers` that we live. A file system without locks is no reason not
        // to record: there the file's age tells.
        let _ = file.try_lock();
        Ok(Sink {
            temp,
            file,
            hasher: Sha256::new(),
            directory,
        })
    }

    fn write_all(&mut self, pieces: &[Bytes]) -> Result<(), StoreError> {
        for piece in pieces {
            self.hasher.update(piece);
            self.file
                .write_all(piece)
                .map_err(|error| StoreError::new("write", &self.temp.path, error))?;
        }
        Ok(())
    }

    fn hash(&mut self) -> SegmentHash {
        SegmentHash::from_bytes(std::mem::take(&mut self.hasher).finalize().into())
    }

    /// What `named` made, and whether the file was there before.
    fn commit<T>(
        mut self,
        named: impl FnOnce(SegmentHash) -> Result<(String, T), CommitError>,
    ) -> Result<(T, bool), CommitError> {
        let (name, made) = named(self.hash())?;
        let path = self.directory.join(name);
        let error = |action, source| StoreError::new(action, &path, source);
        if path.try_exists().map_err(|e| error("look for", e))? {
            return Ok((made, true));
        }
        self.file.sync_data().map_err(|e| error("sync", e))?;
        let existed = rename_to_new(&self.temp.path, &path);
        let existed = existed.map_err(|e| error("rename a file to", e))?;
        self.temp.kept = !existed;
        Ok((made, existed))
    }
}

/// Renames a file unless there is one of the new name, which stays as it is. True iff there is.
fn rename_to_new(old: &Path, new: &Path) -> io::Result<bool> {
    match renameat_with(CWD, old, CWD, new, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(false),
        Err(Errno::EXIST) => Ok(true),
        // The file system cannot do both at once. What comes in between has, by its name, the
        // same content.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => fs::rename(old, new).map(|()| false),
        Err(error) => Err(error.into()),
    }
}
