//! The media playlist: which segments there are now (RFC 8216 §4.3.2, §4.3.3).

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use common::dateutil;
use common::segment::SegmentDuration;
use url::Url;

use super::advertisements::{AD_CLASS, Advertisements};
use super::attributes::Attributes;
use super::listed::{ByteRange, Encryption, InitSection, Listed, MediaPlaylist, place};
use super::ranges::{self, Ranges};
use super::variables::Variables;
use super::{PlaylistError, resolve};

/// A week of segments of 2 s: more in one list is an attack or a mistake.
const MAX_SEGMENTS: usize = 302_400;

/// Digits of a duration: more would make a name that no file system takes.
const MAX_DURATION: usize = 100;

/// Titles of advertisements that Twitch stitches in begin so (SPEC §5).
const AD_TITLE: &str = "Amazon";

pub(super) fn read<'a>(
    lines: impl Iterator<Item = &'a str>,
    base: &Url,
) -> Result<MediaPlaylist, PlaylistError> {
    let mut reader = Reader::new(base);
    for line in lines {
        reader.line(line)?;
    }
    Ok(reader.finish())
}

/// What has been read of the segment whose URI is still to come, and what applies from here on.
pub(super) struct Reader<'a> {
    base: &'a Url,
    list: MediaPlaylist,
    /// True iff what applies to the segments that follow is no more than the sequence number, the
    /// init section and the encryption, and no line applies to what stands before it.
    plain: bool,
    sequence: u64,
    duration: Option<Result<SegmentDuration, String>>,
    title: &'a str,
    date: Option<DateTime<Utc>>,
    discontinuity: bool,
    gap: bool,
    range: Option<&'a str>,
    init: Option<Arc<InitSection>>,
    /// Why the segments from here on cannot be had: they need an init section that cannot be read.
    no_init: Option<String>,
    encryption: Option<Arc<Encryption>>,
    /// The same for the line about their encryption.
    no_key: Option<String>,
    /// True iff a line about encryption that we can follow stands before the segment to come.
    has_key: bool,
    ranges: Ranges,
    variables: Variables,
    advertisements: Advertisements,
}

