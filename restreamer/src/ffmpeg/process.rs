//! One process, from the wait for its permit to its last breath.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::place::{self, Place};
use super::{Counted, FAILURES, Ffmpeg, FfmpegError, Input, RUNNING, RUNS, SECONDS, WAITING};

/// As much as a pipe holds.
const CHUNK: usize = 64 * 1024;

/// One that has neither written nor read anything for so long, although somebody waits, has no end: it would
/// keep a permit from others for as long as its client stays. The first pictures of 4K in VP9 are there
/// sooner on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// So much of what it said last is kept, in bytes.
const KEPT_OF_ERRORS: usize = 2048;

/// So many chunks of output wait for whoever takes them; then ffmpeg waits.
const CHUNKS: usize = 8;

/// What is asked for again and again with the same arguments, by somebody who waits for it.
const AGAIN: [&str; 2] = ["cut", "frame"];

/// A run that has yet to begin.
pub(super) struct Run {
    ffmpeg: Arc<Ffmpeg>,
    /// One of these is held while it runs.
    permits: Arc<Semaphore>,
    limit: Option<Duration>,
    purpose: &'static str,
    arguments: Vec<OsString>,
    input: Input,
    chunks: mpsc::Sender<Result<Bytes, FfmpegError>>,
}

impl Run {
    /// One, and where its output will come.
    pub(super) fn new(
        ffmpeg: &Arc<Ffmpeg>,
        permits: Arc<Semaphore>,
        limit: Option<Duration>,
        purpose: &'static str,
        arguments: Vec<OsString>,
        input: Input,
    ) -> (Run, mpsc::Receiver<Result<Bytes, FfmpegError>>) {
        let (chunks, receiver) = mpsc::channel(CHUNKS);
        let run = Run {
            ffmpeg: Arc::clone(ffmpeg),
            permits,
            limit,
            purpose,
            arguments,
            input,
            chunks,
        };
        (run, receiver)
    }

    /// It does not begin.
    pub(super) fn refuse(self, error: FfmpegError) {
        // The channel is new: there is room.
        let _ = self.chunks.try_send(Err(error));
    }

    /// Runs it to its end, or until `stop`, and keeps something for so long.
    pub(super) async fn go(self, stop: CancellationToken, _kept: impl Send) {
        let waiting = Counted::new(&WAITING);
        let permit = stop.run_until_cancelled(Arc::clone(&self.permits).acquire_owned());
        let Some(Ok(_permit)) = permit.await else {
            return;
        };
        drop(waiting);
        let (purpose, chunks) = (self.purpose, self.chunks.clone());
        RUNS.with_label_values(&[purpose]).inc();
        let running = Counted::new(&RUNNING);
        tracing::debug!(purpose, arguments = ?self.arguments, "ffmpeg starts");
        let begun = Instant::now();
        let next = AGAIN.contains(&purpose).then(|| {
            let ffmpeg = Arc::clone(&self.ffmpeg);
            (ffmpeg, self.arguments.clone())
        });
        let outcome = self.process(&stop).await;
        if let Some((ffmpeg, arguments)) = next
            && outcome.is_ok()
        {
            ffmpeg.replace(purpose, arguments);
        }
        SECONDS
            .with_label_values(&[purpose])
            .inc_by(begun.elapsed().as_secs_f64());
        drop(running);
        if let Err(error) = outcome
            && !stop.is_cancelled()
        {
            FAILURES.with_label_values(&[purpose]).inc();
            tracing::warn!(purpose, %error, "ffmpeg failed");
            let _ = stop.run_until_cancelled(chunks.send(Err(error))).await;
        }
    }

    /// Starts the process and sees it to its end; none is left when this returns.
    async fn process(self, stop: &CancellationToken) -> Result<(), FfmpegError> {
        let has_input = !matches!(self.input, Input::None);
        let warm = match has_input {
            true => self.ffmpeg.warm.take(&self.arguments).await,
            false => None,
        };
        let mut child = match warm {
            Some(child) => child,
            None => {
                let place = self.ffmpeg.place(self.purpose);
                spawn(&self.ffmpeg.program, &self.arguments, has_input, place).await?
            }
        };
        let pid = place::pid(&child);
        // Others may have come, or gone, since it was started.
        let moving = async {
            loop {
                let joined = self.ffmpeg.requests.joined();
                self.ffmpeg.place(self.purpose).give_processors(pid);
                joined.await;
            }
        };
        let work = work(&mut child, self.input, &self.chunks);
        let work = async {
            match self.limit {
                Some(limit) => timeout(limit, work)
                    .await
                    .unwrap_or(Err(FfmpegError::TooLong(limit))),
                None => work.await,
            }
        };
        let work = async {
            tokio::select! {
                biased;
                never = moving => never,
                outcome = work => outcome,
            }
        };
        match stop.run_until_cancelled(work).await {
            Some(Ok(errors)) => {
                let status = child.wait().await.map_err(FfmpegError::Run)?;
                judge(status, errors)
            }
            ended => {
                // It may have ended by itself; then there is nothing to kill.
                let _ = child.start_kill();
                let _ = child.wait().await;
                ended.map_or(Ok(()), |failed| failed.map(drop))
            }
        }
    }
}

