//! What a round sees of the world: a peer, this node's disk, and the clock.

mod compare;
mod lanes;
mod target;

use std::collections::BTreeSet;
use std::future::Future;
use std::hash::{BuildHasher, Hash};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use common::http::InProgress;
use common::names::{Channel, Quality};
use common::segment::Hour;
use common::store::Stamp;
use common::tasks::Task;
use tokio::time::{Instant, timeout_at};

use self::compare::Compare;
use self::target::Settled;
pub use self::target::Target;
use crate::Context;
use crate::claims::Held;
use crate::download::{self, DownloadError, Fetched};
use crate::item::{ExtraPath, ExtrasDirectory, Item, Place};
use crate::metrics;
use crate::options::Options;
use crate::plan::Rules;
use crate::remote::RemoteError;
use crate::round::RoundError;

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

/// A peer by HTTP, and the disk.
#[derive(Debug, Clone, Copy)]
pub struct RealSite<'a> {
    /// This node.
    pub context: &'a Context,
    /// The peer.
    pub target: &'a Target,
    /// True iff extras are fetched beside the rounds: one at a time, and not again when the peer has too
    /// much to do, so that no round waits for them.
    pub beside: bool,
}

impl RealSite<'_> {
    /// Asks the peer for a list of this name, later if it wants to be left alone now.
    async fn ask<T, F>(&self, name: impl Hash, ask: impl Fn() -> F) -> Result<T, RemoteError>
    where
        F: Future<Output = Result<T, RemoteError>>,
    {
        let ask = || async {
            self.target.respite.over().await;
            ask().await
        };
        self.patiently(name, RemoteError::come_again, ask).await
    }

    /// Asks for a thing, again if the peer wants to be left alone: not too often.
    async fn patiently<T, E, F>(
        &self,
        thing: impl Hash,
        come_again: fn(&E) -> Option<Duration>,
        ask: impl Fn() -> F,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let thing = self.target.hasher.hash_one(thing);
        let mut tries = 1;
        loop {
            let outcome = ask().await;
            match outcome.as_ref().err().and_then(come_again) {
                Some(wish) if self.may_ask_again(thing, tries, wish) => tries += 1,
                _ => break outcome.inspect(|_| self.target.respite.gave(thing)),
            }
        }
    }

    /// Leaves the peer alone if it wishes so. True iff it may be asked for the same again after that.
    fn may_ask_again(&self, thing: u64, tries: u32, wish: Duration) -> bool {
        let Target { peer, respite, .. } = self.target;
        metrics::BUSY.with_label_values(&[&**peer]).inc();
        if self.beside {
            return false;
        }
        if respite.is_news() {
            let (peer, seconds) = (&**peer, wish.as_secs());
            tracing::warn!(
                peer,
                seconds,
                "the peer has too much to do and wants to be left alone: so it is, for an interval at most"
            );
        }
        // It may say anything; so long a pause is one that it has between rounds as well.
        respite.begin(thing, tries, wish.min(self.context.options.interval))
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
        match self.beside {
            true => 1,
            false => self.target.lanes.of_round(self.context.at_once()),
        }
    }

    async fn hours(
        &self,
        channel: &Channel,
        quality: &Quality,
    ) -> Result<BTreeSet<Hour>, RoundError> {
        let remote = &self.target.remote;
        let listing = self
            .ask((channel, quality), || remote.hours(channel, quality))
            .await?;
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
        let Some(listing) = self.ask(place, || remote.hour(place, tag)).await? else {
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
        let listing = self.ask(directory, || remote.extras(directory)).await?;
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
        let lanes = &self.target.lanes;
        let _lane = match self.beside {
            true => lanes.enter_beside(|| self.context.at_once()).await,
            false => lanes.enter(),
        };
        let fetch = || self.fetch_once(item, &task);
        self.patiently(item, DownloadError::come_again, fetch).await
    }
}
