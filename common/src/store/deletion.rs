//! Hours that nobody needs any more are deleted: file by file, only what we understand, and
//! without ever following a symbolic link.
//!
//! Every step goes down from an open directory (`openat`, `unlinkat`): whoever renames one or
//! puts a link in its place meanwhile cannot lead us elsewhere. Whoever reads a file has it to
//! its end.

use std::ffi::CStr;
use std::io;
use std::path::Path;

use rustix::fs::{self as sys, AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::listing::TOMBSTONE;
use super::{Store, StoreError};
use crate::chat::ChatBatch;
use crate::names::{Channel, Quality};
use crate::segment::{Hour, Segment, SegmentType};

/// What became of an hour's files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeletedHour {
    /// Segments (of `chat`: batches) that are gone.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Tombstones, which stay: they keep peers' copies away.
    pub tombstones: u64,
    /// What we do not understand, or what is being written: left alone.
    pub left: u64,
}

impl Store {
    /// Deletes an hour's segments (of `chat`: its batches), and its directory if nothing else is
    /// in it. What is none of ours is left, and counted and logged once. Nothing happens if the
    /// hour does not exist. Blocking.
    ///
    /// # Errors
    /// If a directory cannot be opened (also because it is a symbolic link, from the channel's
    /// on), or a file cannot be removed; files before it are gone.
    pub fn delete_hour(
        &self,
        channel: &Channel,
        quality: &Quality,
        hour: Hour,
    ) -> Result<DeletedHour, StoreError> {
        let directory = self.hour_directory(channel, quality, hour);
        let error = |action, path: &Path, errno: Errno| {
            StoreError::new(action, path, io::Error::from(errno))
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut deleted = DeletedHour::default();
        let hour_name = hour.to_string();
        let mut path = self.base().to_path_buf();
        // The base itself may be a link: it is the operator's word.
        let mut parent = match sys::openat(CWD, &path, flags, Mode::empty()) {
            Ok(base) => base,
            Err(Errno::NOENT) => return Ok(deleted),
            Err(errno) => return Err(error("open", &path, errno)),
        };
        for part in [channel.as_str(), quality.as_str()] {
            path.push(part);
            parent = match sys::openat(&parent, part, flags | OFlags::NOFOLLOW, Mode::empty()) {
                Ok(below) => below,
                Err(Errno::NOENT) => return Ok(deleted),
                Err(errno) => return Err(error("open", &path, errno)),
            };
        }
        path.push(&hour_name);
        let opened = sys::openat(
            &parent,
            &*hour_name,
            flags | OFlags::NOFOLLOW,
            Mode::empty(),
        );
        let opened = match opened {
            Ok(opened) => opened,
            Err(Errno::NOENT) => return Ok(deleted),
            Err(errno) => return Err(error("open", &path, errno)),
        };
        for entry in Dir::read_from(&opened).map_err(|errno| error("list", &path, errno))? {
            let entry = entry.map_err(|errno| error("list", &path, errno))?;
            let name = match visible(entry.file_name()) {
                Name::Ours(name) => name,
                Name::Itself => continue,
                Name::Foreign => {
                    deleted.left += 1;
                    continue;
                }
            };
            if name.ends_with(TOMBSTONE) {
                deleted.tombstones += 1;
                continue;
            }
            let file = directory.join(name);
            let status = match sys::statat(&opened, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(status) => status,
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(error("look at", &file, errno)),
            };
            let is_file = FileType::from_raw_mode(status.st_mode) == FileType::RegularFile;
            match kind(quality, hour, name) {
                Kind::Final if is_file => {}
                Kind::BeingWritten => {
                    deleted.left += 1;
                    continue;
                }
                Kind::Final | Kind::Unknown => {
                    deleted.left += 1;
                    self.note_unknown(file, channel.as_str(), quality.as_str());
                    continue;
                }
            }
            match sys::unlinkat(&opened, name, AtFlags::empty()) {
                Ok(()) => {
                    deleted.files += 1;
                    deleted.bytes += u64::try_from(status.st_size).unwrap_or(0);
                }
                // Somebody else has removed it.
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(error("remove", &file, errno)),
            }
        }
        if deleted.tombstones + deleted.left == 0 {
            match sys::unlinkat(&parent, &*hour_name, AtFlags::REMOVEDIR) {
                // Not empty: something came meanwhile.
                Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => {}
                Err(errno) => return Err(error("remove the directory", &path, errno)),
            }
        }
        Ok(deleted)
    }
}

/// A directory's entry.
enum Name<'a> {
    /// Visible, and in letters.
    Ours(&'a str),
    /// The directory or its parent.
    Itself,
    /// Hidden, or no text.
    Foreign,
}

fn visible(name: &CStr) -> Name<'_> {
    match name.to_str() {
        Ok("." | "..") => Name::Itself,
        Ok(name) if !name.starts_with('.') => Name::Ours(name),
        _ => Name::Foreign,
    }
}

enum Kind {
    /// A segment or a batch with its final name.
    Final,
    /// Its writer lives, or it is a matter of `remove_leftovers`.
    BeingWritten,
    Unknown,
}

