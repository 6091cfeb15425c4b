//! A live playlist, while it is recorded: it plays on and on, near live, over a hole, and while
//! the past is filled in.

use chrono::{DateTime, TimeDelta, Utc};
use tests::eventually;
use tests::ffmpeg::{LiveHls, LiveHlsOptions};
use tests::node::Node;
use tests::origin::{Fault, RuleId};
use tests::playlist::Summary;

use crate::support::{Browser, SOON, date, mpv, recorded};

/// Segments that one node never gets from the origin.
const LOST: usize = 3;

/// Waits for so many segments, each of a second.
async fn wait_for(node: &Node, count: usize) {
    eventually(SOON, &format!("{count} segments"), async || {
        let have = recorded(&node.files("test", "source")).len();
        (have >= count)
            .then_some(())
            .ok_or(format!("there are {have}"))
    })
    .await;
}

/// Waits until a rule has met a request.
async fn wait_until_asked(live: &LiveHls, rule: RuleId) {
    eventually(SOON, "a request for a segment", async || {
        let uses = live.origin().uses(rule);
        (uses > 0).then_some(()).ok_or("none".to_owned())
    })
    .await;
}

/// The starts of the segments around the first second that a node lacks.
async fn wait_for_hole(node: &Node) -> (DateTime<Utc>, DateTime<Utc>) {
    eventually(SOON, "a hole", async || {
        let starts = recorded(&node.files("test", "source"));
        let pairs = starts.windows(2);
        let mut holes = pairs.filter(|pair| pair[1] - pair[0] > TimeDelta::milliseconds(1500));
        let hole = holes.next().map(|pair| (pair[0], pair[1]));
        hole.ok_or("none".to_owned())
    })
    .await
}

/// Waits until a hole of so many segments is one no more.
async fn wait_until_filled(node: &Node, hole: (DateTime<Utc>, DateTime<Utc>), count: usize) {
    eventually(SOON, "the hole to be filled", async || {
        let starts = recorded(&node.files("test", "source"));
        let inside = starts
            .iter()
            .filter(|&&start| hole.0 < start && start < hole.1);
        let inside = inside.count();
        (inside == count)
            .then_some(())
            .ok_or(format!("{inside} of {count}"))
    })
    .await;
}

/// The number of the segment that the origin listed last.
fn newest(live: &LiveHls) -> usize {
    let text = std::fs::read_to_string(live.directory().join("index.m3u8")).unwrap();
    let name = text.lines().rfind(|line| line.ends_with(".ts")).unwrap();
    name.trim_end_matches(".ts").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_plays_on_near_live_over_a_hole_and_while_the_past_is_filled_in() {
    tokio::task::spawn_blocking(tests::node::Binaries::get)
        .await
        .unwrap();
    let mut live = LiveHls::start(LiveHlsOptions {
        segment_seconds: 1,
        ..LiveHlsOptions::default()
    })
    .await;
    live.wait_first_playlist(SOON).await;
    // The same stream on another path, so that faults hit one node alone.
    live.origin().serve_dir("/spare/", live.directory());
    let (mut a, mut b) = (Node::new("a"), Node::new("b"));
    a.start_restreamer().await;
    b.start_restreamer().await;
    let channel = |path: &str| format!("test:url:{}", live.origin().url(path));
    let _of_a = a.start_downloader(&channel(live.path()), &[]).await;
    let _of_b = b.start_downloader(&channel("/spare/index.m3u8"), &[]).await;
    wait_for(&a, 12).await;

    let path = "/playlist/test/source.m3u8";
    let url = format!("{}{path}", a.restreamer_url());
    let browser = Browser::play(&url);
    let latency = browser
        .wait("the first picture", |message| {
            let is_playing = message["event"] == "playing";
            is_playing.then(|| message["latency"].as_f64()).flatten()
        })
        .await;
    let list = browser.messages("list").remove(0);
    let (seconds, target) = (
        list["seconds"].as_f64().unwrap(),
        list["target"].as_f64().unwrap(),
    );
    assert!(seconds >= 12.0 && target <= 2.0, "{list}");
    assert!(
        latency <= 3.0 * target + 2.0,
        "starts {latency} s behind the end of the list"
    );
    let shown = browser.wait("a date", date).await;
    let age = Utc::now() - shown;
    assert!(
        age < TimeDelta::seconds(15),
        "starts {age} behind the clock"
    );
    browser.wait_for_date(shown + TimeDelta::seconds(5)).await;

    // A segment that comes later than those after it: they wait for it.
    let late = format!("/live/{}.ts", newest(&live) + 2);
    let failing = live.origin().always(&*late, Fault::status(503));
    wait_until_asked(&live, failing).await;
    let gap = wait_for_hole(&a).await;
    live.origin().remove_rule(failing);
    wait_until_filled(&a, gap, 1).await;

    // A hole: three segments are never had.
    let first_lost = newest(&live) + 2;
    let failing = (first_lost..first_lost + LOST).map(|number| {
        let name = format!("/live/{number}.ts");
        live.origin().always(&*name, Fault::status(404))
    });
    for rule in failing.collect::<Vec<_>>() {
        wait_until_asked(&live, rule).await;
    }
    let hole = wait_for_hole(&a).await;
    // What follows is not told until there is no hope left, and then all of it.
    let (code, complaints) = mpv(&url, &["--length=3"]).await;
    assert_eq!(code, Some(0), "{complaints:?}");
    browser.wait_for_date(hole.1 + TimeDelta::seconds(3)).await;
    let told = browser.messages("loaded");
    let after = told.iter().find(|one| date(one) >= Some(hole.1)).unwrap();
    assert_eq!(date(after), Some(hole.1), "{after}");
    let held_back = after["now"].as_i64().unwrap() - hole.1.timestamp_millis();
    assert!(held_back >= 15_000, "told after {held_back} ms");

    // The past is filled in from the other node while it plays.
    let peers = [b.restreamer_url()];
    let mut backfiller = a.start_backfiller("test", &peers, &["--run-once"]).await;
    backfiller.wait(SOON).await;
    wait_until_filled(&a, hole, LOST).await;
    let filled = Utc::now();
    let played = browser.wait("a state", |message| {
        (message["event"] == "state").then(|| date(message))?
    });
    let _ = played.await;
    browser.wait_for_date(filled + TimeDelta::seconds(4)).await;

    let loaded = browser.assert_content();
    let in_hole = loaded
        .iter()
        .filter(|&&start| hole.0 < start && start < hole.1);
    assert_eq!(in_hole.count(), 0);
    // It missed nothing else: from its first segment on, it loaded all that A had in time.
    let gaps = loaded
        .windows(2)
        .filter(|pair| pair[1] - pair[0] > TimeDelta::milliseconds(1500));
    assert_eq!(gaps.count(), 1, "{loaded:?}");
    // Its list still has the hole; a range of the past has not.
    assert_eq!(Summary::read(&a.get(path).await.text()).holes, 1);
    let end = filled - TimeDelta::seconds(10);
    let range = format!("{path}?end={}", end.format("%Y-%m-%dT%H:%M:%S"));
    let past = Summary::read(&a.get(&range).await.text());
    assert!(past.ended && past.holes == 0, "{past:?}");
}
