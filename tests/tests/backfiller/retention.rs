//! `--delete-old`: what goes, what stays, and what a reader sees of it.

use std::fs;
use std::os::unix::fs::symlink;

use tests::content::{sha256_base64, ts_bytes};
use tests::node::Node;
use tests::raw;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::peer::{ScriptedPeer, path, segment_name};
use super::{CHANNEL, HOUR, SOON, names, put, run_once, start};

const OLD: &str = "2026-01-02T02";
const OLDER: &str = "2025-12-31T23";

/// The hour of `HOUR` and what follows stay.
const START: [&str; 3] = ["--start", "2026-01-02T03:59:00", "--delete-old"];

fn segment(second: u32) -> (String, Vec<u8>) {
    let content = ts_bytes(second.into(), 1000);
    (segment_name(second, "full", &content), content.to_vec())
}

#[tokio::test]
async fn whole_hours_before_the_start_go_and_nothing_else() {
    let node = Node::new("b");
    let outside = tempfile::tempdir().unwrap();
    let peer = ScriptedPeer::start().await;
    for hour in [OLDER, OLD, HOUR] {
        for second in 0..3 {
            let (name, content) = segment(second * 2);
            put(&node, hour, &name, &content);
        }
    }
    // The peer still has what goes here.
    let old = peer.add(OLD, 100, 100);
    let (buried, _) = segment(100);
    let tombstone = buried.replace(".ts", ".tombstone");
    put(&node, OLD, &tombstone, b"");
    put(&node, OLD, "notes.txt", b"mine");
    let batch = format!("00:00.000000-{}.json", sha256_base64(b"{}"));
    let chat = node.base_dir().join(CHANNEL).join("chat").join(OLD);
    fs::create_dir_all(&chat).unwrap();
    fs::write(chat.join(&batch), "{}").unwrap();
    // An hour elsewhere, a quality that nobody named, a channel that nobody named.
    let linked = outside.path().join("linked.ts");
    fs::write(&linked, "outside").unwrap();
    let source = node.base_dir().join(CHANNEL).join("source");
    symlink(outside.path(), source.join("2026-01-01T00")).unwrap();
    let others = ["test/720p", "other/source"].map(|directory| {
        let directory = node.base_dir().join(directory).join(OLD);
        fs::create_dir_all(&directory).unwrap();
        let file = directory.join(segment(0).0);
        fs::write(&file, "x").unwrap();
        file
    });

    let extra = [&START[..], &["--qualities", "source,chat"]].concat();
    let service = start(&node, &[&peer], &extra).await;
    let line = service.wait_for_log("deleted what was old", SOON).await;
    for field in ["hours=3", "segments=7", "bytes=6002"] {
        assert!(line.contains(field), "{line}");
    }
    service.wait_for_log("round done", SOON).await;
    fs::remove_file(source.join("2026-01-01T00")).unwrap();
    assert!(!source.join(OLDER).exists());
    assert!(!chat.exists());
    assert_eq!(names(&node, OLD), [tombstone, "notes.txt".to_owned()]);
    assert_eq!(names(&node, HOUR).len(), 3);
    assert_eq!(peer.origin.count(&path(OLD, &old)), 0, "it would go again");
    assert!(linked.exists() && others.iter().all(|file| file.exists()));
    let said = service
        .wait_for_log("cannot delete what is old", SOON)
        .await;
    assert!(said.contains("2026-01-01T00"), "{said}");
    let metrics = service.metrics().await;
    let labels = |quality, hour| [("channel", CHANNEL), ("quality", quality), ("hour", hour)];
    for (quality, hour, count) in [
        ("source", OLDER, 3.0),
        ("source", OLD, 3.0),
        ("chat", OLD, 1.0),
    ] {
        let deleted = metrics.get("segments_deleted_total", &labels(quality, hour));
        assert_eq!(deleted, Some(count), "{quality} {hour}");
    }
    let kept = metrics.get("segments_deleted_total", &labels("source", HOUR));
    assert_eq!(kept, None);
}

#[tokio::test]
async fn nothing_goes_unless_it_is_asked_for() {
    let node = Node::new("b");
    let (name, content) = segment(0);
    put(&node, OLD, &name, &content);
    let (_, code) = run_once(&node, &[], &START[..2]).await;
    assert_eq!(code, Some(0));
    assert_eq!(names(&node, OLD), [name.as_str()]);
    // With it, one round deletes once.
    let (service, code) = run_once(&node, &[], &START).await;
    assert_eq!(code, Some(0));
    assert_eq!(service.count_log("deleted what was old"), 1);
    assert!(names(&node, OLD).is_empty());
}

#[tokio::test]
async fn who_reads_an_hour_that_is_being_deleted_meets_a_clean_end() {
    let mut node = Node::new("b");
    let large = ts_bytes(1, 32 << 20);
    let large_name = segment_name(3598, "full", &large);
    put(&node, OLD, &large_name, &large);
    let mut all = Vec::new();
    for second in 0..300 {
        let (name, content) = segment(second * 2);
        put(&node, OLD, &name, &content);
        all.push(name);
    }
    node.start_restreamer().await;
    let address = node.restreamer_address();
    // More than the kernel holds between the two: the restreamer is in the middle of the file.
    let mut reader = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "GET {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        path(OLD, &large_name)
    );
    reader.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 1000];
    reader.read_exact(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"));

    let directory = node.base_dir().join(CHANNEL).join("source").join(OLD);
    let reading = async {
        let mut answers = 0;
        while directory.exists() || answers < 10 {
            let name = &all[answers % all.len()];
            let playlist = format!("/playlist/{CHANNEL}/source.m3u8?start={OLD}:00&end={OLD}:59");
            for target in [
                path(OLD, name),
                format!("/files/{CHANNEL}/source/{OLD}"),
                playlist,
            ] {
                let answer = raw::get(address, &target).await;
                assert!(
                    [200, 404].contains(&answer.status),
                    "{target}: {}",
                    answer.status
                );
                assert!(answer.complete, "{target}");
            }
            answers += 1;
        }
    };
    let deleting = run_once(&node, &[], &START);
    let ((), (_, code)) = tokio::join!(reading, deleting);
    assert_eq!(code, Some(0));
    assert!(!directory.exists());
    reader.read_to_end(&mut answer).await.unwrap();
    let body = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap()
        + 4;
    assert!(answer[body..] == large[..], "{} bytes", answer.len() - body);
    let gone = node.get(&path(OLD, &large_name)).await;
    assert_eq!(gone.status, 404);
    let list = node.get(&format!("/files/{CHANNEL}/source/{OLD}")).await;
    assert_eq!(list.text(), "[]");
    let log = node.restreamer.as_ref().unwrap();
    assert_eq!(log.count_log("ERROR") + log.count_log("panicked"), 0);
}
