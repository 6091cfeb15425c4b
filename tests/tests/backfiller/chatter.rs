//! How little is said between nodes that hold the same, and that nothing is overlooked for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tests::content::{sha256_base64, ts_bytes};
use tests::eventually;
use tests::node::{Node, Service};
use tests::origin::{Fault, Matching, Resource};
use tokio::io::copy;
use tokio::net::{TcpListener, TcpStream};

use super::peer::{ScriptedPeer, path, segment_name};
use super::{CHANNEL, HOUR, SOON, names, put, start};

/// Stands between two nodes and counts the bytes of both directions.
struct Wire {
    url: String,
    bytes: Arc<AtomicU64>,
    _accepting: tokio::task::JoinSet<()>,
}

impl Wire {
    async fn to(node: &Node) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let bytes = Arc::new(AtomicU64::new(0));
        let (counted, address) = (Arc::clone(&bytes), node.restreamer_address());
        let mut accepting = tokio::task::JoinSet::new();
        accepting.spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let counted = Arc::clone(&counted);
                connections.spawn(async move {
                    let server = TcpStream::connect(address).await.unwrap();
                    let (mut from_client, mut to_client) = client.into_split();
                    let (mut from_server, mut to_server) = server.into_split();
                    let mut down = Counting(&mut to_client, &counted);
                    let mut up = Counting(&mut to_server, &counted);
                    let _ = tokio::join!(
                        copy(&mut from_server, &mut down),
                        copy(&mut from_client, &mut up)
                    );
                });
            }
        });
        Wire {
            url,
            bytes,
            _accepting: accepting,
        }
    }

    fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::SeqCst)
    }
}

/// Counts what is written.
struct Counting<'a, W>(&'a mut W, &'a AtomicU64);

impl<W: tokio::io::AsyncWrite + Unpin> tokio::io::AsyncWrite for Counting<'_, W> {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        let counted = self.1;
        let written = std::pin::Pin::new(&mut *self.0).poll_write(context, bytes);
        if let std::task::Poll::Ready(Ok(count)) = &written {
            counted.fetch_add(*count as u64, Ordering::SeqCst);
        }
        written
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut *self.0).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut *self.0).poll_shutdown(context)
    }
}

async fn rounds(service: &Service, count: usize) -> usize {
    eventually(SOON * 3, "more rounds", async || {
        let done = service.count_log("round done");
        (done >= count).then_some(done).ok_or(format!("{done}"))
    })
    .await
}

#[tokio::test]
async fn a_week_between_equal_nodes_moves_less_than_a_kilobyte_an_hour() {
    const HOURS: usize = 7 * 24;
    // TESTS_WEEK_SEGMENTS=1800 is a real week; it takes minutes to write on a slow disk.
    let segments = std::env::var("TESTS_WEEK_SEGMENTS");
    let segments = segments.map_or(60, |count| count.parse().unwrap());
    let (mut a, b) = (Node::new("a"), Node::new("b"));
    let hash = sha256_base64(b"");
    for n in 0..HOURS {
        let hour = format!("2026-01-{:02}T{:02}", n / 24 + 1, n % 24);
        for second in 0..segments {
            let (minute, second) = (second * 2 / 60, second * 2 % 60);
            let name = format!("{minute:02}:{second:02}.000000-2.0-full-{hash}.ts");
            put(&a, &hour, &name, b"");
            put(&b, &hour, &name, b"");
        }
    }
    a.start_restreamer().await;
    let wire = Wire::to(&a).await;
    let urls = [wire.url.clone()];
    let service = b
        .start_backfiller(CHANNEL, &urls, &["--interval", "1"])
        .await;
    // One to learn, and one that may still be under way when the bytes are read.
    let first = rounds(&service, 2).await;
    let before = wire.bytes();
    let last = rounds(&service, first + 3).await;
    let moved = wire.bytes() - before;
    let per_hour = moved / ((last - first + 1) * HOURS) as u64;
    eprintln!(
        "{per_hour} bytes an hour of footage; the first round: {}",
        before / HOURS as u64
    );
    assert!(moved > 0 && per_hour < 1000, "{per_hour} bytes an hour");
    assert_eq!(service.count_log("WARN"), 0);
}

