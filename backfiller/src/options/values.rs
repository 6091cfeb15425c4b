//! The values of options: read from text, so that no bad one gets any further, and no secret into an
//! error.

use std::ffi::OsStr;
use std::num::NonZeroU64;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Command, ValueEnum};
use common::dateutil;
use common::names::Channel;

use crate::peers::{Dsn, Peer, PeerError};

/// More hours ago than this is a date without separators, such as `20190615`.
const MOST_HOURS_AGO: f64 = 1_000_000.0;

/// Once a day, at least.
const LONGEST_INTERVAL: f64 = 86_400.0;

/// A stall timeout of more than an hour is a mistake.
const LONGEST_STALL: f64 = 3600.0;

/// Below so many bytes a second no segment comes in time.
const LOWEST_RATE: u64 = 10_000;

/// The URLs of one `--static-nodes`. An empty list is fine: a compose file may leave it empty.
#[derive(Debug, Clone)]
pub struct StaticNodes(pub(super) Vec<Peer>);

impl FromStr for StaticNodes {
    type Err = PeerError;

    fn from_str(text: &str) -> Result<Self, PeerError> {
        let urls = text.split(',').map(str::trim).filter(|url| !url.is_empty());
        urls.map(Peer::unnamed).collect::<Result<_, _>>().map(Self)
    }
}

/// Reads a connection string. `clap` would repeat a bad one, and the password in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct DsnParser;

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
pub(super) struct NodesParser;

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
pub(super) struct ChannelParser;

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

pub(super) fn max_rate(text: &str) -> Result<MaxRate, String> {
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

pub(super) fn stall_timeout(text: &str) -> Result<Duration, String> {
    seconds(text, LONGEST_STALL)
}

pub(super) fn interval(text: &str) -> Result<Duration, String> {
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
