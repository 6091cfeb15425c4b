//! An HLS playlist anywhere: a master playlist, of which the best variant is recorded, or a
//! media playlist itself.

use std::collections::HashSet;

use common::hedge::Hedge;
use common::http::HttpClient;
use common::names::Quality;
use url::Url;

use super::{Found, ProviderError, SOURCE, Source, only_source};
use crate::fetch;
use crate::playlist::{AudioRendition, MasterPlaylist, Playlist, Variant};

/// The longest name of sound that becomes part of a path, in characters.
const MAX_AUDIO_NAME: usize = 60;

/// Stands between the quality of a video and the name of its sound.
const AUDIO: &str = "-audio-";

/// Finds the renditions behind one URL.
#[derive(Debug, Clone)]
pub struct UrlProvider {
    /// A master or media playlist.
    pub url: Url,
}

impl UrlProvider {
    pub(super) async fn find(
        &self,
        client: &HttpClient,
        qualities: &[Quality],
        hedge: Hedge,
    ) -> Result<Found, ProviderError> {
        let quality = only_source(qualities)?;
        let playlist = fetch::playlist(client, "find_playlist", &self.url, hedge).await?;
        let sources = match playlist {
            // The worker asks for it again: that costs one request and keeps redirects fresh.
            Playlist::Media(_) => vec![Source {
                quality,
                urls: vec![self.url.clone()],
            }],
            Playlist::Master(master) => choose(&master, quality),
        };
        if sources.is_empty() {
            return Err(ProviderError::Answer {
                what: "the master playlist",
                problem: "it lists no variant".to_owned(),
            });
        }
        // Sound that is asked for by name may come later.
        let is_there = |quality: &Quality| sources.iter().any(|source| source.quality == *quality);
        let missing = qualities
            .iter()
            .filter(|quality| is_audio_of(SOURCE, quality.as_str()) && !is_there(quality));
        Ok(Found {
            missing: missing.cloned().collect(),
            sources,
            there: vec![SOURCE.to_owned()],
        })
    }
}

/// The variant with the most bits a second and its equals, in the order of the list, with the
/// sound that is in playlists of its own.
fn choose(master: &MasterPlaylist, quality: Quality) -> Vec<Source> {
    let variants = master.variants.iter();
    let Some(most) = variants.clone().map(|variant| variant.bandwidth).max() else {
        return Vec::new();
    };
    let best: Vec<&Variant> = variants.filter(|v| v.bandwidth == most).collect();
    with_audio(quality, &best)
}

/// A quality that all of these variants have, with the sound that goes with them: sound of the
/// same name again stands in for it.
pub(super) fn with_audio(quality: Quality, variants: &[&Variant]) -> Vec<Source> {
    let urls = variants.iter().map(|variant| variant.url.clone()).collect();
    let mut sources = vec![Source { quality, urls }];
    let mut seen = HashSet::new();
    for AudioRendition { name, url } in variants.iter().flat_map(|variant| &variant.audio) {
        let Some(quality) = audio_quality(sources[0].quality.as_str(), name) else {
            continue;
        };
        if !seen.insert(url) {
            continue;
        }
        match sources.iter_mut().find(|source| source.quality == quality) {
            Some(source) => source.urls.push(url.clone()),
            None => sources.push(Source {
                quality,
                urls: vec![url.clone()],
            }),
        }
    }
    sources
}

/// True iff a quality is sound that goes with this one.
pub(super) fn is_audio_of(video: &str, quality: &str) -> bool {
    let rest = quality.strip_prefix(video);
    rest.is_some_and(|rest| rest.starts_with(AUDIO))
}

/// What sound of its own is recorded as: `QUALITY-audio-NAME`; what cannot be in a path is
/// replaced.
fn audio_quality(video: &str, name: &str) -> Option<Quality> {
    let name: String = name
        .chars()
        .map(|c| if c == '/' || c.is_control() { '_' } else { c })
        .take(MAX_AUDIO_NAME)
        .collect();
    Quality::new(&format!("{video}{AUDIO}{name}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::playlist::read;

    fn chosen(lines: &str) -> Vec<(String, Vec<String>)> {
        let base = "http://h/master.m3u8".parse().unwrap();
        let Playlist::Master(master) = read(format!("#EXTM3U\n{lines}").as_bytes(), &base).unwrap()
        else {
            panic!("a media playlist");
        };
        let shown = |source: &Source| {
            let urls = source.urls.iter().map(|url| url.path().to_owned());
            (source.quality.to_string(), urls.collect())
        };
        let source = Quality::new(SOURCE).unwrap();
        choose(&master, source).iter().map(shown).collect()
    }

    #[test]
    fn the_best_variant_is_the_source_and_its_equals_stand_behind_it() {
        let lines = "#EXT-X-STREAM-INF:BANDWIDTH=1\nlow.m3u8\n\
            #EXT-X-STREAM-INF:BANDWIDTH=9\nbest.m3u8\n\
            #EXT-X-STREAM-INF:BANDWIDTH=9\nbackup.m3u8\n";
        let urls = vec!["/best.m3u8".to_owned(), "/backup.m3u8".to_owned()];
        assert_eq!(chosen(lines), [("source".to_owned(), urls)]);
    }

    #[test]
    fn sound_of_its_own_is_a_quality_of_its_own() {
        let lines = "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"En/glish\",URI=\"en.m3u8\"\n\
            #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"b\",NAME=\"En/glish\",URI=\"backup.m3u8\"\n\
            #EXT-X-STREAM-INF:BANDWIDTH=9,AUDIO=\"a\"\nbest.m3u8\n\
            #EXT-X-STREAM-INF:BANDWIDTH=9,AUDIO=\"b\"\nequal.m3u8\n";
        let chosen = chosen(lines);
        let audio = vec!["/en.m3u8".to_owned(), "/backup.m3u8".to_owned()];
        assert_eq!(chosen.len(), 2);
        assert_eq!(chosen[1], ("source-audio-En_glish".to_owned(), audio));
    }
}