#[tokio::test]
async fn an_hour_that_changes_on_either_side_is_seen_in_the_next_round() {
    let (mut a, b) = (Node::new("a"), Node::new("b"));
    let segment = |second: u32| {
        let content = ts_bytes(second.into(), 1000);
        (segment_name(second, "full", &content), content)
    };
    for node in [&a, &b] {
        let (name, content) = segment(0);
        put(node, HOUR, &name, &content);
    }
    a.start_restreamer().await;
    let urls = [a.restreamer_url()];
    let service = b
        .start_backfiller(CHANNEL, &urls, &["--interval", "0.2"])
        .await;
    let metric = "http_request_latency_all_count";
    for n in 1..=5 {
        // Settled: the peer says no more than 304.
        eventually(SOON, "a 304", async || {
            let count = a.metrics().await.sum(metric, &[("status", "304")]);
            (count >= f64::from(n))
                .then_some(())
                .ok_or(format!("{count}"))
        })
        .await;
        let (name, content) = segment(n * 2);
        put(&a, HOUR, &name, &content);
        let all_here = async || {
            let (here, there) = (names(&b, HOUR), names(&a, HOUR));
            (here == there).then_some(()).ok_or(format!("{here:?}"))
        };
        eventually(SOON, "the new segment", all_here).await;
        // Lost here: fetched again, although nothing has changed there.
        let (name, _) = segment(0);
        let directory = b.base_dir().join(CHANNEL).join("source").join(HOUR);
        std::fs::remove_file(directory.join(name)).unwrap();
        eventually(SOON, "the lost segment", all_here).await;
    }
    assert_eq!(service.count_log("WARN"), 0);
}

#[tokio::test]
async fn tags_are_sent_only_for_hours_of_which_nothing_is_left_to_do() {
    let node = Node::new("b");
    let peer = ScriptedPeer::start().await;
    let name = peer.add(HOUR, 0, 0);
    let failing = peer.add(HOUR, 2, 2);
    let rule = peer.origin.always(path(HOUR, &failing), Fault::status(500));
    let list = format!("/files/{CHANNEL}/source/{HOUR}");
    let tagged = |tag: &str| {
        let body = serde_json::json!([name, failing]);
        Fault::answer(Resource::json(&body).header("ETag", tag))
    };
    let tag_rule = peer.origin.always(list.clone(), tagged("\"one\""));
    let service = start(&node, &[&peer], &["--interval", "0.2"]).await;
    rounds(&service, 4).await;
    let conditions = || -> Vec<Option<String>> {
        let log = peer.origin.log();
        let asked = log.of(&list).map(|exchange| &exchange.request);
        asked
            .map(|request| request.header("if-none-match").map(str::to_owned))
            .collect()
    };
    // A segment of it is still missing.
    assert!(conditions().iter().all(Option::is_none));
    let log = peer.origin.log();
    let request = &log.last(&list).unwrap().request;
    assert!(request.header("accept-encoding").unwrap().contains("gzip"));
    assert_eq!(request.parameter("tombstones").as_deref(), Some("true"));
    peer.origin.remove_rule(rule);
    eventually(SOON, "a condition", async || {
        let asked = conditions();
        let last = asked.last().cloned().flatten();
        (last.as_deref() == Some("\"one\""))
            .then_some(())
            .ok_or(format!("{asked:?}"))
    })
    .await;
    assert_eq!(names(&node, HOUR).len(), 2);
    // Not modified; then another tag; then none at all, as wubloader answers.
    peer.origin.remove_rule(tag_rule);
    let unchanged = Fault::answer(Resource::text("").status(304));
    let rule = peer.origin.always(list.clone(), unchanged);
    let done = service.count_log("round done");
    rounds(&service, done + 3).await;
    peer.origin.remove_rule(rule);
    let late = peer.add(HOUR, 4, 4);
    eventually(SOON, "the late segment", async || {
        let here = names(&node, HOUR);
        here.contains(&late)
            .then_some(())
            .ok_or(format!("{here:?}"))
    })
    .await;
    let done = service.count_log("round done");
    rounds(&service, done + 4).await;
    // Without a tag nothing is asked on condition.
    assert_eq!(conditions().last(), Some(&None));
    assert_eq!(service.count_log("WARN"), 1, "the segment that failed");
}

