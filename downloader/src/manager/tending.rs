//! The workers of one rendition: who follows whom.

use std::sync::Arc;

use common::names::Quality;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Manager, Run};
use crate::metrics;
use crate::provider::Source;
use crate::rendition::Rendition;
use crate::watch::{WatchedWorker, Working};
use crate::worker::{Event, Report, Worker};

/// A worker that polls.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) generation: u64,
    pub(super) since: Instant,
    pub(super) retire: CancellationToken,
}

/// A rendition and its workers.
#[derive(Debug)]
pub(super) struct Tended {
    pub(super) rendition: Arc<Rendition>,
    /// Those that poll, oldest first: two during a hand-over.
    pub(super) live: Vec<Live>,
    pub(super) generation: u64,
    /// True iff its newest worker has asked for a successor.
    pub(super) wants_successor: bool,
    /// True iff that one's server wants to be left alone.
    pub(super) refused: bool,
    /// How many workers in a row never had a good poll.
    pub(super) failed: u32,
    /// Which of its URLs is in use, counted on and on. It stays until that one fails or stands
    /// still: one that works is not left for one that was found wanting before.
    pub(super) place: usize,
}

impl Tended {
    /// One that has no worker yet.
    fn new(manager: &Manager, quality: &Quality) -> Tended {
        Tended {
            rendition: Arc::new(Rendition::new(
                manager.client.clone(),
                &manager.store,
                manager.channel.clone(),
                quality.clone(),
                manager.timing,
                manager.playlist_debug,
            )),
            live: Vec::new(),
            generation: 0,
            wants_successor: false,
            refused: false,
            failed: 0,
            place: 0,
        }
    }

    /// True iff another worker is wanted beside its newest one.
    pub(super) fn needs_another(&self) -> bool {
        self.wants_successor || self.refused
    }
}

impl Run {
    /// Gives a rendition a new worker, if it needs one.
    pub(super) fn tend(&mut self, source: Source) {
        let manager = &self.manager;
        let max_age = manager.max_age;
        let tended = self
            .tended
            .entry(source.quality.clone())
            .or_insert_with(|| {
                metrics::register(&manager.channel, &source.quality);
                Tended::new(manager, &source.quality)
            });
        let newest = tended.live.last();
        let is_old = newest.is_some_and(|n| max_age.is_some_and(|age| n.since.elapsed() >= age));
        if newest.is_some() && !tended.needs_another() && !is_old {
            return;
        }
        // Where all want to be left alone, whoever polls there asks again when it may.
        let Some(place) = tended.rendition.place(&source.urls, tended.place) else {
            return;
        };
        let Some(url) = source.urls.get(place % source.urls.len()) else {
            return;
        };
        tended.place = place;
        // One that works and one that may: whoever stood between never worked.
        for between in tended.live.drain(1.min(tended.live.len())..) {
            between.retire.cancel();
        }
        tended.wants_successor = false;
        tended.refused = false;
        tended.generation += 1;
        let retire = CancellationToken::new();
        tended.live.push(Live {
            generation: tended.generation,
            since: Instant::now(),
            retire: retire.clone(),
        });
        let name = (manager.channel.clone(), source.quality.clone());
        let watched = WatchedWorker::new(name, tended.generation, url, retire.clone());
        let worker = Worker {
            working: Working::begin(Arc::clone(&self.watched), Arc::new(watched)),
            rendition: Arc::clone(&tended.rendition),
            url: url.clone(),
            generation: tended.generation,
            reports: self.reports.clone(),
            retired: retire,
            shutdown: self.shutdown.clone(),
            distrusts_skew: manager.provider.distrusts_skew(),
            max_getters: manager.provider.max_getters(),
        };
        tracing::debug!(channel = %manager.channel, quality = %source.quality, generation = worker.generation, url = %common::http::shown(url), "starting a worker");
        self.workers.spawn(worker.run());
    }

    /// Does what a worker's report asks for.
    pub(super) fn take_report(&mut self, quality: &Quality, report: Report) {
        let Some(tended) = self.tended.get_mut(quality) else {
            return;
        };
        // Of those that poll: a successor that has ended relieves nobody.
        let newest = tended.live.last().map(|live| live.generation);
        let is_newest = newest == Some(report.generation);
        match report.event {
            Event::WantsSuccessor if is_newest => tended.wants_successor = true,
            Event::WantsAnotherPlace if is_newest => {
                tended.place = tended.place.wrapping_add(1);
                tended.wants_successor = true;
            }
            Event::Refused if is_newest => {
                tended.place = tended.place.wrapping_add(1);
                tended.refused = true;
            }
            // Nobody had a place for another: now none is needed.
            Event::AnswersAgain if is_newest => tended.refused = false,
            // Its successor is on the way already.
            Event::WantsSuccessor
            | Event::WantsAnotherPlace
            | Event::Refused
            | Event::AnswersAgain => {}
            Event::Works => {
                tended.failed = 0;
                let (older, newer) = tended
                    .live
                    .drain(..)
                    .partition::<Vec<Live>, _>(|live| live.generation < report.generation);
                tended.live = newer;
                for live in older {
                    tracing::debug!(channel = %self.manager.channel, %quality, generation = live.generation, "a worker is relieved");
                    live.retire.cancel();
                }
            }
            Event::Ended { worked } => {
                tended
                    .live
                    .retain(|live| live.generation != report.generation);
                if !worked {
                    tended.failed = tended.failed.saturating_add(1);
                }
                // Not one that had to make way for another before it could show anything.
                if !worked && is_newest {
                    tended.place = tended.place.wrapping_add(1);
                }
            }
        }
    }
}
