//! Leave to look at the disk on a thread that serves others, too.
//!
//! When a directory changed is in the system's memory, and to ask for it costs less than to have a
//! thread of its own do it. On a disk that hangs the answer never comes, and then a thread that
//! serves others is gone: so one of them never looks.

use std::hint;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

/// How long one waits for another to have looked: some times what a look takes whose answer is in
/// memory, and a part of what handing it to a blocking thread costs.
const PATIENCE: Duration = Duration::from_micros(20);

/// How many look now. Cheap to clone; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Looks(Arc<AtomicUsize>);

/// Leave to look, until it is dropped.
#[derive(Debug)]
pub(super) struct Look(Arc<AtomicUsize>);

impl Looks {
    /// Leave to look, unless that could leave no thread for others: then a blocking one has to do it.
    pub(super) fn begin(&self) -> Option<Look> {
        // Outside of a runtime nobody else waits for this thread.
        let threads = Handle::try_current().map_or(usize::MAX, |it| it.metrics().num_workers());
        self.try_begin(threads).or_else(|| {
            let began = Instant::now();
            while threads > 1 && began.elapsed() < PATIENCE {
                hint::spin_loop();
                if self.0.load(Ordering::Relaxed) + 1 < threads
                    && let Some(look) = self.try_begin(threads)
                {
                    return Some(look);
                }
            }
            None
        })
    }

    fn try_begin(&self, threads: usize) -> Option<Look> {
        let others = self.0.fetch_add(1, Ordering::Relaxed);
        let look = Look(Arc::clone(&self.0));
        (others + 1 < threads).then_some(look)
    }
}

impl Drop for Look {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 3)]
    async fn one_thread_is_left_for_others() {
        let looks = Looks::default();
        let (first, second) = (looks.begin(), looks.begin());
        assert!(first.is_some() && second.is_some());
        assert!(looks.begin().is_none() && looks.begin().is_none());
        drop(first);
        assert!(looks.begin().is_some());
    }

    #[tokio::test]
    async fn where_there_is_one_thread_alone_it_never_looks() {
        assert!(Looks::default().begin().is_none());
    }
}