#[tokio::test]
async fn the_newest_hours_do_not_wait_for_a_backlog() {
    let node = Node::new("b");
    let peer = ScriptedPeer::start().await;
    for n in 0..60 {
        peer.add(HOUR, n * 2, n.into());
    }
    let slow = Fault::delay(Duration::from_millis(200));
    peer.origin.always(Matching::prefix("/segments/"), slow);
    let extra = ["--interval", "1", "--download-concurrency", "1"];
    let service = start(&node, &[&peer], &extra).await;
    eventually(SOON, "some of the backlog", async || {
        let count = names(&node, HOUR).len();
        (count > 2).then_some(()).ok_or(format!("{count}"))
    })
    .await;
    let new_hour = "2026-01-02T04";
    let new = peer.add(new_hour, 0, 1000);
    eventually(SOON, "the newest segment", async || {
        let here = names(&node, new_hour);
        (here == [new.as_str()])
            .then_some(())
            .ok_or(format!("{here:?}"))
    })
    .await;
    let done = names(&node, HOUR).len();
    assert!(done < 50, "{done} of the backlog came first");
    let line = service.wait_for_log("round done", SOON * 2).await;
    assert!(
        line.contains("hours=2") && line.contains("segments=61"),
        "{line}"
    );
    assert_eq!(names(&node, HOUR).len(), 60);
}

#[tokio::test]
async fn what_is_missing_and_in_flight_is_told() {
    let node = Node::new("b");
    let peer = ScriptedPeer::start().await;
    for n in 0..20 {
        peer.add(HOUR, n * 2, n.into());
    }
    let bad = peer.add(HOUR, 100, 100);
    peer.origin.always(path(HOUR, &bad), Fault::status(500));
    // All but that one.
    let gate = tests::origin::Gate::new();
    let held = Fault::stall_head(tests::origin::Hold::Until(gate.clone()));
    let segments = Matching::prefix("/segments/");
    let rule = peer.origin.always(segments, held);
    let service = start(&node, &[&peer], &["--download-concurrency", "3"]).await;
    let remote = ("remote", "127.0.0.1");
    let place = [
        remote,
        ("channel", CHANNEL),
        ("quality", "source"),
        ("hour", HOUR),
    ];
    eventually(SOON, "three in flight", async || {
        let metrics = service.metrics().await;
        let now = (
            metrics.get("backfill_in_flight", &[remote]),
            metrics.get("backfill_missing_segments", &place),
        );
        (now == (Some(3.0), Some(21.0)))
            .then_some(())
            .ok_or(format!("{now:?}"))
    })
    .await;
    peer.origin.remove_rule(rule);
    gate.open();
    let line = service.wait_for_log("round done", SOON).await;
    for part in ["missing=21", "segments=20", "failures=1", "MB/s"] {
        assert!(line.contains(part), "{line}");
    }
    let by_hour = format!("{CHANNEL}/source/{HOUR} 21 missing 20 done 1 failed");
    assert!(line.contains(&by_hour), "{line}");
    let metrics = service.metrics().await;
    assert_eq!(metrics.get("backfill_in_flight", &[remote]), Some(0.0));
    assert_eq!(metrics.get("backfill_missing_segments", &place), Some(1.0));
}
