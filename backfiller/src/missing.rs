//! What of each hour a peer has and this node has not: for operators, and as a gauge of bounded
//! length whose sum is right all the same.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use common::names::{Channel, Quality};

use crate::item::Place;
use crate::metrics::MISSING_SEGMENTS;

/// So many hours of a peer have a line of their own on the page of metrics: nobody looks at more.
const MOST_LINES: usize = 1000;

/// The `hour` of the line that has the sum of all others, one for each quality.
const REST: &str = "rest";

/// So many hours of a peer are told apart, those of six years: a hostile peer lists any number.
const MOST_HOURS: usize = 50_000;

/// By peer. A label cannot be found again in the gauge itself.
static INCOMPLETE: LazyLock<Mutex<HashMap<String, Incomplete>>> = LazyLock::new(Mutex::default);

fn incomplete() -> MutexGuard<'static, HashMap<String, Incomplete>> {
    // A poisoned map is still a map.
    INCOMPLETE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The hours of a peer of which something is missing.
#[derive(Debug, Default)]
struct Incomplete {
    hours: BTreeMap<Place, u64>,
    /// Those of them that have a line.
    lines: BTreeSet<Place>,
    /// The sums of those that have none.
    rest: HashMap<(Channel, Quality), u64>,
}

impl Incomplete {
    fn set(&mut self, peer: &str, place: &Place, files: u64) {
        let before = self.hours.get(place).copied();
        if before.is_none() && files == 0 {
            return;
        }
        if before.is_none() && self.hours.len() >= MOST_HOURS {
            // Those that nobody alerts on are not counted.
            match self.hours.first_key_value() {
                Some((oldest, _)) if oldest < place => self.set(peer, &oldest.clone(), 0),
                _ => return,
            }
        }
        let before = before.unwrap_or_default();
        let had_line = self.lines.contains(place);
        let has_line = files > 0 && (had_line || self.make_room(peer, place));
        let hour = place.hour.to_string();
        if has_line {
            self.lines.insert(place.clone());
            set_line(peer, place, &hour, files);
        } else if had_line {
            self.lines.remove(place);
            remove_line(peer, place, &hour);
        }
        let in_rest = |is_listed: bool, files| if is_listed { 0 } else { files };
        let (was, is) = (in_rest(had_line, before), in_rest(has_line, files));
        self.change_rest(peer, place, was, is);
        match files {
            0 => self.hours.remove(place),
            files => self.hours.insert(place.clone(), files),
        };
    }

    /// True iff there is room for a line of this hour: the oldest of all lines makes room for a newer
    /// one.
    fn make_room(&mut self, peer: &str, place: &Place) -> bool {
        if self.lines.len() < MOST_LINES {
            return true;
        }
        let oldest = self.lines.first().filter(|oldest| *oldest < place);
        let Some(oldest) = oldest.cloned() else {
            return false;
        };
        self.lines.remove(&oldest);
        remove_line(peer, &oldest, &oldest.hour.to_string());
        let files = self.hours.get(&oldest).copied().unwrap_or_default();
        self.change_rest(peer, &oldest, 0, files);
        true
    }

    fn change_rest(&mut self, peer: &str, place: &Place, before: u64, now: u64) {
        if before == now {
            return;
        }
        let quality = (place.channel.clone(), place.quality.clone());
        let rest = self.rest.entry(quality).or_default();
        *rest = rest.saturating_sub(before) + now;
        match *rest {
            0 => remove_line(peer, place, REST),
            rest => set_line(peer, place, REST, rest),
        }
    }
}

fn set_line(peer: &str, place: &Place, hour: &str, files: u64) {
    let labels = [peer, place.channel.as_str(), place.quality.as_str(), hour];
    let files = i64::try_from(files).unwrap_or(i64::MAX);
    MISSING_SEGMENTS.with_label_values(&labels).set(files);
}

fn remove_line(peer: &str, place: &Place, hour: &str) {
    let labels = [peer, place.channel.as_str(), place.quality.as_str(), hour];
    // An error says that there was none.
    let _ = MISSING_SEGMENTS.remove_label_values(&labels);
}

