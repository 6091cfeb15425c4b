//! ffmpeg processes: bounded in number, fed and read at the same time, killed and reaped as soon
//! as nobody wants what they make.
//!
//! A request that needs ffmpeg has a [`Job`]. Its first run finds room among those that run or
//! wait, or is refused (503); its further ones wait as long as it takes. A process takes one of
//! `--ffmpeg-processes` permits, and only while it runs: a job that needs two at once, or one
//! after the other, never holds one while it waits for another, so nothing can lock up.
//!
//! Output that is not taken keeps its process running. Whoever starts a run before it wants the
//! output, while it still needs other runs, has to collect it at once ([`Running::whole`] in a
//! task): else the one that it waits for may wait for that one's permit.
//!
//! What is likely to be asked for again is kept ready (`warm.rs`).
//!
//! There is no shell, and no text of a request among the arguments: callers build them from
//! numbers and names that they know.

mod error;
mod place;
mod process;
mod requests;
#[cfg(test)]
mod tests;
mod transitions;
mod warm;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use common::metrics;
use futures::Stream;
use futures::stream::BoxStream;
use prometheus::{CounterVec, IntCounterVec, IntGaugeVec};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

pub(crate) use self::error::FfmpegError;
pub(crate) use self::place::NICENESS;
use self::place::Place;
use self::requests::{AtWork, Requests};
pub(crate) use self::transitions::{Transition, Transitions};
use self::warm::Warm;

/// More threads than that make none of our work faster.
const MAX_THREADS: usize = 4;

static RUNS: LazyLock<IntCounterVec> =
    LazyLock::new(|| metrics::counter("ffmpeg_runs", "ffmpeg processes started", &["purpose"]));

static FAILURES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "ffmpeg processes that did not do what they were for";
    metrics::counter("ffmpeg_failures", help, &["purpose"])
});

static SECONDS: LazyLock<CounterVec> = LazyLock::new(|| {
    let help = "How long ffmpeg processes have run";
    metrics::float_counter("ffmpeg_seconds", help, &["purpose"])
});

static RUNNING: LazyLock<IntGaugeVec> =
    LazyLock::new(|| metrics::gauge("ffmpeg_running", "ffmpeg processes now", &[]));

static WAITING: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    let help = "Runs of ffmpeg that wait until another has ended";
    metrics::gauge("ffmpeg_waiting", help, &[])
});

static WARM: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    let help = "ffmpeg processes that were started for requests to come";
    metrics::gauge("ffmpeg_warm", help, &[])
});

/// Counts as long as it lives.
struct Counted(prometheus::IntGauge);

impl Counted {
    fn new(gauge: &IntGaugeVec) -> Counted {
        let gauge = gauge.with_label_values(&[] as &[&str]);
        gauge.inc();
        Counted(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// What ffmpeg reads from its standard input.
pub(crate) enum Input {
    /// Nothing.
    None,
    /// These bytes, one after the other.
    Bytes(Vec<Bytes>),
    /// What comes; an error of it ends the run.
    Stream(BoxStream<'static, io::Result<Bytes>>),
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Input::None => "None",
            Input::Bytes(_) => "Bytes",
            Input::Stream(_) => "Stream",
        })
    }
}

/// All that may run.
#[derive(Debug)]
pub(crate) struct Ffmpeg {
    program: PathBuf,
    /// One permit for each process.
    processes: Arc<Semaphore>,
    /// The same for those that only help others and need no help themselves.
    helpers: Arc<Semaphore>,
    /// One permit for each run, and each that waits.
    jobs: Arc<Semaphore>,
    /// The requests that it works for.
    requests: Arc<Requests>,
    /// Every process is waited for by one of these.
    tasks: TaskTracker,
    threads: usize,
    /// Processes for requests to come.
    warm: Warm,
    /// What it said of itself.
    transitions: OnceCell<Transitions>,
}

impl Ffmpeg {
    /// At most so many processes of this program at once, and so many jobs more that wait; besides,
    /// so many processes that wait for requests.
    pub(crate) fn new(program: PathBuf, processes: usize, queue: usize, warm: usize) -> Ffmpeg {
        let processes = processes.clamp(1, Semaphore::MAX_PERMITS / 2);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ffmpeg {
            program,
            processes: Arc::new(Semaphore::new(processes)),
            helpers: Arc::new(Semaphore::new(processes)),
            jobs: Arc::new(Semaphore::new(
                processes + queue.min(Semaphore::MAX_PERMITS / 2),
            )),
            requests: Arc::default(),
            tasks: TaskTracker::new(),
            threads: cores.min(MAX_THREADS),
            warm: Warm::new(warm),
            transitions: OnceCell::new(),
        }
    }

    /// Where a process for this is to run.
    fn place(&self, purpose: &str) -> Place {
        Place::of(purpose, self.requests.lately(false))
    }

    /// For one request.
    pub(crate) fn job(self: &Arc<Self>) -> Job {
        Job {
            ffmpeg: Arc::clone(self),
            is_admitted: Arc::default(),
            runs: Arc::default(),
        }
    }

    /// What ffmpeg says of itself. It takes no request's room: nobody is refused because we ask.
    fn ask(
        self: &Arc<Self>,
        limit: Duration,
        purpose: &'static str,
        arguments: Vec<OsString>,
    ) -> Running {
        let permits = Arc::clone(&self.helpers);
        let (run, chunks) =
            process::Run::new(self, permits, Some(limit), purpose, arguments, Input::None);
        let stop = CancellationToken::new();
        drop(self.tasks.spawn(run.go(stop.clone(), ())));
        Running::new(chunks, stop)
    }

