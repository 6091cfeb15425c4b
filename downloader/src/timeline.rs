//! What is new in a playlist: compares each list with what the lists before it showed, and
//! gives every segment its date. Pure: no I/O, and the clock comes in from outside.
//!
//! A segment is known by its URL and byte range, and by when it is: a restarted encoder uses
//! names again, and a content network may serve a list from a minute ago.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use common::segment::SegmentDuration;
use url::Url;

use crate::playlist::{ByteRange, Encryption, InitSection, Listed, MediaPlaylist};

/// A date that differs by more from what was expected is skew (SPEC §5).
const SKEW: TimeDelta = TimeDelta::milliseconds(10);

/// Dates of one and the same segment may differ by so much between lists: origins round.
/// Two segments of the same name are further apart, since at least one list was between them.
const SAME: TimeDelta = TimeDelta::milliseconds(500);

/// A segment that was in none of so many lists is forgotten. Longer than any content network
/// serves an old list for, at a poll a second.
const FORGOTTEN_AFTER: u64 = 120;

/// A segment to be recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// Its media sequence number.
    pub sequence: u64,
    /// Where it is.
    pub url: Url,
    /// Which part of it.
    pub range: Option<ByteRange>,
    /// When it starts.
    pub start: DateTime<Utc>,
    /// How long it is.
    pub duration: SegmentDuration,
    /// What goes in front of it.
    pub init: Option<Arc<InitSection>>,
    /// How it is encrypted.
    pub encryption: Option<Arc<Encryption>>,
}

impl Wanted {
    /// When it ends; the end of time if that lies past it.
    #[must_use]
    pub fn end(&self) -> DateTime<Utc> {
        after(self.start, self.duration)
    }
}

/// What a list brought.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct News {
    /// Segments to record, oldest first.
    pub wanted: Vec<Wanted>,
    /// New advertisements, which are not recorded.
    pub advertisements: usize,
    /// New segments that the origin says it does not have (`EXT-X-GAP`), by sequence number.
    pub gaps: Vec<u64>,
    /// So many segments left the list between this one and the one before: nobody saw them.
    pub missed: u64,
    /// The sequence numbers began again: the encoder was restarted.
    pub restarted: bool,
    /// By how much the first unexpected date differs from the expected one; none in a first list.
    pub skew: Option<TimeDelta>,
    /// No date was ever seen: this machine's clock stands in, and other nodes will not agree.
    pub by_our_clock: bool,
    /// True iff the list holds a segment, new or not, that is no advertisement.
    pub has_show: bool,
}

/// Where and which part: what one request would fetch.
type Key = (Url, Option<ByteRange>);

/// A segment that was listed before.
#[derive(Debug, Clone, Copy)]
struct Known {
    sequence: u64,
    start: DateTime<Utc>,
    /// The number of the list that it was last in.
    last_list: u64,
}

/// The newest segment of all lists so far.
#[derive(Debug, Clone, Copy)]
struct Newest {
    sequence: u64,
    end: DateTime<Utc>,
}

/// What the lists of one media playlist have shown so far.
#[derive(Debug, Default)]
pub struct Timeline {
    known: HashMap<Key, Known>,
    newest: Option<Newest>,
    lists: u64,
    /// True iff any list had a date.
    dated: bool,
}

impl Timeline {
    /// Takes a list as it came at `now`.
    pub fn update(&mut self, list: &MediaPlaylist, now: DateTime<Utc>) -> News {
        self.lists += 1;
        let mut news = News::default();
        self.dated |= list.segments.iter().any(|s| s.date.is_some());
        let Some((first, last)) = list.segments.first().zip(list.segments.last()) else {
            return news;
        };
        let matching: Vec<Option<DateTime<Utc>>> = list
            .segments
            .iter()
            .map(|listed| self.known_start(listed))
            .collect();
        if let Some(newest) = self.newest {
            let none_known = matching.iter().all(Option::is_none);
            if last.sequence < newest.sequence && none_known {
                news.restarted = true;
                self.newest = None;
            } else if first.sequence > newest.sequence {
                news.missed = first.sequence - newest.sequence - 1;
            }
        }
        let starts = self.dates(list, &matching, &news, now);
        news.by_our_clock = !self.dated;
        // A jump in the first list says nothing about this connection: it may be long past, and
        // every successor would meet it again.
        if self.newest.is_some() {
            news.skew = skew(&list.segments, &matching, &starts);
        }
        for ((listed, known), start) in list.segments.iter().zip(&matching).zip(starts) {
            news.has_show |= !listed.advertisement;
            let is_new = known.is_none();
            // A gap may be filled later: it stays unknown until then, but is told once.
            let told = self.remember(listed, start);
            match (is_new, listed.gap, listed.advertisement) {
                (false, ..) => {}
                (true, true, _) if told => {}
                (true, true, _) => news.gaps.push(listed.sequence),
                (true, false, true) => news.advertisements += 1,
                (true, false, false) => news.wanted.push(wanted(listed, start)),
            }
            let end = after(start, listed.duration);
            if self
                .newest
                .is_none_or(|newest| newest.sequence < listed.sequence)
            {
                self.newest = Some(Newest {
                    sequence: listed.sequence,
                    end,
                });
            }
        }
        let forgotten = self.lists.saturating_sub(FORGOTTEN_AFTER);
        self.known.retain(|_, known| known.last_list >= forgotten);
        news
    }

