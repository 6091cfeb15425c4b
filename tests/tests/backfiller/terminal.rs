//! `--run-once` on a terminal: a bar that a person can follow, and log lines that stay whole.

use std::path::Path;
use std::time::Duration;

use tests::node::{Binaries, Node, Service};

use super::peer::ScriptedPeer;
use super::{CHANNEL, HOUR, names, run_once};

/// Makes a terminal; every Debian has it.
const SCRIPT: &str = "/usr/bin/script";

#[tokio::test]
async fn a_bar_shows_segments_bytes_rate_and_the_time_left() {
    if !Path::new(SCRIPT).is_file() {
        eprintln!("skipped: there is no {SCRIPT}, which makes terminals");
        return;
    }
    let node = Node::new("b");
    let peer = ScriptedPeer::start().await;
    for second in 0..10 {
        peer.add(HOUR, second * 2, second.into());
    }
    let binaries = tokio::task::spawn_blocking(Binaries::get).await.unwrap();
    let command = format!(
        "{} {CHANNEL} --base-dir {} --static-nodes {} --localhost b --recent-cutoff 0 \
         --metrics-port 0 --run-once --max-rate 100K",
        binaries.path("backfiller").display(),
        node.base_dir().display(),
        peer.origin.url("")
    );
    let arguments = ["-qefc", &command, "/dev/null"].map(str::to_owned);
    let envs = [("TERM", "xterm"), ("COLUMNS", "120")];
    let mut service = Service::spawn(
        "backfiller on a terminal",
        Path::new(SCRIPT),
        &arguments,
        &envs,
    );
    assert_eq!(service.wait(Duration::from_secs(30)).await.code(), Some(0));
    assert_eq!(names(&node, HOUR).len(), 10);
    let log = service.log();
    let bars: Vec<&str> = log
        .iter()
        .flat_map(|line| line.split('\r'))
        .filter(|part| part.contains("/10 segments"))
        .collect();
    assert!(bars.len() > 3, "{log:?}");
    assert!(
        bars.iter()
            .all(|bar| bar.contains("/s, ") && bar.contains(" left")),
        "{bars:?}"
    );
    let counts: Vec<u32> = bars
        .iter()
        .filter_map(|bar| {
            bar.split("/10 ")
                .next()?
                .split_whitespace()
                .last()?
                .parse()
                .ok()
        })
        .collect();
    assert_eq!(counts.len(), bars.len(), "{bars:?}");
    assert!(
        counts.is_sorted() && counts.last() > counts.first(),
        "{counts:?}"
    );
    // A log line takes the place of the bar.
    let done = log.iter().find(|line| line.contains("round done")).unwrap();
    let text = done.rsplit("\u{1b}[K").next().unwrap();
    assert!(text.starts_with("20"), "{done:?}");
    assert!(!text.contains("segments,"), "{done:?}");
}

#[tokio::test]
async fn without_a_terminal_there_is_none() {
    let node = Node::new("b");
    let peer = ScriptedPeer::start().await;
    peer.add(HOUR, 0, 0);
    let (service, code) = run_once(&node, &[&peer], &[]).await;
    assert_eq!(code, Some(0));
    assert!(
        service
            .log()
            .iter()
            .all(|line| !line.contains(['\r', '\u{1b}']))
    );
}
