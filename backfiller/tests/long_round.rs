//! Rounds that take longer than the clock stands still: hours become too old, and new ones are
//! filled, while a backlog is fetched. The rounds and plans are the real ones; the peer, the
//! disk and the clock are in memory.
#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use backfiller::Options;
use backfiller::download::{DownloadError, Fetched};
use backfiller::item::{ExtraPath, ExtrasDirectory, Item, Place};
use backfiller::journal::Journal;
use backfiller::missing;
use backfiller::plan::{self, Action, Kind, Rules};
use backfiller::refusals::Refusals;
use backfiller::remote::RemoteError;
use backfiller::round::{self, Report, RoundError, Task};
use backfiller::site::Site;
use chrono::{DateTime, TimeDelta, Utc};
use clap::Parser;
use common::http::HttpError;
use common::names::{Channel, Quality};
use common::segment::{FinalType, Hour, Segment, SegmentDuration, SegmentHash, SegmentPath};
use common::store::HourNames;
use futures::executor::block_on;
use rand::SeedableRng;
use rand::rngs::StdRng;

/// A peer that records all the time, and a link over which every file takes its time.
struct SlowSite {
    options: Options,
    now: Cell<DateTime<Utc>>,
    /// How long a file takes.
    pace: Cell<TimeDelta>,
    /// All that the peer will ever have; it lists what has begun.
    there: Vec<Segment>,
    here: RefCell<HashSet<Segment>>,
    /// From when on nothing can be had of what is listed.
    bad_from: Option<DateTime<Utc>>,
    /// What it answers then; `None`: it stalls.
    bad_with: Option<u16>,
    /// What the peer has deleted: all that starts before this.
    deleted: Cell<DateTime<Utc>>,
    /// What it answers to who wants a file that it lists, if it refuses all.
    refusing: Cell<Option<u16>>,
    /// What files it was asked for.
    asked: RefCell<Vec<String>>,
    /// What it refused.
    refusals: Refusals,
    journal: Arc<Journal>,
    /// What was fetched, in order, and when that was over.
    fetched: RefCell<Vec<(Segment, DateTime<Utc>)>>,
}

/// A quality of which the peer's list is always bad.
const BAD: &str = "bad";

impl SlowSite {
    /// A peer that records from one time to another, a segment in so many seconds.
    fn new(words: &[&str], [from, to]: [&str; 2], every: i64) -> SlowSite {
        let [from, to] = [from, to].map(at);
        let starts =
            std::iter::successors(Some(from), |start| Some(*start + TimeDelta::seconds(every)));
        let duration = SegmentDuration::from_secs(every as f64).unwrap();
        let there = starts.take_while(|start| *start < to).map(|start| {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&start.timestamp().to_le_bytes());
            Segment::new(
                start,
                duration,
                FinalType::Full,
                SegmentHash::from_bytes(hash),
            )
        });
        let words = ["backfiller", "c", "--download-concurrency", "1"]
            .iter()
            .chain(words);
        SlowSite {
            options: Options::try_parse_from(words).unwrap(),
            now: Cell::new(from),
            pace: Cell::default(),
            there: there.collect(),
            here: RefCell::default(),
            bad_from: None,
            bad_with: None,
            deleted: Cell::new(from),
            refusals: Refusals::default(),
            journal: Arc::default(),
            refusing: Cell::default(),
            asked: RefCell::default(),
            fetched: RefCell::default(),
        }
    }

    /// Does one round, from this time on, with so long for each file.
    fn round(&self, from: &str, pace: TimeDelta) -> Report {
        self.round_at("slow", from, pace)
    }

    /// The same at a peer of this name.
    fn round_at(&self, peer: &str, from: &str, pace: TimeDelta) -> Report {
        self.now.set(at(from));
        self.pace.set(pace);
        let task = self.task(peer);
        block_on(round::run(self, task, StdRng::seed_from_u64(1)))
    }

    /// Fetches extras for so long, from this time on, with so long for each file.
    fn extras(&self, time: Duration, from: &str, pace: TimeDelta) -> Report {
        self.now.set(at(from));
        self.pace.set(pace);
        let task = self.task("slow");
        block_on(round::extras(self, task, time, StdRng::seed_from_u64(1)))
    }

    fn task<'a>(&'a self, peer: &'a str) -> Task<'a> {
        Task {
            options: &self.options,
            peer,
            journal: &self.journal,
            refusals: &self.refusals,
            patient: false,
        }
    }

    fn listed(&self) -> impl Iterator<Item = &Segment> {
        let there = self.deleted.get()..self.now.get();
        self.there
            .iter()
            .filter(move |segment| there.contains(&segment.start()))
    }
}

