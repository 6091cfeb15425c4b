//! AES-128 segments (RFC 8216 §4.3.2.4): CBC with PKCS #7 padding, decrypted as they come in,
//! because ciphertext on the disk is of no use to anybody once the keys are gone.

use aes::Aes128;
use aes::cipher::{Block, BlockModeDecrypt, KeyIvInit};
use bytes::{Bytes, BytesMut};

/// The size of a key.
pub(crate) const KEY_BYTES: usize = 16;

/// The size of a block.
const BLOCK: usize = 16;

/// Why something cannot be decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecryptError {
    /// The list has no URI for the key.
    #[error("there is no key for it")]
    NoKey,
    /// The list has no initialization vector where there must be one.
    #[error("its EXT-X-KEY has no IV")]
    NoIv,
    /// The key has another size.
    #[error("the key has {0} bytes, not {KEY_BYTES}")]
    KeySize(usize),
    /// The ciphertext ends inside a block, or is empty.
    #[error("the ciphertext ends inside a block")]
    Truncated,
    /// The end is not padded: cut short at a block's end, or another key.
    #[error("the padding is wrong: cut short, or another key")]
    Padding,
}

/// Decrypts one resource.
pub(crate) struct Decryptor {
    cipher: cbc::Decryptor<Aes128>,
    /// What cannot be given out yet: an unfinished block, and the last whole one, which may be
    /// padding.
    pending: BytesMut,
}

impl Decryptor {
    pub(crate) fn new(key: &[u8], iv: u128) -> Result<Decryptor, DecryptError> {
        let key: [u8; KEY_BYTES] = key
            .try_into()
            .map_err(|_| DecryptError::KeySize(key.len()))?;
        Ok(Decryptor {
            cipher: cbc::Decryptor::new(&key.into(), &iv.to_be_bytes().into()),
            pending: BytesMut::new(),
        })
    }

    /// Takes ciphertext; gives the plaintext that is certain so far.
    pub(crate) fn update(&mut self, chunk: Bytes) -> Bytes {
        self.pending.extend_from_slice(&chunk);
        // The last whole block stays: it is the padded one if nothing follows.
        let ready = self.pending.len().saturating_sub(1) / BLOCK * BLOCK;
        let mut plain = self.pending.split_to(ready);
        self.decrypt(&mut plain);
        plain.freeze()
    }

    /// The rest, without its padding.
    pub(crate) fn finish(mut self) -> Result<Bytes, DecryptError> {
        if self.pending.len() != BLOCK {
            return Err(DecryptError::Truncated);
        }
        let mut last = std::mem::take(&mut self.pending);
        self.decrypt(&mut last);
        let padding = usize::from(last[BLOCK - 1]);
        let kept = BLOCK.checked_sub(padding).filter(|_| padding > 0);
        let kept = kept.ok_or(DecryptError::Padding)?;
        if last[kept..]
            .iter()
            .any(|&byte| usize::from(byte) != padding)
        {
            return Err(DecryptError::Padding);
        }
        last.truncate(kept);
        Ok(last.freeze())
    }

    fn decrypt(&mut self, blocks: &mut [u8]) {
        let (blocks, rest) = Block::<Aes128>::slice_as_chunks_mut(blocks);
        debug_assert!(rest.is_empty());
        self.cipher.decrypt_blocks(blocks);
    }
}

impl std::fmt::Debug for Decryptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the key.
        write!(f, "Decryptor({} bytes pending)", self.pending.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aes::cipher::BlockModeEncrypt;
    use aes::cipher::block_padding::Pkcs7;
    use proptest::prelude::*;

    const KEY: [u8; 16] = *b"0123456789abcdef";

    fn encrypt(plain: &[u8], iv: u128) -> Vec<u8> {
        let cipher = cbc::Encryptor::<Aes128>::new(&KEY.into(), &iv.to_be_bytes().into());
        let mut buffer = plain.to_vec();
        buffer.resize(plain.len() + BLOCK, 0);
        let length = cipher
            .encrypt_padded::<Pkcs7>(&mut buffer, plain.len())
            .unwrap()
            .len();
        buffer.truncate(length);
        buffer
    }

    fn decrypt(cipher: &[u8], iv: u128, piece: usize) -> Result<Vec<u8>, DecryptError> {
        let mut decryptor = Decryptor::new(&KEY, iv)?;
        let mut plain = Vec::new();
        for chunk in cipher.chunks(piece) {
            plain.extend_from_slice(&decryptor.update(Bytes::copy_from_slice(chunk)));
        }
        plain.extend_from_slice(&decryptor.finish()?);
        Ok(plain)
    }

    proptest! {
        #[test]
        fn comes_back_in_pieces_of_any_size(
            plain in proptest::collection::vec(any::<u8>(), 0..200),
            iv: u128,
            piece in 1..50_usize,
        ) {
            prop_assert_eq!(decrypt(&encrypt(&plain, iv), iv, piece), Ok(plain));
        }
    }

    #[test]
    fn what_was_cut_or_has_another_key_is_an_error() {
        let cipher = encrypt(&[0; 40], 7);
        assert_eq!(cipher.len(), 48);
        assert_eq!(decrypt(&cipher[..47], 7, 9), Err(DecryptError::Truncated));
        assert_eq!(decrypt(&cipher[..32], 7, 9), Err(DecryptError::Padding));
        assert_eq!(decrypt(&[], 7, 9), Err(DecryptError::Truncated));
        let short = Decryptor::new(&KEY[..15], 7).map(|_| ());
        assert_eq!(short, Err(DecryptError::KeySize(15)));
    }
}
