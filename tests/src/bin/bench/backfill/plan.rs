//! The plan for 7 days of two equal nodes: nothing is missing, and that has to be cheap to find.

use std::hint::black_box;

use backfiller::options::Order;
use backfiller::plan::{self, Kind, Rules};
use common::segment::Hour;
use common::store::HourNames;
use tests::content::sha256_base64;

use crate::report::{median, ms, say};

const HOURS: usize = 7 * 24;
const PER_HOUR: u32 = 1800;

/// Runs this part.
pub(crate) fn run() {
    let rules = Rules {
        first_hour: None,
        recent_after: None,
        order: Order::Newest,
    };
    let first: Hour = "2026-01-02T00".parse().expect("an hour");
    let hours = std::iter::successors(Some(first), |hour| Some(hour.next()));
    let lists: Vec<(Hour, HourNames, String)> = hours.take(HOURS).map(list).collect();
    let plan = median(15, || {
        for (hour, here, _) in &lists {
            let plan = plan::hour(
                *hour,
                Kind::Video,
                black_box(here),
                black_box(&here.files),
                &rules,
            );
            assert_eq!(plan.here, here.files.len());
        }
    });
    let with_reading = median(15, || {
        for (hour, here, json) in &lists {
            let there: Vec<&str> = serde_json::from_str(black_box(json)).expect("a list");
            let plan = plan::hour(*hour, Kind::Video, black_box(here), &there, &rules);
            assert_eq!(plan.here, here.files.len());
        }
    });
    say(&format!(
        "the plan for 7 days of two equal nodes ({} names): {:.1} ms of CPU; with the reading of the peer's lists {:.1} ms",
        HOURS * PER_HOUR as usize,
        ms(plan),
        ms(with_reading)
    ));
}

fn list(hour: Hour) -> (Hour, HourNames, String) {
    let name = |n: u32| {
        let seconds = n * 2;
        let hash = sha256_base64(format!("{hour} {n}").as_bytes());
        let (minute, second) = (seconds / 60, seconds % 60);
        format!("{minute:02}:{second:02}.000000-2.0-full-{hash}.ts")
    };
    let files: Vec<String> = (0..PER_HOUR).map(name).collect();
    let json = serde_json::to_string(&files).expect("names are text");
    let here = HourNames {
        files,
        tombstones: Vec::new(),
    };
    (hour, here, json)
}
