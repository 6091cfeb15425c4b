//! Files that go to a client without being read into the process: `sendfile`.
//!
//! The HTTP server knows bodies as bytes in memory. A body that is a file is given bytes that
//! stand for it, from a place in memory where no content ever is, and the file is noted with
//! the connection; when the connection is handed bytes from that place to write, it sends the
//! file instead. All else about the answer (its head, its length, what comes after it) stays the
//! server's work. A placeholder is never read: where it is not replaced, zeros would go out.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::net::TcpStream;

/// The most bytes that one placeholder can stand for.
const MAX: usize = 512 * 1024;

/// The place: never written, so it takes no memory.
static PLACE: [u8; MAX] = [0; MAX];

/// A file, or what keeps one open.
pub trait Sendable: AsFd + Debug + Send + Sync + 'static {}

impl<T: AsFd + Debug + Send + Sync + 'static> Sendable for T {}

/// Some bytes of a file that the server has yet to be handed the placeholder of.
#[derive(Debug)]
struct Order {
    /// Kept until all is sent, which may be long after its answer's body is gone.
    file: Arc<dyn Sendable>,
    /// The next byte of the file.
    start: u64,
    /// How many of the placeholder's bytes are left.
    left: usize,
}

/// A connection's way to send files, in the extensions of each request that came over it.
///
/// HTTP/1 alone, where answers follow one another: what is ordered first is sent first.
#[derive(Debug, Clone, Default)]
pub struct FileSender {
    orders: Arc<Mutex<VecDeque<Order>>>,
}

impl FileSender {
    /// Notes bytes of a file to be sent, from `start`, at most `length` of them; gives what
    /// stands for them, which tells how many. It has to be the next that the answer's body
    /// yields, and whole. They should be in the kernel's memory: sending waits for the disk.
    #[must_use]
    pub fn order(&self, file: Arc<dyn Sendable>, start: u64, length: u64) -> Bytes {
        let left = usize::try_from(length).unwrap_or(MAX).min(MAX);
        self.orders().push_back(Order { file, start, left });
        Bytes::from_static(&PLACE[..left])
    }

    /// True iff these bytes stand for a file.
    pub(super) fn is_placeholder(bytes: &[u8]) -> bool {
        PLACE.as_ptr_range().contains(&bytes.as_ptr()) && !bytes.is_empty()
    }

    /// Sends at most `length` bytes of what was ordered first.
    pub(super) fn send(&self, socket: &TcpStream, length: usize) -> io::Result<usize> {
        let mut orders = self.orders();
        let Some(order) = orders.front_mut() else {
            return Err(io::Error::other("a placeholder without a file"));
        };
        let length = length.min(order.left);
        let sent =
            rustix::fs::sendfile(socket, order.file.as_fd(), Some(&mut order.start), length)?;
        if sent == 0 {
            let message = "the file became shorter while it was sent";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        order.left -= sent;
        if order.left == 0 {
            orders.pop_front();
        }
        Ok(sent)
    }

    fn orders(&self) -> MutexGuard<'_, VecDeque<Order>> {
        // Every change is complete before anything can panic.
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placeholder_is_known_in_whole_and_in_part() {
        let sender = FileSender::default();
        let file = Arc::new(tempfile::tempfile().unwrap());
        let mut bytes = sender.order(file, 0, u64::MAX);
        assert_eq!(bytes.len(), MAX);
        let rest = bytes.split_off(MAX - 1);
        assert!(FileSender::is_placeholder(&bytes) && FileSender::is_placeholder(&rest));
        assert!(!FileSender::is_placeholder(&vec![0; MAX]));
        assert!(!FileSender::is_placeholder(b""));
    }
}
