//! Temporary files of processes that were killed: found at start, and removed if nobody can be
//! writing them any more.
//!
//! A process of this suite holds a lock on each temporary file that it writes, and marks the
//! file as such by a UUID of version 8: once the lock is free, its writer is dead, and the file
//! can go at once. Of all others (wubloader's, or where the file system has no locks) only the
//! age tells.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use uuid::Uuid;

use super::listing::for_each_name;
use super::{Store, StoreError};
use crate::names::{Channel, PathPart};
use crate::segment::{Hour, Segment};

/// Nobody writes a segment for so long (SPEC §5: a getter gives up after 20 minutes).
const ABANDONED: Duration = Duration::from_secs(3600);

/// A file this young may not yet be locked by the process that has just made it. A clean-up
/// sooner than this after a crash misses what the crash left: look again later.
pub const FRESH: Duration = Duration::from_secs(5);

/// The UUID version that marks a file whose writer holds a lock on it.
pub(super) const LOCKED_UUID_VERSION: usize = 8;

/// What a clean-up did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// Files removed.
    pub removed: usize,
    /// Temporary files left alone, because somebody is or may be writing them.
    pub kept: usize,
}

impl Store {
    /// Removes a channel's temporary segments and chat batches whose writers are dead. Blocking, and slow on a
    /// week of recordings: it looks at every hour.
    ///
    /// # Errors
    /// If a directory cannot be listed. A file that cannot be removed is logged and counted as
    /// kept.
    pub fn remove_leftovers(&self, channel: &Channel) -> Result<Leftovers, StoreError> {
        self.remove_leftovers_while(channel, || true)
    }

    /// The same, for as long as `go_on` says so; it is asked before each hour.
    ///
    /// # Errors
    /// As [`Store::remove_leftovers`].
    pub fn remove_leftovers_while(
        &self,
        channel: &Channel,
        go_on: impl Fn() -> bool,
    ) -> Result<Leftovers, StoreError> {
        let mut leftovers = Leftovers::default();
        for quality in self.qualities(channel)? {
            for hour in self.hours(channel, &quality)? {
                if !go_on() {
                    return Ok(leftovers);
                }
                let directory = self.hour_directory(channel, &quality, hour);
                let mut temporary = Vec::new();
                for_each_name(&directory, |name, _| {
                    let uuid = match quality.is_chat() {
                        true => uuid_of_file(name),
                        false if name.contains("-temp-") => uuid_of_segment(hour, name),
                        false => None,
                    };
                    temporary.extend(uuid.map(|uuid| (name.to_owned(), uuid)));
                })?;
                for (name, uuid) in temporary {
                    leftovers.remove(&directory.join(name), uuid);
                }
            }
        }
        Ok(leftovers)
    }

    /// Removes the hidden temporary files below a directory whose writers are dead: what
    /// [`super::FileWriter::below`] has begun. No symbolic link is followed. Blocking.
    ///
    /// # Errors
    /// If the directory itself cannot be listed.
    pub fn remove_leftovers_below(&self, directory: &[PathPart]) -> Result<Leftovers, StoreError> {
        let mut leftovers = Leftovers::default();
        let mut root = self.base().to_path_buf();
        root.extend(directory);
        let mut pending = vec![root.clone()];
        while let Some(directory) = pending.pop() {
            let error = |source| StoreError::new("list", &directory, source);
            let entries = match fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) if directory == root => return Err(error(source)),
                Err(_) => continue,
            };
            for entry in entries.flatten() {
                let name = entry.file_name();
                let name = name.to_str().unwrap_or_default();
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    pending.push(entry.path());
                } else if let Some(uuid) = name.strip_prefix('.').and(uuid_of_file(name)) {
                    leftovers.remove(&entry.path(), uuid);
                }
            }
        }
        Ok(leftovers)
    }
}

impl Leftovers {
    fn remove(&mut self, file: &Path, uuid: Uuid) {
        let locked = uuid.get_version_num() == LOCKED_UUID_VERSION;
        match remove_if_dead(file, locked) {
            Some(removed) => {
                tracing::info!(file = %removed.display(), "removed a dead process's temporary file");
                self.removed += 1;
            }
            None => self.kept += 1,
        }
    }
}

/// The UUID in a temporary segment's name.
fn uuid_of_segment(hour: Hour, name: &str) -> Option<Uuid> {
    Segment::parse(hour, name).ok()?.uuid()
}

/// The UUID in `NAME.UUID.temp`.
fn uuid_of_file(name: &str) -> Option<Uuid> {
    let (_, uuid) = name.strip_suffix(".temp")?.rsplit_once('.')?;
    Uuid::try_parse(uuid).ok()
}

