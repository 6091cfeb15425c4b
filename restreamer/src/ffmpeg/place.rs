//! A process's place among all others: behind those who answer, and where one processor is left
//! to these, if that costs little.
//!
//! A low priority is not enough for that: Linux (EEVDF) lets a thread that wakes up wait for the
//! next tick, some milliseconds, wherever others are owed time, however little they weigh.

use std::collections::BTreeSet;
use std::{fs, io};

use rustix::io::Errno;
use rustix::process::{Pid, setpriority_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tokio::process::Child;

/// What takes long comes behind those who record, and who answer with what is there: they need
/// little and need it at once. Where they take all, this still leaves a tenth for it.
pub(crate) const NICENESS: i32 = 10;
const LONG: [&str; 5] = ["encode", "cut", "waveform", "transcode", "sound"];

/// What leaves one processor alone while several requests are at work: pieces that take a second, in
/// cuts of which most is sent as it is. Whoever codes for minutes wants all that there are.
const SHORT: &str = "cut";

/// One of so many processors is not missed. Of fewer, one is left alone when requests wait for each
/// other anyway: two editors' cuts on two processors have one each.
const MANY: usize = 4;

/// Where a process is to be. Best effort: elsewhere it does the same, at others' cost.
#[derive(Debug)]
pub(super) struct Place {
    is_behind: bool,
    /// On these; `None`: wherever it is started.
    processors: Option<CpuSet>,
}

impl Place {
    /// Of a process for this, while so many requests are at work.
    pub(super) fn of(purpose: &str, requests: usize) -> Place {
        let processors = || {
            let all = sched_getaffinity(None).ok()?;
            Some(shared(all, requests))
        };
        Place {
            is_behind: LONG.contains(&purpose),
            processors: (purpose == SHORT).then(processors).flatten(),
        }
    }

    /// Gives a process that place, unless it has ended.
    pub(super) fn give(&self, child: Option<Pid>) {
        if let Some(child) = child
            && self.is_behind
            && let Err(error) = setpriority_process(Some(child), NICENESS)
        {
            tracing::debug!(%error, "ffmpeg runs at the usual priority");
        }
        self.give_processors(child);
    }

    /// As [`Place::give`], but for its priority, which an operator may have changed.
    pub(super) fn give_processors(&self, child: Option<Pid>) {
        if let Some(child) = child
            && let Some(processors) = &self.processors
            && let Err(error) = keep_to(child, processors)
        {
            tracing::debug!(%error, "ffmpeg runs where it was");
        }
    }
}

/// Those of all processors that so many requests are coded on.
fn shared(all: CpuSet, requests: usize) -> CpuSet {
    let count = all.count() as usize;
    let costs_little = count >= MANY || requests > count;
    let mut set = all;
    if requests > 1
        && count > 1
        && costs_little
        && let Some(first) = (0..CpuSet::MAX_CPU).find(|&cpu| all.is_set(cpu))
    {
        set.unset(first);
    }
    set
}

/// `None` if somebody has waited for its end.
pub(super) fn pid(child: &Child) -> Option<Pid> {
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    id.and_then(Pid::from_raw)
}

/// Has a process run on no other processors from now on.
fn keep_to(child: Pid, processors: &CpuSet) -> io::Result<()> {
    // Linux asks for each thread. What a thread starts later has what that has; so when nothing new
    // is found, that is all.
    let mut threads = BTreeSet::new();
    loop {
        let known = threads.len();
        for thread in fs::read_dir(format!("/proc/{child}/task"))? {
            let name = thread?.file_name();
            let thread = name.to_str().and_then(|name| name.parse().ok());
            let Some(thread) = thread.filter(|&thread| threads.insert(thread)) else {
                continue;
            };
            match sched_setaffinity(Pid::from_raw(thread), processors) {
                // It has ended.
                Err(Errno::SRCH) => {}
                outcome => outcome?,
            }
        }
        if threads.len() == known {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_left_alone_where_it_costs_little() {
        // (processors, requests, processors for them)
        let table = [
            (1, 1, 1),
            (1, 9, 1),
            (2, 1, 2),
            (2, 2, 2),
            (2, 3, 1),
            (3, 3, 3),
            (3, 4, 2),
            (4, 1, 4),
            (4, 2, 3),
            (64, 4, 63),
        ];
        for (count, requests, expected) in table {
            let mut all = CpuSet::new();
            (3..3 + count).for_each(|cpu| all.set(cpu));
            let set = shared(all, requests);
            assert_eq!(set.count(), expected, "{count} for {requests}");
            assert!(set.is_set(2 + count));
        }
    }
}
