//! What is being recorded, as an operator sees it: channels, their workers, and the getters of
//! each; and what an operator wants of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use common::names::{Channel, Quality};
use common::tasks::Task;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::channel::ChannelSpec;
use crate::timeline::Wanted;

/// A lock that a panic elsewhere leaves as good as ever.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The channels that are recorded, by name.
#[derive(Debug, Default)]
pub(crate) struct Channels(Mutex<BTreeMap<Channel, Arc<WatchedChannel>>>);

impl Channels {
    /// Adds one; `None` if its name is taken.
    pub(crate) fn add(
        self: &Arc<Channels>,
        spec: ChannelSpec,
        shutdown: &CancellationToken,
    ) -> Option<Listed> {
        let mut all = lock(&self.0);
        if all.contains_key(&spec.name) {
            return None;
        }
        let watched = Arc::new(WatchedChannel::new(Some(spec.clone()), shutdown));
        all.insert(spec.name.clone(), Arc::clone(&watched));
        Some(Listed {
            channels: Arc::clone(self),
            name: spec.name,
            watched,
        })
    }

    pub(crate) fn all(&self) -> Vec<Arc<WatchedChannel>> {
        lock(&self.0).values().cloned().collect()
    }
}

/// A channel in the list, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Listed {
    channels: Arc<Channels>,
    name: Channel,
    pub(crate) watched: Arc<WatchedChannel>,
}

impl Drop for Listed {
    fn drop(&mut self) {
        lock(&self.channels.0).remove(&self.name);
    }
}

/// A channel.
#[derive(Debug)]
pub(crate) struct WatchedChannel {
    /// As it was given.
    pub(crate) spec: Option<ChannelSpec>,
    pub(crate) since: Instant,
    /// Set off to record it no more.
    pub(crate) stop: CancellationToken,
    /// Set off when the process stops.
    shutdown: CancellationToken,
    wishes: Mutex<Wishes>,
    wished: Notify,
    status: Mutex<ChannelStatus>,
    workers: Mutex<Vec<Arc<WatchedWorker>>>,
}

/// What an operator wants of a channel's manager.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    /// A look at where its playlists are.
    pub(crate) look: bool,
    /// A successor for the workers of these qualities.
    pub(crate) successors: BTreeSet<Quality>,
}

/// How it is.
#[derive(Debug, Clone, Default)]
pub(crate) struct ChannelStatus {
    /// When its playlists were last looked for.
    pub(crate) looked: Option<Instant>,
    /// Whether they were there.
    pub(crate) live: bool,
    /// Why not.
    pub(crate) last_error: Option<String>,
}

impl WatchedChannel {
    pub(crate) fn new(spec: Option<ChannelSpec>, shutdown: &CancellationToken) -> WatchedChannel {
        WatchedChannel {
            spec,
            since: Instant::now(),
            stop: shutdown.child_token(),
            shutdown: shutdown.clone(),
            wishes: Mutex::default(),
            wished: Notify::new(),
            status: Mutex::default(),
            workers: Mutex::default(),
        }
    }

    /// True iff it is recorded no more although the process goes on.
    pub(crate) fn is_removed(&self) -> bool {
        self.stop.is_cancelled() && !self.shutdown.is_cancelled()
    }

    pub(crate) fn status(&self) -> ChannelStatus {
        lock(&self.status).clone()
    }

    /// Notes what a look at where its playlists are has brought.
    pub(crate) fn looked(&self, error: Option<String>) {
        *lock(&self.status) = ChannelStatus {
            looked: Some(Instant::now()),
            live: error.is_none(),
            last_error: error,
        };
    }

    pub(crate) fn workers(&self) -> Vec<Arc<WatchedWorker>> {
        lock(&self.workers).clone()
    }

    /// Has the manager look for the playlists now, and give this quality a successor.
    pub(crate) fn wish(&self, successor: Option<Quality>) {
        let mut wishes = lock(&self.wishes);
        wishes.look = true;
        wishes.successors.extend(successor);
        self.wished.notify_one();
    }

    /// Waits for wishes.
    pub(crate) async fn wishes(&self) -> Wishes {
        self.wished.notified().await;
        std::mem::take(&mut *lock(&self.wishes))
    }
}

/// A worker.
#[derive(Debug)]
pub(crate) struct WatchedWorker {
    pub(crate) channel: Channel,
    pub(crate) quality: Quality,
    pub(crate) generation: u64,
    /// Without what it hides.
    pub(crate) url: Box<str>,
    pub(crate) since: Instant,
    /// Set off to have it poll no more.
    pub(crate) retire: CancellationToken,
    pub(crate) polls: AtomicU64,
    pub(crate) segments: AtomicU64,
    pub(crate) bytes: AtomicU64,
    /// Segments that wait for a getter.
    pub(crate) queued: AtomicUsize,
    pub(crate) status: Mutex<WorkerStatus>,
    getters: Mutex<Vec<Arc<Fetching>>>,
}