    /// Waits until no process is left. Those whose output nobody takes any more are killed.
    pub(crate) async fn ended(&self) {
        self.warm.end();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// What one request has ffmpeg do. Clones are of the same request.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    ffmpeg: Arc<Ffmpeg>,
    /// True iff it has run something: then it may run more, however many wait.
    is_admitted: Arc<AtomicBool>,
    /// Those of its runs that run or wait.
    runs: Arc<AtomicUsize>,
}

impl Job {
    /// How many threads a decoder or an encoder should be told to take: the request's share, where
    /// several are at work, or were just now. More would make none of them faster, and everybody
    /// else wait for more.
    pub(crate) fn threads(&self) -> usize {
        let is_at_work = self.runs.load(Ordering::Relaxed) > 0;
        let requests = self.ffmpeg.requests.lately(!is_at_work);
        (self.ffmpeg.threads / requests).max(1)
    }

    /// Finds room among those that run or wait; a job that had some before goes on without, rather
    /// than break off in the middle.
    fn admit(&self) -> Result<Option<OwnedSemaphorePermit>, FfmpegError> {
        let room = Arc::clone(&self.ffmpeg.jobs).try_acquire_owned().ok();
        if room.is_none() && !self.is_admitted.load(Ordering::Relaxed) {
            return Err(FfmpegError::Busy);
        }
        self.is_admitted.store(true, Ordering::Relaxed);
        Ok(room)
    }

    /// Starts ffmpeg as soon as there is a permit, and lets it run as long as somebody takes what
    /// it makes. Has to be called where there is a runtime.
    ///
    /// `arguments` follow those that are always there (`-nostdin`, what to log …). Output goes to
    /// `pipe:1`, input comes from `pipe:0`.
    pub(crate) fn run(
        &self,
        purpose: &'static str,
        arguments: Vec<OsString>,
        input: Input,
    ) -> Running {
        self.run_for(None, purpose, arguments, input)
    }

    /// As [`Job::run`]; what runs longer than `limit` is killed and has failed.
    pub(crate) fn run_for(
        &self,
        limit: Option<Duration>,
        purpose: &'static str,
        arguments: Vec<OsString>,
        input: Input,
    ) -> Running {
        let permits = Arc::clone(&self.ffmpeg.processes);
        self.start(permits, limit, purpose, arguments, input)
    }

    /// As [`Job::run_for`], for what another run may wait for: it has a permit of another kind, so
    /// that neither waits for the other's. It must not need another run itself.
    pub(crate) fn help(
        &self,
        limit: Duration,
        purpose: &'static str,
        arguments: Vec<OsString>,
        input: Input,
    ) -> Running {
        let permits = Arc::clone(&self.ffmpeg.helpers);
        self.start(permits, Some(limit), purpose, arguments, input)
    }

    fn start(
        &self,
        permits: Arc<Semaphore>,
        limit: Option<Duration>,
        purpose: &'static str,
        arguments: Vec<OsString>,
        input: Input,
    ) -> Running {
        let (run, chunks) =
            process::Run::new(&self.ffmpeg, permits, limit, purpose, arguments, input);
        let stop = CancellationToken::new();
        match self.admit() {
            // It keeps its room until the process is gone.
            Ok(room) => {
                let kept = (room, AtWork::new(&self.ffmpeg.requests, &self.runs));
                drop(self.ffmpeg.tasks.spawn(run.go(stop.clone(), kept)));
            }
            Err(error) => run.refuse(error),
        }
        Running::new(chunks, stop)
    }
}

/// A run of ffmpeg: what it writes, in chunks, as a stream. If it fails, the last item is an
/// error. Dropping it ends the process.
#[derive(Debug)]
pub(crate) struct Running {
    chunks: mpsc::Receiver<Result<Bytes, FfmpegError>>,
    _stop: DropGuard,
}

impl Running {
    fn new(chunks: mpsc::Receiver<Result<Bytes, FfmpegError>>, stop: CancellationToken) -> Running {
        Running {
            chunks,
            _stop: stop.drop_guard(),
        }
    }

    /// All that it writes.
    ///
    /// # Errors
    /// What it failed with; [`FfmpegError::TooMuch`] if it writes more than `limit` bytes.
    pub(crate) async fn whole(self, limit: usize) -> Result<Bytes, FfmpegError> {
        self.enough(limit, |_| None).await
    }

    /// What it writes, or as many bytes of it as are wanted, which `wanted` says as soon as it can
    /// from what has come; nobody waits for the process's end then, which takes its time.
    ///
    /// # Errors
    /// What it failed with; [`FfmpegError::TooMuch`] if it writes more than `limit` bytes, or more are
    /// wanted.
    pub(crate) async fn enough(
        mut self,
        limit: usize,
        wanted: impl Fn(&[u8]) -> Option<usize>,
    ) -> Result<Bytes, FfmpegError> {
        let mut whole = BytesMut::new();
        let mut most = None;
        while most.is_none_or(|most| whole.len() < most)
            && let Some(chunk) = self.chunks.recv().await
        {
            let chunk = chunk?;
            whole.extend_from_slice(&chunk);
            if most.is_none() {
                most = wanted(&whole);
            }
            let length = most.unwrap_or(whole.len());
            if length > limit {
                return Err(FfmpegError::TooMuch { limit });
            }
            whole.reserve(length.saturating_sub(whole.len()));
        }
        whole.truncate(most.unwrap_or(usize::MAX));
        Ok(whole.freeze())
    }
}

impl Stream for Running {
    type Item = Result<Bytes, FfmpegError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.chunks.poll_recv(context)
    }
}
