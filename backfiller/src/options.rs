//! What the backfiller can be told (SPEC §6), checked while it is read: what is here can be
//! worked with.

#[cfg(test)]
mod tests;
mod values;

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Parser;
use clap::builder::FalseyValueParser;
use common::names::{Channel, Quality};
use common::segment::Hour;
use common::service::CommonOptions;

use self::values::{ChannelParser, DsnParser, NodesParser, interval, max_rate, stall_timeout};
pub use self::values::{MaxRate, Order, Start, StartError, StaticNodes};
use crate::item::ExtrasDirectory;
use crate::peers::{Dsn, Peer};

/// More downloads at once from one peer are of no use.
pub(crate) const MOST_AT_ONCE: u16 = 1000;

/// A download slower than so many bytes a second leaves no room for another beside it.
const SLOWEST_DOWNLOAD: u64 = 100_000;

/// Fetches from other nodes the segments that this one is missing
#[derive(Debug, Clone, Parser)]
#[command(name = "backfiller", version)]
pub struct Options {
    /// What every service can be told.
    #[command(flatten)]
    pub common: CommonOptions,

    /// The channels to fetch, separated by blanks
    #[arg(required = true, value_name = "CHANNEL", value_delimiter = ' ', value_parser = ChannelParser)]
    pub channels: Vec<Channel>,

    /// The qualities to fetch, separated by commas; chat: the batches of chat messages
    #[arg(
        long,
        default_value = "source",
        value_delimiter = ',',
        value_name = "QUALITY,…"
    )]
    pub qualities: Vec<Quality>,

    /// The other nodes, separated by commas
    #[arg(long, value_name = "URL,…", value_parser = NodesParser, hide_env_values = true)]
    pub static_nodes: Vec<StaticNodes>,

    /// A file with more of them: NAME URL or URL a line, and # comments
    #[arg(long, value_name = "FILE", value_parser = clap::builder::PathBufValueParser::new())]
    pub node_file: Option<PathBuf>,

    /// A Postgres database with more of them, in a table nodes (name, url, backfill_from)
    #[arg(long, value_name = "DSN", value_parser = DsnParser, hide_env_values = true)]
    pub node_database: Option<Dsn>,

    /// The name of this node: a peer of this name is left out
    #[arg(long, value_name = "NAME", default_value_t = host_name())]
    pub localhost: String,

    /// Fetch only hours from this one on: a number of hours ago, or a time (default: all)
    #[arg(long, value_name = "HOURS|TIME")]
    pub start: Option<Start>,

    /// Delete segments of hours before --start; tombstones and what is none of ours stay
    #[arg(long, value_parser = FalseyValueParser::new())]
    pub delete_old: bool,

    /// Do one round for every peer, then exit: 0 if all that was missing is here now, else 1
    #[arg(long, value_parser = FalseyValueParser::new())]
    pub run_once: bool,

    /// How many segments to download at once from each peer
    #[arg(long, default_value_t = 5, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=i64::from(MOST_AT_ONCE)))]
    pub download_concurrency: u16,

    /// How many files to download at once from all peers together
    #[arg(long, default_value_t = 100, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub max_downloads: u16,

    /// How many bytes a second to receive from all peers together, with K, M or G for thousands,
    /// millions or billions (0: as many as come); a low rate also means fewer downloads at once
    #[arg(long, default_value = "0", value_name = "BYTES", value_parser = max_rate)]
    pub max_rate: MaxRate,

    /// Leave segments that began less than so many seconds ago to the downloader (0: off)
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    pub recent_cutoff: u32,

    /// Directories below the base directory to fetch as well, with all that is below them,
    /// separated by commas; a file that is here stays as it is
    #[arg(long, value_delimiter = ',', value_name = "DIR,…")]
    pub extras: Vec<ExtrasDirectory>,

    /// Which hours to fetch first
    #[arg(long, value_enum, default_value_t = Order::Newest)]
    pub order: Order,

    /// From the beginning of one round to that of the next, in seconds, give or take 10 %
    #[arg(long, default_value = "120", value_name = "SECONDS", value_parser = interval)]
    pub interval: Duration,

    /// Give up a request after so many seconds without a byte
    #[arg(long, default_value = "30", value_name = "SECONDS", value_parser = stall_timeout)]
    pub stall_timeout: Duration,

    /// The port of the page of metrics (0: any free one)
    #[arg(long, default_value_t = 8002, value_name = "PORT")]
    pub metrics_port: u16,
}

impl Options {
    /// The peers of `--static-nodes`, in the order given.
    #[must_use]
    pub fn static_nodes(&self) -> Vec<Peer> {
        let lists = self.static_nodes.iter();
        lists.flat_map(|list| list.0.iter().cloned()).collect()
    }

    /// What no option alone can tell: whether they go together.
    ///
    /// # Errors
    /// One line that names the bad value.
    pub fn check(&self, now: DateTime<Utc>) -> Result<(), String> {
        match self.start {
            None if self.delete_old => {
                return Err("--delete-old needs --start: what is before it is deleted".to_owned());
            }
            // Whoever writes 2027 for 2026 would lose all that there is.
            Some(start) if self.delete_old && start.at(now) > now => {
                return Err(format!(
                    "--delete-old with --start {} would delete everything: that is yet to come",
                    start.at(now).format("%Y-%m-%dT%H:%M:%SZ")
                ));
            }
            _ => {}
        }
        for directory in &self.extras {
            let first = directory.parts().first().map(|part| part.as_str());
            if self
                .channels
                .iter()
                .any(|channel| Some(channel.as_str()) == first)
            {
                return Err(format!(
                    "bad value '{directory}' for '--extras <DIR,…>': a channel's recordings are there"
                ));
            }
        }
        Ok(())
    }

    /// How many downloads at once from one peer: fewer than we were told where each would get
    /// so little of `--max-rate` that the peer takes us for dead.
    #[must_use]
    pub fn at_once(&self) -> usize {
        self.bearable(self.download_concurrency)
    }

    /// The same, of another number that we are told.
    #[must_use]
    pub(crate) fn bearable(&self, told: u16) -> usize {
        self.sensible_downloads().clamp(1, usize::from(told))
    }

    /// How many downloads at once, of all peers together, get a sensible share of `--max-rate`.
    #[must_use]
    pub(crate) fn sensible_downloads(&self) -> usize {
        let sensible = self.max_rate.0.map(|rate| rate.get() / SLOWEST_DOWNLOAD);
        sensible.map_or(usize::MAX, |count| {
            usize::try_from(count).unwrap_or(usize::MAX)
        })
    }

    /// The first hour to fetch; `None`: all there are.
    #[must_use]
    pub fn first_hour(&self, now: DateTime<Utc>) -> Option<Hour> {
        self.start.map(|start| Hour::of(start.at(now)))
    }
}

/// The host's name, as other nodes usually call it.
fn host_name() -> String {
    let names = rustix::system::uname();
    names.nodename().to_string_lossy().into_owned()
}
