//! What holds a running line on a leash: whether it may go on, where its words go, and how it
//! waits for something that takes time.

use std::fs;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{self, Duration};

use rhai::{Dynamic, EvalAltResult, NativeCallContext, Position};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::engine::LONGEST_RUN;
use super::registry::failure;

/// So much a line may print, in bytes.
const MOST_PRINTED: usize = 1024 * 1024;

/// A line may work for so long, beside what it waits: it takes a core from those who record.
const MOST_WORK: Duration = Duration::from_secs(20);

/// A line is stopped when the process has grown by so many bytes since it began: the bounds of
/// the language do not see all that it costs.
const MOST_GROWTH: u64 = 128 * 1024 * 1024;

/// From one look at the clock and the memory to the next. By time, since steps differ: in 256 of
/// them lists have been copied to gigabytes.
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);

/// Bytes of a page, by which the kernel counts.
const PAGE: u64 = 4096;

/// Of a line.
#[derive(Debug)]
pub(super) struct Control {
    handle: Handle,
    output: mpsc::Sender<String>,
    printed: AtomicUsize,
    /// True iff no more is to be shown of what it prints.
    muted: AtomicBool,
    /// True iff it has to end.
    stopped: AtomicBool,
    /// When the next look is due, in microseconds since `made`.
    next_look: AtomicU64,
    /// Not tokio's clock, which tests stop: memory grows by the real one.
    made: time::Instant,
    run: Mutex<Run>,
}

#[derive(Debug)]
struct Run {
    /// Set off when it has to end.
    stop: CancellationToken,
    reason: &'static str,
    until: Instant,
    /// When it will have worked too long; later with all that it waits.
    work_until: Instant,
    resident: u64,
}

impl Control {
    /// Its words go to `output`.
    pub(super) fn new(handle: Handle, output: mpsc::Sender<String>) -> Control {
        Control {
            handle,
            output,
            printed: AtomicUsize::new(0),
            muted: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            next_look: AtomicU64::new(0),
            made: time::Instant::now(),
            run: Mutex::new(Run {
                stop: CancellationToken::new(),
                reason: "",
                until: Instant::now(),
                work_until: Instant::now(),
                resident: 0,
            }),
        }
    }

    /// Of the runtime that all else runs on.
    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Begins a line.
    pub(super) fn begin(&self) {
        *self.run() = Run {
            stop: CancellationToken::new(),
            reason: "",
            until: Instant::now() + LONGEST_RUN,
            work_until: Instant::now() + MOST_WORK,
            resident: resident(),
        };
        self.printed.store(0, Ordering::Relaxed);
        self.muted.store(false, Ordering::Relaxed);
        self.stopped.store(false, Ordering::Relaxed);
    }

    /// Ends the line that is running, for this reason.
    pub(super) fn stop(&self, reason: &'static str) {
        let mut run = self.run();
        if run.reason.is_empty() {
            run.reason = reason;
        }
        run.stop.cancel();
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// True iff it has to end.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Shows no more of what the running line prints.
    pub(super) fn mute(&self) {
        self.muted.store(true, Ordering::Relaxed);
    }

    /// Why the line has to end, if it has to; called at each of its steps.
    pub(super) fn check_step(&self) -> Option<Dynamic> {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let now = micros(self.made.elapsed());
        let look = now >= self.next_look.load(Ordering::Relaxed);
        if look {
            let next = now.saturating_add(micros(BETWEEN_LOOKS));
            self.next_look.store(next, Ordering::Relaxed);
        }
        self.check(look)
    }

    /// Why it has to end, if it has to; with a look at the clock and the memory if `look`.
    fn check(&self, look: bool) -> Option<Dynamic> {
        if look && !self.stopped.load(Ordering::Relaxed) {
            let (until, before) = {
                let run = self.run();
                (run.until.min(run.work_until), run.resident)
            };
            if Instant::now() >= until {
                self.stop("stopped: it took too long");
            } else if resident() > before.saturating_add(MOST_GROWTH) {
                self.stop("stopped: the process has grown by more than 128 MiB meanwhile");
            }
        }
        let stopped = self.stopped.load(Ordering::Relaxed);
        stopped.then(|| self.run().reason.into())
    }

    /// Shows a line.
    pub(super) fn print(&self, text: &str) {
        if self.muted.load(Ordering::Relaxed) || self.stopped.load(Ordering::Relaxed) {
            return;
        }
        let begun = Instant::now();
        let before = self.printed.fetch_add(text.len() + 1, Ordering::Relaxed);
        let mut line = String::new();
        if before + text.len() < MOST_PRINTED {
            line.push_str(text);
        } else {
            self.mute();
            line.push_str("… and more, which is not shown");
        }
        line.push('\n');
        // A slow reader is waited for; when it is given up, nobody listens any more.
        if self.output.blocking_send(line).is_err() {
            self.stop("the connection is gone");
        }
        self.waited(begun);
    }

    /// Notes that it has waited since then.
    fn waited(&self, since: Instant) {
        self.run().work_until += since.elapsed();
    }

    fn run(&self) -> MutexGuard<'_, Run> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The line that calls a function.
#[derive(Debug)]
pub struct Caller(Arc<Control>);

impl Caller {
    /// The one of this call.
    ///
    /// # Errors
    /// If there is none, which cannot be.
    pub fn of(context: &NativeCallContext<'_>) -> Result<Caller, Box<EvalAltResult>> {
        let control = context.tag().cloned();
        let control = control.and_then(|tag| tag.try_cast::<Arc<Control>>());
        control
            .map(Caller)
            .ok_or_else(|| failure("nobody is here to wait"))
    }

    /// Waits for something, unless the operator interrupts, or the line's time is over; it is
    /// dropped then.
    ///
    /// # Errors
    /// If it did not come to its end.
    pub fn wait<T>(&self, work: impl Future<Output = T>) -> Result<T, Box<EvalAltResult>> {
        let (stop, until) = {
            let run = self.0.run();
            (run.stop.clone(), run.until)
        };
        let begun = Instant::now();
        let done = self.0.handle.block_on(async {
            tokio::select! {
                biased;
                () = stop.cancelled() => None,
                done = work => Some(done),
                () = tokio::time::sleep_until(until) => None,
            }
        });
        self.0.waited(begun);
        done.ok_or_else(|| {
            let reason = self.0.check(true);
            let reason = reason.unwrap_or_else(|| "stopped".into());
            Box::new(EvalAltResult::ErrorTerminated(reason, Position::NONE))
        })
    }

    /// Waits for so long, or as [`Caller::wait`] does.
    ///
    /// # Errors
    /// As [`Caller::wait`].
    pub fn sleep(&self, time: Duration) -> Result<(), Box<EvalAltResult>> {
        self.wait(tokio::time::sleep(time))
    }
}

/// The memory of the process that is in use, in bytes; 0 if nobody can tell.
fn resident() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split_whitespace().nth(1);
    pages.and_then(|pages| pages.parse().ok()).unwrap_or(0) * PAGE
}
