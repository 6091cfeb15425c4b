//! Channels, workers and getters.

use std::time::Duration;

use tests::eventually;
use tests::node::{Node, free_port};
use tests::operator::Operator;
use tests::origin::{Fault, Gate, Hold, LiveOptions, LiveStream, Origin};

use super::{SOON, everywhere, shut_down};

async fn recorded(node: &Node, channel: &str, count: usize) {
    eventually(SOON, "segments", async || {
        let files = node.files(channel, "source").len();
        (files == count).then_some(()).ok_or(files.to_string())
    })
    .await;
}

#[tokio::test]
async fn what_is_recorded_can_be_looked_at_and_changed() {
    let origin = Origin::start().await;
    let mut stream = LiveStream::new(&origin, "live", LiveOptions::default());
    let mut other = LiveStream::new(&origin, "other", LiveOptions::default());
    let node = Node::new("a");
    let port = free_port();
    let port_text = port.to_string();
    let extra = [
        "--time-scale",
        "0.5",
        "--log",
        "info",
        "--backdoor-port",
        &port_text,
    ];
    for _ in 0..3 {
        stream.push(10_000);
    }
    let channel = format!("test!:url:{}?token=secret", stream.url());
    let service = node.start_downloader(&channel, &extra).await;
    let mut operator = Operator::connect("downloader", port).await;
    recorded(&node, "test", 3).await;

    // Live values.
    let said = operator
        .run_until("workers()", |said| said.contains("segments: 3"))
        .await;
    let worker = said.lines().nth(1).unwrap();
    for part in [
        "worker {channel: \"test\", quality: \"source\", generation: 1,",
        "/playlist.m3u8?…\"",
        "bytes: 30000,",
        "last_error: ()",
    ] {
        assert!(worker.contains(part), "{part} {said}");
    }
    operator
        .run("let c = channel(\"test\"); let w = workers(c)[0]")
        .await;
    stream.push(10_000);
    operator.run_until("w.segments", |said| said == "4").await;
    assert_eq!(
        operator.run("[c.live, c.important, c.workers]").await,
        "[true, true, 1]"
    );
    assert_eq!(operator.run("channels().len()").await, "1");
    assert!(
        operator
            .run("channel(\"x\")")
            .await
            .contains("no channel 'x'")
    );
    let tasks = operator.run("tasks()").await;
    for kind in ["channel", "worker", "operator"] {
        assert!(tasks.contains(&format!("kind: \"{kind}\"")), "{tasks}");
    }

    everywhere(&mut operator, &service, "downloader").await;
    assert_eq!(operator.run("config().qualities").await, "source");
    stream.push(10_000);
    service.wait_for_log("a try at a segment", SOON).await;
    operator.run("log_level(\"info\")").await;

    // A getter that hangs.
    let held = stream.push(10_000);
    let gate = Gate::new();
    let hold = Fault::stall_after(4000, Hold::Until(gate.clone()));
    let rule = origin.always(held.path.as_str(), hold);
    stream.publish();
    let getters = operator
        .run_until("getters()", |said| said.contains("bytes: 4000"))
        .await;
    assert!(getters.contains(&held.path), "{getters}");
    // Its worker may have been relieved meanwhile.
    let busy = "workers().filter(|w| getters(w).some(|g| g.attempts > 0)).len() > 0";
    operator.run_until(busy, |said| said == "true").await;
    origin.remove_rule(rule);
    gate.open();
    recorded(&node, "test", 6).await;

    // Looks and successors.
    let wait = "sleep(0.3); let before = c.looked; refresh(c)";
    operator.run(wait).await;
    operator
        .run_until("c.looked < before", |said| said == "true")
        .await;
    for act in ["w.successor()", "stop(w)"] {
        operator
            .run(&format!(
                "let w = workers(c)[0]; let g = w.generation; {act}"
            ))
            .await;
        let generations = "workers(c).map(|w| w.generation > g)";
        operator
            .run_until(generations, |said| said == "[true]")
            .await;
    }
    stream.push(10_000);
    recorded(&node, "test", 7).await;

    // Channels come and go.
    let bad = operator.run("add_channel(\"x:nonsense:y\")").await;
    assert!(bad.starts_with("error: there is no type"), "{bad}");
    let twice = operator.run("add_channel(\"test\")").await;
    assert_eq!(twice, "error: channel test is recorded already");
    other.push(5000);
    let url = other.url().replace("://", "://user:secret@");
    operator
        .run(&format!("add_channel(\"other:url:{url}?token=secret\")"))
        .await;
    recorded(&node, "other", 1).await;
    operator.run("remove_channel(channel(\"other\"))").await;
    operator
        .run_until("channels().len()", |said| said == "1")
        .await;
    let asked = origin.count(&other.path());
    other.push(5000);
    stream.push(10_000);
    recorded(&node, "test", 8).await;
    assert_eq!(
        origin.count(&other.path()),
        asked,
        "it is not asked any more"
    );
    assert_eq!(node.files("other", "source").len(), 1);
    assert_eq!(service.count_log("secret"), 0, "no password is logged");
    assert!(!operator.run("channels()").await.contains("secret"));
    shut_down(operator, service).await;
    assert!(node.temp_files().is_empty());
}

#[tokio::test]
async fn without_a_channel_left_it_waits_for_another() {
    let origin = Origin::start().await;
    let mut stream = LiveStream::new(&origin, "live", LiveOptions::default());
    stream.push(10_000);
    let node = Node::new("a");
    let port = free_port();
    let extra = ["--time-scale", "0.1", "--backdoor-port", &port.to_string()];
    let channel = format!("test:url:{}", stream.url());
    let mut service = node.start_downloader(&channel, &extra).await;
    let mut operator = Operator::connect("downloader", port).await;
    recorded(&node, "test", 1).await;
    operator.run("channels()[0].remove_channel()").await;
    operator
        .run_until("channels().len()", |said| said == "0")
        .await;
    operator
        .run(&format!("add_channel(\"test:url:{}\")", stream.url()))
        .await;
    stream.push(10_000);
    recorded(&node, "test", 2).await;
    operator.send(&[4]).await;
    operator.rest().await;
    service.terminate();
    assert_eq!(service.wait(Duration::from_secs(9)).await.code(), Some(0));
}
