//! What is missing of the last hours, whoever should have got it: the recorder or, since then, a
//! peer. On the page of metrics, so that an operator sees it before an editor does.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use common::metrics;
use common::segment::{Hour, Segment};
use common::selection::{TimeRange, select};
use common::store::{Store, StoreError};
use prometheus::{GaugeVec, IntGaugeVec};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::hls::HourLines;
use crate::index::{Index, IndexError, Rendition};
use crate::renditions::{readable, videos};

/// Between two looks: all but the newest hour are in the index, and that is read for players
/// more often.
const INTERVAL: Duration = Duration::from_secs(10);

/// So far back. What no peer had by then, none will have.
const WINDOW: TimeDelta = TimeDelta::hours(6);

/// More than any node has; further ones are left out, and said.
const MAX_RENDITIONS: usize = 200;

const LABELS: &[&str] = &["channel", "quality"];

static HOLES: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    let help = "Holes between the first and the newest segment of the last six hours";
    metrics::gauge("recording_holes", help, LABELS)
});

static SECONDS: LazyLock<GaugeVec> = LazyLock::new(|| {
    let help = "Seconds that no segment covers between the first and the newest segment of the last six hours";
    metrics::float_gauge("recording_hole_seconds", help, LABELS)
});

/// A channel and a quality.
type Labels = [String; 2];

/// The holes of a stretch.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Holes {
    count: usize,
    seconds: f64,
}

impl Holes {
    /// Between the first of some segments and the last, which are the best of their hours, in
    /// order of time.
    fn of(segments: &[&Segment]) -> Holes {
        let (Some(first), Some(last)) = (segments.first(), segments.last()) else {
            return Holes::default();
        };
        // Up to the start of the last one, which may be cut short: what follows it is not known.
        let range = TimeRange {
            start: first.start(),
            end: last.start(),
        };
        if range.start >= range.end {
            return Holes::default();
        }
        let selection = select(range, segments.iter().copied());
        let micros = |hole: common::selection::Hole| (hole.end - hole.start).num_microseconds();
        let micros: i64 = selection.holes().filter_map(micros).sum();
        Holes {
            count: selection.holes().count(),
            seconds: micros as f64 / 1e6,
        }
    }
}

/// Looks for holes.
#[derive(Debug)]
pub(crate) struct Watcher {
    store: Store,
    index: Index<HourLines>,
    /// What is on the page.
    shown: HashSet<Labels>,
    /// True iff the last look failed: it is said once.
    failing: bool,
}

impl Watcher {
    /// One that has not looked yet.
    pub(crate) fn new(store: Store, index: Index<HourLines>) -> Watcher {
        Watcher {
            store,
            index,
            shown: HashSet::new(),
            failing: false,
        }
    }

