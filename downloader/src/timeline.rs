//! What is new in a playlist: compares each list with what the lists before it showed, and
//! gives every segment its date. Pure: no I/O, and the clock comes in from outside.
//!
//! A segment is known by its URL and byte range, and by when it is: a restarted encoder uses
//! names again, and a content network may serve a list from a minute ago. An encoder without a
//! clock uses dates again too: whatever may be of its next run is marked as `again`, to be
//! fetched although something of that date is recorded already.

mod breaks;
mod dates;
mod discontinuities;
mod doubts;
mod known;
mod news;
mod numbering;
mod numbers;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_again;
#[cfg(test)]
mod tests_breaks;
#[cfg(test)]
mod tests_numbers;

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use self::breaks::Breaks;
pub(crate) use self::dates::earlier_by;
use self::dates::{Dated, ROUNDED, after, earlier, implied, skew};
use self::discontinuities::{Counted, Discontinuities};
use self::doubts::Doubts;
use self::known::{KnownSegments, MOST_KNOWN};
pub use self::news::{Newest, News, Skew, Wanted};
use self::numbering::Numbering;
use crate::playlist::{Listed, MediaPlaylist};

/// Dates of one and the same segment may differ by so much between lists: origins round …
const SAME: TimeDelta = TimeDelta::milliseconds(500);

/// … and by this part of what the list shows: where only its first segment has a date, those of
/// the others are sums of durations, which some origins round to whole seconds.
const SAME_PART: f64 = 0.05;

/// What the lists of one media playlist have shown so far.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    known: KnownSegments,
    newest: Option<Newest>,
    /// True until a worker has taken its first list.
    fresh: bool,
    /// The sequence number at which the latest list began.
    first_sequence: u64,
    /// When the latest list came.
    latest: Option<DateTime<Utc>>,
    lists: u64,
    /// True iff any list had a date.
    dated: bool,
    /// [`News::has_show`] of the latest list.
    had_show: bool,
    /// [`News::end`] of the latest list.
    latest_end: Option<DateTime<Utc>>,
    /// Dates before this one come a second time.
    again_until: Option<DateTime<Utc>>,
    doubts: Doubts,
    breaks: Breaks,
    numbering: Numbering,
    /// The sequence numbers behind the newest segment that were listed in a way that makes no
    /// sense, and are told.
    unreadable: BTreeSet<u64>,
    /// True from when the dates were found to begin again until the next list.
    unsettled: bool,
    /// True from when a break of the stream was listed, or left the list unseen, until a segment
    /// behind it is wanted.
    broken: bool,
    discontinuities: Counted,
}

impl Timeline {
    /// The timeline of a worker that goes on where this one's was.
    #[must_use]
    pub fn for_successor(mut self) -> Timeline {
        self.fresh = true;
        self
    }

    /// The newest segment of all lists so far.
    #[must_use]
    pub fn newest(&self) -> Option<Newest> {
        self.newest
    }

    /// Takes the latest list as it came once more, the same to the byte.
    pub fn update_unchanged(&mut self, list: &MediaPlaylist, now: DateTime<Utc>) -> News {
        if self.unsettled {
            return self.update(list, now);
        }
        self.latest = Some(now);
        News {
            by_our_clock: !self.dated,
            has_show: self.had_show,
            end: self.latest_end,
            doubted: self.doubts.next(),
            ..News::default()
        }
    }

    /// What a list has under a known name and date was found to be something else: all that is
    /// known is of an earlier run of the encoder.
    pub fn begin_again(&mut self) {
        self.known.clear();
        self.again_until = self.again_until.max(self.newest.map(|newest| newest.end));
        self.unsettled = true;
        self.doubts = Doubts::default();
    }

    /// Takes a list as it came at `now`.
    pub fn update(&mut self, list: &MediaPlaylist, now: DateTime<Utc>) -> News {
        self.lists += 1;
        let list = &*self.renumber(list, now);
        let list = &*self.breaks.carry(list);
        let mut news = News {
            unreadable: self.note_unreadable(list),
            ..News::default()
        };
        self.had_show = false;
        self.latest_end = None;
        self.doubts.list = None;
        let Some((first, last)) = list.segments.first().zip(list.segments.last()) else {
            return news;
        };
        let dated = self.dated(list, now);
        let none_known = dated.known.iter().all(Option::is_none);
        let seen = self.look_for_break(&dated, none_known);
        self.doubts.list = self.doubtful(&dated);
        news.doubted = self.doubts.next();
        self.look_for_dates_again(&dated, none_known);
        self.look_for_restart(&dated, none_known, &mut news);
        let starts = self.starts(&dated, &news);
        news.end = starts.last().map(|start| after(*start, last.duration));
        news.by_our_clock = !self.dated;
        // A jump in the first list says nothing about this connection: it may be long past, and
        // every successor would meet it again.
        if self.newest.is_some() && !self.fresh {
            news.skew = skew(&list.segments, &dated.known, &starts);
        }
        if news.restarted {
            self.restart(list);
            news.unreadable = self.note_unreadable(list);
        }
        self.take(&dated, &starts, seen, &mut news);
        self.forget_unreadable();
        self.fresh = false;
        self.first_sequence = first.sequence;
        self.latest = Some(now);
        self.known.forget_old(self.lists, MOST_KNOWN);
        self.had_show = news.has_show;
        self.latest_end = news.end;
        self.unsettled = false;
        news
    }