impl Site for SlowSite {
    fn now(&self) -> DateTime<Utc> {
        self.now.get()
    }

    async fn hours(&self, _: &Channel, quality: &Quality) -> Result<BTreeSet<Hour>, RoundError> {
        if quality.as_str() == BAD {
            let (url, reason) = ("sim".into(), "it is none".to_owned());
            return Err(RemoteError::NotAList { url, reason }.into());
        }
        Ok(self.listed().map(Segment::hour).collect())
    }

    async fn missing(&self, place: &Place, rules: &Rules) -> Result<Vec<Item>, RoundError> {
        let here = self.here.borrow();
        let of_hour = here.iter().filter(|segment| segment.hour() == place.hour);
        let mut files: Vec<String> = of_hour.map(ToString::to_string).collect();
        files.sort_unstable();
        let here = HourNames {
            files,
            tombstones: Vec::new(),
        };
        let listed = self.listed().filter(|segment| segment.hour() == place.hour);
        let there: Vec<String> = listed.map(ToString::to_string).collect();
        let plan = plan::hour(place.hour, Kind::Video, &here, &there, rules);
        let wanted = plan
            .actions
            .into_iter()
            .filter_map(|(_, action)| match action {
                Action::Download(segment) => Some(Item::Segment(SegmentPath {
                    channel: place.channel.clone(),
                    quality: place.quality.clone(),
                    segment,
                })),
                _ => None,
            });
        Ok(wanted.collect())
    }

    async fn missing_extras(&self, directory: &ExtrasDirectory) -> Result<Vec<Item>, RoundError> {
        let paths = (0..1000).map(|n| ExtraPath::parse(directory, &n.to_string()).unwrap());
        Ok(paths.map(Item::Extra).collect())
    }

    async fn fetch(&self, item: &Item) -> Result<Fetched, DownloadError> {
        self.now.set(self.now.get() + self.pace.get());
        self.asked.borrow_mut().push(item.to_string());
        if let Some(status) = self.refusing.get() {
            return Err(refusal(status).into());
        }
        let Item::Segment(path) = item else {
            return Ok(Fetched::Downloaded { bytes: 1 });
        };
        let now = self.now.get();
        if self.bad_from.is_some_and(|bad| path.segment.start() >= bad) {
            return Err(match self.bad_with {
                Some(status) => refusal(status).into(),
                None => DownloadError::Remote(RemoteError::Stalled {
                    url: "sim".into(),
                    after: Duration::ZERO,
                }),
            });
        }
        let mut here = self.here.borrow_mut();
        here.insert(path.segment.clone());
        if self.options.delete_old {
            let first = self.options.first_hour(now).unwrap();
            here.retain(|segment| segment.hour() >= first);
        }
        let mut fetched = self.fetched.borrow_mut();
        fetched.push((path.segment.clone(), now));
        assert!(fetched.len() < 10_000, "the round has no end");
        Ok(Fetched::Downloaded { bytes: 1 })
    }
}

/// An answer of this status; 429 and 503 say when to come again.
fn refusal(status: u16) -> RemoteError {
    let (url, is_busy) = ("sim".into(), [429, 503].contains(&status));
    let status = reqwest::StatusCode::from_u16(status).unwrap();
    match is_busy {
        true => RemoteError::Busy {
            url,
            status,
            after: Duration::from_secs(1),
        },
        false => RemoteError::Http(HttpError::Status {
            url,
            status,
            retry_after: None,
        }),
    }
}

fn at(text: &str) -> DateTime<Utc> {
    common::dateutil::parse(text).unwrap()
}

