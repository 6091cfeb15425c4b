//! Restreaming: segments beside nginx on the same directory, playlists and listings, and ten
//! thousand slow clients. Every contender has its turn in each round; medians count.
//!
//! The load comes from `wrk` on the same two cores: what the server leaves, it takes. In one table
//! (playlists of an hour) each has a core of its own, too.

mod bare;
mod cpus;
mod host;
mod live;
mod load;
mod long;
pub(crate) mod paced;
mod playlists;
mod site;
mod slow;

use std::collections::BTreeMap;
use std::time::Duration;

use self::host::Host;
use self::load::{Load, cpu_time, wrk, wrk_behind};
use self::paced::Delays;
use self::site::{SEGMENTS, Site};
use crate::cut::video::Video;
use crate::report::say;

/// So many rounds.
const ROUNDS: usize = 5;
/// Half an hour, cut in the middle of segments at both ends.
const CUT: &str =
    "/cut/test/half.ts?start=2026-01-02T00:00:00.7&end=2026-01-02T00:29:58.7&type=smart";
/// How long each turn takes.
const TURN: Duration = Duration::from_secs(4);

/// Runs this part; `ONLY=segments` (`playlists`, `listing`, `slow`, `long`, `live`) runs one table of it.
pub(crate) async fn run() {
    let only = std::env::var("ONLY").unwrap_or_default();
    let wanted = |table: &str| only.is_empty() || only == table;
    if !["long", "live"].contains(&&*only) {
        let site = Site::start().await;
        if wanted("segments") {
            segments(&site).await;
        }
        if wanted("playlists") {
            playlists::run(&site).await;
        }
        if wanted("listing") {
            listing(&site).await;
        }
        if wanted("slow") {
            slow::run(&site).await;
        }
    }
    if wanted("long") {
        long::run().await;
    }
    if wanted("live") {
        live::run().await;
    }
}

/// A figure's medians by contender.
#[derive(Debug, Default)]
struct Medians(BTreeMap<String, Vec<f64>>);

impl Medians {
    fn add(&mut self, name: &str, figure: f64) {
        self.0.entry(name.to_owned()).or_default().push(figure);
    }

    fn of(&mut self, name: &str) -> f64 {
        let figures = self.0.entry(name.to_owned()).or_default();
        figures.sort_unstable_by(f64::total_cmp);
        figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

/// Segments of 1.27 MB, ours and nginx's.
async fn segments(site: &Site) {
    say("segments of 1.27 MB (wrk, 1 thread), ours beside nginx:");
    for connections in [16, 256] {
        let (mut speed, mut cost) = (Medians::default(), Medians::default());
        for _ in 0..ROUNDS {
            for (name, url, pids) in [
                ("ours", site.ours(), site.our_pids()),
                ("nginx", site.nginx(), site.nginx_pids()),
            ] {
                let before = cpu_time(&pids);
                let load = Load::cycle(&url, "/segments/test/source/2026-01-02T00/", SEGMENTS);
                let done = wrk(&load, connections, TURN).await;
                let cpu = cpu_time(&pids) - before;
                assert_eq!(done.errors, 0, "{name}");
                speed.add(name, done.bytes / done.seconds / 1e9);
                cost.add(name, cpu / (done.bytes / 1e9));
            }
        }
        let (ours, nginx) = (speed.of("ours"), speed.of("nginx"));
        let (our_cost, nginx_cost) = (cost.of("ours"), cost.of("nginx"));
        say(&format!(
            "  {connections:>3} connections: {ours:.2} GB/s, nginx {nginx:.2} GB/s: {:.2} of it; \
             CPU {our_cost:.3} s a GB, nginx {nginx_cost:.3} s",
            ours / nginx
        ));
    }
}

/// How long a listing takes, alone and while others download; nginx's is a file with the same text.
async fn listing(site: &Site) {
    let target = "/files/test/source/2026-01-02T02";
    let _video = Video::make(&site.node().base_dir().join("test/half")).await;
    let text = site.node().get(target).await;
    let file = site.node().base_dir().join("listing.json");
    std::fs::write(file, &text.body).expect("a file");
    say(
        "a listing of an hour (1,800 names), one client that asks 200 times a second, milliseconds:",
    );
    for (name, url, target) in [
        ("ours", site.ours(), target),
        ("nginx", site.nginx(), "/segments/listing.json"),
    ] {
        // Both cores are busy: four clients that take half-hour cuts as fast as they come, or, from
        // nginx, which makes none, segments.
        let others = match name {
            "ours" => Load::one(&url, CUT),
            _ => Load::cycle(&url, "/segments/test/source/2026-01-02T00/", SEGMENTS),
        };
        let long_turn = TURN + Duration::from_secs(2);
        let (mut alone, mut beside) = (Delays::default(), Delays::default());
        let mut host = Host::default();
        for _ in 0..ROUNDS {
            let quiet = host.undisturbed(async || Delays::of(&url, target, TURN).await);
            alone.add(quiet.await);
            let busy = host.undisturbed(async || {
                let (_, busy) = tokio::join!(wrk_behind(&others, 4, long_turn), async {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    Delays::of(&url, target, TURN).await
                });
                busy
            });
            beside.add(busy.await);
        }
        host.say_what_it_took();
        let (median, p99) = (alone.quantile(0.5), alone.quantile(0.99));
        let (busy_median, busy_p99) = (beside.quantile(0.5), beside.quantile(0.99));
        say(&format!(
            "  {name:<6} alone: median {median:.2}, 99th percentile {p99:.2}; beside four {}: {busy_median:.2} \
             and {busy_p99:.2}, {:.1} and {:.1} times",
            if name == "ours" { "cuts" } else { "downloads" },
            busy_median / median,
            busy_p99 / p99,
        ));
    }
}
