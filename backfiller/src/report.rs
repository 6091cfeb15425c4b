//! What a round did, for its line in the log and for the gauges.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::item::{Item, Place};
use crate::round::RoundError;
use crate::{metrics, missing};

/// So many hours are told apart in a report, the newest ones.
const MOST_HOURS: usize = 1000;

/// So many of them are in the line of the log.
const MOST_SHOWN: usize = 12;

/// What a round did.
#[derive(Debug, Default)]
pub struct Report {
    /// Hours gone through.
    pub hours: usize,
    /// Files that were found missing, each as often as its hour was looked at.
    pub missing: u64,
    /// Files downloaded.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that could not be downloaded.
    pub failures: u64,
    /// Which ones those were; of very many only some.
    pub failed: Vec<Item>,
    /// Why not all listings could be had (the first reason). The peer counts as failing then.
    pub error: Option<RoundError>,
    /// True iff something ended it before all was looked at.
    pub ended_early: bool,
    by_hour: BTreeMap<Place, Hourly>,
    /// True iff there were more of them.
    has_more_hours: bool,
}

/// An hour of a round.
#[derive(Debug, Default)]
struct Hourly {
    missing: u64,
    done: u64,
    failed: u64,
}

impl Report {
    /// Notes that so many files of an hour are missing.
    pub(crate) fn plan(&mut self, peer: &str, place: &Place, files: usize) {
        let files = files as u64;
        self.missing += files;
        missing::set(peer, place, files);
        if files > 0 || self.by_hour.contains_key(place) {
            let hourly = self.by_hour.entry(place.clone()).or_default();
            hourly.missing = hourly.missing.max(hourly.done + files);
        }
        if self.by_hour.len() > MOST_HOURS {
            self.by_hour.pop_first();
            self.has_more_hours = true;
        }
    }

    pub(crate) fn downloaded(&mut self, peer: &str, place: Option<&Place>, bytes: u64) {
        self.segments += 1;
        self.bytes += bytes;
        metrics::BYTES.with_label_values(&[peer]).inc_by(bytes);
        if let Some(hourly) = self.hourly(place) {
            hourly.done += 1;
        }
        self.no_longer_missing(peer, place);
    }

    pub(crate) fn no_longer_missing(&mut self, peer: &str, place: Option<&Place>) {
        if let Some(place) = place {
            missing::one_less(peer, place);
        }
    }

    pub(crate) fn failed_at(&mut self, place: Option<&Place>) {
        self.failures += 1;
        if let Some(hourly) = self.hourly(place) {
            hourly.failed += 1;
        }
    }

    fn hourly(&mut self, place: Option<&Place>) -> Option<&mut Hourly> {
        self.by_hour.get_mut(place?)
    }

    /// The hours of which something was missing, newest first, for the log.
    #[must_use]
    pub fn by_hour(&self) -> String {
        let mut text = String::new();
        for (place, hourly) in self.by_hour.iter().rev().take(MOST_SHOWN) {
            let Hourly {
                missing,
                done,
                failed,
                ..
            } = hourly;
            let glue = if text.is_empty() { "" } else { "; " };
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "{glue}{place} {missing} missing {done} done {failed} failed"
            );
        }
        if self.by_hour.len() > MOST_SHOWN {
            let at_least = if self.has_more_hours { "at least " } else { "" };
            let more = self.by_hour.len() - MOST_SHOWN;
            let _ = write!(text, "; and {at_least}{more} more");
        }
        text
    }
}
