//! Peers that go wrong: nothing wrong is kept, and everything else is fetched.

use std::time::Duration;

use tests::content::ts_bytes;
use tests::eventually;
use tests::node::Node;
use tests::origin::{Fault, Framing, Gate, Hold, Matching, Outcome, Resource};

use super::peer::{ScriptedPeer, path, segment_name};
use super::{CHANNEL, HOUR, SOON, names, run_once, start};

#[tokio::test]
async fn nothing_wrong_is_kept_all_else_is_fetched_and_each_is_said_once() {
    let node = Node::new("b");
    let peer = ScriptedPeer::start().await;
    let good: Vec<String> = (0..20).map(|n| peer.add(HOUR, n * 2, n.into())).collect();
    // Not what its name says.
    let liar = segment_name(100, "full", b"the truth");
    peer.put(HOUR, &liar, b"a lie");
    // Stops in the middle of the body, and is cut there.
    let stalled = peer.add(HOUR, 102, 102);
    let stall = Fault::stall_after(10_000, Hold::Forever);
    peer.origin.always(path(HOUR, &stalled), stall);
    let cut = peer.add(HOUR, 104, 104);
    peer.origin
        .always(path(HOUR, &cut), Fault::cut_after(10_000));
    let gone = segment_name(106, "full", b"gone");
    peer.list(HOUR, &gone);
    // Names that no file of ours may have.
    let hidden = format!(".{}", good[0]);
    let outside = format!("../{}", good[1]);
    let bad = [
        "../../etc/passwd",
        &hidden,
        &outside,
        "notes.txt",
        "",
        "a\nb.ts",
    ];
    for name in bad {
        peer.list(HOUR, name);
    }
    for hour in ["../../etc", ".hidden", "2026-02-30T00"] {
        peer.list(hour, &good[0]);
    }
    // No one's business, and no error.
    peer.list(
        HOUR,
        "00:40.000000-2.0-temp-1b4e28ba-2fa1-41d2-883f-0016d3cca427.ts",
    );

    let service = start(&node, &[&peer], &["--stall-timeout", "1"]).await;
    let line = service.wait_for_log("round done", SOON).await;
    for field in ["hours=1", "segments=20", "bytes=400000", "failures=4"] {
        assert!(line.contains(field), "{line}");
    }
    assert_eq!(names(&node, HOUR), good);
    assert!(node.wrong_hashes(CHANNEL, "source").is_empty());
    eventually(SOON, "no temporary file", async || {
        match node.temp_files() {
            files if files.is_empty() => Ok(()),
            files => Err(format!("{files:?}")),
        }
    })
    .await;
    let outside = node.base_dir().join("test/etc");
    assert!(!outside.exists());

    for name in [&liar, &stalled, &cut, &gone] {
        // Once in the line about it, whatever else that line repeats.
        assert_eq!(service.count_log(&format!("{HOUR}/{name}")), 1, "{name}");
    }
    assert_eq!(service.count_log("is not what its name says"), 1);
    assert_eq!(service.count_log("left a bad name"), bad.len() + 3);
    assert_eq!(service.count_log("etc/passwd"), 1);
    let metrics = service.metrics().await;
    let remote = ("remote", "127.0.0.1");
    let place = [
        remote,
        ("channel", CHANNEL),
        ("quality", "source"),
        ("hour", HOUR),
    ];
    assert_eq!(metrics.get("segments_backfilled_total", &place), Some(20.0));
    assert_eq!(metrics.get("hash_mismatches_total", &place), Some(1.0));
    assert_eq!(
        metrics.get("hours_backfilled_total", &place[..3]),
        Some(1.0)
    );
    assert_eq!(metrics.get("backfill_errors_total", &[remote]), Some(3.0));
    assert_eq!(
        metrics.get("backfill_bad_names_total", &[remote]),
        Some(9.0)
    );
    assert_eq!(metrics.get("node_list_errors_total", &[]), Some(0.0));
}

