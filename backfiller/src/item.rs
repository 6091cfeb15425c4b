//! A file that is missing here: what it is, where it belongs, and what it is called.

use std::fmt;
use std::path::PathBuf;

use common::chat::ChatBatch;
use common::names::{Channel, NameError, PathPart, Quality};
use common::segment::{Hour, SegmentPath};
use common::store::Store;

/// The longest path below a directory of extras, in parts.
const MOST_PARTS: usize = 32;

/// An hour of a quality, here or there; in order of time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The hour.
    pub hour: Hour,
    /// The stream.
    pub channel: Channel,
    /// The rendition, or `chat`.
    pub quality: Quality,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place {
            channel,
            quality,
            hour,
        } = self;
        write!(f, "{channel}/{quality}/{hour}")
    }
}

/// Something that a peer has and that is to be here as well.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Item {
    /// A segment.
    Segment(SegmentPath),
    /// A chat batch of an hour.
    Chat(Place, ChatBatch),
    /// A tombstone: it is made here, without asking the peer for its content.
    Tombstone(Place, PathPart),
    /// A file of `--extras`.
    Extra(ExtraPath),
}

impl Item {
    /// Where its file lies.
    #[must_use]
    pub fn file(&self, store: &Store) -> PathBuf {
        match self {
            Item::Segment(path) => store.file(path),
            Item::Chat(place, batch) => directory(store, place).join(batch.name()),
            Item::Tombstone(place, name) => directory(store, place).join(name),
            Item::Extra(path) => {
                let mut file = store.base().to_path_buf();
                file.extend(path.directory.0.iter().chain(&path.below));
                file
            }
        }
    }

    /// The hour of a quality to which it belongs, if to any.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        match self {
            Item::Segment(path) => Some(Place {
                channel: path.channel.clone(),
                quality: path.quality.clone(),
                hour: path.segment.hour(),
            }),
            Item::Chat(place, _) | Item::Tombstone(place, _) => Some(place.clone()),
            Item::Extra(_) => None,
        }
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Item::Segment(path) => write!(f, "{path}"),
            Item::Chat(place, batch) => write!(f, "{place}/{batch}"),
            Item::Tombstone(place, name) => write!(f, "{place}/{name}"),
            Item::Extra(path) => write!(f, "{path}"),
        }
    }
}

fn directory(store: &Store, place: &Place) -> PathBuf {
    store.hour_directory(&place.channel, &place.quality, place.hour)
}

/// A directory of `--extras`, below the base directory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ExtrasDirectory(pub(crate) Vec<PathPart>);

impl ExtrasDirectory {
    /// Its parts, from the base directory on; there is at least one.
    #[must_use]
    pub fn parts(&self) -> &[PathPart] {
        &self.0
    }
}

impl std::str::FromStr for ExtrasDirectory {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let parts = text.trim_end_matches('/').split('/').map(PathPart::new);
        parts.collect::<Result<_, _>>().map(ExtrasDirectory)
    }
}

impl fmt::Display for ExtrasDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&joined(&self.0))
    }
}

/// A file of `--extras`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ExtraPath {
    /// The directory as the option names it.
    pub directory: ExtrasDirectory,
    /// The way from there to the file: at least its name.
    pub below: Vec<PathPart>,
}

/// Why a listed path is none of an extra.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExtraError {
    /// A part of it cannot be in a path.
    #[error(transparent)]
    Part(#[from] NameError),
    /// It is deeper than any of ours.
    #[error("it has more than {MOST_PARTS} parts")]
    Deep,
    /// Segments and chat batches are there: what is there has to have its hash in its name.
    #[error("an hour of recordings is no place for an extra")]
    Recordings,
}

impl ExtraPath {
    /// Reads a path that a peer lists below a directory.
    ///
    /// # Errors
    /// [`ExtraError`], if it could lead anywhere else, or among recordings.
    pub fn parse(directory: &ExtrasDirectory, path: &str) -> Result<ExtraPath, ExtraError> {
        let mut below = Vec::new();
        for part in path.split('/') {
            if below.len() == MOST_PARTS {
                return Err(ExtraError::Deep);
            }
            below.push(PathPart::new(part)?);
        }
        // CHANNEL/QUALITY/HOUR/…
        let third = directory.0.iter().chain(&below).nth(2);
        if third.is_some_and(|part| part.as_str().parse::<Hour>().is_ok()) {
            return Err(ExtraError::Recordings);
        }
        Ok(ExtraPath {
            directory: directory.clone(),
            below,
        })
    }
}

impl fmt::Display for ExtraPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.directory, joined(&self.below))
    }
}

fn joined(parts: &[PathPart]) -> String {
    let parts: Vec<&str> = parts.iter().map(PathPart::as_str).collect();
    parts.join("/")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The so manieth hour since 1970 of a quality.
    pub(crate) fn place(hour: usize) -> Place {
        let start = chrono::DateTime::UNIX_EPOCH + chrono::TimeDelta::hours(hour as i64);
        Place {
            hour: Hour::of(start),
            channel: Channel::new("c").unwrap(),
            quality: Quality::new("source").unwrap(),
        }
    }

    #[test]
    fn extras_stay_below_their_directory_and_out_of_recordings() {
        let deep = format!("{}x", "a/".repeat(40));
        let table = [
            ("a.txt", "x", Ok("x/a.txt")),
            ("a/b c/ü.png", "x/y", Ok("x/y/a/b c/ü.png")),
            ("", "x", Err("empty")),
            ("/etc/passwd", "x", Err("empty")),
            ("a//b", "x", Err("empty")),
            ("a/", "x", Err("empty")),
            ("../x", "x", Err("dot")),
            ("a/../../b", "x", Err("dot")),
            ("a/./b", "x", Err("dot")),
            (".hidden", "x", Err("dot")),
            ("a\0b", "x", Err("control")),
            (&deep, "x", Err("parts")),
            ("source/2026-01-02T03/x.ts", "c", Err("recordings")),
            ("2026-01-02T03/x.ts", "c/source", Err("recordings")),
            ("2026-01-02T03/x.ts", "c", Ok("c/2026-01-02T03/x.ts")),
        ];
        for (path, directory, outcome) in table {
            let parsed = ExtraPath::parse(&directory.parse().unwrap(), path);
            match outcome {
                Ok(shown) => assert_eq!(parsed.unwrap().to_string(), shown),
                Err(reason) => {
                    let error = parsed.unwrap_err().to_string();
                    assert!(error.contains(reason), "{path}: {error}");
                }
            }
        }
        for directory in ["", "..", "a/../b", "/a", "a//b", ".x"] {
            assert!(directory.parse::<ExtrasDirectory>().is_err(), "{directory}");
        }
    }
}
