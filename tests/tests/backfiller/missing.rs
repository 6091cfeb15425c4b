//! What is fetched, what is left, and in which order.

use chrono::{DateTime, TimeDelta, Utc};
use tests::content::{sha256_base64, ts_bytes};
use tests::node::Node;

use super::peer::{ScriptedPeer, path, segment_name};
use super::{CHANNEL, HOUR, SOON, names, put, run_once};

#[tokio::test]
async fn halves_of_two_peers_become_a_whole_and_nothing_is_fetched_twice() {
    let node = Node::new("b");
    let (left, right) = (ScriptedPeer::start().await, ScriptedPeer::start().await);
    let mut expected = Vec::new();
    for second in 0..40 {
        // Those in the middle are at both.
        let seed = second.into();
        let at_left = (second < 30).then(|| left.add(HOUR, second * 2, seed));
        let at_right = (second >= 10).then(|| right.add(HOUR, second * 2, seed));
        expected.extend(at_left.or(at_right));
    }
    let (_, code) = run_once(&node, &[&left, &right], &[]).await;
    assert_eq!(code, Some(0));
    assert_eq!(names(&node, HOUR), expected);
    assert!(node.wrong_hashes(CHANNEL, "source").is_empty());
    assert!(node.temp_files().is_empty());
    for name in &expected {
        let path = path(HOUR, name);
        let count = left.origin.count(&path) + right.origin.count(&path);
        assert_eq!(count, 1, "{name}");
    }
    // With all of it here, listings are all that is asked for.
    let (_, code) = run_once(&node, &[&left, &right], &[]).await;
    assert_eq!(code, Some(0));
    for name in &expected {
        let path = path(HOUR, name);
        let count = left.origin.count(&path) + right.origin.count(&path);
        assert_eq!(count, 1, "{name}");
    }
}

#[tokio::test]
async fn every_type_is_fetched_under_the_name_that_the_peer_gave_it() {
    let node = Node::new("b");
    let peer = ScriptedPeer::start().await;
    let content = ts_bytes(1, 1000);
    let hash = sha256_base64(&content);
    let wanted = [
        format!("00:00.000000-2.0-full-{hash}.ts"),
        format!("00:10-2.50-suspect-{hash}.ts"),
        format!("00:20.5-0-partial-{hash}.ts"),
        format!("00:30.000000-2.0-partial-{}.ts", sha256_base64(b"")),
    ];
    for name in &wanted[..3] {
        peer.put(HOUR, name, &content);
    }
    peer.put(HOUR, &wanted[3], b"");
    let (_, code) = run_once(&node, &[&peer], &[]).await;
    assert_eq!(code, Some(0));
    assert_eq!(names(&node, HOUR), wanted);
}

#[tokio::test]
async fn twins_and_what_a_tombstone_hides_are_left() {
    let node = Node::new("b");
    let peer = ScriptedPeer::start().await;
    let content = ts_bytes(1, 1000);
    let hash = sha256_base64(&content);
    let name = |time: &str| format!("{time}-2.0-full-{hash}.ts");
    let (twin, here) = (name("00:10.000500"), name("00:10.000000"));
    let buried = name("00:20.000000");
    let wanted = name("00:30.000000");
    let tombstone = buried.replace(".ts", ".tombstone");
    // Over the edge of the hour.
    let (edge, edge_here) = (name("00:00.000200"), name("59:59.999900"));
    put(&node, HOUR, &here, &content);
    put(&node, HOUR, &tombstone, b"");
    put(&node, "2026-01-02T02", &edge_here, &content);
    for name in [&twin, &buried, &wanted, &edge] {
        peer.put(HOUR, name, &content);
    }
    let (_, code) = run_once(&node, &[&peer], &[]).await;
    assert_eq!(code, Some(0));
    assert_eq!(names(&node, HOUR), [here, tombstone, wanted.clone()]);
    for name in [&twin, &buried, &edge] {
        assert_eq!(peer.origin.count(&path(HOUR, name)), 0, "{name}");
    }
    assert_eq!(peer.origin.count(&path(HOUR, &wanted)), 1);
}

#[tokio::test]
async fn of_twins_that_are_both_missing_one_is_fetched() {
    let node = Node::new("b");
    let (one, two) = (ScriptedPeer::start().await, ScriptedPeer::start().await);
    let mut wanted = 0;
    for second in (0..40).step_by(2) {
        let content = ts_bytes(second, 20_000);
        let hash = sha256_base64(&content);
        let name = |micros: u32| format!("00:{second:02}.{micros:06}-2.0-full-{hash}.ts");
        // Two at one peer, a third one at the other.
        for (peer, micros) in [(&one, 100), (&one, 900), (&two, 500)] {
            peer.put(HOUR, &name(micros), &content);
        }
        wanted += 1;
    }
    let (service, code) = run_once(&node, &[&one, &two], &[]).await;
    assert_eq!(code, Some(0), "{:?}", service.log());
    assert_eq!(names(&node, HOUR).len(), wanted);
    let asked = |peer: &ScriptedPeer| {
        let log = peer.origin.log();
        let segments = log.iter().filter(|e| e.request.path.starts_with("/segm"));
        segments.count()
    };
    assert_eq!(asked(&one) + asked(&two), wanted);
}

