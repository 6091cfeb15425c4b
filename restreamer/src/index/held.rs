//! Which hours the index holds: bounded in bytes, the longest unused go first.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex};

use common::metrics;
use common::segment::Hour;
use prometheus::IntGaugeVec;

use super::{Key, OfHour, Rendition, Slot};

static HOURS: LazyLock<IntGaugeVec> =
    LazyLock::new(|| metrics::gauge("restreamer_index_hours", "Hours in the index", &["of"]));

static BYTES: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    let help = "Memory that the index takes";
    metrics::gauge("restreamer_index_bytes", help, &["of"])
});

/// What an hour takes beside its lines: keys, locks, tables. Bounds how many empty hours fit.
const OVERHEAD: usize = 1024;

/// The hours held.
#[derive(Debug)]
pub(super) struct Held<T> {
    hours: HashMap<Key, Entry<T>>,
    /// The sum over the entries.
    bytes: usize,
    limit: usize,
    /// Counts uses: the larger, the later.
    uses: u64,
}

#[derive(Debug)]
struct Entry<T> {
    slot: Arc<Slot<T>>,
    bytes: usize,
    last_use: u64,
}

impl<T: OfHour> Held<T> {
    pub(super) fn new(limit: usize) -> Held<T> {
        Held {
            hours: HashMap::new(),
            bytes: 0,
            limit,
            uses: 0,
        }
    }

    /// The place of an hour if it has one.
    pub(super) fn existing_slot(&mut self, key: &Key) -> Option<Arc<Slot<T>>> {
        self.uses += 1;
        let entry = self.hours.get_mut(key)?;
        entry.last_use = self.uses;
        Some(Arc::clone(&entry.slot))
    }

    /// The same, which does not count as a use.
    pub(super) fn peek(&self, key: &Key) -> Option<Arc<Slot<T>>> {
        Some(Arc::clone(&self.hours.get(key)?.slot))
    }

    /// The place of an hour.
    pub(super) fn slot(&mut self, key: &Key, directory: impl FnOnce() -> PathBuf) -> Arc<Slot<T>> {
        if let Some(slot) = self.existing_slot(key) {
            return slot;
        }
        let slot = Arc::new(Slot {
            directory: directory(),
            reading: Mutex::new(None),
        });
        let entry = Entry {
            slot: Arc::clone(&slot),
            bytes: OVERHEAD,
            last_use: self.uses,
        };
        self.hours.insert(key.clone(), entry);
        self.bytes += OVERHEAD;
        slot
    }

    /// Notes how large what was read into a slot is, and makes room. A slot that is no longer
    /// held is its users' concern.
    pub(super) fn set_bytes(&mut self, key: &Key, slot: &Arc<Slot<T>>, bytes: usize) {
        let Some(entry) = self.hours.get_mut(key) else {
            return;
        };
        if !Arc::ptr_eq(&entry.slot, slot) {
            return;
        }
        self.bytes = self.bytes - entry.bytes + bytes + OVERHEAD;
        entry.bytes = bytes + OVERHEAD;
        if self.bytes > self.limit {
            self.make_room();
        }
        self.publish();
    }

    /// Lets go of an hour, one that does not exist any more, say; false if it was not held.
    pub(super) fn forget(&mut self, key: &Key) -> bool {
        let Some(entry) = self.hours.remove(key) else {
            return false;
        };
        self.bytes -= entry.bytes;
        self.publish();
        true
    }

    /// The hours held, and what each takes.
    pub(super) fn all(&self) -> Vec<(Arc<Rendition>, Hour, usize)> {
        let hours = self.hours.iter();
        hours
            .map(|((rendition, hour), entry)| (Arc::clone(rendition), *hour, entry.bytes))
            .collect()
    }

    fn publish(&self) {
        let whole = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        HOURS
            .with_label_values(&[T::KIND])
            .set(whole(self.hours.len()));
        BYTES.with_label_values(&[T::KIND]).set(whole(self.bytes));
    }

    /// How many bytes may be held.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Hours and bytes held.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.hours.len(), self.bytes)
    }

    /// Lets go of the longest unused until an eighth of the limit is free: sorting all of them
    /// must not be for one hour's sake.
    fn make_room(&mut self) {
        let mut by_use: Vec<(u64, Key)> = self
            .hours
            .iter()
            .map(|(key, entry)| (entry.last_use, key.clone()))
            .collect();
        by_use.sort_unstable_by_key(|(last_use, _)| *last_use);
        for (_, key) in by_use {
            if self.bytes <= self.limit - self.limit / 8 {
                break;
            }
            self.forget(&key);
        }
    }
}
