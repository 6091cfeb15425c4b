//! A file's bytes on their way to a client: read a buffer at a time, when the client has taken
//! the one before, so that a slow client holds one buffer and no thread.
//!
//! What the kernel has in memory already goes from there to the socket, where the connection can
//! do that: a third to two thirds of the work. Elsewhere it is read at once, without a detour over
//! a blocking thread; what the disk has to bring is read on such a thread.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};

use axum::body::HttpBody;
use bytes::Bytes;
use common::metrics;
use common::serve::FileSender;
use hyper::body::{Frame, SizeHint};
use prometheus::IntCounter;
use rustix::io::{Errno, ReadWriteFlags};
use tokio::task::JoinHandle;

use super::buffers::{Buffer, Buffers};
use super::ranges::Span;
use super::shared::SharedFile;

/// From this length in bytes on, the kernel sends a file without a copy: for less, the copy
/// costs no more than a call of the system.
const SEND_FROM: u64 = 32 * 1024;

/// So many bytes are sent by the kernel at a time.
const SEND_AT_ONCE: u64 = 512 * 1024;

/// The kernel reads files ahead in runs of about so many bytes: where one byte is in memory,
/// those up to the next such run are.
const RUN: usize = 128 * 1024;

/// Bytes of files that were handed to connections, by where they were found.
struct Sent {
    /// In the kernel's memory, from where they went without a copy of ours.
    sendfile: IntCounter,
    /// In the kernel's memory, from where they were copied.
    copied: IntCounter,
    /// Perhaps on the disk: a thread waited for them.
    read: IntCounter,
}

static SENT: LazyLock<Sent> = LazyLock::new(|| {
    let help = "Bytes of files for clients: by sendfile, copied from memory, or read from the disk";
    let sent = metrics::counter("restreamer_file_bytes", help, &["how"]);
    Sent {
        sendfile: sent.with_label_values(&["sendfile"]),
        copied: sent.with_label_values(&["copied"]),
        read: sent.with_label_values(&["read"]),
    }
});

/// A part of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// This text.
    Text(Bytes),
    /// These bytes of the file.
    File(Span),
}

impl Part {
    /// Its length in bytes.
    pub(super) fn length(&self) -> u64 {
        match self {
            Part::Text(text) => text.len() as u64,
            Part::File(span) => span.length(),
        }
    }
}

/// A body that is read from a file as it is sent.
#[derive(Debug)]
pub(crate) struct FileBody {
    file: Arc<SharedFile>,
    /// Where the connection can send files by itself.
    sender: Option<FileSender>,
    /// What has not been read yet.
    parts: VecDeque<Part>,
    /// A read on a blocking thread, of the beginning of the first part.
    reading: Option<JoinHandle<io::Result<Bytes>>>,
    /// True iff what was yielded last stands for a part of the file that is yet to be sent: a body
    /// that has ended is dropped at once, and its request counts as answered.
    is_under_way: bool,
    buffers: Arc<Buffers>,
}

impl FileBody {
    /// Sends these parts of a file, one after the other.
    pub(crate) fn new(
        file: Arc<SharedFile>,
        parts: Vec<Part>,
        sender: Option<FileSender>,
        buffers: Arc<Buffers>,
    ) -> FileBody {
        FileBody {
            file,
            sender,
            parts: parts.into_iter().filter(|part| part.length() > 0).collect(),
            reading: None,
            is_under_way: false,
            buffers,
        }
    }

    /// Notes that the first bytes of the first part were read.
    fn advance(&mut self, bytes: usize) {
        if let Some(Part::File(span)) = self.parts.front_mut() {
            span.start = span.end.min(span.start + bytes as u64);
            if span.start == span.end {
                self.parts.pop_front();
            }
        }
    }
}

