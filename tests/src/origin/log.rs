//! What an origin was asked and what became of it.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;

use super::fault::Fault;
use super::request::Request;

/// So many exchanges are kept (the oldest go first); the counts go on.
const KEPT: usize = 100_000;

/// How an exchange stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Still going on, or held by a fault.
    Open,
    /// All that was to be sent has been handed to the kernel.
    Finished,
    /// A fault broke it off (or ended its body early).
    CutByOrigin,
    /// The client went away before the end.
    CutByClient,
    /// The origin was stopped, or dropped its connections.
    Stopped,
}

/// One request and its answer.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// What was asked.
    pub request: Arc<Request>,
    /// When its head had arrived.
    pub started: Instant,
    /// When it was over.
    pub ended: Option<Instant>,
    /// The fault's name, if a rule chose one.
    pub fault: Option<String>,
    /// The status, once there is one.
    pub status: Option<u16>,
    /// So many bytes of the body were handed to the kernel.
    pub sent: u64,
    /// How it stands.
    pub outcome: Outcome,
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Request {
            id,
            connection,
            method,
            target,
            ..
        } = &*self.request;
        write!(f, "#{id} (connection {connection}) {method} {target}")?;
        if let Some(range) = self.request.range() {
            write!(f, " [{range}]")?;
        }
        match self.status {
            Some(status) => write!(f, " -> {status}, {} bytes", self.sent)?,
            None => f.write_str(" -> no answer")?,
        }
        if let Some(fault) = &self.fault {
            write!(f, ", fault: {fault}")?;
        }
        write!(f, ", {:?}", self.outcome)
    }
}

/// All exchanges of an origin, oldest first.
#[derive(Debug, Clone, Default)]
pub struct Log {
    exchanges: VecDeque<Exchange>,
    forgotten: u64,
    counts: HashMap<String, usize>,
    connections: u64,
}

impl Log {
    /// The exchanges, oldest first (of very many, the last 100,000).
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Exchange> {
        self.exchanges.iter()
    }

    /// So many requests have come in.
    #[must_use]
    pub fn len(&self) -> usize {
        self.exchanges.len() + usize::try_from(self.forgotten).unwrap_or(usize::MAX)
    }

    /// True if nothing was asked yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// So many requests were for this path, whatever their query.
    #[must_use]
    pub fn count(&self, path: &str) -> usize {
        self.counts.get(path).copied().unwrap_or(0)
    }

    /// The exchanges of this path, whatever their query.
    pub fn of<'a>(&'a self, path: &'a str) -> impl DoubleEndedIterator<Item = &'a Exchange> {
        self.iter()
            .filter(move |exchange| exchange.request.path == path)
    }

    /// The latest exchange of this path.
    #[must_use]
    pub fn last(&self, path: &str) -> Option<&Exchange> {
        let mut latest_first = self.iter().rev();
        latest_first.find(|exchange| exchange.request.path == path)
    }

    /// So many exchanges are still going on.
    #[must_use]
    pub fn open(&self) -> usize {
        self.iter()
            .filter(|exchange| exchange.outcome == Outcome::Open)
            .count()
    }

    /// So many connections have been accepted.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections
    }

    /// The last `count` exchanges, a line each, for a message.
    #[must_use]
    pub fn tail(&self, count: usize) -> String {
        let skipped = self.exchanges.len().saturating_sub(count);
        self.iter()
            .skip(skipped)
            .map(|exchange| format!("  {exchange}\n"))
            .collect()
    }

    pub(super) fn connected(&mut self) {
        self.connections += 1;
    }

    /// Notes a request: gives it its number, has its fault chosen (in the same order in which
    /// the log lists the requests) and opens its exchange.
    pub(super) fn begin(
        &mut self,
        mut request: Request,
        choose: impl FnOnce(&Request) -> Option<Fault>,
    ) -> (Arc<Request>, Option<Fault>) {
        request.id = self.forgotten + self.exchanges.len() as u64;
        let fault = choose(&request);
        let request = Arc::new(request);
        *self.counts.entry(request.path.clone()).or_default() += 1;
        if self.exchanges.len() == KEPT {
            self.exchanges.pop_front();
            self.forgotten += 1;
        }
        self.exchanges.push_back(Exchange {
            request: Arc::clone(&request),
            started: Instant::now(),
            ended: None,
            fault: fault.as_ref().map(|fault| fault.label.clone()),
            status: None,
            sent: 0,
            outcome: Outcome::Open,
        });
        (request, fault)
    }

    /// The exchange of that request's id, unless it is forgotten.
    pub(super) fn change(&mut self, id: u64, change: impl FnOnce(&mut Exchange)) {
        let index = id.checked_sub(self.forgotten);
        let index = index.and_then(|index| usize::try_from(index).ok());
        if let Some(exchange) = index.and_then(|index| self.exchanges.get_mut(index)) {
            change(exchange);
        }
    }
}

/// What was waited for did not come: says what was asked instead.
#[derive(Clone)]
pub struct Waited(pub(super) String);

impl fmt::Display for Waited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Waited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Waited {}
