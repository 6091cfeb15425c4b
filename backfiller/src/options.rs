//! What the backfiller can be told (SPEC §6), checked while it is read: what is here can be
//! worked with.

use std::ffi::OsStr;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clap::builder::{FalseyValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, Command, Parser, ValueEnum};
use common::dateutil;
use common::names::{Channel, Quality};
use common::segment::Hour;
use common::service::CommonOptions;

use crate::item::ExtrasDirectory;
use crate::peers::{Dsn, Peer, PeerError};

/// More hours ago than this is a date without separators, such as `20190615`.
const MOST_HOURS_AGO: f64 = 1_000_000.0;

/// Once a day, at least.
const LONGEST_INTERVAL: f64 = 86_400.0;

/// A stall timeout of more than an hour is a mistake.
const LONGEST_STALL: f64 = 3600.0;

/// More downloads at once from one peer are of no use.
pub(crate) const MOST_AT_ONCE: u16 = 1000;

/// A download slower than so many bytes a second leaves no room for another beside it.
const SLOWEST_DOWNLOAD: u64 = 100_000;

/// Below so many bytes a second no segment comes in time.
const LOWEST_RATE: u64 = 10_000;

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

/// The URLs of one `--static-nodes`. An empty list is fine: a compose file may leave it empty.
#[derive(Debug, Clone)]
pub struct StaticNodes(Vec<Peer>);

impl FromStr for StaticNodes {
    type Err = PeerError;

    fn from_str(text: &str) -> Result<Self, PeerError> {
        let urls = text.split(',').map(str::trim).filter(|url| !url.is_empty());
        urls.map(Peer::unnamed).collect::<Result<_, _>>().map(Self)
    }
}

/// Reads a connection string. `clap` would repeat a bad one, and the password in it.
#[derive(Debug, Clone, Copy)]
struct DsnParser;

impl TypedValueParser for DsnParser {
    type Value = Dsn;

    fn parse_ref(&self, _: &Command, _: Option<&Arg>, value: &OsStr) -> Result<Dsn, clap::Error> {
        let text = value.to_str().unwrap_or_default();
        text.parse().map_err(|error| {
            let message = format!("bad value for '--node-database <DSN>': {error}");
            clap::Error::raw(ErrorKind::ValueValidation, message)
        })
    }
}

/// Reads a list of URLs. Of a bad one everything is repeated but the password.
#[derive(Debug, Clone, Copy)]
struct NodesParser;

impl TypedValueParser for NodesParser {
    type Value = StaticNodes;

    fn parse_ref(
        &self,
        _: &Command,
        _: Option<&Arg>,
        value: &OsStr,
    ) -> Result<StaticNodes, clap::Error> {
        let text = value.to_string_lossy();
        text.parse().map_err(|error| {
            let shown = without_passwords(&text);
            let message = format!("invalid value '{shown}' for '--static-nodes <URL,…>': {error}");
            clap::Error::raw(ErrorKind::ValueValidation, message)
        })
    }
}

/// Reads a channel's name. `clap` would repeat a bad one, and where a blank stands for a comma in a
/// list of nodes, that is a URL with a password.
#[derive(Debug, Clone, Copy)]
struct ChannelParser;

impl TypedValueParser for ChannelParser {
    type Value = Channel;

    fn parse_ref(
        &self,
        _: &Command,
        _: Option<&Arg>,
        value: &OsStr,
    ) -> Result<Channel, clap::Error> {
        let channel = match value.to_str() {
            Some(text) => Channel::new(text).map_err(|error| error.to_string()),
            None => Err("it is not UTF-8".to_owned()),
        };
        channel.map_err(|error| {
            let shown = without_passwords(&value.to_string_lossy());
            let message = format!("invalid value '{shown}' for '<CHANNEL>...': {error}");
            clap::Error::raw(ErrorKind::ValueValidation, message)
        })
    }
}

/// A list of URLs, or of what was meant to be URLs, with `***` in the place of all that may be a
/// user's name and password.
fn without_passwords(list: &str) -> String {
    let mut urls: Vec<String> = Vec::new();
    for part in list.split(',') {
        // The comma may be one of the password.
        match urls.last_mut() {
            Some(url) if part.contains('@') && !part.contains("://") => {
                url.push(',');
                url.push_str(part);
            }
            _ => urls.push(part.to_owned()),
        }
    }
    let shown = urls.iter().map(|url| match url.rsplit_once('@') {
        Some((before, after)) => match before.split_once("://") {
            Some((scheme, _)) => format!("{scheme}://***@{after}"),
            None => format!("***@{after}"),
        },
        None => url.clone(),
    });
    shown.collect::<Vec<_>>().join(",")
}

