//! Playlists of an hour, warm, as many a second as go: of one range, and of twenty; with clients on
//! the same processors, and on another.

use std::collections::BTreeMap;
use std::fs;
use std::time::Instant;

use super::bare;
use super::cpus;
use super::load::{Load, cpu_time, wrk, wrk_on};
use super::site::{PER_HOUR, Site};
use super::{Medians, TURN};
use crate::report::say;

/// What the system that this one replaces answers a second, as measured before on a machine of
/// this kind (issue 5): it cannot be had here.
const ORIGINAL_SAME: f64 = 178.0;
const ORIGINAL_DIFFERENT: f64 = 22.0;

const CONNECTIONS: usize = 16;

/// So many turns has each, half as long as elsewhere.
const TURNS: usize = 9;

const ONE: &str = "one range";
const BARE: &str = "a bare socket, the same bytes";
const NGINX: &str = "nginx, the same text as a file";

pub(super) async fn run(site: &Site) {
    let path = |from: usize, minute: usize| {
        format!(
            "/playlist/test/source.m3u8?start=2026-01-02T{from:02}:{minute:02}&end=2026-01-02T{:02}:{minute:02}",
            from + 1
        )
    };
    let one = path(5, 0);
    let many: Vec<String> = (0..20).map(|n| path(3 + n % 18, n * 3 % 60)).collect();
    let text = site.node().get(&one).await;
    assert_eq!(text.text().matches("#EXTINF").count(), PER_HOUR);
    // The socket's limit: the same bytes from memory with nothing else to do, and as a file, from
    // nginx, which needs no copy of them.
    let bare = format!("http://{}", bare::serve(&text.body));
    fs::write(site.node().base_dir().join("hour.m3u8"), &text.body).expect("a file");
    together(site, &one, &many, &bare, text.body.len()).await;
    apart(site, &one, &bare).await;
}

/// A server with something to ask it.
struct Contender {
    name: &'static str,
    load: Load,
    pids: Vec<u32>,
    /// What the original answers a second.
    original: Option<f64>,
}

/// Clients on the same processors. Those that are compared have their turns one after the other: the
/// machine's speed changes by the minute.
async fn together(site: &Site, one: &str, many: &[String], bare: &str, length: usize) {
    let ours = |name, load, original| Contender {
        name,
        load,
        pids: site.our_pids(),
        original: Some(original),
    };
    let other = |name, load, pids| Contender {
        name,
        load,
        pids,
        original: None,
    };
    let gzip = |load: Load| load.with("Accept-Encoding", "gzip");
    let to_one = || Load::one(&site.ours(), one);
    let to_many = || Load::many(&site.ours(), many);
    let nginx = Load::one(&site.nginx(), "/segments/hour.m3u8");
    let mut contenders = [
        ours("one range, gzip", gzip(to_one()), ORIGINAL_SAME),
        ours("20 ranges, gzip", gzip(to_many()), ORIGINAL_DIFFERENT),
        ours("20 ranges", to_many(), ORIGINAL_DIFFERENT),
        other(BARE, Load::one(bare, "/"), vec![std::process::id()]),
        ours(ONE, to_one(), ORIGINAL_SAME),
        other(NGINX, nginx, site.nginx_pids()),
    ];
    let mut figures = Figures::default();
    for _ in 0..TURNS {
        for Contender {
            name, load, pids, ..
        } in &contenders
        {
            let before = cpu_time(pids);
            let done = wrk(load, CONNECTIONS, TURN / 2).await;
            assert_eq!(done.errors, 0, "{name}");
            let cost = (cpu_time(pids) - before) / done.requests * 1e6;
            figures.add(name, done.rate(), done.bytes / done.seconds / 1e9, cost);
        }
        figures.compare(ONE, BARE);
        figures.compare(ONE, NGINX);
        contenders.reverse();
    }
    say(&format!(
        "playlists of an hour ({length} bytes) a second, {CONNECTIONS} connections (wrk, 1 thread), \
         medians of {TURNS} turns; the server's CPU time for each:"
    ));
    contenders.sort_by_key(|contender| contender.name);
    for Contender { name, original, .. } in &contenders {
        let (rate, speed, cost) = figures.of(name);
        let original = original.map_or(String::new(), |original| {
            format!(", {:.0} times the original's {original}", rate / original)
        });
        say(&format!(
            "  {name:<32} {rate:>7.0}   {speed:.2} GB/s, {cost:.0} µs{original}"
        ));
    }
    for other in [BARE, NGINX] {
        let ratio = figures.ratio(ONE, other);
        say(&format!(
            "  {ONE}: {ratio:.2} of {other} (median of {TURNS} ratios)"
        ));
    }
}

