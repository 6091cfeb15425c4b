//! Where peers come from (SPEC §6): any number of sources, merged into one set by name.

mod database;
mod dsn;
mod file;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt, join_all};
use url::Url;

pub use self::database::DatabaseSource;
pub use self::dsn::{Dsn, DsnError};
pub use self::file::FileSource;
use crate::metrics;

/// A source that takes longer keeps no peer from its worker: those known stay, and it is read
/// again 30 s later.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Why a text is not a peer's URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// Not a URL.
    #[error("a node's URL cannot be read: {0}")]
    Url(#[from] url::ParseError),
    /// Not HTTP.
    #[error("a node's URL begins with http:// or https://, not {0}:")]
    Scheme(String),
    /// With a query or fragment: paths are put behind it.
    #[error("a node's URL has no query and no fragment")]
    Query,
}

/// Another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    name: String,
    /// True iff the name is the URL's host, for want of a better one.
    unnamed: bool,
    url: Url,
}

impl Peer {
    /// A peer that is named by its host.
    ///
    /// # Errors
    /// [`PeerError`].
    pub fn unnamed(url: &str) -> Result<Peer, PeerError> {
        let url = node_url(url)?;
        Ok(Peer {
            name: url.host_str().unwrap_or_default().to_owned(),
            unnamed: true,
            url,
        })
    }

    /// A peer with a name of its own.
    ///
    /// # Errors
    /// [`PeerError`].
    pub fn named(name: &str, url: &str) -> Result<Peer, PeerError> {
        Ok(Peer {
            name: name.to_owned(),
            unnamed: false,
            url: node_url(url)?,
        })
    }

    /// What it is called in logs and metrics.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its API is; paths such as `/files` are put behind it.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// True iff this is the node called `localhost`.
    fn is(&self, localhost: &str) -> bool {
        // One that was told apart by its port is still on that host; a URL's host is in small
        // letters, whatever this node calls itself.
        let is_host = |host: &str| host.eq_ignore_ascii_case(localhost);
        self.name == localhost || (self.unnamed && self.url.host_str().is_some_and(is_host))
    }

    /// Host and port: tells apart several nodes on one host.
    fn name_by_port(&mut self) {
        if let Some(port) = self.url.port_or_known_default() {
            self.name = format!("{}:{port}", self.url.host_str().unwrap_or_default());
        }
    }
}

fn node_url(text: &str) -> Result<Url, PeerError> {
    let url = Url::parse(text)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(PeerError::Scheme(url.scheme().to_owned()));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(PeerError::Query);
    }
    Ok(url)
}

/// Why a source could not be read, or not all of it. It holds no password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct SourceError {
    /// What is wrong, in one line.
    pub reason: String,
    /// The peers that could be read all the same.
    pub readable: Vec<Peer>,
    /// Which could not.
    pub unreadable: Unreadable,
}

/// Which peers a source may still have beside those that could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// Any: there is no telling.
    Any,
    /// Those of these names.
    Named(HashSet<String>),
}

impl Unreadable {
    /// Notes a row or line that cannot be read, with the peer's name if that much can be.
    fn note(&mut self, name: Option<&str>) {
        match (self, name) {
            (Unreadable::Any, _) => {}
            (Unreadable::Named(names), Some(name)) => {
                names.insert(name.to_owned());
            }
            (this, None) => *this = Unreadable::Any,
        }
    }

    fn may_be(&self, name: &str) -> bool {
        match self {
            Unreadable::Any => true,
            Unreadable::Named(names) => names.contains(name),
        }
    }
}

impl Default for Unreadable {
    fn default() -> Unreadable {
        Unreadable::Named(HashSet::new())
    }
}

impl SourceError {
    /// Nothing could be read.
    #[must_use]
    pub fn new(reason: impl Into<String>) -> SourceError {
        SourceError {
            reason: reason.into(),
            readable: Vec::new(),
            unreadable: Unreadable::Any,
        }
    }

    fn in_part(reason: String, readable: Vec<Peer>, unreadable: Unreadable) -> SourceError {
        SourceError {
            reason,
            readable,
            unreadable,
        }
    }
}

/// Something that knows peers.
pub trait Source: fmt::Debug + Send + Sync {
    /// What it is called in logs.
    fn name(&self) -> &'static str;

    /// The peers that it knows now.
    fn read(&self) -> BoxFuture<'_, Result<Vec<Peer>, SourceError>>;
}

/// The peers of `--static-nodes`.
#[derive(Debug)]
pub struct StaticSource(Vec<Peer>);

impl StaticSource {
    /// These peers. Where several share a host, the port becomes part of their names.
    #[must_use]
    pub fn new(peers: Vec<Peer>) -> StaticSource {
        StaticSource(told_apart(peers))
    }
}

