//! `--max-rate` and `--max-downloads`: bounds over all peers.

use std::time::Duration;

use tests::node::Node;
use tests::origin::{Fault, Gate, Hold, Log, Matching};
use tokio::time::Instant;

use super::peer::ScriptedPeer;
use super::{CHANNEL, HOUR, SOON, names, start};

/// So many segments of 20 kB at each peer, all different.
const EACH: u32 = 20;

async fn three_peers() -> Vec<ScriptedPeer> {
    let mut peers = Vec::new();
    for number in 0..3 {
        let peer = ScriptedPeer::start().await;
        for second in 0..EACH {
            let second = number * EACH + second;
            peer.add(HOUR, second * 2, second.into());
        }
        peers.push(peer);
    }
    peers
}

fn segments(log: &Log) -> usize {
    let requests = log.iter().map(|exchange| exchange.request.path.as_str());
    requests
        .filter(|path| path.starts_with("/segments/"))
        .count()
}

#[tokio::test]
async fn all_peers_together_keep_to_the_rate() {
    let node = Node::new("b");
    let peers = three_peers().await;
    let all: Vec<&ScriptedPeer> = peers.iter().collect();
    let begun = Instant::now();
    let extra = ["--max-rate", "300K", "--run-once"];
    let mut service = start(&node, &all, &extra).await;
    assert_eq!(service.wait(SOON * 2).await.code(), Some(0));
    let seconds = begun.elapsed().as_secs_f64();
    assert_eq!(names(&node, HOUR).len(), 3 * EACH as usize);
    // 1.2 MB, of which 75 kB were saved up.
    assert!(seconds > 3.7, "{seconds}");
}

#[tokio::test]
async fn all_peers_together_keep_to_the_number_of_downloads() {
    // A low rate bears four downloads of 100 kB/s.
    for bound in [["--max-downloads", "4"], ["--max-rate", "400K"]] {
        let node = Node::new("b");
        let peers = three_peers().await;
        let gate = Gate::new();
        for peer in &peers {
            let hold = Fault::stall_after(10, Hold::Until(gate.clone()));
            peer.origin.always(Matching::prefix("/segments/"), hold);
        }
        let all: Vec<&ScriptedPeer> = peers.iter().collect();
        let service = start(&node, &all, &bound).await;
        // Every worker knows what is missing and wants more of it than it gets.
        let hour = format!("/files/{CHANNEL}/source/{HOUR}");
        for peer in &peers {
            let listed = |log: &Log| log.count(&hour) == 1;
            peer.origin.wait_for(SOON, listed).await.unwrap();
        }
        tests::eventually(SOON, "all to be planned and four under way", async || {
            let metrics = service.metrics().await;
            let missing = metrics.sum("backfill_missing_segments", &[]);
            let in_flight = metrics.sum("backfill_in_flight", &[]);
            match (missing, in_flight) {
                (60.0, 4.0) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        let asked: usize = peers.iter().map(|peer| segments(&peer.origin.log())).sum();
        assert!(asked <= 4, "{asked}");
        gate.open();
        for _ in 0..3 {
            service.wait_for_log("round done", SOON).await;
        }
        tests::eventually(SOON, "all to be here", async || {
            match names(&node, HOUR).len() {
                60 => Ok(()),
                count => Err(count.to_string()),
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_peer_that_trickles_leaves_downloads_to_the_others() {
    let node = Node::new("b");
    let peers = three_peers().await;
    let [slow, quick] = [&peers[0], &peers[1]];
    let drip = Fault::none().dripping(1, Duration::from_secs(1));
    slow.origin.always(Matching::prefix("/segments/"), drip);
    // The quick one comes when the slow one has taken all it can.
    let gate = Gate::new();
    let hold = Fault::stall_head(Hold::Until(gate.clone()));
    let source = format!("/files/{CHANNEL}/source");
    quick.origin.always(source, hold);
    let service = start(&node, &[slow, quick], &["--max-downloads", "4"]).await;
    let taken = |log: &Log| segments(log) == 3;
    slow.origin.wait_for(SOON, taken).await.unwrap();
    gate.open();
    let line = service.wait_for_log("round done", SOON).await;
    assert!(line.contains("segments=20 "), "{line}");
    assert_eq!(segments(&slow.origin.log()), 3);
}

#[tokio::test]
async fn what_waits_for_the_rate_is_not_taken_for_a_stall() {
    let node = Node::new("b");
    let peer = ScriptedPeer::start().await;
    let name = peer.add(HOUR, 0, 0);
    // 20 kB at 10 kB a second take longer than a stall may.
    let extra = ["--max-rate", "10K", "--stall-timeout", "0.5", "--run-once"];
    let mut service = start(&node, &[&peer], &extra).await;
    assert_eq!(service.wait(Duration::from_secs(30)).await.code(), Some(0));
    assert_eq!(names(&node, HOUR), [name]);
}
