//! Buffers for files on their way to clients: few large ones, used again and again while they
//! are warm in the processor's cache, and small ones when very many clients are slow.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Enough that the cost of a read and a write does not count, little enough to stay in a
/// processor's cache.
const LARGE: usize = 256 * 1024;

/// What a client gets while all large buffers wait for slow clients.
const SMALL: usize = 16 * 1024;

/// Large buffers under way at once: 64 MiB.
const MAX_LARGE: usize = 256;

/// Large buffers kept for the next use: 8 MiB, which is as much as stays in a processor's cache.
const MAX_KEPT: usize = 32;

/// The buffers of a server.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    free: Mutex<Vec<Box<[u8]>>>,
    /// Large buffers that are not in `free`.
    large_out: AtomicUsize,
}

impl Buffers {
    /// A buffer for at most `wanted` bytes.
    pub(super) fn take(self: &Arc<Self>, wanted: u64) -> Buffer {
        let small = wanted <= SMALL as u64;
        if !small && self.large_out.fetch_add(1, Ordering::Relaxed) < MAX_LARGE {
            let kept = self.free().pop();
            return Buffer {
                data: kept.unwrap_or_else(|| vec![0; LARGE].into()),
                filled: 0,
                home: Some(Arc::clone(self)),
            };
        }
        if !small {
            self.large_out.fetch_sub(1, Ordering::Relaxed);
        }
        let size = usize::try_from(wanted).unwrap_or(SMALL).min(SMALL);
        Buffer {
            data: vec![0; size].into(),
            filled: 0,
            home: None,
        }
    }

    fn free(&self) -> std::sync::MutexGuard<'_, Vec<Box<[u8]>>> {
        // A list of buffers has no half-made state.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A buffer; a large one goes home when it is dropped.
#[derive(Debug)]
pub(super) struct Buffer {
    data: Box<[u8]>,
    /// So many bytes at its beginning are content.
    filled: usize,
    /// `Some` iff it is a large one.
    home: Option<Arc<Buffers>>,
}

impl Buffer {
    /// Room for content, at most `wanted` bytes.
    pub(super) fn room(&mut self, wanted: u64) -> &mut [u8] {
        let size = usize::try_from(wanted).map_or(self.data.len(), |w| w.min(self.data.len()));
        &mut self.data[..size]
    }

    /// Its first bytes, to be sent without a copy.
    pub(super) fn into_bytes(mut self, filled: usize) -> Bytes {
        self.filled = filled.min(self.data.len());
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.data[..self.filled]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let Some(home) = self.home.take() else { return };
        home.large_out.fetch_sub(1, Ordering::Relaxed);
        let mut free = home.free();
        if free.len() < MAX_KEPT {
            free.push(std::mem::take(&mut self.data));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_ones_are_few_and_used_again() {
        let buffers = Arc::new(Buffers::default());
        let mut taken: Vec<Buffer> = (0..MAX_LARGE).map(|_| buffers.take(u64::MAX)).collect();
        assert!(taken.iter_mut().all(|b| b.room(u64::MAX).len() == LARGE));
        assert_eq!(buffers.take(u64::MAX).room(u64::MAX).len(), SMALL);
        let first = taken[0].room(1).as_ptr();
        let bytes = taken.remove(0).into_bytes(7);
        assert_eq!(bytes.len(), 7);
        drop(bytes);
        assert_eq!(buffers.take(u64::MAX).room(5).as_ptr(), first);
        drop(taken);
        assert_eq!(buffers.large_out.load(Ordering::Relaxed), 0);
        assert_eq!(buffers.free().len(), MAX_KEPT);
        // Small files take no more than they need.
        assert_eq!(buffers.take(10).room(u64::MAX).len(), 10);
    }
}
