//! What is in a base directory: channels, qualities, hours, and an hour's files (SPEC §2, §4).

use std::collections::HashSet;
use std::fs::{self, DirEntry};
use std::io;
use std::path::Path;

use super::{Store, StoreError};
use crate::names::{Channel, PathPart, Quality};
use crate::segment::{Hour, Segment, SegmentPath};
use crate::selection::best_of_hour;

/// The ending that hides a file of the same stem.
pub(super) const TOMBSTONE: &str = ".tombstone";

/// The names in an hour's directory, each list in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HourNames {
    /// Those of `.ts` and `.json` files that no tombstone hides; temporary segments among them.
    pub files: Vec<String>,
    /// Those of the tombstones.
    pub tombstones: Vec<String>,
}

/// The segments of an hour that no tombstone hides, temporary ones among them, in no order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HourListing {
    /// The segments.
    pub segments: Vec<Segment>,
    /// How many files are neither segments, chat batches nor tombstones.
    pub unknown: usize,
}

impl Store {
    /// The channels there are, in order; empty if the base directory does not exist.
    ///
    /// # Errors
    /// If the base directory cannot be read.
    pub fn channels(&self) -> Result<Vec<Channel>, StoreError> {
        directories(self.base())
    }

    /// A channel's qualities (and `chat`, if it has batches), in order.
    ///
    /// # Errors
    /// If the channel's directory cannot be read.
    pub fn qualities(&self, channel: &Channel) -> Result<Vec<Quality>, StoreError> {
        directories(&self.base().join(channel))
    }

    /// A quality's hours, in order of time.
    ///
    /// # Errors
    /// If the quality's directory cannot be read.
    pub fn hours(&self, channel: &Channel, quality: &Quality) -> Result<Vec<Hour>, StoreError> {
        let directory = self.base().join(channel).join(quality);
        let mut hours: Vec<Hour> = directories::<PathPart>(&directory)?
            .iter()
            .filter_map(|name| name.as_str().parse().ok())
            .collect();
        hours.sort_unstable();
        Ok(hours)
    }

    /// The names of an hour's files as peers see them (SPEC §4); none if the hour does not exist.
    ///
    /// # Errors
    /// If the hour's directory cannot be read.
    pub fn hour_names(
        &self,
        channel: &Channel,
        quality: &Quality,
        hour: Hour,
    ) -> Result<HourNames, StoreError> {
        let mut names = HourNames::default();
        for_each_name(&self.hour_directory(channel, quality, hour), |name, _| {
            if name.ends_with(TOMBSTONE) {
                names.tombstones.push(name.to_owned());
            } else if name.ends_with(".ts") || name.ends_with(".json") {
                names.files.push(name.to_owned());
            }
        })?;
        let HourNames { files, tombstones } = &mut names;
        if !tombstones.is_empty() {
            let buried = buried_stems(tombstones);
            files.retain(|name| {
                !name
                    .rsplit_once('.')
                    .is_some_and(|(s, _)| buried.contains(s))
            });
        }
        files.sort_unstable();
        tombstones.sort_unstable();
        Ok(names)
    }

    /// The segments of an hour; none if the hour does not exist. What is none of ours is
    /// counted, and logged the first time that this store sees it.
    ///
    /// # Errors
    /// If the hour's directory cannot be read.
    pub fn hour(
        &self,
        channel: &Channel,
        quality: &Quality,
        hour: Hour,
    ) -> Result<HourListing, StoreError> {
        let directory = self.hour_directory(channel, quality, hour);
        let mut listing = HourListing::default();
        let mut tombstones = Vec::new();
        for_each_name(&directory, |name, _| {
            if name.ends_with(TOMBSTONE) {
                tombstones.push(name.to_owned());
            } else if let Ok(segment) = Segment::parse(hour, name) {
                listing.segments.push(segment);
            } else if !(name.ends_with(".json") || name.ends_with(".temp")) || !quality.is_chat() {
                listing.unknown += 1;
                self.note_unknown(directory.join(name), channel.as_str(), quality.as_str());
            }
        })?;
        if !tombstones.is_empty() {
            let buried = buried_stems(&tombstones);
            listing.segments.retain(|segment| {
                let name = segment.to_string();
                !name
                    .strip_suffix(".ts")
                    .is_some_and(|stem| buried.contains(stem))
            });
        }
        Ok(listing)
    }