    /// The date of a segment, if it was listed before and is not another one of the same name.
    fn known_start(&self, listed: &Listed) -> Option<DateTime<Utc>> {
        let known = self.known.get(&key(listed))?;
        let same = match listed.date {
            Some(date) => (date - known.start).abs() <= SAME,
            None => listed.sequence == known.sequence,
        };
        same.then_some(known.start)
    }

    /// Notes that a segment was listed; whether the same was noted before.
    fn remember(&mut self, listed: &Listed, start: DateTime<Utc>) -> bool {
        let mut key = key(listed);
        if listed.gap {
            // Under a name of its own, so that the segment itself stays unknown.
            key.0.set_fragment(Some("gap"));
        }
        let known = Known {
            sequence: listed.sequence,
            start,
            last_list: self.lists,
        };
        match self.known.insert(key, known) {
            Some(before) => before.sequence == listed.sequence,
            None => false,
        }
    }

    /// When each segment of a list starts: as it was before; else by its own date; else by its
    /// neighbours; else by what came before this list; else by our clock.
    fn dates(
        &self,
        list: &MediaPlaylist,
        matching: &[Option<DateTime<Utc>>],
        news: &News,
        now: DateTime<Utc>,
    ) -> Vec<DateTime<Utc>> {
        let segments = &list.segments;
        let own = |n: usize| matching[n].or(segments[n].date);
        let anchor = (0..segments.len()).find(|&n| own(n).is_some());
        let first = match anchor {
            Some(anchor) => {
                let before = segments[..anchor].iter().map(|s| s.duration);
                let start = own(anchor).unwrap_or(now);
                before.fold(start, earlier)
            }
            None => self.first_without_date(list, news, now),
        };
        let mut next = first;
        (0..segments.len())
            .map(|n| {
                let start = own(n).unwrap_or(next);
                next = after(start, segments[n].duration);
                start
            })
            .collect()
    }

    /// The start of a list that has no date and no segment that was seen before.
    fn first_without_date(
        &self,
        list: &MediaPlaylist,
        news: &News,
        now: DateTime<Utc>,
    ) -> DateTime<Utc> {
        let by_clock = list.segments.iter().map(|s| s.duration).fold(now, earlier);
        match self.newest {
            // What was missed took as long as what is listed now, on average.
            Some(newest) => {
                let total = list.total().as_secs_f64();
                let mean = total / list.segments.len().max(1) as f64;
                let missed = SegmentDuration::from_secs(mean * news.missed as f64);
                missed.map_or(newest.end, |missed| after(newest.end, missed))
            }
            None => by_clock,
        }
    }
}

fn key(listed: &Listed) -> Key {
    (listed.url.clone(), listed.range)
}

fn wanted(listed: &Listed, start: DateTime<Utc>) -> Wanted {
    Wanted {
        sequence: listed.sequence,
        url: listed.url.clone(),
        range: listed.range,
        start,
        duration: listed.duration,
        init: listed.init.clone(),
        encryption: listed.encryption.clone(),
    }
}

/// The first jump of a date at a new segment: its own against where the one before it ends.
/// A discontinuity announces a jump.
fn skew(
    segments: &[Listed],
    matching: &[Option<DateTime<Utc>>],
    starts: &[DateTime<Utc>],
) -> Option<TimeDelta> {
    (1..segments.len())
        .filter(|&n| matching[n].is_none() && !segments[n].discontinuity)
        .filter(|&n| segments[n].advertisement == segments[n - 1].advertisement)
        .find_map(|n| {
            let expected = after(starts[n - 1], segments[n - 1].duration);
            let difference = segments[n].date? - expected;
            (difference.abs() > SKEW).then_some(difference)
        })
}

fn after(start: DateTime<Utc>, duration: SegmentDuration) -> DateTime<Utc> {
    start
        .checked_add_signed(TimeDelta::microseconds(duration.micros()))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

fn earlier(end: DateTime<Utc>, duration: SegmentDuration) -> DateTime<Utc> {
    end.checked_sub_signed(TimeDelta::microseconds(duration.micros()))
        .unwrap_or(DateTime::<Utc>::MIN_UTC)
}
