//! Backfilling: an hour of segments of real MPEG-TS into an empty directory, from our restreamer
//! and from nginx, beside the download tools that people know; and the plan for a week that both
//! nodes have.
//!
//! Every contender gets the same files from the same nginx, in turns, with the page cache warm.
//! All but ours check nothing; ours hashes every byte and has it on the disk before it counts.

mod contenders;
mod hour;
mod plan;

use std::path::Path;
use std::time::Duration;

use self::contenders::{Contender, run_timed};
use self::hour::Hour;
use crate::report::{median, say};

/// So many times each contender has its turn; the median counts. `RUNS` in the environment is
/// another number.
const RUNS: usize = 3;

/// Downloads at once.
const AT_ONCE: [usize; 2] = [5, 25];

/// Runs this part.
pub(crate) async fn run() {
    plan::run();
    let runs = std::env::var("RUNS")
        .ok()
        .and_then(|runs| runs.parse().ok());
    let runs: usize = runs.unwrap_or(RUNS);
    let hour = Hour::make().await;
    let megabytes = hour.bytes() as f64 / 1e6;
    let hashing = median(3, || hour.hash()).as_secs_f64();
    say(&format!(
        "backfilling {} segments of {:.2} MB, medians of {runs}; SHA-256 of it all takes {hashing:.2} s of CPU:",
        hour.count(),
        megabytes / hour.count() as f64
    ));
    let places = [
        ("tmpfs", Path::new("/dev/shm")),
        ("disk", Path::new(env!("CARGO_MANIFEST_DIR"))),
    ];
    for (name, place) in places {
        let place = match name {
            "disk" => place.join("../target"),
            _ => place.to_owned(),
        };
        for at_once in AT_ONCE {
            say(&format!(
                "  into {name}, {at_once} at once              MB/s    CPU s   beside rclone: speed    CPU"
            ));
            table(&hour, &place, at_once, runs).await;
        }
    }
}

/// One table: every contender, in turns.
async fn table(hour: &Hour, place: &Path, at_once: usize, runs: usize) {
    let contenders = Contender::all();
    let mut figures: Vec<Vec<(Duration, Duration)>> = vec![Vec::new(); contenders.len()];
    for _ in 0..runs {
        for (contender, figures) in contenders.iter().zip(&mut figures) {
            match run_timed(*contender, hour, place, at_once).await {
                Ok(figure) => figures.push(figure),
                Err(why) => say(&format!("    {:<28} failed: {why}", contender.name())),
            }
        }
    }
    let megabytes = hour.bytes() as f64 / 1e6;
    let of = |figures: &[(Duration, Duration)]| {
        let middle = |mut times: Vec<Duration>| {
            times.sort_unstable();
            times
                .get(times.len() / 2)
                .map_or(f64::NAN, Duration::as_secs_f64)
        };
        let wall = middle(figures.iter().map(|figure| figure.0).collect());
        let cpu = middle(figures.iter().map(|figure| figure.1).collect());
        (megabytes / wall, cpu)
    };
    let rclone = contenders.iter().zip(&figures);
    let rclone = rclone.filter(|(contender, _)| **contender == Contender::Rclone);
    let rclone = rclone.map(|(_, figures)| of(figures)).next();
    let (speed_of_rclone, cpu_of_rclone) = rclone.unwrap_or((f64::NAN, f64::NAN));
    for (contender, figures) in contenders.iter().zip(&figures) {
        let (speed, cpu) = of(figures);
        say(&format!(
            "    {:<28} {speed:>9.0} {cpu:>8.2} {:>22.2} {:>6.2}",
            contender.name(),
            speed / speed_of_rclone,
            cpu / cpu_of_rclone
        ));
    }
}
