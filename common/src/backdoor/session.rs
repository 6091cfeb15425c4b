//! One operator: what is typed becomes lines, lines are run one after the other, and what they
//! say is shown. Typing goes on while a line runs; Ctrl-C reaches it at once.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::control::Control;
use super::editor::{Action, Editor};
use super::engine::Ran;
use super::keys::Keys;
use super::registry::Catalogue;
use super::show;
use super::telnet::{Event, GREETING, Telnet};
use super::worker::{Line, Outcome, Worker};
use crate::http::shown_text;
use crate::tasks::Task;

/// An operator who does nothing for so long has gone home.
const IDLE: Duration = Duration::from_secs(4 * 3600);

/// A client that takes nothing for so long is dropped.
const STALL: Duration = Duration::from_secs(60);

/// A line of a client that has sent its end has so long. Whether it still wants to hear (`nc -N`) or
/// is gone cannot be seen, and one that is gone keeps an operator's place.
const AFTER_END: Duration = Duration::from_secs(20);

/// When the process stops, a client has so long to take what there is for it.
const FAREWELL: Duration = Duration::from_secs(1);

/// So much may be typed, or pasted, while a line runs; then the client has to wait. More than anybody
/// pastes: Ctrl-C behind it is not heard before the line ends.
const MOST_TYPED: usize = 1024 * 1024;

/// The longest block of lines, in bytes.
const LONGEST_BLOCK: usize = 64 * 1024;

/// Pieces of output that wait for the client; the line waits when there are more.
const WAITING_OUTPUT: usize = 16;

/// How much of a line is logged, in characters.
const MOST_LOGGED: usize = 2000;

struct Session {
    peer: String,
    prompt: String,
    telnet: Telnet,
    keys: Keys,
    editor: Editor,
    /// Typed, and not looked at yet: something runs.
    typed: VecDeque<u8>,
    /// The lines of a block that is not complete.
    block: String,
    /// Where lines run.
    worker: Worker,
    control: Arc<Control>,
    /// True iff a line runs.
    running: bool,
    /// When it began, or the one before it.
    began: Instant,
    /// What is to be sent.
    out: Vec<u8>,
    leaving: bool,
    task: Task,
}

/// Serves an operator until one of both leaves, or `shutdown`.
///
/// # Errors
/// If the connection breaks.
pub(super) async fn serve<S: AsyncRead + AsyncWrite>(
    stream: S,
    peer: String,
    catalogue: Catalogue,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let (output, mut words) = mpsc::channel(WAITING_OUTPUT);
    let control = Arc::new(Control::new(Handle::current(), output));
    let task = Task::begin("operator", || peer.clone());
    let mut session = Session {
        prompt: format!("{}> ", catalogue.service),
        worker: Worker::start(catalogue, Arc::clone(&control), audit(peer.clone()))?,
        peer,
        telnet: Telnet::new(),
        keys: Keys::new(),
        editor: Editor::new(),
        typed: VecDeque::new(),
        block: String::new(),
        control,
        running: false,
        began: Instant::now(),
        out: GREETING.to_vec(),
        leaving: false,
        task,
    };
    let ended = session.talk(stream, &mut words, &shutdown).await;
    session.control.stop("the connection is gone");
    // Whoever prints finds nobody there.
    drop(words);
    // What runs ends with its next step; the operator's place is free then.
    session.worker.end().await;
    ended
}

