//! `--run-once` on a terminal: a bar with what is done, how much is left, and how long that will
//! take. It shows what the metrics say, so that it knows nothing of the work.

use std::io::IsTerminal;
use std::time::Duration;

use common::terminal::StatusLine;
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::metrics;

/// Often enough for the eye.
const REFRESH: Duration = Duration::from_millis(200);

/// `len` grows as the listings of hours come in.
const TEMPLATE: &str = "{bar:30} {pos}/{len} segments, {msg}, {eta} left";

/// Shows a bar on standard error until `stop`, if that is a terminal.
#[must_use]
pub fn show(stop: &CancellationToken) -> Option<JoinHandle<()>> {
    if !std::io::stderr().is_terminal() {
        return None;
    }
    let style = ProgressStyle::with_template(TEMPLATE).ok()?;
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    let stop = stop.clone();
    Some(tokio::spawn(async move {
        let _line = StatusLine::begin();
        bar.set_style(style);
        let begun = Instant::now();
        let mut ticks = interval(REFRESH);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let done = Done::now();
            bar.set_length(done.segments + done.missing);
            bar.set_position(done.segments);
            bar.set_message(done.speed(begun.elapsed()));
        }
        bar.finish_and_clear();
    }))
}

/// How far the work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Done {
    segments: u64,
    missing: u64,
    bytes: u64,
}

impl Done {
    fn now() -> Done {
        Done {
            segments: sum(metrics::SEGMENTS_BACKFILLED.collect())
                + sum(metrics::EXTRAS_BACKFILLED.collect()),
            missing: sum(metrics::MISSING_SEGMENTS.collect()),
            bytes: sum(metrics::BYTES.collect()),
        }
    }

    fn speed(&self, time: Duration) -> String {
        let rate = self.bytes as f64 / time.as_secs_f64().max(0.001);
        format!("{}, {}/s", HumanBytes(self.bytes), HumanBytes(rate as u64))
    }
}

/// The sum over all labels of a counter or gauge.
fn sum(families: Vec<MetricFamily>) -> u64 {
    let metrics = families.iter().flat_map(MetricFamily::get_metric);
    let values =
        metrics.map(|metric| metric.get_counter().get_value() + metric.get_gauge().get_value());
    values.sum::<f64>() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_go_over_all_labels() {
        let counter = prometheus::IntCounterVec::new(prometheus::Opts::new("a", "b"), &["c"]);
        let counter = counter.unwrap();
        counter.with_label_values(&["x"]).inc_by(3);
        counter.with_label_values(&["y"]).inc_by(4);
        assert_eq!(sum(counter.collect()), 7);
        let done = Done {
            segments: 0,
            missing: 0,
            bytes: 3 << 20,
        };
        let speed = done.speed(Duration::from_secs(2));
        assert_eq!(speed, "3.00 MiB, 1.50 MiB/s");
    }
}
