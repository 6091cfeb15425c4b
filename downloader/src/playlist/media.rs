//! The media playlist: which segments there are now (RFC 8216 §4.3.2, §4.3.3).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use common::dateutil;
use common::segment::SegmentDuration;
use url::Url;

use super::attributes::Attributes;
use super::listed::{ByteRange, Encryption, InitSection, Listed, MediaPlaylist, place};
use super::{PlaylistError, resolve};

/// A week of segments of 2 s: more in one list is an attack or a mistake.
const MAX_SEGMENTS: usize = 302_400;

/// Titles of advertisements that Twitch stitches in begin so (SPEC §5).
const AD_TITLE: &str = "Amazon";

/// The class of date ranges that are advertisements (SPEC §5).
const AD_CLASS: &str = "twitch-stitched-ad";

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
    unusable: Option<String>,
    encryption: Option<Arc<Encryption>>,
    in_break: bool,
    /// Where the next range without an offset begins, by resource.
    range_ends: HashMap<Url, u64>,
    ad_ranges: Vec<(DateTime<Utc>, Option<DateTime<Utc>>)>,
    /// An advertisement whose end nobody told: it goes on to the next discontinuity.
    ad_until_discontinuity: Option<DateTime<Utc>>,
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
            unusable: None,
            encryption: None,
            in_break: false,
            range_ends: HashMap::new(),
            ad_ranges: Vec::new(),
            ad_until_discontinuity: None,
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
            "EXT-X-BYTERANGE" | "EXT-X-SCTE35-OUT" | "EXT-X-SCTE35-IN" => false,
            "EXT-X-DATERANGE" => !value.contains(AD_CLASS),
            // Where they belong they do no harm.
            "EXT-X-MEDIA-SEQUENCE" | "EXT-X-TARGETDURATION" | "EXT-X-ENDLIST" => {
                self.list.segments.is_empty()
            }
            _ => true,
        };
        match name {
            "EXTINF" => self.extinf(value),
            "EXT-X-BYTERANGE" => self.range = Some(value),
            "EXT-X-PROGRAM-DATE-TIME" => self.program_date_time(value),
            "EXT-X-DISCONTINUITY" => {
                self.discontinuity = true;
                self.ad_until_discontinuity = None;
            }
            "EXT-X-GAP" => self.gap = true,
            "EXT-X-MAP" => self.map(Attributes::new(value)),
            "EXT-X-KEY" => self.key(Attributes::new(value)),
            "EXT-X-DATERANGE" => self.date_range(Attributes::new(value)),
            "EXT-X-SCTE35-OUT" => self.in_break = true,
            "EXT-X-SCTE35-IN" => self.in_break = false,
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
            // Comments, parts, hints, prefetches and what we do not know.
            _ => {}
        }
        Ok(())
    }

    fn problem(&mut self, problem: String) {
        self.plain = false;
        self.list.problems.add(problem);
    }

    fn extinf(&mut self, value: &'a str) {
        let (duration, title) = value.split_once(',').unwrap_or((value, ""));
        let parsed = duration.trim().parse();
        self.duration = Some(parsed.map_err(|_| duration.trim().to_owned()));
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
        let url = url.and_then(|uri| resolve(self.base, uri));
        let range = match attributes.get("BYTERANGE") {
            // Without an offset it begins at 0 (RFC 8216 §4.3.2.5).
            Some(text) => parse_range(text, 0)
                .map(Some)
                .ok_or(format!("its range is {text:?}")),
            None => Ok(None),
        };
        match url.and_then(|url| Ok((url, range?))) {
            Ok((url, range)) => {
                self.unusable = None;
                self.init = Some(Arc::new(InitSection {
                    url,
                    range,
                    encryption: self.encryption.clone(),
                }));
            }
            Err(why) => {
                self.plain = false;
                self.unusable = Some(format!("its EXT-X-MAP cannot be used: {why}"));
            }
        }
    }

    fn key(&mut self, attributes: Attributes<'_>) {
        let method = attributes.get("METHOD").unwrap_or("NONE");
        if method == "NONE" {
            self.encryption = None;
            return;
        }
        let key = match attributes.get("URI").map(|uri| resolve(self.base, uri)) {
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
                self.problem(format!("EXT-X-KEY: its IV is {text:?}"));
            }
            iv
        });
        self.encryption = Some(Arc::new(Encryption {
            method: method.to_owned(),
            key,
            iv,
            format: attributes.get("KEYFORMAT").unwrap_or("identity").to_owned(),
        }));
    }

    fn date_range(&mut self, attributes: Attributes<'_>) {
        if attributes.get("CLASS") != Some(AD_CLASS) {
            return;
        }
        let date = |name| dateutil::parse(attributes.get(name)?).ok();
        let Some(start) = date("START-DATE") else {
            self.problem(format!(
                "a date range of class {AD_CLASS} has no START-DATE"
            ));
            return;
        };
        let duration = attributes
            .get("DURATION")
            .and_then(|d| d.parse::<SegmentDuration>().ok());
        let after = |duration: SegmentDuration| {
            start.checked_add_signed(TimeDelta::microseconds(duration.micros()))
        };
        let end = date("END-DATE").or_else(|| duration.and_then(after));
        match end {
            Some(_) => self.ad_ranges.push((start, end)),
            None => self.ad_until_discontinuity = Some(start),
        }
    }

    fn uri(&mut self, uri: &str) -> Result<(), PlaylistError> {
        let sequence = self.sequence;
        self.sequence = self.sequence.saturating_add(1);
        let duration = self.duration.take();
        let title = std::mem::take(&mut self.title);
        let date = self.date.take();
        let discontinuity = std::mem::take(&mut self.discontinuity);
        let gap = std::mem::take(&mut self.gap);
        let range = self.range.take();
        let duration = match duration {
            Some(Ok(duration)) => duration,
            Some(Err(text)) => {
                self.problem(format!("segment {sequence}: its duration is {text:?}"));
                return Ok(());
            }
            None => {
                self.problem(format!("segment {sequence}: no EXTINF before its URI"));
                return Ok(());
            }
        };
        let unusable = self.unusable.clone().map_or(Ok(()), Err);
        let url = match unusable.and_then(|()| resolve(self.base, uri)) {
            Ok(url) => url,
            Err(why) => {
                self.problem(format!("segment {sequence}: {why}"));
                return Ok(());
            }
        };
        let range = match range {
            None => None,
            Some(text) => {
                let implied = self.range_ends.get(&url).copied().unwrap_or(0);
                let Some(range) = parse_range(text, implied) else {
                    self.problem(format!("segment {sequence}: its range is {text:?}"));
                    return Ok(());
                };
                self.range_ends
                    .insert(url.clone(), range.offset.saturating_add(range.length));
                Some(range)
            }
        };
        if self.list.segments.len() >= MAX_SEGMENTS {
            return Err(PlaylistError::TooLong(MAX_SEGMENTS));
        }
        let by_open_range = self.ad_until_discontinuity.is_some();
        self.list.segments.push(Arc::new(Listed {
            sequence,
            place: place(&url, range),
            url,
            range,
            duration,
            date,
            discontinuity,
            gap,
            advertisement: self.in_break || title.starts_with(AD_TITLE) || by_open_range,
            init: self.init.clone(),
            encryption: self.encryption.clone(),
        }));
        Ok(())
    }

    /// Date ranges may stand anywhere in the list: they are applied when all are known, to the
    /// dates that the list itself gives or implies.
    pub(super) fn finish(mut self) -> MediaPlaylist {
        if !self.ad_ranges.is_empty() {
            let mut next: Option<DateTime<Utc>> = None;
            for segment in &mut self.list.segments {
                let start = segment.date.or(next);
                next = start.and_then(|start| {
                    start.checked_add_signed(TimeDelta::microseconds(segment.duration.micros()))
                });
                let Some(start) = start else { continue };
                // What begins in an advertisement is one; dates have milliseconds.
                let is_in = |(from, to): &(DateTime<Utc>, Option<DateTime<Utc>>)| {
                    let slack = TimeDelta::milliseconds(1);
                    *from - slack <= start && to.is_none_or(|to| start < to - slack)
                };
                if !segment.advertisement && self.ad_ranges.iter().any(is_in) {
                    Arc::make_mut(segment).advertisement = true;
                }
            }
        }
        let durations = self.list.segments.iter().map(|s| s.duration.micros());
        let total = durations.fold(0, i64::saturating_add);
        self.list.total = Duration::from_micros(u64::try_from(total).unwrap_or(0));
        self.list
    }
}

/// `LENGTH[@OFFSET]` (RFC 8216 §4.3.2.2).
fn parse_range(text: &str, implied_offset: u64) -> Option<ByteRange> {
    let (length, offset) = text.trim().split_once('@').unwrap_or((text.trim(), ""));
    let length: u64 = length.parse().ok().filter(|&length| length > 0)?;
    let offset = match offset {
        "" => implied_offset,
        offset => offset.parse().ok()?,
    };
    offset.checked_add(length)?;
    Some(ByteRange { offset, length })
}