    /// The best segments of an hour, in order of time (SPEC §3); none if it does not exist.
    ///
    /// # Errors
    /// If the hour's directory cannot be read.
    pub fn best(
        &self,
        channel: &Channel,
        quality: &Quality,
        hour: Hour,
    ) -> Result<Vec<Segment>, StoreError> {
        let listing = self.hour(channel, quality, hour)?;
        Ok(best_of_hour(listing.segments, |segment| {
            let path = SegmentPath {
                channel: channel.clone(),
                quality: quality.clone(),
                segment: segment.clone(),
            };
            // Gone between listing and look: as good as empty.
            fs::metadata(self.file(&path)).map_or(0, |metadata| metadata.len())
        }))
    }

    /// Every visible file below a directory, recursively, relative to it and in order; empty if
    /// the directory does not exist. Symbolic links to directories are not followed: they could
    /// lead out of the base, or in a circle.
    ///
    /// # Errors
    /// If the directory itself cannot be read.
    pub fn tree(&self, directory: &Path) -> Result<Vec<String>, StoreError> {
        let mut files = Vec::new();
        let mut pending = vec![String::new()];
        while let Some(below) = pending.pop() {
            let walked = for_each_name(&directory.join(&below), |name, entry| {
                let path = match below.as_str() {
                    "" => name.to_owned(),
                    below => format!("{below}/{name}"),
                };
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => pending.push(path),
                    Ok(kind) if kind.is_symlink() && entry.path().is_dir() => {}
                    Ok(_) => files.push(path),
                    // Gone since it was listed.
                    Err(_) => {}
                }
            });
            // A directory below that vanished or is closed to us does not hide its siblings.
            if below.is_empty() {
                walked?;
            }
        }
        files.sort_unstable();
        Ok(files)
    }
}

/// The stems that tombstones hide.
fn buried_stems(tombstones: &[String]) -> HashSet<&str> {
    let stems = tombstones.iter().map(|name| name.strip_suffix(TOMBSTONE));
    stems.flatten().collect()
}

/// The visible directories below a directory, in order; those whose name no path may have are
/// left out.
fn directories<T: From<PathPart> + Ord>(directory: &Path) -> Result<Vec<T>, StoreError> {
    let mut found = Vec::new();
    for_each_name(directory, |name, entry| {
        let is_directory = match entry.file_type() {
            // An operator may keep a channel on another disk.
            Ok(kind) if kind.is_symlink() => entry.path().is_dir(),
            Ok(kind) => kind.is_dir(),
            Err(_) => false,
        };
        if is_directory && let Ok(part) = PathPart::new(name) {
            found.push(T::from(part));
        }
    })?;
    found.sort_unstable();
    Ok(found)
}

/// Calls `each` with every visible name in a directory that may not exist. Names that are not
/// UTF-8 are nothing that SPEC §2 could name; they are passed over.
pub(super) fn for_each_name(
    directory: &Path,
    mut each: impl FnMut(&str, &DirEntry),
) -> Result<(), StoreError> {
    let error = |source| StoreError::new("list", directory, source);
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(()),
        Err(source) => return Err(error(source)),
    };
    for entry in entries {
        let entry = match entry {
            Ok(entry) => entry,
            // Removed while it was read: what was seen of it stands.
            Err(error) if is_absent(&error) => return Ok(()),
            Err(source) => return Err(error(source)),
        };
        let name = entry.file_name();
        if let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) {
            each(name, &entry);
        }
    }
    Ok(())
}