/// What each turn gave.
#[derive(Debug, Default)]
struct Figures {
    rates: Medians,
    speeds: Medians,
    costs: Medians,
    ratios: Medians,
    last: BTreeMap<&'static str, f64>,
}

impl Figures {
    /// Answers a second, GB a second, and microseconds of CPU for each.
    fn add(&mut self, name: &'static str, rate: f64, speed: f64, cost: f64) {
        self.rates.add(name, rate);
        self.speeds.add(name, speed);
        self.costs.add(name, cost);
        self.last.insert(name, rate);
    }

    /// Notes how the last turns of two relate.
    fn compare(&mut self, name: &str, other: &str) {
        let ratio = self.last[name] / self.last[other];
        self.ratios.add(&format!("{name}, {other}"), ratio);
    }

    fn of(&mut self, name: &str) -> (f64, f64, f64) {
        (
            self.rates.of(name),
            self.speeds.of(name),
            self.costs.of(name),
        )
    }

    fn ratio(&mut self, name: &str, other: &str) -> f64 {
        self.ratios.of(&format!("{name}, {other}"))
    }
}

/// Clients are other machines in life: the server has a processor, and they have one.
async fn apart(site: &Site, one: &str, bare: &str) {
    let allowed = cpus::allowed();
    let Some((servers, clients)) = cpus::two(&allowed) else {
        say("  (one processor: server and clients cannot be set apart)");
        return;
    };
    let (ours, here) = (site.our_pids(), [std::process::id()]);
    cpus::keep_on(&servers, &ours);
    cpus::keep_on(&servers, &here);
    let mut contenders = [
        (ONE, Load::one(&site.ours(), one), ours.clone()),
        (BARE, Load::one(bare, "/"), here.to_vec()),
    ];
    let (mut figures, mut busy) = (Figures::default(), Medians::default());
    for _ in 0..TURNS {
        for (name, load, pids) in &contenders {
            let (before, idle) = (cpu_time(pids), cpus::idle(&clients));
            let begun = Instant::now();
            let done = wrk_on(&clients, load, CONNECTIONS, TURN / 2).await;
            assert_eq!(done.errors, 0, "{name}");
            let idle = (cpus::idle(&clients) - idle) / begun.elapsed().as_secs_f64();
            busy.add(name, 1.0 - idle.min(1.0));
            let cost = (cpu_time(pids) - before) / done.requests * 1e6;
            figures.add(name, done.rate(), done.bytes / done.seconds / 1e9, cost);
        }
        figures.compare(ONE, BARE);
        contenders.reverse();
    }
    cpus::keep_on(&allowed, &ours);
    cpus::keep_on(&allowed, &here);
    say("  server and clients on a processor each:");
    for name in [ONE, BARE] {
        let (rate, speed, cost) = figures.of(name);
        let client = busy.of(name) * 100.0;
        say(&format!(
            "  {name:<32} {rate:>7.0}   {speed:.2} GB/s, {cost:.0} µs; the client's processor is busy for \
             {client:.0} % of the time"
        ));
    }
    let ratio = figures.ratio(ONE, BARE);
    say(&format!(
        "  {ONE}: {ratio:.2} of {BARE} (median of {TURNS} ratios)"
    ));
}
