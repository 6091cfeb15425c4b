//! Breaks between SCTE-35 marks, from list to list: once the mark of its beginning has slid out,
//! a list does not say any more that it begins inside one.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::SAME;
use crate::playlist::{Listed, MediaPlaylist};

/// A break that has not ended by then never does: its end was not marked, and rather too much is
/// recorded than too little.
const LONGEST: Duration = Duration::from_secs(10 * 60);

/// What the latest list showed of breaks.
#[derive(Debug, Clone, Default)]
pub(super) struct Breaks {
    /// The sequence numbers in a break, and the dates by which to tell that they are of the same
    /// segments: at another place there may be others.
    inside: HashMap<u64, Option<DateTime<Utc>>>,
    /// The sequence number behind the last segment.
    next: u64,
    /// True iff that is in a break, too.
    open: bool,
    /// How long the break has been, in microseconds, if it is open.
    length: i64,
}

impl Breaks {
    /// The list with the segments before its first mark as what the list before it said they are.
    pub(super) fn carry<'a>(&mut self, list: &'a MediaPlaylist) -> Cow<'a, MediaPlaylist> {
        let mut list = Cow::Borrowed(list);
        let Some(first) = list.segments.first() else {
            return list;
        };
        let unmarked = list.first_mark.unwrap_or(list.segments.len());
        // All that is before the first mark is the same: one that is known tells of all. What
        // nobody saw may have held the end of the break.
        let is_inside = |listed: &Arc<Listed>| {
            let date = self.inside.get(&listed.sequence);
            let dates = |date: &Option<DateTime<Utc>>| date.zip(listed.date);
            let same = |(a, b): (DateTime<Utc>, DateTime<Utc>)| (a - b).abs() <= SAME;
            date.is_some_and(|date| dates(date).is_none_or(same))
        };
        let is_known = list.segments[..unmarked].iter().any(is_inside);
        let follows = self.open && first.sequence == self.next;
        let lasts = Duration::from_micros(self.length.unsigned_abs()) < LONGEST;
        let goes_on = (is_known || follows) && (lasts || !self.open) && unmarked > 0;
        if goes_on {
            let list = list.to_mut();
            list.segments[..unmarked].iter_mut().for_each(set_in_break);
            list.in_break |= list.first_mark.is_none();
        }
        // One that is behind says nothing about what comes.
        if list
            .segments
            .last()
            .is_some_and(|last| last.sequence.saturating_add(1) >= self.next)
        {
            self.note(&list);
        }
        list
    }

    /// Takes a list whose sequence numbers have begun again.
    pub(super) fn restart(&mut self, list: &MediaPlaylist) {
        *self = Breaks::default();
        self.note(list);
    }

    fn note(&mut self, list: &MediaPlaylist) {
        self.inside.clear();
        for listed in &list.segments {
            if listed.in_break {
                self.inside.insert(listed.sequence, listed.date);
            }
            if listed.sequence < self.next {
                continue;
            }
            self.length = match listed.in_break {
                true => self.length.saturating_add(listed.duration.micros()),
                false => 0,
            };
        }
        let last = list.segments.last().map_or(0, |last| last.sequence);
        self.next = last.saturating_add(1);
        self.open = list.in_break;
    }
}

fn set_in_break(listed: &mut Arc<Listed>) {
    if !listed.in_break {
        let listed = Arc::make_mut(listed);
        listed.in_break = true;
        listed.advertisement = true;
    }
}
