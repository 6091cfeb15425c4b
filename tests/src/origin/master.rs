//! The text of a master playlist (RFC 8216 §4.3.4).

/// One rendition in a master playlist.
#[derive(Debug, Clone)]
pub struct Variant {
    /// `NAME` of its `EXT-X-MEDIA:TYPE=VIDEO`; `None`: no such tag.
    pub name: Option<String>,
    /// `GROUP-ID` of that tag, `VIDEO` of the variant; `None`: the name.
    pub group: Option<String>,
    /// Where its media playlist is, relative or absolute.
    pub uri: String,
    /// `BANDWIDTH`, bits per second.
    pub bandwidth: u64,
    /// `RESOLUTION`, width and height.
    pub resolution: Option<(u32, u32)>,
    /// `AUDIO`: the group of its audio renditions.
    pub audio: Option<String>,
}

/// A master playlist.
#[derive(Debug, Clone, Default)]
pub struct MasterPlaylist {
    variants: Vec<Variant>,
    audio: Vec<String>,
    tags: Vec<String>,
}

impl MasterPlaylist {
    /// An empty one.
    #[must_use]
    pub fn new() -> MasterPlaylist {
        MasterPlaylist::default()
    }

    /// With a rendition, named as Twitch does; the first one is usually the best.
    #[must_use]
    pub fn named(self, name: &str, uri: &str, bandwidth: u64) -> MasterPlaylist {
        self.variant(Variant {
            name: Some(name.to_owned()),
            group: None,
            uri: uri.to_owned(),
            bandwidth,
            resolution: None,
            audio: None,
        })
    }

    /// With a rendition that has no name, as ffmpeg and most packagers write it.
    #[must_use]
    pub fn unnamed(self, uri: &str, bandwidth: u64) -> MasterPlaylist {
        self.variant(Variant {
            name: None,
            group: None,
            uri: uri.to_owned(),
            bandwidth,
            resolution: None,
            audio: None,
        })
    }

    /// With this rendition.
    #[must_use]
    pub fn variant(mut self, variant: Variant) -> MasterPlaylist {
        self.variants.push(variant);
        self
    }

    /// With an audio rendition of a group; without a URI it is part of the variant itself.
    #[must_use]
    pub fn audio(mut self, group: &str, name: &str, uri: Option<&str>) -> MasterPlaylist {
        let uri = uri.map_or_else(String::new, |uri| format!(",URI=\"{uri}\""));
        self.audio.push(format!(
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{group}\",NAME=\"{name}\",AUTOSELECT=YES{uri}"
        ));
        self
    }

    /// With a line as it stands, behind the version.
    #[must_use]
    pub fn tag(mut self, line: &str) -> MasterPlaylist {
        self.tags.push(line.to_owned());
        self
    }

    /// The playlist.
    #[must_use]
    pub fn render(&self) -> String {
        let mut lines = vec!["#EXTM3U".to_owned(), "#EXT-X-VERSION:4".to_owned()];
        lines.extend(self.tags.iter().cloned());
        lines.extend(self.audio.iter().cloned());
        for variant in &self.variants {
            let mut stream = format!("#EXT-X-STREAM-INF:BANDWIDTH={}", variant.bandwidth);
            if let Some((width, height)) = variant.resolution {
                stream.push_str(&format!(",RESOLUTION={width}x{height}"));
            }
            if let Some(name) = &variant.name {
                let group = variant.group.as_ref().unwrap_or(name);
                lines.push(format!(
                    "#EXT-X-MEDIA:TYPE=VIDEO,GROUP-ID=\"{group}\",NAME=\"{name}\",\
                     AUTOSELECT=YES,DEFAULT=YES"
                ));
                stream.push_str(&format!(",VIDEO=\"{group}\""));
            }
            if let Some(group) = &variant.audio {
                stream.push_str(&format!(",AUDIO=\"{group}\""));
            }
            lines.push(stream);
            lines.push(variant.uri.clone());
        }
        lines.join("\n") + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_playlist_reads_back() {
        let text = MasterPlaylist::new()
            .tag("#EXT-X-TWITCH-INFO:NODE=\"x\"")
            .audio("sound", "English", Some("en.m3u8"))
            .named("720p60", "720p60.m3u8", 3_000_000)
            .variant(Variant {
                name: Some("1080p60 (source)".to_owned()),
                group: Some("chunked".to_owned()),
                uri: "http://h/source.m3u8".to_owned(),
                bandwidth: 6_000_000,
                resolution: Some((1920, 1080)),
                audio: Some("sound".to_owned()),
            })
            .unnamed("low.m3u8", 100_000)
            .render();
        let (_, read) = m3u8_rs::parse_master_playlist(text.as_bytes()).unwrap();
        let uris: Vec<_> = read.variants.iter().map(|v| v.uri.as_str()).collect();
        assert_eq!(uris, ["720p60.m3u8", "http://h/source.m3u8", "low.m3u8"]);
        assert_eq!(read.variants[1].video.as_deref(), Some("chunked"));
        assert_eq!(read.variants[1].audio.as_deref(), Some("sound"));
        let names: Vec<_> = read.alternatives.iter().map(|m| m.name.as_str()).collect();
        assert_eq!(names, ["English", "720p60", "1080p60 (source)"]);
    }
}