impl<'a> Reader<'a> {
    pub(super) fn new(base: &'a Url) -> Reader<'a> {
        Reader {
            base,
            list: MediaPlaylist::default(),
            plain: true,
            sequence: 0,
            duration: None,
            title: "",
            date: None,
            discontinuity: false,
            gap: false,
            range: None,
            init: None,
            no_init: None,
            encryption: None,
            no_key: None,
            has_key: false,
            ranges: Ranges::default(),
            variables: Variables::default(),
            advertisements: Advertisements::default(),
        }
    }

    /// What has been read so far.
    pub(super) fn list(&self) -> &MediaPlaylist {
        &self.list
    }

    /// See [`Reader::plain`].
    pub(super) fn is_plain(&self) -> bool {
        self.plain
    }

    /// Goes on behind segments that were read before, from a text that is the same to the byte.
    /// Both texts have to be plain up to there.
    pub(super) fn take_over(&mut self, segments: &[Arc<Listed>]) {
        if let Some(last) = segments.last() {
            self.sequence = last.sequence.saturating_add(1);
            self.init.clone_from(&last.init);
            self.encryption.clone_from(&last.encryption);
            self.list.segments.extend_from_slice(segments);
        }
    }

    pub(super) fn line(&mut self, line: &'a str) -> Result<(), PlaylistError> {
        let Some(tag) = line.strip_prefix('#') else {
            return self.uri(line);
        };
        // Whole names only: EXT-X-DISCONTINUITY-SEQUENCE is not EXT-X-DISCONTINUITY.
        let (name, value) = tag.split_once(':').unwrap_or((tag, ""));
        let name = name.trim_end();
        self.plain &= match name {
            // With another value the same lines say something else.
            "EXT-X-DEFINE" => false,
            "EXT-X-BYTERANGE" | "EXT-X-SCTE35-OUT" | "EXT-X-SCTE35-IN" => false,
            "EXT-X-DATERANGE" => !value.contains(AD_CLASS),
            // Where they belong they do no harm.
            "EXT-X-MEDIA-SEQUENCE"
            | "EXT-X-DISCONTINUITY-SEQUENCE"
            | "EXT-X-TARGETDURATION"
            | "EXT-X-ENDLIST" => self.list.segments.is_empty(),
            _ => true,
        };
        match name {
            "EXTINF" => self.extinf(value),
            "EXT-X-BYTERANGE" => self.range = Some(value),
            "EXT-X-PROGRAM-DATE-TIME" => self.program_date_time(value),
            "EXT-X-DISCONTINUITY" => self.discontinuity = true,
            "EXT-X-GAP" => self.gap = true,
            "EXT-X-MAP" => self.map(Attributes::new(value)),
            "EXT-X-KEY" => self.key(Attributes::new(value)),
            "EXT-X-DATERANGE" => {
                let segments = self.list.segments.len();
                let range = Attributes::new(value);
                if let Err(why) = self.advertisements.date_range(range, segments) {
                    self.problem(why);
                }
            }
            "EXT-X-DEFINE" => {
                if let Err(why) = self.variables.define(Attributes::new(value), self.base) {
                    self.problem(format!("EXT-X-DEFINE: {why}"));
                }
            }
            "EXT-X-SCTE35-OUT" | "EXT-X-SCTE35-IN" => {
                let segments = self.list.segments.len();
                let begins = name == "EXT-X-SCTE35-OUT";
                self.advertisements.mark_break(begins, segments);
            }
            "EXT-X-ENDLIST" => self.list.ended = true,
            "EXT-X-SKIP" => return Err(PlaylistError::Delta),
            "EXT-X-TARGETDURATION" => match value.trim().parse::<f64>() {
                Ok(seconds) if (0.0..86_400.0).contains(&seconds) => {
                    self.list.target_duration = Duration::from_secs_f64(seconds);
                }
                _ => self.problem(format!("EXT-X-TARGETDURATION {value:?} is no number")),
            },
            "EXT-X-MEDIA-SEQUENCE" => match value.trim().parse() {
                Ok(sequence) => self.sequence = sequence,
                Err(_) => self.problem(format!("EXT-X-MEDIA-SEQUENCE {value:?} is no number")),
            },
            // One that is no number tells as much as none.
            "EXT-X-DISCONTINUITY-SEQUENCE" => {
                self.list.discontinuities = value.trim().parse().ok();
            }
            // Comments, parts, hints, prefetches and what we do not know.
            _ => {}
        }
        Ok(())
    }

    fn resolve(&self, uri: &str) -> Result<Url, String> {
        resolve(self.base, &self.variables.apply(uri)?)
    }

    fn problem(&mut self, problem: String) {
        self.plain = false;
        self.list.problems.add(problem);
    }

    fn extinf(&mut self, value: &'a str) {
        let (duration, title) = value.split_once(',').unwrap_or((value, ""));
        let parsed = duration.trim().parse().ok();
        // Most are short without a look at what a name would have of them.
        let fits = |it: &SegmentDuration| {
            duration.len() <= MAX_DURATION || it.to_string().len() <= MAX_DURATION
        };
        let parsed = parsed.filter(fits);
        let shown = || duration.trim().chars().take(MAX_DURATION).collect();
        self.duration = Some(parsed.ok_or_else(shown));
        self.title = title.trim();
    }

    fn program_date_time(&mut self, value: &str) {
        match dateutil::parse(value) {
            Ok(date) => self.date = Some(date),
            Err(error) => self.problem(format!("EXT-X-PROGRAM-DATE-TIME: {error}")),
        }
    }

    fn map(&mut self, attributes: Attributes<'_>) {
        let url = attributes.get("URI").ok_or("it has no URI".to_owned());
        let url = url.and_then(|uri| self.resolve(uri));
        let range = match attributes.get("BYTERANGE") {
            // Without an offset it begins at 0 (RFC 8216 §4.3.2.5).
            Some(text) => ranges::parse(text, 0)
                .map(Some)
                .ok_or(format!("its range is {text:?}")),
            None => Ok(None),
        };
        let key = self.no_key.clone().map_or(Ok(()), Err);
        match url.and_then(|url| key.and_then(|()| Ok((url, range?)))) {
            Ok((url, range)) => {
                self.no_init = None;
                self.init = Some(Arc::new(InitSection {
                    url,
                    range,
                    encryption: self.encryption.clone(),
                }));
            }
            Err(why) => {
                self.plain = false;
                self.no_init = Some(format!("its EXT-X-MAP cannot be used: {why}"));
            }
        }
    }

    fn key(&mut self, attributes: Attributes<'_>) {
        let method = attributes.get("METHOD").unwrap_or("NONE");
        let format = attributes.get("KEYFORMAT").unwrap_or("identity");
        // The same key in another format is for others (RFC 8216 §4.3.2.4).
        if self.has_key && method != "NONE" && format != "identity" {
            return;
        }
        self.has_key = method == "AES-128" && format == "identity";
        self.no_key = None;
        if method == "NONE" {
            self.encryption = None;
            return;
        }
        let key = match attributes.get("URI").map(|uri| self.resolve(uri)) {
            Some(Ok(url)) => Some(url),
            Some(Err(why)) => {
                self.problem(format!("EXT-X-KEY: {why}"));
                None
            }
            None => None,
        };
        let iv = attributes.get("IV").and_then(|text| {
            let digits = text.strip_prefix("0x").or(text.strip_prefix("0X"));
            let iv = digits.and_then(|digits| u128::from_str_radix(digits, 16).ok());
            if iv.is_none() {
                // The implied one would make noise of the segments, and nobody could tell.
                self.plain = false;
                self.no_key = Some(format!("the IV of its EXT-X-KEY is {text:?}"));
            }
            iv
        });
        self.encryption = Some(Arc::new(Encryption {
            method: method.to_owned(),
            key,
            iv,
            format: format.to_owned(),
        }));
    }

    fn uri(&mut self, uri: &str) -> Result<(), PlaylistError> {
        let sequence = self.sequence;
        self.sequence = self.sequence.saturating_add(1);
        let duration = self.duration.take();
        let title = std::mem::take(&mut self.title);
        let date = self.date.take();
        let gap = std::mem::take(&mut self.gap);
        let range = self.range.take();
        self.has_key = false;
        if self.list.segments.len() + self.list.unreadable.len() >= MAX_SEGMENTS {
            return Err(PlaylistError::TooLong(MAX_SEGMENTS));
        }
        let (url, range, duration) = match self.parts(uri, range, duration) {
            Ok(parts) => parts,
            Err(why) => {
                // A discontinuity before it stands before the next one, too.
                self.problem(format!("segment {sequence}: {why}"));
                self.list.unreadable.push(sequence);
                return Ok(());
            }
        };
        let in_break = self.advertisements.in_break;
        self.list.segments.push(Arc::new(Listed {
            sequence,
            place: place(&url, range),
            url: Arc::new(url),
            range,
            duration,
            date,
            discontinuity: std::mem::take(&mut self.discontinuity),
            gap,
            in_break,
            advertisement: in_break || title.starts_with(AD_TITLE),
            init: self.init.clone(),
            encryption: self.encryption.clone(),
        }));
        Ok(())
    }

    /// What a segment cannot do without; why it cannot be used.
    fn parts(
        &mut self,
        uri: &str,
        range: Option<&str>,
        duration: Option<Result<SegmentDuration, String>>,
    ) -> Result<(Url, Option<ByteRange>, SegmentDuration), String> {
        let url = self.resolve(uri)?;
        let range = range.map(|text| self.ranges.next(&url, text)).transpose();
        let duration = duration.ok_or("no EXTINF before its URI")?;
        let duration = duration.map_err(|text| format!("its duration is {text:?}"))?;
        let unusable = self.no_init.as_ref().or(self.no_key.as_ref());
        match unusable {
            Some(why) => Err(why.clone()),
            None => Ok((url, range?, duration)),
        }
    }

    pub(super) fn finish(mut self) -> MediaPlaylist {
        self.advertisements.apply(&mut self.list.segments);
        self.list.first_mark = self.advertisements.first_mark;
        self.list.in_break = self.advertisements.in_break;
        let durations = self.list.segments.iter().map(|s| s.duration.micros());
        let total = durations.fold(0, i64::saturating_add);
        self.list.total = Duration::from_micros(u64::try_from(total).unwrap_or(0));
        self.list
    }
}