/// Says how many files of an hour are missing. With 0 the hour leaves the page: a line for
/// every hour of a year is of no use to anybody.
pub fn set(peer: &str, place: &Place, files: u64) {
    let mut all = incomplete();
    match all.get_mut(peer) {
        Some(incomplete) => incomplete.set(peer, place, files),
        None if files == 0 => {}
        None => all
            .entry(peer.to_owned())
            .or_default()
            .set(peer, place, files),
    }
}

/// Says that a file of an hour is missing no more.
pub fn one_less(peer: &str, place: &Place) {
    if let Some(incomplete) = incomplete().get_mut(peer)
        && let Some(files) = incomplete.hours.get(place)
    {
        let files = files.saturating_sub(1);
        incomplete.set(peer, place, files);
    }
}

/// Forgets what was missing of all hours of a peer but those to keep.
pub fn retain(peer: &str, keep: impl Fn(&Place) -> bool) {
    if let Some(incomplete) = incomplete().get_mut(peer) {
        let places = incomplete.hours.keys().filter(|place| !keep(place));
        let gone: Vec<Place> = places.cloned().collect();
        for place in gone {
            incomplete.set(peer, &place, 0);
        }
    }
}

/// What is missing, by peer and hour: at one peer, or at all.
#[must_use]
pub fn all(peer: Option<&str>) -> Vec<(String, Place, i64)> {
    let mut missing = Vec::new();
    for (name, incomplete) in incomplete().iter() {
        if peer.is_some_and(|peer| peer != name) {
            continue;
        }
        for (place, files) in &incomplete.hours {
            let files = i64::try_from(*files).unwrap_or(i64::MAX);
            missing.push((name.clone(), place.clone(), files));
        }
    }
    missing.sort_unstable_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    missing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::tests::place;
    use prometheus::core::Collector;

    /// How many lines of a peer there are on the page of metrics, and their sum.
    fn page(peer: &str) -> (usize, f64) {
        let families = MISSING_SEGMENTS.collect();
        let metrics = families.iter().flat_map(|family| family.get_metric());
        let of_peer = metrics.filter(|metric| {
            let mut labels = metric.get_label().iter();
            labels.any(|label| label.name() == "remote" && label.value() == peer)
        });
        let values = of_peer.map(|metric| metric.get_gauge().get_value());
        values.fold((0, 0.0), |(lines, sum), value| (lines + 1, sum + value))
    }

    #[test]
    fn the_sum_is_right_however_many_hours_are_incomplete() {
        let peer = "a peer with a long past";
        let hours = MOST_LINES + 50;
        for round in [3, 2] {
            for hour in 0..hours {
                set(peer, &place(hour), round);
            }
            let sum = hours as u64 * round;
            assert_eq!(page(peer), (MOST_LINES + 1, sum as f64));
            // The newest ones have the lines: who has the page open looks at those.
            let all = incomplete();
            let lines = &all.get(peer).unwrap().lines;
            assert!(
                lines
                    .iter()
                    .eq((50..hours).map(place).collect::<Vec<_>>().iter())
            );
        }
        let mut sum = 2 * hours;
        // One of the rest, and one of the lines.
        for hour in [0, hours - 1] {
            for _ in 0..2 {
                one_less(peer, &place(hour));
                sum -= 1;
                assert_eq!(page(peer).1, sum as f64, "{hour}");
            }
            one_less(peer, &place(hour));
        }
        assert_eq!(all(Some(peer)).len(), hours - 2);
        // A line is free again.
        set(peer, &place(hours), 7);
        assert_eq!(page(peer), (MOST_LINES + 1, (sum + 7) as f64));
        let last = place(hours - 2);
        retain(peer, |place| *place == last);
        assert_eq!(all(Some(peer)), [(peer.to_owned(), last, 2)]);
        assert_eq!(page(peer), (1, 2.0));
        retain(peer, |_| false);
        assert_eq!(page(peer), (0, 0.0));
    }

    #[test]
    fn a_hostile_peer_costs_a_bounded_number_of_hours() {
        let peer = "a peer from before all time";
        for hour in 0..MOST_HOURS + 10 {
            set(peer, &place(hour), 1);
        }
        assert_eq!(page(peer), (MOST_LINES + 1, MOST_HOURS as f64));
        retain(peer, |_| false);
        assert_eq!(page(peer), (0, 0.0));
    }
}
