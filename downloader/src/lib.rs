//! Records live HLS as content-hashed segment files (SPEC §5): whatever a playlist listed and
//! the origin still serves ends up on disk in full.
//!
//! Data goes one way: `provider` finds media playlists, `playlist` reads them, `timeline` says
//! what is new, a `worker` has a `getter` fetch it, and that writes it through `common::store`.
//! `manager` keeps a channel's workers. See docs/ARCHITECTURE.md.

mod backdoor;
pub mod channel;
mod debug;
mod decrypt;
pub mod fetch;
pub mod getter;
mod losses;
pub mod manager;
mod metrics;
pub mod playlist;
pub mod provider;
mod queue;
pub mod recorded;
pub mod rendition;
mod restart;
mod shared;
pub mod timeline;
pub mod timing;
mod watch;
pub mod worker;

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use common::http::{HttpClient, HttpError};
use common::names::{Channel, NameError, Quality};
use common::serve::BindError;
use common::service::{self, CommonOptions};
use common::store::{FRESH, Store};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::channel::{ChannelKind, ChannelSpec, ChannelSpecs};
use crate::manager::Manager;
use crate::provider::{
    Provider, TokenFile, TwitchHosts, TwitchProvider, UrlProvider, YoutubeProvider,
};
use crate::timing::Timing;
use crate::watch::Channels;

/// A thread receives so many renditions of 5 Mbit/s without breaking into a sweat.
const RENDITIONS_A_THREAD: usize = 100;

/// Between two looks for temporary files of dead processes.
const CLEAN_UP_INTERVAL: Duration = Duration::from_secs(3600);

/// Records live HLS streams as segment files
#[derive(Debug, Clone, Parser)]
#[command(version)]
pub struct Options {
    /// Channels to record: NAME[!][:TYPE:URL], TYPE being twitch (the default, without a URL),
    /// youtube or url (any HLS playlist); `!` marks a channel that is expected to be up
    #[arg(required = true, value_name = "CHANNEL")]
    pub channels: Vec<ChannelSpecs>,

    /// What every service can be told.
    #[command(flatten)]
    pub common: CommonOptions,

    /// Qualities to record, separated by commas; youtube and url have only `source`
    #[arg(
        long,
        default_value = "source",
        value_delimiter = ',',
        value_name = "QUALITY",
        value_parser = quality
    )]
    pub qualities: Vec<Quality>,

    /// The port of the page of metrics (0: any free one)
    #[arg(long, default_value_t = 8001, value_name = "PORT")]
    pub metrics_port: u16,

    /// Keep the last N playlists that differ beside each segment that they led to, under
    /// playlist-debug/ in the base directory (0: none)
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub playlist_debug: u8,

    /// A file with an OAuth token for Twitch; read again whenever it is used
    #[arg(long, value_name = "FILE")]
    pub twitch_auth_file: Option<PathBuf>,

    /// Where Twitch's GraphQL is
    #[arg(long, default_value_t = TwitchHosts::default().gql, value_name = "URL", hide = true)]
    pub twitch_gql: Url,

    /// Where Twitch's usher service is
    #[arg(long, default_value_t = TwitchHosts::default().usher, value_name = "URL", hide = true)]
    pub twitch_usher: Url,

    /// The program that finds YouTube's playlists
    #[arg(long, default_value = "yt-dlp", value_name = "PROGRAM")]
    pub yt_dlp: String,

    /// Replaces the provider's limit for the age of URLs, if it has one; for tests
    #[arg(long, value_name = "SECONDS", hide = true)]
    pub max_url_age: Option<u64>,

    /// Multiplies all intervals and timeouts; for tests
    #[arg(long, default_value = "1", value_name = "FACTOR", value_parser = factor, hide = true)]
    pub time_scale: f64,
}

impl Options {
    /// The channels, in the order given.
    ///
    /// # Errors
    /// A line that says what does not go together.
    pub fn channels(&self) -> Result<Vec<ChannelSpec>, String> {
        let channels: Vec<ChannelSpec> = self
            .channels
            .iter()
            .flat_map(|specs| specs.0.iter().cloned())
            .collect();
        if channels.is_empty() {
            return Err("no channel is given".to_owned());
        }
        if let Some(chat) = self.qualities.iter().find(|quality| quality.is_chat()) {
            return Err(format!("{chat} is no quality of video"));
        }
        let mut seen = HashSet::new();
        for spec in &channels {
            if !seen.insert(&spec.name) {
                return Err(format!("channel {} is given twice", spec.name));
            }
            self.check(spec)?;
        }
        Ok(channels)
    }

    /// Whether a channel can be recorded in these qualities.
    fn check(&self, ChannelSpec { name, kind, .. }: &ChannelSpec) -> Result<(), String> {
        let has_source = self
            .qualities
            .iter()
            .any(|quality| quality.as_str() == "source");
        if *kind != ChannelKind::Twitch && !has_source {
            return Err(format!("channel {name} has only the quality source"));
        }
        Ok(())
    }
}

/// A quality, with blanks around it as people write lists.
fn quality(text: &str) -> Result<Quality, NameError> {
    Quality::new(text.trim())
}

/// A factor that leaves times that make sense.
fn factor(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(factor) if (0.001..=100.0).contains(&factor) => Ok(factor),
        _ => Err("it is no number from 0.001 to 100".to_owned()),
    }
}

