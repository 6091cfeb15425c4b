//! Content to serve and to recognise again: bytes from a seed, and the hash that SPEC §2 puts
//! into a file's name. Computed here without `common`, so that a test has a second opinion.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use sha2::{Digest, Sha256};

/// The size of an MPEG-TS packet in bytes.
const TS_PACKET: usize = 188;

/// `length` bytes that look like MPEG-TS null packets (a sync byte every 188 bytes) and differ
/// from those of every other seed. The same seed gives the same bytes.
#[must_use]
pub fn ts_bytes(seed: u64, length: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        // xorshift64: good enough to make two seeds differ, and the same on every machine.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    for packet in bytes.chunks_mut(TS_PACKET) {
        for (byte, header) in packet.iter_mut().zip([0x47, 0x1F, 0xFF, 0x10]) {
            *byte = header;
        }
    }
    bytes.into()
}

/// SHA-256 as SPEC §2 writes it: URL-safe base64 without padding, 43 characters.
#[must_use]
pub fn sha256_base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(bytes))
}

/// A duration as SPEC §2 writes it: the shortest decimal that reads back to the same `f64`.
///
/// # Panics
/// If `text` is not a number.
#[must_use]
pub fn duration_in_name(text: &str) -> String {
    let seconds: f64 = text
        .parse()
        .unwrap_or_else(|_| panic!("the duration {text:?} is not a number"));
    let shortest = format!("{seconds}");
    if shortest.contains('.') {
        shortest
    } else {
        format!("{shortest}.0")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_depend_on_the_seed_alone() {
        assert_eq!(ts_bytes(1, 1000), ts_bytes(1, 1000));
        assert_ne!(ts_bytes(1, 1000), ts_bytes(2, 1000));
        assert_eq!(ts_bytes(1, 1000).len(), 1000);
        assert_eq!(ts_bytes(9, 1000)[188 * 5], 0x47);
    }

    #[test]
    fn hash_and_duration_are_those_of_a_file_name() {
        assert_eq!(
            sha256_base64(b""),
            "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
        );
        assert_eq!(duration_in_name("2"), "2.0");
        assert_eq!(duration_in_name("2.000"), "2.0");
        assert_eq!(duration_in_name("2.0021234567"), "2.0021234567");
    }
}
