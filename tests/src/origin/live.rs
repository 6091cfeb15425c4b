//! A live stream at an origin that moves only when the test says so.
//!
//! [`LiveStream::push_segment`] puts a segment's content at the origin, adds it to the list,
//! lets the oldest one leave, and publishes the new list, all before it returns. What it
//! returns says where the segment must end up on disk.

mod options;
mod segment;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};

pub use options::{ByteRanges, Dates, LiveOptions, Uris, Zone};
pub use segment::{NewSegment, Published};

use self::options::microseconds;
use super::resource::Resource;
use super::{Origin, Shared};
use crate::content;

/// A live stream at an origin.
pub struct LiveStream {
    shared: Arc<Shared>,
    directory: String,
    options: LiveOptions,
    list: VecDeque<Published>,
    /// Those that have left the list and are still served.
    left: VecDeque<Published>,
    next_sequence: u64,
    next_start: DateTime<Utc>,
    /// So many discontinuities have left the list.
    discontinuities: u64,
    ended: bool,
    init: Bytes,
    map: Option<String>,
    inits: u64,
    /// The file of which byte ranges are parts.
    packed: BytesMut,
    /// Put before file names, so that a restarted stream does not use them again.
    epoch: String,
    restarts: u64,
}

impl LiveStream {
    /// A stream without segments, its (still empty) playlist at `DIRECTORY/playlist.m3u8`.
    #[must_use]
    pub fn new(origin: &Origin, directory: &str, options: LiveOptions) -> LiveStream {
        let stream = LiveStream {
            shared: Arc::clone(&origin.shared),
            directory: format!("/{}", directory.trim_matches('/')),
            next_start: options.start,
            options,
            list: VecDeque::new(),
            left: VecDeque::new(),
            next_sequence: 0,
            discontinuities: 0,
            ended: false,
            init: Bytes::new(),
            map: None,
            inits: 0,
            packed: BytesMut::new(),
            epoch: String::new(),
            restarts: 0,
        };
        stream.publish();
        stream
    }

