//! The bad hour of `backfiller/tests/fleet.rs` once more, with real processes: five nodes, links
//! that are up with probability 0.5 and change all the time, and one node that dies for good.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tests::content::ts_bytes;
use tests::eventually;
use tests::node::{Node, Service};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::peer::segment_name;
use super::{CHANNEL, put};

const NODES: usize = 5;

/// How long the links stay as they are: rounds are half a second apart.
const STEP: Duration = Duration::from_millis(700);

/// Enough for all that is left, on a busy machine too: a failing peer is tried again after up
/// to 88 s.
const HEALED: Duration = Duration::from_secs(240);

/// A link from one node to another, which can be cut.
struct Link {
    url: String,
    up: watch::Sender<bool>,
    _accepting: JoinSet<()>,
}

impl Link {
    async fn to(node: &Node) -> Link {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let address = node.restreamer_address();
        let (up, is_up) = watch::channel(true);
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let mut is_up = is_up.clone();
                connections.spawn(async move {
                    if !*is_up.borrow() {
                        return;
                    }
                    let Ok(mut server) = TcpStream::connect(address).await else {
                        return;
                    };
                    // Whatever is on its way when the link is cut is lost.
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        _ = is_up.wait_for(|up| !up) => {}
                    }
                });
            }
        });
        Link {
            url,
            up,
            _accepting: accepting,
        }
    }
}

type Files = BTreeMap<String, String>;

fn finished(node: &Node) -> Files {
    let mut files = node.files(CHANNEL, "source");
    files.retain(|name, _| !name.contains("-temp-"));
    files
}

#[tokio::test]
async fn five_real_nodes_end_with_the_union_and_nothing_else() {
    let seed = std::env::var("FLEET_SEED").map_or_else(|_| rand::random(), |s| s.parse().unwrap());
    eprintln!("FLEET_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut nodes: Vec<Node> = (0..NODES).map(|n| Node::new(&format!("n{n}"))).collect();
    // Two hours in segments of 10 s.
    for n in 0..720_u32 {
        let content = ts_bytes(n.into(), 3000);
        let hour = ["2026-01-02T03", "2026-01-02T04"][n as usize / 360];
        let name = segment_name(n % 360 * 10, "full", &content);
        for node in &nodes {
            if rng.random_bool(0.3) {
                put(node, hour, &name, &content);
            }
        }
    }
    let mut everything = Files::new();
    for node in &mut nodes {
        everything.extend(finished(node));
        node.start_restreamer().await;
    }
    let mut links: Vec<Link> = Vec::new();
    let mut backfillers: Vec<Service> = Vec::new();
    for me in 0..NODES {
        let mut urls = Vec::new();
        for peer in (0..NODES).filter(|peer| *peer != me) {
            let link = Link::to(&nodes[peer]).await;
            link.up.send_replace(rng.random_bool(0.5));
            urls.push(link.url.clone());
            links.push(link);
        }
        let extra = ["--interval", "0.5", "--stall-timeout", "2"];
        let extra = [&extra[..], &["--order", "random"]].concat();
        backfillers.push(nodes[me].start_backfiller(CHANNEL, &urls, &extra).await);
    }
    let dead = rng.random_range(0..NODES);
    for step in 0..10 {
        // Not waiting for anything: this is how long a bad round lasts.
        sleep(STEP).await;
        for link in &links {
            link.up.send_replace(rng.random_bool(0.5));
        }
        if step == 4 {
            backfillers[dead].kill_hard();
            nodes[dead].restreamer.as_mut().unwrap().kill_hard();
        }
    }
    for link in &links {
        link.up.send_replace(true);
    }
    let alive: Vec<&Node> = (0..NODES)
        .filter(|n| *n != dead)
        .map(|n| &nodes[n])
        .collect();
    let union: Files = alive.iter().flat_map(|node| finished(node)).collect();
    eventually(HEALED, "the union at every living node", async || {
        let counts: Vec<usize> = alive.iter().map(|node| finished(node).len()).collect();
        let whole = counts.iter().all(|count| *count == union.len());
        whole
            .then_some(())
            .ok_or(format!("{counts:?} of {}", union.len()))
    })
    .await;
    for node in alive {
        assert_eq!(finished(node), union);
        assert!(node.wrong_hashes(CHANNEL, "source").is_empty());
        assert!(node.temp_files().is_empty(), "{:?}", node.temp_files());
    }
    // Nothing has come from nowhere.
    assert!(
        union
            .iter()
            .all(|(name, hash)| everything.get(name) == Some(hash))
    );
}
