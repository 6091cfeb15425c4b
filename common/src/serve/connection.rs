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

/// At most so many bytes of a file wait in the kernel for each client beyond what is on its way to
/// it, and whoever has taken so many lets others have their turn. The default, some MiB, would fill
/// the memory with what ten thousand slow clients have not read yet, hide from us for minutes whether
/// one reads at all, and outgrow the processor's cache.
const FILE_PORTION: usize = 256 * 1024;

/// The same for large pieces from our memory: a playlist of an hour goes out at once (up to a tenth
/// more of them a second). Files that are read come in pieces of no more than a file's portion.
const MEMORY_PORTION: usize = 512 * 1024;

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    /// A client that takes nothing for so long is dropped. What the kernel has taken for it hides from
    /// us that it takes little: one that takes less than half a portion meanwhile may be dropped, too.
    stall_timeout: Duration,
    /// Runs while the client has to take something before we can go on; kept for the next time.
    stalled: Option<Pin<Box<Sleep>>>,
    /// True iff `stalled` runs.
    is_stalled: bool,
    files: FileSender,
    /// How much the client gets at a time, in bytes.
    portion: usize,
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
        let mut connection = Connection {
            stream,
            stall_timeout,
            stalled: None,
            is_stalled: false,
            files,
            portion: 0,
            sent: 0,
        };
        connection.set_portion(FILE_PORTION);
        connection
    }

    /// Has the kernel take so much at a time.
    fn set_portion(&mut self, portion: usize) {
        if self.portion != portion {
            self.portion = portion;
            let portion = u32::try_from(portion).unwrap_or(u32::MAX);
            // A client that has hung up already fails it.
            let _ = SockRef::from(&self.stream).set_tcp_notsent_lowat(portion);
        }
    }

    /// Ends a wait for the client: with the outcome, or as soon as it has stalled too long.
    fn watch(
        &mut self,
        context: &mut Context<'_>,
        outcome: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if outcome.is_ready() {
            self.is_stalled = false;
            return outcome;
        }
        let stall_timeout = self.stall_timeout;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(sleep(stall_timeout)));
        if !self.is_stalled {
            stalled.as_mut().reset(Instant::now() + stall_timeout);
            self.is_stalled = true;
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
        let file = buffers.iter().position(is_file);
        if file.is_some() {
            self.set_portion(FILE_PORTION);
        } else if buffers.iter().any(|buffer| buffer.len() > FILE_PORTION) {
            self.set_portion(MEMORY_PORTION);
        }
        match file {
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
        if self.sent >= self.portion {
            self.sent = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let sent = self.poll_write_first(context, buffers);
        let sent = self.watch(context, sent);
        if let Poll::Ready(Ok(sent)) = sent {
            self.sent += sent;
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn more_waits_in_the_kernel_of_what_comes_from_memory_than_of_files() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut client = TcpStream::connect(address).await.unwrap();
        let client = tokio::spawn(async move {
            let mut all = Vec::new();
            client.read_to_end(&mut all).await.unwrap();
            all.len()
        });
        let stream = listener.accept().await.unwrap().0;
        let files = FileSender::default();
        let mut connection = Connection::new(stream, Duration::from_secs(60), files.clone());
        let file = tempfile::tempfile().unwrap();
        file.set_len(5000).unwrap();
        let file = Arc::new(file);
        // What is sent, and how much may wait then.
        let steps = [
            (None, 0, FILE_PORTION),
            (None, FILE_PORTION, FILE_PORTION),
            (None, 1_000_000, MEMORY_PORTION),
            // Only large answers say what is asked for.
            (None, 1000, MEMORY_PORTION),
            (Some(&file), 5000, FILE_PORTION),
            (None, 1000, FILE_PORTION),
        ];
        let mut all = 0;
        for (file, length, expected) in steps {
            all += length;
            let bytes = match file {
                Some(file) => files.order(Arc::clone(file) as _, 0, length as u64),
                None => vec![0; length].into(),
            };
            connection.write_all(&bytes).await.unwrap();
            let waits = SockRef::from(&connection.stream).tcp_notsent_lowat();
            assert_eq!(waits.unwrap() as usize, expected, "{length}");
        }
        drop(connection);
        assert_eq!(client.await.unwrap(), all);
    }
}
