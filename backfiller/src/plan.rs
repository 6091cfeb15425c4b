//! What is missing (SPEC §6), as a pure function: from what is listed here and there, the
//! options and the clock, to what to do with every name. No I/O, and no input is ever changed.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashSet, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};
use common::chat::{ChatBatch, ChatNameError};
use common::names::{NameError, PathPart};
use common::segment::{Hour, Segment, SegmentNameError, SegmentType};
use common::store::HourNames;
use rand::Rng;
use rand::seq::SliceRandom;

use crate::options::{Options, Order};
use crate::twins::{TWIN_MICROS, Twins};

/// The ending of a name that hides another.
const TOMBSTONE: &str = ".tombstone";

/// The options and the clock, as far as they decide what is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// The first hour to fetch; `None`: all there are.
    pub first_hour: Option<Hour>,
    /// What begins after this is recent: the downloader may still get it. `None`: nothing is.
    pub recent_after: Option<DateTime<Utc>>,
    /// Which hours come first.
    pub order: Order,
}

impl Rules {
    /// The rules at an instant.
    #[must_use]
    pub fn new(options: &Options, now: DateTime<Utc>) -> Rules {
        let cutoff = TimeDelta::seconds(options.recent_cutoff.into());
        Rules {
            first_hour: options.first_hour(now),
            recent_after: (options.recent_cutoff > 0).then(|| now - cutoff),
            order: options.order,
        }
    }

    /// True iff an hour is before the first one to fetch.
    #[must_use]
    pub fn is_too_old(&self, hour: Hour) -> bool {
        self.first_hour.is_some_and(|first| hour < first)
    }

    fn is_recent(&self, start: DateTime<Utc>) -> bool {
        self.recent_after.is_some_and(|after| start > after)
    }
}

/// The hours to go through: the union of those listed, from the first one to fetch on, in the
/// order wanted. An hour in which everything is recent is left out.
#[must_use]
pub fn hours<'a>(
    listed: impl IntoIterator<Item = &'a BTreeSet<Hour>>,
    rules: &Rules,
    rng: &mut impl Rng,
) -> Vec<Hour> {
    let union: BTreeSet<Hour> = listed.into_iter().flatten().copied().collect();
    let wanted = union
        .into_iter()
        .filter(|hour| !rules.is_too_old(*hour) && !rules.is_recent(hour.start()));
    let mut hours: Vec<Hour> = wanted.collect();
    match rules.order {
        Order::Newest => hours.reverse(),
        Order::Oldest => {}
        Order::Random => hours.shuffle(rng),
    }
    hours
}

/// From which hour on there may be more than when these lists were made: what was recent then was
/// left, and the hour before a new one gets its last segments when the new one has begun.
#[must_use]
pub fn live_edge<'a>(
    listed: impl IntoIterator<Item = &'a BTreeSet<Hour>>,
    rules: &Rules,
    now: DateTime<Utc>,
) -> Option<Hour> {
    let newest = listed.into_iter().filter_map(BTreeSet::last).max()?;
    let recent = Hour::of(rules.recent_after.unwrap_or(now));
    Some(newest.previous().min(recent))
}

/// Adds the hours from the live edge on, as far as they are among the hours wanted now, to what is
/// left to do: where the order wants them, which is behind all else unless the newest come first.
pub fn look_anew(queue: &mut VecDeque<Hour>, wanted: &[Hour], edge: Option<Hour>, order: Order) {
    let mut newest: Vec<Hour> = wanted.to_vec();
    newest.retain(|hour| edge.is_none_or(|edge| *hour >= edge));
    match order {
        Order::Newest => newest_first(queue, newest),
        Order::Oldest | Order::Random => {
            let queued: BTreeSet<Hour> = queue.iter().copied().collect();
            queue.extend(newest.iter().filter(|hour| !queued.contains(hour)));
        }
    }
}

fn newest_first(queue: &mut VecDeque<Hour>, mut newest: Vec<Hour>) {
    newest.sort_unstable();
    // A hostile peer lists as many hours as a listing may hold.
    queue.retain(|hour| newest.binary_search(hour).is_err());
    for hour in newest {
        queue.push_front(hour);
    }
}

/// What is to be done about a name that a peer lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Fetch this segment.
    Download(Segment),
    /// Fetch this chat batch.
    DownloadBatch(ChatBatch),
    /// Make the tombstone here, empty.
    Bury(PathPart),
    /// Leave it.
    Skip(Skip),
}

/// Why a listed name is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    /// The same segment is here, with a start within 1 ms.
    Twin,
    /// It is so young that the downloader may still get it.
    Recent,
    /// It is being written there.
    Temp,
    /// A tombstone here hides it.
    BuriedHere,
    /// A tombstone there hides it; only a peer that lists both names gets here.
    BuriedThere,
    /// The peer lists the name twice.
    Repeated,
    /// No file of ours has such a name.
    BadName(BadName),
}

