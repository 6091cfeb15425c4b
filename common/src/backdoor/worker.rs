//! The thread on which an operator's lines run, for as long as he is here. It has a stack for
//! whatever a value may hold in itself: with a usual one, a list in a list in a list … would end
//! the process. So the interpreter never leaves it, not even to be dropped.

use std::io;
use std::sync::Arc;
use std::thread;

use tokio::sync::mpsc;

use super::control::Control;
use super::engine::{Ran, Shell};
use super::registry::Catalogue;

/// Address space; memory is taken as far as it is used. The deepest value that can be made in a
/// line's time takes a tenth of it.
const STACK: usize = 256 << 20;

/// Lines to be run.
#[derive(Debug)]
pub(super) struct Line {
    /// What was typed; several lines, if it is a block.
    pub(super) text: String,
    /// True iff it is to be run even if it seems that more has to come.
    pub(super) is_all: bool,
}

/// What became of lines.
#[derive(Debug)]
pub(super) enum Outcome {
    /// More has to come before it makes sense; they are given back.
    Unfinished(String),
    /// They were run.
    Ran(Ran),
}

/// The session's end of it.
#[derive(Debug)]
pub(super) struct Worker {
    lines: mpsc::Sender<Line>,
    outcomes: mpsc::Receiver<Outcome>,
}

impl Worker {
    /// Starts a thread; `on_line` is called with each text that it begins to run.
    ///
    /// # Errors
    /// If the system has no room for another thread.
    pub(super) fn start(
        catalogue: Catalogue,
        control: Arc<Control>,
        on_line: impl Fn(&str) + Send + 'static,
    ) -> io::Result<Worker> {
        let (lines, mut to_run) = mpsc::channel::<Line>(1);
        let (done, outcomes) = mpsc::channel(1);
        let handle = control.handle().clone();
        let work = move || {
            // Functions may set timers and start tasks.
            let _inside = handle.enter();
            let mut shell = Shell::new(catalogue, &control);
            while let Some(line) = to_run.blocking_recv() {
                let outcome = match !line.is_all && shell.is_unfinished(&line.text) {
                    true => Outcome::Unfinished(line.text),
                    false => {
                        on_line(&line.text);
                        Outcome::Ran(shell.run(&line.text))
                    }
                };
                if done.blocking_send(outcome).is_err() {
                    break;
                }
            }
            // Before the session hears that the thread is at its end.
            drop(shell);
            drop(done);
        };
        let thread = thread::Builder::new().name("backdoor".to_owned());
        thread.stack_size(STACK).spawn(work)?;
        Ok(Worker { lines, outcomes })
    }

    /// Begins lines; there must be none that run. False if the thread is gone.
    pub(super) fn begin(&self, line: Line) -> bool {
        self.lines.try_send(line).is_ok()
    }

    /// What became of them; `None` if the thread is gone.
    pub(super) async fn outcome(&mut self) -> Option<Outcome> {
        self.outcomes.recv().await
    }

    /// Waits until the thread is at its end.
    pub(super) async fn end(self) {
        let Worker {
            lines,
            mut outcomes,
        } = self;
        drop(lines);
        while outcomes.recv().await.is_some() {}
    }
}
