//! Byte ranges (RFC 8216 §4.3.2.2): one without an offset begins where the one before it ends.

use std::collections::HashMap;

use url::Url;

use super::listed::ByteRange;

/// Where the next range without an offset begins, by resource.
#[derive(Debug, Default)]
pub(super) struct Ranges(HashMap<Url, u64>);

impl Ranges {
    /// Reads a segment's range; what is wrong with it. Every segment counts, also one that
    /// cannot be used for another reason: what follows begins behind it.
    pub(super) fn next(&mut self, url: &Url, text: &str) -> Result<ByteRange, String> {
        // Where an unreadable one ends nobody knows.
        let before = self.0.remove(url);
        if before.is_none() && !text.contains('@') {
            return Err(format!("its range is {text:?}, and none stands before it"));
        }
        let range = parse(text, before.unwrap_or(0)).ok_or(format!("its range is {text:?}"))?;
        self.0.insert(url.clone(), range.offset + range.length);
        Ok(range)
    }
}

/// `LENGTH[@OFFSET]`; the end fits.
pub(super) fn parse(text: &str, implied_offset: u64) -> Option<ByteRange> {
    let (length, offset) = text.trim().split_once('@').unwrap_or((text.trim(), ""));
    let length: u64 = length.parse().ok().filter(|&length| length > 0)?;
    let offset = match offset {
        "" => implied_offset,
        offset => offset.parse().ok()?,
    };
    offset.checked_add(length)?;
    Some(ByteRange { offset, length })
}
