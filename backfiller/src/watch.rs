//! The peers as an operator sees them: what the worker of each is doing, what its last round did,
//! and whether it is to go on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::round::Report;
use crate::site::Target;

/// All of them, by name.
#[derive(Debug, Default)]
pub struct Watches(Mutex<BTreeMap<Arc<str>, Arc<Watched>>>);

impl Watches {
    /// In order of their names.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Watched>> {
        self.lock().values().cloned().collect()
    }

    /// The one of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<Watched>> {
        self.lock().get(name).cloned()
    }

    pub(crate) fn add(&self, watched: &Arc<Watched>) {
        let name = Arc::clone(&watched.target.peer);
        self.lock().insert(name, Arc::clone(watched));
    }

    /// Forgets one, unless another has taken its name.
    pub(crate) fn remove(&self, watched: &Arc<Watched>) {
        let mut all = self.lock();
        let name = &watched.target.peer;
        if all.get(name).is_some_and(|it| Arc::ptr_eq(it, watched)) {
            all.remove(name);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Arc<Watched>>> {
        // A poisoned map is still a map.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A peer.
#[derive(Debug)]
pub struct Watched {
    /// Its name, its API, and what is known of it.
    pub target: Target,
    /// Where it is, without a password.
    pub url: Box<str>,
    paused: watch::Sender<bool>,
    hurry: Notify,
    status: Mutex<Status>,
}

/// What its worker is doing.
#[derive(Debug, Clone)]
pub struct Status {
    /// In a word.
    pub state: &'static str,
    /// Since when.
    pub since: Instant,
    /// Rounds that have come to their end.
    pub rounds: u64,
    /// How many in a row have failed.
    pub failures: u32,
    /// The last one.
    pub last: Option<LastRound>,
    /// Why the extras of the last pause could not be had.
    pub extras_error: Option<String>,
}

/// What a round did.
#[derive(Debug, Clone)]
pub struct LastRound {
    /// When it was over.
    pub ended: DateTime<Utc>,
    /// How long it took.
    pub took: Duration,
    /// Hours gone through.
    pub hours: usize,
    /// Files found missing.
    pub missing: u64,
    /// Files downloaded.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that could not be had.
    pub failures: u64,
    /// Why not all listings could be had.
    pub error: Option<String>,
}

impl Watched {
    /// One whose worker has not begun.
    #[must_use]
    pub fn new(target: Target, url: Box<str>) -> Watched {
        Watched {
            target,
            url,
            paused: watch::Sender::new(false),
            hurry: Notify::new(),
            status: Mutex::new(Status {
                state: "new",
                since: Instant::now(),
                rounds: 0,
                failures: 0,
                last: None,
                extras_error: None,
            }),
        }
    }

    /// What its worker is doing now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.lock().clone()
    }

    /// Has its worker ask it nothing until it is resumed; a round that is under way ends now.
    /// False if that is so already.
    pub fn pause(&self, paused: bool) -> bool {
        self.paused.send_if_modified(|now| {
            let changed = *now != paused;
            *now = paused;
            changed
        })
    }

    /// True iff it is asked nothing.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        *self.paused.borrow()
    }

    /// Has its next round begin now, though it wants to be left alone, and ask for all that it refused,
    /// too.
    pub fn hurry(&self) {
        self.target.refusals.forget_all();
        self.target.respite.end();
        self.hurry.notify_one();
    }

    /// Waits until it is to be asked nothing, or is to be asked again.
    pub(crate) async fn until_paused(&self, paused: bool) {
        // Fails only when the sender is gone, which is here.
        let _ = self.paused.subscribe().wait_for(|now| *now == paused).await;
    }

    /// Waits until somebody wants the next round at once.
    pub(crate) async fn hurried(&self) {
        self.hurry.notified().await;
    }

    pub(crate) fn set_state(&self, state: &'static str) {
        let mut status = self.lock();
        if status.state != state {
            status.state = state;
            status.since = Instant::now();
        }
    }

    pub(crate) fn round_done(&self, report: &Report, took: Duration, failures: u32) {
        let mut status = self.lock();
        status.rounds += 1;
        status.failures = failures;
        status.last = Some(LastRound {
            ended: Utc::now(),
            took,
            hours: report.hours,
            missing: report.missing,
            segments: report.segments,
            bytes: report.bytes,
            failures: report.failures,
            error: report.error.as_ref().map(ToString::to_string),
        });
    }

    /// Notes why extras could not be had, if so. True iff that is news.
    pub(crate) fn extras_done(&self, error: Option<String>) -> bool {
        let is_bad = error.is_some();
        let before = std::mem::replace(&mut self.lock().extras_error, error);
        is_bad && before.is_none()
    }

    fn lock(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
