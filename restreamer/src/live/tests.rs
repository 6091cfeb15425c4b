use std::collections::BTreeMap;

use super::*;
use common::names::{Channel, Quality};
use common::segment::Hour;
use common::selection::best_of_hour;
use m3u8_rs::{MediaPlaylist as Parsed, Playlist};
use proptest::prelude::*;

const HASH: &str = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";

/// All times count from here, a little before the end of an hour, in seconds.
fn at(seconds: i64) -> DateTime<Utc> {
    first_hour().start() + TimeDelta::seconds(3600 - 20 + seconds)
}

fn first_hour() -> Hour {
    "2026-01-02T03".parse().unwrap()
}

/// A disk of one rendition and a list of it.
struct Scene {
    segments: Vec<Segment>,
    hours: BTreeMap<Hour, Arc<HourLines>>,
    view: View,
    /// When it is `at(0)`, as what takes time has it.
    begun: Instant,
}

impl Scene {
    fn new(start: i64) -> Scene {
        Scene {
            segments: Vec::new(),
            hours: BTreeMap::new(),
            view: View::new(at(start)),
            begun: Instant::now(),
        }
    }

    /// Puts a segment on the disk.
    fn add(&mut self, start: i64, seconds: &str, kind: &str) {
        let start = at(start);
        let name = format!("{}-{seconds}-{kind}-{HASH}.ts", start.format("%M:%S%.6f"));
        let segment = Segment::parse(Hour::of(start), &name).unwrap();
        self.segments.push(segment);
    }

    /// Lists the hours again and brings the list up to date.
    fn poll(&mut self, now: i64) -> Parsed {
        let (channel, quality) = (Channel::new("c").unwrap(), Quality::new("q").unwrap());
        for hour in [first_hour(), first_hour().next()] {
            let of_hour = self
                .segments
                .iter()
                .filter(|segment| segment.hour() == hour);
            let best = best_of_hour(of_hour.cloned().collect(), |_| 0);
            let before = self.hours.get(&hour);
            if best.is_empty() || before.is_some_and(|before| before.segments() == best) {
                continue;
            }
            let before = before.map(|before| &**before);
            let lines = HourLines::new(&channel, &quality, hour, best, before);
            self.hours.insert(hour, Arc::new(lines));
        }
        let first = Hour::of(self.view.next()).previous();
        let hours: Vec<_> = self
            .hours
            .range(first..)
            .map(|(_, lines)| Arc::clone(lines))
            .collect();
        let instant = self.begun + Duration::from_secs(now.unsigned_abs());
        self.view.extend(&hours, at(now), instant);
        let text = self.view.playlist().text().pieces.concat();
        match m3u8_rs::parse_playlist_res(&text) {
            Ok(Playlist::MediaPlaylist(playlist)) => playlist,
            other => panic!("{other:?}: {}", String::from_utf8_lossy(&text)),
        }
    }

    /// The list in short: starts in seconds, `|` before a discontinuity.
    fn starts(&mut self, now: i64) -> String {
        let playlist = self.poll(now);
        let starts = playlist.segments.iter().map(|segment| {
            let mark = if segment.discontinuity { "|" } else { "" };
            let start = segment.program_date_time.unwrap().to_utc() - at(0);
            format!("{mark}{}", start.num_seconds())
        });
        starts.collect::<Vec<_>>().join(" ")
    }
}

#[test]
fn what_follows_a_young_hole_waits_until_it_is_filled() {
    let mut scene = Scene::new(-60);
    // Nothing is known of what was before: that is no hole in the list.
    scene.add(0, "2.0", "full");
    assert_eq!(scene.starts(2), "0");
    scene.add(4, "2.0", "full");
    scene.add(6, "2.0", "full");
    assert_eq!(scene.starts(8), "0");
    scene.add(2, "2.0", "full");
    assert_eq!(scene.starts(9), "0 2 4 6");
    // Never filled: 15 s after its end there is no hope left.
    scene.add(10, "2.0", "full");
    scene.add(12, "2.0", "full");
    assert_eq!(scene.starts(10), "0 2 4 6");
    assert_eq!(scene.starts(24), "0 2 4 6");
    assert_eq!(scene.starts(25), "0 2 4 6 |10 12");
    // Over the edge of the hour.
    scene.add(14, "2.0", "full");
    scene.add(16, "2.0", "full");
    scene.add(18, "2.5", "full");
    scene.add(23, "2.0", "full");
    assert_eq!(scene.starts(26), "0 2 4 6 |10 12 14 16 18");
    // First seen then, though it is older.
    assert_eq!(scene.starts(40), "0 2 4 6 |10 12 14 16 18");
    assert_eq!(scene.starts(41), "0 2 4 6 |10 12 14 16 18 |23");
    // Too late.
    scene.add(8, "2.0", "full");
    scene.add(21, "2.0", "full");
    assert_eq!(scene.starts(42), "0 2 4 6 |10 12 14 16 18 |23");
}