fn kind(quality: &Quality, hour: Hour, name: &str) -> Kind {
    if quality.is_chat() {
        return match ChatBatch::parse(hour, name) {
            Ok(_) => Kind::Final,
            Err(_) if name.ends_with(".temp") => Kind::BeingWritten,
            Err(_) => Kind::Unknown,
        };
    }
    match Segment::parse(hour, name).map(|segment| segment.kind()) {
        Ok(SegmentType::Temp) => Kind::BeingWritten,
        Ok(_) => Kind::Final,
        Err(_) => Kind::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;
    use tempfile::TempDir;

    const HASH: &str = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
    const HOUR: &str = "2026-01-02T03";

    struct Place(TempDir, Store);

    impl Place {
        fn new() -> Place {
            let base = TempDir::new().unwrap();
            let store = Store::new(base.path());
            Place(base, store)
        }

        fn put(&self, path: &str, content: &str) -> PathBuf {
            let file = self.0.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, content).unwrap();
            file
        }

        fn delete(&self, quality: &str) -> Result<DeletedHour, StoreError> {
            let (channel, quality) = (Channel::new("c").unwrap(), Quality::new(quality).unwrap());
            self.1
                .delete_hour(&channel, &quality, HOUR.parse().unwrap())
        }

        fn names(&self, quality: &str) -> Vec<String> {
            let directory = self.0.path().join("c").join(quality).join(HOUR);
            let Ok(entries) = fs::read_dir(directory) else {
                return vec!["(gone)".to_owned()];
            };
            let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let mut names: Vec<String> = names.collect();
            names.sort();
            names
        }
    }

    fn segment(time: &str) -> String {
        format!("{time}-2.0-full-{HASH}.ts")
    }

    #[test]
    fn only_what_is_understood_goes_and_tombstones_stay() {
        let place = Place::new();
        let outside = place.put("outside.ts", "outside");
        let (first, second, linked) = (segment("00:00"), segment("00:02.5"), segment("00:04"));
        let stay = [
            "00:10-2.0-temp-1b4e28ba-2fa1-41d2-883f-0016d3cca427.ts",
            ".hidden.ts",
            "notes.txt",
            "00:06.tombstone",
            &format!("00:00-{HASH}.json"),
        ];
        for name in [first.as_str(), &second].iter().chain(&stay) {
            place.put(&format!("c/source/{HOUR}/{name}"), "abc");
        }
        let directory = place.0.path().join("c/source").join(HOUR);
        symlink(&outside, directory.join(&linked)).unwrap();
        fs::create_dir(directory.join(segment("00:08"))).unwrap();
        let deleted = place.delete("source").unwrap();
        let expected = DeletedHour {
            files: 2,
            bytes: 6,
            tombstones: 1,
            left: 6,
        };
        assert_eq!(deleted, expected);
        let mut left: Vec<String> = stay.iter().map(|&name| name.to_owned()).collect();
        left.extend([linked, segment("00:08")]);
        left.sort();
        assert_eq!(place.names("source"), left);
        assert_eq!(fs::read(outside).unwrap(), b"outside");
    }

    #[test]
    fn an_hour_of_segments_alone_is_gone_with_its_directory() {
        let place = Place::new();
        let other = place.put(&format!("c/source/2026-01-02T04/{}", segment("00:00")), "x");
        let file = place.put(&format!("c/source/{HOUR}/{}", segment("00:00")), "abc");
        // A reader has the file to its end.
        let mut reader = fs::File::open(&file).unwrap();
        assert_eq!(place.delete("source").unwrap().files, 1);
        assert_eq!(place.names("source"), ["(gone)"]);
        let mut content = String::new();
        reader.read_to_string(&mut content).unwrap();
        assert_eq!(content, "abc");
        assert!(other.exists());
        // Once more, and where nothing ever was.
        for quality in ["source", "none"] {
            assert_eq!(place.delete(quality).unwrap(), DeletedHour::default());
        }
    }

    #[test]
    fn of_chat_the_batches_go() {
        let place = Place::new();
        let batch = format!("00:00.000000-{HASH}.json");
        let temp = format!("{batch}.1b4e28ba-2fa1-41d2-883f-0016d3cca427.temp");
        for name in [&batch, &temp, &segment("00:00")] {
            place.put(&format!("c/chat/{HOUR}/{name}"), "{}");
        }
        let deleted = place.delete("chat").unwrap();
        assert_eq!((deleted.files, deleted.left), (1, 2));
        assert_eq!(place.names("chat"), [segment("00:00"), temp]);
    }

    #[test]
    fn no_link_is_followed_on_any_level() {
        for level in ["c", "c/source", &format!("c/source/{HOUR}")] {
            let (place, outside) = (Place::new(), Place::new());
            let file = outside.put(&format!("c/source/{HOUR}/{}", segment("00:00")), "abc");
            let link = place.0.path().join(level);
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            symlink(outside.0.path().join(level), &link).unwrap();
            let error = place.delete("source").unwrap_err().to_string();
            assert!(error.contains(&link.display().to_string()), "{error}");
            assert!(file.exists(), "{level}");
        }
    }
}
