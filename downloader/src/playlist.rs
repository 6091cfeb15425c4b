//! HLS playlists (RFC 8216) as origins really serve them, read into types.
//!
//! Our own reader, because `m3u8-rs` reads `EXTINF` as `f32` and so loses digits of a name that
//! all nodes must agree on (SPEC §2), leaves dates without a colon in their zone unread, and
//! keeps one `EXT-X-DATERANGE` a segment. It takes what is there: a line that makes no sense
//! costs that line's segment, never the list, and is reported.

mod advertisements;
mod attributes;
mod listed;
mod master;
mod media;
mod ranges;
mod reading;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_lines;
mod variables;

use url::Url;

#[cfg(test)]
pub(crate) use listed::place;
pub use listed::{ByteRange, Encryption, InitSection, Listed, MediaPlaylist};
pub use master::{AudioRendition, MasterPlaylist, Variant};
pub use reading::Reading;

/// The first line of every playlist (RFC 8216 §4.3.1.1).
const HEADER: &str = "#EXTM3U";

/// A reader reports so many problems of one list; the rest is like them.
const MAX_PROBLEMS: usize = 20;

/// A playlist of either kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Playlist {
    /// One that lists renditions.
    Master(MasterPlaylist),
    /// One that lists segments.
    Media(MediaPlaylist),
}

/// Why a text is no playlist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaylistError {
    /// It is something else: an error page, say.
    #[error("it is no HLS playlist: it begins with {0:?}, not #EXTM3U")]
    NoHeader(String),
    /// One that lists renditions, where one that lists segments has to be.
    #[error("it is a master playlist, not a media playlist")]
    Master,
    /// A delta update, for which we never ask.
    #[error("it is a delta update (EXT-X-SKIP), which was not asked for")]
    Delta,
    /// More segments than any list that we would believe.
    #[error("it lists more than {0} segments")]
    TooLong(usize),
}

/// Reads a playlist. `base` is the URL that it came from, after redirects: relative URIs in it
/// are relative to that (RFC 8216 §4.1).
///
/// # Errors
/// [`PlaylistError`].
///
/// ```
/// use downloader::playlist::{Playlist, read};
/// let base = "https://example.com/live/index.m3u8".parse().unwrap();
/// let text = b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.0021234567,\n1.ts\n";
/// let Playlist::Media(media) = read(text, &base).unwrap() else { panic!() };
/// assert_eq!(media.segments[0].url.as_str(), "https://example.com/live/1.ts");
/// assert_eq!(media.segments[0].duration.to_string(), "2.0021234567");
/// ```
pub fn read(bytes: &[u8], base: &Url) -> Result<Playlist, PlaylistError> {
    // Origins in the field write Latin-1 in titles; nothing that we need is lost by it.
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_start_matches('\u{feff}');
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    if !first.starts_with(HEADER) {
        return Err(no_header(first));
    }
    if is_master(lines.clone()) {
        Ok(Playlist::Master(master::read(lines, base)))
    } else {
        media::read(lines, base).map(Playlist::Media)
    }
}

/// That a text begins with this line, not as a playlist does.
fn no_header(first: &str) -> PlaylistError {
    PlaylistError::NoHeader(first.chars().take(40).collect())
}

/// Which kind of playlist it is, by its lines.
fn is_master<'a>(lines: impl Iterator<Item = &'a str>) -> bool {
    lines
        .take_while(|line| !line.starts_with("#EXTINF:"))
        .any(|line| line.starts_with("#EXT-X-STREAM-INF:"))
}

/// What was wrong with lines of a list, for the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(Vec<String>);

impl Problems {
    fn add(&mut self, problem: String) {
        if self.0.len() < MAX_PROBLEMS {
            self.0.push(problem);
        }
    }

    /// Each in one line.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.0
    }

    /// Those that another list did not have: most stay for as long as their segment is listed.
    pub fn since<'a>(&'a self, before: &'a Problems) -> impl Iterator<Item = &'a String> {
        self.0.iter().filter(|line| !before.0.contains(line))
    }
}

/// Resolves a URI of a list (RFC 8216 §4.1); only web addresses are followed.
fn resolve(base: &Url, uri: &str) -> Result<Url, String> {
    match base.join(uri) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(url),
        Ok(url) => Err(format!("its URI has the scheme {:?}", url.scheme())),
        Err(error) => Err(format!("its URI cannot be read: {error}")),
    }
}
