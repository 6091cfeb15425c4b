//! Writes playlists (SPEC §4, RFC 8216). Pure: what there is comes in, text goes out.
//!
//! The lines of an hour are written once, when it is listed ([`HourLines`]); a playlist is
//! made of slices of them, so that one for a day costs little more than the walk over it.

mod lines;
mod media;
mod pieces;
#[cfg(test)]
mod tests;
mod through;

use std::fmt::Write as _;

use common::names::{Channel, Quality};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

pub use self::lines::HourLines;
pub use self::media::{MediaPlaylist, Run};
pub(crate) use self::media::{longest_millis, runs, target_seconds};

/// The content type of playlists.
pub const CONTENT_TYPE: &str = "application/vnd.apple.mpegurl";

/// What a part of a URL's path may hold as it is (RFC 3986 §2.3, the unreserved characters).
/// A `:` could stay too, but not every player tells it from a scheme's.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// One quality in a master playlist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// The quality.
    pub quality: Quality,
    /// Its peak bit rate, in bits a second.
    pub bandwidth: u64,
}

/// Writes the master playlist of a channel: the qualities in the order given, each with the
/// query of the request.
#[must_use]
pub fn master_playlist(channel: &Channel, variants: &[Variant], query: Option<&str>) -> String {
    let mut text = "#EXTM3U\n#EXT-X-VERSION:4\n".to_owned();
    for Variant { quality, bandwidth } in variants {
        // A quoted string cannot hold a quotation mark (RFC 8216 §4.2).
        let name = quality.as_str().replace('"', "'");
        let query = query.map_or_else(String::new, |query| format!("?{query}"));
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "#EXT-X-MEDIA:TYPE=VIDEO,GROUP-ID=\"{name}\",NAME=\"{name}\",AUTOSELECT=YES,DEFAULT=YES\n\
             #EXT-X-STREAM-INF:BANDWIDTH={bandwidth},VIDEO=\"{name}\",NAME=\"{name}\"\n\
             /playlist/{}/{}.m3u8{query}",
            utf8_percent_encode(channel.as_str(), IN_PATH),
            utf8_percent_encode(quality.as_str(), IN_PATH),
        );
    }
    text
}
