//! What the process is doing: its managers, workers, downloads and requests, each with what it
//! waits for, so that an operator can look at them (`tasks()` of the backdoor).
//!
//! Nothing is kept unless somebody can ask: without a backdoor a [`Task`] costs a look at a flag,
//! with one some hundred nanoseconds.

use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Requests come from all threads at once: they seldom want the same part.
const PARTS: usize = 16;

type Part = Mutex<HashMap<u64, Arc<Entry>>>;

static KEPT: AtomicBool = AtomicBool::new(false);
static COUNT: AtomicU64 = AtomicU64::new(0);
static PARTED: LazyLock<[Part; PARTS]> = LazyLock::new(Default::default);

/// What a panic has said of itself, if it was text.
#[must_use]
pub fn panic_text(panic: &(dyn Any + Send)) -> Option<String> {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
}

/// Has all tasks kept that begin from now on.
pub fn keep() {
    KEPT.store(true, Ordering::Relaxed);
}

/// Something that runs until this is dropped.
#[derive(Debug)]
#[must_use]
pub struct Task(Option<Arc<Entry>>);

#[derive(Debug)]
struct Entry {
    id: u64,
    kind: &'static str,
    name: String,
    since: Instant,
    state: Mutex<(&'static str, Instant)>,
    bytes: AtomicU64,
    /// Set off by an operator who wants it to end; there only if it can be ended.
    end: OnceLock<CancellationToken>,
}

/// A task as it is now.
#[derive(Debug, Clone)]
pub struct Running {
    /// Tells it from all others of the process; a later one has a larger number.
    pub id: u64,
    /// Of what kind it is: `worker`, `request` …
    pub kind: &'static str,
    /// Which one of them.
    pub name: String,
    /// For how long it has run.
    pub age: Duration,
    /// What it is doing, or waiting for.
    pub state: &'static str,
    /// For how long.
    pub state_age: Duration,
    /// Bytes that it has received or sent.
    pub bytes: u64,
    end: Option<CancellationToken>,
}

impl Running {
    /// Ends it; false if nobody can.
    #[must_use]
    pub fn end(&self) -> bool {
        if let Some(end) = &self.end {
            end.cancel();
        }
        self.end.is_some()
    }
}

impl Task {
    /// Begins a task. What it is called is worked out only if somebody can ask.
    pub fn begin(kind: &'static str, name: impl FnOnce() -> String) -> Task {
        if !KEPT.load(Ordering::Relaxed) {
            return Task(None);
        }
        let now = Instant::now();
        let entry = Arc::new(Entry {
            id: COUNT.fetch_add(1, Ordering::Relaxed),
            kind,
            name: name(),
            since: now,
            state: Mutex::new(("running", now)),
            bytes: AtomicU64::new(0),
            end: OnceLock::new(),
        });
        part(entry.id).insert(entry.id, Arc::clone(&entry));
        Task(Some(entry))
    }

    /// Says what it is doing from now on, or waiting for.
    pub fn state(&self, state: &'static str) {
        if let Some(entry) = &self.0 {
            let mut known = entry.state.lock().unwrap_or_else(PoisonError::into_inner);
            if known.0 != state {
                *known = (state, Instant::now());
            }
        }
    }

    /// Counts bytes that it has received or sent.
    pub fn add_bytes(&self, bytes: usize) {
        if let Some(entry) = &self.0 {
            entry.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }

    /// Says what an operator sets off to end it.
    pub fn ends_by(&self, end: &CancellationToken) {
        if let Some(entry) = &self.0 {
            entry.end.get_or_init(|| end.clone());
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(entry) = &self.0 {
            part(entry.id).remove(&entry.id);
        }
    }
}

fn part(id: u64) -> MutexGuard<'static, HashMap<u64, Arc<Entry>>> {
    let part = &PARTED[id as usize % PARTS];
    // A poisoned map is still a map.
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The tasks that are running, oldest first, but no more than `most`.
#[must_use]
pub fn running(most: usize) -> Vec<Running> {
    let mut entries: Vec<Arc<Entry>> = Vec::new();
    for id in 0..PARTS as u64 {
        entries.extend(part(id).values().cloned());
    }
    entries.sort_unstable_by_key(|entry| entry.id);
    entries.truncate(most);
    let entries = entries.into_iter().map(|entry| {
        let (state, state_since) = *entry.state.lock().unwrap_or_else(PoisonError::into_inner);
        Running {
            id: entry.id,
            kind: entry.kind,
            name: entry.name.clone(),
            age: entry.since.elapsed(),
            state,
            state_age: state_since.elapsed(),
            bytes: entry.bytes.load(Ordering::Relaxed),
            end: entry.end.get().cloned(),
        }
    });
    entries.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_is_seen_while_it_runs_and_only_if_tasks_are_kept() {
        let mine = || {
            let mut all = running(usize::MAX);
            all.retain(|task| task.kind == "test");
            all
        };
        drop(Task::begin("test", || panic!("nobody asks for its name")));
        keep();
        let first = Task::begin("test", || "a".to_owned());
        tokio::time::advance(Duration::from_secs(5)).await;
        first.state("waiting for b");
        let second = Task::begin("test", || "b".to_owned());
        tokio::time::advance(Duration::from_secs(2)).await;
        first.state("waiting for b");
        let all = mine();
        let seen: Vec<_> = all
            .iter()
            .map(|t| {
                (
                    t.name.as_str(),
                    t.age.as_secs(),
                    t.state,
                    t.state_age.as_secs(),
                )
            })
            .collect();
        assert_eq!(seen, [("a", 7, "waiting for b", 2), ("b", 2, "running", 2)]);
        assert_eq!(running(1).len(), 1);
        assert!(!all[0].end());
        let end = CancellationToken::new();
        first.ends_by(&end);
        first.add_bytes(3);
        let first_now = &mine()[0];
        assert_eq!(first_now.bytes, 3);
        assert!(first_now.end() && end.is_cancelled());
        drop(first);
        assert_eq!(mine().len(), 1);
        drop(second);
        assert!(mine().is_empty());
    }
}
