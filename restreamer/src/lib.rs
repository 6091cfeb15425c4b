//! The HTTP API for editors, players and peers (SPEC §4): listings, files, playlists.
//!
//! It only ever reads. `store` → `selection` → [`hls`] → client; what is read of an hour's
//! directory is kept by the [`index`] until the directory changes.

mod backdoor;
mod cut;
pub mod error;
mod ffmpeg;
pub mod footage;
pub mod gzip;
pub mod hls;
mod holes;
pub mod index;
mod limits;
pub mod listing;
mod live;
pub mod mpegts;
mod params;
mod paths;
mod renditions;
mod routes;
pub mod text;

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use common::serve::{self, BindError, Limits};
use common::service::{self, CommonOptions};
use common::store::Store;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::ffmpeg::Ffmpeg;
use crate::hls::HourLines;
use crate::holes::Watcher;
use crate::index::{Index, Looks};
use crate::limits::{Family, Room};
use crate::listing::Listing;
use crate::live::Views;
pub use crate::routes::Routes;
use crate::routes::playlist::{Answers, Questions};
use crate::routes::segments::{Buffers, OpenFiles};

/// What is being answered when the service is told to stop has so long to go out: enough for a
/// segment over a slow line, and less than what process managers wait before they kill.
const GRACE: Duration = Duration::from_secs(20);

/// ffmpeg is killed with the request that wanted it: to wait for that takes no time.
const REAP: Duration = Duration::from_secs(5);

/// Playlists that are worked out at once, for each core. Others wait their turn, so that a
/// crowd of players never takes every blocking thread from those who ask for files.
const PLAYLISTS_PER_CORE: usize = 4;

/// Hours of long playlists that may be asked for in a second, by all clients together: a week
/// sixty times, which is what one core writes to sockets.
const LONG_HOURS_A_SECOND: f64 = 10_000.0;

/// What long playlists may take on their way to clients, in bytes, all together: one of the
/// longest there are. Their hours are not all in the index, so that each may have its own.
const LONG_BYTES: usize = 512 << 20;

/// What other playlists may take on their way beside the hours that they are from, in bytes, all
/// together: lists full of holes, and those kept that are no longer.
const OWN_BYTES: usize = 256 << 20;

/// Walks through trees that may begin in a second: every peer asks once in minutes.
const EXTRAS_A_SECOND: f64 = 20.0;

/// Cuts at once: each takes some MiB of memory.
const MAX_CUTS: usize = 128;

/// The part of the files that the process may have open which are files on their way to clients;
/// the others are the clients' connections.
const FILES_SHARE: usize = 4;

/// Open files that are neither: the log, the listener, directories being read.
const OTHER_FILES: usize = 128;

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

    /// How many connections to serve at once; further ones get 503
    #[arg(long, default_value_t = 16_384, value_name = "COUNT", value_parser = at_least_one)]
    pub max_connections: usize,

    /// The program that decodes and encodes
    #[arg(long, default_value = "ffmpeg", value_name = "PROGRAM")]
    pub ffmpeg: PathBuf,

    /// How many ffmpeg processes to run at once [default: the number of cores]
    #[arg(long, value_name = "COUNT", value_parser = at_least_one)]
    pub ffmpeg_processes: Option<usize>,

    /// How many requests may wait for ffmpeg beyond those that it works for; further ones get 503
    #[arg(long, default_value_t = 32, value_name = "COUNT")]
    pub ffmpeg_queue: usize,

    /// How many ffmpeg processes to keep ready for the next frame or cut of the same stream
    #[arg(long, default_value_t = 2, value_name = "COUNT")]
    pub ffmpeg_warm: usize,
}

