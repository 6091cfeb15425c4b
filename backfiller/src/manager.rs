//! Which peers have a worker: a new peer gets one, a vanished one loses it (SPEC §6).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use common::timing::jitter;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::item::Item;
use crate::leftovers;
use crate::peers::{Peer, Peers};
use crate::retention;
use crate::worker::Worker;
use crate::{Context, RunError};

/// How often the sources of peers are read (SPEC §6), unless rounds are closer together.
const REREAD: Duration = Duration::from_secs(30);

/// Keeps the workers.
#[derive(Debug)]
pub struct Manager {
    context: Arc<Context>,
    peers: Peers,
    /// True iff there was no peer when they were read last; said once, not every 30 s.
    alone: bool,
}

/// A worker at work.
#[derive(Debug)]
struct Running {
    peer: Peer,
    task: Id,
    stop: CancellationToken,
}

impl Manager {
    /// A manager without workers.
    #[must_use]
    pub fn new(context: Arc<Context>, peers: Peers) -> Manager {
        Manager {
            context,
            peers,
            alone: false,
        }
    }

    /// Works until `stop`, or, with `--run-once`, until every worker has done one round. All
    /// workers have ended when this returns.
    ///
    /// # Errors
    /// [`RunError::Incomplete`] and [`RunError::Stopped`], with `--run-once` only.
    pub async fn run(self, stop: &CancellationToken) -> Result<(), RunError> {
        let context = Arc::clone(&self.context);
        let work = async {
            if self.context.options.run_once {
                return self.once(stop).await;
            }
            self.keep(stop).await;
            Ok(())
        };
        let cleaning = leftovers::run(&context, stop);
        let (outcome, (), ()) = tokio::join!(work, retention::run(&context, stop), cleaning);
        outcome
    }

    async fn once(mut self, stop: &CancellationToken) -> Result<(), RunError> {
        let mut rounds = JoinSet::new();
        let Some(peers) = stop.run_until_cancelled(self.read_peers()).await else {
            return Err(RunError::Stopped);
        };
        for (name, peer) in peers {
            let worker = Worker::new(Arc::clone(&self.context), &peer);
            let round = stop.clone().run_until_cancelled_owned(worker.once());
            let span = span(&name);
            rounds.spawn(async move { (name, round.await) }.instrument(span));
        }
        // Peers that nobody could name were not asked.
        let mut peers: Vec<String> = self
            .peers
            .failing()
            .into_iter()
            .map(str::to_owned)
            .collect();
        let mut failed = HashSet::new();
        let (mut not_remembered, mut stopped) = (0, false);
        while let Some(ended) = rounds.join_next().await {
            match ended {
                Ok((name, Some(report))) => {
                    not_remembered += report.failures - report.failed.len() as u64;
                    failed.extend(report.failed);
                    if report.error.is_some() {
                        peers.push(name);
                    }
                }
                Ok((_, None)) => stopped = true,
                Err(error) => {
                    tracing::error!(%error, "a worker ended badly");
                    peers.push("a peer whose worker ended badly".to_owned());
                }
            }
        }
        if stopped {
            return Err(RunError::Stopped);
        }
        peers.sort_unstable();
        let segments = not_remembered + self.missing(failed).await;
        if peers.is_empty() && segments == 0 {
            return Ok(());
        }
        Err(RunError::Incomplete { peers, segments })
    }

    /// How many of these are not here: what failed at one peer may have come from another.
    async fn missing(&self, failed: HashSet<Item>) -> u64 {
        let (store, claims) = (self.context.store.clone(), self.context.claims.clone());
        let all = failed.len();
        let look = move || {
            let is_here = |item: &Item| {
                let twins = claims.twins(item);
                item.file(&store).exists() || twins.iter().any(|twin| twin.exists())
            };
            failed.iter().filter(|item| !is_here(item)).count()
        };
        let missing = tokio::task::spawn_blocking(look).await;
        missing.unwrap_or(all) as u64
    }

    async fn keep(mut self, stop: &CancellationToken) {
        let mut tasks = JoinSet::new();
        let mut running = HashMap::new();
        while !stop.is_cancelled() {
            let Some(wanted) = stop.run_until_cancelled(self.read_peers()).await else {
                break;
            };
            running.retain(|name, worker: &mut Running| {
                let keep = wanted.get(name) == Some(&worker.peer);
                if !keep {
                    tracing::info!(peer = name, "the peer is gone, or elsewhere");
                    worker.stop.cancel();
                }
                keep
            });
            for (name, peer) in wanted {
                running
                    .entry(name)
                    .or_insert_with(|| self.start(&mut tasks, peer, stop));
            }
            let pause = sleep(jitter(REREAD.min(self.context.options.interval)));
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = &mut pause => break,
                    Some(ended) = tasks.join_next() => forget(&mut running, ended),
                }
            }
        }
        while let Some(ended) = tasks.join_next().await {
            forget(&mut running, ended);
        }
    }

    fn start(
        &self,
        tasks: &mut JoinSet<Option<Infallible>>,
        peer: Peer,
        stop: &CancellationToken,
    ) -> Running {
        let url = common::http::shown(peer.url());
        tracing::info!(peer = peer.name(), %url, "a new peer");
        let stop = stop.child_token();
        let worker = Worker::new(Arc::clone(&self.context), &peer);
        let work = stop.clone().run_until_cancelled_owned(worker.run());
        let task = tasks.spawn(work.instrument(span(peer.name())));
        Running {
            task: task.id(),
            peer,
            stop,
        }
    }

    async fn read_peers(&mut self) -> BTreeMap<String, Peer> {
        let peers = self.peers.read().await;
        if peers.is_empty() && !self.alone {
            tracing::warn!(
                "there is no peer to fetch from: see --static-nodes, --node-file, --node-database"
            );
        }
        self.alone = peers.is_empty();
        peers
    }
}

fn span(peer: &str) -> tracing::Span {
    tracing::info_span!("worker", peer)
}

/// Forgets a worker that panicked, so that its peer gets a new one when the peers are read next.
fn forget(running: &mut HashMap<String, Running>, ended: Result<Option<Infallible>, JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a worker ended badly");
        running.retain(|_, worker| worker.task != error.id());
    }
}