#[tokio::test]
async fn what_failed_is_fetched_in_the_next_round() {
    let node = Node::new("b");
    let peer = ScriptedPeer::start().await;
    let good = peer.add(HOUR, 0, 0);
    let late = peer.add(HOUR, 2, 2);
    let never = peer.add(HOUR, 4, 4);
    peer.origin.next(1, path(HOUR, &late), Fault::cut_after(7));
    peer.origin.always(path(HOUR, &never), Fault::status(503));
    // A listing that fails makes the next round come after 5 s.
    peer.origin.next(1, "/files/test/720p", Fault::status(500));
    let service = start(&node, &[&peer], &["--qualities", "source,720p"]).await;
    let line = service.wait_for_log("round failed", SOON).await;
    assert!(line.contains("720p answered 500"), "{line}");
    assert!(
        line.contains("segments=1") && line.contains("failures=2"),
        "{line}"
    );
    assert_eq!(names(&node, HOUR), [good.as_str()]);
    let line = service.wait_for_log("round done", SOON).await;
    assert!(
        line.contains("segments=1") && line.contains("failures=1"),
        "{line}"
    );
    assert_eq!(names(&node, HOUR), [good.clone(), late]);
    // Tried again, and said once.
    assert_eq!(peer.origin.count(&path(HOUR, &never)), 2);
    assert_eq!(service.count_log(&never), 1);
    assert_eq!(peer.origin.count(&path(HOUR, &good)), 1);
}

#[tokio::test]
async fn a_second_peer_takes_over_what_the_first_one_fails_at() {
    let node = Node::new("b");
    let (first, second) = (ScriptedPeer::start().await, ScriptedPeer::start().await);
    let name = first.add(HOUR, 0, 0);
    second.add(HOUR, 0, 0);
    let path = path(HOUR, &name);
    first
        .origin
        .always(path.clone(), Fault::stall_after(10, Hold::Forever));
    // The second one comes when the first one has the file in hand.
    let gate = Gate::new();
    let hold = Fault::stall_head(Hold::Until(gate.clone()));
    second.origin.always("/files/test/source", hold);
    let extra = ["--run-once", "--stall-timeout", "2"];
    let mut service = start(&node, &[&first, &second], &extra).await;
    first
        .origin
        .wait_for(SOON, |log| log.count(&path) == 1)
        .await
        .unwrap();
    gate.open();
    // What one peer failed at is here: nothing is missing.
    assert_eq!(service.wait(SOON).await.code(), Some(0));
    assert_eq!(names(&node, HOUR), [name]);
    let log = first.origin.log();
    let ended = log.last(&path).unwrap().ended.unwrap();
    let taken_over = second.origin.log().last(&path).unwrap().started;
    assert!(taken_over + std::time::Duration::from_millis(100) > ended);
}

#[tokio::test]
async fn a_peer_that_never_answers_delays_no_other() {
    let node = Node::new("b");
    let (dead, alive) = (ScriptedPeer::start().await, ScriptedPeer::start().await);
    dead.origin.always(
        tests::origin::Matching::Any,
        Fault::stall_head(Hold::Forever),
    );
    let name = alive.add(HOUR, 0, 0);
    // A stall timeout of 30 s.
    let service = start(&node, &[&dead, &alive], &[]).await;
    let line = service.wait_for_log("round done", SOON).await;
    let port = alive.origin.address().port();
    assert!(line.contains(&format!("127.0.0.1:{port}")), "{line}");
    assert_eq!(names(&node, HOUR), [name]);
    assert_eq!(service.count_log("round failed"), 0);
    assert_eq!(dead.origin.log().open(), 1);
}

#[tokio::test]
async fn a_peer_that_dies_in_an_hour_is_given_up_soon() {
    let node = Node::new("b");
    let peer = ScriptedPeer::start().await;
    for n in 0..400 {
        peer.add(HOUR, n * 2, n.into());
    }
    let (service, code) = {
        let segments = tests::origin::Matching::prefix("/segments/");
        peer.origin.always(segments, Fault::reset());
        // After the first list of the hour, not even that.
        let path = format!("/files/{CHANNEL}/source/{HOUR}");
        let dead = tests::origin::Rule::new(path, Fault::reset()).after(1);
        peer.origin.add_rule(dead);
        run_once(&node, &[&peer], &[]).await
    };
    assert_eq!(code, Some(1));
    let asked = peer
        .origin
        .log()
        .iter()
        .filter(|e| e.request.path.starts_with("/segments"))
        .count();
    assert!((10..40).contains(&asked), "{asked}");
    service.wait_for_log("round failed", SOON).await;
}

