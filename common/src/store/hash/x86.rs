//! The rounds of SHA-256 by the instructions of x86 for them, two streams in turns.

use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_extract_epi32, _mm_set_epi32, _mm_set_epi64x,
    _mm_setzero_si128, _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32,
    _mm_shuffle_epi8, _mm_shuffle_epi32,
};

use super::{Block, State};

/// Streams at once: with more, the registers do not suffice.
const STREAMS: usize = 2;

/// One of each stream's.
type Lanes = [__m128i; STREAMS];

/// Of each round (FIPS 180-4 §4.2.2), in groups of four rounds.
#[rustfmt::skip]
const ROUNDS: [[u32; 4]; 16] = [
    [0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5], [0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5],
    [0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3], [0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174],
    [0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc], [0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da],
    [0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7], [0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967],
    [0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13], [0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85],
    [0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3], [0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070],
    [0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5], [0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3],
    [0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208], [0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2],
];

/// As many blocks of each stream as there are of all.
#[target_feature(enable = "sha,sse2,sse4.1,ssse3")]
pub(super) fn compress_both(states: [&mut State; STREAMS], blocks: [&[Block]; STREAMS]) {
    let (mut abef, mut cdgh) = (
        [_mm_setzero_si128(); STREAMS],
        [_mm_setzero_si128(); STREAMS],
    );
    for (lane, state) in states.iter().enumerate() {
        (abef[lane], cdgh[lane]) = packed(state);
    }
    let [one, other] = blocks;
    for (block, other_block) in one.iter().zip(other) {
        let (begun_abef, begun_cdgh) = (abef, cdgh);
        let mut words = [message(block), message(other_block)];
        // Written out: each group takes other registers.
        macro_rules! rounds {
            ($($group:literal)*) => {$(
                let sums = scheduled::<$group>(&mut words);
                for lane in 0..STREAMS {
                    cdgh[lane] = _mm_sha256rnds2_epu32(cdgh[lane], abef[lane], sums[lane]);
                }
                for lane in 0..STREAMS {
                    let upper = _mm_shuffle_epi32::<0x0e>(sums[lane]);
                    abef[lane] = _mm_sha256rnds2_epu32(abef[lane], cdgh[lane], upper);
                }
            )*};
        }
        rounds!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
        for lane in 0..STREAMS {
            abef[lane] = _mm_add_epi32(abef[lane], begun_abef[lane]);
            cdgh[lane] = _mm_add_epi32(cdgh[lane], begun_cdgh[lane]);
        }
    }
    for (lane, state) in states.into_iter().enumerate() {
        *state = unpacked(abef[lane], cdgh[lane]);
    }
}

/// The words of four rounds with their constants added. From the second four on they come of those
/// of the sixteen rounds before (§6.2.2), in whose place they go.
#[inline]
#[target_feature(enable = "sha,sse2,sse4.1,ssse3")]
fn scheduled<const GROUP: usize>(words: &mut [[__m128i; 4]; STREAMS]) -> Lanes {
    let constants = four(ROUNDS[GROUP]);
    let mut sums = [constants; STREAMS];
    for lane in 0..STREAMS {
        let words = &mut words[lane];
        let [first, second, third, last] = [0, 1, 2, 3].map(|n| words[(GROUP + n) % 4]);
        if GROUP >= 4 {
            let early = _mm_sha256msg1_epu32(first, second);
            let between = _mm_alignr_epi8::<4>(last, third);
            words[GROUP % 4] = _mm_sha256msg2_epu32(_mm_add_epi32(early, between), last);
        }
        sums[lane] = _mm_add_epi32(words[GROUP % 4], constants);
    }
    sums
}

#[inline]
#[target_feature(enable = "sse2")]
fn four([a, b, c, d]: [u32; 4]) -> __m128i {
    let [a, b, c, d] = [a, b, c, d].map(u32::cast_signed);
    _mm_set_epi32(d, c, b, a)
}

/// A block's sixteen words, the first of each four at the bottom.
#[inline]
#[target_feature(enable = "sse2,ssse3")]
fn message(block: &Block) -> [__m128i; 4] {
    let swapped = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
    let (halves, _) = block.as_chunks::<8>();
    [0, 2, 4, 6].map(|n| {
        let (low, high) = (
            i64::from_le_bytes(halves[n]),
            i64::from_le_bytes(halves[n + 1]),
        );
        _mm_shuffle_epi8(_mm_set_epi64x(high, low), swapped)
    })
}

/// A state as the instructions want it: ABEF and CDGH.
#[inline]
#[target_feature(enable = "sse2,sse4.1,ssse3")]
fn packed(&[a, b, c, d, e, f, g, h]: &State) -> (__m128i, __m128i) {
    (four([f, e, b, a]), four([h, g, d, c]))
}

/// The reverse of [`packed`].
#[inline]
#[target_feature(enable = "sse2,sse4.1,ssse3")]
fn unpacked(abef: __m128i, cdgh: __m128i) -> State {
    let [f, e, b, a] = words(abef);
    let [h, g, d, c] = words(cdgh);
    [a, b, c, d, e, f, g, h]
}

#[inline]
#[target_feature(enable = "sse2,sse4.1")]
fn words(of: __m128i) -> [u32; 4] {
    [
        _mm_extract_epi32::<0>(of),
        _mm_extract_epi32::<1>(of),
        _mm_extract_epi32::<2>(of),
        _mm_extract_epi32::<3>(of),
    ]
    .map(i32::cast_unsigned)
}
