//! What the services are started with, each list in one place.

use std::path::Path;

/// The restreamer on a free port of loopback.
pub(super) fn restreamer(base: &Path) -> Vec<String> {
    let base = base.display().to_string();
    words(&["--base-dir", &base, "--host", "127.0.0.1", "--port", "0"])
}

/// A downloader of one quality, its metrics on a free port of loopback.
pub(super) fn downloader(base: &Path, channel: &str) -> Vec<String> {
    let base = base.display().to_string();
    words(&[channel, "--base-dir", &base, "--metrics-port", "0"])
}

/// A backfiller of these peers, its metrics on a free port of loopback. The cutoff is off: a
/// test has no time for segments to age.
pub(super) fn backfiller(base: &Path, channel: &str, name: &str, peers: &[String]) -> Vec<String> {
    let base = base.display().to_string();
    let peers = peers.join(",");
    words(&[
        channel,
        "--base-dir",
        &base,
        "--static-nodes",
        &peers,
        "--localhost",
        name,
        "--recent-cutoff",
        "0",
        "--metrics-port",
        "0",
    ])
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}
