//! Peers, their rounds, and what is fetched.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tests::content::{sha256_base64, ts_bytes};
use tests::eventually;
use tests::node::{Node, free_port};
use tests::operator::Operator;
use tests::origin::{Fault, Gate, Hold, Matching, Origin, Resource};

use super::{SOON, everywhere, shut_down};

const HOUR: &str = "2026-01-02T03";

/// A peer with one hour of one quality, to which a test adds.
struct Peer {
    origin: Origin,
    names: Arc<Mutex<BTreeMap<u32, String>>>,
}

impl Peer {
    async fn start() -> Peer {
        let origin = Origin::start().await;
        let names: Arc<Mutex<BTreeMap<u32, String>>> = Arc::default();
        let listed = Arc::clone(&names);
        origin.handle(Matching::prefix("/files/test/source"), move |request| {
            let names: Vec<String> = match request.path.ends_with("source") {
                true => vec![HOUR.to_owned()],
                false => listed.lock().unwrap().values().cloned().collect(),
            };
            Some(Resource::json(&serde_json::json!(names)))
        });
        Peer { origin, names }
    }

    /// Has a segment that starts at so many seconds of the hour; gives its name.
    fn add(&self, second: u32, content: &[u8], hash: &str) -> String {
        let name = format!("00:{second:02}.000000-2.0-full-{hash}.ts");
        self.origin
            .put(&path(&name), content.to_vec(), "video/mp2t");
        self.names.lock().unwrap().insert(second, name.clone());
        name
    }

    fn add_good(&self, second: u32) -> String {
        let content = ts_bytes(second.into(), 20_000);
        self.add(second, &content, &sha256_base64(&content))
    }
}

fn path(name: &str) -> String {
    format!("/segments/test/source/{HOUR}/{name}")
}

async fn fetched(node: &Node, count: usize) {
    eventually(SOON, "segments", async || {
        let files = node.files("test", "source").len();
        (files == count).then_some(()).ok_or(files.to_string())
    })
    .await;
}

#[tokio::test]
async fn peers_can_be_looked_at_paused_and_asked_for_more() {
    let peer = Peer::start().await;
    peer.add_good(0);
    let bad = peer.add(1, b"another content", &sha256_base64(b"this content"));
    let node = Node::new("b");
    let port = free_port();
    let port_text = port.to_string();
    let extra = [
        "--interval",
        "0.2",
        "--log",
        "info",
        "--backdoor-port",
        &port_text,
    ];
    let url = peer.origin.url("").replace("://", "://user:secret@");
    let service = node.start_backfiller("test", &[url], &extra).await;
    let mut operator = Operator::connect("backfiller", port).await;
    fetched(&node, 1).await;

    // Live values.
    operator.run("let p = peers()[0]").await;
    operator
        .run_until("p.rounds", |said| said.parse::<u32>().unwrap() >= 2)
        .await;
    let peers = operator.run("peers()").await;
    for part in ["peer {name: \"127.0.0.1\"", "missing: 1,", "paused: false"] {
        assert!(peers.contains(part), "{part} {peers}");
    }
    assert!(!peers.contains("secret"), "{peers}");
    assert_eq!(
        operator.run("peer(\"127.0.0.1\").url == p.url").await,
        "true"
    );
    assert!(operator.run("peer(\"x\")").await.contains("no peer 'x'"));
    let missing = operator.run("missing()").await;
    let line = format!(
        "{{channel: \"test\", files: 1, hour: \"{HOUR}\", peer: \"127.0.0.1\", quality: \"source\"}}"
    );
    assert!(missing.contains(&line), "{missing}");
    assert_eq!(operator.run("missing(p)").await, missing);
    let asked = format!("missing(p, \"test\", \"source\", \"{HOUR}\")");
    let name = format!("test/source/{HOUR}/{bad}");
    assert_eq!(operator.run(&asked).await, format!("[\n  {name:?}\n]"));
    assert!(
        operator
            .run("missing(p, \"a/b\", \"source\", \"x\")")
            .await
            .contains("bad channel 'a/b'")
    );
    assert!(
        operator
            .run("missing(p, \"test\", \"source\", \"x\")")
            .await
            .contains("bad hour 'x'")
    );
    let round = operator.run("p.last_round").await;
    assert!(
        round.contains("failures: 1") && round.contains("hours: 1"),
        "{round}"
    );

    everywhere(&mut operator, &service, "backfiller").await;
    let nodes = operator.run("config().static_nodes").await;
    assert!(nodes.starts_with("http://***@127.0.0.1:"), "{nodes}");
    service.wait_for_log("DEBUG", SOON).await;
    operator.run("log_level(\"info\")").await;

    // Paused, nothing is asked of it, but for what an operator wants.
    assert_eq!(
        operator.run("[pause(p), p.pause(), p.paused]").await,
        "[true, false, true]"
    );
    operator.run_until("p.state", |said| said == "paused").await;
    let before = peer.origin.log().len();
    operator.run("hurry(p); sleep(0.7)").await;
    assert_eq!(peer.origin.log().len(), before, "nothing is asked");
    peer.add_good(2);
    let done = operator
        .run(&format!("backfill(p, \"test\", \"source\", \"{HOUR}\")"))
        .await;
    assert!(
        done.contains("segments: 1") && done.contains("missing: 2"),
        "{done}"
    );
    fetched(&node, 2).await;
    peer.add_good(4);
    let done = operator
        .run(&format!("backfill(\"test\", \"source\", \"{HOUR}\")"))
        .await;
    assert!(done.contains("segments: 1"), "{done}");
    fetched(&node, 3).await;

    // So many at once, while one waits and another looks.
    assert_eq!(operator.run("concurrency()").await, "5");
    assert!(
        operator
            .run("concurrency(0)")
            .await
            .contains("a number from 1 to 1000")
    );
    assert_eq!(operator.run("concurrency(2)").await, "2");
    let gate = Gate::new();
    for second in 10..20 {
        let name = peer.add_good(second);
        let hold = Fault::stall_head(Hold::Until(gate.clone()));
        peer.origin.always(path(&name).as_str(), hold);
    }
    let mut other = Operator::connect("backfiller", port).await;
    other
        .send(format!("backfill(\"test\", \"source\", \"{HOUR}\")\r").as_bytes())
        .await;
    operator.run_until("p.in_flight", |said| said == "2").await;
    let downloads = operator.run("tasks(\"download\")").await;
    assert_eq!(
        downloads.matches("state: \"downloading\"").count(),
        2,
        "{downloads}"
    );
    gate.open();
    let done = other.until_prompt().await;
    assert!(done.contains("segments: 10"), "{done}");
    fetched(&node, 13).await;

    // And on again, at once.
    peer.origin.clear_rules();
    peer.add_good(30);
    assert_eq!(operator.run("resume(p)").await, "true");
    fetched(&node, 14).await;
    assert!(peer.origin.log().len() > before);
    assert_eq!(service.count_log("secret"), 0);
    shut_down(operator, service).await;
    assert!(node.temp_files().is_empty());
}
