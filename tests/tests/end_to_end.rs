//! The main job on real video: recorded from ffmpeg's live HLS, replicated, and played back.

use std::time::Duration;

use tests::eventually;
use tests::ffmpeg::{Container, LiveHls, LiveHlsOptions, decode, probe};
use tests::node::{Binaries, Node, Service};
use tests::playlist::Summary;

const SOON: Duration = Duration::from_secs(60);

/// Starts ffmpeg once everything that would make it wait is built.
async fn live(options: LiveHlsOptions) -> LiveHls {
    tokio::task::spawn_blocking(Binaries::get)
        .await
        .expect("the binaries");
    let mut live = LiveHls::start(options).await;
    live.wait_first_playlist(SOON).await;
    live
}

async fn record(node: &Node, live: &LiveHls) -> Service {
    node.start_downloader(&format!("test!:url:{}", live.url()), &[])
        .await
}

fn full(node: &Node) -> Vec<String> {
    let files = node.files("test", "source").into_keys();
    files.filter(|name| name.contains("-full-")).collect()
}

async fn wait_for(node: &Node, count: usize) {
    eventually(SOON, &format!("{count} segments"), async || {
        let full = full(node);
        (full.len() >= count)
            .then_some(())
            .ok_or(format!("there are {}", full.len()))
    })
    .await;
}

/// The playlist of everything, and its URL with bounds, so that it is complete.
async fn playlist(node: &Node) -> (Summary, String) {
    let text = node.get("/playlist/test/source.m3u8").await.text();
    let summary = Summary::read(&text);
    let (start, end) = summary.range.clone().expect("a playlist that is not empty");
    let path = format!("/playlist/test/source.m3u8?start={start}&end={end}");
    let bounded = Summary::read(&node.get(&path).await.text());
    assert!(bounded.ended, "a complete range ends");
    assert_eq!(bounded.segments, summary.segments);
    (summary, format!("{}{path}", node.restreamer_url()))
}

