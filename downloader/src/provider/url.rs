//! An HLS playlist anywhere: a master playlist, of which the best variant is recorded, or a
//! media playlist itself.

use std::collections::HashSet;

use common::hedge::Hedge;
use common::http::{self, HttpClient};
use common::names::Quality;
use url::Url;

use super::{ProviderError, Source};
use crate::fetch;
use crate::playlist::{MasterPlaylist, Playlist, Variant};

/// The one quality of such a channel (SPEC §5).
const SOURCE: &str = "source";

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
        hedge: Hedge,
    ) -> Result<Vec<Source>, ProviderError> {
        match fetch::playlist(client, "find_playlist", &self.url, hedge).await? {
            // The worker asks for it again: that costs one request and keeps redirects fresh.
            Playlist::Media(_) => Ok(sources(vec![self.url.clone()], &[])),
            Playlist::Master(master) => {
                let found = choose(&master);
                if found.is_empty() {
                    let url = http::shown(&self.url);
                    return Err(ProviderError::Nothing { url });
                }
                Ok(found)
            }
        }
    }
}

/// The variant with the most bits a second and its equals, in the order of the list, with the
/// sound that is in playlists of its own.
fn choose(master: &MasterPlaylist) -> Vec<Source> {
    let Some(most) = master
        .variants
        .iter()
        .map(|variant| variant.bandwidth)
        .max()
    else {
        return Vec::new();
    };
    let best: Vec<&Variant> = master
        .variants
        .iter()
        .filter(|variant| variant.bandwidth == most)
        .collect();
    let urls = best.iter().map(|variant| variant.url.clone()).collect();
    let audio: Vec<_> = best
        .first()
        .map(|variant| {
            variant
                .audio
                .iter()
                .map(|a| (a.name.as_str(), &a.url))
                .collect()
        })
        .unwrap_or_default();
    sources(urls, &audio)
}

fn sources(urls: Vec<Url>, audio: &[(&str, &Url)]) -> Vec<Source> {
    let mut seen = HashSet::new();
    let video = Quality::new(SOURCE)
        .ok()
        .map(|quality| Source { quality, urls });
    let audio = audio.iter().filter_map(|(name, url)| {
        let quality = audio_quality(SOURCE, name)?;
        seen.insert(quality.as_str().to_owned()).then(|| Source {
            quality,
            urls: vec![(*url).clone()],
        })
    });
    video.into_iter().chain(audio).collect()
}

/// What sound of its own is recorded as: `QUALITY-audio-NAME`; what cannot be in a path is
/// replaced.
fn audio_quality(video: &str, name: &str) -> Option<Quality> {
    let name: String = name
        .chars()
        .map(|c| if c == '/' || c.is_control() { '_' } else { c })
        .take(60)
        .collect();
    Quality::new(&format!("{video}-audio-{name}")).ok()
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
        choose(&master).iter().map(shown).collect()
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
            #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"En_glish\",URI=\"again.m3u8\"\n\
            #EXT-X-STREAM-INF:BANDWIDTH=9,AUDIO=\"a\"\nbest.m3u8\n";
        let qualities: Vec<_> = chosen(lines).into_iter().map(|(name, _)| name).collect();
        assert_eq!(qualities, ["source", "source-audio-En_glish"]);
    }
}
