//! One worker for each peer: rounds, and the pauses between them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use common::timing::{backoff, jitter};
use futures::FutureExt;
use futures::future::{BoxFuture, Fuse, FusedFuture};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::time::{Instant, sleep};

use crate::Context;
use crate::peers::Peer;
use crate::remote::Remote;
use crate::round::{self, Report, Task};
use crate::site::{RealSite, Target};
use crate::watch::Watched;
use crate::{metrics, missing};

/// A round that took longer than the interval is followed by the next after this.
const SHORTEST_PAUSE: Duration = Duration::from_secs(5);

/// A failing peer is tried again after this, doubled with each failure …
const FIRST_RETRY: Duration = Duration::from_secs(5);

/// … so many times at most (SPEC §6).
const DOUBLINGS: u32 = 4;

/// Extras that are being fetched, if any.
type Extras<'a> = Fuse<BoxFuture<'a, ()>>;

/// Fetches from one peer.
#[derive(Debug)]
pub struct Worker {
    context: Arc<Context>,
    watched: Arc<Watched>,
    task: common::tasks::Task,
}

impl Worker {
    /// A worker for a peer, which knows nothing of it yet.
    #[must_use]
    pub fn new(context: Arc<Context>, peer: &Peer) -> Worker {
        metrics::register_peer(peer.name());
        let stall = context.options.stall_timeout;
        let remote = Remote::new(context.client.clone(), peer.url().clone(), stall);
        let target = Target::new(peer.name(), remote);
        let watched = Arc::new(Watched::new(target, common::http::shown(peer.url())));
        context.peers.add(&watched);
        context.slots.expect(&watched.target.peer);
        let task = common::tasks::Task::begin("peer", || peer.name().to_owned());
        Worker {
            context,
            watched,
            task,
        }
    }

    /// Does rounds until it is dropped, and fetches extras beside them: begins with those in the pauses,
    /// and lets none that is under way, for hours maybe, keep a round waiting.
    pub async fn run(self) -> Infallible {
        let mut failures = 0;
        let mut extras = Extras::terminated();
        loop {
            if self.watched.is_paused() {
                extras = Extras::terminated();
                self.state("paused");
                self.watched.until_paused(false).await;
            }
            self.state("in a round");
            let start = Instant::now();
            let report = tokio::select! {
                report = beside(&mut extras, self.round(false)) => report,
                // A round leaves nothing behind wherever it is dropped.
                () = self.watched.until_paused(true) => continue,
            };
            failures = match report.error {
                Some(_) => failures + 1,
                None => 0,
            };
            let interval = self.context.options.interval;
            let pause = pause(interval, failures, start.elapsed());
            self.log(&report, start, Some(pause));
            self.watched.round_done(&report, start.elapsed(), failures);
            if !report.ended_early && extras.is_terminated() {
                extras = self.extras(pause).boxed().fuse();
            }
            self.state("waiting for the next round");
            tokio::select! {
                () = beside(&mut extras, sleep(pause)) => {}
                () = self.watched.hurried() => {}
                () = self.watched.until_paused(true) => {}
            }
        }
    }

    /// Does one round.
    pub async fn once(self) -> Report {
        self.state("in a round");
        let start = Instant::now();
        let report = self.round(true).await;
        self.log(&report, start, None);
        report
    }

    fn state(&self, state: &'static str) {
        self.task.state(state);
        self.watched.set_state(state);
        self.watched.target.set_place(None);
    }

    async fn round(&self, patient: bool) -> Report {
        let (site, task) = self.task(patient, false);
        let report = round::run(&site, task, rng()).await;
        self.watched.target.respite.round_over();
        report
    }

