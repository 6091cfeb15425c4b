//! What is in each hour, read once and kept until the hour's directory changes.
//!
//! No answer is ever older than its request. An hour is looked at (one `stat`) for each
//! request; it is read again if its directory changed, or if the directory was so young when
//! it was read that a later change could bear the same time (`stamp.rs`). One thread reads an
//! hour while all others that need it wait; each takes what another has read if that reading
//! began after its own request came. (A network file system that caches attributes can be
//! late by its cache's time; nothing here can know.)
//!
//! All of it blocks: call it from a blocking thread. A client that hangs up does not end it.

mod held;
mod stamp;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Instant, SystemTime};

use common::metrics;
use common::names::{Channel, Quality};
use common::segment::Hour;
use common::store::{Store, StoreError};
use prometheus::IntCounter;

use self::held::Held;
use self::stamp::Stamp;
use crate::hls::HourLines;

static HITS: LazyLock<IntCounter> = LazyLock::new(|| {
    let name = "restreamer_index_hits";
    let help = "Hours that were answered from the index";
    metrics::counter(name, help, &[]).with_label_values(&[] as &[&str])
});

static MISSES: LazyLock<IntCounter> = LazyLock::new(|| {
    let name = "restreamer_index_misses";
    let help = "Hours that had to be read from the disk";
    metrics::counter(name, help, &[]).with_label_values(&[] as &[&str])
});

/// Why an hour could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Its directory cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its directory cannot even be asked when it changed.
    #[error("cannot look at {}: {source}", .path.display())]
    Stat {
        /// The directory.
        path: PathBuf,
        /// The system's word for it.
        source: std::io::Error,
    },
}

/// A channel's quality.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rendition {
    /// The stream.
    pub channel: Channel,
    /// The rendition of it.
    pub quality: Quality,
}

/// An hour of a rendition.
type Key = (Arc<Rendition>, Hour);

/// The lines of an hour; `None` if the hour does not exist.
type Found = Option<Arc<HourLines>>;

/// The place of an hour, locked while somebody reads it.
type Slot = Mutex<Option<Reading>>;

/// What was once read of an hour.
#[derive(Debug)]
struct Reading {
    /// When it began: what changed before is in it.
    began: Instant,
    /// Of the directory, taken after `began` and before it was read.
    stamp: Stamp,
    /// True iff any change after the reading gives the directory another stamp.
    settled: bool,
    lines: Arc<HourLines>,
}

impl Reading {
    /// True iff nothing that changed before `asked` is missing from it; `stamp` is the
    /// directory's, taken after `asked`.
    fn answers(&self, asked: Instant, stamp: Stamp) -> bool {
        self.began >= asked || (self.settled && self.stamp == stamp)
    }
}

/// The index. Cheap to clone; clones share everything.
#[derive(Debug, Clone)]
pub struct Index {
    store: Store,
    held: Arc<Mutex<Held>>,
    /// Threads that read hours at once for one request.
    threads: usize,
}

impl Index {
    /// An empty index over a store that keeps at most about `limit` bytes.
    #[must_use]
    pub fn new(store: Store, limit: usize) -> Index {
        LazyLock::force(&HITS);
        LazyLock::force(&MISSES);
        Index {
            store,
            held: Arc::new(Mutex::new(Held::new(limit))),
            threads: thread::available_parallelism().map_or(1, usize::from),
        }
    }

    /// The lines of these hours, in the order given; hours that do not exist are left out.
    ///
    /// # Errors
    /// If a directory is there and cannot be read.
    pub fn hours(
        &self,
        rendition: &Arc<Rendition>,
        hours: &[Hour],
    ) -> Result<Vec<Arc<HourLines>>, IndexError> {
        let asked = Instant::now();
        let mut found = Vec::with_capacity(hours.len());
        let mut to_read = Vec::new();
        for &hour in hours {
            let key = (Arc::clone(rendition), hour);
            let lines = match self.stamp(&key)? {
                None => {
                    self.held().forget(&key);
                    None
                }
                Some(stamp) => {
                    let lines = self.fresh(&key, asked, stamp);
                    if lines.is_none() {
                        to_read.push((found.len(), key));
                    }
                    lines
                }
            };
            found.push(lines);
        }
        for (index, lines) in self.read_all(&to_read, asked)? {
            found[index] = lines;
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// What is known of an hour, if it answers a request that came at `asked`; never waits for
    /// somebody who is reading the hour.
    fn fresh(&self, key: &Key, asked: Instant, stamp: Stamp) -> Option<Arc<HourLines>> {
        let slot = self.held().existing_slot(key)?;
        let slot = slot.try_lock().ok()?;
        let reading = slot.as_ref().filter(|r| r.answers(asked, stamp))?;
        HITS.inc();
        Some(Arc::clone(&reading.lines))
    }

    /// Reads hours, several at once, each with its index in the request.
    fn read_all(
        &self,
        keys: &[(usize, Key)],
        asked: Instant,
    ) -> Result<Vec<(usize, Found)>, IndexError> {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut done = Vec::new();
            while let Some((index, key)) = keys.get(next.fetch_add(1, Ordering::Relaxed)) {
                done.push((*index, self.read(key, asked)?));
            }
            Ok::<_, IndexError>(done)
        };
        thread::scope(|scope| {
            let helpers: Vec<_> = (1..self.threads.min(keys.len()))
                // Without a helper it only takes longer.
                .filter_map(|_| thread::Builder::new().spawn_scoped(scope, work).ok())
                .collect();
            let mut all = work()?;
            for helper in helpers {
                match helper.join() {
                    Ok(done) => all.extend(done?),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            Ok(all)
        })
    }

    /// Reads an hour unless somebody else just did; `None` if it does not exist.
    fn read(&self, key: &Key, asked: Instant) -> Result<Found, IndexError> {
        let slot = self.held().slot(key);
        // A reading that panicked left the one before it, which is as good as ever.
        let mut reading = slot.lock().unwrap_or_else(PoisonError::into_inner);
        let (began, now) = (Instant::now(), SystemTime::now());
        let Some(stamp) = self.stamp(key)? else {
            self.held().forget(key);
            return Ok(None);
        };
        if let Some(reading) = reading.as_ref().filter(|r| r.answers(asked, stamp)) {
            HITS.inc();
            return Ok(Some(Arc::clone(&reading.lines)));
        }
        MISSES.inc();
        let (rendition, hour) = key;
        let Rendition { channel, quality } = &**rendition;
        let segments = self.store.best(channel, quality, *hour)?;
        let lines = Arc::new(HourLines::new(channel, quality, *hour, segments));
        *reading = Some(Reading {
            began,
            stamp,
            settled: stamp.is_settled(now),
            lines: Arc::clone(&lines),
        });
        drop(reading);
        self.held().set_bytes(key, &slot, lines.bytes());
        Ok(Some(lines))
    }

    fn stamp(&self, (rendition, hour): &Key) -> Result<Option<Stamp>, IndexError> {
        let Rendition { channel, quality } = &**rendition;
        let path = self.store.hour_directory(channel, quality, *hour);
        Stamp::of(&path).map_err(|source| IndexError::Stat { path, source })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Every change of it is complete before anything can panic.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many hours are held, and their bytes.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        self.held().size()
    }
}
