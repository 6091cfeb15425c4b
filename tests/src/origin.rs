//! A scriptable HLS origin on loopback: content that a test may change at any time, faults for
//! the requests it picks, and a log of what was asked.
//!
//! It speaks HTTP/1.1 by hand, because a proper server cannot be made to answer wrongly: see
//! [`Fault`] for what it can do. It is bounded in connections, and dropping the [`Origin`] ends
//! all that it started.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use std::time::Duration;
//! use tests::origin::{Fault, Origin, Rule};
//!
//! let origin = Origin::start().await;
//! origin.put("/a.ts", "content", "video/mp2t");
//! origin.add_rule(Rule::new("/a.ts", Fault::status(500)).times(1));
//! let client = reqwest::Client::builder().no_proxy().build().unwrap();
//! assert_eq!(client.get(origin.url("/a.ts")).send().await.unwrap().status(), 500);
//! assert_eq!(client.get(origin.url("/a.ts")).send().await.unwrap().status(), 200);
//! origin.wait_for(Duration::from_secs(5), |log| log.count("/a.ts") == 2).await.unwrap();
//! # });
//! ```

mod connection;
mod fault;
mod live;
mod log;
mod master;
mod request;
mod resource;
mod rules;

use std::collections::HashMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use fault::{Fault, Framing, Gate, Hold};
pub use live::{ByteRanges, Dates, LiveOptions, LiveStream, NewSegment, Published, Uris, Zone};
pub use log::{Exchange, Log, Outcome, Waited};
pub use master::{MasterPlaylist, Variant};
pub use request::Request;
pub use resource::Resource;
pub use rules::{Matching, Rule, RuleId};

/// Connections at once; one more waits in the kernel's queue. A downloader of many channels
/// holds some hundreds.
const MAX_CONNECTIONS: usize = 1024;

/// So many exchanges stand in the message when a wait was in vain.
const TOLD: usize = 30;

type Handler = Arc<dyn Fn(&Request) -> Option<Resource> + Send + Sync>;

/// What an origin has to offer.
#[derive(Default)]
struct Content {
    resources: HashMap<String, Resource>,
    handlers: Vec<(Matching, Handler)>,
    directories: Vec<(String, PathBuf)>,
}

/// What the connections of an origin, its handle and its live streams share.
struct Shared {
    address: SocketAddr,
    content: Mutex<Content>,
    rules: rules::Rules,
    log: watch::Sender<Log>,
    /// Stops the connections of now; replaced when they were dropped on purpose.
    connections: Mutex<CancellationToken>,
}

/// A running origin. Dropping it stops everything.
pub struct Origin {
    shared: Arc<Shared>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Origin {
    /// Starts an origin on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// If the loopback interface gives no port.
    pub async fn start() -> Origin {
        Origin::start_with(MAX_CONNECTIONS).await
    }

    /// Starts an origin that serves at most so many connections at once.
    ///
    /// # Panics
    /// If the loopback interface gives no port.
    pub async fn start_with(max_connections: usize) -> Origin {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port on 127.0.0.1");
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared {
            address: listener.local_addr().expect("the listener's address"),
            content: Mutex::default(),
            rules: rules::Rules::default(),
            log: watch::Sender::new(Log::default()),
            connections: Mutex::new(stop.child_token()),
        });
        let tasks = TaskTracker::new();
        tasks.spawn(accept(
            listener,
            Arc::clone(&shared),
            max_connections,
            stop.clone(),
            tasks.clone(),
        ));
        Origin {
            shared,
            stop,
            tasks,
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// The URL of a path, which begins with `/`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        self.shared.url(path)
    }

    /// Puts content at a path (or replaces it). A path with a query is for exactly that query,
    /// one without for any.
    pub fn put(&self, path: &str, content: impl Into<Bytes>, content_type: &str) {
        self.put_resource(path, Resource::new(content_type, content));
    }

    /// Puts a playlist at a path (or replaces it).
    pub fn put_playlist(&self, path: &str, playlist: impl Into<Bytes>) {
        self.put_resource(path, Resource::playlist(playlist));
    }

    /// Puts a whole answer at a path (or replaces it).
    pub fn put_resource(&self, path: &str, resource: Resource) {
        self.shared.put(path, resource);
    }

    /// Removes what is at a path: 404 from now on.
    pub fn remove(&self, path: &str) {
        self.shared.remove(path);
    }

    /// Makes answers at the time of the request, of any method. Handlers come before content,
    /// in the order in which they were added; `None` leaves the request to what follows.
    pub fn handle(
        &self,
        matching: impl Into<Matching>,
        handler: impl Fn(&Request) -> Option<Resource> + Send + Sync + 'static,
    ) {
        let mut content = self.shared.content.lock().unwrap();
        content.handlers.push((matching.into(), Arc::new(handler)));
    }

    /// Serves the files of a directory under a prefix such as `/live/`, as they are at the time
    /// of each request.
    pub fn serve_dir(&self, prefix: &str, directory: impl AsRef<Path>) {
        let mut content = self.shared.content.lock().unwrap();
        let prefix = format!("/{}/", prefix.trim_matches('/')).replace("//", "/");
        content
            .directories
            .push((prefix, directory.as_ref().to_owned()));
    }

    /// Adds a rule behind those there are.
    pub fn add_rule(&self, rule: Rule) -> RuleId {
        self.shared.rules.add(rule)
    }

    /// The next `count` requests that match meet this fault.
    pub fn next(&self, count: u64, matching: impl Into<Matching>, fault: Fault) -> RuleId {
        self.add_rule(Rule::new(matching, fault).times(count))
    }

    /// All requests that match meet this fault.
    pub fn always(&self, matching: impl Into<Matching>, fault: Fault) -> RuleId {
        self.add_rule(Rule::new(matching, fault))
    }

    /// Takes a rule away. What it holds is held on.
    pub fn remove_rule(&self, rule: RuleId) {
        self.shared.rules.remove(rule);
    }

    /// Takes all rules away. What they hold is held on.
    pub fn clear_rules(&self) {
        self.shared.rules.clear();
    }

    /// So many requests have met this rule's fault.
    #[must_use]
    pub fn uses(&self, rule: RuleId) -> u64 {
        self.shared.rules.uses(rule)
    }

    /// Resets all connections there are, as an origin that is restarted does.
    pub fn drop_connections(&self) {
        let mut connections = self.shared.connections.lock().unwrap();
        connections.cancel();
        *connections = self.stop.child_token();
    }

    /// The log as it is now. An exchange may still be `Open` for a moment after its client has
    /// all of it: use [`Origin::wait_for`] where that matters.
    #[must_use]
    pub fn log(&self) -> Log {
        self.shared.log.borrow().clone()
    }

    /// So many requests for this path have come, whatever their query.
    #[must_use]
    pub fn count(&self, path: &str) -> usize {
        self.shared.log.borrow().count(path)
    }

    /// Waits until the log is as wanted. `wanted` is asked at every change of the log, under
    /// its lock: it must not call the origin.
    ///
    /// # Errors
    /// If the time is over; the error lists the last requests.
    pub async fn wait_for(
        &self,
        time: Duration,
        mut wanted: impl FnMut(&Log) -> bool,
    ) -> Result<(), Waited> {
        let mut changes = self.shared.log.subscribe();
        let waited = timeout(time, changes.wait_for(|log| wanted(log))).await;
        match waited {
            Ok(Ok(_)) => return Ok(()),
            // The sender lives in `self`.
            Ok(Err(_)) => unreachable!("the log went away before its origin"),
            Err(_) => {}
        }
        let log = self.shared.log.borrow();
        Err(Waited(format!(
            "waited {time:?} in vain at the origin; of its {} requests the last were:\n{}",
            log.len(),
            log.tail(TOLD)
        )))
    }

    /// Stops and waits until all has stopped. Dropping stops as well, but does not wait.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Origin({})", self.shared.address)
    }
}

