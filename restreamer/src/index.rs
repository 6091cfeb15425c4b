//! What is in each hour, read once and kept until the hour's directory changes: the lines of
//! its playlist in one index, the names of its files as peers see them in another (`kinds.rs`).
//!
//! No answer is ever older than its request. An hour is looked at (one `stat`) for each
//! request; it is read again if its directory changed, or if the directory was so young when
//! it was read that a later change could bear the same time (`Stamp`). One thread reads an
//! hour while all others that need it wait; each takes what another has read if that reading
//! began after its own request came. (A network file system that caches attributes can be
//! late by its cache's time; nothing here can know.)
//!
//! All of it blocks: call it from a blocking thread, but for what is called `known`, which looks at
//! most, and only where that leaves a thread for others (`looks.rs`). A client that hangs up does
//! not end it.

mod held;
mod kinds;
mod looks;
#[cfg(test)]
mod tests;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Instant, SystemTime};

use common::metrics;
use common::names::{Channel, Quality};
use common::segment::Hour;
use common::store::{Stamp, Store, StoreError};
use prometheus::{IntCounter, IntCounterVec};

use self::held::Held;
use self::looks::Look;
pub(crate) use self::looks::Looks;

static HITS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let name = "restreamer_index_hits";
    let help = "Hours that were answered from the index";
    metrics::counter(name, help, &["of"])
});

static MISSES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let name = "restreamer_index_misses";
    let help = "Hours that had to be read from the disk";
    metrics::counter(name, help, &["of"])
});

/// What an index keeps of an hour.
pub trait OfHour: std::fmt::Debug + Send + Sync + Sized + 'static {
    /// How metrics call it.
    const KIND: &'static str;

    /// Reads an hour; `before` is what was last read of it, of which anything that has not
    /// changed may be taken over.
    ///
    /// # Errors
    /// If its directory cannot be read.
    fn read(
        store: &Store,
        rendition: &Rendition,
        hour: Hour,
        before: Option<&Self>,
    ) -> Result<Self, StoreError>;

    /// The memory that it takes now, in bytes.
    fn bytes(&self) -> usize;
}

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

impl IndexError {
    /// Of which directory it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            IndexError::Store(error) => error.path(),
            IndexError::Stat { path, .. } => path,
        }
    }

    /// The system's word for it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            IndexError::Store(error) => error.kind(),
            IndexError::Stat { source, .. } => source.kind(),
        }
    }
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

/// What was read of an hour; `None` if the hour does not exist.
type Found<T> = Option<Arc<T>>;

/// The place of an hour.
#[derive(Debug)]
struct Slot<T> {
    /// Where it lies on the disk.
    directory: PathBuf,
    /// Locked while somebody reads it.
    reading: Mutex<Option<Reading<T>>>,
}

/// What was once read of an hour.
#[derive(Debug)]
struct Reading<T> {
    /// When it began: what changed before is in it.
    began: Instant,
    /// Of the directory, taken after `began` and before it was read.
    stamp: Stamp,
    /// True iff any change after the reading gives the directory another stamp.
    settled: bool,
    content: Arc<T>,
}

impl<T> Reading<T> {
    /// True iff nothing that changed before `asked` is missing from it; `stamp` is the
    /// directory's, taken after `asked`.
    fn answers(&self, asked: Instant, stamp: Stamp) -> bool {
        self.began >= asked || (self.settled && self.stamp == stamp)
    }
}

/// The index. Cheap to clone; clones share everything.
#[derive(Debug)]
pub struct Index<T> {
    store: Store,
    held: Arc<Mutex<Held<T>>>,
    hits: IntCounter,
    misses: IntCounter,
    /// Threads that read hours at once for one request.
    threads: usize,
    looks: Looks,
}

impl<T> Clone for Index<T> {
    fn clone(&self) -> Index<T> {
        Index {
            store: self.store.clone(),
            held: Arc::clone(&self.held),
            hits: self.hits.clone(),
            misses: self.misses.clone(),
            threads: self.threads,
            looks: self.looks.clone(),
        }
    }
}