impl Options {
    fn ffmpeg(&self) -> Ffmpeg {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let processes = self.ffmpeg_processes.unwrap_or_else(cores);
        let program = self.ffmpeg.clone();
        Ffmpeg::new(program, processes, self.ffmpeg_queue, self.ffmpeg_warm)
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least one is needed".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}

/// What the routes share.
#[derive(Debug)]
struct App {
    store: Store,
    index: Index<HourLines>,
    listings: Index<Listing>,
    views: Arc<Views>,
    questions: Questions,
    answers: Answers,
    buffers: Arc<Buffers>,
    files: Arc<OpenFiles>,
    families: Families,
    ffmpeg: Arc<Ffmpeg>,
}

/// What takes work, each kind with its own limits: one never takes another's share.
#[derive(Debug)]
struct Families {
    /// Playlists of up to 12 hours, which players poll. No rate: the work is next to nothing.
    playlists: Family,
    /// Longer playlists; a unit is an hour.
    long_playlists: Family,
    /// What they take until they are sent; a permit is a KiB.
    long_bodies: Room,
    /// What others take that they share with nobody.
    own_bodies: Room,
    /// Walks through whole trees; a unit is one.
    extras: Family,
    /// Cuts, of which most take a slow client's time and none of ours. What needs ffmpeg waits
    /// for that.
    cuts: Family,
}

impl Families {
    fn new() -> Families {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Families {
            playlists: Family::new("playlist", cores * PLAYLISTS_PER_CORE, 1024, None),
            long_playlists: Family::new("long_playlist", cores, 64, Some(LONG_HOURS_A_SECOND)),
            long_bodies: Room::new("long_playlist", LONG_BYTES),
            own_bodies: Room::new("playlist", OWN_BYTES),
            extras: Family::new("extras", 2, 16, Some(EXTRAS_A_SECOND)),
            cuts: Family::new("cut", MAX_CUTS, MAX_CUTS, None),
        }
    }
}

/// Listens where the options say and serves until `shutdown`.
///
/// # Errors
/// If the address is taken or not ours.
pub async fn run(options: &Options, shutdown: CancellationToken) -> Result<(), BindError> {
    let listener = serve::bind(options.host, options.port).await?;
    let app = app(options);
    let port = options.common.backdoor_port;
    let door = common::backdoor::open(port, backdoor::registry(&app), &shutdown).await?;
    run_app(listener, app, options, shutdown).await;
    if let Some(door) = door {
        // Its own concern, and over.
        let _ = door.await;
    }
    Ok(())
}

/// Serves on a listener until `shutdown`; then what is being answered has 20 s to go out.
pub async fn run_on(listener: TcpListener, options: &Options, shutdown: CancellationToken) {
    run_app(listener, app(options), options, shutdown).await;
}

async fn run_app(
    listener: TcpListener,
    app: Arc<App>,
    options: &Options,
    shutdown: CancellationToken,
) {
    let open_files = service::max_open_files();
    let room = (open_files - open_files / FILES_SHARE)
        .saturating_sub(OTHER_FILES)
        .max(1);
    if room < options.max_connections {
        tracing::warn!(
            connections = room,
            open_files,
            "fewer connections than --max-connections: the process may not open so many files"
        );
    }
    let limits = Limits {
        connections: options.max_connections.min(room),
        ..Limits::default()
    };
    let ffmpeg = Arc::clone(&app.ffmpeg);
    let check = tokio::spawn(Arc::clone(&ffmpeg).check());
    let holes = Watcher::new(app.store.clone(), app.index.clone());
    let watch = tokio::spawn(holes.run(shutdown.clone()));
    let (views, stop) = (Arc::clone(&app.views), shutdown.clone());
    let sweep = tokio::spawn(async move { views.keep_few(stop).await });
    serve::serve(listener, Routes::new(app), limits, shutdown, GRACE).await;
    check.abort();
    watch.abort();
    sweep.abort();
    // Those who wanted what is still being made are gone.
    if timeout(REAP, ffmpeg.ended()).await.is_err() {
        tracing::warn!("ffmpeg processes are left");
    }
}

/// All routes, with metrics and open CORS.
pub fn router(options: &Options) -> Routes {
    Routes::new(app(options))
}

fn app(options: &Options) -> Arc<App> {
    let base = &options.common.base_dir;
    if !base.is_dir() {
        // Not an error: it may be mounted later, and until then there is nothing to list.
        tracing::warn!(base_dir = %base.display(), "the base directory does not exist");
    }
    let store = Store::new(base);
    let memory = options.index_memory.saturating_mul(MEBIBYTE);
    let files = service::max_open_files() / FILES_SHARE;
    let looks = Looks::default();
    Arc::new(App {
        index: Index::beside(
            looks.clone(),
            store.clone(),
            memory - memory / LISTINGS_SHARE,
        ),
        listings: Index::beside(looks, store.clone(), memory / LISTINGS_SHARE),
        store,
        views: Arc::default(),
        questions: Questions::default(),
        answers: Answers::default(),
        buffers: Arc::default(),
        files: Arc::new(OpenFiles::new(files)),
        families: Families::new(),
        ffmpeg: Arc::new(options.ffmpeg()),
    })
}
