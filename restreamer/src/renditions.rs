//! Every quality with video that there is, for those who look at all of them. What cannot be read
//! (`lost+found` at the root of a file system, say) is left out: it does not hide its siblings.

use std::sync::Arc;

use common::store::{Store, StoreError, note_unreadable};

use crate::index::{IndexError, Rendition};

/// The qualities with video, up to so many of them, in order.
///
/// # Errors
/// If the base directory itself cannot be read.
pub(crate) fn videos(store: &Store, most: usize) -> Result<Vec<Arc<Rendition>>, StoreError> {
    let mut videos = Vec::new();
    for channel in store.channels()? {
        let qualities = match store.qualities(&channel) {
            Ok(qualities) => qualities,
            Err(error) => {
                note_unreadable(error.path(), &error);
                continue;
            }
        };
        for quality in qualities.into_iter().filter(|quality| !quality.is_chat()) {
            if videos.len() == most {
                return Ok(videos);
            }
            let channel = channel.clone();
            videos.push(Arc::new(Rendition { channel, quality }));
        }
    }
    Ok(videos)
}

/// What was found in a quality; nothing if it cannot be read.
pub(crate) fn readable<T>(found: Result<Option<T>, IndexError>) -> Option<T> {
    found.unwrap_or_else(|error| {
        note_unreadable(error.path(), &error);
        None
    })
}