#[test]
fn an_hour_that_has_become_too_old_is_left_and_nothing_is_fetched_twice() {
    let words = ["--start", "2", "--delete-old", "--interval", "10"];
    let site = SlowSite::new(&words, ["2026-01-02T01:00Z", "2026-01-02T04:00Z"], 60);
    // Ten seconds before the oldest hour goes, with an hour's work for each hour.
    site.round("2026-01-02T03:59:50Z", TimeDelta::seconds(2));
    let fetched = site.fetched.borrow();
    for (segment, when) in fetched.iter() {
        let first = site
            .options
            .first_hour(*when - TimeDelta::seconds(20))
            .unwrap();
        assert!(
            segment.hour() >= first,
            "{segment} of {} at {when}",
            segment.hour()
        );
    }
    let once: HashSet<&Segment> = fetched.iter().map(|(segment, _)| segment).collect();
    assert_eq!(once.len(), fetched.len());
    let here = site.here.borrow();
    let hours: BTreeSet<String> = here.iter().map(|it| it.hour().to_string()).collect();
    assert_eq!(
        hours,
        ["2026-01-02T02", "2026-01-02T03"].map(str::to_owned).into()
    );
    assert_eq!(here.len(), 120);
}

#[test]
fn the_last_segments_of_an_hour_do_not_wait_for_the_backlog() {
    for cutoff in [20, 0, 4000] {
        let seconds = cutoff.to_string();
        let words = ["--recent-cutoff", &seconds, "--interval", "10"];
        let site = SlowSite::new(&words, ["2026-01-02T01:00Z", "2026-01-02T06:00Z"], 6);
        let age = TimeDelta::seconds(cutoff);
        // All that is old enough of the last hour is here when the round begins.
        let [hour, old_enough] = [at("2026-01-02T03:00Z"), at("2026-01-02T03:59:40Z")];
        let known = |segment: &&Segment| (hour..old_enough).contains(&segment.start());
        let known = site.there.iter().filter(known).cloned();
        site.here.borrow_mut().extend(known);
        site.round(&(old_enough + age).to_rfc3339(), TimeDelta::seconds(1));
        let new = old_enough..old_enough + TimeDelta::minutes(5);
        for segment in site.there.iter().filter(|it| new.contains(&it.start())) {
            let fetched = site.fetched.borrow();
            let (_, when) = fetched.iter().find(|(it, _)| it == segment).unwrap();
            let late = *when - segment.start() - age;
            assert!(
                late < TimeDelta::seconds(30),
                "{segment} of {}: {late}",
                segment.hour()
            );
        }
    }
}

#[test]
fn the_oldest_hours_stay_first_however_long_the_round() {
    let words = ["--order", "oldest", "--interval", "10"];
    let site = SlowSite::new(&words, ["2026-01-02T01:00Z", "2026-01-02T05:00Z"], 30);
    site.round("2026-01-02T03:30Z", TimeDelta::seconds(10));
    let fetched = site.fetched.borrow();
    let hours: Vec<Hour> = fetched.iter().map(|(it, _)| it.hour()).collect();
    // The last one is the live edge when all else is done.
    let backlog = hours
        .iter()
        .take_while(|hour| hour.to_string() != "2026-01-02T04");
    let backlog: Vec<Hour> = backlog.copied().collect();
    assert!(backlog.is_sorted() && backlog.len() > 350, "{backlog:?}");
    // The round ends when nothing is left that is not recent, and has left out nothing.
    let old = site.now.get() - TimeDelta::seconds(180);
    let old = site.there.iter().filter(|it| it.start() < old);
    let here = site.here.borrow();
    assert!(old.clone().count() > 400 && old.clone().all(|it| here.contains(it)));
}

#[test]
fn newest_hours_of_which_nothing_can_be_had_starve_no_older_ones() {
    let all = ["2026-01-02T01:00Z", "2026-01-02T06:00Z"];
    let table = [
        ("newest", None),
        ("oldest", None),
        ("random", None),
        ("newest", Some(503)),
    ];
    for (order, bad_with) in table {
        for bad_from in ["2026-01-02T05:00Z", "2026-01-02T04:00Z"] {
            let words = ["--order", order, "--interval", "10"];
            let mut site = SlowSite::new(&words, all, 60);
            site.bad_with = bad_with;
            let bad_from = at(bad_from);
            site.bad_from = Some(bad_from);
            // Each file of the newest hours takes as long as an interval, and comes never.
            let report = site.round("2026-01-02T05:58Z", TimeDelta::seconds(10));
            assert!(report.failures > 0);
            let good = site.there.iter().filter(|it| it.start() < bad_from);
            let here = site.here.borrow();
            let missing = good.filter(|it| !here.contains(it)).count();
            assert_eq!(missing, 0, "{order} {bad_with:?} {bad_from}");
        }
    }
}