#[tokio::test]
async fn a_peer_that_lists_and_sends_nothing_is_not_asked_for_all_of_it() {
    let node = Node::new("b");
    let peer = ScriptedPeer::start().await;
    for hour in 0..5 {
        for n in 0..100 {
            peer.add(&format!("2026-01-02T0{hour}"), n * 2, n.into());
        }
    }
    let segments = Matching::prefix("/segments/");
    peer.origin.always(segments, Fault::status(503));
    let (service, code) = run_once(&node, &[&peer], &[]).await;
    assert_eq!(code, Some(1));
    let line = service.wait_for_log("round failed", SOON).await;
    assert!(
        line.contains("10 files in a row could not be had"),
        "{line}"
    );
    let log = peer.origin.log();
    let asked = log
        .iter()
        .filter(|e| e.request.path.starts_with("/segments"));
    // Three hours, and what was under way in each.
    let asked = asked.count();
    assert!((30..50).contains(&asked), "{asked}");
}

#[tokio::test]
async fn bodies_that_are_too_long_are_given_up() {
    let node = Node::new("b");
    let peer = ScriptedPeer::start().await;
    let good = peer.add(HOUR, 0, 0);
    let content = ts_bytes(5, 1 << 20);
    let endless = segment_name(2, "full", &content);
    peer.put(HOUR, &endless, &content);
    peer.origin
        .always(path(HOUR, &endless), Fault::endless(1 << 40));
    let declared = peer.add(HOUR, 4, 4);
    peer.origin
        .always(path(HOUR, &declared), Fault::declare_length(1 << 40));
    let longer = peer.add(HOUR, 6, 6);
    peer.origin
        .always(path(HOUR, &longer), Fault::declare_length(30_000));
    let extra = ["--run-once"];
    let mut service = start(&node, &[&peer], &extra).await;
    let code = service.wait(SOON * 3).await.code();
    assert_eq!(code, Some(1));
    assert_eq!(names(&node, HOUR), [good]);
    assert_eq!(
        service.count_log("is larger than the 536870912 bytes allowed"),
        2
    );
    assert!(node.temp_files().is_empty());
    let log = peer.origin.log();
    let exchange = log.last(&path(HOUR, &endless)).unwrap();
    assert_ne!(exchange.outcome, Outcome::Finished);
    assert!(exchange.sent < 600 << 20, "{}", exchange.sent);
}

/// The most memory that a process has had, in kB.
fn peak(service: &tests::node::Service) -> u64 {
    let status = format!("/proc/{}/status", service.id().unwrap());
    let status = std::fs::read_to_string(status).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.unwrap().trim().strip_suffix(" kB").unwrap();
    peak.trim().parse().unwrap()
}