    /// Keeps the gauges true until `shutdown`.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        loop {
            let looked = tokio::task::spawn_blocking(move || {
                self.look(Utc::now());
                self
            });
            tokio::select! {
                looked = looked => match looked {
                    Ok(watcher) => self = watcher,
                    Err(error) => {
                        tracing::error!(%error, "the look for holes crashed");
                        return;
                    }
                },
                () = shutdown.cancelled() => return,
            }
            tokio::select! {
                () = sleep(INTERVAL) => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    fn look(&mut self, now: DateTime<Utc>) {
        let (all, failing) = match self.all(now) {
            Ok(all) => (all, false),
            Err(error) => {
                if !self.failing {
                    tracing::warn!(%error, "cannot look for holes");
                }
                (Vec::new(), true)
            }
        };
        self.failing = failing;
        let mut shown = HashSet::new();
        for (labels, holes) in all {
            HOLES
                .with_label_values(&labels)
                .set(i64::try_from(holes.count).unwrap_or(i64::MAX));
            SECONDS.with_label_values(&labels).set(holes.seconds);
            shown.insert(labels);
        }
        for gone in self.shown.difference(&shown) {
            // An error says that it is gone already.
            let _ = HOLES.remove_label_values(gone);
            let _ = SECONDS.remove_label_values(gone);
        }
        self.shown = shown;
    }

    /// The holes of every rendition that has anything in the last hours.
    fn all(&self, now: DateTime<Utc>) -> Result<Vec<(Labels, Holes)>, StoreError> {
        let mut all = Vec::new();
        for rendition in videos(&self.store, usize::MAX)? {
            if all.len() == MAX_RENDITIONS {
                tracing::debug!("there are too many qualities to look for holes in all");
                break;
            }
            if let Some(holes) = readable(self.of(&rendition, now)) {
                let Rendition { channel, quality } = &*rendition;
                all.push(([channel.to_string(), quality.to_string()], holes));
            }
        }
        Ok(all)
    }

    fn of(
        &self,
        rendition: &Arc<Rendition>,
        now: DateTime<Utc>,
    ) -> Result<Option<Holes>, IndexError> {
        let from = now - WINDOW;
        let hours: Vec<Hour> =
            std::iter::successors(Some(Hour::of(from)), |hour| Some(hour.next()))
                // A clock that is ahead by less than an hour.
                .take_while(|hour| *hour <= Hour::of(now).next())
                .collect();
        let hours = self.index.hours(rendition, &hours)?;
        let segments = hours.iter().flat_map(|hour| hour.segments());
        let recent: Vec<&Segment> = segments.filter(|s| s.start() >= from).collect();
        Ok((!recent.is_empty()).then(|| Holes::of(&recent)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::selection::best_of_hour;

    fn holes(names: &[&str]) -> Holes {
        let hour: Hour = "2026-11-14T18".parse().unwrap();
        let hash = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
        let read = |name: &&str| Segment::parse(hour, &format!("{name}-{hash}.ts")).unwrap();
        let best = best_of_hour(names.iter().map(read).collect(), |_| 0);
        Holes::of(&best.iter().collect::<Vec<_>>())
    }

    #[test]
    fn holes_lie_between_the_first_and_the_last_segment() {
        let table: [(&[&str], usize, f64); 5] = [
            (&[], 0, 0.0),
            (&["10:00.0-2.0-full"], 0, 0.0),
            (
                &["10:00.0-2.0-full", "10:02.0-2.0-full", "10:04.0-2.0-full"],
                0,
                0.0,
            ),
            (
                &["10:00.0-2.0-full", "10:04.5-2.0-full", "10:06.5-2.0-full"],
                1,
                2.5,
            ),
            // Cut short: a hole before the next one, and how long nobody knows; what follows the
            // last is no hole.
            (
                &[
                    "10:00.0-2.0-partial",
                    "10:02.0-2.0-full",
                    "10:08.0-1.0-partial",
                ],
                2,
                4.0,
            ),
        ];
        for (names, count, seconds) in table {
            assert_eq!(holes(names), Holes { count, seconds }, "{names:?}");
        }
    }

    #[test]
    fn the_page_has_what_has_anything_in_the_last_hours_and_nothing_else() {
        let base = tempfile::tempdir().unwrap();
        let store = Store::new(base.path());
        let mut watcher = Watcher::new(store.clone(), Index::new(store, 1 << 20));
        let now: DateTime<Utc> = "2026-11-14T20:00:00Z".parse().unwrap();
        let hash = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
        let hour = base.path().join("holed/source/2026-11-14T18");
        std::fs::create_dir_all(&hour).unwrap();
        for start in ["10:00.0", "10:05.0"] {
            std::fs::write(hour.join(format!("{start}-2.0-full-{hash}.ts")), "").unwrap();
        }
        let seconds = || {
            let page = String::from_utf8(metrics::page()).unwrap();
            let name = "recording_hole_seconds{channel=\"holed\",quality=\"source\"} ";
            page.lines()
                .find_map(|line| line.strip_prefix(name).map(str::to_owned))
        };
        watcher.look(now);
        assert_eq!(seconds().as_deref(), Some("3"));
        // A peer fills it.
        std::fs::write(hour.join(format!("10:02.0-3.0-full-{hash}.ts")), "").unwrap();
        watcher.look(now);
        assert_eq!(seconds().as_deref(), Some("0"));
        watcher.look(now + TimeDelta::hours(7));
        assert_eq!(seconds(), None);
    }
}