/// How it is.
#[derive(Debug, Clone)]
pub(crate) struct WorkerStatus {
    pub(crate) state: &'static str,
    pub(crate) since: Instant,
    pub(crate) last_error: Option<String>,
}

impl WatchedWorker {
    pub(crate) fn new(
        (channel, quality): (Channel, Quality),
        generation: u64,
        url: &Url,
        retire: CancellationToken,
    ) -> WatchedWorker {
        WatchedWorker {
            channel,
            quality,
            generation,
            url: common::http::shown(url),
            since: Instant::now(),
            retire,
            polls: AtomicU64::new(0),
            segments: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            queued: AtomicUsize::new(0),
            status: Mutex::new(WorkerStatus {
                state: "new",
                since: Instant::now(),
                last_error: None,
            }),
            getters: Mutex::default(),
        }
    }

    pub(crate) fn status(&self) -> WorkerStatus {
        lock(&self.status).clone()
    }

    pub(crate) fn failed(&self, error: &dyn std::fmt::Display) {
        lock(&self.status).last_error = Some(error.to_string());
    }

    pub(crate) fn getters(&self) -> Vec<Arc<Fetching>> {
        lock(&self.getters).clone()
    }

    /// Counts a segment that is on the disk.
    pub(crate) fn recorded(&self, fetching: &Fetching) {
        self.segments.fetch_add(1, Ordering::Relaxed);
        let bytes = fetching.bytes.load(Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// A worker in its channel's list, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Working {
    channel: Arc<WatchedChannel>,
    pub(crate) watched: Arc<WatchedWorker>,
    task: Task,
}

impl Working {
    pub(crate) fn begin(channel: Arc<WatchedChannel>, watched: Arc<WatchedWorker>) -> Working {
        lock(&channel.workers).push(Arc::clone(&watched));
        let task = Task::begin("worker", || {
            let WatchedWorker {
                channel,
                quality,
                generation,
                url,
                ..
            } = &*watched;
            format!("{channel}/{quality} generation {generation} at {url}")
        });
        Working {
            channel,
            watched,
            task,
        }
    }

    /// Says what it does, or waits for.
    pub(crate) fn state(&self, state: &'static str) {
        let mut status = lock(&self.watched.status);
        if status.state != state {
            status.state = state;
            status.since = Instant::now();
            self.task.state(state);
        }
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        lock(&self.channel.workers).retain(|worker| !Arc::ptr_eq(worker, &self.watched));
    }
}

/// A segment that is to be had: what has come of it so far.
#[derive(Debug)]
pub(crate) struct Fetching {
    pub(crate) start: DateTime<Utc>,
    /// Without what it hides.
    pub(crate) url: Box<str>,
    pub(crate) since: Instant,
    /// Requests made for it.
    pub(crate) attempts: AtomicU32,
    /// Received by all of them.
    pub(crate) bytes: AtomicU64,
    last_error: Mutex<Option<String>>,
}

impl Fetching {
    pub(crate) fn new(wanted: &Wanted) -> Fetching {
        Fetching {
            start: wanted.start,
            url: common::http::shown(&wanted.url),
            since: Instant::now(),
            attempts: AtomicU32::new(0),
            bytes: AtomicU64::new(0),
            last_error: Mutex::default(),
        }
    }

    pub(crate) fn failed(&self, error: &dyn std::fmt::Display) {
        *lock(&self.last_error) = Some(error.to_string());
    }

    pub(crate) fn last_error(&self) -> Option<String> {
        lock(&self.last_error).clone()
    }
}

/// A getter in its worker's list, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Getting {
    worker: Arc<WatchedWorker>,
    fetching: Arc<Fetching>,
    _task: Task,
}

impl Getting {
    pub(crate) fn begin(worker: &Arc<WatchedWorker>, fetching: &Arc<Fetching>) -> Getting {
        lock(&worker.getters).push(Arc::clone(fetching));
        let task = Task::begin("getter", || {
            let (channel, quality) = (&worker.channel, &worker.quality);
            format!("{channel}/{quality} {}", fetching.url)
        });
        task.state("getting a segment");
        Getting {
            worker: Arc::clone(worker),
            fetching: Arc::clone(fetching),
            _task: task,
        }
    }
}

impl Drop for Getting {
    fn drop(&mut self) {
        lock(&self.worker.getters).retain(|getter| !Arc::ptr_eq(getter, &self.fetching));
    }
}
