//! What a round sees of the world: a peer, this node's disk, and the clock.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Display;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use common::http::InProgress;
use common::names::{Channel, Quality};
use common::segment::{Hour, SegmentPath};
use common::store::{Stamp, Store};
use common::tasks::Task;
use reqwest::header::HeaderValue;
use tokio::time::{Instant, timeout_at};

use crate::Context;
use crate::claims::Held;
use crate::download::{self, DownloadError, Fetched};
use crate::item::{ExtraPath, ExtrasDirectory, Item, Place};
use crate::journal::{Journal, Matter, Novelty, shown};
use crate::metrics;
use crate::options::Options;
use crate::plan::{self, Action, Kind, Plan, Rules, Skip};
use crate::refusals::Refusals;
use crate::remote::{Listing, Remote, RemoteError};
use crate::respite::Respite;
use crate::round::RoundError;

/// So many hours are remembered for each peer as settled: those of six years.
const MOST_SETTLED: usize = 50_000;

/// The outside of a round at one peer. A simulation has another.
pub trait Site {
    /// The clock.
    fn now(&self) -> DateTime<Utc>;

    /// The hours that the peer has of a quality.
    ///
    /// # Errors
    /// If they cannot be listed.
    fn hours(
        &self,
        channel: &Channel,
        quality: &Quality,
    ) -> impl Future<Output = Result<BTreeSet<Hour>, RoundError>>;

    /// What of an hour is missing here.
    ///
    /// # Errors
    /// If it cannot be listed there or here.
    fn missing(
        &self,
        place: &Place,
        rules: &Rules,
    ) -> impl Future<Output = Result<Vec<Item>, RoundError>>;

    /// What of a directory of extras is missing here.
    ///
    /// # Errors
    /// If it cannot be listed there or here.
    fn missing_extras(
        &self,
        directory: &ExtrasDirectory,
    ) -> impl Future<Output = Result<Vec<Item>, RoundError>>;

    /// How many files to fetch at once.
    fn at_once(&self, options: &Options) -> usize {
        options.at_once()
    }

    /// Fetches a file from the peer, if it is still missing.
    ///
    /// # Errors
    /// [`DownloadError`]; nothing is left then.
    fn fetch(&self, item: &Item) -> impl Future<Output = Result<Fetched, DownloadError>>;

    /// Waits until a file that another worker has in hand may be fetched, or, if there is a
    /// limit, until then.
    fn free(&self, held: &Held, limit: Option<Instant>) -> impl Future<Output = ()> {
        async move {
            match limit {
                None => held.free().await,
                // If it is still in that hand, the next round comes for it.
                Some(limit) => timeout_at(limit, held.free()).await.unwrap_or_default(),
            }
        }
    }
}

/// A peer, and what is known of it from earlier rounds. Clones know the same.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its name.
    pub peer: Arc<str>,
    /// What its extras are called where slots are given out: they keep none from its segments.
    pub(crate) extras: Arc<str>,
    /// Its API.
    pub remote: Remote,
    /// What was said about it.
    pub journal: Arc<Journal>,
    /// The files that it did not give.
    pub refusals: Arc<Refusals>,
    /// How long it wants to be left alone.
    respite: Arc<Respite>,
    /// The hours of which there was nothing to do.
    settled: Arc<Mutex<HashMap<Place, Settled>>>,
    /// The hour that is looked at, for operators.
    place: Arc<Mutex<Option<Place>>>,
    hasher: RandomState,
}

/// An hour of which there was nothing to do: neither is there now, if neither side has changed.
#[derive(Debug, Clone)]
struct Settled {
    /// The directory here.
    here: Stamp,
    /// The peer's entity tag, if it gives any.
    tag: Option<HeaderValue>,
    /// A hash of the peer's list.
    body: u64,
}

impl Target {
    /// A peer of which nothing is known.
    #[must_use]
    pub fn new(name: &str, remote: Remote) -> Target {
        Target {
            peer: name.into(),
            extras: format!("{name} (extras)").into(),
            remote,
            journal: Arc::default(),
            refusals: Arc::default(),
            respite: Arc::default(),
            settled: Arc::default(),
            place: Arc::default(),
            hasher: RandomState::new(),
        }
    }