    /// Fetches extras, one at a time, and begins with none when the time is over.
    async fn extras(&self, time: Duration) {
        if self.context.options.extras.is_empty() {
            return;
        }
        let name = &self.watched.target.extras;
        let _expected = self.context.slots.expected(name);
        let start = Instant::now();
        let (site, task) = self.task(false, true);
        let report = round::extras(&site, task, time, rng()).await;
        let Report {
            segments,
            bytes,
            failures,
            error,
            ..
        } = report;
        let seconds = rounded(start.elapsed());
        let error = error.map(|error| error.to_string());
        let is_news = self.watched.extras_done(error.clone());
        match error {
            // Until they can be had again.
            Some(error) if !is_news => {
                tracing::debug!(segments, bytes, failures, seconds, error, "extras failed");
            }
            Some(error) => {
                tracing::warn!(segments, bytes, failures, seconds, error, "extras failed");
            }
            None if segments + failures > 0 => {
                tracing::info!(segments, bytes, failures, seconds, "extras done");
            }
            None => {}
        }
    }

    fn task(&self, patient: bool, beside: bool) -> (RealSite<'_>, Task<'_>) {
        let target = &self.watched.target;
        let site = RealSite {
            context: &self.context,
            target,
            beside,
        };
        let task = Task {
            options: &self.context.options,
            peer: &target.peer,
            journal: &target.journal,
            refusals: &target.refusals,
            patient,
        };
        (site, task)
    }

    fn log(&self, report: &Report, start: Instant, pause: Option<Duration>) {
        let Report {
            hours,
            missing,
            segments,
            bytes,
            failures,
            error,
            ..
        } = report;
        let seconds = rounded(start.elapsed());
        let rate = format!("{:.1} MB/s", *bytes as f64 / 1e6 / seconds.max(0.001));
        let by_hour = report.by_hour();
        match error {
            None => {
                tracing::info!(
                    hours,
                    missing,
                    segments,
                    bytes,
                    failures,
                    seconds,
                    rate,
                    by_hour,
                    "round done"
                );
            }
            Some(error) => {
                let retry = pause.map(rounded);
                tracing::warn!(
                    hours, missing, segments, bytes, failures, seconds, rate, by_hour, retry,
                    %error, "round failed"
                );
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The peer is gone: nobody knows what it has.
        missing::retain(&self.watched.target.peer, |_| false);
        self.context.slots.forget(&self.watched.target.peer);
        self.context.peers.remove(&self.watched);
    }
}

fn rng() -> StdRng {
    StdRng::from_rng(&mut rand::rng())
}

/// Does some work, and lets extras go on meanwhile.
async fn beside<T>(extras: &mut Extras<'_>, work: impl Future<Output = T>) -> T {
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = &mut *extras, if !extras.is_terminated() => {}
        }
    }
}

/// How long to wait after a round that took so long, the last of so many failed ones.
fn pause(interval: Duration, failures: u32, took: Duration) -> Duration {
    let shortest = SHORTEST_PAUSE.min(interval);
    match failures {
        0 => jitter(interval).saturating_sub(took).max(shortest),
        failures => backoff(FIRST_RETRY, failures, DOUBLINGS),
    }
}

/// Seconds to the millisecond.
fn rounded(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_those_of_the_specification() {
        // (interval, failures, seconds that the round took, pause at least, at most)
        let table = [
            (120, 0, 0, 108.0, 132.0),
            (120, 0, 100, 8.0, 32.0),
            (120, 0, 1000, 5.0, 5.0),
            (2, 0, 0, 1.8, 2.2),
            (2, 0, 10, 2.0, 2.0),
            (120, 1, 30, 4.5, 5.5),
            (120, 2, 30, 9.0, 11.0),
            (120, 5, 30, 72.0, 88.0),
            (120, 500, 30, 72.0, 88.0),
        ];
        for (interval, failures, took, least, most) in table {
            let interval = Duration::from_secs(interval);
            let pause = pause(interval, failures, Duration::from_secs(took)).as_secs_f64();
            assert!(
                (least..=most).contains(&pause),
                "{interval:?} {failures} {took}: {pause}"
            );
        }
    }
}
