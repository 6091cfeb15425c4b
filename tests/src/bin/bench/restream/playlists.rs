//! Playlists of an hour, warm, as many a second as go: of one range, and of twenty; with clients on
//! the same processors, and on another.

use std::fs;

use super::bare;
use super::cpus;
use super::load::{Load, wrk, wrk_on};
use super::site::{PER_HOUR, Site};
use super::{Medians, ROUNDS, TURN};
use crate::report::say;

/// What the system that this one replaces answers a second, as measured before on a machine of
/// this kind (issue 5): it cannot be had here.
const ORIGINAL_SAME: f64 = 178.0;
const ORIGINAL_DIFFERENT: f64 = 22.0;

const CONNECTIONS: usize = 16;

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
    let gzip = |load: Load| load.with("Accept-Encoding", "gzip");
    let contenders = [
        ("one range", Load::one(&site.ours(), &one)),
        // Next to what it is compared with: the machine's speed changes by the minute.
        ("a bare socket, the same bytes", Load::one(&bare, "/")),
        ("one range, gzip", gzip(Load::one(&site.ours(), &one))),
        ("20 ranges", Load::many(&site.ours(), &many)),
        ("20 ranges, gzip", gzip(Load::many(&site.ours(), &many))),
        (
            "nginx, the same text as a file",
            Load::one(&site.nginx(), "/segments/hour.m3u8"),
        ),
    ];
    let (mut rates, mut speeds) = (Medians::default(), Medians::default());
    for _ in 0..ROUNDS {
        for (name, load) in &contenders {
            let done = wrk(load, CONNECTIONS, TURN).await;
            assert_eq!(done.errors, 0, "{name}");
            rates.add(name, done.rate());
            speeds.add(name, done.bytes / done.seconds / 1e9);
        }
    }
    say(&format!(
        "playlists of an hour ({} bytes) a second, {CONNECTIONS} connections (wrk, 1 thread):",
        text.body.len()
    ));
    for (name, _) in &contenders {
        let rate = rates.of(name);
        let of_bare = rate / rates.of("a bare socket, the same bytes");
        let original = if name.starts_with("one") {
            format!(
                ", {:.0} times the original's {ORIGINAL_SAME}, {of_bare:.2} of a bare socket",
                rate / ORIGINAL_SAME
            )
        } else if name.starts_with("20") {
            format!(
                ", {:.0} times the original's {ORIGINAL_DIFFERENT}",
                rate / ORIGINAL_DIFFERENT
            )
        } else {
            String::new()
        };
        say(&format!(
            "  {name:<32} {rate:>7.0}   {:.2} GB/s{original}",
            speeds.of(name)
        ));
    }
    apart(site, &one, &bare).await;
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
    let (mut rates, mut ratios) = (Medians::default(), Medians::default());
    for _ in 0..2 * ROUNDS {
        let mut round = Vec::new();
        for load in [Load::one(&site.ours(), one), Load::one(bare, "/")] {
            let done = wrk_on(&clients, &load, CONNECTIONS, TURN / 2).await;
            assert_eq!(done.errors, 0);
            round.push(done.rate());
        }
        rates.add("ours", round[0]);
        rates.add("bare", round[1]);
        ratios.add("of bare", round[0] / round[1]);
    }
    cpus::keep_on(&allowed, &ours);
    cpus::keep_on(&allowed, &here);
    say(&format!(
        "  one range, server and clients on a processor each: {:.0}, a bare socket {:.0}: {:.2} of it \
         (median of {} ratios)",
        rates.of("ours"),
        rates.of("bare"),
        ratios.of("of bare"),
        2 * ROUNDS,
    ));
}
