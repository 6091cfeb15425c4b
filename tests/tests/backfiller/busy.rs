//! Peers that have too much to do and say when to come again.

use std::time::Duration;

use tests::node::Node;
use tests::origin::{Exchange, Fault, Matching, Resource};

use super::peer::ScriptedPeer;
use super::{CHANNEL, HOUR, SOON, names, run_once, start};

fn busy(status: u16, come_again: &str) -> Fault {
    let answer = Resource::text("busy\n").status(status);
    Fault::answer(answer.header("Retry-After", come_again))
}

#[tokio::test]
async fn a_peer_is_left_alone_for_as_long_as_it_wishes_and_nothing_is_lost() {
    let node = Node::new("b");
    let peer = ScriptedPeer::start().await;
    let all: Vec<String> = (0..12).map(|n| peer.add(HOUR, n * 2, n.into())).collect();
    let segments = || Matching::prefix("/segments/");
    peer.origin.next(3, segments(), Fault::none());
    peer.origin.next(1, segments(), busy(429, "2"));
    let hour = format!("/files/{CHANNEL}/source/{HOUR}");
    peer.origin.next(1, hour, busy(503, "1"));
    let service = start(&node, &[&peer], &["--download-concurrency", "1"]).await;
    let line = service.wait_for_log("round done", SOON).await;
    assert!(line.contains("failures=0"), "{line}");
    assert_eq!(names(&node, HOUR), all);
    let log = peer.origin.log();
    let log: Vec<&Exchange> = log.iter().collect();
    let mut pauses = Vec::new();
    for pair in log.windows(2) {
        if let Some(429 | 503) = pair[0].status {
            pauses.push((pair[1].started - pair[0].started).as_secs());
        }
    }
    let is_long_enough = pauses.len() == 2 && pauses[0] >= 1 && pauses[1] >= 2;
    assert!(is_long_enough, "{pauses:?}");
    assert_eq!(service.count_log("wants to be left alone"), 1);
    let metrics = service.metrics().await;
    let remote = [("remote", "127.0.0.1")];
    assert_eq!(metrics.get("backfill_busy_total", &remote), Some(2.0));
    assert_eq!(metrics.get("backfill_errors_total", &remote), Some(0.0));
}

#[tokio::test]
async fn a_peer_that_is_always_busy_is_not_asked_for_all_it_has() {
    let node = Node::new("b");
    let peer = ScriptedPeer::start().await;
    for hour in 0..5 {
        for n in 0..4 {
            peer.add(&format!("2026-01-02T0{hour}"), n * 2, n.into());
        }
    }
    // However long it wishes, a pause between rounds is enough.
    let always = busy(503, "86400");
    peer.origin.always(Matching::prefix("/segments/"), always);
    let begun = tokio::time::Instant::now();
    let (service, code) = run_once(&node, &[&peer], &["--interval", "1"]).await;
    assert!(begun.elapsed() > Duration::from_secs(1));
    assert_eq!(code, Some(1));
    let line = service.wait_for_log("round failed", SOON).await;
    assert!(line.contains("it has too much to do"), "{line}");
    let log = peer.origin.log();
    let asked = log.iter().filter(|e| e.status == Some(503)).count();
    // The four of one hour, three times each at most.
    assert!((6..=12).contains(&asked), "{asked}");
}
