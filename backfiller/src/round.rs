//! A round at one peer: its hours, then hour by hour what is missing, and the downloads of it.
//! No more than an hour's list is in memory at any time. All that it knows of the world comes
//! through a [`Site`], so that a test can replay a bad day.

mod error;
mod fetching;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use common::names::{Channel, Quality};
use common::segment::Hour;
use rand::Rng;
use rand::seq::SliceRandom;

pub use self::error::RoundError;
use crate::claims::Held;
use crate::item::{ExtrasDirectory, Item, Place};
use crate::journal::{Journal, Matter, Novelty};
use crate::options::Options;
use crate::plan::{self, Rules};
use crate::queue::{Next, Queue};
use crate::refusals::Refusals;
pub use crate::report::Report;
use crate::site::Site;
use crate::{metrics, missing};

/// After so many hours that were left so, without a file in between, the round is over.
const MOST_REFUSED: usize = 3;

/// After so many lists in a row without an answer, the peer is taken for dead. Fewer may be an hour
/// that it cannot read: that hides no other.
const MOST_SILENT: usize = 3;

/// So many failures are worth a line of warning in one round; the line at its end has the
/// number of segments that failed.
const MOST_WARNINGS: usize = 20;

/// A round that is to be done.
#[derive(Debug, Clone, Copy)]
pub struct Task<'a> {
    /// What we were told.
    pub options: &'a Options,
    /// The peer's name.
    pub peer: &'a str,
    /// What was said about it.
    pub journal: &'a Arc<Journal>,
    /// The files that it did not give in earlier rounds.
    pub refusals: &'a Refusals,
    /// True: waits, at the end, for files that other workers have in hand, and takes over if
    /// they fail or are slow, and asks for what was refused, too. False: does not wait long, and
    /// looks at the newest hours anew whenever an interval has passed.
    pub patient: bool,
}

/// Goes once through all that a peer has, but extras only if it is patient: those may take hours,
/// and new footage is not to wait for them. Dropping the future anywhere leaves no temporary file.
pub async fn run<S: Site, R: Rng>(site: &S, task: Task<'_>, rng: R) -> Report {
    let mut round = Round::new(site, task, rng);
    let outcome = round.everything().await;
    round.end(outcome).await
}

/// Fetches extras; begins with none when this time is over, and ends when the last one has come. Dropping
/// the future anywhere leaves no temporary file.
pub async fn extras<S: Site, R: Rng>(site: &S, task: Task<'_>, time: Duration, rng: R) -> Report {
    let mut round = Round::new(site, task, rng);
    round.look_again = Some(site.now() + delta(time));
    let outcome = round.extras().await;
    round.end(outcome).await
}

/// Goes through one hour of a quality. Dropping the future anywhere leaves no temporary file.
pub async fn hour<S: Site, R: Rng>(site: &S, task: Task<'_>, place: &Place, rng: R) -> Report {
    let mut round = Round::new(site, task, rng);
    let outcome = round.hour(place).await.map(|_| ());
    round.report.hours = 1;
    round.end(outcome).await
}

/// When to look at the newest hours anew; `None`: never.
fn look_again<S: Site>(site: &S, task: Task<'_>) -> Option<DateTime<Utc>> {
    (!task.patient).then(|| site.now() + delta(task.options.interval))
}

/// No interval is longer than a day.
fn delta(time: Duration) -> TimeDelta {
    TimeDelta::from_std(time).unwrap_or(TimeDelta::days(1))
}

/// A rendition and the hours that the peer has of it.
struct Listed {
    channel: Channel,
    quality: Quality,
    hours: BTreeSet<Hour>,
}

struct Round<'a, S, R> {
    site: &'a S,
    task: Task<'a>,
    rng: R,
    report: Report,
    /// What other workers had in hand when it was its turn.
    deferred: Vec<(Item, Held)>,
    /// The hours of which something was downloaded.
    backfilled: HashSet<Place>,
    warnings: usize,
    /// Lists in a row that got no answer.
    silent: usize,
    /// Hours of which the peer refused the files, since it sent one.
    refused: usize,
    look_again: Option<DateTime<Utc>>,
}

