//! The downloader against an origin that does what the test says: what was listed and could be
//! fetched is on disk, under the name that every node gives it.
#![allow(
    clippy::unwrap_used,
    reason = "clippy allows it in tests, but not in what they share"
)]

mod again;
mod busy;
mod clock;
mod disk;
mod encrypted;
mod faults;
mod handover;
mod http2;
mod killed;
mod playlists;
mod recording;
mod silent;
mod stop;
mod twitch;
mod undated;
mod variants;

use std::collections::BTreeSet;
use std::time::Duration;

use tests::eventually;
use tests::node::{Node, Service};
use tests::origin::{LiveOptions, LiveStream, Origin, Published};

/// More than anything here takes, on a busy machine too.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// Makes every interval and timeout of the downloader a tenth of what it is.
pub(crate) const FAST: &[&str] = &["--time-scale", "0.1"];

/// Waits until a metric has this value: what is on the disk is counted a moment later.
pub(crate) async fn wait_for_metric(
    downloader: &Service,
    name: &str,
    labels: &[(&str, &str)],
    value: f64,
) {
    tests::eventually(SOON, &format!("{name} to be {value}"), async || {
        let is = downloader.metrics().await.sum(name, labels);
        (is == value).then_some(()).ok_or(format!("{is}"))
    })
    .await;
}

/// An origin, a live stream at it, and a node to record it.
pub(crate) struct Scene {
    pub(crate) origin: Origin,
    pub(crate) stream: LiveStream,
    pub(crate) node: Node,
}

impl Scene {
    pub(crate) async fn new(options: LiveOptions) -> Scene {
        let origin = Origin::start().await;
        let stream = LiveStream::new(&origin, "live", options);
        Scene {
            origin,
            stream,
            node: Node::new("a"),
        }
    }

    /// Starts a downloader of the stream, in fast time.
    pub(crate) async fn record(&self) -> Service {
        let channel = format!("test:url:{}", self.stream.url());
        self.node.start_downloader(&channel, FAST).await
    }

    /// Pushes so many segments.
    pub(crate) fn push(&mut self, count: usize) -> Vec<Published> {
        (0..count).map(|_| self.stream.push(10_000)).collect()
    }

    /// Waits until exactly these segments are there in full (and whatever else is not full),
    /// then checks that every name tells the truth and nothing temporary is left.
    pub(crate) async fn expect(&self, segments: &[Published]) {
        let expected: BTreeSet<String> = segments.iter().map(Published::file).collect();
        eventually(SOON, "the segments to be recorded", async || {
            let full: BTreeSet<String> = self.full();
            let missing: Vec<_> = expected.difference(&full).collect();
            match missing.is_empty() && self.node.temp_files().is_empty() {
                true => Ok(()),
                false => Err(format!("missing {missing:?}; there are {full:?}")),
            }
        })
        .await;
        assert_eq!(self.full(), expected);
        assert_eq!(self.node.wrong_hashes("test", "source"), [""; 0]);
    }

    /// The names of full segments.
    pub(crate) fn full(&self) -> BTreeSet<String> {
        self.of_type("full")
    }

    /// The names of segments of a type.
    pub(crate) fn of_type(&self, kind: &str) -> BTreeSet<String> {
        let files = self.node.files("test", "source").into_keys();
        files
            .filter(|name| name.contains(&format!("-{kind}-")))
            .collect()
    }
}
