//! How much room is left where recordings go: the first thing that a recorder runs out of.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use prometheus::{IntGauge, IntGaugeVec};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::metrics;

/// Between two looks: Prometheus asks about as often.
const INTERVAL: Duration = Duration::from_secs(15);

static FREE: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    let help = "Bytes that this user may still write to the base directory's file system";
    metrics::gauge("disk_free_bytes", help, &[])
});

static SIZE: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    let help = "Bytes of the base directory's file system";
    metrics::gauge("disk_size_bytes", help, &[])
});

/// The room on a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// What this user may still write; root may write more.
    pub free: u64,
    /// All of it.
    pub size: u64,
}

impl Room {
    /// The room on the file system of a directory; `None` if the system does not say. Blocking:
    /// a disk that hangs does not answer.
    #[must_use]
    pub fn at(directory: &Path) -> Option<Room> {
        let disk = rustix::fs::statvfs(directory).ok()?;
        Some(Room {
            free: disk.f_bavail.checked_mul(disk.f_frsize)?,
            size: disk.f_blocks.checked_mul(disk.f_frsize)?,
        })
    }
}

/// Keeps the gauges of the base directory's file system true until `shutdown`. They are absent
/// while nobody can say; the page of metrics itself never waits for a disk.
pub async fn watch(base: PathBuf, shutdown: CancellationToken) {
    loop {
        let directory = base.clone();
        let looked = tokio::task::spawn_blocking(move || Room::at(&directory));
        let room = tokio::select! {
            room = looked => room.ok().flatten(),
            () = shutdown.cancelled() => return,
        };
        show(room);
        tokio::select! {
            () = sleep(INTERVAL) => {}
            () = shutdown.cancelled() => return,
        }
    }
}

fn show(room: Option<Room>) {
    let none: &[&str] = &[];
    let Some(Room { free, size }) = room else {
        // An error says that they are absent already.
        let _ = (
            FREE.remove_label_values(none),
            SIZE.remove_label_values(none),
        );
        return;
    };
    let set = |gauge: IntGauge, bytes| gauge.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    set(FREE.with_label_values(none), free);
    set(SIZE.with_label_values(none), size);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> String {
        String::from_utf8(metrics::page()).unwrap()
    }

    #[test]
    fn the_gauges_are_there_while_the_disk_says() {
        let directory = tempfile::tempdir().unwrap();
        let room = Room::at(directory.path()).unwrap();
        assert!(room.size > 0 && room.free <= room.size, "{room:?}");
        show(Some(Room { free: 3, size: 7 }));
        let shown = page();
        assert!(shown.contains("\ndisk_free_bytes 3\n"), "{shown}");
        assert!(shown.contains("\ndisk_size_bytes 7\n"), "{shown}");
        assert_eq!(Room::at(&directory.path().join("none")), None);
        show(None);
        assert!(!page().contains("\ndisk_free_bytes "));
    }

    #[tokio::test]
    async fn it_ends_with_the_process() {
        let shutdown = CancellationToken::new();
        shutdown.cancel();
        watch(std::env::temp_dir(), shutdown).await;
    }
}
