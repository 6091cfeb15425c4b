//! Peers that have too much to do and say when to come again.

use tests::node::Node;
use tests::origin::{Exchange, Fault, Gate, Hold, Log, Matching, Resource};

use super::peer::{ScriptedPeer, path};
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
async fn a_peer_that_is_always_busy_is_left_alone_for_each_file_three_times() {
    let node = Node::new("b");
    let peer = ScriptedPeer::start().await;
    for hour in 0..2 {
        for n in 0..2 {
            peer.add(&format!("2026-01-02T0{hour}"), n * 2, n.into());
        }
    }
    // However long it wishes, a pause between rounds is enough.
    let always = busy(503, "86400");
    peer.origin.always(Matching::prefix("/segments/"), always);
    let begun = tokio::time::Instant::now();
    let (service, code) = run_once(&node, &[&peer], &["--interval", "1"]).await;
    // Two hours, three pauses each; nothing is left to ask for after the last one.
    let seconds = begun.elapsed().as_secs_f64();
    assert!(seconds >= 5.0, "{seconds}");
    assert_eq!(code, Some(1));
    let line = service.wait_for_log("round done", SOON).await;
    assert!(line.contains("failures=4"), "{line}");
    let log = peer.origin.log();
    let asked = log.iter().filter(|e| e.status == Some(503)).count();
    assert_eq!(asked, 12);
}

/// Has a peer list extras; gives their paths.
fn extras(peer: &ScriptedPeer, count: usize) -> Vec<String> {
    let extras: Vec<String> = (0..count).map(|n| n.to_string()).collect();
    let list = Resource::json(&serde_json::json!(extras));
    peer.origin.put_resource("/extras/extras", list);
    let paths = extras.iter().map(|name| format!("/segments/extras/{name}"));
    let paths: Vec<String> = paths.collect();
    for path in &paths {
        peer.origin.put(path, "content", "text/plain");
    }
    paths
}

#[tokio::test]
async fn new_footage_does_not_wait_for_extras_of_which_the_peer_has_too_much_to_do() {
    let node = Node::new("b");
    let peer = ScriptedPeer::start().await;
    let first = peer.add(HOUR, 0, 0);
    extras(&peer, 10);
    let prefix = "/segments/extras/";
    peer.origin
        .always(Matching::prefix(prefix), busy(503, "86400"));
    let extra = ["--extras", "extras", "--interval", "2"];
    let service = start(&node, &[&peer], &extra).await;
    let count = |log: &Log| {
        log.iter()
            .filter(|e| e.request.path.starts_with(prefix))
            .count()
    };
    // One in each pause.
    for pauses in 1..=4 {
        let asked = |log: &Log| count(log) >= pauses;
        peer.origin.wait_for(SOON, asked).await.unwrap();
    }
    let late = peer.add(HOUR, 2, 2);
    let before = count(&peer.origin.log());
    tests::eventually(SOON, "what came meanwhile", async || {
        let here = names(&node, HOUR);
        let is_all = here == [first.clone(), late.clone()];
        is_all.then_some(()).ok_or(format!("{here:?}"))
    })
    .await;
    // The next round, not one that waited.
    assert!(count(&peer.origin.log()) <= before + 2);
    // The same each time is told once.
    assert_eq!(service.count_log("extras failed"), 1);
    assert_eq!(service.count_log("wants to be left alone"), 0);
}

#[tokio::test]
async fn a_file_of_which_the_peer_always_has_too_much_to_do_hides_nothing() {
    let node = Node::new("b");
    let peer = ScriptedPeer::start().await;
    let newest = "2026-01-02T05";
    let never = peer.add(newest, 0, 100);
    let all: Vec<String> = (0..12).map(|n| peer.add(HOUR, n * 2, n.into())).collect();
    peer.origin.always(path(newest, &never), busy(503, "1"));
    let extra = ["--interval", "1", "--download-concurrency", "2"];
    let service = start(&node, &[&peer], &extra).await;
    let line = service.wait_for_log("round done", SOON).await;
    assert!(
        line.contains("segments=12 ") && line.contains("failures=1 "),
        "{line}"
    );
    assert_eq!(names(&node, HOUR), all);
    // No round waits for it any more, and it is asked for once in each.
    let never = path(newest, &never);
    let asked = |log: &Log| log.count(&never) >= 6;
    peer.origin.wait_for(SOON, asked).await.unwrap();
    assert!(service.count_log("round done") >= 3);
    assert_eq!(service.count_log("wants to be left alone"), 1);
}

#[tokio::test]
async fn a_round_and_an_extra_beside_it_keep_to_the_downloads_of_a_peer() {
    let node = Node::new("b");
    let peer = ScriptedPeer::start().await;
    extras(&peer, 3);
    let gate = Gate::new();
    let hold = Fault::stall_after(3, Hold::Until(gate.clone()));
    peer.origin.always(Matching::prefix("/segments/"), hold);
    let extra = ["--extras", "extras", "--interval", "1"];
    let extra = [&extra[..], &["--download-concurrency", "3"]].concat();
    let service = start(&node, &[&peer], &extra).await;
    let of = |log: &Log, prefix: &str| {
        let paths = log.iter().map(|exchange| &exchange.request.path);
        paths.filter(|path| path.starts_with(prefix)).count()
    };
    let (segments, files) = (format!("/segments/{CHANNEL}/"), "/segments/extras/");
    peer.origin
        .wait_for(SOON, |log| of(log, files) == 1)
        .await
        .unwrap();
    let all: Vec<String> = (0..6).map(|n| peer.add(HOUR, n * 2, n.into())).collect();
    peer.origin
        .wait_for(SOON, |log| of(log, &segments) == 2)
        .await
        .unwrap();
    let hour = format!("/files/{CHANNEL}/source/{HOUR}");
    peer.origin
        .wait_for(SOON, |log| log.count(&hour) >= 1)
        .await
        .unwrap();
    let metrics = service.metrics().await;
    assert_eq!(metrics.sum("backfill_in_flight", &[]), 3.0);
    let log = peer.origin.log();
    assert_eq!((of(&log, &segments), of(&log, files)), (2, 1));
    gate.open();
    tests::eventually(SOON, "all to be here", async || {
        let here = names(&node, HOUR);
        (here == all).then_some(()).ok_or(format!("{here:?}"))
    })
    .await;
}
