//! A terminal that shows both log lines and, below them, a line of status that changes.

use std::io::{self, Stderr, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use tracing_subscriber::fmt::MakeWriter;

/// True iff the last line of the terminal is one of status.
static SHOWN: AtomicBool = AtomicBool::new(false);

/// Back to the beginning of the line, and the line is empty.
const CLEAR: &[u8] = b"\r\x1b[K";

/// While this lives, standard error is a terminal with a line of status at its end, which is
/// drawn again every moment: log lines take its place instead of going on behind it.
#[derive(Debug)]
pub struct StatusLine(());

impl StatusLine {
    /// The line is shown from now on.
    #[must_use]
    pub fn begin() -> StatusLine {
        SHOWN.store(true, Ordering::Relaxed);
        StatusLine(())
    }
}

impl Drop for StatusLine {
    fn drop(&mut self) {
        SHOWN.store(false, Ordering::Relaxed);
    }
}

/// Where log lines go: standard error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogLines;

impl<'a> MakeWriter<'a> for LogLines {
    type Writer = LogLine<Stderr>;

    fn make_writer(&'a self) -> LogLine<Stderr> {
        LogLine(io::stderr())
    }
}

/// Writes a log line, which comes whole.
pub(crate) struct LogLine<W>(W);

impl<W: Write> Write for LogLine<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if SHOWN.load(Ordering::Relaxed) {
            self.0.write_all(CLEAR)?;
        }
        self.0.write_all(line)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_line_takes_the_place_of_the_status() {
        let mut terminal = Vec::new();
        LogLine(&mut terminal).write_all(b"one\n").unwrap();
        let status = StatusLine::begin();
        LogLine(&mut terminal).write_all(b"two\n").unwrap();
        drop(status);
        LogLine(&mut terminal).write_all(b"three\n").unwrap();
        assert_eq!(terminal, b"one\n\r\x1b[Ktwo\nthree\n");
    }
}