    /// The playlist's path.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}/playlist.m3u8", self.directory)
    }

    /// The playlist's URL.
    #[must_use]
    pub fn url(&self) -> String {
        self.shared.url(&self.path())
    }

    /// The options, to be changed in the middle of the stream; call [`LiveStream::publish`]
    /// to have them seen at once.
    pub fn options_mut(&mut self) -> &mut LiveOptions {
        &mut self.options
    }

    /// The segments in the list.
    pub fn listed(&self) -> impl Iterator<Item = &Published> {
        self.list.iter()
    }

    /// The stream goes on by a segment of 2 s with `length` bytes that no other segment has.
    pub fn push(&mut self, length: usize) -> Published {
        let seed = self.restarts << 32 | self.next_sequence;
        self.push_segment(NewSegment::new("2.000", content::ts_bytes(seed, length)))
    }

    /// The stream goes on by a segment.
    pub fn push_segment(&mut self, new: NewSegment) -> Published {
        let segment = self.place(new);
        self.list.push_back(segment.clone());
        while self.list.len() > self.options.window {
            if let Some(oldest) = self.list.pop_front() {
                self.discontinuities += u64::from(oldest.discontinuity);
                self.left.push_back(oldest);
            }
        }
        while self.left.len() > self.options.keep {
            let gone = self.left.pop_front().filter(|s| s.byte_range.is_none());
            if let Some(gone) = gone.filter(|gone| !self.is_used(&gone.path)) {
                self.shared.remove(&gone.path);
            }
        }
        self.publish();
        segment
    }

    /// Puts a segment's content at the origin.
    fn place(&mut self, new: NewSegment) -> Published {
        let sequence = self.next_sequence;
        let start = new.start.unwrap_or(self.next_start);
        let ranged = self.options.byte_ranges != ByteRanges::None;
        let name = new.name.unwrap_or_else(|| {
            let stem = if ranged {
                "all".to_owned()
            } else {
                sequence.to_string()
            };
            format!("{}{stem}.{}", self.epoch, self.options.extension)
        });
        let path = format!("{}/{name}", self.directory);
        let length = new.content.len() as u64;
        let byte_range = ranged.then_some((length, self.packed.len() as u64));
        let served = if ranged {
            self.packed.extend_from_slice(&new.content);
            Bytes::copy_from_slice(&self.packed)
        } else {
            new.content.clone()
        };
        if new.served {
            let content_type = Resource::content_type_of(&name);
            self.shared.put(&path, Resource::new(content_type, served));
        }
        self.next_sequence += 1;
        self.next_start = start + microseconds(&new.duration);
        Published {
            sequence,
            path,
            start,
            duration: new.duration,
            content: new.content,
            init: self.init.clone(),
            byte_range,
            map: self.map.clone(),
            title: new.title,
            tags: new.tags,
            discontinuity: new.discontinuity,
            jump: new.start.is_some(),
            first: sequence == 0,
        }
    }

    /// True if a segment that is still served has this path: after a restart that used names
    /// again, several have.
    fn is_used(&self, path: &str) -> bool {
        let mut served = self.left.iter().chain(&self.list);
        served.any(|segment| segment.path == path)
    }

    /// From the next segment on this init section applies, in a file of its own.
    pub fn set_init(&mut self, init: impl Into<Bytes>) {
        self.init = init.into();
        let name = format!("{}init{}.mp4", self.epoch, self.inits);
        self.inits += 1;
        let path = format!("{}/{name}", self.directory);
        self.shared
            .put(&path, Resource::new("video/mp4", self.init.clone()));
        self.map = Some(format!("URI=\"{}\"", self.uri(&path)));
    }

    /// From the next segment on this init section applies, by an `EXT-X-MAP` with these
    /// attributes as they stand, e.g. `URI="all.mp4",BYTERANGE="700@0"`. What they point at is
    /// the test's to put; `init` is what a client must find there.
    pub fn set_init_at(&mut self, attributes: &str, init: impl Into<Bytes>) {
        self.init = init.into();
        self.map = Some(attributes.to_owned());
    }

    /// The next segment starts then; the list's dates jump.
    pub fn jump_to(&mut self, start: DateTime<Utc>) {
        self.next_start = start;
    }

    /// The next segment has this media sequence number, higher or lower than it would have
    /// had; the list forgets what is in it.
    pub fn renumber(&mut self, sequence: u64) {
        self.forget();
        self.next_sequence = sequence;
    }

    /// The encoder restarts: an empty list that counts from 0 again. With `reuse_names` the new
    /// segments take the names (and places) of the old ones, as ffmpeg's do.
    pub fn restart(&mut self, reuse_names: bool) {
        self.forget();
        self.next_sequence = 0;
        self.discontinuities = 0;
        self.ended = false;
        self.restarts += 1;
        self.packed = BytesMut::new();
        if !reuse_names {
            self.epoch = format!("r{}-", self.restarts);
        }
        self.publish();
    }

    fn forget(&mut self) {
        self.left.append(&mut self.list);
    }

    /// The stream is over: `EXT-X-ENDLIST`.
    pub fn end(&mut self) {
        self.ended = true;
        self.publish();
    }

    /// Publishes the list as it is now.
    pub fn publish(&self) {
        self.shared
            .put(&self.path(), Resource::playlist(self.render()));
    }

    /// The text of the list.
    #[must_use]
    pub fn render(&self) -> String {
        let options = &self.options;
        let target = options.target_duration.unwrap_or_else(|| {
            let durations = self.list.iter().map(|s| microseconds(&s.duration));
            let longest = durations
                .max()
                .map_or(2_000_000, |d| d.num_microseconds().unwrap_or(0));
            u64::try_from(longest).unwrap_or(0).div_ceil(1_000_000)
        });
        let first = self.list.front().map_or(self.next_sequence, |s| s.sequence);
        let mut lines = vec![
            "#EXTM3U".to_owned(),
            format!("#EXT-X-VERSION:{}", options.version),
            format!("#EXT-X-TARGETDURATION:{target}"),
            format!("#EXT-X-MEDIA-SEQUENCE:{first}"),
        ];
        if self.discontinuities > 0 {
            let count = self.discontinuities;
            lines.push(format!("#EXT-X-DISCONTINUITY-SEQUENCE:{count}"));
        }
        lines.extend(options.head_tags.iter().cloned());
        let mut map = &None;
        for (index, segment) in self.list.iter().enumerate() {
            if segment.map != *map {
                map = &segment.map;
                lines.extend(map.iter().map(|map| format!("#EXT-X-MAP:{map}")));
            }
            self.render_segment(segment, index == 0, &mut lines);
        }
        lines.extend(options.foot_tags.iter().cloned());
        if self.ended {
            lines.push("#EXT-X-ENDLIST".to_owned());
        }
        let line_end = if options.crlf { "\r\n" } else { "\n" };
        let mark = if options.byte_order_mark {
            "\u{FEFF}"
        } else {
            ""
        };
        format!("{mark}{}{line_end}", lines.join(line_end))
    }

    fn render_segment(&self, segment: &Published, first_in_list: bool, lines: &mut Vec<String>) {
        if segment.discontinuity {
            lines.push("#EXT-X-DISCONTINUITY".to_owned());
        }
        lines.extend(segment.tags.iter().cloned());
        let dated = match self.options.dates {
            Dates::Every => true,
            Dates::FirstInList => first_in_list || segment.discontinuity || segment.jump,
            Dates::FirstOnly => segment.first,
            Dates::Never => false,
        };
        if dated {
            let date = self.options.date(segment.start);
            lines.push(format!("#EXT-X-PROGRAM-DATE-TIME:{date}"));
        }
        lines.push(format!("#EXTINF:{},{}", segment.duration, segment.title));
        if let Some((length, offset)) = segment.byte_range {
            let implied = self.options.byte_ranges == ByteRanges::Implied && !first_in_list;
            let offset = if implied {
                String::new()
            } else {
                format!("@{offset}")
            };
            lines.push(format!("#EXT-X-BYTERANGE:{length}{offset}"));
        }
        lines.push(format!("{}{}", self.uri(&segment.path), self.options.query));
    }

    /// A path as the list names it.
    fn uri(&self, path: &str) -> String {
        match self.options.uris {
            Uris::Relative => path
                .strip_prefix(&format!("{}/", self.directory))
                .unwrap_or(path)
                .to_owned(),
            Uris::Path => path.to_owned(),
            Uris::SchemeLess => format!("//{}{path}", self.shared.address),
            Uris::Full => self.shared.url(path),
        }
    }
}

#[cfg(test)]
mod tests;