/// From when on to fetch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Start {
    /// So long before the time of each round.
    Ago(TimeDelta),
    /// From this instant on.
    At(DateTime<Utc>),
}

impl Start {
    /// The instant, seen from `now`.
    #[must_use]
    pub fn at(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Start::Ago(ago) => now
                .checked_sub_signed(ago)
                .unwrap_or(DateTime::<Utc>::MIN_UTC),
            Start::At(instant) => instant,
        }
    }
}

/// Why a text is not a start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// A number, but not one of hours.
    #[error("a number of hours ago is a plain decimal of at least 0")]
    Hours,
    /// Neither a number nor a time.
    #[error(transparent)]
    Time(#[from] dateutil::ParseError),
}

impl FromStr for Start {
    type Err = StartError;

    /// A plain decimal is a number of hours, unless it is so large that only a date without
    /// separators can be meant.
    fn from_str(text: &str) -> Result<Start, StartError> {
        let plain = text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
        match text.parse::<f64>() {
            Ok(hours) if plain && hours <= MOST_HOURS_AGO => {
                // In range: just checked.
                Ok(Start::Ago(TimeDelta::milliseconds((hours * 3.6e6) as i64)))
            }
            // A date parser would make a day of the month of `-5`.
            Ok(_) if !plain => Err(StartError::Hours),
            _ => Ok(Start::At(dateutil::parse(text)?)),
        }
    }
}

/// Which hours come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Order {
    /// The latest ones: what is asked for soonest.
    Newest,
    /// The earliest ones: what peers delete soonest.
    Oldest,
    /// By chance: several nodes that fetch from one another seldom do the same.
    Random,
}

/// What `--max-rate` says: bytes a second; `None`: no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxRate(pub Option<NonZeroU64>);

fn max_rate(text: &str) -> Result<MaxRate, String> {
    let (digits, unit) = match text.char_indices().last() {
        Some((at, 'K' | 'k')) => (&text[..at], 1_000),
        Some((at, 'M')) => (&text[..at], 1_000_000),
        Some((at, 'G')) => (&text[..at], 1_000_000_000),
        _ => (text, 1),
    };
    let rate = digits.parse::<u64>().ok();
    match rate.and_then(|number| number.checked_mul(unit)) {
        Some(rate) if rate == 0 || rate >= LOWEST_RATE => Ok(MaxRate(NonZeroU64::new(rate))),
        _ => Err(format!(
            "it must be a whole number of bytes a second, such as 500K or 20M, of at least {LOWEST_RATE}, or 0"
        )),
    }
}

fn stall_timeout(text: &str) -> Result<Duration, String> {
    seconds(text, LONGEST_STALL)
}

fn interval(text: &str) -> Result<Duration, String> {
    seconds(text, LONGEST_INTERVAL)
}

fn seconds(text: &str, longest: f64) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= longest => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(format!(
            "it must be a number of seconds above 0, and at most {longest}"
        )),
    }
}

