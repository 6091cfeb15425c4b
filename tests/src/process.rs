//! A child process of a test: its output is kept line by line, its end can be awaited, and it
//! is killed and reaped when its handle is dropped. Only ever this one process is signalled, by
//! the id that its unreaped child handle guarantees to be still its own.

use std::collections::VecDeque;
use std::fmt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::timeout;

/// So many lines are kept, the oldest go first.
const MAX_LINES: usize = 20_000;
/// A longer line is broken into several.
const MAX_LINE: u64 = 8 * 1024;
/// So many lines are shown when a test fails.
const SHOWN: usize = 60;
/// How long the rest of an ended process's output may take to be read.
const OUTPUT_END: Duration = Duration::from_secs(5);
/// How long a killed process may take to be reaped: it is a matter of the kernel alone.
const REAP: Duration = Duration::from_secs(10);

/// The lines that a process has written to its standard output and error, in one order.
#[derive(Default)]
struct Lines {
    kept: VecDeque<String>,
    forgotten: usize,
}

impl Lines {
    fn push(&mut self, line: String) {
        if self.kept.len() == MAX_LINES {
            self.kept.pop_front();
            self.forgotten += 1;
        }
        self.kept.push_back(line);
    }

    fn tail(&self, count: usize) -> String {
        let skipped = self.kept.len().saturating_sub(count);
        let lines = self.kept.iter().skip(skipped);
        lines.map(|line| format!("  {line}\n")).collect()
    }
}

/// A running (or ended) child process.
pub struct Process {
    name: String,
    child: Child,
    lines: watch::Receiver<Lines>,
    status: Option<ExitStatus>,
}

impl Process {
    /// Starts a command without standard input. `name` is for messages.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn spawn(name: &str, mut command: Command) -> Process {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name} ({command:?}): {error}"));
        let (sender, lines) = watch::channel(Lines::default());
        // These tasks end with the process's output.
        tokio::spawn(collect(child.stdout.take(), sender.clone()));
        tokio::spawn(collect(child.stderr.take(), sender));
        Process {
            name: name.to_owned(),
            child,
            lines,
            status: None,
        }
    }

    /// Its name in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id, while it is not yet reaped.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// True until it has ended.
    ///
    /// # Panics
    /// If the kernel does not know the child.
    pub fn is_running(&mut self) -> bool {
        if self.status.is_none() {
            self.status = self.child.try_wait().expect("the state of a child");
        }
        self.status.is_none()
    }

    /// The lines of its output, oldest first (of very many, the last 20,000).
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.lines.borrow().kept.iter().cloned().collect()
    }

    /// So many lines contain this text.
    #[must_use]
    pub fn count_log(&self, text: &str) -> usize {
        let lines = self.lines.borrow();
        lines.kept.iter().filter(|l| l.contains(text)).count()
    }

    /// Waits for a line that contains this text, among those already there too, and returns it.
    ///
    /// # Panics
    /// If the time is over or the process's output has ended without it.
    pub async fn wait_for_log(&self, text: &str, time: Duration) -> String {
        self.wait_for_line(&format!("the line {text:?}"), time, |line| {
            line.contains(text).then(|| line.to_owned())
        })
        .await
    }

    /// Waits for a line that `find` makes something of, and returns that. `what` is for the
    /// message.
    ///
    /// # Panics
    /// If the time is over or the process's output has ended without it.
    pub async fn wait_for_line<T>(
        &self,
        what: &str,
        time: Duration,
        mut find: impl FnMut(&str) -> Option<T>,
    ) -> T {
        let mut lines = self.lines.clone();
        let mut seen = 0;
        let search = async {
            loop {
                {
                    let lines = lines.borrow_and_update();
                    let new = lines.kept.iter().skip(seen - lines.forgotten.min(seen));
                    if let Some(found) = new.into_iter().find_map(|line| find(line)) {
                        return Some(found);
                    }
                    seen = lines.forgotten + lines.kept.len();
                }
                if lines.changed().await.is_err() {
                    return None;
                }
            }
        };
        let why = match timeout(time, search).await {
            Ok(Some(found)) => return found,
            Ok(None) => "its output has ended".to_owned(),
            Err(_) => format!("after {time:?}"),
        };
        let tail = self.lines.borrow().tail(SHOWN);
        panic!(
            "{} did not write {what} ({why}); its last lines:\n{tail}",
            self.name
        );
    }

    /// Sends a signal, unless it has ended.
    ///
    /// # Panics
    /// If the kernel refuses.
    pub fn signal(&mut self, signal: Signal) {
        if !self.is_running() {
            return;
        }
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(id) = id.and_then(Pid::from_raw) {
            // Not reaped, so the id cannot have become another process's.
            kill_process(id, signal)
                .unwrap_or_else(|error| panic!("cannot signal {}: {error}", self.name));
        }
    }

    /// Asks it to end: SIGTERM.
    pub fn terminate(&mut self) {
        self.signal(Signal::TERM);
    }

    /// Kills it: SIGKILL, as a crash or a power cut would.
    pub fn kill_hard(&mut self) {
        self.signal(Signal::KILL);
    }

    /// Waits for its end, and for the last of its output.
    ///
    /// # Panics
    /// If it does not end in time.
    pub async fn wait(&mut self, time: Duration) -> ExitStatus {
        if let Some(status) = self.status {
            return status;
        }
        match timeout(time, self.child.wait()).await {
            Ok(status) => {
                // The pipes end with it, unless a child of its own holds them.
                let mut lines = self.lines.clone();
                let end = async { while lines.changed().await.is_ok() {} };
                let _ = timeout(OUTPUT_END, end).await;
                *self.status.insert(status.expect("the state of a child"))
            }
            Err(_) => {
                let tail = self.lines.borrow().tail(SHOWN);
                panic!(
                    "{} did not end in {time:?}; its last lines:\n{tail}",
                    self.name
                );
            }
        }
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Process({}, {:?})", self.name, self.child.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let tail = self.lines.borrow().tail(SHOWN);
            eprintln!("--- the last lines of {}:\n{tail}---", self.name);
        }
        // Waits for the reaping, so that a finished test leaves nothing behind, not even for a
        // moment: `drop` cannot await, and the kernel needs a millisecond.
        let _ = self.child.start_kill();
        let deadline = std::time::Instant::now() + REAP;
        while matches!(self.child.try_wait(), Ok(None)) && std::time::Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Reads lines to the end of a pipe.
async fn collect(pipe: Option<impl AsyncRead + Unpin>, lines: watch::Sender<Lines>) {
    let Some(pipe) = pipe else { return };
    let mut reader = BufReader::new(pipe);
    loop {
        let mut line = Vec::new();
        let mut limited = (&mut reader).take(MAX_LINE);
        match limited.read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        lines.send_modify(|lines| lines.push(line));
    }
}
