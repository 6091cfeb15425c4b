//! A day of footage: names, selection, and playlists over HTTP.

use std::fs;
use std::hint::black_box;
use std::time::{Duration, Instant};

use chrono::NaiveDateTime;
use common::segment::{Hour, Segment};
use common::selection::{TimeRange, best_of_hour, select};
use tests::content::{sha256_base64, ts_bytes};
use tests::node::Node;
use tests::playlist::Summary;

use crate::report::{median, middle, ms, row, say};

/// A day of segments of 2 s.
const HOURS: usize = 24;
const PER_HOUR: usize = 1800;
/// So many times each thing is measured; the median counts.
const RUNS: usize = 15;
/// So many times what needs a new process is measured.
const STARTS: usize = 5;

/// Runs this part.
pub(crate) async fn run() {
    let day = Day::new();
    say("names and selection, 24 h of 2 s segments (43,200):");
    names(&day);
    selection(&day);
    say("\nplaylists over HTTP, one connection each:");
    playlists(&day).await;
}

/// A day of segments on disk: 43,200 names, one content.
struct Day {
    node: Node,
    first: Hour,
    /// By hour.
    names: Vec<(Hour, Vec<String>)>,
}

impl Day {
    fn new() -> Day {
        let node = Node::new("bench");
        let first: Hour = "2026-01-02T00".parse().expect("an hour");
        let content = node.base_dir().join(".content");
        fs::write(&content, ts_bytes(1, 188 * 100)).expect("a file");
        let mut names = Vec::new();
        let mut hour = first;
        for number in 0..HOURS {
            let directory = node.base_dir().join("test/source").join(hour.to_string());
            fs::create_dir_all(&directory).expect("a directory");
            let of_hour: Vec<String> = (0..PER_HOUR).map(|n| name(number, n)).collect();
            for name in &of_hour {
                fs::hard_link(&content, directory.join(name)).expect("a hard link");
            }
            names.push((hour, of_hour));
            hour = hour.next();
        }
        Day { node, first, names }
    }

    fn parsed(&self) -> Vec<Vec<Segment>> {
        let hours = self.names.iter().map(|(hour, names)| {
            let parse = |name: &String| Segment::parse(*hour, name).expect("a segment's name");
            names.iter().map(parse).collect()
        });
        hours.collect()
    }
}

/// A name like those that are met, with a hash of its own.
fn name(hour: usize, n: usize) -> String {
    let hash = sha256_base64(format!("{hour} {n}").as_bytes());
    let seconds = n * 2;
    format!(
        "{:02}:{:02}.000000-2.0-full-{hash}.ts",
        seconds / 60,
        seconds % 60
    )
}

fn names(day: &Day) {
    let count = (HOURS * PER_HOUR) as f64;
    let ours = median(RUNS, || {
        for (hour, names) in &day.names {
            for name in names {
                black_box(Segment::parse(*hour, black_box(name)).expect("a name"));
            }
        }
    });
    // What a general date parser alone takes, before anything else of the name is looked at.
    let general = median(RUNS, || {
        for (hour, names) in &day.names {
            for name in names {
                let text = format!("{hour}:{}", &name[..12]);
                let time = NaiveDateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M:%S%.f");
                black_box(time.expect("a time"));
            }
        }
    });
    let per_second = |time: Duration| count / time.as_secs_f64() / 1e6;
    row(
        "names parsed",
        "M/s",
        per_second(ours),
        "chrono, the time alone",
        per_second(general),
        true,
    );
}

fn selection(day: &Day) {
    let parsed = day.parsed();
    let best = || -> Vec<Segment> {
        let hours = parsed
            .iter()
            .flat_map(|hour| best_of_hour(hour.clone(), |_| 0));
        hours.collect()
    };
    let ranking = median(RUNS, || drop(black_box(best())));
    let best = best();
    let range = TimeRange {
        start: day.first.start(),
        end: day.first.start() + chrono::TimeDelta::hours(24),
    };
    let walking = median(RUNS, || {
        assert_eq!(
            select(range, black_box(&best)).pieces().len(),
            HOURS * PER_HOUR
        );
    });
    say(&format!(
        "  {:<42} {:>9.2} ms",
        "best of each start (with a copy)",
        ms(ranking)
    ));
    say(&format!(
        "  {:<42} {:>9.2} ms",
        "selection for 24 h",
        ms(walking)
    ));
}

/// What the system that this one replaces needs, as measured before on a machine of this kind
/// (issue 2): it cannot be had here.
const ORIGINAL: [(usize, f64, f64); 2] = [(24, 1050.0, 1050.0), (1, 75.0, 38.0)];

async fn playlists(day: &Day) {
    for (hours, original_first, original_repeated) in ORIGINAL {
        let end = day.first.start() + chrono::TimeDelta::hours(hours as i64);
        let target = format!(
            "/playlist/test/source.m3u8?start={}:00&end={}",
            day.first,
            end.format("%Y-%m-%dT%H:%M")
        );
        let (mut first, mut repeated) = (Vec::new(), Vec::new());
        for _ in 0..STARTS {
            let mut node = Node::at("bench", day.node.base_dir());
            node.start_restreamer().await;
            let once = async || {
                let begun = Instant::now();
                let answer = node.get(&target).await;
                let time = begun.elapsed();
                assert_eq!(answer.status, 200);
                assert_eq!(Summary::read(&answer.text()).segments, hours * PER_HOUR);
                time
            };
            first.push(once().await);
            for _ in 0..RUNS {
                repeated.push(once().await);
            }
        }
        for (what, times, original) in [
            ("first", &mut first, original_first),
            ("repeated", &mut repeated, original_repeated),
        ] {
            let ours = ms(middle(times));
            row(
                &format!("{hours} h playlist, {what}"),
                "ms",
                ours,
                "the original, before",
                original,
                false,
            );
        }
    }
}
