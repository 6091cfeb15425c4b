//! Hours that nobody needs any more are deleted: file by file, only what we understand, and
//! without ever following a symbolic link.
//!
//! Every step goes down from an open directory (`openat`, `unlinkat`): whoever renames one or
//! puts a link in its place meanwhile cannot lead us elsewhere. Whoever reads a file has it to
//! its end.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

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

/// An hour's directory, open, and its parent.
struct OpenHour {
    parent: OwnedFd,
    opened: OwnedFd,
    path: PathBuf,
}

impl Store {
    /// Deletes an hour's segments (of `chat`: its batches), and its directory if nothing else is
    /// in it. What is none of ours is left, and counted and logged once. Nothing happens if the
    /// hour does not exist. Blocking.
    ///
    /// Also gives the first error, if there was any: a directory cannot be opened (also because
    /// it is a symbolic link, from the channel's on), or a file cannot be removed. One that stays
    /// does not keep the others.
    pub fn delete_hour(
        &self,
        channel: &Channel,
        quality: &Quality,
        hour: Hour,
    ) -> (DeletedHour, Option<StoreError>) {
        let mut deleted = DeletedHour::default();
        let outcome = match self.open_hour(channel, quality, hour) {
            Ok(Some(open)) => self.delete_below(&open, (channel, quality, hour), &mut deleted),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        (deleted, outcome.err())
    }

    /// Opens an hour's directory, if it exists, without following a link below the base.
    fn open_hour(
        &self,
        channel: &Channel,
        quality: &Quality,
        hour: Hour,
    ) -> Result<Option<OpenHour>, StoreError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut path = self.base().to_path_buf();
        // The base itself may be a link: it is the operator's word.
        let Some(mut parent) = open(CWD, &path, &path, flags)? else {
            return Ok(None);
        };
        let flags = flags | OFlags::NOFOLLOW;
        for part in [channel.as_str(), quality.as_str()] {
            path.push(part);
            let Some(below) = open(parent.as_fd(), Path::new(part), &path, flags)? else {
                return Ok(None);
            };
            parent = below;
        }
        let hour = hour.to_string();
        path.push(&hour);
        let opened = open(parent.as_fd(), Path::new(&hour), &path, flags)?;
        Ok(opened.map(|opened| OpenHour {
            parent,
            opened,
            path,
        }))
    }

    fn delete_below(
        &self,
        open: &OpenHour,
        place: (&Channel, &Quality, Hour),
        deleted: &mut DeletedHour,
    ) -> Result<(), StoreError> {
        let OpenHour {
            parent,
            opened,
            path,
        } = open;
        let mut first_error = Ok(());
        for entry in Dir::read_from(opened).map_err(|errno| error("list", path, errno))? {
            let done = match entry {
                Ok(entry) => self.delete_entry(open, place, entry.file_name(), deleted),
                Err(errno) => Err(error("list", path, errno)),
            };
            first_error = first_error.and(done);
        }
        first_error?;
        if deleted.tombstones + deleted.left == 0 {
            let hour = place.2.to_string();
            match sys::unlinkat(parent, &*hour, AtFlags::REMOVEDIR) {
                // Not empty: something came meanwhile.
                Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => {}
                Err(errno) => return Err(error("remove the directory", path, errno)),
            }
        }
        Ok(())
    }

    fn delete_entry(
        &self,
        OpenHour { opened, path, .. }: &OpenHour,
        (channel, quality, hour): (&Channel, &Quality, Hour),
        name: &CStr,
        deleted: &mut DeletedHour,
    ) -> Result<(), StoreError> {
        let name = match visible(name) {
            Name::Ours(name) => name,
            Name::Itself => return Ok(()),
            Name::Foreign => {
                deleted.left += 1;
                return Ok(());
            }
        };
        if name.ends_with(TOMBSTONE) {
            deleted.tombstones += 1;
            return Ok(());
        }
        let file = path.join(name);
        let status = match sys::statat(opened, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(status) => status,
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(error("look at", &file, errno)),
        };
        let is_file = FileType::from_raw_mode(status.st_mode) == FileType::RegularFile;
        match kind(quality, hour, name) {
            Kind::Final if is_file => {}
            Kind::BeingWritten => {
                deleted.left += 1;
                return Ok(());
            }
            Kind::Final | Kind::Unknown => {
                deleted.left += 1;
                self.note_unknown(file, channel.as_str(), quality.as_str());
                return Ok(());
            }
        }
        match sys::unlinkat(opened, name, AtFlags::empty()) {
            Ok(()) => {
                deleted.files += 1;
                deleted.bytes += u64::try_from(status.st_size).unwrap_or(0);
                Ok(())
            }
            // Somebody else has removed it.
            Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(error("remove", &file, errno)),
        }
    }
}

fn error(action: &'static str, path: &Path, errno: Errno) -> StoreError {
    StoreError::new(action, path, io::Error::from(errno))
}

/// Opens a directory below another one; `None` if there is none. `path` is for the error.
fn open(
    parent: BorrowedFd<'_>,
    name: &Path,
    path: &Path,
    flags: OFlags,
) -> Result<Option<OwnedFd>, StoreError> {
    match sys::openat(parent, name, flags, Mode::empty()) {
        Ok(opened) => Ok(Some(opened)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(error("open", path, errno)),
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
    use rustix::fs::IFlags;
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::symlink;
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
            let hour = HOUR.parse().unwrap();
            match self.1.delete_hour(&channel, &quality, hour) {
                (deleted, None) => Ok(deleted),
                (_, Some(error)) => Err(error),
            }
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

    /// A file that even root cannot remove, until this is dropped.
    struct Immutable(fs::File);

    impl Immutable {
        fn new(path: &Path) -> Option<Immutable> {
            let file = fs::File::open(path).unwrap();
            sys::ioctl_setflags(&file, IFlags::IMMUTABLE).ok()?;
            Some(Immutable(file))
        }
    }

    impl Drop for Immutable {
        fn drop(&mut self) {
            let _ = sys::ioctl_setflags(&self.0, IFlags::empty());
        }
    }

    #[test]
    fn a_file_that_stays_keeps_no_other_and_what_is_gone_is_counted() {
        let place = Place::new();
        let times = ["00:00", "00:02", "00:04", "00:06"];
        let files =
            times.map(|time| place.put(&format!("c/source/{HOUR}/{}", segment(time)), "abc"));
        let stay: Vec<_> = files[1..3].iter().map(|it| Immutable::new(it)).collect();
        if stay.iter().any(Option::is_none) {
            // Needs root, and a file system that knows such files.
            return;
        }
        let (channel, quality) = (Channel::new("c").unwrap(), Quality::new("source").unwrap());
        let delete = || {
            let hour = HOUR.parse().unwrap();
            place.1.delete_hour(&channel, &quality, hour)
        };
        let (deleted, error) = delete();
        assert_eq!((deleted.files, deleted.bytes), (2, 6));
        let error = error.unwrap().to_string();
        assert!(error.contains("cannot remove"), "{error}");
        assert_eq!(place.names("source"), [segment("00:02"), segment("00:04")]);
        drop(stay);
        let (deleted, error) = delete();
        assert!(deleted.files == 2 && error.is_none());
        assert_eq!(place.names("source"), ["(gone)"]);
    }
}
