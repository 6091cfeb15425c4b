//! The writer of files that are no segments: chat batches, and whatever else nodes copy from
//! one another.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::sink::Spool;
use super::writer::temporary_id;
use super::{CommitError, Store, StoreError};
use crate::names::{Channel, PathPart, Quality};
use crate::segment::{Hour, SegmentHash};

/// Writes one file. Dropping it, anywhere, removes what was written. A file that is there is
/// never replaced, whatever is in it.
#[derive(Debug)]
pub struct FileWriter {
    spool: Spool,
    name: String,
}

impl FileWriter {
    /// Begins a file of an hour, such as a chat batch; until it has its name it is called
    /// `NAME.UUID.temp` (SPEC §2).
    ///
    /// # Errors
    /// If its directory or the temporary file cannot be made.
    pub async fn in_hour(
        store: &Store,
        channel: &Channel,
        quality: &Quality,
        hour: Hour,
        name: &PathPart,
    ) -> Result<FileWriter, StoreError> {
        let directory = store.hour_directory(channel, quality, hour);
        let temp = format!("{name}.{}.temp", temporary_id().hyphenated());
        Ok(FileWriter {
            spool: Spool::create(directory, &temp, || Ok(())).await?,
            name: name.to_string(),
        })
    }

    /// Begins a file somewhere below a directory of the base. `below` leads to it and ends with
    /// its name; none of the directories on that way may be a symbolic link, which could lead
    /// out of the base. Until it has its name, the file is hidden (`.UUID.temp`).
    ///
    /// # Errors
    /// If the way is not fit, or the temporary file cannot be made.
    pub async fn below(
        store: &Store,
        directory: &[PathPart],
        below: &[PathPart],
    ) -> Result<FileWriter, StoreError> {
        let mut root = store.base().to_path_buf();
        root.extend(directory);
        let Some((name, ways)) = below.split_last() else {
            let error = io::Error::from(io::ErrorKind::InvalidInput);
            return Err(StoreError::new(
                "write a file without a name in",
                &root,
                error,
            ));
        };
        let mut path = root.clone();
        path.extend(ways);
        let ways = ways.to_vec();
        let temp = format!(".{}.temp", temporary_id().hyphenated());
        let check = move || follows_no_link(root, &ways);
        Ok(FileWriter {
            spool: Spool::create(path, &temp, check).await?,
            name: name.to_string(),
        })
    }

    /// Adds to the file.
    ///
    /// # Errors
    /// If the disk refused this piece or an earlier one; the file is lost then.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        self.spool.write(bytes).await
    }

    /// How many bytes it has so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.spool.bytes()
    }

    /// Gives the file its name, if its content has the hash `expected` (`None`: whatever it
    /// is). True iff there was a file of that name: then that one stays, and this one goes.
    ///
    /// # Errors
    /// If the hash is another, or the disk fails; then nothing is left.
    pub async fn commit(self, expected: Option<SegmentHash>) -> Result<bool, CommitError> {
        let name = self.name;
        let named = move |actual| match expected {
            Some(expected) if expected != actual => Err(CommitError::Hash { expected, actual }),
            _ => Ok((name, ())),
        };
        let ((), existed) = self.spool.finish(named).await?;
        Ok(existed)
    }
}

/// An error if a symbolic link is on the way.
fn follows_no_link(mut path: PathBuf, ways: &[PathPart]) -> Result<(), StoreError> {
    for way in ways {
        path.push(way);
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_symlink() => return Err(is_a_link(&path)),
            Ok(_) => {}
            // Neither it nor anything below it is there.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(StoreError::new("look at", &path, error)),
        }
    }
    Ok(())
}

