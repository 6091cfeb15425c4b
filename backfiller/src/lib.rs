//! Fetches from other nodes whatever this one is missing (SPEC §6).
//!
//! Data goes one way: a peer's listing comes through [`remote`], [`plan`] says what of it is
//! missing here, [`download`] fetches that and gives it to `common::store`'s writer.

mod backdoor;
pub mod claims;
pub mod download;
pub mod item;
pub mod journal;
mod leftovers;
pub mod manager;
pub mod metrics;
pub mod missing;
pub mod options;
pub mod peers;
pub mod plan;
pub mod progress;
pub mod queue;
pub mod rate;
pub mod refusals;
pub mod remote;
pub mod report;
mod respite;
pub mod retention;
pub mod round;
pub mod site;
pub mod slots;
mod twins;
pub mod watch;
pub mod worker;

use common::http::{HttpClient, HttpError};
use common::serve::BindError;
use common::service::serve_metrics;
use common::store::Store;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use tokio_util::sync::CancellationToken;

use crate::claims::Claims;
use crate::manager::Manager;
pub use crate::options::Options;
use crate::peers::{DatabaseSource, FileSource, Peers, Source, StaticSource};
use crate::rate::Rate;
use crate::slots::Slots;
use crate::watch::Watches;

/// What all workers share.
#[derive(Debug)]
pub struct Context {
    /// What we were told.
    pub options: Options,
    /// Where segments go.
    pub store: Store,
    /// The one pool of connections.
    pub client: HttpClient,
    /// What is being downloaded, so that no two workers fetch the same file.
    pub claims: Claims,
    /// One for each download at once, of all workers together.
    pub slots: Slots,
    /// What all downloads together may receive.
    pub rate: Rate,
    /// The peers, for operators.
    pub peers: Watches,
    /// `--download-concurrency`, until an operator says otherwise.
    pub concurrency: AtomicU16,
}

impl Context {
    /// What workers share who were told this.
    ///
    /// # Errors
    /// If there is no HTTP client.
    pub fn new(options: Options) -> Result<Context, HttpError> {
        Ok(Context {
            store: Store::new(&options.common.base_dir),
            client: HttpClient::new()?,
            claims: Claims::default(),
            slots: Slots::new(options.max_downloads.into(), options.sensible_downloads()),
            rate: Rate::new(options.max_rate.0),
            peers: Watches::default(),
            concurrency: AtomicU16::new(options.download_concurrency),
            options,
        })
    }

    /// How many files to download at once from each peer, as things are now.
    #[must_use]
    pub fn at_once(&self) -> usize {
        let told = self.concurrency.load(Ordering::Relaxed);
        self.options.bearable(told)
    }
}

/// Why the backfiller could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No client.
    #[error(transparent)]
    Client(#[from] HttpError),
    /// No page of metrics, or no backdoor.
    #[error(transparent)]
    Metrics(#[from] BindError),
    /// `--run-once` did not get all that it saw.
    #[error(
        "not everything was fetched: {segments} segments are still missing, and listings failed at {}",
        if .peers.is_empty() { "no peer".to_owned() } else { .peers.join(", ") }
    )]
    Incomplete {
        /// The names of the peers whose listings could not all be had.
        peers: Vec<String>,
        /// How many segments could be fetched from none of the peers that list them.
        segments: u64,
    },
    /// `--run-once` was stopped before its round was over.
    #[error("stopped: not everything was fetched")]
    Stopped,
}

/// Fetches what is missing until `shutdown`, or, with `--run-once`, in one round for every peer.
/// All tasks have ended when this returns, and no temporary file is left.
///
/// # Errors
/// [`RunError`]; the exit code is 1 then.
pub async fn run(options: Options, shutdown: CancellationToken) -> Result<(), RunError> {
    // Also ends the page of metrics when the work is done before anybody asks us to stop.
    let stop = shutdown.child_token();
    let page = serve_metrics(options.metrics_port, stop.clone()).await?;
    metrics::register();
    let peers = Peers::new(sources(&options), options.localhost.clone());
    let context = Arc::new(Context::new(options)?);
    let port = context.options.common.backdoor_port;
    let door = common::backdoor::open(port, backdoor::registry(&context), &stop).await?;
    let bar = context.options.run_once.then(|| progress::show(&stop));
    let outcome = Manager::new(context, peers).run(&stop).await;
    stop.cancel();
    if let Some(Some(bar)) = bar
        && let Err(error) = bar.await
    {
        tracing::warn!(%error, "the progress bar ended badly");
    }
    if let Err(error) = page.await {
        tracing::warn!(%error, "the page of metrics ended badly");
    }
    if let Some(door) = door
        && let Err(error) = door.await
    {
        tracing::warn!(%error, "the backdoor ended badly");
    }
    outcome
}

/// Where peers come from; of two with one name the later source's wins (SPEC §6).
fn sources(options: &Options) -> Vec<Box<dyn Source>> {
    let mut sources: Vec<Box<dyn Source>> =
        vec![Box::new(StaticSource::new(options.static_nodes()))];
    if let Some(path) = &options.node_file {
        sources.push(Box::new(FileSource::new(path)));
    }
    if let Some(dsn) = &options.node_database {
        sources.push(Box::new(DatabaseSource::new(dsn.clone())));
    }
    sources
}