impl Session {
    async fn talk<S: AsyncRead + AsyncWrite>(
        &mut self,
        stream: S,
        words: &mut mpsc::Receiver<String>,
        shutdown: &CancellationToken,
    ) -> io::Result<()> {
        let (mut reader, mut writer) = tokio::io::split(stream);
        self.say("help() says what there is, exit leaves\n");
        self.prompt();
        let mut input = [0; 4096];
        let mut idle_at = Instant::now() + IDLE;
        let mut ended: Option<Instant> = None;
        loop {
            self.work();
            tokio::select! {
                sent = self.send(&mut writer) => sent?,
                () = a_moment_after(shutdown) => return Ok(()),
            }
            let is_all = ended.is_some() && !self.running && self.typed.is_empty();
            if is_all && !self.block.is_empty() {
                // No more will come: what is missing is said, and the block is in the log.
                self.run_block(true);
            }
            if self.leaving || (is_all && !self.running) {
                return Ok(());
            }
            let out_of_time = ended.map(|ended| ended.max(self.began) + AFTER_END);
            let has_time = !self.control.is_stopped();
            let listens = ended.is_none() && self.typed.len() < MOST_TYPED;
            tokio::select! {
                biased;
                () = shutdown.cancelled() => {
                    self.control.stop("the process is stopping");
                    self.say("the process is stopping\n");
                    let sent = timeout(FAREWELL, self.send(&mut writer)).await;
                    return sent.unwrap_or(Ok(()));
                }
                read = reader.read(&mut input), if listens => {
                    idle_at = Instant::now() + IDLE;
                    match read? {
                        // A telnet client is gone then; another may still want to hear.
                        0 if self.telnet.speaks() => return Ok(()),
                        0 => {
                            ended = Some(Instant::now());
                            // The last line may have no end.
                            self.typed.push_back(b'\n');
                        }
                        bytes => input[..bytes].iter().for_each(|&byte| self.take(byte)),
                    }
                }
                Some(text) = words.recv() => self.say(&text),
                outcome = self.worker.outcome(), if self.running => {
                    self.running = false;
                    while let Ok(text) = words.try_recv() {
                        self.say(&text);
                    }
                    let gone = || io::Error::other("its thread has ended");
                    self.done(outcome.ok_or_else(gone)?);
                    idle_at = Instant::now() + IDLE;
                }
                () = until(out_of_time), if self.running && has_time => {
                    self.control.stop("stopped: 20 s after the client has sent its end");
                }
                () = sleep_until(idle_at), if !self.running => {
                    self.say("\nnobody has typed anything for hours\n");
                    return self.send(&mut writer).await;
                }
            }
        }
    }

    /// Takes a byte that has come: what is no text counts at once.
    fn take(&mut self, byte: u8) {
        let event = self.telnet.take(byte);
        self.out.extend(self.telnet.take_answers());
        self.editor.set_echo(self.telnet.echoes());
        match event {
            None => {}
            // Ctrl-C.
            Some(Event::Byte(0x03) | Event::Interrupt) if self.running => {
                self.typed.clear();
                self.control.stop("interrupted");
            }
            Some(Event::Interrupt) => self.typed.push_back(0x03),
            Some(Event::Byte(byte)) => self.typed.push_back(byte),
            Some(Event::AbortOutput) => self.control.mute(),
            Some(Event::AreYouThere) => {
                self.say("\n[yes]\n");
                if !self.running {
                    self.editor.show_again();
                }
            }
            Some(Event::Width(columns)) => self.editor.set_width(columns),
        }
    }

    /// Does what was typed, as far as nothing is running.
    fn work(&mut self) {
        while !self.running
            && !self.leaving
            && let Some(byte) = self.typed.pop_front()
        {
            let Some(key) = self.keys.take(byte) else {
                continue;
            };
            match self.editor.press(key) {
                None => {}
                Some(Action::Line(line)) => self.line(&line),
                Some(Action::Interrupt) => {
                    self.block.clear();
                    self.prompt();
                }
                Some(Action::Leave) => self.leaving = true,
            }
        }
    }

