//! A text as a list of pieces: large ones are shared, small ones are copied together, so that
//! a list full of holes does not become a hundred thousand writes.

use bytes::{Bytes, BytesMut};

use crate::text::Text;

/// Below this size in bytes, a piece is copied: cheaper than to send it by itself.
const COPY_BELOW: usize = 8 * 1024;

/// A text under way.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    done: Text,
    /// Small pieces, after all of `done`.
    tail: BytesMut,
}

impl Pieces {
    /// Adds a text that is shared if it is large.
    pub(super) fn push(&mut self, piece: Bytes) {
        if piece.len() < COPY_BELOW {
            self.tail.extend_from_slice(&piece);
        } else {
            self.flush();
            self.done.pieces.push(piece);
        }
    }

    /// Adds a small text.
    pub(super) fn push_text(&mut self, text: &str) {
        self.tail.extend_from_slice(text.as_bytes());
    }

    fn flush(&mut self) {
        if !self.tail.is_empty() {
            self.done.own += self.tail.len();
            self.done.pieces.push(self.tail.split().freeze());
        }
    }

    /// All pieces.
    pub(super) fn finish(mut self) -> Text {
        self.flush();
        self.done
    }
}
