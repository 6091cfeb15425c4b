//! Gzip from pieces that were compressed before (RFC 1952). Pure.
//!
//! A text that never changes is compressed once, as blocks that can stand anywhere in a stream:
//! each ends at a byte's edge and refers to nothing before it. A stream is a head, any number
//! of blocks, and the checksum of all, which is worked out from those of the blocks. It is one
//! member: browsers stop reading after the first.

use bytes::Bytes;
use crc32fast::Hasher;
use flate2::{Compress, Compression, FlushCompress};

use crate::text::Text;

/// Names are half hashes, which nothing makes smaller: more effort gains 4 % and takes twice as
/// long, less uses codes that do not fit them and loses 20 %.
const LEVEL: Compression = Compression::new(2);

/// A gzip member's head: deflate, no name, no time, unknown system (RFC 1952 §2.3).
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// The last block of a stream: an empty one (RFC 1951 §3.2.6).
const LAST: [u8; 2] = [3, 0];

/// Below this size in bytes, a text is sent as it is: setting up the compressor costs more.
const STORE_BELOW: usize = 256;

/// The most bytes that a block which is sent as it is can hold (RFC 1951 §3.2.4).
const MAX_STORED: usize = 65_535;

/// A compressed text that can stand anywhere in a gzip stream.
#[derive(Debug, Clone)]
pub struct Block {
    deflate: Bytes,
    /// Of the text, with its length.
    checksum: Hasher,
    /// The text's length in bytes.
    length: usize,
}

impl Block {
    /// Compresses a text.
    #[must_use]
    pub fn new(text: &[u8]) -> Block {
        let mut deflate = Vec::new();
        if text.len() < STORE_BELOW {
            store(text, &mut deflate);
        } else {
            compress(text, &mut deflate);
            deflate.shrink_to_fit();
        }
        let mut checksum = Hasher::new();
        checksum.update(text);
        Block {
            deflate: deflate.into(),
            checksum,
            length: text.len(),
        }
    }

    /// The memory that it takes, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.deflate.len() + size_of::<Block>()
    }
}

/// Writes a text into blocks that are not compressed.
fn store(text: &[u8], deflate: &mut Vec<u8>) {
    for part in text.chunks(MAX_STORED) {
        // Never more than MAX_STORED, which fits.
        let length = u16::try_from(part.len()).unwrap_or(u16::MAX);
        deflate.push(0);
        deflate.extend(length.to_le_bytes());
        deflate.extend((!length).to_le_bytes());
        deflate.extend(part);
    }
}

/// Compresses a text up to a byte's edge.
fn compress(text: &[u8], deflate: &mut Vec<u8>) {
    let mut compressor = Compress::new(LEVEL, false);
    let (start, mut taken) = (deflate.len(), 0);
    deflate.reserve(text.len() / 2 + 64);
    loop {
        let before = compressor.total_in();
        let result = compressor.compress_vec(&text[taken..], deflate, FlushCompress::Full);
        if result.is_err() {
            // Cannot happen (flate2: it fails only on a bad flush mode); what is not compressed
            // is right as well.
            deflate.truncate(start);
            return store(text, deflate);
        }
        taken += usize::try_from(compressor.total_in() - before).unwrap_or(0);
        if taken == text.len() && deflate.len() < deflate.capacity() {
            return;
        }
        deflate.reserve(text.len() / 4 + 64);
    }
}

/// A stream under way.
#[derive(Debug)]
pub struct Gzip {
    done: Text,
    /// Text that is not compressed yet, after all of `done`.
    pending: Vec<u8>,
    checksum: Hasher,
    /// Of the text so far; gzip keeps it modulo 2^32.
    length: usize,
}

impl Default for Gzip {
    fn default() -> Gzip {
        Gzip {
            done: Text {
                pieces: vec![Bytes::from_static(&HEAD)],
                own: 0,
            },
            pending: Vec::new(),
            checksum: Hasher::new(),
            length: 0,
        }
    }
}

impl Gzip {
    /// Adds a text.
    pub fn push_text(&mut self, text: &[u8]) {
        self.pending.extend_from_slice(text);
    }

    /// Adds a text that is compressed already.
    pub fn push(&mut self, block: &Block) {
        self.flush();
        self.append(block);
    }

    fn append(&mut self, block: &Block) {
        self.done.pieces.push(block.deflate.clone());
        self.checksum.combine(&block.checksum);
        self.length = self.length.wrapping_add(block.length);
    }

    fn flush(&mut self) {
        if !self.pending.is_empty() {
            let block = Block::new(&self.pending);
            self.pending.clear();
            self.done.own += block.deflate.len();
            self.append(&block);
        }
    }

    /// The whole stream.
    #[must_use]
    pub fn finish(mut self) -> Text {
        self.flush();
        let mut end = LAST.to_vec();
        end.extend(self.checksum.finalize().to_le_bytes());
        // The format keeps the lowest 32 bits.
        let length = (self.length as u64 & u64::from(u32::MAX)) as u32;
        end.extend(length.to_le_bytes());
        self.done.own += end.len();
        self.done.pieces.push(end.into());
        self.done
    }
}

/// A whole text as one stream.
#[must_use]
pub fn gzip(text: &[u8]) -> Bytes {
    let mut gzip = Gzip::default();
    gzip.push(&Block::new(text));
    gzip.finish().pieces.concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use proptest::prelude::*;
    use std::io::Read as _;

    /// What a reader of one member makes of a stream; it checks the checksum and the length.
    fn read(stream: &[Bytes]) -> Vec<u8> {
        let stream = stream.concat();
        let mut text = Vec::new();
        let mut decoder = GzDecoder::new(stream.as_slice());
        decoder.read_to_end(&mut text).unwrap();
        assert!(decoder.into_inner().is_empty(), "something after the end");
        text
    }

    #[test]
    fn one_text_of_any_size() {
        for size in [0, 1, 255, 256, 65_535, 65_536, 1_000_003] {
            let text: Vec<u8> = (0..size).map(|n: usize| (n * n % 251) as u8).collect();
            assert_eq!(read(&[gzip(&text)]), text, "{size}");
        }
        let names = "/segments/c/source/".repeat(1000);
        assert!(gzip(names.as_bytes()).len() < 1000);
    }

    #[test]
    fn what_cannot_be_made_smaller_hardly_grows() {
        let mut state = 1_u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(300_000)
        .collect();
        let stream = gzip(&noise);
        assert!(stream.len() < noise.len() / 20 * 21, "{}", stream.len());
        assert_eq!(read(&[stream]), noise);
    }

    proptest! {
        #[test]
        fn blocks_and_texts_in_any_order(
            pieces in prop::collection::vec((any::<bool>(), "[a-c\n]{0,900}"), 0..12),
        ) {
            let mut gzip = Gzip::default();
            let mut whole = String::new();
            let mut shared = HEAD.len();
            for (compressed, text) in &pieces {
                if *compressed {
                    let block = Block::new(text.as_bytes());
                    gzip.push(&block);
                    shared += block.deflate.len();
                } else {
                    gzip.push_text(text.as_bytes());
                }
                whole.push_str(text);
            }
            let stream = gzip.finish();
            prop_assert_eq!(stream.own, stream.bytes() - shared);
            prop_assert_eq!(read(&stream.pieces), whole.into_bytes());
        }
    }
}