    fn line(&mut self, line: &str) {
        if is_http(line) {
            // A page in somebody's browser on this machine speaks to us, not an operator.
            tracing::warn!(peer = self.peer, "HTTP came to the backdoor; closed");
            self.leaving = true;
            return;
        }
        if self.block.is_empty() {
            match line.trim().trim_end_matches(';') {
                "" => return self.prompt(),
                "exit" | "quit" | "exit()" | "quit()" => {
                    self.leaving = true;
                    return;
                }
                _ => {}
            }
        }
        // Twice nothing: no more will come.
        let gives_up = line.trim().is_empty() && self.block.ends_with("\n\n");
        self.block.push_str(line);
        self.block.push('\n');
        if self.block.len() > LONGEST_BLOCK {
            self.block.clear();
            self.say("error: more lines than fit into a block\n");
            return self.prompt();
        }
        self.run_block(gives_up);
    }

    /// Runs the block, unless more of it has to come, and it is not all.
    fn run_block(&mut self, is_all: bool) {
        self.began = Instant::now();
        self.control.begin();
        self.task.state("running a line");
        self.running = self.worker.begin(Line {
            text: std::mem::take(&mut self.block),
            is_all,
        });
        self.leaving |= !self.running;
    }

    fn done(&mut self, outcome: Outcome) {
        self.task.state("at the prompt");
        let ran = match outcome {
            Outcome::Unfinished(block) => {
                self.block = block;
                return self.prompt();
            }
            Outcome::Ran(ran) => ran,
        };
        let seconds = self.began.elapsed().as_secs_f64();
        tracing::debug!(peer = self.peer, seconds, "an operator's line is done");
        match ran {
            Ran::Value(text) if text.is_empty() => {}
            Ran::Value(text) if text.ends_with('\n') => self.say(&text),
            Ran::Value(text) => self.say(&format!("{text}\n")),
            Ran::Failed(reason) => self.say(&format!("error: {reason}\n")),
        }
        self.prompt();
    }

    fn prompt(&mut self) {
        if self.block.is_empty() {
            self.editor.prompt(&self.prompt);
        } else {
            let width = self.prompt.len();
            self.editor.prompt(&format!("{:>width$}", "...> "));
        }
    }

    /// Shows a text, in which there may be anything.
    fn say(&mut self, text: &str) {
        let typed = self.editor.take_output();
        self.put(&typed);
        self.put(&show::harmless(text));
    }

    fn put(&mut self, text: &str) {
        let end: &[u8] = match self.telnet.speaks() {
            true => b"\r\n",
            false => b"\n",
        };
        for byte in text.bytes() {
            match byte {
                b'\n' => self.out.extend(end),
                byte => self.out.push(byte),
            }
        }
    }

    async fn send(&mut self, writer: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let typed = self.editor.take_output();
        self.put(&typed);
        if self.out.is_empty() {
            return Ok(());
        }
        let sending = async {
            writer.write_all(&self.out).await?;
            writer.flush().await
        };
        let sent = timeout(STALL, sending).await;
        sent.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "it takes nothing"))??;
        self.out.clear();
        Ok(())
    }
}

/// Logs what an operator runs: it acts on the process.
fn audit(peer: String) -> impl Fn(&str) {
    move |text| {
        let shown = shown_text(text.trim_end());
        let line: String = shown.chars().take(MOST_LOGGED).collect();
        tracing::info!(peer, line, "an operator's line");
    }
}

/// Waits until then, if there is a then.
async fn until(then: Option<Instant>) {
    match then {
        Some(then) => sleep_until(then).await,
        None => std::future::pending().await,
    }
}

/// Waits for the end of the process, and a moment longer.
async fn a_moment_after(shutdown: &CancellationToken) {
    shutdown.cancelled().await;
    sleep(FAREWELL).await;
}

/// True iff a line is a part of an HTTP request's head.
fn is_http(line: &str) -> bool {
    let line = line.trim_end();
    let host = line.get(..5);
    line.ends_with(" HTTP/1.1")
        || line.ends_with(" HTTP/1.0")
        || host.is_some_and(|host| host.eq_ignore_ascii_case("host:"))
}

#[cfg(test)]
#[path = "session/tests.rs"]
mod tests;
