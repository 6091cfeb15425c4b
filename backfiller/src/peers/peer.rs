//! Another node: what it is called and where it is.

use std::collections::HashMap;

use url::Url;

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
    pub(super) name: String,
    /// True iff the name is the URL's host, for want of a better one.
    pub(super) unnamed: bool,
    pub(super) url: Url,
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
    pub(super) fn is(&self, localhost: &str) -> bool {
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

/// Tells nodes without names on one host apart by their ports: naming them by the host alone
/// would leave only one of them.
pub(super) fn told_apart(mut peers: Vec<Peer>) -> Vec<Peer> {
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
