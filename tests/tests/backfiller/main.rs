//! The backfiller's real binary against scripted peers (issue 2).
#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

mod busy;
mod chatter;
mod disk;
mod faults;
mod fleet;
mod kinds;
mod life;
mod limits;
mod listings;
mod missing;
mod nodes;
mod options;
mod peer;
mod restreamer;
mod retention;
mod terminal;

use std::time::Duration;

use tests::node::{Node, Service};

use peer::ScriptedPeer;

/// The channel of all scenarios.
const CHANNEL: &str = "test";

/// The hour of most.
const HOUR: &str = "2026-01-02T03";

/// Enough for anything that takes no time, on a busy machine too.
const SOON: Duration = Duration::from_secs(20);

/// Starts a backfiller on a node, from these peers.
async fn start(node: &Node, peers: &[&ScriptedPeer], extra: &[&str]) -> Service {
    let urls: Vec<String> = peers.iter().map(|peer| peer.origin.url("")).collect();
    node.start_backfiller(CHANNEL, &urls, extra).await
}

/// Runs one round and gives the exit code.
async fn run_once(node: &Node, peers: &[&ScriptedPeer], extra: &[&str]) -> (Service, Option<i32>) {
    let extra: Vec<&str> = ["--run-once"].iter().chain(extra).copied().collect();
    let mut service = start(node, peers, &extra).await;
    let code = service.wait(SOON).await.code();
    (service, code)
}

/// The names in an hour of a node's `source`, in order.
fn names(node: &Node, hour: &str) -> Vec<String> {
    let begin = format!("{hour}/");
    let files = node.file_names(CHANNEL, "source");
    let names = files.iter().filter_map(|file| file.strip_prefix(&begin));
    names.map(str::to_owned).collect()
}

/// Puts a file into an hour of a node's `source`.
fn put(node: &Node, hour: &str, name: &str, content: &[u8]) {
    let directory = node.base_dir().join(CHANNEL).join("source").join(hour);
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join(name), content).unwrap();
}
