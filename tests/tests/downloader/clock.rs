//! A clock that is set while the downloader runs, by libfaketime: nothing waits for it.

use std::path::PathBuf;

use tests::node::Node;
use tests::origin::{LiveOptions, LiveStream, Log, Origin};

use super::SOON;

/// Debian's package `faketime`.
fn library() -> PathBuf {
    let directories = std::fs::read_dir("/usr/lib").expect("/usr/lib");
    let found = directories
        .flatten()
        .map(|entry| entry.path().join("faketime/libfaketime.so.1"))
        .find(|path| path.is_file());
    found.expect("libfaketime (apt-get install faketime)")
}

#[tokio::test]
async fn a_clock_that_is_set_disturbs_no_interval() {
    let origin = Origin::start().await;
    let mut stream = LiveStream::new(&origin, "live", LiveOptions::default());
    let node = Node::new("a");
    let clock = node.base_dir().join(".clock");
    std::fs::write(&clock, "+0").expect("a file");
    let base = node.base_dir().display().to_string();
    let channel = format!("test:url:{}", stream.url());
    let arguments = [
        &channel,
        "--base-dir",
        &base,
        "--metrics-port",
        "0",
        "--time-scale",
        "0.1",
    ];
    let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    let (library, clock_path) = (library().display().to_string(), clock.display().to_string());
    let environment = [
        ("LD_PRELOAD", library.as_str()),
        ("FAKETIME_TIMESTAMP_FILE", &clock_path),
        ("FAKETIME_NO_CACHE", "1"),
        // The clock that is set is the one on the wall.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    let downloader = node.start("downloader", &arguments, &environment).await;
    let mut expected = Vec::new();
    for step in ["+0", "+1d", "-2d", "+0"] {
        std::fs::write(&clock, step).expect("a file");
        for _ in 0..3 {
            expected.push(stream.push(3000).file());
            tests::eventually(SOON, "the segments so far", async || {
                let files = node.files("test", "source");
                let missing = expected.iter().find(|file| !files.contains_key(*file));
                missing.map_or(Ok(()), |file| Err(format!("{step}: no {file}")))
            })
            .await;
        }
        // Neither a standstill nor a storm of polls.
        let before = origin.count(&stream.path());
        let more = |log: &Log| log.count("/live/playlist.m3u8") > before + 5;
        origin.wait_for(SOON, more).await.expect("polls");
        let log = origin.log();
        let polls: Vec<_> = log.of("/live/playlist.m3u8").map(|e| e.started).collect();
        let fastest = polls[before..]
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .min();
        assert!(
            fastest.is_some_and(|f| f.as_millis() >= 15),
            "{step}: {fastest:?}"
        );
    }
    // The clock was really set: the gauge that compares with it says days.
    std::fs::write(&clock, "+30d").expect("a file");
    stream.push(3000);
    tests::eventually(SOON, "the other clock", async || {
        let behind = downloader.metrics().await.sum("seconds_behind_live", &[]);
        let real = (chrono::Utc::now() - stream.listed().last().expect("a segment").start)
            .num_seconds() as f64;
        let days = (behind - real) / 86_400.0;
        (29.0..31.0)
            .contains(&days)
            .then_some(())
            .ok_or(format!("{days} days"))
    })
    .await;
}
