//! A peer, and what is known of it from earlier rounds.

use std::collections::HashMap;
use std::fmt::Display;
use std::hash::RandomState;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use common::store::Stamp;
use reqwest::header::HeaderValue;

use crate::item::Place;
use crate::journal::{Journal, Matter, Novelty, shown};
use crate::metrics;
use crate::refusals::Refusals;
use crate::remote::Remote;
use crate::respite::Respite;
use crate::site::lanes::Lanes;

/// So many hours are remembered for each peer as settled: those of six years.
const MOST_SETTLED: usize = 50_000;

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
    pub(crate) respite: Arc<Respite>,
    /// Its downloads.
    pub(super) lanes: Arc<Lanes>,
    /// The hours of which there was nothing to do.
    settled: Arc<Mutex<HashMap<Place, Settled>>>,
    /// The hour that is looked at, for operators.
    place: Arc<Mutex<Option<Place>>>,
    pub(super) hasher: RandomState,
}

/// An hour of which there was nothing to do: neither is there now, if neither side has changed.
#[derive(Debug, Clone)]
pub(super) struct Settled {
    /// The directory here.
    pub(super) here: Stamp,
    /// The peer's entity tag, if it gives any.
    pub(super) tag: Option<HeaderValue>,
    /// A hash of the peer's list.
    pub(super) body: u64,
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
            lanes: Arc::default(),
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
    pub(super) fn note_bad_name(&self, place: &str, name: &str, error: &dyn Display) {
        let novelty = self.journal.note(Matter::BadName, place, name);
        if novelty != Novelty::Known {
            metrics::BAD_NAMES.with_label_values(&[&*self.peer]).inc();
        }
        if novelty == Novelty::New {
            let name = shown(name);
            tracing::warn!(peer = &*self.peer, place, name, %error, "left a bad name");
        }
    }

    pub(super) fn settled(&self, place: &Place) -> Option<Settled> {
        self.lock().get(place).cloned()
    }

    /// Notes that there is nothing to do about an hour, or that nobody knows.
    pub(super) fn settle(&self, place: &Place, settled: Option<Settled>) {
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

    fn lock(&self) -> MutexGuard<'_, HashMap<Place, Settled>> {
        // A poisoned map is still a map.
        self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
