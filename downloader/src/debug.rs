//! `--playlist-debug`: the newest playlists are kept, and written beside each segment that they
//! led to, so that it can be seen later why a segment has the date that it has.

use std::collections::VecDeque;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use common::names::PathPart;
use common::segment::Hour;

use crate::rendition::Rendition;
use crate::timeline::Wanted;

/// The directory below the base directory.
const DIRECTORY: &str = "playlist-debug";

/// A playlist and when it came.
type Kept = (DateTime<Utc>, Bytes);

/// The newest playlists, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Playlists {
    kept: VecDeque<Kept>,
}

impl Playlists {
    /// Keeps a playlist, and of those before it as many as are wanted.
    pub(crate) fn keep(&mut self, wanted: usize, text: Bytes) {
        self.kept.push_back((Utc::now(), text));
        while self.kept.len() > wanted {
            self.kept.pop_front();
        }
    }

    /// All that are kept.
    pub(crate) fn all(&self) -> Vec<Kept> {
        self.kept.iter().cloned().collect()
    }
}

/// Writes playlists as
/// `playlist-debug/CHANNEL/QUALITY/HOUR/MM:SS.ffffff-DURATION.FETCHED.m3u8`.
pub(crate) async fn write(rendition: &Rendition, wanted: &Wanted, playlists: Vec<Kept>) {
    if playlists.is_empty() {
        return;
    }
    let store = rendition.store.clone();
    let hour = Hour::of(wanted.start).to_string();
    let (channel, quality) = (rendition.channel.to_string(), rendition.quality.to_string());
    let directories = [DIRECTORY, &channel, &quality, &hour].map(PathPart::new);
    let stem = format!("{}-{}", wanted.start.format("%M:%S%.6f"), wanted.duration);
    let work = move || -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let directories = directories.into_iter().collect::<Result<Vec<_>, _>>()?;
        for (fetched, text) in playlists {
            let name = format!("{stem}.{}.m3u8", fetched.format("%Y-%m-%dT%H:%M:%S%.6fZ"));
            store.write_note(&directories, &PathPart::new(&name)?, &text)?;
        }
        Ok(())
    };
    if let Ok(Err(error)) = tokio::task::spawn_blocking(work).await {
        tracing::warn!(%channel, %quality, %error, "cannot keep playlists");
    }
}
