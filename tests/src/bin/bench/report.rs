//! What every part of the benchmark needs: medians, and lines that a person reads.

use std::time::{Duration, Instant};

/// One line: our figure, the other's, and how many times better ours is.
pub(crate) fn row(
    what: &str,
    unit: &str,
    ours: f64,
    whose: &str,
    other: f64,
    more_is_better: bool,
) {
    let ratio = if more_is_better {
        ours / other
    } else {
        other / ours
    };
    say(&format!(
        "  {what:<42} {ours:>9.2} {unit:<4} {whose}: {other:.2} {unit}, {ratio:.1} times better"
    ));
}

pub(crate) fn median(runs: usize, mut work: impl FnMut()) -> Duration {
    work();
    let mut times: Vec<Duration> = (0..runs)
        .map(|_| {
            let begun = Instant::now();
            work();
            begun.elapsed()
        })
        .collect();
    middle(&mut times)
}

pub(crate) fn middle(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[expect(clippy::print_stdout, reason = "the benchmark speaks to a person")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}