#[tokio::test]
async fn what_is_recent_is_left_to_the_downloader() {
    let node = Node::new("b");
    let peer = ScriptedPeer::start().await;
    let content = ts_bytes(1, 1000);
    let hash = sha256_base64(&content);
    let put = |start: DateTime<Utc>| {
        let hour = start.format("%Y-%m-%dT%H").to_string();
        let name = format!("{}-2.0-full-{hash}.ts", start.format("%M:%S%.6f"));
        peer.put(&hour, &name, &content);
        (hour, name)
    };
    let now = Utc::now();
    let young = put(now - TimeDelta::seconds(60));
    let future = put(now + TimeDelta::hours(2));
    let old = put(now - TimeDelta::seconds(181));
    let base = node.base_dir().display().to_string();
    let url = peer.origin.url("");
    let arguments = [
        CHANNEL,
        "--base-dir",
        &base,
        "--static-nodes",
        &url,
        "--recent-cutoff",
        "180",
        "--run-once",
        "--metrics-port",
        "0",
    ];
    let arguments = arguments.map(str::to_owned);
    let mut service = node.start("backfiller", &arguments, &[]).await;
    assert_eq!(service.wait(SOON).await.code(), Some(0));
    let here: Vec<String> = node.files(CHANNEL, "source").into_keys().collect();
    assert_eq!(here, [format!("{}/{}", old.0, old.1)]);
    for (hour, name) in [young, future] {
        assert_eq!(peer.origin.count(&path(&hour, &name)), 0, "{name}");
    }
}

#[tokio::test]
async fn hours_come_in_the_order_wanted_and_none_before_the_start() {
    let peer = ScriptedPeer::start().await;
    let hours = [
        "2026-01-02T05",
        "2026-01-01T23",
        "2026-01-02T04",
        "2025-12-31T00",
    ];
    for (seed, hour) in hours.iter().enumerate() {
        peer.add(hour, 0, seed as u64);
    }
    let table = [
        (
            "newest",
            vec!["2026-01-02T05", "2026-01-02T04", "2026-01-01T23"],
        ),
        (
            "oldest",
            vec!["2026-01-01T23", "2026-01-02T04", "2026-01-02T05"],
        ),
    ];
    let mut seen = 0;
    for (order, expected) in table {
        let node = Node::new("b");
        let options = ["--order", order, "--start", "2026-01-01T23:59:59+00:00"];
        let (_, code) = run_once(&node, &[&peer], &options).await;
        assert_eq!(code, Some(0));
        let log = peer.origin.log();
        let begin = format!("/segments/{CHANNEL}/source/");
        let new = log.iter().skip(seen);
        let asked = new.filter_map(|exchange| exchange.request.path.strip_prefix(&begin));
        let asked: Vec<&str> = asked.map(|path| &path[..13]).collect();
        assert_eq!(asked, expected, "{order}");
        seen = log.len();
    }
}

#[tokio::test]
async fn qualities_are_fetched_each_where_it_is() {
    let node = Node::new("b");
    let peer = ScriptedPeer::start().await;
    let content = ts_bytes(7, 500);
    let name = segment_name(0, "full", &content);
    peer.put(HOUR, &name, &content);
    // Only 720p has this hour: the union is what there is to do.
    let other = "2026-01-02T09";
    peer.list_in("720p", other, &name);
    let served = format!("/segments/{CHANNEL}/720p/{other}/{name}");
    peer.origin.put(&served, content, "video/mp2t");
    let (_, code) = run_once(&node, &[&peer], &["--qualities", "source,720p"]).await;
    assert_eq!(code, Some(0));
    assert_eq!(names(&node, HOUR), [name.as_str()]);
    let here: Vec<String> = node.files(CHANNEL, "720p").into_keys().collect();
    assert_eq!(here, [format!("{other}/{name}")]);
}

#[tokio::test]
async fn files_here_that_are_none_of_ours_are_left_counted_and_said_once() {
    let node = Node::new("b");
    let peer = ScriptedPeer::start().await;
    let name = peer.add(HOUR, 0, 0);
    for unknown in ["notes.txt", "x.ts", "y.json"] {
        put(&node, HOUR, unknown, b"ours");
    }
    let service = super::start(&node, &[&peer], &["--interval", "0.1"]).await;
    tests::eventually(SOON, "some rounds", async || {
        let done = service.count_log("round done");
        (done > 4).then_some(()).ok_or(format!("{done}"))
    })
    .await;
    let place = [("channel", CHANNEL), ("quality", "source")];
    let metrics = service.metrics().await;
    assert_eq!(metrics.get("unknown_files_total", &place), Some(3.0));
    for unknown in ["notes.txt", "x.ts", "y.json"] {
        assert_eq!(service.count_log(unknown), 1, "{unknown}");
    }
    assert_eq!(names(&node, HOUR), [&name, "notes.txt", "x.ts", "y.json"]);
}
