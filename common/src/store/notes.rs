//! Small files beside the recordings, for whoever looks into what happened: nothing reads them
//! again.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{Store, StoreError};
use crate::names::PathPart;

impl Store {
    /// Writes a file below the base directory, with the directories that lead to it; one of that
    /// name is replaced. Gives its path. Blocking, and without the care that a segment gets.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn write_note(
        &self,
        directories: &[PathPart],
        name: &PathPart,
        content: &[u8],
    ) -> Result<PathBuf, StoreError> {
        let mut path = self.base().to_path_buf();
        path.extend(directories);
        fs::create_dir_all(&path)
            .map_err(|error| StoreError::new("make the directory", &path, error))?;
        path.push(name);
        match fs::write(&path, content) {
            Ok(()) => Ok(path),
            Err(error) => Err(StoreError::new("write", &path, error)),
        }
    }

    /// Gives a file that was written so, with the same content, another name; where that cannot
    /// be done (it is gone, or has too many names), writes it again.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn link_note(
        &self,
        directories: &[PathPart],
        name: &PathPart,
        first: &Path,
        content: &[u8],
    ) -> Result<(), StoreError> {
        let mut path = self.base().to_path_buf();
        path.extend(directories);
        let linked = fs::create_dir_all(&path).and_then(|()| fs::hard_link(first, path.join(name)));
        match linked {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            Err(_) => self.write_note(directories, name, content).map(|_| ()),
        }
    }
}