/// What is wrong with a listed name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// It cannot be a file's name.
    #[error(transparent)]
    Part(#[from] NameError),
    /// It is not a segment's name.
    #[error(transparent)]
    Segment(#[from] SegmentNameError),
    /// It is not a chat batch's name.
    #[error(transparent)]
    Chat(#[from] ChatNameError),
}

/// What is in an hour: names are read accordingly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Segments.
    Video,
    /// Chat batches.
    Chat,
}

/// What is to be done about an hour.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan<'a> {
    /// How many of the names listed there are here as well: there is nothing to do.
    pub here: usize,
    /// What to do about the others, in the order in which the peer lists them.
    pub actions: Vec<(&'a str, Action)>,
}

/// Plans an hour of one quality.
///
/// Costs a comparison of strings for a name that is here too, if both lists are in order: two
/// equal nodes plan a week in milliseconds.
#[must_use]
pub fn hour<'a, N: AsRef<str>>(
    hour: Hour,
    kind: Kind,
    here: &HourNames,
    there: &'a [N],
    rules: &Rules,
) -> Plan<'a> {
    let buried_here = stems(&here.tombstones);
    let mut buried_there = None;
    let mut twins = None;
    let mut planned = HashSet::new();
    let (mut next, mut next_tombstone) = (0, 0);
    let mut plan = Plan::default();
    for name in there {
        let name = name.as_ref();
        if is_next(&here.files, &mut next, name)
            || is_next(&here.tombstones, &mut next_tombstone, name)
        {
            plan.here += 1;
            continue;
        }
        let mut action = match candidate(hour, kind, name) {
            Err(skip) => Action::Skip(skip),
            Ok(tombstone @ Action::Bury(_)) => tombstone,
            Ok(wanted) => {
                let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
                let buried_there = buried_there.get_or_insert_with(|| stems(there));
                if buried_here.contains(stem) {
                    Action::Skip(Skip::BuriedHere)
                } else if buried_there.contains(stem) {
                    Action::Skip(Skip::BuriedThere)
                } else if let Action::Download(segment) = &wanted {
                    let twins = twins.get_or_insert_with(|| Twins::new(hour, &here.files));
                    if rules.is_recent(segment.start()) {
                        Action::Skip(Skip::Recent)
                    } else if twins.has(segment) {
                        Action::Skip(Skip::Twin)
                    } else {
                        wanted
                    }
                } else {
                    wanted
                }
            }
        };
        if !matches!(action, Action::Skip(_)) && !planned.insert(name) {
            action = Action::Skip(Skip::Repeated);
        }
        plan.actions.push((name, action));
    }
    plan
}

impl Plan<'_> {
    /// The hours beside this one in which a twin of what is to be downloaded may lie: its
    /// start may have been rounded over the edge.
    #[must_use]
    pub fn hours_beside(&self) -> BTreeSet<Hour> {
        let mut beside = BTreeSet::new();
        for (_, action) in &self.actions {
            let Action::Download(segment) = action else {
                continue;
            };
            let hour = segment.hour();
            let start = segment.start_micros();
            if start.abs_diff(hour.start_micros()) <= TWIN_MICROS {
                beside.insert(hour.previous());
            }
            if start.abs_diff(hour.next().start_micros()) <= TWIN_MICROS {
                beside.insert(hour.next());
            }
        }
        beside
    }

    /// Leaves what has a twin in an hour beside this one, of which these files are here.
    pub fn leave_twins(&mut self, beside: Hour, files: &[String]) {
        let twins = Twins::new(beside, files);
        for (_, action) in &mut self.actions {
            if let Action::Download(segment) = action
                && twins.has(segment)
            {
                *action = Action::Skip(Skip::Twin);
            }
        }
    }
}

/// True iff the name is among the files, which are in order. `next` is where it is looked for
/// first: where the list goes on after the name before it.
fn is_next(files: &[String], next: &mut usize, name: &str) -> bool {
    let found = match files.get(*next) {
        Some(file) if file == name => Ok(*next),
        _ => files.binary_search_by(|file| file.as_str().cmp(name)),
    };
    if let Ok(at) = found {
        *next = at + 1;
    }
    found.is_ok()
}

/// What to do with a listed name as such, if anything can be done with it.
fn candidate(hour: Hour, kind: Kind, name: &str) -> Result<Action, Skip> {
    let bad = |error: BadName| Skip::BadName(error);
    let part = PathPart::new(name).map_err(|error| bad(error.into()))?;
    // Only what may be here can be hidden here.
    let hidden = name.strip_suffix(TOMBSTONE);
    let action = match kind {
        Kind::Video => {
            let hides = hidden.map(|stem| format!("{stem}.ts"));
            let segment = Segment::parse(hour, hides.as_deref().unwrap_or(name));
            let segment = segment.map_err(|error| bad(error.into()))?;
            if segment.kind() == SegmentType::Temp {
                return Err(Skip::Temp);
            }
            Action::Download(segment)
        }
        Kind::Chat => {
            let hides = hidden.map(|stem| format!("{stem}.json"));
            let batch = ChatBatch::parse(hour, hides.as_deref().unwrap_or(name));
            Action::DownloadBatch(batch.map_err(|error| bad(error.into()))?)
        }
    };
    Ok(match hidden {
        Some(_) => Action::Bury(part),
        None => action,
    })
}

/// The stems that the tombstones among these names hide.
fn stems<N: AsRef<str>>(names: &[N]) -> HashSet<&str> {
    let stems = names
        .iter()
        .map(|name| name.as_ref().strip_suffix(TOMBSTONE));
    stems.flatten().collect()
}
