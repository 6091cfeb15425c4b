//! Chat batches (SPEC §2): files of messages that another service writes. We know them by their
//! names alone.

use std::fmt;

use chrono::{DateTime, Utc};

use crate::names::{NameError, PathPart};
use crate::segment::{Hour, SegmentHash, parse_time};

/// Why a name is not a chat batch's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChatNameError {
    /// It cannot be a file's name at all.
    #[error(transparent)]
    Part(#[from] NameError),
    /// It is not `TIME-HASH.json`.
    #[error("it is not TIME-HASH.json")]
    Parts,
    /// The time is not `MM:SS` with 0 to 6 fractional digits.
    #[error("its time is not MM:SS with at most 6 fractional digits")]
    Time,
    /// The hash is not a SHA-256 in URL-safe base64.
    #[error("its hash is no SHA-256 in unpadded URL-safe base64")]
    Hash,
}

/// A batch of chat messages, `CHANNEL/chat/HOUR/MM:SS.ffffff-HASH.json`. It displays as its name,
/// to the byte as it was found.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ChatBatch {
    hour: Hour,
    /// Microseconds from the hour to the first message.
    offset: u32,
    hash: SegmentHash,
    name: PathPart,
}

impl ChatBatch {
    /// Reads the name of a file in an hour of `chat`.
    ///
    /// # Errors
    /// [`ChatNameError`] says which part of the name is wrong.
    ///
    /// ```
    /// use common::chat::ChatBatch;
    /// let hour = "2026-01-02T03".parse().unwrap();
    /// let name = "04:05.678000-47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU.json";
    /// let batch = ChatBatch::parse(hour, name).unwrap();
    /// assert_eq!(batch.start().to_rfc3339(), "2026-01-02T03:04:05.678+00:00");
    /// assert_eq!(batch.to_string(), name);
    /// ```
    pub fn parse(hour: Hour, name: &str) -> Result<ChatBatch, ChatNameError> {
        let part = PathPart::new(name)?;
        let stem = name.strip_suffix(".json").ok_or(ChatNameError::Parts)?;
        let (time, hash) = stem.split_once('-').ok_or(ChatNameError::Parts)?;
        let (offset, _) = parse_time(time.as_bytes()).map_err(|_| ChatNameError::Time)?;
        Ok(ChatBatch {
            hour,
            offset,
            hash: hash.parse().map_err(|_| ChatNameError::Hash)?,
            name: part,
        })
    }

    /// The hour in which it starts.
    #[must_use]
    pub fn hour(&self) -> Hour {
        self.hour
    }

    /// When its first message came.
    #[must_use]
    pub fn start(&self) -> DateTime<Utc> {
        self.hour.start() + chrono::TimeDelta::microseconds(self.offset.into())
    }

    /// Its content's hash.
    #[must_use]
    pub fn hash(&self) -> SegmentHash {
        self.hash
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &PathPart {
        &self.name
    }
}

impl fmt::Display for ChatBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.name, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";

    #[test]
    fn names_are_batches_or_say_why_not() {
        let hour = "2026-01-02T03".parse().unwrap();
        let table = [
            (format!("00:10.000000-{HASH}.json"), None),
            (format!("00:10-{HASH}.json"), None),
            (
                format!("00:10.000000-{HASH}.ts"),
                Some(ChatNameError::Parts),
            ),
            (format!("{HASH}.json"), Some(ChatNameError::Time)),
            ("00:10.000000.json".to_owned(), Some(ChatNameError::Parts)),
            (
                format!("60:10.000000-{HASH}.json"),
                Some(ChatNameError::Time),
            ),
            (
                format!("00:10.000000-{}.json", &HASH[1..]),
                Some(ChatNameError::Hash),
            ),
            (
                format!("../00:10.000000-{HASH}.json"),
                Some(ChatNameError::Part(NameError::Hidden)),
            ),
            (
                format!("00:10.000000-{HASH}/x.json"),
                Some(ChatNameError::Part(NameError::Character)),
            ),
        ];
        for (name, error) in table {
            assert_eq!(ChatBatch::parse(hour, &name).err(), error, "{name}");
        }
    }
}
