//! What sequence numbers say where dates and names do not.

use std::borrow::Cow;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use common::segment::SegmentDuration;

use super::dates::{Dated, ROUNDED, after, earlier, mean, seconds};
use super::numbering::Slide;
use super::{Newest, News, SAME, Timeline, place};
use crate::playlist::{Listed, MediaPlaylist};

/// An old list from a content network is behind by a few segments; a list without dates that
/// begins this much earlier than the one before it is a restarted encoder's.
const FURTHEST_BACK: u64 = 10;

/// So many segments that make no sense are remembered, the newest. More than a list has.
const MOST_UNREADABLE: usize = 400_000;

impl Timeline {
    /// The list under numbers that mean something.
    pub(super) fn renumber<'a>(
        &mut self,
        list: &'a MediaPlaylist,
        now: DateTime<Utc>,
    ) -> Cow<'a, MediaPlaylist> {
        let slide = self.numbering.follow(list);
        if slide == Slide::Unknown
            && let Some((newest, first)) = self.newest.zip(list.segments.first())
        {
            let number = |listed: &Arc<Listed>| {
                let number = self.known.latest_number(place(listed, false))?;
                Some((number, listed.sequence))
            };
            let is_other = || self.numbering.mean_nothing() && !self.fresh;
            // Numbers that move and stand still for once stay, however long that takes: what has
            // other names at each look would else be new at each.
            let may_be_new = || !self.numbering.have_moved() && self.may_be_new(list, now);
            if let Some((number, is)) = list.segments.iter().find_map(number) {
                // An old list.
                self.numbering.set(number, is);
            } else if is_other() || may_be_new() {
                let next = newest.sequence.saturating_add(1);
                self.numbering.set(next, first.sequence);
                // What is between was not seen.
                self.broken = true;
            }
        }
        self.numbering.apply(list)
    }

    /// True iff there was the time to make a list like this one, and one more segment, since the
    /// one before.
    fn may_be_new(&self, list: &MediaPlaylist, now: DateTime<Utc>) -> bool {
        list.total().as_secs_f64() + mean(list) <= self.elapsed(now)
    }

    /// True iff a list without dates begins so much earlier than the one before that it can only
    /// be a restarted encoder's, whatever names it uses.
    pub(super) fn began_again(&self, list: &MediaPlaylist) -> bool {
        let back = list.segments.first().map_or(0, |first| {
            self.first_sequence.saturating_sub(first.sequence)
        });
        back > FURTHEST_BACK.max(2 * list.segments.len() as u64)
    }

    /// The start of a segment that the list before had under the same name and number, if it has
    /// a slightly other date now, and none behind what was seen: the origin has corrected its
    /// dates, or cuts them to the second. In a list that is behind or begins earlier it may be a
    /// restarted encoder's, and with a date that is further off, too: rather a segment twice than
    /// one lost.
    pub(super) fn start_before_correction(
        &self,
        list: &MediaPlaylist,
        listed: &Listed,
        date: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let newest = self.newest?;
        let (first, last) = list.segments.first().zip(list.segments.last())?;
        let goes_on = first.sequence >= self.first_sequence && last.sequence >= newest.sequence;
        // This list is counted already.
        let before = self.lists.checked_sub(1)?;
        let known = self
            .known
            .in_list(place(listed, false), listed.sequence, before)?;
        let near = (date - known).abs() <= ROUNDED;
        (goes_on && near && date < newest.end).then_some(known)
    }

    /// How many segments were missed, when the sequence numbers say so many: none (`None`) if
    /// they cannot have been, because the time for them was not there. Then the numbers have
    /// changed, not the stream.
    pub(super) fn plausible(&self, missed: u64, newest: Newest, dated: &Dated<'_>) -> Option<u64> {
        let mean = mean(dated.list);
        if mean <= 0.0 {
            return Some(missed);
        }
        let claimed = missed as f64 * mean;
        match &dated.implied {
            Some(implied) => {
                let gap = seconds(implied[0] - newest.end);
                // Durations are rounded, and a segment may have been left out on purpose.
                (gap >= claimed / 2.0).then_some(missed)
            }
            None => {
                let possible = self.elapsed(dated.now) + 2.0 * dated.list.total().as_secs_f64();
                (claimed <= possible).then_some(missed)
            }
        }
    }

    /// The start of a list that has no date and no segment that was seen before.
    pub(super) fn first_without_date(&self, dated: &Dated<'_>, news: &News) -> DateTime<Utc> {
        let durations = dated.list.segments.iter().map(|s| s.duration);
        let by_clock = durations.fold(dated.now, earlier);
        let Some(newest) = self.newest else {
            return by_clock;
        };
        let skipped = if news.restarted {
            // The stream was away for what has passed since, less what is listed now.
            (self.elapsed(dated.now) - dated.list.total().as_secs_f64()).max(0.0)
        } else if let Some(seen) = self.seen_of(dated, newest) {
            // The segment that ended last is in this list, under another name.
            let seen = seen.iter().map(|s| s.duration);
            return seen.fold(newest.end, earlier);
        } else {
            // What was missed took as long as what is listed now, on average.
            let first = dated
                .list
                .segments
                .first()
                .map_or(0, |first| first.sequence);
            let next = newest.sequence.saturating_add(1);
            mean(dated.list) * first.saturating_sub(next) as f64
        };
        let skipped = SegmentDuration::from_secs(skipped);
        skipped.map_or(newest.end, |skipped| after(newest.end, skipped))
    }

    /// The segments of a list without dates up to the newest that was ever seen, none of which
    /// has a name that is known: a hand-over to URLs with another session in them, or signed
    /// ones that change with every list. `None` if they may be those of a restarted encoder,
    /// which has had the time to make that many.
    fn seen_of<'a>(&self, dated: &Dated<'a>, newest: Newest) -> Option<&'a [Arc<Listed>]> {
        let segments = &dated.list.segments;
        let last_seen = |listed: &Arc<Listed>| listed.sequence == newest.sequence;
        let n = segments.iter().rposition(last_seen)? + 1;
        (!self.may_be_new(dated.list, dated.now)).then(|| &segments[..n])
    }

    /// True iff nobody missed anything between what was seen and this list, by its numbers and, if
    /// it has any, its dates: it shows the newest segment once more, whatever it is called there,
    /// or begins right behind it.
    pub(super) fn goes_on(&self, dated: &Dated<'_>) -> bool {
        let segments = &dated.list.segments;
        let Some((newest, first)) = self.newest.zip(segments.first()) else {
            return false;
        };
        let is_near = |time: DateTime<Utc>| (time - newest.end).abs() <= SAME;
        let Some(implied) = &dated.implied else {
            let follows = Some(first.sequence) == newest.sequence.checked_add(1);
            return follows || self.seen_of(dated, newest).is_some();
        };
        if Some(first.sequence) == newest.sequence.checked_add(1) {
            return is_near(implied[0]);
        }
        let again = |listed: &Arc<Listed>| listed.sequence == newest.sequence;
        segments
            .iter()
            .rposition(again)
            .is_some_and(|n| is_near(after(implied[n], segments[n].duration)))
    }

    /// Notes the segments that a list has in a way that makes no sense; how many are new. What is
    /// before the newest segment is not: it was seen when it was new, whatever was wrong then.
    pub(super) fn note_unreadable(&mut self, list: &MediaPlaylist) -> u64 {
        let newest = self.newest.map(|newest| newest.sequence);
        let mut new = 0;
        for &sequence in list.unreadable.iter().filter(|n| Some(**n) > newest) {
            new += u64::from(self.unreadable.insert(sequence));
        }
        while self.unreadable.len() > MOST_UNREADABLE {
            self.unreadable.pop_first();
        }
        new
    }

    /// Forgets what is before the newest segment.
    pub(super) fn forget_unreadable(&mut self) {
        if let Some(newest) = self.newest {
            self.unreadable = self.unreadable.split_off(&newest.sequence);
        }
    }

    /// So many seconds ago the list before this one came.
    fn elapsed(&self, now: DateTime<Utc>) -> f64 {
        self.latest.map_or(0.0, |latest| seconds(now - latest))
    }
}