/// Everything a node holds is what its name says, and nothing is left over.
fn assert_clean(node: &Node) {
    assert_eq!(node.wrong_hashes("test", "source"), [""; 0]);
    assert_eq!(node.temp_files(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_seconds_are_recorded_and_play() {
    let mut live = live(LiveHlsOptions::default()).await;
    let mut node = Node::new("a");
    node.start_restreamer().await;
    let mut downloader = record(&node, &live).await;
    wait_for(&node, 10).await;
    live.finish().await;
    // What ffmpeg listed last is recorded too.
    let text = std::fs::read_to_string(live.directory().join("index.m3u8")).expect("a playlist");
    let listed = text.lines().rfind(|line| line.ends_with(".ts"));
    let number: usize = listed
        .and_then(|name| name.strip_suffix(".ts")?.parse().ok())
        .expect("a name");
    wait_for(&node, number + 1).await;
    downloader.terminate();
    assert_eq!(downloader.wait(SOON).await.code(), Some(0));

    assert_clean(&node);
    let (summary, url) = playlist(&node).await;
    assert_eq!(summary.holes, 0);
    assert_eq!(summary.segments, number + 1);
    let probed = probe(&url).await;
    assert!(
        probed.readable && probed.errors.is_empty(),
        "{}",
        probed.errors
    );
    let duration = probed.duration.expect("a duration");
    assert!(
        (duration - summary.seconds).abs() <= 2.0,
        "{duration} of {}",
        summary.seconds
    );
    // Not only listed, but there: every picture comes out, in a whole.
    let decoded = decode(&url).await;
    assert!(
        decoded.success && decoded.errors.is_empty(),
        "{}",
        decoded.errors
    );
    let frames = (summary.seconds * 25.0).round() as u64;
    assert!(
        decoded.frames.abs_diff(frames) <= 1,
        "{} of {frames}",
        decoded.frames
    );
    // The master playlist leads to the same.
    let probed = probe(&format!("{}/playlist/test.m3u8", node.restreamer_url())).await;
    assert!(
        probed.readable && probed.errors.is_empty(),
        "{}",
        probed.errors
    );
    assert_eq!(
        probed.stream("video").map(|video| video.codec.as_str()),
        Some("h264")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_downloader_was_dead_gets_everything_from_the_other() {
    // A list of 6 s: what slides out of it in 8 s, only the other node has.
    let options = LiveHlsOptions {
        list_size: 3,
        ..LiveHlsOptions::default()
    };
    let mut live = live(options).await;
    let (mut a, mut b) = (Node::new("a"), Node::new("b"));
    a.start_restreamer().await;
    b.start_restreamer().await;
    let mut of_a = record(&a, &live).await;
    let mut of_b = record(&b, &live).await;
    wait_for(&a, 3).await;
    of_a.kill_hard();
    of_a.wait(SOON).await;
    // 8 s and what the list still shows.
    let before = full(&b).len();
    wait_for(&b, before + 5).await;
    of_a = record(&a, &live).await;
    let before = full(&a).len();
    wait_for(&a, before + 3).await;
    live.finish().await;
    for downloader in [&mut of_a, &mut of_b] {
        downloader.terminate();
        assert_eq!(downloader.wait(SOON).await.code(), Some(0));
    }
    assert!(full(&a).len() < full(&b).len(), "A has missed something");
    let missed_nothing = full(&a);

    for (node, peer) in [(&a, &b), (&b, &a)] {
        let peers = [peer.restreamer_url()];
        let mut backfiller = node.start_backfiller("test", &peers, &["--run-once"]).await;
        assert_eq!(
            backfiller.wait(SOON).await.code(),
            Some(0),
            "{:?}",
            backfiller.log()
        );
    }
    assert_eq!(a.files("test", "source"), b.files("test", "source"));
    assert!(full(&a).len() > missed_nothing.len());
    for node in [&a, &b] {
        assert_clean(node);
        let (summary, url) = playlist(node).await;
        assert_eq!(summary.holes, 0);
        let probed = probe(&url).await;
        assert!(
            probed.readable && probed.errors.is_empty(),
            "{}",
            probed.errors
        );
    }
}

/// MPEG-TS, fMP4 and AES-128, as ffmpeg makes them: every stored segment plays alone, and all of
/// them joined play from end to end.
#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_segment_plays_alone_and_joined() {
    for (container, key) in [
        (Container::Ts, None),
        (Container::Fmp4, None),
        (Container::Ts, Some(*b"0123456789abcdef")),
    ] {
        let live = live(LiveHlsOptions {
            container,
            key,
            ..LiveHlsOptions::default()
        })
        .await;
        let node = Node::new("a");
        let mut downloader = record(&node, &live).await;
        wait_for(&node, 4).await;
        downloader.terminate();
        assert_eq!(downloader.wait(SOON).await.code(), Some(0));
        let names = full(&node);
        let mut joined = Vec::new();
        for name in &names {
            let path = node.base_dir().join("test/source").join(name);
            let decoded = decode(&path.display().to_string()).await;
            let what = format!("{container:?} {key:?} {name}: {}", decoded.errors);
            assert!(decoded.success && decoded.errors.is_empty(), "{what}");
            assert_eq!(decoded.frames, 50, "{what}");
            joined.extend(std::fs::read(&path).expect("a segment"));
        }
        let path = node.base_dir().join(".joined");
        std::fs::write(&path, joined).expect("a file");
        let decoded = decode(&path.display().to_string()).await;
        // fMP4 segments carry their init section each: ffmpeg says so and goes on.
        let complaints: Vec<&str> = decoded
            .errors
            .lines()
            .filter(|line| {
                !line.contains("duplicated MOOV") && !line.contains("Last message repeated")
            })
            .collect();
        assert!(
            decoded.success && complaints.is_empty(),
            "{container:?}: {complaints:?}"
        );
        assert_eq!(
            decoded.frames,
            50 * names.len() as u64,
            "{container:?} {key:?}"
        );
        let seconds = 2.0 * names.len() as f64;
        assert!(
            (decoded.seconds - seconds).abs() < 0.2,
            "{} of {seconds}",
            decoded.seconds
        );
    }
}