    /// The hour that is, or was last, looked at.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        let place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        place.clone()
    }

    /// Notes which hour is looked at.
    pub(crate) fn set_place(&self, place: Option<&Place>) {
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = place.cloned();
    }

    /// Logs and counts, once, a name that is none of ours.
    fn note_bad_name(&self, place: &str, name: &str, error: &dyn Display) {
        let novelty = self.journal.note(Matter::BadName, place, name);
        if novelty != Novelty::Known {
            metrics::BAD_NAMES.with_label_values(&[&*self.peer]).inc();
        }
        if novelty == Novelty::New {
            let name = shown(name);
            tracing::warn!(peer = &*self.peer, place, name, %error, "left a bad name");
        }
    }

    fn settled(&self, place: &Place) -> Option<Settled> {
        self.lock().get(place).cloned()
    }

    /// Notes that there is nothing to do about an hour, or that nobody knows.
    fn settle(&self, place: &Place, settled: Option<Settled>) {
        let mut all = self.lock();
        match settled {
            Some(settled) if all.len() < MOST_SETTLED || all.contains_key(place) => {
                all.insert(place.clone(), settled);
            }
            _ => {
                all.remove(place);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Place, Settled>> {
        // A poisoned map is still a map.
        self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A peer by HTTP, and the disk.
#[derive(Debug, Clone, Copy)]
pub struct RealSite<'a> {
    /// This node.
    pub context: &'a Context,
    /// The peer.
    pub target: &'a Target,
}

impl RealSite<'_> {
    /// Asks the peer for a list, later if it wants to be left alone now.
    async fn ask<T, F>(&self, ask: impl Fn() -> F) -> Result<T, RemoteError>
    where
        F: Future<Output = Result<T, RemoteError>>,
    {
        loop {
            self.target.respite.over().await;
            match ask().await {
                Err(error) if self.may_ask_again(error.come_again()) => {}
                Err(error) => return Err(error),
                Ok(answer) => {
                    self.target.respite.end();
                    return Ok(answer);
                }
            }
        }
    }

    /// Leaves the peer alone if it wishes so. True iff it may be asked for the same again after that.
    fn may_ask_again(&self, wish: Option<Duration>) -> bool {
        let Some(wish) = wish else {
            return false;
        };
        let peer = &*self.target.peer;
        metrics::BUSY.with_label_values(&[peer]).inc();
        // It may say anything; so long a pause is one that it has between rounds as well.
        let pause = wish.min(self.context.options.interval);
        let journal = &self.target.journal;
        if journal.note(Matter::Failed, "busy", "") == Novelty::New {
            let seconds = wish.as_secs();
            tracing::warn!(
                peer,
                seconds,
                "the peer has too much to do and wants to be left alone: so it is, for an interval at most"
            );
        }
        self.target.respite.begin(pause)
    }

    /// Fetches a file when there is a slot for it and the peer may be asked.
    async fn fetch_once(&self, item: &Item, task: &Task) -> Result<Fetched, DownloadError> {
        let taker = match item {
            Item::Extra(_) => &self.target.extras,
            _ => &self.target.peer,
        };
        let _slot = loop {
            task.state("leaving the peer alone, as it wishes");
            self.target.respite.over().await;
            // Before the file is in hand: whoever waits for a slot keeps it from nobody.
            task.state("waiting for one of --max-downloads");
            let slot = self.context.slots.acquire(taker).await;
            if !self.target.respite.is_on() {
                break slot;
            }
        };
        task.state("downloading");
        let gauge = metrics::IN_FLIGHT.with_label_values(&[&*self.target.peer]);
        let _in_flight = InProgress::new(gauge);
        let Target { peer, remote, .. } = self.target;
        download::item(self.context, (peer, remote), item).await
    }
}

impl Site for RealSite<'_> {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn at_once(&self, _: &Options) -> usize {
        self.context.at_once()
    }

    async fn hours(
        &self,
        channel: &Channel,
        quality: &Quality,
    ) -> Result<BTreeSet<Hour>, RoundError> {
        let remote = &self.target.remote;
        let listing = self.ask(|| remote.hours(channel, quality)).await?;
        let target = self.target.clone();
        let place = format!("{channel}/{quality}");
        let read = move || {
            let mut hours = BTreeSet::new();
            for name in listing.names()? {
                match name.parse::<Hour>() {
                    Ok(hour) => {
                        hours.insert(hour);
                    }
                    Err(error) => target.note_bad_name(&place, &name, &error),
                }
            }
            Ok(hours)
        };
        tokio::task::spawn_blocking(read).await?
    }

    async fn missing(&self, place: &Place, rules: &Rules) -> Result<Vec<Item>, RoundError> {
        self.target.set_place(Some(place));
        let store = &self.context.store;
        let known = self.target.settled(place);
        let directory = store.hour_directory(&place.channel, &place.quality, place.hour);
        let look = tokio::task::spawn_blocking(move || {
            let now = SystemTime::now();
            // What cannot be looked at is listed later, and the error is told then.
            let stamp = Stamp::of(&directory).ok().flatten();
            stamp.map(|stamp| (stamp, stamp.is_settled(now)))
        });
        let here = look.await?;
        // Of an hour that has changed here the peer's list is wanted, changed or not.
        let known = known.filter(|known| here.is_some_and(|(stamp, _)| stamp == known.here));
        let tag = known.as_ref().and_then(|known| known.tag.as_ref());
        let remote = &self.target.remote;
        let Some(listing) = self.ask(|| remote.hour(place, tag)).await? else {
            return Ok(Vec::new());
        };
        let body = self.target.hasher.hash_one(listing.body());
        if let Some(mut known) = known
            && known.body == body
        {
            known.tag = listing.tag().cloned();
            self.target.settle(place, Some(known));
            return Ok(Vec::new());
        }
        let tag = listing.tag().cloned();
        let compare = Compare {
            store: store.clone(),
            target: self.target.clone(),
            place: place.clone(),
            rules: *rules,
        };
        let work = move || compare.missing(&listing);
        let (missing, nothing) = tokio::task::spawn_blocking(work).await??;
        let settled = match here {
            Some((here, true)) if nothing => Some(Settled { here, tag, body }),
            _ => None,
        };
        self.target.settle(place, settled);
        Ok(missing)
    }

    async fn missing_extras(&self, directory: &ExtrasDirectory) -> Result<Vec<Item>, RoundError> {
        let remote = &self.target.remote;
        let listing = self.ask(|| remote.extras(directory)).await?;
        let (target, store) = (self.target.clone(), self.context.store.clone());
        let directory = directory.clone();
        let compare = move || {
            let mut items = Vec::new();
            for name in listing.names()? {
                match ExtraPath::parse(&directory, &name) {
                    Ok(path) => {
                        let item = Item::Extra(path);
                        // Whatever is there stays, a link that leads nowhere too.
                        if item.file(&store).symlink_metadata().is_err() {
                            items.push(item);
                        }
                    }
                    Err(error) => {
                        let place = format!("extras {directory}");
                        target.note_bad_name(&place, &name, &error);
                    }
                }
            }
            Ok(items)
        };
        tokio::task::spawn_blocking(compare).await?
    }

    async fn fetch(&self, item: &Item) -> Result<Fetched, DownloadError> {
        let task = Task::begin("download", || format!("{item} from {}", self.target.peer));
        loop {
            match self.fetch_once(item, &task).await {
                Err(error) if self.may_ask_again(error.come_again()) => {}
                outcome => {
                    if matches!(outcome, Ok(Fetched::Downloaded { .. })) {
                        self.target.respite.end();
                    }
                    return outcome;
                }
            }
        }
    }
}

