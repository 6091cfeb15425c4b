//! Start, end and exit codes.

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use tests::eventually;
use tests::node::{Node, free_port};
use tests::origin::{Fault, Hold, Matching, Outcome};

use super::peer::ScriptedPeer;
use super::{CHANNEL, HOUR, SOON, names, put, run_once, start};

#[tokio::test]
async fn sigterm_drops_downloads_at_once_and_leaves_nothing() {
    let node = Node::new("b");
    let peer = ScriptedPeer::start().await;
    for n in 0..20 {
        peer.add(HOUR, n * 2, n.into());
    }
    let stall = Fault::stall_after(10_000, Hold::Forever);
    peer.origin.always(Matching::prefix("/segments/"), stall);
    let mut service = start(&node, &[&peer], &["--download-concurrency", "3"]).await;
    eventually(SOON, "three temporary files", async || {
        match node.temp_files().len() {
            3 => Ok(()),
            count => Err(format!("{count}")),
        }
    })
    .await;
    service.terminate();
    assert_eq!(service.wait(Duration::from_secs(5)).await.code(), Some(0));
    assert!(node.temp_files().is_empty());
    assert!(names(&node, HOUR).is_empty());
    let over = |log: &tests::origin::Log| {
        let segments = log
            .iter()
            .filter(|e| e.request.path.starts_with("/segments/"));
        segments
            .filter(|e| e.outcome == Outcome::CutByClient)
            .count()
            == 3
    };
    peer.origin.wait_for(SOON, over).await.unwrap();
    let log = peer.origin.log();
    let asked = log
        .iter()
        .filter(|e| e.request.path.starts_with("/segments/"));
    assert_eq!(asked.count(), 3, "no more at once than wanted");
}

#[tokio::test]
async fn one_round_that_is_stopped_does_not_say_that_all_is_here() {
    let node = Node::new("b");
    let peer = ScriptedPeer::start().await;
    peer.add(HOUR, 0, 0);
    let stall = Fault::stall_after(10_000, Hold::Forever);
    peer.origin.always(Matching::prefix("/segments/"), stall);
    let mut service = start(&node, &[&peer], &["--run-once"]).await;
    eventually(SOON, "a temporary file", async || {
        match node.temp_files().len() {
            1 => Ok(()),
            count => Err(format!("{count}")),
        }
    })
    .await;
    service.terminate();
    assert_eq!(service.wait(Duration::from_secs(5)).await.code(), Some(1));
    assert_eq!(service.count_log("stopped: not everything was fetched"), 1);
    assert!(node.temp_files().is_empty());
}

#[tokio::test]
async fn sigterm_ends_a_backfiller_that_waits() {
    let node = Node::new("b");
    let peer = ScriptedPeer::start().await;
    let mut service = start(&node, &[&peer], &[]).await;
    service.wait_for_log("round done", SOON).await;
    service.terminate();
    assert_eq!(service.wait(Duration::from_secs(5)).await.code(), Some(0));
    let mut service = start(&node, &[], &[]).await;
    service
        .wait_for_log("there is no peer to fetch from", SOON)
        .await;
    service.terminate();
    assert_eq!(service.wait(Duration::from_secs(5)).await.code(), Some(0));
}

#[tokio::test]
async fn one_round_says_by_its_exit_code_whether_all_is_here() {
    let node = Node::new("b");
    let peer = ScriptedPeer::start().await;
    let good = peer.add(HOUR, 0, 0);
    let (service, code) = run_once(&node, &[&peer], &[]).await;
    assert_eq!(code, Some(0));
    assert_eq!(service.count_log("round done"), 1);
    assert_eq!(run_once(&node, &[], &[]).await.1, Some(0));

    // A peer that is down: the other one is asked all the same.
    let other = Node::new("c");
    let urls = [
        format!("http://127.0.0.1:{}", free_port()),
        peer.origin.url(""),
    ];
    let mut service = other
        .start_backfiller(CHANNEL, &urls, &["--run-once"])
        .await;
    assert_eq!(service.wait(SOON).await.code(), Some(1));
    assert_eq!(names(&other, HOUR), [good.as_str()]);
    assert_eq!(service.count_log("ERROR"), 1);
    let down = urls[0].strip_prefix("http://").unwrap();
    let line = service
        .wait_for_log("not everything was fetched", SOON)
        .await;
    assert!(
        line.contains("0 segments are still missing") && line.contains(down),
        "{line}"
    );

    // A segment that cannot be had.
    peer.list(HOUR, &super::peer::segment_name(2, "full", b"nowhere"));
    let (service, code) = run_once(&node, &[&peer], &[]).await;
    assert_eq!(code, Some(1));
    let line = service
        .wait_for_log("not everything was fetched", SOON)
        .await;
    assert!(line.contains("1 segments are still missing"), "{line}");
    assert_eq!(names(&node, HOUR), [good]);
}

