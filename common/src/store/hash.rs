//! SHA-256 (FIPS 180-4) of streams, of which two can go on side by side. A processor with
//! instructions for it waits for each of them longer than it takes to begin the next: a second
//! stream costs hardly more than the first one alone. That is done for x86; elsewhere, where there are no
//! such instructions, and for whatever is left over of one stream, `sha2` does the work. So it does in a
//! build for processors that all have them (`-C target-cpu=native`): there nobody asks the processor,
//! and to call what needs them would be `unsafe`.

#[cfg(all(target_arch = "x86_64", not(target_feature = "sha")))]
use multiversion::multiversion;
use sha2::block_api::compress256;

use crate::segment::SegmentHash;

/// Bytes in a block.
const BLOCK: usize = 64;

/// Before the first block (§5.3.3).
const BEGIN: State = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

type State = [u32; 8];
type Block = [u8; BLOCK];

/// A stream's hash under way.
#[derive(Debug, Clone)]
pub(super) struct Hasher {
    state: State,
    /// What does not fill a block yet, at its start.
    rest: Block,
    /// Bytes so far.
    length: u64,
}

impl Hasher {
    pub(super) fn new() -> Hasher {
        Hasher {
            state: BEGIN,
            rest: [0; BLOCK],
            length: 0,
        }
    }

    /// Goes on with these bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        let blocks = self.fill(bytes);
        let (blocks, rest) = blocks.as_chunks();
        compress256(&mut self.state, blocks);
        self.keep(rest);
    }

    /// The same for two streams at once.
    pub(super) fn update_both(one: (&mut Hasher, &[u8]), other: (&mut Hasher, &[u8])) {
        let (one, other) = ((one.0.fill(one.1), one.0), (other.0.fill(other.1), other.0));
        let (blocks, rest) = one.0.as_chunks();
        let (other_blocks, other_rest) = other.0.as_chunks();
        let both = blocks.len().min(other_blocks.len());
        let (blocks, left) = blocks.split_at(both);
        let (other_blocks, other_left) = other_blocks.split_at(both);
        compress_both(&mut one.1.state, blocks, &mut other.1.state, other_blocks);
        compress256(&mut one.1.state, left);
        compress256(&mut other.1.state, other_left);
        one.1.keep(rest);
        other.1.keep(other_rest);
    }

    /// The hash of all bytes.
    pub(super) fn finish(mut self) -> SegmentHash {
        let bits = self.length * 8;
        let at = self.at();
        // A one, zeros, and the length in bits (§5.1.1).
        self.rest[at] = 0x80;
        self.rest[at + 1..].fill(0);
        if at + 1 > BLOCK - 8 {
            compress256(&mut self.state, &[self.rest]);
            self.rest = [0; BLOCK];
        }
        self.rest[BLOCK - 8..].copy_from_slice(&bits.to_be_bytes());
        compress256(&mut self.state, &[self.rest]);
        let mut digest = [0; 32];
        for (bytes, word) in digest.chunks_exact_mut(4).zip(self.state) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        SegmentHash::from_bytes(digest)
    }

    /// How much of `rest` is in use.
    fn at(&self) -> usize {
        (self.length % BLOCK as u64) as usize
    }

    /// Counts the bytes and completes a block that was begun. Gives what comes after it.
    fn fill<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let at = self.at();
        self.length += bytes.len() as u64;
        if at == 0 {
            return bytes;
        }
        let taken = bytes.len().min(BLOCK - at);
        let (first, bytes) = bytes.split_at(taken);
        self.rest[at..at + taken].copy_from_slice(first);
        if at + taken == BLOCK {
            compress256(&mut self.state, &[self.rest]);
        }
        bytes
    }

    /// Keeps what does not fill a block, if any of it is new.
    fn keep(&mut self, rest: &[u8]) {
        self.rest[..rest.len()].copy_from_slice(rest);
    }
}

/// As many blocks of one stream as of the other.
#[cfg(all(target_arch = "x86_64", not(target_feature = "sha")))]
#[multiversion(targets("x86_64+sha+sse2+sse4.1+ssse3"))]
fn compress_both(one: &mut State, blocks: &[Block], other: &mut State, other_blocks: &[Block]) {
    use multiversion::target::match_target;

    match_target! {
        "x86_64+sha+sse2+sse4.1+ssse3" => {
            x86::compress_both([one, other], [blocks, other_blocks]);
        },
        _ => {
            compress256(one, blocks);
            compress256(other, other_blocks);
        }
    }
}

/// As many blocks of one stream as of the other.
#[cfg(not(all(target_arch = "x86_64", not(target_feature = "sha"))))]
fn compress_both(one: &mut State, blocks: &[Block], other: &mut State, other_blocks: &[Block]) {
    compress256(one, blocks);
    compress256(other, other_blocks);
}

#[cfg(all(target_arch = "x86_64", not(target_feature = "sha")))]
mod x86;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    fn expected(bytes: &[u8]) -> SegmentHash {
        SegmentHash::from_bytes(Sha256::digest(bytes).into())
    }

    #[test]
    fn lengths_around_the_end_of_a_block() {
        for length in 0..300 {
            let bytes = vec![0xa5; length];
            let mut hasher = Hasher::new();
            hasher.update(&bytes);
            assert_eq!(hasher.finish(), expected(&bytes), "{length}");
        }
    }

    /// Bytes in pieces of any size.
    fn stream() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let piece = prop_oneof![0..=3_usize, 60..=70_usize, 0..2000_usize];
        let piece = piece.prop_flat_map(|size| proptest::collection::vec(any::<u8>(), size));
        proptest::collection::vec(piece, 0..12)
    }

    proptest! {
        #[test]
        fn two_streams_side_by_side_are_what_each_is_alone(one in stream(), other in stream()) {
            let (mut a, mut b) = (Hasher::new(), Hasher::new());
            for n in 0..one.len().max(other.len()) {
                let piece = one.get(n).map_or(&[][..], Vec::as_slice);
                let other_piece = other.get(n).map_or(&[][..], Vec::as_slice);
                match n % 5 {
                    4 => {
                        a.update(piece);
                        b.update(other_piece);
                    }
                    _ => Hasher::update_both((&mut a, piece), (&mut b, other_piece)),
                }
            }
            prop_assert_eq!(a.finish(), expected(&one.concat()));
            prop_assert_eq!(b.finish(), expected(&other.concat()));
        }
    }
}
