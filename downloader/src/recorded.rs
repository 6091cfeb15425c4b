//! What this node has in full of one rendition, by start and duration: nothing is downloaded
//! twice, be it listed again after a restart of ours or by the next worker.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use common::names::{Channel, Quality};
use common::segment::{Hour, Segment, SegmentDuration};
use common::store::{Store, StoreError};

/// A list may show a day; older hours are looked up again when they are asked for.
const MAX_HOURS: usize = 30;

/// Start in microseconds since 1970, and duration.
type Known = (i64, SegmentDuration);

/// How a segment that is there came there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// This process wrote it.
    Now,
    /// It was found on disk, written then.
    Before(SystemTime),
}

impl Since {
    /// True iff it was written before that.
    #[must_use]
    pub fn is_before(self, when: Option<SystemTime>) -> bool {
        match self {
            Since::Now => false,
            Since::Before(written) => when.is_some_and(|when| written < when),
        }
    }
}

/// What there is in full.
#[derive(Debug)]
pub struct Recorded {
    store: Store,
    channel: Channel,
    quality: Quality,
    hours: Mutex<BTreeMap<Hour, HashMap<Known, Since>>>,
    /// Held while an hour is looked up: many ask for it at once.
    looking: tokio::sync::Mutex<()>,
}

impl Recorded {
    /// Of a rendition of which nothing has been looked up yet.
    #[must_use]
    pub fn new(store: &Store, channel: &Channel, quality: &Quality) -> Recorded {
        Recorded {
            store: store.clone(),
            channel: channel.clone(),
            quality: quality.clone(),
            hours: Mutex::default(),
            looking: tokio::sync::Mutex::default(),
        }
    }

    /// Since when a segment with this start and duration is there in full, if it is. The first
    /// question about an hour looks at the disk.
    pub async fn has(&self, start: DateTime<Utc>, duration: SegmentDuration) -> Option<Since> {
        let hour = Hour::of(start);
        let known = (start.timestamp_micros(), duration);
        let look = || Some(self.lock().get(&hour)?.get(&known).copied());
        if let Some(has) = look() {
            return has;
        }
        let _looking = self.looking.lock().await;
        if let Some(has) = look() {
            return has;
        }
        let (store, channel) = (self.store.clone(), self.channel.clone());
        let quality = self.quality.clone();
        let listed =
            tokio::task::spawn_blocking(move || found(&store, &channel, &quality, hour)).await;
        let found = match listed {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                // Not remembered: at worst a segment is downloaded again.
                tracing::debug!(%error, "cannot look up what is recorded already");
                return None;
            }
            Err(_) => return None,
        };
        let mut hours = self.lock();
        let there = hours.entry(hour).or_default();
        for (known, since) in found {
            there.entry(known).or_insert(since);
        }
        let has = there.get(&known).copied();
        // Whatever was asked for last stays.
        while hours.len() > MAX_HOURS
            && let Some(other) = hours.keys().copied().find(|&other| other != hour)
        {
            hours.remove(&other);
        }
        has
    }

    /// Notes a segment that has got its final name.
    pub fn add(&self, segment: &Segment) {
        if let Some(known) = full(segment)
            && let Some(there) = self.lock().get_mut(&segment.hour())
        {
            there.insert(known, Since::Now);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Hour, HashMap<Known, Since>>> {
        // Every change is a single insertion: a poisoned map is whole.
        self.hours.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an hour's directory has in full, and when it was written; blocking. What cannot be told
/// was written long ago.
fn found(
    store: &Store,
    channel: &Channel,
    quality: &Quality,
    hour: Hour,
) -> Result<Vec<(Known, Since)>, StoreError> {
    let directory = store.hour_directory(channel, quality, hour);
    let listing = store.hour(channel, quality, hour)?;
    let full = listing.segments.iter().filter_map(|segment| {
        let metadata = std::fs::metadata(directory.join(segment.to_string()));
        let written = metadata.and_then(|metadata| metadata.modified());
        let since = Since::Before(written.unwrap_or(SystemTime::UNIX_EPOCH));
        Some((full(segment)?, since))
    });
    Ok(full.collect())
}

fn full(segment: &Segment) -> Option<Known> {
    segment
        .is_full()
        .then(|| (segment.start_micros(), segment.duration()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn knows_what_is_on_disk_in_full_and_what_was_added() {
        let base = tempfile::TempDir::new().unwrap();
        let directory = base.path().join("c/source/2026-01-02T03");
        std::fs::create_dir_all(&directory).unwrap();
        let hash = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
        for name in ["00:00.000000-2.0-full", "00:02.000000-2.0-partial"] {
            std::fs::write(directory.join(format!("{name}-{hash}.ts")), "").unwrap();
        }
        let (channel, quality) = (Channel::new("c").unwrap(), Quality::new("source").unwrap());
        let recorded = Recorded::new(&Store::new(base.path()), &channel, &quality);
        let hour: Hour = "2026-01-02T03".parse().unwrap();
        let at = |seconds| hour.start() + chrono::TimeDelta::seconds(seconds);
        let two = SegmentDuration::from_secs(2.0).unwrap();
        let one = SegmentDuration::from_secs(1.0).unwrap();
        let since = recorded.has(at(0), two).await.unwrap();
        let in_an_hour = SystemTime::now() + std::time::Duration::from_secs(3600);
        assert!(since.is_before(Some(in_an_hour)));
        assert!(!since.is_before(Some(SystemTime::UNIX_EPOCH)) && !since.is_before(None));
        assert_eq!(recorded.has(at(0), one).await, None);
        assert_eq!(recorded.has(at(2), two).await, None);
        let name = format!("00:02.000000-2.0-full-{hash}.ts");
        recorded.add(&Segment::parse(hour, &name).unwrap());
        assert_eq!(recorded.has(at(2), two).await, Some(Since::Now));
    }
}