impl HttpBody for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        this.is_under_way = false;
        if this.reading.is_none() {
            let span = match this.parts.pop_front() {
                None => return Poll::Ready(None),
                Some(Part::Text(text)) => return Poll::Ready(Some(Ok(Frame::data(text)))),
                Some(Part::File(span)) => span,
            };
            this.parts.push_front(Part::File(span));
            if let Some(sender) = &this.sender
                && span.length() >= SEND_FROM
                && is_in_memory(&this.file, span)
            {
                let length = span.length().min(SEND_AT_ONCE);
                let file = Arc::clone(&this.file);
                let placeholder = sender.order(file, span.start, length);
                this.is_under_way = true;
                SENT.sendfile.inc_by(placeholder.len() as u64);
                this.advance(placeholder.len());
                return Poll::Ready(Some(Ok(Frame::data(placeholder))));
            }
            let mut buffer = this.buffers.take(span.length());
            if let Some(bytes) = read_if_in_memory(&this.file, &mut buffer, span) {
                SENT.copied.inc_by(bytes as u64);
                this.advance(bytes);
                let bytes = buffer.into_bytes(bytes);
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            let file = Arc::clone(&this.file);
            let read = tokio::task::spawn_blocking(move || read(file.file(), buffer, span));
            this.reading = Some(read);
        }
        let Some(reading) = &mut this.reading else {
            return Poll::Ready(None);
        };
        let outcome = ready!(Pin::new(reading).poll(context));
        this.reading = None;
        let bytes = outcome.unwrap_or_else(|error| Err(io::Error::other(error)));
        if let Ok(bytes) = &bytes {
            SENT.read.inc_by(bytes.len() as u64);
            this.advance(bytes.len());
        } else {
            this.parts.clear();
        }
        Poll::Ready(Some(bytes.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.parts.is_empty() && !self.is_under_way
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.parts.iter().map(Part::length).sum())
    }
}

/// True iff the kernel has in memory what it would send next of a span, as good as certainly. What
/// it lets go of before that is sent, a thread that answers has to wait for; as for what was swapped
/// out of a `tmpfs`.
fn is_in_memory(file: &SharedFile, span: Span) -> bool {
    let last = span.end.min(span.start + SEND_AT_ONCE) - 1;
    let mut probes = (span.start..last).step_by(RUN).chain([last]);
    probes.all(|at| {
        let mut byte = [0];
        let mut room = [IoSliceMut::new(&mut byte)];
        let read = rustix::io::preadv2(file.file(), &mut room, at, ReadWriteFlags::NOWAIT);
        match read {
            Err(Errno::OPNOTSUPP) => file.is_in_tmpfs(),
            read => read == Ok(1),
        }
    })
}

/// Reads what the kernel has in memory of a span's beginning; `None` if that is nothing, or if
/// the file system cannot tell.
fn read_if_in_memory(file: &SharedFile, buffer: &mut Buffer, span: Span) -> Option<usize> {
    let mut room = [IoSliceMut::new(buffer.room(span.length()))];
    let mut read = |flags| rustix::io::preadv2(file.file(), &mut room, span.start, flags);
    let read = match read(ReadWriteFlags::NOWAIT) {
        Err(Errno::OPNOTSUPP) if file.is_in_tmpfs() => read(ReadWriteFlags::empty()),
        read => read,
    };
    read.ok().filter(|&bytes| bytes > 0)
}

/// Reads a span's beginning, waiting for the disk.
fn read(file: &File, mut buffer: Buffer, span: Span) -> io::Result<Bytes> {
    loop {
        match file.read_at(buffer.room(span.length()), span.start) {
            Ok(0) => {
                let message = "the file became shorter while it was sent";
                return Err(io::Error::new(ErrorKind::UnexpectedEof, message));
            }
            Ok(bytes) => return Ok(buffer.into_bytes(bytes)),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::shared::OpenFiles;
    use super::*;
    use crate::routes::segments::open;

    #[tokio::test]
    async fn a_file_stays_open_until_it_is_sent() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("x.ts");
        std::fs::write(&path, [0; 100_000]).unwrap();
        let files = Arc::new(OpenFiles::new(1));
        let file = open(&files, &path).unwrap().unwrap();
        let whole = Span {
            start: 0,
            end: 100_000,
        };
        let sender = FileSender::default();
        let parts = vec![Part::File(whole)];
        let mut body = FileBody::new(file, parts, Some(sender.clone()), Arc::default());
        let frame = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
        let bytes = frame.unwrap().unwrap().into_data().unwrap();
        assert_eq!(bytes.len(), 100_000);
        // Its request is not answered yet.
        assert!(!body.is_end_stream());
        drop((body, bytes));
        assert!(files.is_full());
        drop(sender);
        assert!(!files.is_full());
    }
}