impl<'a, S: Site, R: Rng> Round<'a, S, R> {
    fn new(site: &'a S, task: Task<'a>, rng: R) -> Round<'a, S, R> {
        Round {
            site,
            task,
            rng,
            report: Report::default(),
            deferred: Vec::new(),
            backfilled: HashSet::new(),
            warnings: 0,
            silent: 0,
            refused: 0,
            look_again: look_again(site, task),
        }
    }

    /// Tries once more what other workers had in hand, unless it was of no use to go on.
    async fn end(mut self, outcome: Result<(), RoundError>) -> Report {
        let ended = match outcome {
            Ok(()) => self.deferred().await,
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            self.report.ended_early = true;
            self.failed(error);
        }
        self.report
    }

    async fn everything(&mut self) -> Result<(), RoundError> {
        let (mut listed, mut edge) = self.listed().await?;
        let mut queue = Queue::new(self.hours(&listed), self.task.options.order);
        let mut gone_through = BTreeSet::new();
        while let Some(next) = queue.next(self.is_late()) {
            let hour = match next {
                Next::Hour(hour) => hour,
                Next::Turn(hour) => {
                    self.look_again = look_again(self.site, self.task);
                    hour
                }
                Next::Look => {
                    let before = edge;
                    (listed, edge) = self.listed().await?;
                    // From now on: a peer that is slow to list still gets to an hour.
                    self.look_again = look_again(self.site, self.task);
                    queue.look_anew(&self.hours(&listed), before);
                    continue;
                }
            };
            // It was wanted when it was listed, which may be hours ago: now it is one that
            // `--delete-old` deletes, and to fetch it would have no end.
            if self.rules().is_too_old(hour) {
                continue;
            }
            let before = (self.report.segments, self.report.failures);
            let (mut whole, mut failed) = (true, false);
            for listed in &listed {
                if !listed.hours.contains(&hour) {
                    continue;
                }
                let place = Place {
                    channel: listed.channel.clone(),
                    quality: listed.quality.clone(),
                    hour,
                };
                match self.hour(&place).await {
                    Err(error) => {
                        failed = true;
                        self.endured(error)?;
                    }
                    Ok(all) => whole &= all,
                }
            }
            // What is left of it comes after the newest hours, unless nothing of it can be had.
            if self.report.segments > before.0 {
                if !whole {
                    queue.go_on_with(hour);
                }
            } else if (failed || self.report.failures > before.1) && self.is_late() {
                queue.is_barren(hour);
            }
            gone_through.insert(hour);
            self.report.hours = gone_through.len();
        }
        match self.task.patient {
            true => self.extras().await,
            false => Ok(()),
        }
    }

    /// True iff it is time to look at the newest hours anew.
    fn is_late(&self) -> bool {
        self.look_again.is_some_and(|at| self.site.now() >= at)
    }

    fn hours(&mut self, listed: &[Listed]) -> Vec<Hour> {
        let rules = self.rules();
        let sets = listed.iter().map(|listed| &listed.hours);
        plan::hours(sets, &rules, &mut self.rng)
    }

    /// The hours of every channel and quality, and their live edge. One whose list is bad does
    /// not hide the others.
    async fn listed(&mut self) -> Result<(Vec<Listed>, Option<Hour>), RoundError> {
        let options = self.task.options;
        // Before anything is listed, and looked at even later.
        let now = self.site.now();
        let (mut all, mut silence) = (Vec::new(), None);
        for channel in &options.channels {
            for quality in &options.qualities {
                match self.site.hours(channel, quality).await {
                    Ok(hours) => {
                        self.silent = 0;
                        let listed = Listed {
                            channel: channel.clone(),
                            quality: quality.clone(),
                            hours,
                        };
                        self.forget_all_but(&listed);
                        all.push(listed);
                    }
                    // One of them is the reason if there is none of them.
                    Err(error) if error.is_silence() && all.is_empty() && silence.is_none() => {
                        self.silent += 1;
                        silence = Some(error);
                    }
                    Err(error) => {
                        if error.is_not_found() {
                            self.forget_all_but(&Listed {
                                channel: channel.clone(),
                                quality: quality.clone(),
                                hours: BTreeSet::new(),
                            });
                        }
                        self.endured(error)?;
                    }
                }
            }
        }
        match silence {
            Some(error) if all.is_empty() => return Err(error),
            Some(error) => self.failed(error),
            None => {}
        }
        let edge = plan::live_edge(
            all.iter().map(|listed| &listed.hours),
            &Rules::new(options, now),
            now,
        );
        Ok((all, edge))
    }

    /// Forgets what earlier rounds found missing of hours that the peer has no more, or that are too
    /// old by now. Another list that cannot be had says nothing of these.
    fn forget_all_but(&self, listed: &Listed) {
        let rules = self.rules();
        missing::retain(self.task.peer, |place| {
            let is_of_list = (&place.channel, &place.quality) == (&listed.channel, &listed.quality);
            let is_there = listed.hours.contains(&place.hour) && !rules.is_too_old(place.hour);
            !is_of_list || is_there
        });
    }

    /// Plans an hour of a quality and downloads what is missing. True iff all of it was tried.
    async fn hour(&mut self, place: &Place) -> Result<bool, RoundError> {
        let mut missing = self.site.missing(place, &self.rules()).await?;
        self.silent = 0;
        let is_tombstone = |item: &Item| matches!(item, Item::Tombstone(..));
        let files = missing.partition_point(is_tombstone);
        // Workers of different peers seldom collide then.
        missing[files..].shuffle(&mut self.rng);
        self.report
            .plan(self.task.peer, place, missing.len() - files);
        self.complete(missing).await
    }

    async fn extras(&mut self) -> Result<(), RoundError> {
        for directory in &self.task.options.extras {
            let outcome = match self.site.missing_extras(directory).await {
                Ok(mut missing) => {
                    // Each has its turn, if there is time for a few of them only.
                    missing.shuffle(&mut self.rng);
                    self.complete(missing).await
                }
                Err(error) => Err(error),
            };
            match outcome {
                Err(error) if error.is_not_found() => self.no_extras(directory),
                Err(error) => self.endured(error)?,
                Ok(_) => {}
            }
        }
        Ok(())
    }

    /// Not every peer has extras, or the route to list them: there is nothing to fetch then.
    fn no_extras(&self, directory: &ExtrasDirectory) {
        let directory = directory.to_string();
        let novelty = self.task.journal.note(Matter::Failed, "extras", &directory);
        if novelty == Novelty::New {
            tracing::info!(directory, "the peer has no such extras");
        }
    }

    /// Notes that a part of the round failed, and gives the error back if going on is of no use.
    fn endured(&mut self, error: RoundError) -> Result<(), RoundError> {
        match error.is_silence() {
            true => self.silent += 1,
            false => self.silent = 0,
        }
        self.refused += usize::from(matches!(error, RoundError::Refused(_)));
        if error.ends_the_round() || self.silent >= MOST_SILENT || self.refused >= MOST_REFUSED {
            return Err(error);
        }
        self.failed(error);
        Ok(())
    }

    /// Notes that a part of the round failed. The line at its end has the first reason.
    fn failed(&mut self, error: RoundError) {
        self.count_error();
        if self.report.error.is_none() {
            self.report.error = Some(error);
            return;
        }
        if self.is_news(&error.to_string()) {
            tracing::warn!(%error, "this failed too");
        } else {
            tracing::debug!(%error, "this failed too");
        }
    }

    /// True iff a failure deserves a warning: it was not said before, and this round has not
    /// said too much already.
    fn is_news(&mut self, what: &str) -> bool {
        let journal = self.task.journal;
        let news =
            self.warnings < MOST_WARNINGS && journal.note(Matter::Failed, "", what) == Novelty::New;
        self.warnings += usize::from(news);
        news
    }

    fn count_error(&self) {
        let errors = &metrics::BACKFILL_ERRORS;
        errors.with_label_values(&[self.task.peer]).inc();
    }

    fn rules(&self) -> Rules {
        Rules::new(self.task.options, self.site.now())
    }
}
