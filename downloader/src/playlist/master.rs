//! The master playlist: which renditions there are (RFC 8216 §4.3.4).

use std::collections::HashMap;

use url::Url;

use super::attributes::Attributes;
use super::{Problems, resolve};

/// A rendition of the video.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// Where its media playlist is.
    pub url: Url,
    /// Bits per second at most; 0 if it does not say.
    pub bandwidth: u64,
    /// The `NAME` of its `EXT-X-MEDIA:TYPE=VIDEO`, as Twitch has it: `1080p60 (source)`.
    pub name: Option<String>,
    /// The sound that goes with it but is in playlists of its own.
    pub audio: Vec<AudioRendition>,
}

/// Sound in a media playlist of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioRendition {
    /// Its `NAME`: `English`.
    pub name: String,
    /// Where its media playlist is.
    pub url: Url,
}

/// A master playlist.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MasterPlaylist {
    /// In the order of the list.
    pub variants: Vec<Variant>,
    /// Lines that made no sense.
    pub problems: Problems,
}

pub(super) fn read<'a>(lines: impl Iterator<Item = &'a str>, base: &Url) -> MasterPlaylist {
    let mut problems = Problems::default();
    let mut names: HashMap<&str, &str> = HashMap::new();
    let mut audio: HashMap<&str, Vec<AudioRendition>> = HashMap::new();
    let mut found: Vec<(Attributes<'_>, Url)> = Vec::new();
    let mut pending: Option<Attributes<'_>> = None;
    for line in lines {
        if let Some(list) = line.strip_prefix("#EXT-X-STREAM-INF:") {
            pending = Some(Attributes::new(list));
        } else if let Some(list) = line.strip_prefix("#EXT-X-MEDIA:") {
            let list = Attributes::new(list);
            let (Some(group), Some(name)) = (list.get("GROUP-ID"), list.get("NAME")) else {
                problems.add(format!("{line:?} has no GROUP-ID or no NAME"));
                continue;
            };
            match (list.get("TYPE"), list.get("URI")) {
                (Some("VIDEO"), _) => {
                    names.entry(group).or_insert(name);
                }
                (Some("AUDIO"), Some(uri)) => match resolve(base, uri) {
                    Ok(url) => audio.entry(group).or_default().push(AudioRendition {
                        name: name.to_owned(),
                        url,
                    }),
                    Err(why) => problems.add(format!("audio rendition {name:?}: {why}")),
                },
                _ => {}
            }
        } else if !line.starts_with('#')
            && let Some(list) = pending.take()
        {
            match resolve(base, line) {
                Ok(url) => found.push((list, url)),
                Err(why) => problems.add(format!("variant {line:?}: {why}")),
            }
        }
    }
    let variants = found.into_iter().map(|(list, url)| Variant {
        url,
        bandwidth: list
            .get("BANDWIDTH")
            .and_then(|b| b.parse().ok())
            .unwrap_or(0),
        name: list
            .get("VIDEO")
            .and_then(|group| names.get(group))
            .map(|&name| name.to_owned()),
        audio: list
            .get("AUDIO")
            .and_then(|group| audio.get(group))
            .cloned()
            .unwrap_or_default(),
    });
    MasterPlaylist {
        variants: variants.collect(),
        problems,
    }
}
