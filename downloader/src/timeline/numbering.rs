//! Numbers for lists whose own mean nothing: without dates and without `EXT-X-MEDIA-SEQUENCE`, or
//! with one that never moves. What slides is told by the names then.

use std::borrow::Cow;
use std::sync::Arc;

use crate::playlist::{Listed, MediaPlaylist};

/// No more slides out from one list to the next.
const MOST_SLID: usize = 1000;

/// So many segments are compared to find where a list goes on. More than a list has; one that repeats
/// a name for ever could ask for a thousand times as many.
const MOST_COMPARED: u32 = 1_000_000;

/// What was added to the numbers of the lists so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Numbering {
    shift: u64,
    /// True iff the lists' own numbers were seen to move on: then they mean something.
    moved: bool,
    /// The latest list that had no date at its end, under its own numbers.
    before: Vec<Arc<Listed>>,
}

/// What a list without dates says about its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slide {
    /// They have moved, or what is listed has not: they are what they seem to be.
    Numbered,
    /// They stand still, and there are other names than in the list before.
    Unknown,
}

impl Numbering {
    /// Looks at the next list: where its numbers stand still although its segments have moved,
    /// what is to be added changes.
    pub(super) fn follow(&mut self, list: &MediaPlaylist) -> Slide {
        let new = &list.segments;
        let dated = new.iter().any(|listed| listed.date.is_some());
        self.moved |= !dated && self.has_moved_on_to(new);
        let still = !dated && first(&self.before).is_some() && first(&self.before) == first(new);
        let slide = match still {
            true => self.slide(new),
            false => Slide::Numbered,
        };
        // Where only the first segment of the stream has a date, it slides out.
        self.before.clear();
        if new.last().is_some_and(|last| last.date.is_none()) {
            self.before.clone_from(new);
        }
        slide
    }

    fn slide(&mut self, new: &[Arc<Listed>]) -> Slide {
        let same_place = |a: &Listed, b: &Listed| a.place == b.place;
        let by = aligned(&self.before, new, same_place).or_else(|| {
            // Signed URLs, or a session in them: the file's name is what stays.
            let distinct = are_distinct(&self.before) && are_distinct(new);
            distinct.then(|| aligned(&self.before, new, |a, b| name(a) == name(b)))?
        });
        let Some((was, is)) = by else {
            return Slide::Unknown;
        };
        // Before the first number of all there is none: an old list stays as it is.
        self.set(self.shift.saturating_add(was), is);
        Slide::Numbered
    }

    /// From now on what the lists call `is` is number `number`.
    pub(super) fn set(&mut self, number: u64, is: u64) {
        self.shift = number.checked_sub(is).unwrap_or(self.shift);
    }

    /// True iff this list goes on from the one before by its own numbers. One that is further on
    /// may be another encoder's, with a number that never moves either.
    fn has_moved_on_to(&self, new: &[Arc<Listed>]) -> bool {
        let before = first(&self.before).zip(self.before.last());
        before.zip(first(new)).is_some_and(|((first, last), new)| {
            first < new && new <= last.sequence.saturating_add(1)
        })
    }

    /// True iff other names under the same numbers are other segments, whenever they come: the
    /// numbers were found to mean nothing, and none of them ever moved.
    pub(super) fn mean_nothing(&self) -> bool {
        self.shift > 0 && !self.moved
    }

    /// True iff the lists' own numbers were seen to move on.
    pub(super) fn have_moved(&self) -> bool {
        self.moved
    }

    /// The list under the numbers that it ought to have.
    pub(super) fn apply<'a>(&self, list: &'a MediaPlaylist) -> Cow<'a, MediaPlaylist> {
        let mut list = Cow::Borrowed(list);
        if self.shift > 0 {
            let list = list.to_mut();
            let segments = list.segments.iter_mut().map(Arc::make_mut);
            let numbers = segments.map(|listed| &mut listed.sequence);
            for number in numbers.chain(&mut list.unreadable) {
                *number = number.saturating_add(self.shift);
            }
        }
        list
    }

    /// The number that the list itself gives: a segment may be encrypted with it.
    pub(super) fn original(&self, sequence: u64) -> u64 {
        sequence.saturating_sub(self.shift)
    }
}

fn first(segments: &[Arc<Listed>]) -> Option<u64> {
    segments.first().map(|first| first.sequence)
}

/// The numbers of one and the same segment in the two lists: where the second one goes on from the
/// first after as little as can be has slid out; else the other way round, if it is an older one;
/// none if that takes too long to tell.
fn aligned(
    before: &[Arc<Listed>],
    new: &[Arc<Listed>],
    same: impl Fn(&Listed, &Listed) -> bool,
) -> Option<(u64, u64)> {
    let mut left = MOST_COMPARED;
    let mut goes_on = |a: &[Arc<Listed>], b: &[Arc<Listed>]| {
        a.iter().zip(b).all(|(a, b)| {
            left = left.saturating_sub(1);
            left > 0 && same(a, b)
        })
    };
    let slid = |list: &[Arc<Listed>]| 0..list.len().min(MOST_SLID);
    if let Some(n) = slid(before).find(|&n| goes_on(&before[n..], new)) {
        return Some((before[n].sequence, first(new)?));
    }
    let n = slid(new).find(|&n| goes_on(before, &new[n..]))?;
    Some((first(before)?, new[n].sequence))
}

/// What follows the last slash of a URL's path.
fn name(listed: &Listed) -> &str {
    let path = listed.url.path();
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

fn are_distinct(segments: &[Arc<Listed>]) -> bool {
    let mut seen = std::collections::HashSet::new();
    segments.iter().all(|listed| seen.insert(name(listed)))
}
