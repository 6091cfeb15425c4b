//! What this node has in full of one rendition, by start and duration: nothing is downloaded
//! twice, be it listed again after a restart of ours or by the next worker.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use common::names::{Channel, Quality};
use common::segment::{Hour, Segment, SegmentDuration};
use common::store::Store;

/// A list may show a day; older hours are looked up again when they are asked for.
const MAX_HOURS: usize = 30;

/// Start in microseconds since 1970, and duration.
type Known = (i64, SegmentDuration);

/// What there is in full.
#[derive(Debug)]
pub struct Recorded {
    store: Store,
    channel: Channel,
    quality: Quality,
    hours: Mutex<BTreeMap<Hour, HashSet<Known>>>,
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

    /// Whether a segment with this start and duration is there in full. The first question
    /// about an hour looks at the disk.
    pub async fn has(&self, start: DateTime<Utc>, duration: SegmentDuration) -> bool {
        let hour = Hour::of(start);
        let known = (start.timestamp_micros(), duration);
        let look = || Some(self.lock().get(&hour)?.contains(&known));
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
            tokio::task::spawn_blocking(move || store.hour(&channel, &quality, hour)).await;
        let full: HashSet<Known> = match listed {
            Ok(Ok(listing)) => listing.segments.iter().filter_map(full).collect(),
            Ok(Err(error)) => {
                // Not remembered: at worst a segment is downloaded again.
                tracing::debug!(%error, "cannot look up what is recorded already");
                return false;
            }
            Err(_) => return false,
        };
        let mut hours = self.lock();
        let set = hours.entry(hour).or_default();
        set.extend(full);
        let has = set.contains(&known);
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
            && let Some(set) = self.lock().get_mut(&segment.hour())
        {
            set.insert(known);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Hour, HashSet<Known>>> {
        // Every change is a single insertion: a poisoned map is whole.
        self.hours.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        assert!(recorded.has(at(0), two).await);
        assert!(!recorded.has(at(0), one).await);
        assert!(!recorded.has(at(2), two).await);
        let name = format!("00:02.000000-2.0-full-{hash}.ts");
        recorded.add(&Segment::parse(hour, &name).unwrap());
        assert!(recorded.has(at(2), two).await);
    }
}