/// Why the downloader cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No client.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// No port for metrics, or for the backdoor.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The base directory is a file.
    #[error("the base directory {} is no directory", .0.display())]
    BaseDir(PathBuf),
}

/// How many threads are to poll and receive: threads that hand work to one another cost more
/// than a hundred renditions do, most of whose work (hashing, writing) others do anyway.
#[must_use]
pub fn threads(renditions: usize) -> NonZeroUsize {
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let needed = NonZeroUsize::MIN.saturating_add(renditions / RENDITIONS_A_THREAD);
    needed.min(cores)
}

/// Records until `shutdown`; returns when everything that was running has ended.
///
/// # Errors
/// [`RunError`], before anything is recorded.
pub async fn run(
    options: Options,
    channels: Vec<ChannelSpec>,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    let base = &options.common.base_dir;
    if base.exists() && !base.is_dir() {
        return Err(RunError::BaseDir(base.clone()));
    }
    let client = HttpClient::new()?;
    let store = Store::new(base);
    let last = CancellationToken::new();
    let page = service::serve_metrics(options.metrics_port, last.clone()).await?;
    let known = Arc::new(Channels::default());
    let (adding, mut added) = mpsc::unbounded_channel();
    let port = options.common.backdoor_port;
    let registry = {
        let options = options.clone();
        backdoor::registry(&known, adding, move |spec| options.check(spec))
    };
    let door = common::backdoor::open(port, registry, &shutdown).await?;
    let mut tasks = JoinSet::new();
    let start = |spec: ChannelSpec, tasks: &mut JoinSet<()>| {
        // Who asks for a channel was told if it is recorded already.
        let Some(listed) = known.add(spec.clone(), &shutdown) else {
            return;
        };
        let stop = listed.watched.stop.clone();
        tasks.spawn(clean_up(store.clone(), spec.name.clone(), stop));
        let provider = provider(&spec, &options);
        let qualities = possible(&options.qualities, &provider, &spec.name);
        let given_age = options.max_url_age.map(Duration::from_secs);
        let manager = Manager {
            max_age: provider.max_age().map(|age| given_age.unwrap_or(age)),
            provider,
            channel: spec.name,
            important: spec.important,
            qualities,
            client: client.clone(),
            store: store.clone(),
            timing: Timing::default().scaled(options.time_scale),
            playlist_debug: usize::from(options.playlist_debug),
        };
        tasks.spawn(async move {
            let watched = &listed.watched;
            let record = || manager.clone().run_watched(Arc::clone(watched));
            restart::until_it_ends(&manager.channel, &watched.stop, record).await;
        });
    };
    for spec in channels {
        start(spec, &mut tasks);
    }
    // With a backdoor there may be channels again.
    while !tasks.is_empty() || (port != 0 && !shutdown.is_cancelled()) {
        tokio::select! {
            () = shutdown.cancelled(), if tasks.is_empty() => {}
            Some(spec) = added.recv(), if !shutdown.is_cancelled() => start(spec, &mut tasks),
            Some(outcome) = tasks.join_next() => {
                if let Err(error) = outcome {
                    tracing::error!(%error, "a task crashed");
                }
            }
        }
    }
    // The page goes last, so that the end can be seen on it.
    last.cancel();
    let _ = page.await;
    if let Some(door) = door {
        let _ = door.await;
    }
    Ok(())
}

/// Removes what dead processes left of a channel: at start, again when nothing of a crash just
/// before it is fresh any more, and now and then.
async fn clean_up(store: Store, channel: Channel, shutdown: CancellationToken) {
    let mut pause = FRESH + Duration::from_secs(1);
    loop {
        let (store, of, stop) = (store.clone(), channel.clone(), shutdown.clone());
        let cleaned = tokio::task::spawn_blocking(move || {
            store.remove_leftovers_while(&of, || !stop.is_cancelled())
        });
        if let Ok(Err(error)) = cleaned.await {
            tracing::warn!(%channel, %error, "cannot look for temporary files of dead processes");
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = CLEAN_UP_INTERVAL,
            () = shutdown.cancelled() => return,
        }
    }
}

/// The qualities that a channel can have; of others is said once that it has them never.
fn possible(qualities: &[Quality], provider: &Provider, channel: &Channel) -> Vec<Quality> {
    let (possible, never): (Vec<Quality>, Vec<Quality>) = qualities
        .iter()
        .cloned()
        .partition(|quality| provider.can_have(quality));
    for quality in never {
        tracing::warn!(%channel, %quality, "a channel of this type never has this quality");
    }
    possible
}

/// Where a channel's playlists are to be found.
fn provider(spec: &ChannelSpec, options: &Options) -> Provider {
    match &spec.kind {
        ChannelKind::Url(url) => Provider::Url(UrlProvider { url: url.clone() }),
        ChannelKind::Youtube(url) => Provider::Youtube(YoutubeProvider {
            url: url.clone(),
            program: options.yt_dlp.clone(),
        }),
        ChannelKind::Twitch => Provider::Twitch(TwitchProvider {
            channel: spec.name.clone(),
            hosts: TwitchHosts {
                gql: options.twitch_gql.clone(),
                usher: options.twitch_usher.clone(),
            },
            token_file: TokenFile::new(options.twitch_auth_file.clone()),
        }),
    }
}
