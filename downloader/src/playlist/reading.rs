//! Media playlists that follow one another: what is the same to the byte is not read again. A
//! list of a day is polled every second, and one segment of it is new.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use url::Url;

use super::listed::{Listed, MediaPlaylist};
use super::media::Reader;
use super::{HEADER, PlaylistError, is_master, no_header};

/// A byte-order mark.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// A media playlist, and what it takes to read the next one by its differences.
#[derive(Debug, Clone)]
pub struct Reading {
    /// What it says.
    pub list: Arc<MediaPlaylist>,
    /// As it came, to the byte.
    pub text: Bytes,
    base: Url,
    /// Where in the text (without a byte-order mark) the line of each segment's URI ends; empty
    /// if something in the list forbids that parts of it are taken over.
    ends: Vec<u32>,
}

impl Reading {
    /// Reads a list that came from `base`, if need be by the differences from the one before it.
    ///
    /// # Errors
    /// [`PlaylistError`].
    ///
    /// ```
    /// use downloader::playlist::Reading;
    /// let base = "https://example.com/live/index.m3u8".parse().unwrap();
    /// let first = Reading::read(None, "#EXTM3U\n#EXTINF:2,\n1.ts\n".into(), &base).unwrap();
    /// let text = "#EXTM3U\n#EXTINF:2,\n1.ts\n#EXTINF:2,\n2.ts\n";
    /// let second = Reading::read(Some(&first), text.into(), &base).unwrap();
    /// assert_eq!(second.list.segments.len(), 2);
    /// ```
    pub fn read(
        before: Option<&Reading>,
        text: Bytes,
        base: &Url,
    ) -> Result<Reading, PlaylistError> {
        let before = before.filter(|before| before.base == *base);
        if let Some(before) = before
            && before.text == text
        {
            return Ok(before.clone());
        }
        let plain = without_mark(&text);
        // Where Latin-1 had to be replaced, places in the text are not those in the bytes.
        // (`from_utf8` is far faster than the other, and nearly always enough.)
        let exact = std::str::from_utf8(plain);
        let lossy = exact.map_or_else(|_| String::from_utf8_lossy(plain), Cow::Borrowed);
        let exact = exact.is_ok();
        let mut lines = Lines {
            text: &lossy,
            position: 0,
        };
        let first = lines.next().unwrap_or_default();
        if !first.starts_with(HEADER) {
            return Err(no_header(first));
        }
        if is_master(Lines { ..lines }) {
            return Err(PlaylistError::Master);
        }
        let mut reader = Reader::new(base);
        let mut ends = Vec::new();
        while let Some(line) = lines.next() {
            let count = reader.list().segments.len();
            reader.line(line)?;
            if reader.list().segments.len() == count {
                continue;
            }
            ends.push(u32::try_from(lines.position).unwrap_or(u32::MAX));
            let rest = &plain[lines.position.min(plain.len())..];
            if count == 0
                && exact
                && let Some(before) = before
                && let Some((segments, more)) = before.continued_by(&reader, rest)
            {
                reader.take_over(segments);
                let (from, to) = (more[0], more[more.len() - 1]);
                let begin = ends[0];
                ends.extend(more[1..].iter().map(|end| end - from + begin));
                lines.position += (to - from) as usize;
            }
        }
        let ends_line = ends
            .last()
            .and_then(|&end| plain.get((end as usize).checked_sub(1)?));
        if !(exact && reader.is_plain() && ends_line == Some(&b'\n')) {
            ends = Vec::new();
        }
        Ok(Reading {
            list: Arc::new(reader.finish()),
            text,
            base: base.clone(),
            ends,
        })
    }

    /// The segments of this list behind the first one of another, and where they and that one
    /// end in the text, if the other goes on (with `rest`) exactly as this one does.
    fn continued_by(&self, other: &Reader<'_>, rest: &[u8]) -> Option<(&[Arc<Listed>], &[u32])> {
        let first = other.list().segments.first()?;
        let offset = self.list.segments.first()?.sequence;
        let n = usize::try_from(first.sequence.checked_sub(offset)?).ok()?;
        let (segments, ends) = (self.list.segments.get(n..)?, self.ends.get(n..)?);
        let (same, more) = segments.split_first()?;
        // What applies from there on is the same too.
        let applies = other.is_plain()
            && same.sequence == first.sequence
            && same.init == first.init
            && same.encryption == first.encryption;
        let (from, to) = (*ends.first()? as usize, *ends.last()? as usize);
        let tail = without_mark(&self.text).get(from..to)?;
        (applies && rest.starts_with(tail)).then_some((more, ends))
    }
}

fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(MARK).unwrap_or(text)
}

