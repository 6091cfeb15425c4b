//! Tombstones: empty files that say that the file of the same stem is to be treated as though
//! it did not exist (SPEC §2).

use std::io;

use super::listing::TOMBSTONE;
use super::sink::create_new;
use super::{Store, StoreError};
use crate::names::{Channel, PathPart, Quality};
use crate::segment::Hour;

impl Store {
    /// Creates a tombstone, `NAME.tombstone`, unless it is there; true iff it was not. Blocking.
    ///
    /// # Errors
    /// If it cannot be made, or `name` is not that of a tombstone.
    pub fn bury(
        &self,
        channel: &Channel,
        quality: &Quality,
        hour: Hour,
        name: &PathPart,
    ) -> Result<bool, StoreError> {
        let directory = self.hour_directory(channel, quality, hour);
        let file = directory.join(name);
        if !name.as_str().ends_with(TOMBSTONE) {
            let error = io::Error::from(io::ErrorKind::InvalidInput);
            return Err(StoreError::new("make a tombstone of", &file, error));
        }
        match create_new(&directory, &file) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn it_is_empty_hides_its_segment_and_is_made_once() {
        let base = tempfile::TempDir::new().unwrap();
        let store = Store::new(base.path());
        let (channel, quality) = (Channel::new("c").unwrap(), Quality::new("source").unwrap());
        let hour = "2026-01-02T03".parse().unwrap();
        let bury = |name: &str| {
            let name = PathPart::new(name).unwrap();
            store.bury(&channel, &quality, hour, &name)
        };
        assert!(bury("x.tombstone").unwrap());
        assert!(!bury("x.tombstone").unwrap());
        assert!(bury("x.ts").is_err());
        let directory = store.hour_directory(&channel, &quality, hour);
        fs::write(directory.join("x.ts"), "x").unwrap();
        let names = store.hour_names(&channel, &quality, hour).unwrap();
        assert_eq!(names.tombstones, ["x.tombstone"]);
        assert!(names.files.is_empty());
        assert_eq!(
            fs::metadata(directory.join("x.tombstone")).unwrap().len(),
            0
        );
    }
}