/// All that it takes to compare an hour there with the one here.
struct Compare {
    store: Store,
    target: Target,
    place: Place,
    rules: Rules,
}

impl Compare {
    /// What of a listing is missing here, and whether nothing at all is left to be looked at.
    /// Logs and counts what is to be said of the rest. Blocking.
    fn missing(&self, listing: &Listing) -> Result<(Vec<Item>, bool), RoundError> {
        let Place {
            channel,
            quality,
            hour,
        } = &self.place;
        let there: Vec<Cow<'_, str>> = listing.names()?;
        let list = |hour| self.store.hour_names(channel, quality, hour);
        let here = list(*hour)?;
        let kind = match quality.is_chat() {
            true => Kind::Chat,
            false => Kind::Video,
        };
        // Counts and logs what is none of ours here (SPEC §2).
        self.store.hour(channel, quality, *hour)?;
        let mut plan = plan::hour(*hour, kind, &here, &there, &self.rules);
        let beside = plan.hours_beside();
        for &beside in &beside {
            plan.leave_twins(beside, &list(beside)?.files);
        }
        let nothing = beside.is_empty()
            && plan
                .actions
                .iter()
                .all(|(_, action)| matches!(action, Action::Skip(skip) if *skip != Skip::Recent));
        Ok((self.sort_out(plan), nothing))
    }

    /// What to fetch, tombstones first. What is to be said of the others is said here.
    fn sort_out(&self, plan: Plan<'_>) -> Vec<Item> {
        let place = self.place.to_string();
        let (mut tombstones, mut files, mut twins) = (Vec::new(), Vec::new(), 0);
        for (name, action) in plan.actions {
            match action {
                Action::Download(segment) => files.push(Item::Segment(SegmentPath {
                    channel: self.place.channel.clone(),
                    quality: self.place.quality.clone(),
                    segment,
                })),
                Action::DownloadBatch(batch) => {
                    files.push(Item::Chat(self.place.clone(), batch));
                }
                Action::Bury(name) => tombstones.push(Item::Tombstone(self.place.clone(), name)),
                Action::Skip(Skip::BadName(error)) => {
                    self.target.note_bad_name(&place, name, &error);
                }
                Action::Skip(Skip::Twin) => twins += 1,
                Action::Skip(_) => {}
            }
        }
        self.note_twins(twins);
        tombstones.append(&mut files);
        tombstones
    }

    /// Counts, once, segments whose twins are here.
    fn note_twins(&self, twins: u64) {
        let new = self.target.journal.note_twins(&self.place, twins);
        if new > 0 {
            let counter = &metrics::SMALL_DIFFERENCE_SEGMENTS;
            metrics::of(counter, &self.target.peer, &self.place).inc_by(new);
            tracing::debug!(place = %self.place, twins, new, "left segments whose twins are here");
        }
    }
}
