//! A client's connection, as the HTTP server sees it: a client that stops reading is dropped,
//! and files go from the kernel's memory to the socket without a copy in ours.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::net::SendFlags;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use super::files::FileSender;
use super::pace::Pace;

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    /// A client that takes nothing for so long is dropped.
    stall_timeout: Duration,
    /// Runs while the client has to take something before we can go on; kept for the next time.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Since when it runs, if it does.
    waits_since: Option<Instant>,
    pace: Pace,
    files: FileSender,
    /// Bytes sent since others had their turn.
    sent: usize,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, stall_timeout: Duration, files: FileSender) -> Connection {
        let socket = SockRef::from(&stream);
        // Neither is needed for an answer to be right, and a client that has hung up already
        // fails them. Heads and small answers go out at once.
        //
        // TCP_USER_TIMEOUT would drop slow clients too: to the kernel, one whose window stays
        // smaller than what is next to send takes nothing, although it takes it in parts.
        let _ = socket.set_tcp_nodelay(true);
        let connection = Connection {
            stream,
            stall_timeout,
            stalled: None,
            waits_since: None,
            pace: Pace::default(),
            files,
            sent: 0,
        };
        connection.set_portion();
        connection
    }

    /// Has the kernel take as much as the client's pace allows.
    fn set_portion(&self) {
        let portion = u32::try_from(self.pace.portion()).unwrap_or(u32::MAX);
        // As above: a client that has hung up fails it.
        let _ = SockRef::from(&self.stream).set_tcp_notsent_lowat(portion);
    }

    /// Ends a wait for the client: with the outcome, or as soon as it has stalled too long.
    fn watch(
        &mut self,
        context: &mut Context<'_>,
        outcome: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if outcome.is_ready() {
            let waited = self.waits_since.take().map(|since| since.elapsed());
            if waited.is_some_and(|waited| self.pace.waited(waited)) {
                self.set_portion();
            }
            return outcome;
        }
        let stall_timeout = self.stall_timeout;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(sleep(stall_timeout)));
        if self.waits_since.is_none() {
            let now = Instant::now();
            stalled.as_mut().reset(now + stall_timeout);
            self.waits_since = Some(now);
        }
        stalled.as_mut().poll(context).map(|()| {
            let message = "the client has stopped reading";
            Err(io::Error::new(io::ErrorKind::TimedOut, message))
        })
    }

    /// Calls `send` whenever the socket may take something, until it does.
    fn poll_send(
        &self,
        context: &mut Context<'_>,
        mut send: impl FnMut(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            std::task::ready!(self.stream.poll_write_ready(context))?;
            let sent = self
                .stream
                .try_io(Interest::WRITABLE, || send(&self.stream));
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                sent => return Poll::Ready(sent),
            }
        }
    }

    /// Sends what comes first of `buffers`: bytes, or a file in the place of its placeholder.
    fn poll_write_first(
        &mut self,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let is_file = |buffer: &IoSlice<'_>| FileSender::is_placeholder(buffer);
        let first = buffers.iter().position(|buffer| !buffer.is_empty());
        let buffers = &buffers[first.unwrap_or(buffers.len())..];
        match buffers.iter().position(is_file) {
            None => Pin::new(&mut self.stream).poll_write_vectored(context, buffers),
            Some(0) => self.poll_send(context, |socket| self.files.send(socket, buffers[0].len())),
            // A head before its file: they leave together.
            Some(1) => self.poll_send(context, |socket| {
                let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
                Ok(rustix::net::send(socket, &buffers[0], flags)?)
            }),
            Some(file) => Pin::new(&mut self.stream).poll_write_vectored(context, &buffers[..file]),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(buffer)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // Others have their turn.
        if self.sent >= self.pace.portion() {
            self.sent = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let sent = self.poll_write_first(context, buffers);
        let sent = self.watch(context, sent);
        if let Poll::Ready(Ok(sent)) = sent {
            self.sent += sent;
            if self.pace.took(sent) {
                self.set_portion();
            }
        }
        sent
    }

    /// The server must hand over what it got, not a copy: placeholders are known by their place.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
