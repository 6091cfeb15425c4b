//! What is sent: a text in pieces, most of which others have, too.

use bytes::Bytes;

/// A text in pieces, to be sent one after the other.
#[derive(Debug, Clone, Default)]
pub struct Text {
    /// The pieces.
    pub pieces: Vec<Bytes>,
    /// How many bytes of them are in memory that they share with nobody.
    pub own: usize,
}

impl Text {
    /// Its length in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }

    /// The same in memory of its own and in one piece.
    #[must_use]
    pub fn in_one(&self) -> Text {
        let pieces = vec![Bytes::from(self.pieces.concat())];
        let own = self.bytes();
        Text { pieces, own }
    }
}