/// Starts a process, which has its place from its start on.
pub(super) async fn spawn(
    program: &Path,
    arguments: &[OsString],
    has_input: bool,
    place: Place,
) -> Result<Child, FfmpegError> {
    let mut command = Command::new(program);
    command
        .args(["-nostdin", "-hide_banner", "-loglevel", "error"])
        .args(["-filter_threads", "1", "-filter_complex_threads", "1"])
        .args(arguments)
        // Neither files nor its log anywhere.
        .env_remove("FFREPORT")
        .stdin(match has_input {
            true => Stdio::piped(),
            false => Stdio::null(),
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Where a future that has it is dropped, or the runtime ends.
        .kill_on_drop(true);
    // Whoever starts a process waits until that has its first turn on a processor.
    let spawned = tokio::task::spawn_blocking(move || {
        let child = command.spawn()?;
        place.give(place::pid(&child));
        Ok(child)
    });
    let spawned = spawned
        .await
        .map_err(io::Error::from)
        .and_then(|child| child);
    spawned.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => FfmpegError::Missing(program.to_owned()),
        _ => FfmpegError::Run(error),
    })
}

/// Feeds and reads a process until it has closed its output, and hands that on. Gives what it
/// complained about.
async fn work(
    child: &mut Child,
    input: Input,
    chunks: &mpsc::Sender<Result<Bytes, FfmpegError>>,
) -> Result<String, FfmpegError> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let missing = || FfmpegError::Run(io::Error::other("it has no pipes"));
    let (mut stdout, stderr) = (stdout.ok_or_else(missing)?, stderr.ok_or_else(missing)?);
    let flow = Flow::new();
    let feeding = async {
        match stdin {
            Some(stdin) => feed(stdin, input, &flow).await,
            None => Ok(()),
        }
    };
    let reading = async {
        loop {
            let mut chunk = BytesMut::with_capacity(CHUNK);
            // A whole chunk, if it comes at once: fewer and larger pieces for everybody behind.
            let mut patience = PATIENCE;
            let read = loop {
                match timeout(patience, stdout.read_buf(&mut chunk)).await {
                    Ok(read) => break read.map_err(FfmpegError::Run)?,
                    Err(_) => {
                        patience = flow.patience().ok_or(FfmpegError::StoodStill(PATIENCE))?
                    }
                }
            };
            if read == 0 {
                return Ok(());
            }
            if chunks.send(Ok(chunk.freeze())).await.is_err() {
                // Nobody takes it any more: `stop` comes.
                return std::future::pending().await;
            }
        }
    };
    let complaints = async { Ok(tail(stderr).await) };
    let ((), (), complaints) = tokio::try_join!(feeding, reading, complaints)?;
    Ok(complaints)
}

/// Writes all input. ffmpeg may have had enough before its end: that is no error.
async fn feed(mut stdin: ChildStdin, input: Input, flow: &Flow) -> Result<(), FfmpegError> {
    let enough = |written: io::Result<()>| match written {
        Ok(()) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(true),
        Err(error) => Err(FfmpegError::Run(error)),
    };
    match input {
        Input::None => {}
        Input::Bytes(pieces) => {
            for piece in pieces.iter().flat_map(|piece| piece.chunks(CHUNK)) {
                if enough(stdin.write_all(piece).await)? {
                    break;
                }
                flow.moves();
            }
        }
        Input::Stream(mut pieces) => {
            while let Some(piece) = flow.awaits(pieces.next()).await {
                let piece = piece.map_err(FfmpegError::Input)?;
                for part in piece.chunks(CHUNK) {
                    if enough(stdin.write_all(part).await)? {
                        return Ok(());
                    }
                    flow.moves();
                }
            }
        }
    }
    Ok(())
}

/// What becomes of a process's input: whether a silence is its own doing.
#[derive(Debug)]
struct Flow {
    /// True iff it is we who make it wait.
    is_starved: AtomicBool,
    begun: Instant,
    /// When it was last fed, in milliseconds since it began.
    moved: AtomicU64,
}

impl Flow {
    fn new() -> Flow {
        Flow {
            is_starved: AtomicBool::new(false),
            begun: Instant::now(),
            moved: AtomicU64::new(0),
        }
    }

    fn moves(&self) {
        let now = self.begun.elapsed().as_millis();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        self.moved.store(now, Ordering::Relaxed);
    }

    /// What comes next for it, for which it has to wait.
    async fn awaits<T>(&self, next: impl Future<Output = T>) -> T {
        self.is_starved.store(true, Ordering::Relaxed);
        let next = next.await;
        self.is_starved.store(false, Ordering::Relaxed);
        self.moves();
        next
    }

    /// How much longer it may be silent; `None` if it neither waits for us nor has been fed for too long.
    fn patience(&self) -> Option<Duration> {
        if self.is_starved.load(Ordering::Relaxed) {
            return Some(PATIENCE);
        }
        let moved = Duration::from_millis(self.moved.load(Ordering::Relaxed));
        let left = (moved + PATIENCE).checked_sub(self.begun.elapsed())?;
        (!left.is_zero()).then_some(left)
    }
}

/// The end of a text, read to its end.
async fn tail(mut from: impl AsyncRead + Unpin) -> String {
    let mut kept = Vec::new();
    let mut piece = vec![0; KEPT_OF_ERRORS];
    while let Ok(read @ 1..) = from.read(&mut piece).await {
        kept.extend_from_slice(&piece[..read]);
        let excess = kept.len().saturating_sub(KEPT_OF_ERRORS);
        kept.drain(..excess);
    }
    let text = String::from_utf8_lossy(&kept);
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.join(" | ")
}

fn judge(status: ExitStatus, errors: String) -> Result<(), FfmpegError> {
    if status.success() {
        if !errors.is_empty() {
            tracing::debug!(errors, "ffmpeg complained");
        }
        return Ok(());
    }
    Err(FfmpegError::Failed {
        status: status.to_string(),
        lines: errors,
    })
}