/// Removes a temporary file unless somebody may be writing it; its path if it is gone now.
fn remove_if_dead(file: &Path, lock_tells: bool) -> Option<PathBuf> {
    let opened = File::open(file).ok()?;
    let modified = opened.metadata().and_then(|m| m.modified()).ok()?;
    // A file from the future (the clock was set back) counts as fresh. A fresh one is not even
    // locked for a moment: its writer may be about to.
    let age = SystemTime::now().duration_since(modified).ok()?;
    if age < FRESH {
        return None;
    }
    let dead = match opened.try_lock() {
        Ok(()) if lock_tells => true,
        Err(TryLockError::WouldBlock) => false,
        Ok(()) | Err(TryLockError::Error(_)) => age >= ABANDONED,
    };
    if !dead {
        return None;
    }
    match fs::remove_file(file) {
        Ok(()) => Some(file.to_owned()),
        Err(error) => {
            tracing::warn!(file = %file.display(), %error, "cannot remove a dead process's temporary file");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::SegmentDuration;

    #[test]
    fn only_what_nobody_can_be_writing_is_removed() {
        let base = tempfile::TempDir::new().unwrap();
        let store = Store::new(base.path());
        let channel = Channel::new("c").unwrap();
        let directory = base.path().join("c/source/2026-01-02T03");
        fs::create_dir_all(&directory).unwrap();
        let start = "2026-01-02T03"
            .parse::<crate::segment::Hour>()
            .unwrap()
            .start();
        let duration = SegmentDuration::from_secs(2.0).unwrap();
        let (ours, foreign) = (Uuid::new_v8([7; 16]), Uuid::new_v4());
        let minutes = |n: u64| Duration::from_secs(n * 60);
        // (whose, age, still locked, removed)
        let table = [
            (ours, Duration::ZERO, false, false),
            (ours, minutes(1), false, true),
            (ours, minutes(90), true, false),
            (foreign, minutes(50), false, false),
            (foreign, minutes(70), false, true),
            (foreign, minutes(70), true, false),
        ];
        for (uuid, age, locked, removed) in table {
            let path = directory.join(Segment::temp(start, duration, uuid).to_string());
            let file = File::create_new(&path).unwrap();
            file.set_modified(SystemTime::now() - age).unwrap();
            if locked {
                file.lock().unwrap();
            }
            let keep = locked.then_some(file);
            let done = store.remove_leftovers(&channel).unwrap();
            let row = format!("{uuid} {age:?} locked {locked}");
            assert_eq!(done.removed, usize::from(removed), "{row}");
            assert_eq!(done.kept, usize::from(!removed), "{row}");
            assert_eq!(path.exists(), !removed, "{row}");
            drop(keep);
            let _ = fs::remove_file(&path);
        }
        // Final files and unknown ones are nobody's leftovers.
        let hash = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
        let full = directory.join(format!("00:00.000000-2.0-full-{hash}.ts"));
        let unknown = directory.join("x-temp-y.ts");
        for path in [&full, &unknown] {
            let file = File::create(path).unwrap();
            file.set_modified(SystemTime::now() - minutes(999)).unwrap();
        }
        assert_eq!(
            store.remove_leftovers(&channel).unwrap(),
            Leftovers::default()
        );
        assert!(full.exists() && unknown.exists());
    }

    #[test]
    fn batches_and_files_below_a_directory_go_too() {
        let base = tempfile::TempDir::new().unwrap();
        let store = Store::new(base.path());
        let uuid = Uuid::new_v8([7; 16]);
        let put = |path: &str| {
            let path = base.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let file = File::create_new(&path).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(60))
                .unwrap();
            path
        };
        let batch = put(&format!("c/chat/2026-01-02T03/x.json.{uuid}.temp"));
        let others = [
            put("c/chat/2026-01-02T03/x.json.temp"),
            put(&format!("extras/a/x.{uuid}.tmp")),
            put(&format!("extras/a/x.txt.{uuid}.temp")),
        ];
        let deep = put(&format!("extras/a/b/.{uuid}.temp"));
        let channel = Channel::new("c").unwrap();
        assert_eq!(store.remove_leftovers(&channel).unwrap().removed, 1);
        let extras = [PathPart::new("extras").unwrap()];
        assert_eq!(store.remove_leftovers_below(&extras).unwrap().removed, 1);
        assert!(!batch.exists() && !deep.exists());
        assert!(others.iter().all(|file| file.exists()));
        let missing = [PathPart::new("none").unwrap()];
        let nothing = store.remove_leftovers_below(&missing).unwrap();
        assert_eq!(nothing, Leftovers::default());
    }
}