#[tokio::test]
async fn what_a_dead_process_left_is_removed_at_the_start() {
    let node = Node::new("b");
    // Version 8: by a process of ours; nobody holds a lock on it.
    let left = "00:00.000000-2.0-temp-1b4e28ba-2fa1-81d2-883f-0016d3cca427.ts";
    let foreign = "00:00.000000-2.0-temp-1b4e28ba-2fa1-41d2-883f-0016d3cca427.ts";
    for name in [left, foreign] {
        put(&node, HOUR, name, b"half");
        let file = node
            .base_dir()
            .join(CHANNEL)
            .join("source")
            .join(HOUR)
            .join(name);
        let file = File::options().append(true).open(file).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(60))
            .unwrap();
    }
    let (_, code) = run_once(&node, &[], &[]).await;
    assert_eq!(code, Some(0));
    assert_eq!(names(&node, HOUR), [foreign]);
}

#[tokio::test]
async fn what_a_crash_just_before_left_is_removed_a_little_later() {
    let node = Node::new("b");
    let left = "00:00.000000-2.0-temp-1b4e28ba-2fa1-81d2-883f-0016d3cca427.ts";
    put(&node, HOUR, left, b"half");
    // At the start it is so fresh that it might be somebody's yet.
    let _service = start(&node, &[], &[]).await;
    eventually(SOON, "no temporary file", async || {
        let files = node.temp_files();
        files.is_empty().then_some(()).ok_or(format!("{files:?}"))
    })
    .await;
}

#[tokio::test]
async fn a_disk_that_refuses_is_said_and_nothing_is_claimed() {
    let node = Node::new("b");
    let peer = ScriptedPeer::start().await;
    peer.add(HOUR, 0, 0);
    let hour = node.base_dir().join(CHANNEL).join("source");
    fs::create_dir_all(&hour).unwrap();
    fs::write(hour.join(HOUR), "a file in the way").unwrap();
    let (service, code) = run_once(&node, &[&peer], &[]).await;
    assert_eq!(code, Some(1));
    service.wait_for_log("cannot make the file", SOON).await;
    assert_eq!(service.count_log("segments=0"), 1);
}

#[tokio::test]
async fn sigterm_waits_neither_for_the_rate_nor_for_a_silent_database() {
    let node = Node::new("b");
    let peer = ScriptedPeer::start().await;
    for n in 0..20 {
        peer.add(HOUR, n * 2, n.into());
    }
    // 40 s of work, and a database that takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let dsn = format!("host=127.0.0.1 port={port} user=u");
    let extra = ["--max-rate", "10K", "--interval", "0.1"];
    let mut service = start(&node, &[&peer], &extra).await;
    eventually(SOON, "a temporary file", async || {
        let files = node.temp_files();
        (!files.is_empty()).then_some(()).ok_or(String::new())
    })
    .await;
    service.terminate();
    assert_eq!(service.wait(Duration::from_secs(3)).await.code(), Some(0));
    assert!(node.temp_files().is_empty());
    let mut service = start(&node, &[], &["--node-database", &dsn]).await;
    let asked = tokio::task::spawn_blocking(move || silent.accept());
    let _connection = asked.await.unwrap().unwrap();
    service.terminate();
    assert_eq!(service.wait(Duration::from_secs(3)).await.code(), Some(0));
}
