//! A body of pieces that are all there already: none is copied, and the length is known.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::vec::IntoIter;

use axum::body::HttpBody;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

/// The pieces still to be sent.
#[derive(Debug)]
pub(super) struct PiecesBody {
    pieces: IntoIter<Bytes>,
    /// The bytes of `pieces`.
    left: u64,
    /// What they take until they are sent, where that is bounded.
    _room: Option<Arc<OwnedSemaphorePermit>>,
}

impl PiecesBody {
    /// Sends these, one after the other.
    pub(super) fn new(pieces: Vec<Bytes>, room: Option<Arc<OwnedSemaphorePermit>>) -> PiecesBody {
        PiecesBody {
            left: pieces.iter().map(|piece| piece.len() as u64).sum(),
            pieces: pieces.into_iter(),
            _room: room,
        }
    }
}

impl HttpBody for PiecesBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.next();
        if let Some(piece) = &piece {
            self.left -= piece.len() as u64;
        }
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