#[test]
fn a_hole_is_awaited_from_when_it_is_first_seen() {
    // Each: polls with what comes before them and what the list says then.
    type Step<'a> = (i64, &'a [i64], &'a str);
    let table: [&[Step<'_>]; 4] = [
        // Segments of 10 s, each 7 s late: the hole is 17 s old when it is first seen.
        &[
            (17, &[0], "0"),
            (37, &[20], "0"),
            (38, &[10], "0 10 20"),
            // Awaited in vain.
            (57, &[40], "0 10 20"),
            (71, &[], "0 10 20"),
            (72, &[], "0 10 20 |40"),
        ],
        // The clock is a minute ahead of the origin.
        &[
            (70, &[0], "0"),
            (90, &[20], "0"),
            (104, &[], "0"),
            (105, &[], "0 |20"),
        ],
        // Filled from either side, what is left has been awaited as long; several at once.
        &[
            (70, &[0], "0"),
            (110, &[40], "0"),
            (114, &[10], "0 10"),
            (120, &[30, 60], "0 10"),
            (125, &[], "0 10 |30 40"),
            (134, &[], "0 10 |30 40"),
            (135, &[], "0 10 |30 40 |60"),
        ],
        // Who only begins to look does not know; then the dates decide.
        &[
            (44, &[0, 20, 40], "0 |20"),
            (58, &[], "0 |20"),
            (59, &[], "0 |20 |40"),
        ],
    ];
    for (row, steps) in table.into_iter().enumerate() {
        let mut scene = Scene::new(0);
        for &(now, new, expected) in steps {
            for &start in new {
                scene.add(start, "10.0", "full");
            }
            assert_eq!(scene.starts(now), expected, "row {row} at {now}");
        }
    }
}

#[test]
fn what_is_doubtful_waits_for_better() {
    let mut scene = Scene::new(0);
    scene.add(0, "2.0", "full");
    scene.add(2, "1.2", "partial");
    assert_eq!(scene.starts(5), "0");
    scene.add(4, "2.0", "full");
    assert_eq!(scene.starts(6), "0");
    scene.add(2, "2.0", "full");
    assert_eq!(scene.starts(7), "0 2 4");
    scene.add(6, "2.0", "suspect");
    scene.add(8, "2.0", "full");
    assert_eq!(scene.starts(8), "0 2 4");
    assert_eq!(scene.starts(22), "0 2 4");
    // What follows it may follow it with a hole, which is as old as its end.
    assert_eq!(scene.starts(23), "0 2 4 6 |8");
    scene.add(6, "2.0", "full");
    scene.add(10, "2.0", "full");
    assert_eq!(scene.starts(24), "0 2 4 6 |8 10");
}

#[test]
fn the_target_duration_is_that_of_the_longest_lately() {
    let mut scene = Scene::new(0);
    scene.add(-30, "4.2", "full");
    for second in [0, 2, 4] {
        scene.add(second, "2.0", "full");
    }
    // The longest before the list's own start counts: its like will come again.
    assert_eq!(scene.poll(6).target_duration, 5);
    scene.add(6, "5.5", "full");
    assert_eq!(scene.poll(12).target_duration, 6);
    scene.add(11, "2.0", "full");
    assert_eq!(scene.poll(14).target_duration, 6);
}

#[test]
fn a_duration_that_nobody_makes_counts_if_it_is_listed() {
    let mut scene = Scene::new(0);
    // Before the start, and longer than any segment: an encoder's or a peer's mistake.
    scene.add(-900, "800.0", "suspect");
    scene.add(0, "2.0", "full");
    assert_eq!(scene.poll(2).target_duration, 2);
    scene.add(2, "70.0", "full");
    assert_eq!(scene.poll(90).target_duration, 70);
    // It hides nothing but what it claims to cover.
    scene.add(72, "100000000.0", "full");
    scene.poll(95);
    scene.view.slide(at(-60));
    assert_eq!(scene.poll(96).segments.len(), 3);
}

#[test]
fn no_old_hour_is_kept_whatever_comes_between() {
    let mut scene = Scene::new(0);
    for n in 0..400 {
        let start = n * 2;
        scene.add(start, "2.0", "full");
        if n % 3 == 0 {
            // The other node's date of the same: it is never listed.
            scene.add(start - 1, "2.0", "full");
        }
        if n % 20 == 10 {
            // It turns out to have been another: what was said of it stays as it is.
            let old = scene.segments.remove(scene.segments.len() - 4);
            let new = old.to_string().replace(HASH, &HASH.replace('4', "5"));
            scene
                .segments
                .push(Segment::parse(old.hour(), &new).unwrap());
        }
        scene.poll(start + 2);
    }
    assert_eq!(scene.poll(801).segments.len(), 400);
    let mut own = 0;
    for run in &scene.view.runs {
        if !Arc::ptr_eq(&run.lines, &scene.hours[&run.lines.hour()]) {
            assert_eq!((run.from, run.to), (0, run.lines.segments().len()));
            own += run.to;
        }
    }
    assert!(own > 0 && own <= 400 / 20, "{own}");
}

#[test]
fn where_all_has_gone_what_comes_then_does_not_join_on() {
    let mut scene = Scene::new(-60);
    scene.add(0, "2.0", "full");
    scene.add(2, "2.0", "full");
    assert_eq!(scene.starts(4), "0 2");
    scene.segments.clear();
    scene.hours.clear();
    scene.view.slide(DateTime::<Utc>::MAX_UTC);
    let empty = scene.poll(6);
    assert_eq!((empty.media_sequence, empty.segments.len()), (2, 0));
    scene.add(10, "2.0", "full");
    scene.poll(30);
    let next = scene.poll(50);
    assert_eq!((next.media_sequence, next.segments.len()), (2, 1));
    assert_eq!(next.discontinuity_sequence, 1);
}

#[test]
fn a_segment_of_no_length_is_listed_once() {
    let mut scene = Scene::new(-1);
    scene.add(0, "0.0", "full");
    for now in [1, 20, 40] {
        assert_eq!(scene.starts(now), "0");
    }
    scene.add(1, "0.005", "suspect");
    assert_eq!(scene.starts(41), "0");
    for now in [56, 60, 80] {
        assert_eq!(scene.starts(now), "0 |1");
    }
}

/// Segments of 2 s, each with when it arrives (in seconds after its end, late or not at all), and
/// whether only the beginning of it arrives first.
fn arrivals() -> impl Strategy<Value = Vec<(Option<i64>, bool)>> {
    let delay = prop_oneof![
        12 => (0_i64..3).prop_map(Some),
        2 => (0_i64..20).prop_map(Some),
        1 => (15_i64..60).prop_map(Some),
        1 => Just(None),
    ];
    prop::collection::vec((delay, prop::bool::weighted(0.1)), 1..40)
}

proptest! {
    #[test]
    fn no_poll_contradicts_an_earlier_one(
        arrivals in arrivals(),
        polls in prop::collection::vec(1_i64..8, 1..40),
        slide_after in 0_i64..200,
    ) {
        let mut scene = Scene::new(-5);
        let mut arrived = vec![(false, false); arrivals.len()];
        let mut now = 0;
        // What a player knows: by number, the line and how many discontinuities came before it.
        let mut known: BTreeMap<u64, (String, u64)> = BTreeMap::new();
        let (mut sequence, mut target) = (0, 0);
        for wait in polls {
            now += wait;
            for (index, (delay, cut)) in arrivals.iter().enumerate() {
                let start = index as i64 * 2;
                let comes = delay.map(|delay| start + 2 + delay);
                if *cut && !arrived[index].0 && now >= start + 2 {
                    arrived[index].0 = true;
                    scene.add(start, "1.0", "partial");
                }
                if !arrived[index].1 && comes.is_some_and(|comes| now >= comes) {
                    arrived[index].1 = true;
                    scene.add(start, "2.0", "full");
                }
            }
            if now > slide_after {
                scene.view.slide(at(now - 30));
            }
            let playlist = scene.poll(now);
            prop_assert!(playlist.media_sequence >= sequence);
            // What was cut short may have been all there was; longer than any before, it grows.
            prop_assert!((target..=2).contains(&playlist.target_duration));
            sequence = playlist.media_sequence;
            target = playlist.target_duration;
            let mut discontinuities = playlist.discontinuity_sequence;
            let mut last = None;
            for (number, segment) in (sequence..).zip(&playlist.segments) {
                discontinuities += u64::from(segment.discontinuity);
                let told = (segment.uri.clone(), discontinuities);
                let before = known.entry(number).or_insert_with(|| told.clone());
                prop_assert_eq!(&*before, &told, "number {}", number);
                prop_assert!(Some(&segment.uri) > last, "out of order");
                last = Some(&segment.uri);
                if segment.discontinuity {
                    // Whatever was missing here had its time.
                    let start = segment.program_date_time.unwrap().to_utc();
                    prop_assert!(at(now) - start >= HOLD_BACK);
                }
            }
            // Nothing that was listed vanishes but at the beginning.
            let end = sequence + playlist.segments.len() as u64;
            prop_assert!(known.keys().next_back().is_none_or(|last| *last < end));
        }
    }
}
