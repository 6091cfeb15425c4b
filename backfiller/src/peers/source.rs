//! Where peers come from, in general, and the simplest case.

use std::collections::HashSet;
use std::fmt;

use futures::future::{BoxFuture, FutureExt};

use super::peer::{Peer, told_apart};

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
    pub(super) fn note(&mut self, name: Option<&str>) {
        match (self, name) {
            (Unreadable::Any, _) => {}
            (Unreadable::Named(names), Some(name)) => {
                names.insert(name.to_owned());
            }
            (this, None) => *this = Unreadable::Any,
        }
    }

    pub(super) fn may_be(&self, name: &str) -> bool {
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

    pub(super) fn in_part(
        reason: String,
        readable: Vec<Peer>,
        unreadable: Unreadable,
    ) -> SourceError {
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

impl Source for StaticSource {
    fn name(&self) -> &'static str {
        "--static-nodes"
    }

    fn read(&self) -> BoxFuture<'_, Result<Vec<Peer>, SourceError>> {
        futures::future::ready(Ok(self.0.clone())).boxed()
    }
}
