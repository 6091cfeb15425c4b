//! Where peers come from (SPEC §6): any number of sources, merged into one set by name.

mod database;
mod dsn;
mod file;
mod peer;
mod source;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;

pub use self::database::DatabaseSource;
pub use self::dsn::{Dsn, DsnError};
pub use self::file::FileSource;
use self::peer::told_apart;
pub use self::peer::{Peer, PeerError};
pub use self::source::{Source, SourceError, StaticSource, Unreadable};
use crate::metrics;

/// A source that takes longer keeps no peer from its worker: those known stay, and it is read
/// again 30 s later.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A source and what it said last.
#[derive(Debug)]
struct Known {
    source: Box<dyn Source>,
    peers: Vec<Peer>,
    /// Why it could not be read when it was read last; said once, not every 30 s.
    failing: Option<String>,
}

/// All sources, with what each of them said last.
#[derive(Debug)]
pub struct Peers {
    sources: Vec<Known>,
    localhost: String,
}

impl Peers {
    /// The peers of these sources, without the one called `localhost`, which is this node.
    #[must_use]
    pub fn new(sources: Vec<Box<dyn Source>>, localhost: String) -> Peers {
        let sources = sources.into_iter().map(|source| Known {
            source,
            peers: Vec::new(),
            failing: None,
        });
        Peers {
            sources: sources.collect(),
            localhost,
        }
    }

    /// Reads all sources, at once. Of one that fails, what it said last stands, as far as it
    /// cannot be read now; the failure is counted, and logged when it is a new one.
    pub async fn read(&mut self) -> BTreeMap<String, Peer> {
        let reads = self.sources.iter().map(|known| known.source.read());
        let answers = join_all(reads).await;
        for (known, answer) in self.sources.iter_mut().zip(answers) {
            known.update(answer);
        }
        let known = self.sources.iter().flat_map(|known| &known.peers);
        merge(known, &self.localhost)
    }

    /// The sources that could not be read, or not all of them, when they were read last.
    #[must_use]
    pub fn failing(&self) -> Vec<&'static str> {
        let failing = self.sources.iter().filter(|known| known.failing.is_some());
        failing.map(|known| known.source.name()).collect()
    }
}

impl Known {
    fn update(&mut self, answer: Result<Vec<Peer>, SourceError>) {
        let source = self.source.name();
        match answer {
            Ok(peers) => {
                self.peers = peers;
                if self.failing.take().is_some() {
                    let known = self.peers.len();
                    tracing::info!(source, known, "the list of nodes can be read again");
                }
            }
            Err(SourceError {
                reason,
                readable,
                unreadable,
            }) => {
                metrics::NODE_LIST_ERRORS
                    .with_label_values(&[] as &[&str])
                    .inc();
                // What can be read may say that a peer has moved; and one that is neither
                // there nor among what cannot be read is gone.
                self.peers.retain(|peer| {
                    unreadable.may_be(&peer.name)
                        && readable.iter().all(|new| new.name != peer.name)
                });
                self.peers.extend(readable);
                if self.failing.as_ref() != Some(&reason) {
                    let known = self.peers.len();
                    tracing::warn!(
                        source,
                        known,
                        error = reason,
                        "cannot read the list of nodes"
                    );
                }
                self.failing = Some(reason);
            }
        }
    }
}

/// The peers by name. Of two with one name, the later wins.
fn merge<'a>(peers: impl Iterator<Item = &'a Peer>, localhost: &str) -> BTreeMap<String, Peer> {
    peers
        .filter(|peer| !peer.is(localhost))
        .map(|peer| (peer.name.clone(), peer.clone()))
        .collect()
}
