//! Leave to look at the disk on a thread that serves others, too.
//!
//! When a directory changed is in the system's memory, and to ask for it costs less than to have a
//! thread of its own do it. On a disk that hangs the answer never comes, and then a thread that
//! serves others is gone: so one of them never looks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::Handle;

/// How many look now. Cheap to clone; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Looks(Arc<AtomicUsize>);

/// Leave to look, until it is dropped.
#[derive(Debug)]
pub(super) struct Look(Arc<AtomicUsize>);

impl Looks {
    /// Leave to look, unless that could leave no thread for others: then a blocking one has to do it.
    pub(super) fn begin(&self) -> Option<Look> {
        let others = self.0.fetch_add(1, Ordering::Relaxed);
        let look = Look(Arc::clone(&self.0));
        // Outside of a runtime nobody else waits for this thread.
        let threads = Handle::try_current().map_or(usize::MAX, |it| it.metrics().num_workers());
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
