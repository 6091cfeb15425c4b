//! The HTTP API for editors, players and peers (SPEC §4): listings, files, playlists.
//!
//! It only ever reads. `store` → `selection` → [`hls`] → client; what is read of an hour's
//! directory is kept by the [`index`] until the directory changes.

pub mod error;
pub mod gzip;
pub mod hls;
pub mod index;
pub mod listing;
mod params;
mod paths;
mod routes;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use clap::Parser;
use common::serve::{self, BindError};
use common::service::CommonOptions;
use common::store::Store;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::hls::HourLines;
use crate::index::Index;
use crate::listing::Listing;
use crate::routes::segments::Buffers;

/// What is being answered when the service is told to stop has so long to go out: enough for a
/// segment over a slow line, and less than what process managers wait before they kill.
const GRACE: Duration = Duration::from_secs(20);

/// Playlists that are worked out at once, for each core. Others wait their turn, so that a
/// crowd of players never takes every blocking thread from those who ask for files.
const PLAYLISTS_PER_CORE: usize = 4;

/// The part of the index's memory that is for listings: an hour's takes half as much as its
/// playlist, and few peers ask for old ones.
const LISTINGS_SHARE: usize = 4;

/// Bytes in a mebibyte.
const MEBIBYTE: usize = 1 << 20;

/// Serves recordings over HTTP: listings, files and HLS playlists
#[derive(Debug, Clone, Parser)]
#[command(name = "restreamer", version)]
pub struct Options {
    /// Options that every service has.
    #[command(flatten)]
    pub common: CommonOptions,

    /// The address on which to listen
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    pub host: IpAddr,

    /// The port on which to listen (0: any free one)
    #[arg(long, default_value_t = 8000)]
    pub port: u16,

    /// How many MiB of memory to spend on hours already listed (an hour of 2 s segments takes
    /// half a MiB)
    #[arg(long, default_value_t = 256, value_name = "MIB")]
    pub index_memory: usize,
}

/// What the routes share. Cheap to clone.
#[derive(Debug, Clone)]
struct App {
    store: Store,
    index: Index<HourLines>,
    listings: Index<Listing>,
    buffers: Arc<Buffers>,
    /// One permit for each playlist that may be worked out now.
    playlists: Arc<Semaphore>,
}

/// Listens where the options say and serves until `shutdown`.
///
/// # Errors
/// If the address is taken or not ours.
pub async fn run(options: &Options, shutdown: CancellationToken) -> Result<(), BindError> {
    let listener = serve::bind(options.host, options.port).await?;
    run_on(listener, options, shutdown).await;
    Ok(())
}

/// Serves on a listener until `shutdown`; then what is being answered has 20 s to go out.
pub async fn run_on(listener: TcpListener, options: &Options, shutdown: CancellationToken) {
    serve::serve(listener, router(options), shutdown, GRACE).await;
}

/// All routes, with metrics and open CORS.
pub fn router(options: &Options) -> Router {
    let base = &options.common.base_dir;
    if !base.is_dir() {
        // Not an error: it may be mounted later, and until then there is nothing to list.
        tracing::warn!(base_dir = %base.display(), "the base directory does not exist");
    }
    let store = Store::new(base);
    let memory = options.index_memory.saturating_mul(MEBIBYTE);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    routes::router(App {
        index: Index::new(store.clone(), memory - memory / LISTINGS_SHARE),
        listings: Index::new(store.clone(), memory / LISTINGS_SHARE),
        store,
        buffers: Arc::default(),
        playlists: Arc::new(Semaphore::new(cores * PLAYLISTS_PER_CORE)),
    })
}