/// Tells nodes without names on one host apart by their ports: naming them by the host alone
/// would leave only one of them.
fn told_apart(mut peers: Vec<Peer>) -> Vec<Peer> {
    let mut on_host: HashMap<String, Vec<Url>> = HashMap::new();
    for peer in peers.iter().filter(|peer| peer.unnamed) {
        let urls = on_host.entry(peer.name.clone()).or_default();
        if !urls.contains(&peer.url) {
            urls.push(peer.url.clone());
        }
    }
    for peer in &mut peers {
        if peer.unnamed && on_host.get(&peer.name).is_some_and(|urls| urls.len() > 1) {
            peer.name_by_port();
        }
    }
    peers
}

impl Source for StaticSource {
    fn name(&self) -> &'static str {
        "--static-nodes"
    }

    fn read(&self) -> BoxFuture<'_, Result<Vec<Peer>, SourceError>> {
        futures::future::ready(Ok(self.0.clone())).boxed()
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    fn names_and_urls(peers: &BTreeMap<String, Peer>) -> Vec<String> {
        let shown = peers.iter().map(|(name, peer)| {
            assert_eq!(name, peer.name());
            format!("{name} {}", peer.url())
        });
        shown.collect()
    }

    /// Gives these answers, last one first.
    #[derive(Debug)]
    struct Scripted(Mutex<Vec<Result<Vec<Peer>, SourceError>>>);

    impl Source for Scripted {
        fn name(&self) -> &'static str {
            "a script"
        }

        fn read(&self) -> BoxFuture<'_, Result<Vec<Peer>, SourceError>> {
            let answer = self.0.lock().unwrap().pop().unwrap();
            futures::future::ready(answer).boxed()
        }
    }

    fn fixed(peers: &[Peer]) -> Box<dyn Source> {
        Box::new(StaticSource::new(peers.to_vec()))
    }

    #[tokio::test]
    async fn later_sources_win_and_this_node_is_left_out() {
        let unnamed = |url| Peer::unnamed(url).unwrap();
        let named = |name, url| Peer::named(name, url).unwrap();
        let first = fixed(&[
            unnamed("http://a:1/x"),
            unnamed("https://user:pass@B"),
            unnamed("http://me:8000"),
        ]);
        let second = fixed(&[named("a", "http://elsewhere"), named("c", "http://me")]);
        // A host is the same in any letters.
        let mut peers = Peers::new(vec![first, second], "Me".to_owned());
        assert_eq!(
            names_and_urls(&peers.read().await),
            [
                "a http://elsewhere/",
                "b https://user:pass@b/",
                "c http://me/"
            ]
        );
    }

    #[tokio::test]
    async fn several_nodes_on_one_host_are_told_apart_by_their_ports() {
        let urls = [
            "http://h:1",
            "http://h:2",
            "http://g",
            "http://h:2",
            "http://i",
            "http://i",
        ];
        let source = || fixed(&urls.map(|url| Peer::unnamed(url).unwrap()));
        let mut peers = Peers::new(vec![source()], "me".to_owned());
        assert_eq!(
            names_and_urls(&peers.read().await),
            [
                "g http://g/",
                "h:1 http://h:1/",
                "h:2 http://h:2/",
                "i http://i/"
            ]
        );
        for me in ["h", "H"] {
            let mut peers = Peers::new(vec![source()], me.to_owned());
            let names = names_and_urls(&peers.read().await);
            assert_eq!(names, ["g http://g/", "i http://i/"], "{me}");
        }
    }

    #[tokio::test]
    async fn of_a_source_that_fails_the_last_answer_stands() {
        let peers = |names: &[&str]| -> Vec<Peer> {
            let peers = names
                .iter()
                .map(|name| Peer::named(name, "http://h").unwrap());
            peers.collect()
        };
        let in_part = |readable: &[&str], unreadable: Option<&[&str]>| {
            let mut bad = Unreadable::default();
            match unreadable {
                Some(names) => names.iter().for_each(|name| bad.note(Some(name))),
                None => bad.note(None),
            }
            Err(SourceError::in_part("bad".to_owned(), peers(readable), bad))
        };
        // (what the source says, the peers then)
        let story = [
            (Ok(peers(&["a", "b"])), "a b"),
            (Err(SourceError::new("away")), "a b"),
            // `b` can be read no more, `a` is gone, `c` is new.
            (in_part(&["c"], Some(&["b", "x"])), "b c"),
            (in_part(&["d"], Some(&["b"])), "b d"),
            // A line without a name may be anybody's.
            (in_part(&["e"], None), "b d e"),
            (in_part(&["b"], Some(&["e"])), "b e"),
            (Ok(Vec::new()), ""),
        ];
        let (mut answers, expected): (Vec<_>, Vec<_>) = story.into_iter().unzip();
        let failing: Vec<usize> = answers.iter().map(|it| it.is_err().into()).collect();
        answers.reverse();
        let source = Box::new(Scripted(Mutex::new(answers)));
        let mut peers = Peers::new(vec![source], "me".to_owned());
        for (expected, failing) in expected.into_iter().zip(failing) {
            let known: Vec<String> = peers.read().await.into_keys().collect();
            assert_eq!(known.join(" "), expected);
            assert_eq!(peers.failing().len(), failing);
        }
    }
}