#[test]
fn extras_come_beside_the_rounds_and_no_more_are_begun_when_their_time_is_over() {
    let words = ["--extras", "x", "--interval", "10"];
    let site = SlowSite::new(&words, ["2026-01-02T01:00Z", "2026-01-02T01:00Z"], 60);
    let (begun, time) = ("2026-01-02T02:00Z", Duration::from_secs(10));
    let report = site.round(begun, TimeDelta::seconds(2));
    assert_eq!(report.segments, 0);
    let report = site.extras(time, begun, TimeDelta::seconds(2));
    assert_eq!(report.segments, 5);
    assert_eq!(site.now.get() - at(begun), TimeDelta::seconds(10));
    // However little time there is, there is one more each time.
    let report = site.extras(time, begun, TimeDelta::seconds(60));
    assert_eq!(report.segments, 1);
    // It has too much to do: none is asked for before the next pause.
    site.refusing.set(Some(503));
    site.asked.take();
    let report = site.extras(time, begun, TimeDelta::zero());
    assert_eq!((report.failures, site.asked.take().len()), (1, 1));
    assert!(report.error.is_some());
}

#[test]
fn what_is_missing_of_an_hour_that_is_gone_is_forgotten_though_another_list_is_bad() {
    let peer = "forgetful";
    let missing = || -> Vec<(String, i64)> {
        let all = missing::all(Some(peer)).into_iter();
        all.map(|(_, place, files)| (place.to_string(), files))
            .collect()
    };
    let words = ["--qualities", "bad,source", "--interval", "10000"];
    let mut site = SlowSite::new(&words, ["2026-01-02T01:00Z", "2026-01-02T03:00Z"], 600);
    site.bad_from = Some(at("2026-01-02T01:30Z"));
    let report = site.round_at(peer, "2026-01-02T04:00Z", TimeDelta::seconds(1));
    assert!(report.error.is_some());
    let hours = ["c/source/2026-01-02T01", "c/source/2026-01-02T02"];
    let [first, second] = hours.map(str::to_owned);
    assert_eq!(missing(), [(first, 3), (second.clone(), 6)]);
    site.deleted.set(at("2026-01-02T02:00Z"));
    site.round_at(peer, "2026-01-02T04:00Z", TimeDelta::seconds(1));
    assert_eq!(missing(), [(second, 6)]);
}

#[test]
fn files_that_a_peer_lists_and_has_not_are_asked_for_less_and_less_often() {
    // Six files in each of 48 hours.
    let all = ["2026-01-01T00:00Z", "2026-01-03T00:00Z"];
    let site = SlowSite::new(&["--interval", "100"], all, 600);
    let files = site.there.len();
    site.refusing.set(Some(404));
    let round = |now: DateTime<Utc>| {
        let before = site.asked.borrow().len();
        site.round(&now.to_rfc3339(), TimeDelta::zero());
        site.asked.borrow().len() - before
    };
    let begun = at("2026-01-03T03:00Z");
    for n in 0..100 {
        round(begun + TimeDelta::seconds(10 * n));
    }
    // In these 1,000 s at once, and after 0, 100 and 300 s; and none is left out.
    let asked = site.asked.take();
    assert_eq!(asked.len(), 4 * files);
    assert_eq!(asked.into_iter().collect::<HashSet<_>>().len(), files);
    // What it gives in the end is fetched in one round.
    site.refusing.set(None);
    assert_eq!(round(begun + TimeDelta::hours(2)), files);
    assert_eq!(site.here.borrow().len(), files);
}

#[test]
fn what_a_peer_did_not_give_in_a_bad_hour_of_its_own_is_fetched_as_soon_as_it_is_well_again() {
    // Answers that say nothing of the file.
    for status in [429, 500, 502, 503, 504] {
        let all = ["2026-01-02T00:00Z", "2026-01-02T03:00Z"];
        let site = SlowSite::new(&["--interval", "100"], all, 600);
        site.refusing.set(Some(status));
        let begun = at("2026-01-02T06:00Z");
        let round = |n: i64| {
            site.round(
                &(begun + TimeDelta::seconds(100 * n)).to_rfc3339(),
                TimeDelta::zero(),
            )
        };
        for n in 0_i64..20 {
            assert_eq!(round(n).segments, 0, "{status}");
        }
        site.refusing.set(None);
        assert_eq!(round(20).segments, site.there.len() as u64, "{status}");
    }
}
