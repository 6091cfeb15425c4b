//! `make demo SECONDS=…` ends by itself, says what it did, and leaves nothing running.

use std::path::Path;
use std::time::Duration;

use tests::node::{Binaries, Service};

/// The demo, its last segments, and a busy machine.
const SOON: Duration = Duration::from_secs(150);

fn demo(seconds: &str) -> Service {
    let program = Binaries::get().path("demo");
    Service::spawn("the demo", &program, &[], &[("SECONDS", seconds)])
}

/// Processes whose parent is this one.
fn children(of: u32) -> Vec<u32> {
    let path = format!("/proc/{of}/task");
    let tasks = std::fs::read_dir(Path::new(&path))
        .into_iter()
        .flatten()
        .flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_whitespace()
                .filter_map(|id| id.parse().ok())
                .collect::<Vec<_>>()
        })
        .collect()
}

fn is_alive(id: &u32) -> bool {
    Path::new(&format!("/proc/{id}")).exists()
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_by_itself_when_both_nodes_hold_the_same() {
    let mut demo = demo("12");
    let status = demo.wait(SOON).await;
    let log = demo.log().join("\n");
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(
        log.contains("recorded on A") && log.contains("replicated on B"),
        "{log}"
    );
    assert!(log.contains("/playlist/demo.m3u8"), "{log}");
    assert!(log.contains("B holds exactly A's"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_stops_everything_that_it_started() {
    let mut demo = demo("");
    demo.wait_for_log("recorded on A", SOON).await;
    let started = children(demo.id().expect("a running process"));
    assert!(started.len() >= 5, "ffmpeg and four services: {started:?}");
    demo.terminate();
    assert_eq!(demo.wait(SOON).await.code(), Some(0));
    let left: Vec<_> = started.into_iter().filter(is_alive).collect();
    assert!(left.is_empty(), "{left:?} are left");
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_refused() {
    let mut demo = demo("soon");
    assert_eq!(demo.wait(SOON).await.code(), Some(2));
    assert!(
        demo.log()[0].contains("SECONDS=\"soon\""),
        "{:?}",
        demo.log()
    );
}