impl<T: OfHour> Index<T> {
    /// An empty index over a store that keeps at most about `limit` bytes.
    #[must_use]
    pub fn new(store: Store, limit: usize) -> Index<T> {
        Index::beside(Looks::default(), store, limit)
    }

    /// The same beside others that look from the same threads.
    pub(crate) fn beside(looks: Looks, store: Store, limit: usize) -> Index<T> {
        Index {
            store,
            held: Arc::new(Mutex::new(Held::new(limit))),
            hits: HITS.with_label_values(&[T::KIND]),
            misses: MISSES.with_label_values(&[T::KIND]),
            threads: thread::available_parallelism().map_or(1, usize::from),
            looks,
        }
    }

    /// What is in these hours, in the order given; hours that do not exist are left out.
    ///
    /// # Errors
    /// If a directory is there and cannot be read.
    pub fn hours(
        &self,
        rendition: &Arc<Rendition>,
        hours: &[Hour],
    ) -> Result<Vec<Arc<T>>, IndexError> {
        let asked = Instant::now();
        let mut found = Vec::with_capacity(hours.len());
        let mut to_read = Vec::new();
        for &hour in hours {
            let key = (Arc::clone(rendition), hour);
            let known = self.look(&key, asked)?;
            if known.is_none() {
                to_read.push((found.len(), key));
            }
            found.push(known.flatten());
        }
        for (index, content) in self.read_all(&to_read, asked)? {
            found[index] = content;
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// What is in these hours, as [`Index::hours`] has it, if none of them has to be read and somebody
    /// may look from this thread now.
    #[must_use]
    pub fn known(&self, rendition: &Arc<Rendition>, hours: &[Hour]) -> Option<Vec<Arc<T>>> {
        let _look: Look = self.looks.begin()?;
        let asked = Instant::now();
        let known = hours.iter().map(|&hour| {
            let key = (Arc::clone(rendition), hour);
            self.look(&key, asked).ok().flatten()
        });
        let known: Option<Vec<Found<T>>> = known.collect();
        Some(known?.into_iter().flatten().collect())
    }

    /// What is in an hour that was read before, if it does not have to be read again and somebody may
    /// look from this thread now. Asks the system when the directory changed, which it has in memory:
    /// it was asked before.
    #[must_use]
    pub fn known_hour(&self, rendition: &Arc<Rendition>, hour: Hour) -> Option<Arc<T>> {
        let _look: Look = self.looks.begin()?;
        let asked = Instant::now();
        let key = (Arc::clone(rendition), hour);
        let slot = self.held().existing_slot(&key)?;
        self.look_at(&key, Some(slot), asked).ok()??
    }

    /// What is known of an hour without reading it; `None` if it has to be read.
    fn look(&self, key: &Key, asked: Instant) -> Result<Option<Found<T>>, IndexError> {
        let slot = self.held().existing_slot(key);
        self.look_at(key, slot, asked)
    }

    /// The same of an hour whose place, if it has one, is at hand.
    fn look_at(
        &self,
        key: &Key,
        slot: Option<Arc<Slot<T>>>,
        asked: Instant,
    ) -> Result<Option<Found<T>>, IndexError> {
        let stamp = match &slot {
            Some(slot) => stamp(&slot.directory),
            None => stamp(&self.directory(key)),
        };
        let Some(stamp) = stamp? else {
            self.held().forget(key);
            return Ok(Some(None));
        };
        let known = slot.and_then(|slot| self.fresh(&slot, asked, stamp));
        Ok(known.map(Some))
    }

    /// Weighs an hour again whose content has grown since it was read: it was compressed.
    /// What is no longer held has no weight.
    pub fn weigh(&self, rendition: &Arc<Rendition>, hour: Hour, content: &Arc<T>) {
        let held = self.held_hour(rendition, hour);
        if held.is_some_and(|held| Arc::ptr_eq(&held, content)) {
            let key = (Arc::clone(rendition), hour);
            let mut held = self.held();
            if let Some(slot) = held.peek(&key) {
                held.set_bytes(&key, &slot, content.bytes());
            }
        }
    }

    /// What is held of an hour, as good as it was when somebody last asked for it. Nobody looks.
    pub(crate) fn held_hour(&self, rendition: &Arc<Rendition>, hour: Hour) -> Option<Arc<T>> {
        let slot = self.held().peek(&(Arc::clone(rendition), hour))?;
        // One who reads it will say what it weighs then.
        let reading = slot.reading.try_lock().ok()?;
        Some(Arc::clone(&reading.as_ref()?.content))
    }

    /// What is known of an hour, if it answers a request that came at `asked`; never waits for
    /// somebody who is reading the hour.
    fn fresh(&self, slot: &Slot<T>, asked: Instant, stamp: Stamp) -> Option<Arc<T>> {
        let reading = slot.reading.try_lock().ok()?;
        let reading = reading.as_ref().filter(|r| r.answers(asked, stamp))?;
        self.hits.inc();
        Some(Arc::clone(&reading.content))
    }

    /// Reads hours, several at once, each with its index in the request.
    fn read_all(
        &self,
        keys: &[(usize, Key)],
        asked: Instant,
    ) -> Result<Vec<(usize, Found<T>)>, IndexError> {
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
    fn read(&self, key: &Key, asked: Instant) -> Result<Found<T>, IndexError> {
        let slot = self.held().slot(key, || self.directory(key));
        // A reading that panicked left the one before it, which is as good as ever.
        let mut reading = slot.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let (began, now) = (Instant::now(), SystemTime::now());
        let Some(stamp) = stamp(&slot.directory)? else {
            self.held().forget(key);
            return Ok(None);
        };
        if let Some(reading) = reading.as_ref().filter(|r| r.answers(asked, stamp)) {
            self.hits.inc();
            return Ok(Some(Arc::clone(&reading.content)));
        }
        self.misses.inc();
        let (rendition, hour) = key;
        let before = reading.as_ref().map(|reading| &*reading.content);
        let content = Arc::new(T::read(&self.store, rendition, *hour, before)?);
        *reading = Some(Reading {
            began,
            stamp,
            settled: stamp.is_settled(now),
            content: Arc::clone(&content),
        });
        drop(reading);
        self.held().set_bytes(key, &slot, content.bytes());
        Ok(Some(content))
    }

    fn directory(&self, (rendition, hour): &Key) -> PathBuf {
        let Rendition { channel, quality } = &**rendition;
        self.store.hour_directory(channel, quality, *hour)
    }

    fn held(&self) -> MutexGuard<'_, Held<T>> {
        // Every change of it is complete before anything can panic.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go of an hour, which is read again when somebody asks for it; false if it is not held.
    pub fn drop_hour(&self, rendition: &Arc<Rendition>, hour: Hour) -> bool {
        self.held().forget(&(Arc::clone(rendition), hour))
    }

    /// The hours that are held, with the bytes that each takes, in order of time.
    #[must_use]
    pub fn held_hours(&self) -> Vec<(Arc<Rendition>, Hour, usize)> {
        let mut hours = self.held().all();
        hours.sort_unstable_by(|a, b| {
            let name = |rendition: &Rendition| {
                let Rendition { channel, quality } = rendition;
                (channel.to_string(), quality.to_string())
            };
            (name(&a.0), a.1).cmp(&(name(&b.0), b.1))
        });
        hours
    }

    /// How often an hour was held already when somebody asked for it, and how often it was not.
    #[must_use]
    pub fn hits_and_misses(&self) -> (u64, u64) {
        (self.hits.get(), self.misses.get())
    }

    /// How many bytes it may hold.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.held().limit()
    }

    /// How many hours are held, and their bytes.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        self.held().size()
    }
}

fn stamp(directory: &Path) -> Result<Option<Stamp>, IndexError> {
    Stamp::of(directory).map_err(|source| IndexError::Stat {
        path: directory.to_owned(),
        source,
    })
}