fn is_a_link(path: &Path) -> StoreError {
    let error = io::Error::new(io::ErrorKind::InvalidInput, "it is a symbolic link");
    StoreError::new("write below", path, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};
    use std::os::unix::fs::symlink;

    fn parts(path: &str) -> Vec<PathPart> {
        let parts = path.split('/').filter(|part| !part.is_empty());
        parts.map(|part| PathPart::new(part).unwrap()).collect()
    }

    fn files(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).into_iter().flatten();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    async fn write(writer: FileWriter, content: &str, hash: Option<SegmentHash>) -> String {
        let mut writer = writer;
        writer.write(content.to_owned().into()).await.unwrap();
        match writer.commit(hash).await {
            Ok(existed) => format!("existed: {existed}"),
            Err(error) => error.to_string(),
        }
    }

    #[tokio::test]
    async fn a_batch_has_the_temporary_name_of_the_specification_and_its_hash_is_checked() {
        let base = tempfile::TempDir::new().unwrap();
        let store = Store::new(base.path());
        let (channel, chat) = (Channel::new("c").unwrap(), Quality::new("chat").unwrap());
        let hour: Hour = "2026-01-02T03".parse().unwrap();
        let hash = SegmentHash::from_bytes(Sha256::digest("abc").into());
        let name = PathPart::new(&format!("00:00.000000-{hash}.json")).unwrap();
        let writer = async || {
            let writer = FileWriter::in_hour(&store, &channel, &chat, hour, &name);
            writer.await.unwrap()
        };
        let directory = base.path().join("c/chat/2026-01-02T03");
        let open = writer().await;
        let temp = files(&directory).remove(0);
        let uuid = temp.strip_prefix(&format!("{name}.")).unwrap();
        let uuid = uuid.strip_suffix(".temp").unwrap();
        assert_eq!(uuid.parse::<uuid::Uuid>().unwrap().get_version_num(), 8);
        drop(open);
        assert!(files(&directory).is_empty());

        let wrong = write(writer().await, "abd", Some(hash)).await;
        assert!(wrong.starts_with("its content has the hash "), "{wrong}");
        assert!(files(&directory).is_empty());
        let right = write(writer().await, "abc", Some(hash)).await;
        assert_eq!(right, "existed: false");
        assert_eq!(files(&directory), [name.as_str()]);
    }

    #[tokio::test]
    async fn a_file_that_is_there_stays_as_it_is() {
        let base = tempfile::TempDir::new().unwrap();
        let store = Store::new(base.path());
        let writer = async || {
            let (directory, below) = (parts("x"), parts("a/b/c.txt"));
            let writer = FileWriter::below(&store, &directory, &below);
            writer.await.unwrap()
        };
        // Both begin before either has its name.
        let (first, second) = (writer().await, writer().await);
        let directory = base.path().join("x/a/b");
        assert!(files(&directory).iter().all(|name| name.starts_with('.')));
        assert_eq!(write(first, "first", None).await, "existed: false");
        assert_eq!(write(second, "second", None).await, "existed: true");
        assert_eq!(files(&directory), ["c.txt"]);
        assert_eq!(fs::read(directory.join("c.txt")).unwrap(), b"first");
        // A link that leads nowhere is a file that is there, too.
        symlink("/nonexistent", directory.join("d.txt")).unwrap();
        let writer = FileWriter::below(&store, &parts("x"), &parts("a/b/d.txt")).await;
        let third = write(writer.unwrap(), "third", None).await;
        assert_eq!(third, "existed: true");
        assert!(directory.join("d.txt").is_symlink());
    }

    #[tokio::test]
    async fn no_link_on_the_way_is_followed_but_the_directory_itself_may_be_one() {
        let (base, outside) = (
            tempfile::TempDir::new().unwrap(),
            tempfile::TempDir::new().unwrap(),
        );
        let store = Store::new(base.path());
        fs::create_dir(base.path().join("x")).unwrap();
        symlink(outside.path(), base.path().join("x/out")).unwrap();
        for below in ["out/a.txt", "out/deep/a.txt"] {
            let error = FileWriter::below(&store, &parts("x"), &parts(below)).await;
            let error = error.unwrap_err().to_string();
            assert!(error.contains("x/out: it is a symbolic link"), "{error}");
        }
        assert!(files(outside.path()).is_empty());
        symlink(outside.path(), base.path().join("y")).unwrap();
        let writer = FileWriter::below(&store, &parts("y"), &parts("a.txt")).await;
        assert_eq!(write(writer.unwrap(), "a", None).await, "existed: false");
        assert_eq!(files(outside.path()), ["a.txt"]);
        let error = FileWriter::below(&store, &parts("y"), &[]).await;
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
