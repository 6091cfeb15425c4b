//! A file's bytes on their way to a client: read a buffer at a time, when the client has taken
//! the one before, so that a slow client holds one buffer and no thread.
//!
//! What the kernel has in memory already is read at once, without a detour over a blocking
//! thread; the rest on such a thread. With many connections, it goes from the kernel's memory to
//! the socket, where the connection can do that: half the work. (With few, a copy that stays in
//! the processor's cache is as cheap, and faster: docs/PERFORMANCE.md has the figures.)

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::HttpBody;
use bytes::Bytes;
use common::serve::FileSender;
use hyper::body::{Frame, SizeHint};
use rustix::io::ReadWriteFlags;
use tokio::task::JoinHandle;

use super::buffers::{Buffer, Buffers};
use super::ranges::Span;
use super::shared::SharedFile;

/// With so many connections or fewer, buffers stay in the processor's cache from one use to the
/// next.
const FEW: usize = 32;

/// From this length in bytes on, the kernel sends a file without a copy: for less, the copy
/// costs no more than a call of the system.
const SEND_FROM: u64 = 32 * 1024;

/// So many bytes are sent by the kernel at a time.
const SEND_AT_ONCE: u64 = 512 * 1024;

/// The kernel reads files ahead in runs of about so many bytes: where one byte is in memory,
/// those up to the next such run are.
const RUN: usize = 128 * 1024;

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
        if this.reading.is_none() {
            let span = match this.parts.pop_front() {
                None => return Poll::Ready(None),
                Some(Part::Text(text)) => return Poll::Ready(Some(Ok(Frame::data(text)))),
                Some(Part::File(span)) => span,
            };
            this.parts.push_front(Part::File(span));
            if let Some(sender) = &this.sender
                && span.length() >= SEND_FROM
                && sender.connections() > FEW
                && is_in_memory(this.file.file(), span)
            {
                let length = span.length().min(SEND_AT_ONCE);
                let file = Arc::clone(this.file.file());
                let placeholder = sender.order(file, span.start, length);
                this.advance(placeholder.len());
                return Poll::Ready(Some(Ok(Frame::data(placeholder))));
            }
            let mut buffer = this.buffers.take(span.length());
            if let Some(bytes) = read_if_in_memory(this.file.file(), &mut buffer, span) {
                this.advance(bytes);
                let bytes = buffer.into_bytes(bytes);
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            let file = Arc::clone(this.file.file());
            let read = tokio::task::spawn_blocking(move || read(&file, buffer, span));
            this.reading = Some(read);
        }
        let Some(reading) = &mut this.reading else {
            return Poll::Ready(None);
        };
        let outcome = ready!(Pin::new(reading).poll(context));
        this.reading = None;
        let bytes = outcome.unwrap_or_else(|error| Err(io::Error::other(error)));
        if let Ok(bytes) = &bytes {
            this.advance(bytes.len());
        } else {
            this.parts.clear();
        }
        Poll::Ready(Some(bytes.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.parts.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.parts.iter().map(Part::length).sum())
    }
}

/// True iff the kernel has in memory what it would send next of a span, as good as certainly.
fn is_in_memory(file: &File, span: Span) -> bool {
    let last = span.end.min(span.start + SEND_AT_ONCE) - 1;
    let mut probes = (span.start..last).step_by(RUN).chain([last]);
    probes.all(|at| {
        let mut byte = [0];
        let mut room = [IoSliceMut::new(&mut byte)];
        rustix::io::preadv2(file, &mut room, at, ReadWriteFlags::NOWAIT) == Ok(1)
    })
}

/// Reads what the kernel has in memory of a span's beginning; `None` if that is nothing, or if
/// the file system cannot tell.
fn read_if_in_memory(file: &File, buffer: &mut Buffer, span: Span) -> Option<usize> {
    let mut room = [IoSliceMut::new(buffer.room(span.length()))];
    let read = rustix::io::preadv2(file, &mut room, span.start, ReadWriteFlags::NOWAIT);
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
