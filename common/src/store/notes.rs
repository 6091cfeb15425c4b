//! Small files beside the recordings, for whoever looks into what happened: nothing reads them
//! again.

use std::fs;

use super::{Store, StoreError};
use crate::names::PathPart;

impl Store {
    /// Writes a file below the base directory, with the directories that lead to it; one of that
    /// name is replaced. Blocking, and without the care that a segment gets.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn write_note(
        &self,
        directories: &[PathPart],
        name: &PathPart,
        content: &[u8],
    ) -> Result<(), StoreError> {
        let mut path = self.base().to_path_buf();
        path.extend(directories);
        fs::create_dir_all(&path)
            .map_err(|error| StoreError::new("make the directory", &path, error))?;
        path.push(name);
        fs::write(&path, content).map_err(|error| StoreError::new("write", &path, error))
    }
}
