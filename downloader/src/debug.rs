//! `--playlist-debug`: the newest playlists are kept, and written beside each segment that they
//! led to, so that it can be seen later why a segment has the date that it has.
//!
//! A list is on disk once, under many names. Of one that is very long (a day's) each segment gets
//! what stands around it.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use common::names::PathPart;
use common::segment::Hour;

use crate::rendition::Rendition;
use crate::timeline::Wanted;

/// The directory below the base directory.
const DIRECTORY: &str = "playlist-debug";

/// A longer list is written in part: some hundred segments with URLs as long as Twitch's.
const MOST_WHOLE: usize = 256 * 1024;

/// So many segments before and behind the one that it is about.
const AROUND: usize = 20;

/// No more than so much before the first segment is behind, nor behind the last.
const MOST_EDGE: usize = 32 * 1024;

/// A playlist and when it came.
#[derive(Debug)]
pub(crate) struct Kept {
    fetched: DateTime<Utc>,
    text: Bytes,
    /// Where it was written first, in whole. Held while that is being done: whoever comes
    /// meanwhile links to it.
    written: Mutex<Option<PathBuf>>,
    /// Where in it the lines of URIs end, if it is written in part.
    ends: OnceLock<Vec<u32>>,
}

/// The newest playlists that differ, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Playlists {
    kept: VecDeque<Arc<Kept>>,
}

impl Playlists {
    /// Keeps a playlist, and of those before it as many as are wanted.
    pub(crate) fn keep(&mut self, wanted: usize, text: &Bytes) {
        if wanted > 0 {
            self.kept.push_back(Arc::new(Kept {
                fetched: Utc::now(),
                text: text.clone(),
                written: Mutex::default(),
                ends: OnceLock::new(),
            }));
        }
        while self.kept.len() > wanted {
            self.kept.pop_front();
        }
    }

    /// All that are kept.
    pub(crate) fn all(&self) -> Arc<[Arc<Kept>]> {
        self.kept.iter().cloned().collect()
    }
}

/// Writes playlists as
/// `playlist-debug/CHANNEL/QUALITY/HOUR/MM:SS.ffffff-DURATION.FETCHED.m3u8`.
pub(crate) async fn write(rendition: &Rendition, wanted: &Wanted, playlists: Arc<[Arc<Kept>]>) {
    if playlists.is_empty() {
        return;
    }
    let store = rendition.store.clone();
    let hour = Hour::of(wanted.start).to_string();
    let (channel, quality) = (rendition.channel.to_string(), rendition.quality.to_string());
    let directories = [DIRECTORY, &channel, &quality, &hour].map(PathPart::new);
    let stem = format!("{}-{}", wanted.start.format("%M:%S%.6f"), wanted.duration);
    let sequence = wanted.sequence;
    let work = move || -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let directories = directories.into_iter().collect::<Result<Vec<_>, _>>()?;
        for kept in playlists.iter() {
            let fetched = kept.fetched.format("%Y-%m-%dT%H:%M:%S%.6fZ");
            let name = PathPart::new(&format!("{stem}.{fetched}.m3u8"))?;
            if kept.text.len() > MOST_WHOLE {
                store.write_note(&directories, &name, &kept.excerpt(sequence))?;
                continue;
            }
            // Every change is complete before anything can panic.
            let mut written = kept.written.lock().unwrap_or_else(PoisonError::into_inner);
            match &*written {
                Some(first) => store.link_note(&directories, &name, first, &kept.text)?,
                None => *written = Some(store.write_note(&directories, &name, &kept.text)?),
            }
        }
        Ok(())
    };
    if let Ok(Err(error)) = tokio::task::spawn_blocking(work).await {
        tracing::warn!(%channel, %quality, %error, "cannot keep playlists");
    }
}

impl Kept {
    /// What stands around a segment, and all up to the first one and behind the last one; of the
    /// end, if the segment is not listed.
    fn excerpt(&self, sequence: u64) -> Vec<u8> {
        let ends = self.ends.get_or_init(|| uri_ends(&self.text));
        let (Some(&first), Some(&last)) = (ends.first(), ends.last()) else {
            return self.text[..MOST_EDGE.min(self.text.len())].to_vec();
        };
        let (first, last) = (first as usize, last as usize);
        let index = sequence.saturating_sub(first_sequence(&self.text[..first]));
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        let index = index.min(ends.len() - 1);
        let from = index.saturating_sub(AROUND).max(1);
        let to = (index + AROUND).min(ends.len() - 1);
        let mut excerpt = self.text[..first.min(MOST_EDGE)].to_vec();
        left_out(&mut excerpt, from - 1);
        let end = ends[to] as usize;
        excerpt.extend_from_slice(&self.text[(ends[from - 1] as usize).min(end)..end]);
        left_out(&mut excerpt, ends.len() - 1 - to);
        let foot = &self.text[last..];
        excerpt.extend_from_slice(&foot[..foot.len().min(MOST_EDGE)]);
        excerpt
    }
}

fn left_out(excerpt: &mut Vec<u8>, segments: usize) {
    if segments > 0 {
        let line = format!("# {segments} segments are left out here by --playlist-debug\n");
        excerpt.extend_from_slice(line.as_bytes());
    }
}

/// Where lines that are no tags and no comments end.
fn uri_ends(text: &[u8]) -> Vec<u32> {
    let mut ends = Vec::new();
    let mut position = 0;
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        position += line.len();
        let line = line.trim_ascii();
        if !line.is_empty() && line[0] != b'#' {
            ends.push(u32::try_from(position).unwrap_or(u32::MAX));
        }
    }
    ends
}

/// The media sequence number of the first segment.
fn first_sequence(head: &[u8]) -> u64 {
    let head = String::from_utf8_lossy(head);
    let mut values = head
        .lines()
        .filter_map(|line| line.trim().strip_prefix("#EXT-X-MEDIA-SEQUENCE:"));
    let value = values
        .next_back()
        .and_then(|value| value.trim().parse().ok());
    value.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_day_each_segment_gets_what_stands_around_it() {
        let mut text = "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:100\n".to_owned();
        for n in 100..43_300 {
            text.push_str(&format!("#EXTINF:2.0,\n{n}.ts\n"));
        }
        text.push_str("#EXT-X-PRELOAD-HINT:x\n");
        let mut playlists = Playlists::default();
        playlists.keep(1, &text.into());
        let excerpt = |sequence| {
            let text = playlists.all()[0].excerpt(sequence);
            String::from_utf8(text).unwrap()
        };
        let middle = excerpt(20_000);
        let uris = |text: &str| text.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(uris(&middle), 1 + 2 * AROUND + 1);
        for part in [
            "SEQUENCE:100\n",
            "100.ts",
            "\n20000.ts",
            "\n19980.ts",
            "\n20020.ts",
            "HINT:x\n",
        ] {
            assert!(middle.contains(part), "{part} in {middle}");
        }
        assert!(middle.contains("# 19879 segments are left out"), "{middle}");
        assert!(middle.contains("# 23279 segments are left out"), "{middle}");
        assert_eq!(uris(&excerpt(100)), 1 + AROUND);
        for end in [43_299, 99_999] {
            assert!(excerpt(end).ends_with("\n43299.ts\n#EXT-X-PRELOAD-HINT:x\n"));
        }
    }
}
