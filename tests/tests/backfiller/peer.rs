//! A peer that lists and serves what a test tells it to, true or not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tests::content::{sha256_base64, ts_bytes};
use tests::origin::{Matching, Origin, Resource};

use super::CHANNEL;

/// Names by quality and hour.
type Listings = BTreeMap<String, BTreeMap<String, Vec<String>>>;

/// A peer. What can go wrong with its answers is up to the rules of its origin.
pub(crate) struct ScriptedPeer {
    pub(crate) origin: Origin,
    listings: Arc<Mutex<Listings>>,
}

impl ScriptedPeer {
    pub(crate) async fn start() -> ScriptedPeer {
        let origin = Origin::start().await;
        let listings: Arc<Mutex<Listings>> = Arc::default();
        let shared = Arc::clone(&listings);
        let begin = format!("/files/{CHANNEL}/");
        origin.handle(Matching::prefix(&begin.clone()), move |request| {
            let path = request.path.strip_prefix(&begin)?;
            let listings = shared.lock().unwrap();
            let names: Vec<String> = match path.split_once('/') {
                None => listings
                    .get(path)
                    .into_iter()
                    .flat_map(|hours| hours.keys().cloned())
                    .collect(),
                Some((quality, hour)) => {
                    let names = listings.get(quality).and_then(|hours| hours.get(hour));
                    names.cloned().unwrap_or_default()
                }
            };
            Some(Resource::json(&serde_json::json!(names)))
        });
        ScriptedPeer { origin, listings }
    }

    /// Lists a name in an hour of `source`.
    pub(crate) fn list(&self, hour: &str, name: &str) {
        self.list_in("source", hour, name);
    }

    /// Lists a name in an hour of a quality.
    pub(crate) fn list_in(&self, quality: &str, hour: &str, name: &str) {
        let mut listings = self.listings.lock().unwrap();
        let hours = listings.entry(quality.to_owned()).or_default();
        hours
            .entry(hour.to_owned())
            .or_default()
            .push(name.to_owned());
    }

    /// Lists a name in an hour of `source` and serves this content for it.
    pub(crate) fn put(&self, hour: &str, name: &str, content: &[u8]) {
        self.list(hour, name);
        let content = content.to_vec();
        self.origin.put(&path(hour, name), content, "video/mp2t");
    }

    /// Has a segment of some bytes made from a seed, which starts at so many seconds of the
    /// hour; gives its name.
    pub(crate) fn add(&self, hour: &str, second: u32, seed: u64) -> String {
        let content = ts_bytes(seed, 20_000);
        let name = segment_name(second, "full", &content);
        self.put(hour, &name, &content);
        name
    }
}

/// Where a segment of `source` is served.
pub(crate) fn path(hour: &str, name: &str) -> String {
    format!("/segments/{CHANNEL}/source/{hour}/{name}")
}

/// The name of a segment of 2 s.
pub(crate) fn segment_name(second: u32, kind: &str, content: &[u8]) -> String {
    let (minute, second) = (second / 60, second % 60);
    let hash = sha256_base64(content);
    format!("{minute:02}:{second:02}.000000-2.0-{kind}-{hash}.ts")
}
