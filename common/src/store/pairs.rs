//! Where files are hashed: on as many blocking threads as there are processors, each of which takes the
//! pieces of two files at once if two wait, since their hashes cost little more than one ([`Hasher`]).
//! They wait where many files come in at once and the processor is what is scarce; where it is not,
//! each piece is taken as it comes. What is hashed is written on a blocking thread of its file's own:
//! one that waits for the disk keeps no other file waiting.

use std::collections::VecDeque;
use std::num::NonZero;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::StoreError;
use super::hash::Hasher;
use super::sink::Sink;

/// No more than can work at the same time: only what waits finds another to go with.
static WORKERS: LazyLock<usize> = LazyLock::new(|| available_parallelism().map_or(1, NonZero::get));

/// What becomes of pieces: the file again.
type Outcome = Result<Sink, StoreError>;

/// Pieces for the end of a file.
#[derive(Debug)]
struct Job {
    sink: Sink,
    pieces: Vec<Bytes>,
    done: oneshot::Sender<Outcome>,
}

/// All that waits to be hashed for one base directory.
#[derive(Debug, Default)]
pub(super) struct Pairs(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    /// Threads that take jobs until there are none.
    workers: usize,
}

impl Pairs {
    /// Adds pieces to a file, soon, and gives it back then. No answer means that the process ends, or
    /// that a thread panicked; the file is gone then.
    pub(super) fn write(
        self: &Arc<Self>,
        sink: Sink,
        pieces: Vec<Bytes>,
    ) -> oneshot::Receiver<Outcome> {
        let (done, outcome) = oneshot::channel();
        let mut waiting = self.waiting();
        waiting.jobs.push_back(Job { sink, pieces, done });
        if waiting.workers < *WORKERS {
            waiting.workers += 1;
            let worker = Worker {
                pairs: Arc::clone(self),
                is_counted: true,
            };
            drop(waiting);
            tokio::task::spawn_blocking(move || worker.run());
        }
        outcome
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Every change is complete before anything can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread at work, or about to be.
struct Worker {
    pairs: Arc<Pairs>,
    /// True iff it is among `workers`.
    is_counted: bool,
}

impl Worker {
    fn run(mut self) {
        while let Some(next) = self.next() {
            match next {
                (mut one, Some(mut other)) => {
                    both(
                        (&mut one.sink.hasher, &one.pieces),
                        (&mut other.sink.hasher, &other.pieces),
                    );
                    write(one);
                    write(other);
                }
                (mut one, None) => {
                    for piece in &one.pieces {
                        one.sink.hasher.update(piece);
                    }
                    write(one);
                }
            }
        }
    }

    /// What to do next. If there is nothing, whoever comes later starts another thread.
    fn next(&mut self) -> Option<(Job, Option<Job>)> {
        let mut waiting = self.pairs.waiting();
        let Some(one) = waiting.jobs.pop_front() else {
            waiting.workers -= 1;
            self.is_counted = false;
            return None;
        };
        let other = waiting.jobs.pop_front();
        Some((one, other))
    }
}

impl Drop for Worker {
    /// In the middle of its work: the process ends, or something panicked. Where no other thread is
    /// left, what waits goes, and whoever waits for it hears that.
    fn drop(&mut self) {
        if !self.is_counted {
            return;
        }
        let mut waiting = self.pairs.waiting();
        waiting.workers -= 1;
        if waiting.workers == 0 {
            let left = std::mem::take(&mut waiting.jobs);
            drop(waiting);
            drop(left);
        }
    }
}

/// Goes on with the pieces of two streams, as far as they go side by side.
fn both(one: (&mut Hasher, &[Bytes]), other: (&mut Hasher, &[Bytes])) {
    let (hasher, other_hasher) = (one.0, other.0);
    // An empty piece is not the end.
    let mut pieces = one.1.iter().filter(|piece| !piece.is_empty());
    let mut other_pieces = other.1.iter().filter(|piece| !piece.is_empty());
    let (mut rest, mut other_rest): (&[u8], &[u8]) = (&[], &[]);
    loop {
        if rest.is_empty() {
            rest = pieces.next().map_or(&[], |piece| piece);
        }
        if other_rest.is_empty() {
            other_rest = other_pieces.next().map_or(&[], |piece| piece);
        }
        let length = match (rest.len(), other_rest.len()) {
            (0, 0) => return,
            (length, 0) | (0, length) => length,
            (length, other) => length.min(other),
        };
        let (now, later) = rest.split_at(length.min(rest.len()));
        let (other_now, other_later) = other_rest.split_at(length.min(other_rest.len()));
        Hasher::update_both((hasher, now), (other_hasher, other_now));
        (rest, other_rest) = (later, other_later);
    }
}

/// Writes what was hashed, and gives the file back. If nobody wants it any more, it goes.
fn write(mut job: Job) {
    if job.done.is_closed() {
        return;
    }
    tokio::task::spawn_blocking(move || {
        let written = job.sink.write_all(&job.pieces);
        let _ = job.done.send(written.map(|()| job.sink));
    });
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use proptest::prelude::*;
    use sha2::{Digest, Sha256};
    use tempfile::TempDir;
    use tokio::task::JoinSet;

    use super::super::sink::PIECE;
    use super::super::{Committed, SegmentWriter, Store};
    use super::*;
    use crate::names::{Channel, Quality};
    use crate::segment::{FinalType, Hour, SegmentDuration, SegmentHash};

    async fn create(store: &Store) -> Result<SegmentWriter, StoreError> {
        let (channel, quality) = (Channel::new("c").unwrap(), Quality::new("source").unwrap());
        let start = "2026-01-02T03".parse::<Hour>().unwrap().start();
        let duration = SegmentDuration::from_secs(2.0).unwrap();
        SegmentWriter::create(store, &channel, &quality, start, duration).await
    }

    /// A segment of so many bytes, in pieces of a size that depends on it.
    async fn write(store: Store, length: usize) -> Result<Committed, StoreError> {
        let mut writer = create(&store).await?;
        for piece in content(length).chunks(1 + length / 7) {
            writer.write(Bytes::copy_from_slice(piece)).await?;
        }
        writer.commit(FinalType::Full).await
    }

    fn content(length: usize) -> Vec<u8> {
        (0..length).map(|n| (n * 7 + length) as u8).collect()
    }

    fn is_right(base: &Path, committed: &Committed, length: usize) {
        let expected = SegmentHash::from_bytes(Sha256::digest(content(length)).into());
        assert_eq!(committed.segment.hash(), Some(expected), "{length}");
        let file = base.join(format!("c/source/2026-01-02T03/{}", committed.segment));
        assert_eq!(fs::read(file).unwrap(), content(length), "{length}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn many_at_once_are_each_what_was_written() {
        let base = TempDir::new().unwrap();
        let store = Store::new(base.path());
        let mut writing = JoinSet::new();
        for n in 0..60 {
            let (store, length) = (store.clone(), n * PIECE / 12 + n);
            writing.spawn(async move { (write(store, length).await, length) });
        }
        while let Some(written) = writing.join_next().await {
            let (written, length) = written.unwrap();
            is_right(base.path(), &written.unwrap(), length);
        }
        let waiting = store.pairs.waiting();
        assert!(waiting.jobs.is_empty());
    }

    /// A runtime that ends takes its threads' work with it, and no more.
    #[test]
    fn what_waits_when_a_runtime_ends_keeps_nobody_waiting_in_the_next() {
        let base = TempDir::new().unwrap();
        let store = Store::new(base.path());
        let runtime = || {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(1).enable_all().build().unwrap()
        };
        let first = runtime();
        let handle = first.handle().clone();
        let mut writer = first.block_on(create(&store)).unwrap();
        first.shutdown_background();
        // Nothing runs there any more.
        let entered = handle.enter();
        let outcome = futures::executor::block_on(async {
            writer.write(Bytes::from(vec![1; PIECE])).await?;
            writer.write(Bytes::from(vec![2; PIECE])).await
        });
        outcome.unwrap_err();
        drop((writer, entered));
        assert_eq!(store.pairs.waiting().workers, 0);
        assert!(store.pairs.waiting().jobs.is_empty());
        let directory = base.path().join("c/source/2026-01-02T03");
        assert_eq!(fs::read_dir(directory).unwrap().count(), 0);
        let written = runtime().block_on(write(store, 3 * PIECE)).unwrap();
        is_right(base.path(), &written, 3 * PIECE);
    }

    /// Pieces of any size, empty ones among them.
    fn pieces() -> impl Strategy<Value = Vec<Bytes>> {
        let size = prop_oneof![Just(0_usize), 0..200_usize];
        let piece = size.prop_flat_map(|size| proptest::collection::vec(any::<u8>(), size));
        proptest::collection::vec(piece.prop_map(Bytes::from), 0..8)
    }

    proptest! {
        #[test]
        fn all_of_both_is_hashed(one in pieces(), other in pieces()) {
            let (mut hasher, mut other_hasher) = (Hasher::new(), Hasher::new());
            both((&mut hasher, &one), (&mut other_hasher, &other));
            for (hasher, pieces) in [(hasher, one), (other_hasher, other)] {
                let expected = SegmentHash::from_bytes(Sha256::digest(pieces.concat()).into());
                prop_assert_eq!(hasher.finish(), expected);
            }
        }
    }
}