#[tokio::test]
async fn whatever_a_hostile_peer_says_costs_little_memory_and_no_other_peer() {
    let node = Node::new("b");
    let (hostile, honest) = (ScriptedPeer::start().await, ScriptedPeer::start().await);
    let expected: Vec<String> = (0..15)
        .map(|n| {
            let name = honest.add(HOUR, n * 2, n.into());
            hostile.list(HOUR, &name);
            name
        })
        .collect();
    // Segments are answered in all bad ways, all at once.
    let faults = [
        Fault::status(500),
        Fault::cut_after(100),
        Fault::endless(1 << 40),
        Fault::endless(1 << 40).framed(Framing::UntilClose),
        Fault::declare_length(30_000),
        Fault::answer(tests::origin::Resource::text("another content")),
    ];
    let others = std::iter::repeat(&faults[0]);
    for (name, fault) in expected.iter().zip(faults.iter().chain(others)) {
        hostile
            .origin
            .put(&path(HOUR, name), ts_bytes(7, 1 << 20), "video/mp2t");
        hostile.origin.always(path(HOUR, name), fault.clone());
    }
    // A list of 100 MB that unpacks from little, and does not say so.
    let body = "[\"\",".to_owned() + &"\"x\",".repeat(25 << 20) + "\"\"]";
    let list = Resource::new("application/json", body);
    let list = Fault::answer(list).framed(Framing::Chunked);
    hostile
        .origin
        .always(format!("/files/{CHANNEL}/720p"), list);
    // The honest one comes when the hostile one has had its chance.
    let gate = Gate::new();
    let hold = Fault::stall_head(Hold::Until(gate.clone()));
    let source = format!("/files/{CHANNEL}/source");
    honest.origin.always(source, hold);
    let extra = [
        "--qualities",
        "720p,source",
        "--download-concurrency",
        "30",
        "--interval",
        "1",
    ];
    let service = start(&node, &[&hostile, &honest], &extra).await;
    let asked = |log: &tests::origin::Log| expected.iter().all(|n| log.count(&path(HOUR, n)) > 0);
    hostile.origin.wait_for(SOON * 3, asked).await.unwrap();
    gate.open();
    let all = async || {
        let here = names(&node, HOUR);
        (here == expected).then_some(()).ok_or(format!("{here:?}"))
    };
    eventually(SOON * 3, "all from the honest peer", all).await;
    let line = service.wait_for_log("round failed", SOON * 3).await;
    assert!(line.contains("is larger than the 67108864 bytes"), "{line}");
    assert!(service.count_log("is larger than the 536870912 bytes") > 0);
    assert!(node.wrong_hashes(CHANNEL, "source").is_empty());
    // Those that an endless body could hold up take 512 MB each of the wire, not of memory.
    let peak = peak(&service);
    assert!(peak < 300_000, "{peak} kB");
}

#[tokio::test]
async fn a_name_that_no_server_knows_is_said_and_costs_no_other_peer() {
    let node = Node::new("b");
    let peer = ScriptedPeer::start().await;
    let name = peer.add(HOUR, 0, 0);
    // A label of more than 63 characters is refused by the resolver here: nobody is asked.
    let nowhere = format!("http://{}.test:1", "x".repeat(70));
    let urls = [nowhere, peer.origin.url("")];
    let mut service = node.start_backfiller(CHANNEL, &urls, &["--run-once"]).await;
    assert_eq!(service.wait(SOON).await.code(), Some(1));
    assert_eq!(names(&node, HOUR), [name]);
    let line = service.wait_for_log("round failed", SOON).await;
    assert!(line.contains("no response from http://xxx"), "{line}");
    assert_eq!(service.count_log("WARN"), 1);
}

#[tokio::test]
async fn a_slow_peer_keeps_no_file_from_a_quick_one() {
    let node = Node::new("b");
    let peers = [ScriptedPeer::start().await, ScriptedPeer::start().await];
    for n in 0..10 {
        let [slow, quick] = [0, 1].map(|peer| peers[peer].add(HOUR, n * 2, n.into()));
        assert_eq!(slow, quick);
    }
    // A byte now and then: it stalls never, and a file takes it hours.
    let drip = Fault::none().dripping(1, Duration::from_secs(1));
    peers[0].origin.always(Matching::prefix("/segments/"), drip);
    let peers = [&peers[0], &peers[1]];
    let mut service = start(&node, &peers, &["--run-once"]).await;
    assert_eq!(service.wait(SOON * 2).await.code(), Some(0));
    assert_eq!(names(&node, HOUR).len(), 10);
    assert!(node.wrong_hashes(CHANNEL, "source").is_empty());
    assert!(node.temp_files().is_empty());
    // All from one of them, each once; what the slow one lost is none of its failures.
    let ends = service
        .log()
        .into_iter()
        .filter(|line| line.contains("round done"));
    let ends: Vec<String> = ends.collect();
    assert_eq!(ends.len(), 2, "{ends:?}");
    for segments in ["segments=0 ", "segments=10 "] {
        let end = ends.iter().find(|line| line.contains(segments)).unwrap();
        assert!(end.contains("failures=0"), "{end}");
    }
}