/// The host's name, as other nodes usually call it.
fn host_name() -> String {
    let names = rustix::system::uname();
    names.nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Options, clap::Error> {
        Options::try_parse_from(["backfiller"].iter().chain(arguments))
    }

    #[test]
    fn the_defaults_are_those_of_the_specification() {
        let options = parse(&["a b", "c"]).unwrap();
        let channels: Vec<_> = options.channels.iter().map(Channel::as_str).collect();
        assert_eq!(channels, ["a", "b", "c"]);
        let qualities: Vec<_> = options.qualities.iter().map(Quality::as_str).collect();
        assert_eq!(qualities, ["source"]);
        assert_eq!(options.localhost, host_name());
        assert!(!options.localhost.is_empty() && !options.run_once);
        assert_eq!((options.start, options.order), (None, Order::Newest));
        assert_eq!(
            (options.download_concurrency, options.recent_cutoff),
            (5, 120)
        );
        assert_eq!(options.metrics_port, 8002);
        assert!(options.static_nodes().is_empty());
    }

    #[test]
    fn nodes_may_be_given_in_any_number_of_lists() {
        let options = parse(&[
            "c",
            "--static-nodes",
            "http://a, https://b/x,",
            "--static-nodes",
            "",
            "--static-nodes=http://c",
        ])
        .unwrap();
        let names: Vec<_> = options.static_nodes();
        let names: Vec<_> = names.iter().map(Peer::name).collect();
        assert_eq!(names, ["a", "b", "c"]);
    }

    #[test]
    fn a_start_is_a_number_of_hours_or_a_time() {
        let now = dateutil::parse("2026-01-02T03:30:00Z").unwrap();
        let table = [
            ("0", "2026-01-02T03"),
            ("0.5", "2026-01-02T03"),
            ("0.6", "2026-01-02T02"),
            ("48", "2025-12-31T03"),
            ("1000000", "1911-12-05T11"),
            ("20190615", "2019-06-15T00"),
            ("2019-06-15T15:17-07:00", "2019-06-15T22"),
            ("2019-06-15 15:17", "2019-06-15T15"),
        ];
        for (text, hour) in table {
            let options = parse(&["c", "--start", text]).unwrap();
            assert_eq!(options.first_hour(now).unwrap().to_string(), hour, "{text}");
        }
    }

    #[test]
    fn a_rate_has_units_and_bounds_the_downloads_at_once() {
        // (--max-rate, bytes a second, at once of 5)
        let table = [
            ("0", None, 5),
            ("10000", Some(10_000), 1),
            ("199K", Some(199_000), 1),
            ("300k", Some(300_000), 3),
            ("20M", Some(20_000_000), 5),
            ("1G", Some(1_000_000_000), 5),
        ];
        for (text, rate, at_once) in table {
            let options = parse(&["c", "--max-rate", text]).unwrap();
            assert_eq!(options.max_rate.0.map(NonZeroU64::get), rate, "{text}");
            assert_eq!(options.at_once(), at_once, "{text}");
        }
        for text in ["", "9999", "9K", "1.5M", "-1", "M", "20MB", "99999999999G"] {
            let argument = format!("--max-rate={text}");
            assert!(parse(&["c", &argument]).is_err(), "{text}");
        }
    }

    #[test]
    fn nothing_is_deleted_without_a_start() {
        let now = dateutil::parse("2026-01-02T03:30:00Z").unwrap();
        let check = |arguments: &[&str]| parse(arguments).unwrap().check(now);
        assert!(
            check(&["c", "--delete-old"])
                .unwrap_err()
                .contains("--start")
        );
        assert_eq!(check(&["c", "--delete-old", "--start", "48"]), Ok(()));
        assert_eq!(check(&["c"]), Ok(()));
        // A start that is yet to come is one for a show that is yet to come; it deletes nothing.
        let deleting = |start| check(&["c", "--delete-old", "--start", start]);
        for start in ["0", "2026-01-02T03:30Z", "2026-01-02T04:00+01:00"] {
            assert_eq!(deleting(start), Ok(()), "{start}");
            assert_eq!(check(&["c", "--start", start]), Ok(()), "{start}");
        }
        for start in ["2027-01-01", "2026-01-02T03:30:01Z"] {
            let error = deleting(start).unwrap_err();
            assert!(error.contains("yet to come"), "{error}");
            assert_eq!(check(&["c", "--start", start]), Ok(()), "{start}");
        }
    }

    #[test]
    fn bad_values_are_refused() {
        let table: &[&[&str]] = &[
            &[],
            &[""],
            &["a/b"],
            &["..", "a"],
            &["c", "--qualities", ""],
            &["c", "--qualities", "source,"],
            &["c", "--qualities", "a/b"],
            &["c", "--qualities", ".."],
            &["c", "--static-nodes", "nonsense"],
            &["c", "--static-nodes", "http://a,ftp://b"],
            &["c", "--static-nodes", "http://a?b=c"],
            &["c", "--start", "nonsense"],
            &["c", "--start=-5"],
            &["c", "--start", "inf"],
            &["c", "--start", "1e3"],
            &["c", "--download-concurrency", "0"],
            &["c", "--recent-cutoff=-1"],
            &["c", "--order", "backwards"],
            &["c", "--stall-timeout", "0"],
            &["c", "--metrics-port", "65536"],
        ];
        for &arguments in table {
            let error = parse(arguments).unwrap_err();
            assert!(error.use_stderr(), "{arguments:?}");
        }
    }
}
