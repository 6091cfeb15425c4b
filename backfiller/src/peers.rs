//! Where peers come from (SPEC §6): any number of sources, merged into one set by name.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use futures::future::{BoxFuture, FutureExt};
use url::Url;

use crate::metrics;

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
        // One that was told apart by its port is still on that host.
        self.name == localhost || (self.unnamed && self.url.host_str() == Some(localhost))
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

/// Why a source could not be read. It holds no password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SourceError(pub String);

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
    /// These peers. Where several share a host, the port becomes part of their names: naming
    /// them by the host alone would leave only one of them.
    #[must_use]
    pub fn new(mut peers: Vec<Peer>) -> StaticSource {
        let mut on_host: HashMap<String, Vec<Url>> = HashMap::new();
        for peer in &peers {
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
        StaticSource(peers)
    }
}

impl Source for StaticSource {
    fn name(&self) -> &'static str {
        "--static-nodes"
    }

    fn read(&self) -> BoxFuture<'_, Result<Vec<Peer>, SourceError>> {
        futures::future::ready(Ok(self.0.clone())).boxed()
    }
}

/// All sources, with what each of them said last.
#[derive(Debug)]
pub struct Peers {
    sources: Vec<(Box<dyn Source>, Vec<Peer>)>,
    localhost: String,
}

impl Peers {
    /// The peers of these sources, without the one called `localhost`, which is this node.
    #[must_use]
    pub fn new(sources: Vec<Box<dyn Source>>, localhost: String) -> Peers {
        let sources = sources.into_iter().map(|source| (source, Vec::new()));
        Peers {
            sources: sources.collect(),
            localhost,
        }
    }

    /// Reads all sources. Of one that fails, what it said last stands; the failure is logged
    /// and counted.
    pub async fn read(&mut self) -> BTreeMap<String, Peer> {
        for (source, known) in &mut self.sources {
            match source.read().await {
                Ok(peers) => *known = peers,
                Err(error) => {
                    metrics::NODE_LIST_ERRORS
                        .with_label_values(&[] as &[&str])
                        .inc();
                    let (source, known) = (source.name(), known.len());
                    tracing::warn!(source, known, %error, "cannot read the list of nodes");
                }
            }
        }
        let known = self.sources.iter().flat_map(|(_, known)| known);
        merge(known, &self.localhost)
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
        let mut peers = Peers::new(vec![first, second], "me".to_owned());
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
        let mut peers = Peers::new(vec![source()], "h".to_owned());
        let names = names_and_urls(&peers.read().await);
        assert_eq!(names, ["g http://g/", "i http://i/"]);
    }

    #[tokio::test]
    async fn of_a_source_that_fails_the_last_answer_stands() {
        let a = vec![Peer::unnamed("http://a").unwrap()];
        let failure = Err(SourceError("away".to_owned()));
        let answers = vec![Ok(Vec::new()), failure, Ok(a)];
        let mut peers = Peers::new(
            vec![Box::new(Scripted(Mutex::new(answers)))],
            "me".to_owned(),
        );
        for known in [1, 1, 0] {
            assert_eq!(peers.read().await.len(), known);
        }
    }
}
