//! Ten minutes of stream in fast time from an origin that fails one request in five, in a way
//! chosen by a seed: every segment is on disk in full at the end, for each of many seeds.
//!
//! A seed that fails is printed; `SOAK_SEED=N` runs that one alone, and `RUST_LOG=downloader=debug`
//! with `--nocapture` shows what it did. `SOAK_SEEDS` is how many seeds there are.
#![allow(
    clippy::unwrap_used,
    reason = "clippy allows it in tests, but not in what they share"
)]

use std::collections::BTreeSet;
use std::time::Duration;

use common::http::HttpClient;
use common::names::{Channel, Quality};
use common::store::Store;
use downloader::manager::Manager;
use downloader::provider::{Provider, UrlProvider};
use downloader::timing::Timing;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tests::node::Node;
use tests::origin::{Dates, Fault, Hold, LiveOptions, LiveStream, Matching, Origin, Request, Rule};
use tokio_util::sync::CancellationToken;

/// A second of the stream takes so many seconds.
const SCALE: f64 = 0.05;
/// Segments of 2 s: ten minutes.
const SEGMENTS: usize = 300;
/// So many are listed: 12 s of stream, more than the 10 s for which one has to be fetchable.
const WINDOW: usize = 6;
/// So many are served for a while after they have left the list, as content networks do.
const KEPT: usize = 15;
/// One request in five fails.
const FAILING: f64 = 0.2;
/// So many streams at once: two cores must not be the reason for a late answer.
const AT_ONCE: usize = 34;
const SEEDS: u64 = 100;

/// A duration of the stream, in fast time.
fn scaled(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds * SCALE)
}

/// How a request fails. A silent early end is not among them: nobody can tell it.
fn fault(random: &mut StdRng, request: &Request) -> Option<Fault> {
    if !random.random_bool(FAILING) {
        return None;
    }
    let is_playlist = request.path.ends_with(".m3u8");
    let size = if is_playlist { 800 } else { 2000 };
    let at = random.random_range(0..size);
    let seconds = scaled(random.random_range(0.5..8.0));
    Some(match random.random_range(0..10) {
        0 => Fault::status([500, 502, 503, 429][random.random_range(0..4)]),
        1 => Fault::reset(),
        2 => Fault::hang_up(),
        3 => Fault::cut_after(at),
        4 => Fault::reset_after(at),
        5 => Fault::stall_head(Hold::Forever),
        6 => Fault::stall_after(at, Hold::Forever),
        7 => Fault::delay(seconds),
        8 => Fault::none().dripping(100, scaled(0.3)),
        // An expired URL; for a segment it would be the last word.
        _ if is_playlist => Fault::expired(),
        _ => Fault::declare_length(5000),
    })
}

/// Runs one seed.
async fn run(seed: u64, client: HttpClient) -> Ran {
    let origin = Origin::start().await;
    let mut random = StdRng::seed_from_u64(seed);
    origin.add_rule(Rule::choosing(Matching::Any, move |request| {
        fault(&mut random, request)
    }));
    let options = LiveOptions {
        window: WINDOW,
        keep: KEPT,
        dates: if seed.is_multiple_of(3) {
            Dates::FirstInList
        } else {
            Dates::Every
        },
        ..LiveOptions::default()
    };
    let mut stream = LiveStream::new(&origin, "live", options);
    let node = Node::new(&format!("seed-{seed}"));
    let manager = Manager {
        channel: Channel::new("test").unwrap(),
        important: true,
        provider: Provider::Url(UrlProvider {
            url: stream.url().parse().unwrap(),
        }),
        qualities: vec![Quality::new("source").unwrap()],
        client,
        store: Store::new(node.base_dir()),
        max_age: None,
        timing: Timing::default().scaled(SCALE),
        playlist_debug: 0,
    };
    let shutdown = CancellationToken::new();
    let recording = tokio::spawn(manager.run(shutdown.clone()));
    let mut expected = BTreeSet::new();
    let mut ticks = tokio::time::interval(scaled(2.0));
    for n in 0..SEGMENTS {
        ticks.tick().await;
        expected.insert(stream.push(1500 + n).file());
    }
    // What is listed last has a list's time to be found in, and as much to be fetched.
    let deadline = tokio::time::Instant::now() + scaled(120.0);
    while !expected.is_subset(&names(&node)) && tokio::time::Instant::now() < deadline {
        ticks.tick().await;
    }
    shutdown.cancel();
    recording.await.unwrap();
    Ran {
        seed,
        node,
        expected,
    }
}

/// A seed that has run.
struct Ran {
    seed: u64,
    node: Node,
    expected: BTreeSet<String>,
}

impl Ran {
    /// The names that are missing.
    fn check(&self) -> Vec<String> {
        let (node, seed) = (&self.node, self.seed);
        assert_eq!(node.temp_files(), [""; 0], "seed {seed}");
        assert_eq!(node.wrong_hashes("test", "source"), [""; 0], "seed {seed}");
        let there = names(node);
        let full = there.iter().filter(|name| name.contains("-full-")).count();
        assert!(full <= SEGMENTS, "seed {seed}: something is recorded twice");
        self.expected.difference(&there).cloned().collect()
    }
}

/// The names of what is on disk: `HOUR/NAME`.
fn names(node: &Node) -> BTreeSet<String> {
    let store = Store::new(node.base_dir());
    let (channel, quality) = (
        Channel::new("test").unwrap(),
        Quality::new("source").unwrap(),
    );
    let hours = store.hours(&channel, &quality).unwrap();
    let of_hour = |hour| {
        let files = store.hour_names(&channel, &quality, hour).unwrap().files;
        files.into_iter().map(move |name| format!("{hour}/{name}"))
    };
    hours.into_iter().flat_map(of_hour).collect()
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_whatever_fails() {
    if std::env::var_os("RUST_LOG").is_some() {
        tracing_subscriber::fmt::init();
    }
    let seeds = match number("SOAK_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SOAK_SEEDS").unwrap_or(SEEDS),
    };
    // One for all: to set one up costs more than to run a stream for seconds.
    let client = HttpClient::new().unwrap();
    let seeds: Vec<u64> = seeds.collect();
    let mut failed = Vec::new();
    for wave in seeds.chunks(AT_ONCE) {
        let runs = wave
            .iter()
            .map(|&seed| tokio::spawn(run(seed, client.clone())));
        // Looked at when all have ended: to hash everything would disturb those still running.
        for ran in futures::future::join_all(runs).await {
            let ran = ran.unwrap();
            let missing = ran.check();
            if !missing.is_empty() {
                failed.push((ran.seed, missing));
            }
        }
    }
    for (seed, missing) in &failed {
        eprintln!("SOAK_SEED={seed} lost {missing:?}");
    }
    assert!(failed.is_empty(), "{} seeds lost segments", failed.len());
}