impl Shared {
    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn put(&self, path: &str, resource: Resource) {
        let mut content = self.content.lock().unwrap();
        content.resources.insert(path.to_owned(), resource);
    }

    fn remove(&self, path: &str) {
        self.content.lock().unwrap().resources.remove(path);
    }

    /// Logs a request and chooses its fault.
    fn begin(&self, request: Request) -> (Arc<Request>, Option<Fault>) {
        let mut begun = None;
        self.log.send_modify(|log| {
            begun = Some(log.begin(request, |request| self.rules.pick(request)));
        });
        begun.expect("send_modify calls its closure")
    }

    fn change(&self, id: u64, change: impl FnOnce(&mut Exchange)) {
        self.log.send_modify(|log| log.change(id, change));
    }

    fn end(&self, id: u64, outcome: Outcome) {
        self.change(id, |exchange| {
            exchange.outcome = outcome;
            exchange.ended = Some(tokio::time::Instant::now());
        });
    }

    /// What lies at a request's path, if nothing goes wrong.
    async fn resource(&self, request: &Request) -> Resource {
        // Handlers run outside of the lock, so that they may call the origin.
        let handlers: Vec<Handler> = {
            let content = self.content.lock().unwrap();
            let matching = content.handlers.iter().filter(|(m, _)| m.matches(request));
            matching.map(|(_, handler)| Arc::clone(handler)).collect()
        };
        if let Some(resource) = handlers.iter().find_map(|handler| handler(request)) {
            return resource;
        }
        if request.method != "GET" && request.method != "HEAD" {
            return Resource::text("only GET and HEAD\n").status(405);
        }
        let file = {
            let content = self.content.lock().unwrap();
            let found = content.resources.get(&request.target);
            if let Some(resource) = found.or_else(|| content.resources.get(&request.path)) {
                return resource.clone();
            }
            content.directories.iter().find_map(|(prefix, directory)| {
                let rest = request.path.strip_prefix(prefix.as_str())?;
                let plain = rest.split('/').all(|part| !part.starts_with('.'));
                plain.then(|| directory.join(rest))
            })
        };
        match file {
            Some(file) => match tokio::fs::read(&file).await {
                Ok(bytes) => Resource::new(Resource::content_type_of(&request.path), bytes),
                Err(_) => not_found(),
            },
            None => not_found(),
        }
    }
}

fn not_found() -> Resource {
    Resource::text("nothing here\n").status(404)
}

/// Accepts connections until the origin stops.
async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    max_connections: usize,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    let places = Arc::new(Semaphore::new(max_connections));
    let mut number = 0;
    let accepting = async {
        loop {
            let place = Arc::clone(&places).acquire_owned().await;
            let Ok((stream, _)) = listener.accept().await else {
                // A client that went before it was accepted, or no file descriptor left.
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            };
            // Pieces must go out when they are written: faults are about that very moment.
            let _ = stream.set_nodelay(true);
            shared.log.send_modify(Log::connected);
            let connections = shared.connections.lock().unwrap().clone();
            let shared = Arc::clone(&shared);
            tasks.spawn(async move {
                connection::serve(&shared, stream, number, &connections).await;
                drop(place);
            });
            number += 1;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = accepting => {}
    }
}