/// The lines of a text, trimmed, empty ones left out, and the place behind the last one given.
#[derive(Debug, Clone, Copy)]
struct Lines<'a> {
    text: &'a str,
    position: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        loop {
            let rest = self.text.get(self.position..).filter(|r| !r.is_empty())?;
            let length = rest.find('\n').map_or(rest.len(), |end| end + 1);
            self.position += length;
            let line = rest[..length].trim();
            if !line.is_empty() {
                return Some(line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::playlist::{Playlist, read};

    fn base() -> Url {
        "https://example.com/live/index.m3u8".parse().unwrap()
    }

    /// What stands before a segment's URI, or instead of it.
    const BLOCKS: [&str; 15] = [
        "#EXTINF:2.0,live\nNAME.ts",
        "#EXTINF:2.0,live\nNAME.ts\n\n#EXT-X-PART:URI=\"x\"",
        "#EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:04:05.000Z\r\n#EXTINF:2.000,\r\nNAME.ts\r",
        "#EXT-X-DISCONTINUITY\n#EXTINF:1.5,Amazon|1\nNAME.ts",
        "#EXT-X-MAP:URI=\"init-NAME.mp4\"\n#EXTINF:2,\nNAME.m4s",
        "#EXT-X-KEY:METHOD=AES-128,URI=\"key-NAME\"\n#EXTINF:2,\nNAME.ts",
        "#EXTINF:2,\n{$v}NAME.ts",
        "#EXT-X-KEY:METHOD=NONE\n#EXT-X-GAP\n#EXTINF:2,\nNAME.ts",
        "#EXTINF:2,\n#EXT-X-BYTERANGE:100\nall.ts",
        "#EXT-X-SCTE35-OUT\n#EXTINF:2,\nNAME.ts",
        "#EXT-X-SCTE35-IN\n#EXTINF:2,\nNAME.ts",
        "#EXT-X-DATERANGE:CLASS=\"twitch-stitched-ad\",START-DATE=\"2026-01-02T03:04:05Z\",DURATION=4\n#EXTINF:2,\nNAME.ts",
        "#EXT-X-DATERANGE:CLASS=\"twitch-stitched-ad\",START-DATE=\"2026-01-02T03:04:05Z\"\n#EXTINF:2,\nNAME.ts",
        "NAME.ts",
        "#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-DISCONTINUITY-SEQUENCE:3\n#EXTINF:x,\nNAME.ts",
    ];

    fn text(first: usize, blocks: &[usize], head: &str, foot: &str) -> String {
        let mut text = format!("#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:{first}\n{head}");
        for (n, block) in blocks.iter().enumerate() {
            let name = (first + n).to_string();
            text.push_str(&BLOCKS[*block].replace("NAME", &name));
            text.push('\n');
        }
        text + foot
    }

    fn whole(text: &str) -> MediaPlaylist {
        match read(text.as_bytes(), &base()).unwrap() {
            Playlist::Media(list) => list,
            Playlist::Master(_) => panic!("a master playlist"),
        }
    }

    proptest! {
        /// However lists follow one another, each is read as though it were the first.
        #[test]
        fn by_differences_as_in_whole(
            // Mostly what real lists are made of.
            blocks in prop::collection::vec(
                prop_oneof![30 => 0..7_usize, 2 => 7..BLOCKS.len()], 1..30),
            steps in prop::collection::vec((0..30_usize, 0..12_usize, 0..6_usize), 1..8),
        ) {
            let heads = ["", "#EXT-X-DISCONTINUITY-SEQUENCE:2\n", "#EXT-X-MAP:URI=\"init-0.mp4\"\n", "#EXT-X-SCTE35-OUT\n", "#EXT-X-DEFINE:NAME=\"v\",VALUE=\"a\"\n", "#EXT-X-DEFINE:NAME=\"v\",VALUE=\"b\"\n"];
            let feet = ["", "#EXT-X-ENDLIST\n", "#EXT-X-PRELOAD-HINT:TYPE=PART\n", "\n\n", "cut", "#EXTINF:2,\nlast.ts"];
            let mut before: Option<Reading> = None;
            for (first, count, odd) in steps {
                let first = first.min(blocks.len() - 1);
                let last = (first + count).min(blocks.len());
                let text = text(first, &blocks[first..last], heads[odd], feet[odd]);
                let reading = Reading::read(before.as_ref(), text.clone().into(), &base()).unwrap();
                prop_assert_eq!(&*reading.list, &whole(&text));
                before = Some(reading);
            }
        }
    }

    #[test]
    fn a_list_of_a_day_shares_what_stays_with_the_one_before() {
        let day = 43_200;
        let first = Reading::read(None, text(0, &vec![2; day], "", "").into(), &base()).unwrap();
        let next = text(1, &vec![2; day], "", "");
        let second = Reading::read(Some(&first), next.into(), &base()).unwrap();
        let shared = |a: &Reading, b: &Reading, by: usize| {
            let pairs = a.list.segments.iter().skip(by).zip(&b.list.segments);
            pairs.filter(|(a, b)| Arc::ptr_eq(a, b)).count()
        };
        // All but the first, which is read to see what applies, and the new one.
        assert_eq!(shared(&first, &second, 1), day - 2);
        let third = Reading::read(Some(&second), second.text.clone(), &base()).unwrap();
        assert!(Arc::ptr_eq(&second.list, &third.list));
        // Another base is another list.
        let other = "https://example.com/other/index.m3u8".parse().unwrap();
        let fourth = Reading::read(Some(&third), third.text.clone(), &other).unwrap();
        assert_eq!(shared(&third, &fourth, 0), 0);
    }

    #[test]
    fn what_is_no_media_playlist_is_refused() {
        let read = |text: &'static [u8]| Reading::read(None, text.into(), &base()).map(|_| ());
        assert_eq!(
            read(b"<html>"),
            Err(PlaylistError::NoHeader("<html>".to_owned()))
        );
        let master = b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv.m3u8\n";
        assert_eq!(read(master), Err(PlaylistError::Master));
        assert_eq!(read(b"\xef\xbb\xbf#EXTM3U\n#EXTINF:2,\xe4\nx.ts\n"), Ok(()));
    }
}
