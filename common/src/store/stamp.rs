//! Whether a directory has changed since it was last looked at: who keeps a listing asks here
//! whether it still holds.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Kernels stamp files with a clock that ticks 100 to 1000 times a second: two changes within
/// a tick bear the same time.
const TICK: Duration = Duration::from_millis(20);

/// File systems that keep whole seconds (or two of them) show it by having no fraction.
const COARSE_TICK: Duration = Duration::from_secs(2);

/// What tells one state of a directory from another. The time of change cannot be set by
/// tools that copy directories with their times, the time of modification can: both count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    /// Seconds and nanoseconds since 1970.
    modified: (i64, i64),
    /// Seconds and nanoseconds since 1970.
    changed: (i64, i64),
}

impl Stamp {
    /// The stamp of a directory; `None` if there is none of that name.
    ///
    /// # Errors
    /// If the system cannot tell.
    pub fn of(directory: &Path) -> io::Result<Option<Stamp>> {
        let metadata = match std::fs::metadata(directory) {
            Ok(metadata) => metadata,
            Err(error) => {
                return match error.kind() {
                    io::ErrorKind::NotFound
                    | io::ErrorKind::NotADirectory
                    | io::ErrorKind::InvalidFilename => Ok(None),
                    _ => Err(error),
                };
            }
        };
        Ok(metadata.is_dir().then(|| Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }))
    }

    /// True iff any change after `now` gives another stamp: the last change is older than a
    /// tick of the file system's clock. `now` was read before this stamp was taken.
    #[must_use]
    pub fn is_settled(&self, now: SystemTime) -> bool {
        [self.modified, self.changed].into_iter().all(|time| {
            let tick = if time.1 == 0 { COARSE_TICK } else { TICK };
            // A time in the future (another machine's clock) is never old enough.
            now.duration_since(instant(time))
                .is_ok_and(|age| age > tick)
        })
    }
}

/// A file's time; the beginning of time if it lies before 1970.
fn instant((seconds, nanoseconds): (i64, i64)) -> SystemTime {
    let (Ok(seconds), Ok(nanoseconds)) = (u64::try_from(seconds), u32::try_from(nanoseconds))
    else {
        return UNIX_EPOCH;
    };
    UNIX_EPOCH
        .checked_add(Duration::new(seconds, nanoseconds))
        .unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn young_directories_are_not_settled() {
        let stamp = |modified, changed| Stamp {
            device: 1,
            inode: 2,
            modified,
            changed,
        };
        let now = UNIX_EPOCH + Duration::from_millis(100_500);
        let table = [
            ((100, 400_000_000), (100, 400_000_000), true),
            ((100, 479_000_000), (100, 479_000_000), true),
            ((100, 480_000_000), (100, 480_000_000), false),
            ((100, 500_000_000), (100, 500_000_000), false),
            // From the future.
            ((101, 1), (99, 1), false),
            // An old modification time that a tool has just set.
            ((50, 1), (100, 490_000_000), false),
            // Whole seconds.
            ((98, 0), (98, 0), true),
            ((99, 0), (99, 0), false),
            ((-5, 7), (-5, 7), true),
        ];
        for (modified, changed, settled) in table {
            let stamp = stamp(modified, changed);
            assert_eq!(stamp.is_settled(now), settled, "{stamp:?}");
        }
    }

    #[test]
    fn only_a_directory_has_one() {
        let base = tempfile::TempDir::new().unwrap();
        std::fs::write(base.path().join("file"), "").unwrap();
        assert!(Stamp::of(base.path()).unwrap().is_some());
        for absent in ["file", "file/below", "none", &"x".repeat(300)] {
            assert_eq!(Stamp::of(&base.path().join(absent)).unwrap(), None);
        }
    }
}
