//! Processes that are there before somebody needs them. ffmpeg takes longer to start than to find
//! a picture; who looks at frames of a stream, or cuts it, does so again soon, and needs the same
//! arguments then. So a process that has done its work is replaced by one that waits for input.
//!
//! They take no permit: one that waits for input does nothing.

use std::ffi::OsString;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::process::Child;
use tokio::sync::oneshot;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{Counted, Ffmpeg, WARM, process};

/// What was just asked for comes first: a start takes a processor some hundredths of a second.
const PAUSE: Duration = Duration::from_millis(500);

/// Who asks for nothing for so long is done.
const KEPT: Duration = Duration::from_secs(300);

/// Asks for a process.
type Ask = oneshot::Sender<oneshot::Sender<Child>>;

/// A process that waits, or that is about to be started. It belongs to a task, which ends it when
/// this is dropped.
#[derive(Debug)]
struct Waiting {
    arguments: Vec<OsString>,
    ask: Ask,
}

/// All that wait.
#[derive(Debug)]
pub(super) struct Warm {
    /// No more than so many; the oldest goes for a new one.
    most: usize,
    waiting: Mutex<Vec<Waiting>>,
    end: CancellationToken,
}

impl Warm {
    pub(super) fn new(most: usize) -> Warm {
        Warm {
            most,
            waiting: Mutex::default(),
            end: CancellationToken::new(),
        }
    }

    /// No more from now on, and those that there are end.
    pub(super) fn end(&self) {
        self.end.cancel();
    }

    /// One that was started with these arguments.
    pub(super) async fn take(&self, arguments: &[OsString]) -> Option<Child> {
        let found = {
            let mut waiting = self.waiting();
            waiting.retain(|one| !one.ask.is_closed());
            let like = waiting.iter().position(|one| one.arguments == arguments);
            like.map(|at| waiting.remove(at))
        }?;
        let (reply, child) = oneshot::channel();
        found.ask.send(reply).ok()?;
        let mut child = child.await.ok()?;
        // It may have been killed by others.
        matches!(child.try_wait(), Ok(None)).then_some(child)
    }

    /// Makes a place for one with these arguments; `None` if there is one already, or none is
    /// wanted.
    fn place(&self, arguments: &[OsString]) -> Option<oneshot::Receiver<oneshot::Sender<Child>>> {
        let mut waiting = self.waiting();
        waiting.retain(|one| !one.ask.is_closed());
        let has_one = waiting.iter().any(|one| one.arguments == arguments);
        if has_one || self.most == 0 || self.end.is_cancelled() {
            return None;
        }
        if waiting.len() >= self.most {
            waiting.remove(0);
        }
        let (ask, asked) = oneshot::channel();
        let arguments = arguments.to_vec();
        waiting.push(Waiting { arguments, ask });
        Some(asked)
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<Waiting>> {
        // Every change is complete before anything can panic.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ffmpeg {
    /// Soon has a process wait that was started with these arguments, for the same purpose.
    pub(super) fn replace(self: &Arc<Self>, purpose: &'static str, arguments: Vec<OsString>) {
        if let Some(asked) = self.warm.place(&arguments) {
            let ffmpeg = Arc::clone(self);
            let kept = async move { ffmpeg.keep(purpose, arguments, asked).await };
            self.tasks.spawn(kept);
        }
    }

    /// Starts a process and keeps it until somebody takes it or nobody wants it.
    async fn keep(
        &self,
        purpose: &'static str,
        arguments: Vec<OsString>,
        mut asked: oneshot::Receiver<oneshot::Sender<Child>>,
    ) {
        let end = &self.warm.end;
        tokio::select! {
            // Whoever asks so soon hears that there is none, and starts one.
            _ = &mut asked => return,
            () = end.cancelled() => return,
            () = sleep(PAUSE) => {}
        }
        let place = self.place(purpose);
        let mut child = match process::spawn(&self.program, &arguments, true, place).await {
            Ok(child) => child,
            Err(error) => {
                tracing::debug!(%error, "no ffmpeg waits for the next request");
                return;
            }
        };
        let _counted = Counted::new(&WARM);
        // To wait for a process closes its input, if it has that still.
        let input = child.stdin.take();
        let reply = tokio::select! {
            // None, if a new one has its place.
            reply = asked => reply.ok(),
            // Others have ended it.
            _ = child.wait() => return,
            () = sleep(KEPT) => None,
            () = end.cancelled() => None,
        };
        if let Some(reply) = reply {
            child.stdin = input;
            match reply.send(child) {
                Ok(()) => return,
                Err(back) => child = back,
            }
        }
        let _ = child.start_kill();
        let _ = child.wait().await;
    }
}