/// True iff a path leads nowhere: no such name, or a file where a directory would have to be.
fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    const HASH: &str = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
    const HOUR: &str = "2026-01-02T03";

    /// A store with these empty files (or directories, with a slash at the end).
    fn store(files: &[&str]) -> (TempDir, Store) {
        let base = TempDir::new().unwrap();
        for file in files {
            let path = base.path().join(file);
            if file.ends_with('/') {
                fs::create_dir_all(path).unwrap();
            } else {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, "").unwrap();
            }
        }
        let store = Store::new(base.path());
        (base, store)
    }

    fn hour() -> Hour {
        HOUR.parse().unwrap()
    }

    fn shown<T: std::fmt::Display>(items: Vec<T>) -> String {
        let items: Vec<String> = items.iter().map(T::to_string).collect();
        items.join(" ")
    }

    #[test]
    fn lists_what_is_visible_and_a_directory_in_order() {
        let (_base, store) = store(&[
            "b/source/2026-01-02T04/",
            "b/source/2026-01-02T03/",
            "b/source/.tmp/",
            "b/source/2026-13-02T03/",
            "b/source/notes.txt",
            "b/.hidden/",
            "b/chat/",
            "a/",
            ".lost/",
            "README",
        ]);
        let channel = Channel::new("b").unwrap();
        assert_eq!(shown(store.channels().unwrap()), "a b");
        assert_eq!(shown(store.qualities(&channel).unwrap()), "chat source");
        let source = Quality::new("source").unwrap();
        assert_eq!(
            shown(store.hours(&channel, &source).unwrap()),
            "2026-01-02T03 2026-01-02T04"
        );
        // Missing on each level is empty, not an error.
        let none = Channel::new("none").unwrap();
        assert!(store.qualities(&none).unwrap().is_empty());
        assert!(store.hours(&none, &source).unwrap().is_empty());
        assert!(
            Store::new(Path::new("/nonexistent"))
                .channels()
                .unwrap()
                .is_empty()
        );
        let file = Channel::new("README").unwrap();
        assert!(store.qualities(&file).unwrap().is_empty());
    }

    #[test]
    fn an_hour_as_peers_and_as_the_selection_see_it() {
        let name = |start: &str, kind: &str| format!("{start}-2.0-{kind}-{HASH}.ts");
        let temp = "00:08.000000-2.0-temp-0c5d81c6-79a5-4d6b-8df4-3a8a8e5b5e0f.ts";
        let (full, partial) = (
            name("00:00.000000", "full"),
            name("00:02.000000", "partial"),
        );
        let buried = name("00:04.000000", "full");
        let tombstone = buried.replace(".ts", ".tombstone");
        let names = [
            &full,
            &partial,
            &buried,
            &tombstone,
            temp,
            ".hidden.ts",
            "nonsense.ts",
            "x.json",
            "x.mp4",
        ];
        let files: Vec<String> = names
            .iter()
            .map(|n| format!("c/source/{HOUR}/{n}"))
            .collect();
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        let (_base, store) = store(&files);
        let (channel, quality) = (Channel::new("c").unwrap(), Quality::new("source").unwrap());

        let listed = store.hour_names(&channel, &quality, hour()).unwrap();
        assert_eq!(
            listed.files,
            [&full, &partial, temp, "nonsense.ts", "x.json"]
        );
        assert_eq!(listed.tombstones, [tombstone]);

        let listing = store.hour(&channel, &quality, hour()).unwrap();
        let mut segments: Vec<String> = listing.segments.iter().map(Segment::to_string).collect();
        segments.sort();
        assert_eq!(segments, [&full, &partial, temp]);
        assert_eq!(listing.unknown, 3, "nonsense.ts, x.json, x.mp4");
        assert_eq!(
            shown(store.best(&channel, &quality, hour()).unwrap()),
            format!("{full} {partial}")
        );

        let absent = hour().next();
        assert_eq!(
            store.hour_names(&channel, &quality, absent).unwrap(),
            HourNames::default()
        );
        assert!(store.best(&channel, &quality, absent).unwrap().is_empty());
    }

    #[test]
    fn the_largest_of_equal_candidates_is_the_best() {
        let (base, store) = store(&[]);
        let directory = base.path().join("c/source").join(HOUR);
        fs::create_dir_all(&directory).unwrap();
        let other = HASH.replace("47", "57");
        for (hash, size) in [(HASH, 10), (&other, 9)] {
            let name = format!("00:00.000000-2.0-partial-{hash}.ts");
            fs::write(directory.join(name), vec![0; size]).unwrap();
        }
        let (channel, quality) = (Channel::new("c").unwrap(), Quality::new("source").unwrap());
        let best = store.best(&channel, &quality, hour()).unwrap();
        assert_eq!(best.len(), 1);
        assert!(best[0].to_string().contains(HASH));
    }

    #[test]
    fn a_tree_has_every_visible_file_and_follows_no_link_to_a_directory() {
        let (base, store) = store(&["x/b/c.txt", "x/a.txt", "x/.h/d.txt", "x/b/.e", "x/f/"]);
        std::os::unix::fs::symlink(base.path(), base.path().join("x/loop")).unwrap();
        let directory = store.resolve("x").unwrap();
        assert_eq!(store.tree(&directory).unwrap(), ["a.txt", "b/c.txt"]);
        let missing = store.resolve("missing").unwrap();
        assert!(store.tree(&missing).unwrap().is_empty());
    }
}