    /// A list with what is known of its segments.
    fn dated<'a>(&mut self, list: &'a MediaPlaylist, now: DateTime<Utc>) -> Dated<'a> {
        let implied = implied(&list.segments);
        self.dated |= implied.is_some();
        if implied.is_none() && self.began_again(list) {
            self.known.clear();
        }
        Dated {
            list,
            known: self.known_starts(list, implied.as_deref()),
            implied,
            now,
        }
    }

    /// Looks for a break between this list and those before it that nobody saw; the newest segment,
    /// if it is listed here under another name.
    fn look_for_break(&mut self, dated: &Dated<'_>, none_known: bool) -> Option<Newest> {
        let goes_on = self.goes_on(dated);
        // What is between may have held a discontinuity.
        self.broken |= none_known && !goes_on && self.newest.is_some();
        // Under names of their own in every list, what was seen is no news of a break.
        self.newest.filter(|_| none_known && goes_on)
    }

    /// Looks whether dates that were there before come again.
    fn look_for_dates_again(&mut self, dated: &Dated<'_>, none_known: bool) {
        if none_known && let Some(newest) = self.newest.filter(|newest| dated.is_before(*newest)) {
            self.again_until = self.again_until.max(Some(newest.end));
        }
    }

    /// The encoder has begun again with this list.
    fn restart(&mut self, list: &MediaPlaylist) {
        self.newest = None;
        self.broken = true;
        self.breaks.restart(list);
        self.unreadable.clear();
    }

    /// Whether the sequence numbers of a list have begun again, and if not, how many segments left
    /// the list unseen.
    fn look_for_restart(&self, dated: &Dated<'_>, none_known: bool, news: &mut News) {
        let segments = &dated.list.segments;
        let ends = segments.first().zip(segments.last());
        let Some((newest, (first, last))) = self.newest.zip(ends) else {
            return;
        };
        if none_known && last.sequence < newest.sequence {
            news.restarted = true;
        } else if first.sequence > newest.sequence.saturating_add(1) {
            let left_out = first.sequence - newest.sequence - 1;
            match self.plausible(left_out, newest, dated) {
                Some(left_out) => {
                    let told = self.unreadable.range(..first.sequence).count() as u64;
                    news.missed = left_out.saturating_sub(told);
                }
                None => news.restarted = true,
            }
        }
    }

    /// Notes all segments of a list, and says which of them are news. Those up to `seen` are there
    /// again, under other names.
    fn take(
        &mut self,
        dated: &Dated<'_>,
        starts: &[DateTime<Utc>],
        seen: Option<Newest>,
        news: &mut News,
    ) {
        let mut latest = None;
        let list = &dated.list.segments;
        let first = list.first().map_or(0, |first| first.sequence);
        let mut discontinuities = Discontinuities::of(dated.list);
        for (n, listed) in list.iter().enumerate() {
            let start = starts[n];
            // In the middle of a list, too, dates may begin again.
            let jumps_back = latest.is_some_and(|latest| start < earlier_by(latest, ROUNDED));
            latest = latest.max(Some(after(start, listed.duration)));
            let again = jumps_back || self.again_until.is_some_and(|until| start < until);
            news.has_show |= !listed.advertisement && !listed.gap;
            // A gap may be filled later: it stays unknown until then, but is told once.
            let told = self.remember(listed, start);
            let is_new = dated.known[n].is_none() && !(listed.gap && told);
            // What is not recorded passes its discontinuity on.
            let number = discontinuities.up_to(listed);
            let is_seen = seen.is_some_and(|seen| listed.sequence <= seen.sequence);
            self.broken |=
                is_new && !is_seen && self.discontinuities.is_behind_one(listed, number, first);
            match (is_new, listed.gap, listed.advertisement) {
                (false, ..) => {}
                (true, true, _) => news.gaps.push(listed.sequence),
                (true, false, true) => news.advertisements += 1,
                (true, false, false) => news.wanted.push(Wanted {
                    discontinuity: !is_seen && std::mem::take(&mut self.broken),
                    dated: dated.implied.is_some(),
                    ..self.wanted(listed, start, again)
                }),
            }
            // Numbers may stand still under dates that do not.
            let is_next = |newest: Newest| match newest.sequence.cmp(&listed.sequence) {
                Ordering::Less => true,
                Ordering::Equal => dated.known[n].is_none() && !is_seen,
                Ordering::Greater => false,
            };
            if self.newest.is_none_or(is_next) {
                self.discontinuities.newest = number;
                self.newest = Some(Newest {
                    sequence: listed.sequence,
                    end: after(start, listed.duration),
                });
            }
        }
    }

    /// What to look at again, if a list whose segments are all known is behind.
    fn doubtful(&self, dated: &Dated<'_>) -> Option<Wanted> {
        let segments = &dated.list.segments;
        let is_behind = segments.last()?.sequence.saturating_add(1) < self.newest?.sequence;
        if !is_behind || dated.known.iter().any(Option::is_none) {
            return None;
        }
        let (listed, start) = segments
            .iter()
            .zip(&dated.known)
            .rfind(|(listed, _)| !listed.advertisement && !listed.gap)?;
        Some(Wanted {
            dated: dated.implied.is_some(),
            ..self.wanted(listed, (*start)?, true)
        })
    }

    /// The start of each segment that was listed before and is not another one of that name.
    fn known_starts(
        &self,
        list: &MediaPlaylist,
        implied: Option<&[DateTime<Utc>]>,
    ) -> Vec<Option<DateTime<Utc>>> {
        let part = list.total().mul_f64(SAME_PART);
        let same = SAME.max(TimeDelta::from_std(part).unwrap_or(SAME));
        let known_start = |(n, listed): (usize, &Arc<Listed>)| {
            let numbered = self
                .known
                .by_sequence(place(listed, false), listed.sequence);
            let Some(implied) = implied else {
                return numbered;
            };
            let half = TimeDelta::microseconds(listed.duration.micros() / 2);
            numbered
                .filter(|known| (implied[n] - *known).abs() <= same)
                .or_else(|| {
                    let place = place(listed, false);
                    self.known.nearest(place, implied[n], SAME.min(half))
                })
                .or_else(|| self.start_before_correction(list, listed, implied[n]))
        };
        list.segments.iter().enumerate().map(known_start).collect()
    }

    /// Notes that a segment was listed; whether the same was noted before.
    fn remember(&mut self, listed: &Listed, start: DateTime<Utc>) -> bool {
        let place = place(listed, listed.gap);
        self.known.note(place, listed.sequence, start, self.lists)
    }

    /// When each segment of a list starts: as it was before; else by the list's own dates; else
    /// by its neighbours; else by what came before this list; else by our clock.
    fn starts(&self, dated: &Dated<'_>, news: &News) -> Vec<DateTime<Utc>> {
        let segments = &dated.list.segments;
        if let Some(implied) = &dated.implied {
            let known = dated.known.iter();
            return known
                .zip(implied)
                .map(|(known, implied)| known.unwrap_or(*implied))
                .collect();
        }
        let anchor = dated.known.iter().position(Option::is_some);
        let mut next = match anchor.and_then(|anchor| Some((anchor, dated.known[anchor]?))) {
            Some((anchor, start)) => {
                let before = segments[..anchor].iter().map(|s| s.duration);
                before.fold(start, earlier)
            }
            None => self.first_without_date(dated, news),
        };
        let mut starts = Vec::with_capacity(segments.len());
        for (listed, known) in segments.iter().zip(&dated.known) {
            let start = known.unwrap_or(next);
            next = after(start, listed.duration);
            starts.push(start);
        }
        starts
    }

    fn wanted(&self, listed: &Listed, start: DateTime<Utc>, again: bool) -> Wanted {
        Wanted {
            sequence: self.numbering.original(listed.sequence),
            url: Arc::clone(&listed.url),
            range: listed.range,
            place: listed.place,
            start,
            duration: listed.duration,
            init: listed.init.clone(),
            encryption: listed.encryption.clone(),
            discontinuity: listed.discontinuity,
            dated: true,
            again,
        }
    }
}

/// Where and which part. A gap has a place of its own, so that the segment itself stays unknown.
fn place(listed: &Listed, gap: bool) -> u64 {
    if gap { !listed.place } else { listed.place }
}
